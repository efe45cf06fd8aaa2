/* Serving clients that wait for news of a job. */
#include "subscriptions.h"

#include "commits.h"
#include "growth.h"
#include "location.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

void subscriptions_init(struct subscriptions *subscriptions)
{
    memset(subscriptions, 0, sizeof(*subscriptions));
}

void subscriptions_fini(struct subscriptions *subscriptions)
{
    free(subscriptions->items);
    subscriptions_init(subscriptions);
}

enum status subscriptions_add(struct turn *turn, struct subscriptions *subscriptions,
                              const struct subscription *subscription, struct error *error)
{
    if (subscriptions->count == SUBSCRIPTIONS_MAX)
        return error_set(error, CAIRN_FULL, "the coordinator has %d watching clients, and takes no more",
                         SUBSCRIPTIONS_MAX);
    if (subscriptions->count == subscriptions->capacity) {
        size_t capacity = subscriptions->capacity ? subscriptions->capacity * 2 : 16;
        struct subscription *items = realloc(subscriptions->items, capacity * sizeof(*items));

        if (!items) {
            turn->effects->failed = true;
            return error_set(error, CAIRN_NO_MEMORY, "out of memory");
        }
        subscriptions->items = items;
        subscriptions->capacity = capacity;
    }
    subscriptions->items[subscriptions->count++] = *subscription;
    return CAIRN_OK;
}

static void remove_at(struct subscriptions *subscriptions, size_t index)
{
    subscriptions->items[index] = subscriptions->items[--subscriptions->count];
}

void subscriptions_drop(struct subscriptions *subscriptions, const struct peer *client)
{
    for (size_t i = 0; i < subscriptions->count; i++) {
        if (peer_equal(&subscriptions->items[i].client, client)) {
            remove_at(subscriptions, i);
            return;
        }
    }
}

void reply_error(struct turn *turn, const struct peer *client, uint64_t request, const struct error *error)
{
    Cairn__ClientReply reply = CAIRN__CLIENT_REPLY__INIT;
    Cairn__ErrorReply body = CAIRN__ERROR_REPLY__INIT;

    body.message = (char *)error->message;
    reply.number = request;
    reply.body_case = CAIRN__CLIENT_REPLY__BODY_ERROR;
    reply.error = &body;
    effects_reply(turn->effects, client, &reply);
}

void reply_status(struct turn *turn, const struct peer *client, uint64_t request,
                  const struct job_entry *entry)
{
    Cairn__ClientReply reply = CAIRN__CLIENT_REPLY__INIT;

    reply.number = request;
    reply.body_case = CAIRN__CLIENT_REPLY__BODY_JOB;
    reply.job = entry_status(entry);
    effects_reply(turn->effects, client, &reply);
}

/* Whether the next message to this subscriber is the last. */
static bool is_over(const struct subscription *subscription, const struct job_entry *entry,
                    const struct nodes *nodes)
{
    const Cairn__JobStatus *status = entry_status(entry);

    if (subscription->kind == SUBSCRIPTION_COMMIT)
        return status->state != JOB_STATE(RUNNING) || status->committed_step >= subscription->step ||
               commits_are_given_up(entry, subscription->step);
    if (subscription->kind == SUBSCRIPTION_TABLE)
        return status->state != JOB_STATE(RUNNING) || growth_is_ready(entry, subscription->table);
    if (subscription->kind == SUBSCRIPTION_LOCATION)
        return location_is_settled(nodes, entry);
    return entry_has_ended(entry);
}

/* When the next message to this subscriber is due. */
static int64_t due_ms(const struct subscription *subscription, const struct job_entry *entry,
                      const struct nodes *nodes)
{
    const Cairn__JobStatus *status = entry_status(entry);

    if (!subscription->sent || is_over(subscription, entry, nodes))
        return INT64_MIN;
    if (subscription->kind == SUBSCRIPTION_COMMIT || subscription->kind == SUBSCRIPTION_TABLE ||
        subscription->kind == SUBSCRIPTION_LOCATION)
        return subscription->sent_ms + SUBSCRIPTION_REPEAT_MS;
    if (subscription->kind == SUBSCRIPTION_LOGS)
        return entry->newest_entry > subscription->entry ? INT64_MIN
                                                         : subscription->sent_ms + SUBSCRIPTION_REPEAT_MS;
    if (subscription->state != status->state)
        return INT64_MIN;
    return subscription->sent_ms +
           (subscription->revision != entry->revision ? SUBSCRIPTION_PACE_MS : SUBSCRIPTION_REPEAT_MS);
}

/* The status that says so, a sign of life, or why the step will not be durable. */
static void serve_committer(struct turn *turn, const struct subscription *subscription,
                            const struct job_entry *entry)
{
    const Cairn__JobStatus *status = entry_status(entry);
    struct error error;

    if (status->committed_step >= subscription->step ||
        (status->state == JOB_STATE(RUNNING) && !commits_are_given_up(entry, subscription->step))) {
        reply_status(turn, &subscription->client, subscription->request, entry);
        return;
    }
    if (status->state == JOB_STATE(RUNNING))
        error_set(&error, CAIRN_INVALID,
                  "step %" PRIu64 " of %s cannot be committed any more, as a server that had a part of it is "
                  "gone, or servers stood at different steps: commit a later one",
                  subscription->step, status->id);
    else
        error_set(&error, CAIRN_CLOSED, "%s runs no more, and step %" PRIu64 " was not committed: %s",
                  status->id, subscription->step, status->reason);
    reply_error(turn, &subscription->client, subscription->request, &error);
}

/* The table's number, a sign of life, or why it will not be there. */
static void serve_adder(struct turn *turn, const struct subscription *subscription,
                        const struct job_entry *entry)
{
    const Cairn__JobStatus *status = entry_status(entry);
    Cairn__ClientReply reply = CAIRN__CLIENT_REPLY__INIT;
    Cairn__TableReply body = CAIRN__TABLE_REPLY__INIT;
    struct error error;

    if (status->state != JOB_STATE(RUNNING)) {
        error_set(&error, CAIRN_CLOSED, "%s runs no more, and no table was added: %s", status->id,
                  status->reason);
        reply_error(turn, &subscription->client, subscription->request, &error);
        return;
    }
    if (growth_is_ready(entry, subscription->table))
        body.number = subscription->table;
    reply.number = subscription->request;
    reply.body_case = CAIRN__CLIENT_REPLY__BODY_TABLE;
    reply.table = &body;
    effects_reply(turn->effects, &subscription->client, &reply);
}

static void serve(struct turn *turn, struct subscription *subscription, const struct job_entry *entry,
                  const struct nodes *nodes)
{
    struct effect logs = {.peer = subscription->client,
                          .job = subscription->job,
                          .number = subscription->request,
                          .after = subscription->entry,
                          .end = entry_has_ended(entry)};

    if (subscription->kind == SUBSCRIPTION_LOGS)
        effects_logs(turn->effects, &logs);
    else if (subscription->kind == SUBSCRIPTION_COMMIT)
        serve_committer(turn, subscription, entry);
    else if (subscription->kind == SUBSCRIPTION_TABLE)
        serve_adder(turn, subscription, entry);
    else if (subscription->kind == SUBSCRIPTION_LOCATION)
        location_reply_live(turn, nodes, entry, &subscription->client, subscription->request);
    else
        reply_status(turn, &subscription->client, subscription->request, entry);
    subscription->sent = true;
    subscription->sent_ms = turn->now.monotonic_ms;
    subscription->revision = entry->revision;
    subscription->state = entry_status(entry)->state;
    if (subscription->entry < entry->newest_entry)
        subscription->entry = entry->newest_entry;
}

void subscriptions_serve(struct turn *turn, struct subscriptions *subscriptions, const struct jobs *jobs,
                         const struct nodes *nodes)
{
    for (size_t i = 0; i < subscriptions->count;) {
        struct subscription *subscription = &subscriptions->items[i];
        const struct job_entry *entry = jobs_find(jobs, subscription->job);

        if (due_ms(subscription, entry, nodes) <= turn->now.monotonic_ms)
            serve(turn, subscription, entry, nodes);
        if (is_over(subscription, entry, nodes))
            remove_at(subscriptions, i);
        else
            i++;
    }
}

static bool awaits(const struct subscription *subscription, uint64_t job, uint64_t step)
{
    return subscription->kind == SUBSCRIPTION_COMMIT && subscription->job == job &&
           subscription->step == step;
}

bool subscriptions_await(const struct subscriptions *subscriptions, uint64_t job, uint64_t step)
{
    for (size_t i = 0; i < subscriptions->count; i++) {
        if (awaits(&subscriptions->items[i], job, step))
            return true;
    }
    return false;
}

void subscriptions_refuse(struct turn *turn, struct subscriptions *subscriptions, uint64_t job, uint64_t step,
                          const char *why)
{
    struct error error;

    error_set(&error, CAIRN_INVALID, "%s", why);
    for (size_t i = 0; i < subscriptions->count;) {
        struct subscription *subscription = &subscriptions->items[i];

        if (awaits(subscription, job, step)) {
            reply_error(turn, &subscription->client, subscription->request, &error);
            remove_at(subscriptions, i);
        } else {
            i++;
        }
    }
}

int64_t subscriptions_deadline_ms(const struct subscriptions *subscriptions, const struct jobs *jobs,
                                  const struct nodes *nodes)
{
    int64_t deadline = INT64_MAX;

    for (size_t i = 0; i < subscriptions->count; i++) {
        int64_t due = due_ms(&subscriptions->items[i], jobs_find(jobs, subscriptions->items[i].job), nodes);

        deadline = due < deadline ? due : deadline;
    }
    return deadline;
}
