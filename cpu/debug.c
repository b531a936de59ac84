/* Debug registers: instruction, data and I/O breakpoints.
 *
 * Single-stepping and the order of traps are the run loop's (run.c); what is here answers its
 * questions.  Pages with an enabled data breakpoint have no shadow entry, so that every access to
 * them comes to debug_note_access().
 * INV-1: debug_pending holds only conditions of the present instruction, and of a MOV SS or POP SS
 *        before it.
 * Sources: SDM 3B §17.2 (registers), §17.3 (exceptions).
 */
#include "cpu/descriptor.h"

enum { BREAK_EXECUTE, BREAK_WRITE, BREAK_IO, BREAK_READ_WRITE };

struct breakpoint {
    uint64_t at;
    unsigned length, kind;
    bool enabled;
};

static struct breakpoint breakpoint(const struct cpu *cpu, unsigned n)
{
    static const uint8_t lengths[] = {1, 2, 8, 4};
    uint64_t dr7 = cpu->dr[7];
    unsigned length = lengths[dr7 >> (18 + n * 4) & 3];
    return (struct breakpoint){
        /* SDM: address bits below the length are ignored. */
        .at = cpu->dr[n] & ~(uint64_t)(length - 1),
        .length = length,
        .kind = dr7 >> (16 + n * 4) & 3,
        .enabled = dr7 >> (n * 2) & 3,
    };
}

bool debug_any_instruction(const struct cpu *cpu)
{
    if (likely(!(cpu->dr[7] & DR7_ENABLES)))
        return false;
    for (unsigned n = 0; n < 4; n++) {
        struct breakpoint b = breakpoint(cpu, n);
        if (b.enabled && b.kind == BREAK_EXECUTE)
            return true;
    }
    return false;
}

bool debug_instruction_hit(const struct cpu *cpu, uint64_t linear, uint64_t *dr6)
{
    *dr6 = 0;
    if (cpu->eflags & F_RF)
        return false;
    if (!cpu_is_64(cpu))
        linear &= UINT32_MAX;
    bool hit = false;
    for (unsigned n = 0; n < 4; n++) {
        struct breakpoint b = breakpoint(cpu, n);
        if (b.kind != BREAK_EXECUTE || b.at != linear)
            continue;
        /* SDM: DR6 also shows matches of breakpoints that are not enabled. */
        *dr6 |= BIT(n);
        hit |= b.enabled;
    }
    return hit;
}

void debug_note_access(struct cpu *cpu, uint64_t linear, unsigned length, unsigned kind)
{
    for (unsigned n = 0; n < 4; n++) {
        struct breakpoint b = breakpoint(cpu, n);
        bool watches = b.kind == kind || (b.kind == BREAK_READ_WRITE && kind == BREAK_WRITE);
        if (b.enabled && watches && linear < b.at + b.length && b.at < linear + length)
            cpu->debug_pending |= BIT(n);
    }
}

bool debug_page_is_watched(void *opaque, gva_t page)
{
    const struct cpu *cpu = opaque;
    if (likely(!(cpu->dr[7] & DR7_ENABLES)))
        return false;
    for (unsigned n = 0; n < 4; n++) {
        struct breakpoint b = breakpoint(cpu, n);
        if (b.enabled && (b.kind == BREAK_WRITE || b.kind == BREAK_READ_WRITE) &&
            (b.at & PAGE_MASK) == (page.v & PAGE_MASK))
            return true;
    }
    return false;
}

uint64_t debug_take_pending(struct cpu *cpu)
{
    uint64_t pending = cpu->debug_pending;
    cpu->debug_pending = 0;
    return pending;
}

void debug_enter(struct cpu *cpu, uint64_t dr6)
{
    /* SDM: B0..B3 are of this exception alone; the others stay until the program clears them. */
    cpu->dr[6] = (cpu->dr[6] & ~UINT64_C(15)) | dr6;
    cpu->dr[7] &= ~DR7_GD;
    cpu->msr.debugctl &= ~(DEBUGCTL_LBR | DEBUGCTL_BTF);
}

void debug_registers_changed(struct cpu *cpu)
{
    mmu_flush_all(&cpu->mmu);
    cpu_mode_changed(cpu);
}
