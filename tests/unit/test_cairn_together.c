/* The public library: tables take their steps together also when a program waits for one of them only, so
 * that one that is lost finds a step that all tables can go on from. Against real shards and a played
 * coordinator. */
#include "check_main.h"
#include "played_cluster.h"

#include "cairn.h"

#define LEAVES     4
#define SIZE       64 /* floats: one chunk */
#define LATE_SHARD 0  /* that has the table "late", whereas the other has "early" */
#define WHILE_MS   50 /* for what is not to come */

static struct played_cluster cluster;
static float gradients[SIZE], values[SIZE];

static void open_cluster(void)
{
    played_cluster_open(&cluster);
}

static void close_cluster(void)
{
    played_cluster_close(&cluster);
}

static void must(const cairn *connection, enum cairn_status status)
{
    ck_assert_msg(status == CAIRN_STATUS_OK, "%s: %s", cairn_status_text(status),
                  cairn_error_text(connection));
}

static cairn *attach(uint32_t begin, uint32_t end)
{
    cairn *connection;
    enum cairn_status status = cairn_connect(cluster.endpoint, &connection);

    must(connection, status);
    must(connection, cairn_job_begin(connection, "tables"));
    must(connection, cairn_job_set(connection, "train", "{microbatches: 4, optimizer: sgd}"));
    must(connection, cairn_job_dense(connection, "early", SIZE, "{initializer: zeros}"));
    must(connection, cairn_job_dense(connection, "late", SIZE, "{initializer: zeros}"));
    must(connection, cairn_job_start(connection, CAIRN_START_NEW, PATIENCE_MS));
    must(connection, cairn_set_span(connection, begin, end));
    return connection;
}

/* The table "late" makes no versions from now on. */
static void hold_late(void)
{
    const struct shard_command hold = {.kind = SHARD_COMMAND_HOLD};
    uint32_t slots[PLACEMENT_SLOTS_MIN];

    placement_assign(slots, PLACEMENT_SLOTS_MIN, PLAYED_SHARDS);
    ck_assert_uint_ne(slots[placement_slot(TABLE_FIRST_USER, 0, PLACEMENT_SLOTS_MIN)], LATE_SHARD);
    ck_assert_uint_eq(slots[placement_slot(TABLE_FIRST_USER + 1, 0, PLACEMENT_SLOTS_MIN)], LATE_SHARD);
    pthread_mutex_lock(&cluster.lock);
    played_tell(&cluster, LATE_SHARD, hold, SHARD_HELD);
    pthread_mutex_unlock(&cluster.lock);
}

static void let_late_go(void)
{
    const struct shard_command go_on = {
        .kind = SHARD_COMMAND_GO_ON, .job = PLAYED_JOB, .incarnation = PLAYED_INCARNATION};

    ck_assert_int_eq(actor_tell(cluster.shards[LATE_SHARD], &go_on, sizeof(go_on), NULL), CAIRN_OK);
}

static void set_silent(bool is_silent)
{
    pthread_mutex_lock(&cluster.lock);
    cluster.is_silent = is_silent;
    pthread_mutex_unlock(&cluster.lock);
}

/* Pushes to "early" and takes the step without waiting for it; the handle tells of early's next version. */
static cairn_handle *step_early(cairn *connection)
{
    const struct cairn_gradients push = {.end = LEAVES, .samples = 1, .values = gradients};
    cairn_handle *handle;

    must(connection, cairn_push_pull(cairn_find_table(connection, "early"), &push, values, &handle));
    must(connection, cairn_step(connection, NULL));
    return handle;
}

/* Takes a step of all tables, as a program does that has come back. */
static void step_all(cairn *connection)
{
    cairn_handle *handle;

    must(connection, cairn_step(connection, &handle));
    must(connection, cairn_wait(handle, PATIENCE_MS));
}

START_TEST(no_table_runs_ahead_of_another)
{
    cairn *program = attach(0, LEAVES);
    cairn_handle *second;

    hold_late();
    must(program, cairn_wait(step_early(program), PATIENCE_MS));
    second = step_early(program);
    ck_assert_int_eq(cairn_wait(second, WHILE_MS), CAIRN_STATUS_TIMEOUT);
    let_late_go();
    must(program, cairn_wait(second, PATIENCE_MS));
    step_all(program);
    ck_assert_uint_eq(cairn_current_step(program), 3);
    cairn_close(program);
}
END_TEST

START_TEST(a_lost_program_that_waited_for_one_table_goes_on)
{
    cairn *lost = attach(0, LEAVES), *back;

    hold_late();
    must(lost, cairn_wait(step_early(lost), PATIENCE_MS));
    for (int i = 0; i < 3; i++) {
        enum cairn_status status = cairn_wait(step_early(lost), WHILE_MS);

        ck_assert(status == CAIRN_STATUS_OK || status == CAIRN_STATUS_TIMEOUT);
    }
    cairn_close(lost);
    let_late_go();
    back = attach(0, LEAVES);
    ck_assert_uint_le(cairn_current_step(back), 1);
    step_all(back);
    step_all(back);
    cairn_close(back);
}
END_TEST

/* A reader has added the table, and the program, which has heard of one, cannot learn what it is. */
START_TEST(no_table_runs_ahead_of_one_to_learn_of)
{
    cairn *reader = attach(0, 0), *lost = attach(0, LEAVES), *back;
    cairn_table *added;
    enum cairn_status status;

    must(reader, cairn_add_dense(reader, "added", SIZE, "{initializer: zeros}", PATIENCE_MS, &added));
    set_silent(true);
    must(lost, cairn_wait(step_early(lost), PATIENCE_MS)); /* tells that there is one */
    for (int i = 0; i < 3; i++) {
        status = cairn_wait(step_early(lost), WHILE_MS);
        ck_assert_int_eq(status, CAIRN_STATUS_TIMEOUT);
    }
    cairn_close(lost);
    set_silent(false);
    back = attach(0, LEAVES);
    ck_assert_ptr_nonnull(cairn_find_table(back, "added"));
    step_all(back);
    step_all(back);
    cairn_close(back);
    cairn_close(reader);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("cairn_together");
    TCase *tests = tcase_create("cairn_together");

    tcase_set_timeout(tests, 60);
    tcase_add_checked_fixture(tests, open_cluster, close_cluster);
    tcase_add_test(tests, no_table_runs_ahead_of_another);
    tcase_add_test(tests, a_lost_program_that_waited_for_one_table_goes_on);
    tcase_add_test(tests, no_table_runs_ahead_of_one_to_learn_of);
    suite_add_tcase(suite, tests);
    return suite;
}

CHECK_MAIN(make_suite)
