/* keras_config.h, writing: a spec becomes Keras's JSON. */
#include "model/formats/keras_config.h"

#include <ctype.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

static const char *const initializer_classes[INITIALIZER_COUNT] = {
    [INITIALIZER_GLOROT_UNIFORM] = "GlorotUniform",
    [INITIALIZER_GLOROT_NORMAL] = "GlorotNormal",
    [INITIALIZER_HE_UNIFORM] = "HeUniform",
    [INITIALIZER_HE_NORMAL] = "HeNormal",
    [INITIALIZER_LECUN_UNIFORM] = "LecunUniform",
    [INITIALIZER_LECUN_NORMAL] = "LecunNormal",
    [INITIALIZER_RANDOM_UNIFORM] = "RandomUniform",
    [INITIALIZER_RANDOM_NORMAL] = "RandomNormal",
    [INITIALIZER_TRUNCATED_NORMAL] = "TruncatedNormal",
    [INITIALIZER_ZEROS] = "Zeros",
    [INITIALIZER_ONES] = "Ones",
};

static json_t *initializer_json(enum initializer initializer)
{
    const char *class = initializer_classes[initializer];

    switch (initializer) {
    case INITIALIZER_ZEROS:
    case INITIALIZER_ONES:
        return json_pack("{s:s, s:{}}", "class_name", class, "config");
    case INITIALIZER_RANDOM_UNIFORM:
        return json_pack("{s:s, s:{s:f, s:f, s:n}}", "class_name", class, "config", "minval", -0.05, "maxval",
                         0.05, "seed");
    case INITIALIZER_RANDOM_NORMAL:
    case INITIALIZER_TRUNCATED_NORMAL:
        return json_pack("{s:s, s:{s:f, s:f, s:n}}", "class_name", class, "config", "mean", 0.0, "stddev",
                         0.05, "seed");
    default:
        return json_pack("{s:s, s:{s:n}}", "class_name", class, "config", "seed");
    }
}

/* Takes two objects and gives one with the members of both; NULL when either is or memory ran out. */
static json_t *merged(json_t *object, json_t *more)
{
    if (json_object_update_new(object, more) == 0)
        return object;
    json_decref(object);
    return NULL;
}

/* Takes `config` and gives it with kernel and bias arguments, NULL when anything failed. */
static json_t *with_weights(json_t *config, const struct layer_spec *layer)
{
    json_t *more =
        json_pack("{s:s, s:b, s:o, s:o}", "activation", activation_name(layer->activation), "use_bias",
                  (int)layer->use_bias, "kernel_initializer", initializer_json(layer->kernel_initializer),
                  "bias_initializer", initializer_json(layer->bias_initializer));

    return merged(config, more);
}

static json_t *pair_json(const uint32_t pair[2])
{
    return json_pack("[I, I]", (json_int_t)pair[0], (json_int_t)pair[1]);
}

/* The arguments that the layer's type has; NULL: out of memory. */
static json_t *arguments_json(const struct layer_spec *layer)
{
    static const uint32_t one[2] = {1, 1};

    switch (layer->type) {
    case LAYER_DENSE:
        return with_weights(json_pack("{s:I}", "units", (json_int_t)layer->units), layer);
    case LAYER_CONV2D:
        return with_weights(json_pack("{s:I, s:o, s:o, s:s, s:s, s:o}", "filters", (json_int_t)layer->filters,
                                      "kernel_size", pair_json(layer->kernel_size), "strides",
                                      pair_json(layer->strides), "padding", padding_name(layer->padding),
                                      "data_format", "channels_last", "dilation_rate", pair_json(one)),
                            layer);
    case LAYER_MAX_POOLING2D:
    case LAYER_AVERAGE_POOLING2D:
        return json_pack("{s:o, s:o, s:s, s:s}", "pool_size", pair_json(layer->pool_size), "strides",
                         pair_json(layer->strides), "padding", padding_name(layer->padding), "data_format",
                         "channels_last");
    case LAYER_FLATTEN:
        return json_pack("{s:s}", "data_format", "channels_last");
    case LAYER_DROPOUT:
        return json_pack("{s:f, s:n, s:n}", "rate", (double)layer->rate, "noise_shape", "seed");
    case LAYER_ACTIVATION:
        return json_pack("{s:s}", "activation", activation_name(layer->activation));
    case LAYER_TYPE_COUNT:
        break;
    }
    BUG("a layer of an unknown type in a graph");
}

static json_t *layer_json(const struct layer_spec *layer)
{
    json_t *config = json_pack("{s:s, s:b, s:s}", "name", layer->name, "trainable", 1, "dtype", "float32");
    json_t *arguments = arguments_json(layer);

    return json_pack("{s:s, s:o}", "class_name", layer_class_name(layer->type), "config",
                     merged(config, arguments));
}

/* "input", or with a number when a layer is called so already. */
static void input_name(const struct model_spec *spec, char name[MODEL_NAME_MAX])
{
    uint32_t number = 0;
    bool taken = true;

    snprintf(name, MODEL_NAME_MAX, "input");
    while (taken) {
        taken = false;
        for (uint32_t i = 0; i < spec->layer_count && !taken; i++)
            taken = strcmp(spec->layers[i].name, name) == 0;
        if (taken)
            snprintf(name, MODEL_NAME_MAX, "input_%u", ++number);
    }
}

static json_t *input_json(const struct model_spec *spec)
{
    char name[MODEL_NAME_MAX];
    json_t *shape = json_pack("[n]");

    for (uint32_t i = 0; i < spec->input_rank; i++) {
        if (json_array_append_new(shape, json_integer(spec->input_shape[i])) != 0) {
            json_decref(shape);
            return NULL;
        }
    }
    input_name(spec, name);
    return json_pack("{s:s, s:{s:o, s:s, s:b, s:s}}", "class_name", "InputLayer", "config",
                     "batch_input_shape", shape, "dtype", "float32", "sparse", 0, "name", name);
}

static char *dump(json_t *json)
{
    char *text = json != NULL ? json_dumps(json, JSON_COMPACT) : NULL;

    json_decref(json);
    return text;
}

char *keras_model_config(const struct graph *graph, const char *model_name)
{
    /* TensorFlow's scopes, which carry the name, must begin with one of these. */
    const char *name = isalnum((unsigned char)model_name[0]) ? model_name : "model";
    json_t *layers = json_array();

    if (json_array_append_new(layers, input_json(graph->spec)) != 0)
        goto failed;
    for (uint32_t i = 0; i < graph->layer_count; i++)
        if (json_array_append_new(layers, layer_json(graph->layers[i].spec)) != 0)
            goto failed;
    return dump(json_pack("{s:s, s:{s:s, s:o}}", "class_name", "Sequential", "config", "name", name, "layers",
                          layers));
failed:
    json_decref(layers);
    return NULL;
}

static json_t *argument_json(const struct h5_argument *argument)
{
    if (argument->kind == H5_BOOLEAN)
        return json_boolean(argument->number != 0);
    return argument->kind == H5_WHOLE ? json_integer((json_int_t)argument->number)
                                      : json_real(argument->number);
}

/* Adds an object's arguments to `config`; false: out of memory. */
static bool add_arguments(json_t *config, const struct h5_object *object)
{
    for (uint32_t i = 0; i < object->argument_count; i++) {
        if (json_object_set_new(config, object->arguments[i].name, argument_json(&object->arguments[i])) != 0)
            return false;
    }
    return true;
}

/* Adds the two lists of PiecewiseConstantDecay to `config`; false: out of memory. */
static bool add_lists(json_t *config, const struct h5_training *training)
{
    json_t *boundaries = json_array(), *values = json_array();
    bool added = true;

    for (uint32_t i = 0; added && i < training->boundaries_count; i++)
        added = json_array_append_new(boundaries, json_integer((json_int_t)training->boundaries[i])) == 0;
    for (uint32_t i = 0; added && i < training->values_count; i++)
        added = json_array_append_new(values, json_real(training->values[i])) == 0;
    added = added && json_object_set(config, "boundaries", boundaries) == 0 &&
            json_object_set(config, "values", values) == 0;
    json_decref(boundaries);
    json_decref(values);
    return added;
}

static json_t *learning_rate_json(const struct h5_training *training)
{
    const struct h5_object *schedule = &training->schedule;
    json_t *config;

    if (schedule->class_name == NULL)
        return json_real(training->learning_rate);
    config = json_pack("{s:s}", "name", schedule->class_name);
    if (config != NULL && add_arguments(config, schedule) &&
        (training->values_count == 0 || add_lists(config, training)))
        return json_pack("{s:s, s:s, s:o, s:n}", "module", "keras.optimizers.schedules", "class_name",
                         schedule->class_name, "config", config, "registered_name");
    json_decref(config);
    return NULL;
}

/* Keras 3 (3.15) forgot Lamb in the list by which it reads such files, its own too. For a class that is not
 * in the list it takes the optimizer that config's name names: then the model at least opens, compiled with
 * Adam. With custom_objects={"Lamb": keras.optimizers.Lamb} it is read as what it is. */
static const char *optimizer_config_name(const struct h5_object *optimizer)
{
    return strcmp(optimizer->class_name, "Lamb") == 0 ? "adam" : optimizer->class_name;
}

static json_t *optimizer_json(const struct h5_training *training)
{
    const struct h5_object *optimizer = &training->optimizer;
    json_t *config = json_pack("{s:s, s:o}", "name", optimizer_config_name(optimizer), "learning_rate",
                               learning_rate_json(training));

    if (config != NULL && add_arguments(config, optimizer))
        return json_pack("{s:s, s:o}", "class_name", optimizer->class_name, "config", config);
    json_decref(config);
    return NULL;
}

static json_t *loss_json(enum loss loss)
{
    static const char *const classes[LOSS_COUNT] = {
        [LOSS_SPARSE_CATEGORICAL_CROSSENTROPY] = "SparseCategoricalCrossentropy",
        [LOSS_MEAN_SQUARED_ERROR] = "MeanSquaredError",
        [LOSS_BINARY_CROSSENTROPY] = "BinaryCrossentropy",
    };
    const char *reduction = "sum_over_batch_size";

    if (loss == LOSS_MEAN_SQUARED_ERROR)
        return json_pack("{s:s, s:{s:s, s:s}}", "class_name", classes[loss], "config", "name",
                         loss_name(loss), "reduction", reduction);
    return json_pack("{s:s, s:{s:s, s:s, s:b}}", "class_name", classes[loss], "config", "name",
                     loss_name(loss), "reduction", reduction, "from_logits", 1);
}

char *keras_training_config(const struct model_spec *spec, const struct h5_training *training)
{
    json_t *metrics = json_array();

    for (uint32_t i = 0; i < spec->metric_count; i++) {
        if (json_array_append_new(metrics, json_string(metric_name(spec->metrics[i]))) != 0) {
            json_decref(metrics);
            return NULL;
        }
    }
    return dump(json_pack("{s:o, s:o, s:n, s:n, s:o}", "loss", loss_json(spec->loss), "metrics", metrics,
                          "weighted_metrics", "loss_weights", "optimizer_config", optimizer_json(training)));
}
