/* From the notes that translated code leaves of its flags to the interpreter's lazy form. */
#include "translate/flags.h"

#include "cpu/flags.h"

enum { IMAGE_FLAGS = F_CF | F_PF | F_AF | F_ZF | F_SF };

static uint64_t cut(uint64_t value, unsigned bits)
{
    return bits == 64 ? value : value & (BIT(bits) - 1);
}

/* What INC and DEC do to the flags but CF, which stays. */
static void settle_step(struct cpu *cpu, uint32_t step)
{
    unsigned bits = 8u << (step >> FLAGS_SIZE_SHIFT & 3);
    uint64_t result = cut(cpu->native.flags_step, bits);
    uint32_t carry = flag_cf(cpu) ? F_CF : 0;
    if ((step & STEP_KIND) == STEP_INC)
        flags_add(cpu, cut(result - 1, bits), 1, result, bits);
    else
        flags_subtract(cpu, cut(result + 1, bits), 1, result, bits);
    flags_update_arithmetic(cpu, carry, F_CF);
}

void native_flags_settle(struct cpu *cpu)
{
    const uint32_t kind = (uint32_t)cpu->native.flags_kind;
    const uint32_t step = cpu->native.flags_kind >> 32;
    unsigned bits = 8u << (kind >> FLAGS_SIZE_SHIFT & 3);
    uint64_t a = cut(cpu->native.flags_a, bits), b = cut(cpu->native.flags_b, bits);
    switch (kind & FLAGS_KIND) {
    case FLAGS_IMAGE: {
        uint64_t image = cpu->native.flags_a;
        flags_set_arithmetic(cpu, (image >> 8 & IMAGE_FLAGS) | (image & 1 ? F_OF : 0));
        break;
    }
    case FLAGS_CMP:
        flags_subtract(cpu, a, b, cut(a - b, bits), bits);
        break;
    case FLAGS_SUB:
        flags_subtract(cpu, cut(a + b, bits), b, a, bits);
        break;
    case FLAGS_ADD:
        flags_add(cpu, cut(a - b, bits), b, a, bits);
        break;
    case FLAGS_LOGIC:
        flags_logic(cpu, a, bits);
        break;
    }
    if (step)
        settle_step(cpu, step);
    cpu->native.flags_kind = FLAGS_LAZY;
}

void native_flags_image(struct cpu *cpu)
{
    native_flags_settle(cpu);
    uint32_t flags = flags_arithmetic(cpu);
    cpu->native.flags_a = (flags & IMAGE_FLAGS) << 8 | (flags & F_OF ? 1 : 0);
    cpu->native.flags_kind = FLAGS_IMAGE;
}
