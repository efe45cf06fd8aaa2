/* Weights and their layers' gates. The common case, that a layer is there, is one atomic load. A lane that
 * must sleep says so in the gate before it looks a last time, and the step thread looks at the gate after it
 * has published the version; both in sequentially consistent order, so one of the two sees the other. */
#include "weights.h"

#include "base/buffer.h"
#include "base/clock.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

struct gate {
    _Atomic uint64_t version_plus_one;
    atomic_uint sleepers;
    uint32_t first_chunk, chunk_count; /* that the layer's parameters lie in; count 0: it has none */
    uint32_t missing;                  /* chunks of the expected version: the owner's */
    pthread_cond_t came;
};

/* The layers that a chunk has floats of. */
struct readers {
    uint32_t first_layer, last_layer;
};

struct weights {
    const struct graph *graph;
    struct buffer *arena;
    uint64_t expected;
    uint32_t chunks_missing;
    bool *present;           /* [chunk_count]: has the expected version */
    struct readers *readers; /* [chunk_count] */
    struct gate *gates;      /* [layer_count] */
    uint32_t gates_made;
    atomic_bool closed;
    pthread_mutex_t mutex; /* of all gates' sleeping */
};

/* Which chunks a layer needs, and that layer among those that a chunk feeds. */
static void connect_layer(struct weights *weights, uint32_t layer)
{
    const struct graph *graph = weights->graph;
    uint64_t begin = graph->layers[layer].parameter_begin, end = graph->layers[layer].parameter_end;
    struct gate *gate = &weights->gates[layer];

    if (begin == end)
        return;
    gate->first_chunk = (uint32_t)(begin / graph->chunk_floats);
    gate->chunk_count = (uint32_t)((end - 1) / graph->chunk_floats) - gate->first_chunk + 1;
    for (uint32_t i = 0; i < gate->chunk_count; i++) {
        struct readers *readers = &weights->readers[gate->first_chunk + i];

        if (readers->first_layer == UINT32_MAX)
            readers->first_layer = layer;
        readers->last_layer = layer;
    }
}

static enum status connect_all(struct weights *weights, struct error *error)
{
    const struct graph *graph = weights->graph;

    for (uint32_t i = 0; i < graph->chunk_count; i++)
        weights->readers[i].first_layer = UINT32_MAX;
    for (uint32_t i = 0; i < graph->layer_count; i++) {
        pthread_cond_init(&weights->gates[i].came, NULL);
        weights->gates_made++;
        connect_layer(weights, i);
    }
    for (uint32_t i = 0; i < graph->chunk_count; i++) {
        if (weights->readers[i].first_layer == UINT32_MAX)
            return error_set(error, CAIRN_INVALID, "the model has no parameters to train");
    }
    return CAIRN_OK;
}

static bool weights_allocate(struct weights *weights)
{
    const struct graph *graph = weights->graph;

    weights->arena = buffer_new(graph->floats * sizeof(float));
    weights->present = calloc(graph->chunk_count, sizeof(*weights->present));
    weights->readers = calloc(graph->chunk_count, sizeof(*weights->readers));
    weights->gates = calloc(graph->layer_count, sizeof(*weights->gates));
    return weights->arena && weights->present && weights->readers && weights->gates;
}

enum status weights_new(const struct graph *graph, struct weights **out, struct error *error)
{
    struct weights *weights = calloc(1, sizeof(*weights));
    enum status status;

    if (!weights)
        return error_set(error, CAIRN_NO_MEMORY, "out of memory for the weights");
    weights->graph = graph;
    pthread_mutex_init(&weights->mutex, NULL);
    status = weights_allocate(weights) ? connect_all(weights, error)
                                       : error_set(error, CAIRN_NO_MEMORY, "out of memory for the weights");
    if (status != CAIRN_OK) {
        weights_free(weights);
        return status;
    }
    memset(weights->arena->data, 0, graph->floats * sizeof(float));
    *out = weights;
    return CAIRN_OK;
}

void weights_free(struct weights *weights)
{
    if (!weights)
        return;
    for (uint32_t i = 0; i < weights->gates_made; i++)
        pthread_cond_destroy(&weights->gates[i].came);
    pthread_mutex_destroy(&weights->mutex);
    buffer_unref(weights->arena);
    free(weights->present);
    free(weights->readers);
    free(weights->gates);
    free(weights);
}

void weights_expect(struct weights *weights, uint64_t version)
{
    const struct graph *graph = weights->graph;

    weights->expected = version;
    weights->chunks_missing = graph->chunk_count;
    memset(weights->present, 0, graph->chunk_count * sizeof(*weights->present));
    for (uint32_t i = 0; i < graph->layer_count; i++)
        weights->gates[i].missing = weights->gates[i].chunk_count;
}

/* Publishes the expected version of a layer. */
static void open_gate(struct weights *weights, struct gate *gate)
{
    atomic_store(&gate->version_plus_one, weights->expected + 1);
    if (atomic_load(&gate->sleepers) == 0)
        return;
    pthread_mutex_lock(&weights->mutex);
    pthread_cond_broadcast(&gate->came);
    pthread_mutex_unlock(&weights->mutex);
}

/* Layers between those of a chunk may have no parameters at all. */
static void count_chunk(struct weights *weights, uint32_t chunk)
{
    const struct readers *readers = &weights->readers[chunk];

    for (uint32_t layer = readers->first_layer; layer <= readers->last_layer; layer++) {
        struct gate *gate = &weights->gates[layer];

        if (gate->chunk_count > 0 && --gate->missing == 0)
            open_gate(weights, gate);
    }
}

enum status weights_store(struct weights *weights, uint32_t chunk, uint64_t version, const float *values,
                          size_t elements, struct error *error)
{
    uint64_t begin, end;

    if (chunk >= weights->graph->chunk_count || version != weights->expected)
        return error_set(error, CAIRN_PROTOCOL,
                         "a shard sent version %llu of chunk %u where version %llu of %u chunks is due",
                         (unsigned long long)version, chunk, (unsigned long long)weights->expected,
                         weights->graph->chunk_count);
    graph_chunk(weights->graph, chunk, &begin, &end);
    if (elements != end - begin)
        return error_set(error, CAIRN_PROTOCOL, "a shard sent %zu values of chunk %u, which has %llu",
                         elements, chunk, (unsigned long long)(end - begin));
    if (weights->present[chunk])
        return CAIRN_OK;
    memcpy((float *)weights->arena->data + begin, values, elements * sizeof(*values));
    weights->present[chunk] = true;
    weights->chunks_missing--;
    count_chunk(weights, chunk);
    return CAIRN_OK;
}

bool weights_complete(const struct weights *weights)
{
    return weights->chunks_missing == 0;
}

bool weights_holds(const struct weights *weights, uint32_t chunk, uint64_t version)
{
    return weights->present[chunk] ? weights->expected == version : weights->expected == version + 1;
}

static bool gate_is_open(struct weights *weights, struct gate *gate, uint64_t version)
{
    return atomic_load(&gate->version_plus_one) == version + 1 || atomic_load(&weights->closed);
}

bool weights_await(struct weights *weights, uint32_t layer, uint64_t version, uint64_t *waited_ns)
{
    struct gate *gate = &weights->gates[layer];
    uint64_t begin;

    if (gate->chunk_count == 0 || gate_is_open(weights, gate, version))
        return !atomic_load(&weights->closed);
    begin = clock_ns();
    pthread_mutex_lock(&weights->mutex);
    atomic_fetch_add(&gate->sleepers, 1);
    while (!gate_is_open(weights, gate, version))
        pthread_cond_wait(&gate->came, &weights->mutex);
    atomic_fetch_sub(&gate->sleepers, 1);
    pthread_mutex_unlock(&weights->mutex);
    *waited_ns += clock_ns() - begin;
    return !atomic_load(&weights->closed);
}

void weights_close(struct weights *weights)
{
    atomic_store(&weights->closed, true);
    pthread_mutex_lock(&weights->mutex);
    for (uint32_t i = 0; i < weights->graph->layer_count; i++)
        pthread_cond_broadcast(&weights->gates[i].came);
    pthread_mutex_unlock(&weights->mutex);
}

void weights_reopen(struct weights *weights)
{
    atomic_store(&weights->closed, false);
}

const float *weights_floats(const struct weights *weights)
{
    return weights->arena->data;
}
