#include "hw/device.h"

#include <stdlib.h>
#include <string.h>

static void *device_state(const struct device *device)
{
    return (char *)device->object + device->class->state_offset;
}

void device_list_init(struct device_list *list)
{
    list->first = NULL;
    list->last = &list->first;
}

void device_register(struct device_list *list, const struct device_class *class, void *object)
{
    struct device *device = malloc(sizeof *device);
    BUG_ON(!device);
    *device = (struct device){.class = class, .object = object};
    *list->last = device;
    list->last = &device->next;
}

void device_reset_all(struct device_list *list, enum reset_kind kind)
{
    for (struct device *device = list->first; device; device = device->next)
        if (device->class->reset)
            device->class->reset(device->object, kind);
}

void device_save_all(const struct device_list *list, struct save_buffer *buffer)
{
    for (const struct device *device = list->first; device; device = device->next) {
        const struct device_class *class = device->class;
        save_write(buffer, class->name, class->state_version, class->fields, class->field_count,
                   device_state(device));
    }
}

int device_load_all(struct device_list *list, struct save_buffer *buffer, struct error *error)
{
    for (struct device *device = list->first; device; device = device->next) {
        const struct device_class *class = device->class;
        int status = save_read(buffer, class->name, class->state_version, class->fields,
                               class->field_count, device_state(device), error);
        if (status < 0)
            return status;
    }
    /* WHY: only when every state is in place, since deriving may drive another device's inputs. */
    for (struct device *device = list->first; device; device = device->next) {
        int status =
            device->class->after_load ? device->class->after_load(device->object, error) : 0;
        if (status < 0)
            return status;
    }
    return 0;
}

bool device_describe(const struct device_list *list, const char *name, FILE *out)
{
    bool found = false;
    for (const struct device *device = list->first; device; device = device->next) {
        const struct device_class *class = device->class;
        if (name && strcmp(class->name, name))
            continue;
        found = true;
        fprintf(out, "%s:\n", class->name);
        if (class->describe)
            class->describe(device->object, out);
        else
            save_describe(out, class->fields, class->field_count, device_state(device));
    }
    return found;
}

static void free_from(struct device *device)
{
    while (device) {
        struct device *next = device->next;
        free(device);
        device = next;
    }
}

void device_list_free(struct device_list *list)
{
    struct device *reversed = NULL;
    while (list->first) {
        struct device *device = list->first;
        list->first = device->next;
        device->next = reversed;
        reversed = device;
    }
    for (struct device *device = reversed; device; device = device->next)
        if (device->class->detach)
            device->class->detach(device->object);
    free_from(reversed);
    device_list_init(list);
}
