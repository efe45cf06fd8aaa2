/* cairn scale: changes how many workers and servers a job is to have. */
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
    int64_t workers, servers, json;
};

static const struct setting rows[] = {
    SETTING_ROW_JOB(struct scale_settings),
    {.name = "workers",
     .letter = 'w',
     .type = SETTING_INTEGER,
     .minimum = 1,
     .maximum = 4096,
     .value_name = "N",
     .help = "workers that the job is to have",
     .offset = offsetof(struct scale_settings, workers)},
    {.name = "servers",
     .letter = 's',
     .type = SETTING_INTEGER,
     .minimum = 1,
     .maximum = 4096,
     .value_name = "N",
     .help = "servers that its state is to be on",
     .offset = offsetof(struct scale_settings, servers)},
    SETTING_ROW_COORDINATOR(struct scale_settings),
    SETTING_ROW_JSON(struct scale_settings),
};

static const struct settings_table table = {"cairn scale",
                                            "Changes how many workers and servers a job has, while it trains. "
                                            "Idle workers join with the next step, and those that are too many "
                                            "leave. State moves to idle servers, and off those that are too "
                                            "many, a piece at a time. With fewer idle ones the job goes on with "
                                            "what there is and takes more as they come. The model is the same.",
                                            rows, sizeof(rows) / sizeof(rows[0])};

static void print_crew(const Cairn__JobStatus *status)
{
    char workers[RESULT_COUNT_BYTES], servers[RESULT_COUNT_BYTES];

    result_workers_text(status, " of ", workers, sizeof(workers));
    result_servers_text(status, " of ", servers, sizeof(servers));
    printf("%s %s: workers %s, servers %s%s%s\n", status->id, job_state_name(status->state), workers, servers,
           status->reason[0] ? "; " : "", status->reason);
}

static int scale_and_print(struct connection *connection, const void *context)
{
    const struct scale_settings *settings = context;
    Cairn__ClientReply *reply;
    struct error error;
    int code = EXIT_DONE;

    if (request_scale(connection->requester, settings->job, (uint32_t)settings->workers,
                      (uint32_t)settings->servers, &reply, &error) != CAIRN_OK)
        return command_fail(table.program, EXIT_FAILED, &error);
    if (!settings->json)
        print_crew(reply->job);
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
    if (settings.workers == 0 && settings.servers == 0) {
        fprintf(stderr, "%s: give --workers, --servers, or both\n", table.program);
        return EXIT_USAGE;
    }
    return connection_run(table.program, settings.coordinator, scale_and_print, &settings);
}
