/* The worker's main loop against a coordinator played by the test, on a thread of its own. */
#include "base/log.h"
#include "check_main.h"
#include "cluster/placement.h"
#include "net/frames.h"
#include "net/wire.h"
#include "worker.h"
#include "worker_fixture.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <zmq.h>

#define DEADLINE_MS 20000

struct stage {
    void *context, *router;
    char endpoint[128];
    struct worker_options options;
    int ends; /* an eventfd */
    pthread_t thread;
    enum status status;
    struct error error;
    struct frames in;
    Cairn__NodeMessage *message; /* the last that came */
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
    size_t size = sizeof(stage->endpoint);
    int timeout_ms = DEADLINE_MS;

    memset(stage, 0, sizeof(*stage));
    stage->context = zmq_ctx_new();
    stage->router = zmq_socket(stage->context, ZMQ_ROUTER);
    zmq_setsockopt(stage->router, ZMQ_RCVTIMEO, &timeout_ms, sizeof(timeout_ms));
    ck_assert_int_eq(zmq_bind(stage->router, "tcp://127.0.0.1:*"), 0);
    ck_assert_int_eq(zmq_getsockopt(stage->router, ZMQ_LAST_ENDPOINT, stage->endpoint, &size), 0);
    stage->ends = eventfd(0, EFD_CLOEXEC);
    stage->options = (struct worker_options){.coordinator = stage->endpoint, .threads = 3};
    frames_init(&stage->in);
    ck_assert_int_eq(pthread_create(&stage->thread, NULL, run_worker, stage), 0);
}

/* Waits for the worker to end by itself. */
static void stage_await(struct stage *stage)
{
    int none = 0;

    pthread_join(stage->thread, NULL);
    if (stage->message)
        cairn__node_message__free_unpacked(stage->message, NULL);
    frames_clear(&stage->in);
    zmq_setsockopt(stage->router, ZMQ_LINGER, &none, sizeof(none));
    zmq_close(stage->router);
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

/* The next message that is no heartbeat. */
static Cairn__NodeMessage__BodyCase hear(struct stage *stage)
{
    zmq_pollitem_t item = {.socket = stage->router, .events = ZMQ_POLLIN};
    struct error error = {.message = ""};

    do {
        if (stage->message)
            cairn__node_message__free_unpacked(stage->message, NULL);
        stage->message = NULL;
        frames_clear(&stage->in);
        ck_assert_int_eq(zmq_poll(&item, 1, DEADLINE_MS), 1);
        ck_assert_int_eq(frames_receive(stage->router, &stage->in, &error), CAIRN_OK);
        ck_assert_msg(wire_node_message_unpack(frames_data(&stage->in, 1), frames_length(&stage->in, 1),
                                               &stage->message, &error) == CAIRN_OK,
                      "%s", error.message);
    } while (stage->message->body_case == CAIRN__NODE_MESSAGE__BODY_HEARTBEAT);
    return stage->message->body_case;
}

static void command(struct stage *stage, Cairn__NodeCommand *command)
{
    unsigned char bytes[8192];
    struct frames out;

    command->protocol = PROTOCOL_VERSION;
    ck_assert_uint_le(cairn__node_command__get_packed_size(command), sizeof(bytes));
    frames_init(&out);
    ck_assert_int_eq(frames_append_copy(&out, frames_data(&stage->in, 0), frames_length(&stage->in, 0)),
                     CAIRN_OK);
    ck_assert_int_eq(frames_append_copy(&out, bytes, cairn__node_command__pack(command, bytes)), CAIRN_OK);
    ck_assert_int_eq(frames_send(stage->router, &out, NULL), CAIRN_OK);
}

static void welcome(struct stage *stage)
{
    Cairn__NodeCommand message = CAIRN__NODE_COMMAND__INIT;
    Cairn__Welcome body = CAIRN__WELCOME__INIT;

    ck_assert_int_eq(hear(stage), CAIRN__NODE_MESSAGE__BODY_REGISTRATION);
    body.lease_ms = 10000;
    body.heartbeat_ms = 1000;
    message.body_case = CAIRN__NODE_COMMAND__BODY_WELCOME;
    message.welcome = &body;
    command(stage, &message);
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
    body.job = 4;
    body.job_id = "small-4";
    body.incarnation = incarnation;
    body.text = &text;
    body.n_shards = 1;
    body.shards = shards;
    body.n_slot_shards = PLACEMENT_SLOTS_MIN;
    body.slot_shards = slot_shards;
    message.body_case = CAIRN__NODE_COMMAND__BODY_PREPARE;
    message.prepare = &body;
    command(stage, &message);
}

static void begin_epoch(struct stage *stage, char *name, uint32_t span_end)
{
    Cairn__NodeCommand message = CAIRN__NODE_COMMAND__INIT;
    Cairn__EpochCommand body = CAIRN__EPOCH_COMMAND__INIT;
    Cairn__Span span = CAIRN__SPAN__INIT, *spans[] = {&span};
    char *workers[] = {name};

    body.job = 4;
    body.incarnation = 1;
    body.number = 1;
    body.final_step = 8;
    body.n_workers = body.n_spans = 1;
    body.workers = workers;
    body.spans = spans;
    span.end = span_end;
    message.body_case = CAIRN__NODE_COMMAND__BODY_EPOCH;
    message.epoch = &body;
    command(stage, &message);
}

static void release(struct stage *stage, uint64_t incarnation)
{
    Cairn__NodeCommand message = CAIRN__NODE_COMMAND__INIT;
    Cairn__ReleaseCommand body = CAIRN__RELEASE_COMMAND__INIT;

    body.job = 4;
    body.incarnation = incarnation;
    message.body_case = CAIRN__NODE_COMMAND__BODY_RELEASE;
    message.release = &body;
    command(stage, &message);
}

START_TEST(a_worker_registers_and_leaves)
{
    struct stage stage;

    stage_open(&stage);
    welcome(&stage);
    ck_assert_int_eq(stage.message->registration->kind, CAIRN__NODE_KIND__NODE_KIND_WORKER);
    ck_assert_uint_eq(stage.message->registration->lanes, 3);
    ck_assert_uint_eq(stage.message->registration->process, (uint32_t)getpid());
    ck_assert_int_eq(strncmp(stage.message->registration->name, "worker-", 7), 0);
    stage_close(&stage);
    ck_assert_int_eq(stage.status, CAIRN_OK);
}
END_TEST

START_TEST(a_refused_worker_ends)
{
    Cairn__NodeCommand message = CAIRN__NODE_COMMAND__INIT;
    Cairn__Refusal body = CAIRN__REFUSAL__INIT;
    struct stage stage;

    stage_open(&stage);
    ck_assert_int_eq(hear(&stage), CAIRN__NODE_MESSAGE__BODY_REGISTRATION);
    body.message = "another protocol";
    message.body_case = CAIRN__NODE_COMMAND__BODY_REFUSAL;
    message.refusal = &body;
    command(&stage, &message);
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
    ck_assert_int_eq(hear(&stage), CAIRN__NODE_MESSAGE__BODY_FAILED);
    ck_assert_uint_eq(stage.message->failed->job, 4);
    ck_assert_uint_eq(stage.message->failed->incarnation, 1);
    ck_assert_ptr_nonnull(strstr(stage.message->failed->message, "nonsense"));
    release(&stage, 1);
    prepare(&stage, &good, 2);
    ck_assert_int_eq(hear(&stage), CAIRN__NODE_MESSAGE__BODY_PREPARED);
    ck_assert_uint_eq(stage.message->prepared->incarnation, 2);
    ck_assert_uint_eq(stage.message->prepared->training_samples, FIXTURE_TRAINING);
    ck_assert_uint_eq(stage.message->prepared->validation_samples, FIXTURE_VALIDATION);
    prepare(&stage, &bad, 3); /* in place of the one in hand */
    ck_assert_int_eq(hear(&stage), CAIRN__NODE_MESSAGE__BODY_FAILED);
    ck_assert_uint_eq(stage.message->failed->incarnation, 3);
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
    snprintf(name, sizeof(name), "%s", stage.message->registration->name);
    begin_epoch(&stage, name, 99); /* there is no job: ignored */
    prepare(&stage, &fixture, 1);
    ck_assert_int_eq(hear(&stage), CAIRN__NODE_MESSAGE__BODY_PREPARED);
    begin_epoch(&stage, name, 99);
    ck_assert_int_eq(hear(&stage), CAIRN__NODE_MESSAGE__BODY_FAILED);
    ck_assert_ptr_nonnull(strstr(stage.message->failed->message, "microbatches [0, 99) of 8"));
    release(&stage, 1);
    prepare(&stage, &fixture, 1);
    ck_assert_int_eq(hear(&stage), CAIRN__NODE_MESSAGE__BODY_PREPARED);
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
