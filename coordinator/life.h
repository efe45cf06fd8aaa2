/* The life of a job (docs/design.md, section 3): what moves it from state to state, and what its nodes are
 * told.
 *
 *     pending -> preparing -> running -> [stopping] -> committing -> completed | stopped
 *     with tables: pending -> preparing -> running -> stopped
 *     pending, preparing, running <-> waiting (too few workers; or for servers, which takes a new
 * incarnation) any of these -> failed; pending, preparing, waiting -> stopped stopped, failed, completed ->
 * pending (a resume: incarnation + 1)
 *
 * Who works in a job that runs is in epochs.h, what the loss of a node does in interrupt.h, reports of nodes
 * about the work itself in reports.h. Callers have checked that a message is of the job's present incarnation
 * and comes from a participant. */
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

/* Takes one more worker for a live job: it is told to prepare, and named in the first epoch after that. */
void life_join(struct turn *turn, struct job_entry *entry, struct node *worker);

/* Sets which generations count as a server's when it is taken, or taken back: of one that holds none of the
 * job's state all that there will be, of one whose slots were copied to it those after that. */
void life_count_generations(const struct job_entry *entry, struct participant *server);

/* Adds the shards of a server that has none in the record; false: memory is out. */
bool life_add_shards(struct turn *turn, Cairn__JobRecord *record, const struct node *server);

/* Tells a server that comes while the job runs to prepare: with nothing. */
void life_prepare_server(struct turn *turn, struct job_entry *entry, struct participant *server);

/* Takes a server that holds nothing of a live job out of it. */
void life_release_server(struct turn *turn, struct job_entry *entry, struct node *server);

/* Takes a live worker out of a job, which goes on without it. */
void life_release_worker(struct turn *turn, struct job_entry *entry, struct node *worker);

/* What a PrepareCommand says of a job at a step; borrows from the entry. */
void life_describe(const struct job_entry *entry, uint64_t step, Cairn__PrepareCommand *body);

/* Servers that held none of the job's state may hold some now that tables were added: from the generation
 * after `step` on. */
void life_count_holders(struct job_entry *entry, uint64_t step);

/* A stop was asked for. Ended jobs stay as they are. Where there is no step in hand, as with tables and in
 * jobs that wait, the job ends at once, at its committed step. */
void life_stop(struct turn *turn, struct job_entry *entry);

/* Tells one worker, or all, to vote for an end. */
void life_tell_stop(struct turn *turn, const struct job_entry *entry, const struct node *worker);
void life_tell_all_stop(struct turn *turn, const struct job_entry *entry);

/* A stop that was asked for ends at the committed step: why completes "stopped as asked ...". */
void life_end_stop(struct turn *turn, struct job_entry *entry, const char *why);

/* Whether a person had asked for the end that the job is on its way to. */
bool life_is_stopping(const struct job_entry *entry);

/* The end was reached: the job's outcome says at which version. */
void life_commit(struct turn *turn, struct job_entry *entry);

/* Tells the servers to make a version durable. */
void life_ask_generation(struct turn *turn, struct job_entry *entry, uint64_t step);

/* Committing to completed or stopped, once the reached version is durable on every server. */
void life_finish_if_durable(struct turn *turn, struct job_entry *entry);

/* Fails the job for a reason. */
void life_fail(struct turn *turn, struct job_entry *entry, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* An ended job becomes pending under a new incarnation, at its committed step. */
void life_revive(struct turn *turn, struct job_entry *entry);

/* A job that has not ended goes back to its committed step under a new incarnation: whoever takes part is
 * released, and it is pending as far as its state is concerned. */
void life_go_back(struct turn *turn, struct job_entry *entry);

/* Ends a job, whoever works on it: state is completed, stopped or failed. */
void life_close(struct turn *turn, struct job_entry *entry, Cairn__JobState state, const char *reason);

/* status.step and what follows from it. */
void life_set_step(struct job_entry *entry, uint64_t step);

/* Sends an order to make a generation durable to one server. */
void life_tell_commit(struct turn *turn, const struct job_entry *entry, const struct node *server,
                      uint64_t step);

/* Sends a command with its body set to all of some participants. */
void participants_command(struct turn *turn, const struct participants *participants,
                          Cairn__NodeCommand *command);

#endif
