/* Nadam as Keras's: Adam with Nesterov's momentum, whose beta_1 grows with the update t:
 *     u(t) = beta_1 * (1 - 0.96^t / 2)
 *     m += (gradient - m) * (1 - beta_1)
 *     v += (gradient^2 - v) * (1 - beta_2)
 *     m' = u(t + 1) * m / (1 - u(1) ... u(t + 1)) + (1 - u(t)) * gradient / (1 - u(1) ... u(t))
 *     weights -= learning_rate * m' / (sqrt(v / (1 - beta_2^t)) + epsilon)
 * Keras keeps the product u(1) ... u(t) as a variable; here it follows from t.
 * Source: T. Dozat, "Incorporating Nesterov momentum into Adam", ICLR workshop 2016. */
#include "math/real.h"
#include "optimizers/kernels.h"

#include <math.h>

#define SCHEDULE_BASE 0.96
#define SCHEDULE_END  1000 /* 1 - 0.96^1000 / 2 is 1 in float64: from here on u is beta_1 */

KERNEL_PART void nadam_run(struct optimizer_step step, struct optimizer_update update)
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
        float direction = step.rate * m + step.gradient_rate * gradient;

        next_mean[i] = m;
        next_square[i] = v;
        next_weights[i] = weight_after(
            weights[i], direction / (sqrtf(v * step.square_correction) + step.epsilon), step.decay);
    }
}

OPTIMIZER_KERNELS(nadam, 2);

static double momentum_of(double beta_1, uint64_t number)
{
    return beta_1 * (1.0 - 0.5 * real_power(SCHEDULE_BASE, number));
}

/* u(1) ... u(number) */
static double momentum_product(double beta_1, uint64_t number)
{
    uint64_t end = number < SCHEDULE_END ? number : SCHEDULE_END;
    double product = 1.0, base = 1.0;

    for (uint64_t i = 1; i <= end; i++) {
        base *= SCHEDULE_BASE;
        product *= beta_1 * (1.0 - 0.5 * base);
    }
    return product * real_power(beta_1, number - end);
}

static void nadam_prepare(const struct optimizer_spec *spec, uint64_t number, double learning_rate,
                          struct optimizer_step *step)
{
    double next = momentum_of(spec->beta_1, number + 1);
    double product = momentum_product(spec->beta_1, number);

    step->rate = (float)(learning_rate * next / (1.0 - product * next));
    step->gradient_rate =
        (float)(learning_rate * (1.0 - momentum_of(spec->beta_1, number)) / (1.0 - product));
    step->share = (float)(1.0 - spec->beta_1);
    step->square_share = (float)(1.0 - spec->beta_2);
    step->square_correction = (float)(1.0 / (1.0 - real_power(spec->beta_2, number)));
    step->epsilon = (float)spec->epsilon;
    step->kernels = &nadam_kernels;
}

const struct optimizer optimizer_nadam = {OPTIMIZER_NADAM, NULL, nadam_prepare};
