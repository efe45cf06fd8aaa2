/* The coordinator as it ships, in a thread of its own, with real sockets, real members and real records. */
#include "base/log.h"
#include "check_main.h"
#include "cluster/member.h"
#include "coordinator.h"
#include "folder.h"
#include "net/wire.h"
#include "request.h"
#include "sockets.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define JOB                                                                                                  \
    "name: tiny\nmodel:\n  input_shape: [8]\n  layers:\n    - dense: {units: 2}\n"                           \
    "  loss: sparse_categorical_crossentropy\n"                                                              \
    "data:\n  train: {format: csv, path: train.csv}\ntrain: {steps: 10, batch_size: 8, optimizer: sgd}\n"

static char directory[FOLDER_BYTES];
static void *context;
static struct coordinator *coordinator;
static struct requester *requester;
static pthread_t thread;
static int stop;
static struct error error;

/* ---- the daemon */

static void *serve(void *argument)
{
    struct error problem = {.message = ""};

    if (coordinator_run(argument, stop, &problem) != CAIRN_OK)
        fprintf(stderr, "%s\n", problem.message);
    return NULL;
}

static void start(void)
{
    struct coordinator_options options = {.listen = "tcp://127.0.0.1:*", .data = directory, .lease_ms = 1000};
    enum status status = coordinator_new(context, &options, &coordinator, &error);

    ck_assert_msg(status == CAIRN_OK, "%s", error.message);
    stop = eventfd(0, EFD_CLOEXEC);
    ck_assert_int_eq(pthread_create(&thread, NULL, serve, coordinator), 0);
    ck_assert_int_eq(requester_new(context, coordinator_endpoint(coordinator), &requester, &error), CAIRN_OK);
}

static void end(void)
{
    const uint64_t one = 1;

    requester_free(requester);
    ck_assert_int_eq(write(stop, &one, sizeof(one)), sizeof(one));
    pthread_join(thread, NULL);
    close(stop);
    coordinator_free(coordinator);
}

static void set_up(void)
{
    log_init(LOG_LEVEL_ERROR, "test");
    folder_make(directory);
    context = zmq_ctx_new();
    start();
}

static void tear_down(void)
{
    end();
    zmq_ctx_term(context);
    folder_remove(directory);
}

/* ---- clients */

static Cairn__ClientReply *hear(struct requester *from)
{
    Cairn__ClientReply *reply = NULL;
    enum status status = requester_receive(from, PATIENCE_MS, &reply, &error);

    ck_assert_msg(status == CAIRN_OK, "%s", error.message);
    return reply;
}

static void send_submit(const char *text, bool resume)
{
    Cairn__ClientRequest request = CAIRN__CLIENT_REQUEST__INIT;
    Cairn__SubmitRequest body = CAIRN__SUBMIT_REQUEST__INIT;
    Cairn__JobText job = CAIRN__JOB_TEXT__INIT;

    job.text = (char *)text;
    job.file_name = "job.yaml";
    job.base_directory = "/jobs";
    body.text = &job;
    body.resume = resume;
    request.body_case = CAIRN__CLIENT_REQUEST__BODY_SUBMIT;
    request.submit = &body;
    ck_assert_int_eq(requester_send(requester, &request, &error), CAIRN_OK);
}

static void send_watch(struct requester *watcher, const char *job)
{
    Cairn__ClientRequest request = CAIRN__CLIENT_REQUEST__INIT;
    Cairn__WatchRequest body = CAIRN__WATCH_REQUEST__INIT;

    body.job = (char *)job;
    request.body_case = CAIRN__CLIENT_REQUEST__BODY_WATCH;
    request.watch = &body;
    ck_assert_int_eq(requester_send(watcher, &request, &error), CAIRN_OK);
}

/* Hears statuses until the job is in a state. */
static Cairn__ClientReply *watch_until(struct requester *watcher, Cairn__JobState state)
{
    for (;;) {
        Cairn__ClientReply *reply = hear(watcher);

        ck_assert_int_eq(reply->body_case, CAIRN__CLIENT_REPLY__BODY_JOB);
        if (reply->job->state == state)
            return reply;
        cairn__client_reply__free_unpacked(reply, NULL);
    }
}

static Cairn__ClientReply *ask_logs(const char *job, bool follow)
{
    Cairn__ClientRequest request = CAIRN__CLIENT_REQUEST__INIT;
    Cairn__LogsRequest body = CAIRN__LOGS_REQUEST__INIT;

    body.job = (char *)job;
    body.follow = follow;
    request.body_case = CAIRN__CLIENT_REQUEST__BODY_LOGS;
    request.logs = &body;
    ck_assert_int_eq(requester_send(requester, &request, &error), CAIRN_OK);
    return hear(requester);
}

/* ---- nodes */

struct node {
    Cairn__Registration registration;
    char *endpoints[1];
    struct member *member;
    Cairn__NodeCommand *kept; /* that came while another node's was waited for */
};

static void describe(struct node *node, Cairn__NodeKind kind, const char *name, uint32_t process)
{
    cairn__registration__init(&node->registration);
    node->kept = NULL;
    node->endpoints[0] = "tcp://127.0.0.1:1";
    node->registration.kind = kind;
    node->registration.name = (char *)name;
    node->registration.host = "host";
    node->registration.process = process;
    node->registration.version = "1";
    node->registration.device = "cpu";
    node->registration.lanes = kind == CAIRN__NODE_KIND__NODE_KIND_WORKER;
    node->registration.n_endpoints = kind == CAIRN__NODE_KIND__NODE_KIND_SERVER;
    node->registration.endpoints = node->endpoints;
}

static void join(struct node *node, Cairn__NodeKind kind, const char *name, uint32_t process)
{
    describe(node, kind, name, process);
    ck_assert_int_eq(
        member_new(context, coordinator_endpoint(coordinator), &node->registration, &node->member, &error),
        CAIRN_OK);
}

static void join_both(struct node *server, struct node *worker)
{
    join(server, CAIRN__NODE_KIND__NODE_KIND_SERVER, "s1", 1);
    join(worker, CAIRN__NODE_KIND__NODE_KIND_WORKER, "w1", 1);
}

/* One round of a member's life; its next command, or NULL. */
static Cairn__NodeCommand *live(struct node *node, int64_t wait_ms, enum status *status)
{
    int64_t due_ms = member_deadline_ms(node->member) - clock_ms();
    Cairn__NodeCommand *command = NULL;

    has_input(member_socket(node->member), due_ms < 0 ? 0 : due_ms < wait_ms ? due_ms : wait_ms);
    *status = member_receive(node->member, &command, &error);
    return *status == CAIRN_OK ? command : NULL;
}

static Cairn__NodeCommand *kept_or_live(struct node *node, enum status *status)
{
    Cairn__NodeCommand *kept = node->kept;

    if (!kept)
        return live(node, 20, status);
    node->kept = NULL;
    *status = CAIRN_OK;
    return kept;
}

/* Waits until a node gets a command of a kind; others are passed over. `other` lives on meanwhile, and what
 * it gets is kept for its turn: which of two nodes hears first is not said. */
static void await(struct node *node, struct node *other, Cairn__NodeCommand__BodyCase kind)
{
    int64_t deadline_ms = clock_ms() + PATIENCE_MS;

    while (clock_ms() < deadline_ms) {
        enum status status;
        Cairn__NodeCommand *command = kept_or_live(node, &status);
        bool found = command && command->body_case == kind;

        ck_assert_msg(status == CAIRN_OK || status == CAIRN_AGAIN, "%s", error.message);
        if (command)
            cairn__node_command__free_unpacked(command, NULL);
        if (found)
            return;
        if (other && !other->kept)
            other->kept = live(other, 0, &status);
    }
    ck_abort_msg("no command %d came", (int)kind);
}

static void say(struct node *node, Cairn__NodeMessage *message)
{
    ck_assert_int_eq(member_send(node->member, message, &error), CAIRN_OK);
}
#define SAY(node, KIND, name, type, ...)                                                                     \
    do {                                                                                                     \
        Cairn__NodeMessage message = CAIRN__NODE_MESSAGE__INIT;                                              \
        Cairn__##type body = CAIRN__##KIND##__INIT;                                                          \
                                                                                                             \
        body.job = 1;                                                                                        \
        __VA_ARGS__;                                                                                         \
        message.body_case = CAIRN__NODE_MESSAGE__BODY_##KIND;                                                \
        message.name = &body;                                                                                \
        say((node), &message);                                                                               \
    } while (0)

static size_t count_nodes(void)
{
    Cairn__ClientRequest request = CAIRN__CLIENT_REQUEST__INIT;
    Cairn__NodesRequest body = CAIRN__NODES_REQUEST__INIT;
    Cairn__ClientReply *reply = NULL;
    size_t count;

    request.body_case = CAIRN__CLIENT_REQUEST__BODY_NODES;
    request.nodes = &body;
    ck_assert_int_eq(requester_send(requester, &request, &error), CAIRN_OK);
    ck_assert_int_eq(requester_receive(requester, PATIENCE_MS, &reply, &error), CAIRN_OK);
    count = reply->nodes->n_nodes;
    cairn__client_reply__free_unpacked(reply, NULL);
    return count;
}

/* The nodes live on until the coordinator counts so many. */
static void await_count(struct node *nodes, size_t node_count, size_t expected)
{
    int64_t deadline_ms = clock_ms() + PATIENCE_MS;

    while (count_nodes() != expected) {
        ck_assert_msg(clock_ms() < deadline_ms, "there are %zu nodes", count_nodes());
        for (size_t i = 0; i < node_count; i++) {
            enum status status;

            ck_assert_ptr_null(live(&nodes[i], 5, &status));
        }
    }
}

/* ---- tests */

START_TEST(job_is_trained_through_sockets)
{
    struct node server, worker;
    struct requester *watcher;
    Cairn__ClientReply *reply;

    send_submit(JOB, false);
    reply = hear(requester);
    ck_assert_str_eq(reply->job->id, "tiny-1");
    ck_assert_str_eq(reply->job->reason, "waits for 1 more server, 1 more worker");
    cairn__client_reply__free_unpacked(reply, NULL);
    ck_assert_int_eq(requester_new(context, coordinator_endpoint(coordinator), &watcher, &error), CAIRN_OK);
    send_watch(watcher, "tiny-1");
    join_both(&server, &worker);
    await(&server, &worker, CAIRN__NODE_COMMAND__BODY_PREPARE);
    SAY(&server, PREPARED, prepared, Prepared, body.incarnation = 1);
    await(&worker, NULL, CAIRN__NODE_COMMAND__BODY_PREPARE);
    SAY(&worker, PREPARED, prepared, Prepared, body.incarnation = 1; body.training_samples = 80);
    await(&worker, NULL, CAIRN__NODE_COMMAND__BODY_EPOCH);
    SAY(&worker, PROGRESS, progress, Progress, body.incarnation = 1; body.step = 5);
    SAY(&worker, LOG_LINE, log_line, LogLine, body.level = "warn"; body.text = "half way");
    SAY(&worker, REACHED, reached, Reached, body.incarnation = 1; body.step = 10; body.model_hash = "abc";
        body.output = "/jobs/tiny.h5");
    await(&server, NULL, CAIRN__NODE_COMMAND__BODY_COMMIT);
    SAY(&server, COMMITTED, committed, Committed, body.incarnation = 1; body.step = 10);
    await(&server, NULL, CAIRN__NODE_COMMAND__BODY_RELEASE);
    await(&worker, NULL, CAIRN__NODE_COMMAND__BODY_RELEASE);
    reply = watch_until(watcher, CAIRN__JOB_STATE__JOB_STATE_COMPLETED);
    ck_assert_str_eq(reply->job->model_hash, "abc");
    ck_assert_uint_eq(reply->job->committed_step, 10);
    cairn__client_reply__free_unpacked(reply, NULL);
    reply = ask_logs("tiny", true);
    ck_assert(reply->logs->end);
    ck_assert_uint_ge(reply->logs->n_entries, 6);
    ck_assert_str_eq(reply->logs->entries[0]->text, "submitted");
    ck_assert_str_eq(reply->logs->entries[reply->logs->n_entries - 1]->text,
                     "completed at step 10, model abc, written to /jobs/tiny.h5");
    cairn__client_reply__free_unpacked(reply, NULL);
    member_free(server.member, "done");
    member_free(worker.member, "done");
    requester_free(watcher);
}
END_TEST

START_TEST(jobs_outlive_the_coordinator)
{
    struct node server, worker;
    Cairn__ClientReply *reply;

    send_submit(JOB, false);
    cairn__client_reply__free_unpacked(hear(requester), NULL);
    join_both(&server, &worker);
    await(&server, &worker, CAIRN__NODE_COMMAND__BODY_PREPARE);
    if (worker.kept)
        cairn__node_command__free_unpacked(worker.kept, NULL);
    member_free(server.member, NULL);
    member_free(worker.member, NULL);
    end();
    start();
    send_watch(requester, "tiny");
    reply = hear(requester);
    ck_assert_str_eq(reply->job->id, "tiny-1");
    cairn__client_reply__free_unpacked(reply, NULL);
    reply = ask_logs("1", false);
    ck_assert(reply->logs->end);
    ck_assert_str_eq(reply->logs->entries[0]->text, "submitted");
    for (size_t i = 0; i < reply->logs->n_entries; i++)
        ck_assert_uint_eq(reply->logs->entries[i]->number, i + 1);
    cairn__client_reply__free_unpacked(reply, NULL);
}
END_TEST

START_TEST(endpoint_is_told_in_a_file)
{
    char path[128], line[256] = "";
    FILE *file;

    snprintf(path, sizeof(path), "%s/endpoint", directory);
    file = fopen(path, "r");
    ck_assert_ptr_nonnull(file);
    ck_assert_ptr_nonnull(fgets(line, sizeof(line), file));
    fclose(file);
    line[strcspn(line, "\n")] = '\0';
    ck_assert_str_eq(line, coordinator_endpoint(coordinator));
    end();
    ck_assert_int_ne(access(path, F_OK), 0);
    start();
}
END_TEST

START_TEST(members_come_and_go)
{
    struct node nodes[2];

    join_both(&nodes[0], &nodes[1]);
    await_count(nodes, 2, 2);
    member_free(nodes[1].member, "tired");
    await_count(nodes, 1, 1);
    await_count(nodes, 0, 0); /* nobody sends the other one's heartbeats */
    member_free(nodes[0].member, NULL);
}
END_TEST

START_TEST(restarted_node_gets_its_name_at_once)
{
    struct frames frames;
    struct node first, second;
    void *socket = connected_socket(context, ZMQ_DEALER, coordinator_endpoint(coordinator));
    Cairn__NodeMessage message = CAIRN__NODE_MESSAGE__INIT;
    unsigned char bytes[512];

    join(&first, CAIRN__NODE_KIND__NODE_KIND_WORKER, "other", 1);
    message.protocol = PROTOCOL_VERSION;
    message.body_case = CAIRN__NODE_MESSAGE__BODY_REGISTRATION;
    message.registration = &first.registration;
    first.registration.name = "w1";
    frames_init(&frames);
    ck_assert_int_eq(frames_append_copy(&frames, bytes, cairn__node_message__pack(&message, bytes)),
                     CAIRN_OK);
    ck_assert_int_eq(frames_send(socket, &frames, &error), CAIRN_OK);
    receive_soon(socket, &frames); /* welcome */
    frames_clear(&frames);
    zmq_close(socket); /* killed: it says no farewell */
    join(&second, CAIRN__NODE_KIND__NODE_KIND_WORKER, "w1", 2);
    for (int64_t deadline_ms = clock_ms() + PATIENCE_MS;;) {
        enum status status;

        ck_assert_ptr_null(live(&second, 20, &status));
        ck_assert_msg(status == CAIRN_AGAIN, "%s", error.message);
        ck_assert_int_lt(clock_ms(), deadline_ms);
        if (member_deadline_ms(second.member) - clock_ms() <
            1000) /* its lease is ours now: it was welcomed */
            break;
    }
    member_free(first.member, NULL);
    member_free(second.member, NULL);
}
END_TEST

/* A process that is killed says nothing, but its connection ends. */
START_TEST(dead_connections_are_noticed_at_once)
{
    struct frames frames;
    struct node other, gone;
    void *socket = connected_socket(context, ZMQ_DEALER, coordinator_endpoint(coordinator));
    Cairn__NodeMessage message = CAIRN__NODE_MESSAGE__INIT;
    unsigned char bytes[512];
    int64_t begin_ms;

    join(&other, CAIRN__NODE_KIND__NODE_KIND_WORKER, "w1", 1);
    describe(&gone, CAIRN__NODE_KIND__NODE_KIND_WORKER, "w2", 2);
    message.protocol = PROTOCOL_VERSION;
    message.body_case = CAIRN__NODE_MESSAGE__BODY_REGISTRATION;
    message.registration = &gone.registration;
    frames_init(&frames);
    ck_assert_int_eq(frames_append_copy(&frames, bytes, cairn__node_message__pack(&message, bytes)),
                     CAIRN_OK);
    ck_assert_int_eq(frames_send(socket, &frames, &error), CAIRN_OK);
    receive_soon(socket, &frames); /* welcome */
    frames_clear(&frames);
    await_count(&other, 1, 2);
    begin_ms = clock_ms();
    zmq_close(socket);
    await_count(&other, 1, 1);
    ck_assert_int_lt(clock_ms() - begin_ms, 500); /* half a lease; it takes some 25 ms */
    member_free(other.member, NULL);
}
END_TEST

START_TEST(malformed_messages_do_no_harm)
{
    void *socket = connected_socket(context, ZMQ_DEALER, coordinator_endpoint(coordinator));
    struct frames frames;

    frames_init(&frames);
    for (size_t parts = 1; parts < FRAMES_MAX; parts += 7) {
        for (size_t i = 0; i < parts; i++)
            ck_assert_int_eq(frames_append_copy(&frames, "\xff\xffrubbish", i % 3 * 4), CAIRN_OK);
        ck_assert_int_eq(frames_send(socket, &frames, &error), CAIRN_OK);
    }
    send_submit("name: [", false);
    ck_assert_int_eq(requester_receive(requester, PATIENCE_MS, &(Cairn__ClientReply *){NULL}, &error),
                     CAIRN_INVALID);
    ck_assert_ptr_nonnull(strstr(error.message, "job.yaml:"));
    ck_assert_uint_eq(count_nodes(), 0);
    zmq_close(socket);
}
END_TEST

START_TEST(malformed_requests_are_answered)
{
    void *socket = connected_socket(context, ZMQ_REQ, coordinator_endpoint(coordinator));
    Cairn__ClientRequest request = CAIRN__CLIENT_REQUEST__INIT;
    Cairn__ClientReply *reply = NULL;
    unsigned char bytes[64];
    struct frames frames;

    request.protocol = PROTOCOL_VERSION + 1;
    request.number = 5;
    frames_init(&frames);
    ck_assert_int_eq(frames_append_copy(&frames, bytes, cairn__client_request__pack(&request, bytes)),
                     CAIRN_OK);
    ck_assert_int_eq(frames_send(socket, &frames, &error), CAIRN_OK);
    receive_soon(socket, &frames);
    ck_assert_int_eq(
        wire_client_reply_unpack(frames_data(&frames, 0), frames_length(&frames, 0), &reply, &error),
        CAIRN_OK);
    ck_assert_uint_eq(reply->number, 5);
    ck_assert_ptr_nonnull(strstr(reply->error->message, "protocol 2"));
    cairn__client_reply__free_unpacked(reply, NULL);
    frames_clear(&frames);
    zmq_close(socket);
}
END_TEST

START_TEST(nodes_of_other_versions_are_refused)
{
    void *socket = connected_socket(context, ZMQ_DEALER, coordinator_endpoint(coordinator));
    Cairn__NodeMessage message = CAIRN__NODE_MESSAGE__INIT;
    Cairn__Registration registration = CAIRN__REGISTRATION__INIT;
    Cairn__NodeCommand *command = NULL;
    unsigned char bytes[64];
    struct frames frames;

    message.protocol = PROTOCOL_VERSION + 1;
    message.body_case = CAIRN__NODE_MESSAGE__BODY_REGISTRATION;
    message.registration = &registration;
    frames_init(&frames);
    ck_assert_int_eq(frames_append_copy(&frames, bytes, cairn__node_message__pack(&message, bytes)),
                     CAIRN_OK);
    ck_assert_int_eq(frames_send(socket, &frames, &error), CAIRN_OK);
    receive_soon(socket, &frames);
    ck_assert_int_eq(
        wire_node_command_unpack(frames_data(&frames, 0), frames_length(&frames, 0), &command, &error),
        CAIRN_OK);
    ck_assert_int_eq(command->body_case, CAIRN__NODE_COMMAND__BODY_REFUSAL);
    cairn__node_command__free_unpacked(command, NULL);
    frames_clear(&frames);
    zmq_close(socket);
}
END_TEST

START_TEST(bad_places_are_refused)
{
    struct coordinator_options taken = {.listen = "tcp://127.0.0.1:*", .data = directory, .lease_ms = 1000};
    struct coordinator_options nowhere = {.listen = "nowhere", .data = directory, .lease_ms = 1000};
    struct coordinator *second = NULL;

    ck_assert_int_eq(coordinator_new(context, &taken, &second, &error), CAIRN_EXISTS);
    end();
    ck_assert_int_eq(coordinator_new(context, &nowhere, &second, &error), CAIRN_INVALID);
    ck_assert_ptr_nonnull(strstr(error.message, "cannot listen on nowhere"));
    start();
}
END_TEST

START_TEST(options_are_resolved)
{
    char *good[] = {"x", "--data", "/d", "--lease", "700", "--log-level", "debug", NULL};
    char *bad[] = {"x", "--data", "/d", "--log-level", "loud", NULL};
    char *missing[] = {"x", NULL};
    struct coordinator_options options = {0};
    enum settings_outcome outcome;

    unsetenv("CAIRN_LISTEN");
    ck_assert_int_eq(settings_resolve(&coordinator_options_table, 7, good, &options, &outcome, &error),
                     CAIRN_OK);
    ck_assert_str_eq(options.listen, "tcp://127.0.0.1:7700");
    ck_assert_int_eq(options.lease_ms, 700);
    ck_assert_int_eq(options.log_level, LOG_LEVEL_DEBUG);
    ck_assert_int_eq(settings_resolve(&coordinator_options_table, 5, bad, &options, &outcome, &error),
                     CAIRN_INVALID);
    ck_assert_int_eq(settings_resolve(&coordinator_options_table, 1, missing, &options, &outcome, &error),
                     CAIRN_INVALID);
}
END_TEST

static Suite *make_suite(void)
{
    const TTest *const tests[] = {job_is_trained_through_sockets,
                                  jobs_outlive_the_coordinator,
                                  endpoint_is_told_in_a_file,
                                  members_come_and_go,
                                  restarted_node_gets_its_name_at_once,
                                  dead_connections_are_noticed_at_once,
                                  malformed_messages_do_no_harm,
                                  malformed_requests_are_answered,
                                  nodes_of_other_versions_are_refused,
                                  bad_places_are_refused};
    Suite *suite = suite_create("coordinator");
    TCase *group = tcase_create("daemon"), *options = tcase_create("options");

    tcase_set_timeout(group, 30);
    tcase_add_checked_fixture(group, set_up, tear_down);
    for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++)
        tcase_add_test(group, tests[i]);
    suite_add_tcase(suite, group);
    tcase_add_test(options, options_are_resolved);
    suite_add_tcase(suite, options);
    return suite;
}

CHECK_MAIN(make_suite)
