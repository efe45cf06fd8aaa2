/* The data set is cut into leaves as a validation is; threads take leaves from a counter, and the leaves'
 * sums are added in the tree's shape: the figures do not depend on the number of threads. */
#include "evaluate.h"

#include "base/log.h"
#include "compute/compute.h"
#include "cores.h"
#include "model/formats/h5.h"
#include "runner.h"
#include "schedule.h"

#include <jansson.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LEAVES_DEFAULT 64
#define SUMS_MAX       (1 + MODEL_METRICS_MAX)

struct evaluation {
    struct job *job;
    struct model_spec *spec;
    struct graph *graph;
    float *weights;
    struct reader *reader;
    uint32_t leaves, batch;
    double (*sums)[SUMS_MAX]; /* [leaves] */
    atomic_uint next_leaf;
    atomic_bool has_failed;
    enum status status; /* of the first thread that failed */
    struct error error;
};

/* ---- computing */

static enum status evaluate_leaves(struct evaluation *evaluation, struct runner *runner, struct error *error)
{
    enum status status = CAIRN_OK;
    uint32_t leaf;

    while (status == CAIRN_OK && (leaf = atomic_fetch_add(&evaluation->next_leaf, 1)) < evaluation->leaves) {
        struct runner_evaluation run = {.reader = evaluation->reader,
                                        .batch = evaluation->batch,
                                        .weights = evaluation->weights,
                                        .sums = evaluation->sums[leaf]};

        schedule_part(reader_count(evaluation->reader), evaluation->leaves,
                      (struct tree_node){leaf, leaf + 1}, &run.begin, &run.end);
        status = runner_evaluate(runner, &run, error);
    }
    return status;
}

static void *thread_main(void *argument)
{
    struct evaluation *evaluation = argument;
    struct runner runner;
    struct error error = {.message = ""};
    enum status status = runner_init(&runner, evaluation->graph, backend_cpu_new,
                                     evaluation->job->threads_per_microbatch, &error);

    if (status == CAIRN_OK)
        status = evaluate_leaves(evaluation, &runner, &error);
    runner_fini(&runner);
    if (status != CAIRN_OK && !atomic_exchange(&evaluation->has_failed, true)) {
        evaluation->status = status;
        evaluation->error = error;
    }
    return NULL;
}

static enum status run_threads(struct evaluation *evaluation, uint32_t count, struct error *error)
{
    pthread_t *threads = calloc(count, sizeof(*threads));
    uint32_t started = 0;
    int code = 0;

    if (!threads)
        return error_set(error, CAIRN_NO_MEMORY, "out of memory for %u threads", count);
    for (; started < count && code == 0; started += code == 0)
        code = pthread_create(&threads[started], NULL, thread_main, evaluation);
    for (uint32_t i = 0; i < started; i++)
        pthread_join(threads[i], NULL);
    free(threads);
    if (code != 0)
        return error_system(error, code, "cannot start a thread");
    if (evaluation->status != CAIRN_OK)
        *error = evaluation->error;
    return evaluation->status;
}

/* The sums of leaves [begin, end), in the tree's shape, end up in those of `begin`. */
static void add_leaves(struct evaluation *evaluation, uint32_t begin, uint32_t end)
{
    uint32_t middle = begin + (end - begin) / 2;

    if (end - begin < 2)
        return;
    add_leaves(evaluation, begin, middle);
    add_leaves(evaluation, middle, end);
    for (uint32_t i = 0; i < SUMS_MAX; i++)
        evaluation->sums[begin][i] += evaluation->sums[middle][i];
}

/* ---- what is evaluated */

/* A model file without metrics is still asked how often it is right. */
static void want_accuracy(struct model_spec *spec)
{
    if (spec->metric_count > 0 || spec->loss == LOSS_MEAN_SQUARED_ERROR)
        return;
    spec->metrics[0] = METRIC_ACCURACY;
    spec->metric_count = 1;
}

/* A job says how its model is measured; a model file may not. */
static void measure_as_job(struct model_spec *spec, const struct job *job)
{
    spec->loss = job->model.loss;
    spec->metric_count = job->model.metric_count;
    memcpy(spec->metrics, job->model.metrics, sizeof(spec->metrics));
}

static enum status open_model(struct evaluation *evaluation, const struct evaluate_options *options,
                              struct error *error)
{
    enum status status = h5_read(options->model, &evaluation->spec, &evaluation->weights, error);

    if (status != CAIRN_OK)
        return status;
    if (options->job)
        measure_as_job(evaluation->spec, evaluation->job);
    if (options->loss >= 0)
        evaluation->spec->loss = (enum loss)options->loss;
    want_accuracy(evaluation->spec);
    status = graph_new(evaluation->spec, &evaluation->graph, NULL, error);
    return status == CAIRN_OK ? CAIRN_OK : error_prefix(error, status, "%s", options->model);
}

static enum status open_all(struct evaluation *evaluation, const struct evaluate_options *options,
                            struct error *error)
{
    enum status status = evaluate_options_job(options, &evaluation->job, error);
    struct reader_wants wants;

    if (status == CAIRN_OK)
        status = open_model(evaluation, options, error);
    if (status != CAIRN_OK)
        return status;
    wants = reader_wants_of(evaluation->graph);
    status = reader_open(evaluation->job, &evaluation->job->validation, &wants, &evaluation->reader, error);
    if (status != CAIRN_OK)
        return status;
    evaluation->leaves = options->job ? evaluation->job->microbatches : LEAVES_DEFAULT;
    evaluation->batch =
        options->job ? schedule_validation_batch(evaluation->job) : (uint32_t)options->batch_size;
    evaluation->sums = calloc(evaluation->leaves, sizeof(*evaluation->sums));
    return evaluation->sums ? CAIRN_OK : error_set(error, CAIRN_NO_MEMORY, "out of memory");
}

static void close_all(struct evaluation *evaluation)
{
    free(evaluation->sums);
    reader_free(evaluation->reader);
    graph_free(evaluation->graph);
    free(evaluation->weights);
    if (evaluation->spec)
        h5_spec_free(evaluation->spec);
    job_free(evaluation->job);
}

/* ---- what is said */

static const char *sum_name(const struct evaluation *evaluation, uint32_t index)
{
    return index == 0 ? "loss" : metric_name(evaluation->spec->metrics[index - 1]);
}

static double mean(const struct evaluation *evaluation, uint32_t index)
{
    return evaluation->sums[0][index] / (double)reader_count(evaluation->reader);
}

/* How many samples the model is right about; -1: it has no accuracy. */
static long long correct(const struct evaluation *evaluation)
{
    for (uint32_t i = 0; i < evaluation->spec->metric_count; i++) {
        if (evaluation->spec->metrics[i] == METRIC_ACCURACY)
            return llround(evaluation->sums[0][1 + i]);
    }
    return -1;
}

static enum status print_json(const struct evaluation *evaluation, struct error *error)
{
    json_t *root = json_object();
    int failed = root == NULL;
    char *text;

    for (uint32_t i = 0; i <= evaluation->spec->metric_count; i++) {
        double value = mean(evaluation, i);

        failed |= json_object_set_new(root, sum_name(evaluation, i), /* JSON has no infinity */
                                      isfinite(value) ? json_real(value) : json_null());
    }
    if (correct(evaluation) >= 0)
        failed |= json_object_set_new(root, "correct", json_integer(correct(evaluation)));
    failed |= json_object_set_new(root, "total", json_integer((json_int_t)reader_count(evaluation->reader)));
    text = failed ? NULL : json_dumps(root, JSON_COMPACT);
    json_decref(root);
    if (!text)
        return error_set(error, CAIRN_NO_MEMORY, "out of memory");
    puts(text);
    free(text);
    return CAIRN_OK;
}

/* A NaN's sign says nothing. */
static double printable(double value)
{
    return isnan(value) ? (double)NAN : value;
}

static void print_text(const struct evaluation *evaluation)
{
    for (uint32_t i = 0; i <= evaluation->spec->metric_count; i++)
        printf("%s%s %.6g", i > 0 ? "  " : "", sum_name(evaluation, i), printable(mean(evaluation, i)));
    if (correct(evaluation) >= 0)
        printf("  (%lld of %llu right)\n", correct(evaluation),
               (unsigned long long)reader_count(evaluation->reader));
    else
        printf("  (%llu samples)\n", (unsigned long long)reader_count(evaluation->reader));
}

static enum status evaluate(const struct evaluate_options *options, struct error *error)
{
    struct evaluation evaluation = {.status = CAIRN_OK};
    enum status status = open_all(&evaluation, options, error);
    uint32_t threads = options->threads > 0 ? (uint32_t)options->threads : core_count();

    if (status == CAIRN_OK)
        status = run_threads(&evaluation, threads < evaluation.leaves ? threads : evaluation.leaves, error);
    if (status == CAIRN_OK) {
        add_leaves(&evaluation, 0, evaluation.leaves);
        if (options->json)
            status = print_json(&evaluation, error);
        else
            print_text(&evaluation);
    }
    close_all(&evaluation);
    return status;
}

int evaluate_main(int argc, char **argv)
{
    struct evaluate_options options = {.model = NULL};
    enum settings_outcome outcome = SETTINGS_RUN;
    struct error error = {.message = ""};
    enum status status = evaluate_options_resolve(argc, argv, &options, &outcome, &error);

    if (status == CAIRN_OK && outcome != SETTINGS_RUN)
        return 0;
    log_init(LOG_LEVEL_WARN, "worker");
    if (status == CAIRN_OK)
        status = evaluate(&options, &error);
    if (status == CAIRN_OK)
        return 0;
    fprintf(stderr, "cairn-worker evaluate: %s\n", error.message);
    return status == CAIRN_INVALID ? 2 : 1;
}
