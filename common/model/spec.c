/* The names of what a model is made of, in Keras's spelling, and the names that layers get when their author
 * gives none. Knows nothing of shapes. */
#include "model/spec.h"

#include <stdio.h>

#define NAME_FUNCTION(function, type, list)                                                                  \
    const char *function(enum type number)                                                                   \
    {                                                                                                        \
        static const char *const names[] = {list(NAME_ROW)};                                                 \
                                                                                                             \
        return (unsigned)number < sizeof(names) / sizeof(names[0]) ? names[number] : NULL;                   \
    }
#define NAME_ROW(name, text) text,

NAME_FUNCTION(layer_type_name, layer_type, LAYER_TYPE_LIST)
NAME_FUNCTION(activation_name, activation, ACTIVATION_LIST)
NAME_FUNCTION(padding_name, padding, PADDING_LIST)
NAME_FUNCTION(initializer_name, initializer, INITIALIZER_LIST)
NAME_FUNCTION(loss_name, loss, LOSS_LIST)
NAME_FUNCTION(metric_name, metric, METRIC_LIST)

const char *layer_class_name(enum layer_type type)
{
    static const char *const names[LAYER_TYPE_COUNT] = {
        [LAYER_DENSE] = "Dense",
        [LAYER_CONV2D] = "Conv2D",
        [LAYER_MAX_POOLING2D] = "MaxPooling2D",
        [LAYER_AVERAGE_POOLING2D] = "AveragePooling2D",
        [LAYER_FLATTEN] = "Flatten",
        [LAYER_DROPOUT] = "Dropout",
        [LAYER_ACTIVATION] = "Activation",
    };

    return (unsigned)type < LAYER_TYPE_COUNT ? names[type] : NULL;
}

void model_spec_name_layers(struct model_spec *spec)
{
    uint32_t seen[LAYER_TYPE_COUNT] = {0};

    for (uint32_t i = 0; i < spec->layer_count; i++) {
        struct layer_spec *layer = &spec->layers[i];
        uint32_t number;

        if (layer->name[0] != '\0')
            continue;
        number = seen[layer->type]++;
        if (number == 0)
            snprintf(layer->name, sizeof(layer->name), "%s", layer_type_name(layer->type));
        else
            snprintf(layer->name, sizeof(layer->name), "%s_%u", layer_type_name(layer->type), number);
    }
}
