/* A table of one chunk of float64 sums, such as metrics: version t + 1 is simply the sum of step t.
 *
 * The training metrics take every step in turn. The validation table may skip steps: it takes any later step
 * as long as nothing of the step in hand has come. A whole sum is a version once sum_update has said so; a
 * second one may be whole by then, but no third. The two newest versions are kept. Nothing here knows of
 * clients or messages. One thread an object. */
#ifndef CAIRN_SERVER_SUM_TABLE_H
#define CAIRN_SERVER_SUM_TABLE_H

#include "base/buffer.h"
#include "base/status.h"
#include "chain.h"
#include "math/tree.h"
#include "subscribers.h"

#include <stdbool.h>
#include <stdint.h>

#define SUMS_WHOLE_MAX 2

struct sum_table {
    uint32_t elements;
    bool may_skip;
    uint64_t step; /* the step that is being summed, or the first that may come */
    uint64_t
        base; /* what step was when the newest whole sum was made, or the table: it may have skipped since */
    bool begun;    /* something of it has come */
    struct tree *tree;
    struct sum_version {
        uint64_t version;
        uint64_t base;         /* of a whole sum: the table's before it */
        struct buffer *values; /* NULL: there is none */
    } whole[SUMS_WHOLE_MAX],   /* sums that are no versions yet, oldest first */
        kept[2];               /* newest, the one before */
    uint32_t whole_count;
    struct waiting_list waiting; /* the shard's: who waits for later versions */
    struct chain_link link;      /* the shard's: its place in the chain */
};

/* A table that begins at `step`, without a version. NULL: out of memory. Owns: the caller. */
struct sum_table *sum_table_new(uint32_t elements, uint32_t microbatches, bool may_skip, uint64_t step);
void sum_table_free(struct sum_table *table);

/* Whether the table takes sums of this step now: it is the step in hand, or one that may be skipped to. */
bool sum_table_takes(const struct sum_table *table, uint64_t step);

/* Takes a tree node's sum of a step that sum_table_takes; true: the step's sum is whole.
 * sums: `elements` float64, aligned for them, exclusively the caller's; taken in every case. */
bool sum_push(struct sum_table *table, uint64_t step, struct tree_node node, struct buffer *sums);

/* Takes a step's whole sum as another shard has formed it, whose table had this base before; what has come
 * here of the step in hand is dropped. False: it does not follow what is here, or is one too many, and is
 * dropped. sums: as above, but shared. */
bool sum_take_whole(struct sum_table *table, uint64_t base, uint64_t step, struct buffer *sums);

/* The oldest whole sum becomes a version; there must be one. */
void sum_update(struct sum_table *table);

/* Puts a table of which nothing has come to step `step`, with up to two versions (newest first; values NULL:
 * there is none). Takes references of its own. */
void sum_restore(struct sum_table *table, uint64_t step, const struct sum_version kept[2]);

/* Drops all that the table has. */
void sum_clear(struct sum_table *table);

/* The buffer of a version, borrowed; NULL: there is none. */
struct buffer *sum_version(const struct sum_table *table, uint64_t version);

/* The newest version that can no longer come, or has: those who wait for it or older ones wait no more. It is
 * the step in hand but for sums that are whole. */
uint64_t sum_table_version(const struct sum_table *table);

#endif
