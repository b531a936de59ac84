/* What stands in a vector's instruction bytes: as much of it as reports and differences ask for. */
#ifndef CONFORM_INSTRUCTION_H
#define CONFORM_INSTRUCTION_H

#include "conform/processor.h"
#include "conform/vector.h"
#include "cpu/features.h"

/* Four maps: one byte, 0F, 0F 38, 0F 3A. */
enum { INSTRUCTION_KEYS = 4 * 256 * 9, INSTRUCTION_KEY_TEXT = 12 };

struct instruction {
    uint8_t opcode, modrm;         /* modrm 0 where the opcode has none */
    bool two_bytes;                /* behind 0F */
    bool has_modrm, memory;        /* memory: ModRM names it */
    bool lock, repeat, repeat_not; /* F0, F3, F2 */
    bool operand_size, address_size;
    bool string;       /* MOVS and its kin */
    bool repeated;     /* … with F2 or F3 */
    uint8_t immediate; /* the byte behind ModRM and displacement, or behind the opcode */
    uint16_t key;      /* opcode, and ModRM.reg where that chooses the instruction */
};

void instruction_read(struct instruction *instruction, const struct test_case *test,
                      const struct processor *processor);
/* The key of what modern processors make of the bytes, in 64-bit code or not. */
uint16_t instruction_modern_key(const uint8_t *bytes, unsigned count, bool is_64);
/* "00", "F6.3", "0FAF", "0FBA.5" */
void instruction_key_text(uint16_t key, char text[INSTRUCTION_KEY_TEXT]);
/* Does the key fit a pattern of the shell's * and ? (dots count for nothing: "0F.A*")? */
bool instruction_key_matches(uint16_t key, const char *pattern);
/* The SDM's mnemonic, as the opcode table has it for code of `mode` (MODE_…) on a processor of
 * `features`, without prefixes. */
const char *instruction_mnemonic(uint16_t key, uint32_t mode, const struct feature_set *features);

static inline uint8_t instruction_reg(const struct instruction *instruction)
{
    return instruction->modrm >> 3 & 7;
}

#endif
