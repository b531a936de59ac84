/* What command lines become.  Those that are refused: test_bad_commands.py. */
#include "ui/options.h"

#include <criterion/criterion.h>

static struct options options;
static enum options_action action;
static struct error error;

/* Splits `line` at blanks and parses it. */
static int parse(const char *line)
{
    static char copy[1024];
    char *argv[64] = {"ring3"};
    int argc = 1;

    snprintf(copy, sizeof copy, "%s", line);
    for (char *word = strtok(copy, " "); word; word = strtok(NULL, " "))
        argv[argc++] = word;
    error.text[0] = '\0';
    return options_parse(&options, argc, argv, &action, &error);
}

static void expect_ok(const char *line)
{
    cr_assert_eq(parse(line), 0, "%s: %s", line, error.text);
    cr_assert_eq(action, OPTIONS_RUN, "%s", line);
}

Test(options, of_the_machine)
{
    expect_ok(
        "-kernel k --initrd i -append quiet -m 256 -smp 1 -cpu qemu64 -no-reboot -no-shutdown "
        "-S -name vm1 -snapshot -rtc base=2020-01-02T03:04:05 -nographic -accel interp -M pc");
    cr_expect_str_eq(options.machine.kernel, "k");
    cr_expect_str_eq(options.machine.initrd, "i");
    cr_expect_str_eq(options.machine.append, "quiet");
    cr_expect_eq(options.machine.memory_bytes, UINT64_C(256) << 20);
    cr_expect_str_eq(options.machine.name, "vm1");
    cr_expect(options.machine.no_reboot && options.machine.no_shutdown);
    cr_expect(options.machine.start_paused && options.machine.snapshot);
    cr_expect_eq(options.machine.rtc_base, RTC_DATETIME);
    cr_expect_eq(options.machine.rtc_datetime, 1577934245);
    options_free(&options);

    expect_ok("-m size=5000K");
    cr_expect_eq(options.machine.memory_bytes, 5000 * 1024, "%llu",
                 (unsigned long long)options.machine.memory_bytes);
    options_free(&options);

    expect_ok("-m 1 -m 2G"); /* the last one counts */
    cr_expect_eq(options.machine.memory_bytes, UINT64_C(2) << 30);
    options_free(&options);
}

Test(options, of_the_accelerator)
{
    static const struct {
        const char *line;
        bool interpret;
        enum windows_use windows;
        unsigned threshold;
        size_t cache_bytes;
    } rows[] = {
        {"", false, WINDOWS_AUTO, 0, 0},
        {"-accel translate", false, WINDOWS_AUTO, 0, 0},
        {"-accel interp", true, WINDOWS_AUTO, 0, 0},
        {"-accel translate,windows=auto", false, WINDOWS_AUTO, 0, 0},
        {"-accel translate,windows=off", false, WINDOWS_OFF, 0, 0},
        {"-accel windows=always", false, WINDOWS_ALWAYS, 0, 0},
        {"-accel translate,windows=always,windows=off", false, WINDOWS_OFF, 0,
         0}, /* the last one counts */
        {"-accel translate,cache=4M,windows=always,threshold=7", false, WINDOWS_ALWAYS, 7, 4 << 20},
    };
    for (unsigned i = 0; i < ARRAY_LENGTH(rows); i++) {
        expect_ok(rows[i].line);
        cr_expect_eq(options.machine.interpret, rows[i].interpret, "%s", rows[i].line);
        cr_expect_eq(options.machine.translate.windows, rows[i].windows, "%s", rows[i].line);
        cr_expect_eq(options.machine.translate.threshold, rows[i].threshold, "%s", rows[i].line);
        cr_expect_eq(options.machine.translate.cache_bytes, rows[i].cache_bytes, "%s",
                     rows[i].line);
        options_free(&options);
    }
}

Test(options, of_drives)
{
    expect_ok("first.img -cdrom cd.iso -fda floppy.img "
              "-drive file=a,,b.img,format=raw,index=1,snapshot=on,readonly=on,id=data "
              "-drive if=ide,media=cdrom,index=3 -boot order=dc,once=a,menu=on");
    const struct drive_config *drives = options.machine.drives;
    cr_assert_eq(options.machine.drive_count, 5);
    cr_expect_str_eq(drives[0].file, "first.img");
    cr_expect_eq(drives[0].index, 0);
    cr_expect_eq(drives[1].media, MEDIA_CDROM);
    cr_expect_eq(drives[1].index, 2);
    cr_expect_eq(drives[2].interface, DRIVE_FLOPPY);
    cr_expect_eq(drives[2].index, 0);
    cr_expect_str_eq(drives[3].file, "a,b.img");
    cr_expect_str_eq(drives[3].id, "data");
    cr_expect(drives[3].snapshot && drives[3].readonly);
    cr_expect_eq(drives[3].index, 1);
    cr_expect_null(drives[4].file);
    cr_expect_eq(drives[4].media, MEDIA_CDROM);
    cr_expect_str_eq(options.machine.boot.order, "dc");
    cr_expect_str_eq(options.machine.boot.once, "a");
    cr_expect(options.machine.boot.menu);
    options_free(&options);
}

Test(options, of_streams)
{
    static const struct {
        const char *line;
        unsigned serials;
        enum chardev_kind serial, monitor;
        bool mux;
    } rows[] = {
        /* without a window, the terminal is COM1's and the monitor's */
        {"", 1, CHARDEV_STDIO, CHARDEV_NONE, true},
        {"-nographic", 1, CHARDEV_STDIO, CHARDEV_NONE, true},
        {"-nographic -display none", 1, CHARDEV_STDIO, CHARDEV_NONE, true},
        {"-display none", 0, CHARDEV_NONE, CHARDEV_NONE, false},
        {"-nodefaults", 0, CHARDEV_NONE, CHARDEV_NONE, false},
        {"-nographic -monitor none", 1, CHARDEV_STDIO, CHARDEV_NONE, false},
        {"-nographic -serial mon:stdio", 1, CHARDEV_STDIO, CHARDEV_NONE, true},
        {"-serial mon:stdio -monitor mon:stdio", 1, CHARDEV_STDIO, CHARDEV_NONE, true},
        {"-nographic -serial stdio", 1, CHARDEV_STDIO, CHARDEV_NONE, false},
        {"-serial null -monitor stdio", 1, CHARDEV_NULL, CHARDEV_STDIO, false},
        {"-nographic -serial null", 1, CHARDEV_NULL, CHARDEV_STDIO, false},
        {"-display none -serial file:log", 1, CHARDEV_FILE, CHARDEV_NONE, false},
        {"-display none -serial pty -monitor unix:m,server,nowait", 1, CHARDEV_PTY, CHARDEV_UNIX,
         false},
        {"-serial none", 1, CHARDEV_NONE, CHARDEV_STDIO, false},
    };
    for (unsigned i = 0; i < ARRAY_LENGTH(rows); i++) {
        expect_ok(rows[i].line);
        cr_expect_eq(options.serial_count, rows[i].serials, "%s", rows[i].line);
        cr_expect_eq(options.serials[0].kind, rows[i].serial, "%s", rows[i].line);
        cr_expect_eq(options.serials[0].mux, rows[i].mux, "%s", rows[i].line);
        cr_expect_eq(options.monitor.kind, rows[i].monitor, "%s", rows[i].line);
        options_free(&options);
    }
}

Test(options, of_sockets)
{
    static const struct {
        const char *line, *path;
        bool server, wait;
    } rows[] = {
        {"-serial unix:a/b,server,nowait", "a/b", true, false},
        {"-serial unix:a/b,server=on,wait=off", "a/b", true, false},
        {"-serial unix:a/b,server", "a/b", true, true},
        {"-serial unix:a,,b", "a,b", false, false},
    };
    for (unsigned i = 0; i < ARRAY_LENGTH(rows); i++) {
        expect_ok(rows[i].line);
        cr_expect_str_eq(options.serials[0].path, rows[i].path, "%s", rows[i].line);
        cr_expect_eq(options.serials[0].server, rows[i].server, "%s", rows[i].line);
        cr_expect_eq(options.serials[0].wait, rows[i].wait, "%s", rows[i].line);
        options_free(&options);
    }
}

Test(options, of_debugging)
{
    expect_ok("-debugcon file:out -global isa-debugcon.iobase=0x402 "
              "-device isa-debug-exit,iobase=0xf4,iosize=0x04");
    cr_expect_eq(options.debugcon.kind, CHARDEV_FILE);
    cr_expect_eq(options.machine.debugcon_iobase, 0x402);
    cr_expect(options.machine.debug_exit);
    cr_expect_eq(options.machine.debug_exit_iobase, 0xf4);
    cr_expect_eq(options.machine.debug_exit_iosize, 4);
    options_free(&options);
}
