/* cairn wait: waits for a job's end. */
#include "base/clock.h"
#include "command.h"
#include "commands.h"
#include "connection.h"
#include "report.h"
#include "request_job.h"
#include "result.h"

struct wait_settings {
    const char *job, *coordinator;
    int64_t json;
};

static const struct setting rows[] = {
    SETTING_ROW_JOB(struct wait_settings),
    SETTING_ROW_COORDINATOR(struct wait_settings),
    SETTING_ROW_JSON(struct wait_settings),
};

static const struct settings_table table = {
    "cairn wait",
    "Waits until a job has ended and prints what came of it. Exit code 0: completed, or "
    "stopped if it has tables; 1: stopped or failed.",
    rows, sizeof(rows) / sizeof(rows[0])};

static int watch_and_print(struct connection *connection, const void *context)
{
    const struct wait_settings *settings = context;
    Cairn__ClientReply *reply;
    struct error error;
    int code;

    if (request_ended(connection->requester, settings->job, &reply, &error) != CAIRN_OK)
        return command_fail(table.program, EXIT_FAILED, &error);
    code = report_end(table.program, reply->job, settings->json != 0);
    cairn__client_reply__free_unpacked(reply, NULL);
    return code;
}

int command_wait(int argc, char **argv)
{
    struct wait_settings settings;
    int code;

    if (!command_resolve(&table, argc, argv, &settings, &code))
        return code;
    return connection_run(table.program, settings.coordinator, watch_and_print, &settings);
}
