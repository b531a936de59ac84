/* The whole machine under small kernels written in bytes: how runs end, sleep, stop, hold, reset.
 */
#include "tests/machine_rig.h"

#include "hw/display.h"
#include "hw/vga.h"
#include "softmmu/physmem.h"

#include <time.h>

static int run_and_free(struct machine *machine)
{
    int status = machine_run(machine);
    machine_free(machine);
    unlink(kernel_name);
    return status;
}

Test(machine, debug_exit_gives_the_status, .init = setup_machine, .timeout = 60)
{
    static const uint8_t code[] = {LEAVE(3), HALT};
    cr_expect_eq(run_and_free(new_machine(code, sizeof code)), 7);
}

Test(machine, power_off_is_status_0, .init = setup_machine, .timeout = 60)
{
    static const uint8_t code[] = {OUT16(0x604, 0x2000), HALT};
    cr_expect_eq(run_and_free(new_machine(code, sizeof code)), 0);
}

Test(machine, triple_fault_ends_the_run_under_no_reboot, .init = setup_machine, .timeout = 60)
{
    static const uint8_t code[] = {0x0f, 0x0b};
    config.no_reboot = true;
    cr_expect_eq(run_and_free(new_machine(code, sizeof code)), 0);
}

/* Counts its starts in memory that no reset touches, resets twice, then tells the count. */
Test(machine, resets_boot_the_kernel_again, .init = setup_machine, .timeout = 60)
{
    static const struct {
        uint8_t reset[7];
        const char *name;
    } ways[] = {
        {{OUT8(0xcf9, 6)}, "CF9h"},
        {{OUT8(0x92, 1)}, "92h"},
        {{OUT8(0x64, 0xfe)}, "8042"},
        {{0x0f, 0x0b, 0x90, 0x90, 0x90, 0x90, 0x90}, "triple fault"},
    };
    for (unsigned i = 0; i < ARRAY_LENGTH(ways); i++) {
        /* clang-format off */
        uint8_t code[] = {
            0xfe, 0x05, BEYOND & 0xff, BEYOND >> 8 & 0xff, BEYOND >> 16, 0, /* inc byte [BEYOND] */
            0xa0, BEYOND & 0xff, BEYOND >> 8 & 0xff, BEYOND >> 16, 0,       /* mov al, [BEYOND] */
            0x3c, 3, 0x74, 10,                                              /* cmp al, 3; je */
            0, 0, 0, 0, 0, 0, 0, HALT,
            0x66, 0xba, 0x01, 0x05, 0xee, HALT,
        };
        /* clang-format on */
        memcpy(code + 15, ways[i].reset, sizeof ways[i].reset);
        cr_expect_eq(run_and_free(new_machine(code, sizeof code)), 7, "%s", ways[i].name);
    }
}

/* --- a user at the monitor */

static struct machine *machine;
static struct timer user;

static void user_after(int64_t ms, void (*act)(void *))
{
    timer_init(&user, &loop.clock, act, NULL);
    timer_arm(&user, clock_now_ns(&loop.clock) + ms * 1000000);
}

static void user_quits(void *opaque)
{
    machine_quit(machine, 42);
}

static double cpu_seconds(void)
{
    struct timespec used;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    return (double)used.tv_sec + used.tv_nsec * 1e-9;
}

static double cpu_at_halt;

static void user_waits(void *opaque)
{
    cpu_at_halt = cpu_seconds();
    user_after(1500, user_quits);
}

Test(machine, halted_guest_uses_no_host_time, .init = setup_machine, .timeout = 60)
{
    static const uint8_t code[] = {HALT};
    machine = new_machine(code, sizeof code);
    user_after(1500, user_waits);
    cr_expect_eq(machine_run(machine), 42);
    cr_expect_lt(cpu_seconds() - cpu_at_halt, 0.05);
    machine_free(machine);
    unlink(kernel_name);
}

/* A deadline that the host's clock cannot express is none. */
Test(machine, deadline_at_the_end_of_time_uses_no_host_time, .init = setup_machine, .timeout = 60)
{
    /* clang-format off */
    static const uint8_t code[] = {
        OUT8(0x43, 0x30), /* the 8254 waits for a count: no other timer is armed */
        0xc7, 0x05, 0xf0, 0x00, 0xe0, 0xfe, 0xff, 0x01, 0x00, 0x00, /* APIC on */
        0xc7, 0x05, 0x20, 0x03, 0xe0, 0xfe, 0x30, 0x00, 0x04, 0x00, /* timer: TSC deadline */
        0xb9, 0xe0, 0x06, 0x00, 0x00,                               /* mov ecx, IA32_TSC_DEADLINE */
        0xb8, 0xf0, 0xff, 0xff, 0xff, 0xba, 0xff, 0xff, 0xff, 0x7f, /* mov eax, edx: 2^63 - 16 */
        0x0f, 0x30, HALT,                                           /* wrmsr */
    };
    /* clang-format on */
    cr_assert_eq(cpu_model_parse("max", &config.cpu_model, NULL), 0);
    machine = new_machine(code, sizeof code);
    user_after(1500, user_waits);
    cr_expect_eq(machine_run(machine), 42);
    cr_expect(machine_cpu(machine, 0)->halted);
    cr_expect_lt(cpu_seconds() - cpu_at_halt, 0.05);
    machine_free(machine);
    unlink(kernel_name);
}

static void user_patches(void *opaque)
{
    static const uint8_t leave[] = {LEAVE(5)};
    struct cpu *cpu = machine_cpu(machine, 0);
    machine_hold_cpus(machine);
    uint64_t instructions = cpu->instructions;
    if (cpu->rip != CODE_AT) { /* still in the VGA BIOS */
        machine_release_cpus(machine);
        user_after(20, user_patches);
        return;
    }
    physmem_write(machine_physmem(machine), GPA(CODE_AT), leave, sizeof leave);
    cr_expect_eq(cpu->instructions, instructions);
    machine_release_cpus(machine);
}

Test(machine, code_written_from_outside_is_what_runs, .init = setup_machine, .timeout = 60)
{
    static const uint8_t code[] = {0xeb, 0xfe, 0x90, 0x90, 0x90, 0x90, 0x90, HALT};
    machine = new_machine(code, sizeof code);
    user_after(50, user_patches);
    cr_expect_eq(run_and_free(machine), 11);
}

static int64_t stopped_ns;

static void user_continues(void *opaque)
{
    cr_expect_eq(machine_state(machine), MACHINE_PAUSED);
    cr_expect_eq(clock_now_ns(machine_clock(machine)), stopped_ns);
    machine_cont(machine);
    cr_expect(machine_is_running(machine));
    user_after(20, user_quits);
}

static void user_stops(void *opaque)
{
    machine_stop(machine);
    stopped_ns = clock_now_ns(machine_clock(machine));
    cr_expect_gt(stopped_ns, 0);
    user_after(50, user_continues);
}

Test(machine, stopped_machine_stands_still, .init = setup_machine, .timeout = 60)
{
    static const uint8_t code[] = {0xeb, 0xfe};
    machine = new_machine(code, sizeof code);
    user_after(30, user_stops);
    cr_expect_eq(run_and_free(machine), 42);
}

static void user_sees_shutdown(void *opaque)
{
    if (machine_is_running(machine)) { /* still on its way to the power-off */
        user_after(20, user_sees_shutdown);
        return;
    }
    cr_expect_eq(machine_state(machine), MACHINE_SHUTDOWN);
    machine_cont(machine);
    cr_expect_eq(machine_state(machine), MACHINE_SHUTDOWN);
    machine_system_reset(machine);
    machine_cont(machine);
    cr_expect_eq(machine_state(machine), MACHINE_RUNNING);
    user_after(200, user_quits);
}

Test(machine, power_off_under_no_shutdown_waits_for_the_user, .init = setup_machine, .timeout = 60)
{
    static const uint8_t code[] = {OUT16(0x604, 0x2000), HALT};
    config.no_shutdown = true;
    machine = new_machine(code, sizeof code);
    user_after(300, user_sees_shutdown);
    cr_expect_eq(run_and_free(machine), 42);
}

static void user_starts(void *opaque)
{
    cr_expect_eq(machine_state(machine), MACHINE_PAUSED);
    cr_expect_eq(clock_now_ns(machine_clock(machine)), 0);
    machine_cont(machine);
}

Test(machine, starts_paused_on_request, .init = setup_machine, .timeout = 60)
{
    static const uint8_t code[] = {LEAVE(0), HALT};
    config.start_paused = true;
    machine = new_machine(code, sizeof code);
    user_after(50, user_starts);
    cr_expect_eq(run_and_free(machine), 1);
}

/* The 8254 wakes a halted processor a hundred times through the 8259s; that takes a second of
 * virtual time. */
Test(machine, timer_interrupts_wake_hlt, .init = setup_machine, .timeout = 60)
{
    enum { IDT = 0x102000, HANDLER = 0x40, COUNT = 0x103000 };
    /* clang-format off */
    static const uint8_t code[0x60] = {
        OUT8(0x43, 0x34), OUT8(0x40, 0x9c), OUT8(0x40, 0x2e), /* mode 2, 11932 ticks: 10 ms */
        OUT8(0x21, 0xfe),                                     /* unmask IRQ0: vector 8 */
        0x0f, 0x01, 0x1d, 0x78, 0x00, 0x10, 0x00,             /* lidt [CODE_AT + 0x58] */
        0xbc, 0x00, 0x70, 0x00, 0x00,                         /* mov esp, 7000h */
        0xfb, 0xf4,                                           /* sti; hlt */
        0x80, 0x3d, 0x00, 0x30, 0x10, 0x00, 100,              /* cmp byte [COUNT], 100 */
        0x75, 0xf6,                                           /* jne hlt */
        0xeb, 0x1a,                                           /* jmp: leave */
        [HANDLER - 4] = 0x90, 0x90, 0x90, 0x90,
        0x50, 0xfe, 0x05, 0x00, 0x30, 0x10, 0x00,             /* push eax; inc byte [COUNT] */
        0xb0, 0x20, 0xe6, 0x20, 0x58, 0xcf,                   /* EOI; pop eax; iret */
        [0x4f] = LEAVE(9),
        [0x58] = 0xff, 0x07, IDT & 0xff, IDT >> 8 & 0xff, IDT >> 16, 0,
    };
    /* clang-format on */
    struct machine *timed = new_machine(code, sizeof code);
    const uint64_t handler = CODE_AT + HANDLER;
    const uint64_t gate =
        (handler & 0xffff) | 0x10 << 16 | UINT64_C(0x8e00) << 32 | (handler & 0xffff0000) << 32;
    physmem_write(machine_physmem(timed), GPA(IDT + 8 * 8), &gate, sizeof gate);
    int status = machine_run(timed);
    int64_t took = clock_now_ns(machine_clock(timed));
    machine_free(timed);
    unlink(kernel_name);
    cr_expect_eq(status, 19);
    cr_expect_geq(took, 990 * INT64_C(1000000));
}

Test(machine, what_cannot_be_had_ends_in_a_line, .init = setup_machine, .timeout = 60)
{
    static const struct {
        const char *kernel, *initrd, *bios;
        uint64_t memory;
        unsigned cpus;
        const char *part;
    } rows[] = {
        {"/nonexistent/vmlinuz", NULL, NULL, 16 << 20, 1, "-kernel"},
        {"/etc/passwd", NULL, NULL, 16 << 20, 1, "not a kernel"},
        {"/tmp", NULL, NULL, 16 << 20, 1, "directory"},
        {NULL, "initrd.gz", NULL, 16 << 20, 1, "-kernel"},
        {NULL, NULL, "/nonexistent/bios.bin", 16 << 20, 1, "-bios"},
        {NULL, NULL, "/etc/passwd", 16 << 20, 1, "no firmware"},
        {NULL, NULL, NULL, 4096, 1, "-m"},
        {NULL, NULL, NULL, UINT64_C(1) << 50, 1, "-m"},
        {NULL, NULL, NULL, 16 << 20, 2, "-smp"},
    };
    for (unsigned i = 0; i < ARRAY_LENGTH(rows); i++) {
        config.kernel = rows[i].kernel;
        config.initrd = rows[i].initrd;
        config.bios = rows[i].bios;
        config.memory_bytes = rows[i].memory;
        config.cpus = rows[i].cpus;
        cr_expect_null(machine_new(&config, &loop, &error), "row %u", i);
        cr_expect(strstr(error.text, rows[i].part), "row %u: %s", i, error.text);
        cr_expect(!strchr(error.text, '\n'));
    }
}

/* --- firmware */

/* A raw image of `bytes` whose boot sector leaves with `value`. */
static void write_boot_image(char *name, size_t bytes, uint8_t value)
{
    static const uint8_t signature[2] = {0x55, 0xaa};
    const uint8_t code[] = {0xba, 0x01, 0x05, 0xb0, value, 0xee, 0xf4};
    strcpy(name, "/tmp/ring3-test-XXXXXX");
    int fd = mkstemp(name);
    cr_assert_eq(ftruncate(fd, (off_t)bytes), 0);
    cr_assert_eq(pwrite(fd, code, sizeof code, 0), (ssize_t)sizeof code);
    cr_assert_eq(pwrite(fd, signature, 2, 510), 2);
    close(fd);
}

Test(machine, firmware_boots_in_the_order_asked, .init = setup_machine, .timeout = 300)
{
    static const struct {
        const char *order, *once;
        bool strict;
        int status;
    } rows[] = {{"", "", false, 23},
                {"ca", "", false, 23},
                {"ac", "", false, 21},
                {"c", "a", false, 21},
                {"a", "", true, 21}};
    char floppy[32], disk[32];
    if (access("/usr/share/seabios/bios-256k.bin", R_OK) < 0)
        cr_skip("SeaBIOS is not installed");
    write_boot_image(floppy, 1440 << 10, 10);
    write_boot_image(disk, 4 << 20, 11);
    config.drives[0] = (struct drive_config){
        .file = floppy, .format = "raw", .interface = DRIVE_FLOPPY, .index = -1};
    config.drives[1] = (struct drive_config){
        .file = disk, .format = "raw", .interface = DRIVE_IDE, .index = -1, .snapshot = true};
    config.drive_count = 2;
    for (unsigned i = 0; i < ARRAY_LENGTH(rows); i++) {
        strcpy(config.boot.order, rows[i].order);
        strcpy(config.boot.once, rows[i].once);
        config.boot.strict = rows[i].strict;
        struct machine *booted = machine_new(&config, &loop, &error);
        cr_assert_not_null(booted, "%s", error.text);
        cr_expect_eq(machine_run(booted), rows[i].status, "row %u", i);
        machine_free(booted);
    }
    unlink(floppy);
    unlink(disk);
}

/* The kernel writes a letter to the text screen that the VGA BIOS has set up. */
Test(machine, kernels_find_a_text_screen, .init = setup_machine, .timeout = 60)
{
    static const uint8_t code[] = {0xc7, 0x05, 0x00, 0x80, 0x0b,     0x00,
                                   'R',  0x07, '3',  0x07, LEAVE(1), HALT};
    char text[16];
    if (access("/usr/share/seabios/vgabios-stdvga.bin", R_OK) < 0)
        cr_skip("the VGA BIOS is not installed");
    machine = new_machine(code, sizeof code);
    cr_expect_eq(machine_run(machine), 3);
    cr_expect(display_is_text(machine_vga(machine)));
    display_text(machine_vga(machine), text, sizeof text);
    cr_expect_eq(strncmp(text, "R3\n", 3), 0, "%.10s", text);
    machine_free(machine);
    unlink(kernel_name);
}
