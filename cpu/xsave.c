/* FXSAVE, FXRSTOR, XSAVE, XSAVEOPT, XSAVEC, XSAVES, XRSTOR, XRSTORS: the legacy region of 512
 * bytes, the XSAVE header, and the upper halves of the YMM registers.
 *
 * Each transfer first checks its whole range, then goes in pieces of up to 64 bytes through
 * cpu->rmw.bytes; nothing of the guest's registers changes before the last check.
 * Sources: SDM 1 §10.5 (table 10-2), ch. 13; SDM 2A FXSAVE, 2D XSAVE.
 */
#include "cpu/sse_env.h"

#include "cpu/system.h"
#include "cpu/x87_host.h"

enum {
    LEGACY_MXCSR = 24, /* and MXCSR_MASK: 8 bytes */
    LEGACY_X87 = 32,   /* ST(0)..ST(7), 16 bytes each */
    LEGACY_XMM = 160,
    LEGACY_END = 416, /* XMM15's end; the rest is the program's own */
    LEGACY_BYTES = 512,
    HEADER_STATE = 512,      /* XSTATE_BV */
    HEADER_COMPACTION = 520, /* XCOMP_BV */
    HEADER_END = XSAVE_AVX,
};
#define COMPACTED BIT(63) /* of XCOMP_BV */

/* How an area is written. */
enum save_form { SAVE_ALL, SAVE_OPTIMIZED, SAVE_COMPACTED };

/* An area under transfer. */
struct area {
    unsigned seg;
    uint64_t offset;
    uint8_t *host; /* all of it, if the shadow reaches it at once */
};

static bool area_get(struct cpu *cpu, const struct area *area, unsigned at, void *to,
                     unsigned length)
{
    if (unlikely(!area->host))
        return mem_load_bytes(cpu, area->seg, area->offset + at, to, length);
    memcpy(to, area->host + at, length);
    return false;
}
static bool area_put(struct cpu *cpu, const struct area *area, unsigned at, const void *from,
                     unsigned length)
{
    if (unlikely(!area->host))
        return mem_store_bytes(cpu, area->seg, area->offset + at, from, length);
    memcpy(area->host + at, from, length);
    return false;
}
static bool area_load(struct cpu *cpu, const struct area *area, unsigned at, unsigned length)
{
    return area_get(cpu, area, at, cpu->rmw.bytes, length);
}
static bool area_store(struct cpu *cpu, const struct area *area, unsigned at, unsigned length)
{
    return area_put(cpu, area, at, cpu->rmw.bytes, length);
}

/* Finds and checks the operand of `bytes`; #GP(0) unless it is aligned. */
static bool area_open(struct cpu *cpu, const struct insn *insn, unsigned alignment, unsigned bytes,
                      bool write, struct area *area)
{
    *area = (struct area){.seg = insn->seg, .offset = insn_address(cpu, insn)};
    if ((cpu->segs[area->seg].base + area->offset) & (alignment - 1))
        return cpu_fault(cpu, VECTOR_GP, 0);
    area->host = mem_fast(cpu, area->seg, area->offset, bytes, write);
    if (likely(area->host != NULL))
        return false;
    return write ? mem_check_write(cpu, area->seg, area->offset, bytes)
                 : mem_check_read(cpu, area->seg, area->offset, bytes);
}

static unsigned xmm_count(const struct cpu *cpu)
{
    return cpu_is_64(cpu) ? 16 : 8;
}

/* --- x87: 24 bytes of control and 8 registers */
static bool save_x87(struct cpu *cpu, const struct area *area, bool wide)
{
    const struct x87 *x87 = &cpu->x87;
    uint8_t *to = cpu->rmw.bytes;
    store_le16(to, x87->control);
    store_le16(to + 2, x87->status);
    store_le16(to + 4, x87->valid);
    store_le16(to + 6, x87->opcode & 0x7ff);
    store_le64(to + 8, x87->code_offset);
    store_le64(to + 16, x87->data_offset);
    if (!wide) {
        store_le32(to + 12, x87->code_selector);
        store_le32(to + 20, x87->data_selector);
    }
    if (area_store(cpu, area, 0, LEGACY_MXCSR))
        return true;
    for (unsigned i = 0; i < 8; i++) {
        store_le64(to, x87_st(cpu, i)->mantissa);
        store_le64(to + 8, x87_st(cpu, i)->exponent);
        if (area_store(cpu, area, LEGACY_X87 + 16 * i, 16))
            return true;
    }
    return false;
}

static bool restore_x87(struct cpu *cpu, const struct area *area, bool wide)
{
    struct x87 *x87 = &cpu->x87;
    const uint8_t *from = cpu->rmw.bytes;
    if (area_load(cpu, area, 0, LEGACY_MXCSR))
        return true;
    x87->valid = from[4];
    x87->opcode = load_le16(from + 6) & 0x7ff;
    x87->code_offset = wide ? load_le64(from + 8) : load_le32(from + 8);
    x87->data_offset = wide ? load_le64(from + 16) : load_le32(from + 16);
    x87->code_selector = wide ? 0 : load_le16(from + 12);
    x87->data_selector = wide ? 0 : load_le16(from + 20);
    x87_set_control(cpu, load_le16(from));
    x87_set_status(cpu, load_le16(from + 2));
    for (unsigned i = 0; i < 8; i++) {
        if (area_load(cpu, area, LEGACY_X87 + 16 * i, 16))
            return true;
        x87_st(cpu, i)->mantissa = load_le64(from);
        x87_st(cpu, i)->exponent = load_le16(from + 8);
    }
    return false;
}

static bool x87_is_initial(const struct cpu *cpu)
{
    const struct x87 *x87 = &cpu->x87;
    uint64_t used = 0;
    for (unsigned i = 0; i < 8; i++)
        used |= x87->registers[i].mantissa | x87->registers[i].exponent;
    return x87->control == X87_CONTROL_INIT && !x87->status && !x87->valid && !x87->opcode &&
           !x87->code_selector && !x87->data_selector && !x87->code_offset && !x87->data_offset &&
           !used;
}

static void init_x87(struct cpu *cpu)
{
    memset(cpu->x87.registers, 0, sizeof cpu->x87.registers);
    x87_init(cpu);
}

/* --- MXCSR and the XMM registers */
static bool save_mxcsr(struct cpu *cpu, const struct area *area)
{
    store_le32(cpu->rmw.bytes, sse_mxcsr(cpu));
    store_le32(cpu->rmw.bytes + 4, cpu->mxcsr_mask);
    return area_store(cpu, area, LEGACY_MXCSR, 8);
}

/* The value to be restored, in *mxcsr; #GP(0) for reserved bits. */
static bool load_mxcsr(struct cpu *cpu, const struct area *area, uint32_t *mxcsr)
{
    if (area_load(cpu, area, LEGACY_MXCSR, 4))
        return true;
    *mxcsr = load_le32(cpu->rmw.bytes);
    return *mxcsr & ~cpu->mxcsr_mask && cpu_fault(cpu, VECTOR_GP, 0);
}

static bool save_xmm(struct cpu *cpu, const struct area *area)
{
    for (unsigned i = 0; i < xmm_count(cpu); i++)
        if (area_put(cpu, area, LEGACY_XMM + 16 * i, &cpu->xmm[i], 16))
            return true;
    return false;
}

static bool restore_xmm(struct cpu *cpu, const struct area *area)
{
    for (unsigned i = 0; i < xmm_count(cpu); i++)
        if (area_get(cpu, area, LEGACY_XMM + 16 * i, &cpu->xmm[i], 16))
            return true;
    return false;
}

static bool xmm_is_initial(const struct cpu *cpu)
{
    uint64_t used = 0;
    for (unsigned i = 0; i < xmm_count(cpu); i++)
        used |= cpu->xmm[i].q[0] | cpu->xmm[i].q[1];
    return !used;
}

static void init_xmm(struct cpu *cpu)
{
    for (unsigned i = 0; i < xmm_count(cpu); i++)
        cpu->xmm[i].q[0] = cpu->xmm[i].q[1] = 0;
}

/* --- the upper halves of the YMM registers */
static bool save_upper(struct cpu *cpu, const struct area *area)
{
    for (unsigned i = 0; i < xmm_count(cpu); i++)
        if (area_put(cpu, area, XSAVE_AVX + 16 * i, &cpu->xmm[i].q[2], 16))
            return true;
    return false;
}

static bool restore_upper(struct cpu *cpu, const struct area *area)
{
    for (unsigned i = 0; i < xmm_count(cpu); i++)
        if (area_get(cpu, area, XSAVE_AVX + 16 * i, &cpu->xmm[i].q[2], 16))
            return true;
    return false;
}

static bool upper_is_initial(const struct cpu *cpu)
{
    uint64_t used = 0;
    for (unsigned i = 0; i < xmm_count(cpu); i++)
        used |= cpu->xmm[i].q[2] | cpu->xmm[i].q[3];
    return !used;
}

static void init_upper(struct cpu *cpu)
{
    for (unsigned i = 0; i < xmm_count(cpu); i++)
        cpu->xmm[i].q[2] = cpu->xmm[i].q[3] = 0;
}

/* --- FXSAVE, FXRSTOR */
static bool fxsave(struct cpu *cpu, const struct insn *insn, bool wide)
{
    struct area area;
    return area_open(cpu, insn, 16, LEGACY_BYTES, true, &area) || save_x87(cpu, &area, wide) ||
           save_mxcsr(cpu, &area) || save_xmm(cpu, &area);
}

static bool fxrstor(struct cpu *cpu, const struct insn *insn, bool wide)
{
    struct area area;
    uint32_t mxcsr;
    if (area_open(cpu, insn, 16, LEGACY_BYTES, false, &area) || load_mxcsr(cpu, &area, &mxcsr) ||
        restore_x87(cpu, &area, wide) || restore_xmm(cpu, &area))
        return true;
    sse_set_mxcsr(cpu, mxcsr);
    return false;
}

/* --- XSAVE, XRSTOR */
/* #UD without CR4.OSXSAVE, #NM with CR0.TS. */
static bool xsave_is_barred(struct cpu *cpu)
{
    if (!(cpu->mmu.registers.cr4 & CR4_OSXSAVE))
        return cpu_fault(cpu, VECTOR_UD, 0);
    return cpu->mmu.registers.cr0 & CR0_TS && cpu_fault(cpu, VECTOR_NM, 0);
}

/* XSAVES and XRSTORS are as XSAVEC and XRSTOR, and at CPL 0: there are no supervisor components. */
static bool supervisor_xsave_is_barred(struct cpu *cpu)
{
    return xsave_is_barred(cpu) || (cpu->cpl != 0 && cpu_fault(cpu, VECTOR_GP, 0));
}

/* The state components that the instruction is asked for: RFBM. */
static uint64_t requested_states(const struct cpu *cpu)
{
    return (REG64(RDX) << 32 | REG32(RAX)) & cpu->xcr0;
}

/* XINUSE; an MXCSR that is not the default counts too. */
uint64_t xsave_in_use(const struct cpu *cpu)
{
    return (x87_is_initial(cpu) ? 0 : XCR0_X87) |
           (xmm_is_initial(cpu) && sse_mxcsr(cpu) == MXCSR_DEFAULT ? 0 : XCR0_SSE) |
           (upper_is_initial(cpu) ? 0 : XCR0_AVX);
}

/* Of an area with these components.  The AVX's is the only one behind the header, so that it has
 * the same place in a compacted area. */
static unsigned area_bytes(uint64_t states)
{
    return states & XCR0_AVX ? XSAVE_AVX + XSAVE_AVX_BYTES : HEADER_END;
}

static bool save_states(struct cpu *cpu, const struct area *area, uint64_t written, bool mxcsr,
                        bool wide)
{
    return (written & XCR0_X87 && save_x87(cpu, area, wide)) || (mxcsr && save_mxcsr(cpu, area)) ||
           (written & XCR0_SSE && save_xmm(cpu, area)) ||
           (written & XCR0_AVX && save_upper(cpu, area));
}

static bool xsave(struct cpu *cpu, const struct insn *insn, bool wide, enum save_form form)
{
    struct area area;
    if (xsave_is_barred(cpu))
        return true;
    const uint64_t requested = requested_states(cpu), in_use = xsave_in_use(cpu) & requested;
    if (area_open(cpu, insn, 64, area_bytes(requested), true, &area))
        return true;
    if (form == SAVE_COMPACTED) {
        if (save_states(cpu, &area, in_use, in_use & XCR0_SSE, wide))
            return true;
        store_le64(cpu->rmw.bytes, in_use);
        store_le64(cpu->rmw.bytes + 8, requested | COMPACTED);
        return area_store(cpu, &area, HEADER_STATE, 16);
    }
    if (area_load(cpu, &area, HEADER_STATE, 8))
        return true;
    const uint64_t state = (load_le64(cpu->rmw.bytes) & ~requested) | in_use;
    if (save_states(cpu, &area, form == SAVE_OPTIMIZED ? in_use : requested,
                    requested & XCR0_VECTORS, wide))
        return true;
    store_le64(cpu->rmw.bytes, state);
    return area_store(cpu, &area, HEADER_STATE, 8);
}

/* XSTATE_BV into *state, and whether the area is compacted; #GP(0) for components that XCR0 has not
 * enabled, for reserved bits, and for a form that the model does not have. */
static bool load_header(struct cpu *cpu, const struct area *area, uint64_t *state, bool *compacted)
{
    const uint8_t *header = cpu->rmw.bytes;
    if (area_load(cpu, area, HEADER_STATE, HEADER_END - HEADER_STATE))
        return true;
    *state = load_le64(header);
    const uint64_t compaction = load_le64(header + HEADER_COMPACTION - HEADER_STATE);
    *compacted = compaction & COMPACTED && cpu_has(cpu, FEAT_XSAVEC);
    uint64_t reserved = load_le64(header + 16);
    if (*compacted) {
        for (unsigned at = 24; at < HEADER_END - HEADER_STATE; at += 8)
            reserved |= load_le64(header + at);
        reserved |= (compaction & ~COMPACTED & ~cpu->xcr0) | (*state & ~compaction);
    } else {
        reserved |= compaction;
    }
    return (*state & ~cpu->xcr0 || reserved) && cpu_fault(cpu, VECTOR_GP, 0);
}

static bool restore_states(struct cpu *cpu, const struct area *area, uint64_t requested,
                           uint64_t state, bool wide)
{
    if (requested & XCR0_X87) {
        if (!(state & XCR0_X87))
            init_x87(cpu);
        else if (restore_x87(cpu, area, wide))
            return true;
    }
    if (requested & XCR0_SSE) {
        if (!(state & XCR0_SSE))
            init_xmm(cpu);
        else if (restore_xmm(cpu, area))
            return true;
    }
    if (requested & XCR0_AVX) {
        if (!(state & XCR0_AVX))
            init_upper(cpu);
        else if (restore_upper(cpu, area))
            return true;
    }
    return false;
}

static bool xrstor(struct cpu *cpu, const struct insn *insn, bool wide, bool must_be_compacted)
{
    struct area area;
    uint64_t state;
    uint32_t mxcsr = MXCSR_DEFAULT;
    bool compacted;
    if (xsave_is_barred(cpu))
        return true;
    const uint64_t requested = requested_states(cpu);
    if (area_open(cpu, insn, 64, area_bytes(requested), false, &area) ||
        load_header(cpu, &area, &state, &compacted))
        return true;
    if (must_be_compacted && !compacted)
        return cpu_fault(cpu, VECTOR_GP, 0);
    /* SDM: 1 §13.8.2, in a compacted area MXCSR is a part of SSE's state. */
    const bool takes_mxcsr = requested & (compacted ? XCR0_SSE : XCR0_VECTORS);
    if (takes_mxcsr && (!compacted || state & XCR0_SSE) && load_mxcsr(cpu, &area, &mxcsr))
        return true;
    if (restore_states(cpu, &area, requested, state, wide))
        return true;
    if (takes_mxcsr)
        sse_set_mxcsr(cpu, mxcsr);
    return false;
}

/* --- the handlers: _64 with REX.W, where pointers are stored whole and without selectors */
#define STATE_HANDLER(id, call)                                                                    \
    EXEC(id)                                                                                       \
    {                                                                                              \
        TRY(call);                                                                                 \
        return NEXT(insn);                                                                         \
    }
STATE_HANDLER(FXSAVE_M_32, fxsave(cpu, insn, false))
STATE_HANDLER(FXSAVE_M_64, fxsave(cpu, insn, true))
STATE_HANDLER(FXRSTOR_M_32, fxrstor(cpu, insn, false))
STATE_HANDLER(FXRSTOR_M_64, fxrstor(cpu, insn, true))
STATE_HANDLER(XSAVE_M_32, xsave(cpu, insn, false, SAVE_ALL))
STATE_HANDLER(XSAVE_M_64, xsave(cpu, insn, true, SAVE_ALL))
STATE_HANDLER(XSAVEOPT_M_32, xsave(cpu, insn, false, SAVE_OPTIMIZED))
STATE_HANDLER(XSAVEOPT_M_64, xsave(cpu, insn, true, SAVE_OPTIMIZED))
STATE_HANDLER(XSAVEC_M_32, xsave(cpu, insn, false, SAVE_COMPACTED))
STATE_HANDLER(XSAVEC_M_64, xsave(cpu, insn, true, SAVE_COMPACTED))
STATE_HANDLER(XSAVES_M_32,
              supervisor_xsave_is_barred(cpu) || xsave(cpu, insn, false, SAVE_COMPACTED))
STATE_HANDLER(XSAVES_M_64,
              supervisor_xsave_is_barred(cpu) || xsave(cpu, insn, true, SAVE_COMPACTED))
STATE_HANDLER(XRSTOR_M_32, xrstor(cpu, insn, false, false))
STATE_HANDLER(XRSTOR_M_64, xrstor(cpu, insn, true, false))
STATE_HANDLER(XRSTORS_M_32, supervisor_xsave_is_barred(cpu) || xrstor(cpu, insn, false, true))
STATE_HANDLER(XRSTORS_M_64, supervisor_xsave_is_barred(cpu) || xrstor(cpu, insn, true, true))
