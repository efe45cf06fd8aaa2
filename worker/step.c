/* One poll over the shards' sockets, the lanes' mailbox and the main thread's pipe; everything that is there
 * is handled before the next. */
#include "step.h"

#include "base/log.h"
#include "cluster/placement.h"
#include "cores.h"
#include "hash_record.h"
#include "model/formats/h5.h"
#include "opened_job.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

struct step {
    struct actor_self *self;
    struct step_params params;
    struct opened_job opened;
    const Cairn__EpochCommand *epoch; /* NULL until told */
    bool vote;                        /* told to stop before training began */
    struct hash_record *record;       /* NULL: none is kept */
    struct training *training;
    zmq_pollitem_t *items; /* the pipe, the mailbox, then the shards */
    size_t item_count;
    struct training_figures figures; /* as last told */
    struct step_report report;       /* of the message in hand; large, so not on the stack */
};

/* ---- reports */

/* A cleared report of a kind. */
static struct step_report *report_of(struct step *step, enum step_report_kind kind)
{
    memset(&step->report, 0, sizeof(step->report));
    step->report.kind = kind;
    return &step->report;
}

/* It can fail only when the context is terminated, and then nobody listens. */
static void send_report(struct step *step)
{
    struct error error;

    if (actor_report(step->self, &step->report, sizeof(step->report), &error) != CAIRN_OK)
        log_debug("report_not_sent", "reason=\"%s\"", error.message);
}

static void name_metrics(const struct step *step, struct step_report *report)
{
    const struct model_spec *model = &step->opened.job->model;

    report->metric_names[0] = "loss";
    for (uint32_t i = 0; i < model->metric_count; i++)
        report->metric_names[1 + i] = metric_name(model->metrics[i]);
}

static void tell_progress(void *context, const struct training_figures *figures)
{
    struct step *step = context;
    struct step_report *report = report_of(step, STEP_PROGRESS);

    step->figures = *figures;
    report->figures = *figures;
    name_metrics(step, report);
    send_report(step);
}

static void tell_validated(void *context, uint64_t done, const double *means, uint32_t metric_count)
{
    struct step *step = context;
    struct step_report *report = report_of(step, STEP_VALIDATED);

    report->figures.step = done;
    report->figures.metric_count = metric_count;
    memcpy(report->figures.means, means, metric_count * sizeof(*means));
    name_metrics(step, report);
    send_report(step);
}

static void tell_prepared(struct step *step)
{
    struct step_report *report = report_of(step, STEP_PREPARED);

    report->training_samples = opened_job_training_samples(&step->opened);
    report->validation_samples = opened_job_validation_samples(&step->opened);
    send_report(step);
}

static void tell_failed(struct step *step, const struct error *error)
{
    struct step_report *report = report_of(step, STEP_FAILED);

    snprintf(report->message, sizeof(report->message), "%s", error->message);
    send_report(step);
}

/* ---- commands */

/* Takes all commands that are there. CAIRN_CLOSED: told to stop. */
static enum status take_commands(struct step *step, struct error *error)
{
    struct step_command command;
    enum status status;

    while ((status = actor_take(step->self, &command, sizeof(command), error)) == CAIRN_OK) {
        if (command.kind == STEP_EPOCH)
            step->epoch = command.epoch;
        else if (step->training)
            training_vote(step->training);
        else
            step->vote = true;
    }
    return status == CAIRN_AGAIN ? CAIRN_OK : status;
}

static enum status wait_for_input(zmq_pollitem_t *items, size_t count, struct error *error)
{
    if (zmq_poll(items, (int)count, -1) >= 0 || zmq_errno() == EINTR)
        return CAIRN_OK;
    if (zmq_errno() == ETERM)
        return error_set(error, CAIRN_CLOSED, "the messaging context is closed");
    return error_set(error, CAIRN_IO, "zmq_poll: %s", zmq_strerror(zmq_errno()));
}

/* Sleeps until there are commands, and takes them. */
static enum status wait_for_commands(struct step *step, struct error *error)
{
    zmq_pollitem_t item = {.socket = actor_self_pipe(step->self), .events = ZMQ_POLLIN};
    enum status status = wait_for_input(&item, 1, error);

    return status == CAIRN_OK ? take_commands(step, error) : status;
}

/* ---- from commands to a training */

/* As the user said, as the job says, or so many that their kernels fill the machine. */
static uint32_t lane_count(const struct step *step)
{
    const struct job *job = step->opened.job;
    uint32_t threads = job->threads_per_microbatch ? job->threads_per_microbatch : 1;
    uint32_t lanes = core_count() / threads;

    if (step->params.lane_count > 0)
        return step->params.lane_count;
    if (job->threads_per_worker > 0)
        return job->threads_per_worker;
    return lanes > 0 ? lanes : 1;
}

/* This worker's place in the epoch. */
static enum status find_span(const struct step *step, uint32_t *begin, uint32_t *end, struct error *error)
{
    const Cairn__EpochCommand *epoch = step->epoch;
    uint32_t microbatches = step->opened.job->microbatches;

    for (size_t i = 0; i < epoch->n_workers && i < epoch->n_spans; i++) {
        if (strcmp(epoch->workers[i], step->params.worker_name) != 0)
            continue;
        *begin = epoch->spans[i]->begin;
        *end = epoch->spans[i]->end;
        if (*begin >= *end || *end > microbatches)
            return error_set(error, CAIRN_PROTOCOL, "the epoch gives this worker microbatches [%u, %u) of %u",
                             *begin, *end, microbatches);
        return CAIRN_OK;
    }
    return error_set(error, CAIRN_PROTOCOL, "the epoch does not name this worker (%s)",
                     step->params.worker_name);
}

static enum status check_epoch(const struct step *step, struct error *error)
{
    const Cairn__PrepareCommand *prepare = step->params.prepare;
    uint32_t slots = placement_slot_count(step->opened.job->graph->chunk_count);

    if (step->epoch->first_step > step->epoch->final_step)
        return error_set(error, CAIRN_PROTOCOL, "the epoch is from step %" PRIu64 " to %" PRIu64,
                         step->epoch->first_step, step->epoch->final_step);
    if (prepare->n_slot_shards != slots)
        return error_set(error, CAIRN_PROTOCOL, "the coordinator placed %zu slots where the model has %u",
                         prepare->n_slot_shards, slots);
    return CAIRN_OK;
}

static struct training_params params_of(struct step *step)
{
    const Cairn__PrepareCommand *prepare = step->params.prepare;

    return (struct training_params){
        .zmq_context = actor_self_context(step->self),
        .job = step->opened.job,
        .training = step->opened.training,
        .validation = step->opened.validation,
        .first_step = step->epoch->first_step,
        .final_step = step->epoch->final_step,
        .lane_count = lane_count(step),
        .make_backend = step->params.make_backend,
        .record = step->record,
        .session = {.job = prepare->job,
                    .incarnation = prepare->incarnation,
                    .shard_count = (uint32_t)prepare->n_shards,
                    .slot_count = (uint32_t)prepare->n_slot_shards,
                    .slot_shards = prepare->slot_shards},
        .events = {.progress = tell_progress, .validated = tell_validated, .context = step}};
}

static enum status begin_training(struct step *step, struct error *error)
{
    const Cairn__PrepareCommand *prepare = step->params.prepare;
    struct training_params params = params_of(step);
    const char **endpoints = calloc(prepare->n_shards ? prepare->n_shards : 1, sizeof(*endpoints));
    enum status status;

    if (!endpoints)
        return error_set(error, CAIRN_NO_MEMORY, "out of memory for %zu shards", prepare->n_shards);
    for (size_t i = 0; i < prepare->n_shards; i++)
        endpoints[i] = prepare->shards[i]->endpoint;
    params.session.endpoints = endpoints;
    status = check_epoch(step, error);
    if (status == CAIRN_OK)
        status = find_span(step, &params.span_begin, &params.span_end, error);
    if (status == CAIRN_OK)
        status = training_new(&params, &step->training, error);
    if (status == CAIRN_OK)
        log_info("training_begins",
                 "job=%s step=%" PRIu64 " final_step=%" PRIu64 " microbatches=%u-%u lanes=%u",
                 prepare->job_id, params.first_step, params.final_step, params.span_begin, params.span_end,
                 params.lane_count);
    if (status == CAIRN_OK && step->vote)
        training_vote(step->training);
    free(endpoints);
    return status;
}

static enum status make_items(struct step *step, struct error *error)
{
    size_t shards;
    void *const *sockets = training_sockets(step->training, &shards);

    step->item_count = 2 + shards;
    step->items = calloc(step->item_count, sizeof(*step->items));
    if (!step->items)
        return error_set(error, CAIRN_NO_MEMORY, "out of memory for %zu sockets", shards);
    for (size_t i = 0; i < step->item_count; i++)
        step->items[i].events = ZMQ_POLLIN;
    step->items[0].socket = actor_self_pipe(step->self);
    step->items[1].fd = training_descriptor(step->training);
    for (size_t i = 0; i < shards; i++)
        step->items[2 + i].socket = sockets[i];
    return CAIRN_OK;
}

/* ---- the end */

/* The first worker of the epoch, at the last step, writes the model where it was asked to. */
static bool must_write(const struct step *step, uint64_t done)
{
    const Cairn__EpochCommand *epoch = step->epoch;

    return epoch->output[0] != '\0' && done == epoch->final_step &&
           strcmp(epoch->workers[0], step->params.worker_name) == 0;
}

/* What became of the output goes into the report; a file that cannot be written does not undo a training. */
static void write_output(struct step *step, struct step_report *report)
{
    const struct job *job = step->opened.job;
    const struct h5_training training = job_h5_training(job);
    char *path = job_path(job, step->epoch->output);
    struct error error;
    enum status status;

    if (!path || strlen(path) >= sizeof(report->output))
        status = error_set(&error, CAIRN_INVALID, "the output's path is too long");
    else
        status = h5_write(path, job->graph, job->name, training_weights(step->training), &training, &error);
    if (status == CAIRN_OK) {
        snprintf(report->output, sizeof(report->output), "%s", path);
    } else {
        snprintf(report->message, sizeof(report->message), "%s", error.message);
        log_error("output_not_written", "reason=\"%s\"", error.message);
    }
    free(path);
}

static void tell_reached(struct step *step, uint64_t done)
{
    struct step_report *report = report_of(step, STEP_REACHED);

    report->figures.step = done;
    graph_hash(step->opened.job->graph, training_weights(step->training), report->model_hash);
    if (must_write(step, done))
        write_output(step, report);
    log_info("training_ends",
             "job=%s step=%" PRIu64
             " model=%s compute=%.3f communication=%.3f waiting=%.3f gradient_arenas=%zu",
             step->params.prepare->job_id, done, report->model_hash, step->figures.compute_share,
             step->figures.communication_share, step->figures.waiting_share, training_arenas(step->training));
    send_report(step);
}

/* ---- the thread */

/* Up to the end of training; CAIRN_CLOSED: told to stop before. */
static enum status train(struct step *step, struct error *error)
{
    enum status status = begin_training(step, error);
    uint64_t done = 0;

    if (status == CAIRN_OK)
        status = make_items(step, error);
    while (status == CAIRN_OK) {
        status = training_turn(step->training, error);
        if (status != CAIRN_OK)
            break;
        if (training_ended(step->training, &done)) {
            tell_reached(step, done);
            break;
        }
        status = wait_for_input(step->items, step->item_count, error);
        if (status == CAIRN_OK)
            status = take_commands(step, error);
    }
    return status;
}

static enum status work(struct step *step, struct error *error)
{
    enum status status = opened_job_open(&step->opened, step->params.prepare->text, error);

    if (status != CAIRN_OK)
        return status;
    step->record = hash_record_open(step->opened.job, step->params.prepare->job_id, step->params.worker_name);
    tell_prepared(step);
    while (status == CAIRN_OK && !step->epoch)
        status = wait_for_commands(step, error);
    return status == CAIRN_OK ? train(step, error) : status;
}

static void close_all(struct step *step)
{
    training_free(step->training);
    hash_record_close(step->record);
    opened_job_close(&step->opened);
    free(step->items);
    free(step);
}

static void run(struct actor_self *self, void *argument)
{
    struct step *step = argument;
    struct error error = {.message = ""};
    enum status status;

    step->self = self;
    actor_ready(self, CAIRN_OK, NULL);
    status = work(step, &error);
    if (status != CAIRN_OK && status != CAIRN_CLOSED) {
        log_error("job_failed", "job=%s reason=\"%s\"", step->params.prepare->job_id, error.message);
        tell_failed(step, &error);
    }
    training_free(step->training); /* its threads and memory are of no more use */
    step->training = NULL;
    for (status = status == CAIRN_CLOSED ? status : CAIRN_OK; status == CAIRN_OK;)
        status = wait_for_commands(step, &error);
    close_all(step);
}

enum status step_start(void *zmq_context, const struct step_params *params, struct actor **out,
                       struct error *error)
{
    struct step *step = calloc(1, sizeof(*step));
    enum status status;

    if (!step)
        return error_set(error, CAIRN_NO_MEMORY, "out of memory for a job");
    step->params = *params;
    status = actor_start(zmq_context, "step", run, step, out, error);
    if (status != CAIRN_OK)
        free(step);
    return status;
}
