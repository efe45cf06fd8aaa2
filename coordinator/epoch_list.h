/* One epoch: made from a job's workers, stored, sent. Spans are in proportion to the speeds that workers have
 * told, so that all end a step at the same time; those of whom none is known count as the mean of the others.
 * In the throughput modes nobody waits for that, and spans are equal; there servers hear of epochs as well,
 * before workers do, who are fenced off until then.
 */
#ifndef CAIRN_COORDINATOR_EPOCH_LIST_H
#define CAIRN_COORDINATOR_EPOCH_LIST_H

#include "jobs.h"

/* The next epoch: all prepared workers that have not reached the end, which makes the job run if it did not.
 * There is at least one. */
void epoch_begin(struct turn *turn, struct job_entry *entry);

/* The next epoch, of one worker that has reached the end and is to read the model. There is one. */
void epoch_close(struct turn *turn, struct job_entry *entry);

/* The next epoch, without workers. */
void epoch_pause(struct turn *turn, struct job_entry *entry);

/* Whether other spans would make a step so much shorter (a sixth or so) that they are worth an epoch, and the
 * last change is long enough ago to tell. */
bool epoch_is_unfair(const struct turn *turn, struct job_entry *entry);

/* Sends the newest epoch to one worker, or server. */
void epoch_tell(struct turn *turn, const struct job_entry *entry, const struct node *node);

#endif
