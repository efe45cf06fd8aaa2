/* Reports of nodes at work. */
#include "reports.h"

#include "life.h"
#include "net/wire.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

static bool is_training(const struct job_entry *entry)
{
    Cairn__JobState state = entry_status(entry)->state;

    return state == JOB_STATE(RUNNING) || state == JOB_STATE(STOPPING);
}

static double share(double value)
{
    return isfinite(value) && value >= 0 ? value : 0;
}

void report_progress(struct turn *turn, struct job_entry *entry, const Cairn__Progress *progress)
{
    Cairn__JobStatus *status = entry_status(entry);

    if (!is_training(entry) || progress->step < status->step || progress->step > status->final_step)
        return;
    life_set_step(entry, progress->step);
    turn_set_metrics(turn, &status->metrics, &status->n_metrics, progress->metrics, progress->n_metrics);
    status->samples_per_second = share(progress->samples_per_second);
    status->compute_share = share(progress->compute_share);
    status->communication_share = share(progress->communication_share);
    status->waiting_share = share(progress->waiting_share);
    entry->revision++;
}

void report_validated(struct turn *turn, struct job_entry *entry, const Cairn__Validated *validated)
{
    Cairn__JobStatus *status = entry_status(entry);
    struct line line = {.length = 0};

    if (status->state < JOB_STATE(RUNNING) || validated->step <= entry->validated_step ||
        validated->step > status->final_step)
        return;
    entry->validated_step = validated->step;
    status->validation_step = validated->step;
    turn_set_metrics(turn, &status->validation, &status->n_validation, validated->metrics,
                     validated->n_metrics);
    for (size_t i = 0; i < status->n_validation; i++)
        line_add(&line, " %s %.6g", status->validation[i]->name,
                 isnan(status->validation[i]->value) ? (double)NAN : status->validation[i]->value);
    entry_tell(turn, entry, "validated at step %" PRIu64 ":%s", validated->step, line.text);
    entry->revision++;
    entry->unsaved = true;
}

/* The newest step of which every server holds a generation, as far as there is something to hold. */
static uint64_t common_generation(const struct job_entry *entry)
{
    uint64_t step = UINT64_MAX;

    for (size_t i = 0; i < entry->servers.count; i++) {
        const struct participant *server = &entry->servers.items[i];
        uint64_t held =
            server->committed_step > server->empty_until ? server->committed_step : server->empty_until;

        step = held < step ? held : step;
    }
    return entry->servers.count > 0 ? step : 0;
}

static void commit_generation(struct turn *turn, struct job_entry *entry, uint64_t step)
{
    Cairn__NodeCommand command = CAIRN__NODE_COMMAND__INIT;
    Cairn__CommittedCommand body = CAIRN__COMMITTED_COMMAND__INIT;

    entry_status(entry)->committed_step = step;
    if (entry_has_tables(entry)) /* all that is known of how far clients have come */
        life_set_step(entry, step);
    entry->revision++;
    entry->unsaved = true;
    body.job = entry_status(entry)->number;
    body.incarnation = entry_status(entry)->incarnation;
    body.step = step;
    command.body_case = CAIRN__NODE_COMMAND__BODY_COMMITTED;
    command.committed = &body;
    participants_command(turn, &entry->servers, &command);
    entry_tell(turn, entry, "committed step %" PRIu64, step);
}

/* Tables have no last step. */
static uint64_t last_step(const struct job_entry *entry)
{
    return entry_has_tables(entry) ? WIRE_STEP_MAX : entry_status(entry)->final_step;
}

/* Whether one server has a generation that another will never have; the job has then failed. */
static bool fail_if_split(struct turn *turn, struct job_entry *entry, uint64_t step)
{
    const struct participant *has = NULL, *refused = NULL;

    for (size_t i = 0; i < entry->servers.count; i++) {
        const struct participant *server = &entry->servers.items[i];

        if (server->committed_step == step)
            has = server;
        else if (server->refused_step == step && server->committed_step < step)
            refused = server;
    }
    if (!has || !refused)
        return false;
    life_fail(turn, entry,
              "step %" PRIu64
              " was to be committed, but only %s could: %s stood at another; a resume goes on "
              "from step %" PRIu64,
              step, node_name(has->node), node_name(refused->node), entry_status(entry)->committed_step);
    return true;
}

/* When no server has a generation, and each has said so, a later one of the same step is another. */
static void forget_if_refused_by_all(struct job_entry *entry, uint64_t step)
{
    for (size_t i = 0; i < entry->servers.count; i++) {
        const struct participant *server = &entry->servers.items[i];

        if (server->committed_step != UINT64_MAX && step > server->empty_until &&
            server->refused_step != step)
            return;
    }
    for (size_t i = 0; i < entry->servers.count; i++)
        entry->servers.items[i].refused_step = 0;
}

void report_commit_refused(struct turn *turn, struct job_entry *entry, struct participant *server,
                           const Cairn__CommitRefused *refused)
{
    if (!entry_has_tables(entry)) {
        life_fail(turn, entry, "%s: %s", node_name(server->node), refused->message);
        return;
    }
    entry_log(turn, entry, "warn", node_name(server->node), refused->message);
    if (refused->step > server->refused_step)
        server->refused_step = refused->step;
    if (!fail_if_split(turn, entry, refused->step))
        forget_if_refused_by_all(entry, refused->step);
}

void report_committed(struct turn *turn, struct job_entry *entry, struct participant *server, uint64_t step)
{
    const Cairn__JobStatus *status = entry_status(entry);
    uint64_t common;

    if (status->state < JOB_STATE(RUNNING) || step > last_step(entry) || step <= server->committed_step)
        return;
    server->committed_step = step;
    if (fail_if_split(turn, entry, step))
        return;
    common = common_generation(entry);
    if (common <= status->committed_step)
        return;
    commit_generation(turn, entry, common);
    life_finish_if_durable(turn, entry);
}

/* Whether a worker may end at this step; else the job fails. */
static bool check_end(struct turn *turn, struct job_entry *entry, const char *worker, uint64_t step)
{
    const Cairn__JobStatus *status = entry_status(entry);

    if (step < status->committed_step || step > status->final_step) {
        life_fail(turn, entry,
                  "worker %s ended at step %" PRIu64 ", which is not within %" PRIu64 " to %" PRIu64, worker,
                  step, status->committed_step, status->final_step);
        return false;
    }
    if (step < status->final_step && status->state != JOB_STATE(STOPPING)) {
        life_fail(turn, entry,
                  "worker %s ended at step %" PRIu64 " of %" PRIu64 ", and nobody asked for that", worker,
                  step, status->final_step);
        return false;
    }
    return true;
}

/* Whether all workers reached the end. */
static bool all_reached(const struct job_entry *entry)
{
    for (size_t i = 0; i < entry->workers.count; i++) {
        if (!entry->workers.items[i].reached)
            return false;
    }
    return true;
}

/* Whether all workers have the same model; else the job fails. */
static bool check_model(struct turn *turn, struct job_entry *entry)
{
    const struct participant *first = &entry->workers.items[0];

    for (size_t i = 1; i < entry->workers.count; i++) {
        const struct participant *other = &entry->workers.items[i];

        if (other->reached_step == first->reached_step && strcmp(other->model_hash, first->model_hash) == 0)
            continue;
        life_fail(turn, entry,
                  "workers disagree about the model: %s has %s at step %" PRIu64
                  ", %s has %s at step %" PRIu64,
                  node_name(first->node), first->model_hash, first->reached_step, node_name(other->node),
                  other->model_hash, other->reached_step);
        return false;
    }
    return true;
}

void report_reached(struct turn *turn, struct job_entry *entry, struct participant *worker,
                    const Cairn__Reached *reached)
{
    Cairn__JobStatus *status = entry_status(entry);

    if (!is_training(entry) || worker->reached ||
        !check_end(turn, entry, node_name(worker->node), reached->step))
        return;
    worker->reached = true;
    worker->reached_step = reached->step;
    snprintf(worker->model_hash, sizeof(worker->model_hash), "%s", reached->model_hash);
    if (reached->output[0])
        turn_set_text(turn, &status->output, "%s", reached->output);
    if (reached->output_error[0])
        turn_set_text(turn, &status->output_error, "%s", reached->output_error);
    if (!all_reached(entry) || !check_model(turn, entry))
        return;
    life_set_step(entry, reached->step);
    turn_set_text(turn, &status->model_hash, "%s", worker->model_hash);
    life_commit(turn, entry);
}
