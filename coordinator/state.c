/* Events to rules: who may say what, and what everything leads to. */
#include "state.h"

#include "growth.h"
#include "jobs.h"
#include "life.h"
#include "membership.h"
#include "recover.h"
#include "reports.h"
#include "requests.h"
#include "scheduling.h"
#include "subscriptions.h"

#include <stdlib.h>
#include <string.h>

struct state {
    struct jobs jobs;
    struct membership membership;
    struct subscriptions subscriptions;
};

struct state *state_new(uint32_t lease_ms)
{
    struct state *state = calloc(1, sizeof(*state));

    if (!state)
        return NULL;
    jobs_init(&state->jobs);
    membership_init(&state->membership, lease_ms);
    subscriptions_init(&state->subscriptions);
    return state;
}

void state_free(struct state *state)
{
    if (!state)
        return;
    jobs_fini(&state->jobs);
    membership_fini(&state->membership);
    subscriptions_fini(&state->subscriptions);
    free(state);
}

int64_t state_deadline_ms(const struct state *state)
{
    int64_t members_ms = membership_deadline_ms(&state->membership);
    int64_t clients_ms = subscriptions_deadline_ms(&state->subscriptions, &state->jobs);

    return members_ms < clients_ms ? members_ms : clients_ms;
}

/* ---- what nodes say of jobs */

static void take_log_line(struct turn *turn, struct jobs *jobs, const struct node *node,
                          const Cairn__LogLine *log_line)
{
    static const char *const levels[] = {"error", "warn", "info", "debug"};
    struct job_entry *entry = jobs_find(jobs, log_line->job);
    const char *level = "info";
    struct line text = {.length = 0};

    if (!entry)
        return;
    for (size_t i = 0; i < sizeof(levels) / sizeof(levels[0]); i++)
        level = strcmp(log_line->level, levels[i]) == 0 ? levels[i] : level;
    line_add(&text, "%s", log_line->text);
    entry_log(turn, entry, level, node_name(node), text.text);
}

/* A node that has done its part has nothing left that could fail the job. */
static void take_failed(struct turn *turn, struct job_entry *entry, const struct participant *participant,
                        const Cairn__Failed *failed)
{
    if (entry_status(entry)->state == JOB_STATE(COMMITTING) && node_is_worker(participant->node)) {
        entry_log(turn, entry, "warn", node_name(participant->node), failed->message);
        return;
    }
    life_fail(turn, entry, "%s: %s", node_name(participant->node), failed->message);
}

/* The job and incarnation that a report is about; false: the message is no report. */
static bool report_subject(const Cairn__NodeMessage *message, uint64_t *job, uint64_t *incarnation)
{
#define SUBJECT(name, member)                                                                                \
    case CAIRN__NODE_MESSAGE__BODY_##name:                                                                   \
        *job = message->member->job;                                                                         \
        *incarnation = message->member->incarnation;                                                         \
        return true;
    switch (message->body_case) {
        SUBJECT(PREPARED, prepared)
        SUBJECT(COMMITTED, committed)
        SUBJECT(PROGRESS, progress)
        SUBJECT(VALIDATED, validated)
        SUBJECT(REACHED, reached)
        SUBJECT(FAILED, failed)
        SUBJECT(COMMIT_REFUSED, commit_refused)
        SUBJECT(HELD, held)
        SUBJECT(EXTENDED, extended)
    default:
        return false;
    }
#undef SUBJECT
}

/* The clients that asked for this commit are told. */
static void take_refusal(struct turn *turn, struct subscriptions *subscriptions, struct job_entry *entry,
                         struct participant *server, const Cairn__CommitRefused *refused)
{
    struct line why = {.length = 0};

    if (refused->step <= entry_status(entry)->committed_step)
        return;
    line_add(&why, "%s: %s", node_name(server->node), refused->message);
    report_commit_refused(turn, entry, server, refused);
    subscriptions_refuse(turn, subscriptions, entry_status(entry)->number, refused->step, why.text);
}

static void take_report(struct turn *turn, struct state *state, struct job_entry *entry,
                        struct participant *participant, const Cairn__NodeMessage *message)
{
    bool is_worker = node_is_worker(participant->node);

    switch (message->body_case) {
    case CAIRN__NODE_MESSAGE__BODY_PREPARED:
        life_prepared(turn, entry, participant, message->prepared);
        break;
    case CAIRN__NODE_MESSAGE__BODY_COMMITTED:
        if (!is_worker)
            report_committed(turn, entry, participant, message->committed->step);
        break;
    case CAIRN__NODE_MESSAGE__BODY_COMMIT_REFUSED:
        if (!is_worker)
            take_refusal(turn, &state->subscriptions, entry, participant, message->commit_refused);
        break;
    case CAIRN__NODE_MESSAGE__BODY_HELD:
        if (!is_worker)
            growth_held(turn, entry, participant, message->held->step);
        break;
    case CAIRN__NODE_MESSAGE__BODY_EXTENDED:
        if (!is_worker)
            growth_extended(turn, entry, participant, message->extended->tables);
        break;
    case CAIRN__NODE_MESSAGE__BODY_PROGRESS:
        if (is_worker)
            report_progress(turn, entry, message->progress);
        break;
    case CAIRN__NODE_MESSAGE__BODY_VALIDATED:
        if (is_worker)
            report_validated(turn, entry, message->validated);
        break;
    case CAIRN__NODE_MESSAGE__BODY_REACHED:
        if (is_worker)
            report_reached(turn, entry, participant, message->reached);
        break;
    case CAIRN__NODE_MESSAGE__BODY_FAILED:
        take_failed(turn, entry, participant, message->failed);
        break;
    default:
        break;
    }
}

static void handle_report(struct turn *turn, struct state *state, const struct node *node,
                          const Cairn__NodeMessage *message)
{
    uint64_t job = 0, incarnation = 0;
    struct participant *participant;
    struct job_entry *entry;

    if (!report_subject(message, &job, &incarnation))
        return;
    entry = jobs_find(&state->jobs, job);
    if (!entry || !entry_is_active(entry) || entry_status(entry)->incarnation != incarnation)
        return;
    participant = entry_participant(entry, node);
    if (participant)
        take_report(turn, state, entry, participant, message);
}

static void handle_node(struct turn *turn, struct state *state, const struct event *event)
{
    const Cairn__NodeMessage *message = event->message;
    struct membership *membership = &state->membership;
    struct node *node = membership_hear(turn, membership, &event->peer);

    if (message->body_case == CAIRN__NODE_MESSAGE__BODY_REGISTRATION) {
        membership_register(turn, membership, &state->jobs, &event->peer, message->registration);
        return;
    }
    if (!node)
        return;
    switch (message->body_case) {
    case CAIRN__NODE_MESSAGE__BODY_HEARTBEAT:
        membership_welcome(turn, membership, node);
        break;
    case CAIRN__NODE_MESSAGE__BODY_LEAVE:
        membership_leave(turn, membership, &state->jobs, node, message->leave);
        break;
    case CAIRN__NODE_MESSAGE__BODY_LOG_LINE:
        take_log_line(turn, &state->jobs, node, message->log_line);
        break;
    default:
        handle_report(turn, state, node, message);
        break;
    }
}

/* ---- the door */

static enum status dispatch(struct turn *turn, struct state *state, const struct event *event,
                            struct error *error)
{
    struct desk desk = {&state->jobs, &state->membership.nodes, &state->subscriptions};

    switch (event->type) {
    case EVENT_RECORD:
        return recover_job(turn, &state->jobs, event->record, event->newest_entry, error);
    case EVENT_NODE:
        handle_node(turn, state, event);
        break;
    case EVENT_CLIENT:
        request_answer(turn, &desk, &event->peer, event->request);
        break;
    case EVENT_MISMATCH:
        membership_refuse(turn, &event->peer, event->reason);
        break;
    case EVENT_PEER_GONE:
        subscriptions_drop(&state->subscriptions, &event->peer);
        membership_peer_gone(turn, &state->membership, &state->jobs, &event->peer, event->reason);
        break;
    case EVENT_TICK:
        membership_tick(turn, &state->membership, &state->jobs);
        break;
    }
    return CAIRN_OK;
}

enum status state_handle(struct state *state, const struct event *event, struct moment now,
                         struct effects *effects, struct error *error)
{
    struct turn turn = {now, effects};
    enum status status = dispatch(&turn, state, event, error);

    if (status != CAIRN_OK)
        return status;
    schedule(&turn, &state->jobs, &state->membership.nodes);
    subscriptions_serve(&turn, &state->subscriptions, &state->jobs);
    jobs_save(&turn, &state->jobs);
    return effects->failed ? error_set(error, CAIRN_NO_MEMORY, "out of memory") : CAIRN_OK;
}

/* ---- invariants */

static size_t count_worker(const struct jobs *jobs, const struct node *node)
{
    size_t count = 0;

    for (size_t i = 0; i < jobs->count; i++)
        count += entry_participant(jobs->items[i], node) != NULL;
    return count;
}

static void check_node(const struct state *state, const struct node *node)
{
    const struct nodes *nodes = &state->membership.nodes;

    BUG_IF(nodes_at(nodes, &node->peer) != node);
    BUG_IF(nodes_named(nodes, node_name(node)) != node);
    BUG_IF(node->contended != (node->contender != NULL));
    if (node_is_worker(node))
        BUG_IF(count_worker(&state->jobs, node) != (node->job ? 1 : 0));
    else
        BUG_IF(node->job != NULL);
}

static void check_participants(const struct state *state, const struct job_entry *entry,
                               const struct participants *participants, bool workers)
{
    BUG_IF(!entry_is_active(entry) && participants->count > 0);
    for (size_t i = 0; i < participants->count; i++) {
        const struct node *node = participants->items[i].node;

        BUG_IF(nodes_at(&state->membership.nodes, &node->peer) != node);
        BUG_IF(node_is_worker(node) != workers);
        BUG_IF(workers && node->job != entry);
    }
}

void state_check(const struct state *state)
{
    for (size_t i = 0; i < state->membership.nodes.count; i++)
        check_node(state, state->membership.nodes.items[i]);
    for (size_t i = 0; i < state->jobs.count; i++) {
        const struct job_entry *entry = state->jobs.items[i];

        BUG_IF(entry->unsaved);
        BUG_IF(!entry_has_ended(entry) && !entry->job);
        BUG_IF(entry_is_active(entry) && entry->servers.count == 0);
        BUG_IF(entry->growth != GROWTH_NONE && entry_status(entry)->state != JOB_STATE(RUNNING));
        BUG_IF(entry->job && entry->tables_ready > entry->job->table_count);
        check_participants(state, entry, &entry->servers, false);
        check_participants(state, entry, &entry->workers, true);
    }
}
