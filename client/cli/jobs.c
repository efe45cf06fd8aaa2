/* cairn jobs: lists jobs. */
#include "base/clock.h"
#include "command.h"
#include "commands.h"
#include "connection.h"
#include "result.h"
#include "table.h"

#include <inttypes.h>
#include <stdio.h>

struct jobs_settings {
    const char *coordinator;
    int64_t json;
};

static const struct setting rows[] = {
    SETTING_ROW_COORDINATOR(struct jobs_settings),
    SETTING_ROW_JSON(struct jobs_settings),
};

static const struct settings_table table = {"cairn jobs", "Lists the jobs that the coordinator knows.", rows,
                                            sizeof(rows) / sizeof(rows[0])};

/* What all jobs have. */
static void add_job(struct table *list, const Cairn__JobStatus *status)
{
    char submitted[RESULT_MOMENT_BYTES];

    result_moment_text(status->submitted_ms, submitted);
    table_add(list, "%s", status->id);
    table_add(list, "%s", job_state_name(status->state));
    table_add(list, "%s", submitted);
}

/* A job with tables has neither epochs nor a last step, and no workers. */
static void add_tables_row(struct table *list, const Cairn__JobStatus *status)
{
    add_job(list, status);
    table_add(list, "-");
    table_add(list, "%" PRIu64, status->step);
    table_add(list, "%" PRIu64, status->committed_step);
    table_add(list, "%" PRIu32, status->servers);
    table_add(list, "-");
    table_add(list, "%" PRIu32 " table%s%s%s", status->tables, status->tables > 1 ? "s" : "",
              status->reason[0] ? "; " : "", status->reason);
}

static void add_row(struct table *list, const Cairn__JobStatus *status)
{
    bool completed = status->state == CAIRN__JOB_STATE__JOB_STATE_COMPLETED;
    const char *reason = completed ? "" : status->reason; /* its steps and metrics say as much */
    bool validated = status->n_validation > 0;
    char metrics[160];
    char workers[RESULT_COUNT_BYTES], servers[RESULT_COUNT_BYTES];

    result_metrics_text(validated ? status->validation : status->metrics,
                        validated ? status->n_validation : status->n_metrics, metrics, sizeof(metrics));
    add_job(list, status);
    table_add(list, "%" PRIu32 "/%" PRIu32, status->epoch, status->epochs);
    table_add(list, "%" PRIu64 "/%" PRIu64, result_steps_done(status), status->final_step);
    table_add(list, "%" PRIu64, status->committed_step);
    result_servers_text(status, "/", servers, sizeof(servers));
    table_add(list, "%s", servers);
    result_workers_text(status, "/", workers, sizeof(workers));
    table_add(list, "%s", workers);
    table_add(list, "%s%s%s", metrics, metrics[0] && reason[0] ? "; " : "", reason);
}

static bool print_table(const Cairn__JobsReply *reply)
{
    static const char *const headings[] = {"JOB",       "STATE",   "SUBMITTED", "EPOCH",  "STEP",
                                           "COMMITTED", "SERVERS", "WORKERS",   "METRICS"};
    struct table list;
    bool printed;

    if (reply->n_jobs == 0)
        return printf("no jobs\n") > 0;
    table_init(&list, sizeof(headings) / sizeof(headings[0]), headings);
    for (size_t i = 0; i < reply->n_jobs; i++)
        (reply->jobs[i]->tables > 0 ? add_tables_row : add_row)(&list, reply->jobs[i]);
    printed = table_print(&list, stdout);
    table_fini(&list);
    return printed;
}

static bool print_json(const Cairn__JobsReply *reply)
{
    json_t *list = json_array();

    for (size_t i = 0; i < reply->n_jobs; i++) {
        if (json_array_append_new(list, result_status_json(reply->jobs[i], clock_unix_ms())) != 0) {
            json_decref(list);
            list = NULL;
            break;
        }
    }
    return command_print_json(json_pack("{s:o}", "jobs", list));
}

static int ask_and_print(struct connection *connection, const void *context)
{
    const struct jobs_settings *settings = context;
    Cairn__ClientRequest request = CAIRN__CLIENT_REQUEST__INIT;
    Cairn__JobsRequest body = CAIRN__JOBS_REQUEST__INIT;
    Cairn__ClientReply *reply;
    struct error error;
    bool printed;

    request.body_case = CAIRN__CLIENT_REQUEST__BODY_JOBS;
    request.jobs = &body;
    if (connection_ask(connection, &request, CAIRN__CLIENT_REPLY__BODY_JOBS, &reply, &error) != CAIRN_OK)
        return command_fail(table.program, EXIT_FAILED, &error);
    printed = settings->json ? print_json(reply->jobs) : print_table(reply->jobs);
    cairn__client_reply__free_unpacked(reply, NULL);
    return printed ? EXIT_DONE : EXIT_FAILED;
}

int command_jobs(int argc, char **argv)
{
    struct jobs_settings settings;
    int code;

    if (!command_resolve(&table, argc, argv, &settings, &code))
        return code;
    return connection_run(table.program, settings.coordinator, ask_and_print, &settings);
}
