/* 64-bit code leaves upper halves in all registers when it jumps to compatibility code, whose
 * addresses have 32 bits: no form of operand may lead them into a window's host address.
 */
#include "tests/window_rig.h"

#include <sys/mman.h>

enum { RUNS = 40, BYTES = PAGES * PAGE_BYTES };

/* 64-bit code that does nothing but enter 32-bit code, which ends in INT3. */
#define COMPATIBILITY(name, text)                                                                  \
    PROGRAM_64(name##_64, "jmp fword ptr [rip + 8f]\n8: .long 0x30000 + 9f - " #name               \
                          "_64_start\n .word 0x1b\n .code32\n9: " text)

COMPATIBILITY(loads, "mov eax, [ebx + 8]\n movzx ecx, word ptr [esi]\n mov edx, [edi - 0x100]\n"
                     "movsx ebp, byte ptr [ebp + 7]\n cmp eax, [esp]\n mov ebx, es:[esi + 4]");
COMPATIBILITY(stores,
              "mov [ebx + 8], eax\n mov [esi], cx\n mov [edi - 0x100], dl\n mov [esp - 8], ebp\n"
              "mov dword ptr [ebp], -3\n add [ebx], eax\n inc dword ptr [esi + 4]\n"
              "lock xadd [edi], ecx\n xchg [ebx + 4], edx\n not byte ptr [esi + 8]");
COMPATIBILITY(indexed, "mov ecx, 3\n mov eax, [ebx + ecx*4]\n mov [esi + ecx*8 + 1], ax\n"
                       "neg ecx\n mov edx, [edi + ecx]\n add [ebp + ecx*2 - 4], edx\n"
                       "mov ebx, [ecx*4 + 0x201200]\n mov ds:0x201300, eax");
COMPATIBILITY(pushes,
              "push eax\n push 5\n push [ebx + 8]\n push cx\n pop dx\n pop [esi]\n pop ecx\n"
              "push esp\n pop edx\n pushfd\n pop eax\n mov esp, edi\n push ebp\n pop ebx");
COMPATIBILITY(calls,
              "call 1f\n mov edx, 5\n lea eax, [edi + 0x20]\n mov [eax], edi\n jmp 3f\n"
              "1: push edx\n mov eax, [esp + 4]\n call 2f\n pop edx\n ret\n2: ret 0\n3: nop");
COMPATIBILITY(frames, "push ebp\n mov ebp, esp\n mov [ebp - 16], eax\n sub esp, 32\n push edx\n"
                      "leave\n mov ebp, esi\n leave\n enter 16, 0\n mov [ebp - 4], esp\n leave");
COMPATIBILITY(strings, "mov ecx, 5\n rep movsb\n movsd\n lodsd\n stosd\n mov ecx, 3\n rep stosd\n"
                       "scasb\n cmpsd\n mov ecx, 9\n repe cmpsb\n mov ecx, 9\n repne scasw");
COMPATIBILITY(vectors, "movups xmm0, [ebx + 8]\n movdqu [esi], xmm0\n paddb xmm1, [edi]\n fninit\n"
                       "fld qword ptr [ebx + 8]\n fstp dword ptr [ebp]\n movq [esp], xmm1\n"
                       "andn eax, ecx, [esi]");

static const struct program programs[] = {
    P64(loads, .stays = true),
    P64(stores, .stays = true),
    P64(indexed),
    P64(pushes),
    P64(calls),
    P64(frames),
    P64(strings),
    P64(vectors, .undefined = F_AF | F_PF),
};

static struct start with_upper_halves(struct start start, uint32_t upper)
{
    for (unsigned i = 0; i < 16; i++)
        start.regs[i] = (uint64_t)upper << 32 | (uint32_t)start.regs[i];
    return start;
}

/* Memory of the process where the data would be with `*upper` in the base: the first window of the
 * machine has to be open. */
static uint8_t *bait(const struct machine *m, uint32_t *upper)
{
    const uint64_t data = (uint64_t)m->rig.cpu->mmu.windows[VIEW_USER].deltas[0] + places[0];
    for (*upper = UINT32_MAX; *upper > UINT32_MAX - 4096; --*upper) {
        void *at = (void *)(uintptr_t)(data + ((uint64_t)*upper << 32));
        if (mmap(at, BYTES, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) == at)
            return memset(at, 0x5a, BYTES);
    }
    cr_assert_fail("no free host memory below the window");
    return NULL;
}

static void check_bait(const uint8_t *bytes, const char *name)
{
    for (unsigned i = 0; i < BYTES; i++)
        cr_assert_eq(bytes[i], 0x5a, "%s: memory of the process is written", name);
}

Test(window_compatibility, upper_halves_lead_nowhere)
{
    struct pair pair;
    pair_init(&pair);
    fill_data(&pair.interpreted, 4711);
    fill_data(&pair.translated, 4711);
    load(&pair, &programs[0]);
    const struct start plain = plain_start(true);
    cr_assert(run(&pair, &plain, false));
    uint32_t upper;
    uint8_t *const bytes = bait(&pair.translated, &upper);
    for (unsigned n = 0; n < ARRAY_LENGTH(programs); n++) {
        load(&pair, &programs[n]);
        cr_expect(check_quiet(&pair, with_upper_halves(plain, upper)), "%s", programs[n].name);
        check_bait(bytes, programs[n].name);
    }
    pair_free(&pair);
    munmap(bytes, BYTES);
}

Test(window_compatibility, upper_halves_and_pages_of_all_kinds)
{
    struct pair pair;
    struct random dice = {0x9e3779b97f4a7c15};
    pair_init(&pair);
    for (unsigned n = 0; n < ARRAY_LENGTH(programs); n++) {
        for (unsigned i = 0; i < RUNS; i++) {
            if (i % 10 == 0)
                load(&pair, &programs[n]);
            const struct start start =
                with_upper_halves(random_start(&dice, false), (uint32_t)random_edge(&dice));
            cr_assert(run(&pair, &start, true), "%s, run %u", programs[n].name, i);
        }
    }
    cr_expect_gt(pair.translated.rig.cpu->mmu.windows->count.fills, 10 * ARRAY_LENGTH(programs));
    pair_free(&pair);
}
