/* What nodes report of the work on a job: progress, validations, generations, and that the end is reached.
 * Callers have checked that a message is of the job's present incarnation and comes from a participant of the
 * right kind; numbers in it are still foreign. */
#ifndef CAIRN_COORDINATOR_REPORTS_H
#define CAIRN_COORDINATOR_REPORTS_H

#include "jobs.h"

/* Worker: the newest step's figures become the status; older ones are passed over. */
void report_progress(struct turn *turn, struct job_entry *entry, const Cairn__Progress *progress);

/* Worker: the first to tell of a step is believed (all workers see the same sums). */
void report_validated(struct turn *turn, struct job_entry *entry, const Cairn__Validated *validated);

/* Server: a generation is the job's when every server has it. */
void report_committed(struct turn *turn, struct job_entry *entry, struct participant *server, uint64_t step);

/* Worker: when all have reached the end, they must have the same model. */
void report_reached(struct turn *turn, struct job_entry *entry, struct participant *worker,
                    const Cairn__Reached *reached);

/* Server: it did not make the generation of a step, which is above the committed one. No harm, unless
 * another server has made it: none makes a later one before the job has this one, so the job could commit
 * nothing more, and fails. Of a training nobody may refuse. */
void report_commit_refused(struct turn *turn, struct job_entry *entry, struct participant *server,
                           const Cairn__CommitRefused *refused);

#endif
