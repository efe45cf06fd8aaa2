/* Nodes that are to end: their work goes to others, then they are dismissed (scheduling.h). */
#ifndef CAIRN_COORDINATOR_DRAIN_H
#define CAIRN_COORDINATOR_DRAIN_H

#include "jobs.h"
#include "nodes.h"

/* Takes a node's work from it. A worker's goes on at once without it. Errors: CAIRN_INVALID with a line for
 * who asked: a server that holds the state of a job that has not ended, or can be resumed, unless a training
 * goes on and other servers can take what it has. */
enum status drain_node(struct turn *turn, const struct jobs *jobs, const struct nodes *nodes,
                       struct node *node, struct error *error) MUST_CHECK;

#endif
