/* Whole numbers from -127 to 127 times a power of two, one a block of elements: a byte with the exponent,
 * then a byte an element.
 *
 * The scale is the least power of two with which the block's greatest magnitude fits. It costs one byte and
 * up to one bit of the elements, and makes everything else exact: multiplying rounds nothing, and any numbers
 * of the codec fit again (with the same scale or a finer one), so that encoding them anew loses nothing. A
 * scale of maximum / 127 has neither. As the "MXINT8" of the OCP Microscaling Formats Specification 1.0,
 * 2023.
 *
 * A block with a NaN or an infinity is NaN as a whole: a fault must be seen, not be rounded to something.
 * Elements beyond 127 * 2^121 (the last hundredth of float32's range) become that; below 2^-127 they become
 * zero or 2^-126. */
#include "codec/format.h"

#include "base/kernel.h"

/* The scale byte b stands for 2^(b - 127), as a float's exponent does. */
#define SCALE_MIN 1
#define SCALE_MAX 248
#define SCALE_NAN 255

static size_t int8_size(const struct codec_spec *spec, size_t count)
{
    return count + (count + spec->block - 1) / spec->block;
}

static inline size_t shorter(size_t a, size_t b)
{
    return a < b ? a : b;
}

static inline uint32_t greatest_magnitude(const float *values, size_t count)
{
    uint32_t greatest = 0;

    for (size_t i = 0; i < count; i++) {
        uint32_t magnitude = float_bits(values[i]) & FLOAT_MAGNITUDE;

        greatest = magnitude > greatest ? magnitude : greatest;
    }
    return greatest;
}

/* The least exponent e with greatest <= 127 * 2^e. 127 is 1.984375 * 2^6, and a mantissa above .984375
 * carries. */
static inline uint32_t scale_for(uint32_t greatest)
{
    int32_t scale = (int32_t)((greatest + 0x1ffffu) >> 23) - 6;

    if (greatest >= FLOAT_INFINITY)
        return SCALE_NAN;
    scale = scale < SCALE_MIN ? SCALE_MIN : scale;
    return (uint32_t)(scale > SCALE_MAX ? SCALE_MAX : scale);
}

static inline int8_t bounded(int32_t number)
{
    number = number > 127 ? 127 : number;
    return (int8_t)(number < -127 ? -127 : number);
}

static inline float scaled(float value, uint32_t scale)
{
    return value * bits_float((254u - scale) << 23);
}

/* Adding 1.5 * 2^23 leaves no bits below the point: the addition rounds, ties to even. */
static inline int8_t number_nearest(float value)
{
    return bounded((int32_t)(float_bits(value + 0x1.8p23f) - float_bits(0x1.8p23f)));
}

/* Floor of the value and a random fraction, in units of 2^-16. */
static inline int8_t number_by_chance(float value, uint16_t chance)
{
    return bounded(((int32_t)(value * 0x1p16f) + chance) >> 16);
}

KERNEL static void int8_encode_nearest(const float *values, size_t count, size_t block, unsigned char *bytes)
{
    for (size_t begin = 0; begin < count; begin += block) {
        size_t length = shorter(block, count - begin);
        const float *from = values + begin;
        uint32_t scale = scale_for(greatest_magnitude(from, length));
        int8_t *numbers = (int8_t *)bytes + 1;

        *bytes = (unsigned char)scale;
        bytes += 1 + length;
        if (scale == SCALE_NAN) {
            memset(numbers, 0, length);
            continue;
        }
        KERNEL_LOOP
        for (size_t i = 0; i < length; i++)
            numbers[i] = number_nearest(scaled(from[i], scale));
    }
}

KERNEL static void int8_encode_by_chance(const float *values, size_t count, size_t block,
                                         const uint16_t *chance, unsigned char *bytes)
{
    for (size_t begin = 0; begin < count; begin += block) {
        size_t length = shorter(block, count - begin);
        const float *from = values + begin;
        const uint16_t *draws = chance + begin;
        uint32_t scale = scale_for(greatest_magnitude(from, length));
        int8_t *numbers = (int8_t *)bytes + 1;

        *bytes = (unsigned char)scale;
        bytes += 1 + length;
        if (scale == SCALE_NAN) {
            memset(numbers, 0, length);
            continue;
        }
        KERNEL_LOOP
        for (size_t i = 0; i < length; i++)
            numbers[i] = number_by_chance(scaled(from[i], scale), draws[i]);
    }
}

/* False: a scale or a number that is none of the codec's. */
KERNEL static bool int8_decode_all(const unsigned char *bytes, size_t count, size_t block, float *values)
{
    for (size_t begin = 0; begin < count; begin += block) {
        size_t length = shorter(block, count - begin);
        const int8_t *numbers = (const int8_t *)bytes + 1;
        uint32_t scale = *bytes, foreign = 0;
        /* A block of NaNs is zeros, which get these bits. */
        uint32_t nan = scale == SCALE_NAN ? FLOAT_NAN : 0;
        int32_t bound = scale == SCALE_NAN ? 0 : 127;
        float unit = bits_float(scale == SCALE_NAN ? 0 : scale << 23);
        float *to = values + begin;

        if (scale < SCALE_MIN || (scale > SCALE_MAX && scale != SCALE_NAN))
            return false;
        bytes += 1 + length;
        KERNEL_LOOP
        for (size_t i = 0; i < length; i++) {
            foreign |= numbers[i] > bound || numbers[i] < -bound;
            to[i] = bits_float(float_bits((float)numbers[i] * unit) | nan);
        }
        if (foreign != 0)
            return false;
    }
    return true;
}

static void int8_encode(const struct codec_spec *spec, const float *values, size_t count,
                        const uint16_t *chance, unsigned char *bytes)
{
    if (chance == NULL)
        int8_encode_nearest(values, count, spec->block, bytes);
    else
        int8_encode_by_chance(values, count, spec->block, chance, bytes);
}

static bool int8_decode(const struct codec_spec *spec, const unsigned char *bytes, size_t count,
                        float *values)
{
    return int8_decode_all(bytes, count, spec->block, values);
}

const struct codec_format codec_int8 = {int8_size, int8_encode, int8_decode};
