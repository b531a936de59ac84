/* Topic: the local APIC as the processor sees it: IA32_APIC_BASE and its states, x2APIC's MSRs,
 * priorities, and the TSC deadline.  Sources: SDM 3A §11.4, §11.5.4.1, §11.8.3, §11.12.
 */
#include "system.h"

enum {
    MSR_APIC_BASE = 0x1b,
    MSR_TSC_DEADLINE = 0x6e0,
    MSR_X2APIC = 0x800,
    APIC_DEFAULT = (int)0xfee00000,
    BSP = 1 << 8,
    X2APIC = 1 << 10,
    ENABLED = 1 << 11,
    /* registers: the offset in the page, divided by 16; x2APIC's MSR is 800h more */
    REG_ID = 0x02,
    REG_VERSION = 0x03,
    REG_TPR = 0x08,
    REG_PPR = 0x0a,
    REG_EOI = 0x0b,
    REG_LDR = 0x0d,
    REG_DFR = 0x0e,
    REG_SVR = 0x0f,
    REG_ISR = 0x10,
    REG_IRR = 0x20,
    REG_ESR = 0x28,
    REG_CMCI = 0x2f,
    REG_ICR = 0x30,
    REG_ICR_HIGH = 0x31,
    REG_TIMER = 0x32,
    REG_LVT_END = 0x38,
    REG_INITIAL = 0x38,
    REG_CURRENT = 0x39,
    REG_DIVIDE = 0x3e,
    REG_SELF_IPI = 0x3f,
    SVR_ON = 0x1ff,
    MASKED = 1 << 16,
    MODE_DEADLINE = 2 << 17,
    ICR_SELF = 1 << 18,
    VECTOR_IPI = 0x55,
    FLAG_IF = 1 << 9,
};

SNIPPET(32, read_msr, "rdmsr");
SNIPPET(32, write_msr, "wrmsr; mov %ebx, %ecx; rdmsr");
SNIPPET(32, waits, "sti; nop; nop; nop; cli");

static uint32_t page = (uint32_t)APIC_DEFAULT;

static uint32_t apic_read(unsigned reg)
{
    return *dword_at(page + 16 * reg);
}

static void apic_write(unsigned reg, uint32_t value)
{
    *dword_at(page + 16 * reg) = value;
}

static void try_write(uint32_t index, uint64_t value, bool legal, const char *what)
{
    struct state start = start_at(&write_msr, 0);

    start.gpr[RCX] = index;
    start.gpr[RBX] = MSR_APIC_BASE;
    start.gpr[RAX] = (uint32_t)value;
    start.gpr[RDX] = value >> 32;
    case_attempt(&write_msr, &start, legal ? ENDS : fault(VECTOR_GP, 0), "%s: MSR %x, %llx", what,
                 index, value);
}

static void try_read(uint32_t index, bool legal)
{
    struct state start = start_at(&read_msr, 0);

    start.gpr[RCX] = index;
    case_attempt(&read_msr, &start, legal ? ENDS : fault(VECTOR_GP, 0), "RDMSR %x", index);
}

/* --- states */

enum apic_state { STATE_DISABLED, STATE_INVALID, STATE_XAPIC, STATE_X2APIC, STATES };
static const char *const state_names[STATES] = {"disabled", "invalid", "xAPIC", "x2APIC"};

static uint64_t base_of(enum apic_state state)
{
    static const uint16_t bits[STATES] = {0, X2APIC, ENABLED, ENABLED | X2APIC};

    return page | BSP | bits[state];
}

/* Through states that lead there. */
static void go_to(enum apic_state state)
{
    wrmsr(MSR_APIC_BASE, base_of(STATE_DISABLED));
    if (state != STATE_DISABLED)
        wrmsr(MSR_APIC_BASE, base_of(STATE_XAPIC));
    if (state == STATE_X2APIC)
        wrmsr(MSR_APIC_BASE, base_of(STATE_X2APIC));
    if (state == STATE_XAPIC)
        apic_write(REG_SVR, SVR_ON);
    else if (state == STATE_X2APIC)
        wrmsr(MSR_X2APIC + REG_SVR, SVR_ON);
}

static void transitions(void)
{
    case_begin("3A 11.12.5", "the states of the APIC follow each other in few ways");
    for (enum apic_state from = STATE_DISABLED; from < STATES; from++) {
        if (from == STATE_INVALID)
            continue;
        for (enum apic_state to = STATE_DISABLED; to < STATES; to++) {
            bool legal = to != STATE_INVALID && !(from == STATE_DISABLED && to == STATE_X2APIC) &&
                         !(from == STATE_X2APIC && to == STATE_XAPIC);
            go_to(from);
            try_write(MSR_APIC_BASE, base_of(to), legal, state_names[from]);
            uint64_t now = rdmsr(MSR_APIC_BASE), expected = base_of(legal ? to : from);
            case_check(now == expected, "%s to %s: %llx, expected %llx", state_names[from],
                       state_names[to], now, expected);
        }
    }
    go_to(STATE_XAPIC);
    case_end();
}

static void base_bits(void)
{
    unsigned width = cpuid(0x80000008, 0, CPUID_EAX) & 0xff;

    case_begin("3A 11.4.4", "IA32_APIC_BASE: reserved bits");
    for (unsigned bit = 0; bit < 64; bit++) {
        uint64_t value = base_of(STATE_XAPIC) ^ UINT64_C(1) << bit;
        if (bit >= 8 && bit < width && bit != 9)
            continue; /* states, and the address */
        try_write(MSR_APIC_BASE, value, false, "bit");
    }
    case_end();
}

static void identification(void)
{
    case_begin("3A 11.4.3", "CPUID tells whether the APIC is enabled");
    for (enum apic_state state = STATE_DISABLED; state < STATES; state++) {
        if (state == STATE_INVALID)
            continue;
        go_to(state);
        bool told = cpuid(1, 0, CPUID_EDX) >> 9 & 1;
        case_check(told == (state != STATE_DISABLED), "%s: %u", state_names[state], told);
    }
    go_to(STATE_XAPIC);
    case_end();
}

static bool page_answers(uint32_t at)
{
    return (*dword_at(at + 16 * REG_VERSION) & 0xff) == 0x14 &&
           *dword_at(at + 16 * REG_DFR) == 0xffffffff && *dword_at(at + 16 * REG_SVR) == 0x1a5;
}

static void moves(void)
{
    static const uint32_t places[] = {0xfee00000, 0xfee01000, 0xd0000000, 0xfee00000};

    case_begin("3A 11.4.5", "the register page is where IA32_APIC_BASE says, if it is xAPIC's");
    for (unsigned i = 0; i < sizeof places / sizeof places[0]; i++) {
        uint32_t before = page;
        page = places[i];
        go_to(STATE_XAPIC);
        apic_write(REG_SVR, 0x1a5);
        case_check(page_answers(page), "not at %x", page);
        case_check(page == before || !page_answers(before), "still at %x", before);
        wrmsr(MSR_APIC_BASE, base_of(STATE_X2APIC));
        case_check(!page_answers(page), "x2APIC, and at %x", page);
        case_check((rdmsr(MSR_X2APIC + REG_SVR)) == 0x1a5, "SVR %llx", rdmsr(MSR_X2APIC + REG_SVR));
        wrmsr(MSR_APIC_BASE, base_of(STATE_DISABLED));
        case_check(!page_answers(page), "disabled, and at %x", page);
    }
    go_to(STATE_XAPIC);
    case_end();
}

static void disabling_resets(void)
{
    case_begin("3A 11.4.7.2", "an APIC that was disabled begins anew");
    for (enum apic_state state = STATE_XAPIC; state < STATES; state++) {
        go_to(STATE_XAPIC);
        apic_write(REG_TPR, 0x55);
        apic_write(REG_DFR, 0x0fffffff);
        apic_write(REG_LDR, 0x12000000);
        for (unsigned reg = REG_TIMER; reg < REG_LVT_END; reg++)
            apic_write(reg, 0x44);
        if (state == STATE_X2APIC)
            wrmsr(MSR_APIC_BASE, base_of(STATE_X2APIC));
        wrmsr(MSR_APIC_BASE, base_of(STATE_DISABLED));
        wrmsr(MSR_APIC_BASE, base_of(STATE_XAPIC));
        case_check(apic_read(REG_SVR) == 0xff, "SVR %x", apic_read(REG_SVR));
        case_check(apic_read(REG_TPR) == 0, "TPR %x", apic_read(REG_TPR));
        case_check(apic_read(REG_DFR) == 0xffffffff, "DFR %x", apic_read(REG_DFR));
        case_check(apic_read(REG_LDR) == 0, "LDR %x", apic_read(REG_LDR));
        for (unsigned reg = REG_TIMER; reg < REG_LVT_END; reg++)
            case_check(apic_read(reg) == MASKED, "LVT %x: %x", reg, apic_read(reg));
    }
    go_to(STATE_XAPIC);
    case_end();
}

static void software_disable(void)
{
    case_begin("3A 11.4.7.2", "a software-disabled APIC has its local vectors masked");
    for (unsigned reg = REG_TIMER; reg < REG_LVT_END; reg++) {
        apic_write(REG_SVR, SVR_ON);
        apic_write(reg, 0x44);
        bool open = !(apic_read(reg) & MASKED);
        apic_write(REG_SVR, 0xff);
        bool closed = apic_read(reg) & MASKED;
        apic_write(reg, 0x44);
        case_check(open && closed && apic_read(reg) & MASKED, "LVT %x: %x", reg, apic_read(reg));
        apic_write(reg, MASKED);
    }
    apic_write(REG_SVR, SVR_ON);
    case_end();
}

/* --- x2APIC's registers */

static bool is_readable(unsigned reg)
{
    return reg == REG_ID || reg == REG_VERSION || reg == REG_TPR || reg == REG_PPR ||
           reg == REG_LDR || reg == REG_SVR || (reg >= REG_ISR && reg < REG_ISR + 24) ||
           reg == REG_ESR || reg == REG_ICR || (reg >= REG_TIMER && reg < REG_LVT_END) ||
           reg == REG_INITIAL || reg == REG_CURRENT || reg == REG_DIVIDE;
}

static bool is_writable(unsigned reg)
{
    return reg == REG_TPR || reg == REG_EOI || reg == REG_SVR || reg == REG_ESR || reg == REG_ICR ||
           (reg >= REG_TIMER && reg < REG_LVT_END) || reg == REG_INITIAL || reg == REG_DIVIDE ||
           reg == REG_SELF_IPI;
}

static void x2apic_map(void)
{
    enum { MSR_MCG_CAP = 0x179, CMCI = 1 << 10 };

    case_begin("3A 11.12.1.2", "x2APIC's registers: which can be read and which written");
    go_to(STATE_X2APIC);
    for (unsigned reg = 0; reg < 0x100; reg++) {
        if (reg == REG_CMCI && rdmsr(MSR_MCG_CAP) & CMCI)
            continue;
        try_read(MSR_X2APIC + reg, is_readable(reg));
        if (reg != REG_SVR)
            try_write(MSR_X2APIC + reg, 0, is_writable(reg), "zero");
        if (reg >= REG_TIMER && reg < REG_LVT_END)
            wrmsr(MSR_X2APIC + reg, MASKED);
    }
    case_end();
    case_begin("3A 11.12.2", "x2APIC's registers do not exist in other states");
    for (enum apic_state state = STATE_DISABLED; state <= STATE_XAPIC; state += 2) {
        go_to(state);
        for (unsigned reg = 0; reg < 0x100; reg++) {
            try_read(MSR_X2APIC + reg, false);
            try_write(MSR_X2APIC + reg, 0, false, state_names[state]);
        }
    }
    case_end();
}

/* Bits that are defined; where some bits stay undecided, `unsure`. */
static void x2apic_reserved(void)
{
    static const struct {
        uint8_t reg;
        uint64_t writable, unsure;
    } rows[] = {
        {REG_TPR, 0xff, 0},
        {REG_EOI, 0, 0},
        {REG_SVR, 0x1ff, 0x1e00}, /* focus checking, EOI broadcasts */
        {REG_ESR, 0, 0},
        {REG_TIMER, 0x700ff, 0x1000},
        {0x33, 0x107ff, 0x1000},
        {0x35, 0x1a7ff, 0x5000},
        {0x36, 0x1a7ff, 0x5000},
        {0x37, 0x100ff, 0x1000},
        {REG_INITIAL, 0xffffffff, 0},
        {REG_DIVIDE, 0xb, 0},
        {REG_SELF_IPI, 0xff, 0},
        {REG_ICR, UINT64_C(0xffffffff000ccfff), 0x1000},
    };

    case_begin("3A 11.12.1.3", "reserved bits of x2APIC's registers");
    go_to(STATE_X2APIC);
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        for (unsigned bit = 0; bit < 64; bit++) {
            uint64_t value = UINT64_C(1) << bit;
            if (value & rows[i].unsure)
                continue;
            /* Of the ICR, no message that could arrive: to an APIC that is not there. */
            if (rows[i].reg == REG_ICR)
                value |= (value & 0xffffffff) && bit != 18 && bit != 19 ? UINT64_C(0x7f) << 32 : 0;
            if (rows[i].reg == REG_ICR && (bit == 18 || bit == 19))
                continue;
            try_write(MSR_X2APIC + rows[i].reg, value, !(value & ~rows[i].writable), "bit");
        }
        if (rows[i].reg >= REG_TIMER && rows[i].reg < REG_LVT_END)
            wrmsr(MSR_X2APIC + rows[i].reg, MASKED);
    }
    wrmsr(MSR_X2APIC + REG_SVR, SVR_ON);
    wrmsr(MSR_X2APIC + REG_TPR, 0);
    wrmsr(MSR_X2APIC + REG_INITIAL, 0);
    case_end();
    case_begin("3A 11.12.10.2", "x2APIC's logical id is its id's");
    uint64_t id = rdmsr(MSR_X2APIC + REG_ID), logical = rdmsr(MSR_X2APIC + REG_LDR);
    case_check(logical == ((id >> 4) << 16 | UINT64_C(1) << (id & 15)), "id %llx, logical %llx", id,
               logical);
    case_end();
    go_to(STATE_XAPIC);
}

/* --- interrupts */

static unsigned vector_taken(void)
{
    struct state start = start_at(&waits, 0);
    struct state end = attempt(&start);

    return end.vector == VECTOR_UD ? 0 : (unsigned)end.vector;
}

static void priorities(void)
{
    case_begin("3A 11.8.3.1", "an interrupt comes if its class is above TPR's");
    for (unsigned class = 0; class < 16; class ++) {
        apic_write(REG_TPR, class << 4 | 0xf);
        apic_write(REG_ICR, ICR_SELF | VECTOR_IPI);
        bool pending = apic_read(REG_IRR + VECTOR_IPI / 32) >> VECTOR_IPI % 32 & 1;
        unsigned taken = vector_taken();
        bool serving = apic_read(REG_ISR + VECTOR_IPI / 32) >> VECTOR_IPI % 32 & 1;
        bool expected = VECTOR_IPI >> 4 > class;
        case_check(pending && taken == (expected ? VECTOR_IPI : 0) && serving == expected,
                   "TPR %x: requested %u, vector %x, in service %u", class, pending, taken,
                   serving);
        apic_write(REG_TPR, 0);
        if (!expected)
            case_check(vector_taken() == VECTOR_IPI, "TPR %x: lost", class);
        apic_write(REG_EOI, 0);
        case_check(apic_read(REG_PPR) == 0, "PPR %x", apic_read(REG_PPR));
    }
    case_end();

    case_begin("3A 11.8.4",
               "of two interrupts the higher vector is first, and holds its class off");
    apic_write(REG_ICR, ICR_SELF | 0x61);
    apic_write(REG_ICR, ICR_SELF | 0x72);
    apic_write(REG_ICR, ICR_SELF | 0x75);
    static const uint8_t order[] = {0x75, 0x72, 0x61};
    for (unsigned i = 0; i < 3; i++) {
        unsigned first = vector_taken(), second = vector_taken();
        case_check(first == order[i] && !second, "%x, then %x before EOI", first, second);
        apic_write(REG_EOI, 0);
    }
    case_end();

    case_begin("3A 11.12.11", "SELF IPI is an interrupt like the ICR's, and leaves the ICR alone");
    go_to(STATE_X2APIC);
    wrmsr(MSR_X2APIC + REG_ICR, UINT64_C(0x7f) << 32 | 0x44);
    wrmsr(MSR_X2APIC + REG_SELF_IPI, VECTOR_IPI);
    unsigned taken = vector_taken();
    wrmsr(MSR_X2APIC + REG_EOI, 0);
    case_check(taken == VECTOR_IPI, "vector %x", taken);
    case_check(rdmsr(MSR_X2APIC + REG_ICR) == (UINT64_C(0x7f) << 32 | 0x44), "ICR %llx",
               rdmsr(MSR_X2APIC + REG_ICR));
    go_to(STATE_XAPIC);
    case_end();

    case_begin("3A 11.5.3", "a vector below 16 is an error, and not sent");
    for (unsigned vector = 0; vector < 16; vector++) {
        apic_write(REG_ESR, 0);
        apic_write(REG_ESR, 0);
        apic_write(REG_ICR, ICR_SELF | vector);
        apic_write(REG_ESR, 0);
        case_check(apic_read(REG_ESR) & 1 << 5 && !apic_read(REG_IRR), "vector %x: ESR %x, IRR %x",
                   vector, apic_read(REG_ESR), apic_read(REG_IRR));
    }
    case_end();
}

/* --- the TSC deadline */

static void deadline(void)
{
    const uint64_t far = UINT64_C(1) << 62;

    if (!(cpuid(1, 0, CPUID_ECX) >> 24 & 1))
        return;
    case_begin("3A 11.5.4.1", "IA32_TSC_DEADLINE reads what was written until that has passed");
    apic_write(REG_TIMER, MODE_DEADLINE | VECTOR_IPI);
    wrmsr(MSR_TSC_DEADLINE, far);
    case_check(rdmsr(MSR_TSC_DEADLINE) == far && !vector_taken(), "armed: %llx",
               rdmsr(MSR_TSC_DEADLINE));
    wrmsr(MSR_TSC_DEADLINE, 1);
    unsigned taken = vector_taken();
    apic_write(REG_EOI, 0);
    case_check(taken == VECTOR_IPI && !rdmsr(MSR_TSC_DEADLINE), "passed: vector %x, %llx", taken,
               rdmsr(MSR_TSC_DEADLINE));
    taken = vector_taken();
    case_check(!taken, "a second time: vector %x", taken);
    wrmsr(MSR_TSC_DEADLINE, far);
    wrmsr(MSR_TSC, far + 1);
    taken = vector_taken();
    apic_write(REG_EOI, 0);
    case_check(taken == VECTOR_IPI && !rdmsr(MSR_TSC_DEADLINE),
               "the counter was set: vector %x, %llx", taken, rdmsr(MSR_TSC_DEADLINE));
    wrmsr(MSR_TSC, 0);
    case_end();

    case_begin("3A 11.5.4.1", "a deadline of 0 disarms, and so does another mode of the timer");
    wrmsr(MSR_TSC_DEADLINE, far);
    wrmsr(MSR_TSC_DEADLINE, 0);
    case_check(!rdmsr(MSR_TSC_DEADLINE) && !vector_taken(), "zero: %llx", rdmsr(MSR_TSC_DEADLINE));
    wrmsr(MSR_TSC_DEADLINE, far);
    apic_write(REG_TIMER, VECTOR_IPI);
    case_check(!rdmsr(MSR_TSC_DEADLINE), "one-shot: %llx", rdmsr(MSR_TSC_DEADLINE));
    wrmsr(MSR_TSC_DEADLINE, 1);
    case_check(!rdmsr(MSR_TSC_DEADLINE) && !vector_taken(), "written in one-shot mode: %llx",
               rdmsr(MSR_TSC_DEADLINE));
    apic_write(REG_TIMER, MODE_DEADLINE | VECTOR_IPI);
    case_check(!rdmsr(MSR_TSC_DEADLINE) && !vector_taken(), "back: %llx", rdmsr(MSR_TSC_DEADLINE));
    case_end();

    case_begin("3A 11.5.4.1", "the deadline's mode ignores the initial count, and the mask holds");
    apic_write(REG_INITIAL, 1);
    case_check(!apic_read(REG_CURRENT) && !vector_taken(), "current count %x",
               apic_read(REG_CURRENT));
    apic_write(REG_TIMER, MASKED | MODE_DEADLINE | VECTOR_IPI);
    wrmsr(MSR_TSC_DEADLINE, 1);
    case_check(!vector_taken() && !rdmsr(MSR_TSC_DEADLINE), "masked: %llx",
               rdmsr(MSR_TSC_DEADLINE));
    apic_write(REG_TIMER, MODE_DEADLINE | VECTOR_IPI);
    case_check(!vector_taken(), "unmasked afterwards");
    apic_write(REG_TIMER, MASKED);
    case_end();
}

static void protected_mode(void)
{
    if (!(cpuid(1, 0, CPUID_EDX) >> 9 & 1) || !(cpuid(1, 0, CPUID_ECX) >> 21 & 1))
        return;
    go_to(STATE_XAPIC);
    transitions();
    base_bits();
    identification();
    moves();
    disabling_resets();
    software_disable();
    x2apic_map();
    x2apic_reserved();
    priorities();
    deadline();
}

const struct topic topic = {"apic", protected_mode, NULL};
