/* Plain arithmetic over steps and samples. */
#include "schedule.h"

struct schedule schedule_of(const struct job *job, uint64_t training_samples, uint64_t validation_samples,
                            uint64_t first_step, uint64_t final_step)
{
    return (struct schedule){.job = job,
                             .training_samples = training_samples,
                             .validation_samples = validation_samples,
                             .first_step = first_step,
                             .final_step = final_step,
                             .steps_per_epoch = job_steps_per_epoch(job, training_samples),
                             .whole_steps = job_final_step(job, training_samples),
                             .leaf_count = job->microbatches};
}

void schedule_narrow(struct schedule *schedule, uint32_t begin, uint32_t end)
{
    schedule->leaf_begin = begin;
    schedule->leaf_count = end - begin;
}

bool schedule_epoch_ends(const struct schedule *schedule, uint64_t step)
{
    return step > 0 && step % schedule->steps_per_epoch == 0;
}

bool schedule_validates(const struct schedule *schedule, uint64_t step)
{
    if (schedule->validation_samples == 0 || step == 0)
        return false;
    if (step == schedule->final_step && step < schedule->whole_steps)
        return false;
    return step == schedule->whole_steps || schedule_epoch_ends(schedule, step);
}

static struct round train_or_end(const struct schedule *schedule, uint64_t step)
{
    return (struct round){.kind = step < schedule->final_step ? ROUND_TRAIN : ROUND_END, .step = step};
}

static struct round round_at(const struct schedule *schedule, uint64_t step)
{
    if (schedule_validates(schedule, step))
        return (struct round){.kind = ROUND_VALIDATE, .step = step};
    return train_or_end(schedule, step);
}

struct round schedule_first(const struct schedule *schedule)
{
    if (schedule->first_is_validated)
        return train_or_end(schedule, schedule->first_step);
    return round_at(schedule, schedule->first_step);
}

struct round schedule_next(const struct schedule *schedule, struct round round)
{
    switch (round.kind) {
    case ROUND_TRAIN:
        return round_at(schedule, round.step + 1);
    case ROUND_VALIDATE:
        return train_or_end(schedule, round.step);
    case ROUND_END:
        break;
    }
    return round;
}

uint32_t schedule_batch_samples(const struct schedule *schedule, uint64_t step)
{
    uint64_t first = step % schedule->steps_per_epoch * schedule->job->batch_size;
    uint64_t rest = schedule->training_samples - first;

    return rest < schedule->job->batch_size ? (uint32_t)rest : schedule->job->batch_size;
}

uint64_t schedule_node_samples(const struct schedule *schedule, uint64_t step, struct tree_node node)
{
    uint32_t samples = schedule_batch_samples(schedule, step), begin, end, unused;

    job_microbatch(schedule->job, samples, node.begin, &begin, &unused);
    job_microbatch(schedule->job, samples, node.end - 1, &unused, &end);
    return end - begin;
}

/* Leaf m begins at floor(m * samples / leaves), written so that no product overflows. */
void schedule_part(uint64_t samples, uint32_t leaves, struct tree_node node, uint64_t *begin, uint64_t *end)
{
    *begin = samples / leaves * node.begin + samples % leaves * node.begin / leaves;
    *end = samples / leaves * node.end + samples % leaves * node.end / leaves;
}

void schedule_validation_range(const struct schedule *schedule, struct tree_node node, uint64_t *begin,
                               uint64_t *end)
{
    const struct tree_node leaves = {node.begin - schedule->leaf_begin, node.end - schedule->leaf_begin};

    schedule_part(schedule->validation_samples, schedule->leaf_count, leaves, begin, end);
}

uint32_t schedule_validation_batch(const struct job *job)
{
    return job->batch_size / job->microbatches + (job->batch_size % job->microbatches != 0);
}
