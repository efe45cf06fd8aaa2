/* Capturing, writing and loading generations. */
#include "generation.h"

#include "base/clock.h"
#include "base/log.h"
#include "clock_record.h"
#include "cluster/placement.h"
#include "record.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* Rows of a sparse table that are copied at once: a fraction of a millisecond, for small ones and large ones.
 */
#define CAPTURE_ROWS  2048
#define CAPTURE_BYTES (512u << 10)

_Static_assert(JOB_TABLES_MAX <= 256,
               "a job's own tables, in a row and without others, differ in their lowest byte");
_Static_assert(DENSE_ARRAYS_MAX <= RECORD_ARRAYS_MAX, "a chunk's arrays fit its record");

struct generation *generation_new(const struct tables *tables, uint64_t step)
{
    struct generation *generation = calloc(1, sizeof(*generation));

    if (!generation)
        return NULL;
    generation->step = step;
    generation->piece_count = generation->room = tables_pieces_at(tables, step);
    if (generation->room > 0)
        generation->pieces = calloc(generation->room, sizeof(generation->pieces[0]));
    if (generation->room == 0 || generation->pieces)
        return generation;
    free(generation);
    return NULL;
}

void generation_free(struct generation *generation)
{
    if (!generation)
        return;
    generation_drop(generation, false);
    free(generation->pieces);
    free(generation);
}

void generation_arrived(struct generation *generation, const struct dense_chunk *chunk)
{
    generation->piece_count += generation_expects(generation->step, chunk);
}

void generation_left(struct generation *generation, const struct dense_chunk *chunk)
{
    generation->piece_count -=
        generation_expects(generation->step, chunk) && chunk->version < generation->step;
}

/* A new piece, all zero; NULL: out of memory. */
static struct generation_piece *piece_add(struct generation *generation)
{
    if (generation->held == generation->room) {
        uint32_t room = generation->room ? 2 * generation->room : 16;
        struct generation_piece *pieces = realloc(generation->pieces, room * sizeof(pieces[0]));

        if (!pieces)
            return NULL;
        memset(pieces + generation->held, 0, (room - generation->held) * sizeof(pieces[0]));
        generation->pieces = pieces;
        generation->room = room;
    }
    return &generation->pieces[generation->held++];
}

static enum status clocks_capture(struct generation_piece *piece, const struct dense_chunk *chunk,
                                  struct error *error)
{
    const struct clocks *clocks = chunk->clocks;

    piece->clocks = malloc((clocks->count ? clocks->count : 1) * sizeof(piece->clocks[0]));
    if (!piece->clocks)
        return error_set(error, CAIRN_NO_MEMORY, "out of memory for the clocks of chunk %u", chunk->number);
    for (uint32_t i = 0; i < clocks->count; i++)
        piece->clocks[i] = clocks->items[i];
    piece->clock_count = clocks->count;
    piece->version = chunk->version;
    return CAIRN_OK;
}

enum status generation_capture_dense(struct generation *generation, uint32_t table,
                                     const struct dense_chunk *chunk, struct error *error)
{
    struct generation_piece *piece;

    BUG_IF(chunk->version != generation->step && !chunk->clocks);
    piece = piece_add(generation);
    if (!piece)
        return error_set(error, CAIRN_NO_MEMORY, "out of memory for chunk %u of table %u", chunk->number,
                         table);
    piece->table = table;
    piece->chunk = chunk->number;
    piece->array_count = 1 + chunk->table->slot_count;
    if (chunk->clocks && clocks_capture(piece, chunk, error) != CAIRN_OK)
        return CAIRN_NO_MEMORY;
    piece->arrays[0] = buffer_ref(chunk->current);
    for (uint32_t i = 1; i < piece->array_count; i++)
        piece->arrays[i] = buffer_ref(chunk->slots[i - 1]);
    generation->piece_count += !generation_expects(generation->step, chunk);
    generation->captured++;
    return CAIRN_OK;
}

enum status generation_capture_sparse(struct generation *generation, const struct tables *tables,
                                      uint32_t table, struct error *error)
{
    struct generation_piece *piece = piece_add(generation);
    struct sparse_table *sparse = tables->items[table].sparse;
    enum status status;

    if (!piece)
        return error_set(error, CAIRN_NO_MEMORY, "out of memory for table %s", sparse->spec->name);
    BUG_IF(sparse->version != generation->step);
    generation->piece_count += !sparse_is_expected(sparse, generation->step);
    piece->table = table;
    piece->sparse = sparse;
    piece->candidates_whole = !sparse->candidates;
    status = rows_capture(sparse->rows, generation->step, &piece->rows, error);
    if (status == CAIRN_OK && sparse->candidates)
        status = rows_capture(sparse->candidates, generation->step, &piece->candidates, error);
    return status == CAIRN_OK ? status : error_prefix(error, status, "table %s", sparse->spec->name);
}

/* Rows of so many floats that are copied at once. */
static uint32_t rows_at_once(uint32_t floats)
{
    uint32_t rows = CAPTURE_BYTES / (floats * (uint32_t)sizeof(float));

    return rows == 0 ? 1 : rows < CAPTURE_ROWS ? rows : CAPTURE_ROWS;
}

static enum status piece_capture_more(struct generation_piece *piece, struct error *error)
{
    enum status status = CAIRN_OK;

    if (!piece->rows_whole)
        status = rows_capture_more(piece->sparse->rows, piece->rows, rows_at_once(piece->sparse->row_floats),
                                   &piece->rows_whole, error);
    else
        status = rows_capture_more(piece->sparse->candidates, piece->candidates, CAPTURE_ROWS,
                                   &piece->candidates_whole, error);
    return status == CAIRN_OK ? status : error_prefix(error, status, "table %s", piece->sparse->spec->name);
}

enum status generation_capture_more(struct generation *generation, bool *has_more, struct error *error)
{
    *has_more = false;
    for (uint32_t i = 0; generation->state == GENERATION_COLLECTING && i < generation->held; i++) {
        struct generation_piece *piece = &generation->pieces[i];
        enum status status;

        if (!piece->sparse || (piece->rows_whole && piece->candidates_whole))
            continue;
        status = piece_capture_more(piece, error);
        if (status != CAIRN_OK)
            return status;
        *has_more = true;
        generation->captured += piece->rows_whole && piece->candidates_whole;
        return CAIRN_OK; /* the next call looks again */
    }
    return CAIRN_OK;
}

bool generation_holds(const struct generation *generation, const struct sparse_table *sparse)
{
    for (uint32_t i = 0; i < generation->held; i++) {
        if (generation->pieces[i].sparse == sparse && generation->pieces[i].rows)
            return true;
    }
    return false;
}

bool generation_is_complete(const struct generation *generation)
{
    return generation->captured == generation->piece_count;
}

static void piece_drop(struct generation_piece *piece, bool is_durable)
{
    for (uint32_t i = 0; i < DENSE_ARRAYS_MAX; i++) {
        buffer_unref(piece->arrays[i]);
        piece->arrays[i] = NULL;
    }
    free(piece->clocks);
    piece->clocks = NULL;
    if (piece->rows)
        rows_captured(piece->sparse->rows, piece->rows, is_durable);
    if (piece->candidates)
        rows_captured(piece->sparse->candidates, piece->candidates, is_durable);
    piece->rows = piece->candidates = NULL;
}

void generation_drop(struct generation *generation, bool is_durable)
{
    for (uint32_t i = 0; i < generation->held; i++)
        piece_drop(&generation->pieces[i], is_durable);
}

/* The place that may be overwritten: not the one with the committed step; else one of the same step, which
 * was never the job's and is not to be found any more; else an empty or unreadable one, else the older. */
static uint32_t place_choose(const struct generation *generation, struct store_transaction *transaction,
                             const struct generation_piece *piece)
{
    uint64_t steps[RECORD_PLACES];
    bool there[RECORD_PLACES];

    for (uint32_t place = 0; place < RECORD_PLACES; place++) {
        there[place] = record_tag(transaction, piece->table, piece->chunk, place, &steps[place]);
        if (there[place] && steps[place] == generation->keep_step)
            return 1 - place;
    }
    for (uint32_t place = 0; place < RECORD_PLACES; place++) {
        if (there[place] && steps[place] == generation->step)
            return place;
    }
    if (!there[0] || !there[1])
        return there[0] ? 1 : 0;
    return steps[0] <= steps[1] ? 0 : 1;
}

static enum status chunk_write(const struct generation *generation, struct store_transaction *transaction,
                               const struct generation_piece *piece, struct error *error)
{
    struct record record = {.step = generation->step,
                            .table = piece->table,
                            .chunk = piece->chunk,
                            .arrays = piece->array_count,
                            .array_bytes = piece->arrays[0]->length_bytes};
    const struct clock_record clocks = {.step = generation->step,
                                        .table = piece->table,
                                        .chunk = piece->chunk,
                                        .version = piece->version,
                                        .count = piece->clock_count,
                                        .clocks = piece->clocks};
    uint32_t place = place_choose(generation, transaction, piece);
    enum status status;

    for (uint32_t i = 0; i < record.arrays; i++)
        record.values[i] = piece->arrays[i]->data;
    status = record_write(transaction, place, &record, error);
    if (status == CAIRN_OK && piece->clocks)
        status = clock_record_write(transaction, place, &clocks, error);
    return status;
}

static enum status piece_write(const struct generation *generation, struct store_transaction *transaction,
                               const struct generation_piece *piece, struct error *error)
{
    enum status status;

    if (!piece->sparse)
        return chunk_write(generation, transaction, piece, error);
    status = rows_capture_write(piece->rows, transaction, generation->keep_step, error);
    if (status == CAIRN_OK && piece->candidates)
        status = rows_capture_write(piece->candidates, transaction, generation->keep_step, error);
    return status == CAIRN_OK ? status : error_prefix(error, status, "table %s", piece->sparse->spec->name);
}

static int piece_compare(const void *left, const void *right)
{
    const struct generation_piece *a = left, *b = right;

    if (a->table != b->table)
        return a->table < b->table ? -1 : 1;
    return a->chunk < b->chunk ? -1 : a->chunk > b->chunk;
}

enum status generation_write(struct generation *generation, struct error *error)
{
    struct store_transaction *transaction;
    enum status status = store_begin_write(generation->store, &transaction, error);

    if (status != CAIRN_OK)
        return status;
    BUG_IF(!generation_is_complete(generation));
    if (generation->held > 0) /* as they came; in the order of the store's keys they lie together */
        qsort(generation->pieces, generation->held, sizeof(generation->pieces[0]), piece_compare);
    for (uint32_t i = 0; i < generation->held && status == CAIRN_OK; i++)
        status = piece_write(generation, transaction, &generation->pieces[i], error);
    if (status != CAIRN_OK) {
        store_abort(transaction);
        return status;
    }
    return store_commit(transaction, error);
}

static enum status chunk_load(struct store_transaction *transaction, uint32_t number,
                              const struct dense_table *table, struct dense_chunk *chunk, struct error *error)
{
    struct record wanted = {.step = chunk->version,
                            .table = number,
                            .chunk = chunk->number,
                            .arrays = 1 + table->slot_count,
                            .array_bytes = chunk->current->length_bytes};
    void *arrays[DENSE_ARRAYS_MAX] = {chunk->current->data};
    enum status status;

    for (uint32_t i = 0; i < table->slot_count; i++)
        arrays[1 + i] = chunk->slots[i]->data;
    status = record_load(transaction, &wanted, arrays, error);
    if (status == CAIRN_OK && chunk->clocks)
        status = clock_record_load(transaction, number, chunk->number, wanted.step, &chunk->version,
                                   chunk->clocks, error);
    return status;
}

enum status generation_load(struct store *store, const struct tables *tables, uint64_t step,
                            struct error *error)
{
    struct store_transaction *transaction;
    enum status status = store_begin_read(store, &transaction, error);

    if (status != CAIRN_OK)
        return status;
    for (uint32_t number = 0; number < tables->count; number++) {
        const struct dense_table *dense =
            tables_begins(tables, number, step) ? NULL : tables->items[number].dense;

        for (uint32_t i = 0; dense && i < dense->chunk_count && status == CAIRN_OK; i++) {
            if (!dense->chunks[i]->link.awaits)
                status = chunk_load(transaction, number, dense, dense->chunks[i], error);
        }
    }
    store_abort(transaction);
    return status;
}

enum status generation_load_chunk(struct store *store, uint32_t table, struct dense_chunk *chunk,
                                  struct error *error)
{
    struct store_transaction *transaction;
    enum status status = store_begin_read(store, &transaction, error);

    if (status != CAIRN_OK)
        return status;
    status = chunk_load(transaction, table, chunk->table, chunk, error);
    store_abort(transaction);
    return status;
}

/* Adds what a table's chunks hold in memory. */
static void table_add(const struct dense_table *table, uint32_t *chunks, uint64_t *bytes)
{
    *chunks += table->chunk_count;
    for (uint32_t i = 0; i < table->chunk_count; i++)
        *bytes += (1 + table->slot_count) * (uint64_t)table->chunks[i]->floats * sizeof(float);
}

void generation_log_loaded(const struct tables *tables, const struct job_store_owner *owner, uint64_t job,
                           uint64_t step, uint64_t began_ns)
{
    uint64_t took_ns = clock_ns() - began_ns, bytes = 0;
    uint32_t chunks = 0, sparse = 0;

    for (uint32_t number = 0; number < tables->count; number++) {
        if (tables->items[number].dense)
            table_add(tables->items[number].dense, &chunks, &bytes);
        sparse += tables->items[number].sparse != NULL;
    }
    log_info("state_loaded",
             "job=%" PRIu64 " shard=%" PRIu32 " step=%" PRIu64 " chunks=%" PRIu32 " bytes=%" PRIu64
             " sparse_tables=%" PRIu32 " ms=%.1f gb_per_s=%.2f",
             job, owner->shard, step, chunks, bytes, sparse, (double)took_ns * 1e-6,
             took_ns > 0 ? (double)bytes / (double)took_ns : 0.0);
}

static size_t dense_bytes(const struct dense_table *table)
{
    const size_t page = 4096;
    size_t bytes = 0;

    for (uint32_t i = 0; i < table->chunk_count; i++)
        bytes +=
            (1 + table->slot_count) * table->chunks[i]->floats * sizeof(float) + RECORD_OVERHEAD + 2 * page;
    return bytes;
}

size_t generation_map_bytes(const struct tables *tables)
{
    const size_t spare = (size_t)64 << 20;
    size_t bytes = 0;

    for (uint32_t number = 0; number < tables->count; number++)
        bytes += tables->items[number].dense ? dense_bytes(tables->items[number].dense) : 0;
    /* Two places, and as many pages again that older transactions have freed; twice that, for runs of free
     * pages that do not fit. It is address space only. */
    return 8 * bytes + spare;
}
