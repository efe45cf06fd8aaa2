/* A command's connection to the coordinator: context, requester and the wait for one answer. Main thread. */
#ifndef CAIRN_CLI_CONNECTION_H
#define CAIRN_CLI_CONNECTION_H

#include "base/status.h"
#include "job.pb-c.h"
#include "request.h"

#include <stdbool.h>

/* How long a coordinator that is there may take to answer. */
#define CONNECTION_ANSWER_MS 5000

struct connection {
    void *zmq_context;
    struct requester *requester;
};

/* Connects in the background. connection_close is right also after a failure.
 * Errors: CAIRN_INVALID for an endpoint that ZeroMQ does not take: a usage error. */
enum status connection_open(struct connection *connection, const char *endpoint,
                            struct error *error) MUST_CHECK;
void connection_close(struct connection *connection);

/* Opens a connection, has run(connection, settings) do the command's work, and closes. Returns run's exit
 * code, or EXIT_USAGE after saying what is wrong with the endpoint. */
int connection_run(const char *program, const char *endpoint, int (*run)(struct connection *, const void *),
                   const void *settings);

/* Sends the request and waits for its first answer, whose body must be of the given case.
 * Owns: *reply is the caller's, freed with cairn__client_reply__free_unpacked(reply, NULL). */
enum status connection_ask(struct connection *connection, Cairn__ClientRequest *request,
                           Cairn__ClientReply__BodyCase expected, Cairn__ClientReply **reply,
                           struct error *error) MUST_CHECK;

/* The next answer to the newest request, at most timeout_ms away (-1: for ever). */
enum status connection_receive(struct connection *connection, int timeout_ms,
                               Cairn__ClientReply__BodyCase expected, Cairn__ClientReply **reply,
                               struct error *error) MUST_CHECK;

/* Sends the request and takes its answers one after the other until take(context, answer) says that this was
 * the last. When nothing is heard for a while it sends the request again (take may change it meanwhile): so a
 * client outlives a restart of the coordinator. The first answer must come at once. Owns: *last is the
 * caller's, as in connection_ask; take borrows. */
enum status connection_follow(struct connection *connection, Cairn__ClientRequest *request,
                              Cairn__ClientReply__BodyCase expected,
                              bool (*take)(void *context, const Cairn__ClientReply *reply), void *context,
                              Cairn__ClientReply **last, struct error *error) MUST_CHECK;

/* Watches a job until it has ended: reply's job is the last status. Owns: as connection_ask. */
enum status connection_watch_to_end(struct connection *connection, const char *job,
                                    Cairn__ClientReply **reply, struct error *error) MUST_CHECK;

#endif
