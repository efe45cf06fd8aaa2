/* Which keys of an array are the same: an open-addressing index from keys to positions in an array of keys.
 * Linear probing at no more than half full. A slot holds, below, 1 + the position (0: empty) and above it as
 * many bits of the key's hash as there is room for, so that other keys are passed over unread.
 * Scratch memory that is used again and again; it owns no keys. One thread an object. */
#ifndef CAIRN_SERVER_KEY_INDEX_H
#define CAIRN_SERVER_KEY_INDEX_H

#include "base/status.h"
#include "math/mix.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KEY_INDEX_NONE     UINT32_MAX
#define KEY_INDEX_KEYS_MAX ((size_t)1 << 30)
#define KEY_INDEX_AHEAD    32 /* keys that are worth hashing before the first of them is looked up */

/* All zero: an empty index of no capacity. */
struct key_index {
    uint32_t *slots; /* [mask + 1] */
    size_t mask;
    size_t capacity;        /* slots that there is memory for */
    uint32_t position_mask; /* the bits of a slot that are a position's */
};

/* Empties the index and makes it fit for `most` keys, at most KEY_INDEX_KEYS_MAX, at positions below `most`.
 * Errors: CAIRN_NO_MEMORY; it is unchanged then. */
enum status key_index_reset(struct key_index *index, size_t most) MUST_CHECK;
void key_index_fini(struct key_index *index);

/* The hash by which a key is looked up. */
static inline uint64_t key_index_hash(uint64_t key)
{
    return mix64(key);
}

/* Fetches the place where a search begins, for a search to come. */
static inline void key_index_prefetch(const struct key_index *index, uint64_t hash)
{
    __builtin_prefetch(&index->slots[(size_t)hash & index->mask], 1);
}

static inline uint32_t key_index_tag(const struct key_index *index, uint64_t hash)
{
    return (uint32_t)(hash >> 32) & ~index->position_mask;
}

/* The slot of a key, or the empty one where it would be. */
static inline uint32_t *key_index_slot(const struct key_index *index, const uint64_t *keys, uint64_t key,
                                       uint64_t hash)
{
    uint32_t tag = key_index_tag(index, hash);
    size_t at = (size_t)hash & index->mask;

    for (; index->slots[at] != 0; at = (at + 1) & index->mask) {
        if ((index->slots[at] & ~index->position_mask) == tag &&
            keys[(index->slots[at] & index->position_mask) - 1] == key)
            break;
    }
    return &index->slots[at];
}

/* The position of `key`, whose hash this is, among `keys`, which must be the array whose positions were put;
 * KEY_INDEX_NONE. */
static inline uint32_t key_index_find(const struct key_index *index, const uint64_t *keys, uint64_t key,
                                      uint64_t hash)
{
    const uint32_t *slot = key_index_slot(index, keys, key, hash);

    return *slot ? (*slot & index->position_mask) - 1 : KEY_INDEX_NONE;
}

/* The same, and puts `position` for the key when it is not there yet (and returns KEY_INDEX_NONE). */
static inline uint32_t key_index_put(struct key_index *index, const uint64_t *keys, uint64_t key,
                                     uint64_t hash, uint32_t position)
{
    uint32_t *slot = key_index_slot(index, keys, key, hash);

    if (*slot)
        return (*slot & index->position_mask) - 1;
    *slot = key_index_tag(index, hash) | (position + 1);
    return KEY_INDEX_NONE;
}

/* Hashes some keys and asks for the places where their searches will begin. */
static inline void key_index_ahead(const struct key_index *index, const uint64_t *keys, uint32_t count,
                                   uint64_t *hashes)
{
    for (uint32_t i = 0; i < count; i++) {
        hashes[i] = key_index_hash(keys[i]);
        key_index_prefetch(index, hashes[i]);
    }
}

#endif
