/* Events to rules: who may say what, and what everything leads to. */
#include "state.h"

#include "chains.h"
#include "commits.h"
#include "drain.h"
#include "epochs.h"
#include "faults.h"
#include "growth.h"
#include "interrupt.h"
#include "jobs.h"
#include "life.h"
#include "membership.h"
#include "recover.h"
#include "reports.h"
#include "requests.h"
#include "scheduling.h"
#include "server_choice.h"
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
    int64_t members_ms = membership_deadline_ms(&state->membership, &state->jobs);
    int64_t clients_ms =
        subscriptions_deadline_ms(&state->subscriptions, &state->jobs, &state->membership.nodes);
    int64_t jobs_ms = schedule_deadline_ms(&state->jobs, &state->membership.nodes);
    int64_t least_ms = members_ms < clients_ms ? members_ms : clients_ms;

    return least_ms < jobs_ms ? least_ms : jobs_ms;
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

/* A server's failure is the job's; a worker's need not be. */
static void take_failed(struct turn *turn, struct job_entry *entry, const struct participant *participant,
                        const Cairn__Failed *failed)
{
    if (node_is_worker(participant->node))
        interrupt_failed(turn, entry, participant->node, failed->message);
    else
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
        SUBJECT(NOT_FINITE, not_finite)
        SUBJECT(DIVERGENCE, divergence)
        SUBJECT(MAPPED, mapped)
        SUBJECT(COPIED, copied)
        SUBJECT(PASSED_OVER, passed_over)
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
    commits_refused(turn, entry, server, refused);
    subscriptions_refuse(turn, subscriptions, entry_status(entry)->number, refused->step, why.text);
}

static void take_servers_report(struct turn *turn, struct state *state, struct job_entry *entry,
                                struct participant *server, const Cairn__NodeMessage *message)
{
    switch (message->body_case) {
    case CAIRN__NODE_MESSAGE__BODY_COMMITTED:
        commits_made(turn, entry, server, message->committed->step);
        break;
    case CAIRN__NODE_MESSAGE__BODY_COMMIT_REFUSED:
        take_refusal(turn, &state->subscriptions, entry, server, message->commit_refused);
        break;
    case CAIRN__NODE_MESSAGE__BODY_HELD:
        growth_held(turn, entry, server, message->held->step);
        break;
    case CAIRN__NODE_MESSAGE__BODY_EXTENDED:
        growth_extended(turn, entry, server, message->extended->tables);
        break;
    case CAIRN__NODE_MESSAGE__BODY_DIVERGENCE:
        fault_divergence(turn, entry, message->divergence);
        break;
    case CAIRN__NODE_MESSAGE__BODY_MAPPED:
        chains_mapped(server, message->mapped->number);
        break;
    case CAIRN__NODE_MESSAGE__BODY_COPIED:
        chains_copied(turn, entry, server, message->copied);
        break;
    case CAIRN__NODE_MESSAGE__BODY_PASSED_OVER:
        commits_passed(turn, entry, message->passed_over->after, message->passed_over->step);
        break;
    default:
        break;
    }
}

static void take_workers_report(struct turn *turn, struct job_entry *entry, struct participant *worker,
                                const Cairn__NodeMessage *message)
{
    switch (message->body_case) {
    case CAIRN__NODE_MESSAGE__BODY_PROGRESS:
        report_progress(turn, entry, worker, message->progress);
        break;
    case CAIRN__NODE_MESSAGE__BODY_VALIDATED:
        report_validated(turn, entry, message->validated);
        break;
    case CAIRN__NODE_MESSAGE__BODY_REACHED:
        report_reached(turn, entry, worker, message->reached);
        break;
    case CAIRN__NODE_MESSAGE__BODY_NOT_FINITE:
        fault_not_finite(turn, entry, worker, message->not_finite);
        break;
    default:
        break;
    }
}

static void take_report(struct turn *turn, struct state *state, struct job_entry *entry,
                        struct participant *participant, const Cairn__NodeMessage *message)
{
    if (message->body_case == CAIRN__NODE_MESSAGE__BODY_PREPARED)
        epochs_prepared(turn, entry, participant, message->prepared);
    else if (message->body_case == CAIRN__NODE_MESSAGE__BODY_FAILED)
        take_failed(turn, entry, participant, message->failed);
    else if (node_is_worker(participant->node))
        take_workers_report(turn, entry, participant, message);
    else
        take_servers_report(turn, state, entry, participant, message);
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
    if (!entry || !entry_is_live(entry) || entry_status(entry)->incarnation != incarnation)
        return;
    participant = entry_participant(entry, node);
    if (participant)
        take_report(turn, state, entry, participant, message);
}

/* A node has been told to end. A server whose state is needed goes without an answer: it ends by itself. */
static void take_drain(struct turn *turn, struct state *state, struct node *node)
{
    struct error error;

    if (drain_node(turn, &state->jobs, &state->membership.nodes, node, &error) != CAIRN_OK)
        turn_note(turn, LOG_LEVEL_WARN, "node_not_drained", "name=%s reason=\"%s\"", node_name(node),
                  error.message);
}

/* Who speaks without being a node here is to register; but a farewell needs no answer. */
static void meet_stranger(struct turn *turn, const struct event *event)
{
    if (event->message->body_case != CAIRN__NODE_MESSAGE__BODY_LEAVE)
        membership_ask(turn, &event->peer);
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
    if (!node) {
        meet_stranger(turn, event);
        return;
    }
    switch (message->body_case) {
    case CAIRN__NODE_MESSAGE__BODY_HEARTBEAT:
        membership_welcome(turn, membership, node);
        break;
    case CAIRN__NODE_MESSAGE__BODY_LEAVE:
        membership_leave(turn, membership, &state->jobs, node, message->leave);
        break;
    case CAIRN__NODE_MESSAGE__BODY_DRAIN:
        take_drain(turn, state, node);
        break;
    case CAIRN__NODE_MESSAGE__BODY_LOG_LINE:
        take_log_line(turn, &state->jobs, node, message->log_line);
        break;
    case CAIRN__NODE_MESSAGE__BODY_REMOVED:
        deleted_removed(turn, &state->jobs.deleted, node, message->removed->job);
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
        return recover_job(turn, &state->jobs, event, state->membership.lease_ms, error);
    case EVENT_DRAINING:
        draining_load(turn, &state->membership.nodes.draining, event->draining);
        break;
    case EVENT_DELETED:
        deleted_load(turn, &state->jobs.deleted, event->deleted);
        break;
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
    case EVENT_PROBE:
        membership_probe(turn, &state->membership);
        break;
    case EVENT_TICK:
        membership_tick(turn, &state->membership, &state->jobs);
        server_wait_tick(turn, &state->jobs, &state->membership.nodes);
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
    if (event->type != EVENT_RECORD) /* others may follow, whose nodes are not to be given away */
        schedule(&turn, &state->jobs, &state->membership.nodes);
    subscriptions_serve(&turn, &state->subscriptions, &state->jobs, &state->membership.nodes);
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
    BUG_IF(!entry_is_live(entry) && participants->count > 0);
    for (size_t i = 0; i < participants->count; i++) {
        const struct node *node = participants->items[i].node;

        BUG_IF(nodes_at(&state->membership.nodes, &node->peer) != node);
        BUG_IF(node_is_worker(node) != workers);
        BUG_IF(workers && (node->job != entry || node->draining));
    }
}

/* The newest epoch names workers by growing numbers, all of them prepared, and covers all microbatches. */
static void check_epoch(const struct job_entry *entry)
{
    const Cairn__EpochCommand *epoch = entry->record->epoch;
    uint32_t end = 0;

    for (size_t i = 0; epoch && i < epoch->n_workers; i++) {
        BUG_IF(epoch->spans[i]->begin != end || epoch->spans[i]->end <= end);
        BUG_IF(i > 0 && epoch->worker_numbers[i] <= epoch->worker_numbers[i - 1]);
        BUG_IF(epoch->worker_numbers[i] > entry->record->newest_worker);
        end = epoch->spans[i]->end;
    }
    BUG_IF(entry->job && end > 0 && end != entry->job->microbatches);
    for (size_t i = 0; i < entry->workers.count; i++) {
        const struct participant *worker = &entry->workers.items[i];

        BUG_IF(worker->named && (!worker->prepared || worker->number == 0));

    }
}

static void check_state(const struct job_entry *entry)
{
    const Cairn__JobStatus *status = entry_status(entry);
    bool is_waiting = status->state == JOB_STATE(WAITING);

    BUG_IF(entry->unsaved);
    BUG_IF(!entry_has_ended(entry) && !entry->job);
    BUG_IF(entry_has_ended(entry) && entry_is_live(entry));
    BUG_IF(!entry_has_ended(entry) && !entry_is_live(entry) && !is_waiting &&
           status->state != JOB_STATE(PENDING));
    BUG_IF((is_waiting || status->state == JOB_STATE(FAILED) || status->state == JOB_STATE(STOPPED)) &&
           status->reason[0] == '\0');
    BUG_IF(entry->growth != GROWTH_NONE && status->state != JOB_STATE(RUNNING));
    BUG_IF(entry->job && entry->tables_ready > entry->job->table_count);
    BUG_IF(!entry_is_live(entry) && entry->outcome.is_known);
}

void state_check(const struct state *state)
{
    for (size_t i = 0; i < state->membership.nodes.count; i++)
        check_node(state, state->membership.nodes.items[i]);
    for (size_t i = 0; i < state->jobs.count; i++) {
        const struct job_entry *entry = state->jobs.items[i];

        check_state(entry);
        check_participants(state, entry, &entry->servers, false);
        check_participants(state, entry, &entry->workers, true);
        check_epoch(entry);
    }
}
