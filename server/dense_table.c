/* Sums, versions and optimizer state of dense chunks. */
#include "dense_table.h"

#include "sums.h"

#include <stdlib.h>
#include <string.h>

/* ---- the tree's payloads are buffers, or this for a node without gradients */

static char nothing;

static void drop(void *context, void *payload)
{
    (void)context;
    if (payload != &nothing)
        buffer_unref(payload);
}

static void *fold(void *context, void *left, void *right)
{
    const struct dense_chunk *chunk = context;

    if (left == &nothing)
        return right;
    if (right == &nothing)
        return left;
    sum_float32(((struct buffer *)left)->data, ((struct buffer *)right)->data, chunk->floats);
    buffer_unref(right);
    return left;
}

static const struct tree_ops tree_ops = {fold, drop};

/* ---- life */

static size_t chunk_bytes(const struct dense_chunk *chunk)
{
    return (size_t)chunk->floats * sizeof(float);
}

static struct buffer *array_new(struct dense_table *table, const struct dense_chunk *chunk)
{
    struct buffer *array = buffer_pool_get(table->pool);

    if (array)
        array->length_bytes = chunk_bytes(chunk);
    return array;
}

static struct buffer *filled_new(struct dense_table *table, const struct dense_chunk *chunk, float value)
{
    struct buffer *array = array_new(table, chunk);
    float *values = array ? array->data : NULL;

    for (uint32_t i = 0; array && i < chunk->floats; i++)
        values[i] = value;
    return array;
}

static bool chunk_init(struct dense_table *table, struct dense_chunk *chunk, uint32_t number,
                       uint64_t version)
{
    const struct dense_params *params = &table->params;
    uint64_t left;
    bool whole;

    chunk->number = number;
    chunk->begin = (uint64_t)number * params->chunk_floats;
    left = params->floats - chunk->begin;
    chunk->floats = left < params->chunk_floats ? (uint32_t)left : params->chunk_floats;
    chunk->version = version;
    chunk->tree = tree_new(params->microbatches, &tree_ops, chunk);
    chunk->current = filled_new(table, chunk, 0.0f);
    whole = chunk->tree && chunk->current;
    for (uint32_t i = 0; i < table->slot_count; i++) {
        chunk->slots[i] = filled_new(table, chunk, optimizer_slot_initial(table->params.optimizer, i));
        whole = whole && chunk->slots[i];
    }
    return whole;
}

static void chunk_fini(struct dense_chunk *chunk)
{
    tree_free(chunk->tree);
    buffer_unref(chunk->current);
    buffer_unref(chunk->previous);
    buffer_unref(chunk->sum);
    for (uint32_t i = 0; i < OPTIMIZER_SLOTS_MAX; i++)
        buffer_unref(chunk->slots[i]);
}

enum status dense_table_new(const struct dense_params *params, const uint32_t *numbers, uint32_t count,
                            uint64_t version, struct dense_table **out, struct error *error)
{
    struct dense_table *table;
    bool whole;

    if (optimizer_spec_needs_norms(params->optimizer))
        return error_set(error, CAIRN_UNSUPPORTED, "%s with norms over whole parameters is not supported yet",
                         optimizer_type_name(params->optimizer->type));
    table = calloc(1, sizeof(*table));
    if (!table)
        return error_set(error, CAIRN_NO_MEMORY, "out of memory for a table");
    table->params = *params;
    table->slot_count = optimizer_slot_count(params->optimizer);
    table->pool = buffer_pool_new((size_t)params->chunk_floats * sizeof(float));
    table->index = calloc(params->chunk_count, sizeof(table->index[0]));
    table->chunks = calloc(count ? count : 1, sizeof(table->chunks[0]));
    whole = table->pool && table->index && table->chunks;
    for (; whole && table->chunk_count < count; table->chunk_count++) {
        whole = chunk_init(table, &table->chunks[table->chunk_count], numbers[table->chunk_count], version);
        table->index[numbers[table->chunk_count]] = table->chunk_count + 1;
    }
    if (!whole) {
        dense_table_free(table);
        return error_set(error, CAIRN_NO_MEMORY, "out of memory for %u chunks of %zu bytes", count,
                         (size_t)params->chunk_floats * sizeof(float));
    }
    *out = table;
    return CAIRN_OK;
}

void dense_table_free(struct dense_table *table)
{
    if (!table)
        return;
    for (uint32_t i = 0; i < table->chunk_count; i++)
        chunk_fini(&table->chunks[i]);
    free(table->chunks);
    free(table->index);
    buffer_pool_free(table->pool);
    free(table);
}

/* ---- use */

struct dense_chunk *dense_find(struct dense_table *table, uint32_t number)
{
    uint32_t position = number < table->params.chunk_count ? table->index[number] : 0;

    return position ? &table->chunks[position - 1] : NULL;
}

struct buffer *dense_version(const struct dense_chunk *chunk, uint64_t version)
{
    if (version == chunk->version)
        return chunk->current;
    return version + 1 == chunk->version ? chunk->previous : NULL;
}

bool dense_push(struct dense_chunk *chunk, struct tree_node node, struct buffer *gradients, uint64_t samples)
{
    void *payload = gradients ? (void *)gradients : &nothing;

    if (chunk->is_summed) {
        buffer_unref(gradients);
        return false;
    }
    if (tree_add(chunk->tree, node, payload, samples) != TREE_ROOT)
        return false;
    payload = tree_take_root(chunk->tree, &chunk->sum_samples);
    chunk->sum = payload == &nothing ? NULL : payload;
    chunk->is_summed = true;
    return true;
}

/* A slot array that may be written: the one that is there when nobody else holds it, else a fresh one. */
static struct buffer *slot_next(struct dense_table *table, struct dense_chunk *chunk, uint32_t slot)
{
    if (buffer_is_exclusive(chunk->slots[slot]))
        return buffer_ref(chunk->slots[slot]);
    return array_new(table, chunk);
}

/* The next version's slots; false: out of memory, and none are held. */
static bool slots_next(struct dense_table *table, struct dense_chunk *chunk,
                       struct buffer *slots[OPTIMIZER_SLOTS_MAX])
{
    for (uint32_t i = 0; i < table->slot_count; i++) {
        slots[i] = slot_next(table, chunk, i);
        if (slots[i])
            continue;
        while (i > 0)
            buffer_unref(slots[--i]);
        return false;
    }
    return true;
}

/* The step of update `number`, made once for all chunks. */
static const struct optimizer_step *step_of(struct dense_table *table, uint64_t number)
{
    if (table->prepared != number)
        optimizer_prepare(table->params.optimizer, number, &table->optimizer_step);
    table->prepared = number;
    return &table->optimizer_step;
}

static void apply(struct dense_table *table, const struct dense_chunk *chunk, struct buffer *next,
                  struct buffer *const slots[OPTIMIZER_SLOTS_MAX])
{
    struct optimizer_update update = {
        .sums = chunk->sum->data,
        .samples = chunk->sum_samples ? (float)chunk->sum_samples : 1.0f,
        .scale = 1.0f,
        .weights = chunk->current->data,
        .next_weights = next->data,
        .count = chunk->floats,
    };

    for (uint32_t i = 0; i < table->slot_count; i++) {
        update.slots[i] = chunk->slots[i]->data;
        update.next_slots[i] = slots[i]->data;
    }
    optimizer_apply(step_of(table, chunk->version + 1), &update);
}

/* Makes `next` the current version. Takes it. */
static void move_on(struct dense_chunk *chunk, struct buffer *next)
{
    buffer_unref(chunk->sum);
    chunk->sum = NULL;
    chunk->is_summed = false;
    buffer_unref(chunk->previous);
    chunk->previous = chunk->current;
    chunk->current = next;
    chunk->version++;
}

enum status dense_update(struct dense_table *table, struct dense_chunk *chunk, struct error *error)
{
    struct buffer *next, *slots[OPTIMIZER_SLOTS_MAX] = {NULL};

    if (!chunk->sum) {
        move_on(chunk, buffer_ref(chunk->current));
        return CAIRN_OK;
    }
    next = array_new(table, chunk);
    if (!next || !slots_next(table, chunk, slots)) {
        buffer_unref(next);
        return error_set(error, CAIRN_NO_MEMORY, "out of memory for version %llu of chunk %u",
                         (unsigned long long)chunk->version + 1, chunk->number);
    }
    apply(table, chunk, next, slots);
    for (uint32_t i = 0; i < table->slot_count; i++) {
        buffer_unref(chunk->slots[i]);
        chunk->slots[i] = slots[i];
    }
    move_on(chunk, next);
    return CAIRN_OK;
}
