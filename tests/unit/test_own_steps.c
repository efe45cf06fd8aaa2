/* Workers in the throughput modes against real shard threads: steps of their own, an end of their own, and
 * one that closes the job. */
#include "roster.h"
#include "step_cluster.h"

#define ASYNC "  mode: async\n"
#define SSP   "  mode: ssp\n  staleness: 1\n"
#define BOUND 2 /* steps that a worker makes while another makes none */

/* ---- the coordinator's part */

static uint64_t numbers[NODES_MAX], steps[NODES_MAX];

/* A shard hears of the newest epoch, which gets numbers that workers keep. */
static void tell_shard_epoch(struct cluster *cluster, uint32_t shard)
{
    struct shard_command command = {
        .kind = SHARD_COMMAND_EPOCH, .job = 1, .incarnation = cluster->prepare.incarnation};

    cluster->epoch.n_worker_numbers = cluster->epoch.n_worker_steps = cluster->epoch.n_workers;
    cluster->epoch.worker_numbers = numbers;
    cluster->epoch.worker_steps = steps;
    for (uint32_t i = 0; i < cluster->epoch.n_workers; i++)
        numbers[i] = i + 1;
    command.roster = roster_of(&cluster->epoch);
    ck_assert_ptr_nonnull(command.roster);
    ck_assert_int_eq(actor_tell(cluster->shards[shard], &command, sizeof(command), NULL), CAIRN_OK);
}

static void tell_shards_epoch(struct cluster *cluster)
{
    for (uint32_t i = 0; i < cluster->shard_count; i++)
        tell_shard_epoch(cluster, i);
}

static void begin_own_epoch(struct cluster *cluster, uint64_t final_step)
{
    while (!all_prepared(cluster))
        hear(cluster);
    make_epoch(cluster, 0, final_step, "out.h5");
    tell_shards_epoch(cluster);
}

static void close_job(struct cluster *cluster, uint64_t final_step)
{
    make_epoch(cluster, 0, final_step, "out.h5");
    cluster->epoch.closing = true;
    cluster->epoch.n_workers = cluster->epoch.n_spans = 1;
    cluster->spans[0].end = FIXTURE_MICROBATCHES;
    tell_shards_epoch(cluster);
    tell(cluster, 0, STEP_ORDERS);
    while (cluster->heard[0].reached < 2) {
        hear(cluster);
        ck_assert_msg(cluster->heard[0].failed == 0, "%s", cluster->heard[0].end.message);
    }
}

static void hear_until_reached(struct cluster *cluster, uint32_t worker)
{
    while (cluster->heard[worker].reached == 0) {
        hear(cluster);
        ck_assert_msg(cluster->heard[worker].failed == 0, "%s", cluster->heard[worker].end.message);
    }
}

/* Trains to the end and closes; the model's hash in *hash. */
static void train_own(const char *more, uint32_t shards, uint32_t workers, char hash[HASH_TEXT_BYTES])
{
    struct cluster cluster;

    cluster_open(&cluster, shards, "adam", more);
    start_workers(&cluster, workers, 1, make_ref);
    begin_own_epoch(&cluster, FIXTURE_STEPS);
    for (uint32_t i = 0; i < workers; i++)
        tell(&cluster, i, STEP_ORDERS);
    for (uint32_t i = 0; i < workers; i++) {
        hear_until_reached(&cluster, i);
        ck_assert_uint_eq(cluster.heard[i].end.figures.step, FIXTURE_STEPS);
        ck_assert_str_eq(cluster.heard[i].end.model_hash, ""); /* it does not know the model */
    }
    close_job(&cluster, FIXTURE_STEPS);
    ck_assert_uint_eq(cluster.heard[0].end.figures.step, FIXTURE_STEPS);
    ck_assert_ptr_nonnull(strstr(cluster.heard[0].end.output, "out.h5"));
    ck_assert_uint_eq(cluster.heard[0].last_validation.figures.step, FIXTURE_STEPS);
    for (uint32_t i = 1; i < workers; i++)
        ck_assert_uint_eq(cluster.heard[i].validated, 0);
    memcpy(hash, cluster.heard[0].end.model_hash, HASH_TEXT_BYTES);
    cluster_close(&cluster);
}

/* Whose span is the whole batch makes the very updates of mode sync. */
START_TEST(a_worker_alone_trains_the_model_of_mode_sync)
{
    char hash[HASH_TEXT_BYTES];
    struct cluster cluster;

    cluster_open(&cluster, 2, "adam", "");
    start_workers(&cluster, 2, 1, make_ref);
    train(&cluster, 0, FIXTURE_STEPS, "");
    train_own(ASYNC, 1, 1, hash);
    ck_assert_str_eq(hash, cluster.heard[0].end.model_hash);
    train_own(SSP, 2, 1, hash);
    ck_assert_str_eq(hash, cluster.heard[0].end.model_hash);
    cluster_close(&cluster);
}
END_TEST

START_TEST(several_end_each_by_itself_and_one_closes)
{
    char hash[HASH_TEXT_BYTES];

    train_own(ASYNC, 2, 3, hash);
    ck_assert_uint_eq(strlen(hash), HASH_TEXT_BYTES - 1);
    train_own(SSP "  staleness_damping: true\n", 2, 3, hash);
    train_own(ASYNC "  codec: bfloat16\n", 2, 2, hash);
    train_own(ASYNC "  codec: int8\n", 1, 3, hash);
}
END_TEST

/* Two workers, of which the second has not heard that it is to work. */
static void begin_with_one_idle(struct cluster *cluster)
{
    cluster_open(cluster, 2, "adam", SSP);
    start_workers(cluster, 2, 1, make_ref);
    begin_own_epoch(cluster, FIXTURE_STEPS);
    tell(cluster, 0, STEP_ORDERS);
}

START_TEST(a_stop_waits_for_nobody)
{
    struct cluster cluster;

    begin_with_one_idle(&cluster);
    tell(&cluster, 0, STEP_VOTE);
    hear_until_reached(&cluster, 0);
    ck_assert_uint_le(cluster.heard[0].end.figures.step, BOUND);
    cluster_close(&cluster);
}
END_TEST

/* Step 10 is on the first shard and must be made on the other one, though somebody has joined who is far
 * behind, and may have ended there. The stop is heard with the orders, or when the weights have been waited
 * for. */
START_TEST(a_stop_waits_for_nobody_in_the_midst_of_a_step)
{
    const uint64_t torn = 10;
    struct cluster cluster;

    cluster_open(&cluster, 2, "adam", SSP);
    start_workers(&cluster, 2, 1, make_ref);
    while (!all_prepared(&cluster))
        hear(&cluster);
    make_epoch(&cluster, 0, torn + FIXTURE_STEPS, "out.h5");
    steps[0] = torn + 1;
    tell_shard_epoch(&cluster, 0);
    steps[0] = torn;
    tell_shard_epoch(&cluster, 1);
    tell(&cluster, 0, STEP_ORDERS);
    while (_i && hear_for(&cluster, 500)) /* until it says no more */
        ;
    ck_assert_uint_eq(cluster.heard[0].reached, 0);
    tell(&cluster, 0, STEP_VOTE);
    hear_until_reached(&cluster, 0);
    ck_assert_uint_eq(cluster.heard[0].end.figures.step, torn + 1);
    steps[0] = 0;
    cluster_close(&cluster);
}
END_TEST

START_TEST(an_epoch_without_the_last_lets_the_others_go_on)
{
    struct cluster cluster;

    begin_with_one_idle(&cluster);
    while (hear_for(&cluster, 500)) /* until it says no more */
        ;
    ck_assert_uint_eq(cluster.heard[0].reached, 0);
    ck_assert_uint_le(cluster.heard[0].last_progress.figures.step, BOUND);
    make_epoch(&cluster, 0, FIXTURE_STEPS, "out.h5");
    cluster.epoch.n_workers = cluster.epoch.n_spans = 1;
    tell_shards_epoch(&cluster); /* the worker itself has not heard of it yet */
    hear_until_reached(&cluster, 0);
    ck_assert_uint_eq(cluster.heard[0].end.figures.step, FIXTURE_STEPS);
    cluster_close(&cluster);
}
END_TEST

/* It has had time to learn what a step takes, and shards, whose versions are not its steps, would refuse the
 * question what is missing. */
START_TEST(who_waits_for_the_last_asks_for_nothing_of_others)
{
    const uint64_t first = 100;
    struct cluster cluster;

    cluster_open(&cluster, 2, "adam", "  mode: ssp\n  staleness: 5\n");
    start_workers(&cluster, 2, 1, make_ref);
    steps[0] = steps[1] = first;
    begin_own_epoch(&cluster, first + 2 * FIXTURE_STEPS);
    tell(&cluster, 0, STEP_ORDERS);
    while (hear_for(&cluster, 500)) /* until it says no more */
        ;
    ck_assert_uint_eq(cluster.heard[0].reached + cluster.heard[0].failed + cluster.heard[0].troubles, 0);
    cluster.epoch.number++;
    cluster.epoch.n_workers = cluster.epoch.n_spans = 1;
    tell_shards_epoch(&cluster);
    hear_until_reached(&cluster, 0);
    ck_assert_uint_eq(cluster.heard[0].troubles, 0);
    steps[0] = steps[1] = 0;
    cluster_close(&cluster);
}
END_TEST

START_TEST(a_worker_with_another_span_goes_on_where_it_was)
{
    struct cluster cluster;

    cluster_open(&cluster, 2, "adam", ASYNC);
    start_workers(&cluster, 2, 1, make_ref);
    begin_own_epoch(&cluster, FIXTURE_STEPS);
    tell(&cluster, 0, STEP_ORDERS);
    hear_until_reached(&cluster, 0);
    make_epoch(&cluster, 0, FIXTURE_STEPS + 2, "out.h5"); /* it has made its steps up to here already */
    cluster.heard[0].reached = 0;
    tell_shards_epoch(&cluster);
    tell(&cluster, 0, STEP_ORDERS);
    hear_until_reached(&cluster, 0);
    ck_assert_uint_eq(cluster.heard[0].end.figures.step, FIXTURE_STEPS + 2);
    cluster_close(&cluster);
}
END_TEST

START_TEST(who_is_not_in_the_epoch_yet_tries_again)
{
    struct cluster cluster;

    cluster_open(&cluster, 1, "adam", ASYNC);
    start_workers(&cluster, 1, 1, make_ref);
    while (!all_prepared(&cluster))
        hear(&cluster);
    make_epoch(&cluster, 0, FIXTURE_STEPS, "out.h5");
    cluster.epoch.n_worker_numbers = 1;
    numbers[0] = 1;
    cluster.epoch.worker_numbers = numbers;
    tell(&cluster, 0, STEP_ORDERS);
    ck_assert(!hear_for(&cluster, 200)); /* no trouble that a person should know of */
    tell_shards_epoch(&cluster);
    hear_until_reached(&cluster, 0);
    ck_assert_uint_eq(cluster.heard[0].troubles, 0);
    cluster_close(&cluster);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("own_steps");
    TCase *tests = tcase_create("own_steps");

    tcase_set_timeout(tests, 120);
    tcase_add_test(tests, a_worker_alone_trains_the_model_of_mode_sync);
    tcase_add_test(tests, several_end_each_by_itself_and_one_closes);
    tcase_add_test(tests, a_stop_waits_for_nobody);
    tcase_add_loop_test(tests, a_stop_waits_for_nobody_in_the_midst_of_a_step, 0, 2);
    tcase_add_test(tests, an_epoch_without_the_last_lets_the_others_go_on);
    tcase_add_test(tests, who_waits_for_the_last_asks_for_nothing_of_others);
    tcase_add_test(tests, a_worker_with_another_span_goes_on_where_it_was);
    tcase_add_test(tests, who_is_not_in_the_epoch_yet_tries_again);
    suite_add_tcase(suite, tests);
    return suite;
}

CHECK_MAIN(make_suite)
