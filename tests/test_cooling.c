/* Pages whose code keeps changing: what raises their heat, and what lowers it. */
#include "translate/cooling.h"

#include <criterion/criterion.h>
#include <string.h>

enum { PAGE = 0x7000, LATER = 65536 };

static struct cooling cooling;

static void lose(uint64_t gpa, uint64_t number)
{
    cooling_translated(&cooling, gpa);
    cooling_killed(&cooling, gpa + 5, number);
}

Test(cooling, each_loss_of_a_new_translation_counts)
{
    static const unsigned heats[] = {1, 2, 3, 3, 3, 3};
    cr_assert_eq(cooling_heat(&cooling, PAGE, 0), 0);
    for (unsigned i = 0; i < 6; i++) {
        lose(PAGE + i, i);
        cr_assert_eq(cooling_heat(&cooling, PAGE, i), heats[i], "after %u losses", i + 1);
    }
    cr_assert_eq(cooling.cooled, 1);
    cr_assert_eq(cooling_heat(&cooling, PAGE + 0x1000, 6), 0);
}

Test(cooling, a_burst_counts_once)
{
    cooling_translated(&cooling, PAGE);
    for (unsigned i = 0; i < 100; i++)
        cooling_killed(&cooling, PAGE + i, 0);
    cr_assert_eq(cooling_heat(&cooling, PAGE, 0), 1);
    cooling_killed(&cooling, PAGE + 0x1000, 0);
    cr_assert_eq(cooling_heat(&cooling, PAGE + 0x1000, 0), 0);
}

Test(cooling, losses_are_forgotten)
{
    for (unsigned i = 0; i < 10; i++)
        lose(PAGE, 0);
    cr_assert_eq(cooling_heat(&cooling, PAGE, LATER - 1), 3);
    cr_assert_eq(cooling_heat(&cooling, PAGE, LATER), 2);
    cr_assert_eq(cooling_heat(&cooling, PAGE, 2 * LATER), 1);
    cr_assert_eq(cooling_heat(&cooling, PAGE, 1000 * LATER), 0);
    lose(PAGE, 2 * LATER);
    cr_assert_eq(cooling_heat(&cooling, PAGE, 2 * LATER), 2);
    cr_assert_eq(cooling.cooled, 1);
    lose(PAGE, 2 * LATER);
    cr_assert_eq(cooling.cooled, 2);
}

/* Two pages of one slot: the one that was translated last has it. */
Test(cooling, a_slot_is_of_one_page)
{
    const uint64_t other = PAGE + (uint64_t)COOLING_SLOTS * 4096;
    for (unsigned i = 0; i < 4; i++)
        lose(PAGE, 0);
    cooling_killed(&cooling, other, 0);
    cr_assert_eq(cooling_heat(&cooling, PAGE, 0), 3);
    cr_assert_eq(cooling_heat(&cooling, other, 0), 0);
    lose(other, 0);
    cr_assert_eq(cooling_heat(&cooling, other, 0), 1);
    cr_assert_eq(cooling_heat(&cooling, PAGE, 0), 0);
}
