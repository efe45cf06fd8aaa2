/* Placement rules: plain arithmetic. */
#include "cluster/placement.h"

#define CHUNK_FLOATS_MIN 4096u /* 16 KiB: below that, a message costs more than its bytes */
#define CHUNKS_WANTED    32u   /* so that every shard of a small cluster has several */
#define CHUNK_ALIGNMENT  16u   /* floats: one cache line */

uint32_t placement_chunk_floats(uint64_t floats)
{
    uint64_t share = floats / CHUNKS_WANTED + (floats % CHUNKS_WANTED != 0);

    if (share <= CHUNK_FLOATS_MIN)
        return CHUNK_FLOATS_MIN;
    if (share >= PLACEMENT_CHUNK_FLOATS_MAX)
        return PLACEMENT_CHUNK_FLOATS_MAX;
    return (uint32_t)((share + CHUNK_ALIGNMENT - 1) / CHUNK_ALIGNMENT * CHUNK_ALIGNMENT);
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
