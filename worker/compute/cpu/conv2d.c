/* Convolution. oneDNN picks the algorithm (Winograd's where its model of the machine says so) and, for images
 * and kernels, the blocked formats that it is fast in. Images stay in those between operations; the kernel is
 * reordered on each use, which costs far less than a blocked convolution gains.
 *
 * x [samples, height, width, in], kernel HWIO, y [samples, rows, columns, filters]. */
#include "compute/cpu/cpu.h"

#include <stdlib.h>

struct conv2d {
    struct cpu_op op;
    struct cpu_primitive forward, backward_kernel, backward_input;
    struct cpu_primitive kernel_for_forward, kernel_for_backward, kernel_gradient; /* reorders */
    size_t kernel_at; /* in scratch, behind the scratchpad: the kernel or its gradient in a blocked format */
};

/* What all three passes are described by. */
struct shapes {
    dnnl_memory_desc_t x, kernel, bias, y;
    dnnl_dims_t strides, padding_before, padding_after;
};

static struct shapes shapes_of(const struct op_spec *spec)
{
    struct shapes shapes;
    dnnl_dims_t kernel = {spec->output.dim[2], spec->input.dim[2], spec->kernel_size[0],
                          spec->kernel_size[1]};
    dnnl_dims_t bias = {spec->output.dim[2]};

    shapes.x = cpu_plain(spec->samples, &spec->input);
    shapes.y = cpu_plain(spec->samples, &spec->output);
    shapes.bias = (dnnl_memory_desc_t){0};
    if (dnnl_memory_desc_init_by_tag(&shapes.kernel, 4, kernel, dnnl_f32, dnnl_hwio) != dnnl_success)
        BUG("a kernel has no description");
    if (spec->use_bias &&
        dnnl_memory_desc_init_by_tag(&shapes.bias, 1, bias, dnnl_f32, dnnl_x) != dnnl_success)
        BUG("a bias has no description");
    for (int axis = 0; axis < 2; axis++) {
        shapes.strides[axis] = spec->strides[axis];
        shapes.padding_before[axis] = axis == 0 ? spec->pad_top : spec->pad_left;
        shapes.padding_after[axis] = cpu_padding_after(spec, axis);
    }
    return shapes;
}

static enum status init_forward(struct conv2d *conv2d, struct cpu_backend *backend,
                                const struct shapes *shapes, struct error *error)
{
    const struct op_spec *spec = &conv2d->op.base.spec;
    dnnl_memory_desc_t x = cpu_any(&shapes->x), y = cpu_any(&shapes->y), kernel = cpu_any(&shapes->kernel);
    dnnl_convolution_desc_t desc;
    struct cpu_recipe recipe = {&desc, .relu = spec->activation == ACTIVATION_RELU,
                                .arguments = {DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_BIAS, DNNL_ARG_DST}};
    enum status status = cpu_check(dnnl_convolution_forward_desc_init(
                                       &desc, spec->training ? dnnl_forward_training : dnnl_forward_inference,
                                       dnnl_convolution_auto, &x, &kernel, &shapes->bias, &y, shapes->strides,
                                       shapes->padding_before, shapes->padding_after),
                                   error, "describe a convolution");

    return status == CAIRN_OK ? cpu_primitive_init(&conv2d->forward, backend, &recipe, error) : status;
}

/* Backward works on the images in the formats that forward has them in; only kernels may be in another. */
static enum status init_backward_kernel(struct conv2d *conv2d, struct cpu_backend *backend,
                                        const struct shapes *shapes, struct error *error)
{
    dnnl_memory_desc_t kernel = cpu_any(&shapes->kernel);
    dnnl_convolution_desc_t desc;
    struct cpu_recipe recipe = {
        &desc, .forward = &conv2d->forward,
        .arguments = {DNNL_ARG_SRC, DNNL_ARG_DIFF_DST, DNNL_ARG_DIFF_WEIGHTS, DNNL_ARG_DIFF_BIAS}};
    enum status status =
        cpu_check(dnnl_convolution_backward_weights_desc_init(
                      &desc, dnnl_convolution_auto, cpu_primitive_format(&conv2d->forward, DNNL_ARG_SRC),
                      &kernel, &shapes->bias, cpu_primitive_format(&conv2d->forward, DNNL_ARG_DST),
                      shapes->strides, shapes->padding_before, shapes->padding_after),
                  error, "describe a convolution's kernel gradient");

    return status == CAIRN_OK ? cpu_primitive_init(&conv2d->backward_kernel, backend, &recipe, error)
                              : status;
}

static enum status init_backward_input(struct conv2d *conv2d, struct cpu_backend *backend,
                                       const struct shapes *shapes, struct error *error)
{
    dnnl_memory_desc_t kernel = cpu_any(&shapes->kernel);
    dnnl_convolution_desc_t desc;
    struct cpu_recipe recipe = {&desc, .forward = &conv2d->forward,
                                .arguments = {DNNL_ARG_DIFF_DST, DNNL_ARG_WEIGHTS, DNNL_ARG_DIFF_SRC}};
    enum status status =
        cpu_check(dnnl_convolution_backward_data_desc_init(
                      &desc, dnnl_convolution_auto, cpu_primitive_format(&conv2d->forward, DNNL_ARG_SRC),
                      &kernel, cpu_primitive_format(&conv2d->forward, DNNL_ARG_DST), shapes->strides,
                      shapes->padding_before, shapes->padding_after),
                  error, "describe a convolution's input gradient");

    return status == CAIRN_OK ? cpu_primitive_init(&conv2d->backward_input, backend, &recipe, error) : status;
}

/* A reorder of the kernel into (or, for its gradient, out of) the format of a primitive's argument; its
 * blocked form lies in scratch. */
static enum status init_kernel(struct conv2d *conv2d, struct cpu_backend *backend,
                               const dnnl_memory_desc_t *plain, const struct cpu_primitive *user,
                               int argument, struct error *error)
{
    const dnnl_memory_desc_t *blocked = cpu_primitive_format(user, argument);

    if (argument == DNNL_ARG_DIFF_WEIGHTS)
        return cpu_reorder_init(&conv2d->kernel_gradient, backend, blocked, plain, error);
    return cpu_reorder_init(user == &conv2d->forward ? &conv2d->kernel_for_forward
                                                     : &conv2d->kernel_for_backward,
                            backend, plain, blocked, error);
}

static void reserve_scratch(struct conv2d *conv2d)
{
    const struct cpu_primitive *users[] = {&conv2d->forward,
                                           &conv2d->backward_kernel,
                                           &conv2d->backward_input,
                                           &conv2d->kernel_for_forward,
                                           &conv2d->kernel_for_backward,
                                           &conv2d->kernel_gradient};
    size_t largest = 0;

    for (size_t i = 0; i < sizeof(users) / sizeof(users[0]); i++) {
        size_t bytes = 0;

        cpu_op_uses(&conv2d->op, users[i]);
        if (i < 3 && users[i]->primitive != NULL)
            bytes = dnnl_memory_desc_get_size(cpu_primitive_format(
                users[i], users[i] == &conv2d->backward_kernel ? DNNL_ARG_DIFF_WEIGHTS : DNNL_ARG_WEIGHTS));
        largest = bytes > largest ? bytes : largest;
    }
    conv2d->kernel_at = conv2d->op.base.scratch_bytes;
    conv2d->op.base.scratch_bytes += largest;
}

static enum status init_all(struct conv2d *conv2d, struct cpu_backend *backend, struct error *error)
{
    const struct op_spec *spec = &conv2d->op.base.spec;
    struct shapes shapes = shapes_of(spec);
    const dnnl_memory_desc_t *plain = &shapes.kernel;
    enum status status = init_forward(conv2d, backend, &shapes, error);

    if (status == CAIRN_OK)
        status = init_kernel(conv2d, backend, plain, &conv2d->forward, DNNL_ARG_WEIGHTS, error);
    if (status == CAIRN_OK && spec->training)
        status = init_backward_kernel(conv2d, backend, &shapes, error);
    if (status == CAIRN_OK && spec->training)
        status = init_kernel(conv2d, backend, plain, &conv2d->backward_kernel, DNNL_ARG_DIFF_WEIGHTS, error);
    if (status == CAIRN_OK && spec->input_gradient)
        status = init_backward_input(conv2d, backend, &shapes, error);
    if (status == CAIRN_OK && spec->input_gradient)
        status = init_kernel(conv2d, backend, plain, &conv2d->backward_input, DNNL_ARG_WEIGHTS, error);
    return status;
}

/* The kernel in the format that `reorder` gives: in scratch, or where it is when nothing is to be done. */
static enum status reorder_kernel(struct conv2d *conv2d, struct cpu_primitive *reorder,
                                  const struct op_run *run, const void **kernel, struct error *error)
{
    const void *tensors[] = {run->kernel, (unsigned char *)run->scratch + conv2d->kernel_at};

    *kernel = tensors[reorder->primitive != NULL];
    return cpu_primitive_run(reorder, cpu_backend_of(&conv2d->op.base), run->scratch, tensors, error);
}

static enum status forward(struct op *op, const struct op_run *run, struct error *error)
{
    struct conv2d *conv2d = (struct conv2d *)op;
    const void *tensors[] = {run->x, NULL, run->bias, run->y};
    enum status status = reorder_kernel(conv2d, &conv2d->kernel_for_forward, run, &tensors[1], error);

    if (status != CAIRN_OK)
        return status;
    return cpu_primitive_run(&conv2d->forward, cpu_backend_of(op), run->scratch, tensors, error);
}

static enum status run_backward_kernel(struct conv2d *conv2d, const struct op_run *run, struct error *error)
{
    struct cpu_backend *backend = cpu_backend_of(&conv2d->op.base);
    void *blocked = conv2d->kernel_gradient.primitive != NULL
                        ? (unsigned char *)run->scratch + conv2d->kernel_at
                        : (void *)run->kernel_gradient;
    const void *tensors[] = {run->x, run->dy, blocked, run->bias_gradient};
    const void *reordered[] = {blocked, run->kernel_gradient};
    enum status status = cpu_primitive_run(&conv2d->backward_kernel, backend, run->scratch, tensors, error);

    if (status != CAIRN_OK)
        return status;
    return cpu_primitive_run(&conv2d->kernel_gradient, backend, run->scratch, reordered, error);
}

static enum status backward(struct op *op, const struct op_run *run, struct error *error)
{
    struct conv2d *conv2d = (struct conv2d *)op;
    const void *tensors[] = {run->dy, NULL, run->dx};
    enum status status;

    if (op->spec.activation == ACTIVATION_RELU)
        cpu_relu_backward(run->dy, run->y, op->output.bytes / sizeof(float));
    status = run_backward_kernel(conv2d, run, error);
    if (status != CAIRN_OK || !op->spec.input_gradient)
        return status;
    status = reorder_kernel(conv2d, &conv2d->kernel_for_backward, run, &tensors[1], error);
    if (status != CAIRN_OK)
        return status;
    return cpu_primitive_run(&conv2d->backward_input, cpu_backend_of(op), run->scratch, tensors, error);
}

static void free_op(struct op *op)
{
    struct conv2d *conv2d = (struct conv2d *)op;

    cpu_primitive_fini(&conv2d->forward);
    cpu_primitive_fini(&conv2d->backward_kernel);
    cpu_primitive_fini(&conv2d->backward_input);
    cpu_primitive_fini(&conv2d->kernel_for_forward);
    cpu_primitive_fini(&conv2d->kernel_for_backward);
    cpu_primitive_fini(&conv2d->kernel_gradient);
    free(conv2d);
}

enum status cpu_plan_conv2d(struct cpu_backend *backend, const struct op_spec *spec, struct op **out,
                            struct error *error)
{
    static const struct op_ops ops = {forward, backward, free_op};
    struct conv2d *conv2d = cpu_op_new(sizeof(*conv2d), backend, spec, &ops);
    enum status status;

    if (conv2d == NULL)
        return error_set(error, CAIRN_NO_MEMORY, "no memory for an operation");
    status = init_all(conv2d, backend, error);
    if (status != CAIRN_OK) {
        free_op(&conv2d->op.base);
        return status;
    }
    reserve_scratch(conv2d);
    cpu_op_set_input(&conv2d->op, cpu_primitive_format(&conv2d->forward, DNNL_ARG_SRC));
    cpu_op_set_output(&conv2d->op, cpu_primitive_format(&conv2d->forward, DNNL_ARG_DST));
    *out = &conv2d->op.base;
    return CAIRN_OK;
}
