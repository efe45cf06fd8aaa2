/* Shapes, parameters and the address space against values that Keras gives (worked out by its formulas by
 * hand), and what graph_new refuses. */
#include "check_main.h"
#include "model/graph.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DENSE(n, ...)                                                                                        \
    {                                                                                                        \
        .type = LAYER_DENSE, .units = (n), .use_bias = true, __VA_ARGS__                                     \
    }
#define CONV(n, k, s, p)                                                                                     \
    {                                                                                                        \
        .type = LAYER_CONV2D, .filters = (n), .kernel_size = {(k), (k)}, .strides = {(s), (s)},              \
        .padding = (p), .use_bias = true                                                                     \
    }
#define POOL(k, s, p)                                                                                        \
    {                                                                                                        \
        .type = LAYER_MAX_POOLING2D, .pool_size = {(k), (k)}, .strides = {(s), (s)}, .padding = (p)          \
    }
#define DROP(r)                                                                                              \
    {                                                                                                        \
        .type = LAYER_DROPOUT, .rate = (r)                                                                   \
    }
#define FLAT                                                                                                 \
    {                                                                                                        \
        .type = LAYER_FLATTEN                                                                                \
    }

#define MODEL(layers_, loss_, ...)                                                                           \
    {                                                                                                        \
        .input_rank = sizeof((uint32_t[]){__VA_ARGS__}) / 4, .input_shape = {__VA_ARGS__},                   \
        .layer_count = sizeof(layers_) / sizeof((layers_)[0]), .layers = (layers_), .loss = (loss_)          \
    }

/* The graph of a spec that must be good. */
static struct graph *make(struct model_spec *spec)
{
    struct graph *graph;
    struct error error = {0};
    enum status status;

    model_spec_name_layers(spec);
    status = graph_new(spec, &graph, NULL, &error);
    ck_assert_msg(status == CAIRN_OK, "%s", error.message);
    return graph;
}

static void assert_shape(const struct shape *shape, uint32_t rank, uint32_t a, uint32_t b, uint32_t c)
{
    uint32_t wanted[3] = {a, b, c};

    ck_assert_uint_eq(shape->rank, rank);
    for (uint32_t i = 0; i < rank; i++)
        ck_assert_uint_eq(shape->dim[i], wanted[i]);
}

/* The network of the demo. */
static void fill_cnn(struct layer_spec layers[8])
{
    const struct layer_spec cnn[8] = {CONV(32, 3, 1, PADDING_VALID),
                                      CONV(64, 3, 1, PADDING_VALID),
                                      POOL(2, 2, PADDING_VALID),
                                      DROP(0.25f),
                                      FLAT,
                                      DENSE(128, .activation = ACTIVATION_RELU),
                                      DROP(0.5f),
                                      DENSE(10, .activation = ACTIVATION_LINEAR)};

    memcpy(layers, cnn, sizeof(cnn));
}

START_TEST(cnn_has_keras_shapes_and_counts)
{
    struct layer_spec layers[8];
    struct model_spec spec = MODEL(layers, LOSS_SPARSE_CATEGORICAL_CROSSENTROPY, 28, 28, 1);
    struct graph *graph;

    fill_cnn(layers);
    graph = make(&spec);
    assert_shape(&graph->layers[0].output, 3, 26, 26, 32);
    assert_shape(&graph->layers[1].output, 3, 24, 24, 64);
    assert_shape(&graph->layers[2].output, 3, 12, 12, 64);
    assert_shape(&graph->layers[4].output, 1, 9216, 0, 0);
    assert_shape(&graph->layers[7].output, 1, 10, 0, 0);
    ck_assert_uint_eq(graph->trainable, 1199882);
    ck_assert_uint_eq(graph->parameter_count, 8);
    ck_assert_str_eq(graph->parameters[2].name, "conv2d_1/kernel");
    ck_assert_uint_eq(graph->parameters[2].elements, 3 * 3 * 32 * 64);
    ck_assert_uint_eq(graph->parameters[2].fan_in, 9 * 32);
    ck_assert_uint_eq(graph->parameters[2].fan_out, 9 * 64);
    ck_assert_str_eq(graph->parameters[7].name, "dense_1/bias");
    ck_assert_uint_eq(graph->parameters[4].fan_in, 9216);
    ck_assert_uint_eq(graph->parameters[4].fan_out, 128);
    graph_free(graph);
}
END_TEST

/* Each chunk is of the one layer in which its first float lies. */
static void check_chunks_of_layers(const struct graph *graph)
{
    uint32_t next = 0;

    for (uint32_t i = 0; i < graph->layer_count; i++) {
        const struct graph_layer *layer = &graph->layers[i];
        uint32_t first, end;

        graph_layer_chunks(graph, i, &first, &end);
        ck_assert_uint_eq(first, next);
        for (; next < end; next++) {
            ck_assert_uint_ge((uint64_t)next * graph->chunk_floats, layer->parameter_begin);
            ck_assert_uint_lt((uint64_t)next * graph->chunk_floats, layer->parameter_end);
        }
    }
    ck_assert_uint_eq(next, graph->chunk_count);
}

START_TEST(address_space_is_aligned_and_cut_into_chunks)
{
    struct layer_spec layers[8];
    struct model_spec spec = MODEL(layers, LOSS_SPARSE_CATEGORICAL_CROSSENTROPY, 28, 28, 1);
    struct graph *graph;
    uint64_t end = 0, begin, chunk_end;

    fill_cnn(layers);
    graph = make(&spec);
    for (uint32_t i = 0; i < graph->parameter_count; i++) {
        ck_assert_uint_eq(graph->parameters[i].offset % GRAPH_ALIGNMENT, 0);
        ck_assert_uint_ge(graph->parameters[i].offset, end);
        ck_assert_uint_lt(graph->parameters[i].offset - end, GRAPH_ALIGNMENT);
        end = graph->parameters[i].offset + graph->parameters[i].elements;
    }
    ck_assert_uint_ge(graph->floats, end);
    ck_assert_uint_eq(graph->floats % GRAPH_ALIGNMENT, 0);
    ck_assert_uint_eq(graph->layers[0].parameter_begin, 0);
    ck_assert_uint_eq(graph->layers[1].parameter_begin, graph->layers[0].parameter_end);
    ck_assert_uint_eq(graph->layers[2].parameter_begin, graph->layers[2].parameter_end);
    ck_assert_uint_eq(graph->layers[7].parameter_end, graph->floats);
    ck_assert_uint_eq(graph->chunk_floats, 65536);
    ck_assert_uint_eq(graph->chunk_count, 19); /* 1199888 floats */
    for (uint32_t i = 0; i < graph->chunk_count; i++) {
        graph_chunk(graph, i, &begin, &chunk_end);
        ck_assert_uint_eq(begin, (uint64_t)i * graph->chunk_floats);
        ck_assert_uint_gt(chunk_end, begin);
    }
    ck_assert_uint_eq(chunk_end, graph->floats);
    check_chunks_of_layers(graph);
    graph_free(graph);
}
END_TEST

START_TEST(chunks_have_bounds)
{
    struct layer_spec layers[1] = {DENSE(2)};
    struct model_spec small = MODEL(layers, LOSS_MEAN_SQUARED_ERROR, 3);
    struct model_spec large = MODEL(layers, LOSS_MEAN_SQUARED_ERROR, 1 << 14);
    struct graph *graph = make(&small);

    ck_assert_uint_eq(graph->floats, 32);
    ck_assert_uint_eq(graph->chunk_floats, 16384);
    ck_assert_uint_eq(graph->chunk_count, 1);
    graph_free(graph);

    layers[0].units = 1 << 14;
    graph = make(&large);
    ck_assert_uint_eq(graph->chunk_floats, GRAPH_CHUNK_MAX);
    ck_assert_uint_eq(graph->chunk_count, 1025); /* 2^28 weights and a bias */
    graph_free(graph);
}
END_TEST

struct window {
    uint32_t input, size, stride;
    enum padding padding;
    uint32_t output, pad;
};

/* Keras: valid floor((input - size) / stride) + 1; same ceil(input / stride), the smaller half before. */
static const struct window windows[] = {
    {28, 3, 1, PADDING_VALID, 26, 0}, {28, 3, 2, PADDING_VALID, 13, 0}, {7, 7, 3, PADDING_VALID, 1, 0},
    {28, 3, 1, PADDING_SAME, 28, 1},  {28, 3, 2, PADDING_SAME, 14, 0},  {28, 2, 1, PADDING_SAME, 28, 0},
    {29, 3, 2, PADDING_SAME, 15, 1},  {28, 5, 1, PADDING_SAME, 28, 2},  {28, 5, 2, PADDING_SAME, 14, 1},
    {5, 2, 3, PADDING_SAME, 2, 0},    {4, 1, 2, PADDING_SAME, 2, 0},    {3, 9, 1, PADDING_SAME, 3, 4},
    {10, 2, 2, PADDING_SAME, 5, 0},   {11, 2, 2, PADDING_SAME, 6, 0},   {11, 3, 3, PADDING_SAME, 4, 0},
};

START_TEST(windows_slide_as_in_keras)
{
    const struct window *window = &windows[_i];
    struct layer_spec layers[2] = {CONV(4, window->size, window->stride, window->padding), FLAT};
    struct model_spec spec = MODEL(layers, LOSS_MEAN_SQUARED_ERROR, window->input, window->input, 2);
    struct graph *graph = make(&spec);

    assert_shape(&graph->layers[0].output, 3, window->output, window->output, 4);
    ck_assert_uint_eq(graph->layers[0].pad_top, window->pad);
    ck_assert_uint_eq(graph->layers[0].pad_left, window->pad);
    graph_free(graph);
}
END_TEST

START_TEST(windows_need_not_be_square)
{
    struct layer_spec layers[3] = {CONV(3, 1, 1, PADDING_SAME), POOL(1, 1, PADDING_VALID), FLAT};
    struct model_spec spec = MODEL(layers, LOSS_MEAN_SQUARED_ERROR, 20, 31, 2);
    struct graph *graph;

    layers[0].kernel_size[1] = 5;
    layers[0].strides[1] = 2;
    layers[0].use_bias = false;
    layers[1].type = LAYER_AVERAGE_POOLING2D;
    layers[1].pool_size[0] = layers[1].strides[0] = 4;
    graph = make(&spec);
    assert_shape(&graph->layers[0].output, 3, 20, 16, 3);
    ck_assert_uint_eq(graph->layers[0].pad_top, 0);
    ck_assert_uint_eq(graph->layers[0].pad_left, 2);
    assert_shape(&graph->layers[1].output, 3, 5, 16, 3);
    assert_shape(&graph->layers[2].output, 1, 240, 0, 0);
    ck_assert_uint_eq(graph->parameter_count, 1);
    ck_assert_uint_eq(graph->trainable, 1 * 5 * 2 * 3);
    graph_free(graph);
}
END_TEST

/* ---- what is refused */

/* The message for a spec that must be bad, and which layer it blames. */
static void assert_refused(struct model_spec *spec, uint32_t layer, const char *words)
{
    struct graph *graph = (struct graph *)spec;
    struct error error = {0};
    uint32_t bad_layer = 12345;

    ck_assert_int_eq(graph_new(spec, &graph, &bad_layer, &error), CAIRN_INVALID);
    ck_assert_ptr_null(graph);
    ck_assert_uint_eq(bad_layer, layer);
    ck_assert_msg(strstr(error.message, words) != NULL, "\"%s\" is not in: %s", words, error.message);
    ck_assert_int_eq(graph_new(spec, &graph, NULL, NULL), CAIRN_INVALID);
}

static const struct {
    struct layer_spec layers[3];
    enum loss loss;
    uint32_t bad_layer;
    const char *words;
} refused[] = {
    {{FLAT, DENSE(0), DENSE(2)}, LOSS_MEAN_SQUARED_ERROR, 1, "layer dense: units"},
    {{DENSE(2), FLAT, DENSE(2)}, LOSS_MEAN_SQUARED_ERROR, 0, "layer dense: its input has shape (8, 8, 3)"},
    {{FLAT, CONV(1, 1, 1, PADDING_SAME), DENSE(2)},
     LOSS_MEAN_SQUARED_ERROR,
     1,
     "layer conv2d: its input has shape (192)"},
    {{CONV(1, 9, 1, PADDING_VALID), FLAT, DENSE(2)},
     LOSS_MEAN_SQUARED_ERROR,
     0,
     "layer conv2d: a window of height 9"},
    {{CONV(0, 1, 1, PADDING_VALID), FLAT, DENSE(2)}, LOSS_MEAN_SQUARED_ERROR, 0, "layer conv2d: filters"},
    {{CONV(1, 0, 1, PADDING_VALID), FLAT, DENSE(2)},
     LOSS_MEAN_SQUARED_ERROR,
     0,
     "layer conv2d: the window is 0"},
    {{CONV(1, 1, 0, PADDING_VALID), FLAT, DENSE(2)},
     LOSS_MEAN_SQUARED_ERROR,
     0,
     "layer conv2d: strides is 0"},
    {{CONV(1, 1, 1, (enum padding)7), FLAT, DENSE(2)},
     LOSS_MEAN_SQUARED_ERROR,
     0,
     "layer conv2d: unknown padding"},
    {{CONV(INT32_MAX, 1, 1, PADDING_SAME), FLAT, DENSE(2)},
     LOSS_MEAN_SQUARED_ERROR,
     0,
     "layer conv2d: a shape of more"},
    {{CONV(4096, 65535, 1, PADDING_SAME), FLAT, DENSE(2)},
     LOSS_MEAN_SQUARED_ERROR,
     0,
     "layer conv2d: the model grows"},
    {{POOL(9, 1, PADDING_VALID), FLAT, DENSE(2)},
     LOSS_MEAN_SQUARED_ERROR,
     0,
     "layer max_pooling2d: a window"},
    {{FLAT, DROP(1.0f), DENSE(2)}, LOSS_MEAN_SQUARED_ERROR, 1, "layer dropout: rate is 1"},
    {{FLAT, DROP(-0.1f), DENSE(2)}, LOSS_MEAN_SQUARED_ERROR, 1, "layer dropout: rate"},
    {{FLAT, DROP(0.0f / 0.0f), DENSE(2)}, LOSS_MEAN_SQUARED_ERROR, 1, "layer dropout: rate"},
    {{FLAT, FLAT, FLAT}, LOSS_MEAN_SQUARED_ERROR, 3, "no parameters"},
    {{FLAT, DENSE(2, .name = "same"), DENSE(2, .name = "same")},
     LOSS_MEAN_SQUARED_ERROR,
     2,
     "layer same: layer 1 has that name"},
    {{FLAT, DENSE(2, .name = "a/b"), DENSE(2)}, LOSS_MEAN_SQUARED_ERROR, 1, "character"},
    {{FLAT, DENSE(2, .activation = (enum activation)99), DENSE(2)},
     LOSS_MEAN_SQUARED_ERROR,
     1,
     "unknown type"},
    {{FLAT, DENSE(2, .kernel_initializer = (enum initializer)99), DENSE(2)},
     LOSS_MEAN_SQUARED_ERROR,
     1,
     "unknown type"},
    {{FLAT, DENSE(2), DENSE(2)}, LOSS_COUNT, 3, "unknown loss"},
    {{FLAT, DENSE(2), DENSE(2, .activation = ACTIVATION_SOFTMAX)},
     LOSS_SPARSE_CATEGORICAL_CROSSENTROPY,
     2,
     "drop activation softmax"},
    {{DENSE(2), FLAT, DENSE(2)}, LOSS_SPARSE_CATEGORICAL_CROSSENTROPY, 0, "put a flatten"},
    {{FLAT, DENSE(2, .activation = ACTIVATION_SIGMOID), DROP(0.5f)},
     LOSS_BINARY_CROSSENTROPY,
     1,
     "drop activation sigmoid"},
    {{FLAT, DENSE(2), {.type = LAYER_ACTIVATION, .activation = ACTIVATION_SOFTMAX}},
     LOSS_BINARY_CROSSENTROPY,
     2,
     "applies sigmoid itself"},
    {{FLAT, DENSE(2), DENSE(1)}, LOSS_SPARSE_CATEGORICAL_CROSSENTROPY, 2, "2 or more"},
    {{CONV(1, 1, 1, PADDING_SAME), CONV(1, 1, 1, PADDING_SAME), CONV(1, 1, 1, PADDING_SAME)},
     LOSS_BINARY_CROSSENTROPY,
     2,
     "(8, 8, 1)"},
};

START_TEST(wrong_layers_are_named)
{
    struct layer_spec layers[3];
    struct model_spec spec = MODEL(layers, refused[_i].loss, 8, 8, 3);

    memcpy(layers, refused[_i].layers, sizeof(layers));
    model_spec_name_layers(&spec);
    assert_refused(&spec, refused[_i].bad_layer, refused[_i].words);
}
END_TEST

START_TEST(wrong_specs_are_refused)
{
    struct layer_spec layers[1] = {DENSE(2)};
    struct model_spec spec = MODEL(layers, LOSS_MEAN_SQUARED_ERROR, 4);

    assert_refused(&spec, 0, "name is empty");
    memset(layers[0].name, 'x', sizeof(layers[0].name));
    assert_refused(&spec, 0, "longer than");
    layers[0].name[1] = '\0';
    layers[0].type = LAYER_TYPE_COUNT;
    assert_refused(&spec, 0, "unknown type");
    layers[0].type = LAYER_DENSE;
    spec.input_rank = 5;
    assert_refused(&spec, 1, "input_shape");
    spec.input_rank = 0;
    assert_refused(&spec, 1, "input_shape");
    spec.input_rank = 2;
    spec.input_shape[1] = 0;
    assert_refused(&spec, 1, "input_shape");
    spec.input_shape[0] = spec.input_shape[1] = UINT32_MAX;
    assert_refused(&spec, 1, "input_shape");
    spec.input_rank = 1;
    spec.input_shape[0] = 4;
    spec.metric_count = MODEL_METRICS_MAX + 1;
    assert_refused(&spec, 1, "metrics");
    spec.metric_count = 1;
    spec.metrics[0] = METRIC_COUNT;
    assert_refused(&spec, 1, "unknown metric");
    spec.metric_count = 0;
    spec.layer_count = 0;
    assert_refused(&spec, 0, "layers");
    spec.layer_count = MODEL_LAYERS_MAX + 1;
    assert_refused(&spec, MODEL_LAYERS_MAX + 1, "layers");
}
END_TEST

/* ---- hash and summary */

START_TEST(hash_depends_on_names_shapes_and_values_only)
{
    struct layer_spec layers[1] = {DENSE(2)};
    struct model_spec spec = MODEL(layers, LOSS_MEAN_SQUARED_ERROR, 3);
    struct graph *graph = make(&spec);
    float weights[32] = {1, 2, 3, 4, 5, 6, [16] = 7, [17] = 8};
    char hash[65], other[65];

    graph_hash(graph, weights, hash);
    /* sha256 of "dense/kernel\0" 2 3 2 1..6 "dense/bias\0" 1 2 7 8, numbers of 32 bits, by Python's hashlib
     */
    ck_assert_str_eq(hash, "22dd4c609887fb3ed3a60fb69ba33895f275d68793a3d59c8a11bcb8b54bcdb7");
    weights[10] = 9; /* a gap */
    graph_hash(graph, weights, other);
    ck_assert_str_eq(hash, other);
    weights[16] = -7;
    graph_hash(graph, weights, other);
    ck_assert_str_ne(hash, other);
    weights[16] = 7;
    graph_free(graph);

    layers[0].name[0] = 'D';
    graph = make(&spec);
    graph_hash(graph, weights, other);
    ck_assert_str_ne(hash, other);
    graph_free(graph);
}
END_TEST

START_TEST(summary_is_keras_table)
{
    struct layer_spec layers[8];
    struct model_spec spec = MODEL(layers, LOSS_SPARSE_CATEGORICAL_CROSSENTROPY, 28, 28, 1);
    struct graph *graph;
    char *text = NULL;
    size_t length;
    FILE *file = open_memstream(&text, &length);

    fill_cnn(layers);
    graph = make(&spec);
    graph_print_summary(graph, "mnist", file);
    fclose(file);
    ck_assert_ptr_nonnull(strstr(text, "Model: \"mnist\"\n"));
    ck_assert_ptr_nonnull(
        strstr(text, "conv2d_1 (Conv2D)             (None, 24, 24, 64)              18,496\n"));
    ck_assert_ptr_nonnull(
        strstr(text, "flatten (Flatten)             (None, 9216)                         0\n"));
    ck_assert_ptr_nonnull(strstr(text, "Total params: 1,199,882 (4.58 MB)\n"));
    ck_assert_ptr_nonnull(strstr(text, "Trainable params: 1,199,882 (4.58 MB)\n"));
    ck_assert_ptr_nonnull(strstr(text, "Non-trainable params: 0 (0.00 B)\n"));
    free(text);
    graph_free(graph);
}
END_TEST

START_TEST(long_names_keep_the_table_straight)
{
    struct layer_spec layers[1] = {DENSE(2)};
    struct model_spec spec = MODEL(layers, LOSS_MEAN_SQUARED_ERROR, 3);
    struct graph *graph;
    char *text = NULL;
    size_t length;
    FILE *file = open_memstream(&text, &length);

    memset(layers[0].name, 'n', MODEL_NAME_MAX - 1);
    graph = make(&spec);
    graph_print_summary(graph, "m", file);
    fclose(file);
    ck_assert_ptr_nonnull(strstr(text, "n (Dense)  (None, 2)                            8\n"));
    free(text);
    graph_free(graph);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("graph");
    TCase *shapes = tcase_create("shapes"), *errors = tcase_create("errors"),
          *output = tcase_create("output");

    tcase_add_test(shapes, cnn_has_keras_shapes_and_counts);
    tcase_add_test(shapes, address_space_is_aligned_and_cut_into_chunks);
    tcase_add_test(shapes, chunks_have_bounds);
    tcase_add_loop_test(shapes, windows_slide_as_in_keras, 0, (int)(sizeof(windows) / sizeof(windows[0])));
    tcase_add_test(shapes, windows_need_not_be_square);
    suite_add_tcase(suite, shapes);
    tcase_add_loop_test(errors, wrong_layers_are_named, 0, (int)(sizeof(refused) / sizeof(refused[0])));
    tcase_add_test(errors, wrong_specs_are_refused);
    suite_add_tcase(suite, errors);
    tcase_add_test(output, hash_depends_on_names_shapes_and_values_only);
    tcase_add_test(output, summary_is_keras_table);
    tcase_add_test(output, long_names_keep_the_table_straight);
    suite_add_tcase(suite, output);
    return suite;
}

CHECK_MAIN(make_suite)
