/* What workers report of a training: progress, validations, and that the end is reached. Callers have checked
 * that a message is of the job's present incarnation and comes from a worker that takes part; numbers in it
 * are still foreign. */
#ifndef CAIRN_COORDINATOR_REPORTS_H
#define CAIRN_COORDINATOR_REPORTS_H

#include "jobs.h"

/* The job is as far as its furthest worker; the first one's figures become the status. */
void report_progress(struct turn *turn, struct job_entry *entry, struct participant *worker,
                     const Cairn__Progress *progress);

/* The first to tell of a step is believed (all workers see the same sums). */
void report_validated(struct turn *turn, struct job_entry *entry, const Cairn__Validated *validated);

/* The first that reaches the end says what the model is; the others must have the same. What follows from it
 * is in epochs.h. */
void report_reached(struct turn *turn, struct job_entry *entry, struct participant *worker,
                    const Cairn__Reached *reached);

#endif
