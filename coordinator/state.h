/* The coordinator's logic: membership, jobs, epochs, clients. One function takes everything that can happen
 * and says what is to be done: state_handle(state, event, now, effects). No sockets, no clock, no disk: what
 * is true of it is tested with fake nodes, a made-up time and thousands of random schedules.
 *
 * Rules of messages
 * - Each Registration and each Heartbeat of a known node is answered with a Welcome. A node that is silent
 *   for a lease is lost; one that leaves is gone at once. Unknown nodes that speak are asked to register.
 * - Reports about a job count only from its participants, and only under its present incarnation.
 * - The coordinator's own pauses are not taken for the nodes' silence.
 * - Whatever a peer sends, in whatever order and however often, the state stays whole; what makes no sense is
 *   passed over, or fails the job with a reason. */
#ifndef CAIRN_COORDINATOR_STATE_H
#define CAIRN_COORDINATOR_STATE_H

#include "base/status.h"
#include "effects.h"
#include "turn.h"

#include <stdint.h>

struct state;

/* An empty state. NULL: out of memory. Owns: the caller, state_free. */
struct state *state_new(uint32_t lease_ms);
void state_free(struct state *state);

enum event_type {
    EVENT_RECORD,    /* at start, before all others, by growing number: a job from an earlier life */
    EVENT_DRAINING,  /* likewise: who was drained in an earlier life */
    EVENT_DELETED,   /* likewise: what is left of jobs that were deleted */
    EVENT_NODE,      /* a node's message */
    EVENT_CLIENT,    /* a client's request */
    EVENT_MISMATCH,  /* a registration in another protocol version */
    EVENT_PEER_GONE, /* a message to peer could not be delivered, and none will be */
    EVENT_PROBE,     /* a connection has ended, nobody knows whose */
    EVENT_TICK       /* time has passed; due at state_deadline_ms */
};

/* All pointers are borrowed during the call. */
struct event {
    enum event_type type;
    struct peer peer;                    /* NODE, CLIENT, MISMATCH, PEER_GONE */
    const Cairn__NodeMessage *message;   /* NODE: checked by wire_node_message_unpack */
    const Cairn__ClientRequest *request; /* CLIENT: checked by wire_client_request_unpack */
    const Cairn__JobRecord *record;      /* RECORD */
    const Cairn__DrainingNodes *draining; /* DRAINING */
    const Cairn__DeletedJobs *deleted;    /* DELETED */
    uint64_t newest_entry;               /* RECORD: number of the job's newest log entry; 0: none */
    const char *reason;                  /* MISMATCH, PEER_GONE */
};

/* Handles one event and appends what is to be done.
 * Errors: CAIRN_CORRUPT for a record that cannot be ours (state unchanged); CAIRN_NO_MEMORY: the state may be
 * half changed, and the effects must not be carried out. */
enum status state_handle(struct state *state, const struct event *event, struct moment now,
                         struct effects *effects, struct error *error) MUST_CHECK;

/* When an EVENT_TICK is due at the latest, on the monotonic clock; INT64_MAX: never. */
int64_t state_deadline_ms(const struct state *state);

/* Breaks (BUG) when an invariant of the state does not hold; for tests. */
void state_check(const struct state *state);

#endif
