/* The hash of a sparse table's keys: a fixed one-to-one mixing of 64 bits, so that the key can be told from
 * its hash. Its order is the order of everything in a table: the index's segments and buckets, the records on
 * disk, the slices of a scan. Any thread.
 *
 * It differs from the mixing that places keys on shards: the keys of one shard must not look alike here.
 * Source: P. Evensen, "moremur", a stronger finalizer for MurmurHash3 (2019). */
#ifndef CAIRN_SERVER_ROWS_HASH_H
#define CAIRN_SERVER_ROWS_HASH_H

#include <stdint.h>

static inline uint64_t rows_hash(uint64_t key)
{
    key ^= key >> 27;
    key *= 0x3c79ac492ba7b653u;
    key ^= key >> 33;
    key *= 0x1c69b3f74ac4ae35u;
    return key ^ key >> 27;
}

/* The key of a hash. */
static inline uint64_t rows_unhash(uint64_t hash)
{
    hash ^= hash >> 27 ^ hash >> 54;
    hash *= 0xc47c8f6b6bafb41du;
    hash ^= hash >> 33;
    hash *= 0xc09c5fe5bd6dfddbu;
    return hash ^ hash >> 27 ^ hash >> 54;
}

#endif
