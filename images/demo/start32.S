# Entry in protected mode: our own GDT and stack, then C.
        .include "multiboot.inc"

        .section .text
        .code32
        .globl _start
_start:
        cli
        cld
        mov     $stack_top, %esp
        lgdt    gdt_pointer
        ljmp    $0x08, $1f
1:      mov     $0x10, %ecx
        mov     %ecx, %ds
        mov     %ecx, %es
        mov     %ecx, %fs
        mov     %ecx, %gs
        mov     %ecx, %ss
        push    %ebx                    # the loader's information
        push    %eax                    # the loader's magic number
        call    demo_main

        .section .rodata
        .align 8
gdt:    .quad   0
        .quad   0x00cf9b000000ffff      # 08: code, flat, 32 bits
        .quad   0x00cf93000000ffff      # 10: data, flat
gdt_pointer:
        .word   . - gdt - 1
        .long   gdt

        .section .bss
        .align 16
        .skip   16384
stack_top:
