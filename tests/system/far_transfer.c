/* Topic: far JMP and CALL to code segments, without a gate.
 *
 * Each snippet jumps to its own end, by a pointer at EBX. */
#include "model.h"

SNIPPET(16, jump_16, "data32 ljmp *(%ebx)");
SNIPPET(32, jump_32, "ljmp *(%ebx)");
SNIPPET(64, jump_64, "ljmp *(%ebx)");
SNIPPET(16, call_16, "data32 lcall *(%ebx)");
SNIPPET(32, call_32, "lcall *(%ebx)");
SNIPPET(64, call_64, "lcall *(%ebx)");
/* The same with the pointer in the instruction: GLOBAL with RPL 0. */
SNIPPET(32, jump_direct, "ljmp $0x100, $1f\n1:");
SNIPPET(32, call_direct, "lcall $0x100, $1f\n1:");

enum { GLOBAL = SEL_SCRATCH, LOCAL = 0x80, POINTER = DATA_BASE + 0x100 };

struct transfer {
    const char *name;
    const struct snippet *snippet;
    bool is_call, by_memory;
};

static const struct transfer transfers_16[] = {{"JMP", &jump_16, false, true},
                                               {"CALL", &call_16, true, true}};
static const struct transfer transfers_32[] = {{"JMP", &jump_32, false, true},
                                               {"CALL", &call_32, true, true},
                                               {"JMP ptr16:32", &jump_direct, false, false},
                                               {"CALL ptr16:32", &call_direct, true, false}};
static const struct transfer transfers_64[] = {{"JMP", &jump_64, false, true},
                                               {"CALL", &call_64, true, true}};

/* Valid gates and task states are other topics'. */
static bool is_other_topic(unsigned kind)
{
    const unsigned protected_mode = 1 << KIND_TSS16 | 1 << KIND_TSS16_BUSY | 1 << KIND_CALL_GATE16 |
                                    1 << KIND_TASK_GATE | 1 << KIND_TSS32 | 1 << KIND_TSS32_BUSY |
                                    1 << KIND_CALL_GATE32;

    return (in_long_mode() ? 1 << KIND_CALL_GATE32 : protected_mode) >> kind & 1;
}

/* 16-bit code has its base, and so has what it jumps to. */
static uint32_t base_of(const struct transfer *transfer)
{
    return transfer->snippet->bits == 16 ? LOW_BASE : 0;
}

static struct state prepare(const struct transfer *transfer, unsigned cpl, unsigned selector)
{
    struct state start = start_at(transfer->snippet, cpl);
    uint32_t data = transfer->snippet->bits == 16 ? DATA_BASE : 0;

    start.gpr[RBX] = POINTER - data;
    *dword_at(POINTER) = (uint32_t)transfer->snippet->end - base_of(transfer);
    *word_at(POINTER + 4) = selector;
    return start;
}

/* What a transfer that worked left: CS with the CPL, and what a CALL pushed. */
static void check_arrival(const struct transfer *transfer, const struct state *start,
                          const struct state *end, unsigned selector, unsigned cpl)
{
    uint32_t stack = transfer->snippet->bits == 16 ? DATA_BASE : 0;
    uint64_t top = start->gpr[RSP] - (transfer->is_call ? 8 : 0);

    case_check(end->cs == ((selector & ~3) | cpl) && end->gpr[RSP] == top,
               "%s %04x, CPL %u: CS %04llx, RSP %llx", transfer->name, selector, cpl, end->cs,
               end->gpr[RSP]);
    stack += top;
    if (transfer->is_call)
        case_check(*dword_at(stack) == (uint32_t)transfer->snippet->end - base_of(transfer) &&
                       (*dword_at(stack + 4) & 0xffff) == start->cs,
                   "%s %04x, CPL %u: pushed %08x, %08x", transfer->name, selector, cpl,
                   *dword_at(stack), *dword_at(stack + 4));
}

static void go(const struct transfer *transfer, unsigned cpl, unsigned selector, uint64_t target,
               struct verdict verdict)
{
    struct state start = prepare(transfer, cpl, selector);
    struct state end = case_attempt(transfer->snippet, &start, verdict, "%s %04x, %016llx, CPL %u",
                                    transfer->name, selector, target, cpl);

    if (ends(verdict))
        check_arrival(transfer, &start, &end, selector, cpl);
    else
        case_check(end.gpr[RSP] == start.gpr[RSP], "%s: RSP %llx", transfer->name, end.gpr[RSP]);
}

static void all_rights(const struct transfer *transfer, unsigned kind, unsigned flags, bool local)
{
    for (unsigned i = 0; i < 0x80; i++) {
        struct kind k = {kind, i & 3, i >> 2 & 1};
        unsigned rpl = transfer->by_memory ? i >> 3 & 3 : 0, cpl = i >> 5 & 3;
        unsigned selector = (local ? LOCAL | 4 : GLOBAL) | rpl;
        uint64_t value = descriptor(base_of(transfer), 0xfffff, access_byte(k), PAGES | flags);
        struct verdict verdict = model_far_code(selector, k, flags, cpl);
        if (local)
            ldt_set(LOCAL, value);
        else
            gdt_set(GLOBAL, value);
        go(transfer, cpl, selector, value, verdict);
        uint64_t after = local ? qword_at(LDT)[LOCAL / 8] : gdt_get(GLOBAL);
        case_check(after == (ends(verdict) ? value | (uint64_t)1 << 40 : value),
                   "%s, %016llx: descriptor is %016llx", transfer->name, value, after);
    }
}

/* D and L, as far as they mean something to a segment of this kind. */
static void all_sizes(const struct transfer *transfer, unsigned kind)
{
    static const unsigned sizes[] = {SIZE_32, SIZE_16, SIZE_64, SIZE_64 | SIZE_32};
    unsigned count = !is_code(kind) ? 1 : in_long_mode() ? 4 : 2;

    for (unsigned i = 0; i < count; i++)
        all_rights(transfer, kind, sizes[i], false);
    if (transfer->by_memory)
        all_rights(transfer, kind, sizes[0], true);
}

static void no_descriptor(const struct transfer *transfer, const char *place)
{
    uint64_t value = descriptor(base_of(transfer), 0xfffff, CODE, PAGES | SIZE_32);

    case_begin_in("3A 5.8.1", transfer->is_call ? "CALL to no descriptor" : "JMP to no descriptor",
                  place);
    for (unsigned i = 0; i < 16; i++)
        go(transfer, i >> 2, i & 3, 0, fault(VECTOR_GP, 0));
    gdt_set(GLOBAL, value);
    for (unsigned step = 0; step < 10; step++) {
        load_gdtr(GDT, GLOBAL + step);
        go(transfer, 0, GLOBAL, value, step < 7 ? fault(VECTOR_GP, GLOBAL) : ENDS);
    }
    go(transfer, 0, (LDT_LIMIT + 1) | 4, 0, fault(VECTOR_GP, (LDT_LIMIT + 1) | 4));
    __asm__ volatile("lldt %w0" : : "r"(0));
    go(transfer, 0, LOCAL | 4, 0, fault(VECTOR_GP, LOCAL | 4));
    case_end();
}

/* The target must lie within the segment (SDM 2A JMP, CALL); nothing has been pushed then. */
static void limit(const struct transfer *transfer, const char *place)
{
    uint32_t target = (uint32_t)transfer->snippet->end - base_of(transfer);

    case_begin_in("3A 5.3", transfer->is_call ? "CALL beyond the limit" : "JMP beyond the limit",
                  place);
    for (unsigned room = 0; room < 3; room++) {
        uint64_t value = descriptor(base_of(transfer), target - 1 + room, CODE, SIZE_32);
        gdt_set(GLOBAL, value);
        /* With one byte inside it arrives, and UD2 is cut off. */
        struct verdict cut = fault(VECTOR_GP, 0);
        struct state start = prepare(transfer, 0, GLOBAL);
        struct state end = attempt(&start);
        if (room == 1)
            case_check(end.vector == VECTOR_GP && !end.error && end.cs == GLOBAL &&
                           end.ip == target,
                       "cut off: vector %llu at %llx", end.vector, end.ip);
        else
            case_compare(transfer->snippet, &start, &end, room ? ENDS : cut, "room %u", room);
    }
    case_end();
}

static void everything(const struct transfer *transfers, unsigned count, const char *place)
{
    for (unsigned i = 0; i < count; i++) {
        case_begin_in("3A 5.8.1", transfers[i].name, place);
        for (unsigned kind = 0; kind < KINDS; kind++)
            if (!is_other_topic(kind))
                all_sizes(&transfers[i], kind);
        case_end();
    }
    for (unsigned i = 0; i < 2; i++) {
        no_descriptor(&transfers[i], place);
        limit(&transfers[i], place);
    }
}

static void protected_mode(void)
{
    everything(transfers_32, COUNT(transfers_32), "protected mode");
    everything(transfers_16, COUNT(transfers_16), "16-bit protected mode");
}

static void long_mode(void)
{
    everything(transfers_32, COUNT(transfers_32), "compatibility mode");
    everything(transfers_64, COUNT(transfers_64), "64-bit mode");
}

const struct topic topic = {"far-transfer", protected_mode, long_mode};
