/* A translation in the making: what the files that emit code share. */
#ifndef TRANSLATE_TRANSLATING_H
#define TRANSLATE_TRANSLATING_H

#include "translate/emit.h"
#include "translate/flags.h"
#include "translate/translated.h"
#include "translate/window_fault.h"

#include <stddef.h>

/* How a guest instruction was treated, for listings and reports. */
enum translate_mark { MARK_IDENTICAL, MARK_REWRITTEN, MARK_CALLOUT, MARK_INTERPRETED };

/* What follows after an instruction's flags within the block. */
enum {
    FACT_OBSERVED = 1,   /* something may fault or leave before they are all overwritten */
    FACT_MERGE_DEAD = 2, /* those that it leaves as they were are overwritten unseen */
};

/* Code for rare cases, put behind the block. */
enum slow_kind {
    SLOW_INTERP, /* the interpreter executes the instruction, then on at `resume` */
    SLOW_INSN,   /* the block is left: the interpreter goes on with the instruction */
    SLOW_WAY, /* T1's neighbour may be the entry for T0, or the block is left for the interpreter */
    SLOW_CONTEXT, /* T0 may also be the other context, or the block is left by place `index` */
    SLOW_IMAGE,   /* the flags are brought to FLAGS_IMAGE, then on at `resume` */
    SLOW_FLAGS,   /* the same, and loaded */
    SLOW_VECTORS, /* cpu->xmm is brought to the host's registers, then on at `resume` */
    SLOW_FLOAT,   /* the same; the block is left if an exception is unmasked */
    SLOW_UPPER,
    SLOW_FLOAT_UPPER, /* these two, with the upper halves of the YMM registers */
    SLOW_X87, /* cpu->x87 is brought to the host's, or the block is left if that cannot be */
};
/* What FNSTENV is to tell: the last x87 instruction and the last one with an operand in memory, as
 * their index + 1 (0: nothing new), and which of native.x87_operand has its offset. */
struct x87_note {
    uint8_t code, data, place;
};
struct slow_path {
    uint8_t *jump;   /* leads there */
    uint8_t *resume; /* writable address */
    uint8_t kind;
    uint8_t index;            /* of the instruction, or the number of a place */
    bool load_flags;          /* the resumed code expects them in EFLAGS */
    uint8_t delta;            /* … this in T1: memory_restore_delta() */
    uint8_t held;             /* … and this guest register in T0, if it is one */
    struct x87_note x87_note; /* of the instructions before */
};

/* A jump that leaves the block by a place. */
struct leave {
    uint8_t *jump;
    uint8_t number;
};

enum { SLOW_MAX = 8 * BLOCK_INSNS_MAX, LEAVES_MAX = 4 * BLOCK_INSNS_MAX };

/* Host code of one instruction that may fault in a window, and what follows then. */
struct fault_site {
    uint8_t *from, *to; /* writable addresses */
    uint8_t kind, index;
    bool image;      /* the flags are only in EFLAGS */
    bool load_flags; /* this and the next two as in a slow path */
    uint8_t delta, held;
    struct x87_note x87_note;
};

struct translating {
    struct translator *translator;
    const struct cpu *cpu; /* for its model */
    const struct block *block;
    struct translated *translation;
    struct emitter e;
    const struct insn *insn;
    const struct opcode_row *row;
    unsigned index;
    bool code_64, flat;       /* 64-bit code; 64-bit code or flat 32-bit code */
    bool x87;                 /* the guest's x87 is in the host's */
    struct x87_note x87_note; /* what is not noted yet */
    bool ended;               /* the last instruction has left the block */
    unsigned vectors;         /* what the block is sure of: enum native_vectors */

    /* the flags: which of them EFLAGS has, and whether memory has them all; then these are what
     * flags_kind most likely says: its low word, and its high one (STEP_NONE, too, for unknown) */
    uint32_t host_flags;
    bool memory_flags;
    uint32_t noted, noted_step;
    uint8_t facts[BLOCK_INSNS_MAX];

    struct slow_path slow[SLOW_MAX];
    unsigned slow_count;
    struct exit exits[EXITS_MAX];
    bool guard_pending[EXITS_MAX];  /* its jump leads to a guard that is yet to be emitted */
    int64_t exit_target[EXITS_MAX]; /* from code_page */
    unsigned exit_count;
    struct leave leaves[LEAVES_MAX];
    unsigned leave_count;
    bool full;

    /* the windows: see translate_memory.c */
    bool window;         /* the present instruction reaches memory through them */
    bool faults;         /* … and may fault: then fault_sites[fault_count] is being filled */
    unsigned delta;      /* T1 has the delta of this host register's window, or HOST_NONE */
    unsigned delta_next; /* the same after the instruction, if it says so */
    /* T0 has this guest register, which lives in memory, as the instruction begins, or REG_ZERO;
     * the same after the instruction. */
    unsigned held, held_next;
    struct fault_site fault_sites[BLOCK_INSNS_MAX];
    unsigned fault_count;

    uint16_t host_offset[BLOCK_INSNS_MAX + 1];
    uint8_t marks[BLOCK_INSNS_MAX];
};

/* Displacement of a field of struct cpu from HOST_CPU. */
#define CPU_AT(field) ((int32_t)offsetof(struct cpu, field) - HOST_CPU_BIAS)
_Static_assert(CPU_AT(native.window_deltas[VIEW_USER]) < 128,
               "what translated code uses most is near");
static inline int32_t cpu_reg_at(unsigned reg)
{
    return CPU_AT(regs) + (int32_t)(8 * reg);
}
static inline int32_t cpu_segment_at(unsigned seg, size_t field)
{
    return CPU_AT(segs) + (int32_t)(seg * sizeof(struct segment) + field);
}
#define SEGMENT_AT(seg, field) cpu_segment_at(seg, offsetof(struct segment, field))

/* translate.c */
/* Did the decoder put another handler in the place of the row's, which raises an exception? */
bool translate_is_replaced(const struct block *block, unsigned index);
void translate_slow(struct translating *t, uint8_t *jump, enum slow_kind kind);
/* The last of them resumes here. */
void translate_resume_here(struct translating *t);
/* The host register that has guest register `reg` for reading: its home, or `temporary`, loaded. */
unsigned translate_read(struct translating *t, unsigned reg, unsigned temporary);
/* Has the present instruction no code yet? */
static inline bool translate_untouched(const struct translating *t)
{
    return t->e.at == t->e.start + t->host_offset[t->index];
}
/* Puts `host`, where translate_read() said, back if the guest register lives in memory.  T0 is not
 * touched after that. */
void translate_written(struct translating *t, unsigned reg, unsigned host);
/* The instruction is executed by the interpreter; false: the block is left for it. */
void translate_by_interpreter(struct translating *t);
void translate_leave_to_interpreter(struct translating *t);

/* translate_flags.c */
void flags_analyse(struct translating *t);
/* EFLAGS is about to be destroyed, or to be seen. */
void flags_before_clobber(struct translating *t);
/* As flags_before_clobber(), but EFLAGS stays. */
void flags_note(struct translating *t);
/* The same, as FLAGS_IMAGE if EFLAGS has them. */
void flags_note_image(struct translating *t);
/* Notes EFLAGS in cpu->native as FLAGS_IMAGE; destroys T1. */
void flags_save_image(struct emitter *e);
/* Loads EFLAGS from cpu->native, where they are FLAGS_IMAGE; destroys T1. */
void flags_load_image(struct emitter *e);
/* EFLAGS by the instruction once more whose operands flags_a and flags_b are; destroys `to`. */
void flags_again(struct emitter *e, uint32_t noted, unsigned to);
/* The flags `mask` are needed in EFLAGS; destroys T1, and those flags there that are not in it. */
void flags_need(struct translating *t, uint32_t mask);
/* All of the row's flags are needed before it, if it merges them. */
void flags_need_for_row(struct translating *t);
/* The present instruction has left its flags in EFLAGS. */
void flags_produced(struct translating *t);
/* Does the row leave flags to the processor that may be seen?  MUL, DIV, BSF … : some leave alone
 * what was in EFLAGS, which here is the translator's own. */
bool flags_undefined_seen(const struct translating *t);
/* Right before such a row's instruction: EFLAGS becomes the same each time.  What was in it is
 * noted already, or done with. */
void flags_before_undefined(struct translating *t);
/* Is it worth noting its flags from its operands? */
bool flags_want_operands(const struct translating *t);
enum { OPERAND_NONE = 0xff };
/* … they are a (and b, or an immediate if b is OPERAND_NONE), kind: FLAGS_CMP … */
void flags_note_operands(struct translating *t, enum native_flags kind, unsigned a, unsigned b,
                         int32_t immediate);
void flags_note_step(struct translating *t, enum native_step step, unsigned result);
bool row_merges_flags(const struct insn *insn);

/* translate_memory.c: the one place that knows how a guest address becomes a host address */
/* T0 = the host address of the ModRM operand.  Destroys T1, EFLAGS. */
void memory_operand(struct translating *t, unsigned size, bool write);
/* The same, but the operand may be anything with T0 and T1 in it, which both stay then; through a
 * window EFLAGS stays too. */
struct host_memory memory_at(struct translating *t, unsigned size, bool write);
/* Does EFLAGS stay at the ModRM operand's memory_at()? */
bool memory_keeps_flags(const struct translating *t);
/* The same of [reg + offset] on the stack, `reg` a host register. */
struct host_memory memory_at_flat(struct translating *t, unsigned reg, int32_t offset,
                                  unsigned size, bool write, enum slow_kind slow);
/* T1 has not been touched since the last of these, or since the instruction's start, but for what
 * the flags' functions did.  Host register `written` (HOST_NONE: none) has changed, by `change` or,
 * if that is CHANGE_ANY, to anything. */
#define CHANGE_ANY INT64_MAX
void memory_keep_delta(struct translating *t, unsigned written, int64_t change);
/* native.stack_delta for RSP as it is now, in code that has windows: INV-5.  Destroys T0; EFLAGS
 * stays. */
void memory_note_stack(struct translating *t);
/* The same for code of the present privilege; destroys EFLAGS. */
void memory_note_stack_anew(struct emitter *e);
/* After an instruction in line: the same if RSP may have moved without an access there. */
void memory_follow_stack(struct translating *t);
/* Loads T1 again with what t->delta_next said after an instruction; EFLAGS stays. */
void memory_restore_delta(struct translating *t, unsigned delta);
/* T0 = offset: adds the base of `seg`, checks its limit, and looks into the shadow: T0 = host
 * address. Leaves for `slow` if the access may not go straight to memory.  Destroys T1 and EFLAGS.
 * */
void memory_look_up(struct translating *t, unsigned seg, unsigned size, bool write,
                    enum slow_kind slow);
/* The look itself, for whoever is not in a block: host register `address` = the host address of
 * what is at that linear address, in the view whose pointer is at `view`.  The jump that is taken
 * if the shadow does not answer.  Destroys host register `entry` and EFLAGS. */
uint8_t *memory_emit_look_up(struct emitter *e, unsigned address, unsigned entry,
                             struct host_memory view, unsigned size, bool write);
/* The same for a hint, which never faults; false: it is not reached by its address alone. */
bool memory_near(struct translating *t, struct host_memory *at);
/* to = the address expression of the ModRM operand, without segment.  Destroys T1 if the index
 * lives in memory. */
void memory_address(struct translating *t, unsigned to);
/* The same, cut to `width`: SIZE_32 or SIZE_64. */
void memory_address_as(struct translating *t, unsigned to, unsigned width);

/* May any space have windows?  Then the host has BMI2. */
static inline bool translate_has_windows(const struct translator *translator)
{
    return translator->options.windows != WINDOWS_OFF && window_faults_supported();
}
/* Must the access be atomic?  One processor alone sees its own in order, and is interrupted only
 * between instructions. */
static inline bool translate_locks(const struct translating *t)
{
    return t->insn->lock && t->translator->options.shared;
}
/* Does the block's instruction `index` reach memory through the windows? */
bool translate_windowed(const struct translating *t, unsigned index);

/* by topic: true when the present instruction has been translated */
bool translate_integer(struct translating *t);
bool translate_stack(struct translating *t);
bool translate_branch(struct translating *t);
bool translate_sse(struct translating *t);
bool translate_bmi(struct translating *t);
bool translate_gather(struct translating *t);
/* At the block's entry: makes sure of what its instructions on XMM registers need. */
void translate_vectors_entry(struct translating *t);
/* The present instruction is interpreted: what still holds of that. */
void translate_vectors_interpreted(struct translating *t);
bool translate_x87(struct translating *t);
bool translate_mmx(struct translating *t);
/* Notes the last x87 instruction, which may be seen after this.  Destroys T1. */
void translate_x87_note(struct translating *t, struct x87_note note);
void translate_x87_seen(struct translating *t);
bool translate_callout(struct translating *t);
bool translate_system(struct translating *t);
bool translate_segment(struct translating *t);
/* The stub that loads a segment register: see struct translator. */
void translate_segment_stub(struct emitter *e, unsigned seg);
/* The callout has run. */
void callout_count(struct translating *t);
/* scratch[0] = EFLAGS as PUSHF stores them, which are FLAGS_IMAGE then; destroys T0, T1. */
void callout_compose_flags(struct translating *t);
/* T0: EFLAGS, whose arithmetic flags become the guest's; destroys T0, T1. */
void callout_flags_to_image(struct translating *t);
bool translate_checked(struct translating *t);
bool translate_string(struct translating *t);
/* The block ends with an instruction that goes on to the next; `past_poll`: no interrupt may come
 * before that.  The flags are noted already. */
void translate_next_block(struct translating *t, bool past_poll);
/* The block ends without a branch. */
void translate_fall_through(struct translating *t);
/* As memory_at() of [rsp + offset] */
struct host_memory stack_at(struct translating *t, int32_t offset, unsigned size, bool write,
                            enum slow_kind slow);
/* T0 = the host address of [rsp + offset]; destroys T1 and EFLAGS */
void stack_look_up(struct translating *t, int32_t offset, unsigned size, bool write,
                   enum slow_kind slow);
void stack_move(struct translating *t, int32_t by);

/* translate_branch.c */
/* T0: the rip to go to, of flat code that may be fetched in the contexts as they are now.  The
 * present instruction is done. */
void translate_go_to_rip(struct translating *t);
/* its exits */
void translate_poll(struct translating *t);
/* Leaves for the run loop unless the block, which lies in two pages, is known to hold. */
void translate_crossing_guard(struct translating *t);
/* Leaves the block here by a place: the number of an instruction, with which the interpreter goes
 * on, of an exit, or PLACE_POLL. */
void translate_leave(struct translating *t, unsigned number);
/* The jump at `jump` leaves the block by a place, as translate_leave(). */
void translate_leave_by(struct translating *t, uint8_t *jump, unsigned number);
/* Is T0 the context that is more likely?  If not, what SLOW_CONTEXT does, for place `number`. */
void translate_context(struct translating *t, unsigned number);
/* A slow path of kind SLOW_WAY. */
void translate_other_way(struct translating *t, const struct slow_path *path);
/* A slow path of kind SLOW_CONTEXT. */
void translate_other_context(struct translating *t, const struct slow_path *path);
/* The code of all exits. */
void translate_exits(struct translating *t);

#endif
