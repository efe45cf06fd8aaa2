/* Which worker works for which job. */
#include "allocation.h"

#include "check_main.h"

#include <string.h>

#define FREE      ALLOCATION_FREE
#define HANDS_MAX 12

static bool all_fit(const void *context, size_t hand, size_t claim)
{
    (void)context;
    (void)hand;
    (void)claim;
    return true;
}

/* Hand 0 may not work for claim 0. */
static bool first_is_excluded(const void *context, size_t hand, size_t claim)
{
    (void)context;
    return hand != 0 || claim != 0;
}

/* before, after: the claim of each hand, a digit, or '-': free. Later hands joined later. */
static void expect(struct claim *claims, size_t claim_count, const char *before, const char *after,
                   allocation_fits *fits)
{
    struct hand hands[HANDS_MAX];
    char got[HANDS_MAX + 1] = "";
    size_t count = strlen(before);

    for (size_t i = 0; i < count; i++)
        hands[i] =
            (struct hand){.claim = before[i] == '-' ? FREE : (size_t)(before[i] - '0'), .joined = (int64_t)i};
    for (int turn = 0; turn < 2; turn++) { /* twice is as once */
        allocate(claims, claim_count, hands, count, fits, NULL);
        for (size_t i = 0; i < count; i++)
            got[i] = hands[i].claim == FREE ? '-' : (char)('0' + hands[i].claim);
        ck_assert_str_eq(got, after);
    }
}
#define CLAIMS(...)                                                                                          \
    (struct claim[])                                                                                         \
    {                                                                                                        \
        __VA_ARGS__                                                                                          \
    }

START_TEST(minima_come_first_in_the_order_of_jobs)
{
    expect(CLAIMS({2, 4, false, 0}, {1, 2, false, 0}), 2, "---", "001", all_fit);
    expect(CLAIMS({2, 4, false, 0}, {1, 2, false, 0}), 2, "-----", "00100", all_fit);
    expect(CLAIMS({2, 4, false, 0}, {1, 2, false, 0}), 2, "------", "001001", all_fit);
    expect(CLAIMS({2, 2, false, 0}, {1, 1, false, 0}), 2, "----", "001-", all_fit);
}
END_TEST

START_TEST(a_job_that_cannot_start_holds_up_no_other)
{
    expect(CLAIMS({4, 4, false, 0}, {1, 2, false, 0}), 2, "---", "11-", all_fit);
    expect(CLAIMS({4, 4, false, 0}, {3, 3, false, 0}), 2, "00-", "111",
           all_fit); /* job 0 cannot work with two */
    expect(CLAIMS({2, 2, false, 0}, {2, 2, false, 0}), 2, "0-1", "001", all_fit);
    expect(CLAIMS({2, 2, false, 0}, {2, 2, false, 0}), 2, "01", "00", all_fit);
}
END_TEST

START_TEST(some_jobs_gather_workers)
{
    expect(CLAIMS({3, 3, true, 0}), 1, "0--", "000", all_fit);
    expect(CLAIMS({3, 3, true, 0}), 1, "0-", "00", all_fit);
    expect(CLAIMS({3, 3, true, 0}, {2, 2, false, 0}), 2, "0-", "11", all_fit); /* who can work comes first */
}
END_TEST

START_TEST(surplus_goes_to_who_lacks_its_minimum)
{
    expect(CLAIMS({1, 4, false, 0}, {2, 2, false, 0}), 2, "0000", "0011", all_fit);
    expect(CLAIMS({1, 4, false, 0}, {2, 4, false, 0}), 2, "0000", "0011",
           all_fit); /* beyond the minimum nothing is taken */
    expect(CLAIMS({2, 4, false, 0}, {2, 4, false, 0}), 2, "000", "000", all_fit); /* one is not enough */
    expect(CLAIMS({1, 4, false, 0}, {1, 4, false, 0}, {2, 2, false, 0}), 3, "00110", "00122",
           all_fit); /* the newest, of any job */
    expect(CLAIMS({2, 2, false, 0}, {1, 4, false, 0}), 2, "-111", "0110", all_fit); /* free ones first */
}
END_TEST

START_TEST(scaling_down_lets_the_newest_go)
{
    expect(CLAIMS({1, 2, false, 0}), 1, "0000", "00--", all_fit);
    expect(CLAIMS({1, 1, false, 0}, {1, 3, false, 0}), 2, "000", "011", all_fit);
    expect(CLAIMS({1, 3, false, 0}), 1, "0-", "00", all_fit);
}
END_TEST

START_TEST(excluded_workers_work_elsewhere)
{
    expect(CLAIMS({1, 1, false, 0}, {1, 1, false, 0}), 2, "-", "1", first_is_excluded);
    expect(CLAIMS({1, 1, false, 0}, {1, 1, false, 0}), 2, "--", "10", first_is_excluded);
    expect(CLAIMS({1, 3, false, 0}), 1, "--", "-0", first_is_excluded);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("allocation");
    TCase *cases = tcase_create("allocation");

    tcase_add_test(cases, minima_come_first_in_the_order_of_jobs);
    tcase_add_test(cases, a_job_that_cannot_start_holds_up_no_other);
    tcase_add_test(cases, some_jobs_gather_workers);
    tcase_add_test(cases, surplus_goes_to_who_lacks_its_minimum);
    tcase_add_test(cases, scaling_down_lets_the_newest_go);
    tcase_add_test(cases, excluded_workers_work_elsewhere);
    suite_add_tcase(suite, cases);
    return suite;
}

CHECK_MAIN(make_suite)
