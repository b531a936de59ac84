/* What belongs to translated code beside its bytes; all of it lies in the code cache's data, so it
 * goes when its region is emptied. */
#ifndef TRANSLATE_TRANSLATED_H
#define TRANSLATE_TRANSLATED_H

#include "cpu/block.h"
#include "cpu/exec.h"
#include "translate/code_cache.h"
#include "translate/cooling.h"
#include "translate/engine.h"

struct translated;

/* Where the guest's XMM and YMM registers are: the bits of cpu->native.vectors. */
enum native_vectors {
    VECTORS_STORED = 0, /* in cpu->xmm, as the interpreter wants them */
    VECTORS_LIVE = 1,   /* the XMM registers are in the host's */
    VECTORS_FLOAT =
        2, /* … and every SIMD exception is masked, so the host's MXCSR is the guest's */
    VECTORS_UPPER = 4, /* … and the upper halves of the YMM registers are in the host's too */
    VECTORS_FLOAT_UPPER = 8, /* both: one bit to test for whatever a block needs */
};
static inline unsigned vectors_of(bool masked, bool upper)
{
    return VECTORS_LIVE | (masked ? VECTORS_FLOAT : 0) | (upper ? VECTORS_UPPER : 0) |
           (masked && upper ? VECTORS_FLOAT_UPPER : 0);
}

/* An exit to a known target, which can be linked. */
struct exit {
    uint32_t from;           /* the translation; offsets in the code cache, as all here */
    uint32_t jump;           /* the 32-bit displacement that is patched */
    uint32_t away;           /* where it leads while there is no link */
    uint32_t guard;          /* of a link to another page: a struct mapping, of `from`'s page */
    uint32_t to;             /* the translation that is linked to */
    uint32_t next, previous; /* exits: of `to`'s incoming */
    uint8_t insn;            /* index in the block */
    bool taken;     /* by a branch, whose target is checked; else to the next instruction */
    bool past_poll; /* no interrupt before the target's first instruction */
    bool forward;   /* the target is farther on in the page: nothing comes round without a poll */
};

/* Where and when something was last seen to be mapped. */
struct mapping {
    uint64_t code_page, context;
};
#define MAPPING_NONE UINT64_MAX /* no code_page */

/* For traces: the code itself counts. */
struct trace_count {
    uint64_t id, executions;
};

struct translated {
    struct block *block;
    uint8_t *code; /* executable: from another block, polls first */
    uint8_t *body; /* the same, past the poll: also from the interpreter */
    struct exit *exits;
    struct mapping *crossing;   /* of a block in two pages, else NULL */
    struct trace_count *traced; /* NULL: there is no trace */
    struct translated *region_next;
    uint32_t incoming; /* the first exit that is linked to here: an offset */
    uint32_t end;      /* offset of what follows its code */
    uint32_t cold;     /* … and of the code that lies apart */
    uint16_t bytes, cold_bytes;
    uint8_t exit_count;
    bool dead;
};

/* A place in a translation, as code names it to C in 32 bits: where the translation's data lie, in
 * units of 16 bytes, and which instruction, exit, or nothing but the poll. */
enum {
    PLACE_SHIFT = 6,
    PLACE_LINK = 56, /* + number of the exit */
    PLACE_POLL = 63, /* something wants attention */
    PLACE_NUMBER = 63,
    PLACE_UNIT = 16,
    EXITS_MAX = PLACE_POLL - PLACE_LINK,
};
_Static_assert((int)BLOCK_INSNS_MAX <= (int)PLACE_LINK,
               "instructions and exits share the numbers of places");

/* Where a callout's site was met. */
enum callout_mode {
    CALLOUT_REAL,
    CALLOUT_V86,
    CALLOUT_PROTECTED_16,
    CALLOUT_PROTECTED_32,
    CALLOUT_COMPAT, /* 16- and 32-bit code in long mode */
    CALLOUT_64,
    CALLOUT_MODES
};

/* field of struct translator's count, what it counts */
#define TRANSLATOR_COUNTERS(COUNTER)                                                               \
    COUNTER(translated, "blocks translated")                                                       \
    COUNTER(bytes_guest, "guest bytes translated")                                                 \
    COUNTER(bytes_host, "host bytes emitted")                                                      \
    COUNTER(links, "links made")                                                                   \
    COUNTER(links_other, "looks across pages")                                                     \
    COUNTER(unlinks, "links undone")                                                               \
    COUNTER(exits, "exits from translated code")                                                   \
    COUNTER(interp, "instructions interpreted")                                                    \
    COUNTER(killed, "translations killed")                                                         \
    COUNTER(window_faults, "faults in windows")                                                    \
    COUNTER(adapted, "sites adapted")

/* Host code that may fault in a window, as offsets in the code cache; `slow` is where it goes on
 * then. */
struct fault_range {
    uint32_t from, to, slow;
};
struct fault_table {
    struct fault_range *ranges; /* in the order of their addresses */
    uint32_t count, room;
};

struct translator {
    struct translate_options options;
    struct feature_set host; /* what the host's processor has: the rest is not copied */
    struct code_cache cache;
    struct translated *regions[CODE_REGIONS];
    struct fault_table faults[CODE_REGIONS];
    struct cooling cooling;
    unsigned threshold;            /* executions, where code stays as it is */
    struct trace_writer *trace;    /* NULL: none */
    uint64_t last_id;              /* of a translation */
    long last_tick[WINDOWS_VIEWS]; /* of code of that privilege, the host's ns */
    /* stubs, executable addresses */
    uint64_t (*enter)(struct cpu *cpu, const void *code); /* an EXEC_… or a place */
    uint8_t *stub_exit;                                   /* T0: the place */
    uint8_t *stub_cold;       /* on with the block at rip, which is set */
    uint8_t *stub_entry_cold; /* the same; T1: its jump entry, rip is not set */
    uint8_t *stub_interp;     /* T0: the place; returns when the instruction is done */
    uint8_t *stub_image;      /* brings the flags to FLAGS_IMAGE */
    uint8_t *stub_vectors;    /* brings cpu->xmm to the host's registers; destroys T1 and EFLAGS */
    uint8_t *stub_upper;      /* the same with the upper halves */
    uint8_t *stub_x87;        /* native_x87_load(): destroys T0, T1, EFLAGS */
    /* DS, ES, FS, GS of flat 32-bit code: T0, a selector, is loaded, and ZF set; or ZF is clear and
     * nothing done.  Destroys T0, T1. */
    uint8_t *stub_segment[SEG_FLAT];
    struct {
#define COUNTER_FIELD(field, name) uint64_t field;
        TRANSLATOR_COUNTERS(COUNTER_FIELD)
#undef COUNTER_FIELD
    } count;
    uint32_t sites[OPCODE_COUNT][CALLOUT_MODES]; /* instructions rewritten into callouts */
};

/* What `enter` gives below this is an EXEC_…: no translation lies among the stubs. */
enum { EXEC_CODES = 64 };
enum { EXEC_GO = EXEC_STOP + 1 }; /* rip is set: on with the block there, if it is known */

static inline struct translator *translator_of(const struct cpu *cpu)
{
    return cpu->engine_state;
}

static inline uint32_t place_in(const struct translator *translator,
                                const struct translated *translation, unsigned number)
{
    return code_offset(&translator->cache, translation) / PLACE_UNIT << PLACE_SHIFT | number;
}
static inline struct translated *place_translation(const struct translator *translator,
                                                   uint32_t place)
{
    return code_at(&translator->cache, (place >> PLACE_SHIFT) * PLACE_UNIT);
}

/* stubs.c */
void stubs_emit(struct translator *translator);
/* translate.c: NULL when the region is full.  `follows`: by far the most come from the code right
 * before, which goes past the poll. */
struct translated *translate_block(struct translator *translator, struct cpu *cpu,
                                   struct block *block, bool follows);
/* link.c */
/* Links the exit, which the cpu has just left by, to the block that it leads to now. */
void link_exit(struct translator *translator, struct cpu *cpu, struct exit *exit,
               const struct jump_entry *target);
/* The exit whose jump ends the translation's code and leads within the page, if it is not linked.
 * */
struct exit *link_at_end(const struct translated *translation);
/* Links the exit to `to`, which lies in the same page. */
void link_within_page(struct translator *translator, struct exit *exit, struct translated *to);
/* Unlinks the translation from all others. */
void link_drop(struct translator *translator, struct translated *translation);
/* callout.c: called by stub_interp.  0: on with the code; otherwise an EXEC_… to leave with. */
int translate_interp(struct cpu *cpu, uint32_t place);
/* window_fault.c: the ranges of the region being filled, which are added in the order of their
 * addresses, all writable: code in [from, to) may fault, and goes on at `slow` then. */
void fault_table_add(struct translator *translator, const uint8_t *from, const uint8_t *to,
                     const uint8_t *slow);
uint32_t fault_table_count(const struct translator *translator);
/* Those from number `count` on do not come to be. */
void fault_table_cut(struct translator *translator, uint32_t count);
/* engine.c: translated code is seen running at the present privilege: to be called at some of the
 * events that there always are. */
void translation_seen(struct translator *translator, struct cpu *cpu);
/* The block's instruction `index` had to be interpreted, and will have to be again; when
 * it keeps on so, the block is translated anew. */
void translation_trapped(struct cpu *cpu, struct block *block, unsigned index);

#endif
