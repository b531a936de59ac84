/* base/bus: which region sees an access, in which pieces, against a model that goes byte by byte.
 */
#include "base/bus.h"

#include "base/bits.h"

#include <criterion/criterion.h>
#include <stdlib.h>

enum { SPACE = 256, REGIONS = 12 };

struct box {
    struct region region;
    uint8_t bytes[SPACE];
    unsigned smallest, largest, misaligned;
};

static void note(struct box *box, uint64_t offset, unsigned size)
{
    box->smallest = size < box->smallest ? size : box->smallest;
    box->largest = size > box->largest ? size : box->largest;
    box->misaligned += (offset & (size - 1)) != 0;
}

static uint64_t box_read(void *opaque, uint64_t offset, unsigned size)
{
    struct box *box = opaque;
    uint64_t value = 0;
    note(box, offset, size);
    cr_assert_leq(offset + size, SPACE);
    memcpy(&value, box->bytes + offset, size);
    return value | (size < 8 ? ~UINT64_C(0) << 8 * size : 0); /* rubbish above, to be cut off */
}

static void box_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    struct box *box = opaque;
    note(box, offset, size);
    cr_assert_leq(offset + size, SPACE);
    cr_assert(size == 8 || value >> 8 * size == 0, "value has bits beyond its size");
    memcpy(box->bytes + offset, &value, size);
}

static struct box boxes[REGIONS];

/* Which box is seen at `address`: the highest priority, of equals the newest (highest index, since
 * boxes are added in order). */
static struct box *seen_at(const bool *present, unsigned address)
{
    struct box *seen = NULL;
    for (unsigned i = 0; i < REGIONS; i++) {
        const struct region *region = &boxes[i].region;
        if (!present[i] || address < region->base || address >= region->base + region->length)
            continue;
        if (!seen || region->priority >= seen->region.priority)
            seen = &boxes[i];
    }
    return seen;
}

static void make_box(struct box *box, unsigned *seed)
{
    unsigned least = rand_r(seed) % 4, most = least + rand_r(seed) % (4 - least);
    /* Whole units, so that widening stays within the box's bytes. */
    *box = (struct box){.smallest = 8};
    box->region = (struct region){
        .name = "box",
        .base = rand_r(seed) % 24 * 8,
        .length = (1 + rand_r(seed) % 8) * 8,
        .read = box_read,
        .write = box_write,
        .min_size = (uint8_t)(1 << least),
        .max_size = (uint8_t)(1 << most),
        .unaligned = rand_r(seed) % 4 == 0,
        .priority = (int8_t)(rand_r(seed) % 3 - 1),
        .opaque = box,
    };
    for (unsigned i = 0; i < SPACE; i++)
        box->bytes[i] = (uint8_t)rand_r(seed);
}

static void check_access(struct bus *bus, const bool *present, unsigned *seed)
{
    unsigned size = 1u << rand_r(seed) % 4, address = rand_r(seed) % (SPACE - size);
    uint64_t expected = 0, value = (uint64_t)rand_r(seed) << 33 ^ (uint64_t)rand_r(seed) << 9;
    for (unsigned i = 0; i < size; i++) {
        struct box *box = seen_at(present, address + i);
        uint64_t byte = box ? box->bytes[address + i - box->region.base] : 0xff;
        expected |= byte << 8 * i;
    }
    cr_assert_eq(bus_read(bus, address, size), expected, "read of %u at %u", size, address);
    bus_write(bus, address, size, value);
    for (unsigned i = 0; i < size; i++) {
        struct box *box = seen_at(present, address + i);
        if (box)
            cr_assert_eq(box->bytes[address + i - box->region.base], (uint8_t)(value >> 8 * i),
                         "write of %u at %u, byte %u", size, address, i);
    }
    struct box *box = seen_at(present, address);
    cr_assert_eq(bus_find(bus, address), box ? &box->region : NULL);
}

Test(bus, random_maps_agree_with_a_byte_model)
{
    unsigned seed = 1;
    for (unsigned round = 0; round < 300; round++) {
        struct bus bus;
        bool present[REGIONS] = {0};
        bus_init(&bus, "test", SPACE - 1);
        for (unsigned i = 0; i < REGIONS; i++) {
            make_box(&boxes[i], &seed);
            bus_add(&bus, &boxes[i].region);
            present[i] = true;
        }
        for (unsigned step = 0; step < 200; step++) {
            unsigned i = rand_r(&seed) % REGIONS;
            if (step % 20 == 10) {
                bus_remove(&bus, &boxes[i].region);
                present[i] = false;
            }
            check_access(&bus, present, &seed);
        }
        for (unsigned i = 0; i < REGIONS; i++) {
            const struct box *box = &boxes[i];
            if (!box->largest)
                continue;
            cr_assert_geq(box->smallest, box->region.min_size);
            cr_assert_leq(box->largest, box->region.max_size);
            cr_assert(box->region.unaligned || !box->misaligned);
        }
        bus_free(&bus);
    }
}

Test(bus, moved_regions_answer_at_their_new_place_only)
{
    struct bus bus;
    unsigned seed = 2;
    bus_init(&bus, "test", SPACE - 1);
    make_box(&boxes[0], &seed);
    boxes[0].region.length = 8;
    bus_move(&bus, &boxes[0].region, 0x20); /* not on the bus yet */
    cr_assert_eq(bus_find(&bus, 0x27), &boxes[0].region);
    bus_move(&bus, &boxes[0].region, 0x80);
    cr_assert_null(bus_find(&bus, 0x20));
    cr_assert_eq(bus_find(&bus, 0x80), &boxes[0].region);
    cr_assert_eq(bus_read(&bus, 0x20, 4), 0xffffffff);
    bus_remove(&bus, &boxes[0].region);
    bus_remove(&bus, &boxes[0].region);
    cr_assert_null(bus_find(&bus, 0x80));
    bus_free(&bus);
}

Test(bus, accesses_at_the_end_of_the_space_do_not_wrap)
{
    struct bus bus;
    unsigned seed = 3;
    bus_init(&bus, "test", 0xffff);
    make_box(&boxes[0], &seed);
    boxes[0].region.base = 0;
    boxes[0].region.min_size = boxes[0].region.max_size = 1;
    bus_add(&bus, &boxes[0].region);
    make_box(&boxes[1], &seed);
    boxes[1].region.base = 0xfff8;
    boxes[1].region.length = 64; /* reaches beyond the limit */
    boxes[1].region.min_size = boxes[1].region.max_size = 1;
    bus_add(&bus, &boxes[1].region);
    uint64_t low = boxes[1].bytes[6] | boxes[1].bytes[7] << 8;
    cr_assert_eq(bus_read(&bus, 0xfffe, 4), 0xffff0000 | low);
    bus_write(&bus, 0xfffe, 4, 0x12345678);
    cr_assert_eq(boxes[1].bytes[7], 0x56);
    cr_assert_neq(boxes[0].bytes[0], 0x34);
    bus_free(&bus);
}

Test(bus, a_region_may_leave_while_it_is_written)
{
    struct bus bus;
    bus_init(&bus, "test", SPACE - 1);
    struct region region = {.name = "no callbacks", .base = 8, .length = 8};
    bus_add(&bus, &region);
    cr_assert_eq(bus_read(&bus, 8, 2), 0xffff);
    bus_write(&bus, 8, 2, 0);
    cr_assert_eq(bus_read(&bus, 6, 8), ~UINT64_C(0));
    bus_free(&bus);
}
