/* Being told what happens to the connections of a ZeroMQ socket. One thread an object, the socket's. */
#ifndef CAIRN_NET_MONITOR_H
#define CAIRN_NET_MONITOR_H

#include "base/status.h"

/* Begins to tell of events (ZMQ_EVENT_..., added up); before the socket is connected or bound, so that nothing
 * is missed. *reader: a socket to poll and receive from, two frames an event (zmq_socket_monitor(3)). Owns: the
 * caller, monitor_close, before the socket is closed. Errors: CAIRN_IO; *reader is NULL then. */
enum status monitor_open(void *zmq_context, void *socket, int events, void **reader,
                         struct error *error) MUST_CHECK;

/* Ends the telling and closes the reader. reader may be NULL: nothing is told. */
void monitor_close(void *socket, void *reader);

#endif
