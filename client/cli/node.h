/* What a node's status is in words and in JSON. Pure; any thread. */
#ifndef CAIRN_CLI_NODE_H
#define CAIRN_CLI_NODE_H

#include "job.pb-c.h"

#include <jansson.h>
#include <stddef.h>

/* "server", "worker"; "unknown" for a number outside the enum. */
const char *node_kind_name(Cairn__NodeKind kind);

/* What it is at: its job's id, "idle" for a worker without one, "-" for a server, and whether it is to end.
 */
void node_work_text(const Cairn__NodeStatus *node, char *text, size_t size);

/* All that the coordinator says of a node. NULL: out of memory. */
json_t *node_json(const Cairn__NodeStatus *node);

#endif
