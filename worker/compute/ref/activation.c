/* Functions of each element, and softmax over the last dimension. */
#include "compute/ref/ref.h"

#include <math.h>

#define SQRT_HALF        0.70710678118654752 /* 1 / sqrt(2) */
#define NORMAL_DENSITY_0 0.39894228040143268 /* 1 / sqrt(2 pi) */

static double value(enum activation activation, double x)
{
    switch (activation) {
    case ACTIVATION_RELU:
        return x < 0 ? 0 : x;
    case ACTIVATION_SIGMOID:
        return 1 / (1 + exp(-x));
    case ACTIVATION_TANH:
        return tanh(x);
    case ACTIVATION_GELU:
        return 0.5 * x * (1 + erf(x * SQRT_HALF));
    default:
        return x;
    }
}

/* By x; y = value(x). */
static double derivative(enum activation activation, double x, double y)
{
    switch (activation) {
    case ACTIVATION_RELU:
        return y > 0;
    case ACTIVATION_SIGMOID:
        return y * (1 - y);
    case ACTIVATION_TANH:
        return 1 - y * y;
    case ACTIVATION_GELU:
        return 0.5 * (1 + erf(x * SQRT_HALF)) + x * NORMAL_DENSITY_0 * exp(-0.5 * x * x);
    default:
        return 1;
    }
}

static void softmax_forward(const struct op_run *run, uint64_t rows, uint64_t classes)
{
    for (uint64_t row = 0; row < rows; row++) {
        const float *x = run->x + row * classes;
        float *y = run->y + row * classes;
        double top = x[0], sum = 0;

        for (uint64_t i = 1; i < classes; i++)
            top = x[i] > top ? x[i] : top;
        for (uint64_t i = 0; i < classes; i++)
            sum += exp(x[i] - top);
        for (uint64_t i = 0; i < classes; i++)
            y[i] = (float)(exp(x[i] - top) / sum);
    }
}

/* dx = y (dy - sum of y dy) */
static void softmax_backward(const struct op_run *run, uint64_t rows, uint64_t classes)
{
    for (uint64_t row = 0; row < rows; row++) {
        const float *y = run->y + row * classes, *dy = run->dy + row * classes;
        double sum = 0;

        for (uint64_t i = 0; i < classes; i++)
            sum += (double)y[i] * dy[i];
        for (uint64_t i = 0; i < classes; i++)
            run->dx[row * classes + i] = (float)(y[i] * (dy[i] - sum));
    }
}

static void forward(const struct op_spec *spec, const struct op_run *run)
{
    uint64_t count = ref_inputs(spec), last = spec->input.dim[spec->input.rank - 1];

    if (spec->activation == ACTIVATION_SOFTMAX) {
        softmax_forward(run, count / last, last);
        return;
    }
    for (uint64_t i = 0; i < count; i++)
        run->y[i] = (float)value(spec->activation, run->x[i]);
}

static void backward(const struct op_spec *spec, const struct op_run *run)
{
    uint64_t count = ref_inputs(spec), last = spec->input.dim[spec->input.rank - 1];

    if (!spec->input_gradient)
        return;
    if (spec->activation == ACTIVATION_SOFTMAX) {
        softmax_backward(run, count / last, last);
        return;
    }
    for (uint64_t i = 0; i < count; i++)
        run->dx[i] = (float)(run->dy[i] * derivative(spec->activation, run->x[i], run->y[i]));
}

const struct ref_kernel ref_activation = {forward, backward, NULL};
