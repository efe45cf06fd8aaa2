/* What a node's status is in words and in JSON. */
#include "node.h"

#include "result.h"

#include <stdio.h>

const char *node_kind_name(Cairn__NodeKind kind)
{
    switch (kind) {
    case CAIRN__NODE_KIND__NODE_KIND_SERVER:
        return "server";
    case CAIRN__NODE_KIND__NODE_KIND_WORKER:
        return "worker";
    default:
        return "unknown";
    }
}

void node_work_text(const Cairn__NodeStatus *node, char *text, size_t size)
{
    const char *nothing = node->kind == CAIRN__NODE_KIND__NODE_KIND_WORKER ? "idle" : "-";

    snprintf(text, size, "%s%s", node->job[0] != '\0' ? node->job : nothing,
             node->draining ? ", draining" : "");
}

static json_t *endpoints_json(const Cairn__NodeStatus *node)
{
    json_t *list = json_array();

    for (size_t i = 0; list && i < node->n_endpoints; i++) {
        if (json_array_append_new(list, result_text(node->endpoints[i])) != 0) {
            json_decref(list);
            list = NULL;
        }
    }
    return list;
}

json_t *node_json(const Cairn__NodeStatus *node)
{
    return json_pack("{s:o, s:s, s:o, s:I, s:o, s:o, s:I, s:o, s:o, s:I, s:b}", "name",
                     result_text(node->name), "kind", node_kind_name(node->kind), "host",
                     result_text(node->host), "process", (json_int_t)node->process, "version",
                     result_text(node->version), "endpoints", endpoints_json(node), "lanes",
                     (json_int_t)node->lanes, "device", result_text(node->device), "job",
                     node->job[0] ? result_text(node->job) : json_null(), "silent_ms",
                     (json_int_t)node->silent_ms, "draining", node->draining);
}
