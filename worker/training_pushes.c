/* From what lanes complete to what is sent: vectors of metrics, and gradients in chunks. The order of pushes
 * is part of the rule in training.h. */
#include "training_state.h"

#include "votes.h"

#include <string.h>

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

enum status training_take_mail(struct training *training, struct error *error)
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

static enum status push(struct training *training, const struct session_push *push, struct error *error)
{
    enum status status = session_push(training->session, push, error);

    training->is_trouble = status != CAIRN_OK;
    return status;
}

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
    struct session_push message = {.table = vectors->table,
                                   .step = training->done,
                                   .node = fold_cover(training->share.fold, cover),
                                   .chunk_count = 1,
                                   .buffer = vectors->ready[cover],
                                   .subscribe = vectors->left_to_push == 1};
    enum status status;

    message.samples = vector_samples(training, vectors->table, message.node);
    if (vectors->table == TABLE_METRICS)
        *(double *)message.buffer->data =
            votes_cast(training->vote, training->expected == training->end, training_has_copies(training));
    status = push(training, &message, error);
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
        struct session_push message = {.table = TABLE_WEIGHTS,
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

        status = push(training, &message, error);
        if (due.last) {
            fold_release(training->share.fold, due.cover);
            training->gradients_left--;
        }
    }
    return status;
}

enum status training_push(struct training *training, struct error *error)
{
    enum status status = push_vectors(training, &training->validation, error);

    if (status != CAIRN_OK || training->validation.left_to_push > 0)
        return status;
    status = push_vectors(training, &training->metrics, error);
    return status == CAIRN_OK ? push_gradients(training, error) : status;
}
