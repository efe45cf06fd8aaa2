/* A graph as one row of operations, the loss last: what a plan will ask its backend for. Pure data: no
 * backend, no memory, no layouts. One thread an object.
 *
 * Invariant: an operation's input is the output of the one before; where their shapes differ (a flatten stood
 * between), the elements are the same and their plain order counts. */
#ifndef CAIRN_MODEL_CHAIN_H
#define CAIRN_MODEL_CHAIN_H

#include "base/status.h"
#include "model/backend.h"
#include "model/graph.h"

#include <stdbool.h>
#include <stdint.h>

struct chain_link {
    struct op_spec spec;
    uint32_t layer;  /* graph->layer_count for the loss */
    bool parameters; /* reads the layer's kernel and bias */
};

struct chain {
    uint32_t count; /* at least 2 */
    struct chain_link *links;
};

/* Fills *chain for `samples` samples a run. training: also which operations must give an input gradient.
 * Owns: the caller (chain_fini); it may be finished when this failed.
 * Errors: CAIRN_NO_MEMORY; CAIRN_INVALID when a tensor of that many samples cannot be addressed. */
enum status chain_init(struct chain *chain, const struct graph *graph, uint32_t samples, bool training,
                       struct error *error) MUST_CHECK;
void chain_fini(struct chain *chain);

#endif
