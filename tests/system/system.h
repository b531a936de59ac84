/* A guest of the system suite: named cases, each with its section of the SDM.
 *
 * A guest is one topic: it defines `topic` and links with the rig.  It runs as 32-bit code at CPL
 * 0, first in protected mode without paging, then in compatibility mode, with the first 4 GiB
 * mapped to themselves for all privileges.  A case starts snippets of code in any mode and at any
 * privilege with any registers, and compares the exception or interrupt that ends each with what is
 * expected.
 *
 *   layout.h      addresses and selectors        tables.c    GDT, LDT, IDT, TSS, page tables
 *   cases.c       cases: counted and printed     attempt.c   runs snippets
 *
 * README.md says how to add a case.  Sections are those of SDM volumes as of 2023 ("3A 5.5"); AMD's
 * manual is cited as "APM2 4.8".
 */
#ifndef SYSTEM_SYSTEM_H
#define SYSTEM_SYSTEM_H

#include "control.h"
#include "demo.h"
#include "descriptor.h"
#include "io.h"
#include "state.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* --- the topic of this guest: each half may be NULL */
struct topic {
    const char *name;
    void (*protected_mode)(void); /* and real and virtual-8086 mode */
    void (*long_mode)(void);      /* and compatibility mode */
};
extern const struct topic topic;

/* True once the guest is in long mode. */
bool in_long_mode(void);
/* What CPUID says. */
bool has_long_mode(void);
bool vendor_is_amd(void);
enum cpuid_register { CPUID_EAX, CPUID_EBX, CPUID_ECX, CPUID_EDX };
/* 0 beyond the last leaf. */
uint32_t cpuid(uint32_t leaf, uint32_t subleaf, enum cpuid_register reg);

enum {
    VECTOR_DE,
    VECTOR_DB,
    VECTOR_NMI,
    VECTOR_BP,
    VECTOR_OF,
    VECTOR_BR,
    VECTOR_UD,
    VECTOR_NM,
    VECTOR_DF,
    VECTOR_TS = 10,
    VECTOR_NP,
    VECTOR_SS,
    VECTOR_GP,
    VECTOR_PF,
    VECTOR_MF = 16,
    VECTOR_AC,
    VECTOR_MC,
    VECTOR_XM,
    VECTOR_IRQ0 = 0x20, /* where the 8259s are; all their lines are masked */
};

/* --- snippets: code that is assembled here and runs where a case says */

struct snippet {
    const uint8_t *start, *end; /* the end is a UD2; linear addresses from LOW_BASE on */
    unsigned bits;              /* of its code segment: 16, 32 or 64 */
};

/* SNIPPET(32, load_ds, "mov %ax, %ds"): `load_ds` is a struct snippet.  Labels within `code` are
 * numbers.  Of a label that a case has to know: `.globl NAME; NAME:` and an extern. */
#define SNIPPET(code_bits, name, code)                                                             \
    extern const uint8_t name##_start[], name##_end[];                                             \
    __asm__(".pushsection .snippets, \"ax\"\n\t.code" #code_bits "\n" #name "_start:\n\t" code     \
            "\n" #name "_end:\n\tud2\n\t.code32\n\t.popsection");                                  \
    static const struct snippet name = {name##_start, name##_end, code_bits}

/* NAME_16, NAME_32 and NAME_64: the same text at every size. */
#define SNIPPETS(name, code)                                                                       \
    SNIPPET(16, name##_16, code);                                                                  \
    SNIPPET(32, name##_32, code);                                                                  \
    SNIPPET(64, name##_64, code)

/* The registers with which a snippet starts at `cpl` in protected, compatibility or 64-bit mode:
 * its own code segment and stack, DS and ES flat (16-bit code: based at DATA_BASE), FS and GS null,
 * general registers 0, EFLAGS 2.  Callers change what they like. */
struct state start_at(const struct snippet *snippet, unsigned cpl);
/* In virtual-8086 or in real mode: CS at LOW_BASE, all else at DATA_BASE. */
struct state start_v86(const struct snippet *snippet);

/* Runs until an exception or interrupt comes.  The first in protected, virtual-8086, compatibility
 * and 64-bit mode; the second in real mode, with the registers of start_v86(). */
struct state attempt(const struct state *start);
struct state attempt_real(const struct state *start);

/* --- what is expected */

struct verdict {
    unsigned vector;
    unsigned error; /* 0 if the vector has none */
};
/* The snippet reaches its end. */
#define ENDS ((struct verdict){0x100, 0})
static inline struct verdict fault(unsigned vector, unsigned error)
{
    return (struct verdict){vector, error};
}

/* --- cases */

/* Begins a case, on tables and control registers as at first (tables_reset()).  The name tells what
 * is true on a processor that passes; it is unique within the topic. */
void case_begin(const char *sdm, const char *name);
/* The same for a rule that is checked in several places; the name is "NAME, PLACE". */
void case_begin_in(const char *sdm, const char *name, const char *place);
/* One check of the case; the first that fail are printed, with what the format says. */
bool case_check(bool passed, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* One check: attempt(), then compares vector and error code with the verdict and, for a
 * fault, that CS:(E)IP is the start's. */
struct state case_attempt(const struct snippet *snippet, const struct state *start,
                          struct verdict expected, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* The same comparison, after an attempt. */
void case_compare(const struct snippet *snippet, const struct state *start, const struct state *end,
                  struct verdict expected, const char *format, ...)
    __attribute__((format(printf, 5, 6)));
void case_end(void);

/* A case of one check. */
struct state expect(const char *sdm, const char *name, const struct snippet *snippet,
                    const struct state *start, struct verdict expected);

/* --- tables */

/* GDT, LDT, IDT and TSS as layout.h says; GDTR, LDTR, IDTR, TR; CR0, CR3, CR4, EFER, DR6, DR7, FPU.
 * Scratch descriptors are 0. */
void tables_reset(void);
void pages_reset(void); /* the page tables alone */
void idtr_reset(void);  /* IDTR alone */
uint64_t gdt_get(unsigned selector);
void gdt_set(unsigned selector, uint64_t value); /* RPL is ignored */
void ldt_set(unsigned selector, uint64_t value); /* RPL and TI are ignored */
/* Protected mode's gate, or both halves of long mode's (SDM 3A 6.14.1). */
void idt_set(unsigned vector, uint64_t gate);
void idt_set_long(unsigned vector, uint64_t low, uint64_t high);
uint64_t idt_get(unsigned vector); /* the low half */

/* Memory by its linear address. */
static inline volatile uint8_t *byte_at(uint32_t linear)
{
    return (volatile uint8_t *)linear;
}
static inline volatile uint16_t *word_at(uint32_t linear)
{
    return (volatile uint16_t *)linear;
}
static inline volatile uint32_t *dword_at(uint32_t linear)
{
    return (volatile uint32_t *)linear;
}
static inline volatile uint64_t *qword_at(uint32_t linear)
{
    return (volatile uint64_t *)linear;
}

#endif
