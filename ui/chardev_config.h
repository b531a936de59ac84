/* What the command line says of a character device: "stdio", "file:log", "unix:path,server" … */
#ifndef UI_CHARDEV_CONFIG_H
#define UI_CHARDEV_CONFIG_H

#include <stdbool.h>

enum chardev_kind {
    CHARDEV_NONE, /* no device at all: the port is absent */
    CHARDEV_NULL, /* swallows what is written, never says anything */
    CHARDEV_STDIO,
    CHARDEV_FILE,
    CHARDEV_UNIX,
    CHARDEV_PTY,
};

struct chardev_config {
    enum chardev_kind kind;
    const char *path;   /* of the file or socket */
    bool server;        /* the socket is ours to listen on; else we connect to it */
    bool wait;          /* the server waits for a client before the guest starts */
    bool mux;           /* shared with the monitor: Ctrl-A switches */
    const char *option; /* "-serial stdio", for messages */
};

#endif
