/* Topic: LAR, LSL, VERR and VERW, which ask and never fault. */
#include "model.h"

SNIPPETS(lar_word, "lar %ax, %cx");
SNIPPETS(lar_dword, "lar %eax, %ecx");
SNIPPET(64, lar_qword_64, "lar %rax, %rcx");
SNIPPETS(lsl_word, "lsl %ax, %cx");
SNIPPETS(lsl_dword, "lsl %eax, %ecx");
SNIPPET(64, lsl_qword_64, "lsl %rax, %rcx");
SNIPPETS(verr, "verr %ax");
SNIPPETS(verw, "verw %ax");

enum question { LAR, LSL, VERR, VERW };
static const char names[][5] = {"LAR", "LSL", "VERR", "VERW"};

struct query {
    const struct snippet *snippet;
    enum question question;
    unsigned bits; /* of the operand */
};

#define QUERIES(size)                                                                              \
    {&lar_word_##size, LAR, 16}, {&lar_dword_##size, LAR, 32}, {&lsl_word_##size, LSL, 16},        \
        {&lsl_dword_##size, LSL, 32}, {&verr_##size, VERR, 0},                                     \
    {                                                                                              \
        &verw_##size, VERW, 0                                                                      \
    }

static const struct query queries_16[] = {QUERIES(16)}, queries_32[] = {QUERIES(32)};
static const struct query queries_64[] = {
    QUERIES(64), {&lar_qword_64, LAR, 64}, {&lsl_qword_64, LSL, 64}};

enum { ZF = 0x40, ARITHMETIC = 0x8d5, GLOBAL = SEL_SCRATCH, LOCAL = 0x80 };
#define BEFORE UINT64_C(0x1122334455667788)

/* --- the model: SDM 2A LAR, LSL; 2C VERR/VERW; 3A 5.10 */

static bool has_the_type(enum question question, unsigned kind)
{
    const unsigned long_limits = 1 << KIND_LDT | 1 << KIND_TSS32 | 1 << KIND_TSS32_BUSY;
    const unsigned limits = long_limits | 1 << KIND_TSS16 | 1 << KIND_TSS16_BUSY;
    const unsigned gates = 1 << KIND_CALL_GATE16 | 1 << KIND_CALL_GATE32 | 1 << KIND_TASK_GATE;

    switch (question) {
    case LAR:
        if (in_long_mode())
            return kind >= KIND_DATA || (long_limits | 1 << KIND_CALL_GATE32) >> kind & 1;
        return kind >= KIND_DATA || (limits | gates) >> kind & 1;
    case LSL:
        return kind >= KIND_DATA || (in_long_mode() ? long_limits : limits) >> kind & 1;
    case VERR:
        return is_readable(kind);
    default:
        return is_writable(kind);
    }
}

static bool answers(enum question question, struct kind k, unsigned rpl, unsigned cpl)
{
    return has_the_type(question, k.kind) &&
           (is_conforming(k.kind) || (cpl <= k.dpl && rpl <= k.dpl));
}

/* The operand afterwards; `defined` gets the bits that the manual defines. */
static uint64_t answer(const struct query *query, uint64_t descriptor, uint64_t *defined)
{
    uint32_t high = descriptor >> 32;
    uint32_t limit = (descriptor & 0xffff) | (high & 0xf0000);
    uint64_t value = high & 0x00f0ff00;

    *defined = ~(uint64_t)(query->question == LAR && query->bits > 16 ? 0xf0000 : 0);
    if (query->question == LSL)
        value = high >> 23 & 1 ? limit << 12 | 0xfff : limit;
    return query->bits == 16 ? (BEFORE & ~(uint64_t)0xffff) | (value & 0xffff) : value;
}

/* --- against it */

static void ask(const struct query *query, unsigned selector, uint64_t descriptor, unsigned cpl,
                bool zero)
{
    struct state start = start_at(query->snippet, cpl);
    uint64_t defined = ~UINT64_C(0), expected = BEFORE;
    uint64_t mask = query->snippet->bits == 64 ? ~UINT64_C(0) : 0xffffffff;

    if (zero && query->bits)
        expected = answer(query, descriptor, &defined);
    start.gpr[RAX] = selector;
    start.gpr[RCX] = BEFORE;
    start.flags |= zero ? ARITHMETIC & ~ZF : ARITHMETIC;
    struct state end =
        case_attempt(query->snippet, &start, ENDS, "%s %u, %016llx, selector %04x, CPL %u",
                     names[query->question], query->bits, descriptor, selector, cpl);
    case_check((end.flags & ARITHMETIC) == (zero ? ARITHMETIC : ARITHMETIC & ~ZF) &&
                   !((end.gpr[RCX] ^ expected) & defined & mask),
               "%s %u, %016llx, selector %04x, CPL %u: flags %llx, %llx for %llx",
               names[query->question], query->bits, descriptor, selector, cpl, end.flags,
               end.gpr[RCX], expected);
}

static void all_rights(const struct query *query, unsigned kind, bool local)
{
    for (unsigned i = 0; i < 0x80; i++) {
        struct kind k = {kind, i & 3, i >> 2 & 1};
        unsigned rpl = i >> 3 & 3, cpl = i >> 5 & 3;
        uint64_t value = descriptor(0x12345678, kind & 1 ? 0xabcde : 0x54321, access_byte(k),
                                    kind & 2 ? PAGES | SIZE_32 : 1);
        if (local)
            ldt_set(LOCAL, value);
        else
            gdt_set(GLOBAL, value);
        ask(query, (local ? LOCAL | 4 : GLOBAL) | rpl, value, cpl,
            answers(query->question, k, rpl, cpl));
    }
}

static void no_descriptor(const struct query *query)
{
    uint64_t value = descriptor(0, 0xfffff, DATA | DPL_3, PAGES | SIZE_32);

    gdt_set(0, value);
    gdt_set(GLOBAL, value);
    for (unsigned selector = 0; selector < 4; selector++)
        for (unsigned cpl = 0; cpl <= 3; cpl++)
            ask(query, selector, value, cpl, false);
    for (unsigned step = 0; step < 10; step++) {
        load_gdtr(GDT, GLOBAL + step);
        ask(query, GLOBAL, value, 0, step >= 7);
    }
    ask(query, LDT_LIMIT + 1 + 4, value, 0, false);
    __asm__ volatile("lldt %w0" : : "r"(0));
    ask(query, LOCAL + 4, value, 0, false);
}

static void everything(const struct query *queries, unsigned count, const char *place)
{
    static const char *const sections[] = {"3A 5.10.1", "3A 5.10.3", "3A 5.10.2", "3A 5.10.2"};

    for (enum question question = LAR; question <= VERW; question++) {
        case_begin_in(sections[question], names[question], place);
        for (unsigned i = 0; i < count * KINDS; i++)
            for (unsigned local = 0; local < 2; local++)
                if (queries[i / KINDS].question == question)
                    all_rights(&queries[i / KINDS], i % KINDS, local);
        case_end();
    }
    case_begin_in("3A 5.10.1", "no descriptor: ZF is cleared and nothing else", place);
    for (unsigned i = 0; i < count; i++)
        no_descriptor(&queries[i]);
    case_end();
}

static void not_recognised(void)
{
    for (unsigned mode = 0; mode < 2; mode++) {
        case_begin_in("2A LAR", "LAR, LSL, VERR and VERW are not recognised",
                      mode ? "virtual-8086 mode" : "real mode");
        for (unsigned i = 0; i < COUNT(queries_16); i++) {
            const struct snippet *snippet = queries_16[i].snippet;
            struct state start = start_v86(snippet);
            struct state end = mode ? attempt(&start) : attempt_real(&start);
            case_compare(snippet, &start, &end, fault(VECTOR_UD, 0), "%s",
                         names[queries_16[i].question]);
        }
        case_end();
    }
}

static void protected_mode(void)
{
    everything(queries_32, COUNT(queries_32), "protected mode");
    everything(queries_16, COUNT(queries_16), "16-bit protected mode");
    not_recognised();
}

static void long_mode(void)
{
    everything(queries_32, COUNT(queries_32), "compatibility mode");
    everything(queries_16, COUNT(queries_16), "16-bit compatibility mode");
    everything(queries_64, COUNT(queries_64), "64-bit mode");
}

const struct topic topic = {"segment-query", protected_mode, long_mode};
