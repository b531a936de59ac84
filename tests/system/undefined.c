/* Opcodes that do not exist, written from the opcode maps of SDM 2D appendix A, for a processor
 * with CR4.OSXSAVE clear and without VMX, SVM, SMX, 3DNow!, RTM and what came after AVX2. */
#include "encodings.h"

enum {
    LEGACY = 1,
    LONG = 2,
    BOTH = 3,
    PARAGRAPHS = 4
}; /* PARAGRAPHS: real and virtual-8086 mode only */
enum { MAP_1, MAP_0F, MAP_0F38, MAP_0F3A };

/* Opcodes `first` to `last` are undefined with these /digits of ModRM, bit by bit: those of the
 * register form and those of the memory form. */
struct hole {
    uint8_t map, first, last, registers, memory, modes;
};

static const struct hole hole_table[] = {
    /* PUSH and POP of segments, DAA .. AAS, PUSHA, POPA, BOUND, the copy of 80, far CALL and JMP,
     * LES, LDS, INTO, AAM, AAD, SALC */
    {MAP_1, 0x06, 0x07, 0xff, 0xff, LONG},
    {MAP_1, 0x0e, 0x0e, 0xff, 0xff, LONG},
    {MAP_1, 0x16, 0x17, 0xff, 0xff, LONG},
    {MAP_1, 0x1e, 0x1f, 0xff, 0xff, LONG},
    {MAP_1, 0x27, 0x27, 0xff, 0xff, LONG},
    {MAP_1, 0x2f, 0x2f, 0xff, 0xff, LONG},
    {MAP_1, 0x37, 0x37, 0xff, 0xff, LONG},
    {MAP_1, 0x3f, 0x3f, 0xff, 0xff, LONG},
    {MAP_1, 0x60, 0x62, 0xff, 0xff, LONG},
    {MAP_1, 0x82, 0x82, 0xff, 0xff, LONG},
    {MAP_1, 0x9a, 0x9a, 0xff, 0xff, LONG},
    {MAP_1, 0xc4, 0xc5, 0xff, 0xff, LONG},
    {MAP_1, 0xce, 0xce, 0xff, 0xff, LONG},
    {MAP_1, 0xd4, 0xd6, 0xff, 0xff, LONG},
    {MAP_1, 0xea, 0xea, 0xff, 0xff, LONG},
    {MAP_1, 0x62, 0x62, 0xff, 0, LEGACY},        /* BOUND */
    {MAP_1, 0xc4, 0xc5, 0xff, 0, LEGACY},        /* LES, LDS */
    {MAP_1, 0x63, 0x63, 0xff, 0xff, PARAGRAPHS}, /* ARPL */
    {MAP_1, 0x8c, 0x8c, 0xc0, 0xc0, BOTH},       /* MOV from segment registers 6 and 7 */
    {MAP_1, 0x8e, 0x8e, 0xc2, 0xc2, BOTH},       /* MOV to CS, 6 and 7 */
    {MAP_1, 0x8d, 0x8d, 0xff, 0, BOTH},          /* LEA */
    {MAP_1, 0x8f, 0x8f, 0xfe, 0xfe, BOTH},       /* POP */
    {MAP_1, 0xc6, 0xc7, 0xfe, 0xfe, BOTH},       /* MOV */
    {MAP_1, 0xfe, 0xfe, 0xfc, 0xfc, BOTH},       /* INC, DEC */
    {MAP_1, 0xff, 0xff, 0xa8, 0x80, BOTH},       /* far CALL and JMP of registers */

    {MAP_0F, 0x00, 0x00, 0xc0, 0xc0, BOTH},
    {MAP_0F, 0x00, 0x00, 0x3f, 0x3f, PARAGRAPHS}, /* SLDT .. VERW */
    {MAP_0F, 0x01, 0x01, 0x2d, 0x20, BOTH},       /* VMX, XGETBV and SVM */
    {MAP_0F, 0x02, 0x03, 0xff, 0xff, PARAGRAPHS}, /* LAR, LSL */
    {MAP_0F, 0x04, 0x04, 0xff, 0xff, BOTH},
    {MAP_0F, 0x0a, 0x0c, 0xff, 0xff, BOTH}, /* UD2 */
    {MAP_0F, 0x0d, 0x0d, 0xff, 0, BOTH},    /* PREFETCH of registers */
    {MAP_0F, 0x0e, 0x0f, 0xff, 0xff, BOTH}, /* 3DNow! */
    {MAP_0F, 0x20, 0x20, 0xe2, 0xe2, BOTH}, /* MOV of CR1, CR5 to CR7: mod is ignored */
    {MAP_0F, 0x22, 0x22, 0xe2, 0xe2, BOTH},
    {MAP_0F, 0x24, 0x27, 0xff, 0xff, BOTH}, /* test registers */
    {MAP_0F, 0x36, 0x37, 0xff, 0xff, BOTH}, /* GETSEC */
    {MAP_0F, 0x39, 0x39, 0xff, 0xff, BOTH},
    {MAP_0F, 0x3b, 0x3f, 0xff, 0xff, BOTH},
    {MAP_0F, 0x71, 0x72, 0xab, 0xff, BOTH}, /* shifts of MMX registers */
    {MAP_0F, 0x73, 0x73, 0xbb, 0xff, BOTH},
    {MAP_0F, 0x78, 0x7b, 0xff, 0xff, BOTH}, /* VMREAD, VMWRITE */
    {MAP_0F, 0xa6, 0xa7, 0xff, 0xff, BOTH},
    {MAP_0F, 0xaa, 0xaa, 0xff, 0xff, BOTH}, /* RSM outside system management mode */
    {MAP_0F, 0xae, 0xae, 0x1f, 0x70, BOTH}, /* XSAVE, XRSTOR, XSAVEOPT */
    {MAP_0F, 0xb2, 0xb2, 0xff, 0, BOTH},    /* LSS */
    {MAP_0F, 0xb4, 0xb5, 0xff, 0, BOTH},    /* LFS, LGS */
    {MAP_0F, 0xb8, 0xb9, 0xff, 0xff, BOTH}, /* JMPE, UD1 */
    {MAP_0F, 0xba, 0xba, 0x0f, 0x0f, BOTH},
    {MAP_0F, 0xc3, 0xc3, 0xff, 0, BOTH},    /* MOVNTI */
    {MAP_0F, 0xc7, 0xc7, 0x3f, 0xfd, BOTH}, /* XSAVES .., VMX */
    {MAP_0F, 0xff, 0xff, 0xff, 0xff, BOTH}, /* UD0 */

    /* Without 66: before it there are only SSSE3's forms of MMX registers, SHA, MOVBE */
    {MAP_0F38, 0x0c, 0x1b, 0xff, 0xff, BOTH},
    {MAP_0F38, 0x1f, 0xc7, 0xff, 0xff, BOTH},
    {MAP_0F38, 0xce, 0xef, 0xff, 0xff, BOTH},
    {MAP_0F38, 0xf0, 0xf1, 0xff, 0, BOTH},
    {MAP_0F38, 0xf2, 0xff, 0xff, 0xff, BOTH},
    {MAP_0F3A, 0x00, 0x0e, 0xff, 0xff, BOTH},
    {MAP_0F3A, 0x10, 0xcb, 0xff, 0xff, BOTH},
    {MAP_0F3A, 0xcd, 0xff, 0xff, 0xff, BOTH},
};

static unsigned modes_of(enum mode mode)
{
    return mode == CODE_64 ? LONG : mode <= V86 ? LEGACY | PARAGRAPHS : LEGACY;
}

static void one_opcode(enum mode mode, const struct hole *hole, unsigned opcode)
{
    static const uint8_t escapes[][2] = {{0}, {0x0f}, {0x0f, 0x38}, {0x0f, 0x3a}};
    static const uint8_t lengths[] = {0, 1, 2, 2};
    const unsigned rm = mode <= PROTECTED_16 ? 7 : 3; /* [BX], [EBX] */

    for (unsigned form = 0; form < 16; form++) {
        unsigned digit = form & 7, count = 0;
        bool memory = form < 8;
        uint8_t bytes[8];
        if (!((memory ? hole->memory : hole->registers) >> digit & 1))
            continue;
        while (count < lengths[hole->map]) {
            bytes[count] = escapes[hole->map][count];
            count++;
        }
        bytes[count++] = (uint8_t)opcode;
        bytes[count++] = (uint8_t)((memory ? rm : 0xc1) | digit << 3);
        struct snippet snippet = code_write(mode, bytes, count);
        code_run(mode, &snippet, mode > PROTECTED_16 && digit & 1 ? 3 : 0, fault(VECTOR_UD, 0));
    }
}

void holes(enum mode mode, const char *place)
{
    case_begin_in("2D A.2 to A.4", "every opcode that does not exist is #UD", place);
    for (unsigned i = 0; i < COUNT(hole_table); i++)
        for (unsigned opcode = hole_table[i].first;
             hole_table[i].modes & modes_of(mode) && opcode <= hole_table[i].last; opcode++)
            one_opcode(mode, &hole_table[i], opcode);
    case_end();
}
