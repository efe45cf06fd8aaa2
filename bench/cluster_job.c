/* What a coordinator would send, and what follows from it. */
#include "cluster_job.h"

#include "cluster/placement.h"
#include "net/actor.h"
#include "shard.h"
#include "shard_actor.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

#define JOB         1
#define INCARNATION 1

/* The map of slots depends on the job, and an assignment checks the map: so the job is read first. */
static enum status slots_make(const struct crew_place *place, const char *text, uint32_t **slots,
                              uint32_t *count, struct error *error)
{
    static const struct job_overrides overrides;
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
static enum status assign(const struct crew_place *place, const char *text, const char *server,
                          struct assignment **out, struct error *error)
{
    Cairn__PrepareCommand command = CAIRN__PREPARE_COMMAND__INIT;
    Cairn__JobText job = CAIRN__JOB_TEXT__INIT;
    Cairn__Shard shards[CREW_SERVERS_MAX], *pointers[CREW_SERVERS_MAX];
    char names[CREW_SERVERS_MAX][24];
    uint32_t *slots = NULL, slot_count = 0;
    enum status status = slots_make(place, text, &slots, &slot_count, error);

    job.text = (char *)text;
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
    return status;
}

/* ---- servers */

static enum status prepare(const struct crew_place *place, const char *text, const char *server,
                           struct actor *shard, struct error *error)
{
    struct shard_command command = {.kind = SHARD_COMMAND_PREPARE, .job = JOB, .incarnation = INCARNATION};
    zmq_pollitem_t item = {actor_pipe(shard), 0, ZMQ_POLLIN, 0};
    struct shard_report report;
    enum status status = assign(place, text, server, &command.assignment, error);

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

enum status cluster_job_serve(const struct crew_place *place, const char *text, struct error *error)
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
        status = prepare(place, text, name, shard, error);
    if (status != CAIRN_OK)
        return status;
    crew_serving(place, params.bound);
    while (status == CAIRN_OK)
        status = serve_report(shard, error);
    return status;
}

/* ---- clients */

/* How a session is told of a table. */
static struct session_table table_of(const struct table_spec *spec)
{
    return spec->kind == TABLE_KIND_SPARSE
               ? session_sparse_table(spec->dimension)
               : session_dense_table(spec->size, table_chunk_floats(spec), table_chunk_count(spec));
}

enum status cluster_job_connect(const struct crew_place *place, const char *text,
                                const struct session_events *events, struct session **session,
                                struct assignment **assignment, struct error *error)
{
    const char *endpoints[CREW_SERVERS_MAX];
    struct session_params params = {
        .job = JOB, .incarnation = INCARNATION, .shard_count = place->server_count, .endpoints = endpoints};
    struct session_table *tables;
    enum status status = assign(place, text, "nobody", assignment, error);

    if (status != CAIRN_OK)
        return status;
    params.slot_count = (*assignment)->map->slot_count;
    params.slot_shards = (*assignment)->map->slot_shards;
    params.table_count = TABLE_FIRST_USER + (*assignment)->job->table_count;
    tables = calloc(params.table_count, sizeof(tables[0]));
    if (!tables)
        return error_set(error, CAIRN_NO_MEMORY, "out of memory");
    for (uint32_t i = TABLE_FIRST_USER; i < params.table_count; i++) {
        tables[i] = table_of(job_table((*assignment)->job, i));
        tables[i].codec = job_table((*assignment)->job, i)->codec;
    }
    for (uint32_t i = 0; i < place->server_count; i++)
        endpoints[i] = place->endpoints[i];
    params.tables = tables;
    params.seed = (*assignment)->job->seed;
    status = session_new(zmq_ctx_new(), &params, events, session, error);
    free(tables);
    return status;
}
