/* Initial weights: the distributions that Keras's initializers name, the same bits whichever part is made
 * where, and the same bits for ever. */
#include "check_main.h"
#include "model/graph.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define INPUTS  300
#define UNITS   200
#define WEIGHTS (INPUTS * UNITS)

/* A model of one dense layer [300, 200] without bias. */
struct single {
    struct layer_spec layer;
    struct model_spec spec;
    struct graph *graph;
};

static void single_init(struct single *single, enum initializer initializer)
{
    memset(single, 0, sizeof(*single));
    single->layer =
        (struct layer_spec){.type = LAYER_DENSE, .units = UNITS, .kernel_initializer = initializer};
    single->spec = (struct model_spec){.input_rank = 1,
                                       .input_shape = {INPUTS},
                                       .layer_count = 1,
                                       .layers = &single->layer,
                                       .loss = LOSS_MEAN_SQUARED_ERROR};
    model_spec_name_layers(&single->spec);
    ck_assert_int_eq(graph_new(&single->spec, &single->graph, NULL, NULL), CAIRN_OK);
}

static const struct {
    enum initializer initializer;
    double deviation, limit; /* of the distribution; no value is beyond the limit */
    bool flat;               /* uniform: as much near the limit as in the middle */
} distributions[] = {
    /* fan_in 300, fan_out 200: variance 1/250 (glorot), 2/300 (he), 1/300 (lecun); truncated normals end at
     * two deviations of the normal they are cut from. */
    {INITIALIZER_GLOROT_UNIFORM, 0.063245553, 0.109544512, true},
    {INITIALIZER_GLOROT_NORMAL, 0.063245553, 2 * 0.063245553 / 0.87962566, false},
    {INITIALIZER_HE_UNIFORM, 0.081649658, 0.141421357, true},
    {INITIALIZER_HE_NORMAL, 0.081649658, 2 * 0.081649658 / 0.87962566, false},
    {INITIALIZER_LECUN_UNIFORM, 0.057735027, 0.100000001, true},
    {INITIALIZER_LECUN_NORMAL, 0.057735027, 2 * 0.057735027 / 0.87962566, false},
    {INITIALIZER_RANDOM_UNIFORM, 0.05 / 1.7320508, 0.0500000008, true},
    {INITIALIZER_RANDOM_NORMAL, 0.05, 0.05 * 6, false},
    {INITIALIZER_TRUNCATED_NORMAL, 0.05 * 0.87962566, 0.1, false},
};

START_TEST(distributions_are_those_of_keras)
{
    double sum = 0, squares = 0, largest = 0, deviation, inner = 0;
    struct single single;
    float *values;

    single_init(&single, distributions[_i].initializer);
    values = malloc(single.graph->floats * sizeof(*values));
    graph_initial_values(single.graph, 42, 0, single.graph->floats, values);
    for (int i = 0; i < WEIGHTS; i++) {
        sum += values[i];
        squares += (double)values[i] * values[i];
        largest = fmax(largest, fabs((double)values[i]));
        inner += fabs((double)values[i]) < distributions[_i].limit / 2;
    }
    deviation = sqrt(squares / WEIGHTS);
    /* five standard errors of the mean and of the deviation */
    ck_assert_double_le(fabs(sum / WEIGHTS), 5 * distributions[_i].deviation / sqrt(WEIGHTS));
    ck_assert_double_le(fabs(deviation / distributions[_i].deviation - 1), 5 / sqrt(2.0 * WEIGHTS));
    ck_assert_double_le(largest, distributions[_i].limit * (1 + 1e-6));
    if (distributions[_i].flat)
        ck_assert_double_le(fabs(inner / WEIGHTS - 0.5), 5 * 0.5 / sqrt(WEIGHTS));
    else
        ck_assert_double_gt(inner / WEIGHTS, 0.68);
    free(values);
    graph_free(single.graph);
}
END_TEST

START_TEST(constants)
{
    float values[100];
    struct single single;

    single_init(&single, INITIALIZER_ONES);
    graph_initial_values(single.graph, 1, 7, 107, values);
    for (int i = 0; i < 100; i++)
        ck_assert_float_eq(values[i], 1.0f);
    graph_free(single.graph);
    single_init(&single, INITIALIZER_ZEROS);
    graph_initial_values(single.graph, 1, 7, 107, values);
    for (int i = 0; i < 100; i++)
        ck_assert_float_eq(values[i], 0.0f);
    graph_free(single.graph);
}
END_TEST

/* A model of several parameters with gaps between them. */
static const struct layer_spec mixed_layers[3] = {
    {.type = LAYER_CONV2D,
     .name = "a",
     .filters = 5,
     .kernel_size = {3, 2},
     .strides = {1, 1},
     .use_bias = true,
     .kernel_initializer = INITIALIZER_HE_NORMAL,
     .bias_initializer = INITIALIZER_RANDOM_NORMAL},
    {.type = LAYER_FLATTEN, .name = "b"},
    {.type = LAYER_DENSE, .name = "c", .units = 7, .use_bias = true, .bias_initializer = INITIALIZER_ONES},
};

static struct graph *make_mixed(struct layer_spec layers[3], struct model_spec *spec)
{
    struct graph *graph;

    memcpy(layers, mixed_layers, sizeof(mixed_layers));
    *spec = (struct model_spec){.input_rank = 3,
                                .input_shape = {6, 6, 3},
                                .layer_count = 3,
                                .layers = layers,
                                .loss = LOSS_MEAN_SQUARED_ERROR};
    ck_assert_int_eq(graph_new(spec, &graph, NULL, NULL), CAIRN_OK);
    return graph;
}

START_TEST(any_part_can_be_made_anywhere)
{
    struct layer_spec layers[3];
    struct model_spec spec;
    struct graph *graph = make_mixed(layers, &spec);
    float *whole = malloc(graph->floats * sizeof(*whole)), *part = malloc(graph->floats * sizeof(*part));

    graph_initial_values(graph, 9, 0, graph->floats, whole);
    for (uint64_t step = 1; step <= graph->floats; step = step * 2 + 1) {
        for (uint64_t begin = 0; begin < graph->floats; begin += step) {
            uint64_t end = begin + step < graph->floats ? begin + step : graph->floats;

            memset(part, 0xff, (end - begin) * sizeof(*part));
            graph_initial_values(graph, 9, begin, end, part);
            ck_assert_mem_eq(part, whole + begin, (end - begin) * sizeof(*part));
        }
    }
    free(whole);
    free(part);
    graph_free(graph);
}
END_TEST

START_TEST(gaps_are_zero_and_parameters_differ)
{
    struct layer_spec layers[3];
    struct model_spec spec;
    struct graph *graph = make_mixed(layers, &spec);
    float *values = malloc(graph->floats * sizeof(*values));

    graph_initial_values(graph, 9, 0, graph->floats, values);
    for (uint64_t i = 90; i < 96; i++) /* conv2d kernel: 3 * 2 * 3 * 5 */
        ck_assert_float_eq(values[i], 0.0f);
    for (uint64_t i = 96; i < 101; i++)
        ck_assert_float_ne(values[i], 0.0f);
    ck_assert_float_ne(values[0], values[graph->parameters[2].offset]);
    free(values);
    graph_free(graph);
}
END_TEST

static void hash_of_seed(uint64_t seed, char text[65])
{
    struct layer_spec layers[3];
    struct model_spec spec;
    struct graph *graph = make_mixed(layers, &spec);
    float *values = malloc(graph->floats * sizeof(*values));

    graph_initial_values(graph, seed, 0, graph->floats, values);
    graph_hash(graph, values, text);
    free(values);
    graph_free(graph);
}

START_TEST(bits_are_fixed)
{
    char text[65], other[65];

    hash_of_seed(1, text);
    hash_of_seed(UINT64_C(1) << 32 | 1, other);
    ck_assert_str_ne(text, other);
    /* Worked out apart from this code in Python (its own Philox, statistics.NormalDist, hashlib). Whoever
     * changes these bits changes every model that anyone trains. */
    ck_assert_str_eq(text, "4f654e890affc4cb24e008357a3b21a1dd2d2eb02fef24961dc6679ebe0bf41e");
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("initial");
    TCase *values = tcase_create("values");

    tcase_add_loop_test(values, distributions_are_those_of_keras, 0,
                        (int)(sizeof(distributions) / sizeof(distributions[0])));
    tcase_add_test(values, constants);
    tcase_add_test(values, any_part_can_be_made_anywhere);
    tcase_add_test(values, gaps_are_zero_and_parameters_differ);
    tcase_add_test(values, bits_are_fixed);
    suite_add_tcase(suite, values);
    return suite;
}

CHECK_MAIN(make_suite)
