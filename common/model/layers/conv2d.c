/* conv2d: y = activation(x * kernel + bias), kernel [height, width, in, filters]. */
#include "model/layers/layers.h"

#include <string.h>

static void describe(const struct graph_layer *layer, uint32_t index, struct layer_ops *ops)
{
    struct op_spec *spec = layer_ops_add(ops, OP_CONV2D, &layer->input, &layer->output);

    (void)index;
    memcpy(spec->kernel_size, layer->spec->kernel_size, sizeof(spec->kernel_size));
    memcpy(spec->strides, layer->spec->strides, sizeof(spec->strides));
    spec->pad_top = layer->pad_top;
    spec->pad_left = layer->pad_left;
    spec->use_bias = layer->spec->use_bias;
    layer_ops_activate(ops, layer->spec->activation);
}

const struct layer_descriptor layer_conv2d = {.describe = describe};
