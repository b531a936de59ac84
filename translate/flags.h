/* The guest's arithmetic flags in translated code.
 *
 * An instruction that is copied leaves its flags in the host's EFLAGS.  What the translator puts in
 * between (looks into the shadow, polls) would destroy them, and whoever leaves translated code
 * wants them in cpu->lazy; so before either they are noted in cpu->native, in the cheapest form
 * that determines them:
 *
 *      kind             flags_a                flags_b
 *      FLAGS_LAZY       (cpu->lazy has them)
 *      FLAGS_IMAGE      AX after LAHF, SETO AL
 *      FLAGS_CMP        first operand          second operand     of a - b
 *      FLAGS_SUB        result                 what was subtracted
 *      FLAGS_ADD        result                 what was added
 *      FLAGS_LOGIC      result
 *
 * The low word of flags_kind is kind | size << FLAGS_SIZE_SHIFT.  Its high word, when not 0, says
 * that an INC or DEC came after, whose result is flags_step: everything but CF is from it.
 *
 * INV-1: between blocks, and whenever something may fault or be seen, cpu->native or cpu->lazy has
 *        all the flags exactly; EFLAGS then means nothing.
 */
#ifndef TRANSLATE_FLAGS_H
#define TRANSLATE_FLAGS_H

#include "cpu/cpu.h"

enum native_flags {
    FLAGS_LAZY,
    FLAGS_IMAGE,
    FLAGS_CMP,
    FLAGS_SUB,
    FLAGS_ADD,
    FLAGS_LOGIC,
    FLAGS_KIND = 15,
    FLAGS_SIZE_SHIFT = 4,
    FLAGS_SIZE = 3 << FLAGS_SIZE_SHIFT,
};
enum native_step { STEP_NONE, STEP_INC, STEP_DEC, STEP_KIND = 15 };

/* Brings the flags to cpu->lazy. */
void native_flags_settle(struct cpu *cpu);
/* Brings them to the form FLAGS_IMAGE, which translated code loads by itself. */
void native_flags_image(struct cpu *cpu);

#endif
