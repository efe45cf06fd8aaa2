/* The loader: the microbatches of coming steps, made by a thread of its own so that data is there before
 * compute needs it. The order is a function of (seed, training epoch): sampler.h.
 *
 * A loader serves one membership epoch of one worker: steps first_step, first_step + 1, ... and, in each, the
 * microbatches of a span. loader_take may be called by any lane; a batch belongs to the taker until
 * loader_give. Memory is bounded: at most `depth` microbatches are ready or taken. */
#ifndef CAIRN_WORKER_DATA_LOADER_H
#define CAIRN_WORKER_DATA_LOADER_H

#include "data/reader.h"

#include <stdbool.h>

struct microbatch {
    uint64_t step;
    uint32_t index;         /* microbatch within the step */
    uint32_t first_sample;  /* position in the batch */
    uint32_t samples;       /* may be 0 in a short last batch */
    uint32_t batch_samples; /* of the whole step */
    float *features;        /* [samples, input elements] */
    void *targets;          /* [samples] int32 or [samples, target elements] float32 */
};

struct loader;

struct loader_params {
    const struct job *job; /* all borrowed for the loader's life */
    const struct reader *reader;
    struct reader_wants wants;
    uint64_t first_step, final_step;
    uint32_t span_begin, span_end; /* not empty */
    uint32_t depth;                /* microbatches in memory, at least 2 */
};

/* Starts the thread. */
enum status loader_start(const struct loader_params *params, struct loader **out,
                         struct error *error) MUST_CHECK;

/* Ends the thread and frees; takers must have given back. NULL is allowed. */
void loader_stop(struct loader *loader);

/* The microbatch `index` of `step`, which must be in the span and in [first_step, final_step); waits for it.
 * Any order is served, but only the order of steps (within a step any) finds what was made ahead.
 * NULL: the loader was closed. Thread: any. */
struct microbatch *loader_take(struct loader *loader, uint64_t step, uint32_t index);
void loader_give(struct loader *loader, struct microbatch *microbatch);

/* Wakes all who wait in loader_take (they get NULL). Any thread, twice is fine. */
void loader_close(struct loader *loader);

#endif
