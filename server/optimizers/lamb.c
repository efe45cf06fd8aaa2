/* LAMB as Keras's: Adam's direction, scaled for each parameter by the ratio of its norm to the direction's:
 *     m += (gradient - m) * (1 - beta_1)
 *     v += (gradient^2 - v) * (1 - beta_2)
 *     direction = m / (1 - beta_1^t) / (sqrt(v / (1 - beta_2^t)) + epsilon)
 *     weights -= learning_rate * |weights| / |direction| * direction
 * The first phase writes m and v and gives the norms' partial sums, the second computes the direction again
 * from them: reading two arrays once more costs less than keeping a third. Not elementwise, so not for sparse
 * rows. Source: Y. You et al., "Large batch optimization for deep learning", ICLR 2020. */
#include "math/real.h"
#include "optimizers/lanes.h"

#include <math.h>

KERNEL_PART float direction_of(float m, float v, const struct optimizer_step *step)
{
    return m * step->correction / (sqrtf(v * step->square_correction) + step->epsilon);
}

KERNEL static void lamb_apply(const struct optimizer_step *given, const struct optimizer_update *update)
{
    const float *weights = update->weights, *mean = update->slots[0], *square = update->slots[1];
    float *next_weights = update->next_weights;
    struct optimizer_step step = *given;
    float rate = step.rate * update->trust;

    KERNEL_LOOP
    for (size_t i = 0; i < update->count; i++)
        next_weights[i] =
            weight_after(weights[i], rate * direction_of(mean[i], square[i], &step), step.decay);
}

struct squares_lanes {
    double weights[LANES], update[LANES];
};

/* Elements [at, at + count), at most one a lane. */
KERNEL_PART void measure_lanes(const struct optimizer_step *step, const struct optimizer_update *update,
                               size_t at, size_t count, struct squares_lanes *lanes)
{
    const float *sums = update->sums + at, *weights = update->weights + at;
    const float *mean = update->slots[0] + at, *square = update->slots[1] + at;
    float *next_mean = update->next_slots[0] + at, *next_square = update->next_slots[1] + at;

    KERNEL_LOOP
    for (size_t i = 0; i < count; i++) {
        float gradient = gradient_of(sums[i], update, step->limit);
        float m = mean[i] + (gradient - mean[i]) * step->share;
        float v = square[i] + (gradient * gradient - square[i]) * step->square_share;

        next_mean[i] = m;
        next_square[i] = v;
        add_square(&lanes->weights[i], decayed(weights[i], step->decay));
        add_square(&lanes->update[i], direction_of(m, v, step));
    }
}

KERNEL static void lamb_measure(const struct optimizer_step *given, const struct optimizer_update *from,
                                struct optimizer_squares *squares)
{
    struct optimizer_step step = *given;
    struct optimizer_update update = *from;
    struct squares_lanes lanes = {{0}, {0}};
    size_t whole = update.count - update.count % LANES;

    for (size_t at = 0; at < whole; at += LANES)
        measure_lanes(&step, &update, at, LANES, &lanes);
    measure_lanes(&step, &update, whole, update.count - whole, &lanes);
    squares->weights = folded(lanes.weights);
    squares->update = folded(lanes.update);
}

static const struct optimizer_kernels lamb_kernels = {lamb_apply, NULL, lamb_measure};

static void lamb_prepare(const struct optimizer_spec *spec, uint64_t number, double learning_rate,
                         struct optimizer_step *step)
{
    step->rate = (float)learning_rate;
    step->share = (float)(1.0 - spec->beta_1);
    step->square_share = (float)(1.0 - spec->beta_2);
    step->correction = (float)(1.0 / (1.0 - real_power(spec->beta_1, number)));
    step->square_correction = (float)(1.0 / (1.0 - real_power(spec->beta_2, number)));
    step->epsilon = (float)spec->epsilon;
    step->kernels = &lamb_kernels;
}

const struct optimizer optimizer_lamb = {OPTIMIZER_LAMB, NULL, lamb_prepare};
