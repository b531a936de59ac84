/* What the files of the IDE controller share: register bits, and what a kind of drive must offer.
 */
#ifndef HW_IDE_PRIV_H
#define HW_IDE_PRIV_H

#include "hw/ide.h"

enum ide_status_bits {
    STATUS_ERROR = 0x01,
    STATUS_DATA_REQUEST = 0x08,
    STATUS_SEEK_COMPLETE = 0x10,
    STATUS_FAULT = 0x20,
    STATUS_READY = 0x40,
    STATUS_BUSY = 0x80,
};

enum ide_error_bits {
    ERROR_ABORTED = 0x04,
    ERROR_NOT_FOUND = 0x10, /* IDNF: no such sector */
    ERROR_UNCORRECTABLE = 0x40,
    ERROR_WRITE_PROTECT = 0x40,
    DIAGNOSTIC_PASSED = 0x01,
};

enum ide_device_bits { DEVICE_UNIT = 0x10, DEVICE_LBA = 0x40 };

enum ide_control_bits { CONTROL_NO_IRQ = 0x02, CONTROL_RESET = 0x04, CONTROL_HIGH_ORDER = 0x80 };

/* Interrupt reason of ATAPI, in the count register. */
enum ide_reason_bits { REASON_COMMAND = 0x01, REASON_TO_HOST = 0x02 };

enum ide_bus_master_bits {
    BM_START = 0x01,
    BM_TO_MEMORY = 0x08,
    BM_ACTIVE = 0x01,
    BM_ERROR = 0x02,
    BM_INTERRUPT = 0x04,
    BM_DRIVES_CAPABLE = 0x60,
};

/* Commands that both kinds of drive know (ATA/ATAPI-6 §8). */
enum ide_commands {
    COMMAND_DEVICE_RESET = 0x08,
    COMMAND_DIAGNOSTIC = 0x90,
    COMMAND_PACKET = 0xa0,
    COMMAND_SET_FEATURES = 0xef,
};

enum ide_step {
    STEP_DATA,   /* buffer_at..buffer_end is to be moved */
    STEP_DONE,   /* all data was moved */
    STEP_FAILED, /* the drive has posted an error */
};

struct ide_drive_class {
    const char *model;
    /* The signature and what else a reset of either kind leaves in the task file. */
    void (*reset)(struct ide_drive *drive);
    /* What power-on and the reset line do besides; NULL: nothing. */
    void (*power_on)(struct ide_drive *drive);
    /* Executes the command in state.command. */
    void (*execute)(struct ide_drive *drive);
    /* Executes the packet; NULL where there are no packets. */
    void (*packet)(struct ide_drive *drive);
    /* Called when the buffer is spent: read to its end, or filled by the host. */
    enum ide_step (*next)(struct ide_drive *drive);
    /* Prepares the task file for a PIO block that starts at buffer_at; returns its length. */
    uint32_t (*begin_block)(struct ide_drive *drive, bool to_host);
    /* All data of a command was moved; */
    void (*finish)(struct ide_drive *drive, enum ide_phase phase);
};

extern const struct ide_drive_class ata_class;
extern const struct ide_drive_class atapi_class;

/* The drive behind the guest's device register; its class is NULL when there is none. */
static inline struct ide_drive *ide_selected(struct ide_channel *channel)
{
    return &channel->drives[channel->state.selected];
}

/* ide.c */
void ide_update_irq(struct ide_channel *channel);

/* ide_drive.c */
extern const struct device_class ide_drive_device_class;
void ide_drive_init(struct ide_drive *drive, struct ide_channel *channel);
/* Posts the end of a command: idle, with an interrupt. */
void ide_complete(struct ide_drive *drive);
/* Ends a PIO read: idle, the last word told the host. */
void ide_end_quietly(struct ide_drive *drive);
/* Posts the end of a command with ERR and the given bits of the error register. */
void ide_fail(struct ide_drive *drive, uint8_t error);
void ide_abort(struct ide_drive *drive);
void ide_raise(struct ide_drive *drive);
/* Begins to move data; `phase` is IDE_DATA_IN, _OUT, IDE_DMA_IN or _OUT. */
void ide_start_transfer(struct ide_drive *drive, enum ide_phase phase);
/* Sets BSY until the timer goes on with `phase`. */
void ide_wait(struct ide_drive *drive, enum ide_phase phase);
/* Fires what is due, so that a guest that polls need not wait for the machine's loop. */
void ide_poll(struct ide_drive *drive);
void ide_write_command(struct ide_drive *drive, uint8_t command);
uint32_t ide_read_data(struct ide_drive *drive, unsigned size);
void ide_write_data(struct ide_drive *drive, unsigned size, uint32_t value);
void ide_hold_reset(struct ide_drive *drive);
void ide_release_reset(struct ide_drive *drive);
/* SET FEATURES 03h: whether the mode in the count register exists; keeps it. */
bool ide_set_transfer_mode(struct ide_drive *drive);
/* Writes `text` padded with blanks as IDENTIFY has it, bytes of each word exchanged. */
void ide_identify_text(uint8_t *words, unsigned first_word, unsigned word_count, const char *text);
/* Words 49..88 that say what transfer modes there are and which is chosen. */
void ide_identify_modes(const struct ide_drive *drive, uint8_t *words);

/* ide_dma.c */
void ide_dma_start(struct ide_channel *channel);
/* Moves what can be moved between the selected drive and memory. */
void ide_dma_run(struct ide_channel *channel);
uint64_t ide_bus_master_read(void *opaque, uint64_t offset, unsigned size);
void ide_bus_master_write(void *opaque, uint64_t offset, unsigned size, uint64_t value);

/* ata_identify.c */
void ata_identify(struct ide_drive *drive, uint8_t *words);

#endif
