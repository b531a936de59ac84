#include "conform/host_compare.h"

#include "cpu/cpu.h"

#include <string.h>

enum { CHUNK = HOST_DATA_BYTES / 32 };

/* --- finding */

static void compare_outcomes(const struct host_outcome *host, const struct host_outcome *ring3,
                             struct host_mismatch *mismatch)
{
    mismatch->bits[ASPECT_EXCEPTION] = host->vector != ring3->vector;
    if (host->vector != ring3->vector)
        return;
    if ((host->vector == VECTOR_PF || host->vector == VECTOR_GP || host->vector == VECTOR_SS) &&
        host->error != ring3->error)
        mismatch->bits[ASPECT_DETAIL] |= 1;
    if (host->vector == VECTOR_PF && host->address != ring3->address)
        mismatch->bits[ASPECT_DETAIL] |= 2;
}

static void compare_integer(const struct host_event *event, struct host_mismatch *mismatch)
{
    const struct host_state *host = &event->host->state, *ring3 = &event->ring3->state;

    for (unsigned i = 0; i < 16; i++)
        if (host->regs[i] != ring3->regs[i])
            mismatch->bits[ASPECT_REGISTERS] |= 1u << i;
    mismatch->bits[ASPECT_RIP] = host->rip != ring3->rip;
    mismatch->bits[ASPECT_FLAGS] = (host->eflags ^ ring3->eflags) & (F_ARITH | F_DF);
}

static void compare_vectors(const struct host_state *host, const struct host_state *ring3,
                            struct host_mismatch *mismatch)
{
    const struct host_fx *a = &host->fx, *b = &ring3->fx;

    mismatch->bits[ASPECT_X87_CONTROL] = a->control ^ b->control;
    mismatch->bits[ASPECT_X87_STATUS] = a->status ^ b->status;
    mismatch->bits[ASPECT_X87_TAGS] = a->valid ^ b->valid;
    mismatch->bits[ASPECT_MXCSR] = a->mxcsr ^ b->mxcsr;
    for (unsigned i = 0; i < 8; i++)
        if (a->st[i].mantissa != b->st[i].mantissa || a->st[i].exponent != b->st[i].exponent)
            mismatch->bits[ASPECT_X87_STACK] |= 1u << i;
    for (unsigned i = 0; i < 16; i++)
        if (memcmp(a->xmm[i], b->xmm[i], 16) || memcmp(host->upper[i], ring3->upper[i], 16))
            mismatch->bits[ASPECT_VECTORS] |= 1u << i;
}

void host_compare(const struct host_event *event, struct host_mismatch *mismatch)
{
    *mismatch = (struct host_mismatch){0};
    compare_outcomes(&event->host->outcome, &event->ring3->outcome, mismatch);
    compare_integer(event, mismatch);
    compare_vectors(&event->host->state, &event->ring3->state, mismatch);
    if (!memcmp(event->host->data, event->ring3->data, HOST_DATA_BYTES))
        return;
    for (unsigned i = 0; i < HOST_DATA_BYTES; i += CHUNK)
        if (memcmp(event->host->data + i, event->ring3->data + i, CHUNK))
            mismatch->bits[ASPECT_MEMORY] |= 1u << i / CHUNK;
}

/* --- saying */

static void describe_outcome(FILE *to, const struct host_outcome *outcome)
{
    if (outcome->vector < 0)
        fputs("no exception", to);
    else if (outcome->vector == HOST_NEVER_ENDED)
        fputs("no end", to);
    else if (outcome->vector == VECTOR_PF)
        fprintf(to, "exception 14 (%x) at %llx", outcome->error,
                (unsigned long long)outcome->address);
    else
        fprintf(to, "exception %d (%x)", outcome->vector, outcome->error);
}

static void describe_number(FILE *to, const char *separator, const char *name, uint64_t ring3,
                            uint64_t host)
{
    fprintf(to, "%s%s %llx, host %llx", separator, name, (unsigned long long)ring3,
            (unsigned long long)host);
}

static void describe_vector(FILE *to, const struct host_state *state, unsigned i)
{
    fprintf(to, "%016llx%016llx_%016llx%016llx", (unsigned long long)load_le64(state->upper[i] + 8),
            (unsigned long long)load_le64(state->upper[i]),
            (unsigned long long)load_le64(state->fx.xmm[i] + 8),
            (unsigned long long)load_le64(state->fx.xmm[i]));
}

static void describe_floating(FILE *to, const struct host_event *event,
                              const struct host_mismatch *mismatch, const char *separator)
{
    const struct host_state *host = &event->host->state, *ring3 = &event->ring3->state;
    const struct {
        const char *name;
        enum host_aspect aspect;
        uint32_t ring3, host;
    } words[] = {
        {"rflags", ASPECT_FLAGS, ring3->eflags, host->eflags},
        {"fcw", ASPECT_X87_CONTROL, ring3->fx.control, host->fx.control},
        {"fsw", ASPECT_X87_STATUS, ring3->fx.status, host->fx.status},
        {"ftw", ASPECT_X87_TAGS, ring3->fx.valid, host->fx.valid},
        {"mxcsr", ASPECT_MXCSR, ring3->fx.mxcsr, host->fx.mxcsr},
    };

    for (unsigned i = 0; i < ARRAY_LENGTH(words); i++)
        if (mismatch->bits[words[i].aspect])
            describe_number(to, separator, words[i].name, words[i].ring3, words[i].host);
    for (unsigned i = 0; i < 8; i++)
        if (mismatch->bits[ASPECT_X87_STACK] >> i & 1)
            fprintf(to, "%sst%u %04x:%016llx, host %04x:%016llx", separator, i,
                    ring3->fx.st[i].exponent, (unsigned long long)ring3->fx.st[i].mantissa,
                    host->fx.st[i].exponent, (unsigned long long)host->fx.st[i].mantissa);
    for (unsigned i = 0; i < 16; i++)
        if (mismatch->bits[ASPECT_VECTORS] >> i & 1) {
            fprintf(to, "%symm%u ", separator, i);
            describe_vector(to, ring3, i);
            fputs(", host ", to);
            describe_vector(to, host, i);
        }
}

static void describe_memory(FILE *to, const struct host_event *event, const char *separator)
{
    unsigned count = 0;

    for (unsigned i = 0; i < HOST_DATA_BYTES; i++)
        if (event->host->data[i] != event->ring3->data[i] && count++ < 16)
            fprintf(to, "%s%x:%02x, host %02x", separator, HOST_DATA + i, event->ring3->data[i],
                    event->host->data[i]);
    if (count > 16)
        fprintf(to, "%sand %u more bytes", separator, count - 16);
}

void host_describe(FILE *to, const struct host_event *event, const struct host_mismatch *mismatch,
                   const char *separator)
{
    static const char names[16][4] = {"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
                                      "r8",  "r9",  "r10", "r11", "r12", "r13", "r14", "r15"};

    if (mismatch->bits[ASPECT_EXCEPTION] | mismatch->bits[ASPECT_DETAIL]) {
        fputs(separator, to);
        describe_outcome(to, &event->ring3->outcome);
        fputs(", host ", to);
        describe_outcome(to, &event->host->outcome);
    }
    for (unsigned i = 0; i < 16; i++)
        if (mismatch->bits[ASPECT_REGISTERS] >> i & 1)
            describe_number(to, separator, names[i], event->ring3->state.regs[i],
                            event->host->state.regs[i]);
    if (mismatch->bits[ASPECT_RIP])
        describe_number(to, separator, "rip", event->ring3->state.rip, event->host->state.rip);
    describe_floating(to, event, mismatch, separator);
    if (mismatch->bits[ASPECT_MEMORY])
        describe_memory(to, event, separator);
}
