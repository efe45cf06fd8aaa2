/* Small helpers for tests with sockets: binding where there is room, waiting with a deadline. */
#ifndef CAIRN_TESTS_SOCKETS_H
#define CAIRN_TESTS_SOCKETS_H

#include "base/clock.h"
#include "net/frames.h"

#include <check.h>
#include <stdio.h>
#include <unistd.h>
#include <zmq.h>

/* Longer than anything takes on a busy machine; a test that waits so long has failed. */
#define PATIENCE_MS 5000

#define ENDPOINT_BYTES 256

/* A socket of `type` bound to a free TCP port of this machine; its endpoint in *endpoint. */
static inline void *bound_socket(void *context, int type, char endpoint[ENDPOINT_BYTES])
{
    const int none = 0;
    size_t size = ENDPOINT_BYTES;
    void *socket = zmq_socket(context, type);

    ck_assert_ptr_nonnull(socket);
    ck_assert_int_eq(zmq_setsockopt(socket, ZMQ_LINGER, &none, sizeof(none)), 0);
    ck_assert_int_eq(zmq_bind(socket, "tcp://127.0.0.1:*"), 0);
    ck_assert_int_eq(zmq_getsockopt(socket, ZMQ_LAST_ENDPOINT, endpoint, &size), 0);
    return socket;
}

static inline void *connected_socket(void *context, int type, const char *endpoint)
{
    const int none = 0;
    void *socket = zmq_socket(context, type);

    ck_assert_ptr_nonnull(socket);
    ck_assert_int_eq(zmq_setsockopt(socket, ZMQ_LINGER, &none, sizeof(none)), 0);
    ck_assert_int_eq(zmq_connect(socket, endpoint), 0);
    return socket;
}

/* An endpoint that nobody is bound to yet and nobody else will be. */
static inline void free_endpoint(char endpoint[ENDPOINT_BYTES])
{
    snprintf(endpoint, ENDPOINT_BYTES, "ipc://@cairn-test-%d", (int)getpid());
}

/* Whether input comes within timeout_ms. */
static inline int has_input(void *socket, long timeout_ms)
{
    zmq_pollitem_t item = {socket, 0, ZMQ_POLLIN, 0};

    return zmq_poll(&item, 1, timeout_ms) > 0;
}

/* Receives a message, which must come. */
static inline void receive_soon(void *socket, struct frames *frames)
{
    struct error error = {.message = ""};

    ck_assert_msg(has_input(socket, PATIENCE_MS), "no message came");
    ck_assert_msg(frames_receive(socket, frames, &error) == CAIRN_OK, "%s", error.message);
}

#endif
