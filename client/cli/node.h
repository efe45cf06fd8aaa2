/* What a node's status is in words and in JSON. Pure; any thread. */
#ifndef CAIRN_CLI_NODE_H
#define CAIRN_CLI_NODE_H

#include "job.pb-c.h"

#include <jansson.h>
#include <stddef.h>

/* "server", "worker"; "unknown" for a number outside the enum. */
const char *node_kind_name(Cairn__NodeKind kind);

/* What it is at: the ids of its jobs, of the first ones when there are many; "idle" for a worker without one,
 * "-" for a server; and whether it is to end. */
#define NODE_WORK_BYTES 512
void node_work_text(const Cairn__NodeStatus *node, char text[NODE_WORK_BYTES]);

/* All that the coordinator says of a node. NULL: out of memory. */
json_t *node_json(const Cairn__NodeStatus *node);

#endif
