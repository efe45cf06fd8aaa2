/* Which nodes work on which job, and what a pending job waits for.
 *
 * Rules: jobs are looked at in the order of their numbers, and one that cannot start does not hold up those
 * behind it. A server serves many jobs; a job takes the first `servers` of them by name. A worker serves one
 * job; a job takes idle ones in the order of their registration, as many as there are, from workers.min to
 * workers.max. A job with a committed state needs exactly the servers that hold it. */
#ifndef CAIRN_COORDINATOR_SCHEDULING_H
#define CAIRN_COORDINATOR_SCHEDULING_H

#include "jobs.h"
#include "nodes.h"

/* Starts every pending job that can start, and brings the others' reasons up to date. */
void schedule(struct turn *turn, struct jobs *jobs, const struct nodes *nodes);

/* The number of servers that hold a job's committed state; 0: nothing is committed yet. */
uint32_t recorded_servers(const Cairn__JobRecord *record);

/* The shards [first, *next) of a record are those of one server: returns its name. first < n_shards. */
const char *recorded_server(const Cairn__JobRecord *record, size_t first, size_t *next);

#endif
