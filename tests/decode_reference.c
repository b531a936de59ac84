/* Verdicts of three decoders in one vocabulary.  Mnemonics are brought to the form of the opcode
 * table: no size letters on string and stack instructions, one name for each condition. */
#include "tests/decode_reference.h"

#include "cpu/cpu.h"
#include "cpu/decode.h"
#include "cpu/exec.h"

#include <Zydis/Zydis.h>
#include <capstone/capstone.h>

#include <stdio.h>
#include <stdlib.h>

struct references {
    csh capstone[3];
    cs_insn *insn;
    ZydisDecoder zydis[3];
};

/* --- canonical names */
static const struct {
    const char *from, *to;
} aliases[] = {
    /* clang-format off */
    {"insb", "ins"}, {"insw", "ins"}, {"insd", "ins"},
    {"outsb", "outs"}, {"outsw", "outs"}, {"outsd", "outs"},
    {"movsb", "movs"}, {"movsw", "movs"}, {"movsq", "movs"},
    {"cmpsb", "cmps"}, {"cmpsw", "cmps"}, {"cmpsq", "cmps"},
    {"stosb", "stos"}, {"stosw", "stos"}, {"stosd", "stos"}, {"stosq", "stos"},
    {"lodsb", "lods"}, {"lodsw", "lods"}, {"lodsd", "lods"}, {"lodsq", "lods"},
    {"scasb", "scas"}, {"scasw", "scas"}, {"scasd", "scas"}, {"scasq", "scas"},
    {"iretd", "iret"}, {"iretq", "iret"},
    {"pushfd", "pushf"}, {"pushfq", "pushf"}, {"popfd", "popf"}, {"popfq", "popf"},
    {"pushal", "pusha"}, {"pushaw", "pusha"}, {"pushad", "pusha"},
    {"popal", "popa"}, {"popaw", "popa"}, {"popad", "popa"},
    {"cwde", "cbw"}, {"cdqe", "cbw"}, {"cdq", "cwd"}, {"cqo", "cwd"},
    {"jecxz", "jcxz"}, {"jrcxz", "jcxz"},
    {"retn", "ret"}, {"retfq", "retf"},
    {"ljmp", "jmp"}, {"lcall", "call"}, {"movabs", "mov"},
    {"sal", "shl"}, {"wait", "fwait"}, {"xlatb", "xlat"}, {"icebp", "int1"},
    {"setalc", "salc"}, {"loopz", "loope"}, {"loopnz", "loopne"},
    {"sysexitq", "sysexit"}, {"sysretq", "sysret"}, {"sysretl", "sysret"},
    {"fxsave64", "fxsave"}, {"fxrstor64", "fxrstor"},
    {"xsave64", "xsave"}, {"xrstor64", "xrstor"}, {"xsaveopt64", "xsaveopt"},
    {"xsavec64", "xsavec"}, {"xsaves64", "xsaves"}, {"xrstors64", "xrstors"},
    {"fucompi", "fucomip"}, {"fcompi", "fcomip"},
    {"fstpnce", "fstp"}, {"feni8087_nop", "fneni"}, {"fdisi8087_nop", "fndisi"},
    {"fsetpm287_nop", "fnsetpm"}, {"fsetpm", "fnsetpm"},
    /* the size is the operand's */
    {"movq", "movd"}, {"pinsrq", "pinsrd"}, {"pextrq", "pextrd"}, {"vmovq", "vmovd"},
    {"vpinsrq", "vpinsrd"}, {"vpextrq", "vpextrd"}, {"cmpxchg16b", "cmpxchg8b"},
    {"ud2b", "ud1"}, {"ud2a", "ud2"},
    {"jnbe", "ja"}, {"jae", "jnb"}, {"jnc", "jnb"}, {"jnae", "jb"}, {"jc", "jb"}, {"jna", "jbe"},
    {"je", "jz"}, {"jne", "jnz"}, {"jnle", "jg"}, {"jge", "jnl"}, {"jnge", "jl"}, {"jng", "jle"},
    {"jpe", "jp"}, {"jpo", "jnp"},
    /* clang-format on */
};

/* j, set, cmov: the condition's one name is that of the jump. */
static void canonical_condition(char *name)
{
    static const char *const families[] = {"set", "cmov"};
    for (unsigned i = 0; i < ARRAY_LENGTH(families); i++) {
        size_t length = strlen(families[i]);
        char jump[32];
        if (strncmp(name, families[i], length) || !strcmp(name, "setalc"))
            continue;
        snprintf(jump, sizeof jump, "j%s", name + length);
        for (unsigned n = 0; n < ARRAY_LENGTH(aliases); n++)
            if (!strcmp(jump, aliases[n].from))
                strcpy(name + length, aliases[n].to + 1);
    }
}

/* cmpltps and the like are cmpps with an immediate. */
static void canonical_compare(char *name)
{
    static const char *const types[] = {"ps", "pd", "ss", "sd"};
    name += name[0] == 'v'; /* … and so are AVX's */
    size_t length = strlen(name);
    if (length < 7 || strncmp(name, "cmp", 3) || !strncmp(name, "cmpxchg", 7))
        return;
    for (unsigned i = 0; i < ARRAY_LENGTH(types); i++)
        if (!strcmp(name + length - 2, types[i])) {
            memmove(name + 3, types[i], 3);
            return;
        }
}

static void canonical(const struct encoding *encoding, const char *from, char *name, size_t size)
{
    const char *last = strrchr(from, ' ');
    snprintf(name, size, "%s", last ? last + 1 : from);
    if (encoding->map == MAP_1 && !strcmp(name, "movsd"))
        strcpy(name, "movs");
    if (encoding->map == MAP_1 && !strcmp(name, "cmpsd"))
        strcpy(name, "cmps");
    if (encoding->map == MAP_1 && (encoding->opcode & 0xfe) == 0xca && !strcmp(name, "ret"))
        strcpy(name, "retf");
    /* The row of XCHG Zv, rAX covers NOP. */
    if (encoding->map == MAP_1 && encoding->opcode == 0x90 && !(encoding->rex & 1) &&
        !strcmp(name, "xchg"))
        strcpy(name, "nop");
    if (!strncmp(name, "pclmul", 6))
        strcpy(name, "pclmulqdq");
    canonical_compare(name);
    canonical_condition(name);
    /* Assemblers' letters for the size of a source in memory */
    size_t length = strlen(name);
    if (!strncmp(name, "vcvt", 4) && (name[length - 1] == 'x' || name[length - 1] == 'y'))
        name[length - 1] = 0;
    for (unsigned i = 0; i < ARRAY_LENGTH(aliases); i++)
        if (!strcmp(name, aliases[i].from)) {
            snprintf(name, size, "%s", aliases[i].to);
            return;
        }
}

/* --- taking apart */
static void encoding_parse_vex(struct encoding *encoding, const uint8_t *bytes, unsigned *at)
{
    encoding->vex = bytes[*at];
    encoding->map = MAP_VEX_0F;
    if (encoding->opcode == 0xc4) {
        unsigned map = MAP_VEX_0F - 1 + (bytes[(*at)++] & 31);
        encoding->map = map < MAP_VEX_0F || map > OPCODE_MAPS ? OPCODE_MAPS : (uint8_t)map;
        encoding->vex = bytes[*at];
    }
    ++*at;
    encoding->opcode = bytes[(*at)++];
}

void encoding_parse(struct encoding *encoding, const uint8_t *bytes, unsigned code)
{
    unsigned at = 0, segments = 0, operand = 0, address = 0, locks = 0, f2 = 0, f3 = 0;
    *encoding = (struct encoding){.bytes = bytes, .code = code};
    for (; at < ENCODING_BYTES - 4; at++) {
        uint8_t byte = bytes[at];
        if (byte == 0x66) {
            operand++;
        } else if (byte == 0x67) {
            address++;
        } else if (byte == 0xf0) {
            locks++;
        } else if (byte == 0xf2 || byte == 0xf3) {
            byte == 0xf2 ? f2++ : f3++;
            encoding->rep = byte;
        } else if ((byte & 0xe7) == 0x26 || byte == 0x64 || byte == 0x65) {
            segments++;
        } else if (code == CODE_64 && (byte & 0xf0) == 0x40) {
            encoding->rex_ignored |= encoding->rex != 0;
            encoding->rex = byte;
            continue;
        } else {
            break;
        }
        encoding->rex_ignored |= encoding->rex != 0;
        encoding->rex = 0;
    }
    encoding->prefix_66 = operand;
    encoding->prefix_67 = address;
    encoding->lock = locks;
    encoding->segment = segments;
    encoding->both_reps = f2 && f3;
    encoding->repeated =
        (operand > 1) + (address > 1) + (locks > 1) + (segments > 1) + (f2 + f3 + locks > 1);
    encoding->legacy = operand + address + locks + segments + f2 + f3;
    encoding->opcode = bytes[at++];
    if ((encoding->opcode & 0xfe) == 0xc4 && (code == CODE_64 || bytes[at] >= 0xc0)) {
        encoding_parse_vex(encoding, bytes, &at);
    } else if (encoding->opcode == 0x0f) {
        encoding->map = MAP_0F;
        encoding->opcode = bytes[at++];
        if (encoding->opcode == 0x38 || encoding->opcode == 0x3a) {
            encoding->map = encoding->opcode == 0x38 ? MAP_0F38 : MAP_0F3A;
            encoding->opcode = bytes[at++];
        }
    }
    encoding->modrm = at < ENCODING_BYTES ? bytes[at] : 0;
}

const char *encoding_text(const uint8_t *bytes, unsigned length, char *text)
{
    text[0] = 0;
    for (unsigned i = 0; i < length; i++)
        sprintf(text + (i ? 3 * i - 1 : 0), i ? " %02x" : "%02x", bytes[i]);
    return text;
}

/* --- the three */
struct references *references_new(void)
{
    static const cs_mode capstone_modes[] = {CS_MODE_16, CS_MODE_32, CS_MODE_64};
    static const ZydisMachineMode zydis_modes[] = {
        ZYDIS_MACHINE_MODE_LEGACY_16, ZYDIS_MACHINE_MODE_LEGACY_32, ZYDIS_MACHINE_MODE_LONG_64};
    static const ZydisStackWidth zydis_widths[] = {ZYDIS_STACK_WIDTH_16, ZYDIS_STACK_WIDTH_32,
                                                   ZYDIS_STACK_WIDTH_64};
    /* Instruction sets that take over encodings of NOP. */
    static const ZydisDecoderMode off[] = {ZYDIS_DECODER_MODE_MPX, ZYDIS_DECODER_MODE_CET,
                                           ZYDIS_DECODER_MODE_CLDEMOTE,
                                           ZYDIS_DECODER_MODE_WBNOINVD};
    struct references *references = calloc(1, sizeof *references);
    if (!references)
        abort();
    for (unsigned i = 0; i < 3; i++) {
        if (cs_open(CS_ARCH_X86, capstone_modes[i], &references->capstone[i]) != CS_ERR_OK)
            abort();
        cs_option(references->capstone[i], CS_OPT_DETAIL, CS_OPT_ON);
        ZydisDecoderInit(&references->zydis[i], zydis_modes[i], zydis_widths[i]);
        for (unsigned n = 0; n < ARRAY_LENGTH(off); n++)
            ZydisDecoderEnableMode(&references->zydis[i], off[n], ZYAN_FALSE);
    }
    references->insn = cs_malloc(references->capstone[0]);
    return references;
}

void references_free(struct references *references)
{
    cs_free(references->insn, 1);
    for (unsigned i = 0; i < 3; i++)
        cs_close(&references->capstone[i]);
    free(references);
}

static enum decode_result decode_own(const struct encoding *encoding, struct insn *insn)
{
    struct feature_set features;
    memset(&features, 0xff, sizeof features);
    return decode(encoding->bytes, ENCODING_BYTES,
                  encoding->code | MODE_PROTECTED | MODE_OSFXSR | MODE_AVX, &features, insn);
}

void reference_own(const struct encoding *encoding, struct verdict *verdict)
{
    struct insn insn;
    enum decode_result result = decode_own(encoding, &insn);
    *verdict = (struct verdict){
        .valid = result == DECODE_OK && insn.exec != exec_undefined,
        .length = insn.length,
    };
    if (verdict->valid)
        canonical(encoding, insn_mnemonic(&insn), verdict->name, sizeof verdict->name);
}

static bool capstone_beyond(const struct encoding *encoding, const cs_insn *insn)
{
    static const bool groups[X86_GRP_ENDING] = {
        [X86_GRP_VM] = true,   [X86_GRP_3DNOW] = true,  [X86_GRP_AVX] = true,
        [X86_GRP_AVX2] = true, [X86_GRP_AVX512] = true, [X86_GRP_F16C] = true,
        [X86_GRP_FMA] = true,  [X86_GRP_FMA4] = true,   [X86_GRP_HLE] = true,
        [X86_GRP_RTM] = true,  [X86_GRP_SSE4A] = true,  [X86_GRP_XOP] = true,
        [X86_GRP_CDI] = true,  [X86_GRP_ERI] = true,    [X86_GRP_TBM] = true,
        [X86_GRP_SGX] = true,  [X86_GRP_DQI] = true,    [X86_GRP_BWI] = true,
        [X86_GRP_PFI] = true,  [X86_GRP_VLX] = true,
    };
    /* Those that have no group, or a wrong one. */
    static const char *const names[] = {"getsec", "xtest", "encls", "enclu"};
    if (encoding->map == MAP_0F && (encoding->opcode & 0xfe) == 0xa6) /* VIA Padlock */
        return true;
    for (unsigned i = 0; i < ARRAY_LENGTH(names); i++)
        if (!strcmp(insn->mnemonic, names[i]))
            return true;
    if (map_is_vex(encoding->map) && insn->mnemonic[0] == 'v')
        return true;
    for (unsigned i = 0; i < insn->detail->groups_count; i++) {
        unsigned group = insn->detail->groups[i];
        if (group < X86_GRP_ENDING && groups[group])
            return true;
    }
    return false;
}

void reference_capstone(struct references *references, const struct encoding *encoding,
                        struct verdict *verdict)
{
    const uint8_t *bytes = encoding->bytes;
    size_t size = ENCODING_BYTES;
    uint64_t address = 0;
    *verdict = (struct verdict){0};
    verdict->valid = cs_disasm_iter(references->capstone[encoding->code], &bytes, &size, &address,
                                    references->insn);
    if (!verdict->valid)
        return;
    verdict->length = references->insn->size;
    verdict->beyond = capstone_beyond(encoding, references->insn);
    canonical(encoding, references->insn->mnemonic, verdict->name, sizeof verdict->name);
}

/* Instruction sets that the table has, and what offers them; by a set within them for a few. */
static const struct {
    bool known;
    uint8_t feature;
} extensions[ZYDIS_ISA_EXT_MAX_VALUE + 1] = {
    [ZYDIS_ISA_EXT_BASE] = {true, FEAT_BASE},
    [ZYDIS_ISA_EXT_X87] = {true, FEAT_FPU},
    [ZYDIS_ISA_EXT_MMX] = {true, FEAT_MMX},
    [ZYDIS_ISA_EXT_SSE] = {true, FEAT_SSE},
    [ZYDIS_ISA_EXT_SSE2] = {true, FEAT_SSE2},
    [ZYDIS_ISA_EXT_SSE3] = {true, FEAT_SSE3},
    [ZYDIS_ISA_EXT_SSSE3] = {true, FEAT_SSSE3},
    [ZYDIS_ISA_EXT_SSE4] = {true, FEAT_SSE41},
    [ZYDIS_ISA_EXT_AES] = {true, FEAT_AES},
    [ZYDIS_ISA_EXT_PCLMULQDQ] = {true, FEAT_PCLMUL},
    [ZYDIS_ISA_EXT_SHA] = {true, FEAT_SHA},
    [ZYDIS_ISA_EXT_CLFSH] = {true, FEAT_CLFSH},
    [ZYDIS_ISA_EXT_CLFLUSHOPT] = {true, FEAT_CLFLUSHOPT},
    [ZYDIS_ISA_EXT_LONGMODE] = {true, FEAT_LM},
    [ZYDIS_ISA_EXT_PAUSE] = {true, FEAT_BASE},
    [ZYDIS_ISA_EXT_MONITOR] = {true, FEAT_MONITOR},
    [ZYDIS_ISA_EXT_MOVBE] = {true, FEAT_MOVBE},
    [ZYDIS_ISA_EXT_RDRAND] = {true, FEAT_RDRAND},
    [ZYDIS_ISA_EXT_RDSEED] = {true, FEAT_RDSEED},
    [ZYDIS_ISA_EXT_RDTSCP] = {true, FEAT_RDTSCP},
    [ZYDIS_ISA_EXT_RDPID] = {true, FEAT_RDPID},
    [ZYDIS_ISA_EXT_RDWRFSGS] = {true, FEAT_FSGSBASE},
    [ZYDIS_ISA_EXT_SMAP] = {true, FEAT_SMAP},
    [ZYDIS_ISA_EXT_INVPCID] = {true, FEAT_INVPCID},
    [ZYDIS_ISA_EXT_XSAVE] = {true, FEAT_XSAVE},
    [ZYDIS_ISA_EXT_XSAVEOPT] = {true, FEAT_XSAVEOPT},
    [ZYDIS_ISA_EXT_XSAVEC] = {true, FEAT_XSAVEC},
    [ZYDIS_ISA_EXT_XSAVES] = {true, FEAT_XSAVES},
    [ZYDIS_ISA_EXT_LZCNT] = {true, FEAT_ABM},
    [ZYDIS_ISA_EXT_BMI1] = {true, FEAT_BMI1},
    [ZYDIS_ISA_EXT_BMI2] = {true, FEAT_BMI2},
    [ZYDIS_ISA_EXT_ADOX_ADCX] = {true, FEAT_ADX},
    [ZYDIS_ISA_EXT_AVX] = {true, FEAT_AVX},
    [ZYDIS_ISA_EXT_AVX2] = {true, FEAT_AVX2},
    [ZYDIS_ISA_EXT_AVX2GATHER] = {true, FEAT_AVX2},
    [ZYDIS_ISA_EXT_AVXAES] = {true, FEAT_AES},
    [ZYDIS_ISA_EXT_FMA] = {true, FEAT_FMA},
    [ZYDIS_ISA_EXT_F16C] = {true, FEAT_F16C},
};

/* FEATURE_COUNT: of an instruction set that the table does not have. */
static unsigned zydis_feature(const ZydisDecodedInstruction *insn)
{
    switch (insn->meta.isa_set) {
    case ZYDIS_ISA_SET_LWP:
    case ZYDIS_ISA_SET_AMD:
        return FEATURE_COUNT;
    case ZYDIS_ISA_SET_SSE42:
        return FEAT_SSE42;
    case ZYDIS_ISA_SET_POPCNT:
        return FEAT_POPCNT;
    default:
        return extensions[insn->meta.isa_ext].known ? extensions[insn->meta.isa_ext].feature
                                                    : FEATURE_COUNT;
    }
}

static bool zydis_decode(struct references *references, const struct encoding *encoding,
                         ZydisDecodedInstruction *insn, struct verdict *verdict)
{
    verdict->valid = ZYAN_SUCCESS(ZydisDecoderDecodeInstruction(
        &references->zydis[encoding->code], NULL, encoding->bytes, ENCODING_BYTES, insn));
    verdict->length = verdict->valid ? insn->length : 0;
    verdict->feature = verdict->valid ? zydis_feature(insn) : FEATURE_COUNT;
    verdict->beyond = verdict->valid && verdict->feature == FEATURE_COUNT;
    return verdict->valid;
}

void reference_zydis_bare(struct references *references, const struct encoding *encoding,
                          struct verdict *verdict)
{
    ZydisDecodedInstruction insn;
    zydis_decode(references, encoding, &insn, verdict);
}

void reference_zydis(struct references *references, const struct encoding *encoding,
                     struct verdict *verdict)
{
    ZydisDecodedInstruction insn;
    *verdict = (struct verdict){0};
    if (zydis_decode(references, encoding, &insn, verdict))
        canonical(encoding, ZydisMnemonicGetString(insn.mnemonic), verdict->name,
                  sizeof verdict->name);
}

/* --- where Zydis is wrong */
static bool is_at(const struct encoding *e, unsigned map, unsigned opcode)
{
    return e->map == map && e->opcode == opcode;
}

static bool is_rsm(const struct encoding *e, const struct verdict *own)
{
    return is_at(e, MAP_0F, 0xaa) && !own->valid;
}

static bool is_pause_with_rex_b(const struct encoding *e, const struct verdict *own)
{
    return is_at(e, MAP_1, 0x90) && e->rep == 0xf3 && e->rex & 1;
}

static bool is_prefetch_register(const struct encoding *e, const struct verdict *own)
{
    return is_at(e, MAP_0F, 0x0d) && e->modrm >= 0xc0 && !own->valid;
}

static bool is_monitor_with_prefix(const struct encoding *e, const struct verdict *own)
{
    return is_at(e, MAP_0F, 0x01) && (e->modrm == 0xc8 || e->modrm == 0xc9) &&
           (e->rep || e->prefix_66) && own->valid;
}

static bool is_quadword_element(const struct encoding *e, const struct verdict *own)
{
    return (is_at(e, MAP_VEX_0F3A, 0x22) || is_at(e, MAP_VEX_0F3A, 0x16)) && e->vex & 0x80 &&
           e->code != CODE_64 && !own->valid;
}

static const struct {
    const char *reason;
    bool (*applies)(const struct encoding *e, const struct verdict *own);
} excuses[] = {
    {"outside system management mode RSM is #UD (SDM 2B RSM)", is_rsm},
    {"processors exchange R8 and RAX: F3 means nothing to XCHG", is_pause_with_rex_b},
    {"the SDM gives 0F 0D only memory forms, and processors raise #UD", is_prefetch_register},
    {"outside 64-bit code VPINSRQ and VPEXTRQ are #UD (SDM 2B; and processors)",
     is_quadword_element},
    {"SDM 2B MONITOR and MWAIT are not NP", is_monitor_with_prefix},
};

const char *reference_zydis_excuse(const struct encoding *encoding, const struct verdict *own)
{
    for (unsigned i = 0; i < ARRAY_LENGTH(excuses); i++)
        if (excuses[i].applies(encoding, own))
            return excuses[i].reason;
    return NULL;
}

/* --- operands */
static unsigned register_number(ZydisRegister name)
{
    return name == ZYDIS_REGISTER_NONE ? REG_ZERO : (unsigned)(uint8_t)ZydisRegisterGetId(name);
}

static unsigned segment_number(ZydisRegister name, unsigned code)
{
    unsigned segment = (unsigned)(name - ZYDIS_REGISTER_ES);
    if (code != CODE_64 || segment >= FS)
        return segment;
    return segment == SS ? SEG_FLAT_STACK : SEG_FLAT;
}

static const char *memory_difference(const ZydisDecodedOperand *operand, const struct insn *insn,
                                     unsigned code)
{
    bool rip = operand->mem.base == ZYDIS_REGISTER_RIP || operand->mem.base == ZYDIS_REGISTER_EIP;
    bool moffs = opcode_rows[insn->row].modrm == M_NONE;
    if (!insn->memory)
        return "memory";
    if (insn->rip != rip)
        return "rip";
    /* QUIRK: with 67 and REX.B Zydis gives R13 and no displacement to SIB base 5 of mod 0, which
     * has no base (SDM 2A §2.2.1.2). */
    bool quirk = insn->base == REG_ZERO && operand->mem.base == ZYDIS_REGISTER_R13D;
    if (!rip && !quirk && insn->base != register_number(operand->mem.base))
        return "base";
    if (insn->index != register_number(operand->mem.index))
        return "index";
    if (insn->index != REG_ZERO && 1u << insn->scale != operand->mem.scale)
        return "scale";
    if (operand->mem.type == ZYDIS_MEMOP_TYPE_MEM &&
        segment_number(operand->mem.segment, code) != insn->seg)
        return "segment";
    if (quirk)
        return NULL;
    if (moffs)
        return (insn->imm ^ (uint64_t)operand->mem.disp.value)
                       << (64 - (16u << (insn->address - 1)))
                   ? "moffs"
                   : NULL;
    return insn->disp != (int32_t)operand->mem.disp.value ? "displacement" : NULL;
}

static const char *immediate_difference(const ZydisDecodedOperand *operand, const struct insn *insn,
                                        bool second)
{
    uint64_t own = second ? (uint64_t)insn->disp : insn->imm;
    /* Zydis calls the immediates of byte instructions signed, too. */
    if (operand->imm.is_signed && opcode_rows[insn->row].size != SZ_B)
        return own != (uint64_t)operand->imm.value.s ? "signed immediate" : NULL;
    return bits_field(own ^ operand->imm.value.u, 0, operand->size) ? "immediate" : NULL;
}

static const char *register_difference(const ZydisDecodedOperand *operand, const struct insn *insn)
{
    unsigned number = register_number(operand->reg.value);
    unsigned own = operand->encoding == ZYDIS_OPERAND_ENCODING_MODRM_RM ? insn->rm : insn->reg;
    /* Rows of one segment register name it themselves. */
    if (ZydisRegisterGetClass(operand->reg.value) == ZYDIS_REGCLASS_SEGMENT)
        own &= 7;
    /* Zydis counts AL..BL, AH..BH, SPL..DIL, R8B.. */
    if (ZydisRegisterGetClass(operand->reg.value) == ZYDIS_REGCLASS_GPR8)
        number = number < 8 ? insn_byte_offset(number, false) : insn_byte_offset(number - 4, true);
    return own != number ? "register" : NULL;
}

static const char *size_difference(const ZydisDecodedInstruction *other, const struct insn *insn)
{
    unsigned size = opcode_rows[insn->row].size;
    /* No operand of theirs has it. */
    if (!strcmp(insn_mnemonic(insn), "nop") || opcode_rows[insn->row].operand[0] == O_Ms)
        return NULL;
    if ((size == SZ_V || size == SZ_V64 || size == SZ_F64) &&
        other->operand_width != 8u << insn->size)
        return "operand size";
    return other->address_width != 8u << insn->address ? "address size" : NULL;
}

static bool is_in_encoding(const ZydisDecodedOperand *operand)
{
    return operand->encoding == ZYDIS_OPERAND_ENCODING_MODRM_REG ||
           operand->encoding == ZYDIS_OPERAND_ENCODING_MODRM_RM ||
           operand->encoding == ZYDIS_OPERAND_ENCODING_OPCODE;
}

const char *reference_operands(struct references *references, const struct encoding *encoding)
{
    ZydisDecodedInstruction other;
    ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
    struct insn insn;
    bool second = false;
    if (ZYAN_FAILED(ZydisDecoderDecodeFull(&references->zydis[encoding->code], encoding->bytes,
                                           ENCODING_BYTES, &other, operands)) ||
        decode_own(encoding, &insn) != DECODE_OK)
        return NULL;
    const char *difference = size_difference(&other, &insn);
    for (unsigned i = 0; i < other.operand_count_visible && !difference; i++) {
        const ZydisDecodedOperand *operand = &operands[i];
        bool string = operand->encoding == ZYDIS_OPERAND_ENCODING_NONE;
        if (operand->type == ZYDIS_OPERAND_TYPE_MEMORY && !string) {
            difference = memory_difference(operand, &insn, encoding->code);
        } else if (operand->type == ZYDIS_OPERAND_TYPE_IMMEDIATE && !string) {
            difference = immediate_difference(operand, &insn, second);
            second = true;
        } else if (operand->type == ZYDIS_OPERAND_TYPE_REGISTER && is_in_encoding(operand)) {
            difference = register_difference(operand, &insn);
        } else if (operand->type == ZYDIS_OPERAND_TYPE_POINTER) {
            if (insn.imm != operand->ptr.offset || insn.disp != operand->ptr.segment)
                difference = "far pointer";
        }
    }
    return difference;
}
