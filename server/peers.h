/* A shard's connections to the other shards of its jobs, over which it tells its parts of sums (exchange.h)
 * and what goes up and down chains (chain.h). They are made when first needed. Nothing is received here: what
 * a peer tells comes in by the ROUTER. One thread an object, the shard's. */
#ifndef CAIRN_SERVER_PEERS_H
#define CAIRN_SERVER_PEERS_H

#include "shard.h"

#include <stdbool.h>

struct peers;

/* NULL: out of memory. Owns: the caller. */
struct peers *peers_new(void *zmq_context);
void peers_free(struct peers *peers);

/* Sends a message; it is queued while the peer is not there. What is lost is told again by shard_nudge.
 * While peers_set_repeating is in force a message with payloads is dropped as long as an earlier one to the
 * same peer has not left.
 * Errors: CAIRN_IO, CAIRN_NO_MEMORY, naming the endpoint. */
enum status peers_send(struct peers *peers, const struct shard_message *message,
                       struct error *error) MUST_CHECK;

/* From now on what is sent has been sent before, as far as anybody knows; or that is over. So what waits for
 * a peer that cannot be reached is what was said once, however long and often it is said again. */
void peers_set_repeating(struct peers *peers, bool is_repeating);

/* Closes a job's connections. */
void peers_forget(struct peers *peers, uint64_t job);

#endif
