/* The tournament. A node's flag is flipped by each of its two children, so it is back at 0 for the next step
 * without anyone's resetting it; the flip is also what makes one child's floats visible to the other's
 * thread (release by the first, acquire by the second). */
#include "fold.h"

#include <stdlib.h>
#include <string.h>

#define NO_PARENT UINT32_MAX

struct node {
    uint32_t begin, middle; /* where its left and right halves begin: relative to the span */
    uint32_t end;
    uint32_t parent; /* index; NO_PARENT: a node of the cover */
    uint32_t cover;  /* NO_PARENT only: index in the cover */
};

struct leaf {
    uint32_t node;             /* its index among the nodes */
    uint64_t step;             /* of the microbatch in hand */
    struct arena *arena;       /* the same; NULL: none, or given back */
    atomic_uint layers_to_add; /* of the arena, to a left sibling, before it can be given back */
};

struct fold {
    struct fold_params params;
    uint32_t leaf_count, node_count, cover_count;
    uint32_t unit_count;    /* layers, then metrics, then validation */
    uint32_t folded_layers; /* in which chunks begin */
    struct tree_node cover[TREE_COVER_MAX];
    struct node *nodes;             /* [2 * leaf_count - 1 at most] */
    struct leaf *leaves;            /* [leaf_count] */
    double *metrics, *validation;   /* [leaf_count, metric_count] */
    atomic_uchar *met;              /* [node_count, unit_count]: 1: the first child was here */
    struct completion *completions; /* [cover_count, unit_count] */
};

static uint32_t unit_of(const struct fold *fold, enum fold_kind kind, uint32_t layer)
{
    uint32_t layers = fold->params.graph->layer_count;

    return kind == FOLD_LAYER ? layer : kind == FOLD_METRICS ? layers : layers + 1;
}

/* Adds the node [begin, end), relative to the span, and all below it. */
static void add_subtree(struct fold *fold, uint32_t begin, uint32_t end, uint32_t parent, uint32_t cover)
{
    uint32_t index = fold->node_count++;
    uint32_t middle = begin + (end - begin) / 2;

    fold->nodes[index] =
        (struct node){.begin = begin, .middle = middle, .end = end, .parent = parent, .cover = cover};
    if (end - begin == 1) {
        fold->leaves[begin].node = index;
        return;
    }
    add_subtree(fold, begin, middle, index, cover);
    add_subtree(fold, middle, end, index, cover);
}

static void make_completions(struct fold *fold)
{
    uint32_t layers = fold->params.graph->layer_count;

    for (uint32_t cover = 0; cover < fold->cover_count; cover++) {
        struct completion *row = &fold->completions[(size_t)cover * fold->unit_count];

        for (uint32_t unit = 0; unit < fold->unit_count; unit++) {
            row[unit].cover = cover;
            row[unit].layer = unit;
            row[unit].kind = unit < layers ? FOLD_LAYER : unit == layers ? FOLD_METRICS : FOLD_VALIDATION;
        }
    }
}

static bool is_folded(const struct graph *graph, uint32_t layer)
{
    uint32_t first, end;

    graph_layer_chunks(graph, layer, &first, &end);
    return first < end;
}

static uint32_t count_folded_layers(const struct graph *graph)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < graph->layer_count; i++)
        count += is_folded(graph, i);
    return count;
}

/* All memory: nothing is allocated afterwards. */
static bool fold_allocate(struct fold *fold)
{
    size_t nodes = 2u * (size_t)fold->leaf_count - 1, units = fold->unit_count;
    size_t vector = fold->params.metric_count;

    fold->nodes = calloc(nodes, sizeof(*fold->nodes));
    fold->leaves = calloc(fold->leaf_count, sizeof(*fold->leaves));
    fold->metrics = calloc(fold->leaf_count * vector, sizeof(*fold->metrics));
    fold->validation = calloc(fold->leaf_count * vector, sizeof(*fold->validation));
    fold->met = calloc(nodes * units, sizeof(*fold->met));
    fold->completions = calloc(fold->cover_count * units, sizeof(*fold->completions));
    return fold->nodes && fold->leaves && fold->metrics && fold->validation && fold->met && fold->completions;
}

enum status fold_new(const struct fold_params *params, struct fold **out, struct error *error)
{
    struct fold *fold;

    if (params->span_begin >= params->span_end || params->span_end > params->microbatches ||
        params->microbatches > TREE_LEAVES_MAX || params->metric_count == 0)
        return error_set(error, CAIRN_INVALID, "no span of microbatches: [%u, %u) of %u", params->span_begin,
                         params->span_end, params->microbatches);
    fold = calloc(1, sizeof(*fold));
    if (!fold)
        return error_set(error, CAIRN_NO_MEMORY, "out of memory for the reduction tree");
    fold->params = *params;
    fold->leaf_count = params->span_end - params->span_begin;
    fold->unit_count = params->graph->layer_count + 2;
    fold->folded_layers = count_folded_layers(params->graph);
    fold->cover_count = tree_cover(params->microbatches, params->span_begin, params->span_end, fold->cover);
    if (!fold_allocate(fold)) {
        fold_free(fold);
        return error_set(error, CAIRN_NO_MEMORY, "out of memory for the reduction tree");
    }
    for (uint32_t i = 0; i < fold->cover_count; i++)
        add_subtree(fold, fold->cover[i].begin - params->span_begin, fold->cover[i].end - params->span_begin,
                    NO_PARENT, i);
    make_completions(fold);
    *out = fold;
    return CAIRN_OK;
}

void fold_free(struct fold *fold)
{
    if (!fold)
        return;
    for (uint32_t i = 0; fold->leaves && i < fold->leaf_count; i++)
        arenas_give(fold->leaves[i].arena);
    free(fold->nodes);
    free(fold->leaves);
    free(fold->metrics);
    free(fold->validation);
    free(fold->met);
    free(fold->completions);
    free(fold);
}

uint32_t fold_cover_count(const struct fold *fold)
{
    return fold->cover_count;
}

struct tree_node fold_cover(const struct fold *fold, uint32_t cover)
{
    return fold->cover[cover];
}

static void add_doubles(double *left, const double *right, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        left[i] += right[i];
}

/* The codec at a node, for the step in which its leftmost leaf is. */
static struct codec_node codec_at(const struct fold *fold, const struct node *node)
{
    const struct fold_params *params = &fold->params;
    struct tree_node of = {params->span_begin + node->begin, params->span_begin + node->end};

    return codec_node_for(params->codec, params->seed, TABLE_WEIGHTS, fold->leaves[node->begin].step, of);
}

/* Rounds the chunks of a layer of a microbatch. */
static void round_layer(struct fold *fold, const struct leaf *leaf, uint32_t layer)
{
    struct codec_node codec = codec_at(fold, &fold->nodes[leaf->node]);
    uint32_t chunk, chunks_end;
    uint64_t begin, end;

    graph_layer_chunks(fold->params.graph, layer, &chunk, &chunks_end);
    for (; chunk < chunks_end; chunk++) {
        graph_chunk(fold->params.graph, chunk, &begin, &end);
        codec.array = chunk;
        codec_round(&codec, leaf->arena->floats + begin, NULL, end - begin);
    }
}

/* left += right for the chunks of a layer, and the right arena's end when that was its last. */
static void add_layer(struct fold *fold, const struct node *node, uint32_t layer)
{
    struct codec_node codec = codec_at(fold, node);
    struct leaf *left = &fold->leaves[node->begin], *right = &fold->leaves[node->middle];
    struct arena *done = right->arena;
    uint32_t chunk, chunks_end;
    uint64_t begin, end;

    graph_layer_chunks(fold->params.graph, layer, &chunk, &chunks_end);
    for (; chunk < chunks_end; chunk++) {
        graph_chunk(fold->params.graph, chunk, &begin, &end);
        codec.array = chunk;
        codec_fold(&codec, left->arena->floats + begin, done->floats + begin, end - begin);
    }
    if (atomic_fetch_sub_explicit(&right->layers_to_add, 1, memory_order_acq_rel) == 1) {
        right->arena = NULL;
        arenas_give(done);
    }
}

/* A node's sum lies where its leftmost leaf's does. */
static void add_halves(struct fold *fold, const struct node *node, uint32_t unit)
{
    uint32_t layers = fold->params.graph->layer_count, count = fold->params.metric_count;
    double *vectors = unit == layers ? fold->metrics : fold->validation;

    if (unit < layers)
        add_layer(fold, node, unit);
    else
        add_doubles(&vectors[(size_t)node->begin * count], &vectors[(size_t)node->middle * count], count);
}

/* From a leaf up, as long as the sibling was there before. */
static void climb(struct fold *fold, uint32_t leaf, uint32_t unit)
{
    uint32_t at = fold->leaves[leaf].node, units = fold->unit_count, parent;

    while ((parent = fold->nodes[at].parent) != NO_PARENT) {
        atomic_uchar *met = &fold->met[(size_t)parent * units + unit];

        if (atomic_fetch_xor_explicit(met, 1, memory_order_acq_rel) == 0)
            return;
        add_halves(fold, &fold->nodes[parent], unit);
        at = parent;
    }
    fold->params.completed(fold->params.context,
                           &fold->completions[(size_t)fold->nodes[at].cover * units + unit]);
}

static uint32_t leaf_of(const struct fold *fold, uint32_t microbatch)
{
    uint32_t leaf = microbatch - fold->params.first_microbatch;

    BUG_IF(leaf < fold->params.span_begin || leaf >= fold->params.span_end);
    return leaf - fold->params.span_begin;
}

void fold_enter(struct fold *fold, uint64_t step, uint32_t microbatch, struct arena *arena,
                const double *metrics)
{
    uint32_t leaf = leaf_of(fold, microbatch), count = fold->params.metric_count;

    BUG_IF(fold->leaves[leaf].arena != NULL);
    fold->leaves[leaf].step = step;
    fold->leaves[leaf].arena = arena;
    atomic_store_explicit(&fold->leaves[leaf].layers_to_add, fold->folded_layers, memory_order_relaxed);
    memcpy(&fold->metrics[(size_t)leaf * count], metrics, count * sizeof(*metrics));
    climb(fold, leaf, unit_of(fold, FOLD_METRICS, 0));
}

void fold_layer(struct fold *fold, uint32_t microbatch, uint32_t layer)
{
    uint32_t leaf = leaf_of(fold, microbatch);

    if (!is_folded(fold->params.graph, layer))
        return;
    round_layer(fold, &fold->leaves[leaf], layer);
    climb(fold, leaf, unit_of(fold, FOLD_LAYER, layer));
}

void fold_validation(struct fold *fold, uint32_t microbatch, const double *sums)
{
    uint32_t leaf = leaf_of(fold, microbatch), count = fold->params.metric_count;

    memcpy(&fold->validation[(size_t)leaf * count], sums, count * sizeof(*sums));
    climb(fold, leaf, unit_of(fold, FOLD_VALIDATION, 0));
}

static struct leaf *cover_leaf(const struct fold *fold, uint32_t cover)
{
    return &fold->leaves[fold->cover[cover].begin - fold->params.span_begin];
}

struct buffer *fold_gradients(const struct fold *fold, uint32_t cover)
{
    return cover_leaf(fold, cover)->arena->buffer;
}

void fold_release(struct fold *fold, uint32_t cover)
{
    struct leaf *leaf = cover_leaf(fold, cover);

    arenas_give(leaf->arena);
    leaf->arena = NULL;
}

const double *fold_sums(const struct fold *fold, uint32_t cover, enum fold_kind kind)
{
    size_t leaf = fold->cover[cover].begin - fold->params.span_begin;

    return &(kind == FOLD_METRICS ? fold->metrics : fold->validation)[leaf * fold->params.metric_count];
}
