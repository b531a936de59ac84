/* Random x87 programs, interpreted and translated: registers, tags, status, the last instruction
 * and everything that is stored must be the same.
 *
 * A program runs in 64-bit or in flat 32-bit code and is a loop, so that its second time finds the
 * x87 where translated code left it; branches, MMX, faults and unmasked exceptions lie in between.
 *
 * RING3_CASES=n in the environment sets the number of programs, RING3_FIRST=n the first of them.
 */
#include "cpu/x87.h"
#include "tests/bench_cpu.h"
#include "tests/fuzz_code.h"
#include "translate/engine.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    CASES = 4000,
    CODE_BYTES = 2048,
    INSNS_MAX = 40,
    TURNS = 3,
    CODE = 0x20e00, /* the end of a page is near */
    DATA = 0x40000,
    DATA_PAGES = 3,
    ABSENT = DATA + DATA_PAGES * PAGE_BYTES, /* a page that faults */
    HANDLER = 0x5000,
    FXSAVE_AT = 0x2000, /* offset of an aligned area */
};

struct program {
    uint8_t bytes[CODE_BYTES];
    unsigned length;
    bool code_64;
};

static struct rig interpreted, translated;
static uint16_t x87_rows[OPCODE_COUNT];
static unsigned x87_row_count;

/* --- programs: operands are at [rbx + disp32] */

static void put(struct program *program, const void *bytes, unsigned length)
{
    memcpy(program->bytes + program->length, bytes, length);
    program->length += length;
}
#define PUT(program, ...)                                                                          \
    put(program, (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))

/* Mostly aligned and in the first pages; now and then across two pages, or where nothing is. */
static uint32_t operand_offset(struct random *dice)
{
    if (fuzz_chance(dice, 3))
        return PAGE_BYTES - 1 - fuzz_pick(dice, 8);
    if (fuzz_chance(dice, 1))
        return DATA_PAGES * PAGE_BYTES - fuzz_pick(dice, 12);
    return fuzz_pick(dice, 0x1000) & (fuzz_chance(dice, 80) ? ~15u : ~0u);
}

static void put_memory(struct program *program, struct random *dice, uint8_t digit, uint32_t offset)
{
    uint8_t disp[4];
    store_le32(disp, offset);
    if (fuzz_chance(dice, 20))
        PUT(program, (uint8_t)(0x84 | digit << 3), 0x0b); /* [rbx + rcx + disp32] */
    else
        PUT(program, (uint8_t)(0x83 | digit << 3));
    put(program, disp, sizeof disp);
}

static void put_x87(struct program *program, struct random *dice)
{
    const struct opcode_row *row = &opcode_rows[x87_rows[fuzz_pick(dice, x87_row_count)]];
    const unsigned kind = row->modrm & 0xf00;
    bool rare = row->policy_memory == INTERP || row->policy_register == INTERP;
    if (row->map != MAP_1 || (rare && fuzz_chance(dice, 70)))
        return;
    if (fuzz_chance(dice, 4))
        PUT(program, 0x66); /* no operand size but that of the environment */
    PUT(program, row->opcode);
    if (kind == M_MEM_DIGIT)
        put_memory(program, dice, row->modrm & 7, operand_offset(dice));
    else if (kind == M_REG_DIGIT)
        PUT(program, (uint8_t)(0xc0 | (row->modrm & 7) << 3 | fuzz_pick(dice, 8)));
    else if (kind == M_EXACT)
        PUT(program, (uint8_t)row->modrm);
}

/* All of the state, to or from [rbx + FXSAVE_AT]: FXSAVE, FXRSTOR, XSAVE, XRSTOR, XSAVEOPT; XSAVEC,
 * XSAVES, XRSTORS.  EDX:EAX is as it may be. */
static void put_state(struct program *program, struct random *dice)
{
    static const uint8_t forms[][2] = {{0xae, 0}, {0xae, 1}, {0xae, 4}, {0xae, 5},
                                       {0xae, 6}, {0xc7, 4}, {0xc7, 5}, {0xc7, 3}};
    const uint8_t *form = forms[fuzz_pick(dice, ARRAY_LENGTH(forms))];
    PUT(program, 0x0f, form[0], (uint8_t)(0x83 | form[1] << 3), 0, FXSAVE_AT >> 8, 0, 0);
}

/* What does not go through the x87 but meets it. */
static void put_other(struct program *program, struct random *dice)
{
    switch (fuzz_pick(dice, 12)) {
    case 0:
        PUT(program, 0x0f, 0x6f, (uint8_t)(0xc0 | fuzz_pick(dice, 64))); /* movq mm, mm */
        break;
    case 1:
        PUT(program, 0x0f, 0x77); /* emms */
        break;
    case 2:
        put_state(program, dice);
        break;
    case 3:
        PUT(program, 0x9b); /* wait */
        break;
    case 4:
        PUT(program, 0x0f, 0x58, (uint8_t)(0xc0 | fuzz_pick(dice, 64))); /* addps */
        break;
    case 5:
        PUT(program, 0x9b, 0xdf, 0xe0, 0x9e); /* fstsw ax; sahf */
        break;
    case 6:
        PUT(program, 0x8d, 0x49, 0x08); /* lea ecx, [rcx + 8] */
        break;
    case 7:
        PUT(program, 0x0f, 0xa2, 0xb9, 0x10, 0, 0, 0); /* cpuid; mov ecx, 16 */
        PUT(program, 0xbb);                            /* mov ebx, DATA */
        PUT(program, DATA & 0xff, DATA >> 8 & 0xff, DATA >> 16 & 0xff, 0);
        break;
    case 8:
        PUT(program, 0x39, 0xc8); /* cmp eax, ecx */
        break;
    default:
        /* a branch over nothing: a block ends */
        PUT(program, (uint8_t)(0x70 | fuzz_pick(dice, 16)), 0);
        break;
    }
}

/* fldcw of one of the words at DATA + 2000h - 20h: half of them mask all exceptions */
static void put_control(struct program *program, struct random *dice)
{
    PUT(program, 0xd9);
    put_memory(program, dice, 5, 0x1fc0 + 2 * fuzz_pick(dice, 8));
}

static void make_program(struct program *program, struct random *dice)
{
    *program = (struct program){.code_64 = fuzz_chance(dice, 60)};
    bool unmasks = fuzz_chance(dice, 25), control = fuzz_chance(dice, 40);
    unsigned count = 1 + fuzz_pick(dice, INSNS_MAX);
    PUT(program, 0xbe, TURNS, 0, 0, 0); /* mov esi, TURNS */
    unsigned start = program->length;
    if (fuzz_chance(dice, 70))
        PUT(program, 0xdb, 0xe3); /* fninit */
    for (unsigned n = 0; n < count; n++) {
        if (fuzz_chance(dice, 20))
            put_other(program, dice);
        else if (control && fuzz_chance(dice, unmasks ? 15 : 5))
            put_control(program, dice);
        else
            put_x87(program, dice);
    }
    /* dec esi; jnz start */
    PUT(program, 0xff, 0xce, 0x0f, 0x85, 0, 0, 0, 0);
    store_le32(program->bytes + program->length - 4, start - program->length);
    PUT(program, 0xf4);
}

/* --- the machine */

static void poke_operand(struct rig *rig, struct random *dice, uint64_t at)
{
    static const double doubles[] = {0.0,   1.0,     -2.5,    3.14159265358979,
                                     1e300, -1e-300, 65536.0, 0.5};
    double number = doubles[fuzz_pick(dice, ARRAY_LENGTH(doubles))];
    float half = (float)number;
    uint64_t bits;
    memcpy(&bits, &number, 8);
    switch (fuzz_pick(dice, 5)) {
    case 0:
        poke(rig, at, bits, 8);
        break;
    case 1:
        memcpy(&bits, &half, 4);
        poke(rig, at, bits, 4);
        poke(rig, at + 4, random_edge(dice), 4);
        break;
    case 2:
        poke(rig, at, random_next(dice) | BIT(63), 8);
        poke(rig, at + 8, 0x3fff + fuzz_pick(dice, 64) - 32 + (fuzz_chance(dice, 50) ? 0x8000 : 0),
             2);
        return;
    case 3:
        poke(rig, at, fuzz_pick(dice, 2000) - 1000ull, 8);
        break;
    default:
        poke(rig, at, random_edge(dice), 8);
        break;
    }
    poke(rig, at + 8, random_edge(dice), 8);
}

static void make_data(struct rig *rig, struct random *dice)
{
    for (unsigned at = 0; at < DATA_PAGES * PAGE_BYTES; at += 16)
        poke_operand(rig, dice, DATA + at);
    for (unsigned i = 0; i < 16; i++) {
        uint16_t masks = fuzz_chance(dice, 60) ? 0x3f : (uint16_t)fuzz_pick(dice, 64);
        poke(rig, DATA + 0x1fc0 + 2 * i, (random_next(dice) & 0xffc0) | masks, 2);
    }
    poke(rig, DATA + FXSAVE_AT, 0x37f, 2);
    poke(rig, DATA + FXSAVE_AT + 2, random_next(dice) & 0x7f7f, 2);
    poke(rig, DATA + FXSAVE_AT + 24, 0x1f80, 4);
    poke(rig, DATA + FXSAVE_AT + 512, fuzz_pick(dice, 8), 8); /* the header that XRSTOR looks at */
    poke(rig, DATA + FXSAVE_AT + 520, fuzz_chance(dice, 50) ? BIT(63) | 7 : 0, 8);
    for (unsigned at = 528; at < 576; at += 8)
        poke(rig, DATA + FXSAVE_AT + at, 0, 8);
}

static void make_machine(struct rig *rig, const struct program *program, struct random dice)
{
    struct cpu *cpu = rig->cpu;
    cpu_reset(cpu, false);
    bench_tables(rig);
    static const uint8_t halt[] = {0xf4};
    physmem_write(&rig->physmem, GPA(HANDLER), halt, sizeof halt);
    for (unsigned vector = 0; vector < 32; vector++) {
        if (program->code_64) {
            poke(rig, BENCH_IDT + vector * 16,
                 gate_make(SEL_CODE64, HANDLER, ACCESS(1, 0, 0, 14), 0), 8);
            poke(rig, BENCH_IDT + vector * 16 + 8, 0, 8);
        } else {
            bench_idt(rig, vector, gate_make(SEL_CODE(0), HANDLER, ACCESS(1, 0, 0, 14), 0));
        }
    }
    if (program->code_64) {
        bench_enter_long(rig, 0);
        poke(rig, rig_pte(ABSENT), 0, 8);
    } else {
        bench_enter(rig, 0);
        mmu_set_cr4(&cpu->mmu, CR4_OSFXSR);
    }
    mmu_set_cr4(&cpu->mmu, cpu->mmu.registers.cr4 | CR4_OSXSAVE);
    cpu->xcr0 = XCR0_X87 | XCR0_VECTORS;
    cpu_mode_changed(cpu);
    for (unsigned reg = RAX; reg <= (program->code_64 ? R15 : RDI); reg++)
        if (reg != RSP)
            cpu->regs[reg] = random_edge(&dice) & UINT32_MAX;
    cpu->regs[RBX] = DATA;
    cpu->regs[RCX] = 16;
    make_data(rig, &dice);
    for (unsigned i = 0; i < 8; i++) {
        cpu->x87.registers[i].mantissa = random_edge(&dice);
        cpu->x87.registers[i].exponent = (uint16_t)random_edge(&dice);
    }
    cpu->x87.valid = (uint8_t)random_next(&dice);
    cpu->x87.control = fuzz_chance(&dice, 80) ? 0x37f : 0x372;
    cpu->x87.status = (uint16_t)(random_next(&dice) & (X87_TOP | X87_CODES));
    for (unsigned i = 0; i < 16; i++)
        cpu->xmm[i].q[0] = cpu->xmm[i].q[1] = random_edge(&dice);
    physmem_write(&rig->physmem, GPA(CODE), program->bytes, program->length);
    cpu->rip = CODE;
}

/* --- comparing */

static const char *difference(const struct cpu *a, const struct cpu *b)
{
#define SAME(field)                                                                                \
    if (memcmp(&a->field, &b->field, sizeof a->field))                                             \
    return #field
    SAME(rip);
    SAME(regs);
    SAME(xmm);
    SAME(x87.control);
    SAME(x87.status);
    SAME(x87.valid);
    SAME(x87.opcode);
    SAME(x87.code_offset);
    SAME(x87.code_selector);
    SAME(x87.data_offset);
    SAME(x87.data_selector);
    SAME(cr2);
    SAME(count.exceptions);
#undef SAME
    for (unsigned i = 0; i < 8; i++)
        if (a->x87.registers[i].mantissa != b->x87.registers[i].mantissa ||
            a->x87.registers[i].exponent != b->x87.registers[i].exponent)
            return "x87.registers";
    if (flags_arithmetic(a) != flags_arithmetic(b))
        return "flags";
    return NULL;
}

static const char *memory_difference(void)
{
    for (uint64_t page = 0; page < RIG_RAM_BYTES; page += PAGE_BYTES)
        if (memcmp(physmem_page_read(&interpreted.physmem, gpa_ppn(GPA(page))),
                   physmem_page_read(&translated.physmem, gpa_ppn(GPA(page))), PAGE_BYTES))
            return "memory";
    return NULL;
}

static void report(uint64_t number, const struct program *program, const char *field)
{
    fprintf(stderr, "case %llu, %d-bit code: %s differs; interpreted and translated:\n",
            (unsigned long long)number, program->code_64 ? 64 : 32, field);
    const struct cpu *cpus[] = {interpreted.cpu, translated.cpu};
    for (unsigned i = 0; i < 2; i++) {
        const struct x87 *x87 = &cpus[i]->x87;
        fprintf(
            stderr,
            "rip %llx status %04x control %04x valid %02x opcode %03x code %x:%llx data %x:%llx\n",
            (unsigned long long)cpus[i]->rip, x87->status, x87->control, x87->valid, x87->opcode,
            x87->code_selector, (unsigned long long)x87->code_offset, x87->data_selector,
            (unsigned long long)x87->data_offset);
        for (unsigned r = 0; r < 8; r++)
            fprintf(stderr, "  r%u %04x %016llx\n", r, x87->registers[r].exponent,
                    (unsigned long long)x87->registers[r].mantissa);
    }
    for (unsigned i = 0; i < program->length; i++)
        fprintf(stderr, "%02x", program->bytes[i]);
    fprintf(stderr, "\n");
}

static bool run_case(uint64_t number)
{
    struct program program;
    struct random dice = {(number + 1) * UINT64_C(0x9e3779b97f4a7c15) | 1};
    make_program(&program, &dice);
    make_machine(&interpreted, &program, dice);
    make_machine(&translated, &program, dice);
    memset(&interpreted.cpu->count, 0, sizeof interpreted.cpu->count);
    memset(&translated.cpu->count, 0, sizeof translated.cpu->count);
    enum cpu_exit exits[] = {cpu_run(interpreted.cpu), cpu_run(translated.cpu)};
    const char *field =
        exits[0] != exits[1] ? "the end" : difference(interpreted.cpu, translated.cpu);
    if (!field)
        field = memory_difference();
    if (field)
        report(number, &program, field);
    return !field;
}

static uint64_t environment_number(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text ? strtoull(text, NULL, 0) : otherwise;
}

Test(translate_x87, programs_end_alike_interpreted_and_translated)
{
    enum { REPORTS_MAX = 5 };
    struct error error;
    uint64_t cases = environment_number("RING3_CASES", CASES);
    uint64_t first = environment_number("RING3_FIRST", 0);
    unsigned failures = 0;
    for (unsigned row = 0; row < OPCODE_COUNT; row++)
        if (opcode_rows[row].attributes & A_X87)
            x87_rows[x87_row_count++] = (uint16_t)row;
    rig_init(&interpreted);
    rig_init(&translated);
    cr_assert_eq(translator_attach(translated.cpu,
                                   &(struct translate_options){.threshold = 1, .count = true},
                                   &error),
                 0, "%s", error.text);
    for (uint64_t n = first; n < first + cases && failures < REPORTS_MAX; n++)
        failures += !run_case(n);
    cr_expect_eq(failures, 0);
    cr_expect_gt(translated.cpu->native.entered, cases, "nearly all programs ran translated");
    translator_detach(translated.cpu);
    rig_free(&interpreted);
    rig_free(&translated);
}
