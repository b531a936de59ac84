/* User and kernel code that reaches its data through windows ends as the interpreter's does: every
 * form of operand, at page ends, window ends and the ends of either half, whatever the pages are;
 * in several machines at a time, and when the host gives few mappings.
 */
#include "tests/window_rig.h"

#include <pthread.h>

enum { RUNS = 120, RUNS_PER_LOAD = 12 };

/* The same with every register's operand in another window. */
static struct start spread_start(unsigned place_count)
{
    struct start start = plain_start(true);
    for (unsigned i = 0; i < 16; i++)
        if (i != R8 && (i == RBX || i >= RSP))
            start.regs[i] = places[i % place_count] + PAGE_BYTES + 0x200 + 0x20 * i;
    return start;
}

static bool check_stays(struct pair *pair)
{
    struct start start = plain_start(pair->program->code_64);
    for (start.place = places_of(pair); start.place-- > 0;)
        if (!run(pair, &start, false))
            return false;
    start.place = 0;
    if (!check_quiet(pair, start))
        return false;
    return !pair->program->code_64 || pair->program->one_window ||
           check_quiet(pair, spread_start(places_of(pair)));
}

static void run_programs(const struct program *programs, unsigned count, bool supervisor,
                         uint64_t seed)
{
    struct pair pair;
    pair_init_as(&pair, supervisor);
    struct random dice = {seed};
    const struct translator *translator = translator_of(pair.translated.rig.cpu);
    for (unsigned n = 0; n < count; n++) {
        load(&pair, &programs[n]);
        fill_data(&pair.interpreted, seed);
        fill_data(&pair.translated, seed);
        const bool stays = check_stays(&pair);
        cr_expect(stays, "%s", programs[n].name);
        for (unsigned i = 0; i < RUNS; i++) {
            if (i % RUNS_PER_LOAD == 0)
                load(&pair, &programs[n]);
            const struct start start =
                random_start_in(&dice, programs[n].code_64, places_of(&pair));
            if (!run(&pair, &start, random_next(&dice) >> 40 & 3)) {
                cr_expect_fail("%s, run %u", programs[n].name, i);
                break;
            }
        }
    }
    cr_expect_gt(translator->count.window_faults, 10 * count);
    const struct windows *windows = pair.translated.rig.cpu->mmu.windows;
    cr_expect_gt(windows[supervisor ? VIEW_SUPERVISOR : VIEW_USER].count.fills, 10 * count);
    pair_free(&pair);
}

PROGRAM_64(loads_64,
           "mov rax, [rsi]\n mov ebx, [rsi + 4]\n movzx ecx, word ptr [rdi + 2]\n"
           "movsx rdx, byte ptr [rsi + 7]\n movsxd r12, dword ptr [rbp]\n mov bp, [rdi - 1]");
PROGRAM_64(stores_64,
           "mov [rsi], rax\n mov [rsi + 4], ecx\n mov [rdi - 6], dx\n mov [rdi + 9], al\n"
           "mov dword ptr [rsi + 12], -3\n mov byte ptr [rbx], 7\n mov word ptr [rbx + 1], 99\n"
           "mov qword ptr [rbx + 8], -1");
PROGRAM_64(rmw_64, "add [rsi], rax\n adc dword ptr [rsi + 4], ecx\n sbb byte ptr [rdi], dl\n"
                   "inc qword ptr [rbx]\n dec word ptr [rsi + 2]\n neg dword ptr [rdi]\n"
                   "not byte ptr [rbx + 3]\n xor [rsi], ax\n sub qword ptr [rbx], 5\n"
                   "cmp [rsi], rax\n adc rax, [rdi]\n cmp byte ptr [rbx], 3\n sbb ecx, [rsi]");
PROGRAM_64(stack_64,
           "push rax\n push r9\n push 5\n pop rcx\n pop r10\n push rsp\n pop rdx\n"
           "push [rsi]\n pop r11\n push cx\n pop r15w\n mov rbx, [rsp + 8]\n mov [rsp - 8], ebx\n"
           "push -7\n mov eax, [rsp + r8*4]\n pop rsp");
PROGRAM_64(
    calls_64,
    "call 1f\n mov rdx, 5\n call [rip + 3f]\n jmp 4f\n"
    "1: push rbp\n mov rbp, rsp\n mov [rbp - 16], eax\n sub rsp, 32\n push rdx\n leave\n ret\n"
    "2: mov rcx, [rsp]\n ret 8\n .balign 8\n 3: .quad 0x30000 + 2b - calls_64_start\n4: nop");
PROGRAM_64(disp_64, "mov rax, [rsi + 0xff0]\n mov ecx, [rsi - 0x1000]\n mov [rdi + 0x7ff], dl\n"
                    "mov rdx, [rsi + 0x10]\n add rsi, 0x10\n mov rbx, [rsi - 0x20]");
PROGRAM_64(far_disp_64, "mov r12, rsi\n add r12, -0x7fffff00\n mov rax, [r12 + 0x7fffff00]\n"
                        "mov r13, rsi\n sub r13, -0x7fffff00\n mov ecx, [r13 - 0x7fffff00]\n"
                        "mov [r13 - 0x7fffff00], eax\n mov rdx, [rsi]");
PROGRAM_64(index_64, "mov rax, [rsi + r8*8]\n mov [rdi + r8*2 + 4], ecx\n mov rdx, [r9 + r8]\n"
                     "mov [r10 + r8*4], dl\n lea rbx, [r8*8]\n mov rbp, [rbx + rsi]\n"
                     "mov r12, [r8*4 + 0x201100]\n add [r11 + r8*8 - 3], r9d");
PROGRAM_64(rip_64,
           "mov rax, [rip + 0x1d0f00]\n mov [rip + 0x1d1000], rcx\n add [rip + 0x1d1003], edx\n"
           "mov rsi, [rip + 0x1d1ff0]");
PROGRAM_64(moffs_64,
           "movabs rax, [0x201ffc]\n movabs [0x201ffd], ax\n mov al, byte ptr [0x202004]\n"
           "movabs [0x0000000500001ff9], eax\n mov ecx, ds:[0x201ffe]\n mov ds:[0x201fff], cx");
PROGRAM_64(fs_gs_64, "mov rax, fs:[0x10]\n mov gs:[0x20], eax\n mov rcx, fs:[r8*8 + 0x30]\n"
                     "add gs:[0x7f8], rcx\n mov edx, fs:0\n mov rbx, [rsi]\n mov gs:[0x7fe], ebx\n "
                     "mov rsi, fs:[r8]");
PROGRAM_64(words_64,
           "mov ax, [rsi]\n add [rdi], cx\n movsx bx, byte ptr [rsi + 1]\n imul dx, [rdi + 2], 7\n"
           "cmp word ptr [rsi], 0x1234\n sete cl\n mov word ptr [rsi + 6], 0x7777");
PROGRAM_64(high_64, "mov ah, [rsi]\n add [rdi], bh\n mov [rsi + 1], ch\n cmp dh, [rdi]\n sete al\n"
                    "xchg ah, [rsi]\n mov rbx, [rsi]");
PROGRAM_64(memory_registers_64,
           "mov r9, [r10]\n mov [r10 + 8], r11\n add r9, [r10 + 16]\n"
           "mov r10, [r11]\n add [r15], r9\n cmp [r11 + 4], r10d\n adc r9d, [r11]\n"
           "mov [r11], r15w\n xchg r9, [r11]\n lea r15, [r11 + 8]\n mov [r15], r10b\n"
           "test [r11], r9\n sbb r10, r10");
PROGRAM_64(
    locked_64,
    "lock add [rsi], rax\n lock inc dword ptr [rdi]\n xchg [rsi], rcx\n xchg r9, [rdi]\n"
    "lock xadd [rsi], rdx\n xadd [rdi], r10d\n mov rax, [rsi]\n lock cmpxchg [rsi], r11\n"
    "lock cmpxchg [rdi], ecx\n xchg [rsi], dl\n lock dec byte ptr [rsi]\n lock not word ptr [rdi]");
PROGRAM_64(
    bits_64,
    "bt [rsi], r8\n adc rax, rax\n bts [rdi], r8d\n btr qword ptr [rsi], 7\n adc rcx, 0\n"
    "btc [rsi], r8\n sbb rdx, rdx\n lock bts dword ptr [rdi], 3\n bt [rsi], cx\n mov rbx, [rsi]");
PROGRAM_64(
    sse_64,
    "movups xmm0, [rsi]\n movaps xmm1, [rdi]\n movdqu [rsi + 1], xmm2\n paddb xmm3, [rdi]\n"
    "movaps [rdi], xmm3\n movq rax, xmm0\n movd xmm2, [rsi]\n movsd [rsi], xmm1\n"
    "pshufd xmm1, [rdi + 16], 0x1b\n addps xmm0, [rdi]\n movnti [rsi], eax\n ucomisd xmm1, [rsi]\n"
    "pinsrw xmm1, [rsi + 2], 3\n cvttsd2si r9, [rsi]\n movhps [rsi + 8], xmm0");
PROGRAM_64(sha_64, "sha256msg1 xmm0, [rsi]\n sha1msg2 xmm1, [rdi]\n sha256rnds2 xmm2, [rbx], "
                   "xmm0\n sha1rnds4 xmm3, [rbp], 1\n"
                   "aesenc xmm0, [rsi]\n cvtdq2pd xmm1, [rdi + 3]\n pcmpistri xmm2, [rsi + 1], 1");
PROGRAM_64(x87_64,
           "fninit\n fld qword ptr [rsi]\n fild dword ptr [rsi + 4]\n fadd dword ptr [rdi]\n"
           "fstp qword ptr [rdi]\n fist word ptr [rsi]\n fstp tbyte ptr [rsi + 2]\n fld1\n"
           "fst dword ptr [rbx]\n fnstcw [rdi]\n fldcw [rdi]\n fstp qword ptr [r10]");
PROGRAM_64(
    bmi_64,
    "andn rax, rcx, [rsi]\n bzhi ecx, [rdi], r8d\n mulx r9, r10, [rsi]\n rorx rdx, [rdi + 8], 5\n"
    "shlx r12, [rsi], rcx\n blsr r11d, [rdi]\n bextr rbx, [rsi], rax\n adc rcx, 1");
PROGRAM_64(moved_base_64,
           "mov rax, [rsi]\n add rsi, 8\n mov rcx, [rsi]\n sub rsi, 0x7f\n mov [rsi], al\n"
           "lea rsi, [rsi + 0x10]\n mov edx, [rsi]\n add rsi, 0x1000\n mov ebx, [rsi]\n"
           "inc rsi\n mov bl, [rsi]\n add esi, 4\n mov bp, [rsi]\n mov rsi, rdi\n mov rbx, [rsi]");
PROGRAM_64(truncated_base_64,
           "mov rax, [rsi]\n lea esi, [esi + 4]\n mov rcx, [rsi]\n mov rdx, [rdi]\n"
           "mov edi, edi\n mov rbx, [rdi + 4]");
PROGRAM_64(truncated_lea_64,
           "mov rax, [rbx]\n lea ebx, [rbx + 4]\n mov rcx, [rbx]\n mov rdx, [rdi]\n"
           "lea di, [rdi + 4]\n mov rdx, [rdi]");
PROGRAM_64(loaded_base_64,
           "mov r12, rsi\n mov [rdi], rbx\n mov rax, [rdi]\n mov rdi, [rdi]\n mov rcx, [rdi]\n"
           "mov [rsi], r12\n mov rdx, [rsi]\n pop rsi\n mov rdx, [rsi + 8]\n xchg rsi, rdi\n mov "
           "rcx, [rsi]");
PROGRAM_64(other_base_64,
           "mov rax, [rsi]\n mov rsi, rdi\n mov rcx, [rsi]\n lea rsi, [rbp + 8]\n mov rdx, [rsi]\n"
           "mov [rsp - 8], rbx\n mov [rsp - 16], rdi\n mov rsi, [rbp]\n mov rcx, [rbp + 8]\n mov "
           "rbp, [rsp - 8]\n"
           "mov rdx, [rbp]\n mov r12, [rsp - 16]\n cmp r12, rdi\n mov rcx, [rbp]\n cmove rbp, "
           "r12\n mov rcx, [rbp]\n"
           "mov rax, rsp\n mov rdx, [rax]\n xchg rax, rbp\n mov rdx, [rax]\n cmpxchg [rsp - 8], "
           "rbx\n mov rdx, [rax]\n"
           "mov rax, rsp\n mov rdx, [rax]\n mov ecx, 1\n mov rax, rdi\n mul rcx\n mov rdx, [rax]\n "
           "and rbp, rdi\n mov rdx, [rbp]");
PROGRAM_64(implicit_64,
           "mov rax, rsi\n mov rbx, [rax]\n mov ecx, 1\n mul rcx\n mov rbx, [rax]\n"
           "mov rdx, [rdi]\n cdq\n mov ebp, [rax]\n mov rax, rsi\n mov rdx, [rax]\n"
           "cmpxchg [rsi], rdi\n mov rbx, [rax]\n mov rdx, [rsi]\n mov ecx, 3\n rep movsb\n"
           "mov rdx, [rsi]\n lodsq\n mov [rdi], rax\n mov rax, rdi\n xlatb\n mov rbx, [rdi]");
PROGRAM_64(runs_64,
           "mov rax, [rsi]\n mov rcx, [rsi + 8]\n mov rdx, [rsi + 0x800]\n mov rbx, [rsi + 0xff8]\n"
           "mov r12, [rsi - 0x800]\n mov r13, [rsi + 4]\n mov [rsi + 0x801], r14\n mov r14, [rsi]\n"
           "add [rsi + 0x10], rax\n mov ebp, [rsi + 0x18]\n mov [rsi + 0x900], rbp");
PROGRAM_64(
    flags_64,
    "cmp rax, rcx\n mov rdx, [rsi]\n setb dl\n add eax, ecx\n mov [rdi], rdx\n sets bl\n"
    "inc rax\n mov rcx, [rsi + 8]\n adc ecx, 1\n shl rcx, 1\n mov [rsi], rcx\n adc rcx, rcx\n"
    "sub ecx, edx\n adc qword ptr [rdi], 3\n sbb rdx, [rsi]\n dec ecx\n sbb byte ptr [rsi], 1\n"
    "stc\n inc dword ptr [rdi + 4]\n adc rax, 0\n xor ecx, ecx\n push rax\n cmovz rax, [rsi]\n pop "
    "rbx\n jz 1f\n nop\n1: nop");
PROGRAM_64(pushf_64, "push rax\n pushfq\n pop rcx\n stc\n push rbx\n pushfq\n pop rdx\n push rdx\n "
                     "popfq\n push rcx\n pushfw\n pop bx\n pop rdx");
PROGRAM_64(x87_between_64,
           "mov rax, [rsi]\n fld qword ptr [rsi]\n push rax\n pop rbx\n call 1f\n jmp 2f\n"
           "1: fld1\n pop rdx\n push rdx\n ret\n2: fnop\n mov rdx, [rdi]\n fstp qword ptr [rdi]");
PROGRAM_64(address_32_64, "mov rax, [esi]\n mov ecx, [edi + r8d*4]\n mov [ebx - 8], dl\n push "
                          "[esi]\n add dword ptr [edi], 3");
#define USE_STACK " push rax\n mov rbx, [rsp + 8]\n pop rcx\n mov [rsp - 24], ebx\n inc rax\n"
PROGRAM_64(moved_stack_64,
           "mov r13, rsp\n mov r14, rdi\n sub r14, rsp\n" USE_STACK "mov rsp, rsi\n" USE_STACK
           "lea rsp, [rdi + 16]\n" USE_STACK "xchg rsp, rbp\n" USE_STACK "mov rsp, r13\n" USE_STACK
           "add rsp, r14\n" USE_STACK "sub rsp, r14\n" USE_STACK
           "cmp rax, rax\n cmove rsp, r11\n" USE_STACK "push rsi\n pop rsp\n" USE_STACK
           "xchg r13, rsp\n" USE_STACK "and rsp, -32\n" USE_STACK
           "movq xmm1, r11\n movq rsp, xmm1\n" USE_STACK
           "mov r12, r13\n mov rdx, -1\n pext rsp, r12, rdx\n" USE_STACK "mov rsp, r11\n" USE_STACK
           "xadd r13, rsp\n xchg rsp, r11\n" USE_STACK "imul rsp, rsi, 1\n" USE_STACK
           "call 1f\n" USE_STACK "jmp 2f\n 1: ret\n 2: nop");
PROGRAM_64(left_stack_64,
           "mov rbp, rdi\n push rax\n leave\n" USE_STACK "mov rbp, rsi\n jmp 1f\n nop\n"
           "1: leave\n" USE_STACK "mov rsp, r11\n jmp 2f\n nop\n 2:" USE_STACK
           "mov eax, esi\n cpuid\n mov rsp, r10\n cpuid\n" USE_STACK);
PROGRAM_64(rbp_64, "mov rax, [rbp]\n mov [rbp + 8], rcx\n add dword ptr [rbp - 4], 9\n mov rdx, "
                   "[rbp + r8*8]\n leave");

static const struct program programs_64[] = {
    P64(loads, .stays = true),
    P64(stores, .stays = true),
    P64(rmw, .stays = true),
    P64(stack),
    P64(calls),
    P64(disp, .stays = true),
    P64(far_disp, .stays = true),
    P64(index),
    P64(rip, .stays = true),
    P64(moffs, .wanders = true),
    P64(fs_gs, .stays = true),
    P64(words, .stays = true, .undefined = F_ARITH),
    P64(high, .stays = true),
    P64(memory_registers),
    P64(locked, .undefined = F_ARITH),
    P64(bits, .undefined = F_ARITH),
    P64(sse),
    P64(sha, .undefined = F_AF | F_PF),
    P64(x87),
    P64(bmi, .undefined = F_AF | F_PF),
    P64(moved_base, .one_window = true),
    P64(truncated_base, .one_window = true),
    P64(truncated_lea, .one_window = true),
    P64(other_base, .undefined = F_SF | F_ZF | F_AF | F_PF),
    P64(loaded_base, .wanders = true),
    P64(implicit, .wanders = true, .undefined = F_ARITH),
    P64(runs),
    P64(flags, .undefined = F_AF),
    P64(address_32, .one_window = true),
    P64(pushf),
    P64(x87_between),
    P64(rbp),
    P64(moved_stack, .stays = true, .undefined = F_ARITH),
    P64(left_stack),
};

Test(translate_window, operands_of_64_bit_code)
{
    run_programs(programs_64, ARRAY_LENGTH(programs_64), false, 88172645463325252);
}

Test(translate_window, operands_of_the_kernel_64)
{
    run_programs(programs_64, ARRAY_LENGTH(programs_64), true, 6364136223846793005);
}

PROGRAM_32(loads_32, "mov eax, [esi]\n mov ebx, [esi + 4]\n movzx ecx, word ptr [edi + 2]\n"
                     "movsx edx, byte ptr [esi + 7]\n mov bp, [edi - 1]\n mov edx, es:[esi]");
PROGRAM_32(stores_32,
           "mov [esi], eax\n mov [esi + 4], ecx\n mov [edi - 6], dx\n mov [edi + 9], al\n"
           "mov dword ptr [esi + 12], -3\n mov byte ptr [ebx], 7\n mov word ptr [ebx + 1], 99");
PROGRAM_32(
    rmw_32,
    "add [esi], eax\n adc dword ptr [esi + 4], ecx\n sbb byte ptr [edi], dl\n"
    "inc dword ptr [ebx]\n dec word ptr [esi + 2]\n neg dword ptr [edi]\n not byte ptr [ebx + 3]\n"
    "xor [esi], ax\n cmp [esi], eax\n adc eax, [edi]\n cmp byte ptr [ebx], 3\n sbb ecx, [esi]");
PROGRAM_32(
    stack_32,
    "push eax\n push 5\n pop ecx\n push esp\n pop edx\n push [esi]\n pop ebx\n push cx\n pop dx\n"
    "mov ebx, [esp + 4]\n mov [esp - 8], ebx\n push ds\n pop eax\n pusha\n popa\n"
    "push ebp\n mov ebp, esp\n sub esp, 16\n leave\n pop esp");
PROGRAM_32(calls_32, "call 1f\n mov edx, 5\n jmp 4f\n"
                     "1: push ebp\n mov ebp, esp\n mov [ebp - 16], eax\n sub esp, 32\n push edx\n "
                     "leave\n ret\n4: nop");
PROGRAM_32(
    segments_32,
    "mov eax, [esi]\n mov ecx, gs:[0x10]\n mov [edi], ecx\n mov gs:[0x20], eax\n mov edx, fs:0\n"
    "mov ebx, [esi + 4]\n add fs:[0x30], ebx\n mov eax, cs:[esi]\n mov edx, [esi]\n mov "
    "gs:[0x7fe], dx\n"
    "cmp eax, ecx\n setb byte ptr gs:[0x40]\n adc gs:[0x44], eax\n cmovs edx, fs:[0x31]\n stc\n"
    "inc dword ptr gs:[0x48]\n sbb ebx, gs:[0x4c]\n rcl dword ptr fs:[0x50], 1");
PROGRAM_32(bits_32, "mov eax, [esi]\n bt [edi], ecx\n adc eax, eax\n mov ecx, [esi]\n and ecx, "
                    "63\n mov eax, [esi]\n"
                    "bts [edi], ecx\n mov eax, [esi]\n btr dword ptr [edi], 3\n mov edx, [esi]");
PROGRAM_32(index_32,
           "mov eax, [esi + 8]\n and eax, 15\n mov ecx, [esi + eax*4]\n mov [edi + eax], cl\n"
           "mov edx, [eax*4 + 0x201100]\n mov edx, ds:0x201ffe\n mov ds:0x200fff, ax\n mov ebx, "
           "[ebp + eax*2]");
PROGRAM_32(
    ends_32,
    "mov ecx, esi\n sub ecx, 0x7fffff00\n mov eax, [ecx + 0x7fffff00]\n mov edx, esi\n neg edx\n"
    "mov eax, [esi]\n mov ebx, edi\n add ebx, 0x7f\n mov edx, [ebx - 0x7f]\n mov eax, -8\n mov "
    "ebx, [esi]\n"
    "mov ecx, [edi + 0x10]\n mov ecx, [eax + 16]");
PROGRAM_32(moved_32, "mov eax, [esi]\n add esi, 8\n mov ecx, [esi]\n mov esi, edi\n mov edx, "
                     "[esi]\n lea edi, [esi + 4]\n"
                     "mov [edi], eax\n mov eax, esi\n mov ecx, 1\n mul ecx\n mov ebx, [eax]\n "
                     "cmpxchg [esi], edi\n mov edx, [edi]\n"
                     "lods eax, [esi]\n mov [edi], eax\n mov edi, [edi]\n mov eax, [edi]");
PROGRAM_32(
    flags_32,
    "cmp eax, ecx\n mov edx, [esi]\n setb dl\n add eax, ecx\n mov [edi], edx\n sets bl\n inc eax\n"
    "mov ecx, [esi + 8]\n adc ecx, 1\n sub ecx, edx\n adc dword ptr [edi], 3\n sbb edx, [esi]\n "
    "dec ecx\n"
    "sbb byte ptr [esi], 1\n stc\n inc dword ptr [edi + 4]\n adc eax, 0\n push eax\n cmovz eax, "
    "[esi]\n pop ebx");
PROGRAM_32(locked_32, "lock add [esi], eax\n xchg [esi], ecx\n lock xadd [esi], edx\n lock cmpxchg "
                      "[edi], ecx\n xchg [esi], dl\n"
                      "lock cmpxchg8b [ebx]\n mov ah, [esi]\n mov [edi], bh\n mov eax, [esi]");
PROGRAM_32(vectors_32, "movups xmm0, [esi]\n movaps xmm1, [edi]\n movdqu [esi + 1], xmm2\n "
                       "fninit\n fld qword ptr [esi]\n"
                       "fstp dword ptr [edi]\n mov eax, [esi]\n andn eax, ecx, [esi]\n fild dword "
                       "ptr gs:[0x20]\n fistp dword ptr [edi]");

PROGRAM_32(pushf_32, "push eax\n pushfd\n pop ecx\n stc\n push ebx\n pushfd\n pop edx\n push edx\n "
                     "popfd\n push ecx\n pushfw\n pop bx\n push gs\n pop edx");
PROGRAM_32(x87_between_32,
           "mov eax, [esi]\n fld qword ptr [esi]\n push eax\n pop ebx\n call 1f\n jmp 2f\n"
           "1: fld1\n pop edx\n push edx\n ret\n2: mov edx, [edi]\n fstp qword ptr [edi]");

static const struct program programs_32[] = {
    P32(loads, .stays = true),
    P32(stores, .stays = true),
    P32(rmw, .stays = true),
    P32(stack, .wanders = true),
    P32(calls),
    P32(segments, .stays = true, .undefined = F_OF),
    P32(bits, .undefined = F_ARITH),
    P32(index),
    P32(ends, .wanders = true),
    P32(moved, .wanders = true, .undefined = F_ARITH),
    P32(flags),
    P32(pushf),
    P32(x87_between),
    P32(locked),
    P32(vectors, .undefined = F_AF | F_PF),
};

Test(translate_window, operands_of_32_bit_code)
{
    run_programs(programs_32, ARRAY_LENGTH(programs_32), false, 2685821657736338717);
}

Test(translate_window, operands_of_the_kernel_32)
{
    run_programs(programs_32, ARRAY_LENGTH(programs_32), true, 1442695040888963407);
}

/* --- the delta of a base that has moved */

PROGRAM_64(moves_64, "mov rax, [rsi]\n lea esi, [esi + 0x200000]\n mov rcx, [rsi]\n mov [rsi + 8], "
                     "rax\n mov rdx, [rsi + 16]");

/* What is cut to 32 bits lies in another window, however small the change. */
Test(translate_window, a_base_that_is_cut_has_another_window)
{
    static const struct program program = P64(moves, .stays = true);
    struct pair pair;
    pair_init(&pair);
    load(&pair, &program);
    const struct translator *translator = translator_of(pair.translated.rig.cpu);
    struct start start = plain_start(true);
    cr_assert(run(&pair, &start, false));
    start.place = 2;
    start.regs[RSI] = places[2] + PAGE_BYTES + 0x200;
    for (unsigned i = 0; i < 4; i++)
        cr_assert(run(&pair, &start, false));
    const uint64_t faults = translator->count.window_faults;
    start.keeps_pages = true;
    for (unsigned i = 0; i < 10; i++)
        cr_assert(run(&pair, &start, false));
    cr_expect_eq(translator->count.window_faults, faults);
    cr_expect_eq(translator->count.adapted, 0);
    pair_free(&pair);
}

/* The host gives few mappings: windows are lost while code uses them. */
Test(translate_window, windows_are_lost_and_come_back)
{
    struct pair pair;
    pair_init(&pair);
    struct windows *windows = pair.translated.rig.cpu->mmu.windows;
    windows->options.max_areas = 6;
    struct random dice = {1234567};
    for (unsigned n = 0; n < ARRAY_LENGTH(programs_64); n++) {
        load(&pair, &programs_64[n]);
        for (unsigned i = 0; i < 40; i++) {
            const struct start start = random_start(&dice, true);
            cr_assert(run(&pair, &start, true), "%s", programs_64[n].name);
            const struct start spread = spread_start(PLACES_USER);
            cr_assert(run(&pair, &spread, false), "%s", programs_64[n].name);
        }
    }
    cr_expect_gt(windows->count.fills, 1000);
    cr_expect_leq(windows->count.areas, 6);
    pair_free(&pair);
}

/* What is put into a window on the way into translated code may cost the space its windows.  Then
 * the kernel's stack is not to be where the user's windows have one of the user's pages. */
PROGRAM_64(push_64, "push rax\n pop rbx");

Test(translate_window, a_space_closed_on_the_way_in)
{
    static const struct program program = P64(push);
    struct pair pair;
    pair_init_as(&pair, true);
    load(&pair, &program);
    struct start start = plain_start(true);
    for (unsigned i = 0; i < 3; i++)
        cr_assert(run(&pair, &start, false));
    start.pages[1] = NOT_HIS;
    start_pages(&pair.interpreted, &start);
    start_pages(&pair.translated, &start);
    start.keeps_pages = true;
    struct cpu *cpu = pair.translated.rig.cpu;
    struct translation found;
    uint32_t error;
    const gva_t stack = GVA(start.regs[RSP]);
    cr_assert(mmu_translate(&cpu->mmu, VIEW_USER, stack, ACCESS_WRITE, &found, &error));
    cr_assert(windows_fill(&cpu->mmu, VIEW_USER, stack));
    struct windows *windows = &cpu->mmu.windows[VIEW_SUPERVISOR];
    windows->options = (struct windows_options){.max_areas = 2, .earn_ticks = 3};
    cr_assert_gt(windows->count.areas, 0);
    cr_assert(mmu_translate(&cpu->mmu, VIEW_SUPERVISOR, GVA(places[0] + 3 * PAGE_BYTES),
                            ACCESS_READ, &found, &error));
    cpu->native.window_wanted[0] = (places[0] + 3 * PAGE_BYTES) | 1;
    cpu->native.window_view = VIEW_SUPERVISOR;
    cpu->native.window_write = false;
    cr_assert(run(&pair, &start, false));
    cr_assert_not(windows_open(&cpu->mmu, VIEW_SUPERVISOR));
    cr_assert_eq(frame_of(&pair.translated).words[0], VECTOR_PF);
    pair_free(&pair);
}

/* --- several machines */

/* Each with data of its own, and a fault in each run. */
static bool run_and_again(struct pair *pair, struct random *dice, unsigned runs)
{
    for (unsigned i = 0; i < runs; i++) {
        struct start start = random_start(dice, true);
        if (!run(pair, &start, true))
            return false;
    }
    return true;
}

Test(translate_window, two_machines_in_one_thread)
{
    struct pair pairs[2];
    struct random dice = {42};
    for (unsigned i = 0; i < 2; i++) {
        pair_init(&pairs[i]);
        load(&pairs[i], &programs_64[i]);
        fill_data(&pairs[i].interpreted, i + 7);
        fill_data(&pairs[i].translated, i + 7);
    }
    for (unsigned i = 0; i < 300; i++)
        cr_assert(run_and_again(&pairs[i & 1], &dice, 1));
    for (unsigned i = 0; i < 2; i++) {
        cr_expect_gt(translator_of(pairs[i].translated.rig.cpu)->count.window_faults, 100);
        pair_free(&pairs[i]);
    }
}

struct thread_run {
    pthread_t thread;
    struct pair pair;
    struct random dice;
    bool ok;
};

static void *thread_runs(void *opaque)
{
    struct thread_run *of = opaque;
    of->ok = run_and_again(&of->pair, &of->dice, 1000);
    return NULL;
}

Test(translate_window, two_machines_in_two_threads)
{
    static struct thread_run runs[2];
    for (unsigned i = 0; i < 2; i++) {
        pair_init(&runs[i].pair);
        load(&runs[i].pair, &programs_64[2 + i]);
        runs[i].dice = (struct random){i + 99};
    }
    for (unsigned i = 0; i < 2; i++)
        cr_assert_eq(pthread_create(&runs[i].thread, NULL, thread_runs, &runs[i]), 0);
    for (unsigned i = 0; i < 2; i++) {
        pthread_join(runs[i].thread, NULL);
        cr_expect(runs[i].ok);
        cr_expect_gt(translator_of(runs[i].pair.translated.rig.cpu)->count.window_faults, 100);
        pair_free(&runs[i].pair);
    }
}
