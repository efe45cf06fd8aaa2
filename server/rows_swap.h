/* The swap of a table: changed rows that did not fit in memory, on disk but not durable. It begins empty and
 * is never the truth after a restart.
 *
 * Two halves: rows leave memory into the active one; while a generation is written the other, the old one,
 * holds what had been swapped before, unchanging, and the generation's writer reads it. Both are tables of
 * one scratch store (common/store), whose writer is the shard's thread. */
#ifndef CAIRN_SERVER_ROWS_SWAP_H
#define CAIRN_SERVER_ROWS_SWAP_H

#include "base/status.h"
#include "store/store.h"
#include "store/table.h"

#include <stdbool.h>
#include <stdint.h>

struct swap {
    struct store *store; /* NULL: nothing was swapped yet */
    struct store_table halves[2];
    unsigned active;
    uint64_t counts[2]; /* records of each half, those of removed rows too */
    bool old_is_live;   /* the old half holds rows that are not durable yet */
};

/* Where a batch of records goes. */
struct swap_writer {
    struct swap *swap;
    struct store_transaction *transaction;
    struct store_cursor *cursor;
};

/* Makes the swap in a directory, removing what is there. Errors: those of store_open. */
enum status swap_open(struct swap *swap, const char *directory, struct error *error) MUST_CHECK;
void swap_close(struct swap *swap);

/* Begins a batch into the active half. */
enum status swap_begin(struct swap *swap, struct swap_writer *writer, struct error *error) MUST_CHECK;

/* Room for a row's record, to be filled at once; hashes ascending are fastest. Errors: CAIRN_FULL. */
enum status swap_reserve(struct swap_writer *writer, uint64_t hash, size_t bytes, void **record,
                         struct error *error) MUST_CHECK;

/* Takes a row's record out. */
enum status swap_remove(struct swap_writer *writer, uint64_t hash, struct error *error) MUST_CHECK;

/* Ends the batch: as a whole if status is CAIRN_OK, else without effect. Returns the first failure. */
enum status swap_end(struct swap_writer *writer, enum status status, struct error *error) MUST_CHECK;

/* The active half becomes the old one; what an old one still holds comes along. Whether the old half is empty
 * is in counts. Errors: those of the store, CAIRN_FULL; nothing has changed then. */
enum status swap_turn(struct swap *swap, struct error *error) MUST_CHECK;

/* What the old half holds is durable: it counts no more. */
void swap_drop_old(struct swap *swap);

#endif
