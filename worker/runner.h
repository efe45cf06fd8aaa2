/* A runner: all that one thread needs to compute: a backend, plans by number of samples, and room for
 * samples to evaluate. Lanes and `cairn-worker evaluate` compute through it.
 *
 * Belongs to one thread, the one that called runner_init (a backend may keep per-thread state). Knows
 * nothing of steps, messages or other runners. */
#ifndef CAIRN_WORKER_RUNNER_H
#define CAIRN_WORKER_RUNNER_H

#include "data/reader.h"
#include "model/plan.h"

/* Makes a backend whose kernels use `threads` threads (compute.h has them). */
typedef enum status backend_maker(unsigned threads, struct backend **out, struct error *error);

/* Plans kept: full and short microbatches, full and short parts of a validation leaf, of two sizes each. */
#define RUNNER_PLANS 10

struct runner_plan {
    struct plan *plan; /* NULL: free place */
    uint32_t samples;
    bool training;
};

struct runner {
    const struct graph *graph;
    struct backend *backend;
    struct runner_plan plans[RUNNER_PLANS];
    uint32_t next_place;   /* to be given up when all are full */
    uint32_t room_samples; /* that the two below have room for */
    float *features;
    void *targets;
};

/* Owns: graph is borrowed. Errors: those of `make`. May be finished even if it failed. */
enum status runner_init(struct runner *runner, const struct graph *graph, backend_maker *make,
                        unsigned threads, struct error *error) MUST_CHECK;
void runner_fini(struct runner *runner);

/* The plan for `samples` samples, made on first use; borrowed until another plan is asked for.
 * Errors: those of plan_new. */
enum status runner_plan(struct runner *runner, uint32_t samples, bool training, struct plan **out,
                        struct error *error) MUST_CHECK;

/* Samples [begin, end) of a data set under some weights, `batch` at once, in order. */
struct runner_evaluation {
    const struct reader *reader;
    uint64_t begin, end;
    uint32_t batch;                                       /* at least 1 */
    const float *weights;                                 /* [graph->floats] */
    bool (*weights_ready)(void *context, uint32_t layer); /* as struct plan_run */
    void *context;
    double *sums; /* [plan_metric_count]: the sums are added to these */
};

/* Errors: CAIRN_CLOSED when weights_ready gave up; CAIRN_NO_MEMORY; those of the backend. */
enum status runner_evaluate(struct runner *runner, const struct runner_evaluation *evaluation,
                            struct error *error) MUST_CHECK;

#endif
