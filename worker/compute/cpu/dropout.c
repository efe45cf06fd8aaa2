/* Dropout on plain tensors, as its draws are counted in their order (compute/dropout.h). Forward saves what
 * it kept, one bit an element: cheaper than to draw twice.
 *
 * x, y [samples, shape], saved [samples, blocks] of 64 bits. */
#include "compute/cpu/cpu.h"
#include "compute/cpu/dropout_kernels.h"

#include <stdlib.h>
#include <string.h>

struct dropout {
    struct cpu_op op;
    const struct dropout_kernels *kernels;
    uint64_t elements, blocks; /* a sample */
};

static enum status forward(struct op *op, const struct op_run *run, struct error *error)
{
    const struct dropout *dropout = (struct dropout *)op;
    uint32_t threshold = dropout_threshold(op->spec.rate);
    float scale = 1 / (1 - op->spec.rate);

    (void)error;
    if (run->evaluate) {
        memcpy(run->y, run->x, op->input.bytes);
        return CAIRN_OK;
    }
    for (uint64_t sample = 0; sample < op->spec.samples; sample++) {
        struct dropout_stream stream =
            dropout_stream_for(run->seed, run->step, op->spec.layer, run->first_sample + (uint32_t)sample);
        uint64_t *kept = (uint64_t *)run->saved + sample * dropout->blocks,
                 begin = sample * dropout->elements;

        dropout->kernels->draw(&stream, threshold, kept, dropout->blocks);
        dropout->kernels->apply(run->y + begin, run->x + begin, kept, scale, dropout->elements);
    }
    return CAIRN_OK;
}

static enum status backward(struct op *op, const struct op_run *run, struct error *error)
{
    const struct dropout *dropout = (struct dropout *)op;
    float scale = 1 / (1 - op->spec.rate);

    (void)error;
    for (uint64_t sample = 0; sample < op->spec.samples && op->spec.input_gradient; sample++) {
        const uint64_t *kept = (const uint64_t *)run->saved + sample * dropout->blocks;
        uint64_t begin = sample * dropout->elements;

        dropout->kernels->apply(run->dx + begin, run->dy + begin, kept, scale, dropout->elements);
    }
    return CAIRN_OK;
}

static void free_op(struct op *op)
{
    free(op);
}

enum status cpu_plan_dropout(struct cpu_backend *backend, const struct op_spec *spec, struct op **out,
                             struct error *error)
{
    static const struct op_ops ops = {forward, backward, free_op};
    struct dropout *dropout = cpu_op_new(sizeof(*dropout), backend, spec, &ops);

    if (dropout == NULL)
        return error_set(error, CAIRN_NO_MEMORY, "no memory for an operation");
    dropout->kernels = dropout_kernels_best();
    dropout->elements = shape_elements(&spec->input);
    dropout->blocks = (dropout->elements + DROPOUT_BLOCK - 1) / DROPOUT_BLOCK;
    dropout->op.base.saved_bytes = spec->training ? spec->samples * dropout->blocks * sizeof(uint64_t) : 0;
    *out = &dropout->op.base;
    return CAIRN_OK;
}
