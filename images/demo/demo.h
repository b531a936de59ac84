/* The demo guest: a small kernel for a PC, loaded by multiboot 1, in 32 or in 64 bits.
 *
 * It owns the whole machine: sets up its mode (start32.S, start64.S), interrupts (interrupt.c), a
 * console on VGA text and COM1 at once (console.c), looks around (report.c), and talks to whoever
 * sits there (demo.c).
 */
#ifndef DEMO_H
#define DEMO_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What the loader hands over (Multiboot Specification 0.6.96, §3.3). */
struct multiboot {
    uint32_t flags;
    uint32_t memory_lower, memory_upper; /* KiB; flag bit 0 */
    uint32_t boot_device;
    uint32_t command_line;          /* flag bit 2 */
    uint32_t module_count, modules; /* flag bit 3 */
    uint32_t symbols[4];
    uint32_t map_length, map; /* bytes, address; flag bit 6 */
    uint32_t drives_length, drives;
    uint32_t config_table;
    uint32_t loader_name; /* flag bit 9 */
};

enum {
    MULTIBOOT_MAGIC = 0x2badb002,
    MULTIBOOT_HAS_COMMAND_LINE = 1 << 2,
    MULTIBOOT_HAS_MODULES = 1 << 3,
    MULTIBOOT_HAS_MAP = 1 << 6,
    MULTIBOOT_HAS_LOADER_NAME = 1 << 9,
};

/* --- console.c */
void console_init(void);
void console_colour(uint8_t attribute); /* VGA attribute of what follows */
void console_put(char character);
/* %s %c %u %d %x and %p, with zero padding and width; 32 bits, or pointer-sized after `l`; %llx,
 * and %llu of what fits into a pointer. */
void print(const char *format, ...) __attribute__((format(printf, 1, 2)));
void vprint(const char *format, va_list arguments) __attribute__((format(printf, 1, 0)));
/* A coloured rectangle of text cells at column `x`, row `y`. */
void console_bar(unsigned x, unsigned y, unsigned width, uint8_t attribute);

/* --- interrupt.c */
void interrupt_init(void);
uint32_t ticks(void); /* of the 100 Hz timer since interrupt_init() */
/* The next character from the keyboard or COM1; sleeps until there is one. */
char read_key(void);

/* --- report.c: each prints one section */
void report_processor(void);
void report_memory(const struct multiboot *info);
void report_pci(void);
void report_time(void);

/* --- pci.c: the 32-bit configuration registers of bus 0 */
uint32_t pci_read(unsigned device, unsigned function, unsigned offset);
void pci_write(unsigned device, unsigned function, unsigned offset, uint32_t value);

/* --- power.c */
_Noreturn void power_off(void);
_Noreturn void power_reset(void);
_Noreturn void power_halt(void);

/* --- demo.c: entered by the assembly with the loader's two registers */
_Noreturn void demo_main(uint32_t magic, const struct multiboot *info);

#endif
