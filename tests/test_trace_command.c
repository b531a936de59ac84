/* `ring3 trace`: what it prints of a known trace, the files it exports, and hostile traces. */
#include "tests/trace_rig.h"
#include "base/log.h"
#include "tests/command_rig.h"
#include "tests/random.h"
#include "translate/listing.h"
#include "translate/trace_export.h"
#include "translate/trace_report.h"
#include "ui/trace_command.h"

TestSuite(trace_command, .fini = remove_folder);

/* --- running the command */

static struct run run(const char *arguments)
{
    return run_command(trace_main, "trace", arguments);
}

/* `expected`: lines that must stand in the output in this order, NULL at the end. */
static void expect_lines(const char *arguments, const char *const *expected)
{
    struct run result = run(arguments);
    const char *at = result.out;

    cr_expect_eq(result.status, 0, "%s: %s", arguments, result.err);
    cr_expect_str_empty(result.err, "%s: %s", arguments, result.err);
    for (; *expected; expected++) {
        char line[256];
        snprintf(line, sizeof line, "%s\n", *expected);
        const char *found = strstr(at, line);
        cr_assert_not_null(found, "%s: no '%s' in its place in:\n%s", arguments, *expected,
                           result.out);
        at = found + strlen(line);
    }
    done(&result);
}

static void expect_whole(const char *arguments, const char *expected)
{
    struct run result = run(arguments);

    cr_expect_eq(result.status, 0, "%s: %s", arguments, result.err);
    cr_expect_str_eq(result.out, expected, "%s: got\n%s\nexpected\n%s", arguments, result.out,
                     expected);
    done(&result);
}

/* One line, status 1, nothing on stdout. */
static void expect_complaint(const char *arguments, const char *complaint)
{
    struct run result = run(arguments);

    cr_expect_eq(result.status, 1, "%s", arguments);
    cr_expect_str_empty(result.out, "%s: %s", arguments, result.out);
    cr_expect_eq(strchr(result.err, '\n') - result.err + 1, (long)strlen(result.err), "%s: %s",
                 arguments, result.err);
    cr_expect_not_null(strstr(result.err, complaint), "%s: no '%s' in %s", arguments, complaint,
                       result.err);
    done(&result);
}

/* --- what is printed */

Test(trace_command, summary)
{
    rig_write_trace(path_of("a.trace"));
    expect_lines("@/a.trace",
                 (const char *const[]){
                     "9 instructions, 16 bytes; host code 34 bytes, 2.12 for each",
                     "  real 16-bit                 1  20.0%                  100  58.8%",
                     "  prot 32-bit                 3  60.0%                   64  37.6%",
                     "  64-bit                      1  20.0%                    6   3.5%",
                     "  = identical                 2  22.2%                  106  36.8%",
                     "  ~ rewritten                 5  55.6%                  170  59.0%",
                     "  ! callout                   1  11.1%                    6   2.1%",
                     "  ? interpreted               1  11.1%                    6   2.1%",
                     NULL,
                 });
}

Test(trace_command, list)
{
    rig_write_trace(path_of("a.trace"));
    expect_whole(
        "@/a.trace --list",
        "     block linear           physical      mode        insns guest  host       "
        "executed\n"
        "         3 ffffffff81000120 0000001000120 64-bit          4     9    24           "
        "   6\n"
        "         4 0000000000007c10 0000000007c10 real 16-bit     2     4     4           "
        " 100\n"
        "         9 0000000008048000 0000000333000 prot 32-bit     1     1     2           "
        "   7\n"
        "        10 0000000008048000 0000000444000 prot 32-bit     1     1     2           "
        "   7\n"
        "1099511627776 00000000c0100000 0000000100000 prot 32-bit     1     1     2       "
        "      50\n");
}

Test(trace_command, side_by_side)
{
    rig_write_trace(path_of("a.trace"));
    expect_whole(
        "--block 3 @/a.trace",
        "block 3: linear ffffffff81000120, physical 1000120, CR3 2a04000, 64-bit\n"
        "  4 instructions, 9 bytes; host code 24 bytes; executed 6 times (3.53%)\n"
        "                                                                         | 0000  push "
        "rbp\n"
        "= ffffffff81000120  4889d8            mov rax, rbx                       | 0001  mov rax, "
        "rbx\n"
        "~ ffffffff81000123  488b03            mov rax, qword ptr [rbx]           | 0004  lea r8, "
        "[rbx]\n"
        "                                                                         | 0007  mov rax, "
        "qword ptr [r8]\n"
        "! ffffffff81000126  fa                cli                                | 000a  call "
        "0xf\n"
        "? ffffffff81000127  0fa2              cpuid                              | 000f  call "
        "0x24\n"
        "  exits and slow paths                                                   | 0014  ud2\n"
        "                                                                         | 0016  pop rbp\n"
        "                                                                         | 0017  ret\n");
    /* Guest code in the guest's mode; addresses as the guest's RIP. */
    expect_lines("--block 4 @/a.trace",
                 (const char *const[]){
                     "block 4: linear 7c10, physical 7c10, RIP 10, CR3 0, real 16-bit",
                     "= 00000010  31c0                  xor ax, ax                             | "
                     "0000  xor ax, ax",
                     "~ 00000012  ebfc                  jmp 0x10                               | "
                     "0003  ret",
                     NULL,
                 });
    expect_lines("--block 0xa @/a.trace",
                 (const char *const[]){
                     "~ 08048000  40                    inc eax                                | "
                     "0000  inc eax",
                     NULL,
                 });
}

/* What Capstone does not know has the name of its row. */
Test(trace_command, bad_bytes)
{
    static const uint8_t bytes[] = {0x0f, 0x0a};
    static const struct trace_insn insn = {.row = OP_CPUID, .guest_length = 2};
    const struct trace_block block = {.id = 1,
                                      .mode = CODE_32,
                                      .guest = bytes,
                                      .guest_bytes = 2,
                                      .host = bytes + 1,
                                      .host_bytes = 1,
                                      .insns = &insn,
                                      .insn_count = 1};
    struct error error;
    struct trace_writer *writer = trace_open(path_of("a.trace"), &error);

    trace_block_translated(writer, &block);
    cr_assert_eq(trace_close(writer, &error), 0);
    expect_lines("--block 1 @/a.trace",
                 (const char *const[]){
                     "= 00000000  0f0a                  CPUID                                  | "
                     "0000  (bad)",
                     NULL,
                 });
}

/* The logs in_asm and out_asm: guest, host, or both. */
static char *logged(const char *channels)
{
    struct error error;

    cr_assert_eq(log_open(path_of("log"), &error), 0);
    log_select_none();
    cr_assert_eq(log_select(channels, &error), 0, "%s", error.text);
    listing_log(&rig_blocks[1]);
    fflush(log_stream());
    return (char *)rig_load_file(path_of("log")).bytes;
}

Test(trace_command, logs)
{
#define HEADING                                                                                    \
    "block 4: linear 7c10, physical 7c10, RIP 10, CR3 0, real 16-bit\n"                            \
    "  2 instructions, 4 bytes; host code 4 bytes\n"
    static const struct {
        const char *channels, *expected;
    } rows[] = {
        {"int", ""},
        {"in_asm", HEADING "= 00000010  31c0                  xor ax, ax\n"
                           "~ 00000012  ebfc                  jmp 0x10\n\n"},
        {"out_asm", HEADING "0000  xor ax, ax\n0003  ret\n\n"},
        {"in_asm,out_asm",
         HEADING "= 00000010  31c0                  xor ax, ax                             | "
                 "0000  xor ax, ax\n"
                 "~ 00000012  ebfc                  jmp 0x10                               | "
                 "0003  ret\n\n"},
    };

    for (unsigned i = 0; i < ARRAY_LENGTH(rows); i++) {
        char *got = logged(rows[i].channels);
        cr_expect_str_eq(got, rows[i].expected, "%s: got\n%s", rows[i].channels, got);
        free(got);
    }
}

Test(trace_command, top)
{
    rig_write_trace(path_of("a.trace"));
    expect_lines("--top 1000 @/a.trace",
                 (const char *const[]){
                     "  2 instructions, 4 bytes; host code 4 bytes; executed 100 times (58.82%)",
                     "  1 instruction, 1 byte; host code 2 bytes; executed 50 times (29.41%)",
                     "block 9: linear 8048000, physical 333000, CR3 11000, prot 32-bit",
                     "block 10: linear 8048000, physical 444000, CR3 22000, prot 32-bit",
                     "  4 instructions, 9 bytes; host code 24 bytes; executed 6 times (3.53%)",
                     NULL,
                 });
    struct run result = run("--top 2 @/a.trace");
    cr_expect_not_null(strstr(result.out, "block 4: "));
    cr_expect_not_null(strstr(result.out, "block 1099511627776: "));
    cr_expect_null(strstr(result.out, "block 9: "));
    done(&result);
}

Test(trace_command, policies)
{
    rig_write_trace(path_of("a.trace"));
    expect_lines("--policies @/a.trace",
                 (const char *const[]){
                     "  identical                   5  55.6%                  170  59.0%",
                     "  memory                      1  11.1%                    6   2.1%",
                     "  branch                      1  11.1%                  100  34.7%",
                     "  callout                     1  11.1%                    6   2.1%",
                     "  interp                      1  11.1%                    6   2.1%",
                     "identical: 3 rows",
                     "  XOR_EvGv                    1  20.0%                  100  58.8%",
                     "  INC_Zv                      3  60.0%                   64  37.6%",
                     "  MOV_EvGv                    1  20.0%                    6   3.5%",
                     "interp: 1 row",
                     "  CPUID                       1 100.0%                    6 100.0%",
                     NULL,
                 });
}

Test(trace_command, order)
{
    rig_write_trace(path_of("a.trace"));
    struct run result = run("--order @/a.trace");
    unsigned lines = 0;

    for (const char *at = result.out; (at = strchr(at, '\n')); at++)
        lines++;
    cr_expect_eq(lines, 52);
    cr_expect(
        !strncmp(result.out, "         4 0000000000007c10\n1099511627776 00000000c0100000\n", 40));
    done(&result);
}

/* --- drcov, read as its readers do: header, table of modules, entries of 8 bytes */

struct drcov {
    struct {
        unsigned long long start, end;
        char path[64];
    } module[8];
    unsigned module_count;
    struct {
        uint32_t offset;
        uint16_t bytes, module;
    } block[32];
    unsigned block_count;
};

static char *take_line(struct rig_file *file)
{
    char *line = (char *)file->bytes, *end = memchr(line, '\n', file->size);

    cr_assert_not_null(end);
    *end = 0;
    file->bytes = (uint8_t *)end + 1;
    file->size -= (size_t)(end + 1 - line);
    return line;
}

static void drcov_parse(struct drcov *drcov, const char *path)
{
    struct rig_file whole = rig_load_file(path), file = whole;
    int end = 0;

    cr_assert_str_eq(take_line(&file), "DRCOV VERSION: 2");
    cr_assert_str_eq(take_line(&file), "DRCOV FLAVOR: drcov");
    char *line = take_line(&file);
    cr_assert_eq(sscanf(line, "Module Table: version 3, count %u%n", &drcov->module_count, &end),
                 1);
    cr_assert(end && !line[end] && drcov->module_count <= ARRAY_LENGTH(drcov->module), "%s", line);
    cr_assert_str_eq(take_line(&file), "Columns: id, containing_id, start, end, entry, path");
    for (unsigned i = 0; i < drcov->module_count; i++) {
        unsigned id, containing;
        unsigned long long entry;
        line = take_line(&file);
        end = 0;
        cr_assert_eq(sscanf(line, "%u, %u, 0x%16llx, 0x%16llx, 0x%16llx, %63[^, ]%n", &id,
                            &containing, &drcov->module[i].start, &drcov->module[i].end, &entry,
                            drcov->module[i].path, &end),
                     6, "%s", line);
        cr_assert(end && !line[end], "%s", line);
        cr_assert_eq(id, i);
        cr_assert_eq(containing, i);
        cr_assert_gt(drcov->module[i].end, drcov->module[i].start);
    }
    line = take_line(&file);
    end = 0;
    cr_assert_eq(sscanf(line, "BB Table: %u bbs%n", &drcov->block_count, &end), 1, "%s", line);
    cr_assert(end && !line[end] && drcov->block_count <= ARRAY_LENGTH(drcov->block), "%s", line);
    cr_assert_eq(file.size, 8 * drcov->block_count);
    for (unsigned i = 0; i < drcov->block_count; i++) {
        const uint8_t *entry = file.bytes + 8 * i;
        drcov->block[i].offset = load_le32(entry);
        drcov->block[i].bytes = load_le16(entry + 4);
        drcov->block[i].module = load_le16(entry + 6);
        cr_assert_lt(drcov->block[i].module, drcov->module_count);
        unsigned module = drcov->block[i].module;
        cr_assert_leq(drcov->module[module].start + drcov->block[i].offset + drcov->block[i].bytes,
                      drcov->module[module].end);
    }
    free(whole.bytes);
}

/* Is there such an entry? */
static void expect_covered(const struct drcov *drcov, const char *path, uint64_t address,
                           unsigned bytes)
{
    unsigned found = 0;

    for (unsigned i = 0; i < drcov->block_count; i++) {
        unsigned module = drcov->block[i].module;
        found += !strcmp(drcov->module[module].path, path) &&
                 drcov->module[module].start + drcov->block[i].offset == address &&
                 drcov->block[i].bytes == bytes;
    }
    cr_expect_eq(found, 1, "%s %llx: %u", path, (unsigned long long)address, found);
}

Test(trace_command, drcov)
{
    struct drcov drcov;

    rig_write_trace(path_of("a.trace"));
    expect_whole("@/a.trace --drcov @/a.drcov", "");
    drcov_parse(&drcov, path_of("a.drcov"));
    cr_expect_eq(drcov.module_count, 5);
    cr_expect_eq(drcov.block_count, 5);
    expect_covered(&drcov, "guest-kernel-ffffffff00000000", 0xffffffff81000120, 9);
    expect_covered(&drcov, "guest-real", 0x7c10, 4);
    expect_covered(&drcov, "guest-11000-0", 0x8048000, 1);
    expect_covered(&drcov, "guest-22000-0", 0x8048000, 1);
    expect_covered(&drcov, "guest-kernel-0", 0xc0100000, 1);

    expect_whole("@/a.trace --drcov @/a.drcov --module vmlinux=0xffffffff81000000+0x200000 "
                 "--module init=0x8048000+0x1000",
                 "");
    drcov_parse(&drcov, path_of("a.drcov"));
    cr_expect_eq(drcov.module_count, 4);
    cr_expect_eq(drcov.block_count, 4); /* the program's blocks are one */
    expect_covered(&drcov, "vmlinux", 0xffffffff81000120, 9);
    expect_covered(&drcov, "init", 0x8048000, 1);
    cr_expect_eq(drcov.module[0].end, 0xffffffff81200000);
}

/* A block that was translated again covers what it covered. */
Test(trace_command, drcov_again)
{
    struct drcov drcov;
    struct error error;
    struct trace_writer *writer = trace_open(path_of("a.trace"), &error);

    for (unsigned i = 0; i < 12; i++) {
        struct trace_block block = rig_blocks[i % 3];
        block.id = i + 1;
        trace_block_translated(writer, &block);
    }
    cr_assert_eq(trace_close(writer, &error), 0);
    expect_whole("@/a.trace --drcov @/a.drcov", "");
    drcov_parse(&drcov, path_of("a.drcov"));
    cr_expect_eq(drcov.block_count, 3);
}

Test(trace_command, drcov_of_nothing)
{
    struct drcov drcov;
    struct error error;

    cr_assert_eq(trace_close(trace_open(path_of("a.trace"), &error), &error), 0);
    expect_whole("@/a.trace --drcov @/a.drcov", "");
    drcov_parse(&drcov, path_of("a.drcov"));
    cr_expect_eq(drcov.module_count, 0);
    cr_expect_eq(drcov.block_count, 0);
}

/* --- the perf map */

Test(trace_command, perf_map)
{
    rig_write_trace(path_of("a.trace"));
    expect_whole("@/a.trace --perf-map @/a.map", "");
    struct rig_file file = rig_load_file(path_of("a.map"));
    /* Block 4's place was used again by the last block. */
    cr_expect_str_eq((char *)file.bytes,
                     "7f0000001040 18 guest ffffffff81000120 (64-bit, block 3)\n"
                     "7f0000001082 2 guest c0100000 (prot 32-bit, block 1099511627776)\n"
                     "7f00000010c0 2 guest 8048000 (prot 32-bit, block 9)\n");
    free(file.bytes);
}

/* --- complaints */

Test(trace_command, complaints)
{
    static const struct {
        const char *arguments, *complaint;
    } rows[] = {
        {"", "trace: no file; see ring3 trace --help"},
        {"@/a.trace @/a.trace", "one trace at a time"},
        {"--top", "--top: needs a value"},
        {"--top 0 @/a.trace", "--top: 0 is out of range"},
        {"--top ten @/a.trace", "--top: 'ten' is no number"},
        {"--block x @/a.trace", "--block: 'x' is no number"},
        {"--block 5 @/a.trace", "--block 5: "},
        {"--what @/a.trace", "--what: no such option"},
        {"--list=yes @/a.trace", "--list=yes: no such option"},
        {"@/none", "none: cannot open: No such file or directory; check the path"},
        {"@", "this is a directory"},
        {"@/empty", "empty: empty; a trace begins with 'ring3trc'"},
        {"@/text", "text: no block trace"},
        {"@/text --drcov @/none", "text: no block trace"},
        {"@/a.trace --drcov @/a.trace", "it would overwrite the trace"},
        {"@/a.trace --perf-map @/a.trace", "it would overwrite the trace"},
        {"@/a.trace --perf-map @/none --drcov @/none", "need a file each"},
        {"@/a.trace --drcov @/none/none", "none/none: cannot create it: No such file"},
        {"@/a.trace --module a=0+1", "--module: it is for --drcov FILE"},
        {"@/a.trace --drcov @/none --module a", "--module a: write NAME=START+SIZE"},
        {"@/a.trace --drcov @/none --module a=1", "--module a=1: write NAME=START+SIZE"},
        {"@/a.trace --drcov @/none --module =1+1", "--module =1+1: write NAME=START+SIZE"},
        {"@/a.trace --drcov @/none --module a,b=1+1", "--module a,b=1+1: write NAME=START+SIZE"},
        {"@/a.trace --drcov @/none --module a=x+1", "--module START: 'x' is no number"},
        {"@/a.trace --drcov @/none --module a=1+0", "--module SIZE: 0 is out of range"},
        {"@/a.trace --drcov @/none --module a=0xffffffffffffffff+2", "beyond the last address"},
        {"@/homeless.trace --perf-map @/none", "does not tell where the code cache was"},
    };
    struct error error;

    rig_write_trace(path_of("a.trace"));
    cr_assert_eq(trace_close(trace_open(path_of("homeless.trace"), &error), &error), 0);
    struct rig_file before = rig_load_file(path_of("a.trace"));
    save("empty", "", 0);
    save("text", "text", 4);
    for (unsigned i = 0; i < ARRAY_LENGTH(rows); i++) {
        expect_complaint(rows[i].arguments, rows[i].complaint);
        cr_expect_neq(access(path_of("none"), F_OK), 0, "%s", rows[i].arguments);
    }
    struct rig_file after = rig_load_file(path_of("a.trace"));
    cr_assert_eq(after.size, before.size);
    cr_expect_arr_eq(after.bytes, before.bytes, before.size);
    free(before.bytes);
    free(after.bytes);
}

/* What stands before the damage is shown, then the damage is told. */
Test(trace_command, damaged)
{
    struct drcov drcov;

    rig_write_trace(path_of("a.trace"));
    struct rig_file file = rig_load_file(path_of("a.trace"));
    save("cut.trace", file.bytes, file.size - 1);
    struct run result = run("--top 1 --drcov @/a.drcov @/cut.trace");
    cr_expect_eq(result.status, 1);
    cr_expect_not_null(strstr(result.out, "block 4: "));
    cr_expect_not_null(strstr(result.err, "cut.trace: damaged at offset "), "%s", result.err);
    cr_expect_not_null(strstr(result.err, ": it is cut off; the 5 blocks before it were read\n"),
                       "%s", result.err);
    drcov_parse(&drcov, path_of("a.drcov"));
    cr_expect_eq(drcov.block_count, 5);
    done(&result);
    free(file.bytes);
}

/* --- hostile contents behind right checksums: any result, but whole and bounded */

static void use_everything(const char *path)
{
    static const struct trace_module module = {"image", 0x8048000, 0x1000};
    struct error error;
    struct trace trace;
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size), *nowhere = fopen("/dev/null", "w");

    if (!trace_read(&trace, path, NULL, NULL, &error)) {
        trace_report_summary(&trace, out);
        trace_report_list(&trace, out);
        cr_expect_eq(trace_report_policies(&trace, out, &error), 0);
        cr_expect_eq(trace_report_top(&trace, out, 10, &error), 0);
        cr_expect_eq(trace_export_drcov(&trace, &module, 1, nowhere, &error), 0);
        trace_export_perf_map(&trace, out, &error);
        trace_free(&trace);
    }
    fclose(out);
    fclose(nowhere);
    for (size_t i = 0; i < size; i++)
        cr_assert(text[i] == '\n' || (text[i] >= ' ' && text[i] <= '~'), "byte %02x", text[i]);
    free(text);
}

static void mutate(struct rig_chunk *chunk, struct random *dice)
{
    static const uint8_t edges[] = {0x00, 0x01, 0x7f, 0x80, 0xff, 0x10};
    size_t at = random_next(dice) % chunk->size;

    switch (random_next(dice) % 4) {
    case 0:
        chunk->bytes[at] ^= (uint8_t)(1 << random_next(dice) % 8);
        break;
    case 1:
        chunk->bytes[at] = edges[random_next(dice) % ARRAY_LENGTH(edges)];
        break;
    case 2: /* cut short */
        chunk->size = at;
        break;
    default: /* repeated from somewhere else */
        memmove(chunk->bytes, chunk->bytes + at, chunk->size - at);
    }
}

Test(trace_command, hostile, .timeout = 300)
{
    enum { ROUNDS = 1500 };
    struct random dice = {0x9e3779b97f4a7c15};
    struct rig_chunks chunks;

    rig_write_trace(path_of("a.trace"));
    struct rig_file file = rig_load_file(path_of("a.trace"));
    for (unsigned round = 0; round < ROUNDS; round++) {
        rig_take_apart(&file, &chunks);
        for (unsigned n = random_next(&dice) % 4 + 1; n; n--) {
            struct rig_chunk *chunk = &chunks.chunk[random_next(&dice) % chunks.count];
            if (chunk->size)
                mutate(chunk, &dice);
        }
        if (random_next(&dice) % 4 == 0) {
            struct rig_chunk *a = &chunks.chunk[random_next(&dice) % chunks.count];
            struct rig_chunk *b = &chunks.chunk[random_next(&dice) % chunks.count];
            struct rig_chunk swap = *a;
            *a = *b;
            *b = swap;
        }
        rig_put_together(path_of("hostile.trace"), &chunks);
        use_everything(path_of("hostile.trace"));
        rig_free_chunks(&chunks);
    }
    free(file.bytes);
}
