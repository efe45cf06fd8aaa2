/* Finding the shards of a job. */
#include "location.h"

#include "chain_view.h"
#include "chains.h"
#include "growth.h"
#include "life.h"
#include "server_choice.h"
#include "subscriptions.h"

#include <stdlib.h>

/* ---- whether it can be found */

static bool may_run_yet(const struct job_entry *entry)
{
    Cairn__JobState state = entry_status(entry)->state;

    return state == JOB_STATE(PENDING) || state == JOB_STATE(PREPARING) || state == JOB_STATE(WAITING);
}

/* Whether any of the shards [first, end) is the head of a slot. heads: one each `stride`. */
static bool is_head(const uint32_t *heads, size_t slots, size_t stride, size_t first, size_t end)
{
    for (size_t slot = 0; slot < slots; slot++) {
        if (heads[slot * stride] >= first && heads[slot * stride] < end)
            return true;
    }
    return false;
}

/* What the record says of servers that we have not heard of may be of before they were started again. */
static bool servers_are_there(const struct nodes *nodes, const Cairn__JobRecord *record)
{
    struct chain_view view = chain_view_live(record);

    for (size_t first = 0, next; first < record->n_shards; first = next) {
        const char *name = recorded_server(record, first, &next);
        const struct node *node = nodes_named(nodes, name);

        if ((!node || node_is_worker(node)) && is_head(view.places, view.slots, view.width, first, next))
            return false;
    }
    return true;
}

bool location_is_settled(const struct nodes *nodes, const struct job_entry *entry)
{
    return !may_run_yet(entry) &&
           (entry_status(entry)->state != JOB_STATE(RUNNING) || servers_are_there(nodes, entry->record));
}

/* ---- finding it */

/* Brings the endpoints of a job's shards up to date with the servers that are registered now. */
static enum status refresh_endpoints(struct turn *turn, const struct nodes *nodes,
                                     const struct job_entry *entry, const uint32_t *heads, size_t slots,
                                     struct error *error)
{
    Cairn__JobRecord *record = entry->record;

    for (size_t first = 0, next; first < record->n_shards; first = next) {
        const char *name = recorded_server(record, first, &next);
        const struct node *node = nodes_named(nodes, name);

        if (!is_head(heads, slots, 1, first, next))
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
static void choose_committed_heads(const struct nodes *nodes, const struct job_entry *entry, uint32_t *heads)
{
    struct chain_view view = chain_view_durable(entry->record);

    for (uint32_t slot = 0; slot < view.slots; slot++) {
        for (uint32_t place = 0; place < view.width; place++) {
            uint32_t shard = view.places[(size_t)slot * view.width + place];

            if (shard == CHAIN_NOBODY || !nodes_named(nodes, entry->record->shards[shard]->server))
                continue;
            heads[slot] = shard;
            break;
        }
    }
}

/* heads: NULL: not known yet. */
static void send_location(struct turn *turn, const struct peer *client, uint64_t request,
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
    if (heads) {
        body.n_shards = record->n_shards;
        body.shards = record->shards;
        body.n_slot_shards = slots;
        body.slot_shards = heads;
        body.map = record->map ? record->map->number : 0;
    }
    reply.number = request;
    reply.body_case = CAIRN__CLIENT_REPLY__BODY_LOCATION;
    reply.location = &body;
    effects_reply(turn->effects, client, &reply);
}

static enum status locate(struct turn *turn, const struct nodes *nodes, const struct job_entry *entry,
                          bool live, const struct peer *client, uint64_t request, struct error *error)
{
    uint32_t *heads = chains_heads(turn, entry, live);
    size_t slots = live ? chain_view_live(entry->record).slots : chain_view_durable(entry->record).slots;
    enum status status;

    if (!heads)
        return CAIRN_OK; /* the turn has failed */
    if (!live)
        choose_committed_heads(nodes, entry, heads);
    status = refresh_endpoints(turn, nodes, entry, heads, slots, error);
    if (status == CAIRN_OK)
        send_location(turn, client, request, entry, heads, slots);
    free(heads);
    return status;
}

void location_reply_live(struct turn *turn, const struct nodes *nodes, const struct job_entry *entry,
                         const struct peer *client, uint64_t request)
{
    struct error error;
    enum status status;

    if (!location_is_settled(nodes, entry)) {
        send_location(turn, client, request, entry, NULL, 0);
        return;
    }
    status = entry_check_running(entry, &error);
    if (status == CAIRN_OK)
        status = locate(turn, nodes, entry, true, client, request, &error);
    if (status != CAIRN_OK)
        reply_error(turn, client, request, &error);
}

enum status location_reply_committed(struct turn *turn, const struct nodes *nodes,
                                     const struct job_entry *entry, const struct peer *client,
                                     uint64_t request, struct error *error)
{
    if (entry_status(entry)->committed_step == 0)
        return error_set(error, CAIRN_NOT_FOUND, "%s has nothing committed yet", entry_status(entry)->id);
    return locate(turn, nodes, entry, false, client, request, error);
}
