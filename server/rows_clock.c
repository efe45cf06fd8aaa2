/* A table's budget of memory, and which rows leave it.
 *
 * The clock: a hand goes round the places; a row that was used since it passed is spared once. It goes over
 * bitmaps, 64 rows at a time. A batch of rows leaves at once: those that some cold place has as they are are
 * dropped, the others go to the swap in one transaction, in the order of their hash, so that the swap's pages
 * are touched in order. Nothing is dropped before that is committed.
 *
 * A smaller budget has fewer places: the rows in those beyond leave likewise, and their memory goes back to
 * the system. */
#include "rows_hash.h"
#include "rows_state.h"

#include <stdlib.h>

/* Bytes of the index a row: its buckets are at least half as full as ten twelfths. */
#define INDEX_BYTES_A_ROW (64.0 / 10 * 1.5)

uint64_t clock_room(const struct rows *rows)
{
    uint32_t used = slab_used(&rows->slab);

    if (!rows->budget.bytes)
        return SLAB_ROWS_MOST - used;
    return used < rows->budget.places_most ? rows->budget.places_most - used : 0;
}

/* How many rows fit in `bytes`. */
static uint32_t places_of(const struct rows *rows, uint64_t bytes)
{
    double row = (double)rows->slab.stride + SLAB_FLAGS / 8.0 + INDEX_BYTES_A_ROW;
    uint64_t chunk = rows->slab.stride << rows->slab.chunk_shift;
    double fixed = sizeof(*rows) + 160e3 + (chunk >= (2u << 20) ? 2u << 20 : 0);
    double places = ((double)bytes - fixed) / row;

    if (places < 2 * ROWS_BLOCK_MAX)
        return 2 * ROWS_BLOCK_MAX;
    return places < (double)SLAB_ROWS_MOST ? (uint32_t)places : SLAB_ROWS_MOST;
}

static uint32_t batch_of(uint32_t places)
{
    uint32_t batch = places / 16;

    return batch < BATCH_ROWS_MIN ? BATCH_ROWS_MIN : batch < BATCH_ROWS_MAX ? batch : BATCH_ROWS_MAX;
}

/* Takes what the hand finds in one word of places; returns the number of victims. */
static uint32_t word_take(struct rows *rows, uint32_t place, uint32_t count)
{
    uint64_t *referenced = slab_word(&rows->slab, SLAB_REFERENCED, place);
    uint64_t free = *slab_word(&rows->slab, SLAB_LIVE, place) & ~*referenced;

    *referenced = 0;
    for (; free && count < rows->budget.batch; free &= free - 1) {
        uint32_t victim = place + (uint32_t)__builtin_ctzll(free);

        *referenced |= free & -free; /* not to be taken twice in one batch */
        rows->budget.victims[count++] =
            (struct sort_item){rows_hash(slab_row(&rows->slab, victim)->key), victim};
    }
    return count;
}

/* A batch of rows, as the hand finds them; at most the second time round there are enough, if the table has
 * as many. */
static uint32_t victims_take(struct rows *rows)
{
    uint32_t count = 0, words = (rows->slab.high + SLAB_WORD - 1) / SLAB_WORD;

    for (uint32_t i = 0; i < 2 * words && count < rows->budget.batch; i++) {
        if (rows->budget.hand >= rows->slab.high)
            rows->budget.hand = 0;
        count = word_take(rows, rows->budget.hand, count);
        rows->budget.hand += SLAB_WORD;
    }
    return count;
}

static bool is_dirty(const struct rows *rows, uint32_t place)
{
    return slab_is(&rows->slab, SLAB_DIRTY, place) || slab_is(&rows->slab, SLAB_PENDING, place);
}

static enum status victim_write(struct rows *rows, struct swap_writer *writer, const struct sort_item *victim,
                                struct error *error)
{
    uint32_t place = (uint32_t)victim->value;
    bool is_removed = slab_is(&rows->slab, SLAB_REMOVED, place);
    void *record;
    enum status status;

    /* Without a durable part there is nothing older to hide. */
    if (is_removed && !rows->durable.store)
        return swap_remove(writer, victim->hash, error);
    status = swap_reserve(writer, victim->hash, is_removed ? 0 : rows->record_bytes, &record, error);
    if (status == CAIRN_OK && !is_removed)
        row_record_write(victim->hash, slab_row(&rows->slab, place), record, rows->record_bytes);
    return status;
}

/* Writes the victims that are dirty. */
static enum status victims_write(struct rows *rows, uint32_t count, struct error *error)
{
    struct swap_writer writer;
    enum status status = CAIRN_OK;

    if (!rows->swap.store)
        status = swap_open(&rows->swap, rows->swap_directory, error);
    if (status == CAIRN_OK)
        status = swap_begin(&rows->swap, &writer, error);
    if (status != CAIRN_OK)
        return status;
    for (uint32_t i = 0; i < count && status == CAIRN_OK; i++) {
        if (is_dirty(rows, (uint32_t)rows->budget.victims[i].value))
            status = victim_write(rows, &writer, &rows->budget.victims[i], error);
    }
    return swap_end(&writer, status, error);
}

/* Moves the first `count` victims out of memory. */
static enum status victims_leave(struct rows *rows, uint32_t count, struct error *error)
{
    struct sort_item *victims = rows->budget.victims;
    bool any_dirty = false;
    enum status status = CAIRN_OK;

    rows_sort(victims, rows->budget.scratch, count);
    for (uint32_t i = 0; i < count && status == CAIRN_OK; i++) {
        any_dirty |= is_dirty(rows, (uint32_t)victims[i].value);
        status = capture_keep(rows, (uint32_t)victims[i].value, error);
    }
    if (status == CAIRN_OK && any_dirty)
        status = victims_write(rows, count, error);
    if (status != CAIRN_OK)
        return error_prefix(error, status, "rows cannot leave memory");
    for (uint32_t i = 0; i < count; i++)
        row_drop(rows, victims[i].hash, (uint32_t)victims[i].value);
    rows->evictions += count;
    return CAIRN_OK;
}

enum status clock_evict(struct rows *rows, struct error *error)
{
    return victims_leave(rows, victims_take(rows), error);
}

/* ---- another budget */

/* The live rows of one word of places, from `first` on, while there is room; returns the number of victims.
 */
static uint32_t word_clear(struct rows *rows, uint32_t place, uint32_t first, uint32_t count)
{
    uint64_t live = *slab_word(&rows->slab, SLAB_LIVE, place);

    if (place < first)
        live &= ~(uint64_t)0 << (first - place);
    for (; live && count < rows->budget.batch; live &= live - 1) {
        uint32_t victim = place + (uint32_t)__builtin_ctzll(live);

        rows->budget.victims[count++] =
            (struct sort_item){rows_hash(slab_row(&rows->slab, victim)->key), victim};
    }
    return count;
}

/* Moves all rows that lie in places from `first` on out of memory, used lately or not, and gives that memory
 * back. Rows never move, so this is the only way to become smaller. */
static enum status places_leave(struct rows *rows, uint32_t first, struct error *error)
{
    uint32_t place = first / SLAB_WORD * SLAB_WORD, count = 0;
    enum status status = CAIRN_OK;

    while (status == CAIRN_OK && place < rows->slab.high) {
        count = word_clear(rows, place, first, 0);
        for (place += SLAB_WORD; place < rows->slab.high && count + SLAB_WORD <= rows->budget.batch;
             place += SLAB_WORD)
            count = word_clear(rows, place, first, count);
        if (count > 0)
            status = victims_leave(rows, count, error);
    }
    if (status != CAIRN_OK || first >= rows->slab.high)
        return status;
    slab_shrink(&rows->slab, first);
    index_shrink(&rows->index, &rows->slab);
    capture_narrow(rows);
    return CAIRN_OK;
}

enum status rows_set_budget(struct rows *rows, uint64_t bytes, struct error *error)
{
    uint32_t places = places_of(rows, bytes), batch = batch_of(places);
    struct sort_item *victims = calloc(batch, sizeof(*victims)), *scratch = calloc(batch, sizeof(*scratch));

    if (!victims || !scratch || (bytes && !rows->swap_directory)) {
        free(victims);
        free(scratch);
        return bytes && !rows->swap_directory
                   ? error_set(error, CAIRN_INVALID, "a table with a budget needs a directory to swap to")
                   : error_set(error, CAIRN_NO_MEMORY, "no memory for a table's budget");
    }
    free(rows->budget.victims);
    free(rows->budget.scratch);
    rows->budget.bytes = bytes;
    rows->budget.places_most = places;
    rows->budget.batch = batch;
    rows->budget.victims = victims;
    rows->budget.scratch = scratch;
    return bytes ? places_leave(rows, places, error) : CAIRN_OK;
}
