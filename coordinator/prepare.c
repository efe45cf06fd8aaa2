/* Nodes are told to prepare: shards are placed or found again, workers taken on. What happens once they are
 * prepared is in epochs.h. */
#include "life.h"

#include "chain_view.h"
#include "chains.h"
#include "growth.h"
#include "server_choice.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static void free_shards(Cairn__JobRecord *record)
{
    for (size_t i = 0; i < record->n_shards; i++)
        message_free(record->shards[i]);
    free(record->shards);
    free(record->slot_shards);
    record->shards = NULL;
    record->slot_shards = NULL;
    record->n_shards = 0;
    record->n_slot_shards = 0;
}

static size_t count_shards(const struct crew *crew)
{
    size_t count = 0;

    for (size_t i = 0; i < crew->server_count; i++)
        count += crew->servers[i]->registration->n_endpoints;
    return count;
}

static Cairn__Shard *shard_new(struct turn *turn, const struct node *server, uint32_t index)
{
    Cairn__Shard *shard = malloc(sizeof(*shard));

    if (!shard) {
        turn->effects->failed = true;
        return NULL;
    }
    cairn__shard__init(shard);
    shard->index = index;
    turn_set_text(turn, &shard->server, "%s", node_name(server));
    turn_set_text(turn, &shard->endpoint, "%s", server->registration->endpoints[index]);
    return shard;
}

/* One shard of the record a shard thread of the servers, in their order. */
static void list_shards(struct turn *turn, Cairn__JobRecord *record, const struct crew *crew)
{
    record->shards = calloc(count_shards(crew), sizeof(Cairn__Shard *));
    if (!record->shards) {
        turn->effects->failed = true;
        return;
    }
    for (size_t i = 0; i < crew->server_count; i++) {
        for (size_t j = 0; j < crew->servers[i]->registration->n_endpoints; j++) {
            Cairn__Shard *shard = shard_new(turn, crew->servers[i], (uint32_t)j);

            if (!shard)
                return;
            record->shards[record->n_shards++] = shard;
        }
    }
}

/* Those that a job was placed on before may hold something of it, though nothing that counts. */
static void note_former_servers(struct turn *turn, Cairn__JobRecord *record)
{
    for (size_t i = 0; i < record->n_shards; i++)
        turn_add_text(turn, &record->former_servers, &record->n_former_servers, record->shards[i]->server);
}

static void place(struct turn *turn, struct job_entry *entry, const struct crew *crew)
{
    note_former_servers(turn, entry->record);
    free_shards(entry->record);
    list_shards(turn, entry->record, crew);
    if (!turn->effects->failed)
        chains_place(turn, entry);
}

/* Servers come back under other endpoints; the shards keep their places. */
static void find_endpoints(struct turn *turn, struct job_entry *entry, const struct crew *crew)
{
    for (size_t i = 0; i < crew->server_count; i++)
        shards_found(turn, entry->record, crew->servers[i]);
}

/* What the shards of a record are to be called when those of servers that have nothing of the job are gone
 * (CHAIN_NOBODY); returns how many are left. */
static uint32_t number_anew(const Cairn__JobRecord *record, uint32_t *numbers)
{
    uint32_t count = 0;

    for (size_t first = 0, next; first < record->n_shards; first = next) {
        bool stays = chains_name(record, recorded_server(record, first, &next));

        for (size_t i = first; i < next; i++)
            numbers[i] = stays ? count++ : CHAIN_NOBODY;
    }
    return count;
}

/* Servers that came and went are forgotten: within an incarnation the list of shards only grows, as all nodes
 * go by its numbers. Nothing that is durable on servers does. */
static void forget_strangers(struct turn *turn, Cairn__JobRecord *record)
{
    uint32_t *numbers = malloc(record->n_shards * sizeof(numbers[0])), count;

    if (!numbers) {
        turn->effects->failed = true;
        return;
    }
    note_former_servers(turn, record);
    count = number_anew(record, numbers);
    for (size_t i = 0; i < record->n_shards; i++) {
        if (numbers[i] == CHAIN_NOBODY)
            message_free(record->shards[i]);
        else
            record->shards[numbers[i]] = record->shards[i];
    }
    record->n_shards = count;
    for (size_t i = 0; i < record->n_slot_shards; i++) {
        if (record->slot_shards[i] != CHAIN_NOBODY)
            record->slot_shards[i] = numbers[record->slot_shards[i]];
    }
    free(numbers);
}

bool life_add_shards(struct turn *turn, Cairn__JobRecord *record, const struct node *server)
{
    size_t count = server->registration->n_endpoints;
    Cairn__Shard **shards = realloc(record->shards, (record->n_shards + count) * sizeof(*shards));

    if (!shards) {
        turn->effects->failed = true;
        return false;
    }
    record->shards = shards;
    for (size_t i = 0; i < count; i++) {
        Cairn__Shard *shard = shard_new(turn, server, (uint32_t)i);

        if (!shard)
            return false;
        record->shards[record->n_shards++] = shard;
    }
    return true;
}

/* Whether any of the job's state lies on the server: small models have fewer chunks than there may be shards.
 */
static bool holds_state(const struct job_entry *entry, const struct node *server)
{
    return chains_first_generation(entry, node_name(server)) != UINT64_MAX;
}

void life_count_generations(const struct job_entry *entry, struct participant *server)
{
    uint64_t committed = entry->record->status->committed_step;
    uint64_t first = chains_first_generation(entry, node_name(server->node));

    server->committed_step = first == UINT64_MAX ? UINT64_MAX : committed;
    server->empty_until = first != UINT64_MAX && first > committed ? first : 0;
}

static void enlist(struct turn *turn, struct job_entry *entry, const struct crew *crew)
{
    for (size_t i = 0; i < crew->server_count; i++) {
        struct participant *server = entry_add(turn, entry, crew->servers[i], 0);

        if (server)
            life_count_generations(entry, server);
    }
    for (size_t i = 0; i < crew->worker_count; i++)
        (void)entry_add(turn, entry, crew->workers[i], 0);
    entry_status(entry)->workers = (uint32_t)entry->workers.count;
}

void life_describe(const struct job_entry *entry, uint64_t step, Cairn__PrepareCommand *body)
{
    const Cairn__JobRecord *record = entry->record;
    struct chain_view view = chain_view_live(record);

    cairn__prepare_command__init(body);
    body->job = record->status->number;
    body->job_id = record->status->id;
    body->incarnation = record->status->incarnation;
    body->text = record->text;
    body->n_shards = record->n_shards;
    body->shards = record->shards;
    body->n_slot_shards = (size_t)view.slots * view.width;
    body->slot_shards = view.places;
    body->replicas = view.width;
    body->step = step;
}

void life_count_holders(struct job_entry *entry, uint64_t step)
{
    for (size_t i = 0; i < entry->servers.count; i++) {
        struct participant *server = &entry->servers.items[i];

        if (server->committed_step != UINT64_MAX || !holds_state(entry, server->node))
            continue;
        server->committed_step = entry_status(entry)->committed_step;
        server->empty_until = step;
    }
}

static void tell_servers(struct turn *turn, const struct job_entry *entry, const struct participants *servers)
{
    Cairn__NodeCommand command = CAIRN__NODE_COMMAND__INIT;
    Cairn__PrepareCommand body;

    life_describe(entry, entry_status(entry)->committed_step, &body);
    command.body_case = CAIRN__NODE_COMMAND__BODY_PREPARE;
    command.prepare = &body;
    participants_command(turn, servers, &command);
}

/* Workers hear of the heads alone, as they are now. */
static void tell_workers(struct turn *turn, const struct job_entry *entry, const struct participants *workers)
{
    Cairn__NodeCommand command = CAIRN__NODE_COMMAND__INIT;
    uint32_t *heads = chains_heads(turn, entry, true);
    Cairn__PrepareCommand body;

    if (!heads)
        return;
    life_describe(entry, entry_status(entry)->committed_step, &body);
    body.slot_shards = heads;
    body.n_slot_shards /= body.replicas;
    body.replicas = 0;
    command.body_case = CAIRN__NODE_COMMAND__BODY_PREPARE;
    command.prepare = &body;
    participants_command(turn, workers, &command);
    free(heads);
}

void life_prepare_server(struct turn *turn, struct job_entry *entry, struct participant *server)
{
    Cairn__NodeCommand command = CAIRN__NODE_COMMAND__INIT;
    Cairn__PrepareCommand body;
    Cairn__JobText text;

    life_describe(entry, entry_status(entry)->committed_step, &body);
    growth_text(entry, &text);
    body.text = &text;
    command.body_case = CAIRN__NODE_COMMAND__BODY_PREPARE;
    command.prepare = &body;
    node_command(turn, server->node, &command);
}

static void add_names(struct line *line, const struct participants *participants)
{
    for (size_t i = 0; i < participants->count; i++)
        line_add(line, "%s%s", i ? ", " : "", node_name(participants->items[i].node));
}

void life_prepare(struct turn *turn, struct job_entry *entry, const struct crew *crew)
{
    Cairn__JobStatus *status = entry_status(entry);
    struct line line = {.length = 0};

    chains_forget(entry);
    if (status->committed_step == 0) {
        place(turn, entry, crew);
    } else {
        find_endpoints(turn, entry, crew);
        chains_resume(entry, crew->servers, crew->server_count);
        forget_strangers(turn, entry->record);
    }
    if (turn->effects->failed)
        return;
    enlist(turn, entry, crew);
    if (turn->effects->failed)
        return;
    turn_set_text(turn, &status->reason, "%s", "");
    if (status->started_ms == 0)
        status->started_ms = turn->now.unix_ms;
    entry_set_state(turn, entry, JOB_STATE(PREPARING));
    line_add(&line, "preparing from step %" PRIu64 " on servers ", status->committed_step);
    add_names(&line, &entry->servers);
    if (entry->workers.count > 0) {
        line_add(&line, " and workers ");
        add_names(&line, &entry->workers);
    }
    entry_tell(turn, entry, "%s", line.text);
    tell_servers(turn, entry, &entry->servers);
    tell_workers(turn, entry, &entry->workers);
}

void life_join(struct turn *turn, struct job_entry *entry, struct node *worker)
{
    struct participant *participant = entry_add(turn, entry, worker, 0);
    struct participants one = {participant, 1};

    if (!participant)
        return;
    entry_tell(turn, entry, "worker %s joins", node_name(worker));
    tell_workers(turn, entry, &one);
}
