/* Lion as Keras's:
 *     weights -= learning_rate * sign(beta_1 * m + (1 - beta_1) * gradient)
 *     m = beta_2 * m + (1 - beta_2) * gradient
 * Source: X. Chen et al., "Symbolic discovery of optimization algorithms", arXiv:2302.06675. */
#include "optimizers/kernels.h"

/* step.momentum and share are of the direction, square_momentum and square_share of the mean. */
KERNEL_PART void lion_run(struct optimizer_step step, struct optimizer_update update)
{
    const float *sums = update.sums, *weights = update.weights, *mean = update.slots[0];
    float *next_weights = update.next_weights, *next_mean = update.next_slots[0];

    KERNEL_LOOP
    for (size_t i = 0; i < update.count; i++) {
        float gradient = gradient_of(sums[i], &update, step.limit);
        float direction = step.momentum * mean[i] + step.share * gradient;
        float change = direction > 0.0f ? step.rate : direction < 0.0f ? -step.rate : direction;

        next_mean[i] = step.square_momentum * mean[i] + step.square_share * gradient;
        next_weights[i] = weight_after(weights[i], change, step.decay);
    }
}

OPTIMIZER_KERNELS(lion, 1);

static void lion_prepare(const struct optimizer_spec *spec, uint64_t number, double learning_rate,
                         struct optimizer_step *step)
{
    (void)number;
    step->rate = (float)learning_rate;
    step->momentum = (float)spec->beta_1;
    step->share = (float)(1.0 - spec->beta_1);
    step->square_momentum = (float)spec->beta_2;
    step->square_share = (float)(1.0 - spec->beta_2);
    step->kernels = &lion_kernels;
}

const struct optimizer optimizer_lion = {OPTIMIZER_LION, NULL, lion_prepare};
