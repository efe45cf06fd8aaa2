/* sampler.h: arithmetic over steps, and one permutation kept at a time. */
#include "data/sampler.h"

#include "math/philox.h"

#include <stdlib.h>

enum status sampler_init(struct sampler *sampler, const struct job *job, uint64_t samples,
                         struct error *error)
{
    *sampler = (struct sampler){.job = job, .samples = samples, .epoch = UINT64_MAX};
    BUG_IF(samples == 0);
    sampler->steps_per_epoch = job_steps_per_epoch(job, samples);
    if (!job->shuffle)
        return CAIRN_OK;
    sampler->order = calloc(samples, sizeof *sampler->order);
    if (sampler->order == NULL)
        return error_set(error, CAIRN_NO_MEMORY, "out of memory for the order of %llu samples",
                         (unsigned long long)samples);
    return CAIRN_OK;
}

void sampler_fini(struct sampler *sampler)
{
    free(sampler->order);
    *sampler = (struct sampler){0};
}

struct sampler_range sampler_microbatch(const struct sampler *sampler, uint64_t step, uint32_t microbatch)
{
    const struct job *job = sampler->job;
    struct sampler_range range = {.epoch = step / sampler->steps_per_epoch};
    uint64_t batch_first = step % sampler->steps_per_epoch * job->batch_size;
    uint64_t rest = sampler->samples - batch_first;
    uint32_t begin, end;

    range.batch_samples = rest < job->batch_size ? (uint32_t)rest : job->batch_size;
    job_microbatch(job, range.batch_samples, microbatch, &begin, &end);
    range.first = batch_first + begin;
    range.first_sample = begin;
    range.samples = end - begin;
    return range;
}

uint64_t sampler_sample(struct sampler *sampler, uint64_t epoch, uint64_t position)
{
    BUG_IF(position >= sampler->samples);
    if (sampler->order == NULL)
        return position;
    if (sampler->epoch != epoch) {
        philox_permutation(philox_for(sampler->job->seed, PHILOX_SHUFFLE), epoch, sampler->order,
                           sampler->samples);
        sampler->epoch = epoch;
    }
    return sampler->order[position];
}
