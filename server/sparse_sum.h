/* The sum of a sparse table's gradients over one node of the reduction tree: distinct keys, each with a row
 * of float32.
 *
 * What a push brings may name a key more than once: its rows are added in order of appearance. Two nodes fold
 * key by key: left + right where both have the key, a copy where one has it. So each key's sum has the tree's
 * shape over those microbatches that have the key, whatever other keys there are and on whichever shard they
 * lie, and the order of keys within a sum means nothing. Knows nothing of rows, steps or messages. One thread
 * an object. */
#ifndef CAIRN_SERVER_SPARSE_SUM_H
#define CAIRN_SERVER_SPARSE_SUM_H

#include "base/buffer.h"
#include "base/status.h"
#include "codec/codec.h"
#include "key_index.h"

#include <stdint.h>

struct sparse_sum {
    uint32_t count;
    struct buffer *keys;   /* uint64 [count]; others may hold them too */
    struct buffer *values; /* float32 [count, dimension] */
};

static inline const uint64_t *sparse_sum_keys(const struct sparse_sum *sum)
{
    return sum->keys->data;
}

static inline float *sparse_sum_values(const struct sparse_sum *sum)
{
    return sum->values->data;
}

/* The sum of a push. keys: uint64 [n], kept as they are when they ascend, never written to. values: float32
 * [n, dimension], exclusively the caller's, added up in place; taken in every case. Both may be NULL: no
 * keys. scratch is used during the call. Owns: the caller, sparse_sum_free. NULL: out of memory. */
struct sparse_sum *sparse_sum_new(uint32_t dimension, struct buffer *keys, struct buffer *values,
                                  struct key_index *scratch);
void sparse_sum_free(struct sparse_sum *sum);

/* A sum of no keys, with room for so many, to be filled by the caller. Owns: the caller. NULL: out of memory.
 */
struct sparse_sum *sparse_sum_empty(uint32_t dimension, uint32_t room);

/* left += right, in the numbers of the codec at their node; NULL: float32.
 * Errors: CAIRN_NO_MEMORY; left is unspecified then. */
enum status sparse_sum_add(struct sparse_sum *left, const struct sparse_sum *right, uint32_t dimension,
                           const struct codec_node *codec, struct key_index *scratch) MUST_CHECK;

/* Rounds all rows at the codec's node. */
void sparse_sum_round(struct sparse_sum *sum, uint32_t dimension, const struct codec_node *codec);

#endif
