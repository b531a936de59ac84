/* Elements in memory that a mask's sign bits choose: VMASKMOV, VPMASKMOV, and gathers.  SDM 2C.
 *
 * What the mask leaves out is not touched, and cannot fault.
 */
#include "cpu/avx.h"

/* Elements of 4 or 8 bytes. */
static uint64_t element(const union vector *v, unsigned n, unsigned bytes)
{
    return bytes == 8 ? v->q[n] : v->d[n];
}
static bool is_chosen(const union vector *mask, unsigned n, unsigned bytes)
{
    return element(mask, n, bytes) >> (8 * bytes - 1);
}
static void set_element(union vector *v, unsigned n, unsigned bytes, uint64_t value)
{
    if (bytes == 8)
        v->q[n] = value;
    else
        v->d[n] = (uint32_t)value;
}

static never_inline bool load_masked(struct cpu *cpu, const struct insn *insn, unsigned bytes)
{
    const uint64_t offset = insn_address(cpu, insn);
    const union vector *mask = &cpu->xmm[insn->vex.vvvv];
    union vector value = {0};
    for (unsigned i = 0; i < avx_bytes(insn) / bytes; i++)
        if (is_chosen(mask, i, bytes) &&
            mem_load_part(cpu, insn->seg, (offset + i * bytes) & address_mask(insn),
                          value.b + i * bytes, bytes))
            return true;
    avx_write(cpu, insn->reg, &value, avx_bytes(insn));
    return false;
}

/* All elements are checked before the first is stored. */
static never_inline bool store_masked(struct cpu *cpu, const struct insn *insn, unsigned bytes)
{
    const uint64_t offset = insn_address(cpu, insn);
    const union vector *mask = &cpu->xmm[insn->vex.vvvv], *value = &cpu->xmm[insn->reg];
    for (unsigned i = 0; i < avx_bytes(insn) / bytes; i++)
        if (is_chosen(mask, i, bytes) &&
            mem_check_write_part(cpu, insn->seg, (offset + i * bytes) & address_mask(insn), bytes))
            return true;
    for (unsigned i = 0; i < avx_bytes(insn) / bytes; i++)
        if (is_chosen(mask, i, bytes) &&
            mem_store_part(cpu, insn->seg, (offset + i * bytes) & address_mask(insn),
                           value->b + i * bytes, bytes))
            return true;
    return false;
}

#define MASKED(id, bytes)                                                                          \
    EXEC_TRY(id##_VHM, load_masked(cpu, insn, bytes))                                              \
    EXEC_TRY(id##_MHV, store_masked(cpu, insn, bytes))
MASKED(VMASKMOVPS, 4)
MASKED(VMASKMOVPD, 8)
MASKED(VPMASKMOVD, 4)
MASKED(VPMASKMOVQ, 8)

/* --- gathers */
static uint64_t gather_address(const struct cpu *cpu, const struct insn *insn, unsigned n,
                               unsigned index_bytes)
{
    const union vector *indices = &cpu->xmm[insn->index];
    const int64_t index = index_bytes == 8 ? indices->sq[n] : indices->sd[n];
    const uint64_t offset =
        cpu->regs[insn->base] + ((uint64_t)index << insn->scale) + (uint64_t)(int64_t)insn->disp;
    return insn->address == SIZE_64 ? offset : (uint32_t)offset;
}

/* SDM: an element that has come leaves the mask, so that a fault later resumes with the next. */
static never_inline bool gather(struct cpu *cpu, const struct insn *insn, unsigned bytes,
                                unsigned index_bytes)
{
    union vector *to = &cpu->xmm[insn->reg], *mask = &cpu->xmm[insn->vex.vvvv];
    const unsigned wider = bytes > index_bytes ? bytes : index_bytes;
    const unsigned count = avx_bytes(insn) / wider;
    for (unsigned i = 0; i < count; i++) {
        if (is_chosen(mask, i, bytes)) {
            uint64_t value = 0;
            if (mem_load_part(cpu, insn->seg, gather_address(cpu, insn, i, index_bytes), &value,
                              bytes))
                return true;
            set_element(to, i, bytes, value);
        }
        set_element(mask, i, bytes, 0);
    }
    *mask = (union vector){0};
    memset(to->b + count * bytes, 0, sizeof to->b - count * bytes);
    return false;
}

#define GATHER(id, bytes, index_bytes) EXEC_TRY(id##_VMH, gather(cpu, insn, bytes, index_bytes))
GATHER(VPGATHERDD, 4, 4)
GATHER(VPGATHERDQ, 8, 4)
GATHER(VPGATHERQD, 4, 8)
GATHER(VPGATHERQQ, 8, 8)
GATHER(VGATHERDPS, 4, 4)
GATHER(VGATHERDPD, 8, 4)
GATHER(VGATHERQPS, 4, 8)
GATHER(VGATHERQPD, 8, 8)
