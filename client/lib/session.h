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
#include "codec/codec.h"
#include "math/tree.h"
#include "net/wire.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct session;

/* How a table of the job lies on its shards. All zero: the job has no table of that number. */
struct session_table {
    enum session_table_kind {
        SESSION_TABLE_NONE,
        SESSION_TABLE_DENSE, /* float32, an optimizer applied each step */
        SESSION_TABLE_SUMS,  /* float64, one chunk */
        SESSION_TABLE_SPARSE /* rows of float32 by key */
    } kind;
    /* Dense and sums: chunk c covers [c * chunk_elements, ...) of `elements`. */
    uint64_t elements;
    uint32_t chunk_elements, chunk_count;
    uint32_t dimension; /* sparse: floats a row */
    /* Dense and sparse: how gradients and values travel. Gradients of a table with another codec than float32
     * are rounded here, so each microbatch is pushed by itself: no push with gradients for a node of several,
     * unless they are rounded already. Of a top_k table that holds without gradients as well, and each
     * microbatch stays with the session that pushed it until a step that sends all (codec.h), or the push is
     * CAIRN_INVALID; nor can it be pushed again in the same step. */
    struct codec_spec codec;
};

/* The two have float32's codec. */
struct session_table session_dense_table(uint64_t floats, uint32_t chunk_floats, uint32_t chunk_count);
struct session_table session_sums_table(uint32_t elements);
struct session_table session_sparse_table(uint32_t dimension);

struct session_params {
    uint64_t job, incarnation;
    uint32_t shard_count;
    const char *const *endpoints; /* [shard_count]; only those of shards that slots are on are connected to */
    uint32_t slot_count;
    const uint32_t *slot_shards; /* [slot_count], values < shard_count */
    uint32_t table_count;
    const struct session_table *tables; /* [table_count], by number */
    uint64_t seed;                      /* the job's, of the chance of codecs */
    uint64_t worker;                    /* the caller's number by the epoch, told with pushes; 0: none */
    uint64_t map;                       /* which map slot_shards is of */
};

/* Called from session_poll. */
struct session_events {
    /* Values of one chunk came: version `version` of `table`, aligned for their type; elements is as the
     * table's layout says. */
    void (*values)(void *context, uint32_t table, uint32_t chunk, uint64_t version, const void *values,
                   size_t elements);
    /* A version of a chunk exists, as an acknowledging push wanted to know. NULL: nobody asks. */
    void (*applied)(void *context, uint32_t table, uint32_t chunk, uint64_t version);
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

/* Adds a table that the job has got while it runs; its number is the next one. Not from within the callback.
 * Errors: CAIRN_INVALID, CAIRN_NO_MEMORY; nothing was added then. */
enum status session_add_table(struct session *session, const struct session_table *table,
                              struct error *error) MUST_CHECK;

/* How many tables of its own (from TABLE_FIRST_USER on) the job has, as far as answers have told; 0: none has
 * told of one that was added. */
uint32_t session_tables_told(const struct session *session);

/* Where the shard is that has a slot; NULL: there is no such slot. Borrowed. */
const char *session_slot_endpoint(const struct session *session, uint32_t slot);

/* ---- dense tables and sums */

/* Pushes the sums of tree node `node` for `step` of the chunks [first_chunk, first_chunk + chunk_count).
 * buffer: holds the whole table's address space; the chunks' bytes are sent from it in place, so they must
 * not change until the buffer's references fall back (buffer_is_exclusive). NULL: there is nothing to add to
 * these chunks in this node. Gradients that a codec encodes are copied.
 * is_rounded: the sums were formed in the numbers of the table's codec, rounded at each microbatch and folded
 * at each node above by codec.h; so the node may be any. Not of top_k tables; without meaning for float32.
 * subscribe: also ask for version step + 1 of these chunks; exact: as float32, even if the codec carries
 * values; acknowledge: to be told when it exists. Messages to different shards are separate; those to one
 * shard carry several chunks.
 * Errors: CAIRN_INVALID when table, chunks, node or buffer do not fit (nothing was sent); CAIRN_NO_MEMORY,
 * CAIRN_IO, CAIRN_CLOSED (some of it may have been sent; to push it again does no harm). */
struct session_push {
    uint32_t table;
    uint64_t step;
    struct tree_node node;
    uint64_t samples;
    uint32_t first_chunk, chunk_count;
    struct buffer *buffer;
    bool is_rounded;
    bool subscribe, exact, acknowledge;
};
enum status session_push(struct session *session, const struct session_push *push,
                         struct error *error) MUST_CHECK;

/* The version of a pull that takes whichever is newest at each chunk's or key's place. */
#define SESSION_NEWEST UINT64_MAX

/* Asks for version `version` of chunks [first_chunk, first_chunk + chunk_count); answered when it exists. Of
 * sums the newest has no values to pull: session_ask_versions tells which it is.
 * committed: from the durable generation of that step; exact: as float32, even if the codec carries values;
 * request: the caller's number for it, which tells its answers from those of other pulls; 0: none.
 * Errors: as session_push. */
struct session_pull {
    uint32_t table;
    uint64_t version;
    uint32_t first_chunk, chunk_count;
    bool committed, exact;
    uint64_t request;
};
enum status session_pull(struct session *session, const struct session_pull *pull,
                         struct error *error) MUST_CHECK;

/* The request of the pull that the values in hand answer; 0: it had none, or a push asked for them. To be
 * called from session_events.values only. */
uint64_t session_request(const struct session *session);

/* ---- sparse tables */

/* A push or pull of rows under way, in the caller's memory, which stays where it is until `done` or the end
 * of the session. `done` and `context` are the caller's, who reads `version` when it is done; the rest is the
 * session's. */
struct session_operation {
    void (*done)(struct session_operation *operation); /* from session_poll; every answer has come */
    void *context;                                     /* the caller's */
    uint64_t version;                                  /* the oldest that an answer was of */
    float *rows;                                       /* where rows go, [keys, dimension]; NULL: nowhere */
    uint32_t dimension;
    uint32_t parts_left;
};

/* Pushes rows of gradients for a tree node of `step` to all shards: each gets those whose keys are its own,
 * or word that there are none. Keys may repeat: their rows are added in order of appearance. keys: uint64
 * [count], gradients: float32 [count, dimension]; when all keys lie on one shard they are sent in place and
 * must not change until the buffers' references fall back, else they are gathered by shard (one copy). Both
 * NULL with count 0: nothing to add. operation: may be NULL, nobody is told then; else done when version step
 * + 1 exists on all shards. values: NULL, or where to put the rows of that version, [count, dimension].
 * Errors: CAIRN_INVALID (nothing was sent), else as session_push. */
struct session_rows_push {
    uint32_t table;
    uint64_t step;
    struct tree_node node;
    uint64_t samples;
    uint32_t count;
    struct buffer *keys, *gradients;
    float *values;
    struct session_operation *operation;
};
enum status session_push_rows(struct session *session, const struct session_rows_push *push,
                              struct error *error) MUST_CHECK;

/* The most rows of a table that one push may bring to one shard, so that a message carries them. */
uint32_t session_rows_max(const struct session *session, uint32_t table);

/* Asks for the rows of keys [count] of a version, which may be SESSION_NEWEST; keys may repeat. values: [count, dimension], in the order of keys, whole when the operation is done. keys: as above.
 * Errors: as session_push_rows. */
enum status session_pull_rows(struct session *session, uint32_t table, uint64_t version, struct buffer *keys,
                              uint32_t count, float *values, struct session_operation *operation,
                              struct error *error) MUST_CHECK;

/* ---- both */

/* Asks which version of a table is the newest: of a dense one, each chunk's comes to `applied`, and of sums
 * that of the step in hand (none may be kept of it); of a sparse one, operation is done, whose version is
 * that of the shard that is furthest behind. Errors: as session_push. */
enum status session_ask_versions(struct session *session, uint32_t table, struct session_operation *operation,
                                 struct error *error) MUST_CHECK;

/* ---- questions about a table
 *
 * What is asked lies in the caller's memory, which stays where it is until all answers have come,
 * session_forget or the end of the session. */

/* What a table's shards hold, added up. */
struct session_statistics {
    void (*done)(struct session_statistics *statistics); /* from session_poll; every answer has come */
    void *context;                                       /* the caller's */
    uint64_t version;                                    /* the oldest that an answer was of */
    uint64_t numbers[STATISTIC_COUNT];
    uint32_t shards_left;
};

/* Asks all shards that hold a piece of a table, dense or sparse. Errors: as session_push. */
enum status session_ask_statistics(struct session *session, uint32_t table,
                                   struct session_statistics *statistics, struct error *error) MUST_CHECK;

/* Rows of a sparse table that came together, borrowed for the call. */
struct session_slice {
    uint64_t version; /* that they are of */
    uint32_t count;
    const uint64_t *keys, *steps; /* [count]; steps: the last that changed each */
    const float *rows;            /* [count, dimension] */
};

/* A walk over the rows of a sparse table that step `since` or a later one changed. */
struct session_export {
    void (*slice)(struct session_export *export, const struct session_slice *slice); /* from session_poll */
    void *context;                                                                   /* the caller's */
    uint64_t since;
    uint64_t first_version; /* the oldest that some shard began with */
    uint64_t version;       /* the newest that an answer was of */
    uint32_t shards_left;   /* 0: it is over */
};

/* Begins an export: each shard is asked for a slice, and for the next when it has come. context, slice and
 * since are set. Errors: as session_push; CAIRN_INVALID also for a table that is not sparse. From
 * session_poll, when the next slice cannot be asked for: as session_push. */
enum status session_export_rows(struct session *session, uint32_t table, struct session_export *export,
                                struct error *error) MUST_CHECK;

/* Which microbatches of a step have not all come to the shards of a table. */
struct session_missing {
    void (*done)(struct session_missing *missing); /* from session_poll; every answer has come */
    void *context;                                 /* the caller's */
    uint32_t leaves;                               /* the job's microbatches */
    bool *marks; /* [leaves]: set for those that are missing; never cleared here */
    uint32_t shards_left;
};

/* Asks all shards that hold a piece of a table, dense or sums, about `step`. done, context, leaves and marks
 * are set. Errors: as session_push; CAIRN_INVALID also for a sparse table. */
enum status session_ask_missing(struct session *session, uint32_t table, uint64_t step,
                                struct session_missing *missing, struct error *error) MUST_CHECK;

/* Answers to what lies at `question` go to nobody from now on. */
void session_forget(struct session *session, const void *question);

/* ---- the caller's loop */

/* Items that the caller's zmq_poll is to watch for ZMQ_POLLIN: *count of them, one a shard that slots are on for
 * messages, then one each for the end of its connection. Stable for the session's life: void *sockets[]. */
void *const *session_sockets(const struct session *session, size_t *count);

/* Receives and handles all that is there, never blocking. Messages of an older incarnation are dropped.
 * Values are checked (job, table, place of the chunk, type, exact length) before the callback sees any.
 * Errors: CAIRN_STALE (this incarnation is over), CAIRN_PASSED (a version is kept no longer), CAIRN_PROTOCOL,
 * CAIRN_NOT_FOUND as the shard refused; CAIRN_FULL when answers were dropped since they were not read, or
 * will not come since too many are waited for (what is missing can be pulled again); CAIRN_IO when the
 * connection to a shard broke, since what was on its way is lost. The message names shard and reason. The
 * session can be polled on. */
enum status session_poll(struct session *session, struct error *error) MUST_CHECK;

/* Whether the last session_poll found nothing and nothing was sent since: then, and only then, the sockets'
 * descriptors (ZMQ_FD) tell of what comes. */
bool session_is_quiet(const struct session *session);

/* Sleeps until session_poll may have something, timeout_ms have passed (-1: for ever) or a signal comes;
 * returns at once when the last session_poll found something or something was sent since: poll again then.
 * For callers that wait for this session alone; it costs less than a zmq_poll over its sockets. Errors:
 * CAIRN_IO. */
enum status session_wait(struct session *session, int timeout_ms, struct error *error) MUST_CHECK;

#endif
