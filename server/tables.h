/* A job's tables on one shard: the pieces of dense tables, tables of sums and sparse tables that lie here, by
 * their number. Made for a version, empty or from the shard's store; more may be added while the job runs,
 * with numbers and pieces after all others'. A table has its initial values at its first version, and so is
 * in no generation of that step or an earlier one. Knows nothing of messages. One thread an object. */
#ifndef CAIRN_SERVER_TABLES_H
#define CAIRN_SERVER_TABLES_H

#include "assignment.h"
#include "base/status.h"
#include "dense_table.h"
#include "job_store.h"
#include "sparse_table.h"
#include "store/store.h"
#include "sum_table.h"

#include <stdint.h>

/* At most one of the three is set. Dense tables and sums are there on every shard, perhaps without any chunk
 * of theirs; sparse ones only where rows may lie. */
struct table {
    struct dense_table *dense;
    struct sum_table *sums;
    struct sparse_table *sparse;
    uint64_t first_version; /* the one that it began at, not 0: it was added to the running job */
};

struct tables {
    const struct job *job; /* borrowed, as are those that it had before tables were added */
    const struct slot_map *map; /* borrowed: the one in force, where pieces are added by */
    uint32_t count;        /* numbers [0, count) */
    struct table *items;
};

/* The tables of the shard thread `thread` at `version`, dense values zero. Owns: the caller; assignment is
 * borrowed. Errors: CAIRN_NO_MEMORY. */
enum status tables_new(const struct assignment *assignment, uint32_t thread, uint64_t version,
                       struct tables **out, struct error *error) MUST_CHECK;
void tables_free(struct tables *tables);

/* Adds the tables that a newer assignment of the same job has more, dense ones with their initial values; the
 * older one is borrowed on. Errors: CAIRN_NO_MEMORY; the object can be freed, and no more. */
enum status tables_extend(struct tables *tables, const struct assignment *assignment, uint32_t thread,
                          uint64_t version, struct error *error) MUST_CHECK;

/* How many sparse tables there are here. */
uint32_t tables_count_sparse(const struct tables *tables);

/* How many of a job's tables from number `first` on are sparse and may have rows on this shard. */
uint32_t tables_sparse_count(const struct assignment *assignment, uint32_t thread, uint32_t first);

/* Opens the sparse tables that are not open yet at a version: their rows in the shard's store, which outlives
 * them.
 * table_bytes: what the rows of each may take in memory, 0: no bound.
 * Errors: those of rows_new, CAIRN_NO_MEMORY. */
enum status tables_open_rows(struct tables *tables, const struct assignment *assignment,
                             const struct job_store_owner *owner, struct store *store, uint64_t table_bytes,
                             uint64_t version, struct error *error) MUST_CHECK;

/* Makes the sparse table of a number, with nothing in it and no version, for slots that are to be copied
 * here; as above. Rows that the store has of it from before are there until they are removed. */
enum status tables_open_blank(struct tables *tables, uint32_t number, uint64_t job,
                              const struct job_store_owner *owner, struct store *store, uint64_t table_bytes,
                              struct error *error) MUST_CHECK;

/* Sets what the rows of each sparse table may take in memory, as above.
 * Errors: those of rows_set_budget; some tables may have the new bound then. */
enum status tables_set_budget(const struct tables *tables, uint64_t table_bytes,
                              struct error *error) MUST_CHECK;

/* Tells the chunks and sums that are here their places in the chains of the map in force. */
void tables_link(struct tables *tables, uint32_t thread);

/* Whether a table has its initial values at this version, since it began there or later: nothing of it is
 * durable then. All tables do at version 0. */
bool tables_begins(const struct tables *tables, uint32_t number, uint64_t version);

/* Sets the dense values of the tables from number `first` on that begin at this version to the job's initial
 * ones. */
void tables_initialize(struct tables *tables, uint32_t first, uint64_t version);

/* The table of a number, NULL when nothing of it can lie here. Any number. */
struct table *tables_find(const struct tables *tables, uint32_t number);

/* How many pieces a generation of a step has, each dense chunk that has been here since an earlier one and
 * each sparse table; and whether a table's are among them. */
uint32_t tables_pieces_at(const struct tables *tables, uint64_t step);
bool tables_has_pieces_at(const struct tables *tables, uint32_t number, uint64_t step);

/* Whether there is anything here to make durable, or will be before anything is; and whether some of that is
 * still to come from other shards. Copies are there when they are. */
bool tables_have_pieces(const struct tables *tables);
bool tables_await_pieces(const struct tables *tables);

/* The newest version of any piece here; 0: there are no pieces. */
uint64_t tables_newest(const struct tables *tables);

/* Whether a version is a state to go on from: of tables whose codec leaves residuals with clients only one
 * that a step which sent all has made. */
bool tables_can_end_at(const struct tables *tables, uint64_t version);

/* Whether every piece is at this version; or comes to it by itself, as all that it takes is here. */
bool tables_all_at(const struct tables *tables, uint64_t version);
bool tables_come_to(const struct tables *tables, uint64_t version);

#endif
