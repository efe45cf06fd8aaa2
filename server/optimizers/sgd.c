/* Gradient descent, with momentum and Nesterov's form of it, as Keras's SGD:
 *     velocity = momentum * velocity - learning_rate * gradient
 *     weights += velocity                                              or, with nesterov,
 *     weights += momentum * velocity - learning_rate * gradient
 * Without momentum there is no velocity: weights -= learning_rate * gradient. */
#include "optimizers/kernels.h"

KERNEL_PART void plain_run(struct optimizer_step step, struct optimizer_update update)
{
    const float *sums = update.sums, *weights = update.weights;
    float *next_weights = update.next_weights;

    KERNEL_LOOP
    for (size_t i = 0; i < update.count; i++)
        next_weights[i] =
            weight_after(weights[i], step.rate * gradient_of(sums[i], &update, step.limit), step.decay);
}

KERNEL_PART void momentum_run(struct optimizer_step step, struct optimizer_update update)
{
    const float *sums = update.sums, *weights = update.weights, *velocity = update.slots[0];
    float *next_weights = update.next_weights, *next_velocity = update.next_slots[0];

    KERNEL_LOOP
    for (size_t i = 0; i < update.count; i++) {
        float moved = step.momentum * velocity[i] - step.rate * gradient_of(sums[i], &update, step.limit);

        next_velocity[i] = moved;
        next_weights[i] = weight_after(weights[i], -moved, step.decay);
    }
}

KERNEL_PART void nesterov_run(struct optimizer_step step, struct optimizer_update update)
{
    const float *sums = update.sums, *weights = update.weights, *velocity = update.slots[0];
    float *next_weights = update.next_weights, *next_velocity = update.next_slots[0];

    KERNEL_LOOP
    for (size_t i = 0; i < update.count; i++) {
        float pull = step.rate * gradient_of(sums[i], &update, step.limit);
        float moved = step.momentum * velocity[i] - pull;

        next_velocity[i] = moved;
        next_weights[i] = weight_after(weights[i], -(step.momentum * moved - pull), step.decay);
    }
}

OPTIMIZER_KERNELS(plain, 0);
OPTIMIZER_KERNELS(momentum, 1);
OPTIMIZER_KERNELS(nesterov, 1);

static void sgd_prepare(const struct optimizer_spec *spec, uint64_t number, double learning_rate,
                        struct optimizer_step *step)
{
    (void)number;
    step->rate = (float)learning_rate;
    step->momentum = (float)spec->momentum;
    step->kernels = optimizer_spec_slot_count(spec) == 0 ? &plain_kernels
                    : spec->nesterov                     ? &nesterov_kernels
                                                         : &momentum_kernels;
}

const struct optimizer optimizer_sgd = {OPTIMIZER_SGD, NULL, sgd_prepare};
