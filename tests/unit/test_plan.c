/* Plans: the order of work, what evaluation leaves out, equal results on both backends, and refusals. */
#include "check_main.h"
#include "compute_support.h"

#include "model/chain.h"

#include <math.h>
#include <pthread.h>

#define CLOSE 1e-5 /* normalised: a whole small network, Winograd's convolutions in it */

static const uint32_t image[3] = {14, 14, 1};

/* The network of the README's figures, smaller. Parameters are in layers 0, 1, 5 and 7. */
static uint32_t fill_network(struct layer_spec layers[8], float rate)
{
    const struct layer_spec all[] = {
        conv2d_layer(16, 3, ACTIVATION_RELU),
        conv2d_layer(32, 3, ACTIVATION_RELU),
        pooling_layer(LAYER_MAX_POOLING2D, 2, 2),
        dropout_layer(rate),
        {.type = LAYER_FLATTEN},
        dense_layer(24, ACTIVATION_RELU),
        dropout_layer(rate),
        dense_layer(10, ACTIVATION_LINEAR),
    };

    memcpy(layers, all, sizeof(all));
    return sizeof(all) / sizeof(all[0]);
}

static void network_init(struct model *model, float rate)
{
    struct layer_spec layers[8];
    uint32_t count = fill_network(layers, rate);

    model_init(model, image, layers, count, LOSS_SPARSE_CATEGORICAL_CROSSENTROPY);
}

static struct backend *new_backend(bool reference)
{
    struct backend *backend = NULL;

    if (reference)
        OK(backend_ref_new(&backend, &support_error));
    else
        OK(backend_cpu_new(1, &backend, &support_error));
    return backend;
}

static struct plan *new_plan(struct model *model, struct backend *backend, bool training)
{
    struct plan *plan = NULL;

    OK(plan_new(model->graph, backend, model->samples, training, &plan, &support_error));
    return plan;
}

/* --- the order of work --- */

struct calls {
    uint32_t count, give_up_at; /* the layer before whose weights it stops */
    int layers[32];             /* +1 + layer: weights asked for; -1 - layer: gradients ready */
};

static bool weights_ready(void *context, uint32_t layer)
{
    struct calls *calls = context;

    calls->layers[calls->count++] = 1 + (int)layer;
    return layer != calls->give_up_at;
}

static void gradients_ready(void *context, uint32_t layer)
{
    struct calls *calls = context;

    calls->layers[calls->count++] = -1 - (int)layer;
}

START_TEST(test_order)
{
    static const int train[] = {1, 2, 6, 8, -8, -6, -2, -1}, evaluate[] = {1, 2, 6, 8};
    struct calls calls = {.give_up_at = UINT32_MAX};
    struct backend *backend = new_backend(_i == 0);
    struct model model;
    struct plan *plan;
    struct plan_run run;

    network_init(&model, 0.3f);
    plan = new_plan(&model, backend, true);
    run = model_run(&model);
    run.weights_ready = weights_ready;
    run.gradients_ready = gradients_ready;
    run.context = &calls;
    OK(plan_train(plan, &run, &support_error));
    ck_assert_uint_eq(calls.count, 8);
    ck_assert_mem_eq(calls.layers, train, sizeof(train));
    calls.count = 0;
    OK(plan_evaluate(plan, &run, &support_error));
    ck_assert_uint_eq(calls.count, 4);
    ck_assert_mem_eq(calls.layers, evaluate, sizeof(evaluate));
    plan_free(plan);
    backend_free(backend);
    model_fini(&model);
}
END_TEST

/* Weights that never come end the run at once; the plan can be used again. */
START_TEST(test_giving_up)
{
    struct calls calls = {.give_up_at = 5};
    struct backend *backend = new_backend(_i == 0);
    struct model model;
    struct plan *plan;
    struct plan_run run;
    struct error error;

    network_init(&model, 0.3f);
    plan = new_plan(&model, backend, true);
    run = model_run(&model);
    run.weights_ready = weights_ready;
    run.context = &calls;
    ck_assert_int_eq(plan_train(plan, &run, &error), CAIRN_CLOSED);
    ck_assert_uint_eq(calls.count, 3);
    ck_assert_ptr_nonnull(strstr(error.message, "dense"));
    calls = (struct calls){.give_up_at = UINT32_MAX};
    OK(plan_train(plan, &run, &support_error));
    plan_free(plan);
    backend_free(backend);
    model_fini(&model);
}
END_TEST

/* --- results --- */

START_TEST(test_cpu_as_ref)
{
    struct backend *ref = new_backend(true), *cpu = new_backend(false);
    struct model expected, got;
    struct plan *ref_plan, *cpu_plan;
    struct plan_run run;

    network_init(&expected, 0.3f);
    network_init(&got, 0.3f);
    ref_plan = new_plan(&expected, ref, true);
    cpu_plan = new_plan(&got, cpu, true);
    run = model_run(&expected);
    OK(plan_train(ref_plan, &run, &support_error));
    run = model_run(&got);
    OK(plan_train(cpu_plan, &run, &support_error));
    ck_assert_double_eq_tol(expected.metrics[0], got.metrics[0], 1e-4);
    ck_assert_double_eq(expected.metrics[1], got.metrics[1]);
    ck_assert_double_le(normalised_error(plan_output(ref_plan), plan_output(cpu_plan), 4 * 10), CLOSE);
    for (uint32_t i = 0; i < got.graph->parameter_count; i++) {
        const struct graph_parameter *parameter = &got.graph->parameters[i];
        double error = normalised_error(expected.gradients + parameter->offset,
                                        got.gradients + parameter->offset, parameter->elements);

        ck_assert_msg(error <= CLOSE, "%s: normalised error %.2e", parameter->name, error);
    }
    plan_free(ref_plan);
    plan_free(cpu_plan);
    backend_free(ref);
    backend_free(cpu);
    model_fini(&expected);
    model_fini(&got);
}
END_TEST

/* Without dropout, training's forward is evaluation's; a plan without training agrees with both. */
START_TEST(test_evaluation)
{
    struct backend *backend = new_backend(_i == 0);
    struct model model;
    struct plan *training, *inference;
    struct plan_run run;
    double metrics[2];
    float output[40];

    network_init(&model, 0);
    training = new_plan(&model, backend, true);
    inference = new_plan(&model, backend, false);
    run = model_run(&model);
    OK(plan_train(training, &run, &support_error));
    memcpy(metrics, model.metrics, sizeof(metrics));
    memcpy(output, plan_output(training), sizeof(output));
    OK(plan_evaluate(training, &run, &support_error));
    ck_assert_mem_eq(metrics, model.metrics, sizeof(metrics));
    ck_assert_mem_eq(output, plan_output(training), sizeof(output));
    run.gradients = NULL;
    OK(plan_evaluate(inference, &run, &support_error));
    ck_assert_double_eq_tol(metrics[0], model.metrics[0], 1e-4);
    ck_assert_double_le(normalised_error(output, plan_output(inference), 40), CLOSE);
    plan_free(training);
    plan_free(inference);
    backend_free(backend);
    model_fini(&model);
}
END_TEST

/* Dropout is left out of evaluation, and drawn anew for each step. */
START_TEST(test_dropout)
{
    struct backend *backend = new_backend(_i == 0);
    struct model with, without;
    struct plan *plan, *other;
    struct plan_run run;
    double first, second;

    network_init(&with, 0.3f);
    network_init(&without, 0);
    plan = new_plan(&with, backend, true);
    other = new_plan(&without, backend, true);
    run = model_run(&with);
    OK(plan_evaluate(plan, &run, &support_error));
    OK(plan_train(plan, &run, &support_error));
    first = with.metrics[0];
    run.step++;
    OK(plan_train(plan, &run, &support_error));
    second = with.metrics[0];
    run.step--;
    OK(plan_train(plan, &run, &support_error));
    ck_assert_double_ne(first, second);
    ck_assert_double_eq(first, with.metrics[0]);
    OK(plan_evaluate(plan, &run, &support_error));
    run = model_run(&without);
    OK(plan_evaluate(other, &run, &support_error));
    ck_assert_double_eq(with.metrics[0], without.metrics[0]);
    plan_free(plan);
    plan_free(other);
    backend_free(backend);
    model_fini(&with);
    model_fini(&without);
}
END_TEST

/* A batch in two parts draws the dropout that it draws in one, and its gradients are their sum. */
START_TEST(test_parts_of_a_batch)
{
    struct backend *backend = new_backend(true);
    struct model whole, half;
    struct plan *plan, *half_plan;
    struct plan_run run;
    float *sum;
    double loss = 0;

    network_init(&whole, 0.3f);
    network_init(&half, 0.3f);
    half.samples = 2;
    plan = new_plan(&whole, backend, true);
    half_plan = new_plan(&half, backend, true);
    sum = new_floats(whole.graph->floats);
    run = model_run(&whole);
    OK(plan_train(plan, &run, &support_error));
    for (uint32_t part = 0; part < 2; part++) {
        run = model_run(&half);
        run.first_sample += 2 * part;
        run.inputs += (size_t)part * 2 * 14 * 14;
        run.targets = half.classes + (size_t)2 * part;
        OK(plan_train(half_plan, &run, &support_error));
        loss += half.metrics[0];
        for (uint64_t i = 0; i < half.graph->floats; i++)
            sum[i] += half.gradients[i];
    }
    ck_assert_double_eq_tol(loss, whole.metrics[0], 1e-5);
    ck_assert_double_le(normalised_error(whole.gradients, sum, whole.graph->floats), CLOSE);
    free(sum);
    plan_free(plan);
    plan_free(half_plan);
    backend_free(backend);
    model_fini(&whole);
    model_fini(&half);
}
END_TEST

/* --- equal bits --- */

static void *train_alone(void *argument)
{
    struct model *model = argument;
    struct backend *backend = new_backend(false);
    struct plan *plan = new_plan(model, backend, true);
    struct plan_run run = model_run(model);

    for (run.step = 0; run.step < 3; run.step++)
        OK(plan_train(plan, &run, &support_error));
    plan_free(plan);
    backend_free(backend);
    return NULL;
}

START_TEST(test_equal_bits)
{
    struct model models[3];
    pthread_t threads[2];

    for (int i = 0; i < 3; i++)
        network_init(&models[i], 0.3f);
    (void)train_alone(&models[0]);
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, train_alone, &models[1 + i]), 0);
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
        ck_assert_mem_eq(models[0].gradients, models[1 + i].gradients,
                         models[0].graph->floats * sizeof(float));
        ck_assert_mem_eq(models[0].metrics, models[1 + i].metrics, sizeof(models[0].metrics));
    }
    for (int i = 0; i < 3; i++)
        model_fini(&models[i]);
}
END_TEST

/* What lies between two parameters is nobody's: it stays as it was. */
START_TEST(test_gaps)
{
    struct backend *backend = new_backend(_i == 0);
    struct model model;
    struct plan *plan;
    struct plan_run run;

    network_init(&model, 0);
    for (uint64_t i = 0; i < model.graph->floats; i++)
        model.gradients[i] = 77;
    plan = new_plan(&model, backend, true);
    run = model_run(&model);
    OK(plan_train(plan, &run, &support_error));
    for (uint32_t i = 0; i < model.graph->parameter_count; i++) {
        const struct graph_parameter *parameter = &model.graph->parameters[i];
        uint64_t end = i + 1 < model.graph->parameter_count ? parameter[1].offset : model.graph->floats;

        for (uint64_t at = parameter->offset + parameter->elements; at < end; at++)
            ck_assert_float_eq(model.gradients[at], 77);
    }
    plan_free(plan);
    backend_free(backend);
    model_fini(&model);
}
END_TEST

/* --- the row of operations --- */

START_TEST(test_chain)
{
    static const enum op_kind kinds[] = {OP_CONV2D, OP_CONV2D,  OP_MAX_POOLING2D, OP_DROPOUT,
                                         OP_DENSE,  OP_DROPOUT, OP_DENSE,         OP_LOSS};
    struct model model;
    struct chain chain;

    network_init(&model, 0.3f);
    OK(chain_init(&chain, model.graph, 4, true, &support_error));
    ck_assert_uint_eq(chain.count, 8);
    for (uint32_t i = 0; i < chain.count; i++) {
        ck_assert_int_eq(chain.links[i].spec.kind, kinds[i]);
        ck_assert_int_eq(chain.links[i].spec.input_gradient, i > 0);
    }
    ck_assert_int_eq(chain.links[0].spec.activation, ACTIVATION_RELU);
    ck_assert_int_eq(chain.links[1].spec.activation, ACTIVATION_LINEAR); /* behind the pooling now */
    ck_assert_int_eq(chain.links[2].spec.activation, ACTIVATION_RELU);
    chain_fini(&chain);
    model_fini(&model);
}
END_TEST

/* --- shapes that put layers side by side in other ways --- */

/* cpu as ref; and once more the same bits on the memory that the first run has used. */
static void check_shapes(const struct layer_spec *layers, uint32_t count, enum loss loss)
{
    struct backend *ref = new_backend(true), *cpu = new_backend(false);
    struct model expected, got;
    struct plan *ref_plan, *cpu_plan;
    struct plan_run run;
    float *first;

    model_init(&expected, image, layers, count, loss);
    model_init(&got, image, layers, count, loss);
    ref_plan = new_plan(&expected, ref, true);
    cpu_plan = new_plan(&got, cpu, true);
    run = model_run(&expected);
    OK(plan_train(ref_plan, &run, &support_error));
    run = model_run(&got);
    OK(plan_train(cpu_plan, &run, &support_error));
    ck_assert_double_le(normalised_error(expected.gradients, got.gradients, got.graph->floats), CLOSE);
    first = got.gradients;
    got.gradients = run.gradients = new_floats(got.graph->floats);
    run.step++;
    OK(plan_train(cpu_plan, &run, &support_error));
    run.step--;
    OK(plan_train(cpu_plan, &run, &support_error));
    ck_assert_mem_eq(first, got.gradients, got.graph->floats * sizeof(float));
    free(first);
    plan_free(ref_plan);
    plan_free(cpu_plan);
    backend_free(ref);
    backend_free(cpu);
    model_fini(&expected);
    model_fini(&got);
}

START_TEST(test_other_models)
{
    const struct layer_spec images_out[] = {conv2d_layer(20, 3, ACTIVATION_GELU),
                                            conv2d_layer(3, 1, ACTIVATION_LINEAR)};
    const struct layer_spec first_without_parameters[] = {
        pooling_layer(LAYER_AVERAGE_POOLING2D, 2, 2),
        dropout_layer(0.2f),
        {.type = LAYER_ACTIVATION, .activation = ACTIVATION_TANH},
        {.type = LAYER_FLATTEN},
        {.type = LAYER_FLATTEN},
        dense_layer(5, ACTIVATION_LINEAR)};
    const struct layer_spec dropped_image[] = {conv2d_layer(16, 3, ACTIVATION_RELU),
                                               dropout_layer(0.5f),
                                               conv2d_layer(17, 3, ACTIVATION_SIGMOID),
                                               pooling_layer(LAYER_MAX_POOLING2D, 2, 1),
                                               {.type = LAYER_ACTIVATION, .activation = ACTIVATION_SOFTMAX},
                                               {.type = LAYER_FLATTEN},
                                               dense_layer(3, ACTIVATION_LINEAR),
                                               dropout_layer(0.1f)};

    check_shapes(images_out, 2, LOSS_MEAN_SQUARED_ERROR);
    check_shapes(first_without_parameters, 6, LOSS_BINARY_CROSSENTROPY);
    check_shapes(dropped_image, 8, LOSS_SPARSE_CATEGORICAL_CROSSENTROPY);
}
END_TEST

/* --- refusals --- */

START_TEST(test_refusals)
{
    struct backend *backend = new_backend(_i == 0);
    struct model model;
    struct plan *plan = NULL;
    struct plan_run run;
    struct error error;

    network_init(&model, 0);
    ck_assert_int_eq(plan_new(model.graph, backend, 0, true, &plan, &error), CAIRN_INVALID);
    ck_assert_ptr_null(plan);
    plan_free(NULL);
    plan = new_plan(&model, backend, true);
    run = model_run(&model);
    model.classes[2] = 10;
    ck_assert_int_eq(plan_train(plan, &run, &error), CAIRN_INVALID);
    ck_assert_str_eq(error.message, "a sample has class 10, allowed: 0 to 9, the model's outputs");
    model.classes[2] = -1;
    ck_assert_int_eq(plan_evaluate(plan, &run, &error), CAIRN_INVALID);
    ck_assert_uint_eq(plan_metric_count(model.graph), 2);
    plan_free(plan);
    backend_free(backend);
    model_fini(&model);
}
END_TEST

/* --- numbers that are none --- */

START_TEST(test_first_not_finite)
{
    struct backend *backend = new_backend(_i == 0);
    struct model model;
    struct plan *plan;
    struct plan_run run;

    network_init(&model, 0.3f);
    plan = new_plan(&model, backend, true);
    run = model_run(&model);
    OK(plan_train(plan, &run, &support_error));
    ck_assert_uint_eq(plan_first_not_finite(plan, run.inputs), model.graph->layer_count);
    for (uint32_t i = 0; i < model.graph->layer_count; i++) {
        const struct graph_layer *layer = &model.graph->layers[i];
        float *bias, before;

        if (layer->parameter_count < 2)
            continue;
        bias = &model.weights[model.graph->parameters[layer->first_parameter + 1].offset];
        before = *bias;
        *bias = INFINITY;
        OK(plan_train(plan, &run, &support_error));
        ck_assert_uint_eq(plan_first_not_finite(plan, run.inputs), i);
        *bias = before;
    }
    model.inputs[3] = NAN;
    OK(plan_train(plan, &run, &support_error));
    ck_assert_uint_eq(plan_first_not_finite(plan, run.inputs), PLAN_INPUTS);
    plan_free(plan);
    backend_free(backend);
    model_fini(&model);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("plan");
    TCase *plans = tcase_create("plans");

    tcase_set_timeout(plans, 60);
    tcase_add_loop_test(plans, test_order, 0, 2);
    tcase_add_loop_test(plans, test_giving_up, 0, 2);
    tcase_add_test(plans, test_cpu_as_ref);
    tcase_add_loop_test(plans, test_evaluation, 0, 2);
    tcase_add_loop_test(plans, test_dropout, 0, 2);
    tcase_add_test(plans, test_parts_of_a_batch);
    tcase_add_test(plans, test_equal_bits);
    tcase_add_loop_test(plans, test_gaps, 0, 2);
    tcase_add_test(plans, test_chain);
    tcase_add_test(plans, test_other_models);
    tcase_add_loop_test(plans, test_refusals, 0, 2);
    tcase_add_loop_test(plans, test_first_not_finite, 0, 2);
    suite_add_tcase(suite, plans);
    return suite;
}

CHECK_MAIN(make_suite)
