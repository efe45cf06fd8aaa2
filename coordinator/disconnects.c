/* Watching for the end of connections. Knows nothing of nodes. */
#include "disconnects.h"

#include "base/clock.h"
#include "net/monitor.h"

#include <zmq.h>

/* Between two probes, however many connections end. */
#define PROBE_MS 20
#define PROBES   2

enum status disconnects_open(struct disconnects *disconnects, void *zmq_context, void *socket,
                             struct error *error)
{
    disconnects->socket = socket;
    disconnects->probes = 0;
    disconnects->probed_ms = clock_ms() - PROBE_MS;
    return monitor_open(zmq_context, socket, ZMQ_EVENT_DISCONNECTED, &disconnects->watch, error);
}

void disconnects_close(struct disconnects *disconnects)
{
    monitor_close(disconnects->socket, disconnects->watch);
    disconnects->watch = NULL;
}

void disconnects_take(struct disconnects *disconnects)
{
    char part[256]; /* an event's number and value, or its endpoint: that there is one is all that counts */

    while (zmq_recv(disconnects->watch, part, sizeof(part), ZMQ_DONTWAIT) >= 0)
        disconnects->probes = PROBES;
}

int64_t disconnects_deadline_ms(const struct disconnects *disconnects)
{
    return disconnects->probes > 0 ? disconnects->probed_ms + PROBE_MS : INT64_MAX;
}

bool disconnects_probe_is_due(struct disconnects *disconnects)
{
    int64_t now_ms = clock_ms();

    if (now_ms < disconnects_deadline_ms(disconnects))
        return false;
    disconnects->probes--;
    disconnects->probed_ms = now_ms;
    return true;
}
