/* Serving clients that wait for news of a job. */
#include "subscriptions.h"

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

bool subscriptions_drop(struct subscriptions *subscriptions, const struct peer *client)
{
    for (size_t i = 0; i < subscriptions->count; i++) {
        if (peer_equal(&subscriptions->items[i].client, client)) {
            remove_at(subscriptions, i);
            return true;
        }
    }
    return false;
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

/* When the next message to this subscriber is due. */
static int64_t due_ms(const struct subscription *subscription, const struct job_entry *entry)
{
    const Cairn__JobStatus *status = entry_status(entry);

    if (!subscription->sent || entry_has_ended(entry))
        return INT64_MIN;
    if (subscription->logs)
        return entry->newest_entry > subscription->entry ? INT64_MIN
                                                         : subscription->sent_ms + SUBSCRIPTION_REPEAT_MS;
    if (subscription->state != status->state)
        return INT64_MIN;
    return subscription->sent_ms +
           (subscription->revision != entry->revision ? SUBSCRIPTION_PACE_MS : SUBSCRIPTION_REPEAT_MS);
}

static void serve(struct turn *turn, struct subscription *subscription, const struct job_entry *entry)
{
    struct effect logs = {.peer = subscription->client,
                          .job = subscription->job,
                          .number = subscription->request,
                          .after = subscription->entry,
                          .end = entry_has_ended(entry)};

    if (subscription->logs)
        effects_logs(turn->effects, &logs);
    else
        reply_status(turn, &subscription->client, subscription->request, entry);
    subscription->sent = true;
    subscription->sent_ms = turn->now.monotonic_ms;
    subscription->revision = entry->revision;
    subscription->state = entry_status(entry)->state;
    if (subscription->entry < entry->newest_entry)
        subscription->entry = entry->newest_entry;
}

void subscriptions_serve(struct turn *turn, struct subscriptions *subscriptions, const struct jobs *jobs)
{
    for (size_t i = 0; i < subscriptions->count;) {
        struct subscription *subscription = &subscriptions->items[i];
        const struct job_entry *entry = jobs_find(jobs, subscription->job);

        if (due_ms(subscription, entry) <= turn->now.monotonic_ms)
            serve(turn, subscription, entry);
        if (entry_has_ended(entry))
            remove_at(subscriptions, i);
        else
            i++;
    }
}

int64_t subscriptions_deadline_ms(const struct subscriptions *subscriptions, const struct jobs *jobs)
{
    int64_t deadline = INT64_MAX;

    for (size_t i = 0; i < subscriptions->count; i++) {
        int64_t due = due_ms(&subscriptions->items[i], jobs_find(jobs, subscriptions->items[i].job));

        deadline = due < deadline ? due : deadline;
    }
    return deadline;
}
