/* PS/2 keyboard and mouse: the two devices behind the 8042.
 *
 * Each has a queue of bytes towards the host; `data_ready` says that there is something in it.
 * LIMIT: bytes take no time on the cable; the shift states that real keyboards fake around the keys
 * between the blocks (E0 12, E0 59) are sent for Print Screen only.
 * Source: IBM PS/2 Technical Reference (keyboard, mouse); Microsoft IntelliMouse extension.
 */
#ifndef HW_PS2_H
#define HW_PS2_H

#include "base/bits.h"
#include "base/clock.h"
#include "hw/device.h"

enum ps2_key {
#define KEY(id, name, set2, set3) KEY_##id,
#include "hw/keys.def"
#undef KEY
    KEY_COUNT
};

enum { PS2_KEYS_MAX = 128 };
_Static_assert((int)KEY_COUNT <= (int)PS2_KEYS_MAX, "too many keys for the saved state");

/* The key that "sendkey" calls `name` (`length` characters), or -1. */
int ps2_key_by_name(const char *name, size_t length);
const char *ps2_key_name(enum ps2_key key);

enum { PS2_QUEUE_BYTES = 256, PS2_REPLY_BYTES = 8 };

/* Bytes on their way to the host: replies to commands go before what the user did. */
struct ps2_keyboard_state {
    int64_t repeat_ns; /* when the held key repeats; CLOCK_NEVER: none is held */
    uint8_t queue[PS2_QUEUE_BYTES];
    uint16_t first, count; /* of the queue */
    uint8_t replies[PS2_REPLY_BYTES];
    uint8_t reply_count;
    uint8_t command; /* waits for its parameter; 0: none */
    uint8_t enabled; /* scanning */
    uint8_t set;     /* scan code set 1, 2 or 3 */
    uint8_t leds;
    uint8_t rate;      /* typematic rate and delay, as F3h sets it */
    uint8_t last_sent; /* for "resend" */
    uint8_t repeat_key;
    uint8_t down[PS2_KEYS_MAX]; /* 1: held */
    uint8_t types[256];         /* set 3, by scan code: what the key sends besides its make code */
    uint8_t pad[4];
};

struct ps2_keyboard {
    struct ps2_keyboard_state state;
    struct clock *clock;
    struct timer repeat;
    void (*data_ready)(void *opaque);
    void (*leds_changed)(void *opaque, uint8_t leds); /* bit 0 scroll, 1 num, 2 caps; may be NULL */
    void *opaque;
};

struct ps2_mouse_state {
    int32_t dx, dy, dz; /* movement not yet reported */
    uint8_t queue[PS2_QUEUE_BYTES];
    uint16_t first, count; /* of the queue */
    uint8_t replies[PS2_REPLY_BYTES];
    uint8_t reply_count;
    uint8_t command; /* waits for its parameter; 0: none */
    uint8_t reporting, remote, wrap, double_scale;
    uint8_t resolution, rate;
    uint8_t id;       /* 0 plain, 3 with wheel, 4 with five buttons */
    uint8_t knock[3]; /* the last sample rates: what turns on the IntelliMouse extensions */
    uint8_t buttons, reported_buttons;
    uint8_t last_sent;
    uint8_t pad[1];
};

struct ps2_mouse {
    struct ps2_mouse_state state;
    void (*data_ready)(void *opaque);
    void *opaque;
};

void ps2_keyboard_attach(struct ps2_keyboard *keyboard, struct clock *clock,
                         void (*data_ready)(void *), void *opaque);
void ps2_keyboard_reset(struct ps2_keyboard *keyboard);
void ps2_keyboard_write(struct ps2_keyboard *keyboard, uint8_t byte); /* from the host */
bool ps2_keyboard_pending(const struct ps2_keyboard *keyboard);
uint8_t ps2_keyboard_take(struct ps2_keyboard *keyboard); /* the last byte again when empty */
void ps2_keyboard_key(struct ps2_keyboard *keyboard, enum ps2_key key, bool down);

enum {
    PS2_BUTTON_LEFT = 1,
    PS2_BUTTON_RIGHT = 2,
    PS2_BUTTON_MIDDLE = 4,
    PS2_BUTTON_SIDE = 8,
    PS2_BUTTON_EXTRA = 16,
};

void ps2_mouse_attach(struct ps2_mouse *mouse, void (*data_ready)(void *), void *opaque);
void ps2_mouse_reset(struct ps2_mouse *mouse);
void ps2_mouse_write(struct ps2_mouse *mouse, uint8_t byte);
bool ps2_mouse_pending(const struct ps2_mouse *mouse);
uint8_t ps2_mouse_take(struct ps2_mouse *mouse);
/* Movement right, up and wheel towards the user; the buttons now down. */
void ps2_mouse_move(struct ps2_mouse *mouse, int dx, int dy, int dz, unsigned buttons);

extern const struct device_class ps2_keyboard_class, ps2_mouse_class;

#endif
