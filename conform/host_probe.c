/* Makes a case that differs small. */
#include "conform/host_encode.h"
#include "conform/host_run.h"

#include <string.h>

int host_probe_run(struct host_probe *probe, bool *differs, struct error *error)
{
    struct host_run *run = probe->run;
    struct host_batch *batch = &run->process.batches[HOST_SINGLE];
    const struct host_event event = {&probe->c, &probe->host, &probe->ring3};

    batch->cases[0] = probe->c;
    host_process_submit(&run->process, HOST_SINGLE, 1);
    const int result = host_process_wait(&run->process, error);
    if (result)
        return result;
    probe->host = batch->results[0];
    *differs = probe->host.killed;
    if (*differs)
        return 0;
    host_engine_run(&run->engines[probe->engine], &probe->c, &probe->ring3, &probe->translated);
    host_compare(&event, &probe->mismatch);
    host_freedoms_take(&event, &probe->mismatch);
    *differs = host_mismatch_any(&probe->mismatch);
    return 0;
}

/* Takes `simpler` over if that still differs. */
static int try_case(struct host_probe *probe, const struct host_case *simpler, struct error *error)
{
    const struct host_case before = probe->c;
    bool differs = false;

    if (!memcmp(simpler, &before, sizeof before))
        return 0;
    probe->c = *simpler;
    int result = 0;
    if (host_case_settle(&probe->run->generator, &probe->c))
        result = host_probe_run(probe, &differs, error);
    if (!differs)
        probe->c = before;
    return result;
}

/* --- what can be simpler: each returns false when there is no n-th of its kind */

static bool simpler_register(struct host_case *c, unsigned n)
{
    if (n < 16)
        c->state.regs[n] = 0;
    return n < 16;
}

static bool simpler_vector(struct host_case *c, unsigned n)
{
    if (n >= 32)
        return false;
    memset(c->state.upper[n / 2], 0, sizeof c->state.upper[0]);
    if (n % 2 == 0)
        memset(c->state.fx.xmm[n / 2], 0, sizeof c->state.fx.xmm[0]);
    return true;
}

static bool simpler_stack(struct host_case *c, unsigned n)
{
    if (n >= 8)
        return false;
    c->state.fx.st[n].mantissa = c->state.fx.st[n].exponent = 0;
    return true;
}

static bool simpler_flag(struct host_case *c, unsigned n)
{
    c->state.eflags &= ~(BIT(n) & (F_ARITH | F_DF | F_AC));
    return n < 32;
}

static bool simpler_word(struct host_case *c, unsigned n)
{
    struct host_fx *fx = &c->state.fx;

    switch (n) {
    case 0:
        fx->control = 0x37f;
        return true;
    case 1:
        fx->status = 0;
        return true;
    case 2:
        fx->valid = 0;
        return true;
    case 3:
        fx->mxcsr = 0x1f80;
        return true;
    case 4:
        c->state.rip = HOST_CODE - host_case_base(c);
        return true;
    default:
        return false;
    }
}

/* The prefixes, and REX behind them. */
static bool simpler_prefix(struct host_case *c, unsigned n)
{
    const unsigned legacy = host_prefix_count(c);
    const bool rex = c->code_size == CODE_64 && (c->bytes[legacy] & 0xf0) == 0x40;

    if (n >= legacy + rex)
        return false;
    memmove(c->bytes + n, c->bytes + n + 1, sizeof c->bytes - n - 1);
    return true;
}

typedef bool simpler_fn(struct host_case *c, unsigned n);

static int simplify(struct host_probe *probe, simpler_fn *simpler, struct error *error)
{
    int result = 0;

    for (unsigned n = 0; !result; n++) {
        struct host_case c = probe->c;
        if (!simpler(&c, n))
            break;
        result = try_case(probe, &c, error);
    }
    return result;
}

/* Bytes of memory, by halves. */
static int clear_data(struct host_probe *probe, unsigned at, unsigned length, struct error *error)
{
    struct host_case c = probe->c;

    memset(c.data + at, 0, length);
    const int result = try_case(probe, &c, error);
    if (result || length == 1 || !memcmp(probe->c.data + at, c.data + at, length))
        return result;
    const int first = clear_data(probe, at, length / 2, error);
    return first ? first : clear_data(probe, at + length / 2, length / 2, error);
}

int host_probe_minimise(struct host_probe *probe, struct error *error)
{
    static simpler_fn *const simplers[] = {simpler_prefix, simpler_register, simpler_vector,
                                           simpler_stack,  simpler_flag,     simpler_word};
    bool differs;
    int result = 0;

    for (unsigned i = 0; i < ARRAY_LENGTH(simplers) && !result; i++)
        result = simplify(probe, simplers[i], error);
    if (!result)
        result = clear_data(probe, 0, HOST_DATA_BYTES, error);
    return result ? result : host_probe_run(probe, &differs, error);
}
