/* The page-number and address types, which the compiler keeps apart.
 *
 * A guest virtual page (VPN) becomes a guest "physical" page (PPN) by the guest's own tables, and a
 * PPN becomes a machine page (MPN) by ours.  Each is a one-member struct, so that passing one where
 * another is meant does not compile.
 */
#ifndef BASE_TYPES_H
#define BASE_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* clang-format off */
typedef struct { uint64_t v; } gva_t; /* guest linear address, bytes */
typedef struct { uint64_t v; } gpa_t; /* guest "physical" address, bytes */
typedef struct { uint64_t v; } vpn_t; /* gva / 4096 */
typedef struct { uint64_t v; } ppn_t; /* gpa / 4096 */
typedef struct { uint32_t v; } mpn_t; /* index of a 4 KiB frame in machine memory */
/* clang-format on */

#define PAGE_SHIFT       12
#define PAGE_BYTES       ((uint64_t)1 << PAGE_SHIFT)
#define PAGE_OFFSET_MASK (PAGE_BYTES - 1)
#define PAGE_MASK        (~PAGE_OFFSET_MASK)

#define GVA(value) ((gva_t){(value)})
#define GPA(value) ((gpa_t){(value)})
#define PPN(value) ((ppn_t){(value)})
#define MPN(value) ((mpn_t){(value)})

#define MPN_NONE MPN(UINT32_MAX)

static inline ppn_t gpa_ppn(gpa_t gpa)
{
    return PPN(gpa.v >> PAGE_SHIFT);
}

static inline gpa_t ppn_gpa(ppn_t ppn)
{
    return GPA(ppn.v << PAGE_SHIFT);
}

#endif
