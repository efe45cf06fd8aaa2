/* The life of a job, but for its preparation (prepare.c), its epochs (epochs.c) and the loss of nodes
 * (interrupt.c). */
#include "life.h"

#include "chains.h"
#include "growth.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void participants_command(struct turn *turn, const struct participants *participants,
                          Cairn__NodeCommand *command)
{
    for (size_t i = 0; i < participants->count; i++)
        node_command(turn, participants->items[i].node, command);
}

void life_set_step(struct job_entry *entry, uint64_t step)
{
    Cairn__JobStatus *status = entry_status(entry);

    status->step = step;
    if (entry->job && entry->record->training_samples > 0) {
        status->steps_per_epoch = job_steps_per_epoch(entry->job, entry->record->training_samples);
        status->epoch = (uint32_t)(step / status->steps_per_epoch);
    }
}

static void tell_release(struct turn *turn, const struct job_entry *entry, const struct node *node)
{
    Cairn__NodeCommand command = CAIRN__NODE_COMMAND__INIT;
    Cairn__ReleaseCommand body = CAIRN__RELEASE_COMMAND__INIT;

    body.job = entry_status(entry)->number;
    body.incarnation = entry_status(entry)->incarnation;
    command.body_case = CAIRN__NODE_COMMAND__BODY_RELEASE;
    command.release = &body;
    node_command(turn, node, &command);
}

static void release(struct turn *turn, struct job_entry *entry, struct participants *participants)
{
    for (size_t i = 0; i < participants->count; i++) {
        tell_release(turn, entry, participants->items[i].node);
        participants->items[i].node->job = NULL;
    }
    free(participants->items);
    participants->items = NULL;
    participants->count = 0;
}

static void release_all(struct turn *turn, struct job_entry *entry)
{
    release(turn, entry, &entry->workers);
    release(turn, entry, &entry->servers);
    entry_await_nobody(entry);
    memset(&entry->outcome, 0, sizeof(entry->outcome));
    entry->is_thinner = false;
    entry->server_wait_ms = 0;
    entry->does_without = false;
    entry->asked_step = 0;
    entry->given_up = (struct step_range){0};
    chains_forget(entry);
}

void life_release_worker(struct turn *turn, struct job_entry *entry, struct node *worker)
{
    tell_release(turn, entry, worker);
    entry_drop(entry, worker);
}

void life_release_server(struct turn *turn, struct job_entry *entry, struct node *server)
{
    entry_tell(turn, entry, "server %s has nothing of the job any more", node_name(server));
    tell_release(turn, entry, server);
    entry_drop(entry, server);
}

void life_close(struct turn *turn, struct job_entry *entry, Cairn__JobState state, const char *reason)
{
    Cairn__JobStatus *status = entry_status(entry);

    growth_abandon(turn, entry);
    release_all(turn, entry);
    turn_set_text(turn, &status->reason, "%s", reason);
    status->finished_ms = turn->now.unix_ms;
    entry_set_state(turn, entry, state);
}

void life_fail(struct turn *turn, struct job_entry *entry, const char *format, ...)
{
    char reason[LINE_BYTES], text[LINE_BYTES + 16];
    va_list args;

    va_start(args, format);
    vsnprintf(reason, sizeof(reason), format, args);
    va_end(args);
    life_close(turn, entry, JOB_STATE(FAILED), reason);
    snprintf(text, sizeof(text), "failed: %s", reason);
    entry_log(turn, entry, "error", "coordinator", text);
    turn_note(turn, LOG_LEVEL_ERROR, "job", "job=%s text=\"%s\"", entry_status(entry)->id, text);
}

/* ---- stops */

void life_tell_stop(struct turn *turn, const struct job_entry *entry, const struct node *worker)
{
    Cairn__NodeCommand command = CAIRN__NODE_COMMAND__INIT;
    Cairn__StopCommand body = CAIRN__STOP_COMMAND__INIT;

    body.job = entry_status(entry)->number;
    body.incarnation = entry_status(entry)->incarnation;
    command.body_case = CAIRN__NODE_COMMAND__BODY_STOP;
    command.stop = &body;
    node_command(turn, worker, &command);
}

void life_tell_all_stop(struct turn *turn, const struct job_entry *entry)
{
    for (size_t i = 0; i < entry->workers.count; i++) {
        if (entry->workers.items[i].named)
            life_tell_stop(turn, entry, entry->workers.items[i].node);
    }
}

bool life_is_stopping(const struct job_entry *entry)
{
    const Cairn__JobStatus *status = entry_status(entry);

    return status->state == JOB_STATE(STOPPING) ||
           (status->state == JOB_STATE(COMMITTING) && status->step != status->final_step);
}

static void stop_with(struct turn *turn, struct job_entry *entry, const char *reason)
{
    life_close(turn, entry, JOB_STATE(STOPPED), reason);
    entry_tell(turn, entry, "%s", reason);
}

void life_end_stop(struct turn *turn, struct job_entry *entry, const char *why)
{
    char reason[LINE_BYTES];

    life_set_step(entry, entry_status(entry)->committed_step);
    snprintf(reason, sizeof(reason), "stopped as asked at the committed step %" PRIu64 "%s%s",
             entry_status(entry)->committed_step, why[0] ? ": " : "", why);
    stop_with(turn, entry, reason);
}

/* Clients find out when they next push or pull. */
static void stop_tables(struct turn *turn, struct job_entry *entry)
{
    char reason[80];

    snprintf(reason, sizeof(reason), "stopped as asked; durable up to step %" PRIu64,
             entry_status(entry)->committed_step);
    stop_with(turn, entry, reason);
}

/* Nobody trains: the steps since the committed one are given up, if there are any. */
static void stop_idle(struct turn *turn, struct job_entry *entry)
{
    if (entry_status(entry)->committed_step > 0 || entry_has_begun(entry))
        entry_has_tables(entry) ? stop_tables(turn, entry) : life_end_stop(turn, entry, "");
    else
        stop_with(turn, entry,
                  entry_has_tables(entry) ? "stopped before it ran" : "stopped before the training began");
}

void life_stop(struct turn *turn, struct job_entry *entry)
{
    switch (entry_status(entry)->state) {
    case JOB_STATE(PENDING):
    case JOB_STATE(PREPARING):
    case JOB_STATE(WAITING):
        stop_idle(turn, entry);
        break;
    case JOB_STATE(RUNNING):
        if (entry_has_tables(entry)) {
            stop_tables(turn, entry);
            break;
        }
        entry_tell(turn, entry, "a stop was asked for");
        turn_set_text(turn, &entry_status(entry)->reason, "%s",
                      "finishes the step in hand, as a stop was asked for");
        entry_set_state(turn, entry, JOB_STATE(STOPPING));
        life_tell_all_stop(turn, entry);
        break;
    default:
        break;
    }
}

/* ---- the end */

void life_tell_commit(struct turn *turn, const struct job_entry *entry, const struct node *server,
                      uint64_t step)
{
    Cairn__NodeCommand command = CAIRN__NODE_COMMAND__INIT;
    Cairn__CommitCommand body = CAIRN__COMMIT_COMMAND__INIT;

    body.job = entry_status(entry)->number;
    body.incarnation = entry_status(entry)->incarnation;
    body.step = step;
    command.body_case = CAIRN__NODE_COMMAND__BODY_COMMIT;
    command.commit = &body;
    node_command(turn, server, &command);
}

void life_ask_generation(struct turn *turn, struct job_entry *entry, uint64_t step)
{
    for (size_t i = 0; i < entry->servers.count; i++)
        life_tell_commit(turn, entry, entry->servers.items[i].node, step);
    entry->asked_step = step > entry->asked_step ? step : entry->asked_step;
    entry_tell(turn, entry, "committing step %" PRIu64, step);
}

void life_commit(struct turn *turn, struct job_entry *entry)
{
    const Cairn__JobStatus *status = entry_status(entry);

    life_set_step(entry, entry->outcome.step);
    turn_set_text(turn, &entry_status(entry)->model_hash, "%s", entry->outcome.model_hash);
    turn_set_text(turn, &entry_status(entry)->reason, "makes step %" PRIu64 " durable", status->step);
    entry_set_state(turn, entry, JOB_STATE(COMMITTING));
    if (status->committed_step < status->step)
        life_ask_generation(turn, entry, status->step);
    life_finish_if_durable(turn, entry);
}

static void finish(struct turn *turn, struct job_entry *entry)
{
    Cairn__JobStatus *status = entry_status(entry);
    bool completed = status->step == status->final_step;
    char reason[64];

    snprintf(reason, sizeof(reason),
             completed ? "all %" PRIu64 " steps are done" : "stopped at step %" PRIu64 " as asked",
             status->step);
    life_close(turn, entry, completed ? JOB_STATE(COMPLETED) : JOB_STATE(STOPPED), reason);
    entry_tell(turn, entry, "%s at step %" PRIu64 "%s%s%s%s", completed ? "completed" : "stopped",
               status->step, status->model_hash[0] ? ", model " : "", status->model_hash,
               status->output[0] ? ", written to " : "", status->output);
    if (status->output_error[0])
        entry_log(turn, entry, "error", "coordinator", status->output_error);
}

void life_finish_if_durable(struct turn *turn, struct job_entry *entry)
{
    const Cairn__JobStatus *status = entry_status(entry);

    if (status->state == JOB_STATE(COMMITTING) && status->committed_step >= status->step)
        finish(turn, entry);
}

/* ---- new incarnations */

void life_go_back(struct turn *turn, struct job_entry *entry)
{
    Cairn__JobStatus *status = entry_status(entry);

    growth_abandon(turn, entry);
    release_all(turn, entry);
    status->incarnation++;
    growth_go_back(entry);
    life_set_step(entry, status->committed_step);
    turn_set_text(turn, &status->reason, "%s", "");
    turn_set_text(turn, &status->model_hash, "%s", "");
    turn_set_text(turn, &status->output, "%s", "");
    turn_set_text(turn, &status->output_error, "%s", "");
    turn_set_metrics(turn, &status->metrics, &status->n_metrics, NULL, 0);
    status->samples_per_second = 0;
    status->workers = 0;
    entry->validated_step = 0;
    entry->figures_step = 0;
    entry->divergence_step = 0;
    entry_set_state(turn, entry, JOB_STATE(PENDING));
}

void life_revive(struct turn *turn, struct job_entry *entry)
{
    life_go_back(turn, entry);
    entry_status(entry)->started_ms = 0;
    entry_status(entry)->finished_ms = 0;
}
