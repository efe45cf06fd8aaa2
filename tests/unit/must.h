/* Assertions as ck_assert and ck_assert_msg, but free when they hold: each of Check's own writes to a file
 * where it stands, and the suite reads all that at its end. For what is asked very often. Test code only. */
#ifndef CAIRN_TESTS_MUST_H
#define CAIRN_TESTS_MUST_H

#include <check.h>

#define MUST(condition) MUST_MSG(condition, "not so: %s", #condition)

#define MUST_MSG(condition, ...)                                                                             \
    do {                                                                                                     \
        if (!(condition))                                                                                    \
            ck_abort_msg(__VA_ARGS__);                                                                       \
    } while (0)

#endif
