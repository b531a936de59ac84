/* A case of ring3's own format (FORMAT.md): a processor's whole state and memory before some
 * instructions, and after them. */
#ifndef CONFORM_STATE_CASE_H
#define CONFORM_STATE_CASE_H

#include "base/error.h"
#include "conform/preset.h"

#include <stdio.h>

enum { CASE_TEXT_MAX = 160, CASE_CODE_MAX = 64, CASE_STEPS_MAX = 1000, CASE_MEMORY_MAX = 1 << 16 };

/* Bytes of physical memory, in the order of the file: a later one overwrites. */
struct case_memory {
    struct case_byte {
        uint32_t address;
        uint8_t value;
    } * bytes;
    uint32_t count, room;
};

struct case_exception {
    bool expected;
    uint8_t vector;
    bool has_error, has_address, has_dr6; /* whether the case says something of them */
    uint32_t error;
    uint64_t address, dr6;
};

struct state_case {
    char name[CASE_TEXT_MAX], see[CASE_TEXT_MAX]; /* see: the manual's section */
    enum preset preset;
    unsigned cpl;
    struct feature_set needs; /* a processor without one of them does not run the case */
    uint8_t code[CASE_CODE_MAX];
    unsigned code_length;
    unsigned steps;
    bool delivers; /* exceptions go to their handlers; else they end the case */
    struct case_exception exception;
    struct state_fields given, expected; /* fields that the file gives */
    struct state initial, final;         /* whole: final is initial but for `expected` and rip */
    struct state ignored;                /* bits that are not compared */
    struct case_memory initial_memory, final_memory;
    unsigned line; /* of its file */
};

/* Where the code lies in memory, before any paging. */
uint64_t state_case_code_at(const struct state_case *c);
/* The code's mode: CODE_16, CODE_32, CODE_64. */
unsigned state_case_code_size(const struct state_case *c);
void state_case_free(struct state_case *c);
/* "exception 13 error=0"; nothing when none is expected. */
void case_exception_write(FILE *to, const struct case_exception *exception);
/* The features that the case needs and the processor lacks. */
struct feature_set state_case_lacks(const struct state_case *c, const struct cpu_model *model);
/* Writes it as r3v_next() reads it. */
void state_case_write(FILE *to, const struct state_case *c);

#endif
