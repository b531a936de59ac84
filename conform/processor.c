/* The captured processors. */
#include "conform/processor.h"

#include <stddef.h>
#include <string.h>
#include <strings.h>

/* WHY: the 8086's flags 12 to 15 are ones; the 286 has IOPL and NT, but not in real mode. */
static const struct processor processors[PROCESSORS] = {
    {"8086", {"8086", "8088"}, "486", FAMILY_8086, 0x0fd5, false, true},
    {"286", {"C286", "286", "80286"}, "486", FAMILY_286, 0x0fd5, true, false},
    {"386", {"386E", "386", "80386", "386D"}, "486", FAMILY_386, 0x37fd5, true, false},
    {"max", {NULL}, NULL, FAMILY_MODERN, UINT32_MAX, false, false},
};

const struct processor *processor_by_number(unsigned number)
{
    return &processors[number];
}

unsigned processor_number(const struct processor *processor)
{
    return (unsigned)(processor - processors);
}

const struct processor *processor_by_name(const char *name)
{
    for (unsigned i = 0; i < PROCESSORS; i++)
        if (!strcasecmp(processors[i].name, name))
            return &processors[i];
    return NULL;
}

const struct processor *processor_modern(void)
{
    return &processors[PROCESSORS - 1];
}

const struct processor *processor_by_id(const char *id)
{
    for (unsigned i = 0; i < PROCESSORS; i++)
        for (const char *const *known = processors[i].ids; *known; known++)
            if (!strcasecmp(*known, id))
                return &processors[i];
    return NULL;
}

const struct processor *processor_by_path(const char *path)
{
    const struct processor *last = NULL;

    for (; *path; path++)
        for (unsigned i = 0; i < PROCESSORS; i++)
            for (const char *const *known = processors[i].ids; *known; known++)
                if (!strncasecmp(path, *known, strlen(*known)))
                    last = &processors[i];
    return last;
}
