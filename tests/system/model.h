/* What the manual says about descriptors and privilege, as plainly as it says it.
 *
 * INV-1: written from the SDM alone; it shares nothing with cpu/. */
#ifndef SYSTEM_MODEL_H
#define SYSTEM_MODEL_H

#include "system.h"

/* A descriptor's kind: S and type as five bits. */
enum {
    KINDS = 32,
    KIND_TSS16 = 1,
    KIND_LDT,
    KIND_TSS16_BUSY,
    KIND_CALL_GATE16,
    KIND_TASK_GATE,
    KIND_INTERRUPT_GATE16,
    KIND_TRAP_GATE16,
    KIND_TSS32 = 9,
    KIND_TSS32_BUSY = 11,
    KIND_CALL_GATE32 = 12,
    KIND_INTERRUPT_GATE32 = 14,
    KIND_TRAP_GATE32 = 15,
    KIND_DATA = 16,
    KIND_CODE = 24,
};

struct kind {
    unsigned kind; /* 0 .. KINDS - 1 */
    unsigned dpl;
    bool present;
};
static inline unsigned access_byte(struct kind k)
{
    return k.present << 7 | k.dpl << 5 | k.kind;
}
static inline struct kind kind_of(uint64_t descriptor)
{
    unsigned access = descriptor >> 40 & 0xff;

    return (struct kind){access & 0x1f, access >> 5 & 3, access >> 7};
}

/* SDM 3A table 3-1. */
static inline bool is_data(unsigned kind)
{
    return kind >= KIND_DATA && kind < KIND_CODE;
}
static inline bool is_writable(unsigned kind)
{
    return is_data(kind) && (kind & 2);
}
static inline bool is_expand_down(unsigned kind)
{
    return is_data(kind) && (kind & 4);
}
static inline bool is_code(unsigned kind)
{
    return kind >= KIND_CODE;
}
static inline bool is_conforming(unsigned kind)
{
    return is_code(kind) && (kind & 4);
}
static inline bool is_readable(unsigned kind)
{
    return is_data(kind) || (is_code(kind) && (kind & 2));
}

/* The part of a selector that goes into an error code. */
static inline unsigned error_of(unsigned selector)
{
    return selector & 0xfffc;
}

enum { SEG_ES, SEG_CS, SEG_SS, SEG_DS, SEG_FS, SEG_GS };

/* MOV, POP and LxS: ENDS, or the fault.  `k` is the descriptor's, if `selector` is not null. */
struct verdict model_load(unsigned segment, unsigned selector, struct kind k, unsigned cpl,
                          bool is_64_bit_code);

/* A far JMP, CALL or return to the code segment `k`, whose flags (L and D) are those of
 * descriptor(). The target of a JMP or CALL is not behind a gate. */
struct verdict model_far_code(unsigned selector, struct kind k, unsigned flags, unsigned cpl);
struct verdict model_return_code(unsigned selector, struct kind k, unsigned flags, unsigned cpl);
/* A call gate's code segment, for JMP or CALL; long mode knows only gates to 64-bit code. */
struct verdict model_gate_code(unsigned selector, struct kind k, unsigned flags, unsigned cpl,
                               bool is_call);
/* A stack segment for the privilege `cpl`: SSn of a 32-bit or 16-bit TSS (VECTOR_TS), or one that a
 * return pops (VECTOR_GP).  Not for null selectors. */
struct verdict model_stack(unsigned selector, struct kind k, unsigned cpl, unsigned vector);

static inline bool ends(struct verdict verdict)
{
    return verdict.vector == ENDS.vector;
}

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

#endif
