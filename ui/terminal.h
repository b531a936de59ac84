/* The terminal that ring3 was started on: raw while a guest has it, as it was on every way out.
 *
 * INV-1: whenever the process stops or ends, by itself or by a signal that can be caught, the
 *        terminal has the settings that terminal_init() found.
 */
#ifndef UI_TERMINAL_H
#define UI_TERMINAL_H

#include <stdbool.h>
#include <termios.h>

struct terminal {
    struct termios original, raw;
    bool is_terminal, entered;
};

/* Remembers the settings of standard input, if that is a terminal.  Once in a process: a signal
 * that kills looks for the terminal at one known place. */
void terminal_init(struct terminal *terminal);
/* Raw from now on; `keys_to_guest`: Ctrl-C, Ctrl-Z and Ctrl-\ are bytes like the others. */
void terminal_enter(struct terminal *terminal, bool keys_to_guest);
void terminal_leave(struct terminal *terminal);
/* Restores the terminal, stops the process as Ctrl-Z does, and is raw again when it goes on. */
void terminal_suspend(struct terminal *terminal);
/* Raw again after the process was continued, if it is in the foreground. */
void terminal_resume(struct terminal *terminal);

#endif
