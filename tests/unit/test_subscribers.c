/* Clients, waiting lists, and replies that gather. */
#include "check_main.h"
#include "replies.h"
#include "subscribers.h"

#include <stdio.h>
#include <string.h>

static struct client *get(struct subscribers *subscribers, const char *name)
{
    struct client *client = client_get(subscribers, name, strlen(name));

    ck_assert_ptr_nonnull(client);
    return client;
}

START_TEST(a_client_is_one_as_long_as_it_is_held)
{
    struct subscribers *subscribers = subscribers_new();
    struct client *a = get(subscribers, "a"), *b = get(subscribers, "b");

    ck_assert_ptr_ne(a, b);
    ck_assert_ptr_eq(get(subscribers, "a"), a);
    client_release(subscribers, a);
    client_release(subscribers, a);
    client_release(subscribers, b);
    subscribers_free(subscribers);
    subscribers_free(NULL);
}
END_TEST

START_TEST(clients_are_bounded)
{
    struct subscribers *subscribers = subscribers_new();
    static struct client *clients[SUBSCRIBERS_MAX];
    char name[CLIENT_NAME_MAX];

    memset(name, 'x', sizeof(name));
    for (uint32_t i = 0; i < SUBSCRIBERS_MAX; i++) {
        memcpy(name, &i, sizeof(i));
        clients[i] = client_get(subscribers, name, sizeof(name));
        ck_assert(clients[i] != NULL);
    }
    ck_assert_ptr_null(client_get(subscribers, "one more", 8));
    client_release(subscribers, clients[17]);
    clients[17] = get(subscribers, "one more");
    for (uint32_t i = 0; i < SUBSCRIBERS_MAX; i++)
        client_release(subscribers, clients[i]);
    subscribers_free(subscribers);
}
END_TEST

/* The names of those who are taken up to a version, in order; those who want no values, or exact ones, with a
 * mark. */
static const char *take_all(struct subscribers *subscribers, struct waiting_list *list, uint64_t limit)
{
    static char names[64];
    struct wait wait;
    size_t used = 0;

    names[0] = '\0';
    while (subscriber_take(subscribers, list, limit, &wait)) {
        used += (size_t)snprintf(names + used, sizeof(names) - used, "%.*s%d%s ", wait.client->length,
                                 wait.client->name, (int)wait.version,
                                 wait.answer == ANSWER_EXISTENCE ? "!"
                                 : wait.answer == ANSWER_EXACT   ? "="
                                                                 : "");
        wait_release(subscribers, &wait);
    }
    return names;
}

static void wait_for(struct subscribers *subscribers, struct waiting_list *list, struct client *client,
                     uint64_t version)
{
    const struct wait wait = {client, version, 0, ANSWER_VALUES, NULL, 0};

    ck_assert_int_eq(subscribe(subscribers, list, &wait), CAIRN_OK);
}

START_TEST(waiting_lists_are_in_order_and_without_doubles)
{
    struct subscribers *subscribers = subscribers_new();
    struct client *a = get(subscribers, "a"), *b = get(subscribers, "b");
    struct waiting_list list = {NULL, NULL};

    ck_assert_str_eq(take_all(subscribers, &list, 9), "");
    wait_for(subscribers, &list, a, 5);
    wait_for(subscribers, &list, b, 3);
    wait_for(subscribers, &list, b, 3);
    wait_for(subscribers, &list, a, 3);
    ck_assert_str_eq(take_all(subscribers, &list, 2), "");
    ck_assert_str_eq(take_all(subscribers, &list, 3), "b3 a3 ");
    wait_for(subscribers, &list, b, 4);
    ck_assert_str_eq(take_all(subscribers, &list, 4), "b4 ");
    wait_for(subscribers, &list, b, 6);
    ck_assert_str_eq(take_all(subscribers, &list, 9), "a5 b6 ");
    client_release(subscribers, a);
    client_release(subscribers, b);
    subscribers_free(subscribers);
}
END_TEST

START_TEST(waits_for_rows_and_for_existence_are_their_own)
{
    struct subscribers *subscribers = subscribers_new();
    struct client *a = get(subscribers, "a");
    struct waiting_list list = {NULL, NULL};
    struct buffer *keys = buffer_new(16);
    struct wait rows = {a, 7, 1, ANSWER_VALUES, keys, 0}, existence = {a, 7, 2, ANSWER_EXISTENCE, NULL, 0};
    struct wait exact = {a, 7, 0, ANSWER_EXACT, NULL, 0};
    struct wait other = {a, 7, 3, ANSWER_EXISTENCE, NULL, 0}, nameless = {a, 7, 0, ANSWER_VALUES, keys, 0};

    wait_for(subscribers, &list, a, 7);
    ck_assert_int_eq(subscribe(subscribers, &list, &existence), CAIRN_OK);
    ck_assert_int_eq(subscribe(subscribers, &list, &existence), CAIRN_OK);
    ck_assert_int_eq(subscribe(subscribers, &list, &other), CAIRN_OK); /* another push's */
    ck_assert_int_eq(subscribe(subscribers, &list, &exact), CAIRN_OK);
    ck_assert_int_eq(subscribe(subscribers, &list, &exact), CAIRN_OK);
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(subscribe(subscribers, &list, &rows), CAIRN_OK);
        ck_assert_int_eq(subscribe(subscribers, &list, &nameless), CAIRN_OK);
    }
    ck_assert(!buffer_is_exclusive(keys));
    ck_assert_str_eq(take_all(subscribers, &list, 7), "a7 a7! a7! a7= a7 a7 a7 ");
    ck_assert(buffer_is_exclusive(keys));
    buffer_unref(keys);
    client_release(subscribers, a);
    subscribers_free(subscribers);
}
END_TEST

START_TEST(what_a_client_waits_for_is_bounded)
{
    struct subscribers *subscribers = subscribers_new();
    struct client *greedy = get(subscribers, "greedy"), *modest = get(subscribers, "modest");
    struct waiting_list list = {NULL, NULL};
    struct buffer *keys = buffer_new(1 << 20);
    struct wait wait = {greedy, 1, 0, ANSWER_VALUES, keys, 0}, other = {modest, 1, 0, ANSWER_VALUES, keys, 0};
    uint64_t count = 0;

    while (subscribe(subscribers, &list, &wait) == CAIRN_OK)
        wait.request = ++count;
    ck_assert_uint_eq(count, (WAITING_BYTES_MAX - 1) >> 20);
    wait.keys = NULL; /* small ones fill what is left */
    while (subscribe(subscribers, &list, &wait) == CAIRN_OK)
        wait.version = ++count;
    ck_assert_uint_le(count * WAIT_BYTES, 2 * WAITING_BYTES_MAX);
    ck_assert_int_eq(subscribe(subscribers, &list, &wait), CAIRN_FULL);
    ck_assert_int_eq(subscribe(subscribers, &list, &other), CAIRN_OK);
    ck_assert(subscriber_take(subscribers, &list, 1, &other)); /* the first is the greedy one's */
    wait_release(subscribers, &other);
    wait.keys = keys;
    wait.version = 1;
    ck_assert_int_eq(subscribe(subscribers, &list, &wait), CAIRN_OK);
    while (subscriber_take(subscribers, &list, UINT64_MAX, &other))
        wait_release(subscribers, &other);
    ck_assert(buffer_is_exclusive(keys));
    buffer_unref(keys);
    ck_assert_uint_eq(greedy->waiting_bytes, 0);
    client_release(subscribers, greedy);
    client_release(subscribers, modest);
    subscribers_free(subscribers);
}
END_TEST

START_TEST(replies_gather_up_to_a_message)
{
    struct subscribers *subscribers = subscribers_new();
    struct replies *replies = replies_new(subscribers);
    struct client *a = get(subscribers, "a"), *b = get(subscribers, "b");
    struct buffer *values = buffer_new(64);
    struct reply_subject first = {1, 1, 0, 4, 0}, second = {1, 1, 0, 5, 0};
    struct reply *reply;

    for (uint32_t chunk = 0; chunk < WIRE_PAYLOADS_MAX + 1; chunk++) {
        ck_assert_int_eq(replies_values(replies, &first, a, chunk, DATA_FLOAT32, values), CAIRN_OK);
        ck_assert_int_eq(replies_values(replies, &first, b, chunk, DATA_FLOAT32, values), CAIRN_OK);
    }
    ck_assert_int_eq(replies_values(replies, &second, a, 0, DATA_FLOAT32, values), CAIRN_OK);
    ck_assert_int_eq(replies_refuse(replies, &first, a, DATA_REFUSED_STALE, "no"), CAIRN_OK);
    for (int i = 0; i < 6; i++) {
        reply = replies_next(replies);
        ck_assert_ptr_nonnull(reply);
        ck_assert_uint_eq(reply->header.payload_count, i < 2 ? WIRE_PAYLOADS_MAX : i < 5 ? 1 : 0);
    }
    ck_assert_str_eq(reply->header.message, "no");
    ck_assert_ptr_null(replies_next(replies));
    ck_assert(buffer_is_exclusive(values));
    ck_assert_int_eq(replies_values(replies, &first, a, 0, DATA_FLOAT32, values), CAIRN_OK);
    replies_free(replies); /* with what nobody took */
    ck_assert(buffer_is_exclusive(values));
    buffer_unref(values);
    client_release(subscribers, a);
    client_release(subscribers, b);
    subscribers_free(subscribers);
}
END_TEST

static Suite *subscribers_suite(void)
{
    Suite *suite = suite_create("subscribers");
    TCase *tests = tcase_create("subscribers");

    tcase_add_test(tests, what_a_client_waits_for_is_bounded);
    tcase_add_test(tests, a_client_is_one_as_long_as_it_is_held);
    tcase_add_test(tests, clients_are_bounded);
    tcase_add_test(tests, waiting_lists_are_in_order_and_without_doubles);
    tcase_add_test(tests, waits_for_rows_and_for_existence_are_their_own);
    tcase_add_test(tests, replies_gather_up_to_a_message);
    suite_add_tcase(suite, tests);
    return suite;
}

CHECK_MAIN(subscribers_suite)
