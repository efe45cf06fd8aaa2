/* Which nodes work on which job, and what a job that cannot go on waits for.
 *
 * Rules: a server serves many jobs (server_choice.h), a worker one at a time. Workers that have none form a
 * pool, in the order of their registration; who gets how many is allocation.h's rule, applied at every event,
 * so that a worker that appears is put to work at once, also in jobs that run. A job that lacks servers gets
 * no workers. Nodes that are to end get nothing, and are dismissed when nothing is left to them. */
#ifndef CAIRN_COORDINATOR_SCHEDULING_H
#define CAIRN_COORDINATOR_SCHEDULING_H

#include "jobs.h"
#include "nodes.h"

/* Puts nodes to work: starts what can start, and says of all else what it waits for. */
void schedule(struct turn *turn, struct jobs *jobs, const struct nodes *nodes);

/* When schedule has something to do even if nothing happens (monotonic); INT64_MAX: never. */
int64_t schedule_deadline_ms(const struct jobs *jobs, const struct nodes *nodes);

#endif
