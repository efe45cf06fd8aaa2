/* How long closed sockets go on sending. */
#include "net/linger.h"

#include <zmq.h>

int linger_shortly(void *socket)
{
    const int time_ms = LINGER_MS;

    return zmq_setsockopt(socket, ZMQ_LINGER, &time_ms, sizeof(time_ms));
}
