/* Workers that stand still in the midst of a step, against real shard threads: the others compute what is
 * missing and go on to the same model, if the job lets them. */
#include "base/log.h"
#include "held_cluster.h"

/* The third worker does it all, or two of them; those that were held come to the same end. */
static void stand_still(const char *codec, uint32_t held, uint32_t lanes, uint64_t after)
{
    struct cluster *cluster = open_cluster(codec, "1", 2);
    char expected[HASH_TEXT_BYTES];

    undisturbed(codec, expected);
    for (uint32_t i = 0; i < held; i++)
        hold_after(i, after);
    start_some_held(cluster, lanes);
    begin_epoch(cluster, 0, STEPS, "");
    hear_ends(cluster, held);
    for (uint32_t i = 0; i < held; i++) {
        ck_assert(hold_holds(i));
        ck_assert_uint_eq(cluster->heard[i].reached, 0);
    }
    ck_assert_uint_gt(backup_microbatches(cluster), 0);
    for (uint32_t i = 0; i < held; i++)
        hold_let_go(i);
    hear_ends(cluster, 0);
    expect_end(cluster, STEPS);
    ck_assert_str_eq(cluster->heard[0].end.model_hash, expected);
    close_cluster(cluster);
}

START_TEST(others_go_on_when_one_stands_still)
{
    stand_still(codecs[_i], 1, 1, 6 * STEP_OPERATIONS);
    stand_still(codecs[_i], 2, 2, 7 * STEP_OPERATIONS + 7);
}
END_TEST

/* Its own part is all that a worker computes. */
START_TEST(nobody_helps_when_the_job_says_never)
{
    struct cluster *cluster = open_cluster("", "0", 1);

    hold_after(0, 6 * STEP_OPERATIONS);
    start_some_held(cluster, 1);
    begin_epoch(cluster, 0, STEPS, "");
    while (!hold_holds(0))
        hear_for(cluster, 10);
    while (hear_for(cluster, 300))
        ;
    for (uint32_t i = 0; i < WORKERS; i++)
        ck_assert(!has_ended(cluster, i));
    hold_let_go(0);
    hear_ends(cluster, 0);
    expect_end(cluster, STEPS);
    ck_assert_uint_eq(backup_microbatches(cluster), 0);
    close_cluster(cluster);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("backup");
    TCase *tests = tcase_create("backup");

    log_init(LOG_LEVEL_ERROR, "test_backup");
    tcase_set_timeout(tests, 360);
    tcase_add_loop_test(tests, others_go_on_when_one_stands_still, 0, CODECS);
    tcase_add_test(tests, nobody_helps_when_the_job_says_never);
    suite_add_tcase(suite, tests);
    return suite;
}

CHECK_MAIN(make_suite)
