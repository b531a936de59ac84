/* Reads the table of probes, and prepares registers and memory for one. */
#include "sensitive.h"

enum { PATTERN = 0xcc };

const uint32_t *probe_read(const uint32_t *at, struct probe *probe)
{
    *probe = (struct probe){0};
    for (;; at += 2) {
        uint32_t tag = at[0], value = at[1];
        switch (tag) {
        case TAG_PROBE:
            probe->name = (const char *)value;
            break;
        case TAG_MODES:
            probe->modes = value;
            break;
        case TAG_SLOT:
            probe->slot = probe->start = value;
            break;
        case TAG_START:
            probe->start = value;
            break;
        case TAG_NEXT:
            probe->next = value;
            break;
        case TAG_STACK:
            probe->stack[probe->stack_words++] = value;
            break;
        case TAG_DATA:
            probe->data[probe->data_words++] = value;
            break;
        case TAG_DONE:
            probe->end = value;
            if (!probe->next)
                probe->next = value;
            return at + 2;
        default:
            probe->set[tag] = value;
            probe->is_set[tag] = true;
        }
    }
}

/* Whole registers in 64-bit mode, where the segments are flat. */
static uint32_t offset_in(const struct mode *mode, uint32_t segment_base, uint32_t offset)
{
    return mode->bits == 64 ? segment_base + offset : offset;
}

static uint32_t value_of(const struct mode *mode, uint32_t value)
{
    uint32_t target = offset_in(mode, LOW_BASE, TARGET_OFFSET);

    switch (value) {
    case T_CS:
        return mode->cs;
    case T_IP_LOW:
        return target & 0xffff;
    case T_IP_HIGH:
        return target >> 16;
    case T_IP:
        return target;
    case T_SP:
        return offset_in(mode, DATA_BASE, STACK_OFFSET);
    case T_SS:
        return mode->ss;
    case T_OTHER_SS:
        return mode->other_ss;
    case T_BAD_SS:
        return mode->bad_ss;
    case T_OUTER_CS:
        return mode->outer_cs;
    case T_OUTER_SS:
        return mode->outer_ss;
    case T_DATA:
        return offset_in(mode, DATA_BASE, DATA_OFFSET);
    case T_TR:
        return mode_is_long(mode) ? SEL_TSS64 : SEL_TSS32;
    case T_CR0:
        return mode_cr0(mode) ^ 0x10008;
    case T_BAD_CR0:
        return mode_cr0(mode) | 0x20000000;
    case T_CR4:
        return mode_cr4(mode) ^ 4;
    case T_BAD_CR4:
        return mode_cr4(mode) | 0x40000000;
    default:
        return value;
    }
}

static void fill_memory(const struct probe *probe, const struct mode *mode)
{
    volatile uint8_t *top = STACK_WINDOW + WINDOW_BYTES / 2;
    unsigned bytes = mode->bits / 8;

    for (unsigned i = 0; i < WINDOW_BYTES; i++)
        STACK_WINDOW[i] = FLAT_WINDOW[i] = DATA_WINDOW[i] = EXTRA_WINDOW[i] = PATTERN;
    for (unsigned i = 0; i < probe->stack_words; i++) {
        uint32_t value = value_of(mode, probe->stack[i]);
        for (unsigned byte = 0; byte < bytes; byte++)
            top[i * bytes + byte] = byte < 4 ? value >> 8 * byte : 0;
    }
    for (unsigned i = 0; i < probe->data_words; i++)
        ((volatile uint16_t *)DATA_WINDOW)[i] = value_of(mode, probe->data[i]);
    if (probe->is_set[TAG_PATCH]) {
        volatile uint8_t *at = (volatile uint8_t *)probe->next;
        uint16_t selector = value_of(mode, probe->set[TAG_PATCH]);
        if ((at[-2] | at[-1] << 8) != selector) {
            at[-2] = selector;
            at[-1] = selector >> 8;
        }
    }
}

/* A pattern in each register that says whose it is. */
static void fill_registers(const struct probe *probe, const struct mode *mode)
{
    static const struct {
        uint8_t reg, tag;
    } named[] = {{RAX, TAG_EAX}, {RCX, TAG_ECX}, {RDX, TAG_EDX}, {R11, TAG_R11}};
    static const uint8_t patterns[REGISTERS] = {0xaa, 0xcc, 0xdd, 0xbb, 0,    0xb5, 0x51, 0xd1,
                                                0x88, 0x99, 0x1a, 0x1b, 0x1c, 0x1d, 0x1e, 0x1f};

    for (unsigned i = 0; i < REGISTERS; i++)
        state_in->gpr[i] = patterns[i] * 0x0101010101010101;
    state_in->gpr[RSP] = offset_in(mode, DATA_BASE, STACK_OFFSET);
    state_in->gpr[RBX] = state_in->gpr[RSI] = offset_in(mode, DATA_BASE, DATA_OFFSET);
    state_in->gpr[RDI] = offset_in(mode, EXTRA_BASE, DATA_OFFSET);
    for (unsigned i = 0; i < sizeof named / sizeof named[0]; i++)
        if (probe->is_set[named[i].tag])
            state_in->gpr[named[i].reg] = value_of(mode, probe->set[named[i].tag]);
}

void probe_prepare(const struct probe *probe, const struct mode *mode)
{
    fill_memory(probe, mode);
    fill_registers(probe, mode);
    state_in->ip = probe->slot - mode->base;
    state_in->flags = mode->flags | FLAG_FIXED | probe->set[TAG_FLAGS];
    state_in->cs = mode->cs;
    state_in->ss = mode->ss;
    state_in->ds = mode->ds;
    state_in->es = mode->es;
    state_in->fs = mode->fs;
    state_in->gs = mode->gs;
    state_in->fs_base = probe->is_set[TAG_ODD_GS] ? ODD_FS_BASE : FS_BASE;
    state_in->gs_base = probe->is_set[TAG_ODD_GS] ? ODD_GS_BASE : GS_BASE;
    for (volatile uint64_t *at = (volatile uint64_t *)STATE_OUT;
         at < (volatile uint64_t *)(STATE_OUT + sizeof(struct state)); at++)
        *at = 0;
}
