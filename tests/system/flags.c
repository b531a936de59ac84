/* Topic: POPF, PUSHF, CLI and STI by CPL and IOPL; ARPL.
 *
 * Sources: SDM 2B POPF (table 4-16), PUSHF; 2A CLI (table 3-7), ARPL; 2B STI; 3A §2.3. */
#include "model.h"

SNIPPETS(pop_word, "popfw");
SNIPPETS(push_word, "pushfw");
SNIPPET(16, pop_16, "popfl");
SNIPPET(32, pop_32, "popfl");
SNIPPET(64, pop_64, "popfq");
SNIPPET(16, push_16, "pushfl");
SNIPPET(32, push_32, "pushfl");
SNIPPET(64, push_64, "pushfq");
SNIPPETS(clear, "cli");
SNIPPETS(set, "sti\n nop"); /* nothing waits to interrupt */
SNIPPET(16, adjust_16, "arpl %cx, %ax");
SNIPPET(32, adjust_32, "arpl %cx, %ax");

enum { ZF = 0x40, TF = 0x100, IF = 0x200, IOPL = 0x3000, RF_VM = 0x30000, VIF_VIP = 0x180000 };

static uint32_t stack_base(const struct snippet *snippet)
{
    return snippet->bits == 16 ? DATA_BASE : 0;
}

/* Which bits POPF sets; RF and VM never, VIF and VIP are cleared at CPL 0, else left. */
static uint32_t expected(uint32_t before, uint32_t image, unsigned bytes, unsigned cpl)
{
    uint32_t mask = bytes == 2 ? 0x4cd5 : 0x244cd5;

    if (cpl <= (before >> 12 & 3))
        mask |= IF;
    if (cpl == 0)
        mask |= IOPL;
    return (before & ~mask) | (image & mask);
}

static void pops(const struct snippet *snippet, unsigned bytes, const char *name, const char *place)
{
    static const uint32_t images[] = {0,       0xd5,     0xcd5,    0x200,   0x3000,  0x4000,
                                      0x40000, 0x200000, 0x247ed5, 0x10000, 0x20000, 0x7ed5};

    case_begin_in("2B POPF", name, place);
    for (unsigned i = 0; i < COUNT(images) * 32; i++) {
        unsigned cpl = i & 3, iopl = i >> 2 & 3;
        uint32_t image = images[i >> 5];
        struct state start = start_at(snippet, cpl);
        start.flags |= iopl << 12 | (i & 16 ? 0x2448d5 | IF : 0);
        *qword_at(stack_base(snippet) + start.gpr[RSP]) = image;
        struct state end =
            case_attempt(snippet, &start, ENDS, "image %x, CPL %u, IOPL %u", image, cpl, iopl);
        uint32_t wanted = expected(start.flags, image, bytes, cpl);
        uint64_t got = end.flags & ~(uint64_t)FLAG_RF;
        case_check(got == wanted, "image %x, CPL %u, IOPL %u: flags %llx for %x", image, cpl, iopl,
                   got, wanted);
        case_check((uint16_t)end.gpr[RSP] == (uint16_t)(start.gpr[RSP] + bytes), "RSP %llx",
                   end.gpr[RSP]);
    }
    case_end();
}

/* RF and VM are pushed as 0. */
static void pushes(const struct snippet *snippet, unsigned bytes, const char *name,
                   const char *place)
{
    case_begin_in("2B PUSHF", name, place);
    for (unsigned i = 0; i < 16; i++) {
        struct state start = start_at(snippet, i & 3);
        start.flags |= (i >> 2) << 12 | 0x2448d5 | IF;
        uint32_t at = stack_base(snippet) + start.gpr[RSP] - bytes;
        *qword_at(at) = 0;
        struct state end = case_attempt(snippet, &start, ENDS, "CPL %u", i & 3);
        uint64_t got = bytes == 8 ? *qword_at(at) : bytes == 4 ? *dword_at(at) : *word_at(at);
        uint64_t wanted = bytes == 2 ? start.flags & 0xffff : start.flags;
        case_check(got == wanted && (uint16_t)end.gpr[RSP] == (uint16_t)(start.gpr[RSP] - bytes),
                   "CPL %u: pushed %llx for %llx", i & 3, got, wanted);
    }
    case_end();
}

static void interrupt_flag(const struct snippet *cli, const struct snippet *sti, const char *place)
{
    case_begin_in("2A CLI", "CLI and STI need a CPL of IOPL or less: #GP(0)", place);
    for (unsigned i = 0; i < 64; i++) {
        bool sets = i & 16;
        unsigned cpl = i & 3, iopl = i >> 2 & 3;
        const struct snippet *snippet = sets ? sti : cli;
        struct state start = start_at(snippet, cpl);
        start.flags |= iopl << 12 | (i & 32 ? IF : 0);
        struct state end = case_attempt(snippet, &start, cpl <= iopl ? ENDS : fault(VECTOR_GP, 0),
                                        "STI %u, CPL %u, IOPL %u", sets, cpl, iopl);
        uint32_t wanted = cpl > iopl ? start.flags & IF : sets ? IF : 0;
        case_check((end.flags & IF) == wanted, "STI %u, CPL %u, IOPL %u: flags %llx", sets, cpl,
                   iopl, end.flags);
    }
    case_end();
}

/* ZF tells that the RPL was raised; it is allowed at any CPL. */
static void arpl(const struct snippet *snippet, const char *place)
{
    case_begin_in("2A ARPL", "ARPL raises an RPL", place);
    for (unsigned i = 0; i < 128; i++) {
        unsigned destination = 0x1230 | (i & 3), source = 0xfff0 | (i >> 2 & 3), cpl = i >> 4 & 3;
        struct state start = start_at(snippet, cpl);
        bool raises = (destination & 3) < (source & 3);
        start.flags |= i & 64 ? 0x8d5 : 0x895;
        start.gpr[RAX] = 0xabcd0000 | destination;
        start.gpr[RCX] = source;
        struct state end = case_attempt(snippet, &start, ENDS, "%04x by %04x", destination, source);
        unsigned wanted = raises ? (destination & ~3) | (source & 3) : destination;
        case_check((uint32_t)end.gpr[RAX] == (0xabcd0000 | wanted) &&
                       (end.flags & 0x8d5) == ((start.flags & 0x8d5 & ~ZF) | (raises ? ZF : 0)),
                   "%04x by %04x: %llx, flags %llx", destination, source, end.gpr[RAX], end.flags);
    }
    case_end();
}

static void no_arpl(void)
{
    case_begin("2A ARPL", "ARPL is not recognised in real and virtual-8086 mode");
    for (unsigned v86 = 0; v86 < 2; v86++) {
        struct state start = start_v86(&adjust_16);
        struct state end = v86 ? attempt(&start) : attempt_real(&start);
        case_compare(&adjust_16, &start, &end, fault(VECTOR_UD, 0), "%u", v86);
    }
    case_end();
}

static void both_sizes(const char *place, const char *place_16)
{
    pops(&pop_32, 4, "POPFD", place);
    pops(&pop_word_32, 2, "POPF", place);
    pops(&pop_16, 4, "POPFD", place_16);
    pops(&pop_word_16, 2, "POPF", place_16);
    pushes(&push_32, 4, "PUSHFD", place);
    pushes(&push_word_32, 2, "PUSHF", place);
    pushes(&push_16, 4, "PUSHFD", place_16);
    pushes(&push_word_16, 2, "PUSHF", place_16);
    interrupt_flag(&clear_32, &set_32, place);
    interrupt_flag(&clear_16, &set_16, place_16);
    arpl(&adjust_32, place);
    arpl(&adjust_16, place_16);
}

static void protected_mode(void)
{
    both_sizes("protected mode", "16-bit protected mode");
    no_arpl();
}

static void long_mode(void)
{
    both_sizes("compatibility mode", "16-bit compatibility mode");
    pops(&pop_64, 8, "POPFQ", "64-bit mode");
    pops(&pop_word_64, 2, "POPF", "64-bit mode");
    pushes(&push_64, 8, "PUSHFQ", "64-bit mode");
    pushes(&push_word_64, 2, "PUSHF", "64-bit mode");
    interrupt_flag(&clear_64, &set_64, "64-bit mode");
}

const struct topic topic = {"flags", protected_mode, long_mode};
