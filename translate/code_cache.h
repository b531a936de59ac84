/* The memory that translated code lives in.
 *
 * One memfd, mapped twice: writable, and executable (INV-1).  It is cut into regions that are
 * filled one after the other; when all are full, the oldest is emptied and filled again, so that
 * what is thrown away is a small part, and the code cache never grows beyond its size.  In a region
 * code grows upwards and data (translations, exits) downwards: data is reached from code by [rip +
 * disp], and writing data never touches a line that holds code.  Code that runs rarely lies apart,
 * in rooms taken from the data's side, so that what runs often is close together.
 *
 * A place in the code cache is also named by its offset, in 32 bits; 0 is none.
 *
 * INV-1: no mapping is writable and executable at once.
 */
#ifndef TRANSLATE_CODE_CACHE_H
#define TRANSLATE_CODE_CACHE_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { CODE_REGIONS = 16, CODE_STUBS_BYTES = 64 << 10, CODE_CACHE_DEFAULT_MIB = 128 };
/* WHY: a region must hold the longest block. */
enum { CODE_CACHE_BYTES_MIN = 2 << 20 };
enum { CODE_COLD_BYTES_MAX = 16 << 10 };

struct code_cache {
    uint8_t *writable;
    ptrdiff_t to_code; /* executable address = writable address + to_code */
    size_t bytes, region_bytes;
    unsigned region;            /* the one being filled */
    uint8_t *low, *high;        /* its free part, writable addresses */
    uint8_t *cold, *cold_end;   /* the free part of its room for rare code */
    uint8_t *stubs, *stubs_end; /* lives as long as the cache */
    struct {
        uint64_t evictions;
    } count;
};

/* `bytes` in all (up to 1 GiB, rounded down to whole regions; less than the least is that).
 * Negative errno and a line when the host refuses executable memory. */
int code_cache_init(struct code_cache *cache, size_t bytes, struct error *error);
void code_cache_free(struct code_cache *cache);

/* Room for data in the region being filled, zeroed, aligned to 16; NULL when it is full. */
void *code_cache_data(struct code_cache *cache, size_t bytes);
/* The code between low and `end` has been written and stays. */
void code_cache_commit(struct code_cache *cache, uint8_t *end);
/* Makes at least `bytes` (up to CODE_COLD_BYTES_MAX) free from `cold` on, up to cold_end; false
 * when the region is full. */
bool code_cache_cold_room(struct code_cache *cache, size_t bytes);
/* The code between cold and `end` has been written and stays. */
void code_cache_commit_cold(struct code_cache *cache, uint8_t *end);
/* Goes on to the next region, which the caller has to have emptied: see code_cache_next(). */
void code_cache_advance(struct code_cache *cache);
static inline unsigned code_cache_next(const struct code_cache *cache)
{
    return (cache->region + 1) % CODE_REGIONS;
}

/* Writes a jump to `target` at `place`, both executable addresses. */
void code_cache_put_jump(struct code_cache *cache, const uint8_t *place, const uint8_t *target);

static inline uint32_t code_offset(const struct code_cache *cache, const void *writable)
{
    return (uint32_t)((const uint8_t *)writable - cache->writable);
}
/* Writable. */
static inline void *code_at(const struct code_cache *cache, uint32_t offset)
{
    return cache->writable + offset;
}

/* Between the two mappings. */
static inline void *code_executable(const struct code_cache *cache, const void *writable)
{
    return (uint8_t *)writable + cache->to_code;
}
static inline void *code_writable(const struct code_cache *cache, const void *executable)
{
    return (uint8_t *)executable - cache->to_code;
}

#endif
