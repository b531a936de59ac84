/* Topic: an instruction that faults has done nothing: it can be started again.
 *
 * Every instruction that reaches memory meets a missing page, a read-only one, and one behind its
 * first bytes; registers, flags and memory must be as before, CR2 the first byte that is missing.
 * Sources: SDM 3A §6.6 (restart), §6.15 (#PF), §4.7; 1 §7.3.9.2 (strings). */
#include "model.h"

enum effect { LOAD, STORE, MODIFY };

/* clang-format off */
#define OPERATIONS(X)                                                                              \
    X(mov_load_1, "mov (%rbx), %al", 1, LOAD)                                                      \
    X(mov_load_2, "mov (%rbx), %ax", 2, LOAD)                                                      \
    X(mov_load_4, "mov (%rbx), %eax", 4, LOAD)                                                     \
    X(mov_load_8, "mov (%rbx), %rax", 8, LOAD)                                                     \
    X(mov_store_1, "mov %al, (%rbx)", 1, STORE)                                                    \
    X(mov_store_2, "mov %ax, (%rbx)", 2, STORE)                                                    \
    X(mov_store_4, "mov %eax, (%rbx)", 4, STORE)                                                   \
    X(mov_store_8, "mov %rax, (%rbx)", 8, STORE)                                                   \
    X(mov_immediate, "movl $0x12345678, (%rbx)", 4, STORE)                                         \
    X(movzx, "movzwl (%rbx), %eax", 2, LOAD)                                                       \
    X(movsx, "movslq (%rbx), %rax", 4, LOAD)                                                       \
    X(movbe_load, "movbe (%rbx), %rax", 8, LOAD)                                                   \
    X(movbe_store, "movbe %rax, (%rbx)", 8, STORE)                                                 \
    X(movnti, "movnti %rax, (%rbx)", 8, STORE)                                                     \
    X(cmov_taken, "cmovc (%rbx), %rax", 8, LOAD)                                                   \
    X(cmov_not_taken, "cmovnc (%rbx), %rax", 8, LOAD)                                              \
    X(setcc, "setc (%rbx)", 1, STORE)                                                              \
    X(add_load, "add (%rbx), %rax", 8, LOAD)                                                       \
    X(add_store, "add %rax, (%rbx)", 8, MODIFY)                                                    \
    X(adc_immediate, "adcl $5, (%rbx)", 4, MODIFY)                                                 \
    X(cmp_load, "cmp (%rbx), %eax", 4, LOAD)                                                       \
    X(cmp_store, "cmp %eax, (%rbx)", 4, LOAD)                                                      \
    X(test_store, "test %eax, (%rbx)", 4, LOAD)                                                    \
    X(inc, "incq (%rbx)", 8, MODIFY)                                                               \
    X(dec, "decw (%rbx)", 2, MODIFY)                                                               \
    X(neg, "negl (%rbx)", 4, MODIFY)                                                               \
    X(not, "notq (%rbx)", 8, MODIFY)                                                               \
    X(shift, "shll %cl, (%rbx)", 4, MODIFY)                                                        \
    X(rotate, "rcrq $1, (%rbx)", 8, MODIFY)                                                        \
    X(shld, "shld %cl, %rax, (%rbx)", 8, MODIFY)                                                   \
    X(mul, "mulq (%rbx)", 8, LOAD)                                                                 \
    X(imul, "imul (%rbx), %rax", 8, LOAD)                                                          \
    X(div, "divq (%rbx)", 8, LOAD)                                                                 \
    X(idiv, "idivl (%rbx)", 4, LOAD)                                                               \
    X(bt, "bt $3, (%rbx)", 4, LOAD)                                                                \
    X(bts, "btsq $3, (%rbx)", 8, MODIFY)                                                           \
    X(bsf, "bsf (%rbx), %rax", 8, LOAD)                                                            \
    X(xchg, "xchg %rax, (%rbx)", 8, MODIFY)                                                        \
    X(xadd, "xadd %eax, (%rbx)", 4, MODIFY)                                                        \
    X(lock_xadd, "lock xadd %rax, (%rbx)", 8, MODIFY)                                              \
    X(cmpxchg, "cmpxchg %rcx, (%rbx)", 8, MODIFY)                                                  \
    X(lock_cmpxchg, "lock cmpxchg %ecx, (%rbx)", 4, MODIFY)                                        \
    X(cmpxchg8b, "cmpxchg8b (%rbx)", 8, MODIFY)                                                    \
    X(push_memory, "pushq (%rbx)", 8, LOAD)                                                        \
    X(pop_memory, "popq (%rbx)", 8, STORE)                                                         \
    X(call_memory, "call *(%rbx)", 8, LOAD)                                                        \
    X(jump_memory, "jmp *(%rbx)", 8, LOAD)                                                         \
    X(call_far, "lcall *(%rbx)", 6, LOAD)                                                          \
    X(jump_far, "ljmp *(%rbx)", 6, LOAD)                                                           \
    X(load_fs, "mov (%rbx), %fs", 2, LOAD)                                                         \
    X(load_far, "lfs (%rbx), %eax", 6, LOAD)                                                       \
    X(store_segment, "mov %ds, (%rbx)", 2, STORE)                                                  \
    X(store_ldt, "sldt (%rbx)", 2, STORE)                                                          \
    X(store_gdt, "sgdt (%rbx)", 10, STORE)                                                         \
    X(lar, "lar (%rbx), %eax", 2, LOAD)                                                            \
    X(verr, "verr (%rbx)", 2, LOAD)                                                                \
    X(fld_4, "flds (%rbx)", 4, LOAD)                                                               \
    X(fld_10, "fldt (%rbx)", 10, LOAD)                                                             \
    X(fst_8, "fstpl (%rbx)", 8, STORE)                                                             \
    X(fist_2, "fistps (%rbx)", 2, STORE)                                                           \
    X(fst_10, "fstpt (%rbx)", 10, STORE)                                                           \
    X(fldcw, "fldcw (%rbx)", 2, LOAD)                                                              \
    X(fnstenv, "fnstenv (%rbx)", 28, STORE)                                                        \
    X(fnsave, "fnsave (%rbx)", 108, STORE)                                                         \
    X(movups_load, "movups (%rbx), %xmm1", 16, LOAD)                                               \
    X(movups_store, "movups %xmm1, (%rbx)", 16, STORE)                                             \
    X(movss_store, "movss %xmm1, (%rbx)", 4, STORE)                                                \
    X(ldmxcsr, "ldmxcsr (%rbx)", 4, LOAD)                                                          \
    X(stmxcsr, "stmxcsr (%rbx)", 4, STORE)                                                         \
    X(maskmov, "maskmovdqu %xmm2, %xmm1", 16, STORE)                                               \
    X(push, "push %rax", 8, STORE)                                                                 \
    X(push_flags, "pushfq", 8, STORE)                                                              \
    X(call_near, "call 1f; 1:", 8, STORE)                                                          \
    X(enter_frame, "enter $16, $0", 8, STORE)                                                      \
    X(pop, "pop %rax", 8, LOAD)                                                                    \
    X(pop_flags, "popfq", 8, LOAD)                                                                 \
    X(leave_frame, "leave", 8, LOAD)                                                               \
    X(return_near, "ret $8", 8, LOAD)                                                              \
    X(return_far, "lretl", 8, LOAD)                                                                \
    X(lods, "lodsq", 8, LOAD)                                                                      \
    X(stos, "stosq", 8, STORE)                                                                     \
    X(scas, "scasl", 4, LOAD)                                                                      \
    X(xlat, "xlat", 1, LOAD)
/* clang-format on */

#define DECLARE(name, code, bytes, effect) SNIPPET(64, name, code);
OPERATIONS(DECLARE)

static const struct operation {
    const char *name;
    const struct snippet *snippet;
    unsigned bytes;
    enum effect effect;
} operations[] = {
#define ROW(name, code, bytes, effect) {#name, &name, bytes, effect},
    OPERATIONS(ROW)
#undef ROW
};

/* --- pages */

/* Linear pages of the case; each odd one follows a page that can be written. */
#define WINDOW 0x80000000
enum {
    TABLE = FREE_BASE + 0x10000,
    FRAMES = FREE_BASE + 0x11000,
    MISSING = 1,
    READ_ONLY = 3,
    PAGE = 0x1000,
};

static uint8_t *frame(unsigned page)
{
    return (uint8_t *)FRAMES + PAGE * page;
}

static void map_pages(void)
{
    enum { DIRECTORIES = PAGE_TABLES + 0x2000 };

    for (unsigned page = 0; page < 4; page++) {
        qword_at(TABLE)[page] =
            page == MISSING ? 0 : (uint32_t)frame(page) | (page == READ_ONLY ? 5 : 7);
        for (unsigned i = 0; i < PAGE; i++)
            frame(page)[i] = i * 7 + page;
    }
    qword_at(DIRECTORIES)[WINDOW >> 21] = TABLE | PAGE_PRESENT_WRITE_USER;
    write_cr3(PAGE_TABLES);
}

static bool frames_are_whole(void)
{
    for (unsigned page = 0; page < 4; page++)
        for (unsigned i = 0; i < PAGE; i++)
            if (frame(page)[i] != (uint8_t)(i * 7 + page))
                return false;
    return true;
}

/* --- one fault */

static bool uses(const struct snippet *snippet, const struct snippet *const *list, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        if (list[i]->start == snippet->start)
            return true;
    return false;
}

/* Every register has a value of its own, and points at `at` if it may be the one that counts. */
static struct state prepare(const struct operation *operation, uint32_t at)
{
    static const struct snippet *const pushes[] = {&push, &push_flags, &call_near, &enter_frame};
    static const struct snippet *const pops[] = {&pop, &pop_flags, &return_near, &return_far};
    struct state start = start_at(operation->snippet, 3);

    for (unsigned i = 0; i < REGISTERS; i++)
        if (i != RSP)
            start.gpr[i] = 0x0101010101010101 * (i + 0x11);
    start.gpr[RBX] = start.gpr[RSI] = start.gpr[RDI] = start.gpr[RBP] = at;
    start.gpr[RCX] = 3;
    if (operation->snippet->start == xlat.start)
        start.gpr[RAX] = 0;
    if (uses(operation->snippet, pushes, COUNT(pushes)))
        start.gpr[RSP] = at + 8;
    if (uses(operation->snippet, pops, COUNT(pops)))
        start.gpr[RSP] = at;
    start.flags |= 0x8d5 & ~0x40; /* CF is set, ZF is not */
    return start;
}

static bool registers_agree(const struct state *start, const struct state *end)
{
    bool agree = start->cs == end->cs && start->ss == end->ss && start->ds == end->ds &&
                 start->es == end->es && start->fs == end->fs && start->gs == end->gs;

    for (unsigned i = 0; i < REGISTERS; i++)
        agree &= start->gpr[i] == end->gpr[i];
    return agree && start->flags == (end->flags & ~(uint64_t)FLAG_RF);
}

/* The error code of an access to `page`.  Whether one that reads first counts as a write on a
 * missing page, the manual leaves open. */
static bool error_agrees(const struct operation *operation, unsigned page, uint64_t error)
{
    enum { PRESENT = 1, WRITE = 2, USER = 4 };

    if (page == MISSING && operation->effect == MODIFY)
        return (error | WRITE) == (USER | WRITE);
    return error == (unsigned)(USER | (page == READ_ONLY ? PRESENT : 0) |
                               (operation->effect == LOAD ? 0 : WRITE));
}

static void one_fault(const struct operation *operation, unsigned page, unsigned before)
{
    uint32_t edge = WINDOW + PAGE * page, at = before ? edge - before : edge + 0x100;
    struct state start = prepare(operation, at);

    write_cr2(0);
    struct state end = attempt(&start);
    case_check(end.vector == VECTOR_PF && end.ip == start.ip &&
                   error_agrees(operation, page, end.error),
               "%s, page %u, %u bytes before: vector %u, error %llx at %llx", operation->name, page,
               before, (unsigned)end.vector, end.error, end.ip);
    case_check(read_cr2() == (before ? edge : at), "%s, page %u, %u bytes before: CR2 %x",
               operation->name, page, before, read_cr2());
    case_check(registers_agree(&start, &end), "%s, page %u, %u bytes before: registers differ",
               operation->name, page, before);
}

/* SSE needs its bits; MASKMOVDQU stores what the mask says, all of it. */
static void prepare_vectors(void)
{
    write_cr4(read_cr4() | 0x600); /* OSFXSR, OSXMMEXCPT */
    __asm__ volatile("fninit\n fldz\n pcmpeqd %xmm2, %xmm2\n pxor %xmm1, %xmm1");
}

static void faults(enum effect effect, unsigned page, const char *name)
{
    case_begin("3A 6.6", name);
    map_pages();
    prepare_vectors();
    for (unsigned i = 0; i < COUNT(operations); i++) {
        const struct operation *operation = &operations[i];
        if (operation->effect != effect)
            continue;
        for (unsigned before = 0; before < operation->bytes; before++)
            one_fault(operation, page, before);
        case_check(frames_are_whole(), "%s: memory differs", operation->name);
        map_pages();
    }
    case_end();
}

/* --- repeated strings: what has been done counts */

SNIPPET(64, rep_movs, "rep movsb");
SNIPPET(64, rep_movs_8, "rep movsq");
SNIPPET(64, rep_stos_4, "rep stosl");
SNIPPET(64, repe_cmps_2, "repe cmpsw");
SNIPPET(64, rep_lods_8, "rep lodsq");
SNIPPET(64, repne_scas, "repne scasb");

static void strings(void)
{
    static const struct {
        const char *name;
        const struct snippet *snippet;
        unsigned unit;
        bool by_rsi, by_rdi;
    } rows[] = {
        {"REP MOVSB", &rep_movs, 1, true, true},    {"REP MOVSQ", &rep_movs_8, 8, true, true},
        {"REP STOSD", &rep_stos_4, 4, false, true}, {"REPE CMPSW", &repe_cmps_2, 2, true, true},
        {"REP LODSQ", &rep_lods_8, 8, true, false}, {"REPNE SCASB", &repne_scas, 1, false, true}};

    case_begin("1 7.3.9.2", "a repeated string stops at the element that faults");
    for (unsigned i = 0; i < COUNT(rows) * 2 * 20; i++) {
        unsigned row = i % COUNT(rows), done = i / COUNT(rows) / 2, unit = rows[row].unit;
        bool down = i / COUNT(rows) % 2;
        struct state start = start_at(rows[row].snippet, 3);
        map_pages();
        for (unsigned byte = 0; byte < PAGE; byte++)
            frame(0)[byte] = frame(2)[byte] = 0x55; /* alike, for CMPS; AL differs, for SCAS */
        uint32_t first = down ? WINDOW + 2 * PAGE + unit * (done - 1) : WINDOW + PAGE - unit * done;
        uint32_t step = down ? -unit : unit, other = WINDOW + 2 * PAGE + 0x800;
        start.flags |= down ? 0x400 : 0;
        start.gpr[RCX] = 1000;
        start.gpr[RSI] = rows[row].by_rsi && rows[row].by_rdi ? other : first;
        start.gpr[RDI] = first;
        struct state end = attempt(&start);
        case_check(end.vector == VECTOR_PF && end.ip == start.ip && end.gpr[RCX] == 1000 - done,
                   "%s, %u done: vector %u, RCX %llx", rows[row].name, done, (unsigned)end.vector,
                   end.gpr[RCX]);
        case_check(
            (!rows[row].by_rsi || end.gpr[RSI] == (uint32_t)(start.gpr[RSI] + step * done)) &&
                (!rows[row].by_rdi || end.gpr[RDI] == (uint32_t)(first + step * done)),
            "%s, %u done: RSI %llx RDI %llx", rows[row].name, done, end.gpr[RSI], end.gpr[RDI]);
    }
    case_end();
}

/* --- RF in the image that is pushed */

SNIPPET(64, divide, "div %cl");
SNIPPET(64, breakpoint, "int3");
SNIPPET(64, interrupt, "int $0x80");
SNIPPET(64, undefined, "ud2\n ud2");
SNIPPET(64, protection, "mov %ax, %ds");

static void resume_flag(void)
{
    static const struct {
        const struct snippet *snippet;
        unsigned vector;
        bool is_fault;
    } rows[] = {{&divide, VECTOR_DE, true},      {&undefined, VECTOR_UD, true},
                {&protection, VECTOR_GP, true},  {&mov_load_8, VECTOR_PF, true},
                {&breakpoint, VECTOR_BP, false}, {&interrupt, VECTOR_USER, false}};

    case_begin("3A 18.3.1.1", "a fault pushes RF as 1, a trap and INT n as 0");
    idt_set_long(VECTOR_BP, idt_get(VECTOR_BP) | (uint64_t)DPL_3 << 40, 0);
    map_pages();
    for (unsigned i = 0; i < COUNT(rows); i++) {
        struct state start = start_at(rows[i].snippet, 3);
        start.gpr[RAX] = SEL_SCRATCH;
        start.gpr[RBX] = WINDOW + PAGE;
        struct state end = attempt(&start);
        case_check(end.vector == rows[i].vector && (bool)(end.flags & FLAG_RF) == rows[i].is_fault,
                   "vector %u: flags %llx", (unsigned)end.vector, end.flags);
    }
    case_end();
}

static void long_mode(void)
{
    faults(LOAD, MISSING, "instructions that read a missing page");
    faults(STORE, MISSING, "instructions that write a missing page");
    faults(MODIFY, MISSING, "instructions that read and write a missing page");
    faults(STORE, READ_ONLY, "instructions that write a read-only page");
    faults(MODIFY, READ_ONLY, "instructions that read and write a read-only page");
    strings();
    resume_flag();
}

const struct topic topic = {"restart", NULL, long_mode};
