/* Reading maps of slots. */
#include "chain_view.h"

#include "cluster/placement.h"

#include <string.h>

static uint32_t durable_width(const Cairn__JobRecord *record)
{
    return record->replicas > 0 ? record->replicas : 1;
}

struct chain_view chain_view_durable(const Cairn__JobRecord *record)
{
    return (struct chain_view){record->slot_shards, durable_width(record),
                               (uint32_t)(record->n_slot_shards / durable_width(record))};
}

struct chain_view chain_view_live(const Cairn__JobRecord *record)
{
    if (!record->map)
        return chain_view_durable(record);
    return (struct chain_view){record->map->slot_shards, record->map->replicas,
                               (uint32_t)(record->map->n_slot_shards / record->map->replicas)};
}

bool chain_is_on(const Cairn__JobRecord *record, uint32_t shard, const char *server)
{
    return shard < record->n_shards && strcmp(record->shards[shard]->server, server) == 0;
}

bool chain_view_names(const Cairn__JobRecord *record, struct chain_view view, const char *server)
{
    for (size_t i = 0; i < (size_t)view.slots * view.width; i++) {
        if (chain_is_on(record, view.places[i], server))
            return true;
    }
    return false;
}

uint32_t chain_length(struct chain_view view, uint32_t slot)
{
    uint32_t length = 0;

    while (length < view.width && view.places[(size_t)slot * view.width + length] != CHAIN_NOBODY)
        length++;
    return length;
}

bool chain_holds(const Cairn__JobRecord *record, uint32_t slot, uint32_t place, uint64_t step)
{
    struct chain_view view = chain_view_live(record);
    size_t at = (size_t)slot * view.width + place;

    return view.places[at] != CHAIN_NOBODY && (!record->map || record->map_since[at] < step);
}

void chain_compact(uint32_t *chain, uint64_t *since, uint32_t width, const bool *keep)
{
    uint32_t kept = 0;

    for (uint32_t place = 0; place < width; place++) {
        if (chain[place] == CHAIN_NOBODY || !keep[place])
            continue;
        chain[kept] = chain[place];
        if (since)
            since[kept] = since[place];
        kept++;
    }
    for (; kept < width; kept++)
        chain[kept] = CHAIN_NOBODY;
}

void chain_fill_empty(struct chain_view view, uint32_t anybody)
{
    for (uint32_t slot = 0; slot < view.slots; slot++) {
        if (view.places[(size_t)slot * view.width] == CHAIN_NOBODY)
            view.places[(size_t)slot * view.width] = anybody;
    }
}

bool chain_slot_is_used(const struct job_entry *entry, uint32_t slot)
{
    uint32_t slots = job_slot_count(entry->job);

    return entry_has_tables(entry) || job_slot_has_state(entry->job, slot) ||
           slot == placement_slot(TABLE_METRICS, 0, slots) ||
           slot == placement_slot(TABLE_VALIDATION, 0, slots);
}
