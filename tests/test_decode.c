/* What decode() promises beyond the encodings that other decoders can check: processor state,
 * features, ends of the bytes, and how struct insn is filled. */
#include "cpu/decode.h"
#include "cpu/exec.h"

#include <criterion/criterion.h>
#include <string.h>

enum {
    PROTECTED_16 = CODE_16 | MODE_PROTECTED,
    PROTECTED_32 = CODE_32 | MODE_PROTECTED,
    LONG_64 = CODE_64 | MODE_PROTECTED
};

static struct insn insn;
static struct feature_set features;

/* Decodes a string of hexadecimal bytes. */
static enum decode_result decode_hex(const char *text, uint32_t mode)
{
    uint8_t bytes[32];
    unsigned count = 0, value;
    int length;
    memset(&features, 0xff, sizeof features);
    for (; sscanf(text, "%x%n", &value, &length) == 1; text += length)
        bytes[count++] = (uint8_t)value;
    return decode(bytes, count, mode, &features, &insn);
}

static bool is_undefined(const char *text, uint32_t mode)
{
    cr_assert_eq(decode_hex(text, mode), DECODE_OK, "%s", text);
    return insn.exec == exec_undefined;
}

static bool is_row(const char *text, uint32_t mode, unsigned row)
{
    return !is_undefined(text, mode) && insn.row == row;
}

Test(decode, x87_obeys_em_and_ts)
{
    static const char fld1[] = "d9 e8", fwait[] = "9b";
    cr_expect(is_row(fld1, PROTECTED_32, OP_FLD1));
    decode_hex(fld1, PROTECTED_32 | MODE_EM);
    cr_expect_eq(insn.exec, exec_device_not_available);
    decode_hex(fld1, PROTECTED_32 | MODE_TS);
    cr_expect_eq(insn.exec, exec_device_not_available);
    decode_hex(fwait, PROTECTED_32 | MODE_TS);
    cr_expect_neq(insn.exec, exec_device_not_available);
    decode_hex(fwait, PROTECTED_32 | MODE_MP);
    cr_expect_neq(insn.exec, exec_device_not_available);
    decode_hex(fwait, PROTECTED_32 | MODE_MP | MODE_TS);
    cr_expect_eq(insn.exec, exec_device_not_available);
}

Test(decode, vectors_obey_em_ts_and_osfxsr)
{
    static const char paddb_mmx[] = "0f fc c1", paddb_xmm[] = "66 0f fc c1", lfence[] = "0f ae e8";
    cr_expect(is_row(paddb_mmx, PROTECTED_32, OP_PADDB_PqQq));
    cr_expect(is_undefined(paddb_mmx, PROTECTED_32 | MODE_EM));
    cr_expect(is_undefined(paddb_mmx, PROTECTED_32 | MODE_EM | MODE_TS));
    decode_hex(paddb_mmx, PROTECTED_32 | MODE_TS);
    cr_expect_eq(insn.exec, exec_device_not_available);

    cr_expect(is_undefined(paddb_xmm, PROTECTED_32));
    cr_expect(is_row(paddb_xmm, PROTECTED_32 | MODE_OSFXSR, OP_PADDB_VxWx));
    cr_expect(is_undefined(paddb_xmm, PROTECTED_32 | MODE_OSFXSR | MODE_EM));
    cr_expect(is_undefined(paddb_xmm, PROTECTED_32 | MODE_TS));
    decode_hex(paddb_xmm, PROTECTED_32 | MODE_OSFXSR | MODE_TS);
    cr_expect_eq(insn.exec, exec_device_not_available);
    cr_expect(is_row(lfence, PROTECTED_32 | MODE_EM | MODE_TS, OP_LFENCE));
}

Test(decode, some_instructions_need_protected_mode)
{
    static const char *const texts[] = {"0f 00 c0", "0f 00 d8", "0f 02 c1", "0f 03 c1", "63 c1"};
    for (unsigned i = 0; i < ARRAY_LENGTH(texts); i++) {
        cr_expect(is_undefined(texts[i], CODE_16), "%s", texts[i]);
        cr_expect(is_undefined(texts[i], CODE_16 | MODE_V86), "%s", texts[i]);
        cr_expect(!is_undefined(texts[i], PROTECTED_16), "%s", texts[i]);
    }
}

Test(decode, absent_features_leave_the_older_meaning)
{
    static const uint8_t lzcnt[] = {0xf3, 0x0f, 0xbd, 0xc1}, cmov[] = {0x0f, 0x44, 0xc1};
    memset(&features, 0xff, sizeof features);
    decode(lzcnt, sizeof lzcnt, PROTECTED_32, &features, &insn);
    cr_expect_str_eq(insn_mnemonic(&insn), "lzcnt");
    feature_remove(&features, (enum feature)opcode_rows[insn.row].feature);
    decode(lzcnt, sizeof lzcnt, PROTECTED_32, &features, &insn);
    cr_expect_str_eq(insn_mnemonic(&insn), "bsr");
    feature_remove(&features, FEAT_CMOV);
    cr_expect_eq(decode(cmov, sizeof cmov, PROTECTED_32, &features, &insn), DECODE_OK);
    cr_expect_eq(insn.exec, exec_undefined);
    cr_expect(decode_ends_block(&insn));
}

Test(decode, lock_needs_a_memory_destination)
{
    cr_expect(is_row("f0 01 18", PROTECTED_32, OP_ADD_EvGv));
    cr_expect(insn.lock);
    cr_expect(is_undefined("f0 01 d8", PROTECTED_32));
    cr_expect(is_undefined("f0 03 18", PROTECTED_32));
    cr_expect(is_undefined("f0 39 18", PROTECTED_32));
    cr_expect(is_undefined("f0 8b 18", PROTECTED_32));
    cr_expect(is_undefined("f0 90", PROTECTED_32));
    cr_expect(is_undefined("f0 0f a3 18", PROTECTED_32));
    cr_expect(!is_undefined("f0 0f ab 18", PROTECTED_32));
    cr_expect(!is_undefined("f0 0f c7 08", PROTECTED_32));
}

Test(decode, every_beginning_of_an_instruction_is_truncated)
{
    static const uint8_t bytes[] = {0x66, 0x2e, 0x4d, 0x81, 0x84, 0x88, 1, 2, 3, 4, 5, 6, 7, 8};
    memset(&features, 0xff, sizeof features);
    for (unsigned n = 0; n < sizeof bytes; n++)
        cr_expect_eq(decode(bytes, n, LONG_64, &features, &insn), DECODE_TRUNCATED, "%u", n);
    cr_expect_eq(decode(bytes, sizeof bytes, LONG_64, &features, &insn), DECODE_OK);
    cr_expect_eq(insn.length, sizeof bytes);
    cr_expect_eq(insn.imm, 0x08070605);
    cr_expect_eq(insn.disp, 0x04030201);
}

Test(decode, fifteen_bytes_are_the_limit)
{
    cr_expect_eq(decode_hex("66 66 66 66 66 66 66 66 66 66 66 66 66 01 d8", PROTECTED_32),
                 DECODE_OK);
    cr_expect_eq(insn.length, 15);
    cr_expect_eq(decode_hex("66 66 66 66 66 66 66 66 66 66 66 66 66 66 01 d8", PROTECTED_32),
                 DECODE_TOO_LONG);
    cr_expect_eq(insn.exec, exec_too_long);
    cr_expect(decode_ends_block(&insn));
    cr_expect_eq(decode_hex("f0 f0 f0 f0 f0 f0 f0 f0 f0 f0 f0 f0 f0 f0 f0 f0", PROTECTED_32),
                 DECODE_TOO_LONG);
}

/* As AMD's processors fetch them before they raise #UD (their last bytes in an absent page). */
Test(decode, undefined_encodings_are_as_long_as_their_kin)
{
    static const struct {
        uint8_t bytes[8], length;
    } encodings[] = {
        {{0x06}, 1},                            /* PUSH ES */
        {{0xd4, 1}, 2},                         /* AAM: imm8 */
        {{0x82, 0xc0, 1}, 3},                   /* ADD: ModRM, imm8 */
        {{0x9a, 1, 2, 3, 4, 5, 6}, 7},          /* far CALL */
        {{0xc6, 0xc8, 1}, 3},                   /* /1 */
        {{0xff, 0xbc, 0x24, 1, 2, 3, 4}, 7},    /* /7: SIB, displacement */
        {{0x0f, 0x04}, 2},                      /* nothing */
        {{0x0f, 0xba, 0xc0, 1}, 4},             /* /0 */
        {{0x0f, 0x38, 0xff, 0xc0}, 4},          /* nothing: ModRM */
        {{0x0f, 0x38, 0xff, 0x40, 1}, 5},       /* nothing: displacement */
        {{0x66, 0x0f, 0x3a, 0xff, 0xc0, 1}, 6}, /* nothing: imm8 */
        {{0xc5, 0xf8, 0x04}, 3},                /* nothing */
        {{0xc4, 0xe2, 0x78, 0xff, 0xc0}, 5},    /* nothing: ModRM */
        {{0x66, 0xc5, 0xf8, 0x58, 0x40, 1}, 6}, /* VADDPS behind 66 */
    };
    memset(&features, 0xff, sizeof features);
    for (unsigned i = 0; i < ARRAY_LENGTH(encodings); i++) {
        const uint8_t *bytes = encodings[i].bytes;
        uint8_t long_one[16];
        unsigned length = encodings[i].length;
        for (unsigned n = 0; n < length; n++)
            cr_expect_eq(decode(bytes, n, LONG_64, &features, &insn), DECODE_TRUNCATED, "%u, %u", i,
                         n);
        cr_expect_eq(decode(bytes, length, LONG_64, &features, &insn), DECODE_OK, "%u", i);
        cr_expect_eq(insn.exec, exec_undefined, "%u", i);
        cr_expect_eq(insn.length, length, "%u", i);
        memset(long_one, 0x2e, sizeof long_one);
        memcpy(long_one + sizeof long_one - length, bytes, length);
        cr_expect_eq(decode(long_one, sizeof long_one, LONG_64, &features, &insn), DECODE_TOO_LONG,
                     "%u", i);
    }
}

Test(decode, prefixes)
{
    /* The last of F2 and F3 counts, and goes before 66. */
    cr_expect(is_row("f2 f3 66 0f 10 c1", PROTECTED_32 | MODE_OSFXSR, OP_MOVSS_VssWss));
    cr_expect(is_row("f3 f2 0f 10 c1", PROTECTED_32 | MODE_OSFXSR, OP_MOVSD_VsdWsd));
    /* A REX that another prefix follows is forgotten. */
    cr_expect(is_row("48 66 01 d8", LONG_64, OP_ADD_EvGv));
    cr_expect_eq(insn.size, SIZE_16);
    cr_expect_not(insn.rex);
    cr_expect(is_row("66 48 01 d8", LONG_64, OP_ADD_EvGv));
    cr_expect_eq(insn.size, SIZE_64);
    /* 64-bit code heeds only FS and GS, and other overrides do not take them back. */
    decode_hex("64 3e 8b 00", LONG_64);
    cr_expect_eq(insn.seg, FS);
    decode_hex("2e 8b 45 00", LONG_64);
    cr_expect_eq(insn.seg, SEG_FLAT_STACK);
    decode_hex("64 3e 8b 00", PROTECTED_32);
    cr_expect_eq(insn.seg, DS);
    /* 66 on a near branch: ignored in 64-bit code, a 16-bit displacement else. */
    decode_hex("66 e8 00 00 00 80", LONG_64);
    cr_expect_eq(insn.length, 6);
    cr_expect_eq((int64_t)insn.imm, INT32_MIN);
    decode_hex("66 e8 00 80 00 00", PROTECTED_32);
    cr_expect_eq(insn.length, 4);
    cr_expect_eq((int64_t)insn.imm, INT16_MIN);
}

Test(decode, byte_registers_are_offsets)
{
    decode_hex("00 e1", PROTECTED_32); /* add cl, ah */
    cr_expect_eq(insn.rm, RCX * 8);
    cr_expect_eq(insn.reg, RAX * 8 + 1);
    decode_hex("40 00 e1", LONG_64); /* add cl, spl */
    cr_expect_eq(insn.reg, RSP * 8);
    decode_hex("45 00 f1", LONG_64); /* add r9b, r14b */
    cr_expect_eq(insn.rm, R9 * 8);
    cr_expect_eq(insn.reg, R14 * 8);
    decode_hex("b7 55", LONG_64); /* mov bh */
    cr_expect_eq(insn.reg, RBX * 8 + 1);
    decode_hex("0f b6 f4", PROTECTED_32); /* movzx esi, ah */
    cr_expect_eq(insn.reg, RSI);
    cr_expect_eq(insn.rm, RAX * 8 + 1);
}

Test(decode, unusual_immediates)
{
    decode_hex("c8 34 12 ff", PROTECTED_32); /* enter 1234h, 255 */
    cr_expect_eq(insn.imm, 0x1234);
    cr_expect_eq(insn.disp, 0xff);
    decode_hex("9a 78 56 34 f2 cd ab", PROTECTED_32); /* call abcd:f2345678 */
    cr_expect_eq(insn.imm, 0xf2345678);
    cr_expect_eq(insn.disp, 0xabcd);
    cr_expect_eq(insn.length, 7);
    decode_hex("a1 88 77 66 55 44 33 22 f1", LONG_64); /* mov eax, [f122334455667788] */
    cr_expect_eq(insn.imm, UINT64_C(0xf122334455667788));
    cr_expect(insn.memory);
    decode_hex("67 a1 44 33 22 f1", LONG_64);
    cr_expect_eq(insn.imm, 0xf1223344);
    decode_hex("48 b8 88 77 66 55 44 33 22 f1", LONG_64);
    cr_expect_eq(insn.imm, UINT64_C(0xf122334455667788));
    decode_hex("48 83 c0 80", LONG_64);
    cr_expect_eq((int64_t)insn.imm, -128);
    decode_hex("c2 00 80", LONG_64);
    cr_expect_eq(insn.imm, 0x8000);
    decode_hex("cd 80", PROTECTED_32);
    cr_expect_eq(insn.imm, 0x80);
}

Test(decode, control_registers)
{
    cr_expect(!is_undefined("0f 20 00", PROTECTED_32)); /* mod means nothing: no displacement */
    cr_expect_eq(insn.length, 3);
    cr_expect_not(insn.memory);
    cr_expect(!is_undefined("0f 22 84", LONG_64) || insn.length == 3);
    cr_expect(is_undefined("0f 20 c8", PROTECTED_32)); /* CR1 */
    cr_expect(is_undefined("0f 20 e8", PROTECTED_32)); /* CR5 */
    cr_expect(!is_undefined("44 0f 20 c0", LONG_64));  /* CR8 */
    cr_expect(is_undefined("44 0f 20 c8", LONG_64));   /* CR9 */
    cr_expect(is_undefined("44 0f 21 c0", LONG_64));   /* DR8 */
    cr_expect(is_undefined("8e c8", PROTECTED_32));    /* mov cs */
    cr_expect(is_undefined("8c f0", PROTECTED_32));    /* the seventh segment register */
}

Test(decode, nop_and_its_relatives)
{
    cr_expect(is_row("f3 90", LONG_64, OP_PAUSE));
    cr_expect(!is_undefined("41 90", LONG_64)); /* xchg r8, rax */
    cr_expect_eq(insn.row, OP_XCHG_ZvrAX);
    cr_expect_eq(insn.reg, R8);
    cr_expect_not(decode_ends_block(&insn));
    decode_hex("eb fe", LONG_64);
    cr_expect(decode_ends_block(&insn));
    decode_hex("fb", PROTECTED_32);
    cr_expect(decode_ends_block(&insn));
}
