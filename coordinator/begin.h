/* The first step of an incarnation: what must be true before it, and what is known of the training's length
 * once the workers have counted the samples. */
#ifndef CAIRN_COORDINATOR_BEGIN_H
#define CAIRN_COORDINATOR_BEGIN_H

#include "jobs.h"

/* Whether all prepared workers see the same data, and the same as when the job's state was made; sets the
 * training's length. Workers that see other data than the job's state was made of are taken out of the job,
 * as long as there are others. false: the job has failed, or one was taken out. */
bool begin_is_sound(struct turn *turn, struct job_entry *entry);

/* A worker that joins a job which has begun: whether it sees the job's data; if not it is taken out of the
 * job, for good. */
bool begin_admits(struct turn *turn, struct job_entry *entry, const struct participant *worker);

/* Opens a job with tables to its clients. */
void begin_tables(struct turn *turn, struct job_entry *entry);

#endif
