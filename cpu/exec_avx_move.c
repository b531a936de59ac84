/* AVX and AVX2 moves: whole vectors, parts, elements, broadcasts, permutations across lanes; what
 * they do to the state: SDM 2A, 2B under the names without V, 2C. */
#include "cpu/avx.h"

/* --- whole vectors */
#define LOAD_ALL(id, aligned)                                                                      \
    EXEC_AVX(id)                                                                                   \
    {                                                                                              \
        union vector value;                                                                        \
        CHECK(avx_load(cpu, insn, &value, avx_bytes(insn), aligned));                              \
        avx_write(cpu, insn->reg, &value, avx_bytes(insn));                                        \
        return false;                                                                              \
    }
#define STORE_ALL(id, aligned)                                                                     \
    EXEC(id)                                                                                       \
    {                                                                                              \
        if (insn->memory)                                                                          \
            TRY(avx_store(cpu, insn, &cpu->xmm[insn->reg], avx_bytes(insn), aligned));             \
        else                                                                                       \
            avx_write(cpu, insn->rm, &cpu->xmm[insn->reg], avx_bytes(insn));                       \
        return NEXT(insn);                                                                         \
    }
#define MOVE(name, aligned)                                                                        \
    LOAD_ALL(name##_VW, aligned)                                                                   \
    STORE_ALL(name##_WV, aligned)
MOVE(VMOVUPS, false)
MOVE(VMOVUPD, false)
MOVE(VMOVAPS, true)
MOVE(VMOVAPD, true)
MOVE(VMOVDQA, true)
MOVE(VMOVDQU, false)
LOAD_ALL(VMOVNTDQA_VM, true)
LOAD_ALL(VLDDQU_VM, false)
STORE_ALL(VMOVNTPS_MV, true)
STORE_ALL(VMOVNTPD_MV, true)
STORE_ALL(VMOVNTDQ_MV, true)

/* --- parts of 128 bits, element `n` of the arrays of union vector; the others from H, or 0 */
#define LOAD_PART(id, bytes)                                                                       \
    EXEC_AVX(id)                                                                                   \
    {                                                                                              \
        union vector value;                                                                        \
        CHECK(avx_load(cpu, insn, &value, bytes, false));                                          \
        avx_write(cpu, insn->reg, &value, 16);                                                     \
        return false;                                                                              \
    }
#define STORE_PART(id, part) EXEC_TRY(id, avx_store(cpu, insn, &part, sizeof part, false))
#define INTO(id, to, part, from)                                                                   \
    EXEC_AVX(id)                                                                                   \
    {                                                                                              \
        union vector value = cpu->xmm[insn->vex.vvvv];                                             \
        value.part = from;                                                                         \
        avx_write(cpu, to, &value, 16);                                                            \
        return false;                                                                              \
    }
#define LOAD_INTO(id, part)                                                                        \
    EXEC_AVX(id)                                                                                   \
    {                                                                                              \
        union vector source, value = cpu->xmm[insn->vex.vvvv];                                     \
        CHECK(avx_load(cpu, insn, &source, 8, false));                                             \
        value.part = source.q[0];                                                                  \
        avx_write(cpu, insn->reg, &value, 16);                                                     \
        return false;                                                                              \
    }
LOAD_PART(VMOVSS_VM, 4)
LOAD_PART(VMOVSD_VM, 8)
STORE_PART(VMOVSS_MV, cpu->xmm[insn->reg].d[0])
STORE_PART(VMOVSD_MV, cpu->xmm[insn->reg].q[0])
INTO(VMOVSS_VHW, insn->reg, d[0], cpu->xmm[insn->rm].d[0])
INTO(VMOVSS_WHV, insn->rm, d[0], cpu->xmm[insn->reg].d[0])
INTO(VMOVSD_VHW, insn->reg, q[0], cpu->xmm[insn->rm].q[0])
INTO(VMOVSD_WHV, insn->rm, q[0], cpu->xmm[insn->reg].q[0])
INTO(VMOVHLPS_VHW, insn->reg, q[0], cpu->xmm[insn->rm].q[1])
INTO(VMOVLHPS_VHW, insn->reg, q[1], cpu->xmm[insn->rm].q[0])
LOAD_INTO(VMOVLPS_VHM, q[0])
LOAD_INTO(VMOVLPD_VHM, q[0])
LOAD_INTO(VMOVHPS_VHM, q[1])
LOAD_INTO(VMOVHPD_VHM, q[1])
STORE_PART(VMOVLPS_MV, cpu->xmm[insn->reg].q[0])
STORE_PART(VMOVLPD_MV, cpu->xmm[insn->reg].q[0])
STORE_PART(VMOVHPS_MV, cpu->xmm[insn->reg].q[1])
STORE_PART(VMOVHPD_MV, cpu->xmm[insn->reg].q[1])

#define DUPLICATE(id, op, shape)                                                                   \
    LANE_SSE(lane_##id, op)                                                                        \
    EXEC_LANES(id, lane_##id, shape)
DUPLICATE(VMOVSLDUP_VW, "movsldup", SHAPE_WHOLE)
DUPLICATE(VMOVSHDUP_VW, "movshdup", SHAPE_WHOLE)
DUPLICATE(VMOVDDUP_VW, "movddup", SHAPE_WHOLE)
DUPLICATE(VMOVDDUP_VWq, "movddup", SHAPE(.part = 8, .scalar = true))

/* --- general registers and elements */
static bool load_element(struct cpu *cpu, const struct insn *insn, unsigned bytes, uint64_t *value)
{
    *value = 0;
    if (insn->memory)
        return mem_load_bytes(cpu, insn->seg, insn_address(cpu, insn), value, bytes);
    memcpy(value, &cpu->regs[insn->rm], bytes);
    return false;
}
/* Registers get the element with zeros before it. */
static never_inline bool store_element(struct cpu *cpu, const struct insn *insn, unsigned bytes,
                                       uint64_t value)
{
    if (insn->memory)
        return avx_store(cpu, insn, &value, bytes, false);
    REG64_SET(insn->rm, value);
    return false;
}

EXEC_AVX(VMOVD_VEy)
{
    union vector value = {0};
    CHECK(load_element(cpu, insn, 1u << insn->size, &value.q[0]));
    avx_write(cpu, insn->reg, &value, 16);
    return false;
}
EXEC_AVX(VMOVD_EyV)
{
    const union vector *from = &cpu->xmm[insn->reg];
    CHECK(store_element(cpu, insn, 1u << insn->size,
                        insn->size == SIZE_64 ? from->q[0] : from->d[0]));
    return false;
}
EXEC_AVX(VMOVQ_VW)
{
    union vector value;
    CHECK(avx_load(cpu, insn, &value, 8, false));
    value.q[1] = 0;
    avx_write(cpu, insn->reg, &value, 16);
    return false;
}
EXEC_AVX(VMOVQ_WV)
{
    union vector value = {.q = {cpu->xmm[insn->reg].q[0]}};
    if (insn->memory)
        CHECK(avx_store(cpu, insn, &value, 8, false));
    else
        avx_write(cpu, insn->rm, &value, 16);
    return false;
}

#define INSERT(id, bytes, element, type)                                                           \
    EXEC_AVX(id)                                                                                   \
    {                                                                                              \
        union vector value = cpu->xmm[insn->vex.vvvv];                                             \
        uint64_t from;                                                                             \
        CHECK(load_element(cpu, insn, bytes, &from));                                              \
        value.element = (type)from;                                                                \
        avx_write(cpu, insn->reg, &value, 16);                                                     \
        return false;                                                                              \
    }
INSERT(VPINSRB_VHEb, 1, b[insn->vex.imm & 15], uint8_t)
INSERT(VPINSRW_VHEw, 2, w[insn->vex.imm & 7], uint16_t)
EXEC_AVX(VPINSRD_VHEy)
{
    union vector value = cpu->xmm[insn->vex.vvvv];
    uint64_t from;
    CHECK(load_element(cpu, insn, 1u << insn->size, &from));
    if (insn->size == SIZE_64)
        value.q[insn->vex.imm & 1] = from;
    else
        value.d[insn->vex.imm & 3] = (uint32_t)from;
    avx_write(cpu, insn->reg, &value, 16);
    return false;
}

#define EXTRACT(id, bytes, element)                                                                \
    EXEC_TRY(id, store_element(cpu, insn, bytes, cpu->xmm[insn->reg].element))
EXTRACT(VPEXTRB_EbV, 1, b[insn->vex.imm & 15])
EXTRACT(VPEXTRW_EwV, 2, w[insn->vex.imm & 7])
EXTRACT(VEXTRACTPS_EdVIb, 4, d[insn->vex.imm & 3])
EXEC_AVX(VPEXTRD_EyV)
{
    const union vector *from = &cpu->xmm[insn->reg];
    CHECK(store_element(cpu, insn, 1u << insn->size,
                        insn->size == SIZE_64 ? from->q[insn->vex.imm & 1]
                                              : from->d[insn->vex.imm & 3]));
    return false;
}
EXEC(VPEXTRW_GdU)
{
    REG32_SET(insn->reg, cpu->xmm[insn->rm].w[insn->vex.imm & 7]);
    return NEXT(insn);
}

/* bits 7:6 the source's element, 5:4 the destination's, 3:0 elements to clear */
EXEC_AVX(VINSERTPS_VHWIb)
{
    const unsigned control = insn->vex.imm;
    union vector source, value = cpu->xmm[insn->vex.vvvv];
    CHECK(avx_load(cpu, insn, &source, 4, false));
    value.d[control >> 4 & 3] = source.d[insn->memory ? 0 : control >> 6 & 3];
    for (unsigned i = 0; i < 4; i++)
        if (control >> i & 1)
            value.d[i] = 0;
    avx_write(cpu, insn->reg, &value, 16);
    return false;
}

/* --- sign masks */
#define SIGN_MASK(id, type, array)                                                                 \
    EXEC(id)                                                                                       \
    {                                                                                              \
        const union vector *from = &cpu->xmm[insn->rm];                                            \
        uint32_t mask = 0;                                                                         \
        for (unsigned i = 0; i < avx_bytes(insn) / sizeof(type); i++)                              \
            mask |= (uint32_t)(from->array[i] < 0) << i;                                           \
        REG32_SET(insn->reg, mask);                                                                \
        return NEXT(insn);                                                                         \
    }
SIGN_MASK(VMOVMSKPS_GdU, int32_t, sd)
SIGN_MASK(VMOVMSKPD_GdU, int64_t, sq)
SIGN_MASK(VPMOVMSKB_GdU, int8_t, sb)

/* --- broadcasts */
#define BROADCAST(id, type, array)                                                                 \
    EXEC_AVX(id)                                                                                   \
    {                                                                                              \
        union vector source, value;                                                                \
        CHECK(avx_load(cpu, insn, &source, sizeof(type), false));                                  \
        for (unsigned i = 0; i < sizeof value / sizeof(type); i++)                                 \
            value.array[i] = source.array[0];                                                      \
        avx_write(cpu, insn->reg, &value, avx_bytes(insn));                                        \
        return false;                                                                              \
    }
BROADCAST(VBROADCASTSS_VM, uint32_t, d)
BROADCAST(VBROADCASTSS_VU, uint32_t, d)
BROADCAST(VBROADCASTSD_VM, uint64_t, q)
BROADCAST(VBROADCASTSD_VU, uint64_t, q)
BROADCAST(VPBROADCASTB_VW, uint8_t, b)
BROADCAST(VPBROADCASTW_VW, uint16_t, w)
BROADCAST(VPBROADCASTD_VW, uint32_t, d)
BROADCAST(VPBROADCASTQ_VW, uint64_t, q)
#define BROADCAST_128(id)                                                                          \
    EXEC_AVX(id)                                                                                   \
    {                                                                                              \
        union vector value;                                                                        \
        CHECK(avx_load(cpu, insn, &value, 16, false));                                             \
        avx_set_lane(&value, 1, avx_lane(&value, 0));                                              \
        avx_write(cpu, insn->reg, &value, 32);                                                     \
        return false;                                                                              \
    }
BROADCAST_128(VBROADCASTF128_VM)
BROADCAST_128(VBROADCASTI128_VM)

/* --- halves of 128 bits */
#define INSERT_128(id)                                                                             \
    EXEC_AVX(id)                                                                                   \
    {                                                                                              \
        union vector source, value = cpu->xmm[insn->vex.vvvv];                                     \
        CHECK(avx_load(cpu, insn, &source, 16, false));                                            \
        avx_set_lane(&value, insn->vex.imm & 1, avx_lane(&source, 0));                             \
        avx_write(cpu, insn->reg, &value, 32);                                                     \
        return false;                                                                              \
    }
#define EXTRACT_128(id)                                                                            \
    EXEC_AVX(id)                                                                                   \
    {                                                                                              \
        union vector value;                                                                        \
        avx_set_lane(&value, 0, avx_lane(&cpu->xmm[insn->reg], insn->vex.imm & 1));                \
        if (insn->memory)                                                                          \
            CHECK(avx_store(cpu, insn, &value, 16, false));                                        \
        else                                                                                       \
            avx_write(cpu, insn->rm, &value, 16);                                                  \
        return false;                                                                              \
    }
INSERT_128(VINSERTF128_VHWIb)
INSERT_128(VINSERTI128_VHWIb)
EXTRACT_128(VEXTRACTF128_WVIb)
EXTRACT_128(VEXTRACTI128_WVIb)

/* four bits for each half: which of the four of H and W, bit 3: zero */
#define PERMUTE_128(id)                                                                            \
    EXEC_AVX(id)                                                                                   \
    {                                                                                              \
        union vector both[2] = {cpu->xmm[insn->vex.vvvv]}, value;                                  \
        CHECK(avx_load(cpu, insn, &both[1], 32, false));                                           \
        for (unsigned i = 0; i < 2; i++) {                                                         \
            const unsigned control = insn->vex.imm >> 4 * i;                                       \
            avx_set_lane(&value, i,                                                                \
                         control & 8 ? _mm_setzero_si128()                                         \
                                     : avx_lane(&both[control >> 1 & 1], control & 1));            \
        }                                                                                          \
        avx_write(cpu, insn->reg, &value, 32);                                                     \
        return false;                                                                              \
    }
PERMUTE_128(VPERM2F128_VHWIb)
PERMUTE_128(VPERM2I128_VHWIb)

/* --- permutations of the whole */
#define PERMUTE_QUADWORDS(id)                                                                      \
    EXEC_AVX(id)                                                                                   \
    {                                                                                              \
        union vector source, value;                                                                \
        CHECK(avx_load(cpu, insn, &source, 32, false));                                            \
        for (unsigned i = 0; i < 4; i++)                                                           \
            value.q[i] = source.q[insn->vex.imm >> 2 * i & 3];                                     \
        avx_write(cpu, insn->reg, &value, 32);                                                     \
        return false;                                                                              \
    }
PERMUTE_QUADWORDS(VPERMQ_VWIb)
PERMUTE_QUADWORDS(VPERMPD_VWIb)
#define PERMUTE_DWORDS(id)                                                                         \
    EXEC_AVX(id)                                                                                   \
    {                                                                                              \
        const union vector *control = &cpu->xmm[insn->vex.vvvv];                                   \
        union vector source, value;                                                                \
        CHECK(avx_load(cpu, insn, &source, 32, false));                                            \
        for (unsigned i = 0; i < 8; i++)                                                           \
            value.d[i] = source.d[control->d[i] & 7];                                              \
        avx_write(cpu, insn->reg, &value, 32);                                                     \
        return false;                                                                              \
    }
PERMUTE_DWORDS(VPERMD_VHW)
PERMUTE_DWORDS(VPERMPS_VHW)

/* --- state */
/* SDM: outside 64-bit mode registers 8 to 15 stay as they are. */
static void clear_from(struct cpu *cpu, unsigned first)
{
    const unsigned registers = cpu_is_64(cpu) ? 16 : 8;
    for (unsigned n = 0; n < registers; n++)
        for (unsigned i = first; i < 4; i++)
            cpu->xmm[n].q[i] = 0;
}
EXEC(VZEROUPPER)
{
    clear_from(cpu, 2);
    return NEXT(insn);
}
EXEC(VZEROALL)
{
    clear_from(cpu, 0);
    return NEXT(insn);
}
EXEC(VLDMXCSR_Md)
{
    return exec_LDMXCSR_Md(cpu, insn);
}
EXEC(VSTMXCSR_Md)
{
    return exec_STMXCSR_Md(cpu, insn);
}
EXEC(VMASKMOVDQU_VU)
{
    return exec_MASKMOVDQU_VxUx(cpu, insn);
}
