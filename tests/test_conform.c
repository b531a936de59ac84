/* `ring3 conform`: crafted MOO files, whole and damaged, and what the command makes of them. */
#include "tests/conform_rig.h"

#include "conform/source.h"

#include <zlib.h>

/* --- crafting files */

struct craft {
    uint8_t bytes[8192];
    size_t size;
    size_t open[4]; /* offsets of the heads of the open chunks */
    unsigned depth;
};

static void put(struct craft *craft, const void *bytes, size_t size)
{
    cr_assert_leq(craft->size + size, sizeof craft->bytes);
    memcpy(craft->bytes + craft->size, bytes, size);
    craft->size += size;
}

static void put_32(struct craft *craft, uint32_t value)
{
    put(craft, &value, 4);
}

static void put_16(struct craft *craft, uint16_t value)
{
    put(craft, &value, 2);
}

static void chunk_open(struct craft *craft, const char *type)
{
    craft->open[craft->depth++] = craft->size;
    put(craft, type, 4);
    put_32(craft, 0);
}

static void chunk_close(struct craft *craft)
{
    size_t head = craft->open[--craft->depth];
    uint32_t length = (uint32_t)(craft->size - head - 8);
    memcpy(craft->bytes + head + 4, &length, 4);
}

static void put_head(struct craft *craft, const char *cpu, uint32_t cases)
{
    craft->size = craft->depth = 0;
    chunk_open(craft, "MOO ");
    put_32(craft, 0x0101);
    put_32(craft, cases);
    put(craft, cpu, 4);
    chunk_close(craft);
    chunk_open(craft, "META");
    put(craft, "not looked at", 13);
    chunk_close(craft);
}

struct byte {
    uint32_t address;
    uint8_t value;
};

static void put_memory(struct craft *craft, const struct byte *bytes, unsigned count)
{
    chunk_open(craft, "RAM ");
    put_32(craft, count);
    for (unsigned i = 0; i < count; i++) {
        put_32(craft, bytes[i].address);
        put(craft, &bytes[i].value, 1);
    }
    chunk_close(craft);
}

/* The order of the 16-bit register chunk. */
enum { M_AX = 1, M_CX = 4, M_SP = 0x100, M_IP = 0x1000, M_FLAGS = 0x2000, M_ALL = 0x3fff };

enum { CODE = 0x1000, STACK_TOP = 0x8000, AX = 0x1234, PF = 6 /* with bit 1 */ };

/* A case of `code` at 0:1000h with AX = 1234h, SS:SP = 0:8000h and all else 0; FINA's chunks
 * follow. The instruction's memory reaches to the HLT behind it. */
static void case_open(struct craft *craft, const char *name, const uint8_t *code, unsigned length,
                      const struct byte *more, unsigned more_count)
{
    struct byte memory[32];
    unsigned count = 0;

    for (unsigned i = 0; i < length; i++)
        memory[count++] = (struct byte){CODE + i, code[i]};
    memory[count++] = (struct byte){CODE + length, 0xf4};
    for (unsigned i = 0; i < more_count; i++)
        memory[count++] = more[i];
    chunk_open(craft, "TEST");
    put_32(craft, 7);
    chunk_open(craft, "NAME");
    put_32(craft, (uint32_t)strlen(name));
    put(craft, name, strlen(name));
    chunk_close(craft);
    chunk_open(craft, "BYTS");
    put_32(craft, length + 1);
    for (unsigned i = 0; i <= length; i++)
        put(craft, &memory[i].value, 1);
    chunk_close(craft);
    chunk_open(craft, "INIT");
    chunk_open(craft, "REGS");
    put_16(craft, M_ALL);
    for (unsigned n = 0; n < 14; n++)
        put_16(craft, n == 0 ? AX : n == 8 ? STACK_TOP : n == 12 ? CODE : n == 13 ? 2 : 0);
    chunk_close(craft);
    put_memory(craft, memory, count);
    chunk_close(craft);
    chunk_open(craft, "FINA");
}

static void case_close(struct craft *craft)
{
    chunk_close(craft);
    chunk_close(craft);
}

/* Expected: AX, IP behind the HLT, flags. */
static void put_ax_flags(struct craft *craft, uint16_t ax, uint16_t ip, uint16_t flags)
{
    chunk_open(craft, "REGS");
    put_16(craft, M_AX | M_IP | M_FLAGS);
    put_16(craft, ax);
    put_16(craft, ip);
    put_16(craft, flags);
    chunk_close(craft);
}

static const uint8_t add_al_1[] = {0x04, 0x01};

static void put_add(struct craft *craft, uint16_t result)
{
    case_open(craft, "add al,1", add_al_1, 2, NULL, 0);
    put_ax_flags(craft, result, CODE + 3, PF);
    case_close(craft);
}

static void expect_craft(const struct craft *craft, const char *options, int status,
                         const char *in_out, unsigned complaints)
{
    char arguments[128];
    save("a.MOO", craft->bytes, craft->size);
    snprintf(arguments, sizeof arguments, "%s @/a.MOO", options);
    expect(arguments, status, in_out, complaints);
}

/* DIV BL with BL = 0 goes through vector 0 to 0:2000h. */
static void put_divide(struct craft *craft, uint8_t pushed_flags, uint8_t pushed_ip)
{
    static const uint8_t divide[] = {0xf6, 0xf3};
    static const struct byte handler[] = {{0, 0}, {1, 0x20}, {2, 0}, {3, 0}, {0x2000, 0xf4}};
    const struct byte frame[] = {{STACK_TOP - 6, pushed_ip},
                                 {STACK_TOP - 5, CODE >> 8},
                                 {STACK_TOP - 4, 0},
                                 {STACK_TOP - 3, 0},
                                 {STACK_TOP - 2, pushed_flags}};

    case_open(craft, "div bl", divide, 2, handler, 5);
    chunk_open(craft, "REGS");
    put_16(craft, M_SP | M_IP);
    put_16(craft, STACK_TOP - 6);
    put_16(craft, 0x2001);
    chunk_close(craft);
    put_memory(craft, frame, 5);
    chunk_close(craft); /* FINA */
    chunk_open(craft, "EXCP");
    put(craft, "", 1);
    put_32(craft, STACK_TOP - 2);
    chunk_close(craft);
    chunk_close(craft);
}

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
    case_open(&craft, "mov [5000h],al", store, 3, NULL, 0);
    put_ax_flags(&craft, AX, CODE + 4, 2);
    case_close(&craft);
    case_open(&craft, "mov al,[5000h]", load, 3, NULL, 0);
    put_ax_flags(&craft, 0x1200, CODE + 4, 2);
    case_close(&craft);
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
        case_open(&craft, "hides", codes[i], lengths[i], NULL, 0);
        put_ax_flags(&craft, AX, (uint16_t)(CODE + lengths[i] + 1), 2);
        case_close(&craft);
        case_open(&craft, "mov al,[5000h]", load, 3, NULL, 0);
        put_ax_flags(&craft, 0x1200, CODE + 4, 2);
        case_close(&craft);
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
    case_open(&craft, "inc ax", increment, 1, NULL, 0);
    put_ax_flags(&craft, AX + 1, CODE + 2, PF);
    case_close(&craft);
    case_open(&craft, "dec ax", decrement, 1, NULL, 0);
    put_ax_flags(&craft, AX - 1, CODE + 2, PF);
    case_close(&craft);
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
    case_open(&craft, "jmp $", loop, 2, NULL, 0);
    put_ax_flags(&craft, AX, CODE, 2);
    case_close(&craft);
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
    case_open(&craft, "rep stosb", store, 2, NULL, 0);
    put_ax_flags(&craft, AX, CODE + 2, 0xf002);
    case_close(&craft);
    case_open(&craft, "add al,1", add_al_1, 2, NULL, 0);
    put_ax_flags(&craft, AX + 1, CODE + 2, 0xf006);
    case_close(&craft);
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

static void put_mask(struct craft *craft, uint16_t mask)
{
    chunk_open(craft, "RMSK");
    put_16(craft, M_FLAGS);
    put_16(craft, mask);
    chunk_close(craft);
}

Test(conform, masks)
{
    struct craft craft;

    put_head(&craft, "C286", 1); /* none: PF, here wrong, counts */
    case_open(&craft, "add al,1", add_al_1, 2, NULL, 0);
    put_ax_flags(&craft, AX + 1, CODE + 3, 2);
    case_close(&craft);
    expect_craft(&craft, "", 1, "expected eflags=2", 0);

    put_head(&craft, "C286", 1); /* of the file */
    put_mask(&craft, 0xfffb);
    case_open(&craft, "add al,1", add_al_1, 2, NULL, 0);
    put_ax_flags(&craft, AX + 1, CODE + 3, 2);
    case_close(&craft);
    expect_craft(&craft, "", 0, "1 passed", 0);

    put_head(&craft, "C286", 2); /* of one case, before and behind its registers; not of the next */
    case_open(&craft, "add al,1", add_al_1, 2, NULL, 0);
    put_ax_flags(&craft, AX + 1, CODE + 3, 2);
    put_mask(&craft, 0xfffb);
    case_close(&craft);
    case_open(&craft, "add al,1", add_al_1, 2, NULL, 0);
    put_ax_flags(&craft, AX + 1, CODE + 3, 2);
    case_close(&craft);
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
    case_open(&craft, "ud2", undefined, 2, NULL, 0);
    put_ax_flags(&craft, AX, CODE + 3, 2);
    case_close(&craft);
    expect_craft(&craft, "", 1, " exception 6\n", 0);
}

/* OF of a shift is undefined but for a count of 1. */
Test(conform, differences_are_narrow)
{
    static const uint8_t by_1[] = {0xc0, 0xe0, 0x01}, by_2[] = {0xc0, 0xe0, 0x02};
    struct craft craft;

    put_head(&craft, "C286", 1);
    case_open(&craft, "shl al,1", by_1, 3, NULL, 0);
    put_ax_flags(&craft, 0x1268, CODE + 4, 0x0802);
    case_close(&craft);
    expect_craft(&craft, "", 1, "1 failed", 0);

    put_head(&craft, "C286", 1);
    case_open(&craft, "shl al,2", by_2, 3, NULL, 0);
    put_ax_flags(&craft, 0x12d0, CODE + 4, 0x0082);
    case_close(&craft);
    save("a.MOO", craft.bytes, craft.size);
    struct run whole = run("@/a.MOO");
    bool sets = strstr(whole.out, "1 excused") != NULL;
    done(&whole);
    put_head(&craft, "C286", 1);
    case_open(&craft, "shl al,2", by_2, 3, NULL, 0);
    put_ax_flags(&craft, 0x12d0, CODE + 4, 0x0882);
    case_close(&craft);
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

/* --- damage */

/* Unknown chunks on every level are passed over. */
static void put_sample(struct craft *craft)
{
    put_head(craft, "C286", 2);
    chunk_open(craft, "WHAT");
    put(craft, "ever", 4);
    chunk_close(craft);
    put_mask(craft, 0xffff);
    case_open(craft, "add al,1", add_al_1, 2, NULL, 0);
    chunk_open(craft, "NEW ");
    chunk_close(craft);
    put_ax_flags(craft, AX + 1, CODE + 3, PF);
    chunk_close(craft);
    chunk_open(craft, "HASH");
    put(craft, "01234567890123456789", 20);
    chunk_close(craft);
    chunk_close(craft);
    put_add(craft, AX + 1);
}

Test(conform, truncated)
{
    struct craft craft;

    put_sample(&craft);
    expect_craft(&craft, "", 0, "2 passed", 0);
    for (size_t size = 0; size < craft.size; size++) {
        save("a.MOO", craft.bytes, size);
        struct run result = run("@/a.MOO");
        cr_expect_eq(result.status, 1, "%zu bytes", size);
        cr_expect_eq(result.complaints, 1, "%zu bytes: %s", size, result.err);
        done(&result);
    }
}

/* A second, whole file is run all the same. */
Test(conform, damaged_lengths)
{
    static const uint32_t lengths[] = {0xffffffff, 0x7fffffff, 0x80000000};
    struct craft craft, whole;

    put_head(&whole, "C286", 1);
    put_add(&whole, AX + 1);
    save("b.MOO", whole.bytes, whole.size);
    put_sample(&craft);
    for (size_t at = 0; at + 8 <= craft.size; at++) {
        static const char types[] = "MOO METAWHATRMSKTESTNAMEBYTSINITREGSRAM FINANEW HASH";
        char type[5] = "";
        memcpy(type, craft.bytes + at, 4);
        if (!memchr("MWRTNBIFH", type[0], 9) || strlen(type) < 4 || !strstr(types, type))
            continue;
        for (unsigned i = 0; i < ARRAY_LENGTH(lengths); i++) {
            struct craft damaged = craft;
            memcpy(damaged.bytes + at + 4, &lengths[i], 4);
            save("a.MOO", damaged.bytes, damaged.size);
            struct run result = run("@/a.MOO @/b.MOO");
            cr_expect_eq(result.status, 1, "%s at %zu", type, at);
            cr_expect_eq(result.complaints, 1, "%s at %zu: %s", type, at, result.err);
            cr_expect_not_null(strstr(result.err, "offset "), "%s", result.err);
            cr_expect_not_null(strstr(result.out, " in 2 files"), "%s", result.out);
            cr_expect_not_null(strstr(result.out, "; 1 files damaged"), "%s", result.out);
            done(&result);
        }
    }
}

/* Damage within one case costs that case only. */
Test(conform, damaged_case)
{
    struct craft craft;

    put_sample(&craft);
    uint8_t *name = memmem(craft.bytes, craft.size, "NAME", 4);
    memset(name + 8, 0xff, 4);
    expect_craft(&craft, "", 1, "1 cases in 1 files: 1 passed", 1);
}

/* Any byte may be anything: the reader neither crashes nor hangs, and says what it finds. */
Test(conform, any_byte)
{
    static const uint8_t values[] = {0x00, 0x01, 0x7f, 0x80, 0xff};
    struct craft craft;
    struct source source;
    struct error error;
    struct test_case test;

    put_sample(&craft);
    for (size_t at = 0; at < craft.size; at++)
        for (unsigned i = 0; i < ARRAY_LENGTH(values); i++) {
            struct craft damaged = craft;
            unsigned results = 0;
            damaged.bytes[at] = values[i];
            save("a.MOO", damaged.bytes, damaged.size);
            if (source_open(&source, path_of("a.MOO"), &error))
                continue;
            while (source_next(&source, &test, &error) != READ_END)
                cr_assert_lt(results++, 100);
            source_close(&source);
        }
}

Test(conform, compressed)
{
    struct craft craft;
    uint8_t packed[8192];
    char path[64];

    put_sample(&craft);
    snprintf(path, sizeof path, "%s", path_of("a.MOO.gz"));
    gzFile file = gzopen(path, "wb");
    cr_assert_eq(gzwrite(file, craft.bytes, (unsigned)craft.size), (int)craft.size);
    gzclose(file);
    expect("@/a.MOO.gz", 0, "2 passed", 0);

    FILE *in = fopen(path, "rb");
    size_t size = fread(packed, 1, sizeof packed, in);
    fclose(in);
    for (size_t cut = 3; cut < size; cut += 5) {
        save("cut.gz", packed, cut);
        struct run result = run("@/cut.gz");
        cr_expect_eq(result.status, 1, "%zu bytes", cut);
        cr_expect_eq(result.complaints, 1, "%zu bytes: %s", cut, result.err);
        done(&result);
    }
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
