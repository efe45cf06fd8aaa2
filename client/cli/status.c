/* cairn status: shows one job. */
#include "base/clock.h"
#include "command.h"
#include "commands.h"
#include "connection.h"
#include "progress.h"
#include "request_job.h"
#include "result.h"

#include <inttypes.h>
#include <stdio.h>

struct status_settings {
    const char *job, *coordinator;
    int64_t json;
};

static const struct setting rows[] = {
    SETTING_ROW_JOB(struct status_settings),
    SETTING_ROW_COORDINATOR(struct status_settings),
    SETTING_ROW_JSON(struct status_settings),
};

static const struct settings_table table = {"cairn status", "Shows one job.", rows,
                                            sizeof(rows) / sizeof(rows[0])};

static void print_metrics(const char *label, Cairn__Metric *const *metrics, size_t count)
{
    char text[256];

    if (count == 0)
        return;
    result_metrics_text(metrics, count, text, sizeof(text));
    printf("%-12s  %s\n", label, text);
}

static void print_text(const char *label, const char *text)
{
    if (text[0] != '\0')
        printf("%-12s  %s\n", label, text);
}

static void print_work(const Cairn__JobStatus *status)
{
    char speed[32];

    if (status->epochs > 0)
        printf("%-12s  %" PRIu32 " of %" PRIu32 "\n", "epochs done", status->epoch, status->epochs);
    if (status->final_step > 0)
        printf("%-12s  %" PRIu64 " of %" PRIu64 "\n", "steps done", result_steps_done(status),
               status->final_step);
    if (status->tables > 0)
        printf("%-12s  %" PRIu32 "\n", "tables", status->tables);
    printf("%-12s  step %" PRIu64 "\n", "committed", status->committed_step);
    print_metrics("training", status->metrics, status->n_metrics);
    print_metrics("validation", status->validation, status->n_validation);
    if (status->samples_per_second > 0) {
        progress_count((uint64_t)(status->samples_per_second + 0.5), speed, sizeof(speed));
        printf("%-12s  %s samples/s\n", "speed", speed);
    }
    if (status->compute_share + status->communication_share + status->waiting_share > 0)
        printf("%-12s  compute %.0f %%, communication %.0f %%, waiting %.0f %%\n", "time",
               100 * status->compute_share, 100 * status->communication_share, 100 * status->waiting_share);
    if (status->backup_microbatches > 0)
        printf("%-12s  %" PRIu64 " microbatch%s computed twice, as workers were far behind\n", "backups",
               status->backup_microbatches, status->backup_microbatches == 1 ? "" : "es");
}

static void print_cluster(const Cairn__JobStatus *status)
{
    char workers[RESULT_COUNT_BYTES], servers[RESULT_COUNT_BYTES];

    result_servers_text(status, " of ", servers, sizeof(servers));
    printf("%-12s  servers %s", "cluster", servers);
    result_workers_text(status, " of ", workers, sizeof(workers));
    if (status->tables == 0)
        printf(", workers %s", workers);
    printf("\n");
}

static void print_leaving(const Cairn__JobStatus *status)
{
    for (size_t i = 0; i < status->n_leaving; i++)
        printf("%-12s  %s, when the others have committed a step\n", i == 0 ? "leaving" : "",
               status->leaving[i]);
}

/* What should not happen, when it has. */
static void print_trouble(const Cairn__JobStatus *status)
{
    for (size_t i = 0; i < status->n_excluded; i++)
        printf("%-12s  %s\n", i == 0 ? "excluded" : "", status->excluded[i]);
    if (status->divergences > 0)
        printf("%-12s  %" PRIu64 " sum%s came twice and differed; see cairn logs %s\n", "divergences",
               status->divergences, status->divergences == 1 ? "" : "s", status->id);
}

static void print_state(const Cairn__JobStatus *status)
{
    double seconds = result_state_seconds(status, clock_unix_ms());
    char moment[RESULT_MOMENT_BYTES], duration[32];

    printf("%-12s  %s", "state", job_state_name(status->state));
    if (!job_state_has_ended(status->state) && status->state_ms > 0) {
        result_moment_text(status->state_ms, moment);
        printf(" since %s", moment);
    }
    if (status->state == CAIRN__JOB_STATE__JOB_STATE_WAITING && seconds >= 1) {
        progress_duration(seconds, duration, sizeof(duration));
        printf(", for %s", duration);
    }
    printf("\n");
}

static void print_moment(const char *label, int64_t unix_ms)
{
    char text[RESULT_MOMENT_BYTES];

    if (unix_ms == 0)
        return;
    result_moment_text(unix_ms, text);
    printf("%-12s  %s\n", label, text);
}

static void print_times(const Cairn__JobStatus *status)
{
    double seconds = result_seconds(status, clock_unix_ms());

    print_moment("submitted", status->submitted_ms);
    print_moment("started", status->started_ms);
    print_moment("ended", status->finished_ms);
    if (seconds > 0)
        printf("%-12s  %.1f s\n", "took", seconds);
}

static void print_status(const Cairn__JobStatus *status)
{
    printf("%-12s  %s\n", "job", status->id);
    print_state(status);
    print_text("reason", status->reason);
    print_work(status);
    print_cluster(status);
    print_leaving(status);
    print_trouble(status);
    print_times(status);
    print_text("model hash", status->model_hash);
    print_text("output", status->output);
    print_text("no output", status->output_error);
}

static int ask_and_print(struct connection *connection, const void *context)
{
    const struct status_settings *settings = context;
    Cairn__ClientReply *reply;
    struct error error;
    int code = EXIT_DONE;

    if (request_status(connection->requester, settings->job, &reply, &error) != CAIRN_OK)
        return command_fail(table.program, EXIT_FAILED, &error);
    if (!settings->json)
        print_status(reply->job);
    else if (!command_print_json(result_status_json(reply->job, clock_unix_ms())))
        code = EXIT_FAILED;
    cairn__client_reply__free_unpacked(reply, NULL);
    return code;
}

int command_status(int argc, char **argv)
{
    struct status_settings settings;
    int code;

    if (!command_resolve(&table, argc, argv, &settings, &code))
        return code;
    return connection_run(table.program, settings.coordinator, ask_and_print, &settings);
}
