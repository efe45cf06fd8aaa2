/* cairn train: trains a job file with a coordinator, servers and workers that are children of this command.
 */
#include "base/clock.h"
#include "command.h"
#include "commands.h"
#include "job_file.h"
#include "progress.h"
#include "report.h"
#include "result.h"
#include "run_folder.h"
#include "training.h"

#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

enum transport { TRANSPORT_IPC, TRANSPORT_TCP };

struct train_settings {
    const char *file, *state;
    int64_t transport; /* enum transport */
    int64_t servers, workers, threads_per_worker, resume, fresh, keep_logs, json;
};

static const char *const transports[] = {[TRANSPORT_IPC] = "ipc", [TRANSPORT_TCP] = "tcp", NULL};

static const struct setting rows[] = {
    {.name = "JOB_FILE",
     .type = SETTING_ARGUMENT,
     .required = 1,
     .help = "the job file",
     .offset = offsetof(struct train_settings, file)},
    {.name = "servers",
     .letter = 's',
     .type = SETTING_INTEGER,
     .minimum = 1,
     .maximum = 64,
     .value_name = "N",
     .help = "parameter servers; default cluster.servers of the job file",
     .offset = offsetof(struct train_settings, servers)},
    {.name = "workers",
     .letter = 'w',
     .type = SETTING_INTEGER,
     .minimum = 1,
     .maximum = 256,
     .value_name = "N",
     .help = "workers; default cluster.workers.min of the job file",
     .offset = offsetof(struct train_settings, workers)},
    {.name = "threads-per-worker",
     .type = SETTING_INTEGER,
     .minimum = 1,
     .maximum = 1024,
     .value_name = "N",
     .help = "microbatches that a worker computes at once; default as the job file says, or an equal share "
             "of the "
             "cores",
     .offset = offsetof(struct train_settings, threads_per_worker)},
    {.name = "state",
     .type = SETTING_TEXT,
     .value_name = "DIR",
     .help = "where the run keeps its durable state and logs; default .cairn/NAME, NAME being the job's",
     .offset = offsetof(struct train_settings, state)},
    {.name = "resume",
     .type = SETTING_FLAG,
     .help = "go on with the run in the state folder from its committed step",
     .offset = offsetof(struct train_settings, resume)},
    {.name = "fresh",
     .type = SETTING_FLAG,
     .help = "remove what the state folder has of an earlier run and begin anew",
     .offset = offsetof(struct train_settings, fresh)},
    {.name = "keep-logs",
     .type = SETTING_FLAG,
     .help = "append to the logs of earlier runs",
     .offset = offsetof(struct train_settings, keep_logs)},
    {.name = "transport",
     .type = SETTING_CHOICE,
     .fallback = "ipc",
     .value_name = "NAME",
     .help = "how the processes are connected",
     .words = transports,
     .offset = offsetof(struct train_settings, transport)},
    {.name = "json",
     .type = SETTING_FLAG,
     .help = "print nothing but a line of JSON at the end",
     .offset = offsetof(struct train_settings, json)},
};

static const struct settings_table table = {"cairn train",
                                            "Trains a job file on this machine: starts a coordinator, "
                                            "servers and workers, watches them, and ends them. "
                                            "One that dies is started again and goes on from what it holds; "
                                            "training waits only when no worker or a server is missing. "
                                            "Ctrl-C stops after the step in hand, which --resume goes on "
                                            "from. In mode sync the model is the same for any "
                                            "number of servers and workers.",
                                            rows, sizeof(rows) / sizeof(rows[0])};

/* All that one run of the command holds. */
struct train {
    struct train_settings settings;
    struct job_file file;
    uint32_t workers; /* that are to be started */
    struct run_folder folder;
    struct progress progress;
};

static enum status check_settings(const struct train_settings *settings, struct error *error)
{
    if (settings->resume && settings->fresh)
        return error_set(error, CAIRN_INVALID, "--resume and --fresh contradict each other");
    return CAIRN_OK;
}

/* The cores that this process may use. */
static uint32_t core_count(void)
{
    cpu_set_t set;

    if (sched_getaffinity(0, sizeof(set), &set) != 0 || CPU_COUNT(&set) < 1)
        return 1;
    return (uint32_t)CPU_COUNT(&set);
}

/* Lanes a worker: workers that leave it open share the cores. */
static uint32_t threads_per_worker(const struct train *train)
{
    const struct job *job = train->file.job;
    uint32_t threads;

    if (train->settings.threads_per_worker > 0)
        return (uint32_t)train->settings.threads_per_worker;
    if (job->threads_per_worker > 0)
        return 0; /* the job file says it */
    threads = core_count() / (train->workers * job->threads_per_microbatch);
    return threads > 0 ? threads : 1;
}

struct first_missing {
    const struct job_file *file;
    struct error *error;
    bool found;
};

static void note_missing(void *context, const char *key, const char *path, uint32_t line)
{
    struct first_missing *missing = context;

    if (!missing->found)
        (void)error_set(missing->error, CAIRN_INVALID, "%s:%" PRIu32 ": %s: cannot read %s",
                        missing->file->path, line, key, path);
    missing->found = true;
}

/* The workers run here, so the data must be here. */
static enum status check_data(const struct job_file *file, struct error *error)
{
    struct first_missing missing = {file, error, false};
    enum status status = job_file_find_missing(file, note_missing, &missing, error);

    return status == CAIRN_OK && missing.found ? CAIRN_INVALID : status;
}

static enum status check_kind(const struct job_file *file, struct error *error)
{
    if (!job_has_tables(file->job))
        return CAIRN_OK;
    return error_set(
        error, CAIRN_INVALID,
        "%s: a job with tables is not trained: programs push and pull while it runs on a cluster; "
        "see cairn submit",
        file->path);
}

/* The job with as many servers and workers as will be started: the file's numbers become overrides, so that
 * the coordinator waits for these and no others. One worker is enough to go on with, as one that dies is soon
 * back. */
static enum status load_job(struct train *train, struct error *error)
{
    const struct train_settings *settings = &train->settings;
    struct job_overrides overrides = job_file_overrides(settings->servers, settings->workers);
    enum status status = job_file_load(&train->file, settings->file, &overrides, error);

    if (status == CAIRN_OK)
        status = check_kind(&train->file, error);
    if (status == CAIRN_OK)
        status = check_data(&train->file, error);
    if (status == CAIRN_OK)
        status = job_file_check_output(&train->file, error); /* hours later it would be a pity */
    if (status == CAIRN_OK) {
        train->file.overrides.servers = train->file.job->servers;
        train->workers = train->file.job->workers_min;
        train->file.overrides.workers_min = 1;
        train->file.overrides.workers_max = train->workers;
    }
    return status;
}

static enum status open_folder(struct train *train, struct error *error)
{
    char path[JOB_NAME_MAX + 16];
    enum status status;

    snprintf(path, sizeof(path), ".cairn/%s", train->file.job->name);
    status = run_folder_open(&train->folder, train->settings.state ? train->settings.state : path, error);
    if (status == CAIRN_OK && train->settings.fresh)
        status = run_folder_wipe(&train->folder, !train->settings.keep_logs, error);
    return status;
}

/* A resumed run's state lies on the servers that it had. */
static enum status count_servers(struct train *train, struct error *error)
{
    uint32_t before = train->settings.resume ? run_folder_server_count(&train->folder) : 0;

    if (before == 0)
        return CAIRN_OK;
    if (train->settings.servers > 0 && train->settings.servers != before)
        return error_set(error, CAIRN_INVALID,
                         "the run in %s lies on %" PRIu32 " server%s: resume it with --servers %" PRIu32,
                         train->folder.path, before, before == 1 ? "" : "s", before);
    train->file.overrides.servers = before;
    return CAIRN_OK;
}

static void print_next_commands(const struct train *train, const Cairn__JobStatus *status)
{
    printf("next:\n");
    if (train->file.job->has_validation && status->output[0] != '\0')
        printf("  cairn evaluate %s --job %s\n", status->output, train->settings.file);
    if (!job_is_throughput(train->file.job))
        printf("  cairn train %s --workers %" PRIu32 " --fresh    # the same hash\n", train->settings.file,
               train->workers % train->file.job->microbatches + 1);
}

static void print_how_to_resume(const struct train *train)
{
    printf("to go on: cairn train %s --resume", train->settings.file);
    if (train->settings.state)
        printf(" --state %s", train->settings.state);
    printf("\n");
}

/* A run that the user ended. */
static int report_interrupted(const struct train *train, const Cairn__JobStatus *status)
{
    if (train->settings.json) {
        command_print_json(status && status->state == CAIRN__JOB_STATE__JOB_STATE_STOPPED
                               ? result_json(status, clock_unix_ms())
                               : result_json_failed(status, "interrupted", clock_unix_ms()));
    } else if (status) {
        printf("stopped; step %" PRIu64 " is committed\n", status->committed_step);
        print_how_to_resume(train);
    } else {
        printf("stopped before training began\n");
    }
    return EXIT_INTERRUPTED;
}

/* A run that ended without a last word of the coordinator. */
static int report_failure(const struct train *train, const Cairn__JobStatus *status,
                          const struct error *error)
{
    if (train->settings.json)
        command_print_json(result_json_failed(status, error->message, clock_unix_ms()));
    return command_fail(table.program, EXIT_FAILED, error);
}

static int report(const struct train *train, const struct training *training, enum status outcome,
                  const struct error *error)
{
    const Cairn__JobStatus *status = training_status(training);
    int code;

    if (outcome == CAIRN_AGAIN && training->interrupts > 0)
        return report_interrupted(train, status);
    if (outcome != CAIRN_OK)
        return report_failure(train, status, error);
    if (training->interrupts > 0 && status->state == CAIRN__JOB_STATE__JOB_STATE_STOPPED)
        return report_interrupted(train, status);
    code = report_end(table.program, status, train->settings.json != 0);
    if (code == EXIT_DONE && !train->settings.json)
        print_next_commands(train, status);
    return code;
}

static int run(struct train *train)
{
    const struct training_params params = {.file = &train->file,
                                           .servers = train->file.overrides.servers,
                                           .workers = train->workers,
                                           .threads_per_worker = threads_per_worker(train),
                                           .over_tcp = train->settings.transport == TRANSPORT_TCP,
                                           .resume = train->settings.resume != 0,
                                           .keep_logs = train->settings.keep_logs != 0};
    struct training training;
    struct error error;
    enum status status;
    int code;

    progress_init(&train->progress, train->settings.json ? stderr : stdout, train->settings.json != 0);
    progress_note(&train->progress, "%s: servers %" PRIu32 ", workers %" PRIu32 "; state in %s",
                  train->file.job->name, params.servers, params.workers, train->folder.path);
    status = training_init(&training, &params, &train->folder, &train->progress, &error);
    if (status == CAIRN_OK)
        status = training_run(&training, &error);
    progress_clear(&train->progress);
    code = report(train, &training, status, &error);
    training_fini(&training);
    return code;
}

int command_train(int argc, char **argv)
{
    struct train train = {.folder = {.lock = -1}};
    struct error error;
    enum status status;
    int code;

    if (!command_resolve(&table, argc, argv, &train.settings, &code))
        return code;
    status = check_settings(&train.settings, &error);
    if (status == CAIRN_OK)
        status = load_job(&train, &error);
    if (status != CAIRN_OK) {
        code = command_fail(table.program, EXIT_USAGE, &error);
    } else {
        status = open_folder(&train, &error);
        if (status == CAIRN_OK)
            status = count_servers(&train, &error);
        code = status == CAIRN_OK ? run(&train) : command_fail(table.program, EXIT_FAILED, &error);
        run_folder_close(&train.folder);
    }
    job_file_fini(&train.file);
    return code;
}
