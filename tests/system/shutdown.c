/* Topic: shutdown, by which a PC is reset.
 *
 * Each scenario ends in a reset, after which the guest boots again: what has been tried stands in
 * the CMOS RAM, and all cases are printed once the last has been. Sources: SDM 3A §6.15 (#DF),
 * §21.1.4; 3A §6.14. */
#include "system.h"

SNIPPET(16, interrupt_16, "int $0x81");
SNIPPET(32, interrupt_32, "int $0x81");
SNIPPET(64, interrupt_64, "int $0x81");
SNIPPET(32, push_32, "push %eax");

enum { CMOS_INDEX = 0x70, CMOS_DATA = 0x71, NMI_OFF = 0x80, FIRST = 0x60, MAGIC = 0xa5 };
enum result { UNTRIED, TRYING, CAME_BACK, SHUT_DOWN };

static uint8_t cmos_read(unsigned index)
{
    out8(CMOS_INDEX, NMI_OFF | index);
    return in8(CMOS_DATA);
}

static void cmos_write(unsigned index, uint8_t value)
{
    out8(CMOS_INDEX, NMI_OFF | index);
    out8(CMOS_DATA, value);
}

/* --- scenarios: each runs a snippet that must not come back */

static void absent(unsigned vector)
{
    if (in_long_mode())
        idt_set_long(vector, 0, 0);
    else
        idt_set(vector, 0);
}

static void no_stack_real(void)
{
    struct state start = start_v86(&interrupt_16);

    start.flags = FLAG_FIXED;
    start.gpr[RSP] = 1; /* a word would begin in the segment's last byte */
    attempt_real(&start);
}

static void no_idt_32(void)
{
    struct state start = start_at(&interrupt_32, 0);

    load_idtr(IDT, 0);
    attempt(&start);
}

static void no_gates_32(void)
{
    struct state start = start_at(&interrupt_32, 3);

    absent(0x81);
    absent(VECTOR_GP);
    absent(VECTOR_NP);
    absent(VECTOR_DF);
    attempt(&start);
}

static void no_stack_32(void)
{
    struct state start = start_at(&push_32, 0);

    gdt_set(SEL_SCRATCH, descriptor(0, 0xfff, DATA, SIZE_32));
    start.ss = SEL_SCRATCH;
    start.gpr[RSP] = 0x2000;
    attempt(&start);
}

static void no_inner_stack_32(void)
{
    struct state start = start_at(&interrupt_32, 3);

    *word_at(TSS_32 + TSS_SS0) = 0;
    attempt(&start);
}

static void no_idt_64(void)
{
    struct state start = start_at(&interrupt_64, 3);

    load_idtr(IDT, 0);
    attempt(&start);
}

static void no_gates_64(void)
{
    struct state start = start_at(&interrupt_64, 3);

    absent(0x81);
    absent(VECTOR_GP);
    absent(VECTOR_DF);
    attempt(&start);
}

static void no_interrupt_stack_64(void)
{
    struct state start = start_at(&interrupt_64, 3);

    *qword_at(TSS_64 + TSS_IST1) = 0x0000800000001000;
    attempt(&start);
}

static void no_task_state_64(void)
{
    struct state start = start_at(&interrupt_64, 3);

    gdt_set(SEL_TSS64, descriptor(TSS_64, 0, TSS_FREE, 0));
    __asm__ volatile("ltr %w0" : : "r"(SEL_TSS64) : "memory");
    attempt(&start);
}

static const struct scenario {
    const char *name, *sdm;
    void (*run)(void);
    bool is_long;
} scenarios[] = {
    {"real mode: no room for a frame on the stack", "3A 6.15", no_stack_real, false},
    {"protected mode: an IDT of one byte", "3A 6.15", no_idt_32, false},
    {"protected mode: no gates for #GP, #NP and #DF", "3A 6.15", no_gates_32, false},
    {"protected mode: a stack fault at CPL 0", "3A 6.15", no_stack_32, false},
    {"protected mode: no inner stack", "3A 6.15", no_inner_stack_32, false},
    {"64-bit mode: an IDT of one byte", "3A 6.15", no_idt_64, true},
    {"64-bit mode: no gates for #GP and #DF", "3A 6.15", no_gates_64, true},
    {"64-bit mode: an interrupt stack that is not canonical", "3A 6.15", no_interrupt_stack_64,
     true},
    {"64-bit mode: a TSS of one byte", "3A 6.15", no_task_state_64, true},
};
enum { SCENARIOS = sizeof scenarios / sizeof scenarios[0] };

static void run_untried(bool is_long)
{
    for (unsigned i = 0; i < SCENARIOS; i++) {
        unsigned at = FIRST + 1 + i;
        if (scenarios[i].is_long != is_long)
            continue;
        if (cmos_read(at) == TRYING)
            cmos_write(at, SHUT_DOWN);
        if (cmos_read(at) != UNTRIED)
            continue;
        cmos_write(at, TRYING);
        tables_reset();
        scenarios[i].run();
        cmos_write(at, CAME_BACK);
    }
}

static void print_results(void)
{
    for (unsigned i = 0; i < SCENARIOS; i++) {
        unsigned result = cmos_read(FIRST + 1 + i);
        case_begin(scenarios[i].sdm, scenarios[i].name);
        case_check(result == SHUT_DOWN, "result %u", result);
        case_end();
        cmos_write(FIRST + 1 + i, UNTRIED);
    }
}

static void protected_mode(void)
{
    if (cmos_read(FIRST) != MAGIC) {
        for (unsigned i = 0; i < SCENARIOS; i++)
            cmos_write(FIRST + 1 + i, UNTRIED);
        cmos_write(FIRST, MAGIC);
    }
    run_untried(false);
}

static void long_mode(void)
{
    run_untried(true);
    print_results();
}

const struct topic topic = {"shutdown", protected_mode, long_mode};
