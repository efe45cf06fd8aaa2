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

/* left += right, in the numbers of the table's codec. */
static void add(const struct dense_chunk *chunk, struct tree_node node, float *left, const float *right)
{
    const struct dense_params *params = &chunk->table->params;
    struct codec_node at;

    if (!params->codec) {
        sum_float32(left, right, chunk->floats);
        return;
    }
    at = codec_node_for(params->codec, params->seed, params->number, chunk->version, node);
    at.array = chunk->number;
    codec_fold(&at, left, right, chunk->floats);
}

static void *fold(void *context, struct tree_node node, void *left, void *right)
{
    const struct dense_chunk *chunk = context;

    if (left == &nothing)
        return right;
    if (right == &nothing)
        return left;
    add(chunk, node, ((struct buffer *)left)->data, ((struct buffer *)right)->data);
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

static void chunk_free(struct dense_chunk *chunk)
{
    if (!chunk)
        return;
    tree_free(chunk->tree);
    buffer_unref(chunk->current);
    buffer_unref(chunk->previous);
    buffer_unref(chunk->coded);
    buffer_unref(chunk->previous_coded);
    buffer_unref(chunk->sum);
    if (chunk->clocks)
        clocks_fini(chunk->clocks);
    free(chunk->clocks);
    update_queue_fini(&chunk->updates);
    for (uint32_t i = 0; i < OPTIMIZER_SLOTS_MAX; i++) {
        buffer_unref(chunk->slots[i]);
        buffer_unref(chunk->next_slots[i]);
    }
    free(chunk);
}

static struct dense_chunk *chunk_new(struct dense_table *table, uint32_t number, uint64_t version)
{
    const struct dense_params *params = &table->params;
    struct dense_chunk *chunk = calloc(1, sizeof(*chunk));
    uint64_t left;
    bool whole;

    if (!chunk)
        return NULL;
    chunk->table = table;
    chunk->number = number;
    chunk->begin = (uint64_t)number * params->chunk_floats;
    left = params->floats - chunk->begin;
    chunk->floats = left < params->chunk_floats ? (uint32_t)left : params->chunk_floats;
    chunk->version = chunk->first_version = version;
    chunk->link = chain_alone();
    chunk->tree = tree_new(params->microbatches, &tree_ops, chunk);
    chunk->current = filled_new(table, chunk, 0.0f);
    if (params->has_clocks)
        chunk->clocks = calloc(1, sizeof(*chunk->clocks));
    whole = chunk->tree && chunk->current && (chunk->clocks || !params->has_clocks);
    for (uint32_t i = 0; i < table->slot_count; i++) {
        chunk->slots[i] = filled_new(table, chunk, optimizer_slot_initial(table->params.optimizer, i));
        whole = whole && chunk->slots[i];
    }
    if (whole)
        return chunk;
    chunk_free(chunk);
    return NULL;
}

static bool rounds_make(struct dense_table *table, uint64_t version)
{
    const struct norm_params params = {.spec = table->params.optimizer,
                                       .graph = table->params.graph,
                                       .piece_count = table->params.chunk_count,
                                       .chunk_floats = table->params.chunk_floats,
                                       .apart = 1};

    if (!optimizer_spec_needs_norms(table->params.optimizer))
        return true;
    table->rounds = norm_rounds_new(&params, version);
    return table->rounds != NULL;
}

/* The pool of coded values, where there are any; false: out of memory. */
static bool coded_make(struct dense_table *table)
{
    const struct codec_spec *codec = table->params.codec;

    if (codec && codec_carries_values(codec->type))
        table->coded_pool = buffer_pool_new(codec_size_max(codec, table->params.chunk_floats));
    return !codec || !codec_carries_values(codec->type) || table->coded_pool;
}

enum status dense_table_new(const struct dense_params *params, const uint32_t *numbers, uint32_t count,
                            uint64_t version, struct dense_table **out, struct error *error)
{
    struct dense_table *table = calloc(1, sizeof(*table));
    bool whole;

    if (!table)
        return error_set(error, CAIRN_NO_MEMORY, "out of memory for a table");
    table->params = *params;
    if (params->codec && params->codec->type == CODEC_FLOAT32)
        table->params.codec = NULL;
    table->slot_count = optimizer_spec_slot_count(params->optimizer);
    table->pool = buffer_pool_new((size_t)params->chunk_floats * sizeof(float));
    table->index = calloc(params->chunk_count, sizeof(struct dense_chunk *));
    table->chunks = calloc(params->chunk_count, sizeof(struct dense_chunk *));
    whole = table->pool && table->index && table->chunks && coded_make(table) && rounds_make(table, version);
    for (uint32_t i = 0; whole && i < count; i++) {
        struct dense_chunk *chunk;

        whole = dense_chunk_add(table, numbers[i], version, &chunk, error) == CAIRN_OK;
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
        chunk_free(table->chunks[i]);
    norm_rounds_free(table->rounds);
    free(table->chunks);
    free(table->index);
    buffer_pool_free(table->pool);
    buffer_pool_free(table->coded_pool);
    free(table);
}

enum status dense_chunk_add(struct dense_table *table, uint32_t number, uint64_t version,
                            struct dense_chunk **out, struct error *error)
{
    struct dense_chunk *chunk = chunk_new(table, number, version);
    uint32_t at = table->chunk_count;

    if (!chunk)
        return error_set(error, CAIRN_NO_MEMORY, "out of memory for chunk %u of table %u", number,
                         table->params.number);
    for (; at > 0 && table->chunks[at - 1]->number > number; at--)
        table->chunks[at] = table->chunks[at - 1];
    table->chunks[at] = table->index[number] = *out = chunk;
    table->chunk_count++;
    dense_places_changed(table);
    return CAIRN_OK;
}

/* How many of a chunk's arrays somebody else holds too: a generation, a message on its way. */
static unsigned int count_shared(const struct dense_chunk *chunk)
{
    unsigned int count = !buffer_is_exclusive(chunk->current);

    count += chunk->previous && !buffer_is_exclusive(chunk->previous);
    for (uint32_t i = 0; i < chunk->table->slot_count; i++)
        count += !buffer_is_exclusive(chunk->slots[i]);
    return count;
}

void dense_chunk_remove(struct dense_table *table, struct dense_chunk *chunk)
{
    unsigned int shared = count_shared(chunk);
    uint32_t at = 0;

    while (table->chunks[at] != chunk)
        at++;
    table->chunk_count--;
    for (; at < table->chunk_count; at++)
        table->chunks[at] = table->chunks[at + 1];
    table->index[chunk->number] = NULL;
    dense_places_changed(table);
    chunk_free(chunk);
    buffer_pool_trim(table->pool, shared);
    if (table->coded_pool)
        buffer_pool_trim(table->coded_pool, 0);
}

/* ---- use */

struct dense_chunk *dense_find(struct dense_table *table, uint32_t number)
{
    return number < table->params.chunk_count ? table->index[number] : NULL;
}

struct buffer *dense_version(const struct dense_chunk *chunk, uint64_t version)
{
    if (version == chunk->version)
        return chunk->current;
    return version + 1 == chunk->version ? chunk->previous : NULL;
}

static struct buffer *encoded_new(const struct dense_chunk *chunk, const struct buffer *values)
{
    struct buffer *bytes = buffer_pool_get(chunk->table->coded_pool);

    if (bytes)
        bytes->length_bytes =
            codec_encode(chunk->table->params.codec, values->data, chunk->floats, bytes->data);
    return bytes;
}

enum status dense_version_coded(struct dense_chunk *chunk, uint64_t version, struct buffer **out,
                                struct error *error)
{
    struct buffer **coded = version == chunk->version ? &chunk->coded : &chunk->previous_coded;

    if (!*coded)
        *coded = encoded_new(chunk, dense_version(chunk, version));
    if (!*coded)
        return error_set(error, CAIRN_NO_MEMORY, "out of memory for the bytes of chunk %u", chunk->number);
    *out = *coded;
    return CAIRN_OK;
}

enum status dense_decode(const struct dense_chunk *chunk, const struct buffer *bytes, struct buffer **out,
                         struct error *error)
{
    struct buffer *values = array_new(chunk->table, chunk);
    enum status status;

    if (!values)
        return error_set(error, CAIRN_NO_MEMORY, "out of memory for gradients of chunk %u", chunk->number);
    status = codec_decode(chunk->table->params.codec, bytes->data, bytes->length_bytes, values->data,
                          chunk->floats, error);
    if (status != CAIRN_OK) {
        buffer_unref(values);
        return error_prefix(error, status, "chunk %u", chunk->number);
    }
    *out = values;
    return CAIRN_OK;
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

void dense_take_sum(struct dense_chunk *chunk, struct buffer *sum, uint64_t samples)
{
    if (chunk->is_summed) {
        buffer_unref(sum);
        return;
    }
    tree_clear(chunk->tree);
    chunk->sum = sum;
    chunk->sum_samples = samples;
    chunk->is_summed = true;
}

/* Fills one of the chunk's arrays, which need not be there yet; false: out of memory. */
static bool array_copy(struct dense_chunk *chunk, struct buffer **array, const struct buffer *from)
{
    if (!*array || !buffer_is_exclusive(*array)) {
        buffer_unref(*array);
        *array = array_new(chunk->table, chunk);
    }
    if (*array)
        memcpy((*array)->data, from->data, chunk_bytes(chunk));
    return *array != NULL;
}

enum status dense_restore(struct dense_chunk *chunk, const struct dense_state *state, struct error *error)
{
    bool whole = array_copy(chunk, &chunk->current, state->current);

    chunk->version = chunk->first_version = state->version;
    if (state->previous) {
        whole = array_copy(chunk, &chunk->previous, state->previous) && whole;
    } else {
        buffer_unref(chunk->previous);
        chunk->previous = NULL;
    }
    for (uint32_t i = 0; i < chunk->table->slot_count; i++)
        whole = array_copy(chunk, &chunk->slots[i], state->slots[i]) && whole;
    if (!whole)
        return error_set(error, CAIRN_NO_MEMORY, "out of memory for a copy of chunk %u", chunk->number);
    return CAIRN_OK;
}

/* A slot array that may be written: what lamb has made, else the one that is there when nobody else holds it,
 * else a fresh one. */
static struct buffer *slot_next(struct dense_table *table, struct dense_chunk *chunk, uint32_t slot)
{
    if (chunk->next_slots[slot])
        return chunk->next_slots[slot];
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

/* The update of a segment of a chunk. next may be NULL. */
static struct optimizer_update update_of(const struct dense_table *table, const struct dense_chunk *chunk,
                                         const struct norms_segment *segment, const struct buffer *next,
                                         struct buffer *const slots[OPTIMIZER_SLOTS_MAX])
{
    size_t offset = segment->begin - chunk->begin;
    struct optimizer_update update = {
        .sums = (float *)chunk->sum->data + offset,
        .samples = chunk->sum_samples ? (float)chunk->sum_samples : 1.0f,
        .scale = table->rounds ? norm_rounds_scale(table->rounds, segment->parameter) : 1.0f,
        .trust = table->rounds ? norm_rounds_trust(table->rounds, segment->parameter) : 1.0f,
        .weights = (float *)chunk->current->data + offset,
        .next_weights = next ? (float *)next->data + offset : NULL,
        .count = segment->end - segment->begin,
    };

    for (uint32_t i = 0; i < table->slot_count; i++) {
        update.slots[i] = (float *)chunk->slots[i]->data + offset;
        update.next_slots[i] = (float *)slots[i]->data + offset;
    }
    return update;
}

/* The next part of a chunk that is updated alike; segment->end begins at chunk->begin. */
static bool next_segment(const struct dense_table *table, const struct dense_chunk *chunk,
                         struct norms_segment *segment)
{
    uint64_t end = chunk->begin + chunk->floats;

    if (table->rounds)
        return norm_rounds_segment(table->rounds, end, segment);
    segment->begin = segment->end;
    segment->end = end;
    return segment->begin < end;
}

/* lamb's second phase reads the slots that its first has written. */
static void apply(struct dense_table *table, const struct dense_chunk *chunk, struct buffer *next,
                  struct buffer *const slots[OPTIMIZER_SLOTS_MAX])
{
    struct norms_segment segment = {0, 0, chunk->begin};

    while (next_segment(table, chunk, &segment)) {
        struct optimizer_update update = update_of(table, chunk, &segment, next, slots);

        if (chunk->next_slots[0])
            memcpy(update.slots, update.next_slots, sizeof(update.slots));
        optimizer_apply(step_of(table, chunk->version + 1), &update);
    }
}

/* ---- norms: who is a head gives parts; who is not makes lamb's slots all the same, or it would have to
 * after the last part has come */

static void measure_gradients(struct dense_table *table, const struct dense_chunk *chunk)
{
    struct norms_segment segment = {0, 0, chunk->begin};
    float samples = chunk->sum_samples ? (float)chunk->sum_samples : 1.0f;

    while (chunk->sum && next_segment(table, chunk, &segment)) {
        const float *sums = (float *)chunk->sum->data + (segment.begin - chunk->begin);

        norm_rounds_add_gradient(table->rounds, segment.parameter,
                                 norms_gradient_squares(sums, samples, segment.end - segment.begin));
    }
}

/* Fresh slots for what measuring makes: those that are there may be captured for a generation until the
 * update. */
static bool next_slots_make(struct dense_table *table, struct dense_chunk *chunk)
{
    for (uint32_t i = 0; chunk->sum && i < table->slot_count; i++) {
        if (!chunk->next_slots[i])
            chunk->next_slots[i] = array_new(table, chunk);
        if (!chunk->next_slots[i])
            return false;
    }
    return true;
}

/* gives: the part of the round at hand has begun. */
static void measure_trust(struct dense_table *table, struct dense_chunk *chunk, bool gives)
{
    struct norms_segment segment = {0, 0, chunk->begin};

    while (chunk->sum && next_segment(table, chunk, &segment)) {
        struct optimizer_update update = update_of(table, chunk, &segment, NULL, chunk->next_slots);
        struct optimizer_squares squares;

        optimizer_measure(step_of(table, chunk->version + 1), &update, &squares);
        if (gives)
            norm_rounds_add_trust(table->rounds, segment.parameter, &squares);
    }
    chunk->has_next_slots = true;
}

/* Whether a chunk's part of the round at hand is to be given here, once its sum is whole. */
static bool owes_part(const struct dense_table *table, const struct dense_chunk *chunk)
{
    return chain_serves(&chunk->link) && norm_rounds_is_at(table->rounds, chunk->version) &&
           !exchange_has_given(norm_rounds_exchange(table->rounds), chunk->number);
}

static enum status no_slots(const struct dense_chunk *chunk, struct error *error)
{
    return error_set(error, CAIRN_NO_MEMORY, "out of memory for optimizer slots of chunk %u", chunk->number);
}

enum status dense_measure(struct dense_table *table, struct dense_chunk *chunk, struct error *error)
{
    bool gives, is_trust = norm_rounds_is_trust(table->rounds);

    if (!chunk->is_summed || !norm_rounds_is_at(table->rounds, chunk->version))
        return CAIRN_OK;
    gives = owes_part(table, chunk);
    if (!gives && (!is_trust || chunk->has_next_slots))
        return CAIRN_OK;
    if (is_trust && !next_slots_make(table, chunk))
        return no_slots(chunk, error);
    if (gives)
        norm_rounds_begin(table->rounds, chunk->number);
    if (is_trust)
        measure_trust(table, chunk, gives);
    else
        measure_gradients(table, chunk);
    if (gives)
        norm_rounds_give(table->rounds);
    return CAIRN_OK;
}

bool dense_owes_parts(struct dense_table *table)
{
    uint64_t number = exchange_number(norm_rounds_exchange(table->rounds));

    if (table->measured_number != number)
        table->measured_chunks = 0;
    table->measured_number = number;
    while (table->measured_chunks < table->chunk_count &&
           !owes_part(table, table->chunks[table->measured_chunks]))
        table->measured_chunks++;
    return table->measured_chunks < table->chunk_count;
}

bool dense_awaits_parts(struct dense_table *table)
{
    if (dense_owes_parts(table))
        return false;
    for (uint32_t i = 0; i < table->chunk_count; i++) {
        const struct dense_chunk *chunk = table->chunks[i];

        if (chunk->is_summed && norm_rounds_is_at(table->rounds, chunk->version))
            return true;
    }
    return false;
}

void dense_places_changed(struct dense_table *table)
{
    table->measured_chunks = 0;
}

bool dense_is_due(const struct dense_table *table, const struct dense_chunk *chunk)
{
    return chunk->is_summed && (!table->rounds || norm_rounds_ready(table->rounds, chunk->version));
}

/* ---- update */

/* Makes `next` the current version. Takes it. */
static void move_on(struct dense_chunk *chunk, struct buffer *next)
{
    buffer_unref(chunk->sum);
    chunk->sum = NULL;
    chunk->is_summed = false;
    chunk->has_next_slots = false;
    buffer_unref(chunk->previous);
    buffer_unref(chunk->previous_coded);
    chunk->previous = chunk->current;
    chunk->previous_coded = chunk->coded;
    chunk->current = next;
    chunk->coded = NULL;
    chunk->version++;
}

enum status dense_update(struct dense_table *table, struct dense_chunk *chunk, struct error *error)
{
    struct buffer *next, *slots[OPTIMIZER_SLOTS_MAX] = {NULL};

    if (!chunk->sum) {
        move_on(chunk, buffer_ref(chunk->current));
        return CAIRN_OK;
    }
    if (table->params.optimizer->type == OPTIMIZER_LAMB && !chunk->has_next_slots) {
        if (!next_slots_make(table, chunk))
            return no_slots(chunk, error);
        measure_trust(table, chunk, false);
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
        chunk->next_slots[i] = NULL;
    }
    move_on(chunk, next);
    return CAIRN_OK;
}

enum status dense_apply(struct dense_chunk *chunk, struct buffer *gradients, uint64_t samples, double divisor,
                        struct error *error)
{
    struct dense_table *table = chunk->table;
    enum status status;

    BUG_IF(chunk->is_summed || table->rounds);
    if (samples == 0) {
        buffer_unref(gradients);
        gradients = NULL;
    }
    chunk->sum = gradients;
    chunk->sum_samples = samples;
    chunk->is_summed = true;
    optimizer_prepare_damped(table->params.optimizer, chunk->version + 1, divisor, &table->optimizer_step);
    table->prepared = chunk->version + 1;
    status = dense_update(table, chunk, error);
    table->prepared = 0; /* damped for this one */
    if (status == CAIRN_OK)
        return status;
    buffer_unref(gradients);
    chunk->sum = NULL;
    chunk->is_summed = false;
    return status;
}
