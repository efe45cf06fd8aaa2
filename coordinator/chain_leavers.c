/* Who is to leave a job and awaits a commit only, as the job's status tells. */
#include "chain_view.h"
#include "chains.h"

#include <stdlib.h>
#include <string.h>

static uint32_t count_others(const struct job_entry *entry, uint32_t slot, const char *server)
{
    struct chain_view view = chain_view_live(entry->record);
    uint32_t count = 0;

    for (uint32_t place = 0; place < view.width; place++) {
        uint32_t shard = view.places[(size_t)slot * view.width + place];

        count += shard != CHAIN_NOBODY && !chain_is_on(entry->record, shard, server);
    }
    return count;
}

/* Whether all that a server has is on as many others as there are to be replicas. */
static bool is_copied(const struct job_entry *entry, const char *server)
{
    for (uint32_t slot = 0; slot < chain_view_live(entry->record).slots; slot++) {
        if (chain_slot_is_used(entry, slot) && count_others(entry, slot, server) < entry->job->replicas)
            return false;
    }
    return true;
}

static bool awaits_commit(const struct job_entry *entry, const struct participant *server)
{
    return server->prepared && !entry_server_stays(entry, server) &&
           is_copied(entry, node_name(server->node));
}

static bool is_noted(const Cairn__JobStatus *status, const char *server)
{
    for (size_t i = 0; i < status->n_leaving; i++) {
        if (strcmp(status->leaving[i], server) == 0)
            return true;
    }
    return false;
}

static void note(struct turn *turn, struct job_entry *entry, const char *server)
{
    Cairn__JobStatus *status = entry_status(entry);
    char **items = realloc(status->leaving, (status->n_leaving + 1) * sizeof(*items));
    char *copy = strdup(server);

    if (items)
        status->leaving = items;
    if (!items || !copy) {
        free(copy);
        turn->effects->failed = true;
        return;
    }
    items[status->n_leaving++] = copy;
    entry->revision++;
    entry_tell(turn, entry,
               "others have all that server %s has: it is let go when they have committed a step", server);
}

static void forget(struct job_entry *entry, size_t index)
{
    Cairn__JobStatus *status = entry_status(entry);

    free(status->leaving[index]);
    status->leaving[index] = status->leaving[--status->n_leaving];
    entry->revision++;
}

static const struct participant *server_named(const struct job_entry *entry, const char *name)
{
    for (size_t i = 0; i < entry->servers.count; i++) {
        if (strcmp(node_name(entry->servers.items[i].node), name) == 0)
            return &entry->servers.items[i];
    }
    return NULL;
}

void chains_note_leavers(struct turn *turn, struct job_entry *entry)
{
    const Cairn__JobStatus *status = entry_status(entry);

    for (size_t i = status->n_leaving; i > 0; i--) {
        const struct participant *server = server_named(entry, status->leaving[i - 1]);

        if (!server || !awaits_commit(entry, server))
            forget(entry, i - 1);
    }
    for (size_t i = 0; i < entry->servers.count; i++) {
        const struct participant *server = &entry->servers.items[i];

        if (!is_noted(status, node_name(server->node)) && awaits_commit(entry, server))
            note(turn, entry, node_name(server->node));
    }
}
