/* The worker's side of the reduction tree (docs/design.md section 5): lanes fold the gradients of their
 * microbatches in memory, up to the nodes that cover the worker's span, by the same fixed shape as the
 * shards.
 *
 * It is a tournament, one a layer: a lane that has finished a layer of its microbatch climbs from that leaf.
 * At each inner node the first of two siblings leaves; the second adds (left += right) and climbs on. Who
 * comes to a node of the cover completes it. One atomic flag a node and layer, no lock. The left child's
 * arena becomes the parent's; the right child's is given back when all its layers were added.
 *
 * What is folded is whole chunks, as at the shards: with a layer, those that begin in it (graph.h). A chunk
 * that several layers share goes with the first of them, which backward finishes last; it could not be sent
 * before. They are added in the numbers of the job's codec (codec.h): rounded at the microbatch, and again at
 * each node, to the bits that a shard would make of the halves.
 *
 * Besides the layers, a step's metrics and a validation's are folded alike: vectors of float64.
 *
 * Rule for callers: one layer's folds of step t are complete before one of step t + 1 begins. A worker has
 * that for free, since step t + 1 needs weights that need this worker's whole share of step t; whoever has
 * computed nothing (an empty microbatch) must wait for the weights all the same.
 *
 * Threads: fold_enter, fold_layer, fold_validation: any, a microbatch by one thread at a time. The rest:
 * the owner. Knows nothing of messages or how gradients are made. */
#ifndef CAIRN_WORKER_FOLD_H
#define CAIRN_WORKER_FOLD_H

#include "arenas.h"
#include "base/mailbox.h"
#include "codec/codec.h"
#include "math/tree.h"
#include "model/graph.h"

struct fold;

enum fold_kind { FOLD_LAYER, FOLD_METRICS, FOLD_VALIDATION };

/* A node of the cover is complete: for one layer, or for a vector of metrics. */
struct completion {
    struct mail mail; /* for the callback to post */
    enum fold_kind kind;
    uint32_t cover; /* index of the node in the cover */
    uint32_t layer; /* FOLD_LAYER only: the chunks that begin in it are complete; never one of none */
};

struct fold_params {
    const struct graph *graph;      /* borrowed for the fold's life */
    uint32_t first_microbatch;     /* which one is the tree's first leaf: 0, or one of a tree of ours alone */
    uint32_t microbatches;         /* leaves of the tree: the job's, or as above */
    uint32_t span_begin, span_end; /* this worker's leaves, not empty */
    uint32_t metric_count;          /* elements of a metrics vector */
    const struct codec_spec *codec; /* of the gradients, borrowed likewise */
    uint64_t seed;                  /* the job's, of the codec's chance */
    /* Called by the lane that completes a node; the completion is the fold's and may be kept until the same
     * node and layer completes again. */
    void (*completed)(void *context, struct completion *completion);
    void *context;
};

/* Errors: CAIRN_INVALID for a span that is empty or outside the tree; CAIRN_NO_MEMORY. Owns: the caller. */
enum status fold_new(const struct fold_params *params, struct fold **out, struct error *error) MUST_CHECK;

/* Gives back the arenas that it still holds. NULL is allowed. */
void fold_free(struct fold *fold);

/* The nodes that cover the span, from left to right. */
uint32_t fold_cover_count(const struct fold *fold);
struct tree_node fold_cover(const struct fold *fold, uint32_t cover);

/* A microbatch's gradients of step `step` will be in `arena`; its metrics are known: metrics[metric_count],
 * copied and folded. Owns: takes the arena. Once a step and microbatch, before its first fold_layer. */
void fold_enter(struct fold *fold, uint64_t step, uint32_t microbatch, struct arena *arena,
                const double *metrics);

/* Layer `layer` of a microbatch's arena is final. For each layer with parameters, from the last to the first.
 */
void fold_layer(struct fold *fold, uint32_t microbatch, uint32_t layer);

/* The sums over validation leaf `microbatch` are known: sums[metric_count], copied and folded. */
void fold_validation(struct fold *fold, uint32_t microbatch, const double *sums);

/* The gradients of a node of the cover; a layer's chunks are final when its completion was seen. */
struct buffer *fold_gradients(const struct fold *fold, uint32_t cover);

/* All of a node's gradients were sent: its arena may be used again once ZeroMQ is done. */
void fold_release(struct fold *fold, uint32_t cover);

/* The vector of a node of the cover, valid from its completion until the next step's folds. */
const double *fold_sums(const struct fold *fold, uint32_t cover, enum fold_kind kind);

#endif
