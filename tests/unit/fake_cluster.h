/* A coordinator's state machine with fake nodes and clients around it: no socket, no clock, no disk.
 *
 * Nodes and clients are named by text; a node's peer is its name, so that a test reads as a play. Everything
 * that the machine sends is held to the wire's own checks, records and log entries are kept as a store would
 * keep them, and the machine's invariants are checked after each event. */
#ifndef CAIRN_TESTS_FAKE_CLUSTER_H
#define CAIRN_TESTS_FAKE_CLUSTER_H

#include "must.h"
#include "net/wire.h"
#include "state.h"
#include "subscriptions.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FAKE_LEASE_MS 5000
#define FAKE_JOBS_MAX 64

/* Steps: 10, 2 servers, 2 to 3 workers; weights of 4 chunks. */
#define FAKE_JOB_TEXT(name, rest) FAKE_SHAPED_JOB_TEXT(name, "[32768]", rest)
#define FAKE_SHAPED_JOB_TEXT(name, shape, rest)                                                              \
    "name: " name "\nmodel:\n  input_shape: " shape "\n  layers:\n    - dense: {units: 2}\n"                 \
    "  loss: sparse_categorical_crossentropy\n"                                                              \
    "data:\n  train: {format: csv, path: train.csv}\n"                                                       \
    "train: {" rest ", batch_size: 8, microbatches: 4, optimizer: sgd}\n"                                    \
    "cluster: {servers: 2, workers: {min: 2, max: 3}}\noutput: {path: out/model.h5}\n"

struct stored_job {
    unsigned char *bytes;
    size_t length;
    uint64_t newest_entry;
    char last_line[256], last_warning[256]; /* of its log */
    bool is_erased;                         /* its number is never used again */
};

struct cluster {
    struct state *state;
    struct effects outbox; /* commands, replies and logs that no test has taken yet */
    struct moment now;
    struct stored_job jobs[FAKE_JOBS_MAX]; /* by number */
    struct stored_job draining, deleted;
};

static inline struct peer peer_named(const char *name)
{
    struct peer peer = {.length = (uint8_t)strlen(name)};

    memcpy(peer.bytes, name, peer.length);
    return peer;
}

static inline void cluster_init(struct cluster *cluster)
{
    memset(cluster, 0, sizeof(*cluster));
    cluster->state = state_new(FAKE_LEASE_MS);
    ck_assert_ptr_nonnull(cluster->state);
    cluster->now.monotonic_ms = 1000000;
    cluster->now.unix_ms = 1700000000000;
    effects_init(&cluster->outbox);
}

static inline void cluster_fini(struct cluster *cluster)
{
    state_free(cluster->state);
    effects_fini(&cluster->outbox);
    for (size_t i = 0; i < FAKE_JOBS_MAX; i++)
        free(cluster->jobs[i].bytes);
    free(cluster->draining.bytes);
    free(cluster->deleted.bytes);
}

/* ---- what the machine wants done */

static inline void keep_record(struct cluster *cluster, struct effect *effect)
{
    MUST_MSG(effect->job < FAKE_JOBS_MAX && !cluster->jobs[effect->job].is_erased, "effect->job");
    free(cluster->jobs[effect->job].bytes);
    cluster->jobs[effect->job].bytes = effect->bytes;
    cluster->jobs[effect->job].length = effect->length;
    effect->bytes = NULL;
}

static inline void keep_entry(struct cluster *cluster, const struct effect *effect)
{
    struct stored_job *stored = &cluster->jobs[effect->job];
    Cairn__LogEntry *entry = cairn__log_entry__unpack(NULL, effect->length, effect->bytes);

    MUST_MSG(entry != NULL && !stored->is_erased, "entry");
    MUST_MSG(effect->number == entry->number, "effect->number");
    MUST_MSG(effect->number == stored->newest_entry + 1, "effect->number");
    stored->newest_entry = effect->number;
    snprintf(stored->last_line, sizeof(stored->last_line), "%s", entry->text);
    if (strcmp(entry->level, "warn") == 0)
        snprintf(stored->last_warning, sizeof(stored->last_warning), "%s", entry->text);
    cairn__log_entry__free_unpacked(entry, NULL);
}

/* As a store: nothing of a job comes after what erases it. */
static inline void erase_job(struct cluster *cluster, uint64_t job)
{
    MUST_MSG(job < FAKE_JOBS_MAX && cluster->jobs[job].bytes, "job");
    free(cluster->jobs[job].bytes);
    memset(&cluster->jobs[job], 0, sizeof(cluster->jobs[job]));
    cluster->jobs[job].is_erased = true;
}

static inline void keep_single(struct stored_job *stored, struct effect *effect)
{
    free(stored->bytes);
    *stored = (struct stored_job){.bytes = effect->bytes, .length = effect->length};
    effect->bytes = NULL;
}

static inline void check_command(const struct effect *effect)
{
    Cairn__NodeCommand *command = NULL;
    struct error error = {.message = ""};
    enum status status = wire_node_command_unpack(effect->bytes, effect->length, &command, &error);

    MUST_MSG(status == CAIRN_OK, "%s", error.message);
    cairn__node_command__free_unpacked(command, NULL);
}

static inline void check_reply(const struct effect *effect)
{
    Cairn__ClientReply *reply = NULL;
    struct error error = {.message = ""};
    enum status status = wire_client_reply_unpack(effect->bytes, effect->length, &reply, &error);

    MUST_MSG(status == CAIRN_OK, "%s", error.message);
    cairn__client_reply__free_unpacked(reply, NULL);
}

/* Moves the machine's effects to where they belong. */
static inline void cluster_absorb(struct cluster *cluster, struct effects *effects)
{
    for (size_t i = 0; i < effects->count; i++) {
        struct effect *effect = &effects->items[i];

        switch (effect->type) {
        case EFFECT_RECORD:
            keep_record(cluster, effect);
            break;
        case EFFECT_DRAINING:
            keep_single(&cluster->draining, effect);
            break;
        case EFFECT_DELETED:
            keep_single(&cluster->deleted, effect);
            break;
        case EFFECT_ERASE:
            erase_job(cluster, effect->job);
            break;
        case EFFECT_ENTRY:
            keep_entry(cluster, effect);
            break;
        case EFFECT_NOTE:
            break;
        case EFFECT_COMMAND:
        case EFFECT_REPLY:
            effect->type == EFFECT_COMMAND ? check_command(effect) : check_reply(effect);
            /* fall through */
        case EFFECT_LOGS:
            effects_logs(&cluster->outbox, effect); /* as it is, whatever its type */
            cluster->outbox.items[cluster->outbox.count - 1].type = effect->type;
            effect->bytes = NULL;
            break;
        }
    }
    effects_fini(effects);
}

static inline void cluster_handle(struct cluster *cluster, const struct event *event)
{
    struct effects effects;
    struct error error = {.message = ""};
    enum status status;

    effects_init(&effects);
    status = state_handle(cluster->state, event, cluster->now, &effects, &error);
    MUST_MSG(status == CAIRN_OK, "%s", error.message);
    state_check(cluster->state);
    cluster_absorb(cluster, &effects);
}

/* Forgets everything that was sent so far. */
static inline void cluster_forget(struct cluster *cluster)
{
    effects_clear(&cluster->outbox);
}

static inline void load_draining(struct cluster *cluster)
{
    struct event event = {.type = EVENT_DRAINING};
    Cairn__DrainingNodes *record =
        cairn__draining_nodes__unpack(NULL, cluster->draining.length, cluster->draining.bytes);

    MUST_MSG(record != NULL, "record");
    event.draining = record;
    cluster_handle(cluster, &event);
    cairn__draining_nodes__free_unpacked(record, NULL);
}

static inline void load_deleted(struct cluster *cluster)
{
    struct event event = {.type = EVENT_DELETED};
    Cairn__DeletedJobs *record =
        cairn__deleted_jobs__unpack(NULL, cluster->deleted.length, cluster->deleted.bytes);

    MUST_MSG(record != NULL, "record");
    event.deleted = record;
    cluster_handle(cluster, &event);
    cairn__deleted_jobs__free_unpacked(record, NULL);
}

/* Ends the machine and begins a new one on what was stored. */
static inline void cluster_restart(struct cluster *cluster)
{
    cluster_forget(cluster);
    state_free(cluster->state);
    cluster->state = state_new(FAKE_LEASE_MS);
    MUST_MSG(cluster->state != NULL, "cluster->state");
    if (cluster->draining.bytes)
        load_draining(cluster);
    if (cluster->deleted.bytes)
        load_deleted(cluster);
    for (size_t i = 0; i < FAKE_JOBS_MAX; i++) {
        struct event event = {.type = EVENT_RECORD, .newest_entry = cluster->jobs[i].newest_entry};
        Cairn__JobRecord *record;

        if (!cluster->jobs[i].bytes)
            continue;
        record = cairn__job_record__unpack(NULL, cluster->jobs[i].length, cluster->jobs[i].bytes);
        MUST_MSG(record != NULL, "record");
        event.record = record;
        cluster_handle(cluster, &event);
        cairn__job_record__free_unpacked(record, NULL);
    }
}

/* ---- time */

/* Lets time pass in ticks that are no pauses. */
static inline void pass(struct cluster *cluster, int64_t ms)
{
    struct event event = {.type = EVENT_TICK};

    for (; ms > 0; ms -= 250) {
        cluster->now.monotonic_ms += ms < 250 ? ms : 250;
        cluster->now.unix_ms += ms < 250 ? ms : 250;
        cluster_handle(cluster, &event);
    }
}

/* ---- nodes */

static inline void say(struct cluster *cluster, const char *name, Cairn__NodeMessage *message)
{
    struct event event = {.type = EVENT_NODE, .peer = peer_named(name), .message = message};

    message->protocol = PROTOCOL_VERSION;
    cluster_handle(cluster, &event);
}

/* SAY(cluster, "w1", PREPARED, prepared, &body) */
#define SAY(cluster, name, kind, member, body)                                                               \
    do {                                                                                                     \
        Cairn__NodeMessage said = CAIRN__NODE_MESSAGE__INIT;                                                 \
                                                                                                             \
        said.body_case = CAIRN__NODE_MESSAGE__BODY_##kind;                                                   \
        said.member = (body);                                                                                \
        say((cluster), (name), &said);                                                                       \
    } while (0)

/* What a registration of a test says beside the usual. engaged_in: the incarnation of job 1 that the node is at
 * work on; 0: none. */
struct newcomer {
    const char *peer, *name;
    uint32_t process, shards;
    uint64_t engaged_in;
};

static inline void register_newcomer(struct cluster *cluster, const struct newcomer *newcomer)
{
    static char *endpoints[] = {"tcp://h:1", "tcp://h:2", "tcp://h:3", "tcp://h:4"};
    Cairn__Registration body = CAIRN__REGISTRATION__INIT;
    Cairn__Engagement engagement = CAIRN__ENGAGEMENT__INIT, *engagements[] = {&engagement};
    uint32_t shards = newcomer->shards;

    engagement.job = 1;
    engagement.incarnation = newcomer->engaged_in;
    body.engagements = engagements;
    body.n_engagements = newcomer->engaged_in > 0 ? 1 : 0;
    body.kind = shards > 0 ? CAIRN__NODE_KIND__NODE_KIND_SERVER : CAIRN__NODE_KIND__NODE_KIND_WORKER;
    body.name = (char *)newcomer->name;
    body.host = "host";
    body.process = newcomer->process;
    body.version = "1";
    body.n_endpoints = shards;
    body.endpoints = endpoints;
    body.lanes = shards > 0 ? 0 : 2;
    body.device = "cpu";
    SAY(cluster, newcomer->peer, REGISTRATION, registration, &body);
}

/* A node registers from `peer`; its process number tells it from others of its name. */
static inline void register_from(struct cluster *cluster, const char *peer, const char *name,
                                 uint32_t process, uint32_t shards)
{
    struct newcomer newcomer = {peer, name, process, shards, 0};

    register_newcomer(cluster, &newcomer);
}

/* A node that is at work on job 1 registers. */
static inline void register_engaged(struct cluster *cluster, const char *name, uint32_t shards,
                                    uint64_t incarnation)
{
    struct newcomer newcomer = {name, name, 1, shards, incarnation};

    register_newcomer(cluster, &newcomer);
}

static inline void register_server(struct cluster *cluster, const char *name)
{
    register_from(cluster, name, name, 1, 2);
}

static inline void register_worker(struct cluster *cluster, const char *name)
{
    register_from(cluster, name, name, 1, 0);
}

static inline void heartbeat(struct cluster *cluster, const char *name)
{
    Cairn__Heartbeat body = CAIRN__HEARTBEAT__INIT;

    SAY(cluster, name, HEARTBEAT, heartbeat, &body);
}

static inline void leave(struct cluster *cluster, const char *name)
{
    Cairn__Leave body = CAIRN__LEAVE__INIT;

    body.reason = "SIGTERM";
    SAY(cluster, name, LEAVE, leave, &body);
}

static inline void prepared(struct cluster *cluster, const char *name, uint64_t incarnation, uint64_t samples)
{
    Cairn__Prepared body = CAIRN__PREPARED__INIT;

    body.job = 1;
    body.incarnation = incarnation;
    body.training_samples = samples;
    SAY(cluster, name, PREPARED, prepared, &body);
}

static inline void committed(struct cluster *cluster, const char *name, uint64_t incarnation, uint64_t step)
{
    Cairn__Committed body = CAIRN__COMMITTED__INIT;

    body.job = 1;
    body.incarnation = incarnation;
    body.step = step;
    SAY(cluster, name, COMMITTED, committed, &body);
}

static inline void passed_over(struct cluster *cluster, const char *name, uint64_t incarnation,
                               uint64_t after, uint64_t step)
{
    Cairn__PassedOver body = CAIRN__PASSED_OVER__INIT;

    body.job = 1;
    body.incarnation = incarnation;
    body.after = after;
    body.step = step;
    SAY(cluster, name, PASSED_OVER, passed_over, &body);
}

static inline void progress(struct cluster *cluster, const char *name, uint64_t incarnation, uint64_t step)
{
    Cairn__Progress body = CAIRN__PROGRESS__INIT;
    Cairn__Metric loss = CAIRN__METRIC__INIT, *metrics[] = {&loss};

    loss.name = "loss";
    loss.value = 1.0 / (double)(step + 1);
    body.job = 1;
    body.incarnation = incarnation;
    body.step = step;
    body.n_metrics = 1;
    body.metrics = metrics;
    body.samples_per_second = 1000;
    SAY(cluster, name, PROGRESS, progress, &body);
}

static inline void validated(struct cluster *cluster, const char *name, uint64_t incarnation, uint64_t step,
                             double accuracy)
{
    Cairn__Validated body = CAIRN__VALIDATED__INIT;
    Cairn__Metric metric = CAIRN__METRIC__INIT, *metrics[] = {&metric};

    metric.name = "accuracy";
    metric.value = accuracy;
    body.job = 1;
    body.incarnation = incarnation;
    body.step = step;
    body.n_metrics = 1;
    body.metrics = metrics;
    SAY(cluster, name, VALIDATED, validated, &body);
}

static inline void reached(struct cluster *cluster, const char *name, uint64_t incarnation, uint64_t step,
                           const char *hash)
{
    Cairn__Reached body = CAIRN__REACHED__INIT;

    body.job = 1;
    body.incarnation = incarnation;
    body.step = step;
    body.model_hash = (char *)hash;
    body.output = strcmp(name, "w1") == 0 ? "/jobs/out/model.h5" : "";
    SAY(cluster, name, REACHED, reached, &body);
}

static inline void failed(struct cluster *cluster, const char *name, uint64_t incarnation, const char *why)
{
    Cairn__Failed body = CAIRN__FAILED__INIT;

    body.job = 1;
    body.incarnation = incarnation;
    body.message = (char *)why;
    SAY(cluster, name, FAILED, failed, &body);
}

static inline bool is_to(const struct effect *effect, const char *name)
{
    struct peer peer = peer_named(name);

    return peer_equal(&effect->peer, &peer);
}

/* The oldest command of a kind to a node that was not taken yet, or NULL; free with message_free. */
static inline Cairn__NodeCommand *take_command(struct cluster *cluster, const char *name,
                                               Cairn__NodeCommand__BodyCase kind)
{
    struct effects *outbox = &cluster->outbox;

    for (size_t i = 0; i < outbox->count; i++) {
        struct effect *effect = &outbox->items[i];
        Cairn__NodeCommand *command;

        if (effect->type != EFFECT_COMMAND || !is_to(effect, name))
            continue;
        command = cairn__node_command__unpack(NULL, effect->length, effect->bytes);
        if (command->body_case == kind) {
            free(effect->bytes);
            memmove(effect, effect + 1, (outbox->count - i - 1) * sizeof(*effect));
            outbox->count--;
            return command;
        }
        cairn__node_command__free_unpacked(command, NULL);
    }
    return NULL;
}

/* Whether a node was sent a command of a kind, which is taken. */
static inline bool got(struct cluster *cluster, const char *name, Cairn__NodeCommand__BodyCase kind)
{
    Cairn__NodeCommand *command = take_command(cluster, name, kind);

    message_free(command);
    return command != NULL;
}
#define GOT(cluster, name, kind) got((cluster), (name), CAIRN__NODE_COMMAND__BODY_##kind)

/* ---- clients */

static inline void ask(struct cluster *cluster, const char *client, Cairn__ClientRequest *request)
{
    struct event event = {.type = EVENT_CLIENT, .peer = peer_named(client), .request = request};

    request->protocol = PROTOCOL_VERSION;
    request->number = 7;
    cluster_handle(cluster, &event);
}

/* The oldest reply to a client that was not taken yet, or NULL; free with message_free. */
static inline Cairn__ClientReply *take_reply(struct cluster *cluster, const char *client)
{
    struct effects *outbox = &cluster->outbox;

    for (size_t i = 0; i < outbox->count; i++) {
        struct effect *effect = &outbox->items[i];
        Cairn__ClientReply *reply;

        if (effect->type != EFFECT_REPLY || !is_to(effect, client))
            continue;
        reply = cairn__client_reply__unpack(NULL, effect->length, effect->bytes);
        MUST_MSG(reply->number == 7, "reply->number");
        free(effect->bytes);
        memmove(effect, effect + 1, (outbox->count - i - 1) * sizeof(*effect));
        outbox->count--;
        return reply;
    }
    return NULL;
}

/* What an order for log entries says; false: there was none. */
static inline bool take_logs(struct cluster *cluster, const char *client, struct effect *logs)
{
    struct effects *outbox = &cluster->outbox;

    for (size_t i = 0; i < outbox->count; i++) {
        struct effect *effect = &outbox->items[i];

        if (effect->type != EFFECT_LOGS || !is_to(effect, client))
            continue;
        *logs = *effect;
        memmove(effect, effect + 1, (outbox->count - i - 1) * sizeof(*effect));
        outbox->count--;
        return true;
    }
    return false;
}

static inline void send_submit(struct cluster *cluster, const char *text, bool resume, uint32_t servers)
{
    Cairn__ClientRequest request = CAIRN__CLIENT_REQUEST__INIT;
    Cairn__SubmitRequest body = CAIRN__SUBMIT_REQUEST__INIT;
    Cairn__JobText job = CAIRN__JOB_TEXT__INIT;

    job.text = (char *)text;
    job.file_name = "job.yaml";
    job.base_directory = "/jobs";
    job.servers = servers;
    body.text = &job;
    body.resume = resume;
    request.body_case = CAIRN__CLIENT_REQUEST__BODY_SUBMIT;
    request.submit = &body;
    ask(cluster, "submitter", &request);
}

/* Asks "client" one of the requests that name a job. */
#define ASK(cluster, client, KIND, member, type, INIT_NAME, name)                                            \
    do {                                                                                                     \
        Cairn__ClientRequest asked = CAIRN__CLIENT_REQUEST__INIT;                                            \
        Cairn__##type asked_body = CAIRN__##INIT_NAME##__INIT;                                               \
                                                                                                             \
        asked_body.job = (char *)(name);                                                                     \
        asked.body_case = CAIRN__CLIENT_REQUEST__BODY_##KIND;                                                \
        asked.member = &asked_body;                                                                          \
        ask((cluster), (client), &asked);                                                                    \
    } while (0)
#define ASK_JOB(cluster, client, name)   ASK(cluster, client, JOB, job, JobRequest, JOB_REQUEST, name)
#define ASK_STOP(cluster, client, name)  ASK(cluster, client, STOP, stop, StopRequest, STOP_REQUEST, name)
#define ASK_WATCH(cluster, client, name) ASK(cluster, client, WATCH, watch, WatchRequest, WATCH_REQUEST, name)
#define ASK_DELETE(cluster, client, name)                                                                    \
    ASK(cluster, client, DELETE_JOB, delete_job, DeleteRequest, DELETE_REQUEST, name)
#define ASK_LOCATE(cluster, client, name)                                                                    \
    ASK(cluster, client, LOCATE, locate, LocateRequest, LOCATE_REQUEST, name)

/* The status of a job; free with message_free. */
static inline Cairn__ClientReply *status_of(struct cluster *cluster, const char *name)
{
    Cairn__ClientReply *reply;

    ASK_JOB(cluster, "asker", name);
    reply = take_reply(cluster, "asker");
    ck_assert_ptr_nonnull(reply);
    ck_assert_int_eq(reply->body_case, CAIRN__CLIENT_REPLY__BODY_JOB);
    return reply;
}

static inline void expect_state(struct cluster *cluster, Cairn__JobState state, const char *reason)
{
    Cairn__ClientReply *reply = status_of(cluster, "1");

    ck_assert_int_eq(reply->job->state, state);
    ck_assert_str_eq(reply->job->reason, reason);
    message_free(reply);
}
#define EXPECT_STATE(cluster, name, reason)                                                                  \
    expect_state((cluster), CAIRN__JOB_STATE__JOB_STATE_##name, (reason))

/* An error reply to a client whose message contains a text. */
static inline void expect_error(struct cluster *cluster, const char *client, const char *text)
{
    Cairn__ClientReply *reply = take_reply(cluster, client);

    ck_assert_ptr_nonnull(reply);
    ck_assert_msg(reply->body_case == CAIRN__CLIENT_REPLY__BODY_ERROR, "no error");
    ck_assert_msg(strstr(reply->error->message, text) != NULL, "%s", reply->error->message);
    message_free(reply);
}

#endif
