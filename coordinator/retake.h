/* Nodes that come back with work in their hands.
 *
 * A node tells with its registration what it is at work on (Engagement). Of a live job it is kept: it is the
 * participant that it was, by another connection maybe, and is told once more what it may have missed. A job
 * that was live when an earlier coordinator ended awaits its nodes for a lease and a little more; meanwhile
 * its steps go on, of which nobody here need know. Who does not come, or comes without the work, is lost to
 * the job. Whatever else a node is engaged in is none of ours, and it is released from it. */
#ifndef CAIRN_COORDINATOR_RETAKE_H
#define CAIRN_COORDINATOR_RETAKE_H

#include "jobs.h"

/* A job from a record that was live: awaits its nodes until lease_ms and a little more have passed. */
void retake_await(struct turn *turn, struct job_entry *entry, uint32_t lease_ms);

/* A node has registered, by the connection that it had or by a new one. */
void retake_registered(struct turn *turn, struct jobs *jobs, struct node *node, bool by_new_connection);

/* We did nothing for gap_ms, as a stopped process does: what nodes sent meanwhile has yet to be read. Before
 * the retake_tick that would give them up, or the server_wait_tick. */
void retake_forgive(const struct turn *turn, struct jobs *jobs, int64_t gap_ms);

/* Whether some job awaits nodes, or misses a server: whether we have paused is then to be known. */
bool retake_is_under_way(const struct jobs *jobs);

/* Gives up the nodes that have not come in time. Only when it is known how long we paused, if we did: not
 * with any message that is read after it. */
void retake_tick(struct turn *turn, struct jobs *jobs);

#endif
