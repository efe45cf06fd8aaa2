/* cairn scale: changes how many workers a job is to have. */
#include "base/clock.h"
#include "command.h"
#include "commands.h"
#include "connection.h"
#include "request_job.h"
#include "result.h"

#include <inttypes.h>
#include <stdio.h>

struct scale_settings {
    const char *job, *coordinator;
    int64_t workers, json;
};

static const struct setting rows[] = {
    SETTING_ROW_JOB(struct scale_settings),
    {.name = "workers",
     .letter = 'w',
     .type = SETTING_INTEGER,
     .required = 1,
     .minimum = 1,
     .maximum = 4096,
     .value_name = "N",
     .help = "workers that the job is to have",
     .offset = offsetof(struct scale_settings, workers)},
    SETTING_ROW_COORDINATOR(struct scale_settings),
    SETTING_ROW_JSON(struct scale_settings),
};

static const struct settings_table table = {"cairn scale",
                                            "Changes how many workers a job has, while it trains. Idle "
                                            "workers join with the next step, and those that "
                                            "are too many leave; with fewer idle ones the job goes on with "
                                            "what there is and takes more as they come. "
                                            "The model is the same.",
                                            rows, sizeof(rows) / sizeof(rows[0])};

static void print_workers(const Cairn__JobStatus *status)
{
    char workers[32];

    result_workers_text(status, " of ", workers, sizeof(workers));
    printf("%s %s: workers %s%s%s\n", status->id, job_state_name(status->state), workers,
           status->reason[0] ? "; " : "", status->reason);
}

static int scale_and_print(struct connection *connection, const void *context)
{
    const struct scale_settings *settings = context;
    Cairn__ClientReply *reply;
    struct error error;
    int code = EXIT_DONE;

    if (request_scale(connection->requester, settings->job, (uint32_t)settings->workers, &reply, &error) !=
        CAIRN_OK)
        return command_fail(table.program, EXIT_FAILED, &error);
    if (!settings->json)
        print_workers(reply->job);
    else if (!command_print_json(result_status_json(reply->job, clock_unix_ms())))
        code = EXIT_FAILED;
    cairn__client_reply__free_unpacked(reply, NULL);
    return code;
}

int command_scale(int argc, char **argv)
{
    struct scale_settings settings;
    int code;

    if (!command_resolve(&table, argc, argv, &settings, &code))
        return code;
    return connection_run(table.program, settings.coordinator, scale_and_print, &settings);
}
