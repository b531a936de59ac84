/* Pages whose code keeps changing.
 *
 * A translation costs as much as some hundred executions by the interpreter.  Where code is
 * rewritten all the time that is paid again and again for nothing, so a page that loses its
 * translations repeatedly gets the next ones later: after 4, 16, at last 32 times the executions.
 * What that wastes at most is about what the translation costs.
 *
 * A burst of writes (a page filled anew) counts once: only a translation made since then can be
 * lost again.  What happened long ago, counted in translations, is forgotten.
 */
#ifndef TRANSLATE_COOLING_H
#define TRANSLATE_COOLING_H

#include <stdbool.h>
#include <stdint.h>

enum { COOLING_SLOTS = 4096, COOLING_HEAT_MAX = 3 };

struct cooling {
    struct {
        uint64_t page; /* guest physical, of the slot's owner */
        uint64_t when; /* number of the translation when it last lost one */
        uint8_t losses;
        bool has_new; /* a translation since the last loss */
    } slots[COOLING_SLOTS];
    uint64_t cooled; /* pages that came to COOLING_HEAT_MAX */
};

/* A block of the page at `gpa` has become translation `number`. */
void cooling_translated(struct cooling *cooling, uint64_t gpa);
/* A translation of the page was killed, `number` having been made in all. */
void cooling_killed(struct cooling *cooling, uint64_t gpa, uint64_t number);
/* How much later a new block of the page is translated: 0 .. COOLING_HEAT_MAX. */
unsigned cooling_heat(const struct cooling *cooling, uint64_t gpa, uint64_t number);
/* … as a factor. */
static inline unsigned cooling_factor(unsigned heat)
{
    static const uint8_t factors[COOLING_HEAT_MAX + 1] = {1, 4, 16, 32};
    return factors[heat];
}

#endif
