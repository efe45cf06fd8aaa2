/* Codecs over arrays: arguments, sizes, rounding, error feedback, and the promise: what the root of a tree is
 * does not depend on who folds and sends which of its nodes. */
#include "codec/codec.h"

#include "check_main.h"

#include <float.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define ELEMENTS 2149 /* two pieces and some; no multiple of any vector width */
#define SPECS    9

static const struct codec_spec specs[SPECS] = {
    {.type = CODEC_FLOAT32},
    {.type = CODEC_FLOAT16},
    {.type = CODEC_FLOAT16, .rounding = CODEC_STOCHASTIC},
    {.type = CODEC_BFLOAT16},
    {.type = CODEC_BFLOAT16, .rounding = CODEC_STOCHASTIC},
    {.type = CODEC_INT8, .block = 64},
    {.type = CODEC_INT8, .block = 16, .rounding = CODEC_STOCHASTIC},
    {.type = CODEC_TOP_K, .share = 0.05},
    {.type = CODEC_TOP_K, .share = 0.7},
};

static const struct tree_node leaf_0 = {0, 1};

/* Numbers of many magnitudes, halves of them small. */
static void fill(float *values, size_t count, uint32_t seed)
{
    struct philox philox = philox_for(seed, PHILOX_SYNTHETIC_DATA);

    for (uint32_t i = 0; i < count; i++) {
        uint32_t counter[4] = {i, 0, 0, 0}, words[4];

        philox_words(philox, counter, words);
        values[i] = (philox_unit_float(words[0]) - 0.5f) * ldexpf(1, (int)(words[1] % 24) - 20);
    }
}

static void assert_same(const float *left, const float *right, size_t count)
{
    ck_assert_int_eq(memcmp(left, right, count * sizeof(*left)), 0);
}

static struct codec_node node_at(const struct codec_spec *spec, uint64_t step, struct tree_node node)
{
    return codec_node_for(spec, 11, 3, step, node);
}

START_TEST(defaults_are_allowed)
{
    for (int type = 0; type < CODEC_COUNT; type++) {
        struct codec_spec spec = codec_spec_default((enum codec_type)type);

        ck_assert_ptr_nonnull(codec_name(spec.type));
        ck_assert_int_eq(codec_spec_check(&spec, NULL), CAIRN_OK);
    }
    ck_assert_ptr_null(codec_name(CODEC_COUNT));
    ck_assert_str_eq(codec_name(CODEC_TOP_K), "top_k");
}
END_TEST

static void assert_refused(struct codec_spec spec, const char *message)
{
    struct error error = {0};

    ck_assert_int_eq(codec_spec_check(&spec, &error), CAIRN_INVALID);
    ck_assert_str_eq(error.message, message);
}

START_TEST(arguments_have_bounds)
{
    assert_refused((struct codec_spec){.type = CODEC_INT8, .block = 0},
                   "an int8 block of 0 is not a power of two from 16 to 1024");
    assert_refused((struct codec_spec){.type = CODEC_INT8, .block = 48},
                   "an int8 block of 48 is not a power of two from 16 to 1024");
    assert_refused((struct codec_spec){.type = CODEC_INT8, .block = 2048},
                   "an int8 block of 2048 is not a power of two from 16 to 1024");
    assert_refused((struct codec_spec){.type = CODEC_TOP_K, .share = 0},
                   "a top_k share of 0 is not in (0, 1]");
    assert_refused((struct codec_spec){.type = CODEC_TOP_K, .share = 1.5},
                   "a top_k share of 1.5 is not in (0, 1]");
    assert_refused((struct codec_spec){.type = CODEC_COUNT}, "codec 5 is not known");
    assert_refused((struct codec_spec){.type = CODEC_INT8, .block = 64, .rounding = 2},
                   "rounding 2 is not known");
}
END_TEST

START_TEST(sizes_are_exact)
{
    static const size_t counts[] = {0, 1, 15, 16, 17, 63, 64, 65, 1023, 1024, 1025, 2048, ELEMENTS};
    const struct codec_spec *spec = &specs[_i];
    unsigned char bytes[4 * ELEMENTS + 5];
    float values[ELEMENTS], again[ELEMENTS];

    fill(values, ELEMENTS, 1);
    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        size_t size = codec_size_max(spec, counts[i]), written;

        ck_assert_uint_lt(size, sizeof(bytes));
        bytes[size] = 0xa5;
        written = codec_encode(spec, values, counts[i], bytes);
        ck_assert(spec->type == CODEC_TOP_K ? written <= size : written == size);
        ck_assert_uint_eq(bytes[size], 0xa5);
        ck_assert_int_eq(codec_decode(spec, bytes, written, again, counts[i], NULL), CAIRN_OK);
    }
}
END_TEST

START_TEST(other_lengths_are_refused)
{
    const struct codec_spec *spec = &specs[_i];
    unsigned char bytes[512];
    float values[100];
    size_t written;

    fill(values, 100, 1);
    written = codec_encode(spec, values, 100, bytes);
    for (size_t length = 0; length < sizeof(bytes); length++) {
        struct error error = {0};

        if (length == written)
            continue;
        ck_assert_int_eq(codec_decode(spec, bytes, length, values, 100, &error), CAIRN_PROTOCOL);
        ck_assert(strncmp(error.message, codec_name(spec->type), strlen(codec_name(spec->type))) == 0);
    }
}
END_TEST

/* With faults in some places: R(R(x)) = R(x) = decode(encode(R(x))), also at other addresses. */
START_TEST(rounded_values_travel_without_loss)
{
    const struct codec_spec *spec = &specs[_i];
    struct codec_node node = node_at(spec, 5, leaf_0), other = node_at(spec, 6, (struct tree_node){0, 4});
    unsigned char bytes[4 * ELEMENTS + 8];
    float values[ELEMENTS], again[ELEMENTS];
    size_t written;

    fill(values, ELEMENTS, 2);
    values[3] = FLT_MAX;
    values[500] = NAN;
    values[1700] = -INFINITY;
    values[1800] = -0.0f;
    values[1900] = 0x1p-149f;
    codec_round(&node, values, NULL, ELEMENTS);
    written = codec_encode(spec, values, ELEMENTS, bytes + 1);
    ck_assert_int_eq(codec_decode(spec, bytes + 1, written, again, ELEMENTS, NULL), CAIRN_OK);
    assert_same(again, values, ELEMENTS);
    ck_assert(isnan(again[500]) && !isfinite(again[1700]));
    codec_round(&other, again, NULL, ELEMENTS);
    assert_same(again, values, ELEMENTS);
}
END_TEST

START_TEST(a_leaf_is_encoded_as_it_is_rounded)
{
    const struct codec_spec *spec = &specs[_i];
    struct codec_node node = node_at(spec, 5, leaf_0);
    unsigned char bytes[4 * ELEMENTS + 4];
    float values[ELEMENTS], rounded[ELEMENTS], decoded[ELEMENTS], residual[2][ELEMENTS];

    node.array = 1ull << 40;
    for (int with_residual = 0; with_residual < 2; with_residual++) {
        size_t written;

        fill(values, ELEMENTS, 3);
        fill(residual[0], ELEMENTS, 4);
        memcpy(residual[1], residual[0], sizeof(residual[0]));
        memcpy(rounded, values, sizeof(rounded));
        codec_round(&node, rounded, with_residual ? residual[0] : NULL, ELEMENTS);
        written = codec_encode_leaf(&node, values, with_residual ? residual[1] : NULL, ELEMENTS, bytes);
        ck_assert_int_eq(codec_decode(spec, bytes, written, decoded, ELEMENTS, NULL), CAIRN_OK);
        assert_same(decoded, rounded, ELEMENTS);
        assert_same(residual[0], residual[1], ELEMENTS);
    }
}
END_TEST

START_TEST(folding_is_adding_and_rounding)
{
    const struct codec_spec *spec = &specs[_i];
    struct codec_node node = node_at(spec, 5, (struct tree_node){2, 4});
    float left[ELEMENTS], right[ELEMENTS], expected[ELEMENTS];

    fill(left, ELEMENTS, 5);
    fill(right, ELEMENTS, 6);
    for (int i = 0; i < ELEMENTS; i++)
        expected[i] = left[i] + right[i];
    if (spec->type != CODEC_TOP_K)
        codec_round(&node, expected, NULL, ELEMENTS);
    codec_fold(&node, left, right, ELEMENTS);
    assert_same(left, expected, ELEMENTS);
}
END_TEST

/* A job of LEAVES microbatches and a cluster of workers with spans, each with residuals of its leaves. */
#define LEAVES 7
#define STEPS  4

struct job {
    const struct codec_spec *spec;
    bool feedback;
    uint64_t step;
    float residuals[LEAVES][ELEMENTS];
};

/* The node's value, computed by one worker. Recursion ends at a leaf; a tree of 7 is 3 deep. */
static void compute_node(struct job *job, struct tree_node node, float *values)
{
    struct codec_node place = node_at(job->spec, job->step, node);
    uint32_t middle = node.begin + (node.end - node.begin) / 2;
    float *right;

    place.array = 9;
    if (node.end - node.begin == 1) {
        fill(values, ELEMENTS, (uint32_t)job->step * LEAVES + node.begin);
        codec_round(&place, values, job->feedback ? job->residuals[node.begin] : NULL, ELEMENTS);
        return;
    }
    right = malloc(ELEMENTS * sizeof(*right));
    ck_assert_ptr_nonnull(right);
    compute_node(job, (struct tree_node){node.begin, middle}, values);
    compute_node(job, (struct tree_node){middle, node.end}, right);
    codec_fold(&place, values, right, ELEMENTS);
    free(right);
}

/* A node as the shard has it: sent by a worker if it is within one's cover, else folded of what was sent. */
static void gather_node(struct job *job, uint32_t workers, struct tree_node node, float *values)
{
    uint32_t owner = node.begin * workers / LEAVES, middle = node.begin + (node.end - node.begin) / 2;
    struct codec_node place = node_at(job->spec, job->step, node);
    unsigned char bytes[4 * ELEMENTS + 4];
    float right[ELEMENTS];

    place.array = 9;
    if ((node.end - 1) * workers / LEAVES == owner) {
        compute_node(job, node, values);
        ck_assert_int_eq(codec_decode(job->spec, bytes, codec_encode(job->spec, values, ELEMENTS, bytes),
                                      values, ELEMENTS, NULL),
                         CAIRN_OK);
        return;
    }
    gather_node(job, workers, (struct tree_node){node.begin, middle}, values);
    gather_node(job, workers, (struct tree_node){middle, node.end}, right);
    codec_fold(&place, values, right, ELEMENTS);
}

START_TEST(the_root_is_the_same_for_any_number_of_workers)
{
    float *roots[LEAVES + 1];

    for (uint32_t workers = 1; workers <= LEAVES; workers++) {
        struct job *job = calloc(1, sizeof(*job));

        roots[workers] = calloc(STEPS * ELEMENTS, sizeof(float));
        ck_assert(job != NULL && roots[workers] != NULL);
        job->spec = &specs[_i / 2];
        job->feedback = _i % 2 == 1;
        for (job->step = 0; job->step < STEPS; job->step++)
            gather_node(job, workers, (struct tree_node){0, LEAVES}, roots[workers] + job->step * ELEMENTS);
        assert_same(roots[workers], roots[1], STEPS * ELEMENTS);
        free(job);
    }
    for (uint32_t workers = 1; workers <= LEAVES; workers++)
        free(roots[workers]);
}
END_TEST

/* Whole multiples of 2^-10, so that all sums and differences are exact: what was sent in all, and what is
 * left, is what there was; and what is left stays small, however many steps. */
START_TEST(error_feedback_loses_nothing)
{
    enum { STEP_COUNT = 400, COUNT = 200 };
    const struct codec_spec *spec = &specs[_i];
    double sums[COUNT] = {0}, sent[COUNT] = {0};
    float residual[COUNT] = {0};

    for (uint64_t step = 0; step < STEP_COUNT; step++) {
        struct codec_node node = node_at(spec, step, leaf_0);
        float values[COUNT];

        for (int i = 0; i < COUNT; i++) {
            values[i] = (float)((i * 7919 + (int)step * 104729) % 2001 - 900) * 0x1p-10f;
            sums[i] += (double)values[i];
        }
        codec_round(&node, values, residual, COUNT);
        for (int i = 0; i < COUNT; i++)
            sent[i] += (double)values[i];
    }
    for (int i = 0; i < COUNT; i++) {
        ck_assert(sent[i] + (double)residual[i] == sums[i]);
        /* Top-k of a share lets an element wait for about 1 / share steps, of at most 1.1 each. */
        ck_assert(fabsf(residual[i]) <= (spec->type == CODEC_TOP_K ? 1.1f / 0.05f : 0x1p-4f));
    }
}
END_TEST

/* Work may change hands after a step in float32: what was owed has been sent. */
START_TEST(a_step_in_float32_empties_the_residual)
{
    const struct codec_spec in_full = {.type = CODEC_FLOAT32};
    struct codec_node lossy = node_at(&specs[_i], 1, leaf_0), full = node_at(&in_full, 2, leaf_0);
    float values[3] = {1, 1 + 0x1p-9f, 0x1.8p-9f}, residual[3] = {0}, sums[3];

    for (int i = 0; i < 3; i++)
        sums[i] = 2 * values[i];
    codec_round(&lossy, values, residual, 3);
    for (int i = 0; i < 3; i++)
        sums[i] -= values[i];
    memcpy(values, (const float[]){1, 1 + 0x1p-9f, 0x1.8p-9f}, sizeof(values));
    codec_round(&full, values, residual, 3);
    assert_same(values, sums, 3);
    assert_same(residual, (const float[]){0, 0, 0}, 3);
}
END_TEST

START_TEST(a_fault_is_sent_and_not_remembered)
{
    const struct codec_spec *spec = &specs[_i];
    struct codec_node node = node_at(spec, 1, leaf_0);
    float values[3] = {NAN, INFINITY, 1}, residual[3] = {0.5f, 0.25f, 0};

    if (spec->type == CODEC_TOP_K)
        return; /* faults_are_kept_first in test_codec_top_k.c */
    codec_round(&node, values, residual, 3);
    ck_assert(isnan(values[0]) && !isfinite(values[1]));
    ck_assert(residual[0] == 0 && residual[1] == 0);
    memset(values, 0, sizeof(values));
    codec_round(&node, values, residual, 3);
    ck_assert(isfinite(values[0]) && isfinite(values[1]));
}
END_TEST

/* The share of elements that are rounded up: within 5 standard deviations of the fraction, for each codec at
 * a fraction of a unit; and numbers that need no rounding stay. */
static void assert_unbiased(struct codec_spec spec, float lower, float upper, double fraction)
{
    enum { COUNT = 65536 };
    float *values = malloc(COUNT * sizeof(*values));
    struct codec_node node = node_at(&spec, 1, leaf_0);
    int foreign = 0;
    double up = 0, deviation = sqrt(COUNT * fraction * (1 - fraction));

    ck_assert_ptr_nonnull(values);
    for (int i = 0; i < COUNT; i++)
        values[i] = i % 16 == 0 ? upper * 64 : lower + (upper - lower) * (float)fraction;
    codec_round(&node, values, NULL, COUNT);
    for (int i = 0; i < COUNT; i++) {
        if (i % 16 == 0) {
            foreign += values[i] != upper * 64;
            continue;
        }
        foreign += values[i] != lower && values[i] != upper;
        up += values[i] == upper;
    }
    ck_assert_int_eq(foreign, 0);
    ck_assert(fabs(up - COUNT * 15.0 / 16.0 * fraction) <= 5 * deviation);
    free(values);
}

START_TEST(chance_has_no_bias)
{
    static const double fractions[] = {0, 0.125, 0.5, 0.96875};
    const struct codec_spec half = {.type = CODEC_FLOAT16, .rounding = CODEC_STOCHASTIC};
    const struct codec_spec bfloat16 = {.type = CODEC_BFLOAT16, .rounding = CODEC_STOCHASTIC};
    const struct codec_spec int8 = {.type = CODEC_INT8, .rounding = CODEC_STOCHASTIC, .block = 16};

    for (int i = 0; i < 4; i++) {
        assert_unbiased(half, 1, 1 + 0x1p-10f, fractions[i]);
        assert_unbiased(half, -0x1p-24f, -0x1p-23f, fractions[i]); /* subnormal halves */
        assert_unbiased(bfloat16, 1, 1 + 0x1p-7f, fractions[i]);
        assert_unbiased(bfloat16, -1, -1 - 0x1p-7f, fractions[i]);
        assert_unbiased(int8, 0, 1, fractions[i]); /* the block's greatest is 64 units */
        assert_unbiased(int8, 0, -1, fractions[i]);
    }
}
END_TEST

/* Each member of the key changes the draws; the draws of an element do not depend on where its array is cut.
 */
START_TEST(chance_depends_on_the_place_alone)
{
    const struct codec_spec spec = {.type = CODEC_INT8, .rounding = CODEC_STOCHASTIC, .block = 64};
    struct codec_node nodes[] = {
        codec_node_for(&spec, 1, 0, 7, leaf_0),
        codec_node_for(&spec, 2, 0, 7, leaf_0),
        codec_node_for(&spec, 1, 1, 7, leaf_0),
        codec_node_for(&spec, 1, 0, 8, leaf_0),
        codec_node_for(&spec, 1, 0, 7 + (1ull << 32), leaf_0),
        codec_node_for(&spec, 1, 0, 7, (struct tree_node){0, 2}),
        codec_node_for(&spec, 1, 0, 7, leaf_0),
        codec_node_for(&spec, 1, 0, 7, leaf_0),
    };
    enum { NODES = sizeof(nodes) / sizeof(nodes[0]) };
    float values[NODES][ELEMENTS], part[ELEMENTS];

    nodes[NODES - 2].array = 1;
    nodes[NODES - 1].array = 1ull << 32;
    for (int i = 0; i < NODES; i++) {
        fill(values[i], ELEMENTS, 1);
        codec_round(&nodes[i], values[i], NULL, ELEMENTS);
        for (int j = 0; j < i; j++)
            ck_assert_int_ne(memcmp(values[i], values[j], sizeof(values[i])), 0);
    }
    for (size_t count = 64; count < ELEMENTS; count += 64) {
        fill(part, ELEMENTS, 1);
        codec_round(&nodes[0], part, NULL, count);
        assert_same(part, values[0], count);
    }
}
END_TEST

static Suite *codec_suite(void)
{
    Suite *suite = suite_create("codec");
    TCase *cases = tcase_create("codec");

    tcase_add_test(cases, defaults_are_allowed);
    tcase_add_test(cases, arguments_have_bounds);
    tcase_add_loop_test(cases, sizes_are_exact, 0, SPECS);
    tcase_add_loop_test(cases, other_lengths_are_refused, 0, SPECS);
    tcase_add_loop_test(cases, rounded_values_travel_without_loss, 0, SPECS);
    tcase_add_loop_test(cases, a_leaf_is_encoded_as_it_is_rounded, 0, SPECS);
    tcase_add_loop_test(cases, folding_is_adding_and_rounding, 0, SPECS);
    tcase_add_loop_test(cases, the_root_is_the_same_for_any_number_of_workers, 0, 2 * SPECS);
    tcase_add_loop_test(cases, error_feedback_loses_nothing, 0, SPECS);
    tcase_add_loop_test(cases, a_step_in_float32_empties_the_residual, 0, SPECS);
    tcase_add_loop_test(cases, a_fault_is_sent_and_not_remembered, 0, SPECS);
    tcase_add_test(cases, chance_has_no_bias);
    tcase_add_test(cases, chance_depends_on_the_place_alone);
    suite_add_tcase(suite, cases);
    return suite;
}

CHECK_MAIN(codec_suite)
