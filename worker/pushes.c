/* The state of each chunk of each node, and for each node the range of chunks in which something may be due,
 * so that a step over a large model looks at each chunk a few times and not at all of them each time. */
#include "pushes.h"

#include <stdlib.h>
#include <string.h>

enum chunk_state { AWAITED, DUE, PUSHED };

struct cover_state {
    unsigned char *chunks; /* [chunk_count]: enum chunk_state */
    uint32_t low, high;    /* chunks that may be due: [low, high) */
    uint32_t left_to_push;
};

struct pushes {
    const struct graph *graph;
    uint32_t cover_count;
    uint32_t chunks_left;       /* of all nodes, to push in this step */
    uint32_t *nodes_pushed;     /* [chunk_count]: nodes whose chunk was pushed in this step */
    struct cover_state *covers; /* [cover_count] */
};

/* The state before a step's first layer. */
static void reset(struct pushes *pushes)
{
    uint32_t chunks = pushes->graph->chunk_count;

    memset(pushes->nodes_pushed, 0, chunks * sizeof(pushes->nodes_pushed[0]));
    for (uint32_t k = 0; k < pushes->cover_count; k++) {
        struct cover_state *cover = &pushes->covers[k];

        memset(cover->chunks, AWAITED, chunks * sizeof(cover->chunks[0]));
        cover->low = chunks;
        cover->high = 0;
        cover->left_to_push = chunks;
    }
    pushes->chunks_left = chunks * pushes->cover_count;
}

struct pushes *pushes_new(const struct graph *graph, uint32_t cover_count)
{
    struct pushes *pushes = calloc(1, sizeof(*pushes));

    if (!pushes)
        return NULL;
    pushes->graph = graph;
    pushes->nodes_pushed = calloc(graph->chunk_count, sizeof(pushes->nodes_pushed[0]));
    pushes->covers = calloc(cover_count, sizeof(*pushes->covers));
    if (!pushes->nodes_pushed || !pushes->covers)
        goto fail;
    pushes->cover_count = cover_count;
    for (uint32_t k = 0; k < cover_count; k++) {
        pushes->covers[k].chunks = calloc(graph->chunk_count, sizeof(pushes->covers[k].chunks[0]));
        if (!pushes->covers[k].chunks)
            goto fail;
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
        free(pushes->covers[k].chunks);
    free(pushes->covers);
    free(pushes->nodes_pushed);
    free(pushes);
}

void pushes_layer_done(struct pushes *pushes, uint32_t cover, uint32_t layer)
{
    struct cover_state *state = &pushes->covers[cover];
    uint32_t chunk, end;

    graph_layer_chunks(pushes->graph, layer, &chunk, &end);
    if (chunk < state->low)
        state->low = chunk;
    if (end > state->high)
        state->high = end;
    for (; chunk < end; chunk++) {
        BUG_IF(state->chunks[chunk] != AWAITED);
        state->chunks[chunk] = DUE;
    }
}

static void mark_pushed(struct pushes *pushes, struct cover_state *cover, uint32_t chunk)
{
    cover->chunks[chunk] = PUSHED;
    cover->left_to_push--;
    pushes->chunks_left--;
    pushes->nodes_pushed[chunk]++;
}

static bool subscribes(const struct pushes *pushes, uint32_t chunk)
{
    return pushes->nodes_pushed[chunk] + 1 == pushes->cover_count;
}

/* The first run of due chunks of one node that agree on whether to subscribe. */
static bool next_of(struct pushes *pushes, uint32_t k, struct due *due)
{
    struct cover_state *cover = &pushes->covers[k];
    uint32_t chunk = cover->low;

    while (chunk < cover->high && cover->chunks[chunk] != DUE)
        chunk++;
    if (chunk >= cover->high) {
        cover->low = pushes->graph->chunk_count;
        cover->high = 0;
        return false;
    }
    *due = (struct due){.cover = k, .first_chunk = chunk, .subscribe = subscribes(pushes, chunk)};
    while (chunk < cover->high && cover->chunks[chunk] == DUE && subscribes(pushes, chunk) == due->subscribe)
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
