/* Sockets to other shards, a list: there are as many as a job has shards. */
#include "peers.h"

#include "net/frames.h"
#include "net/silence.h"

#include <stdlib.h>
#include <string.h>
#include <zmq.h>

struct peer {
    struct peer *next;
    uint64_t job;
    void *socket;
    char endpoint[];
};

struct peers {
    void *context;
    struct peer *first;
    struct frames frames;
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
    if (!peer->socket || zmq_setsockopt(peer->socket, ZMQ_LINGER, &none, sizeof(none)) != 0 ||
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

static enum status message_fill(struct frames *frames, const struct shard_message *message)
{
    unsigned char header[WIRE_HEADER_MAX];
    enum status status = frames_append_copy(frames, header, wire_data_pack(&message->header, header));

    for (uint32_t i = 0; i < message->header.payload_count && status == CAIRN_OK; i++) {
        if (message->header.payloads[i].length_bytes > 0)
            status =
                frames_append_buffer(frames, message->payloads[i], 0, message->payloads[i]->length_bytes);
    }
    return status;
}

enum status peers_send(struct peers *peers, const struct shard_message *message, struct error *error)
{
    struct peer *peer = NULL;
    enum status status = peer_find(peers, message->header.job, message->endpoint, &peer, error);

    if (status != CAIRN_OK)
        return status;
    status = message_fill(&peers->frames, message);
    if (status != CAIRN_OK) {
        frames_clear(&peers->frames);
        return error_set(error, status, "%s: out of memory", message->endpoint);
    }
    return frames_send(peer->socket, &peers->frames, error);
}
