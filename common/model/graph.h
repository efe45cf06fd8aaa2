/* A checked model: every layer with its shapes and parameters, and the one flat address space in which the
 * parameter servers hold all of a model's dense parameters. Computes nothing.
 *
 * Invariants of a graph: shapes fit; parameters are in layer order, kernel before bias; each begins at a
 * multiple of GRAPH_ALIGNMENT floats, and the floats between are zero for ever. Immutable after graph_new;
 * any thread. */
#ifndef CAIRN_MODEL_GRAPH_H
#define CAIRN_MODEL_GRAPH_H

#include "base/status.h"
#include "cluster/placement.h"
#include "model/spec.h"

#include <stddef.h>
#include <stdint.h>

#define GRAPH_ALIGNMENT   16                   /* floats: one cache line */
#define GRAPH_FLOATS_MAX  (UINT64_C(1) << 40)
#define GRAPH_CHUNK_MAX   PLACEMENT_CHUNK_FLOATS_MAX

#define GRAPH_ELEMENTS_MAX INT32_MAX           /* of one sample between two layers */

/* Shape of one sample. */
struct shape {
    uint32_t rank;
    uint32_t dim[MODEL_RANK_MAX];
};

/* The number of elements; shapes in a graph never overflow. */
uint64_t shape_elements(const struct shape *shape);

struct graph_parameter {
    char name[MODEL_NAME_MAX + 16]; /* Keras's: "conv2d/kernel", "dense_1/bias" */
    uint32_t layer;                 /* index of its layer */
    struct shape shape;             /* Keras's: HWIO, in x out */
    uint64_t offset, elements;      /* in floats, in the address space */
    enum initializer initializer;
    uint64_t fan_in, fan_out;       /* for the scaled initializers */
};

struct graph_layer {
    const struct layer_spec *spec;  /* borrowed from the spec that the graph was made from */
    struct shape input, output;
    uint32_t first_parameter, parameter_count;
    uint64_t parameter_begin, parameter_end; /* floats: where its parameters lie (equal: it has none) */
    uint32_t pad_top, pad_left;     /* conv2d, pooling: implicit zeros before; those after follow from shapes */
};

struct graph {
    const struct model_spec *spec;
    uint32_t layer_count, parameter_count;
    struct graph_layer *layers;
    struct graph_parameter *parameters;
    uint64_t trainable;             /* sum of the parameters' elements */
    uint64_t floats;                /* size of the address space, with the gaps */
    uint32_t chunk_floats;          /* size of every chunk but the last */
    uint32_t chunk_count;           /* at least 1 */
};

/* Checks a spec and lays the model out.
 * Owns: the caller (graph_free); spec is borrowed and must outlive the graph.
 * Errors: CAIRN_INVALID with a line that names the layer ("layer dense_1: ..."), and the layer's index in
 * *bad_layer (when not NULL; layer_count when no single layer is to blame). */
enum status graph_new(const struct model_spec *spec, struct graph **out, uint32_t *bad_layer,
                      struct error *error) MUST_CHECK;
void graph_free(struct graph *graph);

/* Chunk `chunk` covers floats [*begin, *end) of the address space. */
void graph_chunk(const struct graph *graph, uint32_t chunk, uint64_t *begin, uint64_t *end);

/* The chunks that begin among a layer's parameters: [*first, *end), often none. Each chunk is of one layer, the
 * first with floats in it; as backward goes from the last layer to the first, its gradients are final when
 * that layer's are. */
void graph_layer_chunks(const struct graph *graph, uint32_t layer, uint32_t *first, uint32_t *end);

/* Writes the initial values of floats [begin, end) of the address space to values[end - begin]: a function of
 * seed, parameter and element alone, so any part can be made anywhere.
 * Source: Keras's initializers (VarianceScaling, truncated normal for the normal kinds). */
void graph_initial_values(const struct graph *graph, uint64_t seed, uint64_t begin, uint64_t end,
                          float *values);

/* SHA-256 as text over the model: each parameter's name, shape and little-endian values, in order.
 * weights: the whole address space, [floats]. */
void graph_hash(const struct graph *graph, const float *weights, char text[65]);

/* Prints the table of layers as Keras's summary does: name (type), output shape, parameter count, totals. */
struct _IO_FILE;
void graph_print_summary(const struct graph *graph, const char *model_name, struct _IO_FILE *file);

#endif
