/* Golden code of the emitters: what Capstone reads is what was asked for. */
#include "translate/emit.h"

#include <capstone/capstone.h>
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

enum { ADDRESS = 0x10000, BYTES = 4096 };

static uint8_t bytes[BYTES];
static struct emitter e;
static csh capstone;
static unsigned checked;

static void setup(void)
{
    cr_assert_eq(cs_open(CS_ARCH_X86, CS_MODE_64, &capstone), CS_ERR_OK);
}
static void teardown(void)
{
    cs_close(&capstone);
}
TestSuite(emit, .init = setup, .fini = teardown);

static void begin(void)
{
    e = (struct emitter){
        .start = bytes, .at = bytes, .end = bytes + BYTES, .to_code = (uint8_t *)ADDRESS - bytes};
}

/* What has been emitted is one instruction, of this text. */
static void expect(const char *format, ...)
{
    char text[128], found[256];
    va_list arguments;
    cs_insn *insn = NULL;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    cr_assert_eq(cs_disasm(capstone, bytes, (size_t)(e.at - bytes), ADDRESS, 1, &insn), 1,
                 "%s: no instruction", text);
    snprintf(found, sizeof found, "%s%s%s", insn->mnemonic, *insn->op_str ? " " : "", insn->op_str);
    cr_assert_str_eq(found, text);
    cr_assert_eq(insn->size, e.at - bytes, "%s: %d bytes, not %d", text, (int)(e.at - bytes),
                 insn->size);
    cs_free(insn, 1);
    checked++;
    begin();
}

/* --- names as Capstone gives them */

static const char *reg_name(unsigned width, unsigned reg)
{
    static const char *const names[][16] = {
        {"al", "cl", "dl", "bl", "spl", "bpl", "sil", "dil", "r8b", "r9b", "r10b", "r11b", "r12b",
         "r13b", "r14b", "r15b"},
        {"ax", "cx", "dx", "bx", "sp", "bp", "si", "di", "r8w", "r9w", "r10w", "r11w", "r12w",
         "r13w", "r14w", "r15w"},
        {"eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi", "r8d", "r9d", "r10d", "r11d",
         "r12d", "r13d", "r14d", "r15d"},
        {"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12",
         "r13", "r14", "r15"}};
    return names[width][reg];
}

static const char *const sizes[] = {"byte", "word", "dword", "qword"};

static void number(char *to, size_t room, int64_t value)
{
    snprintf(to, room, value < 10 ? "%lld" : "0x%llx", (long long)value);
}

static const char *memory_name(struct host_memory memory)
{
    static char text[96];
    char index[16] = "", disp[32] = "";
    if (memory.index != HOST_NONE && memory.scale)
        snprintf(index, sizeof index, " + %s*%u", reg_name(SIZE_64, memory.index),
                 1u << memory.scale);
    else if (memory.index != HOST_NONE)
        snprintf(index, sizeof index, " + %s", reg_name(SIZE_64, memory.index));
    if (memory.disp) {
        strcpy(disp, memory.disp < 0 ? " - " : " + ");
        number(disp + 3, sizeof disp - 3,
               memory.disp < 0 ? -(int64_t)memory.disp : (int64_t)memory.disp);
    }
    snprintf(text, sizeof text, "[%s%s%s]", reg_name(SIZE_64, memory.base), index, disp);
    return text;
}

static const int32_t disps[] = {0, 1, -1, 0x7f, -0x80, 0x80, -0x81, 0x12345678, INT32_MIN};
#define EACH(list, i)     for (unsigned i = 0; i < sizeof(list) / sizeof *(list); i++)
#define EACH_WIDTH(width) for (unsigned width = SIZE_8; width <= SIZE_64; width++)
#define EACH_REG(reg)     for (unsigned reg = 0; reg < 16; reg++)

static const char *const alu_names[] = {"add", "or", "adc", "sbb", "and", "sub", "xor", "cmp"};

/* --- registers */

Test(emit, registers)
{
    begin();
    EACH_WIDTH(width)
    EACH_REG(to)
    EACH_REG(from)
    {
        emit_mov(&e, width, to, from);
        expect("mov %s, %s", reg_name(width, to), reg_name(width, from));
        for (unsigned alu = ALU_ADD; alu <= ALU_CMP; alu++) {
            emit_alu(&e, alu, width, to, from);
            expect("%s %s, %s", alu_names[alu], reg_name(width, to), reg_name(width, from));
        }
        emit_reg(&e, HOST_OP(MAP_0F, 0xb6, 0, (uint8_t)width, .byte_rm = true), to, from);
        if (width != SIZE_8)
            expect("movzx %s, %s", reg_name(width, to), reg_name(SIZE_8, from));
        begin();
        emit_reg(&e, HOST_OP(MAP_1, 0x85, 0, SIZE_64, .lock = false), to, from);
        expect("test %s, %s", reg_name(SIZE_64, from), reg_name(SIZE_64, to));
    }
    cr_assert_gt(checked, 10000);
}

Test(emit, shifted_copies)
{
    begin();
    EACH_REG(to)
    EACH_REG(from)
    {
        if (to == from || !__builtin_cpu_supports("bmi2"))
            continue;
        emit_moved_right(&e, SIZE_32, to, from, 7);
        expect("rorx %s, %s, 7", reg_name(SIZE_32, to), reg_name(SIZE_32, from));
        emit_moved_right(&e, SIZE_64, to, from, 16);
        expect("rorx %s, %s, 0x10", reg_name(SIZE_64, to), reg_name(SIZE_64, from));
    }
}

Test(emit, high_bytes)
{
    static const char *const names[] = {"al", "cl", "dl", "bl", "ah", "ch", "dh", "bh"};
    begin();
    for (unsigned to = 0; to < 8; to++)
        for (unsigned from = 0; from < 8; from++) {
            emit_reg(&e, HOST_OP(MAP_1, 0x88, 0, SIZE_8, .legacy = true), from, to);
            expect("mov %s, %s", names[to], names[from]);
        }
}

Test(emit, prefixes_and_maps)
{
    begin();
    EACH_REG(reg)
    {
        emit_reg(&e, HOST_OP(MAP_0F, 0x58, 0xf2, SIZE_32), reg, 15 - reg);
        expect("addsd xmm%u, xmm%u", reg, 15 - reg);
        emit_reg(&e, HOST_OP(MAP_0F38, 0x00, 0x66, SIZE_32), reg, 15 - reg);
        expect("pshufb xmm%u, xmm%u", reg, 15 - reg);
        emit_reg(&e, HOST_OP(MAP_0F3A, 0x0f, 0x66, SIZE_32), reg, 15 - reg);
        emit_byte(&e, 5);
        expect("palignr xmm%u, xmm%u, 5", reg, 15 - reg);
        emit_reg(&e, HOST_OP(MAP_0F, 0xb8, 0xf3, SIZE_64), reg, 15 - reg);
        expect("popcnt %s, %s", reg_name(SIZE_64, reg), reg_name(SIZE_64, 15 - reg));
        emit_opcode_reg(&e, HOST_OP(MAP_0F, 0xc8, 0, SIZE_64), reg);
        expect("bswap %s", reg_name(SIZE_64, reg));
        emit_opcode_reg(&e, HOST_OP(MAP_1, 0x50, 0, SIZE_32), reg);
        expect("push %s", reg_name(SIZE_64, reg));
        emit_mem(&e, HOST_OP(MAP_1, 0x01, 0, SIZE_16, .lock = true), reg, AT(RBX, 4));
        expect("lock add word ptr [rbx + 4], %s", reg_name(SIZE_16, reg));
    }
}

/* --- memory */

/* All registers in all places of a VEX prefix, which has them inverted; short where it can be. */
Test(emit, vex_prefixes)
{
    static const char *const general[] = {"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
                                          "r8",  "r9",  "r10", "r11", "r12", "r13", "r14", "r15"};
    begin();
    for (unsigned n = 0; n < 16 * 16 * 16; n++) {
        const unsigned reg = n & 15, vvvv = n >> 4 & 15, rm = n >> 8;
        struct host_op op = {
            .map = MAP_VEX_0F, .opcode = 0x58, .width = SIZE_32, .vvvv = (uint8_t)vvvv};
        emit_reg(&e, op, reg, rm);
        cr_assert_eq(e.at - bytes, rm < 8 ? 4 : 5);
        expect("vaddps xmm%u, xmm%u, xmm%u", reg, vvvv, rm);
        op = (struct host_op){.map = MAP_VEX_0F,
                              .opcode = 0xfe,
                              .prefix = 0x66,
                              .width = SIZE_32,
                              .vvvv = (uint8_t)vvvv,
                              .wide = true};
        emit_mem(&e, op, reg, AT((uint8_t)rm, 0x40));
        expect("vpaddd ymm%u, ymm%u, ymmword ptr [%s + 0x40]", reg, vvvv, general[rm]);
        op = (struct host_op){.map = MAP_VEX_0F38,
                              .opcode = 0xf6,
                              .prefix = 0xf2,
                              .width = SIZE_64,
                              .vvvv = (uint8_t)vvvv};
        emit_reg(&e, op, reg, rm);
        expect("mulx %s, %s, %s", general[reg], general[vvvv], general[rm]);
    }
    emit_mem(&e, HOST_OP(.map = MAP_VEX_0F, .opcode = 0x10, .prefix = 0xf3, .width = SIZE_32), 9,
             (struct host_memory){RBX, R12, 2, 0});
    expect("vmovss xmm9, dword ptr [rbx + r12*4]");
    emit_reg(&e,
             HOST_OP(.map = MAP_VEX_0F3A, .opcode = 0x06, .prefix = 0x66, .width = SIZE_32,
                     .vvvv = 3, .wide = true),
             1, 2);
    emit_byte(&e, 0x31);
    expect("vperm2f128 ymm1, ymm3, ymm2, 0x31");
}

Test(emit, addresses)
{
    begin();
    EACH_REG(base)
    EACH(disps, i)
    {
        for (unsigned index = 0; index <= 16; index++) {
            if (index == RSP)
                continue; /* none can be encoded */
            for (unsigned scale = 0; scale < (index < 16 ? 4 : 1); scale++) {
                const struct host_memory memory = {(uint8_t)base,
                                                   (uint8_t)(index < 16 ? index : HOST_NONE),
                                                   (uint8_t)scale, disps[i]};
                emit_lea(&e, SIZE_64, (base + index) & 15, memory);
                expect("lea %s, %s", reg_name(SIZE_64, (base + index) & 15), memory_name(memory));
            }
        }
        const bool sib = (base & 7) == RSP;
        const bool none = !disps[i] && (base & 7) != RBP;
        emit_load(&e, SIZE_64, RAX, base, disps[i]);
        const bool is_short = disps[i] == (int8_t)disps[i];
        cr_assert_eq(e.at - bytes, 3 + sib + (none ? 0 : is_short ? 1 : 4));
        begin();
    }
}

Test(emit, addresses_without_base)
{
    static const int32_t far[] = {0x12345678, 0x40};
    begin();
    EACH_REG(index)
    EACH(far, i)
    {
        if (index == RSP)
            continue; /* none can be encoded */
        emit_lea(&e, SIZE_64, RDX, (struct host_memory){HOST_NONE, (uint8_t)index, 2, far[i]});
        expect("lea rdx, [%s*4 + 0x%x]", reg_name(SIZE_64, index), (unsigned)far[i]);
    }
}

Test(emit, loads_and_stores)
{
    begin();
    EACH_WIDTH(width)
    EACH_REG(base)
    EACH(disps, i)
    {
        const struct host_memory memory = AT((uint8_t)base, disps[i]);
        EACH_REG(reg)
        {
            emit_load(&e, width, reg, base, disps[i]);
            expect("mov %s, %s ptr %s", reg_name(width, reg), sizes[width], memory_name(memory));
            emit_store(&e, width, base, disps[i], reg);
            expect("mov %s ptr %s, %s", sizes[width], memory_name(memory), reg_name(width, reg));
            emit_alu_load(&e, reg & 7, width, reg, base, disps[i]);
            expect("%s %s, %s ptr %s", alu_names[reg & 7], reg_name(width, reg), sizes[width],
                   memory_name(memory));
        }
        emit_store_imm(&e, width, base, disps[i], 0x12);
        expect("mov %s ptr %s, 0x12", sizes[width], memory_name(memory));
        for (unsigned alu = ALU_ADD; alu <= ALU_CMP; alu++) {
            emit_alu_mem_imm(&e, alu, width, base, disps[i], 0x21);
            expect("%s %s ptr %s, 0x21", alu_names[alu], sizes[width], memory_name(memory));
        }
    }
    cr_assert_gt(checked, 20000);
}

Test(emit, addresses_from_rip)
{
    static const int32_t distances[] = {0x20, -0x4000, 0x7fff0000, -0x7fff0000};
    begin();
    EACH(distances, i)
    EACH_REG(reg)
    {
        const void *target = (const void *)(uintptr_t)((int64_t)ADDRESS + distances[i]);
        emit_rip(&e, OP_WIDE(0x8b), reg, target, 0);
        int64_t disp = distances[i] - (e.at - bytes);
        char text[32];
        number(text, sizeof text, disp < 0 ? -disp : disp);
        expect("mov %s, qword ptr [rip %c %s]", reg_name(SIZE_64, reg), disp < 0 ? '-' : '+', text);
        emit_rip(&e, HOST_OP(MAP_1, 0x80, 0, SIZE_32), 7, target, 1);
        emit_byte(&e, 0x55);
        disp = distances[i] - (e.at - bytes);
        number(text, sizeof text, disp < 0 ? -disp : disp);
        expect("cmp byte ptr [rip %c %s], 0x55", disp < 0 ? '-' : '+', text);
    }
}

/* --- immediates and shifts */

Test(emit, immediates)
{
    static const struct {
        uint64_t value;
        unsigned length;
    } moves[] = {{0, 5},          {0x7fffffff, 5},          {0xffffffff, 5},
                 {UINT64_MAX, 7}, {0xffffffff80000000u, 7}, {0xffffffff7fffffffu, 10},
                 {1ull << 32, 10}};
    begin();
    EACH_REG(reg)
    EACH(moves, i)
    {
        cs_insn *insn;
        emit_mov_imm(&e, reg, moves[i].value);
        cr_assert_eq(e.at - bytes, moves[i].length + (reg >= 8 && moves[i].length == 5));
        cs_option(capstone, CS_OPT_DETAIL, CS_OPT_ON);
        cr_assert_eq(cs_disasm(capstone, bytes, (size_t)(e.at - bytes), 0, 1, &insn), 1);
        const cs_x86_op *operands = insn->detail->x86.operands;
        cr_assert_eq((uint64_t)operands[1].imm, moves[i].value);
        cr_assert_str_eq(cs_reg_name(capstone, operands[0].reg),
                         reg_name(moves[i].length == 5 ? SIZE_32 : SIZE_64, reg));
        cs_free(insn, 1);
        cs_option(capstone, CS_OPT_DETAIL, CS_OPT_OFF);
        begin();
    }
    EACH_WIDTH(width)
    EACH_REG(reg)
    {
        for (unsigned alu = ALU_ADD; alu <= ALU_CMP; alu++) {
            emit_alu_imm(&e, alu, width, reg, 0x11);
            expect("%s %s, 0x11", alu_names[alu], reg_name(width, reg));
            if (width < SIZE_16)
                continue;
            emit_alu_imm(&e, alu, width, reg, 0x1234);
            expect("%s %s, 0x1234", alu_names[alu], reg_name(width, reg));
        }
        static const char *const shifts[] = {"rol", "ror", "rcl", "rcr",
                                             "shl", "shr", "shl", "sar"};
        for (unsigned digit = 0; digit < 8; digit++) {
            emit_shift_imm(&e, digit, width, reg, 3);
            if (digit == 6) /* an alias that nobody asks for */
                begin();
            else
                expect("%s %s, 3", shifts[digit], reg_name(width, reg));
        }
    }
}

/* --- jumps */

Test(emit, jumps)
{
    static const char *const conditions[] = {"o", "no", "b", "ae", "e", "ne", "be", "a", "s", "ns"};
    begin();
    emit_jump_to(&e, (const uint8_t *)ADDRESS + 0x1234);
    expect("jmp 0x11234");
    emit_call_to(&e, (const uint8_t *)ADDRESS - 0x1234);
    expect("call 0xedcc");
    for (unsigned condition = COND_O; condition <= COND_NS; condition++) {
        uint8_t *place = emit_jump_if(&e, condition);
        uint8_t *end = e.at;
        cr_assert_eq(place, end - 4);
        for (unsigned i = 0; i < 0x55; i++)
            emit_byte(&e, 0x90);
        emit_jump_here(&e, place);
        e.at = end;
        expect("j%s 0x1005b", conditions[condition]);
    }
    uint8_t *place = emit_jump(&e), *end = e.at;
    emit_u64(&e, 0);
    emit_jump_here(&e, place);
    e.at = end;
    expect("jmp 0x1000d");
}

/* Whatever is emitted: nothing goes beyond the end, and it is noticed. */
Test(emit, a_full_stretch_stays_in_its_bounds)
{
    for (unsigned room = 0; room < 64; room++) {
        memset(bytes, 0xcc, sizeof bytes);
        begin();
        e.end = bytes + room;
        for (unsigned i = 0; i < 8; i++) {
            emit_store_imm(&e, SIZE_64, R12, 0x1000, 0x12345678);
            uint8_t *place = emit_jump(&e);
            emit_u64(&e, 0);
            emit_jump_here(&e, place);
        }
        cr_assert(e.full);
        cr_assert_leq(e.at, e.end);
        for (unsigned i = room; i < sizeof bytes; i++)
            cr_assert_eq(bytes[i], 0xcc, "room for %u: byte %u written", room, i);
    }
}
