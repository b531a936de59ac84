#include "conform/state.h"

#include "cpu/control.h"
#include "cpu/exec.h"
#include "cpu/system.h"

#include <string.h>

struct field {
    const char *name;
    uint16_t bytes;
    uint32_t offset; /* in struct cpu */
};

static const struct field fields[STATE_FIELDS] = {
#define FIELD(id, name, member, bytes) [SF_##id] = {name, bytes, offsetof(struct cpu, member)},
#include "conform/state_fields.def"
#undef FIELD
};

const char *state_field_name(unsigned field)
{
    return fields[field].name;
}

unsigned state_field_bytes(unsigned field)
{
    return fields[field].bytes;
}

unsigned state_field_by_name(const char *name)
{
    unsigned field = 0;

    while (field < STATE_FIELDS && strcmp(fields[field].name, name))
        field++;
    return field;
}

void state_value_write(FILE *to, const union state_value *value)
{
    unsigned i = STATE_VALUE_BYTES - 1;

    while (i && !value->bytes[i])
        i--;
    fprintf(to, "%x", value->bytes[i]);
    while (i--)
        fprintf(to, "%02x", value->bytes[i]);
}

/* --- what no processor can be in, and the handlers rely on */

static bool is_canonical(uint64_t address)
{
    return (uint64_t)((int64_t)(address << 16) >> 16) == address;
}

static uint64_t word(const struct state *state, unsigned field)
{
    return state->value[field].word[0];
}

static const char *control_nonsense(const struct state *state, const struct cpu_model *model)
{
    uint64_t cr0 = word(state, SF_CR0), cr4 = word(state, SF_CR4), efer = word(state, SF_EFER);
    bool lme = efer & EFER_LME, lma = efer & EFER_LMA;

    if (cr0 >> 32 || (cr0 & CR0_PG && !(cr0 & CR0_PE)))
        return "cr0: paging without protection, or more than 32 bits";
    if (efer & ~(EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE) || lma != (lme && (cr0 & CR0_PG)) ||
        (lma && !(cr4 & CR4_PAE)))
        return "efer: does not fit cr0 and cr4";
    if (cr4 & ~control_cr4_valid(&model->features) || (cr4 & CR4_PCIDE && !lma))
        return "cr4: bits that this processor has not got";
    if (word(state, SF_CR3) >> model->physical_bits)
        return "cr3: beyond physical memory";
    if (!(word(state, SF_XCR0) & 1) || word(state, SF_XCR0) & ~UINT64_C(7))
        return "xcr0: x87, SSE and AVX are there, and x87 is always on";
    return NULL;
}

static const char *program_nonsense(const struct state *state)
{
    uint64_t flags = word(state, SF_RFLAGS), cpl = word(state, SF_CPL);
    bool is_protected = word(state, SF_CR0) & CR0_PE;

    if (cpl > 3 || (!is_protected && cpl))
        return "cpl: more than 3, or not 0 in real mode";
    if (flags & ~(uint64_t)(F_ALL | 2))
        return "rflags: there are no such flags";
    if (flags & F_VM && (!is_protected || cpl != 3 || word(state, SF_EFER) & EFER_LMA))
        return "rflags: VM needs protected mode and cpl 3";
    if (word(state, SF_MXCSR) & ~UINT64_C(0xffff))
        return "mxcsr: reserved bits";
    if (word(state, SF_DR6) >> 32 || word(state, SF_DR7) >> 32)
        return "dr6, dr7: 32 bits";
    return NULL;
}

/* Addresses fit the mode. */
static const char *address_nonsense(const struct state *state)
{
    static const uint8_t bases[] = {SF_ES_BASE,   SF_CS_BASE,  SF_SS_BASE,   SF_DS_BASE,
                                    SF_FS_BASE,   SF_GS_BASE,  SF_LDTR_BASE, SF_TR_BASE,
                                    SF_GDTR_BASE, SF_IDTR_BASE};
    bool is_long = word(state, SF_EFER) & EFER_LMA;
    bool is_64 = is_long && word(state, SF_CS_RIGHTS) & SEG_L;

    for (unsigned i = 0; i < ARRAY_LENGTH(bases); i++)
        if (is_long ? !is_canonical(word(state, bases[i])) : word(state, bases[i]) >> 32)
            return "a segment's or table's base: not one of this mode";
    if (is_64 ? !is_canonical(word(state, SF_RIP)) : word(state, SF_RIP) >> 32)
        return "rip: no address of this mode";
    for (unsigned reg = SF_RAX; reg <= SF_R15; reg++)
        if (!is_long && word(state, reg) >> (reg < SF_R8 ? 32 : 0))
            return "a general register: more than this mode has";
    if (word(state, SF_GDTR_LIMIT) > UINT16_MAX || word(state, SF_IDTR_LIMIT) > UINT16_MAX)
        return "gdtr.limit, idtr.limit: 16 bits";
    return NULL;
}

const char *state_nonsense(const struct state *state, const struct cpu_model *model)
{
    const char *what = control_nonsense(state, model);

    if (!what)
        what = program_nonsense(state);
    return what ? what : address_nonsense(state);
}

/* --- to and from a cpu */

/* What other members of struct cpu follow from. */
static bool is_hooked(unsigned field)
{
    return field == SF_RFLAGS || field == SF_CR0 || field == SF_CR3 || field == SF_CR4 ||
           field == SF_EFER;
}

/* The order in which a processor would get there: PE, EFER and CR4, then CR3, then PG. */
static bool load_control(struct cpu *cpu, const struct state *state)
{
    uint64_t cr0 = state->value[SF_CR0].word[0], cr3 = state->value[SF_CR3].word[0];
    uint64_t cr4 = state->value[SF_CR4].word[0], efer = state->value[SF_EFER].word[0];

    mmu_set_cr0(&cpu->mmu, cr0 & ~CR0_PG);
    mmu_set_efer(&cpu->mmu, efer);
    mmu_set_cr4(&cpu->mmu, cr4);
    mmu_set_cr3(&cpu->mmu, cr3, false);
    if (cr0 & CR0_PG && cr4 & CR4_PAE && !(efer & EFER_LMA) && !mmu_load_pdptes(&cpu->mmu, cr3))
        return false;
    mmu_set_cr0(&cpu->mmu, cr0);
    return true;
}

bool state_load(struct cpu *cpu, const struct state *state)
{
    cpu_reset(cpu, false);
    for (unsigned field = 0; field < STATE_FIELDS; field++)
        if (!is_hooked(field))
            memcpy((uint8_t *)cpu + fields[field].offset, state->value[field].bytes,
                   fields[field].bytes);
    if (!load_control(cpu, state))
        return false;
    cpu_set_eflags(cpu, (uint32_t)state->value[SF_RFLAGS].word[0], UINT32_MAX);
    debug_registers_changed(cpu);
    cpu_mode_changed(cpu);
    return true;
}

void state_read(const struct cpu *cpu, struct state *state)
{
    for (unsigned field = 0; field < STATE_FIELDS; field++) {
        union state_value *value = &state->value[field];
        *value = (union state_value){0};
        memcpy(value->bytes, (const uint8_t *)cpu + fields[field].offset, fields[field].bytes);
    }
    state_put(state, SF_RFLAGS, cpu_eflags(cpu));
}
