/* Topic: breakpoints on instructions, data and ports, and general detect, against a model written
 * from SDM 3B §18.2.
 */
#include "debug.h"

enum { OPERAND = FREE_BASE + 0x800, PAGE_END = FREE_BASE + 0x1000, PORT = 0xe0 };
enum { CR4_DE = 1 << 3, DR7_GLOBAL = 2, DR7_GD = 1 << 13 };

static void set_address(unsigned n, uint32_t address)
{
    static void (*const writers[])(uint32_t) = {write_dr0, write_dr1, write_dr2, write_dr3};

    writers[n](address);
}

/* --- data: each length and alignment against each size and alignment of an access */

SNIPPET(64, load_8, "mov (%rax), %cl");
SNIPPET(64, load_16, "mov (%rax), %cx");
SNIPPET(64, load_32, "mov (%rax), %ecx");
SNIPPET(64, load_64, "mov (%rax), %rcx");
SNIPPET(64, store_8, "mov %cl, (%rax)");
SNIPPET(64, store_16, "mov %cx, (%rax)");
SNIPPET(64, store_32, "mov %ecx, (%rax)");
SNIPPET(64, store_64, "mov %rcx, (%rax)");
SNIPPET(64, modify_8, "incb (%rax)");
SNIPPET(64, modify_16, "lock incw (%rax)");
SNIPPET(64, modify_32, "incl (%rax)");
SNIPPET(64, modify_64, "xchg %rcx, (%rax)");
SNIPPET(64, load_128, "movups (%rax), %xmm0");
SNIPPET(64, store_128, "movups %xmm0, (%rax)");

static const struct operation {
    const struct snippet *snippet;
    uint8_t bytes;
    bool reads, writes;
} operations[] = {
    {&load_8, 1, true, false},     {&load_16, 2, true, false},   {&load_32, 4, true, false},
    {&load_64, 8, true, false},    {&load_128, 16, true, false}, {&store_8, 1, false, true},
    {&store_16, 2, false, true},   {&store_32, 4, false, true},  {&store_64, 8, false, true},
    {&store_128, 16, false, true}, {&modify_8, 1, true, true},   {&modify_16, 2, true, true},
    {&modify_32, 4, true, true},   {&modify_64, 8, true, true},
};
enum { OPERATIONS = sizeof operations / sizeof operations[0] };
static const uint8_t lengths[] = {1, 2, 4, 8};

/* SDM 3B 18.2.5: the address bits below the length are ignored. */
static bool overlaps(uint32_t address, unsigned bytes, uint32_t watched, unsigned length)
{
    watched &= ~(length - 1);
    return address < watched + length && watched < address + bytes;
}

static void data_access(const struct operation *operation, unsigned n, unsigned kind,
                        unsigned length, uint32_t watched, uint32_t address)
{
    const struct snippet *snippet = operation->snippet;
    struct state start = start_at(snippet, 3);
    bool hit = overlaps(address, operation->bytes, watched, length) &&
               (operation->writes || kind == BREAK_ACCESS);

    set_address(n, watched);
    start.gpr[RAX] = address;
    struct state end = debugged(&start, dr7_of(n, kind, length));
    uint32_t bits = read_dr6() & DR6_BITS;
    bool right =
        hit ? end.vector == VECTOR_DB && bits == 1u << n : end.vector == VECTOR_UD && !bits;
    case_check(
        right && end.ip == (uint32_t)snippet->end,
        "%u bytes at %x%s%s, breakpoint %u on %u bytes at %x, kind %u: vector %llx at +%llx, "
        "DR6 %x, expected %s",
        operation->bytes, address, operation->reads ? " read" : "",
        operation->writes ? " written" : "", n, length, watched, kind, end.vector,
        end.ip - start.ip, bits, hit ? "#DB" : "none");
}

static void data_product(void)
{
    enum { CR4_OSFXSR = 1 << 9 };

    case_begin("3B 18.2.5", "data breakpoints of each length and alignment");
    write_cr4(read_cr4() | CR4_OSFXSR);
    for (unsigned i = 0; i < OPERATIONS; i++)
        for (unsigned length = 0; length < 4; length++)
            for (unsigned at = 0; at < 8; at++)
                for (int offset = -16; offset <= 8; offset++)
                    for (unsigned kind = BREAK_WRITE; kind <= BREAK_ACCESS; kind += 2)
                        data_access(&operations[i], at & 3, kind, lengths[length], OPERAND + at,
                                    OPERAND + (uint32_t)offset);
    case_end();

    case_begin("3B 18.2.5", "data breakpoints where an access crosses into another page");
    write_cr4(read_cr4() | CR4_OSFXSR);
    for (unsigned i = 0; i < OPERATIONS; i++)
        for (int at = -8; at < 8; at++)
            for (int offset = -15; offset <= 0; offset++)
                data_access(&operations[i], 0, BREAK_ACCESS, 1, PAGE_END + (uint32_t)at,
                            PAGE_END + (uint32_t)offset);
    case_end();
}

SNIPPET(64, movs, "movsb; nop");
SNIPPET(64, rep_movs, "rep movsb; nop");
SNIPPET(64, pushes, "push %rax; nop");
SNIPPET(64, calls, "call 1f; nop; 1: nop");
SNIPPET(64, bad_store, "movsb");

/* The trap is expected `offset` bytes into the snippet. */
static void hit_at(const char *what, const struct state *start, const struct state *end,
                   unsigned offset, uint32_t bits)
{
    uint32_t dr6 = read_dr6();

    case_check(end->vector == VECTOR_DB && end->ip == start->ip + offset &&
                   (dr6 & DR6_BITS) == bits,
               "%s: vector %llx at +%llx, DR6 %x; expected #DB at +%x, bits %x", what, end->vector,
               end->ip - start->ip, dr6, offset, bits);
}

static void data_by_instruction(void)
{
    case_begin("3B 18.3.1.2", "several data breakpoints of one instruction are one trap");
    struct state start = start_at(&movs, 0);
    start.gpr[RSI] = OPERAND;
    start.gpr[RDI] = OPERAND + 8;
    write_dr0(OPERAND);
    write_dr1(OPERAND + 8);
    write_dr2(OPERAND + 16);
    uint32_t both = dr7_of(0, BREAK_ACCESS, 1) | dr7_of(1, BREAK_WRITE, 1);
    struct state end = debugged(&start, both | dr7_of(2, BREAK_ACCESS, 8));
    hit_at("MOVS", &start, &end, 1, 3);
    start.flags |= FLAG_TF;
    end = debugged(&start, both);
    hit_at("MOVS with TF", &start, &end, 1, 3 | DR6_BS);
    case_end();

    case_begin("3B 18.3.1.2", "a repeated string traps after the iteration that hits");
    start = start_at(&rep_movs, 0);
    start.gpr[RSI] = OPERAND;
    start.gpr[RDI] = OPERAND + 0x100;
    start.gpr[RCX] = 8;
    write_dr0(OPERAND + 2);
    end = debugged(&start, dr7_of(0, BREAK_ACCESS, 1));
    hit_at("REP MOVS", &start, &end, 0, 1);
    case_check(end.gpr[RCX] == 5 && end.flags & FLAG_RF, "RCX %llx, flags %llx", end.gpr[RCX],
               end.flags);
    case_end();

    case_begin("3B 18.3.1.2", "what an instruction pushes is data");
    start = start_at(&pushes, 0);
    write_dr0((uint32_t)start.gpr[RSP] - 8);
    end = debugged(&start, dr7_of(0, BREAK_WRITE, 8));
    hit_at("PUSH", &start, &end, 1, 1);
    start = start_at(&calls, 0);
    end = debugged(&start, dr7_of(0, BREAK_WRITE, 8));
    hit_at("CALL", &start, &end, 6, 1);
    case_end();

    case_begin("3B 18.3.1.2", "an instruction that faults has hit nothing");
    *qword_at(PAGE_TABLES + 0x2000 + 8 * 8) = 0; /* 2 MiB from 16 MiB on */
    write_cr3(PAGE_TABLES);
    start = start_at(&bad_store, 0);
    start.gpr[RSI] = OPERAND;
    start.gpr[RDI] = 0x1000000;
    write_dr0(OPERAND);
    end = debugged(&start, dr7_of(0, BREAK_ACCESS, 1));
    case_check(end.vector == VECTOR_PF && !(read_dr6() & DR6_BITS), "vector %llx, DR6 %x",
               end.vector, read_dr6());
    case_end();
}

/* --- instructions */

SNIPPET(64, nops, "nop; nop; nop");
SNIPPET(64, long_nop, "nopl 0(%rax); nop");
SNIPPET(64, undefined, "ud2");
SNIPPET(64, jumps, "jmp 1f; nop; 1: nop");
SNIPPET(32, nops_32, "nop; nop; nop");

static void instructions(void)
{
    case_begin("3B 18.3.1.1", "an instruction breakpoint is a fault, whichever register has it");
    for (unsigned n = 0; n < 4; n++) {
        for (unsigned global = 0; global < 2; global++) {
            for (unsigned at = 0; at < 3; at++) {
                for (unsigned bits = 0; bits < 2; bits++) {
                    const struct snippet *snippet = bits ? &nops_32 : &nops;
                    struct state start = start_at(snippet, 3);
                    set_address((n + 3) & 3, 0); /* DR6 may tell of those that are off, too */
                    set_address(n, (uint32_t)start.ip + at);
                    struct state end =
                        debugged(&start, dr7_of(n, BREAK_EXECUTE, 1) << (global ? 1 : 0));
                    hit_at("NOP", &start, &end, at, 1u << n);
                }
            }
        }
    }
    struct state start = start_at(&nops, 3);
    write_dr0((uint32_t)start.ip);
    struct state end = debugged(&start, 0);
    case_compare(&nops, &start, &end, ENDS, "not enabled");
    case_check(!(read_dr6() & DR6_BITS), "DR6 %x", read_dr6());
    start = start_at(&jumps, 0);
    write_dr0((uint32_t)start.ip + 3);
    end = debugged(&start, dr7_of(0, BREAK_EXECUTE, 1));
    hit_at("the target of a jump", &start, &end, 3, 1);
    case_end();

    case_begin("3B 18.2.5", "an instruction breakpoint is on the first byte");
    for (unsigned at = 1; at < 3; at++) {
        start = start_at(&long_nop, 0);
        write_dr0((uint32_t)start.ip + at);
        end = debugged(&start, dr7_of(0, BREAK_EXECUTE, 1));
        case_compare(&long_nop, &start, &end, ENDS, "byte %u", at);
    }
    case_end();

    case_begin("3A 6.9", "an instruction breakpoint comes before the faults of the instruction");
    start = start_at(&undefined, 0);
    write_dr0((uint32_t)start.ip);
    end = debugged(&start, dr7_of(0, BREAK_EXECUTE, 1));
    hit_at("UD2", &start, &end, 0, 1);
    *qword_at(PAGE_TABLES + 0x2000 + 8 * 8) = 0;
    write_cr3(PAGE_TABLES);
    start.ip = 0x1000000;
    write_dr0(0x1000000);
    end = debugged(&start, dr7_of(0, BREAK_EXECUTE, 1));
    hit_at("a page that is not present", &start, &end, 0, 1);
    case_end();
}

/* SDM 3B 18.3.1.1: without RF's being set between iterations the string would stop at each. */
static void on_string(void)
{
    case_begin("3B 18.3.1.1", "a breakpoint on a repeated string is hit once");
    struct state start = start_at(&rep_movs, 0);
    start.gpr[RSI] = OPERAND;
    start.gpr[RDI] = OPERAND + 0x100;
    start.gpr[RCX] = 8;
    write_dr0((uint32_t)start.ip);
    struct state end = debugged(&start, dr7_of(0, BREAK_EXECUTE, 1));
    hit_at("REP MOVS", &start, &end, 0, 1);
    case_check(end.gpr[RCX] == 8, "RCX %llx", end.gpr[RCX]);
    start.flags |= FLAG_RF;
    end = debugged(&start, dr7_of(0, BREAK_EXECUTE, 1));
    case_compare(&rep_movs, &start, &end, ENDS, "with RF");
    case_check(end.gpr[RCX] == 0, "RCX %llx", end.gpr[RCX]);
    case_end();
}

/* --- ports */

SNIPPET(64, in_8, "in %dx, %al");
SNIPPET(64, in_16, "in %dx, %ax");
SNIPPET(64, in_32, "in %dx, %eax");
SNIPPET(64, out_8, "out %al, %dx");
SNIPPET(64, out_16, "out %ax, %dx");
SNIPPET(64, out_32, "out %eax, %dx");
SNIPPET(64, rep_outs, "rep outsb");

static void ports(void)
{
    static const struct snippet *const snippets[] = {&in_8,  &in_16,  &in_32,
                                                     &out_8, &out_16, &out_32};

    case_begin("3B 18.2.5", "I/O breakpoints of each length and alignment, with CR4.DE");
    write_cr4(read_cr4() | CR4_DE);
    for (unsigned i = 0; i < 6; i++) {
        for (unsigned length = 0; length < 3; length++) {
            for (unsigned at = 0; at < 4; at++) {
                for (unsigned offset = 0; offset < 8; offset++) {
                    struct state start = start_at(snippets[i], 0);
                    uint32_t watched = PORT + 4 + at, port = PORT + offset;
                    bool hit = overlaps(port, 1 << i % 3, watched, lengths[length]);
                    start.gpr[RDX] = port;
                    set_address(at, watched);
                    struct state end = debugged(&start, dr7_of(at, BREAK_IO, lengths[length]));
                    uint32_t bits = read_dr6() & DR6_BITS;
                    case_check(end.ip == (uint32_t)snippets[i]->end &&
                                   end.vector == (hit ? VECTOR_DB : VECTOR_UD) &&
                                   bits == (hit ? 1u << at : 0),
                               "%s of %u at %x, breakpoint on %u at %x: vector %llx, DR6 %x",
                               i < 3 ? "IN" : "OUT", 1 << i % 3, port, lengths[length], watched,
                               end.vector, bits);
                }
            }
        }
    }
    struct state start = start_at(&rep_outs, 0);
    start.gpr[RDX] = PORT;
    start.gpr[RSI] = OPERAND;
    start.gpr[RCX] = 3;
    write_dr0(PORT);
    struct state end = debugged(&start, dr7_of(0, BREAK_IO, 1));
    hit_at("REP OUTS", &start, &end, 0, 1);
    case_check(end.gpr[RCX] == 2, "RCX %llx", end.gpr[RCX]);
    /* Memory is another space. */
    start = start_at(&load_8, 0);
    start.gpr[RAX] = OPERAND;
    write_dr0(OPERAND);
    end = debugged(&start, dr7_of(0, BREAK_IO, 1));
    case_compare(&load_8, &start, &end, ENDS, "an access to memory");
    case_end();
}

/* --- general detect, and what DR6 keeps */

SNIPPET(64, read_dr0_64, "mov %db0, %rcx");
SNIPPET(64, write_dr0_64, "mov %rcx, %db0");
SNIPPET(64, read_dr7_64, "mov %db7, %rcx");
SNIPPET(64, write_dr6_64, "mov %rcx, %db6");

static void general_detect(void)
{
    static const struct snippet *const snippets[] = {&read_dr0_64, &write_dr0_64, &read_dr7_64,
                                                     &write_dr6_64};

    case_begin("3B 18.3.1.3", "with DR7.GD any MOV of a debug register faults, and #DB clears GD");
    for (unsigned i = 0; i < 4; i++) {
        struct state start = start_at(snippets[i], 0);
        write_dr6(DR6_RESET);
        write_dr7(DR7_GD | DR7_RESET);
        struct state end = attempt(&start);
        bool cleared = !(read_dr7() & DR7_GD);
        hit_at("MOV DR", &start, &end, 0, DR6_BD);
        case_check(cleared && end.flags & FLAG_RF, "DR7.GD stays, or RF is not pushed: %llx",
                   end.flags);
    }
    case_end();
}

static void sticky(void)
{
    case_begin("3B 18.2.3", "#DB sets BS and BD, and never clears them");
    struct state start = start_at(&nops, 0);
    start.flags |= FLAG_TF;
    debugged(&start, 0);
    start = start_at(&nops, 0);
    write_dr3((uint32_t)start.ip);
    write_dr7(dr7_of(3, BREAK_EXECUTE, 1) | DR7_RESET);
    struct state end = attempt(&start);
    write_dr7(DR7_RESET);
    hit_at("a breakpoint after a step", &start, &end, 0, 8 | DR6_BS);
    case_end();
}

static void long_mode(void)
{
    data_product();
    data_by_instruction();
    instructions();
    on_string();
    ports();
    general_detect();
    sticky();
}

const struct topic topic = {"breakpoint", NULL, long_mode};
