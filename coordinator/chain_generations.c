/* Which generations have what of a job whose slots move. */
#include "chain_view.h"
#include "chains.h"

#include <stdlib.h>
#include <string.h>

static bool slot_is_held(const struct job_entry *entry, uint32_t slot, uint64_t step)
{
    struct chain_view view = chain_view_live(entry->record);

    for (uint32_t place = 0; place < view.width; place++) {
        if (chain_holds(entry->record, slot, place, step))
            return true;
    }
    return false;
}

bool chains_hold(const struct job_entry *entry, uint64_t step)
{
    struct chain_view view = chain_view_live(entry->record);

    for (uint32_t slot = 0; entry->record->map && slot < view.slots; slot++) {
        if (job_slot_has_state(entry->job, slot) && !slot_is_held(entry, slot, step))
            return false;
    }
    return true;
}

void chains_committed(struct turn *turn, struct job_entry *entry)
{
    Cairn__JobRecord *record = entry->record;
    struct chain_view view = chain_view_live(record);
    uint64_t step = entry_status(entry)->committed_step;
    bool keep[CHAIN_WIDTH_MAX];
    uint32_t *durable;

    if (!record->map)
        return;
    durable = malloc(record->map->n_slot_shards * sizeof(durable[0]));
    if (!durable) {
        turn->effects->failed = true;
        return;
    }
    memcpy(durable, record->map->slot_shards, record->map->n_slot_shards * sizeof(durable[0]));
    for (uint32_t slot = 0; slot < view.slots; slot++) {
        for (uint32_t place = 0; place < view.width; place++)
            keep[place] = chain_holds(record, slot, place, step) || !job_slot_has_state(entry->job, slot);
        chain_compact(durable + (size_t)slot * view.width, NULL, view.width, keep);
    }
    free(record->slot_shards);
    record->slot_shards = durable;
    record->n_slot_shards = record->map->n_slot_shards;
    record->replicas = view.width;
}

/* How many shards have a slot of the committed step, and have it now as well. */
static uint32_t count_holders(const struct job_entry *entry, uint32_t slot)
{
    uint32_t count = 0;

    for (uint32_t place = 0; place < chain_view_live(entry->record).width; place++)
        count += chain_holds(entry->record, slot, place, entry_status(entry)->committed_step);
    return count;
}

static bool slot_names(const Cairn__JobRecord *record, struct chain_view view, uint32_t slot,
                       const char *server)
{
    return chain_view_names(
        record, (struct chain_view){view.places + (size_t)slot * view.width, view.width, 1}, server);
}

/* Whether enough others have what is committed of a server that is in no chain of now. */
static bool is_replaced(const struct job_entry *entry, const char *server)
{
    struct chain_view durable = chain_view_durable(entry->record);

    for (uint32_t slot = 0; slot < durable.slots && entry_status(entry)->committed_step > 0; slot++) {
        if (job_slot_has_state(entry->job, slot) && slot_names(entry->record, durable, slot, server) &&
            count_holders(entry, slot) < entry->job->replicas)
            return false;
    }
    return true;
}

bool chains_part(struct job_entry *entry, const char *server)
{
    Cairn__JobRecord *record = entry->record;
    struct chain_view durable = chain_view_durable(record), live = chain_view_live(record);
    bool keep[CHAIN_WIDTH_MAX];

    if (!chains_name(record, server))
        return true;
    if (chain_view_names(record, live, server) || !chains_are_settled(entry) || !is_replaced(entry, server))
        return false;
    for (uint32_t slot = 0; slot < durable.slots; slot++) {
        uint32_t *chain = durable.places + (size_t)slot * durable.width;

        for (uint32_t place = 0; place < durable.width; place++)
            keep[place] = !chain_is_on(record, chain[place], server);
        chain_compact(chain, NULL, durable.width, keep);
    }
    chain_fill_empty(durable, live.places[0]);
    entry->unsaved = true;
    return true;
}

uint64_t chains_first_generation(const struct job_entry *entry, const char *server)
{
    struct chain_view view = chain_view_live(entry->record);
    uint64_t first = UINT64_MAX, committed = entry_status(entry)->committed_step;

    if (view.slots != job_slot_count(entry->job))
        return committed; /* a record that does not fit its job: the server will say so */
    for (size_t i = 0; i < (size_t)view.slots * view.width; i++) {
        uint64_t since = entry->record->map ? entry->record->map_since[i] : committed;

        if (chain_is_on(entry->record, view.places[i], server) &&
            job_slot_has_state(entry->job, (uint32_t)(i / view.width)) && since < first)
            first = since;
    }
    return first;
}
