/* Batches of random keys, made beforehand and used in turn: as they come, or each in ascending order without
 * doubles. For benchmarks. */
#ifndef CAIRN_BENCH_ROW_BATCHES_H
#define CAIRN_BENCH_ROW_BATCHES_H

#include "base/buffer.h"

#include <stdbool.h>
#include <stdint.h>

/* So many in all that neither they nor their rows stay in a cache. */
#define ROW_BATCHES_KEYS ((uint32_t)4 << 20)

struct row_batches {
    uint64_t bound;
    bool ascend;
    uint64_t *keys; /* [ROW_BATCHES_KEYS], each below the bound */
    uint32_t batch, count, next;
    struct buffer *buffers; /* [count], each over `batch` keys */
};

/* ascend: the bound is well above the batches' size. Errors: CAIRN_NO_MEMORY. */
enum status row_batches_init(struct row_batches *batches, uint64_t bound, bool ascend,
                             struct error *error) MUST_CHECK;

/* The next batch of so many keys; borrowed, its keys stay until another size is
 * asked for. Errors: NULL: out of memory. */
struct buffer *row_batches_next(struct row_batches *batches, uint32_t batch);

#endif
