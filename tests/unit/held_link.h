/* The way between a client and a server of this machine through a thread that passes messages on, and holds
 * the server's back when it is told to. Of one client. Test code only. */
#ifndef CAIRN_TESTS_HELD_LINK_H
#define CAIRN_TESTS_HELD_LINK_H

#include "sockets.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>

struct held_link {
    char endpoint[ENDPOINT_BYTES]; /* for the client */
    void *context, *client, *server;
    unsigned char name[256]; /* the client's routing identity */
    size_t name_bytes;
    pthread_t thread;
    atomic_bool is_held, is_stopping;
    atomic_bool has_held; /* a message of the server's waits */
    atomic_uint passes;   /* so many messages may pass though it is held */
};

/* Passes the rest of a message on. */
static inline void held_link_pass_parts(void *from, void *to)
{
    zmq_msg_t part;
    int more = 1;

    while (more) {
        zmq_msg_init(&part);
        BUG_IF(zmq_msg_recv(&part, from, 0) < 0);
        more = zmq_msg_more(&part);
        BUG_IF(zmq_msg_send(&part, to, more ? ZMQ_SNDMORE : 0) < 0);
    }
}

static inline void held_link_from_client(struct held_link *link)
{
    int bytes = zmq_recv(link->client, link->name, sizeof(link->name), 0);

    BUG_IF(bytes <= 0);
    link->name_bytes = (size_t)bytes;
    held_link_pass_parts(link->client, link->server);
}

static inline void held_link_from_server(struct held_link *link)
{
    if (atomic_load(&link->is_held) && atomic_load(&link->passes) == 0) {
        atomic_store(&link->has_held, true);
        return;
    }
    BUG_IF(zmq_send(link->client, link->name, link->name_bytes, ZMQ_SNDMORE) < 0);
    held_link_pass_parts(link->server, link->client);
    atomic_store(&link->has_held, false);
    if (atomic_load(&link->is_held))
        atomic_fetch_sub(&link->passes, 1);
}

static inline void *held_link_run(void *argument)
{
    struct held_link *link = argument;

    while (!atomic_load(&link->is_stopping)) {
        if (has_input(link->client, 1))
            held_link_from_client(link);
        if (has_input(link->server, 1))
            held_link_from_server(link);
    }
    return NULL;
}

static inline void held_link_open(struct held_link *link, const char *endpoint)
{
    memset(link, 0, sizeof(*link));
    link->context = zmq_ctx_new();
    link->client = bound_socket(link->context, ZMQ_ROUTER, link->endpoint);
    link->server = connected_socket(link->context, ZMQ_DEALER, endpoint);
    ck_assert_int_eq(pthread_create(&link->thread, NULL, held_link_run, link), 0);
}

/* From now on, for as long as `is_held`, nothing comes from the server. */
static inline void held_link_hold(struct held_link *link, bool is_held)
{
    atomic_store(&link->is_held, is_held);
}

/* Waits until a message of the server's is held back. */
static inline void held_link_await(struct held_link *link)
{
    int64_t deadline_ms = clock_ms() + PATIENCE_MS;

    while (!atomic_load(&link->has_held)) {
        ck_assert_msg(clock_ms() < deadline_ms, "the server sent nothing");
        poll(NULL, 0, 1);
    }
}

/* Lets one message pass that is held back. */
static inline void held_link_pass(struct held_link *link)
{
    held_link_await(link);
    atomic_store(&link->passes, 1);
    while (atomic_load(&link->passes) > 0)
        poll(NULL, 0, 1);
}

static inline void held_link_close(struct held_link *link)
{
    atomic_store(&link->is_stopping, true);
    ck_assert_int_eq(pthread_join(link->thread, NULL), 0);
    zmq_close(link->client);
    zmq_close(link->server);
    zmq_ctx_term(link->context);
}

#endif
