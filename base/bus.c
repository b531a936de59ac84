#include "base/bus.h"

#include "base/bits.h"
#include "base/error.h"

#include <stdlib.h>

struct bus_span {
    uint64_t first, last;  /* addresses, inclusive */
    struct region *region; /* NULL: nobody */
};

void bus_init(struct bus *bus, const char *name, uint64_t limit)
{
    *bus = (struct bus){.name = name, .limit = limit};
}

void bus_free(struct bus *bus)
{
    free(bus->regions);
    free(bus->spans);
    bus_init(bus, bus->name, bus->limit);
}

/* --- the flattened view */

static uint64_t region_last(const struct bus *bus, const struct region *region)
{
    uint64_t last = region->base + region->length - 1;
    return last < region->base || last > bus->limit ? bus->limit : last;
}

/* The region seen at `address`: the list is in order of precedence (INV-2). */
static struct region *region_seen(const struct bus *bus, uint64_t address)
{
    for (size_t i = 0; i < bus->count; i++)
        if (address >= bus->regions[i]->base && address <= region_last(bus, bus->regions[i]))
            return bus->regions[i];
    return NULL;
}

static int compare_addresses(const void *left, const void *right)
{
    uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;
    return (a > b) - (a < b);
}

static void *grown(void *array, size_t element_bytes, size_t needed, size_t *capacity)
{
    if (needed <= *capacity)
        return array;
    *capacity = 2 * needed;
    array = realloc(array, *capacity * element_bytes);
    BUG_ON(!array);
    return array;
}

static void append_span(struct bus *bus, uint64_t first, uint64_t last, struct region *region)
{
    struct bus_span *previous = bus->span_count ? &bus->spans[bus->span_count - 1] : NULL;
    if (previous && previous->region == region && previous->last + 1 == first) {
        previous->last = last;
        return;
    }
    bus->spans[bus->span_count++] = (struct bus_span){first, last, region};
}

/* Cuts the address space at every border of a region and asks who is seen in each piece. */
static void rebuild(struct bus *bus)
{
    uint64_t *borders = malloc((2 * bus->count + 1) * sizeof *borders);
    BUG_ON(!borders);
    size_t border_count = 0;
    borders[border_count++] = 0;
    for (size_t i = 0; i < bus->count; i++) {
        uint64_t last = region_last(bus, bus->regions[i]);
        borders[border_count++] = bus->regions[i]->base;
        if (last != bus->limit)
            borders[border_count++] = last + 1;
    }
    qsort(borders, border_count, sizeof *borders, compare_addresses);

    bus->spans = grown(bus->spans, sizeof *bus->spans, border_count, &bus->span_capacity);
    bus->span_count = 0;
    for (size_t i = 0; i < border_count; i++) {
        uint64_t last = i + 1 < border_count ? borders[i + 1] - 1 : bus->limit;
        if (i + 1 < border_count && borders[i] == borders[i + 1])
            continue;
        append_span(bus, borders[i], last, region_seen(bus, borders[i]));
    }
    free(borders);
    memset(bus->recent, 0, sizeof bus->recent);
}

static bool list_take_out(struct bus *bus, const struct region *region)
{
    for (size_t i = 0; i < bus->count; i++) {
        if (bus->regions[i] != region)
            continue;
        memmove(&bus->regions[i], &bus->regions[i + 1],
                (bus->count - i - 1) * sizeof *bus->regions);
        bus->count--;
        return true;
    }
    return false;
}

static void list_put_in(struct bus *bus, struct region *region)
{
    bus->regions = grown(bus->regions, sizeof *bus->regions, bus->count + 1, &bus->capacity);
    size_t at = 0;
    while (at < bus->count && bus->regions[at]->priority > region->priority)
        at++;
    memmove(&bus->regions[at + 1], &bus->regions[at], (bus->count - at) * sizeof *bus->regions);
    bus->regions[at] = region;
    bus->count++;
}

void bus_add(struct bus *bus, struct region *region)
{
    list_take_out(bus, region);
    if (region->length && region->base <= bus->limit)
        list_put_in(bus, region);
    rebuild(bus);
}

void bus_remove(struct bus *bus, struct region *region)
{
    if (list_take_out(bus, region))
        rebuild(bus);
}

void bus_move(struct bus *bus, struct region *region, uint64_t base)
{
    list_take_out(bus, region);
    region->base = base;
    bus_add(bus, region);
}

static const struct bus_span *span_search(const struct bus *bus, uint64_t address)
{
    size_t low = 0, high = bus->span_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct bus_span *span = &bus->spans[middle];
        if (address < span->first)
            high = middle;
        else if (address > span->last)
            low = middle + 1;
        else
            return span;
    }
    return NULL;
}

struct region *bus_find(const struct bus *bus, uint64_t address)
{
    const struct bus_span *span = span_search(bus, address);
    return span ? span->region : NULL;
}

/* WHY: drivers come back to the same few registers. */
static const struct bus_span *span_find(struct bus *bus, uint64_t address)
{
    const struct bus_span **recent = &bus->recent[address % BUS_RECENT];
    if (unlikely(!*recent || address < (*recent)->first || address > (*recent)->last))
        *recent = span_search(bus, address);
    return *recent;
}

/* --- one access within one region */

static uint64_t low_bytes(uint64_t value, unsigned size)
{
    return value & (~UINT64_C(0) >> (64 - 8 * size));
}

static uint64_t region_read(const struct region *region, uint64_t offset, unsigned size)
{
    return region->read ? low_bytes(region->read(region->opaque, offset, size), size)
                        : low_bytes(~UINT64_C(0), size);
}

static void region_write(const struct region *region, uint64_t offset, unsigned size,
                         uint64_t value)
{
    if (region->write)
        region->write(region->opaque, offset, size, low_bytes(value, size));
}

/* A part of an access in a size that the region takes (INV-1): `size` bytes at `offset`, of which
 * the access means `used` bytes from `skip` on. */
struct piece {
    uint64_t offset;
    unsigned size, skip, used;
};

static struct piece next_piece(const struct region *region, uint64_t offset, unsigned left)
{
    unsigned least = region->min_size ? region->min_size : 1;
    unsigned size = region->max_size ? region->max_size : 4;
    while (size > left || (!region->unaligned && offset & (size - 1)))
        size /= 2;
    if (size >= least)
        return (struct piece){.offset = offset, .size = size, .used = size};
    unsigned skip = offset & (least - 1);
    return (struct piece){.offset = offset - skip,
                          .size = least,
                          .skip = skip,
                          .used = left < least - skip ? left : least - skip};
}

/* WHY: nearly every access is one piece. */
static bool is_one_piece(const struct region *region, uint64_t offset, unsigned length)
{
    return length >= region->min_size && length <= (region->max_size ? region->max_size : 4) &&
           (length & (length - 1)) == 0 && (region->unaligned || !(offset & (length - 1)));
}

static uint64_t pieces_read(const struct region *region, uint64_t offset, unsigned length)
{
    uint64_t value = 0;
    if (likely(is_one_piece(region, offset, length)))
        return region_read(region, offset, length);
    for (unsigned done = 0; done < length;) {
        struct piece piece = next_piece(region, offset + done, length - done);
        uint64_t part = region_read(region, piece.offset, piece.size) >> 8 * piece.skip;
        value |= low_bytes(part, piece.used) << 8 * done;
        done += piece.used;
    }
    return value;
}

static void pieces_write(const struct region *region, uint64_t offset, unsigned length,
                         uint64_t value)
{
    if (likely(is_one_piece(region, offset, length))) {
        region_write(region, offset, length, value);
        return;
    }
    for (unsigned done = 0; done < length;) {
        struct piece piece = next_piece(region, offset + done, length - done);
        uint64_t part = low_bytes(value >> 8 * done, piece.used);
        if (piece.used != piece.size) {
            uint64_t hole = low_bytes(~UINT64_C(0), piece.used) << 8 * piece.skip;
            part = (region_read(region, piece.offset, piece.size) & ~hole) | part << 8 * piece.skip;
        }
        region_write(region, piece.offset, piece.size, part);
        done += piece.used;
    }
}

/* --- one access on the bus */

/* How many of `left` bytes at `address` belong together: to `*region`, or (NULL) to nobody. */
static unsigned run_length(struct bus *bus, uint64_t address, unsigned left, struct region **region)
{
    const struct bus_span *span = address <= bus->limit ? span_find(bus, address) : NULL;
    *region = span ? span->region : NULL;
    if (!span)
        return 1;
    uint64_t room = span->last - address;
    return room < left - 1 ? (unsigned)room + 1 : left;
}

uint64_t bus_read(struct bus *bus, uint64_t address, unsigned size)
{
    uint64_t value = 0;
    for (unsigned done = 0; done < size;) {
        struct region *region;
        uint64_t at = address + done;
        unsigned run = run_length(bus, at, size - done, &region);
        uint64_t part =
            region ? pieces_read(region, at - region->base, run) : low_bytes(~UINT64_C(0), run);
        value |= part << 8 * done;
        done += run;
    }
    return value;
}

void bus_write(struct bus *bus, uint64_t address, unsigned size, uint64_t value)
{
    for (unsigned done = 0; done < size;) {
        struct region *region;
        uint64_t at = address + done;
        unsigned run = run_length(bus, at, size - done, &region);
        /* WHY: a write may move or remove regions, so each part looks its region up anew. */
        if (region)
            pieces_write(region, at - region->base, run, value >> 8 * done);
        done += run;
    }
}
