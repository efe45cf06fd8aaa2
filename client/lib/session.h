/* A session: pushes to and pulls from all shards of one job. Workers, the command line and (later) libcairn's
 * users speak to parameter servers through this and nothing else.
 *
 * A session owns one DEALER socket a shard and belongs to one thread, which polls it. No thread of its own:
 * the caller's loop is the loop. Payloads are sent from the caller's buffers without a copy (a reference is
 * held until ZeroMQ is done); received values are handed to a callback in the received frame itself, valid
 * during the call: the caller copies them to their place (the one copy of a pull, named in docs/design.md).
 *
 * Sends never block and never wait for room: ZeroMQ queues what a shard that is not there yet (or slow) has
 * not taken. What can be queued is bounded by the data plane's rules (docs/protocol.md), not by a mark. */
#ifndef CAIRN_LIB_SESSION_H
#define CAIRN_LIB_SESSION_H

#include "base/buffer.h"
#include "base/status.h"
#include "cluster/placement.h"
#include "math/tree.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct session;

struct session_params {
    uint64_t job, incarnation;
    uint32_t shard_count;
    const char *const *endpoints; /* [shard_count] */
    uint32_t slot_count;
    const uint32_t *slot_shards; /* [slot_count], values < shard_count */
    /* How a table's chunks lie: chunk c covers floats [c * chunk_floats, ...) of `floats`. */
    uint64_t floats;
    uint32_t chunk_floats, chunk_count;
    /* Elements (float64) of the two metric tables' one chunk. */
    uint32_t metric_count;
};

/* Values of one chunk came: version `version` of `table`. values is aligned for its type; elements is as the
 * table's layout says. Called from session_poll. */
struct session_events {
    void (*values)(void *context, enum table_id table, uint32_t chunk, uint64_t version, const void *values,
                   size_t elements);
    void *context;
};

/* Connects to every shard (in the background). Owns: params is copied; events is copied.
 * Errors: CAIRN_INVALID for parameters that contradict each other or an endpoint that ZeroMQ does not take.
 */
enum status session_new(void *zmq_context, const struct session_params *params,
                        const struct session_events *events, struct session **out,
                        struct error *error) MUST_CHECK;
/* Closes the sockets; unsent messages are dropped. Not from within the callback. NULL is allowed. */
void session_free(struct session *session);

/* Pushes the sums of tree node `node` for `step` of the chunks [first_chunk, first_chunk + chunk_count).
 * buffer: holds the whole table's address space (TABLE_WEIGHTS: [floats] float32) or the metric vector
 * (float64); the chunks' bytes are sent from it in place, so they must not change until the buffer's
 * references fall back (buffer_is_exclusive). subscribe: also ask for version step + 1 of these chunks.
 * Messages to different shards are separate; those to one shard carry several chunks.
 * Errors: CAIRN_INVALID when table, chunks, node or buffer do not fit (nothing was sent); CAIRN_NO_MEMORY,
 * CAIRN_IO, CAIRN_CLOSED (some of it may have been sent; to push it again does no harm). */
struct session_push {
    enum table_id table;
    uint64_t step;
    struct tree_node node;
    uint64_t samples;
    uint32_t first_chunk, chunk_count;
    struct buffer *buffer;
    bool subscribe;
};
enum status session_push(struct session *session, const struct session_push *push,
                         struct error *error) MUST_CHECK;

/* Asks for version `version` of chunks [first_chunk, first_chunk + chunk_count); answered when it exists.
 * committed: from the durable generation of that step. Errors: as session_push. */
enum status session_pull(struct session *session, enum table_id table, uint64_t version, uint32_t first_chunk,
                         uint32_t chunk_count, bool committed, struct error *error) MUST_CHECK;

/* Items that the caller's zmq_poll is to watch for ZMQ_POLLIN: *count of them, one a shard for messages, then
 * one a shard for the end of its connection. Stable for the session's life: void *sockets[]. */
void *const *session_sockets(const struct session *session, size_t *count);

/* Receives and handles all that is there, never blocking. Messages of an older incarnation are dropped.
 * Values are checked (job, table, place of the chunk, type, exact length) before the callback sees any.
 * Errors: CAIRN_STALE (this incarnation or version is over), CAIRN_PROTOCOL, CAIRN_NOT_FOUND as the shard
 * refused; CAIRN_IO when the connection to a shard broke, since what was on its way is lost. The message
 * names shard and reason. The session can be polled on. */
enum status session_poll(struct session *session, struct error *error) MUST_CHECK;

#endif
