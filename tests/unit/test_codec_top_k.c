/* Top-k: which elements are kept, and their bytes. */
#include "codec/top_k.h"

#include "check_main.h"
#include "math/philox.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define ELEMENTS 1003 /* no multiple of any vector width */

static const float *compared;

static uint32_t magnitude_of(float value)
{
    uint32_t bits;

    memcpy(&bits, &value, sizeof(bits));
    return bits & 0x7fffffffu;
}

/* Greatest magnitude first, then by index. */
static int by_magnitude(const void *left, const void *right)
{
    uint32_t i = *(const uint32_t *)left, j = *(const uint32_t *)right;
    uint32_t a = magnitude_of(compared[i]), b = magnitude_of(compared[j]);

    return a == b ? (i > j) - (i < j) : (a < b) - (a > b);
}

/* The definition: sort all, keep the first `kept`. */
static void assert_cut(const float *values, size_t count, size_t kept)
{
    struct top_k_cut cut = top_k_find(values, count, kept);
    uint32_t order[ELEMENTS];
    float expected[ELEMENTS] = {0}, split[ELEMENTS], rest[ELEMENTS];
    size_t nonzero = 0;

    for (uint32_t i = 0; i < count; i++)
        order[i] = i;
    compared = values;
    qsort(order, count, sizeof(*order), by_magnitude);
    for (size_t i = 0; i < kept && magnitude_of(values[order[i]]) != 0; i++, nonzero++)
        expected[order[i]] = values[order[i]];
    top_k_split(cut, values, count, split, rest);
    ck_assert_uint_eq(cut.kept, nonzero);
    ck_assert_int_eq(memcmp(split, expected, count * sizeof(float)), 0);
    for (size_t i = 0; i < count; i++)
        ck_assert(magnitude_of(split[i]) == 0 ? memcmp(&rest[i], &values[i], 4) == 0 : rest[i] == 0.0f);
}

/* Numbers from few to many different ones. */
static void fill(float *values, uint32_t kind)
{
    struct philox philox = philox_for(kind, PHILOX_SYNTHETIC_DATA);
    static const float scales[] = {1, 3, 20, 1000, 1e6f};

    for (uint32_t i = 0; i < ELEMENTS; i++) {
        uint32_t counter[4] = {i, 0, 0, 0}, words[4];

        philox_words(philox, counter, words);
        values[i] = truncf((philox_unit_float(words[0]) - 0.5f) * 2 * scales[kind % 5]) * 0x1p-7f;
    }
}

START_TEST(the_greatest_are_kept)
{
    static const size_t counts[] = {1, 2, 31, 32, 33, 64, 100, ELEMENTS};
    float values[ELEMENTS];

    for (uint32_t kind = 0; kind < 10; kind++) {
        fill(values, kind);
        for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
            for (size_t kept = 1; kept <= counts[i]; kept += 1 + kept / 3)
                assert_cut(values, counts[i], kept);
        }
    }
}
END_TEST

START_TEST(of_equal_ones_the_first_are_kept)
{
    const float values[] = {1, -2, 2, 0.5f, 2, -2};

    assert_cut(values, 6, 1);
    assert_cut(values, 6, 2);
    assert_cut(values, 6, 3);
    ck_assert_uint_eq(top_k_find(values, 6, 2).last_tie, 2);
}
END_TEST

START_TEST(faults_are_kept_first)
{
    const float values[] = {1e38f, NAN, 3, -INFINITY, 0x1p-149f, -NAN};

    for (size_t kept = 1; kept <= 6; kept++)
        assert_cut(values, 6, kept);
}
END_TEST

START_TEST(shares_have_at_least_one_element)
{
    ck_assert_uint_eq(top_k_count(0.01, 0), 0);
    ck_assert_uint_eq(top_k_count(0.01, 1), 1);
    ck_assert_uint_eq(top_k_count(0.01, 199), 1);
    ck_assert_uint_eq(top_k_count(0.01, 200), 2);
    ck_assert_uint_eq(top_k_count(0.5, 9), 4);
    ck_assert_uint_eq(top_k_count(1.0, 9), 9);
}
END_TEST

START_TEST(bytes_by_hand)
{
    static const uint32_t expected[] = {2, 1, 4, 0x40000000 /* 2 */, 0xbf800000 /* -1 */};
    const float values[] = {0, 2, -0.0f, 0, -1};
    float again[5];
    unsigned char bytes[64];

    ck_assert_uint_eq(top_k_pack(top_k_nonzero(values, 5), values, 5, bytes), sizeof(expected));
    ck_assert_int_eq(memcmp(bytes, expected, sizeof(expected)), 0);
    ck_assert_int_eq(top_k_unpack(bytes, sizeof(expected), again, 5, NULL), CAIRN_OK);
    ck_assert_int_eq(memcmp(again, (const float[]){0, 2, 0, 0, -1}, sizeof(again)), 0);
}
END_TEST

START_TEST(many_elements_go_as_they_are)
{
    const float values[] = {1, 2, -0.0f, 3};
    unsigned char bytes[20];
    float again[4];

    ck_assert_uint_eq(top_k_size_max(4), sizeof(bytes));
    ck_assert_uint_eq(top_k_pack(top_k_nonzero(values, 4), values, 4, bytes), sizeof(bytes));
    ck_assert_int_eq(
        memcmp(bytes, (const uint32_t[]){UINT32_MAX, 0x3f800000, 0x40000000, 0, 0x40400000}, sizeof(bytes)),
        0);
    ck_assert_int_eq(top_k_unpack(bytes, sizeof(bytes), again, 4, NULL), CAIRN_OK);
    ck_assert_int_eq(memcmp(again, (const float[]){1, 2, 0, 3}, sizeof(again)), 0);
}
END_TEST

static void assert_refused(const uint32_t *words, size_t length, size_t count, const char *message)
{
    struct error error = {0};
    float values[8];

    ck_assert_int_eq(top_k_unpack((const unsigned char *)words, length, values, count, &error),
                     CAIRN_PROTOCOL);
    ck_assert_str_eq(error.message, message);
}

START_TEST(foreign_bytes_are_refused)
{
    const uint32_t one = 0x3f800000, minus_zero = 0x80000000;

    assert_refused((const uint32_t[]){0}, 3, 4, "top_k: 3 bytes are no array");
    assert_refused((const uint32_t[]){1, 0, one}, 8, 4, "top_k: 8 bytes are not 1 of 4 elements");
    assert_refused((const uint32_t[]){1, 0, one, 0}, 16, 4, "top_k: 16 bytes are not 1 of 4 elements");
    assert_refused((const uint32_t[]){3, 0, 1, 2, one, one, one}, 28, 4,
                   "top_k: 28 bytes are not 3 of 4 elements");
    assert_refused((const uint32_t[]){UINT32_MAX, one, one, one}, 16, 4,
                   "top_k: 16 bytes are not 4294967295 of 4 elements");
    assert_refused((const uint32_t[]){1, 4, one}, 12, 4, "top_k: index 4 is not in [0, 4)");
    assert_refused((const uint32_t[]){2, 1, 1, one, one}, 20, 4, "top_k: index 1 is not in [2, 4)");
    assert_refused((const uint32_t[]){2, 2, 1, one, one}, 20, 4, "top_k: index 1 is not in [3, 4)");
    assert_refused((const uint32_t[]){1, 2, minus_zero}, 12, 4, "top_k: element 2 was sent as a zero");
    assert_refused((const uint32_t[]){UINT32_MAX, one, one, minus_zero, one}, 20, 4,
                   "top_k: element 2 is -0");
    assert_refused((const uint32_t[]){UINT32_MAX, one, one, 0, 0}, 20, 4, "top_k: all of 4 elements for 2");
}
END_TEST

static Suite *top_k_suite(void)
{
    Suite *suite = suite_create("codec_top_k");
    TCase *cases = tcase_create("codec_top_k");

    tcase_add_test(cases, the_greatest_are_kept);
    tcase_add_test(cases, of_equal_ones_the_first_are_kept);
    tcase_add_test(cases, faults_are_kept_first);
    tcase_add_test(cases, shares_have_at_least_one_element);
    tcase_add_test(cases, bytes_by_hand);
    tcase_add_test(cases, many_elements_go_as_they_are);
    tcase_add_test(cases, foreign_bytes_are_refused);
    suite_add_tcase(suite, cases);
    return suite;
}

CHECK_MAIN(top_k_suite)
