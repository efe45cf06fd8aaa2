/* The shards of one job with one sparse table, without sockets or threads: messages in, answers kept, a plain
 * table beside them (plain_rows.h) whose every version is known beforehand. Test code only. */
#ifndef CAIRN_TESTS_ROWS_RIG_H
#define CAIRN_TESTS_ROWS_RIG_H

#include "folder.h"
#include "plain_rows.h"
#include "shard.h"

#include <stdio.h>

#define ROWS_RIG_JOB         7
#define ROWS_RIG_TABLE       TABLE_FIRST_USER
#define ROWS_RIG_SHARDS_MAX  3
#define ROWS_RIG_STEPS_MAX   60
#define ROWS_RIG_ANSWERS_MAX 64
#define ROWS_RIG_SAMPLES     3 /* of a microbatch */

struct rows_rig;

struct rows_side {
    struct rows_rig *rig;
    uint32_t index;
};

struct rows_answer {
    uint32_t shard;
    char client[16];
    struct data_header header;
    uint32_t count;
    float rows[PLAIN_KEYS + PLAIN_PUSH_MAX][PLAIN_DIMENSION];
};

struct rows_rig {
    char directory[FOLDER_BYTES];
    struct assignment *assignment;
    uint32_t shard_count;
    struct shard *shards[ROWS_RIG_SHARDS_MAX];
    struct rows_side sides[ROWS_RIG_SHARDS_MAX];
    uint32_t answer_count;
    struct rows_answer answers[ROWS_RIG_ANSWERS_MAX];
    uint32_t prepared, failed;
    uint64_t seed;                                                      /* of the gradients */
    float history[ROWS_RIG_STEPS_MAX + 1][PLAIN_KEYS][PLAIN_DIMENSION]; /* weights by version */
};

/* ---- events */

static inline void rows_on_reply(void *context, struct reply *reply)
{
    const struct rows_side *side = context;
    struct rows_rig *rig = side->rig;
    struct rows_answer *answer = &rig->answers[rig->answer_count++];
    unsigned char packed[WIRE_HEADER_MAX];

    MUST(rig->answer_count <= ROWS_RIG_ANSWERS_MAX);
    MUST(wire_data_unpack(packed, wire_data_pack(&reply->header, packed), &answer->header, NULL) == CAIRN_OK);
    answer->shard = side->index;
    snprintf(answer->client, sizeof(answer->client), "%.*s", reply->client->length, reply->client->name);
    answer->count = 0;
    if (reply->header.kind != DATA_VALUES)
        return;
    MUST(reply->header.payload_count == 1 && reply->payloads[0]->length_bytes <= sizeof(answer->rows));
    MUST(reply->header.payloads[0].type == DATA_FLOAT32);
    answer->count = (uint32_t)(reply->payloads[0]->length_bytes / sizeof(answer->rows[0]));
    memcpy(answer->rows, reply->payloads[0]->data, reply->payloads[0]->length_bytes);
}

static inline void rows_on_report(void *context, const struct shard_report *report)
{
    struct rows_rig *rig = ((struct rows_side *)context)->rig;

    rig->prepared += report->kind == SHARD_PREPARED;
    rig->failed += report->kind == SHARD_FAILED;
}

static inline void rows_on_write(void *context, struct generation *generation)
{
    (void)context, (void)generation;
    ck_abort_msg("there is nothing to write");
}

/* ---- life */

static inline struct assignment *rows_assignment(uint32_t shard_count, uint32_t microbatches,
                                                 const char *arguments)
{
    Cairn__PrepareCommand command = CAIRN__PREPARE_COMMAND__INIT;
    Cairn__JobText job_text = CAIRN__JOB_TEXT__INIT;
    Cairn__Shard shards[ROWS_RIG_SHARDS_MAX], *pointers[ROWS_RIG_SHARDS_MAX];
    uint32_t slots[PLACEMENT_SLOTS_MIN];
    struct assignment *assignment = NULL;
    struct error error;
    char text[512];

    snprintf(text, sizeof(text),
             "name: rows\nseed: 5\ntables:\n  - sparse: {name: t, dimension: %d, %s}\n"
             "train: {optimizer: sgd, microbatches: %u, commit_every: 1000000}\n",
             PLAIN_DIMENSION, arguments, microbatches);
    job_text.text = text;
    job_text.file_name = (char *)"rows.yaml";
    job_text.base_directory = (char *)"/";
    for (uint32_t i = 0; i < shard_count; i++) {
        cairn__shard__init(&shards[i]);
        shards[i].server = (char *)"one";
        shards[i].index = i;
        pointers[i] = &shards[i];
    }
    placement_assign(slots, PLACEMENT_SLOTS_MIN, shard_count);
    command.job = ROWS_RIG_JOB;
    command.job_id = (char *)"rows-7";
    command.text = &job_text;
    command.n_shards = shard_count;
    command.shards = pointers;
    command.n_slot_shards = PLACEMENT_SLOTS_MIN;
    command.slot_shards = slots;
    ck_assert_msg(assignment_new(&command, "one", shard_count, &assignment, &error) == CAIRN_OK, "%s",
                  error.message);
    return assignment;
}

/* The plain table's every version. */
static inline void rows_history(struct rows_rig *rig, uint32_t steps)
{
    const struct job *job = rig->assignment->job;
    struct plain_table *plain = plain_table_new(job, ROWS_RIG_TABLE, rig->seed);

    memcpy(rig->history[0], plain->weights[0], sizeof(rig->history[0]));
    for (uint32_t step = 1; step <= steps; step++) {
        plain_step(plain, (uint64_t)job->microbatches * ROWS_RIG_SAMPLES);
        memcpy(rig->history[step], plain->weights[step % 2], sizeof(rig->history[0]));
    }
    free(plain);
}

/* A job at step 0 of incarnation 1, and what its first `steps` steps will give. */
/* No optimizer here needs norms. */
static inline void rows_on_part(void *context, const struct shard_message *part)
{
    (void)context, (void)part;
    ck_abort_msg("a part of a sum");
}

static inline void rows_on_parted(void *context, uint64_t job)
{
    (void)context, (void)job;
}

static inline struct rows_rig *rows_rig_new(uint32_t shard_count, uint32_t microbatches,
                                            const char *arguments, uint64_t seed, uint32_t steps)
{
    struct rows_rig *rig = calloc(1, sizeof(*rig));

    ck_assert_ptr_nonnull(rig);
    folder_make(rig->directory);
    rig->shard_count = shard_count;
    rig->seed = seed;
    rig->assignment = rows_assignment(shard_count, microbatches, arguments);
    rows_history(rig, steps);
    for (uint32_t i = 0; i < shard_count; i++) {
        const struct job_store_owner owner = {rig->directory, "one", i};
        const struct shard_events events = {rows_on_reply, rows_on_report, rows_on_write,
                                            rows_on_part,  rows_on_parted, &rig->sides[i]};

        rig->sides[i] = (struct rows_side){rig, i};
        rig->shards[i] = shard_new(&owner, 0, &events);
        ck_assert_ptr_nonnull(rig->shards[i]);
        shard_prepare(rig->shards[i], rig->assignment, 1, 0);
    }
    ck_assert_uint_eq(rig->prepared, shard_count);
    return rig;
}

static inline void rows_rig_free(struct rows_rig *rig)
{
    for (uint32_t i = 0; i < rig->shard_count; i++)
        shard_free(rig->shards[i]);
    assignment_unref(rig->assignment);
    folder_remove(rig->directory);
    free(rig);
}

/* ---- messages */

static inline struct data_header rows_header(enum data_kind kind, uint64_t step, uint64_t request)
{
    return (struct data_header){.kind = kind,
                                .job = ROWS_RIG_JOB,
                                .incarnation = 1,
                                .table = ROWS_RIG_TABLE,
                                .step = step,
                                .request = request};
}

static inline void rows_add_payload(struct data_header *header, enum data_type type, size_t bytes)
{
    uint32_t index = header->payload_count++;

    header->payloads[index] = (struct data_payload){index, type, bytes};
}

static inline void rows_send(struct rows_rig *rig, uint32_t shard, const char *client,
                             const struct data_header *header, struct buffer *const payloads[])
{
    shard_handle(rig->shards[shard], client, strlen(client), header, payloads);
}

struct rows_place {
    const struct rows_rig *rig;
    uint32_t shard;
};

static inline bool rows_is_here(const void *context, uint64_t key)
{
    const struct rows_place *place = context;

    return slot_map_heads_keys(place->rig->assignment->map, place->shard, &key, 1);
}

/* A push of a node's gradients to one shard. */
struct rows_push {
    uint32_t shard;
    uint64_t step;
    struct tree_node node;
    bool subscribe, acknowledge;
    uint64_t request;
};

/* Its payloads; returns how many keys it has. Owns: the caller. */
static inline uint32_t rows_push_payloads(const struct rows_rig *rig, const struct rows_push *push,
                                          struct buffer *payloads[2])
{
    const struct rows_place place = {rig, push->shard};

    return plain_node_push(rig->seed, push->step, push->node, rows_is_here, &place, &payloads[0],
                           &payloads[1]);
}

static inline void rows_push(struct rows_rig *rig, const char *client, const struct rows_push *push)
{
    struct data_header header = rows_header(DATA_PUSH, push->step, push->request);
    struct buffer *payloads[2];
    uint32_t count = rows_push_payloads(rig, push, payloads);

    header.node = push->node;
    header.samples = (uint64_t)(push->node.end - push->node.begin) * ROWS_RIG_SAMPLES;
    header.subscribe = push->subscribe;
    header.acknowledge = push->acknowledge;
    if (count > 0) {
        rows_add_payload(&header, DATA_UINT64, payloads[0]->length_bytes);
        rows_add_payload(&header, DATA_FLOAT32, payloads[1]->length_bytes);
    }
    rows_send(rig, push->shard, client, &header, payloads);
}

/* Asks a shard for rows of keys by their plain indices. version UINT64_MAX: the newest. */
static inline void rows_pull(struct rows_rig *rig, const char *client, uint32_t shard, uint64_t version,
                             const uint32_t *indices, uint32_t count, uint64_t request)
{
    struct data_header header = rows_header(DATA_PULL, version == UINT64_MAX ? 0 : version, request);
    struct buffer *keys = buffer_new(count * sizeof(uint64_t));

    MUST(keys);
    for (uint32_t i = 0; i < count; i++)
        ((uint64_t *)keys->data)[i] = plain_key(indices[i]);
    header.newest = version == UINT64_MAX;
    rows_add_payload(&header, DATA_UINT64, keys->length_bytes);
    rows_send(rig, shard, client, &header, &keys);
}

/* All plain indices whose keys lie on a shard; returns their number. */
static inline uint32_t rows_indices_of(const struct rows_rig *rig, uint32_t shard,
                                       uint32_t indices[PLAIN_KEYS])
{
    const struct rows_place place = {rig, shard};
    uint32_t count = 0;

    for (uint32_t i = 0; i < PLAIN_KEYS; i++) {
        if (rows_is_here(&place, plain_key(i)))
            indices[count++] = i;
    }
    return count;
}

/* ---- answers */

static inline void rows_forget(struct rows_rig *rig)
{
    rig->answer_count = 0;
}

/* The only answer there is, for this client and request; forgotten, but valid until the next message. */
static inline const struct rows_answer *rows_expect(struct rows_rig *rig, enum data_kind kind,
                                                    const char *client, uint64_t request)
{
    const struct rows_answer *answer = &rig->answers[0];

    ck_assert_uint_eq(rig->answer_count, 1);
    ck_assert_msg(answer->header.kind == kind, "%s", answer->header.message);
    ck_assert_str_eq(answer->client, client);
    ck_assert_uint_eq(answer->header.request, request);
    ck_assert_uint_eq(answer->header.table, ROWS_RIG_TABLE);
    rows_forget(rig);
    return answer;
}

static inline void rows_expect_refusal(struct rows_rig *rig, enum data_refused reason, uint64_t request)
{
    ck_assert_uint_eq(rig->answer_count, 1);
    ck_assert_int_eq(rig->answers[0].header.kind, DATA_REFUSED);
    ck_assert_msg(rig->answers[0].header.refused == reason, "%s", rig->answers[0].header.message);
    ck_assert_uint_eq(rig->answers[0].header.request, request);
    rows_forget(rig);
}

/* The rows are those of the plain table. */
static inline void rows_check(const struct rows_rig *rig, const struct rows_answer *answer, uint64_t version,
                              const uint32_t *indices, uint32_t count)
{
    MUST(answer->header.step == version && answer->count == count);
    for (uint32_t i = 0; i < count; i++)
        MUST(memcmp(answer->rows[i], rig->history[version][indices[i]], sizeof(answer->rows[i])) == 0);
}

/* All rows of a version on all shards. */
static inline void rows_check_all(struct rows_rig *rig, uint64_t version)
{
    uint32_t indices[PLAIN_KEYS], count, all = 0;

    rows_forget(rig);
    for (uint32_t shard = 0; shard < rig->shard_count; shard++) {
        count = rows_indices_of(rig, shard, indices);
        rows_pull(rig, "judge", shard, version, indices, count, 99);
        rows_check(rig, rows_expect(rig, DATA_VALUES, "judge", 99), version, indices, count);
        all += count;
    }
    ck_assert_uint_eq(all, PLAIN_KEYS);
}

#endif
