/* From one layout to another, and the gradient back. */
#include "compute/cpu/cpu.h"

#include <stdlib.h>
#include <string.h>

struct reorder {
    struct cpu_op op;
    struct cpu_primitive forward, backward;
};

/* Copies when the two layouts are the same. */
static enum status run_one(struct reorder *reorder, struct cpu_primitive *primitive, const struct op_run *run,
                           const void *const tensors[2], struct error *error)
{
    const struct op *op = &reorder->op.base;

    if (primitive->primitive == NULL) {
        memcpy((void *)tensors[1], tensors[0], op->input.bytes);
        return CAIRN_OK;
    }
    return cpu_primitive_run(primitive, cpu_backend_of(op), run->scratch, tensors, error);
}

static enum status forward(struct op *op, const struct op_run *run, struct error *error)
{
    struct reorder *reorder = (struct reorder *)op;
    const void *tensors[] = {run->x, run->y};

    return run_one(reorder, &reorder->forward, run, tensors, error);
}

static enum status backward(struct op *op, const struct op_run *run, struct error *error)
{
    struct reorder *reorder = (struct reorder *)op;
    const void *tensors[] = {run->dy, run->dx};

    return op->spec.input_gradient ? run_one(reorder, &reorder->backward, run, tensors, error) : CAIRN_OK;
}

static void free_op(struct op *op)
{
    struct reorder *reorder = (struct reorder *)op;

    cpu_primitive_fini(&reorder->forward);
    cpu_primitive_fini(&reorder->backward);
    free(reorder);
}

enum status cpu_plan_reorder(struct cpu_backend *backend, const struct op_spec *spec, struct op **out,
                             struct error *error)
{
    static const struct op_ops ops = {forward, backward, free_op};
    dnnl_memory_desc_t from = cpu_of_layout(&spec->input_layout, spec->samples, &spec->input);
    dnnl_memory_desc_t to = cpu_of_layout(&spec->output_layout, spec->samples, &spec->output);
    struct reorder *reorder = cpu_op_new(sizeof(*reorder), backend, spec, &ops);
    enum status status;

    if (reorder == NULL)
        return error_set(error, CAIRN_NO_MEMORY, "no memory for an operation");
    status = cpu_reorder_init(&reorder->forward, backend, &from, &to, error);
    if (status == CAIRN_OK && spec->input_gradient)
        status = cpu_reorder_init(&reorder->backward, backend, &to, &from, error);
    if (status != CAIRN_OK) {
        free_op(&reorder->op.base);
        return status;
    }
    cpu_op_set_input(&reorder->op, &from);
    cpu_op_set_output(&reorder->op, &to);
    cpu_op_uses(&reorder->op, &reorder->forward);
    cpu_op_uses(&reorder->op, &reorder->backward);
    *out = &reorder->op.base;
    return CAIRN_OK;
}
