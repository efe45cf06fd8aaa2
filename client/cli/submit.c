/* cairn submit: hands a job file to a coordinator. */
#include "base/clock.h"
#include "command.h"
#include "commands.h"
#include "connection.h"
#include "job_file.h"
#include "request_job.h"
#include "result.h"

#include <stdio.h>

struct submit_settings {
    const char *file, *coordinator;
    int64_t servers, workers, resume, json;
};

static const struct setting rows[] = {
    {.name = "JOB_FILE",
     .type = SETTING_ARGUMENT,
     .required = 1,
     .help = "the job file; its paths are as the workers' machines see them",
     .offset = offsetof(struct submit_settings, file)},
    {.name = "servers",
     .type = SETTING_INTEGER,
     .minimum = 1,
     .maximum = 4096,
     .value_name = "N",
     .help = "servers that hold the model, in place of cluster.servers",
     .offset = offsetof(struct submit_settings, servers)},
    {.name = "workers",
     .type = SETTING_INTEGER,
     .minimum = 1,
     .maximum = 4096,
     .value_name = "N",
     .help = "workers that compute, in place of cluster.workers",
     .offset = offsetof(struct submit_settings, workers)},
    {.name = "resume",
     .type = SETTING_FLAG,
     .help = "go on with the newest job of this name from its committed step",
     .offset = offsetof(struct submit_settings, resume)},
    SETTING_ROW_COORDINATOR(struct submit_settings),
    SETTING_ROW_JSON(struct submit_settings),
};

static const struct settings_table table = {
    "cairn submit",
    "Hands a job file to a coordinator and prints the job's id. The job begins when enough servers "
    "and workers are there.",
    rows, sizeof(rows) / sizeof(rows[0])};

/* What submit_and_print works with. */
struct submission {
    const struct submit_settings *settings;
    struct job_file file;
};

static int submit_and_print(struct connection *connection, const void *context)
{
    const struct submission *submission = context;
    Cairn__ClientReply *reply;
    Cairn__JobText text;
    struct error error;
    int code = EXIT_DONE;

    job_file_message(&submission->file, &text);
    if (request_submit(connection->requester, &text, submission->settings->resume != 0, &reply, &error) !=
        CAIRN_OK)
        return command_fail(table.program, EXIT_FAILED, &error);
    if (!submission->settings->json)
        printf("%s\n", reply->job->id);
    else if (!command_print_json(result_status_json(reply->job, clock_unix_ms())))
        code = EXIT_FAILED;
    cairn__client_reply__free_unpacked(reply, NULL);
    return code;
}

int command_submit(int argc, char **argv)
{
    struct submit_settings settings;
    struct submission submission = {.settings = &settings};
    struct job_overrides overrides;
    struct error error;
    int code;

    if (!command_resolve(&table, argc, argv, &settings, &code))
        return code;
    overrides = job_file_overrides(settings.servers, settings.workers);
    if (job_file_load(&submission.file, settings.file, &overrides, &error) == CAIRN_OK)
        code = connection_run(table.program, settings.coordinator, submit_and_print, &submission);
    else
        code = command_fail(table.program, EXIT_USAGE, &error);
    job_file_fini(&submission.file);
    return code;
}
