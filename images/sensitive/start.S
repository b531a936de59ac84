# Entry in protected mode: our own GDT and stack, the code below 1 MiB to its place, then C.
        .include "multiboot.inc"
#include "layout.h"

        .section .text
        .code32
        .globl  _start
_start:
        cli
        cld
        mov     $stack_top, %esp
        lgdt    gdt_pointer
        ljmp    $SEL_CODE, $1f
1:      mov     $SEL_DATA, %ecx
        mov     %ecx, %ds
        mov     %ecx, %es
        mov     %ecx, %fs
        mov     %ecx, %gs
        mov     %ecx, %ss

        .macro  PLACE section
        mov     $load_\section, %esi
        mov     $start_\section, %edi
        mov     $end_\section, %ecx
        sub     %edi, %ecx
        rep movsb
        .endm
        PLACE   low
        PLACE   slots16
        PLACE   slots32
        PLACE   slots64
        movw    $0x0b0f, TARGET_LINEAR          # UD2
        call    sensitive_main

        .section .rodata
        .align 8
gdt:    .quad   0
        .quad   0x00cf9b000000ffff              # SEL_CODE
        .quad   0x00cf93000000ffff              # SEL_DATA
gdt_pointer:
        .word   . - gdt - 1
        .long   gdt

        .section .bss
        .align 16
        .skip   16384
stack_top:
