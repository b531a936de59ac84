/* What a BIOS leaves in the first MiB and in the chips, for kernels that are booted without one. */
#ifndef MACHINE_BIOS_AREA_H
#define MACHINE_BIOS_AREA_H

struct machine;

/* Interrupt vectors, BIOS data area, EBDA; RAM at C0000h..FFFFFh; 8259s, 8254 and local APIC
 * (virtual wire mode) as after the power-on self test. */
void bios_area_write(struct machine *machine);

#endif
