/* Rows by key: look-ups, new rows, removals. */
#include "rows.h"

#include "rows_index.h"
#include "rows_slab.h"

#include <stdlib.h>

struct rows {
    struct slab slab;
    struct rows_index index;
    uint64_t count;
    uint64_t hits, misses;
    uint64_t hashes[ROWS_BLOCK_MAX]; /* of the block at hand */
    uint32_t places[ROWS_BLOCK_MAX];
};

enum status rows_new(const struct rows_options *options, struct rows **out, struct error *error)
{
    struct rows *rows;
    enum status status;

    if (options->floats == 0 || options->floats > ROWS_FLOATS_MAX)
        return error_set(error, CAIRN_INVALID, "a row must have 1 to %u floats, not %u", ROWS_FLOATS_MAX,
                         options->floats);
    rows = calloc(1, sizeof(*rows));
    if (!rows)
        return error_set(error, CAIRN_NO_MEMORY, "no memory for a table of rows");
    slab_init(&rows->slab, options->floats);
    status = index_init(&rows->index, error);
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
    index_fini(&rows->index);
    slab_fini(&rows->slab);
    free(rows);
}

static void block_look_up(struct rows *rows, const uint64_t *keys, uint32_t count)
{
    BUG_IF(count > ROWS_BLOCK_MAX);
    index_find_block(&rows->index, &rows->slab, keys, count, rows->hashes, rows->places);
    for (uint32_t i = 0; i < count; i++)
        rows->hits += rows->places[i] != SLAB_NONE;
}

enum status rows_find(struct rows *rows, const uint64_t *keys, uint32_t count, struct row **found,
                      struct error *error)
{
    (void)error;
    block_look_up(rows, keys, count);
    for (uint32_t i = 0; i < count; i++)
        found[i] = rows->places[i] == SLAB_NONE ? NULL : slab_row(&rows->slab, rows->places[i]);
    return CAIRN_OK;
}

/* A new row for the key; SLAB_NONE: out of memory. */
static uint32_t row_add(struct rows *rows, uint64_t hash, uint64_t key)
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
    rows->count++;
    return place;
}

static void row_drop(struct rows *rows, uint64_t hash, uint32_t place)
{
    index_remove(&rows->index, hash, place);
    slab_give(&rows->slab, place);
    rows->count--;
}

enum status rows_make(struct rows *rows, const uint64_t *keys, uint32_t count, struct row **made,
                      bool *is_new, struct error *error)
{
    uint32_t done;

    block_look_up(rows, keys, count);
    for (done = 0; done < count; done++) {
        is_new[done] = rows->places[done] == SLAB_NONE;
        if (is_new[done]) {
            rows->places[done] = row_add(rows, rows->hashes[done], keys[done]);
            if (rows->places[done] == SLAB_NONE)
                break;
        }
        slab_set(&rows->slab, SLAB_DIRTY, rows->places[done]);
        made[done] = slab_row(&rows->slab, rows->places[done]);
    }
    if (done == count)
        return CAIRN_OK;
    while (done-- > 0) {
        if (is_new[done])
            row_drop(rows, rows->hashes[done], rows->places[done]);
    }
    return error_set(error, CAIRN_NO_MEMORY, "no memory for more rows of a table of %llu",
                     (unsigned long long)rows->count);
}

enum status rows_remove(struct rows *rows, const uint64_t *keys, uint32_t count, struct error *error)
{
    (void)error;
    block_look_up(rows, keys, count);
    for (uint32_t i = 0; i < count; i++) {
        /* The key may have come before. */
        if (rows->places[i] != SLAB_NONE && slab_is(&rows->slab, SLAB_LIVE, rows->places[i]))
            row_drop(rows, rows->hashes[i], rows->places[i]);
    }
    return CAIRN_OK;
}

void rows_facts(const struct rows *rows, struct rows_facts *facts)
{
    *facts = (struct rows_facts){.rows = rows->count,
                                 .resident = rows->count,
                                 .memory_bytes =
                                     sizeof(*rows) + slab_bytes(&rows->slab) + index_bytes(&rows->index),
                                 .hits = rows->hits,
                                 .misses = rows->misses};
}
