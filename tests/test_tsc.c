/* cpu/tsc: the counter never goes back and keeps to the machine's clock, in C and in translated
 * code. */
#include "tests/rig.h"
#include "translate/translated.h"

#include <time.h>

enum {
    CODE_AT = 0x20000,
    HANDLER_AT = 0x50000,
    IDT_AT = 0x60000,
    GDT_AT = 0x61000,
    TSS_AT = 0x62000
};
/* How far the two may be apart: more than the longest line, so that no load on the host matters. */
enum { APART_NS = 50 * 1000 * 1000 };

static uint64_t fake_clock; /* 0: the host's */
static bool steady;

static uint64_t clock_ns(void *machine, struct cpu *cpu)
{
    struct timespec now;
    if (fake_clock)
        return fake_clock;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static bool is_steady(void *machine)
{
    return steady;
}

static struct rig rig;
static struct cpu_ops ops;

static void setup(void)
{
    rig_init(&rig);
    ops = rig_ops;
    ops.tsc = clock_ns;
    ops.tsc_is_steady = is_steady;
    rig.cpu->ops = &ops;
}
static void teardown(void)
{
    rig_free(&rig);
}
TestSuite(tsc, .init = setup, .fini = teardown);

Test(tsc, a_clock_that_is_not_steady_is_read_each_time)
{
    for (fake_clock = 1; fake_clock < 1000000; fake_clock *= 3)
        cr_assert_eq(tsc_read(rig.cpu), fake_clock);
}

Test(tsc, never_goes_back_and_keeps_to_the_clock)
{
    uint64_t last = 0;
    steady = true;
    for (unsigned i = 0; i < 1000000; i++) {
        const uint64_t before = clock_ns(NULL, NULL), value = tsc_read(rig.cpu),
                       after = clock_ns(NULL, NULL);
        cr_assert_geq(value, last);
        cr_assert(value + APART_NS >= before && value <= after + APART_NS);
        last = value;
        if (i % 10000 == 0)
            tsc_interrupted(rig.cpu);
    }
}

Test(tsc, follows_a_clock_that_is_set)
{
    steady = true;
    fake_clock = UINT64_C(1) << 40;
    cr_assert_eq(tsc_read(rig.cpu), fake_clock);
    fake_clock -= 1000; /* two readings out of order: no step back */
    cr_assert_eq(tsc_read(rig.cpu), UINT64_C(1) << 40);
    fake_clock = UINT64_C(1) << 30;
    tsc_interrupted(rig.cpu);
    cr_assert_eq(tsc_read(rig.cpu), fake_clock);
}

/* r8: steps back; r9: readings; rdi: the last one */
GUEST_CODE(reads,
           ".code64\n mov ecx, 200000\n xor edi, edi\n xor r8d, r8d\n"
           "1: mov esi, ecx\n rdtsc\n shl rdx, 32\n or rax, rdx\n cmp rax, rdi\n adc r8d, 0\n"
           "mov rdi, rax\n rdtscp\n shl rdx, 32\n or rax, rdx\n cmp rax, rdi\n adc r8d, 0\n"
           "mov rdi, rax\n add r9d, ecx\n mov ecx, esi\n dec ecx\n jnz 1b\n hlt\n");

Test(tsc, translated_code_reads_along_the_same_line)
{
    struct cpu *cpu = rig.cpu;
    struct error error;
    steady = true;
    cr_assert_eq(translator_attach(cpu, &(struct translate_options){.threshold = 1}, &error), 0,
                 "%s", error.text);
    rig_load(&rig, CODE_AT, reads);
    rig_long(&rig, CODE_AT, 0);
    cpu->msr.tsc_aux = 1;
    cpu->msr.tsc_offset = 12345;
    const uint64_t before = clock_ns(NULL, NULL);
    cr_assert_eq(cpu_run(cpu), CPU_EXIT_HALTED);
    const uint64_t after = clock_ns(NULL, NULL);
    cr_assert_eq(cpu->regs[R8], 0);
    cr_assert_eq(cpu->regs[R9], 200000, "RDTSCP gives TSC_AUX");
    const uint64_t value = cpu->regs[RDI] - 12345;
    cr_assert(value + APART_NS >= before && value <= after + APART_NS);
    cr_assert_eq(cpu->callouts[OP_RDTSC], 200000);
    cr_assert_eq(cpu->callouts[OP_RDTSCP], 200000);
    translator_detach(cpu);
}

GUEST_CODE(forbidden, ".code64\n mov eax, 7\n mov edx, 8\n rdtsc\n hlt\n");
GUEST_CODE(handler, ".code64\n pop r14\n pop r13\n hlt\n");

Test(tsc, cr4_tsd_forbids_it_to_programs)
{
    struct cpu *cpu = rig.cpu;
    struct error error;
    const uint64_t gate[2] = {(uint64_t)HANDLER_AT >> 16 << 48 | UINT64_C(0x8e00) << 32 | 8 << 16,
                              0};
    const uint64_t code = UINT64_C(0x00af9b000000ffff), stack = 0x70000;
    steady = true;
    cr_assert_eq(translator_attach(cpu, &(struct translate_options){.threshold = 1}, &error), 0,
                 "%s", error.text);
    rig_load(&rig, CODE_AT, forbidden);
    rig_load(&rig, HANDLER_AT, handler);
    physmem_write(&rig.physmem, GPA(IDT_AT + 16 * VECTOR_GP), gate, sizeof gate);
    physmem_write(&rig.physmem, GPA(GDT_AT + 8), &code, 8);
    physmem_write(&rig.physmem, GPA(TSS_AT + 4), &stack, 8);
    rig_long(&rig, CODE_AT, 3);
    mmu_set_cr4(&cpu->mmu, cpu->mmu.registers.cr4 | CR4_TSD);
    cpu->idt = (struct descriptor_table){IDT_AT, 32 * 16 - 1};
    cpu->gdt = (struct descriptor_table){GDT_AT, 15};
    cpu->tr = (struct segment){.base = TSS_AT, .limit = 103, .attributes = SEG_P | 0xb};
    cpu_mode_changed(cpu);
    cr_assert_eq(cpu_run(cpu), CPU_EXIT_HALTED);
    cr_assert_eq(cpu->regs[R14], 0, "error code");
    cr_assert_eq(cpu->regs[R13], CODE_AT + 10, "RDTSC's own address");
    cr_assert(cpu->regs[RAX] == 7 && cpu->regs[RDX] == 8);
    translator_detach(cpu);
}
