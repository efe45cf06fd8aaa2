/* Waiters over sockets and descriptors. */
#include "check_main.h"
#include "net/waiter.h"
#include "sockets.h"

#include <sys/eventfd.h>

START_TEST(news_of_each_ends_the_sleep)
{
    char endpoint[ENDPOINT_BYTES];
    void *context = zmq_ctx_new();
    void *a = bound_socket(context, ZMQ_PULL, endpoint),
         *to_a = connected_socket(context, ZMQ_PUSH, endpoint);
    void *b = bound_socket(context, ZMQ_PULL, endpoint),
         *to_b = connected_socket(context, ZMQ_PUSH, endpoint);
    int descriptor = eventfd(0, EFD_NONBLOCK);
    uint64_t one = 1;
    struct waiter waiter;
    struct frames frames;
    struct error error = {.message = ""};

    waiter_init(&waiter);
    frames_init(&frames);
    ck_assert_int_eq(waiter_add_socket(&waiter, a, &error), CAIRN_OK);
    ck_assert_int_eq(waiter_add_socket(&waiter, b, &error), CAIRN_OK);
    ck_assert_int_eq(waiter_add_descriptor(&waiter, descriptor, &error), CAIRN_OK);
    for (int i = 0; i < 100; i++) {
        void *quiet = i % 2 ? a : b, *loud = i % 2 ? b : a;
        bool came = false;

        while (frames_receive(a, &frames, &error) == CAIRN_OK ||
               frames_receive(b, &frames, &error) == CAIRN_OK)
            frames_clear(&frames);
        ck_assert_int_eq(zmq_send(i % 2 ? to_b : to_a, "x", 1, 0), 1);
        for (int turns = 0; !came && turns < 100; turns++) { /* news of other things may come first */
            ck_assert_int_eq(waiter_sleep(&waiter, PATIENCE_MS, &error), CAIRN_OK);
            ck_assert(waiter_has(&waiter, 0) || waiter_has(&waiter, 1));
            ck_assert(!waiter_has(&waiter, 2));
            ck_assert_int_eq(frames_receive(quiet, &frames, &error), CAIRN_AGAIN);
            came = frames_receive(loud, &frames, &error) == CAIRN_OK;
            frames_clear(&frames);
        }
        ck_assert(came);
    }
    ck_assert_int_eq(write(descriptor, &one, sizeof(one)), sizeof(one));
    ck_assert_int_eq(waiter_sleep(&waiter, PATIENCE_MS, &error), CAIRN_OK);
    ck_assert(waiter_has(&waiter, 2));
    waiter_fini(&waiter);
    zmq_close(a), zmq_close(b), zmq_close(to_a), zmq_close(to_b);
    zmq_ctx_term(context);
    close(descriptor);
}
END_TEST

START_TEST(nothing_ends_a_sleep_but_its_time)
{
    int descriptor = eventfd(0, EFD_NONBLOCK);
    struct waiter waiter;
    struct error error = {.message = ""};

    waiter_init(&waiter);
    ck_assert_int_eq(waiter_add_descriptor(&waiter, descriptor, &error), CAIRN_OK);
    ck_assert_int_eq(waiter_sleep(&waiter, 0, &error), CAIRN_OK);
    ck_assert(!waiter_has(&waiter, 0));
    ck_assert_int_eq(waiter_sleep(&waiter, 20, &error), CAIRN_OK);
    ck_assert(!waiter_has(&waiter, 0));
    waiter_fini(&waiter);
    close(descriptor);
}
END_TEST

START_TEST(what_is_no_socket_cannot_be_waited_for)
{
    int nothing = 0;
    struct waiter waiter;
    struct error error = {.message = ""};

    waiter_init(&waiter);
    ck_assert_int_eq(waiter_add_socket(&waiter, &nothing, &error), CAIRN_IO);
    ck_assert_uint_eq(waiter.count, 0);
    waiter_fini(&waiter);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("waiter");
    TCase *tests = tcase_create("waiter");

    tcase_add_test(tests, news_of_each_ends_the_sleep);
    tcase_add_test(tests, nothing_ends_a_sleep_but_its_time);
    tcase_add_test(tests, what_is_no_socket_cannot_be_waited_for);
    suite_add_tcase(suite, tests);
    return suite;
}

CHECK_MAIN(make_suite)
