/* The memory of the index. */
#include "key_index.h"

#include <stdlib.h>
#include <string.h>

#define SLOTS_MIN    64
#define SLOTS_CACHED (1 << 17) /* half of a second-level cache: up to it there is room for more empty ones   \
                                */

enum status key_index_reset(struct key_index *index, size_t most)
{
    size_t slots = SLOTS_MIN;

    BUG_IF(most > KEY_INDEX_KEYS_MAX);
    while (slots < 2 * most || (slots < 4 * most && slots < SLOTS_CACHED))
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
