/* The processes of a training. */
#include "training_children.h"

#include "base/clock.h"
#include "request.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>
#include <zmq.h>

/* How long a coordinator that is our own child may take to start; disks may be slow. */
#define START_MS 30000

/* Nodes may be told to leave the cluster; without a coordinator there is none. */
static enum status start(struct training *training, const char *program, const char *name,
                         char *const *arguments, struct error *error)
{
    char file[48], log[RUN_FOLDER_PATH_MAX];
    const struct child_params params = {.program = program,
                                        .name = name,
                                        .log_path = log,
                                        .arguments = arguments,
                                        .may_leave = strcmp(name, TRAINING_COORDINATOR) != 0};

    snprintf(file, sizeof(file), "logs/%s.log", name);
    run_folder_path(training->folder, file, log);
    return supervisor_start(&training->supervisor, &params, error);
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
        status = training_wait(training, item, deadline_ms, error);
        if (status == CAIRN_TIMEOUT)
            return error_set(error, CAIRN_TIMEOUT, "cairn-coordinator was not ready after %d s",
                             START_MS / 1000);
        if (status != CAIRN_OK && status != CAIRN_STALE)
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
    status = start(training, "cairn-coordinator", TRAINING_COORDINATOR, arguments, error);
    return status == CAIRN_OK ? wait_for_endpoint(training, watch, path, error) : status;
}

enum status training_start_coordinator(struct training *training, struct error *error)
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
    if (status == CAIRN_OK) /* whoever looks for it must find it there when it was started again */
        status = child_set_option(supervisor_child(&training->supervisor, TRAINING_COORDINATOR), "--listen",
                                  training->coordinator, error);
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

enum status training_start_nodes(struct training *training, struct error *error)
{
    enum status status = CAIRN_OK;

    for (uint32_t i = 0; i < training->params.servers && status == CAIRN_OK; i++)
        status = start_server(training, i, error);
    for (uint32_t i = 0; i < training->params.workers && status == CAIRN_OK; i++)
        status = start_worker(training, i, error);
    return status;
}
