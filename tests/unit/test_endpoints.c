/* Where shards listen and what others are told. */
#include "check_main.h"
#include "endpoints.h"

static char endpoint[64];

static void expect_listen(const char *listen, uint32_t shard, const char *expected)
{
    struct error error;

    ck_assert_msg(endpoint_listen(listen, shard, endpoint, sizeof(endpoint), &error) == CAIRN_OK, "%s",
                  error.message);
    ck_assert_str_eq(endpoint, expected);
}

START_TEST(each_shard_has_its_own)
{
    expect_listen("tcp://127.0.0.1:0", 3, "tcp://127.0.0.1:0");
    expect_listen("tcp://*:7710", 0, "tcp://*:7710");
    expect_listen("tcp://*:7710", 3, "tcp://*:7713");
    expect_listen("tcp://[::1]:7710", 1, "tcp://[::1]:7711");
    expect_listen("ipc:///tmp/x/server", 1, "ipc:///tmp/x/server.1");
    expect_listen("ipc://@abstract", 0, "ipc://@abstract.0");
}
END_TEST

START_TEST(what_is_no_endpoint_is_refused)
{
    static const char *const bad[] = {"",           "tcp://",         "tcp://host",       "tcp://host:",
                                      "tcp://:1",   "tcp://host:x",   "tcp://host:1x",    "tcp://host:65536",
                                      "tcp://h:-1", "inproc://shard", "tcp://host:65535", "ipc://"};
    struct error error;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        ck_assert_msg(endpoint_listen(bad[i], 1, endpoint, sizeof(endpoint), &error) == CAIRN_INVALID, "%s",
                      bad[i]);
    ck_assert_int_eq(endpoint_listen("ipc:///a/very/long/path", 0, endpoint, 12, &error), CAIRN_INVALID);
}
END_TEST

static void expect_advertised(const char *bound, const char *advertise, const char *expected)
{
    struct error error;

    ck_assert_int_eq(endpoint_advertise(bound, advertise, "box", endpoint, sizeof(endpoint), &error),
                     CAIRN_OK);
    ck_assert_str_eq(endpoint, expected);
}

START_TEST(others_are_told_what_they_can_reach)
{
    expect_advertised("tcp://127.0.0.1:4000", NULL, "tcp://127.0.0.1:4000");
    expect_advertised("tcp://127.0.0.1:4000", "gate", "tcp://gate:4000");
    expect_advertised("tcp://0.0.0.0:4000", NULL, "tcp://box:4000");
    expect_advertised("tcp://[::]:4000", NULL, "tcp://box:4000");
    expect_advertised("tcp://0.0.0.0:4000", "gate", "tcp://gate:4000");
    expect_advertised("ipc:///tmp/x.0", "gate", "ipc:///tmp/x.0");
}
END_TEST

static Suite *endpoints_suite(void)
{
    Suite *suite = suite_create("endpoints");
    TCase *tests = tcase_create("endpoints");

    tcase_add_test(tests, each_shard_has_its_own);
    tcase_add_test(tests, what_is_no_endpoint_is_refused);
    tcase_add_test(tests, others_are_told_what_they_can_reach);
    suite_add_tcase(suite, tests);
    return suite;
}

CHECK_MAIN(endpoints_suite)
