/* Flags that an instruction leaves undefined do not tell what the translator did before it: in
 * translated code they are the same whatever came before. */
#include "tests/both_engines.h"

enum { CODE_AT = 0x20000, DATA_AT = 0x30000 };

/* RDX = the flags after the instruction, behind different ways to come there; its page is in the
 * shadow by then, so that it is not interpreted. */
#define FORM(name, before, text)                                                                   \
    GUEST_CODE(name, ".code64\n mov ecx, [rdi]\n" before text "\n pushfq\n pop rdx\n hlt\n")
#define FORMS(name, text)                                                                          \
    FORM(name##_plain, "", text);                                                                  \
    FORM(name##_negative, "cmp ebp, -1\n", text);                                                  \
    FORM(name##_all, "mov ah, 0xd5\n sahf\n mov eax, 6\n", text);                                  \
    FORM(name##_load, "mov rcx, [rdi + 0x111]\n", text)

FORMS(mul, "mul ebx");
FORMS(mul_memory, "mul dword ptr [rdi + 0x20]");
FORMS(imul, "imul rax, rbx");
FORMS(imul_away, "imul r9, r10");
FORMS(imul_immediate, "imul ebp, [rdi + 0x20], 77");
FORMS(bsf, "bsf ebp, ebx");
FORMS(bsr_memory, "bsr rbp, [rdi + 0x20]");

static uint64_t flags_after(const uint8_t *start, const uint8_t *end, enum windows_use windows)
{
    struct rig rig;
    rig_init(&rig);
    physmem_write(&rig.physmem, GPA(CODE_AT), start, (size_t)(end - start));
    physmem_write(&rig.physmem, GPA(DATA_AT + 0x20), &(uint64_t){40}, 8);
    engine_attach(rig.cpu, windows);
    rig_long(&rig, CODE_AT, 0);
    rig.cpu->regs[RAX] = 6;
    rig.cpu->regs[RBX] = 10;
    rig.cpu->regs[R9] = 6;
    rig.cpu->regs[R10] = 10;
    rig.cpu->regs[RDI] = DATA_AT;
    cr_assert_eq(cpu_run(rig.cpu), CPU_EXIT_HALTED);
    const uint64_t flags = rig.cpu->regs[RDX];
    translator_detach(rig.cpu);
    rig_free(&rig);
    return flags;
}

#define CHECK(name)                                                                                \
    for (enum windows_use windows = WINDOWS_OFF; windows <= WINDOWS_ALWAYS; windows++) {           \
        const uint64_t flags = flags_after(name##_plain_start, name##_plain_end, windows);         \
        cr_expect_eq(flags, flags_after(name##_negative_start, name##_negative_end, windows),      \
                     #name " behind CMP");                                                         \
        cr_expect_eq(flags, flags_after(name##_all_start, name##_all_end, windows),                \
                     #name " behind SAHF");                                                        \
        cr_expect_eq(flags, flags_after(name##_load_start, name##_load_end, windows),              \
                     #name " behind a load");                                                      \
    }

Test(translate_undefined, flags_are_the_same_each_time)
{
    CHECK(mul);
    CHECK(mul_memory);
    CHECK(imul);
    CHECK(imul_away);
    CHECK(imul_immediate);
    CHECK(bsf);
    CHECK(bsr_memory);
}
