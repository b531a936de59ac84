/* String instructions in translated code end as the interpreter's do: forwards and backwards, at
 * the edges of pages, over pages that are not there or hold code, overlapping; and the common case
 * is not interpreted. */
#include "tests/bench_cpu.h"
#include "tests/both_engines.h"

enum {
    CODE_AT = 0x20000,
    DATA_AT = 0x30000, /* four pages, of which the third may be missing or read-only */
    DATA_PAGES = 4,
    HANDLER_AT = 0x50000,
    LONG_IDT_AT = 0x60000,
    CASES = 3000,
};

#define EACH_STRING(form)                                                                          \
    form(movsb) form(movsw) form(movsd) form(stosb) form(stosw) form(stosd) form(lodsb)            \
        form(lodsw) form(lodsd) form(scasb) form(scasw) form(scasd) form(cmpsb) form(cmpsw)        \
            form(cmpsd) form(rep_movsb) form(rep_movsw) form(rep_movsd) form(rep_stosb)            \
                form(rep_stosw) form(rep_stosd) form(repe_scasb) form(repne_cmpsd) form(rep_lodsb) \
                    form(fs_movsd) form(cs_rep_movsb) form(narrow_movsb)
#define WIDE_STRING(form)                                                                          \
    EACH_STRING(form) form(movsq) form(stosq) form(rep_movsq) form(rep_stosq) form(scasq)

/* Each: flags before, the instruction, flags after. */
#define TEXT_movsb        "movsb"
#define TEXT_movsw        "movsw"
#define TEXT_movsd        "movsd"
#define TEXT_movsq        "movsq"
#define TEXT_stosb        "stosb"
#define TEXT_stosw        "stosw"
#define TEXT_stosd        "stosd"
#define TEXT_stosq        "stosq"
#define TEXT_lodsb        "lodsb"
#define TEXT_lodsw        "lodsw"
#define TEXT_lodsd        "lodsd"
#define TEXT_scasb        "scasb"
#define TEXT_scasw        "scasw"
#define TEXT_scasd        "scasd"
#define TEXT_scasq        "scasq"
#define TEXT_cmpsb        "cmpsb"
#define TEXT_cmpsw        "cmpsw"
#define TEXT_cmpsd        "cmpsd"
#define TEXT_rep_movsb    "rep movsb"
#define TEXT_rep_movsw    "rep movsw"
#define TEXT_rep_movsd    "rep movsd"
#define TEXT_rep_movsq    "rep movsq"
#define TEXT_rep_stosb    "rep stosb"
#define TEXT_rep_stosw    "rep stosw"
#define TEXT_rep_stosd    "rep stosd"
#define TEXT_rep_stosq    "rep stosq"
#define TEXT_repe_scasb   "repe scasb"
#define TEXT_repne_cmpsd  "repne cmpsd"
#define TEXT_rep_lodsb    "rep lodsb"
#define TEXT_fs_movsd     ".byte 0x64\n movsd"
#define TEXT_cs_rep_movsb ".byte 0x2e\n rep movsb"
#define TEXT_narrow_movsb ".byte 0x67\n movsb"
#define CODE_32_OF(name)                                                                           \
    GUEST_CODE(code_32_##name,                                                                     \
               ".code32\n add ebx, ebp\n " TEXT_##name "\n jz 1f\n inc edx\n 1: pushfd\n hlt\n");
#define CODE_64_OF(name)                                                                           \
    GUEST_CODE(code_64_##name,                                                                     \
               ".code64\n add rbx, rbp\n " TEXT_##name "\n jz 1f\n inc edx\n 1: pushfq\n hlt\n");
EACH_STRING(CODE_32_OF)
WIDE_STRING(CODE_64_OF)
GUEST_CODE(handler, ".code64\n pop r14\n hlt\n");

struct code {
    const uint8_t *start, *end;
};
#define ROW_32(name) {code_32_##name##_start, code_32_##name##_end},
#define ROW_64(name) {code_64_##name##_start, code_64_##name##_end},
static const struct code codes_32[] = {EACH_STRING(ROW_32)};
static const struct code codes_64[] = {WIDE_STRING(ROW_64)};

enum missing { ALL_THERE, NOT_PRESENT, READ_ONLY, HAS_CODE };

struct variant {
    uint64_t regs[16];
    uint32_t flags;
    enum missing missing;
    unsigned cpl;
};

static void load(struct rig *rig)
{
    static const uint8_t halts[] = {[0 ... 31] = 0xf4};
    physmem_write(&rig->physmem, GPA(0x100), halts, sizeof halts);
    rig_load(rig, HANDLER_AT, handler);
    bench_tables(rig);
    for (uint64_t vector = 0; vector < 32; vector++) {
        poke(rig, LONG_IDT_AT + 16 * vector,
             gate_make(SEL_CODE64, HANDLER_AT, ACCESS(1, 0, 0, 14), 0), 8);
        poke(rig, LONG_IDT_AT + 16 * vector + 8, 0, 8);
    }
}

static void begin(struct rig *rig, const struct variant *v, bool is_64)
{
    struct cpu *cpu = rig->cpu;
    if (is_64) {
        bench_enter_long(rig, v->cpl);
        cpu->idt.base = LONG_IDT_AT;
        const uint64_t page = DATA_AT + 2 * PAGE_BYTES;
        if (v->missing == NOT_PRESENT || v->missing == READ_ONLY)
            poke(rig, rig_pte(page), page | (v->missing == READ_ONLY ? 0x65 : 0), 8);
        mmu_flush_all(&cpu->mmu);
    } else {
        bench_enter(rig, v->cpl);
    }
    memcpy(cpu->regs, v->regs, sizeof cpu->regs);
    cpu->regs[RSP] = STACK_TOP(3);
    cpu->eflags = 2 | v->flags;
    cpu->rip = CODE_AT;
    cpu->halted = false;
    cpu_mode_changed(cpu);
}

/* The shadow lets the odd page be read. */
static void read_page(struct cpu *cpu)
{
    struct translation found;
    uint32_t error;
    cr_assert(mmu_translate(&cpu->mmu, cpu_view_id(cpu), GVA(DATA_AT + 2 * PAGE_BYTES), ACCESS_READ,
                            &found, &error));
}

/* What a REP may meet beside memory: code that has run. */
static void run_code_in_data(struct rig *rig)
{
    static const uint8_t code[] = {0x90, 0xf4};
    physmem_write(&rig->physmem, GPA(DATA_AT + 2 * PAGE_BYTES + 64), code, sizeof code);
    rig->cpu->rip = DATA_AT + 2 * PAGE_BYTES + 64;
    cpu_run(rig->cpu);
    rig->cpu->halted = false;
    rig->cpu->rip = CODE_AT;
}

static enum cpu_exit run(struct rig *rig, const struct code *code, const struct variant *v,
                         bool is_64)
{
    physmem_write(&rig->physmem, GPA(CODE_AT), code->start, (size_t)(code->end - code->start));
    begin(rig, v, is_64);
    if (v->missing == HAS_CODE && v->cpl == 0)
        run_code_in_data(rig);
    if (v->missing == READ_ONLY)
        read_page(rig->cpu);
    return cpu_run(rig->cpu);
}

/* Near a page's edge, or anywhere in the data. */
static uint64_t random_address(void)
{
    const uint64_t pages = DATA_AT + (1 + random64() % (DATA_PAGES - 1)) * PAGE_BYTES;
    return random_chance(2) ? pages - 24 + random64() % 32
                            : DATA_AT + random64() % (DATA_PAGES * PAGE_BYTES);
}

static struct variant random_variant(bool is_64)
{
    struct variant v = {.flags = random_chance(4) ? F_DF : 0,
                        .missing = random64() % 4,
                        .cpl = random_chance(3) ? 3 : 0};
    for (unsigned i = 0; i < ARRAY_LENGTH(v.regs); i++)
        v.regs[i] = random64();
    v.regs[RCX] = random_chance(8) ? random64() % 9000 : random64() % 24;
    v.regs[RSI] = random_address();
    v.regs[RDI] = random_chance(3) ? v.regs[RSI] + random64() % 16 : random_address();
    if (!is_64) { /* what 64-bit code may have left there does not count */
        v.regs[RCX] |= random64() << 32;
        v.regs[RSI] |= random64() << 32;
        v.regs[RDI] |= random64() << 32;
    }
    return v;
}

static void check_memory(struct engines *engines, unsigned number)
{
    static uint8_t x[DATA_PAGES * PAGE_BYTES], y[sizeof x];
    physmem_read(&engines->interpreted.physmem, GPA(DATA_AT), x, sizeof x);
    physmem_read(&engines->translated.physmem, GPA(DATA_AT), y, sizeof y);
    cr_assert_arr_eq(x, y, sizeof x, "case %u", number);
}

static void fill_memory(struct engines *engines)
{
    for (uint64_t at = DATA_AT; at < DATA_AT + DATA_PAGES * PAGE_BYTES; at += 8) {
        const uint64_t value = random64() & 0x0101010101010101 * (1 + random64() % 3);
        poke(&engines->interpreted, at, value, 8);
        poke(&engines->translated, at, value, 8);
    }
}

static void check_codes(const struct code *codes, unsigned count, bool is_64,
                        enum windows_use windows)
{
    struct engines engines;
    engines_init(&engines, windows, load);
    for (unsigned i = 0; i < CASES; i++) {
        const struct variant v = random_variant(is_64);
        const struct code *code = &codes[i / 8 % count]; /* translated when it comes again */
        if (i % 8 == 0)
            fill_memory(&engines);
        enum cpu_exit a = run(&engines.interpreted, code, &v, is_64);
        enum cpu_exit b = run(&engines.translated, code, &v, is_64);
        cr_assert_eq(a, b, "case %u", i);
        engines_check_same(&engines, i);
        check_memory(&engines, i);
    }
    if (is_64)
        cr_assert_gt(engines.translated.cpu->count.exceptions[VECTOR_PF], CASES / 20);
    engines_free(&engines);
}

Test(translate_string, in_32_bit_code)
{
    check_codes(codes_32, ARRAY_LENGTH(codes_32), false, WINDOWS_OFF);
    check_codes(codes_32, ARRAY_LENGTH(codes_32), false, WINDOWS_ALWAYS);
}

Test(translate_string, in_64_bit_code)
{
    check_codes(codes_64, ARRAY_LENGTH(codes_64), true, WINDOWS_OFF);
    check_codes(codes_64, ARRAY_LENGTH(codes_64), true, WINDOWS_ALWAYS);
}

GUEST_CODE(
    copies,
    ".code32\n mov ebx, 1000\n 1: mov esi, 0x30010\n mov edi, 0x31020\n mov ecx, 5\n rep movsd\n"
    "mov cl, 3\n rep movsb\n rep movsb\n mov cl, 7\n rep stosw\n lodsb\n scasb\n stosd\n movsb\n"
    "cmpsw\n dec ebx\n jnz 1b\n hlt\n");

Test(translate_string, the_common_case_is_not_interpreted)
{
    struct rig rig;
    rig_init(&rig);
    load(&rig);
    engine_attach(rig.cpu, WINDOWS_OFF);
    rig_load(&rig, CODE_AT, copies);
    begin(&rig, &(struct variant){.cpl = 0}, false);
    cr_assert_eq(cpu_run(rig.cpu), CPU_EXIT_HALTED);
    cr_assert_eq(rig.cpu->regs[RBX], 0);
    cr_assert_lt(translator_of(rig.cpu)->count.interp, 30);
    translator_detach(rig.cpu);
    rig_free(&rig);
}
