/* The guest's "physical" address space: RAM behind the pmap (PPN→MPN), ROM, and device registers.
 *
 * RAM lies at 0 up to `ram_below_4g` and from 4 GiB on.  Pages of the first MiB can be switched one
 * by one between RAM and bus, for reads and for writes apart (the PAM and SMRAM registers).
 *
 * INV-1: a PPN of RAM that was never written maps FRAMES_ZERO; its first write takes a frame.
 * INV-2: whoever changes what a PPN maps, or its rights, calls `page_changed` before it returns.
 * INV-3: a write to a page that holds decoded code calls `code_written` before it returns.
 */
#ifndef SOFTMMU_PHYSMEM_H
#define SOFTMMU_PHYSMEM_H

#include "base/bus.h"
#include "softmmu/frames.h"

struct physmem;

/* Called upward, set at wiring; any may be NULL. */
struct physmem_ops {
    /* Bytes [gpa, gpa + length) of one page that holds code are being written. */
    void (*code_written)(void *opaque, gpa_t gpa, unsigned length);
    /* The PPN→MPN mapping or the rights of `count` pages from `first` changed. */
    void (*page_changed)(void *opaque, ppn_t first, uint64_t count);
    void *opaque;
};

/* For one who keeps a second memory alike (machine/lockstep.h); any may be NULL. */
struct physmem_watch {
    /* physmem_write() has put `length` bytes, within one page of RAM, at `gpa`. */
    void (*written)(void *opaque, gpa_t gpa, const void *from, unsigned length);
    /* physmem_set_low() was called. */
    void (*low_set)(void *opaque, uint64_t base, uint64_t length, uint8_t attributes);
    /* A guest walk sets `bits` (A, D) in the byte at `place`; true: it is to leave them as they
     * are. */
    bool (*entry_marked)(void *opaque, gpa_t place, uint8_t bits);
    /* Bytes [gpa, gpa + length) of one page are being written.  With it set no page is written
     * unannounced: it counts as one that holds code. */
    void (*stored)(void *opaque, gpa_t gpa, unsigned length);
    void *opaque;
};

struct physmem_rom {
    uint64_t base, length; /* bytes, page-aligned */
    const uint8_t *bytes;
};

enum { PHYSMEM_ROMS_MAX = 8 };

struct physmem {
    struct frames *frames;
    pthread_mutex_t lock; /* the first write to a page, by vCPUs and by DMA */
    uint64_t ram_bytes, ram_below_4g;
    mpn_t *pmap;      /* by RAM page index */
    uint64_t *code;   /* by RAM page index: one bit for each line that holds decoded code */
    struct bus *bus;  /* device registers */
    uint8_t low[256]; /* PHYSMEM_READ_RAM | PHYSMEM_WRITE_RAM for each page of the first MiB */
    struct physmem_rom roms[PHYSMEM_ROMS_MAX];
    unsigned rom_count;
    struct physmem_ops ops;
    const struct physmem_watch *watch; /* NULL: none */
};

enum { PHYSMEM_CODE_LINE = 64 }; /* bytes that are marked as one; a page has 64 of them */
enum { PHYSMEM_READ_RAM = 1, PHYSMEM_WRITE_RAM = 2 };

#define PHYSMEM_NOT_RAM UINT64_MAX

/* `ram_bytes` of RAM (a multiple of 4096) over `frames`; the bus answers for what is neither RAM
 * nor ROM.  Negative errno on failure. */
int physmem_init(struct physmem *physmem, struct frames *frames, struct bus *bus,
                 uint64_t ram_bytes, struct error *error);
void physmem_free(struct physmem *physmem);
/* Maps ROM at `base`; `bytes` stay the caller's.  Later ROMs win over earlier ones and over RAM. */
void physmem_add_rom(struct physmem *physmem, uint64_t base, uint64_t length, const uint8_t *bytes);
/* Switches the pages of [base, base + length) below 1 MiB between RAM and bus/ROM. */
void physmem_set_low(struct physmem *physmem, uint64_t base, uint64_t length, uint8_t attributes);

/* Index of the RAM page at `ppn`, or PHYSMEM_NOT_RAM. */
static inline uint64_t physmem_ram_index(const struct physmem *physmem, ppn_t ppn)
{
    uint64_t below = physmem->ram_below_4g >> PAGE_SHIFT;
    if (ppn.v < below)
        return ppn.v;
    uint64_t high = ppn.v - (UINT64_C(1) << 20);
    return ppn.v >= (UINT64_C(1) << 20) && high < (physmem->ram_bytes >> PAGE_SHIFT) - below
               ? high + below
               : PHYSMEM_NOT_RAM;
}

/* The bytes of the page for reading (RAM or ROM), or NULL when a device answers there. */
const uint8_t *physmem_page_read(struct physmem *physmem, ppn_t ppn);
/* The bytes of the RAM page for writing, its own frame taken if need be; NULL when the page is not
 * writable RAM, or machine memory is spent (then *exhausted, if given, is set).
 * The caller answers for INV-3. */
uint8_t *physmem_page_write(struct physmem *physmem, ppn_t ppn, bool *exhausted);
/* The MPN behind a RAM page, or MPN_NONE. */
mpn_t physmem_mpn(const struct physmem *physmem, ppn_t ppn);

/* Marks the lines of [gpa, gpa+length), within one page, as holding decoded code / none. */
void physmem_mark_code(struct physmem *physmem, gpa_t gpa, unsigned length);
void physmem_unmark_code(struct physmem *physmem, gpa_t gpa, unsigned length);
/* Whether any byte of the page holds decoded code, or its writes are watched. */
bool physmem_has_code(const struct physmem *physmem, ppn_t ppn);
/* Calls code_written if [gpa, gpa+length), within one page, overlaps decoded code; and the
 * watch. */
void physmem_note_write(struct physmem *physmem, gpa_t gpa, unsigned length);

/* Does a guest walk set A and D bits at `place` itself, or is that left to the watch? */
bool physmem_leaves_mark(struct physmem *physmem, gpa_t place, uint8_t bits);

/* Device and loader access to RAM (and reads of ROM), any length, any alignment.  What is not RAM
 * reads as all ones and swallows writes: DMA never reaches device registers.  Returns true when all
 * of it was memory. */
bool physmem_read(struct physmem *physmem, gpa_t gpa, void *to, size_t length);
bool physmem_write(struct physmem *physmem, gpa_t gpa, const void *from, size_t length);

#endif
