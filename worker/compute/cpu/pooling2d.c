/* Pooling, in whatever layout the images come. A relu behind the maximum is done here on the few maxima.
 *
 * x [samples, height, width, channels], y [samples, rows, columns, channels]; saved: oneDNN's workspace,
 * which says where the maxima were. */
#include "compute/cpu/cpu.h"

#include <stdlib.h>

struct pooling2d {
    struct cpu_op op;
    struct cpu_primitive forward, backward;
};

struct window {
    dnnl_dims_t size, strides, padding_before, padding_after;
    dnnl_alg_kind_t algorithm;
};

static struct window window_of(const struct op_spec *spec)
{
    struct window window = {.padding_before = {spec->pad_top, spec->pad_left},
                            .algorithm = spec->kind == OP_MAX_POOLING2D ? dnnl_pooling_max
                                                                        : dnnl_pooling_avg_exclude_padding};

    for (int axis = 0; axis < 2; axis++) {
        window.size[axis] = spec->kernel_size[axis];
        window.strides[axis] = spec->strides[axis];
        window.padding_after[axis] = cpu_padding_after(spec, axis);
    }
    return window;
}

static enum status init_forward(struct pooling2d *pooling2d, struct cpu_backend *backend,
                                const struct window *window, struct error *error)
{
    const struct op_spec *spec = &pooling2d->op.base.spec;
    dnnl_memory_desc_t x = cpu_of_layout(&spec->input_layout, spec->samples, &spec->input);
    dnnl_memory_desc_t plain = cpu_plain(spec->samples, &spec->output), y = cpu_any(&plain);
    dnnl_pooling_desc_t desc;
    struct cpu_recipe recipe = {&desc, .arguments = {DNNL_ARG_SRC, DNNL_ARG_DST, DNNL_ARG_WORKSPACE}};
    enum status status = cpu_check(
        dnnl_pooling_forward_desc_init(&desc, spec->training ? dnnl_forward_training : dnnl_forward_inference,
                                       window->algorithm, &x, &y, window->strides, window->size,
                                       window->padding_before, window->padding_after),
        error, "describe a pooling");

    return status == CAIRN_OK ? cpu_primitive_init(&pooling2d->forward, backend, &recipe, error) : status;
}

static enum status init_backward(struct pooling2d *pooling2d, struct cpu_backend *backend,
                                 const struct window *window, struct error *error)
{
    dnnl_pooling_desc_t desc;
    struct cpu_recipe recipe = {&desc, .forward = &pooling2d->forward,
                                .arguments = {DNNL_ARG_DIFF_DST, DNNL_ARG_DIFF_SRC, DNNL_ARG_WORKSPACE}};
    enum status status =
        cpu_check(dnnl_pooling_backward_desc_init(
                      &desc, window->algorithm, cpu_primitive_format(&pooling2d->forward, DNNL_ARG_SRC),
                      cpu_primitive_format(&pooling2d->forward, DNNL_ARG_DST), window->strides, window->size,
                      window->padding_before, window->padding_after),
                  error, "describe a pooling's gradient");

    return status == CAIRN_OK ? cpu_primitive_init(&pooling2d->backward, backend, &recipe, error) : status;
}

static enum status forward(struct op *op, const struct op_run *run, struct error *error)
{
    struct pooling2d *pooling2d = (struct pooling2d *)op;
    const void *tensors[] = {run->x, run->y, run->saved};
    enum status status =
        cpu_primitive_run(&pooling2d->forward, cpu_backend_of(op), run->scratch, tensors, error);

    if (status == CAIRN_OK && op->spec.activation == ACTIVATION_RELU)
        cpu_relu(run->y, op->output.bytes / sizeof(float));
    return status;
}

static enum status backward(struct op *op, const struct op_run *run, struct error *error)
{
    struct pooling2d *pooling2d = (struct pooling2d *)op;
    const void *tensors[] = {run->dy, run->dx, run->saved};

    if (!op->spec.input_gradient)
        return CAIRN_OK;
    if (op->spec.activation == ACTIVATION_RELU)
        cpu_relu_backward(run->dy, run->y, op->output.bytes / sizeof(float));
    return cpu_primitive_run(&pooling2d->backward, cpu_backend_of(op), run->scratch, tensors, error);
}

static void free_op(struct op *op)
{
    struct pooling2d *pooling2d = (struct pooling2d *)op;

    cpu_primitive_fini(&pooling2d->forward);
    cpu_primitive_fini(&pooling2d->backward);
    free(pooling2d);
}

enum status cpu_plan_pooling2d(struct cpu_backend *backend, const struct op_spec *spec, struct op **out,
                               struct error *error)
{
    static const struct op_ops ops = {forward, backward, free_op};
    struct pooling2d *pooling2d = cpu_op_new(sizeof(*pooling2d), backend, spec, &ops);
    struct window window = window_of(spec);
    enum status status;

    if (pooling2d == NULL)
        return error_set(error, CAIRN_NO_MEMORY, "no memory for an operation");
    status = init_forward(pooling2d, backend, &window, error);
    if (status == CAIRN_OK && spec->input_gradient)
        status = init_backward(pooling2d, backend, &window, error);
    if (status != CAIRN_OK) {
        free_op(&pooling2d->op.base);
        return status;
    }
    pooling2d->op.base.saved_bytes =
        dnnl_memory_desc_get_size(cpu_primitive_format(&pooling2d->forward, DNNL_ARG_WORKSPACE));
    cpu_op_set_input(&pooling2d->op, cpu_primitive_format(&pooling2d->forward, DNNL_ARG_SRC));
    cpu_op_set_output(&pooling2d->op, cpu_primitive_format(&pooling2d->forward, DNNL_ARG_DST));
    cpu_op_uses(&pooling2d->op, &pooling2d->forward);
    cpu_op_uses(&pooling2d->op, &pooling2d->backward);
    *out = &pooling2d->op.base;
    return CAIRN_OK;
}
