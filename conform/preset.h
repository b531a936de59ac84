/* The machines that cases of ring3's own format start from: FORMAT.md has what lies where. */
#ifndef CONFORM_PRESET_H
#define CONFORM_PRESET_H

#include "conform/bare.h"
#include "conform/state.h"

enum preset {
    PRESET_REAL,
    PRESET_V86,
    PRESET_PROTECTED_16,
    PRESET_PROTECTED_32,
    PRESET_PAGED_32,
    PRESET_COMPATIBILITY,
    PRESET_LONG,
    PRESETS
};

enum {
    PRESET_GDT = 0x1000,
    PRESET_IDT = 0x2000, /* in real mode: 0 */
    PRESET_TSS = 0x3000,
    PRESET_HANDLERS = 0x4000, /* of vector n: + 16 * n: HLT */
    PRESET_TABLES = 0x8000,   /* PML4, PDPT, PD, PT; then the page directory and table of 32 bits */
    PRESET_CODE = 0x10000,
    PRESET_STACK = 0x2f000, /* its top; that of CPL 0: */
    PRESET_STACK_0 = 0x28000,
    PRESET_DATA = 0x30000,
};

const char *preset_name(enum preset preset);
/* PRESETS: there is none of that name. */
enum preset preset_by_name(const char *name);
/* Is there more than one privilege in it? */
bool preset_takes_cpl(enum preset preset, unsigned cpl);
/* The features without which no processor can be in it. */
struct feature_set preset_needs(enum preset preset);
/* The processor's state at the start of a case. */
void preset_state(enum preset preset, unsigned cpl, struct state *state);
/* Writes tables and handlers into RAM that is zero. */
void preset_memory(enum preset preset, struct bare *bare);

#endif
