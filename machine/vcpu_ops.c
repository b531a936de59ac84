/* What a processor calls upward: ports, registers in memory, interrupt acknowledge, time.
 *
 * Each call takes the lock for the access alone; nothing else of the machine is held up while guest
 * code runs.  The TSC counts virtual nanoseconds: a constant rate of 1 GHz, which stands still with
 * the virtual clock, and is read without the lock.
 */
#include "machine/board.h"

static uint32_t ops_port_read(void *opaque, struct cpu *cpu, uint16_t port, unsigned size)
{
    struct machine *machine = opaque;
    machine_lock(machine);
    uint64_t value = bus_read(&machine->ports, port, size);
    machine_unlock(machine);
    return (uint32_t)value;
}

static void ops_port_write(void *opaque, struct cpu *cpu, uint16_t port, unsigned size,
                           uint32_t value)
{
    struct machine *machine = opaque;
    machine_lock(machine);
    bus_write(&machine->ports, port, size, value);
    machine_unlock(machine);
}

static uint64_t ops_mmio_read(void *opaque, struct cpu *cpu, gpa_t gpa, unsigned size)
{
    struct machine *machine = opaque;
    uint64_t value;
    machine_lock(machine);
    if (!lapic_mmio_read(&machine->board->lapics[cpu->index], gpa.v, size, &value))
        value = bus_read(&machine->memory, gpa.v, size);
    machine_unlock(machine);
    return value;
}

static void ops_mmio_write(void *opaque, struct cpu *cpu, gpa_t gpa, unsigned size, uint64_t value)
{
    struct machine *machine = opaque;
    machine_lock(machine);
    if (!lapic_mmio_write(&machine->board->lapics[cpu->index], gpa.v, size, value))
        bus_write(&machine->memory, gpa.v, size, value);
    machine_unlock(machine);
}

static int ops_acknowledge(void *opaque, struct cpu *cpu)
{
    struct machine *machine = opaque;
    machine_lock(machine);
    int vector = lapic_acknowledge(&machine->board->lapics[cpu->index]);
    machine_unlock(machine);
    return vector;
}

static uint64_t ops_tsc(void *opaque, struct cpu *cpu)
{
    struct machine *machine = opaque;
    return (uint64_t)clock_now_ns(&machine->clock);
}

/* LIMIT: lines through the clock, drawn by each processor for itself, differ by what two readings
 * do: with several processors each RDTSC is one reading. */
static bool ops_tsc_is_steady(void *opaque)
{
    const struct machine *machine = opaque;
    return machine->vcpu_count == 1 && !machine->clock.source;
}

static void ops_apic_base_changed(void *opaque, struct cpu *cpu, uint64_t value)
{
    struct machine *machine = opaque;
    machine_lock(machine);
    lapic_set_base(&machine->board->lapics[cpu->index], value);
    machine_unlock(machine);
}

static uint8_t ops_cr8_read(void *opaque, struct cpu *cpu)
{
    struct machine *machine = opaque;
    machine_lock(machine);
    uint8_t value = lapic_cr8(&machine->board->lapics[cpu->index]);
    machine_unlock(machine);
    return value;
}

static void ops_cr8_write(void *opaque, struct cpu *cpu, uint8_t value)
{
    struct machine *machine = opaque;
    machine_lock(machine);
    lapic_set_cr8(&machine->board->lapics[cpu->index], value);
    machine_unlock(machine);
}

static bool ops_x2apic_read(void *opaque, struct cpu *cpu, uint32_t msr, uint64_t *value)
{
    struct machine *machine = opaque;
    machine_lock(machine);
    bool known = lapic_msr_read(&machine->board->lapics[cpu->index], msr, value);
    machine_unlock(machine);
    return known;
}

static bool ops_x2apic_write(void *opaque, struct cpu *cpu, uint32_t msr, uint64_t value)
{
    struct machine *machine = opaque;
    machine_lock(machine);
    bool known = lapic_msr_write(&machine->board->lapics[cpu->index], msr, value);
    machine_unlock(machine);
    return known;
}

static uint64_t ops_tsc_deadline_read(void *opaque, struct cpu *cpu)
{
    struct machine *machine = opaque;
    machine_lock(machine);
    uint64_t tsc = lapic_tsc_deadline(&machine->board->lapics[cpu->index]);
    machine_unlock(machine);
    return tsc;
}

static void ops_tsc_deadline_write(void *opaque, struct cpu *cpu, uint64_t tsc)
{
    struct machine *machine = opaque;
    uint64_t at = tsc - cpu->msr.tsc_offset;
    machine_lock(machine);
    lapic_set_tsc_deadline(&machine->board->lapics[cpu->index], tsc,
                           at > (uint64_t)INT64_MAX ? (tsc < cpu->msr.tsc_offset ? 0 : CLOCK_NEVER)
                                                    : (int64_t)at);
    machine_unlock(machine);
}

static void ops_ferr(void *opaque, struct cpu *cpu)
{
    struct machine *machine = opaque;
    struct irq_line line = isa_irq(&machine->board->irqs, 13);
    machine_lock(machine);
    irq_set(&line, 1);
    machine_unlock(machine);
}

/* SplitMix64 (Steele, Lea and Flood 2014): the numbers of a run that is to be repeated. */
static bool ops_random(void *opaque, struct cpu *cpu, uint64_t *value)
{
    struct machine *machine = opaque;
    if (!machine->config.has_seed)
        return cpu_host_random(value);
    uint64_t mixed = machine->random_state += UINT64_C(0x9e3779b97f4a7c15);
    mixed = (mixed ^ mixed >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    mixed = (mixed ^ mixed >> 27) * UINT64_C(0x94d049bb133111eb);
    *value = mixed ^ mixed >> 31;
    return true;
}

const struct cpu_ops machine_cpu_ops = {
    .port_read = ops_port_read,
    .port_write = ops_port_write,
    .mmio_read = ops_mmio_read,
    .mmio_write = ops_mmio_write,
    .acknowledge = ops_acknowledge,
    .tsc = ops_tsc,
    .tsc_is_steady = ops_tsc_is_steady,
    .apic_base_changed = ops_apic_base_changed,
    .cr8_read = ops_cr8_read,
    .cr8_write = ops_cr8_write,
    .x2apic_read = ops_x2apic_read,
    .x2apic_write = ops_x2apic_write,
    .tsc_deadline_read = ops_tsc_deadline_read,
    .tsc_deadline_write = ops_tsc_deadline_write,
    .ferr = ops_ferr,
    .random = ops_random,
};
