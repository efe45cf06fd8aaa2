/* float16, bfloat16 and int8: every pattern, the boundaries of rounding, and what becomes of faults. */
#include "codec/codec.h"

#include "check_main.h"
#include "codecs.h" /* the oracle's table */

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define PATTERNS     65536
#define QUIET_NAN    0x7fc00000u
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define INT8_BLOCK   16
#define INT8_SCALES  248

static const struct codec_spec float16 = {.type = CODEC_FLOAT16}, bfloat16 = {.type = CODEC_BFLOAT16};
static const struct codec_spec int8 = {.type = CODEC_INT8, .block = INT8_BLOCK};

static uint32_t bits_of(float value)
{
    uint32_t bits;

    memcpy(&bits, &value, sizeof(bits));
    return bits;
}

static float float_of(uint32_t bits)
{
    float value;

    memcpy(&value, &bits, sizeof(value));
    return value;
}

static void decode(const struct codec_spec *spec, const void *bytes, float *values, size_t count)
{
    if (codec_decode(spec, bytes, codec_size_max(spec, count), values, count, NULL) != CAIRN_OK)
        ck_abort_msg("bytes of an encoder are refused");
}

/* All 65536 patterns to floats and back; NaNs become nan, all else is what it was. */
static void assert_patterns(const struct codec_spec *spec, uint16_t nan)
{
    uint16_t *patterns = malloc(PATTERNS * sizeof(*patterns)), *again = malloc(PATTERNS * sizeof(*again));
    float *values = malloc(PATTERNS * sizeof(*values));

    ck_assert(patterns != NULL && again != NULL && values != NULL);
    for (uint32_t i = 0; i < PATTERNS; i++)
        patterns[i] = (uint16_t)i;
    decode(spec, patterns, values, PATTERNS);
    ck_assert_uint_eq(codec_encode(spec, values, PATTERNS, (unsigned char *)again), 2 * PATTERNS);
    for (uint32_t i = 0; i < PATTERNS; i++) {
        if (isnan(values[i]) ? again[i] != nan || bits_of(values[i]) != QUIET_NAN : again[i] != i)
            ck_abort_msg("0x%04x became 0x%04x", i, again[i]);
    }
    free(patterns);
    free(again);
    free(values);
}

START_TEST(every_half_is_itself_again)
{
    assert_patterns(&float16, 0x7e00);
}
END_TEST

START_TEST(every_bfloat16_is_itself_again)
{
    assert_patterns(&bfloat16, 0x7fc0);
}
END_TEST

/* A half by its definition. */
static double half_meaning(uint16_t half)
{
    int exponent = half >> 10 & 31, mantissa = half & 1023;
    double magnitude = exponent == 0 ? ldexp(mantissa, -24) : ldexp(1024 + mantissa, exponent - 25);

    if (exponent == 31)
        magnitude = mantissa == 0 ? INFINITY : NAN;
    return half & 0x8000 ? -magnitude : magnitude;
}

START_TEST(halves_mean_what_the_standard_says)
{
    for (uint32_t i = 0; i < PATTERNS; i++) {
        uint16_t half = (uint16_t)i;
        double meaning = half_meaning(half);
        float value;

        decode(&float16, &half, &value, 1);
        if (isnan(meaning) ? !isnan(value) : value != meaning || !signbit(value) != !signbit(meaning))
            ck_abort_msg("0x%04x became %g", half, (double)value);
    }
}
END_TEST

START_TEST(roundings_are_those_of_numpy)
{
    for (size_t i = 0; i < COUNT(oracle_roundings); i++) {
        float value = float_of(oracle_roundings[i].float32);
        uint16_t half;

        codec_encode(&float16, &value, 1, (unsigned char *)&half);
        ck_assert_uint_eq(half, oracle_roundings[i].float16);
        codec_encode(&bfloat16, &value, 1, (unsigned char *)&half);
        ck_assert_uint_eq(half, oracle_roundings[i].bfloat16);
    }
}
END_TEST

START_TEST(every_nan_becomes_one)
{
    static const uint32_t nans[] = {0x7f800001, 0x7fbfffff, 0x7fc00000, 0x7fffffff, 0xff800001, 0xffffffff};

    for (size_t i = 0; i < COUNT(nans); i++) {
        float value = float_of(nans[i]);
        uint16_t half;

        codec_encode(&float16, &value, 1, (unsigned char *)&half);
        ck_assert_uint_eq(half, 0x7e00);
        codec_encode(&bfloat16, &value, 1, (unsigned char *)&half);
        ck_assert_uint_eq(half, 0x7fc0);
    }
}
END_TEST

/* The encoding of values[count], which is `count + 1` bytes of one block. */
static void assert_block(const float *values, size_t count, int scale, const int8_t *numbers)
{
    unsigned char bytes[INT8_BLOCK + 1];

    ck_assert_uint_eq(codec_encode(&int8, values, count, bytes), count + 1);
    ck_assert_int_eq(bytes[0], scale);
    ck_assert_int_eq(memcmp(bytes + 1, numbers, count), 0);
}

START_TEST(int8_blocks_by_hand)
{
    /* The greatest magnitude is exactly 127 units, and rounding is to even. */
    assert_block((const float[]){127, -127, 0.5f, 1.5f, -0.5f, -1.5f, 2.5f, 126.5f, -0.0f}, 9, 127,
                 (const int8_t[]){127, -127, 0, 2, 0, -2, 2, 126, 0});
    /* A little more than 127 units needs the next scale. */
    assert_block((const float[]){127.00001f, 1, 3, -127}, 4, 128, (const int8_t[]){64, 0, 2, -64});
    assert_block((const float[]){1, 0.5f, -0.25f}, 3, 127 - 6, (const int8_t[]){64, 32, -16});
    assert_block((const float[]){0, -0.0f, 0}, 3, 1, (const int8_t[]){0, 0, 0});
}
END_TEST

START_TEST(int8_at_the_ends_of_float32)
{
    /* Units are never below 2^-126 nor above 2^121. */
    assert_block((const float[]){0x1p-149f, 0x1p-127f, 0x1.8p-126f, FLT_MIN, -0x1.000004p-127f}, 5, 1,
                 (const int8_t[]){0, 0, 2, 1, -1});
    assert_block((const float[]){FLT_MAX, -FLT_MAX, 0x1p127f, 0x1p121f}, 4, 248,
                 (const int8_t[]){127, -127, 64, 1});
}
END_TEST

START_TEST(an_int8_block_with_a_fault_is_nan)
{
    static const float faults[] = {INFINITY, -INFINITY, NAN, -NAN};

    for (size_t i = 0; i < COUNT(faults); i++) {
        float values[2 * INT8_BLOCK + 3] = {1, 2, 3};
        unsigned char bytes[sizeof(values)];

        values[INT8_BLOCK + 5] = faults[i];
        values[2 * INT8_BLOCK] = 4;
        ck_assert_uint_eq(codec_encode(&int8, values, COUNT(values), bytes), COUNT(values) + 3);
        decode(&int8, bytes, values, COUNT(values));
        for (size_t j = 0; j < INT8_BLOCK; j++) {
            ck_assert(values[j] == (j < 3 ? (float)j + 1 : 0));
            ck_assert_uint_eq(bits_of(values[INT8_BLOCK + j]), QUIET_NAN);
        }
        ck_assert(values[2 * INT8_BLOCK] == 4 && values[2 * INT8_BLOCK + 1] == 0);
    }
}
END_TEST

/* Whatever an encoder may have written is encoded anew without loss, though perhaps by a finer scale. */
START_TEST(every_int8_is_itself_again)
{
    for (int scale = 1; scale <= INT8_SCALES; scale++) {
        for (int number = -127; number <= 127; number++) {
            unsigned char bytes[3] = {(unsigned char)scale, (unsigned char)number, 1}, encoded[3];
            float values[2], again[2];

            decode(&int8, bytes, values, 2);
            codec_encode(&int8, values, 2, encoded);
            decode(&int8, encoded, again, 2);
            if (values[0] != (float)ldexp(number, scale - 127) || memcmp(values, again, sizeof(values)) != 0)
                ck_abort_msg("%d times 2^%d became %g, then %g", number, scale - 127, (double)values[0],
                             (double)again[0]);
        }
    }
}
END_TEST

START_TEST(int8_is_off_by_half_a_unit_at_most)
{
    struct philox philox = philox_for(5, PHILOX_SYNTHETIC_DATA);

    for (uint32_t draw = 0; draw < 2000; draw++) {
        uint32_t counter[4] = {draw, 0, 0, 0}, words[4];
        float values[4], rounded[4];
        unsigned char bytes[5];

        philox_words(philox, counter, words);
        for (int i = 0; i < 4; i++)
            values[i] = ldexpf(philox_unit_float(words[i]) - 0.5f, (int)(draw % 200) - 100);
        codec_encode(&int8, values, 4, bytes);
        decode(&int8, bytes, rounded, 4);
        for (int i = 0; i < 4; i++)
            ck_assert(fabs((double)values[i] - rounded[i]) <= ldexp(0.5, bytes[0] - 127));
    }
}
END_TEST

static void assert_refused(const unsigned char *bytes, size_t count)
{
    struct error error = {0};
    float values[INT8_BLOCK];

    ck_assert_int_eq(codec_decode(&int8, bytes, count + 1, values, count, &error), CAIRN_PROTOCOL);
    ck_assert_str_eq(error.message, "int8: bytes that no encoder writes");
}

START_TEST(foreign_int8_is_refused)
{
    for (int scale = 0; scale < 256; scale++) {
        if (scale == 0 || (scale > INT8_SCALES && scale != 255))
            assert_refused((const unsigned char[]){(unsigned char)scale, 0, 0}, 2);
    }
    assert_refused((const unsigned char[]){100, 5, 0x80, 5}, 3);
    assert_refused((const unsigned char[]){255, 0, 1, 0}, 3);
}
END_TEST

static Suite *formats_suite(void)
{
    Suite *suite = suite_create("codec_formats");
    TCase *cases = tcase_create("codec_formats");

    tcase_add_test(cases, every_half_is_itself_again);
    tcase_add_test(cases, every_bfloat16_is_itself_again);
    tcase_add_test(cases, halves_mean_what_the_standard_says);
    tcase_add_test(cases, roundings_are_those_of_numpy);
    tcase_add_test(cases, every_nan_becomes_one);
    tcase_add_test(cases, int8_blocks_by_hand);
    tcase_add_test(cases, int8_at_the_ends_of_float32);
    tcase_add_test(cases, an_int8_block_with_a_fault_is_nan);
    tcase_add_test(cases, every_int8_is_itself_again);
    tcase_add_test(cases, int8_is_off_by_half_a_unit_at_most);
    tcase_add_test(cases, foreign_int8_is_refused);
    suite_add_tcase(suite, cases);
    return suite;
}

CHECK_MAIN(formats_suite)
