/* The two halves of a swap. */
#include "rows_swap.h"

#include <string.h>

#define SWAP_MAP_BYTES ((size_t)1 << 30) /* where the store cannot map as much as the disk has */

static const char *const half_names[2] = {"half.0", "half.1"};

enum status swap_open(struct swap *swap, const char *directory, struct error *error)
{
    struct store *store;
    enum status status = store_open_scratch(directory, SWAP_MAP_BYTES, &store, error);

    memset(swap, 0, sizeof(*swap));
    for (unsigned i = 0; i < 2 && status == CAIRN_OK; i++) {
        status = store_table_open(store, half_names[i], &swap->halves[i], error);
        if (status != CAIRN_OK)
            store_close(store);
    }
    if (status == CAIRN_OK)
        swap->store = store;
    return status;
}

void swap_close(struct swap *swap)
{
    store_close(swap->store);
    swap->store = NULL;
}

enum status swap_begin(struct swap *swap, struct swap_writer *writer, struct error *error)
{
    enum status status;

    *writer = (struct swap_writer){swap, NULL, NULL};
    status = store_begin_write(swap->store, &writer->transaction, error);
    if (status != CAIRN_OK)
        return status;
    status = store_cursor_open(writer->transaction, &swap->halves[swap->active], &writer->cursor, error);
    if (status != CAIRN_OK)
        store_abort(writer->transaction);
    return status;
}

enum status swap_reserve(struct swap_writer *writer, uint64_t hash, size_t bytes, void **record,
                         struct error *error)
{
    return store_cursor_reserve(writer->cursor, hash, bytes, false, record, error);
}

enum status swap_remove(struct swap_writer *writer, uint64_t hash, struct error *error)
{
    return store_cursor_remove(writer->cursor, hash, error);
}

enum status swap_end(struct swap_writer *writer, enum status status, struct error *error)
{
    struct swap *swap = writer->swap;
    uint64_t count = 0;

    store_cursor_close(writer->cursor);
    if (status == CAIRN_OK)
        status = store_table_count(writer->transaction, &swap->halves[swap->active], &count, error);
    if (status != CAIRN_OK) {
        store_abort(writer->transaction);
        return status;
    }
    status = store_commit(writer->transaction, error);
    if (status == CAIRN_OK)
        swap->counts[swap->active] = count;
    return status;
}

/* Copies all records of one half over those of the other. */
static enum status half_copy(struct store_transaction *transaction, const struct store_table *from,
                             const struct store_table *to, struct error *error)
{
    struct store_cursor *reader = NULL, *writer = NULL;
    uint64_t hash;
    const void *record;
    void *place;
    size_t bytes;
    enum status status = store_cursor_open(transaction, from, &reader, error);

    if (status == CAIRN_OK)
        status = store_cursor_open(transaction, to, &writer, error);
    if (status == CAIRN_OK)
        status = store_cursor_seek(reader, 0, &hash, &record, &bytes, error);
    while (status == CAIRN_OK) {
        status = store_cursor_reserve(writer, hash, bytes, false, &place, error);
        /* Writing to one table leaves the pages of another where they are. */
        if (status == CAIRN_OK && bytes > 0)
            memcpy(place, record, bytes);
        if (status == CAIRN_OK)
            status = store_cursor_next(reader, &hash, &record, &bytes, error);
    }
    store_cursor_close(reader);
    store_cursor_close(writer);
    return status == CAIRN_NOT_FOUND ? CAIRN_OK : status;
}

/* Empties one half, having copied it to the other if that is wanted. */
static enum status half_empty(struct swap *swap, unsigned half, bool copies, struct error *error)
{
    struct store_transaction *transaction;
    uint64_t count = 0;
    enum status status = store_begin_write(swap->store, &transaction, error);

    if (status != CAIRN_OK)
        return status;
    if (copies)
        status = half_copy(transaction, &swap->halves[half], &swap->halves[1 - half], error);
    if (status == CAIRN_OK)
        status = store_table_clear(transaction, &swap->halves[half], error);
    if (status == CAIRN_OK)
        status = store_table_count(transaction, &swap->halves[1 - half], &count, error);
    if (status != CAIRN_OK) {
        store_abort(transaction);
        return status;
    }
    status = store_commit(transaction, error);
    if (status == CAIRN_OK) {
        swap->counts[half] = 0;
        swap->counts[1 - half] = count;
    }
    return status;
}

enum status swap_turn(struct swap *swap, struct error *error)
{
    unsigned old = 1 - swap->active;

    if (!swap->store)
        return CAIRN_OK;
    /* A generation that was not written: the newer records go over its own. */
    if (swap->old_is_live)
        return swap->counts[swap->active] ? half_empty(swap, swap->active, true, error) : CAIRN_OK;
    if (swap->counts[old] > 0) {
        enum status status = half_empty(swap, old, false, error);

        if (status != CAIRN_OK)
            return status;
    }
    swap->old_is_live = swap->counts[swap->active] > 0;
    swap->active = swap->old_is_live ? old : swap->active;
    return CAIRN_OK;
}

/* The records are removed when the half is needed again. */
void swap_drop_old(struct swap *swap)
{
    swap->old_is_live = false;
}
