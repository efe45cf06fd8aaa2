/* The shard's memory for sparse rows: one bound, in equal shares for the sparse tables of all its jobs.
 *
 * Shares change when a job comes or goes. Before a job comes, rows of the others leave memory, in one go, as
 * a job is opened in one go: what is taken in all is then within the bound at every moment. When a job has
 * gone the others' rows come back as they are asked for. A job whose last write is waited for keeps what it
 * has, for those moments. Where a row lies does not show in its bits, so neither does any of this. */
#include "base/log.h"
#include "shard_state.h"

#include <inttypes.h>

/* A table's least share in bytes, less than it takes in any case: a share is never 0, no bound. */
#define SHARE_LEAST 4096

static uint32_t tables_here(const struct shard *shard)
{
    uint32_t count = 0;

    for (const struct shard_job *job = shard->jobs; job; job = job->next)
        count += tables_count_sparse(job->tables);
    return count;
}

uint64_t shard_memory_share(const struct shard *shard, uint32_t more)
{
    uint32_t count = tables_here(shard) + more;
    uint64_t share = count > 0 ? shard->memory_bytes / count : 0;

    return shard->memory_bytes > 0 && share < SHARE_LEAST ? SHARE_LEAST : share;
}

enum status shard_memory_yield(struct shard *shard, uint32_t more, struct error *error)
{
    uint64_t share = shard_memory_share(shard, more);
    enum status status = CAIRN_OK;

    if (shard->memory_bytes == 0 || more == 0)
        return CAIRN_OK;
    for (struct shard_job *job = shard->jobs; job && status == CAIRN_OK; job = job->next) {
        if (!job->retired)
            status = error_prefix(error, tables_set_budget(job->tables, share, error),
                                  "job %s, which is to leave memory to another", job->assignment->id);
    }
    return status;
}

void shard_memory_spread(struct shard *shard)
{
    uint64_t share = shard_memory_share(shard, 0);
    struct error error;

    for (struct shard_job *job = shard->jobs; job && shard->memory_bytes > 0; job = job->next) {
        if (!job->retired && tables_set_budget(job->tables, share, &error) != CAIRN_OK)
            log_warn("memory_not_shared", "job=%" PRIu64 " reason=\"%s\"", job->assignment->number,
                     error.message);
    }
}
