/* What comes twice for a node, and how often that is told. */
#include "check_main.h"
#include "divergences.h"
#include "duplicates.h"

#define PLACES 3

static const struct tree_node left = {0, 4}, right = {4, 8}, whole = {0, 8};

START_TEST(the_first_is_what_others_are_compared_with)
{
    struct duplicates *duplicates = duplicates_new(PLACES);

    ck_assert(duplicates_agree(duplicates, 0, 7, left, 1));
    ck_assert(duplicates_agree(duplicates, 0, 7, right, 2));
    ck_assert(duplicates_agree(duplicates, 0, 7, whole, 3));
    ck_assert(duplicates_agree(duplicates, 1, 7, left, 4));
    ck_assert(duplicates_agree(duplicates, 0, 7, left, 1));
    ck_assert(!duplicates_agree(duplicates, 0, 7, left, 2));
    ck_assert(duplicates_agree(duplicates, 0, 7, left, 1)); /* the first stays */
    ck_assert(!duplicates_agree(duplicates, 1, 7, left, 1));
    duplicates_free(duplicates);
    duplicates_free(NULL);
}
END_TEST

START_TEST(two_steps_are_known)
{
    struct duplicates *duplicates = duplicates_new(1);

    for (uint64_t step = 0; step < 10; step++) {
        ck_assert(duplicates_agree(duplicates, 0, step, left, step));
        ck_assert(step == 0 || !duplicates_agree(duplicates, 0, step - 1, left, step));
        ck_assert(!duplicates_agree(duplicates, 0, step, left, step + 1));
        ck_assert(step < 2 || duplicates_agree(duplicates, 0, step - 2, left, step)); /* nobody knows */
    }
    ck_assert(duplicates_agree(duplicates, 0, 500, left, 1)); /* steps may be skipped */
    ck_assert(!duplicates_agree(duplicates, 0, 500, left, 2));
    ck_assert(!duplicates_agree(duplicates, 0, 9, left, 2));
    duplicates_free(duplicates);
}
END_TEST

/* Nodes beyond what is remembered are not compared, and those before are. */
START_TEST(memory_is_bounded)
{
    struct duplicates *duplicates = duplicates_new(1);

    for (uint32_t i = 0; i < 2 * DUPLICATES_NODES_MAX; i++)
        ck_assert(duplicates_agree(duplicates, 0, 3, (struct tree_node){i, i + 1}, i));
    for (uint32_t i = 0; i < 2 * DUPLICATES_NODES_MAX; i++)
        ck_assert_int_eq(duplicates_agree(duplicates, 0, 3, (struct tree_node){i, i + 1}, i + 1),
                         i >= DUPLICATES_NODES_MAX);
    duplicates_free(duplicates);
}
END_TEST

START_TEST(a_few_a_second_are_told)
{
    struct divergences divergences = {.told = 0};
    uint64_t untold = 9;

    for (int i = 0; i < 20; i++)
        ck_assert_int_eq(divergences_count(&divergences, 5000 + i, &untold), i < DIVERGENCES_A_SECOND);
    ck_assert_uint_eq(untold, 0);
    ck_assert(!divergences_count(&divergences, 5999, &untold));
    ck_assert(divergences_count(&divergences, 6000, &untold));
    ck_assert_uint_eq(untold, 21 - DIVERGENCES_A_SECOND);
    ck_assert(divergences_count(&divergences, 6001, &untold));
    ck_assert_uint_eq(untold, 0);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("duplicates");
    TCase *tests = tcase_create("duplicates");

    tcase_add_test(tests, the_first_is_what_others_are_compared_with);
    tcase_add_test(tests, two_steps_are_known);
    tcase_add_test(tests, memory_is_bounded);
    tcase_add_test(tests, a_few_a_second_are_told);
    suite_add_tcase(suite, tests);
    return suite;
}

CHECK_MAIN(make_suite)
