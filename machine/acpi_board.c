/* Source of the table loader's commands: SeaBIOS, src/fw/romfile_loader.h (the layout). */
#include "machine/acpi_board.h"

#include "machine/acpi.h"
#include "machine/board.h"
#include "machine/e820.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
    RSDP_OFFSET = 0x40, /* in the BIOS segment */

    LOADER_ALLOCATE = 1,
    LOADER_ADD_POINTER = 2,
    LOADER_ADD_CHECKSUM = 3,
    LOADER_NAME_BYTES = 56,
    LOADER_COMMAND_BYTES = 128,
    ZONE_HIGH = 1,
    ZONE_F_SEGMENT = 2,
    LOADER_COMMANDS_MOST = 2 + 2 * ACPI_FIXUPS_MAX,
};

static const char acpi_tables_file[] = "etc/acpi/tables";
static const char acpi_rsdp_file[] = "etc/acpi/rsdp";

static struct acpi *acpi_new(struct board *board, struct error *error)
{
    const struct machine_config *config = &board->machine->config;
    struct acpi_facts facts = {
        .cpus = board->machine->vcpu_count,
        .has_apic = feature_has(&config->cpu_model.features, FEAT_APIC),
        .has_hpet = true,
    };
    for (unsigned i = 0; i < BOARD_UARTS; i++)
        facts.serials |= (uint8_t)((config->serials[i] != NULL) << i);
    struct acpi *acpi = malloc(sizeof *acpi);
    if (acpi)
        acpi_build(acpi, &facts);
    else
        error_set(error, ENOMEM, "ACPI tables: out of host memory; free some");
    return acpi;
}

int acpi_write(struct board *board, uint64_t *tables, uint64_t *rsdp, struct error *error)
{
    struct physmem *physmem = &board->machine->physmem;
    struct acpi *acpi = acpi_new(board, error);
    if (!acpi)
        return -ENOMEM;
    uint64_t end = physmem->ram_below_4g;
    if (end < 2 * HIGH_MEMORY) {
        free(acpi);
        return error_set(error, ENOMEM, "-m: too little memory for a kernel; give at least 2M");
    }
    *tables = (end - acpi->length) & PAGE_MASK;
    *rsdp = BIOS_ADDRESS + RSDP_OFFSET;
    acpi_relocate(acpi, *tables);
    physmem_write(physmem, GPA(*tables), acpi->tables, acpi->length);
    physmem_write(physmem, GPA(*rsdp), acpi->rsdp, sizeof acpi->rsdp);
    free(acpi);
    return 0;
}

static void loader_name(uint8_t *at, const char *name)
{
    memcpy(at, name, strlen(name) + 1);
}

static uint8_t *loader_allocate(uint8_t *command, const char *file, uint32_t alignment,
                                uint8_t zone)
{
    store_le32(command, LOADER_ALLOCATE);
    loader_name(command + 4, file);
    store_le32(command + 4 + LOADER_NAME_BYTES, alignment);
    command[8 + LOADER_NAME_BYTES] = zone;
    return command + LOADER_COMMAND_BYTES;
}

static uint8_t *loader_pointer(uint8_t *command, const struct acpi_pointer *pointer)
{
    store_le32(command, LOADER_ADD_POINTER);
    loader_name(command + 4, pointer->in_rsdp ? acpi_rsdp_file : acpi_tables_file);
    loader_name(command + 4 + LOADER_NAME_BYTES, acpi_tables_file);
    store_le32(command + 4 + 2 * LOADER_NAME_BYTES, pointer->offset);
    command[8 + 2 * LOADER_NAME_BYTES] = pointer->bytes;
    return command + LOADER_COMMAND_BYTES;
}

static uint8_t *loader_checksum(uint8_t *command, const struct acpi_checksum *checksum)
{
    store_le32(command, LOADER_ADD_CHECKSUM);
    loader_name(command + 4, checksum->in_rsdp ? acpi_rsdp_file : acpi_tables_file);
    store_le32(command + 4 + LOADER_NAME_BYTES, checksum->offset);
    store_le32(command + 8 + LOADER_NAME_BYTES, checksum->start);
    store_le32(command + 12 + LOADER_NAME_BYTES, checksum->length);
    return command + LOADER_COMMAND_BYTES;
}

int acpi_offer(struct board *board, struct error *error)
{
    uint8_t commands[LOADER_COMMANDS_MOST * LOADER_COMMAND_BYTES] = {0}, *end = commands;
    struct fw_cfg *fw_cfg = &board->fw_cfg;
    struct acpi *acpi = acpi_new(board, error);
    if (!acpi)
        return -ENOMEM;
    end = loader_allocate(end, acpi_rsdp_file, 16, ZONE_F_SEGMENT);
    end = loader_allocate(end, acpi_tables_file, 64, ZONE_HIGH);
    for (unsigned i = 0; i < acpi->pointer_count; i++)
        end = loader_pointer(end, &acpi->pointers[i]);
    for (unsigned i = 0; i < acpi->checksum_count; i++)
        end = loader_checksum(end, &acpi->checksums[i]);
    int result = fw_cfg_add_file(fw_cfg, acpi_rsdp_file, acpi->rsdp, sizeof acpi->rsdp, error);
    if (result == 0)
        result = fw_cfg_add_file(fw_cfg, acpi_tables_file, acpi->tables, acpi->length, error);
    if (result == 0)
        result = fw_cfg_add_file(fw_cfg, "etc/table-loader", commands, (uint32_t)(end - commands),
                                 error);
    free(acpi);
    return result;
}
