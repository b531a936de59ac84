/* Topic: control registers, debug registers as registers, XCR0, table registers: which values may
 * be written in which mode, and what is read back.
 */
#include "system.h"

#define CR0_WRITABLE 0xe005002eu /* MP EM TS NE WP AM NW CD PG: PE is always one here */
#define CR0_ET       (1u << 4)
#define CR0_NW       (1u << 29)
#define CR0_CD       (1u << 30)
#define CR0_PG       (1u << 31)

#define NOT_CANONICAL UINT64_C(0x0000800000000000)

enum { CR4_PAE = 1 << 5, CR4_LA57 = 1 << 12, CR4_PCIDE = 1 << 17, CR4_DE = 1 << 3, CR4_BITS = 32 };
enum { OPERAND = FREE_BASE, BEFORE = FREE_BASE + 0x20, AFTER = FREE_BASE + 0x40 };

static bool is_canonical(uint64_t address)
{
    return address >> 47 == 0 || address >> 47 == 0x1ffff;
}

/* --- CR0: RAX is tried, RCX is what it became, RBX what it was */

SNIPPET(32, cr0_32, "mov %eax, %cr0; mov %cr0, %ecx; mov %ebx, %cr0");
SNIPPET(64, cr0_64, "mov %rax, %cr0; mov %cr0, %rcx; mov %rbx, %cr0");
SNIPPET(32, lmsw_32, "lmsw %ax; mov %cr0, %ecx; mov %ebx, %cr0");
SNIPPET(64, lmsw_64, "lmsw %ax; mov %cr0, %rcx; mov %rbx, %cr0");
SNIPPET(32, clts_32, "clts; mov %cr0, %ecx");

static void try_cr0(uint64_t value)
{
    const struct snippet *snippet = in_long_mode() ? &cr0_64 : &cr0_32;
    struct state start = start_at(snippet, 0);
    bool legal = !(value >> 32) && value & CR0_PE && !(value & CR0_NW && !(value & CR0_CD)) &&
                 (!in_long_mode() || value & CR0_PG);

    start.gpr[RAX] = value;
    start.gpr[RBX] = read_cr0();
    struct state end =
        case_attempt(snippet, &start, legal ? ENDS : fault(VECTOR_GP, 0), "CR0 %llx", value);
    uint64_t expected = (value & (CR0_WRITABLE | CR0_PE | CR0_PG)) | CR0_ET;
    if (legal)
        case_check(end.gpr[RCX] == expected, "CR0 %llx reads as %llx", value, end.gpr[RCX]);
}

static void check_cr0(void)
{
    const uint64_t paging = in_long_mode() ? CR0_PG : 0; /* turning it on needs tables */

    case_begin_in("2B MOV", "MOV to CR0: combinations that may be written",
                  in_long_mode() ? "long mode" : "protected mode");
    for (uint32_t n = 0; n < 1 << 9; n++) {
        static const uint8_t bits[] = {1, 2, 3, 4, 5, 16, 18, 29, 30};
        uint64_t value = CR0_PE | paging;
        for (unsigned i = 0; i < sizeof bits; i++)
            value |= (uint64_t)(n >> i & 1) << bits[i];
        try_cr0(value);
    }
    for (unsigned bit = 6; bit < (in_long_mode() ? 64 : 29); bit++)
        if (bit < 29 || bit > 31)
            try_cr0(CR0_PE | paging | UINT64_C(1) << bit); /* reserved */
    if (in_long_mode())
        try_cr0(CR0_PE);
    case_end();
}

static void paging_needs_protection(void)
{
    struct state start = start_at(&cr0_32, 0);

    start.gpr[RAX] = CR0_PG;
    start.gpr[RBX] = read_cr0();
    expect("3A 2.5", "CR0.PG needs CR0.PE", &cr0_32, &start, fault(VECTOR_GP, 0));
}

static void check_lmsw(void)
{
    const struct snippet *snippet = in_long_mode() ? &lmsw_64 : &lmsw_32;

    case_begin_in("2A LMSW", "LMSW writes four bits, and cannot clear PE",
                  in_long_mode() ? "long mode" : "protected mode");
    for (unsigned value = 0; value < 0x10000; value = value < 0x100 ? value + 1 : value * 2) {
        struct state start = start_at(snippet, 0);
        start.gpr[RAX] = value;
        start.gpr[RBX] = read_cr0();
        struct state end = case_attempt(snippet, &start, ENDS, "LMSW %x", value);
        case_check(end.gpr[RCX] == ((read_cr0() & ~0xeu) | (value & 0xe)), "LMSW %x: CR0 %llx",
                   value, end.gpr[RCX]);
    }
    for (unsigned cpl = 1; cpl <= 3; cpl++) {
        struct state start = start_at(snippet, cpl);
        case_attempt(snippet, &start, fault(VECTOR_GP, 0), "CPL %u", cpl);
    }
    case_end();
}

static void check_clts(void)
{
    case_begin("2A CLTS", "CLTS clears TS alone, at CPL 0");
    write_cr0(read_cr0() | 0xe);
    struct state start = start_at(&clts_32, 0);
    struct state end = case_attempt(&clts_32, &start, ENDS, "CLTS");
    case_check((end.gpr[RCX] & 0xe) == 6, "CR0 %llx", end.gpr[RCX]);
    start = start_at(&clts_32, 3);
    case_attempt(&clts_32, &start, fault(VECTOR_GP, 0), "CPL 3");
    case_end();
}

/* --- CR3 and CR8 */

SNIPPET(64, cr3_64, "mov %rax, %cr3; mov %cr3, %rcx; mov %rbx, %cr3");
SNIPPET(64, cr8_64, "mov %rax, %cr8; mov %cr8, %rcx; mov %rbx, %cr8");

static void check_cr3(void)
{
    unsigned width = cpuid(0x80000008, 0, CPUID_EAX) & 0xff;

    case_begin("2B MOV", "MOV to CR3: bits from MAXPHYADDR on are reserved");
    for (unsigned bit = 0; bit < 64; bit++) {
        if (bit >= 12 && bit < width)
            continue; /* other tables */
        struct state start = start_at(&cr3_64, 0);
        bool legal = bit < 12;
        start.gpr[RAX] = PAGE_TABLES | UINT64_C(1) << bit;
        start.gpr[RBX] = PAGE_TABLES;
        struct state end =
            case_attempt(&cr3_64, &start, legal ? ENDS : fault(VECTOR_GP, 0), "bit %u", bit);
        if (bit == 3 || bit == 4) /* PWT, PCD */
            case_check(end.gpr[RCX] == start.gpr[RAX], "CR3 %llx", end.gpr[RCX]);
    }
    case_end();
}

static void check_cr8(void)
{
    case_begin("2B MOV", "MOV to CR8: four bits");
    for (unsigned bit = 0; bit < 64; bit++) {
        struct state start = start_at(&cr8_64, 0);
        start.gpr[RAX] = UINT64_C(1) << bit;
        struct state end =
            case_attempt(&cr8_64, &start, bit < 4 ? ENDS : fault(VECTOR_GP, 0), "bit %u", bit);
        if (bit < 4)
            case_check(end.gpr[RCX] == start.gpr[RAX], "CR8 %llx", end.gpr[RCX]);
    }
    case_end();
}

/* --- CR4 */

SNIPPET(32, cr4_32, "mov %eax, %cr4; mov %cr4, %ecx; mov %ebx, %cr4");
SNIPPET(64, cr4_64, "mov %rax, %cr4; mov %cr4, %rcx; mov %rbx, %cr4");

/* By bit of CR4: where CPUID offers it. */
static const struct {
    uint32_t leaf;
    uint8_t reg, bit;
} cr4_offers[CR4_BITS] = {
    [0] = {1, CPUID_EDX, 1},   [1] = {1, CPUID_EDX, 1},   [2] = {1, CPUID_EDX, 4},
    [3] = {1, CPUID_EDX, 2},   [4] = {1, CPUID_EDX, 3},   [5] = {1, CPUID_EDX, 6},
    [6] = {1, CPUID_EDX, 7},   [7] = {1, CPUID_EDX, 13},  [8] = {1, CPUID_EDX, 5},
    [9] = {1, CPUID_EDX, 24},  [10] = {1, CPUID_EDX, 25}, [11] = {7, CPUID_ECX, 2},
    [12] = {7, CPUID_ECX, 16}, [13] = {1, CPUID_ECX, 5},  [14] = {1, CPUID_ECX, 6},
    [16] = {7, CPUID_EBX, 0},  [17] = {1, CPUID_ECX, 17}, [18] = {1, CPUID_ECX, 26},
    [20] = {7, CPUID_EBX, 7},  [21] = {7, CPUID_EBX, 20}, [22] = {7, CPUID_ECX, 3},
    [23] = {7, CPUID_ECX, 7},  [24] = {7, CPUID_ECX, 31},
};

static bool cr4_has(unsigned bit)
{
    return bit < CR4_BITS && cr4_offers[bit].leaf &&
           cpuid(cr4_offers[bit].leaf, 0, cr4_offers[bit].reg) >> cr4_offers[bit].bit & 1;
}

static void try_cr4(uint64_t value, bool legal)
{
    const struct snippet *snippet = in_long_mode() ? &cr4_64 : &cr4_32;
    struct state start = start_at(snippet, 0);

    start.gpr[RAX] = value;
    start.gpr[RBX] = read_cr4();
    struct state end =
        case_attempt(snippet, &start, legal ? ENDS : fault(VECTOR_GP, 0), "CR4 %llx", value);
    if (legal)
        case_check(end.gpr[RCX] == value, "CR4 %llx reads as %llx", value, end.gpr[RCX]);
}

static void check_cr4(void)
{
    case_begin_in("2B MOV", "MOV to CR4: each bit exists if CPUID offers it",
                  in_long_mode() ? "long mode" : "protected mode");
    for (unsigned bit = 0; bit < (in_long_mode() ? 64 : 32); bit++) {
        uint64_t change = UINT64_C(1) << bit;
        /* SMEP would forbid the snippet its own page. */
        if (bit == 20 && in_long_mode())
            continue;
        bool legal = cr4_has(bit);
        if (in_long_mode() && (change == CR4_PAE || change == CR4_LA57))
            legal = false;
        if (!in_long_mode() && change == CR4_PCIDE)
            legal = false;
        try_cr4(read_cr4() ^ change, legal);
    }
    case_end();
}

static void check_pcide(void)
{
    case_begin("3A 4.10.1", "CR4.PCIDE can be set only while CR3 names PCID 0");
    for (unsigned bit = 0; bit < 12; bit++) {
        write_cr3(PAGE_TABLES | 1 << bit);
        try_cr4(read_cr4() | CR4_PCIDE, false);
    }
    write_cr3(PAGE_TABLES);
    try_cr4(read_cr4() | CR4_PCIDE, true);
    case_end();
    case_begin("2B MOV", "paging stays on while CR4.PCIDE is set");
    write_cr4(read_cr4() | CR4_PCIDE);
    struct state start = start_at(&cr0_32, 0);
    start.gpr[RAX] = read_cr0() & ~CR0_PG;
    start.gpr[RBX] = read_cr0();
    case_attempt(&cr0_32, &start, fault(VECTOR_GP, 0), "in compatibility mode");
    case_end();
}

/* --- numbers that do not exist, and privilege */

SNIPPET(64, from_cr, "mov %cr0, %rcx");
SNIPPET(64, to_cr, "mov %rcx, %cr0");
SNIPPET(64, from_dr, "mov %db0, %rcx");
SNIPPET(64, to_dr, "mov %rcx, %db0");

/* The snippet's instruction with another register number: its REX prefix and ModRM byte. */
static struct state start_with_number(const struct snippet *snippet, unsigned number, unsigned cpl)
{
    static uint8_t *const code = (uint8_t *)OPERAND;
    struct state start = start_at(snippet, cpl);
    unsigned bytes = 0;

    code[bytes++] = 0x48 | (number & 8 ? 4 : 0);
    for (const uint8_t *at = snippet->start; at < snippet->end; at++)
        code[bytes++] = *at;
    code[bytes - 1] |= (number & 7) << 3;
    code[bytes++] = 0x0f; /* UD2 */
    code[bytes++] = 0x0b;
    start.ip = OPERAND;
    return start;
}

static void check_number(const struct snippet *snippet, unsigned number, unsigned cpl, bool exists)
{
    struct state start = start_with_number(snippet, number, cpl);
    struct state end = attempt(&start);
    bool at_start = end.ip == start.ip, done = end.vector == VECTOR_UD && !at_start;

    if (!exists)
        case_check(end.vector == VECTOR_UD && at_start, "number %u, CPL %u: vector %llx at %llx",
                   number, cpl, end.vector, end.ip);
    else if (cpl)
        case_check(end.vector == VECTOR_GP && at_start && !end.error,
                   "number %u, CPL %u: vector %llx", number, cpl, end.vector);
    else
        case_check(done, "number %u: vector %llx", number, end.vector);
}

static void check_numbers(void)
{
    case_begin("2B MOV", "CR0, CR2, CR3, CR4 and CR8 exist, for CPL 0");
    for (unsigned number = 0; number < 16; number++) {
        bool exists = number == 0 || (number >= 2 && number <= 4) || number == 8;
        for (unsigned cpl = 0; cpl <= 3; cpl++)
            check_number(&from_cr, number, cpl, exists);
        if (!exists)
            check_number(&to_cr, number, 0, false);
    }
    case_end();
    case_begin("3B 18.2.2", "DR8 to DR15 do not exist, DR4 and DR5 not with CR4.DE");
    for (unsigned number = 0; number < 16; number++) {
        bool alias = number == 4 || number == 5;
        write_cr4(read_cr4() & ~(uint32_t)CR4_DE);
        check_number(&from_dr, number, 0, number < 8);
        if (number >= 8)
            check_number(&to_dr, number, 0, false);
        if (number < 8)
            check_number(&from_dr, number, 3, true);
        write_cr4(read_cr4() | CR4_DE);
        check_number(&from_dr, number, 0, number < 8 && !alias);
    }
    case_end();
}

/* --- debug registers as registers */

SNIPPET(64, dr6_64, "mov %rax, %db6; mov %db6, %rcx");
SNIPPET(64, dr7_64, "mov %rax, %db7; mov %db7, %rcx; mov %rbx, %db7");
SNIPPET(64, dr0_64, "mov %rax, %db0; mov %db0, %rcx");

static void try_dr(const struct snippet *snippet, uint64_t value, uint64_t expected, bool legal)
{
    struct state start = start_at(snippet, 0);

    start.gpr[RAX] = value;
    start.gpr[RBX] = DR7_RESET;
    struct state end =
        case_attempt(snippet, &start, legal ? ENDS : fault(VECTOR_GP, 0), "%llx", value);
    if (legal)
        case_check(end.gpr[RCX] == expected, "%llx reads as %llx", value, end.gpr[RCX]);
}

static void check_debug_values(void)
{
    case_begin("3B 18.2.3", "DR6: fixed bits, and the upper half is reserved");
    for (unsigned bit = 0; bit < 64; bit++) {
        const uint32_t writable = 0xe00f;
        uint64_t value = UINT64_C(1) << bit;
        try_dr(&dr6_64, value, 0xffff0ff0u | (value & writable), bit < 32);
        try_dr(&dr6_64, (uint32_t)~value, 0xffff0ff0u | (~value & writable), true);
    }
    case_end();
    case_begin("3B 18.2.4", "DR7: fixed bits, and the upper half is reserved");
    for (unsigned bit = 0; bit < 64; bit++) {
        const uint32_t zero = 0xd800; /* bits 11, 12 (RTM and what is behind it), 14, 15 */
        uint64_t value = UINT64_C(1) << bit;
        if (bit == 13)
            continue; /* GD: the reading faults */
        try_dr(&dr7_64, value, 0x400 | (value & ~(uint64_t)zero), bit < 32);
    }
    case_end();
    case_begin("3B 18.2.1", "DR0 to DR3 hold any 64 bits");
    for (unsigned bit = 0; bit < 64; bit++)
        try_dr(&dr0_64, UINT64_C(1) << bit, UINT64_C(1) << bit, true);
    try_dr(&dr0_64, NOT_CANONICAL, NOT_CANONICAL, true);
    case_end();
}

/* --- XCR0 */

SNIPPET(64, xsetbv_64, "xsetbv; xgetbv");
SNIPPET(64, xgetbv_64, "xgetbv");

static void try_xcr(unsigned number, uint64_t value, unsigned cpl, struct verdict expected)
{
    struct state start = start_at(&xsetbv_64, cpl);

    start.gpr[RCX] = number;
    start.gpr[RAX] = (uint32_t)value;
    start.gpr[RDX] = value >> 32;
    struct state end =
        case_attempt(&xsetbv_64, &start, expected, "XCR%u %llx, CPL %u", number, value, cpl);
    if (expected.vector == ENDS.vector)
        case_check((end.gpr[RDX] << 32 | end.gpr[RAX]) == value, "reads as %llx%08llx",
                   end.gpr[RDX], end.gpr[RAX]);
}

static void check_xcr0(void)
{
    enum { X87 = 1, SSE = 2, AVX = 4 };
    uint64_t offered = (uint64_t)cpuid(0xd, 0, CPUID_EDX) << 32 | cpuid(0xd, 0, CPUID_EAX);

    if (!offered)
        return;
    case_begin("1 13.3", "XSETBV takes what CPUID offers, with x87, and AVX with SSE");
    write_cr4(read_cr4() | CR4_OSXSAVE);
    for (unsigned n = 0; n < 64; n++) {
        uint64_t values[] = {n & 15, UINT64_C(1) << n | X87};
        for (unsigned i = 0; i < 2; i++) {
            uint64_t value = values[i];
            bool legal = value & X87 && !(value & ~offered) && !(value & AVX && !(value & SSE)) &&
                         !(value & ~(uint64_t)(X87 | SSE | AVX));
            try_xcr(0, value, 0, legal ? ENDS : fault(VECTOR_GP, 0));
        }
    }
    try_xcr(1, X87, 0, fault(VECTOR_GP, 0));
    try_xcr(0x80000000, X87, 0, fault(VECTOR_GP, 0));
    for (unsigned cpl = 1; cpl <= 3; cpl++)
        try_xcr(0, X87, cpl, fault(VECTOR_GP, 0));
    try_xcr(0, X87 | SSE, 0, ENDS);
    write_cr4(read_cr4() & ~(uint32_t)CR4_OSXSAVE);
    try_xcr(0, X87, 0, fault(VECTOR_UD, 0));
    try_xcr(0, X87, 3, fault(VECTOR_UD, 0));
    case_end();

    case_begin("2D XGETBV", "XGETBV reads XCR0, and what is in use, at any CPL");
    write_cr4(read_cr4() | CR4_OSXSAVE);
    for (unsigned number = 0; number < 4; number++) {
        struct state start = start_at(&xgetbv_64, 3);
        bool legal = number == 0 || (number == 1 && cpuid(0xd, 1, CPUID_EAX) & 4);
        start.gpr[RCX] = number;
        case_attempt(&xgetbv_64, &start, legal ? ENDS : fault(VECTOR_GP, 0), "XCR%u", number);
    }
    case_end();
}

/* --- table registers: a base must be canonical */

/* GDTR or IDTR at RAX, what it became to RDX, what it was at RBX. */
SNIPPET(64, lgdt_64, "lgdt (%rax); sgdt (%rdx); lgdt (%rbx)");
SNIPPET(64, lidt_64, "lidt (%rax); sidt (%rdx); lidt (%rbx)");
SNIPPET(64, lldt_64, "lldt %ax");
SNIPPET(64, ltr_64, "ltr %ax; ltr %bx"); /* back to one that exceptions can use */

static uint64_t edge(unsigned n)
{
    static const uint64_t edges[] = {
        0,
        UINT64_C(0x00007fffffffffff),
        NOT_CANONICAL,
        UINT64_C(0xffff7fffffffffff),
        UINT64_C(0xffff800000000000),
        UINT64_C(0xffffffffffffffff),
    };
    enum { EDGES = sizeof edges / sizeof edges[0] };

    return n < EDGES ? edges[n] : UINT64_C(1) << (n - EDGES);
}
enum { EDGES_AND_BITS = 6 + 64 };

static void check_table_register(const struct snippet *snippet, const char *name, uint32_t base,
                                 uint16_t limit)
{
    case_begin("2A LGDT", name);
    *word_at(BEFORE) = limit;
    *qword_at(BEFORE + 2) = base;
    *word_at(OPERAND) = 0x1234;
    for (unsigned n = 0; n < EDGES_AND_BITS; n++) {
        struct state start = start_at(snippet, 0);
        bool legal = is_canonical(edge(n));
        start.gpr[RAX] = OPERAND;
        start.gpr[RDX] = AFTER;
        start.gpr[RBX] = BEFORE;
        *qword_at(OPERAND + 2) = edge(n);
        *qword_at(AFTER + 2) = 0;
        case_attempt(snippet, &start, legal ? ENDS : fault(VECTOR_GP, 0), "base %llx", edge(n));
        if (legal)
            case_check(*word_at(AFTER) == 0x1234 && *qword_at(AFTER + 2) == edge(n),
                       "base %llx is stored as %llx", edge(n), *qword_at(AFTER + 2));
    }
    case_end();
}

static void check_descriptor_base(const struct snippet *snippet, const char *name, unsigned access)
{
    case_begin("3A 3.5.2", name);
    for (unsigned n = 0; n < EDGES_AND_BITS; n++) {
        struct state start = start_at(snippet, 0);
        uint64_t base = edge(n);
        gdt_set(SEL_SCRATCH, descriptor((uint32_t)base, 0x67, access, 0));
        gdt_set(SEL_SCRATCH + 8, base >> 32);
        gdt_set(SEL_TSS64, descriptor(TSS_64, 0x67, TSS_FREE, 0)); /* it is busy */
        start.gpr[RAX] = SEL_SCRATCH;
        start.gpr[RBX] = SEL_TSS64;
        bool legal = is_canonical(base);
        case_attempt(snippet, &start, legal ? ENDS : fault(VECTOR_GP, SEL_SCRATCH), "base %llx",
                     base);
        tables_reset();
    }
    case_end();
}

static void protected_mode(void)
{
    check_cr0();
    paging_needs_protection();
    check_lmsw();
    check_clts();
    check_cr4();
}

static void long_mode(void)
{
    check_cr0();
    check_lmsw();
    check_cr3();
    check_cr8();
    check_cr4();
    check_pcide();
    check_numbers();
    check_debug_values();
    check_xcr0();
    check_table_register(&lgdt_64, "LGDT wants a canonical base", GDT, GDT_LIMIT);
    check_table_register(&lidt_64, "LIDT wants a canonical base", IDT, 16 * VECTORS - 1);
    check_descriptor_base(&lldt_64, "LLDT wants a canonical base", LDT_KIND);
    check_descriptor_base(&ltr_64, "LTR wants a canonical base", TSS_FREE);
}

const struct topic topic = {"control-register", protected_mode, long_mode};
