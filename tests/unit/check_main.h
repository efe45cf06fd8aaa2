/* Runs one Check suite as a test program: `CHECK_MAIN(suite_function)`. */
#ifndef CAIRN_TESTS_CHECK_MAIN_H
#define CAIRN_TESTS_CHECK_MAIN_H

#include <check.h>
#include <stdlib.h>

#define CHECK_MAIN(make_suite)                                                                               \
    int main(void)                                                                                           \
    {                                                                                                        \
        SRunner *runner = srunner_create(make_suite());                                                      \
        int failed;                                                                                          \
                                                                                                             \
        srunner_run_all(runner, CK_ENV);                                                                     \
        failed = srunner_ntests_failed(runner);                                                              \
        srunner_free(runner);                                                                                \
        return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;                                                    \
    }

#endif
