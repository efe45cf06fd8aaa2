/* The shards of one job with a dense and perhaps a sparse table in one codec, without sockets or threads, and
 * beside them both tables by the definition: a node's sum from its leaves, rounded by the codec's own
 * functions at each. Test code only.
 *
 * Gradients are a function of step, microbatch and element (plain_rows.h for rows). */
#ifndef CAIRN_TESTS_CODEC_RIG_H
#define CAIRN_TESTS_CODEC_RIG_H

#include "folder.h"
#include "plain_rows.h"
#include "shard.h"

#include <stdio.h>

#define CODEC_RIG_JOB          7
#define CODEC_RIG_SHARDS_MAX   3
#define CODEC_RIG_MICROBATCHES 5
#define CODEC_RIG_SAMPLES      3 /* of a microbatch */
#define CODEC_RIG_FLOATS       36000
#define CODEC_RIG_CHUNKS_MAX   8
#define CODEC_RIG_DENSE        TABLE_FIRST_USER
#define CODEC_RIG_SPARSE       (TABLE_FIRST_USER + 1)
#define CODEC_RIG_ANSWERS_MAX  64
#define CODEC_RIG_SEED         3 /* of the rows' gradients */
#define CODEC_RIG_LEFTOVERS    CODEC_RIG_MICROBATCHES

struct codec_rig;

struct codec_side {
    struct codec_rig *rig;
    uint32_t index;
};

struct codec_answer {
    struct data_header header;
    struct buffer *payloads[WIRE_PAYLOADS_MAX];
};

struct codec_rig {
    char directory[FOLDER_BYTES];
    struct assignment *assignment;
    const struct job *job;
    const struct codec_spec *codec;
    uint32_t shard_count, chunk_count;
    struct shard *shards[CODEC_RIG_SHARDS_MAX];
    struct codec_side sides[CODEC_RIG_SHARDS_MAX];
    struct codec_answer answers[CODEC_RIG_ANSWERS_MAX];
    uint32_t answer_count, prepared, committed, refused;
    struct generation *pending[CODEC_RIG_SHARDS_MAX];
    uint64_t pushed_bytes; /* of gradients, in all pushes */
    void (*on_committed)(void *context, uint32_t shard, uint64_t step); /* NULL: nobody wants to know */
    void *context;
};

/* ---- events */

static inline void codec_on_reply(void *context, struct reply *reply)
{
    struct codec_rig *rig = ((struct codec_side *)context)->rig;
    struct codec_answer *answer = &rig->answers[rig->answer_count++];
    unsigned char packed[WIRE_HEADER_MAX];

    MUST(rig->answer_count <= CODEC_RIG_ANSWERS_MAX);
    MUST(wire_data_unpack(packed, wire_data_pack(&reply->header, packed), &answer->header, NULL) == CAIRN_OK);
    for (uint32_t i = 0; i < reply->header.payload_count; i++)
        answer->payloads[i] = reply->payloads[i] ? buffer_ref(reply->payloads[i]) : NULL;
}

static inline void codec_on_report(void *context, const struct shard_report *report)
{
    struct codec_side *side = context;
    struct codec_rig *rig = side->rig;

    ck_assert_msg(report->kind != SHARD_FAILED, "%s", report->message);
    rig->prepared += report->kind == SHARD_PREPARED;
    rig->committed += report->kind == SHARD_COMMITTED;
    if (report->kind == SHARD_COMMITTED && rig->on_committed)
        rig->on_committed(rig->context, side->index, report->step);
    rig->refused += report->kind == SHARD_REFUSED;
}

static inline void codec_on_write(void *context, struct generation *generation)
{
    struct codec_side *side = context;

    MUST(!side->rig->pending[side->index]);
    side->rig->pending[side->index] = generation;
}

static inline void codec_on_part(void *context, const struct shard_message *part)
{
    (void)context, (void)part;
    ck_abort_msg("no norms are asked for");
}

static inline void codec_on_parted(void *context, uint64_t job)
{
    (void)context, (void)job;
}

/* ---- life */

static inline struct assignment *codec_assignment(uint32_t shard_count, const char *text)
{
    Cairn__PrepareCommand command = CAIRN__PREPARE_COMMAND__INIT;
    Cairn__JobText job_text = CAIRN__JOB_TEXT__INIT;
    Cairn__Shard shards[CODEC_RIG_SHARDS_MAX], *pointers[CODEC_RIG_SHARDS_MAX];
    uint32_t slots[PLACEMENT_SLOTS_MIN];
    struct assignment *assignment = NULL;
    struct error error;

    job_text.text = (char *)text;
    job_text.file_name = (char *)"codecs.yaml";
    job_text.base_directory = (char *)"/";
    for (uint32_t i = 0; i < shard_count; i++) {
        cairn__shard__init(&shards[i]);
        shards[i].server = (char *)"one";
        shards[i].index = i;
        pointers[i] = &shards[i];
    }
    placement_assign(slots, PLACEMENT_SLOTS_MIN, shard_count);
    command.job = CODEC_RIG_JOB;
    command.job_id = (char *)"codecs-7";
    command.text = &job_text;
    command.n_shards = shard_count;
    command.shards = pointers;
    command.n_slot_shards = PLACEMENT_SLOTS_MIN;
    command.slot_shards = slots;
    ck_assert_msg(assignment_new(&command, "one", shard_count, &assignment, &error) == CAIRN_OK, "%s",
                  error.message);
    return assignment;
}

static inline void codec_rig_start(struct codec_rig *rig, uint64_t incarnation, uint64_t step)
{
    rig->prepared = 0;
    for (uint32_t i = 0; i < rig->shard_count; i++) {
        const struct job_store_owner owner = {rig->directory, "one", i};
        const struct shard_events events = {codec_on_reply, codec_on_report, codec_on_write,
                                            codec_on_part,  codec_on_parted, &rig->sides[i]};

        rig->sides[i] = (struct codec_side){rig, i};
        rig->shards[i] = shard_new(&owner, 0, &events);
        ck_assert_ptr_nonnull(rig->shards[i]);
        shard_prepare(rig->shards[i], rig->assignment, incarnation, step);
    }
    ck_assert_uint_eq(rig->prepared, rig->shard_count);
}

/* What was not written is lost. */
static inline void codec_rig_stop(struct codec_rig *rig)
{
    for (uint32_t i = 0; i < rig->shard_count; i++) {
        shard_free(rig->shards[i]);
        rig->shards[i] = NULL;
        rig->pending[i] = NULL;
    }
}

/* A job at step 0 of incarnation 1. codec: as in a job file; without `rows` there is only the dense table. */
static inline struct codec_rig *codec_rig_new(uint32_t shard_count, const char *codec, bool rows,
                                              uint32_t commit_every)
{
    struct codec_rig *rig = calloc(1, sizeof(*rig));
    char sparse[256] = "", text[1024];

    ck_assert_ptr_nonnull(rig);
    if (rows)
        snprintf(sparse, sizeof(sparse), "  - sparse: {name: rows, dimension: %d, codec: %s}\n",
                 PLAIN_DIMENSION, codec);
    snprintf(text, sizeof(text),
             "name: codecs\nseed: 5\ntables:\n"
             "  - dense: {name: array, size: %d, initializer: random_uniform, codec: %s}\n%s"
             "train: {optimizer: {sgd: {learning_rate: 0.05, momentum: 0.9}}, microbatches: %d, "
             "commit_every: %u}\n",
             CODEC_RIG_FLOATS, codec, sparse, CODEC_RIG_MICROBATCHES, commit_every);
    folder_make(rig->directory);
    rig->shard_count = shard_count;
    rig->assignment = codec_assignment(shard_count, text);
    rig->job = rig->assignment->job;
    rig->codec = &rig->job->tables[0].codec;
    rig->chunk_count = table_chunk_count(&rig->job->tables[0]);
    ck_assert_uint_le(rig->chunk_count, CODEC_RIG_CHUNKS_MAX);
    ck_assert_uint_ge(rig->chunk_count, 2);
    codec_rig_start(rig, 1, 0);
    return rig;
}

static inline void codec_rig_forget(struct codec_rig *rig)
{
    for (uint32_t i = 0; i < rig->answer_count; i++) {
        for (uint32_t j = 0; j < rig->answers[i].header.payload_count; j++)
            buffer_unref(rig->answers[i].payloads[j]);
    }
    rig->answer_count = 0;
}

static inline void codec_rig_free(struct codec_rig *rig)
{
    codec_rig_stop(rig);
    codec_rig_forget(rig);
    assignment_unref(rig->assignment);
    folder_remove(rig->directory);
    free(rig);
}

/* The writer does what it was given, on all shards; the generation is then the job's. */
static inline void codec_rig_commit(struct codec_rig *rig, uint64_t incarnation, uint64_t step)
{
    rig->committed = 0;
    for (uint32_t i = 0; i < rig->shard_count; i++) {
        struct generation *generation;
        struct error error;
        enum status status;

        while (shard_work(rig->shards[i])) /* rows are captured in pieces */
            ;
        generation = rig->pending[i];
        ck_assert_ptr_nonnull(generation);
        rig->pending[i] = NULL;
        status = generation_write(generation, &error);
        ck_assert_msg(status == CAIRN_OK, "%s", error.message);
        shard_written(rig->shards[i], generation, status, &error);
    }
    ck_assert_uint_eq(rig->committed, rig->shard_count);
    for (uint32_t i = 0; i < rig->shard_count; i++)
        shard_committed(rig->shards[i], CODEC_RIG_JOB, incarnation, step);
}

/* ---- gradients */

static inline void codec_chunk(const struct codec_rig *rig, uint32_t chunk, uint64_t *begin, size_t *count)
{
    uint64_t end;

    table_chunk(&rig->job->tables[0], chunk, begin, &end);
    *count = end - *begin;
}

static inline float codec_gradient(uint64_t step, uint32_t microbatch, uint64_t element)
{
    uint64_t mixed = plain_mix(step * 1000003 + microbatch * 7919 + element * 17);

    return (float)(int32_t)(mixed >> 32) * 0x1p-31f * (mixed % 13 == 0 ? 30.0f : 1.0f);
}

static inline struct codec_node codec_rig_node(const struct codec_rig *rig, uint32_t table, uint64_t step,
                                               struct tree_node node, uint64_t array)
{
    struct codec_node at = codec_node_for(rig->codec, rig->job->seed, table, step, node);

    at.array = array;
    return at;
}

/* A chunk's sum over a node. residuals: [CODEC_RIG_MICROBATCHES][CODEC_RIG_FLOATS], NULL for codecs without;
 * as they come into the step, and unchanged. */
static inline void codec_node_sum(const struct codec_rig *rig, uint64_t step, struct tree_node node,
                                  uint32_t chunk, float (*residuals)[CODEC_RIG_FLOATS], float *sum)
{
    struct codec_node at = codec_rig_node(rig, CODEC_RIG_DENSE, step, node, chunk);
    uint32_t middle = node.begin + (node.end - node.begin) / 2;
    uint64_t begin;
    size_t count;
    float *right;

    codec_chunk(rig, chunk, &begin, &count);
    right = malloc(count * sizeof(*right));
    MUST(right);
    if (node.end - node.begin == 1) {
        for (size_t i = 0; i < count; i++) {
            sum[i] = codec_gradient(step, node.begin, begin + i);
            right[i] = residuals ? residuals[node.begin][begin + i] : 0;
            sum[i] = residuals ? sum[i] + right[i] : sum[i];
        }
        if (!codec_sends_all(rig->codec, step))
            codec_round(&at, sum, NULL, count);
    } else {
        codec_node_sum(rig, step, (struct tree_node){node.begin, middle}, chunk, residuals, sum);
        codec_node_sum(rig, step, (struct tree_node){middle, node.end}, chunk, residuals, right);
        codec_fold(&at, sum, right, count);
    }
    free(right);
}

/* Whether a node's sum has the key, and what it is. */
static inline bool codec_node_row(const struct codec_rig *rig, uint64_t step, struct tree_node node,
                                  uint32_t index, float row[PLAIN_DIMENSION])
{
    struct codec_node at = codec_rig_node(rig, CODEC_RIG_SPARSE, step, node, plain_key(index));
    struct codec_node again =
        codec_rig_node(rig, CODEC_RIG_SPARSE | UINT32_C(1) << 31, step, node,
                       plain_key(index)); /* what several rows of a key are rounded by */
    uint32_t middle = node.begin + (node.end - node.begin) / 2, seen = 0;
    float right[PLAIN_DIMENSION];
    struct plain_push push;
    bool has;

    if (node.end - node.begin > 1) {
        has = codec_node_row(rig, step, (struct tree_node){node.begin, middle}, index, row);
        if (!codec_node_row(rig, step, (struct tree_node){middle, node.end}, index, right))
            return has;
        if (has)
            codec_fold(&at, row, right, PLAIN_DIMENSION);
        else
            memcpy(row, right, sizeof(right));
        return true;
    }
    plain_gradients(CODEC_RIG_SEED, step, node.begin, &push);
    for (uint32_t i = 0; i < push.count; i++) {
        if (push.indices[i] != index)
            continue;
        codec_round(&at, push.rows[i], NULL, PLAIN_DIMENSION);
        for (int j = 0; j < PLAIN_DIMENSION; j++)
            row[j] = seen > 0 ? row[j] + push.rows[i][j] : push.rows[i][j];
        seen++;
    }
    if (seen > 1)
        codec_round(&again, row, NULL, PLAIN_DIMENSION);
    return seen > 0;
}

/* ---- both tables by the definition */

struct codec_plain {
    uint64_t version;
    float array[CODEC_RIG_FLOATS], velocity[CODEC_RIG_FLOATS];
    float rows[PLAIN_KEYS][2 * PLAIN_DIMENSION];            /* weights, velocity */
    float residuals[CODEC_RIG_LEFTOVERS][CODEC_RIG_FLOATS]; /* of top_k, as they come into step `version` */
};

static inline struct codec_plain *codec_plain_new(const struct codec_rig *rig)
{
    struct codec_plain *plain = calloc(1, sizeof(*plain));
    struct table_initial initial;

    ck_assert_ptr_nonnull(plain);
    table_initial_init(&initial, &rig->job->tables[0], CODEC_RIG_DENSE, rig->job->seed);
    table_initial_values(&initial, 0, CODEC_RIG_FLOATS, plain->array);
    if (rig->job->table_count == 1)
        return plain;
    table_initial_init(&initial, &rig->job->tables[1], CODEC_RIG_SPARSE, rig->job->seed);
    for (uint32_t i = 0; i < PLAIN_KEYS; i++)
        table_initial_row(&initial, plain_key(i), plain->rows[i]);
    return plain;
}

static inline bool codec_has_residuals(const struct codec_rig *rig)
{
    return rig->codec->type == CODEC_TOP_K;
}

static inline void codec_apply(const struct codec_rig *rig, uint64_t version, const float *sums, size_t count,
                               float *weights, float *velocity)
{
    struct optimizer_step step;
    const struct optimizer_update update = {.sums = sums,
                                            .samples = CODEC_RIG_MICROBATCHES * CODEC_RIG_SAMPLES,
                                            .scale = 1,
                                            .trust = 1,
                                            .weights = weights,
                                            .next_weights = weights,
                                            .slots = {velocity},
                                            .next_slots = {velocity},
                                            .count = count};

    optimizer_prepare(&rig->job->tables[0].optimizer, version + 1, &step);
    optimizer_apply(&step, &update);
}

/* What the leaves of the step leave behind. */
static inline void codec_plain_residuals(const struct codec_rig *rig, struct codec_plain *plain)
{
    for (uint32_t leaf = 0; leaf < CODEC_RIG_MICROBATCHES; leaf++) {
        for (uint32_t chunk = 0; chunk < rig->chunk_count; chunk++) {
            const struct tree_node node = {leaf, leaf + 1};
            float sent[CODEC_RIG_FLOATS];
            uint64_t begin;
            size_t count;

            codec_chunk(rig, chunk, &begin, &count);
            codec_node_sum(rig, plain->version, node, chunk, plain->residuals, sent);
            for (size_t i = 0; i < count; i++) {
                float *residual = &plain->residuals[leaf][begin + i];

                *residual = codec_gradient(plain->version, leaf, begin + i) + *residual - sent[i];
            }
        }
    }
}

static inline void codec_plain_step(const struct codec_rig *rig, struct codec_plain *plain)
{
    const struct tree_node root = {0, CODEC_RIG_MICROBATCHES};
    float sums[CODEC_RIG_FLOATS];

    for (uint32_t chunk = 0; chunk < rig->chunk_count; chunk++) {
        uint64_t begin;
        size_t count;

        codec_chunk(rig, chunk, &begin, &count);
        codec_node_sum(rig, plain->version, root, chunk, codec_has_residuals(rig) ? plain->residuals : NULL,
                       sums);
        codec_apply(rig, plain->version, sums, count, plain->array + begin, plain->velocity + begin);
    }
    for (uint32_t i = 0; i < PLAIN_KEYS && rig->job->table_count > 1; i++) {
        if (codec_node_row(rig, plain->version, root, i, sums))
            codec_apply(rig, plain->version, sums, PLAIN_DIMENSION, plain->rows[i],
                        plain->rows[i] + PLAIN_DIMENSION);
    }
    if (codec_has_residuals(rig))
        codec_plain_residuals(rig, plain);
    plain->version++;
}

/* ---- messages */

static inline struct data_header codec_header(enum data_kind kind, uint64_t incarnation, uint32_t table,
                                              uint64_t step)
{
    return (struct data_header){.kind = kind,
                                .job = CODEC_RIG_JOB,
                                .incarnation = incarnation,
                                .table = table,
                                .step = step,
                                .request = 9};
}

static inline void codec_send(struct codec_rig *rig, uint32_t shard, const char *client,
                              const struct data_header *header, struct buffer *const payloads[])
{
    static struct buffer *const none[WIRE_PAYLOADS_MAX];

    shard_handle(rig->shards[shard], client, strlen(client), header, payloads ? payloads : none);
}

static inline uint32_t codec_owner(const struct codec_rig *rig, uint32_t chunk)
{
    return rig->assignment->map
        ->slot_shards[placement_slot(CODEC_RIG_DENSE, chunk, rig->assignment->map->slot_count)];
}

static inline enum data_type codec_gradient_type(const struct codec_rig *rig, uint64_t step)
{
    return rig->codec->type == CODEC_FLOAT32 || codec_sends_all(rig->codec, step) ? DATA_FLOAT32 : DATA_CODED;
}

static inline enum data_type codec_value_type(const struct codec_rig *rig)
{
    return codec_carries_values(rig->codec->type) ? DATA_CODED : DATA_FLOAT32;
}

/* A chunk's sum as it travels. Owns: the caller. */
static inline struct buffer *codec_chunk_bytes(const struct codec_rig *rig, struct codec_plain *plain,
                                               struct tree_node node, uint32_t chunk)
{
    struct buffer *bytes = buffer_new(sizeof(float) * (CODEC_RIG_FLOATS + 1));
    float sum[CODEC_RIG_FLOATS];
    uint64_t begin;
    size_t count;

    MUST(bytes);
    codec_chunk(rig, chunk, &begin, &count);
    codec_node_sum(rig, plain->version, node, chunk, codec_has_residuals(rig) ? plain->residuals : NULL, sum);
    if (codec_gradient_type(rig, plain->version) == DATA_CODED) {
        bytes->length_bytes = codec_encode(rig->codec, sum, count, bytes->data);
    } else {
        bytes->length_bytes = count * sizeof(float);
        memcpy(bytes->data, sum, bytes->length_bytes);
    }
    return bytes;
}

static inline struct data_header codec_push_header(uint64_t incarnation, uint32_t table, uint64_t step,
                                                   struct tree_node node)
{
    struct data_header header = codec_header(DATA_PUSH, incarnation, table, step);

    header.node = node;
    header.samples = (uint64_t)(node.end - node.begin) * CODEC_RIG_SAMPLES;
    return header;
}

/* Pushes a node's sum of a chunk. */
static inline void codec_push_chunk(struct codec_rig *rig, struct codec_plain *plain, uint64_t incarnation,
                                    struct tree_node node, uint32_t chunk)
{
    struct data_header header = codec_push_header(incarnation, CODEC_RIG_DENSE, plain->version, node);
    struct buffer *bytes = codec_chunk_bytes(rig, plain, node, chunk);

    header.payload_count = 1;
    header.payloads[0] =
        (struct data_payload){chunk, codec_gradient_type(rig, plain->version), bytes->length_bytes};
    rig->pushed_bytes += bytes->length_bytes;
    codec_send(rig, codec_owner(rig, chunk), "a", &header, &bytes);
}

static inline bool codec_key_is_on(const struct codec_rig *rig, uint32_t shard, uint64_t key)
{
    return slot_map_heads_keys(rig->assignment->map, shard, &key, 1);
}

/* Encodes a row at the end of both buffers. */
static inline void codec_row_append(const struct codec_rig *rig, uint64_t key, const float *row,
                                    struct buffer *const payloads[2])
{
    size_t at = payloads[0]->length_bytes / sizeof(uint64_t);
    size_t row_bytes = codec_size_max(rig->codec, PLAIN_DIMENSION);

    ((uint64_t *)payloads[0]->data)[at] = key;
    payloads[0]->length_bytes += sizeof(uint64_t);
    MUST(codec_encode(rig->codec, row, PLAIN_DIMENSION,
                      (unsigned char *)payloads[1]->data + at * row_bytes) == row_bytes);
    payloads[1]->length_bytes += row_bytes;
}

/* A node's rows for a shard as they travel: a microbatch's own, with doubles, or a larger node's sums. */
static inline void codec_rows(const struct codec_rig *rig, uint64_t step, struct tree_node node,
                              uint32_t shard, struct buffer *payloads[2])
{
    struct plain_push push;
    float row[PLAIN_DIMENSION];

    payloads[0] = buffer_new((PLAIN_KEYS + PLAIN_PUSH_MAX) * sizeof(uint64_t));
    payloads[1] = buffer_new((PLAIN_KEYS + PLAIN_PUSH_MAX) * sizeof(row));
    MUST(payloads[0] && payloads[1]);
    payloads[0]->length_bytes = payloads[1]->length_bytes = 0;
    if (node.end - node.begin > 1) {
        for (uint32_t i = 0; i < PLAIN_KEYS; i++) {
            if (codec_key_is_on(rig, shard, plain_key(i)) && codec_node_row(rig, step, node, i, row))
                codec_row_append(rig, plain_key(i), row, payloads);
        }
        return;
    }
    plain_gradients(CODEC_RIG_SEED, step, node.begin, &push);
    for (uint32_t i = 0; i < push.count; i++) {
        uint64_t key = plain_key(push.indices[i]);
        struct codec_node at = codec_rig_node(rig, CODEC_RIG_SPARSE, step, node, key);

        codec_round(&at, push.rows[i], NULL, PLAIN_DIMENSION);
        if (codec_key_is_on(rig, shard, key))
            codec_row_append(rig, key, push.rows[i], payloads);
    }
}

/* Pushes a node's rows to a shard. */
static inline void codec_push_rows(struct codec_rig *rig, uint64_t incarnation, uint64_t step,
                                   struct tree_node node, uint32_t shard)
{
    struct data_header header = codec_push_header(incarnation, CODEC_RIG_SPARSE, step, node);
    struct buffer *payloads[2];

    codec_rows(rig, step, node, shard, payloads);
    if (payloads[0]->length_bytes > 0) {
        header.payload_count = 2;
        header.payloads[0] = (struct data_payload){0, DATA_UINT64, payloads[0]->length_bytes};
        header.payloads[1] =
            (struct data_payload){1, codec_gradient_type(rig, step), payloads[1]->length_bytes};
        codec_send(rig, shard, "a", &header, payloads);
        return;
    }
    buffer_unref(payloads[0]);
    buffer_unref(payloads[1]);
    codec_send(rig, shard, "a", &header, NULL);
}

/* Pushes a node to all tables. */
static inline void codec_push(struct codec_rig *rig, struct codec_plain *plain, uint64_t incarnation,
                              struct tree_node node)
{
    for (uint32_t chunk = 0; chunk < rig->chunk_count; chunk++)
        codec_push_chunk(rig, plain, incarnation, node, chunk);
    for (uint32_t shard = 0; shard < rig->shard_count && rig->job->table_count > 1; shard++)
        codec_push_rows(rig, incarnation, plain->version, node, shard);
}

/* ---- answers */

/* The only answer: one payload of values. Valid until codec_rig_forget. */
static inline const struct codec_answer *codec_expect_values(struct codec_rig *rig)
{
    const struct codec_answer *answer = &rig->answers[0];

    MUST(rig->answer_count == 1);
    ck_assert_msg(answer->header.kind == DATA_VALUES, "%s", answer->header.message);
    MUST(answer->header.payload_count == 1);
    MUST(answer->header.payloads[0].length_bytes == answer->payloads[0]->length_bytes);
    return answer;
}

static inline void codec_expect_refusal(struct codec_rig *rig, enum data_refused reason)
{
    ck_assert_uint_eq(rig->answer_count, 1);
    ck_assert_int_eq(rig->answers[0].header.kind, DATA_REFUSED);
    ck_assert_msg(rig->answers[0].header.refused == reason, "%s", rig->answers[0].header.message);
    codec_rig_forget(rig);
}

/* The answer's payload is these values, as they travel. */
static inline void codec_check_values(const struct codec_rig *rig, const struct codec_answer *answer,
                                      const float *values, size_t count)
{
    unsigned char bytes[sizeof(float) * CODEC_RIG_FLOATS];
    size_t length = count * sizeof(float);

    MUST(answer->header.payloads[0].type == codec_value_type(rig));
    if (codec_value_type(rig) == DATA_CODED) {
        length = codec_encode(rig->codec, values, count, bytes);
        MUST(length == count * sizeof(uint16_t));
    } else {
        memcpy(bytes, values, length);
    }
    MUST(answer->payloads[0]->length_bytes == length);
    MUST(memcmp(answer->payloads[0]->data, bytes, length) == 0);
}

static inline void codec_pull_chunk(struct codec_rig *rig, uint64_t incarnation, uint64_t version,
                                    uint32_t chunk)
{
    struct data_header header = codec_header(DATA_PULL, incarnation, CODEC_RIG_DENSE, version);

    header.payload_count = 1;
    header.payloads[0] = (struct data_payload){chunk, codec_value_type(rig), 0};
    codec_send(rig, codec_owner(rig, chunk), "judge", &header, NULL);
}

static inline void codec_check_rows(struct codec_rig *rig, uint64_t incarnation,
                                    const struct codec_plain *plain, uint32_t shard)
{
    struct data_header header = codec_header(DATA_PULL, incarnation, CODEC_RIG_SPARSE, plain->version);
    struct buffer *keys = buffer_new(PLAIN_KEYS * sizeof(uint64_t));
    static float rows[PLAIN_KEYS][PLAIN_DIMENSION];
    uint32_t count = 0;

    MUST(keys);
    for (uint32_t i = 0; i < PLAIN_KEYS; i++) {
        if (!codec_key_is_on(rig, shard, plain_key(i)))
            continue;
        memcpy(rows[count], plain->rows[i], sizeof(rows[0]));
        ((uint64_t *)keys->data)[count++] = plain_key(i);
    }
    keys->length_bytes = count * sizeof(uint64_t);
    header.payload_count = 1;
    header.payloads[0] = (struct data_payload){0, DATA_UINT64, keys->length_bytes};
    codec_send(rig, shard, "judge", &header, &keys);
    codec_check_values(rig, codec_expect_values(rig), rows[0], (size_t)count * PLAIN_DIMENSION);
    codec_rig_forget(rig);
}

/* All that the shards answer is what the definition says. */
static inline void codec_check_all(struct codec_rig *rig, uint64_t incarnation,
                                   const struct codec_plain *plain)
{
    codec_rig_forget(rig);
    for (uint32_t chunk = 0; chunk < rig->chunk_count; chunk++) {
        uint64_t begin;
        size_t count;

        codec_chunk(rig, chunk, &begin, &count);
        codec_pull_chunk(rig, incarnation, plain->version, chunk);
        codec_check_values(rig, codec_expect_values(rig), plain->array + begin, count);
        codec_rig_forget(rig);
    }
    for (uint32_t shard = 0; shard < rig->shard_count && rig->job->table_count > 1; shard++)
        codec_check_rows(rig, incarnation, plain, shard);
}

#endif
