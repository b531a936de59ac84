/* SYSENTER and SYSEXIT in translated 32-bit code end as the interpreter's do, whatever flags,
 * selectors and segments they meet; and the common case does not leave translated code. */
#include "tests/bench_cpu.h"
#include "tests/both_engines.h"
#include "translate/window_fault.h"

enum { USER_AT = 0x30000, ENTRY_AT = 0x40000, CASES = 4000, SYSENTER_CS = 0x80 };

/* ebx: where the second SYSEXIT goes, 0 for after SYSENTER, 1 for nowhere.  IN stops the run. */
GUEST_CODE(kernel, ".code32\n mov edx, 0x30000\n mov ecx, 0xb000\n cmp esi, edi\n sysexit\n");
GUEST_CODE(
    user,
    ".code32\n pushfd\n pop esi\n mov eax, ss\n mov edi, cs\n push eax\n push edi\n mov ebp, esp\n"
    "add edi, esi\n sysenter\n pushfd\n pop edx\n mov eax, ss\n in al, 0x80\n 1: jmp 1b\n");
GUEST_CODE(
    entry,
    ".code32\n mov edi, esp\n mov esp, 0x9000\n pushfd\n mov eax, cs\n push eax\n mov eax, ss\n"
    "push eax\n cmp ebx, 1\n jne 2f\n in al, 0x80\n 1: jmp 1b\n"
    "2: mov edx, 0x3000e\n mov ecx, ebp\n test ebx, ebx\n cmovnz edx, ebx\n sysexit\n");

static uint32_t stop_run(void *machine, struct cpu *cpu, uint16_t port, unsigned size)
{
    cpu_kick(cpu);
    return port;
}

static void load(struct rig *rig)
{
    static const struct cpu_ops ops = {.port_read = stop_run,
                                       .mmio_read = rig_mmio_read,
                                       .mmio_write = rig_mmio_write,
                                       .tsc = rig_tsc};
    static const uint8_t halts[] = {[0 ... 31] = 0xf4};
    rig_load(rig, BENCH_CODE_AT, kernel);
    rig_load(rig, USER_AT, user);
    rig_load(rig, ENTRY_AT, entry);
    physmem_write(&rig->physmem, GPA(0x100), halts, sizeof halts);
    bench_tables(rig);
    rig->cpu->ops = &ops;
}

struct variant {
    uint32_t flags, target;
    uint64_t sysenter_cs;
    unsigned cpl, lines;
    bool by_user, alignment, smap, execute_only, non_flat;
};

static enum cpu_exit run(struct rig *rig, const struct variant *v)
{
    struct cpu *cpu = rig->cpu;
    bench_enter(rig, v->cpl);
    if (v->by_user)
        cpu->rip = USER_AT;
    if (v->smap)
        mmu_set_cr4(&cpu->mmu, CR4_SMAP);
    if (v->alignment)
        mmu_set_cr0(&cpu->mmu, cpu->mmu.registers.cr0 | CR0_AM);
    if (v->execute_only)
        cpu->segs[CS].attributes &= (uint16_t)~SEG_READABLE;
    if (v->non_flat)
        cpu->segs[DS].limit = 0x7ffff;
    cpu->regs[RBX] = v->target;
    cpu->msr.sysenter_cs = v->sysenter_cs;
    cpu->msr.sysenter_esp = UINT64_C(0x1234567800008000);
    cpu->msr.sysenter_eip = UINT64_C(0x1234567800000000) | ENTRY_AT;
    cpu->eflags = 2 | v->flags;
    cpu->dr[6] = 0xffff0ff0;
    cpu_mode_changed(cpu);
    atomic_store(&cpu->lines, 0);
    if (v->lines)
        cpu_raise_line(cpu, v->lines);
    return cpu_run(cpu);
}

static struct variant random_variant(void)
{
    static const uint32_t also[] = {0, F_TF, F_AC, F_NT, F_RF, F_IOPL, F_VIF | F_VIP, F_ID};
    static const uint64_t selectors[] = {0, 3, 0x7b, UINT64_C(0xffffffff00000080), 0xfff3};
    return (struct variant){
        .flags = (random64() & (F_IF | F_DF)) | (random_chance(2) ? 0 : also[random64() % 8]),
        .target = random_chance(4) ? (uint32_t)random64() : random_chance(4),
        .sysenter_cs = random_chance(4) ? selectors[random64() % 5] : SYSENTER_CS,
        .cpl = random_chance(3) ? 3 : 0,
        .by_user = !random_chance(3),
        .smap = random_chance(3),
        .lines = random_chance(4) ? LINE_SIPI : 0,
        .alignment = random_chance(4),
        .execute_only = random_chance(4),
        .non_flat = random_chance(8),
    };
}

static void check_random_variants(enum windows_use windows)
{
    struct engines engines;
    unsigned stopped = 0;
    engines_init(&engines, windows, load);
    for (unsigned i = 0; i < CASES; i++) {
        const struct variant v = random_variant();
        enum cpu_exit a = run(&engines.interpreted, &v), b = run(&engines.translated, &v);
        cr_assert_eq(a, b, "case %u", i);
        stopped += a == CPU_EXIT_KICKED;
        engines_check_same(&engines, i);
        for (uint32_t at = BENCH_STACKS - 16; at < STACK_TOP(3); at += 8)
            cr_assert_eq(rig_peek(&engines.interpreted, at, 8),
                         rig_peek(&engines.translated, at, 8), "case %u: stack at %x", i, at);
    }
    const struct cpu *cpu = engines.translated.cpu;
    cr_assert_gt(cpu->callouts[OP_SYSENTER], CASES / 2);
    cr_assert_gt(cpu->callouts[OP_SYSEXIT], CASES / 2);
    cr_assert_gt(cpu->count.exceptions[VECTOR_GP], CASES / 8);
    cr_assert_gt(stopped, CASES / 4);
    engines_free(&engines);
}

Test(translate_sysenter, ends_as_interpreted)
{
    check_random_variants(WINDOWS_OFF);
    check_random_variants(WINDOWS_ALWAYS);
}

GUEST_CODE(calls,
           ".code32\n mov ebp, 1000\n mov ebx, esp\n 1: sysenter\n dec ebp\n jnz 1b\n hlt\n");
GUEST_CODE(returns, ".code32\n mov edx, 0x30009\n mov ecx, ebx\n sysexit\n");

/* User code calls the system a thousand times. */
Test(translate_sysenter, the_common_case_stays_in_translated_code)
{
    struct rig rig;
    rig_init(&rig);
    load(&rig);
    engine_attach(rig.cpu, WINDOWS_OFF);
    rig_load(&rig, USER_AT, calls);
    rig_load(&rig, ENTRY_AT, returns);
    bench_enter(&rig, 3);
    rig.cpu->rip = USER_AT;
    rig.cpu->msr.sysenter_cs = SYSENTER_CS;
    rig.cpu->msr.sysenter_eip = ENTRY_AT;
    cr_assert_eq(cpu_run(rig.cpu), CPU_EXIT_HALTED);
    cr_assert_eq(rig.cpu->callouts[OP_SYSENTER], 1000);
    cr_assert_eq(rig.cpu->callouts[OP_SYSEXIT], 1000);
    cr_assert_eq(rig.cpu->regs[RBP], 0);
    cr_assert_lt(translator_of(rig.cpu)->count.exits, 20);
    translator_detach(rig.cpu);
    rig_free(&rig);
}
