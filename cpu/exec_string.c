/* MOVS CMPS STOS LODS SCAS, and REP: SDM 2A and 2B, "MOVS" ... and "REP/REPE/REPZ/REPNE/REPNZ".
 *
 * A repeated instruction is one call of its handler.  It goes in runs: stretches of elements that
 * lie in memory which may be touched directly, one page at most of each operand (mem_run); what is
 * not such memory goes element by element, where it may fault.
 *
 * Every function here is inlined with a constant `size`, so each handler is its own specialisation.
 *
 * INV-1: whenever a repetition stops (end, fault, attention), RCX, RSI and RDI count exactly the
 *        elements done; unless it ended, rip is at the instruction itself, to go on there.
 * INV-2: the result is that of element by element, also where the operands overlap.
 * INV-3: between two looks at cpu->attention lies one run.
 * INV-4: with MODE_SINGLE a call does one element: the trap comes after each.
 */
#include "cpu/exec_int.h"

/* --- registers: as wide as an address */
static always_inline unsigned destination_seg(const struct cpu *cpu)
{
    return cpu_is_64(cpu) ? SEG_FLAT : ES;
}
static always_inline uint64_t string_register(const struct cpu *cpu, const struct insn *insn,
                                              unsigned n)
{
    return cpu->regs[n] & address_mask(insn);
}
static always_inline bool string_is_backward(const struct cpu *cpu)
{
    return cpu->eflags & F_DF;
}
/* Moves RSI or RDI past `elements`. */
static always_inline void string_advance(struct cpu *cpu, const struct insn *insn, unsigned n,
                                         uint64_t elements, enum op_size size)
{
    uint64_t bytes = elements << size;
    address_register_set(cpu, insn, n, cpu->regs[n] + (string_is_backward(cpu) ? -bytes : bytes));
}

/* --- elements */
static always_inline must_check bool element_load(struct cpu *cpu, unsigned seg, uint64_t offset,
                                                  enum op_size size, uint64_t *value)
{
    uint8_t byte = 0;
    uint16_t word = 0;
    uint32_t dword = 0;
    bool fault;
    switch (size) {
    case SIZE_8:
        fault = mem_load8(cpu, seg, offset, &byte);
        *value = byte;
        return fault;
    case SIZE_16:
        fault = mem_load16(cpu, seg, offset, &word);
        *value = word;
        return fault;
    case SIZE_32:
        fault = mem_load32(cpu, seg, offset, &dword);
        *value = dword;
        return fault;
    default:
        return mem_load64(cpu, seg, offset, value);
    }
}
static always_inline must_check bool element_store(struct cpu *cpu, unsigned seg, uint64_t offset,
                                                   enum op_size size, uint64_t value)
{
    switch (size) {
    case SIZE_8:
        return mem_store8(cpu, seg, offset, (uint8_t)value);
    case SIZE_16:
        return mem_store16(cpu, seg, offset, (uint16_t)value);
    case SIZE_32:
        return mem_store32(cpu, seg, offset, (uint32_t)value);
    default:
        return mem_store64(cpu, seg, offset, value);
    }
}
static always_inline uint64_t accumulator(const struct cpu *cpu, enum op_size size)
{
    return cpu->regs[RAX] & UINT64_MAX >> (64 - (8 << size));
}
static always_inline void accumulator_set(struct cpu *cpu, enum op_size size, uint64_t value)
{
    switch (size) {
    case SIZE_8:
        REG8_SET(0, value);
        break;
    case SIZE_16:
        REG16_SET(RAX, value);
        break;
    case SIZE_32:
        REG32_SET(RAX, value);
        break;
    default:
        REG64_SET(RAX, value);
        break;
    }
}
static always_inline uint64_t host_element(const uint8_t *at, enum op_size size)
{
    uint64_t value = 0;
    memcpy(&value, at, (size_t)1 << size);
    return value;
}

/* --- one element; true: a fault is pending and nothing has changed */
static always_inline bool one_MOVS(struct cpu *cpu, const struct insn *insn, enum op_size size)
{
    uint64_t value;
    if (unlikely(element_load(cpu, insn->seg, string_register(cpu, insn, RSI), size, &value)) ||
        unlikely(
            element_store(cpu, destination_seg(cpu), string_register(cpu, insn, RDI), size, value)))
        return true;
    string_advance(cpu, insn, RSI, 1, size);
    string_advance(cpu, insn, RDI, 1, size);
    return false;
}
static always_inline bool one_STOS(struct cpu *cpu, const struct insn *insn, enum op_size size)
{
    if (unlikely(element_store(cpu, destination_seg(cpu), string_register(cpu, insn, RDI), size,
                               accumulator(cpu, size))))
        return true;
    string_advance(cpu, insn, RDI, 1, size);
    return false;
}
static always_inline bool one_LODS(struct cpu *cpu, const struct insn *insn, enum op_size size)
{
    uint64_t value;
    if (unlikely(element_load(cpu, insn->seg, string_register(cpu, insn, RSI), size, &value)))
        return true;
    accumulator_set(cpu, size, value);
    string_advance(cpu, insn, RSI, 1, size);
    return false;
}
static always_inline bool one_CMPS(struct cpu *cpu, const struct insn *insn, enum op_size size)
{
    uint64_t a, b;
    if (unlikely(element_load(cpu, insn->seg, string_register(cpu, insn, RSI), size, &a)) ||
        unlikely(
            element_load(cpu, destination_seg(cpu), string_register(cpu, insn, RDI), size, &b)))
        return true;
    flags_subtract(cpu, a, b, a - b, 8u << size);
    string_advance(cpu, insn, RSI, 1, size);
    string_advance(cpu, insn, RDI, 1, size);
    return false;
}
static always_inline bool one_SCAS(struct cpu *cpu, const struct insn *insn, enum op_size size)
{
    uint64_t a = accumulator(cpu, size), b;
    if (unlikely(
            element_load(cpu, destination_seg(cpu), string_register(cpu, insn, RDI), size, &b)))
        return true;
    flags_subtract(cpu, a, b, a - b, 8u << size);
    string_advance(cpu, insn, RDI, 1, size);
    return false;
}

/* --- runs */

/* Elements from `offset` on before the address register wraps. */
static always_inline uint64_t elements_before_wrap(uint64_t offset, enum op_size size,
                                                   uint64_t mask, bool backward)
{
    const uint64_t last = mask - ((UINT64_C(1) << size) - 1); /* where an element still fits */
    if (offset > last)
        return 0;
    return ((backward ? offset : last - offset) >> size) + 1;
}

/* As mem_run(), in the direction of DF; *host is the first element's place, the rest follow upwards
 * or downwards. */
static uint64_t string_run(struct cpu *cpu, const struct insn *insn, unsigned seg, unsigned n,
                           enum op_size size, uint64_t count, bool write, uint8_t **host)
{
    const bool backward = string_is_backward(cpu);
    const uint64_t offset = string_register(cpu, insn, n);
    const uint64_t most = elements_before_wrap(offset, size, address_mask(insn), backward);
    if (count > most)
        count = most;
    if (!backward)
        return count ? mem_run(cpu, seg, offset, 1u << size, count, write, host) : 0;

    /* Down to the start of the page: all of it or nothing. */
    const uint64_t in_page = (cpu->segs[seg].base + offset) & PAGE_OFFSET_MASK;
    if (count > (in_page >> size) + 1)
        count = (in_page >> size) + 1;
    const uint64_t below = (count - 1) << size;
    if (count == 0 || mem_run(cpu, seg, offset - below, 1u << size, count, write, host) != count)
        return 0;
    *host += below;
    return count;
}

/* Copies as if element by element in the given direction; `to` and `from` are the first's places.
 */
static always_inline void copy_elements(uint8_t *to, const uint8_t *from, uint64_t count,
                                        enum op_size size, bool backward)
{
    const uint64_t bytes = count << size, below = backward ? bytes - (UINT64_C(1) << size) : 0;
    const uint64_t ahead = backward ? (uint64_t)(from - to) : (uint64_t)(to - from);
    if (likely(ahead >= bytes)) { /* no element is written before it is read */
        memmove(to - below, from - below, bytes);
        return;
    }
    for (uint64_t i = 0; i < count; i++) {
        memmove(to, from, (size_t)1 << size);
        to += backward ? -(1 << size) : 1 << size;
        from += backward ? -(1 << size) : 1 << size;
    }
}

/* Does the repetition end after elements that compared `equal`? */
static always_inline bool rep_ends(const struct insn *insn, bool equal)
{
    return equal == (insn->rep == REP_F2);
}

/* Each does up to `count` elements and answers how many; 0: it cannot.  *over: a comparison ended
 * the repetition. */
static always_inline uint64_t run_MOVS(struct cpu *cpu, const struct insn *insn, enum op_size size,
                                       uint64_t count, bool *over)
{
    uint8_t *to, *from;
    /* WHY: the destination first: to make it writable may move the frame that both lie in. */
    uint64_t n = string_run(cpu, insn, destination_seg(cpu), RDI, size, count, true, &to);
    if (n > 0)
        n = string_run(cpu, insn, insn->seg, RSI, size, n, false, &from);
    if (n == 0)
        return 0;
    copy_elements(to, from, n, size, string_is_backward(cpu));
    string_advance(cpu, insn, RSI, n, size);
    string_advance(cpu, insn, RDI, n, size);
    return n;
}
static always_inline uint64_t run_STOS(struct cpu *cpu, const struct insn *insn, enum op_size size,
                                       uint64_t count, bool *over)
{
    uint8_t *to;
    const uint64_t n = string_run(cpu, insn, destination_seg(cpu), RDI, size, count, true, &to);
    if (n == 0)
        return 0;
    if (string_is_backward(cpu))
        to -= (n - 1) << size;
    const uint64_t value = accumulator(cpu, size);
    const uint64_t repeated = (uint8_t)value * (UINT64_C(0x0101010101010101));
    if (value == (repeated & UINT64_MAX >> (64 - (8 << size))))
        memset(to, (uint8_t)value, n << size);
    else
        for (uint64_t i = 0; i < n; i++)
            memcpy(to + (i << size), &value, (size_t)1 << size);
    string_advance(cpu, insn, RDI, n, size);
    return n;
}
static always_inline uint64_t run_LODS(struct cpu *cpu, const struct insn *insn, enum op_size size,
                                       uint64_t count, bool *over)
{
    uint8_t *from;
    const uint64_t n = string_run(cpu, insn, insn->seg, RSI, size, count, false, &from);
    if (n == 0)
        return 0;
    const uint64_t to_last = (n - 1) << size;
    accumulator_set(cpu, size,
                    host_element(string_is_backward(cpu) ? from - to_last : from + to_last, size));
    string_advance(cpu, insn, RSI, n, size);
    return n;
}
/* Compares the n elements at `one` (NULL: with `value` each) and `other`; answers how many until
 * the repetition ends, and sets the flags by the last. */
static always_inline uint64_t compare_elements(struct cpu *cpu, const struct insn *insn,
                                               const uint8_t *one, uint64_t value,
                                               const uint8_t *other, uint64_t n, enum op_size size,
                                               bool *over)
{
    const int step = string_is_backward(cpu) ? -(1 << size) : 1 << size;
    uint64_t a = value, b, done = 0;
    do {
        if (one) {
            a = host_element(one, size);
            one += step;
        }
        b = host_element(other, size);
        other += step;
        *over = rep_ends(insn, a == b);
    } while (++done < n && !*over);
    flags_subtract(cpu, a, b, a - b, 8u << size);
    return done;
}
static always_inline uint64_t run_CMPS(struct cpu *cpu, const struct insn *insn, enum op_size size,
                                       uint64_t count, bool *over)
{
    uint8_t *one, *other;
    uint64_t n = string_run(cpu, insn, insn->seg, RSI, size, count, false, &one);
    if (n > 0)
        n = string_run(cpu, insn, destination_seg(cpu), RDI, size, n, false, &other);
    if (n == 0)
        return 0;
    n = compare_elements(cpu, insn, one, 0, other, n, size, over);
    string_advance(cpu, insn, RSI, n, size);
    string_advance(cpu, insn, RDI, n, size);
    return n;
}
static always_inline uint64_t run_SCAS(struct cpu *cpu, const struct insn *insn, enum op_size size,
                                       uint64_t count, bool *over)
{
    uint8_t *other;
    uint64_t n = string_run(cpu, insn, destination_seg(cpu), RDI, size, count, false, &other);
    if (n == 0)
        return 0;
    n = compare_elements(cpu, insn, NULL, accumulator(cpu, size), other, n, size, over);
    string_advance(cpu, insn, RDI, n, size);
    return n;
}

/* --- repetition: EXEC_NEXT when it is over */
typedef bool one_fn(struct cpu *cpu, const struct insn *insn, enum op_size size);
typedef uint64_t run_fn(struct cpu *cpu, const struct insn *insn, enum op_size size, uint64_t count,
                        bool *over);

static always_inline int repeat(struct cpu *cpu, const struct insn *insn, enum op_size size,
                                run_fn *run, one_fn *one, bool compares)
{
    uint64_t count = string_register(cpu, insn, RCX);
    while (count != 0) {
        bool over = false;
        uint64_t done = cpu->mode & MODE_SINGLE ? 0 : run(cpu, insn, size, count, &over);
        if (done == 0) {
            if (unlikely(one(cpu, insn, size)))
                return exec_fault(cpu, insn);
            done = 1;
            over = compares && rep_ends(insn, flag_zf(cpu));
        }
        count -= done;
        address_register_set(cpu, insn, RCX, count);
        if (over || count == 0)
            break;
        if ((cpu->mode & MODE_SINGLE) || (cpu->block && cpu->block->dead) ||
            atomic_load_explicit(&cpu->attention, memory_order_relaxed))
            return exec_stale(cpu, insn); /* leaves at this instruction, which may be another now */
    }
    return EXEC_NEXT;
}

/* The repetition is a call of its own, so that the plain form ends in a jump. */
#define STRING_HANDLER(handler, op, size, compares)                                                \
    static                                                                                         \
        __attribute__((noinline)) int repeat_##handler(struct cpu *cpu, const struct insn *insn)   \
    {                                                                                              \
        return repeat(cpu, insn, size, run_##op, one_##op, compares);                              \
    }                                                                                              \
    EXEC(handler)                                                                                  \
    {                                                                                              \
        if (insn->rep) {                                                                           \
            int result = repeat_##handler(cpu, insn);                                              \
            if (unlikely(result != EXEC_NEXT))                                                     \
                return result;                                                                     \
        } else {                                                                                   \
            TRY(one_##op(cpu, insn, size));                                                        \
        }                                                                                          \
        return NEXT(insn);                                                                         \
    }
#define STRING_HANDLERS(op, compares)                                                              \
    STRING_HANDLER(op##B, op, SIZE_8, compares)                                                    \
    STRING_HANDLER(op##V_16, op, SIZE_16, compares)                                                \
    STRING_HANDLER(op##V_32, op, SIZE_32, compares)                                                \
    STRING_HANDLER(op##V_64, op, SIZE_64, compares)
STRING_HANDLERS(MOVS, false)
STRING_HANDLERS(STOS, false)
STRING_HANDLERS(LODS, false)
STRING_HANDLERS(CMPS, true)
STRING_HANDLERS(SCAS, true)
