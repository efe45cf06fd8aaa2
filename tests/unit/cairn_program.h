/* Programs of libcairn, with real shards and a played coordinator. Test code only. */
#ifndef CAIRN_TESTS_CAIRN_PROGRAM_H
#define CAIRN_TESTS_CAIRN_PROGRAM_H

#include "played_cluster.h"

#include "cairn.h"

#include <stdlib.h>

#define LEAVES    4
#define SIZE      70000 /* floats: several chunks */
#define DIMENSION 3
#define RATE      0.25f /* exact */

static struct played_cluster cluster;

static inline void open_cluster(void)
{
    played_cluster_open(&cluster);
}

static inline void close_cluster(void)
{
    played_cluster_close(&cluster);
}

/* ---- clients */

struct program {
    cairn *connection;
    cairn_table *dense, *sparse;
    float *gradients[LEAVES], *values;
};

static inline void must(cairn *connection, enum cairn_status status)
{
    ck_assert_msg(status == CAIRN_STATUS_OK, "%s: %s", cairn_status_text(status),
                  cairn_error_text(connection));
}

static inline void describe(cairn *connection)
{
    must(connection, cairn_job_begin(connection, "tables"));
    must(connection, cairn_job_set(connection, "seed", "3"));
    must(connection,
         cairn_job_set(connection, "train", "microbatches: 4\noptimizer: {sgd: {learning_rate: 0.25}}"));
    must(connection, cairn_job_dense(connection, "weights", SIZE, "{initializer: ones}"));
    must(connection, cairn_job_sparse(connection, "rows", DIMENSION, "initializer: zeros"));
}

static inline float *floats(size_t count)
{
    float *memory = calloc(count, sizeof(float));

    ck_assert_ptr_nonnull(memory);
    return memory;
}

static inline void program_open(struct program *client, uint32_t begin, uint32_t end)
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

static inline void program_close(struct program *client)
{
    cairn_close(client->connection);
    for (int i = 0; i < LEAVES; i++)
        free(client->gradients[i]);
    free(client->values);
}

static inline void finish(const struct program *client, cairn_handle *handle)
{
    ck_assert_ptr_nonnull(handle);
    must(client->connection, cairn_wait(handle, PATIENCE_MS));
}

/* The gradient of an element: sums of such do not depend on how they are added only if they are exact, which
 * these are not. */
static inline float gradient(uint64_t step, uint32_t leaf, uint64_t element)
{
    return (float)((step + 1) * 131 + leaf * 37 + element % 1009) / 7.0f;
}

static inline void push_dense_leaf(const struct program *client, uint32_t leaf, cairn_handle **handle)
{
    struct cairn_gradients push = {leaf, leaf + 1, 1, client->gradients[leaf], NULL, 0};
    uint64_t step = cairn_current_step(client->connection);

    for (uint64_t i = 0; i < SIZE; i++)
        client->gradients[leaf][i] = gradient(step, leaf, i);
    must(client->connection, cairn_push(client->dense, &push, handle));
}

static inline void pull_dense(const struct program *client)
{
    cairn_handle *handle;

    must(client->connection, cairn_pull(client->dense, NULL, 0, client->values, &handle));
    finish(client, handle);
}

static inline void step_and_wait(const struct program *client)
{
    cairn_handle *handle;

    must(client->connection, cairn_step(client->connection, &handle));
    finish(client, handle);
}

/* What element i is after `steps` steps of all leaves. */
static inline float expected(uint64_t steps, uint64_t i)
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

static inline void expect_dense(const struct program *client, uint64_t steps)
{
    for (uint64_t i = 0; i < SIZE; i++) {
        if (client->values[i] != expected(steps, i))
            ck_abort_msg("element %llu is %a after %llu steps, expected %a", (unsigned long long)i,
                         (double)client->values[i], (unsigned long long)steps, (double)expected(steps, i));
    }
}

static inline void expect_error(const struct program *client, enum cairn_status status,
                                enum cairn_status wanted, const char *text)
{
    ck_assert_msg(status == wanted, "%s", cairn_status_text(status));
    ck_assert_msg(strstr(cairn_error_text(client->connection), text) != NULL, "%s",
                  cairn_error_text(client->connection));
}

#endif
