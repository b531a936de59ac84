/* The 2352 bytes of a CD-ROM Mode 1 sector: sync, header, data, error detection and correction.
 *
 * Source: ECMA-130 §14 (sectors), annex A (Reed-Solomon product code), annex B (scrambling is the
 * drive's affair and never seen by the host).
 */
#include "hw/atapi_priv.h"

enum {
    SYNC_BYTES = 12,
    HEADER_BYTES = 4,
    ECC_BYTES = 288,
    DETECTED_BYTES = SYNC_BYTES + HEADER_BYTES + CD_SECTOR_BYTES,
    P_PARITY_AT = DETECTED_BYTES + 4 + 8,
    P_COLUMNS = 86,
    P_ROWS = 24,
    Q_PARITY_AT = P_PARITY_AT + 2 * P_COLUMNS,
    Q_DIAGONALS = 52,
    Q_LENGTH = 43,
};

void cd_address(uint8_t msf[3], uint32_t lba)
{
    lba += CD_LEAD_IN_SECTORS;
    msf[0] = (uint8_t)(lba / (60 * 75));
    msf[1] = (uint8_t)(lba / 75 % 60);
    msf[2] = (uint8_t)(lba % 75);
}

static uint8_t to_bcd(uint8_t value)
{
    return (uint8_t)((value / 10) << 4 | value % 10);
}

/* The CRC over sync, header and data: x^32+x^31+x^16+x^15+x^4+x^3+x+1, lowest bit first. */
static uint32_t detection_code(const uint8_t *bytes, unsigned length)
{
    uint32_t code = 0;
    for (unsigned i = 0; i < length; i++) {
        code ^= bytes[i];
        for (unsigned bit = 0; bit < 8; bit++)
            code = code >> 1 ^ (code & 1 ? 0xd8018001u : 0);
    }
    return code;
}

/* Multiplication by alpha in GF(2^8) with x^8+x^4+x^3+x^2+1. */
static uint8_t times_alpha(uint8_t value)
{
    return (uint8_t)(value << 1 ^ (value & 0x80 ? 0x1d : 0));
}

/* value / (alpha + 1), by search: the field is small, and raw reads are rare. */
static uint8_t divided_by_alpha_plus_1(uint8_t value)
{
    for (unsigned candidate = 0; candidate < 256; candidate++) {
        if ((times_alpha((uint8_t)candidate) ^ candidate) == value)
            return (uint8_t)candidate;
    }
    return 0;
}

/* One code word of `length` data bytes, taken from `data` (the header is byte 0) at `index(k)`:
 * its two parity bytes make sum(v) = 0 and sum(v * alpha^position) = 0. */
static void parity_word(const uint8_t *data, uint32_t start, uint32_t step, uint32_t modulus,
                        unsigned length, uint8_t parity[2])
{
    uint8_t sum = 0, weighted = 0;
    for (unsigned k = 0; k < length; k++) {
        uint8_t value = data[(start + k * step) % modulus];
        sum ^= value;
        weighted = times_alpha(weighted ^ value);
    }
    weighted = times_alpha(weighted);
    parity[0] = divided_by_alpha_plus_1(weighted ^ sum);
    parity[1] = parity[0] ^ sum;
}

static void add_parity(uint8_t *sector)
{
    uint8_t *data = sector + SYNC_BYTES;
    uint8_t parity[2];
    for (unsigned column = 0; column < P_COLUMNS; column++) {
        parity_word(data, column, P_COLUMNS, UINT32_MAX, P_ROWS, parity);
        sector[P_PARITY_AT + column] = parity[0];
        sector[P_PARITY_AT + P_COLUMNS + column] = parity[1];
    }
    /* WHY: the Q words run along diagonals of 16-bit words, over data and P parity together. */
    for (unsigned diagonal = 0; diagonal < Q_DIAGONALS; diagonal++) {
        uint32_t start = (diagonal / 2) * P_COLUMNS + diagonal % 2;
        parity_word(data, start, P_COLUMNS + 2, P_COLUMNS * (P_ROWS + 2), Q_LENGTH, parity);
        sector[Q_PARITY_AT + diagonal] = parity[0];
        sector[Q_PARITY_AT + Q_DIAGONALS + diagonal] = parity[1];
    }
}

uint32_t cd_sector_bytes(unsigned parts)
{
    return (parts & PART_SYNC ? SYNC_BYTES : 0) + (parts & PART_HEADER ? HEADER_BYTES : 0) +
           (parts & PART_USER_DATA ? CD_SECTOR_BYTES : 0) + (parts & PART_ECC ? ECC_BYTES : 0);
}

uint32_t cd_sector_build(uint8_t *to, const uint8_t *user_data, uint32_t lba, unsigned parts)
{
    uint8_t sector[CD_RAW_BYTES] = {0};
    uint8_t msf[3];
    memset(sector + 1, 0xff, SYNC_BYTES - 2);
    cd_address(msf, lba);
    for (unsigned i = 0; i < 3; i++)
        sector[SYNC_BYTES + i] = to_bcd(msf[i]);
    sector[SYNC_BYTES + 3] = 1; /* mode */
    memcpy(sector + SYNC_BYTES + HEADER_BYTES, user_data, CD_SECTOR_BYTES);
    if (parts & PART_ECC) {
        store_le32(sector + DETECTED_BYTES, detection_code(sector, DETECTED_BYTES));
        add_parity(sector);
    }
    uint32_t start = parts & PART_SYNC        ? 0
                     : parts & PART_HEADER    ? SYNC_BYTES
                     : parts & PART_USER_DATA ? SYNC_BYTES + HEADER_BYTES
                                              : DETECTED_BYTES;
    memcpy(to, sector + start, cd_sector_bytes(parts));
    return cd_sector_bytes(parts);
}
