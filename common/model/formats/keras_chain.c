/* keras_json.h, the order of layers. A Sequential's is the order of its list. In a functional model each
 * layer names the layers that it takes from; a chain is followed from the one input layer to the one output.
 */
#include "model/formats/keras_json.h"

#include <string.h>

/* The model's list of layers; a Sequential of old files is the bare list. */
static const json_t *layer_list(const json_t *model)
{
    const json_t *config = json_object_get(model, "config");

    return json_is_array(config) ? config : json_object_get(config, "layers");
}

static const char *layer_name(const json_t *layer)
{
    const char *name = json_string_value(json_object_get(layer, "name"));

    return name != NULL ? name : json_string_value(json_object_get(json_object_get(layer, "config"), "name"));
}

static bool is_input(const json_t *layer)
{
    return strcmp(keras_json_class(layer), "InputLayer") == 0;
}

/* The input shape in a layer's config: batch_shape in Keras 3, batch_input_shape before; NULL: neither. */
static const json_t *shape_of(const json_t *layer)
{
    const json_t *config = json_object_get(layer, "config");
    const json_t *shape = json_object_get(config, "batch_shape");

    return shape != NULL ? shape : json_object_get(config, "batch_input_shape");
}

static enum status sequential(const json_t *model, struct keras_chain *chain, struct error *error)
{
    const json_t *list = layer_list(model);
    size_t first = is_input(json_array_get(list, 0)) ? 1 : 0;
    size_t size = json_array_size(list);

    if (size <= first || size - first > MODEL_LAYERS_MAX)
        return error_set(error, CAIRN_UNSUPPORTED, "a list of 1 to %d layers is needed", MODEL_LAYERS_MAX);
    chain->input_shape = shape_of(json_array_get(list, 0));
    if (chain->input_shape == NULL)
        chain->input_shape = json_object_get(json_object_get(model, "config"), "build_input_shape");
    chain->count = (uint32_t)(size - first);
    for (uint32_t i = 0; i < chain->count; i++)
        chain->layers[i] = json_array_get(list, first + i);
    return CAIRN_OK;
}

/* The layer that a Keras 3 node takes from: args are one tensor with its history. */
static const json_t *keras_3_source(const json_t *node)
{
    const json_t *args = json_object_get(node, "args");
    const json_t *history =
        json_object_get(json_object_get(json_array_get(args, 0), "config"), "keras_history");

    return json_array_size(args) == 1 ? json_array_get(history, 0) : NULL;
}

/* The name of the one layer that `layer` takes from; NULL: it takes from none, or several, or is used twice.
 */
static const char *source_name(const json_t *layer)
{
    const json_t *nodes = json_object_get(layer, "inbound_nodes");
    const json_t *node = json_array_get(nodes, 0);

    if (json_array_size(nodes) != 1)
        return NULL;
    if (json_is_object(node))
        return json_string_value(keras_3_source(node));
    if (json_array_size(node) != 1) /* Keras 2: [[name, 0, 0, {}]] */
        return NULL;
    return json_string_value(json_array_get(json_array_get(node, 0), 0));
}

/* The one input layer; NULL: there is not exactly one. */
static const json_t *find_input(const json_t *list)
{
    const json_t *found = NULL, *layer;
    size_t i;

    json_array_foreach(list, i, layer)
    {
        if (!is_input(layer))
            continue;
        if (found != NULL)
            return NULL;
        found = layer;
    }
    return found;
}

/* The one layer that takes from `name`; *several: there are more. */
static const json_t *find_next(const json_t *list, const char *name, bool *several)
{
    const json_t *found = NULL, *layer;
    size_t i;

    json_array_foreach(list, i, layer)
    {
        const char *source = source_name(layer);

        if (source == NULL || strcmp(source, name) != 0)
            continue;
        *several = found != NULL;
        if (*several)
            break;
        found = layer;
    }
    return found;
}

/* The name of the one output: [[name, 0, 0]], or [name, 0, 0] in Keras 3; NULL: there are several. */
static const char *output_name(const json_t *model)
{
    const json_t *outputs = json_object_get(json_object_get(model, "config"), "output_layers");
    const json_t *first = json_array_get(outputs, 0);

    if (json_is_array(first) && json_array_size(outputs) == 1)
        first = json_array_get(first, 0);
    return json_string_value(first);
}

static enum status functional(const json_t *model, struct keras_chain *chain, struct error *error)
{
    const json_t *list = layer_list(model);
    const json_t *layer = find_input(list);
    const char *output = output_name(model), *name = NULL;
    bool several = false;

    if (layer == NULL || output == NULL)
        return error_set(error, CAIRN_UNSUPPORTED, "a model with one input layer and one output is needed");
    chain->input_shape = shape_of(layer);
    for (;;) {
        name = layer_name(layer);
        if (name == NULL)
            return error_set(error, CAIRN_INVALID, "a layer has no name");
        layer = find_next(list, name, &several);
        if (several)
            return error_set(error, CAIRN_UNSUPPORTED,
                             "layer %.60s goes to several layers; only chains are supported", name);
        if (layer == NULL)
            break;
        if (chain->count == MODEL_LAYERS_MAX)
            return error_set(error, CAIRN_UNSUPPORTED, "more than %d layers", MODEL_LAYERS_MAX);
        chain->layers[chain->count++] = layer;
    }
    if (chain->count == 0 || chain->count + 1 != json_array_size(list) || strcmp(name, output) != 0)
        return error_set(
            error, CAIRN_UNSUPPORTED,
            "its layers are not one chain from the input (%u of %zu are); only chains are supported",
            chain->count + 1, json_array_size(list));
    return CAIRN_OK;
}

enum status keras_chain_read(const json_t *model, struct keras_chain *chain, struct error *error)
{
    const char *class = keras_json_class(model);

    memset(chain, 0, sizeof *chain);
    if (!json_is_array(layer_list(model)))
        return error_set(error, CAIRN_INVALID, "no list of layers");
    if (strcmp(class, "Sequential") == 0)
        return sequential(model, chain, error);
    if (strcmp(class, "Functional") == 0 || strcmp(class, "Model") == 0)
        return functional(model, chain, error);
    return error_set(error, CAIRN_UNSUPPORTED,
                     "a model of class '%.40s'; Sequential and functional ones are supported", class);
}
