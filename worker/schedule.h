/* What is done in which order: training steps, and validations at the ends of training epochs. A function of
 * the job and its data alone, so every lane of every worker comes to the same answer without being told.
 * Pure; any thread. */
#ifndef CAIRN_WORKER_SCHEDULE_H
#define CAIRN_WORKER_SCHEDULE_H

#include "job/job.h"
#include "math/tree.h"

#include <stdbool.h>
#include <stdint.h>

struct schedule {
    const struct job *job;       /* borrowed */
    uint64_t training_samples;   /* at least 1 */
    uint64_t validation_samples; /* 0: no validation */
    uint64_t first_step, final_step;
    uint64_t steps_per_epoch;
    uint64_t whole_steps;    /* after which the training is over; a final_step before is a stop */
    bool first_is_validated; /* what is due at first_step was done before */
    uint32_t leaf_begin, leaf_count; /* microbatches that sums are over: all, or a worker's own */
};

enum round_kind { ROUND_TRAIN, ROUND_VALIDATE, ROUND_END };

/* One thing that all lanes do together: each of the span's microbatches (or validation leaves) once. */
struct round {
    enum round_kind kind;
    uint64_t step; /* steps done before: the version of the weights that it reads */
};

/* first_step <= final_step. */
struct schedule schedule_of(const struct job *job, uint64_t training_samples, uint64_t validation_samples,
                            uint64_t first_step, uint64_t final_step);

/* Makes the sums those of a worker by itself, over the microbatches [begin, end): so is a validation, which
 * these then cut into parts. */
void schedule_narrow(struct schedule *schedule, uint32_t begin, uint32_t end);

/* Whether there is a validation once `step` steps are done: at the end of a training epoch and of training,
 * but not where training is stopped. */
bool schedule_validates(const struct schedule *schedule, uint64_t step);

/* Whether a training epoch has ended once `step` steps are done. */
bool schedule_epoch_ends(const struct schedule *schedule, uint64_t step);

/* The first round, and the one after a round (after ROUND_END there is only ROUND_END). */
struct round schedule_first(const struct schedule *schedule);
struct round schedule_next(const struct schedule *schedule, struct round round);

/* Samples of a training step's batch; the last of an epoch may be short. */
uint32_t schedule_batch_samples(const struct schedule *schedule, uint64_t step);

/* Samples of a tree node's microbatches in a training step. */
uint64_t schedule_node_samples(const struct schedule *schedule, uint64_t step, struct tree_node node);

/* A tree node's share of `samples` samples over `leaves` leaves: [*begin, *end). */
void schedule_part(uint64_t samples, uint32_t leaves, struct tree_node node, uint64_t *begin, uint64_t *end);

/* A tree node's share of the validation set: samples [*begin, *end). The node is over the sums' microbatches.
 */
void schedule_validation_range(const struct schedule *schedule, struct tree_node node, uint64_t *begin,
                               uint64_t *end);

/* Samples that are evaluated at once in a job's validation: as many as a training microbatch has at most. */
uint32_t schedule_validation_batch(const struct job *job);

#endif
