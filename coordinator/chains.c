/* Chains of slots in the record: where they begin, and where they go on from. What happens to them while a
 * job trains is in chain_moves.c, what generations make of them in chain_generations.c. */
#include "chains.h"

#include "chain_view.h"
#include "cluster/placement.h"

#include <stdlib.h>
#include <string.h>

bool chains_name(const Cairn__JobRecord *record, const char *server)
{
    return chain_view_names(record, chain_view_durable(record), server) ||
           chain_view_names(record, chain_view_live(record), server);
}

bool chains_copy_to(const Cairn__JobRecord *record, const char *server)
{
    for (size_t i = 0; record->map && i < record->map->n_copies; i++) {
        if (chain_is_on(record, record->map->copies[i]->shard, server))
            return true;
    }
    return false;
}

void chains_forget(struct job_entry *entry)
{
    message_free(entry->record->map);
    free(entry->record->map_since);
    entry->record->map = NULL;
    entry->record->map_since = NULL;
    entry->record->n_map_since = 0;
    entry->heads_changed = false;
    entry->copy_due_ms = 0;
    memset(&entry->planned, 0, sizeof(entry->planned));
}

uint32_t *chains_heads(struct turn *turn, const struct job_entry *entry, bool live)
{
    struct chain_view view = live ? chain_view_live(entry->record) : chain_view_durable(entry->record);
    uint32_t *heads = malloc((view.slots ? view.slots : 1) * sizeof(heads[0]));

    if (!heads)
        turn->effects->failed = true;
    for (uint32_t slot = 0; heads && slot < view.slots; slot++)
        heads[slot] = view.places[(size_t)slot * view.width];
    return heads;
}

/* The first shard from `from` on whose server has none of the chain's; the chain is no longer than the job
 * has servers. */
static uint32_t next_server(const Cairn__JobRecord *record, const uint32_t *chain, uint32_t length,
                            uint32_t from)
{
    for (uint32_t i = 0; i < record->n_shards; i++) {
        uint32_t shard = (uint32_t)((from + i) % record->n_shards), place = 0;

        while (place < length &&
               strcmp(record->shards[chain[place]]->server, record->shards[shard]->server) != 0)
            place++;
        if (place == length)
            return shard;
    }
    return CHAIN_NOBODY;
}

void chains_place(struct turn *turn, struct job_entry *entry)
{
    Cairn__JobRecord *record = entry->record;
    uint32_t slots = job_slot_count(entry->job), width = entry->job->replicas;
    uint32_t servers = entry_servers_target(entry);
    uint32_t *heads = malloc(slots * sizeof(heads[0]));

    record->slot_shards = calloc((size_t)slots * width, sizeof(record->slot_shards[0]));
    if (!heads || !record->slot_shards) {
        turn->effects->failed = true;
        free(heads);
        return;
    }
    record->replicas = width;
    record->n_slot_shards = (size_t)slots * width;
    placement_assign(heads, slots, (uint32_t)record->n_shards);
    for (uint32_t slot = 0; slot < slots; slot++) {
        uint32_t *chain = record->slot_shards + (size_t)slot * width;

        chain[0] = heads[slot];
        for (uint32_t place = 1; place < width; place++)
            chain[place] = next_server(
                record, chain, place, heads[slot] + place * (uint32_t)record->n_shards / servers);
    }
    free(heads);
}

static bool is_among(struct node *const servers[], size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(node_name(servers[i]), name) == 0)
            return true;
    }
    return false;
}

static uint32_t first_shard_of(const Cairn__JobRecord *record, struct node *const servers[], size_t count)
{
    for (uint32_t shard = 0; shard < record->n_shards; shard++) {
        if (is_among(servers, count, record->shards[shard]->server))
            return shard;
    }
    return 0;
}

void chains_resume(struct job_entry *entry, struct node *const servers[], size_t count)
{
    Cairn__JobRecord *record = entry->record;
    struct chain_view view = chain_view_durable(record);
    bool keep[CHAIN_WIDTH_MAX];

    for (uint32_t slot = 0; slot < view.slots; slot++) {
        uint32_t *chain = view.places + (size_t)slot * view.width;

        for (uint32_t place = 0; place < view.width; place++)
            keep[place] = chain[place] != CHAIN_NOBODY &&
                          is_among(servers, count, record->shards[chain[place]]->server);
        chain_compact(chain, NULL, view.width, keep);
    }
    chain_fill_empty(view, first_shard_of(record, servers, count));
}

bool chains_can_resume(const struct job_entry *entry,
                       bool (*is_gone)(const void *context, const char *server), const void *context)
{
    const Cairn__JobRecord *record = entry->record;
    struct chain_view view = chain_view_durable(record);

    for (uint32_t slot = 0; slot < view.slots; slot++) {
        bool has = !job_slot_has_state(entry->job, slot);

        for (uint32_t place = 0; place < view.width && !has; place++) {
            uint32_t shard = view.places[(size_t)slot * view.width + place];

            has = shard != CHAIN_NOBODY && !is_gone(context, record->shards[shard]->server);
        }
        if (!has)
            return false;
    }
    return true;
}
