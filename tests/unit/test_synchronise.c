/* Where a worker begins in the middle of a job, when training ends by votes, and how long it bears with
 * shards. */
#include "check_main.h"
#include "cluster/placement.h"
#include "patience.h"
#include "synchronise.h"
#include "votes.h"

#include <string.h>

/* Three steps a training epoch, six in all, of which the incarnation's first is step `first`. */
static struct schedule schedule_from(uint64_t first, uint64_t final)
{
    static const struct job job = {.batch_size = 16, .microbatches = 8, .steps = 6};

    return schedule_of(&job, 48, 10, first, final);
}

static void expect_standing(const struct schedule *schedule, struct versions versions,
                            struct standing expected)
{
    struct standing standing;
    struct error error = {.message = ""};

    ck_assert_msg(standing_of(schedule, &versions, &standing, &error) == CAIRN_OK, "%s", error.message);
    ck_assert_uint_eq(standing.step, expected.step);
    ck_assert_int_eq(standing.has_root, expected.has_root);
    ck_assert_int_eq(standing.is_validated, expected.is_validated);
}

/* weights, metrics, validation: their versions. */
#define EXPECT(schedule, weights, metrics, validation, ...)                                                  \
    expect_standing(schedule, (struct versions){weights, metrics, validation}, (struct standing){__VA_ARGS__})

START_TEST(the_first_step_of_an_incarnation_has_no_root)
{
    struct schedule schedule = schedule_from(0, 6), resumed = schedule_from(2, 6);

    EXPECT(&schedule, 0, 0, 0, 0, false, false);
    EXPECT(&schedule, 0, 1, 0, 0, false, false); /* its metrics were first */
    EXPECT(&schedule, 1, 0, 0, 0, false, false);
    EXPECT(&schedule, 1, 1, 0, 1, true, false);
    EXPECT(&resumed, 2, 2, 2, 2, false, false);
    EXPECT(&resumed, 3, 2, 2, 2, false, false);
}
END_TEST

START_TEST(a_step_has_ended_when_all_its_sums_are_made)
{
    struct schedule schedule = schedule_from(0, 6);

    EXPECT(&schedule, 2, 2, 0, 2, true, false);
    EXPECT(&schedule, 2, 3, 0, 2, true, false);
    EXPECT(&schedule, 3, 2, 0, 2, true, false);
}
END_TEST

/* Versions of the validation table: of its first validation, once three steps are done, 4. */
START_TEST(a_step_whose_validation_is_missing_has_not_ended)
{
    struct schedule schedule = schedule_from(0, 6);

    EXPECT(&schedule, 3, 3, 0, 3, true, false); /* it is due now */
    EXPECT(&schedule, 3, 3, 3, 3, true, false); /* a part of it is there */
    EXPECT(&schedule, 3, 3, 4, 3, true, true);  /* all of it is, the step is not */
    EXPECT(&schedule, 3, 4, 4, 3, true, true);
    EXPECT(&schedule, 4, 4, 3, 3, true, false); /* it is the last that comes */
    EXPECT(&schedule, 4, 4, 4, 4, true, false);
    EXPECT(&schedule, 5, 5, 4, 5, true, false);
}
END_TEST

START_TEST(training_taken_up_at_an_epochs_end_validates_first)
{
    struct schedule schedule = schedule_from(3, 6);

    EXPECT(&schedule, 3, 3, 3, 3, false, false);
    EXPECT(&schedule, 3, 3, 4, 3, false, true);
    EXPECT(&schedule, 4, 4, 3, 3, false, false);
    EXPECT(&schedule, 4, 4, 4, 4, true, false);
}
END_TEST

START_TEST(at_the_end_only_a_validation_can_be_left)
{
    struct schedule schedule = schedule_from(0, 6), resumed = schedule_from(6, 6);

    EXPECT(&schedule, 6, 6, 4, 6, true, false);
    EXPECT(&schedule, 6, 6, 6, 6, true, false);
    EXPECT(&schedule, 6, 6, 7, 6, true, true);
    EXPECT(&schedule, 6, 5, 4, 5, true, false);
    EXPECT(&resumed, 6, 6, 6, 6, false, false);
    EXPECT(&resumed, 6, 6, 7, 6, false, true);
}
END_TEST

/* Others have stopped at step 3 or 4: that of step 3 is due only in the second case. */
START_TEST(where_training_was_stopped_nothing_is_validated)
{
    struct schedule at_3 = schedule_from(0, 3), at_4 = schedule_from(0, 4);

    EXPECT(&at_3, 3, 3, 0, 3, true, false);
    EXPECT(&at_4, 4, 4, 3, 3, true, false);
    EXPECT(&at_4, 4, 4, 4, 4, true, false);
}
END_TEST

START_TEST(versions_of_another_training_are_refused)
{
    struct schedule schedule = schedule_from(2, 5);
    struct standing standing;
    struct error error;

    ck_assert_int_eq(standing_of(&schedule, &(struct versions){1, 2, 2}, &standing, &error), CAIRN_PROTOCOL);
    ck_assert_int_eq(standing_of(&schedule, &(struct versions){2, 1, 2}, &standing, &error), CAIRN_PROTOCOL);
    ck_assert_int_eq(standing_of(&schedule, &(struct versions){6, 6, 2}, &standing, &error), CAIRN_PROTOCOL);
    ck_assert_ptr_nonnull(strstr(error.message, "step 6 of a training from 2 to 5"));
}
END_TEST

START_TEST(answers_come_in_any_order_and_once)
{
    struct synchronise synchronise;
    uint32_t table, chunk;

    ck_assert_int_eq(synchronise_init(&synchronise, 2, NULL), CAIRN_OK);
    synchronise_told(&synchronise, TABLE_WEIGHTS, 1, 7);
    synchronise_told(&synchronise, TABLE_WEIGHTS, 1, 3);
    synchronise_told(&synchronise, TABLE_WEIGHTS, 2, 3);
    synchronise_told(&synchronise, TABLE_METRICS, 1, 3);
    synchronise_told(&synchronise, TABLE_FIRST_USER, 0, 3);
    synchronise_missing(&synchronise, &table, &chunk);
    ck_assert_uint_eq(table, TABLE_WEIGHTS);
    ck_assert_uint_eq(chunk, 0);
    synchronise_told(&synchronise, TABLE_WEIGHTS, 0, 8);
    synchronise_missing(&synchronise, &table, &chunk);
    ck_assert_uint_eq(table, TABLE_METRICS);
    synchronise_told(&synchronise, TABLE_METRICS, 0, 9);
    ck_assert(!synchronise_is_complete(&synchronise));
    synchronise_missing(&synchronise, &table, &chunk);
    ck_assert_uint_eq(table, TABLE_VALIDATION);
    synchronise_told(&synchronise, TABLE_VALIDATION, 0, 0);
    ck_assert(synchronise_is_complete(&synchronise));
    ck_assert_uint_eq(synchronise.versions.weights, 7);
    ck_assert_uint_eq(synchronise.versions.metrics, 9);
    ck_assert_uint_eq(synchronise.versions.validation, 0);
    synchronise_fini(&synchronise);
}
END_TEST

/* ---- votes */

START_TEST(a_vote_ends_training_at_once)
{
    ck_assert_double_eq(votes_cast(false, false, false), 0);
    ck_assert_double_eq(votes_cast(true, false, false), 1);
    ck_assert_double_eq(votes_cast(true, true, false), 1);
    ck_assert_double_eq(votes_cast(false, true, false), 0);
    ck_assert_uint_eq(votes_end(0, 4, 9, false), 9);
    ck_assert_uint_eq(votes_end(2, 4, 9, false), 4);
    ck_assert_uint_eq(votes_end(1, 9, 9, false), 9);
}
END_TEST

/* The vote is seen with version 4, version 5 is the last: whoever sees only that must come to the same. */
START_TEST(where_weights_are_copies_the_last_step_says_so)
{
    double last = votes_cast(true, true, true) + votes_cast(false, true, true);

    ck_assert_double_eq(votes_cast(true, false, true), 1);
    ck_assert_uint_eq(votes_end(1, 4, 9, true), 5);
    ck_assert_uint_eq(votes_end(last, 5, 5, true), 5);
    ck_assert_uint_eq(votes_end(last, 5, 9, true), 5);
    ck_assert_uint_eq(votes_end(0, 5, 9, true), 9);
    ck_assert_uint_eq(votes_end(3, 8, 9, true), 9);
}
END_TEST

/* ---- patience */

START_TEST(pauses_grow_and_end)
{
    static const int64_t pauses[] = {50, 100, 200, 400, 800, 1000, 1000};
    struct patience patience;
    int64_t now_ms = 5000;

    patience_begin(&patience, 700, now_ms);
    ck_assert_int_eq(patience_end_ms(&patience), 5700);
    patience_begin(&patience, 0, now_ms);
    ck_assert_int_eq(patience.retry_ms, 5000);
    ck_assert_int_eq(patience_end_ms(&patience), 35000); /* shards that were never reached */
    patience_reached(&patience);
    ck_assert_int_eq(patience_end_ms(&patience), INT64_MAX);
    now_ms = 100000;
    for (size_t i = 0; i < sizeof(pauses) / sizeof(pauses[0]); i++) {
        patience_trouble(&patience, now_ms);
        ck_assert_int_eq(patience.retry_ms - now_ms, pauses[i]);
        ck_assert_int_eq(patience_must_tell(&patience, false), i == 0);
        now_ms = patience.retry_ms;
    }
    ck_assert_int_eq(patience_end_ms(&patience), 130000);
    patience_reached(&patience); /* but what was wrong is wrong again */
    patience_trouble(&patience, now_ms);
    ck_assert_int_eq(patience.retry_ms - now_ms, 1000);
    ck_assert(!patience_must_tell(&patience, false));
    ck_assert_int_eq(patience_end_ms(&patience), now_ms + 30000);
    patience_success(&patience);
    patience_trouble(&patience, now_ms);
    ck_assert_int_eq(patience.retry_ms - now_ms, 50);
    ck_assert(patience_must_tell(&patience, false));
}
END_TEST

START_TEST(what_most_often_passes_is_told_when_it_does_not)
{
    struct patience patience;

    patience_begin(&patience, 0, 0);
    for (uint32_t i = 1; i <= PATIENCE_TRIES_UNTOLD + 2; i++) {
        patience_trouble(&patience, 0);
        ck_assert_int_eq(patience_must_tell(&patience, true), i == PATIENCE_TRIES_UNTOLD + 1);
    }
    patience_success(&patience);
    patience_trouble(&patience, 0);
    ck_assert(!patience_must_tell(&patience, true));
    ck_assert(patience_must_tell(&patience, false)); /* it was not only that */
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("synchronise");
    TCase *test = tcase_create("synchronise");

    tcase_add_test(test, the_first_step_of_an_incarnation_has_no_root);
    tcase_add_test(test, a_step_has_ended_when_all_its_sums_are_made);
    tcase_add_test(test, a_step_whose_validation_is_missing_has_not_ended);
    tcase_add_test(test, training_taken_up_at_an_epochs_end_validates_first);
    tcase_add_test(test, at_the_end_only_a_validation_can_be_left);
    tcase_add_test(test, where_training_was_stopped_nothing_is_validated);
    tcase_add_test(test, versions_of_another_training_are_refused);
    tcase_add_test(test, answers_come_in_any_order_and_once);
    tcase_add_test(test, a_vote_ends_training_at_once);
    tcase_add_test(test, where_weights_are_copies_the_last_step_says_so);
    tcase_add_test(test, pauses_grow_and_end);
    tcase_add_test(test, what_most_often_passes_is_told_when_it_does_not);
    suite_add_tcase(suite, test);
    return suite;
}

CHECK_MAIN(make_suite)
