/* The main thread: membership on one side, the step thread on the other. It computes nothing and waits for
 * nothing but its poll, except that it waits for a step thread that it has told to stop. */
#include "worker.h"

#include "base/clock.h"
#include "base/log.h"
#include "cluster/member.h"
#include "compute/compute.h"
#include "cores.h"
#include "net/daemon.h"
#include "report.h"
#include "step.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>
#include <zmq.h>

#define NAME_BYTES 128

/* The job in hand. The commands live as long as the step thread, which reads them. */
struct work {
    Cairn__NodeCommand *prepare; /* NULL: there is none */
    Cairn__NodeCommand *epoch;   /* NULL until it came */
    struct actor *step;
};

struct worker {
    void *zmq_context;
    const struct worker_options *options;
    char name[NAME_BYTES], host[HOST_NAME_MAX + 1];
    Cairn__Registration registration;
    struct member *member;
    struct work work;
    struct step_report report; /* the one in hand; large, so not on the stack */
};

/* ---- who we are */

static void find_host(struct worker *worker)
{
    if (gethostname(worker->host, sizeof(worker->host)) != 0)
        snprintf(worker->host, sizeof(worker->host), "unknown");
    worker->host[sizeof(worker->host) - 1] = '\0';
}

/* Chance keeps apart the workers of containers that all call themselves process 1 of the same host. */
static void make_name(struct worker *worker)
{
    uint32_t chance = 0;

    if (getrandom(&chance, sizeof(chance), GRND_NONBLOCK) != (ssize_t)sizeof(chance))
        chance = (uint32_t)clock_ns();
    snprintf(worker->name, sizeof(worker->name), "worker-%.64s-%ld-%08" PRIx32, worker->host, (long)getpid(),
             chance);
}

static enum status identify(struct worker *worker, struct error *error)
{
    const struct worker_options *options = worker->options;

    find_host(worker);
    if (!options->name)
        make_name(worker);
    else if (options->name[0] == '\0' || strlen(options->name) >= sizeof(worker->name))
        return error_set(error, CAIRN_INVALID, "--name: 1 to %zu characters are allowed",
                         sizeof(worker->name) - 1);
    else
        snprintf(worker->name, sizeof(worker->name), "%s", options->name);
    cairn__registration__init(&worker->registration);
    worker->registration.kind = CAIRN__NODE_KIND__NODE_KIND_WORKER;
    worker->registration.name = worker->name;
    worker->registration.host = worker->host;
    worker->registration.process = (uint32_t)getpid();
    worker->registration.version = (char *)CAIRN_VERSION;
    worker->registration.lanes = options->threads > 0 ? (uint32_t)options->threads : core_count();
    worker->registration.device = (char *)"cpu";
    if (options->device == DEVICE_CUDA)
        return error_set(error, CAIRN_UNSUPPORTED,
                         "--device cuda: this build has no cuda; auto and cpu are allowed");
    return CAIRN_OK;
}

enum status worker_new(void *zmq_context, const struct worker_options *options, struct worker **out,
                       struct error *error)
{
    struct worker *worker = calloc(1, sizeof(*worker));
    enum status status;

    if (!worker)
        return error_set(error, CAIRN_NO_MEMORY, "out of memory");
    worker->zmq_context = zmq_context;
    worker->options = options;
    status = identify(worker, error);
    if (status == CAIRN_OK)
        status = member_new(zmq_context, options->coordinator, &worker->registration, &worker->member, error);
    if (status != CAIRN_OK) {
        worker_free(worker);
        return status;
    }
    log_info("started", "name=%s lanes=%u coordinator=%s", worker->name, worker->registration.lanes,
             options->coordinator);
    *out = worker;
    return CAIRN_OK;
}

/* ---- the job in hand */

static void release(struct worker *worker)
{
    actor_stop(worker->work.step);
    if (worker->work.prepare)
        cairn__node_command__free_unpacked(worker->work.prepare, NULL);
    if (worker->work.epoch)
        cairn__node_command__free_unpacked(worker->work.epoch, NULL);
    memset(&worker->work, 0, sizeof(worker->work));
}

void worker_free(struct worker *worker)
{
    if (!worker)
        return;
    release(worker);
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
static void begin_job(struct worker *worker, Cairn__NodeCommand **command)
{
    struct step_params params = {.worker_name = worker->name,
                                 .lane_count = (uint32_t)worker->options->threads,
                                 .make_backend = backend_cpu_new};
    struct error error;

    release(worker);
    worker->work.prepare = *command;
    *command = NULL;
    params.prepare = worker->work.prepare->prepare;
    log_info("job_begins", "job=%s incarnation=%" PRIu64, params.prepare->job_id,
             params.prepare->incarnation);
    if (step_start(worker->zmq_context, &params, &worker->work.step, &error) == CAIRN_OK)
        return;
    tell_failure(worker, params.prepare->job, params.prepare->incarnation, &error);
    release(worker);
}

static void tell_step(struct worker *worker, const struct step_command *command)
{
    struct error error;

    if (actor_tell(worker->work.step, command, sizeof(*command), &error) != CAIRN_OK)
        log_error("step_not_told", "reason=\"%s\"", error.message);
}

/* Takes the command. An epoch that changes while training is for a later protocol. */
static void begin_epoch(struct worker *worker, Cairn__NodeCommand **command)
{
    struct step_command tell = {.kind = STEP_EPOCH, .epoch = (*command)->epoch};

    if (worker->work.epoch) {
        log_warn("epoch_ignored", "number=%" PRIu64, (*command)->epoch->number);
        return;
    }
    worker->work.epoch = *command;
    *command = NULL;
    tell_step(worker, &tell);
}

/* ---- commands and reports */

static void take_command(struct worker *worker, Cairn__NodeCommand **command)
{
    const struct step_command vote = {.kind = STEP_VOTE};
    const Cairn__NodeCommand *body = *command;

    switch (body->body_case) {
    case CAIRN__NODE_COMMAND__BODY_PREPARE:
        begin_job(worker, command);
        break;
    case CAIRN__NODE_COMMAND__BODY_EPOCH:
        if (is_ours(worker, body->epoch->job, body->epoch->incarnation))
            begin_epoch(worker, command);
        break;
    case CAIRN__NODE_COMMAND__BODY_STOP:
        if (is_ours(worker, body->stop->job, body->stop->incarnation))
            tell_step(worker, &vote);
        break;
    case CAIRN__NODE_COMMAND__BODY_RELEASE:
        if (is_ours(worker, body->release->job, body->release->incarnation)) {
            log_info("job_released", "job=%s", worker->work.prepare->prepare->job_id);
            release(worker);
        }
        break;
    default:
        log_debug("command_ignored", "kind=%d", (int)body->body_case);
    }
}

static enum status take_commands(struct worker *worker, struct error *error)
{
    Cairn__NodeCommand *command = NULL;
    enum status status;

    while ((status = member_receive(worker->member, &command, error)) == CAIRN_OK) {
        take_command(worker, &command);
        if (command)
            cairn__node_command__free_unpacked(command, NULL);
        command = NULL;
    }
    return status == CAIRN_AGAIN ? CAIRN_OK : status;
}

static void forward_reports(struct worker *worker)
{
    const Cairn__PrepareCommand *prepare;
    struct error error;

    while (worker->work.step &&
           actor_hear(worker->work.step, &worker->report, sizeof(worker->report), &error) == CAIRN_OK) {
        prepare = worker->work.prepare->prepare;
        if (report_send(worker->member, prepare->job, prepare->incarnation, &worker->report, &error) !=
            CAIRN_OK)
            log_warn("report_not_sent", "reason=\"%s\"", error.message);
    }
}

/* Sleeps until there is something to do; *ends when it is told to end. */
static enum status wait_for_input(struct worker *worker, int stop_descriptor, bool *ends, struct error *error)
{
    zmq_pollitem_t items[3] = {{.fd = stop_descriptor, .events = ZMQ_POLLIN},
                               {.socket = member_socket(worker->member), .events = ZMQ_POLLIN}};
    int count = 2;
    int64_t left_ms = member_deadline_ms(worker->member) - clock_ms();

    if (worker->work.step)
        items[count++] = (zmq_pollitem_t){.socket = actor_pipe(worker->work.step), .events = ZMQ_POLLIN};
    if (zmq_poll(items, count, left_ms > 0 ? (long)left_ms : 0) < 0 && zmq_errno() != EINTR)
        return error_set(error, CAIRN_IO, "zmq_poll: %s", zmq_strerror(zmq_errno()));
    *ends = items[0].revents != 0;
    return CAIRN_OK;
}

enum status worker_run(struct worker *worker, int stop_descriptor, struct error *error)
{
    enum status status = CAIRN_OK;
    bool ends = false;

    while (status == CAIRN_OK && !ends) {
        status = wait_for_input(worker, stop_descriptor, &ends, error);
        forward_reports(worker);
        if (status == CAIRN_OK && !ends)
            status = take_commands(worker, error);
    }
    return status;
}

void worker_keep_memory(void)
{
    daemon_keep_memory();
    mallopt(M_ARENA_MAX, 1); /* blocks are freed by other threads than took them */
}
