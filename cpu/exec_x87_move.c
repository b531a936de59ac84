/* x87 loads, stores, conversions, constants, exchanges and conditional moves: SDM 1 §8.3.3, §8.3.4.
 */
#include "cpu/exec_x87.h"

/* The new ST(0) is not free: the masked result is the indefinite. */
static cold_path int push_on_full(struct cpu *cpu, const struct insn *insn)
{
    if (x87_stack_overflow(cpu))
        *x87_push(cpu) = x87_indefinite;
    return NEXT(insn);
}
static cold_path int push_of_empty(struct cpu *cpu, const struct insn *insn)
{
    if (x87_stack_underflow(cpu))
        *x87_push(cpu) = x87_indefinite;
    return NEXT(insn);
}
#define IS_FULL() unlikely(!x87_is_empty(cpu, 7))

/* --- loads */
EXEC(FLD_STi)
{
    X87_CHECK();
    x87_note_code(cpu, insn);
    if (unlikely(x87_is_empty(cpu, insn->rm)))
        return push_of_empty(cpu, insn);
    if (IS_FULL())
        return push_on_full(cpu, insn);
    const struct x87_register *from = x87_st(cpu, insn->rm);
    *x87_push(cpu) = *from;
    x87_clear_c1(cpu);
    return NEXT(insn);
}

EXEC_MEMORY(FLD_Mt)
{
    X87_CHECK();
    uint64_t offset = insn_address(cpu, insn);
    const uint8_t *at = mem_fast(cpu, insn->seg, offset, 10, false);
    if (unlikely(!at)) {
        if (slow)
            return slow(cpu, insn);
        TRY(mem_load_bytes(cpu, insn->seg, offset, cpu->rmw.bytes, 10));
        at = cpu->rmw.bytes;
    }
    x87_note_data(cpu, insn, offset);
    if (IS_FULL())
        return push_on_full(cpu, insn);
    struct x87_register *to = x87_push(cpu);
    to->mantissa = load_le64(at);
    to->exponent = load_le16(at + 8);
    x87_clear_c1(cpu);
    return NEXT(insn);
}

/* WHY: the register above the top is filled before the push is certain: it is empty. */
#define LOAD_CONVERTED(op, at)                                                                     \
    do {                                                                                           \
        if (IS_FULL())                                                                             \
            return push_on_full(cpu, insn);                                                        \
        uint32_t pushed;                                                                           \
        x87_collect(cpu, x87_host_##op(x87_st(cpu, 7), at, &cpu->x87.control, &pushed), X87_C1);   \
        if (likely(pushed))                                                                        \
            x87_push(cpu);                                                                         \
        return NEXT(insn);                                                                         \
    } while (0)

#define LOAD(id, op, size)                                                                         \
    EXEC_MEMORY(id)                                                                                \
    {                                                                                              \
        X87_CHECK();                                                                               \
        X87_OPERAND(size);                                                                         \
        LOAD_CONVERTED(op, at);                                                                    \
    }
LOAD(FLD_Md, load_f32, 4)
LOAD(FLD_Mq, load_f64, 8)
LOAD(FILD_Mw, load_i16, 2)
LOAD(FILD_Md, load_i32, 4)
LOAD(FILD_Mq, load_i64, 8)

EXEC(FBLD_Mt)
{
    X87_CHECK();
    uint64_t offset = insn_address(cpu, insn);
    TRY(mem_load_bytes(cpu, insn->seg, offset, cpu->rmw.bytes, 10));
    x87_note_data(cpu, insn, offset);
    LOAD_CONVERTED(load_bcd, cpu->rmw.bytes);
}

#define CONSTANT(id, op)                                                                           \
    EXEC(id)                                                                                       \
    {                                                                                              \
        X87_CHECK();                                                                               \
        x87_note_code(cpu, insn);                                                                  \
        if (IS_FULL())                                                                             \
            return push_on_full(cpu, insn);                                                        \
        x87_host_##op(x87_push(cpu));                                                              \
        x87_clear_c1(cpu);                                                                         \
        return NEXT(insn);                                                                         \
    }
CONSTANT(FLD1, fld1)
CONSTANT(FLDL2T, fldl2t)
CONSTANT(FLDL2E, fldl2e)
CONSTANT(FLDPI, fldpi)
CONSTANT(FLDLG2, fldlg2)
CONSTANT(FLDLN2, fldln2)
CONSTANT(FLDZ, fldz)

/* --- stores to registers */
#define STORE_REGISTER(id, pops)                                                                   \
    EXEC(id)                                                                                       \
    {                                                                                              \
        X87_CHECK();                                                                               \
        x87_note_code(cpu, insn);                                                                  \
        if (unlikely(x87_is_empty(cpu, 0)))                                                        \
            return x87_empty_operand(cpu, insn, insn->rm, pops);                                   \
        *x87_st(cpu, insn->rm) = *x87_st(cpu, 0);                                                  \
        x87_mark(cpu, insn->rm);                                                                   \
        x87_clear_c1(cpu);                                                                         \
        if (pops)                                                                                  \
            x87_pop(cpu);                                                                          \
        return NEXT(insn);                                                                         \
    }
STORE_REGISTER(FST_STi, 0)
STORE_REGISTER(FSTP_STi, 1)
STORE_REGISTER(FSTP_STi_DF2, 1)
STORE_REGISTER(FSTP_STi_DF3, 1)

/* QUIRK: this alias takes an empty ST(0) for nothing to store, and no fault. */
EXEC(FSTP_STi_D9)
{
    X87_CHECK();
    x87_note_code(cpu, insn);
    if (!x87_is_empty(cpu, 0)) {
        *x87_st(cpu, insn->rm) = *x87_st(cpu, 0);
        x87_mark(cpu, insn->rm);
    }
    x87_clear_c1(cpu);
    x87_pop(cpu);
    return NEXT(insn);
}

static always_inline bool is_masked(const struct cpu *cpu, unsigned exception)
{
    return cpu->x87.control & exception;
}

/* --- stores to memory; an empty ST(0) stores `indefinite` of the format.  What an unmasked
 * exception keeps from being stored must be writable all the same. */
#define STORE(id, op, bits, indefinite, pops)                                                      \
    EXEC_TWICE(id, x87_is_empty(cpu, 0))                                                           \
    {                                                                                              \
        X87_CHECK();                                                                               \
        uint64_t offset = insn_address(cpu, insn);                                                 \
        if (!slow && x87_is_empty(cpu, 0)) {                                                       \
            TRY(is_masked(cpu, X87_IE)                                                             \
                    ? mem_store##bits(cpu, insn->seg, offset, (uint##bits##_t)(indefinite))        \
                    : mem_check_write(cpu, insn->seg, offset, (bits) / 8));                        \
            x87_note_data(cpu, insn, offset);                                                      \
            if (x87_stack_underflow(cpu) && (pops))                                                \
                x87_pop(cpu);                                                                      \
            return NEXT(insn);                                                                     \
        }                                                                                          \
        uint16_t host = x87_host_##op(&cpu->load_value, x87_st(cpu, 0), &cpu->x87.control);        \
        bool stores = !x87_has_unmasked(cpu, host, X87_EXCEPTIONS & ~X87_PE);                      \
        if (slow                                                                                   \
                ? !stores || operand_store##bits(cpu, insn, (uint##bits##_t)cpu->load_value, true) \
            : stores ? mem_store##bits(cpu, insn->seg, offset, (uint##bits##_t)cpu->load_value)    \
                     : mem_check_write(cpu, insn->seg, offset, (bits) / 8)) {                      \
            x87_host_clear();                                                                      \
            return slow ? slow(cpu, insn) : exec_fault(cpu, insn);                                 \
        }                                                                                          \
        x87_note_data(cpu, insn, offset);                                                          \
        x87_collect(cpu, host, X87_C1);                                                            \
        if ((pops) && stores)                                                                      \
            x87_pop(cpu);                                                                          \
        return NEXT(insn);                                                                         \
    }
#define INDEFINITE_F32 0xffc00000
#define INDEFINITE_F64 UINT64_C(0xfff8000000000000)
#define INDEFINITE_I16 0x8000
#define INDEFINITE_I32 0x80000000
#define INDEFINITE_I64 UINT64_C(0x8000000000000000)
STORE(FST_Md, store_f32, 32, INDEFINITE_F32, 0)
STORE(FSTP_Md, store_f32, 32, INDEFINITE_F32, 1)
STORE(FST_Mq, store_f64, 64, INDEFINITE_F64, 0)
STORE(FSTP_Mq, store_f64, 64, INDEFINITE_F64, 1)
STORE(FIST_Mw, store_i16, 16, INDEFINITE_I16, 0)
STORE(FISTP_Mw, store_i16, 16, INDEFINITE_I16, 1)
STORE(FIST_Md, store_i32, 32, INDEFINITE_I32, 0)
STORE(FISTP_Md, store_i32, 32, INDEFINITE_I32, 1)
STORE(FISTP_Mq, store_i64, 64, INDEFINITE_I64, 1)
STORE(FISTTP_Mw, truncate_i16, 16, INDEFINITE_I16, 1)
STORE(FISTTP_Md, truncate_i32, 32, INDEFINITE_I32, 1)
STORE(FISTTP_Mq, truncate_i64, 64, INDEFINITE_I64, 1)

static const struct x87_bcd bcd_indefinite = {{0, 0, 0, 0, 0, 0, 0, 0xc0, 0xff, 0xff}};

/* FSTP m80 and FBSTP of an empty ST(0): stores the 10 bytes at `indefinite`. */
static cold_path bool store_empty_80(struct cpu *cpu, const struct insn *insn, uint64_t offset,
                                     const void *indefinite)
{
    if (is_masked(cpu, X87_IE) ? mem_store_bytes(cpu, insn->seg, offset, indefinite, 10)
                               : mem_check_write(cpu, insn->seg, offset, 10))
        return true;
    x87_note_data(cpu, insn, offset);
    if (x87_stack_underflow(cpu))
        x87_pop(cpu);
    return false;
}

EXEC_TWICE(FSTP_Mt, x87_is_empty(cpu, 0))
{
    X87_CHECK();
    uint64_t offset = insn_address(cpu, insn);
    if (!slow && x87_is_empty(cpu, 0)) {
        TRY(store_empty_80(cpu, insn, offset, &x87_indefinite));
        return NEXT(insn);
    }
    const struct x87_register *from = x87_st(cpu, 0);
    uint8_t *at = mem_fast(cpu, insn->seg, offset, 10, true);
    if (likely(at != NULL)) {
        store_le64(at, from->mantissa);
        store_le16(at + 8, from->exponent);
    } else {
        TRY_OR_SLOW(slow || mem_store_bytes(cpu, insn->seg, offset, from, 10));
    }
    x87_note_data(cpu, insn, offset);
    x87_clear_c1(cpu);
    x87_pop(cpu);
    return NEXT(insn);
}

EXEC(FBSTP_Mt)
{
    X87_CHECK();
    uint64_t offset = insn_address(cpu, insn);
    if (unlikely(x87_is_empty(cpu, 0))) {
        TRY(store_empty_80(cpu, insn, offset, &bcd_indefinite));
        return NEXT(insn);
    }
    uint16_t host = x87_host_store_bcd(cpu->rmw.bytes, x87_st(cpu, 0), &cpu->x87.control);
    bool stores = !x87_has_unmasked(cpu, host, X87_EXCEPTIONS & ~X87_PE);
    if (stores ? mem_store_bytes(cpu, insn->seg, offset, cpu->rmw.bytes, 10)
               : mem_check_write(cpu, insn->seg, offset, 10)) {
        x87_host_clear();
        return exec_fault(cpu, insn);
    }
    x87_note_data(cpu, insn, offset);
    x87_collect(cpu, host, X87_C1);
    if (stores)
        x87_pop(cpu);
    return NEXT(insn);
}

/* --- exchanges, conditional moves */
static always_inline void exchange(struct cpu *cpu, const struct insn *insn)
{
    struct x87_register *a = x87_st(cpu, 0), *b = x87_st(cpu, insn->rm);
    const struct x87_register old = *a;
    *a = *b;
    *b = old;
    x87_clear_c1(cpu);
}

static void fill_empty(struct cpu *cpu, unsigned i)
{
    if (x87_is_empty(cpu, i))
        *x87_st(cpu, i) = x87_indefinite;
    x87_mark(cpu, i);
}

static cold_path int exchange_empty(struct cpu *cpu, const struct insn *insn)
{
    if (x87_stack_underflow(cpu)) {
        fill_empty(cpu, 0);
        fill_empty(cpu, insn->rm);
        exchange(cpu, insn);
    }
    return NEXT(insn);
}

#define EXCHANGE(id)                                                                               \
    EXEC(id)                                                                                       \
    {                                                                                              \
        X87_CHECK();                                                                               \
        x87_note_code(cpu, insn);                                                                  \
        if (unlikely(x87_is_empty(cpu, 0) || x87_is_empty(cpu, insn->rm)))                         \
            return exchange_empty(cpu, insn);                                                      \
        exchange(cpu, insn);                                                                       \
        return NEXT(insn);                                                                         \
    }
EXCHANGE(FXCH_STi)
EXCHANGE(FXCH_STi_DD)
EXCHANGE(FXCH_STi_DF)

#define MOVE_IF(id, condition)                                                                     \
    EXEC(id)                                                                                       \
    {                                                                                              \
        X87_CHECK();                                                                               \
        x87_note_code(cpu, insn);                                                                  \
        if (unlikely(x87_is_empty(cpu, 0) || x87_is_empty(cpu, insn->rm)))                         \
            return x87_empty_operand(cpu, insn, 0, 0);                                             \
        if (condition)                                                                             \
            *x87_st(cpu, 0) = *x87_st(cpu, insn->rm);                                              \
        x87_clear_c1(cpu);                                                                         \
        return NEXT(insn);                                                                         \
    }
MOVE_IF(FCMOVB_ST0STi, flag_cf(cpu))
MOVE_IF(FCMOVE_ST0STi, flag_zf(cpu))
MOVE_IF(FCMOVBE_ST0STi, flag_cf(cpu) || flag_zf(cpu))
MOVE_IF(FCMOVU_ST0STi, flag_pf(cpu))
MOVE_IF(FCMOVNB_ST0STi, !flag_cf(cpu))
MOVE_IF(FCMOVNE_ST0STi, !flag_zf(cpu))
MOVE_IF(FCMOVNBE_ST0STi, !flag_cf(cpu) && !flag_zf(cpu))
MOVE_IF(FCMOVNU_ST0STi, !flag_pf(cpu))
