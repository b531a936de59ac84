/* The code cache: what is mapped how, regions in turn, and hosts that refuse. */
#include "tests/rig.h"
#include "translate/translated.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

enum { CACHE_BYTES = 2 << 20 };

/* --- mappings */

struct mapping_counts {
    unsigned writable, executable, both, pages;
};

static struct mapping_counts count_mappings(void)
{
    struct mapping_counts counts = {0};
    char line[512];
    FILE *maps = fopen("/proc/self/maps", "r");
    cr_assert_not_null(maps);
    while (fgets(line, sizeof line, maps)) {
        unsigned long start, end;
        char rights[5];
        if (sscanf(line, "%lx-%lx %4s", &start, &end, rights) != 3)
            continue;
        counts.both += rights[1] == 'w' && rights[2] == 'x';
        if (strstr(line, "ring3-code")) {
            counts.writable += rights[1] == 'w';
            counts.executable += rights[2] == 'x';
            counts.pages += (unsigned)((end - start) >> 12);
        }
    }
    fclose(maps);
    return counts;
}

GUEST_CODE(counts_down, ".code64\nmov ecx, 100\n1: call 2f\n dec ecx\n jnz 1b\n hlt\n"
                        "2: add rax, 1\n ret\n");

static void run_guest(struct rig *rig)
{
    rig_load(rig, 0x20000, counts_down);
    rig_long(rig, 0x20000, 0);
    rig->cpu->regs[RAX] = 0;
    rig->cpu->halted = false;
    cr_assert_eq(cpu_run(rig->cpu), CPU_EXIT_HALTED);
    cr_assert_eq(rig->cpu->regs[RAX], 100);
}

Test(code_cache, no_page_is_writable_and_executable)
{
    struct rig rig;
    struct error error;
    const struct translate_options options = {.threshold = 1, .cache_bytes = CACHE_BYTES};
    rig_init(&rig);
    for (unsigned round = 0; round < 3; round++) {
        cr_assert_eq(translator_attach(rig.cpu, &options, &error), 0, "%s", error.text);
        run_guest(&rig);
        cr_assert_gt(rig.cpu->native.entered, 0);
        struct mapping_counts counts = count_mappings();
        cr_assert_eq(counts.both, 0);
        cr_assert_eq(counts.writable, 1);
        cr_assert_eq(counts.executable, 1);
        cr_assert_leq(counts.pages, 2 * CACHE_BYTES >> 12);
        translator_detach(rig.cpu);
        cr_assert_eq(count_mappings().pages, 0, "what is detached leaves no mapping");
    }
    rig_free(&rig);
}

Test(code_cache, what_is_written_is_what_is_executed)
{
    struct code_cache cache;
    struct error error;
    cr_assert_eq(code_cache_init(&cache, CACHE_BYTES, &error), 0);
    static const uint8_t code[] = {0x8d, 0x47, 0x07, 0xc3}; /* lea eax, [rdi+7]; ret */
    memcpy(cache.low, code, sizeof code);
    int (*function)(int);
    void *address = code_executable(&cache, cache.low);
    memcpy(&function, &address, sizeof function);
    cr_assert_eq(function(35), 42);
    cr_assert_eq(code_writable(&cache, address), cache.low);
    code_cache_free(&cache);
}

/* --- regions */

Test(code_cache, regions_are_filled_in_turn)
{
    struct code_cache cache;
    struct error error;
    cr_assert_eq(code_cache_init(&cache, CACHE_BYTES, &error), 0);
    const uint8_t *end = cache.writable + cache.bytes;
    cr_assert_leq(cache.bytes, CACHE_BYTES);
    for (unsigned turn = 0; turn < 3 * CODE_REGIONS; turn++) {
        cr_assert_eq(cache.region, turn % CODE_REGIONS);
        const uint8_t *low = cache.low, *high = cache.high;
        cr_assert_geq(low, cache.stubs_end);
        cr_assert_leq(high, end);
        cr_assert_eq((size_t)(high - low), cache.region_bytes);
        size_t taken = 0;
        for (unsigned n = 1;; n++) {
            uint8_t *data = code_cache_data(&cache, n % 100 + 1);
            if (!data)
                break;
            cr_assert_eq((uintptr_t)data & 15, 0);
            cr_assert(data >= cache.low && data + n % 100 + 1 <= high);
            for (unsigned i = 0; i < n % 100 + 1; i++)
                cr_assert_eq(data[i], 0, "data of an earlier turn");
            memset(data, 0xcc, n % 100 + 1);
            if (cache.high - cache.low > 64)
                code_cache_commit(&cache, cache.low + n % 40);
            taken++;
        }
        cr_assert_leq(cache.low, cache.high);
        cr_assert_gt(taken, cache.region_bytes / 256);
        memset((uint8_t *)(uintptr_t)low, 0xcc, (size_t)(high - low));
        cr_assert_eq(code_cache_next(&cache), (turn + 1) % CODE_REGIONS);
        code_cache_advance(&cache);
    }
    code_cache_free(&cache);
}

/* Rooms for rare code lie in the region too, apart from code and data. */
Test(code_cache, rare_code_lies_apart)
{
    struct code_cache cache;
    struct error error;
    cr_assert_eq(code_cache_init(&cache, CACHE_BYTES, &error), 0, "%s", error.text);
    const uint8_t *start = cache.low, *end = cache.high;
    const uint8_t *last = NULL;
    unsigned rooms = 0;
    while (code_cache_cold_room(&cache, CODE_COLD_BYTES_MAX)) {
        uint8_t *cold = cache.cold;
        cr_assert_geq(cache.cold_end - cold, CODE_COLD_BYTES_MAX);
        cr_assert(cache.cold_end <= end && cold >= cache.high && cache.high >= cache.low);
        memset(cold, 0xcc, CODE_COLD_BYTES_MAX);
        cr_assert(!last || last[CODE_COLD_BYTES_MAX - 1] == 0xcc, "what is written stays");
        last = cold;
        code_cache_commit_cold(&cache, cold + CODE_COLD_BYTES_MAX);
        cr_assert_eq(cache.cold, cold + CODE_COLD_BYTES_MAX);
        const uint8_t *data = code_cache_data(&cache, 32);
        cr_assert(!data || data < cold);
        rooms++;
    }
    cr_assert_gt(rooms, 2);
    cr_assert_eq(cache.low, start);
    code_cache_advance(&cache);
    cr_assert(code_cache_cold_room(&cache, CODE_COLD_BYTES_MAX), "a new region has room again");
    code_cache_free(&cache);
}

/* A cache of any size is good for the longest block. */
Test(code_cache, the_smallest_cache_still_translates)
{
    static const size_t sizes[] = {1, 4096, 1 << 20, 2 << 20, 3 << 20};
    for (unsigned i = 0; i < ARRAY_LENGTH(sizes); i++) {
        struct rig rig;
        struct error error;
        const struct translate_options options = {.threshold = 1, .cache_bytes = sizes[i]};
        rig_init(&rig);
        cr_assert_eq(translator_attach(rig.cpu, &options, &error), 0, "%s", error.text);
        run_guest(&rig);
        cr_assert_gt(translator_of(rig.cpu)->count.translated, 2, "%zu bytes", sizes[i]);
        translator_detach(rig.cpu);
        rig_free(&rig);
    }
}

/* --- links */

/* A translation that is dropped takes the jumps that lead to it along, and those it leads by. */
Test(code_cache, a_dead_target_is_unlinked)
{
    struct rig rig;
    struct error error;
    const struct translate_options options = {.threshold = 1};
    rig_init(&rig);
    cr_assert_eq(translator_attach(rig.cpu, &options, &error), 0);
    const struct translator *translator = translator_of(rig.cpu);
    run_guest(&rig);
    unsigned linked = 0;
    for (const struct translated *at = translator->regions[0]; at; at = at->region_next)
        for (unsigned i = 0; i < at->exit_count; i++) {
            const struct exit *exit = &at->exits[i];
            if (!exit->to)
                continue;
            linked++;
            const struct translated *to = code_at(&translator->cache, exit->to);
            bool listed = false;
            for (uint32_t other = to->incoming; other;
                 other = ((struct exit *)code_at(&translator->cache, other))->next)
                listed |= code_at(&translator->cache, other) == exit;
            cr_assert(listed);
            cr_assert_not(to->dead);
        }
    cr_assert_gt(linked, 1);
    block_kill_all(rig.cpu);
    for (const struct translated *at = translator->regions[0]; at; at = at->region_next) {
        cr_assert(at->dead);
        cr_assert_eq(at->incoming, 0);
        for (unsigned i = 0; i < at->exit_count; i++)
            cr_assert_eq(at->exits[i].to, 0);
    }
    run_guest(&rig);
    translator_detach(rig.cpu);
    rig_free(&rig);
}

/* --- a host that refuses */

#ifdef __SANITIZE_ADDRESS__
enum { LIMIT_BREAKS_THE_BUILD = true }; /* the sanitizer maps memory of its own */
#else
enum { LIMIT_BREAKS_THE_BUILD = false };
#endif

Test(code_cache, without_memory_the_interpreter_runs_on, .disabled = LIMIT_BREAKS_THE_BUILD)
{
    struct rig rig;
    struct error error = {""};
    const struct translate_options options = {.threshold = 1, .cache_bytes = 1 << 30};
    rig_init(&rig);
    struct rlimit before, none;
    cr_assert_eq(getrlimit(RLIMIT_AS, &before), 0);
    none = before;
    none.rlim_cur = 256 << 20;
    cr_assert_eq(setrlimit(RLIMIT_AS, &none), 0);
    int result = translator_attach(rig.cpu, &options, &error);
    cr_assert_eq(setrlimit(RLIMIT_AS, &before), 0);
    cr_assert_lt(result, 0);
    cr_assert_not_null(strstr(error.text, "-accel interp"), "%s", error.text);
    cr_assert_null(strchr(error.text, '\n'));
    cr_assert_null(rig.cpu->engine);
    cr_assert_eq(count_mappings().pages, 0);
    run_guest(&rig);
    cr_assert_eq(rig.cpu->native.entered, 0);
    translator_detach(rig.cpu); /* nothing to take away */
    rig_free(&rig);
}

/* From now on this process gets no executable memory. */
static void refuse_executable_memory(void)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mmap, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[2])),
        BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, PROT_EXEC, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EACCES),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const struct sock_fprog program = {ARRAY_LENGTH(filter), filter};
    cr_assert_eq(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
    cr_assert_eq(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0), 0);
}

Test(code_cache, without_executable_memory_the_interpreter_runs_on)
{
    struct rig rig;
    struct error error = {""};
    const struct translate_options options = {.threshold = 1};
    rig_init(&rig);
    refuse_executable_memory();
    cr_assert_eq(translator_attach(rig.cpu, &options, &error), -EACCES);
    cr_assert_not_null(strstr(error.text, "-accel interp"), "%s", error.text);
    cr_assert_null(rig.cpu->engine);
    cr_assert_eq(count_mappings().pages, 0);
    run_guest(&rig);
    cr_assert_eq(rig.cpu->native.entered, 0);
    rig_free(&rig);
}
