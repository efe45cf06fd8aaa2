/* The answers that come out of handling messages: collected, then sent by whoever has the socket.
 *
 * Chunks of one version for one client gather in one message, up to WIRE_PAYLOADS_MAX of them or some
 * WIRE_GATHER_BYTES, until the replies are taken. Payloads are references to version buffers: nothing is
 * copied. One thread an object. */
#ifndef CAIRN_SERVER_REPLIES_H
#define CAIRN_SERVER_REPLIES_H

#include "base/buffer.h"
#include "net/wire.h"
#include "subscribers.h"

#include <stddef.h>

struct reply {
    struct client *client;
    struct data_header header; /* of kind VALUES, APPLIED, REFUSED, STATISTICS, EXPORT or MISSING */
    uint64_t payload_bytes;    /* of all payloads */
    struct buffer
        *payloads[WIRE_PAYLOADS_MAX]; /* header.payload_count of them; NULL where it has no length */
};

struct replies;

/* NULL: out of memory. Owns: the caller; subscribers is borrowed and must outlive the replies. */
struct replies *replies_new(struct subscribers *subscribers);
void replies_free(struct replies *replies);

/* What a reply is about. */
struct reply_subject {
    uint64_t job, incarnation;
    uint32_t table;
    uint64_t version;
    uint64_t request; /* the client's number for what is answered */
};

/* Adds one chunk for a client; takes references of its own to client and values. values NULL: only that the
 * version exists. Errors: CAIRN_NO_MEMORY. */
enum status replies_values(struct replies *replies, const struct reply_subject *subject,
                           struct client *client, uint32_t chunk, enum data_type type,
                           struct buffer *values) MUST_CHECK;

/* Adds a whole answer of `kind` by itself, with payloads [count] numbered from 0; takes references of its own
 * to client and payloads, NULL: of no length. Errors: CAIRN_NO_MEMORY. */
enum status replies_answer(struct replies *replies, const struct reply_subject *subject,
                           struct client *client, enum data_kind kind, uint32_t count,
                           const enum data_type types[], struct buffer *const payloads[]) MUST_CHECK;

/* Adds a refusal; takes a reference of its own to client. Errors: CAIRN_NO_MEMORY. */
enum status replies_refuse(struct replies *replies, const struct reply_subject *subject,
                           struct client *client, enum data_refused reason, const char *message) MUST_CHECK;

/* The oldest reply that was not taken, NULL: none. Valid until replies_next or another change. */
struct reply *replies_next(struct replies *replies);

#endif
