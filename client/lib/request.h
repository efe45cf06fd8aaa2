/* Requests to the coordinator: one connection, one request at a time, with a deadline. Used by the command
 * line and by programs that submit jobs. One thread an object. */
#ifndef CAIRN_LIB_REQUEST_H
#define CAIRN_LIB_REQUEST_H

#include "base/status.h"
#include "job.pb-c.h"

#include <stdbool.h>

struct requester;

/* Connects in the background. Errors: CAIRN_INVALID for a bad endpoint. */
enum status requester_new(void *zmq_context, const char *endpoint, struct requester **out,
                          struct error *error) MUST_CHECK;
void requester_free(struct requester *requester);

/* Sends a request (body set; protocol and number are filled in) and drops replies to older ones. */
enum status requester_send(struct requester *requester, Cairn__ClientRequest *request,
                           struct error *error) MUST_CHECK;

/* The next reply to the newest request. An ErrorReply becomes CAIRN_INVALID with its message.
 * Owns: *reply is the caller's: cairn__client_reply__free_unpacked(reply, NULL).
 * Errors: CAIRN_TIMEOUT after timeout_ms (-1: for ever) naming the endpoint; CAIRN_AGAIN when a signal
 * interrupted the wait. */
enum status requester_receive(struct requester *requester, int timeout_ms, Cairn__ClientReply **reply,
                              struct error *error) MUST_CHECK;

/* How long a coordinator that is there may take to answer, or to send a sign of life. */
#define REQUEST_ANSWER_MS 5000

/* As requester_receive, but signals do not end the wait, and a reply of another kind is CAIRN_PROTOCOL. */
enum status requester_expect(struct requester *requester, int timeout_ms,
                             Cairn__ClientReply__BodyCase expected, Cairn__ClientReply **reply,
                             struct error *error) MUST_CHECK;

/* What requester_follow waits for. */
struct request_wait {
    Cairn__ClientReply__BodyCase expected;
    bool (*take)(void *context, const Cairn__ClientReply *reply); /* borrows; true: this was the last */
    void *context;
    int timeout_ms; /* of the whole wait; -1: for ever */
};

/* Sends the request and takes its replies one after the other until the last. When nothing is heard for a
 * while it sends the request again (take may change it meanwhile): so a client outlives a restart of the
 * coordinator. The first reply must come within REQUEST_ANSWER_MS. Owns: *last is the caller's, as in
 * requester_receive. Errors: those of requester_expect. */
enum status requester_follow(struct requester *requester, Cairn__ClientRequest *request,
                             const struct request_wait *wait, Cairn__ClientReply **last,
                             struct error *error) MUST_CHECK;

/* The socket to poll, for callers with a loop of their own. */
void *requester_socket(const struct requester *requester);

#endif
