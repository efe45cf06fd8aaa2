/* Lanes: the threads that compute. Each has a backend and plans of its own and computes one microbatch at a
 * time with single-threaded kernels (docs/design.md section 5), over weights that all share, and folds its
 * gradients into those of the others.
 *
 * Lanes are told nothing while they run: the schedule says what comes next, a shared counter hands out the
 * microbatches in order, and each waits only for data, or for the version of a layer's weights that it needs.
 *
 * Threads: the owner starts and stops; lanes call `failed` and the fold's callback. */
#ifndef CAIRN_WORKER_LANES_H
#define CAIRN_WORKER_LANES_H

#include "arenas.h"
#include "data/loader.h"
#include "fold.h"
#include "runner.h"
#include "schedule.h"
#include "weights.h"

struct lanes;

/* Everything is borrowed for the lanes' life. */
struct lanes_params {
    const struct schedule *schedule;
    const struct reader *validation; /* NULL when the schedule has none */
    uint32_t span_begin, span_end;   /* not empty */
    uint32_t lane_count;             /* more than there are microbatches are of no use and are not started */
    backend_maker *make_backend;
    struct loader *loader;
    struct weights *weights;
    struct fold *fold;
    struct arenas *arenas;
    /* Called once, by the first lane that cannot go on; lanes_failure then has the reason. */
    void (*failed)(void *context);
    void *context;
};

/* How lanes spent their time until now, summed over them. */
struct lanes_times {
    uint64_t compute_ns; /* forward, backward, folding, evaluating */
    uint64_t weights_ns; /* asleep for weights: communication that nothing hid */
    uint64_t data_ns;    /* asleep for the loader */
    uint64_t train_ns;   /* of compute_ns: training, without validations */
    uint64_t microbatches; /* trained on in it */
};

/* Where a loss of a training step that is no finite number comes from. */
struct lanes_fault {
    uint64_t step;
    uint32_t microbatch;
    uint32_t layer; /* the first whose outputs are not all finite, as plan_first_not_finite tells */
};

/* Elements of a metrics vector: [stop votes, sum of losses, sum of each metric, samples]. */
uint32_t lanes_metric_count(const struct graph *graph);
#define LANES_METRICS_MAX (1 + 1 + MODEL_METRICS_MAX + 1)

/* Starts the threads. Errors: CAIRN_NO_MEMORY, CAIRN_IO; none is left running then. */
enum status lanes_start(const struct lanes_params *params, struct lanes **out,
                        struct error *error) MUST_CHECK;

/* Waits for all lanes and frees. The caller has closed the weights and the loader, so that each ends with the
 * operation in hand at the latest. NULL is allowed. */
void lanes_stop(struct lanes *lanes);

/* Whether all lanes have come to the end of the schedule, or to what the caller has closed, so that
 * lanes_stop does not wait. Owner only. */
bool lanes_have_ended(const struct lanes *lanes);

/* Why the first lane failed: after `failed` was called. Any thread. */
enum status lanes_failure(const struct lanes *lanes, struct error *error);

/* The fault of the lowest microbatch of the first step that had one, if that is `step`: all of a step's are
 * known once its metrics are folded. Only of a job that ends at such a loss. Any thread. */
bool lanes_find_fault(struct lanes *lanes, uint64_t step, struct lanes_fault *fault);

/* Any thread. NULL: no time. */
struct lanes_times lanes_times(const struct lanes *lanes);

#endif
