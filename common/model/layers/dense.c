/* dense: y = activation(x kernel + bias), kernel [in, units]. */
#include "model/layers/layers.h"

static void describe(const struct graph_layer *layer, uint32_t index, struct layer_ops *ops)
{
    struct op_spec *spec = layer_ops_add(ops, OP_DENSE, &layer->input, &layer->output);

    (void)index;
    spec->use_bias = layer->spec->use_bias;
    layer_ops_activate(ops, layer->spec->activation);
}

const struct layer_descriptor layer_dense = {.describe = describe};
