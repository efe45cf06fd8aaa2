/* Mailboxes: letters in order, a descriptor that tells of them, and two that share one. */
#include "base/mailbox.h"
#include "check_main.h"

#include <poll.h>
#include <stdbool.h>

static bool is_ready(const struct mailbox *mailbox)
{
    struct pollfd item = {.fd = mailbox_descriptor(mailbox), .events = POLLIN};

    return poll(&item, 1, 0) == 1;
}

START_TEST(letters_come_in_order)
{
    struct mailbox mailbox;
    struct mail letters[3];

    ck_assert_int_eq(mailbox_init(&mailbox, NULL), CAIRN_OK);
    ck_assert(!is_ready(&mailbox) && !mailbox_take(&mailbox));
    for (int i = 0; i < 3; i++)
        mailbox_post(&mailbox, &letters[i]);
    ck_assert(is_ready(&mailbox));
    mailbox_acknowledge(&mailbox);
    ck_assert(!is_ready(&mailbox));
    ck_assert_ptr_eq(mailbox_take(&mailbox), &letters[0]);
    ck_assert_ptr_eq(letters[0].next, &letters[1]);
    ck_assert_ptr_eq(letters[1].next, &letters[2]);
    ck_assert_ptr_null(letters[2].next);
    mailbox_fini(&mailbox);
}
END_TEST

START_TEST(one_beside_another_wakes_the_same_owner)
{
    struct mailbox first, second;
    struct mail letters[2];

    ck_assert_int_eq(mailbox_init(&first, NULL), CAIRN_OK);
    ck_assert_int_eq(mailbox_init_beside(&second, &first, NULL), CAIRN_OK);
    for (int i = 0; i < 2; i++) {
        mailbox_post(&second, &letters[0]);
        ck_assert(is_ready(&first));
        if (i == 1)
            mailbox_post(&first, &letters[1]);
        mailbox_acknowledge(&first);
        ck_assert(!is_ready(&first));
        ck_assert_ptr_eq(mailbox_take(&first), i == 1 ? &letters[1] : NULL);
        ck_assert_ptr_eq(mailbox_take(&second), &letters[0]);
    }
    mailbox_fini(&second);
    mailbox_post(&first, &letters[1]);
    ck_assert(is_ready(&first));
    mailbox_fini(&first);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("mailbox");
    TCase *tests = tcase_create("mailbox");

    tcase_add_test(tests, letters_come_in_order);
    tcase_add_test(tests, one_beside_another_wakes_the_same_owner);
    suite_add_tcase(suite, tests);
    return suite;
}

CHECK_MAIN(make_suite)
