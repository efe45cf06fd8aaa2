/* Every layer type and loss: the gradient that backward gives against the slope of the loss itself, by finite
 * differences through a whole plan; on `ref`, and again on `cpu`. */
#include "check_main.h"
#include "compute_support.h"

/* Large enough that single precision shows the slope, small enough that curves look straight. */
#define STEP      1e-3f
#define TOLERANCE 0.02 /* of the parameter's largest slope */
#define TRIED     24   /* elements a parameter */

static double loss_at(struct plan *plan, struct model *model)
{
    struct plan_run run = model_run(model);

    OK(plan_train(plan, &run, &support_error)); /* with dropout, the same draws each time */
    return model->metrics[0];
}

/* How far a gradient is from the slope of the loss along one weight: from the nearer of those to its right
 * and left, as one step may cross a kink (of a relu, a maximum), seldom both. */
static double distance_at(struct plan *plan, struct model *model, uint64_t at, double gradient)
{
    float kept = model->weights[at];
    double here = loss_at(plan, model), right, left;

    model->weights[at] = kept + STEP;
    right = (loss_at(plan, model) - here) / (double)(model->weights[at] - kept);
    model->weights[at] = kept - STEP;
    left = (here - loss_at(plan, model)) / (double)(kept - model->weights[at]);
    model->weights[at] = kept;
    return fmin(fabs(gradient - right), fabs(gradient - left));
}

static void check_parameter(struct plan *plan, struct model *model, const struct graph_parameter *parameter,
                            const float *gradients, const char *backend)
{
    uint64_t stride = parameter->elements / TRIED + 1;
    double largest = 1e-2;

    for (uint64_t i = 0; i < parameter->elements; i++)
        largest = fmax(largest, fabs((double)gradients[parameter->offset + i]));
    for (uint64_t i = 0; i < parameter->elements; i += stride) {
        uint64_t at = parameter->offset + i;
        double distance = distance_at(plan, model, at, gradients[at]);

        ck_assert_msg(distance <= TOLERANCE * largest,
                      "%s on %s: the gradient of element %lu is %g, %g from its slope (largest %g)",
                      parameter->name, backend, (unsigned long)i, (double)gradients[at], distance, largest);
    }
}

static void check_on(struct backend *backend, struct model *model)
{
    struct plan *plan = NULL;
    float *gradients = new_floats(model->graph->floats);

    OK(plan_new(model->graph, backend, model->samples, true, &plan, &support_error));
    (void)loss_at(plan, model);
    memcpy(gradients, model->gradients, model->graph->floats * sizeof(float));
    for (uint32_t i = 0; i < model->graph->parameter_count; i++)
        check_parameter(plan, model, &model->graph->parameters[i], gradients, backend->ops->name);
    free(gradients);
    plan_free(plan);
}

/* Checks the gradients of a model whose inputs are images of 8 x 7 with 2 channels. */
static void check_model(const struct layer_spec *layers, uint32_t count, enum loss loss)
{
    const uint32_t input[3] = {8, 7, 2};
    struct backend *ref = NULL, *cpu = NULL;
    struct model model;

    model_init(&model, input, layers, count, loss);
    OK(backend_ref_new(&ref, &support_error));
    OK(backend_cpu_new(1, &cpu, &support_error));
    check_on(ref, &model);
    check_on(cpu, &model);
    backend_free(ref);
    backend_free(cpu);
    model_fini(&model);
}

/* The layer under test behind one with parameters, so that its input gradient shows in theirs. */
static void check_layer(struct layer_spec layer)
{
    const struct layer_spec layers[] = {conv2d_layer(5, 3, ACTIVATION_TANH),
                                        layer,
                                        {.type = LAYER_FLATTEN},
                                        dense_layer(3, ACTIVATION_LINEAR)};

    check_model(layers, 4, LOSS_SPARSE_CATEGORICAL_CROSSENTROPY);
}

START_TEST(test_conv2d)
{
    struct layer_spec layer = conv2d_layer(4, 3, ACTIVATION_LINEAR);

    check_layer(layer);
    layer.padding = PADDING_SAME;
    layer.strides[0] = 2;
    layer.use_bias = false;
    check_layer(layer);
    layer.activation = ACTIVATION_RELU;
    check_layer(layer);
}
END_TEST

START_TEST(test_dense)
{
    for (int activation = 0; activation < ACTIVATION_COUNT; activation++) {
        const struct layer_spec layers[] = {{.type = LAYER_FLATTEN},
                                            dense_layer(6, ACTIVATION_TANH),
                                            dense_layer(7, (enum activation)activation),
                                            dense_layer(3, ACTIVATION_LINEAR)};

        check_model(layers, 4, LOSS_SPARSE_CATEGORICAL_CROSSENTROPY);
    }
}
END_TEST

START_TEST(test_max_pooling2d)
{
    struct layer_spec layer = pooling_layer(LAYER_MAX_POOLING2D, 2, 2);

    check_layer(layer);
    layer.padding = PADDING_SAME;
    check_layer(layer);
}
END_TEST

START_TEST(test_average_pooling2d)
{
    struct layer_spec layer = pooling_layer(LAYER_AVERAGE_POOLING2D, 3, 2);

    check_layer(layer);
    layer.padding = PADDING_SAME;
    check_layer(layer);
}
END_TEST

START_TEST(test_dropout)
{
    check_layer(dropout_layer(0));
    check_layer(dropout_layer(0.4f));
}
END_TEST

START_TEST(test_activation)
{
    for (int activation = 0; activation < ACTIVATION_COUNT; activation++)
        check_layer((struct layer_spec){.type = LAYER_ACTIVATION, .activation = (enum activation)activation});
}
END_TEST

/* relu in the convolution, then the maximum: the order in which plans do the two differs from the model's. */
START_TEST(test_relu_before_pooling)
{
    const struct layer_spec layers[] = {conv2d_layer(4, 3, ACTIVATION_RELU),
                                        conv2d_layer(16, 3, ACTIVATION_RELU),
                                        pooling_layer(LAYER_MAX_POOLING2D, 2, 2),
                                        {.type = LAYER_FLATTEN},
                                        dense_layer(3, ACTIVATION_LINEAR)};

    check_model(layers, 5, LOSS_SPARSE_CATEGORICAL_CROSSENTROPY);
}
END_TEST

START_TEST(test_losses)
{
    const struct layer_spec layers[] = {
        {.type = LAYER_FLATTEN}, dense_layer(6, ACTIVATION_TANH), dense_layer(4, ACTIVATION_LINEAR)};

    for (int loss = 0; loss < LOSS_COUNT; loss++)
        check_model(layers, 3, (enum loss)loss);
}
END_TEST

/* --- losses and metrics against numbers worked out by hand --- */

static void run_loss(enum loss loss, uint32_t outputs, const float *x, const void *targets, double metrics[2],
                     float *dx)
{
    struct op_spec spec = {.kind = OP_LOSS,
                           .samples = 2,
                           .input = {1, {outputs}},
                           .output = {1, {outputs}},
                           .training = true,
                           .input_gradient = true,
                           .loss = loss,
                           .metric_count = 1,
                           .metrics = {METRIC_ACCURACY}};
    struct op_run run = {.x = x, .targets = targets, .metrics = metrics, .dx = dx};
    struct backend *backend = NULL;
    struct op *op = NULL;

    OK(backend_cpu_new(1, &backend, &support_error));
    OK(backend->ops->plan(backend, &spec, &op, &support_error));
    run.saved = host_allocate(op->saved_bytes);
    OK(op->ops->forward(op, &run, &support_error));
    OK(op->ops->backward(op, &run, &support_error));
    free(run.saved);
    op_free(op);
    backend_free(backend);
}

START_TEST(test_sparse_crossentropy)
{
    /* the second row's largest are equal: the first of them counts */
    const float x[6] = {1000, 0, 0, 0.5f, 2, 2};
    const int32_t classes[2] = {0, 2};
    double metrics[2];
    float dx[6];

    run_loss(LOSS_SPARSE_CATEGORICAL_CROSSENTROPY, 3, x, classes, metrics, dx);
    ck_assert_double_eq_tol(metrics[0], log(2 + exp(-1.5)), 1e-12);
    ck_assert_double_eq(metrics[1], 1);
    ck_assert_float_eq(dx[0], 0);
    ck_assert_float_eq_tol(dx[5], (float)(1 / (2 + exp(-1.5)) - 1), 1e-7f);
}
END_TEST

START_TEST(test_binary_crossentropy)
{
    const float x[4] = {0, 200, -200, 1}, targets[4] = {1, 1, 1, 1};
    double metrics[2];
    float dx[4];

    run_loss(LOSS_BINARY_CROSSENTROPY, 2, x, targets, metrics, dx);
    ck_assert_double_eq_tol(metrics[0], log(2) / 2 + (200 + log1p(exp(-1))) / 2, 1e-9);
    ck_assert_double_eq(metrics[1], 0.5 + 0.5); /* 0 is not above the threshold, as in Keras */
    ck_assert_float_eq(dx[0], -0.25f);
    ck_assert_float_eq(dx[2], -0.5f);
}
END_TEST

START_TEST(test_mean_squared_error)
{
    const float x[4] = {1, 2, 3, -1}, targets[4] = {0, 2, 1, 1};
    double metrics[2];
    float dx[4];

    run_loss(LOSS_MEAN_SQUARED_ERROR, 2, x, targets, metrics, dx);
    ck_assert_double_eq(metrics[0], 0.5 + 4);
    ck_assert_double_eq(metrics[1], 2); /* the largest are where the targets' first largest are */
    ck_assert_float_eq(dx[0], 1);
    ck_assert_float_eq(dx[3], -2);
    run_loss(LOSS_MEAN_SQUARED_ERROR, 1, x, targets, metrics, dx);
    ck_assert_double_eq(metrics[1], 1); /* one output: each side of one half */
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("layers");
    TCase *gradients = tcase_create("gradients"), *losses = tcase_create("losses");

    tcase_set_timeout(gradients, 60);
    tcase_add_test(gradients, test_conv2d);
    tcase_add_test(gradients, test_dense);
    tcase_add_test(gradients, test_max_pooling2d);
    tcase_add_test(gradients, test_average_pooling2d);
    tcase_add_test(gradients, test_dropout);
    tcase_add_test(gradients, test_activation);
    tcase_add_test(gradients, test_relu_before_pooling);
    tcase_add_test(gradients, test_losses);
    tcase_add_test(losses, test_sparse_crossentropy);
    tcase_add_test(losses, test_binary_crossentropy);
    tcase_add_test(losses, test_mean_squared_error);
    suite_add_tcase(suite, gradients);
    suite_add_tcase(suite, losses);
    return suite;
}

CHECK_MAIN(make_suite)
