/* From what lanes complete to what is sent: vectors of metrics, and gradients in chunks. The order of pushes
 * is part of the rule in training.h. */
#include "training_state.h"

#include "votes.h"

#include <string.h>

/* ---- what lanes have completed */

enum status training_copy_vector(struct training *training, const struct share *share,
                                 const struct completion *completion, struct buffer **out,
                                 struct error *error)
{
    struct buffer *buffer = buffer_pool_get(training->vector_pool);

    if (!buffer)
        return error_set(error, CAIRN_NO_MEMORY, "out of memory for metrics");
    memcpy(buffer->data, fold_sums(share->fold, completion->cover, completion->kind), buffer->length_bytes);
    *out = buffer;
    return CAIRN_OK;
}

static enum status keep_vector(struct training *training, struct vectors *vectors,
                               const struct completion *completion, struct error *error)
{
    BUG_IF(vectors->ready[completion->cover] != NULL);
    return training_copy_vector(training, &training->share, completion, &vectors->ready[completion->cover],
                                error);
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

enum status training_push_vector(struct training *training, enum table_id table, struct tree_node node,
                                 struct buffer *vector, bool subscribe, struct error *error)
{
    const struct session_push message = {.table = table,
                                         .step = training->done,
                                         .node = node,
                                         .samples = vector_samples(training, table, node),
                                         .chunk_count = 1,
                                         .buffer = vector,
                                         .subscribe = subscribe};

    if (table == TABLE_METRICS)
        *(double *)vector->data =
            votes_cast(training->vote, training->expected == training->end, training_has_copies(training));
    return push(training, &message, error);
}

static void vector_done(struct vectors *vectors, uint32_t cover)
{
    buffer_unref(vectors->ready[cover]);
    vectors->ready[cover] = NULL;
    vectors->left_to_push--;
}

static enum status push_vector(struct training *training, struct vectors *vectors, uint32_t cover,
                               struct error *error)
{
    enum status status = CAIRN_OK;

    if (training_is_own(training))
        training_own_vector(training, vectors, vectors->ready[cover]->data);
    else
        status = training_push_vector(training, vectors->table, fold_cover(training->share.fold, cover),
                                      vectors->ready[cover], vectors->left_to_push == 1, error);
    vector_done(vectors, cover);
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

/* What due gradients are of. In the throughput modes the node says nothing: they are the worker's whole part,
 * an update by itself, of which it wants to hear when it is applied as well as what there is then. */
static void describe(const struct training *training, const struct share *share, uint32_t cover,
                     struct session_push *message)
{
    struct tree_node node = fold_cover(share->fold, cover);
    const struct training_params *params = &training->params;

    message->node = node;
    if (training_is_own(training)) {
        node = (struct tree_node){params->span_begin, params->span_end};
        message->node = (struct tree_node){0, params->job->microbatches};
        message->acknowledge = true;
    }
    message->samples = schedule_node_samples(&training->schedule, training->done, node);
}

enum status training_push_gradients(struct training *training, struct share *share, uint32_t *left,
                                    bool subscribes, struct error *error)
{
    enum status status = CAIRN_OK;
    struct due due;

    while (status == CAIRN_OK && *left > 0 && pushes_next(share->pushes, &due)) {
        struct session_push message = {.table = TABLE_WEIGHTS,
                                       .step = training->done,
                                       .first_chunk = due.first_chunk,
                                       .chunk_count = due.chunk_count,
                                       .buffer = fold_gradients(share->fold, due.cover),
                                       .is_rounded = true,
                                       .subscribe = subscribes && due.subscribe,
                                       .exact = training->expected == training->end};

        describe(training, share, due.cover, &message);
        status = push(training, &message, error);
        if (due.last) {
            fold_release(share->fold, due.cover);
            (*left)--;
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
    return status == CAIRN_OK
               ? training_push_gradients(training, &training->share, &training->gradients_left, true, error)
               : status;
}
