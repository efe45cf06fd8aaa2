/* A worker's share of each step: the span of microbatches that it computes, and everything that does so:
 * data, lanes, their gradients, the fold, and what is due to be pushed. Made and closed as one; the step
 * thread (training.h) drives the parts.
 *
 * Completions of the fold, and a lane's failure, are posted to the mailbox. */
#ifndef CAIRN_WORKER_SHARE_H
#define CAIRN_WORKER_SHARE_H

#include "arenas.h"
#include "base/mailbox.h"
#include "data/loader.h"
#include "fold.h"
#include "lanes.h"
#include "pushes.h"
#include "schedule.h"
#include "weights.h"

struct share {
    struct mailbox *mailbox;
    struct weights *weights;
    struct mail failure; /* posted by a lane that cannot go on: lanes_failure says why */
    uint32_t cover_count;
    struct arenas *arenas;
    struct fold *fold;
    struct pushes *pushes;
    struct loader *loader;
    struct lanes *lanes;
};

/* Everything is borrowed for the share's life. */
struct share_params {
    const struct schedule *schedule;
    const struct reader *training;
    const struct reader *validation; /* NULL: none */
    uint32_t span_begin, span_end;   /* not empty */
    uint32_t metric_count;           /* elements of a metrics vector */
    uint32_t lane_count;
    backend_maker *make_backend;
    struct weights *weights;
    struct mailbox *mailbox;
};

/* Starts loader and lanes, which wait for weights. share stays where it is until share_close.
 * Errors: CAIRN_NO_MEMORY, CAIRN_IO, CAIRN_INVALID; share_close must follow then as well. */
enum status share_open(struct share *share, const struct share_params *params,
                       struct error *error) MUST_CHECK;

/* Closes the weights, ends all threads, frees. A zeroed share is allowed. */
void share_close(struct share *share);

#endif
