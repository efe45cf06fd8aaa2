/* The daemon's loop. Knows nothing of jobs and nodes but how their messages come and go.
 *
 * Messages are handled in batches, so that one durable write serves all that came together. The ROUTER
 * reports peers that are gone when something is sent to them (ZMQ_ROUTER_MANDATORY), which it is at once when a
 * connection ends (disconnects.h): that frees a dead node's name, gives its work to others and ends a dead
 * client's subscription. It does not hand an identity over to a newcomer (ZMQ_ROUTER_HANDOVER): who a node is, its
 * registration says, and two peers never share an identity. */
#include "coordinator.h"

#include "disconnects.h"
#include "endpoint.h"
#include "records.h"
#include "state.h"

#include "base/clock.h"
#include "base/log.h"
#include "net/frames.h"
#include "net/wire.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

#define BATCH_MAX    64   /* messages */
#define POLL_MAX_MS  1000 /* no wait is longer */
#define LINGER_MS    200  /* for the last messages */
#define COMPLAINT_MS 1000 /* between two lines about malformed messages */
#define ENDPOINT_MAX 512

struct coordinator {
    void *socket;
    struct disconnects disconnects; /* of its peers */
    struct records *records;
    struct state *state;
    struct effects effects; /* of the batch in hand */
    struct frames frames;   /* the message in hand */
    int64_t complained_ms;
    uint64_t complaints; /* that have not been told yet */
    char *endpoint_path;
    char endpoint[ENDPOINT_MAX];
};

const char *coordinator_endpoint(const struct coordinator *coordinator)
{
    return coordinator->endpoint;
}

static struct moment moment_now(void)
{
    struct moment now = {clock_ms(), clock_unix_ms()};

    return now;
}

static enum status handle(struct coordinator *coordinator, const struct event *event, struct error *error)
{
    return state_handle(coordinator->state, event, moment_now(), &coordinator->effects, error);
}

/* ---- what comes in */

/* Peers drive this: at most one line a second, with a count of those that it stands for. */
static void complain(struct coordinator *coordinator, const char *reason)
{
    int64_t now_ms = clock_ms();

    coordinator->complaints++;
    if (now_ms - coordinator->complained_ms < COMPLAINT_MS)
        return;
    log_warn("malformed_message", "reason=\"%s\" count=%" PRIu64, reason, coordinator->complaints);
    coordinator->complained_ms = now_ms;
    coordinator->complaints = 0;
}

/* A node of another version is told so: it would register for ever. */
static enum status take_foreign_node(struct coordinator *coordinator, const struct peer *peer,
                                     struct error *problem, struct error *error)
{
    struct event event = {.type = EVENT_MISMATCH, .peer = *peer, .reason = problem->message};
    Cairn__NodeMessage *message = cairn__node_message__unpack(NULL, frames_length(&coordinator->frames, 1),
                                                              frames_data(&coordinator->frames, 1));
    bool mismatch = message && message->protocol != PROTOCOL_VERSION &&
                    message->body_case == CAIRN__NODE_MESSAGE__BODY_REGISTRATION;

    complain(coordinator, problem->message);
    if (message)
        cairn__node_message__free_unpacked(message, NULL);
    return mismatch ? handle(coordinator, &event, error) : CAIRN_OK;
}

static enum status take_node(struct coordinator *coordinator, const struct peer *peer, struct error *error)
{
    struct event event = {.type = EVENT_NODE, .peer = *peer};
    Cairn__NodeMessage *message = NULL;
    struct error problem;
    enum status status = wire_node_message_unpack(frames_data(&coordinator->frames, 1),
                                                  frames_length(&coordinator->frames, 1), &message, &problem);

    if (status != CAIRN_OK)
        return take_foreign_node(coordinator, peer, &problem, error);
    event.message = message;
    status = handle(coordinator, &event, error);
    cairn__node_message__free_unpacked(message, NULL);
    return status;
}

/* A client waits for an answer: a request that can be read so far gets one. */
static void answer_malformed(struct coordinator *coordinator, const struct peer *peer, struct error *problem)
{
    Cairn__ClientReply reply = CAIRN__CLIENT_REPLY__INIT;
    Cairn__ErrorReply body = CAIRN__ERROR_REPLY__INIT;
    Cairn__ClientRequest *request = cairn__client_request__unpack(
        NULL, frames_length(&coordinator->frames, 2), frames_data(&coordinator->frames, 2));

    complain(coordinator, problem->message);
    if (!request)
        return;
    body.message = problem->message;
    reply.number = request->number;
    reply.body_case = CAIRN__CLIENT_REPLY__BODY_ERROR;
    reply.error = &body;
    effects_reply(&coordinator->effects, peer, &reply);
    cairn__client_request__free_unpacked(request, NULL);
}

static enum status take_client(struct coordinator *coordinator, const struct peer *peer, struct error *error)
{
    struct event event = {.type = EVENT_CLIENT, .peer = *peer};
    Cairn__ClientRequest *request = NULL;
    struct error problem;
    enum status status = wire_client_request_unpack(
        frames_data(&coordinator->frames, 2), frames_length(&coordinator->frames, 2), &request, &problem);

    if (status != CAIRN_OK) {
        answer_malformed(coordinator, peer, &problem);
        return CAIRN_OK;
    }
    event.request = request;
    status = handle(coordinator, &event, error);
    cairn__client_request__free_unpacked(request, NULL);
    return status;
}

/* The message in coordinator->frames. */
static enum status take(struct coordinator *coordinator, struct error *error)
{
    struct frames *frames = &coordinator->frames;
    size_t length = frames_length(frames, 0);
    struct peer peer = {.length = (uint8_t)length};

    if (length == 0 || length > PEER_BYTES_MAX) {
        complain(coordinator, "a peer without an identity");
        return CAIRN_OK;
    }
    memcpy(peer.bytes, frames_data(frames, 0), length);
    if (frames->count == 2)
        return take_node(coordinator, &peer, error);
    if (frames->count == 3 && frames_length(frames, 1) == 0)
        return take_client(coordinator, &peer, error);
    complain(coordinator, "neither a node's message nor a client's request");
    return CAIRN_OK;
}

/* Handles what is there, up to a batch. */
static enum status take_batch(struct coordinator *coordinator, struct error *error)
{
    for (int i = 0; i < BATCH_MAX; i++) {
        struct error problem = {.status = CAIRN_OK};
        enum status status = frames_receive(coordinator->socket, &coordinator->frames, &problem);

        if (status == CAIRN_AGAIN)
            break;
        if (status == CAIRN_PROTOCOL) {
            complain(coordinator, problem.message);
            continue;
        }
        if (status != CAIRN_OK)
            return error_set(error, status, "%s", problem.message);
        status = take(coordinator, error);
        frames_clear(&coordinator->frames);
        if (status != CAIRN_OK)
            return status;
    }
    return CAIRN_OK;
}

/* ---- what goes out */

/* Sends bytes to a peer; with an empty frame first to a client.
 * Errors: CAIRN_NOT_FOUND and CAIRN_AGAIN when the peer will not get it. */
static enum status send_bytes(struct coordinator *coordinator, const struct effect *effect, const void *bytes,
                              size_t length, struct error *error)
{
    struct frames *frames = &coordinator->frames;
    enum status status = frames_append_copy(frames, effect->peer.bytes, effect->peer.length);

    if (status == CAIRN_OK && effect->type != EFFECT_COMMAND)
        status = frames_append_copy(frames, NULL, 0);
    if (status == CAIRN_OK)
        status = frames_append_copy(frames, bytes, length);
    if (status == CAIRN_OK)
        return frames_send(coordinator->socket, frames, error);
    frames_clear(frames);
    return error_set(error, status, "out of memory");
}

static enum status send_reply(struct coordinator *coordinator, const struct effect *effect,
                              Cairn__ClientReply *reply, struct error *error)
{
    size_t length = cairn__client_reply__get_packed_size(reply);
    unsigned char *bytes = malloc(length);
    enum status status;

    if (!bytes)
        return error_set(error, CAIRN_NO_MEMORY, "out of memory");
    cairn__client_reply__pack(reply, bytes);
    status = send_bytes(coordinator, effect, bytes, length, error);
    free(bytes);
    return status;
}

static enum status send_logs(struct coordinator *coordinator, const struct effect *effect,
                             struct error *error)
{
    Cairn__ClientReply reply = CAIRN__CLIENT_REPLY__INIT;
    Cairn__LogsReply *logs = NULL;
    enum status status = records_read_log(coordinator->records, effect->job, effect->after, &logs, error);

    if (status != CAIRN_OK)
        return status;
    logs->end = effect->end;
    reply.protocol = PROTOCOL_VERSION;
    reply.number = effect->number;
    reply.body_case = CAIRN__CLIENT_REPLY__BODY_LOGS;
    reply.logs = logs;
    status = send_reply(coordinator, effect, &reply, error);
    cairn__logs_reply__free_unpacked(logs, NULL);
    return status;
}

/* Sends one effect's message, or logs its note. A peer that cannot be reached is an event of its own, whose
 * effects join those of the next batch. */
static enum status perform(struct coordinator *coordinator, const struct effect *effect, struct error *error)
{
    struct event gone = {.type = EVENT_PEER_GONE, .peer = effect->peer};
    enum status status = CAIRN_OK;

    switch (effect->type) {
    case EFFECT_COMMAND:
    case EFFECT_REPLY:
        status = send_bytes(coordinator, effect, effect->bytes, effect->length, error);
        break;
    case EFFECT_LOGS:
        status = send_logs(coordinator, effect, error);
        break;
    case EFFECT_NOTE:
        log_event(effect->level, effect->event, "%s", (const char *)effect->bytes);
        break;
    case EFFECT_RECORD:
    case EFFECT_DRAINING:
    case EFFECT_DELETED:
    case EFFECT_ERASE:
    case EFFECT_ENTRY:
        break; /* stored already */
    }
    if (status != CAIRN_NOT_FOUND && status != CAIRN_AGAIN)
        return status;
    gone.reason = status == CAIRN_AGAIN ? "it takes no more messages" : "its connection is gone";
    return handle(coordinator, &gone, error);
}

/* Carries out all effects: first what is to be durable, then the rest. Ends because each batch but the
 * first is about peers that the one before found gone, and each of those was forgotten. */
static enum status carry_out(struct coordinator *coordinator, struct error *error)
{
    enum status status = CAIRN_OK;

    while (status == CAIRN_OK && coordinator->effects.count > 0) {
        struct effects batch = coordinator->effects;

        effects_init(&coordinator->effects);
        status = records_store(coordinator->records, &batch, error);
        for (size_t i = 0; status == CAIRN_OK && i < batch.count; i++)
            status = perform(coordinator, &batch.items[i], error);
        effects_fini(&batch);
    }
    return status;
}

/* ---- the loop */

static enum status serve(struct coordinator *coordinator, struct error *error)
{
    struct event tick = {.type = EVENT_TICK}, probe = {.type = EVENT_PROBE};
    enum status status = take_batch(coordinator, error);

    disconnects_take(&coordinator->disconnects);
    if (status == CAIRN_OK && disconnects_probe_is_due(&coordinator->disconnects))
        status = handle(coordinator, &probe, error);
    if (status == CAIRN_OK)
        status = handle(coordinator, &tick, error);
    if (status == CAIRN_OK)
        status = carry_out(coordinator, error);
    return status;
}

static long wait_ms(const struct coordinator *coordinator)
{
    int64_t deadline_ms = state_deadline_ms(coordinator->state), now_ms = clock_ms();
    int64_t probe_ms = disconnects_deadline_ms(&coordinator->disconnects);

    if (probe_ms < deadline_ms)
        deadline_ms = probe_ms;
    if (deadline_ms <= now_ms)
        return 0;
    return deadline_ms - now_ms < POLL_MAX_MS ? (long)(deadline_ms - now_ms) : POLL_MAX_MS;
}

enum status coordinator_run(struct coordinator *coordinator, int stop_descriptor, struct error *error)
{
    zmq_pollitem_t items[] = {{coordinator->socket, 0, ZMQ_POLLIN, 0},
                              {NULL, stop_descriptor, ZMQ_POLLIN, 0},
                              {coordinator->disconnects.watch, 0, ZMQ_POLLIN, 0}};
    enum status status = CAIRN_OK;

    while (status == CAIRN_OK) {
        if (zmq_poll(items, 3, wait_ms(coordinator)) < 0 && zmq_errno() != EINTR)
            return error_set(error, zmq_errno() == ETERM ? CAIRN_CLOSED : CAIRN_IO, "wait: %s",
                             zmq_strerror(zmq_errno()));
        if (items[1].revents)
            return CAIRN_OK;
        status = serve(coordinator, error);
    }
    return status;
}

/* ---- beginning and end */

static enum status take_record(void *context, const Cairn__JobRecord *record, uint64_t newest_entry,
                               struct error *error)
{
    struct event event = {.type = EVENT_RECORD, .record = record, .newest_entry = newest_entry};

    return handle(context, &event, error);
}

static enum status take_draining(struct coordinator *coordinator, struct error *error)
{
    struct event event = {.type = EVENT_DRAINING};
    Cairn__DrainingNodes *draining;
    enum status status = records_load_draining(coordinator->records, &draining, error);

    if (status != CAIRN_OK || !draining)
        return status;
    event.draining = draining;
    status = handle(coordinator, &event, error);
    cairn__draining_nodes__free_unpacked(draining, NULL);
    return status;
}

static enum status take_deleted(struct coordinator *coordinator, struct error *error)
{
    struct event event = {.type = EVENT_DELETED};
    Cairn__DeletedJobs *deleted;
    enum status status = records_load_deleted(coordinator->records, &deleted, error);

    if (status != CAIRN_OK || !deleted)
        return status;
    event.deleted = deleted;
    status = handle(coordinator, &event, error);
    cairn__deleted_jobs__free_unpacked(deleted, NULL);
    return status;
}

static enum status set_option(void *socket, int option, int value, struct error *error)
{
    if (zmq_setsockopt(socket, option, &value, sizeof(value)) == 0)
        return CAIRN_OK;
    return error_set(error, CAIRN_IO, "cannot set up the socket: %s", zmq_strerror(zmq_errno()));
}

static enum status bind_socket(struct coordinator *coordinator, void *zmq_context, const char *endpoint,
                               struct error *error)
{
    const int64_t message_max = WIRE_CONTROL_MAX;
    size_t length = sizeof(coordinator->endpoint);
    enum status status;

    coordinator->socket = zmq_socket(zmq_context, ZMQ_ROUTER);
    if (!coordinator->socket)
        return error_set(error, CAIRN_IO, "cannot make a socket: %s", zmq_strerror(zmq_errno()));
    status = set_option(coordinator->socket, ZMQ_ROUTER_MANDATORY, 1, error);
    if (status == CAIRN_OK)
        status = set_option(coordinator->socket, ZMQ_LINGER, LINGER_MS, error);
    if (status != CAIRN_OK)
        return status;
    if (zmq_setsockopt(coordinator->socket, ZMQ_MAXMSGSIZE, &message_max, sizeof(message_max)) != 0)
        return error_set(error, CAIRN_IO, "cannot set up the socket: %s", zmq_strerror(zmq_errno()));
    if (zmq_bind(coordinator->socket, endpoint) != 0)
        return error_set(error, CAIRN_INVALID, "cannot listen on %s: %s", endpoint,
                         zmq_strerror(zmq_errno()));
    if (zmq_getsockopt(coordinator->socket, ZMQ_LAST_ENDPOINT, coordinator->endpoint, &length) != 0)
        return error_set(error, CAIRN_IO, "cannot tell the endpoint: %s", zmq_strerror(zmq_errno()));
    return CAIRN_OK;
}

static enum status begin(struct coordinator *coordinator, void *zmq_context,
                         const struct coordinator_options *options, struct error *error)
{
    enum status status = records_open(options->data, &coordinator->records, error);

    if (status == CAIRN_OK)
        status = take_draining(coordinator, error);
    if (status == CAIRN_OK)
        status = take_deleted(coordinator, error);
    if (status == CAIRN_OK)
        status = records_load(coordinator->records, take_record, coordinator, error);
    if (status == CAIRN_OK)
        status = carry_out(coordinator, error);
    if (status == CAIRN_OK)
        status = bind_socket(coordinator, zmq_context, options->listen, error);
    if (status == CAIRN_OK)
        status = disconnects_open(&coordinator->disconnects, zmq_context, coordinator->socket, error);
    if (status == CAIRN_OK)
        status = endpoint_write(options->data, coordinator->endpoint, &coordinator->endpoint_path, error);
    return status;
}

enum status coordinator_new(void *zmq_context, const struct coordinator_options *options,
                            struct coordinator **out, struct error *error)
{
    struct coordinator *coordinator = calloc(1, sizeof(*coordinator));
    enum status status;

    if (!coordinator)
        return error_set(error, CAIRN_NO_MEMORY, "out of memory");
    effects_init(&coordinator->effects);
    frames_init(&coordinator->frames);
    coordinator->complained_ms = clock_ms() - COMPLAINT_MS;
    coordinator->state = state_new((uint32_t)options->lease_ms);
    status = coordinator->state ? begin(coordinator, zmq_context, options, error)
                                : error_set(error, CAIRN_NO_MEMORY, "out of memory");
    if (status != CAIRN_OK) {
        coordinator_free(coordinator);
        return status;
    }
    *out = coordinator;
    return CAIRN_OK;
}

void coordinator_free(struct coordinator *coordinator)
{
    if (!coordinator)
        return;
    endpoint_remove(coordinator->endpoint_path);
    disconnects_close(&coordinator->disconnects);
    if (coordinator->socket)
        zmq_close(coordinator->socket);
    effects_fini(&coordinator->effects);
    frames_clear(&coordinator->frames);
    state_free(coordinator->state);
    records_close(coordinator->records);
    free(coordinator);
}
