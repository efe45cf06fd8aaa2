/* The coordinator's state machine on outside bytes: a play of node messages, requests, lost peers and time.
 *
 * A scene is: kind (1 byte), who (1 byte), length (2 bytes, little-endian), then so many bytes of a packed
 * message. What the wire's checks let through must leave the state whole. */
#include "net/wire.h"
#include "state.h"
#include "fuzz.h"

#include <stddef.h>
#include <string.h>

#define SCENE_BYTES 4

struct play {
    struct state *state;
    struct moment now;
};

static void handle(struct play *play, const struct event *event)
{
    struct effects effects;
    struct error error;

    effects_init(&effects);
    if (state_handle(play->state, event, play->now, &effects, &error) != CAIRN_OK)
        abort();
    state_check(play->state);
    effects_fini(&effects);
}

static void node_speaks(struct play *play, struct event *event, const uint8_t *bytes, size_t length)
{
    Cairn__NodeMessage *message = NULL;
    struct error error;

    if (wire_node_message_unpack(bytes, length, &message, &error) != CAIRN_OK)
        return;
    event->type = EVENT_NODE;
    event->message = message;
    handle(play, event);
    cairn__node_message__free_unpacked(message, NULL);
}

static void client_asks(struct play *play, struct event *event, const uint8_t *bytes, size_t length)
{
    Cairn__ClientRequest *request = NULL;
    struct error error;

    if (wire_client_request_unpack(bytes, length, &request, &error) != CAIRN_OK)
        return;
    event->type = EVENT_CLIENT;
    event->request = request;
    handle(play, event);
    cairn__client_request__free_unpacked(request, NULL);
}

static void act(struct play *play, uint8_t kind, uint8_t who, const uint8_t *bytes, size_t length)
{
    struct event event = {.type = EVENT_TICK, .peer = {.length = 1, .bytes = {who}}, .reason = "gone"};

    switch (kind % 4) {
    case 0:
        node_speaks(play, &event, bytes, length);
        break;
    case 1:
        client_asks(play, &event, bytes, length);
        break;
    case 2:
        event.type = EVENT_PEER_GONE;
        handle(play, &event);
        break;
    default:
        play->now.monotonic_ms += who;
        handle(play, &event);
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct play play = {state_new(1000), {0, 0}};

    if (!play.state)
        return 0;
    while (size >= SCENE_BYTES) {
        size_t length = (size_t)data[2] | (size_t)data[3] << 8;

        length = length < size - SCENE_BYTES ? length : size - SCENE_BYTES;
        act(&play, data[0], data[1], data + SCENE_BYTES, length);
        data += SCENE_BYTES + length;
        size -= SCENE_BYTES + length;
    }
    state_free(play.state);
    return 0;
}
