/* drcov: which guest code was translated, for Lighthouse, bncov and other readers of coverage.
 *
 * A text header, a table of modules, and binary entries { u32 offset, u16 bytes, u16 module }.  The
 * module table is version 3, the oldest that all these readers take.  Blocks of one place count
 * once.
 *
 * An offset has 32 bits and a guest has many address spaces, so a module is one of
 *   - a range that the user named: a kernel's or a program's image, as a disassembler loads it;
 *   - guest-real: real mode;
 *   - guest-kernel-WINDOW: a 4 GiB window of addresses that all address spaces share: the upper
 * half in 64-bit mode, from C0000000h in other modes;
 *   - guest-CR3-WINDOW: any other window of one address space.
 * The base of the last three is the window's.
 *
 * LIMIT: where a 32-bit guest splits user and kernel elsewhere than at 3 GiB is not known; name the
 * range.
 *
 * Sources: the files that DynamoRIO writes.
 */
#include "translate/trace_export.h"
#include "cpu/cpu.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#define WINDOW_MASK (~(uint64_t)UINT32_MAX)
#define KERNEL_32   UINT64_C(0xc0000000)

enum { MODULES_MAX = UINT16_MAX + 1, ENTRY_BYTES = 8 };
enum module_kind { MODULE_NAMED, MODULE_REAL, MODULE_KERNEL, MODULE_SPACE };

/* A block's place; sorted, those of one module stand together. */
struct place {
    uint8_t kind;
    uint64_t space; /* MODULE_NAMED: which; MODULE_SPACE: CR3 */
    uint64_t base;
    uint32_t offset;
    uint16_t bytes, module;
};

struct drcov {
    const struct trace_module *named;
    unsigned named_count;
    struct place *places;
    size_t place_count;
    unsigned module_count;
};

static bool is_kernel(const struct traced_block *block)
{
    return (block->mode & MODE_CODE) == CODE_64 ? block->linear >> 63 : block->linear >= KERNEL_32;
}

static struct place place_of(const struct drcov *drcov, const struct traced_block *block)
{
    struct place place = {.bytes = block->guest_bytes};

    for (unsigned i = 0; i < drcov->named_count; i++)
        if (block->linear - drcov->named[i].start < drcov->named[i].size) {
            place.space = i;
            place.base = drcov->named[i].start;
            place.offset = (uint32_t)(block->linear - place.base);
            return place;
        }
    place.base = block->linear & WINDOW_MASK;
    place.offset = (uint32_t)block->linear;
    if (!(block->mode & (MODE_PROTECTED | MODE_V86)))
        place.kind = MODULE_REAL;
    else if (is_kernel(block))
        place.kind = MODULE_KERNEL;
    else {
        place.kind = MODULE_SPACE;
        place.space = block->cr3;
    }
    return place;
}

static int compare(uint64_t a, uint64_t b)
{
    return a < b ? -1 : a > b;
}

static int compare_modules(const struct place *a, const struct place *b)
{
    int order = compare(a->kind, b->kind);

    order = order ? order : compare(a->space, b->space);
    return order ? order : compare(a->base, b->base);
}

static int compare_places(const void *left, const void *right)
{
    const struct place *a = left, *b = right;
    int order = compare_modules(a, b);

    order = order ? order : compare(a->offset, b->offset);
    return order ? order : compare(a->bytes, b->bytes);
}

/* Sorts, drops what stands twice, numbers the modules. */
static int number_modules(struct drcov *drcov, const struct trace *trace, struct error *error)
{
    struct place *places = drcov->places;
    size_t kept = 0;

    for (size_t i = 0; i < trace->block_count; i++)
        places[i] = place_of(drcov, &trace->blocks[i]);
    if (trace->block_count)
        qsort(places, trace->block_count, sizeof *places, compare_places);
    for (size_t i = 0; i < trace->block_count; i++) {
        if (kept && !compare_places(&places[i], &places[kept - 1]))
            continue;
        if (!kept || compare_modules(&places[i], &places[kept - 1]))
            drcov->module_count++;
        if (drcov->module_count > MODULES_MAX)
            return error_set(error, EFBIG,
                             "%s: more than %d address spaces; drcov cannot number them; trace "
                             "less, with -dfilter",
                             trace->path, MODULES_MAX);
        places[kept] = places[i];
        places[kept++].module = (uint16_t)(drcov->module_count - 1);
    }
    drcov->place_count = kept;
    return 0;
}

static void print_module(const struct drcov *drcov, FILE *out, const struct place *first,
                         uint64_t end)
{
    uint64_t base = first->base;

    fprintf(out, "%u, %u, 0x%016" PRIx64 ", 0x%016" PRIx64 ", 0x%016x, ", first->module,
            first->module, base, end, 0);
    switch (first->kind) {
    case MODULE_NAMED:
        fprintf(out, "%s\n", drcov->named[first->space].name);
        break;
    case MODULE_REAL:
        fputs("guest-real\n", out);
        break;
    case MODULE_KERNEL:
        fprintf(out, "guest-kernel-%" PRIx64 "\n", base);
        break;
    default:
        fprintf(out, "guest-%" PRIx64 "-%" PRIx64 "\n", first->space, base);
    }
}

static void print_modules(const struct drcov *drcov, FILE *out)
{
    const struct place *places = drcov->places;

    fprintf(out, "Module Table: version 3, count %u\n", drcov->module_count);
    fputs("Columns: id, containing_id, start, end, entry, path\n", out);
    for (size_t i = 0; i < drcov->place_count;) {
        const struct place *first = &places[i];
        uint64_t end = 0;
        for (; i < drcov->place_count && places[i].module == first->module; i++) {
            uint64_t last = first->base + places[i].offset + places[i].bytes;
            end = last > end ? last : end;
        }
        if (first->kind == MODULE_NAMED)
            end = first->base + drcov->named[first->space].size;
        print_module(drcov, out, first, end);
    }
}

static void print_entries(const struct drcov *drcov, FILE *out)
{
    fprintf(out, "BB Table: %zu bbs\n", drcov->place_count);
    for (size_t i = 0; i < drcov->place_count; i++) {
        uint8_t entry[ENTRY_BYTES];
        store_le32(entry, drcov->places[i].offset);
        store_le16(entry + 4, drcov->places[i].bytes);
        store_le16(entry + 6, drcov->places[i].module);
        fwrite(entry, 1, sizeof entry, out);
    }
}

int trace_export_drcov(const struct trace *trace, const struct trace_module *modules,
                       unsigned module_count, FILE *out, struct error *error)
{
    struct drcov drcov = {.named = modules, .named_count = module_count};

    drcov.places = calloc(trace->block_count + 1, sizeof *drcov.places);
    if (!drcov.places)
        return error_set(error, ENOMEM, "%s: no memory left to sort it", trace->path);
    int result = number_modules(&drcov, trace, error);
    if (!result) {
        fputs("DRCOV VERSION: 2\nDRCOV FLAVOR: drcov\n", out);
        print_modules(&drcov, out);
        print_entries(&drcov, out);
    }
    free(drcov.places);
    return result;
}
