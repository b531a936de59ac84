/* SYSCALL and SYSRET, STAC and CLAC in translated code end as the interpreter's do, whatever flags,
 * selectors and addresses they meet; and the common case does not leave translated code. */
#include "tests/both_engines.h"
#include "translate/window_fault.h"

enum {
    KERNEL_AT = 0x20000,
    USER_AT = 0x30000,
    ENTRY_AT = 0x40000,
    HANDLER_AT = 0x50000,
    IDT_AT = 0x60000,
    GDT_AT = 0x61000,
    TSS_AT = 0x62000,
    STACK_AT = 0x70000,
};

/* r12, r13: what SYSRET finds in R11; rbx: where the second returns to, or 0 for after SYSCALL. */
GUEST_CODE(kernel, ".code64\n mov r11, r12\n mov ecx, 0x30000\n cmp r12, r13\n sysretq\n");
GUEST_CODE(user, ".code64\n pushfq\n pop rsi\n mov r8d, ss\n mov r9d, cs\n add rax, r12\n syscall\n"
                 "pushfq\n pop r10\n mov edi, ss\n hlt\n");
GUEST_CODE(entry, ".code64\n mov rbp, rcx\n mov r15, r11\n pushfq\n pop rdx\n mov r9d, cs\n"
                  "mov r8d, ss\n test rbx, rbx\n cmovnz rcx, rbx\n mov r11, r13\n sysretq\n");
GUEST_CODE(handler, ".code64\n pop r14\n hlt\n");

static void poke(struct rig *rig, uint64_t address, uint64_t value)
{
    physmem_write(&rig->physmem, GPA(address), &value, 8);
}

static void tables(struct rig *rig)
{
    struct cpu *cpu = rig->cpu;
    for (uint64_t vector = 0; vector < 32; vector++) {
        poke(rig, IDT_AT + 16 * vector,
             (uint64_t)HANDLER_AT >> 16 << 48 | UINT64_C(0x8e00) << 32 | 8 << 16 |
                 (HANDLER_AT & 0xffff));
        poke(rig, IDT_AT + 16 * vector + 8, 0);
    }
    poke(rig, GDT_AT + 8, UINT64_C(0x00af9b000000ffff));
    poke(rig, TSS_AT + 4, STACK_AT);
    cpu->idt = (struct descriptor_table){IDT_AT, 32 * 16 - 1};
    cpu->gdt = (struct descriptor_table){GDT_AT, 0x7f};
    cpu->tr = (struct segment){.base = TSS_AT, .limit = 103, .attributes = SEG_P | 0xb};
}

static void load(struct rig *rig)
{
    rig_load(rig, KERNEL_AT, kernel);
    rig_load(rig, USER_AT, user);
    rig_load(rig, ENTRY_AT, entry);
    rig_load(rig, HANDLER_AT, handler);
    tables(rig);
}

struct variant {
    uint64_t first_flags, second_flags, target, star, sfmask;
    unsigned lines;
    bool no_sce, alignment;
};

static enum cpu_exit run(struct rig *rig, const struct variant *v)
{
    struct cpu *cpu = rig->cpu;
    rig_long(rig, KERNEL_AT, 0);
    if (v->no_sce)
        mmu_set_efer(&cpu->mmu, EFER_LME | EFER_LMA | EFER_NXE);
    if (v->alignment)
        mmu_set_cr0(&cpu->mmu, cpu->mmu.registers.cr0 | CR0_AM);
    memset(cpu->regs, 0, sizeof cpu->regs);
    cpu->regs[RSP] = STACK_AT + 0x1000;
    cpu->regs[R12] = v->first_flags;
    cpu->regs[R13] = v->second_flags;
    cpu->regs[RBX] = v->target;
    cpu->msr.star = v->star;
    cpu->msr.lstar = ENTRY_AT;
    cpu->msr.sfmask = v->sfmask;
    cpu->eflags = 2;
    cpu->dr[6] = 0xffff0ff0;
    cpu->halted = false;
    cpu_mode_changed(cpu);
    atomic_store(&cpu->lines, 0);
    if (v->lines)
        cpu_raise_line(cpu, v->lines);
    return cpu_run(cpu);
}

static uint64_t random_flags(void)
{
    static const uint64_t also[] = {0,    F_TF,   F_AC,          F_NT, F_RF,
                                    F_VM, F_IOPL, F_VIF | F_VIP, F_ID, UINT64_C(1) << 40};
    uint64_t flags = (random64() & (F_ARITH | F_IF | F_DF)) | 2;
    return random64() & 1 ? flags : flags | also[random64() % ARRAY_LENGTH(also)];
}

static struct variant random_variant(void)
{
    static const uint64_t targets[] = {0, 0, 0, UINT64_C(1) << 47, UINT64_C(0xffff800000000000)};
    struct variant v = {
        .first_flags = random_flags(),
        .second_flags = random_flags(),
        .target = targets[random64() % ARRAY_LENGTH(targets)],
        .star = random64() % 4 ? UINT64_C(0x0023001000003456) : random64(),
        .sfmask = random64() % 4 ? F_ARITH | F_TF | F_IF | F_DF | F_AC | F_NT : random64(),
        .no_sce = random64() % 16 == 0,
        .lines = random64() % 4 ? 0 : LINE_SIPI,
        .alignment = random64() % 4 == 0,
    };
    return v;
}

static void check_random_variants(enum windows_use windows)
{
    struct engines engines;
    engines_init(&engines, windows, load);
    for (unsigned i = 0; i < 4000; i++) {
        const struct variant v = random_variant();
        enum cpu_exit a = run(&engines.interpreted, &v), b = run(&engines.translated, &v);
        cr_assert_eq(a, b, "case %u", i);
        engines_check_same(&engines, i);
    }
    const struct cpu *cpu = engines.translated.cpu;
    const struct translator *translator = translator_of(cpu);
    cr_assert_gt(cpu->callouts[OP_SYSCALL], 1000);
    cr_assert_gt(cpu->callouts[OP_SYSRET], 1000);
    const uint32_t sites =
        translator->sites[OP_SYSCALL][CALLOUT_64]; /* two with and without windows */
    cr_assert(sites == 1 || (windows != WINDOWS_OFF && sites == 2));
    engines_free(&engines);
}

Test(translate_system, syscall_and_sysret_end_as_interpreted)
{
    check_random_variants(WINDOWS_OFF);
    check_random_variants(WINDOWS_ALWAYS);
}

GUEST_CODE(calls, ".code64\n mov r8d, 1000\n 1: syscall\n dec r8d\n jnz 1b\n hlt\n");
GUEST_CODE(returns, ".code64\n sysretq\n");

/* User code calls the system a thousand times. */
static void run_calls(struct rig *rig, enum windows_use windows)
{
    struct cpu *cpu = rig->cpu;
    engine_attach(cpu, windows);
    rig_load(rig, USER_AT, calls);
    rig_load(rig, ENTRY_AT, returns);
    rig_load(rig, HANDLER_AT, handler);
    tables(rig);
    rig_long(rig, USER_AT, 3);
    cpu->regs[RSP] = STACK_AT + 0x1000;
    cpu->msr.star = UINT64_C(0x0023001000000000);
    cpu->msr.lstar = ENTRY_AT;
    cpu->msr.sfmask = F_AC | F_IF | F_TF;
    cr_assert_eq(cpu_run(cpu), CPU_EXIT_HALTED);
    cr_assert_eq(cpu->callouts[OP_SYSCALL], 1000);
    cr_assert_eq(cpu->callouts[OP_SYSRET], 1000);
    cr_assert_lt(cpu->native.entered, 20);
}

Test(translate_system, the_common_case_stays_in_translated_code)
{
    struct rig rig;
    rig_init(&rig);
    run_calls(&rig, WINDOWS_OFF);
    cr_assert_lt(translator_of(rig.cpu)->count.exits, 20);
    translator_detach(rig.cpu);
    rig_free(&rig);
}

Test(translate_system, each_privilege_has_windows_of_its_own)
{
    enum { AFTER_CALL = USER_AT + 8 };
    struct rig rig;
    if (!window_faults_supported())
        return;
    rig_init(&rig);
    run_calls(&rig, WINDOWS_ALWAYS);
    const struct cpu *cpu = rig.cpu;
    const uint32_t mode = cpu->mode & ~(uint32_t)MODE_WINDOW;
    cr_assert(block_at(cpu, AFTER_CALL, mode | MODE_WINDOW_USER));
    cr_assert_not(block_at(cpu, AFTER_CALL, mode | MODE_WINDOW_SUPERVISOR));
    cr_assert(block_at(cpu, ENTRY_AT, mode | MODE_WINDOW_SUPERVISOR));
    cr_assert_not(block_at(cpu, ENTRY_AT, mode | MODE_WINDOW_USER));
    translator_detach(rig.cpu);
    rig_free(&rig);
}

/* --- STAC and CLAC */

GUEST_CODE(access_bits,
           ".code64\n mov ecx, 30\n 1: add r8, r9\n stac\n pushfq\n pop r10\n mov rax, [rsi]\n"
           "cmp r8, r9\n clac\n pushfq\n pop r11\n test bl, cl\n jz 2f\n mov rax, [rsi]\n"
           "2: dec ecx\n jnz 1b\n test bh, bh\n jz 3f\n stac\n 3: hlt\n");

struct access_variant {
    unsigned cpl, also;
    uint64_t cr4, flags;
    bool kernel_page;
};

static void load_access(struct rig *rig)
{
    rig_load(rig, KERNEL_AT, access_bits);
    rig_load(rig, HANDLER_AT, handler);
    tables(rig);
}

static enum cpu_exit run_access(struct rig *rig, const struct access_variant *v)
{
    struct cpu *cpu = rig->cpu;
    rig_long(rig, KERNEL_AT, v->cpl);
    for (uint64_t page = 0; v->cpl == 0 && page < RIG_RAM_BYTES; page += PAGE_BYTES)
        if (v->kernel_page || page != USER_AT)
            poke(rig, rig_pte(page), page | 0x63);
    mmu_set_cr4(&cpu->mmu, cpu->mmu.registers.cr4 | v->cr4);
    memset(cpu->regs, 0, sizeof cpu->regs);
    cpu->regs[RSP] = STACK_AT + 0x1000;
    cpu->regs[RSI] = USER_AT;
    cpu->regs[RBX] = v->also;
    cpu->eflags = 2 | (uint32_t)v->flags;
    cpu->halted = false;
    cpu_mode_changed(cpu);
    return cpu_run(cpu);
}

/* Under SMAP the kernel reaches a program's page only while AC is set. */
Test(translate_system, stac_and_clac_end_as_interpreted)
{
    struct engines engines;
    engines_init(&engines, WINDOWS_OFF, load_access);
    for (unsigned i = 0; i < 400; i++) {
        const struct access_variant v = {.cpl = random_chance(5) ? 3 : 0,
                                         .also = random_chance(3) ? 0 : 1 << random64() % 9,
                                         .cr4 = random_chance(4) ? 0 : CR4_SMAP,
                                         .flags = random_chance(2) ? 0 : F_AC,
                                         .kernel_page = random_chance(3)};
        enum cpu_exit a = run_access(&engines.interpreted, &v);
        enum cpu_exit b = run_access(&engines.translated, &v);
        cr_assert_eq(a, b, "case %u", i);
        engines_check_same(&engines, i);
    }
    const struct cpu *cpu = engines.translated.cpu;
    cr_assert_gt(cpu->count.exceptions[VECTOR_PF], 50);
    cr_assert_gt(cpu->count.exceptions[VECTOR_UD], 50);
    const uint64_t interp = translator_of(cpu)->count.interp, runs = cpu->callouts[OP_STAC];
    run_access(&engines.translated, &(struct access_variant){.cr4 = CR4_SMAP});
    cr_assert_eq(cpu->callouts[OP_STAC], runs + 30);
    cr_assert_lt(translator_of(cpu)->count.interp, interp + 10);
    engines_free(&engines);
}
