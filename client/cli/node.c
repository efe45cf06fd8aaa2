/* What a node's status is in words and in JSON. */
#include "node.h"

#include "result.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* So many of a node's jobs are named. */
#define JOBS_NAMED_MAX 3

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

static void append(char text[NODE_WORK_BYTES], const char *format, ...) __attribute__((format(printf, 2, 3)));

static void append(char text[NODE_WORK_BYTES], const char *format, ...)
{
    size_t used = strlen(text);
    va_list args;

    va_start(args, format);
    vsnprintf(text + used, NODE_WORK_BYTES - used, format, args);
    va_end(args);
}

void node_work_text(const Cairn__NodeStatus *node, char text[NODE_WORK_BYTES])
{
    const char *nothing = node->kind == CAIRN__NODE_KIND__NODE_KIND_WORKER ? "idle" : "-";
    size_t named = node->n_jobs < JOBS_NAMED_MAX ? node->n_jobs : JOBS_NAMED_MAX;

    snprintf(text, NODE_WORK_BYTES, "%s", named > 0 ? node->jobs[0] : nothing);
    for (size_t i = 1; i < named; i++)
        append(text, ", %s", node->jobs[i]);
    if (node->n_jobs > named)
        append(text, " and %zu more", node->n_jobs - named);
    if (node->draining)
        append(text, ", draining");
}

json_t *node_json(const Cairn__NodeStatus *node)
{
    return json_pack(
        "{s:o, s:s, s:o, s:I, s:o, s:o, s:I, s:o, s:o, s:I, s:b, s:o}", "name", result_text(node->name),
        "kind", node_kind_name(node->kind), "host", result_text(node->host), "process",
        (json_int_t)node->process, "version", result_text(node->version), "endpoints",
        result_texts(node->endpoints, node->n_endpoints), "lanes", (json_int_t)node->lanes, "device",
        result_text(node->device), "job", node->job[0] ? result_text(node->job) : json_null(), "silent_ms",
        (json_int_t)node->silent_ms, "draining", node->draining, "jobs",
        result_texts(node->jobs, node->n_jobs));
}
