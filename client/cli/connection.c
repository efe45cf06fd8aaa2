/* A command's connection to the coordinator. */
#include "connection.h"

#include "command.h"
#include "result.h"

#include <zmq.h>

/* So often in a row may a coordinator that once answered leave us without news. It sends some every 2 s. */
#define SILENCES_MAX 6

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

enum status connection_receive(struct connection *connection, int timeout_ms,
                               Cairn__ClientReply__BodyCase expected, Cairn__ClientReply **reply,
                               struct error *error)
{
    enum status status;

    do
        status = requester_receive(connection->requester, timeout_ms, reply, error);
    while (status == CAIRN_AGAIN); /* a signal without a handler of ours, such as a resized window */
    if (status == CAIRN_OK && (*reply)->body_case != expected) {
        cairn__client_reply__free_unpacked(*reply, NULL);
        *reply = NULL;
        return error_set(error, CAIRN_PROTOCOL, "the coordinator gave an answer of another kind");
    }
    return status;
}

enum status connection_ask(struct connection *connection, Cairn__ClientRequest *request,
                           Cairn__ClientReply__BodyCase expected, Cairn__ClientReply **reply,
                           struct error *error)
{
    enum status status = requester_send(connection->requester, request, error);

    if (status != CAIRN_OK)
        return status;
    return connection_receive(connection, CONNECTION_ANSWER_MS, expected, reply, error);
}

enum status connection_follow(struct connection *connection, Cairn__ClientRequest *request,
                              Cairn__ClientReply__BodyCase expected,
                              bool (*take)(void *context, const Cairn__ClientReply *reply), void *context,
                              Cairn__ClientReply **last, struct error *error)
{
    enum status status = requester_send(connection->requester, request, error);
    int silences_allowed = 0;

    while (status == CAIRN_OK) {
        status = connection_receive(connection, CONNECTION_ANSWER_MS, expected, last, error);
        if (status == CAIRN_TIMEOUT && silences_allowed > 0) {
            silences_allowed--;
            status = requester_send(connection->requester, request, error);
        } else if (status == CAIRN_OK) {
            if (take(context, *last))
                return CAIRN_OK;
            cairn__client_reply__free_unpacked(*last, NULL);
            silences_allowed = SILENCES_MAX;
        }
    }
    *last = NULL;
    return status;
}

static bool has_ended(void *context, const Cairn__ClientReply *reply)
{
    (void)context;
    return job_state_has_ended(reply->job->state);
}

enum status connection_watch_to_end(struct connection *connection, const char *job,
                                    Cairn__ClientReply **reply, struct error *error)
{
    Cairn__ClientRequest request = CAIRN__CLIENT_REQUEST__INIT;
    Cairn__WatchRequest watch = CAIRN__WATCH_REQUEST__INIT;

    watch.job = (char *)job;
    request.body_case = CAIRN__CLIENT_REQUEST__BODY_WATCH;
    request.watch = &watch;
    return connection_follow(connection, &request, CAIRN__CLIENT_REPLY__BODY_JOB, has_ended, NULL, reply,
                             error);
}
