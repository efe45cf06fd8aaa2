/* Who is in the cluster: registrations, heartbeats, leases, and what the loss of a node does to its jobs.
 *
 * A node that is silent for a lease is lost; one whose connection is gone, or that leaves, is lost at once,
 * unless its process has come by another connection before that was noticed. A registration under a name that
 * is in use contends for it (nodes.h). A pause of our own is not taken for the nodes' silence, nor for that
 * of nodes that are awaited (retake.h), provided that membership_tick is called by membership_deadline_ms. */
#ifndef CAIRN_COORDINATOR_MEMBERSHIP_H
#define CAIRN_COORDINATOR_MEMBERSHIP_H

#include "jobs.h"
#include "nodes.h"

struct membership {
    struct nodes nodes;
    uint32_t lease_ms, heartbeat_ms;
    bool ticked;
    int64_t ticked_ms; /* the last tick */
};

void membership_init(struct membership *membership, uint32_t lease_ms);
void membership_fini(struct membership *membership);

/* Something came from peer: the node there, which is thereby alive, or NULL. */
struct node *membership_hear(struct turn *turn, struct membership *membership, const struct peer *peer);

/* A registration: welcomed, refused, or left waiting for a name. What the node is at work on is retake.h's.
 */
void membership_register(struct turn *turn, struct membership *membership, struct jobs *jobs,
                         const struct peer *peer, const Cairn__Registration *registration);

/* Answers a heartbeat. */
void membership_welcome(struct turn *turn, const struct membership *membership, const struct node *node);

/* Sends something to every node, so that those who cannot be reached are noticed. */
void membership_probe(struct turn *turn, const struct membership *membership);

/* Asks a peer that is no node to register. */
void membership_ask(struct turn *turn, const struct peer *peer);

/* Refuses a peer that is not a node of ours. */
void membership_refuse(struct turn *turn, const struct peer *peer, const char *reason);

void membership_leave(struct turn *turn, struct membership *membership, struct jobs *jobs, struct node *node,
                      const Cairn__Leave *leave);

/* Nothing can be delivered to peer. A server that jobs would lose steps without is given a moment to come back
 * by another connection; all others are lost. */
void membership_peer_gone(struct turn *turn, struct membership *membership, struct jobs *jobs,
                          const struct peer *peer, const char *reason);

void membership_tick(struct turn *turn, struct membership *membership, struct jobs *jobs);
int64_t membership_deadline_ms(const struct membership *membership, const struct jobs *jobs);

#endif
