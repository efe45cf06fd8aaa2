/* Linear probing at no more than half full. A slot holds, below, 1 + the position (0: empty) and above it as
 * many bits of the key's hash as there is room for, so that other keys are passed over unread. */
#include "key_index.h"

#include <stdlib.h>
#include <string.h>

#define SLOTS_MIN 64

/* The finaliser of splitmix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014).
 */
static inline uint64_t hash_of(uint64_t key)
{
    key = (key ^ (key >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    key = (key ^ (key >> 27)) * UINT64_C(0x94d049bb133111eb);
    return key ^ (key >> 31);
}

static inline uint32_t tag_of(const struct key_index *index, uint64_t hash)
{
    return (uint32_t)(hash >> 32) & ~index->position_mask;
}

enum status key_index_reset(struct key_index *index, size_t most)
{
    size_t slots = SLOTS_MIN;

    BUG_IF(most > KEY_INDEX_KEYS_MAX);
    while (slots < 2 * most)
        slots *= 2;
    if (slots > index->capacity) {
        uint32_t *memory = malloc(slots * sizeof(*memory));

        if (!memory)
            return CAIRN_NO_MEMORY;
        free(index->slots);
        index->slots = memory;
        index->capacity = slots;
    }
    index->mask = slots - 1;
    index->position_mask = (uint32_t)(slots - 1); /* 1 + position <= most <= slots / 2 */
    memset(index->slots, 0, slots * sizeof(index->slots[0]));
    return CAIRN_OK;
}

void key_index_fini(struct key_index *index)
{
    free(index->slots);
    *index = (struct key_index){NULL, 0, 0, 0};
}

/* The slot of a key, or the empty one where it would be. */
static inline uint32_t *slot_of(const struct key_index *index, const uint64_t *keys, uint64_t key,
                                uint64_t hash)
{
    uint32_t tag = tag_of(index, hash);
    size_t at = (size_t)hash & index->mask;

    for (; index->slots[at] != 0; at = (at + 1) & index->mask) {
        if ((index->slots[at] & ~index->position_mask) == tag &&
            keys[(index->slots[at] & index->position_mask) - 1] == key)
            break;
    }
    return &index->slots[at];
}

uint32_t key_index_find(const struct key_index *index, const uint64_t *keys, uint64_t key)
{
    const uint32_t *slot = slot_of(index, keys, key, hash_of(key));

    return *slot ? (*slot & index->position_mask) - 1 : KEY_INDEX_NONE;
}

uint32_t key_index_put(struct key_index *index, const uint64_t *keys, uint64_t key, uint32_t position)
{
    uint64_t hash = hash_of(key);
    uint32_t *slot = slot_of(index, keys, key, hash);

    if (*slot)
        return (*slot & index->position_mask) - 1;
    *slot = tag_of(index, hash) | (position + 1);
    return KEY_INDEX_NONE;
}

void key_index_prefetch(const struct key_index *index, uint64_t key)
{
    __builtin_prefetch(&index->slots[(size_t)hash_of(key) & index->mask], 1);
}
