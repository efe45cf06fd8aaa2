/* Which chunks are due to be pushed: gradients become final layer by layer, from the last to the first, but
 * travel in chunks, which may hold parts of several layers. Pure logic; knows nothing of sockets or floats.
 *
 * For each node of the worker's cover, a chunk is due when the layer that it begins in is complete, for then
 * all others in it are (graph_layer_chunks). The last push of a chunk (of the cover's several nodes)
 * subscribes to its next version. When all is pushed the object is as new, ready for the next step. One
 * thread an object. */
#ifndef CAIRN_WORKER_PUSHES_H
#define CAIRN_WORKER_PUSHES_H

#include "base/status.h"
#include "model/graph.h"

#include <stdbool.h>
#include <stdint.h>

struct pushes;

/* Neighbouring chunks of one node of the cover that go together. */
struct due {
    uint32_t cover;
    uint32_t first_chunk, chunk_count;
    bool subscribe; /* for all of them */
    bool last;      /* the node has nothing more to push in this step */
};

/* Owns: the caller; graph is borrowed. cover_count > 0. NULL: out of memory. */
struct pushes *pushes_new(const struct graph *graph, uint32_t cover_count);
void pushes_free(struct pushes *pushes);

/* The chunks that begin in `layer` are complete for a node of the cover. Once a step, node and layer in which
 * some do. */
void pushes_layer_done(struct pushes *pushes, uint32_t cover, uint32_t layer);

/* The next chunks to push, which are then taken as pushed; false: none is due. */
bool pushes_next(struct pushes *pushes, struct due *due);

#endif
