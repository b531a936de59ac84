/* A decoded instruction, and the words that the opcode table uses.
 *
 * One row of opcodes*.def describes one instruction form, in the operand letters of SDM 2D app. A:
 *
 *   OP(id, mnemonic, map, opcode, modrm, prefix, modes, size, op1, op2, op3,
 *      flags_read, flags_written, flags_undefined, feature, privilege, attributes,
 *      policy of the register form, policy of the memory form, shape, SDM section)
 *
 * Every consumer includes the same rows: the enum below, the decode maps, handler prototypes and
 * dispatch, mnemonics, flag liveness, translator policy, coverage, tests.
 */
#ifndef CPU_INSN_H
#define CPU_INSN_H

#include "base/bits.h"

#include <stdbool.h>
#include <stdint.h>

/* Bytes after the prefixes that choose the table. */
/* clang-format off */
enum opcode_map {
    MAP_1, MAP_0F, MAP_0F38, MAP_0F3A,
    MAP_VEX_0F, MAP_VEX_0F38, MAP_VEX_0F3A, /* the same three behind a VEX prefix */
    OPCODE_MAPS
};
/* clang-format on */
static inline bool map_is_vex(unsigned map)
{
    return map >= MAP_VEX_0F;
}

/* Which ModRM bytes belong to the row. */
/* clang-format off */
enum {
    M_NONE = 0x000,               /* the instruction has no ModRM byte */
    M_ANY = 0x100,                /* any */
    M_REG = 0x200, M_MEM = 0x300, /* mod = 3, mod != 3 */
    M_DIGIT = 0x400,              /* +n: /n in either form: M_D(n) */
    M_REG_DIGIT = 0x500,          /* +n: /n with mod = 3 */
    M_MEM_DIGIT = 0x600,          /* +n: /n with mod != 3 */
    M_EXACT = 0x700,              /* +byte: exactly this byte (C0h..FFh): M_RM(byte) */
};
/* clang-format on */
#define M_D(n)     (M_DIGIT + (n))
#define M_RD(n)    (M_REG_DIGIT + (n))
#define M_MD(n)    (M_MEM_DIGIT + (n))
#define M_RM(byte) (M_EXACT + (byte))

/* What the prefixes 66, F3, F2 mean to the row. */
/* clang-format off */
enum opcode_prefix {
    P_ANY,  /* 66 is the operand size; F2/F3 are REP or ignored */
    P_NONE, /* mandatory-prefix row: none of them (NP) */
    P_66, P_F3, P_F2,
    P_SIZE, /* none of F3, F2; 66 is the operand size: MOVBE, RDRAND … */
};
/* clang-format on */

/* Modes where the row exists, and the values of VEX.W and VEX.L where not all are the row's: none
 * of a pair means both (WIG, LIG). */
/* clang-format off */
enum opcode_modes {
    X_LEGACY = 1, X_64 = 2, X_ALL = 3,
    X_W0 = 4, X_W1 = 8, X_L0 = 16, X_L1 = 32,
};
/* clang-format on */

/* How the operand size is found. */
enum opcode_size {
    SZ_B,   /* byte */
    SZ_W,   /* always 16 */
    SZ_D,   /* always 32 */
    SZ_Q,   /* always 64 */
    SZ_V,   /* 16, 32 or 64 by mode, 66 and REX.W */
    SZ_V64, /* as SZ_V, but 64 (or 16 with 66) in 64-bit mode: PUSH, POP, ENTER … */
    SZ_F64, /* as SZ_V, but always 64 in 64-bit mode: near branches */
    SZ_Y,   /* 32, or 64 with REX.W (66 is not looked at): MOVD, CVTSI2SD … */
    SZ_N,   /* the size of the mode's registers: 64 in 64-bit mode, else 32: MOV CR … */
    SZ_Z,   /* 16 or 32 (never 64): INS/OUTS, far pointers' offset … */
    SZ_X,   /* 128 */
    SZ_L,   /* 128 or 256 by VEX.L: insn->size is VECTOR_128 or VECTOR_256 */
};

/* Operands in the SDM's letters. */
/* clang-format off */
enum opcode_operand {
    O_NONE,
    O_Eb, O_Ew, O_Ed, O_Eq, O_Ev, O_Ey, /* ModRM.rm: register or memory */
    O_Gb, O_Gw, O_Gd, O_Gq, O_Gv, O_Gy, /* ModRM.reg */
    O_Rv, O_Ry,                         /* ModRM.rm, register only */
    O_M, O_Mb, O_Mw, O_Md, O_Mq, O_Mdq, O_Mp, O_Ms, O_Ma, O_Mt, /* memory; Mt: 80-bit */
    O_Ib, O_sIb, O_Iw, O_Iz, O_Iv,      /* immediates; sIb is sign-extended to the size */
    O_Jb, O_Jz,                         /* branch displacement */
    O_Ap,                               /* far pointer in the instruction */
    O_Ob, O_Ov,                         /* memory at an absolute offset (moffs) */
    O_Zb, O_Zv,                         /* register in the opcode's low three bits */
    O_AL, O_CL, O_DX, O_AX, O_rAX, O_eAX, O_1, O_3,
    O_Sw, O_CS, O_DS, O_ES, O_FS, O_GS, O_SS,
    O_Cd, O_Dd,                         /* control and debug register in ModRM.reg */
    O_Xb, O_Xv, O_Xz, O_Yb, O_Yv, O_Yz, /* string operands at (E)SI and ES:(E)DI */
    O_Fv,                               /* the flags register */
    O_Pq, O_Pd, O_Qq, O_Qd, O_Nq,       /* MMX: ModRM.reg; ModRM.rm; ModRM.rm register only */
    O_Vx, O_Vq, O_Vd, O_Vss, O_Vsd, O_Vps, O_Vpd, /* XMM: ModRM.reg */
    O_Wx, O_Wq, O_Wd, O_Ww, O_Wss, O_Wsd, O_Wps, O_Wpd, /* XMM: ModRM.rm or memory */
    O_Ux, O_Uq,                         /* XMM: ModRM.rm, register only */
    O_XMM0,
    O_By,                               /* VEX.vvvv: general register */
    O_Lx,                               /* immediate, whose bits 7:4 name an XMM or YMM register */
    O_Wh, O_Wf, O_We,                   /* Wx, of which a half, a quarter, an eighth is in memory */
    O_Wdq, O_Mqq,                       /* Wx of 128 bits whatever VEX.L says; memory of 256 */
    O_Wb,
    O_MV,                               /* memory at addresses with a vector of indices: VSIB */
    O_ST0, O_STi,
    O_EwRv, O_EbRd,                     /* word (byte) in memory, whole register in mod = 3 */
};
/* clang-format on */

/* Flags, at their places in EFLAGS. */
/* clang-format off */
enum {
    F_NONE = 0,
    F_CF = 0x0001, F_PF = 0x0004, F_AF = 0x0010, F_ZF = 0x0040, F_SF = 0x0080, F_TF = 0x0100,
    F_IF = 0x0200, F_DF = 0x0400, F_OF = 0x0800,
    F_IOPL = 0x3000, F_NT = 0x4000, F_RF = 0x10000, F_VM = 0x20000, F_AC = 0x40000,
    F_VIF = 0x80000, F_VIP = 0x100000, F_ID = 0x200000,
    F_ARITH = F_CF | F_PF | F_AF | F_ZF | F_SF | F_OF,
    F_NOT_CF = F_PF | F_AF | F_ZF | F_SF | F_OF,
    F_SYSTEM = F_TF | F_IF | F_IOPL | F_NT | F_RF | F_VM | F_AC | F_VIF | F_VIP | F_ID,
    F_ALL = F_ARITH | F_DF | F_SYSTEM,
};
/* clang-format on */

enum opcode_privilege {
    PRIV_ANY,
    PRIV_0,     /* #GP(0) unless CPL 0 */
    PRIV_IOPL,  /* needs CPL <= IOPL, with VME/PVI exceptions */
    PRIV_IO,    /* CPL <= IOPL or the TSS's permission bitmap */
    PRIV_TABLE, /* CR4 bits decide: UMIP, TSD, PCE, FSGSBASE */
};

/* Attributes. */
enum {
    A_NONE = 0,
    A_LOCK = 1 << 0,        /* LOCK is allowed with a memory destination */
    A_REP = 1 << 1,         /* REP repeats it */
    A_REPZ = 1 << 2,        /* REPZ/REPNZ repeats it, testing ZF */
    A_END = 1 << 3,         /* ends a block: branches, mode changes, interrupt shadow */
    A_SENSITIVE = 1 << 4,   /* outcome depends on or reveals privileged state */
    A_PROT = 1 << 5,        /* #UD in real and virtual-8086 mode */
    A_X87 = 1 << 6,         /* #NM by CR0.EM or CR0.TS */
    A_MMX = 1 << 7,         /* #UD by CR0.EM, #NM by CR0.TS */
    A_SSE = 1 << 8,         /* #UD by CR0.EM or !CR4.OSFXSR, #NM by CR0.TS */
    A_FWAIT = 1 << 9,       /* #NM by CR0.MP and CR0.TS */
    A_STACK = 1 << 10,      /* memory at (E)SP besides the operands: default segment SS */
    A_WRITES_OP1 = 1 << 11, /* operand 1 is written (a LOCKable row also reads it) */
    A_BRANCH = 1 << 12,     /* may continue elsewhere than at the next instruction */
    A_STORE_ONLY = 1 << 13, /* operand 1 is written and not read */
    A_IGNORE_66 = 1 << 14,  /* 66 does not choose the operand size: Intel's near branches … */
    A_AVX = 1 << 15,        /* #UD by !CR4.OSXSAVE or XCR0, #NM by CR0.TS */
    A_VVVV = 1 << 16,       /* VEX.vvvv is an operand too, the second; else it must be 1111b */
    A_256_AVX2 = 1 << 17,   /* with VEX.L, #UD without AVX2 */
};

/* What the translator does with a form. */
enum translate_policy {
    NEVER,     /* the form does not exist */
    IDENTICAL, /* copied, registers renamed */
    MEMORY,    /* copied, the operand routed through the shadow */
    BRANCH,    /* control flow */
    STACK,     /* implicit stack access */
    CALLOUT,   /* sensitive: the hypervisor's routine */
    INTERP,    /* one call of the interpreter's handler */
};

/* Which handlers a row has; (r|m) is ModRM's form, the number is the operand size in bits.
 *   S_ONE    exec_ID
 *   S_RM     exec_ID_r exec_ID_m
 *   S_V      exec_ID_16 _32 _64
 *   S_VRM    exec_ID_r16 _r32 _r64 _m16 _m32 _m64
 *   S_Y      exec_ID_32 _64
 *   S_YRM    exec_ID_r32 _r64 _m32 _m64
 *   S_ZV     exec_ID_16 _32        (rows that have no 64-bit operand size)
 */

/* General registers, by number; a byte register in an operand is its byte offset in cpu->regs
 * (insn_byte_offset), so that AH..BH need no test. */
/* clang-format off */
enum reg { RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8, R9, R10, R11, R12, R13, R14, R15,
           REG_ZERO, /* reads as 0: no base, no index */
           REG_COUNT };

enum seg { ES, CS, SS, DS, FS, GS,
           SEG_FLAT,       /* base 0, no limit: ES, CS, DS of 64-bit mode */
           SEG_FLAT_STACK, /* the same, faulting with #SS: SS of 64-bit mode */
           SEG_COUNT };
/* clang-format on */

enum op_size { SIZE_8, SIZE_16, SIZE_32, SIZE_64 }; /* log2 of bytes */
enum { VECTOR_128, VECTOR_256 };                    /* insn->size in rows of SZ_L: VEX.L */

struct cpu;
struct insn;
typedef int exec_fn(struct cpu *cpu, const struct insn *insn);

/* One decoded instruction: 32 bytes, two to a cache line. */
struct insn {
    exec_fn *exec;
    union {
        uint64_t imm; /* sign-extended as the row says; Ap, ENTER: see disp; moffs: here */
        struct {
            uint32_t imm;
            uint8_t vvvv; /* a register's number, 0 when there is none */
        } vex;            /* behind a VEX prefix */
    };
    int32_t disp;    /* displacement; Ap: the selector; ENTER: the nesting level (imm: the size);
                        RIP-relative: relative to the NEXT instruction, see `rip` */
    uint16_t row;    /* enum opcode */
    uint16_t offset; /* of the instruction's first byte from the block's, bytes */
    uint8_t base, index; /* enum reg; REG_ZERO when absent; MV: index is a vector's number */
    uint8_t reg;    /* ModRM.reg with REX.R, or opcode's low bits (Zv); byte rows: byte offset */
    uint8_t rm;     /* ModRM.rm with REX.B when mod = 3; byte rows: byte offset */
    uint8_t length; /* bytes, 1..15 */
    unsigned scale : 2;
    unsigned seg : 4;     /* enum seg of the memory operand, flat in 64-bit mode */
    unsigned rip : 1;     /* the operand is RIP-relative */
    unsigned memory : 1;  /* ModRM names memory (or moffs) */
    unsigned size : 2;    /* enum op_size: effective operand size */
    unsigned address : 2; /* enum op_size: effective address size 16..64 */
    unsigned lock : 1;
    unsigned rep : 2; /* 0, REP_F3, REP_F2 */
    unsigned rex : 1; /* a REX prefix is present and counts */
    uint8_t modrm;    /* the byte as read (0 when none) */
};

enum { REP_F3 = 1, REP_F2 = 2 };

_Static_assert(sizeof(struct insn) == 32, "a decoded instruction is two to a cache line");

enum opcode {
#define OP(id, ...) OP_##id,
#include "cpu/opcodes.def"
#undef OP
    OPCODE_COUNT
};

/* The facts of a row, for everybody but the dispatch. */
struct opcode_row {
    const char *id, *mnemonic, *section;
    uint8_t map, opcode;
    uint16_t modrm;
    uint8_t prefix, modes, size;
    uint8_t operand[3];
    uint32_t flags_read, flags_written, flags_undefined;
    uint8_t feature; /* enum feature, cpu/features.h */
    uint8_t privilege;
    uint32_t attributes;
    uint8_t policy_register, policy_memory;
};
extern const struct opcode_row opcode_rows[OPCODE_COUNT];

/* Byte offset in the register file of byte register `n`: SPL..DIL with REX, AH..BH without. */
static inline uint8_t insn_byte_offset(unsigned n, bool rex)
{
    return rex || n < 4 ? (uint8_t)(n * 8) : (uint8_t)((n - 4) * 8 + 1);
}

#endif
