/* What is to be copied, and who leaves, for slots to have the replicas and servers the shares that they
 * should. */
#include "chain_plan.h"

#include "chains.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define BALANCE 0.05 /* of the mean, that servers may differ by in a measure */
#define NOTHING 1e-9 /* what rounding may make of a change that is none */
#define LOOKS   8    /* at who leaves: each may change what others see */

/* ---- what there is */

static const struct participant *server_of(const struct job_entry *entry, uint32_t shard)
{
    for (size_t i = 0; i < entry->servers.count; i++) {
        if (chain_is_on(entry->record, shard, node_name(entry->servers.items[i].node)))
            return &entry->servers.items[i];
    }
    return NULL;
}

/* Whom a chain can best do without when `to` has joined it (CHAIN_NOBODY: whoever was to join has, as the
 * last one, which stays): who is to leave, else the one without whom servers are most even. */
static uint32_t victim(const struct chain_plan *plan, struct chain_view view, uint32_t slot, uint32_t to)
{
    const uint32_t *chain = view.places + (size_t)slot * view.width;
    uint32_t length = chain_length(view, slot), chosen = CHAIN_NOBODY;
    double least = 0;

    for (uint32_t place = 0; place < length; place++) {
        struct chain_share change = chain_balance_change(&plan->balance, slot, chain, length, place, to);
        double sum = chain_balance_sum(&plan->balance, &change);
        bool leaves = plan->shards[chain[place]].leaves;

        if (to == CHAIN_NOBODY && place + 1 == length && length > 1 && !leaves)
            continue;
        if (chosen == CHAIN_NOBODY ||
            (leaves != plan->shards[chain[chosen]].leaves ? leaves : sum < least - NOTHING)) {
            chosen = place;
            least = sum;
        }
    }
    return chosen;
}

/* A chain with a slot, or as it will be without one, is counted (sign 1) or counted no more. */
static void count_chain(struct chain_plan *plan, struct chain_view view, uint32_t slot, uint32_t without,
                        int sign)
{
    chain_balance_add(&plan->balance, slot, view.places + (size_t)slot * view.width, chain_length(view, slot),
                      without, sign);
}

/* Says who leaves each chain that is too long, by what all others will have. Returns whether that is another
 * one than was thought. */
static bool foresee_victims(const struct job_entry *entry, struct chain_plan *plan)
{
    struct chain_view view = chain_view_live(entry->record);
    bool changed = false;

    for (uint32_t slot = 0; slot < view.slots; slot++) {
        uint32_t before = plan->victims[slot];

        if (chain_length(view, slot) <= entry->job->replicas)
            continue;
        count_chain(plan, view, slot, before, -1);
        count_chain(plan, view, slot, CHAIN_NOBODY, 1);
        plan->victims[slot] = victim(plan, view, slot, CHAIN_NOBODY);
        count_chain(plan, view, slot, CHAIN_NOBODY, -1);
        count_chain(plan, view, slot, plan->victims[slot], 1);
        changed = changed || plan->victims[slot] != before;
    }
    return changed;
}

/* A copy counts at once, though who has the slot now leaves it only when the copy is durable: else slots
 * would go on being copied until then, far too many. */
static void foresee(const struct job_entry *entry, struct chain_plan *plan)
{
    struct chain_view view = chain_view_live(entry->record);

    for (uint32_t slot = 0; slot < view.slots; slot++) {
        plan->victims[slot] = CHAIN_NOBODY;
        count_chain(plan, view, slot, CHAIN_NOBODY, 1);
    }
    for (int i = 0; i < LOOKS && foresee_victims(entry, plan); i++)
        ;
}

static uint32_t count_takers(const struct job_entry *entry)
{
    uint32_t count = 0;

    for (size_t i = 0; i < entry->servers.count; i++)
        count += entry->servers.items[i].prepared && entry_server_stays(entry, &entry->servers.items[i]);
    return count;
}

bool chain_plan_init(struct turn *turn, const struct job_entry *entry, struct chain_plan *plan)
{
    plan->shard_count = (uint32_t)entry->record->n_shards;
    plan->shards = calloc(plan->shard_count ? plan->shard_count : 1, sizeof(plan->shards[0]));
    plan->victims = malloc(chain_view_live(entry->record).slots * sizeof(plan->victims[0]));
    if (!plan->shards || !plan->victims || !chain_balance_init(&plan->balance, entry, count_takers(entry))) {
        free(plan->shards);
        free(plan->victims);
        turn->effects->failed = true;
        return false;
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
    chain_balance_fini(&plan->balance);
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

/* Whether another one of the chain has the committed generation; with nothing committed a job begins anew. */
static bool others_hold(const struct job_entry *entry, struct chain_view view, uint32_t slot, uint32_t except)
{
    uint64_t committed = entry_status(entry)->committed_step;

    for (uint32_t place = 0; place < chain_length(view, slot); place++) {
        if (place != except && (committed == 0 || chain_holds(entry->record, slot, place, committed)))
            return true;
    }
    return false;
}

bool chain_plan_leaves(const struct chain_plan *plan, const struct job_entry *entry, uint32_t slot,
                       uint32_t place)
{
    struct chain_view view = chain_view_live(entry->record);
    uint32_t shard = view.places[(size_t)slot * view.width + place];

    if (!chain_slot_is_used(entry, slot) && plan->shards[shard].leaves)
        return chain_plan_anybody(plan) != CHAIN_NOBODY;
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

        if (plan->balance.servers[other] == plan->balance.servers[shard])
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

/* The shard that may take a slot and is best for it: of the server with least, and of that the one with
 * least; CHAIN_NOBODY: none may. */
static uint32_t idlest(const struct chain_plan *plan, struct chain_view view, uint32_t slot)
{
    uint32_t chosen = CHAIN_NOBODY;
    double least_server = 0, least_shard = 0;

    for (uint32_t shard = 0; shard < plan->shard_count; shard++) {
        double server = chain_balance_server_grows(&plan->balance, slot, shard);
        double own = chain_balance_shard_grows(&plan->balance, slot, shard);

        if (!plan->shards[shard].may_take || has_server(plan, view, slot, shard))
            continue;
        if (chosen == CHAIN_NOBODY || server < least_server - NOTHING ||
            (server < least_server + NOTHING && own < least_shard - NOTHING)) {
            chosen = shard;
            least_server = server;
            least_shard = own;
        }
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

/* ---- balance */

/* Which measures. */
struct uneven {
    bool of[CHAIN_CONTENTS][CHAIN_WIDTH_MAX];
};

/* Whether some server has too much more than another one. */
static bool is_uneven(const struct chain_plan *plan, int content, uint32_t depth)
{
    double least = HUGE_VAL, most = 0;

    for (uint32_t shard = 0; shard < plan->shard_count; shard++) {
        double has = plan->balance.all[plan->balance.servers[shard]].of[content][depth];

        if (!plan->shards[shard].may_take)
            continue;
        least = has < least ? has : least;
        most = has > most ? has : most;
    }
    return most - least > BALANCE * plan->balance.mean.of[content][depth];
}

static bool find_uneven(const struct chain_plan *plan, struct uneven *uneven)
{
    bool found = false;

    for (int i = 0; i < CHAIN_CONTENTS; i++) {
        for (uint32_t depth = 0; depth < plan->balance.depths; depth++) {
            uneven->of[i][depth] = i != CHAIN_EMPTY && is_uneven(plan, i, depth);
            found = found || uneven->of[i][depth];
        }
    }
    return found;
}

static bool helps(const struct chain_plan *plan, const struct uneven *uneven,
                  const struct chain_share *change)
{
    for (int i = 0; i < CHAIN_CONTENTS; i++) {
        for (uint32_t depth = 0; depth < plan->balance.depths; depth++) {
            if (uneven->of[i][depth] && change->of[i][depth] < -NOTHING)
                return true;
        }
    }
    return false;
}

/* How much more even servers would be if a slot, whose chain is not too long, moved to a shard; 0 if none of
 * the measures that are uneven would be less so. */
static double gain(const struct chain_plan *plan, struct chain_view view, uint32_t slot, uint32_t shard,
                   const struct uneven *uneven)
{
    uint32_t place = victim(plan, view, slot, shard);
    struct chain_share change =
        chain_balance_change(&plan->balance, slot, view.places + (size_t)slot * view.width,
                             chain_length(view, slot), place, shard);

    return helps(plan, uneven, &change) ? -chain_balance_sum(&plan->balance, &change) : 0;
}

/* Whether a copy of a slot has come since the last commit. */
static bool has_moved(const struct job_entry *entry, struct chain_view view, uint32_t slot)
{
    for (uint32_t place = 0; entry->record->map && place < chain_length(view, slot); place++) {
        if (entry->record->map_since[(size_t)slot * view.width + place] > entry_status(entry)->committed_step)
            return true;
    }
    return false;
}

/* The move that makes servers most even. Between two commits a slot moves once at most: one for whose chain
 * two moves are needed must not go to and fro meanwhile. */
static bool best_move(const struct chain_plan *plan, const struct job_entry *entry, uint32_t *slot,
                      uint32_t *shard)
{
    struct chain_view view = chain_view_live(entry->record);
    struct uneven uneven;
    double most = NOTHING;
    bool found = false;

    if (!find_uneven(plan, &uneven))
        return false;
    for (uint32_t i = 0; i < view.slots; i++) {
        uint32_t to;
        double gained;

        if (!job_slot_has_state(entry->job, i) || chain_length(view, i) > entry->job->replicas ||
            is_being_copied(entry, i) || has_moved(entry, view, i))
            continue;
        to = idlest(plan, view, i);
        gained = to != CHAIN_NOBODY ? gain(plan, view, i, to, &uneven) : 0;
        if (gained < most + NOTHING)
            continue;
        found = true;
        most = gained;
        *slot = i;
        *shard = to;
    }
    return found;
}

/* Whether servers have come or gone: what a job began with stays as it is. Tables move when somebody has
 * asked for other servers: when a head is another one programs have to attach again. */
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

    for (*slot = 0; *slot < view.slots; (*slot)++) {
        if (!chain_slot_is_used(entry, *slot) || chain_length(view, *slot) > entry->job->replicas ||
            is_being_copied(entry, *slot) || count_staying(plan, view, *slot) >= entry->job->replicas)
            continue;
        *shard = idlest(plan, view, *slot);
        if (*shard != CHAIN_NOBODY)
            return true;
    }
    return may_balance(entry) && best_move(plan, entry, slot, shard);
}

void chain_plan_add(struct chain_plan *plan, const struct job_entry *entry, uint32_t slot, uint32_t shard)
{
    struct chain_view view = chain_view_live(entry->record);
    uint32_t chain[CHAIN_WIDTH_MAX], length = chain_length(view, slot), without = CHAIN_NOBODY;

    if (count_staying(plan, view, slot) < length || length >= entry->job->replicas)
        without = victim(plan, view, slot, shard);
    count_chain(plan, view, slot, CHAIN_NOBODY, -1);
    memcpy(chain, view.places + (size_t)slot * view.width, length * sizeof(chain[0]));
    chain[length] = shard;
    chain_balance_add(&plan->balance, slot, chain, length + 1, without, 1);
}
