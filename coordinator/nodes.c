/* The registered nodes. Knows nothing of jobs. */
#include "nodes.h"

#include "cluster/placement.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

void nodes_init(struct nodes *nodes)
{
    memset(nodes, 0, sizeof(*nodes));
}

static void node_free(struct node *node)
{
    message_free(node->registration);
    message_free(node->contender);
    free(node);
}

void nodes_fini(struct nodes *nodes)
{
    for (size_t i = 0; i < nodes->count; i++)
        node_free(nodes->items[i]);
    free(nodes->items);
    draining_fini(&nodes->draining);
    nodes_init(nodes);
}

struct node *nodes_at(const struct nodes *nodes, const struct peer *peer)
{
    for (size_t i = 0; i < nodes->count; i++) {
        if (peer_equal(&nodes->items[i]->peer, peer))
            return nodes->items[i];
    }
    return NULL;
}

struct node *nodes_named(const struct nodes *nodes, const char *name)
{
    for (size_t i = 0; i < nodes->count; i++) {
        if (strcmp(node_name(nodes->items[i]), name) == 0)
            return nodes->items[i];
    }
    return NULL;
}

static bool nodes_reserve(struct nodes *nodes)
{
    size_t capacity = nodes->capacity ? nodes->capacity * 2 : 16;
    struct node **items;

    if (nodes->count < nodes->capacity)
        return true;
    items = realloc(nodes->items, capacity * sizeof(*items));
    if (!items)
        return false;
    nodes->items = items;
    nodes->capacity = capacity;
    return true;
}

struct node *nodes_add(struct turn *turn, struct nodes *nodes, const struct peer *peer,
                       const Cairn__Registration *registration)
{
    struct node *node = calloc(1, sizeof(*node));

    if (!node || !nodes_reserve(nodes)) {
        turn->effects->failed = true;
        free(node);
        return NULL;
    }
    node->peer = *peer;
    node->heard_ms = turn->now.monotonic_ms;
    node->registration = turn_copy(turn, registration);
    if (!node->registration) {
        free(node);
        return NULL;
    }
    node->draining = draining_includes(turn, &nodes->draining, registration);
    nodes->items[nodes->count++] = node;
    return node;
}

void nodes_renew(struct turn *turn, struct node *node, const struct peer *peer,
                 const Cairn__Registration *registration)
{
    Cairn__Registration *copy = turn_copy(turn, registration);

    if (!copy)
        return;
    message_free(node->registration);
    node->registration = copy;
    node->peer = *peer;
    node->heard_ms = turn->now.monotonic_ms;
    node->dismissed = false;
    node->is_cut = false;
}

void nodes_remove(struct nodes *nodes, struct node *node)
{
    size_t i = 0;

    while (nodes->items[i] != node)
        i++;
    memmove(&nodes->items[i], &nodes->items[i + 1], (nodes->count - i - 1) * sizeof(nodes->items[0]));
    nodes->count--;
    node_free(node);
}

void node_contend(struct turn *turn, struct node *node, const struct peer *peer,
                  const Cairn__Registration *registration)
{
    if (!node->contended)
        node->contended_ms = turn->now.monotonic_ms;
    message_free(node->contender);
    node->contender = turn_copy(turn, registration);
    node->contender_peer = *peer;
    node->contended = node->contender != NULL;
}

void node_refuse_contender(struct turn *turn, struct node *node)
{
    Cairn__NodeCommand command = CAIRN__NODE_COMMAND__INIT;
    Cairn__Refusal refusal = CAIRN__REFUSAL__INIT;
    struct line line = {.length = 0};

    if (!node->contended)
        return;
    line_add(&line, "the name %s is in use by a %s (process %u on %s): give this node another one",
             node_name(node), node_kind_name(node), node->registration->process, node->registration->host);
    refusal.message = line.text;
    command.body_case = CAIRN__NODE_COMMAND__BODY_REFUSAL;
    command.refusal = &refusal;
    effects_command(turn->effects, &node->contender_peer, &command);
    turn_note(turn, LOG_LEVEL_WARN, "node_refused", "name=%s host=\"%s\" process=%u reason=\"name in use\"",
              node_name(node), node->contender->host, node->contender->process);
    node_forget_contender(node, &node->contender_peer);
}

void node_forget_contender(struct node *node, const struct peer *peer)
{
    if (!node->contended || !peer_equal(&node->contender_peer, peer))
        return;
    message_free(node->contender);
    node->contender = NULL;
    node->contended = false;
}

void node_command(struct turn *turn, const struct node *node, Cairn__NodeCommand *command)
{
    if (!node->is_cut)
        effects_command(turn->effects, &node->peer, command);
}

bool registration_same_process(const Cairn__Registration *a, const Cairn__Registration *b)
{
    return a->kind == b->kind && a->process == b->process && strcmp(a->host, b->host) == 0 &&
           strcmp(a->name, b->name) == 0;
}

static bool name_is_plain(const char *name)
{
    if (name[0] == '\0' || strlen(name) >= NODE_NAME_BYTES)
        return false;
    for (; *name != '\0'; name++) {
        if (!isalnum((unsigned char)*name) && !strchr("-_.:@", *name))
            return false;
    }
    return true;
}

const char *registration_fault(const Cairn__Registration *registration)
{
    if (!name_is_plain(registration->name))
        return "a node's name is 1 to 127 letters, digits and - _ . : @";
    if (registration->kind == CAIRN__NODE_KIND__NODE_KIND_WORKER)
        return registration->lanes > 0 ? NULL : "a worker needs at least one lane";
    if (registration->kind != CAIRN__NODE_KIND__NODE_KIND_SERVER)
        return "a node is a server or a worker";
    if (registration->n_endpoints == 0 || registration->n_endpoints > PLACEMENT_SHARDS_MAX)
        return "a server has 1 to 4096 shards";
    return NULL;
}

const char *node_kind_name(const struct node *node)
{
    return node_is_worker(node) ? "worker" : "server";
}
