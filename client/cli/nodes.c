/* cairn nodes: lists the cluster's servers and workers. */
#include "command.h"
#include "commands.h"
#include "connection.h"
#include "node.h"
#include "table.h"

#include <inttypes.h>
#include <stdio.h>

struct nodes_settings {
    const char *coordinator;
    int64_t json;
};

static const struct setting rows[] = {
    SETTING_ROW_COORDINATOR(struct nodes_settings),
    SETTING_ROW_JSON(struct nodes_settings),
};

static const struct settings_table table = {"cairn nodes",
                                            "Lists the servers and workers that the coordinator knows.", rows,
                                            sizeof(rows) / sizeof(rows[0])};

static void add_row(struct table *list, const Cairn__NodeStatus *node)
{
    char work[NODE_WORK_BYTES];

    table_add(list, "%s", node->name);
    table_add(list, "%s", node_kind_name(node->kind));
    table_add(list, "%s", node->host);
    table_add(list, "%" PRIu32, node->process);
    table_add(list, "%s", node->version);
    if (node->kind == CAIRN__NODE_KIND__NODE_KIND_WORKER)
        table_add(list, "%s, %" PRIu32 " lane%s", node->device, node->lanes, node->lanes == 1 ? "" : "s");
    else
        table_add(list, "%zu shard%s from %s", node->n_endpoints, node->n_endpoints == 1 ? "" : "s",
                  node->n_endpoints ? node->endpoints[0] : "-");
    table_add(list, "%.1f s", node->silent_ms / 1000.0);
    node_work_text(node, work);
    table_add(list, "%s", work);
}

static bool print_table(const Cairn__NodesReply *reply)
{
    static const char *const headings[] = {"NAME",    "KIND",   "HOST",   "PROCESS",
                                           "VERSION", "OFFERS", "SILENT", "JOB"};
    struct table list;
    bool printed;

    if (reply->n_nodes == 0)
        return printf("no nodes\n") > 0;
    table_init(&list, sizeof(headings) / sizeof(headings[0]), headings);
    for (size_t i = 0; i < reply->n_nodes; i++)
        add_row(&list, reply->nodes[i]);
    printed = table_print(&list, stdout);
    table_fini(&list);
    return printed;
}

static bool print_json(const Cairn__NodesReply *reply)
{
    json_t *list = json_array();

    for (size_t i = 0; i < reply->n_nodes; i++) {
        if (json_array_append_new(list, node_json(reply->nodes[i])) != 0) {
            json_decref(list);
            list = NULL;
            break;
        }
    }
    return command_print_json(json_pack("{s:o}", "nodes", list));
}

static int ask_and_print(struct connection *connection, const void *context)
{
    const struct nodes_settings *settings = context;
    Cairn__ClientRequest request = CAIRN__CLIENT_REQUEST__INIT;
    Cairn__NodesRequest body = CAIRN__NODES_REQUEST__INIT;
    Cairn__ClientReply *reply;
    struct error error;
    bool printed;

    request.body_case = CAIRN__CLIENT_REQUEST__BODY_NODES;
    request.nodes = &body;
    if (connection_ask(connection, &request, CAIRN__CLIENT_REPLY__BODY_NODES, &reply, &error) != CAIRN_OK)
        return command_fail(table.program, EXIT_FAILED, &error);
    printed = settings->json ? print_json(reply->nodes) : print_table(reply->nodes);
    cairn__client_reply__free_unpacked(reply, NULL);
    return printed ? EXIT_DONE : EXIT_FAILED;
}

int command_nodes(int argc, char **argv)
{
    struct nodes_settings settings;
    int code;

    if (!command_resolve(&table, argc, argv, &settings, &code))
        return code;
    return connection_run(table.program, settings.coordinator, ask_and_print, &settings);
}
