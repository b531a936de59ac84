/* The privileged architecture: segments, gates, tasks, interrupts, control registers, CPUID, MSRs.
 * Functions that can fault return true with the fault pending. */
#ifndef CPU_SYSTEM_H
#define CPU_SYSTEM_H

#include "cpu/exec.h"

/* --- facts of the processor */
static inline bool cpu_has(const struct cpu *cpu, enum feature feature)
{
    return feature_has(&cpu->model->features, feature);
}
/* Some system instructions and registers depend on who made the processor. */
static inline bool cpu_is_amd(const struct cpu *cpu)
{
    return !strcmp(cpu->model->vendor, "AuthenticAMD");
}
static inline bool linear_is_canonical(uint64_t linear)
{
    return bits_sign_extend(linear, 48) == (int64_t)linear;
}

/* --- segment.c */
/* Loads DS, ES, FS, GS or SS with all checks of the present mode (SDM 3A §5.6, §3.4.5). */
must_check bool segment_load(struct cpu *cpu, unsigned seg, uint16_t selector);
/* Real-mode and virtual-8086 load: base = selector << 4. */
void segment_load_real(struct cpu *cpu, unsigned seg, uint16_t selector);
/* Re-derives read_end and write_end of every segment for the present mode. */
void segment_update_limits(struct cpu *cpu);

/* --- interrupt.c */
enum interrupt_kind {
    INTERRUPT_EXTERNAL,  /* from the PIC or APIC, and NMI */
    INTERRUPT_EXCEPTION, /* a fault or trap of the processor */
    INTERRUPT_SOFTWARE,  /* INT n: gate DPL is checked */
    INTERRUPT_ICEBP,     /* INT1: a trap without the DPL check */
};
/* Delivers through the IVT or IDT; rip must be what is to be pushed.  On a fault during delivery
 * returns true with that fault pending. */
must_check bool interrupt_deliver(struct cpu *cpu, unsigned vector, enum interrupt_kind kind,
                                  bool has_error, uint32_t error);
/* Delivers cpu->fault, and what that leads to (double fault); false: done, true: triple fault. */
must_check bool fault_deliver(struct cpu *cpu);

/* --- debug.c */
#define DR6_BD      BIT(13) /* general detect */
#define DR6_BS      BIT(14) /* single-step */
#define DR6_BT      BIT(15) /* the new task's T flag */
#define DR7_ENABLES UINT64_C(0xff)
#define DR7_GD      BIT(13)
/* IA32_DEBUGCTL */
#define DEBUGCTL_LBR BIT(0)
#define DEBUGCTL_BTF BIT(1) /* TF steps by branches */
/* Linear range [at, at+length) was accessed as `kind` (DR7's R/W: 0 execute, 1 write, 2 I/O, 3 any
 * read or write): remembers the DR6 bits of matching data breakpoints for the trap after the
 * instruction.  Called only from slow paths. */
void debug_note_access(struct cpu *cpu, uint64_t linear, unsigned length, unsigned kind);
/* Is an instruction breakpoint set at `linear` (and RF clear)? */
bool debug_instruction_hit(const struct cpu *cpu, uint64_t linear, uint64_t *dr6);
bool debug_any_instruction(const struct cpu *cpu); /* DR7 enables some execution breakpoint */
bool debug_page_is_watched(void *cpu, gva_t page);
/* Delivery of #DB: sets the bits in DR6, lifts DR7.GD. */
void debug_enter(struct cpu *cpu, uint64_t dr6);
/* MOV to DR0..7 has been done: the pages watched may be others now. */
void debug_registers_changed(struct cpu *cpu);
/* DR6 bits gathered by debug_note_access since the last call; cleared. */
uint64_t debug_take_pending(struct cpu *cpu);

/* --- cpuid.c */
struct cpuid_result {
    uint32_t eax, ebx, ecx, edx;
};
struct cpuid_result cpuid_query(const struct cpu *cpu, uint32_t leaf, uint32_t subleaf);

/* --- msr.c: #GP(0) for what does not exist */
must_check bool msr_read(struct cpu *cpu, uint32_t index, uint64_t *value);
must_check bool msr_write(struct cpu *cpu, uint32_t index, uint64_t value);
void msr_reset(struct cpu *cpu);
/* The time-stamp counter as RDTSC shows it. */
static inline uint64_t cpu_tsc(struct cpu *cpu)
{
    return tsc_read(cpu) + cpu->msr.tsc_offset;
}

/* --- xsave.c: where the upper halves of the YMM registers lie in an area */
enum { XSAVE_AVX = 576, XSAVE_AVX_BYTES = 256 };
/* State components that are not in their initial state: XINUSE. */
uint64_t xsave_in_use(const struct cpu *cpu);

/* --- x87.c, sse.c */
void x87_reset(struct cpu *cpu);
void sse_reset(struct cpu *cpu);
/* Called around a run of blocks: the guest's MXCSR and x87 control word into the host's registers,
 * and back (INV-4). */
void sse_enter(struct cpu *cpu);
void sse_leave(struct cpu *cpu);

#endif
