/* A TCP connection that begins slowly: to a server of this machine through a thread that lets nothing pass at
 * first. Test code only. */
#ifndef CAIRN_TESTS_SLOW_LINK_H
#define CAIRN_TESTS_SLOW_LINK_H

#include "sockets.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

struct slow_link {
    char endpoint[ENDPOINT_BYTES]; /* for whom it is slow */
    int listener, delay_ms;
    struct sockaddr_in server;
    pthread_t thread;
};

/* Passes on what has come; false: one side has ended. */
static inline bool slow_link_pass(int from, int to)
{
    char bytes[1 << 16];
    ssize_t length = recv(from, bytes, sizeof(bytes), 0), sent = 0;

    while (length > 0 && sent < length) {
        ssize_t more = send(to, bytes + sent, (size_t)(length - sent), MSG_NOSIGNAL);

        if (more <= 0)
            return false;
        sent += more;
    }
    return length > 0;
}

/* One connection after another, until the listener is shut down. */
static inline void *slow_link_run(void *argument)
{
    struct slow_link *link = argument;
    int client;

    while ((client = accept(link->listener, NULL, NULL)) >= 0) {
        int server = socket(AF_INET, SOCK_STREAM, 0);
        struct pollfd items[] = {{client, POLLIN, 0}, {server, POLLIN, 0}};
        bool is_open = server >= 0;

        poll(NULL, 0, link->delay_ms);
        is_open = is_open && connect(server, (struct sockaddr *)&link->server, sizeof(link->server)) == 0;
        while (is_open && poll(items, 2, -1) > 0) {
            if (items[0].revents)
                is_open = slow_link_pass(client, server);
            if (is_open && items[1].revents)
                is_open = slow_link_pass(server, client);
        }
        close(client);
        close(server);
    }
    return NULL;
}

/* To "tcp://127.0.0.1:PORT". */
static inline void slow_link_open(struct slow_link *link, const char *endpoint, int delay_ms)
{
    struct sockaddr_in own = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(own);

    link->server = own;
    link->server.sin_port = htons((uint16_t)atoi(strrchr(endpoint, ':') + 1));
    link->delay_ms = delay_ms;
    link->listener = socket(AF_INET, SOCK_STREAM, 0);
    ck_assert_int_ge(link->listener, 0);
    ck_assert_int_eq(bind(link->listener, (struct sockaddr *)&own, sizeof(own)), 0);
    ck_assert_int_eq(listen(link->listener, 4), 0);
    ck_assert_int_eq(getsockname(link->listener, (struct sockaddr *)&own, &size), 0);
    snprintf(link->endpoint, sizeof(link->endpoint), "tcp://127.0.0.1:%u", (unsigned)ntohs(own.sin_port));
    ck_assert_int_eq(pthread_create(&link->thread, NULL, slow_link_run, link), 0);
}

/* After all who are connected have ended. */
static inline void slow_link_close(struct slow_link *link)
{
    shutdown(link->listener, SHUT_RDWR);
    ck_assert_int_eq(pthread_join(link->thread, NULL), 0);
    close(link->listener);
}

#endif
