/* Making and closing a training, and its beginning: the synchronisation. Versions are asked for, the metrics
 * of the last step that has ended are read, then it is known what this worker has to do, and weights are
 * pulled and threads started for that. */
#include "training_state.h"

#include "base/clock.h"

#include <inttypes.h>
#include <stdlib.h>

/* ---- the synchronisation */

/* Asks all shards which versions they have. */
static enum status ask(struct training *training, struct error *error)
{
    enum status status = CAIRN_OK;

    const uint32_t tables = training_is_own(training) ? TABLE_WEIGHTS + 1 : TABLE_COUNT;

    for (uint32_t table = 0; table < tables && status == CAIRN_OK; table++)
        status = session_ask_versions(training->session, table, NULL, error);
    return status;
}

static enum status pull(struct training *training, uint32_t table, uint64_t version, bool exact,
                        struct error *error)
{
    const struct session_pull message = {.table = table,
                                         .version = version,
                                         .chunk_count =
                                             table == TABLE_WEIGHTS ? training->graph->chunk_count : 1,
                                         .exact = exact};
    enum status status = session_pull(training->session, &message, error);

    training->is_trouble = status != CAIRN_OK;
    return status;
}

/* All versions are told. */
static enum status find_standing(struct training *training, struct error *error)
{
    struct standing *standing = &training->standing;
    enum status status = CAIRN_OK;

    if (training_is_own(training))
        training_own_standing(training);
    else
        status = standing_of(&training->schedule, &training->synchronise.versions, standing, error);
    if (status != CAIRN_OK)
        return status;
    training->phase = TRAINING_READS;
    training->done = training->expected = standing->step;
    training->schedule.first_step = standing->step;
    training->schedule.first_is_validated = standing->is_validated;
    weights_expect(training->weights, standing->step);
    if (standing->has_root) {
        training->await_metrics = true;
        status = pull(training, TABLE_METRICS, standing->step, false, error);
    }
    return status;
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

/* The root of the step before is there, if any is kept: begins with step `done`. The weights that are the
 * last as well come as they are. */
static enum status begin(struct training *training, struct error *error)
{
    bool exact;
    enum status status;

    training->phase = TRAINING_RUNS;
    training_arrive(training, training->standing.has_root);
    if (training->not_finite)
        return CAIRN_OK;
    exact = (training->is_last && training_has_copies(training)) || training->params.is_closing;
    if (training_is_own(training) && training->is_last && !training->params.is_closing)
        return CAIRN_OK; /* who closes reads what there is */
    status = pull(training, TABLE_WEIGHTS, training->done, exact, error);
    if (status == CAIRN_OK && training->standing.is_validated) {
        training->await_validation = true;
        status = pull(training, TABLE_VALIDATION, training->done + 1, false, error);
    }
    if (status == CAIRN_OK && (!training->is_last || training_must_validate(training)))
        status = open_share(training, error);
    return status;
}

enum status training_synchronise(struct training *training, struct error *error)
{
    enum status status = CAIRN_OK;

    if (training->phase == TRAINING_ASKS && synchronise_is_complete(&training->synchronise))
        status = find_standing(training, error);
    if (status == CAIRN_OK && training->phase == TRAINING_READS && !training->await_metrics)
        status = begin(training, error);
    return status;
}

bool training_is_synchronised(const struct training *training)
{
    return training->phase != TRAINING_ASKS;
}

enum status training_unreached(const struct training *training, struct error *error)
{
    const struct session_params *session = &training->params.session;
    uint32_t table, chunk, shard;

    synchronise_missing(&training->synchronise, &table, &chunk);
    shard = session->slot_shards[placement_slot(table, chunk, session->slot_count)];
    return error_set(error, CAIRN_TIMEOUT, "cannot reach shard %u at %s", shard, session->endpoints[shard]);
}

/* ---- making and closing */

static enum status open_session(struct training *training, struct error *error)
{
    const struct session_events events = {
        .values = training_values_came, .applied = training_version_told, .context = training};
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

static void training_init(struct training *training, const struct training_params *params)
{
    bool validates = params->validation && (params->is_first || !job_is_throughput(params->job));
    uint64_t validation = validates ? reader_count(params->validation) : 0;

    training->params = *params;
    training->graph = params->job->graph;
    training->schedule = schedule_of(params->job, reader_count(params->training), validation,
                                     params->first_step, params->final_step);
    if (training_is_own(training))
        schedule_narrow(&training->schedule, params->span_begin, params->span_end);
    training->metric_count = lanes_metric_count(training->graph);
    training->metrics.table = TABLE_METRICS;
    training->validation.table = TABLE_VALIDATION;
    training->mailbox.event = -1;
    training->end = params->final_step;
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
        status = synchronise_init(&training->synchronise, training->graph->chunk_count, error);
    if (status == CAIRN_OK && training_is_own(training))
        training_own_init(training);
    if (status == CAIRN_OK)
        status = weights_new(training->graph, &training->weights, error);
    if (status == CAIRN_OK)
        status = open_session(training, error);
    training->vector_pool = buffer_pool_new(training->metric_count * sizeof(double));
    if (status == CAIRN_OK && !training->vector_pool)
        status = error_set(error, CAIRN_NO_MEMORY, "out of memory for metrics");
    if (status == CAIRN_OK)
        status = ask(training, error);
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
    training_keep_history(training);
    training_backup_free(training);
    share_close(&training->share);
    session_free(training->session);
    for (uint32_t i = 0; i < TREE_COVER_MAX; i++) {
        buffer_unref(training->metrics.ready[i]);
        buffer_unref(training->validation.ready[i]);
    }
    buffer_pool_free(training->vector_pool);
    synchronise_fini(&training->synchronise);
    weights_free(training->weights);
    mailbox_fini(&training->mailbox);
    free(training);
}
