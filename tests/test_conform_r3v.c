/* Cases in ring3's own format: what is compared, what is refused, reading and writing, damage. */
#include "tests/conform_rig.h"

#include "conform/r3v.h"
#include "conform/state_runner.h"

TestSuite(conform_r3v, .fini = remove_folder);

static const char sample[] =
    "r3v 1\n"
    "# a comment\n"
    "\n"
    "case first\n"
    "see SDM 2A ADD\n"
    "mode long cpl 3\n"
    "init rax=7fffffffffffffff rcx=1 ymm3=123456789abcdef00112233445566778899\n"
    "code 4801c8\n"
    "memory 30000 01 02 0304\n"
    "quad 31000 1122334455667788 9\n"
    "expect rax=8000000000000000 rflags=896\n"
    "ignore rflags=10 fip\n"
    "end\n"
    "case second\n"
    "mode paged32\n"
    "needs sse3 avx2\n"
    "init rbx=30000\n"
    "dword d0c0 0\n"
    "code 8b03 90\n"
    "steps 2\n"
    "exception 14 error=0 address=30000\n"
    "end\n"
    "case third\n"
    "mode real\n"
    "init rax=5\n"
    "code 8907\n"
    "expect-memory 30000 0500\n"
    "end\n";

static void expect_text(const char *text, int status, const char *in_out, unsigned complaints)
{
    save("a.r3v", text, strlen(text));
    expect("--engine both @/a.r3v", status, in_out, complaints);
}

Test(conform_r3v, passes)
{
    expect_text(sample, 0, "3 cases in 1 files: 3 passed", 0);
    expect_text("r3v 1\r\ncase x\r\nmode real\r\ncode 90\r\nend\r\n", 0, "1 passed", 0);
    expect_text("r3v 1\n", 0, "0 cases", 0);
    save("a.r3v", sample, strlen(sample));
    expect("--only 8? @/a.r3v", 0, "2 cases in 1 files: 2 passed", 0);
}

/* Each of these cases expects one thing wrongly. */
Test(conform_r3v, everything_is_compared)
{
    static const char *const cases[][2] = {
        {"mode long\ncode 90\nexpect rax=1\n", "  expected rax=1\n  got      rax=0\n"},
        {"mode long\ninit rax=1\ncode 4831c0\nexpect rflags=46\n", "  got      rax=0\n"},
        {"mode long\ncode 90\nexpect rip=10000\n", "  got      rip=10001\n"},
        {"mode long\ncode 4883c003\nexpect rax=3\n", "  expected rflags=2"},
        {"mode long\ncode 90\nexpect ymm7=1\n", "  expected ymm7=1\n"},
        {"mode long\ncode 90\nexpect fpr0=3fff8000000000000000\n",
         "  expected fpr0=3fff8000000000000000\n"},
        {"mode long\ncode 90\nexpect ds.limit=fff\n", "  got      ds.limit=ffffffff\n"},
        {"mode long\ncode 90\nexpect cr0=1\n", "  expected cr0=1\n"},
        {"mode long\ncode 90\nexpect lstar=1\n", "  expected lstar=1\n"},
        {"mode long\ncode 90\nexpect-memory 30000 01\n",
         "  expected 30000:01\n  got      30000:00\n"},
        {"mode long\ncode 90\nexpect-memory 500000 01\n", "  expected 500000:01\n"},
        {"mode long\ninit rbx=500000\ncode c60301\n",
         "  expected 500000:00\n  got      500000:01\n"},
        {"mode long\ncode 90\nexception 13\n", "  got      rip=10001 no exception\n"},
        {"mode long\ncode f4\nexpect cpl=3\n", "  expected cpl=3\n"},
        {"mode long cpl 3\ncode f4\n", "  got      rip=10000 exception 13 error=0\n"},
        {"mode long cpl 3\ncode f4\nexception 13 error=8\n", "  got      exception 13 error=0\n"},
        {"mode long cpl 3\ncode f4\nexception 12 error=0\n", "  got      exception 13 error=0\n"},
        {"mode paged32\ninit rbx=30000\ndword d0c0 0\ncode 8b03\nexception 14 address=30004\n",
         "  got      exception 14 error=0 address=30000\n"},
        {"mode long\ninit rflags=102\ncode 90\nexception 1 dr6=1\nexpect rip=10001\n",
         "  got      exception 1 dr6=4000\n"},
        {"mode long\ncode ebfe90\nsteps 1000\n", "  expected rip=10003\n  got      rip=10000\n"},
        {"mode long\ninit idtr.limit=0\ncode 0f0b\ndeliver\n", "and it does not end\n"},
    };
    for (unsigned i = 0; i < ARRAY_LENGTH(cases); i++) {
        char text[512];
        snprintf(text, sizeof text, "r3v 1\ncase x\n%send\n", cases[i][0]);
        expect_text(text, 1, cases[i][1], 0);
        expect_text(text, 1, "interp: 0 passed, 0 excused, 1 failed\n", 0);
        expect_text(text, 1, "translate: 0 passed, 0 excused, 1 failed\n", 0);
    }
    expect_text("r3v 1\ncase x\nmode long\ncode 4883c003\nexpect rax=3\nignore rflags\nend\n", 0,
                "1 passed", 0);
    expect_text("r3v 1\ncase x\nmode long\ninit rax=1\ncode 4831c0\nexpect rax=0\n"
                "ignore rflags=40\nend\n",
                1, "  expected rflags=2\n  got      rflags=46\n", 0);
}

/* A case that has these lines, and a whole one behind it: the command says `complaint` of the first
 * and ends with `summary`. */
static void expect_complaint(const char *lines, const char *complaint, const char *summary)
{
    char text[512];
    snprintf(text, sizeof text, "r3v 1\ncase x\n%send\ncase y\nmode real\ncode 90\nend\n", lines);
    save("a.r3v", text, strlen(text));
    struct run result = run("--engine both @/a.r3v");
    cr_expect_eq(result.status, 1, "%s", text);
    cr_expect_eq(result.complaints, 1, "%s: %s", text, result.err);
    cr_expect_not_null(strstr(result.err, complaint), "no '%s' in %s", complaint, result.err);
    cr_expect_not_null(strstr(result.out, summary), "%s: %s", text, result.out);
    done(&result);
}

/* One line, with offset and number of the line; the case behind it runs. */
Test(conform_r3v, damaged)
{
    static const char *const damage[][2] = {
        {"mode lung\ncode 90\n", "line 3: mode: real, v86"},
        {"mode real cpl 3\n", "line 3: mode"},
        {"mode long cpl 1\n", "line 3: mode"},
        {"mode long\nmode long\n", "line 4: mode: is there twice"},
        {"code 90\n", "end: the case has no mode, or no code"},
        {"mode long\n", "end: the case has no mode, or no code"},
        {"mode long\ncode 9\n", "line 4: 9: not bytes"},
        {"mode long\ncode\n", "line 4: no bytes"},
        {"init rax=1\n", "line 3: init: mode comes first"},
        {"mode long\ninit rox=1\n", "line 4: rox: no such field"},
        {"mode long\ninit rax\n", "line 4: rax: no hexadecimal number"},
        {"mode long\ninit rax=\n", "line 4: rax: no hexadecimal number"},
        {"mode long\ninit rax=10000000000000000\n", "line 4: rax: no hexadecimal number"},
        {"mode long\ninit cpl=100\n", "line 4: cpl: no hexadecimal number"},
        {"mode long\ninit rax=0x1\n", "line 4: rax: no hexadecimal number"},
        {"needs\n", "line 3: needs: names no feature"},
        {"needs avx9\n", "line 3: avx9: no such feature"},
        {"mode long\nmemory\n", "line 4: no address"},
        {"mode long\nmemory 30000\n", "line 4: no bytes"},
        {"mode long\nquad 30000\n", "line 4: nothing behind the address"},
        {"mode long\nquad 30000 10000000000000000\n", "line 4: 10000000000000000: no hex"},
        {"mode long\nmemory 1000000 00\n", "line 4: an address beyond"},
        {"mode long\nmemory ffffff 0000\n", "line 4: an address beyond"},
        {"mode long\nsteps 0\n", "line 4: steps: 1 to 1000"},
        {"mode long\nsteps 1001\n", "line 4: steps: 1 to 1000"},
        {"mode long\nexception\n", "line 4: exception: no vector"},
        {"mode long\nexception 32\n", "line 4: exception: no vector"},
        {"mode long\nexception 13 errors=1\n", "line 4: errors: an exception has"},
        {"mode long\nnonsense\n", "line 4: nonsense: no such line"},
        {"mode long\ncode 90\ninit rip=1000000\n", "end: the code is not in"},
    };
    for (unsigned i = 0; i < ARRAY_LENGTH(damage); i++)
        expect_complaint(damage[i][0], damage[i][1], "1 cases in 1 files: 1 passed");
    expect_text("r3v 2\n", 1, "0 cases", 1);
    expect_text("r3v 10\n", 1, "0 cases", 1);
    expect_text("r3v 1\nx\ncase y\nmode real\ncode 90\nend\n", 1, "1 passed", 1);
    expect_text("r3v 1\ncase x\nmode real\ncode 90\ncase y\nmode real\ncode 90\nend\n", 1,
                "1 cases in 1 files: 1 passed", 1);
    expect_text("r3v 1\ncase x\nmode real\ncode 90\n", 1, "0 cases", 1);
}

/* A state that no processor can be in: the case fails, with a line. */
Test(conform_r3v, nonsense)
{
    static const char *const nonsense[][2] = {
        {"mode long\ncode 90\ninit cpl=4\n", "line 2: cpl: "},
        {"mode long\ncode 90\ninit efer=100\n", "line 2: efer: "},
        {"mode long\ncode 90\ninit cr0=80000000\n", "line 2: cr0: "},
        {"mode long\ncode 90\ninit cr4=80000620\n", "line 2: cr4: "},
        {"mode long\ncode 90\ninit xcr0=0\n", "line 2: xcr0: "},
        {"mode long\ncode 90\ninit mxcsr=10000\n", "line 2: mxcsr: "},
        {"mode long\ncode 90\ninit rflags=20002\n", "line 2: rflags: "},
        {"mode protected32\ncode 90\ninit rip=100010000\n", "line 2: rip: "},
        {"mode real\ncode 90\ninit rax=100000000\n", "line 2: a general register"},
        {"mode real\ncode 90\ninit r8=1\n", "line 2: a general register"},
        {"mode long\ncode 90\ninit fs.base=800000000000\n", "line 2: a segment's"},
    };
    for (unsigned i = 0; i < ARRAY_LENGTH(nonsense); i++)
        expect_complaint(nonsense[i][0], nonsense[i][1], "2 cases in 1 files: 1 passed, 0 excused");
}

/* --- what a processor lacks */

static const char needy[] = "r3v 1\n"
                            "case plain\nmode real\ncode 90\nend\n"
                            "case popcnt\nmode real\nneeds popcnt\ncode f30fb8c0\n"
                            "expect rflags=42\nend\n"
                            "case both\nmode long\nneeds popcnt smep\ncode 90\nend\n"
                            "case long\nmode long\ncode 90\nend\n"
                            "case wrong\nmode real\ninit rax=1\ncode f30fb8c0\nend\n";

/* A case that needs what the processor lacks is counted as not run, under each feature that it
 * lacks, and fails nothing; one that does not say so is run. */
Test(conform_r3v, needs)
{
    save("a.r3v", needy, strlen(needy));
    expect("--model max,-popcnt @/a.r3v", 1,
           "2 passed, 0 excused by named differences, 1 failed, 2 not run", 0);
    expect("--model max,-popcnt @/a.r3v", 1, "       2  popcnt\n", 0);
    expect("--model max,-popcnt,-smep @/a.r3v", 1, "       1  smep\n", 0);
    expect("--model qemu32 @/a.r3v", 1, "       2  lm\n", 0);
    expect("--model qemu32 @/a.r3v", 1, "interp: 1 passed, 0 excused, 1 failed, 3 not run\n", 0);
    expect("--model 486 @/a.r3v", 0,
           "0 passed, 0 excused by named differences, 0 failed, 5 not run", 0);
    expect("--model max,-popcnt --case 2 --tap @/a.r3v", 0,
           "ok 1 - max 0FB8 ud2: 1 cases, 0 excused, 0 failed, 1 not run # SKIP lacks features\n",
           0);
    expect("--model max,-popcnt --coverage @/a.r3v", 1,
           "rows that the processor lacks: POPCNT_GvEv MONITOR MWAIT\n", 0);
    expect("--model 586 @/a.r3v", 1, "", 1);
}

/* The merged shards are the whole run, with what was not run. */
Test(conform_r3v, merge)
{
    static const char *const modes[] = {"real", "v86", "protected32", "long"};
    static const char *const needs[] = {"popcnt", "avx2", "smep", "popcnt bmi2"};
    char text[2048] = "r3v 1\n";

    for (unsigned i = 0; i < 16; i++)
        snprintf(text + strlen(text), sizeof text - strlen(text),
                 "case %u\nmode %s\nneeds %s\ncode %s\nend\n", i, modes[i & 3], needs[i >> 2],
                 i == 11 ? "40" : "90");
    save("a.r3v", text, strlen(text));
    struct run whole = run("--engine both --json --model max,-popcnt,-avx2 @/a.r3v");
    cr_expect_not_null(
        strstr(whole.out, "\"passed\": 3, \"excused\": 0, \"failed\": 1, \"lacking\": 12"), "%s",
        whole.out);
    for (unsigned shard = 1; shard <= 4; shard++) {
        char arguments[96], name[16];
        snprintf(arguments, sizeof arguments,
                 "--engine both --json --model max,-popcnt,-avx2 --shard %u/4 @/a.r3v", shard);
        snprintf(name, sizeof name, "%u.json", shard);
        struct run part = run(arguments);
        save(name, part.out, strlen(part.out));
        done(&part);
    }
    struct run merged = run("--merge --json @/4.json @/2.json @/1.json @/3.json");
    cr_expect_str_eq(merged.out, whole.out);
    cr_expect_eq(merged.status, 1);
    done(&merged);
    done(&whole);
    struct run other = run("--engine both --json --shard 4/4 @/a.r3v");
    save("4.json", other.out, strlen(other.out));
    done(&other);
    expect("--merge @/1.json @/2.json @/3.json @/4.json", 1, "", 1);
}

Test(conform_r3v, truncated)
{
    for (size_t size = 0; size < sizeof sample - 1; size++) {
        save("a.r3v", sample, size);
        struct run result = run("@/a.r3v");
        cr_expect_leq(result.complaints, 1, "%zu bytes: %s", size, result.err);
        cr_expect_eq(result.status, result.complaints ? 1 : 0, "%zu bytes", size);
        done(&result);
    }
}

/* --- reading and writing */

static char *written(const char *text, unsigned *cases)
{
    const struct file_bytes file = {
        .path = "sample", .bytes = (uint8_t *)text, .size = strlen(text)};
    struct r3v r3v;
    struct error error;
    char *out = NULL;
    size_t size = 0;

    FILE *to = open_memstream(&out, &size);
    cr_assert_eq(r3v_open(&r3v, &file, &error), 0, "%s", error.text);
    fputs(R3V_HEAD "\n", to);
    for (*cases = 0; r3v_next(&r3v, &error) == READ_CASE; ++*cases)
        state_case_write(to, &r3v.present);
    r3v_close(&r3v);
    fclose(to);
    return out;
}

/* What is written reads as what was read. */
Test(conform_r3v, round_trip)
{
    unsigned cases, again;
    char *once = written(sample, &cases), *twice = written(once, &again);

    cr_expect_eq(cases, 3);
    cr_expect_eq(again, 3);
    cr_expect_str_eq(once, twice);
    cr_expect_not_null(strstr(once, "ymm3=123456789abcdef00112233445566778899"), "%s", once);
    cr_expect_not_null(strstr(once, "memory 30000 01020304\n"), "%s", once);
    cr_expect_not_null(strstr(once, "memory 31000 88776655443322110900000000000000\n"), "%s", once);
    cr_expect_not_null(strstr(once, "exception 14 error=0 address=30000\n"), "%s", once);
    cr_expect_not_null(strstr(once, "needs pni avx2\n"), "%s", once);
    expect_text(once, 0, "3 passed", 0);
    free(once);
    free(twice);
}

/* --- hostile files */

static void run_all(const struct file_bytes *file, struct state_runner *const runners[ENGINES])
{
    struct r3v r3v;
    struct error error;
    struct state_outcome outcome;
    enum read_result result;
    unsigned results = 0;

    if (r3v_open(&r3v, file, &error))
        return;
    while ((result = r3v_next(&r3v, &error)) != READ_END) {
        cr_assert_lt(results++, 100);
        for (enum engine engine = 0; result == READ_CASE && engine < ENGINES; engine++)
            (void)state_runner_run(runners[engine], &r3v.present, &outcome, &error);
    }
    r3v_close(&r3v);
}

/* Any byte may be anything: neither the reader nor the processor crashes or hangs. */
Test(conform_r3v, any_byte)
{
    static const char values[] = "\0\x7f\xff\n =0f9#";
    struct state_runner *runners[ENGINES];
    struct error error;
    char text[sizeof sample];
    const struct file_bytes file = {
        .path = "sample", .bytes = (uint8_t *)text, .size = sizeof sample - 1};

    for (enum engine engine = 0; engine < ENGINES; engine++)
        cr_assert_not_null(runners[engine] = state_runner_new("max", engine, &error));
    for (size_t at = 0; at < file.size; at++)
        for (unsigned i = 0; i < sizeof values - 1; i++) {
            memcpy(text, sample, sizeof text);
            text[at] = values[i];
            run_all(&file, runners);
        }
    for (enum engine engine = 0; engine < ENGINES; engine++)
        state_runner_free(runners[engine]);
}

/* Random values in random fields, and random code. */
Test(conform_r3v, any_state)
{
    struct state_runner *runners[ENGINES];
    struct error error;
    uint64_t dice = 1;

    for (enum engine engine = 0; engine < ENGINES; engine++)
        cr_assert_not_null(runners[engine] = state_runner_new("max", engine, &error));
    for (unsigned number = 0; number < 1500; number++) {
        char text[1024];
        size_t at = (size_t)snprintf(text, sizeof text, "r3v 1\ncase x\nmode %s\n",
                                     preset_name(number % PRESETS));
        for (unsigned i = 0; i < 4; i++) {
            dice = dice * 6364136223846793005 + 1442695040888963407;
            unsigned field = (unsigned)(dice >> 33) % STATE_FIELDS;
            unsigned bits = state_field_bytes(field) * 8;
            uint64_t value = dice ^ dice >> 29;
            value = bits < 64 ? value & ((UINT64_C(1) << bits) - 1) : value >> (dice >> 60) * 4;
            at += (size_t)snprintf(text + at, sizeof text - at, "init %s=%llx\n",
                                   state_field_name(field), (unsigned long long)value);
        }
        dice = dice * 6364136223846793005 + 1442695040888963407;
        at += (size_t)snprintf(text + at, sizeof text - at, "steps 3\n%scode %016llx\nend\n",
                               number & 8 ? "deliver\n" : "",
                               (unsigned long long)(dice ^ dice >> 31));
        const struct file_bytes file = {.path = "x", .bytes = (uint8_t *)text, .size = at};
        run_all(&file, runners);
    }
    for (enum engine engine = 0; engine < ENGINES; engine++)
        state_runner_free(runners[engine]);
}
