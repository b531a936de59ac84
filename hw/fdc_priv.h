/* What the files of the floppy controller share. */
#ifndef HW_FDC_PRIV_H
#define HW_FDC_PRIV_H

#include "hw/fdc.h"

enum fdc_phase {
    FDC_IDLE,    /* waits for a command, or its parameters */
    FDC_BUSY,    /* the timer ends the wait before a command acts */
    FDC_TO_HOST, /* data phases */
    FDC_FROM_HOST,
    FDC_RESULT,
    FDC_RESET, /* DOR holds the controller in reset */
    FDC_PHASES,
};

enum fdc_register_bits {
    DOR_NOT_RESET = 0x04,
    DOR_DMA_GATE = 0x08,
    DSR_RESET = 0x80,
    MSR_REQUEST = 0x80,
    MSR_TO_HOST = 0x40,
    MSR_NON_DMA = 0x20,
    MSR_BUSY = 0x10,
    DIR_CHANGED = 0x80,
    SPECIFY_NON_DMA = 0x01,
};

enum fdc_status_bits {
    ST0_ABNORMAL = 0x40,
    ST0_INVALID = 0x80,
    ST0_READY_CHANGED = 0xc0,
    ST0_SEEK_END = 0x20,
    ST0_EQUIPMENT = 0x10,
    ST0_HEAD = 0x04,
    ST1_END_OF_CYLINDER = 0x80,
    ST1_DATA_ERROR = 0x20,
    ST1_NO_DATA = 0x04,
    ST1_NOT_WRITABLE = 0x02,
    ST1_MISSING_MARK = 0x01,
    ST2_CONTROL_MARK = 0x40,
    ST2_DATA_ERROR = 0x20,
    ST2_WRONG_CYLINDER = 0x10,
    ST2_SCAN_EQUAL = 0x08,
    ST2_SCAN_NOT_SATISFIED = 0x04,
    ST3_WRITE_PROTECTED = 0x40,
    ST3_READY = 0x20,
    ST3_TRACK_0 = 0x10,
    ST3_TWO_SIDED = 0x08,
};

enum fdc_command_bits {
    COMMAND_MULTITRACK = 0x80,
    COMMAND_MFM = 0x40,
    COMMAND_CODE = 0x1f,
    CONFIGURE_IMPLIED_SEEK = 0x40, /* of its second parameter */
    CONFIGURE_NO_POLLING = 0x10,
};

enum { FDC_DMA_CHANNEL = 2, FDC_UNITS = 4 };

enum fdc_codes {
    CODE_READ_TRACK = 0x02,
    CODE_WRITE = 0x05,
    CODE_READ = 0x06,
    CODE_WRITE_DELETED = 0x09,
    CODE_READ_ID = 0x0a,
    CODE_READ_DELETED = 0x0c,
    CODE_FORMAT = 0x0d,
    CODE_SCAN_EQUAL = 0x11,
    CODE_VERIFY = 0x16,
    CODE_SCAN_LOW_OR_EQUAL = 0x19,
    CODE_SCAN_HIGH_OR_EQUAL = 0x1d,
};

/* The drive with `number` 0..3, or NULL. */
static inline struct fdc_drive *fdc_drive_at(struct fdc *fdc, unsigned number)
{
    return number < FDC_DRIVES && fdc->drives[number].present ? &fdc->drives[number] : NULL;
}

static inline bool fdc_uses_dma(const struct fdc_state *state)
{
    return !(state->specify[1] & SPECIFY_NON_DMA);
}

/* fdc.c */
void fdc_set_irq(struct fdc *fdc, int level);
/* Goes to the result phase with the first `length` bytes of state.result. */
void fdc_result(struct fdc *fdc, unsigned length, bool interrupt);
void fdc_idle(struct fdc *fdc);
/* Waits `delay_ns` of virtual time before the command in the FIFO acts. */
void fdc_wait(struct fdc *fdc, int64_t delay_ns);
void fdc_arm(struct fdc *fdc);

/* fdc_commands.c */
/* How many bytes the command that begins with `code` has. */
unsigned fdc_command_length(uint8_t code);
/* Executes the whole command in the FIFO. */
void fdc_execute(struct fdc *fdc);
/* The wait of the command in the FIFO is over. */
void fdc_wait_over(struct fdc *fdc);
void fdc_seek_over(struct fdc *fdc, unsigned drive);
void fdc_step_to(struct fdc *fdc, unsigned drive, unsigned cylinder);

/* fdc_transfer.c */
void fdc_transfer_begin(struct fdc *fdc);
/* Moves what DMA will take or give now. */
void fdc_transfer_pump(void *fdc);
uint8_t fdc_transfer_read_byte(struct fdc *fdc);
void fdc_transfer_write_byte(struct fdc *fdc, uint8_t value);
/* Ends the transfer with its seven result bytes. */
void fdc_transfer_end(struct fdc *fdc, uint8_t status0);

/* fdc_media.c */
bool fdc_rate_fits(const struct fdc *fdc, const struct fdc_drive *drive);
/* Reads or writes one sector inside the drive's format; false: the host failed. */
bool fdc_read_sector(struct fdc_drive *drive, unsigned cylinder, unsigned side, unsigned number,
                     uint8_t *to);
bool fdc_write_sector(struct fdc_drive *drive, unsigned cylinder, unsigned side, unsigned number,
                      const uint8_t *from);

#endif
