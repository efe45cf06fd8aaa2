/* Sessions: which chunk goes to which shard, in how many messages, and what of the answers is believed.
 *
 * Chunks of one push or pull are gathered by shard into messages of up to WIRE_PAYLOADS_MAX payloads or some
 * WIRE_GATHER_BYTES; the headers stand ready in the session, so that a message costs no allocation here.
 * Knows nothing of training or of when a version is needed.
 *
 * Queues have no high-water mark, since what can be in one is bounded by the rules of the data plane: a
 * worker pushes a step only once it has all weights of that step, so at most one step's pushes wait to be
 * sent, and those are references to the caller's own memory; a shard sends only what was asked for. A full
 * queue would be one more state to get wrong, and would save nothing. */
#include "session.h"

#include "base/clock.h"
#include "net/frames.h"
#include "net/wire.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(FRAMES_MAX >= 1 + WIRE_PAYLOADS_MAX, "a message of ours must fit");

/* The chunks of the call in hand that go to one shard. */
struct batch {
    struct data_header header;
    uint64_t payload_bytes; /* carried by it */
    bool is_touched;        /* in this call: the shard is in session->touched */
};

/* How a table lies in chunks. */
struct layout {
    enum data_type type;
    uint32_t element_bytes;
    uint32_t chunk_count;
    uint64_t elements;       /* of the whole table */
    uint64_t chunk_elements; /* of a chunk but the last */
};

struct session {
    uint64_t job, incarnation;
    uint32_t shard_count, slot_count;
    uint32_t *slot_shards; /* [slot_count] */
    char **endpoints;      /* [shard_count] */
    void **sockets;        /* [2 * shard_count]: to the shards, then what tells of their connections */
    struct layout layouts[TABLE_COUNT];
    struct session_events events;
    struct batch *batches; /* [shard_count] */
    uint32_t *touched;     /* [shard_count]: the shards that the call in hand goes to */
    uint32_t touched_count;
    void *scratch;               /* one chunk: for received values that are not aligned */
    struct data_header received; /* of the message in hand */
    struct frames frames;        /* of the message in hand, either way */
};

/* ---- making and closing */

static enum status params_check(const struct session_params *params, struct error *error)
{
    uint64_t chunks =
        params->chunk_floats ? (params->floats + params->chunk_floats - 1) / params->chunk_floats : 0;

    if (params->shard_count == 0 || params->shard_count > PLACEMENT_SHARDS_MAX || params->slot_count == 0)
        return error_set(error, CAIRN_INVALID, "session: %u shards and %u slots make no sense",
                         params->shard_count, params->slot_count);
    for (uint32_t i = 0; i < params->slot_count; i++) {
        if (params->slot_shards[i] >= params->shard_count)
            return error_set(error, CAIRN_INVALID, "session: slot %u is on shard %u of %u", i,
                             params->slot_shards[i], params->shard_count);
    }
    if (params->floats == 0 || params->floats > UINT64_MAX / 8 || chunks != params->chunk_count)
        return error_set(error, CAIRN_INVALID, "session: %" PRIu64 " floats do not make %u chunks of %u",
                         params->floats, params->chunk_count, params->chunk_floats);
    if (params->chunk_floats * UINT64_C(4) > WIRE_PAYLOAD_BYTES_MAX ||
        params->metric_count * UINT64_C(8) > WIRE_PAYLOAD_BYTES_MAX)
        return error_set(error, CAIRN_INVALID, "session: a chunk is too large for a message");
    return CAIRN_OK;
}

static void layouts_init(struct session *session, const struct session_params *params)
{
    const struct layout metrics = {DATA_FLOAT64, 8, params->metric_count ? 1 : 0, params->metric_count,
                                   params->metric_count};

    session->layouts[TABLE_WEIGHTS] =
        (struct layout){DATA_FLOAT32, 4, params->chunk_count, params->floats, params->chunk_floats};
    session->layouts[TABLE_METRICS] = metrics;
    session->layouts[TABLE_VALIDATION] = metrics;
}

static enum status memory_init(struct session *session, const struct session_params *params,
                               struct error *error)
{
    size_t weights_bytes = (size_t)params->chunk_floats * 4, metrics_bytes = (size_t)params->metric_count * 8;
    size_t scratch_bytes = weights_bytes > metrics_bytes ? weights_bytes : metrics_bytes;

    session->slot_shards = malloc(params->slot_count * sizeof(session->slot_shards[0]));
    session->endpoints = calloc(params->shard_count, sizeof(session->endpoints[0]));
    session->sockets = calloc(2 * (size_t)params->shard_count, sizeof(session->sockets[0]));
    session->batches = calloc(params->shard_count, sizeof(session->batches[0]));
    session->touched = calloc(params->shard_count, sizeof(session->touched[0]));
    session->scratch = malloc(scratch_bytes);
    if (!session->slot_shards || !session->endpoints || !session->sockets || !session->batches ||
        !session->touched || !session->scratch)
        return error_set(error, CAIRN_NO_MEMORY, "session: out of memory");
    memcpy(session->slot_shards, params->slot_shards, params->slot_count * sizeof(session->slot_shards[0]));
    return CAIRN_OK;
}

/* ZeroMQ connects again by itself, but what was on its way is lost, answers that we wait for among it, and
 * the shard does not know us by the new connection. So its end is watched for. */
static enum status watch_connection(struct session *session, void *zmq_context, uint32_t shard,
                                    struct error *error)
{
    void *socket = session->sockets[shard], *watch = zmq_socket(zmq_context, ZMQ_PAIR);
    char name[96]; /* a closed socket keeps its name for a moment, so an address alone would not do */

    if (!watch)
        return error_system(error, zmq_errno(), "session: cannot make a socket");
    session->sockets[session->shard_count + shard] = watch;
    snprintf(name, sizeof(name), "inproc://session-%p-%" PRIu64, socket, clock_ns());
    if (zmq_socket_monitor(socket, name, ZMQ_EVENT_DISCONNECTED) != 0 || zmq_connect(watch, name) != 0)
        return error_set(error, CAIRN_IO, "session: cannot watch a connection: %s",
                         zmq_strerror(zmq_errno()));
    return CAIRN_OK;
}

static enum status connect_shard(struct session *session, void *zmq_context, uint32_t shard,
                                 const char *endpoint, struct error *error)
{
    const int none = 0;
    void *socket = zmq_socket(zmq_context, ZMQ_DEALER);
    enum status status;

    if (!socket)
        return error_system(error, zmq_errno(), "session: cannot make a socket");
    session->sockets[shard] = socket;
    session->endpoints[shard] = strdup(endpoint);
    if (!session->endpoints[shard])
        return error_set(error, CAIRN_NO_MEMORY, "session: out of memory");
    if (zmq_setsockopt(socket, ZMQ_LINGER, &none, sizeof(none)) != 0 ||
        zmq_setsockopt(socket, ZMQ_SNDHWM, &none, sizeof(none)) != 0 ||
        zmq_setsockopt(socket, ZMQ_RCVHWM, &none, sizeof(none)) != 0)
        return error_set(error, CAIRN_IO, "session: cannot set up a socket: %s", zmq_strerror(zmq_errno()));
    status = watch_connection(session, zmq_context, shard, error);
    if (status != CAIRN_OK)
        return status;
    if (zmq_connect(socket, endpoint) != 0)
        return error_set(error, CAIRN_INVALID, "session: cannot connect to shard %u at \"%s\": %s", shard,
                         endpoint, zmq_strerror(zmq_errno()));
    return CAIRN_OK;
}

enum status session_new(void *zmq_context, const struct session_params *params,
                        const struct session_events *events, struct session **out, struct error *error)
{
    struct session *session;
    enum status status = params_check(params, error);

    if (status != CAIRN_OK)
        return status;
    session = calloc(1, sizeof(*session));
    if (!session)
        return error_set(error, CAIRN_NO_MEMORY, "session: out of memory");
    session->job = params->job;
    session->incarnation = params->incarnation;
    session->shard_count = params->shard_count;
    session->slot_count = params->slot_count;
    session->events = *events;
    frames_init(&session->frames);
    layouts_init(session, params);
    status = memory_init(session, params, error);
    for (uint32_t i = 0; i < params->shard_count && status == CAIRN_OK; i++)
        status = connect_shard(session, zmq_context, i, params->endpoints[i], error);
    if (status != CAIRN_OK) {
        session_free(session);
        return status;
    }
    *out = session;
    return CAIRN_OK;
}

void session_free(struct session *session)
{
    if (!session)
        return;
    frames_clear(&session->frames);
    for (uint32_t i = 0; session->sockets && i < 2 * session->shard_count; i++) {
        if (session->sockets[i])
            zmq_close(session->sockets[i]);
    }
    for (uint32_t i = 0; session->endpoints && i < session->shard_count; i++)
        free(session->endpoints[i]);
    free(session->slot_shards);
    free(session->endpoints);
    free(session->sockets);
    free(session->batches);
    free(session->touched);
    free(session->scratch);
    free(session);
}

void *const *session_sockets(const struct session *session, size_t *count)
{
    *count = 2 * (size_t)session->shard_count;
    return session->sockets;
}

/* ---- where chunks are */

static uint64_t chunk_offset_bytes(const struct layout *layout, uint32_t chunk)
{
    return chunk * layout->chunk_elements * layout->element_bytes;
}

static uint64_t chunk_length_bytes(const struct layout *layout, uint32_t chunk)
{
    uint64_t left = layout->elements - chunk * layout->chunk_elements;

    return (left < layout->chunk_elements ? left : layout->chunk_elements) * layout->element_bytes;
}

static uint32_t shard_of(const struct session *session, uint32_t table, uint32_t chunk)
{
    return session->slot_shards[placement_slot(table, chunk, session->slot_count)];
}

static enum status range_check(const struct session *session, enum table_id table, uint32_t first_chunk,
                               uint32_t chunk_count, struct error *error)
{
    if ((unsigned)table >= TABLE_COUNT)
        return error_set(error, CAIRN_INVALID, "session: there is no table %u", (unsigned)table);
    if (first_chunk > session->layouts[table].chunk_count ||
        chunk_count > session->layouts[table].chunk_count - first_chunk)
        return error_set(error, CAIRN_INVALID, "session: chunks %u to %u of table %u, which has %u",
                         first_chunk, first_chunk + chunk_count, (unsigned)table,
                         session->layouts[table].chunk_count);
    return CAIRN_OK;
}

/* ---- sending */

/* Sends what has been gathered for a shard; buffer holds the payloads (NULL in a pull). */
static enum status batch_send(struct session *session, uint32_t shard, struct buffer *buffer,
                              struct error *error)
{
    struct data_header *header = &session->batches[shard].header;
    const struct layout *layout = &session->layouts[header->table];
    unsigned char packed[WIRE_HEADER_MAX];
    size_t length = wire_data_pack(header, packed);
    enum status status = frames_append_copy(&session->frames, packed, length);

    for (uint32_t i = 0; buffer && i < header->payload_count && status == CAIRN_OK; i++)
        status = frames_append_buffer(&session->frames, buffer,
                                      chunk_offset_bytes(layout, header->payloads[i].chunk),
                                      header->payloads[i].length_bytes);
    header->payload_count = 0;
    session->batches[shard].payload_bytes = 0;
    if (status != CAIRN_OK) {
        frames_clear(&session->frames);
        return error_set(error, status, "session: out of memory for a message");
    }
    status = frames_send(session->sockets[shard], &session->frames, error);
    if (status == CAIRN_AGAIN) /* not by a full queue: there is none */
        return error_set(error, CAIRN_IO, "shard %u at %s takes no message", shard,
                         session->endpoints[shard]);
    if (status != CAIRN_OK)
        return error_prefix(error, status, "shard %u at %s", shard, session->endpoints[shard]);
    return CAIRN_OK;
}

/* The batch of a shard, begun with the members of `common` when it is empty. */
static struct data_header *batch_of(struct session *session, uint32_t shard, const struct data_header *common)
{
    struct data_header *header = &session->batches[shard].header;

    if (header->payload_count > 0)
        return header;
    header->kind = common->kind;
    header->job = session->job;
    header->incarnation = session->incarnation;
    header->table = common->table;
    header->step = common->step;
    header->node = common->node;
    header->samples = common->samples;
    header->subscribe = common->subscribe;
    header->committed = common->committed;
    return header;
}

/* Forgets what was gathered: a call that fails leaves nothing for the next. */
static void batches_clear(struct session *session)
{
    for (uint32_t i = 0; i < session->touched_count; i++) {
        session->batches[session->touched[i]].header.payload_count = 0;
        session->batches[session->touched[i]].payload_bytes = 0;
        session->batches[session->touched[i]].is_touched = false;
    }
    session->touched_count = 0;
}

static bool is_full(const struct batch *batch)
{
    return batch->header.payload_count == WIRE_PAYLOADS_MAX || batch->payload_bytes >= WIRE_GATHER_BYTES;
}

/* Adds a chunk to its shard's batch, which is sent when it is full. */
static enum status gather(struct session *session, const struct data_header *common, uint32_t chunk,
                          struct buffer *buffer, struct error *error)
{
    const struct layout *layout = &session->layouts[common->table];
    uint32_t shard = shard_of(session, common->table, chunk);
    struct data_header *header = batch_of(session, shard, common);
    uint64_t bytes = buffer ? chunk_length_bytes(layout, chunk) : 0;

    if (!session->batches[shard].is_touched) {
        session->batches[shard].is_touched = true;
        session->touched[session->touched_count++] = shard;
    }
    header->payloads[header->payload_count++] =
        (struct data_payload){.chunk = chunk, .type = layout->type, .length_bytes = bytes};
    session->batches[shard].payload_bytes += bytes;
    return is_full(&session->batches[shard]) ? batch_send(session, shard, buffer, error) : CAIRN_OK;
}

/* Sends the chunks of a range with the members of `common`, by shard. */
static enum status scatter(struct session *session, const struct data_header *common, uint32_t first_chunk,
                           uint32_t chunk_count, struct buffer *buffer, struct error *error)
{
    enum status status = CAIRN_OK;

    for (uint32_t i = 0; i < chunk_count && status == CAIRN_OK; i++)
        status = gather(session, common, first_chunk + i, buffer, error);
    for (uint32_t i = 0; i < session->touched_count && status == CAIRN_OK; i++) {
        if (session->batches[session->touched[i]].header.payload_count > 0)
            status = batch_send(session, session->touched[i], buffer, error);
    }
    batches_clear(session);
    return status;
}

enum status session_push(struct session *session, const struct session_push *push, struct error *error)
{
    struct data_header common;
    enum status status = range_check(session, push->table, push->first_chunk, push->chunk_count, error);

    if (status != CAIRN_OK)
        return status;
    if (push->buffer->length_bytes <
        session->layouts[push->table].elements * session->layouts[push->table].element_bytes)
        return error_set(error, CAIRN_INVALID, "session: %zu bytes are not the whole of table %u",
                         push->buffer->length_bytes, (unsigned)push->table);
    if (push->node.begin >= push->node.end || push->node.end > TREE_LEAVES_MAX ||
        push->step >= WIRE_STEP_MAX || push->samples > WIRE_SAMPLES_MAX)
        return error_set(error, CAIRN_INVALID, "session: a push for node [%u, %u) makes no sense",
                         push->node.begin, push->node.end);
    common.kind = DATA_PUSH;
    common.table = push->table;
    common.step = push->step;
    common.node = push->node;
    common.samples = push->samples;
    common.subscribe = push->subscribe;
    common.committed = false;
    return scatter(session, &common, push->first_chunk, push->chunk_count, push->buffer, error);
}

enum status session_pull(struct session *session, enum table_id table, uint64_t version, uint32_t first_chunk,
                         uint32_t chunk_count, bool committed, struct error *error)
{
    struct data_header common;
    enum status status = range_check(session, table, first_chunk, chunk_count, error);

    if (status != CAIRN_OK)
        return status;
    if (version > WIRE_STEP_MAX)
        return error_set(error, CAIRN_INVALID, "session: there is no version %" PRIu64, version);
    common.kind = DATA_PULL;
    common.table = table;
    common.step = version;
    common.node = (struct tree_node){0, 0};
    common.samples = 0;
    common.subscribe = false;
    common.committed = committed;
    return scatter(session, &common, first_chunk, chunk_count, NULL, error);
}

/* ---- receiving */

/* What is wrong with payload `index` of the values in hand, which came from `shard`; NULL: nothing. */
static const char *payload_problem(struct session *session, uint32_t shard, uint32_t index)
{
    const struct data_payload *payload = &session->received.payloads[index];
    const struct layout *layout = &session->layouts[session->received.table];

    if (payload->chunk >= layout->chunk_count)
        return "of a chunk that does not exist";
    if (shard_of(session, session->received.table, payload->chunk) != shard)
        return "of a chunk that is not on this shard";
    if (payload->type != layout->type)
        return "of another type than the table's";
    if (payload->length_bytes != chunk_length_bytes(layout, payload->chunk) ||
        frames_length(&session->frames, 1 + index) != payload->length_bytes)
        return "of another length than the chunk's";
    return NULL;
}

/* All payloads are checked before the first is handed over. */
static const char *values_problem(struct session *session, uint32_t shard)
{
    const char *problem = NULL;

    if (session->received.job != session->job)
        return "of another job";
    if (session->received.table >= TABLE_COUNT)
        return "of a table that does not exist";
    if (session->frames.count != 1 + (size_t)session->received.payload_count)
        return "with other frames than its header says";
    for (uint32_t i = 0; i < session->received.payload_count && !problem; i++)
        problem = payload_problem(session, shard, i);
    return problem;
}

static void values_deliver(struct session *session)
{
    const struct data_header *header = &session->received;
    const struct layout *layout = &session->layouts[header->table];

    for (uint32_t i = 0; i < header->payload_count; i++) {
        const void *values = frames_data(&session->frames, 1 + i);
        size_t bytes = header->payloads[i].length_bytes;

        if ((uintptr_t)values % layout->element_bytes != 0)
            values =
                memcpy(session->scratch, values, bytes); /* ZeroMQ cuts short frames out of larger reads */
        session->events.values(session->events.context, (enum table_id)header->table,
                               header->payloads[i].chunk, header->step, values,
                               bytes / layout->element_bytes);
    }
}

static enum status values_take(struct session *session, uint32_t shard, struct error *error)
{
    const char *problem = values_problem(session, shard);

    if (problem)
        return error_set(error, CAIRN_PROTOCOL, "shard %u at %s sent values %s", shard,
                         session->endpoints[shard], problem);
    if (session->received.incarnation > session->incarnation)
        return error_set(error, CAIRN_STALE,
                         "shard %u at %s is at incarnation %" PRIu64 " of the job, we at %" PRIu64, shard,
                         session->endpoints[shard], session->received.incarnation, session->incarnation);
    values_deliver(session);
    return CAIRN_OK;
}

static enum status refusal_take(struct session *session, uint32_t shard, struct error *error)
{
    enum status status = CAIRN_PROTOCOL;

    if (session->received.refused == DATA_REFUSED_STALE)
        status = CAIRN_STALE;
    else if (session->received.refused == DATA_REFUSED_UNKNOWN)
        status = CAIRN_NOT_FOUND;
    return error_set(error, status, "shard %u at %s refused: %s", shard, session->endpoints[shard],
                     session->received.message[0] ? session->received.message : status_text(status));
}

/* The message in session->frames. */
static enum status message_take(struct session *session, uint32_t shard, struct error *error)
{
    const struct data_header *header = &session->received;
    enum status status = wire_data_unpack(frames_data(&session->frames, 0),
                                          frames_length(&session->frames, 0), &session->received, error);

    if (status != CAIRN_OK)
        return error_prefix(error, status, "shard %u at %s", shard, session->endpoints[shard]);
    if (header->job == session->job && header->incarnation < session->incarnation)
        return CAIRN_OK; /* meant for who we were before */
    if (header->kind == DATA_VALUES)
        return values_take(session, shard, error);
    if (header->kind == DATA_REFUSED)
        return refusal_take(session, shard, error);
    return error_set(error, CAIRN_PROTOCOL, "shard %u at %s sent what only clients send", shard,
                     session->endpoints[shard]);
}

static enum status shard_poll(struct session *session, uint32_t shard, struct error *error)
{
    for (;;) {
        enum status status = frames_receive(session->sockets[shard], &session->frames, error);

        if (status == CAIRN_AGAIN)
            return CAIRN_OK;
        if (status != CAIRN_OK)
            return error_prefix(error, status, "shard %u at %s", shard, session->endpoints[shard]);
        status = message_take(session, shard, error);
        frames_clear(&session->frames);
        if (status != CAIRN_OK)
            return status;
    }
}

/* Whether a shard's connection still stands; the watch tells of nothing but its end. */
static enum status connection_check(struct session *session, uint32_t shard, struct error *error)
{
    void *watch = session->sockets[session->shard_count + shard];
    enum status status = frames_receive(watch, &session->frames, error);

    if (status == CAIRN_AGAIN)
        return CAIRN_OK;
    frames_clear(&session->frames);
    if (status != CAIRN_OK)
        return error_prefix(error, status, "shard %u at %s", shard, session->endpoints[shard]);
    return error_set(error, CAIRN_IO, "the connection to shard %u at %s broke", shard,
                     session->endpoints[shard]);
}

enum status session_poll(struct session *session, struct error *error)
{
    enum status status = CAIRN_OK;

    for (uint32_t i = 0; i < session->shard_count && status == CAIRN_OK; i++)
        status = shard_poll(session, i, error);
    for (uint32_t i = 0; i < session->shard_count && status == CAIRN_OK; i++)
        status = connection_check(session, i, error);
    return status;
}
