/* Adam as Keras's, with epsilon outside the bias correction ("epsilon hat" of the paper):
 *     rate = learning_rate * sqrt(1 - beta_2^t) / (1 - beta_1^t)
 *     m += (gradient - m) * (1 - beta_1)
 *     v += (gradient^2 - v) * (1 - beta_2)
 *     weights -= rate * m / (sqrt(v) + epsilon)
 * Source: D. Kingma, J. Ba, "Adam: a method for stochastic optimization", ICLR 2015, end of section 2. */
#include "base/kernel.h"
#include "math/real.h"
#include "optimizers/optimizer.h"

#include <math.h>

static uint32_t adam_slot_count(const struct optimizer_spec *spec)
{
    (void)spec;
    return 2;
}

struct adam_constants {
    float rate, mean_share, square_share, epsilon;
};

KERNEL static void adam_loop(const struct optimizer_update *update, struct adam_constants constants)
{
    const float *sums = update->sums, *weights = update->weights;
    const float *mean = update->slots[0], *square = update->slots[1];
    float *next_weights = update->next_weights;
    float *next_mean = update->next_slots[0], *next_square = update->next_slots[1];
    float samples = update->samples;

    KERNEL_LOOP
    for (size_t i = 0; i < update->count; i++) {
        float gradient = sums[i] / samples;
        float m = mean[i] + (gradient - mean[i]) * constants.mean_share;
        float v = square[i] + (gradient * gradient - square[i]) * constants.square_share;

        next_mean[i] = m;
        next_square[i] = v;
        next_weights[i] = weights[i] - constants.rate * m / (sqrtf(v) + constants.epsilon);
    }
}

static void adam_apply(const struct optimizer_spec *spec, const struct optimizer_update *update)
{
    double mean_left = 1.0 - real_power(spec->beta_1, update->number);
    double square_left = 1.0 - real_power(spec->beta_2, update->number);
    struct adam_constants constants = {
        .rate = (float)(spec->learning_rate * sqrt(square_left) / mean_left),
        .mean_share = (float)(1.0 - spec->beta_1),
        .square_share = (float)(1.0 - spec->beta_2),
        .epsilon = (float)spec->epsilon,
    };

    adam_loop(update, constants);
}

const struct optimizer optimizer_adam = {OPTIMIZER_ADAM, adam_slot_count, adam_apply};
