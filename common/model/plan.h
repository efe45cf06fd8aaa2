/* A graph made ready to run on a backend for one microbatch size: the operations of each layer with their
 * layouts, and one arena for activations. A lane owns its plans; nothing here knows of steps, messages or
 * other lanes. One thread an object; weights may be shared by many plans (read only).
 *
 * The order of work is what makes transfer and compute overlap: forward asks for each layer's weights just
 * before it needs them, backward tells when a layer's gradients are final, last layer first. */
#ifndef CAIRN_MODEL_PLAN_H
#define CAIRN_MODEL_PLAN_H

#include "base/status.h"
#include "model/backend.h"
#include "model/graph.h"

#include <stdbool.h>
#include <stdint.h>

struct plan;

/* weights, inputs and gradients should be 64-byte aligned: kernels are faster then. */
struct plan_run {
    const float *weights; /* the graph's address space, [graph->floats] */
    const float *inputs;  /* [samples, input shape] row-major */
    const void
        *targets; /* int32 class [samples] for the sparse crossentropy, else float32 [samples, output] */
    uint64_t seed, step;   /* of the job; dropout is keyed by them */
    uint32_t first_sample; /* position in the batch of the microbatch's first sample */
    float *gradients;      /* [graph->floats], out: sums over the samples (not means); backward only. Gaps
                              between parameters must be zero before and stay so */
    double *metrics;       /* [plan_metric_count], out: sum of losses, then of each metric of the spec; final before
                              the first gradients_ready */
    /* Called before layer `layer`'s weights are read; returns when they are there; false: give up. NULL:
     * none. */
    bool (*weights_ready)(void *context, uint32_t layer);
    /* Called when the gradients of layer `layer` are final and its weights are read no more, for layers with
     * parameters, from last to first. NULL: none. */
    void (*gradients_ready)(void *context, uint32_t layer);
    void *context;
};

/* Plans for runs of exactly `samples` samples.
 * Owns: the caller; graph and backend are borrowed. training: false plans without a backward pass, and in far
 * less memory. Errors: CAIRN_NO_MEMORY; CAIRN_UNSUPPORTED (names layer and backend); CAIRN_INVALID for 0
 * samples, or more than can be addressed. */
enum status plan_new(const struct graph *graph, struct backend *backend, uint32_t samples, bool training,
                     struct plan **out, struct error *error) MUST_CHECK;
void plan_free(struct plan *plan);

/* 1 (the loss) + the spec's metrics. */
uint32_t plan_metric_count(const struct graph *graph);

/* Forward, loss, metrics, backward; for a plan with training.
 * Errors: CAIRN_CLOSED when weights_ready gave up; CAIRN_INVALID for a class in targets that the model does
 * not have; those of the backend. gradients and metrics are unspecified then. */
enum status plan_train(struct plan *plan, const struct plan_run *run, struct error *error) MUST_CHECK;

/* Forward without dropout, loss, metrics; for any plan. Errors: as plan_train. */
enum status plan_evaluate(struct plan *plan, const struct plan_run *run, struct error *error) MUST_CHECK;

/* The first layer, in forward order, whose outputs in the last plan_train are not all finite numbers: its index;
 * PLAN_INPUTS: the inputs, which are those of that run, are not; the number of layers: only the loss. Until the
 * next run, and from gradients_ready on. Only for a plan with training, whose backend's memory can be read. */
#define PLAN_INPUTS UINT32_MAX
uint32_t plan_first_not_finite(const struct plan *plan, const float *inputs);

/* The last layer's output of the last run, [samples, output shape] row-major, in the backend's memory;
 * borrowed until the next run. */
const float *plan_output(struct plan *plan);

#endif
