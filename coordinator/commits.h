/* Generations: what a job's servers have made durable, and what of that is the job's.
 *
 * A generation is the job's when every server that has something to keep holds it. While the coordinator is
 * there no server makes the next one before; while it was away, or a server believed so, one may have gone
 * over a generation that another still holds. Such a one is given up: it will never be the job's, also when
 * who went over it is gone; whoever holds it is told so (AbandonCommand), and the next boundary at which all
 * meet is the job's. */
#ifndef CAIRN_COORDINATOR_COMMITS_H
#define CAIRN_COORDINATOR_COMMITS_H

#include "jobs.h"

/* A server holds the generation of a step durably. */
void commits_made(struct turn *turn, struct job_entry *entry, struct participant *server, uint64_t step);

/* A server went over the generations of steps after `after`, up to `step`, while it did not hear us. */
void commits_passed(struct turn *turn, struct job_entry *entry, uint64_t after, uint64_t step);

/* Whether a generation will never be the job's. */
bool commits_are_given_up(const struct job_entry *entry, uint64_t step);

/* A server did not make the generation of a step, which is above the committed one. No harm, unless another
 * server has made it: none makes a later one before the job has this one, so the job could commit nothing
 * more, and fails. Of a training nobody may refuse. */
void commits_refused(struct turn *turn, struct job_entry *entry, struct participant *server,
                     const Cairn__CommitRefused *refused);

/* Commits what all servers hold, now that all are there. A job that awaits servers commits nothing. */
void commits_update(struct turn *turn, struct job_entry *entry);

#endif
