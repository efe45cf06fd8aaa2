/* An assertion for what is asked a hundred thousand times in a suite: each of Check's writes to a file where
 * it stands, also when it holds, and the suite reads all that at its end. Test code only. */
#ifndef CAIRN_TESTS_MUST_H
#define CAIRN_TESTS_MUST_H

#include <check.h>

#define must(condition, ...)                                                                                 \
    do {                                                                                                     \
        if (!(condition))                                                                                    \
            ck_abort_msg(__VA_ARGS__);                                                                       \
    } while (0)

#endif
