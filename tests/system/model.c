/* The rules of model.h.  Sources: SDM 2B MOV and POP, 2A LDS/LES/LFS/LGS/LSS; 3A §5.6, §5.7. */
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
