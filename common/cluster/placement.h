/* Who computes and who holds what: spans of microbatches, slots and shards. Pure rules; any thread.
 *
 * A slot is the unit of placement. A job has a fixed number of slots; the slot map (slot -> shard) is decided
 * by the coordinator and travels with the job. Nothing here knows of sockets or nodes. */
#ifndef CAIRN_CLUSTER_PLACEMENT_H
#define CAIRN_CLUSTER_PLACEMENT_H

#include "math/mix.h"

#include <stdint.h>

/* A job's tables. The numbers are in messages and records: never renumber. */
enum table_id {
    TABLE_WEIGHTS = 0,    /* dense float32, an optimizer applied each step */
    TABLE_METRICS = 1,    /* sums of training metrics, float64, one chunk; version t + 1 is step t's root */
    TABLE_VALIDATION = 2, /* sums of validation metrics, float64, one chunk; steps may be skipped */
    TABLE_COUNT = 3,
    TABLE_FIRST_USER = 3 /* + the index in the job file's tables; such a job has none of those above */
};

/* At least so many slots, so that sparse rows spread well. */
#define PLACEMENT_SLOTS_MIN  1024
#define PLACEMENT_SHARDS_MAX 4096
/* The largest chunk: 1 MiB, where ZeroMQ is fastest. */
#define PLACEMENT_CHUNK_FLOATS_MAX (256u * 1024u)

/* The size of every chunk but the last of a dense table of so many floats: the same for any cluster. */
uint32_t placement_chunk_floats(uint64_t floats);

/* The number of slots of a job whose weights make `chunks` chunks: each dense chunk has a slot of its own. */
uint32_t placement_slot_count(uint32_t chunks);

/* The slot of a chunk of a table. */
uint32_t placement_slot(uint32_t table, uint32_t chunk, uint32_t slot_count);

/* The other way round: the chunk of a table whose slot this is, if the table has so many. slot < slot_count.
 */
uint32_t placement_chunk(uint32_t table, uint32_t slot, uint32_t slot_count);

/* The slot of a row of a sparse table: the top of the key's hash (a step of SplitMix64) times slot_count.
 * Fixed for ever: rows lie where it says. A shard's own hash table must hash in another way, or all its keys
 * would begin with the same bits. slot_count > 0. */
static inline uint32_t placement_key_slot(uint64_t key, uint32_t slot_count)
{
    uint64_t hash = mix64(key + MIX64_STEP);

    return (uint32_t)((hash >> 32) * slot_count >> 32);
}

/* Fills slot_shards[slot_count] with shard indices, round robin: dense load is balanced to within one chunk.
 */
void placement_assign(uint32_t *slot_shards, uint32_t slot_count, uint32_t shard_count);

/* The span [begin, end) of microbatches of worker `index` of `workers`, contiguous, sizes within one of each
 * other; empty when there are more workers than microbatches. */
void placement_span(uint32_t microbatches, uint32_t workers, uint32_t index, uint32_t *begin, uint32_t *end);

/* Spans whose sizes are as the workers' weights: ends[i] is where worker i's ends and the next one's begins. By
 * largest remainders, ties to the first; at least one microbatch each. The same numbers give the same spans.
 * Shapes: weights [workers], each finite and above 0; ends [workers]. 0 < workers <= microbatches. */
void placement_spans(uint32_t microbatches, const double *weights, uint32_t workers, uint32_t *ends);

#endif
