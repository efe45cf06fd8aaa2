/* What a model is, as its author wrote it: the `model:` section of a job file (or a Keras model_config) as
 * plain data. Names and defaults are Keras's. Knows nothing of shapes' consequences (graph.h), of YAML
 * (job/) or of computing (backend.h). */
#ifndef CAIRN_MODEL_SPEC_H
#define CAIRN_MODEL_SPEC_H

#include <stdbool.h>
#include <stdint.h>

#define MODEL_LAYERS_MAX   512
#define MODEL_RANK_MAX     4   /* dimensions of a sample */
#define MODEL_NAME_MAX     64  /* bytes of a layer's name with the end */
#define MODEL_METRICS_MAX  8

/* enum suffix, Keras's name in job files */
#define LAYER_TYPE_LIST(X)                                                                                   \
    X(DENSE, "dense")                                                                                        \
    X(CONV2D, "conv2d")                                                                                      \
    X(MAX_POOLING2D, "max_pooling2d")                                                                        \
    X(AVERAGE_POOLING2D, "average_pooling2d")                                                                \
    X(FLATTEN, "flatten")                                                                                    \
    X(DROPOUT, "dropout")                                                                                    \
    X(ACTIVATION, "activation")
#define ACTIVATION_LIST(X)                                                                                   \
    X(LINEAR, "linear")                                                                                      \
    X(RELU, "relu")                                                                                          \
    X(SIGMOID, "sigmoid")                                                                                    \
    X(TANH, "tanh")                                                                                          \
    X(SOFTMAX, "softmax")                                                                                    \
    X(GELU, "gelu")
#define PADDING_LIST(X)                                                                                      \
    X(VALID, "valid")                                                                                        \
    X(SAME, "same")
#define INITIALIZER_LIST(X)                                                                                  \
    X(GLOROT_UNIFORM, "glorot_uniform")                                                                      \
    X(GLOROT_NORMAL, "glorot_normal")                                                                        \
    X(HE_UNIFORM, "he_uniform")                                                                              \
    X(HE_NORMAL, "he_normal")                                                                                \
    X(LECUN_UNIFORM, "lecun_uniform")                                                                        \
    X(LECUN_NORMAL, "lecun_normal")                                                                          \
    X(RANDOM_UNIFORM, "random_uniform")                                                                      \
    X(RANDOM_NORMAL, "random_normal")                                                                        \
    X(TRUNCATED_NORMAL, "truncated_normal")                                                                  \
    X(ZEROS, "zeros")                                                                                        \
    X(ONES, "ones")
#define LOSS_LIST(X)                                                                                         \
    X(SPARSE_CATEGORICAL_CROSSENTROPY, "sparse_categorical_crossentropy")                                    \
    X(MEAN_SQUARED_ERROR, "mean_squared_error")                                                              \
    X(BINARY_CROSSENTROPY, "binary_crossentropy")
#define METRIC_LIST(X) X(ACCURACY, "accuracy")

#define X(name, text) LAYER_##name,
enum layer_type { LAYER_TYPE_LIST(X) LAYER_TYPE_COUNT };
#undef X
#define X(name, text) ACTIVATION_##name,
enum activation { ACTIVATION_LIST(X) ACTIVATION_COUNT };
#undef X
#define X(name, text) PADDING_##name,
enum padding { PADDING_LIST(X) PADDING_COUNT };
#undef X
#define X(name, text) INITIALIZER_##name,
enum initializer { INITIALIZER_LIST(X) INITIALIZER_COUNT };
#undef X
#define X(name, text) LOSS_##name,
enum loss { LOSS_LIST(X) LOSS_COUNT };
#undef X
#define X(name, text) METRIC_##name,
enum metric { METRIC_LIST(X) METRIC_COUNT };
#undef X

/* The names above by number; NULL for a number outside the enum. */
const char *layer_type_name(enum layer_type type);
const char *activation_name(enum activation activation);
const char *padding_name(enum padding padding);
const char *initializer_name(enum initializer initializer);
const char *loss_name(enum loss loss);
const char *metric_name(enum metric metric);

/* The class that Keras has for a layer type ("Conv2D"); NULL for a number outside the enum. */
const char *layer_class_name(enum layer_type type);

/* An initializer with Keras's arguments; those that it does not have are 0. */
struct initializer_spec {
    enum initializer type;
    double minval, maxval; /* random_uniform */
    double mean, stddev;   /* random_normal, truncated_normal (which ends two deviations from the mean) */
};

/* One layer with its arguments; those that its type does not have are 0. */
struct layer_spec {
    enum layer_type type;
    char name[MODEL_NAME_MAX];   /* given, or made as Keras makes it (dense, dense_1, ...) */
    uint32_t line;               /* in the job file, 0: not from a file */
    uint32_t units;              /* dense */
    uint32_t filters;            /* conv2d */
    uint32_t kernel_size[2];     /* conv2d: height, width */
    uint32_t pool_size[2];       /* pooling */
    uint32_t strides[2];         /* conv2d, pooling */
    enum padding padding;        /* conv2d, pooling */
    enum activation activation;  /* dense, conv2d, activation */
    bool use_bias;               /* dense, conv2d */
    enum initializer kernel_initializer, bias_initializer;
    float rate;                  /* dropout: share of inputs set to 0, in [0, 1) */
};

struct model_spec {
    uint32_t input_rank;
    uint32_t input_shape[MODEL_RANK_MAX]; /* of a sample: height, width, channels for images */
    uint32_t layer_count;
    struct layer_spec *layers;            /* owned by whoever made the spec */
    enum loss loss;                       /* on logits for the two crossentropies */
    uint32_t metric_count;
    enum metric metrics[MODEL_METRICS_MAX];
};

/* Names the layers whose name is empty as Keras does: dense, dense_1, ..., counted by type over the unnamed
 * ones. Names that its author gave may collide with them: graph_new refuses two layers of one name. Types must
 * be in range. */
void model_spec_name_layers(struct model_spec *spec);

#endif
