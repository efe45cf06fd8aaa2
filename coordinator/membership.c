/* Registrations, leases and losses. Knows of jobs only that a lost node matters to them. */
#include "membership.h"

#include "interrupt.h"
#include "retake.h"

/* Nodes speak at least so often, however long the lease is. */
#define HEARTBEAT_MAX_MS   1000
#define HEARTBEATS_A_LEASE 5
/* For so many heartbeats after a name was contended its holder's words may be older, and be its last ones;
 * when it has said nothing after so many it is gone. */
#define LAST_WORDS_HEARTBEATS 1
#define CONTENDED_HEARTBEATS  3
/* For so many heartbeats after its connection broke a server may come back by another one, if jobs would lose
 * steps without it: what it holds is lost with the process, not with the connection. */
#define CUT_HEARTBEATS 2
/* The longest time between two ticks, and a gap between them that can only be our own pause. */
#define TICK_MS  500
#define PAUSE_MS 1000

void membership_init(struct membership *membership, uint32_t lease_ms)
{
    nodes_init(&membership->nodes);
    membership->lease_ms = lease_ms;
    membership->heartbeat_ms = lease_ms / HEARTBEATS_A_LEASE;
    if (membership->heartbeat_ms > HEARTBEAT_MAX_MS)
        membership->heartbeat_ms = HEARTBEAT_MAX_MS;
    membership->ticked = false;
    membership->ticked_ms = 0;
}

void membership_fini(struct membership *membership)
{
    nodes_fini(&membership->nodes);
}

/* The holder of a name has spoken: refuses who contends for it, unless that may have been said before. */
static void defend_name(struct turn *turn, const struct membership *membership, struct node *node)
{
    int64_t since_ms = turn->now.monotonic_ms - node->contended_ms;

    if (node->contended && since_ms >= (int64_t)LAST_WORDS_HEARTBEATS * membership->heartbeat_ms)
        node_refuse_contender(turn, node);
}

struct node *membership_hear(struct turn *turn, struct membership *membership, const struct peer *peer)
{
    struct node *node = nodes_at(&membership->nodes, peer);

    if (!node)
        return NULL;
    node->heard_ms = turn->now.monotonic_ms;
    defend_name(turn, membership, node);
    if (node->is_cut)
        membership_ask(turn, peer); /* its connection was not gone, but something for it is */
    return node;
}

void membership_welcome(struct turn *turn, const struct membership *membership, const struct node *node)
{
    Cairn__NodeCommand command = CAIRN__NODE_COMMAND__INIT;
    Cairn__Welcome body = CAIRN__WELCOME__INIT;

    body.lease_ms = membership->lease_ms;
    body.heartbeat_ms = membership->heartbeat_ms;
    command.body_case = CAIRN__NODE_COMMAND__BODY_WELCOME;
    command.welcome = &body;
    node_command(turn, node, &command);
}

void membership_refuse(struct turn *turn, const struct peer *peer, const char *reason)
{
    Cairn__NodeCommand command = CAIRN__NODE_COMMAND__INIT;
    Cairn__Refusal body = CAIRN__REFUSAL__INIT;

    body.message = (char *)reason;
    command.body_case = CAIRN__NODE_COMMAND__BODY_REFUSAL;
    command.refusal = &body;
    effects_command(turn->effects, peer, &command);
    turn_note(turn, LOG_LEVEL_WARN, "node_refused", "reason=\"%s\"", reason);
}

static void admit(struct turn *turn, struct membership *membership, struct jobs *jobs,
                  const struct peer *peer, const Cairn__Registration *registration)
{
    struct node *node;

    if (membership->nodes.count >= NODES_MAX) {
        membership_refuse(turn, peer, "the coordinator has as many nodes as it takes");
        return;
    }
    node = nodes_add(turn, &membership->nodes, peer, registration);
    if (!node)
        return;
    turn_note(turn, LOG_LEVEL_INFO, "node_registered",
              "kind=%s name=%s host=\"%s\" process=%u version=\"%s\"", node_kind_name(node), node_name(node),
              registration->host, registration->process, registration->version);
    membership_welcome(turn, membership, node);
    retake_registered(turn, jobs, node, true);
}

/* Removes a node; its jobs lose it; whoever waited for its name gets it. why completes "worker w1 ...". */
static void lose(struct turn *turn, struct membership *membership, struct jobs *jobs, struct node *node,
                 const char *why)
{
    Cairn__Registration *heir = node->contender;
    struct peer heir_peer = node->contender_peer;

    node->contender = NULL;
    turn_note(turn, LOG_LEVEL_WARN, "node_lost", "kind=%s name=%s reason=\"%s\"", node_kind_name(node),
              node_name(node), why);
    for (size_t i = 0; i < jobs->count; i++) {
        if (entry_participant(jobs->items[i], node))
            interrupt_lost(turn, jobs->items[i], node, why);
    }
    nodes_remove(&membership->nodes, node);
    if (heir)
        admit(turn, membership, jobs, &heir_peer, heir);
    message_free(heir);
}

/* A peer that registers under one name contends for no other. */
static void end_contention(struct membership *membership, const struct peer *peer, const struct node *except)
{
    for (size_t i = 0; i < membership->nodes.count; i++) {
        if (membership->nodes.items[i] != except)
            node_forget_contender(membership->nodes.items[i], peer);
    }
}

/* The same process, by the connection that it had or by a new one: it is the node that it was. */
static void renew(struct turn *turn, struct membership *membership, struct jobs *jobs, struct node *node,
                  const struct peer *peer, const Cairn__Registration *registration)
{
    bool by_new_connection = node->is_cut || !peer_equal(&node->peer, peer);

    nodes_renew(turn, node, peer, registration);
    if (turn->effects->failed)
        return;
    membership_welcome(turn, membership, node);
    retake_registered(turn, jobs, node, by_new_connection);
}

void membership_register(struct turn *turn, struct membership *membership, struct jobs *jobs,
                         const struct peer *peer, const Cairn__Registration *registration)
{
    const char *fault = registration_fault(registration);
    struct node *node = nodes_at(&membership->nodes, peer);

    if (node && !registration_same_process(node->registration, registration))
        lose(turn, membership, jobs, node, "registered as another node");
    if (fault) {
        membership_refuse(turn, peer, fault);
        return;
    }
    node = nodes_named(&membership->nodes, registration->name);
    end_contention(membership, peer, node);
    if (!node) {
        admit(turn, membership, jobs, peer, registration);
    } else if (registration_same_process(node->registration, registration)) {
        defend_name(turn, membership, node);
        renew(turn, membership, jobs, node, peer, registration);
    } else if (node->is_cut) {
        node_contend(turn, node, peer, registration);
        lose(turn, membership, jobs, node, "was lost (another process has its name)");
    } else {
        node_contend(turn, node, peer, registration);
        membership_welcome(turn, membership,
                           node); /* when this cannot be delivered, the name is free at once */
    }
}

void membership_leave(struct turn *turn, struct membership *membership, struct jobs *jobs, struct node *node,
                      const Cairn__Leave *leave)
{
    struct line why = {.length = 0};

    draining_remove(turn, &membership->nodes.draining, node_name(node));
    line_add(&why, "left%s%s%s", leave->reason[0] ? " (" : "", leave->reason, leave->reason[0] ? ")" : "");
    lose(turn, membership, jobs, node, why.text);
}

static bool costs_steps(const struct jobs *jobs, const struct node *node)
{
    for (size_t i = 0; i < jobs->count; i++) {
        if (entry_is_live(jobs->items[i]) && interrupt_costs_steps(jobs->items[i], node))
            return true;
    }
    return false;
}

static void cut(struct turn *turn, struct node *node, const char *why)
{
    if (node->is_cut)
        return;
    node->is_cut = true;
    node->cut_ms = turn->now.monotonic_ms;
    turn_note(turn, LOG_LEVEL_WARN, "node_cut", "kind=%s name=%s reason=\"%s\"", node_kind_name(node),
              node_name(node), why);
}

void membership_peer_gone(struct turn *turn, struct membership *membership, struct jobs *jobs,
                          const struct peer *peer, const char *reason)
{
    struct node *node = nodes_at(&membership->nodes, peer);
    struct line why = {.length = 0};

    end_contention(membership, peer, NULL);
    if (!node)
        return;
    if (!node->contender && costs_steps(jobs, node)) {
        cut(turn, node, reason);
        return;
    }
    line_add(&why, "was lost (%s)", reason);
    lose(turn, membership, jobs, node, why.text);
}

void membership_probe(struct turn *turn, const struct membership *membership)
{
    for (size_t i = 0; i < membership->nodes.count; i++)
        membership_welcome(turn, membership, membership->nodes.items[i]);
}

void membership_ask(struct turn *turn, const struct peer *peer)
{
    Cairn__NodeCommand command = CAIRN__NODE_COMMAND__INIT;
    Cairn__RegisterCommand body = CAIRN__REGISTER_COMMAND__INIT;

    command.body_case = CAIRN__NODE_COMMAND__BODY_REGISTER_AGAIN;
    command.register_again = &body;
    effects_command(turn->effects, peer, &command);
}

/* ---- time */

static int64_t earlier(int64_t a_ms, int64_t b_ms)
{
    return a_ms < b_ms ? a_ms : b_ms;
}

/* After a pause of our own the nodes' messages are still on their way to us. */
static void forgive_pause(const struct turn *turn, struct membership *membership, struct jobs *jobs)
{
    int64_t now_ms = turn->now.monotonic_ms;
    int64_t gap_ms = membership->ticked ? now_ms - membership->ticked_ms : 0;

    for (size_t i = 0; gap_ms > PAUSE_MS && i < membership->nodes.count; i++) {
        struct node *node = membership->nodes.items[i];

        node->heard_ms = earlier(node->heard_ms + gap_ms, now_ms);
        node->contended_ms = earlier(node->contended_ms + gap_ms, now_ms);
        node->cut_ms = earlier(node->cut_ms + gap_ms, now_ms);
    }
    if (gap_ms > PAUSE_MS)
        retake_forgive(turn, jobs, gap_ms);
    membership->ticked = true;
    membership->ticked_ms = now_ms;
}

/* When a node that stays silent is given up. */
static int64_t node_deadline_ms(const struct membership *membership, const struct node *node)
{
    int64_t lease_end_ms = node->heard_ms + membership->lease_ms;

    if (node->is_cut)
        return earlier(lease_end_ms, node->cut_ms + (int64_t)CUT_HEARTBEATS * membership->heartbeat_ms);
    if (!node->contended)
        return lease_end_ms;
    return earlier(lease_end_ms,
                   node->contended_ms + (int64_t)CONTENDED_HEARTBEATS * membership->heartbeat_ms);
}

void membership_tick(struct turn *turn, struct membership *membership, struct jobs *jobs)
{
    forgive_pause(turn, membership, jobs);
    for (size_t i = 0; i < membership->nodes.count;) {
        struct node *node = membership->nodes.items[i];
        struct line why = {.length = 0};

        if (turn->now.monotonic_ms < node_deadline_ms(membership, node)) {
            i++;
            continue;
        }
        line_add(&why, "was lost (%s for %.3g s)", node->is_cut ? "its connection is gone" : "silent",
                 (double)(turn->now.monotonic_ms - (node->is_cut ? node->cut_ms : node->heard_ms)) / 1000);
        lose(turn, membership, jobs, node, why.text); /* an heir is added at the list's end */
    }
    retake_tick(turn, jobs);
}

int64_t membership_deadline_ms(const struct membership *membership, const struct jobs *jobs)
{
    bool is_patient = membership->nodes.count > 0 || retake_is_under_way(jobs);
    int64_t deadline_ms = INT64_MAX;

    for (size_t i = 0; i < membership->nodes.count; i++)
        deadline_ms = earlier(deadline_ms, node_deadline_ms(membership, membership->nodes.items[i]));
    return is_patient ? earlier(deadline_ms, membership->ticked_ms + TICK_MS) : deadline_ms;
}
