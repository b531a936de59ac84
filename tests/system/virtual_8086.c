/* Topic: virtual-8086 mode, its extensions (CR4.VME) and protected-mode virtual interrupts
 * (CR4.PVI): what IOPL guards, the virtual interrupt flag, and the redirection bitmap.
 * The model is SDM 3A §21.2-21.4, 2A and 2B by instruction.
 */
#include "system.h"

enum {
    FLAG_CF = 1,
    FLAG_TF = 1 << 8,
    FLAG_IF = 1 << 9,
    FLAG_IOPL = 3 << 12,
    FLAG_VIF = 1 << 19,
    FLAG_VIP = 1 << 20,
    CR4_VME = 1,
    CR4_PVI = 2,
    CR4_UMIP = 1 << 11,
    /* The task state: the redirection bitmap lies before that of the ports. */
    REDIRECTION = TSS_32 + 0x68,
    PORTS = REDIRECTION + 32,
    PORTS_BYTES = 32,
    VECTOR = 0x80,
    STACK = DATA_BASE + STACK_16, /* where V86 snippets have their stack */
    WATCHED = FLAG_CF | FLAG_TF | FLAG_IF | FLAG_IOPL | FLAG_VIF | FLAG_VIP | FLAG_VM,
};

SNIPPET(16, cli_16, "cli");
SNIPPET(16, sti_16, "sti");
SNIPPET(16, pushf_16, "pushfw");
SNIPPET(16, pushf_32, "pushfl");
SNIPPET(16, popf_16, "popfw");
SNIPPET(16, popf_32, "popfl");
SNIPPET(16, iret_16, "iretw");
SNIPPET(16, iret_32, "iretl");
SNIPPET(16, int_80, "int $0x80");
SNIPPET(16, int_3, "int3");
SNIPPET(16, handler, "nop"); /* through the IVT */

/* --- the model: what becomes of EFLAGS, or that the instruction faults */

struct outcome {
    bool faults;
    uint32_t flags;
};

static struct outcome done(uint32_t flags)
{
    return (struct outcome){false, flags};
}
static const struct outcome refused = {true, 0};

static unsigned iopl_of(uint32_t flags)
{
    return flags >> 12 & 3;
}

static uint32_t with(uint32_t flags, uint32_t mask, uint32_t values)
{
    return (flags & ~mask) | (values & mask);
}

/* IF is `real` at this privilege, or `is_virtual`, or out of reach. */
static struct outcome cli_model(uint32_t flags, bool real, bool is_virtual)
{
    return real         ? done(flags & ~(uint32_t)FLAG_IF)
           : is_virtual ? done(flags & ~(uint32_t)FLAG_VIF)
                        : refused;
}

static struct outcome sti_model(uint32_t flags, bool real, bool is_virtual)
{
    if (real)
        return done(flags | FLAG_IF);
    return is_virtual && !(flags & FLAG_VIP) ? done(flags | FLAG_VIF) : refused;
}

/* POPF and IRET in virtual-8086 mode. */
static struct outcome load_model(uint32_t flags, uint32_t image, bool vme, bool wide)
{
    if (iopl_of(flags) == 3)
        return done(with(flags, FLAG_CF | FLAG_TF | FLAG_IF, image));
    if (!vme || wide || image & FLAG_TF || (image & FLAG_IF && flags & FLAG_VIP))
        return refused;
    return done(with(flags, FLAG_CF | FLAG_VIF, image | (image & FLAG_IF ? FLAG_VIF : 0)));
}

/* --- IOPL-sensitive instructions in virtual-8086 mode */

static struct state start_with(const struct snippet *snippet, uint32_t flags)
{
    struct state start = start_v86(snippet);

    start.flags = FLAG_FIXED | FLAG_VM | flags;
    return start;
}

static void check_flags(const char *what, const struct snippet *snippet, const struct state *start,
                        struct outcome expected)
{
    struct state end = attempt(start);

    case_compare(snippet, start, &end, expected.faults ? fault(VECTOR_GP, 0) : ENDS,
                 "%s, EFLAGS %llx, CR4 %x", what, start->flags, read_cr4());
    if (!expected.faults)
        case_check((end.flags & WATCHED) == (expected.flags & WATCHED),
                   "%s, EFLAGS %llx, CR4 %x: %llx, expected %x", what, start->flags, read_cr4(),
                   end.flags, expected.flags);
}

/* Each combination of IOPL, VME, IF, VIF and VIP but VIF with VIP. */
static void each_state(void (*each)(uint32_t flags, bool vme))
{
    for (unsigned n = 0; n < 4 * 2 * 8; n++) {
        uint32_t flags = (n & 3) << 12 | (n & 8 ? FLAG_IF : 0) | (n & 16 ? FLAG_VIF : 0) |
                         (n & 32 ? FLAG_VIP : 0);
        bool vme = n & 4;
        if ((flags & (FLAG_VIF | FLAG_VIP)) == (FLAG_VIF | FLAG_VIP))
            continue;
        write_cr4(vme ? CR4_VME : 0);
        each(flags, vme);
    }
    write_cr4(0);
}

static void cli_and_sti(uint32_t flags, bool vme)
{
    bool real = iopl_of(flags) == 3;
    struct state start = start_with(&cli_16, flags);

    check_flags("CLI", &cli_16, &start, cli_model((uint32_t)start.flags, real, vme));
    start = start_with(&sti_16, flags);
    check_flags("STI", &sti_16, &start, sti_model((uint32_t)start.flags, real, vme));
}

static void pushf(uint32_t flags, bool vme)
{
    static const struct snippet *const snippets[] = {&pushf_16, &pushf_32};

    for (unsigned wide = 0; wide < 2; wide++) {
        struct state start = start_with(snippets[wide], flags);
        bool real = iopl_of(flags) == 3, allowed = real || (vme && !wide);
        uint32_t expected = (uint32_t)start.flags & ~(uint32_t)FLAG_VM;
        if (!real)
            expected =
                with(expected, FLAG_IF | FLAG_IOPL, FLAG_IOPL | (flags & FLAG_VIF ? FLAG_IF : 0));
        struct state end = attempt(&start);
        case_compare(snippets[wide], &start, &end, allowed ? ENDS : fault(VECTOR_GP, 0),
                     "%u bits, EFLAGS %llx, VME %u", 16 << wide, start.flags, vme);
        if (!allowed)
            continue;
        uint32_t pushed = wide ? *dword_at(STACK - 4) : *word_at(STACK - 2);
        case_check(pushed == (wide ? expected : expected & 0xffff),
                   "%u bits, EFLAGS %llx, VME %u: pushed %x, expected %x", 16 << wide, start.flags,
                   vme, pushed, expected);
    }
}

/* TF would end the snippet early where it can be loaded: it is tried where it cannot. */
static void popf(uint32_t flags, bool vme)
{
    static const struct snippet *const snippets[] = {&popf_16, &popf_32};

    for (unsigned n = 0; n < 2 * 8; n++) {
        bool wide = n & 1;
        uint32_t image = FLAG_FIXED | (n & 2 ? FLAG_IF : 0) | (n & 4 ? FLAG_CF : 0) |
                         (n & 8 && iopl_of(flags) < 3 ? FLAG_TF : 0);
        struct state start = start_with(snippets[wide], flags);
        *dword_at(STACK) = image;
        check_flags("POPF", snippets[wide], &start,
                    load_model((uint32_t)start.flags, image, vme, wide));
    }
}

static void iret(uint32_t flags, bool vme)
{
    static const struct snippet *const snippets[] = {&iret_16, &iret_32};

    for (unsigned n = 0; n < 2 * 4; n++) {
        bool wide = n & 1;
        uint32_t image = FLAG_FIXED | (n & 2 ? FLAG_IF : 0) | (n & 4 ? FLAG_CF : 0);
        struct state start = start_with(snippets[wide], flags);
        uint32_t frame[] = {(uint32_t)snippets[wide]->end - LOW_BASE, (uint32_t)start.cs, image};
        for (unsigned i = 0; i < 3; i++) {
            if (wide)
                dword_at(STACK)[i] = frame[i];
            else
                word_at(STACK)[i] = (uint16_t)frame[i];
        }
        check_flags("IRET", snippets[wide], &start,
                    load_model((uint32_t)start.flags, image, vme, wide));
    }
}

/* --- INT n */

static void task_state(void)
{
    for (unsigned i = 0; i < 32; i++)
        *byte_at(REDIRECTION + i) = 0xff;
    for (unsigned i = 0; i <= PORTS_BYTES; i++)
        *byte_at(PORTS + i) = 0xff;
    *word_at(TSS_32 + TSS_MAP) = PORTS - TSS_32;
    gdt_set(SEL_TSS32, descriptor(TSS_32, PORTS + PORTS_BYTES - TSS_32, TSS_FREE, 0));
    __asm__ volatile("ltr %w0" : : "r"(SEL_TSS32) : "memory");
}

static void redirect(unsigned vector, bool to_ivt)
{
    uint8_t bit = (uint8_t)(1 << (vector & 7));
    volatile uint8_t *at = byte_at(REDIRECTION + vector / 8);

    *at = to_ivt ? *at & ~bit : *at | bit;
}

static void set_ivt(unsigned vector, const struct snippet *snippet)
{
    volatile uint32_t *ivt = NULL; /* it does lie at 0 */

    __asm__("" : "+r"(ivt));
    ivt[vector] = ((uint32_t)snippet->start - LOW_BASE) | LOW_BASE >> 4 << 16;
}

/* Has the handler in the IVT run, with the frame and flags that it must find? */
static void check_redirected(const struct state *start, const struct state *end)
{
    uint32_t flags = (uint32_t)start->flags, pushed = flags;
    bool real = iopl_of(flags) == 3;

    if (!real)
        pushed = with(pushed, FLAG_IF | FLAG_IOPL, FLAG_IOPL | (flags & FLAG_VIF ? FLAG_IF : 0));
    flags &= ~(uint32_t)(real ? FLAG_IF : FLAG_VIF);
    case_check(end->vector == VECTOR_UD && end->ip == (uint32_t)handler.end - LOW_BASE &&
                   end->gpr[RSP] == STACK_16 - 6,
               "EFLAGS %llx: vector %llx at %llx, SP %llx", start->flags, end->vector, end->ip,
               end->gpr[RSP]);
    case_check(*word_at(STACK - 2) == (pushed & 0xffff) && *word_at(STACK - 4) == start->cs &&
                   *word_at(STACK - 6) == start->ip + 2,
               "EFLAGS %llx: frame %04x %04x %04x, expected flags %04x", start->flags,
               *word_at(STACK - 6), *word_at(STACK - 4), *word_at(STACK - 2), pushed & 0xffff);
    case_check((end->flags & WATCHED) == (flags & WATCHED), "EFLAGS %llx become %llx, expected %x",
               start->flags, end->flags, flags);
}

static void software_interrupt(uint32_t flags, bool vme)
{
    for (unsigned to_ivt = 0; to_ivt < 2; to_ivt++) {
        struct state start = start_with(&int_80, flags);
        redirect(VECTOR, to_ivt);
        struct state end = attempt(&start);
        if (vme && to_ivt)
            check_redirected(&start, &end);
        else if (iopl_of(flags) == 3)
            case_check(end.vector == VECTOR_USER && end.ip == start.ip + 2,
                       "EFLAGS %llx, VME %u: vector %llx", start.flags, vme, end.vector);
        else
            case_compare(&int_80, &start, &end, fault(VECTOR_GP, 0), "EFLAGS %llx, VME %u",
                         start.flags, vme);
    }
}

/* INT3 is not IOPL's, and has no bit of the bitmap; its gate must let CPL 3 through. */
static void breakpoint(uint32_t flags, bool vme)
{
    struct state start = start_with(&int_3, flags);

    idt_set(VECTOR_BP, gate(handlers_32[VECTOR_BP], SEL_CODE, INTERRUPT_GATE | DPL_3));
    redirect(VECTOR_BP, true);
    struct state end = attempt(&start);
    case_check(end.vector == VECTOR_BP && end.ip == start.ip + 1,
               "EFLAGS %llx, VME %u: vector %llx", start.flags, vme, end.vector);
}

static void bitmap_limits(void)
{
    case_begin("3A 21.3.3", "INT n beyond the task state's limit is #GP");
    task_state();
    write_cr4(CR4_VME);
    for (unsigned n = 0; n < 2; n++) {
        struct state start = start_with(&int_80, FLAG_IOPL);
        if (n) /* the map leads beyond the limit */
            *word_at(TSS_32 + TSS_MAP) = 0x1000;
        else /* there is no map */
            *word_at(TSS_32 + TSS_MAP) = PORTS - TSS_32 + PORTS_BYTES + 32;
        case_attempt(&int_80, &start, fault(VECTOR_GP, 0), "map at %x", *word_at(TSS_32 + TSS_MAP));
    }
    write_cr4(0);
    case_end();
}

/* --- ports, and what does not exist */

SNIPPET(16, in_e0, "in $0xe0, %al");
SNIPPET(16, in_e0_32, "inl $0xe0, %eax");

static void ports(void)
{
    case_begin("1 19.5.2", "ports in virtual-8086 mode are the bitmap's, whatever IOPL is");
    task_state();
    for (unsigned iopl = 0; iopl <= 3; iopl++) {
        for (unsigned bits = 0; bits < 16; bits++) {
            *byte_at(PORTS + 0xe0 / 8) = (uint8_t)(0xf0 | bits);
            struct state start = start_with(&in_e0, iopl << 12);
            case_attempt(&in_e0, &start, bits & 1 ? fault(VECTOR_GP, 0) : ENDS, "IOPL %u, bits %x",
                         iopl, bits);
            start = start_with(&in_e0_32, iopl << 12);
            case_attempt(&in_e0_32, &start, bits ? fault(VECTOR_GP, 0) : ENDS,
                         "4 bytes, IOPL %u, bits %x", iopl, bits);
        }
    }
    case_end();
}

SNIPPET(16, hlt, "hlt");
SNIPPET(16, lgdt, "lgdt 0");
SNIPPET(16, lidt, "lidt 0");
SNIPPET(16, lmsw, "lmsw %ax");
SNIPPET(16, clts, "clts");
SNIPPET(16, from_cr0, "mov %cr0, %eax");
SNIPPET(16, to_cr3, "mov %eax, %cr3");
SNIPPET(16, from_dr7, "mov %db7, %eax");
SNIPPET(16, invlpg, "invlpg 0");
SNIPPET(16, invd, "invd");
SNIPPET(16, wbinvd, "wbinvd");
SNIPPET(16, sgdt, "sgdt 0");
SNIPPET(16, sidt, "sidt 0");
SNIPPET(16, smsw, "smsw %ax");
SNIPPET(16, sldt, "sldt %ax");
SNIPPET(16, str, "str %ax");
SNIPPET(16, lldt, "lldt %ax");
SNIPPET(16, ltr, "ltr %ax");
SNIPPET(16, lar, "lar %ax, %cx");
SNIPPET(16, lsl, "lsl %ax, %cx");
SNIPPET(16, verr, "verr %ax");
SNIPPET(16, verw, "verw %ax");
SNIPPET(16, arpl, "arpl %ax, %cx");

static void each_of(const char *sdm, const char *name, const struct snippet *const *snippets,
                    struct verdict expected)
{
    case_begin(sdm, name);
    if (expected.vector == VECTOR_GP)
        write_cr4(cpuid(7, 0, CPUID_ECX) & 4 ? CR4_UMIP : 0);
    for (unsigned i = 0; snippets[i]; i++) {
        for (unsigned iopl = 0; iopl <= 3; iopl += 3) {
            struct state start = start_with(snippets[i], iopl << 12);
            case_attempt(snippets[i], &start, expected, "number %u, IOPL %u", i, iopl);
        }
    }
    write_cr4(0);
    case_end();
}

static void instructions(void)
{
    static const struct snippet *const privileged[] = {&hlt,    &lgdt,     &lidt,   &lmsw,
                                                       &clts,   &from_cr0, &to_cr3, &from_dr7,
                                                       &invlpg, &invd,     &wbinvd, NULL};
    static const struct snippet *const hidden[] = {&sgdt, &sidt, &smsw, NULL};
    static const struct snippet *const undefined[] = {&sldt, &str,  &lldt, &ltr,  &lar,
                                                      &lsl,  &verr, &verw, &arpl, NULL};

    each_of("3A 21.2.2", "privileged instructions are #GP in virtual-8086 mode", privileged,
            fault(VECTOR_GP, 0));
    if (cpuid(7, 0, CPUID_ECX) & 4)
        each_of("3A 2.5", "UMIP holds in virtual-8086 mode", hidden, fault(VECTOR_GP, 0));
    each_of("3A 21.2.2", "instructions on descriptors are #UD in virtual-8086 mode", undefined,
            fault(VECTOR_UD, 0));
}

/* --- CR4.PVI */

SNIPPET(32, cli_pvi, "cli");
SNIPPET(32, sti_pvi, "sti");
SNIPPET(32, pushf_pvi, "pushf; pop %ecx");
SNIPPET(32, popf_pvi, "push %eax; popf");

static void protected_virtual_interrupts(void)
{
    case_begin("3A 21.4", "CR4.PVI gives CPL 3 a virtual interrupt flag for CLI and STI");
    for (unsigned n = 0; n < 4 * 4 * 2 * 8; n++) {
        unsigned cpl = n & 3;
        uint32_t flags = (n >> 2 & 3) << 12 | (n & 32 ? FLAG_IF : 0) | (n & 64 ? FLAG_VIF : 0) |
                         (n & 128 ? FLAG_VIP : 0);
        bool pvi = n & 16, real = cpl <= iopl_of(flags), is_virtual = pvi && cpl == 3;
        /* POPF, by which CPL 0 is entered, loads neither. */
        if (!cpl || (flags & (FLAG_VIF | FLAG_VIP)) == (FLAG_VIF | FLAG_VIP))
            continue;
        write_cr4(pvi ? CR4_PVI : 0);
        struct state start = start_at(&cli_pvi, cpl);
        start.flags |= flags;
        check_flags("CLI", &cli_pvi, &start, cli_model((uint32_t)start.flags, real, is_virtual));
        start = start_at(&sti_pvi, cpl);
        start.flags |= flags;
        check_flags("STI", &sti_pvi, &start, sti_model((uint32_t)start.flags, real, is_virtual));
        start = start_at(&pushf_pvi, cpl);
        start.flags |= flags;
        struct state end = attempt(&start);
        case_check((end.gpr[RCX] & WATCHED) == (start.flags & WATCHED), "PUSHF, EFLAGS %llx: %llx",
                   start.flags, end.gpr[RCX]);
        start = start_at(&popf_pvi, cpl);
        start.flags |= flags;
        start.gpr[RAX] = FLAG_FIXED | (flags & FLAG_IF ? 0 : FLAG_IF) | FLAG_CF;
        uint32_t loaded =
            with((uint32_t)start.flags, FLAG_CF | (real ? FLAG_IF : 0), (uint32_t)start.gpr[RAX]);
        check_flags("POPF", &popf_pvi, &start, done(loaded));
    }
    write_cr4(0);
    case_end();
}

static void sensitive(const char *sdm, const char *name, void (*each)(uint32_t flags, bool vme))
{
    case_begin(sdm, name);
    task_state();
    set_ivt(VECTOR, &handler);
    each_state(each);
    case_end();
}

static void protected_mode(void)
{
    sensitive("3A 21.3", "CLI and STI in virtual-8086 mode: IOPL, VME, VIF, VIP", cli_and_sti);
    sensitive("2B PUSHF", "PUSHF in virtual-8086 mode: IOPL, VME, VIF", pushf);
    sensitive("2B POPF", "POPF in virtual-8086 mode: IOPL, VME, VIF, VIP", popf);
    sensitive("2A IRET", "IRET in virtual-8086 mode: IOPL, VME, VIF, VIP", iret);
    sensitive("3A 21.3.3", "INT n in virtual-8086 mode: IOPL, VME and the redirection bitmap",
              software_interrupt);
    sensitive("3A 21.3.3", "INT3 in virtual-8086 mode goes through the IDT", breakpoint);
    bitmap_limits();
    ports();
    instructions();
    protected_virtual_interrupts();
}

const struct topic topic = {"virtual-8086", protected_mode, NULL};
