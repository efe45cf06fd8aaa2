/* Summing by key. Keys are distinguished through a scratch index that is made anew for each call: a sum that
 * waits for its sibling costs its keys and rows only. */
#include "sparse_sum.h"

#include "sums.h"

#include <stdlib.h>
#include <string.h>

#define PREFETCH_AHEAD 16

static struct sparse_sum *sum_allocate(uint32_t room, uint32_t dimension, struct buffer *values)
{
    struct sparse_sum *sum = calloc(1, sizeof(*sum));

    if (sum) {
        sum->keys = buffer_new(room * sizeof(uint64_t));
        sum->values = values ? values : buffer_new((size_t)room * dimension * sizeof(float));
    } else {
        buffer_unref(values);
    }
    if (sum && (!sum->keys || !sum->values)) {
        sparse_sum_free(sum);
        return NULL;
    }
    return sum;
}

void sparse_sum_free(struct sparse_sum *sum)
{
    if (!sum)
        return;
    buffer_unref(sum->keys);
    buffer_unref(sum->values);
    free(sum);
}

/* Rows of keys seen before are added to the first of them; the others close ranks. */
static void add_doubles(struct sparse_sum *sum, const uint64_t *given, size_t count, uint32_t dimension,
                        struct key_index *scratch)
{
    uint64_t *keys = sum->keys->data;
    float *values = sum->values->data;
    uint32_t used = 0;

    for (size_t i = 0; i < count; i++) {
        float *row = values + i * dimension;
        uint32_t seen;

        if (i + PREFETCH_AHEAD < count)
            key_index_prefetch(scratch, given[i + PREFETCH_AHEAD]);
        seen = key_index_put(scratch, keys, given[i], used);
        if (seen != KEY_INDEX_NONE) {
            sum_row(values + (size_t)seen * dimension, row, dimension);
            continue;
        }
        keys[used] = given[i];
        if (used != i)
            memcpy(values + (size_t)used * dimension, row, dimension * sizeof(float));
        used++;
    }
    sum->count = used;
}

struct sparse_sum *sparse_sum_new(uint32_t dimension, const struct buffer *keys, struct buffer *values,
                                  struct key_index *scratch)
{
    size_t count = keys ? keys->length_bytes / sizeof(uint64_t) : 0;
    struct sparse_sum *sum = sum_allocate((uint32_t)count, dimension, values);

    if (!sum || count == 0)
        return sum;
    if (key_index_reset(scratch, count) != CAIRN_OK) {
        sparse_sum_free(sum);
        return NULL;
    }
    add_doubles(sum, keys->data, count, dimension, scratch);
    return sum;
}

/* Moves a sum into memory with room for `room` keys, unless there is as much. */
static enum status sum_grow(struct sparse_sum *sum, size_t room, uint32_t dimension)
{
    size_t row_bytes = dimension * sizeof(float);
    struct sparse_sum *larger;

    if (sum->keys->capacity_bytes >= room * sizeof(uint64_t) &&
        sum->values->capacity_bytes >= room * row_bytes)
        return CAIRN_OK;
    larger = sum_allocate((uint32_t)room, dimension, NULL);
    if (!larger)
        return CAIRN_NO_MEMORY;
    memcpy(larger->keys->data, sum->keys->data, sum->count * sizeof(uint64_t));
    memcpy(larger->values->data, sum->values->data, sum->count * row_bytes);
    buffer_unref(sum->keys);
    buffer_unref(sum->values);
    sum->keys = larger->keys;
    sum->values = larger->values;
    free(larger);
    return CAIRN_OK;
}

static void put_all(struct key_index *index, const struct sparse_sum *sum)
{
    const uint64_t *keys = sparse_sum_keys(sum);

    for (uint32_t i = 0; i < sum->count; i++) {
        if (i + PREFETCH_AHEAD < sum->count)
            key_index_prefetch(index, keys[i + PREFETCH_AHEAD]);
        key_index_put(index, keys, keys[i], i);
    }
}

enum status sparse_sum_add(struct sparse_sum *left, const struct sparse_sum *right, uint32_t dimension,
                           struct key_index *scratch)
{
    size_t most = (size_t)left->count + right->count;
    const uint64_t *added = sparse_sum_keys(right);
    uint64_t *keys;

    if (right->count == 0)
        return CAIRN_OK;
    if (most > KEY_INDEX_KEYS_MAX || key_index_reset(scratch, most) != CAIRN_OK ||
        sum_grow(left, most, dimension) != CAIRN_OK)
        return CAIRN_NO_MEMORY;
    put_all(scratch, left);
    keys = left->keys->data;
    for (uint32_t i = 0; i < right->count; i++) {
        const float *row = sparse_sum_values(right) + (size_t)i * dimension;
        uint32_t seen;

        if (i + PREFETCH_AHEAD < right->count)
            key_index_prefetch(scratch, added[i + PREFETCH_AHEAD]);
        seen = key_index_put(scratch, keys, added[i], left->count);
        if (seen != KEY_INDEX_NONE) {
            sum_row(sparse_sum_values(left) + (size_t)seen * dimension, row, dimension);
            continue;
        }
        keys[left->count] = added[i];
        memcpy(sparse_sum_values(left) + (size_t)left->count * dimension, row, dimension * sizeof(float));
        left->count++;
    }
    return CAIRN_OK;
}
