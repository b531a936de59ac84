/* What the files of the ATAPI drive share. */
#ifndef HW_ATAPI_PRIV_H
#define HW_ATAPI_PRIV_H

#include "hw/ide_priv.h"

enum { CD_SECTOR_BYTES = 2048, CD_RAW_BYTES = 2352, CD_LEAD_IN_SECTORS = 150 };

/* What READ CD asks for, bits of byte 9 of its packet (MMC-3 §6.1.15). */
enum cd_parts { PART_SYNC = 0x80, PART_HEADER = 0x20, PART_USER_DATA = 0x10, PART_ECC = 0x08 };

enum sense_keys {
    SENSE_NONE = 0,
    SENSE_NOT_READY = 2,
    SENSE_MEDIUM_ERROR = 3,
    SENSE_ILLEGAL_REQUEST = 5,
    SENSE_UNIT_ATTENTION = 6,
};

/* Additional sense codes with their qualifier in the low byte. */
enum sense_codes {
    SENSE_UNRECOVERED_READ = 0x1100,
    SENSE_PARAMETER_LIST_LENGTH = 0x1a00,
    SENSE_NO_SUCH_COMMAND = 0x2000,
    SENSE_NO_SUCH_SECTOR = 0x2100,
    SENSE_FIELD_IN_PACKET = 0x2400,
    SENSE_FIELD_IN_PARAMETERS = 0x2600,
    SENSE_MEDIUM_CHANGED = 0x2800,
    SENSE_WAS_RESET = 0x2900,
    SENSE_INCOMPATIBLE_MEDIUM = 0x3002,
    SENSE_NO_SAVED_PAGES = 0x3900,
    SENSE_NO_MEDIUM_TRAY_CLOSED = 0x3a01,
    SENSE_NO_MEDIUM_TRAY_OPEN = 0x3a02,
    SENSE_REMOVAL_PREVENTED = 0x5302,
    SENSE_MODE_OF_TRACK = 0x6400,
};

enum media_events { EVENT_NONE, EVENT_EJECT_REQUEST, EVENT_NEW_MEDIUM, EVENT_REMOVAL };

static inline uint32_t load_be16(const uint8_t *from)
{
    return (uint32_t)from[0] << 8 | from[1];
}

static inline uint32_t load_be24(const uint8_t *from)
{
    return (uint32_t)from[0] << 16 | load_be16(from + 1);
}

static inline uint32_t load_be32(const uint8_t *from)
{
    return __builtin_bswap32(load_le32(from));
}

static inline void store_be16(uint8_t *to, uint32_t value)
{
    store_le16(to, __builtin_bswap16((uint16_t)value));
}

static inline void store_be32(uint8_t *to, uint32_t value)
{
    store_le32(to, __builtin_bswap32(value));
}

/* atapi.c */
/* Sectors of the CD that the guest sees; 0: none, or the tray is open. */
uint32_t atapi_sectors(const struct ide_drive *drive);
bool atapi_is_dvd(const struct ide_drive *drive);
/* Ends the packet well, or with CHECK CONDITION and this sense. */
void atapi_good(struct ide_drive *drive);
void atapi_fail(struct ide_drive *drive, enum sense_keys key, enum sense_codes code);
/* Sends the first `length` bytes of the buffer, at most the `allocation` that the host has. */
void atapi_reply(struct ide_drive *drive, uint32_t length, uint32_t allocation);

/* atapi_info.c and atapi_mode.c: the packets that tell about drive and disc. */
void atapi_inquiry(struct ide_drive *drive);
void atapi_request_sense(struct ide_drive *drive);
void atapi_read_capacity(struct ide_drive *drive);
void atapi_read_toc(struct ide_drive *drive);
void atapi_read_subchannel(struct ide_drive *drive);
void atapi_read_header(struct ide_drive *drive);
void atapi_read_disc_information(struct ide_drive *drive);
void atapi_read_track_information(struct ide_drive *drive);
void atapi_read_dvd_structure(struct ide_drive *drive);
void atapi_get_configuration(struct ide_drive *drive);
void atapi_get_event_status(struct ide_drive *drive);
void atapi_mechanism_status(struct ide_drive *drive);
void atapi_mode_sense(struct ide_drive *drive);
void atapi_mode_select(struct ide_drive *drive);
/* The parameter list of MODE SELECT is in the buffer; false: the packet has failed. */
bool atapi_mode_select_apply(struct ide_drive *drive);
void atapi_identify(struct ide_drive *drive, uint8_t *words);

/* cd_sector.c */
/* Minute, second and frame of `lba`, as they stand in headers and tables of contents. */
void cd_address(uint8_t msf[3], uint32_t lba);
/* Makes the parts that are asked for out of the 2048 bytes of a Mode 1 sector; returns how many
 * bytes that are (at most CD_RAW_BYTES). */
uint32_t cd_sector_build(uint8_t *to, const uint8_t *user_data, uint32_t lba, unsigned parts);
uint32_t cd_sector_bytes(unsigned parts);

#endif
