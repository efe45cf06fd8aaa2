/* Making and closing only. */
#include "share.h"

#include <string.h>

static void node_completed(void *context, struct completion *completion)
{
    struct share *share = context;

    mailbox_post(share->mailbox, &completion->mail);
}

static void lane_failed(void *context)
{
    struct share *share = context;

    mailbox_post(share->mailbox, &share->failure);
}

static enum status make_fold(struct share *share, const struct share_params *params, struct error *error)
{
    const struct job *job = params->schedule->job;
    const struct fold_params fold = {.graph = job->graph,
                                     .first_microbatch = params->schedule->leaf_begin,
                                     .microbatches = params->schedule->leaf_count,
                                     .span_begin = params->span_begin - params->schedule->leaf_begin,
                                     .span_end = params->span_end - params->schedule->leaf_begin,
                                     .metric_count = params->metric_count,
                                     .codec = &job->codec,
                                     .seed = job->seed,
                                     .completed = node_completed,
                                     .context = share};
    enum status status = fold_new(&fold, &share->fold, error);

    if (status != CAIRN_OK)
        return status;
    share->cover_count = fold_cover_count(share->fold);
    share->pushes = pushes_new(job->graph, share->cover_count);
    share->arenas = arenas_new(job->graph->floats);
    if (!share->pushes || !share->arenas)
        return error_set(error, CAIRN_NO_MEMORY, "out of memory for gradients");
    return CAIRN_OK;
}

/* Each lane has one microbatch and finds the next ready; two more make up for uneven reading. */
static enum status start_loader(struct share *share, const struct share_params *params, struct error *error)
{
    const struct schedule *schedule = params->schedule;
    const struct loader_params loader = {.job = schedule->job,
                                         .reader = params->training,
                                         .wants = reader_wants_of(schedule->job->graph),
                                         .first_step = schedule->first_step,
                                         .final_step = schedule->final_step,
                                         .span_begin = params->span_begin,
                                         .span_end = params->span_end,
                                         .depth = 2 * params->lane_count + 2};

    return loader_start(&loader, &share->loader, error);
}

static enum status start_lanes(struct share *share, const struct share_params *params, struct error *error)
{
    const struct lanes_params lanes = {.schedule = params->schedule,
                                       .validation = params->validation,
                                       .span_begin = params->span_begin,
                                       .span_end = params->span_end,
                                       .lane_count = params->lane_count,
                                       .make_backend = params->make_backend,
                                       .loader = share->loader,
                                       .weights = params->weights,
                                       .fold = share->fold,
                                       .arenas = share->arenas,
                                       .failed = lane_failed,
                                       .context = share};

    return lanes_start(&lanes, &share->lanes, error);
}

enum status share_open(struct share *share, const struct share_params *params, struct error *error)
{
    enum status status;

    memset(share, 0, sizeof(*share));
    share->mailbox = params->mailbox;
    share->weights = params->weights;
    status = make_fold(share, params, error);
    if (status == CAIRN_OK)
        status = start_loader(share, params, error);
    return status == CAIRN_OK ? start_lanes(share, params, error) : status;
}

void share_close(struct share *share)
{
    if (share->weights)
        weights_close(share->weights);
    if (share->loader)
        loader_close(share->loader);
    lanes_stop(share->lanes);
    loader_stop(share->loader);
    fold_free(share->fold);
    arenas_free(share->arenas);
    pushes_free(share->pushes);
    memset(share, 0, sizeof(*share));
}
