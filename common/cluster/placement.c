/* Placement rules: plain arithmetic. */
#include "cluster/placement.h"

#include "base/status.h"
#include "math/tree.h"

#include <math.h>

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

/* The worker that has most (sign 1) or least (-1) of what is its due; of those with more than `least`. */
static uint32_t furthest_off(const double *due, const uint32_t *sizes, uint32_t workers, uint32_t least,
                             double sign)
{
    uint32_t found = workers;

    for (uint32_t i = 0; i < workers; i++) {
        if (sizes[i] > least &&
            (found == workers || sign * (sizes[i] - due[i]) > sign * (sizes[found] - due[found])))
            found = i;
    }
    BUG_IF(found == workers);
    return found;
}

/* due: what each would have if microbatches could be cut. Ends since each turn moves the sum by one. */
static void round_sizes(uint32_t microbatches, const double *due, uint32_t workers, uint32_t *sizes)
{
    uint64_t sum = 0;

    for (uint32_t i = 0; i < workers; i++) {
        sizes[i] = due[i] < 1 ? 1 : (uint32_t)due[i];
        sum += sizes[i];
    }
    for (; sum < microbatches; sum++)
        sizes[furthest_off(due, sizes, workers, 0, -1)]++;
    for (; sum > microbatches; sum--)
        sizes[furthest_off(due, sizes, workers, 1, 1)]--;
}

void placement_spans(uint32_t microbatches, const double *weights, uint32_t workers, uint32_t *ends)
{
    double due[TREE_LEAVES_MAX], sum = 0; /* 32 KiB */

    BUG_IF(workers == 0 || workers > microbatches || microbatches > TREE_LEAVES_MAX);
    for (uint32_t i = 0; i < workers; i++) {
        BUG_IF(!(weights[i] > 0) || !isfinite(weights[i]));
        sum += weights[i];
    }
    for (uint32_t i = 0; i < workers; i++)
        due[i] = (double)microbatches * (weights[i] / sum);
    round_sizes(microbatches, due, workers, ends);
    for (uint32_t i = 1; i < workers; i++)
        ends[i] += ends[i - 1];
}
