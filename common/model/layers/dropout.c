/* dropout: sets a share `rate` of its inputs to 0 in training and scales the others by 1 / (1 - rate). */
#include "model/layers/layers.h"

static void describe(const struct graph_layer *layer, uint32_t index, struct layer_ops *ops)
{
    struct op_spec *spec;

    if (layer->spec->rate == 0.0f)
        return;
    spec = layer_ops_add(ops, OP_DROPOUT, &layer->input, &layer->output);
    spec->rate = layer->spec->rate;
    spec->layer = index;
}

const struct layer_descriptor layer_dropout = {.describe = describe};
