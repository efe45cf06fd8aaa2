/* poll over the descriptors of ZeroMQ's sockets. */
#include "net/waiter.h"

#include <errno.h>
#include <stdlib.h>
#include <zmq.h>

void waiter_init(struct waiter *waiter)
{
    *waiter = (struct waiter){NULL, 0};
}

void waiter_fini(struct waiter *waiter)
{
    free(waiter->items);
    waiter_init(waiter);
}

enum status waiter_add_descriptor(struct waiter *waiter, int descriptor, struct error *error)
{
    struct pollfd *items = realloc(waiter->items, (waiter->count + 1) * sizeof(*items));

    if (!items)
        return error_set(error, CAIRN_NO_MEMORY, "out of memory for a descriptor");
    waiter->items = items;
    waiter->items[waiter->count++] = (struct pollfd){descriptor, POLLIN, 0};
    return CAIRN_OK;
}

enum status waiter_add_socket(struct waiter *waiter, void *socket, struct error *error)
{
    int descriptor = -1;
    size_t size = sizeof(descriptor);

    if (zmq_getsockopt(socket, ZMQ_FD, &descriptor, &size) != 0)
        return error_set(error, CAIRN_IO, "cannot wait for a socket: %s", zmq_strerror(zmq_errno()));
    return waiter_add_descriptor(waiter, descriptor, error);
}

enum status waiter_sleep(struct waiter *waiter, int timeout_ms, struct error *error)
{
    if (poll(waiter->items, (nfds_t)waiter->count, timeout_ms) >= 0)
        return CAIRN_OK;
    if (errno != EINTR)
        return error_system(error, errno, "cannot wait for sockets");
    for (size_t i = 0; i < waiter->count; i++)
        waiter->items[i].revents = 0;
    return CAIRN_OK;
}

bool waiter_has(const struct waiter *waiter, size_t index)
{
    BUG_IF(index >= waiter->count);
    return waiter->items[index].revents != 0;
}
