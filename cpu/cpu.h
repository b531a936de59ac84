/* One virtual processor: all of its state, and what a run of it can end in.
 *
 * Everything hangs from `struct cpu *`; there are no globals.  One host thread runs a cpu; the
 * others may only call cpu_raise_line(), cpu_lower_line() and cpu_kick().
 *
 * INV-1: `rip` is current between blocks and after a fault; inside a block the instruction pointer
 *        is block_rip + insn->offset.
 * INV-2: the arithmetic flags live in `lazy`, the others in `eflags`; cpu_eflags() composes them.
 * INV-3: `mode` (block mode), the segments' fast limits, `stack_mask`, `linear_mask`, `ip_mask` and
 *        `view` follow CR0, CR4, XCR0, EFER, EFLAGS.VM/AC, CS and SS: whoever changes one of these
 *        calls cpu_mode_changed().
 * INV-4: while a block runs, the host's MXCSR holds the guest's with all exceptions masked, when
 *        the guest has them all masked; else SSE handlers check at each instruction
 *        (cpu/sse_env.h). The host's x87 control word is the guest's (cpu/x87_host.h).  What runs
 *        in between (devices, callbacks) uses no floating point.
 */
#ifndef CPU_CPU_H
#define CPU_CPU_H

#include "base/bits.h"
#include "base/types.h"
#include "cpu/features.h"
#include "cpu/insn.h"
#include "cpu/tsc.h"
#include "softmmu/control_registers.h"
#include "softmmu/mmu.h"
#include "softmmu/window.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>

enum { CODE_16, CODE_32, CODE_64 };

/* What a decoded block depends on besides its bytes: the key of the block cache. */
enum {
    MODE_CODE = 3,           /* CODE_16, CODE_32, CODE_64 */
    MODE_PROTECTED = 1 << 2, /* CR0.PE and not virtual-8086 */
    MODE_V86 = 1 << 3,
    MODE_EM = 1 << 4,
    MODE_TS = 1 << 5,
    MODE_MP = 1 << 6,
    MODE_OSFXSR = 1 << 7,
    MODE_SINGLE = 1 << 8,  /* one instruction a block: single-step, interrupt shadow */
    MODE_FLAT = 1 << 9,    /* 32-bit code; CS, SS, DS and ES span all 4 GiB, SS.B is set */
    MODE_COMPAT = 1 << 10, /* 16- or 32-bit code in long mode */
    MODE_AVX = 1 << 11,    /* CR4.OSXSAVE, and XCR0 has SSE's and AVX's state */
    /* Data is reached through windows (softmmu/window.h): user code's, or that of code of another
     * privilege. */
    MODE_WINDOW_USER = 1 << 12,
    MODE_WINDOW_SUPERVISOR = 1 << 13,
    MODE_WINDOW = MODE_WINDOW_USER | MODE_WINDOW_SUPERVISOR,
};

/* Segment attributes: bits 8..23 of the descriptor's high dword, shifted to 0, as VMX keeps
 * them. */
enum {
    SEG_TYPE = 0x000f,
    SEG_S = 0x0010,
    SEG_DPL_SHIFT = 5,
    SEG_DPL = 0x0060,
    SEG_P = 0x0080,
    SEG_AVL = 0x1000,
    SEG_L = 0x2000,
    SEG_DB = 0x4000,
    SEG_G = 0x8000,
    /* type bits of code and data segments */
    SEG_ACCESSED = 1,
    SEG_WRITABLE = 2,    /* data */
    SEG_READABLE = 2,    /* code */
    SEG_EXPAND_DOWN = 4, /* data */
    SEG_CONFORMING = 4,  /* code */
    SEG_CODE = 8,
};

struct segment {
    uint64_t base;
    uint32_t limit; /* bytes, G applied: highest offset */
    uint16_t selector;
    uint16_t attributes; /* SEG_…; 0 with SEG_P clear: null, unusable */
    /* End (exclusive) of the offsets from 0 that a read (write) may touch without further checks:
     * the fast path needs offset + size <= this.  0: every access takes the slow path. */
    uint64_t read_end, write_end;
};

struct descriptor_table {
    uint64_t base;
    uint32_t limit;
};

/* Lazy arithmetic flags: what the last operation left, from which each flag is computed when asked.
 * result: the result, sign-extended from the operand's size to 64 bits.
 * carries: bit 63 the carry out of the top bit (CF), bit 62 the carry into it (CF ^ OF),
 *          bit 3 the carry out of bit 3 (AF), bit 0 inverts SF, bits 15:8 are XORed into the byte
 *          whose parity is PF. */
struct lazy_flags {
    uint64_t result;
    uint64_t carries;
};

union vector {
    uint8_t b[32];
    int8_t sb[32];
    uint16_t w[16];
    int16_t sw[16];
    uint32_t d[8];
    int32_t sd[8];
    uint64_t q[4];
    int64_t sq[4];
    float ps[8];
    double pd[4];
} __attribute__((aligned(32)));

/* An x87 register: 80 bits, as FXSAVE lays it out. */
struct x87_register {
    uint64_t mantissa;
    uint16_t exponent; /* sign in bit 15 */
    uint16_t unused[3];
};

struct x87 {
    struct x87_register registers[8]; /* physical R0..R7, not ST-relative */
    uint16_t control, status;         /* status holds TOP */
    uint8_t valid;                    /* bit n: R(n) is not empty (FXSAVE's abridged tag) */
    uint16_t opcode;                  /* FOP, 11 bits */
    uint16_t code_selector, data_selector;
    uint64_t code_offset, data_offset;
    struct x87_register scratch[1]; /* a result on its way, see exec_x87_math.c */
};

struct cpu_msrs {
    uint64_t efer_unused; /* EFER itself is mmu.registers.efer */
    uint64_t star, lstar, cstar, sfmask, kernel_gs_base, tsc_aux;
    uint64_t sysenter_cs, sysenter_esp, sysenter_eip;
    uint64_t apic_base, pat, mcg_status, mcg_ctl, misc_enable, feature_control, debugctl;
    uint64_t mtrr_def_type, mtrr_fixed[11], mtrr_base[8], mtrr_mask[8];
    uint64_t mc_ctl[4], mc_status[4], mc_addr[4], mc_misc[4];
    uint64_t tsc_offset; /* TSC = virtual TSC + offset */
    uint64_t spec_ctrl, platform_info, bios_sign_id, smi_count;
};

/* A pending exception, or the one being delivered. */
struct cpu_fault {
    uint8_t vector;
    bool has_error;
    bool is_soft; /* INT n, INT3, INTO: no DPL bypass, return after the instruction */
    uint32_t error;
    uint64_t cr2; /* for #PF: stored into CR2 at delivery */
    uint64_t dr6; /* for #DB: bits set in DR6 at delivery */
};

/* clang-format off */
enum {
    VECTOR_DE = 0, VECTOR_DB = 1, VECTOR_NMI = 2, VECTOR_BP = 3, VECTOR_OF = 4, VECTOR_BR = 5,
    VECTOR_UD = 6, VECTOR_NM = 7, VECTOR_DF = 8, VECTOR_TS = 10, VECTOR_NP = 11, VECTOR_SS = 12,
    VECTOR_GP = 13, VECTOR_PF = 14, VECTOR_MF = 16, VECTOR_AC = 17, VECTOR_MC = 18,
    VECTOR_XM = 19,
};
/* clang-format on */

/* Events that other threads and devices raise: bits of cpu->lines. */
enum cpu_line {
    LINE_INTR = 1 << 0, /* level, from the PIC or the local APIC; masked by IF */
    LINE_NMI = 1 << 1,  /* edge */
    LINE_INIT = 1 << 2, /* edge: reset to wait-for-SIPI (or start, on the BSP) */
    LINE_SIPI = 1 << 3, /* edge; the vector is in sipi_vector */
    LINE_EXIT = 1 << 4, /* leave cpu_run() with CPU_EXIT_KICKED */
};

enum cpu_exit {
    CPU_EXIT_KICKED,   /* cpu_kick() was called */
    CPU_EXIT_HALTED,   /* HLT, and nothing pending that wakes it: wait for a line */
    CPU_EXIT_SHUTDOWN, /* triple fault */
    CPU_EXIT_DEBUG,    /* a debugger's breakpoint */
};

/* Upward calls, set at wiring.  They take the machine's lock themselves. */
struct cpu_ops {
    uint32_t (*port_read)(void *machine, struct cpu *cpu, uint16_t port, unsigned size);
    void (*port_write)(void *machine, struct cpu *cpu, uint16_t port, unsigned size,
                       uint32_t value);
    uint64_t (*mmio_read)(void *machine, struct cpu *cpu, gpa_t gpa, unsigned size);
    void (*mmio_write)(void *machine, struct cpu *cpu, gpa_t gpa, unsigned size, uint64_t value);
    /* The vector to deliver for LINE_INTR, or -1 when none is left. */
    int (*acknowledge)(void *machine, struct cpu *cpu);
    uint64_t (*tsc)(void *machine, struct cpu *cpu); /* cycles since power-on */
    /* Does tsc() go on at one rate while the cpu runs, as host time does?  NULL: no. */
    bool (*tsc_is_steady)(void *machine);
    /* IA32_APIC_BASE, CR8 (0..15), x2APIC registers (MSR 800h..8FFh) and the TSC deadline (0: none,
     * or passed). */
    void (*apic_base_changed)(void *machine, struct cpu *cpu, uint64_t value);
    uint8_t (*cr8_read)(void *machine, struct cpu *cpu);
    void (*cr8_write)(void *machine, struct cpu *cpu, uint8_t value);
    bool (*x2apic_read)(void *machine, struct cpu *cpu, uint32_t msr, uint64_t *value);
    bool (*x2apic_write)(void *machine, struct cpu *cpu, uint32_t msr, uint64_t value);
    uint64_t (*tsc_deadline_read)(void *machine, struct cpu *cpu);
    void (*tsc_deadline_write)(void *machine, struct cpu *cpu, uint64_t tsc);
    void (*ferr)(void *machine, struct cpu *cpu); /* FERR#: an x87 error with CR0.NE clear */
    /* The exception in cpu->fault is about to be delivered; true: the cpu stops instead, as by a
     * triple fault, in the state at the fault.  NULL: never. */
    bool (*exception)(void *machine, struct cpu *cpu);
    /* RDRAND, RDSEED: false when there is no number yet.  NULL: the host's random numbers. */
    bool (*random)(void *machine, struct cpu *cpu, uint64_t *value);
};

struct block;
struct block_cache;

/* What an engine above the interpreter is told, on the cpu's own thread; NULL without one. */
struct cpu_engine {
    /* A new block, about to run for the first time: the engine may put a handler of its own before
     * block->insns[0].exec, and calls block->head for what was there. */
    void (*block_decoded)(struct cpu *cpu, struct block *block);
    /* The block will not be found again; its handlers are exec_stale already. */
    void (*block_killed)(struct cpu *cpu, struct block *block);
};

/* What translated code keeps beside the registers (translate/).  Nothing of it means anything to
 * the interpreter: while that runs, flags_kind, vectors and x87_live are 0. */
enum { WINDOW_WANTED_MAX = 3 };

struct cpu_native {
    uint64_t code_page;  /* rip of the running code's page: what its blocks' offsets are added to */
    uint64_t flags_kind; /* where the arithmetic flags are, translate/flags.h; 0: in `lazy` */
    uint64_t flags_a, flags_b, flags_step;
    int64_t stack_delta; /* of the window that RSP points into: translate/translate_memory.c */
    uint8_t vectors;     /* 0: in xmm[], else in the host's registers; translate/translated.h */
    bool x87_live;       /* the x87's state is in the host's: translate/native_x87.h */
    /* By view, and bits 32 to 47 of a linear address: what makes it the host's. */
    int64_t window_deltas[WINDOWS_VIEWS][WINDOWS_INDEXES];
    uint64_t scratch[2];
    uint64_t x87_operand[2]; /* offsets of x87 operands, see translate/translate_x87.c */
    uint64_t entered;        /* into translated code, since power-on */
    /* The host address whose access has just faulted in a window (0 as 1), until it has been seen
     * to; then the linear addresses whose pages are to be put there, once the instruction is
     * done. */
    uint64_t window_fault, window_wanted[WINDOW_WANTED_MAX];
    bool window_write;                    /* it was a write */
    uint8_t window_view;                  /* whose windows they are */
    uint32_t window_modes[WINDOWS_VIEWS]; /* MODE_WINDOW_… if the present space has them, else 0 */
};

enum { JUMP_CACHE_ENTRIES = 262144 };

/* Linear instruction address and context → block.  `context` is the fetch context at the time:
 * mode and generation, so that any change of mapping or mode misses. */
struct jump_entry {
    uint64_t linear;
    uint64_t context;
    struct block *block;
    void *code; /* block->code at the time, for the engine */
};

/* A load of DS, ES, FS or GS outside 64-bit mode: where the GDT has the same descriptor, one of the
 * same selector by a CPL that may ends the same. */
enum { SEGMENT_MEMO_ENTRIES = 32 };
struct segment_memo {
    struct segment segment; /* as it was left */
    uint64_t raw;           /* the descriptor, accessed */
    uint8_t cpl_max;
    bool flat;
} __attribute__((aligned(64)));

struct cpu {
    /* --- touched by nearly every instruction; up to native.window_deltas within a byte's
     * displacement of translated code's register for the cpu: translate/translating.h */
    uint64_t regs[REG_COUNT];
    struct shadow_view *view; /* of the current privilege */
    uint32_t eflags;          /* all but the arithmetic flags; bit 1 set */
    uint32_t mode;            /* MODE_… */
    uint8_t cpl;
    bool flat_data;     /* ES, SS and DS are flat: base 0, all 4 GiB readable and writable */
    bool inhibit;       /* interrupts are held off for one instruction (STI, MOV SS, POP SS) */
    bool inhibit_debug; /* … and debug traps too (MOV SS, POP SS) */
    bool halted;
    bool delivered; /* an interrupt was delivered by the present instruction: no step trap */
    union {
        struct {
            atomic_uint attention; /* something for the run loop: see run.c */
            uint32_t link_epoch;   /* moves when links between blocks may lead to dead ones */
        };
        uint64_t link_key; /* both in one look: attention must be 0 */
    };
    uint64_t fetch_context, global_context; /* what cached jumps may rely on now: block.h */
    struct cpu_native native;
    atomic_uint lines; /* enum cpu_line */
    struct lazy_flags lazy;
    uint64_t block_rip; /* instruction pointer of the running block's first byte */
    uint64_t rip;
    uint64_t code_base;   /* what CS adds to rip: its base, 0 in 64-bit mode */
    uint64_t linear_mask; /* 2^32-1 outside 64-bit mode, else all ones */
    uint64_t ip_mask;     /* 2^32-1 (also of 16-bit code: its end is CS's limit), or all ones */
    uint64_t stack_mask;  /* the same for the stack, by SS.B and mode */
    uint64_t load_value;  /* what a slow load found */
    struct segment segs[SEG_COUNT];
    bool fetched_global;   /* block_find() found the last block in global pages */
    uint64_t instructions; /* executed so far, by whole blocks */

    union vector xmm[16];
    uint32_t mxcsr;
    uint32_t mxcsr_mask;
    uint32_t sse_flags; /* found so far by an SSE instruction under check, see sse_env.h */
    bool sse_second_run;
    struct x87 x87;
    uint64_t xcr0; /* XCR0_…; whoever changes it calls cpu_mode_changed() */

    /* --- a read-modify-write that cannot be done in place: the operand's copy */
    struct {
        uint8_t bytes[64] __attribute__((aligned(64)));
        gpa_t gpa[2]; /* of the part in the first and in the second page */
        uint8_t length[2];
        bool pending;
    } rmw;
    struct shadow_view *empty_view; /* of no entries: every access is checked (alignment) */
    uint32_t code_limit;            /* the CS limit that cached jumps were checked against */

    struct cpu_fault fault;
    struct mmu mmu;
    struct descriptor_table gdt, idt;
    struct segment ldt, tr;
    uint64_t cr2;
    uint64_t dr[8];         /* DR0..3, DR6, DR7 */
    uint64_t debug_pending; /* DR6 bits for the trap after the present instruction */
    struct cpu_msrs msr;
    struct cpu_tsc tsc;
    bool nmi_blocked; /* until IRET */
    uint8_t sipi_vector;
    bool wait_for_sipi;
    unsigned index;      /* 0: the bootstrap processor */
    unsigned delivering; /* nested exception delivery: double and triple faults */

    const struct cpu_model *model;
    const struct cpu_ops *ops;
    void *machine;
    struct block_cache *blocks;
    struct block *block;     /* the running one */
    bool one_insn_per_block; /* set before it runs: blocks have one instruction each */
    const struct cpu_engine *engine;
    void *engine_state;
    struct jump_entry jumps[JUMP_CACHE_ENTRIES]
        __attribute__((aligned(64)));                        /* two ways: block.h */
    struct segment_memo segment_memos[SEGMENT_MEMO_ENTRIES]; /* by the descriptor's index */
    uint64_t callouts[OPCODE_COUNT];                         /* from translated code, by row */

    struct {
        uint64_t exceptions_all; /* the sum of exceptions[] */
        uint64_t blocks_decoded, blocks_killed, blocks_patched, jump_misses, exceptions[32],
            interrupts;
        uint64_t slow_loads, slow_stores, mmio, code_writes;
    } count;
};

/* Allocates a cpu wired to `physmem`; reset state as after power-on.  NULL when out of memory. */
struct cpu *cpu_new(unsigned index, const struct cpu_model *model, struct physmem *physmem,
                    const struct cpu_ops *ops, void *machine);
void cpu_free(struct cpu *cpu);
/* SDM 3A table 10-1; `init`: the INIT state (caches, FPU, MSRs kept) rather than RESET. */
void cpu_reset(struct cpu *cpu, bool init);
/* Runs until something ends it; may be called again for every result but SHUTDOWN. */
enum cpu_exit cpu_run(struct cpu *cpu);
/* Executes at most one instruction (or delivers one event). */
enum cpu_exit cpu_step(struct cpu *cpu);

/* What was taken at an instruction boundary. */
enum cpu_event { EVENT_NONE, EVENT_INIT, EVENT_SIPI, EVENT_NMI, EVENT_INTERRUPT };
/* One turn of cpu_run(): one event, or else one block.  False: cpu_run() would return *reason. */
must_check bool cpu_run_turn(struct cpu *cpu, enum cpu_event *event, enum cpu_exit *reason);
/* For a cpu that follows another: runs the block at rip if it has at most `limit` instructions,
 * else one instruction; looks at no line.  Such a cpu has some line raised that is never taken, so
 * that no block leads straight into another.  Afterwards cpu->block is what was run, or NULL; to
 * block_reap() is the caller's.  False: a triple fault. */
must_check bool cpu_follow(struct cpu *cpu, uint64_t limit);

/* A random number of the host's; false when it has none yet. */
bool cpu_host_random(uint64_t *value);

/* From any thread. */
void cpu_raise_line(struct cpu *cpu, enum cpu_line line);
void cpu_lower_line(struct cpu *cpu, enum cpu_line line);
static inline void cpu_kick(struct cpu *cpu)
{
    cpu_raise_line(cpu, LINE_EXIT);
}
/* Would a halted cpu wake now? */
bool cpu_has_wakeup(const struct cpu *cpu);

/* Re-derives everything of INV-3. */
void cpu_mode_changed(struct cpu *cpu);
/* What `count` pages from `first` hold or allow has changed (physmem's page_changed): drops what
 * the shadow and the block cache know of them.  On the cpu's own thread, or while it is stopped. */
void cpu_pages_changed(struct cpu *cpu, ppn_t first, uint64_t count);
/* The view of the shadow that the program's own accesses use now. */
enum shadow_view_id cpu_view_id(const struct cpu *cpu);
/* The view whose windows they may use. */
enum shadow_view_id cpu_window_view(const struct cpu *cpu);
/* "prot 32-bit" and the like, of MODE_… */
const char *cpu_mode_name(uint32_t mode);
/* Registers as "info registers" and -d int print them. */
void cpu_describe(const struct cpu *cpu, FILE *out);

/* --- facts of the mode */
static inline unsigned cpu_code_size(const struct cpu *cpu)
{
    return cpu->mode & MODE_CODE;
}
static inline bool cpu_is_64(const struct cpu *cpu)
{
    return (cpu->mode & MODE_CODE) == CODE_64;
}
static inline bool cpu_is_protected(const struct cpu *cpu)
{
    return cpu->mode & MODE_PROTECTED;
}
static inline bool cpu_is_v86(const struct cpu *cpu)
{
    return cpu->mode & MODE_V86;
}
static inline bool cpu_is_long(const struct cpu *cpu) /* 64-bit or compatibility mode */
{
    return cpu->mmu.registers.efer & EFER_LMA;
}
static inline unsigned cpu_iopl(const struct cpu *cpu)
{
    return cpu->eflags >> 12 & 3;
}

/* State components. */
#define XCR0_X87     BIT(0)
#define XCR0_SSE     BIT(1)
#define XCR0_AVX     BIT(2)
#define XCR0_VECTORS (XCR0_SSE | XCR0_AVX) /* what AVX needs */

#endif
