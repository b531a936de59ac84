#include "hw/pic.h"

#define PIC_FIELDS(FIELD, ARRAY)                                                                   \
    ARRAY(struct pic_state, lines)                                                                 \
    ARRAY(struct pic_state, requests)                                                              \
    ARRAY(struct pic_state, in_service)                                                            \
    ARRAY(struct pic_state, mask)                                                                  \
    ARRAY(struct pic_state, level)                                                                 \
    ARRAY(struct pic_state, all_level)                                                             \
    ARRAY(struct pic_state, lowest)                                                                \
    ARRAY(struct pic_state, vector)                                                                \
    ARRAY(struct pic_state, cascade)                                                               \
    ARRAY(struct pic_state, expect)                                                                \
    ARRAY(struct pic_state, single)                                                                \
    ARRAY(struct pic_state, needs_icw4)                                                            \
    ARRAY(struct pic_state, auto_eoi)                                                              \
    ARRAY(struct pic_state, nested)                                                                \
    ARRAY(struct pic_state, rotate_auto)                                                           \
    ARRAY(struct pic_state, special_mask)                                                          \
    ARRAY(struct pic_state, read_isr)                                                              \
    ARRAY(struct pic_state, poll)                                                                  \
    FIELD(struct pic_state, intr)
static const struct field pic_fields[] = SAVE_FIELDS(PIC_FIELDS);
SAVE_ASSERT_COMPLETE(struct pic_state, PIC_FIELDS);

enum { CASCADE = 2, SPURIOUS = 7 };

enum {
    ICW1 = 0x10, /* a write to port 0 with this bit is ICW1 */
    ICW1_IC4 = 0x01,
    ICW1_SNGL = 0x02,
    ICW1_LTIM = 0x08,
    ICW4_AEOI = 0x02,
    ICW4_SFNM = 0x10,
    OCW3 = 0x08, /* … with this one OCW3, else OCW2 */
    OCW3_RIS = 0x01,
    OCW3_RR = 0x02,
    OCW3_POLL = 0x04,
    OCW3_SMM = 0x20,
    OCW3_ESMM = 0x40,
};

/* OCW2 bits 7:5. */
enum {
    OCW2_ROTATE_AUTO_OFF = 0,
    OCW2_EOI = 1,
    OCW2_EOI_SPECIFIC = 3,
    OCW2_ROTATE_AUTO_ON = 4,
    OCW2_ROTATE_EOI = 5,
    OCW2_SET_PRIORITY = 6,
    OCW2_ROTATE_EOI_SPECIFIC = 7,
};

/* ELCR: IRQ0, 1, 2, 8 and 13 are edge-triggered for good. */
static const uint8_t elcr_writable[PIC_CHIPS] = {0xf8, 0xde};

/* --- priorities */

/* Place in the order of priority (0 is the highest) of the first of `inputs`; 8: there is none. */
static unsigned first_place(const struct pic *pic, unsigned chip, uint8_t inputs)
{
    unsigned place = 0;
    while (place < 8 && !(inputs & BIT((pic->state.lowest[chip] + 1 + place) & 7)))
        place++;
    return place;
}

static unsigned input_at_place(const struct pic *pic, unsigned chip, unsigned place)
{
    return (pic->state.lowest[chip] + 1 + place) & 7;
}

/* The input that the chip would interrupt with now, or -1. */
static int pending_input(const struct pic *pic, unsigned chip)
{
    const struct pic_state *state = &pic->state;
    unsigned request = first_place(pic, chip, state->requests[chip] & ~state->mask[chip]);
    uint8_t blocking = state->in_service[chip];
    if (state->special_mask[chip])
        blocking &= ~state->mask[chip];
    if (state->nested[chip] && chip == PIC_MASTER)
        blocking &= (uint8_t)~BIT(CASCADE);
    return request < first_place(pic, chip, blocking) ? (int)input_at_place(pic, chip, request)
                                                      : -1;
}

static uint8_t level_inputs(const struct pic *pic, unsigned chip)
{
    return pic->state.all_level[chip] ? 0xff : pic->state.level[chip];
}

/* Re-derives the cascade and the output (INV-1). */
static void update(struct pic *pic)
{
    struct pic_state *state = &pic->state;
    if (!state->single[PIC_MASTER]) {
        state->requests[PIC_MASTER] &= (uint8_t)~BIT(CASCADE);
        if (pending_input(pic, PIC_SLAVE) >= 0)
            state->requests[PIC_MASTER] |= BIT(CASCADE);
    }
    uint8_t intr = pending_input(pic, PIC_MASTER) >= 0;
    if (intr == state->intr)
        return;
    state->intr = intr;
    irq_set(&pic->intr, intr);
}

/* INV-2. */
void pic_set_irq(void *opaque, int number, int level)
{
    struct pic *pic = opaque;
    unsigned chip = number >> 3 & 1;
    uint8_t bit = BIT(number & 7);
    if (number == CASCADE)
        return;
    bool rises = level && !(pic->state.lines[chip] & bit);
    if (level)
        pic->state.lines[chip] |= bit;
    else
        pic->state.lines[chip] &= ~bit;
    if (!level)
        pic->state.requests[chip] &= ~bit;
    else if (rises || level_inputs(pic, chip) & bit)
        pic->state.requests[chip] |= bit;
    update(pic);
}

static void take_in_service(struct pic *pic, unsigned chip, unsigned input)
{
    struct pic_state *state = &pic->state;
    if (!(level_inputs(pic, chip) & BIT(input)))
        state->requests[chip] &= (uint8_t)~BIT(input);
    if (!state->auto_eoi[chip])
        state->in_service[chip] |= BIT(input);
    else if (state->rotate_auto[chip])
        state->lowest[chip] = input;
}

int pic_acknowledge(struct pic *pic)
{
    struct pic_state *state = &pic->state;
    int input = pending_input(pic, PIC_MASTER);
    int vector = state->vector[PIC_MASTER] + (input < 0 ? SPURIOUS : input);
    if (input >= 0)
        take_in_service(pic, PIC_MASTER, (unsigned)input);
    if (input == CASCADE && !state->single[PIC_MASTER]) {
        int slave = pending_input(pic, PIC_SLAVE);
        vector = state->vector[PIC_SLAVE] + (slave < 0 ? SPURIOUS : slave);
        if (slave >= 0)
            take_in_service(pic, PIC_SLAVE, (unsigned)slave);
    }
    update(pic);
    return vector;
}

/* --- registers */

static void initialize(struct pic *pic, unsigned chip, uint8_t icw1)
{
    struct pic_state *state = &pic->state;
    state->all_level[chip] = (icw1 & ICW1_LTIM) != 0;
    state->single[chip] = (icw1 & ICW1_SNGL) != 0;
    state->needs_icw4[chip] = (icw1 & ICW1_IC4) != 0;
    state->requests[chip] = state->lines[chip] & level_inputs(pic, chip);
    state->in_service[chip] = 0;
    state->mask[chip] = 0;
    state->lowest[chip] = 7;
    state->auto_eoi[chip] = state->nested[chip] = state->rotate_auto[chip] = 0;
    state->special_mask[chip] = state->read_isr[chip] = state->poll[chip] = 0;
    state->expect[chip] = 2;
}

static void end_of_interrupt(struct pic *pic, unsigned chip, unsigned input, bool rotate)
{
    pic->state.in_service[chip] &= (uint8_t)~BIT(input);
    if (rotate)
        pic->state.lowest[chip] = input;
}

static void write_ocw2(struct pic *pic, unsigned chip, uint8_t value)
{
    struct pic_state *state = &pic->state;
    unsigned command = value >> 5, input = value & 7;
    switch (command) {
    case OCW2_ROTATE_AUTO_OFF:
    case OCW2_ROTATE_AUTO_ON:
        state->rotate_auto[chip] = command == OCW2_ROTATE_AUTO_ON;
        break;
    case OCW2_EOI:
    case OCW2_ROTATE_EOI: {
        uint8_t candidates = state->in_service[chip];
        if (state->special_mask[chip])
            candidates &= ~state->mask[chip];
        unsigned place = first_place(pic, chip, candidates);
        if (place < 8)
            end_of_interrupt(pic, chip, input_at_place(pic, chip, place),
                             command == OCW2_ROTATE_EOI);
        break;
    }
    case OCW2_EOI_SPECIFIC:
    case OCW2_ROTATE_EOI_SPECIFIC:
        end_of_interrupt(pic, chip, input, command == OCW2_ROTATE_EOI_SPECIFIC);
        break;
    case OCW2_SET_PRIORITY:
        state->lowest[chip] = input;
        break;
    default: /* no operation */
        break;
    }
}

static void write_ocw3(struct pic *pic, unsigned chip, uint8_t value)
{
    if (value & OCW3_ESMM)
        pic->state.special_mask[chip] = (value & OCW3_SMM) != 0;
    if (value & OCW3_RR)
        pic->state.read_isr[chip] = value & OCW3_RIS;
    pic->state.poll[chip] = (value & OCW3_POLL) != 0;
}

static void write_data(struct pic *pic, unsigned chip, uint8_t value)
{
    struct pic_state *state = &pic->state;
    switch (state->expect[chip]) {
    case 2:
        state->vector[chip] = value & 0xf8;
        state->expect[chip] = !state->single[chip] ? 3 : state->needs_icw4[chip] ? 4 : 0;
        break;
    case 3:
        state->cascade[chip] = value;
        state->expect[chip] = state->needs_icw4[chip] ? 4 : 0;
        break;
    case 4:
        state->auto_eoi[chip] = (value & ICW4_AEOI) != 0;
        state->nested[chip] = (value & ICW4_SFNM) != 0;
        state->expect[chip] = 0;
        break;
    default:
        state->mask[chip] = value;
        break;
    }
}

static void chip_write(struct pic *pic, unsigned chip, uint64_t offset, uint8_t value)
{
    if (offset)
        write_data(pic, chip, value);
    else if (value & ICW1)
        initialize(pic, chip, value);
    else if (value & OCW3)
        write_ocw3(pic, chip, value);
    else
        write_ocw2(pic, chip, value);
    update(pic);
}

static uint8_t poll_word(struct pic *pic, unsigned chip)
{
    int input = pending_input(pic, chip);
    if (input < 0)
        return 0;
    take_in_service(pic, chip, (unsigned)input);
    update(pic);
    return 0x80 | (uint8_t)input;
}

static uint8_t chip_read(struct pic *pic, unsigned chip, uint64_t offset)
{
    struct pic_state *state = &pic->state;
    if (state->poll[chip]) {
        state->poll[chip] = 0;
        return poll_word(pic, chip);
    }
    if (offset)
        return state->mask[chip];
    return state->read_isr[chip] ? state->in_service[chip] : state->requests[chip];
}

static uint64_t master_read(void *opaque, uint64_t offset, unsigned size)
{
    return chip_read(opaque, PIC_MASTER, offset);
}

static void master_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    chip_write(opaque, PIC_MASTER, offset, (uint8_t)value);
}

static uint64_t slave_read(void *opaque, uint64_t offset, unsigned size)
{
    return chip_read(opaque, PIC_SLAVE, offset);
}

static void slave_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    chip_write(opaque, PIC_SLAVE, offset, (uint8_t)value);
}

static uint64_t elcr_read(void *opaque, uint64_t offset, unsigned size)
{
    struct pic *pic = opaque;
    return pic->state.level[offset];
}

static void elcr_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    struct pic *pic = opaque;
    uint8_t before = level_inputs(pic, offset);
    pic->state.level[offset] = value & elcr_writable[offset];
    uint8_t now_level = level_inputs(pic, offset) & ~before;
    pic->state.requests[offset] |= pic->state.lines[offset] & now_level;
    update(pic);
}

/* --- the device */

static void reset(void *object, enum reset_kind kind)
{
    struct pic *pic = object;
    pic->state = (struct pic_state){.lowest = {7, 7}};
    irq_set(&pic->intr, 0);
}

static int after_load(void *object, struct error *error)
{
    struct pic *pic = object;
    for (unsigned chip = 0; chip < PIC_CHIPS; chip++)
        pic->state.lowest[chip] &= 7;
    irq_set(&pic->intr, pic->state.intr != 0);
    return 0;
}

static void describe(const void *object, FILE *out)
{
    const struct pic *pic = object;
    for (unsigned chip = 0; chip < PIC_CHIPS; chip++) {
        const struct pic_state *state = &pic->state;
        fprintf(out, "  pic%u: irr=%02x imr=%02x isr=%02x hprio=%u irq_base=%02x elcr=%02x\n", chip,
                state->requests[chip], state->mask[chip], state->in_service[chip],
                (state->lowest[chip] + 1) & 7, state->vector[chip], state->level[chip]);
    }
}

void pic_attach(struct pic *pic, struct bus *ports, struct irq_line intr)
{
    *pic = (struct pic){.state.lowest = {7, 7}, .intr = intr};
    pic->ports[PIC_MASTER] = (struct region){.name = "pic-master",
                                             .base = 0x20,
                                             .length = 2,
                                             .read = master_read,
                                             .write = master_write,
                                             .max_size = 1,
                                             .opaque = pic};
    pic->ports[PIC_SLAVE] = (struct region){.name = "pic-slave",
                                            .base = 0xa0,
                                            .length = 2,
                                            .read = slave_read,
                                            .write = slave_write,
                                            .max_size = 1,
                                            .opaque = pic};
    pic->elcr = (struct region){.name = "elcr",
                                .base = 0x4d0,
                                .length = 2,
                                .read = elcr_read,
                                .write = elcr_write,
                                .max_size = 1,
                                .opaque = pic};
    bus_add(ports, &pic->ports[PIC_MASTER]);
    bus_add(ports, &pic->ports[PIC_SLAVE]);
    bus_add(ports, &pic->elcr);
}

const struct device_class pic_class = {
    .name = "pic",
    DEVICE_STATE(struct pic, 1, pic_fields),
    .reset = reset,
    .after_load = after_load,
    .describe = describe,
};
