/* The packets and pages that tell about the drive: INQUIRY, features, events, mode pages, IDENTIFY.
 *
 * Sources: MMC-3 §5 (features), §5.5 (mode pages), §6; SPC-2 §7.3; ATA/ATAPI-6 §8.16.
 */
#include "hw/atapi_priv.h"

enum { PROFILE_CD_ROM = 0x08, PROFILE_DVD_ROM = 0x10 };

enum mode_pages {
    PAGE_ERROR_RECOVERY = 0x01,
    PAGE_AUDIO = 0x0e,
    PAGE_CAPABILITIES = 0x2a,
    PAGE_ALL = 0x3f
};

enum { MODE_HEADER_BYTES = 8, CAPABILITIES_BYTES = 22 };

static void store_text(uint8_t *to, size_t length, const char *text)
{
    for (size_t i = 0; i < length; i++)
        to[i] = *text ? (uint8_t)*text++ : ' ';
}

void atapi_inquiry(struct ide_drive *drive)
{
    enum { LENGTH = 36, CD_DEVICE = 0x05, REMOVABLE = 0x80, ATAPI_RESPONSE = 0x21, VITAL = 1 };
    struct ide_drive_state *state = &drive->state;
    if ((state->packet[1] & VITAL) || state->packet[2]) {
        atapi_fail(drive, SENSE_ILLEGAL_REQUEST, SENSE_FIELD_IN_PACKET);
        return;
    }
    uint8_t *answer = state->buffer;
    memset(answer, 0, LENGTH);
    answer[0] = CD_DEVICE;
    answer[1] = REMOVABLE;
    answer[3] = ATAPI_RESPONSE;
    answer[4] = LENGTH - 5;
    store_text(answer + 8, 8, "RING3");
    store_text(answer + 16, 16, "CD-ROM");
    store_text(answer + 32, 4, "1.0");
    atapi_reply(drive, LENGTH, state->packet[4]);
}

/* One feature descriptor: its number, version and flags, and data. */
struct feature {
    uint16_t number;
    uint8_t flags; /* version << 2 | persistent << 1 | current */
    uint8_t length;
    uint8_t bytes[8];
};

static uint32_t add_feature(uint8_t *to, const struct feature *feature)
{
    store_be16(to, feature->number);
    to[2] = feature->flags;
    to[3] = feature->length;
    memcpy(to + 4, feature->bytes, feature->length);
    return 4u + feature->length;
}

void atapi_get_configuration(struct ide_drive *drive)
{
    enum { ALL, CURRENT_ONLY, ONE, CURRENT = 1, PERSISTENT = 2 };
    struct ide_drive_state *state = &drive->state;
    uint16_t first = (uint16_t)load_be16(state->packet + 2);
    unsigned request = state->packet[1] & 3;
    if (request > ONE) {
        atapi_fail(drive, SENSE_ILLEGAL_REQUEST, SENSE_FIELD_IN_PACKET);
        return;
    }
    uint8_t disc = atapi_sectors(drive) ? CURRENT : 0;
    uint8_t dvd = atapi_is_dvd(drive) ? CURRENT : 0, cd = disc & !dvd;
    const struct feature features[] = {
        {0x0000, PERSISTENT | CURRENT, 8, {0, PROFILE_DVD_ROM, dvd, 0, 0, PROFILE_CD_ROM, cd}},
        {0x0001, PERSISTENT | CURRENT, 4, {0, 0, 0, 2}},          /* core: ATAPI */
        {0x0002, PERSISTENT | CURRENT, 4, {0}},                   /* morphing, events are polled */
        {0x0003, PERSISTENT | CURRENT, 4, {0x29}},                /* tray, eject, lock */
        {0x0010, disc, 8, {0, 0, CD_SECTOR_BYTES >> 8, 0, 0, 1}}, /* random readable */
        {0x001e, cd, 4, {0}},                                     /* CD read */
        {0x001f, dvd, 0, {0}},                                    /* DVD read */
        {0x0100, PERSISTENT | CURRENT, 0, {0}},                   /* power management */
    };
    uint8_t *answer = state->buffer;
    uint32_t at = 8;
    memset(answer, 0, at);
    for (size_t i = 0; i < ARRAY_LENGTH(features); i++) {
        const struct feature *feature = &features[i];
        bool wanted = request == ONE ? feature->number == first : feature->number >= first;
        if (wanted && (request != CURRENT_ONLY || (feature->flags & CURRENT)))
            at += add_feature(answer + at, feature);
    }
    store_be32(answer, at - 4);
    store_be16(answer + 6, dvd ? PROFILE_DVD_ROM : cd ? PROFILE_CD_ROM : 0);
    atapi_reply(drive, at, load_be16(state->packet + 7));
}

void atapi_get_event_status(struct ide_drive *drive)
{
    enum { POLLED = 1, CLASS_MEDIA = 4, MEDIA_MASK = 1 << CLASS_MEDIA, NOTHING = 0x80 };
    struct ide_drive_state *state = &drive->state;
    if (!(state->packet[1] & POLLED)) {
        atapi_fail(drive, SENSE_ILLEGAL_REQUEST, SENSE_FIELD_IN_PACKET);
        return;
    }
    uint8_t *answer = state->buffer;
    uint32_t length = 4;
    memset(answer, 0, 8);
    answer[2] = NOTHING;
    answer[3] = MEDIA_MASK;
    if (state->packet[4] & MEDIA_MASK) {
        length = 8;
        answer[2] = CLASS_MEDIA;
        answer[4] = state->media_event;
        answer[5] = (state->tray_open ? 1 : 0) | (atapi_sectors(drive) ? 2 : 0);
        state->media_event = EVENT_NONE;
    }
    store_be16(answer, length - 2);
    atapi_reply(drive, length, load_be16(state->packet + 7));
}

void atapi_mechanism_status(struct ide_drive *drive)
{
    enum { DOOR_OPEN = 0x10 };
    uint8_t *answer = drive->state.buffer;
    memset(answer, 0, 8);
    answer[1] = drive->state.tray_open ? DOOR_OPEN : 0;
    atapi_reply(drive, 8, load_be16(drive->state.packet + 8));
}

static uint32_t build_capabilities(const struct ide_drive *drive, uint8_t *to)
{
    enum { SPEED_32X = 5632, BUFFER_KIB = IDE_BUFFER_BYTES / 1024 };
    memset(to, 0, CAPABILITIES_BYTES);
    to[0] = PAGE_CAPABILITIES;
    to[1] = CAPABILITIES_BYTES - 2;
    to[2] = 0x3b; /* reads CD-R, CD-RW, DVD-ROM, DVD-R, DVD-RAM */
    to[4] = 0x70; /* Mode 2 forms 1 and 2, multi-session */
    to[6] = 0x29 | (drive->state.tray_locked ? 2 : 0); /* tray, eject, lock */
    store_be16(to + 8, SPEED_32X);
    store_be16(to + 12, BUFFER_KIB);
    store_be16(to + 14, SPEED_32X);
    return CAPABILITIES_BYTES;
}

/* A page of which MODE SELECT may change every byte. */
static uint32_t build_page(uint8_t *to, uint8_t page, const uint8_t *bytes, uint32_t length,
                           bool mask)
{
    to[0] = page;
    to[1] = (uint8_t)length;
    if (mask)
        memset(to + 2, 0xff, length);
    else
        memcpy(to + 2, bytes, length);
    return length + 2;
}

void atapi_mode_sense(struct ide_drive *drive)
{
    enum { CHANGEABLE = 1, SAVED = 3 };
    enum { MEDIUM_DATA_CD = 0x01, MEDIUM_NONE = 0x70, MEDIUM_DOOR_OPEN = 0x71 };
    struct ide_drive_state *state = &drive->state;
    unsigned control = state->packet[2] >> 6, page = state->packet[2] & 0x3f;
    uint8_t *answer = state->buffer;
    uint32_t at = MODE_HEADER_BYTES;
    bool mask = control == CHANGEABLE;
    if (control == SAVED) {
        atapi_fail(drive, SENSE_ILLEGAL_REQUEST, SENSE_NO_SAVED_PAGES);
        return;
    }
    memset(answer, 0, MODE_HEADER_BYTES);
    if (page == PAGE_ERROR_RECOVERY || page == PAGE_ALL)
        at += build_page(answer + at, PAGE_ERROR_RECOVERY, state->error_page,
                         sizeof state->error_page, mask);
    if (page == PAGE_AUDIO || page == PAGE_ALL)
        at +=
            build_page(answer + at, PAGE_AUDIO, state->audio_page, sizeof state->audio_page, mask);
    if (page == PAGE_CAPABILITIES || page == PAGE_ALL) {
        uint32_t length = build_capabilities(drive, answer + at);
        if (mask)
            memset(answer + at + 2, 0, length - 2);
        at += length;
    }
    if (at == MODE_HEADER_BYTES || state->packet[3]) {
        atapi_fail(drive, SENSE_ILLEGAL_REQUEST, SENSE_FIELD_IN_PACKET);
        return;
    }
    store_be16(answer, at - 2);
    answer[2] = state->tray_open       ? MEDIUM_DOOR_OPEN
                : atapi_sectors(drive) ? MEDIUM_DATA_CD
                                       : MEDIUM_NONE;
    atapi_reply(drive, at, load_be16(state->packet + 7));
}

void atapi_mode_select(struct ide_drive *drive)
{
    enum { SAVE_PAGES = 1, PAGE_FORMAT = 0x10 };
    struct ide_drive_state *state = &drive->state;
    uint32_t length = load_be16(state->packet + 7);
    if ((state->packet[1] & (SAVE_PAGES | PAGE_FORMAT)) != PAGE_FORMAT) {
        atapi_fail(drive, SENSE_ILLEGAL_REQUEST, SENSE_FIELD_IN_PACKET);
        return;
    }
    if (!length) {
        atapi_good(drive);
        return;
    }
    state->buffer_at = 0;
    state->buffer_end = length;
    ide_start_transfer(drive, state->feature & 1 ? IDE_DMA_OUT : IDE_DATA_OUT);
}

bool atapi_mode_select_apply(struct ide_drive *drive)
{
    struct ide_drive_state *state = &drive->state;
    const uint8_t *list = state->buffer;
    uint32_t length = state->buffer_end, at = MODE_HEADER_BYTES;
    if (length >= MODE_HEADER_BYTES)
        at += load_be16(list + 6); /* block descriptors */
    if (length < MODE_HEADER_BYTES || at > length) {
        atapi_fail(drive, SENSE_ILLEGAL_REQUEST, SENSE_PARAMETER_LIST_LENGTH);
        return false;
    }
    while (at < length) {
        if (length - at < 2 || length - at < 2u + list[at + 1]) {
            atapi_fail(drive, SENSE_ILLEGAL_REQUEST, SENSE_PARAMETER_LIST_LENGTH);
            return false;
        }
        uint8_t page = list[at] & 0x3f, page_length = list[at + 1];
        if (page == PAGE_ERROR_RECOVERY && page_length == sizeof state->error_page) {
            memcpy(state->error_page, list + at + 2, page_length);
        } else if (page == PAGE_AUDIO && page_length == sizeof state->audio_page) {
            memcpy(state->audio_page, list + at + 2, page_length);
        } else if (page != PAGE_CAPABILITIES) {
            atapi_fail(drive, SENSE_ILLEGAL_REQUEST, SENSE_FIELD_IN_PARAMETERS);
            return false;
        }
        at += 2u + page_length;
    }
    return true;
}

void atapi_identify(struct ide_drive *drive, uint8_t *words)
{
    enum { PACKET_FEATURES = 1 << 4 | 1 << 9, POWER_MANAGEMENT = 1 << 3, VALID = 1 << 14 };
    bool is_second = drive == &drive->channel->drives[1];
    memset(words, 0, 512);
    /* ATAPI, a CD device, removable, DRQ soon after PACKET and without interrupt, 12 bytes */
    store_le16(words, 0x85c0);
    ide_identify_text(words, 10, 10, drive->serial);
    ide_identify_text(words, 23, 4, "1.0");
    ide_identify_text(words, 27, 20, drive->class->model);
    store_le16(words + 2 * 49, 0x0f00); /* IORDY, IORDY may be disabled, LBA, DMA */
    store_le16(words + 2 * 50, 0x4000);
    ide_identify_modes(drive, words);
    store_le16(words + 2 * 80, 0x0070); /* ATA/ATAPI-4 to -6 */
    store_le16(words + 2 * 82, PACKET_FEATURES | POWER_MANAGEMENT);
    store_le16(words + 2 * 83, VALID);
    store_le16(words + 2 * 84, VALID);
    store_le16(words + 2 * 85, PACKET_FEATURES | POWER_MANAGEMENT);
    store_le16(words + 2 * 87, VALID);
    store_le16(words + 2 * 93, is_second ? 0x6b00 : 0x600b);
}
