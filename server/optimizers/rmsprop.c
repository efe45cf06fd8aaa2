/* RMSprop as Keras's, with epsilon under the root:
 *     square = rho * square + (1 - rho) * gradient^2
 *     mean = rho * mean + (1 - rho) * gradient          with centered
 *     variance = square, or with centered square - mean^2 (0 where rounding makes that negative)
 *     increment = learning_rate * gradient / sqrt(variance + epsilon)
 *     velocity = momentum * velocity + increment        with momentum
 *     weights -= increment, or with momentum velocity
 * Source: G. Hinton, "Neural networks for machine learning", lecture 6; A. Graves, arXiv:1308.0850. */
#include "optimizers/kernels.h"

#include <math.h>

/* Slots: square, then velocity if there is momentum, then mean if centered. */
/* All four forms; what is constant where it is called costs nothing there. */
KERNEL_PART void run(struct optimizer_step step, struct optimizer_update update, bool moving, bool centered)
{
    const float *sums = update.sums, *weights = update.weights, *square = update.slots[0];
    const float *velocity = update.slots[1], *mean = update.slots[moving ? 2 : 1];
    float *next_weights = update.next_weights, *next_square = update.next_slots[0];
    float *next_velocity = update.next_slots[1], *next_mean = update.next_slots[moving ? 2 : 1];

    KERNEL_LOOP
    for (size_t i = 0; i < update.count; i++) {
        float gradient = gradient_of(sums[i], &update, step.limit);
        float v = step.square_momentum * square[i] + step.square_share * (gradient * gradient);
        float variance = v, change;

        next_square[i] = v;
        if (centered) {
            float m = step.square_momentum * mean[i] + step.square_share * gradient;

            next_mean[i] = m;
            variance = v - m * m;
            variance = variance < 0.0f ? 0.0f : variance;
        }
        change = step.rate * gradient / sqrtf(variance + step.epsilon);
        if (moving) {
            change = step.momentum * velocity[i] + change;
            next_velocity[i] = change;
        }
        next_weights[i] = weight_after(weights[i], change, step.decay);
    }
}

KERNEL_PART void plain_run(struct optimizer_step step, struct optimizer_update update)
{
    run(step, update, false, false);
}

KERNEL_PART void moving_run(struct optimizer_step step, struct optimizer_update update)
{
    run(step, update, true, false);
}

KERNEL_PART void centered_run(struct optimizer_step step, struct optimizer_update update)
{
    run(step, update, false, true);
}

KERNEL_PART void moving_centered_run(struct optimizer_step step, struct optimizer_update update)
{
    run(step, update, true, true);
}

OPTIMIZER_KERNELS(plain, 1);
OPTIMIZER_KERNELS(moving, 2);
OPTIMIZER_KERNELS(centered, 2);
OPTIMIZER_KERNELS(moving_centered, 3);

static void rmsprop_prepare(const struct optimizer_spec *spec, uint64_t number, double learning_rate,
                            struct optimizer_step *step)
{
    (void)number;
    step->rate = (float)learning_rate;
    step->momentum = (float)spec->momentum;
    step->square_momentum = (float)spec->rho;
    step->square_share = (float)(1.0 - spec->rho);
    step->epsilon = (float)spec->epsilon;
    if (spec->momentum > 0.0)
        step->kernels = spec->centered ? &moving_centered_kernels : &moving_kernels;
    else
        step->kernels = spec->centered ? &centered_kernels : &plain_kernels;
}

const struct optimizer optimizer_rmsprop = {OPTIMIZER_RMSPROP, NULL, rmsprop_prepare};
