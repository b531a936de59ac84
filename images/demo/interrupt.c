/* Interrupts: the table, the two 8259s, the timer, the keyboard, and COM1. */
#include "demo.h"
#include "io.h"

enum {
    PIC_MASTER = 0x20,
    PIC_SLAVE = 0xa0,
    IRQ_BASE = 0x20, /* vector of IRQ 0 */
    IRQ_TIMER = 0,
    IRQ_KEYBOARD = 1,
    IRQ_CASCADE = 2,
    IRQ_COM1 = 4,
    TIMER_HZ = 100,
    PIT_HZ = 1193182,
    COM1 = 0x3f8,
    KEYS = 256,
};

struct frame; /* what the processor pushed; only its address is of use here */

struct gate {
    uint16_t offset_low, selector, kind, offset_middle;
#ifdef __x86_64__
    uint32_t offset_high, reserved;
#endif
} __attribute__((packed));

static struct gate table[256];
static volatile uint32_t tick_count;
static volatile char keys[KEYS]; /* a ring: filled by interrupts, emptied by read_key() */
static volatile unsigned key_in, key_out;
static bool shift;

/* Scan code set 1, US layout, from code 1 on. */
static const char plain_keys[] =
    "\0331234567890-=\b\tqwertyuiop[]\n\0asdfghjkl;'`\0\\zxcvbnm,./\0*\0 ";
static const char shift_keys[] =
    "\033!@#$%^&*()_+\b\tQWERTYUIOP{}\n\0ASDFGHJKL:\"~\0|ZXCVBNM<>?\0*\0 ";

static void put_key(char key)
{
    if (key && key_in - key_out < KEYS)
        keys[key_in++ % KEYS] = key;
}

static void acknowledge(unsigned irq)
{
    if (irq >= 8)
        out8(PIC_SLAVE, 0x20);
    out8(PIC_MASTER, 0x20);
}

__attribute__((interrupt)) static void on_timer(struct frame *frame)
{
    (void)frame;
    tick_count++;
    acknowledge(IRQ_TIMER);
}

__attribute__((interrupt)) static void on_keyboard(struct frame *frame)
{
    (void)frame;
    uint8_t code = in8(0x60);
    unsigned key = code & 0x7f;

    if (key == 0x2a || key == 0x36)
        shift = !(code & 0x80);
    else if (!(code & 0x80) && key >= 1 && key < sizeof plain_keys)
        put_key(shift ? shift_keys[key - 1] : plain_keys[key - 1]);
    acknowledge(IRQ_KEYBOARD);
}

__attribute__((interrupt)) static void on_serial(struct frame *frame)
{
    (void)frame;
    while (in8(COM1 + 5) & 1) {
        char key = in8(COM1);
        put_key(key == '\r' ? '\n' : key == 0x7f ? '\b' : key);
    }
    acknowledge(IRQ_COM1);
}

static _Noreturn void exception(const char *name, unsigned long error)
{
    unsigned long address;

    __asm__ volatile("mov %%cr2, %0" : "=r"(address));
    print("\nexception: %s, error code %lx, CR2 %lx\n", name, error, address);
    power_halt();
}

__attribute__((interrupt)) static void on_invalid_opcode(struct frame *frame)
{
    (void)frame;
    exception("invalid opcode", 0);
}
__attribute__((interrupt)) static void on_protection(struct frame *frame, unsigned long error)
{
    (void)frame;
    exception("general protection", error);
}
__attribute__((interrupt)) static void on_page_fault(struct frame *frame, unsigned long error)
{
    (void)frame;
    exception("page fault", error);
}

static void set_gate(unsigned vector, void *handler)
{
    uintptr_t at = (uintptr_t)handler;

    table[vector] = (struct gate){
        .offset_low = at,
        .selector = 0x08,
        .kind = 0x8e00, /* present, DPL 0, interrupt gate */
        .offset_middle = at >> 16,
#ifdef __x86_64__
        .offset_high = at >> 32,
#endif
    };
}

static void pic_init(uint8_t master_mask, uint8_t slave_mask)
{
    static const uint8_t master[] = {0x11, IRQ_BASE, 1 << IRQ_CASCADE, 0x01};
    static const uint8_t slave[] = {0x11, IRQ_BASE + 8, IRQ_CASCADE, 0x01};

    for (unsigned i = 0; i < sizeof master; i++) {
        out8(PIC_MASTER + (i > 0), master[i]);
        out8(PIC_SLAVE + (i > 0), slave[i]);
    }
    out8(PIC_MASTER + 1, master_mask);
    out8(PIC_SLAVE + 1, slave_mask);
}

void interrupt_init(void)
{
    struct {
        uint16_t limit;
        uintptr_t base;
    } __attribute__((packed)) pointer = {sizeof table - 1, (uintptr_t)table};

    set_gate(6, on_invalid_opcode);
    set_gate(13, on_protection);
    set_gate(14, on_page_fault);
    set_gate(IRQ_BASE + IRQ_TIMER, on_timer);
    set_gate(IRQ_BASE + IRQ_KEYBOARD, on_keyboard);
    set_gate(IRQ_BASE + IRQ_COM1, on_serial);
    __asm__ volatile("lidt %0" : : "m"(pointer));
    pic_init(~(1 << IRQ_TIMER | 1 << IRQ_KEYBOARD | 1 << IRQ_COM1), 0xff);

    out8(0x43, 0x34); /* counter 0, both bytes, mode 2 */
    out8(0x40, PIT_HZ / TIMER_HZ & 0xff);
    out8(0x40, PIT_HZ / TIMER_HZ >> 8);
    while (in8(0x64) & 1) /* a key that was waiting would hold its line */
        in8(0x60);
    out8(COM1 + 1, 1); /* interrupt when a character comes in */
    __asm__ volatile("sti");
}

uint32_t ticks(void)
{
    return tick_count;
}

char read_key(void)
{
    __asm__ volatile("cli");
    while (key_in == key_out)
        wait_for_interrupt();
    char key = keys[key_out++ % KEYS];
    __asm__ volatile("sti");
    return key;
}
