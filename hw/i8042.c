#include "hw/i8042.h"

#include "base/log.h"
#include "hw/ps2_priv.h"

#define I8042_FIELDS(FIELD, ARRAY)                                                                 \
    FIELD(struct i8042_state, status)                                                              \
    FIELD(struct i8042_state, command_byte)                                                        \
    FIELD(struct i8042_state, output_port)                                                         \
    FIELD(struct i8042_state, data)                                                                \
    FIELD(struct i8042_state, reply)                                                               \
    FIELD(struct i8042_state, reply_pending)                                                       \
    FIELD(struct i8042_state, command)                                                             \
    FIELD(struct i8042_state, break_prefix)                                                        \
    ARRAY(struct i8042_state, ram)
static const struct field i8042_fields[] = SAVE_FIELDS(I8042_FIELDS);
SAVE_ASSERT_COMPLETE(struct i8042_state, I8042_FIELDS);

enum {
    STATUS_FULL = 0x01, /* the output buffer */
    STATUS_SYSTEM = 0x04,
    STATUS_COMMAND = 0x08, /* the last write was to port 64h */
    STATUS_UNLOCKED = 0x10,
    STATUS_MOUSE = 0x20, /* the output buffer is the mouse's */

    BYTE_KEYBOARD_IRQ = 0x01,
    BYTE_MOUSE_IRQ = 0x02,
    BYTE_SYSTEM = 0x04,
    BYTE_KEYBOARD_OFF = 0x10,
    BYTE_MOUSE_OFF = 0x20,
    BYTE_TRANSLATE = 0x40,
    /* WHY: as firmware leaves it, for kernels that are started without firmware. */
    BYTE_INITIAL = BYTE_TRANSLATE | BYTE_SYSTEM | BYTE_MOUSE_IRQ | BYTE_KEYBOARD_IRQ,

    PORT_NO_RESET = 0x01,
    PORT_A20 = 0x02,
    PORT_KEYBOARD_FULL = 0x10,
    PORT_MOUSE_FULL = 0x20,
    PORT_INITIAL = 0xcc | PORT_NO_RESET | PORT_A20,
    INPUT_PORT = 0x80, /* not locked */

    READ_RAM = 0x20, /* 20h..3Fh; 20h is the command byte */
    WRITE_RAM = 0x60,
    RAM_BYTES = 32,
    TEST_PASSWORD = 0xa4,
    MOUSE_OFF = 0xa7,
    MOUSE_ON = 0xa8,
    TEST_MOUSE = 0xa9,
    SELF_TEST = 0xaa,
    TEST_KEYBOARD = 0xab,
    KEYBOARD_OFF = 0xad,
    KEYBOARD_ON = 0xae,
    READ_INPUT_PORT = 0xc0,
    READ_OUTPUT_PORT = 0xd0,
    WRITE_OUTPUT_PORT = 0xd1,
    WRITE_KEYBOARD_BUFFER = 0xd2,
    WRITE_MOUSE_BUFFER = 0xd3,
    WRITE_MOUSE = 0xd4,
    A20_OFF = 0xdd,
    A20_ON = 0xdf,
    READ_TEST_INPUTS = 0xe0,
    PULSE = 0xf0, /* F0h..FFh: bits that are 0 are pulsed low */

    NO_PASSWORD = 0xf1,
    SELF_TEST_PASSED = 0x55,
    BREAK_PREFIX = 0xf0,
};

/* --- the output buffer */

/* INV-1. */
static void update_irqs(struct i8042 *controller)
{
    const struct i8042_state *state = &controller->state;
    bool full = state->status & STATUS_FULL, mouse = state->status & STATUS_MOUSE;
    irq_set(&controller->keyboard_irq, full && !mouse && state->command_byte & BYTE_KEYBOARD_IRQ);
    irq_set(&controller->mouse_irq, full && mouse && state->command_byte & BYTE_MOUSE_IRQ);
}

static void fill(struct i8042 *controller, uint8_t byte, uint8_t origin)
{
    struct i8042_state *state = &controller->state;
    state->data = byte;
    state->status = (state->status & ~STATUS_MOUSE) | STATUS_FULL | origin;
}

/* The keyboard's next byte as the host sees it; false: it was a prefix that translation keeps. */
static bool take_key_byte(struct i8042 *controller, uint8_t *byte)
{
    struct i8042_state *state = &controller->state;
    *byte = ps2_keyboard_take(&controller->keyboard);
    if (!(state->command_byte & BYTE_TRANSLATE)) {
        state->break_prefix = 0;
        return true;
    }
    if (*byte == BREAK_PREFIX) {
        state->break_prefix = 1;
        return false;
    }
    *byte = ps2_set1_from_set2[*byte] | (state->break_prefix ? 0x80 : 0);
    state->break_prefix = 0;
    return true;
}

/* Fills the output buffer, if it is empty, with what waits longest for it. */
static void refill(struct i8042 *controller)
{
    struct i8042_state *state = &controller->state;
    if (!(state->status & STATUS_FULL) && state->reply_pending) {
        fill(controller, state->reply, state->reply_pending & STATUS_MOUSE);
        state->reply_pending = 0;
    }
    while (!(state->status & STATUS_FULL) && !(state->command_byte & BYTE_KEYBOARD_OFF) &&
           ps2_keyboard_pending(&controller->keyboard)) {
        uint8_t byte;
        if (take_key_byte(controller, &byte))
            fill(controller, byte, 0);
    }
    if (!(state->status & STATUS_FULL) && !(state->command_byte & BYTE_MOUSE_OFF) &&
        ps2_mouse_pending(&controller->mouse))
        fill(controller, ps2_mouse_take(&controller->mouse), STATUS_MOUSE);
    update_irqs(controller);
}

static void data_ready(void *opaque)
{
    refill(opaque);
}

/* A byte of the controller itself, behind what the buffer holds. */
static void answer(struct i8042 *controller, uint8_t byte, uint8_t origin)
{
    controller->state.reply = byte;
    controller->state.reply_pending = STATUS_FULL | origin;
    refill(controller);
}

static uint64_t data_read(void *opaque, uint64_t offset, unsigned size)
{
    struct i8042 *controller = opaque;
    uint8_t byte = controller->state.data;
    controller->state.status &= ~(STATUS_FULL | STATUS_MOUSE);
    update_irqs(controller);
    refill(controller);
    return byte;
}

static uint64_t status_read(void *opaque, uint64_t offset, unsigned size)
{
    const struct i8042 *controller = opaque;
    return controller->state.status;
}

/* --- the output port */

static void set_a20(struct i8042 *controller, bool enabled)
{
    uint8_t *port = &controller->state.output_port;
    *port = enabled ? *port | PORT_A20 : *port & ~PORT_A20;
    if (controller->ops.a20)
        controller->ops.a20(controller->ops.opaque, enabled);
}

static void pulse_reset(struct i8042 *controller)
{
    if (controller->ops.reset)
        controller->ops.reset(controller->ops.opaque);
}

static void write_output_port(struct i8042 *controller, uint8_t value)
{
    controller->state.output_port = value | PORT_NO_RESET;
    set_a20(controller, value & PORT_A20);
    if (!(value & PORT_NO_RESET))
        pulse_reset(controller);
}

static uint8_t output_port(const struct i8042 *controller)
{
    const struct i8042_state *state = &controller->state;
    uint8_t value = state->output_port & ~(PORT_KEYBOARD_FULL | PORT_MOUSE_FULL);
    if (state->status & STATUS_FULL)
        value |= state->status & STATUS_MOUSE ? PORT_MOUSE_FULL : PORT_KEYBOARD_FULL;
    return value;
}

/* --- commands */

static void set_command_byte(struct i8042 *controller, uint8_t value)
{
    struct i8042_state *state = &controller->state;
    state->command_byte = value;
    state->status =
        value & BYTE_SYSTEM ? state->status | STATUS_SYSTEM : state->status & ~STATUS_SYSTEM;
    refill(controller);
}

static void take_parameter(struct i8042 *controller, uint8_t value)
{
    struct i8042_state *state = &controller->state;
    uint8_t command = state->command;
    state->command = 0;
    switch (command) {
    case WRITE_RAM:
        set_command_byte(controller, value);
        break;
    case WRITE_OUTPUT_PORT:
        write_output_port(controller, value);
        break;
    case WRITE_KEYBOARD_BUFFER:
        answer(controller, value, 0);
        break;
    case WRITE_MOUSE_BUFFER:
        answer(controller, value, STATUS_MOUSE);
        break;
    case WRITE_MOUSE:
        set_command_byte(controller, state->command_byte & ~BYTE_MOUSE_OFF);
        ps2_mouse_write(&controller->mouse, value);
        break;
    default: /* WRITE_RAM + 1.. */
        state->ram[command % RAM_BYTES] = value;
        break;
    }
}

static void data_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    struct i8042 *controller = opaque;
    controller->state.status &= ~STATUS_COMMAND;
    if (controller->state.command) {
        take_parameter(controller, (uint8_t)value);
        return;
    }
    /* Sending to the keyboard turns its interface on. */
    set_command_byte(controller, controller->state.command_byte & ~BYTE_KEYBOARD_OFF);
    ps2_keyboard_write(&controller->keyboard, (uint8_t)value);
}

static void take_command(struct i8042 *controller, uint8_t command)
{
    struct i8042_state *state = &controller->state;
    switch (command) {
    case READ_RAM ... READ_RAM + RAM_BYTES - 1:
        answer(controller,
               command == READ_RAM ? state->command_byte : state->ram[command - READ_RAM], 0);
        break;
    case WRITE_RAM ... WRITE_RAM + RAM_BYTES - 1:
    case WRITE_OUTPUT_PORT:
    case WRITE_KEYBOARD_BUFFER:
    case WRITE_MOUSE_BUFFER:
    case WRITE_MOUSE:
        state->command = command;
        break;
    case TEST_PASSWORD:
        answer(controller, NO_PASSWORD, 0);
        break;
    case MOUSE_OFF:
        set_command_byte(controller, state->command_byte | BYTE_MOUSE_OFF);
        break;
    case MOUSE_ON:
        set_command_byte(controller, state->command_byte & ~BYTE_MOUSE_OFF);
        break;
    case KEYBOARD_OFF:
        set_command_byte(controller, state->command_byte | BYTE_KEYBOARD_OFF);
        break;
    case KEYBOARD_ON:
        set_command_byte(controller, state->command_byte & ~BYTE_KEYBOARD_OFF);
        break;
    case SELF_TEST:
        state->status |= STATUS_SYSTEM;
        answer(controller, SELF_TEST_PASSED, 0);
        break;
    case TEST_MOUSE:
    case TEST_KEYBOARD:
    case READ_TEST_INPUTS:
        answer(controller, 0, 0);
        break;
    case READ_INPUT_PORT:
        answer(controller, INPUT_PORT, 0);
        break;
    case READ_OUTPUT_PORT:
        answer(controller, output_port(controller), 0);
        break;
    case A20_OFF:
    case A20_ON:
        set_a20(controller, command == A20_ON);
        break;
    case PULSE ... 0xff:
        if (!(command & PORT_NO_RESET))
            pulse_reset(controller);
        break;
    default:
        guest_error("i8042: command %02x is not known", command);
        break;
    }
}

static void command_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    struct i8042 *controller = opaque;
    controller->state.status |= STATUS_COMMAND;
    controller->state.command = 0;
    take_command(controller, (uint8_t)value);
}

/* --- from the user */

void i8042_key(struct i8042 *controller, enum ps2_key key, bool down)
{
    ps2_keyboard_key(&controller->keyboard, key, down);
}

void i8042_mouse(struct i8042 *controller, int dx, int dy, int dz, unsigned buttons)
{
    ps2_mouse_move(&controller->mouse, dx, dy, dz, buttons);
}

/* --- the device */

static void reset(void *object, enum reset_kind kind)
{
    struct i8042 *controller = object;
    controller->state = (struct i8042_state){.status = STATUS_UNLOCKED | STATUS_SYSTEM,
                                             .command_byte = BYTE_INITIAL,
                                             .output_port = PORT_INITIAL};
    if (controller->ops.a20)
        controller->ops.a20(controller->ops.opaque, true);
    update_irqs(controller);
}

static int after_load(void *object, struct error *error)
{
    struct i8042 *controller = object;
    if (controller->ops.a20)
        controller->ops.a20(controller->ops.opaque, controller->state.output_port & PORT_A20);
    return 0;
}

void i8042_register(struct i8042 *controller, struct device_list *list)
{
    device_register(list, &ps2_keyboard_class, &controller->keyboard);
    device_register(list, &ps2_mouse_class, &controller->mouse);
    device_register(list, &i8042_class, controller);
}

void i8042_attach(struct i8042 *controller, struct bus *ports, struct clock *clock,
                  struct irq_line keyboard_irq, struct irq_line mouse_irq,
                  const struct i8042_ops *ops)
{
    *controller = (struct i8042){.keyboard_irq = keyboard_irq, .mouse_irq = mouse_irq, .ops = *ops};
    controller->state.command_byte = BYTE_INITIAL;
    ps2_keyboard_attach(&controller->keyboard, clock, data_ready, controller);
    ps2_mouse_attach(&controller->mouse, data_ready, controller);
    controller->data_port = (struct region){.name = "i8042-data",
                                            .base = 0x60,
                                            .length = 1,
                                            .read = data_read,
                                            .write = data_write,
                                            .max_size = 1,
                                            .opaque = controller};
    controller->command_port = (struct region){.name = "i8042-command",
                                               .base = 0x64,
                                               .length = 1,
                                               .read = status_read,
                                               .write = command_write,
                                               .max_size = 1,
                                               .opaque = controller};
    bus_add(ports, &controller->data_port);
    bus_add(ports, &controller->command_port);
}

const struct device_class i8042_class = {
    .name = "i8042",
    DEVICE_STATE(struct i8042, 1, i8042_fields),
    .reset = reset,
    .after_load = after_load,
};
