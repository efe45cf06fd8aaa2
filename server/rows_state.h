/* The inside of a table of rows, shared by the files rows_*.c; nobody else includes it.
 *
 * A row is in memory, or cold: in the active half of the swap, in its old half, or in the durable store; the
 * first of these that has a record of it is right. Rows in memory that no cold place has as they are are
 * dirty. A row that was removed while a cold place may still have it leaves a *removed* row, in memory or as
 * an empty record in the swap, that hides it until a generation has removed it from the durable store. */
#ifndef CAIRN_SERVER_ROWS_STATE_H
#define CAIRN_SERVER_ROWS_STATE_H

#include "rows.h"
#include "rows_durable.h"
#include "rows_index.h"
#include "rows_record.h"
#include "rows_slab.h"
#include "rows_sort.h"
#include "rows_swap.h"

#define BATCH_ROWS_MIN ROWS_BLOCK_MAX
#define BATCH_ROWS_MAX 8192u

struct rows {
    uint32_t floats;
    size_t record_bytes;
    struct slab slab;
    struct rows_index index;
    uint64_t count;    /* rows of the table */
    uint64_t resident; /* of them in memory; == count: memory has them all */
    struct {
        uint64_t bytes;                      /* 0: no budget */
        uint32_t places_most;                /* of the slab */
        uint32_t batch;                      /* rows that leave memory at once */
        uint32_t hand;                       /* the clock's: a place, a multiple of SLAB_WORD */
        struct sort_item *victims, *scratch; /* [batch] each */
    } budget;
    char *swap_directory; /* NULL: none */
    struct swap swap;
    struct durable durable;       /* .store NULL: none */
    uint64_t durable_sum;         /* of the checksums of its rows, when it was opened */
    struct rows_capture *capture; /* that is not written yet, NULL: none */
    uint64_t expire_next;         /* the hash that rows_expire goes on with */
    uint64_t hits, misses, evictions;
    struct row *cold_row;            /* room for one */
    uint64_t hashes[ROWS_BLOCK_MAX]; /* of the block at hand */
    uint32_t places[ROWS_BLOCK_MAX];
    struct row *found[ROWS_BLOCK_MAX];
    struct sort_item sorted[ROWS_BLOCK_MAX], scratch[ROWS_BLOCK_MAX];
};

/* --- rows.c --- */

/* Adds a row that is not in memory, its floats undefined and its flags clear; there must be room.
 * SLAB_NONE: out of memory. */
uint32_t row_add(struct rows *rows, uint64_t hash, uint64_t key);

/* Takes a row out of memory. */
void row_drop(struct rows *rows, uint64_t hash, uint32_t place);

/* Puts a checked record of a cold row in memory, clean. */
enum status row_load(struct rows *rows, uint64_t hash, const void *record, uint32_t *place,
                     struct error *error) MUST_CHECK;

/* Removes a row in memory: leaves a removed one where a cold place may have it. */
enum status row_remove(struct rows *rows, uint64_t hash, uint32_t place, struct error *error) MUST_CHECK;

/* --- rows_clock.c --- */

/* Rows that may still be added to memory. */
uint64_t clock_room(const struct rows *rows);

/* Moves a batch of rows that were not used lately out of memory. Errors: those of the swap; nothing has left
 * memory then. */
enum status clock_evict(struct rows *rows, struct error *error) MUST_CHECK;

/* --- rows_capture.c --- */

/* Before a row changes or leaves memory: keeps it for a capture that still needs it. */
enum status capture_keep(struct rows *rows, uint32_t place, struct error *error) MUST_CHECK;

/* The slab was shrunk: a capture that is open looks at no place that is gone. */
void capture_narrow(struct rows *rows);

#endif
