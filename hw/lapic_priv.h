/* Shared by the files of the local APIC: requests and their delivery (lapic.c), registers
 * (lapic_registers.c), timer (lapic_timer.c), the bus (apic_bus.c). */
#ifndef HW_LAPIC_PRIV_H
#define HW_LAPIC_PRIV_H

#include "hw/lapic.h"

enum {
    LVT_VECTOR = 0xff,
    LVT_MODE_SHIFT = 8,
    LVT_REMOTE_IRR = 1 << 14,
    LVT_LEVEL = 1 << 15,
    LVT_MASKED = 1 << 16,
    LVT_TIMER_MODE_SHIFT = 17,
    SPURIOUS_ENABLE = 1 << 8,

    /* bits of the error status register */
    ERROR_SEND_ILLEGAL = 1 << 5,
    ERROR_RECEIVE_ILLEGAL = 1 << 6,
    ERROR_ILLEGAL_REGISTER = 1 << 7,
};

enum lapic_timer_mode { TIMER_ONE_SHOT, TIMER_PERIODIC, TIMER_TSC_DEADLINE };

static inline bool lapic_is_enabled(const struct lapic *lapic)
{
    return lapic->state.base & LAPIC_BASE_ENABLE;
}

static inline bool lapic_is_x2apic(const struct lapic *lapic)
{
    return lapic_is_enabled(lapic) && lapic->state.base & LAPIC_BASE_X2APIC;
}

/* --- lapic.c */
/* Accepts a fixed interrupt; false when the APIC is disabled. */
bool lapic_accept(struct lapic *lapic, uint8_t vector, bool level);
/* What a message of this mode does at this APIC. */
bool lapic_deliver(struct lapic *lapic, uint8_t mode, uint8_t vector, bool level);
/* The event of a local vector table entry. */
void lapic_local_event(struct lapic *lapic, unsigned entry);
void lapic_note_error(struct lapic *lapic, uint32_t bit);
/* The pin to the processor follows the state (INV-1). */
void lapic_update(struct lapic *lapic);
void lapic_set_task_priority(struct lapic *lapic, uint8_t value);
void lapic_end_of_interrupt(struct lapic *lapic);
/* Is LINT0 or LINT1 level-triggered now?  It requests as long as its input is high. */
bool lapic_is_by_level(const struct lapic *lapic, unsigned entry);
void lapic_request_by_level(struct lapic *lapic, unsigned entry);
/* Bits 7:4 of the priority that the processor has now (PPR). */
uint8_t lapic_processor_priority(const struct lapic *lapic);

/* --- lapic_timer.c */
void lapic_timer_reset(struct lapic *lapic);
/* Delivers what is due by now; called before any timer register changes. */
void lapic_timer_settle(struct lapic *lapic);
/* Arms the host timer for the next event (INV-2); called after any timer register changed. */
void lapic_timer_arm(struct lapic *lapic);
void lapic_timer_set_initial(struct lapic *lapic, uint32_t count);
void lapic_timer_set_divide(struct lapic *lapic, uint32_t value);
uint32_t lapic_timer_current(const struct lapic *lapic);
enum lapic_timer_mode lapic_timer_mode(const struct lapic *lapic);
void lapic_timer_describe(const struct lapic *lapic, FILE *out);
void lapic_timer_attach(struct lapic *lapic, struct clock *clock);

#endif
