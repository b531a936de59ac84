/* Topic: what the decoder refuses: more than fifteen bytes, LOCK where it must not stand, opcodes
 * that do not exist; and which of these goes before a page fault or a limit. */
#include "encodings.h"

/* --- code that is written here and runs in any mode */

enum { CODE_AT = 0x100, CODE_SEGMENT = SEL_SCRATCH, OPERAND = 0x1000, INSN_MAX = 15 };

struct snippet code_put(enum mode mode, const uint8_t *bytes, unsigned count, uint32_t offset)
{
    const uint32_t base = mode <= PROTECTED_16 ? FREE_BASE : 0;
    /* The rig takes 16-bit code to be based at LOW_BASE. */
    const uint8_t *start = (const uint8_t *)(mode <= PROTECTED_16 ? LOW_BASE + offset : offset);

    for (unsigned i = 0; i < count; i++)
        *byte_at(base + offset + i) = bytes[i];
    return (struct snippet){start, start + count,
                            mode <= PROTECTED_16 ? 16
                            : mode == CODE_32    ? 32
                                                 : 64};
}

struct snippet code_write(enum mode mode, const uint8_t *bytes, unsigned count)
{
    const uint32_t offset = mode <= PROTECTED_16 ? CODE_AT : FREE_BASE + CODE_AT;
    const uint8_t end[] = {0x0f, 0x0b}, none[INSN_MAX] = {0};
    struct snippet snippet = code_put(mode, bytes, count, offset);

    code_put(mode, none, sizeof none, offset + count);
    code_put(mode, end, sizeof end, offset + count);
    return snippet;
}

struct state code_start(enum mode mode, const struct snippet *snippet, unsigned cpl)
{
    struct state start = mode <= V86 ? start_v86(snippet) : start_at(snippet, cpl);

    start.gpr[RBX] = mode <= PROTECTED_16 ? OPERAND : DATA_BASE + OPERAND;
    if (mode <= V86)
        start.cs = FREE_BASE >> 4;
    if (mode == PROTECTED_16) {
        gdt_set(CODE_SEGMENT, descriptor(FREE_BASE, 0xffff, CODE | cpl << 5, SIZE_16));
        start.cs = CODE_SEGMENT | cpl;
    }
    return start;
}

void code_run(enum mode mode, const struct snippet *snippet, unsigned cpl, struct verdict verdict)
{
    const uint32_t base = mode <= PROTECTED_16 ? FREE_BASE - LOW_BASE : 0;
    const volatile uint8_t *at = byte_at((uint32_t)snippet->start + base);
    const unsigned count = snippet->end - snippet->start;
    struct state start = code_start(mode, snippet, cpl);
    struct state end = mode == REAL ? attempt_real(&start) : attempt(&start);

    case_compare(snippet, &start, &end, verdict, "%u bytes, %02x %02x to %02x, CPL %u", count,
                 at[0], at[count > 1], at[count - 1], cpl);
}

/* --- fifteen bytes */

struct instruction {
    uint8_t bytes[11];
    uint8_t count;
    bool only_64;
};

static const struct instruction instructions[] = {
    {{0x90}, 1, false},                                     /* NOP */
    {{0xb0, 0x12}, 2, false},                               /* MOV AL, imm8 */
    {{0x0f, 0xaf, 0xc1}, 3, false},                         /* IMUL AX, CX */
    {{0x80, 0xc1, 0x7f}, 3, false},                         /* ADD CL, imm8 */
    {{0xcd, VECTOR_USER}, 2, false},                        /* INT */
    {{0x48, 0xb8, 1, 2, 3, 4, 5, 6, 7, 8}, 10, true},       /* MOV RAX, imm64 */
    {{0x48, 0x81, 0xc1, 1, 2, 3, 4}, 7, true},              /* ADD RCX, imm32 */
    {{0x48, 0x69, 0x8b, 0, 0, 0, 0, 1, 2, 3, 4}, 11, true}, /* IMUL RCX, [RBX+disp32], imm32 */
};

/* Behind so many prefixes that it has `length` bytes. */
static void padded(enum mode mode, const struct instruction *instruction, unsigned length)
{
    static const uint8_t prefixes[] = {0x2e, 0x36, 0x3e, 0x26};
    bool is_int = instruction->bytes[0] == 0xcd;
    uint8_t bytes[20];
    unsigned at = 0;

    while (at < length - instruction->count) {
        bytes[at] = prefixes[at % COUNT(prefixes)];
        at++;
    }
    for (unsigned i = 0; i < instruction->count; i++)
        bytes[at++] = instruction->bytes[i];
    struct snippet snippet = code_write(mode, bytes, at);
    code_run(mode, &snippet, 0,
             length > INSN_MAX ? fault(VECTOR_GP, 0)
             : is_int          ? fault(VECTOR_USER, 0)
                               : ENDS);
}

static void fifteen_bytes(enum mode mode, const char *place)
{
    case_begin_in("2A 2.3.11", "an instruction of 15 bytes runs, a longer one is #GP(0)", place);
    for (unsigned i = 0; i < COUNT(instructions); i++) {
        const struct instruction *instruction = &instructions[i];
        if ((instruction->only_64 && mode != CODE_64) ||
            (mode == V86 && instruction->bytes[0] == 0xcd))
            continue;
        for (unsigned length = instruction->count; length <= INSN_MAX + 2; length++)
            padded(mode, instruction, length);
    }
    case_end();
}

/* The same prefix again and again, before NOP; only LOCK is not allowed there. */
static void one_prefix(enum mode mode, const char *place)
{
    static const uint8_t prefixes[] = {0x66, 0x67, 0x26, 0x2e, 0x36, 0x3e, 0x64,
                                       0x65, 0xf2, 0xf3, 0xf0, 0x40, 0x4f};

    case_begin_in("2A 2.1.1", "prefixes repeat up to 15 bytes; #GP(0) goes before #UD", place);
    for (unsigned i = 0; i < COUNT(prefixes); i++)
        for (unsigned length = 2; length <= INSN_MAX + 2; length++) {
            bool is_rex = (prefixes[i] & 0xf0) == 0x40;
            uint8_t bytes[INSN_MAX + 2];
            for (unsigned n = 0; n < length - 1; n++)
                bytes[n] = prefixes[i];
            bytes[length - 1] = 0x90;
            if (is_rex && mode != CODE_64)
                continue;
            struct snippet snippet = code_write(mode, bytes, length);
            code_run(mode, &snippet, 0,
                     length > INSN_MAX     ? fault(VECTOR_GP, 0)
                     : prefixes[i] == 0xf0 ? fault(VECTOR_UD, 0)
                                           : ENDS);
        }
    case_end();
}

/* --- where the bytes end: a page that is absent, a limit */

enum { EDGE = 0x400000 }; /* between two pages of 2 MiB; the upper one is taken away */

/* The last `count` bytes before the edge. */
static void at_edge(enum mode mode, const uint8_t *bytes, unsigned count, unsigned cpl,
                    struct verdict verdict)
{
    struct snippet snippet = code_put(mode, bytes, count, EDGE - count);

    code_run(mode, &snippet, cpl, verdict);
    if (verdict.vector == VECTOR_PF)
        case_check(read_cr2() == EDGE, "CR2 is %x", read_cr2());
}

static void take_page(void)
{
    qword_at(PAGE_TABLES + 0x2000)[EDGE >> 21] = 0;
    write_cr3(PAGE_TABLES);
}

/* Whose last bytes are in the absent page: most do not exist, whatever these are. */
static const struct {
    uint8_t bytes[5], count;
} cut[] = {
    {{0xf0, 0x81, 0xc0}, 3},             /* LOCK ADD of a register */
    {{0x81, 0xc0, 1, 2, 3}, 5},          /* ADD EAX, imm32 */
    {{0x0f}, 1},                         /* a map */
    {{0x0f, 0x38, 0xff}, 3},             /* nothing; ModRM */
    {{0x66, 0x0f, 0x3a, 0xff}, 4},       /* nothing; ModRM */
    {{0x66, 0x0f, 0x3a, 0xff, 0xc0}, 5}, /* nothing; imm8 */
    {{0x0f, 0xba, 0xc0}, 3},             /* a digit that there is not; imm8 */
    {{0xc6, 0xc8}, 2},                   /* the same */
    {{0x82, 0xc0}, 2},                   /* in 64-bit mode nothing; imm8 */
    {{0xd4}, 1},                         /* the same */
    {{0xff, 0xb9, 0, 0}, 4},             /* nothing; disp32 */
    {{0x66, 0xc5, 0xf8, 0x58}, 4},       /* nothing, for the 66; ModRM */
};

static void page_edge(enum mode mode, const char *place)
{
    uint8_t bytes[INSN_MAX + 1];

    case_begin_in(
        "3A 6.9",
        "a page fault of the fetch goes before #GP(0) for the length, unless 15 bytes were there",
        place);
    take_page();
    for (unsigned i = 0; i < sizeof bytes; i++)
        bytes[i] = 0x2e;
    for (unsigned cpl = 0; cpl <= 3; cpl += 3)
        for (unsigned count = 1; count <= sizeof bytes; count++)
            at_edge(mode, bytes, count, cpl,
                    count < INSN_MAX ? fault(VECTOR_PF, cpl ? 4 : 0) : fault(VECTOR_GP, 0));
    case_end();
    case_begin_in("3A 6.9", "an instruction that ends at the page's end does not look beyond it",
                  place);
    take_page();
    bytes[INSN_MAX - 2] = 0xcd; /* INT, of 2 to 15 bytes */
    bytes[INSN_MAX - 1] = VECTOR_USER;
    for (unsigned count = 2; count <= INSN_MAX; count++)
        at_edge(mode, bytes + INSN_MAX - count, count, 0, fault(VECTOR_USER, 0));
    at_edge(mode, (const uint8_t[]){0x0f, 0x0b}, 2, 0, fault(VECTOR_UD, 0));
    at_edge(mode, (const uint8_t[]){0x0f, 0x04}, 2, 0, fault(VECTOR_UD, 0));
    case_end();
    case_begin_in("3A 6.9", "bytes of the instruction in an absent page: #PF, before #UD", place);
    take_page();
    for (unsigned i = 0; i < COUNT(cut); i++)
        at_edge(mode, cut[i].bytes, cut[i].count, i & 1 ? 3 : 0, fault(VECTOR_PF, i & 1 ? 4 : 0));
    case_end();
}

/* INT, behind prefixes, in a code segment that ends with it or cuts it short. */
static void segment_limit(enum mode mode, const char *place)
{
    const unsigned bits = mode == PROTECTED_16 ? SIZE_16 : SIZE_32;
    uint8_t bytes[INSN_MAX];

    case_begin_in("3A 6.9", "bytes of the instruction beyond the code segment's limit are #GP(0)",
                  place);
    for (unsigned i = 0; i < sizeof bytes; i++)
        bytes[i] = 0x2e;
    bytes[INSN_MAX - 2] = 0xcd;
    bytes[INSN_MAX - 1] = VECTOR_USER;
    for (unsigned count = 2; count <= INSN_MAX; count++)
        for (unsigned present = 1; present <= count; present++) {
            struct snippet snippet =
                code_put(PROTECTED_16, bytes + INSN_MAX - count, count, CODE_AT);
            struct state start = code_start(PROTECTED_16, &snippet, 0);
            gdt_set(CODE_SEGMENT, descriptor(FREE_BASE, CODE_AT + present - 1, CODE, bits));
            case_attempt(&snippet, &start,
                         present == count ? fault(VECTOR_USER, 0) : fault(VECTOR_GP, 0),
                         "%u bytes of %u", present, count);
        }
    case_end();
}

/* --- LOCK */

/* SDM 2A LOCK, by opcode: ADD ADC AND BTC BTR BTS CMPXCHG CMPXCHG8B DEC INC NEG NOT OR SBB SUB XADD
 * XCHG XOR, with the destination in memory. */
static bool is_lockable(bool two_byte, unsigned opcode, unsigned digit)
{
    if (two_byte)
        switch (opcode) {
        case 0xab: /* BTS */
        case 0xb3: /* BTR */
        case 0xbb: /* BTC */
        case 0xb0: /* CMPXCHG */
        case 0xb1:
        case 0xc0: /* XADD */
        case 0xc1:
            return true;
        case 0xba: /* BTS, BTR, BTC */
            return digit >= 5;
        case 0xc7: /* CMPXCHG8B */
            return digit == 1;
        default:
            return false;
        }
    switch (opcode) {
    case 0x80: /* all but CMP */
    case 0x81:
    case 0x82:
    case 0x83:
        return digit != 7;
    case 0x86: /* XCHG */
    case 0x87:
        return true;
    case 0xf6: /* NOT, NEG */
    case 0xf7:
        return digit == 2 || digit == 3;
    case 0xfe: /* INC, DEC */
    case 0xff:
        return digit <= 1;
    default: /* ADD OR ADC SBB AND SUB XOR of memory and a register */
        return opcode < 0x38 && (opcode & 7) < 2;
    }
}

static unsigned immediate_bytes(enum mode mode, bool two_byte, unsigned opcode)
{
    if (two_byte)
        return opcode == 0xba;
    if (opcode == 0x81)
        return mode <= PROTECTED_16 ? 2 : 4;
    return opcode >= 0x80 && opcode <= 0x83;
}

static bool is_prefix(enum mode mode, unsigned opcode)
{
    static const uint8_t prefixes[] = {0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65,
                                       0x66, 0x67, 0xf0, 0xf2, 0xf3, 0x0f};

    for (unsigned i = 0; i < COUNT(prefixes); i++)
        if (opcode == prefixes[i])
            return true;
    return mode == CODE_64 && (opcode & 0xf0) == 0x40;
}

static void lock_forms(enum mode mode, bool two_byte, unsigned opcode, unsigned cpl)
{
    const unsigned rm = mode <= PROTECTED_16 ? 7 : 3; /* [BX], [EBX] */

    for (unsigned form = 0; form < 16; form++) {
        unsigned digit = form & 7, count = 0;
        bool memory = form < 8, exists = mode != CODE_64 || two_byte || opcode != 0x82;
        uint8_t bytes[8] = {0xf0};
        count++;
        if (two_byte)
            bytes[count++] = 0x0f;
        bytes[count++] = (uint8_t)opcode;
        bytes[count++] = (uint8_t)((memory ? rm : 0xc1) | digit << 3);
        count += immediate_bytes(mode, two_byte, opcode);
        struct snippet snippet = code_write(mode, bytes, count);
        code_run(mode, &snippet, cpl,
                 memory && exists && is_lockable(two_byte, opcode, digit) ? ENDS
                                                                          : fault(VECTOR_UD, 0));
    }
}

static void lock(enum mode mode, const char *place)
{
    case_begin_in(
        "2A LOCK",
        "LOCK before every opcode: #UD, but for 18 instructions with a destination in memory",
        place);
    for (unsigned opcode = 0; opcode < 512; opcode++)
        if ((opcode >= 256 && (opcode & 0xff) != 0x38 && (opcode & 0xff) != 0x3a) ||
            (opcode < 256 && !is_prefix(mode, opcode)))
            lock_forms(mode, opcode >= 256, opcode & 0xff, mode > PROTECTED_16 ? opcode & 3 : 0);
    case_end();
}

/* LOCK CMP, LOCK MOV and an opcode that does not exist, all with an operand that is not there. */
static void before_operands(enum mode mode, const char *place)
{
    static const uint8_t refused[][4] = {
        {0xf0, 0x38, 0x03}, {0xf0, 0x8b, 0x03}, {0x0f, 0xba, 0x03}, {0xfe, 0x13}, {0xc6, 0x0b}};

    case_begin_in("3A 6.9", "#UD goes before a page fault of the operand", place);
    take_page();
    for (unsigned i = 0; i < COUNT(refused); i++) {
        struct snippet snippet = code_write(mode, refused[i], 4);
        struct state start = code_start(mode, &snippet, 3);
        start.gpr[RBX] = EDGE;
        case_attempt(&snippet, &start, fault(VECTOR_UD, 0), "%02x %02x", refused[i][0],
                     refused[i][1]);
    }
    case_end();
    case_begin_in("3A 6.9", "#UD for LOCK goes before #GP(0) for the privilege", place);
    static const uint8_t privileged[][4] = {{0xf0, 0xf4},
                                            {0xf0, 0xfa},
                                            {0xf0, 0x0f, 0x22, 0xc0},
                                            {0xf0, 0x0f, 0x30},
                                            {0xf0, 0x0f, 0x06}};
    for (unsigned i = 0; i < COUNT(privileged); i++) {
        struct snippet snippet = code_write(mode, privileged[i], 4);
        code_run(mode, &snippet, 3, fault(VECTOR_UD, 0));
    }
    case_end();
}

/* --- all of it */

static void everything(enum mode mode, const char *place)
{
    fifteen_bytes(mode, place);
    one_prefix(mode, place);
    lock(mode, place);
    holes(mode, place);
}

static void protected_mode(void)
{
    everything(REAL, "real mode");
    everything(V86, "virtual-8086 mode");
    everything(PROTECTED_16, "16-bit protected mode");
    everything(CODE_32, "protected mode");
    segment_limit(PROTECTED_16, "16-bit protected mode");
    segment_limit(CODE_32, "protected mode");
}

static void long_mode(void)
{
    static const char *const places[] = {
        [CODE_32] = "compatibility mode", [CODE_64] = "64-bit mode"};

    for (enum mode mode = CODE_32; mode <= CODE_64; mode++) {
        everything(mode, places[mode]);
        page_edge(mode, places[mode]);
        before_operands(mode, places[mode]);
    }
}

const struct topic topic = {"encodings", protected_mode, long_mode};
