/* The run loop and the block cache: self-modifying code in all its forms, crossing instructions,
 * remapped pages, traps and the interrupt shadow. */
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
TestSuite(run, .init = setup, .fini = teardown);

GUEST_CODE(smc_same_block, ".code16\n"
                           "mov ax, 1\n"
                           "mov byte ptr [0x1000 + 2f - smc_same_block_start + 1], 7\n"
                           "2: mov bx, 1\n"
                           "hlt\n");

Test(run, a_store_into_its_own_block_is_seen_at_once)
{
    rig_load(&rig, 0x1000, smc_same_block);
    rig_real(&rig, 0x1000);
    cr_assert_eq(cpu_run(rig.cpu), CPU_EXIT_HALTED);
    cr_assert_eq(rig.cpu->regs[RBX], 7);
}

/* Rewrites the immediate of an ADD 1000 times, each round adding the new value. */
GUEST_CODE(smc_loop, ".code16\n"
                     "xor ax, ax\n"
                     "mov cx, 1000\n"
                     "1: mov word ptr [0x1000 + 2f - smc_loop_start + 1], cx\n"
                     "2: add ax, 0x1234\n"
                     "loop 1b\n"
                     "hlt\n");

Test(run, a_loop_that_rewrites_itself)
{
    rig_load(&rig, 0x1000, smc_loop);
    rig_real(&rig, 0x1000);
    cr_assert_eq(cpu_run(rig.cpu), CPU_EXIT_HALTED);
    cr_assert_eq((uint16_t)rig.cpu->regs[RAX], (uint16_t)(1000 * 1001 / 2));
    cr_assert_geq(rig.cpu->count.blocks_patched, 999);
    cr_assert_lt(rig.cpu->count.blocks_decoded, 10);
}

/* The same with an instruction that becomes another one, of another length, and back. */
GUEST_CODE(smc_opcode,
           ".code16\n"
           "xor ax, ax\n"
           "mov cx, 1000\n"
           "mov bx, 0xc083\n" /* add ax, byte … */
           "mov dx, 0x9005\n" /* add ax, 0190h (the byte that follows is the high one) */
           "1: mov [0x1000 + 2f - smc_opcode_start], bx\n"
           "xchg bx, dx\n"
           "2: add ax, 1\n"
           "nop\n"
           "loop 1b\n"
           "hlt\n");

Test(run, a_loop_that_rewrites_an_opcode)
{
    rig_load(&rig, 0x1000, smc_opcode);
    rig_real(&rig, 0x1000);
    cr_assert_eq(cpu_run(rig.cpu), CPU_EXIT_HALTED);
    cr_assert_eq((uint16_t)rig.cpu->regs[RAX], (uint16_t)(500 * 1 + 500 * 0x190));
    cr_assert_geq(rig.cpu->count.blocks_killed, 999);
}

/* What writes its own bytes acts by what it read at its start: ENTER pushes over its own immediate,
 * and a store of an immediate goes over that immediate. */
GUEST_CODE(smc_itself, ".code16\n"
                       "mov sp, 0x1000 + 1f - smc_itself_start + 3\n"
                       "mov bp, sp\n"
                       "1: enter 0x10, 0\n"
                       "mov word ptr [0x1000 + 2f - smc_itself_start - 2], 0x1234\n"
                       "2: hlt\n");

Test(run, an_instruction_that_writes_itself_is_whole)
{
    for (unsigned round = 0; round < 3; round++) {
        rig_load(&rig, 0x1000, smc_itself);
        rig_real(&rig, 0x1000);
        rig.cpu->halted = false;
        cr_assert_eq(cpu_run(rig.cpu), CPU_EXIT_HALTED);
        cr_assert_eq((uint16_t)rig.cpu->regs[RBP], 0x1006);
        cr_assert_eq((uint16_t)rig.cpu->regs[RSP], 0x1006 - 0x10);
        cr_assert_eq(rig_peek(&rig, 0x1006, 2), 0x1008);
        cr_assert_eq(rig_peek(&rig, 0x1000 + (smc_itself_end - smc_itself_start) - 3, 2), 0x1234);
    }
}

/* Any byte of a program changed from outside: it runs as if it had never been seen before. */
GUEST_CODE(changeable, ".code16\n"
                       "mov ax, 0x1111\n add bx, 0x22\n xor cx, 0x3333\n imul dx, ax, 5\n"
                       "push 0x44\n pop si\n test al, 0x10\n jz 1f\n sub di, 0x55\n"
                       "1: mov word ptr [0x3000], 0x6666\n adc ax, [0x3000]\n shl bx, 3\n"
                       "enter 4, 0\n leave\n hlt\n hlt\n hlt\n hlt\n hlt\n hlt\n hlt\n");

static void at_changeable(void)
{
    rig_real(&rig, 0x1000);
    memset(rig.cpu->regs, 0, sizeof rig.cpu->regs);
    rig.cpu->regs[RSP] = 0x8000;
    rig.cpu->lazy = (struct lazy_flags){0};
    rig.cpu->halted = false;
    memset(rig.cpu->count.exceptions, 0, sizeof rig.cpu->count.exceptions);
    static const uint8_t zeroes[0x10000];
    physmem_write(&rig.physmem, GPA(0), zeroes, 0x1000);
    physmem_write(&rig.physmem, GPA(0x2000), zeroes, sizeof zeroes - 0x2000);
}

static bool any_exception(void)
{
    uint64_t sum = 0;
    for (unsigned vector = 0; vector < 32; vector++)
        sum += rig.cpu->count.exceptions[vector];
    return sum;
}

static void change(unsigned at, uint8_t byte)
{
    physmem_write(&rig.physmem, GPA(0x1000 + at), &byte, 1);
}

static void no_error_pin(void *machine, struct cpu *cpu)
{
}

Test(run, any_changed_byte_is_seen)
{
    struct cpu_ops ops = *rig.cpu->ops;
    ops.ferr = no_error_pin;
    rig.cpu->ops = &ops;
    unsigned length = (unsigned)(changeable_end - changeable_start), compared = 0;
    for (unsigned n = 0; n < 8 * length; n++) {
        uint64_t single[REG_COUNT];
        uint8_t byte = changeable_start[n / 8] ^ (uint8_t)(1 << n % 8);
        rig_load(&rig, 0x1000, changeable);
        change(n / 8, byte);
        at_changeable();
        for (unsigned step = 0; step < 40 && !rig.cpu->halted; step++)
            if (cpu_step(rig.cpu) == CPU_EXIT_SHUTDOWN)
                break;
        if (!rig.cpu->halted || any_exception())
            continue; /* goes astray */
        memcpy(single, rig.cpu->regs, sizeof single);
        rig_load(&rig, 0x1000, changeable);
        at_changeable();
        cr_assert_eq(cpu_run(rig.cpu), CPU_EXIT_HALTED);
        change(n / 8, byte);
        at_changeable();
        cr_assert_eq(cpu_run(rig.cpu), CPU_EXIT_HALTED);
        cr_assert(!memcmp(single, rig.cpu->regs, sizeof single), "bit %u of byte %u", n % 8, n / 8);
        compared++;
    }
    cr_assert_geq(compared, 4 * length);
    cr_assert_geq(rig.cpu->count.blocks_patched, length);
}

/* Data beside code, in the same page but not the same bytes: nothing is thrown away. */
GUEST_CODE(mixed_page, ".code16\n"
                       "mov cx, 5000\n"
                       "1: inc word ptr [0x1f00]\n"
                       "loop 1b\n"
                       "hlt\n");

Test(run, data_in_a_code_page_does_not_thrash)
{
    rig_load(&rig, 0x1000, mixed_page);
    rig_real(&rig, 0x1000);
    cr_assert_eq(cpu_run(rig.cpu), CPU_EXIT_HALTED);
    cr_assert_eq(rig_peek(&rig, 0x1f00, 2), 5000);
    cr_assert_lt(rig.cpu->count.blocks_decoded, 10);
}

/* Where code was is a page like any other. */
Test(run, marks_go_with_the_code)
{
    rig_load(&rig, 0x1000, mixed_page);
    rig_real(&rig, 0x1000);
    cr_assert_eq(cpu_run(rig.cpu), CPU_EXIT_HALTED);
    cr_assert(physmem_has_code(&rig.physmem, PPN(1)));
    uint8_t zeroes[64] = {0};
    physmem_write(&rig.physmem, GPA(0x1000), zeroes, sizeof zeroes);
    cr_assert_not(physmem_has_code(&rig.physmem, PPN(1)));
}

GUEST_CODE(returns_one, ".code16\nmov ax, 1\nhlt\n");
GUEST_CODE(returns_two, ".code16\nmov ax, 2\nhlt\n");

Test(run, dma_into_code_is_seen)
{
    rig_load(&rig, 0x1000, returns_one);
    rig_real(&rig, 0x1000);
    cr_assert_eq(cpu_run(rig.cpu), CPU_EXIT_HALTED);
    cr_assert_eq(rig.cpu->regs[RAX], 1);
    rig_load(&rig, 0x1000, returns_two);
    rig.cpu->halted = false;
    rig.cpu->rip = 0x1000;
    cr_assert_eq(cpu_run(rig.cpu), CPU_EXIT_HALTED);
    cr_assert_eq(rig.cpu->regs[RAX], 2);
}

/* MOV EAX, imm32 with its immediate on the next page, whose mapping changes between two runs. */
GUEST_CODE(crossing, ".code64\nmov eax, 0x11111111\nhlt\n");

Test(run, a_crossing_instruction_follows_its_second_page)
{
    physmem_write(&rig.physmem, GPA(0x20ffd), crossing_start, 3);
    physmem_write(&rig.physmem, GPA(0x21000), crossing_start + 3, 3);
    static const uint8_t other[3] = {0x22, 0x22, 0xf4};
    physmem_write(&rig.physmem, GPA(0x30000), other, 3);
    for (unsigned round = 0; round < 4; round++) {
        rig_long(&rig, 0x20ffd, 0);
        uint64_t entry = (round & 1 ? 0x30000 : 0x21000) | 0x67;
        physmem_write(&rig.physmem, GPA(rig_pte(0x21000)), &entry, 8);
        mmu_invlpg(&rig.cpu->mmu, GVA(0x21000));
        rig.cpu->halted = false;
        cr_assert_eq(cpu_run(rig.cpu), CPU_EXIT_HALTED);
        cr_assert_eq(rig.cpu->regs[RAX], round & 1 ? 0x22221111 : 0x11111111);
    }
}

/* The same linear address leads to other code after its page is remapped. */
GUEST_CODE(caller, ".code64\n"
                   "mov ecx, 100\n"
                   "1: call rdi\n"
                   "loop 1b\n"
                   "hlt\n");
GUEST_CODE(adds_one, ".code64\nadd rax, 1\nret\n");
GUEST_CODE(adds_ten, ".code64\nadd rax, 10\nret\n");

Test(run, remapped_code_is_found_anew)
{
    rig_load(&rig, 0x20000, caller);
    rig_load(&rig, 0x40000, adds_one);
    rig_load(&rig, 0x50000, adds_ten);
    for (unsigned round = 0; round < 4; round++) {
        rig_long(&rig, 0x20000, 0);
        uint64_t entry = (round & 1 ? 0x50000 : 0x40000) | 0x67;
        physmem_write(&rig.physmem, GPA(rig_pte(0x60000)), &entry, 8);
        mmu_invlpg(&rig.cpu->mmu, GVA(0x60000));
        rig.cpu->regs[RAX] = 0;
        rig.cpu->regs[RDI] = 0x60000;
        rig.cpu->halted = false;
        cr_assert_eq(cpu_run(rig.cpu), CPU_EXIT_HALTED);
        cr_assert_eq(rig.cpu->regs[RAX], round & 1 ? 1000 : 100);
    }
}

/* Real-mode IVT entry `vector` leads to 0:offset. */
static void ivt_set(unsigned vector, uint16_t offset)
{
    uint32_t entry = offset;
    physmem_write(&rig.physmem, GPA(vector * 4), &entry, 4);
}

GUEST_CODE(counts_traps, ".code16\ninc word ptr [0x600]\niret\n");
GUEST_CODE(steps, ".code16\n"
                  "pushf\n"
                  "pop ax\n"
                  "or ax, 0x100\n"
                  "push ax\n"
                  "popf\n"
                  "nop\n"
                  "nop\n"
                  "mov bx, ss\n"
                  "mov ss, bx\n" /* no trap between this and the next */
                  "nop\n"
                  "and ax, 0xfeff\n"
                  "push ax\n"
                  "popf\n"
                  "hlt\n");

Test(run, single_step_traps_after_each_instruction_but_mov_ss)
{
    rig_load(&rig, 0x1000, steps);
    rig_load(&rig, 0x2000, counts_traps);
    ivt_set(VECTOR_DB, 0x2000);
    rig_real(&rig, 0x1000);
    cr_assert_eq(cpu_run(rig.cpu), CPU_EXIT_HALTED);
    /* NOP, NOP, MOV BX, NOP after MOV SS, AND, PUSH, POPF (TF was set when it began) */
    cr_assert_eq(rig_peek(&rig, 0x600, 2), 7, "%d", (int)rig_peek(&rig, 0x600, 2));
    cr_assert(rig.cpu->dr[6] & BIT(14));
}

GUEST_CODE(sti_hlt, ".code16\n"
                    "cli\n"
                    "sti\n"
                    "inc bx\n" /* runs before the interrupt */
                    "inc bx\n"
                    "hlt\n");
GUEST_CODE(copies_bx, ".code16\nmov cx, bx\niret\n");

Test(run, sti_holds_interrupts_off_for_one_instruction)
{
    rig_load(&rig, 0x1000, sti_hlt);
    rig_load(&rig, 0x2000, copies_bx);
    ivt_set(0x20, 0x2000);
    rig_real(&rig, 0x1000);
    rig.cpu->regs[RBX] = 0;
    rig.interrupt_vector = 0x20;
    cpu_raise_line(rig.cpu, LINE_INTR);
    cr_assert_eq(cpu_run(rig.cpu), CPU_EXIT_HALTED);
    cr_assert_eq(rig.cpu->regs[RCX], 1);
    cr_assert_eq(rig.cpu->regs[RBX], 2);
}

Test(run, an_interrupt_wakes_a_halted_cpu)
{
    static const uint8_t code[] = {0xfb, 0xf4, 0x43, 0xf4}; /* STI HLT INC BX HLT */
    physmem_write(&rig.physmem, GPA(0x1000), code, sizeof code);
    rig_load(&rig, 0x2000, copies_bx);
    ivt_set(0x20, 0x2000);
    rig_real(&rig, 0x1000);
    rig.cpu->regs[RBX] = 5;
    cr_assert_eq(cpu_run(rig.cpu), CPU_EXIT_HALTED);
    cr_assert_eq(rig.cpu->regs[RBX], 5);
    rig.interrupt_vector = 0x20;
    cpu_raise_line(rig.cpu, LINE_INTR);
    cr_assert_eq(cpu_run(rig.cpu), CPU_EXIT_HALTED);
    cr_assert_eq(rig.cpu->regs[RBX], 6);
    cr_assert_eq(rig.cpu->regs[RCX], 5);
}

GUEST_CODE(forever, ".code64\n1: inc rax\njmp 1b\n");

Test(run, a_kick_ends_an_endless_loop_and_the_count_is_right)
{
    rig_load(&rig, 0x20000, forever);
    rig_long(&rig, 0x20000, 3);
    rig.cpu->regs[RAX] = 0;
    uint64_t before = rig.cpu->instructions;
    for (unsigned i = 0; i < 100; i++)
        cr_assert_eq(cpu_step(rig.cpu), CPU_EXIT_KICKED);
    cr_assert_eq(rig.cpu->instructions - before, 100);
    cr_assert_eq(rig.cpu->regs[RAX], 50);
    cpu_kick(rig.cpu);
    cr_assert_eq(cpu_run(rig.cpu), CPU_EXIT_KICKED);
}

/* A fault in a block's middle: rip is the instruction's own, what came before is done. */
GUEST_CODE(faults, ".code64\n"
                   "mov eax, 1\n"
                   "mov ebx, [rdi]\n"
                   "mov eax, 2\n");

Test(run, faults_are_precise)
{
    rig_load(&rig, 0x20000, faults);
    rig_long(&rig, 0x20000, 3);
    rig.cpu->idt.limit = 0; /* no handlers: the fault becomes a shutdown */
    rig.cpu->regs[RDI] = 0x800000;
    rig.cpu->regs[RBX] = 99;
    cr_assert_eq(cpu_run(rig.cpu), CPU_EXIT_SHUTDOWN);
    cr_assert_eq(rig.cpu->regs[RAX], 1);
    cr_assert_eq(rig.cpu->regs[RBX], 99);
    cr_assert_eq(rig.cpu->cr2, 0x800000);
    cr_assert_eq(rig.cpu->rip, 0x20005);
}

/* --- code that lies in no memory */

GUEST_CODE(stops, ".code16\nhlt\n");

/* INC EAX; ADD EAX, 5; UD2 in a device's registers, and all ones behind them. */
static uint64_t device_with_code(void *machine, struct cpu *cpu, gpa_t gpa, unsigned size)
{
    static const uint8_t code[] = {0x66, 0x40, 0x66, 0x83, 0xc0, 5, 0xeb, 0xfe};
    uint64_t offset = gpa.v - 0xa0000;
    if (offset == 7)
        return (uint64_t)cpu->instructions > 20 ? 0 : 0xfe; /* another jump after a while */
    return offset < sizeof code ? code[offset] : 0xff;
}

Test(run, code_in_a_device_is_fetched_at_each_run)
{
    struct cpu_ops ops = *rig.cpu->ops;
    const uint32_t vector = 0x2000;
    rig_load(&rig, 0x2000, stops);
    physmem_write(&rig.physmem, GPA(VECTOR_UD * 4), &vector, 4);
    ops.mmio_read = device_with_code;
    rig.cpu->ops = &ops;
    physmem_set_low(&rig.physmem, 0xa0000, 0x10000, 0);
    rig_real(&rig, 0);
    segment_load_real(rig.cpu, CS, 0xa000);
    cpu_mode_changed(rig.cpu);
    cr_assert_eq(cpu_run(rig.cpu), CPU_EXIT_HALTED);
    cr_expect_eq(rig.cpu->rip, 0x2001);
    cr_expect_eq(rig.cpu->regs[RAX], 6);
    cr_expect_gt(rig.cpu->instructions, 20);
    cr_expect_eq(rig.cpu->count.exceptions[VECTOR_UD], 1);
}
