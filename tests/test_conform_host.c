/* `ring3 conform --host`: every row that the host can run, in both engines; that what differs is
 * found, made small and saved as it was; that a case that ends the host's process costs no other.
 *
 * RING3_CASES=n in the environment sets the number of cases, RING3_SEED=n their seed. */
#include "conform/host_run.h"
#include "conform/host_save.h"
#include "tests/conform_rig.h"

#include <signal.h>

enum { CASES = 200000, SAVED = 4000 };

TestSuite(conform_host, .fini = remove_folder);

static uint64_t environment_number(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text ? strtoull(text, NULL, 0) : otherwise;
}

static uint64_t seed(void)
{
    return environment_number("RING3_SEED", 1);
}

#ifdef __x86_64__

Test(conform_host, agrees)
{
    char arguments[128];
    snprintf(arguments, sizeof arguments, "--host --seed %llu --count %llu",
             (unsigned long long)seed(),
             (unsigned long long)environment_number("RING3_CASES", CASES));
    expect(arguments, EXIT_SUCCESS, " 0 failed\n", 0);
}

Test(conform_host, shards_add_up)
{
    struct run whole = run("--host --count 6001 --json");
    struct run first = run("--host --count 6001 --json --shard 1/2");
    struct run second = run("--host --count 6001 --json --shard 2/2");
    save("1.json", first.out, strlen(first.out));
    save("2.json", second.out, strlen(second.out));
    struct run merged = run("--merge --json @/1.json @/2.json");
    cr_expect_eq(merged.status, EXIT_SUCCESS, "%s", merged.err);
    cr_expect_str_eq(merged.out, whole.out);
    done(&whole);
    done(&first);
    done(&second);
    done(&merged);
}

Test(conform_host, refuses)
{
    expect("--host --rows NO_SUCH_ROW", EXIT_FAILURE, "", 1);
    expect("--host some.r3v", EXIT_FAILURE, "", 1);
    expect("--host --only 00", EXIT_FAILURE, "", 1);
    expect("--host --save /no/such/folder", EXIT_FAILURE, "", 1);
    expect("--host --count 0", EXIT_FAILURE, "", 1);
    expect("--host --seed x", EXIT_FAILURE, "", 1);
    expect("--rows ADD_EvGv some.r3v", EXIT_FAILURE, "", 1);
}

/* --- by hand */

static struct host_run host;

/* What the engines have of the host's features is all but `lacking`. */
static void open_host(const char *rows, const uint8_t *lacking, unsigned lacking_count)
{
    struct error error;
    struct feature_set features = features_of_host();
    cr_assert_eq(host_process_start(&host.process, &error), 0, "%s", error.text);
    cr_assert_eq(host_generator_init(&host.generator, seed(), rows, host.process.code_sizes,
                                     &features, &error),
                 0, "%s", error.text);
    for (unsigned i = 0; i < lacking_count; i++)
        feature_remove(&features, lacking[i]);
    for (enum engine engine = 0; engine < ENGINES; engine++)
        cr_assert_eq(host_engine_init(&host.engines[engine], engine, &features, &error), 0, "%s",
                     error.text);
}

static void close_host(void)
{
    for (enum engine engine = 0; engine < ENGINES; engine++)
        host_engine_free(&host.engines[engine]);
    host_generator_free(&host.generator);
    host_process_stop(&host.process);
}

/* The case in ring3's own format passes in a file, as it does here. */
static void check_saved(const struct host_probe *probe, struct state_runner *runner)
{
    const struct host_event event = {&probe->c, &probe->host, &probe->ring3};
    struct state_case c;
    struct state_outcome outcome;
    struct error error;
    cr_assert(host_save(&event, &host.generator.features, &c));
    cr_assert_eq(state_runner_run(runner, &c, &outcome, &error), 0, "%s", error.text);
    if (!state_outcome_passed(&outcome)) {
        cr_expect(false, "case %llu does not pass when it is saved",
                  (unsigned long long)probe->c.number + 1);
        report_state_case(stderr, "host", probe->engine, &c, &outcome);
    }
    state_case_free(&c);
}

static bool is_excused(const struct host_probe *probe)
{
    const struct host_event event = {&probe->c, &probe->host, &probe->ring3};
    struct host_mismatch mismatch;
    host_compare(&event, &mismatch);
    return host_mismatch_any(&mismatch);
}

Test(conform_host, saves_what_happened)
{
    static struct host_probe probe;
    struct state_runner *runners[ENGINES];
    struct error error;
    unsigned saved = 0;
    bool differs;
    open_host(NULL, NULL, 0);
    for (enum engine engine = 0; engine < ENGINES; engine++)
        runners[engine] = state_runner_new("max", engine, &error);
    for (uint64_t number = 0; number < SAVED; number++) {
        probe.run = &host;
        probe.engine = number % ENGINES;
        if (!host_generate(&host.generator, number, &probe.c))
            continue;
        cr_assert_eq(host_probe_run(&probe, &differs, &error), 0, "%s", error.text);
        cr_expect_not(differs, "case %llu differs", (unsigned long long)number + 1);
        if (differs || is_excused(&probe))
            continue;
        check_saved(&probe, runners[probe.engine]);
        saved++;
    }
    cr_expect_gt(saved, SAVED / 2);
    for (enum engine engine = 0; engine < ENGINES; engine++)
        state_runner_free(runners[engine]);
    close_host();
}

/* Without LZCNT its bytes are BSR: most cases differ, and what does not matter goes. */
Test(conform_host, finds_and_minimises)
{
    static const uint8_t lzcnt = FEAT_ABM;
    static struct host_probe probe;
    struct error error;
    unsigned found = 0;
    bool differs;
    struct feature_set features = features_of_host();
    if (!feature_has(&features, FEAT_ABM))
        return;
    open_host("LZCNT_*", &lzcnt, 1);
    for (uint64_t number = 0; number < 60; number++) {
        probe.run = &host;
        probe.engine = number % ENGINES;
        if (!host_generate(&host.generator, number, &probe.c))
            continue;
        cr_assert_eq(host_probe_run(&probe, &differs, &error), 0, "%s", error.text);
        if (!differs)
            continue;
        found++;
        cr_assert_eq(host_probe_minimise(&probe, &error), 0, "%s", error.text);
        cr_expect(host_mismatch_any(&probe.mismatch), "it differs no longer");
        unsigned registers = 0, bytes = 0, vectors = 0;
        for (unsigned i = 0; i < 16; i++) {
            registers += probe.c.state.regs[i] != 0;
            for (unsigned j = 0; j < 16; j++)
                vectors += probe.c.state.fx.xmm[i][j] != 0;
        }
        for (unsigned i = 0; i < HOST_DATA_BYTES; i++)
            bytes += probe.c.data[i] != 0;
        cr_expect_leq(registers, 3);
        cr_expect_leq(bytes, 1);
        cr_expect_eq(vectors, 0);
        cr_expect_eq(probe.c.state.eflags, 0x202);
    }
    cr_expect_gt(found, 20);
    close_host();
}

/* exit_group(0), and an endless loop that no trap ends, would be the end of the process. */
Test(conform_host, survives_its_process)
{
    static const uint8_t system_call[] = {0x0f, 0x05};
    struct host_batch *batch;
    struct error error;
    open_host("ADD_EvGv", NULL, 0);
    batch = &host.process.batches[0];
    for (unsigned i = 0; i < 3; i++)
        cr_assert(host_generate(&host.generator, i, &batch->cases[i]));
    memcpy(batch->cases[1].bytes, system_call, sizeof system_call);
    batch->cases[1].code_size = CODE_64;
    batch->cases[1].state.rip = HOST_CODE;
    batch->cases[1].state.regs[RAX] = 231;
    host_process_submit(&host.process, 0, 3);
    cr_assert_eq(host_process_wait(&host.process, &error), 0, "%s", error.text);
    cr_expect_eq(batch->results[0].killed, 0);
    cr_expect_eq(batch->results[1].killed, SIGKILL);
    cr_expect_eq(batch->results[2].killed, 0);
    cr_expect_eq(batch->done, 3);
    close_host();
}

#else

Test(conform_host, needs_the_processor)
{
    expect("--host", EXIT_FAILURE, "", 1);
}

#endif
