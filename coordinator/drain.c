/* Draining. */
#include "drain.h"

#include "chains.h"
#include "life.h"
#include "server_choice.h"

/* Tells what would make a server free. */
static enum status refuse(const struct job_entry *entry, const struct node *node, struct error *error)
{
    const char *id = entry_status(entry)->id;

    if (entry_has_ended(entry))
        return error_set(error, CAIRN_INVALID,
                         "server %s holds state of %s, which cannot be resumed without it: resume it and let "
                         "it complete, or give it up with \"cairn delete %s\"",
                         node_name(node), id, id);
    return error_set(error, CAIRN_INVALID,
                     "server %s holds state of %s, which cannot go on without it: a server is drained when "
                     "no job needs it any more, or while jobs run that others have room for",
                     node_name(node), id);
}

static enum status check_server(const struct jobs *jobs, const struct nodes *nodes, const struct node *node,
                                struct error *error)
{
    for (size_t i = 0; i < jobs->count; i++) {
        if (server_is_needed(jobs->items[i], node) && !chains_can_spare(jobs->items[i], nodes, node))
            return refuse(jobs->items[i], node, error);
    }
    return CAIRN_OK;
}

enum status drain_node(struct turn *turn, const struct jobs *jobs, const struct nodes *nodes,
                       struct node *node, struct error *error)
{
    enum status status = node_is_worker(node) ? CAIRN_OK : check_server(jobs, nodes, node, error);

    if (status != CAIRN_OK || node->draining)
        return status;
    node->draining = true;
    turn_note(turn, LOG_LEVEL_INFO, "node_draining", "kind=%s name=%s", node_kind_name(node),
              node_name(node));
    if (!node->job)
        return CAIRN_OK;
    entry_tell(turn, node->job, "worker %s is drained", node_name(node));
    life_release_worker(turn, node->job, node);
    return CAIRN_OK;
}
