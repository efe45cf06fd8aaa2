/* What the loss of a node does to a job.
 *
 * A worker is no loss: the next epoch goes on without it (epochs.h). Nor is a server if others have all
 * that it had (chains.h). Else it takes the job's newest steps with it: the job goes back to its committed
 * step under a new incarnation and waits for that server (scheduling.h). A stop that a person asked for then
 * ends there. */
#ifndef CAIRN_COORDINATOR_INTERRUPT_H
#define CAIRN_COORDINATOR_INTERRUPT_H

#include "jobs.h"

/* Whether a job would lose steps if a node were gone. */
bool interrupt_costs_steps(struct job_entry *entry, const struct node *node);

/* A participant is gone; why completes "worker w1 ...". */
void interrupt_lost(struct turn *turn, struct job_entry *entry, struct node *node, const char *why);

/* A server of a live job, which may be no participant any more, has lost what it held. */
void interrupt_server(struct turn *turn, struct job_entry *entry, const char *server, const char *why);

/* A worker says that it cannot go on. */
void interrupt_failed(struct turn *turn, struct job_entry *entry, struct node *worker, const char *reason);

#endif
