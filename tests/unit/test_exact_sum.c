/* Exact sums: against wide integers, in any order, from any parts. */
#include "check_main.h"
#include "math/exact_sum.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

static uint64_t state;

static uint64_t draw(void)
{
    state += UINT64_C(0x9e3779b97f4a7c15);
    return (state ^ (state >> 29)) * UINT64_C(0xbf58476d1ce4e5b9) >> 7;
}

/* A double of up to 53 random bits with an exponent within the bounds of squares of float32. */
static double draw_term(void)
{
    return ldexp((double)(draw() >> 4 & ((UINT64_C(1) << 53) - 1)), (int)(draw() % 500) - 298);
}

static double sum_of(const double *terms, int count)
{
    struct exact_sum sum = {.foreign = 0};

    for (int i = 0; i < count; i++)
        exact_sum_add(&sum, terms[i]);
    return exact_sum_value(&sum);
}

START_TEST(a_term_comes_back)
{
    state = 1;
    for (int i = 0; i < 100000; i++) {
        double term = draw_term();

        ck_assert(sum_of(&term, 1) == term);
    }
    ck_assert(sum_of(NULL, 0) == 0.0);
}
END_TEST

/* Against integers of 64 bits times a power of two, where the C language rounds for us. */
START_TEST(totals_are_rounded_once)
{
    state = 2;
    for (int i = 0; i < 100000; i++) {
        int scale = (int)(draw() % 300) - 200;
        uint64_t total = 0;
        double terms[8];

        for (int j = 0; j < 8; j++) {
            uint64_t whole = draw() >> (draw() % 40 + 10) & ((UINT64_C(1) << 53) - 1);

            terms[j] = ldexp((double)whole, scale);
            total += whole;
        }
        ck_assert(sum_of(terms, 8) == ldexp((double)total, scale));
    }
}
END_TEST

START_TEST(ties_go_to_even)
{
    const double half = 0x1p-53;

    ck_assert(sum_of((double[]){1.0, half}, 2) == 1.0);
    ck_assert(sum_of((double[]){1.0, half, 0x1p-298}, 3) == 1.0 + 0x1p-52);
    ck_assert(sum_of((double[]){1.0 + 0x1p-52, half}, 2) == 1.0 + 0x1p-51);
    ck_assert(sum_of((double[]){0x1p53 - 1, 0.5}, 2) == 0x1p53);
    ck_assert(sum_of((double[]){0x1p255, 0x1p-298}, 2) == 0x1p255);
}
END_TEST

START_TEST(order_and_parts_do_not_matter)
{
    enum { TERMS = 20000 };
    static double terms[TERMS];
    struct exact_sum whole = {.foreign = 0};

    state = 3;
    for (int i = 0; i < TERMS; i++) {
        terms[i] = draw_term();
        exact_sum_add(&whole, terms[i]);
    }
    for (int parts = 1; parts <= 7; parts++) {
        struct exact_sum total = {.foreign = 0};

        for (int part = parts - 1; part >= 0; part--) {
            struct exact_sum sum = {.foreign = 0};

            for (int i = TERMS - 1; i >= 0; i--) {
                if (i % parts == part)
                    exact_sum_add(&sum, terms[i]);
            }
            exact_sum_settle(&sum);
            ck_assert(exact_sum_is_sound(&sum));
            exact_sum_merge(&total, &sum);
        }
        exact_sum_settle(&whole);
        exact_sum_settle(&total);
        ck_assert_mem_eq(&total, &whole, sizeof(total));
        ck_assert(exact_sum_value(&total) == exact_sum_value(&whole));
    }
}
END_TEST

START_TEST(many_large_terms_carry)
{
    struct exact_sum sum = {.foreign = 0}, twice;

    exact_sum_add(&sum, 0x1.fffffffffffffp200);
    for (int i = 0; i < 40; i++) {
        twice = sum;
        exact_sum_merge(&sum, &twice);
    }
    ck_assert(exact_sum_value(&sum) == 0x1.fffffffffffffp240);
    for (int i = 0; i < 100; i++) {
        twice = sum;
        exact_sum_merge(&sum, &twice);
    }
    ck_assert(isnan(exact_sum_value(&sum))); /* beyond all bounds */
}
END_TEST

START_TEST(what_is_no_square_shows)
{
    const double foreign[] = {-1.0, INFINITY, NAN, 0x1p-321, 0x1p310};
    struct exact_sum bad = {.foreign = 0};

    for (size_t i = 0; i < sizeof(foreign) / sizeof(foreign[0]); i++)
        ck_assert(isnan(sum_of((double[]){1.0, foreign[i]}, 2)));
    ck_assert(sum_of((double[]){0.0, -0.0}, 2) == 0.0);
    bad.limbs[4] = -1;
    ck_assert(!exact_sum_is_sound(&bad));
    bad.limbs[4] = INT64_C(1) << 32;
    ck_assert(!exact_sum_is_sound(&bad));
}
END_TEST

static Suite *exact_sum_suite(void)
{
    Suite *suite = suite_create("exact_sum");
    TCase *tests = tcase_create("exact_sum");

    tcase_add_test(tests, a_term_comes_back);
    tcase_add_test(tests, totals_are_rounded_once);
    tcase_add_test(tests, ties_go_to_even);
    tcase_add_test(tests, order_and_parts_do_not_matter);
    tcase_add_test(tests, many_large_terms_carry);
    tcase_add_test(tests, what_is_no_square_shows);
    suite_add_tcase(suite, tests);
    return suite;
}

CHECK_MAIN(exact_sum_suite)
