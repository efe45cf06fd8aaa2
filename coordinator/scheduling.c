/* Choosing nodes for pending jobs. Knows nothing of what happens to a job once it is being prepared. */
#include "scheduling.h"

#include "life.h"

#include "cluster/placement.h"

#include <stdlib.h>
#include <string.h>

const char *recorded_server(const Cairn__JobRecord *record, size_t first, size_t *next)
{
    const char *name = record->shards[first]->server;

    for (*next = first + 1; *next < record->n_shards; (*next)++) {
        if (strcmp(record->shards[*next]->server, name) != 0)
            break;
    }
    return name;
}

uint32_t recorded_servers(const Cairn__JobRecord *record)
{
    uint32_t count = 0;

    if (record->status->committed_step == 0)
        return 0;
    for (size_t next = 0; next < record->n_shards; count++)
        recorded_server(record, next, &next);
    return count;
}

/* Idle workers in the order of their registration, at most as many as the job takes. */
static void choose_workers(const struct job *job, const struct nodes *nodes, struct crew *crew)
{
    for (size_t i = 0; i < nodes->count && crew->worker_count < job->workers_max; i++) {
        if (node_is_worker(nodes->items[i]) && !nodes->items[i]->job)
            crew->workers[crew->worker_count++] = nodes->items[i];
    }
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(node_name(*(struct node *const *)a), node_name(*(struct node *const *)b));
}

/* The first servers by name. */
static void choose_servers(const struct job *job, const struct nodes *nodes, struct crew *crew)
{
    for (size_t i = 0; i < nodes->count; i++) {
        if (!node_is_worker(nodes->items[i]))
            crew->servers[crew->server_count++] = nodes->items[i];
    }
    qsort(crew->servers, crew->server_count, sizeof(crew->servers[0]), compare_names);
    if (crew->server_count > job->servers)
        crew->server_count = job->servers;
}

/* Finds the servers that hold the job's state; adds those that are missing to the reason for waiting.
 * false: a server came back in another shape, and the job has failed. */
static bool find_servers(struct turn *turn, struct job_entry *entry, const struct nodes *nodes,
                         struct crew *crew, struct line *reason)
{
    const Cairn__JobRecord *record = entry->record;

    for (size_t first = 0, next; first < record->n_shards; first = next) {
        const char *name = recorded_server(record, first, &next);
        struct node *node = nodes_named(nodes, name);

        if (!node || node_is_worker(node)) {
            line_add(reason, "%sserver %s, which holds its state", reason->length ? ", " : "", name);
            continue;
        }
        if (node->registration->n_endpoints != next - first) {
            life_fail(
                turn, entry,
                "server %s came with %zu shards, but it holds the job's state in %zu: start it with %zu",
                name, node->registration->n_endpoints, next - first, next - first);
            return false;
        }
        crew->servers[crew->server_count++] = node;
    }
    return true;
}

static size_t shards_of(const struct crew *crew)
{
    size_t count = 0;

    for (size_t i = 0; i < crew->server_count; i++)
        count += crew->servers[i]->registration->n_endpoints;
    return count;
}

/* Fills the crew as far as there are nodes, and the reason with what is missing. false: the job has failed.
 */
static bool gather(struct turn *turn, struct job_entry *entry, const struct nodes *nodes, struct crew *crew,
                   struct line *reason)
{
    const struct job *job = entry->job;
    size_t missing;

    if (entry_status(entry)->committed_step > 0) {
        if (!find_servers(turn, entry, nodes, crew, reason))
            return false;
    } else {
        choose_servers(job, nodes, crew);
        missing = job->servers - crew->server_count;
        if (missing > 0)
            line_add(reason, "%zu more server%s", missing, missing > 1 ? "s" : "");
    }
    choose_workers(job, nodes, crew);
    if (crew->worker_count < job->workers_min) {
        missing = job->workers_min - crew->worker_count;
        line_add(reason, "%s%zu more worker%s", reason->length ? ", " : "", missing, missing > 1 ? "s" : "");
    }
    return true;
}

static void wait_for(struct turn *turn, struct job_entry *entry, const char *missing)
{
    struct line reason = {.length = 0};

    line_add(&reason, "waits for %s", missing);
    if (strcmp(entry_status(entry)->reason, reason.text) == 0)
        return;
    turn_set_text(turn, &entry_status(entry)->reason, "%s", reason.text);
    entry_tell(turn, entry, "%s", reason.text);
    entry->revision++;
}

static void consider(struct turn *turn, struct job_entry *entry, const struct nodes *nodes)
{
    struct crew crew = {0};
    struct line missing = {.length = 0};

    /* A record names at most as many servers as it has shards. */
    crew.servers = calloc(nodes->count + entry->record->n_shards + 1, sizeof(struct node *));
    crew.workers = calloc(nodes->count + 1, sizeof(struct node *));
    if (!crew.servers || !crew.workers) {
        turn->effects->failed = true;
        goto out;
    }
    if (!gather(turn, entry, nodes, &crew, &missing))
        goto out;
    if (missing.length > 0)
        wait_for(turn, entry, missing.text);
    else if (shards_of(&crew) > PLACEMENT_SHARDS_MAX)
        life_fail(turn, entry, "its servers have %zu shards together; %d are allowed", shards_of(&crew),
                  PLACEMENT_SHARDS_MAX);
    else
        life_prepare(turn, entry, &crew);
out:
    free(crew.servers);
    free(crew.workers);
}

void schedule(struct turn *turn, struct jobs *jobs, const struct nodes *nodes)
{
    for (size_t i = 0; i < jobs->count; i++) {
        if (entry_status(jobs->items[i])->state == JOB_STATE(PENDING))
            consider(turn, jobs->items[i], nodes);
    }
}
