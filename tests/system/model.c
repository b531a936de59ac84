/* The rules of model.h.  Sources: SDM 2B MOV and POP, 2A LDS/LES/LFS/LGS/LSS; 3A §5.6, §5.7; 2A
 * CALL, IRET and JMP, 2B RET; 3A §5.8. */
#include "model.h"

static struct verdict load_stack(unsigned selector, struct kind k, unsigned cpl,
                                 bool is_64_bit_code)
{
    unsigned rpl = selector & 3;

    if (!error_of(selector))
        return is_64_bit_code && cpl != 3 && rpl == cpl ? ENDS : fault(VECTOR_GP, 0);
    if (rpl != cpl || !is_writable(k.kind) || k.dpl != cpl)
        return fault(VECTOR_GP, error_of(selector));
    return k.present ? ENDS : fault(VECTOR_SS, error_of(selector));
}

struct verdict model_load(unsigned segment, unsigned selector, struct kind k, unsigned cpl,
                          bool is_64_bit_code)
{
    unsigned rpl = selector & 3;

    if (segment == SEG_SS)
        return load_stack(selector, k, cpl, is_64_bit_code);
    if (!error_of(selector))
        return ENDS;
    if (!is_readable(k.kind))
        return fault(VECTOR_GP, error_of(selector));
    if (!is_conforming(k.kind) && (rpl > k.dpl || cpl > k.dpl))
        return fault(VECTOR_GP, error_of(selector));
    return k.present ? ENDS : fault(VECTOR_NP, error_of(selector));
}

static bool is_both_64_and_32(unsigned flags)
{
    return in_long_mode() && (flags & SIZE_64) && (flags & SIZE_32);
}

static struct verdict present_code(unsigned selector, struct kind k)
{
    return k.present ? ENDS : fault(VECTOR_NP, error_of(selector));
}

struct verdict model_far_code(unsigned selector, struct kind k, unsigned flags, unsigned cpl)
{
    unsigned rpl = selector & 3;

    if (!is_code(k.kind) || is_both_64_and_32(flags))
        return fault(VECTOR_GP, error_of(selector));
    if (is_conforming(k.kind) ? k.dpl > cpl : rpl > cpl || k.dpl != cpl)
        return fault(VECTOR_GP, error_of(selector));
    return present_code(selector, k);
}

struct verdict model_return_code(unsigned selector, struct kind k, unsigned flags, unsigned cpl)
{
    unsigned rpl = selector & 3;

    if (!is_code(k.kind) || is_both_64_and_32(flags) || rpl < cpl)
        return fault(VECTOR_GP, error_of(selector));
    if (is_conforming(k.kind) ? k.dpl > rpl : k.dpl != rpl)
        return fault(VECTOR_GP, error_of(selector));
    return present_code(selector, k);
}

struct verdict model_gate_code(unsigned selector, struct kind k, unsigned flags, unsigned cpl,
                               bool is_call)
{
    if (!is_code(k.kind) || k.dpl > cpl)
        return fault(VECTOR_GP, error_of(selector));
    if (!is_call && !is_conforming(k.kind) && k.dpl != cpl)
        return fault(VECTOR_GP, error_of(selector));
    if (in_long_mode() && (flags & (SIZE_64 | SIZE_32)) != SIZE_64)
        return fault(VECTOR_GP, error_of(selector));
    return present_code(selector, k);
}

struct verdict model_stack(unsigned selector, struct kind k, unsigned cpl, unsigned vector)
{
    if ((selector & 3) != cpl || k.dpl != cpl || !is_writable(k.kind))
        return fault(vector, error_of(selector));
    return k.present ? ENDS : fault(VECTOR_SS, error_of(selector));
}
