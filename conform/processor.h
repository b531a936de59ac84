/* What a captured processor is: how its vectors are run and read. */
#ifndef CONFORM_PROCESSOR_H
#define CONFORM_PROCESSOR_H

#include <stdbool.h>
#include <stdint.h>

enum processor_family {
    FAMILY_8086 = 1 << 0,
    FAMILY_286 = 1 << 1,
    FAMILY_386 = 1 << 2,
    FAMILY_ALL = FAMILY_8086 | FAMILY_286 | FAMILY_386, /* that were captured */
    FAMILY_MODERN = 1 << 3,                             /* of ring3's own cases: no differences */
};

struct processor {
    const char *name;   /* as --cpu takes it */
    const char *ids[5]; /* as files name it; ends with NULL */
    const char *model;  /* of -cpu: ring3's nearest; NULL: as --model says */
    enum processor_family family;
    uint32_t flags; /* that exist in real mode; the others have fixed values */
    bool halts;     /* a case ends at a HLT; else after one instruction */
    bool wraps;     /* 20 address lines */
};

enum { PROCESSORS = 4 };

/* By number, in the order of reports. */
const struct processor *processor_by_number(unsigned number);
unsigned processor_number(const struct processor *processor);
/* What cases of ring3's own format run on. */
const struct processor *processor_modern(void);
/* By --cpu's name or by a file's id; NULL: unknown. */
const struct processor *processor_by_name(const char *name);
const struct processor *processor_by_id(const char *id);
/* By the last id that stands in a path: "8088/v2/00.json"; NULL: none does. */
const struct processor *processor_by_path(const char *path);

#endif
