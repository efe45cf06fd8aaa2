/* Tables with codecs through sessions, against shards that the test plays: what is encoded and how, which
 * answers are decoded, and what is remembered of what was not sent. */
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
#define SEED        99
#define ROWS        TABLE_FIRST_USER
#define ARRAY       (TABLE_FIRST_USER + 1)
#define TABLES      (TABLE_FIRST_USER + 2)
#define D           20
#define CHUNK       256
#define CHUNKS      3
#define FLOATS      (2 * CHUNK + 100)
#define BOUNDARY    4

struct rig {
    void *context;
    uint32_t shard_count;
    struct codec_spec codec; /* of the dense table, and of the sparse one unless it is top_k */
    void *shards[SHARDS_MAX];
    uint32_t slot_shards[SLOTS];
    struct session *session;
    struct frames arrival; /* identity, header, payloads */
    struct data_header header;
    unsigned done, chunks_come;
    float array[FLOATS]; /* what came */
};

static void on_values(void *context, uint32_t table, uint32_t chunk, uint64_t version, const void *values,
                      size_t elements)
{
    struct rig *rig = context;

    ck_assert_uint_eq(table, ARRAY);
    ck_assert_uint_eq(version, 5);
    ck_assert_uint_eq(elements, chunk + 1 < CHUNKS ? CHUNK : FLOATS % CHUNK);
    memcpy(rig->array + chunk * CHUNK, values, elements * sizeof(float));
    rig->chunks_come++;
}

static void on_done(struct session_operation *operation)
{
    ((struct rig *)operation->context)->done++;
}

static enum status rig_connect(struct rig *rig, const char *const endpoints[], struct error *error)
{
    struct session_table tables[TABLES] = {{0}};
    const struct session_events events = {.values = on_values, .context = rig};
    const struct session_params params = {.job = JOB,
                                          .incarnation = INCARNATION,
                                          .shard_count = rig->shard_count,
                                          .endpoints = endpoints,
                                          .slot_count = SLOTS,
                                          .slot_shards = rig->slot_shards,
                                          .table_count = TABLES,
                                          .tables = tables,
                                          .seed = SEED};

    placement_assign(rig->slot_shards, SLOTS, rig->shard_count);
    tables[ROWS] = session_sparse_table(D);
    tables[ARRAY] = session_dense_table(FLOATS, CHUNK, CHUNKS);
    tables[ARRAY].codec = rig->codec;
    if (rig->codec.type != CODEC_TOP_K)
        tables[ROWS].codec = rig->codec;
    return session_new(rig->context, &params, &events, &rig->session, error);
}

static void rig_open(struct rig *rig, uint32_t shard_count, struct codec_spec codec)
{
    char endpoints[SHARDS_MAX][ENDPOINT_BYTES];
    const char *endpoint_list[SHARDS_MAX];
    struct error error = {.message = ""};

    memset(rig, 0, sizeof(*rig));
    rig->context = zmq_ctx_new();
    rig->shard_count = shard_count;
    rig->codec = codec;
    for (uint32_t i = 0; i < shard_count; i++) {
        rig->shards[i] = bound_socket(rig->context, ZMQ_ROUTER, endpoints[i]);
        endpoint_list[i] = endpoints[i];
    }
    ck_assert_msg(rig_connect(rig, endpoint_list, &error) == CAIRN_OK, "%s", error.message);
    frames_init(&rig->arrival);
}

static void rig_close(struct rig *rig)
{
    frames_clear(&rig->arrival);
    session_free(rig->session);
    for (uint32_t i = 0; i < rig->shard_count; i++)
        zmq_close(rig->shards[i]);
    zmq_ctx_term(rig->context);
}

/* The codecs, by a loop test's number. */
static struct codec_spec codec_of(int number)
{
    struct codec_spec codec = codec_spec_default((enum codec_type)(number % CODEC_COUNT));

    codec.boundary = codec.type == CODEC_TOP_K ? BOUNDARY : 0;
    if (number >= CODEC_COUNT && codec.type != CODEC_FLOAT32 && codec.type != CODEC_TOP_K)
        codec.rounding = codec.rounding == CODEC_NEAREST ? CODEC_STOCHASTIC : CODEC_NEAREST;
    return codec;
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
    ck_assert_uint_eq(rig->arrival.count, 2 + wire_data_frames(&rig->header));
    return &rig->header;
}

static void answer(struct rig *rig, uint32_t shard, const struct data_header *header, const void *bytes)
{
    unsigned char packed[WIRE_HEADER_MAX];
    struct frames out;

    frames_init(&out);
    ck_assert_int_eq(frames_append_copy(&out, frames_data(&rig->arrival, 0), frames_length(&rig->arrival, 0)),
                     CAIRN_OK);
    ck_assert_int_eq(frames_append_copy(&out, packed, wire_data_pack(header, packed)), CAIRN_OK);
    ck_assert_int_eq(frames_append_copy(&out, bytes, header->payloads[0].length_bytes), CAIRN_OK);
    ck_assert_int_eq(frames_send(rig->shards[shard], &out, NULL), CAIRN_OK);
}

/* Polls until something was handed over or went wrong. */
static enum status poll_until(struct rig *rig, const unsigned *count, unsigned wanted)
{
    enum status status = CAIRN_OK;

    while (*count < wanted && status == CAIRN_OK) {
        ck_assert_int_eq(session_wait(rig->session, PATIENCE_MS, NULL), CAIRN_OK);
        status = session_poll(rig->session, NULL);
    }
    return status;
}

static struct buffer *some_floats(uint32_t count, uint32_t salt)
{
    struct buffer *buffer = buffer_new(count * sizeof(float));

    ck_assert_ptr_nonnull(buffer);
    for (uint32_t i = 0; i < count; i++)
        ((float *)buffer->data)[i] =
            (float)(int32_t)((i + 1) * 2654435761u * (salt + 1)) * (i % 50 ? 0x1p-31f : 0x1p-27f);
    return buffer;
}

/* ---- dense */

static struct session_push push_of(struct buffer *buffer, uint64_t step, uint32_t leaf)
{
    return (struct session_push){.table = ARRAY,
                                 .step = step,
                                 .node = {leaf, leaf + 1},
                                 .samples = 3,
                                 .chunk_count = CHUNKS,
                                 .buffer = buffer};
}

static size_t chunk_floats(uint32_t chunk)
{
    return chunk + 1 < CHUNKS ? CHUNK : FLOATS % CHUNK;
}

/* A chunk's gradients as a shard gets them. residual: before, and after; NULL: none. */
static void check_chunk(struct rig *rig, uint32_t index, uint64_t step, uint32_t leaf, const float *gradients,
                        float *residual)
{
    const struct data_payload *payload = &rig->header.payloads[index];
    struct codec_node node =
        codec_node_for(&rig->codec, SEED, ARRAY, step, (struct tree_node){leaf, leaf + 1});
    size_t count = chunk_floats(payload->chunk), at = (size_t)payload->chunk * CHUNK;
    float expected[CHUNK], come[CHUNK];

    node.array = payload->chunk;
    memcpy(expected, gradients + at, count * sizeof(float));
    codec_round(&node, expected, residual ? residual + at : NULL, count);
    if (rig->codec.type == CODEC_FLOAT32) {
        ck_assert_int_eq(payload->type, DATA_FLOAT32);
        memcpy(come, frames_data(&rig->arrival, 2 + index), count * sizeof(float));
    } else {
        ck_assert_int_eq(payload->type, DATA_CODED);
        ck_assert_uint_le(payload->length_bytes, codec_size_max(&rig->codec, count));
        ck_assert_int_eq(codec_decode(&rig->codec, frames_data(&rig->arrival, 2 + index),
                                      payload->length_bytes, come, count, NULL),
                         CAIRN_OK);
    }
    ck_assert_mem_eq(come, expected, count * sizeof(float));
}

START_TEST(a_microbatch_is_rounded_and_encoded)
{
    struct buffer *buffer = some_floats(FLOATS, 0);
    float *residual = calloc(FLOATS, sizeof(float));
    struct session_push push = push_of(buffer, 0, 2);
    uint32_t chunks = 0;
    struct rig rig;

    rig_open(&rig, SHARDS_MAX, codec_of(_i));
    ck_assert_int_eq(session_push(rig.session, &push, NULL), CAIRN_OK);
    if (rig.codec.type != CODEC_FLOAT32)
        ck_assert(buffer_is_exclusive(buffer));
    for (uint32_t shard = 0; shard < SHARDS_MAX; shard++) {
        arrive(&rig, shard);
        for (uint32_t i = 0; i < rig.header.payload_count; i++, chunks++)
            check_chunk(&rig, i, 0, 2, buffer->data, rig.codec.type == CODEC_TOP_K ? residual : NULL);
    }
    ck_assert_uint_eq(chunks, CHUNKS);
    rig_close(&rig);
    free(residual);
    buffer_unref(buffer);
}
END_TEST

START_TEST(several_microbatches_are_refused_unless_they_have_nothing)
{
    struct buffer *buffer = some_floats(FLOATS, 0);
    struct session_push push = push_of(buffer, 0, 0);
    struct error error;
    struct rig rig;

    push.node.end = 2;
    rig_open(&rig, 1, codec_of(_i));
    ck_assert_int_eq(session_push(rig.session, &push, &error), CAIRN_INVALID);
    ck_assert_ptr_nonnull(strstr(error.message, "one by one"));
    push.buffer = NULL;
    ck_assert_int_eq(session_push(rig.session, &push, NULL),
                     rig.codec.type == CODEC_TOP_K ? CAIRN_INVALID : CAIRN_OK);
    push.node.end = 1; /* what comes first is the first that was taken */
    ck_assert_int_eq(session_push(rig.session, &push, NULL), CAIRN_OK);
    arrive(&rig, 0);
    ck_assert_uint_eq(rig.header.payload_count, CHUNKS);
    ck_assert_uint_eq(wire_data_frames(&rig.header), 0);
    ck_assert_uint_eq(rig.header.node.end, rig.codec.type == CODEC_TOP_K ? 1 : 2);
    ck_assert_int_eq(rig.header.payloads[0].type, DATA_CODED);
    rig_close(&rig);
    buffer_unref(buffer);
}
END_TEST

/* A worker's lanes round and fold by the codec themselves; top_k's residuals are the session's. */
static struct buffer *folded(const struct rig *rig, uint64_t step)
{
    struct buffer *left = some_floats(FLOATS, 1), *right = some_floats(FLOATS, 2);

    for (uint32_t chunk = 0; chunk < CHUNKS; chunk++) {
        float *halves[] = {(float *)left->data + chunk * CHUNK, (float *)right->data + chunk * CHUNK};
        struct codec_node node;

        for (uint32_t leaf = 0; leaf < 2; leaf++) {
            node = codec_node_for(&rig->codec, SEED, ARRAY, step, (struct tree_node){leaf, leaf + 1});
            node.array = chunk;
            codec_round(&node, halves[leaf], NULL, chunk_floats(chunk));
        }
        node = codec_node_for(&rig->codec, SEED, ARRAY, step, (struct tree_node){0, 2});
        node.array = chunk;
        codec_fold(&node, halves[0], halves[1], chunk_floats(chunk));
    }
    buffer_unref(right);
    return left;
}

START_TEST(sums_that_are_rounded_travel_as_they_are)
{
    struct session_push push = push_of(NULL, 1, 0);
    float come[CHUNK];
    struct error error;
    struct rig rig;

    rig_open(&rig, 1, codec_of(_i));
    push.buffer = folded(&rig, 1);
    push.node.end = 2;
    push.is_rounded = push.subscribe = push.exact = true;
    if (rig.codec.type == CODEC_TOP_K) {
        ck_assert_int_eq(session_push(rig.session, &push, &error), CAIRN_INVALID);
        ck_assert_ptr_nonnull(strstr(error.message, "rounded before"));
    } else {
        ck_assert_int_eq(session_push(rig.session, &push, NULL), CAIRN_OK);
        arrive(&rig, 0);
        ck_assert(rig.header.subscribe && rig.header.exact);
        ck_assert_uint_eq(rig.header.node.end, 2);
        ck_assert_uint_eq(rig.header.payload_count, CHUNKS);
        for (uint32_t i = 0; i < CHUNKS; i++) {
            const struct data_payload *payload = &rig.header.payloads[i];
            size_t count = chunk_floats(payload->chunk);

            ck_assert_int_eq(codec_decode(&rig.codec, frames_data(&rig.arrival, 2 + i), payload->length_bytes,
                                          come, count, NULL),
                             CAIRN_OK);
            ck_assert_mem_eq(come, (float *)push.buffer->data + payload->chunk * CHUNK,
                             count * sizeof(float));
        }
    }
    rig_close(&rig);
    buffer_unref(push.buffer);
}
END_TEST

static struct data_header values_header(const struct rig *rig, uint32_t table, enum data_type type,
                                        size_t bytes)
{
    struct data_header header = {.kind = DATA_VALUES,
                                 .job = JOB,
                                 .incarnation = INCARNATION,
                                 .table = table,
                                 .step = 5,
                                 .request = rig->header.request,
                                 .payload_count = 1};

    header.payloads[0] = (struct data_payload){0, type, bytes};
    return header;
}

static enum data_type value_type(const struct rig *rig)
{
    return codec_carries_values(rig->codec.type) ? DATA_CODED : DATA_FLOAT32;
}

/* Values as they travel; returns their bytes. */
static size_t encode_values(const struct rig *rig, const float *values, size_t count, unsigned char *bytes)
{
    if (value_type(rig) == DATA_CODED)
        return codec_encode(&rig->codec, values, count, bytes);
    memcpy(bytes, values, count * sizeof(float));
    return count * sizeof(float);
}

static const struct session_pull pull_of_first = {.table = ARRAY, .version = 5, .chunk_count = 1};

START_TEST(values_are_decoded)
{
    struct buffer *buffer = some_floats(CHUNK, 3);
    unsigned char bytes[CHUNK * sizeof(float)];
    float expected[CHUNK];
    struct data_header header;
    size_t length;
    struct rig rig;

    rig_open(&rig, 1, codec_of(_i));
    ck_assert_int_eq(session_pull(rig.session, &pull_of_first, NULL), CAIRN_OK);
    ck_assert_int_eq(arrive(&rig, 0)->payloads[0].type, value_type(&rig));
    length = encode_values(&rig, buffer->data, CHUNK, bytes);
    header = values_header(&rig, ARRAY, value_type(&rig), length);
    answer(&rig, 0, &header, bytes);
    ck_assert_int_eq(poll_until(&rig, &rig.chunks_come, 1), CAIRN_OK);
    memcpy(expected, buffer->data, sizeof(expected));
    if (value_type(&rig) == DATA_CODED)
        ck_assert_int_eq(codec_decode(&rig.codec, bytes, length, expected, CHUNK, NULL), CAIRN_OK);
    ck_assert_mem_eq(rig.array, expected, sizeof(expected));
    header = values_header(&rig, ARRAY, DATA_FLOAT32, sizeof(expected)); /* as from disk */
    answer(&rig, 0, &header, buffer->data);
    ck_assert_int_eq(poll_until(&rig, &rig.chunks_come, 2), CAIRN_OK);
    ck_assert_mem_eq(rig.array, buffer->data, sizeof(expected));
    rig_close(&rig);
    buffer_unref(buffer);
}
END_TEST

START_TEST(values_that_do_not_fit_are_not_believed)
{
    unsigned char bytes[(CHUNK + 1) * sizeof(float)] = {0};
    const struct codec_spec codec = codec_spec_default((enum codec_type)_i);
    const bool coded = codec_carries_values(codec.type);
    const struct {
        enum data_type type;
        size_t bytes;
    } wrong[] = {{DATA_CODED, coded ? CHUNK * 2 - 1 : CHUNK * 2},
                 {DATA_CODED, coded ? CHUNK * 2 + 1 : CHUNK},
                 {DATA_FLOAT32, CHUNK * 2},
                 {DATA_FLOAT64, CHUNK * 4}};

    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct data_header header;
        struct rig rig;

        rig_open(&rig, 1, codec);
        ck_assert_int_eq(session_pull(rig.session, &pull_of_first, NULL), CAIRN_OK);
        arrive(&rig, 0);
        header = values_header(&rig, ARRAY, wrong[i].type, wrong[i].bytes);
        answer(&rig, 0, &header, bytes);
        ck_assert_int_eq(poll_until(&rig, &rig.chunks_come, 1), CAIRN_PROTOCOL);
        rig_close(&rig);
    }
}
END_TEST

/* ---- rows */

static const uint64_t keys[] = {8, 3, 1000, 3, 77, 0, 8, 5, 123456, 12, 3};
#define KEYS ((uint32_t)(sizeof(keys) / sizeof(keys[0])))

static struct buffer *some_keys(void)
{
    struct buffer *buffer = buffer_new(sizeof(keys));

    ck_assert_ptr_nonnull(buffer);
    memcpy(buffer->data, keys, sizeof(keys));
    return buffer;
}

static uint32_t arrived_keys(struct rig *rig, uint64_t come[KEYS])
{
    uint32_t count = (uint32_t)(frames_length(&rig->arrival, 2) / sizeof(uint64_t));

    ck_assert_uint_le(count, KEYS);
    memcpy(come, frames_data(&rig->arrival, 2), count * sizeof(uint64_t));
    return count;
}

/* The rows in hand are the next of each key's, rounded by themselves; next: [KEYS]: of the rows, which came.
 */
static void check_rows(struct rig *rig, const float *gradients, bool came[KEYS])
{
    const struct data_payload *payload = &rig->header.payloads[1];
    struct codec_node node = codec_node_for(&rig->codec, SEED, ROWS, 4, (struct tree_node){2, 3});
    size_t row_bytes = codec_size_max(&rig->codec, D);
    uint64_t come[KEYS];
    uint32_t count = arrived_keys(rig, come), at;

    ck_assert_int_eq(payload->type, rig->codec.type == CODEC_FLOAT32 ? DATA_FLOAT32 : DATA_CODED);
    ck_assert_uint_eq(payload->length_bytes, count * row_bytes);
    for (uint32_t i = 0; i < count; i++) {
        const unsigned char *bytes = frames_data(&rig->arrival, 3);
        float expected[D], row[D];

        for (at = 0; keys[at] != come[i] || came[at]; at++)
            ck_assert_uint_lt(at + 1, KEYS);
        came[at] = true;
        memcpy(expected, gradients + (size_t)at * D, sizeof(expected));
        node.array = come[i];
        codec_round(&node, expected, NULL, D);
        ck_assert_int_eq(codec_decode(&rig->codec, bytes + i * row_bytes, row_bytes, row, D, NULL), CAIRN_OK);
        ck_assert_mem_eq(row, expected, sizeof(row));
    }
}

static void rows_are_encoded(struct codec_spec codec, uint32_t shards)
{
    struct buffer *key_buffer = some_keys(), *gradients = some_floats(KEYS * D, 1);
    const struct session_rows_push push = {.table = ROWS,
                                           .step = 4,
                                           .node = {2, 3},
                                           .samples = 24,
                                           .count = KEYS,
                                           .keys = key_buffer,
                                           .gradients = gradients};
    bool came[KEYS] = {false};
    struct rig rig;

    rig_open(&rig, shards, codec);
    ck_assert_int_eq(session_push_rows(rig.session, &push, NULL), CAIRN_OK);
    for (uint32_t shard = 0; shard < shards; shard++) {
        arrive(&rig, shard);
        if (rig.header.payload_count > 0)
            check_rows(&rig, gradients->data, came);
    }
    for (uint32_t i = 0; i < KEYS; i++)
        ck_assert(came[i]);
    rig_close(&rig);
    buffer_unref(key_buffer);
    buffer_unref(gradients);
}

START_TEST(each_row_is_encoded_by_itself)
{
    if (codec_of(_i).type == CODEC_TOP_K)
        return;
    rows_are_encoded(codec_of(_i), 1);
    rows_are_encoded(codec_of(_i), SHARDS_MAX);
}
END_TEST

/* The row of a key, as a shard has it. */
static void row_of(uint64_t key, float row[D])
{
    for (int i = 0; i < D; i++)
        row[i] = (float)key + (float)i / 7;
}

static void rows_are_decoded(struct codec_spec codec, uint32_t shards)
{
    struct buffer *key_buffer = some_keys();
    float values[KEYS][D], rows[KEYS][D], row[D];
    unsigned char bytes[sizeof(rows)];
    struct rig rig;
    struct session_operation operation = {.done = on_done, .context = &rig};

    rig_open(&rig, shards, codec);
    ck_assert_int_eq(session_pull_rows(rig.session, ROWS, 5, key_buffer, KEYS, values[0], &operation, NULL),
                     CAIRN_OK);
    for (uint32_t shard = 0; shard < shards; shard++) {
        struct data_header header;
        uint64_t come[KEYS];
        uint32_t count;

        arrive(&rig, shard);
        count = arrived_keys(&rig, come);
        for (uint32_t i = 0; i < count; i++)
            row_of(come[i], rows[i]);
        header = values_header(&rig, ROWS, value_type(&rig), encode_values(&rig, rows[0], count * D, bytes));
        answer(&rig, shard, &header, bytes);
    }
    ck_assert_int_eq(poll_until(&rig, &rig.done, 1), CAIRN_OK);
    for (uint32_t i = 0; i < KEYS; i++) {
        row_of(keys[i], row);
        if (value_type(&rig) == DATA_CODED)
            ck_assert_int_eq(codec_decode(&codec, bytes, codec_encode(&codec, row, D, bytes), row, D, NULL),
                             CAIRN_OK);
        ck_assert_mem_eq(values[i], row, sizeof(row));
    }
    rig_close(&rig);
    buffer_unref(key_buffer);
}

START_TEST(rows_come_to_their_places)
{
    if (codec_of(_i).type == CODEC_TOP_K)
        return;
    rows_are_decoded(codec_of(_i), 1);
    rows_are_decoded(codec_of(_i), SHARDS_MAX);
}
END_TEST

/* ---- what was not sent */

/* Pushes steps of a microbatch; each brings what earlier ones did not send, and the one that makes a version
 * divisible by the boundary brings all. */
START_TEST(what_was_not_sent_is_sent_later)
{
    float *residual = calloc(FLOATS, sizeof(float)), *sum = calloc(FLOATS, sizeof(float));
    struct rig rig;

    rig_open(&rig, 1, codec_of(CODEC_TOP_K));
    for (uint64_t step = 0; step < 2 * BOUNDARY; step++) {
        struct buffer *buffer = some_floats(FLOATS, (uint32_t)step);
        struct session_push push = push_of(buffer, step, 1);

        ck_assert_int_eq(session_push(rig.session, &push, NULL), CAIRN_OK);
        arrive(&rig, 0);
        ck_assert_uint_eq(rig.header.payload_count, CHUNKS);
        for (uint32_t i = 0; i < CHUNKS && (step + 1) % BOUNDARY != 0; i++)
            check_chunk(&rig, i, step, 1, buffer->data, residual);
        for (uint32_t i = 0; i < CHUNKS && (step + 1) % BOUNDARY == 0; i++) {
            uint32_t chunk = rig.header.payloads[i].chunk;

            ck_assert_int_eq(rig.header.payloads[i].type, DATA_FLOAT32);
            for (size_t j = chunk * CHUNK; j < chunk * CHUNK + chunk_floats(chunk); j++) {
                sum[j] = ((float *)buffer->data)[j] + residual[j];
                residual[j] = 0;
            }
            ck_assert_mem_eq(frames_data(&rig.arrival, 2 + i), sum + chunk * CHUNK,
                             chunk_floats(chunk) * sizeof(float));
        }
        buffer_unref(buffer);
    }
    rig_close(&rig);
    free(residual);
    free(sum);
}
END_TEST

static enum status push_step(struct rig *rig, struct buffer *buffer, uint64_t step, uint32_t leaf)
{
    const struct session_push push = push_of(buffer, step, leaf);

    return session_push(rig->session, &push, NULL);
}

START_TEST(a_microbatch_changes_hands_only_when_all_was_sent)
{
    struct buffer *buffer = some_floats(FLOATS, 0);
    struct rig rig;

    rig_open(&rig, 1, codec_of(CODEC_TOP_K));
    ck_assert_int_eq(push_step(&rig, buffer, 1, 0), CAIRN_INVALID); /* who had step 0? */
    ck_assert_int_eq(push_step(&rig, buffer, BOUNDARY - 1, 0), CAIRN_INVALID);
    ck_assert_int_eq(push_step(&rig, NULL, 2, 0), CAIRN_INVALID);
    ck_assert_int_eq(push_step(&rig, buffer, BOUNDARY, 0), CAIRN_OK);
    ck_assert_int_eq(push_step(&rig, buffer, BOUNDARY, 0), CAIRN_OK); /* nothing came into it */
    ck_assert_int_eq(push_step(&rig, buffer, BOUNDARY + 1, 0), CAIRN_OK);
    ck_assert_int_eq(push_step(&rig, buffer, BOUNDARY + 1, 0), CAIRN_INVALID);
    ck_assert_int_eq(push_step(&rig, buffer, BOUNDARY + 1, 1), CAIRN_INVALID);
    ck_assert_int_eq(push_step(&rig, NULL, BOUNDARY + 2, 0), CAIRN_OK);
    ck_assert_int_eq(push_step(&rig, buffer, BOUNDARY + 3, 0), CAIRN_OK);
    ck_assert_int_eq(push_step(&rig, buffer, BOUNDARY + 3, 0), CAIRN_OK); /* it sends all, again */
    ck_assert_int_eq(push_step(&rig, buffer, BOUNDARY + 5, 0), CAIRN_INVALID);
    ck_assert_int_eq(push_step(&rig, buffer, 2 * BOUNDARY, 7), CAIRN_OK);
    rig_close(&rig);
    buffer_unref(buffer);
}
END_TEST

/* In a step that sends all, who has no gradients sends what was left. */
START_TEST(what_is_left_is_sent_without_gradients)
{
    struct buffer *buffer = some_floats(FLOATS, 0);
    float *residual = calloc(FLOATS, sizeof(float));
    struct rig rig;

    rig_open(&rig, 1, codec_of(CODEC_TOP_K));
    ck_assert_int_eq(push_step(&rig, buffer, BOUNDARY - 4, 0), CAIRN_OK);
    for (uint64_t step = BOUNDARY - 3; step < BOUNDARY; step++)
        ck_assert_int_eq(push_step(&rig, NULL, step, 0), CAIRN_OK);
    arrive(&rig, 0);
    for (uint32_t i = 0; i < CHUNKS; i++)
        check_chunk(&rig, i, 0, 0, buffer->data, residual);
    for (uint64_t step = BOUNDARY - 3; step < BOUNDARY; step++)
        ck_assert_uint_eq(wire_data_frames(arrive(&rig, 0)), step + 1 == BOUNDARY ? CHUNKS : 0);
    for (uint32_t i = 0; i < CHUNKS; i++) {
        uint32_t chunk = rig.header.payloads[i].chunk;

        ck_assert_mem_eq(frames_data(&rig.arrival, 2 + i), residual + chunk * CHUNK,
                         chunk_floats(chunk) * sizeof(float));
    }
    rig_close(&rig);
    free(residual);
    buffer_unref(buffer);
}
END_TEST

START_TEST(codecs_that_a_table_cannot_have_are_refused)
{
    const char *const endpoints[] = {"inproc://nowhere"};
    const struct codec_spec sparse_top_k = codec_spec_default(CODEC_TOP_K);
    const struct codec_spec no_block = {.type = CODEC_INT8};
    struct rig rig = {.context = zmq_ctx_new(), .shard_count = 1, .codec = no_block};
    struct session_table table = session_sparse_table(D);
    const struct session_events events = {.values = on_values};
    const struct session_params params = {.shard_count = 1,
                                          .endpoints = endpoints,
                                          .slot_count = SLOTS,
                                          .slot_shards = rig.slot_shards,
                                          .table_count = 1,
                                          .tables = &table};

    ck_assert_int_eq(rig_connect(&rig, endpoints, NULL), CAIRN_INVALID);
    memset(rig.slot_shards, 0, sizeof(rig.slot_shards));
    table.codec = sparse_top_k;
    ck_assert_int_eq(session_new(rig.context, &params, &events, &rig.session, NULL), CAIRN_INVALID);
    zmq_ctx_term(rig.context);
}
END_TEST

static Suite *session_codecs_suite(void)
{
    Suite *suite = suite_create("session_codecs");
    TCase *dense = tcase_create("dense"), *rows = tcase_create("rows"),
          *residuals = tcase_create("residuals");

    tcase_add_loop_test(dense, a_microbatch_is_rounded_and_encoded, 0, 2 * CODEC_COUNT);
    tcase_add_loop_test(dense, several_microbatches_are_refused_unless_they_have_nothing, 1, CODEC_COUNT);
    tcase_add_loop_test(dense, sums_that_are_rounded_travel_as_they_are, 0, 2 * CODEC_COUNT);
    tcase_add_loop_test(dense, values_are_decoded, 0, 2 * CODEC_COUNT);
    tcase_add_loop_test(dense, values_that_do_not_fit_are_not_believed, 0, CODEC_COUNT);
    tcase_add_test(dense, codecs_that_a_table_cannot_have_are_refused);
    tcase_add_loop_test(rows, each_row_is_encoded_by_itself, 0, 2 * CODEC_COUNT);
    tcase_add_loop_test(rows, rows_come_to_their_places, 0, 2 * CODEC_COUNT);
    tcase_add_test(residuals, what_was_not_sent_is_sent_later);
    tcase_add_test(residuals, a_microbatch_changes_hands_only_when_all_was_sent);
    tcase_add_test(residuals, what_is_left_is_sent_without_gradients);
    suite_add_tcase(suite, dense);
    suite_add_tcase(suite, rows);
    suite_add_tcase(suite, residuals);
    return suite;
}

CHECK_MAIN(session_codecs_suite)
