/* Steps that only grow, and an end in two parts. */
#include "throughput.h"

#include "chains.h"
#include "epoch_list.h"
#include "life.h"

#include <inttypes.h>
#include <stdio.h>

bool throughput_is(const struct job_entry *entry)
{
    return entry->job && job_is_throughput(entry->job);
}

uint64_t throughput_first_step(const struct job_entry *entry)
{
    return entry->outcome.is_known ? entry->outcome.step : entry_status(entry)->step;
}

/* ---- generations */

static uint64_t larger(uint64_t left, uint64_t right)
{
    return left > right ? left : right;
}

/* A step that no generation has had, as far as is known: a server may have one that was asked for before we
 * began, and that others have none of. */
static uint64_t next_generation(const struct job_entry *entry)
{
    uint64_t newest =
        larger(larger(entry_status(entry)->committed_step, entry->asked_step), entry->given_up.last);

    for (size_t i = 0; i < entry->servers.count; i++)
        newest = larger(newest, entry->servers.items[i].held_step);
    return newest + 1;
}

/* One at a time. The last one is the end's. */
void throughput_progress(struct turn *turn, struct job_entry *entry)
{
    const Cairn__JobStatus *status = entry_status(entry);
    uint64_t step;

    if (!throughput_is(entry) || status->state != JOB_STATE(RUNNING) || entry->outcome.is_known ||
        entry->asked_step > status->committed_step || status->step < status->committed_step ||
        status->step - status->committed_step < entry->job->commit_every)
        return;
    step = larger(status->step, next_generation(entry));
    if (step >= status->final_step)
        return;
    for (size_t i = 0; i < entry->servers.count; i++)
        life_tell_commit(turn, entry, entry->servers.items[i].node, step);
    entry->asked_step = step;
}

/* A server hears at different moments than others of a generation, and of what became of it. */
uint64_t throughput_copied(struct turn *turn, const struct job_entry *entry, const struct participant *server,
                           uint64_t step)
{
    const Cairn__JobStatus *status = entry_status(entry);
    uint64_t wanted = status->state == JOB_STATE(COMMITTING) ? status->step : entry->asked_step;

    if (!throughput_is(entry))
        return step;
    step = larger(step, status->committed_step);
    if (wanted > step)
        life_tell_commit(turn, entry, server->node, wanted);
    return step;
}

void throughput_give_up(struct job_entry *entry, uint64_t step)
{
    if (throughput_is(entry) && entry->asked_step == step)
        entry->asked_step = 0;
}

/* ---- the end */

/* Whether a worker may end at this step; else the job fails. */
static bool check_end(struct turn *turn, struct job_entry *entry, const char *worker, uint64_t step)
{
    const Cairn__JobStatus *status = entry_status(entry);

    if (step <= status->final_step &&
        (step == status->final_step || status->state == JOB_STATE(STOPPING) || entry->outcome.is_known))
        return true;
    life_fail(turn, entry, "worker %s ended at step %" PRIu64 " of %" PRIu64 ", and nobody asked for that",
              worker, step, status->final_step);
    return false;
}

/* The job ends at the furthest step of any worker, which must be a new one for there to be a generation of
 * it. */
static void take_end(struct job_entry *entry, const char *worker, uint64_t step)
{
    const Cairn__JobStatus *status = entry_status(entry);
    struct outcome *outcome = &entry->outcome;
    uint64_t new_step = larger(larger(step, status->step), next_generation(entry));

    outcome->step = larger(outcome->step, new_step < status->final_step ? new_step : status->final_step);
    if (outcome->is_known)
        return;
    outcome->is_known = true;
    snprintf(outcome->worker, sizeof(outcome->worker), "%s", worker);
}

void throughput_take_up(struct job_entry *entry)
{
    const Cairn__EpochCommand *epoch = entry->record->epoch;

    if (!epoch || !epoch->closing)
        return;
    entry->outcome.is_known = true;
    entry->outcome.step = epoch->final_step;
}

static void take_model(struct turn *turn, struct job_entry *entry, const char *worker,
                       const Cairn__Reached *reached)
{
    Cairn__JobStatus *status = entry_status(entry);

    take_end(entry, worker, reached->step);
    snprintf(entry->outcome.model_hash, sizeof(entry->outcome.model_hash), "%s", reached->model_hash);
    turn_set_text(turn, &status->output, "%s", reached->output);
    turn_set_text(turn, &status->output_error, "%s", reached->output_error);
}

void throughput_reached(struct turn *turn, struct job_entry *entry, struct participant *worker,
                        const Cairn__Reached *reached)
{
    const char *name = node_name(worker->node);
    bool is_closing = entry_has_begun(entry) && entry->record->epoch->closing;

    if (!entry_has_begun(entry) || entry_status(entry)->state == JOB_STATE(COMMITTING) ||
        !check_end(turn, entry, name, reached->step))
        return;
    if (reached->model_hash[0] != '\0' && is_closing && worker->named)
        take_model(turn, entry, name, reached);
    else if (!worker->reached)
        take_end(entry, name, reached->step);
    worker->reached = true;
}

/* The worker that the newest epoch lets close the job is there. */
static bool is_being_closed(const struct job_entry *entry)
{
    if (!entry->record->epoch->closing)
        return false;
    for (size_t i = 0; i < entry->workers.count; i++) {
        if (entry->workers.items[i].named)
            return true;
    }
    return false;
}

bool throughput_end(struct turn *turn, struct job_entry *entry)
{
    const Cairn__JobStatus *status = entry_status(entry);

    if (status->output[0] != '\0' || status->output_error[0] != '\0' ||
        entry->outcome.step < status->final_step) { /* a stop: no model is written */
        life_commit(turn, entry);
        return true;
    }
    if (entry->workers.count == 0)
        return false;
    if (!is_being_closed(entry) || chains_want_epoch(entry))
        epoch_close(turn, entry);
    return true;
}
