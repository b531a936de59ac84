/* Integer instructions: flags against plain arithmetic, #DE exactly, decimal adjustment, stack and
 * branch forms with their faults. */
#include "tests/exec_alone.h"

static struct rig rig;
static struct cpu *cpu;
static struct random dice;

static void setup(void)
{
    rig_init(&rig);
    cpu = rig.cpu;
    dice.state = 0x853c49e6748fea9b;
}
static void teardown(void)
{
    rig_free(&rig);
}
TestSuite(integer, .init = setup, .fini = teardown);

enum { CODE = 0x20000, DATA = 0x30000, TOP = 0x80000 };

/* --- the eight operations, at every width */

typedef unsigned __int128 uint128_t;
enum alu_op { ADD, OR, ADC, SBB, AND, SUB, XOR, CMP };

static uint32_t flags_of_result(uint64_t result, unsigned bits)
{
    return (result == 0 ? F_ZF : 0) | (result >> (bits - 1) & 1 ? F_SF : 0) |
           (__builtin_parity(result & 0xff) ? 0 : F_PF);
}

static uint64_t plain_alu(enum alu_op op, uint64_t a, uint64_t b, unsigned bits, uint32_t *flags)
{
    uint64_t mask = UINT64_MAX >> (64 - bits), result;
    bool carry_in = *flags & F_CF, carry = false, overflow = false, adjust = false;
    bool subtracts = op == SUB || op == SBB || op == CMP;
    if (op == AND || op == OR || op == XOR) {
        result = op == AND ? a & b : op == OR ? a | b : a ^ b;
    } else {
        unsigned extra = (op == ADC || op == SBB) && carry_in;
        __int128 exact = subtracts
                             ? (__int128)bits_sign_extend(a, bits) - bits_sign_extend(b, bits)
                             : (__int128)bits_sign_extend(a, bits) + bits_sign_extend(b, bits);
        exact += subtracts ? -(int)extra : (int)extra;
        result = (uint64_t)exact & mask;
        overflow = exact != bits_sign_extend(result, bits);
        carry = subtracts ? (uint128_t)a < (uint128_t)b + extra : (uint128_t)a + b + extra > mask;
        adjust = subtracts ? (a & 15) < (b & 15) + extra : (a & 15) + (b & 15) + extra > 15;
    }
    *flags = flags_of_result(result, bits) | (carry ? F_CF : 0) | (overflow ? F_OF : 0) |
             (adjust ? F_AF : 0);
    return result;
}

/* `op` on registers 3 (destination) and 1, in 64-bit code. */
static void check_alu(struct alone *alone, enum alu_op op, uint64_t a, uint64_t b, unsigned bits,
                      uint32_t before)
{
    uint64_t high = bits < 32 ? UINT64_C(0xa5a5a5a5a5a50000) : 0, mask = UINT64_MAX >> (64 - bits);
    uint32_t flags = before;
    high |= bits == 8 ? 0xa500 : 0;
    a &= mask;
    b &= mask;
    cpu->regs[RBX] = high | a;
    cpu->regs[RCX] = b;
    cpu->rip = CODE;
    flags_set_arithmetic(cpu, before);
    uint64_t result = plain_alu(op, a, b, bits, &flags);
    cr_assert_eq(alone_run(alone, cpu), EXEC_STOP);
    cr_assert_eq(cpu->regs[RBX], high | (op == CMP ? a : result), "op %u: %lx %lx, %u bits", op, a,
                 b, bits);
    cr_assert_eq(flags_arithmetic(cpu), flags, "op %u: %lx %lx, %u bits, before %x: %x not %x", op,
                 a, b, bits, before, flags_arithmetic(cpu), flags);
}

Test(integer, flags_of_all_byte_pairs)
{
    rig_long(&rig, CODE, 0);
    for (unsigned op = ADD; op <= CMP; op++) {
        const uint8_t bytes[] = {(uint8_t)(op << 3), 0xcb};
        struct alone alone;
        alone_decode(&alone, cpu, bytes, sizeof bytes);
        for (unsigned pair = 0; pair < 65536; pair++) {
            check_alu(&alone, op, pair & 255, pair >> 8, 8, 0);
            check_alu(&alone, op, pair & 255, pair >> 8, 8, F_ARITH);
        }
    }
}

Test(integer, flags_of_wider_operands)
{
    static const struct {
        uint8_t prefix;
        unsigned bits;
    } widths[] = {{0x66, 16}, {0x40, 32}, {0x48, 64}};
    rig_long(&rig, CODE, 0);
    for (unsigned op = ADD; op <= CMP; op++) {
        for (unsigned width = 0; width < ARRAY_LENGTH(widths); width++) {
            const uint8_t bytes[] = {widths[width].prefix, (uint8_t)(op << 3 | 1), 0xcb};
            struct alone alone;
            alone_decode(&alone, cpu, bytes, sizeof bytes);
            for (unsigned i = 0; i < 20000; i++)
                check_alu(&alone, op, random_edge(&dice), random_edge(&dice), widths[width].bits,
                          random_next(&dice) & F_ARITH);
        }
    }
}

Test(integer, inc_dec_neg_keep_or_set_cf)
{
    static const uint8_t forms[][2] = {{0xfe, 0xc3}, {0xfe, 0xcb}, {0xf6, 0xdb}};
    rig_long(&rig, CODE, 0);
    for (unsigned form = 0; form < 3; form++) {
        for (unsigned i = 0; i < 512; i++) {
            uint64_t a = i & 255;
            uint32_t before = i >> 8 ? F_ARITH : 0, flags = 0;
            uint64_t result = form == 2 ? plain_alu(SUB, 0, a, 8, &flags)
                                        : plain_alu(form ? SUB : ADD, a, 1, 8, &flags);
            if (form < 2)
                flags = (flags & ~(uint32_t)F_CF) | (before & F_CF);
            cpu->regs[RBX] = a;
            cpu->rip = CODE;
            flags_set_arithmetic(cpu, before);
            cr_assert_eq(alone_bytes(cpu, forms[form], 2), EXEC_STOP);
            cr_assert_eq(cpu->regs[RBX], result);
            cr_assert_eq(flags_arithmetic(cpu), flags);
        }
    }
}

/* Every combination of the six flags can be set and read, and each condition follows. */
Test(integer, all_flag_patterns_and_conditions)
{
    rig_long(&rig, CODE, 0);
    for (unsigned i = 0; i < 64; i++) {
        uint32_t flags = (i & 1 ? F_CF : 0) | (i & 2 ? F_PF : 0) | (i & 4 ? F_AF : 0) |
                         (i & 8 ? F_ZF : 0) | (i & 16 ? F_SF : 0) | (i & 32 ? F_OF : 0);
        bool cf = i & 1, pf = i & 2, zf = i & 8, sf = i & 16, of = i & 32;
        const bool holds[8] = {of, cf, zf, cf || zf, sf, pf, sf != of, zf || sf != of};
        flags_set_arithmetic(cpu, flags);
        cr_assert_eq(flags_arithmetic(cpu), flags);
        for (uint8_t condition = 0; condition < 16; condition++) {
            const uint8_t set[] = {0x0f, 0x90 | condition, 0xc3};
            const uint8_t jump[] = {0x70 | condition, 0x10};
            const uint8_t move[] = {0x0f, 0x40 | condition, 0xd9};
            bool expected = holds[condition >> 1] != (condition & 1);
            cr_assert_eq(flags_condition(cpu, condition), expected);
            cpu->regs[RBX] = UINT64_MAX;
            cpu->regs[RCX] = 7;
            cpu->rip = CODE;
            cr_assert_eq(alone_bytes(cpu, set, sizeof set), EXEC_STOP);
            cr_assert_eq(cpu->regs[RBX], UINT64_MAX << 8 | expected);
            cpu->rip = CODE;
            cr_assert_eq(alone_bytes(cpu, jump, sizeof jump), EXEC_LEAVE);
            cr_assert_eq(cpu->rip, CODE + (expected ? 0x12 : 2));
            cpu->regs[RBX] = UINT64_MAX;
            cpu->rip = CODE;
            cr_assert_eq(alone_bytes(cpu, move, sizeof move), EXEC_STOP);
            cr_assert_eq(cpu->regs[RBX], expected ? 7 : UINT32_MAX);
        }
        cr_assert_eq(flags_arithmetic(cpu), flags);
    }
}

/* --- division */

static void check_division(const uint8_t *bytes, size_t length, bool fits, uint64_t rax,
                           uint64_t rdx)
{
    uint64_t before_rax = cpu->regs[RAX], before_rdx = cpu->regs[RDX];
    cpu->rip = CODE;
    int result = alone_bytes(cpu, bytes, length);
    if (!fits) {
        cr_assert_eq(result, EXEC_FAULT);
        cr_assert_eq(cpu->fault.vector, VECTOR_DE);
        cr_assert_eq(cpu->rip, CODE);
        rax = before_rax;
        rdx = before_rdx;
    } else {
        cr_assert_eq(result, EXEC_STOP);
    }
    cr_assert_eq(cpu->regs[RAX], rax, "%lx:%lx / %lx: quotient", before_rdx, before_rax,
                 cpu->regs[RBX]);
    cr_assert_eq(cpu->regs[RDX], rdx);
}

Test(integer, byte_division_by_everything)
{
    static const uint8_t div[] = {0xf6, 0xf3}, idiv[] = {0xf6, 0xfb};
    rig_long(&rig, CODE, 0);
    for (unsigned i = 0; i < 65536; i += 7) {
        for (unsigned divisor = 0; divisor < 256; divisor++) {
            cpu->regs[RBX] = divisor;
            cpu->regs[RAX] = i;
            bool fits = divisor && i / divisor < 256;
            check_division(div, 2, fits, fits ? i % divisor << 8 | i / divisor : 0, cpu->regs[RDX]);
            int dividend = (int16_t)i, by = (int8_t)divisor;
            cpu->regs[RAX] = i;
            fits = by && dividend / by >= -128 && dividend / by <= 127;
            check_division(idiv, 2, fits,
                           fits ? (uint8_t)(dividend % by) << 8 | (uint8_t)(dividend / by) : 0,
                           cpu->regs[RDX]);
        }
    }
}

Test(integer, wide_division)
{
    static const uint8_t div32[] = {0xf7, 0xf3}, idiv32[] = {0xf7, 0xfb};
    static const uint8_t div64[] = {0x48, 0xf7, 0xf3}, idiv64[] = {0x48, 0xf7, 0xfb};
    rig_long(&rig, CODE, 0);
    for (unsigned i = 0; i < 100000; i++) {
        uint64_t low = random_edge(&dice), high = random_edge(&dice) >> random_next(&dice) % 64;
        uint64_t by = random_edge(&dice) >> random_next(&dice) % 64;
        high = i & 1 ? high : (uint64_t)((int64_t)low >> 63);
        cpu->regs[RBX] = by;

        uint128_t wide = (uint128_t)high << 64 | low;
        bool fits = by && high < by;
        cpu->regs[RAX] = low, cpu->regs[RDX] = high;
        check_division(div64, 3, fits, fits ? (uint64_t)(wide / by) : 0,
                       fits ? (uint64_t)(wide % by) : 0);

        /* by magnitudes, so that nothing overflows here */
        bool negative = (int64_t)high < 0, by_negative = (int64_t)by < 0;
        uint128_t magnitude = negative ? -wide : wide;
        uint64_t by_magnitude = by_negative ? -by : by;
        uint128_t quotient = by ? magnitude / by_magnitude : 0;
        uint64_t remainder = by ? (uint64_t)(magnitude % by_magnitude) : 0;
        fits = by && quotient <= (uint64_t)INT64_MAX + (negative != by_negative);
        cpu->regs[RAX] = low, cpu->regs[RDX] = high;
        check_division(idiv64, 3, fits,
                       negative != by_negative ? -(uint64_t)quotient : (uint64_t)quotient,
                       negative ? -remainder : remainder);

        uint32_t by32 = (uint32_t)by;
        fits = by32 && low / by32 <= UINT32_MAX;
        cpu->regs[RAX] = (uint32_t)low, cpu->regs[RDX] = low >> 32;
        check_division(div32, 2, fits, fits ? low / by32 : 0, fits ? low % by32 : 0);

        __int128 dividend = (int64_t)low, exact = by32 ? dividend / (int32_t)by32 : 0;
        fits = by32 && exact >= INT32_MIN && exact <= INT32_MAX;
        cpu->regs[RAX] = (uint32_t)low, cpu->regs[RDX] = low >> 32;
        check_division(idiv32, 2, fits, (uint32_t)exact,
                       fits ? (uint32_t)(dividend % (int32_t)by32) : 0);
    }
}

/* --- decimal adjustment: what it is for */

static unsigned to_bcd(unsigned value)
{
    return value / 10 % 10 << 4 | value % 10;
}

static void run_bytes(uint8_t first, uint8_t second, size_t length)
{
    const uint8_t bytes[] = {first, second};
    cpu->rip = 0x1000;
    cr_assert_eq(alone_bytes(cpu, bytes, length), EXEC_STOP);
}

Test(integer, packed_and_unpacked_decimals)
{
    rig_real(&rig, 0x1000);
    for (unsigned a = 0; a < 100; a++) {
        for (unsigned b = 0; b < 100; b++) {
            cpu->regs[RAX] = to_bcd(a);
            cpu->regs[RBX] = to_bcd(b);
            run_bytes(0x00, 0xd8, 2); /* add al, bl */
            run_bytes(0x27, 0, 1);    /* daa */
            cr_assert_eq(cpu->regs[RAX], to_bcd((a + b) % 100));
            cr_assert_eq(flag_cf(cpu), a + b > 99);
            cpu->regs[RAX] = to_bcd(a);
            run_bytes(0x28, 0xd8, 2); /* sub al, bl */
            run_bytes(0x2f, 0, 1);    /* das */
            cr_assert_eq(cpu->regs[RAX], to_bcd((a + 100 - b) % 100));
            cr_assert_eq(flag_cf(cpu), a < b);

            unsigned x = a % 10, y = b % 10;
            cpu->regs[RAX] = 0x500 | x;
            cpu->regs[RBX] = y;
            run_bytes(0x00, 0xd8, 2);
            run_bytes(0x37, 0, 1); /* aaa */
            cr_assert_eq(cpu->regs[RAX], (x + y > 9 ? 0x600 : 0x500) | (x + y) % 10);
            cr_assert(flag_cf(cpu) == (x + y > 9) && flag_af(cpu) == flag_cf(cpu));
            cpu->regs[RAX] = 0x500 | x;
            run_bytes(0x28, 0xd8, 2);
            run_bytes(0x3f, 0, 1); /* aas */
            cr_assert_eq(cpu->regs[RAX], (x < y ? 0x400 : 0x500) | (x + 10 - y) % 10);
            cr_assert(flag_cf(cpu) == (x < y) && flag_af(cpu) == flag_cf(cpu));
        }
        cpu->regs[RAX] = a;
        run_bytes(0xd4, 10, 2); /* aam */
        cr_assert_eq(cpu->regs[RAX], (a / 10) << 8 | a % 10);
        run_bytes(0xd5, 10, 2); /* aad */
        cr_assert_eq(cpu->regs[RAX], a);
    }
    static const uint8_t aam_0[] = {0xd4, 0};
    cr_assert_eq(alone_bytes(cpu, aam_0, 2), EXEC_FAULT);
    cr_assert_eq(cpu->fault.vector, VECTOR_DE);
}

/* --- stack */

GUEST_CODE(push_rsp, ".code64\npush rsp\n");
GUEST_CODE(pop_rsp, ".code64\npop rsp\n");
GUEST_CODE(pop_at_rsp, ".code64\npop qword ptr [rsp + 8]\n");
GUEST_CODE(pop_absent, ".code64\npop qword ptr [0x40000]\n");
GUEST_CODE(enter_3, ".code64\nenter 0x20, 3\n");
GUEST_CODE(leave_64, ".code64\nleave\n");

Test(integer, stack_pointer_as_operand)
{
    rig_long(&rig, CODE, 0);
    cr_assert_eq(alone(cpu, push_rsp), EXEC_STOP);
    cr_assert_eq(rig_peek(&rig, TOP - 8, 8), TOP);
    cpu->rip = CODE;
    cr_assert_eq(alone(cpu, pop_rsp), EXEC_STOP);
    cr_assert_eq(cpu->regs[RSP], TOP);

    uint64_t value = 0x1122334455667788, absent = 0;
    physmem_write(&rig.physmem, GPA(TOP), &value, 8);
    cpu->rip = CODE;
    cr_assert_eq(alone(cpu, pop_at_rsp), EXEC_STOP);
    cr_assert_eq(rig_peek(&rig, TOP + 16, 8), value);
    cr_assert_eq(cpu->regs[RSP], TOP + 8);

    physmem_write(&rig.physmem, GPA(rig_pte(0x40000)), &absent, 8);
    cpu->rip = CODE;
    cr_assert_eq(alone(cpu, pop_absent), EXEC_FAULT);
    cr_assert_eq(cpu->fault.vector, VECTOR_PF);
    cr_assert_eq(cpu->regs[RSP], TOP + 8);
}

Test(integer, enter_copies_the_frame_pointers_and_leave_undoes_it)
{
    rig_long(&rig, CODE, 0);
    uint64_t outer[] = {0x1111, 0x2222};
    uint64_t frame = TOP + 0x100;
    physmem_write(&rig.physmem, GPA(frame - 16), outer, sizeof outer);
    cpu->regs[RBP] = frame;
    cr_assert_eq(alone(cpu, enter_3), EXEC_STOP);
    cr_assert_eq(rig_peek(&rig, TOP - 8, 8), frame);
    cr_assert_eq(rig_peek(&rig, TOP - 16, 8), 0x2222);
    cr_assert_eq(rig_peek(&rig, TOP - 24, 8), 0x1111);
    cr_assert_eq(rig_peek(&rig, TOP - 32, 8), TOP - 8);
    cr_assert_eq(cpu->regs[RBP], TOP - 8);
    cr_assert_eq(cpu->regs[RSP], TOP - 32 - 0x20);
    cpu->rip = CODE;
    cr_assert_eq(alone(cpu, leave_64), EXEC_STOP);
    cr_assert_eq(cpu->regs[RSP], TOP);
    cr_assert_eq(cpu->regs[RBP], frame);
}

Test(integer, pusha_and_popa)
{
    rig_real(&rig, 0x1000);
    for (unsigned n = 0; n < 8; n++)
        cpu->regs[n] = 0x11110000 * (n + 1) + n;
    cpu->regs[RSP] = 0xabcd0004; /* wraps below 0 */
    run_bytes(0x60, 0, 1);
    cr_assert_eq(cpu->regs[RSP], 0xabcdfff4);
    cr_assert_eq(rig_peek(&rig, 0x2, 2), RAX);
    cr_assert_eq(rig_peek(&rig, 0xfffa, 2), 4); /* SP as it was */
    cr_assert_eq(rig_peek(&rig, 0xfff4, 2), RDI);
    for (unsigned n = 0; n < 8; n++)
        if (n != RSP)
            cpu->regs[n] = UINT32_MAX;
    run_bytes(0x61, 0, 1);
    for (unsigned n = 0; n < 8; n++)
        cr_assert_eq(cpu->regs[n], n == RSP ? 0xabcd0004u : 0xffff0000u + n);
}

/* --- branches */

Test(integer, a_branch_beyond_the_limit_changes_nothing)
{
    static const uint8_t call[] = {0xe8, 0x00, 0x40}, ret[] = {0xc3}, loop[] = {0xe2, 0x7f};
    rig_real(&rig, 0x1000);
    cpu->segs[CS].limit = 0x1040;
    cpu_mode_changed(cpu);
    cpu->regs[RCX] = 5;
    uint16_t away = 0x5000;
    physmem_write(&rig.physmem, GPA(0x8000), &away, 2);
    const struct {
        const uint8_t *bytes;
        size_t length;
    } branches[] = {{call, 3}, {ret, 1}, {loop, 2}};
    for (unsigned i = 0; i < ARRAY_LENGTH(branches); i++) {
        cpu->rip = 0x1000;
        cr_assert_eq(alone_bytes(cpu, branches[i].bytes, branches[i].length), EXEC_FAULT);
        cr_assert_eq(cpu->fault.vector, VECTOR_GP);
        cr_assert_eq(cpu->rip, 0x1000);
        cr_assert_eq(cpu->regs[RSP], 0x8000);
        cr_assert_eq(cpu->regs[RCX], 5);
    }
}

Test(integer, a_return_to_a_non_canonical_address_faults_at_the_return)
{
    static const uint8_t ret[] = {0xc2, 0x10, 0x00};
    const uint64_t away = UINT64_C(0x0000800000000000), home = CODE + 0x40;
    rig_long(&rig, CODE, 0);
    physmem_write(&rig.physmem, GPA(TOP), &away, 8);
    cr_assert_eq(alone_bytes(cpu, ret, 3), EXEC_FAULT);
    cr_assert_eq(cpu->fault.vector, VECTOR_GP);
    cr_assert_eq(cpu->regs[RSP], TOP);
    physmem_write(&rig.physmem, GPA(TOP), &home, 8);
    cr_assert_eq(alone_bytes(cpu, ret, 3), EXEC_LEAVE);
    cr_assert_eq(cpu->rip, home);
    cr_assert_eq(cpu->regs[RSP], TOP + 0x18);
}

Test(integer, sixteen_bit_branches_wrap)
{
    static const uint8_t jump[] = {0xeb, 0x7f}, loop32[] = {0x67, 0xe2, 0x10};
    rig_real(&rig, 0xfff0);
    cr_assert_eq(alone_bytes(cpu, jump, 2), EXEC_LEAVE);
    cr_assert_eq(cpu->rip, 0x71);
    /* the counter is ECX by the address size */
    cpu->regs[RCX] = 0x10000;
    cpu->rip = 0x1000;
    cr_assert_eq(alone_bytes(cpu, loop32, 3), EXEC_LEAVE);
    cr_assert_eq(cpu->rip, 0x1013);
    cr_assert_eq(cpu->regs[RCX], 0xffff);
}

/* --- bits, bounds, tables */

Test(integer, bit_numbers_reach_beyond_the_operand)
{
    static const uint8_t bts32[] = {0x0f, 0xab, 0x0b}, btc64[] = {0x48, 0x0f, 0xbb, 0x0b};
    rig_long(&rig, CODE, 0);
    cpu->regs[RBX] = DATA;
    for (int bit = -300; bit < 300; bit++) {
        uint64_t byte = (uint64_t)(DATA + (bit >> 3));
        cpu->regs[RCX] = UINT64_C(0x7000000000000000) | (uint32_t)bit; /* ECX alone counts */
        for (unsigned twice = 0; twice < 2; twice++) {
            cpu->rip = CODE;
            cr_assert_eq(alone_bytes(cpu, bts32, 3), EXEC_STOP);
            cr_assert_eq(flag_cf(cpu), twice);
            cr_assert_eq(rig_peek(&rig, byte, 1), 1u << (bit & 7));
        }
        cpu->regs[RCX] = (uint64_t)(int64_t)bit;
        cpu->rip = CODE;
        cr_assert_eq(alone_bytes(cpu, btc64, 4), EXEC_STOP);
        cr_assert(flag_cf(cpu));
        cr_assert_eq(rig_peek(&rig, byte, 1), 0);
    }
}

Test(integer, bound_and_xlat)
{
    static const uint8_t bound[] = {0x62, 0x07}, xlat[] = {0x2e, 0xd7};
    rig_real(&rig, 0x1000);
    const int16_t bounds[] = {-5, 100};
    physmem_write(&rig.physmem, GPA(0x600), bounds, sizeof bounds);
    cpu->regs[RBX] = 0x600;
    for (int index = -10; index < 110; index++) {
        cpu->regs[RAX] = (uint16_t)index;
        cpu->rip = 0x1000;
        bool inside = index >= -5 && index <= 100;
        cr_assert_eq(alone_bytes(cpu, bound, 2), inside ? EXEC_STOP : EXEC_FAULT);
        cr_assert(inside || cpu->fault.vector == VECTOR_BR);
    }
    uint8_t entry = 0x5a;
    physmem_write(&rig.physmem, GPA(0x20000 + 0x10), &entry, 1);
    segment_load_real(cpu, CS, 0x2000); /* the override */
    cpu_mode_changed(cpu);
    cpu->regs[RBX] = 0xfff0;
    cpu->regs[RAX] = 0x20;
    cpu->rip = 0x1000;
    cr_assert_eq(alone_bytes(cpu, xlat, 2), EXEC_STOP);
    cr_assert_eq(cpu->regs[RAX], 0x5a);
}

/* NOP does not clear the upper half of RAX; XCHG with R8 does what it says. */
Test(integer, nop_is_not_an_exchange)
{
    static const uint8_t xchg_r8[] = {0x41, 0x90};
    rig_long(&rig, CODE, 0);
    cpu->regs[RAX] = UINT64_C(0xffffffff00000001);
    cpu->regs[R8] = UINT64_C(0xeeeeeeee00000002);
    run_bytes(0x90, 0, 1);
    cr_assert_eq(cpu->regs[RAX], UINT64_C(0xffffffff00000001));
    cpu->rip = CODE;
    cr_assert_eq(alone_bytes(cpu, xchg_r8, 2), EXEC_STOP);
    cr_assert_eq(cpu->regs[RAX], 2);
    cr_assert_eq(cpu->regs[R8], 1);
}
