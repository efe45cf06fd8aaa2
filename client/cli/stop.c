/* cairn stop: stops a job after the step in hand and waits until that step is durable. */
#include "base/clock.h"
#include "command.h"
#include "commands.h"
#include "connection.h"
#include "report.h"
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
    "Stops a job after the step in hand, makes that step durable, and prints what came of it. "
    "\"cairn submit JOB_FILE --resume\" goes on from there.",
    rows, sizeof(rows) / sizeof(rows[0])};

static enum status ask_to_stop(struct connection *connection, const char *job, struct error *error)
{
    Cairn__ClientRequest request = CAIRN__CLIENT_REQUEST__INIT;
    Cairn__StopRequest body = CAIRN__STOP_REQUEST__INIT;
    Cairn__ClientReply *reply;
    enum status status;

    body.job = (char *)job;
    request.body_case = CAIRN__CLIENT_REQUEST__BODY_STOP;
    request.stop = &body;
    status = connection_ask(connection, &request, CAIRN__CLIENT_REPLY__BODY_JOB, &reply, error);
    if (status == CAIRN_OK)
        cairn__client_reply__free_unpacked(reply, NULL);
    return status;
}

static int stop_and_print(struct connection *connection, const void *context)
{
    const struct stop_settings *settings = context;
    Cairn__ClientReply *reply;
    struct error error;
    enum status status = ask_to_stop(connection, settings->job, &error);
    int code;

    if (status == CAIRN_OK)
        status = connection_watch_to_end(connection, settings->job, &reply, &error);
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
