/* Ranges of steps, and what two come to. */
#include "base/step_range.h"

#include "check_main.h"

static void expect(struct step_range range, uint64_t after, uint64_t last)
{
    ck_assert_uint_eq(range.after, after);
    ck_assert_uint_eq(range.last, last);
}

START_TEST(a_range_ends_with_its_last_step)
{
    const struct step_range none = {0}, range = {3, 5};

    ck_assert(!step_range_has(none, 0));
    ck_assert(!step_range_has(none, 1));
    ck_assert(!step_range_has(range, 3));
    ck_assert(step_range_has(range, 4));
    ck_assert(step_range_has(range, 5));
    ck_assert(!step_range_has(range, 6));
}
END_TEST

START_TEST(two_ranges_are_one_with_what_lies_between)
{
    struct step_range range = {0};

    step_range_add(&range, (struct step_range){10, 12}, 4);
    expect(range, 10, 12);
    step_range_add(&range, (struct step_range){20, 25}, 4);
    expect(range, 10, 25);
    step_range_add(&range, (struct step_range){5, 7}, 4);
    expect(range, 5, 25);
    step_range_add(&range, (struct step_range){6, 9}, 4);
    expect(range, 5, 25);
}
END_TEST

START_TEST(what_is_behind_counts_for_nothing)
{
    struct step_range range = {3, 8};

    step_range_add(&range, (struct step_range){1, 7}, 7);
    expect(range, 3, 8);
    step_range_add(&range, (struct step_range){9, 11}, 8);
    expect(range, 9, 11);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("step_range");
    TCase *tests = tcase_create("step_range");

    tcase_add_test(tests, a_range_ends_with_its_last_step);
    tcase_add_test(tests, two_ranges_are_one_with_what_lies_between);
    tcase_add_test(tests, what_is_behind_counts_for_nothing);
    suite_add_tcase(suite, tests);
    return suite;
}

CHECK_MAIN(make_suite)
