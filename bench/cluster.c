/* Servers that run shard actors, clients that run sessions. */
#include "cluster.h"

#include "base/clock.h"
#include "cluster/placement.h"
#include "net/actor.h"
#include "session.h"
#include "shard.h"
#include "shard_actor.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

#define JOB         1
#define INCARNATION 1

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
        fprintf(file, "  - dense: {name: table-%" PRIu32 ", size: %" PRIu64 "}\n", i, params->floats);
    fprintf(file, "train: {microbatches: %" PRIu32 ", commit_every: %" PRIu32 ", optimizer: {%s}}\n",
            place->client_count, params->commit_every ? params->commit_every : 1000000000u,
            params->optimizer ? params->optimizer : "sgd: {learning_rate: 0.01}");
    if (fclose(file) == 0)
        return text;
    free(text);
    return NULL;
}

/* The map of slots depends on the job, and an assignment checks the map: so the job is read first. */
static enum status slots_make(const struct crew_place *place, const char *text, uint32_t **slots,
                              uint32_t *count, struct error *error)
{
    const struct job_overrides overrides = {0, 0, 0};
    struct job *job = NULL;
    enum status status = job_load_text(text, strlen(text), "bench.yaml", "/", &overrides, &job, error);

    if (status != CAIRN_OK)
        return status;
    *count = job_slot_count(job);
    job_free(job);
    *slots = malloc(*count * sizeof((*slots)[0]));
    if (!*slots)
        return error_set(error, CAIRN_NO_MEMORY, "out of memory");
    placement_assign(*slots, *count, place->server_count);
    return CAIRN_OK;
}

/* What a coordinator would send to `server`. */
static enum status assign(const struct crew_place *place, const char *server, struct assignment **out,
                          struct error *error)
{
    Cairn__PrepareCommand command = CAIRN__PREPARE_COMMAND__INIT;
    Cairn__JobText job = CAIRN__JOB_TEXT__INIT;
    Cairn__Shard shards[CREW_SERVERS_MAX], *pointers[CREW_SERVERS_MAX];
    char names[CREW_SERVERS_MAX][16], *text = job_text(place);
    uint32_t *slots = NULL, slot_count = 0;
    enum status status = text ? slots_make(place, text, &slots, &slot_count, error)
                              : error_set(error, CAIRN_NO_MEMORY, "out of memory");

    job.text = text;
    job.file_name = (char *)"bench.yaml";
    job.base_directory = (char *)"/";
    for (uint32_t i = 0; i < place->server_count; i++) {
        cairn__shard__init(&shards[i]);
        snprintf(names[i], sizeof(names[i]), "server-%u", i);
        shards[i].server = names[i];
        pointers[i] = &shards[i];
    }
    command.job = JOB;
    command.job_id = (char *)"bench-1";
    command.text = &job;
    command.n_shards = place->server_count;
    command.shards = pointers;
    command.n_slot_shards = slot_count;
    command.slot_shards = slots;
    if (status == CAIRN_OK)
        status = assignment_new(&command, server, 1, out, error);
    free(slots);
    free(text);
    return status;
}

/* ---- servers */

static enum status prepare(const struct crew_place *place, const char *server, struct actor *shard,
                           struct error *error)
{
    struct shard_command command = {.kind = SHARD_COMMAND_PREPARE, .job = JOB, .incarnation = INCARNATION};
    zmq_pollitem_t item = {actor_pipe(shard), 0, ZMQ_POLLIN, 0};
    struct shard_report report;
    enum status status = assign(place, server, &command.assignment, error);

    if (status != CAIRN_OK)
        return status;
    status = actor_tell(shard, &command, sizeof(command), error);
    if (status != CAIRN_OK) {
        assignment_unref(command.assignment);
        return status;
    }
    while (zmq_poll(&item, 1, -1) <= 0)
        ;
    status = actor_hear(shard, &report, sizeof(report), error);
    if (status == CAIRN_OK && report.kind != SHARD_PREPARED)
        return error_set(error, CAIRN_IO, "%s", report.message);
    return status;
}

/* Waits for what the shard has to say: generations, which count as the job's at once, or a failure. */
static enum status serve_report(struct actor *shard, struct error *error)
{
    zmq_pollitem_t item = {actor_pipe(shard), 0, ZMQ_POLLIN, 0};
    struct shard_command command = {.kind = SHARD_COMMAND_COMMITTED, .incarnation = INCARNATION};
    struct shard_report report;

    if (zmq_poll(&item, 1, -1) <= 0 || actor_hear(shard, &report, sizeof(report), error) != CAIRN_OK)
        return CAIRN_OK;
    if (report.kind != SHARD_COMMITTED)
        return error_set(error, CAIRN_IO, "%s", report.message);
    command.job = report.job;
    command.step = report.step;
    return actor_tell(shard, &command, sizeof(command), error);
}

static enum status serve(const struct crew_place *place, struct error *error)
{
    char directory[CREW_ENDPOINT_BYTES], listen[CREW_ENDPOINT_BYTES], name[16];
    struct shard_actor_params params = {.listen = listen};
    struct actor *shard = NULL;
    enum status status;

    snprintf(name, sizeof(name), "server-%u", place->index % 1000);
    snprintf(directory, sizeof(directory), "%s/data-%u", place->directory, place->index);
    crew_listen(place, listen);
    params.owner = (struct job_store_owner){directory, name, 0};
    status = actor_start(zmq_ctx_new(), "shard-0", shard_actor_run, &params, &shard, error);
    if (status == CAIRN_OK)
        status = prepare(place, name, shard, error);
    if (status != CAIRN_OK)
        return status;
    crew_serving(place, params.bound);
    while (status == CAIRN_OK)
        status = serve_report(shard, error);
    return status;
}

/* ---- clients */

/* One table as a client holds it. */
struct bench_table {
    struct buffer *gradients;
    float *values;    /* where a client's program would have them */
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
    memcpy(table->values + (uint64_t)chunk * caller->layout.chunk_elements, values, elements * sizeof(float));
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
    table->values =
        aligned_alloc(BUFFER_ALIGNMENT, (bytes + BUFFER_ALIGNMENT - 1) / BUFFER_ALIGNMENT * BUFFER_ALIGNMENT);
    if (!table->gradients || !table->values)
        return error_set(error, CAIRN_NO_MEMORY, "out of memory");
    for (uint64_t i = 0; i < floats; i++)
        ((float *)table->gradients->data)[i] = table->values[i] = 0x1p-10f;
    return CAIRN_OK;
}

static enum status session_begin(const struct crew_place *place, struct caller *caller,
                                 const struct assignment *assignment, struct error *error)
{
    const struct session_events events = {on_values, on_applied, caller};
    const char *endpoints[CREW_SERVERS_MAX];
    struct session_params params = {.job = JOB,
                                    .incarnation = INCARNATION,
                                    .shard_count = place->server_count,
                                    .endpoints = endpoints,
                                    .slot_count = assignment->slot_count,
                                    .slot_shards = assignment->slot_shards,
                                    .table_count = TABLE_FIRST_USER + caller->params->tables};
    struct session_table *tables = calloc(params.table_count, sizeof(tables[0]));
    const struct table_spec *spec = &assignment->job->tables[0];
    enum status status;

    if (!tables)
        return error_set(error, CAIRN_NO_MEMORY, "out of memory");
    caller->layout = session_dense_table(spec->size, table_chunk_floats(spec), table_chunk_count(spec));
    for (uint32_t i = 0; i < caller->params->tables; i++)
        tables[table_number(i)] = caller->layout;
    for (uint32_t i = 0; i < place->server_count; i++)
        endpoints[i] = place->endpoints[i];
    params.tables = tables;
    status = session_new(zmq_ctx_new(), &params, &events, &caller->session, error);
    free(tables);
    return status;
}

static enum status client_connect(const struct crew_place *place, void **out, struct error *error)
{
    const struct cluster_params *params = place->argument;
    struct caller *caller = calloc(1, sizeof(*caller));
    struct assignment *assignment = NULL;
    enum status status;

    if (!caller || !(caller->tables = calloc(params->tables, sizeof(caller->tables[0]))))
        return error_set(error, CAIRN_NO_MEMORY, "out of memory");
    caller->params = params;
    caller->node = (struct tree_node){place->index, place->index + 1};
    status = assign(place, "nobody", &assignment, error);
    if (status == CAIRN_OK)
        status = session_begin(place, caller, assignment, error);
    for (uint32_t i = 0; i < params->tables && status == CAIRN_OK; i++)
        status = table_init(&caller->tables[i], params->floats, error);
    assignment_unref(assignment);
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
        return session_pull(caller->session, push.table, table->version, 0, push.chunk_count, false, error);
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
