/* Adadelta as Keras's:
 *     square = rho * square + (1 - rho) * gradient^2
 *     delta = gradient * sqrt(moved + epsilon) / sqrt(square + epsilon)
 *     moved = rho * moved + (1 - rho) * delta^2
 *     weights -= learning_rate * delta
 * Source: M. Zeiler, "ADADELTA: an adaptive learning rate method", arXiv:1212.5701. */
#include "optimizers/kernels.h"

#include <math.h>

KERNEL_PART void adadelta_run(struct optimizer_step step, struct optimizer_update update)
{
    const float *sums = update.sums, *weights = update.weights;
    const float *square = update.slots[0], *moved = update.slots[1];
    float *next_weights = update.next_weights;
    float *next_square = update.next_slots[0], *next_moved = update.next_slots[1];

    KERNEL_LOOP
    for (size_t i = 0; i < update.count; i++) {
        float gradient = gradient_of(sums[i], &update, step.limit);
        float v = step.square_momentum * square[i] + step.square_share * (gradient * gradient);
        float delta = sqrtf(moved[i] + step.epsilon) * gradient / sqrtf(v + step.epsilon);

        next_square[i] = v;
        next_moved[i] = step.square_momentum * moved[i] + step.square_share * (delta * delta);
        next_weights[i] = weight_after(weights[i], step.rate * delta, step.decay);
    }
}

OPTIMIZER_KERNELS(adadelta, 2);

static void adadelta_prepare(const struct optimizer_spec *spec, uint64_t number, double learning_rate,
                             struct optimizer_step *step)
{
    (void)number;
    step->rate = (float)learning_rate;
    step->square_momentum = (float)spec->rho;
    step->square_share = (float)(1.0 - spec->rho);
    step->epsilon = (float)spec->epsilon;
    step->kernels = &adadelta_kernels;
}

const struct optimizer optimizer_adadelta = {OPTIMIZER_ADADELTA, NULL, adadelta_prepare};
