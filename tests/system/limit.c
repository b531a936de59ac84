/* Topic: limits of segments, and where addresses and stack pointers wrap.
 *
 * Sources: SDM 3A §5.3 (limits, expand-down), §5.4, §6.15 (#SS, #GP), §3.4.5.1; 1 §6.2.3. */
#include "model.h"

/* --- operands in memory: [EBX] in a named segment, so many bytes */

#define ACCESSES(segment)                                                                          \
    SNIPPET(32, segment##_read_1, "mov %" #segment ":(%ebx), %al");                                \
    SNIPPET(32, segment##_read_2, "mov %" #segment ":(%ebx), %ax");                                \
    SNIPPET(32, segment##_read_4, "mov %" #segment ":(%ebx), %eax");                               \
    SNIPPET(32, segment##_read_8, "fldl %" #segment ":(%ebx)");                                    \
    SNIPPET(32, segment##_read_10, "fldt %" #segment ":(%ebx)");                                   \
    SNIPPET(32, segment##_write_1, "mov %al, %" #segment ":(%ebx)");                               \
    SNIPPET(32, segment##_write_2, "mov %ax, %" #segment ":(%ebx)");                               \
    SNIPPET(32, segment##_write_4, "mov %eax, %" #segment ":(%ebx)");                              \
    SNIPPET(32, segment##_write_10, "fstpt %" #segment ":(%ebx)");                                 \
    SNIPPET(32, segment##_modify_1, "incb %" #segment ":(%ebx)");                                  \
    SNIPPET(32, segment##_modify_4, "lock xadd %eax, %" #segment ":(%ebx)");                       \
    SNIPPET(32, segment##_modify_8, "cmpxchg8b %" #segment ":(%ebx)")
ACCESSES(ds);
ACCESSES(es);
ACCESSES(fs);
ACCESSES(gs);
ACCESSES(ss);

struct access {
    const struct snippet *snippet;
    unsigned bytes;
    bool writes;
};

#define ACCESS_TABLE(segment)                                                                      \
    {                                                                                              \
        {&segment##_read_1, 1, false}, {&segment##_read_2, 2, false},                              \
            {&segment##_read_4, 4, false}, {&segment##_read_8, 8, false},                          \
            {&segment##_read_10, 10, false}, {&segment##_write_1, 1, true},                        \
            {&segment##_write_2, 2, true}, {&segment##_write_4, 4, true},                          \
            {&segment##_write_10, 10, true}, {&segment##_modify_1, 1, true},                       \
            {&segment##_modify_4, 4, true}, {&segment##_modify_8, 8, true},                        \
    }
enum { ACCESSES_EACH = 12 };
static const struct access tables[][ACCESSES_EACH] = {[SEG_ES] = ACCESS_TABLE(es),
                                                      [SEG_SS] = ACCESS_TABLE(ss),
                                                      [SEG_DS] = ACCESS_TABLE(ds),
                                                      [SEG_FS] = ACCESS_TABLE(fs),
                                                      [SEG_GS] = ACCESS_TABLE(gs)};

enum { SEGMENT = SEL_SCRATCH, CODE_SEGMENT = SEL_SCRATCH + 8 };

/* A segment as its descriptor has it. */
struct shape {
    unsigned kind;
    uint32_t base, limit; /* in bytes or pages */
    unsigned flags;
};

static uint64_t last_offset(const struct shape *shape)
{
    return shape->flags & PAGES ? (uint64_t)shape->limit << 12 | 0xfff : shape->limit;
}

/* SDM 3A 5.3: true if all bytes are inside. */
static bool contains(const struct shape *shape, uint64_t offset, unsigned bytes)
{
    uint64_t end = offset + bytes - 1, top = shape->flags & SIZE_32 ? 0xffffffff : 0xffff;

    if (is_expand_down(shape->kind))
        return offset > last_offset(shape) && end <= top;
    return end <= last_offset(shape);
}

static struct verdict access_verdict(const struct shape *shape, const struct access *access,
                                     unsigned segment, uint32_t offset)
{
    unsigned vector = segment == SEG_SS ? VECTOR_SS : VECTOR_GP;

    if (access->writes && !is_writable(shape->kind))
        return fault(VECTOR_GP, 0);
    return contains(shape, offset, access->bytes) ? ENDS : fault(vector, 0);
}

static void put_segment(struct state *state, unsigned segment, unsigned selector)
{
    switch (segment) {
    case SEG_ES:
        state->es = selector;
        break;
    case SEG_SS:
        state->ss = selector;
        break;
    case SEG_DS:
        state->ds = selector;
        break;
    case SEG_FS:
        state->fs = selector;
        break;
    default:
        state->gs = selector;
    }
}

static void one_access(const struct shape *shape, const struct access *access, unsigned segment,
                       uint32_t offset)
{
    struct state start = start_at(access->snippet, 3);

    put_segment(&start, segment, SEGMENT | 3);
    start.gpr[RBX] = offset;
    start.gpr[RBP] = offset;
    case_attempt(access->snippet, &start, access_verdict(shape, access, segment, offset),
                 "segment %u, kind %02x, flags %x, limit %x, %u bytes at %x", segment, shape->kind,
                 shape->flags, shape->limit, access->bytes, offset);
}

/* Offsets around the edge, inside memory that is there and nobody's. */
static void edges(const struct shape *shape, unsigned segment)
{
    uint64_t value = descriptor(shape->base, shape->limit, 0xe0 | shape->kind, shape->flags);
    uint32_t edge = (uint32_t)last_offset(shape) + 1;

    gdt_set(SEGMENT, value);
    for (unsigned i = 0; i < ACCESSES_EACH; i++) {
        const struct access *access = &tables[segment][i];
        for (unsigned step = 0; step < 24; step++)
            if (edge + step >= 12)
                one_access(shape, access, segment, edge - 12 + step);
        one_access(shape, access, segment, 0);
        if (is_expand_down(shape->kind) && !(shape->flags & SIZE_32))
            for (unsigned step = 0; step < 16; step++)
                one_access(shape, access, segment, 0x10000 - 12 + step);
    }
}

static const struct shape shapes[] = {
    {KIND_DATA | 2, FREE_BASE, 0xfff, SIZE_32},
    {KIND_DATA | 2, FREE_BASE, 0x123, SIZE_32},
    {KIND_DATA | 2, FREE_BASE, 0x123, SIZE_16},
    {KIND_DATA | 2, FREE_BASE, 0, SIZE_32 | PAGES},
    {KIND_DATA | 2, FREE_BASE, 0x1f, SIZE_32 | PAGES},
    {KIND_DATA, FREE_BASE, 0xfff, SIZE_32},
    {KIND_DATA | 6, FREE_BASE, 0xfff, SIZE_32},
    {KIND_DATA | 6, FREE_BASE, 0x1234, SIZE_16},
    {KIND_DATA | 6, FREE_BASE, 0, SIZE_32 | PAGES},
    {KIND_DATA | 6, FREE_BASE, 0, SIZE_16},
    {KIND_DATA | 4, FREE_BASE, 0x1234, SIZE_32},
    {KIND_CODE | 2, FREE_BASE, 0xfff, SIZE_32},
    {KIND_CODE | 6, FREE_BASE, 0x123, SIZE_32},
};

static void data_limits(const char *place)
{
    static const char *const names[] = {[SEG_ES] = "every size and edge through ES: #GP(0)",
                                        [SEG_SS] = "every size and edge through SS: #SS(0)",
                                        [SEG_DS] = "every size and edge through DS: #GP(0)",
                                        [SEG_FS] = "every size and edge through FS: #GP(0)",
                                        [SEG_GS] = "every size and edge through GS: #GP(0)"};

    for (unsigned segment = SEG_ES; segment <= SEG_GS; segment++) {
        if (segment == SEG_CS)
            continue;
        case_begin_in("3A 5.3", names[segment], place);
        for (unsigned i = 0; i < COUNT(shapes); i++)
            if (segment != SEG_SS || is_writable(shapes[i].kind))
                edges(&shapes[i], segment);
        case_end();
    }
}

/* --- default segments: [EBP] and [ESP] are the stack's */

SNIPPET(32, by_ebp, "mov 0(%ebp), %al");
SNIPPET(32, by_esp, "mov 0(%esp), %al");
SNIPPET(32, by_ebp_index, "mov 0(%ebp,%eax,1), %al");
SNIPPET(32, by_eax_ebp, "mov 0(%eax,%ebp,1), %al");
SNIPPET(32, by_ds_ebp, "mov %ds:0(%ebp), %al");
SNIPPET(32, by_ebx, "mov (%ebx), %al");
SNIPPET(32, by_bp, "addr16 mov 0(%bp), %al");
SNIPPET(32, by_bp_si, "addr16 mov 0(%bp,%si), %al");
SNIPPET(32, by_bx_si, "addr16 mov 0(%bx,%si), %al");

static void default_segments(const char *place)
{
    static const struct {
        const struct snippet *snippet;
        bool is_stack;
    } forms[] = {{&by_ebp, true},      {&by_esp, true},     {&by_ebp_index, true},
                 {&by_eax_ebp, false}, {&by_ds_ebp, false}, {&by_ebx, false},
                 {&by_bp, true},       {&by_bp_si, true},   {&by_bx_si, false}};

    case_begin_in("1 3.7.4", "BP and SP as a base mean SS: #SS(0), not #GP(0)", place);
    gdt_set(SEGMENT, descriptor(FREE_BASE, 0xff, 0xf3, SIZE_32));
    for (unsigned i = 0; i < COUNT(forms); i++) {
        struct state start = start_at(forms[i].snippet, 3);
        start.ss = start.ds = SEGMENT | 3;
        start.gpr[RBP] = start.gpr[RSP] = start.gpr[RBX] = 0x100;
        case_attempt(forms[i].snippet, &start, fault(forms[i].is_stack ? VECTOR_SS : VECTOR_GP, 0),
                     "form %u", i);
    }
    case_end();
}

/* --- accesses through a null segment, and to code */

SNIPPET(32, read_cs, "mov %cs:(%ebx), %al");
SNIPPET(32, write_cs, "mov %al, %cs:(%ebx)");

static void null_segments(const char *place)
{
    static const unsigned segments[] = {SEG_ES, SEG_DS, SEG_FS, SEG_GS};

    case_begin_in("3A 5.4.1", "an access through a null segment: #GP(0)", place);
    for (unsigned i = 0; i < COUNT(segments) * ACCESSES_EACH * 4; i++) {
        unsigned segment = segments[i / 4 / ACCESSES_EACH];
        const struct access *access = &tables[segment][i / 4 % ACCESSES_EACH];
        struct state start = start_at(access->snippet, 3);
        put_segment(&start, segment, i & 3);
        start.gpr[RBX] = FREE_BASE;
        case_attempt(access->snippet, &start, fault(VECTOR_GP, 0), "segment %u = %u, %u bytes",
                     segment, i & 3, access->bytes);
    }
    case_end();
}

static void code_as_data(const char *place)
{
    case_begin_in("3A 5.4", "code is read only if readable, and never written", place);
    for (unsigned type = 8; type < 16; type++) {
        gdt_set(CODE_SEGMENT, descriptor(0, 0xfffff, 0xf0 | type, PAGES | SIZE_32));
        for (unsigned writes = 0; writes < 2; writes++) {
            const struct snippet *snippet = writes ? &write_cs : &read_cs;
            struct state start = start_at(snippet, 3);
            start.cs = CODE_SEGMENT | 3;
            start.gpr[RBX] = FREE_BASE;
            case_attempt(snippet, &start, type & 2 && !writes ? ENDS : fault(VECTOR_GP, 0),
                         "type %x, writes %u", type, writes);
        }
    }
    case_end();
}

/* --- the stack */

SNIPPET(32, push_word, "pushw %ax");
SNIPPET(32, push_dword, "pushl %eax");
SNIPPET(32, pop_word, "popw %ax");
SNIPPET(32, pop_dword, "popl %eax");
SNIPPET(32, push_all_word, "pushaw");
SNIPPET(32, push_all, "pushal");
SNIPPET(32, pop_all_word, "popaw");
SNIPPET(32, pop_all, "popal");
SNIPPET(32, push_flags, "pushfl");
SNIPPET(32, pop_flags, "popfl");
SNIPPET(32, call_near, "call 1f\n1:");
SNIPPET(32, call_far, "lcall *%cs:(%ebx)");
SNIPPET(32, enter_frame, "enter $0, $0");

struct stack_use {
    const char *name;
    const struct snippet *snippet;
    unsigned bytes;
    bool pops;
};

static const struct stack_use stack_uses[] = {
    {"PUSH word", &push_word, 2, false},
    {"PUSH dword", &push_dword, 4, false},
    {"POP word", &pop_word, 2, true},
    {"POP dword", &pop_dword, 4, true},
    {"PUSHA word", &push_all_word, 16, false},
    {"PUSHA", &push_all, 32, false},
    {"POPA word", &pop_all_word, 16, true},
    {"POPA", &pop_all, 32, true},
    {"PUSHFD", &push_flags, 4, false},
    {"POPFD", &pop_flags, 4, true},
    {"CALL", &call_near, 4, false},
    {"CALL far", &call_far, 8, false},
    {"ENTER", &enter_frame, 4, false},
};

/* Each word of the use must lie inside; the pointer wraps by the stack's size between words. */
static bool fits(const struct shape *shape, const struct stack_use *use, uint32_t sp)
{
    uint32_t mask = shape->flags & SIZE_32 ? 0xffffffff : 0xffff;
    unsigned unit = use->bytes % 4                                                    ? 2
                    : use->snippet == &push_all_word || use->snippet == &pop_all_word ? 2
                                                                                      : 4;

    for (unsigned i = 0; i < use->bytes / unit; i++) {
        uint32_t at = use->pops ? sp + unit * i : sp - unit * (i + 1);
        if (!contains(shape, at & mask, unit))
            return false;
    }
    return true;
}

static void one_stack(const struct shape *shape, const struct stack_use *use, uint32_t sp)
{
    uint32_t mask = shape->flags & SIZE_32 ? 0xffffffff : 0xffff;
    bool inside = fits(shape, use, sp);
    struct state start = start_at(use->snippet, 3);

    *dword_at(FREE_BASE) = (uint32_t)use->snippet->end;
    *word_at(FREE_BASE + 4) = SEL_CODE32(3);
    start.ss = SEGMENT | 3;
    start.gpr[RSP] = sp;
    start.gpr[RBX] = FREE_BASE;
    struct state end = case_attempt(use->snippet, &start, inside ? ENDS : fault(VECTOR_SS, 0),
                                    "%s at %x, kind %02x, flags %x, limit %x", use->name, sp,
                                    shape->kind, shape->flags, shape->limit);
    uint32_t expected = !inside ? sp : use->pops ? sp + use->bytes : sp - use->bytes;
    case_check(!((end.gpr[RSP] ^ expected) & mask), "%s at %x: SP %llx", use->name, sp,
               end.gpr[RSP]);
}

static const struct shape stacks[] = {
    {KIND_DATA | 2, FREE_BASE + 0x1000, 0xffff, SIZE_16},
    {KIND_DATA | 2, FREE_BASE + 0x1000, 0x7ff, SIZE_16},
    {KIND_DATA | 2, FREE_BASE + 0x1000, 0x7ff, SIZE_32},
    {KIND_DATA | 2, FREE_BASE + 0x1000, 0xf, SIZE_32 | PAGES},
    {KIND_DATA | 6, FREE_BASE + 0x1000, 0x7ff, SIZE_16},
    {KIND_DATA | 6, FREE_BASE + 0x1000, 0x7ff, SIZE_32},
};

static void stack_limits(const char *place)
{
    case_begin_in("3A 5.3", "every use of the stack at every edge: #SS(0)", place);
    for (unsigned i = 0; i < COUNT(stacks) * COUNT(stack_uses); i++) {
        const struct shape *shape = &stacks[i / COUNT(stack_uses)];
        const struct stack_use *use = &stack_uses[i % COUNT(stack_uses)];
        uint32_t edge = (uint32_t)last_offset(shape) + 1;
        gdt_set(SEGMENT, descriptor(shape->base, shape->limit, 0xe0 | shape->kind, shape->flags));
        for (unsigned step = 0; step < 80; step++) {
            one_stack(shape, use, edge - 40 + step);
            if (!(shape->flags & SIZE_32)) /* 32 bits would wrap at 4 GiB */
                one_stack(shape, use, step & 0xffff);
        }
        if (!(shape->flags & SIZE_32))
            for (unsigned step = 0; step < 40; step++)
                one_stack(shape, use, 0xffff - step);
    }
    case_end();
}

/* --- code */

SNIPPET(32, run_out, "nop\n nop\n nop\n .byte 0xb8, 0x11, 0x22, 0x33, 0x44");
SNIPPET(32, jump_short, "jmp 1f\n .skip 16, 0x90\n1:");
SNIPPET(32, jump_near, "jmp 1f\n .skip 300, 0x90\n1:");
SNIPPET(32, jump_if, "stc\n jc 1f\n .skip 16, 0x90\n1:");
SNIPPET(32, jump_register, "jmp *%ebx");
SNIPPET(32, call_register, "call *%ebx");
SNIPPET(32, return_near, "ret");
SNIPPET(32, loop_short, "mov $2, %ecx\n loop 1f\n .skip 16, 0x90\n1:");

/* The limit lies at every byte of the snippet: an instruction that is cut off, or is not there, is
 * #GP(0) at its own address. */
static void code_limit(const char *place)
{
    static const uint8_t starts[] = {0, 1, 2, 3, 3,
                                     3, 3, 3, 8, 8}; /* of the instruction at a byte */
    uint32_t first = (uint32_t)run_out.start;

    case_begin_in("3A 5.3", "code that runs into its limit: #GP(0) at the instruction", place);
    for (unsigned room = 1; room <= 10; room++) {
        gdt_set(CODE_SEGMENT, descriptor(0, first + room - 1, 0xfb, SIZE_32));
        struct state start = start_at(&run_out, 3);
        start.cs = CODE_SEGMENT | 3;
        struct state end = attempt(&start);
        unsigned stop = room == 10 ? 8 : starts[room];
        case_check(end.vector == (room == 10 ? VECTOR_UD : VECTOR_GP) && !end.error &&
                       end.ip == first + stop,
                   "room %u: vector %llu at %llx", room, end.vector, end.ip - first);
    }
    case_end();
}

static void near_targets(const char *place)
{
    static const struct {
        const struct snippet *snippet;
        unsigned at; /* of the branch in the snippet */
    } branches[] = {{&jump_short, 0},    {&jump_near, 0},   {&jump_if, 1},   {&jump_register, 0},
                    {&call_register, 0}, {&return_near, 0}, {&loop_short, 5}};

    case_begin_in("2A JMP", "a near branch beyond the limit: #GP(0) at the branch", place);
    for (unsigned i = 0; i < COUNT(branches) * 2; i++) {
        const struct snippet *snippet = branches[i / 2].snippet;
        uint32_t target = (uint32_t)snippet->end;
        bool inside = i & 1;
        gdt_set(CODE_SEGMENT, descriptor(0, target - 1 + 2 * inside, 0xfb, SIZE_32));
        struct state start = start_at(snippet, 3);
        start.cs = CODE_SEGMENT | 3;
        start.gpr[RBX] = target;
        *dword_at(start.gpr[RSP]) = target;
        struct state branch = start, end = attempt(&start);
        branch.ip += branches[i / 2].at;
        case_compare(snippet, &branch, &end, inside ? ENDS : fault(VECTOR_GP, 0), "branch %u",
                     i / 2);
        uint64_t sp = start.gpr[RSP];
        if (inside && snippet == &call_register)
            sp -= 4;
        if (inside && snippet == &return_near)
            sp += 4;
        case_check(end.gpr[RSP] == sp, "branch %u: ESP %llx", i / 2, end.gpr[RSP]);
    }
    case_end();
}

SNIPPET(16, jump_wrap, ".byte 0xeb, 0x80");
SNIPPET(32, jump_word, ".byte 0x66, 0xe9, 0x00, 0x00");
SNIPPET(16, address_wrap, "mov 0x10(%bx), %al");

/* IP wraps at 64 KiB with a 16-bit operand, and so does a 16-bit address before it meets the limit.
 */
static void sixteen_bit_wrap(const char *place)
{
    case_begin_in("1 6.2.3", "16-bit branches and addresses wrap at 64 KiB", place);
    struct state start = start_at(&address_wrap, 3);
    start.gpr[RBX] = 0xfff8;
    *byte_at(DATA_BASE + 8) = 0x5a;
    struct state end = case_attempt(&address_wrap, &start, ENDS, "address");
    case_check((end.gpr[RAX] & 0xff) == 0x5a, "AL %llx", end.gpr[RAX]);

    /* A short jump back from the segment's first bytes leads to its last. */
    uint32_t at = (uint32_t)jump_wrap.start;
    gdt_set(CODE_SEGMENT, descriptor(at, 0xffff, 0xfb, SIZE_16));
    *word_at(at + 0xff82) = 0x0b0f; /* UD2 */
    start = start_at(&jump_wrap, 3);
    start.cs = CODE_SEGMENT | 3;
    start.ip = 0;
    end = attempt(&start);
    case_check(end.vector == VECTOR_UD && end.ip == 0xff82, "vector %llu at %llx", end.vector,
               end.ip);

    /* From 32-bit code, a 16-bit branch drops the upper half of EIP. */
    at = (uint32_t)jump_word.start & 0xffff0000;
    start = start_at(&jump_word, 3);
    gdt_set(CODE_SEGMENT, descriptor(0, 0xfffff, 0xfb, PAGES | SIZE_32));
    uint32_t target = (uint32_t)jump_word.end & 0xffff;
    *word_at(target) = 0x0b0f;
    end = attempt(&start);
    case_check(end.vector == VECTOR_UD && end.ip == target, "vector %llu at %llx", end.vector,
               end.ip);
    case_end();
}

/* --- real mode: 64 KiB, whatever the segment */

SNIPPET(16, real_read, "mov (%bx), %ax");
SNIPPET(16, real_push, "push %ax");
SNIPPET(16, real_pop, "pop %ax");
SNIPPET(16, real_wide, "mov (%ebx), %al");
SNIPPET(16, real_stack, "mov 0(%bp), %ax");

static void real_limits(bool is_v86)
{
    static const struct {
        const struct snippet *snippet;
        uint32_t at;
        struct verdict verdict;
    } rows[] = {
        {&real_read, 0xfffe, {0x100, 0}},      {&real_read, 0xffff, {VECTOR_GP, 0}},
        {&real_stack, 0xfffe, {0x100, 0}},     {&real_stack, 0xffff, {VECTOR_SS, 0}},
        {&real_push, 2, {0x100, 0}},           {&real_push, 0, {0x100, 0}},
        {&real_push, 1, {VECTOR_SS, 0}},       {&real_pop, 0xfffe, {0x100, 0}},
        {&real_pop, 0xffff, {VECTOR_SS, 0}},   {&real_wide, 0xffff, {0x100, 0}},
        {&real_wide, 0x10000, {VECTOR_GP, 0}}, {&real_wide, 0xffffffff, {VECTOR_GP, 0}},
    };

    case_begin_in("3A 21.1.1", "the limit of 64 KiB", is_v86 ? "virtual-8086 mode" : "real mode");
    for (unsigned i = 0; i < COUNT(rows); i++) {
        struct state start = start_v86(rows[i].snippet);
        start.gpr[RBX] = start.gpr[RBP] = rows[i].at;
        bool is_stack = rows[i].snippet == &real_push || rows[i].snippet == &real_pop;
        if (is_stack)
            start.gpr[RSP] = rows[i].at;
        /* Real mode's handlers need room on the same stack. */
        if (!is_v86 && is_stack && !ends(rows[i].verdict))
            continue;
        struct state end = is_v86 ? attempt(&start) : attempt_real(&start);
        case_compare(rows[i].snippet, &start, &end, rows[i].verdict, "row %u at %x", i, rows[i].at);
    }
    case_end();
}

static void everything(const char *place)
{
    data_limits(place);
    default_segments(place);
    null_segments(place);
    code_as_data(place);
    stack_limits(place);
    code_limit(place);
    near_targets(place);
    sixteen_bit_wrap(place);
}

static void protected_mode(void)
{
    everything("protected mode");
    real_limits(false);
    real_limits(true);
}

/* The snippet is put at the end of a page, and at its limit; the next page is missing. */
static void limit_before_page(void)
{
    enum { NEXT = 0x80200000, DIRECTORIES = PAGE_TABLES + 0x2000 };

    case_begin("3A 6.9", "code that leaves its limit and its page at once: #GP(0), not #PF");
    qword_at(DIRECTORIES)[(NEXT - 0x200000) >> 21] = FREE_BASE >> 21 << 21 | 0x87;
    qword_at(DIRECTORIES)[NEXT >> 21] = 0;
    write_cr3(PAGE_TABLES);
    for (unsigned cut = 1; cut < 5; cut++) {
        uint32_t at = NEXT - cut;
        for (unsigned i = 0; i < cut; i++)
            *byte_at(at + i) = run_out.start[3 + i]; /* MOV EAX, imm32 */
        for (unsigned beyond = 0; beyond < 2; beyond++) {
            gdt_set(CODE_SEGMENT, descriptor(at, cut - 1 + (beyond ? 16 : 0), 0xfb, SIZE_32));
            struct state start = start_at(&run_out, 3);
            start.cs = CODE_SEGMENT | 3;
            start.ip = 0;
            case_attempt(&run_out, &start, beyond ? fault(VECTOR_PF, 4) : fault(VECTOR_GP, 0),
                         "cut after %u bytes, limit %u", cut, beyond);
        }
    }
    case_end();
}

static void long_mode(void)
{
    everything("compatibility mode");
    limit_before_page();
}

const struct topic topic = {"limit", protected_mode, long_mode};
