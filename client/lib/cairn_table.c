/* libcairn's tables: pushing, pulling, taking steps, waiting. */
#include "cairn_state.h"

#include "net/wire.h"
#include "request_job.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static enum status out_of_memory(struct error *error)
{
    return error_set(error, CAIRN_NO_MEMORY, "out of memory");
}

static bool is_dense(const struct cairn_table *table)
{
    return table->spec.kind == TABLE_KIND_DENSE;
}

static bool is_reader(const struct cairn *connection)
{
    return connection->span_begin == connection->span_end;
}

/* ---- the current step */

static bool step_has_begun(const struct cairn *connection)
{
    for (uint32_t i = 0; i < connection->table_count; i++) {
        if (connection->tables[i]->pushed_count > 0)
            return true;
    }
    return false;
}

static bool is_pushed(const struct cairn_table *table, struct tree_node node)
{
    for (uint32_t i = node.begin; i < node.end; i++) {
        if (table->pushed[i])
            return true;
    }
    return false;
}

/* Notes that a node is pushed, and says what of the table's next version this push must ask for: once a step
 * it does, in the push that reads or else in the last. */
static void push_note(struct cairn_table *table, struct cairn_handle *operation)
{
    const struct cairn *connection = table->connection;
    struct tree_node node = operation->node;

    memset(table->pushed + node.begin, 1, node.end - node.begin);
    table->pushed_count += node.end - node.begin;
    operation->acknowledge = !operation->values && !table->is_asked &&
                             table->pushed_count == connection->span_end - connection->span_begin;
    table->is_asked = table->is_asked || operation->acknowledge || operation->values;
}

/* Whether there is something of a table that was not sent before a step: it is with the programs that have
 * its microbatches, so that no other may take them over, nor is the step's version a state to go on from. */
static bool has_residuals_at(const struct cairn_table *table, uint64_t step)
{
    const struct codec_spec *codec = &table->spec.codec;

    return codec->type == CODEC_TOP_K && step > 0 && !codec_sends_all(codec, step - 1);
}

/* The first such table; NULL: none. */
static const struct cairn_table *residuals_at(const struct cairn *connection, uint64_t step)
{
    for (uint32_t i = 0; i < connection->table_count; i++) {
        if (has_residuals_at(connection->tables[i], step))
            return connection->tables[i];
    }
    return NULL;
}

static enum status residuals_problem(const struct cairn_table *table, const char *what, uint64_t step,
                                     struct error *error)
{
    return error_set(error, CAIRN_INVALID,
                     "%s at step %" PRIu64
                     ": table %s travels as top_k, and what was not sent of it is with the "
                     "programs but at steps divisible by %" PRIu64,
                     what, step, table->spec.name, table->spec.codec.boundary);
}

/* Whether a span may begin at the current step. */
static enum status span_check(const struct cairn *connection, uint32_t begin, uint32_t end,
                              struct error *error)
{
    const struct cairn_table *table = residuals_at(connection, connection->step);

    if (begin > end || end > connection->job->microbatches)
        return error_set(error, CAIRN_INVALID, "the span [%u, %u), allowed: within [0, %u)", begin, end,
                         connection->job->microbatches);
    if (step_has_begun(connection))
        return error_set(error, CAIRN_INVALID, "step %" PRIu64 " has begun: a span changes between two steps",
                         connection->step);
    return table && begin < end ? residuals_problem(table, "a span begins", connection->step, error)
                                : CAIRN_OK;
}

enum cairn_status cairn_set_span(cairn *connection, uint32_t begin, uint32_t end)
{
    enum status status = events_check(connection, &connection->error);

    if (status == CAIRN_OK)
        status = span_check(connection, begin, end, &connection->error);
    if (status != CAIRN_OK)
        return public_status(status);
    connection->span_begin = begin;
    connection->span_end = end;
    connection->span_step = connection->step;
    if (spans_note(connection) != CAIRN_OK) {
        out_of_memory(&connection->error);
        return public_status(events_fail(connection, &connection->error));
    }
    return CAIRN_STATUS_OK;
}

/* Whether a table is there at the program's step. It is, unless others push the program's microbatches as
 * well. */
static enum status check_begun(const struct cairn_table *table, struct error *error)
{
    const struct cairn *connection = table->connection;

    if (is_reader(connection) || connection->step >= table->spec.first_version)
        return CAIRN_OK;
    return error_set(error, CAIRN_INVALID,
                     "table %s begins at step %" PRIu64 ", and this program is at step %" PRIu64
                     ": others have pushed its microbatches",
                     table->spec.name, table->spec.first_version, connection->step);
}

/* ---- push */

/* Gradients that a codec rounds are rounded by microbatch; what top_k did not send belongs to one, too. */
static bool goes_by_microbatch(const struct cairn_table *table, bool has_gradients)
{
    enum codec_type codec = table->spec.codec.type;

    return codec == CODEC_TOP_K || (codec != CODEC_FLOAT32 && has_gradients);
}

/* The node that gradients are for. */
static enum status node_find(const struct cairn *connection, const struct cairn_gradients *gradients,
                             struct tree_node *node, struct error *error)
{
    *node = (struct tree_node){gradients->begin, gradients->end};
    if (node->begin == 0 && node->end == 0)
        *node = (struct tree_node){connection->span_begin, connection->span_end};
    if (is_reader(connection))
        return error_set(error, CAIRN_INVALID, "a program whose span is empty pushes nothing");
    if (node->begin < connection->span_begin || node->end > connection->span_end)
        return error_set(error, CAIRN_INVALID, "microbatches [%u, %u) are not within the span [%u, %u)",
                         node->begin, node->end, connection->span_begin, connection->span_end);
    if (!tree_has_node(connection->job->microbatches, *node))
        return error_set(error, CAIRN_INVALID,
                         "microbatches [%u, %u) are no node of the tree over %u: push them one by one",
                         node->begin, node->end, connection->job->microbatches);
    return CAIRN_OK;
}

static enum status rows_check(const struct cairn_table *table, const struct cairn_gradients *gradients,
                              struct error *error)
{
    uint32_t most = session_rows_max(table->connection->session, table->number);

    if (gradients->count > 0 && (!gradients->keys || !gradients->values))
        return error_set(error, CAIRN_INVALID, "a push to table %s without keys or values",
                         table->spec.name);
    if (gradients->count == 0 && gradients->values)
        return error_set(error, CAIRN_INVALID, "a push to table %s, which is sparse, without keys",
                         table->spec.name);
    if (gradients->count > most)
        return error_set(error, CAIRN_INVALID, "%u rows of table %s in one push, allowed: %u",
                         gradients->count, table->spec.name, most);
    return CAIRN_OK;
}

static enum status gradients_check(const struct cairn_table *table, const struct cairn_gradients *gradients,
                                   struct error *error)
{
    if (gradients->samples > WIRE_SAMPLES_MAX)
        return error_set(error, CAIRN_INVALID, "%" PRIu64 " samples are too many", gradients->samples);
    if (!is_dense(table))
        return rows_check(table, gradients, error);
    if (gradients->keys || gradients->count > 0)
        return error_set(error, CAIRN_INVALID, "table %s is dense and has no keys", table->spec.name);
    return CAIRN_OK;
}

/* Whether a table's codec lets the node be pushed by this program. */
static enum status codec_check(const struct cairn_table *table, const struct cairn_gradients *gradients,
                               struct tree_node node, struct error *error)
{
    const struct codec_spec *codec = &table->spec.codec;
    uint64_t span_step = table->connection->span_step;

    if (node.end - node.begin > 1 && goes_by_microbatch(table, gradients->values))
        return error_set(error, CAIRN_INVALID,
                         "table %s travels as %s: its microbatches are pushed one by one, not [%u, %u)",
                         table->spec.name, codec_name(codec->type), node.begin, node.end);
    return has_residuals_at(table, span_step)
               ? residuals_problem(table, "this program's span began", span_step, error)
               : CAIRN_OK;
}

/* Checks a push; *node is what it is for. */
static enum status push_check(const struct cairn_table *table, const struct cairn_gradients *gradients,
                              struct tree_node *node, struct error *error)
{
    enum status status = events_check(table->connection, error);

    if (status == CAIRN_OK)
        status = check_begun(table, error);
    if (status == CAIRN_OK)
        status = node_find(table->connection, gradients, node, error);
    if (status == CAIRN_OK)
        status = gradients_check(table, gradients, error);
    if (status == CAIRN_OK)
        status = codec_check(table, gradients, *node, error);
    if (status == CAIRN_OK && is_pushed(table, *node))
        status = error_set(error, CAIRN_EXISTS,
                           "microbatches [%u, %u) of step %" PRIu64 " have been pushed to table %s already",
                           node->begin, node->end, table->connection->step, table->spec.name);
    return status;
}

static enum status push_begin(struct cairn_table *table, struct tree_node node,
                              const struct cairn_gradients *gradients, float *values, cairn_handle **handle,
                              struct error *error)
{
    struct cairn_handle *operation = operation_new(table->connection, OPERATION_PUSH);

    if (!operation)
        return out_of_memory(error);
    operation->table = table;
    operation->step = table->connection->step;
    operation->node = node;
    operation->samples = gradients->samples;
    operation->gradients = gradients->values;
    operation->keys = gradients->keys;
    operation->count = gradients->count;
    operation->values = is_dense(table) || gradients->count > 0 ? values : NULL;
    operation->is_wanted = handle != NULL;
    push_note(table, operation);
    if (handle)
        *handle = operation;
    return operation_begin(operation, error);
}

static enum cairn_status push(struct cairn_table *table, const struct cairn_gradients *gradients,
                              float *values, cairn_handle **handle)
{
    struct error *error = &table->connection->error;
    struct tree_node node;
    enum status status = push_check(table, gradients, &node, error);

    if (status == CAIRN_OK)
        status = push_begin(table, node, gradients, values, handle, error);
    if (status != CAIRN_OK && handle)
        *handle = NULL;
    return public_status(status);
}

enum cairn_status cairn_push(cairn_table *table, const struct cairn_gradients *gradients,
                             cairn_handle **handle)
{
    return push(table, gradients, NULL, handle);
}

enum cairn_status cairn_push_pull(cairn_table *table, const struct cairn_gradients *gradients, float *values,
                                  cairn_handle **handle)
{
    if (values && handle)
        return push(table, gradients, values, handle);
    return public_status(error_set(&table->connection->error, CAIRN_INVALID,
                                   "a push-pull needs a place for values, and a handle"));
}

/* ---- pull */

static enum status pull_check(const struct cairn_table *table, const uint64_t *keys, uint32_t count,
                              const float *values, struct error *error)
{
    enum status status = events_check(table->connection, error);

    if (status == CAIRN_OK)
        status = check_begun(table, error);
    if (status != CAIRN_OK)
        return status;
    if (!values)
        return error_set(error, CAIRN_INVALID, "a pull needs a place for values");
    if (is_dense(table) && (keys || count > 0))
        return error_set(error, CAIRN_INVALID, "table %s is dense and has no keys", table->spec.name);
    if (!is_dense(table) && (!keys || count == 0))
        return error_set(error, CAIRN_INVALID, "a pull from table %s, which is sparse, needs keys",
                         table->spec.name);
    return CAIRN_OK;
}

enum cairn_status cairn_pull(cairn_table *table, const uint64_t *keys, uint32_t count, float *values,
                             cairn_handle **handle)
{
    struct cairn *connection = table->connection;
    struct cairn_handle *operation;
    enum status status = pull_check(table, keys, count, values, &connection->error);

    *handle = NULL;
    if (status != CAIRN_OK)
        return public_status(status);
    operation = operation_new(connection, OPERATION_PULL);
    if (!operation)
        return public_status(out_of_memory(&connection->error));
    operation->table = table;
    operation->step = is_reader(connection) ? SESSION_NEWEST : connection->step;
    operation->keys = keys;
    operation->count = count;
    operation->values = values;
    operation->is_wanted = true;
    status = operation_begin(operation, &connection->error);
    if (status == CAIRN_OK)
        *handle = operation;
    return public_status(status);
}

/* ---- steps */

static const struct cairn_gradients nothing;

/* Pushes nothing for microbatches [begin, end), in as few nodes as cover them. */
static enum status push_nothing(struct cairn_table *table, uint32_t begin, uint32_t end, struct error *error)
{
    struct tree_node nodes[TREE_COVER_MAX];
    uint32_t count = tree_cover(table->connection->job->microbatches, begin, end, nodes);
    enum status status = CAIRN_OK;

    for (uint32_t i = 0; i < count && status == CAIRN_OK; i++)
        status = push_begin(table, nodes[i], &nothing, NULL, NULL, error);
    return status;
}

/* How far from `begin` one push_nothing goes: it begins with a microbatch that was not pushed. */
static uint32_t nothing_end(const struct cairn_table *table, uint32_t begin)
{
    uint32_t end = begin + 1;

    while (!goes_by_microbatch(table, false) && end < table->connection->span_end && !table->pushed[end])
        end++;
    return end;
}

/* Pushes nothing for what of the span was not pushed, and begins the table's next step. */
static enum status table_step(struct cairn_table *table, struct error *error)
{
    const struct cairn *connection = table->connection;
    enum status status = CAIRN_OK;

    if (connection->step < table->spec.first_version)
        return CAIRN_OK;
    for (uint32_t begin = connection->span_begin; begin < connection->span_end && status == CAIRN_OK;) {
        uint32_t end = table->pushed[begin] ? begin + 1 : nothing_end(table, begin);

        if (!table->pushed[begin])
            status = push_nothing(table, begin, end, error);
        begin = end;
    }
    memset(table->pushed, 0, connection->job->microbatches);
    table->pushed_count = 0;
    table->is_asked = false;
    return status;
}

static enum status step_begin(struct cairn *connection, cairn_handle **handle, struct error *error)
{
    struct cairn_handle *operation = operation_new(connection, OPERATION_STEP);
    enum status status = CAIRN_OK;

    if (!operation)
        return out_of_memory(error);
    operation->step = connection->step;
    operation->is_wanted = handle != NULL;
    for (uint32_t i = 0; i < connection->table_count && status == CAIRN_OK; i++)
        status = table_step(connection->tables[i], error);
    if (status != CAIRN_OK)
        return status; /* the connection has failed */
    connection->step++;
    operations_add_step(connection, operation);
    if (handle)
        *handle = operation;
    operations_check_steps(connection);
    return CAIRN_OK;
}

static enum status check_takes_part(const struct cairn *connection, struct error *error)
{
    enum status status = events_check(connection, error);

    if (status == CAIRN_OK && is_reader(connection))
        status = error_set(error, CAIRN_INVALID, "a program whose span is empty takes no part in steps");
    return status;
}

enum cairn_status cairn_step(cairn *connection, cairn_handle **handle)
{
    enum status status = check_takes_part(connection, &connection->error);

    if (handle)
        *handle = NULL;
    if (status == CAIRN_OK)
        status = step_begin(connection, handle, &connection->error);
    return public_status(status);
}

/* Whether all tables that there are have the current step's version. */
static bool has_version(const struct cairn *connection)
{
    for (uint32_t i = 0; i < connection->table_count; i++) {
        if (connection->tables[i]->known < connection->step)
            return false;
    }
    return !learning_is_due(connection);
}

static enum status await_version(struct cairn *connection, int64_t deadline_ms, struct error *error)
{
    enum status status = events_take(connection, error);

    while (status == CAIRN_OK && !has_version(connection)) {
        status = events_sleep(connection, deadline_ms, error);
        if (status == CAIRN_OK)
            status = events_take(connection, error);
    }
    return status;
}

enum cairn_status cairn_commit(cairn *connection, int timeout_ms)
{
    int64_t deadline_ms = events_deadline(timeout_ms);
    struct error *error = &connection->error;
    uint64_t committed_step;
    enum status status = check_takes_part(connection, error);

    if (status == CAIRN_OK && step_has_begun(connection))
        status =
            error_set(error, CAIRN_INVALID, "step %" PRIu64 " has begun: commits are made between two steps",
                      connection->step);
    if (status == CAIRN_OK && residuals_at(connection, connection->step))
        status = residuals_problem(residuals_at(connection, connection->step), "a commit", connection->step,
                                   error);
    if (status == CAIRN_OK)
        status = await_version(connection, deadline_ms, error);
    if (status == CAIRN_OK && connection->step > 0)
        status = request_commit(connection->requester, connection->id, connection->step,
                                events_left_ms(deadline_ms), &committed_step, error);
    return public_status(status);
}

/* ---- another table */

/* What a program asks for, and how long it waits. */
struct addition {
    const char *name, *yaml;
    uint64_t size;
    uint32_t dimension;
    int64_t deadline_ms;
};

static enum status check_addition(const struct cairn *connection, struct error *error)
{
    enum status status = events_check(connection, error);

    if (status == CAIRN_OK && step_has_begun(connection))
        status =
            error_set(error, CAIRN_INVALID, "step %" PRIu64 " has begun: tables are added between two steps",
                      connection->step);
    return status;
}

/* Makes sure that the connection knows the table of a number. */
static enum status table_learn(struct cairn *connection, uint32_t number, int64_t deadline_ms,
                               struct error *error)
{
    Cairn__ClientReply *reply;
    enum status status;

    if (number < TABLE_FIRST_USER + connection->table_count)
        return CAIRN_OK;
    status = request_locate_live(connection->requester, connection->id, events_left_ms(deadline_ms), &reply,
                                 error);
    if (status != CAIRN_OK)
        return status;
    status = learning_take(connection, reply->location, number - TABLE_FIRST_USER + 1, error);
    cairn__client_reply__free_unpacked(reply, NULL);
    return status;
}

static enum status add(struct cairn *connection, const struct addition *addition, cairn_table **out,
                       struct error *error)
{
    char *text = NULL;
    uint32_t number = 0;
    enum status status = check_addition(connection, error);

    if (status == CAIRN_OK)
        status = job_text_write_table(addition->name, addition->size, addition->dimension, addition->yaml,
                                      &text, error);
    if (status == CAIRN_OK)
        status = request_table(connection->requester, connection->id, text,
                               events_left_ms(addition->deadline_ms), &number, error);
    free(text);
    if (status == CAIRN_OK && number < TABLE_FIRST_USER)
        status = error_set(error, CAIRN_PROTOCOL, "the coordinator gave a number that no table has");
    if (status == CAIRN_OK)
        status = table_learn(connection, number, addition->deadline_ms, error);
    if (status == CAIRN_OK)
        *out = connection->tables[number - TABLE_FIRST_USER];
    return status;
}

enum cairn_status cairn_add_dense(cairn *connection, const char *name, uint64_t size, const char *yaml,
                                  int timeout_ms, cairn_table **table)
{
    const struct addition addition = {
        .name = name, .yaml = yaml, .size = size, .deadline_ms = events_deadline(timeout_ms)};

    *table = NULL;
    return public_status(add(connection, &addition, table, &connection->error));
}

enum cairn_status cairn_add_sparse(cairn *connection, const char *name, uint32_t dimension, const char *yaml,
                                   int timeout_ms, cairn_table **table)
{
    const struct addition addition = {
        .name = name, .yaml = yaml, .dimension = dimension, .deadline_ms = events_deadline(timeout_ms)};

    *table = NULL;
    return public_status(add(connection, &addition, table, &connection->error));
}

/* ---- waiting */

/* Gives an operation that is done back. */
static enum status handle_end(struct cairn_handle *handle)
{
    handle->is_wanted = false;
    operation_drop(handle);
    return CAIRN_OK;
}

enum cairn_status cairn_wait(cairn_handle *handle, int timeout_ms)
{
    struct cairn *connection = handle->connection;
    int64_t deadline_ms = events_deadline(timeout_ms);
    enum status status = handle->is_done ? CAIRN_OK : events_take(connection, &connection->error);

    while (status == CAIRN_OK && !handle->is_done) {
        status = events_sleep(connection, deadline_ms, &connection->error);
        if (status == CAIRN_OK)
            status = events_take(connection, &connection->error);
    }
    if (handle->is_done)
        return public_status(handle_end(handle));
    if (status != CAIRN_TIMEOUT && status != CAIRN_AGAIN)
        handle->is_wanted = false; /* its memory is freed with the connection */
    return public_status(status);
}

int cairn_test(cairn_handle *handle)
{
    struct cairn *connection = handle->connection;
    bool stands = handle->is_done || events_take(connection, &connection->error) == CAIRN_OK;

    return handle->is_done || !stands;
}

int cairn_descriptor(const cairn *connection)
{
    return connection->descriptor;
}

enum cairn_status cairn_poll(cairn *connection)
{
    enum status status = events_check(connection, &connection->error);

    return public_status(status == CAIRN_OK ? events_take(connection, &connection->error) : status);
}
