/* A shard's piece of the dense weights: for each chunk the reduction of a step's gradients, the optimizer's
 * state and two versions of the values.
 *
 * A chunk stands at a version t and sums the gradients of step t; when the tree's root is there, dense_update
 * makes version t + 1 in a fresh buffer and keeps t. Nothing here knows of clients, messages or disks: those
 * who send or store a version hold a reference to its buffer. Optimizer slots are updated in place unless
 * somebody else (a generation) holds them; then into fresh buffers. One thread an object. */
#ifndef CAIRN_SERVER_DENSE_TABLE_H
#define CAIRN_SERVER_DENSE_TABLE_H

#include "base/buffer.h"
#include "base/status.h"
#include "job/job.h"
#include "math/tree.h"
#include "optimizers/optimizer.h"
#include "subscribers.h"

#include <stdbool.h>
#include <stdint.h>

#define DENSE_ARRAYS_MAX (1 + OPTIMIZER_SLOTS_MAX)

struct dense_chunk {
    uint32_t number; /* in the job's address space */
    uint32_t floats;
    uint64_t begin;   /* its first float */
    uint64_t version; /* of current */
    struct buffer *current;
    struct buffer *previous; /* version - 1; NULL: not known (the table began here) */
    struct buffer *slots[OPTIMIZER_SLOTS_MAX];
    struct tree *tree;  /* of step `version` */
    struct buffer *sum; /* the step's whole sum, waiting for dense_update; NULL: not there yet */
    uint64_t sum_samples;
    struct waiting_list waiting; /* the shard's: who waits for version + 1 */
};

struct dense_table {
    const struct job *job; /* borrowed */
    const struct optimizer *optimizer;
    uint32_t slot_count;      /* optimizer slots */
    struct buffer_pool *pool; /* of buffers of one chunk */
    uint32_t *index;          /* chunk number -> 1 + position in chunks, 0: not here; [graph chunks] */
    uint32_t chunk_count;
    struct dense_chunk *chunks; /* in order of number */
};

/* A table of the chunks `numbers` (ascending) at `version`, all values zero: fill them with dense_initialize
 * or from a generation. Owns: the caller; job is borrowed. Errors: CAIRN_NO_MEMORY. */
enum status dense_table_new(const struct job *job, const uint32_t *numbers, uint32_t count, uint64_t version,
                            struct dense_table **out, struct error *error) MUST_CHECK;
void dense_table_free(struct dense_table *table);

/* Sets all chunks' values to the job's initial ones. */
void dense_initialize(struct dense_table *table);

/* The chunk of that number, NULL when it is not of this piece. Any number. */
struct dense_chunk *dense_find(struct dense_table *table, uint32_t number);

/* The buffer of a version, borrowed; NULL: not kept. */
struct buffer *dense_version(const struct dense_chunk *chunk, uint64_t version);

/* Takes a tree node's sum for the chunk's step; true: the step's sum is whole (chunk->sum is set).
 * gradients: chunk->floats floats, aligned for them, exclusively the caller's; taken in every case. A node
 * that is covered already, or comes while the whole sum waits, is dropped. node is of the job's tree. */
bool dense_push(struct dense_chunk *chunk, struct tree_node node, struct buffer *gradients, uint64_t samples);

/* Applies the optimizer to chunk->sum: the version grows by one.
 * Errors: CAIRN_NO_MEMORY; nothing has changed then. */
enum status dense_update(struct dense_table *table, struct dense_chunk *chunk,
                         struct error *error) MUST_CHECK;

#endif
