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

/* Where the guest's XMM registers are: cpu->native.vectors. */
enum native_vectors {
    VECTORS_STORED, /* in cpu->xmm, as the interpreter wants them */
    VECTORS_LIVE,   /* in the host's registers */
    VECTORS_FLOAT,  /* … and every SIMD exception is masked, so the host's MXCSR is the guest's */
};

/* A place where a block is left: by a branch to a known target, to go on with an instruction in the
 * interpreter, or since something wants attention. */
enum exit_kind { EXIT_LINK, EXIT_INSN, EXIT_POLL };

struct exit {
    struct translated *from;    /* writable addresses, as all pointers here */
    uint8_t *jump;               /* the 32-bit displacement that is patched */
    const uint8_t *away;         /* executable: where it leads while there is no link */
    struct translated *to;      /* linked to */
    struct exit *next, **previous; /* of `to`'s incoming */
    int32_t target;              /* offset from code_page */
    uint16_t insn;               /* index in the block */
    uint8_t kind;
    bool same_page;
    bool taken;                  /* by a branch: the target is checked first */
    bool past_poll;              /* no interrupt before the target's first instruction */
};

/* An instruction that the interpreter executes within translated code. */
struct site {
    struct insn insn, stop;
    struct translated *from;
    uint16_t index;
};

enum { EXITS_MAX = 8 };

struct translated {
    struct block *block;
    uint8_t *code;       /* executable: from another block, polls first */
    uint8_t *entry;      /* executable: from the interpreter */
    uint8_t *cross;      /* executable: from another page; T0: code_page to be, T1: the exit */
    uint64_t code_page, context; /* where and when the block was last seen to be mapped */
    uint32_t bytes;
    unsigned exit_count;
    struct exit *exits[EXITS_MAX];
    struct exit *incoming;
    struct translated *region_next;
    uint64_t id, executions; /* for the trace; the code itself counts, when there is one */
    bool dead;
};

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
    COUNTER(killed, "translations killed")

struct translator {
    struct translate_options options;
    struct code_cache cache;
    struct translated *regions[CODE_REGIONS];
    struct cooling cooling;
    unsigned threshold; /* executions, where code stays as it is */
    struct trace_writer *trace; /* NULL: none */
    uint64_t last_id; /* of a translation */
    /* stubs, executable addresses */
    uint64_t (*enter)(struct cpu *cpu, const void *code); /* an EXEC_… or the address of an exit */
    uint8_t *stub_exit;    /* T0: the exit */
    uint8_t *stub_cold;    /* a block without translation was jumped to; rip is set */
    uint8_t *stub_interp;  /* T0: the site; returns when the instruction is done */
    uint8_t *stub_image;   /* brings the flags to FLAGS_IMAGE */
    uint8_t *stub_vectors; /* brings cpu->xmm to the host's registers; destroys T1 and EFLAGS */
    uint8_t *stub_x87;     /* native_x87_load(): destroys T0, T1, EFLAGS */
    struct {
#define COUNTER_FIELD(field, name) uint64_t field;
        TRANSLATOR_COUNTERS(COUNTER_FIELD)
#undef COUNTER_FIELD
    } count;
    uint32_t sites[OPCODE_COUNT][CALLOUT_MODES]; /* instructions rewritten into callouts */
};

enum { EXEC_CODES = 64 }; /* what `enter` gives below this is an EXEC_… */
enum { EXEC_GO = EXEC_STOP + 1 }; /* rip is set: on with the block there, if it is known */

static inline struct translator *translator_of(const struct cpu *cpu)
{
    return cpu->engine_state;
}

/* stubs.c */
void stubs_emit(struct translator *translator);
/* translate.c: NULL when the region is full. */
struct translated *translate_block(struct translator *translator, struct cpu *cpu,
                                    struct block *block);
/* link.c */
/* Links the exit, which the cpu has just left by, to the block that it leads to now. */
void link_exit(struct translator *translator, struct cpu *cpu, struct exit *exit,
               const struct jump_entry *target);
/* Unlinks the translation from all others. */
void link_drop(struct translator *translator, struct translated *translation);
/* callout.c: called by stub_interp with the executable address of a site.  0: on with the code;
 * otherwise an EXEC_… to leave with. */
int translate_interp(struct cpu *cpu, void *site);

#endif
