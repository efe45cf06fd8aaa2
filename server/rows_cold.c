/* Rows that are not in memory: three places, of which the first that knows a row is right. */
#include "rows_cold.h"

#include <string.h>

static enum status half_open(struct cold_reader *reader, enum cold_place place, unsigned half,
                             struct error *error)
{
    const struct swap *swap = &reader->rows->swap;

    if (swap->counts[half] == 0)
        return CAIRN_OK;
    return store_cursor_open(reader->swap, &swap->halves[half], &reader->heads[place].cursor, error);
}

enum status cold_open(struct rows *rows, struct cold_reader *reader, struct error *error)
{
    const struct swap *swap = &rows->swap;
    enum status status = CAIRN_OK;

    memset(reader, 0, sizeof(*reader));
    reader->rows = rows;
    if (swap->store && swap->counts[0] + swap->counts[1] > 0) {
        status = store_begin_read(swap->store, &reader->swap, error);
        if (status == CAIRN_OK)
            status = half_open(reader, COLD_ACTIVE, swap->active, error);
        if (status == CAIRN_OK && swap->old_is_live)
            status = half_open(reader, COLD_OLD, 1 - swap->active, error);
    }
    if (status == CAIRN_OK && rows->durable.store) {
        status = store_begin_read(rows->durable.store, &reader->durable, error);
        if (status == CAIRN_OK)
            status = store_cursor_open(reader->durable, &rows->durable.rows,
                                       &reader->heads[COLD_DURABLE].cursor, error);
    }
    return status;
}

void cold_close(struct cold_reader *reader)
{
    for (int i = 0; i < COLD_PLACES; i++)
        store_cursor_close(reader->heads[i].cursor);
    store_abort(reader->swap);
    store_abort(reader->durable);
    memset(reader, 0, sizeof(*reader));
}

/* Checks what a place has for a row: an empty record of the swap is a removed row. */
static enum status record_take(struct cold_reader *reader, enum cold_place place, uint64_t hash,
                               const void *found, size_t bytes, const void **record, struct error *error)
{
    *record = NULL;
    if (bytes == 0 && place != COLD_DURABLE)
        return CAIRN_OK;
    *record = found;
    return row_record_check(hash, found, bytes, reader->rows->record_bytes, error);
}

enum status cold_get(struct cold_reader *reader, uint64_t hash, const void **record, struct error *error)
{
    for (enum cold_place place = 0; place < COLD_PLACES; place++) {
        struct store_cursor *cursor = reader->heads[place].cursor;
        const void *found;
        size_t bytes;
        enum status status = cursor ? store_cursor_get(cursor, hash, &found, &bytes, error) : CAIRN_NOT_FOUND;

        if (status == CAIRN_OK)
            return record_take(reader, place, hash, found, bytes, record, error);
        if (status != CAIRN_NOT_FOUND)
            return status;
    }
    *record = NULL;
    return CAIRN_OK;
}

/* Notes where a head has come to. */
static enum status head_set(struct cold_head *head, enum status status)
{
    head->is_there = status == CAIRN_OK;
    return status == CAIRN_NOT_FOUND ? CAIRN_OK : status;
}

enum status cold_seek(struct cold_reader *reader, uint64_t from, struct error *error)
{
    enum status status = CAIRN_OK;

    for (int i = 0; i < COLD_PLACES && status == CAIRN_OK; i++) {
        struct cold_head *head = &reader->heads[i];

        if (head->cursor)
            status = head_set(
                head, store_cursor_seek(head->cursor, from, &head->hash, &head->record, &head->bytes, error));
    }
    return status;
}

/* The place whose head is first; of equal ones the one that is right. COLD_PLACES: none. */
static enum cold_place first_of(const struct cold_reader *reader)
{
    enum cold_place first = COLD_PLACES;

    for (enum cold_place i = 0; i < COLD_PLACES; i++) {
        if (reader->heads[i].is_there &&
            (first == COLD_PLACES || reader->heads[i].hash < reader->heads[first].hash))
            first = i;
    }
    return first;
}

/* Moves all heads that stand at the hash on. */
static enum status heads_pass(struct cold_reader *reader, uint64_t hash, struct error *error)
{
    enum status status = CAIRN_OK;

    for (int i = 0; i < COLD_PLACES && status == CAIRN_OK; i++) {
        struct cold_head *head = &reader->heads[i];

        if (head->is_there && head->hash == hash)
            status = head_set(
                head, store_cursor_next(head->cursor, &head->hash, &head->record, &head->bytes, error));
    }
    return status;
}

enum status cold_next(struct cold_reader *reader, uint64_t last, uint64_t *hash, const void **record,
                      struct error *error)
{
    for (;;) {
        enum cold_place place = first_of(reader);
        const struct cold_head *head = &reader->heads[place];
        enum status status;

        if (place == COLD_PLACES || head->hash > last)
            return CAIRN_NOT_FOUND;
        *hash = head->hash;
        status = record_take(reader, place, *hash, head->record, head->bytes, record, error);
        if (status == CAIRN_OK)
            status = heads_pass(reader, *hash, error);
        if (status != CAIRN_OK || *record)
            return status;
    }
}
