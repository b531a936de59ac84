/* Topic: what CR4.UMIP hides, and who may change EFLAGS.AC by STAC and CLAC.  What SMAP and SMEP
 * forbid is page_fault.c's.
 */
#include "system.h"

enum { OPERAND = FREE_BASE };

SNIPPET(64, sgdt_64, "sgdt (%rbx)");
SNIPPET(64, sidt_64, "sidt (%rbx)");
SNIPPET(64, sldt_64, "sldt %eax");
SNIPPET(64, str_64, "str %eax");
SNIPPET(64, smsw_64, "smsw %eax");
SNIPPET(64, sldt_memory_64, "sldt (%rbx)");
SNIPPET(32, sgdt_32, "sgdt (%ebx)");
SNIPPET(32, sidt_32, "sidt (%ebx)");
SNIPPET(32, sldt_32, "sldt %eax");
SNIPPET(32, str_32, "str %eax");
SNIPPET(32, smsw_32, "smsw %eax");
SNIPPET(32, smsw_memory_32, "smsw (%ebx)");
SNIPPET(64, stac_64, "stac; pushf; pop %rcx");
SNIPPET(64, clac_64, "clac; pushf; pop %rcx");

static void umip(const struct snippet *const *snippets, const char *place)
{
    enum { CR4_UMIP = 1 << 11 };

    if (!(cpuid(7, 0, CPUID_ECX) & 4))
        return;
    case_begin_in("3A 2.5", "CR4.UMIP keeps table registers from CPL 1 to 3", place);
    for (unsigned on = 0; on < 2; on++) {
        write_cr4((read_cr4() & ~(uint32_t)CR4_UMIP) | (on ? CR4_UMIP : 0));
        for (unsigned i = 0; snippets[i]; i++) {
            for (unsigned cpl = 0; cpl <= 3; cpl++) {
                struct state start = start_at(snippets[i], cpl);
                start.gpr[RBX] = OPERAND;
                case_attempt(snippets[i], &start, on && cpl ? fault(VECTOR_GP, 0) : ENDS,
                             "number %u, CPL %u, UMIP %u", i, cpl, on);
            }
        }
    }
    case_end();
}

static void access_flag(void)
{
    enum { FLAG_AC = 1 << 18 };

    if (!(cpuid(7, 0, CPUID_EBX) >> 20 & 1))
        return;
    case_begin("2B STAC", "STAC and CLAC set and clear AC at CPL 0, and are undefined elsewhere");
    for (unsigned cpl = 0; cpl <= 3; cpl++) {
        for (unsigned ac = 0; ac < 2; ac++) {
            const struct snippet *snippet = ac ? &stac_64 : &clac_64;
            struct state start = start_at(snippet, cpl);
            start.flags |= ac ? 0 : FLAG_AC;
            struct state after = attempt(&start);
            if (cpl)
                case_check(after.vector == VECTOR_UD && after.ip == start.ip,
                           "CPL %u: vector %llx at %llx", cpl, after.vector, after.ip);
            else
                case_check(after.vector == VECTOR_UD && after.ip != start.ip &&
                               !!(after.gpr[RCX] & FLAG_AC) == ac,
                           "flags %llx", after.gpr[RCX]);
        }
    }
    case_end();
}

static void protected_mode(void)
{
    static const struct snippet *const snippets[] = {&sgdt_32, &sidt_32,        &sldt_32, &str_32,
                                                     &smsw_32, &smsw_memory_32, NULL};

    umip(snippets, "protected mode");
}

static void long_mode(void)
{
    static const struct snippet *const snippets[] = {&sgdt_64, &sidt_64,        &sldt_64, &str_64,
                                                     &smsw_64, &sldt_memory_64, NULL};

    umip(snippets, "64-bit mode");
    access_flag();
}

const struct topic topic = {"umip", protected_mode, long_mode};
