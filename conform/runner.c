/* Captured cases in real mode.
 *
 * RAM is cleared between cases by what the shadow MMU filled: without paging and with no more RAM
 * than it has slots, each page that the case touched has an entry that is still there.
 */
#include "conform/runner.h"
#include "conform/instruction.h"

#include "cpu/decode.h"
#include "cpu/exec.h"
#include "cpu/system.h"
#include "cpu/x87.h"

#include <errno.h>
#include <stdlib.h>

_Static_assert(BARE_RAM_BYTES >> PAGE_SHIFT <= SHADOW_ENTRIES, "no two pages share a slot");

enum {
    IVT_LIMIT = 0x3ff,
    TRAP_ADDRESS = 0xffff0, /* FFFF:0000 */
    HLT_OPCODE = 0xf4,
};

struct runner {
    const struct processor *processor;
    struct bare bare;
    uint64_t flushes; /* of the shadow, up to the present case */
};

/* --- memory */

/* What RAM holds where a case says nothing: INV-1. */
static uint8_t background(uint32_t address)
{
    if (address <= IVT_LIMIT)
        return address & 2 ? 0xff : 0;
    return address == TRAP_ADDRESS ? HLT_OPCODE : 0;
}

static void background_set(struct runner *runner)
{
    for (uint32_t address = 0; address <= IVT_LIMIT; address++)
        *bare_byte(&runner->bare, address) = background(address);
    *bare_byte(&runner->bare, TRAP_ADDRESS) = HLT_OPCODE;
}

/* --- life */

struct runner *runner_new(const struct processor *processor, enum engine engine,
                          struct error *error)
{
    struct runner *runner = calloc(1, sizeof *runner);

    if (!runner) {
        error_set(error, ENOMEM, "no memory left for a processor");
        return NULL;
    }
    runner->processor = processor;
    if (bare_init(&runner->bare, processor->model, engine, WINDOWS_AUTO, error)) {
        free(runner);
        return NULL;
    }
    if (processor->halts && bare_watch(&runner->bare)) {
        error_set(error, ENOMEM, "no memory left for a processor");
        runner_free(runner);
        return NULL;
    }
    background_set(runner);
    mmu_set_a20(&runner->bare.cpu->mmu, !processor->wraps);
    return runner;
}

void runner_free(struct runner *runner)
{
    bare_free(&runner->bare);
    free(runner);
}

/* --- the case's memory */

static void byte_set(struct runner *runner, struct vector_byte byte)
{
    *bare_byte(&runner->bare, byte.address) = byte.value;
    bare_note(&runner->bare, byte.address, 1);
}

static void memory_set(struct runner *runner, const struct vector_memory *memory)
{
    for (uint32_t i = 0; i < memory->count; i++)
        byte_set(runner, vector_byte(memory, i));
}

static int memory_check(const struct vector_memory *memory, const struct test_case *test,
                        struct error *error)
{
    for (uint32_t i = 0; i < memory->count; i++)
        if (vector_byte(memory, i).address >= BARE_RAM_BYTES)
            return error_set(error, EINVAL,
                             "case %u: memory at %x is beyond the %u MiB that a "
                             "case has",
                             test->index, vector_byte(memory, i).address, BARE_RAM_BYTES >> 20);
    return 0;
}

static void wrong_byte(struct outcome *outcome, uint32_t address, uint8_t expected, uint8_t got)
{
    if (outcome->wrong_bytes < OUTCOME_BYTES_MAX)
        outcome->bytes[outcome->wrong_bytes] =
            (struct outcome_byte){.address = address, .expected = expected, .got = got};
    outcome->wrong_bytes++;
}

static uint32_t defined_bits(const struct test_case *test, unsigned n)
{
    return test->masks.present >> n & 1 ? test->masks.value[n] : UINT32_MAX;
}

/* The defined bits of a byte: the flags that an exception pushed are the flags. */
static uint8_t byte_mask(const struct test_case *test, const struct outcome *outcome,
                         uint32_t address)
{
    uint32_t offset = address - outcome_flags_address(outcome);

    if (!test->has_exception || offset > 1)
        return 0xff;
    return (uint8_t)(defined_bits(test, VR_EFLAGS) >> 8 * offset);
}

static void byte_clear(struct runner *runner, uint32_t address, uint8_t *at)
{
    *at = background(address);
    bare_note(&runner->bare, address, 1);
}

static bool is_named(const struct vector_memory *memory, uint32_t address)
{
    for (uint32_t i = 0; i < memory->count; i++)
        if (vector_byte(memory, i).address == address)
            return true;
    return false;
}

/* Compares and clears the bytes that the case names: those that it expects, then those that it
 * began with and says nothing more of, which shall be as they were. */
static void named_memory_compare(struct runner *runner, const struct test_case *test,
                                 struct outcome *outcome)
{
    const struct vector_memory *initial = &test->initial.memory, *final = &test->final.memory;

    for (uint32_t i = 0; i < final->count; i++) {
        struct vector_byte byte = vector_byte(final, i);
        uint8_t *at = bare_byte(&runner->bare, byte.address);
        if ((*at ^ byte.value) & byte_mask(test, outcome, byte.address))
            wrong_byte(outcome, byte.address, byte.value, *at);
        byte_clear(runner, byte.address, at);
    }
    for (uint32_t i = 0; i < initial->count; i++) {
        struct vector_byte byte = vector_byte(initial, i);
        uint8_t *at = bare_byte(&runner->bare, byte.address);
        if (*at != byte.value && !is_named(final, byte.address))
            wrong_byte(outcome, byte.address, byte.value, *at);
        byte_clear(runner, byte.address, at);
    }
}

static bool page_is_zero(const uint8_t *page)
{
    uint64_t any = 0;

    for (unsigned i = 0; i < PAGE_BYTES; i += 8) {
        uint64_t word;
        memcpy(&word, page + i, 8);
        any |= word;
    }
    return !any;
}

/* Whatever differs from the background now was written by mistake. */
static void page_compare(struct runner *runner, uint64_t first, struct outcome *outcome)
{
    if (first >= BARE_RAM_BYTES || !bare_page_is_used(&runner->bare, (uint32_t)first))
        return;
    uint8_t *page = bare_byte(&runner->bare, (uint32_t)first);
    if (likely(page_is_zero(page)))
        return;
    for (unsigned i = 0; i < PAGE_BYTES; i++) {
        uint32_t address = (uint32_t)first + i;
        if (page[i] == background(address))
            continue;
        wrong_byte(outcome, address, background(address), page[i]);
        byte_clear(runner, address, page + i);
    }
}

/* May the case have touched pages that the shadow does not remember?  It has left real mode,
 * flushed, dropped an entry, or watched pages, which have none. */
static bool has_lost_track(const struct runner *runner, const struct shadow_view *view)
{
    const struct cpu *cpu = runner->bare.cpu;

    if (cpu->mmu.registers.cr0 & (CR0_PE | CR0_PG) || cpu->mmu.count.flushes != runner->flushes ||
        cpu->dr[7] & DR7_ENABLES || view->global_count)
        return true;
    for (unsigned i = 0; i < view->local_count; i++)
        if (view->info[view->local[i]].page == SHADOW_NO)
            return true;
    return false;
}

static void other_memory_compare(struct runner *runner, struct outcome *outcome)
{
    struct mmu *mmu = &runner->bare.cpu->mmu;
    struct shadow_view *view = mmu_view(mmu, cpu_view_id(runner->bare.cpu));

    if (unlikely(has_lost_track(runner, view)))
        for (uint64_t page = 0; page < BARE_RAM_BYTES; page += PAGE_BYTES)
            page_compare(runner, page, outcome);
    else
        for (unsigned i = 0; i < view->local_count; i++)
            page_compare(runner, view->info[view->local[i]].page & mmu->a20_mask, outcome);
    mmu_flush_all(mmu);
}

/* --- registers */

static const uint8_t general[][2] = {
    {VR_EAX, RAX}, {VR_EBX, RBX}, {VR_ECX, RCX}, {VR_EDX, RDX},
    {VR_ESI, RSI}, {VR_EDI, RDI}, {VR_EBP, RBP}, {VR_ESP, RSP},
};
static const uint8_t segments[][2] = {
    {VR_CS, CS}, {VR_DS, DS}, {VR_ES, ES}, {VR_FS, FS}, {VR_GS, GS}, {VR_SS, SS},
};

static void registers_set(struct runner *runner, const struct vector_registers *registers)
{
    struct cpu *cpu = runner->bare.cpu;

    if (cpu->mmu.registers.cr0 & (CR0_PE | CR0_PG) || cpu->mmu.registers.cr4)
        cpu_reset(cpu, false);
    uint64_t cr0 = registers->value[VR_CR0] & (CR0_MP | CR0_EM | CR0_TS);
    if ((cpu->mmu.registers.cr0 & (CR0_MP | CR0_EM | CR0_TS)) != cr0)
        mmu_set_cr0(&cpu->mmu, (cpu->mmu.registers.cr0 & ~(CR0_MP | CR0_EM | CR0_TS)) | cr0);
    for (unsigned i = 0; i < ARRAY_LENGTH(general); i++)
        cpu->regs[general[i][1]] = registers->value[general[i][0]];
    for (unsigned i = 0; i < ARRAY_LENGTH(segments); i++) {
        cpu->segs[segments[i][1]] = (struct segment){0}; /* no limit of protected mode lives on */
        segment_load_real(cpu, segments[i][1], (uint16_t)registers->value[segments[i][0]]);
    }
    cpu->rip = registers->value[VR_EIP];
    cpu->idt = (struct descriptor_table){.limit = IVT_LIMIT};
    cpu->gdt = (struct descriptor_table){.limit = 0xffff};
    cpu->dr[6] = 0xffff0ff0;
    cpu->dr[7] = registers->present >> VR_DR7 & 1 ? registers->value[VR_DR7] | 0x400 : 0x400;
    cpu->inhibit = cpu->inhibit_debug = cpu->delivered = cpu->halted = cpu->nmi_blocked = false;
    cpu->debug_pending = 0;
    cpu->delivering = 0;
    x87_reset(cpu);
    cpu_set_eflags(cpu, registers->value[VR_EFLAGS] & runner->processor->flags, UINT32_MAX);
    cpu_mode_changed(cpu);
}

static void registers_get(struct runner *runner, struct vector_registers *registers)
{
    const struct cpu *cpu = runner->bare.cpu;

    for (unsigned i = 0; i < ARRAY_LENGTH(general); i++)
        registers->value[general[i][0]] = (uint32_t)cpu->regs[general[i][1]];
    for (unsigned i = 0; i < ARRAY_LENGTH(segments); i++)
        registers->value[segments[i][0]] = cpu->segs[segments[i][1]].selector;
    registers->value[VR_EIP] = (uint32_t)cpu->rip;
    registers->value[VR_EFLAGS] = cpu_eflags(cpu);
}

/* CR0, CR3 and the debug registers are staged, not compared: their fixed bits are each model's. */
static void registers_compare(struct runner *runner, const struct test_case *test,
                              struct outcome *outcome)
{
    const struct vector_registers *final = &test->final.registers;

    outcome->expected = test->initial.registers;
    outcome->got = test->initial.registers;
    registers_get(runner, &outcome->got);
    for (unsigned n = VR_EAX; n <= VR_EFLAGS; n++) {
        if (final->present >> n & 1)
            outcome->expected.value[n] = final->value[n];
        uint32_t wrong =
            (outcome->expected.value[n] ^ outcome->got.value[n]) & defined_bits(test, n);
        if (n == VR_EFLAGS)
            outcome->wrong_flags = wrong & runner->processor->flags;
        else if (wrong)
            outcome->wrong_registers |= 1u << n;
    }
}

/* --- one case */

static bool run(struct runner *runner, const struct test_case *test)
{
    struct bare *bare = &runner->bare;
    uint8_t bytes[INSN_LENGTH_MAX] = {0};
    struct insn insn;

    if (runner->processor->halts)
        return bare_run_until_halt(bare);
    memcpy(bytes, test->bytes, test->byte_count < sizeof bytes ? test->byte_count : sizeof bytes);
    decode(bytes, sizeof bytes, CODE_16, &bare->model.features, &insn);
    return bare_run_instruction(bare, &insn);
}

int runner_run(struct runner *runner, const struct test_case *test, struct outcome *outcome,
               struct error *error)
{
    struct cpu *cpu = runner->bare.cpu;

    if (memory_check(&test->initial.memory, test, error) ||
        memory_check(&test->final.memory, test, error))
        return -EINVAL;
    if (test->initial.registers.value[VR_CR0] & (CR0_PE | CR0_PG))
        return error_set(error, EINVAL,
                         "case %u: begins in protected mode; ring3 runs vectors of "
                         "real mode",
                         test->index);
    memory_set(runner, &test->initial.memory);
    registers_set(runner, &test->initial.registers);
    runner->flushes = cpu->mmu.count.flushes;
    bare_forget_exceptions(&runner->bare);
    outcome->wrong_registers = outcome->wrong_flags = outcome->wrong_bytes = 0;
    uint64_t entered = cpu->native.entered;
    outcome->never_ended = !run(runner, test);
    outcome->translated = cpu->native.entered != entered;
    outcome->exception = bare_exception(&runner->bare);
    registers_compare(runner, test, outcome);
    named_memory_compare(runner, test, outcome);
    other_memory_compare(runner, outcome);
    return 0;
}
