/* The upward calls of both processors: the leader's are made and recorded, the twin's are answered
 * from the records and must be the same.
 *
 * INV-1: a record is made before its call, since a device may do DMA within it; the changes of
 *        memory recorded after a call are done right after the twin's.
 */
#include "machine/lockstep_priv.h"

/* --- the leader */

static size_t record(struct lockstep *lockstep, enum record_kind kind, uint64_t address,
                     unsigned size, uint64_t value)
{
    *LOCKSTEP_APPEND(&lockstep->records) = (struct lockstep_record){
        .kind = kind, .size = size, .success = true, .address = address, .value = value};
    return lockstep->records.count - 1;
}

void lockstep_note_a20(struct lockstep *lockstep)
{
    uint64_t mask = lockstep->leader->mmu.a20_mask;
    if (mask == lockstep->a20_mask)
        return;
    lockstep->a20_mask = mask;
    record(lockstep, RECORD_A20, 0, 0, mask);
}

static uint64_t answered(struct lockstep *lockstep, size_t at, uint64_t value)
{
    lockstep->records.items[at].value = value;
    lockstep_note_a20(lockstep);
    return value;
}

static uint32_t lead_port_read(void *opaque, struct cpu *cpu, uint16_t port, unsigned size)
{
    struct lockstep *lockstep = opaque;
    size_t at = record(lockstep, RECORD_PORT_READ, port, size, 0);
    return (uint32_t)answered(lockstep, at,
                              lockstep->ops->port_read(lockstep->machine, cpu, port, size));
}

static void lead_port_write(void *opaque, struct cpu *cpu, uint16_t port, unsigned size,
                            uint32_t value)
{
    struct lockstep *lockstep = opaque;
    record(lockstep, RECORD_PORT_WRITE, port, size, value);
    lockstep->ops->port_write(lockstep->machine, cpu, port, size, value);
    lockstep_note_a20(lockstep);
}

static uint64_t lead_mmio_read(void *opaque, struct cpu *cpu, gpa_t gpa, unsigned size)
{
    struct lockstep *lockstep = opaque;
    size_t at = record(lockstep, RECORD_MMIO_READ, gpa.v, size, 0);
    return answered(lockstep, at, lockstep->ops->mmio_read(lockstep->machine, cpu, gpa, size));
}

static void lead_mmio_write(void *opaque, struct cpu *cpu, gpa_t gpa, unsigned size, uint64_t value)
{
    struct lockstep *lockstep = opaque;
    record(lockstep, RECORD_MMIO_WRITE, gpa.v, size, value);
    lockstep->ops->mmio_write(lockstep->machine, cpu, gpa, size, value);
    lockstep_note_a20(lockstep);
}

static int lead_acknowledge(void *opaque, struct cpu *cpu)
{
    struct lockstep *lockstep = opaque;
    return lockstep->vector = lockstep->ops->acknowledge(lockstep->machine, cpu);
}

static uint64_t lead_tsc(void *opaque, struct cpu *cpu)
{
    struct lockstep *lockstep = opaque;
    uint64_t value = lockstep->ops->tsc(lockstep->machine, cpu);
    record(lockstep, RECORD_TSC, 0, 8, value);
    return value;
}

static bool lead_random(void *opaque, struct cpu *cpu, uint64_t *value)
{
    struct lockstep *lockstep = opaque;
    bool success = lockstep->ops->random ? lockstep->ops->random(lockstep->machine, cpu, value)
                                         : cpu_host_random(value);
    size_t at = record(lockstep, RECORD_RANDOM, 0, 8, *value);
    lockstep->records.items[at].success = success;
    return success;
}

static void lead_apic_base_changed(void *opaque, struct cpu *cpu, uint64_t value)
{
    struct lockstep *lockstep = opaque;
    record(lockstep, RECORD_APIC_BASE, 0, 8, value);
    lockstep->ops->apic_base_changed(lockstep->machine, cpu, value);
}

static uint8_t lead_cr8_read(void *opaque, struct cpu *cpu)
{
    struct lockstep *lockstep = opaque;
    size_t at = record(lockstep, RECORD_CR8_READ, 0, 1, 0);
    return (uint8_t)answered(lockstep, at, lockstep->ops->cr8_read(lockstep->machine, cpu));
}

static void lead_cr8_write(void *opaque, struct cpu *cpu, uint8_t value)
{
    struct lockstep *lockstep = opaque;
    record(lockstep, RECORD_CR8_WRITE, 0, 1, value);
    lockstep->ops->cr8_write(lockstep->machine, cpu, value);
}

static bool lead_x2apic_read(void *opaque, struct cpu *cpu, uint32_t msr, uint64_t *value)
{
    struct lockstep *lockstep = opaque;
    size_t at = record(lockstep, RECORD_X2APIC_READ, msr, 8, 0);
    bool success = lockstep->ops->x2apic_read(lockstep->machine, cpu, msr, value);
    lockstep->records.items[at].success = success;
    if (success)
        answered(lockstep, at, *value);
    return success;
}

static bool lead_x2apic_write(void *opaque, struct cpu *cpu, uint32_t msr, uint64_t value)
{
    struct lockstep *lockstep = opaque;
    size_t at = record(lockstep, RECORD_X2APIC_WRITE, msr, 8, value);
    bool success = lockstep->ops->x2apic_write(lockstep->machine, cpu, msr, value);
    return lockstep->records.items[at].success = success;
}

static uint64_t lead_tsc_deadline_read(void *opaque, struct cpu *cpu)
{
    struct lockstep *lockstep = opaque;
    size_t at = record(lockstep, RECORD_TSC_DEADLINE_READ, 0, 8, 0);
    return answered(lockstep, at, lockstep->ops->tsc_deadline_read(lockstep->machine, cpu));
}

static void lead_tsc_deadline_write(void *opaque, struct cpu *cpu, uint64_t tsc)
{
    struct lockstep *lockstep = opaque;
    record(lockstep, RECORD_TSC_DEADLINE_WRITE, 0, 8, tsc);
    lockstep->ops->tsc_deadline_write(lockstep->machine, cpu, tsc);
}

static void lead_ferr(void *opaque, struct cpu *cpu)
{
    struct lockstep *lockstep = opaque;
    record(lockstep, RECORD_FERR, 0, 0, 0);
    lockstep->ops->ferr(lockstep->machine, cpu);
}

const struct cpu_ops lockstep_leader_ops = {
    .port_read = lead_port_read,
    .port_write = lead_port_write,
    .mmio_read = lead_mmio_read,
    .mmio_write = lead_mmio_write,
    .acknowledge = lead_acknowledge,
    .tsc = lead_tsc,
    .random = lead_random,
    .apic_base_changed = lead_apic_base_changed,
    .cr8_read = lead_cr8_read,
    .cr8_write = lead_cr8_write,
    .x2apic_read = lead_x2apic_read,
    .x2apic_write = lead_x2apic_write,
    .tsc_deadline_read = lead_tsc_deadline_read,
    .tsc_deadline_write = lead_tsc_deadline_write,
    .ferr = lead_ferr,
};

/* --- the twin */

static void describe_record(const struct lockstep_record *record, char text[LOCKSTEP_TEXT])
{
    static const char *const names[RECORD_CALLS] = {
        [RECORD_PORT_READ] = "IN",
        [RECORD_PORT_WRITE] = "OUT",
        [RECORD_MMIO_READ] = "MMIO read",
        [RECORD_MMIO_WRITE] = "MMIO write",
        [RECORD_TSC] = "TSC",
        [RECORD_RANDOM] = "random number",
        [RECORD_APIC_BASE] = "APIC base",
        [RECORD_CR8_READ] = "CR8 read",
        [RECORD_CR8_WRITE] = "CR8 write",
        [RECORD_X2APIC_READ] = "x2APIC read",
        [RECORD_X2APIC_WRITE] = "x2APIC write",
        [RECORD_TSC_DEADLINE_READ] = "TSC deadline read",
        [RECORD_TSC_DEADLINE_WRITE] = "TSC deadline write",
        [RECORD_FERR] = "FERR#",
    };
    snprintf(text, LOCKSTEP_TEXT, "%s %llx, %u bytes, value %llx", names[record->kind],
             (unsigned long long)record->address, record->size, (unsigned long long)record->value);
}

void lockstep_apply_records(struct lockstep *lockstep)
{
    while (lockstep->next_record < lockstep->records.count) {
        const struct lockstep_record *next = &lockstep->records.items[lockstep->next_record];
        if (next->kind < RECORD_CALLS)
            return;
        lockstep->next_record++;
        lockstep_memory_apply(lockstep, next);
    }
}

static bool is_read(enum record_kind kind)
{
    return kind == RECORD_PORT_READ || kind == RECORD_MMIO_READ || kind == RECORD_TSC ||
           kind == RECORD_RANDOM || kind == RECORD_CR8_READ || kind == RECORD_X2APIC_READ ||
           kind == RECORD_TSC_DEADLINE_READ;
}

/* The record of the leader's same call; one of no success and no value when it made another. */
static struct lockstep_record follow(struct lockstep *lockstep, enum record_kind kind,
                                     uint64_t address, unsigned size, uint64_t value)
{
    struct lockstep_record mine = {.kind = kind, .size = size, .address = address, .value = value};
    char of_leader[LOCKSTEP_TEXT] = "none", of_twin[LOCKSTEP_TEXT];
    lockstep->count.accesses++;
    if (lockstep->next_record < lockstep->records.count) {
        struct lockstep_record his = lockstep->records.items[lockstep->next_record];
        if (his.kind == kind && his.address == address && his.size == size) {
            lockstep->next_record++;
            lockstep_apply_records(lockstep);
            if (is_read(kind) || his.value == value)
                return his;
            describe_record(&his, of_leader);
            describe_record(&mine, of_twin);
            lockstep->written_differ |= his.value ^ value;
            lockstep_note(lockstep, "device access", of_leader, of_twin);
            return his;
        }
        describe_record(&his, of_leader);
    }
    describe_record(&mine, of_twin);
    lockstep_note_path(lockstep, "device access", of_leader, of_twin);
    mine.value = 0;
    return mine;
}

static uint32_t twin_port_read(void *opaque, struct cpu *cpu, uint16_t port, unsigned size)
{
    return (uint32_t)follow(opaque, RECORD_PORT_READ, port, size, 0).value;
}

static void twin_port_write(void *opaque, struct cpu *cpu, uint16_t port, unsigned size,
                            uint32_t value)
{
    follow(opaque, RECORD_PORT_WRITE, port, size, value);
}

static uint64_t twin_mmio_read(void *opaque, struct cpu *cpu, gpa_t gpa, unsigned size)
{
    return follow(opaque, RECORD_MMIO_READ, gpa.v, size, 0).value;
}

static void twin_mmio_write(void *opaque, struct cpu *cpu, gpa_t gpa, unsigned size, uint64_t value)
{
    follow(opaque, RECORD_MMIO_WRITE, gpa.v, size, value);
}

static int twin_acknowledge(void *opaque, struct cpu *cpu)
{
    return ((struct lockstep *)opaque)->vector;
}

static uint64_t twin_tsc(void *opaque, struct cpu *cpu)
{
    return follow(opaque, RECORD_TSC, 0, 8, 0).value;
}

static bool twin_random(void *opaque, struct cpu *cpu, uint64_t *value)
{
    struct lockstep_record his = follow(opaque, RECORD_RANDOM, 0, 8, 0);
    *value = his.value;
    return his.success;
}

static void twin_apic_base_changed(void *opaque, struct cpu *cpu, uint64_t value)
{
    follow(opaque, RECORD_APIC_BASE, 0, 8, value);
}

static uint8_t twin_cr8_read(void *opaque, struct cpu *cpu)
{
    return (uint8_t)follow(opaque, RECORD_CR8_READ, 0, 1, 0).value;
}

static void twin_cr8_write(void *opaque, struct cpu *cpu, uint8_t value)
{
    follow(opaque, RECORD_CR8_WRITE, 0, 1, value);
}

static bool twin_x2apic_read(void *opaque, struct cpu *cpu, uint32_t msr, uint64_t *value)
{
    struct lockstep_record his = follow(opaque, RECORD_X2APIC_READ, msr, 8, 0);
    if (his.success)
        *value = his.value;
    return his.success;
}

static bool twin_x2apic_write(void *opaque, struct cpu *cpu, uint32_t msr, uint64_t value)
{
    return follow(opaque, RECORD_X2APIC_WRITE, msr, 8, value).success;
}

static uint64_t twin_tsc_deadline_read(void *opaque, struct cpu *cpu)
{
    return follow(opaque, RECORD_TSC_DEADLINE_READ, 0, 8, 0).value;
}

static void twin_tsc_deadline_write(void *opaque, struct cpu *cpu, uint64_t tsc)
{
    follow(opaque, RECORD_TSC_DEADLINE_WRITE, 0, 8, tsc);
}

static void twin_ferr(void *opaque, struct cpu *cpu)
{
    follow(opaque, RECORD_FERR, 0, 0, 0);
}

const struct cpu_ops lockstep_twin_ops = {
    .port_read = twin_port_read,
    .port_write = twin_port_write,
    .mmio_read = twin_mmio_read,
    .mmio_write = twin_mmio_write,
    .acknowledge = twin_acknowledge,
    .tsc = twin_tsc,
    .random = twin_random,
    .apic_base_changed = twin_apic_base_changed,
    .cr8_read = twin_cr8_read,
    .cr8_write = twin_cr8_write,
    .x2apic_read = twin_x2apic_read,
    .x2apic_write = twin_x2apic_write,
    .tsc_deadline_read = twin_tsc_deadline_read,
    .tsc_deadline_write = twin_tsc_deadline_write,
    .ferr = twin_ferr,
};
