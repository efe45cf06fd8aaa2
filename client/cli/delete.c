/* cairn delete: takes a job that has ended out of the world. */
#include "command.h"
#include "commands.h"
#include "connection.h"
#include "result.h"

#include <inttypes.h>
#include <stdio.h>

struct delete_settings {
    const char *job, *coordinator;
    int64_t json;
};

static const struct setting rows[] = {
    SETTING_ROW_JOB(struct delete_settings),
    SETTING_ROW_COORDINATOR(struct delete_settings),
    SETTING_ROW_JSON(struct delete_settings),
};

static const struct settings_table table = {
    "cairn delete",
    "Forgets a job that has ended (completed, stopped or failed), with its log, and has servers remove what "
    "they hold of it. For good: the job can neither be resumed nor exported any more, \"cairn jobs\" lists "
    "it no more, and its name is free. The model file that it wrote, and what workers recorded, stay. A "
    "server "
    "that is away removes its part when it comes back.",
    rows, sizeof(rows) / sizeof(rows[0])};

static void print_names(char *const *names, size_t count)
{
    printf("%s ", count > 1 ? "servers" : "server");
    for (size_t i = 0; i < count; i++)
        printf("%s%s", i > 0 ? ", " : "", names[i]);
}

static void print_deleted(const Cairn__DeletedReply *deleted)
{
    if (deleted->step > 0)
        printf("%s is deleted: its record, its log and its state of step %" PRIu64 " are gone\n",
               deleted->job_id, deleted->step);
    else
        printf("%s is deleted: its record and its log are gone\n", deleted->job_id);
    if (deleted->n_servers > 0) {
        print_names(deleted->servers, deleted->n_servers);
        printf(" %s what %s of it\n", deleted->n_servers > 1 ? "remove" : "removes",
               deleted->n_servers > 1 ? "they hold" : "it holds");
    }
    if (deleted->n_absent > 0) {
        print_names(deleted->absent, deleted->n_absent);
        printf(" %s away: when back, %s what %s of it\n", deleted->n_absent > 1 ? "are" : "is",
               deleted->n_absent > 1 ? "they remove" : "it removes",
               deleted->n_absent > 1 ? "they hold" : "it holds");
    }
}

static json_t *deleted_json(const Cairn__DeletedReply *deleted)
{
    return json_pack("{s:s, s:I, s:o, s:o}", "job", deleted->job_id, "committed_step",
                     (json_int_t)deleted->step, "servers", result_texts(deleted->servers, deleted->n_servers),
                     "absent", result_texts(deleted->absent, deleted->n_absent));
}

static enum status ask_deletion(struct connection *connection, const char *job, Cairn__ClientReply **reply,
                                struct error *error)
{
    Cairn__ClientRequest request = CAIRN__CLIENT_REQUEST__INIT;
    Cairn__DeleteRequest body = CAIRN__DELETE_REQUEST__INIT;

    body.job = (char *)job;
    request.body_case = CAIRN__CLIENT_REQUEST__BODY_DELETE_JOB;
    request.delete_job = &body;
    return connection_ask(connection, &request, CAIRN__CLIENT_REPLY__BODY_DELETED, reply, error);
}

static int delete_and_print(struct connection *connection, const void *context)
{
    const struct delete_settings *settings = context;
    Cairn__ClientReply *reply;
    struct error error;
    int code = EXIT_DONE;

    if (ask_deletion(connection, settings->job, &reply, &error) != CAIRN_OK)
        return command_fail(table.program, EXIT_FAILED, &error);
    if (!settings->json)
        print_deleted(reply->deleted);
    else if (!command_print_json(deleted_json(reply->deleted)))
        code = EXIT_FAILED;
    cairn__client_reply__free_unpacked(reply, NULL);
    return code;
}

int command_delete(int argc, char **argv)
{
    struct delete_settings settings;
    int code;

    if (!command_resolve(&table, argc, argv, &settings, &code))
        return code;
    return connection_run(table.program, settings.coordinator, delete_and_print, &settings);
}
