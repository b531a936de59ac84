/* Runs a snippet with given registers; the way there and back is images/modes'. */
#include "system.h"

static struct state run(const struct state *start, void (*enter)(void))
{
    *(struct state *)STATE_IN = *start;
    enter();
    return *(struct state *)STATE_OUT;
}

struct state attempt(const struct state *start)
{
    return run(start, in_long_mode() ? enter_long : enter_protected);
}

struct state attempt_real(const struct state *start)
{
    struct state end = run(start, enter_real);

    idtr_reset(); /* it led to the IVT */
    return end;
}

static uint64_t code_offset(const struct snippet *snippet)
{
    return (uint32_t)snippet->start - (snippet->bits == 16 ? LOW_BASE : 0);
}

struct state start_at(const struct snippet *snippet, unsigned cpl)
{
    struct state start = {.ip = code_offset(snippet), .flags = FLAG_FIXED};

    if (snippet->bits == 16) {
        start.cs = SEL_CODE16(cpl);
        start.ss = start.ds = start.es = SEL_DATA16(cpl);
        start.gpr[RSP] = STACK_16;
    } else {
        start.cs = snippet->bits == 32 ? SEL_CODE32(cpl) : SEL_CODE64(cpl);
        start.ss = start.ds = start.es = SEL_DATA32(cpl);
        start.gpr[RSP] = STACK_TOP(cpl);
    }
    return start;
}

struct state start_v86(const struct snippet *snippet)
{
    struct state start = {.ip = code_offset(snippet), .flags = FLAG_FIXED | FLAG_VM};

    start.cs = LOW_BASE >> 4;
    start.ss = start.ds = start.es = start.fs = start.gs = DATA_BASE >> 4;
    start.gpr[RSP] = STACK_16;
    return start;
}
