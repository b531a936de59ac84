/* Topic: which of several faults of one instruction is told.
 *
 * Each row is an instruction with two things wrong.  What comes first is what the manual's table of
 * priorities or the instruction's own description names first.
 * Sources: SDM 3A §6.9 (table 6-2), 2A-2D by instruction. */
#include "model.h"

SNIPPET(64, load, "mov (%rbx), %eax");
SNIPPET(32, load_32, "mov (%ebx), %eax");
SNIPPET(32, load_stack_32, "mov (%ebp), %eax");
SNIPPET(64, fpu_load, "flds (%rbx)");
SNIPPET(64, vector_load, "movaps (%rbx), %xmm0");
SNIPPET(64, lgdt, "lgdt (%rbx)");
SNIPPET(64, lmsw, "lmsw (%rbx)");
SNIPPET(64, ltr, "ltr (%rbx)");
SNIPPET(64, lldt, "lldt (%rbx)");
SNIPPET(64, outs, "outsb");
SNIPPET(64, ins, "insb");
SNIPPET(64, divide, "divl (%rbx)");
SNIPPET(64, push, "pushq (%rbx)");
SNIPPET(64, pop, "popq (%rbx)");
SNIPPET(64, call, "call *(%rbx)");
SNIPPET(64, call_far, "lcall *(%rbx)");
SNIPPET(64, load_fs, "lfs (%rbx), %eax");
SNIPPET(64, movs, "movsb");
SNIPPET(64, compare_16, "cmpxchg16b (%rbx)");
SNIPPET(64, enter, "enter $0, $0");
SNIPPET(64, far_return, "lretq");
SNIPPET(64, msr, "rdmsr");
SNIPPET(32, interrupt_32, "int $0x81");
SNIPPET(32, far_jump_32, "ljmp *(%ebx)");
SNIPPET(32, move_ss_32, "mov (%ebx), %ss");

enum { CR0_TS = 8, CR0_EM = 4, CR0_AM = 1 << 18, FLAG_AC = 1 << 18, OSFXSR = 0x200 };
enum { SEGMENT = SEL_SCRATCH, ABSENT = SEL_SCRATCH + 8 };
/* Linear addresses: of a missing page, and of none. */
#define MISSING       0x80000000
#define NOT_CANONICAL 0x0000900000000000

struct row {
    const char *name, *sdm;
    const struct snippet *snippet;
    unsigned cpl;
    uint64_t rbx, rsp; /* rsp: 0 for the usual one */
    uint32_t cr0;
    bool is_aligned_strictly;
    struct verdict verdict;
};

#define FAULT(vector, error)                                                                       \
    {                                                                                              \
        VECTOR_##vector, error                                                                     \
    }
static const struct row rows[] = {
    {"a device that is not available goes before a page fault", "3A 6.9", &fpu_load, 3, MISSING, 0,
     CR0_TS, false, FAULT(NM, 0)},
    {"a device that is not available goes before an address that is not canonical", "3A 6.9",
     &fpu_load, 3, NOT_CANONICAL, 0, CR0_EM, false, FAULT(NM, 0)},
    {"an undefined opcode (CR0.EM) goes before a misaligned operand", "3A 6.9", &vector_load, 3,
     FREE_BASE + 1, 0, CR0_EM, false, FAULT(UD, 0)},
    {"a device that is not available goes before a misaligned operand", "3A 6.9", &vector_load, 3,
     FREE_BASE + 1, 0, CR0_TS, false, FAULT(NM, 0)},
    {"MOVAPS: a misaligned operand goes before its missing page", "3A 6.9", &vector_load, 3,
     MISSING + 1, 0, 0, false, FAULT(GP, 0)},
    {"CMPXCHG16B: a misaligned operand goes before its missing page", "3A 6.9", &compare_16, 3,
     MISSING + 8, 0, 0, false, FAULT(GP, 0)},
    {"LGDT: the privilege goes before the operand's page", "2A LGDT", &lgdt, 3, MISSING, 0, 0,
     false, FAULT(GP, 0)},
    {"LGDT: the privilege goes before #SS or #GP of the operand", "2A LGDT", &lgdt, 3,
     NOT_CANONICAL, 0, 0, false, FAULT(GP, 0)},
    {"LMSW: the privilege goes before the operand's page", "2A LMSW", &lmsw, 3, MISSING, 0, 0,
     false, FAULT(GP, 0)},
    {"LTR: the privilege goes before the operand's page", "2B LTR", &ltr, 3, MISSING, 0, 0, false,
     FAULT(GP, 0)},
    {"LLDT: the privilege goes before the operand's page", "2A LLDT", &lldt, 3, MISSING, 0, 0,
     false, FAULT(GP, 0)},
    {"LGDT at CPL 0: the operand's page", "2A LGDT", &lgdt, 0, MISSING, 0, 0, false, FAULT(PF, 0)},
    {"OUTS: the port's permission goes before the string's page", "2B OUTS", &outs, 3, MISSING, 0,
     0, false, FAULT(GP, 0)},
    {"INS: the port's permission goes before the string's page", "2A INS", &ins, 3, MISSING, 0, 0,
     false, FAULT(GP, 0)},
    {"DIV: the operand's page goes before the division", "3A 6.9", &divide, 3, MISSING, 0, 0, false,
     FAULT(PF, 4)},
    {"PUSH m: the operand's page goes before the stack", "2B PUSH", &push, 3, MISSING,
     NOT_CANONICAL, 0, false, FAULT(PF, 4)},
    {"PUSH m: the operand is read before the stack is looked at", "2B PUSH", &push, 3, FREE_BASE,
     NOT_CANONICAL, 0, false, FAULT(SS, 0)},
    {"POP m: the stack goes before the operand", "2B POP", &pop, 3, MISSING, NOT_CANONICAL, 0,
     false, FAULT(SS, 0)},
    {"CALL m: the operand's page goes before the stack", "2A CALL", &call, 3, MISSING,
     NOT_CANONICAL, 0, false, FAULT(PF, 4)},
    {"CALL far m: the pointer's page goes before the stack", "2A CALL", &call_far, 3, MISSING,
     NOT_CANONICAL, 0, false, FAULT(PF, 4)},
    {"RET far: the stack goes before the selectors on it", "2B RET", &far_return, 3, 0, MISSING, 0,
     false, FAULT(PF, 4)},
    {"ENTER: the frame's page", "2A ENTER", &enter, 3, 0, MISSING + 8, 0, false, FAULT(PF, 6)},
    {"LFS: the pointer's page goes before the selector", "2A LFS", &load_fs, 3, MISSING, 0, 0,
     false, FAULT(PF, 4)},
    {"RDMSR: the privilege goes before the register's number", "2B RDMSR", &msr, 3, 0, 0, 0, false,
     FAULT(GP, 0)},
    {"an address that is not canonical goes before its alignment", "3A 6.9", &load, 3,
     NOT_CANONICAL + 1, 0, CR0_AM, true, FAULT(GP, 0)},
    {"a misaligned operand on a page that is there: #AC(0)", "3A 6.15", &load, 3, FREE_BASE + 1, 0,
     CR0_AM, true, FAULT(AC, 0)},
    {"no alignment check at CPL 0",
     "3A 6.15",
     &load,
     0,
     FREE_BASE + 1,
     0,
     CR0_AM,
     true,
     {0x100, 0}},
    {"no alignment check without CR0.AM",
     "3A 6.15",
     &load,
     3,
     FREE_BASE + 1,
     0,
     0,
     true,
     {0x100, 0}},
    {"no alignment check without EFLAGS.AC",
     "3A 6.15",
     &load,
     3,
     FREE_BASE + 1,
     0,
     CR0_AM,
     false,
     {0x100, 0}},
    /* compatibility mode: limits before pages */
    {"a segment's limit goes before a missing page", "3A 6.9", &load_32, 3, MISSING, 0, 0, false,
     FAULT(GP, 0)},
    {"the stack segment's limit goes before a missing page", "3A 6.9", &load_stack_32, 3, MISSING,
     0, 0, false, FAULT(SS, 0)},
    {"a segment's limit goes before the alignment", "3A 6.9", &load_32, 3, MISSING + 1, 0, CR0_AM,
     true, FAULT(GP, 0)},
    {"LJMP m: the pointer's limit goes before what it names", "2A JMP", &far_jump_32, 3, MISSING, 0,
     0, false, FAULT(GP, 0)},
    {"MOV SS, m: the operand's limit goes before the selector", "2B MOV", &move_ss_32, 3, MISSING,
     0, 0, false, FAULT(GP, 0)},
};

static void prepare_tables(void)
{
    enum { DIRECTORIES = PAGE_TABLES + 0x2000 };

    qword_at(DIRECTORIES)[MISSING >> 21] = 0;
    write_cr3(PAGE_TABLES);
    write_cr4(read_cr4() | OSFXSR);
    gdt_set(SEGMENT, descriptor(0, MISSING / 4096 - 1, 0xf3, PAGES | SIZE_32));
    gdt_set(ABSENT, descriptor(0, 0xfffff, 0x73, PAGES | SIZE_32));
}

static void one_row(const struct row *row)
{
    struct state start = start_at(row->snippet, row->cpl);

    case_begin(row->sdm, row->name);
    prepare_tables();
    write_cr0(read_cr0() | row->cr0);
    start.gpr[RBX] = start.gpr[RBP] = start.gpr[RSI] = start.gpr[RDI] = row->rbx;
    start.gpr[RCX] = 0xffffffff; /* no MSR */
    if (row->rsp)
        start.gpr[RSP] = row->rsp;
    if (row->is_aligned_strictly)
        start.flags |= FLAG_AC;
    if (row->snippet->bits == 32)
        start.ds = start.ss = SEGMENT | 3;
    struct state end = case_attempt(row->snippet, &start, row->verdict, "%s", row->name);
    case_check(end.gpr[RSP] == start.gpr[RSP] || ends(row->verdict), "RSP %llx", end.gpr[RSP]);
    case_end();
}

static void strings(void)
{
    case_begin("2B MOVS", "MOVS looks at its source first");
    for (unsigned i = 0; i < 2; i++) {
        struct state start = start_at(&movs, 3);
        prepare_tables();
        write_cr2(0);
        start.gpr[RSI] = MISSING + 0x10;
        start.gpr[RDI] = i ? NOT_CANONICAL : MISSING + 0x20;
        case_attempt(&movs, &start, fault(VECTOR_PF, 4), "%u", i);
        case_check(read_cr2() == MISSING + 0x10, "%u: CR2 %x", i, read_cr2());
    }
    case_end();
}

/* --- the checks of one selector, in the order of the manual */

SNIPPET(32, move_ds_32, "mov %ax, %ds");
SNIPPET(32, move_stack_32, "mov %ax, %ss");

static void selectors(void)
{
    struct state start = start_at(&move_ds_32, 3);

    case_begin("2B MOV", "a selector's rights go before its segment's presence");
    prepare_tables();
    gdt_set(SEGMENT, descriptor(0, 0xfffff, 0x13, PAGES | SIZE_32)); /* absent, DPL 0 */
    start.gpr[RAX] = SEGMENT | 3;
    case_attempt(&move_ds_32, &start, fault(VECTOR_GP, SEGMENT), "DS");
    start = start_at(&move_stack_32, 3);
    start.gpr[RAX] = SEGMENT | 3;
    case_attempt(&move_stack_32, &start, fault(VECTOR_GP, SEGMENT), "SS");
    start.gpr[RAX] = ABSENT; /* RPL 0 */
    case_attempt(&move_stack_32, &start, fault(VECTOR_GP, ABSENT), "SS, RPL");
    start.gpr[RAX] = ABSENT | 3;
    case_attempt(&move_stack_32, &start, fault(VECTOR_SS, ABSENT), "SS, absent");
    case_end();

    case_begin("2A INT n", "an INT's gate: type, DPL, presence, and then the code segment");
    static const struct {
        unsigned access, selector;
        struct verdict verdict;
    } gates[] = {
        {0x02, 0, FAULT(GP, 0x81 * 8 + 2)},              /* no gate, absent */
        {0x0e, 0, FAULT(GP, 0x81 * 8 + 2)},              /* DPL 0, absent */
        {0x6e, 0, FAULT(NP, 0x81 * 8 + 2)},              /* absent, and no code */
        {0xee, 0, FAULT(GP, 0)},                         /* a null selector */
        {0xee, GDT_LIMIT + 1, FAULT(GP, GDT_LIMIT + 1)}, /* beyond the GDT */
        {0xee, ABSENT, FAULT(GP, ABSENT)},               /* data, absent */
    };
    for (unsigned i = 0; i < COUNT(gates); i++) {
        start = start_at(&interrupt_32, 3);
        idt_set_long(0x81, gate(0, gates[i].selector, gates[i].access), 0);
        case_attempt(&interrupt_32, &start, gates[i].verdict, "gate %u", i);
    }
    case_end();
}

static void long_mode(void)
{
    for (unsigned i = 0; i < COUNT(rows); i++)
        one_row(&rows[i]);
    strings();
    selectors();
}

const struct topic topic = {"priority", NULL, long_mode};
