/* A command's connection to the coordinator. */
#include "connection.h"

#include "command.h"

#include <zmq.h>

enum status connection_open(struct connection *connection, const char *endpoint, struct error *error)
{
    connection->requester = NULL;
    connection->zmq_context = zmq_ctx_new();
    if (!connection->zmq_context)
        return error_set(error, CAIRN_NO_MEMORY, "cannot make a ZeroMQ context: %s",
                         zmq_strerror(zmq_errno()));
    return requester_new(connection->zmq_context, endpoint, &connection->requester, error);
}

void connection_close(struct connection *connection)
{
    requester_free(connection->requester);
    connection->requester = NULL;
    if (connection->zmq_context)
        zmq_ctx_term(connection->zmq_context);
    connection->zmq_context = NULL;
}

int connection_run(const char *program, const char *endpoint, int (*run)(struct connection *, const void *),
                   const void *settings)
{
    struct connection connection;
    struct error error;
    int code;

    if (connection_open(&connection, endpoint, &error) == CAIRN_OK)
        code = run(&connection, settings);
    else
        code = command_fail(program, error.status == CAIRN_INVALID ? EXIT_USAGE : EXIT_FAILED, &error);
    connection_close(&connection);
    return code;
}

enum status connection_ask(struct connection *connection, Cairn__ClientRequest *request,
                           Cairn__ClientReply__BodyCase expected, Cairn__ClientReply **reply,
                           struct error *error)
{
    enum status status = requester_send(connection->requester, request, error);

    if (status != CAIRN_OK)
        return status;
    return requester_expect(connection->requester, REQUEST_ANSWER_MS, expected, reply, error);
}
