/* ZeroMQ's events of a socket. An event is a frame of six bytes, its number (16 bits) and a value (32 bits),
 * and a frame with the endpoint. */
#include "net/link_watch.h"

#include "base/clock.h"

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <zmq.h>

#define EVENTS (ZMQ_EVENT_CONNECTED | ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_DISCONNECTED)

enum status link_watch_open(struct link_watch *watch, void *zmq_context, void *socket, struct error *error)
{
    char name[96]; /* a closed socket keeps its name for a moment, so an address alone would not do */

    *watch = (struct link_watch){socket, zmq_socket(zmq_context, ZMQ_PAIR), -1};
    if (!watch->reader)
        return error_set(error, CAIRN_IO, "cannot make a socket: %s", zmq_strerror(zmq_errno()));
    snprintf(name, sizeof(name), "inproc://link-%p-%" PRIu64, socket, clock_ns());
    if (zmq_socket_monitor(socket, name, EVENTS) == 0 && zmq_connect(watch->reader, name) == 0)
        return CAIRN_OK;
    return error_set(error, CAIRN_IO, "cannot watch a connection: %s", zmq_strerror(zmq_errno()));
}

/* With nobody at the other end ZeroMQ's I/O thread would wait for somebody, for ever, and everything in the
 * process with it: so the telling ends before the reader does. */
void link_watch_close(struct link_watch *watch)
{
    if (!watch->reader)
        return;
    zmq_socket_monitor(watch->socket, NULL, 0);
    zmq_close(watch->reader);
    watch->reader = NULL;
}

/* False: there is none. */
static bool take_event(struct link_watch *watch, uint16_t *number, int32_t *value)
{
    unsigned char event[6];
    char endpoint[256]; /* of what is longer the rest is dropped */

    if (zmq_recv(watch->reader, event, sizeof(event), ZMQ_DONTWAIT) != (int)sizeof(event))
        return false;
    memcpy(number, event, sizeof(*number));
    memcpy(value, event + sizeof(*number), sizeof(*value));
    return zmq_recv(watch->reader, endpoint, sizeof(endpoint), ZMQ_DONTWAIT) >= 0;
}

enum link_news link_watch_take(struct link_watch *watch)
{
    uint16_t number;
    int32_t value;

    while (take_event(watch, &number, &value)) {
        if (number == ZMQ_EVENT_CONNECTED)
            watch->descriptor = value;
        else if (number == ZMQ_EVENT_HANDSHAKE_SUCCEEDED)
            return LINK_MADE;
        else if (number == ZMQ_EVENT_DISCONNECTED && value == watch->descriptor)
            return LINK_BROKEN;
    }
    return LINK_SAME;
}
