/* Linear probing at no more than half full. */
#include "key_index.h"

#include <stdlib.h>
#include <string.h>

#define SLOTS_MIN 64

/* The finaliser of splitmix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014).
 */
static size_t place_of(const struct key_index *index, uint64_t key)
{
    key = (key ^ (key >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    key = (key ^ (key >> 27)) * UINT64_C(0x94d049bb133111eb);
    return (size_t)(key ^ (key >> 31)) & index->mask;
}

enum status key_index_reset(struct key_index *index, size_t most)
{
    size_t slots = SLOTS_MIN;

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
    memset(index->slots, 0, slots * sizeof(index->slots[0]));
    return CAIRN_OK;
}

void key_index_fini(struct key_index *index)
{
    free(index->slots);
    *index = (struct key_index){NULL, 0, 0};
}

uint32_t key_index_find(const struct key_index *index, const uint64_t *keys, uint64_t key)
{
    for (size_t at = place_of(index, key); index->slots[at] != 0; at = (at + 1) & index->mask) {
        if (keys[index->slots[at] - 1] == key)
            return index->slots[at] - 1;
    }
    return KEY_INDEX_NONE;
}

uint32_t key_index_put(struct key_index *index, const uint64_t *keys, uint64_t key, uint32_t position)
{
    size_t at = place_of(index, key);

    for (; index->slots[at] != 0; at = (at + 1) & index->mask) {
        if (keys[index->slots[at] - 1] == key)
            return index->slots[at] - 1;
    }
    index->slots[at] = position + 1;
    return KEY_INDEX_NONE;
}

void key_index_prefetch(const struct key_index *index, uint64_t key)
{
    __builtin_prefetch(&index->slots[place_of(index, key)], 1);
}
