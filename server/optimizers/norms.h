/* Norms over whole parameters, for what is not elementwise: clipping by norm (clipnorm: of each parameter,
 * global_clipnorm: of all of them) and lamb's trust ratio.
 *
 * A parameter lies in many chunks, and they on many shards. Each chunk is cut into segments, one a parameter
 * (norms_next_segment); a segment's sum of squares is computed in float64 in a fixed order, whoever holds the
 * chunk. The shards add those of a parameter exactly (math/exact_sum.h), so that all get the same bits for
 * any number of shards. An update then is:
 *     1. every segment: norms_gradient_squares         when it clips by norm
 *        exchange; a segment's scale is norms_clip_scale of its parameter's sum, or of the sum of all
 *     2. every segment: optimizer_measure with scale   lamb
 *        exchange; a segment's trust is norms_trust_ratio of its parameter's sums
 *     3. every segment: optimizer_apply with scale and trust
 * Keras computes the same sums in another order in float32. A sparse table is one parameter, each row of it a
 * segment. Knows nothing of messages. Pure; any thread. */
#ifndef CAIRN_SERVER_OPTIMIZERS_NORMS_H
#define CAIRN_SERVER_OPTIMIZERS_NORMS_H

#include "model/graph.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A run of floats of the address space that is of one parameter; the gap behind a parameter, zero for ever,
 * counts to it, so that segments leave nothing out. */
struct norms_segment {
    uint32_t parameter;
    uint64_t begin, end;
};

/* The segment that begins at segment->end, cut at `end` (of the chunk); false: there are no more. To begin
 * set segment->end to the chunk's begin and parameter to 0. */
bool norms_next_segment(const struct graph *graph, uint64_t end, struct norms_segment *segment);

/* The sum of the squares of the gradients sums / samples: element i is added to partial sum i % 16, and the
 * 16 are folded pairwise. */
double norms_gradient_squares(const float *sums, float samples, size_t count);

/* What gradients with this sum of squares are multiplied by so that their norm is at most `limit`; NaN when
 * the sum is not finite, so that a diverged training shows. */
float norms_clip_scale(double limit, double squares);

/* lamb's ratio of the weights' norm to the update's; 1 where one of them is zero. */
float norms_trust_ratio(double weight_squares, double update_squares);

#endif
