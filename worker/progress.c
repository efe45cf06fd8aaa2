/* The speed is the samples between now and the oldest moment in the ring, over the time between. */
#include "progress.h"

#include <string.h>

static void add_moment(struct progress *progress, uint64_t now_ns)
{
    progress->moments[progress->next_moment] =
        (struct progress_moment){.time_ns = now_ns,
                                 .samples = progress->samples,
                                 .microbatches = progress->microbatches,
                                 .compute_seconds = progress->compute_seconds};
    progress->next_moment = (progress->next_moment + 1) % PROGRESS_MOMENTS;
    if (progress->moment_count < PROGRESS_MOMENTS)
        progress->moment_count++;
}

/* The place of the moment that is `age` older than the newest one; age < moment_count. */
static uint32_t moment(const struct progress *progress, uint32_t age)
{
    return (progress->next_moment + PROGRESS_MOMENTS - 1 - age) % PROGRESS_MOMENTS;
}

static const struct progress_moment *oldest_moment(const struct progress *progress)
{
    return &progress->moments[moment(progress, progress->moment_count - 1)];
}

void progress_init(struct progress *progress, uint32_t metric_count, uint64_t now_ns)
{
    memset(progress, 0, sizeof(*progress));
    progress->metric_count = metric_count;
    progress->began_ns = now_ns;
    add_moment(progress, now_ns);
}

void progress_add(struct progress *progress, const double *vector)
{
    double samples = vector[1 + progress->metric_count];

    for (uint32_t i = 0; i < progress->metric_count; i++)
        progress->sums[i] += vector[1 + i];
    progress->epoch_samples += samples;
    progress->samples += samples;
}

bool progress_is_due(const struct progress *progress, uint64_t now_ns)
{
    uint32_t newest = (progress->next_moment + PROGRESS_MOMENTS - 1) % PROGRESS_MOMENTS;

    return now_ns - progress->moments[newest].time_ns >= PROGRESS_INTERVAL_MS * UINT64_C(1000000);
}

void progress_report(struct progress *progress, uint64_t now_ns, double *means, double *speed)
{
    const struct progress_moment *oldest = oldest_moment(progress);
    double seconds = (double)(now_ns - oldest->time_ns) * 1e-9;

    for (uint32_t i = 0; i < progress->metric_count; i++)
        means[i] = progress->epoch_samples > 0 ? progress->sums[i] / progress->epoch_samples : 0;
    *speed = seconds > 0 ? (progress->samples - oldest->samples) / seconds : 0;
    add_moment(progress, now_ns);
}

void progress_compute(struct progress *progress, double microbatches, double seconds)
{
    progress->microbatches = microbatches;
    progress->compute_seconds = seconds;
}

double progress_lane_speed(const struct progress *progress)
{
    const struct progress_moment *oldest = oldest_moment(progress);
    double seconds = progress->compute_seconds - oldest->compute_seconds;

    return seconds > 0 ? (progress->microbatches - oldest->microbatches) / seconds : 0;
}

double progress_mean_speed(const struct progress *progress, uint64_t now_ns)
{
    return now_ns > progress->began_ns ? progress->samples * 1e9 / (double)(now_ns - progress->began_ns) : 0;
}

void progress_begin_epoch(struct progress *progress)
{
    memset(progress->sums, 0, sizeof(progress->sums));
    progress->epoch_samples = 0;
}

void progress_skip_time(struct progress *progress, uint64_t now_ns)
{
    uint64_t skipped = now_ns - progress->moments[moment(progress, 0)].time_ns;

    progress->began_ns += skipped;
    for (uint32_t i = 0; i < progress->moment_count; i++)
        progress->moments[moment(progress, i)].time_ns += skipped;
}

void progress_means(const double *vector, uint32_t metric_count, double *means)
{
    double samples = vector[1 + metric_count];

    for (uint32_t i = 0; i < metric_count; i++)
        means[i] = samples > 0 ? vector[1 + i] / samples : 0;
}
