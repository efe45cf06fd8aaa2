/* The two ends of ZeroMQ's monitor. Knows nothing of what the events mean. */
#include "net/monitor.h"

#include "base/clock.h"

#include <inttypes.h>
#include <stdio.h>
#include <zmq.h>

enum status monitor_open(void *zmq_context, void *socket, int events, void **reader, struct error *error)
{
    char name[96]; /* a closed socket keeps its name for a moment, so an address alone would not do */
    enum status status;

    *reader = zmq_socket(zmq_context, ZMQ_PAIR);
    if (!*reader)
        return error_set(error, CAIRN_IO, "cannot make a socket: %s", zmq_strerror(zmq_errno()));
    snprintf(name, sizeof(name), "inproc://monitor-%p-%" PRIu64, socket, clock_ns());
    if (zmq_socket_monitor(socket, name, events) == 0 && zmq_connect(*reader, name) == 0)
        return CAIRN_OK;
    status = error_set(error, CAIRN_IO, "cannot watch a connection: %s", zmq_strerror(zmq_errno()));
    monitor_close(socket, *reader);
    *reader = NULL;
    return status;
}

/* With nobody at the other end ZeroMQ's I/O thread would wait for somebody, for ever, and everything in the
 * process with it: so the telling ends before the reader does. */
void monitor_close(void *socket, void *reader)
{
    if (!reader)
        return;
    zmq_socket_monitor(socket, NULL, 0);
    zmq_close(reader);
}
