/* `ring3 conform` on the SingleStepTests JSON layout: whole files, missing fields, wrong types,
 * files that are cut off. */
#include "tests/conform_rig.h"

#include "conform/json_cases.h"

#include <zlib.h>

static const char add_16[] =
    "{\"name\": \"add al,1\", \"bytes\": [4, 1, 244],"
    " \"initial\": {\"regs\": {\"ax\": 4660, \"bx\": 0, \"cx\": 0, \"dx\": 0, \"cs\": 0, \"ss\": 0,"
    " \"ds\": 0, \"es\": 0, \"sp\": 32768, \"bp\": 0, \"si\": 0, \"di\": 0, \"ip\": 4096,"
    " \"flags\": 2}, \"ram\": [[4096, 4], [4097, 1], [4098, 244]], \"queue\": []},"
    " \"final\": {\"regs\": {\"ax\": 4661, \"ip\": 4099, \"flags\": 6}, \"ram\": [], \"queue\": "
    "[]},"
    " \"cycles\": [[1, 4096, \"PASV\"]], \"hash\": \"00\", \"idx\": 7}";

static const char add_32[] =
    "{\"name\": \"add eax,80000001h\", \"bytes\": [102, 5, 1, 0, 0, 128, 244],"
    " \"initial\": {\"regs\": {\"cr0\": 0, \"eax\": 2147483647, \"ebx\": 0, \"ecx\": 0, \"edx\": 0,"
    " \"esi\": 0, \"edi\": 0, \"ebp\": 0, \"esp\": 0, \"cs\": 0, \"ds\": 0, \"es\": 0, \"fs\": 0,"
    " \"gs\": 0, \"ss\": 0, \"eip\": 4096, \"eflags\": 2}, \"ram\": [[4096, 102], [4097, 5],"
    " [4098, 1], [4101, 128], [4102, 244]]},"
    " \"final\": {\"regs\": {\"eax\": 0, \"eip\": 4103, \"eflags\": 87}, \"ram\": []}}";

TestSuite(conform_json, .fini = remove_folder);

static void save_text(const char *name, const char *text)
{
    save(name, text, strlen(text));
}

/* A file of `count` cases, each `text`. */
static char *list(const char *text, unsigned count)
{
    size_t size = (strlen(text) + 2) * count + 3, at = 1;
    char *whole = malloc(size);

    whole[0] = '[';
    for (unsigned i = 0; i < count; i++)
        at += (size_t)snprintf(whole + at, size - at, "%s%s", i ? ",\n" : "", text);
    whole[at] = ']';
    whole[at + 1] = 0;
    return whole;
}

/* `text` with its first `from` made `to`. */
static char *with(const char *text, const char *from, const char *to)
{
    const char *at = strstr(text, from);
    size_t size = strlen(text) + strlen(to) + 1;
    char *changed = malloc(size);

    cr_assert_not_null(at, "%s", from);
    snprintf(changed, size, "%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
    return changed;
}

Test(conform_json, passes)
{
    char *three = list(add_16, 3), *wide = list(add_32, 2);

    save_text("286.json", three);
    save_text("other.json", three);
    save_text("wide.json", wide);
    expect("@/286.json", 0, "3 cases in 1 files: 3 passed", 0);
    expect("--engine both @/286.json", 0, "3 passed", 0);
    expect("@/other.json", 1, "0 cases", 1);
    expect("--cpu 8086 @/other.json", 1, "8086  04", 0);
    expect("--cpu 286 @/other.json", 0, "3 passed", 0);
    expect("@/wide.json", 0, "386   05       add              2        2", 0);
    expect("@/wide.json @/286.json", 0, "5 cases in 2 files: 5 passed", 0);
    free(three);
    free(wide);
    save_text("286.json", " [ ] ");
    expect("@/286.json", 0, "0 cases in 1 files", 0);
}

Test(conform_json, fails)
{
    char *wrong = with(add_16, "4661", "4662"), *whole = list(wrong, 1);

    save_text("286.json", whole);
    expect("@/286.json", 1, "case 7 in interp: add al,1 [add: 04 01 f4]", 0);
    expect("@/286.json", 1, "expected eax=1236\n  got      eax=1235\n", 0);
    free(wrong);
    free(whole);
}

/* The line names file, case and field, and the cases around it run. */
Test(conform_json, damaged_fields)
{
    static const char *const damage[][3] = {
        {"\"bytes\":", "\"bites\":", "bytes: missing"},
        {"[4, 1, 244]", "[4, 1, 256]", "bytes: not a list of bytes"},
        {"[4, 1, 244]", "\"04\"", "bytes: not a list"},
        {"\"initial\":", "\"first\":", "initial: missing"},
        {"\"regs\":", "\"registers\":", "initial.regs: missing"},
        {"\"ax\": 4660,", "", "initial.regs.ax: missing"},
        {"\"ax\": 4660,", "\"ax\": \"4660\",", "initial.regs.ax: not a number"},
        {"\"ax\": 4660,", "\"ax\": 65536,", "initial.regs.ax: not a number that the register"},
        {"\"ax\": 4660,", "\"ax\": -1,", "initial.regs.ax: not a number"},
        {"\"ax\": 4660,", "\"ax\": 4660, \"fx\": 1,", "initial.regs: there is a register"},
        {"\"ram\":", "\"memory\":", "initial.ram: missing"},
        {"[4097, 1]", "[4097]", "initial.ram[1]: not an address and a byte"},
        {"[4097, 1]", "[4097, -1]", "initial.ram[1]: not an address and a byte"},
        {"[4097, 1]", "4097", "initial.ram[1]: not an address and a byte"},
        {"\"final\":", "\"last\":", "final: missing"},
        {"\"regs\": {\"ax\": 4661", "\"regs\": [], \"x\": {\"ax\": 4661",
         "final.regs: not an object"},
        {"\"ram\": [],", "", "final.ram: missing"},
        {"\"idx\": 7", "\"exception\": {}", "exception.number: missing"},
    };
    for (unsigned i = 0; i < ARRAY_LENGTH(damage); i++) {
        char text[4096], line[160];
        char *wrong = with(add_16, damage[i][0], damage[i][1]);
        snprintf(text, sizeof text, "[%s, %s, %s]", add_16, wrong, add_16);
        free(wrong);
        save_text("286.json", text);
        struct run result = run("@/286.json");
        snprintf(line, sizeof line, "/286.json: case 1: %s", damage[i][2]);
        cr_expect_eq(result.status, 1, "%s", line);
        cr_expect_eq(result.complaints, 1, "%s", result.err);
        cr_expect_not_null(strstr(result.err, line), "no '%s' in: %s", line, result.err);
        cr_expect_not_null(strstr(result.out, "2 cases in 1 files: 2 passed"), "%s: %s", line,
                           result.out);
        done(&result);
    }
}

/* Whatever is cut off: one line, and the cases before it run, as do other files. */
Test(conform_json, truncated)
{
    char *whole = list(add_16, 2);

    save_text("b286.json", whole);
    for (size_t size = 0; size < strlen(whole); size += 7) {
        save("a286.json", whole, size);
        struct run result = run("@/a286.json @/b286.json");
        cr_expect_eq(result.status, 1, "%zu bytes", size);
        cr_expect_eq(result.complaints, 1, "%zu bytes: %s", size, result.err);
        cr_expect_not_null(strstr(result.err, size ? "offset " : "empty"), "%s", result.err);
        unsigned cases = 2 + (size > strlen(add_16)) + (size > 2 * strlen(add_16) + 2);
        char line[64];
        snprintf(line, sizeof line, "%u cases in 2 files: %u passed", cases, cases);
        cr_expect_not_null(strstr(result.out, line), "%zu bytes: no '%s' in %s", size, line,
                           result.out);
        done(&result);
    }
    free(whole);
}

/* Any byte may be anything: the reader neither crashes nor hangs. */
Test(conform_json, any_byte)
{
    static const char values[] = "\0\x01\x7f\x80\xff[]{}\",:-9e\\";
    char *whole = list(add_16, 2);

    const struct file_bytes file = {
        .path = "a.json", .bytes = (uint8_t *)whole, .size = strlen(whole)};
    for (size_t at = 0; at < file.size; at++)
        for (unsigned i = 0; i < sizeof values - 1; i++) {
            struct json_cases json;
            struct error error;
            struct test_case test;
            unsigned results = 0;
            char kept = whole[at];
            whole[at] = values[i];
            if (!json_cases_open(&json, &file, &error)) {
                while (json_cases_next(&json, &test, &error) != READ_END)
                    cr_assert_lt(results++, 100);
                json_cases_close(&json);
            }
            whole[at] = kept;
        }
    free(whole);
}

Test(conform_json, compressed)
{
    char *whole = list(add_16, 2);
    gzFile file = gzopen(path_of("286.json.gz"), "wb");

    cr_assert_eq(gzwrite(file, whole, (unsigned)strlen(whole)), (int)strlen(whole));
    gzclose(file);
    expect("@/286.json.gz", 0, "2 passed", 0);
    free(whole);
}

/* Lists within lists, deeper than any stack. */
Test(conform_json, depth)
{
    size_t size = 1 << 20;
    char *deep = malloc(size);

    memset(deep, '[', size);
    save("286.json", deep, size);
    expect("@/286.json", 1, "0 cases", 1);
    free(deep);
}
