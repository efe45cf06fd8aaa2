/* max_pooling2d and average_pooling2d: the maximum or mean of each window, padding left out. */
#include "model/layers/layers.h"

#include <string.h>

static void describe_pooling(const struct graph_layer *layer, enum op_kind kind, struct layer_ops *ops)
{
    struct op_spec *spec = layer_ops_add(ops, kind, &layer->input, &layer->output);

    memcpy(spec->kernel_size, layer->spec->pool_size, sizeof(spec->kernel_size));
    memcpy(spec->strides, layer->spec->strides, sizeof(spec->strides));
    spec->pad_top = layer->pad_top;
    spec->pad_left = layer->pad_left;
}

static void describe_max(const struct graph_layer *layer, uint32_t index, struct layer_ops *ops)
{
    (void)index;
    describe_pooling(layer, OP_MAX_POOLING2D, ops);
}

static void describe_average(const struct graph_layer *layer, uint32_t index, struct layer_ops *ops)
{
    (void)index;
    describe_pooling(layer, OP_AVERAGE_POOLING2D, ops);
}

const struct layer_descriptor layer_max_pooling2d = {.describe = describe_max};
const struct layer_descriptor layer_average_pooling2d = {.describe = describe_average};
