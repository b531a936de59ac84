/* An address map of device registers: the port space and the MMIO space are one type.
 *
 * INV-1: a region sees only accesses whose size is between its min_size and max_size and whose
 *        offset is a multiple of that size (unless it says `unaligned`); the bus splits what is
 *        wider or misaligned, and widens what is narrower (reads take the bytes asked for; a
 *        narrow write reads, merges and writes).
 * INV-2: where regions overlap, the one with the higher priority is seen; of equals the newer.
 * What no region claims reads as all ones and swallows writes.
 * Calls are made with the machine lock held.
 */
#ifndef BASE_BUS_H
#define BASE_BUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct region {
    const char *name;      /* shown by "info mtree" */
    uint64_t base, length; /* bytes */
    uint64_t (*read)(void *opaque, uint64_t offset, unsigned size);
    void (*write)(void *opaque, uint64_t offset, unsigned size, uint64_t value);
    uint8_t min_size, max_size; /* 1, 2, 4 or 8 bytes; 0 means 1 and 4 */
    bool unaligned;
    int8_t priority;
    void *opaque;
};

enum { BUS_RECENT = 32 };

struct bus {
    const char *name;
    uint64_t limit;          /* highest address */
    struct region **regions; /* all, by priority then age */
    size_t count, capacity;
    struct bus_span *spans; /* the flattened view, by address */
    size_t span_count, span_capacity;
    const struct bus_span *recent[BUS_RECENT]; /* last found for an address of these low bits */
};

void bus_init(struct bus *bus, const char *name, uint64_t limit);
void bus_free(struct bus *bus);
/* Adds a region that the caller owns and keeps alive until bus_remove(). */
void bus_add(struct bus *bus, struct region *region);
void bus_remove(struct bus *bus, struct region *region);
/* Moves a region (for a PCI BAR); the region may be on the bus or not. */
void bus_move(struct bus *bus, struct region *region, uint64_t base);
/* The region that answers at `address`, or NULL. */
struct region *bus_find(const struct bus *bus, uint64_t address);
/* `size` is 1, 2, 4 or 8; reads of nothing give all ones. */
uint64_t bus_read(struct bus *bus, uint64_t address, unsigned size);
void bus_write(struct bus *bus, uint64_t address, unsigned size, uint64_t value);

#endif
