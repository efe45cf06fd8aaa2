/* The sampler: which samples each step trains on, in which order.
 *
 * A training epoch goes through the whole set once, in an order that is a permutation drawn from (seed,
 * training epoch), or in the file's order when the job does not shuffle. Steps cut that order into batches;
 * the last batch of a training epoch may be short. So the batch of a step is a function of the job, the
 * number of samples and the step alone. Knows nothing of files, threads or workers. One thread an object. */
#ifndef CAIRN_WORKER_DATA_SAMPLER_H
#define CAIRN_WORKER_DATA_SAMPLER_H

#include "base/status.h"
#include "job/job.h"

#include <stdbool.h>
#include <stdint.h>

struct sampler {
    const struct job *job; /* borrowed */
    uint64_t samples;      /* in the set, at least 1 */
    uint64_t steps_per_epoch;
    uint64_t *order; /* [samples] of `epoch`; NULL: the job does not shuffle */
    uint64_t epoch;  /* UINT64_MAX: none drawn yet */
};

/* A part of a step's batch. */
struct sampler_range {
    uint64_t epoch;         /* training epoch, from 0 */
    uint64_t first;         /* position in the epoch's order of the part's first sample */
    uint32_t first_sample;  /* position in the batch of the same */
    uint32_t samples;       /* in the part, may be 0 */
    uint32_t batch_samples; /* in the whole batch, at least 1 */
};

/* Errors: CAIRN_NO_MEMORY. May be finished even if it failed. */
enum status sampler_init(struct sampler *sampler, const struct job *job, uint64_t samples,
                         struct error *error) MUST_CHECK;
void sampler_fini(struct sampler *sampler);

/* Microbatch `microbatch` (less than the job's) of step `step`. */
struct sampler_range sampler_microbatch(const struct sampler *sampler, uint64_t step, uint32_t microbatch);

/* The index in the data set of the sample at `position` of a training epoch's order. Changing the epoch draws
 * the order anew: fast when calls are grouped by epoch. */
uint64_t sampler_sample(struct sampler *sampler, uint64_t epoch, uint64_t position);

#endif
