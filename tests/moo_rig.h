/* Crafts MOO files, chunk by chunk, for `ring3 conform`. */
#ifndef TESTS_MOO_RIG_H
#define TESTS_MOO_RIG_H

#include "tests/conform_rig.h"

struct craft {
    uint8_t bytes[8192];
    size_t size;
    size_t open[4]; /* offsets of the heads of the open chunks */
    unsigned depth;
};

static inline void put(struct craft *craft, const void *bytes, size_t size)
{
    cr_assert_leq(craft->size + size, sizeof craft->bytes);
    memcpy(craft->bytes + craft->size, bytes, size);
    craft->size += size;
}

static inline void put_32(struct craft *craft, uint32_t value)
{
    put(craft, &value, 4);
}

static inline void put_16(struct craft *craft, uint16_t value)
{
    put(craft, &value, 2);
}

static inline void chunk_open(struct craft *craft, const char *type)
{
    craft->open[craft->depth++] = craft->size;
    put(craft, type, 4);
    put_32(craft, 0);
}

static inline void chunk_close(struct craft *craft)
{
    size_t head = craft->open[--craft->depth];
    uint32_t length = (uint32_t)(craft->size - head - 8);
    memcpy(craft->bytes + head + 4, &length, 4);
}

static inline void put_head(struct craft *craft, const char *cpu, uint32_t cases)
{
    craft->size = craft->depth = 0;
    chunk_open(craft, "MOO ");
    put_32(craft, 0x0101);
    put_32(craft, cases);
    put(craft, cpu, 4);
    chunk_close(craft);
    chunk_open(craft, "META");
    put(craft, "not looked at", 13);
    chunk_close(craft);
}

struct byte {
    uint32_t address;
    uint8_t value;
};

static inline void put_memory(struct craft *craft, const struct byte *bytes, unsigned count)
{
    chunk_open(craft, "RAM ");
    put_32(craft, count);
    for (unsigned i = 0; i < count; i++) {
        put_32(craft, bytes[i].address);
        put(craft, &bytes[i].value, 1);
    }
    chunk_close(craft);
}

/* The order of the 16-bit register chunk. */
enum { M_AX = 1, M_CX = 4, M_SP = 0x100, M_IP = 0x1000, M_FLAGS = 0x2000, M_ALL = 0x3fff };

enum { CODE = 0x1000, STACK_TOP = 0x8000, AX = 0x1234, PF = 6 /* with bit 1 */ };

/* A case of `code` at 0:1000h with AX = 1234h, SS:SP = 0:8000h and all else 0; FINA's chunks
 * follow. The instruction's memory reaches to the HLT behind it. */
static inline void case_open(struct craft *craft, const char *name, const uint8_t *code,
                             unsigned length, const struct byte *more, unsigned more_count)
{
    struct byte memory[32];
    unsigned count = 0;

    for (unsigned i = 0; i < length; i++)
        memory[count++] = (struct byte){CODE + i, code[i]};
    memory[count++] = (struct byte){CODE + length, 0xf4};
    for (unsigned i = 0; i < more_count; i++)
        memory[count++] = more[i];
    chunk_open(craft, "TEST");
    put_32(craft, 7);
    chunk_open(craft, "NAME");
    put_32(craft, (uint32_t)strlen(name));
    put(craft, name, strlen(name));
    chunk_close(craft);
    chunk_open(craft, "BYTS");
    put_32(craft, length + 1);
    for (unsigned i = 0; i <= length; i++)
        put(craft, &memory[i].value, 1);
    chunk_close(craft);
    chunk_open(craft, "INIT");
    chunk_open(craft, "REGS");
    put_16(craft, M_ALL);
    for (unsigned n = 0; n < 14; n++)
        put_16(craft, n == 0 ? AX : n == 8 ? STACK_TOP : n == 12 ? CODE : n == 13 ? 2 : 0);
    chunk_close(craft);
    put_memory(craft, memory, count);
    chunk_close(craft);
    chunk_open(craft, "FINA");
}

static inline void case_close(struct craft *craft)
{
    chunk_close(craft);
    chunk_close(craft);
}

/* Expected: AX, IP behind the HLT, flags. */
static inline void put_ax_flags(struct craft *craft, uint16_t ax, uint16_t ip, uint16_t flags)
{
    chunk_open(craft, "REGS");
    put_16(craft, M_AX | M_IP | M_FLAGS);
    put_16(craft, ax);
    put_16(craft, ip);
    put_16(craft, flags);
    chunk_close(craft);
}

/* The same whole, with all that is expected. */
static inline void put_case(struct craft *craft, const char *name, const uint8_t *code,
                            unsigned length, uint16_t ax, uint16_t ip, uint16_t flags)
{
    case_open(craft, name, code, length, NULL, 0);
    put_ax_flags(craft, ax, ip, flags);
    case_close(craft);
}

static const uint8_t add_al_1[] = {0x04, 0x01};

static inline void put_add(struct craft *craft, uint16_t result)
{
    put_case(craft, "add al,1", add_al_1, 2, result, CODE + 3, PF);
}

static inline void expect_craft(const struct craft *craft, const char *options, int status,
                                const char *in_out, unsigned complaints)
{
    char arguments[128];
    save("a.MOO", craft->bytes, craft->size);
    snprintf(arguments, sizeof arguments, "%s @/a.MOO", options);
    expect(arguments, status, in_out, complaints);
}

/* DIV BL with BL = 0 goes through vector 0 to 0:2000h. */
static inline void put_divide(struct craft *craft, uint8_t pushed_flags, uint8_t pushed_ip)
{
    static const uint8_t divide[] = {0xf6, 0xf3};
    static const struct byte handler[] = {{0, 0}, {1, 0x20}, {2, 0}, {3, 0}, {0x2000, 0xf4}};
    const struct byte frame[] = {{STACK_TOP - 6, pushed_ip},
                                 {STACK_TOP - 5, CODE >> 8},
                                 {STACK_TOP - 4, 0},
                                 {STACK_TOP - 3, 0},
                                 {STACK_TOP - 2, pushed_flags}};

    case_open(craft, "div bl", divide, 2, handler, 5);
    chunk_open(craft, "REGS");
    put_16(craft, M_SP | M_IP);
    put_16(craft, STACK_TOP - 6);
    put_16(craft, 0x2001);
    chunk_close(craft);
    put_memory(craft, frame, 5);
    chunk_close(craft); /* FINA */
    chunk_open(craft, "EXCP");
    put(craft, "", 1);
    put_32(craft, STACK_TOP - 2);
    chunk_close(craft);
    chunk_close(craft);
}

static inline void put_mask(struct craft *craft, uint16_t mask)
{
    chunk_open(craft, "RMSK");
    put_16(craft, M_FLAGS);
    put_16(craft, mask);
    chunk_close(craft);
}

#endif
