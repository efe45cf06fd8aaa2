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

#define SIDE_MAX        65536
#define INCARNATION     1
#define CHUNK_BYTES_MIN 16384

/* ---- what both sides know */

/* rows * columns == floats, as square as it goes. */
static void sides(uint64_t floats, uint32_t *rows, uint32_t *columns)
{
    uint32_t side = SIDE_MAX;

    while ((uint64_t)side * side > floats)
        side /= 2;
    *rows = side;
    *columns = (uint32_t)(floats / side);
}

static void job_text(const struct crew_place *place, char *text, size_t size)
{
    const struct cluster_params *params = place->argument;
    uint32_t rows, columns;

    sides(params->floats, &rows, &columns);
    snprintf(
        text, size,
        "name: bench\nmodel:\n  input_shape: [%u]\n  layers:\n    - dense: {units: %u, use_bias: false}\n"
        "  loss: sparse_categorical_crossentropy\ndata:\n  train: {format: csv, path: none.csv}\n"
        "train: {steps: 1000000000, batch_size: %u, microbatches: %u, commit_every: 1000000000,\n"
        "  optimizer: {sgd: {learning_rate: 0.01}}}\n",
        rows, columns, place->client_count, place->client_count);
}

/* What a coordinator would send for table `table`, which is the one of a job of its own. */
static enum status assign(const struct crew_place *place, uint32_t table, const char *server,
                          struct assignment **out, struct error *error)
{
    Cairn__PrepareCommand command = CAIRN__PREPARE_COMMAND__INIT;
    Cairn__JobText job = CAIRN__JOB_TEXT__INIT;
    Cairn__Shard shards[CREW_SERVERS_MAX], *pointers[CREW_SERVERS_MAX];
    char text[1024], names[CREW_SERVERS_MAX][16], id[32];
    uint32_t slots[PLACEMENT_SLOTS_MIN];

    job_text(place, text, sizeof(text));
    snprintf(id, sizeof(id), "bench-%u", table);
    job.text = text;
    job.file_name = (char *)"bench.yaml";
    job.base_directory = (char *)"/";
    for (uint32_t i = 0; i < place->server_count; i++) {
        cairn__shard__init(&shards[i]);
        snprintf(names[i], sizeof(names[i]), "server-%u", i);
        shards[i].server = names[i];
        pointers[i] = &shards[i];
    }
    placement_assign(slots, PLACEMENT_SLOTS_MIN, place->server_count);
    command.job = table + 1;
    command.job_id = id;
    command.text = &job;
    command.n_shards = place->server_count;
    command.shards = pointers;
    command.n_slot_shards = PLACEMENT_SLOTS_MIN;
    command.slot_shards = slots;
    return assignment_new(&command, server, 1, out, error);
}

uint32_t cluster_chunk_bytes(uint64_t floats)
{
    uint64_t bytes = floats * sizeof(float) / 64; /* graph.h's rule for whole numbers */

    if (bytes < CHUNK_BYTES_MIN)
        bytes = CHUNK_BYTES_MIN;
    if (bytes > GRAPH_CHUNK_MAX * sizeof(float))
        bytes = GRAPH_CHUNK_MAX * sizeof(float);
    return (uint32_t)(bytes < floats * sizeof(float) ? bytes : floats * sizeof(float));
}

/* ---- servers */

static enum status table_prepare(const struct crew_place *place, uint32_t table, const char *server,
                                 struct actor *shard, struct error *error)
{
    struct shard_command command = {
        .kind = SHARD_COMMAND_PREPARE, .job = table + 1, .incarnation = INCARNATION};
    zmq_pollitem_t item = {actor_pipe(shard), 0, ZMQ_POLLIN, 0};
    struct shard_report report;
    enum status status = assign(place, table, server, &command.assignment, error);

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

static enum status serve(const struct crew_place *place, struct error *error)
{
    const struct cluster_params *params = place->argument;
    char directory[CREW_ENDPOINT_BYTES], listen[CREW_ENDPOINT_BYTES], name[16];
    struct shard_actor_params actor_params = {.listen = listen};
    struct actor *shard = NULL;
    struct shard_report report;
    void *context = zmq_ctx_new();
    enum status status;

    snprintf(name, sizeof(name), "server-%u", place->index % 1000);
    snprintf(directory, sizeof(directory), "%s/data-%u", place->directory, place->index);
    crew_listen(place, listen);
    actor_params.owner = (struct job_store_owner){directory, name, 0};
    status = actor_start(context, "shard-0", shard_actor_run, &actor_params, &shard, error);
    for (uint32_t table = 0; table < params->tables && status == CAIRN_OK; table++)
        status = table_prepare(place, table, name, shard, error);
    if (status != CAIRN_OK)
        return status;
    crew_serving(place, actor_params.bound);
    for (;;) { /* nothing more is to be reported but failures */
        zmq_pollitem_t item = {actor_pipe(shard), 0, ZMQ_POLLIN, 0};

        if (zmq_poll(&item, 1, -1) > 0 && actor_hear(shard, &report, sizeof(report), error) == CAIRN_OK)
            return error_set(error, CAIRN_IO, "%s", report.message);
    }
}

/* ---- clients */

/* One table as a client holds it. */
struct held_table {
    struct session *session;
    struct buffer *gradients;
    float *values; /* where a client's program would have them */
    uint64_t chunk_floats;
    uint64_t version;      /* that is wanted, or that is here */
    uint32_t chunks, left; /* left: chunks that have not come */
    uint32_t asked;        /* chunks that come a step */
    uint32_t step;         /* of the run in hand: under way, or to begin next */
    bool is_busy;          /* a step is under way */
};

struct caller {
    const struct cluster_params *params;
    struct tree_node node;
    struct held_table *tables;
    zmq_pollitem_t *items;
    size_t item_count;
};

static void on_values(void *context, uint32_t id, uint32_t chunk, uint64_t version, const void *values,
                      size_t elements)
{
    struct held_table *table = context;

    if (id != TABLE_WEIGHTS || version != table->version || table->left == 0)
        return;
    memcpy(table->values + chunk * table->chunk_floats, values, elements * sizeof(float));
    table->left--;
}

static enum status table_memory(struct held_table *table, uint64_t floats, struct error *error)
{
    table->gradients = buffer_new(floats * sizeof(float));
    table->values = aligned_alloc(BUFFER_ALIGNMENT, (floats * sizeof(float) + BUFFER_ALIGNMENT - 1) /
                                                        BUFFER_ALIGNMENT * BUFFER_ALIGNMENT);
    if (!table->gradients || !table->values)
        return error_set(error, CAIRN_NO_MEMORY, "out of memory");
    for (uint64_t i = 0; i < floats; i++)
        ((float *)table->gradients->data)[i] = table->values[i] = 0x1p-10f;
    return CAIRN_OK;
}

static enum status table_connect(const struct crew_place *place, uint32_t index, void *context,
                                 struct held_table *table, struct error *error)
{
    const struct cluster_params *params = place->argument;
    const struct session_events events = {.values = on_values, .context = table};
    const char *endpoints[CREW_SERVERS_MAX];
    struct assignment *assignment = NULL;
    struct session_params session = {.job = index + 1, .incarnation = INCARNATION};
    struct session_table tables[TABLE_COUNT];
    const struct graph *graph;
    enum status status = assign(place, index, "nobody", &assignment, error);

    if (status != CAIRN_OK)
        return status;
    for (uint32_t i = 0; i < place->server_count; i++)
        endpoints[i] = place->endpoints[i];
    session.shard_count = place->server_count;
    session.endpoints = endpoints;
    session.slot_count = assignment->slot_count;
    session.slot_shards = assignment->slot_shards;
    graph = assignment->job->graph;
    tables[TABLE_WEIGHTS] = session_dense_table(graph->floats, graph->chunk_floats, graph->chunk_count);
    tables[TABLE_METRICS] = tables[TABLE_VALIDATION] =
        session_sums_table(assignment_metric_elements(assignment));
    session.table_count = TABLE_COUNT;
    session.tables = tables;
    status = session_new(context, &session, &events, &table->session, error);
    table->chunk_floats = graph->chunk_floats;
    table->chunks = graph->chunk_count;
    table->asked = graph->chunk_count;
    if (params->pattern == CLUSTER_PUSH && table->asked > place->server_count)
        table->asked = place->server_count;
    if (status == CAIRN_OK)
        status = table_memory(table, graph->floats, error);
    assignment_unref(assignment);
    return status;
}

static void items_fill(struct caller *client, uint32_t index)
{
    size_t count;
    void *const *sockets = session_sockets(client->tables[index].session, &count);

    for (size_t i = 0; i < count; i++)
        client->items[client->item_count++] = (zmq_pollitem_t){sockets[i], 0, ZMQ_POLLIN, 0};
}

static enum status client_connect(const struct crew_place *place, void **out, struct error *error)
{
    const struct cluster_params *params = place->argument;
    struct caller *client = calloc(1, sizeof(*client));
    void *context = zmq_ctx_new();
    enum status status = CAIRN_OK;

    if (!client || !context)
        return error_set(error, CAIRN_NO_MEMORY, "out of memory");
    client->params = params;
    client->node = (struct tree_node){place->index, place->index + 1};
    client->tables = calloc(params->tables, sizeof(client->tables[0]));
    client->items = calloc((size_t)params->tables * place->server_count * 2, sizeof(client->items[0]));
    if (!client->tables || !client->items)
        return error_set(error, CAIRN_NO_MEMORY, "out of memory");
    for (uint32_t i = 0; i < params->tables && status == CAIRN_OK; i++) {
        status = table_connect(place, i, context, &client->tables[i], error);
        if (status == CAIRN_OK)
            items_fill(client, i);
    }
    *out = client;
    return status;
}

static enum status push(const struct caller *client, struct held_table *table, uint32_t first, uint32_t count,
                        bool subscribe, struct error *error)
{
    const struct session_push push = {.table = TABLE_WEIGHTS,
                                      .step = table->version - 1,
                                      .node = client->node,
                                      .samples = 1,
                                      .first_chunk = first,
                                      .chunk_count = count,
                                      .buffer = table->gradients,
                                      .subscribe = subscribe};

    return count > 0 ? session_push(table->session, &push, error) : CAIRN_OK;
}

/* Begins the table's next step. */
static enum status table_begin(const struct caller *client, struct held_table *table, struct error *error)
{
    enum status status;

    table->left = table->asked;
    if (client->params->pattern == CLUSTER_PULL)
        return session_pull(table->session, TABLE_WEIGHTS, table->version, 0, table->chunks, false, error);
    table->version++;
    status = push(client, table, 0, table->chunks - table->asked, false, error);
    return status == CAIRN_OK ? push(client, table, table->chunks - table->asked, table->asked, true, error)
                              : status;
}

/* Takes what has come; sleeps only when nothing has. */
static enum status client_hear(struct caller *client, struct error *error)
{
    enum status status = CAIRN_OK;

    if (zmq_poll(client->items, (int)client->item_count, -1) < 0)
        return error_set(error, CAIRN_IO, "poll: %s", zmq_strerror(zmq_errno()));
    for (uint32_t i = 0; i < client->params->tables && status == CAIRN_OK; i++)
        status = session_poll(client->tables[i].session, error);
    return status;
}

/* Ends the table's step when all of it has come and begins the next one that is its own: those of its index
 * modulo the number of tables, so that all clients take the same steps of a table. Counts what ended in
 * *done. */
static enum status table_turn(const struct caller *client, struct held_table *table, uint32_t steps,
                              uint64_t *times_ns, uint32_t *done, struct error *error)
{
    if (table->left > 0)
        return CAIRN_OK;
    if (table->is_busy) {
        times_ns[table->step] = clock_ns() - times_ns[table->step];
        table->step += client->params->tables;
        table->is_busy = false;
        (*done)++;
    }
    if (table->step >= steps)
        return CAIRN_OK;
    times_ns[table->step] = clock_ns();
    table->is_busy = true;
    return table_begin(client, table, error);
}

static enum status client_run(void *context, uint32_t steps, uint64_t *times_ns, struct error *error)
{
    struct caller *client = context;
    uint32_t done = 0;
    enum status status = CAIRN_OK;

    for (uint32_t i = 0; i < client->params->tables; i++)
        client->tables[i].step = i;
    while (done < steps && status == CAIRN_OK) {
        for (uint32_t i = 0; i < client->params->tables && status == CAIRN_OK; i++)
            status = table_turn(client, &client->tables[i], steps, times_ns, &done, error);
        if (done < steps && status == CAIRN_OK)
            status = client_hear(client, error);
    }
    return status;
}

const struct crew_roles cluster_roles = {serve, client_connect, client_run};
