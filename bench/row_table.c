/* The hash table alone: what is left to do when no message has to be sent. A push adds to the rows, a pull
 * copies them out. */
#include "row_batches.h"
#include "row_cluster.h"

#include "base/clock.h"
#include "rows.h"

#include <stdlib.h>
#include <string.h>

struct alone {
    const struct row_params *params;
    struct rows *rows;
    struct row_batches batches;
    float *values; /* [ROW_BATCH_MAX, ROW_FLOATS] */
};

static enum status serve(const struct crew_place *place, struct error *error)
{
    (void)place;
    return error_set(error, CAIRN_INVALID, "the table alone has no servers");
}

static enum status fill(struct alone *alone, struct error *error)
{
    struct row *made[ROWS_BLOCK_MAX];
    uint64_t keys[ROWS_BLOCK_MAX];
    bool is_new[ROWS_BLOCK_MAX];
    enum status status = CAIRN_OK;

    for (uint64_t begin = 0; begin < alone->params->rows && status == CAIRN_OK; begin += ROWS_BLOCK_MAX) {
        uint64_t left = alone->params->rows - begin;
        uint32_t count = left < ROWS_BLOCK_MAX ? (uint32_t)left : ROWS_BLOCK_MAX;

        for (uint32_t i = 0; i < count; i++)
            keys[i] = begin + i;
        status = rows_make(alone->rows, keys, count, made, is_new, error);
        for (uint32_t i = 0; i < count && status == CAIRN_OK; i++)
            memset(made[i]->floats, 0, (1 + alone->params->slots) * ROW_FLOATS * sizeof(float));
    }
    return status;
}

static enum status alone_connect(const struct crew_place *place, void **out, struct error *error)
{
    struct alone *alone = calloc(1, sizeof(*alone));
    struct rows_options options = {0};
    enum status status;

    if (!alone || !(alone->values = calloc(ROW_BATCH_MAX, ROW_FLOATS * sizeof(float))))
        return error_set(error, CAIRN_NO_MEMORY, "out of memory");
    alone->params = place->argument;
    options.floats = (1 + alone->params->slots) * ROW_FLOATS;
    status = row_batches_init(&alone->batches, alone->params->rows, alone->params->ascend, error);
    if (status == CAIRN_OK)
        status = rows_new(&options, &alone->rows, error);
    if (status == CAIRN_OK)
        status = fill(alone, error);
    *out = alone;
    return status;
}

static void block_push(struct row *const *rows, uint32_t count, const float *gradients)
{
    for (uint32_t i = 0; i < count; i++) {
        for (uint32_t j = 0; j < ROW_FLOATS; j++)
            rows[i]->floats[j] -= 0.01f * gradients[i * ROW_FLOATS + j];
    }
}

static void block_pull(struct row *const *rows, uint32_t count, float *values)
{
    for (uint32_t i = 0; i < count; i++)
        memcpy(values + i * ROW_FLOATS, rows[i]->floats, ROW_FLOATS * sizeof(float));
}

static enum status batch_run(struct alone *alone, const struct row_cell *cell, struct error *error)
{
    const struct buffer *batch = row_batches_next(&alone->batches, cell->batch);
    struct row *rows[ROWS_BLOCK_MAX];
    enum status status = batch ? CAIRN_OK : error_set(error, CAIRN_NO_MEMORY, "out of memory");

    for (uint32_t begin = 0; status == CAIRN_OK && begin < cell->batch; begin += ROWS_BLOCK_MAX) {
        uint32_t left = cell->batch - begin, count = left < ROWS_BLOCK_MAX ? left : ROWS_BLOCK_MAX;

        status = rows_find(alone->rows, (const uint64_t *)batch->data + begin, count, rows, error);
        if (status == CAIRN_OK && cell->pattern != ROW_PULL)
            block_push(rows, count, alone->values + begin * ROW_FLOATS);
        if (status == CAIRN_OK && cell->pattern != ROW_PUSH)
            block_pull(rows, count, alone->values + begin * ROW_FLOATS);
    }
    return status;
}

static enum status alone_run(void *context, uint32_t steps, uint64_t *times_ns, struct error *error)
{
    struct alone *alone = context;
    const struct row_cell cell = *alone->params->cell;
    enum status status = CAIRN_OK;

    for (uint32_t i = 0; i < steps && status == CAIRN_OK; i++) {
        times_ns[i] = clock_ns();
        status = batch_run(alone, &cell, error);
        times_ns[i] = clock_ns() - times_ns[i];
    }
    return status;
}

const struct crew_roles row_table_roles = {serve, alone_connect, alone_run};
