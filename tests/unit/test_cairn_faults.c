/* The public library: commits, coming back, servers that do not answer, and misuse. */
#include "check_main.h"
#include "cairn_program.h"

static void expect_counts(unsigned submitted, unsigned commits_asked)
{
    unsigned submits, commits;

    played_counts(&cluster, &submits, &commits);
    ck_assert_uint_eq(submits, submitted);
    ck_assert_uint_eq(commits, commits_asked);
}

/* ---- durable, and back again */

START_TEST(commits_make_steps_durable)
{
    struct program program = {NULL};
    static const uint64_t keys[] = {1, 2, 3, 4};
    static const float gradients[SIZE];
    const struct cairn_gradients push = {0, 0, 1, gradients, NULL, 0};
    const struct cairn_gradients rows = {0, 0, 1, gradients, keys, 4};
    enum cairn_status status;

    status = cairn_connect(cluster.endpoint, &program.connection);
    must(program.connection, status);
    must(program.connection, cairn_job_begin(program.connection, "durable"));
    must(program.connection, cairn_job_dense(program.connection, "weights", SIZE, "{optimizer: adam}"));
    must(program.connection, cairn_job_sparse(program.connection, "rows", DIMENSION, "{optimizer: adam}"));
    must(program.connection, cairn_job_start(program.connection, CAIRN_START_NEW, PATIENCE_MS));
    for (unsigned commit = 1; commit <= 3; commit++) {
        must(program.connection, cairn_push(cairn_table_at(program.connection, 0), &push, NULL));
        must(program.connection, cairn_push(cairn_table_at(program.connection, 1), &rows, NULL));
        must(program.connection, cairn_step(program.connection, NULL));
        must(program.connection, cairn_commit(program.connection, PATIENCE_MS)); /* waits for the step */
        must(program.connection, cairn_commit(program.connection, PATIENCE_MS)); /* it is durable already */
        expect_counts(1, 2 * commit);
    }
    cairn_close(program.connection);
}
END_TEST

START_TEST(a_commit_is_of_the_last_whole_step)
{
    struct program client;

    program_open(&client, 0, LEAVES);
    must(client.connection, cairn_commit(client.connection, PATIENCE_MS)); /* of nothing */
    expect_counts(1, 0);
    push_dense_leaf(&client, 0, NULL);
    expect_error(&client, cairn_commit(client.connection, 0), CAIRN_STATUS_INVALID, "has begun");
    expect_error(&client, cairn_set_span(client.connection, 0, 1), CAIRN_STATUS_INVALID, "has begun");
    program_close(&client);
}
END_TEST

/* A program ends in the middle of a step, when one table and a part of another have been pushed. */
START_TEST(a_program_that_comes_back_finds_its_step)
{
    struct program lost, other;
    static const uint64_t key = 5;
    static const float row[DIMENSION] = {8, 8, 8};
    struct cairn_gradients push = {0, 2, 1, row, &key, 1}, rest = {2, 4, 1, row, &key, 1};
    cairn_handle *handle, *pushed;

    program_open(&lost, 0, 2);
    program_open(&other, 2, 4);
    for (int step = 0; step < 2; step++) {
        push_dense_leaf(&other, 2, NULL);
        push_dense_leaf(&other, 3, NULL);
        must(other.connection, cairn_push(other.sparse, &rest, NULL));
        must(other.connection, cairn_step(other.connection, &handle));
        push_dense_leaf(&lost, 0, &pushed);
        must(lost.connection, cairn_push(lost.sparse, &push, NULL)); /* its table goes on */
        if (step == 1)
            break;
        finish(&lost, pushed);
        push_dense_leaf(&lost, 1, NULL);
        step_and_wait(&lost);
        finish(&other, handle);
    }
    while (!cairn_test(pushed))
        must(lost.connection, cairn_poll(lost.connection));
    program_close(&lost);
    program_open(&lost, 0, 2);
    ck_assert_uint_eq(cairn_current_step(lost.connection), 1);
    push_dense_leaf(&lost, 0, NULL); /* once more */
    push_dense_leaf(&lost, 1, NULL);
    must(lost.connection, cairn_push(lost.sparse, &push, NULL));
    step_and_wait(&lost);
    finish(&other, handle);
    pull_dense(&lost);
    expect_dense(&lost, 2);
    must(lost.connection, cairn_pull(lost.sparse, &key, 1, lost.values, &handle));
    finish(&lost, handle);
    ck_assert(lost.values[0] == -4);
    expect_counts(3, 0);
    program_close(&lost);
    program_close(&other);
}
END_TEST

/* How often a program that attaches at step 0 asks where the servers are. */
static unsigned count_locates(void)
{
    struct program client;
    unsigned asked;

    program_open(&client, 0, LEAVES);
    ck_assert_uint_eq(cairn_current_step(client.connection), 0);
    pthread_mutex_lock(&cluster.lock);
    asked = cluster.locates_asked;
    pthread_mutex_unlock(&cluster.lock);
    program_close(&client);
    return asked;
}

/* The coordinator knew of servers that have ended and come back elsewhere since. */
START_TEST(silent_servers_are_asked_for_again)
{
    pthread_mutex_lock(&cluster.lock);
    cluster.lost_locates = 1;
    pthread_mutex_unlock(&cluster.lock);
    ck_assert_uint_ge(count_locates(), 2);
}
END_TEST

/* As servers do that have not heard yet what the coordinator tells of. */
START_TEST(servers_that_refuse_are_asked_less_and_less)
{
    unsigned asked;

    pthread_mutex_lock(&cluster.lock);
    cluster.early_ms = 600;
    pthread_mutex_unlock(&cluster.lock);
    asked = count_locates();
    ck_assert_uint_ge(asked, 2);
    ck_assert_uint_le(asked, 7); /* after 20, 60, 140, 300, 620 ms */
}
END_TEST

START_TEST(a_broken_connection_ends_everything)
{
    struct program client;
    cairn_handle *handle, *other;

    program_open(&client, 0, 2); /* nobody has the rest */
    push_dense_leaf(&client, 0, NULL);
    must(client.connection, cairn_step(client.connection, &handle));
    must(client.connection, cairn_pull(client.dense, NULL, 0, client.values, &other));
    ck_assert_int_eq(cairn_wait(handle, 20), CAIRN_STATUS_TIMEOUT);
    played_stop_shard(&cluster, 1);
    expect_error(&client, cairn_wait(handle, PATIENCE_MS), CAIRN_STATUS_IO, "shard 1");
    ck_assert_int_eq(cairn_test(other), 1);
    expect_error(&client, cairn_wait(other, PATIENCE_MS), CAIRN_STATUS_IO, "shard 1");
    expect_error(&client, cairn_step(client.connection, &handle), CAIRN_STATUS_IO, "shard 1");
    ck_assert_ptr_null(handle);
    expect_error(&client, cairn_pull(client.dense, NULL, 0, client.values, &handle), CAIRN_STATUS_IO,
                 "shard 1");
    expect_error(&client, cairn_attach(client.connection, PLAYED_ID, 0), CAIRN_STATUS_INVALID, "already");
    program_close(&client);
}
END_TEST

/* ---- misuse */

START_TEST(what_makes_no_sense_is_refused)
{
    static const uint64_t key = 5;
    static const float row[DIMENSION] = {8, 8, 8};
    struct program client;
    cairn_handle *handle;
    struct cairn_gradients push = {1, 3, 1, NULL, NULL, 0};

    program_open(&client, 0, 3);
    expect_error(&client, cairn_push(client.dense, &push, &handle), CAIRN_STATUS_INVALID, "no node");
    ck_assert_ptr_null(handle);
    push = (struct cairn_gradients){2, 4, 1, NULL, NULL, 0};
    expect_error(&client, cairn_push(client.dense, &push, NULL), CAIRN_STATUS_INVALID, "the span");
    push = (struct cairn_gradients){0, 0, 1, NULL, NULL, 0}; /* [0, 3) */
    expect_error(&client, cairn_push(client.dense, &push, NULL), CAIRN_STATUS_INVALID, "no node");
    push = (struct cairn_gradients){0, 1, 1, NULL, &key, 1};
    expect_error(&client, cairn_push(client.dense, &push, NULL), CAIRN_STATUS_INVALID, "has no keys");
    expect_error(&client, cairn_push(client.sparse, &push, NULL), CAIRN_STATUS_INVALID, "without keys or");
    push = (struct cairn_gradients){0, 1, 1, row, NULL, 0};
    expect_error(&client, cairn_push(client.sparse, &push, NULL), CAIRN_STATUS_INVALID, "without keys");
    push = (struct cairn_gradients){0, 1, UINT64_MAX, row, &key, 1};
    expect_error(&client, cairn_push(client.sparse, &push, NULL), CAIRN_STATUS_INVALID, "samples");
    push = (struct cairn_gradients){0, 1, 1, row, &key, UINT32_MAX};
    expect_error(&client, cairn_push(client.sparse, &push, NULL), CAIRN_STATUS_INVALID, "allowed");
    push = (struct cairn_gradients){0, 1, 1, row, &key, 1};
    must(client.connection, cairn_push(client.sparse, &push, NULL));
    expect_error(&client, cairn_push(client.sparse, &push, NULL), CAIRN_STATUS_EXISTS, "already");
    push = (struct cairn_gradients){0, 2, 1, row, &key, 1};
    expect_error(&client, cairn_push(client.sparse, &push, NULL), CAIRN_STATUS_EXISTS, "already");
    expect_error(&client, cairn_push_pull(client.sparse, &push, NULL, &handle), CAIRN_STATUS_INVALID,
                 "place");
    expect_error(&client, cairn_pull(client.sparse, NULL, 0, client.values, &handle), CAIRN_STATUS_INVALID,
                 "needs keys");
    expect_error(&client, cairn_pull(client.dense, &key, 1, client.values, &handle), CAIRN_STATUS_INVALID,
                 "no keys");
    expect_error(&client, cairn_set_span(client.connection, 2, 5), CAIRN_STATUS_INVALID, "[2, 5)");
    ck_assert_ptr_null(cairn_find_table(client.connection, "nothing"));
    ck_assert_ptr_null(cairn_table_at(client.connection, 2));
    program_close(&client);
}
END_TEST

START_TEST(a_connection_that_is_not_attached)
{
    struct program client = {NULL};

    ck_assert_int_eq(cairn_connect("nonsense", &client.connection), CAIRN_STATUS_INVALID);
    ck_assert_ptr_nonnull(strstr(cairn_error_text(client.connection), "nonsense"));
    cairn_close(client.connection);
    cairn_close(NULL);
    ck_assert_int_eq(cairn_connect(cluster.endpoint, &client.connection), CAIRN_STATUS_OK);
    ck_assert_ptr_null(cairn_job_id(client.connection));
    ck_assert_ptr_null(cairn_table_at(client.connection, 0));
    ck_assert_int_eq(cairn_descriptor(client.connection), -1);
    expect_error(&client, cairn_step(client.connection, NULL), CAIRN_STATUS_INVALID, "not attached");
    expect_error(&client, cairn_poll(client.connection), CAIRN_STATUS_INVALID, "not attached");
    expect_error(&client, cairn_job_stop(client.connection), CAIRN_STATUS_INVALID, "not attached");
    expect_error(&client, cairn_job_set(client.connection, "seed", "1"), CAIRN_STATUS_INVALID,
                 "cairn_job_begin");
    expect_error(&client, cairn_job_start(client.connection, CAIRN_START_NEW, 0), CAIRN_STATUS_INVALID,
                 "cairn_job_begin");
    expect_error(&client, cairn_attach(client.connection, "nobody", PATIENCE_MS), CAIRN_STATUS_INVALID,
                 "no job of that name");
    describe(client.connection);
    must(client.connection, cairn_job_dense(client.connection, "weights", 5, "{colour: red}"));
    expect_error(&client, cairn_job_start(client.connection, CAIRN_START_NEW, PATIENCE_MS),
                 CAIRN_STATUS_INVALID, "colour");
    expect_counts(0, 0);
    cairn_close(client.connection);
}
END_TEST

START_TEST(nobody_at_the_other_end)
{
    struct program client = {NULL};
    char late[ENDPOINT_BYTES];

    free_endpoint(late);
    ck_assert_int_eq(cairn_connect(late, &client.connection), CAIRN_STATUS_OK);
    expect_error(&client, cairn_attach(client.connection, "tables", 30), CAIRN_STATUS_TIMEOUT, late);
    cairn_close(client.connection);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("cairn_faults");
    TCase *steps = tcase_create("steps"), *misuse = tcase_create("misuse");

    tcase_add_checked_fixture(steps, open_cluster, close_cluster);
    tcase_set_timeout(steps, 60);
    tcase_add_test(steps, commits_make_steps_durable);
    tcase_add_test(steps, a_commit_is_of_the_last_whole_step);
    tcase_add_test(steps, a_program_that_comes_back_finds_its_step);
    tcase_add_test(steps, silent_servers_are_asked_for_again);
    tcase_add_test(steps, servers_that_refuse_are_asked_less_and_less);
    tcase_add_test(steps, a_broken_connection_ends_everything);
    suite_add_tcase(suite, steps);
    tcase_add_checked_fixture(misuse, open_cluster, close_cluster);
    tcase_add_test(misuse, what_makes_no_sense_is_refused);
    tcase_add_test(misuse, a_connection_that_is_not_attached);
    tcase_add_test(misuse, nobody_at_the_other_end);
    suite_add_tcase(suite, misuse);
    return suite;
}

CHECK_MAIN(make_suite)
