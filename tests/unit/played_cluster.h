/* A coordinator and two servers' shards for clients of libcairn, in this process: the shards are the real
 * threads, the coordinator is played by a thread that answers what the library asks. Test code only. */
#ifndef CAIRN_TESTS_PLAYED_CLUSTER_H
#define CAIRN_TESTS_PLAYED_CLUSTER_H

#include "base/clock.h"
#include "folder.h"
#include "net/actor.h"
#include "net/wire.h"
#include "shard.h"
#include "shard_actor.h"
#include "sockets.h"

#include <check.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#define PLAYED_SHARDS      2
#define PLAYED_JOB         5
#define PLAYED_ID          "tables-5"
#define PLAYED_TEXT_MAX    8192
#define PLAYED_INCARNATION 1
#define PLAYED_ADDED_MAX   8

struct played_cluster {
    void *context, *router;
    char endpoint[ENDPOINT_BYTES], directory[FOLDER_BYTES];
    char directories[PLAYED_SHARDS][FOLDER_BYTES + 16], names[PLAYED_SHARDS][16];
    struct shard_actor_params params[PLAYED_SHARDS];
    struct actor *shards[PLAYED_SHARDS];
    pthread_t thread;
    pthread_mutex_t
        lock; /* held by who looks at the shards or at what follows: the thread does in a request */
    char text[PLAYED_TEXT_MAX]; /* of the job; empty: none was submitted */
    char file_name[64];
    char *added[PLAYED_ADDED_MAX]; /* tables, in order */
    uint64_t first_versions[PLAYED_ADDED_MAX];
    uint32_t added_count, own_tables;
    uint64_t committed_step;
    unsigned submitted, commits_asked, locates_asked;
    bool is_silent;         /* to those who locate */
    unsigned stale_locates; /* answers to come that know nothing of added tables */
    unsigned lost_locates;  /* answers to come with servers that were there before */
    int64_t early_ms;       /* so long, answers name an incarnation that servers have not heard of yet */
    int64_t first_locate_ms;
    char *slow_endpoint;    /* where the first server is told to be; null: where it is */
    atomic_bool is_stopping;
};

/* ---- shards */

static inline struct shard_report played_tell(struct played_cluster *cluster, uint32_t shard,
                                              struct shard_command command, enum shard_report_kind answer)
{
    zmq_pollitem_t item = {actor_pipe(cluster->shards[shard]), 0, ZMQ_POLLIN, 0};
    struct shard_report report;

    command.job = PLAYED_JOB;
    command.incarnation = PLAYED_INCARNATION;
    BUG_IF(actor_tell(cluster->shards[shard], &command, sizeof(command), NULL) != CAIRN_OK);
    BUG_IF(zmq_poll(&item, 1, PATIENCE_MS) != 1);
    BUG_IF(actor_hear(cluster->shards[shard], &report, sizeof(report), NULL) != CAIRN_OK);
    if (report.kind != answer)
        BUG(report.message[0] ? report.message : "a shard answered in another way");
    return report;
}

/* The job's shards as messages name them. */
static inline void played_list_shards(struct played_cluster *cluster, Cairn__Shard items[PLAYED_SHARDS],
                                      Cairn__Shard *pointers[PLAYED_SHARDS])
{
    for (uint32_t i = 0; i < PLAYED_SHARDS; i++) {
        cairn__shard__init(&items[i]);
        items[i].server = cluster->names[i];
        items[i].endpoint = cluster->params[i].bound;
        pointers[i] = &items[i];
    }
}

/* A JobText with what it points to. */
struct played_text {
    Cairn__JobText message;
    Cairn__AddedTable tables[PLAYED_ADDED_MAX], *pointers[PLAYED_ADDED_MAX];
};

static inline void played_text(struct played_cluster *cluster, struct played_text *whole)
{
    Cairn__JobText *text = &whole->message;

    cairn__job_text__init(text);
    for (uint32_t i = 0; i < cluster->added_count; i++) {
        cairn__added_table__init(&whole->tables[i]);
        whole->tables[i].text = cluster->added[i];
        whole->tables[i].first_version = cluster->first_versions[i];
        whole->pointers[i] = &whole->tables[i];
    }
    text->n_added = cluster->added_count;
    text->added = whole->pointers;
    text->text = cluster->text;
    text->file_name = cluster->file_name;
    text->base_directory = (char *)"/";
}

/* Gives all shards the job as it is now, at a version. */
static inline void played_assign(struct played_cluster *cluster, enum shard_command_kind kind,
                                 enum shard_report_kind answer, uint64_t step)
{
    Cairn__PrepareCommand command = CAIRN__PREPARE_COMMAND__INIT;
    Cairn__Shard shards[PLAYED_SHARDS], *pointers[PLAYED_SHARDS];
    struct played_text text;
    uint32_t slots[PLACEMENT_SLOTS_MIN];

    played_text(cluster, &text);
    played_list_shards(cluster, shards, pointers);
    placement_assign(slots, PLACEMENT_SLOTS_MIN, PLAYED_SHARDS);
    command.job_id = (char *)PLAYED_ID;
    command.job = PLAYED_JOB;
    command.text = &text.message;
    command.n_shards = PLAYED_SHARDS;
    command.shards = pointers;
    command.n_slot_shards = PLACEMENT_SLOTS_MIN;
    command.slot_shards = slots;
    for (uint32_t i = 0; i < PLAYED_SHARDS; i++) {
        struct shard_command prepare = {.kind = kind, .step = step};
        struct error error = {.message = ""};

        if (assignment_new(&command, cluster->names[i], 1, &prepare.assignment, &error) != CAIRN_OK)
            BUG(error.message);
        cluster->own_tables = prepare.assignment->job->table_count - cluster->added_count;
        played_tell(cluster, i, prepare, answer);
    }
}

static inline void played_start_shards(struct played_cluster *cluster)
{
    for (uint32_t i = 0; i < PLAYED_SHARDS; i++) {
        struct error error = {.message = ""};

        snprintf(cluster->directories[i], sizeof(cluster->directories[i]), "%s/%u", cluster->directory, i);
        snprintf(cluster->names[i], sizeof(cluster->names[i]), "s%u", i);
        cluster->params[i] = (struct shard_actor_params){
            .owner = {cluster->directories[i], cluster->names[i], 0}, .listen = "tcp://127.0.0.1:*"};
        ck_assert_msg(actor_start(cluster->context, cluster->names[i], shard_actor_run, &cluster->params[i],
                                  &cluster->shards[i], &error) == CAIRN_OK,
                      "%s", error.message);
    }
}

static inline void played_stop_shard(struct played_cluster *cluster, uint32_t shard)
{
    pthread_mutex_lock(&cluster->lock);
    if (cluster->shards[shard])
        actor_stop(cluster->shards[shard]);
    cluster->shards[shard] = NULL;
    pthread_mutex_unlock(&cluster->lock);
}

/* How many submits and commits were asked for. */
static inline void played_counts(struct played_cluster *cluster, unsigned *submitted, unsigned *commits_asked)
{
    pthread_mutex_lock(&cluster->lock);
    *submitted = cluster->submitted;
    *commits_asked = cluster->commits_asked;
    pthread_mutex_unlock(&cluster->lock);
}

/* ---- the coordinator */

static inline void played_answer(struct played_cluster *cluster, struct frames *frames,
                                 Cairn__ClientReply *reply)
{
    static unsigned char bytes[1 << 16];
    size_t length = cairn__client_reply__pack(reply, bytes);

    BUG_IF(frames_set_copy(frames, 2, bytes, length) != CAIRN_OK);
    BUG_IF(frames_send(cluster->router, frames, NULL) != CAIRN_OK);
}

static inline void played_answer_status(struct played_cluster *cluster, struct frames *frames,
                                        Cairn__ClientReply *reply)
{
    Cairn__JobStatus status = CAIRN__JOB_STATUS__INIT;

    status.id = (char *)PLAYED_ID;
    status.number = PLAYED_JOB;
    status.state = CAIRN__JOB_STATE__JOB_STATE_RUNNING;
    status.committed_step = cluster->committed_step;
    reply->body_case = CAIRN__CLIENT_REPLY__BODY_JOB;
    reply->job = &status;
    played_answer(cluster, frames, reply);
}

static inline void played_answer_location(struct played_cluster *cluster, struct frames *frames,
                                          Cairn__ClientReply *reply)
{
    Cairn__LocationReply location = CAIRN__LOCATION_REPLY__INIT;
    Cairn__Shard shards[PLAYED_SHARDS], *pointers[PLAYED_SHARDS];
    struct played_text text;
    uint32_t slots[PLACEMENT_SLOTS_MIN];
    char lost[ENDPOINT_BYTES];

    if (cluster->locates_asked++ == 0)
        cluster->first_locate_ms = clock_ms();
    if (cluster->is_silent) {
        frames_clear(frames);
        return;
    }
    played_text(cluster, &text);
    played_list_shards(cluster, shards, pointers);
    placement_assign(slots, PLACEMENT_SLOTS_MIN, PLAYED_SHARDS);
    location.job = PLAYED_JOB;
    location.job_id = (char *)PLAYED_ID;
    location.text = &text.message;
    if (cluster->stale_locates > 0) {
        cluster->stale_locates--;
        text.message.n_added = 0;
    }
    if (cluster->lost_locates > 0) {
        cluster->lost_locates--;
        free_endpoint(lost);
        shards[0].endpoint = lost;
    }
    if (cluster->slow_endpoint)
        shards[0].endpoint = cluster->slow_endpoint;
    location.incarnation =
        PLAYED_INCARNATION + (clock_ms() < cluster->first_locate_ms + cluster->early_ms);
    location.committed_step = cluster->committed_step;
    location.n_shards = PLAYED_SHARDS;
    location.shards = pointers;
    location.n_slot_shards = PLACEMENT_SLOTS_MIN;
    location.slot_shards = slots;
    reply->body_case = CAIRN__CLIENT_REPLY__BODY_LOCATION;
    reply->location = &location;
    played_answer(cluster, frames, reply);
}

static inline void played_answer_error(struct played_cluster *cluster, struct frames *frames,
                                       Cairn__ClientReply *reply, const char *message)
{
    Cairn__ErrorReply body = CAIRN__ERROR_REPLY__INIT;

    body.message = (char *)message;
    reply->body_case = CAIRN__CLIENT_REPLY__BODY_ERROR;
    reply->error = &body;
    played_answer(cluster, frames, reply);
}

/* A job is prepared by the first submit; a later one joins. */
static inline void played_submit(struct played_cluster *cluster, const Cairn__SubmitRequest *submit)
{
    BUG_IF(!submit->join || !submit->text || strlen(submit->text->text) >= PLAYED_TEXT_MAX);
    cluster->submitted++;
    if (cluster->text[0])
        return;
    snprintf(cluster->text, sizeof(cluster->text), "%s", submit->text->text);
    snprintf(cluster->file_name, sizeof(cluster->file_name), "%s", submit->text->file_name);
    played_assign(cluster, SHARD_COMMAND_PREPARE, SHARD_PREPARED, 0);
}

/* The shards hold, extend and go on. */
static inline void played_extend(struct played_cluster *cluster, const char *text)
{
    uint64_t step = 0;

    for (uint32_t i = 0; i < PLAYED_SHARDS; i++) {
        struct shard_report held =
            played_tell(cluster, i, (struct shard_command){.kind = SHARD_COMMAND_HOLD}, SHARD_HELD);

        step = held.step > step ? held.step : step;
    }
    BUG_IF(cluster->added_count == PLAYED_ADDED_MAX);
    cluster->first_versions[cluster->added_count] = step;
    cluster->added[cluster->added_count++] = strdup(text);
    played_assign(cluster, SHARD_COMMAND_EXTEND, SHARD_EXTENDED, step);
    for (uint32_t i = 0; i < PLAYED_SHARDS; i++) {
        struct shard_command go_on = {
            .kind = SHARD_COMMAND_GO_ON, .job = PLAYED_JOB, .incarnation = PLAYED_INCARNATION};

        BUG_IF(actor_tell(cluster->shards[i], &go_on, sizeof(go_on), NULL) != CAIRN_OK);
    }
}

/* Tables are the same when their texts are. */
static inline void played_answer_table(struct played_cluster *cluster, struct frames *frames,
                                       Cairn__ClientReply *reply, const char *text)
{
    Cairn__TableReply body = CAIRN__TABLE_REPLY__INIT;
    uint32_t index = 0;

    while (index < cluster->added_count && strcmp(cluster->added[index], text) != 0)
        index++;
    if (index == cluster->added_count)
        played_extend(cluster, text);
    body.number = TABLE_FIRST_USER + cluster->own_tables + index;
    reply->body_case = CAIRN__CLIENT_REPLY__BODY_TABLE;
    reply->table = &body;
    played_answer(cluster, frames, reply);
}

static inline void played_commit(struct played_cluster *cluster, uint64_t step)
{
    cluster->commits_asked++;
    if (step <= cluster->committed_step)
        return;
    for (uint32_t i = 0; i < PLAYED_SHARDS; i++)
        played_tell(cluster, i, (struct shard_command){.kind = SHARD_COMMAND_COMMIT, .step = step},
                    SHARD_COMMITTED);
    for (uint32_t i = 0; i < PLAYED_SHARDS; i++) {
        struct shard_command committed = {.kind = SHARD_COMMAND_COMMITTED,
                                          .job = PLAYED_JOB,
                                          .incarnation = PLAYED_INCARNATION,
                                          .step = step};

        BUG_IF(actor_tell(cluster->shards[i], &committed, sizeof(committed), NULL) != CAIRN_OK);
    }
    cluster->committed_step = step;
}

static inline void played_request(struct played_cluster *cluster, struct frames *frames,
                                  const Cairn__ClientRequest *request)
{
    Cairn__ClientReply reply = CAIRN__CLIENT_REPLY__INIT;

    reply.protocol = PROTOCOL_VERSION;
    reply.number = request->number;
    if (request->body_case == CAIRN__CLIENT_REQUEST__BODY_SUBMIT)
        played_submit(cluster, request->submit);
    if (request->body_case == CAIRN__CLIENT_REQUEST__BODY_COMMIT)
        played_commit(cluster, request->commit->step);
    if (!cluster->text[0])
        played_answer_error(cluster, frames, &reply, "there is no job of that name");
    else if (request->body_case == CAIRN__CLIENT_REQUEST__BODY_LOCATE)
        played_answer_location(cluster, frames, &reply);
    else if (request->body_case == CAIRN__CLIENT_REQUEST__BODY_TABLE &&
             strstr(request->table->text, "refused"))
        played_answer_error(cluster, frames, &reply, "this table is refused");
    else if (request->body_case == CAIRN__CLIENT_REQUEST__BODY_TABLE)
        played_answer_table(cluster, frames, &reply, request->table->text);
    else
        played_answer_status(cluster, frames, &reply);
}

static inline void *played_run(void *argument)
{
    struct played_cluster *cluster = argument;
    struct frames frames;

    frames_init(&frames);
    while (!atomic_load(&cluster->is_stopping)) {
        Cairn__ClientRequest *request = NULL;

        if (!has_input(cluster->router, 20))
            continue;
        if (frames_receive(cluster->router, &frames, NULL) != CAIRN_OK)
            continue;
        if (frames.count != 3) { /* no client's: of another test, one of whose servers had this port before */
            frames_clear(&frames);
            continue;
        }
        BUG_IF(wire_client_request_unpack(frames_data(&frames, 2), frames_length(&frames, 2), &request,
                                          NULL) != CAIRN_OK);
        pthread_mutex_lock(&cluster->lock);
        played_request(cluster, &frames, request);
        pthread_mutex_unlock(&cluster->lock);
        cairn__client_request__free_unpacked(request, NULL);
    }
    return NULL;
}

/* ---- life */

static inline void played_cluster_open(struct played_cluster *cluster)
{
    memset(cluster, 0, sizeof(*cluster));
    folder_make(cluster->directory);
    cluster->context = zmq_ctx_new();
    cluster->router = bound_socket(cluster->context, ZMQ_ROUTER, cluster->endpoint);
    played_start_shards(cluster);
    ck_assert_int_eq(pthread_mutex_init(&cluster->lock, NULL), 0);
    ck_assert_int_eq(pthread_create(&cluster->thread, NULL, played_run, cluster), 0);
}

static inline void played_cluster_close(struct played_cluster *cluster)
{
    atomic_store(&cluster->is_stopping, true);
    ck_assert_int_eq(pthread_join(cluster->thread, NULL), 0);
    for (uint32_t i = 0; i < PLAYED_SHARDS; i++)
        played_stop_shard(cluster, i);
    for (uint32_t i = 0; i < cluster->added_count; i++)
        free(cluster->added[i]);
    pthread_mutex_destroy(&cluster->lock);
    zmq_close(cluster->router);
    zmq_ctx_term(cluster->context);
    folder_remove(cluster->directory);
}

#endif
