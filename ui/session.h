/* What lies around a machine: its streams, the terminal they share, the monitors. */
#ifndef UI_SESSION_H
#define UI_SESSION_H

#include "ui/monitor.h"
#include "ui/mux.h"
#include "ui/options.h"
#include "ui/stream.h"

enum { SESSION_STREAMS = MACHINE_SERIALS_MAX + 2 };

struct session {
    struct options *options;
    struct stream_host host;
    struct stream *streams[SESSION_STREAMS];
    unsigned stream_count;
    struct chardev *monitor_chardev; /* of its own or of the mux; NULL: no monitor */
    struct mux *mux;                 /* NULL: none shares */
    struct monitor *monitor;
    struct machine *machine;
};

/* Makes the streams, unopened, and puts their chardevs into options->machine. */
int session_init(struct session *session, struct options *options, struct loop *loop,
                 struct terminal *terminal, int signal_fd, struct error *error);
/* Joins the machine, opens every stream; lock held. */
int session_start(struct session *session, struct machine *machine, struct error *error);
/* Lets go of the machine (before machine_free()); lock held. */
void session_stop(struct session *session);
/* Closes the streams (after machine_free()). */
void session_free(struct session *session);

#endif
