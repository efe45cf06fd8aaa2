/* `evaluate` on a model file and data made here, against a runner's own sums; and what it refuses. */
#include "check_main.h"
#include "compute/compute.h"
#include "evaluate.h"
#include "model/formats/h5.h"
#include "runner.h"
#include "worker_fixture.h"

#include <jansson.h>
#include <stdarg.h>
#include <stdlib.h>

#define LOSS "sparse_categorical_crossentropy" /* which the model file does not name */

struct stage {
    struct fixture fixture;
    struct job *job;
    char model[128], job_file[128], output[128];
};

static void stage_open(struct stage *stage)
{
    float *weights;

    fixture_make(&stage->fixture, "sgd", "");
    fixture_write(&stage->fixture, "job.yaml", (const unsigned char *)stage->fixture.text,
                  strlen(stage->fixture.text));
    stage->job = fixture_job(&stage->fixture);
    snprintf(stage->model, sizeof(stage->model), "%s/model.h5", stage->fixture.folder);
    snprintf(stage->job_file, sizeof(stage->job_file), "%s/job.yaml", stage->fixture.folder);
    snprintf(stage->output, sizeof(stage->output), "%s/output", stage->fixture.folder);
    weights = calloc(stage->job->graph->floats, sizeof(*weights));
    graph_initial_values(stage->job->graph, 5, 0, stage->job->graph->floats, weights);
    ck_assert_int_eq(h5_write(stage->model, stage->job->graph, "small", weights, NULL, NULL), CAIRN_OK);
    free(weights);
}

static void stage_close(struct stage *stage)
{
    job_free(stage->job);
    fixture_remove(&stage->fixture);
}

/* Runs the command with the words given, NULL at their end; its exit code. Its output is in stage->output. */
static int run(struct stage *stage, ...)
{
    char *words[24] = {(char *)"evaluate", stage->model};
    int count = 2, code;
    va_list list;

    va_start(list, stage);
    while (count < 23 && (words[count] = va_arg(list, char *)) != NULL)
        count++;
    va_end(list);
    ck_assert_ptr_nonnull(freopen(stage->output, "w", stdout));
    code = evaluate_main(count, words);
    fflush(stdout);
    return code;
}

static json_t *printed(const struct stage *stage)
{
    json_error_t error;
    json_t *root = json_load_file(stage->output, 0, &error);

    ck_assert_msg(root != NULL, "%s", error.text);
    return root;
}

/* The sums over the validation set, at once. */
static void expected_sums(const struct stage *stage, double sums[2])
{
    struct reader_wants wants = reader_wants_of(stage->job->graph);
    struct runner_evaluation evaluation = {
        .end = FIXTURE_VALIDATION, .batch = FIXTURE_VALIDATION, .sums = sums};
    struct reader *reader;
    struct runner runner;
    float *weights = calloc(stage->job->graph->floats, sizeof(*weights));

    graph_initial_values(stage->job->graph, 5, 0, stage->job->graph->floats, weights);
    ck_assert_int_eq(reader_open(stage->job, &stage->job->validation, &wants, &reader, NULL), CAIRN_OK);
    ck_assert_int_eq(runner_init(&runner, stage->job->graph, backend_cpu_new, 1, NULL), CAIRN_OK);
    evaluation.reader = reader;
    evaluation.weights = weights;
    ck_assert_int_eq(runner_evaluate(&runner, &evaluation, NULL), CAIRN_OK);
    runner_fini(&runner);
    reader_free(reader);
    free(weights);
}

static void expect_figures(const struct stage *stage)
{
    double sums[2] = {0, 0};
    json_t *root = printed(stage);

    expected_sums(stage, sums);
    ck_assert_int_eq(json_integer_value(json_object_get(root, "total")), FIXTURE_VALIDATION);
    ck_assert_int_eq(json_integer_value(json_object_get(root, "correct")), (long long)sums[1]);
    ck_assert_double_eq_tol(json_real_value(json_object_get(root, "loss")), sums[0] / FIXTURE_VALIDATION,
                            1e-6);
    ck_assert_double_eq_tol(json_real_value(json_object_get(root, "accuracy")), sums[1] / FIXTURE_VALIDATION,
                            1e-12);
    json_decref(root);
}

START_TEST(figures_are_the_same_for_all_ways_to_name_the_data)
{
    char images[128], labels[128];
    struct stage stage;

    stage_open(&stage);
    ck_assert_int_eq(run(&stage, "--job", stage.job_file, "--json", NULL), 0);
    expect_figures(&stage);
    ck_assert_int_eq(run(&stage, "--job", stage.job_file, "--json", "--threads", "3", NULL), 0);
    expect_figures(&stage);
    snprintf(images, sizeof(images), "%s/test-images", stage.fixture.folder);
    snprintf(labels, sizeof(labels), "%s/test-labels", stage.fixture.folder);
    ck_assert_int_eq(run(&stage, "--features", images, "--labels", labels, "--scale", "1/255", "--json",
                         "--batch-size", "5", "--loss", LOSS, NULL),
                     0);
    expect_figures(&stage);
    stage_close(&stage);
}
END_TEST

START_TEST(mnist_is_found_by_its_names)
{
    struct stage stage;

    stage_open(&stage);
    fixture_write_images(&stage.fixture, "t10k-images-idx3-ubyte", FIXTURE_VALIDATION);
    ck_assert_int_eq(run(&stage, "--data", stage.fixture.folder, "--json", NULL), 1);
    fixture_write_labels(&stage.fixture, "t10k-labels-idx1-ubyte", FIXTURE_VALIDATION);
    ck_assert_int_eq(run(&stage, "--data", stage.fixture.folder, "--json", "--loss", LOSS, NULL), 0);
    expect_figures(&stage);
    stage_close(&stage);
}
END_TEST

START_TEST(text_says_how_many_are_right)
{
    struct stage stage;
    char line[256] = "";
    FILE *file;

    stage_open(&stage);
    ck_assert_int_eq(run(&stage, "--job", stage.job_file, NULL), 0);
    file = fopen(stage.output, "r");
    ck_assert_ptr_nonnull(fgets(line, sizeof(line), file));
    fclose(file);
    ck_assert_int_eq(strncmp(line, "loss ", 5), 0);
    ck_assert_ptr_nonnull(strstr(line, "  accuracy "));
    ck_assert_ptr_nonnull(strstr(line, " of 13 right)\n"));
    stage_close(&stage);
}
END_TEST

START_TEST(what_does_not_fit_is_refused)
{
    struct stage stage;

    stage_open(&stage);
    ck_assert_int_eq(run(&stage, NULL), 2);
    ck_assert_int_eq(run(&stage, "--job", stage.job_file, "--data", "x", NULL), 2);
    ck_assert_int_eq(run(&stage, "--features", "x", NULL), 2);
    ck_assert_int_eq(run(&stage, "--features", "x", "--labels", "y", "--scale", "1/0", NULL), 2);
    ck_assert_int_eq(run(&stage, "--features", "x", "--labels", "y", "--scale", "1/", NULL), 2);
    ck_assert_int_eq(run(&stage, "--features", "x", "--labels", "y", "--scale", "much", NULL), 2);
    ck_assert_int_eq(run(&stage, "--features", "x", "--format", "png", NULL), 2);
    ck_assert_int_eq(run(&stage, "--job", stage.job_file, "--loss", "regret", NULL), 2);
    ck_assert_int_eq(run(&stage, "--job", stage.job_file, "--batch-size", "0", NULL), 2);
    ck_assert_int_eq(run(&stage, "--job", "/nowhere/job.yaml", NULL), 1);
    ck_assert_int_eq(run(&stage, "--features", "/nowhere/x", "--labels", "/nowhere/y", NULL), 1);
    ck_assert_int_eq(run(&stage, "--help", NULL), 0);
    unlink(stage.model);
    ck_assert_int_ne(run(&stage, "--job", stage.job_file, NULL), 0);
    stage_close(&stage);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("evaluate");
    TCase *test = tcase_create("evaluate");

    tcase_set_timeout(test, 60);
    tcase_add_test(test, figures_are_the_same_for_all_ways_to_name_the_data);
    tcase_add_test(test, mnist_is_found_by_its_names);
    tcase_add_test(test, text_says_how_many_are_right);
    tcase_add_test(test, what_does_not_fit_is_refused);
    suite_add_tcase(suite, test);
    return suite;
}

CHECK_MAIN(make_suite)
