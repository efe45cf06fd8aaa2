/* Reports of nodes at work. */
#include "reports.h"

#include "life.h"
#include "throughput.h"
#include "trials.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* Microbatches a second that a worker may compute. */
#define SPEED_MIN 1e-9
#define SPEED_MAX 1e12
/* Microbatches that it may have computed for others since it said so last. */
#define BACKUPS_MAX UINT32_MAX

static bool is_training(const struct job_entry *entry)
{
    Cairn__JobState state = entry_status(entry)->state;

    return state == JOB_STATE(RUNNING) || state == JOB_STATE(STOPPING);
}

static double share(double value)
{
    return isfinite(value) && value >= 0 ? value : 0;
}

/* What makes no sense counts as not known. */
static double speed(double value)
{
    return isfinite(value) && value >= SPEED_MIN && value <= SPEED_MAX ? value : 0;
}

/* Only one worker's figures are told, lest they jump: of the first that the epoch names. */
static bool is_first(const struct job_entry *entry, const struct participant *worker)
{
    const Cairn__EpochCommand *epoch = entry->record->epoch;

    return worker->named && epoch->worker_numbers[0] == worker->number;
}

static void take_figures(struct turn *turn, Cairn__JobStatus *status, const Cairn__Progress *progress)
{
    turn_set_metrics(turn, &status->metrics, &status->n_metrics, progress->metrics, progress->n_metrics);
    status->samples_per_second = share(progress->samples_per_second);
    status->compute_share = share(progress->compute_share);
    status->communication_share = share(progress->communication_share);
    status->waiting_share = share(progress->waiting_share);
}

void report_progress(struct turn *turn, struct job_entry *entry, struct participant *worker,
                     const Cairn__Progress *progress)
{
    Cairn__JobStatus *status = entry_status(entry);

    if (!is_training(entry) || progress->step > status->final_step)
        return;
    worker->speed = speed(progress->microbatches_per_second);
    if (progress->backup_microbatches <= BACKUPS_MAX)
        status->backup_microbatches += progress->backup_microbatches;
    if (progress->step > status->step) {
        life_set_step(entry, progress->step);
        trials_progress(entry);
        throughput_progress(turn, entry);
    }
    if (is_first(entry, worker) && progress->step >= entry->figures_step) {
        entry->figures_step = progress->step;
        take_figures(turn, status, progress);
    }
    entry->revision++;
}

/* Whether the status tells this very validation: one that is repeated to a coordinator that has begun anew.
 */
static bool is_told(const Cairn__JobStatus *status, const Cairn__Validated *validated)
{
    bool is_same = validated->step == status->validation_step && validated->n_metrics == status->n_validation;

    for (size_t i = 0; is_same && i < validated->n_metrics; i++)
        is_same = memcmp(&validated->metrics[i]->value, &status->validation[i]->value, sizeof(double)) == 0;
    return is_same;
}

void report_validated(struct turn *turn, struct job_entry *entry, const Cairn__Validated *validated)
{
    Cairn__JobStatus *status = entry_status(entry);
    struct line line = {.length = 0};

    if (!entry_has_begun(entry) || validated->step <= entry->validated_step ||
        validated->step > status->final_step)
        return;
    entry->validated_step = validated->step;
    if (is_told(status, validated))
        return;
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

/* Whether a worker has the model that the first one had at the end; else the job fails. */
static bool check_model(struct turn *turn, struct job_entry *entry, const char *worker,
                        const Cairn__Reached *reached)
{
    const struct outcome *outcome = &entry->outcome;

    if (reached->step == outcome->step && strcmp(reached->model_hash, outcome->model_hash) == 0)
        return true;
    life_fail(turn, entry,
              "workers disagree about the model: %s has %s at step %" PRIu64 ", %s has %s at step %" PRIu64,
              outcome->worker, outcome->model_hash, outcome->step, worker, reached->model_hash,
              reached->step);
    return false;
}

static void take_outcome(struct outcome *outcome, const char *worker, const Cairn__Reached *reached)
{
    outcome->is_known = true;
    outcome->step = reached->step;
    snprintf(outcome->worker, sizeof(outcome->worker), "%s", worker);
    snprintf(outcome->model_hash, sizeof(outcome->model_hash), "%s", reached->model_hash);
}

void report_reached(struct turn *turn, struct job_entry *entry, struct participant *worker,
                    const Cairn__Reached *reached)
{
    Cairn__JobStatus *status = entry_status(entry);
    const char *name = node_name(worker->node);

    if (throughput_is(entry)) {
        throughput_reached(turn, entry, worker, reached);
        return;
    }
    if (!entry_has_begun(entry) || status->state == JOB_STATE(COMMITTING) || worker->reached ||
        !check_end(turn, entry, name, reached->step))
        return;
    if (!entry->outcome.is_known)
        take_outcome(&entry->outcome, name, reached);
    else if (!check_model(turn, entry, name, reached))
        return;
    worker->reached = true;
    if (reached->output[0])
        turn_set_text(turn, &status->output, "%s", reached->output);
    if (reached->output_error[0])
        turn_set_text(turn, &status->output_error, "%s", reached->output_error);
}
