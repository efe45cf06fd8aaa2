/* cairn logs: shows or follows a job's log. */
#include "command.h"
#include "commands.h"
#include "connection.h"
#include "request_job.h"
#include "result.h"

#include <inttypes.h>
#include <stdio.h>

struct logs_settings {
    const char *job, *coordinator;
    int64_t follow, json;
};

static const struct setting rows[] = {
    SETTING_ROW_JOB(struct logs_settings),
    {.name = "follow",
     .letter = 'f',
     .type = SETTING_FLAG,
     .help = "go on as entries come, until the job has ended",
     .offset = offsetof(struct logs_settings, follow)},
    SETTING_ROW_COORDINATOR(struct logs_settings),
    {.name = "json",
     .type = SETTING_FLAG,
     .help = "print one line of JSON an entry",
     .offset = offsetof(struct logs_settings, json)},
};

static const struct settings_table table = {"cairn logs", "Shows a job's log.", rows,
                                            sizeof(rows) / sizeof(rows[0])};

/* What taking an answer changes: the request that would be sent again. */
struct reading {
    const struct logs_settings *settings;
    Cairn__LogsRequest body;
    bool failed;
};

static void print_entry(const Cairn__LogEntry *entry)
{
    char moment[RESULT_MOMENT_BYTES];

    result_moment_text(entry->time_ms, moment);
    printf("%s.%03d  %-5s  %s: %s\n", moment, (int)(entry->time_ms % 1000), entry->level, entry->source,
           entry->text);
}

static bool print_entry_json(const Cairn__LogEntry *entry)
{
    return command_print_json(json_pack("{s:I, s:I, s:o, s:o, s:o}", "number", (json_int_t)entry->number,
                                        "time_ms", (json_int_t)entry->time_ms, "level",
                                        result_text(entry->level), "source", result_text(entry->source),
                                        "text", result_text(entry->text)));
}

static bool take_entries(void *context, const Cairn__ClientReply *reply)
{
    struct reading *reading = context;

    for (size_t i = 0; i < reply->logs->n_entries && !reading->failed; i++) {
        const Cairn__LogEntry *entry = reply->logs->entries[i];

        if (entry->number <= reading->body.after)
            continue; /* sent again after a silence */
        reading->body.after = entry->number;
        if (reading->settings->json)
            reading->failed = !print_entry_json(entry);
        else
            print_entry(entry);
    }
    if (fflush(stdout) != 0)
        reading->failed = true;
    return reply->logs->end || reading->failed;
}

static int ask_and_print(struct connection *connection, const void *context)
{
    struct reading reading = {context, CAIRN__LOGS_REQUEST__INIT, false};
    const struct request_wait wait = {CAIRN__CLIENT_REPLY__BODY_LOGS, take_entries, &reading, -1};
    Cairn__ClientRequest request = CAIRN__CLIENT_REQUEST__INIT;
    char id[REQUEST_ID_BYTES];
    Cairn__ClientReply *last;
    struct error error;

    if (request_id(connection->requester, reading.settings->job, id, &error) != CAIRN_OK)
        return command_fail(table.program, EXIT_FAILED, &error);
    reading.body.job = id;
    reading.body.follow = reading.settings->follow != 0;
    request.body_case = CAIRN__CLIENT_REQUEST__BODY_LOGS;
    request.logs = &reading.body;
    if (requester_follow(connection->requester, &request, &wait, &last, &error) != CAIRN_OK)
        return command_fail(table.program, EXIT_FAILED, &error);
    cairn__client_reply__free_unpacked(last, NULL);
    return reading.failed ? EXIT_FAILED : EXIT_DONE;
}

int command_logs(int argc, char **argv)
{
    struct logs_settings settings;
    int code;

    if (!command_resolve(&table, argc, argv, &settings, &code))
        return code;
    return connection_run(table.program, settings.coordinator, ask_and_print, &settings);
}
