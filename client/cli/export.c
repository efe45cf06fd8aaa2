/* cairn export: writes a job's committed model to a file, from what the servers hold durably. */
#include "command.h"
#include "commands.h"
#include "connection.h"
#include "export_table.h"
#include "job/job.h"
#include "job/job_message.h"
#include "model/formats/h5.h"
#include "request_job.h"
#include "result.h"
#include "session.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

/* Shards that say nothing for so long are taken for gone. */
#define SHARD_SILENCE_MS 10000
/* So often may a newer generation replace the one that we were reading. */
#define LOCATIONS_MAX 10

struct export_settings {
    const char *job, *table, *output, *coordinator;
    int64_t since, json;
};

static const struct setting rows[] = {
    SETTING_ROW_JOB(struct export_settings),
    {.name = "output",
     .letter = 'o',
     .type = SETTING_TEXT,
     .value_name = "FILE",
     .help = "what to write; default the job's id and .h5, or a table's name, here",
     .offset = offsetof(struct export_settings, output)},
    {.name = "table",
     .letter = 't',
     .type = SETTING_TEXT,
     .value_name = "NAME",
     .help = "the table to write, of a running job with tables: a dense one as a .npy file, of a sparse one "
             "a folder "
             "with keys.npy, steps.npy and weights.npy",
     .offset = offsetof(struct export_settings, table)},
    {.name = "since",
     .type = SETTING_INTEGER,
     .fallback = "0",
     .maximum = INT64_MAX,
     .value_name = "STEP",
     .help = "of a sparse table, only rows that this step or a later one changed",
     .offset = offsetof(struct export_settings, since)},
    SETTING_ROW_COORDINATOR(struct export_settings),
    SETTING_ROW_JSON(struct export_settings),
};

static const struct settings_table table = {
    "cairn export",
    "Writes a job's committed model as a Keras .h5 file, or a table of a job with tables. A training may be "
    "running: its newest durable step is written. Of tables the newest version is.",
    rows, sizeof(rows) / sizeof(rows[0])};

/* Chunks that are asked for ahead of what has come: a shard drops answers that it made for one client alone
 * once some 64 MiB of them wait (docs/protocol.md). */
#define CHUNKS_AHEAD  32
#define CHUNKS_A_PULL 16

/* One attempt to read one generation. */
struct download {
    const Cairn__LocationReply *location;
    struct job *job;
    float *weights;   /* [graph->floats] */
    bool *has_chunk;  /* [graph->chunk_count] */
    uint32_t asked;   /* chunks that were asked for: [0, asked) */
    uint32_t missing; /* chunks that have not come */
};

static void download_fini(struct download *download)
{
    job_free(download->job);
    free(download->weights);
    free(download->has_chunk);
    *download = (struct download){0};
}

static enum status download_init(struct download *download, const Cairn__LocationReply *location,
                                 struct error *error)
{
    const struct graph *graph;
    enum status status;

    *download = (struct download){.location = location};
    if (!location->text)
        return error_set(error, CAIRN_PROTOCOL, "the coordinator sent no job text");
    status = job_load_message(location->text, &download->job, error);
    if (status != CAIRN_OK)
        return status;
    if (job_has_tables(download->job))
        return error_set(error, CAIRN_UNSUPPORTED, "%s has tables, not a model: say which one with --table",
                         location->job_id);
    graph = download->job->graph;
    download->weights = calloc(graph->floats, sizeof(float));
    download->has_chunk = calloc(graph->chunk_count, sizeof(bool));
    if (!download->weights || !download->has_chunk)
        return error_set(error, CAIRN_NO_MEMORY, "out of memory for a model of %" PRIu64 " numbers",
                         graph->floats);
    download->missing = graph->chunk_count;
    return CAIRN_OK;
}

/* The session has checked that the chunk is one of the table's and that its length is right. */
static void take_values(void *context, uint32_t table_, uint32_t chunk, uint64_t version, const void *values,
                        size_t elements)
{
    struct download *download = context;
    uint64_t begin, end;

    if (table_ != TABLE_WEIGHTS || version != download->location->committed_step ||
        download->has_chunk[chunk])
        return;
    graph_chunk(download->job->graph, chunk, &begin, &end);
    if (elements != end - begin)
        return;
    memcpy(download->weights + begin, values, elements * sizeof(float));
    download->has_chunk[chunk] = true;
    download->missing--;
}

static enum status open_session(void *zmq_context, struct download *download, struct session **session,
                                struct error *error)
{
    const Cairn__LocationReply *location = download->location;
    const struct graph *graph = download->job->graph;
    const struct session_table weights =
        session_dense_table(graph->floats, graph->chunk_floats, graph->chunk_count);
    struct session_events events = {.values = take_values, .context = download};
    const char **endpoints = calloc(location->n_shards + 1, sizeof(*endpoints));
    struct session_params params = {.job = location->job,
                                    .incarnation = location->incarnation,
                                    .shard_count = (uint32_t)location->n_shards,
                                    .endpoints = endpoints,
                                    .slot_count = (uint32_t)location->n_slot_shards,
                                    .slot_shards = location->slot_shards,
                                    .table_count = 1,
                                    .tables = &weights};
    enum status status;

    if (!endpoints)
        return error_set(error, CAIRN_NO_MEMORY, "out of memory");
    for (size_t i = 0; i < location->n_shards; i++)
        endpoints[i] = location->shards[i]->endpoint;
    status = session_new(zmq_context, &params, &events, session, error);
    free(endpoints);
    return status;
}

static enum status wait_for_values(struct session *session, struct error *error)
{
    size_t count;
    void *const *sockets = session_sockets(session, &count);
    zmq_pollitem_t *items = calloc(count + 1, sizeof(*items));
    int ready;

    if (!items)
        return error_set(error, CAIRN_NO_MEMORY, "out of memory");
    for (size_t i = 0; i < count; i++)
        items[i] = (zmq_pollitem_t){.socket = sockets[i], .events = ZMQ_POLLIN};
    do
        ready = zmq_poll(items, (int)count, SHARD_SILENCE_MS);
    while (ready < 0 && zmq_errno() == EINTR);
    free(items);
    if (ready > 0)
        return CAIRN_OK;
    if (ready == 0)
        return error_set(error, CAIRN_TIMEOUT,
                         "a server that holds a part of the model did not answer within %d s",
                         SHARD_SILENCE_MS / 1000);
    return error_system(error, zmq_errno(), "cannot wait for servers");
}

/* Asks for the next chunks when few are under way. */
static enum status ask_for_more(struct session *session, struct download *download, struct error *error)
{
    uint32_t count = download->job->graph->chunk_count;
    enum status status = CAIRN_OK;

    while (status == CAIRN_OK && download->asked < count &&
           download->asked - (count - download->missing) + CHUNKS_A_PULL <= CHUNKS_AHEAD) {
        uint32_t left = count - download->asked;
        const struct session_pull pull = {.table = TABLE_WEIGHTS,
                                          .version = download->location->committed_step,
                                          .first_chunk = download->asked,
                                          .chunk_count = left < CHUNKS_A_PULL ? left : CHUNKS_A_PULL,
                                          .committed = true};

        status = session_pull(session, &pull, error);
        download->asked += pull.chunk_count;
    }
    return status;
}

/* Reads all chunks of the located generation. Errors: CAIRN_PASSED when a newer one took its place. */
static enum status read_weights(void *zmq_context, struct download *download, struct error *error)
{
    struct session *session = NULL;
    enum status status = open_session(zmq_context, download, &session, error);

    while (status == CAIRN_OK && download->missing > 0) {
        status = ask_for_more(session, download, error);
        if (status == CAIRN_OK)
            status = wait_for_values(session, error);
        if (status == CAIRN_OK)
            status = session_poll(session, error);
    }
    session_free(session);
    return status;
}

static enum status write_model(const struct download *download, const char *path, struct error *error)
{
    const struct h5_training training = job_h5_training(download->job);

    return h5_write(path, download->job->graph, download->job->name, download->weights, &training, error);
}

static enum status print_export(const struct download *download, const char *path, bool json,
                                struct error *error)
{
    const Cairn__LocationReply *location = download->location;
    char hash[HASH_TEXT_BYTES];

    graph_hash(download->job->graph, download->weights, hash);
    if (!json) {
        printf("%s: step %" PRIu64 " of %s\nhash %s\n", path, location->committed_step, location->job_id,
               hash);
    } else if (!command_print_json(json_pack("{s:o, s:I, s:s, s:o}", "job", result_text(location->job_id),
                                             "step", (json_int_t)location->committed_step, "model_hash", hash,
                                             "output", result_text(path)))) {
        return error_set(error, CAIRN_IO, "the result was not printed");
    }
    return CAIRN_OK;
}

static enum status export_located(void *zmq_context, const Cairn__LocationReply *location,
                                  const struct export_settings *settings, struct error *error)
{
    struct download download;
    char path[4096];
    enum status status = download_init(&download, location, error);

    if (settings->output)
        snprintf(path, sizeof(path), "%s", settings->output);
    else
        snprintf(path, sizeof(path), "%s.h5", location->job_id);
    if (status == CAIRN_OK)
        status = read_weights(zmq_context, &download, error);
    if (status == CAIRN_OK)
        status = write_model(&download, path, error);
    if (status == CAIRN_OK)
        status = print_export(&download, path, settings->json != 0, error);
    download_fini(&download);
    return status;
}

static int export(struct connection *connection, const void *context)
{
    const struct export_settings *settings = context;
    Cairn__ClientReply *reply;
    struct error error;
    enum status status = CAIRN_PASSED;

    for (int attempt = 0; status == CAIRN_PASSED && attempt < LOCATIONS_MAX; attempt++) {
        status = request_locate(connection->requester, settings->job, &reply, &error);
        if (status == CAIRN_OK) {
            status = export_located(connection->zmq_context, reply->location, settings, &error);
            cairn__client_reply__free_unpacked(reply, NULL);
        }
    }
    return status == CAIRN_OK ? EXIT_DONE : command_fail(table.program, EXIT_FAILED, &error);
}

int command_export(int argc, char **argv)
{
    struct export_settings settings;
    int code;

    if (!command_resolve(&table, argc, argv, &settings, &code))
        return code;
    if (settings.table)
        return export_table(&(struct export_table){.program = table.program,
                                                   .job = settings.job,
                                                   .coordinator = settings.coordinator,
                                                   .name = settings.table,
                                                   .output = settings.output,
                                                   .since = (uint64_t)settings.since,
                                                   .json = settings.json != 0});
    return connection_run(table.program, settings.coordinator, export, &settings);
}
