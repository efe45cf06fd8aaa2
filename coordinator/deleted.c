/* The list of what servers have yet to remove. */
#include "deleted.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

void deleted_fini(struct deleted *deleted)
{
    for (size_t i = 0; i < deleted->count; i++)
        message_free(deleted->jobs[i]);
    free(deleted->jobs);
    *deleted = (struct deleted){0, NULL, 0};
}

/* Owns: takes job, which may be NULL. */
static void append(struct turn *turn, struct deleted *deleted, Cairn__DeletedJob *job)
{
    Cairn__DeletedJob **jobs = job ? realloc(deleted->jobs, (deleted->count + 1) * sizeof(*jobs)) : NULL;

    if (!jobs) {
        turn->effects->failed = true;
        message_free(job);
        return;
    }
    deleted->jobs = jobs;
    deleted->jobs[deleted->count++] = job;
}

static void store(struct turn *turn, const struct deleted *deleted)
{
    Cairn__DeletedJobs record = CAIRN__DELETED_JOBS__INIT;

    record.newest_number = deleted->newest_number;
    record.n_jobs = deleted->count;
    record.jobs = deleted->jobs;
    effects_deleted(turn->effects, &record);
}

void deleted_load(struct turn *turn, struct deleted *deleted, const Cairn__DeletedJobs *record)
{
    deleted->newest_number = record->newest_number;
    for (size_t i = 0; i < record->n_jobs; i++)
        append(turn, deleted, turn_copy(turn, record->jobs[i]));
}

/* The place of a server; n_servers: it is not there. */
static size_t find(const Cairn__DeletedJob *job, const char *server)
{
    size_t i = 0;

    while (i < job->n_servers && strcmp(job->servers[i], server) != 0)
        i++;
    return i;
}

Cairn__DeletedJob *deleted_job_new(struct turn *turn, const Cairn__JobRecord *record)
{
    Cairn__DeletedJob *job = malloc(sizeof(*job));

    if (!job) {
        turn->effects->failed = true;
        return NULL;
    }
    cairn__deleted_job__init(job);
    job->number = record->status->number;
    for (size_t i = 0; i < record->n_shards; i++)
        turn_add_text(turn, &job->servers, &job->n_servers, record->shards[i]->server);
    for (size_t i = 0; i < record->n_former_servers; i++)
        turn_add_text(turn, &job->servers, &job->n_servers, record->former_servers[i]);
    return job;
}

void deleted_add(struct turn *turn, struct deleted *deleted, Cairn__DeletedJob *job, uint64_t newest_number)
{
    deleted->newest_number = newest_number;
    if (job->n_servers > 0)
        append(turn, deleted, job);
    else
        message_free(job);
    store(turn, deleted);
}

void deleted_tell(struct turn *turn, const struct deleted *deleted, const struct node *node)
{
    Cairn__NodeCommand command = CAIRN__NODE_COMMAND__INIT;
    Cairn__RemoveCommand body = CAIRN__REMOVE_COMMAND__INIT;

    if (node_is_worker(node))
        return;
    body.jobs = malloc((deleted->count + 1) * sizeof(body.jobs[0]));
    if (!body.jobs) {
        turn->effects->failed = true;
        return;
    }
    for (size_t i = 0; i < deleted->count; i++) {
        if (find(deleted->jobs[i], node_name(node)) < deleted->jobs[i]->n_servers)
            body.jobs[body.n_jobs++] = deleted->jobs[i]->number;
    }
    command.body_case = CAIRN__NODE_COMMAND__BODY_REMOVE;
    command.remove = &body;
    if (body.n_jobs > 0)
        node_command(turn, node, &command);
    free(body.jobs);
}

static void drop_server(Cairn__DeletedJob *job, size_t place)
{
    free(job->servers[place]);
    job->servers[place] = job->servers[--job->n_servers];
}

void deleted_removed(struct turn *turn, struct deleted *deleted, const struct node *node, uint64_t number)
{
    size_t i = 0, place;

    while (i < deleted->count && deleted->jobs[i]->number != number)
        i++;
    if (node_is_worker(node) || i == deleted->count)
        return;
    place = find(deleted->jobs[i], node_name(node));
    if (place == deleted->jobs[i]->n_servers)
        return;
    drop_server(deleted->jobs[i], place);
    if (deleted->jobs[i]->n_servers == 0) {
        message_free(deleted->jobs[i]);
        deleted->jobs[i] = deleted->jobs[--deleted->count];
    }
    store(turn, deleted);
    turn_note(turn, LOG_LEVEL_INFO, "job_removed", "job=%" PRIu64 " server=%s", number, node_name(node));
}
