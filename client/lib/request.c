/* Requests to the coordinator. A DEALER that speaks as a REQ does (an empty frame first), so that one request
 * may have many replies. Knows nothing of what the requests mean. */
#include "request.h"

#include "base/clock.h"
#include "net/frames.h"
#include "net/wire.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* So often in a row may a coordinator that once answered leave us without news. It sends some every 2 s. */
#define SILENCES_MAX 6

struct requester {
    void *socket;
    char *endpoint;
    uint64_t number; /* of the newest request */
    struct frames frames;
};

enum status requester_new(void *zmq_context, const char *endpoint, struct requester **out,
                          struct error *error)
{
    const int none = 0;
    struct requester *requester = calloc(1, sizeof(*requester));
    enum status status;

    if (!requester)
        return error_set(error, CAIRN_NO_MEMORY, "request: out of memory");
    frames_init(&requester->frames);
    requester->endpoint = strdup(endpoint);
    requester->socket = zmq_socket(zmq_context, ZMQ_DEALER);
    if (!requester->endpoint || !requester->socket) {
        status = error_set(error, CAIRN_NO_MEMORY, "request: cannot make a socket");
        goto out;
    }
    if (zmq_setsockopt(requester->socket, ZMQ_LINGER, &none, sizeof(none)) != 0 ||
        zmq_connect(requester->socket, endpoint) != 0) {
        status = error_set(error, CAIRN_INVALID, "cannot connect to a coordinator at \"%s\": %s", endpoint,
                           zmq_strerror(zmq_errno()));
        goto out;
    }
    *out = requester;
    return CAIRN_OK;
out:
    requester_free(requester);
    return status;
}

void requester_free(struct requester *requester)
{
    if (!requester)
        return;
    frames_clear(&requester->frames);
    if (requester->socket)
        zmq_close(requester->socket);
    free(requester->endpoint);
    free(requester);
}

void *requester_socket(const struct requester *requester)
{
    return requester->socket;
}

enum status requester_send(struct requester *requester, Cairn__ClientRequest *request, struct error *error)
{
    struct frames *frames = &requester->frames;
    enum status status;
    unsigned char *packed;
    size_t length;

    request->protocol = PROTOCOL_VERSION;
    request->number = ++requester->number;
    length = cairn__client_request__get_packed_size(request);
    packed = malloc(length);
    if (!packed)
        return error_set(error, CAIRN_NO_MEMORY, "request: out of memory");
    cairn__client_request__pack(request, packed);
    status = frames_append_copy(frames, NULL, 0);
    if (status == CAIRN_OK)
        status = frames_append_copy(frames, packed, length);
    free(packed);
    if (status != CAIRN_OK) {
        frames_clear(frames);
        return error_set(error, status, "request: out of memory");
    }
    status = frames_send(requester->socket, frames, error);
    if (status == CAIRN_AGAIN)
        return error_set(error, CAIRN_IO, "the coordinator at %s takes no more requests",
                         requester->endpoint);
    return status;
}

/* The reply in requester->frames; CAIRN_AGAIN: it answers an older request. */
static enum status reply_take(struct requester *requester, Cairn__ClientReply **out, struct error *error)
{
    struct frames *frames = &requester->frames;
    Cairn__ClientReply *reply;
    enum status status;

    if (frames->count != 2 || frames_length(frames, 0) != 0)
        return error_set(error, CAIRN_PROTOCOL, "%s does not answer as a coordinator does",
                         requester->endpoint);
    status = wire_client_reply_unpack(frames_data(frames, 1), frames_length(frames, 1), &reply, error);
    if (status != CAIRN_OK)
        return error_prefix(error, status, "coordinator at %s", requester->endpoint);
    if (reply->number != requester->number) {
        status = CAIRN_AGAIN;
    } else if (reply->body_case == CAIRN__CLIENT_REPLY__BODY_ERROR) {
        status = error_set(error, CAIRN_INVALID, "%s", reply->error->message);
    } else {
        *out = reply;
        return CAIRN_OK;
    }
    cairn__client_reply__free_unpacked(reply, NULL);
    return status;
}

/* Waits until there is something to receive. */
static enum status wait_for_input(struct requester *requester, int64_t deadline_ms, int timeout_ms,
                                  struct error *error)
{
    zmq_pollitem_t item = {requester->socket, 0, ZMQ_POLLIN, 0};
    int64_t left_ms = timeout_ms < 0 ? -1 : deadline_ms - clock_ms();
    int code;

    if (timeout_ms >= 0 && left_ms < 0)
        left_ms = 0;
    code = zmq_poll(&item, 1, left_ms);
    if (code > 0)
        return CAIRN_OK;
    if (code == 0)
        return error_set(error, CAIRN_TIMEOUT, "no answer from a coordinator at %s within %d ms",
                         requester->endpoint, timeout_ms);
    if (zmq_errno() == EINTR)
        return CAIRN_AGAIN;
    return error_set(error, zmq_errno() == ETERM ? CAIRN_CLOSED : CAIRN_IO, "wait for %s: %s",
                     requester->endpoint, zmq_strerror(zmq_errno()));
}

enum status requester_receive(struct requester *requester, int timeout_ms, Cairn__ClientReply **reply,
                              struct error *error)
{
    int64_t deadline_ms = clock_ms() + (timeout_ms > 0 ? timeout_ms : 0);

    for (;;) {
        enum status status = frames_receive(requester->socket, &requester->frames, error);

        if (status == CAIRN_OK) {
            status = reply_take(requester, reply, error);
            frames_clear(&requester->frames);
            if (status != CAIRN_AGAIN)
                return status;
            continue;
        }
        if (status != CAIRN_AGAIN)
            return status;
        status = wait_for_input(requester, deadline_ms, timeout_ms, error);
        if (status != CAIRN_OK)
            return status;
    }
}

enum status requester_expect(struct requester *requester, int timeout_ms,
                             Cairn__ClientReply__BodyCase expected, Cairn__ClientReply **reply,
                             struct error *error)
{
    enum status status;

    do
        status = requester_receive(requester, timeout_ms, reply, error);
    while (status == CAIRN_AGAIN); /* a signal without a handler of ours, such as a resized window */
    if (status == CAIRN_OK && (*reply)->body_case != expected) {
        cairn__client_reply__free_unpacked(*reply, NULL);
        *reply = NULL;
        return error_set(error, CAIRN_PROTOCOL, "the coordinator gave an answer of another kind");
    }
    return status;
}

/* How long to wait for the next reply: until a sign of life is overdue or the wait is over. */
static int next_wait_ms(const struct request_wait *wait, int64_t deadline_ms)
{
    int64_t left_ms = deadline_ms - clock_ms();

    if (wait->timeout_ms < 0 || left_ms > REQUEST_ANSWER_MS)
        return REQUEST_ANSWER_MS;
    return left_ms > 0 ? (int)left_ms : 0;
}

enum status requester_follow(struct requester *requester, Cairn__ClientRequest *request,
                             const struct request_wait *wait, Cairn__ClientReply **last, struct error *error)
{
    int64_t deadline_ms = clock_ms() + wait->timeout_ms;
    enum status status = requester_send(requester, request, error);
    int silences_allowed = 0;

    *last = NULL;
    while (status == CAIRN_OK) {
        Cairn__ClientReply *reply;

        status = requester_expect(requester, next_wait_ms(wait, deadline_ms), wait->expected, &reply, error);
        if (status == CAIRN_OK && wait->take(wait->context, reply)) {
            *last = reply;
            return CAIRN_OK;
        }
        if (status == CAIRN_OK) {
            cairn__client_reply__free_unpacked(reply, NULL);
            silences_allowed = SILENCES_MAX;
        }
        if (wait->timeout_ms >= 0 && (status == CAIRN_OK || status == CAIRN_TIMEOUT) &&
            clock_ms() >= deadline_ms)
            return error_set(error, CAIRN_TIMEOUT,
                             "the coordinator at %s did not report the end within %d ms", requester->endpoint,
                             wait->timeout_ms);
        if (status == CAIRN_TIMEOUT && silences_allowed > 0) {
            silences_allowed--;
            status = requester_send(requester, request, error);
        }
    }
    return status;
}
