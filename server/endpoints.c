/* Endpoints as text. */
#include "endpoints.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PORT_MAX 65535

static enum status print(char *endpoint, size_t size, struct error *error, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
static enum status print(char *endpoint, size_t size, struct error *error, const char *format, ...)
{
    va_list args;
    int length;

    va_start(args, format);
    length = vsnprintf(endpoint, size, format, args);
    va_end(args);
    return length >= 0 && (size_t)length < size ? CAIRN_OK
                                                : error_set(error, CAIRN_INVALID, "the endpoint is too long");
}

static bool begins_with(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

/* tcp://HOST:PORT in parts; host is not ended. */
static bool tcp_split(const char *endpoint, const char **host, size_t *host_bytes, uint32_t *port)
{
    const char *colon;
    char *end;
    unsigned long number;

    if (!begins_with(endpoint, "tcp://"))
        return false;
    *host = endpoint + strlen("tcp://");
    colon = strrchr(*host, ':');
    if (!colon || colon == *host || colon[1] < '0' || colon[1] > '9')
        return false;
    number = strtoul(colon + 1, &end, 10);
    if (*end != '\0' || number > PORT_MAX)
        return false;
    *host_bytes = (size_t)(colon - *host);
    *port = (uint32_t)number;
    return true;
}

enum status endpoint_listen(const char *listen, uint32_t shard, char *endpoint, size_t size,
                            struct error *error)
{
    const char *host;
    size_t host_bytes;
    uint32_t port;

    if (begins_with(listen, "ipc://") && listen[strlen("ipc://")] != '\0')
        return print(endpoint, size, error, "%s.%" PRIu32, listen, shard);
    if (!tcp_split(listen, &host, &host_bytes, &port))
        return error_set(
            error, CAIRN_INVALID,
            "cannot listen on \"%s\": an endpoint is tcp://ADDRESS:PORT (port 0: any that is free) or "
            "ipc://PATH",
            listen);
    if (port > 0 && port + shard > PORT_MAX)
        return error_set(error, CAIRN_INVALID, "%s: there are no %" PRIu32 " ports after that", listen,
                         shard);
    return print(endpoint, size, error, "tcp://%.*s:%" PRIu32, (int)host_bytes, host,
                 port ? port + shard : 0);
}

static bool is_every_address(const char *host, size_t host_bytes)
{
    static const char *const names[] = {"*", "0.0.0.0", "[::]", "::"};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strlen(names[i]) == host_bytes && memcmp(names[i], host, host_bytes) == 0)
            return true;
    }
    return false;
}

enum status endpoint_advertise(const char *bound, const char *advertise, const char *host, char *endpoint,
                               size_t size, struct error *error)
{
    const char *bound_host;
    size_t bound_host_bytes;
    uint32_t port;

    if (!tcp_split(bound, &bound_host, &bound_host_bytes, &port))
        return print(endpoint, size, error, "%s", bound);
    if (!advertise && is_every_address(bound_host, bound_host_bytes))
        advertise = host;
    if (!advertise)
        return print(endpoint, size, error, "%s", bound);
    return print(endpoint, size, error, "tcp://%s:%" PRIu32, advertise, port);
}
