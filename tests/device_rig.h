/* A board without a processor, for register scripts: ports, memory, PCI, DMA, a clock that the test
 * turns, interrupt lines that count, and disk images with known contents.
 */
#ifndef TESTS_DEVICE_RIG_H
#define TESTS_DEVICE_RIG_H

#include "base/clock.h"
#include "hw/blockdev.h"
#include "hw/dma8237.h"
#include "hw/pci.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

enum { DEVICE_RIG_RAM_BYTES = 4 << 20, DEVICE_RIG_LINES = 16 };

struct device_rig {
    struct bus ports, memory;
    struct frames frames;
    struct physmem physmem;
    struct clock clock;
    int64_t now_ns;
    struct pci_bus pci;
    struct dma8237 dma;
    struct device_list devices;
    int level[DEVICE_RIG_LINES];
    unsigned edges[DEVICE_RIG_LINES]; /* rising */
};

static int64_t device_rig_time(void *opaque)
{
    return ((struct device_rig *)opaque)->now_ns;
}

static void device_rig_irq(void *opaque, int number, int level)
{
    struct device_rig *rig = opaque;
    if (level && !rig->level[number])
        rig->edges[number]++;
    rig->level[number] = level;
}

static inline struct irq_line device_rig_line(struct device_rig *rig, int number)
{
    return (struct irq_line){device_rig_irq, rig, number};
}

static inline void device_rig_init(struct device_rig *rig)
{
    struct error error;
    memset(rig, 0, sizeof *rig);
    bus_init(&rig->ports, "ports", 0xffff);
    bus_init(&rig->memory, "memory", UINT64_MAX);
    cr_assert_eq(frames_init(&rig->frames, DEVICE_RIG_RAM_BYTES, &error), 0);
    cr_assert_eq(
        physmem_init(&rig->physmem, &rig->frames, &rig->memory, DEVICE_RIG_RAM_BYTES, &error), 0);
    clock_init(&rig->clock);
    rig->clock.source = device_rig_time;
    rig->clock.source_opaque = rig;
    clock_start(&rig->clock);
    pci_bus_attach(&rig->pci, &rig->ports, &rig->memory, &rig->physmem);
    dma8237_attach(&rig->dma, &rig->ports, &rig->physmem);
    device_list_init(&rig->devices);
}

/* Registers PCI and DMA, then what the test has attached, and powers on. */
static inline void device_rig_register(struct device_rig *rig)
{
    pci_register(&rig->pci, &rig->devices);
    device_register(&rig->devices, &dma8237_class, &rig->dma);
}

static inline void device_rig_free(struct device_rig *rig)
{
    device_list_free(&rig->devices);
    physmem_free(&rig->physmem);
    frames_free(&rig->frames);
    clock_free(&rig->clock);
    bus_free(&rig->ports);
    bus_free(&rig->memory);
}

static inline void device_rig_pass(struct device_rig *rig, int64_t ns)
{
    rig->now_ns += ns;
    clock_run_due(&rig->clock);
}

static inline uint8_t inb(struct device_rig *rig, unsigned port)
{
    return (uint8_t)bus_read(&rig->ports, port, 1);
}
static inline uint16_t inw(struct device_rig *rig, unsigned port)
{
    return (uint16_t)bus_read(&rig->ports, port, 2);
}
static inline uint32_t inl(struct device_rig *rig, unsigned port)
{
    return (uint32_t)bus_read(&rig->ports, port, 4);
}
static inline void outb(struct device_rig *rig, unsigned port, uint8_t value)
{
    bus_write(&rig->ports, port, 1, value);
}
static inline void outw(struct device_rig *rig, unsigned port, uint16_t value)
{
    bus_write(&rig->ports, port, 2, value);
}
static inline void outl(struct device_rig *rig, unsigned port, uint32_t value)
{
    bus_write(&rig->ports, port, 4, value);
}

/* A small generator of the same numbers in each run (splitmix64). */
static inline uint64_t device_rig_random(uint64_t *seed)
{
    uint64_t value = *seed += 0x9e3779b97f4a7c15;
    value = (value ^ value >> 30) * 0xbf58476d1ce4e5b9;
    value = (value ^ value >> 27) * 0x94d049bb133111eb;
    return value ^ value >> 31;
}

/* The byte that an image from image_create() has at `offset`. */
static inline uint8_t image_byte(uint64_t offset)
{
    return (uint8_t)(offset * 31 + offset / 512 * 7 + 3);
}

/* Makes a file of `bytes` bytes with known contents and gives its path. */
static inline void image_create(char path[64], uint64_t bytes)
{
    strcpy(path, "/tmp/ring3-test-XXXXXX");
    int fd = mkstemp(path);
    cr_assert_geq(fd, 0);
    for (uint64_t at = 0; at < bytes;) {
        uint8_t block[4096];
        size_t length = bytes - at < sizeof block ? bytes - at : sizeof block;
        for (size_t i = 0; i < length; i++)
            block[i] = image_byte(at + i);
        cr_assert_eq(write(fd, block, length), (ssize_t)length);
        at += length;
    }
    close(fd);
}

static inline struct blockdev *image_open(const char *path, unsigned flags)
{
    struct error error;
    struct blockdev *image;
    cr_assert_eq(blockdev_open(&image, path, "raw", flags, &error), 0, "%s", error.text);
    return image;
}

/* A new image that is opened and has no name any more. */
static inline struct blockdev *image_temporary(uint64_t bytes, unsigned flags)
{
    char path[64];
    image_create(path, bytes);
    struct blockdev *image = image_open(path, flags);
    unlink(path);
    return image;
}

static inline bool image_matches(const uint8_t *bytes, uint64_t offset, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if (bytes[i] != image_byte(offset + i))
            return false;
    return true;
}

/* Reset twice gives what reset once gives, and a saved state loads into the same bytes. */
static inline void device_rig_check_save(struct device_rig *rig)
{
    struct save_buffer before = {0}, after = {0};
    struct error error;
    device_save_all(&rig->devices, &before);
    device_reset_all(&rig->devices, RESET_POWER_ON);
    cr_assert_eq(device_load_all(&rig->devices, &before, &error), 0, "%s", error.text);
    device_save_all(&rig->devices, &after);
    cr_assert_eq(before.length, after.length);
    cr_assert(!memcmp(before.bytes, after.bytes, before.length));
    save_buffer_free(&before);
    save_buffer_free(&after);
}

static inline void device_rig_check_reset(struct device_rig *rig)
{
    struct save_buffer once = {0}, twice = {0};
    device_reset_all(&rig->devices, RESET_POWER_ON);
    device_save_all(&rig->devices, &once);
    device_reset_all(&rig->devices, RESET_POWER_ON);
    device_save_all(&rig->devices, &twice);
    cr_assert_eq(once.length, twice.length);
    cr_assert(!memcmp(once.bytes, twice.bytes, once.length));
    save_buffer_free(&once);
    save_buffer_free(&twice);
}

#endif
