/* The same guest under the interpreter and under the translator, which have to end alike. */
#ifndef TESTS_BOTH_ENGINES_H
#define TESTS_BOTH_ENGINES_H

#include "tests/random.h"
#include "tests/rig.h"
#include "translate/translated.h"

struct engines {
    struct rig interpreted, translated;
};

static inline void engine_attach(struct cpu *cpu, enum windows_use windows)
{
    struct error error;
    const struct translate_options options = {.threshold = 1, .windows = windows};
    cr_assert_eq(translator_attach(cpu, &options, &error), 0, "%s", error.text);
}

/* `load` puts the guest's code and tables into a rig. */
static inline void engines_init(struct engines *engines, enum windows_use windows,
                                void (*load)(struct rig *rig))
{
    rig_init(&engines->interpreted);
    rig_init(&engines->translated);
    load(&engines->interpreted);
    load(&engines->translated);
    engine_attach(engines->translated.cpu, windows);
}

static inline void engines_free(struct engines *engines)
{
    translator_detach(engines->translated.cpu);
    rig_free(&engines->interpreted);
    rig_free(&engines->translated);
}

static inline void engines_check_same(const struct engines *engines, unsigned number)
{
    const struct cpu *x = engines->interpreted.cpu, *y = engines->translated.cpu;
#define SAME(field)                                                                                \
    cr_assert(!memcmp(&x->field, &y->field, sizeof x->field), "case %u: " #field, number)
    SAME(regs);
    SAME(rip);
    SAME(segs);
    SAME(flat_data);
    SAME(eflags);
    SAME(cpl);
    SAME(halted);
    SAME(nmi_blocked);
    SAME(cr2);
    SAME(dr);
    SAME(fault);
    SAME(count.exceptions);
    SAME(linear_mask);
    SAME(stack_mask);
    SAME(code_base);
#undef SAME
    cr_assert_eq(x->mode, y->mode & ~(uint32_t)MODE_WINDOW, "case %u", number);
    cr_assert_eq(cpu_eflags(x), cpu_eflags(y), "case %u", number);
    const struct shadow_view *view = y->mmu.space->views[cpu_view_id(y)];
    cr_assert(y->view == view || y->view == y->empty_view, "case %u", number);
    cr_assert_eq(y->view == y->empty_view, x->view == x->empty_view, "case %u", number);
}

static inline uint64_t random64(void)
{
    static struct random dice = {88172645463325252u};
    return random_next(&dice);
}

/* One in `n`. */
static inline bool random_chance(unsigned n)
{
    return random64() % n == 0;
}

#endif
