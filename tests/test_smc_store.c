/* A program's own stores into its code: which instruction is changed, and by what kind of store. */
#include "tests/smc_rig.h"

static const struct smc_run plain;

#define ROUND "dec ebp\n jnz 1b\n hlt\n"

/* --- where the changed instruction lies */

#define LATER_IMMEDIATE(R)                                                                         \
    "1: mov eax, ebp\n mov [" HERE("2f") " + 2], al\n nop\n inc edi\n"                             \
                                         "2: add bl, 5\n" ROUND
SMC_PROGRAM(later_immediate, LATER_IMMEDIATE);

#define LATER_OPCODE(R)                                                                            \
    "1: xor byte ptr [" HERE("2f") " + 1], 0x28\n nop\n inc edi\n" /* ADD and SUB */               \
                                   "2: add bl, 5\n" ROUND
SMC_PROGRAM(later_opcode, LATER_OPCODE);

#define NEXT_INSTRUCTION(R)                                                                        \
    "1: mov ebx, ebp\n xor byte ptr [" HERE(                                                       \
        "2f") " + 1], 0x28\n"                                                                      \
              "2: add dl, 5\n mov eax, ebp\n mov byte ptr [" HERE("3f") " + 2], al\n"              \
                                                                        "3: add cl, 5\n" ROUND
SMC_PROGRAM(next_instruction, NEXT_INSTRUCTION);

/* Another length: MOV DL, 5 and NOP become ADD DL, 90h. */
#define OTHER_LENGTH(R)                                                                            \
    "mov ax, 0xc280\n mov bx, 0x05b2\n"                                                            \
    "1: xchg ax, bx\n mov [" HERE("2f") "], ax\n"                                                  \
                                        "2: mov dl, 5\n nop\n" ROUND
SMC_PROGRAM(other_length, OTHER_LENGTH);

/* The store's own immediate, its last byte; and that of a RMW. */
#define OWN_IMMEDIATE(R)                                                                           \
    "1: mov byte ptr [" HERE(                                                                      \
        "2f") " - 1], 0x77\n"                                                                      \
              "2: add byte ptr [" HERE(                                                            \
                  "3f") " - 1], 0x11\n"                                                            \
                        "3: mov bl, [" HERE("3b") " - 1]\n add edi, ebx\n mov byte ptr [" HERE(    \
                            "2b") " - 1], 0x12\n" ROUND
SMC_PROGRAM(own_immediate, OWN_IMMEDIATE);

/* A store over the whole of itself: it is done all the same, and NOPs in the next round. */
#define OWN_OPCODE(R)                                                                              \
    "movups xmm0, [" HERE("3f") "]\n movups xmm1, [" HERE(                                         \
        "2f") "]\n"                                                                                \
              "1: test bp, 1\n jnz 2f\n movups [" HERE(                                            \
                  "2f") "], xmm1\n"                                                                \
                        "2: movups [" HERE("2b") "], xmm0\n .skip 16, 0x90\n inc ebx\n" ROUND      \
                                                 "3: .skip 16, 0x90\n"
SMC_PROGRAM(own_opcode, OWN_OPCODE);

#define OTHER_BLOCK(R)                                                                             \
    "1: xor byte ptr [" HERE("2f") " + 1], 0x28\n jmp 3f\n .skip 100, 0x90\n"                      \
                                   "3: inc edi\n jmp 2f\n .skip 90, 0x90\n"                        \
                                   "2: add bl, 5\n" ROUND
SMC_PROGRAM(other_block, OTHER_BLOCK);

/* Linked since many rounds when it is changed at last, ahead of and behind the store. */
#define LINKED_BLOCK(R)                                                                            \
    "jmp 1f\n"                                                                                     \
    "4: sub cl, 3\n jmp 5f\n"                                                                      \
    "1: test bp, 15\n jnz 3f\n"                                                                    \
    "xor byte ptr [" HERE("2f") " + 1], 0x28\n xor byte ptr [" HERE(                               \
        "4b") " + 1], 0x28\n"                                                                      \
              "3: inc edi\n jmp 2f\n"                                                              \
              "2: add bl, 5\n jmp 4b\n"                                                            \
              "5: dec ebp\n jnz 1b\n hlt\n"
SMC_PROGRAM(linked_block, LINKED_BLOCK);

#define OTHER_PAGE(R)                                                                              \
    "1: test bp, 7\n jnz 3f\n xor byte ptr [" HERE(                                                \
        "2f") " + 1], 0x28\n"                                                                      \
              "3: inc edi\n jmp 2f\n"                                                              \
              "5: add cl, 7\n" ROUND PAGE_2                                                        \
              "2: add bl, 5\n test bp, 3\n jnz 4f\n xor byte ptr [" HERE("5b") " + 1], 0x28\n"     \
                                                                               "4: jmp 5b\n"
SMC_PROGRAM(other_page, OTHER_PAGE);

/* The target of calls and of an indirect jump, on another page. */
#define CALLED(R)                                                                                  \
    "mov " R "si, " HERE("4f") "\n"                                                                \
                               "1: test bp, 7\n jnz 3f\n xor byte ptr [" HERE(                     \
                                   "2f") " + 1], 0x28\n"                                           \
                                         "xor byte ptr [" HERE(                                    \
                                             "4f") " + 1], 0x28\n"                                 \
                                                   "3: call 2f\n call " R "si\n" ROUND PAGE_2      \
                                                   "2: add bl, 5\n ret\n .skip 70, 0x90\n"         \
                                                   "4: add cl, 3\n ret\n"
SMC_PROGRAM(called, CALLED);

/* add ebx, imm32 over the end of a page: its opcode is in the first, its immediate in the second.
 */
#define CROSSING(R)                                                                                \
    "1: mov eax, ebp\n mov [" HERE(                                                                \
        "3f") " - 1], al\n"                                                                        \
              "test bp, 3\n jnz 4f\n xor byte ptr [" HERE(                                         \
                  "2f") " + " CROSSING_MODRM "], 0x28\n"                                           \
                        "4: jmp 2f\n"                                                              \
                        ".org 77b + 0x1000 - 3\n 2: .byte 0x81, 0xc3, 1, 2, 3, 4\n 3: nop\n" ROUND
#define CROSSING_MODRM "1"
SMC_PROGRAM(crossing_wide, CROSSING); /* an immediate of a word in real mode */

/* Both halves in one store, at their border. */
#define BORDER(R)                                                                                  \
    "mov ecx, 0x9002c383\n mov eax, 0x9004eb80\n"                                                  \
    "1: mov [" HERE("2f") "], eax\n xchg eax, ecx\n jmp 2f\n"                                      \
                          ".org 77b + 0x1000 - 2\n 2: add bl, 5\n nop\n nop\n nop\n" ROUND
SMC_PROGRAM(border, BORDER);

/* A hot loop whose immediate changes every 1, 3, 16, 100 rounds. */
#define HOT(PERIOD)                                                                                \
    "mov esi, " PERIOD "\n"                                                                        \
    "1: dec esi\n jnz 3f\n mov esi, " PERIOD                                                       \
    "\n mov eax, ebp\n mov [" HERE("2f") " + 2], al\n"                                             \
                                         "3: inc edi\n 2: add bl, 5\n adc ecx, ebx\n" ROUND
#define HOT_1(R)   HOT("1")
#define HOT_3(R)   HOT("3")
#define HOT_16(R)  HOT("16")
#define HOT_100(R) HOT("100")
SMC_PROGRAM(hot_1, HOT_1);
SMC_PROGRAM(hot_3, HOT_3);
SMC_PROGRAM(hot_16, HOT_16);
SMC_PROGRAM(hot_100, HOT_100);

Test(smc_store, a_changed_instruction_runs_as_it_is_now)
{
    static const struct smc_program *const programs[] = {
        &later_immediate, &later_opcode, &next_instruction, &other_length,
        &own_immediate,   &own_opcode,   &other_block,      &linked_block,
        &other_page,      &called,       &crossing_wide,    &border};
    for (unsigned i = 0; i < ARRAY_LENGTH(programs); i++)
        smc_run_all(programs[i], &plain, SMC_REAL);
}

Test(smc_store, an_immediate_in_a_hot_loop)
{
    static const struct smc_program *const programs[] = {&hot_1, &hot_3, &hot_16, &hot_100};
    const struct smc_run run = {.rounds = 2000};
    for (unsigned i = 0; i < ARRAY_LENGTH(programs); i++)
        smc_run_all(programs[i], &run, SMC_REAL);
}

/* --- what stores it */

#define PUSHED(R)                                                                                  \
    "mov ax, 0xe980\n mov bx, 0xc180\n"                                                            \
    "1: mov esi, esp\n mov " R "sp, " HERE("2f") " + 2\n push ax\n mov esp, esi\n xchg ax, bx\n"   \
                                                 "2: add cl, 5\n nop\n" ROUND
SMC_PROGRAM(pushed, PUSHED);

/* A call's return address goes over the instruction that the call leads to. */
#define CALL_OVER(R)                                                                               \
    "1: mov esi, esp\n mov " R                                                                     \
    "sp, " HERE("2f") " + 8\n call 3f\n"                                                           \
                      "3: mov esp, esi\n jmp 4f\n"                                                 \
                      "2: .skip 8, 0x90\n"                                                         \
                      "4: mov eax, [" HERE("2b") "]\n add ebx, eax\n mov eax, [" HERE(             \
                          "2b") " + 4]\n add ebx, eax\n"                                           \
                                "mov dword ptr [" HERE("2b") "], 0x90909090\n"                     \
                                                             "mov dword ptr [" HERE(               \
                                                                 "2b") " + 4], 0x90909090\n" ROUND
SMC_PROGRAM(call_over, CALL_OVER);

#define EXCHANGED(R)                                                                               \
    "mov al, 0xeb\n"                                                                               \
    "1: xchg [" HERE("2f") " + 1], al\n"                                                           \
                           "2: add bl, 5\n mov cl, 3\n xadd [" HERE(                               \
                               "3f") " + 2], cl\n"                                                 \
                                     "3: add bl, 5\n lock xor byte ptr [" HERE(                    \
                                         "4f") " + 1], 0x28\n"                                     \
                                               "4: add bl, 9\n bts word ptr [" HERE(               \
                                                   "5f") " + 1], 5\n"                              \
                                                         "5: add bl, 7\n btr word ptr [" HERE(     \
                                                             "5b") " + 1], 5\n" ROUND
SMC_PROGRAM(exchanged, EXCHANGED);

#define COMPARED(R)                                                                                \
    "1: mov eax, [" HERE("2f") "]\n mov edx, [" HERE(                                              \
        "2f") " + 4]\n mov ecx, edx\n mov ebx, eax\n"                                              \
              "xor bh, 0x28\n cmpxchg8b [" HERE(                                                   \
                  "2f") "]\n"                                                                      \
                        "2: add byte ptr [0x9000], 5\n nop\n nop\n nop\n nop\n"                    \
                        "mov al, 5\n mov bl, 7\n cmpxchg [" HERE(                                  \
                            "3f") " + 2], bl\n"                                                    \
                                  "3: add dl, 5\n add [0x9004], dl\n" ROUND
SMC_PROGRAM(compared, COMPARED);

/* FXSAVE lays XMM0 over the instructions that come next. */
#define FXSAVED(R)                                                                                 \
    "mov " R "si, " HERE("5f") "\n mov " R "ax, " HERE(                                            \
        "2f") "\n"                                                                                 \
              "1: xor byte ptr [" HERE("3f") " + 1], 0x28\n movups xmm0, [" HERE(                  \
                  "3f") "]\n"                                                                      \
                        "fxsave [0x5400]\n jmp " R "ax\n"                                          \
                        "3: add bl, 7\n inc edi\n jmp " R "si\n .skip 16, 0x90\n"                  \
                        ".org 77b + 0x400 + 160\n 2: add bl, 5\n jmp " R "si\n"                    \
                        ".org 77b + 0x600\n 5: " ROUND
SMC_PROGRAM(fxsaved, FXSAVED);

#define BY_VECTOR(R)                                                                               \
    "1: xor byte ptr [" HERE("3f") " + 1], 0x28\n movups xmm0, [" HERE(                            \
        "3f") "]\n"                                                                                \
              "movups [" HERE(                                                                     \
                  "2f") "], xmm0\n"                                                                \
                        "2: add bl, 5\n .skip 13, 0x90\n inc edi\n fninit\n fild dword ptr "       \
                        "[" HERE("3f") "]\n"                                                       \
                                       "fistp dword ptr [" HERE(                                   \
                                           "4f") "]\n"                                             \
                                                 "4: add bl, 9\n nop\n inc edi\n movq mm0, "       \
                                                 "[" HERE("3f") "]\n movq [" HERE(                 \
                                                     "5f") "], mm0\n"                              \
                                                           "emms\n"                                \
                                                           "5: add bl, 9\n .skip 5, 0x90\n dec "   \
                                                           "ebp\n jnz 1b\n hlt\n 3: add bl, 7\n "  \
                                                           ".skip 13, 0x90\n"
SMC_PROGRAM(by_vector, BY_VECTOR);

Test(smc_store, every_kind_of_store_is_seen)
{
    static const struct smc_program *const programs[] = {&pushed,   &call_over, &exchanged,
                                                         &compared, &fxsaved,   &by_vector};
    for (unsigned i = 0; i < ARRAY_LENGTH(programs); i++)
        smc_run_all(programs[i], &plain, SMC_REAL);
}

/* MOVS brings the program's next form over all of it, the repeated instruction included, and STOS
 * goes over itself with NOPs: then no more is repeated than was done by then. */
#define MOVED(R)                                                                                   \
    "1: mov " R "si, 0x9000\n mov " R                                                              \
    "di, " HERE("2f") "\n mov " R "cx, 64\n"                                                       \
                      "mov byte ptr [0x9000 + 5f - 2f + 1], 0xeb\n test bp, 1\n jz 2f\n"           \
                      "mov byte ptr [0x9000 + 5f - 2f + 1], 0xc3\n"                                \
                      "2: nop\n inc eax\n rep movsb\n"                                             \
                      "5: add bl, 5\n .skip 64, 0x90\n" ROUND
SMC_PROGRAM(moved, MOVED);

#define STORED(R)                                                                                  \
    "1: mov dword ptr [" HERE(                                                                     \
        "2f") "], 0x90aaf390\n mov eax, 0x90909090\n"                                              \
              "mov " R "di, " HERE("2f") " - 5\n mov " R "cx, 20\n inc edx\n jmp 3f\n"             \
                                         "3: .skip 8, 0x90\n 2: nop\n rep stosb\n .skip 30, "      \
                                         "0x90\n add [0x9000], ecx\n add [0x9004], edi\n" ROUND
SMC_PROGRAM(stored, STORED);

static void copy_of_program(struct rig *rig, enum smc_mode mode)
{
    uint8_t bytes[256];
    unsigned at = 0;
    physmem_read(&rig->physmem, GPA(SMC_CODE), bytes, sizeof bytes);
    while (at < 200 && !(bytes[at] == 0xf3 && bytes[at + 1] == 0xa4))
        at++;
    while (at > 0 && bytes[at] != 0x90)
        at--;
    physmem_write(&rig->physmem, GPA(SMC_DATA), bytes + at, 64);
}

Test(smc_store, a_repeated_store_over_itself)
{
    const struct smc_run moves = {.prepare = copy_of_program, .no_count = true};
    const struct smc_run stores = {.no_count = true};
    smc_run_all(&moved, &moves, SMC_REAL);
    smc_run_all(&stored, &stores, SMC_REAL);
}

/* The same page under another address: at 30000h, mapped like 5000h. */
#define ALIASED(R)                                                                                 \
    "1: xor byte ptr [0x2b000 + " HERE(                                                            \
        "2f") " + 1], 0x28\n inc edi\n"                                                            \
              "2: add bl, 5\n test bp, 3\n jnz 3f\n xor byte ptr [0x2b000 + " HERE(                \
                  "4f") " + 1], 0x28\n"                                                            \
                        "3: jmp 4f\n .skip 80, 0x90\n"                                             \
                        "4: add cl, 5\n" ROUND
SMC_PROGRAM_WIDE(aliased, ALIASED);

static void map_alias(struct rig *rig, enum smc_mode mode)
{
    uint64_t entry = SMC_CODE | 0x67;
    physmem_write(&rig->physmem, GPA(smc_pte(mode, 0x30000)), &entry, mode == SMC_LONG ? 8 : 4);
}

Test(smc_store, a_write_through_another_mapping)
{
    const struct smc_run run = {.prepare = map_alias};
    smc_run_all(&aliased, &run, SMC_FLAT);
}
