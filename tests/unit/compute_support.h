/* What the tests of backends, layers and plans share: random tensors, how far two are apart, small models. */
#ifndef CAIRN_TESTS_COMPUTE_SUPPORT_H
#define CAIRN_TESTS_COMPUTE_SUPPORT_H

#include "compute/compute.h"
#include "math/philox.h"
#include "model/graph.h"
#include "model/plan.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static struct error support_error;

#define OK(call) ck_assert_msg((call) == CAIRN_OK, "%s: %s", #call, support_error.message)

/* count floats, zero. The caller frees. */
static inline float *new_floats(uint64_t count)
{
    float *floats = host_allocate(count * sizeof(float));

    ck_assert_ptr_nonnull(floats);
    return floats;
}

/* count floats in [-1, 1), a function of the seed. The caller frees. */
static inline float *new_random(uint64_t count, uint32_t seed)
{
    struct philox philox = philox_for(seed, PHILOX_SYNTHETIC_DATA);
    float *floats = new_floats(count);

    for (uint64_t i = 0; i < count; i++) {
        uint32_t counter[4] = {(uint32_t)i}, words[4];

        philox_words(philox, counter, words);
        floats[i] = 2 * philox_unit_float(words[0]) - 1;
    }
    return floats;
}

/* The largest difference, relative to the largest expected value. */
static inline double normalised_error(const float *expected, const float *got, uint64_t count)
{
    double largest = 1e-30, difference = 0;

    for (uint64_t i = 0; i < count; i++) {
        largest = fmax(largest, fabs((double)expected[i]));
        difference = fmax(difference, fabs((double)expected[i] - got[i]));
        if (isnan(got[i]))
            return INFINITY;
    }
    return difference / largest;
}

/* The layers of a test model, completed with what their type needs. */
static inline struct layer_spec conv2d_layer(uint32_t filters, uint32_t size, enum activation activation)
{
    return (struct layer_spec){.type = LAYER_CONV2D,
                               .filters = filters,
                               .kernel_size = {size, size},
                               .strides = {1, 1},
                               .activation = activation,
                               .use_bias = true};
}

static inline struct layer_spec dense_layer(uint32_t units, enum activation activation)
{
    return (struct layer_spec){
        .type = LAYER_DENSE, .units = units, .activation = activation, .use_bias = true};
}

static inline struct layer_spec pooling_layer(enum layer_type type, uint32_t size, uint32_t stride)
{
    return (struct layer_spec){.type = type, .pool_size = {size, size}, .strides = {stride, stride}};
}

static inline struct layer_spec dropout_layer(float rate)
{
    return (struct layer_spec){.type = LAYER_DROPOUT, .rate = rate};
}

/* A model with random weights, and inputs and targets for it. */
struct model {
    struct model_spec spec;
    struct layer_spec layers[16];
    struct graph *graph;
    uint32_t samples;
    uint64_t output_elements;
    float *weights, *gradients, *inputs, *float_targets;
    int32_t *classes;
    double metrics[2];
};

static inline void model_init(struct model *model, const uint32_t input[3], const struct layer_spec *layers,
                              uint32_t layer_count, enum loss loss)
{
    uint64_t inputs;

    memset(model, 0, sizeof(*model));
    memcpy(model->layers, layers, layer_count * sizeof(*layers));
    model->spec = (struct model_spec){.input_rank = 3,
                                      .layer_count = layer_count,
                                      .layers = model->layers,
                                      .loss = loss,
                                      .metric_count = 1,
                                      .metrics = {METRIC_ACCURACY}};
    memcpy(model->spec.input_shape, input, 3 * sizeof(*input));
    model_spec_name_layers(&model->spec);
    OK(graph_new(&model->spec, &model->graph, NULL, &support_error));
    model->samples = 4;
    inputs = model->samples * shape_elements(&model->graph->layers[0].input);
    model->output_elements = shape_elements(&model->graph->layers[layer_count - 1].output);
    model->weights = new_floats(model->graph->floats);
    model->gradients = new_floats(model->graph->floats);
    graph_initial_values(model->graph, 7, 0, model->graph->floats, model->weights);
    model->inputs = new_random(inputs, 11);
    model->float_targets = new_random(model->samples * model->output_elements, 13);
    model->classes = host_allocate(model->samples * sizeof(int32_t));
    for (uint32_t i = 0; i < model->samples; i++)
        model->classes[i] = (int32_t)(i * 7 % model->output_elements);
    for (uint64_t i = 0; i < model->samples * model->output_elements && loss == LOSS_BINARY_CROSSENTROPY; i++)
        model->float_targets[i] = model->float_targets[i] > 0;
    /* biases are zero at first: make them count */
    for (uint32_t i = 0; i < model->graph->parameter_count; i++) {
        const struct graph_parameter *parameter = &model->graph->parameters[i];
        float *random = new_random(parameter->elements, 100 + i);

        for (uint64_t j = 0; j < parameter->elements && parameter->shape.rank == 1; j++)
            model->weights[parameter->offset + j] = 0.3f * random[j];
        free(random);
    }
}

static inline void model_fini(struct model *model)
{
    graph_free(model->graph);
    free(model->weights);
    free(model->gradients);
    free(model->inputs);
    free(model->float_targets);
    free(model->classes);
}

static inline struct plan_run model_run(struct model *model)
{
    return (struct plan_run){.weights = model->weights,
                             .inputs = model->inputs,
                             .targets = model->spec.loss == LOSS_SPARSE_CATEGORICAL_CROSSENTROPY
                                            ? (const void *)model->classes
                                            : (const void *)model->float_targets,
                             .seed = 3,
                             .step = 5,
                             .first_sample = 64,
                             .gradients = model->gradients,
                             .metrics = model->metrics};
}

#endif
