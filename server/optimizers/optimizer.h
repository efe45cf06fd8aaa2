/* Optimizers: how a step's summed gradients change weights. One file and one row of the registry each.
 *
 * An optimizer is elementwise, so any chunk of the address space can be updated on its own, and deterministic
 * to the bit on every machine (kernel.h). Its state beside the weights, Keras's slot variables, are float32
 * arrays of the weights' shape that begin as zeros. Knows nothing of chunks, versions or messages. Pure; any
 * thread. */
#ifndef CAIRN_SERVER_OPTIMIZERS_OPTIMIZER_H
#define CAIRN_SERVER_OPTIMIZERS_OPTIMIZER_H

#include "job/job.h"

#include <stddef.h>
#include <stdint.h>

#define OPTIMIZER_SLOTS_MAX 2

/* One update of `count` elements. All arrays are [count] float32. next_slots[i] may be slots[i]; apart from
 * that, what is written does not overlap what is read. */
struct optimizer_update {
    uint64_t number;   /* 1 for the job's first update; step t is update t + 1 */
    const float *sums; /* of gradients over the batch */
    float samples;     /* in the batch: the gradient is sums / samples */
    const float *weights;
    float *next_weights;
    const float *slots[OPTIMIZER_SLOTS_MAX];
    float *next_slots[OPTIMIZER_SLOTS_MAX];
    size_t count;
};

struct optimizer {
    enum optimizer_type type;
    /* Slot variables that this specification needs, at most OPTIMIZER_SLOTS_MAX. */
    uint32_t (*slot_count)(const struct optimizer_spec *spec);
    void (*apply)(const struct optimizer_spec *spec, const struct optimizer_update *update);
};

extern const struct optimizer optimizer_sgd;
extern const struct optimizer optimizer_adam;

/* The optimizer of a type; NULL when there is none. */
const struct optimizer *optimizer_find(enum optimizer_type type);

#endif
