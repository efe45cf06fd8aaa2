/* Captures: what a generation of a table's rows consists of.
 *
 * Problem: a generation is the table at one step, while the table goes on. Design: at the boundary the dirty
 * flags become the capture's, word by word, and what was swapped becomes the swap's old half; that is all
 * that the shard waits for. The rows are then copied in slices between other work, and a row that is about to
 * change or to leave memory is copied before. Until the generation is durable its rows count as dirty when
 * they leave memory (they go to the swap), so that nobody has to look them up in the capture. The writer
 * sorts the copies and merges them with the old half; a row in both was changed after it came back, so the
 * copy is right. */
#include "rows_hash.h"
#include "rows_state.h"

#include <stdlib.h>
#include <string.h>

#define BLOCK_BYTES ((size_t)1 << 20)

struct rows_capture {
    struct durable durable; /* a copy */
    uint64_t step;
    size_t entry_bytes; /* u64 hash, the record */
    unsigned char **blocks;
    uint32_t block_count, block_room, block_entries;
    uint64_t count;         /* entries */
    uint32_t next, high;    /* places still to be looked at */
    struct store *swap;     /* NULL: there is no old half */
    struct store_table old; /* the old half */
};

static unsigned char *entry_at(const struct rows_capture *capture, uint64_t i)
{
    return capture->blocks[i / capture->block_entries] + i % capture->block_entries * capture->entry_bytes;
}

static void capture_free(struct rows_capture *capture)
{
    if (!capture)
        return;
    for (uint32_t i = 0; i < capture->block_count; i++)
        free(capture->blocks[i]);
    free(capture->blocks);
    free(capture);
}

static bool block_add(struct rows_capture *capture)
{
    if (capture->block_count == capture->block_room) {
        uint32_t room = capture->block_room ? 2 * capture->block_room : 16;
        unsigned char **blocks = realloc(capture->blocks, room * sizeof(*blocks));

        if (!blocks)
            return false;
        capture->blocks = blocks;
        capture->block_room = room;
    }
    capture->blocks[capture->block_count] = malloc(capture->block_entries * capture->entry_bytes);
    if (!capture->blocks[capture->block_count])
        return false;
    capture->block_count++;
    return true;
}

/* --- the shard's thread --- */

enum status capture_keep(struct rows *rows, uint32_t place, struct error *error)
{
    struct rows_capture *capture = rows->capture;
    const struct row *row;
    unsigned char *entry;
    uint64_t hash;

    if (!capture || !slab_is(&rows->slab, SLAB_UNCOPIED, place))
        return CAIRN_OK;
    if (capture->count == (uint64_t)capture->block_count * capture->block_entries && !block_add(capture))
        return error_set(error, CAIRN_NO_MEMORY, "no memory for a generation of %llu rows",
                         (unsigned long long)capture->count);
    row = slab_row(&rows->slab, place);
    entry = entry_at(capture, capture->count++);
    hash = rows_hash(row->key);
    memcpy(entry, &hash, sizeof(hash));
    row_record_write(hash, row, entry + sizeof(hash), rows->record_bytes);
    slab_clear(&rows->slab, SLAB_UNCOPIED, place);
    return CAIRN_OK;
}

enum status rows_capture(struct rows *rows, uint64_t step, struct rows_capture **out, struct error *error)
{
    struct rows_capture *capture = calloc(1, sizeof(*capture));
    enum status status;

    BUG_IF(rows->capture || !rows->durable.store);
    if (!capture)
        return error_set(error, CAIRN_NO_MEMORY, "no memory for a generation");
    status = swap_turn(&rows->swap, error);
    if (status != CAIRN_OK) {
        free(capture);
        return status;
    }
    capture->durable = rows->durable;
    rows->durable.is_loose = false; /* it is this one's, unless that fails */
    capture->step = step;
    capture->entry_bytes = sizeof(uint64_t) + rows->record_bytes;
    capture->block_entries = (uint32_t)(BLOCK_BYTES / capture->entry_bytes);
    if (capture->block_entries == 0)
        capture->block_entries = 1;
    capture->high = rows->slab.high;
    if (rows->swap.old_is_live) {
        capture->swap = rows->swap.store;
        capture->old = rows->swap.halves[1 - rows->swap.active];
    }
    for (uint32_t place = 0; place < capture->high; place += SLAB_WORD) {
        uint64_t *dirty = slab_word(&rows->slab, SLAB_DIRTY, place);

        *slab_word(&rows->slab, SLAB_PENDING, place) = *dirty;
        *slab_word(&rows->slab, SLAB_UNCOPIED, place) = *dirty;
        *dirty = 0;
    }
    rows->capture = *out = capture;
    return CAIRN_OK;
}

enum status rows_capture_more(struct rows *rows, struct rows_capture *capture, uint32_t most, bool *is_whole,
                              struct error *error)
{
    uint64_t until = capture->count + most;
    enum status status = CAIRN_OK;

    while (status == CAIRN_OK && capture->next < capture->high && capture->count < until) {
        uint64_t word = *slab_word(&rows->slab, SLAB_UNCOPIED, capture->next);

        for (; status == CAIRN_OK && word && capture->count < until; word &= word - 1)
            status = capture_keep(rows, capture->next + (uint32_t)__builtin_ctzll(word), error);
        if (status == CAIRN_OK && !word)
            capture->next += SLAB_WORD;
    }
    *is_whole = status == CAIRN_OK && capture->next >= capture->high;
    return status;
}

void capture_narrow(struct rows *rows)
{
    if (rows->capture && rows->capture->high > rows->slab.high)
        rows->capture->high = rows->slab.high;
}

void rows_loosen(struct rows *rows)
{
    rows->durable.is_loose = true;
}

/* Removed rows that the store knows of have nothing left to hide. */
static void removed_drop(struct rows *rows, uint32_t place)
{
    uint64_t clean =
        *slab_word(&rows->slab, SLAB_REMOVED, place) & ~*slab_word(&rows->slab, SLAB_DIRTY, place);

    for (; clean; clean &= clean - 1) {
        uint32_t removed = place + (uint32_t)__builtin_ctzll(clean);

        row_drop(rows, rows_hash(slab_row(&rows->slab, removed)->key), removed);
    }
}

void rows_captured(struct rows *rows, struct rows_capture *capture, bool is_durable)
{
    BUG_IF(rows->capture != capture || (is_durable && capture->next < capture->high));
    rows->capture = NULL;
    for (uint32_t place = 0; place < capture->high; place += SLAB_WORD) {
        uint64_t *pending = slab_word(&rows->slab, SLAB_PENDING, place);

        if (!is_durable)
            *slab_word(&rows->slab, SLAB_DIRTY, place) |= *pending;
        *pending = 0;
        *slab_word(&rows->slab, SLAB_UNCOPIED, place) = 0;
        if (is_durable)
            removed_drop(rows, place);
    }
    if (is_durable)
        swap_drop_old(&rows->swap);
    else if (capture->durable.is_loose)
        rows_loosen(rows);
    capture_free(capture);
}

/* --- the writer's thread --- */

/* The old half, in order. */
struct old_half {
    struct store_transaction *transaction;
    struct store_cursor *cursor;
    bool is_there;
    uint64_t hash;
    const void *record;
    size_t bytes;
};

static enum status old_set(struct old_half *old, enum status status)
{
    old->is_there = status == CAIRN_OK;
    return status == CAIRN_NOT_FOUND ? CAIRN_OK : status;
}

static enum status old_open(const struct rows_capture *capture, struct old_half *old, struct error *error)
{
    enum status status;

    memset(old, 0, sizeof(*old));
    if (!capture->swap)
        return CAIRN_OK;
    status = store_begin_read(capture->swap, &old->transaction, error);
    if (status == CAIRN_OK)
        status = store_cursor_open(old->transaction, &capture->old, &old->cursor, error);
    if (status == CAIRN_OK)
        status =
            old_set(old, store_cursor_seek(old->cursor, 0, &old->hash, &old->record, &old->bytes, error));
    return status;
}

static void old_close(struct old_half *old)
{
    store_cursor_close(old->cursor);
    store_abort(old->transaction);
}

/* Writes the old half's records before `until`, and passes over the one at it. has_until false: all. */
static enum status old_write(const struct rows_capture *capture, struct old_half *old,
                             struct durable_writer *writer, bool has_until, uint64_t until,
                             struct error *error)
{
    enum status status = CAIRN_OK;

    while (status == CAIRN_OK && old->is_there && (!has_until || old->hash <= until)) {
        if ((!has_until || old->hash < until) && old->bytes > 0)
            status =
                row_record_check(old->hash, old->record, old->bytes, capture->durable.record_bytes, error);
        if (status == CAIRN_OK && (!has_until || old->hash < until))
            status = durable_put(writer, old->hash, old->bytes > 0 ? old->record : NULL, error);
        if (status == CAIRN_OK)
            status =
                old_set(old, store_cursor_next(old->cursor, &old->hash, &old->record, &old->bytes, error));
    }
    return status;
}

static enum status all_write(const struct rows_capture *capture, const struct sort_item *items,
                             struct durable_writer *writer, struct error *error)
{
    struct old_half old;
    enum status status = old_open(capture, &old, error);

    for (uint64_t i = 0; i < capture->count && status == CAIRN_OK; i++) {
        const unsigned char *record = (const unsigned char *)(uintptr_t)items[i].value;
        uint32_t used_step;

        memcpy(&used_step, record + sizeof(uint32_t), sizeof(used_step));
        status = old_write(capture, &old, writer, true, items[i].hash, error);
        if (status == CAIRN_OK)
            status = durable_put(writer, items[i].hash, used_step == ROW_REMOVED ? NULL : record, error);
    }
    if (status == CAIRN_OK)
        status = old_write(capture, &old, writer, false, 0, error);
    old_close(&old);
    return status;
}

/* The copies, in order of hash; [count] twice, the second half is scratch. NULL: out of memory. */
static struct sort_item *copies_sort(const struct rows_capture *capture)
{
    struct sort_item *items = malloc((2 * capture->count + 1) * sizeof(*items));

    for (uint64_t i = 0; items && i < capture->count; i++) {
        const unsigned char *entry = entry_at(capture, i);

        memcpy(&items[i].hash, entry, sizeof(items[i].hash));
        items[i].value = (uintptr_t)(entry + sizeof(items[i].hash));
    }
    if (items)
        rows_sort(items, items + capture->count, capture->count);
    return items;
}

enum status rows_capture_write(const struct rows_capture *capture, struct store_transaction *transaction,
                               uint64_t keep_step, struct error *error)
{
    struct durable_writer writer;
    struct sort_item *items = copies_sort(capture);
    enum status status;

    if (!items)
        return error_set(error, CAIRN_NO_MEMORY, "no memory to write a generation of %llu rows",
                         (unsigned long long)capture->count);
    status = durable_begin(&capture->durable, transaction, capture->step, keep_step, &writer, error);
    if (status == CAIRN_OK)
        status = all_write(capture, items, &writer, error);
    status = durable_end(&writer, status, error);
    free(items);
    return status;
}
