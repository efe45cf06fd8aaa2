/* keras_config.h, reading: foreign JSON becomes a spec. Every member is checked for its kind and range; what
 * Cairn does not have is refused by name, and what does not change the trained model (regularizers,
 * initializers' arguments, dtypes' wrappers) is passed over. */
#include "model/formats/keras_config.h"

#include "model/formats/keras_json.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define X(name, text) text,
static const char *const activation_names[] = {ACTIVATION_LIST(X)};
static const char *const padding_names[] = {PADDING_LIST(X)};
static const char *const initializer_names[] = {INITIALIZER_LIST(X)};
#undef X

/* The activation's word: a string, null for linear, or Keras 3's {"class_name": "function", "config": word}.
 */
static enum status read_activation(const json_t *config, enum activation *activation, struct error *error)
{
    const json_t *value = json_object_get(config, "activation");
    const char *word;

    if (value == NULL || json_is_null(value)) {
        *activation = ACTIVATION_LINEAR;
        return CAIRN_OK;
    }
    if (json_is_object(value))
        value = json_object_get(value, "config");
    word = json_string_value(value);
    if (word == NULL)
        return error_set(error, CAIRN_UNSUPPORTED, "its activation is not given by a name");
    for (unsigned i = 0; i < ACTIVATION_COUNT; i++) {
        if (strcmp(word, activation_names[i]) == 0) {
            *activation = i;
            return CAIRN_OK;
        }
    }
    return error_set(error, CAIRN_UNSUPPORTED, "activation '%.40s' is not one that Cairn has", word);
}

/* VarianceScaling by its arguments. */
static enum initializer variance_scaling(const json_t *config)
{
    double scale = json_number_value(json_object_get(config, "scale"));
    const char *mode = json_string_value(json_object_get(config, "mode"));
    const char *distribution = json_string_value(json_object_get(config, "distribution"));
    bool uniform = distribution == NULL || strcmp(distribution, "uniform") == 0;

    if (mode == NULL || strcmp(mode, "fan_in") != 0)
        return uniform ? INITIALIZER_GLOROT_UNIFORM : INITIALIZER_GLOROT_NORMAL;
    if (scale > 1.5)
        return uniform ? INITIALIZER_HE_UNIFORM : INITIALIZER_HE_NORMAL;
    return uniform ? INITIALIZER_LECUN_UNIFORM : INITIALIZER_LECUN_NORMAL;
}

/* The initializer nearest to what the file names. It is never drawn from, as the values come with the file,
 * so one that Cairn does not have becomes the default instead of an error. */
static enum initializer read_initializer(const json_t *config, const char *key, enum initializer fallback)
{
    const json_t *value = json_object_get(config, key);
    const char *class =
        json_string_value(json_is_object(value) ? json_object_get(value, "class_name") : value);

    if (class == NULL)
        return fallback;
    if (strcmp(class, "VarianceScaling") == 0)
        return variance_scaling(json_object_get(value, "config"));
    for (unsigned i = 0; i < INITIALIZER_COUNT; i++)
        if (keras_json_same_name(class, initializer_names[i]))
            return i;
    return fallback;
}

static enum status read_weights(const json_t *config, struct layer_spec *layer, struct error *error)
{
    const json_t *use_bias = json_object_get(config, "use_bias");

    if (use_bias != NULL && !json_is_boolean(use_bias))
        return error_set(error, CAIRN_INVALID, "use_bias is not true or false");
    layer->use_bias = use_bias == NULL || json_is_true(use_bias);
    layer->kernel_initializer = read_initializer(config, "kernel_initializer", INITIALIZER_GLOROT_UNIFORM);
    layer->bias_initializer = read_initializer(config, "bias_initializer", INITIALIZER_ZEROS);
    return read_activation(config, &layer->activation, error);
}

static enum status read_padding(const json_t *config, enum padding *padding, struct error *error)
{
    const char *word = json_string_value(json_object_get(config, "padding"));

    for (unsigned i = 0; word != NULL && i < PADDING_COUNT; i++) {
        if (strcmp(word, padding_names[i]) == 0) {
            *padding = i;
            return CAIRN_OK;
        }
    }
    return error_set(error, CAIRN_UNSUPPORTED, "padding '%.40s' is not one that Cairn has (valid, same)",
                     word != NULL ? word : "");
}

static enum status read_channels_last(const json_t *config, struct error *error)
{
    const json_t *value = json_object_get(config, "data_format");
    const char *word = json_string_value(value);

    if (value == NULL || json_is_null(value) || (word != NULL && strcmp(word, "channels_last") == 0))
        return CAIRN_OK;
    return error_set(error, CAIRN_UNSUPPORTED, "data_format is '%.40s'; Cairn has channels_last only",
                     word != NULL ? word : "");
}

static enum status read_dense(const json_t *config, struct layer_spec *layer, struct error *error)
{
    enum status status = keras_json_count(config, "units", &layer->units, error);

    return status == CAIRN_OK ? read_weights(config, layer, error) : status;
}

static enum status read_conv2d(const json_t *config, struct layer_spec *layer, struct error *error)
{
    uint32_t dilation[2] = {1, 1}, groups = 1;
    enum status status = keras_json_count(config, "filters", &layer->filters, error);

    if (status == CAIRN_OK)
        status = keras_json_pair(config, "kernel_size", layer->kernel_size, error);
    if (status == CAIRN_OK)
        status = keras_json_pair(config, "strides", layer->strides, error);
    if (status == CAIRN_OK && json_object_get(config, "dilation_rate") != NULL)
        status = keras_json_pair(config, "dilation_rate", dilation, error);
    if (status == CAIRN_OK && json_object_get(config, "groups") != NULL)
        status = keras_json_count(config, "groups", &groups, error);
    if (status == CAIRN_OK && (dilation[0] != 1 || dilation[1] != 1 || groups != 1))
        status =
            error_set(error, CAIRN_UNSUPPORTED, "dilation_rate and groups other than 1 are not supported");
    if (status == CAIRN_OK)
        status = read_padding(config, &layer->padding, error);
    if (status == CAIRN_OK)
        status = read_channels_last(config, error);
    return status == CAIRN_OK ? read_weights(config, layer, error) : status;
}

static enum status read_pooling(const json_t *config, struct layer_spec *layer, struct error *error)
{
    const json_t *strides = json_object_get(config, "strides");
    enum status status = keras_json_pair(config, "pool_size", layer->pool_size, error);

    if (status != CAIRN_OK)
        return status;
    if (strides == NULL || json_is_null(strides))
        memcpy(layer->strides, layer->pool_size, sizeof layer->strides);
    else
        status = keras_json_pair(config, "strides", layer->strides, error);
    if (status == CAIRN_OK)
        status = read_padding(config, &layer->padding, error);
    return status == CAIRN_OK ? read_channels_last(config, error) : status;
}

static enum status read_dropout(const json_t *config, struct layer_spec *layer, struct error *error)
{
    const json_t *rate = json_object_get(config, "rate");
    const json_t *noise_shape = json_object_get(config, "noise_shape");

    if (!json_is_number(rate))
        return error_set(error, CAIRN_INVALID, "rate is not a number");
    if (noise_shape != NULL && !json_is_null(noise_shape))
        return error_set(error, CAIRN_UNSUPPORTED, "noise_shape is not supported");
    layer->rate = (float)json_number_value(rate);
    return CAIRN_OK;
}

static enum status read_activation_layer(const json_t *config, struct layer_spec *layer, struct error *error)
{
    return read_activation(config, &layer->activation, error);
}

static enum status read_flatten(const json_t *config, struct layer_spec *layer, struct error *error)
{
    (void)layer;
    return read_channels_last(config, error);
}

static enum status (*const read_layer_of[LAYER_TYPE_COUNT])(const json_t *, struct layer_spec *,
                                                            struct error *) = {
    [LAYER_DENSE] = read_dense,
    [LAYER_CONV2D] = read_conv2d,
    [LAYER_MAX_POOLING2D] = read_pooling,
    [LAYER_AVERAGE_POOLING2D] = read_pooling,
    [LAYER_FLATTEN] = read_flatten,
    [LAYER_DROPOUT] = read_dropout,
    [LAYER_ACTIVATION] = read_activation_layer,
};

static enum status read_layer_type(const char *class, enum layer_type *type, struct error *error)
{
    for (unsigned i = 0; i < LAYER_TYPE_COUNT; i++) {
        if (strcmp(class, layer_class_name(i)) == 0) {
            *type = i;
            return CAIRN_OK;
        }
    }
    return error_set(error, CAIRN_UNSUPPORTED, "a layer of class %.40s, which Cairn does not have", class);
}

static enum status read_layer(const json_t *json, struct layer_spec *layer, struct error *error)
{
    const json_t *config = json_object_get(json, "config");
    const char *name = json_string_value(json_object_get(config, "name"));
    enum status status;

    if (name == NULL || name[0] == '\0' || strlen(name) >= sizeof layer->name)
        return error_set(error, CAIRN_UNSUPPORTED, "a layer without a name of 1 to %d characters",
                         MODEL_NAME_MAX - 1);
    strcpy(layer->name, name);
    status = read_layer_type(keras_json_class(json), &layer->type, error);
    if (status == CAIRN_OK)
        status = read_layer_of[layer->type](config, layer, error);
    return status == CAIRN_OK ? CAIRN_OK : error_prefix(error, status, "layer %s", name);
}

/* A shape with the batch's dimension first. */
static enum status read_input_shape(const json_t *shape, struct model_spec *spec, struct error *error)
{
    size_t rank = json_array_size(shape);

    if (rank < 2 || rank > 1 + MODEL_RANK_MAX)
        return error_set(error, CAIRN_UNSUPPORTED, "no input shape of 1 to %d dimensions (besides the batch)",
                         MODEL_RANK_MAX);
    spec->input_rank = (uint32_t)rank - 1;
    for (size_t i = 1; i < rank; i++) {
        enum status status = keras_json_whole(json_array_get(shape, i), &spec->input_shape[i - 1], error);

        if (status != CAIRN_OK)
            return error_prefix(error, status, "dimension %zu of the input shape", i);
    }
    return CAIRN_OK;
}

static enum status read_layers(const struct keras_chain *chain, struct model_spec *spec, struct error *error)
{
    enum status status = read_input_shape(chain->input_shape, spec, error);

    if (status != CAIRN_OK)
        return status;
    spec->layers = calloc(chain->count, sizeof *spec->layers);
    if (spec->layers == NULL)
        return error_set(error, CAIRN_NO_MEMORY, "out of memory");
    for (uint32_t i = 0; i < chain->count && status == CAIRN_OK; i++)
        status = read_layer(chain->layers[i], &spec->layers[i], error);
    spec->layer_count = chain->count;
    return status;
}

static enum status parse_text(struct keras_text text, const char *what, json_t **out, struct error *error)
{
    json_error_t where;

    *out = json_loadb(text.text, text.length, JSON_REJECT_DUPLICATES, &where);
    if (*out != NULL)
        return CAIRN_OK;
    return error_set(error, CAIRN_CORRUPT, "%s: not JSON: line %d: %s", what, where.line, where.text);
}

enum status keras_config_parse(struct keras_text model_config, struct keras_text training_config,
                               struct model_spec **out, struct error *error)
{
    json_t *model = NULL, *training = NULL;
    struct keras_chain chain;
    struct model_spec *spec = calloc(1, sizeof *spec);
    enum status status;

    if (spec == NULL)
        return error_set(error, CAIRN_NO_MEMORY, "out of memory");
    status = parse_text(model_config, "model_config", &model, error);
    if (status == CAIRN_OK) {
        status = keras_chain_read(model, &chain, error);
        if (status == CAIRN_OK)
            status = read_layers(&chain, spec, error);
        if (status != CAIRN_OK)
            error_prefix(error, status, "model_config");
    }
    if (status == CAIRN_OK && training_config.text != NULL)
        status = parse_text(training_config, "training_config", &training, error);
    if (status == CAIRN_OK) {
        status = keras_training_read(training, spec, error);
        if (status != CAIRN_OK)
            error_prefix(error, status, "training_config");
    }
    if (status == CAIRN_OK) {
        *out = spec;
        spec = NULL;
    } else {
        keras_json_one_line(error);
    }
    h5_spec_free(spec);
    json_decref(model);
    json_decref(training);
    return status;
}

void h5_spec_free(struct model_spec *spec)
{
    if (spec == NULL)
        return;
    free(spec->layers);
    free(spec);
}
