/* A real server process with a coordinator that the test plays and a real session as its client: a job's
 * life, a restart on the same data, bad messages, a job that cannot be opened. */
#include "check_main.h"
#include "base/log.h"
#include "net/daemon.h"
#include "played_coordinator.h"
#include "server.h"
#include "session.h"
#include "shard_fixture.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>

#define SHARDS 2
#define NODE   "server-under-test"
#define EVERY  2 /* steps a generation */
#define WORKER 3 /* the client's number */
#define CAST   3 /* server processes that a test can have, one after the other */

struct stage {
    char directory[FOLDER_BYTES];
    char coordinator[128]; /* endpoint */
    struct {
        pid_t process;
        int cue; /* pipe: tells it to begin */
    } cast[CAST];
    int started;  /* of the cast */
    pid_t server; /* the one on stage */
    void *context;
    struct played played;
    char endpoints[SHARDS][ENDPOINT_BYTES];
    uint32_t slots[PLACEMENT_SLOTS_MIN];
    struct assignment *assignment; /* the job as the server sees it */
    float *weights;                /* what the session received, [floats] */
    uint64_t versions[64];         /* of each chunk there */
    double metrics[RIG_METRICS];
    uint64_t metrics_version;
    struct session *session;
};

/* ---- the process */

static enum status serve(const void *settings, void *context, int stop_descriptor, struct error *error)
{
    return server_run(settings, context, stop_descriptor, error);
}

/* What a forked process does: waits for its cue, which is the name to give (empty: none), then is a server.
 */
static void serve_on_cue(struct stage *stage, int cue)
{
    char data[100], name[64] = "";
    struct server_settings settings = {stage->coordinator, "tcp://127.0.0.1:0", NULL, data, NULL, SHARDS,
                                       0, LOG_LEVEL_ERROR};
    const struct daemon_program program = {"server", &server_settings_table, &settings, &settings.log_level,
                                           serve};

    if (read(cue, name, sizeof(name)) <= 0)
        _exit(0); /* not needed */
    if (name[0])
        settings.name = name;
    snprintf(data, sizeof(data), "%s/data", stage->directory);
    exit(daemon_run(&program));
}

/* All processes are forked before there are threads here. */
static void fork_cast(struct stage *stage)
{
    for (int i = 0; i < CAST; i++) {
        int ends[2];

        ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
        stage->cast[i].process = fork();
        if (stage->cast[i].process == 0) {
            for (int j = 0; j < i; j++)
                close(stage->cast[j].cue);
            close(ends[1]);
            serve_on_cue(stage, ends[0]);
        }
        close(ends[0]);
        stage->cast[i].cue = ends[1];
    }
}

static void server_start(struct stage *stage, const char *name)
{
    char cue[64] = "";

    ck_assert_int_lt(stage->started, CAST);
    if (name)
        snprintf(cue, sizeof(cue), "%s", name);
    stage->server = stage->cast[stage->started].process;
    ck_assert_int_eq(write(stage->cast[stage->started].cue, cue, sizeof(cue)), sizeof(cue));
    stage->started++;
}

/* Waits for the process; its exit code. */
static int server_wait(struct stage *stage)
{
    int result;

    ck_assert_int_eq(waitpid(stage->server, &result, 0), stage->server);
    stage->server = 0;
    ck_assert_msg(WIFEXITED(result), "the server ended by signal %d", WTERMSIG(result));
    return WEXITSTATUS(result);
}

static void listen_as_coordinator(struct stage *stage)
{
    stage->context = zmq_ctx_new();
    played_init(&stage->played, zmq_socket(stage->context, ZMQ_ROUTER));
    ck_assert_int_eq(zmq_bind(stage->played.router, stage->coordinator), 0);
}

/* ---- the coordinator's part */

/* Waits for the node's next message of a kind; heartbeats and registrations in between are passed over. */
static const Cairn__NodeMessage *hear(struct stage *stage, Cairn__NodeMessage__BodyCase body)
{
    const Cairn__NodeMessage *message;

    do {
        played_hear(&stage->played);
        message = stage->played.message;
        ck_assert_msg(message->body_case != CAIRN__NODE_MESSAGE__BODY_FAILED ||
                          body == CAIRN__NODE_MESSAGE__BODY_FAILED,
                      "%s", message->failed ? message->failed->message : "");
    } while (message->body_case != body);
    return message;
}

#define HEAR(stage, BODY) hear((stage), CAIRN__NODE_MESSAGE__BODY_##BODY)

/* Hears the registration and welcomes the node, which is to be silent no longer than this. */
static void welcome_for(struct stage *stage, uint32_t heartbeat_ms)
{
    const Cairn__Registration *registration = HEAR(stage, REGISTRATION)->registration;

    ck_assert_int_eq(registration->kind, CAIRN__NODE_KIND__NODE_KIND_SERVER);
    ck_assert_str_eq(registration->name, NODE);
    ck_assert_uint_eq(registration->n_endpoints, SHARDS);
    for (int i = 0; i < SHARDS; i++)
        snprintf(stage->endpoints[i], sizeof(stage->endpoints[i]), "%s", registration->endpoints[i]);
    played_welcome(&stage->played, 60000, heartbeat_ms);
}

static void welcome(struct stage *stage)
{
    welcome_for(stage, 20000);
}

static void say_prepare(struct stage *stage, const char *text, uint64_t incarnation, uint64_t step)
{
    Cairn__NodeCommand command = CAIRN__NODE_COMMAND__INIT;
    Cairn__PrepareCommand body = CAIRN__PREPARE_COMMAND__INIT;
    Cairn__JobText job_text = CAIRN__JOB_TEXT__INIT;
    Cairn__Shard shards[SHARDS], *pointers[SHARDS];

    for (uint32_t i = 0; i < SHARDS; i++) {
        cairn__shard__init(&shards[i]);
        shards[i].server = NODE;
        shards[i].index = i;
        shards[i].endpoint = stage->endpoints[i];
        pointers[i] = &shards[i];
    }
    placement_assign(stage->slots, PLACEMENT_SLOTS_MIN, SHARDS);
    job_text.text = (char *)text;
    job_text.file_name = "fixture.yaml";
    job_text.base_directory = "/";
    body.job = RIG_JOB;
    body.job_id = "fixture-7";
    body.incarnation = incarnation;
    body.text = &job_text;
    body.n_shards = SHARDS;
    body.shards = pointers;
    body.n_slot_shards = PLACEMENT_SLOTS_MIN;
    body.slot_shards = stage->slots;
    body.step = step;
    command.body_case = CAIRN__NODE_COMMAND__BODY_PREPARE;
    command.prepare = &body;
    played_say(&stage->played, &command);
}

static void say_commit(struct stage *stage, uint64_t incarnation, uint64_t step)
{
    Cairn__NodeCommand command = CAIRN__NODE_COMMAND__INIT;
    Cairn__CommitCommand body = CAIRN__COMMIT_COMMAND__INIT;

    body.job = RIG_JOB;
    body.incarnation = incarnation;
    body.step = step;
    command.body_case = CAIRN__NODE_COMMAND__BODY_COMMIT;
    command.commit = &body;
    played_say(&stage->played, &command);
}

static void say_committed(struct stage *stage, uint64_t incarnation, uint64_t step)
{
    Cairn__NodeCommand command = CAIRN__NODE_COMMAND__INIT;
    Cairn__CommittedCommand body = CAIRN__COMMITTED_COMMAND__INIT;

    body.job = RIG_JOB;
    body.incarnation = incarnation;
    body.step = step;
    command.body_case = CAIRN__NODE_COMMAND__BODY_COMMITTED;
    command.committed = &body;
    played_say(&stage->played, &command);
}

static void say_release(struct stage *stage, uint64_t incarnation)
{
    played_release(&stage->played, RIG_JOB, incarnation);
}

/* ---- the client's part */

static void on_values(void *context, uint32_t table, uint32_t chunk, uint64_t version,
                      const void *values, size_t elements)
{
    struct stage *stage = context;
    uint64_t begin, end;

    if (table == TABLE_METRICS) {
        memcpy(stage->metrics, values, elements * sizeof(double));
        stage->metrics_version = version;
        return;
    }
    graph_chunk(stage->assignment->job->graph, chunk, &begin, &end);
    ck_assert_uint_eq(elements, end - begin);
    memcpy(stage->weights + begin, values, elements * sizeof(float));
    stage->versions[chunk] = version;
}

static void session_open(struct stage *stage, uint64_t incarnation)
{
    const struct graph *graph = stage->assignment->job->graph;
    const char *endpoints[SHARDS] = {stage->endpoints[0], stage->endpoints[1]};
    const struct session_table tables[TABLE_COUNT] = {
        session_dense_table(graph->floats, graph->chunk_floats, graph->chunk_count),
        session_sums_table(RIG_METRICS), session_sums_table(RIG_METRICS)};
    struct session_params params = {.job = RIG_JOB,
                                    .incarnation = incarnation,
                                    .worker = WORKER,
                                    .shard_count = SHARDS,
                                    .endpoints = endpoints,
                                    .slot_count = PLACEMENT_SLOTS_MIN,
                                    .slot_shards = stage->slots,
                                    .table_count = TABLE_COUNT,
                                    .tables = tables};
    struct session_events events = {.values = on_values, .context = stage};
    struct error error;

    session_free(stage->session);
    memset(stage->versions, 0xff, sizeof(stage->versions));
    ck_assert_msg(session_new(stage->context, &params, &events, &stage->session, &error) == CAIRN_OK, "%s",
                  error.message);
}

static bool all_at(const struct stage *stage, uint64_t version)
{
    for (uint32_t i = 0; i < stage->assignment->job->graph->chunk_count; i++) {
        if (stage->versions[i] != version)
            return false;
    }
    return true;
}

/* Lets the session work until all weights are of `version` and the metrics of at least `metrics_version`; the
 * session's status otherwise. */
static enum status poll_until(struct stage *stage, uint64_t version, uint64_t metrics_version,
                              struct error *error)
{
    zmq_pollitem_t items[2 * SHARDS];
    size_t count;
    void *const *sockets = session_sockets(stage->session, &count);
    enum status status = CAIRN_OK;

    ck_assert_uint_eq(count, 2 * SHARDS);
    for (size_t i = 0; i < count; i++)
        items[i] = (zmq_pollitem_t){sockets[i], 0, ZMQ_POLLIN, 0};
    while (status == CAIRN_OK && (!all_at(stage, version) || stage->metrics_version < metrics_version)) {
        ck_assert_msg(zmq_poll(items, (int)count, PATIENCE_MS) > 0, "no values came");
        status = session_poll(stage->session, error);
    }
    return status;
}

static void pull_all(struct stage *stage, uint64_t version, bool committed)
{
    const struct session_pull pull = {.table = TABLE_WEIGHTS,
                                      .version = version,
                                      .chunk_count = stage->assignment->job->graph->chunk_count,
                                      .committed = committed};
    struct error error;

    ck_assert_int_eq(session_pull(stage->session, &pull, &error), CAIRN_OK);
    ck_assert_msg(poll_until(stage, version, 0, &error) == CAIRN_OK, "%s", error.message);
}

/* One worker's whole step: weights and metrics in two nodes each. */
static void train_step(struct stage *stage, uint64_t step)
{
    static const struct tree_node halves[] = {{0, 2}, {2, 5}};
    const struct graph *graph = stage->assignment->job->graph;
    struct error error;

    for (int i = 0; i < 2; i++) {
        struct buffer *gradients = buffer_new(graph->floats * sizeof(float));
        struct buffer *metrics = buffer_new(RIG_METRICS * sizeof(double));
        struct session_push push = {.table = TABLE_WEIGHTS,
                                    .step = step,
                                    .node = halves[i],
                                    .samples = rig_samples(halves[i]),
                                    .chunk_count = graph->chunk_count,
                                    .buffer = gradients,
                                    .subscribe = i == 1};

        rig_node_sum(step, halves[i], 0, gradients->data, graph->floats);
        ck_assert_msg(session_push(stage->session, &push, &error) == CAIRN_OK, "%s", error.message);
        for (int j = 0; j < RIG_METRICS; j++)
            ((double *)metrics->data)[j] = (double)step + i;
        push.table = TABLE_METRICS;
        push.chunk_count = 1;
        push.buffer = metrics;
        ck_assert_msg(session_push(stage->session, &push, &error) == CAIRN_OK, "%s", error.message);
        buffer_unref(gradients);
        buffer_unref(metrics);
    }
    ck_assert_msg(poll_until(stage, step + 1, step + 1, &error) == CAIRN_OK, "%s", error.message);
}

/* ---- tests */

static struct stage *stage_new(void)
{
    struct stage *stage = calloc(1, sizeof(*stage));

    ck_assert_ptr_nonnull(stage);
    folder_make(stage->directory);
    snprintf(stage->coordinator, sizeof(stage->coordinator), "ipc://%s/coordinator", stage->directory);
    stage->assignment = rig_assignment(rig_job_text(RIG_ADAM, EVERY, 11), "fixture-7");
    stage->weights = calloc(stage->assignment->job->graph->floats, sizeof(float));
    ck_assert_uint_le(stage->assignment->job->graph->chunk_count, 64);
    fork_cast(stage);
    server_start(stage, NODE);
    listen_as_coordinator(stage);
    return stage;
}

static void stage_free(struct stage *stage)
{
    kill(stage->server, SIGTERM);
    ck_assert_int_eq(server_wait(stage), DAEMON_STOPPED);
    for (int i = 0; i < CAST; i++)
        close(stage->cast[i].cue);
    for (int i = stage->started; i < CAST; i++)
        ck_assert_int_eq(waitpid(stage->cast[i].process, NULL, 0), stage->cast[i].process);
    session_free(stage->session);
    played_fini(&stage->played);
    zmq_ctx_term(stage->context);
    assignment_unref(stage->assignment);
    free(stage->weights);
    folder_remove(stage->directory);
    free(stage);
}

static const char *job_text(void)
{
    return rig_job_text(RIG_ADAM, EVERY, 11);
}

static void prepare(struct stage *stage, uint64_t incarnation, uint64_t step)
{
    say_prepare(stage, job_text(), incarnation, step);
    ck_assert_uint_eq(HEAR(stage, PREPARED)->prepared->incarnation, incarnation);
}

static void assert_weights(const struct stage *stage, const struct reference *reference)
{
    ck_assert_mem_eq(stage->weights, reference->weights, reference->floats * sizeof(float));
}

START_TEST(a_job_lives_here)
{
    struct stage *stage = stage_new();
    struct reference *reference = reference_new(stage->assignment->job);

    welcome(stage);
    prepare(stage, 1, 0);
    session_open(stage, 1);
    pull_all(stage, 0, false);
    assert_weights(stage, reference);
    for (uint64_t step = 0; step < 5; step++) {
        train_step(stage, step);
        reference_step(reference);
        assert_weights(stage, reference);
        if ((step + 1) % EVERY == 0) {
            ck_assert_uint_eq(HEAR(stage, COMMITTED)->committed->step, step + 1);
            say_committed(stage, 1, step + 1);
        }
    }
    say_commit(stage, 1, 5);
    ck_assert_uint_eq(HEAR(stage, COMMITTED)->committed->step, 5);
    say_committed(stage, 1, 5);
    say_release(stage, 1);
    memset(stage->versions, 0xff, sizeof(stage->versions));
    memset(stage->weights, 0, reference->floats * sizeof(float));
    pull_all(stage, 5, true);
    assert_weights(stage, reference);
    reference_free(reference);
    stage_free(stage);
}
END_TEST

START_TEST(a_killed_server_goes_on_where_it_was_committed)
{
    struct stage *stage = stage_new();
    struct reference *reference = reference_new(stage->assignment->job);
    int result;

    welcome(stage);
    prepare(stage, 1, 0);
    session_open(stage, 1);
    for (uint64_t step = 0; step < 3; step++)
        train_step(stage, step);
    ck_assert_uint_eq(HEAR(stage, COMMITTED)->committed->step, 2);
    say_committed(stage, 1, 2);
    kill(stage->server, SIGKILL);
    ck_assert_int_eq(waitpid(stage->server, &result, 0), stage->server);
    server_start(stage, NULL); /* the name is kept */
    welcome(stage);
    prepare(stage, 2, 2);
    session_open(stage, 2);
    for (uint64_t step = 0; step < 4; step++) {
        if (step >= 2)
            train_step(stage, step);
        reference_step(reference);
    }
    assert_weights(stage, reference);
    ck_assert_double_eq(stage->metrics[0], 7);
    reference_free(reference);
    stage_free(stage);
}
END_TEST

START_TEST(a_job_that_cannot_be_opened_fails_alone)
{
    struct stage *stage = stage_new();

    welcome(stage);
    say_prepare(stage, "model: [", 1, 0);
    ck_assert_ptr_nonnull(strstr(HEAR(stage, FAILED)->failed->message, "fixture.yaml"));
    say_prepare(stage, job_text(), 2, 6); /* nothing of it is here */
    ck_assert_uint_eq(HEAR(stage, FAILED)->failed->incarnation, 2);
    prepare(stage, 3, 0);
    session_open(stage, 3);
    train_step(stage, 0);
    stage_free(stage);
}
END_TEST

/* Sends raw parts to a shard and expects a refusal. */
static void expect_refused(struct stage *stage, size_t count, const void *const parts[],
                           const size_t lengths[])
{
    void *client = connected_socket(stage->context, ZMQ_DEALER, stage->endpoints[0]);
    struct frames frames;
    struct data_header header;

    frames_init(&frames);
    for (size_t i = 0; i < count; i++)
        ck_assert_int_eq(frames_append_copy(&frames, parts[i], lengths[i]), CAIRN_OK);
    ck_assert_int_eq(frames_send(client, &frames, NULL), CAIRN_OK);
    receive_soon(client, &frames);
    ck_assert_int_eq(wire_data_unpack(frames_data(&frames, 0), frames_length(&frames, 0), &header, NULL),
                     CAIRN_OK);
    ck_assert_int_eq(header.kind, DATA_REFUSED);
    ck_assert_int_eq(header.refused, DATA_REFUSED_MALFORMED);
    frames_clear(&frames);
    zmq_close(client);
}

START_TEST(bad_messages_are_refused_and_change_nothing)
{
    struct stage *stage = stage_new();
    struct reference *reference = reference_new(stage->assignment->job);
    struct data_header header = rig_header(DATA_PUSH, 1, TABLE_WEIGHTS, 0);
    unsigned char packed[WIRE_HEADER_MAX];
    size_t packed_bytes;

    welcome(stage);
    prepare(stage, 1, 0);
    header.node = (struct tree_node){0, 1};
    header.samples = 1;
    header.payload_count = 1;
    header.payloads[0] = (struct data_payload){0, DATA_FLOAT32, 16};
    packed_bytes = wire_data_pack(&header, packed);
    expect_refused(stage, 1, (const void *[]){"nonsense"}, (size_t[]){8});
    expect_refused(stage, 1, (const void *[]){packed}, (size_t[]){packed_bytes});
    expect_refused(stage, 2, (const void *[]){packed, "four"}, (size_t[]){packed_bytes, 4});
    expect_refused(stage, 3, (const void *[]){packed, "", ""}, (size_t[]){packed_bytes, 0, 0});
    expect_refused(stage, 2, (const void *[]){packed, "0123456789abcdef"}, (size_t[]){packed_bytes, 16});
    session_open(stage, 1);
    pull_all(stage, 0, false);
    assert_weights(stage, reference);
    reference_free(reference);
    stage_free(stage);
}
END_TEST

/* Pushes a worker's metrics of the first microbatches of step 0. */
static void push_metrics(struct stage *stage, double loss)
{
    struct buffer *metrics = buffer_new(RIG_METRICS * sizeof(double));
    struct session_push push = {.table = TABLE_METRICS,
                                .node = {0, 2},
                                .samples = rig_samples((struct tree_node){0, 2}),
                                .chunk_count = 1,
                                .buffer = metrics};
    struct error error;

    ck_assert_ptr_nonnull(metrics);
    memset(metrics->data, 0, metrics->length_bytes);
    ((double *)metrics->data)[1] = loss;
    ck_assert_msg(session_push(stage->session, &push, &error) == CAIRN_OK, "%s", error.message);
    buffer_unref(metrics);
}

START_TEST(sums_that_come_twice_and_differ_are_told)
{
    struct stage *stage = stage_new();
    const Cairn__Divergence *divergence;

    welcome(stage);
    prepare(stage, 1, 0);
    session_open(stage, 1);
    push_metrics(stage, 0.5);
    push_metrics(stage, 0.5);
    push_metrics(stage, 0.75);
    divergence = HEAR(stage, DIVERGENCE)->divergence;
    ck_assert_uint_eq(divergence->job, RIG_JOB);
    ck_assert_uint_eq(divergence->incarnation, 1);
    ck_assert_uint_eq(divergence->step, 0);
    ck_assert_uint_eq(divergence->table, TABLE_METRICS);
    ck_assert_uint_eq(divergence->node_begin, 0);
    ck_assert_uint_eq(divergence->node_end, 2);
    ck_assert_uint_eq(divergence->worker, WORKER);
    stage_free(stage);
}
END_TEST

START_TEST(an_old_incarnation_is_told_so)
{
    struct stage *stage = stage_new();
    const struct session_pull pull = {
        .table = TABLE_WEIGHTS, .version = 1, .chunk_count = stage->assignment->job->graph->chunk_count};
    struct error error;

    welcome(stage);
    prepare(stage, 1, 0);
    session_open(stage, 1);
    ck_assert_int_eq(session_pull(stage->session, &pull, &error), CAIRN_OK);
    prepare(stage, 2, 0);
    ck_assert_int_eq(poll_until(stage, 1, 0, &error), CAIRN_STALE);
    stage_free(stage);
}
END_TEST

START_TEST(a_leaving_server_says_so)
{
    struct stage *stage = stage_new();

    welcome(stage);
    prepare(stage, 1, 0);
    kill(stage->server, SIGINT);
    HEAR(stage, LEAVE);
    ck_assert_int_eq(server_wait(stage), DAEMON_STOPPED);
    server_start(stage, NODE);
    welcome(stage);
    stage_free(stage);
}
END_TEST

/* ---- a coordinator that begins anew */

static void say_register(struct stage *stage)
{
    Cairn__NodeCommand command = CAIRN__NODE_COMMAND__INIT;
    Cairn__RegisterCommand body = CAIRN__REGISTER_COMMAND__INIT;

    command.body_case = CAIRN__NODE_COMMAND__BODY_REGISTER_AGAIN;
    command.register_again = &body;
    played_say(&stage->played, &command);
}

/* The server registers once more, with so many engagements, of which the last is of this incarnation. */
static void register_again(struct stage *stage, size_t engagements, uint64_t incarnation)
{
    const Cairn__Registration *registration;

    say_register(stage);
    registration = HEAR(stage, REGISTRATION)->registration;
    ck_assert_uint_eq(registration->n_engagements, engagements);
    if (engagements > 0) {
        ck_assert_uint_eq(registration->engagements[engagements - 1]->job, RIG_JOB);
        ck_assert_uint_eq(registration->engagements[engagements - 1]->incarnation, incarnation);
    }
    played_welcome(&stage->played, 60000, 20000);
}

/* What the server has reported and still stands is said again, and the job goes on as if nothing had been. */
START_TEST(a_coordinator_that_begins_anew_is_told_what_stands)
{
    struct stage *stage = stage_new();

    welcome(stage);
    register_again(stage, 0, 0);
    prepare(stage, 3, 0);
    session_open(stage, 3);
    register_again(stage, 1, 3);
    ck_assert_uint_eq(HEAR(stage, PREPARED)->prepared->incarnation, 3);
    for (uint64_t step = 0; step < EVERY; step++)
        train_step(stage, step);
    ck_assert_uint_eq(HEAR(stage, COMMITTED)->committed->step, EVERY);
    for (int i = 0; i < 2; i++) { /* it may have been recorded meanwhile or not */
        register_again(stage, 1, 3);
        ck_assert_uint_eq(HEAR(stage, PREPARED)->prepared->job, RIG_JOB);
        ck_assert_int_eq(played_hear(&stage->played), CAIRN__NODE_MESSAGE__BODY_COMMITTED);
        ck_assert_uint_eq(stage->played.message->committed->incarnation, 3);
        ck_assert_uint_eq(stage->played.message->committed->step, EVERY);
        say_committed(stage, 3, EVERY);
    }
    for (uint64_t step = EVERY; step < 2 * EVERY; step++)
        train_step(stage, step);
    ck_assert_uint_eq(HEAR(stage, COMMITTED)->committed->step, 2 * EVERY);
    say_release(stage, 3);
    register_again(stage, 0, 0);
    stage_free(stage);
}
END_TEST

static void say_abandon(struct stage *stage, uint64_t incarnation, uint64_t step)
{
    Cairn__NodeCommand command = CAIRN__NODE_COMMAND__INIT;
    Cairn__AbandonCommand body = CAIRN__ABANDON_COMMAND__INIT;

    body.job = RIG_JOB;
    body.incarnation = incarnation;
    body.step = step;
    command.body_case = CAIRN__NODE_COMMAND__BODY_ABANDON;
    command.abandon = &body;
    played_say(&stage->played, &command);
}

/* Heartbeats that nobody answers: no step waits for its generation to be the job's. When somebody is there
 * again he may say that it never will be, and hears of the newest one. */
START_TEST(a_silent_coordinator_holds_no_step_back)
{
    struct stage *stage = stage_new();
    struct reference *reference = reference_new(stage->assignment->job);

    welcome_for(stage, 50);
    prepare(stage, 1, 0);
    session_open(stage, 1);
    for (uint64_t step = 0; step < 5 * EVERY; step++) {
        train_step(stage, step);
        reference_step(reference);
    }
    assert_weights(stage, reference);
    ck_assert_uint_eq(HEAR(stage, COMMITTED)->committed->step, EVERY);
    register_again(stage, 1, 1);
    ck_assert_int_eq(played_hear(&stage->played), CAIRN__NODE_MESSAGE__BODY_PREPARED);
    ck_assert_int_eq(played_hear(&stage->played), CAIRN__NODE_MESSAGE__BODY_COMMITTED);
    ck_assert_uint_eq(stage->played.message->committed->step, EVERY);
    say_abandon(stage, 1, EVERY);
    ck_assert_uint_eq(HEAR(stage, COMMITTED)->committed->step, 5 * EVERY);
    say_committed(stage, 1, 5 * EVERY);
    say_release(stage, 1);
    memset(stage->versions, 0xff, sizeof(stage->versions));
    memset(stage->weights, 0, reference->floats * sizeof(float));
    pull_all(stage, 5 * EVERY, true);
    assert_weights(stage, reference);
    reference_free(reference);
    stage_free(stage);
}
END_TEST

/* A failure that the coordinator may not have heard of: the server is not at work on the job any more. */
START_TEST(a_job_that_failed_here_is_none_of_the_servers_work)
{
    struct stage *stage = stage_new();

    welcome(stage);
    say_prepare(stage, job_text(), 2, 6); /* nothing of it is here */
    HEAR(stage, FAILED);
    register_again(stage, 0, 0);
    prepare(stage, 3, 0);
    register_again(stage, 1, 3);
    stage_free(stage);
}
END_TEST

START_TEST(a_dismissed_server_ends)
{
    Cairn__NodeCommand command = CAIRN__NODE_COMMAND__INIT;
    Cairn__DismissCommand body = CAIRN__DISMISS_COMMAND__INIT;
    struct stage *stage = stage_new();

    welcome(stage);
    command.body_case = CAIRN__NODE_COMMAND__BODY_DISMISS;
    command.dismiss = &body;
    played_say(&stage->played, &command);
    HEAR(stage, LEAVE);
    ck_assert_int_eq(server_wait(stage), DAEMON_STOPPED);
    server_start(stage, NODE);
    welcome(stage);
    stage_free(stage);
}
END_TEST

static void say_remove(struct stage *stage, uint64_t *jobs, size_t count)
{
    Cairn__NodeCommand command = CAIRN__NODE_COMMAND__INIT;
    Cairn__RemoveCommand body = CAIRN__REMOVE_COMMAND__INIT;

    body.jobs = jobs;
    body.n_jobs = count;
    command.body_case = CAIRN__NODE_COMMAND__BODY_REMOVE;
    command.remove = &body;
    played_say(&stage->played, &command);
}

static bool has_files(const struct stage *stage)
{
    char path[FOLDER_BYTES + 32];

    snprintf(path, sizeof(path), "%s/data/jobs/%d", stage->directory, RIG_JOB);
    return access(path, F_OK) == 0;
}

/* And lets itself be dismissed only then. */
START_TEST(a_deleted_job_is_removed)
{
    Cairn__NodeCommand command = CAIRN__NODE_COMMAND__INIT;
    Cairn__DismissCommand body = CAIRN__DISMISS_COMMAND__INIT;
    uint64_t jobs[] = {RIG_JOB + 1, RIG_JOB};
    struct stage *stage = stage_new();

    welcome(stage);
    prepare(stage, 1, 0);
    session_open(stage, 1);
    pull_all(stage, 0, false);
    train_step(stage, 0);
    train_step(stage, 1);
    HEAR(stage, COMMITTED);
    say_committed(stage, 1, 2);
    say_release(stage, 1);
    ck_assert(has_files(stage));
    say_remove(stage, jobs, 1); /* of which it has nothing */
    ck_assert_uint_eq(HEAR(stage, REMOVED)->removed->job, RIG_JOB + 1);
    ck_assert(has_files(stage));
    say_remove(stage, jobs, 2);
    command.body_case = CAIRN__NODE_COMMAND__BODY_DISMISS;
    command.dismiss = &body;
    played_say(&stage->played, &command);
    ck_assert_uint_eq(HEAR(stage, REMOVED)->removed->job, RIG_JOB + 1);
    ck_assert_uint_eq(HEAR(stage, REMOVED)->removed->job, RIG_JOB);
    HEAR(stage, LEAVE);
    ck_assert(!has_files(stage));
    ck_assert_int_eq(server_wait(stage), DAEMON_STOPPED);
    server_start(stage, NODE);
    welcome(stage);
    stage_free(stage);
}
END_TEST

/* The coordinator has lost its directory in between: both commands are there at once. */
START_TEST(a_number_that_is_being_removed_is_not_prepared)
{
    uint64_t jobs[] = {RIG_JOB + 1, RIG_JOB};
    struct stage *stage = stage_new();

    welcome(stage);
    prepare(stage, 1, 0);
    say_release(stage, 1);
    ck_assert_int_eq(kill(stage->server, SIGSTOP), 0);
    say_remove(stage, jobs, 2);
    say_prepare(stage, job_text(), 1, 0);
    ck_assert_int_eq(kill(stage->server, SIGCONT), 0);
    ck_assert_ptr_nonnull(strstr(HEAR(stage, FAILED)->failed->message, "still being removed"));
    ck_assert_uint_eq(HEAR(stage, REMOVED)->removed->job, RIG_JOB + 1);
    ck_assert_uint_eq(HEAR(stage, REMOVED)->removed->job, RIG_JOB);
    ck_assert(!has_files(stage));
    prepare(stage, 2, 0);
    ck_assert(has_files(stage));
    stage_free(stage);
}
END_TEST

START_TEST(a_refused_server_ends)
{
    struct stage *stage = stage_new();

    HEAR(stage, REGISTRATION);
    played_refuse(&stage->played, "the name is in use");
    ck_assert_int_eq(server_wait(stage), DAEMON_FAILED);
    server_start(stage, "another"); /* the directory is of a server of another name */
    ck_assert_int_eq(server_wait(stage), DAEMON_FAILED);
    server_start(stage, NODE);
    welcome(stage);
    stage_free(stage);
}
END_TEST

static Suite *server_suite(void)
{
    Suite *suite = suite_create("server");
    TCase *tests = tcase_create("server");

    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, a_job_lives_here);
    tcase_add_test(tests, a_killed_server_goes_on_where_it_was_committed);
    tcase_add_test(tests, a_job_that_cannot_be_opened_fails_alone);
    tcase_add_test(tests, bad_messages_are_refused_and_change_nothing);
    tcase_add_test(tests, sums_that_come_twice_and_differ_are_told);
    tcase_add_test(tests, an_old_incarnation_is_told_so);
    tcase_add_test(tests, a_leaving_server_says_so);
    tcase_add_test(tests, a_refused_server_ends);
    tcase_add_test(tests, a_coordinator_that_begins_anew_is_told_what_stands);
    tcase_add_test(tests, a_silent_coordinator_holds_no_step_back);
    tcase_add_test(tests, a_job_that_failed_here_is_none_of_the_servers_work);
    tcase_add_test(tests, a_dismissed_server_ends);
    tcase_add_test(tests, a_deleted_job_is_removed);
    tcase_add_test(tests, a_number_that_is_being_removed_is_not_prepared);
    suite_add_tcase(suite, tests);
    return suite;
}

CHECK_MAIN(server_suite)
