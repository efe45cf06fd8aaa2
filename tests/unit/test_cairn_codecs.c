/* Tables with codecs through the public library and real shards: programs share steps to the same bits, and
 * what a codec does not allow is refused before anything is pushed. */
#include "check_main.h"
#include "played_cluster.h"

#include "cairn.h"

#include <math.h>
#include <stdlib.h>

#define LEAVES    4
#define SIZE      20000 /* floats: several chunks */
#define DIMENSION 5
#define KEYS      40
#define STEPS     3
#define RATE      0.25f
#define BOUNDARY  2

static const char *const codecs[] = {"float32",
                                     "float16",
                                     "bfloat16",
                                     "{float16: {rounding: stochastic}}",
                                     "int8",
                                     "{int8: {rounding: nearest}}",
                                     "{top_k: {share: 0.1}}"};
#define CODECS (int)(sizeof(codecs) / sizeof(codecs[0]))

static struct played_cluster cluster;

struct program {
    cairn *connection;
    cairn_table *dense, *rows; /* rows: NULL, with top_k */
    float *gradients[LEAVES];
    uint64_t keys[LEAVES][KEYS];
    float row_gradients[LEAVES][KEYS][DIMENSION];
};

static void must(cairn *connection, enum cairn_status status)
{
    ck_assert_msg(status == CAIRN_STATUS_OK, "%s: %s", cairn_status_text(status),
                  cairn_error_text(connection));
}

static bool is_top_k(const char *codec)
{
    return strstr(codec, "top_k") != NULL;
}

static void describe(cairn *connection, const char *codec)
{
    char train[128], arguments[128];

    snprintf(train, sizeof(train), "{microbatches: %d, optimizer: {sgd: {learning_rate: 0.25}}%s}", LEAVES,
             is_top_k(codec) ? ", commit_every: 2" : "");
    snprintf(arguments, sizeof(arguments), "{initializer: ones, codec: %s}", codec);
    must(connection, cairn_job_begin(connection, "tables"));
    must(connection, cairn_job_set(connection, "seed", "3"));
    must(connection, cairn_job_set(connection, "train", train));
    must(connection, cairn_job_dense(connection, "weights", SIZE, arguments));
    if (!is_top_k(codec))
        must(connection, cairn_job_sparse(connection, "rows", DIMENSION, arguments));
}

static void program_open(struct program *client, const char *codec, uint32_t begin, uint32_t end)
{
    enum cairn_status status = cairn_connect(cluster.endpoint, &client->connection);

    must(client->connection, status);
    describe(client->connection, codec);
    must(client->connection, cairn_job_start(client->connection, CAIRN_START_NEW, PATIENCE_MS));
    must(client->connection, cairn_set_span(client->connection, begin, end));
    client->dense = cairn_find_table(client->connection, "weights");
    client->rows = cairn_find_table(client->connection, "rows");
    ck_assert_ptr_nonnull(client->dense);
    for (int i = 0; i < LEAVES; i++) {
        client->gradients[i] = calloc(SIZE, sizeof(float));
        ck_assert_ptr_nonnull(client->gradients[i]);
    }
}

static void program_close(struct program *client)
{
    cairn_close(client->connection);
    for (int i = 0; i < LEAVES; i++)
        free(client->gradients[i]);
}

static float gradient(uint64_t step, uint32_t leaf, uint64_t element)
{
    return (float)((step + 1) * 131 + leaf * 37 + element % 1009) / 7000.0f - 0.1f;
}

/* Half of the keys come twice. */
static void push_rows(struct program *client, uint64_t step, uint32_t leaf)
{
    struct cairn_gradients push = {leaf, leaf + 1, 1, client->row_gradients[leaf][0], client->keys[leaf],
                                   KEYS};

    for (uint32_t i = 0; i < KEYS; i++) {
        client->keys[leaf][i] = i % (KEYS * 2 / 3) + leaf;
        for (uint32_t j = 0; j < DIMENSION; j++)
            client->row_gradients[leaf][i][j] = gradient(step, leaf, i * DIMENSION + j);
    }
    must(client->connection, cairn_push(client->rows, &push, NULL));
}

static void push_leaf(struct program *client, uint32_t leaf)
{
    struct cairn_gradients push = {leaf, leaf + 1, 1, client->gradients[leaf], NULL, 0};
    uint64_t step = cairn_current_step(client->connection);

    for (uint64_t i = 0; i < SIZE; i++)
        client->gradients[leaf][i] = gradient(step, leaf, i);
    must(client->connection, cairn_push(client->dense, &push, NULL));
    if (client->rows)
        push_rows(client, step, leaf);
}

/* What a run ended in. */
struct state {
    float dense[SIZE];
    float rows[KEYS][DIMENSION];
};

static void read_state(struct program *client, struct state *state)
{
    uint64_t keys[KEYS];
    cairn_handle *handle;

    memset(state, 0, sizeof(*state));
    must(client->connection, cairn_pull(client->dense, NULL, 0, state->dense, &handle));
    must(client->connection, cairn_wait(handle, PATIENCE_MS));
    if (!client->rows)
        return;
    for (uint32_t i = 0; i < KEYS; i++)
        keys[i] = i;
    must(client->connection, cairn_pull(client->rows, keys, KEYS, state->rows[0], &handle));
    must(client->connection, cairn_wait(handle, PATIENCE_MS));
}

/* Trains with programs of the spans between cuts [count + 1]. */
static void train(const char *codec, const uint32_t *cuts, int count, struct state *state)
{
    struct program clients[LEAVES];
    cairn_handle *handles[LEAVES];

    played_cluster_open(&cluster);
    for (int i = 0; i < count; i++)
        program_open(&clients[i], codec, cuts[i], cuts[i + 1]);
    for (int step = 0; step < STEPS; step++) {
        for (int i = count - 1; i >= 0; i--) {
            for (uint32_t leaf = cuts[i]; leaf < cuts[i + 1]; leaf++) {
                if (leaf != 2 || step != 1) /* who has nothing pushes nothing */
                    push_leaf(&clients[i], leaf);
            }
            must(clients[i].connection, cairn_step(clients[i].connection, &handles[i]));
        }
        for (int i = 0; i < count; i++)
            must(clients[i].connection, cairn_wait(handles[i], PATIENCE_MS));
    }
    read_state(&clients[0], state);
    for (int i = 0; i < count; i++)
        program_close(&clients[i]);
    played_cluster_close(&cluster);
}

/* Of an element that all codecs but top_k send, roughly: the promise is about bits, not about size. */
static void check_roughly(const struct state *state, const char *codec)
{
    for (uint64_t i = 0; i < SIZE && !is_top_k(codec); i += 97) {
        float weight = 1;

        for (uint64_t step = 0; step < STEPS; step++) {
            for (uint32_t leaf = 0; leaf < LEAVES; leaf++)
                weight -= leaf != 2 || step != 1 ? RATE / (step == 1 ? 3 : 4) * gradient(step, leaf, i) : 0;
        }
        ck_assert_msg(fabsf(state->dense[i] - weight) < 0.02f, "%a for %a", (double)state->dense[i],
                      (double)weight);
    }
}

START_TEST(programs_share_steps_to_the_same_bits)
{
    static const uint32_t alone[] = {0, 4}, two[] = {0, 3, 4}, four[] = {0, 1, 2, 3, 4};
    static struct state one, other;

    train(codecs[_i], alone, 1, &one);
    check_roughly(&one, codecs[_i]);
    train(codecs[_i], two, 2, &other);
    ck_assert_mem_eq(&one, &other, sizeof(one));
    train(codecs[_i], four, 4, &other);
    ck_assert_mem_eq(&one, &other, sizeof(one));
}
END_TEST

static void expect_invalid(const struct program *client, enum cairn_status status, const char *text)
{
    ck_assert_int_eq(status, CAIRN_STATUS_INVALID);
    ck_assert_msg(strstr(cairn_error_text(client->connection), text) != NULL, "%s",
                  cairn_error_text(client->connection));
}

START_TEST(microbatches_are_pushed_one_by_one)
{
    struct program client;
    struct cairn_gradients push = {0, 2, 2, NULL, NULL, 0};

    played_cluster_open(&cluster);
    program_open(&client, codecs[_i], 0, LEAVES);
    push.values = client.gradients[0];
    expect_invalid(&client, cairn_push(client.dense, &push, NULL), "one by one");
    for (uint32_t leaf = 0; leaf < LEAVES; leaf++)
        push_leaf(&client, leaf); /* nothing was taken of it, and nothing broke */
    must(client.connection, cairn_step(client.connection, NULL));
    program_close(&client);
    played_cluster_close(&cluster);
}
END_TEST

static void take_step(struct program *client)
{
    cairn_handle *handle;

    for (uint32_t leaf = 0; leaf < LEAVES; leaf++)
        push_leaf(client, leaf);
    must(client->connection, cairn_step(client->connection, &handle));
    must(client->connection, cairn_wait(handle, PATIENCE_MS));
}

/* What is not sent yet lies with the program, so nobody can take over from it, nor from a commit. */
START_TEST(what_was_not_sent_binds_a_program)
{
    struct program first, second;
    const char *codec = codecs[CODECS - 1];
    struct cairn_gradients push = {1, 2, 1, NULL, NULL, 0};

    played_cluster_open(&cluster);
    program_open(&first, codec, 0, LEAVES);
    take_step(&first);
    expect_invalid(&first, cairn_commit(first.connection, 0), "divisible by 2");
    expect_invalid(&first, cairn_set_span(first.connection, 0, 2), "divisible by 2");
    must(first.connection, cairn_set_span(first.connection, 0, 0));
    ck_assert_int_eq(cairn_connect(cluster.endpoint, &second.connection), CAIRN_STATUS_OK);
    describe(second.connection, codec);
    must(second.connection, cairn_job_start(second.connection, CAIRN_START_NEW, PATIENCE_MS));
    push.values = first.gradients[1];
    expect_invalid(&second, cairn_push(cairn_find_table(second.connection, "weights"), &push, NULL),
                   "span began at step 1");
    cairn_close(second.connection);
    program_close(&first);
    played_cluster_close(&cluster);
}
END_TEST

START_TEST(a_span_changes_when_all_was_sent)
{
    struct program client;

    played_cluster_open(&cluster);
    program_open(&client, codecs[CODECS - 1], 0, LEAVES);
    for (int step = 0; step < BOUNDARY; step++)
        take_step(&client);
    must(client.connection, cairn_set_span(client.connection, 0, 2));
    must(client.connection, cairn_set_span(client.connection, 0, LEAVES));
    take_step(&client);
    program_close(&client);
    played_cluster_close(&cluster);
}
END_TEST

static Suite *cairn_codecs_suite(void)
{
    Suite *suite = suite_create("cairn_codecs");
    TCase *tests = tcase_create("cairn_codecs");

    tcase_set_timeout(tests, 60);
    tcase_add_loop_test(tests, programs_share_steps_to_the_same_bits, 0, CODECS);
    tcase_add_loop_test(tests, microbatches_are_pushed_one_by_one, 1, CODECS);
    tcase_add_test(tests, what_was_not_sent_binds_a_program);
    tcase_add_test(tests, a_span_changes_when_all_was_sent);
    suite_add_tcase(suite, tests);
    return suite;
}

CHECK_MAIN(cairn_codecs_suite)
