# Entry in protected mode; the first 4 GiB mapped to themselves in 2 MiB pages; long mode; C.
        .include "multiboot.inc"

        .section .text
        .code32
        .globl _start
_start:
        cli
        cld
        mov     $stack_top, %esp
        mov     %eax, %esi              # the loader's magic number
        mov     %ebx, %ebp              # and its information; CPUID changes EBX

        mov     $0x80000000, %eax       # a processor without long mode stops here
        cpuid
        cmp     $0x80000001, %eax
        jb      no_long_mode
        mov     $0x80000001, %eax
        cpuid
        bt      $29, %edx
        jnc     no_long_mode

        mov     $directories, %edi      # 2048 entries of 2 MiB: present, writable, large
        mov     $0x83, %eax
        xor     %edx, %edx
1:      mov     %eax, (%edi)
        mov     %edx, 4(%edi)
        add     $0x200000, %eax
        add     $8, %edi
        cmp     $directories + 4 * 4096, %edi
        jb      1b
        mov     $directories + 3, %eax  # their four directories
        mov     $pointers, %edi
2:      mov     %eax, (%edi)
        add     $4096, %eax
        add     $8, %edi
        cmp     $pointers + 4 * 8, %edi
        jb      2b
        movl    $pointers + 3, root

        mov     %cr4, %eax
        or      $0x20, %eax             # PAE
        mov     %eax, %cr4
        mov     $root, %eax
        mov     %eax, %cr3
        mov     $0xc0000080, %ecx       # EFER.LME
        rdmsr
        or      $0x100, %eax
        wrmsr
        mov     %cr0, %eax
        or      $0x80000000, %eax       # PG
        mov     %eax, %cr0
        lgdt    gdt_pointer
        ljmp    $0x08, $in_long_mode

no_long_mode:
        mov     $message, %esi
3:      lodsb
        test    %al, %al
        jz      4f
        mov     $0x3f8, %dx
        out     %al, %dx
        jmp     3b
4:      hlt
        jmp     4b

        .code64
in_long_mode:
        mov     $0x10, %ecx
        mov     %ecx, %ds
        mov     %ecx, %es
        mov     %ecx, %fs
        mov     %ecx, %gs
        mov     %ecx, %ss
        mov     $stack_top, %rsp
        mov     %esi, %edi
        mov     %ebp, %esi
        call    demo_main

        .section .rodata
        .align 8
gdt:    .quad   0
        .quad   0x00af9b000000ffff      # 08: code, 64 bits
        .quad   0x00cf93000000ffff      # 10: data
gdt_pointer:
        .word   . - gdt - 1
        .long   gdt
message:
        .asciz  "demo: this processor has no long mode; use the 32-bit demo\r\n"

        .section .bss
        .align 4096
root:   .skip   4096
pointers:
        .skip   4096
directories:
        .skip   4 * 4096
        .skip   16384
stack_top:
