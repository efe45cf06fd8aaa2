/* One function a kind of report. */
#include "telling.h"

#include "base/log.h"
#include "model/formats/h5.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A cleared report of a kind. */
static struct step_report *report_of(struct telling *telling, enum step_report_kind kind)
{
    memset(&telling->report, 0, sizeof(telling->report));
    telling->report.kind = kind;
    return &telling->report;
}

/* It can fail only when the context is terminated, and then nobody listens. */
static void send_report(struct telling *telling)
{
    struct error error;

    if (actor_report(telling->self, &telling->report, sizeof(telling->report), &error) != CAIRN_OK)
        log_debug("report_not_sent", "reason=\"%s\"", error.message);
}

static void name_metrics(const struct telling *telling, struct step_report *report)
{
    const struct model_spec *model = &telling->opened->job->model;

    report->metric_names[0] = "loss";
    for (uint32_t i = 0; i < model->metric_count; i++)
        report->metric_names[1 + i] = metric_name(model->metrics[i]);
}

void tell_progress(void *context, const struct training_figures *figures)
{
    struct telling *telling = context;
    struct step_report *report = report_of(telling, STEP_PROGRESS);

    telling->figures = *figures;
    report->figures = *figures;
    name_metrics(telling, report);
    send_report(telling);
}

void tell_validated(void *context, uint64_t done, const double *means, uint32_t metric_count)
{
    struct telling *telling = context;
    struct step_report *report = report_of(telling, STEP_VALIDATED);

    report->figures.step = done;
    report->figures.metric_count = metric_count;
    memcpy(report->figures.means, means, metric_count * sizeof(*means));
    name_metrics(telling, report);
    send_report(telling);
}

void tell_prepared(struct telling *telling)
{
    struct step_report *report = report_of(telling, STEP_PREPARED);

    report->training_samples = opened_job_training_samples(telling->opened);
    report->validation_samples = opened_job_validation_samples(telling->opened);
    send_report(telling);
}

void tell_failed(struct telling *telling, const struct error *error)
{
    struct step_report *report = report_of(telling, STEP_FAILED);

    snprintf(report->message, sizeof(report->message), "%s", error->message);
    send_report(telling);
}

void tell_trouble(struct telling *telling, const struct error *error)
{
    struct step_report *report = report_of(telling, STEP_TROUBLE);

    snprintf(report->message, sizeof(report->message), "%.400s; trying again", error->message);
    send_report(telling);
}

/* ---- the end */

static void write_output(struct telling *telling, const float *weights, const char *output)
{
    const struct job *job = telling->opened->job;
    const struct h5_training training = job_h5_training(job);
    struct step_report *report = &telling->report;
    char *path = job_path(job, output);
    struct error error;
    enum status status;

    if (!path || strlen(path) >= sizeof(report->output))
        status = error_set(&error, CAIRN_INVALID, "the output's path is too long");
    else
        status = h5_write(path, job->graph, job->name, weights, &training, &error);
    if (status == CAIRN_OK) {
        snprintf(report->output, sizeof(report->output), "%s", path);
    } else {
        snprintf(report->message, sizeof(report->message), "%s", error.message);
        log_error("output_not_written", "reason=\"%s\"", error.message);
    }
    free(path);
}

void tell_reached(struct telling *telling, uint64_t step, const float *weights, const char *output)
{
    struct step_report *report = report_of(telling, STEP_REACHED);

    report->figures.step = step;
    graph_hash(telling->opened->job->graph, weights, report->model_hash);
    if (output[0] != '\0')
        write_output(telling, weights, output);
    send_report(telling);
}

void tell_done(struct telling *telling, uint64_t step)
{
    report_of(telling, STEP_REACHED)->figures.step = step;
    send_report(telling);
}

static const char *layer_name(const struct graph *graph, uint32_t layer)
{
    if (layer == PLAN_INPUTS)
        return "input";
    return layer < graph->layer_count ? graph->layers[layer].spec->name : "loss";
}

void tell_not_finite(struct telling *telling, const struct lanes_fault *fault, bool is_ours)
{
    struct step_report *report = report_of(telling, STEP_NOT_FINITE);

    report->figures.step = fault->step;
    if (is_ours) {
        report->microbatch = fault->microbatch;
        snprintf(report->layer, sizeof(report->layer), "%s",
                 layer_name(telling->opened->job->graph, fault->layer));
    }
    log_error("loss_not_finite", "job=%s step=%" PRIu64 " layer=%s microbatch=%u", telling->opened->job->name,
              fault->step, is_ours ? report->layer : "unknown", report->microbatch);
    send_report(telling);
}
