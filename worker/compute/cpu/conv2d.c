/* Convolution. oneDNN picks, for images and kernels, the blocked formats that it is fast in. Images stay in
 * those between operations; the kernel is reordered on each use, which costs far less than a blocked
 * convolution gains.
 *
 * Winograd's algorithm (A. Lavin, S. Gray, "Fast algorithms for convolutional neural networks", CVPR 2016) is
 * 1.5 to 2.5 times as fast as the direct one where there are enough tiles of 4 x 4 outputs to make large
 * matrix products of them. Which is used follows from shapes alone (oneDNN's own choice also asks for cache
 * sizes), as the two differ in bits.
 *
 * x [samples, height, width, in], kernel HWIO, y [samples, rows, columns, filters]. */
#include "compute/cpu/cpu.h"

#include <stdlib.h>
#include <string.h>

struct conv2d {
    struct cpu_op op;
    struct cpu_primitive forward, backward_kernel, backward_input;
    struct cpu_primitive kernel_for_forward, kernel_for_backward, kernel_gradient; /* reorders */
    size_t kernel_at; /* in scratch, behind the scratchpad: the kernel or its gradient in a blocked format */
};

/* What all three passes are described by; x and y in plain format, or in any that oneDNN likes. */
struct shapes {
    dnnl_memory_desc_t x, kernel, bias, y;
    dnnl_dims_t strides, padding_before, padding_after;
};

static struct shapes shapes_of(const struct op_spec *spec, bool plain)
{
    struct shapes shapes;
    dnnl_dims_t kernel = {spec->output.dim[2], spec->input.dim[2], spec->kernel_size[0],
                          spec->kernel_size[1]};
    dnnl_dims_t bias = {spec->output.dim[2]};

    shapes.x = cpu_plain(spec->samples, &spec->input);
    shapes.y = cpu_plain(spec->samples, &spec->output);
    if (!plain) {
        shapes.x = cpu_any(&shapes.x);
        shapes.y = cpu_any(&shapes.y);
    }
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

#define WINOGRAD_TILES_MIN   64u                 /* measured: from there on it wins for 16 to 512 channels */
#define WINOGRAD_SCRATCH_MAX ((size_t)256 << 20) /* it keeps whole transformed tensors */

static bool winograd_pays(const struct op_spec *spec)
{
    uint64_t rows = (spec->output.dim[0] + 3) / 4, columns = (spec->output.dim[1] + 3) / 4;

    return spec->kernel_size[0] == 3 && spec->kernel_size[1] == 3 && spec->strides[0] == 1 &&
           spec->strides[1] == 1 && spec->input.dim[2] % 16 == 0 && spec->output.dim[2] % 16 == 0 &&
           spec->samples * rows * columns >= WINOGRAD_TILES_MIN;
}

/* Plans one pass with an algorithm. */
typedef enum status init_pass(struct conv2d *conv2d, struct cpu_backend *backend, const struct shapes *shapes,
                              dnnl_alg_kind_t algorithm, struct error *error);

static enum status init_forward(struct conv2d *conv2d, struct cpu_backend *backend,
                                const struct shapes *shapes, dnnl_alg_kind_t algorithm, struct error *error)
{
    const struct op_spec *spec = &conv2d->op.base.spec;
    dnnl_memory_desc_t kernel = cpu_any(&shapes->kernel);
    dnnl_convolution_desc_t desc;
    struct cpu_recipe recipe = {&desc, .relu = spec->activation == ACTIVATION_RELU,
                                .arguments = {DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_BIAS, DNNL_ARG_DST}};
    enum status status = cpu_check(dnnl_convolution_forward_desc_init(
                                       &desc, spec->training ? dnnl_forward_training : dnnl_forward_inference,
                                       algorithm, &shapes->x, &kernel, &shapes->bias, &shapes->y,
                                       shapes->strides, shapes->padding_before, shapes->padding_after),
                                   error, "describe a convolution");

    return status == CAIRN_OK ? cpu_primitive_init(&conv2d->forward, backend, &recipe, error) : status;
}

/* Backward works on the images in the formats that forward has them in; only kernels may be in another. */
static enum status init_backward_kernel(struct conv2d *conv2d, struct cpu_backend *backend,
                                        const struct shapes *shapes, dnnl_alg_kind_t algorithm,
                                        struct error *error)
{
    dnnl_memory_desc_t kernel = cpu_any(&shapes->kernel);
    dnnl_convolution_desc_t desc;
    struct cpu_recipe recipe = {
        &desc, .forward = &conv2d->forward,
        .arguments = {DNNL_ARG_SRC, DNNL_ARG_DIFF_DST, DNNL_ARG_DIFF_WEIGHTS, DNNL_ARG_DIFF_BIAS}};
    enum status status =
        cpu_check(dnnl_convolution_backward_weights_desc_init(
                      &desc, algorithm, cpu_primitive_format(&conv2d->forward, DNNL_ARG_SRC), &kernel,
                      &shapes->bias, cpu_primitive_format(&conv2d->forward, DNNL_ARG_DST), shapes->strides,
                      shapes->padding_before, shapes->padding_after),
                  error, "describe a convolution's kernel gradient");

    return status == CAIRN_OK ? cpu_primitive_init(&conv2d->backward_kernel, backend, &recipe, error)
                              : status;
}

static enum status init_backward_input(struct conv2d *conv2d, struct cpu_backend *backend,
                                       const struct shapes *shapes, dnnl_alg_kind_t algorithm,
                                       struct error *error)
{
    dnnl_memory_desc_t kernel = cpu_any(&shapes->kernel);
    dnnl_convolution_desc_t desc;
    struct cpu_recipe recipe = {&desc, .forward = &conv2d->forward,
                                .arguments = {DNNL_ARG_DIFF_DST, DNNL_ARG_WEIGHTS, DNNL_ARG_DIFF_SRC}};
    enum status status = cpu_check(dnnl_convolution_backward_data_desc_init(
                                       &desc, algorithm, cpu_primitive_format(&conv2d->forward, DNNL_ARG_SRC),
                                       &kernel, cpu_primitive_format(&conv2d->forward, DNNL_ARG_DST),
                                       shapes->strides, shapes->padding_before, shapes->padding_after),
                                   error, "describe a convolution's input gradient");

    return status == CAIRN_OK ? cpu_primitive_init(&conv2d->backward_input, backend, &recipe, error) : status;
}

/* The choice must be the same whenever and wherever this is planned, on machines of a kind: so what fails for
 * another reason than that there is no such kernel, such as memory, is no reason to take the other. */
static enum status init_fastest(struct conv2d *conv2d, struct cpu_backend *backend,
                                const struct shapes *shapes, init_pass *init, struct cpu_primitive *primitive,
                                struct error *error)
{
    if (winograd_pays(&conv2d->op.base.spec)) {
        enum status status = init(conv2d, backend, shapes, dnnl_convolution_winograd, error);

        if (status == CAIRN_OK ? primitive->scratchpad_bytes <= WINOGRAD_SCRATCH_MAX
                               : status != CAIRN_UNSUPPORTED)
            return status;
        cpu_primitive_fini(primitive); /* not on this machine, or too large */
    }
    return init(conv2d, backend, shapes, dnnl_convolution_direct, error);
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

static enum status init_all(struct conv2d *conv2d, struct cpu_backend *backend, bool plain_images,
                            struct error *error)
{
    const struct op_spec *spec = &conv2d->op.base.spec;
    struct shapes shapes = shapes_of(spec, plain_images);
    const dnnl_memory_desc_t *plain = &shapes.kernel;
    enum status status = init_fastest(conv2d, backend, &shapes, init_forward, &conv2d->forward, error);

    if (status == CAIRN_OK)
        status = init_kernel(conv2d, backend, plain, &conv2d->forward, DNNL_ARG_WEIGHTS, error);
    if (status == CAIRN_OK && spec->training)
        status =
            init_fastest(conv2d, backend, &shapes, init_backward_kernel, &conv2d->backward_kernel, error);
    if (status == CAIRN_OK && spec->training)
        status = init_kernel(conv2d, backend, plain, &conv2d->backward_kernel, DNNL_ARG_DIFF_WEIGHTS, error);
    if (status == CAIRN_OK && spec->input_gradient)
        status = init_fastest(conv2d, backend, &shapes, init_backward_input, &conv2d->backward_input, error);
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

static void fini_all(struct conv2d *conv2d)
{
    cpu_primitive_fini(&conv2d->forward);
    cpu_primitive_fini(&conv2d->backward_kernel);
    cpu_primitive_fini(&conv2d->backward_input);
    cpu_primitive_fini(&conv2d->kernel_for_forward);
    cpu_primitive_fini(&conv2d->kernel_for_backward);
    cpu_primitive_fini(&conv2d->kernel_gradient);
}

static void free_op(struct op *op)
{
    fini_all((struct conv2d *)op);
    free(op);
}

/* Whether a pass is left to oneDNN's reference loops, which are hundreds of times slower than the others. */
static bool has_slow_pass(const struct conv2d *conv2d)
{
    const struct cpu_primitive *passes[] = {&conv2d->forward, &conv2d->backward_kernel,
                                            &conv2d->backward_input};

    for (size_t i = 0; i < sizeof(passes) / sizeof(passes[0]); i++) {
        if (passes[i]->primitive != NULL && strncmp(cpu_primitive_kernel(passes[i]), "ref", 3) == 0)
            return true;
    }
    return false;
}

/* Few channels: the format that is best for forward may have no good backward; plain ones have. */
static enum status init_best(struct conv2d *conv2d, struct cpu_backend *backend, struct error *error)
{
    enum status status = init_all(conv2d, backend, false, error);

    if (status != CAIRN_OK || !has_slow_pass(conv2d))
        return status;
    fini_all(conv2d);
    return init_all(conv2d, backend, true, error);
}

enum status cpu_plan_conv2d(struct cpu_backend *backend, const struct op_spec *spec, struct op **out,
                            struct error *error)
{
    static const struct op_ops ops = {forward, backward, free_op};
    struct conv2d *conv2d = cpu_op_new(sizeof(*conv2d), backend, spec, &ops);
    enum status status;

    if (conv2d == NULL)
        return error_set(error, CAIRN_NO_MEMORY, "no memory for an operation");
    status = init_best(conv2d, backend, error);
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
