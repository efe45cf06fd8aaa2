/* Sockets to other shards, a list: there are as many as a job has shards. */
#include "peers.h"

#include "net/frames.h"
#include "net/linger.h"
#include "net/silence.h"

#include <stdlib.h>
#include <string.h>
#include <zmq.h>

struct peer {
    struct peer *next;
    uint64_t job;
    void *socket;
    struct buffer *newest; /* the header of the last message with payloads: ours alone once it has left */
    char endpoint[];
};

struct peers {
    void *context;
    struct peer *first;
    struct frames frames;
    bool is_repeating;
};

struct peers *peers_new(void *zmq_context)
{
    struct peers *peers = calloc(1, sizeof(*peers));

    if (!peers)
        return NULL;
    peers->context = zmq_context;
    frames_init(&peers->frames);
    return peers;
}

static void peer_free(struct peer *peer)
{
    if (peer->socket)
        zmq_close(peer->socket);
    buffer_unref(peer->newest);
    free(peer);
}

void peers_free(struct peers *peers)
{
    if (!peers)
        return;
    while (peers->first) {
        struct peer *peer = peers->first;

        peers->first = peer->next;
        peer_free(peer);
    }
    free(peers);
}

void peers_set_repeating(struct peers *peers, bool is_repeating)
{
    peers->is_repeating = is_repeating;
}

void peers_forget(struct peers *peers, uint64_t job)
{
    struct peer **link = &peers->first;

    while (*link) {
        struct peer *peer = *link;

        if (peer->job != job) {
            link = &peer->next;
            continue;
        }
        *link = peer->next;
        peer_free(peer);
    }
}

static enum status peer_connect(struct peers *peers, uint64_t job, const char *endpoint, struct peer **out,
                                struct error *error)
{
    const int none = 0;
    size_t length = strlen(endpoint) + 1;
    struct peer *peer = calloc(1, sizeof(*peer) + length);

    if (!peer)
        return error_set(error, CAIRN_NO_MEMORY, "%s: out of memory", endpoint);
    peer->job = job;
    memcpy(peer->endpoint, endpoint, length);
    peer->socket = zmq_socket(peers->context, ZMQ_DEALER);
    if (!peer->socket || linger_shortly(peer->socket) != 0 ||
        zmq_setsockopt(peer->socket, ZMQ_SNDHWM, &none, sizeof(none)) != 0 ||
        silence_watch(peer->socket) != 0 || zmq_connect(peer->socket, endpoint) != 0) {
        error_set(error, CAIRN_IO, "%s: cannot connect: %s", endpoint, zmq_strerror(zmq_errno()));
        peer_free(peer);
        return CAIRN_IO;
    }
    peer->next = peers->first;
    peers->first = peer;
    *out = peer;
    return CAIRN_OK;
}

static enum status peer_find(struct peers *peers, uint64_t job, const char *endpoint, struct peer **out,
                             struct error *error)
{
    for (struct peer *peer = peers->first; peer; peer = peer->next) {
        if (peer->job == job && strcmp(peer->endpoint, endpoint) == 0) {
            *out = peer;
            return CAIRN_OK;
        }
    }
    return peer_connect(peers, job, endpoint, out, error);
}

static bool has_payloads(const struct shard_message *message)
{
    for (uint32_t i = 0; i < message->header.payload_count; i++) {
        if (message->header.payloads[i].length_bytes > 0)
            return true;
    }
    return false;
}

/* A message's header as bytes. NULL: out of memory. Owns: the caller. */
static struct buffer *header_pack(const struct shard_message *message)
{
    struct buffer *header = buffer_new(WIRE_HEADER_MAX);

    if (header)
        header->length_bytes = wire_data_pack(&message->header, header->data);
    return header;
}

static enum status message_fill(struct frames *frames, const struct shard_message *message,
                                struct buffer *header)
{
    enum status status = frames_append_buffer(frames, header, 0, header->length_bytes);

    for (uint32_t i = 0; i < message->header.payload_count && status == CAIRN_OK; i++) {
        if (message->header.payloads[i].length_bytes > 0)
            status =
                frames_append_buffer(frames, message->payloads[i], 0, message->payloads[i]->length_bytes);
    }
    return status;
}

static enum status peer_send(struct peers *peers, struct peer *peer, const struct shard_message *message,
                             struct error *error)
{
    struct buffer *header = header_pack(message);
    enum status status = header ? message_fill(&peers->frames, message, header) : CAIRN_NO_MEMORY;

    if (status != CAIRN_OK) {
        frames_clear(&peers->frames);
        buffer_unref(header);
        return error_set(error, status, "%s: out of memory", message->endpoint);
    }
    status = frames_send(peer->socket, &peers->frames, error);
    if (status != CAIRN_OK || !has_payloads(message)) {
        buffer_unref(header);
        return status;
    }
    buffer_unref(peer->newest);
    peer->newest = header;
    return CAIRN_OK;
}

enum status peers_send(struct peers *peers, const struct shard_message *message, struct error *error)
{
    struct peer *peer = NULL;
    enum status status = peer_find(peers, message->header.job, message->endpoint, &peer, error);

    if (status != CAIRN_OK)
        return status;
    if (peers->is_repeating && has_payloads(message) && peer->newest && !buffer_is_exclusive(peer->newest))
        return CAIRN_OK; /* it would wait behind itself */
    return peer_send(peers, peer, message, error);
}
