/* What a shard does while the coordinator is away: no step waits for generations to be confirmed (commits.h),
 * but where there are chains. There one who believes that the coordinator is away, though others hear it, would
 * go over a generation that they wait for, to a step that cannot end before they go on. */
#include "shard_state.h"

#include "base/log.h"

#include <inttypes.h>

void shard_heed_away(const struct shard *shard, struct shard_job *job)
{
    commits_set_away(&job->commits, shard->is_away && !job->has_chains);
}

void shard_set_away(struct shard *shard, bool is_away)
{
    shard->is_away = is_away;
    for (struct shard_job *job = shard->jobs; job; job = job->next) {
        shard_heed_away(shard, job);
        if (is_away)
            job->dropped_told = 0;
        if (is_away && !job->retired)
            shard_advance_all(shard, job);
    }
    shard_flush(shard);
}

void shard_log_dropped(const struct shard *shard, struct shard_job *job)
{
    const struct commits *commits = &job->commits;

    if (!commits->is_away || commits->dropped == 0 || commits->dropped < 2 * job->dropped_told)
        return;
    job->dropped_told = commits->dropped;
    log_info("generations_dropped",
             "job=%" PRIu64 " shard=%u generations=%u newest_step=%" PRIu64
             " reason=\"the coordinator is away\"",
             job->assignment->number, shard->owner.shard, commits->dropped, commits->dropped_step);
}
