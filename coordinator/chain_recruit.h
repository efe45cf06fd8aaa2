/* Servers that a job takes on while it runs, with nothing at first. What they then get: chain_plan.h. */
#ifndef CAIRN_COORDINATOR_CHAIN_RECRUIT_H
#define CAIRN_COORDINATOR_CHAIN_RECRUIT_H

#include "jobs.h"

/* Whether a node is a server that stays, and is in the record with the shards that it has now, or not at all.
 */
bool chain_can_take_on(const struct job_entry *entry, const struct node *node);

/* Takes servers on in place of those that are gone or are to go, as long as there are any. */
void chain_recruit(struct turn *turn, struct job_entry *entry, const struct nodes *nodes);

#endif
