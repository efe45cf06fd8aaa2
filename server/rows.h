/* The rows of one sparse table on one shard, by key: each a fixed number of floats, the weights first, the
 * optimizer's slots behind them.
 *
 * Rows lie in memory in places that never move, found through a hash table in batches, with reads ahead.
 * Nothing here knows of optimizers, admission, messages or jobs; floats are not interpreted.
 *
 * Thread: the shard's only. */
#ifndef CAIRN_SERVER_ROWS_H
#define CAIRN_SERVER_ROWS_H

#include "base/status.h"

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
    uint32_t floats; /* of a row, weights and slots; 1 to ROWS_FLOATS_MAX */
};

struct rows_facts {
    uint64_t rows;     /* in the table */
    uint64_t resident; /* of them in memory */
    uint64_t
        memory_bytes; /* that all structures of the table take, pages that are touched in part included */
    uint64_t hits, misses; /* keys looked up that were in memory, that were not */
};

/* An empty table. Owns: the caller. Errors: CAIRN_INVALID, CAIRN_NO_MEMORY. */
enum status rows_new(const struct rows_options *options, struct rows **out, struct error *error) MUST_CHECK;

/* NULL is allowed. */
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

/* What the table holds and has done so far. */
void rows_facts(const struct rows *rows, struct rows_facts *facts);

#endif
