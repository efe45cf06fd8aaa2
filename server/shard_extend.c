/* Adding tables to a job that runs.
 *
 * All shards of a job must agree on the version that a new table begins at, and no client may push to it
 * where it is not yet. So a shard first holds its pieces where they are and says how far they have come; then
 * it adds the tables at the version that the furthest of all shards had; and it lets the job go on, and
 * clients know, when all shards have done so. Pushes that come meanwhile are summed as ever: what is held
 * back is the update. */
#include "shard_state.h"

#include <stdlib.h>
#include <string.h>

void shard_announce(struct shard_job *job)
{
    const struct job *spec = job->assignment->job;

    job->tables_told = spec->added_count > 0 ? spec->table_count : 0;
}

void shard_hold(struct shard *shard, uint64_t number, uint64_t incarnation)
{
    struct shard_job *job = shard_find_incarnation(shard, number, incarnation);

    if (!job)
        return;
    job->held = true;
    shard_tell(shard, job->assignment, incarnation,
               (struct shard_report){.kind = SHARD_HELD, .step = tables_newest(job->tables)});
}

/* The older assignment stays: the tables that there are borrow from it. */
static enum status assignment_replace(struct shard_job *job, struct assignment *assignment,
                                      struct error *error)
{
    struct assignment **older = realloc(job->older, (job->older_count + 1) * sizeof(*older));

    if (!older)
        return error_set(error, CAIRN_NO_MEMORY, "out of memory");
    job->older = older;
    older[job->older_count++] = job->assignment;
    job->assignment = assignment_ref(assignment);
    return CAIRN_OK;
}

static enum status check_newer(const struct shard_job *job, const struct assignment *assignment,
                               uint64_t step, struct error *error)
{
    const struct job *before = job->assignment->job, *after = assignment->job;

    if (!job->held || step < tables_newest(job->tables))
        return error_set(error, CAIRN_INVALID, "tables cannot be added at step %llu: some are past it",
                         (unsigned long long)step);
    if (strcmp(job->assignment->digest, assignment->digest) != 0 || after->table_count < before->table_count)
        return error_set(error, CAIRN_INVALID, "the job is not what it was before tables were added");
    for (uint32_t i = 0; i < after->table_count; i++) {
        if (i < before->table_count ? !table_equals(&before->tables[i], &after->tables[i])
                                    : after->tables[i].first_version != step)
            return error_set(error, CAIRN_INVALID,
                             "table %s is not as it was, or does not begin at step %llu",
                             after->tables[i].name, (unsigned long long)step);
    }
    return CAIRN_OK;
}

static enum status tables_add(struct shard *shard, struct shard_job *job, struct assignment *assignment,
                              uint64_t step, struct error *error)
{
    uint32_t first = job->tables->count;
    uint32_t sparse_count = tables_sparse_count(assignment, shard->owner.shard, first);
    uint64_t share = shard_memory_share(shard, sparse_count);
    enum status status = check_newer(job, assignment, step, error);

    if (status == CAIRN_OK)
        status = shard_memory_yield(shard, sparse_count, error);
    if (status == CAIRN_OK)
        status = assignment_replace(job, assignment, error);
    if (status == CAIRN_OK)
        status = tables_extend(job->tables, assignment, shard->owner.shard, step, error);
    if (status == CAIRN_OK)
        tables_link(job->tables, shard->owner.shard);
    return status == CAIRN_OK
               ? tables_open_rows(job->tables, assignment, &shard->owner, job->store, share, step, error)
               : status;
}

void shard_extend(struct shard *shard, struct assignment *assignment, uint64_t incarnation, uint64_t step)
{
    struct shard_job *job = shard_find_incarnation(shard, assignment->number, incarnation);
    struct error error;

    if (!job)
        return;
    if (tables_add(shard, job, assignment, step, &error) != CAIRN_OK) {
        shard_abandon(shard, job, &error);
        return;
    }
    shard_tell(shard, assignment, incarnation,
               (struct shard_report){.kind = SHARD_EXTENDED,
                                     .holds_pieces = tables_have_pieces(job->tables),
                                     .step = step,
                                     .tables = assignment->job->table_count});
}

void shard_go_on(struct shard *shard, uint64_t number, uint64_t incarnation)
{
    struct shard_job *job = shard_find_incarnation(shard, number, incarnation);

    if (!job)
        return;
    job->held = false;
    shard_announce(job);
    shard_advance_all(shard, job);
    shard_flush(shard);
}
