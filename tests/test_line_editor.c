#include "ui/line_editor.h"

#include <criterion/criterion.h>
#include <stdio.h>

static struct line_editor editor;
static char entered[4096], screen[65536];
static size_t screen_length;

static void echo(void *opaque, const char *text, size_t length)
{
    if (screen_length + length >= sizeof screen)
        screen_length = 0;
    memcpy(screen + screen_length, text, length);
    screen_length += length;
    screen[screen_length] = '\0';
}

static void enter(void *opaque, char *line)
{
    snprintf(entered, sizeof entered, "%s", line);
}

static void complete(void *opaque, const char *start, size_t length, char *more, size_t capacity)
{
    if (length == 2 && !memcmp(start, "sc", 2))
        snprintf(more, capacity, "reendump ");
}

static void setup(void)
{
    editor =
        (struct line_editor){.prompt = "> ", .echo = echo, .enter = enter, .complete = complete};
}

static void type(const char *text)
{
    while (*text)
        line_editor_type(&editor, *text++);
}

Test(line_editor, edits, .init = setup)
{
    static const struct {
        const char *typed, *line;
    } rows[] = {
        {"help\r", "help"},
        {"hxelp\033[D\033[D\033[D\b\r", "help"},
        {"hxelp\033[D\033[D\033[D\177\r", "help"},
        {"elp\001h\r", "help"},
        {"elp\033[Hh\005!\r", "help!"},
        {"hhelp\001\004\r", "help"},
        {"hhelp\001\033[3~\r", "help"},
        {"info mem\027cpus\r", "info cpus"},
        {"rubbish\025help\r", "help"},
        {"help me\033[D\033[D\033[D\013\r", "help"},
        {"rubbish\003help\r", "help"},
        {"sc\tx.png\r", "screendump x.png"},
        {"\b\b\033[D\033[C\033[B\033[5~a\r", "a"},
        {"\033xa\033OD\033OCb\r", "ab"},
        {"\r", ""},
    };
    for (unsigned i = 0; i < ARRAY_LENGTH(rows); i++) {
        strcpy(entered, "nothing");
        type(rows[i].typed);
        cr_expect_str_eq(entered, rows[i].line, "row %u: %s", i, entered);
    }
    line_editor_free(&editor);
}

Test(line_editor, history, .init = setup)
{
    type("one\rtwo\rtwo\r\r");
    type("\033[A\r");
    cr_expect_str_eq(entered, "two");
    type("\033[A\033[A\r");
    cr_expect_str_eq(entered, "one");
    type("\020\020\020\020\016\r");
    cr_expect_str_eq(entered, "two");
    for (unsigned i = 0; i < 3 * LINE_HISTORY; i++) {
        char line[16];
        snprintf(line, sizeof line, "%u\r", i);
        type(line);
    }
    for (unsigned i = 0; i < LINE_HISTORY + 5; i++)
        type("\033[A");
    type("\r");
    cr_expect_eq(atoi(entered), 2 * LINE_HISTORY);
    line_editor_free(&editor);
}

Test(line_editor, takes_any_bytes, .init = setup)
{
    unsigned seed = 1;
    for (unsigned i = 0; i < 500000; i++) {
        seed = seed * 1103515245 + 12345;
        line_editor_type(&editor, seed >> 16);
        cr_assert_leq(editor.cursor, editor.length);
        cr_assert_lt(editor.length, LINE_BYTES);
    }
    for (unsigned i = 0; i < 3000; i++)
        line_editor_type(&editor, 'x');
    cr_expect_lt(editor.length, LINE_BYTES);
    line_editor_free(&editor);
}
