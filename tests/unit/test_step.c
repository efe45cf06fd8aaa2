/* Step threads of several workers against real shard threads, in one process: the same model whatever the
 * number of workers, lanes and shards; stopping and going on; what fails, fails with a line. */
#include "base/log.h"
#include "step_cluster.h"

/* The outcome of a whole training. */
struct outcome {
    char model_hash[HASH_TEXT_BYTES];
    double training[2], validation[2]; /* loss and accuracy at the end */
};

static struct outcome outcome_of(const struct cluster *cluster)
{
    const struct heard *heard = &cluster->heard[0];
    struct outcome outcome;

    memset(&outcome, 0, sizeof(outcome));
    memcpy(outcome.model_hash, heard->end.model_hash, sizeof(outcome.model_hash));
    memcpy(outcome.training, heard->last_progress.figures.means, sizeof(outcome.training));
    memcpy(outcome.validation, heard->last_validation.figures.means, sizeof(outcome.validation));
    return outcome;
}

/* codec: a line for the job file, or "". */
static struct outcome coded_training(const char *codec, uint32_t workers, uint32_t lanes, uint32_t shards,
                                     backend_maker *make)
{
    struct cluster *cluster = malloc(sizeof(*cluster));
    struct outcome outcome;

    cluster_open(cluster, shards, "{adam: {learning_rate: 0.01}}", codec);
    start_workers(cluster, workers, lanes, make);
    train(cluster, 0, FIXTURE_STEPS, "");
    expect_end(cluster, FIXTURE_STEPS);
    for (uint32_t i = 0; i < workers; i++) {
        ck_assert_uint_eq(cluster->heard[i].validated, 2);
        ck_assert_uint_ge(cluster->heard[i].progressed, 2);
        ck_assert_uint_eq(cluster->heard[i].last_progress.figures.step, FIXTURE_STEPS);
        ck_assert_uint_eq(cluster->heard[i].last_validation.figures.step, FIXTURE_STEPS);
    }
    outcome = outcome_of(cluster);
    cluster_close(cluster);
    free(cluster);
    return outcome;
}

static struct outcome whole_training(uint32_t workers, uint32_t lanes, uint32_t shards, backend_maker *make)
{
    return coded_training("", workers, lanes, shards, make);
}

static void same_outcome(const struct outcome *expected, uint32_t workers, uint32_t lanes, uint32_t shards,
                         backend_maker *make)
{
    struct outcome outcome = whole_training(workers, lanes, shards, make);

    ck_assert_str_eq(outcome.model_hash, expected->model_hash);
    ck_assert_mem_eq(&outcome, expected, sizeof(outcome));
}

START_TEST(the_model_is_the_same_for_all_workers_lanes_and_shards)
{
    struct outcome expected = whole_training(1, 1, 1, make_ref);

    ck_assert_double_gt(expected.validation[1], 0.6); /* it learns: a guess is right in a third */
    same_outcome(&expected, 1, 2, 2, make_ref);
    same_outcome(&expected, 3, 2, 2, make_ref);
#ifndef __SANITIZE_THREAD__
    same_outcome(&expected, 2, 1, 1, make_ref);
    same_outcome(&expected, 3, 1, 3, make_ref);
    same_outcome(&expected, 5, 1, 2, make_ref);
    same_outcome(&expected, 5, 2, 1, make_ref);
#endif
}
END_TEST

START_TEST(the_cpu_backend_keeps_the_promise_too)
{
    struct outcome expected = whole_training(1, 1, 1, backend_cpu_new);

    same_outcome(&expected, 1, 3, 1, backend_cpu_new);
    same_outcome(&expected, 2, 2, 2, backend_cpu_new);
    same_outcome(&expected, 5, 1, 1, backend_cpu_new);
}
END_TEST

/* Those of sixteen bits carry weights as well; the last is none. For threads one is enough. */
static const char *const codecs[] = {
#ifndef __SANITIZE_THREAD__
    "  codec: {float16: {rounding: stochastic}}\n",
    "  codec: {int8: {block: 16, rounding: nearest}}\n",
    "  codec: int8\n",
#endif
    "  codec: bfloat16\n",
    "",
};
#define CODECS (int)(sizeof(codecs) / sizeof(codecs[0]))

static bool carries_weights(int codec)
{
    return strstr(codecs[codec], "float16") != NULL;
}

/* Lanes fold several microbatches, shards the rest, each in other parts. */
START_TEST(the_model_is_the_same_in_every_codec)
{
    static const uint32_t clusters[][3] = {
        {1, 3, 2},
        {3, 1, 3},
#ifndef __SANITIZE_THREAD__
        {2, 2, 1},
        {5, 2, 2},
#endif
    };
    struct outcome plain = whole_training(1, 1, 1, make_ref);
    struct outcome expected = coded_training(codecs[_i], 1, 1, 1, make_ref);

    ck_assert_str_ne(expected.model_hash, plain.model_hash);
    ck_assert_double_gt(expected.validation[1], 0.6);
    ck_assert_double_eq_tol(expected.training[0], plain.training[0], 0.05);
    for (size_t i = 0; i < sizeof(clusters) / sizeof(clusters[0]); i++) {
        struct outcome outcome =
            coded_training(codecs[_i], clusters[i][0], clusters[i][1], clusters[i][2], make_ref);

        ck_assert_str_eq(outcome.model_hash, expected.model_hash);
        ck_assert_mem_eq(&outcome, &expected, sizeof(outcome));
    }
}
END_TEST

/* All end at one step, with one model, and others can go on from there. */
static void stop_and_go_on(const char *codec, uint32_t voter)
{
    struct cluster *cluster = malloc(sizeof(*cluster));
    uint64_t stopped;

    cluster_open(cluster, 2, "{adam: {learning_rate: 0.01}}", codec);
    start_workers(cluster, 3, 1, make_ref);
    begin_epoch(cluster, 0, 1000000, "");
    while (cluster->heard[0].validated == 0)
        hear(cluster);
    tell(cluster, voter, STEP_VOTE);
    while (!all_ended(cluster))
        hear(cluster);
    stopped = cluster->heard[0].end.figures.step;
    ck_assert_uint_ge(stopped, 4);
    expect_end(cluster, stopped);
    stop_workers(cluster);
    start_workers(cluster, 2, 2, make_ref);
    train(cluster, stopped, stopped + 3, "");
    expect_end(cluster, stopped + 3);
    cluster_close(cluster);
    free(cluster);
}

START_TEST(a_vote_ends_all_at_the_same_step)
{
    stop_and_go_on(codecs[_i], 0);
    stop_and_go_on(codecs[_i], 2);
}
END_TEST

/* It is the end all the same: validated and written. */
START_TEST(a_vote_in_the_last_step_changes_nothing)
{
    struct cluster *cluster = malloc(sizeof(*cluster));

    cluster_open(cluster, 2, "sgd", "");
    set_steps(cluster, 1);
    start_workers(cluster, 2, 1, make_ref);
    tell(cluster, 1, STEP_VOTE);
    train(cluster, 0, 1, "model.h5");
    expect_end(cluster, 1);
    for (uint32_t i = 0; i < 2; i++)
        ck_assert_uint_eq(cluster->heard[i].validated, 1);
    ck_assert_str_ne(cluster->heard[0].end.output, "");
    cluster_close(cluster);
    free(cluster);
}
END_TEST

/* A part of a training by other workers; they end at its last step. */
static void train_part(struct cluster *cluster, uint32_t workers, uint32_t lanes, uint64_t first_step,
                       uint64_t final_step)
{
    stop_workers(cluster);
    start_workers(cluster, workers, lanes, make_ref);
    train(cluster, first_step, final_step, "");
    expect_end(cluster, final_step);
}

/* A vote that is there before training begins ends it after the first step, or the next, from which weights
 * must come as they are; then the rest, in parts. */
START_TEST(a_training_in_parts_is_the_same)
{
    struct outcome expected = coded_training(codecs[_i], 1, 1, 1, make_ref);
    struct cluster *cluster = malloc(sizeof(*cluster));
    uint64_t stopped = carries_weights(_i) ? 2 : 1;
    char stopped_hash[HASH_TEXT_BYTES];

    cluster_open(cluster, 2, "{adam: {learning_rate: 0.01}}", codecs[_i]);
    start_workers(cluster, 2, 1, make_ref);
    tell(cluster, 1, STEP_VOTE);
    train(cluster, 0, FIXTURE_STEPS, "/nowhere/model.h5");
    expect_end(cluster, stopped);
    ck_assert_str_eq(cluster->heard[0].end.output, "");
    ck_assert_str_eq(cluster->heard[0].end.message, ""); /* nothing is written before the last step */
    memcpy(stopped_hash, cluster->heard[0].end.model_hash, sizeof(stopped_hash));
    commit_shards(cluster, stopped);
    train_part(cluster, 1, 1, stopped, stopped); /* what is durable is what the workers had */
    ck_assert_str_eq(cluster->heard[0].end.model_hash, stopped_hash);
    train_part(cluster, 3, 2, stopped, 4);
    ck_assert_uint_eq(cluster->heard[2].validated, 0); /* a final step before the training's own is a stop */
    train_part(cluster, 1, 3, 4, FIXTURE_STEPS);
    ck_assert_uint_eq(cluster->heard[0].validated, 2); /* where it begins, and at the end */
    ck_assert_str_eq(cluster->heard[0].end.model_hash, expected.model_hash);
    commit_shards(cluster, FIXTURE_STEPS);
    train_part(cluster, 1, 1, FIXTURE_STEPS, FIXTURE_STEPS); /* nothing left to do */
    ck_assert_str_eq(cluster->heard[0].end.model_hash, expected.model_hash);
    ck_assert_mem_eq(cluster->heard[0].last_validation.figures.means, expected.validation,
                     sizeof(expected.validation));
    cluster_close(cluster);
    free(cluster);
}
END_TEST

START_TEST(the_first_worker_writes_the_model)
{
    struct cluster *cluster = malloc(sizeof(*cluster));
    char path[128];

    cluster_open(cluster, 1, "sgd", "");
    snprintf(path, sizeof(path), "%s/model.h5", cluster->fixture.folder);
    set_steps(cluster, 2);
    start_workers(cluster, 2, 1, make_ref);
    train(cluster, 0, 2, "model.h5");
    expect_end(cluster, 2);
    ck_assert_str_eq(cluster->heard[0].end.output, path);
    ck_assert_str_eq(cluster->heard[1].end.output, "");
    ck_assert_int_eq(access(path, R_OK), 0);
    stop_workers(cluster);
    set_steps(cluster, 3);
    start_workers(cluster, 1, 1, make_ref);
    train(cluster, 2, 3, "/nowhere/at/all.h5");
    expect_end(cluster, 3);
    ck_assert_str_eq(cluster->heard[0].end.output, "");
    ck_assert_ptr_nonnull(strstr(cluster->heard[0].end.message, "/nowhere/at"));
    cluster_close(cluster);
    free(cluster);
}
END_TEST

/* ---- what fails */

/* The line with which worker 0 fails. */
static void expect_failure(struct cluster *cluster, const char *words)
{
    while (cluster->heard[0].failed == 0)
        hear(cluster);
    ck_assert_msg(strstr(cluster->heard[0].end.message, words) != NULL, "%s", cluster->heard[0].end.message);
}

START_TEST(a_job_that_cannot_be_opened_fails)
{
    struct cluster *cluster = malloc(sizeof(*cluster));
    char path[128];

    cluster_open(cluster, 1, "sgd", "cluster: {device: cuda}\n");
    start_workers(cluster, 1, 1, make_ref);
    expect_failure(cluster, "cuda");
    stop_workers(cluster);
    cluster_close(cluster);
    cluster_open(cluster, 1, "sgd", "");
    snprintf(path, sizeof(path), "%s/test-labels", cluster->fixture.folder);
    ck_assert_int_eq(unlink(path), 0);
    start_workers(cluster, 1, 1, make_ref);
    expect_failure(cluster, "test-labels");
    cluster_close(cluster);
    free(cluster);
}
END_TEST

START_TEST(a_span_that_the_job_has_not_fails)
{
    struct cluster *cluster = malloc(sizeof(*cluster));

    cluster_open(cluster, 1, "sgd", "");
    start_workers(cluster, 1, 1, make_ref);
    while (!all_prepared(cluster))
        hear(cluster);
    ck_assert_uint_eq(cluster->heard[0].prepared_report.training_samples, FIXTURE_TRAINING);
    ck_assert_uint_eq(cluster->heard[0].prepared_report.validation_samples, FIXTURE_VALIDATION);
    make_epoch(cluster, 0, 8, "");
    cluster->spans[0].end = FIXTURE_MICROBATCHES + 1;
    tell(cluster, 0, STEP_ORDERS);
    expect_failure(cluster, "microbatches [0, 9) of 8");
    cluster_close(cluster);
    free(cluster);
}
END_TEST

START_TEST(work_can_be_stopped_at_any_time)
{
    struct cluster *cluster = malloc(sizeof(*cluster));

    cluster_open(cluster, 1, "sgd", "");
    start_workers(cluster, 3, 2, make_ref);
    stop_workers(cluster);
    start_workers(cluster, 3, 2, make_ref);
    begin_epoch(cluster, 0, 1000000, "");
    while (cluster->heard[1].progressed == 0)
        hear(cluster);
    cluster_close(cluster);
    free(cluster);
}
END_TEST

/* ---- shards that go away */

/* Those of a later incarnation have nothing more for us: no failure, and nobody waits for us. */
START_TEST(an_incarnation_that_is_over_leaves_us_idle)
{
    struct cluster *cluster = malloc(sizeof(*cluster));

    cluster_open(cluster, 2, "sgd", "");
    start_workers(cluster, 1, 2, make_ref);
    begin_epoch(cluster, 0, 1000000, "");
    while (cluster->heard[0].progressed == 0)
        hear(cluster);
    make_prepare(cluster, 2, 0);
    prepare_shards(cluster);
    cluster->worker_count = 2;
    start_worker(cluster, 1, 1, make_ref);
    while (cluster->heard[1].prepared == 0)
        hear(cluster);
    make_epoch(cluster, 0, FIXTURE_STEPS, "");
    cluster->spans[0].end = 0;
    cluster->spans[1].begin = 0;
    tell(cluster, 1, STEP_ORDERS);
    while (cluster->heard[1].reached == 0)
        hear(cluster);
    ck_assert_uint_eq(cluster->heard[0].failed + cluster->heard[0].reached + cluster->heard[0].troubles, 0);
    cluster_close(cluster);
    free(cluster);
}
END_TEST

/* A shard dies and comes back without the job: people hear of it once, and the worker goes on asking. */
START_TEST(a_shard_that_dies_is_trouble_and_no_failure)
{
    struct cluster *cluster = malloc(sizeof(*cluster));

    cluster_open(cluster, 2, "sgd", "");
    start_workers(cluster, 2, 1, make_ref);
    begin_epoch(cluster, 0, 1000000, "");
    while (cluster->heard[1].progressed == 0)
        hear(cluster);
    actor_stop(cluster->shards[1]);
    while (cluster->heard[0].troubles == 0 || cluster->heard[1].troubles == 0)
        hear(cluster);
    ck_assert_ptr_nonnull(strstr(cluster->heard[0].last_trouble.message, "shard 1 at tcp://"));
    start_shard(cluster, 1);
    make_prepare(cluster, 2, 0);
    prepare_shards(cluster);
    for (uint32_t i = 2; i < 4; i++) {
        cluster->worker_count = i + 1;
        start_worker(cluster, i, 1, make_ref);
    }
    make_epoch(cluster, 0, FIXTURE_STEPS, "");
    cluster->spans[2].begin = 0;
    for (uint32_t i = 2; i < 4; i++)
        tell(cluster, i, STEP_ORDERS);
    while (cluster->heard[2].reached == 0 || cluster->heard[3].reached == 0)
        hear(cluster);
    ck_assert_uint_eq(cluster->heard[0].failed + cluster->heard[1].failed, 0);
    ck_assert_uint_eq(cluster->heard[0].troubles, 1);
    ck_assert_uint_eq(cluster->heard[1].troubles, 1);
    cluster_close(cluster);
    free(cluster);
}
END_TEST

START_TEST(a_shard_that_is_never_there_fails_us_in_the_end)
{
    struct cluster *cluster = malloc(sizeof(*cluster));

    cluster_open(cluster, 1, "sgd", "");
    actor_stop(cluster->shards[0]);
    cluster->shards[0] = NULL;
    cluster->patience_ms = 700;
    start_workers(cluster, 1, 1, make_ref);
    begin_epoch(cluster, 0, 8, "");
    expect_failure(cluster, "cannot reach shard 0 at tcp://127.0.0.1:");
    ck_assert_ptr_nonnull(strstr(cluster->heard[0].end.message, ", for 0.7 s"));
    cluster_close(cluster);
    free(cluster);
}
END_TEST

/* ---- losses that are no numbers */

/* A learning rate with which nothing stays finite for long. */
#define DIVERGING "{sgd: {learning_rate: 1000000}}"

/* The lowest microbatch that some worker says it comes from. */
static struct step_report lowest_fault(const struct cluster *cluster)
{
    struct step_report lowest = {.microbatch = UINT32_MAX};

    for (uint32_t i = 0; i < cluster->worker_count; i++) {
        const struct heard *heard = &cluster->heard[i];

        ck_assert_uint_eq(heard->not_finite, 1);
        ck_assert_uint_eq(heard->end.figures.step, cluster->heard[0].end.figures.step);
        if (heard->end.layer[0] != '\0' && heard->end.microbatch < lowest.microbatch)
            lowest = heard->end;
    }
    return lowest;
}

static struct step_report train_in_vain(uint32_t workers, uint32_t lanes)
{
    struct cluster *cluster = malloc(sizeof(*cluster));
    struct step_report lowest;

    cluster_open(cluster, 2, DIVERGING, "");
    start_workers(cluster, workers, lanes, make_ref);
    train(cluster, 0, FIXTURE_STEPS, "model.h5");
    lowest = lowest_fault(cluster);
    cluster_close(cluster);
    free(cluster);
    return lowest;
}

START_TEST(a_loss_that_is_no_number_ends_training)
{
    struct step_report expected = train_in_vain(1, 1), seen;

    ck_assert_str_ne(expected.layer, "");
    ck_assert_uint_gt(expected.figures.step, 0);
    for (uint32_t workers = 1; workers < 6; workers++) {
        seen = train_in_vain(workers, 2);
        ck_assert_uint_eq(seen.figures.step, expected.figures.step);
        ck_assert_uint_eq(seen.microbatch, expected.microbatch);
        ck_assert_str_eq(seen.layer, expected.layer);
    }
}
END_TEST

START_TEST(a_job_may_go_on_without_numbers)
{
    struct cluster *cluster = malloc(sizeof(*cluster));

    cluster_open(cluster, 1, DIVERGING, "  terminate_on_nan: false\n");
    start_workers(cluster, 2, 1, make_ref);
    train(cluster, 0, FIXTURE_STEPS, "");
    expect_end(cluster, FIXTURE_STEPS);
    cluster_close(cluster);
    free(cluster);
}
END_TEST

/* ---- figures */

START_TEST(a_worker_tells_what_it_could_do)
{
    struct cluster *cluster = malloc(sizeof(*cluster));

    cluster_open(cluster, 1, "sgd", "");
    start_workers(cluster, 2, 2, make_ref);
    train(cluster, 0, FIXTURE_STEPS, "");
    for (uint32_t i = 0; i < 2; i++)
        ck_assert_double_gt(cluster->heard[i].last_progress.figures.microbatches_per_second, 0);
    cluster_close(cluster);
    free(cluster);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("step");
    TCase *test = tcase_create("step");

    log_init(LOG_LEVEL_ERROR, "test_step");
    tcase_set_timeout(test, 100);
    tcase_add_test(test, the_model_is_the_same_for_all_workers_lanes_and_shards);
    tcase_add_test(test, the_cpu_backend_keeps_the_promise_too);
    tcase_add_loop_test(test, the_model_is_the_same_in_every_codec, 0, CODECS - 1);
    tcase_add_loop_test(test, a_vote_ends_all_at_the_same_step, 0, CODECS);
    tcase_add_test(test, a_vote_in_the_last_step_changes_nothing);
    tcase_add_loop_test(test, a_training_in_parts_is_the_same, 0, CODECS);
    tcase_add_test(test, the_first_worker_writes_the_model);
    tcase_add_test(test, a_job_that_cannot_be_opened_fails);
    tcase_add_test(test, a_span_that_the_job_has_not_fails);
    tcase_add_test(test, an_incarnation_that_is_over_leaves_us_idle);
    tcase_add_test(test, a_shard_that_dies_is_trouble_and_no_failure);
    tcase_add_test(test, a_shard_that_is_never_there_fails_us_in_the_end);
    tcase_add_test(test, a_loss_that_is_no_number_ends_training);
    tcase_add_test(test, a_job_may_go_on_without_numbers);
    tcase_add_test(test, a_worker_tells_what_it_could_do);
    tcase_add_test(test, work_can_be_stopped_at_any_time);
    suite_add_tcase(suite, test);
    return suite;
}

CHECK_MAIN(make_suite)
