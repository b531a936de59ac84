/* What follows "info". */
#include "ui/monitor_priv.h"

#include "hw/display.h"
#include "translate/engine.h"

#include <inttypes.h>
#include <stdlib.h>

static void info_version(struct monitor_call *call)
{
    fprintf(call->out, RING3_VERSION "\n");
}

static void info_name(struct monitor_call *call)
{
    const char *name = machine_config(call->monitor->machine)->name;

    if (name)
        fprintf(call->out, "%s\n", name);
}

static void info_status(struct monitor_call *call)
{
    static const char *const states[] = {
        [MACHINE_PAUSED] = "paused",
        [MACHINE_RUNNING] = "running",
        [MACHINE_SHUTDOWN] = "paused (shutdown)",
    };

    fprintf(call->out, "VM status: %s\n", states[machine_state(call->monitor->machine)]);
}

static void info_cpus(struct monitor_call *call)
{
    struct machine *machine = call->monitor->machine;

    for (unsigned i = 0; i < machine_cpu_count(machine); i++) {
        const struct cpu *cpu = machine_cpu(machine, i);
        fprintf(call->out, "%c CPU #%u: %s, pc=%#018" PRIx64 "%s\n", i ? ' ' : '*', i,
                cpu->model->name, cpu->segs[CS].base + cpu->rip, cpu->halted ? " (halted)" : "");
    }
}

static void info_registers(struct monitor_call *call)
{
    cpu_describe(machine_cpu(call->monitor->machine, 0), call->out);
}

/* One device class, or all. */
static void describe(struct monitor_call *call, const char *name)
{
    if (!device_describe(machine_devices(call->monitor->machine), name, call->out))
        fprintf(call->out, "no device '%s'; info devices lists them\n", name);
}

static void info_pic(struct monitor_call *call)
{
    describe(call, "pic");
}

static void info_lapic(struct monitor_call *call)
{
    describe(call, "lapic");
}

/* What a halted guest waits for. */
static void info_clock(struct monitor_call *call)
{
    const struct clock *clock = machine_clock(call->monitor->machine);
    const int64_t now = clock_now_ns(clock), deadline = clock_deadline_ns(clock);

    fprintf(call->out, "virtual time %" PRId64 " ns, %s; %zu timers armed", now,
            clock->running ? "running" : "stopped", clock->count);
    if (deadline != CLOCK_NEVER)
        fprintf(call->out, ", the first due in %" PRId64 " ns", deadline - now);
    fputc('\n', call->out);
}

static void info_irq(struct monitor_call *call)
{
    const struct cpu *cpu = machine_cpu(call->monitor->machine, 0);

    describe(call, "isa-irqs");
    fprintf(call->out, "interrupts delivered: %" PRIu64 "\n", cpu->count.interrupts);
}

static void info_devices(struct monitor_call *call)
{
    const struct device_list *devices = machine_devices(call->monitor->machine);

    if (*call->arguments) {
        describe(call, call->arguments);
        return;
    }
    for (const struct device *device = devices->first; device; device = device->next)
        fprintf(call->out, "%s\n", device->class->name);
}

static void info_pci(struct monitor_call *call)
{
    describe(call, "pci");
}

static void info_block(struct monitor_call *call)
{
    machine_describe_drives(call->monitor->machine, call->out);
}

static int by_base(const void *one, const void *other)
{
    const struct region *a = *(const struct region *const *)one;
    const struct region *b = *(const struct region *const *)other;

    return a->base < b->base ? -1 : a->base > b->base;
}

static void describe_bus(FILE *out, const struct bus *bus)
{
    struct region **sorted = calloc(bus->count + 1, sizeof *sorted);

    fprintf(out, "%s\n", bus->name);
    if (!sorted)
        return;
    if (bus->count)
        memcpy(sorted, bus->regions, bus->count * sizeof *sorted);
    qsort(sorted, bus->count, sizeof *sorted, by_base);
    for (size_t i = 0; i < bus->count; i++)
        fprintf(out, "  %016" PRIx64 "-%016" PRIx64 " (prio %d): %s\n", sorted[i]->base,
                sorted[i]->base + sorted[i]->length - 1, sorted[i]->priority, sorted[i]->name);
    free(sorted);
}

static void info_mtree(struct monitor_call *call)
{
    struct machine *machine = call->monitor->machine;
    const struct physmem *physmem = machine_physmem(machine);
    uint64_t high = physmem->ram_bytes - physmem->ram_below_4g;

    describe_bus(call->out, machine_memory_bus(machine));
    fprintf(call->out, "  %016x-%016" PRIx64 ": RAM\n", 0, physmem->ram_below_4g - 1);
    if (high)
        fprintf(call->out, "  %016" PRIx64 "-%016" PRIx64 ": RAM\n", BIT(32), BIT(32) + high - 1);
    for (unsigned i = 0; i < physmem->rom_count; i++)
        fprintf(call->out, "  %016" PRIx64 "-%016" PRIx64 ": ROM\n", physmem->roms[i].base,
                physmem->roms[i].base + physmem->roms[i].length - 1);
    describe_bus(call->out, machine_ports(machine));
}

static void info_callouts(struct monitor_call *call)
{
    translator_describe_callouts(machine_cpu(call->monitor->machine, 0), call->out);
}

static void info_jit(struct monitor_call *call)
{
    const struct cpu *cpu = machine_cpu(call->monitor->machine, 0);

    if (!cpu->engine)
        fprintf(call->out, "no translator: the interpreter runs the guest\n");
    translator_describe(cpu, call->out);
}

static void info_stats(struct monitor_call *call)
{
    struct machine *machine = call->monitor->machine;
    const struct cpu *cpu = machine_cpu(machine, 0);
    const struct frames *frames = machine_physmem(machine)->frames;
    const struct {
        const char *name;
        uint64_t value;
    } rows[] = {
        {"virtual time (ms)", clock_now_ns(machine_clock(machine)) / 1000000},
        {"instructions", cpu->instructions},
        {"blocks decoded", cpu->count.blocks_decoded},
        {"blocks killed", cpu->count.blocks_killed},
        {"blocks patched", cpu->count.blocks_patched},
        {"jump cache misses", cpu->count.jump_misses},
        {"writes to code", cpu->count.code_writes},
        {"slow loads", cpu->count.slow_loads},
        {"slow stores", cpu->count.slow_stores},
        {"device accesses in memory", cpu->count.mmio},
        {"interrupts", cpu->count.interrupts},
        {"guest walks", cpu->mmu.count.walks},
        {"shadow fills", cpu->mmu.count.fills},
        {"shadow flushes", cpu->mmu.count.flushes},
        {"shadow entries flushed", cpu->mmu.count.flushed_entries},
        {"address space switches", cpu->mmu.count.space_switches},
        {"frames in use", frames->used},
        {"frames in the budget", frames->budget},
    };

    for (unsigned i = 0; i < ARRAY_LENGTH(rows); i++)
        fprintf(call->out, "%-26s %20" PRIu64 "\n", rows[i].name, rows[i].value);
    translator_describe(cpu, call->out);
    for (unsigned vector = 0; vector < ARRAY_LENGTH(cpu->count.exceptions); vector++)
        if (cpu->count.exceptions[vector])
            fprintf(call->out, "exceptions, vector %-7u %20" PRIu64 "\n", vector,
                    cpu->count.exceptions[vector]);
}

static void info_screen(struct monitor_call *call)
{
    const struct vga *vga = machine_vga(call->monitor->machine);
    uint32_t width, height;

    if (!display_is_text(vga)) {
        display_size(vga, &width, &height);
        fprintf(call->out, "graphics, %ux%u; screendump FILE.png saves it\n", width, height);
        return;
    }
    size_t length = display_text(vga, NULL, 0);
    char *text = malloc(length + 1);
    if (!text)
        return;
    display_text(vga, text, length + 1);
    fputs(text, call->out);
    free(text);
}

const struct monitor_command monitor_topics[] = {
    {"block", NULL, "", "the drives, their images and counters", info_block},
    {"callouts", NULL, "", "sensitive instructions that were rewritten, and how often they ran",
     info_callouts, .holds_cpus = true},
    {"clock", NULL, "", "virtual time, and when the next timer is due", info_clock,
     .holds_cpus = true},
    {"cpus", NULL, "", "the processors", info_cpus, .holds_cpus = true},
    {"devices", NULL, "[NAME]", "the devices; the state of one", info_devices, .holds_cpus = true},
    {"irq", NULL, "", "the interrupt lines", info_irq, .holds_cpus = true},
    {"jit", NULL, "", "what the translator counted", info_jit, .holds_cpus = true},
    {"lapic", NULL, "", "the local APIC, its requests and its timer", info_lapic,
     .holds_cpus = true},
    {"mem", NULL, "[ADDRESS]", "the guest's page tables; how an address becomes a machine page",
     monitor_info_mem, .holds_cpus = true},
    {"mtree", NULL, "", "who answers at which addresses and ports", info_mtree},
    {"name", NULL, "", "the name of the guest", info_name},
    {"pci", NULL, "", "the PCI devices", info_pci},
    {"pic", NULL, "", "the interrupt controllers", info_pic, .holds_cpus = true},
    {"registers", NULL, "", "the processor's registers", info_registers, .holds_cpus = true},
    {"screen", NULL, "", "the text on the VGA screen", info_screen},
    {"stats", NULL, "", "what ring3 counted", info_stats, .holds_cpus = true},
    {"status", NULL, "", "running or paused", info_status},
    {"tlb", NULL, "", "the shadow: linear pages, guest pages, machine pages", monitor_info_tlb,
     .holds_cpus = true},
    {"version", NULL, "", "the version of ring3", info_version},
    {0},
};
