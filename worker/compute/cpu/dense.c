/* Dense layers as three matrix products on plain row-major matrices: oneDNN's kernels take the kernel matrix
 * in Keras's order as fast as in blocks (measured), so nothing is reordered.
 *
 * x [samples, in], kernel [in, units], y [samples, units]. */
#include "compute/cpu/cpu.h"

#include <stdlib.h>

struct dense {
    struct cpu_op op;
    struct cpu_primitive forward;         /* y = x kernel + bias */
    struct cpu_primitive backward_kernel; /* kernel gradient = x' dy */
    struct cpu_primitive backward_input;  /* dx = dy kernel' */
};

static enum status init_product(struct dense *dense, struct cpu_primitive *primitive,
                                const dnnl_memory_desc_t *left, const dnnl_memory_desc_t *right,
                                const dnnl_memory_desc_t *result, struct error *error)
{
    const struct op_spec *spec = &dense->op.base.spec;
    bool is_forward = primitive == &dense->forward;
    dnnl_memory_desc_t bias = {0};
    dnnl_matmul_desc_t desc;
    struct cpu_recipe recipe = {&desc, .relu = is_forward && spec->activation == ACTIVATION_RELU,
                                .arguments = {DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_BIAS, DNNL_ARG_DST}};
    enum status status;

    if (is_forward && spec->use_bias)
        bias = cpu_matrix(1, spec->output.dim[0], spec->output.dim[0], 1);
    status = cpu_check(dnnl_matmul_desc_init(&desc, left, right, &bias, result), error, "describe a product");
    if (status == CAIRN_OK)
        status = cpu_primitive_init(primitive, cpu_backend_of(&dense->op.base), &recipe, error);
    if (status == CAIRN_OK)
        cpu_op_uses(&dense->op, primitive);
    return status;
}

static enum status init_all(struct dense *dense, struct error *error)
{
    const struct op_spec *spec = &dense->op.base.spec;
    uint64_t samples = spec->samples, in = spec->input.dim[0], units = spec->output.dim[0];
    dnnl_memory_desc_t x = cpu_matrix(samples, in, in, 1), x_transposed = cpu_matrix(in, samples, 1, in);
    dnnl_memory_desc_t y = cpu_matrix(samples, units, units, 1);
    dnnl_memory_desc_t kernel = cpu_matrix(in, units, units, 1);
    dnnl_memory_desc_t kernel_transposed = cpu_matrix(units, in, 1, units);
    enum status status = init_product(dense, &dense->forward, &x, &kernel, &y, error);

    if (status == CAIRN_OK && spec->training)
        status = init_product(dense, &dense->backward_kernel, &x_transposed, &y, &kernel, error);
    if (status == CAIRN_OK && spec->input_gradient)
        status = init_product(dense, &dense->backward_input, &y, &kernel_transposed, &x, error);
    return status;
}

static enum status forward(struct op *op, const struct op_run *run, struct error *error)
{
    struct dense *dense = (struct dense *)op;
    const void *tensors[] = {run->x, run->kernel, run->bias, run->y};

    return cpu_primitive_run(&dense->forward, cpu_backend_of(op), run->scratch, tensors, error);
}

static enum status backward(struct op *op, const struct op_run *run, struct error *error)
{
    struct dense *dense = (struct dense *)op;
    const void *for_kernel[] = {run->x, run->dy, NULL, run->kernel_gradient};
    const void *for_input[] = {run->dy, run->kernel, NULL, run->dx};
    enum status status;

    if (op->spec.activation == ACTIVATION_RELU)
        cpu_relu_backward(run->dy, run->y, op->output.bytes / sizeof(float));
    if (op->spec.use_bias)
        cpu_sum_rows(run->bias_gradient, run->dy, op->spec.samples, op->spec.output.dim[0]);
    status = cpu_primitive_run(&dense->backward_kernel, cpu_backend_of(op), run->scratch, for_kernel, error);
    if (status != CAIRN_OK || !op->spec.input_gradient)
        return status;
    return cpu_primitive_run(&dense->backward_input, cpu_backend_of(op), run->scratch, for_input, error);
}

static void free_op(struct op *op)
{
    struct dense *dense = (struct dense *)op;

    cpu_primitive_fini(&dense->forward);
    cpu_primitive_fini(&dense->backward_kernel);
    cpu_primitive_fini(&dense->backward_input);
    free(dense);
}

enum status cpu_plan_dense(struct cpu_backend *backend, const struct op_spec *spec, struct op **out,
                           struct error *error)
{
    static const struct op_ops ops = {forward, backward, free_op};
    struct dense *dense = cpu_op_new(sizeof(*dense), backend, spec, &ops);
    enum status status;

    if (dense == NULL)
        return error_set(error, CAIRN_NO_MEMORY, "no memory for an operation");
    status = init_all(dense, error);
    if (status != CAIRN_OK) {
        free_op(&dense->op.base);
        return status;
    }
    *out = &dense->op.base;
    return CAIRN_OK;
}
