/* A guest that executes every sensitive instruction in every mode and prints what it saw.
 *
 * Each probe (probes_*.inc) is a few bytes of code in a slot of its own, assembled for 16, 32 and
 * 64 bits, with the registers, flags, memory and control bits that it starts with.  It ends in an
 * exception, be it that of the UD2 after it; the handler takes down all registers, and one line
 * tells everything that differs from before: registers, flags, segment registers, memory, and the
 * system's own registers.  What nobody expected to change is therefore seen, too.
 *
 *   layout.h          addresses, selectors
 *   probes_*.inc      the probes, by topic; probes16.S .. probes64.S assemble them by size
 *   tables.c          GDT, LDT, IDT, IVT, TSS, page tables
 *   modes.c           the modes: selectors and privileges
 *   probe.c           reads the table of probes; sets one up
 *   system.c          the system's registers: reset, noted, put back
 *   report.c          prints the difference (console, PCI and power are images/demo's)
 *   sensitive.c       runs it all
 *
 * Entry and the way into a probe and back are images/modes'.
 *
 * expected.txt says what must come out, with its sources; tests/test_sensitive.py compares.  To
 * run: ring3 -kernel images/sensitive.elf -cpu max,+monitor -nographic
 */
#ifndef SENSITIVE_H
#define SENSITIVE_H

#include "layout.h"
#include "probe_tags.h"
#include "state.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One way to run a probe. */
struct mode {
    const char *name;
    uint32_t bit;  /* of MODE_… */
    unsigned bits; /* of its code: 16, 32, 64 */
    unsigned cpl;
    uint32_t flags; /* IOPL and VM */
    uint32_t cr4;
    uint16_t cs, ss, ds, es, fs, gs;
    uint16_t other_ss, bad_ss;   /* another stack of the same privilege; one of the wrong */
    uint16_t outer_cs, outer_ss; /* CPL 3's from CPL 0, and CPL 0's from CPL 3 */
    uint32_t base;               /* of code */
    void (*enter)(void);
};
extern const struct mode modes[];
extern const unsigned mode_count;
static inline bool mode_is_long(const struct mode *mode)
{
    return mode->bit & MODES_LONG;
}

/* The control registers that its probes start with, unless they say otherwise. */
uint32_t mode_cr0(const struct mode *mode);
uint32_t mode_cr4(const struct mode *mode);

/* What probes find in the system's registers: values that no host has. */
#define USUAL_CR4      0x40600 /* OSFXSR, OSXMMEXCPT, OSXSAVE */
#define USUAL_XCR0     3
#define USUAL_SFMASK   0x241 /* IF, ZF, CF */
#define PROBE_CR2      0xdeadb000
#define PROBE_DR0      0x00abcdef
#define ODD_FS_BASE    0x0000123456789000
#define ODD_GS_BASE    0xffff800011112222
#define KERNEL_GS_BASE 0x00007fff33334444
#define START_OF_TIME  0x1234567800000000 /* of the time-stamp counter */

enum { MEMORY_WORDS = 24 };

/* One probe, as the table describes it. */
struct probe {
    const char *name;
    uint32_t modes;
    uint32_t slot, start, next, end; /* linear addresses; start..next is the instruction */
    uint32_t set[TAG_VALUES];        /* by tag */
    bool is_set[TAG_VALUES];
    uint32_t stack[MEMORY_WORDS], data[MEMORY_WORDS];
    unsigned stack_words, data_words;
};

/* Reads the probe at `at` of a table; gives the address of the next. */
const uint32_t *probe_read(const uint32_t *at, struct probe *probe);
/* Fills memory and *state_in. */
void probe_prepare(const struct probe *probe, const struct mode *mode);

/* The windows of memory that are looked at. */
enum { WINDOW_BYTES = 64 };
#define STACK_WINDOW ((volatile uint8_t *)DATA_BASE + STACK_OFFSET - WINDOW_BYTES / 2)
#define DATA_WINDOW  ((volatile uint8_t *)DATA_BASE + DATA_OFFSET)
#define FLAT_WINDOW  ((volatile uint8_t *)STACK_OFFSET - WINDOW_BYTES / 2) /* without SS's base */
#define EXTRA_WINDOW ((volatile uint8_t *)EXTRA_BASE + DATA_OFFSET)

/* What belongs to the system, and to memory, before or after a probe. */
struct system {
    uint32_t cr0, cr2, cr3, cr4, gdt_base, idt_base, dr[8];
    uint16_t gdt_limit, idt_limit, ldtr, tr;
    uint64_t efer, fs_base, gs_base, kernel_gs_base, sysenter_esp, xcr0;
    uint8_t ports[PROBE_PORTS];
    uint8_t gdt[GDT_LIMIT + 1];
    uint8_t stack[WINDOW_BYTES], flat[WINDOW_BYTES], data[WINDOW_BYTES], extra[WINDOW_BYTES];
};

void system_init(void);
/* Puts everything into the state in which a probe of this mode finds it, and takes it down. */
void system_prepare(const struct probe *probe, const struct mode *mode, struct system *before);
/* Takes everything down after the probe. */
void system_note(struct system *after);

/* The line of one probe. */
void report(const struct probe *probe, const struct mode *mode, const struct system *before,
            const struct system *after);

/* --- tables.c */
void tables_init_legacy(void);
void tables_init_long(void);
void tables_reset(bool is_long); /* GDT as a probe finds it */

/* --- the tables of probes */
extern const uint32_t probes_16[], probes_32[], probes_64[]; /* each ends in 0 */

#endif
