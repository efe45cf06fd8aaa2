/* The durable part of a table's rows in the shard's store: each row once, as the newest generation left it,
 * the before-images of that generation, and a tag that says which it is. So a table can go back one
 * generation. A generation that will never be the job's is not undone before the next one is written: that
 * one continues it, and its images are those of both, so that the table goes back to what was before the two.
 *
 * Table "rows.N": hash -> record. Table "rows.N.before": hash -> record before the generation, empty: there
 * was none. The tag, a record of the store, has the generation's step and the one before, how many rows there
 * are and the sum of their checksums, at both.
 *
 * Threads: opened and read by the shard's thread; written, in a generation's transaction, by the writer's. */
#ifndef CAIRN_SERVER_ROWS_DURABLE_H
#define CAIRN_SERVER_ROWS_DURABLE_H

#include "base/status.h"
#include "store/store.h"
#include "store/table.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct durable {
    struct store *store; /* borrowed; NULL: no durable part */
    uint32_t table;
    size_t record_bytes;
    bool is_loose; /* the next generation goes over whatever the store has (rows_loosen) */
    struct store_table rows, before;
};

/* What a tag says of a generation. */
struct durable_facts {
    uint64_t step, rows, sum;
};

/* Opens the durable part of a table as it was at `step`, the job's committed one: if the store is one
 * generation ahead, the before-images are put back, in one transaction. *rows: how many there are.
 * is_new: a store without the table will do, at any step; there are no rows then. is_any: whatever it has
 * will do. Errors: CAIRN_CORRUPT: the store has another step, another kind of rows, or is damaged; it is not
 * changed then. Those of the store. */
enum status durable_open(struct durable *durable, uint64_t step, bool is_new, bool is_any,
                         struct durable_facts *facts, struct error *error) MUST_CHECK;

/* A generation that is being written. */
struct durable_writer {
    const struct durable *durable;
    struct store_transaction *transaction;
    struct store_cursor *rows, *before;
    struct durable_facts facts, previous;
    bool continues; /* the generation that the store has, which is not to be kept */
    void *record;   /* room for one */
};

/* Begins the generation of `step` in a transaction. keep_step: the generation to go back to from it, which is
 * the one that the store has, whose before-images are dropped; or the one before that, whose images stay.
 * Owns: the caller ends it in any case, also when this fails.
 * Errors: CAIRN_STALE: the store can go back to no keep_step; CAIRN_CORRUPT; those of the store. */
enum status durable_begin(const struct durable *durable, struct store_transaction *transaction, uint64_t step,
                          uint64_t keep_step, struct durable_writer *writer, struct error *error) MUST_CHECK;

/* Writes a row's record, hashes ascending; NULL: removes the row. */
enum status durable_put(struct durable_writer *writer, uint64_t hash, const void *record,
                        struct error *error) MUST_CHECK;

/* Sets the tag, if status is CAIRN_OK, and frees what the writer has. Returns the first failure. The
 * transaction is the caller's to commit or to abort. */
enum status durable_end(struct durable_writer *writer, enum status status, struct error *error) MUST_CHECK;

#endif
