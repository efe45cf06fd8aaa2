/* Where a shard keeps a job's generations: one store in DATA/jobs/NUMBER/shard-INDEX, which says whose it is.
 *
 * Knows nothing of what generations look like. The shard's thread; a write transaction is the writer's. */
#ifndef CAIRN_SERVER_JOB_STORE_H
#define CAIRN_SERVER_JOB_STORE_H

#include "assignment.h"
#include "store/store.h"

#include <stddef.h>
#include <stdint.h>

struct job_store_owner {
    const char *data_directory;
    const char *server; /* the node's name */
    uint32_t shard;     /* index of the shard thread */
};

/* Opens or makes the store of a job that begins anew: whatever an earlier job of the same number left is
 * removed. Errors: those of store_open. Owns: the caller, store_close. */
enum status job_store_begin(const struct job_store_owner *owner, const struct assignment *assignment,
                            size_t map_bytes, struct store **out, struct error *error) MUST_CHECK;

/* Opens the store of a job that goes on; nothing is changed.
 * Errors: CAIRN_NOT_FOUND (there is none), CAIRN_CORRUPT (another job's, server's or shard's, or what the
 * model depends on has changed), those of store_open. */
enum status job_store_resume(const struct job_store_owner *owner, const struct assignment *assignment,
                             size_t map_bytes, struct store **out, struct error *error) MUST_CHECK;

/* Opens the store of a job by its number alone, to read.
 * Errors: CAIRN_NOT_FOUND (there is none), CAIRN_CORRUPT (not this job's), those of store_open. */
enum status job_store_archive(const struct job_store_owner *owner, uint64_t job, struct store **out,
                              struct error *error) MUST_CHECK;

/* What lies in a data directory. */
struct job_store_survey {
    uint32_t jobs, stores; /* jobs that have state here, and of how many shards in all */
    uint64_t bytes;        /* on the disk */
};

/* Counts, without opening any; what cannot be read is left out. Any thread. */
struct job_store_survey job_store_survey(const char *data_directory);

/* Takes this shard's store of a job that was deleted out of reach: it is not found any more, and is removed
 * with the job. Nobody may have it open. None is as well. Errors: CAIRN_IO. */
enum status job_store_discard(const struct job_store_owner *owner, uint64_t job,
                              struct error *error) MUST_CHECK;

/* Removes all that a data directory has of a job whose shards have discarded their stores; when it was there,
 * and is not, that is durable. Links below DATA/jobs are removed, not followed. Any thread. Errors: CAIRN_IO:
 * something is left, and another call goes on with it. */
enum status job_store_remove(const char *data_directory, uint64_t job, struct error *error) MUST_CHECK;

/* Where a table's rows of a job that is live may be swapped to: a directory within that of the job's store,
 * for a number of the store's tables. Errors: CAIRN_INVALID: the path is too long. */
enum status job_store_swap_path(const struct job_store_owner *owner, uint64_t job, uint32_t number,
                                char *path, size_t size, struct error *error) MUST_CHECK;

#endif
