/* How a job's end is told. */
#include "report.h"

#include "base/clock.h"
#include "command.h"
#include "progress.h"
#include "result.h"

#include <inttypes.h>
#include <stdio.h>

static void print_metrics(const char *label, Cairn__Metric *const *metrics, size_t count)
{
    char text[256];

    if (count == 0)
        return;
    result_metrics_text(metrics, count, text, sizeof(text));
    printf("  %-10s  %s\n", label, text);
}

void report_print(const Cairn__JobStatus *status)
{
    double seconds = result_seconds(status, clock_unix_ms());
    char speed[32];

    if (status->tables > 0)
        printf("%s %s after %.1f s", status->id, job_state_name(status->state), seconds);
    else
        printf("%s %s: %" PRIu64 " steps in %.1f s", status->id, job_state_name(status->state),
               result_steps_done(status), seconds);
    if (status->samples_per_second > 0) {
        progress_count((uint64_t)(status->samples_per_second + 0.5), speed, sizeof(speed));
        printf(", %s samples/s", speed);
    }
    printf("\n");
    print_metrics("training", status->metrics, status->n_metrics);
    print_metrics("validation", status->validation, status->n_validation);
    if (status->compute_share + status->communication_share + status->waiting_share > 0)
        printf("  %-10s  compute %.0f %%, communication %.0f %%, waiting %.0f %%\n", "time",
               100 * status->compute_share, 100 * status->communication_share, 100 * status->waiting_share);
    printf("  %-10s  step %" PRIu64 "\n", "committed", status->committed_step);
    if (status->model_hash[0] != '\0')
        printf("  %-10s  %s\n", "hash", status->model_hash);
    if (status->output[0] != '\0')
        printf("  %-10s  %s\n", "model", status->output);
    fflush(stdout);
}

int report_end(const char *program, const Cairn__JobStatus *status, bool json)
{
    if (!json)
        report_print(status);
    else if (!command_print_json(result_json(status, clock_unix_ms())))
        return EXIT_FAILED;
    if (result_is_success(status))
        return EXIT_DONE;
    if (status->output_error[0] != '\0')
        fprintf(stderr, "%s: %s was trained, but its model file could not be written: %s\n", program,
                status->id, status->output_error);
    else
        fprintf(stderr, "%s: %s %s%s%s\n", program, status->id, job_state_name(status->state),
                status->reason[0] ? ": " : "", status->reason);
    return EXIT_FAILED;
}
