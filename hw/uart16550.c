#include "hw/uart16550.h"

#define UART16550_FIELDS(FIELD, ARRAY)                                                             \
    FIELD(struct uart16550_state, timeout_ns)                                                      \
    FIELD(struct uart16550_state, divisor)                                                         \
    ARRAY(struct uart16550_state, fifo)                                                            \
    ARRAY(struct uart16550_state, fifo_flags)                                                      \
    FIELD(struct uart16550_state, fifo_first)                                                      \
    FIELD(struct uart16550_state, fifo_count)                                                      \
    FIELD(struct uart16550_state, interrupt_enable)                                                \
    FIELD(struct uart16550_state, line_control)                                                    \
    FIELD(struct uart16550_state, modem_control)                                                   \
    FIELD(struct uart16550_state, line_status)                                                     \
    FIELD(struct uart16550_state, modem_status)                                                    \
    FIELD(struct uart16550_state, scratch)                                                         \
    FIELD(struct uart16550_state, fifo_control)                                                    \
    FIELD(struct uart16550_state, transmit_pending)                                                \
    FIELD(struct uart16550_state, timeout_pending)                                                 \
    FIELD(struct uart16550_state, irq_level)                                                       \
    ARRAY(struct uart16550_state, pad)
static const struct field uart16550_fields[] = SAVE_FIELDS(UART16550_FIELDS);
SAVE_ASSERT_COMPLETE(struct uart16550_state, UART16550_FIELDS);

enum {
    DATA = 0, /* RBR, THR; divisor low with DLAB */
    INTERRUPT_ENABLE = 1,
    INTERRUPT_ID = 2, /* FCR when written */
    LINE_CONTROL = 3,
    MODEM_CONTROL = 4,
    LINE_STATUS = 5,
    MODEM_STATUS = 6,
    SCRATCH = 7,

    IER_RECEIVED = 0x01,
    IER_TRANSMIT_EMPTY = 0x02,
    IER_LINE_STATUS = 0x04,
    IER_MODEM_STATUS = 0x08,
    IIR_NONE = 0x01,
    IIR_MODEM_STATUS = 0x00,
    IIR_TRANSMIT_EMPTY = 0x02,
    IIR_RECEIVED = 0x04,
    IIR_LINE_STATUS = 0x06,
    IIR_TIMEOUT = 0x0c,
    IIR_FIFOS = 0xc0,
    FCR_ENABLE = 0x01,
    FCR_CLEAR_RECEIVER = 0x02,
    FCR_KEPT = 0xc9, /* enable, DMA mode, trigger level */
    LCR_DIVISOR = 0x80,
    MCR_DTR = 0x01,
    MCR_RTS = 0x02,
    MCR_OUT1 = 0x04,
    MCR_OUT2 = 0x08,
    MCR_LOOP = 0x10,
    LSR_READY = 0x01,
    LSR_OVERRUN = 0x02,
    LSR_BREAK = 0x10,
    LSR_OF_CHARACTER = 0x1c, /* parity, framing, break: they travel with a character */
    LSR_ERRORS = 0x1e,
    LSR_TRANSMIT_EMPTY = 0x60, /* THRE and TEMT */
    LSR_FIFO_ERROR = 0x80,
    MSR_DELTAS = 0x0f,
    MSR_TERI = 0x04,
    MSR_CTS = 0x10,
    MSR_DSR = 0x20,
    MSR_RI = 0x40,
    MSR_DCD = 0x80,

    CHARACTER_BITS = 10,
    BASE_BAUD = 115200,
};

/* --- the receiver */

static bool fifos_on(const struct uart16550 *uart)
{
    return uart->state.fifo_control & FCR_ENABLE;
}

static unsigned capacity(const struct uart16550 *uart)
{
    return fifos_on(uart) ? UART_FIFO_BYTES : 1;
}

static unsigned trigger_level(const struct uart16550 *uart)
{
    static const uint8_t levels[] = {1, 4, 8, 14};
    return fifos_on(uart) ? levels[uart->state.fifo_control >> 6] : 1;
}

static void show_first(struct uart16550 *uart)
{
    struct uart16550_state *state = &uart->state;
    state->line_status &= ~LSR_READY;
    if (!state->fifo_count)
        return;
    state->line_status |= LSR_READY | state->fifo_flags[state->fifo_first];
    state->fifo_flags[state->fifo_first] = 0;
}

static void clear_receiver(struct uart16550 *uart)
{
    uart->state.fifo_count = uart->state.fifo_first = 0;
    uart->state.timeout_pending = 0;
    uart->state.line_status &= ~(LSR_READY | LSR_OF_CHARACTER);
}

static void put_character(struct uart16550 *uart, uint8_t byte, uint8_t flags)
{
    struct uart16550_state *state = &uart->state;
    if (state->fifo_count >= capacity(uart)) {
        state->line_status |= LSR_OVERRUN;
        if (fifos_on(uart))
            return;
        state->fifo_count = 0; /* without FIFOs the new character wins */
    }
    unsigned at = (state->fifo_first + state->fifo_count) % UART_FIFO_BYTES;
    state->fifo[at] = byte;
    state->fifo_flags[at] = flags;
    state->fifo_count++;
    show_first(uart);
}

/* Characters below the trigger level raise an interrupt when four character times bring no more. */
static void start_timeout(struct uart16550 *uart)
{
    struct uart16550_state *state = &uart->state;
    bool waits = fifos_on(uart) && state->fifo_count && state->fifo_count < trigger_level(uart) &&
                 state->interrupt_enable & IER_RECEIVED && !state->timeout_pending;
    if (!waits) {
        state->timeout_ns = CLOCK_NEVER;
        timer_disarm(&uart->timeout);
        return;
    }
    uint32_t divisor = state->divisor ? state->divisor : 65536;
    state->timeout_ns =
        clock_now_ns(uart->clock) + 4 * CHARACTER_BITS * NS_PER_SECOND / BASE_BAUD * divisor;
    timer_arm(&uart->timeout, state->timeout_ns);
}

/* --- interrupts */

static uint8_t interrupt_id(const struct uart16550 *uart)
{
    const struct uart16550_state *state = &uart->state;
    uint8_t enabled = state->interrupt_enable;
    if (enabled & IER_LINE_STATUS && state->line_status & LSR_ERRORS)
        return IIR_LINE_STATUS;
    if (enabled & IER_RECEIVED && state->fifo_count >= trigger_level(uart))
        return IIR_RECEIVED;
    if (enabled & IER_RECEIVED && state->timeout_pending)
        return IIR_TIMEOUT;
    if (enabled & IER_TRANSMIT_EMPTY && state->transmit_pending)
        return IIR_TRANSMIT_EMPTY;
    if (enabled & IER_MODEM_STATUS && state->modem_status & MSR_DELTAS)
        return IIR_MODEM_STATUS;
    return IIR_NONE;
}

/* INV-1. */
static void update_irq(struct uart16550 *uart)
{
    struct uart16550_state *state = &uart->state;
    bool connected = (state->modem_control & (MCR_OUT2 | MCR_LOOP)) == MCR_OUT2;
    uint8_t level = connected && interrupt_id(uart) != IIR_NONE;
    if (level == state->irq_level)
        return;
    state->irq_level = level;
    irq_set(&uart->irq, level);
}

static void fire(void *opaque)
{
    struct uart16550 *uart = opaque;
    uart->state.timeout_ns = CLOCK_NEVER;
    uart->state.timeout_pending = 1;
    update_irq(uart);
}

/* --- the modem lines */

static void update_modem_lines(struct uart16550 *uart)
{
    struct uart16550_state *state = &uart->state;
    uint8_t control = state->modem_control, lines = 0;
    if (control & MCR_LOOP) {
        lines |= control & MCR_RTS ? MSR_CTS : 0;
        lines |= control & MCR_DTR ? MSR_DSR : 0;
        lines |= control & MCR_OUT1 ? MSR_RI : 0;
        lines |= control & MCR_OUT2 ? MSR_DCD : 0;
    } else if (uart->chardev) {
        lines = MSR_CTS | MSR_DSR | MSR_DCD;
    }
    uint8_t changed = (state->modem_status ^ lines) & ~MSR_DELTAS;
    uint8_t deltas = changed >> 4;
    if (lines & MSR_RI) /* TERI marks only the trailing edge */
        deltas &= ~MSR_TERI;
    state->modem_status = lines | (state->modem_status & MSR_DELTAS) | deltas;
}

/* --- the host's side */

static size_t can_receive(void *opaque)
{
    const struct uart16550 *uart = opaque;
    if (uart->state.modem_control & MCR_LOOP || uart->state.fifo_count >= capacity(uart))
        return 0;
    return capacity(uart) - uart->state.fifo_count;
}

static void receive(void *opaque, const uint8_t *bytes, size_t length)
{
    struct uart16550 *uart = opaque;
    for (size_t i = 0; i < length; i++)
        put_character(uart, bytes[i], 0);
    start_timeout(uart);
    update_irq(uart);
}

static void event(void *opaque, enum chardev_event event)
{
    struct uart16550 *uart = opaque;
    if (event != CHARDEV_BREAK || uart->state.modem_control & MCR_LOOP)
        return;
    put_character(uart, 0, LSR_BREAK);
    start_timeout(uart);
    update_irq(uart);
}

/* --- registers */

static uint8_t read_data(struct uart16550 *uart)
{
    struct uart16550_state *state = &uart->state;
    uint8_t byte = state->fifo[state->fifo_first];
    if (!state->fifo_count)
        return byte;
    state->fifo_first = (state->fifo_first + 1) % UART_FIFO_BYTES;
    state->fifo_count--;
    state->timeout_pending = 0;
    show_first(uart);
    start_timeout(uart);
    if (!state->fifo_count)
        chardev_accept_input(uart->chardev);
    return byte;
}

static uint8_t read_interrupt_id(struct uart16550 *uart)
{
    uint8_t id = interrupt_id(uart);
    if (id == IIR_TRANSMIT_EMPTY)
        uart->state.transmit_pending = 0;
    return id | (fifos_on(uart) ? IIR_FIFOS : 0);
}

static uint8_t read_line_status(struct uart16550 *uart)
{
    struct uart16550_state *state = &uart->state;
    uint8_t value = state->line_status | LSR_TRANSMIT_EMPTY;
    bool in_fifo = value & LSR_OF_CHARACTER;
    for (unsigned i = 0; i < state->fifo_count; i++)
        in_fifo |= state->fifo_flags[(state->fifo_first + i) % UART_FIFO_BYTES] != 0;
    state->line_status &= ~LSR_ERRORS;
    return value | (in_fifo && fifos_on(uart) ? LSR_FIFO_ERROR : 0);
}

static uint64_t ports_read(void *opaque, uint64_t offset, unsigned size)
{
    struct uart16550 *uart = opaque;
    struct uart16550_state *state = &uart->state;
    bool divisor = state->line_control & LCR_DIVISOR;
    uint8_t value = 0;
    switch (offset) {
    case DATA:
        value = divisor ? (uint8_t)state->divisor : read_data(uart);
        break;
    case INTERRUPT_ENABLE:
        value = divisor ? state->divisor >> 8 : state->interrupt_enable;
        break;
    case INTERRUPT_ID:
        value = read_interrupt_id(uart);
        break;
    case LINE_CONTROL:
        value = state->line_control;
        break;
    case MODEM_CONTROL:
        value = state->modem_control;
        break;
    case LINE_STATUS:
        value = read_line_status(uart);
        break;
    case MODEM_STATUS:
        value = state->modem_status;
        state->modem_status &= ~MSR_DELTAS;
        break;
    case SCRATCH:
        value = state->scratch;
        break;
    }
    update_irq(uart);
    return value;
}

static void write_data(struct uart16550 *uart, uint8_t value)
{
    /* The interrupt goes while the character is in the register, and comes back at once. */
    uart->state.transmit_pending = 0;
    update_irq(uart);
    if (uart->state.modem_control & MCR_LOOP) {
        put_character(uart, value, 0);
        start_timeout(uart);
    } else {
        chardev_write(uart->chardev, &value, 1);
    }
    uart->state.transmit_pending = 1;
}

static void write_interrupt_enable(struct uart16550 *uart, uint8_t value)
{
    uint8_t before = uart->state.interrupt_enable;
    uart->state.interrupt_enable = value & 0x0f;
    if (value & ~before & IER_TRANSMIT_EMPTY)
        uart->state.transmit_pending = 1;
    start_timeout(uart);
}

static void write_fifo_control(struct uart16550 *uart, uint8_t value)
{
    struct uart16550_state *state = &uart->state;
    bool toggles = (value ^ state->fifo_control) & FCR_ENABLE;
    state->fifo_control = value & FCR_ENABLE ? value & FCR_KEPT : 0;
    if (toggles || value & FCR_CLEAR_RECEIVER)
        clear_receiver(uart);
    start_timeout(uart);
}

static void write_modem_control(struct uart16550 *uart, uint8_t value)
{
    uint8_t before = uart->state.modem_control;
    uart->state.modem_control = value & 0x1f;
    update_modem_lines(uart);
    if (before & ~value & MCR_LOOP)
        chardev_accept_input(uart->chardev);
}

static void ports_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    struct uart16550 *uart = opaque;
    struct uart16550_state *state = &uart->state;
    uint8_t byte = (uint8_t)value;
    bool divisor = state->line_control & LCR_DIVISOR;
    switch (offset) {
    case DATA:
        if (divisor)
            state->divisor = (state->divisor & 0xff00) | byte;
        else
            write_data(uart, byte);
        break;
    case INTERRUPT_ENABLE:
        if (divisor)
            state->divisor = (uint16_t)(byte << 8 | (state->divisor & 0xff));
        else
            write_interrupt_enable(uart, byte);
        break;
    case INTERRUPT_ID:
        write_fifo_control(uart, byte);
        break;
    case LINE_CONTROL:
        state->line_control = byte;
        break;
    case MODEM_CONTROL:
        write_modem_control(uart, byte);
        break;
    case SCRATCH:
        state->scratch = byte;
        break;
    default: /* the status registers are for the factory's tests */
        break;
    }
    update_irq(uart);
}

/* --- the device */

static void reset(void *object, enum reset_kind kind)
{
    struct uart16550 *uart = object;
    uart->state = (struct uart16550_state){.timeout_ns = CLOCK_NEVER, .divisor = 12};
    timer_disarm(&uart->timeout);
    update_modem_lines(uart);
    uart->state.modem_status &= ~MSR_DELTAS;
    irq_set(&uart->irq, 0);
}

static int after_load(void *object, struct error *error)
{
    struct uart16550 *uart = object;
    struct uart16550_state *state = &uart->state;
    state->fifo_first %= UART_FIFO_BYTES;
    if (state->fifo_count > UART_FIFO_BYTES)
        state->fifo_count = 0;
    if (state->timeout_ns != CLOCK_NEVER)
        timer_arm(&uart->timeout, state->timeout_ns);
    else
        timer_disarm(&uart->timeout);
    chardev_accept_input(uart->chardev);
    return 0;
}

void uart16550_attach(struct uart16550 *uart, struct bus *ports, uint16_t base, struct clock *clock,
                      struct irq_line irq, struct chardev *chardev)
{
    *uart = (struct uart16550){
        .chardev = chardev, .clock = clock, .irq = irq, .state.timeout_ns = CLOCK_NEVER};
    timer_init(&uart->timeout, clock, fire, uart);
    chardev_connect(chardev, can_receive, receive, event, uart);
    uart->ports = (struct region){.name = "uart16550",
                                  .base = base,
                                  .length = 8,
                                  .read = ports_read,
                                  .write = ports_write,
                                  .max_size = 1,
                                  .opaque = uart};
    bus_add(ports, &uart->ports);
}

const struct device_class uart16550_class = {
    .name = "uart16550",
    DEVICE_STATE(struct uart16550, 1, uart16550_fields),
    .reset = reset,
    .after_load = after_load,
};
