/* machine/acpi: after relocation every table has a zero sum and every pointer leads to a table. */
#include "machine/acpi.h"

#include "base/bits.h"

#include <criterion/criterion.h>

#define BASE UINT64_C(0x7ffe000)

static struct acpi acpi;

static uint8_t sum(const uint8_t *bytes, uint32_t length)
{
    uint8_t total = 0;
    for (uint32_t i = 0; i < length; i++)
        total += bytes[i];
    return total;
}

static const uint8_t *table_at(uint64_t address, const char *signature)
{
    cr_assert_geq(address, BASE);
    cr_assert_lt(address, BASE + acpi.length);
    const uint8_t *table = acpi.tables + (address - BASE);
    cr_expect_eq(memcmp(table, signature, 4), 0, "%.4s is not %s", (const char *)table, signature);
    return table;
}

static void check_sum(const uint8_t *table)
{
    uint32_t length = load_le32(table + 4);
    cr_expect_eq(sum(table, length), 0, "checksum of %.4s", (const char *)table);
    cr_expect_leq(table + length, acpi.tables + acpi.length);
}

static void check_fadt(const uint8_t *fadt)
{
    cr_expect_eq(load_le32(fadt + 4), 244);
    const uint8_t *facs = table_at(load_le32(fadt + 36), "FACS");
    cr_expect_eq((facs - acpi.tables + BASE) % 64, 0);
    const uint8_t *dsdt = table_at(load_le32(fadt + 40), "DSDT");
    check_sum(dsdt);
    cr_expect_eq(load_le32(fadt + 40), load_le64(fadt + 140));
    cr_expect_eq(load_le16(fadt + 46), 9);
    cr_expect_eq(load_le32(fadt + 56), 0x600);
    cr_expect_eq(load_le64(fadt + 152), 0x600);
    cr_expect_eq(load_le64(fadt + 120), 0xcf9);
}

static void check_madt(const uint8_t *madt, unsigned cpus)
{
    unsigned processors = 0, ioapics = 0, overrides = 0;
    const uint8_t *at = madt + 44, *end = madt + load_le32(madt + 4);
    while (at < end) {
        cr_assert_gt(at[1], 1);
        processors += at[0] == 0;
        ioapics += at[0] == 1;
        overrides += at[0] == 2;
        if (at[0] == 2 && at[3] == 0)
            cr_expect_eq(load_le32(at + 4), 2);
        at += at[1];
    }
    cr_expect_eq(at, end);
    cr_expect_eq(processors, cpus);
    cr_expect_eq(ioapics, 1);
    cr_expect_geq(overrides, 2);
}

Test(acpi, tables_are_whole_for_every_machine)
{
    for (unsigned cpus = 1; cpus <= 16; cpus++)
        for (unsigned bits = 0; bits < 64; bits++) {
            const struct acpi_facts facts = {.cpus = cpus,
                                             .has_apic = bits & 1,
                                             .has_hpet = bits & 2,
                                             .serials = (uint8_t)(bits >> 2)};
            acpi_build(&acpi, &facts);
            acpi_relocate(&acpi, BASE);
            cr_expect_eq(memcmp(acpi.rsdp, "RSD PTR ", 8), 0);
            cr_expect_eq(sum(acpi.rsdp, 20), 0);
            cr_expect_eq(sum(acpi.rsdp, 36), 0);
            const uint8_t *rsdt = table_at(load_le32(acpi.rsdp + 16), "RSDT");
            const uint8_t *xsdt = table_at(load_le64(acpi.rsdp + 24), "XSDT");
            check_sum(rsdt);
            check_sum(xsdt);
            unsigned count = 1 + facts.has_apic + facts.has_hpet;
            cr_expect_eq(load_le32(rsdt + 4), 36 + 4 * count);
            cr_expect_eq(load_le32(xsdt + 4), 36 + 8 * count);
            for (unsigned i = 0; i < count; i++)
                cr_expect_eq(load_le32(rsdt + 36 + 4 * i), load_le64(xsdt + 36 + 8 * i));
            const uint8_t *fadt = table_at(load_le32(rsdt + 36), "FACP");
            check_sum(fadt);
            check_fadt(fadt);
            if (facts.has_apic) {
                const uint8_t *madt = table_at(load_le32(rsdt + 40), "APIC");
                check_sum(madt);
                check_madt(madt, cpus);
            }
            if (facts.has_hpet)
                check_sum(table_at(load_le32(rsdt + 32 + 4 * count), "HPET"));
            /* Name(SERP, ...) says which COM ports there are */
            const uint8_t *serp = memmem(acpi.tables, acpi.length, "\010SERP\012", 6);
            cr_assert_not_null(serp);
            cr_expect_eq(serp[6], facts.serials);
        }
}
