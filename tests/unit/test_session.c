/* Sessions against shards that the test plays: what is sent where, and which answers are believed. */
#include "check_main.h"
#include "sockets.h"

#include "net/wire.h"
#include "session.h"

#include <stdio.h>
#include <string.h>

#define SHARDS       3
#define SLOTS        PLACEMENT_SLOTS_MIN
#define CHUNK_FLOATS 16
#define METRICS      4
#define JOB          7
#define WORKER       5
#define INCARNATION  3

/* A message as a shard gets it. */
struct arrival {
    struct frames frames; /* identity, header, payloads */
    struct data_header header;
};

struct seen {
    unsigned calls;
    uint32_t table;
    uint32_t chunk;
    uint64_t version;
    size_t elements;
    double first, last;
    bool is_aligned;
    uint32_t applied_table;
    uint64_t applied_version;
};

struct rig {
    void *context;
    void *shards[SHARDS];
    char endpoints[SHARDS][ENDPOINT_BYTES];
    const char *endpoint_list[SHARDS];
    uint32_t slot_shards[SLOTS];
    struct session_table tables[TABLE_COUNT];
    struct session_params params;
    struct session *session;
    struct seen seen;
    struct arrival arrival;
};

static void on_values(void *context, uint32_t table, uint32_t chunk, uint64_t version,
                      const void *values, size_t elements)
{
    struct seen *seen = context;
    size_t element_bytes = table == TABLE_WEIGHTS ? sizeof(float) : sizeof(double);

    seen->calls++;
    seen->table = table;
    seen->chunk = chunk;
    seen->version = version;
    seen->elements = elements;
    seen->is_aligned = (uintptr_t)values % element_bytes == 0;
    seen->first = table == TABLE_WEIGHTS ? (double)*(const float *)values : *(const double *)values;
    seen->last = table == TABLE_WEIGHTS ? (double)((const float *)values)[elements - 1]
                                        : ((const double *)values)[elements - 1];
}

static void on_applied(void *context, uint32_t table, uint32_t chunk, uint64_t version)
{
    struct seen *seen = context;

    ck_assert_uint_eq(chunk, 0);
    seen->applied_table = table;
    seen->applied_version = version;
}

static enum status rig_connect(struct rig *rig, struct error *error)
{
    const struct session_events events = {.values = on_values, .applied = on_applied, .context = &rig->seen};

    return session_new(rig->context, &rig->params, &events, &rig->session, error);
}

static void rig_open(struct rig *rig, uint64_t floats)
{
    struct error error = {.message = ""};

    memset(rig, 0, sizeof(*rig));
    rig->context = zmq_ctx_new();
    for (int i = 0; i < SHARDS; i++) {
        rig->shards[i] = bound_socket(rig->context, ZMQ_ROUTER, rig->endpoints[i]);
        rig->endpoint_list[i] = rig->endpoints[i];
    }
    placement_assign(rig->slot_shards, SLOTS, SHARDS);
    rig->tables[TABLE_WEIGHTS] = session_dense_table(
        floats, CHUNK_FLOATS, (uint32_t)((floats + CHUNK_FLOATS - 1) / CHUNK_FLOATS));
    rig->tables[TABLE_METRICS] = rig->tables[TABLE_VALIDATION] = session_sums_table(METRICS);
    rig->params = (struct session_params){.job = JOB,
                                          .incarnation = INCARNATION,
                                          .shard_count = SHARDS,
                                          .endpoints = rig->endpoint_list,
                                          .slot_count = SLOTS,
                                          .slot_shards = rig->slot_shards,
                                          .worker = WORKER,
                                          .table_count = TABLE_COUNT,
                                          .tables = rig->tables};
    ck_assert_msg(rig_connect(rig, &error) == CAIRN_OK, "%s", error.message);
    frames_init(&rig->arrival.frames);
}

static void rig_close(struct rig *rig)
{
    frames_clear(&rig->arrival.frames);
    session_free(rig->session);
    for (int i = 0; i < SHARDS; i++)
        zmq_close(rig->shards[i]);
    zmq_ctx_term(rig->context);
}

/* The next message to a shard, in rig->arrival. */
static const struct data_header *arrive(struct rig *rig, uint32_t shard)
{
    struct frames *frames = &rig->arrival.frames;
    struct error error = {.message = ""};

    frames_clear(frames);
    receive_soon(rig->shards[shard], frames);
    ck_assert_uint_ge(frames->count, 2);
    ck_assert_msg(wire_data_unpack(frames_data(frames, 1), frames_length(frames, 1), &rig->arrival.header,
                                   &error) == CAIRN_OK,
                  "%s", error.message);
    return &rig->arrival.header;
}

/* Pulls the first chunks of a table. */
static enum status pull(struct rig *rig, uint32_t table, uint64_t version, uint32_t chunk_count)
{
    const struct session_pull pull = {.table = table, .version = version, .chunk_count = chunk_count};

    return session_pull(rig->session, &pull, NULL);
}

static uint32_t home_of(const struct rig *rig, enum table_id table, uint32_t chunk)
{
    return rig->slot_shards[placement_slot(table, chunk, SLOTS)];
}

static struct buffer *counted_floats(uint64_t floats)
{
    struct buffer *buffer = buffer_new(floats * sizeof(float));

    ck_assert_ptr_nonnull(buffer);
    for (uint64_t i = 0; i < floats; i++)
        ((float *)buffer->data)[i] = (float)i;
    return buffer;
}

static struct session_push push_of(struct buffer *buffer, uint32_t first_chunk, uint32_t chunk_count)
{
    return (struct session_push){.table = TABLE_WEIGHTS,
                                 .step = 41,
                                 .node = {2, 4},
                                 .samples = 24,
                                 .first_chunk = first_chunk,
                                 .chunk_count = chunk_count,
                                 .buffer = buffer,
                                 .subscribe = true};
}

/* Checks one arrived push of weights that count up; marks its chunks in seen[]. */
static void check_push(struct rig *rig, uint32_t shard, uint64_t floats, unsigned char *seen)
{
    const struct data_header *header = &rig->arrival.header;

    ck_assert_int_eq(header->kind, DATA_PUSH);
    ck_assert_uint_eq(header->job, JOB);
    ck_assert_uint_eq(header->incarnation, INCARNATION);
    ck_assert_uint_eq(header->table, TABLE_WEIGHTS);
    ck_assert_uint_eq(header->step, 41);
    ck_assert_uint_eq(header->node.begin, 2);
    ck_assert_uint_eq(header->node.end, 4);
    ck_assert_uint_eq(header->samples, 24);
    ck_assert_uint_eq(header->worker, WORKER);
    ck_assert(header->subscribe);
    ck_assert_uint_eq(rig->arrival.frames.count, 2 + header->payload_count);
    for (uint32_t i = 0; i < header->payload_count; i++) {
        uint64_t chunk = header->payloads[i].chunk, first = chunk * CHUNK_FLOATS;
        uint64_t count = floats - first < CHUNK_FLOATS ? floats - first : CHUNK_FLOATS;
        float values[CHUNK_FLOATS];

        ck_assert_uint_eq(home_of(rig, TABLE_WEIGHTS, (uint32_t)chunk), shard);
        ck_assert_uint_eq(seen[chunk]++, 0);
        ck_assert_int_eq(header->payloads[i].type, DATA_FLOAT32);
        ck_assert_uint_eq(header->payloads[i].length_bytes, count * sizeof(float));
        ck_assert_uint_eq(frames_length(&rig->arrival.frames, 2 + i), count * sizeof(float));
        memcpy(values, frames_data(&rig->arrival.frames, 2 + i), count * sizeof(float));
        for (uint64_t j = 0; j < count; j++)
            ck_assert(values[j] == (float)(first + j));
    }
}

/* ---- sending */

START_TEST(a_push_reaches_each_chunks_shard)
{
    const uint64_t floats = CHUNK_FLOATS * 10 + 5; /* the last chunk is short */
    struct buffer *buffer = counted_floats(floats);
    struct session_push push = push_of(buffer, 0, 11);
    unsigned char seen[11] = {0};
    struct rig rig;

    rig_open(&rig, floats);
    ck_assert_int_eq(session_push(rig.session, &push, NULL), CAIRN_OK);
    for (uint32_t shard = 0; shard < SHARDS; shard++) {
        arrive(&rig, shard);
        check_push(&rig, shard, floats, seen);
        ck_assert(!has_input(rig.shards[shard], 0));
    }
    for (int i = 0; i < 11; i++)
        ck_assert_uint_eq(seen[i], 1);
    frames_clear(&rig.arrival.frames);
    rig_close(&rig);
    ck_assert(buffer_is_exclusive(buffer)); /* the context is gone, and all references with it */
    buffer_unref(buffer);
}
END_TEST

START_TEST(a_range_goes_in_messages_of_the_most_payloads)
{
    const uint32_t chunks = SHARDS * WIRE_PAYLOADS_MAX * 2 + SHARDS;
    const uint64_t floats = (uint64_t)chunks * CHUNK_FLOATS;
    struct buffer *buffer = counted_floats(floats);
    struct session_push push = push_of(buffer, 0, chunks);
    unsigned char seen[SHARDS * WIRE_PAYLOADS_MAX * 2 + SHARDS] = {0};
    struct rig rig;

    rig_open(&rig, floats);
    ck_assert_int_eq(session_push(rig.session, &push, NULL), CAIRN_OK);
    for (uint32_t shard = 0; shard < SHARDS; shard++) {
        for (int message = 0; message < 3; message++) {
            ck_assert_uint_eq(arrive(&rig, shard)->payload_count, message < 2 ? WIRE_PAYLOADS_MAX : 1);
            check_push(&rig, shard, floats, seen);
        }
        ck_assert(!has_input(rig.shards[shard], 0));
    }
    for (uint32_t i = 0; i < chunks; i++)
        ck_assert_uint_eq(seen[i], 1);
    rig_close(&rig);
    buffer_unref(buffer);
}
END_TEST

START_TEST(large_chunks_go_in_messages_of_their_own)
{
    enum { CHUNK = 50 * 1024, CHUNKS = 12 }; /* 200 KiB each: two are enough for a message */
    struct buffer *buffer = counted_floats((uint64_t)CHUNK * CHUNKS);
    struct session_push push = push_of(buffer, 0, CHUNKS);
    uint32_t chunks = 0;
    struct rig rig;
    struct error error = {.message = ""};

    rig_open(&rig, CHUNK_FLOATS);
    session_free(rig.session);
    rig.session = NULL;
    rig.tables[TABLE_WEIGHTS] = session_dense_table((uint64_t)CHUNK * CHUNKS, CHUNK, CHUNKS);
    ck_assert_int_eq(rig_connect(&rig, &error), CAIRN_OK);
    ck_assert_int_eq(session_push(rig.session, &push, &error), CAIRN_OK);
    for (uint32_t shard = 0; shard < SHARDS; shard++) {
        uint32_t here = 0, left;

        for (uint32_t chunk = 0; chunk < CHUNKS; chunk++)
            here += home_of(&rig, TABLE_WEIGHTS, chunk) == shard;
        for (left = here; left > 0; left -= rig.arrival.header.payload_count) {
            arrive(&rig, shard);
            ck_assert_uint_eq(rig.arrival.header.payload_count, left < 2 ? left : 2);
        }
        chunks += here;
    }
    ck_assert_uint_eq(chunks, CHUNKS);
    rig_close(&rig);
    buffer_unref(buffer);
}
END_TEST

START_TEST(a_part_of_the_chunks_goes_alone)
{
    const uint64_t floats = CHUNK_FLOATS * 9;
    struct buffer *buffer = counted_floats(floats);
    struct session_push push = push_of(buffer, 4, 1), nothing = push_of(buffer, 9, 0);
    unsigned char seen[9] = {0};
    struct rig rig;

    rig_open(&rig, floats);
    ck_assert_int_eq(session_push(rig.session, &nothing, NULL), CAIRN_OK);
    ck_assert_int_eq(session_push(rig.session, &push, NULL), CAIRN_OK);
    arrive(&rig, home_of(&rig, TABLE_WEIGHTS, 4));
    check_push(&rig, home_of(&rig, TABLE_WEIGHTS, 4), floats, seen);
    ck_assert_uint_eq(seen[4], 1);
    for (uint32_t shard = 0; shard < SHARDS; shard++)
        ck_assert(!has_input(rig.shards[shard], 0));
    rig_close(&rig);
    buffer_unref(buffer);
}
END_TEST

START_TEST(metrics_go_as_float64)
{
    struct buffer *buffer = buffer_new(METRICS * sizeof(double));
    struct session_push push = push_of(buffer, 0, 1);
    struct rig rig;

    ck_assert_ptr_nonnull(buffer);
    for (int i = 0; i < METRICS; i++)
        ((double *)buffer->data)[i] = i + 0.5;
    push.table = TABLE_VALIDATION;
    rig_open(&rig, CHUNK_FLOATS);
    ck_assert_int_eq(session_push(rig.session, &push, NULL), CAIRN_OK);
    arrive(&rig, home_of(&rig, TABLE_VALIDATION, 0));
    ck_assert_uint_eq(rig.arrival.header.table, TABLE_VALIDATION);
    ck_assert_int_eq(rig.arrival.header.payloads[0].type, DATA_FLOAT64);
    ck_assert_mem_eq(frames_data(&rig.arrival.frames, 2), buffer->data, METRICS * sizeof(double));
    rig_close(&rig);
    buffer_unref(buffer);
}
END_TEST

START_TEST(a_pull_names_version_and_chunks)
{
    const struct session_pull pull = {.table = TABLE_WEIGHTS,
                                      .version = 17,
                                      .first_chunk = 1,
                                      .chunk_count = 4,
                                      .committed = _i == 1,
                                      .exact = _i == 2};
    struct rig rig;

    rig_open(&rig, CHUNK_FLOATS * 6);
    ck_assert_int_eq(session_pull(rig.session, &pull, NULL), CAIRN_OK);
    for (uint32_t shard = 0; shard < SHARDS; shard++) {
        const struct data_header *header = arrive(&rig, shard);

        ck_assert_int_eq(header->kind, DATA_PULL);
        ck_assert_uint_eq(header->step, 17);
        ck_assert_int_eq(header->committed, _i == 1);
        ck_assert_int_eq(header->exact, _i == 2);
        ck_assert_uint_eq(rig.arrival.frames.count, 2);
        ck_assert_uint_eq(header->payload_count, shard == 1 ? 2 : 1);
        ck_assert_uint_eq(header->payloads[0].chunk, shard == 0 ? 3 : shard);
    }
    rig_close(&rig);
}
END_TEST

START_TEST(versions_are_asked_of_all_chunks)
{
    struct rig rig;
    unsigned chunks = 0;

    rig_open(&rig, CHUNK_FLOATS * 6);
    ck_assert_int_eq(session_ask_versions(rig.session, TABLE_WEIGHTS, NULL, NULL), CAIRN_OK);
    for (uint32_t shard = 0; shard < SHARDS; shard++) {
        const struct data_header *header = arrive(&rig, shard);

        ck_assert_int_eq(header->kind, DATA_PULL);
        ck_assert(header->newest && header->acknowledge && !header->committed);
        chunks += header->payload_count;
    }
    ck_assert_uint_eq(chunks, 6);
    ck_assert_int_eq(pull(&rig, TABLE_WEIGHTS, SESSION_NEWEST, 1), CAIRN_OK);
    ck_assert(arrive(&rig, 0)->newest && !rig.arrival.header.acknowledge);
    ck_assert_int_eq(session_ask_versions(rig.session, TABLE_COUNT, NULL, NULL), CAIRN_INVALID);
    rig_close(&rig);
}
END_TEST

START_TEST(what_does_not_fit_is_not_sent)
{
    struct buffer *buffer = counted_floats(CHUNK_FLOATS * 3), *small = counted_floats(CHUNK_FLOATS * 3 - 1);
    struct session_push push;
    struct rig rig;
    struct error error;

    rig_open(&rig, CHUNK_FLOATS * 3);
    push = push_of(buffer, 2, 2);
    ck_assert_int_eq(session_push(rig.session, &push, &error), CAIRN_INVALID);
    push = push_of(buffer, 4, 0);
    ck_assert_int_eq(session_push(rig.session, &push, &error), CAIRN_INVALID);
    push = push_of(small, 0, 1);
    ck_assert_int_eq(session_push(rig.session, &push, &error), CAIRN_INVALID);
    push = push_of(buffer, 0, 3);
    push.node.end = push.node.begin;
    ck_assert_int_eq(session_push(rig.session, &push, &error), CAIRN_INVALID);
    push = push_of(buffer, 0, 3);
    push.table = TABLE_COUNT;
    ck_assert_int_eq(session_push(rig.session, &push, &error), CAIRN_INVALID);
    ck_assert_int_eq(pull(&rig, TABLE_METRICS, 1, 2), CAIRN_INVALID);
    ck_assert_int_eq(pull(&rig, TABLE_WEIGHTS, UINT64_MAX - 1, 1), CAIRN_INVALID);
    /* Each shard's first message is the one that is right. */
    ck_assert_int_eq(pull(&rig, TABLE_WEIGHTS, 5, 3), CAIRN_OK);
    for (uint32_t shard = 0; shard < SHARDS; shard++)
        ck_assert_int_eq(arrive(&rig, shard)->kind, DATA_PULL);
    rig_close(&rig);
    buffer_unref(buffer);
    buffer_unref(small);
}
END_TEST

START_TEST(messages_wait_for_a_shard_that_is_late)
{
    struct rig rig;
    char late[ENDPOINT_BYTES];
    size_t count;

    rig_open(&rig, CHUNK_FLOATS * 3);
    session_free(rig.session);
    free_endpoint(late);
    rig.endpoint_list[1] = late;
    ck_assert_int_eq(rig_connect(&rig, NULL), CAIRN_OK);
    ck_assert_ptr_nonnull(session_sockets(rig.session, &count));
    ck_assert_uint_eq(count, 2 * SHARDS);
    ck_assert_int_eq(pull(&rig, TABLE_WEIGHTS, 5, 3), CAIRN_OK);
    arrive(&rig, 0);
    ck_assert_int_eq(zmq_bind(rig.shards[1], late), 0);
    ck_assert_uint_eq(arrive(&rig, 1)->payloads[0].chunk, 1);
    rig_close(&rig);
}
END_TEST

/* ---- making */

START_TEST(parameters_must_fit_together)
{
    struct rig rig;
    struct session_params good;
    struct session_table *weights = &rig.tables[TABLE_WEIGHTS], good_weights;
    struct session *session = NULL;
    const struct session_events events = {.values = on_values};
    const char *bad_endpoints[SHARDS] = {"inproc://a", "nonsense", "inproc://c"};
    struct error error;

    rig_open(&rig, CHUNK_FLOATS * 3);
    good = rig.params;
    good_weights = *weights;
    weights->chunk_count = 4;
    ck_assert_int_eq(session_new(rig.context, &rig.params, &events, &session, &error), CAIRN_INVALID);
    *weights = good_weights;
    weights->chunk_elements = 0;
    ck_assert_int_eq(session_new(rig.context, &rig.params, &events, &session, &error), CAIRN_INVALID);
    *weights = session_sparse_table(0);
    ck_assert_int_eq(session_new(rig.context, &rig.params, &events, &session, &error), CAIRN_INVALID);
    *weights = good_weights;
    rig.params.shard_count = 2; /* some slots are on the third */
    ck_assert_int_eq(session_new(rig.context, &rig.params, &events, &session, &error), CAIRN_INVALID);
    rig.params.shard_count = 0;
    ck_assert_int_eq(session_new(rig.context, &rig.params, &events, &session, &error), CAIRN_INVALID);
    rig.params = good;
    weights->chunk_elements = UINT32_MAX;
    weights->chunk_count = 1;
    ck_assert_int_eq(session_new(rig.context, &rig.params, &events, &session, &error), CAIRN_INVALID);
    *weights = good_weights;
    rig.params.endpoints = bad_endpoints;
    ck_assert_int_eq(session_new(rig.context, &rig.params, &events, &session, &error), CAIRN_INVALID);
    ck_assert(strstr(error.message, "nonsense"));
    ck_assert_ptr_null(session);
    session_free(NULL);
    rig_close(&rig);
}
END_TEST

/* A server that was drained is still in the list, and nobody may be at its endpoint, or anybody. */
START_TEST(shards_without_slots_are_left_alone)
{
    struct rig rig;
    uint32_t slots[PLACEMENT_SLOTS_MIN];
    const char *endpoints[SHARDS];
    const struct session_events events = {.values = on_values};
    struct session *session = NULL;
    struct error error = {.message = ""};
    size_t sockets;

    rig_open(&rig, CHUNK_FLOATS * 3);
    for (uint32_t i = 0; i < PLACEMENT_SLOTS_MIN; i++)
        slots[i] = i % 2 * 2;
    memcpy(endpoints, rig.endpoint_list, sizeof(endpoints));
    endpoints[1] = "nonsense";
    rig.params.slot_shards = slots;
    rig.params.endpoints = endpoints;
    ck_assert_msg(session_new(rig.context, &rig.params, &events, &session, &error) == CAIRN_OK, "%s",
                  error.message);
    session_sockets(session, &sockets);
    ck_assert_uint_eq(sockets, 4);
    ck_assert_int_eq(session_poll(session, &error), CAIRN_OK);
    session_free(session);
    rig_close(&rig);
}
END_TEST

/* ---- receiving */

/* An answer that a test then spoils. */
struct answer {
    struct data_header header;
    unsigned char payload[CHUNK_FLOATS * sizeof(double)];
    size_t payload_bytes; /* of the frame; may contradict the header */
    unsigned frames;      /* payload frames */
};

static struct answer answer_for(const struct rig *rig, enum table_id table, uint32_t chunk)
{
    struct answer answer;
    uint64_t left = rig->tables[TABLE_WEIGHTS].elements - (uint64_t)chunk * CHUNK_FLOATS;
    size_t elements = left < CHUNK_FLOATS ? left : CHUNK_FLOATS;

    memset(&answer, 0, sizeof(answer));
    answer.header.kind = DATA_VALUES;
    answer.header.job = JOB;
    answer.header.incarnation = INCARNATION;
    answer.header.table = table;
    answer.header.step = 42;
    answer.header.payload_count = 1;
    answer.header.payloads[0].chunk = chunk;
    answer.header.payloads[0].type = table == TABLE_WEIGHTS ? DATA_FLOAT32 : DATA_FLOAT64;
    answer.payload_bytes = table == TABLE_WEIGHTS ? elements * sizeof(float) : METRICS * sizeof(double);
    answer.header.payloads[0].length_bytes = answer.payload_bytes;
    answer.frames = 1;
    for (size_t i = 0; i < CHUNK_FLOATS; i++) {
        if (table == TABLE_WEIGHTS)
            ((float *)(void *)answer.payload)[i] = (float)i + 0.25f;
        else
            ((double *)(void *)answer.payload)[i] = (double)i + 0.25;
    }
    return answer;
}

/* Makes the session known to a shard, so that the shard can answer it. */
static void introduce(struct rig *rig)
{
    ck_assert_int_eq(pull(rig, TABLE_WEIGHTS, 1, rig->tables[TABLE_WEIGHTS].chunk_count), CAIRN_OK);
}

static void send_answer(struct rig *rig, uint32_t shard, const struct answer *answer)
{
    unsigned char packed[WIRE_HEADER_MAX];
    size_t length = wire_data_pack(&answer->header, packed);
    struct frames out;

    if (rig->arrival.frames.count == 0)
        arrive(rig, shard);
    frames_init(&out);
    ck_assert_int_eq(frames_append_copy(&out, frames_data(&rig->arrival.frames, 0),
                                        frames_length(&rig->arrival.frames, 0)),
                     CAIRN_OK);
    ck_assert_int_eq(frames_append_copy(&out, packed, length), CAIRN_OK);
    for (unsigned i = 0; i < answer->frames; i++)
        ck_assert_int_eq(frames_append_copy(&out, answer->payload, answer->payload_bytes), CAIRN_OK);
    ck_assert_int_eq(frames_send(rig->shards[shard], &out, NULL), CAIRN_OK);
}

static enum status poll_soon(struct rig *rig, uint32_t shard, struct error *error)
{
    size_t count;
    void *const *sockets = session_sockets(rig->session, &count);

    ck_assert(has_input(sockets[shard], PATIENCE_MS));
    return session_poll(rig->session, error);
}

START_TEST(values_arrive)
{
    static const uint32_t chunks[] = {0, 4, 5}; /* 5 is the short one */
    struct rig rig;
    struct answer answer;
    struct error error = {.message = ""};
    uint32_t chunk = chunks[_i];

    rig_open(&rig, CHUNK_FLOATS * 5 + 3);
    introduce(&rig);
    answer = answer_for(&rig, TABLE_WEIGHTS, chunk);
    send_answer(&rig, home_of(&rig, TABLE_WEIGHTS, chunk), &answer);
    ck_assert_msg(poll_soon(&rig, home_of(&rig, TABLE_WEIGHTS, chunk), &error) == CAIRN_OK, "%s",
                  error.message);
    ck_assert_uint_eq(rig.seen.calls, 1);
    ck_assert_int_eq(rig.seen.table, TABLE_WEIGHTS);
    ck_assert_uint_eq(rig.seen.chunk, chunk);
    ck_assert_uint_eq(rig.seen.version, 42);
    ck_assert_uint_eq(rig.seen.elements, chunk == 5 ? 3 : CHUNK_FLOATS);
    ck_assert(rig.seen.is_aligned);
    ck_assert(rig.seen.first == 0.25 && rig.seen.last == (double)rig.seen.elements - 0.75);
    rig_close(&rig);
}
END_TEST

START_TEST(a_wait_ends_when_something_comes)
{
    struct rig rig;
    struct answer answer;
    struct error error = {.message = ""};
    uint32_t home;

    rig_open(&rig, CHUNK_FLOATS * 5);
    home = home_of(&rig, TABLE_WEIGHTS, 2);
    for (uint32_t i = 0; i < 50; i++) {
        introduce(&rig);
        ck_assert_int_eq(session_wait(rig.session, -1, &error), CAIRN_OK); /* something was sent since */
        ck_assert_int_eq(session_poll(rig.session, &error), CAIRN_OK);
        answer = answer_for(&rig, TABLE_WEIGHTS, 2);
        send_answer(&rig, home, &answer);
        while (rig.seen.calls == i) {
            ck_assert_int_eq(session_wait(rig.session, -1, &error), CAIRN_OK);
            ck_assert_int_eq(session_poll(rig.session, &error), CAIRN_OK);
        }
        ck_assert_uint_eq(rig.seen.calls, i + 1);
    }
    ck_assert_int_eq(session_poll(rig.session, &error), CAIRN_OK);
    ck_assert_int_eq(session_wait(rig.session, 1, &error), CAIRN_OK); /* nothing comes */
    ck_assert_int_eq(session_poll(rig.session, &error), CAIRN_OK);
    rig_close(&rig);
}
END_TEST

START_TEST(metric_values_arrive_and_are_aligned)
{
    struct rig rig;
    struct answer answer;
    uint32_t shard;

    rig_open(&rig, CHUNK_FLOATS * 6);
    introduce(&rig);
    shard = home_of(&rig, TABLE_METRICS, 0);
    answer = answer_for(&rig, TABLE_METRICS, 0);
    for (uint64_t i = 0; i < 9; i++) { /* header lengths vary, and with them where the bytes lie */
        answer.header.step = UINT64_C(1) << (7 * i);
        send_answer(&rig, shard, &answer);
        while (rig.seen.calls == i)
            ck_assert_int_eq(poll_soon(&rig, shard, NULL), CAIRN_OK);
        ck_assert_int_eq(rig.seen.table, TABLE_METRICS);
        ck_assert_uint_eq(rig.seen.version, answer.header.step);
        ck_assert_uint_eq(rig.seen.elements, METRICS);
        ck_assert(rig.seen.is_aligned);
        ck_assert(rig.seen.first == 0.25 && rig.seen.last == METRICS - 0.75);
    }
    rig_close(&rig);
}
END_TEST

typedef void spoil(struct answer *answer);

static void another_job(struct answer *answer)
{
    answer->header.job = JOB + 1;
}
static void no_such_table(struct answer *answer)
{
    answer->header.table = TABLE_COUNT;
}
static void no_such_chunk(struct answer *answer)
{
    answer->header.payloads[0].chunk = 600;
}
static void another_shards_chunk(struct answer *answer)
{
    answer->header.payloads[0].chunk++;
}
static void another_type(struct answer *answer)
{
    answer->header.payloads[0].type = DATA_FLOAT64;
}
static void another_length(struct answer *answer)
{
    answer->payload_bytes -= 4;
    answer->header.payloads[0].length_bytes -= 4;
}
static void another_length_than_said(struct answer *answer)
{
    answer->payload_bytes -= 4;
}
static void a_frame_less(struct answer *answer)
{
    answer->frames = 0;
}
static void a_frame_more(struct answer *answer)
{
    answer->frames = 2;
}
static void a_second_payload_that_is_wrong(struct answer *answer)
{
    answer->header.payload_count = answer->frames = 2;
    answer->header.payloads[1] = answer->header.payloads[0];
    answer->header.payloads[1].chunk++;
}
static void a_push(struct answer *answer)
{
    answer->header.kind = DATA_PUSH;
    answer->header.node.end = 1;
}

static spoil *const spoils[] = {another_job,
                                no_such_table,
                                no_such_chunk,
                                another_shards_chunk,
                                another_type,
                                another_length,
                                another_length_than_said,
                                a_frame_less,
                                a_frame_more,
                                a_second_payload_that_is_wrong,
                                a_push};
#define SPOILS ((int)(sizeof(spoils) / sizeof(spoils[0])))

START_TEST(values_that_do_not_fit_are_refused)
{
    struct rig rig;
    struct answer answer;
    struct error error = {.message = ""};

    rig_open(&rig, CHUNK_FLOATS * 6);
    introduce(&rig);
    answer = answer_for(&rig, TABLE_WEIGHTS, 0);
    spoils[_i](&answer);
    send_answer(&rig, 0, &answer);
    ck_assert_int_eq(poll_soon(&rig, 0, &error), CAIRN_PROTOCOL);
    ck_assert_msg(strstr(error.message, rig.endpoints[0]) != NULL, "%s", error.message);
    ck_assert_uint_eq(rig.seen.calls, 0);
    /* The session goes on. */
    answer = answer_for(&rig, TABLE_WEIGHTS, 0);
    send_answer(&rig, 0, &answer);
    ck_assert_int_eq(poll_soon(&rig, 0, &error), CAIRN_OK);
    ck_assert_uint_eq(rig.seen.calls, 1);
    rig_close(&rig);
}
END_TEST

START_TEST(noise_from_a_shard_is_refused)
{
    struct rig rig;
    struct error error = {.message = ""};

    rig_open(&rig, CHUNK_FLOATS * 6);
    introduce(&rig);
    arrive(&rig, 0);
    ck_assert_int_ge(zmq_send(rig.shards[0], frames_data(&rig.arrival.frames, 0),
                              frames_length(&rig.arrival.frames, 0), ZMQ_SNDMORE),
                     0);
    ck_assert_int_eq(zmq_send(rig.shards[0], "\xff\xff", 2, 0), 2);
    ck_assert_int_eq(poll_soon(&rig, 0, &error), CAIRN_PROTOCOL);
    ck_assert_msg(strstr(error.message, rig.endpoints[0]) != NULL, "%s", error.message);
    rig_close(&rig);
}
END_TEST

START_TEST(older_incarnations_are_dropped_newer_ones_end_us)
{
    struct rig rig;
    struct answer older, newer;
    struct error error = {.message = ""};

    rig_open(&rig, CHUNK_FLOATS * 6);
    introduce(&rig);
    older = newer = answer_for(&rig, TABLE_WEIGHTS, 0);
    older.header.incarnation--;
    newer.header.incarnation++;
    send_answer(&rig, 0, &older);
    ck_assert_int_eq(poll_soon(&rig, 0, &error), CAIRN_OK);
    ck_assert_uint_eq(rig.seen.calls, 0);
    send_answer(&rig, 0, &newer);
    ck_assert_int_eq(poll_soon(&rig, 0, &error), CAIRN_STALE);
    ck_assert_uint_eq(rig.seen.calls, 0);
    rig_close(&rig);
}
END_TEST

/* What was on its way is lost with the connection: nobody may wait for it. */
START_TEST(a_shard_whose_connection_breaks_is_an_error)
{
    struct rig rig;
    struct error error = {.message = ""};
    size_t count;
    void *const *sockets;

    rig_open(&rig, CHUNK_FLOATS * 3);
    introduce(&rig);
    for (uint32_t shard = 0; shard < SHARDS; shard++)
        arrive(&rig, shard);
    ck_assert_int_eq(session_poll(rig.session, &error), CAIRN_OK);
    zmq_close(rig.shards[1]);
    sockets = session_sockets(rig.session, &count);
    ck_assert_uint_eq(count, 2 * SHARDS);
    ck_assert(has_input(sockets[SHARDS + 1], PATIENCE_MS));
    ck_assert_int_eq(session_poll(rig.session, &error), CAIRN_IO);
    ck_assert_ptr_nonnull(strstr(error.message, "shard 1 at "));
    ck_assert_ptr_nonnull(strstr(error.message, rig.endpoints[1]));
    rig.shards[1] = zmq_socket(rig.context, ZMQ_ROUTER); /* for rig_close */
    rig_close(&rig);
}
END_TEST

/* Sums have one chunk, and perhaps no version to pull. */
START_TEST(versions_of_sums_are_asked_and_told)
{
    struct answer answer;
    struct rig rig;
    uint32_t home;

    rig_open(&rig, CHUNK_FLOATS);
    home = home_of(&rig, TABLE_VALIDATION, 0);
    ck_assert_int_eq(session_ask_versions(rig.session, TABLE_VALIDATION, NULL, NULL), CAIRN_OK);
    arrive(&rig, home);
    ck_assert(rig.arrival.header.newest && rig.arrival.header.acknowledge);
    ck_assert_uint_eq(rig.arrival.header.payload_count, 1);
    ck_assert_int_eq(rig.arrival.header.payloads[0].type, DATA_FLOAT64);
    answer = answer_for(&rig, TABLE_VALIDATION, 0);
    answer.header.kind = DATA_APPLIED;
    answer.header.payloads[0].length_bytes = 0;
    answer.frames = 0;
    send_answer(&rig, home, &answer);
    ck_assert_int_eq(poll_soon(&rig, home, NULL), CAIRN_OK);
    ck_assert_uint_eq(rig.seen.applied_table, TABLE_VALIDATION);
    ck_assert_uint_eq(rig.seen.applied_version, 42);
    rig_close(&rig);
}
END_TEST

START_TEST(a_refusal_names_shard_and_reason)
{
    static const struct {
        enum data_refused reason;
        enum status status;
    } cases[] = {{DATA_REFUSED_STALE, CAIRN_STALE},
                 {DATA_REFUSED_UNKNOWN, CAIRN_NOT_FOUND},
                 {DATA_REFUSED_MALFORMED, CAIRN_PROTOCOL},
                 {DATA_REFUSED_LOST, CAIRN_FULL},
                 {DATA_REFUSED_PASSED, CAIRN_PASSED}};
    struct rig rig;
    struct answer answer;
    struct error error = {.message = ""};

    rig_open(&rig, CHUNK_FLOATS * 6);
    introduce(&rig);
    memset(&answer, 0, sizeof(answer));
    answer.header.kind = DATA_REFUSED;
    if (cases[_i].reason != DATA_REFUSED_MALFORMED) { /* of a malformed message a shard may not know the job */
        answer.header.job = JOB;
        answer.header.incarnation = INCARNATION;
    }
    answer.header.refused = cases[_i].reason;
    snprintf(answer.header.message, sizeof(answer.header.message), "because of this");
    send_answer(&rig, 0, &answer);
    ck_assert_int_eq(poll_soon(&rig, 0, &error), cases[_i].status);
    ck_assert_msg(strstr(error.message, rig.endpoints[0]) != NULL, "%s", error.message);
    ck_assert_msg(strstr(error.message, "because of this") != NULL, "%s", error.message);
    rig_close(&rig);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("session");
    TCase *sending = tcase_create("sending"), *receiving = tcase_create("receiving");

    tcase_add_test(sending, parameters_must_fit_together);
    tcase_add_test(sending, shards_without_slots_are_left_alone);
    tcase_add_test(sending, a_push_reaches_each_chunks_shard);
    tcase_add_test(sending, a_range_goes_in_messages_of_the_most_payloads);
    tcase_add_test(sending, large_chunks_go_in_messages_of_their_own);
    tcase_add_test(sending, a_part_of_the_chunks_goes_alone);
    tcase_add_test(sending, metrics_go_as_float64);
    tcase_add_loop_test(sending, a_pull_names_version_and_chunks, 0, 3);
    tcase_add_test(sending, versions_are_asked_of_all_chunks);
    tcase_add_test(receiving, versions_of_sums_are_asked_and_told);
    tcase_add_test(sending, what_does_not_fit_is_not_sent);
    tcase_add_test(sending, messages_wait_for_a_shard_that_is_late);
    tcase_add_loop_test(receiving, values_arrive, 0, 3);
    tcase_add_test(receiving, a_wait_ends_when_something_comes);
    tcase_add_test(receiving, metric_values_arrive_and_are_aligned);
    tcase_add_loop_test(receiving, values_that_do_not_fit_are_refused, 0, SPOILS);
    tcase_add_test(receiving, noise_from_a_shard_is_refused);
    tcase_add_test(receiving, older_incarnations_are_dropped_newer_ones_end_us);
    tcase_add_loop_test(receiving, a_refusal_names_shard_and_reason, 0, 5);
    tcase_add_test(receiving, a_shard_whose_connection_breaks_is_an_error);
    suite_add_tcase(suite, sending);
    suite_add_tcase(suite, receiving);
    return suite;
}

CHECK_MAIN(make_suite)
