/* Adam as Keras's, with epsilon outside the bias correction ("epsilon hat" of the paper):
 *     rate = learning_rate * sqrt(1 - beta_2^t) / (1 - beta_1^t)
 *     m += (gradient - m) * (1 - beta_1)
 *     v += (gradient^2 - v) * (1 - beta_2)
 *     weights -= rate * m / (sqrt(v) + epsilon)                        or, with amsgrad,
 *     highest = max(highest, v); weights -= rate * m / (sqrt(highest) + epsilon)
 * AdamW is the same with a weight decay by default. Lazily updated rows use the same t as all.
 * Source: D. Kingma, J. Ba, "Adam: a method for stochastic optimization", ICLR 2015, end of section 2;
 * S. Reddi, S. Kale, S. Kumar, "On the convergence of Adam and beyond", ICLR 2018. */
#include "math/real.h"
#include "optimizers/kernels.h"

#include <math.h>

KERNEL_PART void plain_run(struct optimizer_step step, struct optimizer_update update)
{
    const float *sums = update.sums, *weights = update.weights;
    const float *mean = update.slots[0], *square = update.slots[1];
    float *next_weights = update.next_weights;
    float *next_mean = update.next_slots[0], *next_square = update.next_slots[1];

    KERNEL_LOOP
    for (size_t i = 0; i < update.count; i++) {
        float gradient = gradient_of(sums[i], &update, step.limit);
        float m = mean[i] + (gradient - mean[i]) * step.share;
        float v = square[i] + (gradient * gradient - square[i]) * step.square_share;

        next_mean[i] = m;
        next_square[i] = v;
        next_weights[i] = weight_after(weights[i], step.rate * m / (sqrtf(v) + step.epsilon), step.decay);
    }
}

KERNEL_PART void amsgrad_run(struct optimizer_step step, struct optimizer_update update)
{
    const float *sums = update.sums, *weights = update.weights;
    const float *mean = update.slots[0], *square = update.slots[1], *highest = update.slots[2];
    float *next_weights = update.next_weights;
    float *next_mean = update.next_slots[0], *next_square = update.next_slots[1];
    float *next_highest = update.next_slots[2];

    KERNEL_LOOP
    for (size_t i = 0; i < update.count; i++) {
        float gradient = gradient_of(sums[i], &update, step.limit);
        float m = mean[i] + (gradient - mean[i]) * step.share;
        float v = square[i] + (gradient * gradient - square[i]) * step.square_share;
        float high = v <= highest[i] ? highest[i] : v;

        next_mean[i] = m;
        next_square[i] = v;
        next_highest[i] = high;
        next_weights[i] = weight_after(weights[i], step.rate * m / (sqrtf(high) + step.epsilon), step.decay);
    }
}

OPTIMIZER_KERNELS(plain, 2);
OPTIMIZER_KERNELS(amsgrad, 3);

static void adam_prepare(const struct optimizer_spec *spec, uint64_t number, double learning_rate,
                         struct optimizer_step *step)
{
    double mean_left = 1.0 - real_power(spec->beta_1, number);
    double square_left = 1.0 - real_power(spec->beta_2, number);

    step->rate = (float)(learning_rate * sqrt(square_left) / mean_left);
    step->share = (float)(1.0 - spec->beta_1);
    step->square_share = (float)(1.0 - spec->beta_2);
    step->epsilon = (float)spec->epsilon;
    step->kernels = spec->amsgrad ? &amsgrad_kernels : &plain_kernels;
}

const struct optimizer optimizer_adam = {OPTIMIZER_ADAM, NULL, adam_prepare};
const struct optimizer optimizer_adamw = {OPTIMIZER_ADAMW, NULL, adam_prepare};
