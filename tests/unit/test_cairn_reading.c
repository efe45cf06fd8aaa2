/* The public library for those who read: the newest values, exports, what a table holds. */
#include "check_main.h"
#include "cairn_program.h"
#include "held_link.h"

/* ---- rows */

START_TEST(a_reader_reads_the_newest)
{
    static const uint64_t key = 5;
    static const float row[DIMENSION] = {8, 8, 8};
    struct cairn_gradients push = {0, 0, 1, row, &key, 1};
    struct program client, reader;
    float rows[DIMENSION];
    cairn_handle *handle;

    program_open(&client, 0, LEAVES);
    program_open(&reader, 0, 0);
    for (int i = 0; i < 3; i++) {
        for (uint32_t leaf = 0; leaf < LEAVES; leaf++)
            push_dense_leaf(&client, leaf, NULL);
        must(client.connection, cairn_push(client.sparse, &push, NULL));
        step_and_wait(&client);
    }
    pull_dense(&reader);
    expect_dense(&reader, 3);
    must(reader.connection, cairn_pull(reader.sparse, &key, 1, rows, &handle));
    finish(&reader, handle);
    ck_assert(rows[0] == -6);
    expect_error(&reader, cairn_step(reader.connection, NULL), CAIRN_STATUS_INVALID, "takes no part");
    expect_error(&reader, cairn_push(reader.sparse, &push, NULL), CAIRN_STATUS_INVALID, "pushes nothing");
    program_close(&client);
    program_close(&reader);
}
END_TEST

/* A pull that begins the moment after a step has ended, while an older one's answer is on its way still. */
START_TEST(a_late_answer_is_not_a_newer_pulls)
{
    float *values[] = {floats(SIZE), floats(SIZE)};
    struct program client, reader;
    struct held_link link;
    cairn_handle *handles[3];

    program_open(&client, 0, LEAVES);
    held_link_open(&link, cluster.params[0].bound);
    pthread_mutex_lock(&cluster.lock);
    cluster.slow_endpoint = link.endpoint;
    pthread_mutex_unlock(&cluster.lock);
    program_open(&reader, 0, _i == 0 ? 0 : LEAVES); /* whose first pull is of the newest or of version 0 */
    held_link_hold(&link, true);
    must(reader.connection, cairn_pull(reader.dense, NULL, 0, values[0], &handles[0]));
    must(reader.connection, cairn_set_span(reader.connection, 0, 0));
    must(reader.connection, cairn_pull(reader.dense, NULL, 0, values[1], &handles[1]));
    held_link_pass(&link);
    finish(&reader, handles[0]);
    held_link_await(&link); /* the second's answer, of version 0 as well */
    for (uint32_t leaf = 0; leaf < LEAVES; leaf++)
        push_dense_leaf(&client, leaf, NULL);
    step_and_wait(&client);
    must(reader.connection, cairn_pull(reader.dense, NULL, 0, reader.values, &handles[2]));
    held_link_hold(&link, false);
    finish(&reader, handles[2]);
    expect_dense(&reader, 1);
    finish(&reader, handles[1]);
    program_close(&client);
    program_close(&reader);
    held_link_close(&link);
    for (int i = 0; i < 2; i++)
        free(values[i]);
}
END_TEST

/* ---- what is there, and what has changed */

/* Rows that an export brought. */
struct harvest {
    uint32_t count, most; /* most: it is ended there */
    uint64_t keys[16], steps[16];
    float rows[16][DIMENSION];
};

static int harvest_rows(void *context, const struct cairn_rows *rows)
{
    struct harvest *harvest = context;

    for (uint32_t i = 0; i < rows->count; i++) {
        uint32_t at = harvest->count++;

        ck_assert_uint_lt(at, 16);
        harvest->keys[at] = rows->keys[i];
        harvest->steps[at] = rows->steps[i];
        memcpy(harvest->rows[at], rows->values + (size_t)i * DIMENSION, sizeof(harvest->rows[at]));
    }
    return harvest->count >= harvest->most;
}

static void expect_row(const struct harvest *harvest, uint64_t key, uint64_t step, float first)
{
    uint32_t found = 0;

    for (uint32_t i = 0; i < harvest->count; i++) {
        if (harvest->keys[i] != key)
            continue;
        found++;
        ck_assert_uint_eq(harvest->steps[i], step);
        ck_assert_msg(harvest->rows[i][0] == first, "%g", (double)harvest->rows[i][0]);
    }
    ck_assert_uint_eq(found, 1);
}

static uint64_t export_since(struct program *client, uint64_t since, struct harvest *harvest)
{
    uint64_t next = UINT64_MAX;

    *harvest = (struct harvest){.most = UINT32_MAX};
    must(client->connection, cairn_export(client->sparse, since, harvest_rows, harvest, &next, PATIENCE_MS));
    return next;
}

START_TEST(what_changed_is_exported)
{
    static const uint64_t keys[] = {5, UINT64_MAX, 77, 1000003, 12345678901};
    static const float rows[5][DIMENSION] = {{8, 0, 1}, {16, 0, 1}, {24, 0, 1}, {32, 0, 1}, {40, 0, 1}};
    struct program client, reader;
    struct harvest harvest;

    program_open(&client, 0, LEAVES);
    program_open(&reader, 0, 0);
    ck_assert_uint_eq(export_since(&reader, 0, &harvest), 0);
    ck_assert_uint_eq(harvest.count, 0);
    for (uint32_t step = 0; step < 3; step++) { /* with five keys, four, three */
        struct cairn_gradients push = {0, 0, 1, rows[0], keys, 5 - step};

        must(client.connection, cairn_push(client.sparse, &push, NULL));
        step_and_wait(&client);
    }
    ck_assert_uint_eq(export_since(&reader, 0, &harvest), 3);
    ck_assert_uint_eq(harvest.count, 5);
    expect_row(&harvest, 5, 2, -6);
    expect_row(&harvest, UINT64_MAX, 2, -12);
    expect_row(&harvest, 77, 2, -18);
    expect_row(&harvest, 1000003, 1, -16);
    expect_row(&harvest, 12345678901, 0, -10);
    ck_assert_uint_eq(export_since(&reader, 2, &harvest), 3);
    ck_assert_uint_eq(harvest.count, 3);
    expect_row(&harvest, 77, 2, -18);
    ck_assert_uint_eq(export_since(&reader, 3, &harvest), 3);
    ck_assert_uint_eq(harvest.count, 0);
    ck_assert_uint_eq(export_since(&reader, UINT32_MAX + UINT64_C(7), &harvest), 3);
    ck_assert_uint_eq(harvest.count, 0);
    program_close(&client);
    program_close(&reader);
}
END_TEST

START_TEST(an_export_may_be_ended)
{
    static const uint64_t keys[] = {1, 2, 3, 4, 5, 6, 7, 8};
    static const float rows[8][DIMENSION] = {{1}};
    struct cairn_gradients push = {0, 0, 1, rows[0], keys, 8};
    struct program client;
    struct harvest harvest = {.most = 1};
    uint64_t next = 17;

    program_open(&client, 0, LEAVES);
    must(client.connection, cairn_push(client.sparse, &push, NULL));
    step_and_wait(&client);
    expect_error(&client, cairn_export(client.sparse, 0, harvest_rows, &harvest, &next, PATIENCE_MS),
                 CAIRN_STATUS_CLOSED, "ended");
    ck_assert(next == 17 && harvest.count >= 1);
    expect_error(&client, cairn_export(client.dense, 0, harvest_rows, &harvest, &next, PATIENCE_MS),
                 CAIRN_STATUS_INVALID, "dense");
    expect_error(&client, cairn_export(client.sparse, UINT64_MAX, harvest_rows, &harvest, &next, PATIENCE_MS),
                 CAIRN_STATUS_INVALID, "no step");
    ck_assert_uint_eq(export_since(&client, 0, &harvest), 1); /* the connection stands */
    ck_assert_uint_eq(harvest.count, 8);
    program_close(&client);
}
END_TEST

START_TEST(a_table_tells_what_it_holds)
{
    static const uint64_t keys[] = {1, 2, 3, UINT64_MAX};
    static const float rows[4][DIMENSION] = {{1}};
    struct cairn_gradients push = {0, 0, 1, rows[0], keys, 4};
    struct cairn_statistics statistics;
    struct program client;

    program_open(&client, 0, LEAVES);
    must(client.connection, cairn_statistics(client.sparse, &statistics, PATIENCE_MS));
    ck_assert(statistics.rows == 0 && statistics.version == 0);
    for (int i = 0; i < 2; i++) {
        must(client.connection, cairn_push(client.sparse, &push, NULL));
        step_and_wait(&client);
    }
    must(client.connection, cairn_statistics(client.sparse, &statistics, PATIENCE_MS));
    ck_assert_uint_eq(statistics.version, 2);
    ck_assert_uint_eq(statistics.rows, 4);
    ck_assert_uint_eq(statistics.resident_rows, 4);
    ck_assert_uint_ge(statistics.hits, 4); /* of the second step */
    ck_assert(statistics.memory_bytes > 4 * sizeof(rows[0]) && statistics.evictions == 0);
    must(client.connection, cairn_statistics(client.dense, &statistics, PATIENCE_MS));
    ck_assert_uint_eq(statistics.version, 2);
    ck_assert_uint_eq(statistics.rows, 0);
    ck_assert_uint_eq(statistics.memory_bytes, 2 * SIZE * sizeof(float)); /* two versions, no slots */
    program_close(&client);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("cairn_reading");
    TCase *steps = tcase_create("steps");

    tcase_add_checked_fixture(steps, open_cluster, close_cluster);
    tcase_set_timeout(steps, 60);
    tcase_add_test(steps, a_reader_reads_the_newest);
    tcase_add_loop_test(steps, a_late_answer_is_not_a_newer_pulls, 0, 2);
    tcase_add_test(steps, what_changed_is_exported);
    tcase_add_test(steps, an_export_may_be_ended);
    tcase_add_test(steps, a_table_tells_what_it_holds);
    suite_add_tcase(suite, steps);
    return suite;
}

CHECK_MAIN(make_suite)
