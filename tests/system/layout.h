/* Where everything lies in a guest of the system suite, and its selectors: for assembly and C. */
/* clang-format off */
#ifndef SYSTEM_LAYOUT_H
#define SYSTEM_LAYOUT_H

/* --- memory, as linear = physical addresses */
#define STACK_16      0x8000  /* ... of 16-bit code, in its segment based at DATA_BASE */
#define ENTRY_TOP     0xf000  /* stack from which protected mode is entered */
#define LOW_BASE      0x10000 /* all snippets; base of the 16-bit code segments */
#define STATE_IN      0x1f000 /* struct state: what a snippet starts with */
#define STATE_OUT     0x1f200 /* ... and what it left */
#define DATA_BASE     0x20000 /* base of the 16-bit data segments, which are 64 KiB */
#define STACK_BASE    0x30000 /* stacks of 4 KiB for CPL 0, 1, 2 and 3: STACK_TOP() */
#define RING_BASE     0x34000 /* stacks of the task states for CPL 0, 1 and 2: RING_TOP() */
#define IST_TOP       0x3f000 /* stack of the handlers in long mode */
#define GDT           0x40000
#define LDT           0x41000
#define IDT           0x42000
#define TSS_32        0x43000
#define TSS_64        0x44000
#define PAGE_TABLES   0x48000 /* PML4, PDPT, four page directories */
#define FREE_BASE     0x50000 /* for a topic's own use */
#define FREE_END      0x80000

#define STACK_TOP(cpl) (STACK_BASE + 0x1000 * ((cpl) + 1) - 0x100)
#define RING_TOP(cpl)  (RING_BASE + 0x1000 * ((cpl) + 1) - 0x100)

/* --- selectors */
#define SEL_CODE      0x08 /* the guest's own: flat, 32 bits */
#define SEL_DATA      0x10
#define SEL_TSS32     0x18
#define SEL_TSS64     0x20 /* 16 bytes */
#define SEL_LDT       0x30 /* 16 bytes in long mode */
/* For each CPL, with that RPL; 16-bit code is based at LOW_BASE, 16-bit data at DATA_BASE. */
#define SEL_OF(cpl)       (0x40 + 0x30 * (cpl) + (cpl))
#define SEL_CODE16(cpl)   (SEL_OF(cpl) + 0x00)
#define SEL_DATA16(cpl)   (SEL_OF(cpl) + 0x08)
#define SEL_CODE32(cpl)   (SEL_OF(cpl) + 0x10)
#define SEL_DATA32(cpl)   (SEL_OF(cpl) + 0x18)
#define SEL_CODE64(cpl)   (SEL_OF(cpl) + 0x20)
#define SEL_CODE16_0  SEL_CODE16(0)
#define SEL_DATA16_0  SEL_DATA16(0)
#define SEL_CODE64_0  SEL_CODE64(0)
#define SEL_SCRATCH   0x100 /* from here to GDT_LIMIT: for a topic's own use */
#define GDT_LIMIT     0x7ff

#define VECTORS       0x100
#define IVT_LIMIT     0x3ff
#define LDT_LIMIT     0xff
/* The processor ends a snippet with UD2; for modes and privileges that may, INT VECTOR_USER. */
#define VECTOR_USER   0x80 /* a gate of DPL 3; those of other vectors are of DPL 0 */

#endif
