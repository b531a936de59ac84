/* One line for each probe: how it ended, and whatever differs from before.
 *
 *   mode ROW.variant end register=value ... segment=selector ... memory[offset]=words ...
 * system=value
 *
 * The end: "ok", that is, the UD2 after the probe; "target"; an exception, or an interrupt, with
 * where it happened unless that is the instruction itself.  Registers that hold an address of the
 * probe's own code are printed as "ip+n", the stack pointer as its change.
 */
#include "sensitive.h"

#include "demo.h"

enum { VECTOR_UD = 6 };

static const struct mode *mode;
static const struct probe *probe;

static void print_value(uint64_t value, unsigned bytes)
{
    uint32_t high = value >> 32, low = value;

    if (low - (probe->start - mode->base) < 32 && !high && low != probe->start - mode->base)
        print("ip+%x", low - (probe->start - mode->base));
    else if (bytes == 8)
        print("%08x%08x", high, low);
    else if (bytes == 4)
        print("%08x", low);
    else
        print("%04x", low & 0xffff);
}

/* --- how it ended */

static void print_place(void)
{
    uint32_t at = state_out->ip + mode->base;

    if (state_out->cs == mode->cs && at == probe->start)
        print("start");
    else if (state_out->cs == mode->cs && at == probe->next)
        print("next");
    else if (state_out->cs == mode->cs && at == probe->end)
        print("end");
    else if (state_out->ip == TARGET_OFFSET || state_out->ip == TARGET_LINEAR)
        print("target");
    else
        print("%04x:%08x", (unsigned)state_out->cs, (unsigned)state_out->ip);
}

static bool ends_in_ud2(void)
{
    uint32_t at = state_out->ip + mode->base;

    return state_out->vector == VECTOR_UD &&
           (at == probe->end || state_out->ip == TARGET_OFFSET || state_out->ip == TARGET_LINEAR);
}

static void print_vector(unsigned vector)
{
    static const char names[][4] = {"DE", "DB", "NMI", "BP", "OF", "BR", "UD", "NM", "DF",
                                    "9",  "TS", "NP",  "SS", "GP", "PF", "15", "MF", "AC"};
    const unsigned with_error = 1 << 8 | 1 << 10 | 1 << 11 | 1 << 12 | 1 << 13 | 1 << 14 | 1 << 17;

    if (vector == VECTOR_IRQ0)
        print("irq0");
    else if (vector < sizeof names / sizeof names[0])
        print("#%s", names[vector]);
    else
        print("int%x", vector);
    /* Real mode pushes no error codes. */
    if (mode->bit != MODE_REAL && vector < 32 && with_error >> vector & 1)
        print("(%04x)", (unsigned)state_out->error);
}

static void print_end(void)
{
    if (ends_in_ud2()) {
        if (state_out->cs == mode->cs && state_out->ip + mode->base == probe->end)
            print("ok");
        else
            print_place();
        return;
    }
    print_vector(state_out->vector);
    if (state_out->cs != mode->cs || state_out->ip + mode->base != probe->start) {
        print("@");
        print_place();
    }
}

/* --- what differs */

static void print_registers(void)
{
    static const char names[REGISTERS][4] = {"ax", "cx", "dx", "bx", "sp", "bp", "si", "di",
                                             "8",  "9",  "10", "11", "12", "13", "14", "15"};
    bool is_64 = mode->bits == 64;

    for (unsigned i = 0; i < (is_64 ? REGISTERS : R8); i++) {
        uint64_t before = state_in->gpr[i], now = state_out->gpr[i];
        int64_t change = now - before;
        if (!is_64) {
            before = (uint32_t)before;
            now = (uint32_t)now;
            change = (int32_t)change;
        }
        if (now == before)
            continue;
        print(" %s%s", i >= R8 || is_64 ? "r" : "e", names[i]);
        if (i == RSP && change > -0x100 && change < 0x100) {
            print(change < 0 ? "-%u" : "+%u", (unsigned)(change < 0 ? -change : change));
        } else {
            print("=");
            print_value(now, is_64 ? 8 : 4);
        }
    }
}

/* RF only says that it was a fault. */
static void print_flags(void)
{
    uint32_t now = state_out->flags & ~(uint32_t)FLAG_RF;

    if (now != (uint32_t)state_in->flags)
        print(" flags=%08x", now);
}

static void print_selector(const char *name, uint64_t before, uint64_t now)
{
    if (before != now)
        print(" %s=%04x", name, (unsigned)now);
}

static uint64_t word_at(const uint8_t *bytes, unsigned size)
{
    uint64_t value = 0;

    for (unsigned i = 0; i < size; i++)
        value |= (uint64_t)bytes[i] << 8 * i;
    return value;
}

/* Runs of words that changed, with their offset from `origin`. */
static void print_memory(const char *name, const uint8_t *before, const uint8_t *now, int origin,
                         unsigned size)
{
    bool in_run = false;

    for (int i = 0; i < WINDOW_BYTES; i += size) {
        uint64_t value = word_at(now + i, size);
        bool changed = value != word_at(before + i, size);
        if (changed) {
            if (in_run)
                print(",");
            else
                print(" %s[%d]=", name, i - origin);
            print_value(value, size);
        }
        in_run = changed;
    }
}

/* Below the stack pointer may lie the frame of the exception that ended the probe. */
static void print_stack(const struct system *before, const struct system *after)
{
    uint8_t now[WINDOW_BYTES];
    int hidden = 0, change = state_out->gpr[RSP] - state_in->gpr[RSP];

    if (state_out->ss == state_in->ss && change > -WINDOW_BYTES / 2 && change < WINDOW_BYTES / 2)
        hidden = WINDOW_BYTES / 2 + change;
    for (int i = 0; i < WINDOW_BYTES; i++)
        now[i] = (i < hidden ? before : after)->stack[i];
    print_memory("stack", before->stack, now, WINDOW_BYTES / 2, mode->bits / 8);
    /* Compatibility mode, whose exceptions have a stack of their own. */
    if (mode_is_long(mode) && mode->bits == 32)
        print_memory("flat", before->flat, after->flat, WINDOW_BYTES / 2, 8);
}

/* What a gate pushed on the inner stack. */
static void print_inner_stack(void)
{
    uint32_t at = state_out->gpr[RSP];
    unsigned unit = mode_is_long(mode) ? 8 : 4;

    if (at >= INNER_TOP || at < INNER_TOP - WINDOW_BYTES)
        return;
    print(" inner=");
    for (; at < INNER_TOP; at += unit) {
        print_value(unit == 8 ? *(volatile uint64_t *)at : *(volatile uint32_t *)at, unit);
        if (at + unit < INNER_TOP)
            print(",");
    }
}

/* Access bytes and all else of the descriptors, as the upper dword. */
static void print_gdt(const struct system *before, const struct system *after)
{
    for (unsigned i = 0; i <= GDT_LIMIT; i += 8)
        for (unsigned byte = 0; byte < 8; byte++)
            if (before->gdt[i + byte] != after->gdt[i + byte])
                print(" gdt[%x+%u]=%02x", i, byte, after->gdt[i + byte]);
}

static void print_long(const char *name, uint64_t before, uint64_t now)
{
    if (before != now)
        print(" %s=%08x%08x", name, (unsigned)(now >> 32), (unsigned)now);
}

static void print_system(const struct system *before, const struct system *after)
{
    static const char debug_names[8][4] = {"dr0", "dr1", "dr2", "dr3", "dr4", "dr5", "dr6", "dr7"};

    if (before->gdt_base != after->gdt_base || before->gdt_limit != after->gdt_limit)
        print(" gdtr=%08x/%04x", after->gdt_base, after->gdt_limit);
    if (before->idt_base != after->idt_base || before->idt_limit != after->idt_limit)
        print(" idtr=%08x/%04x", after->idt_base, after->idt_limit);
    print_selector("ldtr", before->ldtr, after->ldtr);
    print_selector("tr", before->tr, after->tr);
    if (before->cr0 != after->cr0)
        print(" cr0=%08x", after->cr0);
    if (before->cr2 != after->cr2)
        print(" cr2=%08x", after->cr2);
    if (before->cr3 != after->cr3)
        print(" cr3=%08x", after->cr3);
    if (before->cr4 != after->cr4)
        print(" cr4=%08x", after->cr4);
    for (unsigned i = 0; i < 8; i++)
        if (before->dr[i] != after->dr[i])
            print(" %s=%08x", debug_names[i], after->dr[i]);
    print_long("efer", before->efer, after->efer);
    if (mode->bits == 64) {
        print_long("fsbase", before->fs_base, after->fs_base);
        print_long("gsbase", before->gs_base, after->gs_base);
    }
    print_long("kernelgs", before->kernel_gs_base, after->kernel_gs_base);
    print_long("msr", before->sysenter_esp, after->sysenter_esp);
    print_long("xcr0", before->xcr0, after->xcr0);
    for (unsigned i = 0; i < PROBE_PORTS; i++)
        if (before->ports[i] != after->ports[i])
            print(" port[%x]=%02x", PROBE_PORT + i, after->ports[i]);
}

void report(const struct probe *the_probe, const struct mode *the_mode, const struct system *before,
            const struct system *after)
{
    probe = the_probe;
    mode = the_mode;
    print("%s %s ", mode->name, probe->name);
    print_end();
    print_registers();
    print_flags();
    print_selector("cs", state_in->cs, state_out->cs);
    print_selector("ss", state_in->ss, state_out->ss);
    print_selector("ds", state_in->ds, state_out->ds);
    print_selector("es", state_in->es, state_out->es);
    print_selector("fs", state_in->fs, state_out->fs);
    print_selector("gs", state_in->gs, state_out->gs);
    print_stack(before, after);
    print_inner_stack();
    print_memory("data", before->data, after->data, 0, 2);
    print_memory("es", before->extra, after->extra, 0, 2);
    print_gdt(before, after);
    print_system(before, after);
    print("\n");
}
