/* Summing by key. Keys are distinguished through a scratch index that is made anew for each call: a sum that
 * waits for its sibling costs its keys and rows only. Keys that come in ascending order, as from a client
 * that has sorted out its doubles, need none of this. */
#include "sparse_sum.h"

#include "base/floats.h"
#include "sums.h"

#include <stdlib.h>
#include <string.h>

#define KEYS_A_LOOK 256 /* keys that are compared before the first of them that is out of order ends it */

/* keys, values: NULL for new ones of `room`; taken in every case. */
static struct sparse_sum *sum_allocate(uint32_t room, uint32_t dimension, struct buffer *keys,
                                       struct buffer *values)
{
    struct sparse_sum *sum = calloc(1, sizeof(*sum));

    if (sum) {
        sum->keys = keys ? keys : buffer_new(room * sizeof(uint64_t));
        sum->values = values ? values : buffer_new((size_t)room * dimension * sizeof(float));
    } else {
        buffer_unref(keys);
        buffer_unref(values);
    }
    if (sum && (!sum->keys || !sum->values)) {
        sparse_sum_free(sum);
        return NULL;
    }
    return sum;
}

struct sparse_sum *sparse_sum_empty(uint32_t dimension, uint32_t room)
{
    return sum_allocate(room, dimension, NULL, NULL);
}

void sparse_sum_free(struct sparse_sum *sum)
{
    if (!sum)
        return;
    buffer_unref(sum->keys);
    buffer_unref(sum->values);
    free(sum);
}

/* Some keys on their way into an index. */
struct group {
    uint32_t count;
    uint64_t hashes[KEY_INDEX_AHEAD];
};

static void group_begin(struct group *group, const struct key_index *index, const uint64_t *keys, size_t left)
{
    group->count = left < KEY_INDEX_AHEAD ? (uint32_t)left : KEY_INDEX_AHEAD;
    key_index_ahead(index, keys, group->count, group->hashes);
}

/* Rows of keys seen before are added to the first of them; the others close ranks. */
static void add_doubles(struct sparse_sum *sum, const uint64_t *given, size_t count, uint32_t dimension,
                        struct key_index *scratch)
{
    uint64_t *keys = sum->keys->data;
    float *values = sum->values->data;
    struct group group;

    for (size_t begin = 0; begin < count; begin += group.count) {
        group_begin(&group, scratch, given + begin, count - begin);
        for (uint32_t i = 0; i < group.count; i++) {
            const float *row = values + (begin + i) * dimension;
            uint32_t seen = key_index_put(scratch, keys, given[begin + i], group.hashes[i], sum->count);

            if (seen != KEY_INDEX_NONE) {
                sum_row(values + (size_t)seen * dimension, row, dimension);
                continue;
            }
            keys[sum->count] = given[begin + i];
            if (sum->count != begin + i)
                floats_copy(values + (size_t)sum->count * dimension, row, dimension);
            sum->count++;
        }
    }
}

/* Whether each key is greater than the one before: then there are no doubles. */
static bool keys_ascend(const uint64_t *keys, size_t count)
{
    bool ascend = true;

    for (size_t begin = 1; begin < count && ascend; begin += KEYS_A_LOOK) {
        size_t end = begin + KEYS_A_LOOK < count ? begin + KEYS_A_LOOK : count;

        for (size_t i = begin; i < end; i++)
            ascend &= keys[i - 1] < keys[i];
    }
    return ascend;
}

struct sparse_sum *sparse_sum_new(uint32_t dimension, struct buffer *keys, struct buffer *values,
                                  struct key_index *scratch)
{
    size_t count = keys ? keys->length_bytes / sizeof(uint64_t) : 0;
    bool are_distinct = count > 0 && keys_ascend(keys->data, count);
    struct sparse_sum *sum =
        sum_allocate((uint32_t)count, dimension, are_distinct ? buffer_ref(keys) : NULL, values);

    if (sum && are_distinct)
        sum->count = (uint32_t)count;
    if (!sum || are_distinct || count == 0)
        return sum;
    if (key_index_reset(scratch, count) != CAIRN_OK) {
        sparse_sum_free(sum);
        return NULL;
    }
    add_doubles(sum, keys->data, count, dimension, scratch);
    return sum;
}

/* Moves a sum into memory with room for `room` keys, unless it has as much of its own. */
static enum status sum_grow(struct sparse_sum *sum, size_t room, uint32_t dimension)
{
    size_t row_bytes = dimension * sizeof(float);
    struct sparse_sum *larger;

    if (buffer_is_exclusive(sum->keys) && sum->keys->capacity_bytes >= room * sizeof(uint64_t) &&
        sum->values->capacity_bytes >= room * row_bytes)
        return CAIRN_OK;
    larger = sum_allocate((uint32_t)room, dimension, NULL, NULL);
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
    struct group group;

    for (uint32_t begin = 0; begin < sum->count; begin += group.count) {
        group_begin(&group, index, keys + begin, sum->count - begin);
        for (uint32_t i = 0; i < group.count; i++)
            key_index_put(index, keys, keys[begin + i], group.hashes[i], begin + i);
    }
}

/* What an addition works with. */
struct adder {
    struct key_index *index;
    const struct codec_node *codec; /* NULL: float32 */
    uint32_t dimension;
};

static void row_fold(const struct codec_node *codec, uint64_t key, float *left, const float *right,
                     uint32_t dimension)
{
    struct codec_node at = *codec;

    at.array = key;
    codec_fold(&at, left, right, dimension);
}

/* Adds a row to its key's, or behind the last one; there is room. */
static void row_add(struct sparse_sum *sum, const struct adder *adder, uint64_t key, uint64_t hash,
                    const float *row)
{
    uint64_t *keys = sum->keys->data;
    uint32_t seen = key_index_put(adder->index, keys, key, hash, sum->count);
    float *place =
        sparse_sum_values(sum) + (size_t)(seen == KEY_INDEX_NONE ? sum->count : seen) * adder->dimension;

    if (seen != KEY_INDEX_NONE) {
        if (adder->codec)
            row_fold(adder->codec, key, place, row, adder->dimension);
        else
            sum_row(place, row, adder->dimension);
        return;
    }
    keys[sum->count] = key;
    floats_copy(place, row, adder->dimension);
    sum->count++;
}

void sparse_sum_round(struct sparse_sum *sum, uint32_t dimension, const struct codec_node *codec)
{
    struct codec_node at = *codec;

    for (uint32_t i = 0; i < sum->count; i++) {
        at.array = sparse_sum_keys(sum)[i];
        codec_round(&at, sparse_sum_values(sum) + (size_t)i * dimension, NULL, dimension);
    }
}

enum status sparse_sum_add(struct sparse_sum *left, const struct sparse_sum *right, uint32_t dimension,
                           const struct codec_node *codec, struct key_index *scratch)
{
    size_t most = (size_t)left->count + right->count;
    const struct adder adder = {scratch, codec, dimension};
    const uint64_t *added = sparse_sum_keys(right);
    struct group group;

    if (right->count == 0)
        return CAIRN_OK;
    if (most > KEY_INDEX_KEYS_MAX || key_index_reset(scratch, most) != CAIRN_OK ||
        sum_grow(left, most, dimension) != CAIRN_OK)
        return CAIRN_NO_MEMORY;
    put_all(scratch, left);
    for (uint32_t begin = 0; begin < right->count; begin += group.count) {
        group_begin(&group, scratch, added + begin, right->count - begin);
        for (uint32_t i = 0; i < group.count; i++)
            row_add(left, &adder, added[begin + i], group.hashes[i],
                    sparse_sum_values(right) + (size_t)(begin + i) * dimension);
    }
    return CAIRN_OK;
}
