/* The main thread: membership on one side, the step thread on the other. It computes nothing and waits for
 * nothing but its poll: a step thread that it has told to stop says when it has, and until then what the
 * coordinator says is kept for later. Whoever ends this worker at once need not wait for that thread. */
#include "worker.h"

#include "base/clock.h"
#include "base/log.h"
#include "cluster/member.h"
#include "compute/compute.h"
#include "inbox.h"
#include "net/daemon.h"
#include "orders.h"
#include "report.h"
#include "standing.h"
#include "step.h"
#include "worker_identity.h"

#include <errno.h>
#include <inttypes.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>
#include <zmq.h>

#define DRAIN_PATIENCE_MS 10000 /* unless worker_limit_drain says otherwise */
#define LEAVE_MS          1000  /* for the Leave to get out, and for the step thread to end */

/* The job in hand. The command lives as long as the step thread, which reads it. */
struct work {
    Cairn__NodeCommand *prepare; /* NULL: there is none */
    uint64_t epoch;              /* the newest one's number */
    struct actor *step;
    bool step_ended;       /* it was told to stop, and has said that it has */
    struct routes *routes; /* that the step thread has been told; it may read any of them */
    struct standing standing;
};

struct worker {
    void *zmq_context;
    const struct worker_options *options;
    struct worker_identity identity;
    struct member *member; /* NULL: left */
    struct work work;
    struct inbox inbox; /* commands that came while the job in hand was ending */
    int stop_descriptor;
    struct step_report report;   /* in hand; large, so not on the stack */
    struct step_command command; /* likewise */
    bool was_welcomed;           /* some coordinator knows us, or did */
    bool is_draining;            /* told to end: the coordinator is to take the work from us */
    int64_t drain_patience_ms;   /* how long the coordinator may take for what is next then */
    int64_t drain_ends_ms;       /* when we end in any case */
    bool is_over;                /* it ends at once, whatever is in hand */
    bool is_dismissed;           /* nothing is left here to do */
};

enum status worker_new(void *zmq_context, const struct worker_options *options, struct worker **out,
                       struct error *error)
{
    struct worker *worker = calloc(1, sizeof(*worker));
    enum status status;

    if (!worker)
        return error_set(error, CAIRN_NO_MEMORY, "out of memory");
    worker->zmq_context = zmq_context;
    worker->options = options;
    worker->drain_patience_ms = DRAIN_PATIENCE_MS;
    status = worker_identify(&worker->identity, options, error);
    if (status == CAIRN_OK)
        status = member_new(zmq_context, options->coordinator, &worker->identity.registration,
                            &worker->member, error);
    if (status != CAIRN_OK) {
        worker_free(worker);
        return status;
    }
    log_info("started", "name=%s lanes=%u coordinator=%s", worker->identity.name,
             worker->identity.registration.lanes, options->coordinator);
    *out = worker;
    return CAIRN_OK;
}

void worker_limit_drain(struct worker *worker, int64_t patience_ms)
{
    worker->drain_patience_ms = patience_ms;
}

/* ---- the end of this worker */

static void send_drain(struct worker *worker)
{
    Cairn__NodeMessage message = CAIRN__NODE_MESSAGE__INIT;
    Cairn__Drain body = CAIRN__DRAIN__INIT;
    struct error error;

    message.body_case = CAIRN__NODE_MESSAGE__BODY_DRAIN;
    message.drain = &body;
    if (member_send(worker->member, &message, &error) != CAIRN_OK)
        log_warn("drain_not_sent", "reason=\"%s\"", error.message);
}

/* Takes one signal. It ends this worker at once when it is the second, or nobody could take the work. */
static void take_signal(struct worker *worker)
{
    struct signalfd_siginfo signal;

    worker->is_over = worker->is_draining || !worker->was_welcomed ||
                      read(worker->stop_descriptor, &signal, sizeof(signal)) < 0;
    if (worker->is_over)
        return;
    log_info("draining", "job=%s", worker->work.prepare ? worker->work.prepare->prepare->job_id : "none");
    worker->is_draining = true;
    worker->drain_ends_ms = clock_ms() + worker->drain_patience_ms;
    send_drain(worker);
}

/* Sleeps until there is something to do; *is_signalled when this worker is told to end. */
static enum status wait_for_input(struct worker *worker, bool *is_signalled, struct error *error)
{
    zmq_pollitem_t items[4] = {{.fd = worker->stop_descriptor, .events = ZMQ_POLLIN},
                               {.socket = member_socket(worker->member), .events = ZMQ_POLLIN},
                               {.socket = member_link(worker->member), .events = ZMQ_POLLIN}};
    int count = 3;
    int64_t deadline_ms = member_deadline_ms(worker->member), left_ms;

    if (worker->is_draining && worker->drain_ends_ms < deadline_ms)
        deadline_ms = worker->drain_ends_ms;
    left_ms = deadline_ms - clock_ms();
    if (worker->work.step)
        items[count++] = (zmq_pollitem_t){.socket = actor_pipe(worker->work.step), .events = ZMQ_POLLIN};
    if (zmq_poll(items, count, left_ms > 0 ? (long)left_ms : 0) < 0 && zmq_errno() != EINTR)
        return error_set(error, CAIRN_IO, "zmq_poll: %s", zmq_strerror(zmq_errno()));
    *is_signalled = items[0].revents != 0;
    return CAIRN_OK;
}

/* Whether this worker is to serve no longer. */
static bool has_ended(struct worker *worker)
{
    if (!worker->is_over && worker->is_draining && clock_ms() >= worker->drain_ends_ms) {
        log_warn("drain_unanswered", "seconds=%.3g", (double)worker->drain_patience_ms / 1000);
        worker->is_over = true;
    }
    return worker->is_over || worker->is_dismissed;
}

/* ---- the job in hand */

/* Takes the reports of a step thread that was told to stop: of what it did nothing counts any more. */
static void hear_end(struct worker *worker)
{
    struct error error;

    while (!worker->work.step_ended &&
           actor_hear(worker->work.step, &worker->report, sizeof(worker->report), &error) == CAIRN_OK)
        worker->work.step_ended = worker->report.kind == STEP_ENDED;
}

static enum status keep_commands(struct worker *worker, struct error *error)
{
    Cairn__NodeCommand *command = NULL;
    enum status status;

    while ((status = member_receive(worker->member, &command, error)) == CAIRN_OK) {
        status = inbox_put(&worker->inbox, &command, error);
        if (status != CAIRN_OK) {
            cairn__node_command__free_unpacked(command, NULL);
            return status;
        }
    }
    return status == CAIRN_AGAIN ? CAIRN_OK : status;
}

/* Tells the step thread to stop and waits until it has, or this worker is to serve no longer. */
static enum status end_step(struct worker *worker, struct error *error)
{
    enum status status = CAIRN_OK;
    bool is_signalled;

    actor_close(worker->work.step);
    while (status == CAIRN_OK && !worker->work.step_ended && !has_ended(worker)) {
        status = wait_for_input(worker, &is_signalled, error);
        hear_end(worker);
        if (status == CAIRN_OK)
            status = keep_commands(worker, error);
        if (status == CAIRN_OK && is_signalled)
            take_signal(worker);
    }
    return status;
}

/* Blocks until the step thread has ended, which reads what is freed. */
static void work_free(struct work *work)
{
    actor_stop(work->step);
    routes_free(&work->routes);
    if (work->prepare)
        cairn__node_command__free_unpacked(work->prepare, NULL);
    memset(work, 0, sizeof(*work));
}

/* Ends the job in hand. It stays where it is when this worker is to serve no longer, or cannot. */
static enum status release(struct worker *worker, struct error *error)
{
    struct work *work = &worker->work;
    enum status status = CAIRN_OK;

    if (work->prepare)
        member_disengage(worker->member, work->prepare->prepare->job, work->prepare->prepare->incarnation);
    if (work->step)
        status = end_step(worker, error);
    if (!work->step || work->step_ended)
        work_free(work);
    return status;
}

bool worker_leave(struct worker *worker)
{
    int64_t deadline_ms = clock_ms() + LEAVE_MS, left_ms;
    struct work *work = &worker->work;

    member_free(worker->member, "told to stop");
    worker->member = NULL;
    if (!work->step)
        return true;
    actor_close(work->step);
    while (!work->step_ended && (left_ms = deadline_ms - clock_ms()) > 0) {
        zmq_pollitem_t item = {.socket = actor_pipe(work->step), .events = ZMQ_POLLIN};

        if (zmq_poll(&item, 1, (long)left_ms) < 0 && zmq_errno() != EINTR)
            break;
        hear_end(worker);
    }
    return work->step_ended;
}

void worker_free(struct worker *worker)
{
    if (!worker)
        return;
    work_free(&worker->work);
    inbox_clear(&worker->inbox);
    member_free(worker->member, "told to stop");
    free(worker);
}

/* Whether a command is about the job in hand. */
static bool is_ours(const struct worker *worker, uint64_t job, uint64_t incarnation)
{
    const Cairn__NodeCommand *prepare = worker->work.prepare;

    return prepare && prepare->prepare->job == job && prepare->prepare->incarnation == incarnation;
}

/* The coordinator may be away: then the line is only in our log. */
static void tell_failure(struct worker *worker, uint64_t job, uint64_t incarnation,
                         const struct error *failure)
{
    struct error error;

    log_error("job_failed", "job=%" PRIu64 " reason=\"%s\"", job, failure->message);
    if (report_send_failure(worker->member, job, incarnation, failure->message, &error) != CAIRN_OK)
        log_warn("report_not_sent", "reason=\"%s\"", error.message);
}

/* Takes the command. A job that was in hand is given up: the coordinator knows what it wants. */
static enum status begin_job(struct worker *worker, Cairn__NodeCommand **command, struct error *error)
{
    struct step_params params = {.worker_name = worker->identity.name,
                                 .lane_count = (uint32_t)worker->options->threads,
                                 .make_backend = backend_cpu_new};
    struct error failure;
    enum status status = release(worker, error);

    if (status != CAIRN_OK || has_ended(worker))
        return status;
    worker->work.prepare = *command;
    *command = NULL;
    params.prepare = worker->work.prepare->prepare;
    log_info("job_begins", "job=%s incarnation=%" PRIu64, params.prepare->job_id,
             params.prepare->incarnation);
    if (member_engage(worker->member, params.prepare->job, params.prepare->incarnation, &failure) ==
            CAIRN_OK &&
        step_start(worker->zmq_context, &params, &worker->work.step, &failure) == CAIRN_OK)
        return CAIRN_OK;
    tell_failure(worker, params.prepare->job, params.prepare->incarnation, &failure);
    return release(worker, error);
}

static void tell_step(struct worker *worker, const struct step_command *command)
{
    struct error error;

    if (actor_tell(worker->work.step, command, sizeof(*command), &error) != CAIRN_OK)
        log_error("step_not_told", "reason=\"%s\"", error.message);
}

static enum status take_epoch(struct worker *worker, const Cairn__EpochCommand *epoch, struct error *error)
{
    struct orders *orders = &worker->command.orders;
    enum status status = orders_of(epoch, worker->identity.name, orders, error);

    if (status == CAIRN_OK && epoch->n_shards > 0) {
        status = routes_add(&worker->work.routes, epoch, error);
        orders->routes = worker->work.routes;
    }
    return status;
}

/* Each epoch is the next one's past: only the newest counts. */
static void begin_epoch(struct worker *worker, const Cairn__EpochCommand *epoch)
{
    struct error error;

    if (epoch->number <= worker->work.epoch) {
        log_debug("epoch_ignored", "number=%" PRIu64 " newest=%" PRIu64, epoch->number, worker->work.epoch);
        return;
    }
    worker->work.epoch = epoch->number;
    worker->command.kind = STEP_ORDERS;
    if (take_epoch(worker, epoch, &error) == CAIRN_OK)
        tell_step(worker, &worker->command);
    else
        tell_failure(worker, epoch->job, epoch->incarnation, &error);
}

static enum status give_job_back(struct worker *worker, struct error *error)
{
    enum status status;

    log_info("job_released", "job=%s", worker->work.prepare->prepare->job_id);
    status = release(worker, error);
    worker->drain_ends_ms = clock_ms() + worker->drain_patience_ms;
    return status;
}

/* ---- commands and reports */

static enum status take_command(struct worker *worker, Cairn__NodeCommand **command, struct error *error)
{
    const Cairn__NodeCommand *body = *command;

    switch (body->body_case) {
    case CAIRN__NODE_COMMAND__BODY_PREPARE:
        return begin_job(worker, command, error);
    case CAIRN__NODE_COMMAND__BODY_EPOCH:
        if (is_ours(worker, body->epoch->job, body->epoch->incarnation))
            begin_epoch(worker, body->epoch);
        break;
    case CAIRN__NODE_COMMAND__BODY_STOP:
        worker->command.kind = STEP_VOTE;
        if (is_ours(worker, body->stop->job, body->stop->incarnation))
            tell_step(worker, &worker->command);
        break;
    case CAIRN__NODE_COMMAND__BODY_RELEASE:
        if (is_ours(worker, body->release->job, body->release->incarnation))
            return give_job_back(worker, error);
        break;
    case CAIRN__NODE_COMMAND__BODY_DISMISS:
        log_info("dismissed", "");
        worker->is_dismissed = true;
        break;
    default:
        log_debug("command_ignored", "kind=%d", (int)body->body_case);
    }
    return CAIRN_OK;
}

/* What waited comes first. */
static enum status next_command(struct worker *worker, Cairn__NodeCommand **command, struct error *error)
{
    *command = inbox_take(&worker->inbox);
    return *command ? CAIRN_OK : member_receive(worker->member, command, error);
}

static enum status take_commands(struct worker *worker, struct error *error)
{
    Cairn__NodeCommand *command = NULL;
    enum status status = CAIRN_OK;

    while (status == CAIRN_OK && !worker->is_over &&
           (status = next_command(worker, &command, error)) == CAIRN_OK) {
        status = take_command(worker, &command, error);
        if (command)
            cairn__node_command__free_unpacked(command, NULL);
        command = NULL;
    }
    return status == CAIRN_AGAIN ? CAIRN_OK : status;
}

static void send_report(void *context, const struct step_report *report)
{
    struct worker *worker = context;
    const Cairn__PrepareCommand *prepare = worker->work.prepare->prepare;
    struct error error;

    if (report_send(worker->member, prepare->job, prepare->incarnation, report, &error) != CAIRN_OK)
        log_warn("report_not_sent", "reason=\"%s\"", error.message);
}

static void forward_reports(struct worker *worker)
{
    struct error error;

    while (worker->work.step &&
           actor_hear(worker->work.step, &worker->report, sizeof(worker->report), &error) == CAIRN_OK) {
        worker->work.step_ended = worker->report.kind == STEP_ENDED;
        if (worker->work.step_ended)
            return;
        standing_keep(&worker->work.standing, &worker->report);
        send_report(worker, &worker->report);
    }
}

/* To a coordinator that has just taken our registration, and may know nothing else of us. */
static void repeat_reports(struct worker *worker)
{
    standing_visit(&worker->work.standing, send_report, worker);
    if (worker->is_draining)
        send_drain(worker);
    worker->was_welcomed = true;
}

enum status worker_run(struct worker *worker, int stop_descriptor, struct error *error)
{
    enum status status = CAIRN_OK;
    bool is_signalled = false;

    worker->stop_descriptor = stop_descriptor;
    while (status == CAIRN_OK && !has_ended(worker)) {
        status = wait_for_input(worker, &is_signalled, error);
        forward_reports(worker);
        if (status == CAIRN_OK)
            status = take_commands(worker, error);
        if (status == CAIRN_OK && member_take_welcome(worker->member))
            repeat_reports(worker);
        if (status == CAIRN_OK && is_signalled && !worker->is_over)
            take_signal(worker);
    }
    return status;
}

void worker_keep_memory(void)
{
    daemon_keep_memory();
    mallopt(M_ARENA_MAX, 1); /* blocks are freed by other threads than took them */
}
