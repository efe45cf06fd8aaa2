/* The life of a job, but for its preparation (prepare.c) and the workers' reports (reports.c). */
#include "life.h"

#include "growth.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

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

static void release(struct turn *turn, struct job_entry *entry, struct participants *participants)
{
    Cairn__NodeCommand command = CAIRN__NODE_COMMAND__INIT;
    Cairn__ReleaseCommand body = CAIRN__RELEASE_COMMAND__INIT;

    body.job = entry_status(entry)->number;
    body.incarnation = entry_status(entry)->incarnation;
    command.body_case = CAIRN__NODE_COMMAND__BODY_RELEASE;
    command.release = &body;
    participants_command(turn, participants, &command);
    for (size_t i = 0; i < participants->count; i++)
        participants->items[i].node->job = NULL;
    free(participants->items);
    participants->items = NULL;
    participants->count = 0;
}

void life_close(struct turn *turn, struct job_entry *entry, Cairn__JobState state, const char *reason)
{
    Cairn__JobStatus *status = entry_status(entry);

    growth_abandon(entry);
    release(turn, entry, &entry->workers);
    release(turn, entry, &entry->servers);
    turn_set_text(turn, &status->reason, "%s", reason);
    status->finished_ms = turn->now.unix_ms;
    entry_set_state(entry, state);
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

void life_lose(struct turn *turn, struct job_entry *entry, struct node *node, const char *why)
{
    bool was_worker = node_is_worker(node);
    const char *kind = node_kind_name(node), *name = node_name(node);
    const Cairn__JobStatus *status = entry_status(entry);

    entry_drop(entry, node);
    entry->stale_incarnation = status->incarnation;
    if (was_worker && status->state == JOB_STATE(COMMITTING)) {
        entry_tell(turn, entry, "%s %s %s after it had done its part", kind, name, why);
        return;
    }
    life_fail(turn, entry, "%s %s %s; a resume goes on from step %" PRIu64, kind, name, why,
              status->committed_step);
}

static void stop_workers(struct turn *turn, struct job_entry *entry)
{
    Cairn__NodeCommand command = CAIRN__NODE_COMMAND__INIT;
    Cairn__StopCommand body = CAIRN__STOP_COMMAND__INIT;

    body.job = entry_status(entry)->number;
    body.incarnation = entry_status(entry)->incarnation;
    command.body_case = CAIRN__NODE_COMMAND__BODY_STOP;
    command.stop = &body;
    participants_command(turn, &entry->workers, &command);
    entry_set_state(entry, JOB_STATE(STOPPING));
}

/* Clients find out when they next push or pull. */
static void stop_tables(struct turn *turn, struct job_entry *entry)
{
    char reason[80];

    snprintf(reason, sizeof(reason), "stopped as asked; durable up to step %" PRIu64,
             entry_status(entry)->committed_step);
    life_close(turn, entry, JOB_STATE(STOPPED), reason);
    entry_tell(turn, entry, "%s", reason);
}

static void stop_before_it_ran(struct turn *turn, struct job_entry *entry)
{
    const char *reason =
        entry_has_tables(entry) ? "stopped before it ran" : "stopped before the training began";

    life_close(turn, entry, JOB_STATE(STOPPED), reason);
    entry_tell(turn, entry, "%s", reason);
}

void life_stop(struct turn *turn, struct job_entry *entry)
{
    switch (entry_status(entry)->state) {
    case JOB_STATE(PENDING):
    case JOB_STATE(PREPARING):
        stop_before_it_ran(turn, entry);
        break;
    case JOB_STATE(RUNNING):
        if (entry_has_tables(entry)) {
            stop_tables(turn, entry);
            break;
        }
        entry_tell(turn, entry, "a stop was asked for");
        stop_workers(turn, entry);
        break;
    default:
        break;
    }
}

void life_ask_generation(struct turn *turn, struct job_entry *entry, uint64_t step)
{
    Cairn__NodeCommand command = CAIRN__NODE_COMMAND__INIT;
    Cairn__CommitCommand body = CAIRN__COMMIT_COMMAND__INIT;

    body.job = entry_status(entry)->number;
    body.incarnation = entry_status(entry)->incarnation;
    body.step = step;
    command.body_case = CAIRN__NODE_COMMAND__BODY_COMMIT;
    command.commit = &body;
    participants_command(turn, &entry->servers, &command);
    entry_tell(turn, entry, "committing step %" PRIu64, step);
}

void life_commit(struct turn *turn, struct job_entry *entry)
{
    const Cairn__JobStatus *status = entry_status(entry);

    entry_set_state(entry, JOB_STATE(COMMITTING));
    if (status->committed_step < status->step)
        life_ask_generation(turn, entry, status->step);
    life_finish_if_durable(turn, entry);
}

static void finish(struct turn *turn, struct job_entry *entry)
{
    Cairn__JobStatus *status = entry_status(entry);
    bool completed = status->step == status->final_step;
    char reason[64] = "";

    if (!completed)
        snprintf(reason, sizeof(reason), "stopped at step %" PRIu64 " as asked", status->step);
    life_close(turn, entry, completed ? JOB_STATE(COMPLETED) : JOB_STATE(STOPPED), reason);
    entry_tell(turn, entry, "%s at step %" PRIu64 ", model %s%s%s", completed ? "completed" : "stopped",
               status->step, status->model_hash, status->output[0] ? ", written to " : "", status->output);
    if (status->output_error[0])
        entry_log(turn, entry, "error", "coordinator", status->output_error);
}

void life_finish_if_durable(struct turn *turn, struct job_entry *entry)
{
    const Cairn__JobStatus *status = entry_status(entry);

    if (status->state == JOB_STATE(COMMITTING) && status->committed_step >= status->step)
        finish(turn, entry);
}

void life_revive(struct turn *turn, struct job_entry *entry)
{
    Cairn__JobStatus *status = entry_status(entry);

    status->incarnation++;
    growth_go_back(entry);
    life_set_step(entry, status->committed_step);
    turn_set_text(turn, &status->reason, "%s", "");
    turn_set_text(turn, &status->model_hash, "%s", "");
    turn_set_text(turn, &status->output, "%s", "");
    turn_set_text(turn, &status->output_error, "%s", "");
    turn_set_metrics(turn, &status->metrics, &status->n_metrics, NULL, 0);
    status->samples_per_second = 0;
    status->started_ms = 0;
    status->finished_ms = 0;
    entry->validated_step = 0;
    entry_set_state(entry, JOB_STATE(PENDING));
}
