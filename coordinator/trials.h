/* Workers that fail at a job: how often each may try, and when it is the job that fails.
 *
 * A worker that says Failed leaves the job and may be taken for it again, after a pause that doubles with
 * each failure: what it lacks may be there a moment later. After `cluster.worker_tries` failures it is
 * excluded from the job until a person resumes it. Where the fault is the job's (a path that is wrong, too
 * little memory anywhere) every worker fails, and trying on would never end: three times `worker_tries`
 * failures without a step of progress in between fail the job with the last reason; and so does one reason
 * that was given each time, if no worker is left to try after a failure. That nobody is there at another
 * time, as after a start of the coordinator, says nothing of the job.
 *
 * All of it is in the job's record: a coordinator that starts again goes on counting. */
#ifndef CAIRN_COORDINATOR_TRIALS_H
#define CAIRN_COORDINATOR_TRIALS_H

#include "jobs.h"

/* A worker of the job has failed, and has been taken out of it. The job may have failed after this. */
void trials_note(struct turn *turn, struct job_entry *entry, const char *worker, const char *reason);

/* Keeps a worker from the job for a reason, whatever it has tried. */
void trials_exclude(struct turn *turn, struct job_entry *entry, const char *worker, const char *reason);

bool trials_exclude_it(const struct job_entry *entry, const char *worker);

/* How long a worker that has failed now is not taken for the job again. */
int64_t trials_pause_ms(const struct job_entry *entry, const char *worker);

/* The job made progress: earlier failures were not the job's. */
void trials_progress(struct job_entry *entry);

/* There is no worker in the cluster that may try: true: the job has failed of that. */
bool trials_give_up(struct turn *turn, struct job_entry *entry);

/* Says who is excluded and why, at the end of what a job waits for. */
void trials_explain(const struct job_entry *entry, struct line *line);

/* A person resumes the job: all may try again. */
void trials_forget(struct job_entry *entry);

#endif
