/* Pairs of an instruction and a conditional branch as one handler, and flat operands: the same as
 * the general handlers one by one. */
#include "cpu/exec_special.h"
#include "tests/exec_alone.h"

static struct rig rig;
static struct cpu *cpu;
static struct random dice;

static void setup(void)
{
    rig_init(&rig);
    cpu = rig.cpu;
    dice.state = 0xd1342543de82ef95;
}
static void teardown(void)
{
    rig_free(&rig);
}
TestSuite(fused, .init = setup, .fini = teardown);

enum { CODE = 0x20000, DATA = 0x30000, ABSENT = 0x31000, ROUNDS = 60 };

/* Operands: (e)bx and (e)cx, dl and cl, [rdi]. */
static const struct {
    uint8_t bytes[6];
    uint8_t length;
    bool only_64;
} forms[] = {
    {{0x39, 0xcb}, 2, false},                   /* cmp ebx, ecx */
    {{0x48, 0x39, 0xcb}, 3, true},              /* cmp rbx, rcx */
    {{0x83, 0xfb, 0x85}, 3, false},             /* cmp ebx, -7bh */
    {{0x48, 0x83, 0xfb, 0x7f}, 4, true},        /* cmp rbx, 7fh */
    {{0x81, 0xfb, 0, 0, 0, 0x80}, 6, false},    /* cmp ebx, 80000000h */
    {{0x3d, 0xff, 0xff, 0xff, 0x7f}, 5, false}, /* cmp eax, 7fffffffh */
    {{0x38, 0xca}, 2, false},                   /* cmp dl, cl */
    {{0x80, 0xfa, 0x80}, 3, false},             /* cmp dl, 80h */
    {{0x3c, 0x7f}, 2, false},                   /* cmp al, 7fh */
    {{0x83, 0xeb, 0x01}, 3, false},             /* sub ebx, 1 */
    {{0x48, 0x83, 0xeb, 0xff}, 4, true},        /* sub rbx, -1 */
    {{0x85, 0xcb}, 2, false},                   /* test ebx, ecx */
    {{0x48, 0x85, 0xdb}, 3, true},              /* test rbx, rbx */
    {{0x84, 0xca}, 2, false},                   /* test dl, cl */
    {{0xf6, 0xc2, 0x81}, 3, false},             /* test dl, 81h */
    {{0xa8, 0x80}, 2, false},                   /* test al, 80h */
    {{0x83, 0xe3, 0xfe}, 3, false},             /* and ebx, -2 */
    {{0x80, 0x3f, 0x80}, 3, true},              /* cmp byte [rdi], 80h */
    {{0x83, 0x3f, 0xff}, 3, true},              /* cmp dword [rdi], -1 */
    {{0x48, 0x83, 0x3f, 0x00}, 4, true},        /* cmp qword [rdi], 0 */
    {{0x81, 0x3f, 0, 0, 0, 0x80}, 6, true},     /* cmp dword [rdi], 80000000h */
    {{0x39, 0x0f}, 2, true},                    /* cmp [rdi], ecx */
    {{0x48, 0x39, 0x0f}, 3, true},              /* cmp [rdi], rcx */
    {{0x3b, 0x0f}, 2, true},                    /* cmp ecx, [rdi] */
    {{0x48, 0x3b, 0x0f}, 3, true},              /* cmp rcx, [rdi] */
    {{0xf6, 0x07, 0x40}, 3, true},              /* test byte [rdi], 40h */
};

struct pair {
    struct insn insns[3];
    unsigned length;
};

static void decode_pair(struct pair *pair, unsigned form, uint8_t condition)
{
    const uint8_t branch[] = {0x70 | condition, 0xe0};
    struct alone alone;
    memset(pair, 0, sizeof *pair);
    alone_decode(&alone, cpu, forms[form].bytes, forms[form].length);
    pair->insns[0] = alone.insns[0];
    alone_decode(&alone, cpu, branch, sizeof branch);
    pair->insns[1] = alone.insns[0];
    pair->insns[1].offset = forms[form].length;
    pair->insns[2] = (struct insn){.exec = exec_stop};
}

struct state {
    uint64_t regs[16], rip;
    uint32_t flags;
    int result;
    uint8_t vector;
};

static void run_pair(struct pair *pair, bool one_by_one, struct state *state)
{
    cpu->rip = cpu->block_rip = CODE;
    cpu->block = NULL;
    cpu->fault.vector = 0;
    memcpy(cpu->regs, state->regs, sizeof state->regs);
    flags_set_arithmetic(cpu, state->flags);
    atomic_store(&cpu->attention, 1);
    if (one_by_one) {
        struct insn first[2] = {pair->insns[0],
                                {.exec = exec_stop, .offset = pair->insns[1].offset}};
        state->result = first[0].exec(cpu, first);
        if (state->result == EXEC_NEXT)
            state->result = EXEC_STOP;
        if (state->result == EXEC_STOP)
            state->result = pair->insns[1].exec(cpu, &pair->insns[1]);
    } else {
        state->result = pair->insns[0].exec(cpu, pair->insns);
        if (state->result == EXEC_NEXT) /* the general handler, in a build without tail calls */
            state->result = pair->insns[1].exec(cpu, &pair->insns[1]);
    }
    memcpy(state->regs, cpu->regs, sizeof state->regs);
    state->rip = cpu->rip;
    state->flags = flags_arithmetic(cpu);
    state->vector = cpu->fault.vector;
}

static void compare_pair(unsigned form, uint8_t condition)
{
    struct pair general, fused;
    decode_pair(&general, form, condition);
    fused = general;
    exec_specialise(fused.insns, 2);
    cr_assert_neq(fused.insns[0].exec, general.insns[0].exec, "form %u, condition %u", form,
                  condition);
    for (unsigned round = 0; round < ROUNDS; round++) {
        struct state state = {.flags = random_next(&dice) & F_ARITH}, other;
        uint64_t value = random_edge(&dice);
        for (unsigned i = 0; i < 16; i++)
            state.regs[i] = random_edge(&dice);
        if (random_next(&dice) % 4 == 0)
            state.regs[RBX] = state.regs[RDX] = value = state.regs[RCX];
        state.regs[RDI] = round % 8 ? DATA : round % 16 ? ABSENT : ABSENT - 1;
        physmem_write(&rig.physmem, GPA(DATA), &value, sizeof value);
        other = state;
        run_pair(&general, true, &state);
        run_pair(&fused, false, &other);
        cr_assert(memcmp(&state, &other, sizeof state) == 0,
                  "form %u condition %u: rip %lx not %lx, flags %x not %x, result %d not %d", form,
                  condition, other.rip, state.rip, other.flags, state.flags, other.result,
                  state.result);
    }
}

Test(fused, in_64_bit_code)
{
    const uint64_t absent = 0;
    rig_long(&rig, CODE, 0);
    physmem_write(&rig.physmem, GPA(rig_pte(ABSENT)), &absent, 8);
    for (unsigned form = 0; form < ARRAY_LENGTH(forms); form++)
        for (uint8_t condition = 2; condition < 16; condition++)
            if (condition != 10 && condition != 11)
                compare_pair(form, condition);
}

Test(fused, in_32_bit_code)
{
    rig_long(&rig, CODE, 0);
    cpu->segs[CS].attributes = SEG_G | SEG_DB | SEG_P | SEG_S | 0xb;
    cpu_mode_changed(cpu);
    for (unsigned form = 0; form < ARRAY_LENGTH(forms); form++)
        for (uint8_t condition = 2; condition < 16; condition++)
            if (condition != 10 && condition != 11 && !forms[form].only_64)
                compare_pair(form, condition);
    /* a target beyond CS's limit faults at the branch, after the comparison */
    cpu->segs[CS].limit = CODE - 1;
    cpu_mode_changed(cpu);
    struct pair pair;
    struct state state = {.regs = {[RBX] = 5, [RCX] = 5}};
    decode_pair(&pair, 0, 4);
    pair.insns[1].imm = 0x100;
    exec_specialise(pair.insns, 2);
    run_pair(&pair, false, &state);
    cr_assert_eq(state.result, EXEC_FAULT);
    cr_assert_eq(state.vector, VECTOR_GP);
    cr_assert_eq(state.rip, CODE + 2);
    cr_assert(state.flags & F_ZF);
}
