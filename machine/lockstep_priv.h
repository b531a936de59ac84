/* The inside of lockstep, for machine/lockstep*.c only. */
#ifndef MACHINE_LOCKSTEP_PRIV_H
#define MACHINE_LOCKSTEP_PRIV_H

#include "machine/lockstep.h"

#include <stdlib.h>

/* A call upward that the leader made, or a change of memory from outside, in their order. */
enum record_kind {
    RECORD_PORT_READ,
    RECORD_PORT_WRITE,
    RECORD_MMIO_READ,
    RECORD_MMIO_WRITE,
    RECORD_TSC,
    RECORD_RANDOM,
    RECORD_APIC_BASE,
    RECORD_CR8_READ,
    RECORD_CR8_WRITE,
    RECORD_X2APIC_READ,
    RECORD_X2APIC_WRITE,
    RECORD_TSC_DEADLINE_READ,
    RECORD_TSC_DEADLINE_WRITE,
    RECORD_FERR,
    RECORD_CALLS, /* what follows is no call */
    RECORD_DMA = RECORD_CALLS,
    RECORD_LOW,
    RECORD_A20,
};

struct lockstep_record {
    enum record_kind kind;
    unsigned size;    /* of the access, or of DMA: bytes */
    bool success;     /* as the call answered */
    uint64_t address; /* a port, a GPA, an MSR */
    uint64_t value;   /* DMA: where its bytes lie in `bytes` */
};

/* Bytes that the twin wrote, within one page. */
struct lockstep_store {
    uint64_t gpa;
    unsigned length;
};

/* A block that the twin ran, or a block of one instruction. */
struct lockstep_ran {
    const struct block *block;
    uint64_t rip;
};

/* A and D bits that a walk of the leader set. */
struct lockstep_mark {
    uint64_t place;
    uint8_t bits;
};

/* A growing array: items, count, room for. */
#define LOCKSTEP_LIST(type)                                                                        \
    struct {                                                                                       \
        type *items;                                                                               \
        size_t count, room;                                                                        \
    }

enum { LOCKSTEP_TEXT = 160 };

struct lockstep {
    struct cpu *leader, *twin;
    struct physmem *memory;    /* the leader's */
    struct physmem copy;       /* the twin's */
    struct frames frames;      /* of the copy */
    const struct cpu_ops *ops; /* the leader's own, with their opaque */
    void *machine;
    struct physmem_watch leader_watch, twin_watch;
    struct lockstep_probe probe;
    FILE *out;
    uint64_t seed;

    bool synced;  /* the copy has been made */
    bool running; /* the leader is in a turn: what it does is recorded */
    LOCKSTEP_LIST(struct lockstep_record) records;
    size_t next_record; /* which the twin meets next */
    LOCKSTEP_LIST(uint8_t) bytes;
    LOCKSTEP_LIST(struct lockstep_mark) marks;
    LOCKSTEP_LIST(struct lockstep_store) stores;
    LOCKSTEP_LIST(struct lockstep_ran) ran;
    uint64_t a20_mask; /* of the leader, as last recorded */
    int vector;        /* that the leader acknowledged in this turn */

    /* of the present turn */
    uint64_t rip;          /* where it began */
    uint64_t instructions; /* that the leader did */
    bool faulted;          /* the leader delivered an exception */
    enum cpu_event event;
    bool path_differs;       /* the two did not do the same things */
    uint64_t written_differ; /* bits of values written to devices that were not the same */

    uint64_t turns, compared_memories_at;
    struct lockstep_count count;
    bool differs;
    char field[LOCKSTEP_TEXT], of_leader[LOCKSTEP_TEXT], of_twin[LOCKSTEP_TEXT];
    char line[4 * LOCKSTEP_TEXT];
};

/* Room for `more` items; the list's own if it has it. */
void *lockstep_grow(void *items, size_t count, size_t more, size_t *room, size_t item_bytes);
/* The place of a new item at the end. */
#define LOCKSTEP_APPEND(list)                                                                      \
    ((list)->items =                                                                               \
         lockstep_grow((list)->items, (list)->count, 1, &(list)->room, sizeof *(list)->items),     \
     &(list)->items[(list)->count++])

/* Notes the first difference; later ones are dropped. */
void lockstep_note(struct lockstep *lockstep, const char *field, const char *of_leader,
                   const char *of_twin);
/* The same of one that is not in registers or memory. */
void lockstep_note_path(struct lockstep *lockstep, const char *field, const char *of_leader,
                        const char *of_twin);

/* --- lockstep_calls.c: upward calls of both processors */
extern const struct cpu_ops lockstep_leader_ops, lockstep_twin_ops;
/* The leader's A20 gate may have moved. */
void lockstep_note_a20(struct lockstep *lockstep);
/* Does to the twin's memory what the records that come next tell, up to the next call. */
void lockstep_apply_records(struct lockstep *lockstep);

/* --- lockstep_memory.c: the two memories */
int lockstep_memory_init(struct lockstep *lockstep, struct error *error);
void lockstep_memory_free(struct lockstep *lockstep);
/* Makes the copy. */
void lockstep_memory_sync(struct lockstep *lockstep);
/* Changes from outside, on the twin's side. */
void lockstep_memory_apply(struct lockstep *lockstep, const struct lockstep_record *record);
/* Sets what A and D bits the leader's walks of this turn set and the twin's did not meet. */
void lockstep_marks_apply(struct lockstep *lockstep);
/* Compares what the twin wrote in this turn. */
void lockstep_compare_stores(struct lockstep *lockstep);
/* Takes over what the leader has at the places that the twin wrote. */
void lockstep_adopt_stores(struct lockstep *lockstep);
/* Would every difference at these places lie in bits of `mask` of a byte? */
bool lockstep_stores_within(const struct lockstep *lockstep, uint8_t mask);
void lockstep_compare_memories(struct lockstep *lockstep);

/* --- lockstep_registers.c */
/* Do all registers agree?  With `note` the first that does not is noted. */
bool lockstep_registers_agree(struct lockstep *lockstep, bool note);
/* The same with differences allowed in bits of `mask` of the bytes of general registers. */
bool lockstep_registers_within(const struct lockstep *lockstep, uint8_t mask);
/* The twin's registers become the leader's. */
void lockstep_adopt_registers(struct lockstep *lockstep);

/* --- lockstep_flags.c: after a turn that ended in a difference: could undefined flags have made
 * it? Then the twin takes over the leader's state, and true. */
bool lockstep_excuse(struct lockstep *lockstep);

/* --- lockstep_report.c */
void lockstep_report(struct lockstep *lockstep);

#endif
