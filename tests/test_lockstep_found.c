/* Lockstep: every kind of broken engine is found at the block that shows it. */
#include "tests/lockstep_rig.h"

TestSuite(lockstep_found, .init = setup, .fini = teardown);

/* Round after round of one block; every broken engine below breaks it in the same turn. */
GUEST_CODE(rounds, ".code64\n"
                   "mov r15d, 100\n"
                   "1: mov [0x100000], r15\n"
                   "mov [0x100100], r15b\n"
                   "movq xmm1, r15\n"
                   "xor eax, eax\n"
                   "dec r15d\n jnz 1b\n"
                   "hlt\n");
enum { BREAKS_AT = 50 };

static void flip_register(struct cpu *cpu)
{
    cpu->regs[R11] ^= 0x100;
}
static void flip_rip(struct cpu *cpu)
{
    cpu->rip += 1;
}
static void flip_flag(struct cpu *cpu)
{
    cpu->lazy.carries ^= BIT(63) | BIT(62);
}
static void flip_direction(struct cpu *cpu)
{
    cpu->eflags ^= F_DF;
}
static void flip_xmm(struct cpu *cpu)
{
    cpu->xmm[7].b[9] ^= 1;
}
static void flip_mxcsr(struct cpu *cpu)
{
    cpu->mxcsr ^= 0x20;
}
static void flip_x87(struct cpu *cpu)
{
    cpu->x87.registers[3].exponent ^= 0x4000;
}
static void flip_x87_top(struct cpu *cpu)
{
    cpu->x87.status ^= 0x800;
}
static void flip_segment(struct cpu *cpu)
{
    cpu->segs[FS].base ^= 0x10;
}
static void flip_cr2(struct cpu *cpu)
{
    cpu->cr2 ^= 1;
}
static void flip_msr(struct cpu *cpu)
{
    cpu->msr.lstar ^= 1;
}
static void flip_debug_register(struct cpu *cpu)
{
    cpu->dr[6] ^= 1;
}
static void flip_stored_byte(struct cpu *cpu)
{
    uint8_t byte = 0x99;
    uint8_t *page = physmem_page_write(cpu->mmu.physmem, PPN(DATA >> PAGE_SHIFT), NULL);
    memcpy(page + 0x100, &byte, 1);
}
static void count_exception(struct cpu *cpu)
{
    cpu->count.exceptions[VECTOR_GP]++;
    cpu->count.exceptions_all++;
}
static void skip_instruction(struct cpu *cpu)
{
    cpu->instructions--;
}

static const struct breakage {
    const char *field;
    void (*do_it)(struct cpu *cpu);
} breakages[] = {
    {"R11", flip_register},
    {"RIP", flip_rip},
    {"EFLAGS", flip_flag},
    {"EFLAGS", flip_direction},
    {"XMM7", flip_xmm},
    {"MXCSR", flip_mxcsr},
    {"x87 R3", flip_x87},
    {"x87 status", flip_x87_top},
    {"FS", flip_segment},
    {"CR2", flip_cr2},
    {"MSR lstar", flip_msr},
    {"DR6", flip_debug_register},
    {"memory at GPA 100100", flip_stored_byte},
    {"exception delivered", count_exception},
    {"", skip_instruction},
};

static const struct breakage *breakage;
static void break_it(void *opaque, struct cpu *leader, uint64_t turn)
{
    if (turn == BREAKS_AT)
        breakage->do_it(leader);
}

static void start_rounds(void)
{
    rig_load(&rig, CODE, rounds);
    rig_long(&rig, CODE, 0);
    begin();
}

Test(lockstep_found, each_kind_of_broken_engine_is_found_at_once)
{
    probe.leader_ran = break_it;
    for (unsigned i = 0; i < ARRAY_LENGTH(breakages); i++) {
        breakage = &breakages[i];
        start_rounds();
        expect_difference(breakage->field, breakage->field);
        char place[40];
        snprintf(place, sizeof place, "after block %u:", BREAKS_AT + 1);
        cr_expect_not_null(strstr(lockstep_difference(lockstep), place), "%s: %s", breakage->field,
                           lockstep_difference(lockstep));
        teardown();
        setup();
        probe.leader_ran = break_it;
    }
    begin();
}

/* A write that the guest never made shows when whole memories are compared. */
static void write_astray(void *opaque, struct cpu *leader, uint64_t turn)
{
    uint8_t *page = physmem_page_write(leader->mmu.physmem, PPN(0x3ab), NULL);
    page[0xcde] = 1;
}

Test(lockstep_found, a_stray_write_is_found_at_the_end)
{
    probe.leader_ran = write_astray;
    start_rounds();
    cr_assert_eq(lockstep_run(lockstep), CPU_EXIT_HALTED);
    cr_assert(lockstep_finish(lockstep));
    cr_expect_not_null(strstr(lockstep_difference(lockstep), "memory at GPA 3abcde"), "%s",
                       lockstep_difference(lockstep));
}

Test(lockstep_found, a_report_says_all_that_is_known)
{
    static const struct breakage flip = {"R11", flip_register};
    breakage = &flip;
    probe.leader_ran = break_it;
    start_rounds();
    expect_difference("R11", "R11");
    static const char *const parts[] = {
        "seed       77",
        "field      R11",
        "0000000000000100",
        "4c 89 3c 25 00 00 10 00",
        "MOV_EvGv",
        "DEC",
        "JNZ",
        "dec r15d",
        "RIP=",
    };
    for (unsigned i = 0; i < ARRAY_LENGTH(parts); i++)
        cr_expect_not_null(strstr(report, parts[i]), "no \"%s\" in\n%s", parts[i], report);
}
