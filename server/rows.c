/* Rows by key: look-ups, new rows, removals. */
#include "rows_cold.h"
#include "rows_hash.h"
#include "rows_state.h"

#include <stdlib.h>
#include <string.h>

#define CHUNK_BYTES ((size_t)32 << 20)
#define SMALL_CHUNK_BYTES                                                                                    \
    ((size_t)256 << 10) /* no huge pages: a small budget would be lost in their ends                         \
                         */
#define FLAGS_AHEAD  16 /* rows whose flags are asked for before their turn */
#define SMALL_BUDGET ((uint64_t)64 << 20)

static enum status options_check(const struct rows_options *options, struct error *error)
{
    if (options->floats == 0 || options->floats > ROWS_FLOATS_MAX)
        return error_set(error, CAIRN_INVALID, "a row must have 1 to %u floats, not %u", ROWS_FLOATS_MAX,
                         options->floats);
    if ((options->budget_bytes || options->store) && !options->swap_directory)
        return error_set(error, CAIRN_INVALID,
                         "a table with a budget or a store needs a directory to swap to");
    return CAIRN_OK;
}

static enum status parts_open(struct rows *rows, const struct rows_options *options, struct error *error)
{
    struct durable_facts facts = {0, 0, 0};
    enum status status = index_init(&rows->index, error);

    if (options->swap_directory)
        rows->swap_directory = strdup(options->swap_directory);
    rows->cold_row = malloc(rows->slab.stride);
    if (status == CAIRN_OK && (!rows->cold_row || (options->swap_directory && !rows->swap_directory)))
        status = error_set(error, CAIRN_NO_MEMORY, "no memory for a table of rows");
    if (status == CAIRN_OK)
        status = rows_set_budget(rows, options->budget_bytes, error);
    if (status == CAIRN_OK && options->store) {
        rows->durable = (struct durable){
            .store = options->store, .table = options->table, .record_bytes = rows->record_bytes};
        status = durable_open(&rows->durable, options->step, options->is_new, options->is_any, &facts, error);
        rows->count = facts.rows;
        rows->durable_sum = facts.sum;
    }
    return status;
}

enum status rows_new(const struct rows_options *options, struct rows **out, struct error *error)
{
    bool is_small = options->budget_bytes > 0 && options->budget_bytes < SMALL_BUDGET;
    struct rows *rows;
    enum status status = options_check(options, error);

    if (status != CAIRN_OK)
        return status;
    rows = calloc(1, sizeof(*rows));
    if (!rows)
        return error_set(error, CAIRN_NO_MEMORY, "no memory for a table of rows");
    rows->floats = options->floats;
    rows->record_bytes = row_record_bytes(options->floats);
    slab_init(&rows->slab, options->floats, is_small ? SMALL_CHUNK_BYTES : CHUNK_BYTES);
    status = parts_open(rows, options, error);
    if (status != CAIRN_OK) {
        rows_free(rows);
        return status;
    }
    *out = rows;
    return CAIRN_OK;
}

void rows_free(struct rows *rows)
{
    if (!rows)
        return;
    BUG_IF(rows->capture);
    swap_close(&rows->swap);
    index_fini(&rows->index);
    slab_fini(&rows->slab);
    free(rows->budget.victims);
    free(rows->budget.scratch);
    free(rows->swap_directory);
    free(rows->cold_row);
    free(rows);
}

/* --- one row --- */

uint32_t row_add(struct rows *rows, uint64_t hash, uint64_t key)
{
    uint32_t place = slab_take(&rows->slab);
    struct row *row;

    if (place == SLAB_NONE)
        return SLAB_NONE;
    row = slab_row(&rows->slab, place);
    row->key = key;
    row->used_step = 0;
    if (!index_add(&rows->index, &rows->slab, hash, place)) {
        slab_give(&rows->slab, place);
        return SLAB_NONE;
    }
    rows->resident++;
    return place;
}

void row_drop(struct rows *rows, uint64_t hash, uint32_t place)
{
    rows->resident -= !slab_is(&rows->slab, SLAB_REMOVED, place);
    index_remove(&rows->index, hash, place);
    slab_give(&rows->slab, place);
}

static enum status memory_error(const struct rows *rows, struct error *error)
{
    return error_set(error, CAIRN_NO_MEMORY, "no memory for more rows of a table that has %llu in memory",
                     (unsigned long long)rows->resident);
}

enum status row_load(struct rows *rows, uint64_t hash, const void *record, uint32_t *place,
                     struct error *error)
{
    uint32_t at = row_add(rows, hash, rows_unhash(hash));

    if (at == SLAB_NONE)
        return memory_error(rows, error);
    row_record_read(hash, record, rows->record_bytes, slab_row(&rows->slab, at));
    *place = at;
    return CAIRN_OK;
}

static void row_hide(struct rows *rows, uint32_t place)
{
    slab_row(&rows->slab, place)->used_step = ROW_REMOVED;
    slab_set(&rows->slab, SLAB_REMOVED, place);
    slab_set(&rows->slab, SLAB_DIRTY, place);
    rows->resident--;
}

enum status row_remove(struct rows *rows, uint64_t hash, uint32_t place, struct error *error)
{
    bool may_be_cold = rows->durable.store || rows->swap.counts[0] + rows->swap.counts[1] > 0;
    enum status status = capture_keep(rows, place, error);

    if (status != CAIRN_OK || slab_is(&rows->slab, SLAB_REMOVED, place))
        return status;
    rows->count--;
    if (may_be_cold)
        row_hide(rows, place);
    else
        row_drop(rows, hash, place);
    return CAIRN_OK;
}

/* --- blocks --- */

static uint32_t places_find(struct rows *rows, const uint64_t *keys, uint32_t count)
{
    uint32_t missing = 0;

    BUG_IF(count > ROWS_BLOCK_MAX);
    index_find_block(&rows->index, &rows->slab, keys, count, rows->hashes, rows->places, rows->found);
    for (uint32_t i = 0; i < count; i++)
        missing += rows->places[i] == SLAB_NONE;
    return missing;
}

/* Puts the rows of the block that are cold in memory; there is room. They are looked up in the order that
 * they lie in. */
static enum status cold_load(struct rows *rows, uint32_t count, struct error *error)
{
    struct cold_reader reader;
    uint32_t missing = 0;
    enum status status = cold_open(rows, &reader, error);

    for (uint32_t i = 0; i < count; i++) {
        if (rows->places[i] == SLAB_NONE)
            rows->sorted[missing++] = (struct sort_item){rows->hashes[i], i};
    }
    rows_sort(rows->sorted, rows->scratch, missing);
    for (uint32_t i = 0; i < missing && status == CAIRN_OK; i++) {
        const struct sort_item *item = &rows->sorted[i];
        const void *record;

        if (i > 0 && item->hash == item[-1].hash) {
            rows->places[item->value] = rows->places[item[-1].value];
            rows->found[item->value] = rows->found[item[-1].value];
            continue;
        }
        status = cold_get(&reader, item->hash, &record, error);
        if (status == CAIRN_OK && record) {
            status = row_load(rows, item->hash, record, &rows->places[item->value], error);
            if (status == CAIRN_OK)
                rows->found[item->value] = slab_row(&rows->slab, rows->places[item->value]);
        }
    }
    cold_close(&reader);
    return status;
}

/* The places of the rows of a block, whether they were in memory or not.
 * makes: rows that are not there will be added, there must be room for them too. */
static enum status block_find(struct rows *rows, const uint64_t *keys, uint32_t count, bool makes,
                              struct error *error)
{
    uint32_t missing = places_find(rows, keys, count);
    bool has_cold = rows->resident < rows->count;
    enum status status;

    if (missing > 0 && (makes || has_cold) && clock_room(rows) < missing) {
        status = clock_evict(rows, error);
        if (status != CAIRN_OK)
            return status;
        missing = places_find(rows, keys, count);
        has_cold = rows->resident < rows->count;
    }
    rows->misses += missing;
    rows->hits += count - missing;
    return missing > 0 && has_cold ? cold_load(rows, count, error) : CAIRN_OK;
}

enum status rows_find(struct rows *rows, const uint64_t *keys, uint32_t count, struct row **found,
                      struct error *error)
{
    enum status status = block_find(rows, keys, count, false, error);

    if (status != CAIRN_OK)
        return status;
    for (uint32_t i = 0; i < count; i++) {
        struct row *row = rows->found[i];

        found[i] = row && row->used_step != ROW_REMOVED ? row : NULL;
    }
    for (uint32_t i = 0; i < count && rows->budget.bytes; i++) {
        if (rows->places[i] != SLAB_NONE)
            slab_set(&rows->slab, SLAB_REFERENCED, rows->places[i]);
    }
    return CAIRN_OK;
}

/* Adds the i-th row of the block, or brings it back. */
static enum status row_renew(struct rows *rows, uint32_t i, uint64_t key, struct error *error)
{
    if (rows->places[i] == SLAB_NONE) {
        rows->places[i] = row_add(rows, rows->hashes[i], key);
        if (rows->places[i] == SLAB_NONE)
            return memory_error(rows, error);
        rows->found[i] = slab_row(&rows->slab, rows->places[i]);
    } else {
        rows->found[i]->used_step = 0;
        slab_clear(&rows->slab, SLAB_REMOVED, rows->places[i]);
        rows->resident++;
    }
    rows->count++;
    return CAIRN_OK;
}

/* Makes the i-th row of the block what the caller may change. */
static inline enum status row_make(struct rows *rows, uint32_t i, uint64_t key, bool *is_new,
                                   struct error *error)
{
    enum status status = CAIRN_OK;

    if (rows->capture && rows->found[i])
        status = capture_keep(rows, rows->places[i], error);
    *is_new = !rows->found[i] || rows->found[i]->used_step == ROW_REMOVED;
    if (status == CAIRN_OK && *is_new)
        status = row_renew(rows, i, key, error);
    if (status != CAIRN_OK)
        return status;
    slab_set(&rows->slab, SLAB_DIRTY, rows->places[i]);
    if (rows->budget.bytes)
        slab_set(&rows->slab, SLAB_REFERENCED, rows->places[i]);
    return CAIRN_OK;
}

enum status rows_make(struct rows *rows, const uint64_t *keys, uint32_t count, struct row **made,
                      bool *is_new, struct error *error)
{
    uint32_t done = 0;
    enum status status = block_find(rows, keys, count, true, error);

    while (status == CAIRN_OK && done < count) {
        if (done + FLAGS_AHEAD < count && rows->places[done + FLAGS_AHEAD] != SLAB_NONE)
            __builtin_prefetch(slab_word(&rows->slab, SLAB_DIRTY, rows->places[done + FLAGS_AHEAD]), 1);
        status = row_make(rows, done, keys[done], &is_new[done], error);
        if (status == CAIRN_OK) {
            made[done] = rows->found[done];
            done++;
        }
    }
    if (status == CAIRN_OK)
        return CAIRN_OK;
    while (done-- > 0) {
        /* A new row is in no capture, so that taking it back cannot fail. */
        if (is_new[done] && row_remove(rows, rows->hashes[done], rows->places[done], NULL) != CAIRN_OK)
            BUG("a new row cannot be removed");
    }
    return status;
}

enum status rows_remove(struct rows *rows, const uint64_t *keys, uint32_t count, struct error *error)
{
    enum status status = block_find(rows, keys, count, false, error);

    for (uint32_t i = 0; i < count && status == CAIRN_OK; i++) {
        uint32_t place = rows->places[i];

        /* The key may have come before, and its place be free now. */
        if (place != SLAB_NONE && slab_is(&rows->slab, SLAB_LIVE, place))
            status = row_remove(rows, rows->hashes[i], place, error);
    }
    return status;
}

void rows_facts(const struct rows *rows, struct rows_facts *facts)
{
    *facts = (struct rows_facts){
        .rows = rows->count,
        .resident = rows->resident,
        .memory_bytes = sizeof(*rows) + slab_bytes(&rows->slab) + index_bytes(&rows->index) +
                        2 * rows->budget.batch * sizeof(*rows->budget.victims) + rows->slab.stride,
        .hits = rows->hits,
        .misses = rows->misses,
        .evictions = rows->evictions,
        .swap_bytes = (rows->swap.counts[0] + rows->swap.counts[1]) * rows->record_bytes};
}
