/* Topic: loads of segment registers by MOV, POP, LDS, LES, LSS, LFS and LGS. */
#include "model.h"

SNIPPETS(mov_es, "mov %ax, %es");
SNIPPETS(mov_ss, "mov %ax, %ss");
SNIPPETS(mov_ds, "mov %ax, %ds");
SNIPPETS(mov_fs, "mov %ax, %fs");
SNIPPETS(mov_gs, "mov %ax, %gs");
SNIPPET(32, pop_es, "pop %es");
SNIPPET(32, pop_ss, "pop %ss");
SNIPPET(32, pop_ds, "pop %ds");
SNIPPET(32, pop_fs, "pop %fs");
SNIPPET(32, pop_gs, "pop %gs");
SNIPPET(64, pop_fs_64, "pop %fs");
SNIPPET(64, pop_gs_64, "pop %gs");
SNIPPET(32, les, "les (%ebx), %ecx");
SNIPPET(32, lss, "lss (%ebx), %ecx");
SNIPPET(32, lds, "lds (%ebx), %ecx");
SNIPPET(32, lfs, "lfs (%ebx), %ecx");
SNIPPET(32, lgs, "lgs (%ebx), %ecx");
SNIPPET(64, lss_64, "lss (%ebx), %ecx");
SNIPPET(64, lfs_64, "lfs (%ebx), %ecx");
SNIPPET(64, lgs_64, "lgs (%ebx), %ecx");

enum form { MOV, POP, FAR_POINTER };

struct load {
    const char *name;
    const struct snippet *snippet;
    unsigned segment;
    enum form form;
};

#define LOADS_16                                                                                   \
    {"MOV ES", &mov_es_16, SEG_ES, MOV}, {"MOV SS", &mov_ss_16, SEG_SS, MOV},                      \
        {"MOV DS", &mov_ds_16, SEG_DS, MOV}, {"MOV FS", &mov_fs_16, SEG_FS, MOV},                  \
    {                                                                                              \
        "MOV GS", &mov_gs_16, SEG_GS, MOV                                                          \
    }
#define LOADS_32                                                                                   \
    {"MOV ES", &mov_es_32, SEG_ES, MOV}, {"MOV SS", &mov_ss_32, SEG_SS, MOV},                      \
        {"MOV DS", &mov_ds_32, SEG_DS, MOV}, {"MOV FS", &mov_fs_32, SEG_FS, MOV},                  \
        {"MOV GS", &mov_gs_32, SEG_GS, MOV}, {"POP ES", &pop_es, SEG_ES, POP},                     \
        {"POP SS", &pop_ss, SEG_SS, POP}, {"POP DS", &pop_ds, SEG_DS, POP},                        \
        {"POP FS", &pop_fs, SEG_FS, POP}, {"POP GS", &pop_gs, SEG_GS, POP},                        \
        {"LES", &les, SEG_ES, FAR_POINTER}, {"LSS", &lss, SEG_SS, FAR_POINTER},                    \
        {"LDS", &lds, SEG_DS, FAR_POINTER}, {"LFS", &lfs, SEG_FS, FAR_POINTER},                    \
    {                                                                                              \
        "LGS", &lgs, SEG_GS, FAR_POINTER                                                           \
    }
#define LOADS_64                                                                                   \
    {"MOV ES", &mov_es_64, SEG_ES, MOV}, {"MOV SS", &mov_ss_64, SEG_SS, MOV},                      \
        {"MOV DS", &mov_ds_64, SEG_DS, MOV}, {"MOV FS", &mov_fs_64, SEG_FS, MOV},                  \
        {"MOV GS", &mov_gs_64, SEG_GS, MOV}, {"POP FS", &pop_fs_64, SEG_FS, POP},                  \
        {"POP GS", &pop_gs_64, SEG_GS, POP}, {"LSS", &lss_64, SEG_SS, FAR_POINTER},                \
        {"LFS", &lfs_64, SEG_FS, FAR_POINTER},                                                     \
    {                                                                                              \
        "LGS", &lgs_64, SEG_GS, FAR_POINTER                                                        \
    }

static const struct load loads_16[] = {LOADS_16}, loads_32[] = {LOADS_32}, loads_64[] = {LOADS_64};

static uint64_t segment_of(const struct state *state, unsigned segment)
{
    switch (segment) {
    case SEG_ES:
        return state->es;
    case SEG_SS:
        return state->ss;
    case SEG_DS:
        return state->ds;
    case SEG_FS:
        return state->fs;
    default:
        return state->gs;
    }
}

/* The registers and memory from which the instruction loads `selector`. */
static struct state prepare(const struct load *load, unsigned cpl, unsigned selector)
{
    struct state start = start_at(load->snippet, cpl);

    if (load->form == MOV) {
        start.gpr[RAX] = selector;
    } else if (load->form == POP) {
        *dword_at(STACK_TOP(cpl)) = selector;
    } else {
        start.gpr[RBX] = FREE_BASE;
        start.gpr[RCX] = 0x11111111;
        *dword_at(FREE_BASE) = STACK_TOP(cpl);
        *word_at(FREE_BASE + 4) = selector;
    }
    return start;
}

/* That the registers are as they must be after it. */
static void check_registers(const struct load *load, const struct state *start,
                            const struct state *end, unsigned selector, struct verdict verdict)
{
    bool loaded = ends(verdict);
    unsigned unit = load->snippet->bits / 8;
    uint64_t segment = loaded ? selector : segment_of(start, load->segment);
    uint64_t stack = start->gpr[RSP] + (load->form == POP && loaded ? unit : 0);

    case_check(segment_of(end, load->segment) == segment, "%s %04x: register is %04llx", load->name,
               selector, segment_of(end, load->segment));
    if (load->form == POP)
        case_check(end->gpr[RSP] == stack, "%s %04x: RSP %llx", load->name, selector,
                   end->gpr[RSP]);
    if (load->form == FAR_POINTER)
        case_check(end->gpr[RCX] == (loaded ? *dword_at(FREE_BASE) : start->gpr[RCX]),
                   "%s %04x: ECX %llx", load->name, selector, end->gpr[RCX]);
}

/* --- the product */

enum { GLOBAL = SEL_SCRATCH, LOCAL = 0x80 };

static void one_descriptor(const struct load *load, struct kind k, unsigned cpl, unsigned rpl,
                           bool local)
{
    uint64_t value =
        descriptor(0, is_expand_down(k.kind) ? 0 : 0xfffff, access_byte(k), PAGES | SIZE_32);
    unsigned selector = (local ? LOCAL | 4 : GLOBAL) | rpl;
    struct verdict verdict = model_load(load->segment, selector, k, cpl, load->snippet->bits == 64);
    bool loaded = ends(verdict);
    struct state start = prepare(load, cpl, selector);

    if (local)
        ldt_set(LOCAL, value);
    else
        gdt_set(GLOBAL, value);
    struct state end =
        case_attempt(load->snippet, &start, verdict, "%s, kind %02x DPL %u P %u, RPL %u, CPL %u",
                     load->name, k.kind, k.dpl, k.present, rpl, cpl);
    check_registers(load, &start, &end, selector, verdict);
    uint64_t after = local ? qword_at(LDT)[LOCAL / 8] : gdt_get(GLOBAL);
    case_check(after == (loaded ? value | (uint64_t)1 << 40 : value),
               "%s, kind %02x: descriptor is %016llx", load->name, k.kind, after);
}

static void all_descriptors(const struct load *load, bool local)
{
    for (unsigned kind = 0; kind < KINDS; kind++)
        for (unsigned bits = 0; bits < 8; bits++)
            for (unsigned rights = 0; rights < 16; rights++)
                one_descriptor(load, (struct kind){kind, bits & 3, bits >> 2}, rights & 3,
                               rights >> 2, local);
}

static const char *section(const struct load *load)
{
    return load->segment == SEG_SS ? "3A 5.7" : "3A 5.6";
}

static void product(const struct load *loads, unsigned count, const char *place)
{
    for (unsigned i = 0; i < count; i++) {
        case_begin_in(section(&loads[i]), loads[i].name, place);
        all_descriptors(&loads[i], false);
        case_end();
    }
    case_begin_in("3A 3.5.1", "the LDT's descriptors, MOV ES and SS", place);
    all_descriptors(&loads[0], true);
    all_descriptors(&loads[1], true);
    case_end();
}

/* --- selectors that name no descriptor */

static void null_selectors(const struct load *loads, unsigned count, const char *place)
{
    case_begin_in("3A 5.4.1", "null selectors", place);
    for (unsigned i = 0; i < count * 16; i++) {
        const struct load *load = &loads[i / 16];
        unsigned cpl = i & 3, selector = i >> 2 & 3;
        struct verdict verdict =
            model_load(load->segment, selector, (struct kind){0}, cpl, load->snippet->bits == 64);
        struct state start = prepare(load, cpl, selector);
        struct state end = case_attempt(load->snippet, &start, verdict, "%s %04x, CPL %u",
                                        load->name, selector, cpl);
        check_registers(load, &start, &end, selector, verdict);
    }
    case_end();
}

/* The descriptor is inside if all of its eight bytes are. */
static void beyond_the_gdt(const struct load *loads, unsigned count, const char *place)
{
    case_begin_in("3A 3.5.1", "a selector beyond the GDT's limit", place);
    gdt_set(GLOBAL, descriptor(0, 0xfffff, DATA | DPL_3, PAGES | SIZE_32));
    for (unsigned i = 0; i < count * 10; i++) {
        const struct load *load = &loads[i / 10];
        unsigned limit = GLOBAL + i % 10, cpl = load->segment == SEG_SS ? 3 : 0;
        load_gdtr(GDT, limit);
        struct state start = prepare(load, cpl, GLOBAL | cpl);
        case_attempt(load->snippet, &start, limit >= GLOBAL + 7 ? ENDS : fault(VECTOR_GP, GLOBAL),
                     "%s, limit %x", load->name, limit);
    }
    case_end();
}

static void beyond_the_ldt(const struct load *loads, unsigned count, const char *place)
{
    const unsigned local = 0x20 | 4;

    case_begin_in("3A 3.5.1", "a selector beyond the LDT's limit, and no LDT", place);
    ldt_set(local, descriptor(0, 0xfffff, DATA | DPL_3, PAGES | SIZE_32));
    for (unsigned i = 0; i < count * 11; i++) {
        const struct load *load = &loads[i / 11];
        unsigned step = i % 11, limit = 0x20 + step, cpl = load->segment == SEG_SS ? 3 : 0;
        bool is_inside = step >= 7 && step < 10;
        gdt_set(SEL_LDT, descriptor(LDT, limit, LDT_KIND, 0));
        __asm__ volatile("lldt %w0" : : "r"(step < 10 ? SEL_LDT : 0));
        struct state start = prepare(load, cpl, local | cpl);
        case_attempt(load->snippet, &start, is_inside ? ENDS : fault(VECTOR_GP, local),
                     "%s, step %u", load->name, step);
    }
    case_end();
}

/* --- what stays after a load */

SNIPPET(16, mov_and_read_16, "mov %ax, %ds\n mov %ds:(%ebx), %ecx");
SNIPPET(32, mov_and_read_32, "mov %ax, %ds\n mov %ds:(%ebx), %ecx");

static void hidden_part(const struct snippet *snippet, const char *place)
{
    case_begin_in("3A 3.4.3", "the hidden part is the descriptor's at the time of the load", place);
    *dword_at(FREE_BASE + 8) = 0x600df00d;
    gdt_set(GLOBAL, descriptor(FREE_BASE, 15, DATA, SIZE_32));
    struct state start = start_at(snippet, 0);
    start.gpr[RAX] = GLOBAL;
    start.gpr[RBX] = 8;
    struct state end = case_attempt(snippet, &start, ENDS, "read");
    case_check(end.gpr[RCX] == 0x600df00d, "read %llx", end.gpr[RCX]);
    case_end();
}

static void everything(const struct load *loads, unsigned count, const char *place)
{
    product(loads, count, place);
    null_selectors(loads, count, place);
    beyond_the_gdt(loads, count, place);
    beyond_the_ldt(loads, count, place);
}

static void paragraphs(void)
{
    for (unsigned mode = 0; mode < 2; mode++) {
        case_begin_in(mode ? "3A 21.2" : "3A 21.1.1", "any value can be loaded",
                      mode ? "virtual-8086 mode" : "real mode");
        for (unsigned i = 0; i < COUNT(loads_16) * 16; i++) {
            const struct load *load = &loads_16[i / 16];
            struct state start = start_v86(load->snippet);
            start.gpr[RAX] = 0x1111 * (i % 16) & 0x3fff;
            struct state end = mode ? attempt(&start) : attempt_real(&start);
            case_compare(load->snippet, &start, &end, ENDS, "%s %llx", load->name, start.gpr[RAX]);
            case_check(segment_of(&end, load->segment) == start.gpr[RAX], "%s %llx", load->name,
                       start.gpr[RAX]);
        }
        case_end();
    }
}

static void protected_mode(void)
{
    everything(loads_32, COUNT(loads_32), "protected mode");
    everything(loads_16, COUNT(loads_16), "16-bit protected mode");
    hidden_part(&mov_and_read_32, "protected mode");
    hidden_part(&mov_and_read_16, "16-bit protected mode");
    paragraphs();
}

static void long_mode(void)
{
    everything(loads_32, COUNT(loads_32), "compatibility mode");
    everything(loads_64, COUNT(loads_64), "64-bit mode");
    hidden_part(&mov_and_read_32, "compatibility mode");
}

const struct topic topic = {"segment-load", protected_mode, long_mode};
