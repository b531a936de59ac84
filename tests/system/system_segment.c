/* Topic: LLDT and LTR, which load system segments, and the instructions that CPL 0 alone may use.
 *
 * Sources: SDM 2A LLDT, 2B LTR, SLDT, STR; 3A §3.5, §5.9, §8.2.2, §8.2.3. */
#include "model.h"

SNIPPETS(lldt, "lldt %ax");
SNIPPETS(ltr, "ltr %ax");
SNIPPET(32, lldt_memory, "lldt (%ebx)");
SNIPPET(32, ltr_memory, "ltr (%ebx)");

enum { GLOBAL = SEL_SCRATCH };

struct load {
    const char *name;
    const struct snippet *snippet;
    bool is_task, by_memory;
};

static const struct load loads_32[] = {{"LLDT", &lldt_32, false, false},
                                       {"LTR", &ltr_32, true, false},
                                       {"LLDT m16", &lldt_memory, false, true},
                                       {"LTR m16", &ltr_memory, true, true}};
static const struct load loads_16[] = {{"LLDT", &lldt_16, false, false},
                                       {"LTR", &ltr_16, true, false}};
static const struct load loads_64[] = {{"LLDT", &lldt_64, false, false},
                                       {"LTR", &ltr_64, true, false}};

static unsigned stored(bool is_task)
{
    uint32_t selector;

    if (is_task)
        __asm__ volatile("str %0" : "=r"(selector));
    else
        __asm__ volatile("sldt %0" : "=r"(selector));
    return selector & 0xffff;
}

static bool has_the_type(const struct load *load, unsigned kind)
{
    if (!load->is_task)
        return kind == KIND_LDT;
    return kind == KIND_TSS32 || (kind == KIND_TSS16 && !in_long_mode());
}

static void go(const struct load *load, unsigned selector, unsigned cpl, struct verdict verdict)
{
    struct state start = start_at(load->snippet, cpl);
    unsigned before = stored(load->is_task);

    start.gpr[RAX] = 0xffff0000 | selector;
    start.gpr[RBX] = FREE_BASE;
    *word_at(FREE_BASE) = selector;
    case_attempt(load->snippet, &start, verdict, "%s %04x, CPL %u, descriptor %016llx", load->name,
                 selector, cpl, gdt_get(GLOBAL));
    unsigned after = stored(load->is_task), expected = ends(verdict) ? selector : before;
    case_check(after == expected, "%s %04x, CPL %u: register %04x", load->name, selector, cpl,
               after);
}

/* The task register is put back, for what runs at CPL 3 needs its stack. */
static void restore(const struct load *load)
{
    unsigned own = in_long_mode() ? SEL_TSS64 : SEL_TSS32;

    if (!load->is_task) {
        __asm__ volatile("lldt %w0" : : "r"(SEL_LDT));
        return;
    }
    gdt_set(own, gdt_get(own) & ~((uint64_t)2 << 40));
    __asm__ volatile("ltr %w0" : : "r"(own) : "memory");
}

static void rights(const struct load *load, const char *place)
{
    case_begin_in(load->is_task ? "2B LTR" : "2A LLDT", load->name, place);
    for (unsigned i = 0; i < KINDS * 0x80; i++) {
        struct kind k = {i & 31, i >> 5 & 3, i >> 7 & 1};
        unsigned rpl = i >> 8 & 3, cpl = i >> 10 & 3;
        uint64_t value = descriptor(load->is_task ? in_long_mode() ? TSS_64 : TSS_32 : LDT,
                                    load->is_task ? 0x67 : LDT_LIMIT, access_byte(k), 0);
        struct verdict verdict = ENDS;
        if (cpl)
            verdict = fault(VECTOR_GP, 0);
        else if (!has_the_type(load, k.kind))
            verdict = fault(VECTOR_GP, GLOBAL);
        else if (!k.present)
            verdict = fault(VECTOR_NP, GLOBAL);
        gdt_set(GLOBAL, value);
        go(load, GLOBAL | rpl, cpl, verdict);
        if (load->is_task && ends(verdict))
            value |= (uint64_t)2 << 40; /* busy */
        case_check(gdt_get(GLOBAL) == value, "%s: descriptor %016llx", load->name, gdt_get(GLOBAL));
        restore(load);
    }
    case_end();
}

static void selectors(const struct load *load, const char *place)
{
    case_begin_in(load->is_task ? "2B LTR" : "2A LLDT",
                  load->is_task ? "LTR of no descriptor" : "LLDT of no descriptor", place);
    for (unsigned rpl = 0; rpl <= 3; rpl++) {
        go(load, rpl, 0, load->is_task ? fault(VECTOR_GP, 0) : ENDS);
        go(load, (GDT_LIMIT + 1) | rpl, 0, fault(VECTOR_GP, GDT_LIMIT + 1));
        go(load, SEL_TSS32 | 4 | rpl, 0, fault(VECTOR_GP, SEL_TSS32 | 4));
    }
    unsigned bytes = in_long_mode() ? 16 : 8;
    gdt_set(GLOBAL, load->is_task ? descriptor(in_long_mode() ? TSS_64 : TSS_32, 0x67, TSS_FREE, 0)
                                  : descriptor(LDT, LDT_LIMIT, LDT_KIND, 0));
    for (unsigned limit = GLOBAL + bytes - 3; limit < GLOBAL + bytes + 2; limit++) {
        load_gdtr(GDT, limit);
        go(load, GLOBAL, 0, limit < GLOBAL + bytes - 1 ? fault(VECTOR_GP, GLOBAL) : ENDS);
        gdt_set(GLOBAL, gdt_get(GLOBAL) & ~((uint64_t)(load->is_task ? 2 : 0) << 40));
    }
    case_end();
}

static void everything(const struct load *loads, unsigned count, const char *place)
{
    for (unsigned i = 0; i < count; i++)
        rights(&loads[i], place);
    selectors(&loads[0], place);
    selectors(&loads[1], place);
}

/* --- instructions of CPL 0 */

SNIPPETS(clts, "clts");
SNIPPETS(invd, "invd");
SNIPPETS(wbinvd, "wbinvd");
SNIPPETS(lmsw, "lmsw %ax");
SNIPPETS(lgdt, "lgdt (%ebx)");
SNIPPETS(lidt, "lidt (%ebx)");
SNIPPETS(invlpg, "invlpg (%ebx)");
SNIPPETS(rdmsr_any, "rdmsr");
SNIPPETS(wrmsr_any, "wrmsr");
SNIPPET(32, halt_32, "hlt");
SNIPPET(64, halt_64, "hlt");
SNIPPET(32, from_cr0_32, "mov %cr0, %eax");
SNIPPET(64, from_cr0_64, "mov %cr0, %rax");
SNIPPET(32, to_cr3_32, "mov %eax, %cr3");
SNIPPET(64, to_cr3_64, "mov %rax, %cr3");
SNIPPET(32, from_dr0_32, "mov %dr0, %eax");
SNIPPET(64, from_dr0_64, "mov %dr0, %rax");
SNIPPET(32, to_dr7_32, "mov %eax, %dr7");
SNIPPET(64, to_dr7_64, "mov %rax, %dr7");

static void of_cpl_0(const struct snippet *const *snippets, unsigned count, const char *place)
{
    case_begin_in("3A 5.9", "privileged instructions at CPL 1, 2 and 3: #GP(0)", place);
    for (unsigned i = 0; i < count * 3 * 4; i++) {
        const struct snippet *snippet = snippets[i / 12];
        struct state start = start_at(snippet, 1 + i % 3);
        start.flags |= (i / 3 & 3) << 12; /* IOPL does not matter */
        start.gpr[RBX] = 0x8000;          /* memory that is there */
        case_attempt(snippet, &start, fault(VECTOR_GP, 0), "snippet %u, CPL %u, IOPL %u", i / 12,
                     1 + i % 3, i / 3 & 3);
    }
    case_end();
}

static void in_v86(const struct snippet *const *snippets, unsigned count)
{
    case_begin("3A 21.2.7", "privileged instructions in virtual-8086 mode: #GP(0)");
    for (unsigned i = 0; i < count * 2; i++) {
        struct state start = start_v86(snippets[i / 2]);
        start.flags |= i & 1 ? 0x3000 : 0;
        start.gpr[RBX] = 0x4000;
        struct state end = attempt(&start);
        case_compare(snippets[i / 2], &start, &end, fault(VECTOR_GP, 0), "snippet %u", i / 2);
    }
    case_end();

    static const struct snippet *const unknown[] = {&lldt_16, &ltr_16};
    case_begin("2A LLDT", "LLDT and LTR are not recognised in real and virtual-8086 mode");
    for (unsigned i = 0; i < 4; i++) {
        struct state start = start_v86(unknown[i / 2]);
        struct state end = i & 1 ? attempt(&start) : attempt_real(&start);
        case_compare(unknown[i / 2], &start, &end, fault(VECTOR_UD, 0), "%u", i);
    }
    case_end();
}

static const struct snippet *const privileged_16[] = {&clts_16,   &invd_16,      &wbinvd_16,
                                                      &lmsw_16,   &lgdt_16,      &lidt_16,
                                                      &invlpg_16, &rdmsr_any_16, &wrmsr_any_16};
static const struct snippet *const privileged_32[] = {
    &clts_32,      &invd_32,      &wbinvd_32, &lmsw_32,     &lgdt_32,   &lidt_32,     &invlpg_32,
    &rdmsr_any_32, &wrmsr_any_32, &halt_32,   &from_cr0_32, &to_cr3_32, &from_dr0_32, &to_dr7_32};
static const struct snippet *const privileged_64[] = {
    &clts_64,      &invd_64,      &wbinvd_64, &lmsw_64,     &lgdt_64,   &lidt_64,     &invlpg_64,
    &rdmsr_any_64, &wrmsr_any_64, &halt_64,   &from_cr0_64, &to_cr3_64, &from_dr0_64, &to_dr7_64};

static void protected_mode(void)
{
    everything(loads_32, COUNT(loads_32), "protected mode");
    everything(loads_16, COUNT(loads_16), "16-bit protected mode");
    of_cpl_0(privileged_32, COUNT(privileged_32), "protected mode");
    of_cpl_0(privileged_16, COUNT(privileged_16), "16-bit protected mode");
    in_v86(privileged_16, COUNT(privileged_16));
}

static void long_mode(void)
{
    everything(loads_32, COUNT(loads_32), "compatibility mode");
    everything(loads_64, COUNT(loads_64), "64-bit mode");
    of_cpl_0(privileged_32, COUNT(privileged_32), "compatibility mode");
    of_cpl_0(privileged_64, COUNT(privileged_64), "64-bit mode");
}

const struct topic topic = {"system-segment", protected_mode, long_mode};
