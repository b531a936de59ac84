/* The 256 words that IDENTIFY DEVICE gives about a disk (ATA/ATAPI-6 §8.15). */
#include "hw/ide_priv.h"

enum { MULTIPLE_MAX = 16, IDENTIFY_BYTES = 512 };

static void store_word(uint8_t *words, unsigned word, unsigned value)
{
    store_le16(words + 2 * word, (uint16_t)value);
}

static void store_geometry(const struct ide_drive *drive, uint8_t *words, uint64_t sectors)
{
    const struct ide_drive_state *state = &drive->state;
    struct blockdev_geometry geometry = blockdev_geometry(sectors);
    uint32_t capacity =
        (uint32_t)state->geometry_cylinders * state->geometry_heads * state->geometry_sectors;
    store_word(words, 1, geometry.cylinders);
    store_word(words, 3, geometry.heads);
    store_word(words, 6, geometry.sectors);
    store_word(words, 54, state->geometry_cylinders);
    store_word(words, 55, state->geometry_heads);
    store_word(words, 56, state->geometry_sectors);
    store_le32(words + 2 * 57, capacity);
    store_le32(words + 2 * 60, sectors < 0x0fffffff ? (uint32_t)sectors : 0x0fffffff);
    store_le64(words + 2 * 100, sectors);
}

static void store_features(const struct ide_drive *drive, uint8_t *words)
{
    enum {
        WRITE_CACHE = 1 << 5, /* words 82, 85 */
        LOOK_AHEAD = 1 << 6,
        POWER_MANAGEMENT = 1 << 3,
        FLUSH_EXTENDED = 1 << 13, /* words 83, 86 */
        FLUSH = 1 << 12,
        LBA48 = 1 << 10,
        VALID = 1 << 14, /* of words 83, 84, 87 */
    };
    const struct ide_drive_state *state = &drive->state;
    store_word(words, 80, 0x007e); /* ATA-1 to ATA/ATAPI-6 */
    store_word(words, 82, POWER_MANAGEMENT | WRITE_CACHE | LOOK_AHEAD);
    store_word(words, 83, VALID | FLUSH_EXTENDED | FLUSH | LBA48);
    store_word(words, 84, VALID);
    store_word(words, 85,
               POWER_MANAGEMENT | (state->write_cache ? WRITE_CACHE : 0) |
                   (state->read_look_ahead ? LOOK_AHEAD : 0));
    store_word(words, 86, FLUSH_EXTENDED | FLUSH | LBA48);
    store_word(words, 87, VALID);
}

void ata_identify(struct ide_drive *drive, uint8_t *words)
{
    const struct ide_drive_state *state = &drive->state;
    bool is_second = drive == &drive->channel->drives[1];
    memset(words, 0, IDENTIFY_BYTES);
    store_word(words, 0, 0x0040); /* fixed device */
    store_word(words, 4, 512 * 63);
    store_word(words, 5, 512);
    ide_identify_text(words, 10, 10, drive->serial);
    store_word(words, 20, 3); /* a dual-ported buffer with read cache */
    store_word(words, 21, IDE_BUFFER_BYTES / 512);
    ide_identify_text(words, 23, 4, "1.0");
    ide_identify_text(words, 27, 20, drive->class->model);
    store_word(words, 47, 0x8000 | MULTIPLE_MAX);
    store_word(words, 48, 1);      /* 32-bit I/O to the data register */
    store_word(words, 49, 0x0f00); /* IORDY, IORDY may be disabled, LBA, DMA */
    store_word(words, 50, 0x4000);
    store_word(words, 51, 0x0200); /* PIO mode 2 */
    store_word(words, 52, 0x0200);
    store_word(words, 59, state->multiple ? 0x0100 | state->multiple : 0);
    ide_identify_modes(drive, words);
    store_geometry(drive, words, blockdev_sectors(drive->medium));
    store_features(drive, words);
    /* Reset result: jumpers gave the number, diagnostics passed, 80-conductor cable. */
    store_word(words, 93, is_second ? 0x6b00 : 0x600b);
    /* Integrity word: A5h and a checksum that makes all 512 bytes sum to 0. */
    uint8_t sum = 0xa5;
    for (unsigned i = 0; i < IDENTIFY_BYTES - 2; i++)
        sum += words[i];
    words[IDENTIFY_BYTES - 2] = 0xa5;
    words[IDENTIFY_BYTES - 1] = (uint8_t)-sum;
}
