/* The optimizers against Keras's own numbers (tests/oracle), and bits that depend neither on how they are
 * called nor on how wide their loops are compiled (test_optimizers_WIDTH). */
#include "base/hash.h"
#include "check_main.h"
#include "math/real.h"
#include "must.h"
#include "optimizers/norms.h"
#include "optimizers/optimizer.h"
#include "optimizers/schedule.h"

#include <math.h>
#include <string.h>

#include "optimizers.h" /* the oracle's table */

#define ODD_COUNT 1003 /* no multiple of any vector width */
#define CASES     ((int)(sizeof(oracle_cases) / sizeof(oracle_cases[0])))
#define SCHEDULES ((int)(sizeof(oracle_schedules) / sizeof(oracle_schedules[0])))

/* SHA-256 of the weights and slots that bits_of_all_cases computes. A change of it is a change of models. */
#define BITS "3b2cc63e871311972f19773d2bb5e798efa2266b542ff34c5606d504538efc2f"

/* The state of one run: two of each array, so that next ones are apart from the old. */
struct run {
    float sums[ODD_COUNT], weights[2][ODD_COUNT], slots[OPTIMIZER_SLOTS_MAX][2][ODD_COUNT];
};

static struct run *run_new(const struct optimizer_spec *spec)
{
    struct run *run = calloc(1, sizeof(*run));

    ck_assert_ptr_nonnull(run);
    for (uint32_t slot = 0; slot < optimizer_spec_slot_count(spec); slot++) {
        for (int i = 0; i < ODD_COUNT; i++)
            run->slots[slot][0][i] = optimizer_slot_initial(spec, slot);
    }
    return run;
}

/* Elements [begin, begin + count) from arrays [0] to arrays [1]. */
static struct optimizer_update update_of(struct run *run, float samples, size_t begin, size_t count)
{
    struct optimizer_update update = {.sums = run->sums + begin,
                                      .samples = samples,
                                      .scale = 1,
                                      .trust = 1,
                                      .weights = run->weights[0] + begin,
                                      .next_weights = run->weights[1] + begin,
                                      .count = count};

    for (int i = 0; i < OPTIMIZER_SLOTS_MAX; i++) {
        update.slots[i] = run->slots[i][0] + begin;
        update.next_slots[i] = run->slots[i][1] + begin;
    }
    return update;
}

static void run_turn(struct run *run)
{
    memcpy(run->weights[0], run->weights[1], sizeof(run->weights[0]));
    for (int i = 0; i < OPTIMIZER_SLOTS_MAX; i++)
        memcpy(run->slots[i][0], run->slots[i][1], sizeof(run->slots[i][0]));
}

/* lamb's second phase reads what its first wrote. */
static void take_slots(struct optimizer_update *update)
{
    for (int i = 0; i < OPTIMIZER_SLOTS_MAX; i++)
        update->slots[i] = update->next_slots[i];
}

/* An update of one run of elements that is a parameter of its own. */
static void apply(const struct optimizer_spec *spec, const struct optimizer_step *step,
                  struct optimizer_update update)
{
    struct optimizer_squares squares;

    if (spec->type == OPTIMIZER_LAMB) {
        optimizer_measure(step, &update, &squares);
        take_slots(&update);
    }
    optimizer_apply(step, &update);
}

/* ---- against Keras */

/* One update of the oracle's two parameters, by the phases of norms.h. */
static void update_parameters(const struct optimizer_spec *spec, struct run *run, uint64_t number)
{
    static const size_t bounds[ORACLE_PARAMETERS + 1] = {0, ORACLE_SECOND, ORACLE_ELEMENTS};
    double partials[ORACLE_PARAMETERS];
    struct optimizer_squares squares;
    struct optimizer_step step;

    optimizer_prepare(spec, number, &step);
    for (int p = 0; p < ORACLE_PARAMETERS; p++)
        partials[p] =
            norms_gradient_squares(run->sums + bounds[p], ORACLE_SAMPLES, bounds[p + 1] - bounds[p]);
    for (int p = 0; p < ORACLE_PARAMETERS; p++) {
        struct optimizer_update update = update_of(run, ORACLE_SAMPLES, bounds[p], bounds[p + 1] - bounds[p]);

        if (spec->clipnorm > 0)
            update.scale = norms_clip_scale(spec->clipnorm, partials[p]);
        if (spec->global_clipnorm > 0)
            update.scale = norms_clip_scale(spec->global_clipnorm, partials[0] + partials[1]);
        if (spec->type == OPTIMIZER_LAMB) {
            optimizer_measure(&step, &update, &squares);
            update.trust = norms_trust_ratio(squares.weights, squares.update);
            take_slots(&update);
        }
        optimizer_apply(&step, &update);
    }
    run_turn(run);
}

START_TEST(a_hundred_updates_match_keras)
{
    const struct oracle_case *expected = &oracle_cases[_i];
    struct run *run = run_new(&expected->spec);

    for (int i = 0; i < ORACLE_ELEMENTS; i++)
        run->weights[0][i] = (float)(i + 1) / 4;
    for (int number = 1; number <= ORACLE_UPDATES; number++) {
        for (int i = 0; i < ORACLE_ELEMENTS; i++)
            run->sums[i] = (float)((i * 7919 + number * 104729 + 13) % 2003 - 900) / 64;
        update_parameters(&expected->spec, run, (uint64_t)number);
    }
    /* Relative to what the weight began as where it came close to zero. */
    for (int i = 0; i < ORACLE_ELEMENTS; i++) {
        double size = fmax(fabs(expected->weights[i]), (i + 1) / 4.0);

        ck_assert_msg(fabs(run->weights[0][i] - expected->weights[i]) < 1e-6 * size,
                      "%s: [%d] %.9g, not %.9g", expected->name, i, run->weights[0][i], expected->weights[i]);
    }
    free(run);
}
END_TEST

START_TEST(schedules_match_keras)
{
    const struct oracle_schedule *expected = &oracle_schedules[_i];
    struct optimizer_spec spec = {.schedule = expected->spec};

    for (int i = 0; i < ORACLE_STEPS; i++) {
        double rate = schedule_learning_rate(&spec, oracle_steps[i]);

        ck_assert_msg(fabs(rate - expected->rates[i]) <= 1e-14 + 1e-13 * expected->rates[i],
                      "step %llu: %.17g, not %.17g", (unsigned long long)oracle_steps[i], rate,
                      expected->rates[i]);
    }
}
END_TEST

START_TEST(schedules_take_any_step)
{
    struct optimizer_spec spec = {.schedule = oracle_schedules[_i].spec};

    for (uint64_t step = 1; step != 0; step <<= 1) {
        double rate = schedule_learning_rate(&spec, step);

        ck_assert_msg(rate >= 0 && (isfinite(rate) || spec.schedule.decay_rate > 1), "step %llu: %g",
                      (unsigned long long)step, rate);
    }
    ck_assert(schedule_learning_rate(&spec, UINT64_MAX) >= 0);
}
END_TEST

/* ---- bits */

static void fill(struct run *run)
{
    for (int i = 0; i < ODD_COUNT; i++) {
        run->sums[i] = (float)((i * 7919) % 2003 - 900) / 3;
        run->weights[0][i] = (float)((i * 104729) % 4001 - 2000) / 7;
        run->slots[0][0][i] = (float)((i * 31) % 101) / 9;
        run->slots[1][0][i] = (float)((i * 37) % 103) / 11;
        run->slots[2][0][i] = (float)((i * 41) % 107) / 10;
    }
}

START_TEST(bits_do_not_depend_on_how_elements_are_grouped)
{
    const struct optimizer_spec *spec = &oracle_cases[_i].spec;
    struct run *whole = run_new(spec), *single = run_new(spec);
    struct optimizer_step step;

    optimizer_prepare(spec, 3, &step);
    fill(whole);
    fill(single);
    apply(spec, &step, update_of(whole, 96, 0, ODD_COUNT));
    for (size_t i = 0; i < ODD_COUNT; i++)
        apply(spec, &step, update_of(single, 96, i, 1));
    ck_assert_mem_eq(whole, single, sizeof(*whole));
    free(whole);
    free(single);
}
END_TEST

START_TEST(arrays_may_be_updated_in_place)
{
    const struct optimizer_spec *spec = &oracle_cases[_i].spec;
    struct run *apart = run_new(spec), *place = run_new(spec);
    struct optimizer_update update;
    struct optimizer_step step;

    optimizer_prepare(spec, 3, &step);
    fill(apart);
    fill(place);
    apply(spec, &step, update_of(apart, 96, 0, ODD_COUNT));
    update = update_of(place, 96, 0, ODD_COUNT);
    update.next_weights = place->weights[0];
    for (uint32_t i = 0; i < OPTIMIZER_SLOTS_MAX; i++)
        update.next_slots[i] = place->slots[i][0];
    apply(spec, &step, update);
    ck_assert_mem_eq(apart->weights[1], place->weights[0], sizeof(apart->weights[1]));
    for (uint32_t i = 0; i < optimizer_spec_slot_count(spec); i++)
        ck_assert_mem_eq(apart->slots[i][1], place->slots[i][0], sizeof(place->slots[i][0]));
    free(apart);
    free(place);
}
END_TEST

/* Rows of `dimension` in a random order with gaps between them, against arrays. */
static void check_rows(const struct optimizer_spec *spec, uint32_t dimension)
{
    struct run *run = run_new(spec);
    uint32_t slots = optimizer_spec_slot_count(spec);
    size_t stride = (1 + slots) * dimension + 3, count = ODD_COUNT / dimension;
    float *memory = malloc(count * stride * sizeof(float)), **rows = malloc(count * sizeof(*rows));
    struct optimizer_rows batch = {rows, run->sums, 96, 0.5f, dimension, count};
    struct optimizer_update update = update_of(run, 96, 0, count * dimension);
    struct optimizer_step step;

    ck_assert(memory && rows);
    fill(run);
    for (size_t i = 0; i < count; i++) {
        rows[i] = memory + i * 7 % count * stride;
        if (count % 7 == 0)
            rows[i] = memory + i * stride;
        memcpy(rows[i], run->weights[0] + i * dimension, dimension * sizeof(float));
        for (uint32_t slot = 0; slot < slots; slot++)
            memcpy(rows[i] + (1 + slot) * dimension, run->slots[slot][0] + i * dimension,
                   dimension * sizeof(float));
        for (size_t j = (1 + slots) * dimension; j < stride; j++)
            rows[i][j] = 7.5f;
    }
    optimizer_prepare(spec, 3, &step);
    update.scale = 0.5f;
    optimizer_apply(&step, &update);
    optimizer_apply_rows(&step, &batch);
    for (size_t i = 0; i < count; i++) {
        ck_assert_mem_eq(rows[i], run->weights[1] + i * dimension, dimension * sizeof(float));
        for (uint32_t slot = 0; slot < slots; slot++)
            ck_assert_mem_eq(rows[i] + (1 + slot) * dimension, run->slots[slot][1] + i * dimension,
                             dimension * sizeof(float));
        for (size_t j = (1 + slots) * dimension; j < stride; j++)
            MUST_MSG(rows[i][j] == 7.5f, "something was written behind the row");
    }
    free(memory);
    free(rows);
    free(run);
}

START_TEST(rows_are_updated_as_arrays_are)
{
    static const uint32_t dimensions[] = {1, 3, 8, 16, 17, 64, 1000};

    if (oracle_cases[_i].spec.type == OPTIMIZER_LAMB)
        return;
    for (size_t i = 0; i < sizeof(dimensions) / sizeof(dimensions[0]); i++)
        check_rows(&oracle_cases[_i].spec, dimensions[i]);
}
END_TEST

START_TEST(bits_of_all_cases)
{
    char text[HASH_TEXT_BYTES];
    struct hash hash;

    hash_init(&hash);
    for (int i = 0; i < CASES; i++) {
        const struct optimizer_spec *spec = &oracle_cases[i].spec;
        struct run *run = run_new(spec);

        fill(run);
        for (uint64_t number = 1; number <= 3; number++) {
            struct optimizer_update update = update_of(run, 96, 0, ODD_COUNT);
            double squares = norms_gradient_squares(run->sums, 96, ODD_COUNT);
            struct optimizer_squares measured = {0};
            struct optimizer_step step;

            optimizer_prepare(spec, number, &step);
            update.scale = norms_clip_scale(3, squares);
            if (spec->type == OPTIMIZER_LAMB) {
                optimizer_measure(&step, &update, &measured);
                update.trust = norms_trust_ratio(measured.weights, measured.update);
                take_slots(&update);
            }
            optimizer_apply(&step, &update);
            run_turn(run);
            hash_update(&hash, &squares, sizeof(squares));
            hash_update(&hash, &measured, sizeof(measured));
        }
        hash_update(&hash, run->weights[0], sizeof(run->weights[0]));
        for (uint32_t slot = 0; slot < optimizer_spec_slot_count(spec); slot++)
            hash_update(&hash, run->slots[slot][0], sizeof(run->slots[slot][0]));
        free(run);
    }
    hash_text(&hash, text);
    ck_assert_str_eq(text, BITS);
}
END_TEST

/* ---- edges */

START_TEST(gaps_stay_zero)
{
    const struct optimizer_spec *spec = &oracle_cases[_i].spec;
    struct run *run = run_new(spec), *zeros = calloc(1, sizeof(*zeros));

    for (uint64_t number = 1; number <= 3; number++) {
        struct optimizer_step step;

        optimizer_prepare(spec, number, &step);
        apply(spec, &step, update_of(run, 1, 0, ODD_COUNT));
        run_turn(run);
    }
    for (int i = 0; i < ODD_COUNT; i++)
        ck_assert_float_eq(run->weights[0][i], 0);
    free(run);
    free(zeros);
}
END_TEST

static float updated(const struct optimizer_spec *spec, float weight, float gradient)
{
    float slots[OPTIMIZER_SLOTS_MAX];
    struct optimizer_step step;
    struct optimizer_update update = {.sums = &gradient,
                                      .samples = 1,
                                      .scale = 1,
                                      .trust = 1,
                                      .weights = &weight,
                                      .next_weights = &weight,
                                      .count = 1};

    for (uint32_t i = 0; i < OPTIMIZER_SLOTS_MAX; i++) {
        slots[i] = optimizer_slot_initial(spec, i);
        update.slots[i] = update.next_slots[i] = &slots[i];
    }
    for (uint64_t number = 1; number <= 50; number++) {
        optimizer_prepare(spec, number, &step);
        apply(spec, &step, update);
    }
    return weight;
}

START_TEST(not_a_number_shows)
{
    const struct optimizer_spec *spec = &oracle_cases[_i].spec;

    ck_assert_msg(isnan(updated(spec, 1, NAN)), "%s", oracle_cases[_i].name);
}
END_TEST

START_TEST(ends_of_the_formulas)
{
    struct optimizer_spec ftrl = {.type = OPTIMIZER_FTRL, .learning_rate = 0.1, .learning_rate_power = -0.5};
    struct optimizer_spec centered = {
        .type = OPTIMIZER_RMSPROP, .learning_rate = 0.001, .rho = 0.9, .epsilon = 1e-7, .centered = true};
    struct optimizer_spec decaying = {.type = OPTIMIZER_SGD, .learning_rate = 0.5, .weight_decay = 0.5};

    ck_assert_float_eq(updated(&ftrl, 0.75f, 0), 0.75f); /* 0 / 0 in the formula */
    ftrl.learning_rate = 0;
    ftrl.initial_accumulator_value = 0.1;
    ck_assert_float_eq(updated(&ftrl, 0.75f, 1), 0.75f);
    ck_assert(isfinite(updated(&centered, 1, 1000))); /* whose variance rounds below zero */
    ck_assert_float_eq(updated(&decaying, 1, 0), (float)real_power(0.75, 50));
    decaying.weight_decay = 0;
    ck_assert(signbit(updated(&decaying, -0.0f, 0)));
    ck_assert(isinf(updated(&decaying, INFINITY, 1)));
}
END_TEST

START_TEST(nadam_s_product_follows_from_the_number)
{
    struct optimizer_spec spec = {
        .type = OPTIMIZER_NADAM, .learning_rate = 1, .beta_1 = 0.9999, .beta_2 = 0.5, .epsilon = 1e-7};
    double product = 1;

    for (uint64_t number = 1; number <= 3000; number++) {
        double momentum = 0.9999 * (1 - 0.5 * pow(0.96, (double)number));
        struct optimizer_step step;

        product *= momentum;
        optimizer_prepare(&spec, number, &step);
        ck_assert_double_eq_tol(step.gradient_rate, (1 - momentum) / (1 - product),
                                1e-7 * (1 - momentum) / (1 - product));
    }
}
END_TEST

START_TEST(every_type_has_its_slots)
{
    static const struct {
        struct optimizer_spec spec;
        uint32_t slots;
        float initial;
    } rows[] = {
        {{.type = OPTIMIZER_SGD}, 0, 0},
        {{.type = OPTIMIZER_SGD, .momentum = 0.5}, 1, 0},
        {{.type = OPTIMIZER_ADAM}, 2, 0},
        {{.type = OPTIMIZER_ADAM, .amsgrad = true}, 3, 0},
        {{.type = OPTIMIZER_ADAMW}, 2, 0},
        {{.type = OPTIMIZER_ADAGRAD, .initial_accumulator_value = 0.25}, 1, 0.25f},
        {{.type = OPTIMIZER_RMSPROP}, 1, 0},
        {{.type = OPTIMIZER_RMSPROP, .momentum = 0.5}, 2, 0},
        {{.type = OPTIMIZER_RMSPROP, .momentum = 0.5, .centered = true}, 3, 0},
        {{.type = OPTIMIZER_ADADELTA}, 2, 0},
        {{.type = OPTIMIZER_NADAM}, 2, 0},
        {{.type = OPTIMIZER_LION}, 1, 0},
        {{.type = OPTIMIZER_FTRL, .initial_accumulator_value = 0.5}, 2, 0.5f},
        {{.type = OPTIMIZER_LAMB}, 2, 0},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        ck_assert_uint_eq(optimizer_spec_slot_count(&rows[i].spec), rows[i].slots);
        ck_assert_uint_le(rows[i].slots, OPTIMIZER_SLOTS_MAX);
        if (rows[i].slots > 0)
            ck_assert_float_eq(optimizer_slot_initial(&rows[i].spec, 0), rows[i].initial);
        if (rows[i].slots > 1)
            ck_assert_float_eq(optimizer_slot_initial(&rows[i].spec, 1), 0);
    }
}
END_TEST

/* ---- norms */

START_TEST(segments_leave_nothing_out)
{
    struct layer_spec layers[] = {{.type = LAYER_DENSE, .units = 111, .use_bias = true},
                                  {.type = LAYER_DENSE, .units = 5, .use_bias = true}};
    struct model_spec spec = {.input_rank = 1,
                              .input_shape = {300},
                              .layer_count = 2,
                              .layers = layers,
                              .loss = LOSS_MEAN_SQUARED_ERROR};
    struct error error = {0};
    struct graph *graph;
    uint64_t floats = 0, of_parameter[4] = {0};

    model_spec_name_layers(&spec);
    ck_assert_msg(graph_new(&spec, &graph, NULL, &error) == CAIRN_OK, "%s", error.message);
    ck_assert_uint_eq(graph->parameter_count, 4);
    ck_assert_uint_gt(graph->chunk_count, 1);
    for (uint32_t chunk = 0; chunk < graph->chunk_count; chunk++) {
        struct norms_segment segment = {0};
        uint64_t begin, end;

        graph_chunk(graph, chunk, &begin, &end);
        segment.end = begin;
        while (norms_next_segment(graph, end, &segment)) {
            const struct graph_parameter *parameter = &graph->parameters[segment.parameter];

            ck_assert_uint_eq(segment.begin, floats);
            ck_assert_uint_gt(segment.end, segment.begin);
            ck_assert_uint_ge(segment.begin, parameter->offset);
            ck_assert(segment.parameter == 3 || segment.end <= parameter[1].offset);
            of_parameter[segment.parameter] += segment.end - segment.begin;
            floats = segment.end;
        }
        ck_assert_uint_eq(floats, end);
    }
    for (uint32_t i = 0; i < 4; i++)
        ck_assert_uint_ge(of_parameter[i], graph->parameters[i].elements);
    graph_free(graph);
}
END_TEST

START_TEST(sums_of_squares_are_near_the_truth)
{
    float values[ODD_COUNT] = {0};

    for (size_t count = 0; count <= ODD_COUNT; count += count < 40 ? 1 : 107) {
        long double truth = 0;

        for (size_t i = 0; i < count; i++) {
            values[i] = (float)((i * 7919) % 2003) / 7 - 100;
            truth += (long double)(values[i] / 3) * (values[i] / 3);
        }
        ck_assert_double_eq_tol(norms_gradient_squares(values, 3, count), (double)truth,
                                1e-14 * (double)truth + 1e-300);
    }
}
END_TEST

START_TEST(scales_and_ratios)
{
    ck_assert_float_eq(norms_clip_scale(2, 16), 0.5f);
    ck_assert_float_eq(norms_clip_scale(2, 4), 1);
    ck_assert_float_eq(norms_clip_scale(2, 0), 1);
    ck_assert(isnan(norms_clip_scale(2, HUGE_VAL)));
    ck_assert(isnan(norms_clip_scale(2, NAN)));
    ck_assert_float_eq(norms_trust_ratio(4, 16), 0.5f);
    ck_assert_float_eq(norms_trust_ratio(0, 16), 1);
    ck_assert_float_eq(norms_trust_ratio(4, 0), 1);
}
END_TEST

/* A machine that is not so wide cannot run the test: ctest calls it skipped. */
static void leave_where_too_narrow(void)
{
#ifdef KERNEL_TARGET
    if (!__builtin_cpu_supports(KERNEL_TARGET))
        exit(77);
#endif
}

static Suite *optimizers_suite(void)
{
    Suite *suite = suite_create("optimizers");
    TCase *tests = tcase_create("optimizers"), *norms = tcase_create("norms");

    leave_where_too_narrow();

    tcase_add_loop_test(tests, a_hundred_updates_match_keras, 0, CASES);
    tcase_add_loop_test(tests, schedules_match_keras, 0, SCHEDULES);
    tcase_add_loop_test(tests, schedules_take_any_step, 0, SCHEDULES);
    tcase_add_loop_test(tests, bits_do_not_depend_on_how_elements_are_grouped, 0, CASES);
    tcase_add_loop_test(tests, arrays_may_be_updated_in_place, 0, CASES);
    tcase_add_loop_test(tests, rows_are_updated_as_arrays_are, 0, CASES);
    tcase_add_test(tests, bits_of_all_cases);
    tcase_add_loop_test(tests, gaps_stay_zero, 0, CASES);
    tcase_add_loop_test(tests, not_a_number_shows, 0, CASES);
    tcase_add_test(tests, ends_of_the_formulas);
    tcase_add_test(tests, nadam_s_product_follows_from_the_number);
    tcase_add_test(tests, every_type_has_its_slots);
    tcase_add_test(norms, segments_leave_nothing_out);
    tcase_add_test(norms, sums_of_squares_are_near_the_truth);
    tcase_add_test(norms, scales_and_ratios);
    suite_add_tcase(suite, tests);
    suite_add_tcase(suite, norms);
    return suite;
}

CHECK_MAIN(optimizers_suite)
