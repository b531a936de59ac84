#include "translate/code_cache.h"

#include "base/bits.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef MADV_COLLAPSE /* Linux 6.1's, which older C libraries do not name */
#define MADV_COLLAPSE 25
#endif

enum { DATA_ALIGN = 16, COLD_ROOM_BYTES = 256 << 10, HUGE_PAGE_BYTES = 2 << 20 };

/* The region's memory comes in huge pages, if the host has any to give.
 * WHY: a large program's hot code is more pages than the host's instruction TLB holds. */
static void region_huge(const struct code_cache *cache, const uint8_t *region)
{
    const size_t mask = HUGE_PAGE_BYTES - 1;
    const size_t first = (size_t)(region - cache->writable) & ~mask;
    const size_t end = (size_t)(region - cache->writable) + cache->region_bytes;
    for (size_t at = first; at < end && at + HUGE_PAGE_BYTES <= cache->bytes;
         at += HUGE_PAGE_BYTES) {
        volatile uint8_t *code = code_executable(cache, cache->writable + at);
        (void)*code; /* WHY: the host wants to find something to collapse */
        (void)madvise((void *)code, HUGE_PAGE_BYTES, MADV_COLLAPSE);
    }
}

static void enter_region(struct code_cache *cache, unsigned region)
{
    cache->region = region;
    cache->low = cache->writable + CODE_STUBS_BYTES + region * cache->region_bytes;
    cache->high = cache->low + cache->region_bytes;
    cache->cold = cache->cold_end = NULL;
    region_huge(cache, cache->low);
}

/* `bytes` of the file at an address that huge pages can be put at, or MAP_FAILED. */
static void *map_aligned(int fd, size_t bytes, int rights)
{
    const uintptr_t mask = HUGE_PAGE_BYTES - 1;
    uint8_t *room = mmap(NULL, bytes + HUGE_PAGE_BYTES, PROT_NONE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (room == MAP_FAILED)
        return MAP_FAILED;
    uint8_t *at = room + (-(uintptr_t)room & mask);
    const size_t before = (size_t)(at - room);
    void *mapped = mmap(at, bytes, rights, MAP_SHARED | MAP_FIXED, fd, 0);
    const int reason = errno;
    if (before)
        munmap(room, before);
    munmap(at + (mapped == MAP_FAILED ? 0 : bytes),
           HUGE_PAGE_BYTES - before + (mapped == MAP_FAILED ? bytes : 0));
    errno = reason;
    return mapped;
}

int code_cache_init(struct code_cache *cache, size_t bytes, struct error *error)
{
    memset(cache, 0, sizeof *cache);
    if (bytes < CODE_CACHE_BYTES_MIN)
        bytes = CODE_CACHE_BYTES_MIN;
    cache->region_bytes = (bytes - CODE_STUBS_BYTES) / CODE_REGIONS & ~(size_t)4095;
    cache->bytes = CODE_STUBS_BYTES + cache->region_bytes * CODE_REGIONS;
    int fd = memfd_create("ring3-code", MFD_CLOEXEC);
    if (fd < 0 || ftruncate(fd, (off_t)cache->bytes) < 0) {
        int reason = errno;
        if (fd >= 0)
            close(fd);
        return error_set(error, reason, "code cache: no memory for %zu MiB; use -accel interp",
                         cache->bytes >> 20);
    }
    void *writable = map_aligned(fd, cache->bytes, PROT_READ | PROT_WRITE);
    void *code = map_aligned(fd, cache->bytes, PROT_READ | PROT_EXEC);
    int reason = errno;
    close(fd);
    if (writable == MAP_FAILED || code == MAP_FAILED) {
        if (writable != MAP_FAILED)
            munmap(writable, cache->bytes);
        if (code != MAP_FAILED)
            munmap(code, cache->bytes);
        return error_set(error, reason,
                         "code cache: this host refuses executable memory; use -accel interp");
    }
    cache->writable = writable;
    cache->to_code = (uint8_t *)code - (uint8_t *)writable;
    cache->stubs = cache->writable;
    cache->stubs_end = cache->writable + CODE_STUBS_BYTES;
    enter_region(cache, 0);
    return 0;
}

void code_cache_free(struct code_cache *cache)
{
    if (!cache->writable)
        return;
    munmap(cache->writable + cache->to_code, cache->bytes);
    munmap(cache->writable, cache->bytes);
    memset(cache, 0, sizeof *cache);
}

void *code_cache_data(struct code_cache *cache, size_t bytes)
{
    size_t rounded = (bytes + DATA_ALIGN - 1) & ~(size_t)(DATA_ALIGN - 1);
    if ((size_t)(cache->high - cache->low) < rounded)
        return NULL;
    cache->high -= rounded;
    return memset(cache->high, 0, rounded);
}

/* Unmaps the pages of the writable mapping until they are written again; their contents stay.
 * WHY: a process's resident set counts the pages of both mappings. */
static void rest_writable(const struct code_cache *cache)
{
    (void)madvise(cache->writable, cache->bytes, MADV_DONTNEED);
}

bool code_cache_cold_room(struct code_cache *cache, size_t bytes)
{
    if ((size_t)(cache->cold_end - cache->cold) >= bytes)
        return true;
    const size_t most = cache->region_bytes / 4;
    const size_t room = most < COLD_ROOM_BYTES ? most : COLD_ROOM_BYTES;
    if ((size_t)(cache->high - cache->low) < room)
        return false;
    cache->cold_end = cache->high;
    cache->high -= room;
    cache->cold = cache->high;
    rest_writable(cache);
    return true;
}

void code_cache_commit_cold(struct code_cache *cache, uint8_t *end)
{
    cache->cold = end;
}

void code_cache_commit(struct code_cache *cache, uint8_t *end)
{
    cache->low = end;
}

void code_cache_put_jump(struct code_cache *cache, const uint8_t *place, const uint8_t *target)
{
    uint8_t jump[5] = {0xe9};
    int32_t distance = (int32_t)(target - (place + sizeof jump));
    memcpy(jump + 1, &distance, sizeof distance);
    memcpy(code_writable(cache, place), jump, sizeof jump);
}

void code_cache_advance(struct code_cache *cache)
{
    enter_region(cache, code_cache_next(cache));
}
