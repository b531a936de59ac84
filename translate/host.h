/* Which host register holds which guest register in translated code.
 *
 * Twelve of the guest's sixteen general registers live in host registers, most in the one of the
 * same name, so that translated code reads like the guest's; the other four stay in cpu->regs and
 * pass through a temporary.  RAX, RCX, RDX and RBX must be their own: MUL, DIV, CWD, shifts by CL
 * and AH..BH name them in the opcode.
 *
 *      guest  rax rcx rdx rbx rbp rsi rdi r8 r12 r13 r14     rsp    r9 r10 r11 r15
 *      host   rax rcx rdx rbx rbp rsi rdi r8 r12 r13 r14     r9     in memory
 *
 * r10 and r11 are temporaries, rsp is the host's own stack.  r15 points HOST_CPU_BIAS bytes into
 * struct cpu, so that twice as much of it is within a byte's displacement.
 */
#ifndef TRANSLATE_HOST_H
#define TRANSLATE_HOST_H

#include "cpu/insn.h"

/* Host registers have the guest's names and numbers (enum reg); these are the roles. */
enum {
    HOST_T0 = R10, /* the address of an access, first the guest's, then the host's */
    HOST_T1 = R11,
    HOST_CPU = R15, /* see CPU_AT() */
    HOST_STACK = RSP,
    HOST_NONE = 0xff, /* the guest register is in memory */
};
enum { HOST_CPU_BIAS = 128 };

static inline unsigned host_home(unsigned guest)
{
    static const uint8_t homes[16] = {
        RAX, RCX,       RDX,       RBX,       R9,  RBP, RSI, RDI,
        R8,  HOST_NONE, HOST_NONE, HOST_NONE, R12, R13, R14, HOST_NONE,
    };
    return homes[guest];
}

#endif
