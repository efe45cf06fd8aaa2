/* One function a body. The messages point into the report; nothing is copied. */
#include "report.h"

/* The metrics of a message: an array of pointers, as protobuf-c has them. */
struct metric_list {
    Cairn__Metric metrics[1 + MODEL_METRICS_MAX];
    Cairn__Metric *pointers[1 + MODEL_METRICS_MAX];
};

static void list_metrics(struct metric_list *list, const struct step_report *report)
{
    for (uint32_t i = 0; i < report->figures.metric_count; i++) {
        cairn__metric__init(&list->metrics[i]);
        list->metrics[i].name = (char *)report->metric_names[i];
        list->metrics[i].value = report->figures.means[i];
        list->pointers[i] = &list->metrics[i];
    }
}

static void fill_prepared(Cairn__Prepared *body, const struct step_report *report)
{
    body->training_samples = report->training_samples;
    body->validation_samples = report->validation_samples;
}

static void fill_progress(Cairn__Progress *body, const struct step_report *report, struct metric_list *list)
{
    body->step = report->figures.step;
    body->n_metrics = report->figures.metric_count;
    body->metrics = list->pointers;
    body->samples_per_second = report->figures.samples_per_second;
    body->microbatches_per_second = report->figures.microbatches_per_second;
    body->backup_microbatches = report->figures.backup_microbatches;
    body->compute_share = report->figures.compute_share;
    body->communication_share = report->figures.communication_share;
    body->waiting_share = report->figures.waiting_share;
}

static void fill_validated(Cairn__Validated *body, const struct step_report *report, struct metric_list *list)
{
    body->step = report->figures.step;
    body->n_metrics = report->figures.metric_count;
    body->metrics = list->pointers;
}

static void fill_reached(Cairn__Reached *body, const struct step_report *report)
{
    body->step = report->figures.step;
    body->model_hash = (char *)report->model_hash;
    body->output = (char *)report->output;
    body->output_error = (char *)report->message;
}

static void fill_not_finite(Cairn__NotFinite *body, const struct step_report *report)
{
    body->step = report->figures.step;
    body->layer = (char *)report->layer;
    body->microbatch = report->microbatch;
}

static enum status send_trouble(struct member *member, uint64_t job, const char *line, struct error *error)
{
    Cairn__NodeMessage message = CAIRN__NODE_MESSAGE__INIT;
    Cairn__LogLine body = CAIRN__LOG_LINE__INIT;

    body.job = job;
    body.level = "warn";
    body.text = (char *)line;
    message.body_case = CAIRN__NODE_MESSAGE__BODY_LOG_LINE;
    message.log_line = &body;
    return member_send(member, &message, error);
}

enum status report_send_failure(struct member *member, uint64_t job, uint64_t incarnation, const char *line,
                                struct error *error)
{
    Cairn__NodeMessage message = CAIRN__NODE_MESSAGE__INIT;
    Cairn__Failed body = CAIRN__FAILED__INIT;

    body.job = job;
    body.incarnation = incarnation;
    body.message = (char *)line;
    message.body_case = CAIRN__NODE_MESSAGE__BODY_FAILED;
    message.failed = &body;
    return member_send(member, &message, error);
}

enum status report_send(struct member *member, uint64_t job, uint64_t incarnation,
                        const struct step_report *report, struct error *error)
{
    Cairn__NodeMessage message = CAIRN__NODE_MESSAGE__INIT;
    Cairn__Prepared prepared = CAIRN__PREPARED__INIT;
    Cairn__Progress progress = CAIRN__PROGRESS__INIT;
    Cairn__Validated validated = CAIRN__VALIDATED__INIT;
    Cairn__Reached reached = CAIRN__REACHED__INIT;
    Cairn__NotFinite not_finite = CAIRN__NOT_FINITE__INIT;
    struct metric_list list;

    prepared.job = progress.job = validated.job = reached.job = not_finite.job = job;
    prepared.incarnation = progress.incarnation = validated.incarnation = incarnation;
    reached.incarnation = not_finite.incarnation = incarnation;
    switch (report->kind) {
    case STEP_PREPARED:
        fill_prepared(&prepared, report);
        message.body_case = CAIRN__NODE_MESSAGE__BODY_PREPARED;
        message.prepared = &prepared;
        break;
    case STEP_PROGRESS:
        list_metrics(&list, report);
        fill_progress(&progress, report, &list);
        message.body_case = CAIRN__NODE_MESSAGE__BODY_PROGRESS;
        message.progress = &progress;
        break;
    case STEP_VALIDATED:
        list_metrics(&list, report);
        fill_validated(&validated, report, &list);
        message.body_case = CAIRN__NODE_MESSAGE__BODY_VALIDATED;
        message.validated = &validated;
        break;
    case STEP_REACHED:
        fill_reached(&reached, report);
        message.body_case = CAIRN__NODE_MESSAGE__BODY_REACHED;
        message.reached = &reached;
        break;
    case STEP_NOT_FINITE:
        fill_not_finite(&not_finite, report);
        message.body_case = CAIRN__NODE_MESSAGE__BODY_NOT_FINITE;
        message.not_finite = &not_finite;
        break;
    case STEP_TROUBLE:
        return send_trouble(member, job, report->message, error);
    case STEP_FAILED:
        return report_send_failure(member, job, incarnation, report->message, error);
    case STEP_ENDED:
        break; /* the main thread's own */
    }
    BUG_IF(message.body_case == CAIRN__NODE_MESSAGE__BODY__NOT_SET);
    return member_send(member, &message, error);
}
