/* Every user-mode row in the interpreter against the host's own processor, in 64-bit and in 32-bit
 * code: registers, flags, memory, x87 and SSE state, exceptions.
 *
 * RING3_CASES=n in the environment sets the number of cases of each row, RING3_ROW=id picks one. */
#include "tests/exec_cases.h"

#include "base/bits.h"
#include "cpu/cpu.h"

#include <criterion/criterion.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { CASES = 100, REPORTS_PER_ROW = 2 };
enum { MXCSR_OE = 0x08, MXCSR_UE = 0x10, MXCSR_PE = 0x20 };

struct difference {
    char text[256];
};

static bool differs(struct difference *difference, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(difference->text, sizeof difference->text, format, arguments);
    va_end(arguments);
    return true;
}

static bool compare_outcome(const struct cpu_outcome *host, const struct cpu_outcome *guest,
                            struct difference *difference)
{
    /* The host's kernel has pages of its own in the upper half. */
    uint32_t error_mask = host->address >> 63 ? ~(uint32_t)PF_PRESENT : ~0u;
    if (host->vector != guest->vector)
        return differs(difference, "exception %d, host %d", guest->vector, host->vector);
    if (host->vector == VECTOR_PF &&
        ((host->error ^ guest->error) & error_mask || host->address != guest->address))
        return differs(difference, "#PF(%x) at %llx, host (%x) %llx", guest->error,
                       (unsigned long long)guest->address, host->error,
                       (unsigned long long)host->address);
    if ((host->vector == VECTOR_GP || host->vector == VECTOR_SS) && host->error != guest->error)
        return differs(difference, "error code %x, host %x", guest->error, host->error);
    return false;
}

static bool compare_integer(const struct exec_case *c, const struct cpu_state *host,
                            const struct cpu_state *guest, uint32_t undefined,
                            struct difference *difference)
{
    static const char names[16][4] = {"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
                                      "r8",  "r9",  "r10", "r11", "r12", "r13", "r14", "r15"};
    uint64_t mask = c->code_64 ? UINT64_MAX : UINT32_MAX;
    for (unsigned i = 0; i < 16; i++)
        if ((host->regs[i] ^ guest->regs[i]) & mask)
            return differs(difference, "%s %llx, host %llx, was %llx", names[i],
                           (unsigned long long)guest->regs[i], (unsigned long long)host->regs[i],
                           (unsigned long long)c->state.regs[i]);
    if (host->rip != guest->rip)
        return differs(difference, "rip %llx, host %llx", (unsigned long long)guest->rip,
                       (unsigned long long)host->rip);
    uint32_t flags = (host->eflags ^ guest->eflags) & (F_ARITH | F_DF) & ~undefined;
    if (flags)
        return differs(difference, "eflags %x, host %x: %x", guest->eflags, host->eflags, flags);
    return false;
}

static bool compare_x87(const struct exec_case *c, const struct fx_image *host,
                        const struct fx_image *guest, struct difference *difference)
{
    if (host->control != guest->control)
        return differs(difference, "x87 control %x, host %x", guest->control, host->control);
    if ((host->status ^ guest->status) & ~exec_case_undefined_codes(c))
        return differs(difference, "x87 status %x, host %x", guest->status, host->status);
    if (host->valid != guest->valid)
        return differs(difference, "x87 tags %x, host %x", guest->valid, host->valid);
    for (unsigned i = 0; i < 8; i++)
        if (host->st[i].mantissa != guest->st[i].mantissa ||
            host->st[i].exponent != guest->st[i].exponent)
            return differs(difference, "st%u %x:%llx, host %x:%llx", i, guest->st[i].exponent,
                           (unsigned long long)guest->st[i].mantissa, host->st[i].exponent,
                           (unsigned long long)host->st[i].mantissa);
    return false;
}

static bool compare_upper(const struct cpu_state *host, const struct cpu_state *guest,
                          struct difference *difference)
{
    for (unsigned i = 0; i < 16; i++)
        if (memcmp(host->upper[i], guest->upper[i], 16))
            return differs(difference, "ymm%u's upper half %016llx%016llx, host %016llx%016llx", i,
                           (unsigned long long)load_le64(guest->upper[i] + 8),
                           (unsigned long long)load_le64(guest->upper[i]),
                           (unsigned long long)load_le64(host->upper[i] + 8),
                           (unsigned long long)load_le64(host->upper[i]));
    return false;
}

static bool compare_sse(const struct fx_image *host, const struct fx_image *guest,
                        struct difference *difference)
{
    if (host->mxcsr != guest->mxcsr)
        return differs(difference, "mxcsr %x, host %x", guest->mxcsr, host->mxcsr);
    for (unsigned i = 0; i < 16; i++)
        if (memcmp(host->xmm[i], guest->xmm[i], 16))
            return differs(difference, "xmm%u %016llx%016llx, host %016llx%016llx", i,
                           (unsigned long long)load_le64(guest->xmm[i] + 8),
                           (unsigned long long)load_le64(guest->xmm[i]),
                           (unsigned long long)load_le64(host->xmm[i] + 8),
                           (unsigned long long)load_le64(host->xmm[i]));
    return false;
}

/* Bytes of a saved x87 image that name the last instruction, or belong to nobody: processors differ
 * about them. */
static bool is_own_affair(const struct exec_case *c, uint64_t address)
{
    const char *name = opcode_rows[c->insn.row].mnemonic;
    uint64_t offset = address - c->address;
    if (!strcmp(name, "fnstenv") || !strcmp(name, "fnsave"))
        return c->insn.size == SIZE_16 ? offset >= 6 && offset < 14 : offset >= 12 && offset < 28;
    if (!strcmp(name, "fxsave"))
        return offset < 512 &&
               (offset >= 416 || (offset >= 6 && offset < 24) || (offset >= 28 && offset < 32) ||
                (offset >= 32 && offset < 160 && (offset & 15) >= 10));
    return false;
}

static bool compare_memory(const struct exec_case *c, struct difference *difference)
{
    const uint8_t *host = host_cpu_data();
    for (unsigned page = 0; page < 2; page++) {
        const uint8_t *guest = guest_cpu_data(page);
        if (!memcmp(host + page * PAGE_BYTES, guest, PAGE_BYTES))
            continue;
        for (unsigned i = 0; i < PAGE_BYTES; i++) {
            uint64_t address = SANDBOX_DATA + page * PAGE_BYTES + i;
            uint8_t of_host = host[page * PAGE_BYTES + i];
            if (guest[i] != of_host && !is_own_affair(c, address))
                return differs(difference, "memory %llx %02x, host %02x",
                               (unsigned long long)address, guest[i], of_host);
        }
    }
    return false;
}

/* Outcomes that the manual leaves open. */
static bool is_free(const struct exec_case *c, const struct cpu_outcome *host,
                    const struct cpu_outcome *guest)
{
    const struct opcode_row *row = &opcode_rows[c->insn.row];
    const char *name = row->mnemonic;
    bool both = host->vector >= VECTOR_SS && guest->vector >= VECTOR_SS;
    bool maskmov = !strncmp(name, "maskmov", 7) || !strcmp(name, "vmaskmovdqu");
    /* Which of two operands is read first; which piece of a large one; whether CALL looks at its
     * target or at the stack first; whether a mask of zeros faults. */
    if ((!strncmp(name, "cmps", 4) && row->map == MAP_1) || row->operand[0] == O_M || maskmov ||
        !strcmp(name, "call"))
        return both || (maskmov && host->vector >= VECTOR_SS && guest->vector < 0);
    /* AMD's processors take unaligned operands of SHA. */
    return row->feature == FEAT_SHA && guest->vector == VECTOR_GP;
}

/* Did the guest fault where this very process has memory (a sanitizer's shadow lies below 4 GiB)? */
static bool is_process_memory(const struct cpu_outcome *guest)
{
    void *page = (void *)(uintptr_t)(guest->address & PAGE_MASK);
    return guest->vector == VECTOR_PF && msync(page, PAGE_BYTES, MS_ASYNC) == 0;
}

/* What differs between processors, or is a known limit, when the instruction faults. */
static void allow_for_faults(const struct exec_case *c, const struct cpu_outcome *outcome,
                             struct fx_image *host, struct fx_image *guest)
{
    /* LIMIT: PE beside an unmasked overflow or underflow, see cpu/sse.c. */
    if (outcome->vector == VECTOR_XM && host->mxcsr & ~(host->mxcsr >> 7) & (MXCSR_OE | MXCSR_UE))
        guest->mxcsr = (guest->mxcsr & ~(uint32_t)MXCSR_PE) | (host->mxcsr & MXCSR_PE);
    /* Which of its steps DPPS had reached. */
    const char *name = opcode_rows[c->insn.row].mnemonic;
    if (outcome->vector == VECTOR_XM && !strncmp(name + (name[0] == 'v'), "dpp", 3))
        guest->mxcsr = host->mxcsr;
    /* AMD's processors go over to MMX before they find the fault. */
    if (outcome->vector >= 0 && opcode_rows[c->insn.row].attributes & A_MMX) {
        guest->status = host->status;
        guest->valid = host->valid;
        memcpy(guest->st, host->st, sizeof guest->st);
    }
}

/* One case in both; true when they differ. */
static bool run_case(const struct exec_case *c, struct difference *difference)
{
    struct cpu_state host = c->state, guest = c->state;
    struct cpu_outcome host_outcome, guest_outcome;
    memcpy(host_cpu_data(), c->data, SANDBOX_BYTES);
    memcpy(guest_cpu_data(0), c->data, PAGE_BYTES);
    memcpy(guest_cpu_data(1), c->data + PAGE_BYTES, PAGE_BYTES);
    host_cpu_run(c->bytes, c->code_64, &host, &host_outcome);
    guest_cpu_run(c->bytes, c->code_64, &guest, &guest_outcome);
    if (is_free(c, &host_outcome, &guest_outcome) ||
        (host_outcome.address != guest_outcome.address && is_process_memory(&guest_outcome)))
        return false;
    allow_for_faults(c, &host_outcome, &host.fx, &guest.fx);
    /* SDM: the elements behind the one that faulted may have come, or not. */
    if (c->gathers && host_outcome.vector >= 0) {
        memcpy(guest.fx.xmm, host.fx.xmm, sizeof guest.fx.xmm);
        memcpy(guest.upper, host.upper, sizeof guest.upper);
    }
    /* An instruction that faults has changed nothing, also no undefined flag. */
    uint32_t undefined = host_outcome.vector < 0 ? exec_case_undefined_flags(c) : 0;
    return compare_outcome(&host_outcome, &guest_outcome, difference) ||
           compare_integer(c, &host, &guest, undefined, difference) ||
           compare_x87(c, &host.fx, &guest.fx, difference) ||
           compare_sse(&host.fx, &guest.fx, difference) ||
           compare_upper(&host, &guest, difference) || compare_memory(c, difference);
}

static void report(const struct exec_case *c, uint64_t seed, const struct difference *difference)
{
    fprintf(stderr, "%s, %u-bit, seed %#llx:", opcode_rows[c->insn.row].id, c->code_64 ? 64 : 32,
            (unsigned long long)seed);
    for (unsigned i = 0; i < c->insn.length; i++)
        fprintf(stderr, " %02x", c->bytes[i]);
    fprintf(stderr, ": %s\n", difference->text);
}

static unsigned environment_number(const char *name, unsigned otherwise)
{
    const char *text = getenv(name);
    return text ? (unsigned)strtoul(text, NULL, 0) : otherwise;
}

/* The number of cases that differ. */
static unsigned run_row(unsigned row, bool code_64, const struct feature_set *features)
{
    static struct exec_case c;
    struct random random = {UINT64_C(0x9e3779b97f4a7c15) * (row + 1) ^ code_64};
    unsigned failures = 0, done = 0, cases = environment_number("RING3_CASES", CASES);
    for (unsigned tries = 0; done < cases && tries < 20 * cases; tries++) {
        struct difference difference;
        uint64_t seed = random.state;
        if (!exec_case_make(&c, row, code_64, features, &random))
            continue;
        done++;
        if (run_case(&c, &difference) && failures++ < REPORTS_PER_ROW)
            report(&c, seed, &difference);
    }
    cr_expect_neq(done, 0, "%s: no case could be made", opcode_rows[row].id);
    return failures;
}

static void run_rows(bool code_64)
{
    const char *only = getenv("RING3_ROW");
    struct feature_set features = host_features();
    unsigned mode = code_64 ? X_64 : X_LEGACY, rows = 0, failed = 0;
    host_cpu_open();
    guest_cpu_open(&features);
    for (unsigned i = 0; i < OPCODE_COUNT; i++) {
        const struct opcode_row *row = &opcode_rows[i];
        if (!(row->modes & mode) || !exec_case_is_possible(row, &features) ||
            (only && strcmp(only, row->id)))
            continue;
        rows++;
        failed += run_row(i, code_64, &features) != 0;
    }
    guest_cpu_close();
    cr_log_info("%u rows", rows);
    cr_expect_eq(failed, 0, "%u of %u rows differ from the host", failed, rows);
}

Test(exec_host, code_64)
{
    run_rows(true);
}

Test(exec_host, code_32)
{
    run_rows(false);
}
