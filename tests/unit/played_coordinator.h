/* A coordinator that the test plays towards one node: hears its messages, says commands. Test code only. */
#ifndef CAIRN_TESTS_PLAYED_COORDINATOR_H
#define CAIRN_TESTS_PLAYED_COORDINATOR_H

#include "net/frames.h"
#include "net/wire.h"
#include "sockets.h"

#include <check.h>
#include <string.h>

/* A node may read a data set before it answers. */
#define PLAYED_PATIENCE_MS (4 * PATIENCE_MS)

struct played {
    void *router;
    struct frames in;            /* the node's newest message; part 0 is its identity */
    Cairn__NodeMessage *message; /* the same, NULL before the first */
};

/* Takes a bound ROUTER. */
static inline void played_init(struct played *played, void *router)
{
    const int none = 0;

    ck_assert_ptr_nonnull(router);
    ck_assert_int_eq(zmq_setsockopt(router, ZMQ_LINGER, &none, sizeof(none)), 0);
    *played = (struct played){.router = router};
    frames_init(&played->in);
}

static inline void played_forget(struct played *played)
{
    frames_clear(&played->in);
    cairn__node_message__free_unpacked(played->message, NULL);
    played->message = NULL;
}

static inline void played_fini(struct played *played)
{
    played_forget(played);
    zmq_close(played->router);
}

/* Unpacks what was received into `in`. */
static inline void played_unpack(struct played *played)
{
    struct error error = {.message = ""};

    ck_assert_uint_eq(played->in.count, 2);
    ck_assert_msg(wire_node_message_unpack(frames_data(&played->in, 1), frames_length(&played->in, 1),
                                           &played->message, &error) == CAIRN_OK,
                  "%s", error.message);
}

/* Waits for the next message that is no heartbeat. */
static inline Cairn__NodeMessage__BodyCase played_hear(struct played *played)
{
    do {
        played_forget(played);
        ck_assert_msg(has_input(played->router, PLAYED_PATIENCE_MS), "the coordinator heard nothing");
        ck_assert_int_eq(frames_receive(played->router, &played->in, NULL), CAIRN_OK);
        played_unpack(played);
    } while (played->message->body_case == CAIRN__NODE_MESSAGE__BODY_HEARTBEAT);
    return played->message->body_case;
}

/* Bytes to the node that was heard last. */
static inline void played_say_bytes(struct played *played, const void *bytes, size_t length)
{
    struct frames out;

    frames_init(&out);
    ck_assert_int_eq(frames_append_copy(&out, frames_data(&played->in, 0), frames_length(&played->in, 0)),
                     CAIRN_OK);
    ck_assert_int_eq(frames_append_copy(&out, bytes, length), CAIRN_OK);
    ck_assert_int_eq(frames_send(played->router, &out, NULL), CAIRN_OK);
}

static inline void played_say(struct played *played, Cairn__NodeCommand *command)
{
    static unsigned char bytes[1 << 16];

    command->protocol = PROTOCOL_VERSION;
    ck_assert_uint_le(cairn__node_command__get_packed_size(command), sizeof(bytes));
    played_say_bytes(played, bytes, cairn__node_command__pack(command, bytes));
}

static inline void played_welcome(struct played *played, uint32_t lease_ms, uint32_t heartbeat_ms)
{
    Cairn__NodeCommand command = CAIRN__NODE_COMMAND__INIT;
    Cairn__Welcome body = CAIRN__WELCOME__INIT;

    body.lease_ms = lease_ms;
    body.heartbeat_ms = heartbeat_ms;
    command.body_case = CAIRN__NODE_COMMAND__BODY_WELCOME;
    command.welcome = &body;
    played_say(played, &command);
}

static inline void played_refuse(struct played *played, const char *reason)
{
    Cairn__NodeCommand command = CAIRN__NODE_COMMAND__INIT;
    Cairn__Refusal body = CAIRN__REFUSAL__INIT;

    body.message = (char *)reason;
    command.body_case = CAIRN__NODE_COMMAND__BODY_REFUSAL;
    command.refusal = &body;
    played_say(played, &command);
}

static inline void played_release(struct played *played, uint64_t job, uint64_t incarnation)
{
    Cairn__NodeCommand command = CAIRN__NODE_COMMAND__INIT;
    Cairn__ReleaseCommand body = CAIRN__RELEASE_COMMAND__INIT;

    body.job = job;
    body.incarnation = incarnation;
    command.body_case = CAIRN__NODE_COMMAND__BODY_RELEASE;
    command.release = &body;
    played_say(played, &command);
}

#endif
