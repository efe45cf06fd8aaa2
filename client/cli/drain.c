/* cairn drain: takes all work from a node, then lets it end. */
#include "command.h"
#include "commands.h"
#include "connection.h"
#include "node.h"

#include <stdio.h>

struct drain_settings {
    const char *node, *coordinator;
    int64_t json;
};

static const struct setting rows[] = {
    {.name = "NODE",
     .type = SETTING_ARGUMENT,
     .required = 1,
     .help = "a node's name, as cairn nodes lists it",
     .offset = offsetof(struct drain_settings, node)},
    SETTING_ROW_COORDINATOR(struct drain_settings),
    SETTING_ROW_JSON(struct drain_settings),
};

static const struct settings_table table = {
    "cairn drain",
    "Takes all work from a node, which others go on with, and then lets it end. Does not wait for that: "
    "\"cairn nodes\" lists the node as long as it is there. A server stays until what others have of it is "
    "committed (train.commit_every, or a program's commit): \"cairn status\" of the job tells. The model is "
    "the same.",
    rows, sizeof(rows) / sizeof(rows[0])};

static void print_node(const Cairn__NodeStatus *node)
{
    if (node->job[0] != '\0')
        printf("%s is draining: %s goes on without it, then it ends\n", node->name, node->job);
    else if (node->kind == CAIRN__NODE_KIND__NODE_KIND_SERVER)
        printf("%s is draining: what it has of jobs goes to others, and it ends when these have committed a "
               "step\n",
               node->name);
    else
        printf("%s is draining: it ends\n", node->name);
}

static enum status drain(struct connection *connection, const char *node, Cairn__ClientReply **reply,
                         struct error *error)
{
    Cairn__ClientRequest request = CAIRN__CLIENT_REQUEST__INIT;
    Cairn__DrainRequest body = CAIRN__DRAIN_REQUEST__INIT;

    body.node = (char *)node;
    request.body_case = CAIRN__CLIENT_REQUEST__BODY_DRAIN;
    request.drain = &body;
    return connection_ask(connection, &request, CAIRN__CLIENT_REPLY__BODY_NODES, reply, error);
}

static int drain_and_print(struct connection *connection, const void *context)
{
    const struct drain_settings *settings = context;
    Cairn__ClientReply *reply;
    struct error error;
    int code = EXIT_DONE;

    if (drain(connection, settings->node, &reply, &error) != CAIRN_OK)
        return command_fail(table.program, EXIT_FAILED, &error);
    for (size_t i = 0; i < reply->nodes->n_nodes && code == EXIT_DONE; i++) {
        if (!settings->json)
            print_node(reply->nodes->nodes[i]);
        else if (!command_print_json(node_json(reply->nodes->nodes[i])))
            code = EXIT_FAILED;
    }
    cairn__client_reply__free_unpacked(reply, NULL);
    return code;
}

int command_drain(int argc, char **argv)
{
    struct drain_settings settings;
    int code;

    if (!command_resolve(&table, argc, argv, &settings, &code))
        return code;
    return connection_run(table.program, settings.coordinator, drain_and_print, &settings);
}
