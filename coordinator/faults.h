/* What nodes report of sums that are wrong: a loss that is no finite number, which fails the job; sums of one
 * tree node that came twice and differed, which are counted and told. Callers have checked that a message is
 * of the job's present incarnation and comes from a participant of the right kind. */
#ifndef CAIRN_COORDINATOR_FAULTS_H
#define CAIRN_COORDINATOR_FAULTS_H

#include "jobs.h"

/* Worker. The first that knows where it began fails the job with that; when none of an epoch does the job
 * fails too (epochs.h). */
void fault_not_finite(struct turn *turn, struct job_entry *entry, struct participant *worker,
                      const Cairn__NotFinite *report);

/* Server. Of one step a few are written to the job's log, and all are counted. */
void fault_divergence(struct turn *turn, struct job_entry *entry, const Cairn__Divergence *report);

#endif
