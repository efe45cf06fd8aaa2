/* A table of one chunk of float64 sums, such as metrics: version t + 1 is simply the sum of step t.
 *
 * The training metrics take every step in turn. The validation table may skip steps: it takes any later step
 * as long as nothing of the step in hand has come. The two newest versions are kept. Nothing here knows of
 * clients or messages. One thread an object. */
#ifndef CAIRN_SERVER_SUM_TABLE_H
#define CAIRN_SERVER_SUM_TABLE_H

#include "base/buffer.h"
#include "base/status.h"
#include "math/tree.h"
#include "subscribers.h"

#include <stdbool.h>
#include <stdint.h>

struct sum_table {
    uint32_t elements;
    bool may_skip;
    uint64_t step; /* the step that is being summed, or the first that may come */
    bool begun;    /* something of it has come */
    struct tree *tree;
    struct buffer *values[2]; /* newest, the one before; NULL: there is none */
    uint64_t versions[2];
    struct waiting_list waiting; /* the shard's: who waits for later versions */
};

/* A table that begins at `step`, without a version. NULL: out of memory. Owns: the caller. */
struct sum_table *sum_table_new(uint32_t elements, uint32_t microbatches, bool may_skip, uint64_t step);
void sum_table_free(struct sum_table *table);

/* Whether the table takes sums of this step now: it is the step in hand, or one that may be skipped to. */
bool sum_table_takes(const struct sum_table *table, uint64_t step);

/* Takes a tree node's sum of a step that sum_table_takes; true: version step + 1 is there.
 * sums: `elements` float64, aligned for them, exclusively the caller's; taken in every case. */
bool sum_push(struct sum_table *table, uint64_t step, struct tree_node node, struct buffer *sums);

/* The buffer of a version, borrowed; NULL: there is none. */
struct buffer *sum_version(const struct sum_table *table, uint64_t version);

/* The newest version that can no longer come, or has: those who wait for it or older ones wait no more. */
uint64_t sum_table_version(const struct sum_table *table);

#endif
