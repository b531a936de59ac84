/* "info mem" without an address: the guest's page tables as runs of equal rights; "info tlb": what
 * the shadow of the current address space holds.
 *
 * LIMIT: tables that point to each other describe more than anyone can print: after TABLES_MAX
 * tables the list ends.
 */
#include "ui/monitor_priv.h"

#include <inttypes.h>

enum { TABLES_MAX = 16384, LEVELS_MAX = 4 };

enum { ENTRY_PRESENT = 1, ENTRY_WRITABLE = 2, ENTRY_USER = 4, ENTRY_LARGE = 0x80 };
#define ENTRY_NX      BIT(63)
#define ENTRY_ADDRESS UINT64_C(0x000ffffffffff000)

/* A paging mode: the shift of each level's entries, the widest first. */
struct paging {
    unsigned levels, entry_bytes;
    uint8_t shifts[LEVELS_MAX];
    uint8_t large_from; /* the first level at which an entry may map a page itself */
};

static const struct paging paging_2_level = {2, 4, {22, 12}, 0};
static const struct paging paging_pae = {3, 8, {30, 21, 12}, 1};
static const struct paging paging_4_level = {4, 8, {39, 30, 21, 12}, 1};

struct map_walk {
    struct physmem *physmem;
    const struct mmu_registers *registers;
    const struct paging *paging;
    FILE *out;
    unsigned tables;
    bool cut_off;
    /* The run that is being gathered. */
    uint64_t start, end;
    uint64_t rights; /* ENTRY_USER, ENTRY_WRITABLE, ENTRY_NX */
    bool open;
};

static void close_run(struct map_walk *walk)
{
    if (walk->open)
        fprintf(walk->out, "%016" PRIx64 "-%016" PRIx64 " %12" PRIu64 " KiB  %c%c%c%c\n",
                walk->start, walk->end - 1, (walk->end - walk->start) >> 10,
                walk->rights & ENTRY_USER ? 'u' : 's', 'r',
                walk->rights & ENTRY_WRITABLE ? 'w' : '-', walk->rights & ENTRY_NX ? '-' : 'x');
    walk->open = false;
}

static void add_page(struct map_walk *walk, uint64_t start, uint64_t bytes, uint64_t rights)
{
    if (walk->open && walk->end == start && walk->rights == rights) {
        walk->end += bytes;
        return;
    }
    close_run(walk);
    walk->start = start;
    walk->end = start + bytes;
    walk->rights = rights;
    walk->open = true;
}

static uint64_t combine(uint64_t above, uint64_t entry)
{
    uint64_t both = ENTRY_USER | ENTRY_WRITABLE;

    return (above & entry & both) | ((above | entry) & ENTRY_NX);
}

static bool read_entry(struct map_walk *walk, unsigned level, uint64_t table, unsigned index,
                       uint64_t *entry)
{
    *entry = 0;
    if (walk->paging == &paging_pae && level == 0) {
        /* SDM: a PDPTE has no rights of its own. */
        *entry = walk->registers->pdpte[index] | ENTRY_USER | ENTRY_WRITABLE;
        return true;
    }
    return physmem_read(walk->physmem, GPA(table + index * walk->paging->entry_bytes), entry,
                        walk->paging->entry_bytes);
}

static void walk_table(struct map_walk *walk, unsigned level, uint64_t table, uint64_t base,
                       uint64_t rights)
{
    const struct paging *paging = walk->paging;
    unsigned shift = paging->shifts[level];
    unsigned count = paging == &paging_pae && level == 0 ? 4 : 4096 / paging->entry_bytes;

    if (walk->cut_off || ++walk->tables > TABLES_MAX) {
        walk->cut_off = true;
        return;
    }
    for (unsigned i = 0; i < count; i++) {
        uint64_t entry, start = base + ((uint64_t)i << shift);
        if (!read_entry(walk, level, table, i, &entry) || !(entry & ENTRY_PRESENT))
            continue;
        if (paging == &paging_4_level)
            start = bits_sign_extend(start, 48);
        uint64_t all = combine(rights, entry);
        bool is_large = level >= paging->large_from && entry & ENTRY_LARGE &&
                        !(paging == &paging_2_level && !(walk->registers->cr4 & CR4_PSE));
        if (level + 1 == paging->levels || is_large)
            add_page(walk, start, UINT64_C(1) << shift, all);
        else
            walk_table(walk, level + 1, entry & ENTRY_ADDRESS, start, all);
    }
}

static void describe_address(struct monitor_call *call)
{
    const char *at = call->arguments;
    uint64_t address;

    if (monitor_value(call, &at, &address))
        mmu_describe(&machine_cpu(call->monitor->machine, 0)->mmu, GVA(address), call->out);
}

void monitor_info_mem(struct monitor_call *call)
{
    struct cpu *cpu = machine_cpu(call->monitor->machine, 0);
    const struct mmu_registers *registers = &cpu->mmu.registers;
    struct map_walk walk = {.physmem = machine_physmem(call->monitor->machine),
                            .registers = registers,
                            .out = call->out};

    if (*call->arguments) {
        describe_address(call);
        return;
    }
    if (!(registers->cr0 & CR0_PG)) {
        fprintf(call->out, "paging is off\n");
        return;
    }
    walk.paging = !(registers->cr4 & CR4_PAE)  ? &paging_2_level
                  : registers->efer & EFER_LMA ? &paging_4_level
                                               : &paging_pae;
    walk_table(&walk, 0, registers->cr3 & ENTRY_ADDRESS, 0, ENTRY_USER | ENTRY_WRITABLE);
    close_run(&walk);
    if (walk.cut_off)
        fprintf(call->out, "more than %d tables; the rest is left out\n", TABLES_MAX);
}

void monitor_info_tlb(struct monitor_call *call)
{
    static const char *const names[SHADOW_VIEWS] = {"user", "supervisor",
                                                    "supervisor, SMAP lifted"};
    struct mmu *mmu = &machine_cpu(call->monitor->machine, 0)->mmu;

    for (unsigned id = 0; id < SHADOW_VIEWS; id++) {
        const struct shadow_view *view = mmu->space ? mmu->space->views[id] : NULL;
        if (!view)
            continue;
        fprintf(call->out, "%s:\n", names[id]);
        for (unsigned i = 0; i < SHADOW_ENTRIES; i++) {
            const struct shadow_info *info = &view->info[i];
            const struct shadow_entry *entry = &view->entries[i];
            if (info->page == SHADOW_NO)
                continue;
            mpn_t mpn = physmem_mpn(mmu->physmem, PPN(info->ppn));
            fprintf(call->out, "  %016" PRIx64 "  PPN %09" PRIx64 "  ", info->page, info->ppn);
            if (mpn.v == MPN_NONE.v)
                fprintf(call->out, "no MPN        ");
            else
                fprintf(call->out, "MPN %08" PRIx32 "  ", mpn.v);
            fprintf(call->out, "%c%c%c%s\n", entry->read_tag == info->page ? 'r' : '-',
                    entry->write_tag == info->page ? 'w' : '-',
                    info->execute_tag == info->page ? 'x' : '-', info->global ? "  global" : "");
        }
    }
}
