/* What is on its way to each client: so that one that does not read costs a bounded amount of memory.
 *
 * ZeroMQ queues what a client has not taken, and a queued answer keeps the version that it carries. Each
 * message to a client is given a ticket, which comes back when ZeroMQ is done with the message's last part;
 * what is out by tickets is the client's queue. When a client's queue is too long, answers to it are dropped
 * instead of queued; when it has drained, the client is told once that answers were lost, and asks again.
 *
 * Too long is (outbox_takes):
 * - OUTBOX_MESSAGES_MAX messages, whatever is in them, since each costs some hundred bytes; or
 * - more than the limit in bytes, if nobody else needs the oldest answer's memory any more: its version has
 * been superseded, or the answer was made for this client alone. A client that reads may thus have two whole
 *   versions on their way, however large they are, since the shard holds those anyway.
 *
 * Must not know of sockets. One thread an object, the shard's; tickets come back on any thread, also after
 * the outboxes are gone. */
#ifndef CAIRN_SERVER_OUTBOX_H
#define CAIRN_SERVER_OUTBOX_H

#include "base/buffer.h"
#include "base/status.h"
#include "replies.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define OUTBOX_MESSAGES_MAX 8192
#define OUTBOX_BYTES_LIMIT  ((size_t)64 << 20) /* as servers set it: some large answers may be under way */

struct outboxes;
struct outbox;

/* What a message on its way holds. */
struct outbox_note {
    struct reply_subject subject;
    uint32_t chunk;  /* its first */
    bool is_private; /* its memory is the client's alone: no version that the shard keeps */
    size_t bytes;    /* of all payloads */
};

/* limit_bytes: a client's. Errors: CAIRN_NO_MEMORY, CAIRN_IO. Owns: the caller, outboxes_free. */
enum status outboxes_new(size_t limit_bytes, struct outboxes **out, struct error *error) MUST_CHECK;
/* Tickets may still be out. NULL is allowed. */
void outboxes_free(struct outboxes *outboxes);

/* Readable when a client that is to be told of a loss may have drained: outboxes_drained then tells who. */
int outboxes_descriptor(const struct outboxes *outboxes);

/* The outbox of a client, made when there is none; NULL: out of memory. Borrowed until the next call of
 * outbox_of, which forgets clients whose queue is empty. */
struct outbox *outbox_of(struct outboxes *outboxes, const void *name, size_t length);

/* The oldest message that is on its way; false: none is. */
bool outbox_oldest(struct outbox *outbox, struct outbox_note *note);

/* Whether a message of so many bytes may be queued; oldest_is_needed: somebody else holds the memory of the
 * oldest message on its way (true when none is). After outbox_lose: no, until the client was told. */
bool outbox_takes(struct outbox *outbox, size_t bytes, bool oldest_is_needed);

/* A ticket over `part`, the last part of a message: a buffer to send instead of it. Takes a reference of its
 * own to part, given back with the ticket. Owns: the caller, one reference. NULL: out of memory. */
struct buffer *outbox_ticket(struct outbox *outbox, const struct outbox_note *note, struct buffer *part);

/* A message about `subject` was dropped. Returns whether it is the first that the client will be told of. */
bool outbox_lose(struct outbox *outbox, const struct reply_subject *subject);

/* Takes the next client that has lost something and whose queue is empty: its name, and of what the first
 * lost message was. NULL: none (more). Borrowed as outbox_of's. */
const void *outboxes_drained(struct outboxes *outboxes, size_t *length, struct reply_subject *lost);

/* The queue of a client, for tests and figures. */
size_t outbox_messages(struct outbox *outbox);
size_t outbox_bytes(struct outbox *outbox);

#endif
