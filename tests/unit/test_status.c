/* Statuses and error messages. */
#include "base/status.h"

#include "check_main.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

START_TEST(every_status_has_a_text)
{
    for (int i = 0; i < STATUS_COUNT; i++) {
        ck_assert_ptr_nonnull(status_text((enum status)i));
        ck_assert_str_ne(status_text((enum status)i), "unknown status");
    }
    ck_assert_str_eq(status_text(CAIRN_OK), "ok");
    ck_assert_str_eq(status_text((enum status)STATUS_COUNT), "unknown status");
    ck_assert_str_eq(status_text((enum status) - 1), "unknown status");
}
END_TEST

START_TEST(set_formats_and_returns_the_status)
{
    struct error error = {.system = 7};

    ck_assert_int_eq(error_set(&error, CAIRN_CORRUPT, "%s: byte %d", "file", 3), CAIRN_CORRUPT);
    ck_assert_int_eq(error.status, CAIRN_CORRUPT);
    ck_assert_int_eq(error.system, 0);
    ck_assert_str_eq(error.message, "file: byte 3");
}
END_TEST

START_TEST(system_codes_become_statuses)
{
    struct error error;

    ck_assert_int_eq(error_system(&error, ENOENT, "cannot open %s", "x"), CAIRN_NOT_FOUND);
    ck_assert_int_eq(error.system, ENOENT);
    ck_assert_str_eq(error.message, "cannot open x: No such file or directory");
    ck_assert_int_eq(error_system(&error, ENOMEM, "x"), CAIRN_NO_MEMORY);
    ck_assert_int_eq(error_system(&error, ENOSPC, "x"), CAIRN_FULL);
    ck_assert_int_eq(error_system(&error, EDQUOT, "x"), CAIRN_FULL);
    ck_assert_int_eq(error_system(&error, EACCES, "x"), CAIRN_IO);
}
END_TEST

START_TEST(prefix_goes_before_the_message)
{
    struct error error;

    ck_assert_int_eq(error_set(&error, CAIRN_IO, "inner"), CAIRN_IO);
    ck_assert_int_eq(error_prefix(&error, CAIRN_FULL, "outer %d", 1), CAIRN_FULL);
    ck_assert_str_eq(error.message, "outer 1: inner");
    ck_assert_int_eq(error.status, CAIRN_FULL);
}
END_TEST

START_TEST(long_messages_are_cut)
{
    struct error error;
    char text[2000];

    memset(text, 'a', sizeof(text));
    text[sizeof(text) - 1] = '\0';
    ck_assert_int_eq(error_set(&error, CAIRN_IO, "%s", text), CAIRN_IO);
    ck_assert_uint_eq(strlen(error.message), sizeof(error.message) - 1);
    ck_assert_int_eq(error_system(&error, EACCES, "%s", text), CAIRN_IO);
    ck_assert_uint_eq(strlen(error.message), sizeof(error.message) - 1);
    ck_assert_int_eq(error_set(&error, CAIRN_IO, "%s", text), CAIRN_IO);
    ck_assert_int_eq(error_prefix(&error, CAIRN_IO, "prefix"), CAIRN_IO);
    ck_assert_uint_eq(strlen(error.message), sizeof(error.message) - 1);
    ck_assert_int_eq(strncmp(error.message, "prefix: aaa", 11), 0);
}
END_TEST

START_TEST(context_may_be_left_out)
{
    ck_assert_int_eq(error_set(NULL, CAIRN_STALE, "x"), CAIRN_STALE);
    ck_assert_int_eq(error_system(NULL, ENOSPC, "x"), CAIRN_FULL);
    ck_assert_int_eq(error_prefix(NULL, CAIRN_STALE, "x"), CAIRN_STALE);
}
END_TEST

START_TEST(bug_aborts)
{
    BUG_IF(1 + 1 == 2);
}
END_TEST

static Suite *status_suite(void)
{
    Suite *suite = suite_create("status");
    TCase *cases = tcase_create("status");

    tcase_add_test(cases, every_status_has_a_text);
    tcase_add_test(cases, set_formats_and_returns_the_status);
    tcase_add_test(cases, system_codes_become_statuses);
    tcase_add_test(cases, prefix_goes_before_the_message);
    tcase_add_test(cases, long_messages_are_cut);
    tcase_add_test(cases, context_may_be_left_out);
    tcase_add_test_raise_signal(cases, bug_aborts, SIGABRT);
    suite_add_tcase(suite, cases);
    return suite;
}

CHECK_MAIN(status_suite)
