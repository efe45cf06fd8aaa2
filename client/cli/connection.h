/* A command's connection to the coordinator: context, requester and the wait for one answer. Main thread. */
#ifndef CAIRN_CLI_CONNECTION_H
#define CAIRN_CLI_CONNECTION_H

#include "base/status.h"
#include "job.pb-c.h"
#include "request.h"

#include <stdbool.h>

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

#endif
