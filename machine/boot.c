#include "machine/boot.h"

#include "machine/acpi_board.h"
#include "machine/bios_area.h"
#include "machine/board.h"
#include "machine/boot_screen.h"
#include "machine/pci_setup.h"

/* MTRRs as firmware leaves them: memory is write-back, the PCI hole and the VGA window are not. */
static void boot_set_mtrrs(struct cpu *cpu)
{
    enum { UC = 0, WP = 5, WB = 6, ENABLE = 0x800, FIXED_ENABLE = 0x400, VALID = 0x800 };
    static const uint64_t of_all = UINT64_C(0x0101010101010101);
    for (unsigned i = 0; i < ARRAY_LENGTH(cpu->msr.mtrr_fixed); i++)
        cpu->msr.mtrr_fixed[i] = of_all * (i < 2 ? WB : i == 2 ? UC : WP);
    cpu->msr.mtrr_base[0] = 3 * GIB | UC;
    cpu->msr.mtrr_mask[0] = ((BIT(cpu->model->physical_bits) - 1) & ~(uint64_t)(GIB - 1)) | VALID;
    cpu->msr.mtrr_def_type = ENABLE | FIXED_ENABLE | WB;
}

int boot_kernel(struct machine *machine, struct error *error)
{
    const struct machine_config *config = &machine->config;
    struct physmem *physmem = &machine->physmem;
    struct boot boot = {
        .physmem = physmem,
        .has_long_mode = feature_has(&config->cpu_model.features, FEAT_LM),
        .command_line = config->append ? config->append : "",
        .initrd = config->initrd,
    };
    int result = boot_read_file(&boot.kernel, config->kernel, "-kernel", error);
    if (result < 0)
        return result;
    pci_setup(machine->board);
    bios_area_write(machine);
    result = acpi_write(machine->board, &boot.memory_end, &boot.rsdp, error);
    if (result == 0) {
        e820_build(&boot.e820, physmem->ram_below_4g, physmem->ram_bytes - physmem->ram_below_4g,
                   boot.memory_end);
        result = boot_load(&boot, error);
    }
    boot_file_free(&boot.kernel);
    if (result == 0) {
        struct cpu *cpu = machine->vcpus[0].cpu;
        boot_set_mtrrs(cpu);
        machine->entry = boot.entry;
        machine->entry_pending = boot_screen_start(machine);
        if (!machine->entry_pending)
            boot_enter(cpu, physmem, &machine->entry);
    }
    return result;
}
