/* A miss in a window: a SIGSEGV of translated code (softmmu/window.h, translate_memory.c).
 *
 * The signal handler does nothing but send the code to its slow path, where the interpreter
 * executes the instruction and so finds out what the access means: a page that the window lacks,
 * which is then put there, a fault of the guest's, a device, a page of code that is written.  What
 * keeps faulting without a page to be put is translated anew, through the soft tier.
 */
#ifndef TRANSLATE_WINDOW_FAULT_H
#define TRANSLATE_WINDOW_FAULT_H

#include "cpu/block.h"

struct translator;

/* Does the host have what windows want of it (BMI2)? */
bool window_faults_supported(void);
/* The process's signal handlers are put in place, if they are not yet. */
void window_faults_install(void);
/* SIGSEGV in the code of `translator` is a miss from now on, in the calling thread. */
void window_faults_in(struct translator *translator);
/* The translator goes. */
void window_faults_free(struct translator *translator);

/* native.window_fault is set, and `insn` is about to be executed because of it, with the guest's
 * registers in cpu->regs: notes what pages it is about. */
void window_fault_note(struct cpu *cpu, const struct insn *insn);
/* The instruction is done: puts them into the window.  False when that changed nothing, so that it
 * would fault again. */
bool window_fault_fill(struct cpu *cpu);

#endif
