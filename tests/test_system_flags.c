/* Who may change which flag: POPF, IRET, CLI, STI, PUSHF by CPL, IOPL, VME and PVI; ports by IOPL
 * and the TSS's bitmap; the shadow after STI and MOV SS.  SDM 2B POPF, 3A §20.3, 1 §18.5. */
#include "tests/bench_suite.h"

TestSuite(system_flags, .init = setup, .fini = teardown);

enum { ALL_IMAGE = F_ALL };

struct state {
    unsigned cpl, iopl;
    bool v86, virtual_if, vif, vip, interrupts; /* virtual_if: CR4.VME and CR4.PVI */
};

static void enter(const struct state *s)
{
    if (s->v86)
        bench_enter_v86(&rig, s->iopl);
    else
        bench_enter(&rig, s->cpl);
    struct cpu *cpu = rig.cpu;
    if (s->virtual_if)
        mmu_set_cr4(&cpu->mmu, CR4_VME | CR4_PVI);
    cpu->eflags = (cpu->eflags & F_VM) | 2 | s->iopl << 12 | (s->vif ? F_VIF : 0) |
                  (s->vip ? F_VIP : 0) | (s->interrupts ? F_IF : 0);
    cpu_mode_changed(cpu);
}

/* Calls `check` for all states. */
static void for_each_state(void (*check)(const struct state *))
{
    for (unsigned n = 0; n < 1u << 9; n++) {
        struct state s = {.cpl = n & 3,
                          .iopl = n >> 2 & 3,
                          .v86 = n >> 4 & 1,
                          .virtual_if = n >> 5 & 1,
                          .vif = n >> 6 & 1,
                          .vip = n >> 7 & 1,
                          .interrupts = n >> 8 & 1};
        if (!s.v86 || s.cpl == 3)
            check(&s);
    }
}

#define SHOW(s)                                                                                    \
    "cpl %u iopl %u v86 %d virtual %d vif %d vip %d if %d", (s)->cpl, (s)->iopl, (s)->v86,         \
        (s)->virtual_if, (s)->vif, (s)->vip, (s)->interrupts

static void check_cli_sti(const struct state *s)
{
    bool allowed = s->cpl <= s->iopl;
    for (unsigned sti = 0; sti < 2; sti++) {
        enter(s);
        uint32_t before = rig.cpu->eflags, expected = before;
        bool fault = false;
        if (allowed)
            expected = sti ? before | F_IF : before & ~(uint32_t)F_IF;
        else if (!s->virtual_if || (!s->v86 && s->cpl < 3) || (sti && s->vip))
            fault = true;
        else
            expected = sti ? before | F_VIF : before & ~(uint32_t)F_VIF;
        /* As the run loop steps: no look at what is due, no next block. */
        rig.cpu->mode |= MODE_SINGLE;
        cr_assert_eq(BENCH_RUN(&rig, sti ? 0xfb : 0xfa), fault ? FAULT(VECTOR_GP, 0) : NO_FAULT,
                     SHOW(s));
        cr_assert_eq(rig.cpu->eflags, expected, SHOW(s));
        cr_assert_eq(rig.cpu->inhibit, sti && allowed && !s->interrupts, SHOW(s));
    }
}

Test(system_flags, cli_and_sti)
{
    for_each_state(check_cli_sti);
}

static void check_pushf(const struct state *s)
{
    for (unsigned is_32 = 0; is_32 < 2; is_32++) {
        static const uint8_t with_66[] = {0x66, 0x9c};
        enter(s);
        bool prefix = s->v86 == (bool)is_32; /* V86 code here is 16-bit, the other 32-bit */
        uint32_t image = cpu_eflags(rig.cpu) & ~(uint32_t)(F_VM | F_RF);
        bool fault = false;
        if (s->v86 && s->iopl < 3) {
            fault = is_32 || !s->virtual_if;
            image = (image & ~(uint32_t)F_IF) | F_IOPL | (s->vif ? F_IF : 0);
        }
        int64_t got = bench_run(&rig, with_66 + !prefix, 1 + prefix);
        cr_assert_eq(got, fault ? FAULT(VECTOR_GP, 0) : NO_FAULT, SHOW(s));
        if (!fault)
            cr_assert_eq(rig_peek(&rig, rig.cpu->regs[RSP], is_32 ? 4 : 2),
                         is_32 ? image : image & 0xffff, SHOW(s));
    }
}

Test(system_flags, pushf)
{
    for_each_state(check_pushf);
}

/* SDM 2B table 4-17, and the VME case of its pseudocode. */
static void check_popf(const struct state *s)
{
    static const uint32_t images[] = {0, ALL_IMAGE & ~(uint32_t)F_TF, F_IF, F_TF, F_IOPL | F_NT};
    for (unsigned n = 0; n < 2 * ARRAY_LENGTH(images); n++) {
        bool is_32 = n & 1, fault = false;
        uint32_t image = images[n / 2], mask = F_ARITH | F_DF | F_TF | F_NT, extra = 0;
        bool virtual = s->v86 && s->iopl < 3;
        if (virtual) {
            fault = is_32 || !s->virtual_if || image & F_TF || (image & F_IF && s->vip);
            mask |= F_VIF;
            extra = image & F_IF ? F_VIF : 0;
            image &= ~(uint32_t)F_VIF;
        } else {
            mask |= is_32 ? F_AC | F_ID : 0;
            mask |= s->cpl <= s->iopl ? F_IF : 0;
            mask |= s->cpl == 0 ? F_IOPL : 0;
        }
        enter(s);
        uint32_t before = cpu_eflags(rig.cpu);
        uint64_t sp = rig.cpu->regs[RSP] - 8;
        rig.cpu->regs[RSP] = sp;
        poke(&rig, sp, images[n / 2], 4);
        static const uint8_t with_66[] = {0x66, 0x9d};
        bool prefix = s->v86 == is_32;
        int64_t got = bench_run(&rig, with_66 + !prefix, 1 + prefix);
        cr_assert_eq(got, fault ? FAULT(VECTOR_GP, 0) : NO_FAULT, SHOW(s));
        uint32_t expected = fault ? before : (before & ~mask) | (image & mask) | extra;
        cr_assert_eq(cpu_eflags(rig.cpu), expected, SHOW(s));
        cr_assert_eq(rig.cpu->regs[RSP], fault ? sp : sp + (is_32 ? 4 : 2));
    }
}

Test(system_flags, popf)
{
    for_each_state(check_popf);
}

/* IRET at the same privilege follows POPF's rules, and takes RF, VIF and VIP at CPL 0. */
static void check_iret(const struct state *s)
{
    if (s->v86)
        return;
    enter(s);
    uint32_t before = cpu_eflags(rig.cpu), mask = F_ARITH | F_DF | F_TF | F_NT | F_AC | F_ID;
    mask |= s->cpl <= s->iopl ? F_IF : 0;
    mask |= s->cpl == 0 ? F_IOPL | F_VIF | F_VIP : 0;
    uint32_t image = ALL_IMAGE & ~(uint32_t)(F_VM | F_TF);
    uint64_t sp = STACK_TOP(s->cpl) - 0x20;
    rig.cpu->regs[RSP] = sp;
    poke(&rig, sp, 0x2000, 4);
    poke(&rig, sp + 4, SEL_CODE(s->cpl), 4);
    poke(&rig, sp + 8, image, 4);
    cr_assert_eq(BENCH_RUN(&rig, 0xcf), NO_FAULT);
    cr_assert_eq(cpu_eflags(rig.cpu) & ~(uint32_t)F_RF, (before & ~mask) | (image & mask), SHOW(s));
}

Test(system_flags, iret)
{
    for_each_state(check_iret);
}

/* IRET inside virtual-8086 mode. */
static void check_iret_v86(const struct state *s)
{
    static const uint32_t images[] = {0, F_IF | F_ARITH | F_NT, F_TF, F_IOPL};
    if (!s->v86)
        return;
    for (unsigned n = 0; n < ARRAY_LENGTH(images); n++) {
        uint32_t image = images[n];
        enter(s);
        uint32_t before = cpu_eflags(rig.cpu), mask = F_ARITH | F_DF | F_TF | F_NT, expected;
        bool fault = s->iopl < 3 && (!s->virtual_if || image & F_TF || (image & F_IF && s->vip));
        if (s->iopl == 3)
            expected = (before & ~(mask | F_IF)) | (image & (mask | F_IF));
        else
            expected = (before & ~(mask | F_VIF)) | (image & mask) | (image & F_IF ? F_VIF : 0);
        uint64_t sp = rig.cpu->regs[RSP] - 8;
        rig.cpu->regs[RSP] = sp;
        poke(&rig, sp, 0x200, 2);
        poke(&rig, sp + 2, 0x111, 2);
        poke(&rig, sp + 4, image, 2);
        cr_assert_eq(BENCH_RUN(&rig, 0xcf), fault ? FAULT(VECTOR_GP, 0) : NO_FAULT, SHOW(s));
        cr_assert_eq(cpu_eflags(rig.cpu), fault ? before : expected, SHOW(s));
        cr_assert_eq(rig.cpu->segs[CS].selector, fault ? BENCH_CODE_AT >> 4 : 0x111);
    }
}

Test(system_flags, iret_in_virtual_8086_mode)
{
    for_each_state(check_iret_v86);
}

/* --- ports */

static int64_t port_in(unsigned size, uint16_t port)
{
    static const uint8_t code[] = {0x66, 0xed, 0xec};
    rig.cpu->regs[RDX] = port;
    bool v86 = rig.cpu->eflags & F_VM;
    if (size == 1)
        return bench_run(&rig, code + 2, 1);
    return (size == 2) != v86 ? bench_run(&rig, code, 2) : bench_run(&rig, code + 1, 1);
}

Test(system_flags, port_permission_bitmap)
{
    for (unsigned n = 0; n < 1u << 5; n++) {
        unsigned cpl = n & 3, iopl = n >> 2 & 3;
        bool v86 = n >> 4 & 1;
        if (v86 && cpl != 3)
            continue;
        for (unsigned at = 0; at < 24; at++) {
            for (unsigned size = 1; size <= 4; size *= 2) {
                for (unsigned i = 0; i < 4; i++)
                    poke(&rig, BENCH_TSS + 0x68 + i, 0, 1);
                poke(&rig, BENCH_TSS + 0x68 + at / 8, 1u << at % 8, 1);
                struct state s = {.cpl = cpl, .iopl = iopl, .v86 = v86};
                enter(&s);
                bool needs_bitmap = v86 || cpl > iopl;
                for (unsigned port = 4; port < 16; port++) {
                    bool denied = needs_bitmap && at >= port && at < port + size;
                    rig.cpu->rip = v86 ? 0 : BENCH_CODE_AT;
                    cr_assert_eq(port_in(size, (uint16_t)port),
                                 denied ? FAULT(VECTOR_GP, 0) : NO_FAULT,
                                 "port %u size %u bit %u " SHOW(&s), port, size, at, s.cpl, s.iopl,
                                 s.v86, s.virtual_if, s.vif, s.vip, s.interrupts);
                }
            }
        }
    }
}

Test(system_flags, ports_beyond_the_bitmap_or_without_one)
{
    struct state s = {.cpl = 3};
    poke(&rig, BENCH_TSS + 0x68, 0, 8);
    enter(&s);
    cr_assert_eq(port_in(1, 8), NO_FAULT);
    rig.cpu->tr.limit = 0x69; /* the second byte, for port 8, has no byte after it */
    cr_assert_eq(port_in(1, 8), FAULT(VECTOR_GP, 0));
    cr_assert_eq(port_in(1, 0), NO_FAULT);
    rig.cpu->tr.limit = 102;
    cr_assert_eq(port_in(1, 0), FAULT(VECTOR_GP, 0));
    enter(&s);
    rig.cpu->tr.attributes = SEG_P | 3; /* a 16-bit TSS */
    cr_assert_eq(port_in(1, 0), FAULT(VECTOR_GP, 0));
}

/* --- shadows, in the run loop */

GUEST_CODE(after_sti, ".code32\n"
                      "sti\n"
                      "inc eax\n" /* in the shadow */
                      "inc eax\n"
                      "hlt\n");
GUEST_CODE(after_mov_ss, ".code32\n"
                         "mov ss, ebx\n"
                         "mov esp, 0x9000\n" /* in the shadow */
                         "inc eax\n"
                         "hlt\n");
GUEST_CODE(halts, ".code32\nhlt\n");

static uint64_t eip_of_interrupt(void)
{
    bench_idt(&rig, 0x11, gate_make(SEL_CODE(0), 0x1800, ACCESS(1, 0, 0, 14), 0));
    rig_load(&rig, 0x1800, halts);
    rig.interrupt_vector = 0x11;
    cpu_raise_line(rig.cpu, LINE_INTR);
    cr_assert_eq(cpu_run(rig.cpu), CPU_EXIT_HALTED);
    cr_assert_eq(rig.cpu->rip, 0x1801);
    return bench_stack(&rig, 0);
}

Test(system_flags, interrupts_wait_for_one_instruction)
{
    rig_load(&rig, BENCH_CODE_AT, after_sti);
    bench_enter(&rig, 0);
    cr_assert_eq(eip_of_interrupt(), BENCH_CODE_AT + 2);
    rig_load(&rig, BENCH_CODE_AT, after_mov_ss);
    bench_enter(&rig, 0);
    rig.cpu->regs[RBX] = SEL_DATA(0);
    rig.cpu->eflags |= F_TF; /* a step trap after MOV SS waits too */
    rig_load(&rig, 0x101, halts);
    cr_assert_eq(cpu_run(rig.cpu), CPU_EXIT_HALTED);
    cr_assert_eq(rig.cpu->rip, 0x102, "the #DB handler");
    cr_assert_eq(bench_stack(&rig, 0), BENCH_CODE_AT + 7);
}
