/* What is different in the throughput modes (docs/design.md, section 12): a worker goes by steps of its own.
 * Its gradients are one sum over its span, an update by themselves; the metrics are its own; a step has ended
 * when shards have applied it and sent what there is then. It begins with the step that shards have not had
 * of it. */
#include "training_state.h"

#include "base/clock.h"
#include "base/log.h"

#include <inttypes.h>
#include <string.h>

bool training_is_own(const struct training *training)
{
    return job_is_throughput(training->params.job);
}

/* Nobody is asked for sums of all workers: there are none. */
void training_own_init(struct training *training)
{
    synchronise_told(&training->synchronise, TABLE_METRICS, 0, 0);
    synchronise_told(&training->synchronise, TABLE_VALIDATION, 0, 0);
}

void training_own_standing(struct training *training)
{
    const struct versions *versions = &training->synchronise.versions;
    const struct session_params *session = &training->params.session;

    log_debug("synchronised",
              "job=%" PRIu64 " incarnation=%" PRIu64 " worker=%" PRIu64 " step=%" PRIu64 " most=%" PRIu64,
              session->job, session->incarnation, session->worker, versions->weights,
              training->synchronise.weights_most);
    training->standing = (struct standing){.step = versions->weights};
    training->is_torn = versions->weights != training->synchronise.weights_most;
    if (training->params.is_closing || versions->weights > training->params.final_step)
        training->end = versions->weights;
}

static void take_validation(struct training *training, const double *vector)
{
    const struct training_events *events = &training->params.events;
    uint32_t count = training->metric_count - 2;
    double means[PROGRESS_METRICS_MAX];

    training->await_validation = false;
    progress_means(vector, count, means);
    progress_skip_time(&training->params.history->progress, clock_ns());
    events->validated(events->context, training->done, means, count);
}

void training_own_vector(struct training *training, struct vectors *vectors, const double *vector)
{
    if (vectors->table == TABLE_VALIDATION) {
        take_validation(training, vector);
        return;
    }
    memcpy(training->root, vector, training->metric_count * sizeof(*vector));
    training->await_metrics = false;
}

void training_own_applied(struct training *training, uint64_t version)
{
    const struct session_params *session = &training->params.session;

    if (version != training->expected || training->applied_left == 0 || --training->applied_left > 0)
        return;
    log_debug("step_applied", "job=%" PRIu64 " incarnation=%" PRIu64 " worker=%" PRIu64 " step=%" PRIu64,
              session->job, session->incarnation, session->worker, training->done);
}

bool training_own_step_has_ended(struct training *training)
{
    bool is_made = training->is_open && !training->is_last && !training->await_metrics &&
                   !training->await_validation && training->gradients_left == 0 &&
                   training->applied_left == 0;

    if (!is_made ||
        (!training->vote && training->expected < training->end && !weights_complete(training->weights)))
        return false;
    training->is_torn = false;
    if (training->vote)
        training->end = training->expected;
    return true;
}

bool training_own_is_over(const struct training *training)
{
    if (training->phase != TRAINING_RUNS)
        return false;
    if (training->params.is_closing)
        return training->is_open && !training->await_validation && weights_complete(training->weights);
    return training->is_last;
}

void training_own_heed_vote(struct training *training)
{
    if (training->vote && !training->is_open && !training->is_torn && !training->is_last) {
        training->end = training->done;
        training_arrive(training, false);
    }
}

enum status training_own_hurry(struct training *training, struct error *error)
{
    const struct session_pull message = {
        .table = TABLE_WEIGHTS, .version = SESSION_NEWEST, .chunk_count = training->graph->chunk_count};
    enum status status;

    if (!training->vote || !training->is_torn || training->is_open || training->is_last ||
        training->is_hurried)
        return CAIRN_OK;
    training->is_hurried = true;
    status = session_pull(training->session, &message, error);
    training->is_trouble = status != CAIRN_OK;
    return status;
}
