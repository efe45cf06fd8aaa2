/* Lanes over the real loader, fold and reference backend, against microbatches computed one by one and added
 * by plain recursion: the same bits for any number of lanes and any span. */
#include "check_main.h"
#include "compute/compute.h"
#include "data/sampler.h"
#include "share.h"
#include "worker_fixture.h"

#include <poll.h>
#include <stdlib.h>

static enum status make_ref(unsigned threads, struct backend **out, struct error *error)
{
    (void)threads;
    return backend_ref_new(out, error);
}

static enum status make_none(unsigned threads, struct backend **out, struct error *error)
{
    (void)threads;
    (void)out;
    return error_set(error, CAIRN_UNSUPPORTED, "no such machine");
}

struct bench {
    struct fixture fixture;
    struct job *job;
    struct reader *training, *validation;
    struct schedule schedule;
    struct weights *weights;
    struct mailbox mailbox;
    struct share share;
    uint32_t metric_count;
};

static void open_reader(const struct job *job, const struct data_source *source, struct reader **out)
{
    struct reader_wants wants = reader_wants_of(job->graph);

    ck_assert_int_eq(reader_open(job, source, &wants, out, NULL), CAIRN_OK);
}

static void bench_open(struct bench *bench, backend_maker *make, uint32_t begin, uint32_t end, uint32_t lanes)
{
    struct share_params params;

    memset(bench, 0, sizeof(*bench));
    fixture_make(&bench->fixture, "sgd", "");
    bench->job = fixture_job(&bench->fixture);
    bench->job->epochs = 0;
    bench->job->steps = 6;
    open_reader(bench->job, &bench->job->training, &bench->training);
    open_reader(bench->job, &bench->job->validation, &bench->validation);
    bench->schedule = schedule_of(bench->job, FIXTURE_TRAINING, FIXTURE_VALIDATION, 3,
                                  6); /* train 3, validate, train 4, 5 */
    bench->metric_count = lanes_metric_count(bench->job->graph);
    ck_assert_int_eq(weights_new(bench->job->graph, &bench->weights, NULL), CAIRN_OK);
    ck_assert_int_eq(mailbox_init(&bench->mailbox, NULL), CAIRN_OK);
    params = (struct share_params){.schedule = &bench->schedule,
                                   .training = bench->training,
                                   .validation = bench->validation,
                                   .span_begin = begin,
                                   .span_end = end,
                                   .metric_count = bench->metric_count,
                                   .lane_count = lanes,
                                   .make_backend = make,
                                   .weights = bench->weights,
                                   .mailbox = &bench->mailbox};
    ck_assert_int_eq(share_open(&bench->share, &params, NULL), CAIRN_OK);
}

static void bench_close(struct bench *bench)
{
    share_close(&bench->share);
    weights_free(bench->weights);
    mailbox_fini(&bench->mailbox);
    reader_free(bench->training);
    reader_free(bench->validation);
    job_free(bench->job);
    fixture_remove(&bench->fixture);
}

/* What a shard would send: the initial weights of another seed each version. */
static void make_weights(const struct bench *bench, uint64_t version, float *values)
{
    graph_initial_values(bench->job->graph, 100 + version, 0, bench->job->graph->floats, values);
}

static void send_weights(struct bench *bench, uint64_t version)
{
    const struct graph *graph = bench->job->graph;
    float *values = malloc(graph->floats * sizeof(float));

    make_weights(bench, version, values);
    weights_expect(bench->weights, version);
    for (uint32_t chunk = graph->chunk_count; chunk > 0; chunk--) {
        uint64_t begin, end;

        graph_chunk(graph, chunk - 1, &begin, &end);
        ck_assert_int_eq(weights_store(bench->weights, chunk - 1, version, values + begin, end - begin, NULL),
                         CAIRN_OK);
    }
    ck_assert(weights_complete(bench->weights));
    free(values);
}

/* Waits for so many completions of the kinds wanted; others are for later and counted there. */
static void await_completions(struct bench *bench, uint32_t seen[3], const uint32_t wanted[3])
{
    struct pollfd item = {.fd = mailbox_descriptor(&bench->mailbox), .events = POLLIN};

    while (seen[FOLD_LAYER] < wanted[0] || seen[FOLD_METRICS] < wanted[1] ||
           seen[FOLD_VALIDATION] < wanted[2]) {
        ck_assert_int_eq(poll(&item, 1, 20000), 1);
        mailbox_acknowledge(&bench->mailbox);
        for (struct mail *mail = mailbox_take(&bench->mailbox); mail; mail = mail->next) {
            ck_assert_ptr_ne(mail, &bench->share.failure);
            seen[((struct completion *)mail)->kind]++;
        }
    }
}

/* ---- the reference */

struct oracle {
    const struct bench *bench;
    struct runner runner;
    float *weights;
    uint64_t step;
};

static void oracle_open(struct oracle *oracle, const struct bench *bench, uint64_t step)
{
    oracle->bench = bench;
    oracle->step = step;
    oracle->weights = malloc(bench->job->graph->floats * sizeof(float));
    make_weights(bench, step, oracle->weights);
    ck_assert_int_eq(runner_init(&oracle->runner, bench->job->graph, make_ref, 1, NULL), CAIRN_OK);
}

static void oracle_close(struct oracle *oracle)
{
    runner_fini(&oracle->runner);
    free(oracle->weights);
}

static void oracle_train(struct oracle *oracle, uint32_t microbatch, float *gradients, double *metrics)
{
    const struct job *job = oracle->bench->job;
    struct plan_run run = {.weights = oracle->weights,
                           .seed = job->seed,
                           .step = oracle->step,
                           .gradients = gradients,
                           .metrics = metrics + 1};
    struct sampler sampler;
    struct sampler_range range;
    float features[64 * FIXTURE_SIDE * FIXTURE_SIDE];
    int32_t targets[64];
    struct plan *plan;

    ck_assert_int_eq(sampler_init(&sampler, job, FIXTURE_TRAINING, NULL), CAIRN_OK);
    range = sampler_microbatch(&sampler, oracle->step, microbatch);
    for (uint32_t i = 0; i < range.samples; i++)
        reader_read(oracle->bench->training, sampler_sample(&sampler, range.epoch, range.first + i),
                    features + i * FIXTURE_SIDE * FIXTURE_SIDE, targets + i);
    sampler_fini(&sampler);
    metrics[oracle->bench->metric_count - 1] = range.samples;
    if (range.samples == 0)
        return;
    run.first_sample = range.first_sample;
    run.inputs = features;
    run.targets = targets;
    ck_assert_int_eq(runner_plan(&oracle->runner, range.samples, true, &plan, NULL), CAIRN_OK);
    ck_assert_int_eq(plan_train(plan, &run, NULL), CAIRN_OK);
}

/* The sum over [begin, end) by recursion; gradients[floats] and metrics are zero before. */
static void oracle_sum(struct oracle *oracle, uint32_t begin, uint32_t end, float *gradients, double *metrics)
{
    uint64_t floats = oracle->bench->job->graph->floats;
    uint32_t middle = begin + (end - begin) / 2;
    double right_metrics[LANES_METRICS_MAX] = {0};
    float *right;

    if (end - begin == 1) {
        oracle_train(oracle, begin, gradients, metrics);
        return;
    }
    right = calloc(floats, sizeof(*right));
    oracle_sum(oracle, begin, middle, gradients, metrics);
    oracle_sum(oracle, middle, end, right, right_metrics);
    for (uint64_t i = 0; i < floats; i++)
        gradients[i] += right[i];
    for (uint32_t i = 0; i < LANES_METRICS_MAX; i++)
        metrics[i] += right_metrics[i];
    free(right);
}

static void check_step(struct bench *bench, uint64_t step)
{
    uint64_t floats = bench->job->graph->floats;
    struct oracle oracle;

    oracle_open(&oracle, bench, step);
    for (uint32_t cover = 0; cover < bench->share.cover_count; cover++) {
        struct tree_node node = fold_cover(bench->share.fold, cover);
        float *gradients = calloc(floats, sizeof(*gradients));
        double metrics[LANES_METRICS_MAX] = {0};

        oracle_sum(&oracle, node.begin, node.end, gradients, metrics);
        ck_assert_mem_eq(fold_gradients(bench->share.fold, cover)->data, gradients, floats * sizeof(float));
        ck_assert_mem_eq(fold_sums(bench->share.fold, cover, FOLD_METRICS), metrics,
                         bench->metric_count * sizeof(double));
        ck_assert_double_eq(metrics[bench->metric_count - 1],
                            (double)schedule_node_samples(&bench->schedule, step, node));
        fold_release(bench->share.fold, cover);
        free(gradients);
    }
    oracle_close(&oracle);
}

static void check_validation(struct bench *bench, uint64_t step)
{
    struct tree_node node = fold_cover(bench->share.fold, 0);
    const double *sums = fold_sums(bench->share.fold, 0, FOLD_VALIDATION);
    double expected[LANES_METRICS_MAX] = {0};
    struct runner_evaluation evaluation = {.reader = bench->validation, .batch = 2, .sums = expected};
    struct oracle oracle;

    oracle_open(&oracle, bench, step);
    evaluation.weights = oracle.weights;
    schedule_validation_range(&bench->schedule, node, &evaluation.begin, &evaluation.end);
    ck_assert_int_eq(runner_evaluate(&oracle.runner, &evaluation, NULL), CAIRN_OK);
    ck_assert_double_eq(sums[0], 0);
    ck_assert_double_eq_tol(sums[1], expected[0], 1e-9 * expected[0]); /* added in another order */
    ck_assert_double_eq(sums[2], expected[1]);
    ck_assert_double_eq(sums[3], (double)(evaluation.end - evaluation.begin));
    oracle_close(&oracle);
}

/* In which chunks begin. */
static uint32_t folded_layers(const struct graph *graph)
{
    uint32_t count = 0, first, end;

    for (uint32_t i = 0; i < graph->layer_count; i++) {
        graph_layer_chunks(graph, i, &first, &end);
        count += first < end;
    }
    return count;
}

static void train_and_check(uint32_t begin, uint32_t end, uint32_t lanes)
{
    struct bench bench;
    uint32_t seen[3] = {0, 0, 0}, wanted[3] = {0, 0, 0}, layers;
    struct lanes_times times;
    struct lanes_fault fault;

    bench_open(&bench, make_ref, begin, end, lanes);
    layers = folded_layers(bench.job->graph);
    ck_assert_uint_gt(bench.job->graph->chunk_count, 3);
    for (uint64_t step = 3; step < 6; step++) {
        send_weights(&bench, step);
        wanted[FOLD_LAYER] += layers * bench.share.cover_count;
        wanted[FOLD_METRICS] += bench.share.cover_count;
        wanted[FOLD_VALIDATION] += step == 4 ? bench.share.cover_count : 0;
        await_completions(&bench, seen, wanted);
        check_step(&bench, step);
        if (step == 4)
            check_validation(&bench, step);
    }
    send_weights(&bench, 6);
    wanted[FOLD_VALIDATION] += bench.share.cover_count;
    await_completions(&bench, seen, wanted);
    check_validation(&bench, 6);
    ck_assert_mem_eq(seen, wanted, sizeof(seen));
    times = lanes_times(bench.share.lanes);
    ck_assert_uint_gt(times.train_ns, 0);
    ck_assert_uint_gt(times.compute_ns, times.train_ns); /* there were validations */
    ck_assert_uint_eq(times.microbatches, 3 * (end - begin));
    ck_assert(!lanes_find_fault(bench.share.lanes, 3, &fault));
    bench_close(&bench);
}

START_TEST(one_lane_computes_the_tree)
{
    train_and_check(0, FIXTURE_MICROBATCHES, 1);
    train_and_check(3, 8, 1);
    train_and_check(2, 3, 1);
}
END_TEST

START_TEST(more_lanes_compute_the_same_bits)
{
    train_and_check(0, FIXTURE_MICROBATCHES, 2);
    train_and_check(0, FIXTURE_MICROBATCHES, 5);
    train_and_check(1, 7, 3);
    train_and_check(5, 6, 4);
}
END_TEST

START_TEST(lanes_that_wait_can_be_stopped)
{
    struct bench bench;

    bench_open(&bench, make_ref, 0, FIXTURE_MICROBATCHES, 3);
    bench_close(&bench);
}
END_TEST

START_TEST(a_lane_that_fails_says_why)
{
    struct bench bench;
    struct pollfd item;
    struct error error;

    bench_open(&bench, make_none, 0, FIXTURE_MICROBATCHES, 2);
    item = (struct pollfd){.fd = mailbox_descriptor(&bench.mailbox), .events = POLLIN};
    ck_assert_int_eq(poll(&item, 1, 20000), 1);
    ck_assert_ptr_eq(mailbox_take(&bench.mailbox), &bench.share.failure);
    ck_assert_int_eq(lanes_failure(bench.share.lanes, &error), CAIRN_UNSUPPORTED);
    ck_assert_str_eq(error.message, "no such machine");
    bench_close(&bench);
}
END_TEST

/* ---- weights */

START_TEST(weights_refuse_what_is_not_due)
{
    struct fixture fixture;
    struct job *job;
    struct weights *weights;
    float *values;
    uint64_t begin, end, waited_ns = 0;

    fixture_make(&fixture, "sgd", "");
    job = fixture_job(&fixture);
    values = calloc(job->graph->floats, sizeof(*values));
    graph_chunk(job->graph, 0, &begin, &end);
    ck_assert_int_eq(weights_new(job->graph, &weights, NULL), CAIRN_OK);
    weights_expect(weights, 7);
    ck_assert_int_eq(weights_store(weights, 0, 8, values, end, NULL), CAIRN_PROTOCOL);
    ck_assert_int_eq(weights_store(weights, 99, 7, values, end, NULL), CAIRN_PROTOCOL);
    ck_assert_int_eq(weights_store(weights, 0, 7, values, end - 1, NULL), CAIRN_PROTOCOL);
    ck_assert_int_eq(weights_store(weights, 0, 7, values, end, NULL), CAIRN_OK);
    ck_assert_int_eq(weights_store(weights, 0, 7, values, end, NULL), CAIRN_OK);
    ck_assert(!weights_complete(weights));
    ck_assert(weights_await(weights, 0, 7, &waited_ns)); /* the first layer lies in the first chunk */
    weights_close(weights);
    ck_assert(!weights_await(weights, job->graph->layer_count - 1, 7, &waited_ns));
    weights_free(weights);
    free(values);
    job_free(job);
    fixture_remove(&fixture);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("lanes");
    TCase *test = tcase_create("lanes");

    tcase_set_timeout(test, 100);
    tcase_add_test(test, one_lane_computes_the_tree);
    tcase_add_test(test, more_lanes_compute_the_same_bits);
    tcase_add_test(test, lanes_that_wait_can_be_stopped);
    tcase_add_test(test, a_lane_that_fails_says_why);
    tcase_add_test(test, weights_refuse_what_is_not_due);
    suite_add_tcase(suite, test);
    return suite;
}

CHECK_MAIN(make_suite)
