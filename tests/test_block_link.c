/* Links between blocks of one page: what may not be linked, and what breaks a link. */
#include "tests/rig.h"

static struct rig rig;

static void setup(void)
{
    rig_init(&rig);
}
static void teardown(void)
{
    rig_free(&rig);
}
TestSuite(block_link, .init = setup, .fini = teardown);

static uint64_t run_at(uint16_t cs, uint16_t ip)
{
    rig_real(&rig, ip);
    segment_load_real(rig.cpu, CS, cs);
    cpu_mode_changed(rig.cpu);
    rig.cpu->halted = false;
    rig.cpu->regs[RAX] = 0;
    cr_assert_eq(cpu_run(rig.cpu), CPU_EXIT_HALTED);
    return rig.cpu->regs[RAX];
}

GUEST_CODE(jumps, ".code16\njmp . + 0x22\n");
GUEST_CODE(near_by, ".code16\nmov ax, 1\nhlt\n");
GUEST_CODE(wrapped, ".code16\nmov ax, 2\nhlt\n");

/* The same bytes at linear 18000h: at 1800:0000 the jump leads to 18022h, at 0801:FFF0 it wraps and
 * leads to 8022h. */
Test(block_link, a_wrapping_branch_is_not_the_one_that_does_not_wrap)
{
    rig_load(&rig, 0x18000, jumps);
    rig_load(&rig, 0x18022, near_by);
    rig_load(&rig, 0x8022, wrapped);
    for (unsigned round = 0; round < 4; round++) {
        for (unsigned i = 0; i < 3; i++)
            cr_assert_eq(run_at(0x1800, 0), 1);
        for (unsigned i = 0; i < 3; i++)
            cr_assert_eq(run_at(0x801, 0xfff0), 2);
    }
}

GUEST_CODE(counts, ".code16\n"
                   "mov cx, 50\n"
                   "1: inc ax\n"
                   "loop 1b\n"
                   "jmp 2f\n"
                   "nop\n"
                   "2: hlt\n");
GUEST_CODE(counts_twice, ".code16\n"
                         "mov cx, 50\n"
                         "1: inc ax\n"
                         "inc ax\n"
                         "loop 1b\n"
                         "2: hlt\n");

Test(block_link, a_rewritten_target_is_decoded_anew)
{
    for (unsigned round = 0; round < 6; round++) {
        /* once over the end of the epochs */
        if (round == 3)
            rig.cpu->link_epoch = UINT32_MAX;
        rig_load(&rig, 0x1000, counts);
        cr_assert_eq(run_at(0, 0x1000), 50);
        rig_load(&rig, 0x1000, counts_twice);
        cr_assert_eq(run_at(0, 0x1000), 100);
    }
    cr_assert_lt(rig.cpu->link_epoch, UINT32_MAX);
}

/* An interrupt line that is raised while a linked loop runs is seen: the loop alone never ends. */
GUEST_CODE(endless, ".code16\nsti\n1: inc eax\njmp 1b\n");
GUEST_CODE(stops, ".code16\nhlt\n");

static int raise_after_a_while(void *machine, struct cpu *cpu)
{
    cpu_lower_line(cpu, LINE_INTR);
    return 0x40;
}

Test(block_link, attention_ends_a_linked_loop)
{
    struct cpu_ops ops = *rig.cpu->ops;
    uint32_t vector = 0x2000;
    ops.acknowledge = raise_after_a_while;
    rig.cpu->ops = &ops;
    rig_load(&rig, 0x1000, endless);
    rig_load(&rig, 0x2000, stops);
    physmem_write(&rig.physmem, GPA(0x40 * 4), &vector, 4);
    cpu_raise_line(rig.cpu, LINE_INTR);
    run_at(0, 0x1000);
    cr_assert_eq(rig.cpu->rip, 0x2001);
}

/* A limit that shrinks below a linked target: the branch faults. */
GUEST_CODE(far_end, ".code32\nxor eax, eax\njmp . + 0x102\n");
GUEST_CODE(at_the_end, ".code32\nhlt\n");

Test(block_link, a_limit_that_shrinks_is_seen)
{
    struct cpu *cpu = rig.cpu;
    rig_load(&rig, 0x20000, far_end);
    rig_load(&rig, 0x20104, at_the_end);
    for (unsigned round = 0; round < 6; round++) {
        bool reaches = round < 5;
        rig_long(&rig, 0x20000, 0);
        cpu->segs[CS].attributes = SEG_G | SEG_DB | SEG_P | SEG_S | 0xb;
        cpu->segs[CS].limit = reaches ? UINT32_MAX : 0x20080;
        cpu_mode_changed(cpu);
        cpu->halted = false;
        /* without an IDT the fault is the end of the processor */
        cr_assert_eq(cpu_run(cpu), reaches ? CPU_EXIT_HALTED : CPU_EXIT_SHUTDOWN);
        cr_assert_eq(cpu->rip, reaches ? 0x20105 : 0x20002);
    }
}
