/* The public library: steps, pushes and pulls, and waiting for them. */
#include "check_main.h"
#include "cairn_program.h"

#include <poll.h>
#include <signal.h>
#include <sys/time.h>

/* ---- steps */

START_TEST(one_program_takes_steps)
{
    struct program client;

    program_open(&client, 0, LEAVES);
    ck_assert_str_eq(cairn_job_id(client.connection), PLAYED_ID);
    ck_assert_uint_eq(cairn_microbatches(client.connection), LEAVES);
    ck_assert_uint_eq(cairn_current_step(client.connection), 0);
    ck_assert_str_eq(cairn_table_name(client.dense), "weights");
    ck_assert_uint_eq(cairn_table_size(client.dense), SIZE);
    ck_assert_uint_eq(cairn_table_dimension(client.sparse), DIMENSION);
    pull_dense(&client);
    expect_dense(&client, 0);
    for (int step = 0; step < 3; step++) {
        for (uint32_t leaf = 0; leaf < LEAVES; leaf++)
            push_dense_leaf(&client, leaf, NULL);
        step_and_wait(&client);
    }
    ck_assert_uint_eq(cairn_current_step(client.connection), 3);
    pull_dense(&client);
    expect_dense(&client, 3);
    program_close(&client);
}
END_TEST

/* Spans of any shape, nobody waits for anything but its own pulls. */
START_TEST(programs_share_steps_to_the_same_bits)
{
    static const uint32_t cuts[][4] = {{0, 2, 4, 4}, {0, 1, 4, 4}, {0, 3, 4, 4}, {0, 1, 3, 4}};
    struct program clients[3];

    for (int i = 0; i < 3; i++)
        program_open(&clients[i], cuts[_i][i], cuts[_i][i + 1]);
    for (int step = 0; step < 3; step++) {
        for (int i = 2; i >= 0; i--) {
            for (uint32_t leaf = cuts[_i][i]; leaf < cuts[_i][i + 1]; leaf++)
                push_dense_leaf(&clients[i], leaf, NULL);
            if (cuts[_i][i] < cuts[_i][i + 1])
                must(clients[i].connection, cairn_step(clients[i].connection, NULL));
        }
        for (int i = 0; i < 3; i++) /* a reader, too, reads it: nobody goes on before */
            pull_dense(&clients[i]);
        for (int i = 0; i < 3; i++) {
            if (cuts[_i][i] < cuts[_i][i + 1])
                expect_dense(&clients[i], (uint64_t)step + 1);
        }
    }
    for (int i = 0; i < 3; i++)
        program_close(&clients[i]);
}
END_TEST

START_TEST(a_push_pull_is_one_round)
{
    struct program client;
    struct cairn_gradients push = {3, 4, 1, NULL, NULL, 0};
    cairn_handle *handle;

    program_open(&client, 0, LEAVES);
    for (uint32_t leaf = 0; leaf < 3; leaf++)
        push_dense_leaf(&client, leaf, NULL);
    for (uint64_t i = 0; i < SIZE; i++)
        client.gradients[3][i] = gradient(0, 3, i);
    push.values = client.gradients[3];
    must(client.connection, cairn_push_pull(client.dense, &push, client.values, &handle));
    finish(&client, handle);
    expect_dense(&client, 1);
    step_and_wait(&client);
    ck_assert_uint_eq(cairn_current_step(client.connection), 1);
    program_close(&client);
}
END_TEST

/* What is begun too early waits in the library; what was read early comes when it is there. */
START_TEST(a_program_may_run_ahead)
{
    struct program ahead, behind;
    cairn_handle *read, *step, *late;

    program_open(&ahead, 0, 2);
    program_open(&behind, 2, 4);
    push_dense_leaf(&ahead, 0, NULL);
    push_dense_leaf(&ahead, 1, NULL);
    must(ahead.connection, cairn_step(ahead.connection, &step));
    must(ahead.connection, cairn_pull(ahead.dense, NULL, 0, ahead.values, &read));
    must(ahead.connection, cairn_step(ahead.connection, NULL)); /* step 1: nothing, held back */
    must(ahead.connection, cairn_step(ahead.connection, &late));
    ck_assert_uint_eq(cairn_current_step(ahead.connection), 3);
    ck_assert_int_eq(cairn_wait(step, 0), CAIRN_STATUS_TIMEOUT);
    ck_assert_int_eq(cairn_wait(late, 50), CAIRN_STATUS_TIMEOUT);
    push_dense_leaf(&behind, 2, NULL);
    push_dense_leaf(&behind, 3, NULL);
    must(behind.connection, cairn_step(behind.connection, NULL));
    finish(&ahead, step);
    finish(&ahead, read);
    expect_dense(&ahead, 1);
    ck_assert_int_eq(cairn_wait(late, 0), CAIRN_STATUS_TIMEOUT);
    must(behind.connection, cairn_step(behind.connection, NULL));
    must(behind.connection, cairn_step(behind.connection, NULL));
    while (!cairn_test(late)) /* both turn their own wheels */
        must(behind.connection, cairn_poll(behind.connection));
    finish(&ahead, late);
    program_close(&ahead);
    program_close(&behind);
}
END_TEST

START_TEST(pushes_lend_their_memory)
{
    struct program client;
    cairn_handle *handles[LEAVES];

    program_open(&client, 0, LEAVES);
    for (int round = 0; round < 20; round++) {
        for (uint32_t leaf = 0; leaf < LEAVES; leaf++)
            push_dense_leaf(&client, leaf, &handles[leaf]);
        for (uint32_t leaf = 0; leaf < LEAVES; leaf++)
            finish(&client, handles[leaf]);
        for (uint32_t leaf = 0; leaf < LEAVES; leaf++) /* ours again: nobody reads this */
            memset(client.gradients[leaf], 0xff, SIZE * sizeof(float));
        step_and_wait(&client);
    }
    pull_dense(&client);
    expect_dense(&client, 20);
    program_close(&client);
}
END_TEST

/* A table that rounds takes microbatches only; another program's nothing comes as such, too. */
START_TEST(codecs_round_each_microbatch)
{
    static const char *const codecs[] = {"bfloat16", "int8", "{top_k: {share: 0.5}}"};
    static float gradients[64], values[64];
    struct cairn_gradients push = {0, 2, 1, gradients, NULL, 0}, leaf = {0, 1, 1, gradients, NULL, 0};
    struct program program = {NULL};
    enum cairn_status status = cairn_connect(cluster.endpoint, &program.connection);
    cairn_handle *handle;
    char yaml[128];

    for (int i = 0; i < 64; i++)
        gradients[i] = i % 2 ? 1024 : 1;
    must(program.connection, status);
    must(program.connection, cairn_job_begin(program.connection, "rounded"));
    must(program.connection,
         cairn_job_set(program.connection, "train", "{microbatches: 4, commit_every: 3}"));
    snprintf(yaml, sizeof(yaml), "{optimizer: {sgd: {learning_rate: 1.0}}, codec: %s}", codecs[_i]);
    must(program.connection, cairn_job_dense(program.connection, "weights", 64, yaml));
    must(program.connection, cairn_job_start(program.connection, CAIRN_START_NEW, PATIENCE_MS));
    program.dense = cairn_table_at(program.connection, 0);
    expect_error(&program, cairn_push(program.dense, &push, NULL), CAIRN_STATUS_INVALID, "one by one");
    must(program.connection, cairn_push(program.dense, &leaf, NULL));
    step_and_wait(&program);
    must(program.connection, cairn_pull(program.dense, NULL, 0, values, &handle));
    finish(&program, handle);
    ck_assert(values[1] == -1024 && values[63] == -1024);
    for (int i = 0; i < 2; i++) /* nothing; the last sends all that top_k has not sent */
        step_and_wait(&program);
    must(program.connection, cairn_pull(program.dense, NULL, 0, values, &handle));
    finish(&program, handle);
    ck_assert(values[1] == -1024);
    ck_assert_msg(_i == 1 || values[0] == -1, "%g",
                  (double)values[0]); /* int8 leaves such small ones to chance */
    cairn_close(program.connection);
}
END_TEST

/* ---- rows */

START_TEST(rows_are_pushed_and_pulled_by_key)
{
    static const uint64_t keys[] = {9, UINT64_MAX, 9, 0, 123456789};
    static const float gradients[5 * DIMENSION] = {4, 8, 12, 40, 80, 120, 4, 0, -4, 400, 800, 1200, 1, 2, 3};
    static const uint64_t asked[] = {0, 9, 77, UINT64_MAX, 9};
    struct cairn_gradients push = {0, 0, 4, gradients, keys, 5};
    struct program client;
    float rows[5 * DIMENSION];
    cairn_handle *handle;

    program_open(&client, 0, LEAVES);
    must(client.connection, cairn_push_pull(client.sparse, &push, rows, &handle));
    finish(&client, handle);
    for (int i = 0; i < 3; i++) /* both 9s */
        ck_assert(rows[i] == -0.25f / 4 * (gradients[i] + gradients[2 * DIMENSION + i]) &&
                  rows[2 * DIMENSION + i] == rows[i]);
    step_and_wait(&client);
    must(client.connection, cairn_pull(client.sparse, asked, 5, rows, &handle));
    finish(&client, handle);
    for (int i = 0; i < DIMENSION; i++) {
        ck_assert(rows[i] == -0.25f / 4 * gradients[3 * DIMENSION + i]);
        ck_assert(rows[DIMENSION + i] == rows[4 * DIMENSION + i] && rows[DIMENSION + i] != 0);
        ck_assert(rows[2 * DIMENSION + i] == 0); /* nobody named it */
        ck_assert(rows[3 * DIMENSION + i] == -0.25f / 4 * gradients[DIMENSION + i]);
    }
    program_close(&client);
}
END_TEST

START_TEST(a_push_of_no_rows_counts)
{
    struct program one, two;
    static const uint64_t key = 5;
    static const float row[DIMENSION] = {8, 8, 8};
    struct cairn_gradients push = {0, 2, 2, row, &key, 1}, nothing = {2, 4, 2, NULL, NULL, 0};
    float rows[DIMENSION];
    cairn_handle *handle, *other;

    program_open(&one, 0, 2);
    program_open(&two, 2, 4);
    must(one.connection, cairn_push_pull(one.sparse, &push, rows, &handle));
    must(two.connection, cairn_push_pull(two.sparse, &nothing, two.values, &other));
    finish(&two, other);
    finish(&one, handle);
    ck_assert(rows[0] == -0.25f * 8 / 4);
    program_close(&one);
    program_close(&two);
}
END_TEST

/* ---- durable, and back again */

START_TEST(a_loop_of_ones_own)
{
    struct program client;
    cairn_handle *handle;
    struct pollfd item = {.events = POLLIN};

    program_open(&client, 0, LEAVES);
    item.fd = cairn_descriptor(client.connection);
    ck_assert_int_ge(item.fd, 0);
    for (int step = 0; step < 20; step++) {
        for (uint32_t leaf = 0; leaf < LEAVES; leaf++)
            push_dense_leaf(&client, leaf, NULL);
        must(client.connection, cairn_step(client.connection, &handle));
        must(client.connection, cairn_poll(client.connection));
        while (cairn_wait(handle, 0) == CAIRN_STATUS_TIMEOUT) {
            ck_assert_int_eq(poll(&item, 1, PATIENCE_MS), 1);
            must(client.connection, cairn_poll(client.connection));
        }
    }
    program_close(&client);
}
END_TEST

static void on_alarm(int number)
{
    (void)number;
}

/* The handle goes on. */
START_TEST(a_signal_interrupts_a_wait)
{
    const struct sigaction action = {.sa_handler = on_alarm};
    const struct itimerval often = {{0, 20000}, {0, 20000}},
                           never = {{0, 0}, {0, 0}}; /* whenever we come to sleep */
    struct program program, other;
    cairn_handle *handle;

    program_open(&program, 0, 2);
    program_open(&other, 2, 4);
    ck_assert_int_eq(sigaction(SIGALRM, &action, NULL), 0);
    must(program.connection, cairn_step(program.connection, &handle));
    ck_assert_int_eq(setitimer(ITIMER_REAL, &often, NULL), 0);
    ck_assert_int_eq(cairn_wait(handle, -1), CAIRN_STATUS_AGAIN);
    ck_assert_int_eq(setitimer(ITIMER_REAL, &never, NULL), 0);
    must(other.connection, cairn_step(other.connection, NULL));
    finish(&program, handle);
    program_close(&program);
    program_close(&other);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("cairn");
    TCase *steps = tcase_create("steps");

    tcase_add_checked_fixture(steps, open_cluster, close_cluster);
    tcase_set_timeout(steps, 60);
    tcase_add_test(steps, one_program_takes_steps);
    tcase_add_loop_test(steps, programs_share_steps_to_the_same_bits, 0, 4);
    tcase_add_test(steps, a_push_pull_is_one_round);
    tcase_add_test(steps, a_program_may_run_ahead);
    tcase_add_test(steps, pushes_lend_their_memory);
    tcase_add_loop_test(steps, codecs_round_each_microbatch, 0, 3);
    tcase_add_test(steps, rows_are_pushed_and_pulled_by_key);
    tcase_add_test(steps, a_push_of_no_rows_counts);
    tcase_add_test(steps, a_loop_of_ones_own);
    tcase_add_test(steps, a_signal_interrupts_a_wait);
    suite_add_tcase(suite, steps);
    return suite;
}

CHECK_MAIN(make_suite)
