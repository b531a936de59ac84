/* The area in low memory where PVH and multiboot kernels find what the loader tells them. */
#include "machine/boot_info.h"

#include <errno.h>
#include <string.h>

int boot_info_put(struct boot *boot, const void *bytes, size_t length, uint32_t *address,
                  struct error *error)
{
    uint32_t at = (boot->info_at + 7) & ~7u;
    if (at < BOOT_INFO)
        at = BOOT_INFO;
    if (length > BOOT_INFO_END - at)
        return error_set(error, E2BIG, "%s: too many modules or too long arguments; give fewer",
                         boot->kernel.name);
    boot->info_at = at + (uint32_t)length;
    *address = at;
    return boot_place(boot, at, bytes, length, "boot information", error);
}

/* One module: "file argument argument". */
static int boot_place_module(struct boot *boot, const char *text, struct boot_module *module,
                             uint64_t *at, struct error *error)
{
    char name[BOOT_MODULE_TEXT];
    size_t length = strlen(text);
    if (length >= sizeof name)
        return error_set(error, ENAMETOOLONG, "-initrd: module \"%.40s...\" has a too long line",
                         text);
    memcpy(name, text, length + 1);
    name[strcspn(name, " ")] = '\0';
    struct boot_file file;
    int result = boot_read_file(&file, name, "-initrd", error);
    if (result < 0)
        return result;
    *at = (*at + PAGE_OFFSET_MASK) & PAGE_MASK;
    module->start = (uint32_t)*at;
    module->length = (uint32_t)file.length;
    result = boot_place(boot, *at, file.bytes, file.length, name, error);
    *at += file.length;
    boot_file_free(&file);
    if (result == 0)
        result = boot_info_put(boot, text, length + 1, &module->text, error);
    return result;
}

int boot_place_modules(struct boot *boot, uint64_t from, struct boot_module *modules,
                       unsigned *count, struct error *error)
{
    *count = 0;
    const char *at = boot->initrd;
    while (at && *at) {
        char text[BOOT_MODULE_TEXT];
        size_t length = strcspn(at, ",");
        if (*count == BOOT_MODULES_MAX)
            return error_set(error, E2BIG, "-initrd: more than %d modules; give fewer",
                             BOOT_MODULES_MAX);
        if (length >= sizeof text)
            return error_set(error, ENAMETOOLONG,
                             "-initrd: module \"%.40s...\" has a too long line", at);
        memcpy(text, at, length);
        text[length] = '\0';
        int result = boot_place_module(boot, text, &modules[*count], &from, error);
        if (result < 0)
            return result;
        ++*count;
        at += length;
        at += *at == ',';
    }
    return 0;
}
