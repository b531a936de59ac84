/* `ring3 conform` on crafted MOO files: cases that pass and fail, engines, differences, shards, and
 * the command line.
 */
#include "base/bits.h"
#include "tests/moo_rig.h"

TestSuite(conform, .fini = remove_folder);

/* --- whole files */

Test(conform, passes)
{
    struct craft craft;
    put_head(&craft, "C286", 2);
    put_add(&craft, AX + 1);
    put_add(&craft, AX + 1);
    expect_craft(&craft, "", 0, "2 cases in 1 files: 2 passed, 0 excused", 0);
    expect_craft(&craft, "--tap", 0, "ok 1 - 286 04 add: 2 cases, 0 excused, 0 failed\n1..1", 0);
    expect_craft(&craft, "--json", 0, "\"cases\": 2, \"passed\": 2", 0);
}

Test(conform, fails)
{
    struct craft craft;
    put_head(&craft, "C286", 3);
    put_add(&craft, AX + 1);
    put_add(&craft, AX + 2);
    put_add(&craft, AX + 3);
    expect_craft(&craft, "", 1, "3 cases in 1 files: 1 passed, 0 excused by named differences, 2",
                 0);
    expect_craft(&craft, "", 1, "case 7 in interp: add al,1 [add: 04 01 f4]", 0);
    expect_craft(&craft, "", 1, "expected eax=1236\n  got      eax=1235\n", 0);
    expect_craft(&craft, "--fail-fast", 1, "2 cases in 1 files", 0);
    expect_craft(&craft, "--only F6.*", 1, "0 cases in 1 files", 1);
    expect_craft(&craft, "--only 0?", 1, "3 cases in 1 files", 0);

    char arguments[128];
    snprintf(arguments, sizeof arguments, "--junit %s @/a.MOO", path_of("junit.xml"));
    expect(arguments, 1, "2 failed", 0);
    char text[1024] = "";
    FILE *file = fopen(path_of("junit.xml"), "r");
    cr_assert_not_null(file);
    cr_assert_gt(fread(text, 1, sizeof text - 1, file), 0);
    fclose(file);
    cr_expect_not_null(strstr(text, "tests=\"1\" failures=\"1\""), "%s", text);
    cr_expect_not_null(strstr(text, "2 of 3 cases; first "), "%s", text);
}

/* Memory that the case says nothing of must stay as it was, and does not reach the next case. */
Test(conform, stray_writes)
{
    static const uint8_t store[] = {0xa2, 0x00, 0x50}; /* mov [5000h], al */
    static const uint8_t load[] = {0xa0, 0x00, 0x50};
    static const struct byte written = {0x5000, 0x34};
    struct craft craft;

    put_head(&craft, "C286", 2);
    put_case(&craft, "mov [5000h],al", store, 3, AX, CODE + 4, 2);
    put_case(&craft, "mov al,[5000h]", load, 3, 0x1200, CODE + 4, 2);
    expect_craft(&craft, "", 1, "expected 5000:00\n  got      5000:34\n", 0);
    expect_craft(&craft, "", 1, "1 passed, 0 excused by named differences, 1 failed", 0);

    put_head(&craft, "C286", 1);
    case_open(&craft, "mov [5000h],al", store, 3, NULL, 0);
    put_ax_flags(&craft, AX, CODE + 4, 2);
    put_memory(&craft, &written, 1);
    case_close(&craft);
    expect_craft(&craft, "", 0, "1 passed", 0);
}

/* Not even a case that turns protected mode on and off, or drops its translations, hides a write.
 */
Test(conform, stray_writes_behind_flushes)
{
    static const uint8_t codes[][14] = {
        /* mov [5000h],al; mov edx,cr0; then invlpg [5000h], or xor dl,1; mov cr0,edx */
        {0xa2, 0x00, 0x50, 0x0f, 0x20, 0xc2, 0x0f, 0x01, 0x3e, 0x00, 0x50},
        {0xa2, 0x00, 0x50, 0x0f, 0x20, 0xc2, 0x80, 0xf2, 0x01, 0x0f, 0x22, 0xc2},
    };
    static const uint8_t lengths[] = {11, 12};
    static const uint8_t load[] = {0xa0, 0x00, 0x50};

    for (unsigned i = 0; i < ARRAY_LENGTH(codes); i++) {
        struct craft craft;
        put_head(&craft, "386E", 2);
        put_case(&craft, "hides", codes[i], lengths[i], AX, (uint16_t)(CODE + lengths[i] + 1), 2);
        put_case(&craft, "mov al,[5000h]", load, 3, 0x1200, CODE + 4, 2);
        expect_craft(&craft, "", 1, "5000:00\n", 0);
        expect_craft(&craft, "", 1, "1 passed, 0 excused by named differences, 1 failed", 0);
    }
}

/* A case may overwrite its own code; the next one's is decoded afresh. */
Test(conform, code_changes)
{
    static const uint8_t increment[] = {0x40}, decrement[] = {0x48}, self[] = {0xa2, 3, 0x10};
    static const struct byte changed = {CODE + 3, 0x34}; /* xor al, F4h: no HLT */
    static const struct byte halts[] = {{CODE + 4, 0x12}, {CODE + 5, 0xf4}};
    struct craft craft;

    put_head(&craft, "C286", 3);
    put_case(&craft, "inc ax", increment, 1, AX + 1, CODE + 2, PF);
    put_case(&craft, "dec ax", decrement, 1, AX - 1, CODE + 2, PF);
    case_open(&craft, "mov [1003h],al", self, 3, halts, 2);
    put_ax_flags(&craft, AX ^ 0x12, CODE + 6, 2);
    put_memory(&craft, &changed, 1);
    case_close(&craft);
    expect_craft(&craft, "", 0, "3 passed", 0);
}

Test(conform, never_ends)
{
    static const uint8_t loop[] = {0xeb, 0xfe};
    struct craft craft;

    put_head(&craft, "C286", 1);
    put_case(&craft, "jmp $", loop, 2, AX, CODE, 2);
    expect_craft(&craft, "", 1, "it does not end", 0);
}

/* Both engines come to the same, and a case counts once. */
Test(conform, engines)
{
    struct craft craft;
    put_head(&craft, "C286", 3);
    put_add(&craft, AX + 1);
    put_divide(&craft, 0x97, CODE & 0xff);
    put_add(&craft, AX + 2);
    expect_craft(&craft, "--engine translate", 1, "\ntranslate: 1 passed, 1 excused, 1 failed\n",
                 0);
    expect_craft(&craft, "--engine translate", 1, " in translate: add al,1", 0);
    expect_craft(&craft, "--engine both", 1, "3 cases in 1 files: 1 passed, 1 excused", 0);
    expect_craft(&craft, "--engine both", 1,
                 "\ninterp: 1 passed, 1 excused, 1 failed\n"
                 "translate: 1 passed, 1 excused, 1 failed\n",
                 0);
    expect_craft(&craft, "--engine interp", 1, "interp: 1 passed, 1 excused, 1 failed\n", 0);
    expect_craft(&craft, "--engine interp --engine both --only 04 --json", 1,
                 "{\"engine\": \"translate\", \"cases\": 2, \"passed\": 1", 6);
}

/* What is printed for the first failure runs that case alone. */
Test(conform, command_for_one_case)
{
    struct craft craft;
    put_head(&craft, "C286", 3);
    put_add(&craft, AX + 1);
    put_add(&craft, AX + 2);
    put_add(&craft, AX + 3);
    expect_craft(&craft, "--strict --cpu 286", 1,
                 " conform --engine both --case 2 --strict --cpu 286 -d in_asm,out_asm /tmp/", 0);
    expect_craft(&craft, "--engine translate", 1, "--engine translate --case 2 -d in_asm", 0);
    expect_craft(&craft, "--case 1", 0, "1 cases in 1 files: 1 passed", 0);
    expect_craft(&craft, "--case 2", 1, "got      eax=1235\n", 0);
    expect_craft(&craft, "--case 3", 1, "expected eax=1237\n", 0);
    expect_craft(&craft, "--case 4", 1, "0 cases", 1);
}

Test(conform, coverage)
{
    struct craft craft;
    put_head(&craft, "C286", 2);
    put_add(&craft, AX + 1);
    put_divide(&craft, 2, CODE & 0xff);
    expect_craft(&craft, "--coverage --engine both", 0, "       1         1  ADD_ALIb\n", 0);
    expect_craft(&craft, "--coverage", 0, "       1         0  ADD_ALIb\n", 0);
    expect_craft(&craft, "--coverage", 0, "interp: 2 of ", 0);
    expect_craft(&craft, "--coverage --engine translate", 0, "       0         1  DIV_Eb\n", 0);
    put_head(&craft, "C286", 1);
    put_add(&craft, AX + 2); /* a case that fails reaches nothing */
    expect_craft(&craft, "--coverage", 1, "interp: 0 of ", 0);
}

/* The 8086's cases end after their instruction, repeated or not. */
Test(conform, single_instructions)
{
    static const uint8_t store[] = {0xf3, 0xaa}; /* rep stosb, CX = 0 */
    struct craft craft;

    put_head(&craft, "8086", 2);
    put_case(&craft, "rep stosb", store, 2, AX, CODE + 2, 0xf002);
    put_case(&craft, "add al,1", add_al_1, 2, AX + 1, CODE + 2, 0xf006);
    expect_craft(&craft, "", 0, "2 passed", 0);
}

Test(conform, registers_of_32_bits)
{
    static const struct byte code[] = {
        {CODE, 0x66}, {CODE + 1, 0x05}, {CODE + 2, 1}, {CODE + 5, 0x80}, {CODE + 6, 0xf4}};
    static const uint32_t eax = 1u << 2, eip = 1u << 16, eflags = 1u << 17;
    struct craft craft;

    put_head(&craft, "386E", 1);
    chunk_open(&craft, "TEST");
    put_32(&craft, 0);
    chunk_open(&craft, "INIT");
    chunk_open(&craft, "RG32");
    put_32(&craft, eax | eip | eflags);
    put_32(&craft, 0x7fffffff);
    put_32(&craft, CODE);
    put_32(&craft, 2);
    chunk_close(&craft);
    put_memory(&craft, code, 5);
    chunk_close(&craft);
    chunk_open(&craft, "FINA");
    chunk_open(&craft, "RG32");
    put_32(&craft, eax | eip | eflags);
    put_32(&craft, 0); /* 7FFFFFFFh + 80000001h */
    put_32(&craft, CODE + 7);
    put_32(&craft, 0x57);
    chunk_close(&craft);
    chunk_close(&craft);
    chunk_close(&craft);
    expect_craft(&craft, "", 0, "1 passed", 0);
}

/* --- masks, exceptions, differences */

Test(conform, masks)
{
    struct craft craft;

    put_head(&craft, "C286", 1); /* none: PF, here wrong, counts */
    put_case(&craft, "add al,1", add_al_1, 2, AX + 1, CODE + 3, 2);
    expect_craft(&craft, "", 1, "expected eflags=2", 0);

    put_head(&craft, "C286", 1); /* of the file */
    put_mask(&craft, 0xfffb);
    put_case(&craft, "add al,1", add_al_1, 2, AX + 1, CODE + 3, 2);
    expect_craft(&craft, "", 0, "1 passed", 0);

    put_head(&craft, "C286", 2); /* of one case, before and behind its registers; not of the next */
    case_open(&craft, "add al,1", add_al_1, 2, NULL, 0);
    put_ax_flags(&craft, AX + 1, CODE + 3, 2);
    put_mask(&craft, 0xfffb);
    case_close(&craft);
    put_case(&craft, "add al,1", add_al_1, 2, AX + 1, CODE + 3, 2);
    expect_craft(&craft, "", 1, "1 passed, 0 excused by named differences, 1 failed", 0);
}

Test(conform, exceptions)
{
    struct craft craft;

    put_head(&craft, "C286", 1);
    put_divide(&craft, 2, CODE & 0xff);
    expect_craft(&craft, "", 0, "1 passed", 0);

    put_head(&craft, "C286", 1); /* DIV leaves the flags undefined: also those pushed */
    put_divide(&craft, 0x97, CODE & 0xff);
    expect_craft(&craft, "", 0, "0 passed, 1 excused", 0);
    expect_craft(&craft, "", 0, "1  undefined: DIV, IDIV: all", 0);
    expect_craft(&craft, "--strict", 1, "1 failed", 0);
    expect_craft(&craft, "--strict", 1, "1  undefined: DIV, IDIV: all", 0);

    put_head(&craft, "C286", 1); /* not masked, not undefined: TF */
    put_divide(&craft, 0x97 | 1 << 3, CODE & 0xff);
    expect_craft(&craft, "", 1, "1 failed", 0);

    put_head(&craft, "C286", 1); /* the address is not */
    put_divide(&craft, 2, 2);
    expect_craft(&craft, "", 1, "expected 7ffa:02 exception 0\n  got      7ffa:00 exception 0\n",
                 0);
    expect_craft(&craft, "--cpu 386", 1, "1 failed", 0);
}

/* Without a handler of its own an exception ends the case at once, and is named. */
Test(conform, exceptions_unexpected)
{
    static const uint8_t undefined[] = {0x0f, 0x0b};
    struct craft craft;

    put_head(&craft, "C286", 1);
    put_case(&craft, "ud2", undefined, 2, AX, CODE + 3, 2);
    expect_craft(&craft, "", 1, " exception 6\n", 0);
}

/* OF of a shift is undefined but for a count of 1. */
Test(conform, differences_are_narrow)
{
    static const uint8_t by_1[] = {0xc0, 0xe0, 0x01}, by_2[] = {0xc0, 0xe0, 0x02};
    struct craft craft;

    put_head(&craft, "C286", 1);
    put_case(&craft, "shl al,1", by_1, 3, 0x1268, CODE + 4, 0x0802);
    expect_craft(&craft, "", 1, "1 failed", 0);

    put_head(&craft, "C286", 1);
    put_case(&craft, "shl al,2", by_2, 3, 0x12d0, CODE + 4, 0x0082);
    save("a.MOO", craft.bytes, craft.size);
    struct run whole = run("@/a.MOO");
    bool sets = strstr(whole.out, "1 excused") != NULL;
    done(&whole);
    put_head(&craft, "C286", 1);
    put_case(&craft, "shl al,2", by_2, 3, 0x12d0, CODE + 4, 0x0882);
    expect_craft(&craft, "", 0, sets ? "1 passed" : "1 excused", 0);
}

/* --- shards */

static uint64_t count_of(const char *arguments, const char *name)
{
    struct run result = run(arguments);
    const char *at = strstr(result.out, name);
    cr_assert_not_null(at, "%s", result.out);
    uint64_t count = strtoull(at + strlen(name), NULL, 10);
    done(&result);
    return count;
}

Test(conform, shards)
{
    static const char *const names[] = {"\"cases\": ", "\"passed\": ", "\"failed\": "};
    struct craft craft;

    put_head(&craft, "C286", 11);
    for (unsigned i = 0; i < 11; i++)
        put_add(&craft, (uint16_t)(AX + 1 + (i == 4 || i == 9)));
    save("a.MOO", craft.bytes, craft.size);
    for (unsigned n = 0; n < 3; n++)
        for (unsigned shards = 1; shards <= 12; shards++) {
            uint64_t sum = 0;
            for (unsigned shard = 1; shard <= shards; shard++) {
                char arguments[64];
                snprintf(arguments, sizeof arguments, "--json --shard %u/%u @/a.MOO", shard,
                         shards);
                sum += count_of(arguments, names[n]);
            }
            cr_expect_eq(sum, n == 0 ? 11 : n == 1 ? 9 : 2, "%s of %u shards", names[n], shards);
        }
}

static char *output_of(const char *arguments)
{
    struct run result = run(arguments);
    free(result.err);
    return result.out;
}

/* The merged shards are the whole run. */
Test(conform, merge)
{
    struct craft craft;
    char arguments[128], all[256] = "--merge --json";

    put_head(&craft, "C286", 11);
    for (unsigned i = 0; i < 10; i++)
        put_add(&craft, (uint16_t)(AX + 1 + (i == 4 || i == 9)));
    put_divide(&craft, 0x97, CODE & 0xff);
    save("a.MOO", craft.bytes, craft.size);
    char *whole = output_of("--engine both --json @/a.MOO");
    for (unsigned shard = 3; shard; shard--) {
        char name[16];
        snprintf(name, sizeof name, "%u.json", shard);
        snprintf(arguments, sizeof arguments, "--engine both --json --shard %u/3 @/a.MOO", shard);
        char *part = output_of(arguments);
        save(name, part, strlen(part));
        for (size_t cut = 0; shard == 2 && cut + 1 < strlen(part); cut++) {
            save("cut.json", part, cut);
            expect("--merge @/cut.json", 1, "", 1);
        }
        free(part);
        snprintf(all + strlen(all), sizeof all - strlen(all), " @/%s", name);
    }
    char *merged = output_of(all);
    cr_expect_str_eq(merged, whole);
    free(merged);
    free(whole);
    expect(all, 1, "\"cases\": 11, \"passed\": 8, \"excused\": 1, \"failed\": 2", 0);
    expect("--merge @/1.json @/2.json", 1, "", 1);
    char *other = output_of("--json --shard 3/3 @/a.MOO");
    save("other.json", other, strlen(other));
    free(other);
    expect("--merge @/1.json @/2.json @/other.json", 1, "", 1);
    expect("--merge @/1.json @/2.json @/2.json @/3.json", 1, "", 1);
    expect("--merge @/a.MOO", 1, "", 1);
    expect("--merge @/none.json", 1, "", 1);
}

/* --- the command line */

Test(conform, complaints)
{
    struct craft craft;

    put_head(&craft, "V20 ", 1);
    put_add(&craft, AX + 1);
    save("v20.MOO", craft.bytes, craft.size);
    put_head(&craft, "C286", 1);
    put_add(&craft, AX + 1);
    save("a.MOO", craft.bytes, craft.size);
    save("empty.MOO", "", 0);
    save("text.MOO", "{\"json\": true}", 14);
    static const char *const bad[] = {
        "",
        "--shard 0/4 @/a.MOO",
        "--shard 5/4 @/a.MOO",
        "--shard 1 @/a.MOO",
        "--cpu 486 @/a.MOO",
        "--cpu",
        "--engine native @/a.MOO",
        "--what @/a.MOO",
        "--case 0 @/a.MOO",
        "--case x @/a.MOO",
        "-d nothing @/a.MOO",
        "-d",
        "--coverage --json @/a.MOO",
        "--coverage --merge @/a.MOO",
        "--tap --json @/a.MOO",
        "--junit @/none/x.xml @/a.MOO",
        "@/none.MOO",
        "@",
        "@/empty.MOO",
        "@/text.MOO",
        "@/v20.MOO",
    };
    for (unsigned i = 0; i < ARRAY_LENGTH(bad); i++)
        expect(bad[i], 1, "", 1);
    expect("@/v20.MOO @/a.MOO @/empty.MOO @", 1, "1 passed", 3);
    expect("--cpu 286 @/v20.MOO", 0, "1 passed", 0);
    expect("--help", 0, "--shard", 0);
}
