/* Adagrad as Keras's, with epsilon under the root:
 *     accumulator += gradient^2                         from initial_accumulator_value
 *     weights -= learning_rate * gradient / sqrt(accumulator + epsilon)
 * Source: J. Duchi, E. Hazan, Y. Singer, "Adaptive subgradient methods", JMLR 12, 2011. */
#include "optimizers/kernels.h"

#include <math.h>

static float adagrad_slot_initial(const struct optimizer_spec *spec, uint32_t slot)
{
    (void)slot;
    return (float)spec->initial_accumulator_value;
}

KERNEL_PART void adagrad_run(struct optimizer_step step, struct optimizer_update update)
{
    const float *sums = update.sums, *weights = update.weights, *accumulator = update.slots[0];
    float *next_weights = update.next_weights, *next_accumulator = update.next_slots[0];

    KERNEL_LOOP
    for (size_t i = 0; i < update.count; i++) {
        float gradient = gradient_of(sums[i], &update, step.limit);
        float sum = accumulator[i] + gradient * gradient;

        next_accumulator[i] = sum;
        next_weights[i] =
            weight_after(weights[i], step.rate * gradient / sqrtf(sum + step.epsilon), step.decay);
    }
}

OPTIMIZER_KERNELS(adagrad, 1);

static void adagrad_prepare(const struct optimizer_spec *spec, uint64_t number, double learning_rate,
                            struct optimizer_step *step)
{
    (void)number;
    step->rate = (float)learning_rate;
    step->epsilon = (float)spec->epsilon;
    step->kernels = &adagrad_kernels;
}

const struct optimizer optimizer_adagrad = {OPTIMIZER_ADAGRAD, adagrad_slot_initial, adagrad_prepare};
