/* bfloat16: the upper half of a float32, rounded to it. All NaNs become one (format.h). */
#include "codec/format.h"

#include "base/kernel.h"

static size_t bfloat16_size(const struct codec_spec *spec, size_t count)
{
    (void)spec;
    return count * 2;
}

/* What is added to the lower 16 bits decides whether they carry. */
static inline uint16_t upper_half(uint32_t bits, uint32_t added)
{
    return (uint16_t)(((bits & FLOAT_MAGNITUDE) > FLOAT_INFINITY ? FLOAT_NAN : bits + added) >> 16);
}

static inline float bfloat16_value(uint16_t half)
{
    uint32_t bits = (uint32_t)half << 16;

    return bits_float((bits & FLOAT_MAGNITUDE) > FLOAT_INFINITY ? FLOAT_NAN : bits);
}

KERNEL static void bfloat16_encode_nearest(const float *values, size_t count, unaligned_uint16 *halves)
{
    KERNEL_LOOP
    for (size_t i = 0; i < count; i++) {
        uint32_t bits = float_bits(values[i]);

        halves[i] = upper_half(bits, 0x7fffu + (bits >> 16 & 1u));
    }
}

KERNEL static void bfloat16_encode_by_chance(const float *values, size_t count, const uint16_t *chance,
                                             unaligned_uint16 *halves)
{
    KERNEL_LOOP
    for (size_t i = 0; i < count; i++)
        halves[i] = upper_half(float_bits(values[i]), chance[i]);
}

KERNEL static void bfloat16_decode_all(const unaligned_uint16 *halves, size_t count, float *values)
{
    KERNEL_LOOP
    for (size_t i = 0; i < count; i++)
        values[i] = bfloat16_value(halves[i]);
}

static void bfloat16_encode(const struct codec_spec *spec, const float *values, size_t count,
                            const uint16_t *chance, unsigned char *bytes)
{
    (void)spec;
    if (chance == NULL)
        bfloat16_encode_nearest(values, count, (unaligned_uint16 *)bytes);
    else
        bfloat16_encode_by_chance(values, count, chance, (unaligned_uint16 *)bytes);
}

static bool bfloat16_decode(const struct codec_spec *spec, const unsigned char *bytes, size_t count,
                            float *values)
{
    (void)spec;
    bfloat16_decode_all((const unaligned_uint16 *)bytes, count, values);
    return true;
}

const struct codec_format codec_bfloat16 = {bfloat16_size, bfloat16_encode, bfloat16_decode};
