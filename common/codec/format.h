/* One kind of number on the wire: what codec.c drives. Internal to codec/.
 *
 * A format turns runs of at most CODEC_PIECE elements into bytes and back; the encoding of an array is that
 * of its pieces one after another. So one pass over memory can encode, decode and keep the difference while a
 * piece is in the first cache. Pure; any thread. */
#ifndef CAIRN_CODEC_FORMAT_H
#define CAIRN_CODEC_FORMAT_H

#include "codec/codec.h"

#include <stdbool.h>
#include <string.h>

/* A multiple of every block and of what random.h draws at a time. */
#define CODEC_PIECE 1024

struct codec_format {
    /* Bytes of count elements, exactly. */
    size_t (*size)(const struct codec_spec *spec, size_t count);
    /* chance: 16 random bits an element, or NULL to round to nearest. */
    void (*encode)(const struct codec_spec *spec, const float *values, size_t count, const uint16_t *chance,
                   unsigned char *bytes);
    /* bytes: size(spec, count) of them. False: some are none that encode writes. */
    bool (*decode)(const struct codec_spec *spec, const unsigned char *bytes, size_t count, float *values);
};

extern const struct codec_format codec_float32, codec_float16, codec_bfloat16, codec_int8;

/* A 16-bit number at any address of a message. */
typedef uint16_t unaligned_uint16 __attribute__((aligned(1), may_alias));

#define FLOAT_MAGNITUDE 0x7fffffffu
#define FLOAT_INFINITY  0x7f800000u /* the magnitude of infinity; above it are NaNs */
/* The NaN that every NaN is rounded to: which of two NaNs a sum is, and its sign, is the machine's choice. */
#define FLOAT_NAN 0x7fc00000u

static inline uint32_t float_bits(float value)
{
    uint32_t bits;

    memcpy(&bits, &value, sizeof(bits));
    return bits;
}

static inline float bits_float(uint32_t bits)
{
    float value;

    memcpy(&value, &bits, sizeof(value));
    return value;
}

#endif
