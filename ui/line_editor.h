/* One line of typed text with a cursor, and the lines before it: what a monitor without a terminal
 * library needs.  Knows no stream: bytes go in, echo comes out through `echo`.
 */
#ifndef UI_LINE_EDITOR_H
#define UI_LINE_EDITOR_H

#include "base/bits.h"

enum { LINE_BYTES = 1024, LINE_HISTORY = 64 };

struct line_editor {
    char line[LINE_BYTES];
    unsigned length, cursor;
    char *history[LINE_HISTORY]; /* a ring, newest at (count - 1) */
    unsigned history_count;
    unsigned recalled; /* how far back in the history the line is; 0: a new one */
    char escape[8];    /* a sequence under way: ESC [ … */
    unsigned escape_length;
    const char *prompt;
    void (*echo)(void *opaque, const char *text, size_t length);
    /* The line is complete; it may be changed by the callee. */
    void (*enter)(void *opaque, char *line);
    /* Appends to `more` what completes the word `start` (length bytes); NULL: no completion. */
    void (*complete)(void *opaque, const char *start, size_t length, char *more, size_t capacity);
    void *opaque;
};

/* Shows the prompt and what is typed so far. */
void line_editor_show(struct line_editor *editor);
void line_editor_type(struct line_editor *editor, uint8_t byte);
void line_editor_free(struct line_editor *editor);

#endif
