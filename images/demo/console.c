/* The console: every character goes to the VGA text screen and to COM1. */
#include "demo.h"
#include "io.h"

enum { COLUMNS = 80, ROWS = 25, COM1 = 0x3f8, COM_STATUS = 5, COM_TRANSMIT_EMPTY = 0x20 };

static volatile uint16_t *const screen = (volatile uint16_t *)0xb8000;
static unsigned column, row;
static uint8_t attribute = 0x07;

static void move_cursor(void)
{
    unsigned at = row * COLUMNS + column;

    out8(0x3d4, 0x0e);
    out8(0x3d5, at >> 8);
    out8(0x3d4, 0x0f);
    out8(0x3d5, at);
}

static void new_line(void)
{
    column = 0;
    if (++row < ROWS)
        return;
    row = ROWS - 1;
    for (unsigned i = 0; i < (ROWS - 1) * COLUMNS; i++)
        screen[i] = screen[i + COLUMNS];
    for (unsigned i = 0; i < COLUMNS; i++)
        screen[(ROWS - 1) * COLUMNS + i] = ' ' | 0x07 << 8;
}

static void put_screen(char character)
{
    if (character == '\n') {
        new_line();
    } else if (character == '\b') {
        if (column > 0)
            column--;
    } else {
        screen[row * COLUMNS + column] = (uint8_t)character | attribute << 8;
        if (++column == COLUMNS)
            new_line();
    }
    move_cursor();
}

static void put_serial(char character)
{
    if (character == '\n')
        put_serial('\r');
    /* WHY: a PC without COM1 reads all ones here, which looks like "empty": no endless wait. */
    while (!(in8(COM1 + COM_STATUS) & COM_TRANSMIT_EMPTY))
        ;
    out8(COM1, character);
}

void console_init(void)
{
    out8(COM1 + 1, 0);    /* no interrupts yet */
    out8(COM1 + 3, 0x80); /* divisor latch: 115200 baud */
    out8(COM1 + 0, 1);
    out8(COM1 + 1, 0);
    out8(COM1 + 3, 0x03); /* 8 bits, no parity, one stop bit */
    out8(COM1 + 2, 0x07); /* FIFOs on and empty */
    out8(COM1 + 4, 0x0b); /* DTR, RTS, OUT2: interrupts reach the PIC */
    for (unsigned i = 0; i < ROWS * COLUMNS; i++)
        screen[i] = ' ' | 0x07 << 8;
    column = row = 0;
    move_cursor();
}

void console_colour(uint8_t new_attribute)
{
    attribute = new_attribute;
}

void console_put(char character)
{
    put_screen(character);
    put_serial(character);
}

void console_bar(unsigned x, unsigned y, unsigned width, uint8_t colour)
{
    for (unsigned i = x; i < x + width && i < COLUMNS && y < ROWS; i++)
        screen[y * COLUMNS + i] = ' ' | colour << 8;
}

static void print_digits(const char *digits, unsigned count, unsigned width, char padding)
{
    for (; width > count; width--)
        console_put(padding);
    while (count)
        console_put(digits[--count]);
}

static void print_hex(uint64_t value, unsigned width, char padding)
{
    char digits[16];
    unsigned count = 0;

    do {
        digits[count++] = "0123456789abcdef"[value & 15];
        value >>= 4;
    } while (value);
    print_digits(digits, count, width, padding);
}

static void print_decimal(unsigned long value, unsigned width, char padding)
{
    char digits[20];
    unsigned count = 0;

    do {
        digits[count++] = '0' + value % 10;
        value /= 10;
    } while (value);
    print_digits(digits, count, width, padding);
}

static void print_signed(long value, unsigned width, char padding)
{
    if (value < 0) {
        console_put('-');
        print_decimal(-(unsigned long)value, width ? width - 1 : 0, padding);
    } else {
        print_decimal(value, width, padding);
    }
}

void vprint(const char *format, va_list arguments)
{
    for (; *format; format++) {
        if (*format != '%') {
            console_put(*format);
            continue;
        }
        char padding = *++format == '0' ? '0' : ' ';
        unsigned width = 0, longs = 0;
        while (*format >= '0' && *format <= '9')
            width = width * 10 + (*format++ - '0');
        for (; *format == 'l'; format++)
            longs++;
        switch (*format) {
        case 's':
            for (const char *text = va_arg(arguments, const char *); *text; text++)
                console_put(*text);
            break;
        case 'c':
            console_put(va_arg(arguments, int));
            break;
        case 'd':
            print_signed(longs ? va_arg(arguments, long) : va_arg(arguments, int), width, padding);
            break;
        case 'u':
            print_decimal(longs > 1 ? va_arg(arguments, unsigned long long)
                          : longs   ? va_arg(arguments, unsigned long)
                                    : va_arg(arguments, unsigned),
                          width, padding);
            break;
        case 'x':
            print_hex(longs > 1 ? va_arg(arguments, unsigned long long)
                      : longs   ? va_arg(arguments, unsigned long)
                                : va_arg(arguments, unsigned),
                      width, padding);
            break;
        case 'p':
            print_hex((uintptr_t)va_arg(arguments, void *), 2 * sizeof(void *), '0');
            break;
        default:
            console_put(*format);
        }
    }
}

void print(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vprint(format, arguments);
    va_end(arguments);
}
