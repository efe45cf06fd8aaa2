/* ZeroMQ alone, at its best: blocking calls where there is one socket, no copies of our own. */
#include "raw_zeromq.h"

#include "base/buffer.h"
#include "base/clock.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

static enum status zmq_error(struct error *error, const char *doing)
{
    return error_set(error, CAIRN_IO, "%s: %s", doing, zmq_strerror(zmq_errno()));
}

/* A socket without high-water marks. */
static enum status socket_new(int type, void **out, struct error *error)
{
    const int none = 0;
    void *context = zmq_ctx_new(), *socket = context ? zmq_socket(context, type) : NULL;

    if (!socket || zmq_setsockopt(socket, ZMQ_SNDHWM, &none, sizeof(none)) != 0 ||
        zmq_setsockopt(socket, ZMQ_RCVHWM, &none, sizeof(none)) != 0)
        return zmq_error(error, "cannot make a socket");
    *out = socket;
    return CAIRN_OK;
}

/* Bytes that were written once, so that they are pages of their own, in memory such as Cairn's clients use;
 * they stay until the process ends. */
static void *touched(size_t bytes)
{
    struct buffer *buffer = buffer_new(bytes);

    if (!buffer)
        return NULL;
    memset(buffer->data, 1, bytes);
    return buffer->data;
}

static void keep(void *data, void *hint)
{
    (void)data, (void)hint;
}

/* Sends bytes from where they are. */
static int send_in_place(void *socket, void *bytes, size_t length)
{
    zmq_msg_t message;

    if (zmq_msg_init_data(&message, bytes, length, keep, NULL) != 0)
        return -1;
    if (zmq_msg_send(&message, socket, 0) < 0) {
        zmq_msg_close(&message);
        return -1;
    }
    return 0;
}

/* ---- server */

/* Answers one message. */
static int answer(void *router, const struct raw_params *params, unsigned char *bytes)
{
    zmq_msg_t client, message;
    size_t length;

    zmq_msg_init(&client);
    zmq_msg_init(&message);
    if (zmq_msg_recv(&client, router, 0) < 0 || zmq_msg_recv(&message, router, 0) < 0)
        return -1;
    length = zmq_msg_size(&message);
    if (params->pattern == RAW_PUSH)
        length = RAW_SMALL_BYTES;
    else if (params->pattern == RAW_PULL) /* the request says how much */
        memcpy(&length, zmq_msg_data(&message), sizeof(length));
    zmq_msg_close(&message);
    return zmq_msg_send(&client, router, ZMQ_SNDMORE) < 0 ? -1 : send_in_place(router, bytes, length);
}

static enum status serve(const struct crew_place *place, struct error *error)
{
    const struct raw_params *params = place->argument;
    char listen[CREW_ENDPOINT_BYTES], bound[CREW_ENDPOINT_BYTES];
    size_t bound_bytes = sizeof(bound), used = 0, message_bytes = params->message_bytes;
    size_t all_bytes = params->step_bytes * params->window;
    unsigned char *bytes = touched(all_bytes + RAW_SMALL_BYTES);
    void *router = NULL;
    enum status status =
        bytes ? socket_new(ZMQ_ROUTER, &router, error) : error_set(error, CAIRN_NO_MEMORY, "out of memory");

    if (status != CAIRN_OK)
        return status;
    crew_listen(place, listen);
    if (zmq_bind(router, listen) != 0 || zmq_getsockopt(router, ZMQ_LAST_ENDPOINT, bound, &bound_bytes) != 0)
        return zmq_error(error, listen);
    crew_serving(place, bound);
    while (answer(router, params, bytes + used) == 0) {
        used += message_bytes; /* as a server's values would lie: all of them, in turn */
        if (used + message_bytes > all_bytes)
            used = 0;
    }
    return zmq_error(error, "serve");
}

/* ---- client */

struct client {
    const struct raw_params *params;
    uint32_t socket_count;
    void *sockets[CREW_SERVERS_MAX];
    zmq_pollitem_t items[CREW_SERVERS_MAX];
    unsigned char *bytes;
    uint32_t messages; /* a step */
};

static enum status client_connect(const struct crew_place *place, void **out, struct error *error)
{
    const struct raw_params *params = place->argument;
    struct client *client = calloc(1, sizeof(*client));
    enum status status = CAIRN_OK;

    if (!client || !(client->bytes = touched(params->step_bytes * params->window)))
        return error_set(error, CAIRN_NO_MEMORY, "out of memory");
    client->params = params;
    client->messages = (uint32_t)((params->step_bytes + params->message_bytes - 1) / params->message_bytes);
    client->socket_count = place->server_count;
    for (uint32_t i = 0; i < place->server_count && status == CAIRN_OK; i++) {
        status = socket_new(ZMQ_DEALER, &client->sockets[i], error);
        client->items[i] = (zmq_pollitem_t){client->sockets[i], 0, ZMQ_POLLIN, 0};
        if (status == CAIRN_OK && zmq_connect(client->sockets[i], place->endpoints[i]) != 0)
            status = zmq_error(error, place->endpoints[i]);
    }
    *out = client;
    return status;
}

/* Sends message `index` of a step. */
static int ask(struct client *client, uint64_t step, uint32_t index)
{
    const struct raw_params *params = client->params;
    unsigned char *array = client->bytes + step % params->window * params->step_bytes;
    void *socket = client->sockets[index % client->socket_count];
    size_t begin = (size_t)index * params->message_bytes, length = params->step_bytes - begin;
    unsigned char request[RAW_SMALL_BYTES] = {0};

    if (length > params->message_bytes)
        length = params->message_bytes;
    if (params->pattern != RAW_PULL)
        return send_in_place(socket, array + begin, length);
    memcpy(request, &length, sizeof(length));
    return zmq_send(socket, request, sizeof(request), 0) < 0 ? -1 : 0;
}

/* Takes all answers that are there, at least one; -1: failed. */
static int hear(struct client *client)
{
    zmq_msg_t message;
    int heard = 0, flags = client->socket_count == 1 ? 0 : ZMQ_DONTWAIT;

    if (flags && zmq_poll(client->items, (int)client->socket_count, -1) < 0)
        return -1;
    for (uint32_t i = 0; i < client->socket_count; i++) {
        zmq_msg_init(&message);
        while (zmq_msg_recv(&message, client->sockets[i], flags) >= 0) {
            heard++;
            flags = ZMQ_DONTWAIT;
        }
        zmq_msg_close(&message);
        if (zmq_errno() != EAGAIN)
            return -1;
    }
    return heard;
}

static enum status client_run(void *context, uint32_t steps, uint64_t *times_ns, struct error *error)
{
    struct client *client = context;
    uint64_t total = (uint64_t)steps * client->messages, sent = 0, heard = 0;

    while (heard < total) {
        uint64_t before = heard / client->messages;
        int more;

        for (; sent < total && sent / client->messages - before < client->params->window; sent++) {
            if (sent % client->messages == 0)
                times_ns[sent / client->messages] = clock_ns();
            if (ask(client, sent / client->messages, (uint32_t)(sent % client->messages)) != 0)
                return zmq_error(error, "send");
        }
        more = hear(client);
        if (more < 0)
            return zmq_error(error, "receive");
        heard += (uint64_t)more;
        for (; before < heard / client->messages; before++)
            times_ns[before] = clock_ns() - times_ns[before];
    }
    return CAIRN_OK;
}

const struct crew_roles raw_roles = {serve, client_connect, client_run};
