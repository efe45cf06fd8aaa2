/* Loads, and what they ask for. */
#include "chain_plan.h"

#include "chains.h"
#include "cluster/placement.h"
#include "life.h"
#include "server_choice.h"

#include <stdlib.h>

#define BALANCE 0.1 /* of the mean load, that servers may differ by */

/* ---- what there is */

static const struct participant *server_of(const struct job_entry *entry, uint32_t shard)
{
    for (size_t i = 0; i < entry->servers.count; i++) {
        if (chain_is_on(entry->record, shard, node_name(entry->servers.items[i].node)))
            return &entry->servers.items[i];
    }
    return NULL;
}

static uint32_t chain_length(struct chain_view view, uint32_t slot)
{
    uint32_t length = 0;

    while (length < view.width && view.places[(size_t)slot * view.width + length] != CHAIN_NOBODY)
        length++;
    return length;
}

static uint32_t server_load(const struct chain_plan *plan, uint32_t shard)
{
    return plan->shards[plan->shards[shard].server].server_load;
}

static void add_load(struct chain_plan *plan, uint32_t shard, int load)
{
    plan->shards[shard].load += (uint32_t)load;
    plan->shards[plan->shards[shard].server].server_load += (uint32_t)load;
}

/* Those of a slot's chain, as it will be without one. sign: -1 takes them away. Returns how many there are. */
static uint32_t add_loads(struct chain_plan *plan, struct chain_view view, uint32_t slot, uint32_t without,
                          int sign)
{
    uint32_t count = 0;

    for (uint32_t place = 0; place < chain_length(view, slot); place++) {
        uint32_t shard = view.places[(size_t)slot * view.width + place];

        if (place == without)
            continue;
        add_load(plan, shard, count == 0 ? 2 * sign : sign);
        count++;
    }
    return count;
}

/* Whom a chain that is too long can best do without: who is to leave, else the one with most to do. */
static uint32_t victim(const struct chain_plan *plan, struct chain_view view, uint32_t slot)
{
    const uint32_t *chain = view.places + (size_t)slot * view.width;
    uint32_t chosen = 0;

    for (uint32_t place = 1; place < chain_length(view, slot); place++) {
        bool leaves = plan->shards[chain[place]].leaves;

        if (leaves != plan->shards[chain[chosen]].leaves
                ? leaves
                : server_load(plan, chain[place]) > server_load(plan, chain[chosen]))
            chosen = place;
    }
    return chosen;
}

/* A copy takes its load at once, though who has the slot now leaves it only when the copy is durable: else
 * slots would go on being copied until then, far too many. Chains that are too long come last, each knowing of
 * those before it who leaves. */
static void foresee(const struct job_entry *entry, struct chain_plan *plan)
{
    struct chain_view view = chain_view_live(entry->record);

    for (uint32_t slot = 0; slot < view.slots; slot++) {
        plan->victims[slot] = CHAIN_NOBODY;
        if (job_slot_has_state(entry->job, slot) && chain_length(view, slot) <= entry->job->replicas)
            add_loads(plan, view, slot, CHAIN_NOBODY, 1);
    }
    for (uint32_t slot = 0; slot < view.slots; slot++) {
        if (chain_length(view, slot) <= entry->job->replicas)
            continue;
        plan->victims[slot] = victim(plan, view, slot);
        if (job_slot_has_state(entry->job, slot))
            add_loads(plan, view, slot, plan->victims[slot], 1);
    }
}

bool chain_plan_init(struct turn *turn, const struct job_entry *entry, struct chain_plan *plan)
{
    plan->shard_count = (uint32_t)entry->record->n_shards;
    plan->shards = calloc(plan->shard_count ? plan->shard_count : 1, sizeof(plan->shards[0]));
    plan->victims = malloc(chain_view_live(entry->record).slots * sizeof(plan->victims[0]));
    if (!plan->shards || !plan->victims) {
        chain_plan_fini(plan);
        turn->effects->failed = true;
        return false;
    }
    for (size_t first = 0, next; first < plan->shard_count; first = next) {
        (void)recorded_server(entry->record, first, &next);
        for (size_t shard = first; shard < next; shard++)
            plan->shards[shard].server = (uint32_t)first;
    }
    for (uint32_t shard = 0; shard < plan->shard_count; shard++) {
        const struct participant *server = server_of(entry, shard);

        plan->shards[shard].leaves = !server || !entry_server_stays(entry, server);
        plan->shards[shard].may_take = server && server->prepared && entry_server_stays(entry, server);
    }
    foresee(entry, plan);
    return true;
}

void chain_plan_fini(struct chain_plan *plan)
{
    free(plan->shards);
    free(plan->victims);
}

uint32_t chain_plan_anybody(const struct chain_plan *plan)
{
    for (uint32_t shard = 0; shard < plan->shard_count; shard++) {
        if (plan->shards[shard].may_take)
            return shard;
    }
    return CHAIN_NOBODY;
}

/* ---- who leaves */

/* Whether another one of the chain has the committed generation. */
static bool others_hold(const struct job_entry *entry, struct chain_view view, uint32_t slot, uint32_t except)
{
    for (uint32_t place = 0; place < chain_length(view, slot); place++) {
        if (place != except &&
            entry->record->map_since[(size_t)slot * view.width + place] < entry_status(entry)->committed_step)
            return true;
    }
    return false;
}

bool chain_plan_leaves(const struct chain_plan *plan, const struct job_entry *entry, uint32_t slot,
                       uint32_t place)
{
    struct chain_view view = chain_view_live(entry->record);
    uint32_t shard = view.places[(size_t)slot * view.width + place];

    if (!chain_slot_is_used(entry, slot))
        return plan->shards[shard].leaves && chain_plan_anybody(plan) != CHAIN_NOBODY;
    return place == plan->victims[slot] &&
           (others_hold(entry, view, slot, place) || !job_slot_has_state(entry->job, slot));
}

static bool slot_has_leaver(const struct chain_plan *plan, const struct job_entry *entry, uint32_t slot)
{
    for (uint32_t place = 0; place < chain_length(chain_view_live(entry->record), slot); place++) {
        if (chain_plan_leaves(plan, entry, slot, place))
            return true;
    }
    return false;
}

bool chain_plan_has_leavers(const struct chain_plan *plan, const struct job_entry *entry)
{
    struct chain_view view = chain_view_live(entry->record);

    for (uint32_t slot = 0; slot < view.slots; slot++) {
        if (slot_has_leaver(plan, entry, slot))
            return true;
    }
    return false;
}

bool chain_plan_all_leave(const struct chain_plan *plan, const struct job_entry *entry)
{
    struct chain_view view = chain_view_live(entry->record);

    for (uint32_t slot = 0; slot < view.slots; slot++) {
        if (chain_length(view, slot) > entry->job->replicas && !slot_has_leaver(plan, entry, slot))
            return false;
    }
    return true;
}

/* ---- what is copied */

static bool has_server(const struct chain_plan *plan, struct chain_view view, uint32_t slot, uint32_t shard)
{
    for (uint32_t place = 0; place < chain_length(view, slot); place++) {
        uint32_t other = view.places[(size_t)slot * view.width + place];

        if (plan->shards[other].server == plan->shards[shard].server)
            return true;
    }
    return false;
}

static bool is_being_copied(const struct job_entry *entry, uint32_t slot)
{
    const Cairn__MapCommand *map = entry->record->map;

    for (size_t i = 0; map && i < map->n_copies; i++) {
        if (map->copies[i]->slot == slot)
            return true;
    }
    return false;
}

/* The shard with least to do that may take a slot; CHAIN_NOBODY: none may. */
static uint32_t idlest(const struct chain_plan *plan, struct chain_view view, uint32_t slot)
{
    uint32_t chosen = CHAIN_NOBODY;

    for (uint32_t shard = 0; shard < plan->shard_count; shard++) {
        const struct chain_shard *other = &plan->shards[shard];

        if (!other->may_take || has_server(plan, view, slot, shard))
            continue;
        if (chosen == CHAIN_NOBODY || server_load(plan, shard) < server_load(plan, chosen) ||
            (server_load(plan, shard) == server_load(plan, chosen) &&
             other->load < plan->shards[chosen].load))
            chosen = shard;
    }
    return chosen;
}

/* How many of a chain stay. */
static uint32_t count_staying(const struct chain_plan *plan, struct chain_view view, uint32_t slot)
{
    uint32_t count = 0;

    for (uint32_t place = 0; place < chain_length(view, slot); place++)
        count += !plan->shards[view.places[(size_t)slot * view.width + place]].leaves;
    return count;
}

uint32_t chain_plan_fewest(const struct chain_plan *plan, const struct job_entry *entry)
{
    struct chain_view view = chain_view_live(entry->record);
    uint32_t fewest = entry->job->replicas;

    for (uint32_t slot = 0; slot < view.slots; slot++) {
        if (chain_slot_is_used(entry, slot) && count_staying(plan, view, slot) < fewest)
            fewest = count_staying(plan, view, slot);
    }
    return fewest;
}

/* Whether a slot lies on a server that has more to do than another one should; *shard: that other one. Its
 * chain is not too long. */
static bool is_unfair(const struct chain_plan *plan, struct chain_view view, uint32_t slot, double mean,
                      uint32_t *shard)
{
    uint32_t from = view.places[(size_t)slot * view.width + victim(plan, view, slot)];
    uint32_t more, less;

    *shard = idlest(plan, view, slot);
    if (*shard == CHAIN_NOBODY)
        return false;
    more = server_load(plan, from);
    less = server_load(plan, *shard);
    return more >= less + 4 && more - less > BALANCE * mean;
}

static double mean_load(const struct chain_plan *plan, const struct job_entry *entry)
{
    double sum = 0;
    uint32_t servers = 0;

    for (uint32_t shard = 0; shard < plan->shard_count; shard++)
        sum += plan->shards[shard].load;
    for (size_t i = 0; i < entry->servers.count; i++)
        servers += entry->servers.items[i].prepared && entry_server_stays(entry, &entry->servers.items[i]);
    return servers > 0 ? sum / servers : 0;
}

/* Whether servers have come or gone: what a job began with stays as it is. Tables move when somebody has asked
 * for other servers: when a head is another one programs have to attach again. */
static bool may_balance(const struct job_entry *entry)
{
    if (entry_has_tables(entry) && entry->record->servers_target == 0)
        return false;
    for (size_t i = 0; i < entry->servers.count; i++) {
        if (entry->servers.items[i].is_newcomer)
            return true;
    }
    return entry->record->map != NULL;
}

bool chain_plan_copy(const struct chain_plan *plan, const struct job_entry *entry, uint32_t *slot,
                     uint32_t *shard)
{
    struct chain_view view = chain_view_live(entry->record);
    uint32_t width = entry->job->replicas + 1;
    double mean = mean_load(plan, entry);

    for (*slot = 0; *slot < view.slots; (*slot)++) {
        if (!chain_slot_is_used(entry, *slot) || chain_length(view, *slot) >= width ||
            is_being_copied(entry, *slot) || count_staying(plan, view, *slot) >= entry->job->replicas)
            continue;
        *shard = idlest(plan, view, *slot);
        if (*shard != CHAIN_NOBODY)
            return true;
    }
    for (*slot = 0; may_balance(entry) && *slot < view.slots; (*slot)++) {
        if (job_slot_has_state(entry->job, *slot) && chain_length(view, *slot) < width &&
            !is_being_copied(entry, *slot) &&
            is_unfair(plan, view, *slot, mean, shard))
            return true;
    }
    return false;
}

void chain_plan_add(struct chain_plan *plan, const struct job_entry *entry, uint32_t slot, uint32_t shard)
{
    struct chain_view view = chain_view_live(entry->record);
    uint32_t without = CHAIN_NOBODY;

    if (!job_slot_has_state(entry->job, slot)) {
        add_load(plan, shard, 1); /* only so that others get their share */
        return;
    }
    add_loads(plan, view, slot, CHAIN_NOBODY, -1);
    if (count_staying(plan, view, slot) < chain_length(view, slot) ||
        chain_length(view, slot) >= entry->job->replicas)
        without = victim(plan, view, slot);
    add_load(plan, shard, add_loads(plan, view, slot, without, 1) == 0 ? 2 : 1);
}

/* ---- servers that come */

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
