/* What a shard does while the coordinator is away: no step waits for generations to be confirmed (commits.h).
 * Others, who hear the coordinator, may wait for one that was dropped here, and in chains no step ends before
 * they go on: so the server is told of each, to pass it on when it is heard. */
#include "shard_state.h"

#include "base/log.h"

#include <inttypes.h>

void shard_set_away(struct shard *shard, bool is_away)
{
    shard->is_away = is_away;
    for (struct shard_job *job = shard->jobs; job; job = job->next) {
        commits_set_away(&job->commits, is_away);
        if (is_away)
            job->dropped_logged = 0;
        if (is_away && !job->retired)
            shard_advance_all(shard, job);
    }
    shard_flush(shard);
}

static void log_dropped(const struct shard *shard, struct shard_job *job)
{
    const struct commits *commits = &job->commits;

    if (commits->dropped < 2 * job->dropped_logged)
        return;
    job->dropped_logged = commits->dropped;
    log_info("generations_dropped",
             "job=%" PRIu64 " shard=%u generations=%u newest_step=%" PRIu64
             " reason=\"the coordinator is away\"",
             job->assignment->number, shard->owner.shard, commits->dropped, commits->dropped_step);
}

void shard_tell_dropped(struct shard *shard, struct shard_job *job)
{
    const struct commits *commits = &job->commits;

    if (commits->dropped_step == job->dropped_told)
        return;
    job->dropped_told = commits->dropped_step;
    log_dropped(shard, job);
    shard_tell(shard, job->assignment, job->incarnation,
               (struct shard_report){
                   .kind = SHARD_PASSED, .step = commits->dropped_step, .after = commits->dropped_after});
}
