/* Which descriptor serves which layer type, and what descriptors share. */
#include "model/layers/layers.h"

const struct layer_descriptor *layer_descriptor(enum layer_type type)
{
    static const struct layer_descriptor *const descriptors[LAYER_TYPE_COUNT] = {
        [LAYER_DENSE] = &layer_dense,
        [LAYER_CONV2D] = &layer_conv2d,
        [LAYER_MAX_POOLING2D] = &layer_max_pooling2d,
        [LAYER_AVERAGE_POOLING2D] = &layer_average_pooling2d,
        [LAYER_FLATTEN] = &layer_flatten,
        [LAYER_DROPOUT] = &layer_dropout,
        [LAYER_ACTIVATION] = &layer_activation,
    };

    BUG_IF((unsigned)type >= LAYER_TYPE_COUNT);
    return descriptors[type];
}

struct op_spec *layer_ops_add(struct layer_ops *ops, enum op_kind kind, const struct shape *input,
                              const struct shape *output)
{
    BUG_IF(ops->count == LAYER_OPS_MAX);
    struct op_spec *spec = &ops->specs[ops->count++];

    *spec = (struct op_spec){.kind = kind, .input = *input, .output = *output};
    return spec;
}

void layer_ops_activate(struct layer_ops *ops, enum activation activation)
{
    BUG_IF(ops->count == 0);
    struct op_spec *last = &ops->specs[ops->count - 1];

    if (activation == ACTIVATION_LINEAR)
        return;
    if (activation == ACTIVATION_RELU)
        last->activation = activation;
    else
        layer_ops_add(ops, OP_ACTIVATION, &last->output, &last->output)->activation = activation;
}
