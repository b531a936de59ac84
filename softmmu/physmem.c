#include "softmmu/physmem.h"

#include <errno.h>
#include <stdlib.h>

enum { LOW_PAGES = 256 }; /* the first MiB, where PAM and SMRAM rule page by page */

#define RAM_BELOW_4G_MAX UINT64_C(0xc0000000)

int physmem_init(struct physmem *physmem, struct frames *frames, struct bus *bus,
                 uint64_t ram_bytes, struct error *error)
{
    *physmem = (struct physmem){.frames = frames, .bus = bus, .ram_bytes = ram_bytes};
    physmem->ram_below_4g = ram_bytes < RAM_BELOW_4G_MAX ? ram_bytes : RAM_BELOW_4G_MAX;
    uint64_t pages = ram_bytes >> PAGE_SHIFT;
    physmem->pmap = calloc(pages, sizeof *physmem->pmap); /* all FRAMES_ZERO: INV-1 */
    physmem->code = calloc(pages, sizeof *physmem->code);
    if (!physmem->pmap || !physmem->code) {
        free(physmem->pmap);
        free(physmem->code);
        return error_set(error, ENOMEM, "no host memory for the page map of %llu MiB; lower -m",
                         (unsigned long long)(ram_bytes >> 20));
    }
    pthread_mutex_init(&physmem->lock, NULL);
    memset(physmem->low, PHYSMEM_READ_RAM | PHYSMEM_WRITE_RAM, 0xa0);
    return 0;
}

void physmem_free(struct physmem *physmem)
{
    if (!physmem->pmap)
        return;
    const uint64_t pages = physmem->ram_bytes >> PAGE_SHIFT;
    for (uint64_t index = 0, end; index < pages; index = end) {
        const mpn_t first = physmem->pmap[index];
        for (end = index + 1; end < pages && physmem->pmap[end].v == first.v + (end - index);)
            end++;
        if (first.v != FRAMES_ZERO.v)
            frames_drop(physmem->frames, first, (uint32_t)(end - index));
        else
            end = index + 1; /* a frame after the zero page is no run with it */
    }
    pthread_mutex_destroy(&physmem->lock);
    free(physmem->pmap);
    free(physmem->code);
    physmem->pmap = NULL;
}

static void physmem_changed(struct physmem *physmem, ppn_t first, uint64_t count)
{
    if (physmem->ops.page_changed)
        physmem->ops.page_changed(physmem->ops.opaque, first, count);
}

void physmem_add_rom(struct physmem *physmem, uint64_t base, uint64_t length, const uint8_t *bytes)
{
    BUG_ON(physmem->rom_count == PHYSMEM_ROMS_MAX);
    BUG_ON((base | length) & PAGE_OFFSET_MASK);
    physmem->roms[physmem->rom_count++] =
        (struct physmem_rom){.base = base, .length = length, .bytes = bytes};
    physmem_changed(physmem, gpa_ppn(GPA(base)), length >> PAGE_SHIFT);
}

void physmem_set_low(struct physmem *physmem, uint64_t base, uint64_t length, uint8_t attributes)
{
    if (physmem->watch && physmem->watch->low_set)
        physmem->watch->low_set(physmem->watch->opaque, base, length, attributes);
    for (uint64_t page = base >> PAGE_SHIFT; page < (base + length) >> PAGE_SHIFT; page++) {
        BUG_ON(page >= LOW_PAGES);
        if (physmem->low[page] == attributes)
            continue;
        physmem->low[page] = attributes;
        physmem_changed(physmem, PPN(page), 1);
    }
}

static mpn_t pmap_get(const struct physmem *physmem, uint64_t index)
{
    return MPN(__atomic_load_n(&physmem->pmap[index].v, __ATOMIC_ACQUIRE));
}

static const uint8_t *rom_page(const struct physmem *physmem, uint64_t address)
{
    for (unsigned i = physmem->rom_count; i-- > 0;) {
        const struct physmem_rom *rom = &physmem->roms[i];
        if (address - rom->base < rom->length)
            return rom->bytes + (address - rom->base);
    }
    return NULL;
}

const uint8_t *physmem_page_read(struct physmem *physmem, ppn_t ppn)
{
    uint64_t index = physmem_ram_index(physmem, ppn);
    if (index != PHYSMEM_NOT_RAM && (ppn.v >= LOW_PAGES || physmem->low[ppn.v] & PHYSMEM_READ_RAM))
        return frames_host(physmem->frames, pmap_get(physmem, index));
    return rom_page(physmem, ppn_gpa(ppn).v);
}

uint8_t *physmem_page_write(struct physmem *physmem, ppn_t ppn, bool *exhausted)
{
    uint64_t index = physmem_ram_index(physmem, ppn);
    if (index == PHYSMEM_NOT_RAM ||
        (ppn.v < LOW_PAGES && !(physmem->low[ppn.v] & PHYSMEM_WRITE_RAM)))
        return NULL;
    mpn_t mpn = pmap_get(physmem, index);
    if (likely(mpn.v != FRAMES_ZERO.v))
        return frames_host(physmem->frames, mpn);

    bool changed = false;
    pthread_mutex_lock(&physmem->lock);
    mpn = pmap_get(physmem, index);
    if (mpn.v == FRAMES_ZERO.v) {
        mpn = frames_take(physmem->frames);
        if (mpn.v != MPN_NONE.v) {
            __atomic_store_n(&physmem->pmap[index].v, mpn.v, __ATOMIC_RELEASE);
            changed = true;
        }
    }
    pthread_mutex_unlock(&physmem->lock);
    if (mpn.v == MPN_NONE.v) {
        if (exhausted)
            *exhausted = true;
        return NULL;
    }
    if (changed)
        physmem_changed(physmem, ppn, 1);
    return frames_host(physmem->frames, mpn);
}

mpn_t physmem_mpn(const struct physmem *physmem, ppn_t ppn)
{
    uint64_t index = physmem_ram_index(physmem, ppn);
    return index == PHYSMEM_NOT_RAM ? MPN_NONE : pmap_get(physmem, index);
}

static uint64_t code_bits(gpa_t gpa, unsigned length)
{
    unsigned first = (unsigned)(gpa.v & PAGE_OFFSET_MASK) / PHYSMEM_CODE_LINE;
    unsigned last = (unsigned)((gpa.v & PAGE_OFFSET_MASK) + length - 1) / PHYSMEM_CODE_LINE;
    return ~UINT64_C(0) >> (63 - (last - first)) << first;
}

void physmem_mark_code(struct physmem *physmem, gpa_t gpa, unsigned length)
{
    uint64_t index = physmem_ram_index(physmem, gpa_ppn(gpa));
    if (index != PHYSMEM_NOT_RAM)
        __atomic_fetch_or(&physmem->code[index], code_bits(gpa, length), __ATOMIC_RELEASE);
}

void physmem_unmark_code(struct physmem *physmem, gpa_t gpa, unsigned length)
{
    uint64_t index = physmem_ram_index(physmem, gpa_ppn(gpa));
    if (index != PHYSMEM_NOT_RAM)
        __atomic_fetch_and(&physmem->code[index], ~code_bits(gpa, length), __ATOMIC_RELEASE);
}

bool physmem_has_code(const struct physmem *physmem, ppn_t ppn)
{
    uint64_t index = physmem_ram_index(physmem, ppn);
    return index != PHYSMEM_NOT_RAM &&
           (__atomic_load_n(&physmem->code[index], __ATOMIC_ACQUIRE) != 0 ||
            (physmem->watch && physmem->watch->stored));
}

void physmem_note_write(struct physmem *physmem, gpa_t gpa, unsigned length)
{
    uint64_t index = physmem_ram_index(physmem, gpa_ppn(gpa));
    if (index != PHYSMEM_NOT_RAM && physmem->ops.code_written &&
        __atomic_load_n(&physmem->code[index], __ATOMIC_ACQUIRE) & code_bits(gpa, length))
        physmem->ops.code_written(physmem->ops.opaque, gpa, length);
    if (physmem->watch && physmem->watch->stored)
        physmem->watch->stored(physmem->watch->opaque, gpa, length);
}

bool physmem_leaves_mark(struct physmem *physmem, gpa_t place, uint8_t bits)
{
    return physmem->watch && physmem->watch->entry_marked &&
           physmem->watch->entry_marked(physmem->watch->opaque, place, bits);
}

bool physmem_read(struct physmem *physmem, gpa_t gpa, void *to, size_t length)
{
    uint8_t *out = to;
    bool all_memory = true;
    while (length) {
        size_t offset = gpa.v & PAGE_OFFSET_MASK;
        size_t chunk = PAGE_BYTES - offset < length ? PAGE_BYTES - offset : length;
        const uint8_t *page = physmem_page_read(physmem, gpa_ppn(gpa));
        if (page)
            memcpy(out, page + offset, chunk);
        else
            memset(out, 0xff, chunk);
        all_memory &= page != NULL;
        out += chunk;
        gpa.v += chunk;
        length -= chunk;
    }
    return all_memory;
}

bool physmem_write(struct physmem *physmem, gpa_t gpa, const void *from, size_t length)
{
    const uint8_t *in = from;
    bool all_memory = true;
    while (length) {
        size_t offset = gpa.v & PAGE_OFFSET_MASK;
        size_t chunk = PAGE_BYTES - offset < length ? PAGE_BYTES - offset : length;
        uint8_t *page = physmem_page_write(physmem, gpa_ppn(gpa), NULL);
        if (page) {
            memcpy(page + offset, in, chunk);
            physmem_note_write(physmem, gpa, (unsigned)chunk);
            if (physmem->watch && physmem->watch->written)
                physmem->watch->written(physmem->watch->opaque, gpa, in, (unsigned)chunk);
        }
        all_memory &= page != NULL;
        in += chunk;
        gpa.v += chunk;
        length -= chunk;
    }
    return all_memory;
}
