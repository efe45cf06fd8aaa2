/* What clients may ask about a table besides its values: what it takes, and which rows have changed.
 *
 * An export goes over a sparse table in slices, one a question, while the table goes on; the place is in the
 * client's hand (the cursor, a hash of keys), so that an export which is never finished costs nothing here.
 */
#include "shard.h"

#include "shard_state.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* Rows that are looked at for one question, and what an answer is meant to carry at most: a fraction of a
 * millisecond. */
#define EXPORT_ROWS_A_SLICE  1024u
#define EXPORT_BYTES_A_SLICE (1u << 20)

/* What cannot be read on a disk is the job's end. */
static void export_refuse(const struct request *request, const struct error *error)
{
    request_refuse(request, DATA_REFUSED_UNKNOWN, "table %u: %s", request->header->table, error->message);
    if (error->status != CAIRN_NO_MEMORY && error->status != CAIRN_FULL && error->status != CAIRN_INVALID)
        shard_fail(request->shard, request->job, error);
}

/* Whether rows may lie here that clients ask other shards for: where slots are copied, and where a job has
 * gone back to a generation that has rows of slots which were on their way here. */
static bool has_others(const struct request *request)
{
    const struct sparse_table *sparse = request->table->sparse;

    return sparse->chain || (sparse->is_loaded && request->job->map->shard_count > 1);
}

/* ---- statistics */

/* What a dense table's chunks take that clients ask for here: two versions and the slots. Its version is the
 * oldest of them. */
static uint64_t dense_statistics(const struct dense_table *dense, uint64_t numbers[STATISTIC_COUNT])
{
    uint64_t version = UINT64_MAX, floats = 0;

    for (uint32_t i = 0; i < dense->chunk_count; i++) {
        const struct dense_chunk *chunk = dense->chunks[i];

        if (!chain_serves(&chunk->link))
            continue;
        version = chunk->version < version ? chunk->version : version;
        floats += chunk->floats * (uint64_t)(1 + (chunk->previous != NULL) + dense->slot_count);
    }
    numbers[STATISTIC_MEMORY_BYTES] = floats * sizeof(float);
    return version < UINT64_MAX ? version : 0;
}

/* Rows that clients ask for here, among those that lie here. */
struct served {
    const struct slot_map *map;
    uint32_t thread;
    uint64_t rows;
};

static enum status served_count(void *context, const struct row *row, struct error *error)
{
    struct served *served = context;

    (void)error;
    served->rows += slot_map_heads_keys(served->map, served->thread, &(uint64_t){row->key}, 1);
    return CAIRN_OK;
}

/* How many there are, of a table that has others' rows too: by looking at each. */
static enum status rows_served(const struct request *request, struct rows *rows, uint64_t *count,
                               struct error *error)
{
    struct served served = {request->job->map, request->shard->owner.shard, 0};
    struct rows_scan scan = {0};
    enum status status = CAIRN_OK;

    while (status == CAIRN_OK && !scan.is_done)
        status = rows_scan(rows, &scan, 0, ROWS_BLOCK_MAX * 16, served_count, &served, error);
    *count = served.rows;
    return status;
}

/* Where all of a table that was loaded are served here, it need not be gone over again. */
static enum status served_statistics(const struct request *request, uint64_t numbers[STATISTIC_COUNT],
                                     struct error *error)
{
    struct sparse_table *sparse = request->table->sparse;
    uint64_t count = numbers[STATISTIC_ROWS] + numbers[STATISTIC_CANDIDATES];
    enum status status = rows_served(request, sparse->rows, &numbers[STATISTIC_ROWS], error);

    if (status == CAIRN_OK && sparse->candidates)
        status = rows_served(request, sparse->candidates, &numbers[STATISTIC_CANDIDATES], error);
    if (status == CAIRN_OK && numbers[STATISTIC_ROWS] + numbers[STATISTIC_CANDIDATES] == count)
        sparse->is_loaded = false;
    return status;
}

static void sparse_statistics(const struct sparse_table *sparse, uint64_t numbers[STATISTIC_COUNT])
{
    struct rows_facts facts, candidates = {0};

    rows_facts(sparse->rows, &facts);
    if (sparse->candidates)
        rows_facts(sparse->candidates, &candidates);
    numbers[STATISTIC_ROWS] = facts.rows;
    numbers[STATISTIC_RESIDENT_ROWS] = facts.resident;
    numbers[STATISTIC_CANDIDATES] = candidates.rows;
    numbers[STATISTIC_HITS] = facts.hits;
    numbers[STATISTIC_MISSES] = facts.misses;
    numbers[STATISTIC_EVICTIONS] = facts.evictions + candidates.evictions;
    numbers[STATISTIC_MEMORY_BYTES] = facts.memory_bytes + candidates.memory_bytes;
    numbers[STATISTIC_SWAP_BYTES] = facts.swap_bytes + candidates.swap_bytes;
}

void request_statistics(const struct request *request)
{
    static const enum data_type type = DATA_UINT64;
    uint64_t numbers[STATISTIC_COUNT] = {0}, version;
    struct reply_subject subject;
    struct buffer *answer;
    enum status status = CAIRN_NO_MEMORY;
    struct error error;

    if (request->table->sums) {
        request_refuse(request, DATA_REFUSED_MALFORMED, "table %u has no statistics", request->header->table);
        return;
    }
    if (request->table->sparse) {
        sparse_statistics(request->table->sparse, numbers);
        if (has_others(request) && served_statistics(request, numbers, &error) != CAIRN_OK) {
            export_refuse(request, &error);
            return;
        }
        version = request->table->sparse->version;
    } else {
        version = dense_statistics(request->table->dense, numbers);
    }
    subject = request_subject(request, version);
    answer = buffer_new(sizeof(numbers));
    if (answer) {
        memcpy(answer->data, numbers, sizeof(numbers));
        status = replies_answer(request->shard->replies, &subject, request->client, DATA_STATISTICS, 1, &type,
                                &answer);
    }
    buffer_unref(answer);
    shard_reply_check(&subject, status);
}

/* ---- export */

/* The rows of a slice, side by side. */
struct slice {
    const struct slot_map *map; /* NULL: all rows here are served here */
    uint32_t thread;
    uint32_t dimension;
    size_t count, room, most; /* rows; most: that a message can carry */
    struct buffer *payloads[EXPORT_PAYLOADS];
};

static void slice_drop(struct slice *slice)
{
    for (uint32_t i = 0; i < EXPORT_PAYLOADS; i++)
        buffer_unref(slice->payloads[i]);
}

static size_t element_bytes(const struct slice *slice, uint32_t payload)
{
    return payload == EXPORT_ROWS ? slice->dimension * sizeof(float) : sizeof(uint64_t);
}

/* Makes room for twice the rows. */
static enum status slice_grow(struct slice *slice)
{
    size_t room = slice->room ? 2 * slice->room : 64;

    for (uint32_t i = EXPORT_KEYS; i < EXPORT_PAYLOADS; i++) {
        struct buffer *grown = buffer_new(room * element_bytes(slice, i));

        if (!grown)
            return CAIRN_NO_MEMORY;
        if (slice->count > 0)
            memcpy(grown->data, slice->payloads[i]->data, slice->count * element_bytes(slice, i));
        buffer_unref(slice->payloads[i]);
        slice->payloads[i] = grown;
    }
    slice->room = room;
    return CAIRN_OK;
}

static enum status slice_add(void *context, const struct row *row, struct error *error)
{
    struct slice *slice = context;

    if (slice->map && !slot_map_heads_keys(slice->map, slice->thread, &(uint64_t){row->key}, 1))
        return CAIRN_OK;
    if (slice->count == slice->most)
        return error_set(error, CAIRN_FULL, "too many rows have like keys");
    if (slice->count == slice->room && slice_grow(slice) != CAIRN_OK)
        return error_set(error, CAIRN_NO_MEMORY, "out of memory for rows");
    ((uint64_t *)slice->payloads[EXPORT_KEYS]->data)[slice->count] = row->key;
    ((uint64_t *)slice->payloads[EXPORT_STEPS]->data)[slice->count] = row->used_step;
    memcpy((float *)slice->payloads[EXPORT_ROWS]->data + slice->count * slice->dimension, row->floats,
           slice->dimension * sizeof(float));
    slice->count++;
    return CAIRN_OK;
}

/* Cuts the payloads to what is in them, and adds where to go on. */
static enum status slice_close(struct slice *slice, const struct rows_scan *scan)
{
    for (uint32_t i = EXPORT_KEYS; i < EXPORT_PAYLOADS && slice->payloads[i]; i++)
        slice->payloads[i]->length_bytes = slice->count * element_bytes(slice, i);
    slice->payloads[EXPORT_CURSOR] = buffer_new(sizeof(uint64_t));
    if (!slice->payloads[EXPORT_CURSOR])
        return CAIRN_NO_MEMORY;
    *(uint64_t *)slice->payloads[EXPORT_CURSOR]->data = scan->is_done ? 0 : scan->next;
    return CAIRN_OK;
}

static bool check_export(const struct request *request)
{
    const struct data_payload *cursor = &request->header->payloads[EXPORT_CURSOR];

    if (!request->table->sparse)
        return request_refuse(request, DATA_REFUSED_MALFORMED, "table %u has no rows",
                              request->header->table);
    if (request->header->payload_count == 1 && cursor->type == DATA_UINT64 &&
        cursor->length_bytes == sizeof(uint64_t))
        return true;
    return request_refuse(request, DATA_REFUSED_MALFORMED, "an export needs a cursor");
}

void request_export(const struct request *request, struct buffer *const payloads[])
{
    static const enum data_type types[EXPORT_PAYLOADS] = {DATA_UINT64, DATA_UINT64, DATA_UINT64,
                                                          DATA_FLOAT32};
    struct sparse_table *sparse = request->table->sparse;
    struct slice slice = {0};
    struct rows_scan scan = {0};
    struct reply_subject subject;
    struct error error;
    uint32_t most;
    enum status status;

    if (!check_export(request))
        return;
    slice.map = has_others(request) ? request->job->map : NULL;
    slice.thread = request->shard->owner.shard;
    slice.dimension = sparse->spec->dimension;
    slice.most = WIRE_PAYLOAD_BYTES_MAX / (slice.dimension * sizeof(float));
    if (slice.most > WIRE_PAYLOAD_BYTES_MAX / sizeof(uint64_t))
        slice.most = WIRE_PAYLOAD_BYTES_MAX / sizeof(uint64_t);
    most = EXPORT_BYTES_A_SLICE / (slice.dimension * (uint32_t)sizeof(float));
    most = most < EXPORT_ROWS_A_SLICE ? most : EXPORT_ROWS_A_SLICE;
    scan.next = *(const uint64_t *)payloads[EXPORT_CURSOR]->data;
    status = sparse_scan(sparse, &scan, request->header->step, most, slice_add, &slice, &error);
    if (status == CAIRN_OK)
        status = error_set(&error, slice_close(&slice, &scan), "out of memory");
    subject = request_subject(request, sparse->version);
    if (status == CAIRN_OK)
        shard_reply_check(&subject, replies_answer(request->shard->replies, &subject, request->client,
                                                   DATA_EXPORT, EXPORT_PAYLOADS, types, slice.payloads));
    else
        export_refuse(request, &error);
    slice_drop(&slice);
}
