/* Encoding what is pushed, decoding what comes, and keeping what was not sent. */
#include "session_codec.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* ---- life */

enum status session_codec_open(struct session_codec *codec)
{
    if (!session_codec_is_lossy(codec) || codec->elements == 0)
        return CAIRN_OK;
    codec->pool = buffer_pool_new(codec_size_max(&codec->spec, codec->chunk_elements));
    return codec->pool ? CAIRN_OK : CAIRN_NO_MEMORY;
}

void session_codec_close(struct session_codec *codec)
{
    for (uint32_t i = 0; i < codec->residual_count; i++) {
        free(codec->residuals[i].values);
        free(codec->residuals[i].next_step);
    }
    free(codec->residuals);
    buffer_pool_free(codec->pool);
}

enum data_type session_codec_gradient_type(const struct session_codec *codec, uint64_t step)
{
    return session_codec_is_lossy(codec) && !codec_sends_all(&codec->spec, step) ? DATA_CODED : DATA_FLOAT32;
}

enum data_type session_codec_value_type(const struct session_codec *codec)
{
    return codec_carries_values(codec->spec.type) ? DATA_CODED : DATA_FLOAT32;
}

/* ---- residuals */

/* Whether no residual comes into a step: it is the first, or the one before sent all. */
static bool begins_at_zero(const struct session_codec *codec, uint64_t step)
{
    return step == 0 || codec_sends_all(&codec->spec, step - 1);
}

/* Whether a chunk's residual is that of a step. What sends all leaves it, and may be sent again. */
static bool is_for_step(const struct session_codec *codec, uint32_t leaf, uint32_t chunk, uint64_t step)
{
    uint64_t next_step;

    if (begins_at_zero(codec, step))
        return true;
    if (leaf >= codec->residual_count || !codec->residuals[leaf].values)
        return false;
    next_step = codec->residuals[leaf].next_step[chunk];
    return next_step == step || (next_step == step + 1 && codec_sends_all(&codec->spec, step));
}

static enum status residuals_check(const struct session_codec *codec, const struct session_codec_push *push,
                                   struct error *error)
{
    for (uint32_t i = 0; i < push->chunk_count; i++) {
        if (is_for_step(codec, push->node.begin, push->first_chunk + i, push->step))
            continue;
        return error_set(
            error, CAIRN_INVALID,
            "session: what microbatch %u of table %u did not send before step %" PRIu64
            " is not known here: a %s table may be pushed from another session only after a step "
            "that sends all, which is one in %" PRIu64,
            push->node.begin, codec->number, push->step, codec_name(codec->spec.type), codec->spec.boundary);
    }
    return CAIRN_OK;
}

static enum status residuals_grow(struct session_codec *codec, uint32_t count)
{
    struct residual *residuals = realloc(codec->residuals, count * sizeof(*residuals));

    if (!residuals)
        return CAIRN_NO_MEMORY;
    memset(residuals + codec->residual_count, 0, (count - codec->residual_count) * sizeof(*residuals));
    codec->residuals = residuals;
    codec->residual_count = count;
    return CAIRN_OK;
}

/* A microbatch's residuals, made when there are none yet; NULL: out of memory. */
static struct residual *residual_of(struct session_codec *codec, uint32_t leaf)
{
    struct residual *residual;

    if (leaf >= codec->residual_count && residuals_grow(codec, leaf + 1) != CAIRN_OK)
        return NULL;
    residual = &codec->residuals[leaf];
    if (!residual->values)
        residual->values = calloc(codec->elements, sizeof(residual->values[0]));
    if (!residual->next_step)
        residual->next_step = calloc(codec->chunk_count, sizeof(residual->next_step[0]));
    return residual->values && residual->next_step ? residual : NULL;
}

/* ---- encoding */

static bool is_leaf(struct tree_node node)
{
    return node.end - node.begin == 1;
}

enum status session_codec_check(const struct session_codec *codec, const struct session_codec_push *push,
                                struct error *error)
{
    bool has_residuals = codec->spec.type == CODEC_TOP_K;

    if (!session_codec_is_lossy(codec) || (!push->has_values && !has_residuals))
        return CAIRN_OK;
    if (push->is_rounded && !has_residuals)
        return CAIRN_OK;
    if (push->is_rounded)
        return error_set(error, CAIRN_INVALID,
                         "session: table %u travels as %s: what was rounded before cannot be pushed, as what "
                         "that left is not known here",
                         codec->number, codec_name(codec->spec.type));
    if (!is_leaf(push->node))
        return error_set(
            error, CAIRN_INVALID,
            "session: table %u travels as %s: its microbatches are pushed one by one, not [%u, %u)",
            codec->number, codec_name(codec->spec.type), push->node.begin, push->node.end);
    return has_residuals ? residuals_check(codec, push, error) : CAIRN_OK;
}

static size_t chunk_floats(const struct session_codec *codec, uint32_t chunk)
{
    uint64_t left = codec->elements - (uint64_t)chunk * codec->chunk_elements;

    return left < codec->chunk_elements ? left : codec->chunk_elements;
}

static struct codec_node node_of(const struct session_codec *codec, const struct session_codec_push *push)
{
    return codec_node_for(&codec->spec, codec->seed, codec->number, push->step, push->node);
}

/* Where a chunk's residual lies, as it comes into the step; it is the next one's from now on. Errors:
 * CAIRN_NO_MEMORY. */
static enum status residual_take(struct session_codec *codec, const struct session_codec_push *push,
                                 uint32_t chunk, float **values)
{
    struct residual *residual = residual_of(codec, push->node.begin);

    if (!residual)
        return CAIRN_NO_MEMORY;
    *values = residual->values + (uint64_t)chunk * codec->chunk_elements;
    if (begins_at_zero(codec, push->step))
        memset(*values, 0, chunk_floats(codec, chunk) * sizeof(float));
    residual->next_step[chunk] = push->step + 1;
    return CAIRN_OK;
}

/* The sum of both, either of which may be missing. Returns its bytes. */
static size_t write_sum(const float *values, const float *residual, size_t count, float *sum)
{
    static const struct codec_spec float32 = {.type = CODEC_FLOAT32};
    const struct codec_node node = {.spec = &float32};

    memcpy(sum, values ? values : residual, count * sizeof(float));
    if (values && residual)
        codec_fold(&node, sum, residual, count);
    return count * sizeof(float);
}

enum status session_codec_encode(struct session_codec *codec, const struct session_codec_push *push,
                                 uint32_t chunk, const float *values, struct buffer **bytes)
{
    bool sends_all = codec_sends_all(&codec->spec, push->step);
    struct codec_node node = node_of(codec, push);
    size_t count = chunk_floats(codec, chunk);
    float *residual = NULL;

    *bytes = NULL;
    if (codec->spec.type == CODEC_TOP_K && residual_take(codec, push, chunk, &residual) != CAIRN_OK)
        return CAIRN_NO_MEMORY;
    if (!values && (!residual || !sends_all || begins_at_zero(codec, push->step)))
        return CAIRN_OK;
    *bytes = buffer_pool_get(codec->pool);
    if (!*bytes)
        return CAIRN_NO_MEMORY;
    node.array = chunk;
    if (sends_all)
        (*bytes)->length_bytes = write_sum(values, residual, count, (*bytes)->data);
    else if (push->is_rounded)
        (*bytes)->length_bytes = codec_encode(&codec->spec, values, count, (*bytes)->data);
    else
        (*bytes)->length_bytes = codec_encode_leaf(&node, values, residual, count, (*bytes)->data);
    return CAIRN_OK;
}

void session_codec_encode_rows(const struct session_codec *codec, const struct session_codec_push *push,
                               const uint64_t *keys, uint32_t count, const float *rows, uint32_t dimension,
                               unsigned char *bytes)
{
    struct codec_node node = node_of(codec, push);
    size_t row_bytes = codec_size_max(&codec->spec, dimension);

    for (uint32_t i = 0; i < count; i++) {
        node.array = keys[i];
        codec_encode_leaf(&node, rows + (size_t)i * dimension, NULL, dimension, bytes + i * row_bytes);
    }
}

/* ---- decoding */

void session_codec_decode(const struct session_codec *codec, const void *bytes, float *values, size_t count)
{
    if (codec_decode(&codec->spec, bytes, codec_size_max(&codec->spec, count), values, count, NULL) !=
        CAIRN_OK)
        BUG("a codec that carries values has bytes that are no number");
}
