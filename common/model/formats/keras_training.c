/* keras_json.h, the loss and the metrics. Cairn's crossentropies take logits, Keras's take probabilities
 * unless from_logits is set: a final softmax or sigmoid and its crossentropy become logits and the same
 * crossentropy. */
#include "model/formats/keras_json.h"

#include <string.h>

struct loss_row {
    const char *name; /* as keras_json_same_name wants it */
    enum loss loss;
    enum activation activation; /* that gives its probabilities; linear: it takes values */
};

static const struct loss_row losses[] = {
    {"sparse_categorical_crossentropy", LOSS_SPARSE_CATEGORICAL_CROSSENTROPY, ACTIVATION_SOFTMAX},
    /* The same function of the same outputs; only its labels are written as vectors. */
    {"categorical_crossentropy", LOSS_SPARSE_CATEGORICAL_CROSSENTROPY, ACTIVATION_SOFTMAX},
    {"binary_crossentropy", LOSS_BINARY_CROSSENTROPY, ACTIVATION_SIGMOID},
    {"mean_squared_error", LOSS_MEAN_SQUARED_ERROR, ACTIVATION_LINEAR},
    {"mse", LOSS_MEAN_SQUARED_ERROR, ACTIVATION_LINEAR},
};
#define LOSS_ROWS (sizeof losses / sizeof losses[0])

/* The last layer that does something to values, as dropout and flatten do not when the model is used. */
static struct layer_spec *last_active(struct model_spec *spec)
{
    uint32_t i = spec->layer_count - 1;

    while (i > 0 && (spec->layers[i].type == LAYER_FLATTEN || spec->layers[i].type == LAYER_DROPOUT))
        i--;
    return &spec->layers[i];
}

static enum status apply_loss(const struct loss_row *row, bool from_logits, struct model_spec *spec,
                              struct error *error)
{
    struct layer_spec *last = last_active(spec);

    spec->loss = row->loss;
    if (row->activation == ACTIVATION_LINEAR)
        return CAIRN_OK;
    if (from_logits && last->activation != row->activation)
        return CAIRN_OK;
    if (from_logits)
        return error_set(error, CAIRN_UNSUPPORTED, "%s from_logits after activation %s of layer %s",
                         row->name, activation_name(last->activation), last->name);
    if (last->activation != row->activation)
        return error_set(error, CAIRN_UNSUPPORTED,
                         "%s of probabilities, but layer %s has activation %s, not %s", row->name, last->name,
                         activation_name(last->activation), activation_name(row->activation));
    last->activation = ACTIVATION_LINEAR;
    return CAIRN_OK;
}

static enum status read_loss(const json_t *loss, struct model_spec *spec, struct error *error)
{
    const json_t *config;
    const char *name;

    if (json_is_array(loss) && json_array_size(loss) == 1)
        loss = json_array_get(loss, 0);
    config = json_object_get(loss, "config");
    name = json_is_object(loss) ? keras_json_class(loss) : json_string_value(loss);
    /* A function that was serialised as an object: its config is its name. */
    if (json_is_string(config))
        name = json_string_value(config);
    if (name == NULL)
        return error_set(error, CAIRN_UNSUPPORTED, "its loss is not one loss with a name");
    for (size_t i = 0; i < LOSS_ROWS; i++)
        if (keras_json_same_name(name, losses[i].name))
            return apply_loss(&losses[i], json_is_true(json_object_get(config, "from_logits")), spec, error);
    return error_set(error, CAIRN_UNSUPPORTED, "loss '%.60s' is not one that Cairn has", name);
}

/* Whether accuracy is named anywhere in Keras's nested lists and objects of metrics; deep nesting ends it. */
static bool has_accuracy(const json_t *metrics, int depth)
{
    const json_t *member;
    const char *key;
    size_t i;

    if (json_is_string(metrics)) {
        const char *name = json_string_value(metrics);

        return strcmp(name, "acc") == 0 || keras_json_same_name(name, "accuracy") ||
               keras_json_same_name(name, "sparse_categorical_accuracy") ||
               keras_json_same_name(name, "categorical_accuracy") ||
               keras_json_same_name(name, "binary_accuracy");
    }
    if (depth == 0)
        return false;
    json_array_foreach(metrics, i, member) if (has_accuracy(member, depth - 1)) return true;
    json_object_foreach((json_t *)metrics, key, member) if (has_accuracy(member, depth - 1)) return true;
    return false;
}

static void set_accuracy(struct model_spec *spec)
{
    spec->metrics[0] = METRIC_ACCURACY;
    spec->metric_count = 1;
}

/* Without training_config: the loss that goes with the last layer. */
static enum status assume_loss(struct model_spec *spec, struct error *error)
{
    enum activation activation = last_active(spec)->activation;

    for (size_t i = 0; i < LOSS_ROWS; i++) {
        if (activation == losses[i].activation && activation != ACTIVATION_LINEAR) {
            set_accuracy(spec);
            return apply_loss(&losses[i], false, spec, error);
        }
    }
    spec->loss = LOSS_MEAN_SQUARED_ERROR;
    return CAIRN_OK;
}

enum status keras_training_read(const json_t *training, struct model_spec *spec, struct error *error)
{
    if (training == NULL)
        return assume_loss(spec, error);
    if (has_accuracy(json_object_get(training, "metrics"), 6))
        set_accuracy(spec);
    return read_loss(json_object_get(training, "loss"), spec, error);
}
