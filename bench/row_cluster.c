/* A shard thread with a sparse table, and a session that keeps `window` operations under way. */
#include "row_cluster.h"

#include "base/clock.h"
#include "cluster_job.h"
#include "row_batches.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TABLE      TABLE_FIRST_USER
#define FILL_BATCH 100000u

/* ---- what both sides know */

static void job_text(const struct row_params *params, char *text, size_t size)
{
    snprintf(text, size,
             "name: bench\ntables:\n  - sparse: {name: rows, dimension: %d}\n"
             "train: {microbatches: 1, commit_every: 1000000000, optimizer: {%s}}\n",
             ROW_FLOATS, params->optimizer);
}

static enum status serve(const struct crew_place *place, struct error *error)
{
    char text[512];

    job_text(place->argument, text, sizeof(text));
    return cluster_job_serve(place, text, error);
}

/* ---- the client */

/* One of the operations under way. */
struct slot {
    struct session_operation operation;
    struct caller *caller;
    struct buffer *gradients; /* [ROW_BATCH_MAX, ROW_FLOATS] */
    float *values;            /* where a client's program would have them */
    uint32_t step;            /* of the run in hand */
    bool is_busy;
};

struct caller {
    const struct row_params *params;
    struct session *session;
    struct row_batches batches;
    struct slot slots[ROW_WINDOW_MAX];
    uint64_t version; /* the step that is pushed next */
    uint32_t done;
    uint64_t *times_ns; /* of the run in hand; NULL: nobody asks */
};

static void on_done(struct session_operation *operation)
{
    struct slot *slot = operation->context;

    slot->is_busy = false;
    slot->caller->done++;
    if (slot->caller->times_ns)
        slot->caller->times_ns[slot->step] = clock_ns() - slot->caller->times_ns[slot->step];
}

static enum status slot_init(struct slot *slot, struct caller *caller, struct error *error)
{
    size_t floats = (size_t)ROW_BATCH_MAX * ROW_FLOATS;

    slot->caller = caller;
    slot->operation = (struct session_operation){.done = on_done, .context = slot};
    slot->gradients = buffer_new(floats * sizeof(float));
    slot->values = aligned_alloc(BUFFER_ALIGNMENT, floats * sizeof(float));
    if (!slot->gradients || !slot->values)
        return error_set(error, CAIRN_NO_MEMORY, "out of memory");
    for (size_t i = 0; i < floats; i++)
        ((float *)slot->gradients->data)[i] = slot->values[i] = 0x1p-10f;
    return CAIRN_OK;
}

/* A slot that has nothing under way; there is one. */
static struct slot *slot_free(struct caller *caller)
{
    struct slot *slot = caller->slots;

    while (slot->is_busy)
        slot++;
    slot->is_busy = true;
    return slot;
}

static enum status push(struct caller *caller, struct slot *slot, struct buffer *keys, uint32_t count,
                        bool pulls_too, struct error *error)
{
    const struct session_rows_push push = {.table = TABLE,
                                           .step = caller->version++,
                                           .node = {0, 1},
                                           .samples = 1,
                                           .count = count,
                                           .keys = keys,
                                           .gradients = slot->gradients,
                                           .values = pulls_too ? slot->values : NULL,
                                           .operation = &slot->operation};

    return session_push_rows(caller->session, &push, error);
}

static enum status hear(struct caller *caller, struct error *error)
{
    enum status status = session_wait(caller->session, -1, error);

    return status == CAIRN_OK ? session_poll(caller->session, error) : status;
}

/* Makes all rows. */
static enum status fill(struct caller *caller, struct error *error)
{
    uint64_t rows = caller->params->rows;
    enum status status = CAIRN_OK;

    for (uint64_t begin = 0; begin < rows && status == CAIRN_OK; begin += FILL_BATCH) {
        uint32_t count = rows - begin < FILL_BATCH ? (uint32_t)(rows - begin) : FILL_BATCH;
        struct buffer *keys = buffer_new(count * sizeof(uint64_t));
        struct slot *slot = slot_free(caller);

        if (!keys)
            return error_set(error, CAIRN_NO_MEMORY, "out of memory");
        for (uint32_t i = 0; i < count; i++)
            ((uint64_t *)keys->data)[i] = begin + i;
        status = push(caller, slot, keys, count, false, error);
        buffer_unref(keys);
        while (status == CAIRN_OK && caller->slots[0].is_busy && caller->slots[1].is_busy)
            status = hear(caller, error);
    }
    while (status == CAIRN_OK && (caller->slots[0].is_busy || caller->slots[1].is_busy))
        status = hear(caller, error);
    return status;
}

static enum status client_connect(const struct crew_place *place, void **out, struct error *error)
{
    struct caller *caller = calloc(1, sizeof(*caller));
    const struct session_events events = {.context = caller};
    struct assignment *assignment = NULL;
    char text[512];
    enum status status;

    if (!caller)
        return error_set(error, CAIRN_NO_MEMORY, "out of memory");
    caller->params = place->argument;
    job_text(caller->params, text, sizeof(text));
    status = cluster_job_connect(place, text, &events, &caller->session, &assignment, error);
    for (uint32_t i = 0; i < ROW_WINDOW_MAX && status == CAIRN_OK; i++)
        status = slot_init(&caller->slots[i], caller, error);
    if (status == CAIRN_OK)
        status = row_batches_init(&caller->batches, caller->params->rows, caller->params->ascend, error);
    if (status == CAIRN_OK)
        status = fill(caller, error);
    *out = caller;
    return status;
}

static enum status step_begin(struct caller *caller, const struct row_cell *cell, uint32_t step,
                              struct error *error)
{
    struct slot *slot = slot_free(caller);
    struct buffer *keys = row_batches_next(&caller->batches, cell->batch);

    if (!keys)
        return error_set(error, CAIRN_NO_MEMORY, "out of memory");
    slot->step = step;
    caller->times_ns[step] = clock_ns();
    if (cell->pattern == ROW_PULL)
        return session_pull_rows(caller->session, TABLE, SESSION_NEWEST, keys, cell->batch, slot->values,
                                 &slot->operation, error);
    return push(caller, slot, keys, cell->batch, cell->pattern == ROW_PUSH_PULL, error);
}

static enum status client_run(void *context, uint32_t steps, uint64_t *times_ns, struct error *error)
{
    struct caller *caller = context;
    const struct row_cell cell = *caller->params->cell;
    uint32_t begun = 0;
    enum status status = CAIRN_OK;

    caller->done = 0;
    caller->times_ns = times_ns;
    while (caller->done < steps && status == CAIRN_OK) {
        while (begun < steps && begun - caller->done < cell.window && status == CAIRN_OK)
            status = step_begin(caller, &cell, begun++, error);
        if (status == CAIRN_OK)
            status = hear(caller, error);
    }
    caller->times_ns = NULL;
    return status;
}

const struct crew_roles row_cluster_roles = {serve, client_connect, client_run};
