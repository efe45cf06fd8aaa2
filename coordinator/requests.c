/* Answers to clients. */
#include "requests.h"

#include "chain_view.h"
#include "chains.h"

#include "drain.h"
#include "growth.h"
#include "life.h"
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

static void describe_node(const struct turn *turn, const struct node *node, Cairn__NodeStatus *status)
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
        describe_node(turn, desk->nodes->items[i], &statuses[i]);
        pointers[i] = &statuses[i];
    }
    body.n_nodes = count;
    body.nodes = pointers;
    reply.number = request->number;
    reply.body_case = CAIRN__CLIENT_REPLY__BODY_NODES;
    reply.nodes = &body;
    effects_reply(turn->effects, client, &reply);
out:
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

/* Only a job that runs can do what was asked. */
static enum status check_running(const struct job_entry *entry, struct error *error)
{
    const Cairn__JobStatus *status = entry_status(entry);

    if (status->state == JOB_STATE(RUNNING))
        return CAIRN_OK;
    return error_set(error, CAIRN_INVALID, "%s does not run%s%s", status->id, status->reason[0] ? ": " : "",
                     status->reason);
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
        status = check_running(entry, error);
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
        status = check_running(entry, error);
    if (status == CAIRN_OK)
        status = check_tables(entry, "none can be added to a training", error);
    if (status == CAIRN_OK)
        status = growth_ask(turn, entry, request->table->text, &subscription.table, error);
    if (status != CAIRN_OK)
        return status;
    subscription.job = entry_status(entry)->number;
    return subscriptions_add(turn, desk->subscriptions, &subscription, error);
}

static enum status check_target(const struct job_entry *entry, uint32_t workers, struct error *error)
{
    const struct job *job = entry->job;
    const char *id = entry_status(entry)->id;

    if (entry_has_ended(entry))
        return error_set(error, CAIRN_INVALID, "%s has ended", id);
    if (entry_has_tables(entry))
        return error_set(error, CAIRN_INVALID, "%s has tables, and no workers", id);
    if (workers == 0 || workers > job->microbatches)
        return error_set(error, CAIRN_INVALID,
                         "%" PRIu32 " workers, allowed for %s: 1 to %" PRIu32
                         ", its microbatches (its file says %" PRIu32 " to %" PRIu32 ")",
                         workers, id, job->microbatches, job->workers_min, job->workers_max);
    return CAIRN_OK;
}

static enum status answer_scale(struct turn *turn, const struct desk *desk, const struct peer *client,
                                const Cairn__ClientRequest *request, struct error *error)
{
    struct job_entry *entry;
    enum status status = jobs_lookup(desk->jobs, request->scale->job, &entry, error);

    if (status == CAIRN_OK)
        status = check_target(entry, request->scale->workers, error);
    if (status != CAIRN_OK)
        return status;
    entry->record->workers_target = entry_status(entry)->workers_target = request->scale->workers;
    entry->unsaved = true;
    entry->revision++;
    entry_tell(turn, entry, "scaled to %" PRIu32 " workers", request->scale->workers);
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
    describe_node(turn, node, &node_status);
    body.n_nodes = 1;
    body.nodes = &pointer;
    reply.number = request->number;
    reply.body_case = CAIRN__CLIENT_REPLY__BODY_NODES;
    reply.nodes = &body;
    effects_reply(turn->effects, client, &reply);
    return CAIRN_OK;
}

/* Whether any of the shards [first, end) is the head of a slot. */
static bool is_head(const uint32_t *heads, size_t slots, size_t first, size_t end)
{
    for (size_t slot = 0; slot < slots; slot++) {
        if (heads[slot] >= first && heads[slot] < end)
            return true;
    }
    return false;
}

/* Brings the endpoints of a job's shards up to date with the servers that are registered now. Those that are
 * awaited have the ones that the record says. */
static enum status refresh_endpoints(struct turn *turn, const struct nodes *nodes,
                                     const struct job_entry *entry, const uint32_t *heads, size_t slots,
                                     struct error *error)
{
    Cairn__JobRecord *record = entry->record;

    for (size_t first = 0, next; first < record->n_shards; first = next) {
        const char *name = recorded_server(record, first, &next);
        const struct node *node = nodes_named(nodes, name);

        if ((!node && entry->awaited_count > 0) || !is_head(heads, slots, first, next))
            continue;
        if (!node || node_is_worker(node))
            return error_set(error, CAIRN_NOT_FOUND, "server %s, which holds a part of %s, is not there",
                             name, record->status->id);
        if (node->registration->n_endpoints != next - first)
            return error_set(error, CAIRN_INVALID,
                             "server %s has %zu shards, but holds its part of %s in %zu", name,
                             node->registration->n_endpoints, record->status->id, next - first);
        for (size_t i = first; i < next; i++)
            turn_set_text(turn, &record->shards[i]->endpoint, "%s", node->registration->endpoints[i - first]);
    }
    return CAIRN_OK;
}

/* The heads of the committed step may be gone while others of their chains are there. */
static uint32_t *located_heads(struct turn *turn, const struct desk *desk, const struct job_entry *entry,
                               bool live)
{
    uint32_t *heads = chains_heads(turn, entry, live);
    struct chain_view view = chain_view_durable(entry->record);

    for (uint32_t slot = 0; heads && !live && slot < view.slots; slot++) {
        for (uint32_t place = 0; place < view.width; place++) {
            uint32_t shard = view.places[(size_t)slot * view.width + place];

            if (shard == CHAIN_NOBODY || !nodes_named(desk->nodes, entry->record->shards[shard]->server))
                continue;
            heads[slot] = shard;
            break;
        }
    }
    return heads;
}

static void send_location(struct turn *turn, const struct peer *client, const Cairn__ClientRequest *request,
                          const struct job_entry *entry, uint32_t *heads, size_t slots)
{
    Cairn__ClientReply reply = CAIRN__CLIENT_REPLY__INIT;
    Cairn__LocationReply body = CAIRN__LOCATION_REPLY__INIT;
    const Cairn__JobRecord *record = entry->record;
    Cairn__JobText text;

    body.job = record->status->number;
    body.job_id = record->status->id;
    growth_text(entry, &text);
    body.text = &text;
    body.incarnation = record->status->incarnation;
    body.committed_step = record->status->committed_step;
    body.n_shards = record->n_shards;
    body.shards = record->shards;
    body.n_slot_shards = slots;
    body.slot_shards = heads;
    body.map = record->map ? record->map->number : 0;
    reply.number = request->number;
    reply.body_case = CAIRN__CLIENT_REPLY__BODY_LOCATION;
    reply.location = &body;
    effects_reply(turn->effects, client, &reply);
}

static enum status answer_locate(struct turn *turn, const struct desk *desk, const struct peer *client,
                                 const Cairn__ClientRequest *request, struct error *error)
{
    bool live = request->locate->live;
    struct job_entry *entry;
    uint32_t *heads;
    size_t slots;
    enum status status = jobs_lookup(desk->jobs, request->locate->job, &entry, error);

    if (status != CAIRN_OK)
        return status;
    if (live)
        status = check_running(entry, error);
    else if (entry_status(entry)->committed_step == 0)
        status = error_set(error, CAIRN_NOT_FOUND, "%s has nothing committed yet", entry_status(entry)->id);
    if (status != CAIRN_OK)
        return status;
    heads = located_heads(turn, desk, entry, live);
    if (!heads)
        return CAIRN_OK; /* the turn has failed */
    slots = live ? chain_view_live(entry->record).slots : chain_view_durable(entry->record).slots;
    status = refresh_endpoints(turn, desk->nodes, entry, heads, slots, error);
    if (status == CAIRN_OK)
        send_location(turn, client, request, entry, heads, slots);
    free(heads);
    return status;
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
