/* Sources: ACPI specification 2.0c and 5.0 §5.2; IA-PC HPET specification 1.0a §3.2.4. */
#include "machine/acpi.h"

#include "base/bits.h"
#include "hw/hpet.h"
#include "hw/ioapic.h"
#include "hw/piix4_pm.h"
#include "machine/dsdt.h"
#include "machine/pci_setup.h"

#include <string.h>

enum {
    HEADER_BYTES = 36,
    HEADER_LENGTH = 4,
    HEADER_CHECKSUM = 9,

    FACS_BYTES = 64,
    FADT_BYTES = 244,
    FADT_FACS = 36,
    FADT_DSDT = 40,
    FADT_X_FACS = 132,
    FADT_X_DSDT = 140,
    HPET_BYTES = 56,
    RSDP_RSDT = 16,
    RSDP_XSDT = 24,
    TABLES_LISTED = 4,

    SPACE_MEMORY = 0,
    SPACE_IO = 1,

    RESET_PORT = 0xcf9,
    RESET_VALUE = 6,
};

static uint8_t *acpi_reserve(struct acpi *acpi, uint32_t length, uint32_t alignment)
{
    acpi->length = (acpi->length + alignment - 1) & ~(alignment - 1);
    BUG_ON(length > ACPI_TABLES_MAX - acpi->length);
    uint8_t *bytes = acpi->tables + acpi->length;
    acpi->length += length;
    return bytes;
}

static uint32_t acpi_offset(const struct acpi *acpi, const uint8_t *at)
{
    return (uint32_t)(at - acpi->tables);
}

static void acpi_add_checksum(struct acpi *acpi, const uint8_t *table, uint32_t length)
{
    BUG_ON(acpi->checksum_count == ACPI_FIXUPS_MAX);
    acpi->checksums[acpi->checksum_count++] = (struct acpi_checksum){
        .offset = acpi_offset(acpi, table) + HEADER_CHECKSUM,
        .start = acpi_offset(acpi, table),
        .length = length,
    };
}

/* The pointer at `at` shall lead to `target`. */
static void acpi_add_pointer(struct acpi *acpi, uint8_t *at, uint8_t bytes, const uint8_t *target)
{
    BUG_ON(acpi->pointer_count == ACPI_FIXUPS_MAX);
    acpi->pointers[acpi->pointer_count++] =
        (struct acpi_pointer){.offset = acpi_offset(acpi, at), .bytes = bytes};
    store_le32(at, acpi_offset(acpi, target));
}

static uint8_t *acpi_table(struct acpi *acpi, const char *signature, uint8_t revision,
                           uint32_t length)
{
    uint8_t *table = acpi_reserve(acpi, length, 8);
    memcpy(table, signature, 4);
    store_le32(table + HEADER_LENGTH, length);
    table[8] = revision;
    memcpy(table + 10, "RING3 ", 6);
    memcpy(table + 16, "RING3PC ", 8);
    store_le32(table + 24, 1);
    memcpy(table + 28, "RNG3", 4);
    store_le32(table + 32, 1);
    acpi_add_checksum(acpi, table, length);
    return table;
}

/* Generic address structure. */
static void acpi_address(uint8_t *at, uint8_t space, unsigned bits, uint64_t address)
{
    at[0] = space;
    at[1] = (uint8_t)bits;
    at[3] = bits == 8 ? 1 : bits == 16 ? 2 : bits == 32 ? 3 : 0; /* access size */
    store_le64(at + 4, address);
}

static uint8_t *acpi_facs(struct acpi *acpi)
{
    uint8_t *facs = acpi_reserve(acpi, FACS_BYTES, 64);
    memcpy(facs, "FACS", 4);
    store_le32(facs + HEADER_LENGTH, FACS_BYTES);
    facs[32] = 1;
    return facs;
}

/* Replaces the value of the DSDT's Name(SERP, 0xFF), by which its COM devices say whether they are
 * there: NameOp, the name, BytePrefix, value. */
static uint8_t *acpi_dsdt(struct acpi *acpi, const struct acpi_facts *facts)
{
    static const uint8_t name[] = {0x08, 'S', 'E', 'R', 'P', 0x0a};
    uint8_t *dsdt = acpi_reserve(acpi, dsdt_aml_bytes, 8);
    memcpy(dsdt, dsdt_aml, dsdt_aml_bytes);
    uint8_t *found = memmem(dsdt, dsdt_aml_bytes, name, sizeof name);
    BUG_ON(!found);
    found[sizeof name] = facts->serials;
    dsdt[HEADER_CHECKSUM] = 0;
    acpi_add_checksum(acpi, dsdt, (uint32_t)dsdt_aml_bytes);
    return dsdt;
}

static uint8_t *acpi_fadt(struct acpi *acpi, uint8_t *facs, uint8_t *dsdt)
{
    enum {
        LEGACY_DEVICES = 1 << 0,
        KEYBOARD_8042 = 1 << 1,
        WBINVD = 1 << 0,
        C1_WORKS = 1 << 2,
        NO_SLEEP_BUTTON = 1 << 5,
        RESET_REGISTER = 1 << 10,
    };
    uint8_t *fadt = acpi_table(acpi, "FACP", 3, FADT_BYTES);
    acpi_add_pointer(acpi, fadt + FADT_FACS, 4, facs);
    acpi_add_pointer(acpi, fadt + FADT_DSDT, 4, dsdt);
    fadt[45] = 1; /* desktop */
    store_le16(fadt + 46, PM_SCI_IRQ);
    store_le32(fadt + 48, PM_SMI_COMMAND_PORT);
    fadt[52] = PM_ACPI_ENABLE;
    fadt[53] = PM_ACPI_DISABLE;
    store_le32(fadt + 56, PMBASE_ADDRESS);
    store_le32(fadt + 64, PMBASE_ADDRESS + 4);
    store_le32(fadt + 76, PMBASE_ADDRESS + 8);
    store_le32(fadt + 80, PM_GPE0_PORT);
    fadt[88] = 4; /* PM1 events */
    fadt[89] = 2; /* PM1 control */
    fadt[91] = 4; /* PM timer */
    fadt[92] = PM_GPE0_BYTES;
    store_le16(fadt + 96, 0xfff); /* no C2 */
    store_le16(fadt + 98, 0xfff); /* no C3 */
    fadt[108] = 0x32;             /* century in CMOS */
    store_le16(fadt + 109, LEGACY_DEVICES | KEYBOARD_8042);
    store_le32(fadt + 112, WBINVD | C1_WORKS | NO_SLEEP_BUTTON | RESET_REGISTER);
    acpi_address(fadt + 116, SPACE_IO, 8, RESET_PORT);
    fadt[128] = RESET_VALUE;
    acpi_add_pointer(acpi, fadt + FADT_X_DSDT, 8, dsdt);
    acpi_address(fadt + 148, SPACE_IO, 32, PMBASE_ADDRESS);
    acpi_address(fadt + 172, SPACE_IO, 16, PMBASE_ADDRESS + 4);
    acpi_address(fadt + 208, SPACE_IO, 32, PMBASE_ADDRESS + 8);
    acpi_address(fadt + 220, SPACE_IO, PM_GPE0_BYTES * 8, PM_GPE0_PORT);
    return fadt;
}

static uint8_t *acpi_madt(struct acpi *acpi, const struct acpi_facts *facts)
{
    enum { LOCAL_APIC = 0, IO_APIC = 1, OVERRIDE = 2, LOCAL_NMI = 4, LEVEL_HIGH = 0xd };
    /* ISA line, IOAPIC input, polarity and trigger */
    static const uint8_t overrides[][3] = {
        {0, 2, 0},
        {PM_SCI_IRQ, PM_SCI_IRQ, LEVEL_HIGH},
        {5, 5, LEVEL_HIGH},
        {10, 10, LEVEL_HIGH},
        {11, 11, LEVEL_HIGH},
    };
    uint32_t length = 44 + 8 * facts->cpus + 12 + 10 * (uint32_t)ARRAY_LENGTH(overrides) + 6;
    uint8_t *madt = acpi_table(acpi, "APIC", 3, length), *at = madt + 44;
    store_le32(madt + 36, (uint32_t)LAPIC_BASE_DEFAULT);
    store_le32(madt + 40, 1); /* 8259s are there too */
    for (unsigned i = 0; i < facts->cpus; i++, at += 8) {
        const uint8_t entry[8] = {LOCAL_APIC, 8, (uint8_t)i, (uint8_t)i, 1};
        memcpy(at, entry, sizeof entry);
    }
    at[0] = IO_APIC;
    at[1] = 12;
    store_le32(at + 4, (uint32_t)IOAPIC_ADDRESS);
    at += 12;
    for (unsigned i = 0; i < ARRAY_LENGTH(overrides); i++, at += 10) {
        at[0] = OVERRIDE;
        at[1] = 10;
        at[3] = overrides[i][0];
        store_le32(at + 4, overrides[i][1]);
        store_le16(at + 8, overrides[i][2]);
    }
    const uint8_t nmi[6] = {LOCAL_NMI, 6, 0xff, 0, 0, 1}; /* LINT1 of every processor */
    memcpy(at, nmi, sizeof nmi);
    return madt;
}

static uint8_t *acpi_hpet(struct acpi *acpi)
{
    /* revision 1, three 64-bit comparators, legacy replacement, vendor 8086h */
    enum { EVENT_TIMER_BLOCK = (int)0x8086a201 };
    uint8_t *hpet = acpi_table(acpi, "HPET", 1, HPET_BYTES);
    store_le32(hpet + 36, (uint32_t)EVENT_TIMER_BLOCK);
    acpi_address(hpet + 40, SPACE_MEMORY, 64, HPET_ADDRESS);
    hpet[43] = 0;
    store_le16(hpet + 53, 100); /* least ticks between two periodic interrupts */
    return hpet;
}

static uint8_t *acpi_list(struct acpi *acpi, const char *signature, uint8_t pointer_bytes,
                          uint8_t *const *tables, unsigned count)
{
    uint8_t *list = acpi_table(acpi, signature, 1, HEADER_BYTES + pointer_bytes * count);
    for (unsigned i = 0; i < count; i++)
        acpi_add_pointer(acpi, list + HEADER_BYTES + pointer_bytes * i, pointer_bytes, tables[i]);
    return list;
}

static void acpi_rsdp(struct acpi *acpi, const uint8_t *rsdt, const uint8_t *xsdt)
{
    uint8_t *rsdp = acpi->rsdp;
    memcpy(rsdp, "RSD PTR ", 8);
    memcpy(rsdp + 9, "RING3 ", 6);
    rsdp[15] = 2;
    store_le32(rsdp + RSDP_RSDT, acpi_offset(acpi, rsdt));
    store_le32(rsdp + 20, ACPI_RSDP_BYTES);
    store_le64(rsdp + RSDP_XSDT, acpi_offset(acpi, xsdt));
    acpi->pointers[acpi->pointer_count++] = (struct acpi_pointer){true, RSDP_RSDT, 4};
    acpi->pointers[acpi->pointer_count++] = (struct acpi_pointer){true, RSDP_XSDT, 8};
    acpi->checksums[acpi->checksum_count++] =
        (struct acpi_checksum){true, 8, 0, ACPI_RSDP_V1_BYTES};
    acpi->checksums[acpi->checksum_count++] = (struct acpi_checksum){true, 32, 0, ACPI_RSDP_BYTES};
}

void acpi_build(struct acpi *acpi, const struct acpi_facts *facts)
{
    uint8_t *tables[TABLES_LISTED];
    unsigned count = 0;
    memset(acpi, 0, sizeof *acpi);
    uint8_t *facs = acpi_facs(acpi);
    uint8_t *dsdt = acpi_dsdt(acpi, facts);
    tables[count++] = acpi_fadt(acpi, facs, dsdt);
    if (facts->has_apic)
        tables[count++] = acpi_madt(acpi, facts);
    if (facts->has_hpet)
        tables[count++] = acpi_hpet(acpi);
    const uint8_t *rsdt = acpi_list(acpi, "RSDT", 4, tables, count);
    const uint8_t *xsdt = acpi_list(acpi, "XSDT", 8, tables, count);
    acpi_rsdp(acpi, rsdt, xsdt);
}

void acpi_relocate(struct acpi *acpi, uint64_t base)
{
    for (unsigned i = 0; i < acpi->pointer_count; i++) {
        const struct acpi_pointer *pointer = &acpi->pointers[i];
        uint8_t *at = (pointer->in_rsdp ? acpi->rsdp : acpi->tables) + pointer->offset;
        if (pointer->bytes == 8)
            store_le64(at, load_le64(at) + base);
        else
            store_le32(at, load_le32(at) + (uint32_t)base);
    }
    for (unsigned i = 0; i < acpi->checksum_count; i++) {
        const struct acpi_checksum *checksum = &acpi->checksums[i];
        uint8_t *bytes = checksum->in_rsdp ? acpi->rsdp : acpi->tables;
        uint8_t sum = 0;
        bytes[checksum->offset] = 0;
        for (uint32_t j = 0; j < checksum->length; j++)
            sum += bytes[checksum->start + j];
        bytes[checksum->offset] = (uint8_t)-sum;
    }
}
