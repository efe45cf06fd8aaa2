/* The life of a job (docs/design.md, section 3): what moves it from state to state, and what its nodes are
 * told.
 *
 *     pending -> preparing -> running -> [stopping] -> committing -> completed | stopped
 *     with tables: pending -> preparing -> running -> stopped
 *     any of these -> failed; pending, preparing -> stopped
 *     stopped, failed, completed -> pending (a resume: incarnation + 1)
 *
 * Reports of nodes about the work itself are in reports.h. Callers have checked that a message is of the
 * job's present incarnation and comes from a participant. */
#ifndef CAIRN_COORDINATOR_LIFE_H
#define CAIRN_COORDINATOR_LIFE_H

#include "jobs.h"

#include <stdarg.h>

/* Nodes that are to work on a job, in order. */
struct crew {
    struct node **servers;
    size_t server_count;
    struct node **workers;
    size_t worker_count;
};

/* Pending to preparing: places the shards (or finds their new endpoints) and sends every node its
 * PrepareCommand. crew: borrowed; its servers fit what the record says, if it says something. */
void life_prepare(struct turn *turn, struct job_entry *entry, const struct crew *crew);

/* A node holds what it was told to prepare; the last one starts the epoch. */
void life_prepared(struct turn *turn, struct job_entry *entry, struct participant *participant,
                   const Cairn__Prepared *prepared);

/* What a PrepareCommand says of a job at a step; borrows from the entry. */
void life_describe(const struct job_entry *entry, uint64_t step, Cairn__PrepareCommand *body);

/* Servers that held none of the job's state may hold some now that tables were added: from the generation
 * after `step` on. */
void life_count_holders(struct job_entry *entry, uint64_t step);

/* A stop was asked for. Ended jobs stay as they are. Tables have no step in hand: the job ends at once, at
 * its committed step. */
void life_stop(struct turn *turn, struct job_entry *entry);

/* All workers reached the same version of the model: status.step is that version. */
void life_commit(struct turn *turn, struct job_entry *entry);

/* Tells the servers to make a version durable. */
void life_ask_generation(struct turn *turn, struct job_entry *entry, uint64_t step);

/* Committing to completed or stopped, once the reached version is durable on every server. */
void life_finish_if_durable(struct turn *turn, struct job_entry *entry);

/* A participant is gone; why completes "worker w1 ...". Fails the job, unless the node had done its part. */
void life_lose(struct turn *turn, struct job_entry *entry, struct node *node, const char *why);

/* Fails the job for a reason. */
void life_fail(struct turn *turn, struct job_entry *entry, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* An ended or interrupted job becomes pending under a new incarnation, at its committed step. */
void life_revive(struct turn *turn, struct job_entry *entry);

/* Ends a job that nobody works on (interrupted, pending): state is stopped or failed. */
void life_close(struct turn *turn, struct job_entry *entry, Cairn__JobState state, const char *reason);

/* status.step and what follows from it. */
void life_set_step(struct job_entry *entry, uint64_t step);

/* Sends a command with its body set to all of some participants. */
void participants_command(struct turn *turn, const struct participants *participants,
                          Cairn__NodeCommand *command);

#endif
