/* The server's name: given, made, kept. */
#include "check_main.h"
#include "folder.h"
#include "identity.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static char directory[FOLDER_BYTES];

static void setup(void)
{
    folder_make(directory);
}

static void teardown(void)
{
    folder_remove(directory);
}

START_TEST(a_made_name_is_kept)
{
    struct identity identity;
    struct error error;
    char made[IDENTITY_NAME_MAX];

    ck_assert_int_eq(identity_init(&identity, directory, NULL, &error), CAIRN_OK);
    strcpy(made, identity.name);
    ck_assert_ptr_nonnull(strstr(made, "cairn-test-"));
    ck_assert_uint_gt(strlen(identity.host), 0);
    identity_fini(&identity);
    ck_assert_int_eq(identity_init(&identity, directory, NULL, &error), CAIRN_OK);
    ck_assert_str_eq(identity.name, made);
    identity_fini(&identity);
    ck_assert_int_eq(identity_init(&identity, directory, made, &error), CAIRN_OK);
    identity_fini(&identity);
}
END_TEST

START_TEST(a_given_name_is_kept)
{
    struct identity identity;
    struct error error;

    ck_assert_int_eq(identity_init(&identity, directory, "alpha", &error), CAIRN_OK);
    identity_fini(&identity);
    ck_assert_int_eq(identity_init(&identity, directory, "beta", &error), CAIRN_INVALID);
    ck_assert_ptr_nonnull(strstr(error.message, "alpha"));
    identity_fini(&identity);
    ck_assert_int_eq(identity_init(&identity, directory, NULL, &error), CAIRN_OK);
    ck_assert_str_eq(identity.name, "alpha");
    identity_fini(&identity);
}
END_TEST

START_TEST(names_are_plain)
{
    static const char *const bad[] = {"", "two words", "a/b", "line\n", "\"", "ä"};
    struct identity identity;
    struct error error;
    char longest[IDENTITY_NAME_MAX + 1];

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        ck_assert_int_eq(identity_init(&identity, directory, bad[i], &error), CAIRN_INVALID);
        identity_fini(&identity);
    }
    memset(longest, 'x', sizeof(longest));
    longest[IDENTITY_NAME_MAX] = '\0';
    ck_assert_int_eq(identity_init(&identity, directory, longest, &error), CAIRN_INVALID);
    identity_fini(&identity);
    longest[IDENTITY_NAME_MAX - 1] = '\0';
    ck_assert_int_eq(identity_init(&identity, directory, longest, &error), CAIRN_OK);
    identity_fini(&identity);
}
END_TEST

START_TEST(a_directory_has_one_server)
{
    struct identity identity, other;
    struct error error;

    ck_assert_int_eq(identity_init(&identity, directory, "alpha", &error), CAIRN_OK);
    ck_assert_int_eq(identity_init(&other, directory, "alpha", &error), CAIRN_EXISTS);
    identity_fini(&other);
    identity_fini(&identity);
}
END_TEST

START_TEST(a_spoilt_name_is_refused)
{
    struct identity identity;
    struct store_transaction *transaction;
    struct store *store;
    struct error error;
    char value[IDENTITY_NAME_MAX + 10];

    memset(value, 'x', sizeof(value));
    for (int round = 0; round < 2; round++) {
        size_t length = round ? sizeof(value) : 3;

        value[1] = round ? 'x' : '\n';
        ck_assert_int_eq(store_open(directory, 0, &store, &error), CAIRN_OK);
        ck_assert_int_eq(store_begin_write(store, &transaction, &error), CAIRN_OK);
        ck_assert_int_eq(store_put(transaction, "name", 4, value, length, &error), CAIRN_OK);
        ck_assert_int_eq(store_commit(transaction, &error), CAIRN_OK);
        store_close(store);
        ck_assert_int_ne(identity_init(&identity, directory, NULL, &error), CAIRN_OK);
        identity_fini(&identity);
    }
}
END_TEST

static Suite *identity_suite(void)
{
    Suite *suite = suite_create("identity");
    TCase *tests = tcase_create("identity");

    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, a_made_name_is_kept);
    tcase_add_test(tests, a_given_name_is_kept);
    tcase_add_test(tests, names_are_plain);
    tcase_add_test(tests, a_directory_has_one_server);
    tcase_add_test(tests, a_spoilt_name_is_refused);
    suite_add_tcase(suite, tests);
    return suite;
}

CHECK_MAIN(identity_suite)
