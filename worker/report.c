/* One function a message. The messages point into the report; nothing is copied. */
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

static enum status send_prepared(struct member *member, Cairn__Prepared *body,
                                 const struct step_report *report, struct error *error)
{
    Cairn__NodeMessage message = CAIRN__NODE_MESSAGE__INIT;

    body->training_samples = report->training_samples;
    body->validation_samples = report->validation_samples;
    message.body_case = CAIRN__NODE_MESSAGE__BODY_PREPARED;
    message.prepared = body;
    return member_send(member, &message, error);
}

static enum status send_progress(struct member *member, Cairn__Progress *body,
                                 const struct step_report *report, struct error *error)
{
    Cairn__NodeMessage message = CAIRN__NODE_MESSAGE__INIT;
    struct metric_list list;

    list_metrics(&list, report);
    body->step = report->figures.step;
    body->n_metrics = report->figures.metric_count;
    body->metrics = list.pointers;
    body->samples_per_second = report->figures.samples_per_second;
    body->compute_share = report->figures.compute_share;
    body->communication_share = report->figures.communication_share;
    body->waiting_share = report->figures.waiting_share;
    message.body_case = CAIRN__NODE_MESSAGE__BODY_PROGRESS;
    message.progress = body;
    return member_send(member, &message, error);
}

static enum status send_validated(struct member *member, Cairn__Validated *body,
                                  const struct step_report *report, struct error *error)
{
    Cairn__NodeMessage message = CAIRN__NODE_MESSAGE__INIT;
    struct metric_list list;

    list_metrics(&list, report);
    body->step = report->figures.step;
    body->n_metrics = report->figures.metric_count;
    body->metrics = list.pointers;
    message.body_case = CAIRN__NODE_MESSAGE__BODY_VALIDATED;
    message.validated = body;
    return member_send(member, &message, error);
}

static enum status send_reached(struct member *member, Cairn__Reached *body, const struct step_report *report,
                                struct error *error)
{
    Cairn__NodeMessage message = CAIRN__NODE_MESSAGE__INIT;

    body->step = report->figures.step;
    body->model_hash = (char *)report->model_hash;
    body->output = (char *)report->output;
    body->output_error = (char *)report->message;
    message.body_case = CAIRN__NODE_MESSAGE__BODY_REACHED;
    message.reached = body;
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
    Cairn__Prepared prepared = CAIRN__PREPARED__INIT;
    Cairn__Progress progress = CAIRN__PROGRESS__INIT;
    Cairn__Validated validated = CAIRN__VALIDATED__INIT;
    Cairn__Reached reached = CAIRN__REACHED__INIT;

    prepared.job = progress.job = validated.job = reached.job = job;
    prepared.incarnation = progress.incarnation = validated.incarnation = reached.incarnation = incarnation;
    switch (report->kind) {
    case STEP_PREPARED:
        return send_prepared(member, &prepared, report, error);
    case STEP_PROGRESS:
        return send_progress(member, &progress, report, error);
    case STEP_VALIDATED:
        return send_validated(member, &validated, report, error);
    case STEP_REACHED:
        return send_reached(member, &reached, report, error);
    case STEP_FAILED:
        return report_send_failure(member, job, incarnation, report->message, error);
    }
    BUG("a report of no kind");
}
