/* Topic: far RET and IRET.
 *
 * Each snippet returns to its own end.  Sources: SDM 2A IRET, 2B RET, 3A §5.8.6, §6.12.1, §6.14.3.
 */
#include "model.h"

SNIPPET(32, retf_32, "lretl");
SNIPPET(32, retf_16, "lretw");
SNIPPET(32, retf_32_release, "lretl $8");
SNIPPET(64, retf_64, "lretl");
SNIPPET(64, retf_64_qword, "lretq");
SNIPPET(64, retf_64_release, "lretq $16");
SNIPPET(32, iret_32, "iretl");
SNIPPET(32, iret_16, "iretw");
SNIPPET(64, iret_64, "iretl");
SNIPPET(64, iret_64_qword, "iretq");

enum { GLOBAL = SEL_SCRATCH, STACK = SEL_SCRATCH + 8, DATA_SEGMENT = SEL_SCRATCH + 0x10 };
enum { TF = 0x100, IF = 0x200, IOPL = 0x3000, NT = 0x4000, VIF_VIP = 0x180000 };

struct form {
    const char *name;
    const struct snippet *snippet;
    unsigned unit; /* bytes of a word on the stack */
    bool is_iret;
    unsigned release; /* bytes */
};

static const struct form forms_32[] = {{"RETF", &retf_32, 4, false, 0},
                                       {"16-bit RETF", &retf_16, 2, false, 0},
                                       {"RETF 8", &retf_32_release, 4, false, 8},
                                       {"IRET", &iret_32, 4, true, 0},
                                       {"16-bit IRET", &iret_16, 2, true, 0}};
static const struct form forms_64[] = {{"RETF", &retf_64, 4, false, 0},
                                       {"64-bit RETF", &retf_64_qword, 8, false, 0},
                                       {"64-bit RETF 16", &retf_64_release, 8, false, 16},
                                       {"IRET", &iret_64, 4, true, 0},
                                       {"64-bit IRET", &iret_64_qword, 8, true, 0}};

/* What lies on the stack. */
struct frame {
    uint64_t ip;
    unsigned cs;
    uint64_t flags, sp;
    unsigned ss;
};

/* 16-bit offsets reach code at LOW_BASE. */
static uint32_t base_of(const struct form *form)
{
    return form->unit == 2 ? LOW_BASE : 0;
}

static unsigned code_size(const struct form *form)
{
    return form->snippet->bits == 64 ? SIZE_64 : SIZE_32;
}

static struct snippet based(const struct form *form)
{
    struct snippet snippet = *form->snippet;

    snippet.bits = form->unit == 2 ? 16 : snippet.bits;
    return snippet;
}

/* IRET of 64-bit code always pops a stack (SDM 3A 6.14.3). */
static bool pops_stack(const struct form *form, unsigned cpl, unsigned rpl)
{
    return rpl > cpl || (form->is_iret && form->snippet->bits == 64);
}

static uint32_t put(const struct form *form, uint32_t at, uint64_t value)
{
    if (form->unit == 2)
        *word_at(at) = value;
    else if (form->unit == 4)
        *dword_at(at) = value;
    else
        *qword_at(at) = value;
    return at + form->unit;
}

static void put_frame(const struct form *form, uint32_t at, const struct frame *frame)
{
    at = put(form, at, frame->ip);
    at = put(form, at, frame->cs);
    if (form->is_iret)
        at = put(form, at, frame->flags);
    at += form->release;
    at = put(form, at, frame->sp);
    put(form, at, frame->ss);
}

/* A frame that returns to `cpl` by usual descriptors, but for CS. */
static struct frame frame_to(const struct form *form, unsigned cs)
{
    return (struct frame){.ip = (uint32_t)form->snippet->end - base_of(form),
                          .cs = cs,
                          .flags = FLAG_FIXED,
                          .sp = STACK_TOP(cs & 3),
                          .ss = SEL_DATA32(cs & 3)};
}

static struct state go(const struct form *form, unsigned cpl, const struct frame *frame,
                       struct verdict verdict)
{
    struct snippet snippet = based(form);
    struct state start = start_at(form->snippet, cpl);

    start.gpr[RSP] -= 0x80;
    put_frame(form, start.gpr[RSP], frame);
    struct state end = attempt(&start);
    case_compare(&snippet, &start, &end, verdict,
                 "%s, CS %04x %016llx, SS %04x %016llx, IP %llx, CPL %u", form->name, frame->cs,
                 gdt_get(GLOBAL), frame->ss, gdt_get(STACK), frame->ip, cpl);
    return end;
}

static void check_stack(const struct form *form, const struct state *end, unsigned cpl,
                        const struct frame *frame)
{
    unsigned words = form->is_iret ? 3 : 2;
    bool popped = pops_stack(form, cpl, frame->cs & 3);
    uint64_t ss = popped ? frame->ss : start_at(form->snippet, cpl).ss;
    uint64_t outer = form->unit == 2 ? frame->sp & 0xffff : frame->sp;
    uint64_t sp =
        popped ? outer + form->release : STACK_TOP(cpl) - 0x80 + words * form->unit + form->release;

    case_check(end->cs == frame->cs && end->ss == ss && end->gpr[RSP] == sp,
               "%s, CPL %u to %u: CS %04llx, SS:RSP %04llx:%llx for %04llx:%llx", form->name, cpl,
               frame->cs & 3, end->cs, end->ss, end->gpr[RSP], ss, sp);
}

/* --- CS */

static void all_code(const struct form *form, const char *place)
{
    unsigned sizes = in_long_mode() ? 4 : 1;

    case_begin_in("3A 5.8.6", form->name, place);
    for (unsigned i = 0; i < KINDS * 0x80 * sizes; i++) {
        struct kind k = {i & 31, i >> 5 & 3, i >> 7 & 1};
        unsigned rpl = i >> 8 & 3, cpl = i >> 10 & 3;
        unsigned flags = in_long_mode() ? (i >> 12) * SIZE_64 : SIZE_32;
        if (form->unit == 2 && flags == SIZE_64)
            continue; /* no snippet lies where 64-bit code has a 16-bit address */
        uint64_t value = descriptor(base_of(form), 0xfffff, access_byte(k), PAGES | flags);
        struct verdict verdict = model_return_code(GLOBAL | rpl, k, flags, cpl);
        struct frame frame = frame_to(form, GLOBAL | rpl);
        gdt_set(GLOBAL, value);
        struct state end = go(form, cpl, &frame, verdict);
        if (!ends(verdict))
            continue;
        check_stack(form, &end, cpl, &frame);
        case_check(gdt_get(GLOBAL) == (value | (uint64_t)1 << 40), "descriptor is %016llx",
                   gdt_get(GLOBAL));
    }
    case_end();
}

static void no_code(const struct form *forms, unsigned count, const char *place)
{
    case_begin_in("2B RET", "a return to no descriptor", place);
    for (unsigned i = 0; i < count * 16; i++) {
        const struct form *form = &forms[i / 16];
        unsigned cpl = i >> 2 & 3, rpl = i & 3;
        struct frame frame = frame_to(form, rpl);
        go(form, cpl, &frame, fault(VECTOR_GP, 0));
        frame.cs = (GDT_LIMIT + 1) | rpl;
        go(form, cpl, &frame, fault(VECTOR_GP, GDT_LIMIT + 1));
        frame.cs = (LDT_LIMIT + 1) | 4 | rpl;
        go(form, cpl, &frame, fault(VECTOR_GP, (LDT_LIMIT + 1) | 4));
    }
    case_end();
}

/* --- SS */

static void all_stacks(const struct form *form, const char *place)
{
    case_begin_in("3A 5.8.6",
                  form->unit == 4 || form->unit == 8
                      ? (form->is_iret ? "IRET's stack segment" : "RETF's stack segment")
                      : "a 16-bit return's stack segment",
                  place);
    for (unsigned i = 0; i < KINDS * 0x200; i++) {
        struct kind k = {i & 31, i >> 5 & 3, i >> 7 & 1};
        unsigned ss_rpl = i >> 8 & 3, rpl = i >> 10 & 3, cpl = i >> 12 & 3;
        if (rpl < cpl || !pops_stack(form, cpl, rpl))
            continue;
        struct verdict verdict = model_stack(STACK | ss_rpl, k, rpl, VECTOR_GP);
        gdt_set(GLOBAL,
                descriptor(base_of(form), 0xfffff, CODE | rpl << 5, PAGES | code_size(form)));
        gdt_set(STACK, descriptor(0, is_expand_down(k.kind) ? 0 : 0xfffff, access_byte(k),
                                  PAGES | SIZE_32));
        struct frame frame = frame_to(form, GLOBAL | rpl);
        frame.ss = STACK | ss_rpl;
        struct state end = go(form, cpl, &frame, verdict);
        if (ends(verdict))
            check_stack(form, &end, cpl, &frame);
    }
    case_end();
}

static void null_stacks(const struct form *forms, unsigned count, const char *place)
{
    case_begin_in("2A IRET", "a return to a null stack", place);
    for (unsigned i = 0; i < count * 16 * 2; i++) {
        const struct form *form = &forms[i / 32];
        unsigned cpl = i & 3, rpl = i >> 2 & 3;
        bool to_64 = in_long_mode() && i >> 4 & 1;
        if (rpl < cpl || !pops_stack(form, cpl, rpl))
            continue;
        gdt_set(GLOBAL, descriptor(base_of(form), 0xfffff, CODE | rpl << 5,
                                   PAGES | (to_64 ? SIZE_64 : SIZE_32)));
        struct frame frame = frame_to(form, GLOBAL | rpl);
        frame.ss = rpl;
        bool allowed = form->snippet->bits == 64 && to_64 && rpl != 3;
        go(form, cpl, &frame, allowed ? ENDS : fault(VECTOR_GP, 0));
        frame.ss = (GDT_LIMIT + 1) | rpl;
        go(form, cpl, &frame, fault(VECTOR_GP, GDT_LIMIT + 1));
    }
    case_end();
}

/* --- DS, ES, FS and GS after a return to less privilege */

static void data_segments(const struct form *form, const char *name, const char *place)
{
    case_begin_in("3A 5.8.6", name, place);
    for (unsigned i = 0; i < 16 * 16 * 16; i++) {
        struct kind k = {16 + (i & 15), i >> 4 & 3, true};
        unsigned rpl = i >> 6 & 3, cpl = i >> 8 & 3, selector_rpl = i >> 10 & 3;
        unsigned selector = DATA_SEGMENT | selector_rpl;
        if (rpl < cpl || !ends(model_load(SEG_DS, selector, k, 0, false)))
            continue;
        gdt_set(DATA_SEGMENT, descriptor(0, 0xfffff, access_byte(k), PAGES | SIZE_32));
        gdt_set(GLOBAL,
                descriptor(base_of(form), 0xfffff, CODE | rpl << 5, PAGES | code_size(form)));
        struct state start = start_at(form->snippet, cpl);
        struct snippet snippet = based(form);
        struct frame frame = frame_to(form, GLOBAL | rpl);
        start.gpr[RSP] -= 0x80;
        put_frame(form, start.gpr[RSP], &frame);
        start.ds = start.es = start.fs = start.gs = selector;
        /* The way into the snippet is a return to its CPL as well. */
        bool kept = is_conforming(k.kind) || k.dpl >= rpl || (rpl == cpl && cpl == 0);
        unsigned expected = kept ? selector : 0;
        struct state end = attempt(&start);
        case_compare(&snippet, &start, &end, ENDS, "%s", form->name);
        case_check(end.ds == expected && end.es == expected && end.fs == expected &&
                       end.gs == expected,
                   "%s, CPL %u to %u, kind %02x, DPL %u: DS %04llx ES %04llx FS %04llx GS %04llx",
                   form->name, cpl, rpl, k.kind, k.dpl, end.ds, end.es, end.fs, end.gs);
    }
    case_end();
}

/* --- where it returns to */

static void return_limit(const struct form *forms, unsigned count, const char *place)
{
    case_begin_in("3A 5.3", "a return beyond the code segment's limit", place);
    for (unsigned i = 0; i < count * 4; i++) {
        const struct form *form = &forms[i / 4];
        uint32_t target = (uint32_t)form->snippet->end - base_of(form);
        unsigned rpl = i & 1 ? 3 : 0, room = i & 2;
        gdt_set(GLOBAL, descriptor(base_of(form), target - 1 + room, CODE | rpl << 5, SIZE_32));
        struct frame frame = frame_to(form, GLOBAL | rpl);
        go(form, 0, &frame, room ? ENDS : fault(VECTOR_GP, 0));
    }
    case_end();
}

static void order(const struct form *forms, unsigned count, const char *place)
{
    case_begin_in("2B RET", "CS is checked before SS, and SS before the code segment's limit",
                  place);
    gdt_set(STACK, descriptor(0, 0xfffff, 0x73, PAGES | SIZE_32)); /* not present */
    for (unsigned i = 0; i < count; i++) {
        const struct form *form = &forms[i];
        uint32_t target = (uint32_t)form->snippet->end - base_of(form);
        struct frame frame = frame_to(form, GLOBAL | 3);
        frame.ss = STACK | 3;
        gdt_set(GLOBAL, descriptor(base_of(form), target - 1, 0x7b, SIZE_32));
        go(form, 0, &frame, fault(VECTOR_NP, GLOBAL));
        gdt_set(GLOBAL, descriptor(base_of(form), target - 1, 0xfb, SIZE_32));
        go(form, 0, &frame, fault(VECTOR_SS, STACK));
    }
    case_end();
}

static void return_canonical(void)
{
    static const uint64_t addresses[] = {0x0000800000000000, 0x00007fffffffffff,
                                         0xffff800000000000, 0xffff7fffffffffff,
                                         0x8000000000000000, 0x0001000000011000};

    case_begin("3A 3.3.7.1", "a return to an address that is not canonical: #GP(0)");
    for (unsigned i = 0; i < COUNT(forms_64) * COUNT(addresses) * 2; i++) {
        const struct form *form = &forms_64[i / 2 / COUNT(addresses)];
        uint64_t address = addresses[i / 2 % COUNT(addresses)];
        unsigned rpl = i & 1 ? 3 : 0;
        bool is_canonical = (uint64_t)((int64_t)(address << 16) >> 16) == address;
        if (form->unit != 8)
            continue;
        struct frame frame = frame_to(form, SEL_CODE64(rpl));
        frame.ip = address;
        struct state start = start_at(form->snippet, 0);
        start.gpr[RSP] -= 0x80;
        put_frame(form, start.gpr[RSP], &frame);
        struct state end = attempt(&start);
        if (is_canonical)
            case_check(end.vector == VECTOR_PF && end.ip == address,
                       "%s to %016llx: vector %llu at %llx", form->name, address, end.vector,
                       end.ip);
        else
            case_compare(form->snippet, &start, &end, fault(VECTOR_GP, 0), "%s to %016llx",
                         form->name, address);
    }
    case_end();
}

/* --- IRET's flags */

/* Which bits of EFLAGS the image sets (SDM 2A IRET): those of `cpl` before the return. */
static uint32_t settable(unsigned unit, unsigned cpl, unsigned iopl)
{
    uint32_t mask = 0x4dd5 & ~TF; /* NT OF DF SF ZF AF PF CF */

    if (unit > 2)
        mask |= 0x250000; /* ID, AC, RF */
    if (unit > 2 && cpl == 0)
        mask |= VIF_VIP;
    if (cpl <= iopl)
        mask |= IF;
    return cpl == 0 ? mask | IOPL : mask;
}

static void iret_flags(const struct form *form, const char *name, const char *place)
{
    static const uint32_t images[] = {0,        0xd5,     0x200,    0x3000,   0x4000,     0x40000,
                                      0x180000, 0x200000, 0x3f7ed7, 0x237ad5, 0xffc0ffff, 0x10000};

    case_begin_in("2A IRET", name, place);
    for (unsigned i = 0; i < COUNT(images) * 64; i++) {
        unsigned cpl = i & 3, rpl = i >> 2 & 3, iopl = i >> 4 & 3;
        uint32_t image = images[i >> 6] & ~(TF | FLAG_VM);
        if (rpl < cpl)
            continue;
        gdt_set(GLOBAL,
                descriptor(base_of(form), 0xfffff, CODE | rpl << 5, PAGES | code_size(form)));
        struct state start = start_at(form->snippet, cpl);
        struct snippet snippet = based(form);
        struct frame frame = frame_to(form, GLOBAL | rpl);
        frame.flags = image;
        start.flags |= 0x40895 | iopl << 12;
        start.gpr[RSP] -= 0x80;
        put_frame(form, start.gpr[RSP], &frame);
        struct state end = attempt(&start);
        uint32_t mask = settable(form->unit, cpl, iopl);
        uint32_t expected = ((start.flags & ~mask) | (image & mask)) & ~(uint32_t)FLAG_RF;
        case_compare(&snippet, &start, &end, ENDS, "%s, image %08x, CPL %u to %u", form->name,
                     image, cpl, rpl);
        case_check((end.flags & ~(uint64_t)FLAG_RF) == expected,
                   "%s, image %08x, IOPL %u, CPL %u to %u: flags %08llx for %08x", form->name,
                   image, iopl, cpl, rpl, end.flags, expected);
    }
    case_end();
}

static void nested_task_in_long_mode(const struct form *forms, unsigned count, const char *place)
{
    case_begin_in("2A IRET", "IRET with NT set: #GP(0)", place);
    for (unsigned i = 0; i < count * 4; i++) {
        const struct form *form = &forms[i / 4];
        if (!form->is_iret)
            continue;
        struct state start = start_at(form->snippet, i & 3);
        struct frame frame = frame_to(form, SEL_CODE64(3));
        start.flags |= NT;
        start.gpr[RSP] -= 0x80;
        put_frame(form, start.gpr[RSP], &frame);
        case_attempt(form->snippet, &start, fault(VECTOR_GP, 0), "%s, CPL %u", form->name, i & 3);
    }
    case_end();
}

/* --- IRET to virtual-8086 mode */

static struct state iret_to_v86(unsigned cpl, uint32_t ip, struct verdict verdict)
{
    static const uint32_t segments[] = {0x2100, 0x2200, 0x2300, 0x2400}; /* ES DS FS GS */
    struct state start = start_at(&iret_32, cpl);
    struct snippet landing = iret_32;

    landing.bits = 16;
    start.gpr[RSP] -= 0x80;
    uint32_t at = start.gpr[RSP];
    *dword_at(at) = ip;
    *dword_at(at + 4) = cpl ? SEL_CODE32(3) : 0xabcd0000 | LOW_BASE >> 4;
    *dword_at(at + 8) = FLAG_VM | FLAG_FIXED | IOPL;
    *dword_at(at + 12) = cpl ? STACK_TOP(3) : 0x12345678;
    *dword_at(at + 16) = cpl ? SEL_DATA32(3) : DATA_BASE >> 4;
    for (unsigned i = 0; i < 4; i++)
        *dword_at(at + 20 + 4 * i) = segments[i];
    struct state end = attempt(&start);
    case_compare(cpl ? &iret_32 : &landing, &start, &end, verdict, "CPL %u, IP %x", cpl, ip);
    return end;
}

static void virtual_8086(void)
{
    uint32_t ip = (uint32_t)iret_32.end - LOW_BASE;

    case_begin("2A IRET", "IRET at CPL 0 to virtual-8086 mode loads all segments");
    struct state end = iret_to_v86(0, ip, ENDS);
    case_check(end.cs == LOW_BASE >> 4 && end.ss == DATA_BASE >> 4 && end.es == 0x2100 &&
                   end.ds == 0x2200 && end.fs == 0x2300 && end.gs == 0x2400,
               "CS %llx SS %llx ES %llx DS %llx FS %llx GS %llx", end.cs, end.ss, end.es, end.ds,
               end.fs, end.gs);
    case_check(end.gpr[RSP] == 0x12345678, "ESP %llx", end.gpr[RSP]);
    case_check((end.flags & (FLAG_VM | IOPL)) == (FLAG_VM | IOPL), "flags %llx", end.flags);
    case_end();

    case_begin("2A IRET", "IRET to virtual-8086 mode beyond 64 KiB: #GP(0)");
    iret_to_v86(0, 0x10000 | ip, fault(VECTOR_GP, 0));
    case_end();

    case_begin("2A IRET", "VM in the image is ignored at CPL 1, 2 and 3");
    for (unsigned cpl = 1; cpl <= 3; cpl++) {
        end = iret_to_v86(cpl, (uint32_t)iret_32.end, ENDS);
        case_check(!(end.flags & FLAG_VM) && end.cs == SEL_CODE32(3), "CPL %u: flags %llx", cpl,
                   end.flags);
    }
    case_end();
}

static void no_virtual_8086(const struct form *form, const char *place)
{
    case_begin_in("2A IRET", "VM in the image is ignored in long mode", place);
    for (unsigned cpl = 0; cpl <= 3; cpl++) {
        struct state start = start_at(form->snippet, cpl);
        struct frame frame = frame_to(form, SEL_CODE64(3));
        frame.flags |= FLAG_VM;
        start.gpr[RSP] -= 0x80;
        put_frame(form, start.gpr[RSP], &frame);
        struct state end = case_attempt(form->snippet, &start, ENDS, "CPL %u", cpl);
        case_check(!(end.flags & FLAG_VM), "CPL %u: flags %llx", cpl, end.flags);
    }
    case_end();
}

static void everything(const struct form *forms, unsigned count, const char *place)
{
    for (unsigned i = 0; i < count; i++)
        all_code(&forms[i], place);
    all_stacks(&forms[count - 1], place);
    no_code(forms, count, place);
    null_stacks(forms, count, place);
    return_limit(forms, count, place);
    order(forms, count, place);
}

static void protected_mode(void)
{
    static const char *const place = "protected mode";

    everything(forms_32, COUNT(forms_32), place);
    all_stacks(&forms_32[0], place);
    all_stacks(&forms_32[3], place);
    data_segments(&forms_32[0], "RETF to less privilege drops data segments", place);
    data_segments(&forms_32[3], "IRET to less privilege drops data segments", place);
    iret_flags(&forms_32[3], "which flags IRET sets", place);
    iret_flags(&forms_32[4], "which flags a 16-bit IRET sets", place);
    virtual_8086();
}

static void long_mode(void)
{
    everything(forms_32, COUNT(forms_32), "compatibility mode");
    everything(forms_64, COUNT(forms_64), "64-bit mode");
    all_stacks(&forms_64[1], "64-bit mode");
    data_segments(&forms_32[3], "IRET to less privilege drops data segments", "compatibility mode");
    data_segments(&forms_64[1], "RETF to less privilege drops data segments", "64-bit mode");
    data_segments(&forms_64[4], "IRET to less privilege drops data segments", "64-bit mode");
    iret_flags(&forms_32[3], "which flags IRET sets", "compatibility mode");
    iret_flags(&forms_64[3], "which flags IRET sets", "64-bit mode");
    iret_flags(&forms_64[4], "which flags a 64-bit IRET sets", "64-bit mode");
    nested_task_in_long_mode(forms_32, COUNT(forms_32), "compatibility mode");
    nested_task_in_long_mode(forms_64, COUNT(forms_64), "64-bit mode");
    no_virtual_8086(&forms_32[3], "compatibility mode");
    no_virtual_8086(&forms_64[4], "64-bit mode");
    return_canonical();
}

const struct topic topic = {"return", protected_mode, long_mode};
