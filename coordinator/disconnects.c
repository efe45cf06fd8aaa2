/* Watching for the end of connections. Knows nothing of nodes. */
#include "disconnects.h"

#include "base/clock.h"

#include <inttypes.h>
#include <stdio.h>
#include <zmq.h>

/* Between two probes, however many connections end. */
#define PROBE_MS 20
#define PROBES   2

enum status disconnects_open(struct disconnects *disconnects, void *zmq_context, void *socket,
                             struct error *error)
{
    void *watch = zmq_socket(zmq_context, ZMQ_PAIR);
    char name[96]; /* a closed socket keeps its name for a moment, so an address alone would not do */

    disconnects->socket = socket;
    disconnects->watch = watch;
    disconnects->probes = 0;
    disconnects->probed_ms = clock_ms() - PROBE_MS;
    if (!watch)
        return error_set(error, CAIRN_IO, "cannot make a socket: %s", zmq_strerror(zmq_errno()));
    snprintf(name, sizeof(name), "inproc://coordinator-%p-%" PRIu64, socket, clock_ns());
    if (zmq_socket_monitor(socket, name, ZMQ_EVENT_DISCONNECTED) != 0 || zmq_connect(watch, name) != 0)
        return error_set(error, CAIRN_IO, "cannot watch connections: %s", zmq_strerror(zmq_errno()));
    return CAIRN_OK;
}

void disconnects_close(struct disconnects *disconnects)
{
    if (!disconnects->watch)
        return;
    zmq_socket_monitor(disconnects->socket, NULL, 0); /* else ZeroMQ's thread would wait for who reads no more */
    zmq_close(disconnects->watch);
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
