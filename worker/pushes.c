/* Counters a node and chunk, and for each node the range of chunks in which something may be due, so that a
 * step over a large model looks at each chunk a few times and not at all of them each time. */
#include "pushes.h"

#include <stdlib.h>

struct chunk_state {
    uint32_t layers; /* that have floats in it */
    uint32_t covers; /* nodes whose chunk was pushed in this step */
};

struct cover_state {
    uint32_t *missing;  /* [chunk_count]: layers not complete yet; DUE, PUSHED */
    uint32_t low, high; /* chunks that may be due: [low, high) */
    uint32_t left_to_push;
};

#define DUE    0u
#define PUSHED UINT32_MAX

struct pushes {
    const struct graph *graph;
    uint32_t cover_count;
    uint32_t chunks_left;       /* of all nodes, to push in this step */
    bool begun;                 /* some layer of this step is complete */
    struct chunk_state *chunks; /* [chunk_count] */
    struct cover_state *covers; /* [cover_count] */
};

static void layer_chunks(const struct graph *graph, uint32_t layer, uint32_t *first, uint32_t *end)
{
    const struct graph_layer *of = &graph->layers[layer];

    *first = *end = (uint32_t)(of->parameter_begin / graph->chunk_floats);
    if (of->parameter_begin < of->parameter_end)
        *end = (uint32_t)((of->parameter_end - 1) / graph->chunk_floats) + 1;
}

/* The state before a step's first layer. */
static void reset(struct pushes *pushes)
{
    uint32_t chunks = pushes->graph->chunk_count;

    for (uint32_t i = 0; i < chunks; i++)
        pushes->chunks[i].covers = 0;
    for (uint32_t k = 0; k < pushes->cover_count; k++) {
        struct cover_state *cover = &pushes->covers[k];

        for (uint32_t i = 0; i < chunks; i++)
            cover->missing[i] = pushes->chunks[i].layers;
        cover->low = chunks;
        cover->high = 0;
        cover->left_to_push = chunks;
    }
    pushes->chunks_left = chunks * pushes->cover_count;
    pushes->begun = false;
}

struct pushes *pushes_new(const struct graph *graph, uint32_t cover_count)
{
    struct pushes *pushes = calloc(1, sizeof(*pushes));

    if (!pushes)
        return NULL;
    pushes->graph = graph;
    pushes->chunks = calloc(graph->chunk_count, sizeof(*pushes->chunks));
    pushes->covers = calloc(cover_count, sizeof(*pushes->covers));
    if (!pushes->chunks || !pushes->covers)
        goto fail;
    pushes->cover_count = cover_count;
    for (uint32_t k = 0; k < cover_count; k++) {
        pushes->covers[k].missing = calloc(graph->chunk_count, sizeof(*pushes->covers[k].missing));
        if (!pushes->covers[k].missing)
            goto fail;
    }
    for (uint32_t layer = 0; layer < graph->layer_count; layer++) {
        uint32_t chunk, end;

        for (layer_chunks(graph, layer, &chunk, &end); chunk < end; chunk++)
            pushes->chunks[chunk].layers++;
    }
    reset(pushes);
    return pushes;
fail:
    pushes_free(pushes);
    return NULL;
}

void pushes_free(struct pushes *pushes)
{
    if (!pushes)
        return;
    for (uint32_t k = 0; k < pushes->cover_count; k++)
        free(pushes->covers[k].missing);
    free(pushes->covers);
    free(pushes->chunks);
    free(pushes);
}

void pushes_layer_done(struct pushes *pushes, uint32_t cover, uint32_t layer)
{
    struct cover_state *state = &pushes->covers[cover];
    uint32_t chunk, end;

    pushes->begun = true;
    layer_chunks(pushes->graph, layer, &chunk, &end);
    if (chunk < state->low)
        state->low = chunk;
    if (end > state->high)
        state->high = end;
    for (; chunk < end; chunk++) {
        BUG_IF(state->missing[chunk] == DUE || state->missing[chunk] == PUSHED);
        state->missing[chunk]--;
    }
}

static void mark_pushed(struct pushes *pushes, struct cover_state *cover, uint32_t chunk)
{
    cover->missing[chunk] = PUSHED;
    cover->left_to_push--;
    pushes->chunks_left--;
    pushes->chunks[chunk].covers++;
}

static bool subscribes(const struct pushes *pushes, uint32_t chunk)
{
    return pushes->chunks[chunk].covers + 1 == pushes->cover_count;
}

/* The first run of due chunks of one node that agree on whether to subscribe. */
static bool next_of(struct pushes *pushes, uint32_t k, struct due *due)
{
    struct cover_state *cover = &pushes->covers[k];
    uint32_t chunk = cover->low;

    while (chunk < cover->high && cover->missing[chunk] != DUE)
        chunk++;
    if (chunk >= cover->high) {
        cover->low = pushes->graph->chunk_count;
        cover->high = 0;
        return false;
    }
    *due = (struct due){.cover = k, .first_chunk = chunk, .subscribe = subscribes(pushes, chunk)};
    while (chunk < cover->high && cover->missing[chunk] == DUE && subscribes(pushes, chunk) == due->subscribe)
        mark_pushed(pushes, cover, chunk++);
    due->chunk_count = chunk - due->first_chunk;
    due->last = cover->left_to_push == 0;
    cover->low = chunk;
    return true;
}

bool pushes_next(struct pushes *pushes, struct due *due)
{
    for (uint32_t k = 0; k < pushes->cover_count; k++) {
        if (!next_of(pushes, k, due))
            continue;
        if (pushes->chunks_left == 0)
            reset(pushes);
        return true;
    }
    return false;
}

bool pushes_idle(const struct pushes *pushes)
{
    return !pushes->begun;
}
