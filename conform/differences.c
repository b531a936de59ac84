/* The table of named differences.  Sources: SDM 3B chapter 24 ("IA-32 architecture compatibility"),
 * SDM 2 for the flags that it leaves undefined, and the captures themselves. */
#include "conform/differences.h"

#include "cpu/cpu.h"

/* --- conditions */

static bool is_any(const struct occurrence *o)
{
    return true;
}

static bool is_lock_refused(const struct occurrence *o)
{
    return o->instruction.lock && o->outcome->exception == VECTOR_UD;
}

/* Bytes of prefixes and instruction, without the HLT behind it. */
static bool is_longer_than_10(const struct occurrence *o)
{
    return o->test->byte_count > 11 && o->test->exception == VECTOR_GP;
}

static bool is_undefined_register(const struct occurrence *o)
{
    unsigned reg = instruction_reg(&o->instruction);
    return reg == 4 || reg == 5;
}

/* Ring3 stopped behind a HLT at the last byte of the segment. */
static bool is_ip_past_end(const struct occurrence *o)
{
    const struct outcome *outcome = o->outcome;
    return outcome->wrong_registers == 1u << VR_EIP && !outcome->wrong_bytes &&
           outcome->expected.value[VR_EIP] == 0 && outcome->got.value[VR_EIP] == 0x10000;
}

/* The 286 raised 13, ring3 #SS. */
static bool is_stack_fault(const struct occurrence *o)
{
    return o->test->has_exception && o->test->exception == VECTOR_GP &&
           o->outcome->exception == VECTOR_SS;
}

static bool is_string_fault(const struct occurrence *o)
{
    const uint32_t counted = 1u << VR_ECX | 1u << VR_ESI | 1u << VR_EDI | 1u << VR_EAX;
    return o->instruction.string && o->test->has_exception &&
           o->test->exception == o->outcome->exception &&
           !(o->outcome->wrong_registers & ~counted) && !o->outcome->wrong_bytes;
}

static bool is_fault_in_both(const struct occurrence *o)
{
    return o->test->has_exception && o->test->exception == o->outcome->exception;
}

static bool is_reg_not_0(const struct occurrence *o)
{
    return instruction_reg(&o->instruction) != 0;
}

static bool is_segment_alias(const struct occurrence *o)
{
    unsigned reg = instruction_reg(&o->instruction);
    return reg >= 4 || (reg == 1 && o->instruction.opcode == 0x8e);
}

static bool is_push_sp(const struct occurrence *o)
{
    return o->instruction.opcode == 0x54 || o->instruction.modrm == 0xf4;
}

/* Only bits 12 to 15 of the flags that were pushed. */
static bool is_high_flags_pushed(const struct occurrence *o)
{
    const struct outcome *outcome = o->outcome;
    return !outcome->wrong_registers && !outcome->wrong_flags && outcome->wrong_bytes == 1 &&
           (outcome->bytes[0].expected ^ outcome->bytes[0].got) == 0xf0;
}

static bool is_divide_error(const struct occurrence *o)
{
    return o->outcome->exception == VECTOR_DE;
}

/* The 8086 went to the handler, ring3 did not. */
static bool is_divide_error_of_old(const struct occurrence *o)
{
    return o->outcome->exception < 0 && o->outcome->wrong_registers >> VR_CS & 1;
}

static bool is_overflow_missed(const struct occurrence *o)
{
    uint32_t eax = o->outcome->expected.value[VR_EAX];
    bool lowest = o->instruction.opcode == 0xf6 ? (eax & 0xff) == 0x80 : (eax & 0xffff) == 0x8000;
    return lowest && !o->test->has_exception && o->outcome->exception == VECTOR_DE;
}

static bool is_repeat(const struct occurrence *o)
{
    return o->instruction.repeat || o->instruction.repeat_not;
}

static unsigned shift_count(const struct occurrence *o)
{
    bool by_cl = o->instruction.opcode >= 0xd2;
    return by_cl ? o->test->initial.registers.value[VR_ECX] & 0xff : o->instruction.immediate;
}

static bool is_count_not_1(const struct occurrence *o)
{
    return (shift_count(o) & 31) != 1;
}

static bool is_count_beyond_31(const struct occurrence *o)
{
    return shift_count(o) > 31;
}

static bool is_segment_end(const struct occurrence *o)
{
    return o->outcome->exception == VECTOR_GP || o->outcome->exception == VECTOR_SS;
}

static uint8_t initial_al(const struct occurrence *o)
{
    return (uint8_t)o->test->initial.registers.value[VR_EAX];
}

static bool is_adjust_by_af(const struct occurrence *o)
{
    uint32_t flags = o->test->initial.registers.value[VR_EFLAGS];
    return (flags & F_AF) && !(flags & F_CF) && initial_al(o) >= 0x9a && initial_al(o) <= 0x9f;
}

static bool is_borrow_lost(const struct occurrence *o)
{
    return initial_al(o) < 6;
}

static bool is_carry_from_al(const struct occurrence *o)
{
    return o->instruction.opcode == 0x37 ? initial_al(o) >= 0xfa : initial_al(o) < 6;
}

static bool is_coprocessor_store(const struct occurrence *o)
{
    return o->outcome->exception == VECTOR_UD || o->instruction.memory;
}

/* --- the rows */

#define LOGIC_FLAGS (F_SF | F_ZF | F_PF)

/* clang-format off */
const struct difference differences[] = {
    /* what the SDM leaves undefined */
    {"undefined: DAA, DAS", FAMILY_ALL, "27 2F", F_OF, NULL,
     "OF is undefined"},
    {"undefined: AAA, AAS", FAMILY_ALL, "37 3F", F_OF | LOGIC_FLAGS, NULL,
     "OF, SF, ZF and PF are undefined"},
    {"undefined: AAM, AAD", FAMILY_ALL, "D4 D5", F_OF | F_AF | F_CF, NULL,
     "OF, AF and CF are undefined"},
    {"undefined: shift AF", FAMILY_ALL, "C0.[4-7] C1.[4-7] D0.[4-7] D1.[4-7] D2.[4-7] D3.[4-7]", F_AF, NULL,
     "AF is undefined after shifts"},
    {"undefined: shift OF", FAMILY_ALL, "C0.? C1.? D2.? D3.?", F_OF, is_count_not_1,
     "OF is undefined for counts other than 1"},
    {"undefined: MUL, IMUL", FAMILY_ALL, "69 6B F6.[45] F7.[45]", LOGIC_FLAGS | F_AF, NULL,
     "SF, ZF, AF and PF are undefined"},
    {"undefined: DIV, IDIV", FAMILY_ALL, "F6.[67] F7.[67]", F_ARITH, NULL,
     "all arithmetic flags are undefined"},

    /* 80286 */
    {"286 IDIV overflow", FAMILY_286, "F6.7 F7.7", 0, is_overflow_missed,
     "the 286 misses some negative quotients that do not fit, and gives the lowest number"},
    {"286 AAM fault", FAMILY_286, "D4", F_ARITH, is_divide_error,
     "AAM 0 has changed the flags before its divide error"},
    {"286 LOCK", FAMILY_286, "*", 0, is_lock_refused,
     "the 286 takes LOCK with any instruction in real mode; later processors raise #UD"},
    {"286 length", FAMILY_286, "*", 0, is_longer_than_10,
     "the 286 raises 13 beyond 10 bytes of instruction; the limit is 15 now"},
    {"286 FS, GS", FAMILY_286, "8C 8E", 0, is_undefined_register,
     "the 286 has no FS and GS: #UD"},
    {"286 IP", FAMILY_286, "*", 0, is_ip_past_end,
     "IP has 16 bits and wraps; EIP goes on to 10000h"},
    {"286 stack fault", FAMILY_286, "*", 0, is_stack_fault,
     "a word at offset FFFFh of the stack segment is 13 on the 286, #SS since"},
    {"286 string fault", FAMILY_286, "6C 6D 6E 6F A4 A5 A6 A7 AA AB AC AD AE AF", 0, is_string_fault,
     "the 286 has moved SI, DI and CX on when an element faults; later ones restart cleanly"},
    {"286 POP fault", FAMILY_286, "8F", 0, is_fault_in_both,
     "the 286 has moved SP on when POP's destination faults"},

    /* 8086 */
    {"8086 60-6F", FAMILY_8086, "6?", 0, is_any,
     "60 to 6F are the conditional jumps of 70 to 7F"},
    {"8086 C0 C1 C8 C9", FAMILY_8086, "C0.? C1.? C8 C9", 0, is_any,
     "C0, C1, C8, C9 are the returns of C2, C3, CA, CB"},
    {"8086 shift count", FAMILY_8086, "D2.? D3.?", 0, is_count_beyond_31,
     "counts are not masked to 5 bits"},
    {"8086 SETMO", FAMILY_8086, "D0.6 D1.6 D2.6 D3.6", 0, is_any,
     "/6 sets the operand to all ones; it is SHL since"},
    {"8086 segment registers", FAMILY_8086, "8C 8E", 0, is_segment_alias,
     "only two bits of the register's number count, and CS can be loaded"},
    {"8086 8F C6 C7", FAMILY_8086, "8F C6 C7", 0, is_reg_not_0,
     "ModRM.reg is not looked at; other values than 0 raise #UD since"},
    {"8086 FF /7", FAMILY_8086, "FF.7", 0, is_any,
     "FF /7 is PUSH"},
    {"8086 PUSH SP", FAMILY_8086, "54 FF.6", 0, is_push_sp,
     "PUSH SP pushes SP as it is after the push"},
    {"8086 flags 12-15", FAMILY_8086, "9C CC CD CE", 0, is_high_flags_pushed,
     "bits 12 to 15 of the flags are ones"},
    {"8086 divide error", FAMILY_8086, "D4 F6.[67] F7.[67]", 0, is_divide_error,
     "the address pushed is the next instruction's, and bits 12 to 15 of the flags are ones"},
    {"8086 IDIV minimum", FAMILY_8086, "F6.7 F7.7", 0, is_divide_error_of_old,
     "a quotient of -128 or -32768 is a divide error"},
    {"8086 REP IDIV", FAMILY_8086, "F6.[57] F7.[57]", 0, is_repeat,
     "F2 and F3 negate the result"},
    {"8086 DAA, DAS", FAMILY_8086, "27 2F", 0, is_adjust_by_af,
     "with AF the high digit is adjusted from A0h on, not from 9Ah"},
    {"8086 DAS borrow", FAMILY_8086, "2F", F_CF, is_borrow_lost,
     "the borrow of subtracting 6 does not reach CF"},
    {"8086 AAA, AAS", FAMILY_8086, "37 3F", 0, is_carry_from_al,
     "AL and AH are adjusted each for itself: no carry from AL"},
    {"8086 segment end", FAMILY_8086, "*", 0, is_segment_end,
     "a word at offset FFFFh wraps to offset 0; it is a fault since"},
    {"8086 ESC", FAMILY_8086, "D8 D9 DA DB DC DD DE DF", 0, is_coprocessor_store,
     "there is no coprocessor: ESC only reads its operand"},
};
/* clang-format on */
const unsigned difference_count = ARRAY_LENGTH(differences);

/* --- */

static bool row_fits(const struct difference *row, const struct occurrence *o)
{
    char pattern[16];

    if (!(row->families & o->processor->family))
        return false;
    for (const char *at = row->opcodes; *at;) {
        size_t length = strcspn(at, " ");
        if (length >= sizeof pattern)
            return false;
        memcpy(pattern, at, length);
        pattern[length] = 0;
        if (instruction_key_matches(o->instruction.key, pattern))
            return !row->applies || row->applies(o);
        at += length + (at[length] == ' ');
    }
    return false;
}

/* The bits of a wrong byte that are flags which an exception pushed. */
static uint8_t flags_in_byte(const struct occurrence *o, const struct outcome_byte *byte,
                             uint32_t flags)
{
    uint32_t offset = byte->address - outcome_flags_address(o->outcome);
    return o->test->has_exception && offset < 2 ? (uint8_t)(flags >> 8 * offset) : 0;
}

/* Do the flags of `flags` cover every mismatch? */
static bool only_flags(const struct occurrence *o, uint32_t flags)
{
    const struct outcome *outcome = o->outcome;

    if (outcome->wrong_registers || outcome->never_ended || outcome->wrong_flags & ~flags ||
        outcome->wrong_bytes > OUTCOME_BYTES_MAX)
        return false;
    for (uint32_t i = 0; i < outcome->wrong_bytes; i++) {
        const struct outcome_byte *byte = &outcome->bytes[i];
        if ((byte->expected ^ byte->got) & ~flags_in_byte(o, byte, flags))
            return false;
    }
    return true;
}

uint64_t differences_explain(const struct occurrence *o)
{
    uint32_t flags = 0;
    uint64_t rows = 0;

    for (unsigned n = 0; n < difference_count; n++) {
        if (!row_fits(&differences[n], o))
            continue;
        if (!differences[n].flags)
            return BIT(n);
        flags |= differences[n].flags;
        rows |= BIT(n);
    }
    return rows && only_flags(o, flags) ? rows : 0;
}
