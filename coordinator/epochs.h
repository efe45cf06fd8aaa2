/* Who works in a live job, epoch after epoch (docs/design.md, section 3).
 *
 * An epoch is one immutable statement of who takes part and which microbatches each computes; it is stored
 * before anybody hears of it. Whatever happens to a job's workers, epochs_update says what follows from it:
 * the next epoch, an empty one (a pause: too few are left), the commit of what was reached, or nothing. It
 * looks at the state alone and may be called at any time, so that no event can be missed.
 *
 * Once a worker has reached the end, all that is left to compute is computed: nobody joins any more, and
 * those that have not reached it go on to that same step. Knows nothing of where workers come from
 * (scheduling.h). */
#ifndef CAIRN_COORDINATOR_EPOCHS_H
#define CAIRN_COORDINATOR_EPOCHS_H

#include "jobs.h"

/* A node holds what it was told to prepare. */
void epochs_prepared(struct turn *turn, struct job_entry *entry, struct participant *participant,
                     const Cairn__Prepared *prepared);

/* Does what the job's state asks for. Jobs that are not live, or await nodes, stay as they are. */
void epochs_update(struct turn *turn, struct job_entry *entry);

/* All workers that are left have reached the end, but the one that was to write the model has not said that
 * it did: they are released, so that one can be taken anew and write it. */
void epochs_recycle(struct turn *turn, struct job_entry *entry);

/* How many workers the job could do with now: of a job that has reached its end, none, or one to write the
 * model. least: fewer than that are of no use. */
struct epochs_need {
    uint32_t least, most;
};
struct epochs_need epochs_need(const struct job_entry *entry);

/* Adds to a line how many workers a training lacks, when so many are there, and who is excluded; nothing when
 * they are enough. */
void epochs_explain_lack(const struct job_entry *entry, uint32_t there, struct line *line);

/* Tells one worker the newest epoch once more, if it is named there, and a stop. */
void epochs_repeat(struct turn *turn, const struct job_entry *entry, const struct participant *worker);

#endif
