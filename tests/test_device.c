/* hw/device: order of resets, saves and detaching; what loading does with a mismatch. */
#include "hw/device.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>

struct lamp_state {
    uint32_t brightness;
};
#define LAMP_FIELDS(FIELD, ARRAY) FIELD(struct lamp_state, brightness)
static const struct field lamp_fields[] = SAVE_FIELDS(LAMP_FIELDS);
SAVE_ASSERT_COMPLETE(struct lamp_state, LAMP_FIELDS);

struct lamp {
    int number;
    struct lamp_state state;
};

static char story[64];

static void tell(char what, const struct lamp *lamp)
{
    size_t length = strlen(story);
    snprintf(story + length, sizeof story - length, "%c%d", what, lamp->number);
}

static void lamp_reset(void *object, enum reset_kind kind)
{
    struct lamp *lamp = object;
    lamp->state.brightness = kind == RESET_POWER_ON ? 1 : 2;
    tell('r', lamp);
}

static int lamp_after_load(void *object, struct error *error)
{
    struct lamp *lamp = object;
    tell('l', lamp);
    return lamp->state.brightness > 100 ? error_set(error, ERANGE, "too bright") : 0;
}

static void lamp_detach(void *object)
{
    tell('d', object);
}

static const struct device_class lamp_class = {
    .name = "lamp",
    DEVICE_STATE(struct lamp, 3, lamp_fields),
    .reset = lamp_reset,
    .after_load = lamp_after_load,
    .detach = lamp_detach,
};

static void describe_bulb(const void *object, FILE *out)
{
    fprintf(out, "  a bulb\n");
}

/* A class without state and without most callbacks. */
static const struct device_class bulb_class = {.name = "bulb", .describe = describe_bulb};

Test(device, lists_run_in_order_and_end_in_reverse)
{
    struct device_list list;
    struct lamp lamps[3] = {{.number = 0}, {.number = 1}, {.number = 2}};
    device_list_init(&list);
    device_register(&list, &bulb_class, NULL);
    for (unsigned i = 0; i < 3; i++)
        device_register(&list, &lamp_class, &lamps[i]);
    device_reset_all(&list, RESET_POWER_ON);
    cr_assert_str_eq(story, "r0r1r2");
    cr_assert_eq(lamps[1].state.brightness, 1);
    device_reset_all(&list, RESET_SYSTEM);
    cr_assert_eq(lamps[1].state.brightness, 2);
    story[0] = 0;
    device_list_free(&list);
    cr_assert_str_eq(story, "d2d1d0");
    cr_assert_null(list.first);
}

Test(device, states_are_loaded_before_any_is_derived_from)
{
    struct device_list list;
    struct lamp lamps[2] = {{.number = 0, .state = {7}}, {.number = 1, .state = {8}}};
    struct save_buffer buffer = {0};
    struct error error = {""};
    device_list_init(&list);
    device_register(&list, &lamp_class, &lamps[0]);
    device_register(&list, &bulb_class, NULL);
    device_register(&list, &lamp_class, &lamps[1]);
    device_save_all(&list, &buffer);
    device_reset_all(&list, RESET_POWER_ON);
    story[0] = 0;
    cr_assert_eq(device_load_all(&list, &buffer, &error), 0, "%s", error.text);
    cr_assert_str_eq(story, "l0l1");
    cr_assert_eq(lamps[0].state.brightness, 7);
    cr_assert_eq(lamps[1].state.brightness, 8);
    cr_assert_eq(buffer.at, buffer.length);

    cr_assert_eq(device_load_all(&list, &buffer, &error), -EINVAL, "nothing is left");
    lamps[0].state.brightness = 101;
    save_buffer_free(&buffer);
    device_save_all(&list, &buffer);
    cr_assert_eq(device_load_all(&list, &buffer, &error), -ERANGE);
    cr_assert_str_eq(error.text, "too bright");
    save_buffer_free(&buffer);
    device_list_free(&list);
}

Test(device, descriptions)
{
    struct device_list list;
    struct lamp lamp = {.state = {0xabc}};
    char *text = NULL;
    size_t length = 0;
    device_list_init(&list);
    device_register(&list, &lamp_class, &lamp);
    device_register(&list, &bulb_class, NULL);
    FILE *out = open_memstream(&text, &length);
    cr_assert(device_describe(&list, "lamp", out));
    fflush(out);
    cr_assert(strstr(text, "brightness") && strstr(text, "00000abc"));
    cr_assert(!strstr(text, "bulb"));
    cr_assert(device_describe(&list, NULL, out));
    fflush(out);
    cr_assert(strstr(text, "  a bulb\n"));
    cr_assert_not(device_describe(&list, "candle", out));
    fclose(out);
    free(text);
    device_list_free(&list);
}
