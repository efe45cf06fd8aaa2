/* Multipart messages: the one narrow seam through which data-plane bytes enter and leave a socket.
 *
 * A `struct frames` holds the parts of one message. Receiving fills it; a received part can be taken out as a
 * reference-counted buffer without a copy. Sending empties it; a part made from a buffer is sent without a
 * copy and holds a reference until ZeroMQ is done with the bytes. One thread an object. */
#ifndef CAIRN_NET_FRAMES_H
#define CAIRN_NET_FRAMES_H

#include "base/buffer.h"
#include "base/status.h"

#include <stddef.h>
#include <zmq.h>

/* Most parts of a message (routing identity, delimiter, header and payloads). More is a protocol violation.
 */
#define FRAMES_MAX 72

struct frames {
    zmq_msg_t parts[FRAMES_MAX];
    size_t count;
};

/* An empty message. */
void frames_init(struct frames *frames);

/* Closes all parts; the object is empty and can be used again. */
void frames_clear(struct frames *frames);

/* Receives one whole message, never blocking. frames must be empty.
 * Errors: CAIRN_AGAIN when there is none; CAIRN_PROTOCOL for too many parts (the message is gone);
 * CAIRN_CLOSED when the context is terminated. frames is empty on every error. */
enum status frames_receive(void *socket, struct frames *frames, struct error *error) MUST_CHECK;

/* Sends all parts as one message and empties frames, also on failure. Never blocks.
 * Errors: CAIRN_AGAIN when the peer's queue is full; CAIRN_NOT_FOUND when a ROUTER knows no such peer (the
 * message is gone). */
enum status frames_send(void *socket, struct frames *frames, struct error *error) MUST_CHECK;

/* Appends a part with a copy of length bytes; bytes may be NULL when length is 0.
 * Errors: CAIRN_FULL when there are FRAMES_MAX parts, CAIRN_NO_MEMORY; frames is unchanged then. */
enum status frames_append_copy(struct frames *frames, const void *bytes, size_t length) MUST_CHECK;

/* Replaces the part at `index`, which must be there, by a copy of length bytes.
 * Errors: CAIRN_NO_MEMORY; frames is unchanged then. */
enum status frames_set_copy(struct frames *frames, size_t index, const void *bytes, size_t length) MUST_CHECK;

/* Appends a part over bytes [offset, offset + length) of buffer without a copy; takes a reference of its own,
 * dropped on a ZeroMQ thread after the send. The range must lie within the buffer (BUG otherwise).
 * Errors: as frames_append_copy. */
enum status frames_append_buffer(struct frames *frames, struct buffer *buffer, size_t offset,
                                 size_t length) MUST_CHECK;

/* Part `index` as a buffer, without a copy when its bytes are aligned for `alignment` (a power of two), with
 * one otherwise. The part is empty afterwards. Owns: the caller, one reference. NULL: out of memory. */
struct buffer *frames_take_buffer(struct frames *frames, size_t index, size_t alignment);

/* Bytes and length of a part, borrowed until the next change. */
const void *frames_data(struct frames *frames, size_t index);
size_t frames_length(struct frames *frames, size_t index);

#endif
