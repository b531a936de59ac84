/* hw/fw_cfg and hw/debug_ports: what firmware asks, by ports and by DMA. */
#include "hw/debug_ports.h"
#include "hw/fw_cfg.h"

#include "chip_rig.h"

#include <errno.h>

enum { RAM_BYTES = 1 << 20, REQUEST = 0x1000, BUFFER = 0x2000 };

static struct rig rig;
static struct frames frames;
static struct physmem physmem;
static struct fw_cfg config;

static void set_up(void)
{
    struct error error = {""};
    rig_init(&rig);
    cr_assert_eq(frames_init(&frames, RAM_BYTES, &error), 0, "%s", error.text);
    cr_assert_eq(physmem_init(&physmem, &frames, &rig.memory, RAM_BYTES, &error), 0);
    fw_cfg_attach(&config, &rig.ports, &physmem);
    fw_cfg_class.reset(&config, RESET_POWER_ON);
}

static void tear_down(void)
{
    fw_cfg_class.detach(&config);
    physmem_free(&physmem);
    frames_free(&frames);
    rig_free(&rig);
}

static void pick(uint16_t selector)
{
    bus_write(&rig.ports, 0x510, 2, selector);
}

static uint32_t read_le(unsigned bytes)
{
    uint32_t value = 0;
    for (unsigned i = 0; i < bytes; i++)
        value |= (uint32_t)rig_in(&rig, 0x511) << 8 * i;
    return value;
}

static uint32_t read_be(unsigned bytes)
{
    uint32_t value = 0;
    for (unsigned i = 0; i < bytes; i++)
        value = value << 8 | rig_in(&rig, 0x511);
    return value;
}

/* Runs a request at `REQUEST`; gives the control word that the device left. */
static uint32_t dma(uint32_t control, uint32_t length, uint64_t address)
{
    uint8_t request[16];
    store_le32(request, __builtin_bswap32(control));
    store_le32(request + 4, __builtin_bswap32(length));
    store_le64(request + 8, __builtin_bswap64(address));
    physmem_write(&physmem, GPA(REQUEST), request, sizeof request);
    bus_write(&rig.ports, 0x514, 4, 0);
    bus_write(&rig.ports, 0x518, 4, __builtin_bswap32(REQUEST));
    physmem_read(&physmem, GPA(REQUEST), request, 4);
    return __builtin_bswap32(load_le32(request));
}

Test(fw_cfg, signature_and_items)
{
    static const uint8_t borrowed[] = {1, 2, 3};
    set_up();
    pick(FW_CFG_SIGNATURE);
    cr_assert_eq(read_be(4), 0x51454d55);
    cr_assert_eq(read_le(4), 0, "behind the end");
    pick(FW_CFG_ID);
    cr_assert_eq(read_le(4), 3);
    fw_cfg_set_u16(&config, FW_CFG_CPU_COUNT, 4);
    fw_cfg_set_u16(&config, FW_CFG_CPU_COUNT, 1);
    fw_cfg_set_u64(&config, FW_CFG_RAM_SIZE, 0x123456789a);
    fw_cfg_set_borrowed(&config, FW_CFG_E820_TABLE, borrowed, 3);
    pick(FW_CFG_CPU_COUNT);
    cr_assert_eq(read_le(4), 1);
    pick(FW_CFG_RAM_SIZE);
    cr_assert_eq(read_le(4), 0x3456789a);
    cr_assert_eq(read_le(4), 0x12);
    pick(FW_CFG_E820_TABLE);
    cr_assert_eq(read_be(4), 0x01020300);
    pick(0x7fff);
    cr_assert_eq(read_le(4), 0, "no such item");
    pick(0xffff);
    cr_assert_eq(read_le(4), 0);
    rig_out(&rig, 0x511, 5); /* nothing can be written */
    tear_down();
}

Test(fw_cfg, directory)
{
    struct error error;
    char name[64];
    set_up();
    pick(FW_CFG_FILE_DIRECTORY);
    cr_assert_eq(read_be(4), 0);
    cr_assert_eq(fw_cfg_add_file(&config, "etc/acpi/rsdp", "hello", 5, &error), 0);
    cr_assert_eq(fw_cfg_add_file(&config, "bootorder", "", 0, &error), 0);
    cr_assert_eq(fw_cfg_add_file(&config, "bootorder", "", 0, &error), -EEXIST);
    cr_assert_eq(fw_cfg_add_file(&config,
                                 "12345678901234567890123456789012345678901234567890123456", "", 0,
                                 &error),
                 -ENAMETOOLONG);
    pick(FW_CFG_FILE_DIRECTORY);
    cr_assert_eq(read_be(4), 2);
    cr_assert_eq(read_be(4), 5);
    cr_assert_eq(read_be(2), FW_CFG_FILE_FIRST);
    cr_assert_eq(read_be(2), 0);
    for (unsigned i = 0; i < 56; i++)
        name[i] = (char)rig_in(&rig, 0x511);
    cr_assert_str_eq(name, "etc/acpi/rsdp");
    pick(FW_CFG_FILE_FIRST);
    cr_assert_eq(read_be(4), 0x68656c6c);
    for (unsigned i = 2; i < FW_CFG_FILES_MAX; i++) {
        snprintf(name, sizeof name, "file-%u", i);
        cr_assert_eq(fw_cfg_add_file(&config, name, name, 4, &error), 0);
    }
    cr_assert_eq(fw_cfg_add_file(&config, "one more", "", 0, &error), -ENOSPC);
    pick(FW_CFG_FILE_FIRST + FW_CFG_FILES_MAX - 1);
    cr_assert_eq(read_be(4), 0x66696c65);
    tear_down();
}

Test(fw_cfg, dma)
{
    set_up();
    cr_assert_eq(bus_read(&rig.ports, 0x514, 4), 0x554d4551, "\"QEMU\" as a big-endian register");
    cr_assert_eq(bus_read(&rig.ports, 0x518, 4), 0x47464320);
    uint8_t big[10000], back[10002];
    for (unsigned i = 0; i < sizeof big; i++)
        big[i] = (uint8_t)(i * 13 + i / 256);
    fw_cfg_set_copy(&config, FW_CFG_KERNEL_DATA, big, sizeof big);
    memset(back, 0xee, sizeof back);
    physmem_write(&physmem, GPA(BUFFER), back, sizeof back);
    cr_assert_eq(dma(FW_CFG_KERNEL_DATA << 16 | 0x0a, sizeof big + 1, BUFFER), 0);
    physmem_read(&physmem, GPA(BUFFER), back, sizeof back);
    cr_assert(!memcmp(back, big, sizeof big));
    cr_assert_eq(back[sizeof big], 0, "behind the end");
    cr_assert_eq(back[sizeof big + 1], 0xee, "and no further");

    cr_assert_eq(dma(FW_CFG_KERNEL_DATA << 16 | 0x0c, 5000, 0), 0, "select and skip");
    cr_assert_eq(dma(0x02, 16, BUFFER), 0);
    physmem_read(&physmem, GPA(BUFFER), back, 16);
    cr_assert(!memcmp(back, big + 5000, 16));
    cr_assert_eq(rig_in(&rig, 0x511), big[5016], "one position for both ways");
    cr_assert_eq(dma(0x10, 16, BUFFER), 1, "items are read-only");
    cr_assert_eq(dma(0x02, 16, 0xf0000000), 1, "not memory");
    cr_assert_eq(dma(0x02, 0xffffffff, BUFFER), 1, "more than there is memory");
    cr_assert_eq(dma(0x04, 0xffffffff, 0), 0);
    cr_assert_eq(dma(0x04, 0xffffffff, 0), 0);
    cr_assert_eq(rig_in(&rig, 0x511), 0, "the position does not wrap");
    bus_write(&rig.ports, 0x514, 4, 0xffffffff); /* a request that is nowhere */
    bus_write(&rig.ports, 0x518, 4, 0xffffffff);
    tear_down();
}

Test(fw_cfg, keeps_its_state)
{
    set_up();
    pick(FW_CFG_SIGNATURE);
    rig_in(&rig, 0x511);
    rig_check_round_trip(&fw_cfg_class, &config);
    cr_assert_eq(rig_in(&rig, 0x511), 'E');
    rig_check_reset(&fw_cfg_class, &config);
    unsigned seed = 1;
    for (unsigned round = 0; round < 3000; round++) {
        rig_load_noise(&fw_cfg_class, &config, &seed);
        read_le(4);
        bus_write(&rig.ports, 0x518, 4, (uint32_t)rand_r(&seed));
    }
    tear_down();
}

static struct {
    struct chardev chardev;
    uint8_t bytes[16];
    size_t count;
} host;
static int exit_status;

static void host_write(struct chardev *chardev, const uint8_t *bytes, size_t length)
{
    memcpy(host.bytes + host.count, bytes, length);
    host.count += length;
}

static void leave(void *opaque, int status)
{
    exit_status = status;
}

Test(debug_ports, console)
{
    struct debug_console console, deaf;
    set_up();
    host.chardev.write = host_write;
    debug_console_attach(&console, &rig.ports, 0x402, &host.chardev);
    debug_console_attach(&deaf, &rig.ports, 0xe9, NULL);
    cr_assert_eq(rig_in(&rig, 0x402), 0xe9);
    rig_out(&rig, 0x402, 'h');
    rig_out(&rig, 0x402, 'i');
    rig_out(&rig, 0xe9, '!');
    cr_assert_eq(host.count, 2);
    cr_assert(!memcmp(host.bytes, "hi", 2));
    tear_down();
}

Test(debug_ports, exit)
{
    struct debug_exit small, wide;
    set_up();
    debug_exit_attach(&small, &rig.ports, 0x501, 1, leave, NULL);
    debug_exit_attach(&wide, &rig.ports, 0xf4, 4, leave, NULL);
    rig_out(&rig, 0x501, 0x10);
    cr_assert_eq(exit_status, 0x21);
    bus_write(&rig.ports, 0xf4, 4, 0);
    cr_assert_eq(exit_status, 1);
    bus_write(&rig.ports, 0xf4, 2, 0x101);
    cr_assert_eq(exit_status, 0x203);
    cr_assert_eq(rig_in(&rig, 0x501), 0);
    tear_down();
}
