/* What is left of jobs that were deleted: the greatest number that any job was given, since a number is never
 * used again, and which servers have not said yet that they have removed what they held of which job. Both
 * are kept durably; a server is told when a job is deleted and whenever it registers, until it has said so.
 *
 * A server removes nothing but what it is told to, job by job: a coordinator that does not know a job, since
 * its directory was lost or the server was another cluster's, has nothing removed of it. */
#ifndef CAIRN_COORDINATOR_DELETED_H
#define CAIRN_COORDINATOR_DELETED_H

#include "nodes.h"
#include "turn.h"

#include <stddef.h>
#include <stdint.h>

/* All zeros: no job was ever deleted. */
struct deleted {
    uint64_t newest_number;   /* the greatest that a job had been given when one was deleted last */
    Cairn__DeletedJob **jobs; /* [count], owned, each with a server at least */
    size_t count;
};

void deleted_fini(struct deleted *deleted);

/* What an earlier coordinator stored. Before anything else. */
void deleted_load(struct turn *turn, struct deleted *deleted, const Cairn__DeletedJobs *record);

/* A job, and every server that its record tells of, as it may hold something of the job. NULL: memory is out.
 * Owns: the caller, with message_free. */
Cairn__DeletedJob *deleted_job_new(struct turn *turn, const Cairn__JobRecord *record);

/* A job is deleted; stored in this turn. newest_number: the greatest that a job was given so far.
 * Owns: takes job. */
void deleted_add(struct turn *turn, struct deleted *deleted, Cairn__DeletedJob *job, uint64_t newest_number);

/* Tells a node what it is to remove, if there is anything. */
void deleted_tell(struct turn *turn, const struct deleted *deleted, const struct node *node);

/* A node has removed what it held of a job: stored in this turn, if it was to. */
void deleted_removed(struct turn *turn, struct deleted *deleted, const struct node *node, uint64_t job);

#endif
