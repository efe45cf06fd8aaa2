/* The step thread's loop: one poll over the shards' sockets, the lanes' mailbox and the main thread's pipe;
 * everything that is there is handled before the next.
 *
 * It is idle, or it trains, or it pauses before it trains anew; it is over after an end, of training or of
 * our means. A training is thrown away when there are newer orders or it cannot go on at some shard; what is
 * under way is lost with it, which costs time and nothing else. */
#include "step.h"

#include "base/clock.h"
#include "base/log.h"
#include "cluster/placement.h"
#include "cores.h"
#include "hash_record.h"
#include "opened_job.h"
#include "patience.h"
#include "telling.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

struct step {
    struct step_params params;
    struct opened_job opened;
    const char **endpoints; /* of all shards */
    struct orders orders;   /* the newest; number 0: none yet */
    bool has_orders;
    bool is_wanted;            /* they give us work, and shards take it */
    bool is_over;              /* nothing more will be computed for this job */
    bool vote;                 /* told to stop */
    struct hash_record *record; /* NULL: none is kept */
    struct training *training; /* NULL: idle, or in a pause */
    bool is_synchronised;      /* the training, when it was looked at last */
    uint64_t done;             /* its steps, then */
    struct training_history history;
    struct patience patience;
    zmq_pollitem_t *items; /* the pipe; with a training, its mailbox and the shards */
    size_t item_count;
    struct telling telling;
};

/* ---- the training in hand */

static void drop_training(struct step *step)
{
    training_free(step->training);
    step->training = NULL;
    step->item_count = 1;
}

/* As the user said, as the job says, or so many that their kernels fill the machine. */
static uint32_t lane_count(const struct step *step)
{
    const struct job *job = step->opened.job;
    uint32_t lanes = core_count() / job->threads_per_microbatch;

    if (step->params.lane_count > 0)
        return step->params.lane_count;
    if (job->threads_per_worker > 0)
        return job->threads_per_worker;
    return lanes > 0 ? lanes : 1;
}

/* Epochs come from outside. */
static enum status check_orders(const struct step *step, struct error *error)
{
    const struct orders *orders = &step->orders;
    uint32_t microbatches = step->opened.job->microbatches;

    if (orders->first_step > orders->final_step)
        return error_set(error, CAIRN_PROTOCOL, "the epoch is from step %" PRIu64 " to %" PRIu64,
                         orders->first_step, orders->final_step);
    if (orders->span_end > microbatches)
        return error_set(error, CAIRN_PROTOCOL, "the epoch gives this worker microbatches [%u, %u) of %u",
                         orders->span_begin, orders->span_end, microbatches);
    if (orders->routes && orders->routes->slot_count != step->params.prepare->n_slot_shards)
        return error_set(error, CAIRN_PROTOCOL, "the epoch places %u slots where the model has %zu",
                         orders->routes->slot_count, step->params.prepare->n_slot_shards);
    return CAIRN_OK;
}

/* Where the shards are. */
static struct session_params session_of(const struct step *step)
{
    const Cairn__PrepareCommand *prepare = step->params.prepare;
    const struct routes *routes = step->orders.routes;
    struct session_params params = {.job = prepare->job,
                                    .incarnation = prepare->incarnation,
                                    .shard_count = (uint32_t)prepare->n_shards,
                                    .endpoints = step->endpoints,
                                    .slot_count = (uint32_t)prepare->n_slot_shards,
                                    .slot_shards = prepare->slot_shards,
                                    .worker = step->orders.worker};

    if (routes) {
        params.shard_count = routes->shard_count;
        params.endpoints = (const char *const *)routes->endpoints;
        params.slot_shards = routes->slot_shards;
    }
    return params;
}

static struct training_params params_of(struct step *step)
{

    return (struct training_params){
        .zmq_context = actor_self_context(step->telling.self),
        .job = step->opened.job,
        .training = step->opened.training,
        .validation = step->opened.validation,
        .first_step = step->orders.first_step,
        .final_step = step->orders.final_step,
        .span_begin = step->orders.span_begin,
        .span_end = step->orders.span_end,
        .is_first = step->orders.is_first,
        .is_closing = step->orders.is_closing,
        .lane_count = lane_count(step),
        .make_backend = step->params.make_backend,
        .record = step->record,
        .session = session_of(step),
        .history = &step->history,
        .events = {.progress = tell_progress, .validated = tell_validated, .context = &step->telling}};
}

static enum status make_items(struct step *step, struct error *error)
{
    size_t shards;
    void *const *sockets = training_sockets(step->training, &shards);
    zmq_pollitem_t *items = realloc(step->items, (2 + shards) * sizeof(*items));

    if (!items)
        return error_set(error, CAIRN_NO_MEMORY, "out of memory for %zu sockets", shards);
    step->items = items;
    step->item_count = 2 + shards;
    items[1] = (zmq_pollitem_t){.fd = training_descriptor(step->training), .events = ZMQ_POLLIN};
    for (size_t i = 0; i < shards; i++)
        items[2 + i] = (zmq_pollitem_t){.socket = sockets[i], .events = ZMQ_POLLIN};
    return CAIRN_OK;
}

static enum status begin_training(struct step *step, struct error *error)
{
    const struct training_params params = params_of(step);
    enum status status = check_orders(step, error);

    if (status == CAIRN_OK)
        status = training_new(&params, &step->training, error);
    if (status != CAIRN_OK)
        return status;
    if (step->vote)
        training_vote(step->training);
    step->is_synchronised = false;
    return make_items(step, error);
}

/* ---- commands */

static void take_orders(struct step *step, const struct orders *orders)
{
    const struct routes *routes = orders->routes ? orders->routes : step->orders.routes;

    if (step->is_over || (step->has_orders && orders->number <= step->orders.number))
        return;
    drop_training(step);
    step->orders = *orders;
    step->orders.routes = routes;
    step->has_orders = true;
    step->is_wanted = orders->has_work;
    patience_begin(&step->patience, step->params.patience_ms, clock_ms());
    if (orders->has_work)
        log_info("training_begins",
                 "job=%s epoch=%" PRIu64 " final_step=%" PRIu64 " microbatches=%u-%u lanes=%u",
                 step->params.prepare->job_id, orders->number, orders->final_step, orders->span_begin,
                 orders->span_end, lane_count(step));
    else
        log_info("training_pauses", "job=%s epoch=%" PRIu64, step->params.prepare->job_id, orders->number);
}

/* Takes all commands that are there. CAIRN_CLOSED: told to stop. */
static enum status take_commands(struct step *step, struct error *error)
{
    struct step_command command;
    enum status status;

    while ((status = actor_take(step->telling.self, &command, sizeof(command), error)) == CAIRN_OK) {
        if (command.kind == STEP_ORDERS) {
            take_orders(step, &command.orders);
            continue;
        }
        step->vote = true;
        if (step->training)
            training_vote(step->training);
    }
    return status == CAIRN_AGAIN ? CAIRN_OK : status;
}

/* When there is something to do though nothing comes, on clock_ms(); INT64_MAX: never. */
static int64_t deadline_ms(const struct step *step)
{
    if (!step->training)
        return step->is_wanted ? step->patience.retry_ms : INT64_MAX;
    return training_is_synchronised(step->training) ? training_deadline_ms(step->training)
                                                    : patience_end_ms(&step->patience);
}

static enum status wait_for_input(struct step *step, struct error *error)
{
    int64_t deadline = deadline_ms(step), left_ms = deadline - clock_ms();
    long timeout_ms = deadline == INT64_MAX ? -1 : left_ms > 0 ? (long)left_ms : 0;

    if (zmq_poll(step->items, (int)step->item_count, timeout_ms) >= 0 || zmq_errno() == EINTR)
        return CAIRN_OK;
    if (zmq_errno() == ETERM)
        return error_set(error, CAIRN_CLOSED, "the messaging context is closed");
    return error_set(error, CAIRN_IO, "zmq_poll: %s", zmq_strerror(zmq_errno()));
}

/* ---- the end */

static void finish(struct step *step)
{
    drop_training(step);
    step->is_over = true;
    step->is_wanted = false;
}

/* Throughput modes: the model is what all have left behind, which the one that is told to close will read. */
static void end_own_part(struct step *step, const struct training_end *end)
{
    tell_done(&step->telling, end->step);
    log_info("steps_end", "job=%s worker=%" PRIu64 " step=%" PRIu64, step->params.prepare->job_id,
             step->orders.worker, end->step);
    drop_training(step);
    step->is_wanted = false;
}

static void end_training(struct step *step, const struct training_end *end)
{
    const struct training_figures *figures = &step->telling.figures;

    tell_reached(&step->telling, end->step, training_weights(step->training),
                 end->is_whole ? step->orders.output : "");
    log_info("training_ends",
             "job=%s step=%" PRIu64
             " model=%s compute=%.3f communication=%.3f waiting=%.3f gradient_arenas=%zu",
             step->params.prepare->job_id, end->step, step->telling.report.model_hash, figures->compute_share,
             figures->communication_share, figures->waiting_share, training_arenas(step->training));
    finish(step);
}

/* ---- trouble */

/* Whether a new training may go on where this one could not. A server that has begun anew does not know the
 * job until the coordinator tells it to prepare. */
static bool may_pass(enum status status)
{
    return status == CAIRN_IO || status == CAIRN_FULL || status == CAIRN_PASSED || status == CAIRN_NOT_FOUND;
}

static void say_trouble(struct step *step, enum status status, const struct error *error)
{
    /* A shard that has handed over what it is asked for says that it has no such thing. */
    if (status == CAIRN_PASSED || !patience_must_tell(&step->patience, status == CAIRN_NOT_FOUND)) {
        log_debug("synchronises_again", "job=%s reason=\"%s\"", step->params.prepare->job_id, error->message);
        return;
    }
    log_warn("shards_lost", "job=%s reason=\"%s\"", step->params.prepare->job_id, error->message);
    tell_trouble(&step->telling, error);
}

static enum status give_up(const struct step *step, enum status status, struct error *error)
{
    char message[sizeof(error->message)];

    memcpy(message, error->message, sizeof(message));
    return error_set(error, status, "%.400s, for %.3g s", message, (double)step->patience.limit_ms / 1000);
}

/* A training has failed: throws it away, and perhaps gives up. */
static enum status bear(struct step *step, enum status status, struct error *error)
{
    int64_t now_ms = clock_ms();
    bool is_trouble = training_is_in_trouble(step->training);

    if (is_trouble && status == CAIRN_STALE) {
        log_info("incarnation_over", "job=%s reason=\"%s\"", step->params.prepare->job_id, error->message);
        drop_training(step);
        step->is_wanted = false;
        return CAIRN_OK;
    }
    if (!is_trouble || !may_pass(status))
        return status;
    patience_trouble(&step->patience, now_ms);
    if (now_ms >= patience_end_ms(&step->patience))
        return give_up(step, status, error);
    say_trouble(step, status, error);
    drop_training(step);
    return CAIRN_OK;
}

/* What a turn has brought. */
static enum status look_at_training(struct step *step, struct error *error)
{
    struct training_end end;
    struct lanes_fault fault;
    bool is_ours;

    if (!training_is_synchronised(step->training))
        return clock_ms() < patience_end_ms(&step->patience)
                   ? CAIRN_OK
                   : give_up(step, training_unreached(step->training, error), error);
    patience_reached(&step->patience);
    if (step->is_synchronised && training_done(step->training) > step->done)
        patience_success(&step->patience);
    step->is_synchronised = true;
    step->done = training_done(step->training);
    if (training_is_not_finite(step->training, &fault, &is_ours)) {
        tell_not_finite(&step->telling, &fault, is_ours);
        finish(step);
    } else if (training_ended(step->training, &end)) {
        if (job_is_throughput(step->opened.job) && !step->orders.is_closing)
            end_own_part(step, &end);
        else
            end_training(step, &end);
    }
    return CAIRN_OK;
}

/* ---- the thread */

static enum status work_on(struct step *step, struct error *error)
{
    enum status status = CAIRN_OK;

    if (!step->training && step->is_wanted && clock_ms() >= step->patience.retry_ms)
        status = begin_training(step, error);
    if (status != CAIRN_OK || !step->training)
        return status;
    status = training_turn(step->training, error);
    return status == CAIRN_OK ? look_at_training(step, error) : bear(step, status, error);
}

/* What the job needs besides its data. */
static enum status prepare(struct step *step, struct error *error)
{
    const Cairn__PrepareCommand *prepare = step->params.prepare;
    uint32_t slots = placement_slot_count(step->opened.job->graph->chunk_count);

    if (prepare->n_slot_shards != slots)
        return error_set(error, CAIRN_PROTOCOL, "the coordinator placed %zu slots where the model has %u",
                         prepare->n_slot_shards, slots);
    step->endpoints = calloc(prepare->n_shards ? prepare->n_shards : 1, sizeof(*step->endpoints));
    if (!step->endpoints)
        return error_set(error, CAIRN_NO_MEMORY, "out of memory for %zu shards", prepare->n_shards);
    for (size_t i = 0; i < prepare->n_shards; i++)
        step->endpoints[i] = prepare->shards[i]->endpoint;
    training_history_init(&step->history, step->opened.job);
    return CAIRN_OK;
}

/* Up to being told to stop, CAIRN_CLOSED, or a failure. */
static enum status work(struct step *step, struct error *error)
{
    enum status status = opened_job_open(&step->opened, step->params.prepare->text, error);

    if (status == CAIRN_OK)
        status = prepare(step, error);
    if (status == CAIRN_OK) {
        step->record =
            hash_record_open(step->opened.job, step->params.prepare->job_id, step->params.worker_name);
        tell_prepared(&step->telling);
    }
    while (status == CAIRN_OK) {
        status = work_on(step, error);
        if (status == CAIRN_OK)
            status = wait_for_input(step, error);
        if (status == CAIRN_OK)
            status = take_commands(step, error);
    }
    return status;
}

static void close_all(struct step *step)
{
    drop_training(step);
    hash_record_close(step->record);
    opened_job_close(&step->opened);
    free(step->endpoints);
    free(step->items);
    free(step);
}

static void run(struct actor_self *self, void *argument)
{
    static const struct step_report ended = {.kind = STEP_ENDED};
    struct step *step = argument;
    struct error error = {.message = ""};
    enum status status;

    step->telling.self = self;
    step->items[0] = (zmq_pollitem_t){.socket = actor_self_pipe(self), .events = ZMQ_POLLIN};
    actor_ready(self, CAIRN_OK, NULL);
    status = work(step, &error);
    if (status != CAIRN_CLOSED) {
        log_error("job_failed", "job=%s reason=\"%s\"", step->params.prepare->job_id, error.message);
        tell_failed(&step->telling, &error);
        finish(step); /* its threads and memory are of no more use */
        do {
            status = wait_for_input(step, &error);
            if (status == CAIRN_OK)
                status = take_commands(step, &error);
        } while (status == CAIRN_OK);
    }
    close_all(step);
    /* It can fail only when the context is terminated, and then nobody listens. */
    if (actor_report(self, &ended, sizeof(ended), &error) != CAIRN_OK)
        log_debug("report_not_sent", "reason=\"%s\"", error.message);
}

enum status step_start(void *zmq_context, const struct step_params *params, struct actor **out,
                       struct error *error)
{
    struct step *step = calloc(1, sizeof(*step));
    zmq_pollitem_t *items = calloc(1, sizeof(*items));
    enum status status;

    if (!step || !items) {
        free(step);
        free(items);
        return error_set(error, CAIRN_NO_MEMORY, "out of memory for a job");
    }
    step->params = *params;
    step->items = items;
    step->item_count = 1;
    step->telling.opened = &step->opened;
    status = actor_start(zmq_context, "step", run, step, out, error);
    if (status != CAIRN_OK) {
        free(items);
        free(step);
    }
    return status;
}
