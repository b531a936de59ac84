/* The table of freedoms: what may differ between two processors that both keep to the manuals, or
 * is a stated limit of ring3's.  Sources: SDM 2 for what is undefined, APM 3 to 5 for what AMD's
 * do. */
#include "conform/host_compare.h"

#include "conform/host_encode.h"
#include "cpu/cpu.h"

#include <string.h>

enum { MXCSR_OE = 0x08, MXCSR_UE = 0x10, MXCSR_PE = 0x20, MXCSR_MM = 0x20000 };
enum { X87_C1 = 0x200, X87_C0_C3 = 0x4100, X87_CODES = 0x4700 };

static void free_all(struct host_mismatch *free)
{
    memset(free, 0xff, sizeof *free);
}

static bool is_named(const struct opcode_row *row, const char *const *names, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        if (!strcmp(row->mnemonic, names[i]))
            return true;
    return false;
}
#define IS_NAMED(row, names) is_named(row, names, ARRAY_LENGTH(names))

/* Both have faulted, at an access. */
static bool both_accesses_fault(const struct host_event *event)
{
    return event->host->outcome.vector >= VECTOR_SS && event->ring3->outcome.vector >= VECTOR_SS;
}

/* --- flags and results that the manual leaves undefined */

static unsigned shift_count(const struct host_case *c)
{
    const struct opcode_row *row = host_case_row(c);
    unsigned count = (unsigned)c->insn.imm;

    if (row_has_operand(row, O_CL, O_CL))
        count = (uint8_t)c->state.regs[RCX];
    if (row_has_operand(row, O_1, O_1))
        count = 1;
    return count & (c->insn.size == SIZE_64 ? 63 : 31);
}

static uint32_t undefined_flags(const struct host_case *c)
{
    static const char *const shifts[] = {"shl", "shr", "sar", "shld", "shrd", "sal"};
    static const char *const rotates[] = {"rol", "ror", "rcl", "rcr"};
    const struct opcode_row *row = host_case_row(c);
    const unsigned bits = 8u << c->insn.size, count = shift_count(c);
    const bool shift = IS_NAMED(row, shifts);

    if (!shift && !IS_NAMED(row, rotates))
        return row->flags_undefined;
    if (count == 0)
        return 0;
    uint32_t undefined = shift ? F_AF : 0;
    if (count != 1)
        undefined |= F_OF;
    if (shift && count >= bits && strcmp(row->mnemonic, "sar"))
        undefined |= F_CF;
    return undefined;
}

/* WHY only without an exception: an instruction that faults has changed nothing. */
static void add_undefined_flags(const struct host_event *event, struct host_mismatch *free)
{
    if (event->host->outcome.vector < 0)
        free->bits[ASPECT_FLAGS] |= undefined_flags(event->c);
}

static void add_shifted_out(const struct host_event *event, struct host_mismatch *free)
{
    static const char *const names[] = {"shld", "shrd"};
    const struct host_case *c = event->c;

    if (!IS_NAMED(host_case_row(c), names) || shift_count(c) <= 8u << c->insn.size)
        return;
    free->bits[ASPECT_FLAGS] |= F_ARITH;
    if (c->insn.memory)
        free->bits[ASPECT_MEMORY] = UINT32_MAX;
    else
        free->bits[ASPECT_REGISTERS] |= 1u << c->insn.rm;
}

static void add_undefined_codes(const struct host_event *event, struct host_mismatch *free)
{
    static const char *const names[] = {"ffree", "ffreep"};
    const struct opcode_row *row = host_case_row(event->c);

    if (IS_NAMED(row, names) || row_is(row, "fcmov"))
        free->bits[ASPECT_X87_STATUS] |= X87_CODES;
}

/* --- the order of checks and accesses */

static void add_order_of_accesses(const struct host_event *event, struct host_mismatch *free)
{
    const struct opcode_row *row = host_case_row(event->c);

    if (both_accesses_fault(event) && ((row_is(row, "cmps") && row->map == MAP_1) ||
                                       row->operand[0] == O_M || row_is(row, "call")))
        free_all(free);
}

static bool is_masked_move(const struct opcode_row *row)
{
    return row_is(row, "maskmov") || !strcmp(row->mnemonic, "vmaskmovdqu");
}

static void add_masked_move(const struct host_event *event, struct host_mismatch *free)
{
    const bool host_alone =
        event->host->outcome.vector >= VECTOR_SS && event->ring3->outcome.vector < 0;

    if (is_masked_move(host_case_row(event->c)) && (host_alone || both_accesses_fault(event)))
        free_all(free);
}

static void add_half_gather(const struct host_event *event, struct host_mismatch *free)
{
    if (event->c->gathers && event->host->outcome.vector >= 0)
        free->bits[ASPECT_VECTORS] = UINT32_MAX;
}

static void add_kernel_pages(const struct host_event *event, struct host_mismatch *free)
{
    const struct host_outcome *host = &event->host->outcome, *ring3 = &event->ring3->outcome;

    if (host->vector == VECTOR_PF && host->address >> 63 &&
        !((host->error ^ ring3->error) & ~(uint32_t)PF_PRESENT))
        free->bits[ASPECT_DETAIL] |= 1;
}

/* --- floating point */

static void add_inexact_beside(const struct host_event *event, struct host_mismatch *free)
{
    const uint32_t mxcsr = event->host->state.fx.mxcsr;

    if (event->host->outcome.vector == VECTOR_XM && mxcsr & ~(mxcsr >> 7) & (MXCSR_OE | MXCSR_UE))
        free->bits[ASPECT_MXCSR] |= MXCSR_PE;
}

static void add_dot_product(const struct host_event *event, struct host_mismatch *free)
{
    const char *name = host_case_row(event->c)->mnemonic;

    if (event->host->outcome.vector == VECTOR_XM && !strncmp(name + (*name == 'v'), "dpp", 3))
        free->bits[ASPECT_MXCSR] = UINT32_MAX;
}

/* Does a byte of the data belong to what a saved x87 image says of the last instruction, or to
 * nobody? */
static bool is_own_affair(const struct host_case *c, uint64_t address)
{
    const char *name = host_case_row(c)->mnemonic;
    const uint64_t offset = address - c->address;

    if (!strcmp(name, "fnstenv") || !strcmp(name, "fnsave"))
        return c->insn.size == SIZE_16 ? offset >= 6 && offset < 14 : offset >= 12 && offset < 28;
    if (!strcmp(name, "fxsave"))
        return offset < 512 &&
               (offset >= 416 || (offset >= 6 && offset < 24) || (offset >= 28 && offset < 32) ||
                (offset >= 32 && offset < 160 && (offset & 15) >= 10));
    return false;
}

static void add_saved_pointers(const struct host_event *event, struct host_mismatch *free)
{
    for (unsigned i = 0; i < HOST_DATA_BYTES; i++)
        if (event->host->data[i] != event->ring3->data[i] &&
            !is_own_affair(event->c, HOST_DATA + i))
            return;
    free->bits[ASPECT_MEMORY] = UINT32_MAX;
}

/* --- AMD's */

static void add_partial_remainder(const struct host_event *event, struct host_mismatch *free)
{
    if (row_is(host_case_row(event->c), "fprem"))
        free->bits[ASPECT_X87_STATUS] |= X87_C0_C3;
}

static void add_compare_c1(const struct host_event *event, struct host_mismatch *free)
{
    static const char *const names[] = {"fcomi", "fcomip", "fucomi", "fucomip"};

    if (IS_NAMED(host_case_row(event->c), names))
        free->bits[ASPECT_X87_STATUS] |= X87_C1;
}

static void add_early_mmx(const struct host_event *event, struct host_mismatch *free)
{
    if (event->host->outcome.vector < 0 || !(host_case_row(event->c)->attributes & A_MMX))
        return;
    free->bits[ASPECT_X87_STATUS] = free->bits[ASPECT_X87_TAGS] = UINT32_MAX;
    free->bits[ASPECT_X87_STACK] = UINT32_MAX;
}

static void add_unaligned_sha(const struct host_event *event, struct host_mismatch *free)
{
    if (host_case_row(event->c)->feature == FEAT_SHA && event->ring3->outcome.vector == VECTOR_GP)
        free_all(free);
}

static void add_loop_prefix(const struct host_event *event, struct host_mismatch *free)
{
    if (row_is(host_case_row(event->c), "loop") && event->c->insn.rep)
        free->bits[ASPECT_RIP] = 1;
}

static void add_wide_movsxd(const struct host_event *event, struct host_mismatch *free)
{
    const struct host_case *c = event->c;

    if (!strcmp(host_case_row(c)->mnemonic, "movsxd") && c->insn.size == SIZE_16 &&
        event->host->outcome.vector >= VECTOR_SS && event->ring3->outcome.vector < 0)
        free_all(free);
}

static void add_undefined_length(const struct host_event *event, struct host_mismatch *free)
{
    if (row_is(host_case_row(event->c), "ud") &&
        event->c->insn.length > host_case_fetched(event->c))
        free_all(free);
}

static void add_misaligned_mode(const struct host_event *event, struct host_mismatch *free)
{
    if (event->host->state.fx.mxcsr & MXCSR_MM && event->ring3->outcome.vector == VECTOR_GP)
        free_all(free);
}

static void add_near_branch_66(const struct host_event *event, struct host_mismatch *free)
{
    if (event->c->code_size == CODE_64 && host_case_row(event->c)->size == SZ_F64 &&
        host_has_prefix(event->c, 0x66))
        free_all(free);
}

const struct host_freedom host_freedoms[] = {
    {"undefined flags", "the SDM leaves them undefined behind this instruction", false,
     add_undefined_flags},
    {"shifted out", "SHLD and SHRD by more than the operand's size: the result is undefined", false,
     add_shifted_out},
    {"undefined codes", "the SDM leaves C0 to C3 undefined behind FFREE and FCMOVcc", false,
     add_undefined_codes},
    {"order of accesses",
     "two accesses fault: which of two operands, or of a large operand's pieces, comes first, and "
     "whether CALL looks at its target or at the stack first, is not said",
     false, add_order_of_accesses},
    {"masked move", "whether MASKMOV faults for bytes that its mask leaves out is not said", false,
     add_masked_move},
    {"half a gather", "a gather that faults may have loaded elements behind the one that faulted",
     false, add_half_gather},
    {"kernel's pages", "the host's kernel has pages in the upper half: error code bit 0", false,
     add_kernel_pages},
    {"PE beside OE, UE", "ring3 leaves out PE beside an unmasked overflow or underflow: cpu/sse.c",
     false, add_inexact_beside},
    {"steps of DPPS", "which step of DPPS or DPPD raised an unmasked exception is not said", false,
     add_dot_product},
    {"saved pointers",
     "FNSTENV, FNSAVE, FXSAVE: what the last x87 instruction's pointers are without an exception, "
     "and reserved bytes",
     false, add_saved_pointers},
    {"AMD: FPREM by 0", "AMD's leave C0 and C3 where the SDM has a quotient of 0", true,
     add_partial_remainder},
    {"AMD: C1 of FCOMI", "AMD's leave C1, which the SDM has cleared", true, add_compare_c1},
    {"AMD: MMX before a fault", "AMD's go over to MMX's state before they find the fault", true,
     add_early_mmx},
    {"AMD: unaligned SHA", "AMD's take unaligned operands of SHA, where the SDM has #GP", true,
     add_unaligned_sha},
    {"AMD: F2, F3 on LOOPcc", "AMD's take them for the condition", true, add_loop_prefix},
    {"AMD: MOVSXD of 16 bits", "AMD's read 32 bits of memory, Intel's 16", true, add_wide_movsxd},
    {"AMD: length of UD0, UD1", "AMD's do not fetch a ModRM byte behind them", true,
     add_undefined_length},
    {"AMD: MXCSR.MM", "AMD's let LDMXCSR and FXRSTOR set bit 17 (misalignsse), a #GP elsewhere",
     true, add_misaligned_mode},
    {"AMD: 66 on near branches", "Intel's ignore it in 64-bit code, AMD's cut the target", true,
     add_near_branch_66},
};
const unsigned host_freedom_count = ARRAY_LENGTH(host_freedoms);

/* --- their use */

static bool is_host_amd(void)
{
#ifdef __x86_64__
    return __builtin_cpu_is("amd");
#else
    return false;
#endif
}

static bool take(struct host_mismatch *mismatch, const struct host_mismatch *free)
{
    bool taken = false;

    for (unsigned i = 0; i < ASPECTS; i++) {
        taken |= mismatch->bits[i] & free->bits[i];
        mismatch->bits[i] &= ~free->bits[i];
    }
    return taken;
}

uint64_t host_freedoms_take(const struct host_event *event, struct host_mismatch *mismatch)
{
    uint64_t rows = 0;

    for (unsigned n = 0; n < host_freedom_count; n++) {
        struct host_mismatch free = {0};
        if (host_freedoms[n].of_amd && !is_host_amd())
            continue;
        host_freedoms[n].add(event, &free);
        if (take(mismatch, &free))
            rows |= BIT(n);
    }
    return rows;
}
