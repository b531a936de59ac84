/* One test vector: a processor's state before an instruction and after it.
 *
 * Names and memory point into the file's bytes, which its reader owns.
 */
#ifndef CONFORM_VECTOR_H
#define CONFORM_VECTOR_H

#include "base/bits.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* In the order of the 32-bit register chunk. */
enum vector_register {
    VR_CR0,
    VR_CR3,
    VR_EAX,
    VR_EBX,
    VR_ECX,
    VR_EDX,
    VR_ESI,
    VR_EDI,
    VR_EBP,
    VR_ESP,
    VR_CS,
    VR_DS,
    VR_ES,
    VR_FS,
    VR_GS,
    VR_SS,
    VR_EIP,
    VR_EFLAGS,
    VR_DR6,
    VR_DR7,
    VECTOR_REGISTERS
};

struct vector_registers {
    uint32_t present; /* bit n: register n is given */
    uint32_t value[VECTOR_REGISTERS];
};

/* `count` bytes of memory, each a 32-bit address and a value, little-endian and unaligned. */
struct vector_memory {
    const uint8_t *entries;
    uint32_t count;
};

enum { VECTOR_MEMORY_ENTRY = 5 };

struct vector_byte {
    uint32_t address;
    uint8_t value;
};

static inline struct vector_byte vector_byte(const struct vector_memory *memory, uint32_t n)
{
    const uint8_t *entry = memory->entries + (size_t)n * VECTOR_MEMORY_ENTRY;
    struct vector_byte byte = {.value = entry[4]};
    memcpy(&byte.address, entry, 4);
    return byte;
}

/* What a reader of cases finds next. */
enum read_result {
    READ_CASE,
    READ_END,
    READ_DAMAGED, /* *error has the line; go on, for what follows may be whole */
};

struct vector_state {
    struct vector_registers registers;
    struct vector_memory memory;
};

struct test_case {
    uint32_t index;
    const char *name; /* not terminated */
    uint32_t name_length;
    const uint8_t *bytes; /* of the instruction */
    uint32_t byte_count;
    struct vector_state initial;
    struct vector_state final;     /* only what changed */
    struct vector_registers masks; /* bits that are defined */
    bool has_exception;
    uint8_t exception;
};

#endif
