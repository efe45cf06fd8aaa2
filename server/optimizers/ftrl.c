/* FTRL-proximal as Keras's, p = -learning_rate_power:
 *     sum = accumulator + gradient^2                    from initial_accumulator_value
 *     linear += gradient + 2 l2_shrinkage * weights - (sum^p - accumulator^p) / learning_rate * weights
 *     accumulator = sum
 *     weights = (clip(linear, -l1, l1) - linear) / (sum^p / learning_rate + 2 l2 + beta / learning_rate)
 * The divisor is 0 only for an element that never had a gradient: its weight stays. A learning rate of 0,
 * which the formula cannot have, leaves everything as it is. Source: H. B. McMahan et al., "Ad click
 * prediction: a view from the trenches", KDD 2013. */
#include "math/real.h"
#include "optimizers/kernels.h"

#include <math.h>
#include <string.h>

static float ftrl_slot_initial(const struct optimizer_spec *spec, uint32_t slot)
{
    return slot == 0 ? (float)spec->initial_accumulator_value : 0.0f;
}

/* x^p; root: p is a half. */
KERNEL_PART float raised(float x, double power, bool root)
{
    return root ? sqrtf(x) : (float)real_raise((double)x, power);
}

/* step->share is 1 / learning_rate. */
KERNEL_PART void update_element(const struct optimizer_step *step, const struct optimizer_update *update,
                                size_t i, bool root)
{
    float gradient = gradient_of(update->sums[i], update, step->limit);
    float weight = decayed(update->weights[i], step->decay), before = update->slots[0][i];
    float sum = before + gradient * gradient, strength = raised(sum, step->power, root);
    float grown = (strength - raised(before, step->power, root)) * step->share;
    float linear = update->slots[1][i] + ((gradient + step->shrinkage * weight) - grown * weight);
    float divisor = strength * step->share + step->l2;
    float kept = linear > step->l1 ? step->l1 : linear < -step->l1 ? -step->l1 : linear;

    update->next_slots[0][i] = sum;
    update->next_slots[1][i] = linear;
    update->next_weights[i] = divisor == 0.0f ? weight : (kept - linear) / divisor;
}

KERNEL_PART void root_run(struct optimizer_step step, struct optimizer_update update)
{
    KERNEL_LOOP
    for (size_t i = 0; i < update.count; i++)
        update_element(&step, &update, i, true);
}

/* One by one and far slower: for other powers than a half. */
KERNEL_PART void power_run(struct optimizer_step step, struct optimizer_update update)
{
    for (size_t i = 0; i < update.count; i++)
        update_element(&step, &update, i, false);
}

KERNEL_PART void still_run(struct optimizer_step step, struct optimizer_update update)
{
    (void)step;
    memmove(update.next_weights, update.weights, update.count * sizeof(float));
    for (int i = 0; i < 2; i++)
        memmove(update.next_slots[i], update.slots[i], update.count * sizeof(float));
}

OPTIMIZER_KERNELS(root, 2);
OPTIMIZER_KERNELS(power, 2);
OPTIMIZER_KERNELS(still, 2);

static void ftrl_prepare(const struct optimizer_spec *spec, uint64_t number, double learning_rate,
                         struct optimizer_step *step)
{
    (void)number;
    if (learning_rate == 0.0) {
        step->kernels = &still_kernels;
        return;
    }
    step->share = (float)(1.0 / learning_rate);
    step->power = -spec->learning_rate_power;
    step->shrinkage = (float)(2.0 * spec->l2_shrinkage_regularization_strength);
    step->l1 = (float)spec->l1_regularization_strength;
    step->l2 = (float)(2.0 * spec->l2_regularization_strength + spec->beta / learning_rate);
    step->kernels = step->power == 0.5 ? &root_kernels : &power_kernels;
}

const struct optimizer optimizer_ftrl = {OPTIMIZER_FTRL, ftrl_slot_initial, ftrl_prepare};
