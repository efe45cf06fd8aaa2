/* cairn stop: stops a job after the step in hand and waits until that step is durable. */
#include "base/clock.h"
#include "command.h"
#include "commands.h"
#include "connection.h"
#include "report.h"
#include "request_job.h"
#include "result.h"

#include <stdio.h>

struct stop_settings {
    const char *job, *coordinator;
    int64_t json;
};

static const struct setting rows[] = {
    SETTING_ROW_JOB(struct stop_settings),
    SETTING_ROW_COORDINATOR(struct stop_settings),
    SETTING_ROW_JSON(struct stop_settings),
};

static const struct settings_table table = {
    "cairn stop",
    "Stops a job after the step in hand, makes that step durable, and prints what came of it. A job "
    "with tables ends at its committed step. "
    "\"cairn submit JOB_FILE --resume\" goes on from there.",
    rows, sizeof(rows) / sizeof(rows[0])};

static int stop_and_print(struct connection *connection, const void *context)
{
    const struct stop_settings *settings = context;
    char id[REQUEST_ID_BYTES];
    Cairn__ClientReply *reply;
    struct error error;
    enum status status = request_id(connection->requester, settings->job, id, &error);
    int code;

    if (status == CAIRN_OK)
        status = request_stop(connection->requester, id, &reply, &error);
    if (status == CAIRN_OK) {
        cairn__client_reply__free_unpacked(reply, NULL);
        status = request_ended(connection->requester, id, NULL, &reply, &error);
    }
    if (status != CAIRN_OK)
        return command_fail(table.program, EXIT_FAILED, &error);
    if (reply->job->state != CAIRN__JOB_STATE__JOB_STATE_STOPPED) {
        code = report_end(table.program, reply->job, settings->json != 0); /* it ended by itself before */
    } else {
        code = EXIT_DONE;
        if (!settings->json)
            report_print(reply->job);
        else if (!command_print_json(result_json(reply->job, clock_unix_ms())))
            code = EXIT_FAILED;
    }
    cairn__client_reply__free_unpacked(reply, NULL);
    return code;
}

int command_stop(int argc, char **argv)
{
    struct stop_settings settings;
    int code;

    if (!command_resolve(&table, argc, argv, &settings, &code))
        return code;
    return connection_run(table.program, settings.coordinator, stop_and_print, &settings);
}
