/* The worker's main loop against a coordinator played by the test, on a thread of its own. */
#include "base/log.h"
#include "check_main.h"
#include "cluster/placement.h"
#include "played_coordinator.h"
#include "worker.h"
#include "worker_fixture.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <zmq.h>

#define JOB 4

struct stage {
    void *context;
    struct played played;
    char endpoint[ENDPOINT_BYTES];
    struct worker_options options;
    int ends; /* an eventfd */
    pthread_t thread;
    enum status status;
    struct error error;
};

static void *run_worker(void *argument)
{
    struct stage *stage = argument;
    struct worker *worker = NULL;

    stage->status = worker_new(stage->context, &stage->options, &worker, &stage->error);
    if (stage->status == CAIRN_OK)
        stage->status = worker_run(worker, stage->ends, &stage->error);
    worker_free(worker);
    return NULL;
}

static void stage_open(struct stage *stage)
{
    memset(stage, 0, sizeof(*stage));
    stage->context = zmq_ctx_new();
    played_init(&stage->played, bound_socket(stage->context, ZMQ_ROUTER, stage->endpoint));
    stage->ends = eventfd(0, EFD_CLOEXEC);
    stage->options = (struct worker_options){.coordinator = stage->endpoint, .threads = 3};
    ck_assert_int_eq(pthread_create(&stage->thread, NULL, run_worker, stage), 0);
}

/* Waits for the worker to end by itself. */
static void stage_await(struct stage *stage)
{
    pthread_join(stage->thread, NULL);
    played_fini(&stage->played);
    zmq_ctx_term(stage->context);
    close(stage->ends);
}

/* Ends the worker as a signal would. */
static void stage_close(struct stage *stage)
{
    uint64_t one = 1;

    ck_assert_int_eq(write(stage->ends, &one, sizeof(one)), sizeof(one));
    stage_await(stage);
}

static void welcome(struct stage *stage)
{
    ck_assert_int_eq(played_hear(&stage->played), CAIRN__NODE_MESSAGE__BODY_REGISTRATION);
    played_welcome(&stage->played, 10000, 1000);
}

static void prepare(struct stage *stage, const struct fixture *fixture, uint64_t incarnation)
{
    static uint32_t slot_shards[PLACEMENT_SLOTS_MIN];
    Cairn__NodeCommand message = CAIRN__NODE_COMMAND__INIT;
    Cairn__PrepareCommand body = CAIRN__PREPARE_COMMAND__INIT;
    Cairn__JobText text = CAIRN__JOB_TEXT__INIT;
    Cairn__Shard shard = CAIRN__SHARD__INIT, *shards[] = {&shard};

    text.text = (char *)fixture->text;
    text.file_name = "job.yaml";
    text.base_directory = (char *)fixture->folder;
    shard.server = "server";
    shard.endpoint = "tcp://127.0.0.1:9"; /* nobody is there, and nobody needs to be */
    body.job = JOB;
    body.job_id = "small-4";
    body.incarnation = incarnation;
    body.text = &text;
    body.n_shards = 1;
    body.shards = shards;
    body.n_slot_shards = PLACEMENT_SLOTS_MIN;
    body.slot_shards = slot_shards;
    message.body_case = CAIRN__NODE_COMMAND__BODY_PREPARE;
    message.prepare = &body;
    played_say(&stage->played, &message);
}

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
    welcome(&stage);
    ck_assert_int_eq(stage.played.message->registration->kind, CAIRN__NODE_KIND__NODE_KIND_WORKER);
    ck_assert_uint_eq(stage.played.message->registration->lanes, 3);
    ck_assert_uint_eq(stage.played.message->registration->process, (uint32_t)getpid());
    ck_assert_int_eq(strncmp(stage.played.message->registration->name, "worker-", 7), 0);
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
    welcome(&stage);
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
    welcome(&stage);
    snprintf(name, sizeof(name), "%s", stage.played.message->registration->name);
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
    tcase_add_test(test, settings_are_checked);
    tcase_add_test(test, a_bad_endpoint_name_or_device_is_refused);
    suite_add_tcase(suite, test);
    return suite;
}

CHECK_MAIN(make_suite)
