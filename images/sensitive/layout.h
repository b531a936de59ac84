/* Where everything lies and what it is called: for the assembly and for C alike.
 *
 * All of it is fixed, so that what the guest prints never depends on how it was linked.
 */
/* clang-format off */
#ifndef SENSITIVE_LAYOUT_H
#define SENSITIVE_LAYOUT_H

/* --- memory, as linear = physical addresses */
#define ENTRY_TOP     0xf000  /* stack that probes outside long mode are entered from */
#define LOW_BASE      0x10000 /* 16-bit support code; base of the 16- and 32-bit code segments */
#define STATE_IN      0x17000 /* struct state: what a probe starts with */
#define STATE_OUT     0x17200 /* ... and what it left */
#define TARGET_OFFSET 0x7f00  /* where far transfers lead, in a segment based at LOW_BASE */
#define TARGET_LINEAR (LOW_BASE + TARGET_OFFSET)
#define SLOTS_16      0x18000 /* the probes' code, by size */
#define SLOTS_32      0x1c000
#define DATA_BASE     0x20000 /* DS and SS of 16- and 32-bit probes */
#define DATA_OFFSET   0x1000  /* of the data window, at DS:(E)BX and DS:(E)SI */
#define STACK_OFFSET  0x3000  /* of the top of the stack */
#define EXTRA_BASE    0x30000 /* ES: the window at ES:(E)DI */
#define FS_BASE       0x40000
#define GS_BASE       0x50000
#define SLOTS_64      0x60000
#define IST_TOP       0x6f000 /* stack of the handlers in long mode */
#define INNER_TOP     0x70000 /* ESP0, RSP0 */
#define SYSENTER_TOP  0x71f00
#define PAGE_TABLES   0x80000 /* PML4, PDPT, page directory */
#define GDT           0x84000
#define GDT_COPY      0x84800
#define IDT           0x85000
#define IDT_COPY      0x86000
#define LDT           0x87000
#define IVT_COPY      0x88000
#define TSS_32        0x89000
#define TSS_64        0x8a000

/* --- selectors; their order serves SYSCALL, SYSRET, SYSENTER and SYSEXIT */
#define SEL_CODE      0x08 /* the guest's own: flat, 32 bits */
#define SEL_DATA      0x10
#define SEL_CODE16_0  0x18 /* based at LOW_BASE, CPL 0 */
#define SEL_DATA16_0  0x20 /* based at DATA_BASE */
#define SEL_CODE32_0  0x28
#define SEL_DATA32_0  0x30
#define SEL_CODE64_0  0x38
#define SEL_FLAT_0    0x40
#define SEL_FLAT_CODE 0x48 /* CPL 3 from here */
#define SEL_FLAT_3    0x50
#define SEL_CODE64_3  0x58
#define SEL_FLAT2_3   0x60
#define SEL_CODE16_3  0x68
#define SEL_DATA16_3  0x70
#define SEL_CODE32_3  0x78
#define SEL_DATA32_3  0x80
#define SEL_ES        0x88
#define SEL_FS        0x90
#define SEL_GS        0x98
#define SEL_TSS32     0xa0
#define SEL_TSS64     0xb0  /* system descriptors take two places in long mode */
#define SEL_LDT       0xc0
#define SEL_TSS_FREE  0xd0  /* an available TSS */
#define SEL_LDT_FREE  0xe0
#define SEL_GATE_3    0xf0  /* call gates of DPL 3 and 0 to TARGET */
#define SEL_GATE_0    0x100
#define SEL_READ_ONLY 0x110 /* data, byte-granular limit fff3 */
#define SEL_EXEC_ONLY 0x118 /* code that cannot be read */
#define SEL_CONFORMING 0x120
#define SEL_ABSENT    0x128 /* data, not present */
#define SEL_FRESH     0x130 /* data, never accessed */
#define SEL_BIG       0x138 /* data, limit 12345 pages */
#define SEL_ABSENT_0  0x140 /* data, not present, DPL 0 */
#define GDT_LIMIT     0x147

/* --- vectors beyond the exceptions */
#define VECTOR_IRQ0     0x20
#define VECTOR_USER     0x40 /* gate DPL 3 */
#define VECTOR_KERNEL   0x41 /* gate DPL 0 */
#define VECTOR_REDIRECT 0x42 /* gate DPL 3; through the IVT under VME, to TARGET */
#define VECTORS         0x43
#define IDT_LIMIT       0x42f
#define IDT_COPY_LIMIT  0x42e
#define IVT_LIMIT       0x3ff

#endif
