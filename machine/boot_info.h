#ifndef MACHINE_BOOT_INFO_H
#define MACHINE_BOOT_INFO_H

#include "machine/boot.h"

enum { BOOT_MODULES_MAX = 64, BOOT_MODULE_TEXT = 1024 };

struct boot_module {
    uint32_t start, length, text; /* guest addresses; text: its line of the command line */
};

/* Copies `bytes` to the next free place; -E2BIG when the area is full. */
int boot_info_put(struct boot *boot, const void *bytes, size_t length, uint32_t *address,
                  struct error *error);
/* Loads the modules of -initrd ("file arguments,file arguments") page by page from address `from`
 * on. */
int boot_place_modules(struct boot *boot, uint64_t from, struct boot_module *modules,
                       unsigned *count, struct error *error);

#endif
