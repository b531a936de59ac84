/* The guest's x87 in the host's.
 *
 * While cpu->native.x87_live, the registers, tags, status word and TOP are in the host's x87, and
 * those of cpu->x87 mean nothing; the control word and the last instruction's notes are exact in
 * cpu->x87 at all times (the control word in the host's too).
 *
 * INV-1: what looks at cpu->x87 finds it there: C that translated code calls stores it first, and
 *        whoever called translated code stores it after.
 * INV-2: the host's x87 holds the guest's only if the guest masks all exceptions: then nothing that
 *        the host executes can trap, nor end without a result.
 * INV-3: otherwise the host's x87 is as x87_host_enter() left it: empty, its control word the
 *        guest's.
 */
#ifndef TRANSLATE_NATIVE_X87_H
#define TRANSLATE_NATIVE_X87_H

#include "cpu/cpu.h"

/* Brings cpu->x87 to the host's; false and nothing done if the guest has unmasked an exception. */
bool native_x87_load(struct cpu *cpu);
/* Brings it back. */
void native_x87_store(struct cpu *cpu);
/* Does the handler of this instruction look at cpu->x87? */
bool native_x87_concerns(const struct insn *insn);

#endif
