/* Jobs of the throughput modes (docs/design.md, section 12): each worker goes by steps of its own, so the
 * job's step is that of the worker that is furthest. Generations are asked for as it goes, rather than made
 * at a version; and the end is one of all workers, after which one of them reads the model: the job is
 * closed.
 *
 * Knows nothing of how epochs are made (epoch_list.h) or when (epochs.h). */
#ifndef CAIRN_COORDINATOR_THROUGHPUT_H
#define CAIRN_COORDINATOR_THROUGHPUT_H

#include "jobs.h"

bool throughput_is(const struct job_entry *entry);

/* The step at which a worker begins that is named for the first time: where the job is. */
uint64_t throughput_first_step(const struct job_entry *entry);

/* The job's step has grown: asks for a generation if one is due. */
void throughput_progress(struct turn *turn, struct job_entry *entry);

/* Of which generations a server has a slot that was copied to it, the newest that it knew of being `step`:
 * those of later steps than this. If one of them is under way, the server is asked for it. */
uint64_t throughput_copied(struct turn *turn, const struct job_entry *entry, const struct participant *server,
                           uint64_t step);

/* The generation of a step will never be whole: another one may be asked for. */
void throughput_give_up(struct job_entry *entry, uint64_t step);

/* A job from a record: if one worker was to read the model, all had ended. */
void throughput_take_up(struct job_entry *entry);

/* A worker has done its last step, or has read and told the model. */
void throughput_reached(struct turn *turn, struct job_entry *entry, struct participant *worker,
                        const Cairn__Reached *reached);

/* No worker is on its way to the end any more: lets one close the job, and commits when it has. False: there
 * is nobody to close it. */
bool throughput_end(struct turn *turn, struct job_entry *entry);

#endif
