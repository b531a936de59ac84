/* Descriptors, gates and task states as the processor reads them.
 * Sources: SDM 3A §3.4.5 and §3.5 (descriptors), §6.11 and §6.14.1 (gates), §8.2.1 and §8.7 (TSS).
 */
#ifndef MODES_DESCRIPTOR_H
#define MODES_DESCRIPTOR_H

#include <stdint.h>

/* Access bytes: present, DPL 0. */
enum {
    CODE = 0x9b,
    CODE_EXEC_ONLY = 0x99,
    CODE_CONFORMING = 0x9f,
    DATA = 0x93,
    DATA_READ_ONLY = 0x91,
    DATA_FRESH = 0x92, /* never accessed */
    TSS_FREE = 0x89,   /* of 32 bits; in long mode of 64 */
    LDT_KIND = 0x82,
    CALL_GATE = 0x8c,
    INTERRUPT_GATE = 0x8e,
    DPL_3 = 0x60,
};

/* The flags of a descriptor: L, D/B, G. */
enum { SIZE_16 = 0, SIZE_64 = 2, SIZE_32 = 4, PAGES = 8 };

/* Task states: offsets, in the 32-bit and the 64-bit one. */
enum {
    TSS_SP0 = 4,
    TSS_SS0 = 8,
    TSS_IST1 = 36,
    TSS_MAP = 102,
};

enum { PAGE_PRESENT_WRITE_USER = 7, PAGE_LARGE = 0x80 };

/* `limit`: 20 bits. */
static inline uint64_t descriptor(uint32_t base, uint32_t limit, unsigned access, unsigned flags)
{
    return (limit & 0xffff) | (uint64_t)(base & 0xffffff) << 16 | (uint64_t)access << 40 |
           (uint64_t)(limit >> 16) << 48 | (uint64_t)flags << 52 | (uint64_t)(base >> 24) << 56;
}

/* The low half of a gate of long mode, or all of one of protected mode. */
static inline uint64_t gate(uint32_t offset, unsigned selector, unsigned access)
{
    return (offset & 0xffff) | selector << 16 | (uint64_t)access << 40 |
           (uint64_t)(offset >> 16) << 48;
}

#endif
