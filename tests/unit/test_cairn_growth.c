/* The public library: tables that are added while programs take steps, by those who ask for them and those
 * who do not. Against real shards and a played coordinator. */
#include "check_main.h"
#include "played_cluster.h"
#include "slow_link.h"

#include "cairn.h"
#include "request.h"

#include <poll.h>
#include <stdlib.h>

#define LEAVES    4
#define SIZE      64
#define LARGE     (1 << 20) /* of chunks on both servers */
#define DIMENSION 2
#define SGD       "{initializer: zeros, optimizer: {sgd: {learning_rate: 1.0}}}"

static struct played_cluster cluster;

static void open_cluster(void)
{
    played_cluster_open(&cluster);
}

static void close_cluster(void)
{
    played_cluster_close(&cluster);
}

struct program {
    cairn *connection;
    cairn_table *own, *added;
};

static void must(const struct program *program, enum cairn_status status)
{
    ck_assert_msg(status == CAIRN_STATUS_OK, "%s: %s", cairn_status_text(status),
                  cairn_error_text(program->connection));
}

static void expect_error(const struct program *program, enum cairn_status status, enum cairn_status wanted,
                         const char *text)
{
    ck_assert_msg(status == wanted, "%s", cairn_status_text(status));
    ck_assert_msg(strstr(cairn_error_text(program->connection), text) != NULL, "%s",
                  cairn_error_text(program->connection));
}

/* A job with one dense table. */
static struct program attach_to(uint64_t size, uint32_t begin, uint32_t end)
{
    struct program program = {NULL, NULL, NULL};
    enum cairn_status status = cairn_connect(cluster.endpoint, &program.connection);

    must(&program, status);
    must(&program, cairn_job_begin(program.connection, "tables"));
    must(&program, cairn_job_set(program.connection, "train", "{microbatches: 4, optimizer: sgd}"));
    must(&program, cairn_job_dense(program.connection, "own", size, SGD));
    must(&program, cairn_job_start(program.connection, CAIRN_START_NEW, PATIENCE_MS));
    must(&program, cairn_set_span(program.connection, begin, end));
    program.own = cairn_table_at(program.connection, 0);
    return program;
}

static struct program attach(uint32_t begin, uint32_t end)
{
    return attach_to(SIZE, begin, end);
}

static void add_rows(struct program *program)
{
    must(program,
         cairn_add_sparse(program->connection, "rows", DIMENSION, SGD, PATIENCE_MS, &program->added));
    ck_assert_ptr_nonnull(program->added);
}

static void finish(const struct program *program, cairn_handle *handle)
{
    must(program, cairn_wait(handle, PATIENCE_MS));
}

/* Pushes a row of -1 for a key in one microbatch: it goes up by a quarter when each has one sample. */
static void push_row(const struct program *program, uint32_t leaf, const uint64_t *key)
{
    static const float row[DIMENSION] = {-1, -1};
    const struct cairn_gradients push = {leaf, leaf + 1, 1, row, key, 1};

    must(program, cairn_push(program->added, &push, NULL));
}

static void push_nothing(const struct program *program, cairn_table *table, uint32_t begin, uint32_t end)
{
    for (uint32_t leaf = begin; leaf < end; leaf++) {
        const struct cairn_gradients push = {leaf, leaf + 1, 1, NULL, NULL, 0};

        must(program, cairn_push(table, &push, NULL));
    }
}

static cairn_handle *step(const struct program *program)
{
    cairn_handle *handle;

    must(program, cairn_step(program->connection, &handle));
    return handle;
}

static float row_of(const struct program *program, uint64_t key)
{
    float row[DIMENSION];
    cairn_handle *handle;

    must(program, cairn_pull(program->added, &key, 1, row, &handle));
    finish(program, handle);
    ck_assert(row[0] == row[1]);
    return row[0];
}

/* Both turn their wheels until a handle of the first has ended. */
static void finish_both(const struct program *one, cairn_handle *handle, const struct program *other)
{
    while (!cairn_test(handle))
        must(other, cairn_poll(other->connection));
    finish(one, handle);
}

/* ---- whoever asks */

START_TEST(a_table_is_there_from_the_next_step_on)
{
    static const uint64_t key = 77;
    struct program program = attach(0, LEAVES);
    cairn_table *dense, *again;
    static float values[SIZE];
    cairn_handle *handle;

    for (int i = 0; i < 3; i++)
        finish(&program, step(&program));
    add_rows(&program);
    must(&program,
         cairn_add_dense(program.connection, "more", SIZE, "{initializer: ones}", PATIENCE_MS, &dense));
    ck_assert_ptr_eq(cairn_table_at(program.connection, 1), program.added);
    ck_assert_ptr_eq(cairn_find_table(program.connection, "more"), dense);
    ck_assert_uint_eq(cairn_table_dimension(program.added), DIMENSION);
    ck_assert_uint_eq(cairn_table_size(dense), SIZE);
    must(&program,
         cairn_add_dense(program.connection, "more", SIZE, "{initializer: ones}", PATIENCE_MS, &again));
    ck_assert_ptr_eq(again, dense);
    ck_assert(row_of(&program, key) == 0);
    must(&program, cairn_pull(dense, NULL, 0, values, &handle));
    finish(&program, handle);
    ck_assert(values[0] == 1 && values[SIZE - 1] == 1);
    for (uint32_t leaf = 0; leaf < LEAVES; leaf++)
        push_row(&program, leaf, &key);
    finish(&program, step(&program));
    ck_assert_uint_eq(cairn_current_step(program.connection), 4);
    ck_assert(row_of(&program, key) == 1);
    must(&program, cairn_commit(program.connection, PATIENCE_MS));
    pthread_mutex_lock(&cluster.lock);
    ck_assert_uint_eq(cluster.committed_step, 4);
    pthread_mutex_unlock(&cluster.lock);
    cairn_close(program.connection);
}
END_TEST

START_TEST(handles_and_tables_outlive_an_addition)
{
    struct program program = attach(0, LEAVES);
    cairn_handle *handle = step(&program);
    cairn_table *own = program.own;

    add_rows(&program);
    finish(&program, handle);
    ck_assert_ptr_eq(cairn_table_at(program.connection, 0), own);
    ck_assert_str_eq(cairn_table_name(own), "own");
    cairn_close(program.connection);
}
END_TEST

START_TEST(what_cannot_be_added_is_refused)
{
    struct program program = attach(0, LEAVES);
    cairn_table *table = program.own;

    expect_error(&program, cairn_add_dense(program.connection, "refused", 5, NULL, PATIENCE_MS, &table),
                 CAIRN_STATUS_INVALID, "this table is refused");
    ck_assert_ptr_null(table);
    expect_error(&program, cairn_add_dense(program.connection, "x", 5, "[no, mapping]", PATIENCE_MS, &table),
                 CAIRN_STATUS_INVALID, "mapping");
    push_nothing(&program, program.own, 0, 1);
    expect_error(&program, cairn_add_sparse(program.connection, "x", 5, NULL, PATIENCE_MS, &table),
                 CAIRN_STATUS_INVALID, "step 0 has begun");
    finish(&program, step(&program));
    add_rows(&program);
    cairn_close(program.connection);
    must(&program, cairn_connect(cluster.endpoint, &program.connection));
    expect_error(&program, cairn_add_dense(program.connection, "x", 5, NULL, PATIENCE_MS, &table),
                 CAIRN_STATUS_INVALID, "not attached");
    cairn_close(program.connection);
}
END_TEST

/* ---- whoever does not */

START_TEST(others_add_nothing_and_learn_of_it)
{
    static const uint64_t key = 5;
    struct program one = attach(0, 2), other = attach(2, LEAVES);
    cairn_handle *mine, *theirs;

    theirs = step(&other); /* ends with the step that the table begins at */
    add_rows(&one);
    ck_assert_ptr_null(cairn_find_table(other.connection, "rows"));
    push_row(&one, 0, &key);
    push_row(&one, 1, &key);
    mine = step(&one);
    finish_both(&one, mine, &other);
    finish(&other, theirs);
    other.added = cairn_find_table(other.connection, "rows");
    ck_assert_ptr_nonnull(other.added);
    ck_assert(row_of(&other, key) == 1); /* of two samples */
    ck_assert(row_of(&one, key) == 1);
    for (uint32_t leaf = 2; leaf < LEAVES; leaf++)
        push_row(&other, leaf, &key);
    theirs = step(&other);
    finish_both(&one, step(&one), &other);
    finish(&other, theirs);
    ck_assert(row_of(&one, key) == 2);
    cairn_close(one.connection);
    cairn_close(other.connection);
}
END_TEST

/* It has begun many steps, with other microbatches from one to the next, when it hears of the table. */
START_TEST(who_has_run_ahead_owes_what_it_had)
{
    static const uint64_t key = 9;
    struct program one = attach(0, 1), other = attach(1, 3);
    cairn_handle *last = NULL;

    for (uint32_t i = 0; i < 6; i++) { /* the first has what the other has not: leaf 0, and 1 or 3 in turn */
        uint32_t begin = i % 2 ? 2 : 1;

        must(&other, cairn_set_span(other.connection, begin, begin + 2));
        if (i == 5)
            last = step(&other);
        else
            must(&other, cairn_step(other.connection, NULL));
    }
    add_rows(&one);
    for (uint32_t i = 0; i < 6; i++) {
        must(&one, cairn_set_span(one.connection, 0, i % 2 ? 2 : 1));
        for (uint32_t leaf = 0; leaf < (i % 2 ? 2 : 1); leaf++) {
            push_row(&one, leaf, &key);
            push_nothing(&one, one.own, leaf, leaf + 1);
        }
        if (i % 2 == 0) { /* and leaf 3 is a third program's */
            struct program third = attach(3, LEAVES);
            cairn_handle *end = step(&third);

            must(&one, cairn_step(one.connection, NULL));
            while (!cairn_test(end)) {
                must(&one, cairn_poll(one.connection));
                must(&other, cairn_poll(other.connection));
            }
            finish(&third, end);
            cairn_close(third.connection);
        } else {
            finish_both(&one, step(&one), &other);
        }
    }
    finish(&other, last);
    ck_assert_uint_eq(cairn_current_step(other.connection), 6);
    ck_assert(row_of(&one, key) == 6);
    cairn_close(one.connection);
    cairn_close(other.connection);
}
END_TEST

START_TEST(a_reader_learns_with_what_it_reads)
{
    static const uint64_t key = 5;
    static float values[SIZE];
    struct program one = attach(0, LEAVES), reader = attach(0, 0);
    cairn_handle *handle;

    add_rows(&one);
    push_row(&one, 0, &key);
    finish(&one, step(&one));
    while (!cairn_find_table(reader.connection, "rows")) {
        must(&reader, cairn_pull(reader.own, NULL, 0, values, &handle));
        finish(&reader, handle);
    }
    reader.added = cairn_find_table(reader.connection, "rows");
    ck_assert(row_of(&reader, key) == 1);
    cairn_close(one.connection);
    cairn_close(reader.connection);
}
END_TEST

START_TEST(a_reader_may_add)
{
    struct program one = attach(0, LEAVES), reader = attach(0, 0);

    finish(&one, step(&one));
    add_rows(&reader);
    ck_assert(row_of(&reader, 5) == 0);
    finish(&one, step(&one));
    finish(&one, step(&one));
    ck_assert_ptr_nonnull(cairn_find_table(one.connection, "rows"));
    cairn_close(one.connection);
    cairn_close(reader.connection);
}
END_TEST

START_TEST(who_comes_later_has_all_tables)
{
    struct program one = attach(0, LEAVES), late;

    finish(&one, step(&one));
    add_rows(&one);
    late = attach(0, 0);
    ck_assert_uint_eq(cairn_current_step(late.connection), 1);
    late.added = cairn_find_table(late.connection, "rows");
    ck_assert_ptr_nonnull(late.added);
    ck_assert(row_of(&late, 3) == 0);
    cairn_close(late.connection);
    cairn_close(one.connection);
}
END_TEST

/* The table came between the coordinator's answer and the servers'. */
START_TEST(who_comes_as_a_table_does_has_it_too)
{
    static const uint64_t key = 3;
    struct program one = attach(0, LEAVES), late;

    finish(&one, step(&one));
    add_rows(&one);
    for (int i = 0; i < 3; i++) {
        push_row(&one, 0, &key);
        finish(&one, step(&one));
    }
    cairn_close(one.connection);
    pthread_mutex_lock(&cluster.lock);
    cluster.stale_locates = 1;
    pthread_mutex_unlock(&cluster.lock);
    late = attach(0, LEAVES);
    ck_assert_uint_eq(cairn_current_step(late.connection), 4);
    late.added = cairn_find_table(late.connection, "rows");
    ck_assert_ptr_nonnull(late.added);
    push_row(&late, 0, &key);
    finish(&late, step(&late));
    ck_assert(row_of(&late, key) == 4);
    cairn_close(late.connection);
}
END_TEST

/* As above, and one server's answer, with the number of tables, comes long before the other's. */
START_TEST(a_table_is_learned_of_when_all_have_answered)
{
    struct program one = attach_to(LARGE, 0, LEAVES), late;
    struct slow_link link;

    finish(&one, step(&one));
    add_rows(&one);
    for (int i = 0; i < 3; i++)
        finish(&one, step(&one));
    cairn_close(one.connection);
    slow_link_open(&link, cluster.params[0].bound, 100);
    pthread_mutex_lock(&cluster.lock);
    cluster.stale_locates = 1;
    cluster.slow_endpoint = link.endpoint;
    pthread_mutex_unlock(&cluster.lock);
    late = attach_to(LARGE, 0, LEAVES);
    ck_assert_uint_eq(cairn_current_step(late.connection), 4);
    ck_assert_ptr_nonnull(cairn_find_table(late.connection, "rows"));
    cairn_close(late.connection);
    slow_link_close(&link);
}
END_TEST

/* Two programs push the same, so one need not have come to where the table begins. */
START_TEST(a_program_behind_waits_for_its_step)
{
    static const uint64_t key = 5;
    static const float row[DIMENSION] = {-1, -1};
    const struct cairn_gradients push = {0, 1, 1, row, &key, 1};
    struct program one = attach(0, LEAVES), behind = attach(0, LEAVES);
    float values[DIMENSION];
    cairn_handle *handle;

    finish(&one, step(&one));
    add_rows(&behind);
    expect_error(&behind, cairn_push(behind.added, &push, NULL), CAIRN_STATUS_INVALID, "begins at step 1");
    expect_error(&behind, cairn_pull(behind.added, &key, 1, values, &handle), CAIRN_STATUS_INVALID,
                 "begins at step 1");
    finish(&behind, step(&behind));
    push_row(&behind, 0, &key);
    finish(&behind, step(&behind));
    ck_assert(row_of(&behind, key) == 1);
    cairn_close(one.connection);
    cairn_close(behind.connection);
}
END_TEST

/* As a loop that watches other descriptors as well: the program is called for what its own tells, no more. */
static void finish_by_descriptor(const struct program *program, cairn_handle *handle)
{
    struct pollfd item = {cairn_descriptor(program->connection), POLLIN, 0};

    while (!cairn_test(handle))
        ck_assert_msg(poll(&item, 1, 2 * REQUEST_ANSWER_MS) == 1, "nothing woke the program up");
    finish(program, handle);
}

/* The table waits, the program does not hang; when the coordinator speaks again it goes on. */
START_TEST(a_silent_coordinator_is_asked_again)
{
    struct program one = attach(0, 2), other = attach(2, LEAVES);
    cairn_handle *mine, *theirs;

    add_rows(&one);
    pthread_mutex_lock(&cluster.lock);
    cluster.is_silent = true;
    cluster.locates_asked = 0;
    pthread_mutex_unlock(&cluster.lock);
    mine = step(&one);
    theirs = step(&other);
    for (unsigned asked = 0; asked == 0;) {
        must(&one, cairn_poll(one.connection));
        ck_assert(!cairn_test(theirs) && !cairn_test(mine));
        pthread_mutex_lock(&cluster.lock);
        asked = cluster.locates_asked;
        cluster.is_silent = asked == 0;
        pthread_mutex_unlock(&cluster.lock);
    }
    if (_i == 0) /* asks again after a while */
        must(&other, cairn_wait(theirs, -1));
    else
        finish_by_descriptor(&other, theirs);
    finish(&one, mine);
    cairn_close(one.connection);
    cairn_close(other.connection);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("cairn_growth");
    TCase *tests = tcase_create("cairn_growth");

    tcase_set_timeout(tests, 60);
    tcase_add_checked_fixture(tests, open_cluster, close_cluster);
    tcase_add_test(tests, a_table_is_there_from_the_next_step_on);
    tcase_add_test(tests, handles_and_tables_outlive_an_addition);
    tcase_add_test(tests, what_cannot_be_added_is_refused);
    tcase_add_test(tests, others_add_nothing_and_learn_of_it);
    tcase_add_test(tests, who_has_run_ahead_owes_what_it_had);
    tcase_add_test(tests, a_reader_learns_with_what_it_reads);
    tcase_add_test(tests, a_reader_may_add);
    tcase_add_test(tests, who_comes_later_has_all_tables);
    tcase_add_test(tests, who_comes_as_a_table_does_has_it_too);
    tcase_add_test(tests, a_table_is_learned_of_when_all_have_answered);
    tcase_add_test(tests, a_program_behind_waits_for_its_step);
    tcase_add_loop_test(tests, a_silent_coordinator_is_asked_again, 0, 2);
    suite_add_tcase(suite, tests);
    return suite;
}

CHECK_MAIN(make_suite)
