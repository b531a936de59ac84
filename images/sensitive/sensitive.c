/* Runs every probe in each of its modes, several times: a translator that begins with a look at
 * what is hot shall see them hot, and what comes out must be the same each time. */
#include "sensitive.h"

#include "demo.h"

enum { ROUNDS = 8 };

_Noreturn void guest_main(void);

static void run(const struct probe *probe, const struct mode *mode)
{
    static struct system before, after, first_after;
    static struct state first;

    for (unsigned round = 0; round < ROUNDS; round++) {
        probe_prepare(probe, mode);
        system_prepare(probe, mode, &before);
        mode->enter();
        system_note(&after);
        struct state now = *state_out;
        bool differs = round && (__builtin_memcmp(&now, &first, sizeof now) ||
                                 __builtin_memcmp(&after, &first_after, sizeof after));
        if (round && !differs)
            continue;
        if (round)
            print("round %u: ", round);
        report(probe, mode, &before, &after);
        first = now;
        first_after = after;
    }
}

static void run_all(const struct mode *mode)
{
    const uint32_t *at = mode->bits == 16 ? probes_16 : mode->bits == 32 ? probes_32 : probes_64;
    struct probe probe;

    while (*at != TAG_END) {
        at = probe_read(at, &probe);
        if (probe.modes & mode->bit)
            run(&probe, mode);
    }
}

void guest_main(void)
{
    bool is_long = false;

    console_init();
    *(volatile uint16_t *)TARGET_LINEAR = 0x0b0f; /* UD2 */
    tables_init_legacy();
    system_init();
    for (unsigned i = 0; i < mode_count; i++) {
        if (mode_is_long(&modes[i]) && !is_long) {
            tables_init_long();
            start_long_mode();
            is_long = true;
        }
        run_all(&modes[i]);
    }
    print("all done\n");
    power_off();
}
