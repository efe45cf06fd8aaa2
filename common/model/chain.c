/* Asks each layer's descriptor for its operations, adds the loss, and moves relu to where it is cheapest. */
#include "model/chain.h"

#include "model/layers/layers.h"

#include <stdlib.h>
#include <string.h>

/* A tensor's elements, at most; leaves room for blocked layouts' padding and for sums of sizes. */
#define TENSOR_ELEMENTS_MAX (SIZE_MAX / 1024)

static struct chain_link *append(struct chain *chain, const struct op_spec *spec, uint32_t layer)
{
    struct chain_link *link = &chain->links[chain->count++];

    link->spec = *spec;
    link->layer = layer;
    return link;
}

static void append_layer(struct chain *chain, const struct graph_layer *layer, uint32_t index)
{
    struct layer_ops ops = {0};

    layer_descriptor(layer->spec->type)->describe(layer, index, &ops);
    for (uint32_t i = 0; i < ops.count; i++)
        append(chain, &ops.specs[i], index)->parameters = i == 0 && layer->parameter_count > 0;
}

static void append_loss(struct chain *chain, const struct graph *graph)
{
    const struct model_spec *model = graph->spec;
    struct op_spec spec = {.kind = OP_LOSS, .loss = model->loss, .metric_count = model->metric_count};

    spec.input = spec.output = graph->layers[graph->layer_count - 1].output;
    memcpy(spec.metrics, model->metrics, sizeof(spec.metrics));
    append(chain, &spec, graph->layer_count);
}

/* relu and the maximum of a window commute, bit for bit, and so do their gradients: where a value is not
 * positive neither passes any on. After the pooling there are fewer values to touch, forward and backward. */
static void move_relu_behind_pooling(struct chain *chain)
{
    for (uint32_t i = 0; i + 1 < chain->count; i++) {
        struct op_spec *spec = &chain->links[i].spec, *next = &chain->links[i + 1].spec;

        if (spec->kind == OP_CONV2D && next->kind == OP_MAX_POOLING2D &&
            spec->activation == ACTIVATION_RELU) {
            next->activation = ACTIVATION_RELU;
            spec->activation = ACTIVATION_LINEAR;
        }
    }
}

static enum status complete(struct chain *chain, uint32_t samples, bool training, struct error *error)
{
    bool parameters_before = false;

    for (uint32_t i = 0; i < chain->count; i++) {
        struct chain_link *link = &chain->links[i];

        if (shape_elements(&link->spec.input) > TENSOR_ELEMENTS_MAX / samples ||
            shape_elements(&link->spec.output) > TENSOR_ELEMENTS_MAX / samples)
            return error_set(error, CAIRN_INVALID, "microbatches of %u samples are too large for this model",
                             samples);
        link->spec.samples = samples;
        link->spec.training = training;
        link->spec.input_gradient = training && parameters_before;
        parameters_before |= link->parameters;
    }
    return CAIRN_OK;
}

enum status chain_init(struct chain *chain, const struct graph *graph, uint32_t samples, bool training,
                       struct error *error)
{
    *chain = (struct chain){0};
    if (samples == 0)
        return error_set(error, CAIRN_INVALID, "a microbatch of 0 samples");
    chain->links = calloc((size_t)graph->layer_count * LAYER_OPS_MAX + 1, sizeof(*chain->links));
    if (chain->links == NULL)
        return error_set(error, CAIRN_NO_MEMORY, "no memory to plan a model of %u layers",
                         graph->layer_count);
    for (uint32_t i = 0; i < graph->layer_count; i++)
        append_layer(chain, &graph->layers[i], i);
    append_loss(chain, graph);
    move_relu_behind_pooling(chain);
    return complete(chain, samples, training, error);
}

void chain_fini(struct chain *chain)
{
    free(chain->links);
    *chain = (struct chain){0};
}
