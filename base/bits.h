/* Small facts about integers, and the compiler's words that the rest of ring3 uses. */
#ifndef BASE_BITS_H
#define BASE_BITS_H

#include <stdint.h>
#include <string.h>

#define likely(condition)        __builtin_expect(!!(condition), 1)
#define unlikely(condition)      __builtin_expect(!!(condition), 0)
#define always_inline            inline __attribute__((always_inline))
#define must_check               __attribute__((warn_unused_result))
#define cold_path                __attribute__((noinline, cold))
#define never_inline             __attribute__((noinline))
#define printf_like(text, first) __attribute__((__format__(__printf__, text, first)))

#define ARRAY_LENGTH(array) (sizeof(array) / sizeof((array)[0]))
#define BIT(n)              (UINT64_C(1) << (n))
/* The object that holds `member` at `pointer`. */
#define CONTAINER_OF(pointer, type, member) ((type *)((char *)(pointer)-offsetof(type, member)))

/* LIMIT: guest memory is read through host pointers, so the host must be little-endian. */
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "ring3 needs a little-endian host");

/* `count` (1..64) bits of `value` from bit `low` (0..63). */
static inline uint64_t bits_field(uint64_t value, unsigned low, unsigned count)
{
    return (value >> low) & (~UINT64_C(0) >> (64 - count));
}

/* `value` with its `bits` (1..64) low bits sign-extended to 64. */
static inline int64_t bits_sign_extend(uint64_t value, unsigned bits)
{
    return (int64_t)(value << (64 - bits)) >> (64 - bits);
}

/* Unaligned little-endian loads and stores; each compiles to one move. */
#define BITS_DEFINE_ACCESS(bits)                                                                   \
    static inline uint##bits##_t load_le##bits(const void *from)                                   \
    {                                                                                              \
        uint##bits##_t value;                                                                      \
        memcpy(&value, from, sizeof value);                                                        \
        return value;                                                                              \
    }                                                                                              \
    static inline void store_le##bits(void *to, uint##bits##_t value)                              \
    {                                                                                              \
        memcpy(to, &value, sizeof value);                                                          \
    }
BITS_DEFINE_ACCESS(16)
BITS_DEFINE_ACCESS(32)
BITS_DEFINE_ACCESS(64)

#endif
