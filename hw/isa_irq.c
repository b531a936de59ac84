#include "hw/isa_irq.h"

#define ISA_IRQS_FIELDS(FIELD, ARRAY) ARRAY(struct isa_irqs_state, drivers)
static const struct field isa_irqs_fields[] = SAVE_FIELDS(ISA_IRQS_FIELDS);
SAVE_ASSERT_COMPLETE(struct isa_irqs_state, ISA_IRQS_FIELDS);

enum { CASCADE = 2, IOAPIC_TIMER_PIN = 2 };

static void drive_out(const struct isa_irqs *irqs, unsigned number)
{
    int level = irqs->state.drivers[number] != 0;
    struct irq_line line = irqs->pic;
    line.number = (int)number;
    irq_set(&line, level);
    line = irqs->ioapic;
    line.number = number == 0 ? IOAPIC_TIMER_PIN : (int)number;
    irq_set(&line, level);
}

void isa_irqs_drive(struct isa_irqs *irqs, unsigned number, enum isa_irq_driver driver, int level)
{
    number %= ISA_IRQS;
    if (number == CASCADE)
        return;
    uint8_t before = irqs->state.drivers[number];
    uint8_t after = (uint8_t)(level ? before | BIT(driver) : before & ~BIT(driver));
    irqs->state.drivers[number] = after;
    if (!before != !after)
        drive_out(irqs, number);
}

static void set_as_device(void *opaque, int number, int level)
{
    isa_irqs_drive(opaque, (unsigned)number, ISA_DRIVER_DEVICE, level);
}

static void set_as_second(void *opaque, int number, int level)
{
    isa_irqs_drive(opaque, (unsigned)number, ISA_DRIVER_SECOND, level);
}

static void set_as_sci(void *opaque, int number, int level)
{
    isa_irqs_drive(opaque, (unsigned)number, ISA_DRIVER_SCI, level);
}

struct irq_line isa_irq(struct isa_irqs *irqs, unsigned number)
{
    return (struct irq_line){.set = set_as_device, .opaque = irqs, .number = (int)number};
}

struct irq_line isa_irq_second(struct isa_irqs *irqs, unsigned number)
{
    return (struct irq_line){.set = set_as_second, .opaque = irqs, .number = (int)number};
}

struct irq_line isa_irq_sci(struct isa_irqs *irqs, unsigned number)
{
    return (struct irq_line){.set = set_as_sci, .opaque = irqs, .number = (int)number};
}

static void reset(void *object, enum reset_kind kind)
{
    struct isa_irqs *irqs = object;
    for (unsigned number = 0; number < ISA_IRQS; number++) {
        irqs->state.drivers[number] = 0;
        if (number != CASCADE)
            drive_out(irqs, number);
    }
}

void isa_irqs_attach(struct isa_irqs *irqs, struct irq_line pic, struct irq_line ioapic)
{
    *irqs = (struct isa_irqs){.pic = pic, .ioapic = ioapic};
}

const struct device_class isa_irqs_class = {
    .name = "isa-irqs",
    DEVICE_STATE(struct isa_irqs, 1, isa_irqs_fields),
    .reset = reset,
};
