/* The worker's weights: one arena of the model's whole address space, filled chunk by chunk by the step
 * thread and read layer by layer by the lanes.
 *
 * One arena is enough (docs/design.md section 5): version v + 1 of a chunk is not asked for before this
 * worker's lanes have finished with version v of it. So a chunk is overwritten in place, and a layer is
 * readable in version v from the moment that all its chunks have it until this worker's gradients of step v
 * for it are sent.
 *
 * Threads: the owner (the step thread) calls all but weights_await, which lanes call; weights_close: any.
 * A waiting lane sleeps; it is woken only when the very layer that it waits for is there. */
#ifndef CAIRN_WORKER_WEIGHTS_H
#define CAIRN_WORKER_WEIGHTS_H

#include "base/status.h"
#include "model/graph.h"

#include <stdbool.h>
#include <stdint.h>

struct weights;

/* No version yet. Owns: the caller; graph is borrowed. Errors: CAIRN_NO_MEMORY; CAIRN_INVALID for a graph
 * with a chunk that no layer reads (a model without parameters). */
enum status weights_new(const struct graph *graph, struct weights **out, struct error *error) MUST_CHECK;

/* Nobody may be waiting. NULL is allowed. */
void weights_free(struct weights *weights);

/* Says which version comes next: all chunks are missing from now on. */
void weights_expect(struct weights *weights, uint64_t version);

/* Copies a chunk of the expected version to its place and wakes lanes whose layer is complete with it.
 * values: [elements] float32, borrowed. A chunk that came already is ignored.
 * Errors: CAIRN_PROTOCOL: not the expected version, no such chunk, or not its size; nothing changed. */
enum status weights_store(struct weights *weights, uint32_t chunk, uint64_t version, const float *values,
                          size_t elements, struct error *error) MUST_CHECK;

/* Whether all chunks have the expected version. */
bool weights_complete(const struct weights *weights);

/* Whether a chunk's floats are those of `version`: the expected one, or the one before, which must have been
 * complete. */
bool weights_holds(const struct weights *weights, uint32_t chunk, uint64_t version);

/* Waits until layer `layer` has version `version`, then true; false: closed. *waited_ns grows by the time
 * slept. */
bool weights_await(struct weights *weights, uint32_t layer, uint64_t version, uint64_t *waited_ns);

/* Ends all waiting, now and later. May be called twice. */
void weights_close(struct weights *weights);

/* Undoes weights_close. Nobody may be waiting. */
void weights_reopen(struct weights *weights);

/* The address space, [graph->floats]. */
const float *weights_floats(const struct weights *weights);

#endif
