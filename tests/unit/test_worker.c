/* The worker's main loop against a coordinator played by the test, on a thread of its own. */
#include "base/clock.h"
#include "base/log.h"
#include "check_main.h"
#include "orders.h"
#include "standing.h"
#include "worker.h"
#include "worker_fixture.h"
#include "worker_stage.h"

#include <stdlib.h>

static void begin_epoch(struct stage *stage, char *name, uint32_t span_end)
{
    Cairn__NodeCommand message = CAIRN__NODE_COMMAND__INIT;
    Cairn__EpochCommand body = CAIRN__EPOCH_COMMAND__INIT;
    Cairn__Span span = CAIRN__SPAN__INIT, *spans[] = {&span};
    char *workers[] = {name};
    uint64_t numbers[] = {1};

    body.job = JOB;
    body.incarnation = 1;
    body.number = 1;
    body.final_step = 8;
    body.n_workers = body.n_spans = body.n_worker_numbers = 1;
    body.workers = workers;
    body.worker_numbers = numbers;
    body.spans = spans;
    span.end = span_end;
    message.body_case = CAIRN__NODE_COMMAND__BODY_EPOCH;
    message.epoch = &body;
    played_say(&stage->played, &message);
}

START_TEST(a_worker_registers_and_leaves)
{
    struct stage stage;

    stage_open(&stage);
    welcome(&stage, NULL);
    stage_close(&stage);
    ck_assert_int_eq(stage.status, CAIRN_OK);
}
END_TEST

START_TEST(a_refused_worker_ends)
{
    struct stage stage;

    stage_open(&stage);
    ck_assert_int_eq(played_hear(&stage.played), CAIRN__NODE_MESSAGE__BODY_REGISTRATION);
    played_refuse(&stage.played, "another protocol");
    stage_await(&stage);
    ck_assert_int_eq(stage.status, CAIRN_CLOSED);
    ck_assert_ptr_nonnull(strstr(stage.error.message, "another protocol"));
}
END_TEST

/* A failing job is one line, and the worker is there for the next. */
START_TEST(jobs_fail_and_the_worker_stays)
{
    struct fixture good, bad;
    struct stage stage;

    fixture_make(&good, "sgd", "");
    fixture_make(&bad, "sgd", "nonsense: true\n");
    stage_open(&stage);
    welcome(&stage, NULL);
    prepare(&stage, &bad, 1);
    ck_assert_int_eq(played_hear(&stage.played), CAIRN__NODE_MESSAGE__BODY_FAILED);
    ck_assert_uint_eq(stage.played.message->failed->job, JOB);
    ck_assert_uint_eq(stage.played.message->failed->incarnation, 1);
    ck_assert_ptr_nonnull(strstr(stage.played.message->failed->message, "nonsense"));
    played_release(&stage.played, JOB, 1);
    prepare(&stage, &good, 2);
    ck_assert_int_eq(played_hear(&stage.played), CAIRN__NODE_MESSAGE__BODY_PREPARED);
    ck_assert_uint_eq(stage.played.message->prepared->incarnation, 2);
    ck_assert_uint_eq(stage.played.message->prepared->training_samples, FIXTURE_TRAINING);
    ck_assert_uint_eq(stage.played.message->prepared->validation_samples, FIXTURE_VALIDATION);
    prepare(&stage, &bad, 3); /* in place of the one in hand */
    ck_assert_int_eq(played_hear(&stage.played), CAIRN__NODE_MESSAGE__BODY_FAILED);
    ck_assert_uint_eq(stage.played.message->failed->incarnation, 3);
    stage_close(&stage);
    ck_assert_int_eq(stage.status, CAIRN_OK);
    fixture_remove(&good);
    fixture_remove(&bad);
}
END_TEST

START_TEST(an_epoch_reaches_the_job_in_hand_only)
{
    struct fixture fixture;
    struct stage stage;
    char name[128];

    fixture_make(&fixture, "sgd", "");
    stage_open(&stage);
    welcome(&stage, name);
    begin_epoch(&stage, name, 99); /* there is no job: ignored */
    prepare(&stage, &fixture, 1);
    ck_assert_int_eq(played_hear(&stage.played), CAIRN__NODE_MESSAGE__BODY_PREPARED);
    begin_epoch(&stage, name, 99);
    ck_assert_int_eq(played_hear(&stage.played), CAIRN__NODE_MESSAGE__BODY_FAILED);
    ck_assert_ptr_nonnull(strstr(stage.played.message->failed->message, "microbatches [0, 99) of 8"));
    played_release(&stage.played, JOB, 1);
    prepare(&stage, &fixture, 1);
    ck_assert_int_eq(played_hear(&stage.played), CAIRN__NODE_MESSAGE__BODY_PREPARED);
    begin_epoch(&stage, name, 8); /* lanes wait for shards that are not there, and end with the worker */
    stage_close(&stage);
    ck_assert_int_eq(stage.status, CAIRN_OK);
    fixture_remove(&fixture);
}
END_TEST

/* ---- the end of a worker */

/* It works on until its job is taken from it, and then until it is dismissed. */
START_TEST(a_worker_gives_its_job_back_before_it_ends)
{
    struct fixture fixture;
    struct stage stage;

    fixture_make(&fixture, "sgd", "");
    stage_open(&stage);
    welcome(&stage, NULL);
    prepare(&stage, &fixture, 1);
    ck_assert_int_eq(played_hear(&stage.played), CAIRN__NODE_MESSAGE__BODY_PREPARED);
    signal_worker(&stage);
    ck_assert_int_eq(played_hear(&stage.played), CAIRN__NODE_MESSAGE__BODY_DRAIN);
    prepare(&stage, &fixture, 2); /* the coordinator may be late: what it says is done */
    ck_assert_int_eq(played_hear(&stage.played), CAIRN__NODE_MESSAGE__BODY_PREPARED);
    ck_assert_uint_eq(stage.played.message->prepared->incarnation, 2);
    played_release(&stage.played, JOB, 2);
    dismiss(&stage);
    ck_assert_int_eq(played_hear(&stage.played), CAIRN__NODE_MESSAGE__BODY_LEAVE);
    stage_await(&stage);
    ck_assert_int_eq(stage.status, CAIRN_OK);
    fixture_remove(&fixture);
}
END_TEST

START_TEST(a_second_signal_ends_a_worker_at_once)
{
    struct fixture fixture;
    struct stage stage;

    fixture_make(&fixture, "sgd", "");
    stage_open(&stage);
    welcome(&stage, NULL);
    prepare(&stage, &fixture, 1);
    signal_worker(&stage);
    hear_drain(&stage);
    signal_worker(&stage);
    while (played_hear(&stage.played) != CAIRN__NODE_MESSAGE__BODY_LEAVE)
        continue;
    stage_await(&stage);
    ck_assert_int_eq(stage.status, CAIRN_OK);
    fixture_remove(&fixture);
}
END_TEST

/* Nobody can take the work of a worker that no coordinator knows. */
START_TEST(a_worker_that_waits_for_a_coordinator_ends_at_once)
{
    struct stage stage;

    stage_open(&stage);
    ck_assert_int_eq(played_hear(&stage.played), CAIRN__NODE_MESSAGE__BODY_REGISTRATION);
    signal_worker(&stage);
    stage_await(&stage);
    ck_assert_int_eq(stage.status, CAIRN_OK);
}
END_TEST

START_TEST(a_drain_without_an_answer_ends_all_the_same)
{
    int64_t begin_ms;
    struct stage stage;

    stage_open_with(&stage, DRAIN_PATIENCE_MS);
    welcome(&stage, NULL);
    begin_ms = clock_ms();
    signal_worker(&stage);
    hear_drain(&stage);
    while (played_hear(&stage.played) != CAIRN__NODE_MESSAGE__BODY_LEAVE)
        continue;
    ck_assert_int_ge(clock_ms() - begin_ms, DRAIN_PATIENCE_MS);
    stage_await(&stage);
    ck_assert_int_eq(stage.status, CAIRN_OK);
}
END_TEST

/* ---- a coordinator that has begun anew */

static void ask_to_register(struct stage *stage)
{
    Cairn__NodeCommand message = CAIRN__NODE_COMMAND__INIT;
    Cairn__RegisterCommand body = CAIRN__REGISTER_COMMAND__INIT;

    message.body_case = CAIRN__NODE_COMMAND__BODY_REGISTER_AGAIN;
    message.register_again = &body;
    played_say(&stage->played, &message);
}

/* Registers again, at work on this incarnation of the job (0: on nothing). */
static void expect_registration(struct stage *stage, uint64_t incarnation)
{
    const Cairn__Registration *registration;

    await_heartbeat(stage); /* it registers once a heartbeat at most */
    ask_to_register(stage);
    ck_assert_int_eq(played_hear(&stage->played), CAIRN__NODE_MESSAGE__BODY_REGISTRATION);
    registration = stage->played.message->registration;
    ck_assert_uint_eq(registration->n_engagements, incarnation > 0);
    if (incarnation > 0) {
        ck_assert_uint_eq(registration->engagements[0]->job, JOB);
        ck_assert_uint_eq(registration->engagements[0]->incarnation, incarnation);
    }
    played_welcome(&stage->played, 60000, 20);
}

START_TEST(what_stands_is_reported_again)
{
    struct fixture good, bad;
    struct stage stage;

    fixture_make(&good, "sgd", "");
    fixture_make(&bad, "sgd", "nonsense: true\n");
    stage_open(&stage);
    welcome(&stage, NULL);
    prepare(&stage, &good, 1);
    ck_assert_int_eq(played_hear(&stage.played), CAIRN__NODE_MESSAGE__BODY_PREPARED);
    expect_registration(&stage, 1);
    ck_assert_int_eq(played_hear(&stage.played), CAIRN__NODE_MESSAGE__BODY_PREPARED);
    ck_assert_uint_eq(stage.played.message->prepared->training_samples, FIXTURE_TRAINING);
    prepare(&stage, &bad, 2);
    ck_assert_int_eq(played_hear(&stage.played), CAIRN__NODE_MESSAGE__BODY_FAILED);
    expect_registration(&stage, 2);
    ck_assert_int_eq(played_hear(&stage.played), CAIRN__NODE_MESSAGE__BODY_FAILED);
    played_release(&stage.played, JOB, 2);
    expect_registration(&stage, 0);
    stage_close(&stage);
    fixture_remove(&good);
    fixture_remove(&bad);
}
END_TEST

struct told {
    struct step_report reports[8];
    size_t count;
};

static void note(void *context, const struct step_report *report)
{
    struct told *told = context;

    ck_assert_uint_lt(told->count, sizeof(told->reports) / sizeof(told->reports[0]));
    told->reports[told->count++] = *report;
}

static void keep(struct standing *standing, enum step_report_kind kind, uint64_t step)
{
    const struct step_report report = {.kind = kind, .figures.step = step};

    standing_keep(standing, &report);
}

/* The newest validation among them: the coordinator that was told of it may be gone. */
START_TEST(the_newest_of_each_kind_stands)
{
    struct standing standing = {0};
    struct told told = {.count = 0};

    standing_visit(&standing, note, &told);
    ck_assert_uint_eq(told.count, 0);
    keep(&standing, STEP_PREPARED, 0);
    keep(&standing, STEP_PROGRESS, 3);
    keep(&standing, STEP_VALIDATED, 4);
    keep(&standing, STEP_TROUBLE, 0);
    keep(&standing, STEP_VALIDATED, 8);
    standing_visit(&standing, note, &told);
    ck_assert_uint_eq(told.count, 2);
    ck_assert_int_eq(told.reports[0].kind, STEP_PREPARED);
    ck_assert_int_eq(told.reports[1].kind, STEP_VALIDATED);
    ck_assert_uint_eq(told.reports[1].figures.step, 8);
    keep(&standing, STEP_REACHED, 9);
    told.count = 0;
    standing_visit(&standing, note, &told);
    ck_assert_uint_eq(told.count, 3);
    ck_assert_int_eq(told.reports[2].kind, STEP_REACHED);
    ck_assert_uint_eq(told.reports[2].figures.step, 9);
}
END_TEST

/* ---- what an epoch asks of a worker */

START_TEST(orders_are_what_an_epoch_says_of_us)
{
    Cairn__EpochCommand epoch = CAIRN__EPOCH_COMMAND__INIT;
    Cairn__Span spans[] = {CAIRN__SPAN__INIT, CAIRN__SPAN__INIT}, *pointers[] = {&spans[0], &spans[1]};
    char *workers[] = {"a", "b"}, *output = calloc(ORDERS_OUTPUT_MAX + 1, 1);
    uint64_t numbers[] = {7, 3};
    struct orders orders;
    struct error error;

    epoch.number = 5;
    epoch.first_step = 2;
    epoch.final_step = 9;
    epoch.output = "model.h5";
    epoch.n_workers = epoch.n_spans = epoch.n_worker_numbers = 2;
    epoch.workers = workers;
    epoch.spans = pointers;
    epoch.worker_numbers = numbers;
    spans[0].end = 3;
    spans[1].begin = spans[1].end = 3;
    ck_assert_int_eq(orders_of(&epoch, "a", &orders, &error), CAIRN_OK);
    ck_assert(orders.has_work);
    ck_assert_uint_eq(orders.span_end, 3);
    ck_assert_uint_eq(orders.worker, 7);
    ck_assert_uint_eq(orders.number, 5);
    ck_assert_uint_eq(orders.first_step, 2);
    ck_assert_uint_eq(orders.final_step, 9);
    ck_assert_str_eq(orders.output, "model.h5");
    ck_assert_int_eq(orders_of(&epoch, "b", &orders, &error), CAIRN_OK);
    ck_assert(!orders.has_work); /* an empty span */
    ck_assert_uint_eq(orders.worker, 3);
    ck_assert_str_eq(orders.output, ""); /* the first writes it */
    ck_assert_int_eq(orders_of(&epoch, "c", &orders, &error), CAIRN_OK);
    ck_assert(!orders.has_work);
    memset(output, 'x', ORDERS_OUTPUT_MAX);
    epoch.output = output;
    ck_assert_int_eq(orders_of(&epoch, "b", &orders, &error), CAIRN_OK);
    ck_assert_int_eq(orders_of(&epoch, "a", &orders, &error), CAIRN_INVALID);
    epoch.n_workers = epoch.n_spans = epoch.n_worker_numbers = 0;
    ck_assert_int_eq(orders_of(&epoch, "a", &orders, &error), CAIRN_OK);
    ck_assert(!orders.has_work);
    free(output);
}
END_TEST

/* ---- settings */

static enum status resolve(struct worker_options *options, struct error *error, const char *first,
                           const char *second)
{
    char *words[] = {(char *)"cairn-worker", (char *)first, (char *)second, NULL};
    enum settings_outcome outcome;

    memset(options, 0, sizeof(*options));
    return settings_resolve(&worker_options_table,
                            second  ? 3
                            : first ? 2
                                    : 1,
                            words, options, &outcome, error);
}

START_TEST(settings_are_checked)
{
    struct worker_options options;
    struct error error;

    unsetenv("CAIRN_COORDINATOR");
    ck_assert_int_eq(resolve(&options, &error, NULL, NULL), CAIRN_OK);
    ck_assert_str_eq(options.coordinator, "tcp://127.0.0.1:7700");
    ck_assert_int_eq(options.threads, 0);
    setenv("CAIRN_COORDINATOR", "ipc:///there", 1);
    ck_assert_int_eq(resolve(&options, &error, "--threads", "2"), CAIRN_OK);
    ck_assert_str_eq(options.coordinator, "ipc:///there");
    ck_assert_int_eq(options.threads, 2);
    ck_assert_int_eq(options.device, DEVICE_AUTO);
    ck_assert_int_eq(resolve(&options, &error, "--device", "cpu"), CAIRN_OK);
    ck_assert_int_eq(options.device, DEVICE_CPU);
    ck_assert_int_eq(resolve(&options, &error, "--device", "gpu"), CAIRN_INVALID);
    ck_assert_int_eq(resolve(&options, &error, "--log-level", "loud"), CAIRN_INVALID);
    ck_assert_int_eq(resolve(&options, &error, "--threads", "0.5"), CAIRN_INVALID);
}
END_TEST

START_TEST(a_bad_endpoint_name_or_device_is_refused)
{
    struct worker_options options = {.coordinator = "nonsense", .device = DEVICE_CPU};
    struct worker *worker = NULL;
    void *context = zmq_ctx_new();
    struct error error;

    ck_assert_int_eq(worker_new(context, &options, &worker, &error), CAIRN_INVALID);
    options.coordinator = "tcp://127.0.0.1:9";
    options.name = "";
    ck_assert_int_eq(worker_new(context, &options, &worker, &error), CAIRN_INVALID);
    options.name = "one";
    options.device = DEVICE_CUDA;
    ck_assert_int_eq(worker_new(context, &options, &worker, &error), CAIRN_UNSUPPORTED);
    ck_assert_ptr_nonnull(strstr(error.message, "cuda"));
    ck_assert_ptr_null(worker);
    zmq_ctx_term(context);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("worker");
    TCase *test = tcase_create("worker");

    log_init(LOG_LEVEL_ERROR, "test_worker");
    tcase_set_timeout(test, 60);
    tcase_add_test(test, a_worker_registers_and_leaves);
    tcase_add_test(test, a_refused_worker_ends);
    tcase_add_test(test, jobs_fail_and_the_worker_stays);
    tcase_add_test(test, an_epoch_reaches_the_job_in_hand_only);
    tcase_add_test(test, a_worker_gives_its_job_back_before_it_ends);
    tcase_add_test(test, a_second_signal_ends_a_worker_at_once);
    tcase_add_test(test, a_worker_that_waits_for_a_coordinator_ends_at_once);
    tcase_add_test(test, a_drain_without_an_answer_ends_all_the_same);
    tcase_add_test(test, what_stands_is_reported_again);
    tcase_add_test(test, the_newest_of_each_kind_stands);
    tcase_add_test(test, orders_are_what_an_epoch_says_of_us);
    tcase_add_test(test, settings_are_checked);
    tcase_add_test(test, a_bad_endpoint_name_or_device_is_refused);
    suite_add_tcase(suite, test);
    return suite;
}

CHECK_MAIN(make_suite)
