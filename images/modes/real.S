# Into a probe of real mode, and back through the IVT.
#
# This code lies in the 64 KiB from LOW_BASE: real-mode segment 1000h, selector SEL_CODE16_0.
# Sources: SDM 3A §10.9 (switching modes), §21.1
#include "state.h"

#define SEGMENT    (LOW_BASE >> 4)
#define IN(field)  (STATE_IN - LOW_BASE + STATE_##field)
#define OUT(field) (STATE_OUT - LOW_BASE + STATE_##field)
#define GPR(n)     STATE_GPR + 8 * n
#define IN_GPR(n)  (STATE_IN - LOW_BASE + 8 * n)
#define OUT_GPR(n) (STATE_OUT - LOW_BASE + 8 * n)
#define LOW(label) (label - low)         /* offset in the segment */

        .section .text
        .code32
        .globl  enter_real
enter_real:
        pushal
        mov     %esp, saved_esp
        mov     $SEL_DATA16_0, %eax             # limits of 64 KiB, which real mode keeps
        mov     %eax, %ds
        mov     %eax, %es
        mov     %eax, %fs
        mov     %eax, %gs
        mov     %eax, %ss
        ljmp    $SEL_CODE16_0, $LOW(to_real)

from_real:
        mov     $SEL_DATA, %eax
        mov     %eax, %ds
        mov     %eax, %es
        mov     %eax, %fs
        mov     %eax, %gs
        mov     %eax, %ss
        mov     saved_esp, %esp
        popal
        ret

        .section .low, "awx"
        .code16
low:
to_real:
        mov     %cr0, %eax
        and     $~1, %eax
        mov     %eax, %cr0
        ljmpw   $SEGMENT, $LOW(in_real)
in_real:
        mov     %cs, %ax
        mov     %ax, %ds
        lidtl   LOW(ivt_pointer)
        mov     %ax, %ss
        mov     $LOW(low_stack), %esp
        pushl   IN(FLAGS)
        popfl
        mov     IN(ES), %es
        mov     IN(FS), %fs
        mov     IN(GS), %gs
        movw    IN(IP), %ax
        movw    %ax, LOW(low_target)
        movw    IN(CS), %ax
        movw    %ax, LOW(low_target) + 2
        movl    IN_GPR(0), %eax
        movl    IN_GPR(1), %ecx
        movl    IN_GPR(2), %edx
        movl    IN_GPR(3), %ebx
        movl    IN_GPR(5), %ebp
        movl    IN_GPR(6), %esi
        movl    IN_GPR(7), %edi
        movl    IN_GPR(4), %esp
        mov     IN(SS), %ss
        mov     IN(DS), %ds
        ljmpw   *%cs:LOW(low_target)

        .macro  HANDLER vector
1:      pushw   $\vector
        jmp     take_down
        .pushsection .rodata
        .long   LOW(1b)
        .popsection
        .endm
        .section .rodata
        .align 4
        .globl  handlers_16
handlers_16:
        .section .low
        .altmacro
        .set    vector, 0
        .rept   VECTORS
        HANDLER %vector
        .set    vector, vector + 1
        .endr
        .noaltmacro

# On the stack: EAX, DS, vector, IP, CS, FLAGS.
take_down:
        pushw   %ds
        pushl   %eax
        mov     %cs, %ax
        mov     %ax, %ds
        popl    OUT_GPR(0)
        popw    OUT(DS)
        popw    OUT(VECTOR)
        popw    OUT(IP)
        popw    OUT(CS)
        popw    OUT(FLAGS)
        pushfl                                  # bits 31:16 but AC, which is cleared
        popl    %eax
        shr     $16, %eax
        movw    %ax, OUT(FLAGS) + 2
        movl    %ecx, OUT_GPR(1)
        movl    %edx, OUT_GPR(2)
        movl    %ebx, OUT_GPR(3)
        movl    %esp, OUT_GPR(4)
        movl    %ebp, OUT_GPR(5)
        movl    %esi, OUT_GPR(6)
        movl    %edi, OUT_GPR(7)
        mov     %ss, OUT(SS)
        mov     %es, OUT(ES)
        mov     %fs, OUT(FS)
        mov     %gs, OUT(GS)
        movl    %cr0, %eax
        movl    %eax, OUT(CR0)
        sgdtl   OUT(GDTR)
        sidtl   OUT(IDTR)

        mov     %cs, %ax
        mov     %ax, %ss
        mov     $LOW(low_stack), %esp
        pushl   $2
        popfl
        lgdtl   LOW(gdt_pointer)
        mov     %cr0, %eax
        or      $1, %al
        mov     %eax, %cr0
        ljmpl   $SEL_CODE, $from_real

        .align 8
gdt_pointer:
        .word   GDT_LIMIT
        .long   GDT
ivt_pointer:
        .word   IVT_LIMIT
        .long   0
low_target:
        .skip   8
        .skip   256
low_stack:
