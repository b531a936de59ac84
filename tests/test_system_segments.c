/* Loads of segment registers, far transfers to code, and returns, against the rules of SDM 3A ch. 5
 * tried for every combination of type, DPL, RPL, CPL and P. */
#include "tests/bench_suite.h"

TestSuite(system_segments, .init = setup, .fini = teardown);

/* SDM 3A table 3-1: what each type of code or data segment is good for. */
enum { READ = 1, WRITE = 2, CODE = 4, CONFORMING = 8 };
static const uint8_t uses[16] = {
    READ,
    READ,
    READ | WRITE,
    READ | WRITE,
    READ,
    READ,
    READ | WRITE,
    READ | WRITE,
    CODE,
    CODE,
    CODE | READ,
    CODE | READ,
    CODE | CONFORMING,
    CODE | CONFORMING,
    CODE | CONFORMING | READ,
    CODE | CONFORMING | READ,
};

struct combination {
    unsigned type, s, dpl, rpl, cpl, p;
};

/* Calls `check` for every combination. */
static void for_each_combination(void (*check)(const struct combination *))
{
    for (unsigned n = 0; n < 1u << 12; n++) {
        struct combination c = {
            .type = n & 15,
            .s = n >> 4 & 1,
            .dpl = n >> 5 & 3,
            .rpl = n >> 7 & 3,
            .cpl = n >> 9 & 3,
            .p = n >> 11 & 1,
        };
        check(&c);
    }
}

static uint16_t place(const struct combination *c)
{
    bench_gdt(&rig, SEL_TEST,
              descriptor_make(0x1000, 0xfffff, ACCESS(c->p, c->dpl, c->s, c->type), FLAGS_32));
    bench_enter(&rig, c->cpl);
    return (uint16_t)(SEL_TEST | c->rpl);
}

#define SHOW(c)                                                                                    \
    "s %u type %u dpl %u rpl %u cpl %u p %u: got %llx, expected %llx", (c)->s, (c)->type,          \
        (c)->dpl, (c)->rpl, (c)->cpl, (c)->p, (unsigned long long)got,                             \
        (unsigned long long)expected

static int64_t load(unsigned seg, uint16_t selector)
{
    return segment_load(rig.cpu, seg, selector) ? FAULT(rig.cpu->fault.vector, rig.cpu->fault.error)
                                                : NO_FAULT;
}

static void check_data(const struct combination *c)
{
    static const uint8_t segs[] = {DS, ES, FS, GS};
    int64_t expected = NO_FAULT;
    if (!c->s || !(uses[c->type] & READ))
        expected = FAULT(VECTOR_GP, SEL_TEST);
    else if (!(uses[c->type] & CONFORMING) && (c->rpl > c->dpl || c->cpl > c->dpl))
        expected = FAULT(VECTOR_GP, SEL_TEST);
    else if (!c->p)
        expected = FAULT(VECTOR_NP, SEL_TEST);
    for (unsigned i = 0; i < 4; i++) {
        uint16_t selector = place(c);
        struct segment before = rig.cpu->segs[segs[i]];
        int64_t got = load(segs[i], selector);
        cr_assert_eq(got, expected, SHOW(c));
        if (got == NO_FAULT) {
            cr_assert_eq(rig.cpu->segs[segs[i]].selector, selector);
            cr_assert_eq(rig.cpu->segs[segs[i]].base, 0x1000);
            cr_assert_eq(rig.cpu->segs[segs[i]].limit, UINT32_MAX);
            cr_assert(access_byte(&rig, SEL_TEST) & 1, "accessed bit");
        } else {
            cr_assert_eq(rig.cpu->segs[segs[i]].selector, before.selector);
            cr_assert_eq(access_byte(&rig, SEL_TEST), ACCESS(c->p, c->dpl, c->s, c->type));
        }
    }
}

Test(system_segments, data_segment_loads)
{
    for_each_combination(check_data);
}

static void check_stack(const struct combination *c)
{
    int64_t expected = NO_FAULT;
    if (!c->s || !(uses[c->type] & WRITE) || c->rpl != c->cpl || c->dpl != c->cpl)
        expected = FAULT(VECTOR_GP, SEL_TEST);
    else if (!c->p)
        expected = FAULT(VECTOR_SS, SEL_TEST);
    int64_t got = load(SS, place(c));
    cr_assert_eq(got, expected, SHOW(c));
}

Test(system_segments, stack_segment_loads)
{
    for_each_combination(check_stack);
}

Test(system_segments, null_selectors_and_table_limits)
{
    for (unsigned rpl = 0; rpl < 4; rpl++) {
        bench_enter(&rig, 0);
        cr_assert_eq(load(DS, (uint16_t)rpl), NO_FAULT);
        cr_assert_eq(rig.cpu->segs[DS].attributes & SEG_P, 0);
        /* MOV EAX, [0] through the null DS */
        cr_assert_eq(BENCH_RUN(&rig, 0xa1, 0, 0, 0, 0), FAULT(VECTOR_GP, 0));
        cr_assert_eq(load(SS, (uint16_t)rpl), FAULT(VECTOR_GP, 0));
    }
    bench_enter(&rig, 0);
    rig.cpu->gdt.limit = SEL_TEST + 6;
    cr_assert_eq(load(DS, SEL_TEST), FAULT(VECTOR_GP, SEL_TEST));
    cr_assert_eq(load(ES, SEL_TEST | 4), FAULT(VECTOR_GP, SEL_TEST | 4),
                 "an LDT entry of zeroes is no segment");
    poke(&rig, BENCH_LDT + SEL_TEST, descriptor_make(0, 1, ACCESS(1, 0, 1, 3), 0), 8);
    cr_assert_eq(load(ES, SEL_TEST | 4), NO_FAULT);
    rig.cpu->ldt = segment_null(0);
    cr_assert_eq(load(ES, SEL_TEST | 4), FAULT(VECTOR_GP, SEL_TEST | 4));
}

Test(system_segments, limits_of_expand_up_and_down)
{
    static const struct {
        unsigned type, flags;
        uint32_t limit, first, last;
    } cases[] = {
        {3, FLAGS_BYTES, 0x1fff, 0, 0x1fff},
        {3, FLAGS_32, 2, 0, 0x2fff},
        {7, FLAGS_BYTES, 0x1fff, 0x2000, 0xffffffff},
        {7, 0, 0x1fff, 0x2000, 0xffff},
        {1, FLAGS_BYTES, 0, 0, 0},
    };
    for (unsigned i = 0; i < ARRAY_LENGTH(cases); i++) {
        uint32_t edges[] = {cases[i].first, cases[i].first - 1, cases[i].last, cases[i].last + 1};
        for (unsigned e = 0; e < 4; e++) {
            uint8_t code[5] = {0xa0}; /* MOV AL, [offset] */
            bench_gdt(
                &rig, SEL_TEST,
                descriptor_make(0, cases[i].limit, ACCESS(1, 0, 1, cases[i].type), cases[i].flags));
            bench_enter(&rig, 0);
            cr_assert_eq(load(DS, SEL_TEST), NO_FAULT);
            memcpy(code + 1, &edges[e], 4);
            bool inside = edges[e] >= cases[i].first && edges[e] <= cases[i].last;
            cr_assert_eq(bench_run(&rig, code, 5), inside ? NO_FAULT : FAULT(VECTOR_GP, 0),
                         "case %u offset %x", i, edges[e]);
        }
    }
}

static void check_far(const struct combination *c)
{
    if (!c->s)
        return;
    int64_t expected = NO_FAULT;
    if (!(uses[c->type] & CODE))
        expected = FAULT(VECTOR_GP, SEL_TEST);
    else if (uses[c->type] & CONFORMING ? c->dpl > c->cpl : c->rpl > c->cpl || c->dpl != c->cpl)
        expected = FAULT(VECTOR_GP, SEL_TEST);
    else if (!c->p)
        expected = FAULT(VECTOR_NP, SEL_TEST);
    for (unsigned is_call = 0; is_call < 2; is_call++) {
        int64_t got = bench_far(&rig, is_call, place(c), 0x4321);
        cr_assert_eq(got, expected, SHOW(c));
        if (got != NO_FAULT) {
            cr_assert_eq(rig.cpu->rip, BENCH_CODE_AT);
            cr_assert_eq(rig.cpu->regs[RSP], STACK_TOP(c->cpl));
            continue;
        }
        cr_assert_eq(rig.cpu->rip, 0x4321);
        cr_assert_eq(rig.cpu->segs[CS].selector, SEL_TEST | c->cpl);
        cr_assert_eq(rig.cpu->cpl, c->cpl);
        if (is_call) {
            cr_assert_eq(bench_stack(&rig, 0), BENCH_CODE_AT + 7);
            cr_assert_eq(bench_stack(&rig, 1), SEL_CODE(c->cpl));
        }
    }
}

Test(system_segments, far_jumps_and_calls_to_code)
{
    for_each_combination(check_far);
}

Test(system_segments, far_jump_beyond_the_limit_changes_nothing)
{
    bench_gdt(&rig, SEL_TEST, descriptor_make(0, 0x1000, ACCESS(1, 0, 1, 0xb), FLAGS_BYTES));
    bench_enter(&rig, 0);
    cr_assert_eq(bench_far(&rig, false, SEL_TEST, 0x1000), NO_FAULT);
    bench_enter(&rig, 0);
    cr_assert_eq(bench_far(&rig, true, SEL_TEST, 0x1001), FAULT(VECTOR_GP, 0));
    cr_assert_eq(rig.cpu->segs[CS].selector, SEL_CODE(0));
    cr_assert_eq(rig.cpu->regs[RSP], STACK_TOP(0));
    cr_assert_eq(bench_far(&rig, false, 3, 0), FAULT(VECTOR_GP, 0));
}

/* Far RET, and IRET, to code of each kind. */
static void check_return(const struct combination *c)
{
    if (!c->s)
        return;
    int64_t expected = NO_FAULT;
    if (!(uses[c->type] & CODE) || c->rpl < c->cpl)
        expected = FAULT(VECTOR_GP, SEL_TEST);
    else if (uses[c->type] & CONFORMING ? c->dpl > c->rpl : c->dpl != c->rpl)
        expected = FAULT(VECTOR_GP, SEL_TEST);
    else if (!c->p)
        expected = FAULT(VECTOR_NP, SEL_TEST);
    for (unsigned is_iret = 0; is_iret < 2; is_iret++) {
        uint16_t selector = place(c);
        uint64_t sp = STACK_TOP(c->cpl) - 0x40;
        rig.cpu->regs[RSP] = sp;
        poke(&rig, sp, 0x4321, 4);
        poke(&rig, sp + 4, selector, 4);
        if (is_iret)
            poke(&rig, sp + 8, 2, 4);
        poke(&rig, sp + (is_iret ? 12 : 8), 0x8765, 4);
        poke(&rig, sp + (is_iret ? 16 : 12), SEL_DATA(c->rpl), 4);
        uint8_t code = is_iret ? 0xcf : 0xcb;
        int64_t got = bench_run(&rig, &code, 1);
        cr_assert_eq(got, expected, SHOW(c));
        if (got != NO_FAULT) {
            cr_assert_eq(rig.cpu->regs[RSP], sp);
            continue;
        }
        bool outer = c->rpl > c->cpl;
        cr_assert_eq(rig.cpu->rip, 0x4321);
        cr_assert_eq(rig.cpu->cpl, c->rpl);
        cr_assert_eq(rig.cpu->segs[CS].selector, selector);
        cr_assert_eq(rig.cpu->regs[RSP], outer ? 0x8765 : sp + (is_iret ? 12 : 8));
        cr_assert_eq(rig.cpu->segs[SS].selector, SEL_DATA(c->rpl));
        /* Data segments of the inner privilege are gone. */
        cr_assert_eq(rig.cpu->segs[DS].selector, outer ? 0 : SEL_DATA(c->cpl));
    }
}

Test(system_segments, far_returns_and_irets)
{
    for_each_combination(check_return);
}

Test(system_segments, stack_of_an_outer_return)
{
    static const struct {
        uint16_t selector;
        unsigned access;
        int64_t expected;
    } cases[] = {
        {SEL_TEST | 3, ACCESS(1, 3, 1, 3), NO_FAULT},
        {SEL_TEST | 3, ACCESS(1, 3, 1, 1), FAULT(VECTOR_GP, SEL_TEST)},  /* not writable */
        {SEL_TEST | 3, ACCESS(1, 3, 1, 11), FAULT(VECTOR_GP, SEL_TEST)}, /* code */
        {SEL_TEST | 3, ACCESS(1, 2, 1, 3), FAULT(VECTOR_GP, SEL_TEST)},  /* DPL */
        {SEL_TEST | 2, ACCESS(1, 3, 1, 3), FAULT(VECTOR_GP, SEL_TEST)},  /* RPL */
        {SEL_TEST | 3, ACCESS(0, 3, 1, 3), FAULT(VECTOR_SS, SEL_TEST)},
        {3, ACCESS(1, 3, 1, 3), FAULT(VECTOR_GP, 0)},
        {0xfff8 | 3, ACCESS(1, 3, 1, 3), FAULT(VECTOR_GP, 0xfff8)},
    };
    for (unsigned i = 0; i < ARRAY_LENGTH(cases); i++) {
        bench_gdt(&rig, SEL_TEST, descriptor_make(0, 0xfffff, cases[i].access, FLAGS_32));
        bench_enter(&rig, 0);
        uint64_t sp = STACK_TOP(0) - 0x40;
        rig.cpu->regs[RSP] = sp;
        poke(&rig, sp, 0x4321, 4);
        poke(&rig, sp + 4, SEL_CODE(3), 4);
        poke(&rig, sp + 16, 0x8000, 4);
        poke(&rig, sp + 20, cases[i].selector, 4);
        /* RETF 8: parameters are released on both stacks */
        cr_assert_eq(BENCH_RUN(&rig, 0xca, 8, 0), cases[i].expected, "case %u", i);
        if (cases[i].expected == NO_FAULT)
            cr_assert_eq(rig.cpu->regs[RSP], 0x8008);
        else
            cr_assert_eq(rig.cpu->cpl, 0);
    }
}

Test(system_segments, questions_about_selectors)
{
    /* ZF as LAR, LSL, VERR, VERW set it, for every combination of a code or data segment. */
    for (unsigned n = 0; n < 1u << 11; n++) {
        struct combination c = {.type = n & 15,
                                .s = n >> 4 & 1,
                                .dpl = n >> 5 & 3,
                                .rpl = n >> 7 & 3,
                                .cpl = n >> 9 & 3,
                                .p = 1};
        unsigned use = c.s ? uses[c.type] : 0;
        bool reachable = c.dpl >= c.cpl && c.dpl >= c.rpl;
        bool visible = reachable || use & CONFORMING;
        bool lar =
            c.s ? visible : reachable && strchr("\1\2\3\4\5\11\13\14", (int)c.type) && c.type;
        bool lsl = c.s ? visible : reachable && strchr("\1\2\3\11\13", (int)c.type) && c.type;
        const bool expected[] = {lar, lsl, visible && use & READ, reachable && use & WRITE};
        static const uint8_t code[][3] = {
            {0x0f, 0x02, 0xc1}, {0x0f, 0x03, 0xc1}, {0x0f, 0x00, 0xe1}, {0x0f, 0x00, 0xe9}};
        for (unsigned i = 0; i < 4; i++) {
            rig.cpu->regs[RCX] = place(&c);
            rig.cpu->regs[RCX] = SEL_TEST | c.rpl;
            cr_assert_eq(bench_run(&rig, code[i], 3), NO_FAULT);
            cr_assert_eq(flag_zf(rig.cpu), expected[i],
                         "instruction %u: s %u type %u dpl %u rpl %u cpl %u", i, c.s, c.type, c.dpl,
                         c.rpl, c.cpl);
            if (i == 0 && lar)
                cr_assert_eq(rig.cpu->regs[RAX], 0x00c00000 | ACCESS(1, c.dpl, c.s, c.type) << 8);
            if (i == 1 && lsl)
                cr_assert_eq(rig.cpu->regs[RAX], UINT32_MAX);
        }
    }
}
