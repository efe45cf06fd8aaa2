/* Connections that end at the coordinator's socket. ZeroMQ tells that one did, not whose: whoever is told
 * then sends something to all nodes, and those that cannot be reached are known (state.h, EVENT_PROBE). It
 * may tell before the socket itself knows, so a second probe follows the first. The coordinator's thread
 * only. */
#ifndef CAIRN_COORDINATOR_DISCONNECTS_H
#define CAIRN_COORDINATOR_DISCONNECTS_H

#include "base/status.h"

#include <stdbool.h>
#include <stdint.h>

struct disconnects {
    void *socket;      /* borrowed: the one that is watched */
    void *watch;       /* where that is told */
    int probes;        /* that are still to be made */
    int64_t probed_ms; /* when the last one was, on clock_ms() */
};

/* Begins to watch a socket. Errors: CAIRN_IO. Owns: the caller, disconnects_close, before the socket is closed;
 * it may be called though nothing was opened. */
enum status disconnects_open(struct disconnects *disconnects, void *zmq_context, void *socket,
                             struct error *error) MUST_CHECK;
void disconnects_close(struct disconnects *disconnects);

/* Takes what is to be read from the watch. */
void disconnects_take(struct disconnects *disconnects);

/* Whether a probe is due; it counts as made then. */
bool disconnects_probe_is_due(struct disconnects *disconnects);

/* When one will be, on clock_ms(); INT64_MAX: when another connection has ended. */
int64_t disconnects_deadline_ms(const struct disconnects *disconnects);

#endif
