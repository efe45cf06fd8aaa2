/* Placement rules: plain arithmetic. */
#include "cluster/placement.h"

/* Each chunk is a frame, and a frame costs as much as some 25 KiB of bytes. Small arrays make a piece for
 * each shard of a small cluster; large ones as many as receiving, updating and answering need to overlap. */
#define SMALL_CHUNKS     4u
#define SMALL_FLOATS_MIN (16u * 1024u) /* of a chunk: 64 KiB */
#define SMALL_FLOATS_MAX (64u * 1024u) /* 256 KiB */
#define LARGE_CHUNKS     32u
#define CHUNK_ALIGNMENT  16u /* floats: one cache line */

static uint64_t share_of(uint64_t floats, uint32_t chunks)
{
    return floats / chunks + (floats % chunks != 0);
}

static uint64_t bounded(uint64_t floats, uint32_t least, uint32_t most)
{
    return floats < least ? least : floats > most ? most : floats;
}

uint32_t placement_chunk_floats(uint64_t floats)
{
    uint64_t small = bounded(share_of(floats, SMALL_CHUNKS), SMALL_FLOATS_MIN, SMALL_FLOATS_MAX);
    uint64_t large = bounded(share_of(floats, LARGE_CHUNKS), 0, PLACEMENT_CHUNK_FLOATS_MAX);
    uint64_t chosen = small > large ? small : large;

    return (uint32_t)((chosen + CHUNK_ALIGNMENT - 1) / CHUNK_ALIGNMENT * CHUNK_ALIGNMENT);
}

uint32_t placement_slot_count(uint32_t chunks)
{
    return chunks > PLACEMENT_SLOTS_MIN ? chunks : PLACEMENT_SLOTS_MIN;
}

/* Weights have the slots of their chunks' numbers; the other tables begin at the far end, where in small
 * models no weights are. */
uint32_t placement_slot(uint32_t table, uint32_t chunk, uint32_t slot_count)
{
    uint64_t first = slot_count - table % slot_count;

    return (uint32_t)((first + chunk) % slot_count);
}

uint32_t placement_chunk(uint32_t table, uint32_t slot, uint32_t slot_count)
{
    return (uint32_t)(((uint64_t)slot + table % slot_count) % slot_count);
}

void placement_assign(uint32_t *slot_shards, uint32_t slot_count, uint32_t shard_count)
{
    for (uint32_t slot = 0; slot < slot_count; slot++)
        slot_shards[slot] = slot % shard_count;
}

void placement_span(uint32_t microbatches, uint32_t workers, uint32_t index, uint32_t *begin, uint32_t *end)
{
    *begin = (uint32_t)((uint64_t)microbatches * index / workers);
    *end = (uint32_t)((uint64_t)microbatches * (index + 1ull) / workers);
}
