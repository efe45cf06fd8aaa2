/* Sessions: their life, their sockets, and what of the answers is believed. What is sent, and what answers
 * mean, is in session_arrays.c (dense tables and sums) and session_rows.c (sparse tables).
 *
 * Queues have no high-water mark, since what can be in one is bounded by the rules of the data plane: a
 * worker pushes a step only once it has all weights of that step, so at most one step's pushes wait to be
 * sent, and those are references to the caller's own memory; a shard sends only what was asked for. A full
 * queue would be one more state to get wrong, and would save nothing. */
#include "session.h"

#include "net/linger.h"
#include "net/monitor.h"
#include "net/silence.h"
#include "session_state.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(FRAMES_MAX >= 1 + WIRE_PAYLOADS_MAX, "a message of ours must fit");

/* ---- making and closing */

struct session_table session_dense_table(uint64_t floats, uint32_t chunk_floats, uint32_t chunk_count)
{
    return (struct session_table){.kind = SESSION_TABLE_DENSE,
                                  .elements = floats,
                                  .chunk_elements = chunk_floats,
                                  .chunk_count = chunk_count};
}

struct session_table session_sums_table(uint32_t elements)
{
    return (struct session_table){
        .kind = SESSION_TABLE_SUMS, .elements = elements, .chunk_elements = elements, .chunk_count = 1};
}

struct session_table session_sparse_table(uint32_t dimension)
{
    return (struct session_table){.kind = SESSION_TABLE_SPARSE, .dimension = dimension};
}

static uint32_t element_bytes(const struct session_table *table)
{
    return table->kind == SESSION_TABLE_SUMS ? sizeof(double) : sizeof(float);
}

static bool codec_fits(const struct session_table *table)
{
    if (codec_spec_check(&table->codec, NULL) != CAIRN_OK)
        return false;
    return table->kind == SESSION_TABLE_DENSE || table->codec.type == CODEC_FLOAT32 ||
           (table->kind == SESSION_TABLE_SPARSE && table->codec.type != CODEC_TOP_K);
}

/* The most bytes that a chunk's payload may have. */
static uint64_t payload_bytes(const struct session_table *table)
{
    return table->kind == SESSION_TABLE_SUMS ? (uint64_t)table->chunk_elements * sizeof(double)
                                             : codec_size_max(&table->codec, table->chunk_elements);
}

static enum status table_check(const struct session_table *table, uint32_t number, struct error *error)
{
    uint64_t chunks;

    if (table->kind == SESSION_TABLE_NONE)
        return CAIRN_OK;
    if (!codec_fits(table))
        return error_set(error, CAIRN_INVALID, "session: table %u has a codec that it cannot have", number);
    if (table->kind == SESSION_TABLE_SPARSE) {
        if (table->dimension > 0 && table->dimension <= WIRE_PAYLOAD_BYTES_MAX / sizeof(float))
            return CAIRN_OK;
        return error_set(error, CAIRN_INVALID, "session: table %u has rows of %u floats", number,
                         table->dimension);
    }
    chunks =
        table->chunk_elements ? (table->elements + table->chunk_elements - 1) / table->chunk_elements : 0;
    if (table->elements == 0 || table->elements > UINT64_MAX / 8 || chunks != table->chunk_count)
        return error_set(error, CAIRN_INVALID,
                         "session: %" PRIu64 " elements of table %u do not make %u chunks of %u",
                         table->elements, number, table->chunk_count, table->chunk_elements);
    if ((uint64_t)table->chunk_elements * element_bytes(table) > WIRE_PAYLOAD_BYTES_MAX ||
        payload_bytes(table) > WIRE_PAYLOAD_BYTES_MAX)
        return error_set(error, CAIRN_INVALID, "session: a chunk of table %u is too large for a message",
                         number);
    return CAIRN_OK;
}

static enum status params_check(const struct session_params *params, struct error *error)
{
    enum status status = CAIRN_OK;

    if (params->shard_count == 0 || params->shard_count > PLACEMENT_SHARDS_MAX || params->slot_count == 0)
        return error_set(error, CAIRN_INVALID, "session: %u shards and %u slots make no sense",
                         params->shard_count, params->slot_count);
    for (uint32_t i = 0; i < params->slot_count; i++) {
        if (params->slot_shards[i] >= params->shard_count)
            return error_set(error, CAIRN_INVALID, "session: slot %u is on shard %u of %u", i,
                             params->slot_shards[i], params->shard_count);
    }
    for (uint32_t i = 0; i < params->table_count && status == CAIRN_OK; i++)
        status = table_check(&params->tables[i], i, error);
    return status;
}

static struct layout layout_of(const struct session_table *table, uint32_t number, uint64_t seed)
{
    return (struct layout){
        .kind = table->kind,
        .type = table->kind == SESSION_TABLE_SUMS ? DATA_FLOAT64 : DATA_FLOAT32,
        .element_bytes = element_bytes(table),
        .chunk_count = table->chunk_count,
        .elements = table->elements,
        .chunk_elements = table->chunk_elements,
        .dimension = table->dimension,
        .codec = {.spec = table->codec,
                  .seed = seed,
                  .number = number,
                  .elements = table->elements,
                  .chunk_elements = table->chunk_elements,
                  .chunk_count = table->chunk_count},
    };
}

static enum status layouts_init(struct session *session, const struct session_params *params)
{
    enum status status = CAIRN_OK;

    for (uint32_t i = 0; i < params->table_count && status == CAIRN_OK; i++) {
        session->layouts[i] = layout_of(&params->tables[i], i, params->seed);
        status = session_codec_open(&session->layouts[i].codec);
    }
    return status;
}

static size_t chunk_bytes(const struct session_table *table)
{
    return (size_t)table->chunk_elements * element_bytes(table);
}

/* The bytes of the largest chunk. */
static size_t scratch_bytes(const struct session_params *params)
{
    size_t most = 1;

    for (uint32_t i = 0; i < params->table_count; i++) {
        size_t bytes = chunk_bytes(&params->tables[i]);

        most = bytes > most ? bytes : most;
    }
    return most;
}

static enum status memory_init(struct session *session, const struct session_params *params,
                               struct error *error)
{
    uint32_t shards = params->shard_count;

    session->slot_shards = malloc(params->slot_count * sizeof(session->slot_shards[0]));
    session->holds_slots = calloc(shards, sizeof(session->holds_slots[0]));
    session->endpoints = calloc(shards, sizeof(session->endpoints[0]));
    session->holders = calloc(shards, sizeof(session->holders[0]));
    session->connections = calloc(shards, sizeof(session->connections[0]));
    session->sockets = calloc(2 * (size_t)shards, sizeof(session->sockets[0]));
    session->layouts = calloc(params->table_count ? params->table_count : 1, sizeof(session->layouts[0]));
    session->batches = calloc(shards, sizeof(session->batches[0]));
    session->touched = calloc(shards, sizeof(session->touched[0]));
    session->rows.counts = calloc(shards, sizeof(session->rows.counts[0]));
    session->rows.filled = calloc(shards, sizeof(session->rows.filled[0]));
    session->rows.shares = calloc(shards, sizeof(session->rows.shares[0]));
    session->scratch = malloc(session->scratch_bytes);
    if (!session->slot_shards || !session->holds_slots || !session->endpoints || !session->holders ||
        !session->connections || !session->sockets ||
        !session->layouts || !session->batches || !session->touched || !session->rows.counts ||
        !session->rows.filled || !session->rows.shares || !session->scratch)
        return error_set(error, CAIRN_NO_MEMORY, "session: out of memory");
    memcpy(session->slot_shards, params->slot_shards, params->slot_count * sizeof(session->slot_shards[0]));
    for (uint32_t i = 0; i < params->slot_count; i++)
        session->holds_slots[params->slot_shards[i]] = true;
    for (uint32_t i = 0; i < shards; i++) {
        session->connections[i] = session->slot_holders;
        session->holders[session->slot_holders] = i;
        session->slot_holders += session->holds_slots[i];
    }
    return error_set(error, layouts_init(session, params), "session: out of memory");
}

/* ZeroMQ connects again by itself, but what was on its way is lost, answers that we wait for among it, and
 * the shard does not know us by the new connection. So its end is watched for. */
static enum status watch_connection(struct session *session, void *zmq_context, uint32_t connection,
                                    struct error *error)
{
    enum status status = monitor_open(zmq_context, session->sockets[connection], ZMQ_EVENT_DISCONNECTED,
                                      &session->sockets[session->slot_holders + connection], error);

    return status == CAIRN_OK ? status : error_prefix(error, status, "session");
}

static enum status connect_shard(struct session *session, void *zmq_context, uint32_t connection,
                                 const char *endpoint, struct error *error)
{
    const int none = 0;
    uint32_t shard = session->holders[connection];
    void *socket = zmq_socket(zmq_context, ZMQ_DEALER);
    enum status status;

    if (!socket)
        return error_system(error, zmq_errno(), "session: cannot make a socket");
    session->sockets[connection] = socket;
    session->endpoints[shard] = strdup(endpoint);
    if (!session->endpoints[shard])
        return error_set(error, CAIRN_NO_MEMORY, "session: out of memory");
    if (linger_shortly(socket) != 0 || zmq_setsockopt(socket, ZMQ_SNDHWM, &none, sizeof(none)) != 0 ||
        zmq_setsockopt(socket, ZMQ_RCVHWM, &none, sizeof(none)) != 0 || silence_watch(socket) != 0)
        return error_set(error, CAIRN_IO, "session: cannot set up a socket: %s", zmq_strerror(zmq_errno()));
    status = watch_connection(session, zmq_context, connection, error);
    if (status != CAIRN_OK)
        return status;
    status = waiter_add_socket(&session->waiter, socket, error);
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
    session->table_count = params->table_count;
    session->seed = params->seed;
    session->worker = params->worker;
    session->map = params->map;
    session->scratch_bytes = scratch_bytes(params);
    session->events = *events;
    frames_init(&session->frames);
    waiter_init(&session->waiter);
    status = memory_init(session, params, error);
    for (uint32_t i = 0; i < session->slot_holders && status == CAIRN_OK; i++)
        status = connect_shard(session, zmq_context, i, params->endpoints[session->holders[i]], error);
    for (uint32_t i = 0; i < session->slot_holders && status == CAIRN_OK; i++)
        status = waiter_add_socket(&session->waiter, session->sockets[session->slot_holders + i], error);
    if (status != CAIRN_OK) {
        session_free(session);
        return status;
    }
    *out = session;
    return CAIRN_OK;
}

static void close_sockets(struct session *session)
{
    for (uint32_t i = 0; i < session->slot_holders; i++) {
        monitor_close(session->sockets[i], session->sockets[session->slot_holders + i]);
        if (session->sockets[i])
            zmq_close(session->sockets[i]);
    }
}

void session_free(struct session *session)
{
    if (!session)
        return;
    frames_clear(&session->frames);
    session_rows_fini(session);
    for (uint32_t i = 0; session->layouts && i < session->table_count; i++)
        session_codec_close(&session->layouts[i].codec);
    if (session->sockets)
        close_sockets(session);
    for (uint32_t i = 0; session->endpoints && i < session->shard_count; i++)
        free(session->endpoints[i]);
    waiter_fini(&session->waiter);
    free(session->slot_shards);
    free(session->holds_slots);
    free(session->endpoints);
    free(session->holders);
    free(session->connections);
    free(session->sockets);
    free(session->layouts);
    free(session->batches);
    free(session->touched);
    free(session->scratch);
    free(session);
}

/* Room for a chunk of a table, and for its layout. */
static enum status table_room(struct session *session, const struct session_table *table)
{
    struct layout *layouts = realloc(session->layouts, (session->table_count + 1) * sizeof(*layouts));
    void *scratch;

    if (!layouts)
        return CAIRN_NO_MEMORY;
    session->layouts = layouts;
    if (chunk_bytes(table) <= session->scratch_bytes)
        return CAIRN_OK;
    scratch = realloc(session->scratch, chunk_bytes(table));
    if (!scratch)
        return CAIRN_NO_MEMORY;
    session->scratch = scratch;
    session->scratch_bytes = chunk_bytes(table);
    return CAIRN_OK;
}

enum status session_add_table(struct session *session, const struct session_table *table, struct error *error)
{
    struct layout layout = layout_of(table, session->table_count, session->seed);
    enum status status = table_check(table, session->table_count, error);

    if (status != CAIRN_OK)
        return status;
    status = table_room(session, table);
    if (status == CAIRN_OK)
        status = session_codec_open(&layout.codec);
    if (status != CAIRN_OK)
        return error_set(error, status, "session: out of memory for a table");
    session->layouts[session->table_count++] = layout;
    return CAIRN_OK;
}

uint32_t session_tables_told(const struct session *session)
{
    return session->tables_told;
}

const char *session_slot_endpoint(const struct session *session, uint32_t slot)
{
    return slot < session->slot_count ? session->endpoints[session->slot_shards[slot]] : NULL;
}

void *const *session_sockets(const struct session *session, size_t *count)
{
    *count = 2 * (size_t)session->slot_holders;
    return session->sockets;
}

/* ---- sending */

enum status session_send(struct session *session, uint32_t shard, struct error *error)
{
    enum status status =
        frames_send(session->sockets[session->connections[shard]], &session->frames, error);

    session->is_quiet = false;
    if (status == CAIRN_AGAIN) /* not by a full queue: there is none */
        return error_set(error, CAIRN_IO, "shard %u at %s takes no message", shard,
                         session->endpoints[shard]);
    if (status != CAIRN_OK)
        return error_prefix(error, status, "shard %u at %s", shard, session->endpoints[shard]);
    return CAIRN_OK;
}

enum status session_layout(const struct session *session, uint32_t table, const struct layout **layout,
                           struct error *error)
{
    if (table >= session->table_count || session->layouts[table].kind == SESSION_TABLE_NONE)
        return error_set(error, CAIRN_INVALID, "session: there is no table %u", table);
    *layout = &session->layouts[table];
    return CAIRN_OK;
}

enum status session_check_push(uint64_t step, struct tree_node node, uint64_t samples, struct error *error)
{
    if (node.begin < node.end && node.end <= TREE_LEAVES_MAX && step < WIRE_STEP_MAX &&
        samples <= WIRE_SAMPLES_MAX)
        return CAIRN_OK;
    return error_set(error, CAIRN_INVALID, "session: a push for node [%u, %u) makes no sense", node.begin,
                     node.end);
}

enum status session_ask_versions(struct session *session, uint32_t table, struct session_operation *operation,
                                 struct error *error)
{
    const struct layout *layout = NULL;
    enum status status = session_layout(session, table, &layout, error);

    if (status != CAIRN_OK)
        return status;
    return layout->kind == SESSION_TABLE_SPARSE ? session_rows_ask(session, table, operation, error)
                                                : session_arrays_ask(session, table, error);
}

/* ---- receiving */

static bool is_question(enum data_kind kind)
{
    return kind == DATA_STATISTICS || kind == DATA_EXPORT || kind == DATA_MISSING;
}

/* What is wrong with the answer in hand; NULL: nothing. */
static const char *answer_problem(struct session *session, uint32_t shard)
{
    const struct data_header *header = &session->received;

    if (header->job != session->job)
        return "of another job";
    if (header->table >= session->table_count)
        return "of a table that does not exist";
    if (session->frames.count != 1 + (size_t)wire_data_frames(header))
        return "with other frames than its header says";
    if (is_question(header->kind))
        return session_question_problem(session, shard);
    return session->layouts[header->table].kind == SESSION_TABLE_SPARSE
               ? session_rows_problem(session, shard)
               : session_arrays_problem(session, shard);
}

/* VALUES, APPLIED, or the answer to a question. */
static enum status answer_take(struct session *session, uint32_t shard, struct error *error)
{
    const char *problem = answer_problem(session, shard);

    if (problem)
        return error_set(error, CAIRN_PROTOCOL, "shard %u at %s sent values %s", shard,
                         session->endpoints[shard], problem);
    if (session->received.incarnation > session->incarnation)
        return error_set(error, CAIRN_STALE,
                         "shard %u at %s is at incarnation %" PRIu64 " of the job, we at %" PRIu64, shard,
                         session->endpoints[shard], session->received.incarnation, session->incarnation);
    if (is_question(session->received.kind))
        return session_question_deliver(session, error);
    if (session->received.tables > session->tables_told)
        session->tables_told = session->received.tables;
    if (session->layouts[session->received.table].kind == SESSION_TABLE_SPARSE)
        session_rows_deliver(session);
    else
        session_arrays_deliver(session);
    return CAIRN_OK;
}

static enum status refusal_take(struct session *session, uint32_t shard, struct error *error)
{
    enum status status = CAIRN_PROTOCOL;

    if (session->received.refused == DATA_REFUSED_STALE)
        status = CAIRN_STALE;
    else if (session->received.refused == DATA_REFUSED_UNKNOWN)
        status = CAIRN_NOT_FOUND;
    else if (session->received.refused == DATA_REFUSED_LOST)
        status = CAIRN_FULL;
    else if (session->received.refused == DATA_REFUSED_PASSED)
        status = CAIRN_PASSED;
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
    if (header->kind == DATA_VALUES || header->kind == DATA_APPLIED || is_question(header->kind))
        return answer_take(session, shard, error);
    if (header->kind == DATA_REFUSED)
        return refusal_take(session, shard, error);
    return error_set(error, CAIRN_PROTOCOL, "shard %u at %s sent what only clients send", shard,
                     session->endpoints[shard]);
}

/* Takes all messages of a connection's shard; *count grows by how many. */
static enum status shard_poll(struct session *session, uint32_t connection, uint32_t *count,
                              struct error *error)
{
    uint32_t shard = session->holders[connection];

    for (;;) {
        enum status status = frames_receive(session->sockets[connection], &session->frames, error);

        if (status == CAIRN_AGAIN)
            return CAIRN_OK;
        if (status != CAIRN_OK)
            return error_prefix(error, status, "shard %u at %s", shard, session->endpoints[shard]);
        (*count)++;
        status = message_take(session, shard, error);
        frames_clear(&session->frames);
        if (status != CAIRN_OK)
            return status;
    }
}

/* Whether a connection still stands; the watch tells of nothing but its end. */
static enum status connection_check(struct session *session, uint32_t connection, struct error *error)
{
    void *watch = session->sockets[session->slot_holders + connection];
    uint32_t shard = session->holders[connection];
    enum status status = frames_receive(watch, &session->frames, error);

    if (status == CAIRN_AGAIN)
        return CAIRN_OK;
    frames_clear(&session->frames);
    if (status != CAIRN_OK)
        return error_prefix(error, status, "shard %u at %s", shard, session->endpoints[shard]);
    return error_set(error, CAIRN_IO, "the connection to shard %u at %s broke", shard,
                     session->endpoints[shard]);
}

/* Connections are looked at only when there was nothing to take: each look is a system call, and whoever
 * waits for what a broken connection will not bring comes to that. */
enum status session_poll(struct session *session, struct error *error)
{
    enum status status = CAIRN_OK;
    uint32_t messages = 0;

    session->is_quiet = false;
    for (uint32_t i = 0; i < session->slot_holders && status == CAIRN_OK; i++)
        status = shard_poll(session, i, &messages, error);
    if (status != CAIRN_OK || messages > 0)
        return status;
    for (uint32_t i = 0; i < session->slot_holders && status == CAIRN_OK; i++)
        status = connection_check(session, i, error);
    session->is_quiet = status == CAIRN_OK;
    return status;
}

bool session_is_quiet(const struct session *session)
{
    return session->is_quiet;
}

enum status session_wait(struct session *session, int timeout_ms, struct error *error)
{
    return session->is_quiet ? waiter_sleep(&session->waiter, timeout_ms, error) : CAIRN_OK;
}
