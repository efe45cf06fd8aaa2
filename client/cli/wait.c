/* cairn wait: waits for a job's end. */
#include "base/clock.h"
#include "command.h"
#include "commands.h"
#include "connection.h"
#include "progress.h"
#include "report.h"
#include "request_job.h"
#include "result.h"

#include <stdio.h>

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
    "stopped if it has tables; 1: stopped or failed. On a terminal it shows the progress.",
    rows, sizeof(rows) / sizeof(rows[0])};

/* On a terminal the wait can be seen; the job file, which knows more, is not here. */
struct view {
    struct progress progress;
    bool has_begun;
};

static void show(void *context, const Cairn__JobStatus *status)
{
    struct view *view = context;

    if (!view->has_begun)
        progress_begin(&view->progress, false, 0, status);
    view->has_begun = true;
    progress_update(&view->progress, status);
}

static int watch_and_print(struct connection *connection, const void *context)
{
    const struct wait_settings *settings = context;
    struct view view = {.has_begun = false};
    const struct request_viewer viewer = {show, &view};
    char id[REQUEST_ID_BYTES];
    Cairn__ClientReply *reply;
    struct error error;
    enum status status;
    int code;

    progress_init(&view.progress, stderr, true);
    status = request_id(connection->requester, settings->job, id, &error);
    if (status == CAIRN_OK)
        status = request_ended(connection->requester, id, &viewer, &reply, &error);
    progress_clear(&view.progress);
    if (status != CAIRN_OK)
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
