/* Topic: single-step, RF, the shadow of MOV SS, INT1: which instruction is followed by a #DB, what
 * is pushed, and what DR6 says.
 */
#include "debug.h"

enum { NOP_BYTES = 1, OPERAND = FREE_BASE, CR4_BITS_DE = 8 };
#define MSR_DEBUGCTL 0x1d9
#define DEBUGCTL_BTF 2

/* Where a step trap is to be: bytes from the snippet's start. */
static void stepped(const char *what, const struct snippet *snippet, const struct state *start,
                    const struct state *end, unsigned offset, unsigned bits)
{
    uint32_t dr6 = read_dr6();

    case_check(end->vector == VECTOR_DB && end->ip == start->ip + offset &&
                   (dr6 & DR6_BITS) == bits,
               "%s: vector %llx at %llx (+%llx), DR6 %x; expected #DB at +%x, DR6 bits %x", what,
               end->vector, end->ip, end->ip - start->ip, dr6, offset, bits);
    (void)snippet;
}

static struct state stepping(const struct snippet *snippet, unsigned cpl)
{
    struct state start = start_at(snippet, cpl);

    start.flags |= FLAG_TF;
    return start;
}

/* --- one instruction, whatever it is */

SNIPPET(64, nops, "nop; nop");
SNIPPET(64, jump, "jmp 1f; nop; nop; 1: nop");
SNIPPET(64, call, "call 1f; nop; nop; 1: nop");
SNIPPET(64, pushes, "push %rax; nop");
SNIPPET(64, cpuids, "cpuid; nop");
SNIPPET(64, write_cr0_64, "mov %rax, %cr0; nop");
SNIPPET(64, write_dr_64, "mov %rax, %db0; nop");
SNIPPET(64, read_msr, "rdmsr; nop");
SNIPPET(64, write_msr, "wrmsr; nop");
SNIPPET(64, write_cr3_64, "mov %rax, %cr3; nop");
SNIPPET(64, invlpgs, "invlpg (%rax); nop");
SNIPPET(64, sti_64, "sti; nop");
SNIPPET(64, cli_64, "cli; nop");
SNIPPET(64, hlt_64, "hlt; nop");
SNIPPET(64, out_64, "out %al, $0xe0; nop");
SNIPPET(64, in_64, "in $0xe0, %al; nop");
SNIPPET(64, load_fs, "mov %ax, %fs; nop");
SNIPPET(64, load_lss, "lss (%rax), %ecx; nop");
SNIPPET(64, swapgs_64, "swapgs; nop");
SNIPPET(64, clts_64, "clts; nop");
SNIPPET(64, pause_64, "pause; nop");
SNIPPET(64, locked, "lock incl (%rax); nop");
SNIPPET(64, x87, "fninit; nop");

static const struct {
    const char *name;
    const struct snippet *snippet;
    uint8_t length;
    bool kernel; /* CPL 0 only */
    uint64_t rax, rcx;
} singles[] = {
    {"NOP", &nops, 1, false, 0, 0},
    {"JMP", &jump, 4, false, 0, 0},
    {"CALL", &call, 7, false, 0, 0},
    {"PUSH", &pushes, 1, false, 0, 0},
    {"CPUID", &cpuids, 2, false, 0, 0},
    {"MOV CR0", &write_cr0_64, 3, true, 0x80000031, 0},
    {"MOV CR3", &write_cr3_64, 3, true, PAGE_TABLES, 0},
    {"MOV DR0", &write_dr_64, 3, true, 0, 0},
    {"RDMSR", &read_msr, 2, true, 0, MSR_SYSENTER_CS},
    {"WRMSR", &write_msr, 2, true, 0, MSR_SYSENTER_CS},
    {"INVLPG", &invlpgs, 3, true, 0, 0},
    {"STI", &sti_64, 1, true, 0, 0},
    {"CLI", &cli_64, 1, true, 0, 0},
    {"HLT", &hlt_64, 1, true, 0, 0},
    {"OUT", &out_64, 2, true, 0, 0},
    {"IN", &in_64, 2, true, 0, 0},
    {"MOV FS", &load_fs, 2, false, 0, 0},
    {"LSS", &load_lss, 3, true, OPERAND, 0},
    {"SWAPGS", &swapgs_64, 3, true, 0, 0},
    {"CLTS", &clts_64, 2, true, 0, 0},
    {"PAUSE", &pause_64, 2, false, 0, 0},
    {"LOCK INC", &locked, 3, false, OPERAND, 0},
    {"FNINIT", &x87, 2, false, 0, 0},
};

static void after_one(void)
{
    case_begin("3B 18.3.1.4", "with TF set each instruction is followed by #DB");
    for (unsigned i = 0; i < sizeof singles / sizeof singles[0]; i++) {
        for (unsigned cpl = 0; cpl <= 3; cpl += 3) {
            if (cpl && singles[i].kernel)
                continue;
            struct state start = stepping(singles[i].snippet, cpl);
            *dword_at(OPERAND) = (uint32_t)start.gpr[RSP];
            *word_at(OPERAND + 4) = (uint16_t)start.ss;
            start.gpr[RAX] = singles[i].rax;
            start.gpr[RCX] = singles[i].rcx;
            struct state end = debugged(&start, 0);
            stepped(singles[i].name, singles[i].snippet, &start, &end, singles[i].length, DR6_BS);
            case_check(end.flags & FLAG_TF && !(end.flags & FLAG_RF), "%s: flags %llx",
                       singles[i].name, end.flags);
        }
    }
    case_end();
}

/* --- instructions that load TF */

SNIPPET(64, popf_sets, "popf; nop; nop");
SNIPPET(64, iret_64, "iretq");
SNIPPET(64, iret_target, "nop; nop");

static void popf(void)
{
    case_begin("2B POPF", "POPF that sets TF: #DB follows the next instruction");
    for (unsigned cpl = 0; cpl <= 3; cpl += 3) {
        struct state start = start_at(&popf_sets, cpl);
        start.gpr[RSP] -= 8;
        *qword_at((uint32_t)start.gpr[RSP]) = FLAG_FIXED | FLAG_TF;
        struct state end = debugged(&start, 0);
        stepped("POPF", &popf_sets, &start, &end, 2, DR6_BS);
    }
    case_end();
    case_begin("2B POPF", "POPF that clears TF is followed by a last #DB");
    for (unsigned cpl = 0; cpl <= 3; cpl += 3) {
        struct state start = stepping(&popf_sets, cpl);
        start.gpr[RSP] -= 8;
        *qword_at((uint32_t)start.gpr[RSP]) = FLAG_FIXED;
        struct state end = debugged(&start, 0);
        stepped("POPF", &popf_sets, &start, &end, 1, DR6_BS);
        case_check(!(end.flags & FLAG_TF), "flags %llx", end.flags);
    }
    case_end();
}

static void iret(void)
{
    case_begin("2A IRET", "TF is what it was before IRET for the trap after it");
    for (unsigned from = 0; from < 2; from++) {
        for (unsigned to = 0; to < 2; to++) {
            struct state start = start_at(&iret_64, 0), target = start_at(&iret_target, 3);
            start.flags |= from ? FLAG_TF : 0;
            start.gpr[RSP] -= 40;
            uint64_t frame[] = {target.ip, target.cs, FLAG_FIXED | (to ? FLAG_TF : 0),
                                target.gpr[RSP], target.ss};
            for (unsigned i = 0; i < 5; i++)
                qword_at((uint32_t)start.gpr[RSP])[i] = frame[i];
            struct state end = debugged(&start, 0);
            if (from)
                stepped("IRET with TF", &iret_target, &target, &end, 0, DR6_BS);
            else if (to)
                stepped("IRET sets TF", &iret_target, &target, &end, NOP_BYTES, DR6_BS);
            else
                case_compare(&iret_target, &target, &end, ENDS, "IRET without TF");
        }
    }
    case_end();
}

/* --- interrupts and system calls */

SNIPPET(64, int_80, "int $0x80; nop");
SNIPPET(64, int_3, "int3; nop");
SNIPPET(64, int_1, ".byte 0xf1; nop");
SNIPPET(64, undefined, "ud2; nop");
SNIPPET(64, syscall_64, "syscall; nop");

static void software_interrupts(void)
{
    static const struct {
        const char *name;
        const struct snippet *snippet;
        unsigned vector, offset, cpl;
    } rows[] = {
        {"INT n", &int_80, VECTOR_USER, 2, 0}, {"INT n", &int_80, VECTOR_USER, 2, 3},
        {"INT3", &int_3, VECTOR_BP, 1, 0},     {"UD2", &undefined, VECTOR_UD, 0, 0},
        {"UD2", &undefined, VECTOR_UD, 0, 3},
    };

    case_begin("3B 18.3.1.4",
               "an interrupt or fault takes the place of the step trap, and clears TF");
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct state start = stepping(rows[i].snippet, rows[i].cpl);
        struct state end = debugged(&start, 0);
        case_check(end.vector == rows[i].vector && end.ip == start.ip + rows[i].offset &&
                       !(read_dr6() & DR6_BITS) && end.flags & FLAG_TF,
                   "%s, CPL %u: vector %llx at +%llx, DR6 %x, flags %llx", rows[i].name,
                   rows[i].cpl, end.vector, end.ip - start.ip, read_dr6(), end.flags);
    }
    case_end();
}

static void int1(void)
{
    case_begin("2A INT", "INT1 is a trap that looks at no DPL and leaves DR6 alone");
    for (unsigned cpl = 0; cpl <= 3; cpl++) {
        struct state start = start_at(&int_1, cpl);
        struct state end = debugged(&start, 0);
        stepped("INT1", &int_1, &start, &end, 1, 0);
        case_check(!(end.flags & FLAG_RF), "RF is pushed: %llx", end.flags);
    }
    case_end();
}

static void syscalls(void)
{
    case_begin("2B SYSCALL", "SYSCALL is followed by #DB if IA32_FMASK leaves TF set");
    wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_SCE);
    wrmsr(MSR_STAR, (uint64_t)SEL_CODE64(0) << 32);
    wrmsr(MSR_LSTAR, (uint32_t)nops.start);
    for (unsigned masked = 0; masked < 2; masked++) {
        struct state start = stepping(&syscall_64, 3);
        /* SYSCALL loads SS with the selector behind CS: there must be a stack for the frame, which
         * the interrupt stack is. */
        wrmsr(MSR_SFMASK, masked ? FLAG_TF : 0);
        struct state end = debugged(&start, 0);
        if (masked)
            case_check(end.vector == VECTOR_UD && end.ip == (uint32_t)nops.end &&
                           !(read_dr6() & DR6_BITS),
                       "masked: vector %llx at %llx, DR6 %x", end.vector, end.ip, read_dr6());
        else
            case_check(end.vector == VECTOR_DB && end.ip == (uint32_t)nops.start &&
                           read_dr6() & DR6_BS,
                       "vector %llx at %llx, DR6 %x", end.vector, end.ip, read_dr6());
    }
    wrmsr(MSR_SFMASK, 0);
    case_end();
}

/* --- repeated strings */

SNIPPET(64, rep_stosb, "rep stosb; nop");
SNIPPET(64, rep_movsb, "rep movsb; nop");
SNIPPET(64, rep_lodsb, "rep lodsb; nop");
SNIPPET(64, repe_cmpsb, "repe cmpsb; nop");
SNIPPET(64, repne_scasb, "repne scasb; nop");
SNIPPET(64, rep_outsb, "rep outsb; nop");
SNIPPET(64, rep_insb, "rep insb; nop");

static void strings(void)
{
    static const struct {
        const char *name;
        const struct snippet *snippet;
    } rows[] = {{"REP STOSB", &rep_stosb},     {"REP MOVSB", &rep_movsb},
                {"REP LODSB", &rep_lodsb},     {"REPE CMPSB", &repe_cmpsb},
                {"REPNE SCASB", &repne_scasb}, {"REP OUTSB", &rep_outsb},
                {"REP INSB", &rep_insb}};

    case_begin("3B 18.3.1.1",
               "a repeated string is stepped by iterations; RF is pushed but by the last");
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        for (unsigned count = 0; count <= 3; count++) {
            struct state start = stepping(rows[i].snippet, 0);
            start.gpr[RCX] = count;
            start.gpr[RSI] = start.gpr[RDI] = OPERAND;
            start.gpr[RDX] = 0xe0;
            *dword_at(OPERAND) = 0x01010101;
            struct state end = debugged(&start, 0);
            stepped(rows[i].name, rows[i].snippet, &start, &end, count > 1 ? 0 : 2, DR6_BS);
            case_check(end.gpr[RCX] == (count ? count - 1 : 0), "%s: RCX %llx of %x", rows[i].name,
                       end.gpr[RCX], count);
            case_check(!!(end.flags & FLAG_RF) == (count > 1), "%s: count %x, flags %llx",
                       rows[i].name, count, end.flags);
        }
    }
    case_end();
}

/* --- the shadow of MOV SS */

SNIPPET(64, mov_ss, "mov %ax, %ss; nop; nop");
SNIPPET(64, mov_ss_memory, "mov (%rbx), %ss; nop; nop");
SNIPPET(32, pop_ss, "pop %ss; nop; nop");

static void mov_ss_shadow(void)
{
    case_begin("3A 6.8.3", "the step trap after MOV SS comes after the next instruction");
    for (unsigned cpl = 0; cpl <= 3; cpl += 3) {
        struct state start = stepping(&mov_ss, cpl);
        start.gpr[RAX] = start.ss;
        struct state end = debugged(&start, 0);
        stepped("MOV SS", &mov_ss, &start, &end, 3, DR6_BS);
        start = stepping(&pop_ss, cpl);
        start.gpr[RSP] -= 4;
        *dword_at((uint32_t)start.gpr[RSP]) = (uint32_t)start.ss;
        end = debugged(&start, 0);
        stepped("POP SS", &pop_ss, &start, &end, 2, DR6_BS);
    }
    case_end();

    case_begin("3B 18.3.1.1", "a breakpoint on the instruction after MOV SS is not hit");
    for (unsigned cpl = 0; cpl <= 3; cpl += 3) {
        struct state start = start_at(&mov_ss, cpl);
        start.gpr[RAX] = start.ss;
        write_dr0((uint32_t)start.ip + 2);
        struct state end = debugged(&start, dr7_of(0, BREAK_EXECUTE, 1));
        case_compare(&mov_ss, &start, &end, ENDS, "CPL %u", cpl);
    }
    case_end();

    case_begin("3A 6.8.3", "a data breakpoint hit by MOV SS is taken after the next instruction");
    for (unsigned tf = 0; tf < 2; tf++) {
        for (unsigned cpl = 0; cpl <= 3; cpl += 3) {
            struct state start = start_at(&mov_ss_memory, cpl);
            start.flags |= tf ? FLAG_TF : 0;
            start.gpr[RBX] = OPERAND;
            *word_at(OPERAND) = (uint16_t)start.ss;
            write_dr0(OPERAND);
            struct state end = debugged(&start, dr7_of(0, BREAK_ACCESS, 2));
            stepped("MOV SS from memory", &mov_ss_memory, &start, &end, 3, 1 | (tf ? DR6_BS : 0));
        }
    }
    case_end();
}

/* --- RF */

SNIPPET(64, pushf_64, "pushf; pop %rcx");
SNIPPET(64, load_bad, "mov %ax, %ds; nop");

static void resume_flag(void)
{
    case_begin("3B 18.3.1.1", "RF skips one breakpoint, and is clear afterwards");
    for (unsigned cpl = 0; cpl <= 3; cpl += 3) {
        struct state start = start_at(&nops, cpl);
        start.flags |= FLAG_RF;
        write_dr0((uint32_t)start.ip);
        write_dr1((uint32_t)start.ip + 1);
        struct state end =
            debugged(&start, dr7_of(0, BREAK_EXECUTE, 1) | dr7_of(1, BREAK_EXECUTE, 1));
        stepped("NOP", &nops, &start, &end, 1, 2);
        case_check(!(end.flags & FLAG_RF), "flags %llx", end.flags);
    }
    case_end();

    case_begin("3B 18.3.1.1", "faults push RF set, traps and instruction breakpoints clear");
    struct state start = start_at(&undefined, 0), end = debugged(&start, 0);
    case_check(end.flags & FLAG_RF, "#UD: %llx", end.flags);
    start = start_at(&load_bad, 0);
    start.gpr[RAX] = 0xfff8;
    end = debugged(&start, 0);
    case_check(end.vector == VECTOR_GP && end.flags & FLAG_RF, "#GP: %llx", end.flags);
    start = start_at(&int_3, 0);
    start.flags |= FLAG_RF;
    end = debugged(&start, 0);
    case_check(!(end.flags & FLAG_RF), "INT3: %llx", end.flags);
    start = start_at(&int_80, 0);
    start.flags |= FLAG_RF;
    end = debugged(&start, 0);
    case_check(!(end.flags & FLAG_RF), "INT n: %llx", end.flags);
    start = start_at(&nops, 0);
    write_dr0((uint32_t)start.ip);
    end = debugged(&start, dr7_of(0, BREAK_EXECUTE, 1));
    case_check(end.vector == VECTOR_DB && !(end.flags & FLAG_RF), "breakpoint: %llx", end.flags);
    case_end();

    case_begin("2B PUSHF", "PUSHF pushes RF as 0, POPF clears it");
    start = start_at(&pushf_64, 0);
    start.flags |= FLAG_RF;
    write_dr0((uint32_t)start.ip);
    end = case_debugged(&pushf_64, &start, dr7_of(0, BREAK_EXECUTE, 1), ENDS, "PUSHF");
    case_check(!(end.gpr[RCX] & FLAG_RF), "%llx", end.gpr[RCX]);
    start = start_at(&popf_sets, 0);
    start.gpr[RSP] -= 8;
    *qword_at((uint32_t)start.gpr[RSP]) = FLAG_FIXED | FLAG_RF;
    write_dr0((uint32_t)start.ip + 1);
    end = debugged(&start, dr7_of(0, BREAK_EXECUTE, 1));
    stepped("POPF", &popf_sets, &start, &end, 1, 1);
    case_end();
}

/* --- IA32_DEBUGCTL.BTF */

SNIPPET(64, branches, "nop; nop; jmp 1f; nop; 1: nop");
SNIPPET(64, not_taken, "nop; xor %eax, %eax; jnz 1f; nop; jz 1f; nop; 1: nop");

static void branch_steps(void)
{
    case_begin("3B 18.4.3", "with BTF set only a branch that is taken is followed by #DB");
    for (unsigned cpl = 0; cpl <= 3; cpl += 3) {
        wrmsr(MSR_DEBUGCTL, DEBUGCTL_BTF);
        struct state start = stepping(&branches, cpl);
        struct state end = debugged(&start, 0);
        stepped("JMP", &branches, &start, &end, 5, DR6_BS);
        case_check(!(rdmsr(MSR_DEBUGCTL) & DEBUGCTL_BTF), "#DB leaves BTF set");
        wrmsr(MSR_DEBUGCTL, DEBUGCTL_BTF);
        start = stepping(&not_taken, cpl);
        end = debugged(&start, 0);
        stepped("JNZ, JZ", &not_taken, &start, &end, 9, DR6_BS);
    }
    wrmsr(MSR_DEBUGCTL, 0);
    case_end();
}

static void long_mode(void)
{
    after_one();
    popf();
    iret();
    software_interrupts();
    int1();
    syscalls();
    strings();
    mov_ss_shadow();
    resume_flag();
    branch_steps();
}

/* --- protected and virtual-8086 mode */

SNIPPET(32, nops_32, "nop; nop");
SNIPPET(16, nops_16, "nop; nop");
SNIPPET(16, popf_16, "popf; nop; nop");
SNIPPET(16, int_16, "int $0x80");

static void protected_mode(void)
{
    case_begin_in("3B 18.3.1.4", "with TF set each instruction is followed by #DB",
                  "protected and virtual-8086 mode");
    for (unsigned cpl = 1; cpl <= 3; cpl++) {
        struct state start = stepping(&nops_32, cpl);
        struct state end = debugged(&start, 0);
        stepped("NOP, 32 bits", &nops_32, &start, &end, 1, DR6_BS);
        start = stepping(&nops_16, cpl);
        end = debugged(&start, 0);
        stepped("NOP, 16 bits", &nops_16, &start, &end, 1, DR6_BS);
    }
    struct state start = start_v86(&nops_16);
    start.flags |= FLAG_TF;
    struct state end = debugged(&start, 0);
    stepped("NOP, V86", &nops_16, &start, &end, 1, DR6_BS);
    start = start_v86(&popf_16);
    start.flags |= 3 << 12;
    *word_at(DATA_BASE + STACK_16) = FLAG_FIXED | FLAG_TF;
    end = debugged(&start, 0);
    stepped("POPF, V86", &popf_16, &start, &end, 2, DR6_BS);
    start = start_v86(&int_16);
    start.flags |= FLAG_TF | 3 << 12;
    end = debugged(&start, 0);
    case_check(end.vector == VECTOR_USER && end.flags & FLAG_TF, "INT n, V86: vector %llx",
               end.vector);
    case_end();
}

const struct topic topic = {"debug-step", protected_mode, long_mode};
