/* ZeroMQ's events of a socket. An event is a frame of six bytes, its number (16 bits) and a value (32 bits),
 * and a frame with the endpoint. */
#include "net/link_watch.h"

#include "net/monitor.h"

#include <stdint.h>
#include <string.h>
#include <zmq.h>

#define EVENTS (ZMQ_EVENT_CONNECTED | ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_DISCONNECTED)

enum status link_watch_open(struct link_watch *watch, void *zmq_context, void *socket, struct error *error)
{
    *watch = (struct link_watch){.socket = socket, .descriptor = -1};
    return monitor_open(zmq_context, socket, EVENTS, &watch->reader, error);
}

void link_watch_close(struct link_watch *watch)
{
    monitor_close(watch->socket, watch->reader);
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
