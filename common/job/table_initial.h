/* The values that a tables job begins with. Each is a function of (seed, table number, key or element) alone,
 * so that neither the order of keys nor the number of servers matters.
 *
 * A value takes 32 bits of its own from Philox: float i of the row of key K those of word i mod 4 of the
 * counter (i / 4, K, table); element i of a dense table those of the counter (i / 4, 0, table). Fixed for
 * ever. Immutable after init; any thread. */
#ifndef CAIRN_JOB_TABLE_INITIAL_H
#define CAIRN_JOB_TABLE_INITIAL_H

#include "job/job.h"
#include "math/philox.h"
#include "model/sampler.h"

#include <stdint.h>

struct table_initial {
    struct philox philox;
    struct sampler sampler;
    uint32_t number;
    uint32_t dimension; /* sparse */
    uint64_t size;      /* dense */
};

/* table: job_table(job, number); it may go after the call. */
void table_initial_init(struct table_initial *initial, const struct table_spec *table, uint32_t number,
                        uint64_t seed);

/* Sparse: the row of a key.
 * Shapes: row [dimension] f32 */
void table_initial_row(const struct table_initial *initial, uint64_t key, float *row);

/* Dense: floats [begin, end), begin <= end <= size.
 * Shapes: values [end - begin] f32 */
void table_initial_values(const struct table_initial *initial, uint64_t begin, uint64_t end, float *values);

#endif
