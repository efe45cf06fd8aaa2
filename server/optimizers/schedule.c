/* schedule.h. Source: Keras 3, learning_rate_schedule.py's documented formulas. */
#include "optimizers/schedule.h"

#include "base/status.h"
#include "math/real.h"

/* How many times decay_steps have passed. */
static double passed(const struct schedule_spec *schedule, uint64_t step)
{
    if (schedule->staircase)
        return (double)(step / schedule->decay_steps);
    return (double)step / (double)schedule->decay_steps;
}

static double exponential_decay(const struct schedule_spec *schedule, uint64_t step)
{
    return schedule->initial_learning_rate * real_raise(schedule->decay_rate, passed(schedule, step));
}

static double inverse_time_decay(const struct schedule_spec *schedule, uint64_t step)
{
    return schedule->initial_learning_rate / (1.0 + schedule->decay_rate * passed(schedule, step));
}

/* With cycle the decay is stretched to the next multiple of decay_steps: it begins anew, but from less. */
static double polynomial_decay(const struct schedule_spec *schedule, uint64_t step)
{
    uint64_t length = schedule->decay_steps;
    double left;

    if (!schedule->cycle || step == 0)
        left = step >= length ? 0.0 : 1.0 - (double)step / (double)length;
    else
        left = 1.0 - (double)step / ((double)length * (double)((step - 1) / length + 1));
    return (schedule->initial_learning_rate - schedule->end_learning_rate) *
               real_raise(left, schedule->power) +
           schedule->end_learning_rate;
}

/* From `highest` down to alpha times it. */
static double cosine(const struct schedule_spec *schedule, uint64_t step, double highest)
{
    double fraction = step >= schedule->decay_steps ? 1.0 : (double)step / (double)schedule->decay_steps;
    double decayed = 0.5 * (1.0 + real_cosine_pi(fraction));

    return highest * ((1.0 - schedule->alpha) * decayed + schedule->alpha);
}

static double cosine_decay(const struct schedule_spec *schedule, uint64_t step)
{
    double begin = schedule->initial_learning_rate, target = schedule->warmup_target;

    if (target == 0.0)
        return cosine(schedule, step, begin);
    if (step < schedule->warmup_steps)
        return (target - begin) * ((double)step / (double)schedule->warmup_steps) + begin;
    return cosine(schedule, step - schedule->warmup_steps, target);
}

static double piecewise_constant_decay(const struct schedule_spec *schedule, uint64_t step)
{
    uint32_t piece = 0;

    while (piece < schedule->boundaries_count && step > schedule->boundaries[piece])
        piece++;
    return schedule->values[piece];
}

double schedule_learning_rate(const struct optimizer_spec *spec, uint64_t step)
{
    const struct schedule_spec *schedule = &spec->schedule;

    switch (schedule->type) {
    case SCHEDULE_CONSTANT:
        return spec->learning_rate;
    case SCHEDULE_EXPONENTIAL_DECAY:
        return exponential_decay(schedule, step);
    case SCHEDULE_INVERSE_TIME_DECAY:
        return inverse_time_decay(schedule, step);
    case SCHEDULE_POLYNOMIAL_DECAY:
        return polynomial_decay(schedule, step);
    case SCHEDULE_COSINE_DECAY:
        return cosine_decay(schedule, step);
    case SCHEDULE_PIECEWISE_CONSTANT_DECAY:
        return piecewise_constant_decay(schedule, step);
    case SCHEDULE_COUNT:
        break;
    }
    BUG("a schedule of an unknown type");
}
