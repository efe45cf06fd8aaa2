/* Sleeping until one of several sockets may have something to receive: zmq_poll with a third of its system
 * calls, for threads whose round trips are made of them.
 *
 * zmq_poll asks every socket before it sleeps and again after. A waiter sleeps on the sockets' descriptors
 * alone, and leaves the asking to the receives that follow anyway. ZeroMQ's descriptors tell of news, not of
 * what is there, and any call on a socket may take the news in; hence the one rule:
 *
 *     Before waiter_sleep each socket must have answered CAIRN_AGAIN (frames_receive, actor_take, actor_hear),
 *     and nothing else may have been done with that socket since, not even a send.
 *
 * Who breaks it sleeps beside a message. Afterwards any socket may have something, or none; of a socket that
 * has not been touched since its CAIRN_AGAIN waiter_has tells. One thread an object, that of the sockets. */
#ifndef CAIRN_NET_WAITER_H
#define CAIRN_NET_WAITER_H

#include "base/status.h"

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>

struct waiter {
    struct pollfd *items;
    size_t count;
};

/* A waiter of nothing. */
void waiter_init(struct waiter *waiter);
void waiter_fini(struct waiter *waiter);

/* Adds a socket, or a plain descriptor to be read; its index is the number of those before it. The socket is
 * borrowed and must be open as long as the waiter is used. Errors: CAIRN_NO_MEMORY, CAIRN_IO. */
enum status waiter_add_socket(struct waiter *waiter, void *socket, struct error *error) MUST_CHECK;
enum status waiter_add_descriptor(struct waiter *waiter, int descriptor, struct error *error) MUST_CHECK;

/* Sleeps until there is news or timeout_ms have passed (-1: for ever, 0: only looks); a signal ends it too.
 * Errors: CAIRN_IO. */
enum status waiter_sleep(struct waiter *waiter, int timeout_ms, struct error *error) MUST_CHECK;

/* Whether the last sleep ended with news of this one. */
bool waiter_has(const struct waiter *waiter, size_t index);

#endif
