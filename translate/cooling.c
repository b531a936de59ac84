#include "translate/cooling.h"

#include "base/types.h"

enum { FORGET_SHIFT = 16 }; /* one loss less for each 65536 translations */

static unsigned slot_of(uint64_t gpa)
{
    return (unsigned)(gpa >> PAGE_SHIFT) & (COOLING_SLOTS - 1);
}

static unsigned losses_now(const struct cooling *cooling, uint64_t gpa, uint64_t number)
{
    unsigned slot = slot_of(gpa);
    if (cooling->slots[slot].page != (gpa & PAGE_MASK))
        return 0;
    uint64_t past = (number - cooling->slots[slot].when) >> FORGET_SHIFT;
    unsigned losses = cooling->slots[slot].losses;
    return past < losses ? losses - (unsigned)past : 0;
}

void cooling_translated(struct cooling *cooling, uint64_t gpa)
{
    unsigned slot = slot_of(gpa);
    if (cooling->slots[slot].page != (gpa & PAGE_MASK)) {
        cooling->slots[slot].page = gpa & PAGE_MASK;
        cooling->slots[slot].losses = 0;
    }
    cooling->slots[slot].has_new = true;
}

void cooling_killed(struct cooling *cooling, uint64_t gpa, uint64_t number)
{
    unsigned slot = slot_of(gpa);
    if (cooling->slots[slot].page != (gpa & PAGE_MASK) || !cooling->slots[slot].has_new)
        return;
    unsigned losses = losses_now(cooling, gpa, number);
    if (losses < COOLING_HEAT_MAX) {
        losses++;
        cooling->cooled += losses == COOLING_HEAT_MAX;
    }
    cooling->slots[slot].losses = (uint8_t)losses;
    cooling->slots[slot].when = number;
    cooling->slots[slot].has_new = false;
}

unsigned cooling_heat(const struct cooling *cooling, uint64_t gpa, uint64_t number)
{
    return losses_now(cooling, gpa, number);
}
