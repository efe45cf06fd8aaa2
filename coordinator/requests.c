/* Answers to clients. */
#include "requests.h"

#include "chains.h"
#include "drain.h"
#include "growth.h"
#include "life.h"
#include "location.h"
#include "scheduling.h"
#include "server_choice.h"

#include <inttypes.h>
#include <stdlib.h>

/* The newest jobs that one reply lists, and the longest job text: both keep messages well within what the
 * other end takes (WIRE_CONTROL_MAX). */
#define JOBS_LISTED_MAX    10000u
#define JOB_TEXT_BYTES_MAX ((size_t)8 << 20)

static enum status answer_submit(struct turn *turn, const struct desk *desk, const struct peer *client,
                                 const Cairn__ClientRequest *request, struct error *error)
{
    const Cairn__JobText *text = request->submit->text;
    struct job_entry *entry = NULL;
    enum status status;

    if (!text)
        return error_set(error, CAIRN_INVALID, "the request has no job text");
    if (text->n_added > 0)
        return error_set(error, CAIRN_INVALID, "tables are added to a job that runs, not submitted with it");
    if (cairn__job_text__get_packed_size(text) > JOB_TEXT_BYTES_MAX)
        return error_set(error, CAIRN_INVALID, "the job file is longer than %zu bytes", JOB_TEXT_BYTES_MAX);
    if (request->submit->join)
        status = submit_join(turn, desk->jobs, text, request->submit->resume, &entry, error);
    else if (request->submit->resume)
        status = submit_resume(turn, desk->jobs, text, &entry, error);
    else
        status = submit_new(turn, desk->jobs, text, &entry, error);
    if (status != CAIRN_OK)
        return status;
    schedule(turn, desk->jobs, desk->nodes);
    reply_status(turn, client, request->number, entry);
    return CAIRN_OK;
}

static enum status answer_jobs(struct turn *turn, const struct desk *desk, const struct peer *client,
                               const Cairn__ClientRequest *request, struct error *error)
{
    Cairn__ClientReply reply = CAIRN__CLIENT_REPLY__INIT;
    Cairn__JobsReply body = CAIRN__JOBS_REPLY__INIT;
    size_t count = desk->jobs->count < JOBS_LISTED_MAX ? desk->jobs->count : JOBS_LISTED_MAX;
    size_t skipped = desk->jobs->count - count;
    Cairn__JobStatus **statuses = calloc(count + 1, sizeof(*statuses));

    if (!statuses) {
        turn->effects->failed = true;
        return error_set(error, CAIRN_NO_MEMORY, "out of memory");
    }
    for (size_t i = 0; i < count; i++)
        statuses[i] = entry_status(desk->jobs->items[skipped + i]);
    body.n_jobs = count;
    body.jobs = statuses;
    reply.number = request->number;
    reply.body_case = CAIRN__CLIENT_REPLY__BODY_JOBS;
    reply.jobs = &body;
    effects_reply(turn->effects, client, &reply);
    free(statuses);
    return CAIRN_OK;
}

/* The jobs that a node takes part in: the list is the status's and its texts are the jobs'. */
static void list_jobs(struct turn *turn, const struct jobs *jobs, const struct node *node,
                      Cairn__NodeStatus *status)
{
    for (size_t i = 0; i < jobs->count; i++) {
        char **list;

        if (!entry_participant(jobs->items[i], node))
            continue;
        list = realloc(status->jobs, (status->n_jobs + 1) * sizeof(*list));
        if (!list) {
            turn->effects->failed = true;
            return;
        }
        status->jobs = list;
        status->jobs[status->n_jobs++] = entry_status(jobs->items[i])->id;
    }
}

/* Owns: the caller, status->jobs. */
static void describe_node(struct turn *turn, const struct jobs *jobs, const struct node *node,
                          Cairn__NodeStatus *status)
{
    const Cairn__Registration *registration = node->registration;

    cairn__node_status__init(status);
    status->name = registration->name;
    status->kind = registration->kind;
    status->host = registration->host;
    status->process = registration->process;
    status->version = registration->version;
    status->n_endpoints = registration->n_endpoints;
    status->endpoints = registration->endpoints;
    status->lanes = registration->lanes;
    status->device = registration->device;
    status->job = node->job ? entry_status(node->job)->id : (char *)protobuf_c_empty_string;
    status->draining = node->draining;
    status->silent_ms = (uint32_t)(turn->now.monotonic_ms - node->heard_ms);
    list_jobs(turn, jobs, node, status);
}

static enum status answer_nodes(struct turn *turn, const struct desk *desk, const struct peer *client,
                                const Cairn__ClientRequest *request, struct error *error)
{
    size_t count = desk->nodes->count;
    Cairn__ClientReply reply = CAIRN__CLIENT_REPLY__INIT;
    Cairn__NodesReply body = CAIRN__NODES_REPLY__INIT;
    Cairn__NodeStatus *statuses = calloc(count + 1, sizeof(*statuses));
    Cairn__NodeStatus **pointers = calloc(count + 1, sizeof(*pointers));
    enum status status = CAIRN_OK;

    if (!statuses || !pointers) {
        turn->effects->failed = true;
        status = error_set(error, CAIRN_NO_MEMORY, "out of memory");
        goto out;
    }
    for (size_t i = 0; i < count; i++) {
        describe_node(turn, desk->jobs, desk->nodes->items[i], &statuses[i]);
        pointers[i] = &statuses[i];
    }
    body.n_nodes = count;
    body.nodes = pointers;
    reply.number = request->number;
    reply.body_case = CAIRN__CLIENT_REPLY__BODY_NODES;
    reply.nodes = &body;
    effects_reply(turn->effects, client, &reply);
out:
    for (size_t i = 0; i < body.n_nodes; i++)
        free(statuses[i].jobs);
    free(statuses);
    free(pointers);
    return status;
}

static enum status answer_watch(struct turn *turn, const struct desk *desk, const struct peer *client,
                                const Cairn__ClientRequest *request, struct error *error)
{
    struct subscription subscription = {.client = *client, .request = request->number};
    struct job_entry *entry;
    enum status status = jobs_lookup(desk->jobs, request->watch->job, &entry, error);

    if (status != CAIRN_OK)
        return status;
    subscription.job = entry_status(entry)->number;
    return subscriptions_add(turn, desk->subscriptions, &subscription, error);
}

static enum status answer_logs(struct turn *turn, const struct desk *desk, const struct peer *client,
                               const Cairn__ClientRequest *request, struct error *error)
{
    struct subscription subscription = {
        .client = *client, .request = request->number, .kind = SUBSCRIPTION_LOGS};
    struct effect logs = {
        .peer = *client, .number = request->number, .after = request->logs->after, .end = true};
    struct job_entry *entry;
    enum status status = jobs_lookup(desk->jobs, request->logs->job, &entry, error);

    if (status != CAIRN_OK)
        return status;
    if (!request->logs->follow) {
        logs.job = entry_status(entry)->number;
        effects_logs(turn->effects, &logs);
        return CAIRN_OK;
    }
    subscription.job = entry_status(entry)->number;
    subscription.entry = request->logs->after;
    return subscriptions_add(turn, desk->subscriptions, &subscription, error);
}

static enum status answer_stop(struct turn *turn, const struct desk *desk, const struct peer *client,
                               const Cairn__ClientRequest *request, struct error *error)
{
    struct job_entry *entry;
    enum status status = jobs_lookup(desk->jobs, request->stop->job, &entry, error);

    if (status != CAIRN_OK)
        return status;
    life_stop(turn, entry);
    reply_status(turn, client, request->number, entry);
    return CAIRN_OK;
}

static enum status answer_job(struct turn *turn, const struct desk *desk, const struct peer *client,
                              const Cairn__ClientRequest *request, struct error *error)
{
    struct job_entry *entry;
    enum status status = jobs_lookup(desk->jobs, request->job->job, &entry, error);

    if (status == CAIRN_OK)
        reply_status(turn, client, request->number, entry);
    return status;
}

/* Only a job with tables can do what was asked; why not a training: a line's end. */
static enum status check_tables(const struct job_entry *entry, const char *why, struct error *error)
{
    if (entry_has_tables(entry))
        return CAIRN_OK;
    return error_set(error, CAIRN_INVALID, "%s has no tables: %s", entry_status(entry)->id, why);
}

static enum status answer_commit(struct turn *turn, const struct desk *desk, const struct peer *client,
                                 const Cairn__ClientRequest *request, struct error *error)
{
    struct subscription subscription = {.client = *client,
                                        .request = request->number,
                                        .kind = SUBSCRIPTION_COMMIT,
                                        .step = request->commit->step,
                                        .sent = true,
                                        .sent_ms = turn->now.monotonic_ms};
    struct job_entry *entry;
    enum status status = jobs_lookup(desk->jobs, request->commit->job, &entry, error);
    bool asked;

    if (status == CAIRN_OK)
        status = entry_check_running(entry, error);
    if (status == CAIRN_OK)
        status = check_tables(entry, "a training commits by itself", error);
    if (status != CAIRN_OK)
        return status;
    subscription.job = entry_status(entry)->number;
    asked = subscriptions_await(desk->subscriptions, subscription.job, subscription.step);
    status = subscriptions_add(turn, desk->subscriptions, &subscription, error);
    if (status == CAIRN_OK && !asked && entry_status(entry)->committed_step < subscription.step)
        life_ask_generation(turn, entry, subscription.step);
    return status;
}

static enum status answer_table(struct turn *turn, const struct desk *desk, const struct peer *client,
                                const Cairn__ClientRequest *request, struct error *error)
{
    struct subscription subscription = {
        .client = *client, .request = request->number, .kind = SUBSCRIPTION_TABLE};
    struct job_entry *entry;
    enum status status = jobs_lookup(desk->jobs, request->table->job, &entry, error);

    if (status == CAIRN_OK)
        status = entry_check_running(entry, error);
    if (status == CAIRN_OK)
        status = check_tables(entry, "none can be added to a training", error);
    if (status == CAIRN_OK)
        status = growth_ask(turn, entry, request->table->text, &subscription.table, error);
    if (status != CAIRN_OK)
        return status;
    subscription.job = entry_status(entry)->number;
    return subscriptions_add(turn, desk->subscriptions, &subscription, error);
}

static enum status check_workers(const struct job_entry *entry, uint32_t workers, struct error *error)
{
    const struct job *job = entry->job;
    const char *id = entry_status(entry)->id;

    if (entry_has_tables(entry))
        return error_set(error, CAIRN_INVALID, "%s has tables, and no workers", id);
    if (workers > job->microbatches)
        return error_set(error, CAIRN_INVALID,
                         "%" PRIu32 " workers, allowed for %s: 1 to %" PRIu32
                         ", its microbatches (its file says %" PRIu32 " to %" PRIu32 ")",
                         workers, id, job->microbatches, job->workers_min, job->workers_max);
    return CAIRN_OK;
}

static enum status check_servers(const struct job_entry *entry, uint32_t servers, struct error *error)
{
    const char *id = entry_status(entry)->id;

    if (servers < entry->job->replicas)
        return error_set(error, CAIRN_INVALID,
                         "%" PRIu32 " server%s cannot hold the %" PRIu32
                         " replicas that %s has of its state, which are each on another",
                         servers, servers > 1 ? "s" : "", entry->job->replicas, id);
    return CAIRN_OK;
}

static enum status check_targets(const struct job_entry *entry, const Cairn__ScaleRequest *scale,
                                 struct error *error)
{
    enum status status = CAIRN_OK;

    if (entry_has_ended(entry))
        return error_set(error, CAIRN_INVALID, "%s has ended", entry_status(entry)->id);
    if (scale->workers > 0)
        status = check_workers(entry, scale->workers, error);
    if (status == CAIRN_OK && scale->servers > 0)
        status = check_servers(entry, scale->servers, error);
    return status;
}

static void set_targets(struct turn *turn, struct job_entry *entry, const Cairn__ScaleRequest *scale)
{
    if (scale->workers > 0) {
        entry->record->workers_target = entry_status(entry)->workers_target = scale->workers;
        entry_tell(turn, entry, "scaled to %" PRIu32 " worker%s", scale->workers,
                   scale->workers > 1 ? "s" : "");
    }
    if (scale->servers > 0) {
        entry->record->servers_target = entry_status(entry)->servers_target = scale->servers;
        entry_tell(turn, entry, "scaled to %" PRIu32 " server%s", scale->servers,
                   scale->servers > 1 ? "s" : "");
    }
    entry->unsaved = true;
    entry->revision++;
}

static enum status answer_scale(struct turn *turn, const struct desk *desk, const struct peer *client,
                                const Cairn__ClientRequest *request, struct error *error)
{
    struct job_entry *entry;
    enum status status = jobs_lookup(desk->jobs, request->scale->job, &entry, error);

    if (status == CAIRN_OK)
        status = check_targets(entry, request->scale, error);
    if (status != CAIRN_OK)
        return status;
    set_targets(turn, entry, request->scale);
    schedule(turn, desk->jobs, desk->nodes);
    reply_status(turn, client, request->number, entry);
    return CAIRN_OK;
}

static enum status answer_drain(struct turn *turn, const struct desk *desk, const struct peer *client,
                                const Cairn__ClientRequest *request, struct error *error)
{
    Cairn__ClientReply reply = CAIRN__CLIENT_REPLY__INIT;
    Cairn__NodesReply body = CAIRN__NODES_REPLY__INIT;
    Cairn__NodeStatus node_status, *pointer = &node_status;
    struct node *node = nodes_named(desk->nodes, request->drain->node);
    enum status status;

    if (!node)
        return error_set(error, CAIRN_NOT_FOUND, "there is no node %.128s", request->drain->node);
    status = drain_node(turn, desk->jobs, desk->nodes, node, error);
    if (status != CAIRN_OK)
        return status;
    draining_add(turn, &desk->nodes->draining, node->registration);
    describe_node(turn, desk->jobs, node, &node_status);
    body.n_nodes = 1;
    body.nodes = &pointer;
    reply.number = request->number;
    reply.body_case = CAIRN__CLIENT_REPLY__BODY_NODES;
    reply.nodes = &body;
    effects_reply(turn->effects, client, &reply);
    free(node_status.jobs);
    return CAIRN_OK;
}

/* Of those that hold something of a job: who is there to be told, from the front, and who is not, from the
 * end. names: [left->n_servers]. */
static size_t sort_by_presence(const struct nodes *nodes, const Cairn__DeletedJob *left, char **names)
{
    size_t present = 0, absent = 0;

    for (size_t i = 0; i < left->n_servers; i++) {
        const struct node *node = nodes_named(nodes, left->servers[i]);
        bool is_there = node && !node_is_worker(node) && !node->is_cut;

        names[is_there ? present++ : left->n_servers - ++absent] = left->servers[i];
    }
    return present;
}

static void reply_deleted(struct turn *turn, const struct desk *desk, const struct peer *client,
                          uint64_t request, const struct job_entry *entry, const Cairn__DeletedJob *left)
{
    Cairn__ClientReply reply = CAIRN__CLIENT_REPLY__INIT;
    Cairn__DeletedReply body = CAIRN__DELETED_REPLY__INIT;
    char **names = calloc(left->n_servers + 1, sizeof(*names));

    if (!names) {
        turn->effects->failed = true;
        return;
    }
    body.job_id = entry_status(entry)->id;
    body.step = entry_status(entry)->committed_step;
    body.servers = names;
    body.n_servers = sort_by_presence(desk->nodes, left, names);
    body.absent = names + body.n_servers;
    body.n_absent = left->n_servers - body.n_servers;
    reply.number = request;
    reply.body_case = CAIRN__CLIENT_REPLY__BODY_DELETED;
    reply.deleted = &body;
    effects_reply(turn->effects, client, &reply);
    free(names);
}

static enum status answer_delete(struct turn *turn, const struct desk *desk, const struct peer *client,
                                 const Cairn__ClientRequest *request, struct error *error)
{
    Cairn__DeletedJob *left;
    struct job_entry *entry;
    enum status status = jobs_lookup(desk->jobs, request->delete_job->job, &entry, error);

    if (status == CAIRN_OK && !entry_has_ended(entry))
        status = error_set(error, CAIRN_INVALID, "%s has not ended: stop it first", entry_status(entry)->id);
    if (status != CAIRN_OK)
        return status;
    left = deleted_job_new(turn, entry->record);
    if (!left)
        return error_set(error, CAIRN_NO_MEMORY, "out of memory");
    reply_deleted(turn, desk, client, request->number, entry, left);
    jobs_delete(turn, desk->jobs, entry, left);
    for (size_t i = 0; i < desk->nodes->count; i++)
        deleted_tell(turn, &desk->jobs->deleted, desk->nodes->items[i]);
    return CAIRN_OK;
}

static enum status answer_locate(struct turn *turn, const struct desk *desk, const struct peer *client,
                                 const Cairn__ClientRequest *request, struct error *error)
{
    struct subscription subscription = {
        .client = *client, .request = request->number, .kind = SUBSCRIPTION_LOCATION};
    struct job_entry *entry;
    enum status status = jobs_lookup(desk->jobs, request->locate->job, &entry, error);

    if (status != CAIRN_OK)
        return status;
    if (!request->locate->live)
        return location_reply_committed(turn, desk->nodes, entry, client, request->number, error);
    subscription.job = entry_status(entry)->number;
    return subscriptions_add(turn, desk->subscriptions, &subscription, error);
}

typedef enum status answer(struct turn *turn, const struct desk *desk, const struct peer *client,
                           const Cairn__ClientRequest *request, struct error *error);

void request_answer(struct turn *turn, const struct desk *desk, const struct peer *client,
                    const Cairn__ClientRequest *request)
{
    static answer *const answers[] = {
        [CAIRN__CLIENT_REQUEST__BODY_SUBMIT] = answer_submit,
        [CAIRN__CLIENT_REQUEST__BODY_JOBS] = answer_jobs,
        [CAIRN__CLIENT_REQUEST__BODY_JOB] = answer_job,
        [CAIRN__CLIENT_REQUEST__BODY_WATCH] = answer_watch,
        [CAIRN__CLIENT_REQUEST__BODY_STOP] = answer_stop,
        [CAIRN__CLIENT_REQUEST__BODY_LOCATE] = answer_locate,
        [CAIRN__CLIENT_REQUEST__BODY_NODES] = answer_nodes,
        [CAIRN__CLIENT_REQUEST__BODY_LOGS] = answer_logs,
        [CAIRN__CLIENT_REQUEST__BODY_COMMIT] = answer_commit,
        [CAIRN__CLIENT_REQUEST__BODY_TABLE] = answer_table,
        [CAIRN__CLIENT_REQUEST__BODY_SCALE] = answer_scale,
        [CAIRN__CLIENT_REQUEST__BODY_DRAIN] = answer_drain,
        [CAIRN__CLIENT_REQUEST__BODY_DELETE_JOB] = answer_delete,
    };
    unsigned body = (unsigned)request->body_case;
    struct error error = {.status = CAIRN_OK};

    subscriptions_drop(desk->subscriptions, client);
    if (body >= sizeof(answers) / sizeof(answers[0]) || !answers[body])
        error_set(&error, CAIRN_PROTOCOL, "the coordinator does not know this request");
    else if (answers[body](turn, desk, client, request, &error) == CAIRN_OK)
        return;
    reply_error(turn, client, request->number, &error);
}
