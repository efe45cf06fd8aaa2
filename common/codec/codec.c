/* Drives the formats over arrays, a piece at a time: what is added, rounded, decoded and kept of a piece
 * stays in the first cache, so memory is passed over once. Top-k, which needs to see the whole array, goes
 * its own way. */
#include "codec/codec.h"

#include "base/kernel.h"
#include "codec/chance.h"
#include "codec/format.h"
#include "codec/top_k.h"

/* Bytes of a piece in any format. */
#define PIECE_BYTES (CODEC_PIECE * sizeof(float))

static const struct codec_format *const formats[CODEC_COUNT] = {
    [CODEC_FLOAT32] = &codec_float32,
    [CODEC_FLOAT16] = &codec_float16,
    [CODEC_BFLOAT16] = &codec_bfloat16,
    [CODEC_INT8] = &codec_int8,
};

static size_t float32_size(const struct codec_spec *spec, size_t count)
{
    (void)spec;
    return count * sizeof(float);
}

static void float32_encode(const struct codec_spec *spec, const float *values, size_t count,
                           const uint16_t *chance, unsigned char *bytes)
{
    (void)spec, (void)chance;
    memcpy(bytes, values, count * sizeof(float));
}

static bool float32_decode(const struct codec_spec *spec, const unsigned char *bytes, size_t count,
                           float *values)
{
    (void)spec;
    memcpy(values, bytes, count * sizeof(float));
    return true;
}

const struct codec_format codec_float32 = {float32_size, float32_encode, float32_decode};

struct codec_node codec_node_for(const struct codec_spec *spec, uint64_t seed, uint32_t table, uint64_t step,
                                 struct tree_node node)
{
    uint32_t counter[4] = {(uint32_t)step, (uint32_t)(step >> 32), table, node.begin | node.end << 16};
    uint32_t words[4];

    philox_words(philox_for(seed, PHILOX_ROUNDING), counter, words);
    return (struct codec_node){spec, {{words[0], words[1]}}, 0};
}

KERNEL static void codec_add(float *sums, const float *left, const float *right, size_t count)
{
    KERNEL_LOOP
    for (size_t i = 0; i < count; i++)
        sums[i] = left[i] + right[i];
}

/* What of sums[count] was not sent. */
KERNEL static void codec_keep_rest(const float *sums, const float *sent, size_t count, float *residual)
{
    KERNEL_LOOP
    for (size_t i = 0; i < count; i++) {
        float rest = sums[i] - sent[i];

        residual[i] = (float_bits(sent[i]) & FLOAT_INFINITY) == FLOAT_INFINITY ? 0.0f : rest;
    }
}

/* The random bits of a piece, or NULL if the spec rounds to nearest. */
static const uint16_t *draw(const struct codec_node *node, size_t begin, size_t count,
                            uint16_t chance[CODEC_PIECE])
{
    if (node->spec->rounding != CODEC_STOCHASTIC || node->spec->type == CODEC_FLOAT32)
        return NULL;
    chance_draw(node->philox, node->array, begin, count, chance);
    return chance;
}

static size_t piece_length(size_t begin, size_t count)
{
    return count - begin < CODEC_PIECE ? count - begin : CODEC_PIECE;
}

/* rounded = R(sums) for one piece that begins at element `begin`; bytes gets its encoding. */
static void round_piece(const struct codec_node *node, const float *sums, size_t begin, size_t length,
                        float *rounded, unsigned char *bytes)
{
    const struct codec_format *format = formats[node->spec->type];
    uint16_t chance[CODEC_PIECE];

    format->encode(node->spec, sums, length, draw(node, begin, length, chance), bytes);
    if (rounded != NULL && !format->decode(node->spec, bytes, length, rounded))
        BUG("a codec does not know its own bytes");
}

static void round_top_k(const struct codec_spec *spec, float *values, float *residual, size_t count)
{
    struct top_k_cut cut;

    if (residual != NULL)
        codec_add(values, values, residual, count);
    cut = top_k_find(values, count, top_k_count(spec->share, count));
    top_k_split(cut, values, count, values, residual);
}

void codec_round(const struct codec_node *node, float *values, float *residual, size_t count)
{
    unsigned char bytes[PIECE_BYTES];
    float sums[CODEC_PIECE];

    if (node->spec->type == CODEC_TOP_K) {
        round_top_k(node->spec, values, residual, count);
        return;
    }
    if (residual == NULL && node->spec->type == CODEC_FLOAT32)
        return;
    for (size_t begin = 0; begin < count; begin += CODEC_PIECE) {
        size_t length = piece_length(begin, count);
        float *piece = values + begin;

        if (residual == NULL) {
            round_piece(node, piece, begin, length, piece, bytes);
            continue;
        }
        codec_add(sums, piece, residual + begin, length);
        round_piece(node, sums, begin, length, piece, bytes);
        codec_keep_rest(sums, piece, length, residual + begin);
    }
}

void codec_fold(const struct codec_node *node, float *left, const float *right, size_t count)
{
    bool exact = node->spec->type == CODEC_FLOAT32 || node->spec->type == CODEC_TOP_K;
    unsigned char bytes[PIECE_BYTES];

    if (exact) {
        codec_add(left, left, right, count);
        return;
    }
    for (size_t begin = 0; begin < count; begin += CODEC_PIECE) {
        size_t length = piece_length(begin, count);
        float *piece = left + begin;

        codec_add(piece, piece, right + begin, length);
        round_piece(node, piece, begin, length, piece, bytes);
    }
}

size_t codec_size_max(const struct codec_spec *spec, size_t count)
{
    return spec->type == CODEC_TOP_K ? top_k_size_max(count) : formats[spec->type]->size(spec, count);
}

size_t codec_encode(const struct codec_spec *spec, const float *values, size_t count, unsigned char *bytes)
{
    if (spec->type == CODEC_TOP_K)
        return top_k_pack(top_k_nonzero(values, count), values, count, bytes);
    formats[spec->type]->encode(spec, values, count, NULL, bytes);
    return formats[spec->type]->size(spec, count);
}

static size_t encode_top_k_leaf(const struct codec_spec *spec, const float *values, float *residual,
                                size_t count, unsigned char *bytes)
{
    const float *sums = values;
    struct top_k_cut cut;
    size_t length;

    if (residual != NULL) {
        codec_add(residual, values, residual, count);
        sums = residual;
    }
    cut = top_k_find(sums, count, top_k_count(spec->share, count));
    length = top_k_pack(cut, sums, count, bytes);
    if (residual != NULL)
        top_k_split(cut, residual, count, NULL, residual);
    return length;
}

size_t codec_encode_leaf(const struct codec_node *node, const float *values, float *residual, size_t count,
                         unsigned char *bytes)
{
    const struct codec_format *format = formats[node->spec->type];
    float sums[CODEC_PIECE], sent[CODEC_PIECE];

    if (node->spec->type == CODEC_TOP_K)
        return encode_top_k_leaf(node->spec, values, residual, count, bytes);
    for (size_t begin = 0; begin < count; begin += CODEC_PIECE) {
        size_t length = piece_length(begin, count);
        unsigned char *piece = bytes + format->size(node->spec, begin);

        if (residual == NULL) {
            round_piece(node, values + begin, begin, length, NULL, piece);
            continue;
        }
        codec_add(sums, values + begin, residual + begin, length);
        round_piece(node, sums, begin, length, sent, piece);
        codec_keep_rest(sums, sent, length, residual + begin);
    }
    return format->size(node->spec, count);
}

enum status codec_decode(const struct codec_spec *spec, const unsigned char *bytes, size_t length,
                         float *values, size_t count, struct error *error)
{
    size_t expected = codec_size_max(spec, count);

    if (spec->type == CODEC_TOP_K)
        return top_k_unpack(bytes, length, values, count, error);
    if (length != expected)
        return error_set(error, CAIRN_PROTOCOL, "%s: %zu bytes for %zu elements, expected %zu",
                         codec_name(spec->type), length, count, expected);
    if (!formats[spec->type]->decode(spec, bytes, count, values))
        return error_set(error, CAIRN_PROTOCOL, "%s: bytes that no encoder writes", codec_name(spec->type));
    return CAIRN_OK;
}
