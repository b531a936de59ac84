/* Two 8237A DMA controllers with their page registers.
 *
 * A device asks with dma8237_request() and moves its bytes with dma8237_write_memory() or
 * dma8237_read_memory() when the channel is ready; DMA never reaches device registers.
 * LIMIT: memory-to-memory transfers and cascaded bus masters are not modelled.
 * Source: Intel 8237A datasheet; 82371SB §2.5.
 */
#ifndef HW_DMA8237_H
#define HW_DMA8237_H

#include "base/bus.h"
#include "hw/device.h"
#include "softmmu/physmem.h"

enum { DMA_CHANNELS = 8, DMA_CHIPS = 2 };

struct dma8237_state {
    uint16_t base_address[DMA_CHANNELS], base_count[DMA_CHANNELS];
    uint16_t address[DMA_CHANNELS], count[DMA_CHANNELS];
    uint8_t mode[DMA_CHANNELS];
    uint8_t page[16];            /* ports 80h..8Fh as written */
    uint8_t mask[DMA_CHIPS];     /* bit n: channel n is masked */
    uint8_t software[DMA_CHIPS]; /* request register */
    uint8_t terminal[DMA_CHIPS]; /* status: terminal count reached */
    uint8_t command[DMA_CHIPS];
    uint8_t temporary[DMA_CHIPS];
    uint8_t high_byte[DMA_CHIPS]; /* the first/last flip-flop */
    uint8_t requests;             /* DREQ lines */
    uint8_t pad[3];
};

struct dma8237 {
    struct dma8237_state state;
    struct physmem *physmem;
    struct {
        void (*ready)(void *opaque); /* a requesting channel became ready */
        void *opaque;
    } devices[DMA_CHANNELS];
    struct region chips[DMA_CHIPS], pages;
};

/* Ports 00h..0Fh, 80h..8Fh (80h takes the firmware's POST codes), C0h..DFh. */
void dma8237_attach(struct dma8237 *dma, struct bus *ports, struct physmem *physmem);
/* `ready` is called when channel `channel` (0..7) becomes ready while the device requests. */
void dma8237_connect(struct dma8237 *dma, unsigned channel, void (*ready)(void *opaque),
                     void *opaque);
/* Drives DREQ; true: the channel is ready now (not masked, controller enabled). */
bool dma8237_request(struct dma8237 *dma, unsigned channel, int level);
/* Moves up to `length` bytes from the device to memory (from memory to the device) as the channel
 * is programmed; fewer when it is not ready, has another direction, or reaches its terminal count,
 * which sets *terminal (may be NULL).  A verify transfer moves nothing but counts. */
size_t dma8237_write_memory(struct dma8237 *dma, unsigned channel, const void *from, size_t length,
                            bool *terminal);
size_t dma8237_read_memory(struct dma8237 *dma, unsigned channel, void *to, size_t length,
                           bool *terminal);
extern const struct device_class dma8237_class;

#endif
