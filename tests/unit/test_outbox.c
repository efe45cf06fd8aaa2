/* Queues of clients, without sockets: a message is on its way as long as its ticket's buffer is held. */
#include "check_main.h"
#include "outbox.h"

#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#define LIMIT 1000

static struct outboxes *outboxes_begin(void)
{
    struct outboxes *outboxes = NULL;
    struct error error = {.message = ""};

    ck_assert_msg(outboxes_new(LIMIT, &outboxes, &error) == CAIRN_OK, "%s", error.message);
    return outboxes;
}

static struct outbox *outbox_named(struct outboxes *outboxes, const char *name)
{
    struct outbox *outbox = outbox_of(outboxes, name, strlen(name));

    ck_assert_ptr_nonnull(outbox);
    return outbox;
}

/* A message of `bytes` about version `version`, on its way until the returned buffer is let go. */
static struct buffer *post(struct outbox *outbox, uint64_t version, size_t bytes, bool is_private)
{
    const struct outbox_note note = {{7, 1, 0, version, 0}, 3, is_private, bytes};
    struct buffer *part = buffer_new(8), *ticket;

    ck_assert_ptr_nonnull(part);
    memset(part->data, (int)version, part->length_bytes);
    ticket = outbox_ticket(outbox, &note, part);
    ck_assert_ptr_nonnull(ticket);
    buffer_unref(part); /* the ticket has its own reference */
    return ticket;
}

static bool rings(const struct outboxes *outboxes)
{
    struct pollfd item = {outboxes_descriptor(outboxes), POLLIN, 0};

    return poll(&item, 1, 0) > 0;
}

static void expect_drained(struct outboxes *outboxes, const char *name, uint64_t version)
{
    struct reply_subject lost;
    size_t length;
    const void *client = outboxes_drained(outboxes, &length, &lost);

    if (!name) {
        ck_assert_ptr_null(client);
        return;
    }
    ck_assert_ptr_nonnull(client);
    ck_assert_uint_eq(length, strlen(name));
    ck_assert_int_eq(memcmp(client, name, length), 0);
    ck_assert_uint_eq(lost.version, version);
}

START_TEST(a_queue_is_what_has_not_come_back)
{
    struct outboxes *outboxes = outboxes_begin();
    struct outbox *outbox = outbox_named(outboxes, "a");
    struct outbox_note note;
    struct buffer *first = post(outbox, 1, 300, false), *second = post(outbox, 2, 400, true);

    ck_assert_uint_eq(outbox_messages(outbox), 2);
    ck_assert_uint_eq(outbox_bytes(outbox), 700);
    ck_assert_uint_eq(outbox_messages(outbox_named(outboxes, "b")), 0);
    ck_assert_ptr_eq(outbox_named(outboxes, "a"), outbox);
    ck_assert(outbox_oldest(outbox, &note));
    ck_assert_uint_eq(note.subject.version, 1);
    ck_assert_uint_eq(note.chunk, 3);
    ck_assert(!note.is_private);
    ck_assert_int_eq(((unsigned char *)second->data)[7], 2); /* the part's own bytes */
    buffer_unref(first);
    ck_assert_uint_eq(outbox_bytes(outbox), 400);
    ck_assert(outbox_oldest(outbox, &note));
    ck_assert_uint_eq(note.subject.version, 2);
    ck_assert(note.is_private);
    buffer_unref(second);
    ck_assert_uint_eq(outbox_messages(outbox), 0);
    ck_assert(!outbox_oldest(outbox, &note));
    outboxes_free(outboxes);
    outboxes_free(NULL);
}
END_TEST

START_TEST(bytes_are_limited_once_the_oldest_is_not_needed)
{
    struct outboxes *outboxes = outboxes_begin();
    struct outbox *outbox = outbox_named(outboxes, "a");
    struct buffer *held;

    ck_assert(outbox_takes(outbox, LIMIT, false));
    ck_assert(!outbox_takes(outbox, LIMIT + 1, false));
    ck_assert(outbox_takes(outbox, 100 * LIMIT, true)); /* the shard holds it anyway */
    held = post(outbox, 1, LIMIT - 10, false);
    ck_assert(outbox_takes(outbox, 10, false));
    ck_assert(!outbox_takes(outbox, 11, false));
    ck_assert(outbox_takes(outbox, 11, true));
    buffer_unref(held);
    ck_assert(outbox_takes(outbox, LIMIT, false));
    outboxes_free(outboxes);
}
END_TEST

START_TEST(messages_are_limited_whatever_is_in_them)
{
    static struct buffer *held[OUTBOX_MESSAGES_MAX];
    struct outboxes *outboxes = outboxes_begin();
    struct outbox *outbox = outbox_named(outboxes, "a");

    for (int i = 0; i < OUTBOX_MESSAGES_MAX; i++) {
        ck_assert(outbox_takes(outbox, 0, true));
        held[i] = post(outbox, 1, 0, false);
    }
    ck_assert(!outbox_takes(outbox, 0, true));
    buffer_unref(held[0]);
    ck_assert(outbox_takes(outbox, 0, true));
    for (int i = 1; i < OUTBOX_MESSAGES_MAX; i++)
        buffer_unref(held[i]);
    outboxes_free(outboxes);
}
END_TEST

START_TEST(who_lost_answers_is_told_once_when_drained)
{
    struct outboxes *outboxes = outboxes_begin();
    struct outbox *outbox = outbox_named(outboxes, "a"), *other = outbox_named(outboxes, "b");
    struct reply_subject lost = {7, 1, 0, 5, 0}, later = {7, 1, 0, 6, 0};
    struct buffer *first = post(outbox, 1, 1, false), *second = post(outbox, 2, 1, false);
    struct buffer *others = post(other, 1, 1, false);

    ck_assert(outbox_lose(outbox, &lost));
    ck_assert(!outbox_lose(outbox, &later));
    ck_assert(!outbox_takes(outbox, 0, true));
    ck_assert(outbox_takes(other, 0, true));
    buffer_unref(first);
    ck_assert(!rings(outboxes));
    expect_drained(outboxes, NULL, 0);
    buffer_unref(second);
    ck_assert(rings(outboxes));
    expect_drained(outboxes, "a", 5);
    expect_drained(outboxes, NULL, 0);
    ck_assert(!rings(outboxes));
    ck_assert(outbox_takes(outbox, 0, true));
    buffer_unref(others); /* has lost nothing */
    ck_assert(!rings(outboxes));
    ck_assert(outbox_lose(other, &later)); /* with an empty queue: at once */
    ck_assert(rings(outboxes));
    expect_drained(outboxes, "b", 6);
    outboxes_free(outboxes);
}
END_TEST

START_TEST(clients_with_empty_queues_are_forgotten)
{
    struct outboxes *outboxes = outboxes_begin();
    struct buffer *held = post(outbox_named(outboxes, "stays"), 1, 11, false);
    const struct reply_subject lost = {7, 1, 0, 5, 0};
    char name[16];

    ck_assert(outbox_lose(outbox_named(outboxes, "lost"), &lost));
    for (int i = 0; i < 100000; i++) {
        snprintf(name, sizeof(name), "client-%d", i);
        outbox_named(outboxes, name);
    }
    ck_assert_uint_eq(outbox_bytes(outbox_named(outboxes, "stays")), 11);
    expect_drained(outboxes, "lost", 5);
    buffer_unref(held);
    outboxes_free(outboxes);
}
END_TEST

START_TEST(tickets_may_outlive_the_outboxes)
{
    struct outboxes *outboxes = outboxes_begin();
    struct outbox *outbox = outbox_named(outboxes, "a");
    const struct reply_subject lost = {7, 1, 0, 5, 0};
    struct buffer *first = post(outbox, 1, 1, false), *second = post(outbox, 2, 1, false);

    ck_assert(outbox_lose(outbox, &lost));
    buffer_unref(first);
    outboxes_free(outboxes);
    buffer_unref(second);
}
END_TEST

/* ---- tickets that come back on another thread */

#define ROUNDS 20000

struct handover {
    _Atomic(struct buffer *) slot;
};

static void *return_tickets(void *argument)
{
    struct handover *handover = argument;

    for (int i = 0; i < ROUNDS; i++) {
        struct buffer *ticket;

        while (!(ticket = atomic_exchange(&handover->slot, NULL)))
            ;
        buffer_unref(ticket);
    }
    return NULL;
}

START_TEST(no_loss_is_missed_between_threads)
{
    struct outboxes *outboxes = outboxes_begin();
    struct handover handover = {NULL};
    pthread_t thread;

    ck_assert_int_eq(pthread_create(&thread, NULL, return_tickets, &handover), 0);
    for (uint64_t i = 0; i < ROUNDS; i++) {
        struct outbox *outbox = outbox_named(outboxes, "a");
        const struct reply_subject lost = {7, 1, 0, i, 0};
        struct pollfd item = {outboxes_descriptor(outboxes), POLLIN, 0};
        struct outbox_note note;

        outbox_oldest(outbox, &note);
        atomic_store(&handover.slot, post(outbox, i, 1, false));
        ck_assert(outbox_lose(outbox, &lost)); /* races with the ticket's way back */
        for (;;) {
            size_t length;

            ck_assert_int_eq(poll(&item, 1, 5000), 1);
            if (outboxes_drained(outboxes, &length, &(struct reply_subject){0}))
                break;
        }
    }
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    outboxes_free(outboxes);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("outbox");
    TCase *tests = tcase_create("outbox");

    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, a_queue_is_what_has_not_come_back);
    tcase_add_test(tests, bytes_are_limited_once_the_oldest_is_not_needed);
    tcase_add_test(tests, messages_are_limited_whatever_is_in_them);
    tcase_add_test(tests, who_lost_answers_is_told_once_when_drained);
    tcase_add_test(tests, clients_with_empty_queues_are_forgotten);
    tcase_add_test(tests, tickets_may_outlive_the_outboxes);
    tcase_add_test(tests, no_loss_is_missed_between_threads);
    suite_add_tcase(suite, tests);
    return suite;
}

CHECK_MAIN(make_suite)
