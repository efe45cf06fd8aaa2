/* Philox against the published known answers of Random123, and what is drawn from it. */
#include "math/philox.h"

#include "check_main.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

static void assert_words(const uint32_t counter[4], const uint32_t key[2], const uint32_t expected[4])
{
    struct philox philox = {{key[0], key[1]}};
    uint32_t words[4];

    philox_words(philox, counter, words);
    for (int i = 0; i < 4; i++)
        ck_assert_uint_eq(words[i], expected[i]);
}

START_TEST(known_answers)
{
    assert_words((const uint32_t[]){0, 0, 0, 0}, (const uint32_t[]){0, 0},
                 (const uint32_t[]){0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
    assert_words((const uint32_t[]){0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
                 (const uint32_t[]){0xffffffff, 0xffffffff},
                 (const uint32_t[]){0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
    assert_words((const uint32_t[]){0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
                 (const uint32_t[]){0xa4093822, 0x299f31d0},
                 (const uint32_t[]){0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
}
END_TEST

START_TEST(counter_and_words_may_be_one_array)
{
    struct philox philox = {{0, 0}};
    uint32_t words[4] = {0, 0, 0, 0};

    philox_words(philox, words, words);
    ck_assert_uint_eq(words[0], 0x6627e8d5);
    ck_assert_uint_eq(words[3], 0x9b00dbd8);
}
END_TEST

START_TEST(wide_words_are_those_of_four_counters)
{
    const struct philox philox = {{0xa4093822, 0x299f31d0}};
    const uint32_t counters[][4] = {
        {0, 0, 0, 0}, {0xfffffffc, 0xffffffff, 0xffffffff, 0xffffffff}, {12, 0x85a308d3, 7, 0x03707344}};

    for (int i = 0; i < 3; i++) {
        uint32_t wide[PHILOX_WORDS_WIDE], words[4], counter[4];

        philox_words_wide(philox, counters[i], wide);
        memcpy(counter, counters[i], sizeof(counter));
        for (int j = 0; j < 4; j++, counter[0]++) {
            philox_words(philox, counter, words);
            ck_assert_mem_eq(words, wide + 4 * (size_t)j, sizeof(words));
        }
    }
}
END_TEST

START_TEST(uses_and_seeds_have_keys_of_their_own)
{
    const uint64_t seeds[] = {0, 1, 2, 42, UINT64_MAX, 0x9e3779b97f4a7c15u};
    struct philox keys[6 * 6];
    size_t count = 0;

    for (size_t i = 0; i < 6; i++) {
        for (int use = PHILOX_INITIAL_WEIGHTS; use <= PHILOX_TABLE_VALUES; use++)
            keys[count++] = philox_for(seeds[i], (enum philox_use)use);
    }
    for (size_t i = 0; i < count; i++) {
        for (size_t j = 0; j < i; j++)
            ck_assert_int_ne(memcmp(&keys[i], &keys[j], sizeof(keys[i])), 0);
    }
}
END_TEST

/* The key of a seed is part of every model: it must never change. */
START_TEST(keys_are_fixed)
{
    struct philox philox = philox_for(42, PHILOX_SHUFFLE);

    ck_assert_uint_eq(philox.key[0], 0xb3bcaeb3);
    ck_assert_uint_eq(philox.key[1], 0x1db2233e);
}
END_TEST

START_TEST(unit_numbers_stay_inside)
{
    ck_assert(philox_unit_float(0) == 0.0f);
    ck_assert(philox_unit_float(UINT32_MAX) < 1.0f);
    ck_assert(philox_unit_float(0x80000000u) == 0.5f);
    ck_assert(philox_unit_double(0, 0) > 0.0);
    ck_assert(philox_unit_double(UINT32_MAX, UINT32_MAX) < 1.0);
}
END_TEST

static void assert_permutation(const uint64_t *order, uint64_t count)
{
    bool seen[1000] = {false};

    for (uint64_t i = 0; i < count; i++) {
        ck_assert_uint_lt(order[i], count);
        ck_assert(!seen[order[i]]);
        seen[order[i]] = true;
    }
}

START_TEST(permutations_hold_each_number_once)
{
    struct philox philox = philox_for(7, PHILOX_SHUFFLE);
    uint64_t order[1000], again[1000];

    for (uint64_t count = 0; count <= 1000; count += count < 20 ? 1 : 98) {
        philox_permutation(philox, 3, order, count);
        assert_permutation(order, count);
    }
    philox_permutation(philox, 3, order, 1000);
    philox_permutation(philox, 3, again, 1000);
    ck_assert_int_eq(memcmp(order, again, sizeof(order)), 0);
    philox_permutation(philox, 4, again, 1000);
    ck_assert_int_ne(memcmp(order, again, sizeof(order)), 0);
    philox_permutation(philox, 3 + (1ull << 32), again, 1000);
    ck_assert_int_ne(memcmp(order, again, sizeof(order)), 0);
}
END_TEST

/* All 24 orders of four are equally likely: chi-squared with 23 degrees of freedom, 99.99 % below 58. */
START_TEST(permutations_are_uniform)
{
    struct philox philox = philox_for(11, PHILOX_SHUFFLE);
    double counts[256] = {0}, squares = 0;
    const int draws = 24000;

    for (int i = 0; i < draws; i++) {
        uint64_t order[4];

        philox_permutation(philox, (uint64_t)i, order, 4);
        counts[order[0] * 64 + order[1] * 16 + order[2] * 4 + order[3]]++;
    }
    for (int i = 0; i < 256; i++) {
        if (counts[i] > 0)
            squares += pow(counts[i] - draws / 24.0, 2) / (draws / 24.0);
    }
    ck_assert(squares < 58);
}
END_TEST

static Suite *philox_suite(void)
{
    Suite *suite = suite_create("philox");
    TCase *cases = tcase_create("philox");

    tcase_add_test(cases, known_answers);
    tcase_add_test(cases, counter_and_words_may_be_one_array);
    tcase_add_test(cases, wide_words_are_those_of_four_counters);
    tcase_add_test(cases, uses_and_seeds_have_keys_of_their_own);
    tcase_add_test(cases, keys_are_fixed);
    tcase_add_test(cases, unit_numbers_stay_inside);
    tcase_add_test(cases, permutations_hold_each_number_once);
    tcase_add_test(cases, permutations_are_uniform);
    suite_add_tcase(suite, cases);
    return suite;
}

CHECK_MAIN(philox_suite)
