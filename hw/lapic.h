/* The local APIC of one processor, and the bus that connects them with the IOAPIC.
 *
 * It knows the processor only by struct lapic_cpu.  The board hands it the accesses of its own
 * processor: lapic_mmio_read() for the xAPIC page, lapic_msr_read() for x2APIC.
 *
 * INV-1: cpu.set_intr's level is high exactly while lapic_acknowledge() would give a vector.
 * INV-2: the timer of the clock is armed only while the APIC timer counts to an event whose LVT
 *        entry is unmasked.
 * Source: SDM 3A chapter 10 (APIC), 10.12 (x2APIC).
 */
#ifndef HW_LAPIC_H
#define HW_LAPIC_H

#include "base/clock.h"
#include "base/irq.h"
#include "hw/device.h"

#define LAPIC_BASE_DEFAULT UINT64_C(0xfee00000)
#define LAPIC_BASE_BSP     BIT(8)
#define LAPIC_BASE_X2APIC  BIT(10)
#define LAPIC_BASE_ENABLE  BIT(11)
#define LAPIC_BUS_HZ       1000000000 /* the timer's input clock */

enum { LAPIC_MAX = 32 };

enum { LVT_TIMER, LVT_THERMAL, LVT_COUNTER, LVT_LINT0, LVT_LINT1, LVT_ERROR, LVT_COUNT };

/* Delivery modes of LVT entries, the ICR, redirection entries and messages. */
enum {
    APIC_FIXED = 0,
    APIC_LOWEST = 1,
    APIC_SMI = 2,
    APIC_NMI = 4,
    APIC_INIT = 5,
    APIC_STARTUP = 6,
    APIC_EXTINT = 7,
};

struct lapic_cpu {
    void (*set_intr)(void *opaque, int level);
    void (*nmi)(void *opaque);
    void (*init)(void *opaque); /* the APIC has already reset itself */
    void (*sipi)(void *opaque, uint8_t vector);
    /* INTA to the 8259s, for ExtINT: a vector. */
    int (*acknowledge_pic)(void *opaque);
    void *opaque;
};

struct lapic_state {
    uint64_t base;             /* IA32_APIC_BASE */
    int64_t timer_start_ns;    /* when the timer began to count down from its initial count */
    int64_t timer_deadline_ns; /* TSC-deadline mode; CLOCK_NEVER: not armed */
    int64_t timer_settled_ns;  /* events up to this time have been delivered */
    uint64_t tsc_deadline;
    uint64_t icr;
    uint32_t id; /* xAPIC: 8 bits, x2APIC: 32 */
    uint32_t logical_destination, destination_format;
    uint32_t spurious;
    uint32_t error, error_shadow; /* ESR as read, and what gathers until the next write */
    uint32_t requests[8], in_service[8], trigger_mode[8]; /* IRR, ISR, TMR: 256 bits */
    uint32_t lvt[LVT_COUNT];
    uint32_t timer_initial, timer_divide;
    uint8_t task_priority;
    uint8_t lint_levels[2];
    uint8_t intr;
    uint8_t pad[4];
};

struct lapic {
    struct lapic_state state;
    struct apic_bus *bus;
    struct clock *clock;
    struct timer timer;
    struct lapic_cpu cpu;
    uint32_t hardware_id;
};

struct ioapic;

struct apic_bus {
    struct lapic *lapics[LAPIC_MAX];
    unsigned count;
    struct ioapic *ioapic; /* hears EOIs of level-triggered vectors */
};

#define APIC_EVERYBODY UINT32_MAX /* as destination */

/* A message on the bus: from the IOAPIC, an ICR or an MSI. */
struct apic_message {
    uint32_t destination; /* APIC id or logical destination */
    bool logical;
    uint8_t mode; /* APIC_… */
    uint8_t vector;
    bool level; /* level-triggered */
};

void apic_bus_init(struct apic_bus *bus);
/* Delivers the message; false when no APIC took it. */
bool apic_bus_send(struct apic_bus *bus, const struct apic_message *message);
/* A write of `data` to `address` in FEExxxxxh. */
void apic_bus_send_msi(struct apic_bus *bus, uint64_t address, uint32_t data);

/* `id`: 0 is the bootstrap processor.  At most LAPIC_MAX on a bus. */
void lapic_attach(struct lapic *lapic, unsigned id, struct apic_bus *bus, struct clock *clock,
                  const struct lapic_cpu *cpu);

/* LINT0 (number 0, the 8259s' INT) and LINT1 (number 1, NMI); an irq_line's set function. */
void lapic_set_lint(void *lapic, int number, int level);
/* INTA: the vector to deliver (from the APIC itself or, as ExtINT, from the 8259s), or -1. */
int lapic_acknowledge(struct lapic *lapic);

/* The page of registers: false when `address` is not in it (or the APIC is disabled or in x2APIC
 * mode), and then nothing happened. */
bool lapic_mmio_read(struct lapic *lapic, uint64_t address, unsigned size, uint64_t *value);
bool lapic_mmio_write(struct lapic *lapic, uint64_t address, unsigned size, uint64_t value);
/* x2APIC MSRs 800h..8FFh: false is #GP(0). */
must_check bool lapic_msr_read(struct lapic *lapic, uint32_t msr, uint64_t *value);
must_check bool lapic_msr_write(struct lapic *lapic, uint32_t msr, uint64_t value);
/* IA32_APIC_BASE, already checked for reserved bits by the processor. */
void lapic_set_base(struct lapic *lapic, uint64_t value);
/* CR8: bits 7:4 of TPR. */
uint8_t lapic_cr8(const struct lapic *lapic);
void lapic_set_cr8(struct lapic *lapic, uint8_t value);
/* IA32_TSC_DEADLINE := tsc, which the TSC reaches at virtual time `deadline_ns`; ignored outside
 * TSC-deadline mode. 0 disarms. */
void lapic_set_tsc_deadline(struct lapic *lapic, uint64_t tsc, int64_t deadline_ns);
uint64_t lapic_tsc_deadline(const struct lapic *lapic); /* 0 once it has fired */
/* What the INIT pin of the processor does to it: as after a reset, but for the APIC id and
 * IA32_APIC_BASE (SDM 3A 10.4.7.3).
 */
void lapic_init_reset(struct lapic *lapic);

extern const struct device_class lapic_class;

#endif
