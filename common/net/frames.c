/* Multipart messages over ZeroMQ. Knows nothing of what the parts mean.
 *
 * A part sent from a buffer holds a reference that ZeroMQ drops on whichever of its threads is done last, so
 * release functions of buffers must be safe there (base/buffer.h says so). A received part that becomes a
 * buffer lives in one small heap structure with its zmq_msg_t: that structure costs far less than the payload
 * that ZeroMQ has just allocated, so it has no pool of its own. */
#include "net/frames.h"

#include "base/order.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* A received part as a buffer. */
struct received {
    struct buffer buffer;
    zmq_msg_t part;
};

static enum status error_zmq(struct error *error, const char *doing)
{
    int code = zmq_errno();

    switch (code) {
    case EAGAIN:
        return CAIRN_AGAIN;
    case ETERM:
        return error_set(error, CAIRN_CLOSED, "%s: the messaging context is closed", doing);
    case EHOSTUNREACH:
        return error_set(error, CAIRN_NOT_FOUND, "%s: no such peer is connected", doing);
    case ENOMEM:
        return error_set(error, CAIRN_NO_MEMORY, "%s: out of memory", doing);
    default:
        return error_set(error, CAIRN_IO, "%s: %s", doing, zmq_strerror(code));
    }
}

void frames_init(struct frames *frames)
{
    frames->count = 0;
}

void frames_clear(struct frames *frames)
{
    for (size_t i = 0; i < frames->count; i++)
        zmq_msg_close(&frames->parts[i]);
    frames->count = 0;
}

/* Initializes *part and receives into it; *part is closed again on failure. */
static int part_receive(void *socket, zmq_msg_t *part)
{
    int code;

    zmq_msg_init(part);
    do
        code = zmq_msg_recv(part, socket, ZMQ_DONTWAIT);
    while (code < 0 && zmq_errno() == EINTR);
    if (code < 0) {
        int saved = zmq_errno();

        zmq_msg_close(part);
        errno = saved;
        return code;
    }
    ORDER_AFTER(zmq_msg_data(part)); /* within a process these are the sender's own bytes */
    return code;
}

/* Reads to the end of a message that nobody wants. */
static void drain(void *socket)
{
    zmq_msg_t part;
    int more = 1;

    while (more && part_receive(socket, &part) >= 0) {
        more = zmq_msg_more(&part);
        zmq_msg_close(&part);
    }
}

enum status frames_receive(void *socket, struct frames *frames, struct error *error)
{
    int more = 1;

    BUG_IF(frames->count != 0);
    while (more) {
        if (frames->count == FRAMES_MAX) {
            frames_clear(frames);
            drain(socket);
            return error_set(error, CAIRN_PROTOCOL, "a message has more than %d parts", FRAMES_MAX);
        }
        if (part_receive(socket, &frames->parts[frames->count]) < 0) {
            enum status status = error_zmq(error, "receive");

            frames_clear(frames);
            return status;
        }
        more = zmq_msg_more(&frames->parts[frames->count++]);
    }
    return CAIRN_OK;
}

static int part_send(void *socket, zmq_msg_t *part, int flags)
{
    int code;

    do
        code = zmq_msg_send(part, socket, ZMQ_DONTWAIT | flags);
    while (code < 0 && zmq_errno() == EINTR);
    return code;
}

enum status frames_send(void *socket, struct frames *frames, struct error *error)
{
    enum status status = CAIRN_OK;

    for (size_t i = 0; i < frames->count; i++) {
        int flags = i + 1 < frames->count ? ZMQ_SNDMORE : 0;

        if (part_send(socket, &frames->parts[i], flags) >= 0)
            continue;
        if (status == CAIRN_OK)
            status = error_zmq(error, "send");
        /* When the first part is refused, nothing of the message was taken. When the peer went away in the
         * middle, ZeroMQ wants the rest of the message before it takes another, and drops it. */
        if (i == 0)
            break;
    }
    frames_clear(frames); /* parts that were sent are empty by now */
    return status;
}

static enum status append_begin(struct frames *frames, zmq_msg_t **part)
{
    if (frames->count == FRAMES_MAX)
        return CAIRN_FULL;
    *part = &frames->parts[frames->count];
    return CAIRN_OK;
}

static enum status part_copy(zmq_msg_t *part, const void *bytes, size_t length)
{
    if (zmq_msg_init_size(part, length) != 0)
        return CAIRN_NO_MEMORY;
    if (length > 0)
        memcpy(zmq_msg_data(part), bytes, length);
    ORDER_BEFORE(zmq_msg_data(part));
    return CAIRN_OK;
}

enum status frames_append_copy(struct frames *frames, const void *bytes, size_t length)
{
    zmq_msg_t *part;
    enum status status = append_begin(frames, &part);

    if (status == CAIRN_OK)
        status = part_copy(part, bytes, length);
    if (status == CAIRN_OK)
        frames->count++;
    return status;
}

enum status frames_set_copy(struct frames *frames, size_t index, const void *bytes, size_t length)
{
    zmq_msg_t part;
    enum status status = part_copy(&part, bytes, length);

    BUG_IF(index >= frames->count);
    if (status != CAIRN_OK)
        return status;
    zmq_msg_close(&frames->parts[index]);
    zmq_msg_init(&frames->parts[index]);
    zmq_msg_move(&frames->parts[index], &part);
    return CAIRN_OK;
}

/* ZeroMQ is done with a part; runs on any thread. */
static void part_release(void *data, void *hint)
{
    ORDER_AFTER(data);
    buffer_unref(hint);
}

enum status frames_append_buffer(struct frames *frames, struct buffer *buffer, size_t offset, size_t length)
{
    zmq_msg_t *part;
    enum status status = append_begin(frames, &part);

    if (status != CAIRN_OK)
        return status;
    BUG_IF(offset > buffer->length_bytes || length > buffer->length_bytes - offset);
    buffer_ref(buffer);
    ORDER_BEFORE((char *)buffer->data + offset);
    if (zmq_msg_init_data(part, (char *)buffer->data + offset, length, part_release, buffer) != 0) {
        buffer_unref(buffer);
        return CAIRN_NO_MEMORY;
    }
    frames->count++;
    return CAIRN_OK;
}

static void received_release(struct buffer *buffer)
{
    struct received *received = buffer->owner;

    zmq_msg_close(&received->part);
    free(received);
}

static struct buffer *copied(const void *data, size_t length)
{
    struct buffer *buffer = buffer_new(length);

    if (buffer && length > 0)
        memcpy(buffer->data, data, length);
    return buffer;
}

static bool is_aligned(const void *data, size_t alignment)
{
    return ((uintptr_t)data & (alignment - 1)) == 0;
}

struct buffer *frames_take_buffer(struct frames *frames, size_t index, size_t alignment)
{
    struct received *received;
    struct buffer *buffer;

    BUG_IF(index >= frames->count);
    received = malloc(sizeof(*received));
    if (!received)
        return NULL;
    zmq_msg_init(&received->part);
    zmq_msg_move(&received->part, &frames->parts[index]);
    /* Only now is the address final: short parts live inside the zmq_msg_t. */
    buffer_wrap(&received->buffer, zmq_msg_data(&received->part), zmq_msg_size(&received->part),
                received_release, received);
    if (is_aligned(received->buffer.data, alignment))
        return &received->buffer;
    buffer = copied(received->buffer.data, received->buffer.length_bytes);
    buffer_unref(&received->buffer);
    return buffer;
}

const void *frames_data(struct frames *frames, size_t index)
{
    BUG_IF(index >= frames->count);
    return zmq_msg_data(&frames->parts[index]);
}

size_t frames_length(struct frames *frames, size_t index)
{
    BUG_IF(index >= frames->count);
    return zmq_msg_size(&frames->parts[index]);
}
