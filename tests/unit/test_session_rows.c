/* Rows through sessions, against shards that the test plays: which key goes where, and where the rows of the
 * answers land. */
#include "check_main.h"
#include "sockets.h"

#include "net/wire.h"
#include "session.h"

#include <stdlib.h>
#include <string.h>

#define SHARDS_MAX  3
#define SLOTS       PLACEMENT_SLOTS_MIN
#define JOB         7
#define INCARNATION 3
#define TABLE       TABLE_FIRST_USER
#define DENSE       (TABLE_FIRST_USER + 1)
#define TABLES      (TABLE_FIRST_USER + 2)
#define D           4

struct rig {
    void *context;
    uint32_t shard_count;
    void *shards[SHARDS_MAX];
    uint32_t slot_shards[SLOTS];
    struct session *session;
    struct frames arrival; /* identity, header, payloads */
    struct data_header header;
    unsigned done;
    unsigned array_calls;
};

static void on_values(void *context, uint32_t table, uint32_t chunk, uint64_t version, const void *values,
                      size_t elements)
{
    (void)table, (void)chunk, (void)version, (void)values, (void)elements;
    ((struct rig *)context)->array_calls++;
}

static void on_done(struct session_operation *operation)
{
    ((struct rig *)operation->context)->done++;
}

/* A session with shards at these endpoints, whether anybody is bound there or not. */
static void rig_connect(struct rig *rig, uint32_t shard_count, char endpoints[][ENDPOINT_BYTES])
{
    const char *endpoint_list[SHARDS_MAX];
    struct session_table tables[TABLES] = {{0}};
    const struct session_events events = {.values = on_values, .context = rig};
    struct session_params params = {.job = JOB,
                                    .incarnation = INCARNATION,
                                    .shard_count = shard_count,
                                    .endpoints = endpoint_list,
                                    .slot_count = SLOTS,
                                    .slot_shards = rig->slot_shards,
                                    .table_count = TABLES,
                                    .tables = tables};
    struct error error = {.message = ""};

    rig->shard_count = shard_count;
    for (uint32_t i = 0; i < shard_count; i++)
        endpoint_list[i] = endpoints[i];
    placement_assign(rig->slot_shards, SLOTS, shard_count);
    tables[TABLE] = session_sparse_table(D);
    tables[DENSE] = session_dense_table(16, 16, 1);
    ck_assert_msg(session_new(rig->context, &params, &events, &rig->session, &error) == CAIRN_OK, "%s",
                  error.message);
    frames_init(&rig->arrival);
}

static void rig_open(struct rig *rig, uint32_t shard_count)
{
    char endpoints[SHARDS_MAX][ENDPOINT_BYTES];

    memset(rig, 0, sizeof(*rig));
    rig->context = zmq_ctx_new();
    for (uint32_t i = 0; i < shard_count; i++)
        rig->shards[i] = bound_socket(rig->context, ZMQ_ROUTER, endpoints[i]);
    rig_connect(rig, shard_count, endpoints);
}

static void rig_close(struct rig *rig)
{
    frames_clear(&rig->arrival);
    session_free(rig->session);
    for (uint32_t i = 0; i < rig->shard_count; i++)
        zmq_close(rig->shards[i]);
    zmq_ctx_term(rig->context);
}

static uint32_t home_of(const struct rig *rig, uint64_t key)
{
    return rig->slot_shards[placement_key_slot(key, SLOTS)];
}

/* The next message to a shard, in rig->arrival. */
static const struct data_header *arrive(struct rig *rig, uint32_t shard)
{
    frames_clear(&rig->arrival);
    receive_soon(rig->shards[shard], &rig->arrival);
    ck_assert_uint_ge(rig->arrival.count, 2);
    ck_assert_int_eq(
        wire_data_unpack(frames_data(&rig->arrival, 1), frames_length(&rig->arrival, 1), &rig->header, NULL),
        CAIRN_OK);
    ck_assert_uint_eq(rig->header.job, JOB);
    ck_assert_uint_eq(rig->header.incarnation, INCARNATION);
    ck_assert_uint_eq(rig->header.table, TABLE);
    ck_assert_uint_eq(rig->arrival.count, 2 + wire_data_frames(&rig->header));
    return &rig->header;
}

static uint32_t arrived_count(struct rig *rig)
{
    return rig->header.payload_count ? (uint32_t)(frames_length(&rig->arrival, 2) / sizeof(uint64_t)) : 0;
}

static uint64_t arrived_key(struct rig *rig, uint32_t i)
{
    uint64_t key;

    memcpy(&key, (const char *)frames_data(&rig->arrival, 2) + i * sizeof(key), sizeof(key));
    return key;
}

/* Sends an answer to who sent the last arrival: `count` rows, each of them `key` and its position in the
 * answer; 0 rows: APPLIED. */
static void answer(struct rig *rig, uint32_t shard, const struct data_header *header, const float *rows,
                   size_t bytes)
{
    unsigned char packed[WIRE_HEADER_MAX];
    struct frames out;

    frames_init(&out);
    ck_assert_int_eq(frames_append_copy(&out, frames_data(&rig->arrival, 0), frames_length(&rig->arrival, 0)),
                     CAIRN_OK);
    ck_assert_int_eq(frames_append_copy(&out, packed, wire_data_pack(header, packed)), CAIRN_OK);
    if (bytes > 0)
        ck_assert_int_eq(frames_append_copy(&out, rows, bytes), CAIRN_OK);
    ck_assert_int_eq(frames_send(rig->shards[shard], &out, NULL), CAIRN_OK);
}

/* The header of the answer to the last arrival. */
static struct data_header answer_header(const struct rig *rig, enum data_kind kind, size_t bytes)
{
    struct data_header header = {.kind = kind,
                                 .job = JOB,
                                 .incarnation = INCARNATION,
                                 .table = TABLE,
                                 .step = 5,
                                 .request = rig->header.request,
                                 .payload_count = 1};

    header.payloads[0] = (struct data_payload){0, DATA_FLOAT32, bytes};
    return header;
}

/* Answers the last arrival's pull or subscription: the row of a key is key + 0, key + 1, ... */
static void answer_rows(struct rig *rig, uint32_t shard)
{
    uint32_t count = arrived_count(rig);
    size_t bytes = count * D * sizeof(float);
    const struct data_header header = answer_header(rig, DATA_VALUES, bytes);
    float *rows = malloc(bytes);

    ck_assert_ptr_nonnull(rows);
    for (uint32_t i = 0; i < count * D; i++)
        rows[i] = (float)(arrived_key(rig, i / D) + i % D);
    answer(rig, shard, &header, rows, bytes);
    free(rows);
}

static void answer_applied(struct rig *rig, uint32_t shard)
{
    const struct data_header header = answer_header(rig, DATA_APPLIED, 0);

    answer(rig, shard, &header, NULL, 0);
}

/* Polls until `done` operations are. */
static void poll_until_done(struct rig *rig, unsigned done)
{
    struct error error = {.message = ""};

    while (rig->done < done) {
        ck_assert_int_eq(session_wait(rig->session, PATIENCE_MS, &error), CAIRN_OK);
        ck_assert_msg(session_poll(rig->session, &error) == CAIRN_OK, "%s", error.message);
    }
    ck_assert_uint_eq(rig->done, done);
}

static struct buffer *keys_of(const uint64_t *keys, uint32_t count)
{
    struct buffer *buffer = buffer_new(count * sizeof(*keys));

    ck_assert_ptr_nonnull(buffer);
    memcpy(buffer->data, keys, count * sizeof(*keys));
    return buffer;
}

/* The gradient of key i is i, i + 0.25, ... */
static struct buffer *gradients_of(uint32_t count)
{
    struct buffer *buffer = buffer_new(count * D * sizeof(float));

    ck_assert_ptr_nonnull(buffer);
    for (uint32_t i = 0; i < count * D; i++)
        ((float *)buffer->data)[i] = (float)i / D;
    return buffer;
}

static void check_values(const float *values, const uint64_t *keys, uint32_t count)
{
    for (uint32_t i = 0; i < count * D; i++)
        ck_assert(values[i] == (float)(keys[i / D] + i % D));
}

static const uint64_t some_keys[] = {8, 3, 1000, 3, 77, 0, 8, 5, 123456, 12, 3};
#define SOME ((uint32_t)(sizeof(some_keys) / sizeof(some_keys[0])))

static struct session_rows_push push_of(struct buffer *keys, struct buffer *gradients, uint32_t count)
{
    return (struct session_rows_push){.table = TABLE,
                                      .step = 4,
                                      .node = {2, 4},
                                      .samples = 24,
                                      .count = count,
                                      .keys = keys,
                                      .gradients = gradients};
}

/* ---- one shard */

START_TEST(what_one_shard_has_is_sent_in_place)
{
    struct buffer *keys = keys_of(some_keys, SOME), *gradients = gradients_of(SOME);
    struct session_rows_push push = push_of(keys, gradients, SOME);
    const struct data_header *header;
    char endpoint[1][ENDPOINT_BYTES];
    struct rig rig = {.context = zmq_ctx_new()};

    /* The shard is not there yet, so that nothing can have left. */
    free_endpoint(endpoint[0]);
    rig_connect(&rig, 1, endpoint);
    ck_assert_int_eq(session_push_rows(rig.session, &push, NULL), CAIRN_OK);
    ck_assert(!buffer_is_exclusive(keys) && !buffer_is_exclusive(gradients));
    rig.shards[0] = zmq_socket(rig.context, ZMQ_ROUTER);
    ck_assert_int_eq(zmq_bind(rig.shards[0], endpoint[0]), 0);
    header = arrive(&rig, 0);
    ck_assert_int_eq(header->kind, DATA_PUSH);
    ck_assert_uint_eq(header->step, 4);
    ck_assert_uint_eq(header->node.begin, 2);
    ck_assert_uint_eq(header->node.end, 4);
    ck_assert_uint_eq(header->samples, 24);
    ck_assert(!header->subscribe && !header->acknowledge && header->request == 0);
    ck_assert_uint_eq(header->payload_count, 2);
    ck_assert_int_eq(header->payloads[0].type, DATA_UINT64);
    ck_assert_int_eq(header->payloads[1].type, DATA_FLOAT32);
    ck_assert_mem_eq(frames_data(&rig.arrival, 2), some_keys, sizeof(some_keys));
    ck_assert_mem_eq(frames_data(&rig.arrival, 3), gradients->data, SOME * D * sizeof(float));
    rig_close(&rig);
    ck_assert(buffer_is_exclusive(keys) && buffer_is_exclusive(gradients));
    buffer_unref(keys);
    buffer_unref(gradients);
}
END_TEST

START_TEST(a_large_pull_goes_in_pieces_and_comes_together)
{
    enum { COUNT = 200000, PIECE = WIRE_ROWS_BYTES / (D * sizeof(float)) };
    struct buffer *keys = buffer_new(COUNT * sizeof(uint64_t));
    float *values = calloc(COUNT, D * sizeof(float));
    struct rig rig;
    struct session_operation operation = {.done = on_done, .context = &rig};
    uint32_t asked = 0;

    ck_assert(keys && values);
    for (uint64_t i = 0; i < COUNT; i++)
        ((uint64_t *)keys->data)[i] = i * 7 % 100000;
    rig_open(&rig, 1);
    ck_assert_int_eq(
        session_pull_rows(rig.session, TABLE, SESSION_NEWEST, keys, COUNT, values, &operation, NULL),
        CAIRN_OK);
    while (asked < COUNT) {
        const struct data_header *header = arrive(&rig, 0);

        ck_assert_int_eq(header->kind, DATA_PULL);
        ck_assert(header->newest);
        ck_assert_uint_eq(header->payload_count, 1);
        ck_assert_uint_eq(arrived_count(&rig), COUNT - asked < PIECE ? COUNT - asked : PIECE);
        asked += arrived_count(&rig);
        answer_rows(&rig, 0);
    }
    poll_until_done(&rig, 1);
    for (uint32_t i = 0; i < COUNT * D; i++) {
        if (values[i] != (float)(((uint64_t *)keys->data)[i / D] + i % D))
            ck_abort_msg("value %u", i);
    }
    rig_close(&rig);
    buffer_unref(keys);
    free(values);
}
END_TEST

/* ---- several shards */

/* Checks that a shard's arrival has its keys in the order of `keys`, and the gradients that belong to them.
 */
static void check_share(struct rig *rig, uint32_t shard, const uint64_t *keys, uint32_t count, bool gradients)
{
    uint32_t at = 0;

    for (uint32_t i = 0; i < count; i++) {
        float row[D];

        if (home_of(rig, keys[i]) != shard)
            continue;
        ck_assert_uint_lt(at, arrived_count(rig));
        ck_assert_uint_eq(arrived_key(rig, at), keys[i]);
        if (gradients) {
            memcpy(row, (const char *)frames_data(&rig->arrival, 3) + at * sizeof(row), sizeof(row));
            for (uint32_t j = 0; j < D; j++)
                ck_assert(row[j] == (float)(i * D + j) / D);
        }
        at++;
    }
    ck_assert_uint_eq(arrived_count(rig), at);
}

START_TEST(each_shard_gets_the_rows_of_its_keys)
{
    struct buffer *keys = keys_of(some_keys, SOME), *gradients = gradients_of(SOME);
    struct session_rows_push push = push_of(keys, gradients, SOME);
    float values[SOME][D];
    struct rig rig;
    struct session_operation operation = {.done = on_done, .context = &rig};
    uint32_t shards_with_keys = 0;

    push.operation = &operation;
    push.values = _i ? values[0] : NULL;
    rig_open(&rig, SHARDS_MAX);
    ck_assert_int_eq(session_push_rows(rig.session, &push, NULL), CAIRN_OK);
    ck_assert(buffer_is_exclusive(keys) && buffer_is_exclusive(gradients)); /* they were gathered */
    for (uint32_t shard = 0; shard < SHARDS_MAX; shard++) {
        const struct data_header *header = arrive(&rig, shard);

        ck_assert_int_eq(header->kind, DATA_PUSH);
        ck_assert_uint_ne(header->request, 0);
        check_share(&rig, shard, some_keys, SOME, true);
        shards_with_keys += arrived_count(&rig) > 0;
        ck_assert_int_eq(header->subscribe, _i && arrived_count(&rig) > 0);
        ck_assert_int_eq(header->acknowledge, !header->subscribe);
        ck_assert_uint_eq(rig.done, 0);
        if (header->subscribe)
            answer_rows(&rig, shard);
        else
            answer_applied(&rig, shard);
    }
    ck_assert_uint_ge(shards_with_keys, 2);
    poll_until_done(&rig, 1);
    if (_i)
        check_values(values[0], some_keys, SOME);
    rig_close(&rig);
    buffer_unref(keys);
    buffer_unref(gradients);
}
END_TEST

START_TEST(shards_without_keys_are_told_that_there_are_none)
{
    const uint64_t key[] = {42};
    struct buffer *keys = keys_of(key, 1), *gradients = gradients_of(1);
    struct session_rows_push push = push_of(_i ? keys : NULL, _i ? gradients : NULL, _i ? 1 : 0);
    struct rig rig;
    struct session_operation operation = {.done = on_done, .context = &rig};

    push.operation = &operation;
    rig_open(&rig, SHARDS_MAX);
    ck_assert_int_eq(session_push_rows(rig.session, &push, NULL), CAIRN_OK);
    for (uint32_t shard = 0; shard < SHARDS_MAX; shard++) {
        arrive(&rig, shard);
        ck_assert_uint_eq(arrived_count(&rig), _i && shard == home_of(&rig, 42));
        ck_assert(rig.header.acknowledge && rig.header.samples == 24);
        answer_applied(&rig, shard);
    }
    poll_until_done(&rig, 1);
    rig_close(&rig);
    buffer_unref(keys);
    buffer_unref(gradients);
}
END_TEST

START_TEST(pulled_rows_land_where_their_keys_are)
{
    struct buffer *keys = keys_of(some_keys, SOME);
    float values[SOME][D];
    struct rig rig;
    struct session_operation operation = {.done = on_done, .context = &rig};

    rig_open(&rig, SHARDS_MAX);
    ck_assert_int_eq(session_pull_rows(rig.session, TABLE, 5, keys, SOME, values[0], &operation, NULL),
                     CAIRN_OK);
    for (uint32_t i = SHARDS_MAX; i-- > 0;) { /* in any order */
        bool has_keys = false;

        for (uint32_t j = 0; j < SOME; j++)
            has_keys = has_keys || home_of(&rig, some_keys[j]) == i;
        if (!has_keys)
            continue;
        arrive(&rig, i);
        ck_assert_int_eq(rig.header.kind, DATA_PULL);
        ck_assert(!rig.header.newest);
        ck_assert_uint_eq(rig.header.step, 5);
        check_share(&rig, i, some_keys, SOME, false);
        answer_rows(&rig, i);
    }
    poll_until_done(&rig, 1);
    check_values(values[0], some_keys, SOME);
    rig_close(&rig);
    buffer_unref(keys);
}
END_TEST

/* More operations than there are parts at first, answered backwards. */
START_TEST(many_operations_are_under_way_at_once)
{
    enum { COUNT = 200 };
    struct rig rig;
    struct session_operation operations[COUNT];
    float values[COUNT][D];
    uint64_t requests[COUNT], keys[COUNT];

    rig_open(&rig, 1);
    for (int round = 0; round < 2; round++) {
        for (uint64_t i = 0; i < COUNT; i++) {
            struct buffer *key = keys_of(&i, 1);

            operations[i] = (struct session_operation){.done = on_done, .context = &rig};
            ck_assert_int_eq(
                session_pull_rows(rig.session, TABLE, 5, key, 1, values[i], &operations[i], NULL), CAIRN_OK);
            buffer_unref(key);
        }
        for (uint32_t i = 0; i < COUNT; i++) {
            requests[i] = arrive(&rig, 0)->request;
            keys[i] = arrived_key(&rig, 0);
            for (uint32_t j = 0; j < i; j++) {
                if (requests[j] == requests[i])
                    ck_abort_msg("requests %u and %u", i, j);
            }
        }
        for (uint32_t i = COUNT; i-- > 0;) {
            const float row[D] = {(float)keys[i], (float)keys[i] + 1, (float)keys[i] + 2, (float)keys[i] + 3};
            struct data_header header = answer_header(&rig, DATA_VALUES, sizeof(row));

            header.request = requests[i];
            answer(&rig, 0, &header, row, sizeof(row));
        }
        poll_until_done(&rig, COUNT);
        check_values(values[0], keys, COUNT);
        rig.done = 0;
        memset(values, 0, sizeof(values));
    }
    rig_close(&rig);
}
END_TEST

/* What is under way when the session ends is forgotten. */
START_TEST(a_session_may_end_before_its_operations)
{
    struct buffer *keys = keys_of(some_keys, SOME);
    float values[SOME][D];
    struct rig rig;
    struct session_operation operation = {.done = on_done, .context = &rig};

    rig_open(&rig, SHARDS_MAX);
    ck_assert_int_eq(session_pull_rows(rig.session, TABLE, 5, keys, SOME, values[0], &operation, NULL),
                     CAIRN_OK);
    rig_close(&rig);
    ck_assert_uint_eq(rig.done, 0);
    buffer_unref(keys);
}
END_TEST

/* ---- what does not fit */

START_TEST(what_does_not_fit_is_not_sent)
{
    struct buffer *keys = keys_of(some_keys, SOME), *gradients = gradients_of(SOME);
    struct session_rows_push push;
    float values[SOME + 1][D];
    struct rig rig;
    struct session_operation operation = {.done = on_done, .context = &rig};
    struct error error;
    uint32_t most;

    rig_open(&rig, 1);
    most = session_rows_max(rig.session, TABLE);
    ck_assert_uint_eq(most, WIRE_PAYLOAD_BYTES_MAX / (D * sizeof(float)));
    push = push_of(keys, gradients, SOME + 1);
    ck_assert_int_eq(session_push_rows(rig.session, &push, &error), CAIRN_INVALID);
    push = push_of(keys, NULL, SOME);
    ck_assert_int_eq(session_push_rows(rig.session, &push, &error), CAIRN_INVALID);
    push = push_of(NULL, gradients, SOME);
    ck_assert_int_eq(session_push_rows(rig.session, &push, &error), CAIRN_INVALID);
    push = push_of(keys, gradients, SOME);
    push.table = DENSE;
    ck_assert_int_eq(session_push_rows(rig.session, &push, &error), CAIRN_INVALID);
    push.table = TABLES;
    ck_assert_int_eq(session_push_rows(rig.session, &push, &error), CAIRN_INVALID);
    push = push_of(keys, gradients, SOME);
    push.node.end = 2;
    ck_assert_int_eq(session_push_rows(rig.session, &push, &error), CAIRN_INVALID);
    push = push_of(buffer_new((most + 1) * sizeof(uint64_t)), buffer_new((most + 1) * D * sizeof(float)),
                   most + 1);
    memset(push.keys->data, 0, push.keys->length_bytes);
    ck_assert_int_eq(session_push_rows(rig.session, &push, &error), CAIRN_INVALID);
    ck_assert_ptr_nonnull(strstr(error.message, "allowed: "));
    buffer_unref(push.keys);
    buffer_unref(push.gradients);
    ck_assert_int_eq(session_pull_rows(rig.session, TABLE, 5, keys, SOME + 1, values[0], &operation, &error),
                     CAIRN_INVALID);
    ck_assert_int_eq(session_pull_rows(rig.session, TABLE, 5, keys, 0, values[0], &operation, &error),
                     CAIRN_INVALID);
    ck_assert_int_eq(session_pull_rows(rig.session, TABLE, 5, keys, SOME, NULL, &operation, &error),
                     CAIRN_INVALID);
    ck_assert_int_eq(session_pull_rows(rig.session, TABLE, 5, keys, SOME, values[0], NULL, &error),
                     CAIRN_INVALID);
    ck_assert_int_eq(
        session_pull_rows(rig.session, TABLE, UINT64_MAX - 1, keys, SOME, values[0], &operation, &error),
        CAIRN_INVALID);
    ck_assert_int_eq(session_pull_rows(rig.session, DENSE, 5, keys, SOME, values[0], &operation, &error),
                     CAIRN_INVALID);
    ck_assert_int_eq(session_pull(rig.session,
                                  &(struct session_pull){.table = TABLE, .version = 5, .chunk_count = 1},
                                  &error),
                     CAIRN_INVALID);
    /* The shard's first message is the one that is right. */
    ck_assert_int_eq(session_pull_rows(rig.session, TABLE, 5, keys, SOME, values[0], &operation, &error),
                     CAIRN_OK);
    ck_assert_int_eq(arrive(&rig, 0)->kind, DATA_PULL);
    answer_rows(&rig, 0);
    poll_until_done(&rig, 1);
    check_values(values[0], some_keys, SOME);
    rig_close(&rig);
    buffer_unref(keys);
    buffer_unref(gradients);
}
END_TEST

typedef void spoil(struct data_header *header, size_t *bytes);

static void another_request(struct data_header *header, size_t *bytes)
{
    (void)bytes;
    header->request++;
}
static void an_older_request(struct data_header *header, size_t *bytes)
{
    (void)bytes;
    header->request -= 1 << 20; /* of the same place */
}
static void no_request(struct data_header *header, size_t *bytes)
{
    (void)bytes;
    header->request = 0;
}
static void a_request_far_off(struct data_header *header, size_t *bytes)
{
    (void)bytes;
    header->request = UINT64_MAX;
}
static void another_table(struct data_header *header, size_t *bytes)
{
    (void)bytes;
    header->table = DENSE;
}
static void another_job(struct data_header *header, size_t *bytes)
{
    (void)bytes;
    header->job++;
}
static void a_row_less(struct data_header *header, size_t *bytes)
{
    *bytes -= D * sizeof(float);
    header->payloads[0].length_bytes = *bytes;
}
static void a_frame_shorter_than_said(struct data_header *header, size_t *bytes)
{
    (void)header;
    *bytes -= sizeof(float);
}
static void another_type(struct data_header *header, size_t *bytes)
{
    (void)bytes;
    header->payloads[0].type = DATA_FLOAT64;
}
static void two_payloads(struct data_header *header, size_t *bytes)
{
    (void)bytes;
    header->payload_count = 2;
    header->payloads[1] = header->payloads[0];
}
static void no_rows(struct data_header *header, size_t *bytes)
{
    *bytes = 0;
    header->kind = DATA_APPLIED;
    header->payloads[0].length_bytes = 0;
}

static spoil *const spoils[] = {
    another_request, an_older_request,          no_request,   a_request_far_off, another_table, another_job,
    a_row_less,      a_frame_shorter_than_said, another_type, two_payloads,      no_rows,
};
#define SPOILS ((int)(sizeof(spoils) / sizeof(spoils[0])))

static enum status poll_once(struct rig *rig, struct error *error)
{
    size_t count;

    ck_assert(has_input(session_sockets(rig->session, &count)[0], PATIENCE_MS));
    return session_poll(rig->session, error);
}

START_TEST(answers_that_do_not_fit_are_refused)
{
    struct buffer *keys = keys_of(some_keys, SOME);
    float rows[SOME + 1][D] = {{0}}, values[SOME][D] = {{0}};
    size_t bytes = SOME * D * sizeof(float);
    struct rig rig;
    struct session_operation operation = {.done = on_done, .context = &rig};
    struct data_header header;
    struct error error = {.message = ""};

    rig_open(&rig, 1);
    ck_assert_int_eq(session_pull_rows(rig.session, TABLE, 5, keys, SOME, values[0], &operation, NULL),
                     CAIRN_OK);
    arrive(&rig, 0);
    header = answer_header(&rig, DATA_VALUES, bytes);
    rows[0][0] = 13;
    spoils[_i](&header, &bytes);
    answer(&rig, 0, &header, rows[0], bytes);
    ck_assert_int_eq(poll_once(&rig, &error), CAIRN_PROTOCOL);
    ck_assert(rig.done == 0 && rig.array_calls == 0 && values[0][0] == 0);
    /* The session goes on. */
    answer_rows(&rig, 0);
    poll_until_done(&rig, 1);
    check_values(values[0], some_keys, SOME);
    /* A second answer to the same request is one too many. */
    answer_rows(&rig, 0);
    ck_assert_int_eq(poll_once(&rig, &error), CAIRN_PROTOCOL);
    ck_assert_uint_eq(rig.done, 1);
    rig_close(&rig);
    buffer_unref(keys);
}
END_TEST

START_TEST(rows_nobody_asked_for_are_refused)
{
    const float row[D] = {1};
    struct rig rig;
    struct session_operation operation = {.done = on_done, .context = &rig};
    struct session_rows_push push = push_of(NULL, NULL, 0);
    struct data_header header;

    push.operation = &operation;
    rig_open(&rig, 1);
    ck_assert_int_eq(session_push_rows(rig.session, &push, NULL), CAIRN_OK);
    arrive(&rig, 0);
    header = answer_header(&rig, DATA_VALUES, sizeof(row));
    answer(&rig, 0, &header, row, sizeof(row));
    ck_assert_int_eq(poll_once(&rig, NULL), CAIRN_PROTOCOL);
    answer_applied(&rig, 0);
    poll_until_done(&rig, 1);
    rig_close(&rig);
}
END_TEST

START_TEST(another_shard_cannot_answer)
{
    struct rig rig;
    struct session_operation operation = {.done = on_done, .context = &rig};
    struct session_rows_push push = push_of(NULL, NULL, 0);
    uint64_t first;
    size_t count;

    push.operation = &operation;
    rig_open(&rig, 2);
    ck_assert_int_eq(session_push_rows(rig.session, &push, NULL), CAIRN_OK);
    first = arrive(&rig, 0)->request;
    arrive(&rig, 1);
    rig.header.request = first;
    answer_applied(&rig, 1);
    ck_assert(has_input(session_sockets(rig.session, &count)[1], PATIENCE_MS));
    ck_assert_int_eq(session_poll(rig.session, NULL), CAIRN_PROTOCOL);
    ck_assert_uint_eq(rig.done, 0);
    rig_close(&rig);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("session_rows");
    TCase *tests = tcase_create("session_rows");

    tcase_set_timeout(tests, 30);
    tcase_add_test(tests, what_one_shard_has_is_sent_in_place);
    tcase_add_test(tests, a_large_pull_goes_in_pieces_and_comes_together);
    tcase_add_loop_test(tests, each_shard_gets_the_rows_of_its_keys, 0, 2);
    tcase_add_loop_test(tests, shards_without_keys_are_told_that_there_are_none, 0, 2);
    tcase_add_test(tests, pulled_rows_land_where_their_keys_are);
    tcase_add_test(tests, many_operations_are_under_way_at_once);
    tcase_add_test(tests, a_session_may_end_before_its_operations);
    tcase_add_test(tests, what_does_not_fit_is_not_sent);
    tcase_add_loop_test(tests, answers_that_do_not_fit_are_refused, 0, SPOILS);
    tcase_add_test(tests, rows_nobody_asked_for_are_refused);
    tcase_add_test(tests, another_shard_cannot_answer);
    suite_add_tcase(suite, tests);
    return suite;
}

CHECK_MAIN(make_suite)
