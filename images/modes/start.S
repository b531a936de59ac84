# Entry in protected mode: our own GDT and stack, the code below 1 MiB to its place, then C.
        .include "multiboot.inc"
#include "state.h"

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

        mov     $placed, %ebx                   # the linker script's: load address, start, end
2:      mov     (%ebx), %esi
        mov     4(%ebx), %edi
        mov     8(%ebx), %ecx
        add     $12, %ebx
        test    %ecx, %ecx
        jz      3f
        sub     %edi, %ecx
        rep movsb
        jmp     2b
3:      call    guest_main

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
