/* Control registers, written with all checks of MOV to CR; true: #GP(0) is pending. */
#ifndef CPU_CONTROL_H
#define CPU_CONTROL_H

#include "cpu/system.h"

must_check bool control_write_cr0(struct cpu *cpu, uint64_t value);
/* `value` as the program gives it: bit 63 is "do not flush" under CR4.PCIDE. */
must_check bool control_write_cr3(struct cpu *cpu, uint64_t value);
must_check bool control_write_cr4(struct cpu *cpu, uint64_t value);
/* The bits of CR4 that a processor with `features` has. */
uint64_t control_cr4_valid(const struct feature_set *features);

#endif
