/* IEEE 754 binary16, by integer arithmetic that every compiler makes vectors of. The bits are those of x86's
 * F16C instructions (ties to even, subnormal halves kept), except that all NaNs become one (format.h).
 * Source: IEEE 754-2019; the branch-free form follows F. Giesen, "Float to half conversion", 2012. */
#include "codec/format.h"

#include "base/kernel.h"

#define HALF_SIGN     0x8000u
#define HALF_INFINITY 0x7c00u
#define HALF_NAN      0x7e00u
/* The exponents' biases differ by 127 - 15. */
#define REBIAS          (112u << 23)
#define SMALLEST_NORMAL (113u << 23) /* 2^-14 as a float */

static size_t half_size(const struct codec_spec *spec, size_t count)
{
    (void)spec;
    return count * 2;
}

static inline uint32_t least(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

/* The half of a float's sign and of the magnitude that it was rounded to. */
static inline uint16_t half_from(uint32_t bits, uint32_t rounded)
{
    uint32_t half = (bits >> 16 & HALF_SIGN) | least(rounded, HALF_INFINITY);

    return (uint16_t)((bits & FLOAT_MAGNITUDE) > FLOAT_INFINITY ? HALF_NAN : half);
}

static inline uint16_t half_nearest(float value)
{
    uint32_t bits = float_bits(value), magnitude = bits & FLOAT_MAGNITUDE;
    uint32_t normal = (magnitude - REBIAS + 0xfffu + (magnitude >> 13 & 1u)) >> 13;
    /* The last bit of numbers from 0.5 to 1 is worth 2^-24, as that of subnormal halves: the addition rounds.
     */
    uint32_t subnormal = float_bits(bits_float(least(magnitude, SMALLEST_NORMAL)) + 0.5f) - float_bits(0.5f);

    return half_from(bits, magnitude < SMALLEST_NORMAL ? subnormal : normal);
}

/* Thirteen bits are dropped; a random number below 2^13 decides whether they carry. */
static inline uint16_t half_by_chance(float value, uint16_t chance)
{
    uint32_t bits = float_bits(value), magnitude = bits & FLOAT_MAGNITUDE, draw = chance >> 3;
    uint32_t normal = (magnitude - REBIAS + draw) >> 13;
    uint32_t fixed = (uint32_t)(int32_t)(bits_float(least(magnitude, SMALLEST_NORMAL)) * 0x1p37f);
    uint32_t subnormal = (fixed + draw) >> 13;

    return half_from(bits, magnitude < SMALLEST_NORMAL ? subnormal : normal);
}

static inline float half_value(uint16_t half)
{
    uint32_t magnitude = (uint32_t)(half & 0x7fffu) << 13;
    uint32_t exponent = magnitude & HALF_INFINITY << 13;
    uint32_t subnormal = float_bits(bits_float(magnitude + SMALLEST_NORMAL) - bits_float(SMALLEST_NORMAL));
    uint32_t bits = exponent == 0 ? subnormal : magnitude + REBIAS;

    bits = exponent == HALF_INFINITY << 13 ? bits + REBIAS : bits;
    return bits_float(bits > FLOAT_INFINITY ? FLOAT_NAN : (uint32_t)(half & HALF_SIGN) << 16 | bits);
}

KERNEL static void half_encode_nearest(const float *values, size_t count, unaligned_uint16 *halves)
{
    KERNEL_LOOP
    for (size_t i = 0; i < count; i++)
        halves[i] = half_nearest(values[i]);
}

KERNEL static void half_encode_by_chance(const float *values, size_t count, const uint16_t *chance,
                                         unaligned_uint16 *halves)
{
    KERNEL_LOOP
    for (size_t i = 0; i < count; i++)
        halves[i] = half_by_chance(values[i], chance[i]);
}

KERNEL static void half_decode_all(const unaligned_uint16 *halves, size_t count, float *values)
{
    KERNEL_LOOP
    for (size_t i = 0; i < count; i++)
        values[i] = half_value(halves[i]);
}

static void half_encode(const struct codec_spec *spec, const float *values, size_t count,
                        const uint16_t *chance, unsigned char *bytes)
{
    (void)spec;
    if (chance == NULL)
        half_encode_nearest(values, count, (unaligned_uint16 *)bytes);
    else
        half_encode_by_chance(values, count, chance, (unaligned_uint16 *)bytes);
}

static bool half_decode(const struct codec_spec *spec, const unsigned char *bytes, size_t count,
                        float *values)
{
    (void)spec;
    half_decode_all((const unaligned_uint16 *)bytes, count, values);
    return true;
}

const struct codec_format codec_float16 = {half_size, half_encode, half_decode};
