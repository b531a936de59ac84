/* Loads of DS, ES, FS and GS in translated 32-bit code end as the interpreter's do, whatever
 * becomes of the descriptors between two of them; and the common case does not leave translated
 * code. */
#include "tests/bench_cpu.h"
#include "tests/both_engines.h"

enum { SELECTORS_AT = 0x5000, OTHER_GDT = 0x20000, CASES = 6000 };

/* bx, cx, dx, bp, si, di: the selectors */
GUEST_CODE(loads,
           ".code32\n cmp eax, ebx\n mov ds, bx\n mov es, cx\n mov fs, dx\n mov gs, [0x5000]\n"
           "push esi\n pop fs\n push edi\n pop gs\n pushfd\n pop eax\n push ebp\n pop es\n"
           "mov fs, [0x5004]\n push dx\n popw gs\n push ecx\n pop ds\n hlt\n");

static void load(struct rig *rig)
{
    static const uint8_t halts[] = {[0 ... 31] = 0xf4};
    rig_load(rig, BENCH_CODE_AT, loads);
    physmem_write(&rig->physmem, GPA(0x100), halts, sizeof halts);
    bench_tables(rig);
}

struct variant {
    uint16_t selectors[6], in_memory[2];
    uint16_t changed; /* the descriptor that is another from now on, or 0 */
    uint64_t raw;
    unsigned cpl;
    uint32_t gdt_limit;
    bool other_gdt, local;
};

static enum cpu_exit run(struct rig *rig, const struct variant *v)
{
    static const uint8_t regs[] = {RBX, RCX, RDX, RBP, RSI, RDI};
    struct cpu *cpu = rig->cpu;
    bench_enter(rig, v->cpl);
    if (v->changed)
        poke(rig, (v->local ? BENCH_LDT : BENCH_GDT) + (v->changed & ~7u), v->raw, 8);
    cpu->gdt.limit = v->gdt_limit;
    if (v->other_gdt) {
        uint8_t table[BENCH_TABLE_LIMIT + 1];
        physmem_read(&rig->physmem, GPA(BENCH_GDT), table, sizeof table);
        table[SEL_TEST + 2] ^= 0x40; /* its base */
        physmem_write(&rig->physmem, GPA(OTHER_GDT), table, sizeof table);
        cpu->gdt.base = OTHER_GDT;
    }
    for (unsigned i = 0; i < ARRAY_LENGTH(regs); i++)
        cpu->regs[regs[i]] = v->selectors[i];
    for (unsigned i = 0; i < ARRAY_LENGTH(v->in_memory); i++)
        poke(rig, SELECTORS_AT + 4 * i, v->in_memory[i], 2);
    return cpu_run(cpu);
}

static uint16_t random_selector(unsigned cpl)
{
    const uint16_t flat = SEL_DATA(random_chance(3) ? random64() % 4 : cpl);
    switch (random64() % 8) {
    case 0:
        return (uint16_t)(random64() % 4); /* null */
    case 1:
        return (uint16_t)random64();
    case 2:
        return SEL_CODE(random64() % 4);
    case 3:
    case 4:
        return (uint16_t)((random_chance(2) ? SEL_TEST : SEL_TEST2) | random64() % 4);
    case 5:
        return (uint16_t)(SEL_TEST | SELECTOR_TI | cpl);
    default:
        return flat;
    }
}

static uint64_t random_descriptor(void)
{
    const bool plain = !random_chance(3);
    const unsigned type = plain ? 3 : random64() % 16;
    return descriptor_make(
        plain && random_chance(2) ? 0 : (uint32_t)random64(),
        plain ? 0xfffff : (uint32_t)random64(),
        ACCESS(!random_chance(8), random_chance(3) ? random64() % 4 : 3, !random_chance(8), type),
        plain ? FLAGS_32 : random64() % 16);
}

/* Most often only flat data segments, else anything, and what there is changes now and then. */
static struct variant random_variant(const struct variant *last)
{
    struct variant v = *last;
    v.changed = 0;
    if (random_chance(3)) {
        v.cpl = random_chance(2) ? 0 : random64() % 4;
        const bool wild = random_chance(2);
        for (unsigned i = 0; i < 6; i++)
            v.selectors[i] = wild ? random_selector(v.cpl) : SEL_DATA(v.cpl);
        for (unsigned i = 0; i < 2; i++)
            v.in_memory[i] = random_selector(v.cpl);
    }
    if (random_chance(3)) {
        v.local = random_chance(3);
        v.changed = random_chance(2) ? SEL_TEST : SEL_TEST2;
        v.raw = random_descriptor();
    }
    v.gdt_limit = random_chance(6) ? (uint32_t)(random64() % 0x80) : BENCH_TABLE_LIMIT;
    v.other_gdt = random_chance(5);
    return v;
}

static void check_tables(const struct engines *engines, unsigned number)
{
    static const uint32_t tables[] = {BENCH_GDT, BENCH_LDT, OTHER_GDT};
    for (unsigned i = 0; i < ARRAY_LENGTH(tables); i++)
        for (unsigned at = 0; at <= BENCH_TABLE_LIMIT; at += 8)
            cr_assert_eq(rig_peek((struct rig *)&engines->interpreted, tables[i] + at, 8),
                         rig_peek((struct rig *)&engines->translated, tables[i] + at, 8),
                         "case %u: descriptor at %x", number, tables[i] + at);
}

static void check_random_variants(enum windows_use windows)
{
    struct engines engines;
    struct variant v = {.gdt_limit = BENCH_TABLE_LIMIT};
    uint64_t halted = 0;
    engines_init(&engines, windows, load);
    for (unsigned i = 0; i < CASES; i++) {
        v = random_variant(&v);
        enum cpu_exit a = run(&engines.interpreted, &v), b = run(&engines.translated, &v);
        cr_assert_eq(a, b, "case %u", i);
        engines_check_same(&engines, i);
        check_tables(&engines, i);
        halted += engines.translated.cpu->rip > BENCH_CODE_AT;
    }
    const struct cpu *cpu = engines.translated.cpu;
    cr_assert_gt(halted, CASES / 20);
    cr_assert_gt(cpu->count.exceptions[VECTOR_GP], CASES / 20);
    cr_assert_gt(cpu->count.exceptions[VECTOR_NP], CASES / 200);
    engines_free(&engines);
}

Test(translate_segment, loads_end_as_interpreted)
{
    check_random_variants(WINDOWS_OFF);
    check_random_variants(WINDOWS_ALWAYS);
}

GUEST_CODE(
    entries,
    ".code32\n mov ebp, 1000\n mov edx, 0x10\n xor ebx, ebx\n 1: push fs\n push es\n push ds\n"
    "mov ds, edx\n mov es, edx\n mov fs, esi\n mov gs, ebx\n pop ds\n pop es\n pop fs\n"
    "dec ebp\n jnz 1b\n hlt\n");

/* What a kernel does at each entry. */
Test(translate_segment, the_common_case_stays_in_translated_code)
{
    static const unsigned rows[] = {OP_MOV_DSEw, OP_MOV_ESEw, OP_MOV_FSEw, OP_MOV_GSEw,
                                    OP_POP_DS,   OP_POP_ES,   OP_POP_FS};
    struct rig rig;
    rig_init(&rig);
    load(&rig);
    engine_attach(rig.cpu, WINDOWS_OFF);
    rig_load(&rig, BENCH_CODE_AT, entries);
    bench_gdt(&rig, SEL_TEST, descriptor_make(0x1234, 0xfffff, ACCESS(1, 0, 1, 3), FLAGS_32));
    bench_enter(&rig, 0);
    rig.cpu->regs[RSI] = SEL_TEST;
    cr_assert_eq(cpu_run(rig.cpu), CPU_EXIT_HALTED);
    for (unsigned i = 0; i < ARRAY_LENGTH(rows); i++)
        cr_assert_eq(rig.cpu->callouts[rows[i]], 1000, "%s", opcode_rows[rows[i]].id);
    cr_assert_lt(translator_of(rig.cpu)->count.interp, 20);
    cr_assert_eq(rig.cpu->segs[FS].base, 0);
    translator_detach(rig.cpu);
    rig_free(&rig);
}
