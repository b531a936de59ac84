/* Topic: addresses that are not canonical: data, stack and branches.
 *
 * Sources: SDM 3A §3.3.7.1, §6.15 (#SS, #GP); 1 §3.3.7.1. */
#include "model.h"

/* --- data: (RBX), (RBP), (RSP), FS and GS */

#define SIZES(name, operand)                                                                       \
    SNIPPET(64, name##_read_1, "mov " operand ", %al");                                            \
    SNIPPET(64, name##_read_2, "mov " operand ", %ax");                                            \
    SNIPPET(64, name##_read_4, "mov " operand ", %eax");                                           \
    SNIPPET(64, name##_read_8, "mov " operand ", %rax");                                           \
    SNIPPET(64, name##_write_1, "mov %al, " operand);                                              \
    SNIPPET(64, name##_write_8, "mov %rax, " operand);                                             \
    SNIPPET(64, name##_modify_8, "lock xadd %rax, " operand);                                      \
    SNIPPET(64, name##_read_10, "fldt " operand)
SIZES(rbx, "(%rbx)");
SIZES(rbp, "0(%rbp)");
SIZES(rsp, "(%rsp)");
SIZES(index, "(%rdx,%rbx,1)");
SIZES(fs, "%fs:(%rbx)");
SIZES(gs_rbp, "%gs:0(%rbp)");
SIZES(ss_rbx, "%ss:(%rbx)");
SIZES(ds_rbp, "%ds:0(%rbp)");

struct access {
    const struct snippet *snippet;
    unsigned bytes;
    bool writes;
};

#define ACCESS_TABLE(name)                                                                         \
    {                                                                                              \
        {&name##_read_1, 1, false}, {&name##_read_2, 2, false}, {&name##_read_4, 4, false},        \
            {&name##_read_8, 8, false}, {&name##_read_10, 10, false}, {&name##_write_1, 1, true},  \
            {&name##_write_8, 8, true}, {&name##_modify_8, 8, true},                               \
    }
enum { ACCESSES = 8 };

/* In 64-bit mode overrides but those of FS and GS are ignored; a base of RBP or RSP means SS. */
static const struct {
    const char *name;
    struct access accesses[ACCESSES];
    unsigned vector;
} forms[] = {
    {"(RBX)", ACCESS_TABLE(rbx), VECTOR_GP},       {"(RBP)", ACCESS_TABLE(rbp), VECTOR_SS},
    {"(RSP)", ACCESS_TABLE(rsp), VECTOR_SS},       {"(RDX,RBX)", ACCESS_TABLE(index), VECTOR_GP},
    {"FS:(RBX)", ACCESS_TABLE(fs), VECTOR_GP},     {"GS:(RBP)", ACCESS_TABLE(gs_rbp), VECTOR_GP},
    {"SS:(RBX)", ACCESS_TABLE(ss_rbx), VECTOR_GP}, {"DS:(RBP)", ACCESS_TABLE(ds_rbp), VECTOR_SS},
};

#define LOW_END    0x0000800000000000 /* the first that is not canonical */
#define HIGH_START 0xffff800000000000 /* the first that is again */

static bool is_canonical(uint64_t address)
{
    return address < LOW_END || address >= HIGH_START;
}

static bool all_canonical(uint64_t address, unsigned bytes)
{
    return is_canonical(address) && is_canonical(address + bytes - 1);
}

static const uint64_t edges[] = {
    LOW_END,           HIGH_START, 0x0001000000000000, 0x8000000000000000, 0x7fffffffffffff00,
    0xfffe800000000000};

/* Nothing is mapped near the edges: what is canonical ends in a page fault, at the first byte that
 * is missing. */
static void one_access(const char *name, const struct access *access, unsigned vector, uint64_t at)
{
    struct state start = start_at(access->snippet, 3);
    struct verdict missing = fault(VECTOR_PF, access->writes ? 6 : 4);
    bool reaches = all_canonical(at, access->bytes);

    start.gpr[RBX] = start.gpr[RBP] = start.gpr[RSP] = at;
    write_cr2(0);
    case_attempt(access->snippet, &start, reaches ? missing : fault(vector, 0),
                 "%s, %u bytes at %016llx", name, access->bytes, at);
    if (reaches)
        case_check(read_cr2() == (uint32_t)at, "%s, %u bytes at %016llx: CR2 %x", name,
                   access->bytes, at, read_cr2());
}

static void data(void)
{
    for (unsigned form = 0; form < COUNT(forms); form++) {
        case_begin_in("3A 3.3.7.1",
                      forms[form].vector == VECTOR_SS ? "data, #SS(0)" : "data, #GP(0)",
                      forms[form].name);
        for (unsigned i = 0; i < ACCESSES * COUNT(edges) * 24; i++)
            one_access(forms[form].name, &forms[form].accesses[i % ACCESSES], forms[form].vector,
                       edges[i / ACCESSES % COUNT(edges)] - 12 + i / ACCESSES / COUNT(edges));
        case_end();
    }
}

static void bases(void)
{
    case_begin("3A 3.4.4.1", "FS and GS bases are added before the check");
    for (unsigned i = 0; i < 4; i++) {
        const struct snippet *snippet = i & 1 ? &gs_rbp_read_1 : &fs_read_1;
        struct state start = start_at(snippet, 3);
        bool leaves = i & 2;
        start.fs_base = start.gs_base = leaves ? LOW_END - 1 : HIGH_START;
        start.gpr[RBX] = start.gpr[RBP] = leaves ? 1 : FREE_BASE - HIGH_START;
        case_attempt(snippet, &start, leaves ? fault(VECTOR_GP, 0) : ENDS, "%u", i);
    }
    case_end();
}

/* --- the stack */

SNIPPET(64, push, "push %rax");
SNIPPET(64, push_word, "pushw %ax");
SNIPPET(64, push_flags, "pushfq");
SNIPPET(64, pop, "pop %rax");
SNIPPET(64, call_near, "call 1f\n1:");
SNIPPET(64, enter_frame, "enter $0, $0");
SNIPPET(64, leave_frame, "leave");
SNIPPET(64, return_near, "ret");
SNIPPET(64, return_far, "lretq");
SNIPPET(64, interrupt_return, "iretq");

static void stack(void)
{
    static const struct {
        const struct snippet *snippet;
        int offset; /* of the first byte from RSP */
        unsigned bytes;
    } uses[] = {{&push, -8, 8},       {&push_word, -2, 2}, {&push_flags, -8, 8},
                {&pop, 0, 8},         {&call_near, -8, 8}, {&enter_frame, -8, 8},
                {&leave_frame, 0, 8}, {&return_near, 0, 8}};

    case_begin("3A 6.15", "the stack: #SS(0)");
    for (unsigned i = 0; i < COUNT(uses) * COUNT(edges) * 24; i++) {
        unsigned use = i % COUNT(uses);
        uint64_t sp = edges[i / COUNT(uses) % COUNT(edges)] - 12 + i / COUNT(uses) / COUNT(edges);
        bool reaches = all_canonical(sp + uses[use].offset, uses[use].bytes);
        struct state start = start_at(uses[use].snippet, 3);
        start.gpr[RSP] = start.gpr[RBP] = sp;
        struct state end =
            case_attempt(uses[use].snippet, &start,
                         reaches ? fault(VECTOR_PF, uses[use].offset ? 6 : 4) : fault(VECTOR_SS, 0),
                         "use %u, RSP %016llx", use, sp);
        case_check(end.gpr[RSP] == sp, "use %u, RSP %016llx: RSP %016llx", use, sp, end.gpr[RSP]);
    }
    case_end();

    case_begin("3A 6.15", "far returns from such a stack: #SS(0)");
    for (unsigned i = 0; i < 2 * COUNT(edges); i++) {
        const struct snippet *snippet = i & 1 ? &return_far : &interrupt_return;
        struct state start = start_at(snippet, 0);
        start.gpr[RSP] = edges[i / 2];
        bool reaches = is_canonical(edges[i / 2]);
        case_attempt(snippet, &start, reaches ? fault(VECTOR_PF, 0) : fault(VECTOR_SS, 0),
                     "RSP %016llx", edges[i / 2]);
    }
    case_end();
}

/* --- string instructions */

SNIPPET(64, load_string, "lodsb");
SNIPPET(64, store_string, "stosb");
SNIPPET(64, move_string, "rep movsq");
SNIPPET(64, compare_string, "repe cmpsb");
SNIPPET(64, translate_byte, "xlat");

static void strings(void)
{
    static const struct {
        const struct snippet *snippet;
        bool by_rsi, by_rdi, by_rbx;
    } rows[] = {{&load_string, true, false, false},    {&store_string, false, true, false},
                {&move_string, true, false, false},    {&move_string, false, true, false},
                {&compare_string, true, false, false}, {&compare_string, false, true, false},
                {&translate_byte, false, false, true}};

    case_begin("3A 3.3.7.1", "string instructions: #GP(0)");
    for (unsigned i = 0; i < COUNT(rows) * COUNT(edges); i++) {
        unsigned row = i % COUNT(rows);
        uint64_t at = edges[i / COUNT(rows)];
        struct state start = start_at(rows[row].snippet, 3);
        start.gpr[RCX] = 4;
        start.gpr[RSI] = rows[row].by_rsi ? at : FREE_BASE;
        start.gpr[RDI] = rows[row].by_rdi ? at : FREE_BASE;
        start.gpr[RBX] = at;
        if (is_canonical(at))
            continue;
        struct state end = case_attempt(rows[row].snippet, &start, fault(VECTOR_GP, 0),
                                        "row %u at %016llx", row, at);
        case_check(end.gpr[RCX] == 4, "row %u: RCX %llx", row, end.gpr[RCX]);
    }
    case_end();
}

/* --- branches */

SNIPPET(64, jump, "jmp *%rbx");
SNIPPET(64, jump_memory, "jmp *(%rdx)");
SNIPPET(64, call_register, "call *%rbx");
SNIPPET(64, return_release, "ret $16");

static void branches(void)
{
    static const struct snippet *const snippets[] = {&jump, &jump_memory, &call_register,
                                                     &return_near, &return_release};

    case_begin("2A JMP", "a near branch to such an address: #GP(0) at the branch");
    for (unsigned i = 0; i < COUNT(snippets) * COUNT(edges) * 4; i++) {
        const struct snippet *snippet = snippets[i % COUNT(snippets)];
        uint64_t target =
            edges[i / COUNT(snippets) % COUNT(edges)] - 2 + i / COUNT(snippets) / COUNT(edges);
        struct state start = start_at(snippet, 3);
        start.gpr[RBX] = target;
        start.gpr[RDX] = FREE_BASE;
        *qword_at(FREE_BASE) = target;
        *qword_at(STACK_TOP(3)) = target;
        struct state end = attempt(&start);
        if (is_canonical(target)) {
            case_check(end.vector == VECTOR_PF && end.ip == target && end.error == 0x4,
                       "branch %u to %016llx: vector %u at %016llx", i % COUNT(snippets), target,
                       (unsigned)end.vector, end.ip);
            continue;
        }
        case_compare(snippet, &start, &end, fault(VECTOR_GP, 0), "branch %u to %016llx",
                     i % COUNT(snippets), target);
        case_check(end.gpr[RSP] == start.gpr[RSP], "branch %u: RSP %llx", i % COUNT(snippets),
                   end.gpr[RSP]);
    }
    case_end();
}

/* The last page below the edge, mapped for this case to FREE_BASE. */
static void map_last_page(void)
{
    enum { TABLES = FREE_BASE + 0x10000 };

    qword_at(PAGE_TABLES)[255] = TABLES | PAGE_PRESENT_WRITE_USER;
    qword_at(TABLES)[511] = (TABLES + 0x1000) | PAGE_PRESENT_WRITE_USER;
    qword_at(TABLES + 0x1000)[511] = (TABLES + 0x2000) | PAGE_PRESENT_WRITE_USER;
    qword_at(TABLES + 0x2000)[511] = FREE_BASE | PAGE_PRESENT_WRITE_USER;
    write_cr3(PAGE_TABLES);
}

static void last_page(void)
{
    static const uint8_t relative[] = {0xeb, 0x02}; /* JMP +2 */
    struct state start = start_at(&jump, 3), end;

    case_begin("3A 3.3.7.1", "code that runs, is cut off, or jumps across the edge: #GP(0)");
    map_last_page();
    for (unsigned i = 0; i < 0x1000; i++)
        *byte_at(FREE_BASE + i) = 0x90;
    start.ip = LOW_END - 16;
    end = attempt(&start);
    case_check(end.vector == VECTOR_GP && end.error == 0 && end.ip == LOW_END,
               "ran to %016llx: vector %u", end.ip, (unsigned)end.vector);
    *byte_at(FREE_BASE + 0xffe) = 0x66; /* an opcode is to follow */
    *byte_at(FREE_BASE + 0xfff) = 0x0f;
    end = attempt(&start);
    case_check(end.vector == VECTOR_GP && end.error == 0 && end.ip == LOW_END - 2,
               "cut off at %016llx: vector %u", end.ip, (unsigned)end.vector);
    for (unsigned i = 0; i < sizeof relative; i++)
        *byte_at(FREE_BASE + 0xff0 + i) = relative[i];
    *byte_at(FREE_BASE + 0xffe) = relative[0];
    *byte_at(FREE_BASE + 0xfff) = relative[1];
    end = attempt(&start);
    case_check(end.vector == VECTOR_GP && end.error == 0 && end.ip == LOW_END - 2,
               "jumped from %016llx: vector %u", end.ip, (unsigned)end.vector);
    case_end();

    case_begin("3A 3.3.7.1", "data across the edge: #GP(0), though the first bytes are there");
    map_last_page();
    for (unsigned i = 0; i < ACCESSES * 12; i++) {
        const struct access *access = &forms[0].accesses[i % ACCESSES];
        uint64_t at = LOW_END - 12 + i / ACCESSES;
        start = start_at(access->snippet, 3);
        start.gpr[RBX] = at;
        case_attempt(access->snippet, &start,
                     all_canonical(at, access->bytes) ? ENDS : fault(VECTOR_GP, 0),
                     "%u bytes at %016llx", access->bytes, at);
    }
    case_end();
}

/* --- what does not look at the address */

SNIPPET(64, invalidate, "invlpg (%rbx)");
SNIPPET(64, effective, "lea (%rbx), %rax");
SNIPPET(64, prefetch, "prefetcht0 (%rbx)");
SNIPPET(64, long_nop, "nopl (%rbx)");

static void no_access(void)
{
    static const struct snippet *const snippets[] = {&invalidate, &effective, &prefetch, &long_nop};

    case_begin("2A INVLPG", "INVLPG, LEA, PREFETCHh and NOP take any address");
    for (unsigned i = 0; i < COUNT(snippets) * COUNT(edges); i++) {
        const struct snippet *snippet = snippets[i % COUNT(snippets)];
        struct state start = start_at(snippet, 0);
        start.gpr[RBX] = edges[i / COUNT(snippets)];
        case_attempt(snippet, &start, ENDS, "snippet %u, %016llx", i % COUNT(snippets),
                     start.gpr[RBX]);
    }
    case_end();
}

static void long_mode(void)
{
    data();
    bases();
    stack();
    strings();
    branches();
    last_page();
    no_access();
}

const struct topic topic = {"canonical", NULL, long_mode};
