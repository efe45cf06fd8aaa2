/* The rows of one sparse table on one shard, by key: each a fixed number of floats, the weights first, the
 * optimizer's slots behind them.
 *
 * Rows lie in memory in places that never move, found through a hash table in batches, with reads ahead. With
 * a budget of memory, rows that were not used lately leave it: to the shard's store if it has them as they
 * are, else to a swap; they come back when they are asked for. A table under a budget behaves to the bit like
 * one that fits.
 *
 * With a store the table is durable by generations: a capture takes what has changed since the last one, at a
 * step boundary, and is written beside the table's use. The store has each row once and can go back one
 * generation.
 *
 * Nothing here knows of optimizers, admission, messages or jobs; floats are not interpreted.
 *
 * Thread: the shard's only, but for rows_capture_write. */
#ifndef CAIRN_SERVER_ROWS_H
#define CAIRN_SERVER_ROWS_H

#include "base/status.h"
#include "store/store.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ROWS_BLOCK_MAX  512u   /* keys a call */
#define ROWS_FLOATS_MAX 65536u /* floats a row */

struct row {
    /* The header has no padding, so a row's floats are aligned for floats and no more. */
    uint64_t key __attribute__((packed, aligned(4))); /* never to be changed */
    uint32_t used_step;                               /* the caller's; 0 in a new row */
    float floats[];
};

struct rows;

struct rows_options {
    uint32_t floats;            /* of a row, weights and slots; 1 to ROWS_FLOATS_MAX */
    uint64_t budget_bytes;      /* of memory, as rows_set_budget; 0: no bound */
    const char *swap_directory; /* of this table alone; needed with a budget or a store; made when missing and
                                   emptied, once it is needed */
    struct store *store;        /* borrowed; NULL: the table is not durable */
    uint32_t table;             /* its number in the store */
    uint64_t step;              /* the job's committed step, that the store is to be at; 0: a new table */
    bool is_new;                /* the store need not have it at step: it has no rows then */
    bool is_any; /* whatever the store has of it, at whatever step: the caller removes what is not to be */
};

struct rows_facts {
    uint64_t rows;     /* in the table */
    uint64_t resident; /* of them in memory */
    uint64_t
        memory_bytes; /* that all structures of the table take, pages that are touched in part included */
    uint64_t hits, misses; /* keys looked up that were in memory, that were not */
    uint64_t evictions;    /* rows that have left memory */
    uint64_t swap_bytes;   /* of records in the swap */
};

/* A table: empty, or the rows of the store at options->step. If the store is one generation ahead of that
 * step it is taken back, in one transaction. Rows come into memory when they are asked for, or by rows_warm.
 * Owns: the caller. Errors: CAIRN_INVALID, CAIRN_NO_MEMORY; CAIRN_CORRUPT: the store does not have that step,
 * or rows of this kind, or is damaged, and is unchanged; those of the store. */
enum status rows_new(const struct rows_options *options, struct rows **out, struct error *error) MUST_CHECK;

/* No capture may be open. NULL is allowed. */
void rows_free(struct rows *rows);

/* Finds the rows of keys; a key may come more than once.
 * Shapes:  keys, found [count], count <= ROWS_BLOCK_MAX; found[i] NULL: there is no such row
 * Owns:    the rows are borrowed until the next call on the table; they must not be changed
 * Errors:  of a disk, when rows are not in memory; the table is as before */
enum status rows_find(struct rows *rows, const uint64_t *keys, uint32_t count, struct row **found,
                      struct error *error) MUST_CHECK;

/* Finds the rows of keys, which must be distinct, and makes those that are not there; all count as changed.
 * Shapes:  keys, made, is_new [count], count <= ROWS_BLOCK_MAX; is_new[i]: the floats are undefined and the
 *          caller's to fill, used_step is 0
 * Owns:    the rows are borrowed until the next call on the table; the caller changes used_step and floats
 * Errors:  CAIRN_NO_MEMORY, those of rows_find; no row was made then */
enum status rows_make(struct rows *rows, const uint64_t *keys, uint32_t count, struct row **made,
                      bool *is_new, struct error *error) MUST_CHECK;

/* Removes the rows of keys[count], count <= ROWS_BLOCK_MAX; keys without a row are passed over.
 * Errors: those of rows_find; some rows may have been removed then. */
enum status rows_remove(struct rows *rows, const uint64_t *keys, uint32_t count,
                        struct error *error) MUST_CHECK;

/* Sets how much memory the table may take, all included; at least room for two blocks. 0: no bound. Rows
 * leave memory until they fit, and what they took goes back to the system. A capture may be open.
 * Errors: CAIRN_INVALID (there is no directory to swap to), CAIRN_NO_MEMORY: nothing has changed; CAIRN_FULL
 * and others of the swap: rows are in memory that should not be, and the table is whole. */
enum status rows_set_budget(struct rows *rows, uint64_t bytes, struct error *error) MUST_CHECK;

/* Brings rows of the store into memory up to the budget, in bulk; once, before the table is used. If that is
 * all of them, the table's checksum is checked too. *bytes: of rows that were read.
 * Errors: CAIRN_CORRUPT, CAIRN_NO_MEMORY, those of the store. */
enum status rows_warm(struct rows *rows, uint64_t *bytes, struct error *error) MUST_CHECK;

/* What the table holds and has done so far. */
void rows_facts(const struct rows *rows, struct rows_facts *facts);

/* --- generations --- */

struct rows_capture;

/* Begins to capture all that has changed since the last capture that was written: the table as it is now, at
 * the boundary to `step`. Takes no copies yet, and so is short. The table must have a store and no open
 * capture. Owns: the caller gives it to rows_captured in any case.
 * Errors: CAIRN_NO_MEMORY, those of the swap; nothing has changed then. */
enum status rows_capture(struct rows *rows, uint64_t step, struct rows_capture **out,
                         struct error *error) MUST_CHECK;

/* Copies up to `most` more rows of the capture; those that change meanwhile are copied before they do.
 * *is_whole: it can be written now. Errors: CAIRN_NO_MEMORY: give it to rows_captured as failed. */
enum status rows_capture_more(struct rows *rows, struct rows_capture *capture, uint32_t most, bool *is_whole,
                              struct error *error) MUST_CHECK;

/* Writes a whole capture as the table's generation, over the one of keep_step, with the before-images of its
 * rows, in the store's write transaction, which the caller commits or, after a failure, aborts. keep_step is
 * the one that the store has, or the one before if that one is not to be gone back to. Thread:  the writer's,
 * while the shard's goes on using the table Errors:  CAIRN_STALE: the store has no keep_step; CAIRN_FULL,
 * CAIRN_CORRUPT and others of the store */
enum status rows_capture_write(const struct rows_capture *capture, struct store_transaction *transaction,
                               uint64_t keep_step, struct error *error) MUST_CHECK;

/* The table was in no generation for some time, and nobody goes back to one of that time with it: its next
 * one may be written over whatever the store has. */
void rows_loosen(struct rows *rows);

/* Takes a capture that was committed, or (is_durable false) was not: then all that it held has changed still.
 */
void rows_captured(struct rows *rows, struct rows_capture *capture, bool is_durable);

/* --- going over all rows --- */

/* Visits a row, borrowed for the call, which must not call on the table; other than CAIRN_OK ends the scan.
 */
typedef enum status rows_visit(void *context, const struct row *row, struct error *error);

/* Where a scan is. All zero: at the beginning. The table may be used and changed between slices; a row that
 * is there from the first to the last is visited once, one that is not at most once. */
struct rows_scan {
    uint64_t next;
    bool is_done;
};

/* Visits the next slice, of about `most` rows, wherever they are; but only those with used_step >= since.
 * Errors: of the disk, those of visit; the scan is where it was. */
enum status rows_scan(struct rows *rows, struct rows_scan *scan, uint32_t since, uint32_t most,
                      rows_visit *visit, void *context, struct error *error) MUST_CHECK;

/* Removes the rows with used_step < before of the next slice of about `most` rows, going round and round.
 * Errors: of the disk, CAIRN_NO_MEMORY; rows of the slice may have been removed. */
enum status rows_expire(struct rows *rows, uint32_t before, uint32_t most, struct error *error) MUST_CHECK;

#endif
