/* Vectors behind a VEX prefix: operands, lane by lane.  SDM 1 ch. 14; SDM 2A §2.4 (alignment). */
#include "cpu/avx.h"

#include "cpu/system.h"

bool avx_load(struct cpu *cpu, const struct insn *insn, union vector *to, unsigned bytes,
              bool aligned)
{
    if (!insn->memory) {
        *to = cpu->xmm[insn->rm];
        return false;
    }
    const uint64_t offset = insn_address(cpu, insn);
    if (aligned && (cpu->segs[insn->seg].base + offset) & (bytes - 1))
        return cpu_fault(cpu, VECTOR_GP, 0);
    *to = (union vector){0};
    const void *host = mem_fast(cpu, insn->seg, offset, bytes, false);
    if (likely(host != NULL)) {
        memcpy(to, host, bytes);
        return false;
    }
    return mem_load_bytes(cpu, insn->seg, offset, to, bytes);
}

bool avx_store(struct cpu *cpu, const struct insn *insn, const void *from, unsigned bytes,
               bool aligned)
{
    const uint64_t offset = insn_address(cpu, insn);
    if (aligned && (cpu->segs[insn->seg].base + offset) & (bytes - 1))
        return cpu_fault(cpu, VECTOR_GP, 0);
    void *host = mem_fast(cpu, insn->seg, offset, bytes, true);
    if (likely(host != NULL)) {
        memcpy(host, from, bytes);
        return false;
    }
    return mem_store_bytes(cpu, insn->seg, offset, from, bytes);
}

/* --- lane by lane */

struct lanes {
    lane_fn *f;
    fused_fn *fused;
    struct avx_shape shape;
    unsigned count, immediate;
    union vector old, a, b, result;
};

static void run_lanes(struct lanes *lanes)
{
    const struct avx_shape shape = lanes->shape;
    for (unsigned i = 0; i < lanes->count; i++) {
        const uint8_t *part = lanes->b.b + (shape.same_part ? 0 : i * shape.part);
        const __m128i b = _mm_loadu_si128((const __m128i *)(const void *)part);
        const __m128i a = avx_lane(&lanes->a, i);
        const __m128i result = lanes->f ? lanes->f(a, b, lanes->immediate >> i * shape.bits)
                                        : lanes->fused(avx_lane(&lanes->old, i), a, b);
        if (shape.narrows)
            lanes->result.q[i] = (uint64_t)_mm_cvtsi128_si64(result);
        else
            avx_set_lane(&lanes->result, i, result);
    }
}

static bool run(struct cpu *cpu, const struct insn *insn, struct lanes *lanes)
{
    const struct avx_shape shape = lanes->shape;
    lanes->count = !shape.scalar && insn->size == VECTOR_256 ? 2 : 1;
    lanes->immediate = insn->vex.imm;
    lanes->old = cpu->xmm[insn->reg];
    lanes->a = cpu->xmm[insn->vex.vvvv];
    lanes->result = (union vector){0};
    if (avx_load(cpu, insn, &lanes->b, shape.part * (shape.same_part ? 1 : lanes->count), false))
        return true;
    if (shape.floating)
        AVX_RUN(run_lanes(lanes));
    else
        run_lanes(lanes);
    avx_write(cpu, insn->reg, &lanes->result, 32);
    return false;
}

bool avx_run(struct cpu *cpu, const struct insn *insn, lane_fn *f, struct avx_shape shape)
{
    struct lanes lanes = {.f = f, .shape = shape};
    return run(cpu, insn, &lanes);
}

bool avx_run_fused(struct cpu *cpu, const struct insn *insn, fused_fn *f, struct avx_shape shape)
{
    struct lanes lanes = {.fused = f, .shape = shape};
    return run(cpu, insn, &lanes);
}
