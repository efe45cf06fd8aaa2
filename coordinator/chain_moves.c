/* What happens to chains while a job trains. What is to be copied and who leaves: chain_plan.c. */
#include "chain_plan.h"
#include "chain_recruit.h"
#include "chains.h"
#include "life.h"
#include "throughput.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define COPY_PAUSE_MS 20

/* The step before the one that the incarnation began at, as far as the record tells: that one's generation,
 * and all later ones, have all that its first map says. A job with tables has no epoch, so there it is the
 * committed step that counts. */
static uint64_t first_since(const struct job_entry *entry)
{
    const Cairn__EpochCommand *epoch = entry->record->epoch;
    uint64_t first_step = epoch ? epoch->first_step : entry_status(entry)->committed_step;

    return first_step > 0 ? first_step - 1 : 0;
}

/* The map of now; the first one is what the incarnation began with. NULL: memory is out. */
static Cairn__MapCommand *map_of(struct turn *turn, struct job_entry *entry)
{
    Cairn__JobRecord *record = entry->record;
    struct chain_view from = chain_view_durable(record);
    /* One more than there are to be, or as what is committed has: a resume may have asked for fewer. */
    uint32_t width = from.width > entry->job->replicas ? from.width : entry->job->replicas + 1;
    size_t count = (size_t)from.slots * width;
    Cairn__MapCommand *map;

    if (record->map)
        return record->map;
    map = malloc(sizeof(*map));
    if (map)
        cairn__map_command__init(map);
    if (map)
        map->slot_shards = malloc(count * sizeof(map->slot_shards[0]));
    record->map_since = calloc(count, sizeof(record->map_since[0]));
    if (!map || !map->slot_shards || !record->map_since) {
        turn->effects->failed = true;
        message_free(map);
        return NULL;
    }
    map->replicas = width;
    map->n_slot_shards = record->n_map_since = count;
    for (size_t i = 0; i < count; i++) {
        uint32_t slot = (uint32_t)(i / width), place = (uint32_t)(i % width);

        map->slot_shards[i] =
            place < from.width ? from.places[(size_t)slot * from.width + place] : CHAIN_NOBODY;
        record->map_since[i] = first_since(entry);
    }
    record->map = map;
    return map;
}

void chains_tell(struct turn *turn, const struct job_entry *entry, const struct node *server)
{
    Cairn__NodeCommand command = CAIRN__NODE_COMMAND__INIT;
    Cairn__MapCommand map;

    if (!entry->record->map || entry->record->map->number == 0)
        return;
    map = *entry->record->map;
    map.job = entry_status(entry)->number;
    map.incarnation = entry_status(entry)->incarnation;
    map.n_shards = entry->record->n_shards;
    map.shards = entry->record->shards;
    command.body_case = CAIRN__NODE_COMMAND__BODY_MAP;
    command.map = &map;
    node_command(turn, server, &command);
}

/* Of servers that have nothing any more no generations are expected. */
static void count_leavers(struct job_entry *entry)
{
    for (size_t i = 0; i < entry->servers.count; i++) {
        struct participant *server = &entry->servers.items[i];

        if (chains_first_generation(entry, node_name(server->node)) == UINT64_MAX)
            server->committed_step = UINT64_MAX;
    }
}

/* The map has changed: it is stored, and told. */
static void map_changed(struct turn *turn, struct job_entry *entry)
{
    entry->record->map->number++;
    entry->unsaved = true;
    count_leavers(entry);
    for (size_t i = 0; i < entry->servers.count; i++) {
        if (entry->servers.items[i].prepared)
            chains_tell(turn, entry, entry->servers.items[i].node);
    }
}

void chains_mapped(struct participant *server, uint64_t number)
{
    if (number > server->mapped)
        server->mapped = number;
}

static bool all_mapped(const struct job_entry *entry)
{
    for (size_t i = 0; i < entry->servers.count; i++) {
        const struct participant *server = &entry->servers.items[i];

        if (server->prepared && server->mapped < entry->record->map->number)
            return false;
    }
    return true;
}

bool chains_want_epoch(const struct job_entry *entry)
{
    return entry->heads_changed && entry->record->map && all_mapped(entry);
}

static void drop_copy(Cairn__MapCommand *map, size_t index)
{
    message_free(map->copies[index]);
    map->copies[index] = map->copies[--map->n_copies];
}

/* Whom a slot is copied from, if it is; CHAIN_NOBODY: nobody has it. */
static uint32_t last_of(struct chain_view view, uint32_t slot)
{
    uint32_t length = chain_length(view, slot);

    return length > 0 ? view.places[(size_t)slot * view.width + length - 1] : CHAIN_NOBODY;
}

/* Whom a slot is being copied from is another one now, and does not wait for what the one before has given:
 * all is copied anew, by the map that is to be told. */
static void copy_begin_anew(Cairn__MapCommand *map, uint32_t slot)
{
    for (size_t i = 0; i < map->n_copies; i++) {
        if (map->copies[i]->slot == slot)
            map->copies[i]->number = map->number + 1;
    }
}

/* Takes shards out of all chains; true: some head is another one. leaves: of a slot's place. */
static bool map_remove(struct job_entry *entry,
                       bool (*leaves)(const struct job_entry *entry, uint32_t slot, uint32_t place,
                                      const void *context),
                       const void *context)
{
    struct chain_view view = chain_view_live(entry->record);
    bool keep[CHAIN_WIDTH_MAX], heads = false;

    for (uint32_t slot = 0; slot < view.slots; slot++) {
        uint32_t *chain = view.places + (size_t)slot * view.width, head = chain[0];
        uint32_t last = last_of(view, slot);

        for (uint32_t place = 0; place < view.width; place++)
            keep[place] = chain[place] != CHAIN_NOBODY && !leaves(entry, slot, place, context);
        chain_compact(chain, entry->record->map_since + (size_t)slot * view.width, view.width, keep);
        heads = heads || chain[0] != head;
        if (last_of(view, slot) != last)
            copy_begin_anew(entry->record->map, slot);
    }
    return heads;
}

static bool is_of_server(const struct job_entry *entry, uint32_t slot, uint32_t place, const void *server)
{
    struct chain_view view = chain_view_live(entry->record);

    return chain_is_on(entry->record, view.places[(size_t)slot * view.width + place], server);
}

/* Whether a server alone has a slot with something in it. */
static bool is_alone(const struct job_entry *entry, const char *server)
{
    struct chain_view view = chain_view_live(entry->record);

    for (uint32_t slot = 0; slot < view.slots; slot++) {
        const uint32_t *chain = view.places + (size_t)slot * view.width;

        if (chain_slot_is_used(entry, slot) && chain_is_on(entry->record, chain[0], server) &&
            (view.width == 1 || chain[1] == CHAIN_NOBODY))
            return true;
    }
    return false;
}

/* Whether a server is there, or may still come back with what it has. */
static bool is_counted_on(const struct job_entry *entry, const char *server)
{
    for (size_t i = 0; i < entry->servers.count; i++) {
        if (entry->servers.items[i].prepared && strcmp(node_name(entry->servers.items[i].node), server) == 0)
            return true;
    }
    for (size_t i = 0; i < entry->awaited_count; i++) {
        if (!entry->awaited[i].is_worker && strcmp(entry->awaited[i].name, server) == 0)
            return true;
    }
    return false;
}

/* A shard for slots with nothing in them, not of the server that is lost; CHAIN_NOBODY: there is none. */
static uint32_t any_other(const struct job_entry *entry, const char *lost)
{
    const Cairn__JobRecord *record = entry->record;

    for (uint32_t shard = 0; shard < record->n_shards; shard++) {
        const char *server = record->shards[shard]->server;

        if (strcmp(server, lost) != 0 && is_counted_on(entry, server))
            return shard;
    }
    return CHAIN_NOBODY;
}

static bool can_change(const struct job_entry *entry)
{
    Cairn__JobState state = entry_status(entry)->state;

    if (!entry_is_live(entry) || state == JOB_STATE(PREPARING))
        return false;
    return entry_has_tables(entry) ? state == JOB_STATE(RUNNING) : entry_has_begun(entry);
}

bool chains_can_lose(const struct job_entry *entry, const char *server)
{
    return can_change(entry) && !is_alone(entry, server) && any_other(entry, server) != CHAIN_NOBODY;
}

/* What is on its way to a server will not come. */
static void copies_end(struct job_entry *entry, const char *server)
{
    Cairn__MapCommand *map = entry->record->map;

    for (size_t i = map->n_copies; i > 0; i--) {
        if (chain_is_on(entry->record, map->copies[i - 1]->shard, server))
            drop_copy(map, i - 1);
    }
}

bool chains_lose(struct turn *turn, struct job_entry *entry, const char *server)
{
    Cairn__MapCommand *map;

    if (!chains_can_lose(entry, server))
        return false;
    map = map_of(turn, entry);
    if (!map)
        return false;
    copies_end(entry, server);
    entry->heads_changed = map_remove(entry, is_of_server, server) || entry->heads_changed;
    chain_fill_empty(chain_view_live(entry->record), any_other(entry, server));
    map_changed(turn, entry);
    return true;
}

/* Adds a copy to the map, which is then to be told. */
static void copy_add(struct turn *turn, struct job_entry *entry, uint32_t slot, uint32_t shard)
{
    Cairn__MapCommand *map = map_of(turn, entry);
    Cairn__SlotCopy **copies = map ? realloc(map->copies, (map->n_copies + 1) * sizeof(*copies)) : NULL;
    Cairn__SlotCopy *copy = malloc(sizeof(*copy));

    if (copies)
        map->copies = copies;
    if (!copies || !copy) {
        turn->effects->failed = true;
        free(copy);
        return;
    }
    cairn__slot_copy__init(copy);
    copy->slot = slot;
    copy->shard = shard;
    copy->number = map->number + 1;
    map->copies[map->n_copies++] = copy;
    entry->is_moving = true;
}

/* Whether more may be copied at once with a slot. A sparse table is gone over as a whole for any of its
 * slots, so there many are copied together, and so are slots with nothing in them yet; but of chunks one at a
 * time. */
static bool is_copied_with_others(const struct job_entry *entry, uint32_t slot)
{
    for (uint32_t i = 0; i < entry->job->table_count; i++) {
        if (entry->job->tables[i].kind == TABLE_KIND_SPARSE)
            return true;
    }
    return entry_has_tables(entry) && !job_slot_has_state(entry->job, slot);
}

/* Begins to copy what is next; false: nothing is. */
static bool copies_begin(struct turn *turn, struct job_entry *entry, struct chain_plan *plan)
{
    uint32_t count = 0, slot, shard;
    bool may_be_more = true;

    while (may_be_more && count < WIRE_COPIES_MAX && !turn->effects->failed &&
           chain_plan_copy(plan, entry, &slot, &shard)) {
        copy_add(turn, entry, slot, shard);
        chain_plan_add(plan, entry, slot, shard);
        may_be_more = is_copied_with_others(entry, slot);
        count++;
    }
    if (count > 0 && !turn->effects->failed)
        map_changed(turn, entry);
    return count > 0;
}

/* A piece that a server has of the job: generations are expected of it from its first piece on. A later one
 * may have come at an earlier step, as the chunks of a step end at different moments. */
static void count_holder(struct job_entry *entry, struct participant *server, uint64_t since)
{
    if (server->committed_step != UINT64_MAX) {
        if (since < server->empty_until)
            server->empty_until = since;
        return;
    }
    server->committed_step = entry_status(entry)->committed_step;
    server->empty_until = since;
}

/* A copy is in generations of later steps than it says. Its word may have crossed ours: that a step is the
 * job's, or that the server need not keep one. */
static uint64_t since_of(const struct job_entry *entry, const struct participant *server, uint64_t step)
{
    uint64_t since = step;

    if (entry_status(entry)->committed_step > since)
        since = entry_status(entry)->committed_step;
    return server->abandoned_step > since ? server->abandoned_step : since;
}

void chains_copied(struct turn *turn, struct job_entry *entry, struct participant *server,
                   const Cairn__Copied *copied)
{
    Cairn__MapCommand *map = entry->record->map;
    struct chain_view view;

    for (size_t i = 0; map && i < map->n_copies; i++) {
        uint32_t place = 0;
        uint64_t since;

        if (map->copies[i]->slot != copied->slot || map->copies[i]->shard != copied->shard ||
            map->copies[i]->number != copied->number ||
            !chain_is_on(entry->record, copied->shard, node_name(server->node)))
            continue;
        view = chain_view_live(entry->record);
        since = since_of(entry, server, throughput_copied(turn, entry, server, copied->step));
        while (place < view.width && view.places[(size_t)copied->slot * view.width + place] != CHAIN_NOBODY)
            place++;
        if (place < view.width) {
            view.places[(size_t)copied->slot * view.width + place] = copied->shard;
            entry->record->map_since[(size_t)copied->slot * view.width + place] = since;
        }
        drop_copy(map, i);
        if (job_slot_has_state(entry->job, copied->slot))
            count_holder(entry, server, since);
        entry->copy_due_ms = turn->now.monotonic_ms + COPY_PAUSE_MS;
        if (map->n_copies == 0) /* those that are copied together come into their chains together */
            map_changed(turn, entry);
        return;
    }
}

static bool leaves_by_plan(const struct job_entry *entry, uint32_t slot, uint32_t place, const void *plan)
{
    return chain_plan_leaves(plan, entry, slot, place);
}

static uint32_t count_places(const struct job_entry *entry)
{
    struct chain_view view = chain_view_live(entry->record);
    uint32_t count = 0;

    for (size_t i = 0; i < (size_t)view.slots * view.width; i++)
        count += view.places[i] != CHAIN_NOBODY;
    return count;
}

/* Those leave that others can do without. Returns whether any did. */
static bool leave(struct turn *turn, struct job_entry *entry, const struct chain_plan *plan)
{
    uint32_t before;

    if (!chain_plan_has_leavers(plan, entry) || !map_of(turn, entry))
        return false;
    before = count_places(entry);
    entry->heads_changed = map_remove(entry, leaves_by_plan, plan) || entry->heads_changed;
    chain_fill_empty(chain_view_live(entry->record), chain_plan_anybody(plan));
    if (count_places(entry) == before && !entry->heads_changed)
        return false;
    map_changed(turn, entry);
    return true;
}

/* A server that is to leave and has nothing of the job any more is let go. */
static void let_go(struct turn *turn, struct job_entry *entry)
{
    for (size_t i = entry->servers.count; i > 0; i--) {
        struct participant *server = &entry->servers.items[i - 1];

        if (entry_server_stays(entry, server) || !server->prepared ||
            !chains_part(entry, node_name(server->node)))
            continue;
        if (chains_copy_to(entry->record, node_name(server->node))) {
            copies_end(entry, node_name(server->node));
            map_changed(turn, entry);
        }
        life_release_server(turn, entry, server->node);
    }
}

bool chains_are_settled(const struct job_entry *entry)
{
    return !entry->record->map || (entry->record->map->n_copies == 0 && all_mapped(entry));
}

/* All that a plan follows from, but for who has what, which only maps change. */
static struct chain_facts facts_of(const struct job_entry *entry)
{
    struct chain_facts facts = {.map = entry->record->map ? entry->record->map->number : 0,
                                .committed_step = entry_status(entry)->committed_step,
                                .servers = entry->servers.count,
                                .tables = entry->tables_ready};

    for (size_t i = 0; i < entry->servers.count; i++) {
        facts.prepared += entry->servers.items[i].prepared;
        facts.leaving += !entry_server_stays(entry, &entry->servers.items[i]);
    }
    return facts;
}

static bool is_planned(const struct job_entry *entry)
{
    struct chain_facts now = facts_of(entry), then = entry->planned;

    return now.map == then.map && now.committed_step == then.committed_step && now.servers == then.servers &&
           now.tables == then.tables && now.prepared == then.prepared && now.leaving == then.leaving;
}

static void say_settled(struct turn *turn, struct job_entry *entry, const struct chain_plan *plan)
{
    uint32_t replicas = chain_plan_fewest(plan, entry);

    entry->planned = facts_of(entry);
    if (!entry->is_moving)
        return;
    entry->is_moving = false;
    entry_tell(turn, entry, "every slot has %u replica%s%s", replicas, replicas > 1 ? "s" : "",
               replicas < entry->job->replicas ? ": there are too few servers for more" : "");
}

/* When the head of a slot is another one, workers begin their step anew, and programs have to attach again:
 * so all leave together, once nothing is left to copy and all may. In a model without replicas nobody leaves
 * before a commit in any case. */
static bool may_leave(const struct job_entry *entry, const struct chain_plan *plan)
{
    uint32_t slot, shard;

    return (!entry_has_tables(entry) && entry->job->replicas == 1) ||
           (!chain_plan_copy(plan, entry, &slot, &shard) && chain_plan_all_leave(plan, entry));
}

/* Whether anything may be copied, or leave, now. */
static bool may_move(const struct job_entry *entry)
{
    return can_change(entry) && entry->awaited_count == 0 && entry->growth == GROWTH_NONE &&
           entry_status(entry)->state == JOB_STATE(RUNNING);
}

void chains_update(struct turn *turn, struct job_entry *entry, const struct nodes *nodes)
{
    struct chain_plan plan;

    if (!may_move(entry) || turn->effects->failed)
        return;
    if (entry_has_tables(entry)) /* clients ask where the heads are: nobody is to be told */
        entry->heads_changed = false;
    let_go(turn, entry);
    chain_recruit(turn, entry, nodes);
    if (!chains_are_settled(entry) || is_planned(entry) || !chain_plan_init(turn, entry, &plan))
        return;
    if (!(may_leave(entry, &plan) && leave(turn, entry, &plan)) &&
        turn->now.monotonic_ms >= entry->copy_due_ms) {
        entry->copy_due_ms = 0;
        if (!copies_begin(turn, entry, &plan))
            say_settled(turn, entry, &plan);
    }
    chain_plan_fini(&plan);
}

int64_t chains_deadline_ms(const struct job_entry *entry)
{
    return entry->copy_due_ms > 0 && may_move(entry) && chains_are_settled(entry) && !is_planned(entry)
               ? entry->copy_due_ms
               : INT64_MAX;
}

bool chains_can_spare(const struct job_entry *entry, const struct nodes *nodes, const struct node *server)
{
    uint32_t others = 0;

    if (!can_change(entry) || entry_status(entry)->state != JOB_STATE(RUNNING))
        return false;
    for (size_t i = 0; i < nodes->count; i++)
        others += chain_can_take_on(entry, nodes->items[i]) && nodes->items[i] != server;
    return others >= entry->job->replicas;
}
