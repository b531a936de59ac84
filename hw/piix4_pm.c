#include "hw/piix4_pm.h"

#include "base/log.h"

#define PIIX4_PM_FIELDS(FIELD, ARRAY)                                                              \
    FIELD(struct piix4_pm_state, settled_ns)                                                       \
    FIELD(struct piix4_pm_state, status)                                                           \
    FIELD(struct piix4_pm_state, enable)                                                           \
    FIELD(struct piix4_pm_state, control)                                                          \
    FIELD(struct piix4_pm_state, gpe_status)                                                       \
    FIELD(struct piix4_pm_state, gpe_enable)                                                       \
    FIELD(struct piix4_pm_state, apm_command)                                                      \
    FIELD(struct piix4_pm_state, apm_status)                                                       \
    FIELD(struct piix4_pm_state, sci_level)                                                        \
    ARRAY(struct piix4_pm_state, smbus)                                                            \
    ARRAY(struct piix4_pm_state, registers)                                                        \
    ARRAY(struct piix4_pm_state, pad)
static const struct field piix4_pm_fields[] = SAVE_FIELDS(PIIX4_PM_FIELDS);
SAVE_ASSERT_COMPLETE(struct piix4_pm_state, PIIX4_PM_FIELDS);

enum {
    /* configuration space */
    PMBASE = 0x40,
    DEVICE_ACTIVITY_B = 0x58,
    PM_MISC = 0x80, /* bit 0: PMBASE is decoded */
    SMBUS_BASE = 0x90,
    SMBUS_CONFIG = 0xd2, /* bit 0: SMBUS_BASE is decoded */
    APMC_EN = 1 << 25,   /* of DEVICE_ACTIVITY_B */

    /* the block at PMBASE */
    PM_STATUS = 0x00,
    PM_ENABLE = 0x02,
    PM_CONTROL = 0x04,
    PM_TIMER = 0x08,
    PM_BYTES = 64,
    STATUS_TIMER = 1 << 0,
    STATUS_BITS = 0x8d31, /* TMR, BM, GBL, PWRBTN, RTC, PRBTNOR, WAK: cleared by writing 1 */
    STATUS_POWER_BUTTON = 1 << 8,
    ENABLE_BITS = 0x0521,
    CONTROL_SCI = 1 << 0,
    CONTROL_BITS = 0x1c03,
    CONTROL_SLEEP = 1 << 13,
    SLEEP_SOFT_OFF = 0,
    SLEEP_TO_DISK = 2,
    TIMER_TOP_BIT = 23,

    /* the block at SMBUS_BASE */
    SMBUS_BYTES = 16,
    SMBUS_HOST_STATUS = 0x00,
    SMBUS_HOST_CONTROL = 0x02,
    SMBUS_SLAVE_STATUS = 0x01,
    SMBUS_DEVICE_ERROR = 0x04,
    SMBUS_STATUS_BITS = 0x1e,
    SMBUS_START = 0x40,
};

/* --- the PM timer */

static uint64_t timer_ticks(int64_t ns)
{
    return clock_scale((uint64_t)ns, PM_TIMER_HZ, NS_PER_SECOND);
}

static uint32_t timer_value(const struct piix4_pm *pm)
{
    return timer_ticks(clock_now_ns(pm->clock)) & (BIT(TIMER_TOP_BIT + 1) - 1);
}

static void settle(struct piix4_pm *pm)
{
    int64_t now = clock_now_ns(pm->clock);
    if (timer_ticks(now) >> TIMER_TOP_BIT != timer_ticks(pm->state.settled_ns) >> TIMER_TOP_BIT)
        pm->state.status |= STATUS_TIMER;
    pm->state.settled_ns = now;
}

static void arm(struct piix4_pm *pm)
{
    const struct piix4_pm_state *state = &pm->state;
    if (!(state->enable & ~state->status & STATUS_TIMER) || !(state->control & CONTROL_SCI)) {
        timer_disarm(&pm->timer);
        return;
    }
    uint64_t change = ((timer_ticks(state->settled_ns) >> TIMER_TOP_BIT) + 1) << TIMER_TOP_BIT;
    timer_arm(&pm->timer, (int64_t)clock_scale(change, NS_PER_SECOND, PM_TIMER_HZ) + 1);
}

/* INV-1. */
static void update_sci(struct piix4_pm *pm)
{
    struct piix4_pm_state *state = &pm->state;
    bool pending = state->status & state->enable || state->gpe_status & state->gpe_enable;
    uint8_t level = state->control & CONTROL_SCI && pending;
    if (level == state->sci_level)
        return;
    state->sci_level = level;
    irq_set(&pm->sci, level);
}

static void update(struct piix4_pm *pm)
{
    settle(pm);
    update_sci(pm);
    arm(pm);
}

static void fire(void *opaque)
{
    update(opaque);
}

/* --- the block at PMBASE: registers of one to four bytes, accessed in any size */

static uint8_t pm_byte(const struct piix4_pm *pm, unsigned at, uint32_t timer)
{
    const struct piix4_pm_state *state = &pm->state;
    switch (at & ~1u) {
    case PM_STATUS:
        return (uint8_t)(state->status >> 8 * (at & 1));
    case PM_ENABLE:
        return (uint8_t)(state->enable >> 8 * (at & 1));
    case PM_CONTROL:
        return (uint8_t)(state->control >> 8 * (at & 1));
    case PM_TIMER:
    case PM_TIMER + 2:
        return (uint8_t)(timer >> 8 * (at & 3));
    default:
        return state->registers[at % PM_BYTES];
    }
}

static uint64_t pm_read(void *opaque, uint64_t offset, unsigned size)
{
    struct piix4_pm *pm = opaque;
    uint32_t timer = timer_value(pm), value = 0;
    settle(pm);
    for (unsigned i = 0; i < size; i++)
        value |= (uint32_t)pm_byte(pm, (unsigned)offset + i, timer) << 8 * i;
    return value;
}

static void go_to_sleep(struct piix4_pm *pm)
{
    unsigned type = pm->state.control >> 10 & 7;
    if (type != SLEEP_SOFT_OFF && type != SLEEP_TO_DISK) {
        log_unimp("piix4_pm: sleep type %u is not there", type);
        return;
    }
    if (pm->ops.power_off)
        pm->ops.power_off(pm->ops.opaque);
}

static uint16_t with_byte(uint16_t word, unsigned at, uint8_t byte)
{
    unsigned shift = 8 * (at & 1);
    return (uint16_t)((word & ~(0xff << shift)) | byte << shift);
}

static void pm_write_byte(struct piix4_pm *pm, unsigned at, uint8_t byte)
{
    struct piix4_pm_state *state = &pm->state;
    switch (at & ~1u) {
    case PM_STATUS:
        state->status &= ~(with_byte(0, at, byte) & STATUS_BITS);
        break;
    case PM_ENABLE:
        state->enable = with_byte(state->enable, at, byte) & ENABLE_BITS;
        break;
    case PM_CONTROL: {
        uint16_t value = with_byte(state->control, at, byte);
        state->control = value & CONTROL_BITS;
        if (value & CONTROL_SLEEP)
            go_to_sleep(pm);
        break;
    }
    case PM_TIMER: /* read-only */
    case PM_TIMER + 2:
        break;
    default:
        state->registers[at % PM_BYTES] = byte;
        break;
    }
}

static void pm_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    struct piix4_pm *pm = opaque;
    settle(pm);
    for (unsigned i = 0; i < size; i++)
        pm_write_byte(pm, (unsigned)offset + i, (uint8_t)(value >> 8 * i));
    update(pm);
}

void piix4_pm_press_power_button(struct piix4_pm *pm)
{
    pm->state.status |= STATUS_POWER_BUTTON;
    update(pm);
}

/* --- GPE0, the SMI command port, the SMBus */

static uint64_t gpe_read(void *opaque, uint64_t offset, unsigned size)
{
    struct piix4_pm *pm = opaque;
    uint16_t word = offset < 2 ? pm->state.gpe_status : pm->state.gpe_enable;
    return word >> 8 * (offset & 1);
}

static void gpe_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    struct piix4_pm *pm = opaque;
    if (offset < 2)
        pm->state.gpe_status &= ~with_byte(0, (unsigned)offset, (uint8_t)value);
    else
        pm->state.gpe_enable = with_byte(pm->state.gpe_enable, (unsigned)offset, (uint8_t)value);
    update(pm);
}

void piix4_pm_raise_gpe(struct piix4_pm *pm, uint16_t bits)
{
    pm->state.gpe_status |= bits;
    update(pm);
}

static uint64_t apm_read(void *opaque, uint64_t offset, unsigned size)
{
    struct piix4_pm *pm = opaque;
    return offset ? pm->state.apm_status : pm->state.apm_command;
}

/* What the firmware's SMI handler would do. */
static void apm_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    struct piix4_pm *pm = opaque;
    if (offset) {
        pm->state.apm_status = (uint8_t)value;
        return;
    }
    pm->state.apm_command = (uint8_t)value;
    if (value == PM_ACPI_ENABLE)
        pm->state.control |= CONTROL_SCI;
    else if (value == PM_ACPI_DISABLE)
        pm->state.control &= ~CONTROL_SCI;
    update(pm);
}

static uint64_t smbus_read(void *opaque, uint64_t offset, unsigned size)
{
    struct piix4_pm *pm = opaque;
    return pm->state.smbus[offset % SMBUS_BYTES];
}

static void smbus_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    struct piix4_pm *pm = opaque;
    uint8_t *registers = pm->state.smbus, byte = (uint8_t)value;
    switch (offset) {
    case SMBUS_HOST_STATUS:
        registers[SMBUS_HOST_STATUS] &= ~(byte & SMBUS_STATUS_BITS);
        break;
    case SMBUS_SLAVE_STATUS:
        break;
    case SMBUS_HOST_CONTROL:
        registers[SMBUS_HOST_CONTROL] = byte & ~SMBUS_START;
        if (byte & SMBUS_START)
            registers[SMBUS_HOST_STATUS] |= SMBUS_DEVICE_ERROR;
        break;
    default:
        registers[offset % SMBUS_BYTES] = byte;
        break;
    }
}

/* --- where the blocks are */

static void update_map(struct bus *ports, struct region *region, bool enabled, uint32_t base)
{
    if (enabled && base)
        bus_move(ports, region, base);
    else
        bus_remove(ports, region);
}

static void update_maps(struct piix4_pm *pm)
{
    const uint8_t *config = pm->function.state.config;
    /* These two blocks have enable bits of their own, besides the command register's. */
    update_map(pm->ports, &pm->pm_region, config[PM_MISC] & 1, load_le16(config + PMBASE) & 0xffc0);
    update_map(pm->ports, &pm->smbus_region, config[SMBUS_CONFIG] & 1,
               load_le16(config + SMBUS_BASE) & 0xfff0);
}

static void config_written(void *opaque, unsigned offset, unsigned size)
{
    update_maps(opaque);
}

/* --- the device */

static void reset(void *object, enum reset_kind kind)
{
    struct piix4_pm *pm = object;
    pm->state = (struct piix4_pm_state){.settled_ns = clock_now_ns(pm->clock)};
    timer_disarm(&pm->timer);
    irq_set(&pm->sci, 0);
    update_maps(pm);
}

static int after_load(void *object, struct error *error)
{
    struct piix4_pm *pm = object;
    int64_t now = clock_now_ns(pm->clock);
    if (pm->state.settled_ns < 0 || pm->state.settled_ns > now)
        pm->state.settled_ns = now;
    update_maps(pm);
    arm(pm);
    return 0;
}

static struct region block(struct piix4_pm *pm, const char *name, uint32_t base, uint32_t length,
                           uint64_t (*read)(void *, uint64_t, unsigned),
                           void (*write)(void *, uint64_t, unsigned, uint64_t))
{
    return (struct region){.name = name,
                           .base = base,
                           .length = length,
                           .read = read,
                           .write = write,
                           .max_size = 1,
                           .opaque = pm};
}

void piix4_pm_attach(struct piix4_pm *pm, struct pci_bus *pci, struct clock *clock,
                     struct irq_line sci, const struct piix4_pm_ops *ops)
{
    struct pci_function *function = &pm->function;
    *pm = (struct piix4_pm){.clock = clock, .sci = sci, .ops = *ops, .ports = pci->ports};
    timer_init(&pm->timer, clock, fire, pm);
    pci_function_init(function, "PIIX4 power management", 0x8086, 0x7113, 0x0680, 3);
    pci_set_subsystem(function, 0x1af4, 0x1100);
    pci_set_config(function, PCI_COMMAND, 2, 0, PCI_COMMAND_IO);
    pci_set_config(function, PCI_STATUS, 2, 0x0280, 0);
    pci_set_interrupt_pin(function, 1);
    pci_set_config(function, PMBASE, 4, 1, 0xffc0);
    for (unsigned offset = 0x44; offset < 0x80; offset += 4) /* timers and device resources */
        pci_set_config(function, offset, 4, 0, UINT32_MAX);
    pci_set_config(function, DEVICE_ACTIVITY_B, 4, APMC_EN, UINT32_MAX);
    pci_set_config(function, PM_MISC, 1, 0, 1);
    pci_set_config(function, SMBUS_BASE, 4, 1, 0xfff0);
    pci_set_config(function, SMBUS_CONFIG, 4, 0, 0xffff000f);
    function->config_written = config_written;
    function->opaque = pm;
    pci_function_attach(function, pci, 1, 3);

    pm->pm_region = block(pm, "piix4-pm", 0, PM_BYTES, pm_read, pm_write);
    pm->pm_region.max_size = 4;
    pm->smbus_region = block(pm, "piix4-smbus", 0, SMBUS_BYTES, smbus_read, smbus_write);
    pm->gpe_region = block(pm, "acpi-gpe0", PM_GPE0_PORT, PM_GPE0_BYTES, gpe_read, gpe_write);
    pm->apm_region = block(pm, "smi-command", PM_SMI_COMMAND_PORT, 2, apm_read, apm_write);
    bus_add(pci->ports, &pm->gpe_region);
    bus_add(pci->ports, &pm->apm_region);
}

const struct device_class piix4_pm_class = {
    .name = "piix4-pm",
    DEVICE_STATE(struct piix4_pm, 1, piix4_pm_fields),
    .reset = reset,
    .after_load = after_load,
};
