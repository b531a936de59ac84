/* Prefixes, opcode, ModRM and the immediate behind it: 16-bit real mode. */
#include "conform/instruction.h"

#include "cpu/decode.h"

#include <fnmatch.h>
#include <stdio.h>

/* Opcodes of the first map with a ModRM byte: rows of 32, bit n is opcode 32 * row + n. */
static const uint32_t modrm_map[8] = {
    0x0f0f0f0f, 0x0f0f0f0f, 0, 0x00000a0c, 0x0000ffff, 0, 0xff0f00f3, 0xc0c00000,
};
static const uint32_t modrm_map_0f[8] = {
    0x0000000f, 0x0000005f, 0, 0, 0xffff0000, 0xff3f3030 | 0x8800, 0x00000003, 0,
};

static bool bit_of(const uint32_t map[8], uint8_t n)
{
    return map[n >> 5] >> (n & 31) & 1;
}

/* Opcodes whose instruction ModRM.reg chooses. */
static bool is_group(uint8_t opcode, bool two_bytes)
{
    if (two_bytes)
        return opcode <= 0x01 || opcode == 0xba;
    return (opcode & 0xfc) == 0x80 || (opcode & 0xfe) == 0xc0 || (opcode & 0xfc) == 0xd0 ||
           (opcode & 0xf6) == 0xf6;
}

static bool is_string(uint8_t opcode)
{
    uint8_t pair = opcode & 0xfe;
    return pair == 0x6c || pair == 0x6e || pair == 0xa4 || pair == 0xa6 ||
           (pair >= 0xaa && pair <= 0xae);
}

/* False: no prefix of this processor. */
static bool read_prefix(struct instruction *instruction, uint8_t byte, bool is_386)
{
    switch (byte) {
    case 0x26:
    case 0x2e:
    case 0x36:
    case 0x3e:
        break;
    case 0x64:
    case 0x65:
        return is_386;
    case 0x66:
        instruction->operand_size = is_386;
        return is_386;
    case 0x67:
        instruction->address_size = is_386;
        return is_386;
    case 0xf0:
    case 0xf1:
        instruction->lock = byte == 0xf0;
        return byte == 0xf0;
    case 0xf2:
        instruction->repeat_not = true;
        instruction->repeat = false;
        break;
    case 0xf3:
        instruction->repeat = true;
        instruction->repeat_not = false;
        break;
    default:
        return false;
    }
    return true;
}

static unsigned displacement_bytes(const struct instruction *instruction, uint8_t sib)
{
    unsigned mod = instruction->modrm >> 6, rm = instruction->modrm & 7;

    if (mod == 3)
        return 0;
    if (!instruction->address_size)
        return mod == 1 ? 1 : mod == 2 || rm == 6 ? 2 : 0;
    unsigned extra = rm == 4;
    if (mod == 0)
        return extra + (rm == 5 || (rm == 4 && (sib & 7) == 5) ? 4 : 0);
    return extra + (mod == 1 ? 1 : 4);
}

void instruction_read(struct instruction *instruction, const struct test_case *test,
                      const struct processor *processor)
{
    const uint8_t *bytes = test->bytes;
    uint32_t count = test->byte_count, i = 0;

    *instruction = (struct instruction){0};
    while (i < count && read_prefix(instruction, bytes[i], processor->family == FAMILY_386))
        i++;
    if (i + 1 < count && bytes[i] == 0x0f && processor->family != FAMILY_8086) {
        instruction->two_bytes = true;
        i++;
    }
    if (i < count)
        instruction->opcode = bytes[i++];
    instruction->string = !instruction->two_bytes && is_string(instruction->opcode);
    instruction->repeated = instruction->string && (instruction->repeat || instruction->repeat_not);
    instruction->has_modrm =
        bit_of(instruction->two_bytes ? modrm_map_0f : modrm_map, instruction->opcode);
    if (instruction->has_modrm && i < count) {
        instruction->modrm = bytes[i++];
        instruction->memory = instruction->modrm < 0xc0;
        i += displacement_bytes(instruction, i < count ? bytes[i] : 0);
    }
    if (i < count)
        instruction->immediate = bytes[i];
    unsigned reg = is_group(instruction->opcode, instruction->two_bytes)
                       ? 1u + instruction_reg(instruction)
                       : 0;
    instruction->key = (uint16_t)((instruction->two_bytes * 256u + instruction->opcode) * 9 + reg);
}

static bool is_modern_prefix(uint8_t byte, bool is_64)
{
    return (byte & 0xe7) == 0x26 || (byte & 0xfc) == 0x64 || byte == 0xf0 ||
           (byte & 0xfe) == 0xf2 || (is_64 && (byte & 0xf0) == 0x40);
}

/* The map of a VEX prefix at `bytes`, and *length; 0: there is none. */
static unsigned vex_map(const uint8_t *bytes, unsigned count, bool is_64, unsigned *length)
{
    if (count < 3 || (bytes[0] & 0xfe) != 0xc4 || (!is_64 && bytes[1] < 0xc0))
        return 0;
    *length = bytes[0] == 0xc5 ? 2 : 3;
    return bytes[0] == 0xc5 ? 1 : bytes[1] & 3;
}

static bool is_modern_group(unsigned map, uint8_t opcode)
{
    if (!map)
        return is_group(opcode, false);
    return map == 1 && (is_group(opcode, true) || opcode == 0x18 ||
                        (opcode >= 0x71 && opcode <= 0x73) || opcode == 0xae || opcode == 0xc7);
}

uint16_t instruction_modern_key(const uint8_t *bytes, unsigned count, bool is_64)
{
    unsigned i = 0, length = 0;

    while (i < count && is_modern_prefix(bytes[i], is_64))
        i++;
    unsigned map = vex_map(bytes + i, count - i, is_64, &length);
    i += length;
    if (!map && i + 1 < count && bytes[i] == 0x0f) {
        map = bytes[i + 1] == 0x38 ? 2 : bytes[i + 1] == 0x3a ? 3 : 1;
        i += map == 1 ? 1 : 2;
    }
    uint8_t opcode = i < count ? bytes[i] : 0;
    unsigned reg = is_modern_group(map, opcode) && i + 1 < count ? 1u + (bytes[i + 1] >> 3 & 7) : 0;
    return (uint16_t)((map * 256u + opcode) * 9 + reg);
}

void instruction_key_text(uint16_t key, char text[INSTRUCTION_KEY_TEXT])
{
    unsigned reg = key % 9, opcode = key / 9;
    static const char *const maps[] = {"", "0F", "0F38", "0F3A"};
    int length =
        snprintf(text, INSTRUCTION_KEY_TEXT, "%s%02X", maps[opcode >> 8 & 3], opcode & 0xff);
    if (reg)
        snprintf(text + length, INSTRUCTION_KEY_TEXT - (size_t)length, ".%u", reg - 1);
}

static void without_dots(char *to, size_t size, const char *from)
{
    size_t length = 0;

    for (; *from && length + 1 < size; from++)
        if (*from != '.')
            to[length++] = *from;
    to[length] = 0;
}

bool instruction_key_matches(uint16_t key, const char *pattern)
{
    char text[INSTRUCTION_KEY_TEXT], plain[INSTRUCTION_KEY_TEXT], wanted[64];

    instruction_key_text(key, text);
    without_dots(plain, sizeof plain, text);
    without_dots(wanted, sizeof wanted, pattern);
    return !fnmatch(wanted, plain, FNM_CASEFOLD);
}

const char *instruction_mnemonic(uint16_t key, uint32_t mode, const struct feature_set *features)
{
    unsigned reg = key % 9, opcode = key / 9;
    uint8_t bytes[INSN_LENGTH_MAX] = {0}, *at = bytes;
    struct insn insn;

    if (opcode > 0xff)
        *at++ = 0x0f;
    if (opcode > 0x1ff)
        *at++ = opcode > 0x2ff ? 0x3a : 0x38;
    *at++ = (uint8_t)opcode;
    *at = (uint8_t)((reg ? reg - 1 : 0) << 3);
    if (decode(bytes, sizeof bytes, mode, features, &insn) != DECODE_OK)
        return "";
    return insn_mnemonic(&insn);
}
