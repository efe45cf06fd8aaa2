/* Whose updates a chunk has: epochs, verdicts, what they add up to. */
#include "clocks.h"

#include "check_main.h"

#include <check.h>

static void begin_epoch(struct clocks *clocks, uint64_t first, uint64_t second, uint64_t step)
{
    const struct clock_start workers[] = {{first, step}, {second, step}};

    ck_assert_int_eq(clocks_begin_epoch(clocks, workers, second ? 2 : 1, NULL), CAIRN_OK);
}

START_TEST(an_update_is_due_once)
{
    struct clocks clocks = {0};

    begin_epoch(&clocks, 2, 1, 5);
    ck_assert_int_eq(clocks_judge(&clocks, 1, 5), CLOCKS_DUE);
    clocks_apply(&clocks, 1);
    ck_assert_int_eq(clocks_judge(&clocks, 1, 5), CLOCKS_HAD);
    ck_assert_int_eq(clocks_judge(&clocks, 1, 4), CLOCKS_HAD);
    ck_assert_int_eq(clocks_judge(&clocks, 1, 6), CLOCKS_DUE);
    ck_assert_int_eq(clocks_judge(&clocks, 1, 7), CLOCKS_GAP);
    ck_assert_int_eq(clocks_judge(&clocks, 2, 5), CLOCKS_DUE);
    ck_assert_uint_eq(clocks_total(&clocks), 1);
    clocks_fini(&clocks);
}
END_TEST

START_TEST(who_is_not_in_the_epoch_is_fenced)
{
    struct clocks clocks = {0};
    uint64_t step = 99;

    ck_assert_int_eq(clocks_judge(&clocks, 1, 0), CLOCKS_FENCED);
    begin_epoch(&clocks, 1, 2, 0);
    clocks_apply(&clocks, 1);
    clocks_apply(&clocks, 2);
    clocks_apply(&clocks, 2);
    begin_epoch(&clocks, 2, 3, 1);
    ck_assert_int_eq(clocks_judge(&clocks, 1, 1), CLOCKS_FENCED);
    ck_assert(!clocks_next(&clocks, 1, &step));
    ck_assert_int_eq(clocks_judge(&clocks, 0, 0), CLOCKS_FENCED);
    ck_assert(clocks_next(&clocks, 2, &step)); /* it goes on, whatever the epoch says */
    ck_assert_uint_eq(step, 2);
    ck_assert(clocks_next(&clocks, 3, &step));
    ck_assert_uint_eq(step, 1);
    ck_assert_uint_eq(clocks_total(&clocks), 3); /* those of who has left included */
    clocks_fini(&clocks);
}
END_TEST

START_TEST(the_least_is_of_the_living)
{
    struct clocks clocks = {0};

    ck_assert_uint_eq(clocks_least(&clocks), UINT64_MAX);
    begin_epoch(&clocks, 1, 2, 0);
    for (int i = 0; i < 5; i++)
        clocks_apply(&clocks, 2);
    ck_assert_uint_eq(clocks_least(&clocks), 0);
    begin_epoch(&clocks, 2, 0, 0);
    ck_assert_uint_eq(clocks_least(&clocks), 5);
    ck_assert_int_eq(clocks_begin_epoch(&clocks, NULL, 0, NULL), CAIRN_OK);
    ck_assert_uint_eq(clocks_least(&clocks), UINT64_MAX);
    clocks_fini(&clocks);
}
END_TEST

START_TEST(staleness_counts_from_what_was_given)
{
    struct clocks clocks = {0};

    begin_epoch(&clocks, 1, 2, 0);
    ck_assert_uint_eq(clocks_staleness(&clocks, 1, 7), 0);
    clocks_give(&clocks, 1, 0);
    ck_assert_uint_eq(clocks_staleness(&clocks, 1, 0), 0);
    ck_assert_uint_eq(clocks_staleness(&clocks, 1, 7), 7);
    clocks_give(&clocks, 1, 7);
    ck_assert_uint_eq(clocks_staleness(&clocks, 1, 7), 0);
    clocks_give(&clocks, 9, 7); /* nobody */
    ck_assert_uint_eq(clocks_staleness(&clocks, 9, 8), 0);
    clocks_fini(&clocks);
}
END_TEST

START_TEST(others_may_have_judged)
{
    struct clocks clocks = {0};
    uint64_t step;

    begin_epoch(&clocks, 2, 0, 5);
    ck_assert_int_eq(clocks_follow(&clocks, 2, 6, NULL), CAIRN_INVALID);
    ck_assert_int_eq(clocks_follow(&clocks, 2, 5, NULL), CAIRN_OK);
    clocks_apply(&clocks, 2);
    ck_assert_int_eq(clocks_follow(&clocks, 1, 3, NULL), CAIRN_OK); /* it is not known yet */
    clocks_apply(&clocks, 1);
    ck_assert(!clocks_next(&clocks, 1, &step));
    ck_assert_uint_eq(clocks_total(&clocks), 2);
    begin_epoch(&clocks, 1, 2, 3);
    ck_assert(clocks_next(&clocks, 1, &step));
    ck_assert_uint_eq(step, 4);
    clocks_fini(&clocks);
}
END_TEST

START_TEST(what_is_loaded_makes_sense)
{
    const struct clock good[] = {{1, 0, 4}, {5, 4, 4}}, unordered[] = {{2, 0, 1}, {2, 0, 1}},
                       backwards[] = {{1, 3, 2}};
    struct clocks clocks = {0};
    uint64_t step;

    begin_epoch(&clocks, 8, 9, 0);
    ck_assert_int_eq(clocks_load(&clocks, unordered, 2, NULL), CAIRN_CORRUPT);
    ck_assert_int_eq(clocks_load(&clocks, backwards, 1, NULL), CAIRN_CORRUPT);
    ck_assert_int_eq(clocks_load(&clocks, good, 2, NULL), CAIRN_OK);
    ck_assert_uint_eq(clocks.count, 2);
    ck_assert_uint_eq(clocks_total(&clocks), 4);
    ck_assert(!clocks_next(&clocks, 1, &step));
    begin_epoch(&clocks, 1, 6, 2);
    ck_assert(clocks_next(&clocks, 1, &step));
    ck_assert_uint_eq(step, 4);
    clocks_fini(&clocks);
}
END_TEST

static Suite *clocks_suite(void)
{
    Suite *suite = suite_create("clocks");
    TCase *tests = tcase_create("clocks");

    tcase_add_test(tests, an_update_is_due_once);
    tcase_add_test(tests, who_is_not_in_the_epoch_is_fenced);
    tcase_add_test(tests, the_least_is_of_the_living);
    tcase_add_test(tests, staleness_counts_from_what_was_given);
    tcase_add_test(tests, others_may_have_judged);
    tcase_add_test(tests, what_is_loaded_makes_sense);
    suite_add_tcase(suite, tests);
    return suite;
}

CHECK_MAIN(clocks_suite)
