/* Topic: process-context identifiers, and the operands of INVPCID and INVLPG. */
#include "paging.h"

SNIPPET(64, read_64, "mov (%rax), %ecx");
SNIPPET(64, write_cr3_64, "mov %rax, %cr3; mov %cr3, %rcx");
SNIPPET(64, invpcid_64, "invpcid (%rdx), %rcx");
SNIPPET(32, invpcid_32, "invpcid (%edx), %ecx");
SNIPPET(16, invpcid_16, "invpcid (%bx), %ecx");
SNIPPET(64, invlpg_64, "invlpg (%rax)");

#define NO_FLUSH  (UINT64_C(1) << 63) /* in the source of MOV to CR3 */
#define CR4_PGE   (1u << 7)
#define CR4_PCIDE (1u << 17)

enum {
    TOP = FREE_BASE,
    OPERAND = FREE_END - 0x100,
    USABLE = PAGE_P | PAGE_W | PAGE_U,
    PCIDS = 24,
    ADDRESS = 0, /* INVPCID's types */
    CONTEXT,
    ALL_GLOBAL,
    ALL,
};

/* --- the page under test, seen by each PCID */

static void map(uint32_t frame, uint64_t flags)
{
    entry_set(PAGING_4_LEVEL, LEVEL_PT, frame | USABLE | flags);
}

/* What it reads: 1 in FRAME_A, 2 in FRAME_B. */
static unsigned seen(void)
{
    struct state start = start_at(&read_64, 3);

    start.gpr[RAX] = under_test(PAGING_4_LEVEL);
    return (unsigned)attempt(&start).gpr[RCX];
}

static void change_to(unsigned pcid, bool keep)
{
    struct state start = start_at(&write_cr3_64, 0);

    start.gpr[RAX] = TOP | pcid | (keep ? NO_FLUSH : 0);
    attempt(&start);
}

static void invalidate(unsigned type, unsigned pcid)
{
    struct state start = start_at(&invpcid_64, 0);

    qword_at(OPERAND)[0] = pcid;
    qword_at(OPERAND)[1] = under_test(PAGING_4_LEVEL);
    start.gpr[RCX] = type;
    start.gpr[RDX] = OPERAND;
    attempt(&start);
}

static void begin(const char *sdm, const char *name)
{
    case_begin(sdm, name);
    paging_begin(PAGING_4_LEVEL);
    for (unsigned level = LEVEL_PD; level <= LEVEL_PML4; level++)
        entry_set(PAGING_4_LEVEL, level, entry_address(level, false) | USABLE);
    *dword_at(FRAME_A) = 1;
    *dword_at(FRAME_B) = 2;
    paging_lends(true);
    write_cr4(read_cr4() | CR4_PCIDE);
}

static void end(void)
{
    write_cr3(TOP);
    write_cr4(read_cr4() & ~(CR4_PCIDE | CR4_PGE));
    paging_end();
    case_end();
}

/* Each PCID comes to know the page in FRAME_A; then it is in FRAME_B. */
static void remap_under_all(uint64_t flags)
{
    write_cr4(read_cr4() ^ CR4_PGE);
    write_cr4(read_cr4() ^ CR4_PGE);
    map(FRAME_A, flags);
    for (unsigned pcid = 1; pcid <= PCIDS; pcid++) {
        change_to(pcid, false);
        case_check(seen() == 1, "PCID %u does not see the page", pcid);
    }
    map(FRAME_B, flags);
}

/* The last used first: a processor keeps only so many. */
static void check_all(const char *what)
{
    for (unsigned pcid = PCIDS; pcid > 0; pcid--) {
        change_to(pcid, true);
        unsigned frame = seen();
        case_check(frame == 2, "%s: PCID %u sees frame %u", what, pcid, frame);
    }
}

static void loads_of_cr3(void)
{
    begin("3A 4.10.4.1", "a load of CR3 without bit 63 invalidates the PCID");
    remap_under_all(0);
    for (unsigned pcid = PCIDS; pcid > 0; pcid--) {
        change_to(pcid, false);
        unsigned frame = seen();
        case_check(frame == 2, "PCID %u sees frame %u", pcid, frame);
    }
    end();

    begin("2B MOV", "bit 63 of the source is not written to CR3");
    struct state start = start_at(&write_cr3_64, 0);
    start.gpr[RAX] = TOP | 5 | NO_FLUSH;
    struct state after = case_attempt(&write_cr3_64, &start, ENDS, "PCID 5");
    case_check(after.gpr[RCX] == (TOP | 5), "CR3 %llx", after.gpr[RCX]);
    end();
}

static void invpcid_types(void)
{
    begin("2A INVPCID", "types 0 and 1 invalidate another PCID than the present one");
    for (unsigned type = ADDRESS; type <= CONTEXT; type++) {
        remap_under_all(0);
        change_to(0, true);
        for (unsigned pcid = 1; pcid <= PCIDS; pcid++)
            invalidate(type, pcid);
        check_all(type == ADDRESS ? "type 0" : "type 1");
    }
    end();
    begin("2A INVPCID", "types 2 and 3 invalidate all PCIDs, type 2 also global pages");
    remap_under_all(0);
    invalidate(ALL, 0);
    check_all("type 3");
    remap_under_all(0);
    invalidate(ALL_GLOBAL, 0);
    check_all("type 2");
    write_cr4(read_cr4() | CR4_PGE);
    remap_under_all(PAGE_GLOBAL);
    invalidate(ALL_GLOBAL, 0);
    check_all("type 2, a global page");
    end();
}

static void other_flushes(void)
{
    begin("3A 4.10.4.1", "INVLPG invalidates a global page under all PCIDs");
    write_cr4(read_cr4() | CR4_PGE);
    remap_under_all(PAGE_GLOBAL);
    struct state start = start_at(&invlpg_64, 0);
    start.gpr[RAX] = under_test(PAGING_4_LEVEL);
    case_attempt(&invlpg_64, &start, ENDS, "INVLPG");
    check_all("INVLPG");
    end();
    begin("3A 4.10.4.1", "changes of CR4.PGE and CR4.PCIDE invalidate all PCIDs");
    remap_under_all(0);
    write_cr4(read_cr4() | CR4_PGE);
    write_cr4(read_cr4() & ~CR4_PGE);
    check_all("CR4.PGE");
    remap_under_all(0);
    write_cr3(TOP);
    write_cr4(read_cr4() & ~CR4_PCIDE);
    write_cr4(read_cr4() | CR4_PCIDE);
    check_all("CR4.PCIDE");
    end();
    begin("3A 4.10.1", "without CR4.PCIDE there is PCID 0 alone");
    remap_under_all(0);
    write_cr3(TOP);
    write_cr4(read_cr4() & ~CR4_PCIDE);
    case_check(seen() == 2, "PCID 0 sees frame %u", seen());
    end();
}

/* --- INVPCID's operands */

static void operand(uint64_t type, uint64_t pcid, uint64_t address, bool legal)
{
    struct state start = start_at(&invpcid_64, 0);

    qword_at(OPERAND)[0] = pcid;
    qword_at(OPERAND)[1] = address;
    start.gpr[RCX] = type;
    start.gpr[RDX] = OPERAND;
    case_attempt(&invpcid_64, &start, legal ? ENDS : fault(VECTOR_GP, 0),
                 "type %llx, PCID %llx, address %llx, CR4 %x", type, pcid, address, read_cr4());
}

static void operands(void)
{
    begin("2A INVPCID", "INVPCID's operands");
    for (unsigned pcide = 0; pcide < 2; pcide++) {
        write_cr4((read_cr4() & ~CR4_PCIDE) | (pcide ? CR4_PCIDE : 0));
        for (unsigned bit = 0; bit < 64; bit++) {
            uint64_t value = UINT64_C(1) << bit;
            bool canonical = value < UINT64_C(1) << 47;
            operand(value, 0, 0, value < 4);
            for (unsigned type = ADDRESS; type <= ALL; type++) {
                bool named = type <= CONTEXT; /* otherwise the PCID is only checked for width */
                operand(type, value, 0, bit < 12 && (pcide || !named));
                operand(type, 0, value, type != ADDRESS || canonical);
            }
        }
        for (unsigned cpl = 1; cpl <= 3; cpl++) {
            struct state start = start_at(&invpcid_64, cpl);
            start.gpr[RDX] = OPERAND;
            case_attempt(&invpcid_64, &start, fault(VECTOR_GP, 0), "CPL %u", cpl);
        }
    }
    struct state start = start_at(&invpcid_32, 0);
    qword_at(OPERAND)[0] = qword_at(OPERAND)[1] = 0;
    start.gpr[RCX] = UINT64_C(0x100000000);
    start.gpr[RDX] = OPERAND;
    case_attempt(&invpcid_32, &start, ENDS, "32 bits of the type in compatibility mode");
    end();
}

/* INVLPG takes any address. */
static void invlpg_addresses(void)
{
    case_begin("2A INVLPG", "INVLPG of an address that is not canonical does nothing");
    for (unsigned bit = 0; bit < 64; bit++) {
        struct state start = start_at(&invlpg_64, 0);
        start.gpr[RAX] = UINT64_C(1) << bit;
        case_attempt(&invlpg_64, &start, ENDS, "%llx", start.gpr[RAX]);
    }
    for (unsigned cpl = 1; cpl <= 3; cpl++) {
        struct state start = start_at(&invlpg_64, cpl);
        case_attempt(&invlpg_64, &start, fault(VECTOR_GP, 0), "CPL %u", cpl);
    }
    case_end();
}

static void protected_mode(void)
{
    if (!(cpuid(7, 0, CPUID_EBX) >> 10 & 1))
        return;
    case_begin("2A INVPCID", "INVPCID is #GP in virtual-8086 mode");
    struct state start = start_v86(&invpcid_16);
    start.gpr[RBX] = 0x100;
    case_attempt(&invpcid_16, &start, fault(VECTOR_GP, 0), "V86");
    case_end();
}

static void long_mode(void)
{
    invlpg_addresses();
    if (!(cpuid(1, 0, CPUID_ECX) >> 17 & 1) || !(cpuid(7, 0, CPUID_EBX) >> 10 & 1))
        return;
    loads_of_cr3();
    invpcid_types();
    other_flushes();
    operands();
}

const struct topic topic = {"pcid", protected_mode, long_mode};
