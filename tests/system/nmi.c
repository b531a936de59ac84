/* Topic: NMIs, which the local APIC sends to its own processor.
 *
 * Protected mode at CPL 0 alone: the way into a snippet executes no IRET there.
 * Sources: SDM 3A §6.3.2, §6.7 (NMI), §6.7.1 (blocking until IRET), §11.6.1 (ICR); 2A IRET. */
#include "model.h"

/* Writes the command, and waits, longer than anything may take to come. */
SNIPPET(32, send, "mov %eax, (%ebx)\n mov $1000, %ecx\n1: loop 1b");
SNIPPET(32, wait, "mov $1000, %ecx\n1: loop 1b");
SNIPPET(32, interrupt_return, "iretl\n nop");
SNIPPET(32, faulting_return, "iretl");

#define ICR_LOW  0xfee00300
#define ICR_HIGH 0xfee00310
#define APIC_ID  0xfee00020
enum { NMI_TO_DESTINATION = 0x4400, IF = 0x200 };

static struct state start_sending(unsigned cpl)
{
    struct state start = start_at(&send, cpl);

    *dword_at(ICR_HIGH) = *dword_at(APIC_ID);
    start.gpr[RAX] = NMI_TO_DESTINATION;
    start.gpr[RBX] = ICR_LOW;
    return start;
}

/* NMIs are let through again by any IRET. */
static void unblock(void)
{
    struct state start = start_at(&wait, 3);

    attempt(&start);
}

static void delivery(void)
{
    case_begin("3A 6.7", "an NMI comes whatever IF is, at every CPL");
    for (unsigned i = 0; i < 8; i++) {
        struct state start = start_sending(i & 3);
        start.flags |= i & 4 ? IF : 0;
        struct state end = attempt(&start);
        case_check(end.vector == VECTOR_NMI && end.ip > start.ip && end.ip < (uint32_t)send.end &&
                       !(end.flags & FLAG_RF),
                   "CPL %u: vector %u at %llx", i & 3, (unsigned)end.vector, end.ip);
        unblock();
    }
    case_end();
}

static void blocking(void)
{
    case_begin("3A 6.7.1", "an NMI blocks the next until IRET, which one more cannot overtake");
    struct state start = start_sending(0), end = attempt(&start);
    case_check(end.vector == VECTOR_NMI, "first: vector %u", (unsigned)end.vector);
    for (unsigned i = 0; i < 2; i++) { /* the second and the third are one */
        start = start_sending(0);
        case_attempt(&send, &start, ENDS, "blocked, %u", i);
    }
    start = start_at(&interrupt_return, 0);
    *dword_at(STACK_TOP(0)) = (uint32_t)interrupt_return.end - 1;
    *dword_at(STACK_TOP(0) + 4) = SEL_CODE32(0);
    *dword_at(STACK_TOP(0) + 8) = FLAG_FIXED;
    end = attempt(&start);
    case_check(end.vector == VECTOR_NMI && end.ip == (uint32_t)interrupt_return.end - 1,
               "after IRET: vector %u at %llx", (unsigned)end.vector, end.ip);
    start = start_at(&wait, 0);
    case_attempt(&wait, &start, ENDS, "nothing is left, and it is blocked again");
    unblock();
    start = start_at(&wait, 0);
    case_attempt(&wait, &start, ENDS, "nothing is left, and it is let through");
    case_end();
}

static void faulting_iret(void)
{
    case_begin("3A 6.7.1", "an IRET that faults lets NMIs through as well");
    struct state start = start_sending(0), end = attempt(&start);
    case_check(end.vector == VECTOR_NMI, "first: vector %u", (unsigned)end.vector);
    start = start_at(&faulting_return, 0);
    *dword_at(STACK_TOP(0)) = 0;
    *dword_at(STACK_TOP(0) + 4) = 0; /* a null selector */
    *dword_at(STACK_TOP(0) + 8) = FLAG_FIXED;
    case_attempt(&faulting_return, &start, fault(VECTOR_GP, 0), "IRET");
    start = start_sending(0);
    end = attempt(&start);
    case_check(end.vector == VECTOR_NMI, "second: vector %u", (unsigned)end.vector);
    unblock();
    case_end();
}

static void protected_mode(void)
{
    delivery();
    blocking();
    faulting_iret();
}

const struct topic topic = {"nmi", protected_mode, NULL};
