/* Taking servers on. */
#include "chain_recruit.h"

#include "chain_view.h"
#include "cluster/placement.h"
#include "life.h"
#include "server_choice.h"

static size_t count_shards(const Cairn__JobRecord *record, const struct node *server)
{
    size_t count = 0;

    for (size_t i = 0; i < record->n_shards; i++)
        count += chain_is_on(record, (uint32_t)i, node_name(server));
    return count;
}

bool chain_can_take_on(const struct job_entry *entry, const struct node *node)
{
    size_t recorded = count_shards(entry->record, node), has = node->registration->n_endpoints;

    return !node_is_worker(node) && !node->draining &&
           (recorded == 0 ? entry->record->n_shards + has <= PLACEMENT_SHARDS_MAX : recorded == has);
}

static void take_on(struct turn *turn, struct job_entry *entry, struct node *server)
{
    struct participant *participant;

    if (count_shards(entry->record, server) > 0)
        shards_found(turn, entry->record, server);
    else if (!life_add_shards(turn, entry->record, server))
        return; /* memory is out */
    participant = entry_add(turn, entry, server, 0);
    if (!participant)
        return;
    participant->committed_step = UINT64_MAX;
    participant->is_newcomer = true;
    entry->unsaved = true;
    entry_tell(turn, entry, "server %s joins", node_name(server));
    life_prepare_server(turn, entry, participant);
}

void chain_recruit(struct turn *turn, struct job_entry *entry, const struct nodes *nodes)
{
    uint32_t count = 0;

    for (size_t i = 0; i < entry->servers.count; i++)
        count += !entry->servers.items[i].node->draining;
    for (size_t i = 0; i < nodes->count && count < entry_servers_target(entry); i++) {
        struct node *node = nodes->items[i];

        if (!chain_can_take_on(entry, node) || entry_participant(entry, node))
            continue;
        take_on(turn, entry, node);
        count++;
    }
}
