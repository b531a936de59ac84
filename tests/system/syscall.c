/* Topic: SYSCALL, SYSRET, SYSENTER and SYSEXIT.
 *
 * Each leads to the end of its snippet.  Intel's SYSCALL is 64-bit code's alone; AMD's SYSENTER is
 * not long mode's.  Sources: SDM 2B SYSCALL, SYSRET, SYSENTER, SYSEXIT; 3A §5.8.7, §5.8.8; APM3 the
 * same. */
#include "model.h"

SNIPPETS(syscall, "syscall\n ud2");
SNIPPET(32, sysret_32, ".byte 0x0f, 0x07\n ud2");
SNIPPET(64, sysret_64, "sysretl\n ud2");
SNIPPET(64, sysret_64_qword, "sysretq\n ud2");
SNIPPETS(sysenter, "sysenter\n ud2");
SNIPPETS(sysexit, ".byte 0x0f, 0x35\n ud2");
SNIPPET(64, sysexit_64_qword, ".byte 0x48, 0x0f, 0x35\n ud2");

/* The selectors in the MSRs: nothing in the GDT is read, and there is nothing. */
enum { KERNEL = 0x7a00, USER = 0x7b00, INNER_STACK = FREE_BASE + 0x800 };
enum { TF = 0x100, IF = 0x200, IOPL_3 = 0x3000, ARITHMETIC = 0x8d5 };

static uint32_t address(const uint8_t *at)
{
    return (uint32_t)at;
}

/* Compares as code of a flat segment. */
static struct snippet flat(const struct snippet *snippet)
{
    struct snippet copy = *snippet;

    copy.bits = 32;
    return copy;
}

static void enable(const struct snippet *snippet)
{
    uint32_t end = address(snippet->end);

    wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_SCE);
    wrmsr(MSR_STAR, (uint64_t)(USER | 3) << 48 | (uint64_t)KERNEL << 32 | end);
    if (has_long_mode()) {
        wrmsr(MSR_LSTAR, end);
        wrmsr(MSR_CSTAR, end);
        wrmsr(MSR_SFMASK, 0);
    }
    wrmsr(MSR_SYSENTER_CS, KERNEL);
    wrmsr(MSR_SYSENTER_ESP, INNER_STACK);
    wrmsr(MSR_SYSENTER_EIP, end);
}

static struct state go(const struct snippet *snippet, const struct state *start,
                       struct verdict verdict, const char *what)
{
    struct snippet compared = flat(snippet);
    struct state end = attempt(start);

    case_compare(&compared, start, &end, verdict, "%s, CPL %u, flags %llx", what,
                 (unsigned)start->cs & 3, start->flags);
    return end;
}

static void check_segments(const struct state *end, unsigned cs, unsigned ss)
{
    case_check(end->cs == cs && end->ss == ss, "CS %04llx SS %04llx for %04x %04x", end->cs,
               end->ss, cs, ss);
}

static uint64_t flags_of(const struct state *end)
{
    return end->flags & ~(uint64_t)FLAG_RF;
}

/* --- SYSCALL */

static bool syscall_exists(unsigned bits)
{
    return bits == 64 || vendor_is_amd();
}

static void syscall_everywhere(const struct snippet *snippet, const char *place)
{
    static const uint32_t masks[] = {0, 0xffffffff, IF, ARITHMETIC, 0x47700, 0x1};
    static const uint32_t images[] = {0, ARITHMETIC, IF | IOPL_3, 0x2448d5 | IF};
    bool exists = syscall_exists(snippet->bits);

    case_begin_in("2B SYSCALL", "SYSCALL: CS, SS, RIP, RCX, R11 and the masked flags", place);
    for (unsigned i = 0; i < COUNT(masks) * COUNT(images) * 4; i++) {
        struct state start = start_at(snippet, i & 3);
        uint32_t mask = in_long_mode() ? masks[i / 4 / COUNT(images)] : IF;
        start.flags |= images[i / 4 % COUNT(images)];
        enable(snippet);
        if (in_long_mode())
            wrmsr(MSR_SFMASK, mask);
        struct state end = go(snippet, &start, exists ? ENDS : fault(VECTOR_UD, 0), "SYSCALL");
        if (!exists)
            continue;
        /* IRET to a 16-bit stack leaves the upper half of ESP. */
        uint64_t stack = snippet->bits == 16 ? end.gpr[RSP] & 0xffff : end.gpr[RSP];
        check_segments(&end, KERNEL, KERNEL + 8);
        case_check(end.gpr[RCX] == start.ip + 2 && stack == start.gpr[RSP], "RCX %llx, RSP %llx",
                   end.gpr[RCX], end.gpr[RSP]);
        if (in_long_mode())
            case_check(end.gpr[R11] == start.flags, "R11 %llx", end.gpr[R11]);
        case_check(flags_of(&end) == ((start.flags & ~(uint64_t)mask) | FLAG_FIXED), "flags %llx",
                   end.flags);
    }
    case_end();
}

static void syscall_selectors(const struct snippet *snippet, const char *place)
{
    if (!syscall_exists(snippet->bits))
        return;
    case_begin_in("2B SYSCALL", "SYSCALL drops the RPL of CS alone", place);
    for (unsigned rpl = 0; rpl <= 3; rpl++) {
        struct state start = start_at(snippet, 3);
        enable(snippet);
        wrmsr(MSR_STAR, (uint64_t)(KERNEL | rpl) << 32 | address(snippet->end));
        struct state end = go(snippet, &start, ENDS, "SYSCALL");
        check_segments(&end, KERNEL, (KERNEL | rpl) + 8);
    }
    case_end();
}

static void no_extensions(const struct snippet *call, const struct snippet *ret, const char *place)
{
    case_begin_in("2B SYSCALL", "SYSCALL and SYSRET without EFER.SCE: #UD", place);
    for (unsigned cpl = 0; cpl <= 3; cpl++) {
        struct state start = start_at(call, cpl), start_return = start_at(ret, cpl);
        enable(call);
        wrmsr(MSR_EFER, rdmsr(MSR_EFER) & ~(uint64_t)EFER_SCE);
        go(call, &start, fault(VECTOR_UD, 0), "SYSCALL");
        go(ret, &start_return, fault(VECTOR_UD, 0), "SYSRET");
    }
    case_end();
}

/* --- SYSRET */

static void sysret_everywhere(const struct snippet *snippet, bool to_64, const char *name,
                              const char *place)
{
    static const uint32_t images[] = {0,       2,       ARITHMETIC, IF | IOPL_3, 0xffffffff & ~TF,
                                      0x30000, 0x3c7ed7};
    bool is_64 = snippet->bits == 64, exists = syscall_exists(snippet->bits);
    unsigned cs = to_64 ? USER + 16 : USER;

    case_begin_in("2B SYSRET", name, place);
    for (unsigned i = 0; i < COUNT(images) * 4; i++) {
        unsigned cpl = i & 3;
        uint32_t image = images[i / 4];
        struct state start = start_at(snippet, cpl);
        struct verdict verdict = !exists ? fault(VECTOR_UD, 0) : cpl ? fault(VECTOR_GP, 0) : ENDS;
        start.gpr[RCX] = address(snippet->end);
        if (is_64 && !to_64)
            start.gpr[RCX] |= 0x1234567800000000;
        start.gpr[R11] = image;
        start.flags |= ARITHMETIC;
        enable(snippet);
        struct state end = go(snippet, &start, verdict, name);
        if (!ends(verdict))
            continue;
        uint64_t expected = is_64 ? (image & 0x3c7ed7) | FLAG_FIXED : start.flags | IF;
        check_segments(&end, cs | 3, (USER + 8) | 3);
        case_check(flags_of(&end) == expected, "R11 %x: flags %llx for %llx", image, end.flags,
                   expected);
        case_check(end.gpr[RSP] == start.gpr[RSP], "RSP %llx", end.gpr[RSP]);
    }
    case_end();
}

/* Intel's faults at SYSRET, with CPL 0; AMD's returns, and CPL 3 has no instruction there. */
static void sysret_canonical(void)
{
    static const uint64_t addresses[] = {0x0000800000000000, 0x00007ffffffff000,
                                         0xffff7fffffffffff, 0xffff800000000000,
                                         0x8000000000000000, 0x0001000000011000};

    case_begin("2B SYSRET", "SYSRET to an address that is not canonical: #GP(0), at CPL 0 or 3");
    for (unsigned i = 0; i < COUNT(addresses); i++) {
        uint64_t at = addresses[i];
        bool is_canonical = (uint64_t)((int64_t)(at << 16) >> 16) == at;
        struct state start = start_at(&sysret_64_qword, 0);
        start.gpr[RCX] = at;
        start.gpr[R11] = FLAG_FIXED;
        enable(&sysret_64_qword);
        struct state end = attempt(&start);
        bool stays = !is_canonical && !vendor_is_amd();
        case_check(end.vector == (is_canonical ? VECTOR_PF : VECTOR_GP) &&
                       end.ip == (stays ? start.ip : at) &&
                       end.cs == (stays ? start.cs : (USER + 16) | 3),
                   "to %016llx: vector %llu at %04llx:%llx", at, end.vector, end.cs, end.ip);
        case_check(is_canonical || end.error == 0, "error code %llx", end.error);
    }
    case_end();
}

/* --- SYSENTER */

static bool sysenter_exists(void)
{
    return !in_long_mode() || !vendor_is_amd();
}

static void sysenter_everywhere(const struct snippet *snippet, const char *place)
{
    case_begin_in("2B SYSENTER", "SYSENTER: CS, SS, RIP, RSP and flags", place);
    for (unsigned i = 0; i < 32; i++) {
        unsigned rpl = i >> 2 & 3;
        struct state start = start_at(snippet, i & 3);
        start.flags |= i & 16 ? 0x2448d5 | IF | IOPL_3 : ARITHMETIC;
        enable(snippet);
        wrmsr(MSR_SYSENTER_CS, KERNEL | rpl);
        struct state end =
            go(snippet, &start, sysenter_exists() ? ENDS : fault(VECTOR_UD, 0), "SYSENTER");
        if (!sysenter_exists())
            continue;
        check_segments(&end, KERNEL, KERNEL + 8);
        case_check(end.gpr[RSP] == INNER_STACK && flags_of(&end) == (start.flags & ~(uint64_t)IF),
                   "RSP %llx, flags %llx", end.gpr[RSP], end.flags);
    }
    case_end();
}

static void no_system_segment(const struct snippet *enter, const struct snippet *leave,
                              const char *place)
{
    case_begin_in("2B SYSENTER", "SYSENTER and SYSEXIT with a null SYSENTER_CS: #GP(0)", place);
    for (unsigned i = 0; i < 16; i++) {
        struct state start = start_at(enter, i & 3), start_leave = start_at(leave, i & 3);
        struct verdict verdict = fault(sysenter_exists() ? VECTOR_GP : VECTOR_UD, 0);
        enable(enter);
        wrmsr(MSR_SYSENTER_CS, i >> 2);
        go(enter, &start, verdict, "SYSENTER");
        go(leave, &start_leave, verdict, "SYSEXIT");
    }
    case_end();
}

/* --- SYSEXIT */

static void sysexit_everywhere(const struct snippet *snippet, bool to_64, const char *name,
                               const char *place)
{
    unsigned cs = KERNEL + (to_64 ? 32 : 16);

    case_begin_in("2B SYSEXIT", name, place);
    for (unsigned i = 0; i < 32; i++) {
        unsigned cpl = i & 3, rpl = i >> 2 & 3;
        struct state start = start_at(snippet, cpl);
        struct verdict verdict = !sysenter_exists() ? fault(VECTOR_UD, 0)
                                 : cpl              ? fault(VECTOR_GP, 0)
                                                    : ENDS;
        start.gpr[RCX] = STACK_TOP(3);
        start.gpr[RDX] = address(snippet->end);
        if (snippet->bits == 64 && !to_64) {
            start.gpr[RCX] |= 0x8765432100000000;
            start.gpr[RDX] |= 0x1234567800000000;
        }
        start.flags |= i & 16 ? 0x2448d5 | IF | IOPL_3 : ARITHMETIC;
        enable(snippet);
        wrmsr(MSR_SYSENTER_CS, KERNEL | rpl);
        struct state end = go(snippet, &start, verdict, name);
        if (!ends(verdict))
            continue;
        check_segments(&end, cs | 3, (cs + 8) | 3);
        case_check(end.gpr[RSP] == STACK_TOP(3) && flags_of(&end) == start.flags,
                   "RSP %llx, flags %llx", end.gpr[RSP], end.flags);
    }
    case_end();
}

static void sysexit_canonical(void)
{
    static const uint64_t bad[] = {0x0000800000000000, 0xffff7fffffffffff, 0x8000000000000000};

    case_begin("2B SYSEXIT", "SYSEXIT to a stack or an address that is not canonical: #GP(0)");
    for (unsigned i = 0; i < 2 * COUNT(bad); i++) {
        struct state start = start_at(&sysexit_64_qword, 0);
        start.gpr[RCX] = i & 1 ? bad[i / 2] : STACK_TOP(3);
        start.gpr[RDX] = i & 1 ? address(sysexit_64_qword.end) : bad[i / 2];
        enable(&sysexit_64_qword);
        go(&sysexit_64_qword, &start, fault(sysenter_exists() ? VECTOR_GP : VECTOR_UD, 0),
           "SYSEXIT");
    }
    case_end();
}

/* --- real and virtual-8086 mode */

static void real_and_v86(void)
{
    case_begin("2B SYSENTER", "SYSENTER and SYSEXIT in real mode: #GP");
    struct state start = start_v86(&sysenter_16), end;
    enable(&sysenter_16);
    end = attempt_real(&start);
    case_compare(&sysenter_16, &start, &end, fault(VECTOR_GP, 0), "SYSENTER");
    start = start_v86(&sysexit_16);
    end = attempt_real(&start);
    case_compare(&sysexit_16, &start, &end, fault(VECTOR_GP, 0), "SYSEXIT");
    case_end();

    case_begin("2B SYSENTER", "SYSENTER leaves virtual-8086 mode");
    start = start_v86(&sysenter_16);
    enable(&sysenter_16);
    end = go(&sysenter_16, &start, ENDS, "SYSENTER");
    check_segments(&end, KERNEL, KERNEL + 8);
    case_check(!(end.flags & FLAG_VM) && end.gpr[RSP] == INNER_STACK, "flags %llx, ESP %llx",
               end.flags, end.gpr[RSP]);
    case_end();

    start = start_v86(&sysexit_16);
    enable(&sysexit_16);
    expect("2B SYSEXIT", "SYSEXIT in virtual-8086 mode: #GP(0)", &sysexit_16, &start,
           fault(VECTOR_GP, 0));
}

static void both_sizes(const char *place, const char *place_16)
{
    syscall_everywhere(&syscall_32, place);
    syscall_everywhere(&syscall_16, place_16);
    syscall_selectors(&syscall_32, place);
    no_extensions(&syscall_32, &sysret_32, place);
    sysret_everywhere(&sysret_32, false, "SYSRET", place);
    sysenter_everywhere(&sysenter_32, place);
    sysenter_everywhere(&sysenter_16, place_16);
    no_system_segment(&sysenter_32, &sysexit_32, place);
    sysexit_everywhere(&sysexit_32, false, "SYSEXIT", place);
    sysexit_everywhere(&sysexit_16, false, "SYSEXIT", place_16);
}

static void protected_mode(void)
{
    both_sizes("protected mode", "16-bit protected mode");
    real_and_v86();
}

static void long_mode(void)
{
    both_sizes("compatibility mode", "16-bit compatibility mode");
    syscall_everywhere(&syscall_64, "64-bit mode");
    syscall_selectors(&syscall_64, "64-bit mode");
    no_extensions(&syscall_64, &sysret_64, "64-bit mode");
    sysret_everywhere(&sysret_64, false, "SYSRET", "64-bit mode");
    sysret_everywhere(&sysret_64_qword, true, "64-bit SYSRET", "64-bit mode");
    sysret_canonical();
    sysenter_everywhere(&sysenter_64, "64-bit mode");
    no_system_segment(&sysenter_64, &sysexit_64, "64-bit mode");
    sysexit_everywhere(&sysexit_64, false, "SYSEXIT", "64-bit mode");
    sysexit_everywhere(&sysexit_64_qword, true, "64-bit SYSEXIT", "64-bit mode");
    sysexit_canonical();
}

const struct topic topic = {"syscall", protected_mode, long_mode};
