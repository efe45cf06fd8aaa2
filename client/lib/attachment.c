/* Attaching to the servers of a running job: where they are, its tables, and the step that they stand at. */
#include "cairn_state.h"

#include "job/job_message.h"
#include "request_job.h"

#include <stdlib.h>
#include <string.h>

/* ---- the job */

static enum status job_load(struct cairn *connection, const Cairn__LocationReply *location,
                            struct error *error)
{
    enum status status;

    if (!location->text || location->n_shards == 0)
        return error_set(error, CAIRN_PROTOCOL, "the coordinator did not say where %s is", connection->id);
    status = job_load_message(location->text, &connection->job, error);
    if (status != CAIRN_OK)
        return status;
    if (!job_has_tables(connection->job))
        return error_set(error, CAIRN_INVALID, "%s trains a model: only jobs with tables can be attached to",
                         connection->id);
    if (location->n_slot_shards != job_slot_count(connection->job))
        return error_set(error, CAIRN_PROTOCOL, "%s has %zu slots, its tables need %u", connection->id,
                         location->n_slot_shards, job_slot_count(connection->job));
    return CAIRN_OK;
}

/* ---- the tables */

static void applied_told(struct session_operation *applied)
{
    struct cairn_table *table = applied->context;

    table->known = applied->version;
    table->is_known = true;
}

static void table_free(struct cairn_table *table)
{
    if (!table)
        return;
    free(table->pushed);
    free(table->fresh);
    free(table);
}

static struct cairn_table *table_new(struct cairn *connection, const struct table_spec *spec)
{
    struct cairn_table *table = calloc(1, sizeof(*table));

    if (!table)
        return NULL;
    table->connection = connection;
    table->spec = *spec;
    table->number = TABLE_FIRST_USER + connection->table_count;
    table->known = UINT64_MAX;
    table->applied = (struct session_operation){.done = applied_told, .context = table};
    table->chunk_floats = table_chunk_floats(&table->spec);
    if (table->spec.kind == TABLE_KIND_DENSE)
        table->chunk_count = table->stale_left = table_chunk_count(&table->spec);
    table->pushed = calloc(connection->job->microbatches, sizeof(table->pushed[0]));
    table->fresh = calloc(table->chunk_count / 64 + 1, sizeof(table->fresh[0]));
    if (table->pushed && table->fresh)
        return table;
    table_free(table);
    return NULL;
}

enum status table_open(struct cairn *connection, const struct table_spec *spec, struct error *error)
{
    struct cairn_table **tables =
        realloc(connection->tables, (connection->table_count + 1) * sizeof(connection->tables[0]));
    struct cairn_table *table = NULL;

    if (tables) {
        connection->tables = tables;
        table = table_new(connection, spec);
    }
    if (!table)
        return error_set(error, CAIRN_NO_MEMORY, "out of memory for table %s", spec->name);
    connection->tables[connection->table_count++] = table;
    return CAIRN_OK;
}

static enum status tables_open(struct cairn *connection, struct error *error)
{
    enum status status = CAIRN_OK;

    for (uint32_t i = 0; i < connection->job->table_count && status == CAIRN_OK; i++)
        status = table_open(connection, &connection->job->tables[i], error);
    return status;
}

/* ---- the session */

struct session_table table_layout(const struct table_spec *spec)
{
    struct session_table layout =
        spec->kind == TABLE_KIND_SPARSE
            ? session_sparse_table(spec->dimension)
            : session_dense_table(spec->size, table_chunk_floats(spec), table_chunk_count(spec));

    layout.codec = spec->codec;
    return layout;
}

/* The shards that clients speak to. The job's list has more: those that have gone, and those that only follow
 * others; with them no connection shall break. */
struct heads {
    const char **endpoints; /* [count] */
    uint32_t count;
    uint32_t *slot_shards; /* places in endpoints */
};

static void heads_fini(struct heads *heads)
{
    free(heads->endpoints);
    free(heads->slot_shards);
}

static enum status heads_init(struct heads *heads, const Cairn__LocationReply *location, struct error *error)
{
    uint32_t *place = calloc(location->n_shards, sizeof(place[0])); /* in endpoints, and 1 */

    heads->count = 0;
    heads->endpoints = calloc(location->n_shards, sizeof(heads->endpoints[0]));
    heads->slot_shards = calloc(location->n_slot_shards, sizeof(heads->slot_shards[0]));
    if (!place || !heads->endpoints || !heads->slot_shards) {
        free(place);
        return error_set(error, CAIRN_NO_MEMORY, "out of memory");
    }
    for (size_t slot = 0; slot < location->n_slot_shards; slot++) {
        uint32_t shard = location->slot_shards[slot];

        if (place[shard] == 0) {
            heads->endpoints[heads->count++] = location->shards[shard]->endpoint;
            place[shard] = heads->count;
        }
        heads->slot_shards[slot] = place[shard] - 1;
    }
    free(place);
    return CAIRN_OK;
}

static enum status session_make(struct cairn *connection, const Cairn__LocationReply *location,
                                const struct heads *heads, struct session_table *tables, struct error *error)
{
    struct session_events events = events_of_session;
    struct session_params params = {.job = location->job,
                                    .incarnation = location->incarnation,
                                    .shard_count = heads->count,
                                    .endpoints = heads->endpoints,
                                    .slot_count = (uint32_t)location->n_slot_shards,
                                    .slot_shards = heads->slot_shards,
                                    .table_count = TABLE_FIRST_USER + connection->table_count,
                                    .tables = tables,
                                    .seed = connection->job->seed,
                                    .map = location->map};

    connection->incarnation = location->incarnation;
    for (uint32_t i = 0; i < connection->table_count; i++)
        tables[TABLE_FIRST_USER + i] = table_layout(&connection->tables[i]->spec);
    events.context = connection;
    return session_new(connection->context, &params, &events, &connection->session, error);
}

static enum status session_open(struct cairn *connection, const Cairn__LocationReply *location,
                                struct error *error)
{
    struct session_table *tables = calloc(TABLE_FIRST_USER + connection->table_count, sizeof(*tables));
    struct heads heads;
    enum status status = heads_init(&heads, location, error);

    if (status == CAIRN_OK && !tables)
        status = error_set(error, CAIRN_NO_MEMORY, "out of memory");
    if (status == CAIRN_OK)
        status = session_make(connection, location, &heads, tables, error);
    heads_fini(&heads);
    free(tables);
    return status == CAIRN_OK ? events_open(connection, error) : status;
}

/* ---- the step */

static bool all_known(const struct cairn *connection)
{
    for (uint32_t i = 0; i < connection->table_count; i++) {
        if (!connection->tables[i]->is_known)
            return false;
    }
    return true;
}

/* The step of the oldest part. Tables take their steps together, so a step that somebody waits for this
 * program in is that of all, or of some parts while others are one ahead: where a program ended in the middle
 * of a step. What it had pushed is pushed again, which changes nothing. Where nobody waits, as for a reader,
 * the answers are of different moments. */
static void step_settle(struct cairn *connection)
{
    uint64_t oldest = UINT64_MAX;

    for (uint32_t i = 0; i < connection->table_count; i++) {
        if (connection->tables[i]->known < oldest)
            oldest = connection->tables[i]->known;
    }
    for (uint32_t i = 0; i < connection->table_count; i++) {
        struct cairn_table *table = connection->tables[i];

        table->known = table->spec.first_version > oldest ? table->spec.first_version : oldest;
    }
    connection->step = oldest;
}

static enum status versions_ask(struct cairn *connection, int64_t deadline_ms, struct error *error)
{
    enum status status = CAIRN_OK;

    for (uint32_t i = 0; i < connection->table_count && status == CAIRN_OK; i++)
        status = session_ask_versions(connection->session, connection->tables[i]->number,
                                      &connection->tables[i]->applied, error);
    while (status == CAIRN_OK && !all_known(connection)) {
        status = events_take(connection, error);
        if (status == CAIRN_OK && !all_known(connection))
            status = events_sleep(connection, deadline_ms, error);
    }
    if (status == CAIRN_TIMEOUT)
        return error_prefix(error, status, "the servers of %s do not answer", connection->id);
    if (status == CAIRN_OK)
        step_settle(connection);
    return status;
}

static enum status attach_once(struct cairn *connection, int64_t deadline_ms, struct error *error)
{
    Cairn__ClientReply *reply;
    enum status status = request_locate_live(connection->requester, connection->id,
                                             events_left_ms(deadline_ms), &reply, error);

    if (status != CAIRN_OK)
        return status;
    status = job_load(connection, reply->location, error);
    if (status == CAIRN_OK)
        status = tables_open(connection, error);
    if (status == CAIRN_OK)
        status = session_open(connection, reply->location, error);
    cairn__client_reply__free_unpacked(reply, NULL);
    return status == CAIRN_OK ? versions_ask(connection, deadline_ms, error) : status;
}

/* Where a table was added since the coordinator answered, the steps that it has taken are unknown: all is asked
 * again. A table that is learned of later then begins at this connection's step or after it. */
enum status attachment_open(struct cairn *connection, int64_t deadline_ms, struct error *error)
{
    enum status status = attach_once(connection, deadline_ms, error);

    while (status == CAIRN_OK && learning_is_due(connection)) {
        attachment_close(connection);
        status = attach_once(connection, deadline_ms, error);
    }
    if (status == CAIRN_OK) {
        connection->span_begin = 0;
        connection->span_end = connection->job->microbatches;
        connection->span_step = connection->step;
        status = error_set(error, spans_note(connection), "out of memory");
    }
    if (status != CAIRN_OK) {
        attachment_close(connection);
        return status;
    }
    connection->is_attached = true;
    return CAIRN_OK;
}

void attachment_close(struct cairn *connection)
{
    session_free(connection->session);
    connection->session = NULL;
    events_close(connection);
    for (uint32_t i = 0; i < connection->table_count; i++)
        table_free(connection->tables[i]);
    free(connection->tables);
    connection->tables = NULL;
    connection->table_count = 0;
    free(connection->spans);
    connection->spans = NULL;
    connection->spans_count = 0;
    learning_end(connection);
    job_free(connection->job);
    connection->job = NULL;
    connection->is_attached = false;
    connection->failed = CAIRN_OK;
}
