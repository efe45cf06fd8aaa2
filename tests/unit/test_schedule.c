/* The order of rounds, the shares of samples, and the figures told to people. */
#include "check_main.h"
#include "progress.h"
#include "schedule.h"

#include <stdio.h>
#include <string.h>

#define SECOND UINT64_C(1000000000)

static struct job job = {.batch_size = 16, .microbatches = 8, .steps = 6};

static void expect_rounds(const struct schedule *schedule, const char *expected)
{
    struct round round = schedule_first(schedule);
    char text[256] = "";

    for (; round.kind != ROUND_END; round = schedule_next(schedule, round))
        snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%d ",
                 round.kind == ROUND_TRAIN ? "t" : "v", (int)round.step);
    ck_assert_str_eq(text, expected);
    round = schedule_next(schedule, round);
    ck_assert_int_eq(round.kind, ROUND_END);
}

START_TEST(validations_end_epochs_and_trainings)
{
    struct job short_job = job;
    struct schedule schedule = schedule_of(&job, 48, 10, 0, 6);

    expect_rounds(&schedule, "t0 t1 t2 v3 t3 t4 t5 v6 ");
    short_job.steps = 4;
    schedule = schedule_of(&short_job, 48, 10, 0, 4);
    expect_rounds(&schedule, "t0 t1 t2 v3 t3 v4 ");
    short_job.steps = 5;
    schedule = schedule_of(&short_job, 48, 10, 3, 5);
    expect_rounds(&schedule, "v3 t3 t4 v5 ");
    schedule.first_is_validated = true;
    expect_rounds(&schedule, "t3 t4 v5 ");
    schedule = schedule_of(&job, 48, 10, 6, 6);
    expect_rounds(&schedule, "v6 ");
    schedule.first_is_validated = true;
    expect_rounds(&schedule, "");
    schedule = schedule_of(&job, 48, 10, 0, 0);
    expect_rounds(&schedule, "");
    schedule = schedule_of(&job, 48, 0, 0, 4);
    expect_rounds(&schedule, "t0 t1 t2 t3 ");
}
END_TEST

/* A final step before the whole training's, at which others have stopped, is no end to validate. */
START_TEST(a_stop_is_not_validated)
{
    struct schedule schedule = schedule_of(&job, 48, 10, 0, 3);

    expect_rounds(&schedule, "t0 t1 t2 ");
    schedule = schedule_of(&job, 48, 10, 2, 4);
    expect_rounds(&schedule, "t2 v3 t3 ");
}
END_TEST

START_TEST(nodes_have_their_share_of_samples)
{
    struct schedule schedule = schedule_of(&job, 53, 13, 0, 8);
    uint64_t begin, end, next = 0;

    ck_assert_uint_eq(schedule_batch_samples(&schedule, 0), 16);
    ck_assert_uint_eq(schedule_batch_samples(&schedule, 3), 5);
    ck_assert_uint_eq(schedule_batch_samples(&schedule, 7), 5);
    ck_assert_uint_eq(schedule_node_samples(&schedule, 0, (struct tree_node){2, 4}), 4);
    ck_assert_uint_eq(schedule_node_samples(&schedule, 3, (struct tree_node){0, 8}), 5);
    ck_assert_uint_eq(schedule_node_samples(&schedule, 3, (struct tree_node){0, 1}), 0);
    for (uint32_t leaf = 0; leaf < 8; leaf++) {
        schedule_validation_range(&schedule, (struct tree_node){leaf, leaf + 1}, &begin, &end);
        ck_assert_uint_eq(begin, next);
        ck_assert_uint_eq(begin, leaf * 13 / 8);
        next = end;
    }
    ck_assert_uint_eq(next, 13);
    schedule_part(UINT64_MAX, 3, (struct tree_node){2, 3}, &begin, &end);
    ck_assert_uint_eq(begin, UINT64_MAX / 3 * 2);
    ck_assert_uint_eq(end, UINT64_MAX);
    ck_assert_uint_eq(schedule_validation_batch(&job), 2);
}
END_TEST

/* Who validates by itself does so with its own microbatches, and the whole set. */
START_TEST(a_narrow_schedule_cuts_validations_for_one)
{
    struct schedule schedule = schedule_of(&job, 53, 13, 0, 8);
    uint64_t begin, end, next = 0;

    schedule_narrow(&schedule, 3, 6);
    for (uint32_t leaf = 3; leaf < 6; leaf++) {
        schedule_validation_range(&schedule, (struct tree_node){leaf, leaf + 1}, &begin, &end);
        ck_assert_uint_eq(begin, next);
        next = end;
    }
    ck_assert_uint_eq(next, 13);
    ck_assert_uint_eq(schedule_node_samples(&schedule, 0, (struct tree_node){3, 6}), 6); /* of the batch */
}
END_TEST

START_TEST(means_are_of_the_epoch_so_far)
{
    const double step[] = {0, 8, 6, 16}, other[] = {0, 16, 10, 16};
    double means[2], speed;
    struct progress progress;

    progress_init(&progress, 2, SECOND);
    progress_add(&progress, step);
    progress_report(&progress, 2 * SECOND, means, &speed);
    ck_assert_double_eq(means[0], 0.5);
    ck_assert_double_eq(means[1], 0.375);
    ck_assert_double_eq(speed, 16);
    progress_add(&progress, other);
    progress_report(&progress, 3 * SECOND, means, &speed);
    ck_assert_double_eq(means[0], 0.75);
    ck_assert_double_eq(means[1], 0.5);
    progress_begin_epoch(&progress);
    progress_add(&progress, other);
    progress_report(&progress, 4 * SECOND, means, &speed);
    ck_assert_double_eq(means[0], 1);
    progress_means(other, 2, means);
    ck_assert_double_eq(means[1], 0.625);
}
END_TEST

START_TEST(speed_forgets_what_is_old_and_what_was_no_training)
{
    const double step[] = {0, 1, 100};
    double means[1], speed = 0;
    struct progress progress;
    uint64_t now_ns = SECOND;

    progress_init(&progress, 1, now_ns);
    for (int i = 0; i < 100; i++) { /* ten steps a second, then one */
        now_ns += i < 50 ? SECOND / 10 : SECOND;
        progress_add(&progress, step);
        if (progress_is_due(&progress, now_ns))
            progress_report(&progress, now_ns, means, &speed);
        if (i == 49)
            ck_assert_double_eq_tol(speed, 1000, 1e-6);
    }
    ck_assert_double_eq_tol(speed, 100, 1e-6);
    ck_assert(!progress_is_due(&progress, now_ns + SECOND / 10));
    now_ns += 60 * SECOND;
    progress_skip_time(&progress, now_ns);
    now_ns += SECOND;
    progress_add(&progress, step);
    progress_report(&progress, now_ns, means, &speed);
    ck_assert_double_eq_tol(speed, 100, 1e-6);
}
END_TEST

/* What a lane computes while it computes, whatever it waits. */
START_TEST(a_lane_has_a_speed_of_its_own)
{
    const double step[] = {0, 1, 100};
    struct progress progress;
    double means[1], speed;

    progress_init(&progress, 1, SECOND);
    ck_assert_double_eq(progress_lane_speed(&progress), 0);
    progress_add(&progress, step);
    progress_compute(&progress, 8, 2);
    ck_assert_double_eq(progress_lane_speed(&progress), 4);
    progress_report(&progress, 11 * SECOND, means, &speed);
    for (uint64_t i = 1; i <= PROGRESS_MOMENTS; i++) { /* slower, and the past is forgotten */
        progress_compute(&progress, 8 + (double)i, 2 + (double)i);
        if (i == PROGRESS_MOMENTS)
            ck_assert_double_eq(progress_lane_speed(&progress), 1);
        progress_report(&progress, (11 + i) * SECOND, means, &speed);
    }
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("schedule");
    TCase *test = tcase_create("schedule");

    tcase_add_test(test, validations_end_epochs_and_trainings);
    tcase_add_test(test, a_stop_is_not_validated);
    tcase_add_test(test, nodes_have_their_share_of_samples);
    tcase_add_test(test, a_narrow_schedule_cuts_validations_for_one);
    tcase_add_test(test, means_are_of_the_epoch_so_far);
    tcase_add_test(test, a_lane_has_a_speed_of_its_own);
    tcase_add_test(test, speed_forgets_what_is_old_and_what_was_no_training);
    suite_add_tcase(suite, test);
    return suite;
}

CHECK_MAIN(make_suite)
