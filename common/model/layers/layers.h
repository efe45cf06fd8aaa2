/* What each layer type computes: one file and one descriptor a type, and the registry of them all.
 *
 * A descriptor turns a checked layer (graph.h infers its shapes and parameters) into operations on any
 * backend (backend.h). It holds no state and computes nothing. A new layer is one file here and one line in
 * registry.c. Any thread. */
#ifndef CAIRN_MODEL_LAYERS_H
#define CAIRN_MODEL_LAYERS_H

#include "model/backend.h"
#include "model/graph.h"

#define LAYER_OPS_MAX 2

/* The operations of a layer, in order. None: the output is the input, seen in another shape. The first reads
 * the layer's kernel and bias, when it has them. */
struct layer_ops {
    uint32_t count;
    struct op_spec specs[LAYER_OPS_MAX];
};

struct layer_descriptor {
    /* Appends the layer's operations to *ops, which is empty: kind, shapes and arguments are set; samples,
     * layouts and what concerns training are the plan's. index: the layer's position in the graph. */
    void (*describe)(const struct graph_layer *layer, uint32_t index, struct layer_ops *ops);
};

extern const struct layer_descriptor layer_dense, layer_conv2d, layer_max_pooling2d, layer_average_pooling2d,
    layer_flatten, layer_dropout, layer_activation;

/* The descriptor of a type that is in the enum. */
const struct layer_descriptor *layer_descriptor(enum layer_type type);

/* For descriptors: appends an operation of `kind` from shape `input` to `output`; the rest of it is the
 * caller's to fill. */
struct op_spec *layer_ops_add(struct layer_ops *ops, enum op_kind kind, const struct shape *input,
                              const struct shape *output);

/* For descriptors: an activation on the last operation's output, fused into it where its kind can be (relu),
 * as an operation of its own otherwise; nothing for linear. */
void layer_ops_activate(struct layer_ops *ops, enum activation activation);

#endif
