# Into protected or virtual-8086 mode, and back through an exception or interrupt.
#
# QUIRK: IRET to a 16-bit stack leaves the upper half of ESP as it was: the frame for it lies low
# (ENTRY_TOP), so that it is 0.
# INV-1: nothing is pushed on a probe's stack before it starts; only the exception's frame comes
#        below what it left there.
# Sources: SDM 2A IRET, 3A §6.12.1, §21.2
#include "state.h"

#define IN(field)  STATE_IN + STATE_##field
#define OUT(field) STATE_OUT + STATE_##field
#define GPR(n)     STATE_GPR + 8 * n

        .section .text
        .code32
        .globl  enter_protected
enter_protected:
        pushal
        mov     %esp, saved_esp
        mov     $ENTRY_TOP, %esp
        testl   $0x20000, IN(FLAGS)
        jnz     virtual_8086
        testl   $3, IN(CS)
        jz      kernel
        pushl   IN(SS)
        pushl   STATE_IN + GPR(4)
        pushl   IN(FLAGS)
        pushl   IN(CS)
        pushl   IN(IP)
        call    load_registers
        iretl

virtual_8086:
        pushl   IN(GS)
        pushl   IN(FS)
        pushl   IN(DS)
        pushl   IN(ES)
        pushl   IN(SS)
        pushl   STATE_IN + GPR(4)
        pushl   IN(FLAGS)
        pushl   IN(CS)
        pushl   IN(IP)
        call    load_general
        iretl

kernel: mov     IN(IP), %eax
        mov     %eax, far_target
        mov     IN(CS), %eax
        mov     %eax, far_target + 4
        pushl   IN(FLAGS)
        popfl
        call    load_registers
        lssl    %cs:far_stack, %esp             # one jump from here on
        ljmpl   *%cs:far_target

# Only flat CS can be relied on once DS is the probe's.
load_registers:
        mov     STATE_IN + GPR(4), %eax
        mov     %eax, far_stack
        mov     IN(SS), %eax
        mov     %eax, far_stack + 4
        mov     IN(ES), %es
        mov     IN(FS), %fs
        mov     IN(GS), %gs
        mov     IN(DS), %ds
load_general:
        mov     %cs:STATE_IN + GPR(0), %eax
        mov     %cs:STATE_IN + GPR(1), %ecx
        mov     %cs:STATE_IN + GPR(2), %edx
        mov     %cs:STATE_IN + GPR(3), %ebx
        mov     %cs:STATE_IN + GPR(5), %ebp
        mov     %cs:STATE_IN + GPR(6), %esi
        mov     %cs:STATE_IN + GPR(7), %edi
        ret

# --- exceptions: each pushes an error code if the processor does not, and its vector

        .macro  HANDLER vector
1:      .if     \vector == 8 || (\vector >= 10 && \vector <= 14) || \vector == 17
        .else
        pushl   $0
        .endif
        pushl   $\vector
        jmp     take_down
        .pushsection .rodata
        .long   1b
        .popsection
        .endm

        .section .rodata
        .align 4
        .globl  handlers_32
handlers_32:
        .section .text
        .altmacro
        .set    vector, 0
        .rept   VECTORS
        HANDLER %vector
        .set    vector, vector + 1
        .endr
        .noaltmacro

# On the stack: EAX, DS, vector, error code, EIP, CS, EFLAGS, then ESP, SS, then ES, DS, FS, GS.
take_down:
        pushl   %ds
        pushl   %eax
        mov     $SEL_DATA, %eax
        mov     %eax, %ds
        popl    STATE_OUT + GPR(0)
        popl    %eax
        movzwl  %ax, %eax
        mov     %eax, OUT(DS)
        mov     %ecx, STATE_OUT + GPR(1)
        mov     %edx, STATE_OUT + GPR(2)
        mov     %ebx, STATE_OUT + GPR(3)
        mov     %ebp, STATE_OUT + GPR(5)
        mov     %esi, STATE_OUT + GPR(6)
        mov     %edi, STATE_OUT + GPR(7)
        mov     %es, %eax
        mov     %eax, OUT(ES)
        mov     %fs, %eax
        mov     %eax, OUT(FS)
        mov     %gs, %eax
        mov     %eax, OUT(GS)
        popl    OUT(VECTOR)
        popl    OUT(ERROR)
        mov     %esp, OUT(FRAME)
        mov     %cs, OUT(HANDLER_CS)
        mov     %ss, OUT(HANDLER_SS)
        popl    OUT(IP)
        popl    %eax
        movzwl  %ax, %eax
        mov     %eax, OUT(CS)
        popl    OUT(FLAGS)
        testl   $0x20000, OUT(FLAGS)
        jnz     1f
        test    $3, %al
        jnz     2f
        mov     %esp, STATE_OUT + GPR(4)
        mov     %ss, %eax
        mov     %eax, OUT(SS)
        jmp     3f
1:      mov     8(%esp), %eax
        mov     %eax, OUT(ES)
        mov     12(%esp), %eax
        mov     %eax, OUT(DS)
        mov     16(%esp), %eax
        mov     %eax, OUT(FS)
        mov     20(%esp), %eax
        mov     %eax, OUT(GS)
2:      popl    STATE_OUT + GPR(4)
        popl    %eax
        movzwl  %ax, %eax
        mov     %eax, OUT(SS)
3:      mov     %cr0, %eax
        mov     %eax, OUT(CR0)
        sgdtl   OUT(GDTR)
        sidtl   OUT(IDTR)

        mov     $SEL_DATA, %eax
        mov     %eax, %ss
        mov     saved_esp, %esp
        mov     %eax, %es
        mov     %eax, %fs
        mov     %eax, %gs
        pushl   $2
        popfl
        popal
        ret

        .section .bss
        .align 8
        .globl  saved_esp
saved_esp:
        .skip   8
far_stack:
        .skip   8
far_target:
        .skip   8
