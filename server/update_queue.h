/* Updates of a chunk that are not yet on the one after in its chain, in the throughput modes: in order of the
 * versions that they lead on from, the first from the chunk's own (docs/design.md, section 12).
 *
 * Each belongs to a worker's step, and to those who wait to hear that it is applied. There are as many as
 * workers have one on its way; nothing is allocated once there was room for that. Plain data: who sends,
 * applies and answers is the shard. One thread an object. */
#ifndef CAIRN_SERVER_UPDATE_QUEUE_H
#define CAIRN_SERVER_UPDATE_QUEUE_H

#include "base/buffer.h"
#include "base/status.h"
#include "subscribers.h"

#include <stdint.h>

struct update {
    uint64_t worker, step;       /* whose it is */
    uint64_t samples, divisor;   /* what its gradients are summed over; what divides the learning rate */
    struct buffer *gradients;    /* NULL: there are none */
    struct waiting_list waiting; /* for version step + 1 of the worker's */
};

/* All zero: empty. */
struct update_queue {
    struct update *items; /* [capacity], a ring */
    uint32_t first, count, capacity;
};

/* Drops what is in it; nobody may wait for any. */
void update_queue_fini(struct update_queue *queue);

/* Adds one as the last; takes its gradients on CAIRN_OK only. *out: where it is, until the queue is changed.
 * Errors: CAIRN_NO_MEMORY. */
enum status update_queue_add(struct update_queue *queue, const struct update *update,
                             struct update **out) MUST_CHECK;

/* The one at a place, 0 is the first; place < count. */
struct update *update_queue_at(struct update_queue *queue, uint32_t place);

/* The one of a worker's step; NULL: it is not here. */
struct update *update_queue_find(struct update_queue *queue, uint64_t worker, uint64_t step);

/* Takes the first one out; there must be one. Owns: the caller, with its gradients and those who wait. */
struct update update_queue_take(struct update_queue *queue);

#endif
