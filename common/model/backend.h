/* The backend: what layers compute through. `ref` (plain C, the oracle), `cpu` (oneDNN) and later `cuda`
 * implement it; layers, plans and losses know nothing else of how numbers are made.
 *
 * An operation (`struct op`) is planned once for fixed shapes, and run many times: planning is where a
 * backend picks kernels and the memory layouts that they like best, and allocates; running allocates nothing.
 * Each op says in which layout it wants its input and in which it gives its output; the plan puts a reorder
 * between two that do not agree. Kernels and biases are always plain row-major in Keras's shapes (in the
 * address space that the servers hold); a backend that wants another layout reorders on use, into its
 * scratch.
 *
 * Determinism: for one op and inputs, the same bits on every run, whatever other threads do. A backend object
 * belongs to one thread (a lane); so do its ops. No CUDA or oneDNN type appears here. */
#ifndef CAIRN_MODEL_BACKEND_H
#define CAIRN_MODEL_BACKEND_H

#include "base/status.h"
#include "model/graph.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum op_kind {
    OP_DENSE,         /* y = activation(x kernel + bias); samples of rank 1 */
    OP_CONV2D,        /* y = activation(x * kernel + bias); NHWC, kernel HWIO */
    OP_MAX_POOLING2D, /* y = activation(maximum); the first of equal ones, row by row, gets the gradient */
    OP_AVERAGE_POOLING2D, /* padding is not counted */
    OP_ACTIVATION,        /* softmax over the last dimension */
    OP_DROPOUT, /* keeps with probability 1 - rate and scales by 1 / (1 - rate); identity in evaluation */
    OP_REORDER, /* from one layout to another */
    OP_LOSS,    /* x: the model's output; gives the sums of losses and metrics, and dx */
    OP_KIND_COUNT
};

/* How a backend keeps a tensor [samples, shape] in memory. `native` NULL means plain: row-major, samples
 * first. Otherwise the backend's own description, owned by the op that names it. */
struct layout {
    const void *native;
    size_t bytes;
};

/* The plain layout of samples x shape. */
struct layout layout_plain(uint32_t samples, const struct shape *shape);

/* An op to be planned. Members that a kind does not have are 0. */
struct op_spec {
    enum op_kind kind;
    uint32_t samples;           /* at least 1 */
    struct shape input, output; /* of a sample */
    bool training;              /* a backward pass will follow */
    bool input_gradient;        /* backward must give dx (the first layer's need not) */
    struct layout
        input_layout; /* what the op before gives: a hint; OP_REORDER: from. Borrowed until planned */
    struct layout output_layout; /* OP_REORDER only: to */
    enum activation activation;  /* OP_ACTIVATION: any; dense, conv2d, max pooling: linear or relu, as relu's
                                    backward needs nothing but y */
    bool use_bias;               /* dense, conv2d */
    uint32_t kernel_size[2];     /* conv2d, pooling (the window) */
    uint32_t strides[2];
    uint32_t pad_top, pad_left; /* implicit padding; that after follows from the shapes */
    float rate;                 /* dropout, in [0, 1) */
    uint32_t layer;             /* dropout: index, part of the random key */
    enum loss loss;             /* loss */
    uint32_t metric_count;      /* loss */
    enum metric metrics[MODEL_METRICS_MAX];
};

/* The memory of one run. All pointers should be 64-byte aligned; that is faster, and asked of x, y, dx, dy,
 * saved and scratch. What backward gets as x and y is what forward was given and made. */
struct op_run {
    const float *x; /* in op->input layout */
    float *y;       /* in op->output layout; OP_LOSS: none */
    const float *kernel, *bias;
    void *saved;   /* op->saved_bytes: what forward leaves for backward */
    void *scratch; /* op->scratch_bytes: undefined between calls, shared by the ops of one lane */
    /* backward */
    float *dy;                              /* in op->output layout; may be overwritten */
    float *dx;                              /* in op->input layout; used only with input_gradient */
    float *kernel_gradient, *bias_gradient; /* plain; overwritten, sums over the samples */
    /* dropout: the draw of an element is keyed by these, the sample's position and the layer
                              (worker/compute/dropout.h) */
    uint64_t seed, step;
    uint32_t first_sample; /* position in the batch of the first sample */
    bool evaluate;         /* forward without training behaviour: no dropout */
    /* loss: dx is the gradient of the SUM of the sample losses, made by backward */
    const void *targets; /* as struct plan_run */
    double *metrics;     /* [1 + metric_count], out: sums over the samples, in their order; made by forward */
};

struct backend;

struct op {
    const struct op_ops *ops;
    struct backend *backend;
    struct op_spec spec;
    struct layout input, output;
    size_t saved_bytes, scratch_bytes;
    char kernels[128]; /* what computes it, for people who measure; may be empty */
};

struct op_ops {
    /* Errors: CAIRN_INVALID for targets that do not fit (OP_LOSS); what the library reports otherwise. */
    enum status (*forward)(struct op *op, const struct op_run *run, struct error *error);
    /* Only for an op planned with training, after forward on the same memory without evaluate. */
    enum status (*backward)(struct op *op, const struct op_run *run, struct error *error);
    /* Never called with NULL. */
    void (*free)(struct op *op);
};

struct backend_ops {
    const char *name;
    /* Plans an op; its layouts and sizes are set. Required.
     * Owns: the caller (op->ops->free), before the backend is freed. Errors: CAIRN_UNSUPPORTED, NO_MEMORY. */
    enum status (*plan)(struct backend *backend, const struct op_spec *spec, struct op **out,
                        struct error *error);
    /* Whether two layouts of one shape are the same bytes. Required. */
    bool (*layout_equal)(const struct layout *a, const struct layout *b);
    /* Device memory, zeroed, 64-byte aligned; NULL: out of memory. release accepts NULL. Required. */
    void *(*allocate)(struct backend *backend, size_t bytes);
    void (*release)(struct backend *backend, void *memory);
    void (*free)(struct backend *backend);
};

struct backend {
    const struct backend_ops *ops;
};

/* Frees an op, or a backend; NULL is allowed. */
void op_free(struct op *op);
void backend_free(struct backend *backend);

#endif
