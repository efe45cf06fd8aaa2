/* A generation: all of a shard's dense chunks, weights and optimizer slots, of one version, on their way to
 * disk and back.
 *
 * Capturing takes references, no copies: the writer thread writes what the shard thread has moved on from.
 * Each chunk is captured when it reaches the version, so the generation is complete once all have. Records
 * have two places; a write leaves the one that holds the job's committed step alone (`keep_step`), whatever a
 * run that was rolled back may have left in the other.
 *
 * Threads: captured by the shard's thread; from generation_write's start to its report the writer's. */
#ifndef CAIRN_SERVER_GENERATION_H
#define CAIRN_SERVER_GENERATION_H

#include "dense_table.h"
#include "store/store.h"

#include <stdbool.h>
#include <stdint.h>

enum generation_state {
    GENERATION_COLLECTING, /* chunks are still to come, or it waits for the one before */
    GENERATION_WRITING,    /* the writer has it */
    GENERATION_WRITTEN     /* durable here; waits for the job's other shards */
};

struct generation {
    enum generation_state state;
    void *owner;         /* the shard's own */
    struct store *store; /* borrowed */
    uint64_t step, keep_step;
    uint32_t chunk_count, captured;
    uint32_t array_count; /* 1 + optimizer slots */
    struct generation_chunk {
        uint32_t number;
        struct buffer *arrays[DENSE_ARRAYS_MAX]; /* [0] NULL: not captured yet */
    } chunks[];
};

/* An empty generation of `step` for all of the table's chunks. NULL: out of memory. Owns: the caller. */
struct generation *generation_new(const struct dense_table *table, uint64_t step);
void generation_free(struct generation *generation);

/* Takes references to a chunk of the table, which must be at the generation's step; once a chunk. */
void generation_capture(struct generation *generation, const struct dense_table *table,
                        const struct dense_chunk *chunk);

bool generation_is_complete(const struct generation *generation);

/* Drops the references, so that slots are updated in place again. */
void generation_drop(struct generation *generation);

/* Writes a complete generation in one synchronous transaction.
 * Errors: CAIRN_FULL and others of the store; what was durable before is as it was. */
enum status generation_write(const struct generation *generation, struct error *error) MUST_CHECK;

/* Fills the table's current values and slots from the records of its version.
 * Errors: CAIRN_NOT_FOUND, CAIRN_CORRUPT (also when a record does not fit the table); the table's values are
 * unspecified then, the store is never changed. */
enum status generation_load(struct store *store, struct dense_table *table, struct error *error) MUST_CHECK;

/* Bytes of map that a table's records need, with room for two places and what is free but not yet reusable.
 */
size_t generation_map_bytes(const struct dense_table *table);

#endif
