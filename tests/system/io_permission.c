/* Topic: who may use IN, OUT, INS and OUTS: IOPL and the I/O permission bitmap.
 *
 * Sources: SDM 1 §19.5.1, §19.5.2; 3A §8.2.1, §21.2.8.1. */
#include "model.h"

SNIPPETS(in_byte, "in %dx, %al");
SNIPPETS(in_word, "in %dx, %ax");
SNIPPETS(in_dword, "in %dx, %eax");
SNIPPETS(out_byte, "out %al, %dx");
SNIPPETS(out_dword, "out %eax, %dx");
SNIPPETS(ins_word, "insw");
SNIPPETS(outs_byte, "outsb");
SNIPPET(32, in_immediate_32, "in $0x61, %al");
SNIPPET(64, in_immediate_64, "in $0x61, %al");

struct use {
    const struct snippet *snippet;
    unsigned bytes;
};

#define USES(size)                                                                                 \
    {                                                                                              \
        {&in_byte_##size, 1}, {&in_word_##size, 2}, {&in_dword_##size, 4}, {&out_byte_##size, 1},  \
            {&out_dword_##size, 4}, {&ins_word_##size, 2}, {&outs_byte_##size, 1},                 \
    }
enum { USES_EACH = 7 };
static const struct use uses_16[] = USES(16), uses_32[] = USES(32), uses_64[] = USES(64);

/* Nothing answers at these ports; the bitmap of the case ends within them. */
enum { PORT = 0x1e0, MAP = 0x68, MAP_BYTES = 0x40, SPEAKER = 0x61 };

static uint32_t task_state(void)
{
    return in_long_mode() ? TSS_64 : TSS_32;
}

static void set_task_limit(uint32_t limit)
{
    unsigned selector = in_long_mode() ? SEL_TSS64 : SEL_TSS32;

    gdt_set(selector, descriptor(task_state(), limit, TSS_FREE, 0));
    __asm__ volatile("ltr %w0" : : "r"(selector) : "memory");
}

/* Bits of the ports from PORT on; all others are denied. */
static void set_bitmap(uint32_t bits)
{
    *word_at(task_state() + TSS_MAP) = MAP;
    for (unsigned i = 0; i < MAP_BYTES + 1; i++)
        *byte_at(task_state() + MAP + i) = 0xff;
    *dword_at(task_state() + MAP + PORT / 8) = bits;
}

/* SDM 1 19.5.2: a bit for each byte; two bytes of the map are read, both within the limit. */
static bool map_allows(uint32_t limit, unsigned map, unsigned port, unsigned bytes)
{
    if (map + port / 8 + 1 > limit)
        return false;
    for (unsigned i = 0; i < bytes; i++)
        if (*byte_at(task_state() + map + (port + i) / 8) >> (port + i) % 8 & 1)
            return false;
    return true;
}

static struct state start_of(const struct snippet *snippet, unsigned cpl, unsigned port)
{
    struct state start = start_at(snippet, cpl);

    start.gpr[RDX] = port;
    start.gpr[RSI] = start.gpr[RDI] = snippet->bits == 16 ? 0x100 : FREE_BASE;
    start.gpr[RAX] = 0xffffffff;
    return start;
}

static void privileges(const struct use *uses, const char *place)
{
    case_begin_in("1 19.5.1", "CPL against IOPL, with a bitmap that denies all", place);
    set_bitmap(0xffffffff);
    set_task_limit(MAP + MAP_BYTES);
    for (unsigned i = 0; i < USES_EACH * 16; i++) {
        const struct use *use = &uses[i / 16];
        unsigned cpl = i & 3, iopl = i >> 2 & 3;
        struct state start = start_of(use->snippet, cpl, PORT);
        start.flags |= iopl << 12;
        case_attempt(use->snippet, &start, cpl <= iopl ? ENDS : fault(VECTOR_GP, 0),
                     "use %u, CPL %u, IOPL %u", i / 16, cpl, iopl);
    }
    case_end();
}

static void bitmap(const struct use *uses, const char *place)
{
    case_begin_in("1 19.5.2", "the bitmap has a bit for each byte of a port", place);
    set_task_limit(MAP + MAP_BYTES);
    for (unsigned i = 0; i < USES_EACH * 16 * 24; i++) {
        const struct use *use = &uses[i % USES_EACH];
        unsigned port = PORT + i / USES_EACH % 16, bit = i / USES_EACH / 16;
        set_bitmap(bit < 20 ? 1u << bit : bit == 20 ? 0 : bit == 21 ? 0xffffffff : ~(1u << bit));
        struct state start = start_of(use->snippet, 3, port);
        bool allowed = map_allows(MAP + MAP_BYTES, MAP, port, use->bytes);
        case_attempt(use->snippet, &start, allowed ? ENDS : fault(VECTOR_GP, 0),
                     "%u bytes at %x, bit %u", use->bytes, port, bit);
    }
    case_end();
}

static void limits(const struct use *uses, const char *place)
{
    case_begin_in("1 19.5.2", "two bytes of the bitmap must lie within the TSS", place);
    set_bitmap(0);
    for (unsigned i = 0; i < USES_EACH * 16 * 6; i++) {
        const struct use *use = &uses[i % USES_EACH];
        unsigned port = PORT + i / USES_EACH % 16;
        uint32_t limit = MAP + PORT / 8 - 1 + i / USES_EACH / 16;
        set_task_limit(limit);
        struct state start = start_of(use->snippet, 3, port);
        case_attempt(use->snippet, &start,
                     map_allows(limit, MAP, port, use->bytes) ? ENDS : fault(VECTOR_GP, 0),
                     "%u bytes at %x, limit %x", use->bytes, port, limit);
    }
    case_end();

    case_begin_in("1 19.5.2", "a bitmap that begins beyond the TSS's limit denies all", place);
    set_bitmap(0);
    set_task_limit(MAP + MAP_BYTES);
    for (unsigned i = 0; i < USES_EACH * 3; i++) {
        static const uint16_t maps[] = {MAP + MAP_BYTES, 0x8000, 0xffff};
        const struct use *use = &uses[i % USES_EACH];
        *word_at(task_state() + TSS_MAP) = maps[i / USES_EACH];
        struct state start = start_of(use->snippet, 3, 0);
        case_attempt(use->snippet, &start, fault(VECTOR_GP, 0), "%u bytes, map at %x", use->bytes,
                     maps[i / USES_EACH]);
    }
    case_end();
}

static void immediate(const struct snippet *snippet, const char *place)
{
    case_begin_in("1 19.5.2", "IN with its port in the instruction", place);
    set_task_limit(MAP + MAP_BYTES);
    set_bitmap(0xffffffff);
    for (unsigned allowed = 0; allowed < 2; allowed++) {
        *byte_at(task_state() + MAP + SPEAKER / 8) = ~(allowed << SPEAKER % 8);
        struct state start = start_of(snippet, 3, 0);
        case_attempt(snippet, &start, allowed ? ENDS : fault(VECTOR_GP, 0), "%u", allowed);
    }
    case_end();
}

/* Virtual-8086 mode asks the bitmap whatever IOPL is. */
static void virtual_8086(void)
{
    case_begin("3A 21.2.8.1", "virtual-8086 mode asks the bitmap, not IOPL");
    set_task_limit(MAP + MAP_BYTES);
    for (unsigned i = 0; i < USES_EACH * 4 * 2; i++) {
        const struct use *use = &uses_16[i / 8];
        bool allowed = i >> 2 & 1;
        struct state start = start_v86(use->snippet);
        start.flags |= (i & 3) << 12;
        start.gpr[RDX] = PORT;
        start.gpr[RSI] = start.gpr[RDI] = 0x100;
        set_bitmap(allowed ? 0 : 0xffffffff);
        struct state end = attempt(&start);
        case_compare(use->snippet, &start, &end, allowed ? ENDS : fault(VECTOR_GP, 0),
                     "%u bytes, IOPL %u, allowed %u", use->bytes, i & 3, allowed);
    }
    case_end();
}

static void everything(const struct use *uses, const char *place)
{
    privileges(uses, place);
    bitmap(uses, place);
    limits(uses, place);
}

static void small_task_state(void)
{
    enum { SMALL = FREE_BASE + 0x1000 };

    case_begin("1 19.5.2", "a 16-bit TSS has no bitmap: all ports are denied");
    for (unsigned i = 0; i < 0x100; i++)
        *byte_at(SMALL + i) = 0;
    *word_at(SMALL + 2) = 0xc000; /* SP0 and SS0 */
    *word_at(SMALL + 4) = SEL_DATA32(0);
    gdt_set(SEL_SCRATCH, descriptor(SMALL, 0xffff, 0x81, 0));
    __asm__ volatile("ltr %w0" : : "r"(SEL_SCRATCH) : "memory");
    for (unsigned i = 0; i < USES_EACH; i++) {
        struct state start = start_of(uses_32[i].snippet, 3, 0);
        case_attempt(uses_32[i].snippet, &start, fault(VECTOR_GP, 0), "use %u", i);
    }
    case_end();
}

static void protected_mode(void)
{
    everything(uses_32, "protected mode");
    everything(uses_16, "16-bit protected mode");
    immediate(&in_immediate_32, "protected mode");
    virtual_8086();
    small_task_state();
}

static void long_mode(void)
{
    everything(uses_32, "compatibility mode");
    everything(uses_64, "64-bit mode");
    immediate(&in_immediate_64, "64-bit mode");
}

const struct topic topic = {"io-permission", protected_mode, long_mode};
