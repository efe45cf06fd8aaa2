/* Values are made in groups of 16, four Philox blocks side by side: a group costs little more than one. The
 * fans of the scaled initializers: a dense table is a vector, which Keras counts as both fans; how many rows
 * a sparse table will have is not known, so a row is a matrix of one. */
#include "job/table_initial.h"

#include "base/kernel.h"

#include <string.h>

#define GROUP PHILOX_WORDS_WIDE

void table_initial_init(struct table_initial *initial, const struct table_spec *table, uint32_t number,
                        uint64_t seed)
{
    bool dense = table->kind == TABLE_KIND_DENSE;
    double fan_in = dense ? (double)table->size : 1.0, fan_out = dense ? fan_in : table->dimension;

    initial->philox = philox_for(seed, dense ? PHILOX_TABLE_VALUES : PHILOX_TABLE_ROWS);
    initial->sampler = sampler_of(&table->initializer, fan_in, fan_out);
    initial->number = number;
    initial->dimension = table->dimension;
    initial->size = table->size;
}

/* sampler_value of uniform deviates, to the same bits: 2 * unit - 1 is exact in both forms. */
KERNEL static void uniform_group(double center, double spread, const uint32_t words[GROUP],
                                 float values[GROUP])
{
    KERNEL_LOOP
    for (int i = 0; i < GROUP; i++) {
        double unit = ((double)(int32_t)(words[i] ^ 0x80000000u) + 0.5) * 0x1p-31;

        values[i] = (float)(center + spread * unit);
    }
}

/* The values of four counters. */
static void fill_group(const struct table_initial *initial, const uint32_t counter[4], float values[GROUP])
{
    const struct sampler *sampler = &initial->sampler;
    uint32_t words[GROUP];

    philox_words_wide(initial->philox, counter, words);
    if (sampler->distribution == DISTRIBUTION_UNIFORM) {
        uniform_group(sampler->center, sampler->spread, words, values);
        return;
    }
    for (int i = 0; i < GROUP; i++)
        values[i] = (float)sampler_value(sampler, philox_unit_of_word(words[i]));
}

static void fill_constant(const struct table_initial *initial, uint64_t count, float *values)
{
    for (uint64_t i = 0; i < count; i++)
        values[i] = (float)initial->sampler.center;
}

void table_initial_row(const struct table_initial *initial, uint64_t key, float *row)
{
    uint32_t counter[4] = {0, (uint32_t)key, (uint32_t)(key >> 32), initial->number}, done;
    float last[GROUP];

    if (initial->sampler.distribution == DISTRIBUTION_CONSTANT) {
        fill_constant(initial, initial->dimension, row);
        return;
    }
    for (done = 0; initial->dimension - done >= GROUP; done += GROUP, counter[0] += GROUP / 4)
        fill_group(initial, counter, row + done);
    if (done == initial->dimension)
        return;
    fill_group(initial, counter, last);
    memcpy(row + done, last, (initial->dimension - done) * sizeof(*row));
}

void table_initial_values(const struct table_initial *initial, uint64_t begin, uint64_t end, float *values)
{
    BUG_IF(begin > end || end > initial->size);
    if (initial->sampler.distribution == DISTRIBUTION_CONSTANT) {
        fill_constant(initial, end - begin, values);
        return;
    }
    while (begin < end) {
        uint64_t block = begin / GROUP * (GROUP / 4), skipped = begin % GROUP;
        uint32_t counter[4] = {(uint32_t)block, (uint32_t)(block >> 32), 0, initial->number};
        uint64_t count = GROUP - skipped < end - begin ? GROUP - skipped : end - begin;
        float group[GROUP];

        fill_group(initial, counter, group);
        memcpy(values, group + skipped, count * sizeof(*values));
        values += count;
        begin += count;
    }
}
