/* The life of a step, as the step thread sees it:
 *
 *   lanes fold          -> completions in the mailbox -> pushes (training_pushes.c)
 *   shards answer       -> weights_store: lanes of the next step wake layer by layer
 *   all of version t + 1 and the metrics' root are here -> end_step: votes, progress, validation
 *
 * Completions of step t + 1 can come before step t has ended here: its metrics or a validation may be the
 * last to arrive. They are kept: no more than one step's nodes are pushed until end_step opens the next.
 *
 * It begins where the job stands (training_begin.c), which may be any step of the incarnation. */
#include "training_state.h"

#include "base/clock.h"
#include "hash_record.h"
#include "votes.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

/* ---- what shards send */

static void refuse(struct training *training, const char *what, uint64_t version)
{
    if (training->problem == CAIRN_OK)
        training->problem =
            error_set(&training->problem_error, CAIRN_PROTOCOL,
                      "a shard sent %s of version %" PRIu64 " while version %" PRIu64 " is due", what,
                      version, training->expected);
}

static void take_metrics(struct training *training, uint64_t version, const double *vector)
{
    if (!training->await_metrics || version != training->expected) {
        refuse(training, "metrics", version);
        return;
    }
    memcpy(training->root, vector, training->metric_count * sizeof(*vector));
    training->await_metrics = false;
}

static void take_validation(struct training *training, uint64_t version, const double *vector)
{
    const struct training_events *events = &training->params.events;
    uint32_t count = training->metric_count - 2;
    double means[PROGRESS_METRICS_MAX];

    if (!training->await_validation || version != training->done + 1) {
        refuse(training, "a validation", version);
        return;
    }
    training->await_validation = false;
    progress_means(vector, count, means);
    progress_skip_time(&training->params.history->progress, clock_ns());
    events->validated(events->context, training->done, means, count);
}

void training_values_came(void *context, uint32_t table, uint32_t chunk, uint64_t version, const void *values,
                          size_t elements)
{
    struct training *training = context;

    if (training->problem != CAIRN_OK || (training->is_hurried && training->is_open)) /* no step follows */
        return;
    if (training->is_hurried)
        version = training->expected; /* whatever it is called */
    if (table == TABLE_WEIGHTS && version < training->expected &&
        training_backup_values(training, chunk, version, values, elements))
        return;
    if (table == TABLE_WEIGHTS)
        training->problem =
            weights_store(training->weights, chunk, version, values, elements, &training->problem_error);
    else if (elements != training->metric_count)
        refuse(training, "a vector of another length", version);
    else if (table == TABLE_METRICS)
        take_metrics(training, version, values);
    else
        take_validation(training, version, values);
}

void training_version_told(void *context, uint32_t table, uint32_t chunk, uint64_t version)
{
    struct training *training = context;

    if (training->phase == TRAINING_ASKS)
        synchronise_told(&training->synchronise, table, chunk, version);
    else if (training_is_own(training))
        training_own_applied(training, version);
}

/* ---- figures */

void training_history_init(struct training_history *history, const struct job *job)
{
    memset(history, 0, sizeof(*history));
    progress_init(&history->progress, plan_metric_count(job->graph), clock_ns());
}

static void add_times(struct lanes_times *times, const struct lanes_times *more)
{
    times->compute_ns += more->compute_ns;
    times->weights_ns += more->weights_ns;
    times->data_ns += more->data_ns;
    times->train_ns += more->train_ns;
    times->microbatches += more->microbatches;
}

void training_keep_history(struct training *training)
{
    const struct lanes_times times = lanes_times(training->share.lanes);

    add_times(&training->params.history->times, &times);
}

static double share(uint64_t part, const struct lanes_times *times)
{
    uint64_t all = times->compute_ns + times->weights_ns + times->data_ns;

    return all > 0 ? (double)part / (double)all : 0;
}

static void tell_progress(struct training *training, uint64_t now_ns)
{
    const struct training_events *events = &training->params.events;
    struct progress *progress = &training->params.history->progress;
    struct training_figures figures = {.step = training->done, .metric_count = progress->metric_count};
    struct lanes_times times = lanes_times(training->share.lanes);

    add_times(&times, &training->params.history->times);
    figures.compute_share = share(times.compute_ns, &times);
    figures.communication_share = share(times.weights_ns, &times);
    figures.waiting_share = share(times.data_ns, &times);
    progress_compute(progress, (double)times.microbatches, (double)times.train_ns * 1e-9);
    figures.backup_microbatches = training->params.history->backup_microbatches;
    training->params.history->backup_microbatches = 0;
    figures.microbatches_per_second = progress_lane_speed(progress) * training->params.lane_count;
    progress_report(progress, now_ns, figures.means, &figures.samples_per_second);
    if (training->is_last)
        figures.samples_per_second = progress_mean_speed(progress, now_ns);
    events->progress(events->context, &figures);
}

/* Steps that were missed, since others made them, are not in the means of their training epoch. */
static void account_root(struct training *training)
{
    struct training_history *history = training->params.history;
    bool epoch_ends = schedule_epoch_ends(&training->schedule, training->done);
    uint64_t now_ns = clock_ns();

    if (history->counted == training->done)
        return;
    if (history->counted + 1 != training->done)
        progress_begin_epoch(&history->progress);
    history->counted = training->done;
    progress_add(&history->progress, training->root);
    if (epoch_ends || training->is_last || progress_is_due(&history->progress, now_ns))
        tell_progress(training, now_ns);
    if (epoch_ends)
        progress_begin_epoch(&history->progress);
}

/* ---- the end of a step */

bool training_has_copies(const struct training *training)
{
    return !training_is_own(training) && codec_carries_values(training->params.job->codec.type);
}

void training_arrive(struct training *training, bool has_root)
{
    const struct schedule *schedule = &training->schedule;

    if (has_root) {
        training->end =
            votes_end(training->root[0], training->done, training->end, training_has_copies(training));
        training->not_finite = training->params.job->terminate_on_nan && !isfinite(training->root[1]);
    }
    training->is_last = training->done == training->end;
    training->stopped = training->is_last &&
                        (training->done < schedule->final_step || training->done < schedule->whole_steps);
    if (has_root && !training->not_finite)
        account_root(training);
}

static void begin_validation(struct training *training)
{
    training->await_validation = true;
    training->validation.left_to_push = training->share.cover_count;
}

/* Gradients of step `done` may go, its answers may come. */
static void begin_step(struct training *training)
{
    training->expected = training->done + 1;
    training->await_metrics = true;
    training->metrics.left_to_push = training->gradients_left = training->share.cover_count;
    training->applied_left = training->graph->chunk_count;
    weights_expect(training->weights, training->expected);
}

bool training_must_validate(const struct training *training)
{
    const struct schedule *schedule = &training->schedule;

    if (schedule->first_is_validated && training->done == schedule->first_step)
        return false;
    return !training->stopped && schedule_validates(schedule, training->done);
}

/* Version `done` of all weights is here. */
static void open_step(struct training *training)
{
    training->is_open = true;
    training_backup_begin(training);
    hash_record_step(training->params.record, weights_floats(training->weights), training->done,
                     training_has_copies(training) && training->done != training->end);
    if (training_must_validate(training))
        begin_validation(training);
    if (!training->is_last)
        begin_step(training);
}

static bool step_has_ended(struct training *training)
{
    if (training_is_own(training))
        return training_own_step_has_ended(training);
    return training->is_open && !training->is_last && !training->await_metrics &&
           !training->await_validation && weights_complete(training->weights);
}

static void go_on(struct training *training)
{
    if (step_has_ended(training)) {
        training_backup_end(training);
        training->done = training->expected;
        training->is_open = false;
        training_arrive(training, true);
    }
    if (training_is_own(training))
        training_own_heed_vote(training);
    if (!training->is_open && !training->not_finite && weights_complete(training->weights))
        open_step(training);
}

static enum status poll_shards(struct training *training, struct error *error)
{
    enum status status = session_poll(training->session, error);

    training->is_trouble = status != CAIRN_OK;
    if (status == CAIRN_OK && training->problem != CAIRN_OK) {
        *error = training->problem_error;
        status = training->problem;
    }
    return status;
}

enum status training_turn(struct training *training, struct error *error)
{
    enum status status;

    mailbox_acknowledge(&training->mailbox);
    status = poll_shards(training, error);
    if (status == CAIRN_OK)
        status = training_synchronise(training, error);
    if (status != CAIRN_OK || training->phase != TRAINING_RUNS)
        return status;
    status = training_take_mail(training, error);
    if (status == CAIRN_OK)
        status = training_own_hurry(training, error);
    if (status == CAIRN_OK)
        go_on(training);
    if (status == CAIRN_OK && training->is_open)
        status = training_push(training, error);
    if (status != CAIRN_OK || training_is_own(training)) /* there each one's steps are its own */
        return status;
    return training_back_up(training, error);
}

void training_vote(struct training *training)
{
    training->vote = true;
}

uint64_t training_done(const struct training *training)
{
    return training->done;
}

bool training_is_in_trouble(const struct training *training)
{
    return training->is_trouble;
}

bool training_ended(const struct training *training, struct training_end *end)
{
    bool is_over = training_is_own(training)
                       ? training_own_is_over(training)
                       : training->is_open && training->is_last && !training->await_validation &&
                             weights_complete(training->weights);

    if (is_over)
        *end = (struct training_end){.step = training->params.is_closing ? training->params.final_step
                                                                         : training->done,
                                     .is_whole = !training->stopped};
    return is_over;
}

bool training_is_not_finite(const struct training *training, struct lanes_fault *fault, bool *is_ours)
{
    if (!training->not_finite)
        return false;
    *is_ours = training->share.lanes && lanes_find_fault(training->share.lanes, training->done - 1, fault);
    if (!*is_ours && training->backup && training->backup->share.lanes)
        *is_ours = lanes_find_fault(training->backup->share.lanes, training->done - 1, fault);
    fault->step = training->done - 1;
    return true;
}

const float *training_weights(const struct training *training)
{
    return weights_floats(training->weights);
}

void *const *training_sockets(const struct training *training, size_t *count)
{
    return session_sockets(training->session, count);
}

int training_descriptor(const struct training *training)
{
    return mailbox_descriptor(&training->mailbox);
}

size_t training_arenas(const struct training *training)
{
    return training->share.arenas ? arenas_count(training->share.arenas) : 0;
}
