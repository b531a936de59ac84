/* All registers before and after a run in some mode: for the assembly and for C alike.
 *
 * real.S, protected.S and long.S go from the guest's own code, which is 32-bit code at CPL 0, with
 * the registers at STATE_IN into any mode, and come back through the exception or interrupt that
 * ends the run, with all registers at STATE_OUT.  A guest that uses them has a layout.h, which says
 * where everything lies (STATE_IN, STATE_OUT, LOW_BASE, ENTRY_TOP, GDT, PAGE_TABLES …) and what the
 * selectors are (SEL_CODE, SEL_DATA, SEL_CODE16_0, SEL_DATA16_0, SEL_CODE64_0).
 *
 * INV-1: the gates of the IDT lead to handlers_32 or handlers_64, and those of the IVT to
 *        handlers_16; they run at CPL 0 with SEL_CODE or SEL_CODE64_0.
 */
/* clang-format off */
#ifndef MODES_STATE_H
#define MODES_STATE_H

#include "layout.h"

#define STATE_GPR    0   /* RAX RCX RDX RBX RSP RBP RSI RDI R8 .. R15, eight bytes each */
#define STATE_IP     128
#define STATE_CS     136
#define STATE_FLAGS  144
#define STATE_SS     152
#define STATE_DS     160
#define STATE_ES     168
#define STATE_FS     176
#define STATE_GS     184
#define STATE_VECTOR 192
#define STATE_ERROR  200
#define STATE_GDTR   208
#define STATE_IDTR   216
#define STATE_CR0    224
#define STATE_FSBASE 232
#define STATE_GSBASE 240
#define STATE_FRAME  248
#define STATE_HANDLER_CS 256
#define STATE_HANDLER_SS 264
/* clang-format on */

#ifndef __ASSEMBLER__
#include <stddef.h>
#include <stdint.h>

enum { RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8, R9, R10, R11, R12, R13, R14, R15, REGISTERS };

enum { FLAG_FIXED = 1 << 1, FLAG_RF = 1 << 16, FLAG_VM = 1 << 17 };

struct state {
    uint64_t gpr[REGISTERS];
    uint64_t ip, cs, flags, ss, ds, es, fs, gs;
    uint64_t vector, error; /* after only; error is 0 where the processor pushes none */
    struct {
        uint16_t limit;
        uint32_t base;
        uint16_t unused;
    } __attribute__((packed)) gdtr, idtr;
    uint64_t cr0;
    uint64_t fs_base, gs_base; /* before only: long mode */
    /* After only, but for real mode: the stack pointer at the (R|E)IP that was pushed, and the
     * handler's segments. */
    uint64_t frame, handler_cs, handler_ss;
};
_Static_assert(offsetof(struct state, ip) == STATE_IP, "");
_Static_assert(offsetof(struct state, gs) == STATE_GS, "");
_Static_assert(offsetof(struct state, error) == STATE_ERROR, "");
_Static_assert(offsetof(struct state, idtr) == STATE_IDTR, "");
_Static_assert(offsetof(struct state, gs_base) == STATE_GSBASE, "");
_Static_assert(offsetof(struct state, handler_ss) == STATE_HANDLER_SS, "");

#define state_in  ((volatile struct state *)STATE_IN)
#define state_out ((volatile struct state *)STATE_OUT)

/* Run with *state_in; protected mode and virtual-8086 mode alike are enter_protected()'s. */
void enter_real(void);
void enter_protected(void);
void enter_long(void);
/* From protected mode into compatibility mode, by the page tables at PAGE_TABLES. */
void start_long_mode(void);
/* The handlers' addresses, by vector (for handlers_16: offsets in the segment of LOW_BASE). */
extern const uint32_t handlers_32[VECTORS], handlers_64[VECTORS], handlers_16[VECTORS];
#endif

#endif
