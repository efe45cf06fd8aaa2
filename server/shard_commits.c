/* A shard's part in commits: generations that are asked for, become the job's, or never will (commits.h has
 * the rules). Knows nothing of writing them. */
#include "shard_state.h"

#include "base/log.h"

#include <inttypes.h>
#include <stdio.h>

/* A commit that cannot be made. At the end of a training that is a fault; tables go on without it. */
static void commit_refuse(struct shard *shard, struct shard_job *job, uint64_t step)
{
    struct shard_report refused = {.kind = SHARD_REFUSED, .step = step};
    struct error error;

    error_set(&error, CAIRN_INVALID,
              "shard %u cannot commit step %" PRIu64 ": not all of its tables are there, or can end at it",
              shard->owner.shard, step);
    if (!job_has_tables(job->assignment->job)) {
        shard_fail(shard, job, &error);
        return;
    }
    snprintf(refused.message, sizeof(refused.message), "%s", error.message);
    shard_tell(shard, job->assignment, job->incarnation, refused);
}

void shard_commit(struct shard *shard, uint64_t number, uint64_t incarnation, uint64_t step)
{
    struct shard_job *job = shard_find_incarnation(shard, number, incarnation);
    enum commits_answer answer;
    struct error error;

    if (!job)
        return;
    if (commits_ask(&job->commits, step, &answer, &error) != CAIRN_OK) {
        shard_fail(shard, job, &error);
    } else if (answer == COMMITS_DURABLE) {
        shard_tell(shard, job->assignment, job->incarnation,
                   (struct shard_report){.kind = SHARD_COMMITTED, .step = step});
    } else if (answer == COMMITS_WRONG) {
        commit_refuse(shard, job, step);
    }
    shard_flush(shard);
}

static void missed_refuse(struct shard *shard, struct shard_job *job)
{
    uint64_t missed;

    if (commits_missed(&job->commits, &missed))
        commit_refuse(shard, job, missed);
}

void shard_commits_go_on(struct shard *shard, struct shard_job *job)
{
    struct error error;

    if (commits_go_on(&job->commits, &error) != CAIRN_OK)
        shard_fail(shard, job, &error);
    missed_refuse(shard, job);
    shard_advance_all(shard, job);
}

/* What waited for the generation in front has room now, if it is gone. */
static void generation_gone(struct shard *shard, struct shard_job *job, bool is_gone)
{
    missed_refuse(shard, job);
    if (is_gone)
        shard_advance_all(shard, job);
    shard_flush(shard);
}

void shard_committed(struct shard *shard, uint64_t number, uint64_t incarnation, uint64_t step)
{
    struct shard_job *job = shard_find_incarnation(shard, number, incarnation);
    bool confirmed;
    struct error error;

    if (!job)
        return;
    if (commits_confirm(&job->commits, step, &confirmed, &error) != CAIRN_OK)
        shard_fail(shard, job, &error);
    generation_gone(shard, job, confirmed);
}

void shard_forgo(struct shard *shard, uint64_t number, uint64_t incarnation, uint64_t step)
{
    struct shard_job *job = shard_find_incarnation(shard, number, incarnation);
    bool forgone;
    struct error error;

    if (!job)
        return;
    if (commits_forgo(&job->commits, step, &forgone, &error) != CAIRN_OK)
        shard_fail(shard, job, &error);
    if (forgone)
        log_info("generation_forgone", "job=%" PRIu64 " shard=%u step=%" PRIu64, number, shard->owner.shard,
                 step);
    generation_gone(shard, job, forgone);
}
