/* Engagements. Knows nothing of peers. */
#include "retake.h"

#include "chains.h"
#include "epoch_list.h"
#include "epochs.h"
#include "growth.h"
#include "interrupt.h"
#include "life.h"
#include "server_choice.h"
#include "throughput.h"

#include <inttypes.h>
#include <string.h>

#define MARGIN_MS 2000 /* for a node to notice silence, connect and register */

void retake_await(struct turn *turn, struct job_entry *entry, uint32_t lease_ms)
{
    const Cairn__JobRecord *record = entry->record;

    for (size_t first = 0, next; first < record->n_shards; first = next) {
        const char *server = recorded_server(record, first, &next);

        if (chains_name(record, server) || chains_copy_to(record, server))
            entry_await(turn, entry, server, false);
    }
    entry->heads_changed = record->map != NULL; /* whether workers have heard of it is not known */
    if (record->status->state != JOB_STATE(COMMITTING) && record->epoch) {
        for (size_t i = 0; i < record->epoch->n_workers; i++)
            entry_await(turn, entry, record->epoch->workers[i], true);
    }
    entry->awaited_until_ms = turn->now.monotonic_ms + lease_ms + MARGIN_MS;
    entry->spans_ms = turn->now.monotonic_ms;
}

/* ---- what a node is engaged in */

static bool is_engaged(const struct node *node, const struct job_entry *entry)
{
    const Cairn__Registration *registration = node->registration;

    for (size_t i = 0; i < registration->n_engagements; i++) {
        if (registration->engagements[i]->job == entry_status(entry)->number &&
            registration->engagements[i]->incarnation == entry_status(entry)->incarnation)
            return true;
    }
    return false;
}

static void release_from(struct turn *turn, const struct node *node, const Cairn__Engagement *engagement)
{
    Cairn__NodeCommand command = CAIRN__NODE_COMMAND__INIT;
    Cairn__ReleaseCommand body = CAIRN__RELEASE_COMMAND__INIT;

    body.job = engagement->job;
    body.incarnation = engagement->incarnation;
    command.body_case = CAIRN__NODE_COMMAND__BODY_RELEASE;
    command.release = &body;
    node_command(turn, node, &command);
}

static void release_from_strange_jobs(struct turn *turn, const struct jobs *jobs, const struct node *node)
{
    for (size_t i = 0; i < node->registration->n_engagements; i++) {
        const Cairn__Engagement *engagement = node->registration->engagements[i];
        struct job_entry *entry = jobs_find(jobs, engagement->job);

        if (!entry || entry_status(entry)->incarnation != engagement->incarnation ||
            !entry_participant(entry, node))
            release_from(turn, node, engagement);
    }
}

/* ---- taking it back */

static void tell_committed(struct turn *turn, const struct job_entry *entry, const struct node *server)
{
    Cairn__NodeCommand command = CAIRN__NODE_COMMAND__INIT;
    Cairn__CommittedCommand body = CAIRN__COMMITTED_COMMAND__INIT;

    body.job = entry_status(entry)->number;
    body.incarnation = entry_status(entry)->incarnation;
    body.step = entry_status(entry)->committed_step;
    command.body_case = CAIRN__NODE_COMMAND__BODY_COMMITTED;
    command.committed = &body;
    node_command(turn, server, &command);
}

/* What a server may not have heard because its connection, or we, ended. */
static void repeat_to_server(struct turn *turn, const struct job_entry *entry,
                             const struct participant *server)
{
    const Cairn__JobStatus *status = entry_status(entry);
    uint64_t wanted = status->state == JOB_STATE(COMMITTING) ? status->step : entry->asked_step;

    if (!server->prepared)
        return;
    chains_tell(turn, entry, server->node);
    if (throughput_is(entry) && entry_has_begun(entry))
        epoch_tell(turn, entry, server->node);
    if (status->committed_step > 0)
        tell_committed(turn, entry, server->node);
    if (wanted > status->committed_step)
        life_tell_commit(turn, entry, server->node, wanted);
    if (entry_has_tables(entry))
        growth_repeat(turn, entry, server);
}

static void repeat(struct turn *turn, const struct job_entry *entry, struct participant *participant)
{
    participant->abandoned_step = 0;
    if (node_is_worker(participant->node))
        epochs_repeat(turn, entry, participant);
    else
        repeat_to_server(turn, entry, participant);
}

/* The place of a worker in the newest epoch. */
static uint64_t number_of(const struct job_entry *entry, const char *worker)
{
    const Cairn__EpochCommand *epoch = entry->record->epoch;

    for (size_t i = 0; i < epoch->n_workers; i++) {
        if (strcmp(epoch->workers[i], worker) == 0)
            return epoch->worker_numbers[i];
    }
    return 0;
}

/* The step that the newest epoch lets a worker begin at; throughput modes only. */
static uint64_t first_step_of(const struct job_entry *entry, uint64_t number)
{
    const Cairn__EpochCommand *epoch = entry->record->epoch;

    for (size_t i = 0; i < epoch->n_workers && i < epoch->n_worker_steps; i++) {
        if (epoch->worker_numbers[i] == number)
            return epoch->worker_steps[i];
    }
    return 0;
}

static void take_back(struct turn *turn, struct job_entry *entry, struct node *node)
{
    bool is_worker = node_is_worker(node);
    struct participant *participant =
        entry_add(turn, entry, node, is_worker ? number_of(entry, node_name(node)) : 0);

    if (!participant)
        return;
    if (is_worker)
        participant->first_step = first_step_of(entry, participant->number);
    participant->prepared = true;
    participant->named = is_worker;
    participant->reached = is_worker && entry->record->epoch->closing; /* it had, before it was to close */
    participant->joined_ms = entry->awaited_until_ms; /* all alike: their order says who was first */
    participant->training_samples = entry->record->training_samples;
    participant->validation_samples = entry->record->validation_samples;
    if (!is_worker)
        life_count_generations(entry, participant);
    entry_tell(turn, entry, "%s %s is back at work", node_kind_name(node), node_name(node));
    repeat(turn, entry, participant);
}

/* A name that a job awaits has come. */
static void meet(struct turn *turn, struct job_entry *entry, struct node *node)
{
    bool is_free = !node_is_worker(node) || (!node->job && !node->draining);

    if (is_engaged(node, entry) && is_free)
        take_back(turn, entry, node);
    else if (node_is_worker(node))
        entry->is_thinner = true;
    else
        interrupt_server(turn, entry, node_name(node), "came back without what it held");
}

static void consider(struct turn *turn, struct job_entry *entry, struct node *node, bool by_new_connection)
{
    struct participant *participant = entry_participant(entry, node);

    if (!participant) {
        if (entry_await_no_more(entry, node_name(node), node_is_worker(node)))
            meet(turn, entry, node);
        return;
    }
    if (is_engaged(node, entry)) {
        if (by_new_connection)
            repeat(turn, entry, participant);
        return;
    }
    /* By the connection that it had it will get what it was told to prepare, if it has not yet. */
    if (by_new_connection || participant->prepared)
        interrupt_lost(turn, entry, node, "came back without the work");
}

void retake_registered(struct turn *turn, struct jobs *jobs, struct node *node, bool by_new_connection)
{
    for (size_t i = 0; i < jobs->count; i++) {
        if (!entry_has_ended(jobs->items[i]))
            consider(turn, jobs->items[i], node, by_new_connection);
    }
    release_from_strange_jobs(turn, jobs, node);
    deleted_tell(turn, &jobs->deleted, node);
}

/* ---- those who do not come */

static void forgive(struct job_entry *entry, int64_t gap_ms, int64_t now_ms)
{
    int64_t since_ms = entry->server_wait_ms + gap_ms;

    entry->awaited_until_ms += gap_ms;
    if (entry->server_wait_ms > 0)
        entry->server_wait_ms = since_ms < now_ms ? since_ms : now_ms;
}

void retake_forgive(const struct turn *turn, struct jobs *jobs, int64_t gap_ms)
{
    for (size_t i = 0; i < jobs->count; i++)
        forgive(jobs->items[i], gap_ms, turn->now.monotonic_ms);
}

bool retake_is_under_way(const struct jobs *jobs)
{
    for (size_t i = 0; i < jobs->count; i++) {
        if (jobs->items[i]->awaited_count > 0 || jobs->items[i]->server_wait_ms > 0)
            return true;
    }
    return false;
}

static void give_up_late(struct turn *turn, struct job_entry *entry)
{
    if (entry->awaited_count == 0 || turn->now.monotonic_ms < entry->awaited_until_ms)
        return;
    while (entry->awaited_count > 0) {
        struct awaited awaited = entry->awaited[entry->awaited_count - 1];
        struct line name = {.length = 0};

        line_add(&name, "%s", awaited.name);
        entry_await_no_more(entry, name.text, awaited.is_worker);
        entry_tell(turn, entry, "%s %s has not come back", awaited.is_worker ? "worker" : "server",
                   name.text);
        if (awaited.is_worker)
            entry->is_thinner = true;
        else
            interrupt_server(turn, entry, name.text, "has not come back since the coordinator started again");
    }
}

void retake_tick(struct turn *turn, struct jobs *jobs)
{
    for (size_t i = 0; i < jobs->count; i++)
        give_up_late(turn, jobs->items[i]);
}
