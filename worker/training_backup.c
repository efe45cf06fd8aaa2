/* Computing what others are late with (docs/design.md section 5). A worker that has pushed all of its own
 * part of a step, and has waited for the rest for long, asks shards what is missing and computes it piece by
 * piece with a share of its own, until nothing is missing or the step has ended, whoever was first. What it
 * pushes twice is dropped, so nobody needs to know of it.
 *
 * It has an arena of weights of its own: while it computes, chunks of the next version may come, and lanes of
 * our own begin with them. Nothing of all this is there before somebody is late for the first time. */
#include "training_state.h"

#include "base/clock.h"

#include <stdlib.h>
#include <string.h>

/* How often to look whether lanes have ended that are in our way. */
#define LOOK_AGAIN_MS 20

/* ---- when */

void training_backup_begin(struct training *training)
{
    training->began_ns = clock_ns();
    training->pushed_ns = 0;
    training->is_backed_up = false;
}

/* All that is ours is pushed, and something is to come. */
static bool waits_for_others(const struct training *training)
{
    return training->is_open && training->share.cover_count > 0 && training->metrics.left_to_push == 0 &&
           training->validation.left_to_push == 0 && training->gradients_left == 0 &&
           (training->await_metrics || training->await_validation || !weights_complete(training->weights));
}

static void wait_on(struct training *training, uint64_t now_ns)
{
    uint64_t patience = pace_patience_ns(&training->pace, training->params.job->straggler_factor);

    training->backup_due_ns = patience < UINT64_MAX - now_ns ? now_ns + patience : UINT64_MAX;
}

int64_t training_deadline_ms(const struct training *training)
{
    const struct backup *backup = training->backup;

    if (training->pushed_ns == 0 || training->backup_due_ns == UINT64_MAX || !waits_for_others(training))
        return INT64_MAX;
    if (backup && backup->phase == BACKUP_ENDS)
        return clock_ms() + LOOK_AGAIN_MS;
    if (backup && backup->phase != BACKUP_IDLE)
        return INT64_MAX;
    return (int64_t)(training->backup_due_ns / 1000000) + 1;
}

/* ---- the end */

static void close_piece(struct backup *backup)
{
    share_close(&backup->share);
    mailbox_fini(&backup->mailbox);
    backup->phase = BACKUP_IDLE;
}

static void forget_weights(struct backup *backup)
{
    weights_free(backup->weights);
    backup->weights = NULL;
}

/* A step that others were late in is not one to go by: it counts as if they had been as fast as we. */
void training_backup_end(struct training *training)
{
    struct backup *backup = training->backup;
    uint64_t now_ns = clock_ns();

    pace_add(&training->pace, (training->is_backed_up ? training->pushed_ns : now_ns) - training->began_ns);
    training->pushed_ns = 0;
    if (!backup)
        return;
    if (backup->phase == BACKUP_COMPUTES) {
        weights_close(backup->weights);
        loader_close(backup->share.loader);
        backup->phase = BACKUP_ENDS;
        return;
    }
    for (uint32_t i = 0; i < TABLE_COUNT; i++)
        session_forget(training->session, &backup->questions[i]);
    if (backup->phase != BACKUP_ENDS)
        backup->phase = BACKUP_IDLE;
    if (backup->phase == BACKUP_IDLE)
        forget_weights(backup);
}

static void look_for_end(struct backup *backup)
{
    if (backup->phase != BACKUP_ENDS || !lanes_have_ended(backup->share.lanes))
        return;
    close_piece(backup);
    forget_weights(backup);
}

void training_backup_free(struct training *training)
{
    struct backup *backup = training->backup;

    if (!backup)
        return;
    share_close(&backup->share);
    mailbox_fini(&backup->mailbox);
    weights_free(backup->weights);
    free(backup);
    training->backup = NULL;
}

/* ---- what is missing */

static void question_answered(struct session_missing *missing)
{
    struct backup *backup = missing->context;

    if (--backup->questions_left == 0)
        backup->phase = BACKUP_ASKED;
}

static enum status ask_about(struct training *training, enum table_id table, struct error *error)
{
    struct backup *backup = training->backup;
    struct session_missing *question = &backup->questions[table];
    enum status status;

    *question =
        (struct session_missing){.done = question_answered,
                                 .context = backup,
                                 .leaves = training->params.job->microbatches,
                                 .marks = table == TABLE_VALIDATION ? backup->validation : backup->training};
    backup->questions_left++;
    status = session_ask_missing(training->session, table, training->done, question, error);
    training->is_trouble = status != CAIRN_OK;
    return status;
}

static enum status ask(struct training *training, struct error *error)
{
    struct backup *backup = training->backup;
    enum status status = CAIRN_OK;

    backup->phase = BACKUP_ASKS;
    backup->questions_left = 0;
    memset(backup->training, 0, sizeof(backup->training));
    memset(backup->validation, 0, sizeof(backup->validation));
    if (training->await_validation)
        status = ask_about(training, TABLE_VALIDATION, error);
    if (status == CAIRN_OK && !training->is_last)
        status = ask_about(training, TABLE_WEIGHTS, error);
    if (status == CAIRN_OK && !training->is_last)
        status = ask_about(training, TABLE_METRICS, error);
    return status;
}

/* ---- weights */

bool training_backup_values(struct training *training, uint32_t chunk, uint64_t version, const float *values,
                            size_t elements)
{
    struct backup *backup = training->backup;

    if (!backup || version >= backup->pulled)
        return false;
    if (backup->weights && version == training->done)
        training->problem =
            weights_store(backup->weights, chunk, version, values, elements, &training->problem_error);
    return true;
}

static enum status pull_chunk(struct training *training, uint32_t chunk, struct error *error)
{
    const struct session_pull message = {
        .table = TABLE_WEIGHTS, .version = training->done, .first_chunk = chunk, .chunk_count = 1};
    enum status status = session_pull(training->session, &message, error);

    training->backup->pulled = training->done + 1;
    training->is_trouble = status != CAIRN_OK;
    return status;
}

/* The step's weights: most are still there, the others are kept by the shards. */
static enum status gather_weights(struct training *training, struct error *error)
{
    struct weights *weights = NULL;
    enum status status = weights_new(training->graph, &weights, error);
    uint64_t begin, end;

    if (status != CAIRN_OK)
        return status;
    training->backup->weights = weights;
    weights_expect(weights, training->done);
    for (uint32_t i = 0; i < training->graph->chunk_count && status == CAIRN_OK; i++) {
        graph_chunk(training->graph, i, &begin, &end);
        if (weights_holds(training->weights, i, training->done))
            status = weights_store(weights, i, training->done, weights_floats(training->weights) + begin,
                                   end - begin, error);
        else
            status = pull_chunk(training, i, error);
    }
    return status;
}

/* ---- a piece */

/* Of the step in hand, only a validation, or only training. */
static struct schedule schedule_of_piece(const struct training *training, enum round_kind kind)
{
    struct schedule schedule = training->schedule;

    schedule.first_step = schedule.final_step = schedule.whole_steps = training->done;
    schedule.first_is_validated = false;
    if (kind == ROUND_TRAIN) {
        schedule.validation_samples = 0;
        schedule.final_step = schedule.whole_steps = training->done + 1;
    }
    return schedule;
}

static enum status open_piece(struct training *training, struct error *error)
{
    const struct training_params *params = &training->params;
    struct backup *backup = training->backup;
    const struct share_params share = {.schedule = &backup->schedule,
                                       .training = params->training,
                                       .validation = params->validation,
                                       .span_begin = backup->span_begin,
                                       .span_end = backup->span_end,
                                       .metric_count = training->metric_count,
                                       .lane_count = params->lane_count,
                                       .make_backend = params->make_backend,
                                       .weights = backup->weights,
                                       .mailbox = &backup->mailbox};
    enum status status = mailbox_init_beside(&backup->mailbox, &training->mailbox, error);

    if (status != CAIRN_OK)
        return status;
    backup->schedule = schedule_of_piece(training, backup->kind);
    backup->phase = BACKUP_COMPUTES;
    weights_reopen(backup->weights);
    status = share_open(&backup->share, &share, error);
    backup->vectors_left = backup->share.cover_count;
    backup->gradients_left = backup->kind == ROUND_TRAIN ? backup->share.cover_count : 0;
    return status;
}

/* A validation comes first, as nobody pushes more of the step before. */
static bool choose_piece(const struct training *training, struct backup *backup)
{
    const struct training_params *params = &training->params;
    uint32_t leaves = params->job->microbatches;
    uint64_t worker = params->session.worker;

    backup->kind = ROUND_VALIDATE;
    if (pace_piece(backup->validation, leaves, params->lane_count, worker, &backup->span_begin,
                   &backup->span_end))
        return true;
    backup->kind = ROUND_TRAIN;
    return pace_piece(backup->training, leaves, params->lane_count, worker, &backup->span_begin,
                      &backup->span_end);
}

/* Nothing may be missing: then it is the shards that are late, or our answers on their way. */
static enum status begin_piece(struct training *training, struct error *error)
{
    struct backup *backup = training->backup;
    enum status status = CAIRN_OK;

    backup->phase = BACKUP_IDLE;
    wait_on(training, clock_ns());
    if (!choose_piece(training, backup))
        return CAIRN_OK;
    training->is_backed_up = true;
    if (!backup->weights)
        status = gather_weights(training, error);
    return status == CAIRN_OK ? open_piece(training, error) : status;
}

static enum status push_vector(struct training *training, const struct completion *completion,
                               struct error *error)
{
    struct backup *backup = training->backup;
    enum table_id table = completion->kind == FOLD_METRICS ? TABLE_METRICS : TABLE_VALIDATION;
    struct tree_node node = fold_cover(backup->share.fold, completion->cover);
    struct buffer *vector = NULL;
    enum status status = training_copy_vector(training, &backup->share, completion, &vector, error);

    if (status == CAIRN_OK)
        status = training_push_vector(training, table, node, vector, false, error);
    buffer_unref(vector);
    backup->vectors_left--;
    return status;
}

static enum status take_mail(struct training *training, struct error *error)
{
    struct backup *backup = training->backup;
    struct mail *mail = mailbox_take(&backup->mailbox);
    enum status status = CAIRN_OK;

    for (; mail && status == CAIRN_OK; mail = mail->next) {
        const struct completion *completion = (const struct completion *)mail;

        if (mail == &backup->share.failure)
            status = lanes_failure(backup->share.lanes, error);
        else if (completion->kind == FOLD_LAYER)
            pushes_layer_done(backup->share.pushes, completion->cover, completion->layer);
        else
            status = push_vector(training, completion, error);
    }
    return status;
}

static enum status go_on_with_piece(struct training *training, struct error *error)
{
    struct backup *backup = training->backup;
    enum status status = take_mail(training, error);

    if (status == CAIRN_OK)
        status = training_push_gradients(training, &backup->share, &backup->gradients_left, false, error);
    if (status != CAIRN_OK || backup->vectors_left > 0 || backup->gradients_left > 0)
        return status;
    if (backup->kind == ROUND_TRAIN)
        training->params.history->backup_microbatches += backup->span_end - backup->span_begin;
    close_piece(backup);
    return ask(training, error);
}

/* ---- the whole */

static enum status begin(struct training *training, struct error *error)
{
    if (!training->backup) {
        training->backup = calloc(1, sizeof(*training->backup));
        if (!training->backup)
            return error_set(error, CAIRN_NO_MEMORY, "out of memory for what others are late with");
        training->backup->mailbox.event = -1;
    }
    return training->backup->phase == BACKUP_IDLE ? ask(training, error) : CAIRN_OK;
}

enum status training_back_up(struct training *training, struct error *error)
{
    uint64_t now_ns;

    if (training->backup)
        look_for_end(training->backup);
    if (!waits_for_others(training))
        return CAIRN_OK;
    if (training->backup && training->backup->phase == BACKUP_ASKED)
        return begin_piece(training, error);
    if (training->backup && training->backup->phase == BACKUP_COMPUTES)
        return go_on_with_piece(training, error);
    now_ns = clock_ns();
    if (training->pushed_ns == 0) {
        training->pushed_ns = now_ns;
        wait_on(training, now_ns);
    }
    return now_ns >= training->backup_due_ns ? begin(training, error) : CAIRN_OK;
}
