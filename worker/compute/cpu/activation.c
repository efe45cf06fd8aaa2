/* Functions of each element, and softmax over the channels, in whatever layout the tensor comes. */
#include "compute/cpu/cpu.h"

#include <stdlib.h>

struct activation_op {
    struct cpu_op op;
    struct cpu_primitive forward, backward;
};

/* oneDNN's name of a function, by whether its backward reads y or x. */
static const struct {
    dnnl_alg_kind_t algorithm;
    bool from_output;
} functions[ACTIVATION_COUNT] = {
    [ACTIVATION_LINEAR] = {dnnl_eltwise_linear, false},
    [ACTIVATION_RELU] = {dnnl_eltwise_relu_use_dst_for_bwd, true},
    [ACTIVATION_SIGMOID] = {dnnl_eltwise_logistic_use_dst_for_bwd, true},
    [ACTIVATION_TANH] = {dnnl_eltwise_tanh_use_dst_for_bwd, true},
    [ACTIVATION_SOFTMAX] = {dnnl_alg_kind_undef, true},
    [ACTIVATION_GELU] = {dnnl_eltwise_gelu_erf, false},
};

static bool is_softmax(const struct op_spec *spec)
{
    return spec->activation == ACTIVATION_SOFTMAX;
}

static enum status init_forward(struct activation_op *activation, struct cpu_backend *backend,
                                const dnnl_memory_desc_t *x, struct error *error)
{
    const struct op_spec *spec = &activation->op.base.spec;
    dnnl_prop_kind_t kind = spec->training ? dnnl_forward_training : dnnl_forward_inference;
    float slope = spec->activation == ACTIVATION_LINEAR ? 1.0f : 0.0f;
    dnnl_softmax_desc_t softmax;
    dnnl_eltwise_desc_t eltwise;
    struct cpu_recipe recipe = {.desc = &eltwise, .arguments = {DNNL_ARG_SRC, DNNL_ARG_DST}};
    dnnl_status_t described;
    enum status status;

    if (is_softmax(spec)) {
        described = dnnl_softmax_forward_desc_init(&softmax, kind, x, 1);
        recipe.desc = &softmax;
    } else {
        described = dnnl_eltwise_forward_desc_init(&eltwise, kind, functions[spec->activation].algorithm, x,
                                                   slope, 0.0f);
    }
    status = cpu_check(described, error, "describe an activation");
    return status == CAIRN_OK ? cpu_primitive_init(&activation->forward, backend, &recipe, error) : status;
}

static enum status init_backward(struct activation_op *activation, struct cpu_backend *backend,
                                 const dnnl_memory_desc_t *x, struct error *error)
{
    const struct op_spec *spec = &activation->op.base.spec;
    float slope = spec->activation == ACTIVATION_LINEAR ? 1.0f : 0.0f;
    bool from_output = functions[spec->activation].from_output;
    dnnl_softmax_desc_t softmax;
    dnnl_eltwise_desc_t eltwise;
    struct cpu_recipe recipe = {
        .desc = &eltwise,
        .forward = &activation->forward,
        .arguments = {from_output ? DNNL_ARG_DST : DNNL_ARG_SRC, DNNL_ARG_DIFF_DST, DNNL_ARG_DIFF_SRC}};
    dnnl_status_t described;
    enum status status;

    if (is_softmax(spec)) {
        described = dnnl_softmax_backward_desc_init(&softmax, x, x, 1);
        recipe.desc = &softmax;
    } else {
        described = dnnl_eltwise_backward_desc_init(&eltwise, functions[spec->activation].algorithm, x, x,
                                                    slope, 0.0f);
    }
    status = cpu_check(described, error, "describe an activation's gradient");
    return status == CAIRN_OK ? cpu_primitive_init(&activation->backward, backend, &recipe, error) : status;
}

static enum status forward(struct op *op, const struct op_run *run, struct error *error)
{
    struct activation_op *activation = (struct activation_op *)op;
    const void *tensors[] = {run->x, run->y};

    return cpu_primitive_run(&activation->forward, cpu_backend_of(op), run->scratch, tensors, error);
}

static enum status backward(struct op *op, const struct op_run *run, struct error *error)
{
    struct activation_op *activation = (struct activation_op *)op;
    const void *tensors[] = {functions[op->spec.activation].from_output ? run->y : run->x, run->dy, run->dx};

    return cpu_primitive_run(&activation->backward, cpu_backend_of(op), run->scratch, tensors, error);
}

static void free_op(struct op *op)
{
    struct activation_op *activation = (struct activation_op *)op;

    cpu_primitive_fini(&activation->forward);
    cpu_primitive_fini(&activation->backward);
    free(activation);
}

enum status cpu_plan_activation(struct cpu_backend *backend, const struct op_spec *spec, struct op **out,
                                struct error *error)
{
    static const struct op_ops ops = {forward, backward, free_op};
    dnnl_memory_desc_t x = cpu_of_layout(&spec->input_layout, spec->samples, &spec->input);
    struct activation_op *activation;
    enum status status;

    BUG_IF((unsigned)spec->activation >= ACTIVATION_COUNT);
    activation = cpu_op_new(sizeof(*activation), backend, spec, &ops);
    if (activation == NULL)
        return error_set(error, CAIRN_NO_MEMORY, "no memory for an operation");
    status = init_forward(activation, backend, &x, error);
    if (status == CAIRN_OK && spec->input_gradient)
        status = init_backward(activation, backend, &x, error);
    if (status != CAIRN_OK) {
        free_op(&activation->op.base);
        return status;
    }
    cpu_op_set_input(&activation->op, &x);
    cpu_op_set_output(&activation->op, &x);
    cpu_op_uses(&activation->op, &activation->forward);
    cpu_op_uses(&activation->op, &activation->backward);
    *out = &activation->op.base;
    return CAIRN_OK;
}
