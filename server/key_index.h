/* Which keys of an array are the same: an open-addressing index from keys to positions in an array of keys.
 * Scratch memory that is used again and again; it owns no keys. One thread an object. */
#ifndef CAIRN_SERVER_KEY_INDEX_H
#define CAIRN_SERVER_KEY_INDEX_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KEY_INDEX_NONE     UINT32_MAX
#define KEY_INDEX_KEYS_MAX ((size_t)1 << 30)

/* All zero: an empty index of no capacity. */
struct key_index {
    uint32_t *slots; /* [mask + 1] */
    size_t mask;
    size_t capacity;        /* slots that there is memory for */
    uint32_t position_mask; /* the bits of a slot that are a position's */
};

/* Empties the index and makes it fit for `most` keys, at most KEY_INDEX_KEYS_MAX, at positions below `most`.
 * Errors: CAIRN_NO_MEMORY; it is
 * unchanged then. */
enum status key_index_reset(struct key_index *index, size_t most) MUST_CHECK;
void key_index_fini(struct key_index *index);

/* The position of `key` among `keys`, which must be the array whose positions were put; KEY_INDEX_NONE. */
uint32_t key_index_find(const struct key_index *index, const uint64_t *keys, uint64_t key);

/* The same, and puts `position` for the key when it is not there yet (and returns KEY_INDEX_NONE). */
uint32_t key_index_put(struct key_index *index, const uint64_t *keys, uint64_t key, uint32_t position);

/* Fetches the place where a key's search begins, for a search to come. */
void key_index_prefetch(const struct key_index *index, uint64_t key);

#endif
