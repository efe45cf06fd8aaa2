/* The shards of one job with a large sparse table and a small dense one, their writers by hand: what is
 * written when, and which shard dies when, is the test's to say. Test code only.
 *
 * Gradients are a function of step and microbatch, so a run is known by the digests of its versions, which
 * another run - with less memory, with restarts - must have as well. */
#ifndef CAIRN_TESTS_ROWS_DISK_RIG_H
#define CAIRN_TESTS_ROWS_DISK_RIG_H

#include "folder.h"
#include "plain_rows.h"
#include "shard.h"
#include "shard_state.h"

#include <stdio.h>

#define DISK_JOB          7
#define DISK_SPARSE       TABLE_FIRST_USER
#define DISK_DENSE        (TABLE_FIRST_USER + 1)
#define DISK_ADDED_SPARSE (TABLE_FIRST_USER + 2) /* like the two before, added later */
#define DISK_ADDED_DENSE  (TABLE_FIRST_USER + 3)
#define DISK_SHARDS       2
#define DISK_MICROBATCHES 2
#define DISK_KEYS         12000 /* that there are */
#define DISK_HOT_KEYS     300   /* that half of all gradients are for */
#define DISK_PUSH_ROWS    900   /* of a microbatch */
#define DISK_DIMENSION    4
#define DISK_DENSE_FLOATS 32

struct disk_rig;

struct disk_side {
    struct disk_rig *rig;
    uint32_t index;
};

/* The last rows, or numbers, that a shard answered with. */
struct disk_answer {
    bool is_there;
    enum data_kind kind;
    enum data_refused refused;
    uint64_t version;
    uint32_t tables; /* that it told of */
    float rows[DISK_KEYS][DISK_DIMENSION];
    /* Of an export, whose rows are in rows. */
    uint64_t cursor;
    uint32_t count;
    uint64_t keys[DISK_KEYS], steps[DISK_KEYS];
    uint64_t numbers[STATISTIC_COUNT]; /* statistics */
};

struct disk_setup {
    const char *arguments; /* of the sparse table */
    uint32_t commit_every;
    uint64_t memory_bytes;
};

struct disk_rig {
    char directory[FOLDER_BYTES];
    struct assignment *assignment; /* of the job that all below is about */
    uint32_t sparse, dense;        /* the tables that are pushed to and looked at */
    struct disk_setup setup;
    struct shard *shards[DISK_SHARDS];
    struct disk_side sides[DISK_SHARDS];
    uint64_t incarnation;
    struct generation *pending[DISK_SHARDS]; /* with the writer */
    uint64_t committed[DISK_SHARDS];         /* reported */
    uint32_t prepared, failed, refused;      /* reports */
    uint32_t held, extended;                 /* the same */
    uint64_t held_at;                        /* the newest version of any shard that was held */
    char message[512];                       /* of the last one */
    struct disk_answer answers[DISK_SHARDS];
};

/* ---- events */

/* Copies a payload that may be missing; returns its bytes. */
static inline uint32_t disk_copy(void *to, size_t most, const struct buffer *payload)
{
    if (!payload)
        return 0;
    MUST(payload->length_bytes <= most);
    memcpy(to, payload->data, payload->length_bytes);
    return (uint32_t)payload->length_bytes;
}

static inline void disk_on_reply(void *context, struct reply *reply)
{
    const struct disk_side *side = context;
    struct disk_answer *answer = &side->rig->answers[side->index];

    MUST(!answer->is_there);
    answer->is_there = true;
    answer->kind = reply->header.kind;
    answer->version = reply->header.step;
    answer->tables = reply->header.tables;
    answer->refused = reply->header.refused;
    if (reply->header.kind == DATA_VALUES)
        disk_copy(answer->rows, sizeof(answer->rows), reply->payloads[0]);
    if (reply->header.kind == DATA_STATISTICS)
        disk_copy(answer->numbers, sizeof(answer->numbers), reply->payloads[0]);
    if (reply->header.kind != DATA_EXPORT)
        return;
    MUST(reply->header.payload_count == EXPORT_PAYLOADS);
    disk_copy(&answer->cursor, sizeof(answer->cursor), reply->payloads[EXPORT_CURSOR]);
    answer->count =
        disk_copy(answer->keys, sizeof(answer->keys), reply->payloads[EXPORT_KEYS]) / sizeof(uint64_t);
    disk_copy(answer->steps, sizeof(answer->steps), reply->payloads[EXPORT_STEPS]);
    MUST(disk_copy(answer->rows, sizeof(answer->rows), reply->payloads[EXPORT_ROWS]) ==
         answer->count * sizeof(answer->rows[0]));
}

static inline void disk_on_report(void *context, const struct shard_report *report)
{
    const struct disk_side *side = context;

    side->rig->prepared += report->kind == SHARD_PREPARED;
    side->rig->failed += report->kind == SHARD_FAILED;
    side->rig->refused += report->kind == SHARD_REFUSED;
    side->rig->held += report->kind == SHARD_HELD;
    side->rig->extended += report->kind == SHARD_EXTENDED;
    if (report->kind == SHARD_HELD && report->step > side->rig->held_at)
        side->rig->held_at = report->step;
    if (report->kind == SHARD_COMMITTED)
        side->rig->committed[side->index] = report->step;
    else
        snprintf(side->rig->message, sizeof(side->rig->message), "%s", report->message);
}

static inline void disk_on_write(void *context, struct generation *generation)
{
    const struct disk_side *side = context;

    MUST(!side->rig->pending[side->index]);
    side->rig->pending[side->index] = generation;
}

static inline void disk_on_part(void *context, const struct shard_message *part)
{
    (void)context, (void)part;
    ck_abort_msg("a part of a sum");
}

static inline void disk_on_parted(void *context, uint64_t job)
{
    (void)context, (void)job;
}

/* ---- life */

/* The text of a job, and of a sparse table and a dense one that are like its own but for their names. */
static inline void disk_texts(const struct disk_setup *setup, char text[512], char sparse[256],
                              char dense[128])
{
    snprintf(text, 512,
             "name: rows\nseed: 5\ntables:\n  - sparse: {name: rows, dimension: %d, %s}\n"
             "  - dense: {name: bias, size: %d, optimizer: adam}\n"
             "train: {optimizer: adagrad, microbatches: %d, commit_every: %u}\n",
             DISK_DIMENSION, setup->arguments, DISK_DENSE_FLOATS, DISK_MICROBATCHES, setup->commit_every);
    snprintf(sparse, 256, "sparse: {name: added_rows, dimension: %d, %s}", DISK_DIMENSION, setup->arguments);
    snprintf(dense, 128, "dense: {name: added_bias, size: %d, optimizer: adam}", DISK_DENSE_FLOATS);
}

/* A job, with two tables that were added at a version, or NO_VERSION: without. */
#define NO_VERSION UINT64_MAX
static inline struct assignment *disk_assignment_with(const struct disk_setup *setup, uint64_t job,
                                                      uint64_t first_version)
{
    Cairn__PrepareCommand command = CAIRN__PREPARE_COMMAND__INIT;
    Cairn__JobText job_text = CAIRN__JOB_TEXT__INIT;
    Cairn__Shard shards[DISK_SHARDS], *pointers[DISK_SHARDS];
    Cairn__AddedTable tables[2], *added[2] = {&tables[0], &tables[1]};
    uint32_t slots[PLACEMENT_SLOTS_MIN];
    struct assignment *assignment = NULL;
    struct error error;
    char text[512], texts[2][256];

    disk_texts(setup, text, texts[0], texts[1]);
    job_text.text = text;
    job_text.file_name = (char *)"rows.yaml";
    job_text.base_directory = (char *)"/";
    for (uint32_t i = 0; i < 2; i++) {
        cairn__added_table__init(&tables[i]);
        tables[i].text = texts[i];
        tables[i].first_version = first_version;
    }
    job_text.n_added = first_version == NO_VERSION ? 0 : 2;
    job_text.added = added;
    for (uint32_t i = 0; i < DISK_SHARDS; i++) {
        cairn__shard__init(&shards[i]);
        shards[i].server = (char *)"one";
        shards[i].index = i;
        pointers[i] = &shards[i];
    }
    placement_assign(slots, PLACEMENT_SLOTS_MIN, DISK_SHARDS);
    command.job = job;
    command.job_id = (char *)"rows-7";
    command.text = &job_text;
    command.n_shards = DISK_SHARDS;
    command.shards = pointers;
    command.n_slot_shards = PLACEMENT_SLOTS_MIN;
    command.slot_shards = slots;
    ck_assert_msg(assignment_new(&command, "one", DISK_SHARDS, &assignment, &error) == CAIRN_OK, "%s",
                  error.message);
    return assignment;
}

static inline struct assignment *disk_assignment(const struct disk_setup *setup, uint64_t job)
{
    return disk_assignment_with(setup, job, NO_VERSION);
}

/* A server's start: shards that know of no job. */
static inline void disk_start(struct disk_rig *rig)
{
    for (uint32_t i = 0; i < DISK_SHARDS; i++) {
        const struct job_store_owner owner = {rig->directory, "one", i};
        const struct shard_events events = {disk_on_reply, disk_on_report, disk_on_write,
                                            disk_on_part,  disk_on_parted, &rig->sides[i]};

        rig->sides[i] = (struct disk_side){rig, i};
        rig->shards[i] = shard_new(&owner, rig->setup.memory_bytes, &events);
        ck_assert_ptr_nonnull(rig->shards[i]);
    }
}

/* The server's end, with whatever the writer has lost. */
static inline void disk_stop(struct disk_rig *rig)
{
    for (uint32_t i = 0; i < DISK_SHARDS; i++) {
        shard_free(rig->shards[i]);
        rig->shards[i] = NULL;
        rig->pending[i] = NULL;
        rig->answers[i].is_there = false;
    }
}

/* The next incarnation of the job at a step. */
static inline void disk_prepare(struct disk_rig *rig, uint64_t step)
{
    rig->incarnation++;
    rig->prepared = rig->failed = 0;
    for (uint32_t i = 0; i < DISK_SHARDS; i++) {
        rig->committed[i] = step;
        shard_prepare(rig->shards[i], rig->assignment, rig->incarnation, step);
    }
    ck_assert_msg(rig->prepared == DISK_SHARDS, "%s", rig->message);
    ck_assert_uint_eq(rig->failed, 0);
}

/* A job that no shard knows of yet. */
static inline struct disk_rig *disk_rig_make(struct disk_setup setup)
{
    struct disk_rig *rig = calloc(1, sizeof(*rig));

    ck_assert_ptr_nonnull(rig);
    folder_make(rig->directory);
    rig->setup = setup;
    rig->sparse = DISK_SPARSE;
    rig->dense = DISK_DENSE;
    rig->assignment = disk_assignment(&setup, DISK_JOB);
    return rig;
}

static inline struct disk_rig *disk_rig_new(struct disk_setup setup)
{
    struct disk_rig *rig = disk_rig_make(setup);

    disk_start(rig);
    disk_prepare(rig, 0);
    return rig;
}

static inline void disk_rig_free(struct disk_rig *rig)
{
    disk_stop(rig);
    assignment_unref(rig->assignment);
    folder_remove(rig->directory);
    free(rig);
}

/* The server is killed and started; the job goes on at a step. */
static inline void disk_restart(struct disk_rig *rig, uint64_t step)
{
    disk_stop(rig);
    disk_start(rig);
    disk_prepare(rig, step);
}

static inline struct sparse_table *disk_sparse(const struct disk_rig *rig, uint32_t shard)
{
    return shard_find(rig->shards[shard], rig->assignment->number)->tables->items[rig->sparse].sparse;
}

/* ---- the writer */

/* What a shard has to do between messages. */
static inline void disk_work(struct disk_rig *rig)
{
    for (uint32_t i = 0; i < DISK_SHARDS; i++) {
        while (shard_work(rig->shards[i]))
            continue;
    }
}

/* Writes what a shard has given to the writer; whether there was something. */
static inline bool disk_write(struct disk_rig *rig, uint32_t shard)
{
    struct generation *generation = rig->pending[shard];
    struct error error;

    rig->pending[shard] = NULL;
    if (!generation)
        return false;
    ck_assert_msg(generation_write(generation, &error) == CAIRN_OK, "%s", error.message);
    shard_written(rig->shards[shard], generation, CAIRN_OK, NULL);
    return true;
}

/* All shards have written the step: it is the job's. */
static inline void disk_commit(struct disk_rig *rig, uint64_t step)
{
    disk_work(rig);
    for (uint32_t i = 0; i < DISK_SHARDS; i++) {
        MUST(disk_write(rig, i));
        ck_assert_uint_eq(rig->committed[i], step);
    }
    for (uint32_t i = 0; i < DISK_SHARDS; i++)
        shard_committed(rig->shards[i], rig->assignment->number, rig->incarnation, step);
}

/* ---- steps */

static inline struct data_header disk_header(const struct disk_rig *rig, enum data_kind kind, uint32_t table,
                                             uint64_t step)
{
    return (struct data_header){.kind = kind,
                                .job = rig->assignment->number,
                                .incarnation = rig->incarnation,
                                .table = table,
                                .step = step,
                                .request = 1};
}

static inline uint64_t disk_key(uint32_t index)
{
    return index % 2 ? plain_mix(index) : index;
}

static inline bool disk_is_here(const struct disk_rig *rig, uint32_t shard, uint64_t key)
{
    return slot_map_heads_keys(rig->assignment->map, shard, &key, 1);
}

/* Whether the only chunk of a dense table is on a shard. */
static inline bool disk_heads(const struct disk_rig *rig, uint32_t shard, uint32_t table)
{
    const struct slot_map *map = rig->assignment->map;

    return slot_map_head(map, placement_slot(table, 0, map->slot_count)) == shard;
}

static inline float disk_float(struct chance *chance)
{
    return (float)(int32_t)(plain_mix(chance->state++) >> 32) * 0x1p-31f;
}

static inline void disk_push_rows(struct disk_rig *rig, uint32_t shard, uint64_t step, uint32_t microbatch)
{
    struct data_header header = disk_header(rig, DATA_PUSH, rig->sparse, step);
    struct chance chance = {plain_mix(step * DISK_MICROBATCHES + microbatch)};
    struct buffer *payloads[2] = {buffer_new(DISK_PUSH_ROWS * sizeof(uint64_t)),
                                  buffer_new(DISK_PUSH_ROWS * sizeof(float) * DISK_DIMENSION)};
    uint64_t *keys = payloads[0]->data;
    float *rows = payloads[1]->data;
    uint32_t count = 0;

    for (uint32_t i = 0; i < DISK_PUSH_ROWS; i++) {
        uint64_t key = disk_key(draw(&chance, draw(&chance, 2) ? DISK_HOT_KEYS : DISK_KEYS));
        float *row = rows + (size_t)count * DISK_DIMENSION;

        for (uint32_t j = 0; j < DISK_DIMENSION; j++)
            row[j] = disk_float(&chance);
        keys[count] = key;
        count += disk_is_here(rig, shard, key);
    }
    MUST(count > 0);
    payloads[0]->length_bytes = count * sizeof(uint64_t);
    payloads[1]->length_bytes = count * sizeof(float) * DISK_DIMENSION;
    header.node = (struct tree_node){microbatch, microbatch + 1};
    header.samples = 8;
    header.payload_count = 2;
    header.payloads[0] = (struct data_payload){0, DATA_UINT64, payloads[0]->length_bytes};
    header.payloads[1] = (struct data_payload){1, DATA_FLOAT32, payloads[1]->length_bytes};
    shard_handle(rig->shards[shard], "client", 6, &header, payloads);
}

static inline void disk_push_dense(struct disk_rig *rig, uint32_t shard, uint64_t step, uint32_t microbatch)
{
    struct data_header header = disk_header(rig, DATA_PUSH, rig->dense, step);
    struct chance chance = {plain_mix(~(step * DISK_MICROBATCHES + microbatch))};
    struct buffer *payload;

    if (!disk_heads(rig, shard, rig->dense))
        return;
    payload = buffer_new(DISK_DENSE_FLOATS * sizeof(float));
    for (uint32_t i = 0; i < DISK_DENSE_FLOATS; i++)
        ((float *)payload->data)[i] = disk_float(&chance);
    header.node = (struct tree_node){microbatch, microbatch + 1};
    header.samples = 8;
    header.payload_count = 1;
    header.payloads[0] = (struct data_payload){0, DATA_FLOAT32, payload->length_bytes};
    shard_handle(rig->shards[shard], "client", 6, &header, &payload);
}

/* Pushes all of a step; the shards do at most one piece of other work between messages. */
static inline void disk_step(struct disk_rig *rig, uint64_t step)
{
    for (uint32_t microbatch = 0; microbatch < DISK_MICROBATCHES; microbatch++) {
        for (uint32_t shard = 0; shard < DISK_SHARDS; shard++) {
            disk_push_rows(rig, shard, step, microbatch);
            disk_push_dense(rig, shard, step, microbatch);
            shard_work(rig->shards[shard]);
        }
    }
}

/* ---- what is there */

/* Asks a shard for its rows of all keys, whose number is returned; the answer may come later. */
static inline uint32_t disk_pull(struct disk_rig *rig, uint32_t shard, uint64_t version)
{
    struct data_header header = disk_header(rig, DATA_PULL, rig->sparse, version);
    struct buffer *keys = buffer_new(DISK_KEYS * sizeof(uint64_t));
    uint32_t count = 0;

    for (uint32_t i = 0; i < DISK_KEYS; i++) {
        if (disk_is_here(rig, shard, disk_key(i)))
            ((uint64_t *)keys->data)[count++] = disk_key(i);
    }
    keys->length_bytes = count * sizeof(uint64_t);
    header.payload_count = 1;
    header.payloads[0] = (struct data_payload){0, DATA_UINT64, keys->length_bytes};
    shard_handle(rig->shards[shard], "judge", 5, &header, &keys);
    return count;
}

static inline uint64_t disk_digest_floats(uint64_t digest, const float *floats, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        uint32_t bits;

        memcpy(&bits, &floats[i], sizeof(bits));
        digest = plain_mix(digest ^ bits);
    }
    return digest;
}

/* Of all rows of a version, and the dense table's values. */
static inline uint64_t disk_digest(struct disk_rig *rig, uint64_t version)
{
    uint64_t digest = 0;

    for (uint32_t shard = 0; shard < DISK_SHARDS; shard++) {
        struct disk_answer *answer = &rig->answers[shard];
        struct dense_table *dense =
            shard_find(rig->shards[shard], rig->assignment->number)->tables->items[rig->dense].dense;
        uint32_t count = disk_pull(rig, shard, version);

        MUST(answer->is_there && answer->kind == DATA_VALUES && answer->version == version);
        answer->is_there = false;
        digest = disk_digest_floats(digest, answer->rows[0], (size_t)count * DISK_DIMENSION);
        if (dense && dense->chunk_count > 0)
            digest =
                disk_digest_floats(digest, dense_version(dense->chunks[0], version)->data, DISK_DENSE_FLOATS);
    }
    return digest;
}

/* Another run in memory without a disturbance; digests: of its versions 0 to `steps`. */
static inline void disk_history(const char *arguments, uint64_t steps, uint64_t digests[])
{
    struct disk_rig *rig = disk_rig_new((struct disk_setup){arguments, 1000000, 0});

    for (uint64_t step = 0; step <= steps; step++) {
        digests[step] = disk_digest(rig, step);
        if (step < steps)
            disk_step(rig, step);
    }
    disk_rig_free(rig);
}

#endif
