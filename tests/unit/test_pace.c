/* When a step is late, and which piece of it a worker takes: by hand and against plain counting. */
#include "check_main.h"
#include "pace.h"

#include <string.h>

#define MS UINT64_C(1000000)

START_TEST(nobody_is_late_before_there_is_a_pace)
{
    struct pace pace = {.count = 0};

    for (int i = 0; i < PACE_STEPS_MIN; i++) {
        ck_assert_uint_eq(pace_patience_ns(&pace, 3), UINT64_MAX);
        pace_add(&pace, 100 * MS);
    }
    ck_assert_uint_eq(pace_patience_ns(&pace, 3), 300 * MS);
    ck_assert_uint_eq(pace_patience_ns(&pace, 1.5), 150 * MS);
    ck_assert_uint_eq(pace_patience_ns(&pace, 0), UINT64_MAX);
}
END_TEST

START_TEST(the_median_of_the_last_steps_counts)
{
    struct pace pace = {.count = 0};

    for (int i = 0; i < PACE_STEPS; i++)
        pace_add(&pace, (i % 3 == 0 ? 5000 : 100) * MS); /* some take long */
    ck_assert_uint_eq(pace_patience_ns(&pace, 2), 200 * MS);
    for (int i = 0; i < PACE_STEPS; i++)
        pace_add(&pace, 400 * MS);
    ck_assert_uint_eq(pace_patience_ns(&pace, 2), 800 * MS);
    for (int i = 0; i < PACE_STEPS; i++)
        pace_add(&pace, MS);
    ck_assert_uint_eq(pace_patience_ns(&pace, 2), PACE_LEAST_NS);
    pace_add(&pace, UINT64_MAX);
    for (int i = 0; i < PACE_STEPS; i++)
        pace_add(&pace, UINT64_MAX);
    ck_assert_uint_eq(pace_patience_ns(&pace, 1000), UINT64_MAX);
}
END_TEST

START_TEST(pieces_are_of_what_is_missing)
{
    const bool missing[] = {false, true, true, false, true, true, true, false};
    static const uint32_t expected[][2] = {{1, 3}, {4, 6}, {6, 7}, {1, 3}};
    uint32_t begin, end;

    for (uint64_t worker = 0; worker < 4; worker++) {
        ck_assert(pace_piece(missing, 8, 2, worker, &begin, &end));
        ck_assert_uint_eq(begin, expected[worker][0]);
        ck_assert_uint_eq(end, expected[worker][1]);
    }
    ck_assert(!pace_piece(missing, 1, 2, 0, &begin, &end));
    ck_assert(pace_piece(missing, 8, 64, 9, &begin, &end));
    ck_assert(begin == 1 && end == 3);
}
END_TEST

/* Whoever comes in turn gets through all, whatever is missing, in few pieces. */
START_TEST(all_is_taken)
{
    bool missing[4096];
    uint64_t random = 1;

    for (int round = 0; round < 20; round++) {
        uint32_t leaves = 1 + (uint32_t)(random >> 33) % 4096, lanes, begin, end;

        for (uint32_t i = 0; i < leaves; i++) {
            random = random * 6364136223846793005u + 1442695040888963407u;
            missing[i] = (random >> 40) % 3 != 0;
        }
        lanes = 1 + (uint32_t)(random >> 50) % 9;
        while (pace_piece(missing, leaves, lanes, random >> 20, &begin, &end)) {
            ck_assert_uint_lt(begin, end);
            ck_assert_uint_le(end, leaves);
            for (uint32_t i = begin; i < end; i++) {
                ck_assert(missing[i]);
                missing[i] = false;
            }
        }
        for (uint32_t i = 0; i < leaves; i++)
            ck_assert(!missing[i]);
    }
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("pace");
    TCase *tests = tcase_create("pace");

    tcase_add_test(tests, nobody_is_late_before_there_is_a_pace);
    tcase_add_test(tests, the_median_of_the_last_steps_counts);
    tcase_add_test(tests, pieces_are_of_what_is_missing);
    tcase_add_test(tests, all_is_taken);
    suite_add_tcase(suite, tests);
    return suite;
}

CHECK_MAIN(make_suite)
