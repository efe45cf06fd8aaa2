/* One training with all its processes as children. */
#include "training.h"

#include "base/clock.h"
#include "request.h"
#include "result.h"
#include "training_children.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/signalfd.h>
#include <unistd.h>
#include <zmq.h>

/* How long a coordinator that is our own child may take to answer; disks may be slow. */
#define ANSWER_MS 30000
/* How long children may take to end in order. */
#define STOP_MS 10000

const Cairn__JobStatus *training_status(const struct training *training)
{
    return training->last ? training->last->job : NULL;
}

static void show_note(void *context, const char *line)
{
    progress_note(context, "%s", line);
}

enum status training_init(struct training *training, const struct training_params *params,
                          struct run_folder *folder, struct progress *progress, struct error *error)
{
    const struct supervisor_viewer viewer = {show_note, progress};
    sigset_t ours;

    *training = (struct training){.params = *params, .folder = folder, .progress = progress, .signals = -1};
    sigemptyset(&ours);
    sigaddset(&ours, SIGINT);
    sigaddset(&ours, SIGTERM);
    sigaddset(&ours, SIGHUP);
    sigaddset(&ours, SIGCHLD);
    sigprocmask(SIG_BLOCK, &ours, &training->old_mask);
    supervisor_init(&training->supervisor, &training->old_mask, folder->lock, &viewer);
    training->signals = signalfd(-1, &ours, SFD_NONBLOCK | SFD_CLOEXEC);
    if (training->signals < 0)
        return error_system(error, errno, "cannot watch signals");
    training->zmq_context = zmq_ctx_new();
    if (!training->zmq_context)
        return error_set(error, CAIRN_NO_MEMORY, "cannot make a ZeroMQ context: %s",
                         zmq_strerror(zmq_errno()));
    return CAIRN_OK;
}

void training_fini(struct training *training)
{
    (void)supervisor_stop(&training->supervisor, training->interrupts < 2 ? STOP_MS : 0);
    supervisor_fini(&training->supervisor);
    requester_free(training->requester);
    if (training->zmq_context)
        zmq_ctx_term(training->zmq_context);
    if (training->last)
        cairn__client_reply__free_unpacked(training->last, NULL);
    if (training->signals >= 0)
        close(training->signals);
    sigprocmask(SIG_SETMASK, &training->old_mask, NULL);
}

/* ---- waiting */

/* Takes the signals that came. Errors: CAIRN_AGAIN when the user interrupted. */
static enum status take_signals(struct training *training, struct error *error)
{
    struct signalfd_siginfo news;
    bool interrupted = false;

    while (read(training->signals, &news, sizeof(news)) == (ssize_t)sizeof(news)) {
        if (news.ssi_signo != SIGCHLD) {
            training->interrupts++;
            interrupted = true;
        }
    }
    return interrupted ? error_set(error, CAIRN_AGAIN, "interrupted") : CAIRN_OK;
}

/* How often the coordinator was started. */
static uint32_t coordinator_starts(const struct training *training)
{
    const struct child *coordinator = supervisor_child(&training->supervisor, TRAINING_COORDINATOR);

    return coordinator ? coordinator->start_count : 0;
}

static enum status take_news(struct training *training, struct error *error)
{
    enum status interrupted = take_signals(training, error), status;
    uint32_t starts = coordinator_starts(training);
    struct error tended;

    status = supervisor_tend(&training->supervisor, &tended);
    if (status != CAIRN_OK) {
        *error = tended;
        return status;
    }
    if (interrupted == CAIRN_OK && coordinator_starts(training) != starts)
        return error_set(error, CAIRN_STALE,
                         "the coordinator ended in the middle of it and was started again");
    return interrupted;
}

/* Milliseconds until the deadline or until a child is to be started again; -1: no such time. */
static int64_t milliseconds_left(const struct training *training, int64_t deadline_ms)
{
    int64_t child_ms = supervisor_deadline_ms(&training->supervisor), left_ms;

    if (child_ms >= 0 && (deadline_ms < 0 || child_ms < deadline_ms))
        deadline_ms = child_ms;
    left_ms = deadline_ms - clock_ms();
    return deadline_ms < 0 ? -1 : left_ms > 0 ? left_ms : 0;
}

enum status training_wait(struct training *training, zmq_pollitem_t item, int64_t deadline_ms,
                          struct error *error)
{
    zmq_pollitem_t items[2] = {item, {.fd = training->signals, .events = ZMQ_POLLIN}};
    enum status status = CAIRN_OK;

    while (status == CAIRN_OK) {
        int ready;

        if (deadline_ms >= 0 && clock_ms() >= deadline_ms)
            return error_set(error, CAIRN_TIMEOUT, "timed out");
        ready = zmq_poll(items, 2, milliseconds_left(training, deadline_ms));
        if (ready < 0 && zmq_errno() != EINTR)
            return error_set(error, CAIRN_IO, "cannot wait: %s", zmq_strerror(zmq_errno()));
        if (ready > 0 && items[0].revents)
            return CAIRN_OK; /* news first: a job's own reason says more than a child's end */
        status = take_news(training, error);
    }
    return status;
}

/* The next answer to the newest request. */
static enum status receive(struct training *training, int64_t deadline_ms,
                           Cairn__ClientReply__BodyCase expected, Cairn__ClientReply **reply,
                           struct error *error)
{
    const zmq_pollitem_t item = {.socket = requester_socket(training->requester), .events = ZMQ_POLLIN};

    for (;;) {
        enum status status = requester_receive(training->requester, 0, reply, error);

        if (status == CAIRN_TIMEOUT || status == CAIRN_AGAIN) {
            status = training_wait(training, item, deadline_ms, error);
            if (status == CAIRN_TIMEOUT)
                return error_set(error, CAIRN_TIMEOUT, "the coordinator does not answer");
            if (status != CAIRN_OK)
                return status;
            continue;
        }
        if (status == CAIRN_OK && (*reply)->body_case != expected) {
            cairn__client_reply__free_unpacked(*reply, NULL);
            return error_set(error, CAIRN_PROTOCOL, "the coordinator gave an answer of another kind");
        }
        return status;
    }
}

static enum status ask(struct training *training, Cairn__ClientRequest *request,
                       Cairn__ClientReply__BodyCase expected, Cairn__ClientReply **reply, struct error *error)
{
    enum status status = requester_send(training->requester, request, error);

    if (status == CAIRN_OK)
        status = receive(training, clock_ms() + ANSWER_MS, expected, reply, error);
    if (status == CAIRN_STALE)
        return error_set(error, CAIRN_CLOSED, "the coordinator died before it answered: try again");
    return status;
}

static void keep_status(struct training *training, Cairn__ClientReply *reply)
{
    if (training->last)
        cairn__client_reply__free_unpacked(training->last, NULL);
    training->last = reply;
}

/* ---- earlier runs */

enum former_run { FORMER_NONE, FORMER_FINISHED, FORMER_UNFINISHED };

static enum former_run judge_former(const Cairn__JobStatus *job)
{
    if (job->state == CAIRN__JOB_STATE__JOB_STATE_COMPLETED || job->committed_step == 0)
        return FORMER_FINISHED; /* or it has nothing that could be lost */
    return FORMER_UNFINISHED;
}

/* What the folder's coordinator knows of earlier runs; for an unfinished one *error says so. */
static enum status look_at_former(struct training *training, enum former_run *former, struct error *error)
{
    Cairn__ClientRequest request = CAIRN__CLIENT_REQUEST__INIT;
    Cairn__JobsRequest body = CAIRN__JOBS_REQUEST__INIT;
    Cairn__ClientReply *reply;
    const Cairn__JobStatus *job;
    enum status status;

    request.body_case = CAIRN__CLIENT_REQUEST__BODY_JOBS;
    request.jobs = &body;
    status = ask(training, &request, CAIRN__CLIENT_REPLY__BODY_JOBS, &reply, error);
    if (status != CAIRN_OK)
        return status;
    *former = FORMER_NONE;
    if (reply->jobs->n_jobs > 0) {
        job = reply->jobs->jobs[reply->jobs->n_jobs - 1];
        *former = judge_former(job);
        if (*former == FORMER_UNFINISHED && !training->params.resume)
            status = error_set(error, CAIRN_EXISTS,
                               "%s holds an unfinished run of %s, committed at step %" PRIu64 " of %" PRIu64
                               ": go on with --resume, or begin anew with --fresh",
                               training->folder->path, job->name, job->committed_step, job->final_step);
    }
    cairn__client_reply__free_unpacked(reply, NULL);
    return status;
}

static enum status begin_anew(struct training *training, struct error *error)
{
    enum status status =
        run_folder_begin(training->folder, training->params.servers, !training->params.keep_logs, error);

    return status == CAIRN_OK ? training_start_coordinator(training, error) : status;
}

/* Removes a finished run and begins with an empty coordinator. */
static enum status replace_former(struct training *training, struct error *error)
{
    requester_free(training->requester);
    training->requester = NULL;
    if (supervisor_stop(&training->supervisor, STOP_MS)) {
        training->interrupts++;
        return error_set(error, CAIRN_AGAIN, "interrupted");
    }
    return begin_anew(training, error);
}

/* A coordinator that is ready for the job, in a folder that holds no other. */
static enum status prepare(struct training *training, struct error *error)
{
    bool had_run = run_folder_has_run(training->folder);
    enum former_run former = FORMER_NONE;
    enum status status;

    if (training->params.resume && !had_run)
        return error_set(error, CAIRN_NOT_FOUND,
                         "there is nothing to resume in %s: leave --resume out to begin",
                         training->folder->path);
    if (!had_run)
        return begin_anew(training, error);
    status = training_start_coordinator(training, error);
    if (status == CAIRN_OK)
        status = look_at_former(training, &former, error);
    if (status == CAIRN_OK && !training->params.resume)
        status = replace_former(training, error);
    return status;
}

/* ---- the job */

static enum status submit(struct training *training, struct error *error)
{
    Cairn__ClientRequest request = CAIRN__CLIENT_REQUEST__INIT;
    Cairn__SubmitRequest body = CAIRN__SUBMIT_REQUEST__INIT;
    Cairn__ClientReply *reply;
    Cairn__JobText text;
    enum status status;

    job_file_message(training->params.file, &text);
    body.text = &text;
    body.resume = training->params.resume;
    request.body_case = CAIRN__CLIENT_REQUEST__BODY_SUBMIT;
    request.submit = &body;
    status = ask(training, &request, CAIRN__CLIENT_REPLY__BODY_JOB, &reply, error);
    if (status == CAIRN_OK)
        keep_status(training, reply);
    return status;
}

static enum status send_watch(struct training *training, struct error *error)
{
    Cairn__ClientRequest request = CAIRN__CLIENT_REQUEST__INIT;
    Cairn__WatchRequest body = CAIRN__WATCH_REQUEST__INIT;

    body.job = training->last->job->id;
    request.body_case = CAIRN__CLIENT_REQUEST__BODY_WATCH;
    request.watch = &body;
    return requester_send(training->requester, &request, error);
}

static enum status send_stop(struct training *training, struct error *error)
{
    Cairn__ClientRequest request = CAIRN__CLIENT_REQUEST__INIT;
    Cairn__StopRequest body = CAIRN__STOP_REQUEST__INIT;

    body.job = training->last->job->id;
    request.body_case = CAIRN__CLIENT_REQUEST__BODY_STOP;
    request.stop = &body;
    return requester_send(training->requester, &request, error);
}

/* Says what it wants, again after a silence or to a coordinator that was started again: a stop, when the user
 * asked for it, and to be told of the job. The stop's own answer is dropped for a newer request's. */
static enum status send_wishes(struct training *training, struct error *error)
{
    enum status status = training->interrupts > 0 ? send_stop(training, error) : CAIRN_OK;

    return status == CAIRN_OK ? send_watch(training, error) : status;
}

static enum status watch(struct training *training, struct error *error)
{
    enum status status = send_watch(training, error);
    Cairn__ClientReply *reply;

    while (status == CAIRN_OK && !job_state_has_ended(training_status(training)->state)) {
        status =
            receive(training, clock_ms() + REQUEST_ANSWER_MS, CAIRN__CLIENT_REPLY__BODY_JOB, &reply, error);
        if (status == CAIRN_OK) {
            keep_status(training, reply);
            progress_update(training->progress, training_status(training));
        } else if (status == CAIRN_AGAIN && training->interrupts == 1) {
            progress_note(training->progress,
                          "stopping after the step in hand; Ctrl-C again ends it at once");
            status = send_wishes(training, error);
        } else if (status == CAIRN_TIMEOUT || status == CAIRN_STALE) {
            status = send_wishes(training, error);
        }
    }
    progress_clear(training->progress);
    return status;
}

static enum status run_job(struct training *training, struct error *error)
{
    const struct job *job = training->params.file->job;
    const Cairn__JobStatus *first = training_status(training);
    enum status status;

    progress_begin(training->progress, job->has_validation, job->batch_size, first);
    if (job_state_has_ended(first->state))
        return CAIRN_OK; /* a resume of what is complete */
    if (training->params.resume)
        progress_note(training->progress, "%s goes on from step %" PRIu64, first->id, first->committed_step);
    status = training_start_nodes(training, error);
    return status == CAIRN_OK ? watch(training, error) : status;
}

enum status training_run(struct training *training, struct error *error)
{
    enum status status = prepare(training, error);

    if (status == CAIRN_OK)
        status = submit(training, error);
    if (status == CAIRN_OK)
        status = run_job(training, error);
    return status;
}
