/* The packets that tell about the disc: capacity, tables of contents, track and disc information,
 * DVD structures, sub-channel; and sense data.
 *
 * Each answer is made in the drive's buffer and sent with atapi_reply(), which cuts it to what the
 * host has room for.
 * Sources: MMC-3 §6; SPC-2 §7.
 */
#include "hw/atapi_priv.h"

enum {
    DATA_TRACK = 0x14, /* ADR 1, control 4: a data track */
    LEAD_OUT = 0xaa,
    NO_AUDIO_STATUS = 0x15,
};

/* The buffer, its first `length` bytes zeroed. */
static uint8_t *blank(struct ide_drive *drive, uint32_t length)
{
    memset(drive->state.buffer, 0, length);
    return drive->state.buffer;
}

static void store_address(uint8_t *to, uint32_t lba, bool msf)
{
    to[0] = 0;
    if (msf)
        cd_address(to + 1, lba);
    else
        store_be32(to, lba);
}

void atapi_request_sense(struct ide_drive *drive)
{
    enum { CURRENT_ERROR = 0x70, LENGTH = 18 };
    struct ide_drive_state *state = &drive->state;
    uint8_t *answer = blank(drive, LENGTH);
    if (!state->sense_key && state->attention_code) {
        state->sense_key = SENSE_UNIT_ATTENTION;
        state->sense_code = state->attention_code;
        state->sense_qualifier = state->attention_qualifier;
        state->attention_code = state->attention_qualifier = 0;
    }
    answer[0] = CURRENT_ERROR;
    answer[2] = state->sense_key;
    answer[7] = LENGTH - 8;
    answer[12] = state->sense_code;
    answer[13] = state->sense_qualifier;
    state->sense_key = state->sense_code = state->sense_qualifier = 0;
    atapi_reply(drive, LENGTH, state->packet[4]);
}

void atapi_read_capacity(struct ide_drive *drive)
{
    uint8_t *answer = blank(drive, 8);
    store_be32(answer, atapi_sectors(drive) - 1);
    store_be32(answer + 4, CD_SECTOR_BYTES);
    atapi_reply(drive, 8, 8);
}

/* Format 0: the tracks from `first` on, and the lead-out. */
static uint32_t build_toc(const struct ide_drive *drive, uint8_t *answer, uint8_t first, bool msf)
{
    uint32_t at = 4;
    if (first <= 1) {
        answer[at + 1] = DATA_TRACK;
        answer[at + 2] = 1;
        store_address(answer + at + 4, 0, msf);
        at += 8;
    }
    answer[at + 1] = DATA_TRACK;
    answer[at + 2] = LEAD_OUT;
    store_address(answer + at + 4, atapi_sectors(drive), msf);
    return at + 8;
}

/* Format 1: the only session begins with track 1. */
static uint32_t build_session(uint8_t *answer, bool msf)
{
    answer[5] = DATA_TRACK;
    answer[6] = 1;
    store_address(answer + 8, 0, msf);
    return 12;
}

/* Format 2: the lead-in's own entries. */
static uint32_t build_full_toc(const struct ide_drive *drive, uint8_t *answer)
{
    static const uint8_t points[] = {0xa0, 0xa1, 0xa2, 1};
    uint32_t at = 4;
    for (unsigned i = 0; i < sizeof points; i++, at += 11) {
        uint8_t *entry = answer + at;
        entry[0] = 1; /* session */
        entry[1] = DATA_TRACK;
        entry[3] = points[i];
        if (points[i] == 0xa2)
            cd_address(entry + 8, atapi_sectors(drive));
        else if (points[i] == 1)
            cd_address(entry + 8, 0);
        else
            entry[8] = 1; /* first, last track */
    }
    return at;
}

void atapi_read_toc(struct ide_drive *drive)
{
    enum { LENGTH_MAX = 4 + 4 * 11 };
    const uint8_t *packet = drive->state.packet;
    bool msf = packet[1] & 2;
    unsigned format = packet[2] & 15;
    uint8_t first = packet[6];
    if (!format) /* where SFF-8020 had it */
        format = packet[9] >> 6;
    if (format > 2 || (!format && first > 1 && first != LEAD_OUT)) {
        atapi_fail(drive, SENSE_ILLEGAL_REQUEST, SENSE_FIELD_IN_PACKET);
        return;
    }
    uint8_t *answer = blank(drive, LENGTH_MAX);
    uint32_t length = format == 0   ? build_toc(drive, answer, first, msf)
                      : format == 1 ? build_session(answer, msf)
                                    : build_full_toc(drive, answer);
    store_be16(answer, length - 2);
    answer[2] = answer[3] = 1; /* first and last track or session */
    atapi_reply(drive, length, load_be16(packet + 7));
}

void atapi_read_subchannel(struct ide_drive *drive)
{
    enum { SUB_Q = 0x40, POSITION = 1, CATALOG = 2, ISRC = 3 };
    const uint8_t *packet = drive->state.packet;
    uint8_t *answer = blank(drive, 24);
    uint32_t length = 4;
    answer[1] = NO_AUDIO_STATUS;
    if (packet[2] & SUB_Q) {
        unsigned format = packet[3];
        if (format < POSITION || format > ISRC) {
            atapi_fail(drive, SENSE_ILLEGAL_REQUEST, SENSE_FIELD_IN_PACKET);
            return;
        }
        answer[4] = (uint8_t)format;
        length = format == POSITION ? 16 : 24;
        if (format == POSITION) {
            bool msf = packet[1] & 2;
            answer[5] = DATA_TRACK;
            answer[6] = answer[7] = 1; /* track, index */
            store_address(answer + 8, 0, msf);
            store_address(answer + 12, 0, msf);
        }
    }
    store_be16(answer + 2, length - 4);
    atapi_reply(drive, length, load_be16(packet + 7));
}

void atapi_read_header(struct ide_drive *drive)
{
    const uint8_t *packet = drive->state.packet;
    uint32_t lba = load_be32(packet + 2);
    if (lba >= atapi_sectors(drive)) {
        atapi_fail(drive, SENSE_ILLEGAL_REQUEST, SENSE_NO_SUCH_SECTOR);
        return;
    }
    uint8_t *answer = blank(drive, 8);
    answer[0] = 1; /* mode */
    store_address(answer + 4, lba, packet[1] & 2);
    atapi_reply(drive, 8, load_be16(packet + 7));
}

void atapi_read_disc_information(struct ide_drive *drive)
{
    enum { LENGTH = 34, COMPLETE_DISC_AND_SESSION = 0x0e, UNRESTRICTED = 0x20 };
    uint8_t *answer = blank(drive, LENGTH);
    if (drive->state.packet[1] & 7) {
        atapi_fail(drive, SENSE_ILLEGAL_REQUEST, SENSE_FIELD_IN_PACKET);
        return;
    }
    store_be16(answer, LENGTH - 2);
    answer[2] = COMPLETE_DISC_AND_SESSION;
    answer[3] = 1; /* first track */
    answer[4] = 1; /* sessions */
    answer[5] = 1; /* first and last track of the last session */
    answer[6] = 1;
    answer[7] = UNRESTRICTED;
    memset(answer + 16, 0xff, 8); /* no further lead-in and lead-out */
    atapi_reply(drive, LENGTH, load_be16(drive->state.packet + 7));
}

void atapi_read_track_information(struct ide_drive *drive)
{
    enum { LENGTH = 36, BY_ADDRESS = 0, BY_TRACK = 1, BY_SESSION = 2, MODE_DATA = 4 };
    const uint8_t *packet = drive->state.packet;
    uint32_t which = load_be32(packet + 2);
    unsigned kind = packet[1] & 3;
    bool exists = kind == BY_ADDRESS ? which < atapi_sectors(drive) : which == 1;
    if (kind > BY_SESSION || !exists) {
        atapi_fail(drive, SENSE_ILLEGAL_REQUEST, SENSE_FIELD_IN_PACKET);
        return;
    }
    uint8_t *answer = blank(drive, LENGTH);
    store_be16(answer, LENGTH - 2);
    answer[2] = 1; /* track */
    answer[3] = 1; /* session */
    answer[5] = MODE_DATA;
    answer[6] = 1; /* data mode */
    store_be32(answer + 24, atapi_sectors(drive));
    atapi_reply(drive, LENGTH, load_be16(packet + 7));
}

void atapi_read_dvd_structure(struct ide_drive *drive)
{
    enum { PHYSICAL = 0, COPYRIGHT = 1, PHYSICAL_BYTES = 4 + 2048, COPYRIGHT_BYTES = 8 };
    static const uint32_t first_sector = 0x30000;
    const uint8_t *packet = drive->state.packet;
    if (!atapi_is_dvd(drive)) {
        atapi_fail(drive, SENSE_ILLEGAL_REQUEST, SENSE_INCOMPATIBLE_MEDIUM);
        return;
    }
    if (packet[7] > COPYRIGHT || packet[6]) {
        atapi_fail(drive, SENSE_ILLEGAL_REQUEST, SENSE_FIELD_IN_PACKET);
        return;
    }
    uint32_t length = packet[7] == PHYSICAL ? PHYSICAL_BYTES : COPYRIGHT_BYTES;
    uint8_t *answer = blank(drive, length);
    store_be16(answer, length - 2);
    if (packet[7] == PHYSICAL) {
        answer[4] = 0x01; /* DVD-ROM, version 1 */
        answer[5] = 0x02; /* 120 mm, 10.08 Mbit/s */
        answer[6] = 0x01; /* one layer, embossed */
        store_be32(answer + 8, first_sector);
        store_be32(answer + 12, first_sector + atapi_sectors(drive) - 1);
    }
    atapi_reply(drive, length, load_be16(packet + 8));
}
