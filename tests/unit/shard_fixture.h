/* A server's shards without sockets or threads: a job of four chunks, gradients that anyone can make, and a
 * plain reference of what must come out. Test code only.
 *
 * Gradients are a function of step, microbatch and element; the reference sums them by the tree's definition
 * and applies the optimizer to the whole address space at once. */
#ifndef CAIRN_TESTS_SHARD_FIXTURE_H
#define CAIRN_TESTS_SHARD_FIXTURE_H

#include "folder.h"
#include "math/exact_sum.h"
#include "must.h"
#include "optimizers/norms.h"
#include "shard.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define RIG_SHARDS       3
#define RIG_JOB          7
#define RIG_REPLIES_MAX  4096
#define RIG_REPORTS_MAX  64
#define RIG_PENDING_MAX  16
#define RIG_PARTS_MAX    64
#define RIG_BATCH        30
#define RIG_MICROBATCHES 5
#define RIG_SGD          "sgd: {learning_rate: 0.05, momentum: 0.9}"
#define RIG_ADAM         "adam: {learning_rate: 0.01}"
/* Without a slot, with slots that do not begin as zeros, and with as many as there are. */
#define RIG_OPTIMIZERS                                                                                       \
    {                                                                                                        \
        RIG_SGD, RIG_ADAM, "sgd: {weight_decay: 0.1, clipvalue: 0.5}",                                       \
            "adagrad: {learning_rate: {exponential_decay: {initial_learning_rate: 0.1, decay_steps: 3, "     \
            "decay_rate: 0.5}}}",                                                                            \
            "ftrl: {learning_rate: 0.1, l1_regularization_strength: 0.01}",                                  \
            "rmsprop: {momentum: 0.9, centered: true}"                                                       \
    }
#define RIG_OPTIMIZER_COUNT 6
/* Whose updates need norms: of all parameters, of each, and in one and in two rounds with lamb. */
#define RIG_NORM_OPTIMIZERS                                                                                  \
    {                                                                                                        \
        "sgd: {learning_rate: 0.05, momentum: 0.9, global_clipnorm: 0.5}",                                   \
            "adam: {learning_rate: 0.01, clipnorm: 0.02}",                                                   \
            "lamb: {learning_rate: 0.01, weight_decay: 0.01}",                                               \
            "lamb: {learning_rate: 0.01, global_clipnorm: 0.5}"                                              \
    }
#define RIG_NORM_OPTIMIZER_COUNT 4
#define RIG_METRICS         4 /* stop votes, losses, accuracy, samples */

static inline const char *rig_job_text(const char *optimizer, uint32_t commit_every, uint64_t seed)
{
    static char text[1024];

    snprintf(text, sizeof(text),
             "name: fixture\nseed: %llu\nmodel:\n  input_shape: [60]\n  layers:\n    - dense: {units: 800}\n"
             "    - dense: {units: 10}\n  loss: sparse_categorical_crossentropy\n  metrics: [accuracy]\n"
             "data:\n  train: {format: csv, path: train.csv}\n"
             "train: {steps: 100, batch_size: %d, microbatches: %d, optimizer: {%s}, commit_every: %u}\n",
             (unsigned long long)seed, RIG_BATCH, RIG_MICROBATCHES, optimizer, commit_every);
    return text;
}

static const struct tree_node rig_whole = {0, RIG_MICROBATCHES};

struct rig_reply {
    uint32_t shard;
    char client[16];
    struct data_header header;
    struct buffer *payloads[WIRE_PAYLOADS_MAX];
};

struct rig;

struct rig_side {
    struct rig *rig;
    uint32_t index;
};

struct rig {
    char directory[FOLDER_BYTES];
    struct assignment *assignment;
    const struct job *job;
    struct shard *shards[RIG_SHARDS];
    struct rig_side sides[RIG_SHARDS];
    struct rig_reply replies[RIG_REPLIES_MAX];
    size_t reply_count;
    struct shard_report reports[RIG_REPORTS_MAX];
    size_t report_count;
    struct rig_pending {
        uint32_t shard;
        struct generation *generation;
    } pending[RIG_PENDING_MAX]; /* with the writer */
    size_t pending_count;
    struct rig_part {
        struct data_header header;
        uint32_t to;
        struct buffer *sums;
    } parts[RIG_PARTS_MAX]; /* on their way between shards */
    size_t part_count;
};

/* ---- events */

static inline void rig_on_reply(void *context, struct reply *reply)
{
    struct rig_side *side = context;
    struct rig *rig = side->rig;
    struct rig_reply *kept = &rig->replies[rig->reply_count++];
    unsigned char packed[WIRE_HEADER_MAX];
    struct error error;

    ck_assert_uint_le(rig->reply_count, RIG_REPLIES_MAX);
    kept->shard = side->index;
    ck_assert_uint_lt(reply->client->length, sizeof(kept->client));
    memcpy(kept->client, reply->client->name, reply->client->length);
    kept->client[reply->client->length] = '\0';
    ck_assert_int_eq(wire_data_unpack(packed, wire_data_pack(&reply->header, packed), &kept->header, &error),
                     CAIRN_OK);
    for (uint32_t i = 0; i < reply->header.payload_count; i++)
        kept->payloads[i] = reply->payloads[i] ? buffer_ref(reply->payloads[i]) : NULL;
}

static inline void rig_on_report(void *context, const struct shard_report *report)
{
    struct rig *rig = ((struct rig_side *)context)->rig;

    ck_assert_uint_lt(rig->report_count, RIG_REPORTS_MAX);
    rig->reports[rig->report_count++] = *report;
}

static inline void rig_on_write(void *context, struct generation *generation)
{
    struct rig_side *side = context;
    struct rig *rig = side->rig;

    ck_assert_uint_lt(rig->pending_count, RIG_PENDING_MAX);
    rig->pending[rig->pending_count++] = (struct rig_pending){side->index, generation};
}

static inline void rig_on_part(void *context, const struct shard_message *part)
{
    struct rig *rig = ((struct rig_side *)context)->rig;

    ck_assert_uint_lt(rig->part_count, RIG_PARTS_MAX);
    rig->parts[rig->part_count++] =
        (struct rig_part){part->header, (uint32_t)strtoul(part->endpoint + strlen("shard:"), NULL, 10),
                          part->payloads[0] ? buffer_ref(part->payloads[0]) : NULL};
}

static inline void rig_on_parted(void *context, uint64_t job)
{
    (void)context, (void)job;
}

/* ---- life */

static inline struct assignment *rig_assignment(const char *text, const char *id)
{
    Cairn__PrepareCommand command = CAIRN__PREPARE_COMMAND__INIT;
    Cairn__JobText job_text = CAIRN__JOB_TEXT__INIT;
    Cairn__Shard shards[RIG_SHARDS], *pointers[RIG_SHARDS];
    char endpoints[RIG_SHARDS][16];
    uint32_t slots[PLACEMENT_SLOTS_MIN];
    struct assignment *assignment = NULL;
    struct error error;

    job_text.text = (char *)text;
    job_text.file_name = (char *)"fixture.yaml";
    job_text.base_directory = (char *)"/";
    for (uint32_t i = 0; i < RIG_SHARDS; i++) {
        cairn__shard__init(&shards[i]);
        shards[i].server = (char *)"one";
        shards[i].index = i;
        snprintf(endpoints[i], sizeof(endpoints[i]), "shard:%u", i);
        shards[i].endpoint = endpoints[i];
        pointers[i] = &shards[i];
    }
    placement_assign(slots, PLACEMENT_SLOTS_MIN, RIG_SHARDS);
    command.job = RIG_JOB;
    command.job_id = (char *)id;
    command.text = &job_text;
    command.n_shards = RIG_SHARDS;
    command.shards = pointers;
    command.n_slot_shards = PLACEMENT_SLOTS_MIN;
    command.slot_shards = slots;
    ck_assert_msg(assignment_new(&command, "one", RIG_SHARDS, &assignment, &error) == CAIRN_OK, "%s",
                  error.message);
    return assignment;
}

static inline void rig_start_shards(struct rig *rig)
{
    for (uint32_t i = 0; i < RIG_SHARDS; i++) {
        struct job_store_owner owner = {rig->directory, "one", i};
        struct shard_events events = {rig_on_reply, rig_on_report, rig_on_write,
                                      rig_on_part,  rig_on_parted, &rig->sides[i]};

        rig->sides[i] = (struct rig_side){rig, i};
        rig->shards[i] = shard_new(&owner, 0, &events);
        ck_assert_ptr_nonnull(rig->shards[i]);
    }
}

static inline void rig_stop_shards(struct rig *rig)
{
    for (uint32_t i = 0; i < RIG_SHARDS; i++) {
        shard_free(rig->shards[i]);
        rig->shards[i] = NULL;
    }
    rig->pending_count = 0;
}

static inline struct rig *rig_new(const char *optimizer, uint32_t commit_every)
{
    struct rig *rig = calloc(1, sizeof(*rig));

    ck_assert_ptr_nonnull(rig);
    folder_make(rig->directory);
    rig->assignment = rig_assignment(rig_job_text(optimizer, commit_every, 11), "fixture-7");
    rig->job = rig->assignment->job;
    ck_assert_uint_ge(rig->job->graph->chunk_count, RIG_SHARDS + 1);
    ck_assert_uint_eq(rig->job->microbatches, RIG_MICROBATCHES);
    rig_start_shards(rig);
    return rig;
}

static inline void rig_forget_replies(struct rig *rig)
{
    for (size_t i = 0; i < rig->reply_count; i++) {
        for (uint32_t j = 0; j < rig->replies[i].header.payload_count; j++)
            buffer_unref(rig->replies[i].payloads[j]);
    }
    rig->reply_count = 0;
}

static inline void rig_free(struct rig *rig)
{
    rig_stop_shards(rig);
    rig_forget_replies(rig);
    assignment_unref(rig->assignment);
    folder_remove(rig->directory);
    free(rig);
}

/* Takes the oldest report, which must be of this kind. */
static inline struct shard_report rig_expect_report(struct rig *rig, enum shard_report_kind kind)
{
    struct shard_report report;

    ck_assert_uint_gt(rig->report_count, 0);
    report = rig->reports[0];
    ck_assert_msg(report.kind == kind, "%s", report.message);
    memmove(rig->reports, rig->reports + 1, --rig->report_count * sizeof(report));
    return report;
}

static inline void rig_prepare(struct rig *rig, uint64_t incarnation, uint64_t step)
{
    for (uint32_t i = 0; i < RIG_SHARDS; i++)
        shard_prepare(rig->shards[i], rig->assignment, incarnation, step);
    for (uint32_t i = 0; i < RIG_SHARDS; i++)
        ck_assert_uint_eq(rig_expect_report(rig, SHARD_PREPARED).incarnation, incarnation);
}

/* A rig whose job is there, at step 0 of incarnation 1. */
static inline struct rig *rig_begin(const char *optimizer, uint32_t commit_every)
{
    struct rig *rig = rig_new(optimizer, commit_every);

    rig_prepare(rig, 1, 0);
    return rig;
}

/* The writer does all that it was given; returns how many generations. */
static inline size_t rig_write(struct rig *rig)
{
    size_t count = rig->pending_count;

    for (size_t i = 0; i < count; i++) {
        struct rig_pending pending = rig->pending[i];
        struct error error;
        enum status status = generation_write(pending.generation, &error);

        ck_assert_msg(status == CAIRN_OK, "%s", error.message);
        shard_written(rig->shards[pending.shard], pending.generation, status, &error);
    }
    rig->pending_count -= count;
    memmove(rig->pending, rig->pending + count, rig->pending_count * sizeof(rig->pending[0]));
    return count;
}

/* Delivers parts between shards until there are none on their way; `lost` of the first are lost. */
static inline void rig_deliver_parts(struct rig *rig, size_t lost)
{
    while (rig->part_count > 0) {
        struct rig_part part = rig->parts[0];

        memmove(rig->parts, rig->parts + 1, --rig->part_count * sizeof(part));
        if (lost > 0) {
            lost--;
            buffer_unref(part.sums);
            continue;
        }
        shard_handle(rig->shards[part.to], "a shard", 7, &part.header, &part.sums);
    }
}

/* All shards have written `step`, and the job's generation is it. */
static inline void rig_commit(struct rig *rig, uint64_t incarnation, uint64_t step)
{
    ck_assert_uint_eq(rig_write(rig), RIG_SHARDS);
    for (uint32_t i = 0; i < RIG_SHARDS; i++)
        ck_assert_uint_eq(rig_expect_report(rig, SHARD_COMMITTED).step, step);
    for (uint32_t i = 0; i < RIG_SHARDS; i++)
        shard_committed(rig->shards[i], RIG_JOB, incarnation, step);
}

/* ---- gradients and the reference */

/* What makes so many numbers that tests under sanitizers, which are not optimised, would do little else. */
#if !defined(__clang__) && (defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__))
#define RIG_BULK __attribute__((optimize("O2")))
#else
#define RIG_BULK
#endif

RIG_BULK static inline float rig_gradient(uint64_t step, uint32_t microbatch, uint64_t element)
{
    uint64_t x =
        (step * 31 + microbatch + 1) * UINT64_C(0x9e3779b97f4a7c15) + element * UINT64_C(0xbf58476d1ce4e5b9);

    x ^= x >> 29;
    x *= UINT64_C(0x94d049bb133111eb);
    return (float)(int32_t)(x >> 32) * 0x1p-28f;
}

/* Samples of a microbatch. */
static inline uint64_t rig_samples(struct tree_node node)
{
    return (uint64_t)(node.end - node.begin) * (RIG_BATCH / RIG_MICROBATCHES);
}

/* values[count] = the node's sum of elements [begin, begin + count), by the tree's definition. */
RIG_BULK static inline void rig_node_sum(uint64_t step, struct tree_node node, uint64_t begin, float *values,
                                         size_t count)
{
    uint32_t middle = node.begin + (node.end - node.begin) / 2;
    float *right;

    if (node.end - node.begin == 1) {
        for (size_t i = 0; i < count; i++)
            values[i] = rig_gradient(step, node.begin, begin + i);
        return;
    }
    right = malloc(count * sizeof(float));
    MUST(right);
    rig_node_sum(step, (struct tree_node){node.begin, middle}, begin, values, count);
    rig_node_sum(step, (struct tree_node){middle, node.end}, begin, right, count);
    for (size_t i = 0; i < count; i++)
        values[i] += right[i];
    free(right);
}

/* The whole model, updated by the book. */
struct reference {
    const struct job *job;
    size_t floats;
    float *weights, *sums;
    float *slots[OPTIMIZER_SLOTS_MAX];
    uint64_t version;
};

static inline struct reference *reference_new(const struct job *job)
{
    struct reference *reference = calloc(1, sizeof(*reference));

    ck_assert_ptr_nonnull(reference);
    reference->job = job;
    reference->floats = job->graph->floats;
    reference->weights = calloc(reference->floats, sizeof(float));
    reference->sums = calloc(reference->floats, sizeof(float));
    for (uint32_t i = 0; i < OPTIMIZER_SLOTS_MAX; i++) {
        reference->slots[i] = calloc(reference->floats, sizeof(float));
        for (size_t j = 0; j < reference->floats; j++)
            reference->slots[i][j] = optimizer_slot_initial(&job->optimizer, i);
    }
    graph_initial_values(job->graph, job->seed, 0, reference->floats, reference->weights);
    return reference;
}

static inline void reference_free(struct reference *reference)
{
    free(reference->weights);
    free(reference->sums);
    for (int i = 0; i < OPTIMIZER_SLOTS_MAX; i++)
        free(reference->slots[i]);
    free(reference);
}

/* The update of the floats [begin, end), in place. */
static inline struct optimizer_update reference_update(struct reference *reference, uint64_t begin,
                                                       uint64_t end)
{
    struct optimizer_update update = {.sums = reference->sums + begin,
                                      .samples = RIG_BATCH,
                                      .scale = 1,
                                      .trust = 1,
                                      .weights = reference->weights + begin,
                                      .next_weights = reference->weights + begin,
                                      .count = end - begin};

    for (int i = 0; i < OPTIMIZER_SLOTS_MAX; i++)
        update.slots[i] = update.next_slots[i] = reference->slots[i] + begin;
    return update;
}

/* What a parameter's gradients, weights and update have come to: the segments' sums, added exactly. */
struct reference_norms {
    struct exact_sum gradients, weights, update;
};

#define RIG_PARAMETERS_MAX 8

/* Calls a step of an update for each segment of each chunk. */
#define REFERENCE_SEGMENTS(reference, segment, body)                                                         \
    do {                                                                                                     \
        const struct graph *graph_ = (reference)->job->graph;                                                \
        uint64_t begin_, end_;                                                                               \
                                                                                                             \
        for (uint32_t chunk_ = 0; chunk_ < graph_->chunk_count; chunk_++) {                                  \
            struct norms_segment segment = {0, 0, 0};                                                        \
                                                                                                             \
            graph_chunk(graph_, chunk_, &begin_, &end_);                                                     \
            segment.end = begin_;                                                                            \
            while (norms_next_segment(graph_, end_, &segment))                                               \
                body;                                                                                        \
        }                                                                                                    \
    } while (0)

static inline void reference_add_gradients(struct reference *reference, struct norms_segment segment,
                                           struct reference_norms *norms)
{
    exact_sum_add(
        &norms[segment.parameter].gradients,
        norms_gradient_squares(reference->sums + segment.begin, RIG_BATCH, segment.end - segment.begin));
}

static inline float reference_scale(const struct reference *reference, uint32_t parameter,
                                    const struct reference_norms *norms)
{
    const struct optimizer_spec *spec = &reference->job->optimizer;
    struct exact_sum all = {.foreign = 0};

    for (uint32_t i = 0; i < reference->job->graph->parameter_count; i++)
        exact_sum_merge(&all, &norms[i].gradients);
    if (spec->global_clipnorm > 0)
        return norms_clip_scale(spec->global_clipnorm, exact_sum_value(&all));
    return spec->clipnorm > 0 ? norms_clip_scale(spec->clipnorm, exact_sum_value(&norms[parameter].gradients))
                              : 1;
}

static inline void reference_measure(struct reference *reference, const struct optimizer_step *step,
                                     struct norms_segment segment, struct reference_norms *norms)
{
    struct optimizer_update update = reference_update(reference, segment.begin, segment.end);
    struct optimizer_squares squares;

    update.scale = reference_scale(reference, segment.parameter, norms);
    optimizer_measure(step, &update, &squares);
    exact_sum_add(&norms[segment.parameter].weights, squares.weights);
    exact_sum_add(&norms[segment.parameter].update, squares.update);
}

static inline void reference_apply(struct reference *reference, const struct optimizer_step *step,
                                   struct norms_segment segment, const struct reference_norms *norms)
{
    struct optimizer_update update = reference_update(reference, segment.begin, segment.end);

    update.scale = reference_scale(reference, segment.parameter, norms);
    update.trust = norms_trust_ratio(exact_sum_value(&norms[segment.parameter].weights),
                                     exact_sum_value(&norms[segment.parameter].update));
    optimizer_apply(step, &update);
}

static inline void reference_step(struct reference *reference)
{
    struct tree_node root = {0, reference->job->microbatches};
    struct reference_norms norms[RIG_PARAMETERS_MAX];
    struct optimizer_step step;
    struct optimizer_update update = reference_update(reference, 0, reference->floats);

    rig_node_sum(reference->version, root, 0, reference->sums, reference->floats);
    optimizer_prepare(&reference->job->optimizer, reference->version + 1, &step);
    reference->version++;
    if (!optimizer_spec_needs_norms(&reference->job->optimizer)) {
        optimizer_apply(&step, &update);
        return;
    }
    memset(norms, 0, sizeof(norms));
    ck_assert_uint_le(reference->job->graph->parameter_count, RIG_PARAMETERS_MAX);
    REFERENCE_SEGMENTS(reference, segment, reference_add_gradients(reference, segment, norms));
    if (reference->job->optimizer.type == OPTIMIZER_LAMB)
        REFERENCE_SEGMENTS(reference, segment, reference_measure(reference, &step, segment, norms));
    REFERENCE_SEGMENTS(reference, segment, reference_apply(reference, &step, segment, norms));
}

/* ---- messages */

static inline uint32_t rig_owner(const struct rig *rig, uint32_t table, uint32_t chunk)
{
    return rig->assignment->map->slot_shards[placement_slot(table, chunk, rig->assignment->map->slot_count)];
}

static inline struct data_header rig_header(enum data_kind kind, uint64_t incarnation, uint32_t table,
                                            uint64_t step)
{
    return (struct data_header){
        .kind = kind, .job = RIG_JOB, .incarnation = incarnation, .table = table, .step = step};
}

static inline void rig_send(struct rig *rig, uint32_t shard, const char *client,
                            const struct data_header *header, struct buffer *const payloads[])
{
    static struct buffer *const none[WIRE_PAYLOADS_MAX];

    if (!payloads)
        payloads = none;
    shard_handle(rig->shards[shard], client, strlen(client), header, payloads);
}

static inline void rig_add_chunk(const struct rig *rig, struct data_header *header, uint32_t chunk)
{
    uint64_t begin, end;
    struct data_payload *payload = &header->payloads[header->payload_count++];

    graph_chunk(rig->job->graph, chunk, &begin, &end);
    *payload = (struct data_payload){chunk, DATA_FLOAT32,
                                     header->kind == DATA_PUSH ? (end - begin) * sizeof(float) : 0};
}

static inline struct buffer *rig_node_buffer(const struct rig *rig, uint64_t step, struct tree_node node,
                                             uint32_t chunk)
{
    uint64_t begin, end;
    struct buffer *buffer;

    graph_chunk(rig->job->graph, chunk, &begin, &end);
    buffer = buffer_new((end - begin) * sizeof(float));
    ck_assert_ptr_nonnull(buffer);
    rig_node_sum(step, node, begin, buffer->data, end - begin);
    return buffer;
}

/* Pushes a node of a step for one chunk. */
static inline void rig_push(struct rig *rig, const char *client, uint64_t incarnation, uint64_t step,
                            struct tree_node node, uint32_t chunk, bool subscribe)
{
    struct data_header header = rig_header(DATA_PUSH, incarnation, TABLE_WEIGHTS, step);
    struct buffer *payload = rig_node_buffer(rig, step, node, chunk);

    header.node = node;
    header.samples = rig_samples(node);
    header.subscribe = subscribe;
    rig_add_chunk(rig, &header, chunk);
    rig_send(rig, rig_owner(rig, TABLE_WEIGHTS, chunk), client, &header, &payload);
}

/* A whole step by one worker. */
static inline void rig_step(struct rig *rig, uint64_t incarnation, uint64_t step)
{
    for (uint32_t chunk = 0; chunk < rig->job->graph->chunk_count; chunk++)
        rig_push(rig, "solo", incarnation, step, rig_whole, chunk, false);
}

static inline void rig_pull(struct rig *rig, const char *client, uint64_t incarnation, uint64_t version,
                            uint32_t chunk, bool committed)
{
    struct data_header header = rig_header(DATA_PULL, incarnation, TABLE_WEIGHTS, version);

    header.committed = committed;
    rig_add_chunk(rig, &header, chunk);
    rig_send(rig, rig_owner(rig, TABLE_WEIGHTS, chunk), client, &header, NULL);
}

/* ---- what came */

/* The only reply there is, which is a refusal for this reason; forgets it. */
static inline void rig_expect_refusal(struct rig *rig, enum data_refused reason)
{
    ck_assert_uint_eq(rig->reply_count, 1);
    ck_assert_int_eq(rig->replies[0].header.kind, DATA_REFUSED);
    ck_assert_msg(rig->replies[0].header.refused == reason, "%s", rig->replies[0].header.message);
    rig_forget_replies(rig);
}

/* The values of a chunk in the only reply, which is for this client and version; NULL: it is not in it. */
static inline const float *rig_values(const struct rig *rig, const char *client, uint64_t version,
                                      uint32_t chunk)
{
    const struct rig_reply *reply = &rig->replies[0];

    ck_assert_uint_eq(rig->reply_count, 1);
    ck_assert_msg(reply->header.kind == DATA_VALUES, "%s", reply->header.message);
    ck_assert_str_eq(reply->client, client);
    ck_assert_uint_eq(reply->header.step, version);
    for (uint32_t i = 0; i < reply->header.payload_count; i++) {
        if (reply->header.payloads[i].chunk == chunk)
            return reply->payloads[i]->data;
    }
    return NULL;
}

static inline void rig_assert_chunk(const struct reference *reference, uint32_t chunk, const float *values)
{
    uint64_t begin, end;

    graph_chunk(reference->job->graph, chunk, &begin, &end);
    ck_assert_ptr_nonnull(values);
    ck_assert_mem_eq(values, reference->weights + begin, (end - begin) * sizeof(float));
}

/* All chunks' newest version on the shards is the reference's, bit for bit. */
static inline void rig_assert_weights(struct rig *rig, uint64_t incarnation,
                                      const struct reference *reference)
{
    rig_forget_replies(rig);
    for (uint32_t chunk = 0; chunk < rig->job->graph->chunk_count; chunk++) {
        rig_pull(rig, "judge", incarnation, reference->version, chunk, false);
        rig_assert_chunk(reference, chunk, rig_values(rig, "judge", reference->version, chunk));
        rig_forget_replies(rig);
    }
}

#endif
