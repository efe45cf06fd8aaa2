/* Gradient descent, with momentum and Nesterov's form of it, as Keras's SGD:
 *     velocity = momentum * velocity - learning_rate * gradient
 *     weights += velocity                                              or, with nesterov,
 *     weights += momentum * velocity - learning_rate * gradient
 * Without momentum there is no velocity: weights -= learning_rate * gradient. */
#include "base/kernel.h"
#include "optimizers/optimizer.h"

static uint32_t sgd_slot_count(const struct optimizer_spec *spec)
{
    return spec->momentum != 0.0 ? 1 : 0;
}

KERNEL static void apply_plain(const struct optimizer_update *update, float rate)
{
    const float *sums = update->sums, *weights = update->weights;
    float *next_weights = update->next_weights;
    float samples = update->samples;

    KERNEL_LOOP
    for (size_t i = 0; i < update->count; i++)
        next_weights[i] = weights[i] - rate * (sums[i] / samples);
}

KERNEL static void apply_momentum(const struct optimizer_update *update, float rate, float momentum)
{
    const float *sums = update->sums, *weights = update->weights, *velocity = update->slots[0];
    float *next_weights = update->next_weights, *next_velocity = update->next_slots[0];
    float samples = update->samples;

    KERNEL_LOOP
    for (size_t i = 0; i < update->count; i++) {
        float moved = momentum * velocity[i] - rate * (sums[i] / samples);

        next_velocity[i] = moved;
        next_weights[i] = weights[i] + moved;
    }
}

KERNEL static void apply_nesterov(const struct optimizer_update *update, float rate, float momentum)
{
    const float *sums = update->sums, *weights = update->weights, *velocity = update->slots[0];
    float *next_weights = update->next_weights, *next_velocity = update->next_slots[0];
    float samples = update->samples;

    KERNEL_LOOP
    for (size_t i = 0; i < update->count; i++) {
        float pull = rate * (sums[i] / samples);
        float moved = momentum * velocity[i] - pull;

        next_velocity[i] = moved;
        next_weights[i] = weights[i] + (momentum * moved - pull);
    }
}

static void sgd_apply(const struct optimizer_spec *spec, const struct optimizer_update *update)
{
    float rate = (float)spec->learning_rate, momentum = (float)spec->momentum;

    if (sgd_slot_count(spec) == 0)
        apply_plain(update, rate);
    else if (spec->nesterov)
        apply_nesterov(update, rate, momentum);
    else
        apply_momentum(update, rate, momentum);
}

const struct optimizer optimizer_sgd = {OPTIMIZER_SGD, sgd_slot_count, sgd_apply};
