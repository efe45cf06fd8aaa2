/* Going over all rows of a table: scans, expiry, warming.
 *
 * A slice is a range of hashes, taken whole: the rows in memory, then the cold ones that memory does not
 * have. Whatever moves between slices keeps its hash, so that nothing is missed or visited twice. */
#include "rows_cold.h"
#include "rows_hash.h"
#include "rows_state.h"

/* The end of the slice of about `most` rows that begins with the hash `first`. */
static uint64_t slice_last(const struct rows *rows, uint64_t first, uint32_t most)
{
    uint64_t places = slab_used(&rows->slab) > rows->count ? slab_used(&rows->slab) : rows->count;
    uint64_t width = places > most ? UINT64_MAX / places * (most ? most : 1) : UINT64_MAX;

    return width < UINT64_MAX - first ? first + width : UINT64_MAX;
}

static bool is_in_memory(const struct rows *rows, uint64_t hash)
{
    return index_find(&rows->index, &rows->slab, hash, rows_unhash(hash)) != SLAB_NONE;
}

/* --- scans --- */

static enum status memory_visit(const struct rows *rows, uint64_t first, uint64_t last, uint32_t since,
                                rows_visit *visit, void *context, struct error *error)
{
    struct index_walk walk;
    uint64_t hash;
    uint32_t place;
    enum status status = CAIRN_OK;

    index_walk_begin(&walk, &rows->index, &rows->slab, first, last);
    while (status == CAIRN_OK && index_walk_next(&walk, &hash, &place)) {
        const struct row *row = slab_row(&rows->slab, place);

        if (row->used_step != ROW_REMOVED && row->used_step >= since)
            status = visit(context, row, error);
    }
    return status;
}

static enum status cold_visit(struct rows *rows, uint64_t first, uint64_t last, uint32_t since,
                              rows_visit *visit, void *context, struct error *error)
{
    struct cold_reader reader;
    uint64_t hash;
    const void *record;
    bool is_end = false;
    enum status status = cold_open(rows, &reader, error);

    if (status == CAIRN_OK)
        status = cold_seek(&reader, first, error);
    while (status == CAIRN_OK && !is_end) {
        status = cold_next(&reader, last, &hash, &record, error);
        is_end = status == CAIRN_NOT_FOUND;
        if (status != CAIRN_OK || is_in_memory(rows, hash))
            continue;
        row_record_read(hash, record, rows->record_bytes, rows->cold_row);
        if (rows->cold_row->used_step >= since)
            status = visit(context, rows->cold_row, error);
    }
    cold_close(&reader);
    return is_end ? CAIRN_OK : status;
}

enum status rows_scan(struct rows *rows, struct rows_scan *scan, uint32_t since, uint32_t most,
                      rows_visit *visit, void *context, struct error *error)
{
    uint64_t last = slice_last(rows, scan->next, most);
    enum status status;

    if (scan->is_done)
        return CAIRN_OK;
    status = memory_visit(rows, scan->next, last, since, visit, context, error);
    if (status == CAIRN_OK && rows->resident < rows->count)
        status = cold_visit(rows, scan->next, last, since, visit, context, error);
    if (status == CAIRN_OK) {
        scan->is_done = last == UINT64_MAX;
        scan->next = last + 1;
    }
    return status;
}

/* --- expiry --- */

static enum status memory_expire(struct rows *rows, uint64_t last, uint32_t before, struct error *error)
{
    struct index_walk walk;
    uint64_t hash;
    uint32_t place;
    enum status status = CAIRN_OK;

    index_walk_begin(&walk, &rows->index, &rows->slab, rows->expire_next, last);
    while (status == CAIRN_OK && index_walk_next(&walk, &hash, &place)) {
        if (slab_row(&rows->slab, place)->used_step < before)
            status = row_remove(rows, hash, place, error);
    }
    return status;
}

/* The cold rows of the slice that have expired, at most a block: *last is put back when there are more. */
static enum status cold_collect(struct rows *rows, uint64_t *last, uint32_t before, uint32_t *count,
                                struct error *error)
{
    struct cold_reader reader;
    uint64_t hash;
    const void *record;
    bool is_end = false;
    enum status status = cold_open(rows, &reader, error);

    *count = 0;
    if (status == CAIRN_OK)
        status = cold_seek(&reader, rows->expire_next, error);
    while (status == CAIRN_OK && !is_end && *count < ROWS_BLOCK_MAX) {
        status = cold_next(&reader, *last, &hash, &record, error);
        is_end = status == CAIRN_NOT_FOUND;
        if (status != CAIRN_OK || is_in_memory(rows, hash))
            continue;
        row_record_read(hash, record, rows->record_bytes, rows->cold_row);
        if (rows->cold_row->used_step < before)
            rows->sorted[(*count)++].hash = hash;
    }
    cold_close(&reader);
    if (!is_end && status == CAIRN_OK)
        *last = hash;
    return is_end ? CAIRN_OK : status;
}

/* Hides cold rows behind empty records of the swap. */
static enum status cold_remove(struct rows *rows, uint32_t count, struct error *error)
{
    struct swap_writer writer;
    void *record;
    enum status status = CAIRN_OK;

    if (!rows->swap.store)
        status = swap_open(&rows->swap, rows->swap_directory, error);
    if (status == CAIRN_OK)
        status = swap_begin(&rows->swap, &writer, error);
    if (status != CAIRN_OK)
        return status;
    for (uint32_t i = 0; i < count && status == CAIRN_OK; i++) {
        uint64_t hash = rows->sorted[i].hash;

        status = rows->durable.store ? swap_reserve(&writer, hash, 0, &record, error)
                                     : swap_remove(&writer, hash, error);
    }
    status = swap_end(&writer, status, error);
    if (status == CAIRN_OK)
        rows->count -= count;
    return status;
}

enum status rows_expire(struct rows *rows, uint32_t before, uint32_t most, struct error *error)
{
    uint64_t last = slice_last(rows, rows->expire_next, most);
    uint32_t cold = 0;
    enum status status = memory_expire(rows, last, before, error);

    if (status == CAIRN_OK && rows->resident < rows->count)
        status = cold_collect(rows, &last, before, &cold, error);
    if (status == CAIRN_OK && cold > 0)
        status = cold_remove(rows, cold, error);
    if (status == CAIRN_OK)
        rows->expire_next = last + 1;
    return status;
}

/* --- warming --- */

enum status rows_warm(struct rows *rows, uint64_t *bytes, struct error *error)
{
    struct cold_reader reader;
    uint64_t hash, sum = 0;
    const void *record;
    uint32_t place;
    enum status status;

    *bytes = 0;
    BUG_IF(rows->resident > 0 || rows->swap.store);
    status = cold_open(rows, &reader, error);
    if (status == CAIRN_OK)
        status = cold_seek(&reader, 0, error);
    while (status == CAIRN_OK && clock_room(rows) > rows->budget.batch) {
        status = cold_next(&reader, UINT64_MAX, &hash, &record, error);
        if (status == CAIRN_OK)
            status = row_load(rows, hash, record, &place, error);
        if (status == CAIRN_OK) {
            sum += row_record_checksum(record);
            *bytes += rows->record_bytes;
        }
    }
    cold_close(&reader);
    if (status == CAIRN_NOT_FOUND && (rows->resident != rows->count || sum != rows->durable_sum))
        return error_set(error, CAIRN_CORRUPT,
                         "the rows of table %u in the store are not those that were written",
                         rows->durable.table);
    return status == CAIRN_NOT_FOUND ? CAIRN_OK : status;
}
