/* Optimizers: how a step's summed gradients change weights. One file and one row of the list in optimizer.c
 * each.
 *
 * An optimizer is elementwise, so any run of elements can be updated on its own: a chunk of a dense table, a
 * segment of it, or single rows of a sparse one (lazily: only rows that are in the step's gradient). It is
 * deterministic to the bit on every machine (kernel.h). Its state beside the weights, Keras's slot variables,
 * are float32 arrays of the weights' shape, nothing else: what Keras keeps as scalars over steps is a
 * function of the update's number here. Where an update depends on norms over whole parameters (clipping by
 * norm, lamb), it has two phases, see norms.h.
 *
 * Formulas, arguments and defaults are Keras 3's. Its weight decay (all weights, decoupled) comes before the
 * update, its clipping before both. Knows nothing of chunks, versions or messages. Pure; any thread. */
#ifndef CAIRN_SERVER_OPTIMIZERS_OPTIMIZER_H
#define CAIRN_SERVER_OPTIMIZERS_OPTIMIZER_H

#include "job/optimizer_spec.h"

#include <stddef.h>
#include <stdint.h>

#define OPTIMIZER_SLOTS_MAX 3

struct optimizer_kernels;

/* All that an update takes from the specification and its number, made once a step and applied many times.
 * Members mean the same to all optimizers that use them. */
struct optimizer_step {
    const struct optimizer_kernels *kernels;
    float rate;            /* the learning rate, with bias corrections */
    float decay;           /* part of each weight that is taken off it first */
    float limit;           /* of a gradient's magnitude; infinity: none */
    float momentum;        /* of momentum or a first mean: what is kept of it, */
    float share;           /* and what a gradient gives to it */
    float square_momentum; /* the same of a mean of squares */
    float square_share;
    float epsilon;
    float correction; /* factor of a mean; 1 / (1 - beta_1^t) */
    float square_correction;
    float gradient_rate; /* nadam: of the gradient beside the mean */
    float shrinkage;     /* ftrl: 2 l2_shrinkage, */
    float l1, l2;        /* l1, 2 l2 + beta / rate, */
    double power;        /* and -learning_rate_power */
};

/* One update of `count` elements. All arrays are [count] float32. next_weights may be weights and
 * next_slots[i] may be slots[i]; apart from that, what is written does not overlap what is read. */
struct optimizer_update {
    const float *sums; /* of gradients over the batch */
    float samples;     /* in the batch: the gradient is sums / samples * scale */
    float scale;       /* 1, or what clipping by norm gives */
    float trust;       /* lamb's ratio of norms; others do not read it */
    const float *weights;
    float *next_weights;
    const float *slots[OPTIMIZER_SLOTS_MAX];
    float *next_slots[OPTIMIZER_SLOTS_MAX];
    size_t count;
};

/* One update of `count` rows in place. A row is its weights and its slots side by side:
 * weights [dimension], slot 0 [dimension], ... */
struct optimizer_rows {
    float *const *rows; /* [count], all different */
    const float *sums;  /* [count, dimension] */
    float samples, scale;
    uint32_t dimension;
    size_t count;
};

/* Sums of squares over elements, in float64. */
struct optimizer_squares {
    double weights, update;
};

/* What each element of a slot variable begins as. */
float optimizer_slot_initial(const struct optimizer_spec *spec, uint32_t slot);

/* The step of update `number`: 1 for the first, so that step t is update t + 1. spec is only read here. */
void optimizer_prepare(const struct optimizer_spec *spec, uint64_t number, struct optimizer_step *step);

/* The same with the learning rate of that update divided, once it has been decayed: divisor >= 1. */
void optimizer_prepare_damped(const struct optimizer_spec *spec, uint64_t number, double divisor,
                              struct optimizer_step *step);

/* lamb: the second phase, which reads the slots that optimizer_measure wrote and writes none. */
void optimizer_apply(const struct optimizer_step *step, const struct optimizer_update *update);

/* The same on rows, to the same bits. Not for lamb. */
void optimizer_apply_rows(const struct optimizer_step *step, const struct optimizer_rows *rows);

/* lamb's first phase: writes next_slots and gives the sums of squares of the weights (after their decay) and
 * of the update over the run; their order is fixed (norms.h). Reads all of *update but trust, and writes no
 * weights. For lamb only. */
void optimizer_measure(const struct optimizer_step *step, const struct optimizer_update *update,
                       struct optimizer_squares *squares);

/* ---- for the optimizers' files */

struct optimizer_kernels {
    void (*apply)(const struct optimizer_step *step, const struct optimizer_update *update);
    void (*apply_rows)(const struct optimizer_step *step, const struct optimizer_rows *rows); /* NULL: lamb */
    void (*measure)(const struct optimizer_step *step, const struct optimizer_update *update,
                    struct optimizer_squares *squares); /* lamb; else NULL */
};

struct optimizer {
    enum optimizer_type type;
    float (*slot_initial)(const struct optimizer_spec *spec, uint32_t slot); /* NULL: all zero */
    /* Sets kernels and what they read; decay and limit are set. learning_rate: the update's own. */
    void (*prepare)(const struct optimizer_spec *spec, uint64_t number, double learning_rate,
                    struct optimizer_step *step);
};

extern const struct optimizer optimizer_sgd, optimizer_adam, optimizer_adamw, optimizer_adagrad,
    optimizer_rmsprop, optimizer_adadelta, optimizer_nadam, optimizer_lion, optimizer_ftrl, optimizer_lamb;

#endif
