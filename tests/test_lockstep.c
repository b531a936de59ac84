/* Lockstep: guests that do all they can run without a difference, and every kind of broken engine
 * is found at the block that shows it. */
#include "machine/lockstep.h"
#include "tests/rig.h"

#include <stdio.h>

enum { CODE = 0x1000, IDT = 0x30000, GDT = 0x31000, DATA = 0x100000 };

static struct rig rig;
static struct lockstep *lockstep;
static struct lockstep_probe probe;
static struct cpu_ops ops; /* the leader's */
static char *report;
static size_t report_bytes;
static FILE *report_file;

static void setup(void)
{
    rig_init(&rig);
    ops = rig_ops;
    rig.cpu->ops = &ops;
    report_file = open_memstream(&report, &report_bytes);
    probe = (struct lockstep_probe){.opaque = &rig};
}
static void begin(void)
{
    struct error error;
    cr_assert_eq(lockstep_new(&lockstep, rig.cpu, 77, report_file, &error), 0);
    lockstep_watch(lockstep, &probe);
}
static void teardown(void)
{
    lockstep_free(lockstep);
    lockstep = NULL;
    rig_free(&rig);
    fclose(report_file);
    free(report);
}
TestSuite(lockstep, .init = setup, .fini = teardown);

/* Runs until HLT with interrupts off. */
static void run_without_difference(void)
{
    while (!rig.cpu->halted || rig.cpu->eflags & F_IF) {
        enum cpu_exit reason = lockstep_run(lockstep);
        cr_assert(reason == CPU_EXIT_HALTED || !lockstep_difference(lockstep), "%s",
                  lockstep_difference(lockstep));
        cr_assert_neq(reason, CPU_EXIT_SHUTDOWN);
        if (reason == CPU_EXIT_HALTED && rig.cpu->eflags & F_IF) {
            rig.interrupt_vector = 0x40;
            cpu_raise_line(rig.cpu, LINE_INTR);
        }
    }
    cr_expect_not(lockstep_finish(lockstep), "%s", lockstep_difference(lockstep));
}

/* --- what agrees */

/* Strings in both directions and over page ends, stores into the block itself, ports, interrupts.
 */
GUEST_CODE(real_guest, ".code16\n"
                       "mov word ptr [0x100], offset 9f - real_guest_start + 0x1000\n"
                       "mov word ptr [0x102], 0\n"
                       "mov ax, 0x2000\n mov es, ax\n mov ds, ax\n"
                       "mov dx, 300\n"
                       "1: sti\n nop\n"
                       "mov cx, 3000\n mov si, 0x7f1\n mov di, 0x803\n cld\n rep movsb\n"
                       "mov cx, 700\n mov si, 0x3000\n mov di, 0x2fff\n std\n rep movsw\n cld\n"
                       "mov cx, 5000\n mov di, 0x4001\n mov ax, dx\n rep stosw\n"
                       "mov cx, 5000\n mov di, 0x4001\n repe scasw\n"
                       "cli\n"
                       "in al, 0x71\n out 0x70, al\n in ax, dx\n add [0x10], ax\n"
                       "mov cx, 20\n mov di, 0x5ff9\n rep insw\n"
                       "mov cx, 20\n mov si, 0x5ff9\n rep outsb\n"
                       "mov byte ptr cs:[3f - real_guest_start + 0x1001], dl\n"
                       "3: mov bl, 1\n add [0x12], bl\n"
                       "xor byte ptr cs:[4f - real_guest_start + 0x1000], 8\n" /* INC, DEC */
                       "4: inc bp\n"
                       "pushf\n pop word ptr [0x14]\n"
                       "sti\n hlt\n"
                       "dec dx\n jnz 1b\n"
                       "cli\n hlt\n"
                       "9: inc word ptr cs:[0x500]\n iret\n");

static uint32_t noisy_port(void *machine, struct cpu *cpu, uint16_t port, unsigned size)
{
    static uint32_t noise = 1;
    return noise = noise * 1664525 + 1013904223;
}

/* A device's timer: an interrupt at turns that follow no pattern of the guest's. */
static void interrupt_at_random(void *opaque, struct cpu *leader, uint64_t turn)
{
    if (turn * 2654435761u % 1024 >= 64)
        return;
    rig.interrupt_vector = 0x40;
    cpu_raise_line(leader, LINE_INTR);
}

Test(lockstep, a_guest_in_real_mode_agrees)
{
    ops.port_read = noisy_port;
    probe.leader_ran = interrupt_at_random;
    rig_load(&rig, CODE, real_guest);
    rig_real(&rig, CODE);
    begin();
    run_without_difference();
    const struct lockstep_count *count = lockstep_counts(lockstep);
    cr_expect_gt(count->blocks, 1000);
    cr_expect_geq(count->interrupts, 300);
    cr_expect_eq(count->accesses, 300 * (3 + 20 + 20));
    cr_expect_eq(count->memories, 1);
    cr_expect_gt(rig_peek(&rig, 0x500, 2), 300);
}

/* Long mode: pages that come and go, A and D bits cleared, read back and counted, SSE, x87, time
 * and random numbers. */
GUEST_CODE(long_guest, ".code64\n"
                       "fninit\n"
                       "mov r15d, 400\n"
                       "1: lea rbx, [r15 * 8]\n and ebx, 0x38\n shl rbx, 9\n or ebx, 0x200000\n"
                       "mov [rbx + 0x10], r15\n" /* often not present: #PF */
                       "mov rax, rbx\n shr rax, 12\n lea rdi, [rax * 8 + 0x13000]\n"
                       "mov rcx, [rdi]\n add [0x100000], rcx\n" /* its A and D bits */
                       "and qword ptr [rdi], ~0x60\n"
                       "test r15b, 3\n jnz 2f\n"
                       "and qword ptr [rdi], ~1\n"
                       "2: invlpg [rbx]\n"
                       "rdtsc\n add [0x100008], rax\n"
                       "rdrand rax\n adc [0x100010], rax\n"
                       "cvtsi2sd xmm3, rax\n addsd xmm4, xmm3\n sqrtsd xmm5, xmm4\n"
                       "movups [0x100021], xmm5\n"
                       "fild qword ptr [0x100008]\n fsqrt\n faddp\n fstp qword ptr [0x100038]\n"
                       "fninit\n fldpi\n fldl2e\n"
                       "mov ecx, 777\n mov edi, 0x101ff1\n mov esi, 0x103f03\n rep movsb\n"
                       "lock xadd [0x100018], rax\n"
                       "mov eax, 1\n cpuid\n"
                       "dec r15d\n jnz 1b\n"
                       "hlt\n"
                       "int3\n");
/* #PF: makes the page present again. */
GUEST_CODE(page_fault, ".code64\n"
                       "push rax\n mov rax, cr2\n shr rax, 12\n"
                       "or qword ptr [rax * 8 + 0x13000], 1\n"
                       "inc qword ptr [0x100048]\n"
                       "pop rax\n add rsp, 8\n iretq\n");

static void make_descriptor_tables(void)
{
    static const uint64_t segments[] = {0x00209b0000000000, 0x00cf93000000ffff};
    enum { HANDLER = 0x2000 };
    physmem_write(&rig.physmem, GPA(GDT + 8), segments, 16);
    const uint64_t gate[2] = {(UINT64_C(0x8e) << 40) | (8 << 16) | HANDLER, 0};
    for (unsigned vector = 0; vector < 32; vector++)
        physmem_write(&rig.physmem, GPA(IDT + 16 * vector), gate, 16);
    rig_load(&rig, HANDLER, page_fault);
    rig.cpu->gdt = (struct descriptor_table){.base = GDT, .limit = 0xff};
    rig.cpu->idt = (struct descriptor_table){.base = IDT, .limit = 0xfff};
}

Test(lockstep, a_guest_in_long_mode_agrees)
{
    rig_load(&rig, CODE, long_guest);
    rig_long(&rig, CODE, 0);
    make_descriptor_tables();
    begin();
    run_without_difference();
    const struct lockstep_count *count = lockstep_counts(lockstep);
    cr_expect_geq(count->exceptions, 40);
    cr_expect_eq(rig_peek(&rig, DATA + 0x48, 8), count->exceptions);
    cr_expect_neq(rig_peek(&rig, DATA + 0x10, 8), 0, "random numbers");
}

/* Every instruction traps to its own #DB handler, which is the #PF handler's neighbour. */
GUEST_CODE(stepped, ".code16\n"
                    "mov word ptr [4], offset 9f - stepped_start + 0x1000\n"
                    "mov word ptr [6], 0\n"
                    "pushf\n pop ax\n or ah, 1\n push ax\n popf\n"
                    "mov cx, 20\n mov di, 0x6000\n rep stosb\n"
                    "mov ss, bx\n mov sp, 0x7000\n"
                    "sti\n cli\n"
                    "hlt\n"
                    "9: inc word ptr [0x500]\n iret\n");

Test(lockstep, single_steps_agree)
{
    rig_load(&rig, CODE, stepped);
    rig_real(&rig, CODE);
    begin();
    run_without_difference();
    cr_expect_geq(lockstep_counts(lockstep)->exceptions, 25);
    cr_expect_geq(rig_peek(&rig, 0x500, 2), 25);
}

/* --- devices that change the machine */

/* Port 10h: DMA over the code that comes next.  11h: A20.  12h: the ROM at F0000h is RAM now. */
static void meddling_port(void *machine, struct cpu *cpu, uint16_t port, unsigned size,
                          uint32_t value)
{
    static const uint8_t mov_bl_7[] = {0xb3, 7};
    if (port == 0x10)
        physmem_write(&rig.physmem, GPA(value), mov_bl_7, 2);
    else if (port == 0x11)
        mmu_set_a20(&cpu->mmu, value);
    else if (port == 0x12)
        physmem_set_low(&rig.physmem, 0xf0000, 0x10000, (uint8_t)value);
}

GUEST_CODE(meddled, ".code16\n"
                    "mov ax, 0xffff\n mov ds, ax\n"
                    "xor ax, ax\n out 0x11, al\n"
                    "mov byte ptr [0x20], 0x55\n" /* wraps to 10h */
                    "mov al, 1\n out 0x11, al\n"
                    "mov byte ptr [0x20], 0x66\n" /* 100010h */
                    "mov ax, 0xf000\n mov ds, ax\n"
                    "mov cl, [0]\n mov al, 3\n out 0x12, al\n mov ch, [0]\n"
                    "mov byte ptr [0], 0x77\n mov dh, [0]\n"
                    "mov eax, 2f - meddled_start + 0x1000\n out 0x10, eax\n"
                    "2: mov bl, 1\n"
                    "hlt\n");

Test(lockstep, dma_a20_and_shadowed_rom_reach_the_twin)
{
    static const uint8_t rom[0x10000] __attribute__((aligned(4096))) = {0xaa};
    ops.port_write = meddling_port;
    physmem_add_rom(&rig.physmem, 0xf0000, sizeof rom, rom);
    physmem_set_low(&rig.physmem, 0xf0000, sizeof rom, 0);
    rig_load(&rig, CODE, meddled);
    rig_real(&rig, CODE);
    begin();
    run_without_difference();
    cr_expect_eq(rig_peek(&rig, 0x10, 1), 0x55);
    cr_expect_eq(rig_peek(&rig, 0x100010, 1), 0x66);
    cr_expect_eq((uint16_t)rig.cpu->regs[RCX], 0x00aa);
    cr_expect_eq((uint8_t)(rig.cpu->regs[RDX] >> 8), 0x77);
    cr_expect_eq((uint8_t)rig.cpu->regs[RBX], 7);
    cr_expect_eq(lockstep_counts(lockstep)->accesses, 4);
}

/* Code in a device's registers: IN AL, 71h; ADD BL, AL; DEC DI; JNZ to the first; HLT. */
static uint64_t device_with_code(void *machine, struct cpu *cpu, gpa_t gpa, unsigned size)
{
    static const uint8_t code[] = {0xe4, 0x71, 0x00, 0xc3, 0x4f, 0x75, 0xf9, 0xf4};
    uint64_t offset = gpa.v - 0xa0000;
    return offset < sizeof code ? code[offset] : 0xff;
}

Test(lockstep, code_in_a_device_is_fetched_once_for_both)
{
    ops.port_read = noisy_port;
    ops.mmio_read = device_with_code;
    physmem_set_low(&rig.physmem, 0xa0000, 0x10000, 0);
    rig_real(&rig, 0);
    segment_load_real(rig.cpu, CS, 0xa000);
    cpu_mode_changed(rig.cpu);
    rig.cpu->regs[RDI] = 30;
    begin();
    run_without_difference();
    cr_expect_eq(lockstep_counts(lockstep)->instructions, 30 * 4 + 1);
    cr_expect_eq(lockstep_counts(lockstep)->accesses, (30 * 4 + 1) * 15 + 30);
}

/* Between runs a loader writes and the registers are set anew, as by a reset. */
GUEST_CODE(adds, ".code16\n add ax, [0x3000]\n mov [0x3002], ax\n hlt\n");

Test(lockstep, what_is_done_between_runs_reaches_the_twin)
{
    rig_load(&rig, CODE, adds);
    rig_real(&rig, CODE);
    begin();
    for (uint16_t i = 1; i < 20; i++) {
        cpu_reset(rig.cpu, false);
        rig_real(&rig, CODE);
        rig.cpu->regs[RAX] = i;
        physmem_write(&rig.physmem, GPA(0x3000), &i, 2);
        rig.cpu->halted = false;
        run_without_difference();
        cr_expect_eq(rig_peek(&rig, 0x3002, 2), 2u * i);
    }
}

/* --- what is found */

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

static void expect_difference(const char *field, const char *name)
{
    enum cpu_exit reason = lockstep_run(lockstep);
    cr_assert_eq(reason, CPU_EXIT_KICKED, "%s: not found", name);
    fflush(report_file);
    cr_assert_not_null(lockstep_difference(lockstep));
    cr_expect_not_null(strstr(lockstep_difference(lockstep), field), "%s: %s", name,
                       lockstep_difference(lockstep));
    cr_expect_eq(lockstep_run(lockstep), CPU_EXIT_KICKED, "%s: goes on", name);
    cr_expect(lockstep_finish(lockstep));
}

Test(lockstep, each_kind_of_broken_engine_is_found_at_once)
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

Test(lockstep, a_stray_write_is_found_at_the_end)
{
    probe.leader_ran = write_astray;
    start_rounds();
    cr_assert_eq(lockstep_run(lockstep), CPU_EXIT_HALTED);
    cr_assert(lockstep_finish(lockstep));
    cr_expect_not_null(strstr(lockstep_difference(lockstep), "memory at GPA 3abcde"), "%s",
                       lockstep_difference(lockstep));
}

Test(lockstep, a_report_says_all_that_is_known)
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

/* --- an engine of handlers of its own */

/* Puts `handler` before each block that begins with `row`. */
static enum opcode broken_row;
static exec_fn *broken_handler;
static void engine_decoded(struct cpu *cpu, struct block *block)
{
    block->head = block->insns[0].exec;
    if (block->insns[0].row == broken_row)
        block->insns[0].exec = broken_handler;
}
static void engine_killed(struct cpu *cpu, struct block *block)
{
}
static const struct cpu_engine engine = {.block_decoded = engine_decoded,
                                         .block_killed = engine_killed};

static void start_broken(const uint8_t *code, const uint8_t *end, enum opcode row, exec_fn *handler)
{
    broken_row = row;
    broken_handler = handler;
    rig.cpu->engine = &engine;
    physmem_write(&rig.physmem, GPA(CODE), code, (size_t)(end - code));
    rig_real(&rig, CODE);
    begin();
}
#define START_BROKEN(code, row, handler) start_broken(code##_start, code##_end, OP_##row, handler)

GUEST_CODE(outs, ".code16\n jmp 1f\n 1: out 0x80, al\n mov al, 0\n hlt\n");

static int out_another_value(struct cpu *cpu, const struct insn *insn)
{
    cpu->regs[RAX] ^= 1;
    int result = cpu->block->head(cpu, insn);
    return result;
}
static int out_nothing(struct cpu *cpu, const struct insn *insn)
{
#ifdef RING3_THREADED
    return insn[1].exec(cpu, insn + 1);
#else
    return EXEC_NEXT;
#endif
}

Test(lockstep, a_device_that_hears_something_else_is_found)
{
    START_BROKEN(outs, OUT_IbAL, out_another_value);
    expect_difference("OUT 80, 1 bytes, value 1, and interpreted OUT 80, 1 bytes, value 0",
                      "another value");
}

Test(lockstep, a_device_that_hears_nothing_is_found)
{
    START_BROKEN(outs, OUT_IbAL, out_nothing);
    expect_difference("none, and interpreted OUT 80", "no access");
}

/* --- undefined flags */

/* AND leaves AF undefined: an engine that sets it may go on, into memory too; CF is another matter.
 */
GUEST_CODE(ands, ".code16\n"
                 "mov cx, 10\n mov bx, 5\n"
                 "1: and bx, cx\n"
                 "pushf\n pop ax\n mov [0x3000], ax\n"
                 "loop 1b\n"
                 "hlt\n");

static uint64_t wrong_carries;
static int and_with_flags(struct cpu *cpu, const struct insn *insn)
{
    cpu->regs[RBX] &= cpu->regs[RCX];
    cpu->lazy = (struct lazy_flags){.result = cpu->regs[RBX], .carries = wrong_carries};
#ifdef RING3_THREADED
    return insn[1].exec(cpu, insn + 1);
#else
    return EXEC_NEXT;
#endif
}

Test(lockstep, undefined_flags_may_differ)
{
    wrong_carries = BIT(3); /* AF */
    START_BROKEN(ands, AND_EvGv, and_with_flags);
    run_without_difference();
    cr_expect_geq(lockstep_counts(lockstep)->flags_undefined, 9);
    cr_expect_eq(rig_peek(&rig, 0x3000, 2) & F_AF, F_AF);
}

Test(lockstep, defined_flags_may_not_differ)
{
    wrong_carries = BIT(63) | BIT(62); /* CF */
    START_BROKEN(ands, AND_EvGv, and_with_flags);
    expect_difference("RAX", "CF");
}

/* A shift by 3 leaves AF and OF undefined; what hangs on CF is compared all the same. */
GUEST_CODE(shifts, ".code16\n"
                   "mov cx, 10\n mov bx, 0x2001\n"
                   "1: shl bx, 3\n"
                   "jc 2f\n"
                   "inc dx\n"
                   "2: mov bx, cx\n"
                   "loop 1b\n"
                   "hlt\n");

static uint64_t wrong_register;
static int shift_with_flags(struct cpu *cpu, const struct insn *insn)
{
    uint16_t value = (uint16_t)cpu->regs[RBX];
    uint64_t carry = value >> 13 & 1 ? BIT(63) | BIT(62) : 0;
    value = (uint16_t)(value << 3);
    cpu->regs[RBX] = value;
    cpu->regs[RDI] ^= wrong_register;
    cpu->lazy = (struct lazy_flags){.result = (uint64_t)(int16_t)value,
                                    .carries = carry ^ BIT(62) ^ BIT(3)};
#ifdef RING3_THREADED
    return insn[1].exec(cpu, insn + 1);
#else
    return EXEC_NEXT;
#endif
}

Test(lockstep, flags_undefined_after_a_shift_may_differ)
{
    wrong_register = 0;
    START_BROKEN(shifts, SHL_EvIb, shift_with_flags);
    run_without_difference();
    cr_expect_gt(lockstep_counts(lockstep)->flags_undefined, 0);
    cr_expect_eq(lockstep_counts(lockstep)->undefined_decided, 0);
}

Test(lockstep, beside_undefined_flags_a_register_may_not_differ)
{
    wrong_register = 1;
    START_BROKEN(shifts, SHL_EvIb, shift_with_flags);
    expect_difference("RDI", "RDI");
}

/* A program that decides by an undefined flag goes the engine's way. */
GUEST_CODE(decides, ".code16\n"
                    "mov cx, 10\n"
                    "1: mul bl\n"
                    "jz 2f\n"
                    "mov [0x3000], cx\n"
                    "2: inc dx\n"
                    "loop 1b\n"
                    "hlt\n");

static int multiply_with_flags(struct cpu *cpu, const struct insn *insn)
{
    cpu->regs[RAX] = (uint8_t)cpu->regs[RAX] * (uint8_t)cpu->regs[RBX];
    cpu->lazy = (struct lazy_flags){.result = cpu->instructions & 1};
#ifdef RING3_THREADED
    return insn[1].exec(cpu, insn + 1);
#else
    return EXEC_NEXT;
#endif
}

Test(lockstep, decisions_by_undefined_flags_are_the_engines)
{
    START_BROKEN(decides, MUL_Eb, multiply_with_flags);
    run_without_difference();
    cr_expect_gt(lockstep_counts(lockstep)->undefined_decided, 0);
}
