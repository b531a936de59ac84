#include "ui/line_editor.h"

#include <stdio.h>
#include <stdlib.h>

enum { CONTROL_BIT = 0x40, DELETE = 0x7f, ESCAPE = 0x1b };
#define CONTROL(letter) ((letter) & ~CONTROL_BIT)

static void put(struct line_editor *editor, const char *text)
{
    editor->echo(editor->opaque, text, strlen(text));
}

static void move_left(struct line_editor *editor, unsigned columns)
{
    char text[16];

    if (!columns)
        return;
    snprintf(text, sizeof text, "\033[%uD", columns);
    put(editor, text);
}

void line_editor_show(struct line_editor *editor)
{
    put(editor, "\r\033[K");
    put(editor, editor->prompt);
    editor->echo(editor->opaque, editor->line, editor->length);
    move_left(editor, editor->length - editor->cursor);
}

static void set_line(struct line_editor *editor, const char *text)
{
    snprintf(editor->line, sizeof editor->line, "%s", text);
    editor->length = editor->cursor = strlen(editor->line);
    line_editor_show(editor);
}

static void insert(struct line_editor *editor, char character)
{
    if (editor->length + 1 >= LINE_BYTES)
        return;
    memmove(editor->line + editor->cursor + 1, editor->line + editor->cursor,
            editor->length - editor->cursor);
    editor->line[editor->cursor] = character;
    editor->length++;
    editor->echo(editor->opaque, editor->line + editor->cursor, editor->length - editor->cursor);
    editor->cursor++;
    move_left(editor, editor->length - editor->cursor);
}

/* Deletes [from, cursor). */
static void delete_back(struct line_editor *editor, unsigned from)
{
    memmove(editor->line + from, editor->line + editor->cursor, editor->length - editor->cursor);
    editor->length -= editor->cursor - from;
    editor->cursor = from;
    line_editor_show(editor);
}

static void delete_forward(struct line_editor *editor)
{
    if (editor->cursor == editor->length)
        return;
    editor->cursor++;
    delete_back(editor, editor->cursor - 1);
}

static unsigned word_start(const struct line_editor *editor)
{
    unsigned at = editor->cursor;

    while (at > 0 && editor->line[at - 1] == ' ')
        at--;
    while (at > 0 && editor->line[at - 1] != ' ')
        at--;
    return at;
}

static void remember(struct line_editor *editor)
{
    unsigned newest = editor->history_count % LINE_HISTORY;

    if (!editor->length)
        return;
    if (editor->history_count) {
        const char *last = editor->history[(editor->history_count - 1) % LINE_HISTORY];
        if (last && !strcmp(last, editor->line))
            return;
    }
    free(editor->history[newest]);
    editor->history[newest] = strdup(editor->line);
    editor->history_count++;
}

static void recall(struct line_editor *editor, int step)
{
    unsigned kept = editor->history_count < LINE_HISTORY ? editor->history_count : LINE_HISTORY;

    if ((step > 0 && editor->recalled == kept) || (step < 0 && editor->recalled == 0))
        return;
    editor->recalled += step;
    const char *text =
        editor->recalled
            ? editor->history[(editor->history_count - editor->recalled) % LINE_HISTORY]
            : "";
    set_line(editor, text ? text : "");
}

static void enter(struct line_editor *editor)
{
    char line[LINE_BYTES];

    editor->line[editor->length] = '\0';
    remember(editor);
    memcpy(line, editor->line, editor->length + 1);
    editor->length = editor->cursor = editor->recalled = 0;
    put(editor, "\r\n");
    editor->enter(editor->opaque, line);
}

static void complete(struct line_editor *editor)
{
    char more[64] = "";
    unsigned start = editor->cursor;

    while (start > 0 && editor->line[start - 1] != ' ')
        start--;
    if (!editor->complete)
        return;
    editor->complete(editor->opaque, editor->line + start, editor->cursor - start, more,
                     sizeof more);
    for (const char *at = more; *at; at++)
        insert(editor, *at);
}

static void move_to(struct line_editor *editor, unsigned column)
{
    if (column <= editor->length) {
        editor->cursor = column;
        line_editor_show(editor);
    }
}

/* The keys that terminals send as ESC [ X or ESC O X. */
static void escape_key(struct line_editor *editor, char key)
{
    switch (key) {
    case 'A':
        recall(editor, 1);
        break;
    case 'B':
        recall(editor, -1);
        break;
    case 'C':
        move_to(editor, editor->cursor + 1);
        break;
    case 'D':
        if (editor->cursor)
            move_to(editor, editor->cursor - 1);
        break;
    case 'H':
        move_to(editor, 0);
        break;
    case 'F':
        move_to(editor, editor->length);
        break;
    case '~':
        if (editor->escape[2] == '3')
            delete_forward(editor);
        break;
    }
}

static void type_escape(struct line_editor *editor, uint8_t byte)
{
    unsigned at = editor->escape_length++;

    if (at == 1 && byte != '[' && byte != 'O') {
        editor->escape_length = 0;
        return;
    }
    if (at < sizeof editor->escape)
        editor->escape[at] = byte;
    if (at > 1 && byte >= 0x40) {
        editor->escape_length = 0;
        escape_key(editor, byte);
    }
}

void line_editor_type(struct line_editor *editor, uint8_t byte)
{
    if (editor->escape_length) {
        type_escape(editor, byte);
        return;
    }
    switch (byte) {
    case '\r':
    case '\n':
        enter(editor);
        break;
    case ESCAPE:
        memset(editor->escape, 0, sizeof editor->escape);
        editor->escape_length = 1;
        break;
    case '\b':
    case DELETE:
        if (editor->cursor)
            delete_back(editor, editor->cursor - 1);
        break;
    case '\t':
        complete(editor);
        break;
    case CONTROL('A'):
        move_to(editor, 0);
        break;
    case CONTROL('E'):
        move_to(editor, editor->length);
        break;
    case CONTROL('D'):
        delete_forward(editor);
        break;
    case CONTROL('W'):
        delete_back(editor, word_start(editor));
        break;
    case CONTROL('U'):
        delete_back(editor, 0);
        break;
    case CONTROL('K'):
        editor->length = editor->cursor;
        line_editor_show(editor);
        break;
    case CONTROL('C'):
        set_line(editor, "");
        break;
    case CONTROL('P'):
        recall(editor, 1);
        break;
    case CONTROL('N'):
        recall(editor, -1);
        break;
    default:
        if (byte >= ' ')
            insert(editor, byte);
    }
}

void line_editor_free(struct line_editor *editor)
{
    for (unsigned i = 0; i < LINE_HISTORY; i++)
        free(editor->history[i]);
}
