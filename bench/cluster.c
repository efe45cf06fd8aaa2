/* Servers that run shard actors, clients that run sessions. */
#include "cluster.h"

#include "base/clock.h"
#include "cluster_job.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- what both sides know */

static uint32_t table_number(uint32_t index)
{
    return TABLE_FIRST_USER + index;
}

/* The job file; NULL: out of memory. Owns: the caller, free(). */
static char *job_text(const struct crew_place *place)
{
    const struct cluster_params *params = place->argument;
    char *text = NULL;
    size_t size = 0;
    FILE *file = open_memstream(&text, &size);

    if (!file)
        return NULL;
    fprintf(file, "name: bench\ntables:\n");
    for (uint32_t i = 0; i < params->tables; i++)
        fprintf(file, "  - dense: {name: table-%" PRIu32 ", size: %" PRIu64 ", codec: %s}\n", i,
                params->floats, params->codec ? params->codec : "float32");
    fprintf(file, "train: {microbatches: %" PRIu32 ", commit_every: %" PRIu32 ", optimizer: {%s}}\n",
            place->client_count, params->commit_every ? params->commit_every : 1000000000u,
            params->optimizer ? params->optimizer : "sgd: {learning_rate: 0.01}");
    if (fclose(file) == 0)
        return text;
    free(text);
    return NULL;
}

static enum status serve(const struct crew_place *place, struct error *error)
{
    const char *text = job_text(place);

    return text ? cluster_job_serve(place, text, error) : error_set(error, CAIRN_NO_MEMORY, "out of memory");
}

/* ---- clients */

/* One table as a client holds it. */
struct bench_table {
    struct buffer *gradients;
    struct buffer *values; /* where a client's program would have them */
    uint64_t version; /* that is wanted, or that is here */
    uint32_t left;    /* chunks of which nothing has come */
    uint32_t step;    /* of the run in hand: under way, or to begin next */
    bool is_busy;     /* a step is under way */
};

struct caller {
    const struct cluster_params *params;
    struct session *session;
    struct tree_node node;
    struct session_table layout; /* of every table */
    struct bench_table *tables;
};

/* The table that an answer is about, NULL when it is not the one that is waited for. */
static struct bench_table *awaited(struct caller *caller, uint32_t number, uint64_t version)
{
    struct bench_table *table = &caller->tables[number - TABLE_FIRST_USER];

    return version == table->version && table->left > 0 ? table : NULL;
}

static void on_values(void *context, uint32_t number, uint32_t chunk, uint64_t version, const void *values,
                      size_t elements)
{
    struct caller *caller = context;
    struct bench_table *table = awaited(caller, number, version);

    if (!table)
        return;
    memcpy((float *)table->values->data + (uint64_t)chunk * caller->layout.chunk_elements, values,
           elements * sizeof(float));
    table->left--;
}

static void on_applied(void *context, uint32_t number, uint32_t chunk, uint64_t version)
{
    struct bench_table *table = awaited(context, number, version);

    (void)chunk;
    if (table)
        table->left--;
}

static enum status table_init(struct bench_table *table, uint64_t floats, struct error *error)
{
    size_t bytes = floats * sizeof(float);

    table->gradients = buffer_new(bytes);
    table->values = buffer_new(bytes);
    if (!table->gradients || !table->values)
        return error_set(error, CAIRN_NO_MEMORY, "out of memory");
    for (uint64_t i = 0; i < floats; i++)
        ((float *)table->gradients->data)[i] = ((float *)table->values->data)[i] = 0x1p-10f;
    return CAIRN_OK;
}

static enum status client_connect(const struct crew_place *place, void **out, struct error *error)
{
    const struct cluster_params *params = place->argument;
    struct caller *caller = calloc(1, sizeof(*caller));
    const struct session_events events = {on_values, on_applied, caller};
    struct assignment *assignment = NULL;
    const struct table_spec *spec;
    char *text = job_text(place);
    enum status status;

    if (!text || !caller || !(caller->tables = calloc(params->tables, sizeof(caller->tables[0]))))
        return error_set(error, CAIRN_NO_MEMORY, "out of memory");
    caller->params = params;
    caller->node = (struct tree_node){place->index, place->index + 1};
    status = cluster_job_connect(place, text, &events, &caller->session, &assignment, error);
    free(text);
    if (status != CAIRN_OK)
        return status;
    spec = &assignment->job->tables[0];
    caller->layout = session_dense_table(spec->size, table_chunk_floats(spec), table_chunk_count(spec));
    for (uint32_t i = 0; i < params->tables && status == CAIRN_OK; i++)
        status = table_init(&caller->tables[i], params->floats, error);
    *out = caller;
    return status;
}

/* Begins the table's next step. */
static enum status table_begin(struct caller *caller, uint32_t index, struct error *error)
{
    struct bench_table *table = &caller->tables[index];
    bool pulls_too = caller->params->pattern == CLUSTER_PUSH_PULL;
    struct session_push push = {.table = table_number(index),
                                .step = table->version,
                                .node = caller->node,
                                .samples = 1,
                                .chunk_count = caller->layout.chunk_count,
                                .buffer = table->gradients,
                                .subscribe = pulls_too,
                                .acknowledge = !pulls_too};

    table->left = caller->layout.chunk_count;
    if (caller->params->pattern == CLUSTER_PULL)
        return session_pull(caller->session,
                            &(struct session_pull){.table = push.table,
                                                   .version = table->version,
                                                   .chunk_count = push.chunk_count},
                            error);
    table->version++;
    return session_push(caller->session, &push, error);
}

/* Ends the table's step when all of it has come and begins the next one that is its own: those of its index
 * modulo the number of tables, so that all clients take the same steps of a table. Counts what ended in
 * *done.
 */
static enum status table_turn(struct caller *caller, uint32_t index, uint32_t steps, uint64_t *times_ns,
                              uint32_t *done, struct error *error)
{
    struct bench_table *table = &caller->tables[index];

    if (table->left > 0)
        return CAIRN_OK;
    if (table->is_busy) {
        times_ns[table->step] = clock_ns() - times_ns[table->step];
        table->step += caller->params->tables;
        table->is_busy = false;
        (*done)++;
    }
    if (table->step >= steps)
        return CAIRN_OK;
    times_ns[table->step] = clock_ns();
    table->is_busy = true;
    return table_begin(caller, index, error);
}

static enum status client_run(void *context, uint32_t steps, uint64_t *times_ns, struct error *error)
{
    struct caller *caller = context;
    uint32_t done = 0;
    enum status status = CAIRN_OK;

    for (uint32_t i = 0; i < caller->params->tables; i++)
        caller->tables[i].step = i;
    while (status == CAIRN_OK) {
        for (uint32_t i = 0; i < caller->params->tables && status == CAIRN_OK; i++)
            status = table_turn(caller, i, steps, times_ns, &done, error);
        if (status != CAIRN_OK || done == steps)
            break;
        status = session_wait(caller->session, -1, error);
        if (status == CAIRN_OK)
            status = session_poll(caller->session, error);
    }
    return status;
}

const struct crew_roles cluster_roles = {serve, client_connect, client_run};
