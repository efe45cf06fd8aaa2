/* Choosing servers. Knows nothing of workers. */
#include "server_choice.h"

#include "chains.h"
#include "cluster/placement.h"
#include "life.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* How long a job waits for servers that it can do without: when all start again, some are a little later. */
#define PATIENCE_MS 5000

const char *recorded_server(const Cairn__JobRecord *record, size_t first, size_t *next)
{
    const char *name = record->shards[first]->server;

    for (*next = first + 1; *next < record->n_shards; (*next)++) {
        if (strcmp(record->shards[*next]->server, name) != 0)
            break;
    }
    return name;
}

void shards_found(struct turn *turn, Cairn__JobRecord *record, const struct node *server)
{
    for (size_t i = 0; i < record->n_shards; i++) {
        Cairn__Shard *shard = record->shards[i];

        if (strcmp(shard->server, node_name(server)) == 0 && shard->index < server->registration->n_endpoints)
            turn_set_text(turn, &shard->endpoint, "%s", server->registration->endpoints[shard->index]);
    }
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(node_name(*(struct node *const *)a), node_name(*(struct node *const *)b));
}

/* The first servers by name. */
static void choose_servers(uint32_t target, const struct nodes *nodes, struct server_choice *choice)
{
    for (size_t i = 0; i < nodes->count; i++) {
        if (!node_is_worker(nodes->items[i]) && !nodes->items[i]->draining)
            choice->servers[choice->count++] = nodes->items[i];
    }
    qsort(choice->servers, choice->count, sizeof(choice->servers[0]), compare_names);
    if (choice->count > target)
        choice->count = target;
}

static bool is_not_there(const void *nodes, const char *server)
{
    const struct node *node = nodes_named(nodes, server);

    return !node || node_is_worker(node);
}

/* A server that the record names is away. What others can stand in for would have to be copied to it anew. */
static void miss(const struct job_entry *entry, const char *server, bool can_do_without,
                 struct server_choice *choice)
{
    const char *comma = choice->missing.length ? ", " : "";

    if (!can_do_without)
        line_add(&choice->missing, "%sserver %s, which holds its state", comma, server);
    else if (!entry->does_without && chains_first_generation(entry, server) != UINT64_MAX)
        line_add(&choice->missing, "%sserver %s, which has copies of its state", comma, server);
}

/* The servers that hold the job's state; those that are away are not waited for for long if others have what
 * they have. false: one came back in another shape, and the job has failed. */
static bool find_servers(struct turn *turn, struct job_entry *entry, const struct nodes *nodes,
                         bool can_do_without, struct server_choice *choice)
{
    const Cairn__JobRecord *record = entry->record;
    bool is_whole = true;

    for (size_t first = 0, next; first < record->n_shards; first = next) {
        const char *name = recorded_server(record, first, &next);
        struct node *node = nodes_named(nodes, name);

        if (!chains_name(record, name))
            continue;
        if (is_not_there(nodes, name)) {
            miss(entry, name, can_do_without, choice);
            is_whole = false;
            continue;
        }
        if (node->registration->n_endpoints != next - first) {
            life_fail(
                turn, entry,
                "server %s came with %zu shards, but it holds the job's state in %zu: start it with %zu",
                name, node->registration->n_endpoints, next - first, next - first);
            return false;
        }
        choice->servers[choice->count++] = node;
    }
    if (is_whole || !can_do_without)
        entry->does_without = false;
    return true;
}

static size_t shards_of(const struct server_choice *choice)
{
    size_t count = 0;

    for (size_t i = 0; i < choice->count; i++)
        count += choice->servers[i]->registration->n_endpoints;
    return count;
}

int64_t server_wait_deadline_ms(const struct job_entry *entry)
{
    if (entry->server_wait_ms == 0)
        return INT64_MAX;
    return entry->server_wait_ms +
           (entry->misses_copies ? PATIENCE_MS : (int64_t)entry->job->server_timeout * 1000);
}

/* A wait of the other kind begins anew. */
static void note_wait(const struct turn *turn, struct job_entry *entry, bool can_do_without,
                      const struct server_choice *choice)
{
    if (choice->missing.length == 0 || entry->misses_copies != can_do_without)
        entry->server_wait_ms = 0;
    if (choice->missing.length > 0 && entry->server_wait_ms == 0)
        entry->server_wait_ms = turn->now.monotonic_ms;
    entry->misses_copies = can_do_without;
}

static bool find_recorded(struct turn *turn, struct job_entry *entry, const struct nodes *nodes,
                          struct server_choice *choice)
{
    bool can_do_without = chains_can_resume(entry, is_not_there, nodes);

    if (!find_servers(turn, entry, nodes, can_do_without, choice))
        return false;
    note_wait(turn, entry, can_do_without, choice);
    return true;
}

static void find_any(const struct job_entry *entry, const struct nodes *nodes, struct server_choice *choice)
{
    uint32_t target = entry_servers_target(entry);
    size_t missing;

    choose_servers(target, nodes, choice);
    missing = target - choice->count;
    if (missing > 0)
        line_add(&choice->missing, "%zu more server%s", missing, missing > 1 ? "s" : "");
}

bool server_choice_init(struct turn *turn, struct job_entry *entry, const struct nodes *nodes,
                        struct server_choice *choice)
{
    memset(choice, 0, sizeof(*choice));
    /* A record names at most as many servers as it has shards. */
    choice->servers = calloc(nodes->count + entry->record->n_shards + 1, sizeof(struct node *));
    if (!choice->servers) {
        turn->effects->failed = true;
        return false;
    }
    if (entry_status(entry)->committed_step == 0)
        find_any(entry, nodes, choice);
    else if (!find_recorded(turn, entry, nodes, choice))
        return false;
    if (choice->missing.length > 0 || shards_of(choice) <= PLACEMENT_SHARDS_MAX)
        return true;
    life_fail(turn, entry, "its servers have %zu shards together; %d are allowed", shards_of(choice),
              PLACEMENT_SHARDS_MAX);
    return false;
}

void server_choice_fini(struct server_choice *choice)
{
    free(choice->servers);
    choice->servers = NULL;
}

static void give_up_late(struct turn *turn, struct job_entry *entry, const struct nodes *nodes)
{
    struct server_choice choice;

    if (server_choice_init(turn, entry, nodes, &choice) && choice.missing.length > 0 &&
        turn->now.monotonic_ms >= server_wait_deadline_ms(entry)) {
        entry->does_without = entry->misses_copies;
        if (!entry->does_without)
            life_fail(turn, entry, "waited for %" PRIu32 " s for %s; a resume goes on from step %" PRIu64,
                      entry->job->server_timeout, choice.missing.text, entry_status(entry)->committed_step);
    }
    server_choice_fini(&choice);
}

void server_wait_tick(struct turn *turn, struct jobs *jobs, const struct nodes *nodes)
{
    for (size_t i = 0; i < jobs->count; i++) {
        if (turn->now.monotonic_ms >= server_wait_deadline_ms(jobs->items[i]))
            give_up_late(turn, jobs->items[i], nodes);
    }
}

bool server_is_needed(const struct job_entry *entry, const struct node *server)
{
    const Cairn__JobRecord *record = entry->record;

    if (record->status->state == JOB_STATE(COMPLETED) ||
        (record->status->committed_step == 0 && !entry_is_live(entry)))
        return false;
    return chains_name(record, node_name(server));
}
