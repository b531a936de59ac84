/* Topic: real mode: interrupts, far transfers, IRET and flags.
 *
 * Sources: SDM 3A §21.1 (8086 emulation), §21.1.4 (interrupts); 2A CALL, INT n, IRET, JMP. */
#include "model.h"

SNIPPET(16, int_n, "int $0x81\n ud2");
SNIPPET(16, int3, "int3\n ud2");
SNIPPET(16, into, "into\n ud2");
SNIPPET(16, divide, "div %cl\n ud2");
SNIPPET(16, bound, "bound %ax, (%bx)\n ud2");
SNIPPET(16, iret_word, "iretw\n ud2");
SNIPPET(16, iret_dword, "iretl\n ud2");
SNIPPET(16, jump_far, "ljmpw *(%bx)\n ud2");
SNIPPET(16, jump_far_dword, "ljmpl *(%bx)\n ud2");
SNIPPET(16, call_far, "lcallw *(%bx)\n ud2");
SNIPPET(16, call_far_dword, "lcalll *(%bx)\n ud2");
SNIPPET(16, return_far, "lretw\n ud2");
SNIPPET(16, return_release, "lretw $6\n ud2");
SNIPPET(16, pop_flags, "popfw");
SNIPPET(16, pop_flags_dword, "popfl");

enum { SEGMENT = LOW_BASE >> 4, OPERAND = 0x100, VECTOR_N = 0x81 };
enum { TF = 0x100, IF = 0x200, OF = 0x800, AC = 0x40000, ARITHMETIC = 0x8d5 };

static struct state start_real(const struct snippet *snippet)
{
    struct state start = start_v86(snippet);

    start.flags = FLAG_FIXED;
    return start;
}

static uint32_t stack(uint32_t offset)
{
    return DATA_BASE + offset;
}

static uint16_t offset_of(const uint8_t *at)
{
    return (uint32_t)at - LOW_BASE;
}

/* The vector leads to the snippet's end. */
static void set_vector(unsigned vector, const struct snippet *snippet)
{
    *dword_at(4 * vector) = SEGMENT << 16 | offset_of(snippet->end);
}

/* --- interrupts */

static void interrupts(void)
{
    static const struct {
        const char *name;
        const struct snippet *snippet;
        unsigned vector, length; /* 0: a fault, which leaves its own address */
    } rows[] = {{"INT n", &int_n, VECTOR_N, 2},
                {"INT3", &int3, VECTOR_BP, 1},
                {"INTO", &into, VECTOR_OF, 1},
                {"#DE", &divide, VECTOR_DE, 0},
                {"#BR", &bound, VECTOR_BR, 0}};

    case_begin("3A 21.1.4", "interrupts push FLAGS, CS and IP, and clear IF, TF and AC");
    for (unsigned i = 0; i < COUNT(rows) * 8; i++) {
        struct state start = start_real(rows[i / 8].snippet);
        uint32_t flags = OF | (i & 1 ? IF : 0) | (i & 2 ? AC : 0) | (i & 4 ? 0x70d5 : 0);
        start.flags |= flags;
        start.gpr[RAX] = 5; /* BOUND: less than 10h */
        start.gpr[RBX] = OPERAND;
        *dword_at(stack(OPERAND)) = 0x00200010;
        set_vector(rows[i / 8].vector, rows[i / 8].snippet);
        struct state end = attempt_real(&start);
        case_compare(rows[i / 8].snippet, &start, &end, ENDS, "%s, flags %x", rows[i / 8].name,
                     flags);
        uint32_t top = stack(STACK_16 - 6);
        case_check((uint16_t)end.gpr[RSP] == STACK_16 - 6 &&
                       *word_at(top) == (uint16_t)(start.ip + rows[i / 8].length) &&
                       *word_at(top + 2) == SEGMENT && *word_at(top + 4) == (uint16_t)start.flags,
                   "%s: SP %llx, pushed %04x %04x %04x", rows[i / 8].name, end.gpr[RSP],
                   *word_at(top), *word_at(top + 2), *word_at(top + 4));
        /* Seen by #UD's handler, which has cleared AC itself. */
        case_check(!(end.flags & (IF | TF | AC)) && (end.flags & 0x7cd5) == (start.flags & 0x7cd5),
                   "%s: flags %llx", rows[i / 8].name, end.flags);
        tables_reset();
    }
    case_end();
}

/* --- far transfers */

static void far_transfers(void)
{
    static const struct {
        const char *name;
        const struct snippet *snippet;
        unsigned unit; /* of what a CALL pushes; 0 for JMP */
        bool is_dword;
    } rows[] = {{"JMP", &jump_far, 0, false},
                {"32-bit JMP", &jump_far_dword, 0, true},
                {"CALL", &call_far, 2, false},
                {"32-bit CALL", &call_far_dword, 4, true}};

    case_begin("3A 21.1.1", "far JMP and CALL load paragraphs, and CS's base");
    for (unsigned i = 0; i < COUNT(rows) * 16; i++) {
        const struct snippet *snippet = rows[i / 16].snippet;
        unsigned back = i % 16; /* the same byte by another segment */
        uint32_t target = offset_of(snippet->end) + 16 * back;
        struct state start = start_real(snippet);
        start.gpr[RBX] = OPERAND;
        if (rows[i / 16].is_dword) {
            *dword_at(stack(OPERAND)) = target;
            *word_at(stack(OPERAND + 4)) = SEGMENT - back;
        } else {
            *word_at(stack(OPERAND)) = target;
            *word_at(stack(OPERAND + 2)) = SEGMENT - back;
        }
        struct state end = attempt_real(&start);
        unsigned bytes = 2 * rows[i / 16].unit;
        case_check(end.vector == VECTOR_UD && end.cs == SEGMENT - back && end.ip == target &&
                       (uint16_t)end.gpr[RSP] == STACK_16 - bytes,
                   "%s: vector %u at %04llx:%04llx, SP %llx", rows[i / 16].name,
                   (unsigned)end.vector, end.cs, end.ip, end.gpr[RSP]);
        uint32_t top = stack(STACK_16 - bytes);
        if (bytes)
            case_check(*word_at(top) == offset_of(snippet->end) - 2 &&
                           *word_at(top + bytes / 2) == SEGMENT,
                       "%s: pushed %04x %04x", rows[i / 16].name, *word_at(top),
                       *word_at(top + bytes / 2));
    }
    case_end();

    case_begin("2A JMP", "a 32-bit far transfer beyond 64 KiB: #GP");
    for (unsigned i = 1; i < COUNT(rows); i += 2) {
        struct state start = start_real(rows[i].snippet);
        start.gpr[RBX] = OPERAND;
        *dword_at(stack(OPERAND)) = 0x10000 + offset_of(rows[i].snippet->end);
        *word_at(stack(OPERAND + 4)) = SEGMENT;
        struct state end = attempt_real(&start);
        case_compare(rows[i].snippet, &start, &end, fault(VECTOR_GP, 0), "%s", rows[i].name);
        case_check((uint16_t)end.gpr[RSP] == STACK_16, "%s: SP %llx", rows[i].name, end.gpr[RSP]);
    }
    case_end();
}

static void far_returns(void)
{
    static const struct {
        const struct snippet *snippet;
        unsigned unit, words, release;
    } rows[] = {{&return_far, 2, 2, 0},
                {&return_release, 2, 2, 6},
                {&iret_word, 2, 3, 0},
                {&iret_dword, 4, 3, 0}};

    case_begin("3A 21.1.1", "far RET and IRET load paragraphs");
    for (unsigned i = 0; i < COUNT(rows) * 16; i++) {
        const struct snippet *snippet = rows[i / 16].snippet;
        unsigned unit = rows[i / 16].unit, back = i % 16;
        uint32_t top = stack(STACK_16 - 0x20), target = offset_of(snippet->end) + 16 * back;
        struct state start = start_real(snippet);
        start.gpr[RSP] = STACK_16 - 0x20;
        for (unsigned byte = 0; byte < 0x20; byte += 4)
            *dword_at(top + byte) = 0;
        *word_at(top) = target;
        *word_at(top + unit) = SEGMENT - back;
        *word_at(top + 2 * unit) = ARITHMETIC;
        struct state end = attempt_real(&start);
        unsigned popped = unit * rows[i / 16].words + rows[i / 16].release;
        case_check(end.vector == VECTOR_UD && end.cs == SEGMENT - back && end.ip == target &&
                       (uint16_t)end.gpr[RSP] == STACK_16 - 0x20 + popped,
                   "row %u: vector %u at %04llx:%04llx, SP %llx", i / 16, (unsigned)end.vector,
                   end.cs, end.ip, end.gpr[RSP]);
        if (rows[i / 16].words == 3)
            case_check((end.flags & 0xfd5) == ARITHMETIC, "row %u: flags %llx", i / 16, end.flags);
    }
    case_end();
}

/* --- flags: CPL 0, so all but VM, VIF and VIP; TF would step */

static void flags(void)
{
    static const struct {
        const struct snippet *snippet;
        unsigned unit;
        bool is_iret;
    } rows[] = {{&pop_flags, 2, false},
                {&pop_flags_dword, 4, false},
                {&iret_word, 2, true},
                {&iret_dword, 4, true}};
    static const uint32_t images[] = {0,        ARITHMETIC,   0x3000,
                                      0x4000,   0x7ed5 & ~TF, 0x200000,
                                      0x240000, 0x180000,     0x3f0000 | ARITHMETIC};

    case_begin("2B POPF", "POPF and IRET in real mode set all but VM, VIF, VIP");
    for (unsigned i = 0; i < COUNT(rows) * COUNT(images); i++) {
        unsigned row = i / COUNT(images), unit = rows[row].unit;
        uint32_t image = images[i % COUNT(images)], top = stack(STACK_16 - 0x20);
        struct state start = start_real(rows[row].snippet);
        start.gpr[RSP] = STACK_16 - 0x20;
        start.flags |= 0x200400;                           /* ID and DF */
        uint32_t settable = unit == 2 ? 0x7cd5 : 0x207cd5; /* what the handler leaves */
        for (unsigned byte = 0; byte < 0x20; byte += 4)
            *dword_at(top + byte) = 0;
        if (rows[row].is_iret) {
            *word_at(top) = offset_of(rows[row].snippet->end);
            *word_at(top + unit) = SEGMENT;
            top += 2 * unit;
        }
        *dword_at(top) = image;
        struct state end = attempt_real(&start);
        case_compare(rows[row].snippet, &start, &end, ENDS, "row %u, image %x", row, image);
        uint32_t expected = (start.flags & ~settable) | (image & settable);
        case_check(((end.flags ^ expected) & 0x387cd5) == 0, "row %u, image %x: flags %llx for %x",
                   row, image, end.flags, expected);
    }
    case_end();
}

static void protected_mode(void)
{
    interrupts();
    far_transfers();
    far_returns();
    flags();
}

const struct topic topic = {"real-mode", protected_mode, NULL};
