/* activation: a function of each element, or softmax over the last dimension. */
#include "model/layers/layers.h"

static void describe(const struct graph_layer *layer, uint32_t index, struct layer_ops *ops)
{
    (void)index;
    if (layer->spec->activation == ACTIVATION_LINEAR)
        return;
    layer_ops_add(ops, OP_ACTIVATION, &layer->input, &layer->output)->activation = layer->spec->activation;
}

const struct layer_descriptor layer_activation = {.describe = describe};
