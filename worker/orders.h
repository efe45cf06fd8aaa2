/* What an epoch asks of one worker. Plain data, sent by value from the main thread to the step thread, which
 * may have several before it reads one. Pure. */
#ifndef CAIRN_WORKER_ORDERS_H
#define CAIRN_WORKER_ORDERS_H

#include "base/status.h"
#include "control.pb-c.h"
#include "routes.h"

#include <stdbool.h>
#include <stdint.h>

#define ORDERS_OUTPUT_MAX 4096 /* bytes of a model file's path, with the end */

struct orders {
    uint64_t number;                 /* of the epoch */
    uint64_t first_step, final_step; /* of the incarnation; of the training, unless it stops before */
    bool has_work;                   /* this worker is named, with a span that is not empty */
    uint32_t span_begin, span_end;   /* microbatches */
    uint64_t worker;                 /* this worker's number */
    const struct routes *routes;     /* where the shards are from now on, borrowed; NULL: where they were */
    bool is_first;                   /* it validates, in the throughput modes */
    bool is_closing; /* throughput modes: all have ended; the model is to be read and written */
    char output[ORDERS_OUTPUT_MAX];  /* where to write the model at the end; empty: this worker does not */
};

/* The epoch as seen by worker `name`, but for its routes, which are the caller's to fill in. Errors:
 * CAIRN_INVALID: the output's path is too long. */
enum status orders_of(const Cairn__EpochCommand *epoch, const char *name, struct orders *orders,
                      struct error *error) MUST_CHECK;

#endif
