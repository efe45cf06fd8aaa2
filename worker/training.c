/* The life of a step, as the step thread sees it:
 *
 *   lanes fold          -> completions in the mailbox -> pushes (pushes.h says which chunks are due)
 *   shards answer       -> weights_store: lanes of the next step wake layer by layer
 *   all of version t + 1 and the metrics' root are here -> end_step: votes, progress, validation
 *
 * Completions of step t + 1 can come before step t has ended here: its metrics or a validation may be the
 * last to arrive. They are kept: no more than one step's nodes are pushed until end_step opens the next. */
#include "training.h"

#include "base/clock.h"
#include "hash_record.h"
#include "progress.h"
#include "share.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* A vector of metrics on its way to a shard, one a node of the cover. */
struct vectors {
    enum table_id table;
    struct buffer *ready[TREE_COVER_MAX]; /* complete, not pushed yet */
    uint32_t left_to_push;                /* nodes, in this round */
};

struct training {
    struct training_params params;
    const struct graph *graph;
    struct schedule schedule;
    uint32_t metric_count; /* elements of a vector */

    struct session *session;
    struct weights *weights;
    struct mailbox mailbox;
    struct buffer_pool *vector_pool;
    struct progress progress;
    struct share share;

    uint64_t done;     /* steps that have ended here */
    uint64_t expected; /* version that is to come: done, at the start, then done + 1 */
    uint64_t end;      /* the version at which training ends: the final step, unless it is stopped before */
    bool await_metrics;
    bool await_validation;
    uint32_t gradients_left; /* nodes that step `done` has yet to push; more are of the next */
    bool vote;               /* to be added to the next metrics pushed */
    bool is_last;            /* no further step will begin */
    bool stopped;            /* the same, by votes before the final step */
    struct vectors metrics, validation;
    double root[LANES_METRICS_MAX]; /* metrics of the step that ends */
    enum status problem;            /* of what a shard sent */
    struct error problem_error;
};

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
    uint32_t count = training->progress.metric_count;
    double means[PROGRESS_METRICS_MAX];

    if (!training->await_validation || version != training->done + 1) {
        refuse(training, "a validation", version);
        return;
    }
    training->await_validation = false;
    progress_means(vector, count, means);
    progress_skip_time(&training->progress, clock_ns());
    events->validated(events->context, training->done, means, count);
}

static void values_came(void *context, uint32_t table, uint32_t chunk, uint64_t version,
                        const void *values, size_t elements)
{
    struct training *training = context;

    if (training->problem != CAIRN_OK)
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

/* ---- what lanes have completed */

/* Keeps a copy of a node's vector, since lanes will use the place again. */
static enum status keep_vector(struct training *training, struct vectors *vectors,
                               const struct completion *completion, struct error *error)
{
    struct buffer *buffer = buffer_pool_get(training->vector_pool);

    if (!buffer)
        return error_set(error, CAIRN_NO_MEMORY, "out of memory for metrics");
    BUG_IF(vectors->ready[completion->cover] != NULL);
    memcpy(buffer->data, fold_sums(training->share.fold, completion->cover, completion->kind),
           buffer->length_bytes);
    vectors->ready[completion->cover] = buffer;
    return CAIRN_OK;
}

static enum status take_completion(struct training *training, const struct completion *completion,
                                   struct error *error)
{
    switch (completion->kind) {
    case FOLD_LAYER:
        pushes_layer_done(training->share.pushes, completion->cover, completion->layer);
        return CAIRN_OK;
    case FOLD_METRICS:
        return keep_vector(training, &training->metrics, completion, error);
    case FOLD_VALIDATION:
        return keep_vector(training, &training->validation, completion, error);
    }
    BUG("a completion of no kind");
}

static enum status take_mail(struct training *training, struct error *error)
{
    struct mail *mail = mailbox_take(&training->mailbox);
    enum status status = CAIRN_OK;

    while (mail && status == CAIRN_OK) {
        struct mail *next = mail->next; /* the letter may be posted again once what it says is pushed */

        if (mail == &training->share.failure)
            status = lanes_failure(training->share.lanes, error);
        else
            status = take_completion(training, (const struct completion *)mail, error);
        mail = next;
    }
    return status;
}

/* ---- pushing */

static uint64_t vector_samples(const struct training *training, enum table_id table, struct tree_node node)
{
    uint64_t begin, end;

    if (table == TABLE_METRICS)
        return schedule_node_samples(&training->schedule, training->done, node);
    schedule_validation_range(&training->schedule, node, &begin, &end);
    return end - begin;
}

static enum status push_vector(struct training *training, struct vectors *vectors, uint32_t cover,
                               struct error *error)
{
    struct session_push push = {.table = vectors->table,
                                .step = training->done,
                                .node = fold_cover(training->share.fold, cover),
                                .chunk_count = 1,
                                .buffer = vectors->ready[cover],
                                .subscribe = vectors->left_to_push == 1};
    enum status status;

    push.samples = vector_samples(training, vectors->table, push.node);
    if (vectors->table == TABLE_METRICS && training->vote) {
        *(double *)push.buffer->data += 1;
        training->vote = false;
    }
    status = session_push(training->session, &push, error);
    buffer_unref(vectors->ready[cover]);
    vectors->ready[cover] = NULL;
    vectors->left_to_push--;
    return status;
}

static enum status push_vectors(struct training *training, struct vectors *vectors, struct error *error)
{
    enum status status = CAIRN_OK;

    for (uint32_t i = 0; i < training->share.cover_count && vectors->left_to_push > 0 && status == CAIRN_OK;
         i++) {
        if (vectors->ready[i])
            status = push_vector(training, vectors, i, error);
    }
    return status;
}

static enum status push_gradients(struct training *training, struct error *error)
{
    enum status status = CAIRN_OK;
    struct due due;

    while (status == CAIRN_OK && training->gradients_left > 0 && pushes_next(training->share.pushes, &due)) {
        struct tree_node node = fold_cover(training->share.fold, due.cover);
        struct session_push push = {.table = TABLE_WEIGHTS,
                                    .step = training->done,
                                    .node = node,
                                    .samples =
                                        schedule_node_samples(&training->schedule, training->done, node),
                                    .first_chunk = due.first_chunk,
                                    .chunk_count = due.chunk_count,
                                    .buffer = fold_gradients(training->share.fold, due.cover),
                                    .is_rounded = true,
                                    .subscribe = due.subscribe,
                                    .exact = training->expected == training->end};

        status = session_push(training->session, &push, error);
        if (due.last) {
            fold_release(training->share.fold, due.cover);
            training->gradients_left--;
        }
    }
    return status;
}

static enum status push_what_is_due(struct training *training, struct error *error)
{
    enum status status = push_vectors(training, &training->validation, error);

    if (status != CAIRN_OK || training->validation.left_to_push > 0)
        return status;
    status = push_vectors(training, &training->metrics, error);
    return status == CAIRN_OK ? push_gradients(training, error) : status;
}

/* ---- the end of a step */

static double share(uint64_t part, const struct lanes_times *times)
{
    uint64_t all = times->compute_ns + times->weights_ns + times->data_ns;

    return all > 0 ? (double)part / (double)all : 0;
}

static void tell_progress(struct training *training, uint64_t now_ns)
{
    const struct training_events *events = &training->params.events;
    struct training_figures figures = {.step = training->done,
                                       .metric_count = training->progress.metric_count};
    struct lanes_times times = lanes_times(training->share.lanes);

    figures.compute_share = share(times.compute_ns, &times);
    figures.communication_share = share(times.weights_ns, &times);
    figures.waiting_share = share(times.data_ns, &times);
    progress_report(&training->progress, now_ns, figures.means, &figures.samples_per_second);
    if (training->is_last)
        figures.samples_per_second = progress_mean_speed(&training->progress, now_ns);
    events->progress(events->context, &figures);
}

static void account_step(struct training *training)
{
    bool epoch_ends = schedule_epoch_ends(&training->schedule, training->done);
    uint64_t now_ns = clock_ns();

    progress_add(&training->progress, training->root);
    if (epoch_ends || training->is_last || progress_is_due(&training->progress, now_ns))
        tell_progress(training, now_ns);
    if (epoch_ends)
        progress_begin_epoch(&training->progress);
}

static void begin_validation(struct training *training)
{
    training->await_validation = true;
    training->validation.left_to_push = training->share.cover_count;
}

/* Step `done` begins: its gradients may go, its answers may come. */
static void begin_step(struct training *training)
{
    training->expected = training->done + 1;
    training->await_metrics = true;
    training->metrics.left_to_push = training->gradients_left = training->share.cover_count;
    weights_expect(training->weights, training->expected);
}

/* Whether weights come as copies in the codec. The model is what the shards hold, so those of the last version
 * must come as they are, which a step's pushes ask for. */
static bool weights_are_copies(const struct training *training)
{
    return codec_carries_values(training->params.job->codec.type);
}

/* A stop was voted in the step that has ended. This is the end, or if it was not asked for as the last, the
 * next version. */
static void heed_votes(struct training *training)
{
    uint64_t end = weights_are_copies(training) ? training->done + 1 : training->done;

    if (end < training->end)
        training->end = end;
}

static void record_version(struct training *training)
{
    hash_record_step(training->params.record, weights_floats(training->weights), training->done,
                     weights_are_copies(training) && training->done != training->end);
}

/* Version `expected` is complete here. */
static void end_step(struct training *training)
{
    bool was_trained = training->expected > training->params.first_step;

    training->done = training->expected;
    record_version(training);
    if (was_trained && training->root[0] > 0)
        heed_votes(training);
    training->is_last = training->done == training->end;
    training->stopped = training->is_last && training->done < training->params.final_step;
    if (was_trained)
        account_step(training);
    if (!training->stopped && schedule_validates(&training->schedule, training->done))
        begin_validation(training);
    if (!training->is_last)
        begin_step(training);
}

static bool step_has_ended(const struct training *training)
{
    return !training->is_last && !training->await_metrics && !training->await_validation &&
           weights_complete(training->weights);
}

enum status training_turn(struct training *training, struct error *error)
{
    enum status status;

    mailbox_acknowledge(&training->mailbox);
    status = session_poll(training->session, error);
    if (status != CAIRN_OK)
        return status;
    if (training->problem != CAIRN_OK) {
        *error = training->problem_error;
        return training->problem;
    }
    status = take_mail(training, error);
    if (status == CAIRN_OK && step_has_ended(training))
        end_step(training);
    if (status == CAIRN_OK && !training->stopped)
        status = push_what_is_due(training, error);
    return status;
}

void training_vote(struct training *training)
{
    training->vote = true;
}

bool training_ended(const struct training *training, uint64_t *step)
{
    if (!training->is_last || training->await_validation || !weights_complete(training->weights))
        return false;
    *step = training->done;
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
    return arenas_count(training->share.arenas);
}

/* ---- making and closing */

static enum status open_session(struct training *training, struct error *error)
{
    const struct session_events events = {.values = values_came, .context = training};
    struct session_table tables[TABLE_COUNT] = {
        [TABLE_WEIGHTS] = session_dense_table(training->graph->floats, training->graph->chunk_floats,
                                              training->graph->chunk_count),
        [TABLE_METRICS] = session_sums_table(training->metric_count),
        [TABLE_VALIDATION] = session_sums_table(training->metric_count)};
    struct session_params params = training->params.session;

    tables[TABLE_WEIGHTS].codec = training->params.job->codec;
    params.seed = training->params.job->seed;
    params.table_count = TABLE_COUNT;
    params.tables = tables;
    return session_new(training->params.zmq_context, &params, &events, &training->session, error);
}

/* The weights that training begins with. When they are the last as well, because it was interrupted at its very
 * end, they come as they are, from the generation of that step. */
static enum status pull_first(struct training *training, struct error *error)
{
    const struct session_pull pull = {.table = TABLE_WEIGHTS,
                                      .version = training->expected,
                                      .chunk_count = training->graph->chunk_count,
                                      .committed = weights_are_copies(training) &&
                                                   training->expected == training->end};

    weights_expect(training->weights, training->expected);
    return session_pull(training->session, &pull, error);
}

static enum status open_share(struct training *training, struct error *error)
{
    const struct training_params *params = &training->params;
    const struct share_params share = {.schedule = &training->schedule,
                                       .training = params->training,
                                       .validation = params->validation,
                                       .span_begin = params->span_begin,
                                       .span_end = params->span_end,
                                       .metric_count = training->metric_count,
                                       .lane_count = params->lane_count,
                                       .make_backend = params->make_backend,
                                       .weights = training->weights,
                                       .mailbox = &training->mailbox};

    return share_open(&training->share, &share, error);
}

static void training_init(struct training *training, const struct training_params *params)
{
    uint64_t validation = params->validation ? reader_count(params->validation) : 0;

    training->params = *params;
    training->graph = params->job->graph;
    training->schedule = schedule_of(params->job, reader_count(params->training), validation,
                                     params->first_step, params->final_step);
    training->metric_count = lanes_metric_count(training->graph);
    training->metrics.table = TABLE_METRICS;
    training->validation.table = TABLE_VALIDATION;
    training->mailbox.event = -1;
    training->done = training->expected = params->first_step;
    training->end = params->final_step;
    progress_init(&training->progress, plan_metric_count(training->graph), clock_ns());
}

enum status training_new(const struct training_params *params, struct training **out, struct error *error)
{
    struct training *training = calloc(1, sizeof(*training));
    enum status status;

    if (!training)
        return error_set(error, CAIRN_NO_MEMORY, "out of memory for a training");
    training_init(training, params);
    status = mailbox_init(&training->mailbox, error);
    if (status == CAIRN_OK)
        status = weights_new(training->graph, &training->weights, error);
    if (status == CAIRN_OK)
        status = open_session(training, error);
    training->vector_pool = buffer_pool_new(training->metric_count * sizeof(double));
    if (status == CAIRN_OK && !training->vector_pool)
        status = error_set(error, CAIRN_NO_MEMORY, "out of memory for metrics");
    if (status == CAIRN_OK)
        status = pull_first(training, error);
    if (status == CAIRN_OK)
        status = open_share(training, error);
    if (status != CAIRN_OK) {
        training_free(training);
        return status;
    }
    *out = training;
    return CAIRN_OK;
}

void training_free(struct training *training)
{
    if (!training)
        return;
    share_close(&training->share);
    session_free(training->session);
    for (uint32_t i = 0; i < TREE_COVER_MAX; i++) {
        buffer_unref(training->metrics.ready[i]);
        buffer_unref(training->validation.ready[i]);
    }
    buffer_pool_free(training->vector_pool);
    weights_free(training->weights);
    mailbox_fini(&training->mailbox);
    free(training);
}
