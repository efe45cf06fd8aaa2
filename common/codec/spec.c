/* What a codec may be: its names, arguments and defaults. */
#include "codec/codec.h"

static const char *const names[CODEC_COUNT] = {"float32", "float16", "bfloat16", "int8", "top_k"};

const char *codec_name(enum codec_type type)
{
    return type >= 0 && type < CODEC_COUNT ? names[type] : NULL;
}

bool codec_carries_values(enum codec_type type)
{
    return type == CODEC_FLOAT16 || type == CODEC_BFLOAT16;
}

bool codec_sends_all(const struct codec_spec *spec, uint64_t step)
{
    return spec->type == CODEC_TOP_K && spec->boundary != 0 && (step + 1) % spec->boundary == 0;
}

struct codec_spec codec_spec_default(enum codec_type type)
{
    struct codec_spec spec = {.type = type};

    if (type == CODEC_INT8) {
        spec.rounding = CODEC_STOCHASTIC;
        spec.block = CODEC_BLOCK_DEFAULT;
    } else if (type == CODEC_TOP_K) {
        spec.share = 0.01;
    }
    return spec;
}

static bool block_allowed(uint32_t block)
{
    return block >= CODEC_BLOCK_MIN && block <= CODEC_BLOCK_MAX && (block & (block - 1)) == 0;
}

enum status codec_spec_check(const struct codec_spec *spec, struct error *error)
{
    if (codec_name(spec->type) == NULL)
        return error_set(error, CAIRN_INVALID, "codec %d is not known", (int)spec->type);
    if (spec->rounding != CODEC_NEAREST && spec->rounding != CODEC_STOCHASTIC)
        return error_set(error, CAIRN_INVALID, "rounding %d is not known", (int)spec->rounding);
    if (spec->type == CODEC_INT8 && !block_allowed(spec->block))
        return error_set(error, CAIRN_INVALID, "an int8 block of %u is not a power of two from %d to %d",
                         spec->block, CODEC_BLOCK_MIN, CODEC_BLOCK_MAX);
    if (spec->type == CODEC_TOP_K && !(spec->share > 0.0 && spec->share <= 1.0))
        return error_set(error, CAIRN_INVALID, "a top_k share of %g is not in (0, 1]", spec->share);
    return CAIRN_OK;
}
