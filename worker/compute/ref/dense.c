/* x [samples, in], kernel [in, units], bias [units], y [samples, units]. */
#include "compute/ref/ref.h"

static void forward(const struct op_spec *spec, const struct op_run *run)
{
    uint64_t in = shape_elements(&spec->input), units = shape_elements(&spec->output);

    for (uint64_t sample = 0; sample < spec->samples; sample++) {
        float *y = run->y + sample * units;

        for (uint64_t u = 0; u < units; u++)
            y[u] = spec->use_bias ? run->bias[u] : 0;
        for (uint64_t i = 0; i < in; i++) {
            for (uint64_t u = 0; u < units; u++)
                y[u] += run->x[sample * in + i] * run->kernel[i * units + u];
        }
    }
    ref_activate(spec, run->y);
}

static void gradient_of_parameters(const struct op_spec *spec, const struct op_run *run)
{
    uint64_t in = shape_elements(&spec->input), units = shape_elements(&spec->output);

    for (uint64_t u = 0; u < units && spec->use_bias; u++) {
        run->bias_gradient[u] = 0;
        for (uint64_t sample = 0; sample < spec->samples; sample++)
            run->bias_gradient[u] += run->dy[sample * units + u];
    }
    for (uint64_t i = 0; i < in; i++) {
        for (uint64_t u = 0; u < units; u++) {
            float sum = 0;

            for (uint64_t sample = 0; sample < spec->samples; sample++)
                sum += run->x[sample * in + i] * run->dy[sample * units + u];
            run->kernel_gradient[i * units + u] = sum;
        }
    }
}

static void gradient_of_input(const struct op_spec *spec, const struct op_run *run)
{
    uint64_t in = shape_elements(&spec->input), units = shape_elements(&spec->output);

    for (uint64_t sample = 0; sample < spec->samples; sample++) {
        for (uint64_t i = 0; i < in; i++) {
            float sum = 0;

            for (uint64_t u = 0; u < units; u++)
                sum += run->dy[sample * units + u] * run->kernel[i * units + u];
            run->dx[sample * in + i] = sum;
        }
    }
}

static void backward(const struct op_spec *spec, const struct op_run *run)
{
    ref_deactivate(spec, run->y, run->dy);
    gradient_of_parameters(spec, run);
    if (spec->input_gradient)
        gradient_of_input(spec, run);
}

const struct ref_kernel ref_dense = {forward, backward, NULL};
