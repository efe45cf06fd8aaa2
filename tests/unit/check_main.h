/* Runs one Check suite as a test program: `CHECK_MAIN(suite_function)`. */
#ifndef CAIRN_TESTS_CHECK_MAIN_H
#define CAIRN_TESTS_CHECK_MAIN_H

#include <check.h>
#include <stdlib.h>

/* How many of so many random cases there are: a sanitizer looks for errors on each path, which some of the cases
 * take as well as all, and each of them takes some ten times as long. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define RANDOM_CASES(count) (((count) + 3) / 4)
#else
#define RANDOM_CASES(count) (count)
#endif

static inline int check_run(Suite *suite)
{
    SRunner *runner = srunner_create(suite);
    int failed;

    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

#define CHECK_MAIN(make_suite)                                                                               \
    int main(void)                                                                                           \
    {                                                                                                        \
        return check_run(make_suite());                                                                      \
    }

/* One that is skipped, as ctest has it, where something is missing. */
#define CHECK_SKIPPED 77
#define CHECK_MAIN_IF(is_possible, make_suite)                                                               \
    int main(void)                                                                                           \
    {                                                                                                        \
        return is_possible() ? check_run(make_suite()) : CHECK_SKIPPED;                                      \
    }

#endif
