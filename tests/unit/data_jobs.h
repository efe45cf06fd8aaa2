/* A job and a set of samples in memory, for what works on data sets. Sample i has features i, i + 0.5 and
 * class i % 10. Test code only. */
#ifndef CAIRN_TESTS_DATA_JOBS_H
#define CAIRN_TESTS_DATA_JOBS_H

#include "data/format.h"

#include <stdlib.h>

static const struct reader_wants counting_wants = {
    .input = {.rank = 1, .dim = {2}}, .target = TARGET_CLASS, .classes = 10};

static void counting_read(const struct reader *reader, uint64_t index, float *features, void *target)
{
    (void)reader;
    features[0] = (float)index;
    features[1] = (float)index + 0.5f;
    *(int32_t *)target = (int32_t)(index % 10);
}

static void counting_free(struct reader *reader)
{
    (void)reader;
}

static const struct reader_ops counting_ops = {.read = counting_read, .free = counting_free};

static inline struct reader counting_reader(uint64_t count)
{
    return (struct reader){.ops = &counting_ops, .count = count};
}

static inline struct job data_job(uint32_t batch_size, uint32_t microbatches, bool shuffle)
{
    return (struct job){
        .seed = 11, .batch_size = batch_size, .microbatches = microbatches, .shuffle = shuffle};
}

#endif
