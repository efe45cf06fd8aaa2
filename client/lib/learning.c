/* Learning of tables that were added to the job.
 *
 * Servers tell with their answers how many tables there are, once all of them have them; what the tables are
 * the coordinator tells. No step of a table can end before every program has pushed its part of it, so a
 * program that learns of a table owes it nothing for each step that it has ended since the table began, by
 * the span that it had then. It cannot be late: the table waits. */
#include "cairn_state.h"

#include "job/job_message.h"
#include "request_job.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>
#include <unistd.h>

/* ---- spans */

/* Forgets spans that no table can be owed for: all that there are, are known, and later ones begin where the
 * furthest is. */
static void spans_prune(struct cairn *connection)
{
    uint64_t oldest = connection->step;
    uint32_t gone = 0;

    for (uint32_t i = 0; i < connection->table_count; i++)
        oldest = connection->tables[i]->known < oldest ? connection->tables[i]->known : oldest;
    while (gone + 1 < connection->spans_count && connection->spans[gone + 1].step <= oldest)
        gone++;
    connection->spans_count -= gone;
    if (gone > 0)
        memmove(connection->spans, connection->spans + gone,
                connection->spans_count * sizeof(connection->spans[0]));
}

enum status spans_note(struct cairn *connection)
{
    const struct cairn_span span = {connection->step, connection->span_begin, connection->span_end};
    struct cairn_span *spans;

    if (!learning_is_due(connection))
        spans_prune(connection);
    if (connection->spans_count > 0 && connection->spans[connection->spans_count - 1].step == span.step) {
        connection->spans[connection->spans_count - 1] = span;
        return CAIRN_OK;
    }
    spans = realloc(connection->spans, (connection->spans_count + 1) * sizeof(*spans));
    if (!spans)
        return CAIRN_NO_MEMORY;
    connection->spans = spans;
    spans[connection->spans_count++] = span;
    return CAIRN_OK;
}

/* The span of a step; before this program came: none. */
static struct cairn_span span_at(const struct cairn *connection, uint64_t step)
{
    struct cairn_span span = {step, 0, 0};

    for (uint32_t i = 0; i < connection->spans_count && connection->spans[i].step <= step; i++)
        span = connection->spans[i];
    return span;
}

/* ---- what a table is owed */

static enum status owe_step(struct cairn_table *table, uint64_t step, struct error *error)
{
    struct cairn_span span = span_at(table->connection, step);
    struct tree_node nodes[TREE_COVER_MAX];
    uint32_t count = tree_cover(table->connection->job->microbatches, span.begin, span.end, nodes);

    for (uint32_t i = 0; i < count; i++) {
        struct cairn_handle *operation = operation_new(table->connection, OPERATION_PUSH);

        if (!operation)
            return error_set(error, CAIRN_NO_MEMORY, "out of memory");
        operation->table = table;
        operation->step = step;
        operation->node = nodes[i];
        operation->acknowledge = i + 1 == count;
        operation_hold(operation);
    }
    return CAIRN_OK;
}

static enum status table_join(struct cairn *connection, const struct table_spec *spec, struct error *error)
{
    const struct session_table layout = table_layout(spec);
    struct cairn_table *table;
    enum status status = session_add_table(connection->session, &layout, error);

    if (status == CAIRN_OK)
        status = table_open(connection, spec, error);
    if (status != CAIRN_OK)
        return status;
    table = connection->tables[connection->table_count - 1];
    table->known = spec->first_version;
    table->is_known = true;
    for (uint64_t step = spec->first_version; step < connection->step && status == CAIRN_OK; step++)
        status = owe_step(table, step, error);
    return status == CAIRN_OK ? operations_send_held(table, error) : status;
}

/* ---- asking */

bool learning_is_due(const struct cairn *connection)
{
    return connection->session && session_tables_told(connection->session) > connection->table_count;
}

/* Whether each slot has the head that the session knows: until a table had a chunk there, nobody missed a
 * server that is gone. */
static bool heads_are_known(const struct cairn *connection, const Cairn__LocationReply *location)
{
    for (uint32_t slot = 0; slot < location->n_slot_shards; slot++) {
        const char *endpoint = session_slot_endpoint(connection->session, slot);

        if (!endpoint || strcmp(endpoint, location->shards[location->slot_shards[slot]]->endpoint) != 0)
            return false;
    }
    return true;
}

static enum status tables_take(struct cairn *connection, const Cairn__LocationReply *location, uint32_t least,
                               struct error *error)
{
    struct job *job = NULL;
    enum status status;

    if (location->incarnation != connection->incarnation)
        return error_set(error, CAIRN_STALE, "%s goes on as a newer incarnation", connection->id);
    if (!location->text)
        return error_set(error, CAIRN_PROTOCOL, "the coordinator did not say what tables %s has",
                         connection->id);
    if (!heads_are_known(connection, location))
        return error_set(error, CAIRN_STALE, "parts of %s are on other servers now", connection->id);
    status = job_load_message(location->text, &job, error);
    if (status == CAIRN_OK && job->table_count < least)
        status = error_set(error, CAIRN_PROTOCOL, "the coordinator does not know all tables of %s",
                           connection->id);
    while (status == CAIRN_OK && connection->table_count < job->table_count)
        status = table_join(connection, &job->tables[connection->table_count], error);
    job_free(job);
    return status;
}

/* Remembers what broke the connection, if something did. */
static enum status outcome(struct cairn *connection, const struct error *inner, struct error *error)
{
    if (inner->status == CAIRN_OK)
        return CAIRN_OK;
    if (error)
        *error = *inner;
    return events_fail(connection, inner);
}

enum status learning_take(struct cairn *connection, const Cairn__LocationReply *location, uint32_t least,
                          struct error *error)
{
    struct error inner = {.status = CAIRN_OK};

    inner.status = tables_take(connection, location, least, &inner);
    return outcome(connection, &inner, error);
}

/* Requester and timer are there only while something is asked: the requester's socket would wake up those who
 * wait for servers. */
void learning_end(struct cairn *connection)
{
    requester_free(connection->learning.requester);
    connection->learning.requester = NULL;
    if (connection->learning.again >= 0)
        close(connection->learning.again);
    connection->learning.again = -1;
}

static enum status asking_begin(struct cairn *connection, struct error *error)
{
    enum status status =
        requester_new(connection->context, connection->coordinator, &connection->learning.requester, error);

    if (status == CAIRN_OK)
        status = events_watch(connection, requester_socket(connection->learning.requester), error);
    if (status != CAIRN_OK)
        return status;
    connection->learning.again = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    if (connection->learning.again < 0)
        return error_system(error, errno, "timerfd_create");
    return events_watch_descriptor(connection, connection->learning.again, error);
}

/* A timer, since programs with a loop of their own come back for what the connection's descriptor tells only.
 */
static enum status ask(struct cairn *connection, struct error *error)
{
    const struct itimerspec again = {.it_value.tv_sec = REQUEST_ANSWER_MS / 1000,
                                     .it_value.tv_nsec = REQUEST_ANSWER_MS % 1000 * 1000000L};
    enum status status = connection->learning.requester ? CAIRN_OK : asking_begin(connection, error);

    if (status == CAIRN_OK)
        status = request_locate_live_begin(connection->learning.requester, connection->id, error);
    if (status != CAIRN_OK)
        return status;
    connection->learning.told = session_tables_told(connection->session);
    if (timerfd_settime(connection->learning.again, 0, &again, NULL) != 0)
        return error_system(error, errno, "timerfd_settime");
    return CAIRN_OK;
}

/* Whether it is time to ask: nothing is, or for so long that the timer has run out. */
static bool is_time(const struct cairn *connection)
{
    uint64_t count;

    return !connection->learning.requester ||
           read(connection->learning.again, &count, sizeof(count)) == sizeof(count);
}

/* A job that runs no more is the servers' to tell of, and who does not answer is asked again. */
static bool is_passing(enum status status)
{
    return status == CAIRN_TIMEOUT || status == CAIRN_INVALID || status == CAIRN_AGAIN;
}

static enum status hear(struct cairn *connection, struct error *error)
{
    Cairn__ClientReply *reply;
    enum status status = request_locate_live_end(connection->learning.requester, &reply, error);

    if (status != CAIRN_OK)
        return is_passing(status) ? CAIRN_OK : status;
    status = tables_take(connection, reply->location, connection->learning.told, error);
    cairn__client_reply__free_unpacked(reply, NULL);
    learning_end(connection);
    return status;
}

enum status learning_poll(struct cairn *connection, struct error *error)
{
    struct error inner = {.status = CAIRN_OK};

    if (!learning_is_due(connection)) {
        learning_end(connection);
        return CAIRN_OK;
    }
    do { /* an answer may be older than what the servers have told since */
        if (is_time(connection))
            inner.status = ask(connection, &inner);
        if (inner.status == CAIRN_OK)
            inner.status = hear(connection, &inner);
    } while (inner.status == CAIRN_OK && !connection->learning.requester && learning_is_due(connection));
    return outcome(connection, &inner, error);
}
