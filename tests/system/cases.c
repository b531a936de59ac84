/* Cases: counted, compared, printed; and the run of a guest from its first case to its last.
 *
 * Each case is one line, "ok TOPIC: NAME (SDM SECTION)", with the number of its checks if it
 * has more than one, or "not ok ..." after lines "# ..." about the first checks that failed.
 */
#include "system.h"

enum { FAILURES_SHOWN = 6, EXIT_PORT = 0xf4, PIC_MASTER = 0x20, PIC_SLAVE = 0xa0 };

static struct {
    const char *sdm, *name, *place;
    unsigned checks, failed;
} current;
static unsigned cases, checks, failed_cases;
static bool is_long;

bool in_long_mode(void)
{
    return is_long;
}

uint32_t cpuid(uint32_t leaf, uint32_t subleaf, enum cpuid_register reg)
{
    uint32_t result[4], first = leaf & 0x80000000;

    __asm__("cpuid" : "=a"(result[0]) : "a"(first), "c"(0) : "ebx", "edx");
    if (result[0] < leaf)
        return 0;
    __asm__("cpuid"
            : "=a"(result[0]), "=b"(result[1]), "=c"(result[2]), "=d"(result[3])
            : "a"(leaf), "c"(subleaf));
    return result[reg];
}

bool has_long_mode(void)
{
    return cpuid(0x80000001, 0, CPUID_EDX) >> 29 & 1;
}

bool vendor_is_amd(void)
{
    return cpuid(0, 0, CPUID_EBX) == 0x68747541; /* "Auth" */
}

/* --- cases */

void case_begin_in(const char *sdm, const char *name, const char *place)
{
    tables_reset();
    current.sdm = sdm;
    current.name = name;
    current.place = place;
    current.checks = current.failed = 0;
}

void case_begin(const char *sdm, const char *name)
{
    case_begin_in(sdm, name, NULL);
}

/* True if the failed check that is now counted is to be described. */
static bool failure_begin(const char *format, va_list arguments)
{
    if (++current.failed > FAILURES_SHOWN)
        return false;
    print("# ");
    vprint(format, arguments);
    return true;
}

bool case_check(bool passed, const char *format, ...)
{
    current.checks++;
    if (!passed) {
        va_list arguments;
        va_start(arguments, format);
        if (failure_begin(format, arguments))
            print("\n");
        va_end(arguments);
    }
    return passed;
}

void case_end(void)
{
    /* AMD's manuals name themselves. */
    const char *manual = current.sdm[0] == 'A' ? "" : "SDM ";
    bool passed = current.checks && !current.failed;

    print("%s %s: %s%s%s (%s%s)", passed ? "ok" : "not ok", topic.name, current.name,
          current.place ? ", " : "", current.place ? current.place : "", manual, current.sdm);
    if (current.failed)
        print(": %u of %u checks failed", current.failed, current.checks);
    else if (current.checks != 1)
        print(": %u checks", current.checks);
    print("\n");
    cases++;
    checks += current.checks;
    failed_cases += !passed;
}

/* --- what an attempt came to */

static bool ended(const struct snippet *snippet, const struct state *end)
{
    uint32_t base = snippet->bits == 16 ? LOW_BASE : 0;

    return end->vector == VECTOR_UD && end->ip == (uint32_t)snippet->end - base;
}

/* Faults, as opposed to traps and interrupts, which leave the address of the next instruction. */
static bool is_fault(unsigned vector)
{
    const uint32_t others = 1 << VECTOR_DB | 1 << VECTOR_NMI | 1 << VECTOR_BP | 1 << VECTOR_OF |
                            1 << VECTOR_DF | 1 << VECTOR_MC;

    return vector < 32 && !(others >> vector & 1);
}

static bool agrees(const struct snippet *snippet, const struct state *start,
                   const struct state *end, struct verdict expected)
{
    if (ended(snippet, end))
        return expected.vector == ENDS.vector;
    if (end->vector != expected.vector || end->error != expected.error)
        return false;
    return !is_fault(expected.vector) || (end->cs == start->cs && end->ip == start->ip);
}

static void print_vector(unsigned vector, uint64_t error)
{
    static const char names[][4] = {"DE", "DB", "NMI", "BP", "OF", "BR", "UD", "NM", "DF", "9",
                                    "TS", "NP", "SS",  "GP", "PF", "15", "MF", "AC", "MC", "XM"};

    if (vector == ENDS.vector)
        print("the end");
    else if (vector < sizeof names / sizeof names[0])
        print("#%s(%04llx)", names[vector], error);
    else
        print("vector %02x", vector);
}

static void compare(const struct snippet *snippet, const struct state *start,
                    const struct state *end, struct verdict expected, const char *format,
                    va_list arguments)
{
    current.checks++;
    if (agrees(snippet, start, end, expected) || !failure_begin(format, arguments))
        return;
    print(": expected ");
    print_vector(expected.vector, expected.error);
    print(", got ");
    if (ended(snippet, end))
        print("the end\n");
    else {
        print_vector(end->vector, end->error);
        print(" at %04llx:%llx (start %04llx:%llx)\n", end->cs, end->ip, start->cs, start->ip);
    }
}

void case_compare(const struct snippet *snippet, const struct state *start, const struct state *end,
                  struct verdict expected, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    compare(snippet, start, end, expected, format, arguments);
    va_end(arguments);
}

struct state case_attempt(const struct snippet *snippet, const struct state *start,
                          struct verdict expected, const char *format, ...)
{
    struct state end = attempt(start);
    va_list arguments;

    va_start(arguments, format);
    compare(snippet, start, &end, expected, format, arguments);
    va_end(arguments);
    return end;
}

struct state expect(const char *sdm, const char *name, const struct snippet *snippet,
                    const struct state *start, struct verdict expected)
{
    case_begin(sdm, name);
    struct state end = case_attempt(snippet, start, expected, "%s", name);
    case_end();
    return end;
}

/* --- the run */

static void mask_interrupts(void)
{
    static const uint8_t master[] = {0x11, VECTOR_IRQ0, 4, 1};
    static const uint8_t slave[] = {0x11, VECTOR_IRQ0 + 8, 2, 1};

    for (unsigned i = 0; i < sizeof master; i++) {
        out8(PIC_MASTER + (i > 0), master[i]);
        out8(PIC_SLAVE + (i > 0), slave[i]);
    }
    out8(PIC_MASTER + 1, 0xff);
    out8(PIC_SLAVE + 1, 0xff);
}

_Noreturn void guest_main(void);

void guest_main(void)
{
    console_init();
    mask_interrupts();
    if (topic.protected_mode)
        topic.protected_mode();
    if (topic.long_mode && has_long_mode()) {
        tables_reset();
        pages_reset();
        start_long_mode();
        is_long = true;
        topic.long_mode();
    }
    print("total %s: %u cases, %u checks, %u failed\n", topic.name, cases, checks, failed_cases);
    out32(EXIT_PORT, failed_cases ? 1 : 0); /* isa-debug-exit: status 1, or 3 */
    power_off();
}
