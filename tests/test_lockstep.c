/* Lockstep: guests and devices that do all they can run without a difference. */
#include "tests/lockstep_rig.h"

TestSuite(lockstep, .init = setup, .fini = teardown);

/* --- guests */

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
                    "pushf\n pop ax\n and ah, 0xfe\n push ax\n popf\n" /* a trap ends HLT */
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
