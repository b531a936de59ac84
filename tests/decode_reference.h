/* What other decoders say of an encoding, in one vocabulary: our decoder, Capstone, Zydis. */
#ifndef TESTS_DECODE_REFERENCE_H
#define TESTS_DECODE_REFERENCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { ENCODING_BYTES = 16 };

/* An encoding taken apart by the test itself, for the lists of known errors. */
struct encoding {
    const uint8_t *bytes;
    unsigned code; /* CODE_… */
    bool prefix_66, prefix_67, lock, segment;
    uint8_t rep;       /* F2, F3: the last one; or 0 */
    bool both_reps;    /* F2 and F3 */
    bool rex_ignored;  /* a REX that another prefix follows */
    unsigned repeated; /* prefixes of a group that already had one */
    unsigned legacy;   /* prefixes that are not REX */
    uint8_t rex;
    uint8_t vex;                /* the last byte of a VEX prefix: W vvvv L pp */
    uint8_t map, opcode, modrm; /* modrm: the byte after the opcode, whatever it is */
};

struct verdict {
    bool valid;
    bool beyond; /* valid, of an instruction set that the table does not have */
    unsigned length;
    unsigned feature; /* enum feature that offers it, by Zydis; FEATURE_COUNT: not known */
    char name[32];    /* canonical mnemonic */
};

void encoding_parse(struct encoding *encoding, const uint8_t *bytes, unsigned code);

struct references;
struct references *references_new(void);
void references_free(struct references *references);
void reference_own(const struct encoding *encoding, struct verdict *verdict);
void reference_capstone(struct references *references, const struct encoding *encoding,
                        struct verdict *verdict);
void reference_zydis(struct references *references, const struct encoding *encoding,
                     struct verdict *verdict);

/* The same without the name, which is left as it was, and fast. */
void reference_zydis_bare(struct references *references, const struct encoding *encoding,
                          struct verdict *verdict);
/* Where Zydis is wrong about what is valid, and the manual or a processor decides: the reason;
 * NULL: it is not known to be. */
const char *reference_zydis_excuse(const struct encoding *encoding, const struct verdict *own);

/* The first thing that our decoder and Zydis say differently of the operands of an encoding that
 * both accept: "base", "immediate" …; NULL when nothing. */
const char *reference_operands(struct references *references, const struct encoding *encoding);

/* "66 0f 6f c1" in a buffer of 3 * ENCODING_BYTES bytes. */
const char *encoding_text(const uint8_t *bytes, unsigned length, char *text);

#endif
