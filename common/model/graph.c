/* Checks a spec layer by layer and lays its parameters out in the address space. The spec may come from a
 * foreign file (a job, an HDF5 model), so nothing in it is taken for granted: not enums, not names' ends.
 * Knows nothing of backends, chunks' slots or optimizers. */
#include "model/graph.h"

#include "base/hash.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "model bytes are hashed and sent as they lie in memory");

uint64_t shape_elements(const struct shape *shape)
{
    uint64_t elements = 1;

    for (uint32_t i = 0; i < shape->rank; i++)
        elements *= shape->dim[i];
    return elements;
}

static uint64_t round_up(uint64_t value, uint64_t multiple)
{
    return (value + multiple - 1) / multiple * multiple;
}

/* "(26, 26, 32)" */
static const char *shape_text(const struct shape *shape, char text[64])
{
    int length = snprintf(text, 64, "(");

    for (uint32_t i = 0; i < shape->rank; i++)
        length += snprintf(text + length, 64 - (size_t)length, i ? ", %u" : "%u", shape->dim[i]);
    snprintf(text + length, 64 - (size_t)length, ")");
    return text;
}

/* A shape from dimensions: CAIRN_INVALID when one is 0 or all are too many elements. */
static enum status shape_set(struct shape *shape, uint32_t rank, const uint32_t *dimensions,
                             struct error *error)
{
    uint64_t elements = 1;

    if (rank < 1 || rank > MODEL_RANK_MAX)
        return error_set(error, CAIRN_INVALID, "a shape of %u dimensions, allowed: 1 to %d", rank,
                         MODEL_RANK_MAX);
    memset(shape, 0, sizeof(*shape));
    shape->rank = rank;
    for (uint32_t i = 0; i < rank; i++) {
        shape->dim[i] = dimensions[i];
        elements *= dimensions[i];
        if (elements == 0)
            return error_set(error, CAIRN_INVALID, "dimension %u of the shape is 0, allowed: 1 or more",
                             i + 1);
        if (elements > GRAPH_ELEMENTS_MAX)
            return error_set(error, CAIRN_INVALID, "a shape of more than %d elements a sample",
                             GRAPH_ELEMENTS_MAX);
    }
    return CAIRN_OK;
}

/* Adds a parameter at the end of the address space. */
static enum status add_parameter(struct graph *graph, const char *what, const struct shape *shape,
                                 enum initializer initializer, struct error *error)
{
    struct graph_parameter *parameter = &graph->parameters[graph->parameter_count];
    struct graph_layer *layer = &graph->layers[graph->layer_count];
    uint64_t elements = 1, receptive_field = 1;

    for (uint32_t i = 0; i < shape->rank; i++) {
        if (shape->dim[i] == 0 || __builtin_mul_overflow(elements, (uint64_t)shape->dim[i], &elements) ||
            elements > GRAPH_FLOATS_MAX - graph->floats)
            return error_set(error, CAIRN_INVALID,
                             "the model grows beyond %" PRIu64 " parameters with its %s", GRAPH_FLOATS_MAX,
                             what);
        if (i + 2 < shape->rank)
            receptive_field *= shape->dim[i];
    }
    snprintf(parameter->name, sizeof(parameter->name), "%s/%s", layer->spec->name, what);
    parameter->layer = graph->layer_count;
    parameter->shape = *shape;
    parameter->offset = graph->floats;
    parameter->elements = elements;
    parameter->initializer = initializer;
    /* As Keras's compute_fans: the last two dimensions are in and out, those before are the receptive field;
     * a vector's one dimension is both. */
    parameter->fan_in = receptive_field * shape->dim[shape->rank > 1 ? shape->rank - 2 : 0];
    parameter->fan_out = receptive_field * shape->dim[shape->rank - 1];
    graph->parameter_count++;
    graph->trainable += elements;
    graph->floats += round_up(elements, GRAPH_ALIGNMENT);
    layer->parameter_count++;
    layer->parameter_end = graph->floats;
    return CAIRN_OK;
}

/* A kernel of this shape and, when the layer has one, the bias of its last dimension. */
static enum status add_kernel_and_bias(struct graph *graph, const struct shape *kernel, struct error *error)
{
    const struct layer_spec *spec = graph->layers[graph->layer_count].spec;
    struct shape bias = {.rank = 1, .dim = {kernel->dim[kernel->rank - 1]}};
    enum status status = add_parameter(graph, "kernel", kernel, spec->kernel_initializer, error);

    if (status == CAIRN_OK && spec->use_bias)
        status = add_parameter(graph, "bias", &bias, spec->bias_initializer, error);
    return status;
}

/* One direction of a window that slides over an image: the output's size and the padding before. */
static enum status slide(const struct layer_spec *spec, const uint32_t window[2], int axis, uint32_t input,
                         uint32_t *output, uint32_t *pad, struct error *error)
{
    static const char *const axis_name[2] = {"height", "width"};
    uint64_t size = window[axis], stride = spec->strides[axis], covered;

    *pad = 0;
    if (size == 0 || stride == 0)
        return error_set(error, CAIRN_INVALID, "%s is 0, allowed: 1 or more",
                         stride ? "the window" : "strides");
    if (spec->padding == PADDING_VALID) {
        if (size > input)
            return error_set(error, CAIRN_INVALID,
                             "a window of %s %u does not fit its input of %s %u, allowed: a smaller one, or "
                             "padding: same",
                             axis_name[axis], window[axis], axis_name[axis], input);
        *output = (uint32_t)((input - size) / stride + 1);
        return CAIRN_OK;
    }
    *output = (uint32_t)((input + stride - 1) / stride);
    covered = (*output - 1) * stride + size;
    if (covered > input)
        *pad = (uint32_t)((covered - input) / 2);
    return CAIRN_OK;
}

/* The output's height and width under a window, and the padding. */
static enum status slide_both(struct graph_layer *layer, const uint32_t window[2], uint32_t output[2],
                              struct error *error)
{
    char text[64];
    enum status status;

    if (layer->input.rank != 3)
        return error_set(error, CAIRN_INVALID, "its input has shape %s, allowed: (height, width, channels)",
                         shape_text(&layer->input, text));
    if ((unsigned)layer->spec->padding >= PADDING_COUNT)
        return error_set(error, CAIRN_INVALID, "unknown padding, allowed: valid, same");
    status = slide(layer->spec, window, 0, layer->input.dim[0], &output[0], &layer->pad_top, error);
    if (status == CAIRN_OK)
        status = slide(layer->spec, window, 1, layer->input.dim[1], &output[1], &layer->pad_left, error);
    return status;
}

static enum status add_dense(struct graph *graph, struct graph_layer *layer, struct error *error)
{
    struct shape kernel = {.rank = 2, .dim = {layer->input.dim[0], layer->spec->units}};
    char text[64];
    enum status status;

    if (layer->input.rank != 1)
        return error_set(error, CAIRN_INVALID,
                         "its input has shape %s, allowed: one dimension; put a flatten layer before it",
                         shape_text(&layer->input, text));
    if (layer->spec->units == 0)
        return error_set(error, CAIRN_INVALID, "units is 0, allowed: 1 or more");
    status = shape_set(&layer->output, 1, &layer->spec->units, error);
    return status == CAIRN_OK ? add_kernel_and_bias(graph, &kernel, error) : status;
}

static enum status add_conv2d(struct graph *graph, struct graph_layer *layer, struct error *error)
{
    const struct layer_spec *spec = layer->spec;
    struct shape kernel = {.rank = 4, .dim = {spec->kernel_size[0], spec->kernel_size[1], 0, spec->filters}};
    uint32_t output[3] = {0, 0, spec->filters};
    enum status status = slide_both(layer, spec->kernel_size, output, error);

    if (status != CAIRN_OK)
        return status;
    if (spec->filters == 0)
        return error_set(error, CAIRN_INVALID, "filters is 0, allowed: 1 or more");
    kernel.dim[2] = layer->input.dim[2];
    status = shape_set(&layer->output, 3, output, error);
    return status == CAIRN_OK ? add_kernel_and_bias(graph, &kernel, error) : status;
}

static enum status add_pooling(struct graph *graph, struct graph_layer *layer, struct error *error)
{
    uint32_t output[3] = {0, 0, 0};
    enum status status = slide_both(layer, layer->spec->pool_size, output, error);

    (void)graph;
    output[2] = layer->input.dim[2];
    return status == CAIRN_OK ? shape_set(&layer->output, 3, output, error) : status;
}

static enum status add_flatten(struct graph *graph, struct graph_layer *layer, struct error *error)
{
    uint32_t elements = (uint32_t)shape_elements(&layer->input);

    (void)graph;
    return shape_set(&layer->output, 1, &elements, error);
}

static enum status add_dropout(struct graph *graph, struct graph_layer *layer, struct error *error)
{
    float rate = layer->spec->rate;

    (void)graph;
    layer->output = layer->input;
    if (!(rate >= 0.0f && rate < 1.0f))
        return error_set(error, CAIRN_INVALID, "rate is %g, allowed: 0 or more and less than 1",
                         (double)rate);
    return CAIRN_OK;
}

static enum status add_activation(struct graph *graph, struct graph_layer *layer, struct error *error)
{
    (void)graph;
    (void)error;
    layer->output = layer->input;
    return CAIRN_OK;
}

/* Sets the output shape of a layer whose input is set, and adds its parameters. */
static enum status (*const add_layer_of[LAYER_TYPE_COUNT])(struct graph *, struct graph_layer *,
                                                           struct error *) = {
    [LAYER_DENSE] = add_dense,           [LAYER_CONV2D] = add_conv2d,
    [LAYER_MAX_POOLING2D] = add_pooling, [LAYER_AVERAGE_POOLING2D] = add_pooling,
    [LAYER_FLATTEN] = add_flatten,       [LAYER_DROPOUT] = add_dropout,
    [LAYER_ACTIVATION] = add_activation,
};

/* A name goes into file formats as a path's part, so no '/' and nothing invisible. */
static enum status check_name(const struct graph *graph, const struct layer_spec *spec, struct error *error)
{
    if (memchr(spec->name, '\0', sizeof(spec->name)) == NULL || spec->name[0] == '\0')
        return error_set(error, CAIRN_INVALID, "layer %u: its name is empty or longer than %d bytes",
                         graph->layer_count, MODEL_NAME_MAX - 1);
    for (const char *c = spec->name; *c != '\0'; c++) {
        if (*c == '/' || *c == '"' || *c == '\\' || (unsigned char)*c <= ' ' || (unsigned char)*c >= 127)
            return error_set(error, CAIRN_INVALID,
                             "layer %u: its name has a character that is not allowed: letters, digits, "
                             "_ - . and other plain signs",
                             graph->layer_count);
    }
    for (uint32_t i = 0; i < graph->layer_count; i++) {
        if (strcmp(graph->layers[i].spec->name, spec->name) == 0)
            return error_set(error, CAIRN_INVALID,
                             "layer %s: layer %u has that name already, allowed: a name once", spec->name, i);
    }
    return CAIRN_OK;
}

static enum status add_layer(struct graph *graph, const struct shape *input, struct error *error)
{
    struct graph_layer *layer = &graph->layers[graph->layer_count];
    enum status status;

    layer->spec = &graph->spec->layers[graph->layer_count];
    layer->input = *input;
    layer->first_parameter = graph->parameter_count;
    layer->parameter_begin = layer->parameter_end = graph->floats;
    status = check_name(graph, layer->spec, error);
    if (status != CAIRN_OK)
        return status;
    if ((unsigned)layer->spec->type >= LAYER_TYPE_COUNT || activation_name(layer->spec->activation) == NULL ||
        initializer_name(layer->spec->kernel_initializer) == NULL ||
        initializer_name(layer->spec->bias_initializer) == NULL)
        status = error_set(error, CAIRN_INVALID, "unknown type, activation or initializer");
    else
        status = add_layer_of[layer->spec->type](graph, layer, error);
    if (status != CAIRN_OK)
        return error_prefix(error, status, "layer %s", layer->spec->name);
    graph->layer_count++;
    return CAIRN_OK;
}

/* The layer whose activation is the last thing done to the output's values, as dropout and flatten do
 * nothing to them in use. */
static const struct graph_layer *last_active_layer(const struct graph *graph)
{
    uint32_t i = graph->layer_count - 1;

    while (i > 0 &&
           (graph->layers[i].spec->type == LAYER_FLATTEN || graph->layers[i].spec->type == LAYER_DROPOUT))
        i--;
    return &graph->layers[i];
}

/* The crossentropies take logits, one row of them a sample. */
static enum status check_crossentropy(const struct graph *graph, uint32_t *bad_layer, struct error *error)
{
    const struct graph_layer *last = &graph->layers[graph->layer_count - 1];
    const struct graph_layer *active = last_active_layer(graph);
    enum activation activation = active->spec->activation;
    uint32_t units = graph->spec->loss == LOSS_SPARSE_CATEGORICAL_CROSSENTROPY ? 2 : 1;
    char text[64];

    if (activation == ACTIVATION_SOFTMAX || activation == ACTIVATION_SIGMOID) {
        *bad_layer = (uint32_t)(active - graph->layers);
        return error_set(error, CAIRN_INVALID,
                         "layer %s: %s takes logits and applies %s itself: drop activation %s here",
                         active->spec->name, loss_name(graph->spec->loss), units == 2 ? "softmax" : "sigmoid",
                         activation_name(activation));
    }
    if (last->output.rank != 1 || last->output.dim[0] < units) {
        *bad_layer = graph->layer_count - 1;
        return error_set(
            error, CAIRN_INVALID, "layer %s: its output has shape %s, %s needs (units) with %u or more",
            last->spec->name, shape_text(&last->output, text), loss_name(graph->spec->loss), units);
    }
    return CAIRN_OK;
}

static enum status check_loss(const struct graph *graph, uint32_t *bad_layer, struct error *error)
{
    const struct model_spec *spec = graph->spec;

    if ((unsigned)spec->loss >= LOSS_COUNT)
        return error_set(error, CAIRN_INVALID, "unknown loss");
    if (spec->metric_count > MODEL_METRICS_MAX)
        return error_set(error, CAIRN_INVALID, "%u metrics, allowed: at most %d", spec->metric_count,
                         MODEL_METRICS_MAX);
    for (uint32_t i = 0; i < spec->metric_count; i++) {
        if ((unsigned)spec->metrics[i] >= METRIC_COUNT)
            return error_set(error, CAIRN_INVALID, "unknown metric");
    }
    if (spec->loss == LOSS_MEAN_SQUARED_ERROR)
        return CAIRN_OK;
    return check_crossentropy(graph, bad_layer, error);
}

static void cut_into_chunks(struct graph *graph)
{
    graph->chunk_floats = placement_chunk_floats(graph->floats);
    graph->chunk_count = (uint32_t)((graph->floats + graph->chunk_floats - 1) / graph->chunk_floats);
}

static enum status build(struct graph *graph, uint32_t *bad_layer, struct error *error)
{
    struct shape shape;
    enum status status = shape_set(&shape, graph->spec->input_rank, graph->spec->input_shape, error);

    if (status != CAIRN_OK)
        return error_prefix(error, status, "input_shape");
    for (uint32_t i = 0; i < graph->spec->layer_count; i++) {
        status = add_layer(graph, &shape, error);
        if (status != CAIRN_OK) {
            *bad_layer = i;
            return status;
        }
        shape = graph->layers[i].output;
    }
    if (graph->parameter_count == 0)
        return error_set(error, CAIRN_INVALID,
                         "the model has no parameters to train: add a dense or conv2d layer");
    cut_into_chunks(graph);
    return check_loss(graph, bad_layer, error);
}

enum status graph_new(const struct model_spec *spec, struct graph **out, uint32_t *bad_layer,
                      struct error *error)
{
    struct graph *graph = NULL;
    uint32_t bad = spec->layer_count;
    enum status status;

    *out = NULL;
    if (spec->layer_count < 1 || spec->layer_count > MODEL_LAYERS_MAX) {
        status = error_set(error, CAIRN_INVALID, "%u layers, allowed: 1 to %d", spec->layer_count,
                           MODEL_LAYERS_MAX);
        goto out;
    }
    graph = calloc(1, sizeof(*graph));
    if (graph != NULL) {
        graph->spec = spec;
        graph->layers = calloc(spec->layer_count, sizeof(*graph->layers));
        graph->parameters = calloc(2 * (size_t)spec->layer_count, sizeof(*graph->parameters));
    }
    if (graph == NULL || graph->layers == NULL || graph->parameters == NULL) {
        status = error_set(error, CAIRN_NO_MEMORY, "no memory for a model of %u layers", spec->layer_count);
        goto out;
    }
    status = build(graph, &bad, error);
    if (status == CAIRN_OK) {
        *out = graph;
        graph = NULL;
    }
out:
    if (bad_layer != NULL)
        *bad_layer = bad;
    graph_free(graph);
    return status;
}

void graph_free(struct graph *graph)
{
    if (graph == NULL)
        return;
    free(graph->layers);
    free(graph->parameters);
    free(graph);
}

void graph_chunk(const struct graph *graph, uint32_t chunk, uint64_t *begin, uint64_t *end)
{
    BUG_IF(chunk >= graph->chunk_count);
    *begin = (uint64_t)chunk * graph->chunk_floats;
    *end = *begin + graph->chunk_floats;
    if (*end > graph->floats)
        *end = graph->floats;
}

/* The first chunk that does not begin before a float. */
static uint32_t chunk_from(const struct graph *graph, uint64_t position)
{
    return (uint32_t)((position + graph->chunk_floats - 1) / graph->chunk_floats);
}

void graph_layer_chunks(const struct graph *graph, uint32_t layer, uint32_t *first, uint32_t *end)
{
    *first = chunk_from(graph, graph->layers[layer].parameter_begin);
    *end = chunk_from(graph, graph->layers[layer].parameter_end);
}

void graph_hash(const struct graph *graph, const float *weights, char text[65])
{
    struct hash hash;

    hash_init(&hash);
    for (uint32_t i = 0; i < graph->parameter_count; i++) {
        const struct graph_parameter *parameter = &graph->parameters[i];

        hash_update(&hash, parameter->name, strlen(parameter->name) + 1);
        hash_update(&hash, &parameter->shape.rank, sizeof(parameter->shape.rank));
        hash_update(&hash, parameter->shape.dim, parameter->shape.rank * sizeof(parameter->shape.dim[0]));
        hash_update(&hash, weights + parameter->offset, parameter->elements * sizeof(*weights));
    }
    hash_text(&hash, text);
}
