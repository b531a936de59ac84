/* Everything that a machine can be told from outside: what the command line says, in plain data. */
#ifndef MACHINE_CONFIG_H
#define MACHINE_CONFIG_H

#include "cpu/features.h"
#include "translate/engine.h"

#include <stdbool.h>
#include <stdint.h>

struct chardev;

enum { MACHINE_DRIVES_MAX = 8, MACHINE_SERIALS_MAX = 4 };

enum drive_interface { DRIVE_IDE, DRIVE_FLOPPY, DRIVE_NONE };
enum drive_media { MEDIA_DISK, MEDIA_CDROM };

struct drive_config {
    const char *file;   /* NULL: a drive with no medium (CD-ROM and floppy only) */
    const char *id;     /* NULL: none */
    const char *format; /* "raw"; NULL: look at the contents */
    const char *serial; /* NULL: made up */
    enum drive_interface interface;
    enum drive_media media;
    int index;     /* IDE: bus * 2 + unit (0..3); floppy: unit (0..1); -1: the first one free */
    bool snapshot; /* writes stay in memory and are dropped at the end */
    bool readonly;
};

struct boot_config {
    char order[5]; /* of "acdn": floppy, disk, CD, network; "": the default, "cad" */
    char once[5];  /* the same, for the first boot only; "": none */
    bool menu, strict;
    uint32_t menu_wait_ms;
};

enum rtc_base { RTC_UTC, RTC_LOCALTIME, RTC_DATETIME };

struct machine_config {
    const char *name; /* NULL: none */
    uint64_t memory_bytes;
    struct cpu_model cpu_model;
    unsigned cpus;
    bool interpret; /* the interpreter alone, no translator */
    struct translate_options translate;
    const char *kernel, *initrd, *append; /* NULL: not given */
    const char *bios;                     /* NULL: Debian's SeaBIOS */
    struct drive_config drives[MACHINE_DRIVES_MAX];
    unsigned drive_count;
    bool snapshot; /* every drive's */
    struct boot_config boot;
    struct chardev *serials[MACHINE_SERIALS_MAX]; /* COM1..COM4; NULL: the port is absent */
    struct chardev *debugcon;                     /* NULL: none */
    uint16_t debugcon_iobase;                     /* E9h or 402h; 0: both */
    bool debug_exit;                              /* isa-debug-exit */
    uint16_t debug_exit_iobase, debug_exit_iosize;
    enum rtc_base rtc_base;
    int64_t rtc_datetime; /* seconds since 1970-01-01 00:00 on the guest's clock, RTC_DATETIME */
    bool no_reboot, no_shutdown, start_paused;
    bool lockstep; /* the interpreter beside the engine: machine/lockstep.h */
    bool has_seed; /* RDRAND and RDSEED give the numbers that follow from `seed` */
    uint64_t seed;
    bool no_graphic; /* the firmware's console is on COM1 */
};

/* 128 MiB, one "qemu64" processor, no drives, UTC, debug exit at 501h, 2 ports. */
void machine_config_init(struct machine_config *config);

#endif
