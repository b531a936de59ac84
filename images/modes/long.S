# Long mode: getting there, into a probe from compatibility mode, and back through its exception.
#
# The guest itself stays 32-bit code, in compatibility mode.  Memory is named by number here, for a
# 32-bit object file has no relocations of 64-bit code.
# Sources: SDM 3A §10.8.5 (initialising IA-32e mode), §6.14
#include "state.h"

#define IN(field)  STATE_IN + STATE_##field
#define OUT(field) STATE_OUT + STATE_##field
#define IN_GPR(n)  STATE_IN + STATE_GPR + 8 * n
#define OUT_GPR(n) STATE_OUT + STATE_GPR + 8 * n
#define MSR_FS_BASE 0xc0000100

        .section .text
        .code32
        .globl  start_long_mode
start_long_mode:
        mov     %cr4, %eax
        or      $0x20, %eax                     # PAE
        mov     %eax, %cr4
        mov     $PAGE_TABLES, %eax
        mov     %eax, %cr3
        mov     $0xc0000080, %ecx               # EFER.LME
        rdmsr
        or      $0x100, %eax
        wrmsr
        mov     %cr0, %eax
        or      $0x80000000, %eax               # PG
        mov     %eax, %cr0
        ljmp    $SEL_CODE, $1f
1:      ret

        .globl  enter_long
enter_long:
        pushal
        mov     %esp, saved_esp
        mov     IN(ES), %es
        mov     IN(FS), %fs
        mov     IN(GS), %gs
        mov     $MSR_FS_BASE, %ecx
        mov     IN(FSBASE), %eax
        mov     IN(FSBASE) + 4, %edx
        wrmsr
        inc     %ecx
        mov     IN(GSBASE), %eax
        mov     IN(GSBASE) + 4, %edx
        wrmsr
        ljmp    $SEL_CODE64_0, $1f
        .code64
1:      pushq   IN(SS)
        pushq   IN_GPR(4)
        pushq   IN(FLAGS)
        pushq   IN(CS)
        pushq   IN(IP)
        mov     IN_GPR(0), %rax
        mov     IN_GPR(1), %rcx
        mov     IN_GPR(2), %rdx
        mov     IN_GPR(3), %rbx
        mov     IN_GPR(5), %rbp
        mov     IN_GPR(6), %rsi
        mov     IN_GPR(7), %rdi
        mov     IN_GPR(8), %r8
        mov     IN_GPR(9), %r9
        mov     IN_GPR(10), %r10
        mov     IN_GPR(11), %r11
        mov     IN_GPR(12), %r12
        mov     IN_GPR(13), %r13
        mov     IN_GPR(14), %r14
        mov     IN_GPR(15), %r15
        mov     IN(DS), %ds
        iretq

        .macro  HANDLER vector
1:      .if     \vector == 8 || (\vector >= 10 && \vector <= 14) || \vector == 17
        .else
        pushq   $0
        .endif
        pushq   $\vector
        jmp     take_down
        .pushsection .rodata
        .long   1b
        .popsection
        .endm
        .section .rodata
        .align 4
        .globl  handlers_64
handlers_64:
        .section .text
        .altmacro
        .set    vector, 0
        .rept   VECTORS
        HANDLER %vector
        .set    vector, vector + 1
        .endr
        .noaltmacro

# On the stack, always the interrupt stack: vector, error code, RIP, CS, RFLAGS, RSP, SS.
take_down:
        mov     %rax, OUT_GPR(0)
        mov     %rcx, OUT_GPR(1)
        mov     %rdx, OUT_GPR(2)
        mov     %rbx, OUT_GPR(3)
        mov     %rbp, OUT_GPR(5)
        mov     %rsi, OUT_GPR(6)
        mov     %rdi, OUT_GPR(7)
        mov     %r8, OUT_GPR(8)
        mov     %r9, OUT_GPR(9)
        mov     %r10, OUT_GPR(10)
        mov     %r11, OUT_GPR(11)
        mov     %r12, OUT_GPR(12)
        mov     %r13, OUT_GPR(13)
        mov     %r14, OUT_GPR(14)
        mov     %r15, OUT_GPR(15)
        popq    OUT(VECTOR)
        popq    OUT(ERROR)
        mov     %rsp, OUT(FRAME)
        mov     %cs, OUT(HANDLER_CS)
        mov     %ss, OUT(HANDLER_SS)
        popq    OUT(IP)
        popq    OUT(CS)
        popq    OUT(FLAGS)
        popq    OUT_GPR(4)
        popq    OUT(SS)
        mov     %ds, OUT(DS)
        mov     %es, OUT(ES)
        mov     %fs, OUT(FS)
        mov     %gs, OUT(GS)
        mov     %cr0, %rax
        mov     %rax, OUT(CR0)
        mov     $STATE_OUT + 0x200, %rdx        # ten bytes: more than the state has room for
        sgdt    (%rdx)
        mov     (%rdx), %rax
        mov     %rax, OUT(GDTR)
        sidt    (%rdx)
        mov     (%rdx), %rax
        mov     %rax, OUT(IDTR)
        mov     $STATE_OUT + 0x220, %rdx
        movl    $back, (%rdx)
        movl    $SEL_CODE, 4(%rdx)
        ljmpl   *(%rdx)

        .code32
back:   mov     $SEL_DATA, %eax
        mov     %eax, %ss
        mov     %eax, %ds
        mov     %eax, %es
        mov     saved_esp, %esp
        pushl   $2
        popfl
        popal
        ret
