/* What a worker tells people about a training: means of the metrics over the training epoch so far, the
 * speed of the last moments, and when it is time to say so. Pure: the caller gives the time. One thread. */
#ifndef CAIRN_WORKER_PROGRESS_H
#define CAIRN_WORKER_PROGRESS_H

#include "model/spec.h"

#include <stdbool.h>
#include <stdint.h>

#define PROGRESS_METRICS_MAX (1 + MODEL_METRICS_MAX) /* the loss and the spec's */
#define PROGRESS_INTERVAL_MS 200
#define PROGRESS_MOMENTS     16 /* the speed is measured over so many intervals at most */

struct progress_moment {
    uint64_t time_ns;
    double samples; /* trained on until then */
    double microbatches, compute_seconds; /* as progress_compute said */
};

struct progress {
    uint32_t metric_count; /* the loss and the spec's */
    double sums[PROGRESS_METRICS_MAX];
    double epoch_samples;                             /* in `sums` */
    double samples;                                   /* since progress_init */
    double microbatches, compute_seconds;             /* of this worker's lanes; since progress_init */
    uint64_t began_ns;                                /* progress_init, later by what was skipped */
    struct progress_moment moments[PROGRESS_MOMENTS]; /* a ring */
    uint32_t moment_count, next_moment;
};

/* metric_count: plan_metric_count. */
void progress_init(struct progress *progress, uint32_t metric_count, uint64_t now_ns);

/* Takes in one step's sums: vector = [stop votes, metric_count sums, samples]. */
void progress_add(struct progress *progress, const double *vector);

/* Whether it is time for a report. */
bool progress_is_due(const struct progress *progress, uint64_t now_ns);

/* A report is made now: the means in means[metric_count] (0 when there were no samples), the speed in
 * samples a second in *speed. */
void progress_report(struct progress *progress, uint64_t now_ns, double *means, double *speed);

/* What this worker's lanes have computed until now, in so much time, summed over them. */
void progress_compute(struct progress *progress, double microbatches, double seconds);

/* Microbatches that one lane computes in a second of computing, over the last moments; 0: not known. Before
 * the report that it goes with. */
double progress_lane_speed(const struct progress *progress);

/* Samples a second since progress_init, without what was skipped. */
double progress_mean_speed(const struct progress *progress, uint64_t now_ns);

/* A training epoch begins: the means start anew. */
void progress_begin_epoch(struct progress *progress);

/* Training goes on after something else (a validation): the time until now is not counted in the speed. */
void progress_skip_time(struct progress *progress, uint64_t now_ns);

/* The means of a metrics vector, as progress_add takes it, in means[metric_count]. */
void progress_means(const double *vector, uint32_t metric_count, double *means);

#endif
