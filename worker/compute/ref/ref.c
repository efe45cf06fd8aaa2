/* The backend `ref`: the oracle. Plans nothing, as there is nothing to choose; every layout is plain. */
#include "compute/ref/ref.h"

#include "compute/compute.h"

#include <stdlib.h>

static const struct ref_kernel *const kernels[OP_KIND_COUNT] = {
    [OP_DENSE] = &ref_dense,
    [OP_CONV2D] = &ref_conv2d,
    [OP_MAX_POOLING2D] = &ref_max_pooling2d,
    [OP_AVERAGE_POOLING2D] = &ref_average_pooling2d,
    [OP_ACTIVATION] = &ref_activation,
    [OP_DROPOUT] = &ref_dropout,
    [OP_REORDER] = &ref_reorder,
};

void ref_activate(const struct op_spec *spec, float *y)
{
    uint64_t count = ref_outputs(spec);

    if (spec->activation != ACTIVATION_RELU)
        return;
    for (uint64_t i = 0; i < count; i++)
        y[i] = y[i] < 0 ? 0 : y[i];
}

void ref_deactivate(const struct op_spec *spec, const float *y, float *dy)
{
    uint64_t count = ref_outputs(spec);

    if (spec->activation != ACTIVATION_RELU)
        return;
    for (uint64_t i = 0; i < count; i++)
        dy[i] = y[i] > 0 ? dy[i] : 0;
}

static enum status forward(struct op *op, const struct op_run *run, struct error *error)
{
    (void)error;
    kernels[op->spec.kind]->forward(&op->spec, run);
    return CAIRN_OK;
}

static enum status backward(struct op *op, const struct op_run *run, struct error *error)
{
    (void)error;
    kernels[op->spec.kind]->backward(&op->spec, run);
    return CAIRN_OK;
}

static void free_op(struct op *op)
{
    free(op);
}

static enum status plan(struct backend *backend, const struct op_spec *spec, struct op **out,
                        struct error *error)
{
    static const struct op_ops ops = {forward, backward, free_op};
    struct op *op;

    *out = NULL;
    if (spec->kind == OP_LOSS)
        return loss_op_new(backend, spec, out, error);
    BUG_IF((unsigned)spec->kind >= OP_KIND_COUNT);
    op = calloc(1, sizeof(*op));
    if (op == NULL)
        return error_set(error, CAIRN_NO_MEMORY, "no memory for an operation");
    op->ops = &ops;
    op->backend = backend;
    op->spec = *spec;
    op->input = layout_plain(spec->samples, &spec->input);
    op->output = layout_plain(spec->samples, &spec->output);
    if (kernels[spec->kind]->saved_bytes != NULL)
        op->saved_bytes = kernels[spec->kind]->saved_bytes(spec);
    *out = op;
    return CAIRN_OK;
}

static bool layout_equal(const struct layout *a, const struct layout *b)
{
    (void)a;
    (void)b;
    return true;
}

static void free_backend(struct backend *backend)
{
    free(backend);
}

enum status backend_ref_new(struct backend **out, struct error *error)
{
    static const struct backend_ops ops = {
        "ref", plan, layout_equal, host_ops_allocate, host_ops_release, free_backend};

    *out = calloc(1, sizeof(**out));
    if (*out == NULL)
        return error_set(error, CAIRN_NO_MEMORY, "no memory for a backend");
    (*out)->ops = &ops;
    return CAIRN_OK;
}
