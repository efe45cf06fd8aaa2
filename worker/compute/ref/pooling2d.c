/* x [samples, height, width, channels], y [samples, rows, columns, channels]. Padding is left out of maxima
 * and means. saved: for the maximum the place of it in x, for the mean the pixels in the window, [outputs].
 */
#include "compute/ref/window.h"

#include <string.h>

struct context {
    const struct op_spec *spec;
    const struct op_run *run;
    uint64_t *saved;
};

static size_t saved_bytes(const struct op_spec *spec)
{
    return ref_outputs(spec) * sizeof(uint64_t);
}

#define NOWHERE UINT64_MAX

static void take_larger(void *argument, uint64_t y, uint64_t x, uint32_t tap)
{
    const struct context *context = argument;
    const struct op_run *run = context->run;

    (void)tap;
    for (uint64_t c = 0; c < context->spec->output.dim[2]; c++) {
        if (context->saved[y + c] == NOWHERE || run->x[x + c] > run->y[y + c]) {
            context->saved[y + c] = x + c;
            run->y[y + c] = run->x[x + c];
        }
    }
}

static void max_forward(const struct op_spec *spec, const struct op_run *run)
{
    struct context context = {spec, run, run->saved};
    uint64_t count = ref_outputs(spec);

    for (uint64_t i = 0; i < count; i++)
        context.saved[i] = NOWHERE;
    window_slide(spec, take_larger, &context);
    ref_activate(spec, run->y);
}

static void max_backward(const struct op_spec *spec, const struct op_run *run)
{
    const uint64_t *place = run->saved;
    uint64_t count = ref_outputs(spec);

    ref_deactivate(spec, run->y, run->dy);
    if (!spec->input_gradient)
        return;
    memset(run->dx, 0, ref_inputs(spec) * sizeof(float));
    for (uint64_t i = 0; i < count; i++)
        run->dx[place[i]] += run->dy[i];
}

static void add_pixel(void *argument, uint64_t y, uint64_t x, uint32_t tap)
{
    const struct context *context = argument;

    (void)tap;
    for (uint64_t c = 0; c < context->spec->output.dim[2]; c++) {
        context->saved[y + c]++;
        context->run->y[y + c] += context->run->x[x + c];
    }
}

static void average_forward(const struct op_spec *spec, const struct op_run *run)
{
    struct context context = {spec, run, run->saved};
    uint64_t count = ref_outputs(spec);

    memset(run->y, 0, count * sizeof(float));
    memset(run->saved, 0, saved_bytes(spec));
    window_slide(spec, add_pixel, &context);
    for (uint64_t i = 0; i < count; i++)
        run->y[i] /= (float)context.saved[i];
}

static void spread_gradient(void *argument, uint64_t y, uint64_t x, uint32_t tap)
{
    const struct context *context = argument;

    (void)tap;
    for (uint64_t c = 0; c < context->spec->output.dim[2]; c++)
        context->run->dx[x + c] += context->run->dy[y + c] / (float)context->saved[y + c];
}

static void average_backward(const struct op_spec *spec, const struct op_run *run)
{
    struct context context = {spec, run, run->saved};

    if (!spec->input_gradient)
        return;
    memset(run->dx, 0, ref_inputs(spec) * sizeof(float));
    window_slide(spec, spread_gradient, &context);
}

const struct ref_kernel ref_max_pooling2d = {max_forward, max_backward, saved_bytes};
const struct ref_kernel ref_average_pooling2d = {average_forward, average_backward, saved_bytes};
