/* The list of optimizers, and what is the same for all. */
#include "optimizers/optimizer.h"

#include "base/status.h"
#include "optimizers/schedule.h"

#include <math.h>

static const struct optimizer *const optimizers[] = {
    [OPTIMIZER_SGD] = &optimizer_sgd,         [OPTIMIZER_ADAM] = &optimizer_adam,
    [OPTIMIZER_ADAMW] = &optimizer_adamw,     [OPTIMIZER_ADAGRAD] = &optimizer_adagrad,
    [OPTIMIZER_RMSPROP] = &optimizer_rmsprop, [OPTIMIZER_ADADELTA] = &optimizer_adadelta,
    [OPTIMIZER_NADAM] = &optimizer_nadam,     [OPTIMIZER_LION] = &optimizer_lion,
    [OPTIMIZER_FTRL] = &optimizer_ftrl,       [OPTIMIZER_LAMB] = &optimizer_lamb,
};
_Static_assert(sizeof(optimizers) / sizeof(optimizers[0]) == OPTIMIZER_COUNT, "every type has its optimizer");

static const struct optimizer *find(const struct optimizer_spec *spec)
{
    BUG_IF((unsigned)spec->type >= OPTIMIZER_COUNT);
    return optimizers[spec->type];
}

float optimizer_slot_initial(const struct optimizer_spec *spec, uint32_t slot)
{
    const struct optimizer *optimizer = find(spec);

    return optimizer->slot_initial ? optimizer->slot_initial(spec, slot) : 0.0f;
}

void optimizer_prepare(const struct optimizer_spec *spec, uint64_t number, struct optimizer_step *step)
{
    optimizer_prepare_damped(spec, number, 1, step);
}

void optimizer_prepare_damped(const struct optimizer_spec *spec, uint64_t number, double divisor,
                              struct optimizer_step *step)
{
    double learning_rate = schedule_learning_rate(spec, number - 1) / divisor;

    *step = (struct optimizer_step){
        .decay = (float)(spec->weight_decay * learning_rate),
        .limit = spec->clipvalue > 0 ? (float)spec->clipvalue : INFINITY,
    };
    find(spec)->prepare(spec, number, learning_rate, step);
}

void optimizer_apply(const struct optimizer_step *step, const struct optimizer_update *update)
{
    step->kernels->apply(step, update);
}

void optimizer_apply_rows(const struct optimizer_step *step, const struct optimizer_rows *rows)
{
    BUG_IF(!step->kernels->apply_rows);
    step->kernels->apply_rows(step, rows);
}

void optimizer_measure(const struct optimizer_step *step, const struct optimizer_update *update,
                       struct optimizer_squares *squares)
{
    BUG_IF(!step->kernels->measure);
    step->kernels->measure(step, update, squares);
}
