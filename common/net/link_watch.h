/* Watching the one connection of a socket that connects: when it breaks, and when it is made again. ZeroMQ
 * itself makes it again in silence, and keeps what waits in the queue; but the other end knows nothing of who
 * we were, and what was on its way is lost.
 *
 * The reader is to be polled beside the socket. One thread an object, the socket's. */
#ifndef CAIRN_NET_LINK_WATCH_H
#define CAIRN_NET_LINK_WATCH_H

#include "base/status.h"

#include <stdbool.h>

struct link_watch {
    void *socket;   /* borrowed: the one that is watched */
    void *reader;   /* where that is told; NULL: nothing is watched */
    int descriptor; /* of the newest connection; -1: none was made yet */
};

enum link_news {
    LINK_SAME,   /* nothing has happened */
    LINK_BROKEN, /* the connection is gone */
    LINK_MADE    /* there is one, and both ends have agreed to speak; the first one is told of, too */
};

/* Begins to watch; before the socket is connected, so that nothing is missed. Errors: CAIRN_IO. Owns: the
 * caller, link_watch_close, before the socket is closed; it may be called though nothing was opened. */
enum status link_watch_open(struct link_watch *watch, void *zmq_context, void *socket,
                            struct error *error) MUST_CHECK;
void link_watch_close(struct link_watch *watch);

/* The next thing that has happened. To be called until it says LINK_SAME. The end of a connection that was
 * replaced already is not told. */
enum link_news link_watch_take(struct link_watch *watch);

#endif
