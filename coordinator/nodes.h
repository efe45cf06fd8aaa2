/* The nodes that are registered now: who they are, when they were last heard, which job a worker serves.
 *
 * Names are unique in the cluster. A registration under a name that is in use waits as a contender until it
 * is known whether the holder still lives: the holder speaks (the contender is refused), or its connection is
 * gone or it stays silent (the contender takes the name). What the holder says at first does not count, for
 * it may have died since: its last words and its heir's registration come by two connections, in any order.
 * So a restarted node gets its name back at once, and a second node of a name never takes it from a live one.
 *
 * Invariants: names and peers are unique; nodes are in the order of their registration. Knows nothing of what
 * nodes do for jobs. */
#ifndef CAIRN_COORDINATOR_NODES_H
#define CAIRN_COORDINATOR_NODES_H

#include "draining.h"
#include "turn.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct job_entry;

#define NODES_MAX       4096
#define NODE_NAME_BYTES 128 /* of a node's name, with the end */

struct node {
    struct peer peer;
    Cairn__Registration *registration; /* owned */
    int64_t heard_ms;                  /* last message, monotonic */
    struct job_entry *job;             /* worker: the job it serves; NULL: idle. Servers: always NULL */
    uint64_t failed_job;               /* worker: the number of the job that it failed at last; 0: none */
    int64_t rest_until_ms;             /* and until when it does not try that one again, monotonic */
    bool draining;                     /* it is to end: it gets no more work */
    bool dismissed;                    /* and was told so */
    bool is_cut;                       /* its connection is gone, and it may come back by another */
    int64_t cut_ms;                    /* since when, monotonic */
    bool contended;                    /* somebody else wants the name */
    struct peer contender_peer;
    Cairn__Registration *contender; /* owned */
    int64_t contended_ms;
};

struct nodes {
    struct node **items;
    size_t count, capacity;
    struct draining draining; /* of those that were registered, too */
};

void nodes_init(struct nodes *nodes);
void nodes_fini(struct nodes *nodes);

/* The node at peer, or of a name; NULL: none. */
struct node *nodes_at(const struct nodes *nodes, const struct peer *peer);
struct node *nodes_named(const struct nodes *nodes, const char *name);

/* Adds a node; the registration is copied. The caller has checked that name and peer are new. NULL: memory is
 * out. A process that was drained before is draining at once. */
struct node *nodes_add(struct turn *turn, struct nodes *nodes, const struct peer *peer,
                       const Cairn__Registration *registration);

/* The same process registers once more, maybe from another peer; the registration is copied. It is cut no
 * more. */
void nodes_renew(struct turn *turn, struct node *node, const struct peer *peer,
                 const Cairn__Registration *registration);

/* Removes and frees a node. */
void nodes_remove(struct nodes *nodes, struct node *node);

/* Makes the sender of a registration the contender for a node's name, in place of an earlier one. That one is
 * told nothing: either may be dead, whichever was read first, and who lives registers again. */
void node_contend(struct turn *turn, struct node *node, const struct peer *peer,
                  const Cairn__Registration *registration);

/* Refuses a node's contender, if there is one: the holder of the name is alive. */
void node_refuse_contender(struct turn *turn, struct node *node);

/* Forgets a node's contender without a word, if it is peer: it is gone, or wants another name. */
void node_forget_contender(struct node *node, const struct peer *peer);

/* Sends a command to a node, unless it is cut. */
void node_command(struct turn *turn, const struct node *node, Cairn__NodeCommand *command);

/* Whether two registrations come from one process. */
bool registration_same_process(const Cairn__Registration *a, const Cairn__Registration *b);

/* What is wrong with a registration by itself, or NULL. */
const char *registration_fault(const Cairn__Registration *registration);

static inline bool node_is_worker(const struct node *node)
{
    return node->registration->kind == CAIRN__NODE_KIND__NODE_KIND_WORKER;
}

static inline const char *node_name(const struct node *node)
{
    return node->registration->name;
}

/* "server" or "worker". */
const char *node_kind_name(const struct node *node);

#endif
