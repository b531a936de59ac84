#include "translate/report.h"

#include "translate/translating.h"

#include <inttypes.h>

static const char *const mode_names[CALLOUT_MODES] = {
    [CALLOUT_REAL] = "real",           [CALLOUT_V86] = "v86",
    [CALLOUT_PROTECTED_16] = "prot16", [CALLOUT_PROTECTED_32] = "prot32",
    [CALLOUT_COMPAT] = "compat",       [CALLOUT_64] = "64",
};

static enum callout_mode callout_mode(uint32_t mode)
{
    const unsigned code = mode & MODE_CODE;
    if (code == CODE_64)
        return CALLOUT_64;
    if (mode & MODE_COMPAT)
        return CALLOUT_COMPAT;
    if (mode & MODE_V86)
        return CALLOUT_V86;
    if (!(mode & MODE_PROTECTED))
        return CALLOUT_REAL;
    return code == CODE_32 ? CALLOUT_PROTECTED_32 : CALLOUT_PROTECTED_16;
}

void report_callouts(const struct translating *t)
{
    const struct block *block = t->block;
    const enum callout_mode mode = callout_mode(block->mode);
    for (unsigned i = 0; i < block->count; i++)
        if (t->marks[i] == MARK_CALLOUT)
            t->translator->sites[block->insns[i].row][mode]++;
}

static void describe_row(const struct cpu *cpu, const uint32_t *sites, unsigned row, FILE *out)
{
    uint64_t total = 0;
    for (unsigned mode = 0; mode < CALLOUT_MODES; mode++)
        total += sites[mode];
    if (!total)
        return;
    fprintf(out, "%-18s %-10s", opcode_rows[row].id, opcode_rows[row].mnemonic);
    for (unsigned mode = 0; mode < CALLOUT_MODES; mode++)
        fprintf(out, " %7" PRIu32, sites[mode]);
    fprintf(out, " %8" PRIu64 " %14" PRIu64 "\n", total, cpu->callouts[row]);
}

void translator_describe_callouts(const struct cpu *cpu, FILE *out)
{
    const struct translator *translator = translator_of(cpu);
    if (!translator) {
        fprintf(out, "callouts: none, the interpreter runs the guest\n");
        return;
    }
    fprintf(out, "callouts: sites rewritten, by mode and in all; how often they ran\n%-18s %-10s",
            "row", "");
    for (unsigned mode = 0; mode < CALLOUT_MODES; mode++)
        fprintf(out, " %7s", mode_names[mode]);
    fprintf(out, " %8s %14s\n", "sites", "runs");
    for (unsigned row = 0; row < OPCODE_COUNT; row++)
        describe_row(cpu, translator->sites[row], row, out);
}

/* Bytes of the code cache that hold translations, or did until their blocks were killed. */
static uint64_t cache_used(const struct translator *translator)
{
    const struct code_cache *cache = &translator->cache;
    uint64_t used = cache->region_bytes - (uint64_t)(cache->high - cache->low);
    for (unsigned region = 0; region < CODE_REGIONS; region++)
        if (region != cache->region && translator->regions[region])
            used += cache->region_bytes;
    return used;
}

void translator_describe(const struct cpu *cpu, FILE *out)
{
    const struct translator *translator = translator_of(cpu);
    if (!translator)
        return;
    const struct {
        const char *name;
        uint64_t value;
    } rows[] = {
#define COUNTER_ROW(field, name) {name, translator->count.field},
        TRANSLATOR_COUNTERS(COUNTER_ROW)
#undef COUNTER_ROW
            {"entered translated code", cpu->native.entered},
        {"code cache evictions", translator->cache.count.evictions},
        {"code cache bytes used", cache_used(translator)},
        {"code cache bytes", translator->cache.bytes},
        {"pages cooled", translator->cooling.cooled},
    };
    for (unsigned i = 0; i < ARRAY_LENGTH(rows); i++)
        fprintf(out, "%-26s %20" PRIu64 "\n", rows[i].name, rows[i].value);
    windows_describe(&cpu->mmu, out);
}
