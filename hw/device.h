/* What every device class tells about itself, and the list of devices of one machine.
 *
 * A device is a struct of its own (`struct pit`) that holds its guest-visible `state` (saved), its
 * wiring (IRQ lines, regions, timers) and host handles (never saved).  It is wired by its own typed
 * <chip>_attach(), called from the board, and then registered here with its class.
 */
#ifndef HW_DEVICE_H
#define HW_DEVICE_H

#include "base/save.h"

#include <stdio.h>

enum reset_kind {
    RESET_POWER_ON, /* everything, also what a reset line leaves alone */
    RESET_SYSTEM,   /* the reset line: port CF9h, 92h, the 8042, a triple fault */
};

struct device_class {
    const char *name;    /* of the section in saved state and in the monitor */
    size_t state_offset; /* of the state within the device */
    size_t state_bytes;
    uint32_t state_version;
    const struct field *fields;
    size_t field_count;
    void (*reset)(void *device, enum reset_kind kind);
    int (*after_load)(void *device, struct error *error); /* re-derive; NULL: nothing to do */
    void (*detach)(void *device);                         /* release host handles; NULL */
    void (*describe)(const void *device, FILE *out);      /* for the monitor; NULL: the fields */
};

/* The members of a class that tell where `type` keeps its `state` and its list of fields. */
#define DEVICE_STATE(type, version, field_table)                                                   \
    .state_offset = offsetof(type, state), .state_bytes = sizeof(((type *)0)->state),              \
    .state_version = (version), .fields = (field_table), .field_count = ARRAY_LENGTH(field_table)

struct device {
    const struct device_class *class;
    void *object;
    struct device *next;
};

struct device_list {
    struct device *first, **last;
};

void device_list_init(struct device_list *list);
/* Adds `object`; the list owns only the node.  Resets and saves run in this order. */
void device_register(struct device_list *list, const struct device_class *class, void *object);
void device_reset_all(struct device_list *list, enum reset_kind kind);
void device_save_all(const struct device_list *list, struct save_buffer *buffer);
/* All or nothing is the caller's concern (it saves first); the first mismatch ends it. */
int device_load_all(struct device_list *list, struct save_buffer *buffer, struct error *error);
/* Describes the devices whose class is called `name` (all: NULL); false when there is none. */
bool device_describe(const struct device_list *list, const char *name, FILE *out);
/* Detaches in reverse order and frees the nodes. */
void device_list_free(struct device_list *list);

#endif
