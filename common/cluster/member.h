/* A node's membership: its connection to the coordinator, registration, heartbeats, commands.
 *
 * The object owns one DEALER socket and belongs to one thread (the node's main thread), which polls
 * member_socket() and member_link() together with its own sockets, up to member_deadline_ms(), and calls
 * member_receive(). It registers at once and again whenever the connection was made anew, the coordinator was
 * silent for a lease, or asks for it, so daemons start in any order and outlive a coordinator's restart; it
 * logs when it waits and when it is in. With each registration it tells what the node is at work on: a
 * coordinator that has begun anew finds its jobs so. */
#ifndef CAIRN_CLUSTER_MEMBER_H
#define CAIRN_CLUSTER_MEMBER_H

#include "base/status.h"
#include "control.pb-c.h"

#include <stdbool.h>
#include <stdint.h>

struct member;

/* Connects (in the background) to the coordinator's endpoint.
 * Owns: context and registration are borrowed for the member's life; registration has no engagements.
 * Errors: CAIRN_INVALID for an endpoint that ZeroMQ does not take. */
enum status member_new(void *zmq_context, const char *endpoint, const Cairn__Registration *registration,
                       struct member **out, struct error *error) MUST_CHECK;

/* Sends Leave (when registered) and closes. NULL is allowed. reason may be NULL. */
void member_free(struct member *member, const char *reason);

/* The node is at work on this incarnation of a job, instead of any other of the same job, or no longer unless
 * it has another by now: what the next registrations tell. Errors: CAIRN_NO_MEMORY; nothing has changed then.
 */
enum status member_engage(struct member *member, uint64_t job, uint64_t incarnation,
                          struct error *error) MUST_CHECK;
void member_disengage(struct member *member, uint64_t job, uint64_t incarnation);

/* Whether a registration has been welcomed since the last call, the first one included: the node then repeats
 * what it has reported about its jobs and still stands. To be asked whenever member_receive has nothing more.
 */
bool member_take_welcome(struct member *member);

/* Whether the coordinator knows this node, is connected, and has spoken within the last two heartbeats;
 * member_deadline_ms is no later than when that ends. To be asked after member_receive. */
bool member_hears(const struct member *member);

/* The sockets to poll for input: commands, and what becomes of the connection. */
void *member_socket(const struct member *member);
void *member_link(const struct member *member);

/* When member_receive must next be called even without input, on clock_ms(). */
int64_t member_deadline_ms(const struct member *member);

/* Does what is due (registration, heartbeat) and takes one command that is meant for the node's owner.
 * Owns: *command is the caller's, freed with cairn__node_command__free_unpacked(command, NULL).
 * Errors: CAIRN_AGAIN when there is none; CAIRN_CLOSED when the coordinator refused this node for good (the
 * message says why). Malformed commands are logged and skipped. */
enum status member_receive(struct member *member, Cairn__NodeCommand **command,
                           struct error *error) MUST_CHECK;

/* Sends a message with its body set (the protocol number is filled in); never blocks. While the coordinator
 * is away messages wait in the socket's queue, for a few leases at most: then the connection is made anew,
 * and what was meant for a coordinator that has long given this node up is dropped. Errors: CAIRN_AGAIN when
 * the queue (1000 messages) is full; the message is lost. */
enum status member_send(struct member *member, Cairn__NodeMessage *message, struct error *error) MUST_CHECK;

#endif
