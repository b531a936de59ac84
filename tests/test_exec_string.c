/* MOVS STOS LODS CMPS SCAS against a plain model, element by element: every size, both directions,
 * overlapping operands, page boundaries, faults and interruptions in the middle. */
#include "tests/exec_alone.h"

static struct rig rig;
static struct random dice;

static void setup(void)
{
    rig_init(&rig);
    dice.state = 0x9e3779b97f4a7c15;
}
static void teardown(void)
{
    rig_free(&rig);
}
TestSuite(string, .init = setup, .fini = teardown);

enum { CODE = 0x20000, AREA = 0x30f00, AREA_BYTES = 0x200, MIDDLE = AREA_BYTES / 2 };

enum string_op { MOVS, CMPS, STOS, LODS, SCAS, STRING_OPS };
static const uint8_t opcodes[STRING_OPS] = {0xa4, 0xa6, 0xaa, 0xac, 0xae};

/* The plain model: registers and the bytes of the area, which lies at AREA. */
struct model {
    uint64_t rax, rcx, rsi, rdi;
    uint32_t flags;
    uint8_t bytes[AREA_BYTES];
};

static uint64_t model_load(const struct model *model, uint64_t address, unsigned size)
{
    uint64_t value = 0;
    memcpy(&value, model->bytes + (address - AREA), size);
    return value;
}
static uint32_t model_compare(uint64_t a, uint64_t b, unsigned size)
{
    unsigned top = size * 8 - 1;
    uint64_t result = (a - b) & UINT64_MAX >> (63 - top);
    return (a < b ? F_CF : 0) | (result == 0 ? F_ZF : 0) | (result >> top ? F_SF : 0) |
           (((a ^ b) & (a ^ result)) >> top & 1 ? F_OF : 0) | ((a ^ b ^ result) & 0x10 ? F_AF : 0) |
           (__builtin_parity(result & 0xff) ? 0 : F_PF);
}
static void model_set_rax(struct model *model, uint64_t value, unsigned size)
{
    if (size >= 4)
        model->rax = value;
    else
        memcpy(&model->rax, &value, size);
}
/* `rep` 0, F2h or F3h; at most `most` elements. */
static void model_run(struct model *model, enum string_op op, unsigned size, unsigned rep,
                      bool backward, unsigned most)
{
    uint64_t step = backward ? -(uint64_t)size : size;
    for (unsigned done = 0; done < most && (!rep || model->rcx); done++) {
        uint64_t accumulator = model->rax & UINT64_MAX >> (64 - 8 * size), a, b;
        switch (op) {
        case MOVS:
            a = model_load(model, model->rsi, size);
            memcpy(model->bytes + (model->rdi - AREA), &a, size);
            break;
        case STOS:
            memcpy(model->bytes + (model->rdi - AREA), &accumulator, size);
            break;
        case LODS:
            model_set_rax(model, model_load(model, model->rsi, size), size);
            break;
        default:
            a = op == CMPS ? model_load(model, model->rsi, size) : accumulator;
            b = model_load(model, model->rdi, size);
            model->flags = model_compare(a, b, size);
        }
        if (op != STOS && op != SCAS)
            model->rsi += step;
        if (op != LODS)
            model->rdi += step;
        if (!rep)
            return;
        model->rcx--;
        if ((op == CMPS || op == SCAS) && !(model->flags & F_ZF) == (rep == 0xf3))
            return;
    }
}

static void model_to_cpu(const struct model *model, bool backward)
{
    struct cpu *cpu = rig.cpu;
    cpu->regs[RAX] = model->rax;
    cpu->regs[RCX] = model->rcx;
    cpu->regs[RSI] = model->rsi;
    cpu->regs[RDI] = model->rdi;
    flags_set_arithmetic(cpu, model->flags);
    cpu->eflags = (cpu->eflags & ~(uint32_t)F_DF) | (backward ? F_DF : 0);
    physmem_write(&rig.physmem, GPA(AREA), model->bytes, AREA_BYTES);
}
static void expect_model(const struct model *model, const char *what)
{
    const struct cpu *cpu = rig.cpu;
    uint8_t bytes[AREA_BYTES];
    physmem_read(&rig.physmem, GPA(AREA), bytes, sizeof bytes);
    cr_assert_eq(cpu->regs[RCX], model->rcx, "%s: rcx %lx, not %lx", what, cpu->regs[RCX],
                 model->rcx);
    cr_assert_eq(cpu->regs[RSI], model->rsi, "%s: rsi %lx, not %lx", what, cpu->regs[RSI],
                 model->rsi);
    cr_assert_eq(cpu->regs[RDI], model->rdi, "%s: rdi %lx, not %lx", what, cpu->regs[RDI],
                 model->rdi);
    cr_assert_eq(cpu->regs[RAX], model->rax, "%s: rax %lx, not %lx", what, cpu->regs[RAX],
                 model->rax);
    cr_assert_eq(flags_arithmetic(cpu), model->flags, "%s: flags %x, not %x", what,
                 flags_arithmetic(cpu), model->flags);
    cr_assert(memcmp(bytes, model->bytes, sizeof bytes) == 0, "%s: memory differs", what);
}

/* A random case: everything stays inside the area, whose middle is a page boundary. */
static struct model random_model(unsigned size, bool backward, unsigned rep)
{
    struct model model = {.rax = random_next(&dice), .flags = random_next(&dice) & F_ARITH};
    unsigned count = 1 + random_next(&dice) % 20;
    unsigned reach = count * size;
    model.rcx = random_next(&dice) % 16 == 0 && rep ? 0 : count;
    for (unsigned n = 0; n < 2; n++) {
        uint64_t from = random_next(&dice) % (AREA_BYTES - 2 * reach) + reach;
        if (n == 1 && random_next(&dice) & 1) { /* close to the other: overlapping */
            from = model.rsi - AREA + random_next(&dice) % 33 - 16;
            from = from < reach ? reach : from > AREA_BYTES - reach ? AREA_BYTES - reach : from;
        }
        *(n ? &model.rdi : &model.rsi) = AREA + from - (backward ? size : 0);
    }
    uint8_t letters = random_next(&dice) & 1 ? 1 : 0xff; /* few: comparisons run on */
    for (unsigned i = 0; i < AREA_BYTES; i++)
        model.bytes[i] = (uint8_t)random_next(&dice) & letters;
    if (random_next(&dice) & 1)
        model.rax = random_next(&dice) & 1 ? 0 : UINT64_C(0x0101010101010101);
    return model;
}

static size_t encode(uint8_t *bytes, enum string_op op, unsigned size, unsigned rep)
{
    size_t length = 0;
    if (rep)
        bytes[length++] = (uint8_t)rep;
    if (size == 2)
        bytes[length++] = 0x66;
    if (size == 8)
        bytes[length++] = 0x48;
    bytes[length++] = opcodes[op] | (size > 1);
    return length;
}

static const unsigned reps[] = {0, 0xf3, 0xf2};

Test(string, every_form_does_what_element_by_element_does)
{
    rig_long(&rig, CODE, 0);
    for (unsigned round = 0; round < 120000; round++) {
        enum string_op op = random_next(&dice) % STRING_OPS;
        unsigned size = 1u << random_next(&dice) % 4, rep = reps[random_next(&dice) % 3];
        bool backward = random_next(&dice) & 1;
        struct model model = random_model(size, backward, rep);
        uint8_t bytes[8];
        size_t length = encode(bytes, op, size, rep);
        char what[80];
        snprintf(what, sizeof what, "round %u: op %u size %u rep %x %s", round, op, size, rep,
                 backward ? "down" : "up");
        model_to_cpu(&model, backward);
        model_run(&model, op, size, rep, backward, UINT32_MAX);
        /* with attention set, each call does one run */
        int result;
        unsigned calls = 0;
        do
            result = (rig.cpu->rip = CODE, alone_bytes(rig.cpu, bytes, length));
        while (result == EXEC_LEAVE && rig.cpu->rip == CODE && ++calls < 100);
        cr_assert_eq(result, EXEC_STOP, "%s ends in %d", what, result);
        expect_model(&model, what);
    }
}

/* The page of the area's second half is absent.  All bytes are equal, so that REPE runs on; RSI
 * starts far enough below RDI that the destination gets there first. */
Test(string, a_fault_leaves_the_registers_at_the_element)
{
    const uint64_t hole = AREA + MIDDLE, absent = 0;
    rig_long(&rig, CODE, 0);
    physmem_write(&rig.physmem, GPA(rig_pte(hole)), &absent, 8);
    for (unsigned round = 0; round < 20000; round++) {
        enum string_op op = random_next(&dice) % STRING_OPS;
        unsigned size = 1u << random_next(&dice) % 4;
        struct model model = {.rcx = 1 + random_next(&dice) % 60,
                              .rsi = AREA + random_next(&dice) % 0x20,
                              .rdi = AREA + 0x80 + random_next(&dice) % 0x70};
        const uint64_t *pointer = op == LODS ? &model.rsi : &model.rdi;
        uint64_t whole = (hole - *pointer) / size;
        bool faults = model.rcx > whole;
        uint8_t bytes[8];
        size_t length = encode(bytes, op, size, 0xf3);
        int result;
        model_to_cpu(&model, false);
        model_run(&model, op, size, 0xf3, false, faults ? (unsigned)whole : UINT32_MAX);
        do
            result = (rig.cpu->rip = CODE, alone_bytes(rig.cpu, bytes, length));
        while (result == EXEC_LEAVE);
        cr_assert_eq(result, faults ? EXEC_FAULT : EXEC_STOP, "round %u op %u", round, op);
        if (faults) {
            cr_assert_eq(rig.cpu->fault.vector, VECTOR_PF);
            cr_assert_eq(rig.cpu->fault.cr2, *pointer < hole ? hole : *pointer);
            cr_assert_eq(rig.cpu->rip, CODE);
        }
        expect_model(&model, "fault");
    }
}

Test(string, single_step_does_one_element_a_call)
{
    rig_long(&rig, CODE, 0);
    static const uint8_t rep_movsb[] = {0xf3, 0xa4};
    struct cpu *cpu = rig.cpu;
    cpu->mode |= MODE_SINGLE;
    cpu->regs[RSI] = AREA;
    cpu->regs[RDI] = AREA + 0x40;
    cpu->regs[RCX] = 5;
    for (unsigned left = 5; left > 0; left--) {
        cpu->rip = CODE;
        int result = alone_bytes(cpu, rep_movsb, sizeof rep_movsb);
        cr_assert_eq(cpu->regs[RCX], left - 1);
        cr_assert_eq(cpu->rip, left > 1 ? CODE : CODE + sizeof rep_movsb);
        cr_assert_eq(result, left > 1 ? EXEC_LEAVE : EXEC_STOP);
    }
}

/* 67h: ECX, ESI and EDI, whose upper halves are cleared when they are written. */
Test(string, address_size_32_in_64_bit_code)
{
    rig_long(&rig, CODE, 0);
    static const uint8_t rep_stosd[] = {0x67, 0xf3, 0xab};
    struct cpu *cpu = rig.cpu;
    cpu->regs[RDI] = UINT64_C(0x1234567800000000) | AREA;
    cpu->regs[RCX] = UINT64_C(0xfedcba9800000003);
    cpu->regs[RAX] = 0x55aa1234;
    do
        cpu->rip = CODE;
    while (alone_bytes(cpu, rep_stosd, sizeof rep_stosd) == EXEC_LEAVE);
    cr_assert_eq(cpu->regs[RDI], AREA + 12);
    cr_assert_eq(cpu->regs[RCX], 0);
    cr_assert_eq(rig_peek(&rig, AREA + 8, 4), 0x55aa1234);
    cr_assert_eq(rig_peek(&rig, AREA + 12, 4), 0);
}

/* In real mode DI wraps at 64 KiB, and an element that lies across the end faults. */
Test(string, address_size_16_wraps)
{
    rig_real(&rig, 0x1000);
    segment_load_real(rig.cpu, ES, 0x2000);
    cpu_mode_changed(rig.cpu);
    static const uint8_t rep_stosw[] = {0xf3, 0xab};
    struct cpu *cpu = rig.cpu;
    for (unsigned backward = 0; backward < 2; backward++) {
        int result;
        cpu->regs[RDI] = 0xabcd0000u | (backward ? 4 : 0xfff8);
        cpu->regs[RCX] = 0x77770006;
        cpu->regs[RAX] = 0x1111 * (backward + 1);
        cpu->eflags = (cpu->eflags & ~(uint32_t)F_DF) | (backward ? F_DF : 0);
        do {
            cpu->rip = 0x1000;
            result = alone_bytes(cpu, rep_stosw, sizeof rep_stosw);
        } while (result == EXEC_LEAVE);
        cr_assert_eq(result, EXEC_STOP);
        cr_assert_eq(cpu->regs[RDI], 0xabcd0000u | (backward ? 0xfff8 : 4));
        cr_assert_eq(cpu->regs[RCX], 0x77770000);
        cr_assert_eq(rig_peek(&rig, 0x20002, 2), cpu->regs[RAX]);
        cr_assert_eq(rig_peek(&rig, 0x2fffe, 2), cpu->regs[RAX]);
    }
    cpu->eflags &= ~(uint32_t)F_DF;
    cpu->regs[RDI] = 0xfffd;
    cpu->regs[RCX] = 4;
    int result;
    do {
        cpu->rip = 0x1000;
        result = alone_bytes(cpu, rep_stosw, sizeof rep_stosw);
    } while (result == EXEC_LEAVE);
    cr_assert_eq(result, EXEC_FAULT);
    cr_assert_eq(cpu->fault.vector, VECTOR_GP);
    cr_assert_eq(cpu->regs[RDI], 0xffff);
    cr_assert_eq(cpu->regs[RCX], 3);
}

/* A long repetition over the code of its own block, in the run loop: all of it is written. */
GUEST_CODE(fills_itself, ".code64\n"
                         "mov edi, 0x20000 + 2f - fills_itself_start\n"
                         "mov ecx, 3\n"
                         "mov al, 0x90\n"
                         "rep stosb\n"
                         "2: ud2\n"
                         "nop\n"
                         "hlt\n");

Test(string, stores_into_the_running_block)
{
    rig_load(&rig, CODE, fills_itself);
    rig_long(&rig, CODE, 0);
    cr_assert_eq(cpu_run(rig.cpu), CPU_EXIT_HALTED);
    cr_assert_eq(rig.cpu->regs[RCX], 0);
    cr_assert_eq(rig.cpu->count.exceptions[VECTOR_UD], 0);
}
