/* The registers of the system: set for a probe, taken down before and after it.
 * Sources: SDM 3A §2.5, §10.8; 4 (MSRs); 8259A and 8254 datasheets. */
#include "control.h"
#include "io.h"
#include "sensitive.h"

enum {
    PIC_MASTER = 0x20,
    PIC_SLAVE = 0xa0,
    PIT = 0x40,
};

static uint64_t read_xcr0(void)
{
    uint32_t low, high;

    write_cr4(read_cr4() | CR4_OSXSAVE);
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (uint64_t)high << 32 | low;
}

static void reset_xcr0(void)
{
    write_cr4(read_cr4() | CR4_OSXSAVE);
    __asm__ volatile("xsetbv" : : "c"(0), "a"(USUAL_XCR0), "d"(0));
}

/* --- the timer's interrupt */

static void pic_init(uint8_t master_mask)
{
    static const uint8_t master[] = {0x11, VECTOR_IRQ0, 4, 1};
    static const uint8_t slave[] = {0x11, VECTOR_IRQ0 + 8, 2, 1};

    for (unsigned i = 0; i < sizeof master; i++) {
        out8(PIC_MASTER + (i > 0), master[i]);
        out8(PIC_SLAVE + (i > 0), slave[i]);
    }
    out8(PIC_MASTER + 1, master_mask);
    out8(PIC_SLAVE + 1, 0xff);
}

/* Waits until it is pending: a probe then meets it at an instruction, not at a time. */
static void irq_arm(void)
{
    out8(PIT + 3, 0x30); /* counter 0, mode 0: the output is low until the count is over */
    pic_init(0xfe);
    out8(PIT, 16);
    out8(PIT, 0);
    out8(PIC_MASTER, 0x0a); /* OCW3: read the requests */
    while (!(in8(PIC_MASTER) & 1))
        ;
}

/* --- set */

void system_init(void)
{
    out8(PIT + 3, 0x30); /* no interrupts but those that are asked for */
    wrmsr(MSR_TSC_AUX, TSC_AUX);
    wrmsr(MSR_STAR,
          (uint64_t)(SEL_FLAT_CODE + 3) << 48 | (uint64_t)SEL_CODE64_0 << 32 | TARGET_LINEAR);
    wrmsr(MSR_LSTAR, TARGET_LINEAR);
    wrmsr(MSR_CSTAR, TARGET_LINEAR);
    wrmsr(MSR_SFMASK, USUAL_SFMASK);
    wrmsr(MSR_SYSENTER_EIP, TARGET_LINEAR);
}

static void reset_registers(const struct probe *probe, const struct mode *mode)
{
    uint64_t efer = rdmsr(MSR_EFER);

    write_dr7(DR7_RESET);
    write_dr0(PROBE_DR0);
    write_dr1(0);
    write_dr2(0);
    write_dr3(0);
    write_dr6(DR6_RESET);
    reset_xcr0();
    wrmsr(MSR_SYSENTER_CS, probe->is_set[TAG_NO_SEP] ? 0 : SEL_CODE64_0);
    wrmsr(MSR_SYSENTER_ESP, SYSENTER_TOP);
    wrmsr(MSR_EFER, probe->is_set[TAG_NO_SCE] ? efer & ~(uint64_t)EFER_SCE : efer | EFER_SCE);
    wrmsr(MSR_FS_BASE, state_in->fs_base);
    wrmsr(MSR_GS_BASE, state_in->gs_base);
    wrmsr(MSR_KERNEL_GS_BASE, KERNEL_GS_BASE);
    wrmsr(MSR_TSC, START_OF_TIME);
    write_cr2(PROBE_CR2);
    write_cr3(PAGE_TABLES);
    write_cr4(mode_cr4(mode));
    write_cr0(mode_cr0(mode) | CR0_PE);
    for (unsigned i = 0; i < PROBE_PORTS; i++)
        out8(PROBE_PORT + i, 0x11 * (i + 1));
}

/* --- taken down */

static void note_memory(struct system *system)
{
    for (unsigned i = 0; i < sizeof system->gdt; i++)
        system->gdt[i] = ((volatile uint8_t *)GDT)[i];
    for (unsigned i = 0; i < WINDOW_BYTES; i++) {
        system->stack[i] = STACK_WINDOW[i];
        system->flat[i] = FLAT_WINDOW[i];
        system->data[i] = DATA_WINDOW[i];
        system->extra[i] = EXTRA_WINDOW[i];
    }
}

static void note_registers(struct system *system)
{
    __asm__ volatile("sldt %0" : "=m"(system->ldtr));
    __asm__ volatile("str %0" : "=m"(system->tr));
    system->cr2 = read_cr2();
    system->cr3 = read_cr3();
    system->cr4 = read_cr4();
    system->dr[0] = read_dr0();
    system->dr[1] = read_dr1();
    system->dr[2] = read_dr2();
    system->dr[3] = read_dr3();
    system->dr[6] = read_dr6();
    system->dr[7] = read_dr7();
    system->efer = rdmsr(MSR_EFER);
    system->fs_base = rdmsr(MSR_FS_BASE);
    system->gs_base = rdmsr(MSR_GS_BASE);
    system->kernel_gs_base = rdmsr(MSR_KERNEL_GS_BASE);
    system->sysenter_esp = rdmsr(PROBE_MSR);
    system->xcr0 = read_xcr0();
    for (unsigned i = 0; i < PROBE_PORTS; i++)
        system->ports[i] = in8(PROBE_PORT + i);
}

void system_prepare(const struct probe *probe, const struct mode *mode, struct system *before)
{
    bool is_real = mode->bit == MODE_REAL;

    load_gdtr(GDT, GDT_LIMIT);
    load_idtr(IDT, IDT_LIMIT);
    tables_reset(mode_is_long(mode));
    reset_registers(probe, mode);
    note_registers(before);
    note_memory(before);
    before->gdt_base = GDT;
    before->gdt_limit = GDT_LIMIT;
    before->idt_base = is_real ? 0 : IDT;
    before->idt_limit = is_real ? IVT_LIMIT : IDT_LIMIT;
    before->cr0 = mode_cr0(mode) ^ probe->set[TAG_CR0];
    before->cr4 = mode_cr4(mode) ^ probe->set[TAG_CR4];
    before->dr[7] = DR7_RESET | probe->set[TAG_DR7];

    if (probe->is_set[TAG_IRQ])
        irq_arm();
    else
        pic_init(0xff);
    write_cr4(before->cr4);
    write_dr7(before->dr[7]);
    write_cr0(before->cr0 | CR0_PE);
}

void system_note(struct system *after)
{
    note_registers(after);
    note_memory(after);
    after->gdt_base = state_out->gdtr.base;
    after->gdt_limit = state_out->gdtr.limit;
    after->idt_base = state_out->idtr.base;
    after->idt_limit = state_out->idtr.limit;
    after->cr0 = state_out->cr0;
}
