/* Code that a device writes, and data that lies beside code. */
#include "tests/smc_rig.h"

/* --- DMA */

/* Toggles ADD and SUB in the instruction whose address the program keeps at 9000h. */
static uint32_t toggles(struct rig *rig, unsigned access, uint32_t value)
{
    uint64_t at = rig_peek(rig, SMC_DATA, 2) + 1;
    uint8_t byte = (uint8_t)rig_peek(rig, at, 1) ^ 0x28;
    physmem_write(&rig->physmem, GPA(at), &byte, 1);
    return access * 3;
}

/* IN is in the middle of its block, OUT at the end; in every fourth round alone, so that what
 * changes has been translated and linked. */
#define BY_DMA(R)                                                                                  \
    "mov edx, 0x300\n"                                                                             \
    "1: mov word ptr [0x9000], " HERE(                                                             \
        "2f") "\n test bp, 3\n jnz 3f\n in al, dx\n nop\n"                                         \
              "2: add bl, 5\n inc edi\n"                                                           \
              "3: mov word ptr [0x9000], " HERE(                                                   \
                  "4f") "\n test bp, 3\n jnz 4f\n out dx, al\n"                                    \
                        "4: add cl, 7\n jmp 5f\n .skip 60, 0x90\n"                                 \
                        "5: add cl, 9\n mov word ptr [0x9000], " HERE(                             \
                            "5b") "\n test bp, 7\n jnz 6f\n in al, dx\n"                           \
                                  "6: dec ebp\n jnz 1b\n hlt\n"
SMC_PROGRAM(by_dma, BY_DMA);

/* A device brings a new routine of many bytes to another page. */
static uint32_t brings_routine(struct rig *rig, unsigned access, uint32_t value)
{
    uint8_t routine[300];
    memset(routine, 0x90, sizeof routine);
    for (unsigned i = 0; i + 8 < sizeof routine; i += 4 + access % 5) {
        routine[i] = 0x80; /* add bl, n */
        routine[i + 1] = 0xc3;
        routine[i + 2] = (uint8_t)(access + i);
    }
    routine[sizeof routine - 1] = 0xc3;
    physmem_write(&rig->physmem, GPA(0x6000 - 40 * (access & 1)), routine + 40 * (access & 1),
                  sizeof routine - 40 * (access & 1));
    physmem_write(&rig->physmem, GPA(0x6000), routine, sizeof routine);
    return value;
}

#define NEW_ROUTINE(R)                                                                             \
    "mov edx, 0x300\n in al, dx\n"                                                                 \
    "1: test bp, 7\n jnz 3f\n in al, dx\n"                                                         \
    "3: call 2f\n" ROUND PAGE_2 "2: ret\n"
#define ROUND "dec ebp\n jnz 1b\n hlt\n"
SMC_PROGRAM(new_routine, NEW_ROUTINE);

Test(smc_device, code_written_by_dma)
{
    const struct smc_run run = {.port = toggles, .rounds = 100};
    smc_run_all(&by_dma, &run, SMC_REAL);
    const struct smc_run routines = {.port = brings_routine, .rounds = 200};
    smc_run_all(&new_routine, &routines, SMC_REAL);
}

/* Between two runs of the same translated code. */
GUEST_CODE(halts, ".code64\n77: mov ecx, 20\n1: add bl, 5\n dec ecx\n jnz 1b\n hlt\n");

Test(smc_device, code_written_while_the_cpu_halts)
{
    struct rig rig;
    struct error error;
    const struct translate_options options = {.threshold = 1};
    rig_init(&rig);
    cr_assert_eq(translator_attach(rig.cpu, &options, &error), 0);
    rig_load(&rig, SMC_CODE, halts);
    for (unsigned round = 0; round < 100; round++) {
        uint8_t addend = (uint8_t)(round * 7);
        physmem_write(&rig.physmem, GPA(SMC_CODE + 7), &addend, 1);
        rig_long(&rig, SMC_CODE, 0);
        rig.cpu->regs[RBX] = 0;
        rig.cpu->halted = false;
        cr_assert_eq(cpu_run(rig.cpu), CPU_EXIT_HALTED);
        cr_assert_eq(rig.cpu->regs[RBX], (uint8_t)(20 * addend), "round %u", round);
    }
    translator_detach(rig.cpu);
    rig_free(&rig);
}

/* --- data in the page of the code */

/* A counter in another line, one in the same line, and a stack between functions. */
#define MIXED(R)                                                                                   \
    "mov " R "sp, 0x5f00\n"                                                                        \
    "1: inc dword ptr [0x5800]\n add dword ptr [" HERE(                                            \
        "3f") "], 3\n call 2f\n"                                                                   \
              "dec ebp\n jnz 1b\n hlt\n"                                                           \
              ".balign 8, 0x90\n 3: .long 0\n"                                                     \
              "2: push ax\n mov eax, [0x5800]\n add ebx, eax\n xor [0x5804], ebx\n pop ax\n ret\n"
SMC_PROGRAM(mixed, MIXED);

Test(smc_device, data_beside_code_does_not_thrash)
{
    static struct smc_pair pair;
    for (enum smc_mode mode = SMC_REAL; mode < SMC_MODES; mode++) {
        const struct smc_run run = {.threshold = 1, .rounds = 5000};
        smc_run(&pair, &mixed, mode, &run);
        cr_assert_eq(pair.killed, 0, "%s: %d blocks killed", smc_mode_names[mode],
                     (int)pair.killed);
        cr_assert_leq(pair.translations, 12, "%s: %d translations", smc_mode_names[mode],
                      (int)pair.translations);
        cr_assert_leq(pair.decoded, 12, "%s: %d blocks", smc_mode_names[mode], (int)pair.decoded);
    }
}
