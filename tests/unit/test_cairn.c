/* The public library against real shards and a played coordinator: steps, handles, errors, coming back. */
#include "check_main.h"
#include "played_cluster.h"

#include "cairn.h"

#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/time.h>

#define LEAVES    4
#define SIZE      70000 /* floats: several chunks */
#define DIMENSION 3
#define RATE      0.25f /* exact */

static struct played_cluster cluster;

static void open_cluster(void)
{
    played_cluster_open(&cluster);
}

static void close_cluster(void)
{
    played_cluster_close(&cluster);
}

static void expect_counts(unsigned submitted, unsigned commits_asked)
{
    unsigned submits, commits;

    played_counts(&cluster, &submits, &commits);
    ck_assert_uint_eq(submits, submitted);
    ck_assert_uint_eq(commits, commits_asked);
}

/* ---- clients */

struct program {
    cairn *connection;
    cairn_table *dense, *sparse;
    float *gradients[LEAVES], *values;
};

static void must(cairn *connection, enum cairn_status status)
{
    ck_assert_msg(status == CAIRN_STATUS_OK, "%s: %s", cairn_status_text(status),
                  cairn_error_text(connection));
}

static void describe(cairn *connection)
{
    must(connection, cairn_job_begin(connection, "tables"));
    must(connection, cairn_job_set(connection, "seed", "3"));
    must(connection,
         cairn_job_set(connection, "train", "microbatches: 4\noptimizer: {sgd: {learning_rate: 0.25}}"));
    must(connection, cairn_job_dense(connection, "weights", SIZE, "{initializer: ones}"));
    must(connection, cairn_job_sparse(connection, "rows", DIMENSION, "initializer: zeros"));
}

static float *floats(size_t count)
{
    float *memory = calloc(count, sizeof(float));

    ck_assert_ptr_nonnull(memory);
    return memory;
}

static void program_open(struct program *client, uint32_t begin, uint32_t end)
{
    enum cairn_status status = cairn_connect(cluster.endpoint, &client->connection);

    must(client->connection, status);
    describe(client->connection);
    must(client->connection, cairn_job_start(client->connection, CAIRN_START_NEW, PATIENCE_MS));
    must(client->connection, cairn_set_span(client->connection, begin, end));
    client->dense = cairn_find_table(client->connection, "weights");
    client->sparse = cairn_table_at(client->connection, 1);
    ck_assert_ptr_nonnull(client->dense);
    ck_assert_ptr_nonnull(client->sparse);
    for (int i = 0; i < LEAVES; i++)
        client->gradients[i] = floats(SIZE);
    client->values = floats(SIZE);
}

static void program_close(struct program *client)
{
    cairn_close(client->connection);
    for (int i = 0; i < LEAVES; i++)
        free(client->gradients[i]);
    free(client->values);
}

static void finish(const struct program *client, cairn_handle *handle)
{
    ck_assert_ptr_nonnull(handle);
    must(client->connection, cairn_wait(handle, PATIENCE_MS));
}

/* The gradient of an element: sums of such do not depend on how they are added only if they are exact, which
 * these are not. */
static float gradient(uint64_t step, uint32_t leaf, uint64_t element)
{
    return (float)((step + 1) * 131 + leaf * 37 + element % 1009) / 7.0f;
}

static void push_dense_leaf(const struct program *client, uint32_t leaf, cairn_handle **handle)
{
    struct cairn_gradients push = {leaf, leaf + 1, 1, client->gradients[leaf], NULL, 0};
    uint64_t step = cairn_current_step(client->connection);

    for (uint64_t i = 0; i < SIZE; i++)
        client->gradients[leaf][i] = gradient(step, leaf, i);
    must(client->connection, cairn_push(client->dense, &push, handle));
}

static void pull_dense(const struct program *client)
{
    cairn_handle *handle;

    must(client->connection, cairn_pull(client->dense, NULL, 0, client->values, &handle));
    finish(client, handle);
}

static void step_and_wait(const struct program *client)
{
    cairn_handle *handle;

    must(client->connection, cairn_step(client->connection, &handle));
    finish(client, handle);
}

/* What element i is after `steps` steps of all leaves. */
static float expected(uint64_t steps, uint64_t i)
{
    float weight = 1;

    for (uint64_t step = 0; step < steps; step++) {
        float left = gradient(step, 0, i) + gradient(step, 1, i);
        float right = gradient(step, 2, i) + gradient(step, 3, i);
        float mean = (left + right) / (float)LEAVES;

        weight -= RATE * mean;
    }
    return weight;
}

static void expect_dense(const struct program *client, uint64_t steps)
{
    for (uint64_t i = 0; i < SIZE; i++) {
        if (client->values[i] != expected(steps, i))
            ck_abort_msg("element %llu is %a after %llu steps, expected %a", (unsigned long long)i,
                         (double)client->values[i], (unsigned long long)steps, (double)expected(steps, i));
    }
}

static void expect_error(const struct program *client, enum cairn_status status, enum cairn_status wanted,
                         const char *text)
{
    ck_assert_msg(status == wanted, "%s", cairn_status_text(status));
    ck_assert_msg(strstr(cairn_error_text(client->connection), text) != NULL, "%s",
                  cairn_error_text(client->connection));
}

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

/* The coordinator knew of servers that have ended and come back elsewhere since. */
START_TEST(silent_servers_are_asked_for_again)
{
    struct program client;
    unsigned asked;

    pthread_mutex_lock(&cluster.lock);
    cluster.lost_locates = 1;
    pthread_mutex_unlock(&cluster.lock);
    program_open(&client, 0, LEAVES);
    ck_assert_uint_eq(cairn_current_step(client.connection), 0);
    pthread_mutex_lock(&cluster.lock);
    asked = cluster.locates_asked;
    pthread_mutex_unlock(&cluster.lock);
    ck_assert_uint_ge(asked, 2);
    program_close(&client);
}
END_TEST

/* As servers do that have not heard yet what the coordinator tells of. */
START_TEST(servers_that_refuse_are_asked_less_and_less)
{
    struct program client;
    unsigned asked;

    pthread_mutex_lock(&cluster.lock);
    cluster.early_ms = 600;
    pthread_mutex_unlock(&cluster.lock);
    program_open(&client, 0, LEAVES);
    ck_assert_uint_eq(cairn_current_step(client.connection), 0);
    pthread_mutex_lock(&cluster.lock);
    asked = cluster.locates_asked;
    pthread_mutex_unlock(&cluster.lock);
    ck_assert_uint_ge(asked, 2);
    ck_assert_uint_le(asked, 7); /* after 20, 60, 140, 300, 620 ms */
    program_close(&client);
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
    Suite *suite = suite_create("cairn");
    TCase *steps = tcase_create("steps"), *misuse = tcase_create("misuse");

    tcase_add_checked_fixture(steps, open_cluster, close_cluster);
    tcase_add_checked_fixture(misuse, open_cluster, close_cluster);
    tcase_set_timeout(steps, 60);
    tcase_add_test(steps, one_program_takes_steps);
    tcase_add_loop_test(steps, programs_share_steps_to_the_same_bits, 0, 4);
    tcase_add_test(steps, a_push_pull_is_one_round);
    tcase_add_test(steps, a_program_may_run_ahead);
    tcase_add_test(steps, pushes_lend_their_memory);
    tcase_add_loop_test(steps, codecs_round_each_microbatch, 0, 3);
    tcase_add_test(steps, rows_are_pushed_and_pulled_by_key);
    tcase_add_test(steps, a_push_of_no_rows_counts);
    tcase_add_test(steps, a_reader_reads_the_newest);
    tcase_add_test(steps, what_changed_is_exported);
    tcase_add_test(steps, an_export_may_be_ended);
    tcase_add_test(steps, a_table_tells_what_it_holds);
    tcase_add_test(steps, commits_make_steps_durable);
    tcase_add_test(steps, a_commit_is_of_the_last_whole_step);
    tcase_add_test(steps, a_program_that_comes_back_finds_its_step);
    tcase_add_test(steps, silent_servers_are_asked_for_again);
    tcase_add_test(steps, servers_that_refuse_are_asked_less_and_less);
    tcase_add_test(steps, a_broken_connection_ends_everything);
    tcase_add_test(steps, a_loop_of_ones_own);
    tcase_add_test(steps, a_signal_interrupts_a_wait);
    tcase_add_test(misuse, what_makes_no_sense_is_refused);
    tcase_add_test(misuse, a_connection_that_is_not_attached);
    tcase_add_test(misuse, nobody_at_the_other_end);
    suite_add_tcase(suite, steps);
    suite_add_tcase(suite, misuse);
    return suite;
}

CHECK_MAIN(make_suite)
