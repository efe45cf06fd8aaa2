/* x [samples, height, width, in], kernel [kernel height, kernel width, in, filters], y [samples, ...,
 * filters]: y[pixel, f] = bias[f] + sum over taps and c of x[pixel under tap, c] kernel[tap, c, f]. */
#include "compute/ref/window.h"

#include <string.h>

struct context {
    const struct op_spec *spec;
    const struct op_run *run;
};

static void add_tap(void *argument, uint64_t y, uint64_t x, uint32_t tap)
{
    const struct context *context = argument;
    const struct op_run *run = context->run;
    uint64_t in = context->spec->input.dim[2], filters = context->spec->output.dim[2];

    for (uint64_t c = 0; c < in; c++) {
        for (uint64_t f = 0; f < filters; f++)
            run->y[y + f] += run->x[x + c] * run->kernel[(tap * in + c) * filters + f];
    }
}

static void forward(const struct op_spec *spec, const struct op_run *run)
{
    struct context context = {spec, run};
    uint64_t filters = spec->output.dim[2], count = ref_outputs(spec);

    for (uint64_t i = 0; i < count; i++)
        run->y[i] = spec->use_bias ? run->bias[i % filters] : 0;
    window_slide(spec, add_tap, &context);
    ref_activate(spec, run->y);
}

static void add_tap_gradient(void *argument, uint64_t y, uint64_t x, uint32_t tap)
{
    const struct context *context = argument;
    const struct op_run *run = context->run;
    uint64_t in = context->spec->input.dim[2], filters = context->spec->output.dim[2];

    for (uint64_t c = 0; c < in; c++) {
        uint64_t row = (tap * in + c) * filters;
        float sum = 0;

        for (uint64_t f = 0; f < filters; f++) {
            run->kernel_gradient[row + f] += run->x[x + c] * run->dy[y + f];
            sum += run->kernel[row + f] * run->dy[y + f];
        }
        if (context->spec->input_gradient)
            run->dx[x + c] += sum;
    }
}

static void backward(const struct op_spec *spec, const struct op_run *run)
{
    struct context context = {spec, run};
    uint64_t filters = spec->output.dim[2], count = ref_outputs(spec);
    uint64_t taps = (uint64_t)spec->kernel_size[0] * spec->kernel_size[1];

    ref_deactivate(spec, run->y, run->dy);
    for (uint64_t f = 0; f < filters && spec->use_bias; f++) {
        run->bias_gradient[f] = 0;
        for (uint64_t i = f; i < count; i += filters)
            run->bias_gradient[f] += run->dy[i];
    }
    memset(run->kernel_gradient, 0, taps * spec->input.dim[2] * filters * sizeof(float));
    if (spec->input_gradient)
        memset(run->dx, 0, ref_inputs(spec) * sizeof(float));
    window_slide(spec, add_tap_gradient, &context);
}

const struct ref_kernel ref_conv2d = {forward, backward, NULL};
