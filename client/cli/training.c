/* One training with all its processes as children. */
#include "training.h"

#include "base/clock.h"
#include "request.h"
#include "result.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/signalfd.h>
#include <unistd.h>
#include <zmq.h>

/* How long a coordinator that is our own child may take to start, and to answer; disks may be slow. */
#define START_MS  30000
#define ANSWER_MS 30000
/* How long children may take to end in order. */
#define STOP_MS 10000

const Cairn__JobStatus *training_status(const struct training *training)
{
    return training->last ? training->last->job : NULL;
}

enum status training_init(struct training *training, const struct training_params *params,
                          struct run_folder *folder, struct progress *progress, struct error *error)
{
    sigset_t ours;

    *training = (struct training){.params = *params, .folder = folder, .progress = progress, .signals = -1};
    sigemptyset(&ours);
    sigaddset(&ours, SIGINT);
    sigaddset(&ours, SIGTERM);
    sigaddset(&ours, SIGHUP);
    sigaddset(&ours, SIGCHLD);
    sigprocmask(SIG_BLOCK, &ours, &training->old_mask);
    supervisor_init(&training->supervisor, &training->old_mask, folder->lock);
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
    supervisor_stop(&training->supervisor, training->interrupts < 2 ? STOP_MS : 0);
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

/* Takes the signals that came. Errors: CAIRN_CLOSED when a child has ended, CAIRN_AGAIN when the user
 * interrupted. */
static enum status take_signals(struct training *training, struct error *error)
{
    struct signalfd_siginfo news;
    const struct child *ended;
    bool interrupted = false;

    while (read(training->signals, &news, sizeof(news)) == (ssize_t)sizeof(news)) {
        if (news.ssi_signo != SIGCHLD) {
            training->interrupts++;
            interrupted = true;
        }
    }
    ended = supervisor_reap(&training->supervisor);
    if (ended)
        return supervisor_describe(ended, error);
    return interrupted ? error_set(error, CAIRN_AGAIN, "interrupted") : CAIRN_OK;
}

/* Waits until item is ready; CAIRN_TIMEOUT after deadline_ms (-1: for ever), and take_signals' errors. */
static enum status wait_for(struct training *training, zmq_pollitem_t item, int64_t deadline_ms,
                            struct error *error)
{
    zmq_pollitem_t items[2] = {item, {.fd = training->signals, .events = ZMQ_POLLIN}};
    enum status status = CAIRN_OK;

    while (status == CAIRN_OK) {
        int64_t left_ms = deadline_ms < 0 ? -1 : deadline_ms - clock_ms();
        int ready;

        if (deadline_ms >= 0 && left_ms <= 0)
            return error_set(error, CAIRN_TIMEOUT, "timed out");
        ready = zmq_poll(items, 2, left_ms);
        if (ready < 0 && zmq_errno() != EINTR)
            return error_set(error, CAIRN_IO, "cannot wait: %s", zmq_strerror(zmq_errno()));
        if (ready <= 0)
            continue;
        if (items[0].revents)
            return CAIRN_OK; /* news first: a job's own reason says more than a child's end */
        status = take_signals(training, error);
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
            status = wait_for(training, item, deadline_ms, error);
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

    return status == CAIRN_OK ? receive(training, clock_ms() + ANSWER_MS, expected, reply, error) : status;
}

static void keep_status(struct training *training, Cairn__ClientReply *reply)
{
    if (training->last)
        cairn__client_reply__free_unpacked(training->last, NULL);
    training->last = reply;
}

/* ---- processes */

static enum status start(struct training *training, const char *program, const char *name,
                         char *const *arguments, struct error *error)
{
    char file[48], log[RUN_FOLDER_PATH_MAX];

    snprintf(file, sizeof(file), "logs/%s.log", name);
    run_folder_path(training->folder, file, log);
    return supervisor_start(&training->supervisor, program, name, log, arguments, error);
}

/* The endpoint that the coordinator wrote into its data folder, if it is there already. */
static bool read_endpoint(struct training *training, const char *path)
{
    FILE *file = fopen(path, "re");
    bool got = file && fgets(training->coordinator, sizeof(training->coordinator), file) != NULL;

    if (file)
        fclose(file);
    training->coordinator[strcspn(training->coordinator, "\n")] = '\0';
    return got && training->coordinator[0] != '\0';
}

/* watch: an inotify descriptor on the folder of the file, made before the coordinator was started. */
static enum status wait_for_endpoint(struct training *training, int watch, const char *path,
                                     struct error *error)
{
    const zmq_pollitem_t item = {.fd = watch, .events = ZMQ_POLLIN};
    int64_t deadline_ms = clock_ms() + START_MS;
    enum status status = CAIRN_OK;
    char events[4096];

    while (!read_endpoint(training, path)) {
        status = wait_for(training, item, deadline_ms, error);
        if (status == CAIRN_TIMEOUT)
            return error_set(error, CAIRN_TIMEOUT, "cairn-coordinator was not ready after %d s",
                             START_MS / 1000);
        if (status != CAIRN_OK)
            return status;
        if (read(watch, events, sizeof(events)) < 0 && errno != EAGAIN && errno != EINTR)
            return error_system(error, errno, "cannot watch the coordinator's folder");
    }
    return CAIRN_OK;
}

static enum status start_and_wait(struct training *training, const char *data, int watch, struct error *error)
{
    char listen[160], path[RUN_FOLDER_PATH_MAX + 16];
    char *arguments[] = {"--listen", listen, "--data", (char *)data, NULL};
    enum status status;

    if (training->params.over_tcp)
        snprintf(listen, sizeof(listen), "tcp://127.0.0.1:0");
    else
        snprintf(listen, sizeof(listen), "ipc://%s/coordinator", training->folder->sockets);
    run_folder_path(training->folder, "coordinator/endpoint", path);
    unlink(path); /* a killed run's */
    status = start(training, "cairn-coordinator", "coordinator", arguments, error);
    return status == CAIRN_OK ? wait_for_endpoint(training, watch, path, error) : status;
}

static enum status start_coordinator(struct training *training, struct error *error)
{
    char data[RUN_FOLDER_PATH_MAX];
    enum status status = run_folder_make(training->folder, "coordinator", error);
    int watch;

    if (status == CAIRN_OK)
        status = run_folder_make(training->folder, "logs", error);
    if (status != CAIRN_OK)
        return status;
    run_folder_path(training->folder, "coordinator", data);
    watch = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (watch < 0 || inotify_add_watch(watch, data, IN_CLOSE_WRITE | IN_MOVED_TO) < 0)
        status = error_system(error, errno, "cannot watch %s", data);
    else
        status = start_and_wait(training, data, watch, error);
    if (watch >= 0)
        close(watch);
    if (status == CAIRN_OK)
        status = requester_new(training->zmq_context, training->coordinator, &training->requester, error);
    return status;
}

static enum status start_server(struct training *training, uint32_t index, struct error *error)
{
    char name[32], listen[160], data[RUN_FOLDER_PATH_MAX];
    char *arguments[] = {
        "--coordinator", training->coordinator, "--listen", listen, "--data", data, "--name", name, NULL};

    snprintf(name, sizeof(name), "server-%" PRIu32, index);
    run_folder_path(training->folder, name, data);
    if (training->params.over_tcp)
        snprintf(listen, sizeof(listen), "tcp://127.0.0.1:0");
    else
        snprintf(listen, sizeof(listen), "ipc://%s/%s", training->folder->sockets, name);
    return start(training, "cairn-server", name, arguments, error);
}

static enum status start_worker(struct training *training, uint32_t index, struct error *error)
{
    char name[32], threads[16];
    char *arguments[] = {"--coordinator", training->coordinator, "--name", name, "--threads", threads, NULL};

    snprintf(name, sizeof(name), "worker-%" PRIu32, index);
    snprintf(threads, sizeof(threads), "%" PRIu32, training->params.threads_per_worker);
    return start(training, "cairn-worker", name, arguments, error);
}

static enum status start_nodes(struct training *training, struct error *error)
{
    enum status status = CAIRN_OK;

    for (uint32_t i = 0; i < training->params.servers && status == CAIRN_OK; i++)
        status = start_server(training, i, error);
    for (uint32_t i = 0; i < training->params.workers && status == CAIRN_OK; i++)
        status = start_worker(training, i, error);
    return status;
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

    return status == CAIRN_OK ? start_coordinator(training, error) : status;
}

/* Removes a finished run and begins with an empty coordinator. */
static enum status replace_former(struct training *training, struct error *error)
{
    requester_free(training->requester);
    training->requester = NULL;
    supervisor_stop(&training->supervisor, STOP_MS);
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
    status = start_coordinator(training, error);
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

/* Asks for a stop and goes on watching; the stop's own answer is dropped for a newer request's. */
static enum status send_stop(struct training *training, struct error *error)
{
    Cairn__ClientRequest request = CAIRN__CLIENT_REQUEST__INIT;
    Cairn__StopRequest body = CAIRN__STOP_REQUEST__INIT;
    enum status status;

    progress_note(training->progress, "stopping after the step in hand; Ctrl-C again ends it at once");
    body.job = training->last->job->id;
    request.body_case = CAIRN__CLIENT_REQUEST__BODY_STOP;
    request.stop = &body;
    status = requester_send(training->requester, &request, error);
    return status == CAIRN_OK ? send_watch(training, error) : status;
}

static enum status watch(struct training *training, struct error *error)
{
    enum status status = send_watch(training, error);
    Cairn__ClientReply *reply;

    while (status == CAIRN_OK && !job_state_has_ended(training_status(training)->state)) {
        status = receive(training, -1, CAIRN__CLIENT_REPLY__BODY_JOB, &reply, error);
        if (status == CAIRN_OK) {
            keep_status(training, reply);
            progress_update(training->progress, training_status(training));
        } else if (status == CAIRN_AGAIN && training->interrupts == 1) {
            status = send_stop(training, error);
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
    status = start_nodes(training, error);
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
