/* libcairn's connection: making and ending it, the job that it makes or attaches to, and what can be asked of
 * it. Pushing and pulling is in cairn_table.c. */
#include "cairn_state.h"

#include "base/clock.h"
#include "net/setting_rows.h"
#include "request_job.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <zmq.h>

/* Attaching: how long servers have for their answers at first, what lies between two tries when they refuse,
 * at first and at most, and how long what they say is taken for something that passes. That it has passed
 * nobody can tell who is not attached: the coordinator tells of a map before its servers have heard of it,
 * and they know no more of a client that they have refused. A pause as long as all before it costs a program
 * at most as much time as has gone by, and servers that are busy with a change are asked a few times only. */
#define ATTACH_PATIENCE_MS  500
#define ATTACH_PAUSE_MS     20
#define ATTACH_PAUSE_MAX_MS 320
#define ATTACH_TRIES_MS     30000

/* The public enum is the internal one in other words. But a version that has passed is to a program what a
 * newer incarnation is: it has to attach again. */
enum { CAIRN_STATUS_PASSED = CAIRN_PASSED };
#define X(name, text)                                                                                        \
    _Static_assert((int)CAIRN_STATUS_##name == (int)CAIRN_##name, "statuses must have the same numbers");
STATUS_LIST(X)
#undef X

enum cairn_status public_status(enum status status)
{
    return status == CAIRN_PASSED ? CAIRN_STATUS_STALE : (enum cairn_status)status;
}

const char *cairn_version(void)
{
    return CAIRN_VERSION;
}

const char *cairn_status_text(enum cairn_status status)
{
    return status_text((enum status)status);
}

/* ---- the connection */

static const char *endpoint_of(const char *coordinator)
{
    const char *endpoint = coordinator ? coordinator : getenv("CAIRN_COORDINATOR");

    return endpoint && endpoint[0] ? endpoint : COORDINATOR_ENDPOINT_DEFAULT;
}

static enum status connection_open_all(struct cairn *connection, const char *coordinator)
{
    enum status status = mailbox_init(&connection->mailbox, &connection->error);

    if (status != CAIRN_OK)
        return status;
    connection->context = zmq_ctx_new();
    if (!connection->context)
        return error_set(&connection->error, CAIRN_NO_MEMORY, "cannot make a ZeroMQ context: %s",
                         zmq_strerror(zmq_errno()));
    connection->coordinator = strdup(endpoint_of(coordinator));
    if (!connection->coordinator)
        return error_set(&connection->error, CAIRN_NO_MEMORY, "out of memory");
    return requester_new(connection->context, connection->coordinator, &connection->requester,
                         &connection->error);
}

enum cairn_status cairn_connect(const char *coordinator, cairn **out)
{
    struct cairn *connection = calloc(1, sizeof(*connection));

    *out = connection;
    if (!connection)
        return CAIRN_STATUS_NO_MEMORY;
    connection->descriptor = connection->learning.again = -1;
    connection->mailbox.event = -1;
    return public_status(connection_open_all(connection, coordinator));
}

void cairn_close(cairn *connection)
{
    if (!connection)
        return;
    attachment_close(connection);
    requester_free(connection->requester);
    /* Returns when ZeroMQ has let go of everything that was lent to it. */
    while (connection->context && zmq_ctx_term(connection->context) != 0 && zmq_errno() == EINTR)
        ;
    operations_fini(connection);
    mailbox_fini(&connection->mailbox);
    job_text_free(connection->text);
    free(connection->id);
    free(connection->coordinator);
    free(connection);
}

const char *cairn_error_text(const cairn *connection)
{
    return connection->error.message;
}

/* ---- a job, made by the program */

static enum cairn_status no_memory(struct cairn *connection)
{
    return public_status(error_set(&connection->error, CAIRN_NO_MEMORY, "out of memory"));
}

static enum cairn_status no_job(struct cairn *connection)
{
    return public_status(
        error_set(&connection->error, CAIRN_INVALID, "no job was begun: cairn_job_begin comes first"));
}

enum cairn_status cairn_job_begin(cairn *connection, const char *name)
{
    job_text_free(connection->text);
    connection->text = job_text_new(name);
    return connection->text ? CAIRN_STATUS_OK : no_memory(connection);
}

enum cairn_status cairn_job_set(cairn *connection, const char *key, const char *yaml)
{
    if (!connection->text)
        return no_job(connection);
    return job_text_set(connection->text, key, yaml) == CAIRN_OK ? CAIRN_STATUS_OK : no_memory(connection);
}

static enum cairn_status table_add(cairn *connection, const char *name, uint64_t size, uint32_t dimension,
                                   const char *yaml)
{
    if (!connection->text)
        return no_job(connection);
    return job_text_add_table(connection->text, name, size, dimension, yaml) == CAIRN_OK
               ? CAIRN_STATUS_OK
               : no_memory(connection);
}

enum cairn_status cairn_job_dense(cairn *connection, const char *name, uint64_t size, const char *yaml)
{
    return table_add(connection, name, size, 0, yaml);
}

enum cairn_status cairn_job_sparse(cairn *connection, const char *name, uint32_t dimension, const char *yaml)
{
    return table_add(connection, name, 0, dimension, yaml);
}

/* Whether the text is a job's, before it is sent anywhere. */
static enum status text_check(const char *text, struct error *error)
{
    static const struct job_overrides none;
    struct job *job = NULL;
    enum status status = job_load_text(text, strlen(text), JOB_TEXT_FILE, "/", &none, &job, error);

    if (status == CAIRN_OK && !job_has_tables(job))
        status = error_set(error, CAIRN_INVALID, "the job has no tables");
    job_free(job);
    return status;
}

static enum status check_fresh(struct cairn *connection)
{
    if (connection->is_attached)
        return error_set(&connection->error, CAIRN_INVALID,
                         "this connection is attached already: make another one");
    return CAIRN_OK;
}

/* The id in a reply with a status, which is freed, is the connection's from now on. */
static enum status take_id(struct cairn *connection, Cairn__ClientReply *reply)
{
    free(connection->id);
    connection->id = strdup(reply->job->id);
    cairn__client_reply__free_unpacked(reply, NULL);
    return connection->id ? CAIRN_OK : error_set(&connection->error, CAIRN_NO_MEMORY, "out of memory");
}

static enum status await_running(struct cairn *connection, const char *job, int64_t deadline_ms)
{
    Cairn__ClientReply *reply;
    enum status status =
        request_running(connection->requester, job, events_left_ms(deadline_ms), &reply, &connection->error);

    return status == CAIRN_OK ? take_id(connection, reply) : status;
}

/* When a server has just died the coordinator may not know of it yet, nor the others of who stands in for it:
 * what it told of does not answer then, or does not have what it should. */
static bool may_pass(enum status status, int64_t now_ms, int64_t since_ms)
{
    return status == CAIRN_TIMEOUT ||
           ((status == CAIRN_NOT_FOUND || status == CAIRN_STALE || status == CAIRN_IO) &&
            now_ms - since_ms < ATTACH_TRIES_MS);
}

/* What lies between a refusal and the next try; *pause_ms is the next one's. */
static void attach_pause(int64_t *pause_ms, int64_t deadline_ms)
{
    int64_t left_ms = deadline_ms - clock_ms();
    int64_t ms = *pause_ms < left_ms ? *pause_ms : left_ms;
    const struct timespec pause = {.tv_nsec = ms * 1000000};

    if (ms > 0)
        nanosleep(&pause, NULL);
    *pause_ms = *pause_ms * 2 < ATTACH_PAUSE_MAX_MS ? *pause_ms * 2 : ATTACH_PAUSE_MAX_MS;
}

/* Waits until the job runs, then attaches. */
static enum status await_and_attach(struct cairn *connection, const char *job, int64_t deadline_ms)
{
    int64_t since_ms = clock_ms(), patience_ms = ATTACH_PATIENCE_MS, pause_ms = ATTACH_PAUSE_MS;
    enum status status = await_running(connection, job, deadline_ms);

    while (status == CAIRN_OK) {
        int64_t now_ms = clock_ms();
        int64_t until_ms = now_ms + patience_ms < deadline_ms ? now_ms + patience_ms : deadline_ms;

        status = attachment_open(connection, until_ms, &connection->error);
        now_ms = clock_ms();
        if (status == CAIRN_OK || now_ms >= deadline_ms || !may_pass(status, now_ms, since_ms))
            return status;
        if (status == CAIRN_TIMEOUT)
            patience_ms *= 2;
        else
            attach_pause(&pause_ms, deadline_ms);
        status = await_running(connection, job, deadline_ms);
    }
    return status;
}

/* Makes or joins the job of a text, which connection->id then names. */
static enum status join(struct cairn *connection, const char *text, enum cairn_start start)
{
    Cairn__JobText message = CAIRN__JOB_TEXT__INIT;
    Cairn__ClientReply *reply;
    enum status status;

    message.text = (char *)text;
    message.file_name = (char *)JOB_TEXT_FILE;
    message.base_directory = (char *)"/"; /* tables name no files */
    status = request_join(connection->requester, &message, start == CAIRN_START_RESUME, &reply,
                          &connection->error);
    return status == CAIRN_OK ? take_id(connection, reply) : status;
}

enum cairn_status cairn_job_start(cairn *connection, enum cairn_start start, int timeout_ms)
{
    int64_t deadline_ms = events_deadline(timeout_ms);
    char *text = NULL, *id = NULL;
    enum status status = check_fresh(connection);

    if (status == CAIRN_OK && !connection->text)
        return no_job(connection);
    if (status == CAIRN_OK)
        status = job_text_write(connection->text, &text, &connection->error);
    if (status == CAIRN_OK)
        status = text_check(text, &connection->error);
    if (status == CAIRN_OK)
        status = join(connection, text, start);
    if (status == CAIRN_OK && !(id = strdup(connection->id)))
        status = error_set(&connection->error, CAIRN_NO_MEMORY, "out of memory");
    if (status == CAIRN_OK)
        status = await_and_attach(connection, id, deadline_ms);
    free(id);
    free(text);
    return public_status(status);
}

enum cairn_status cairn_attach(cairn *connection, const char *job, int timeout_ms)
{
    enum status status = check_fresh(connection);

    if (status == CAIRN_OK)
        status = await_and_attach(connection, job, events_deadline(timeout_ms));
    return public_status(status);
}

enum cairn_status cairn_job_stop(cairn *connection)
{
    Cairn__ClientReply *reply;
    enum status status;

    if (!connection->is_attached)
        return public_status(
            error_set(&connection->error, CAIRN_INVALID, "this connection is not attached to a job"));
    status = request_stop(connection->requester, connection->id, &reply, &connection->error);
    if (status == CAIRN_OK)
        cairn__client_reply__free_unpacked(reply, NULL);
    return public_status(status);
}

/* ---- what is there */

const char *cairn_job_id(const cairn *connection)
{
    return connection->is_attached ? connection->id : NULL;
}

uint64_t cairn_current_step(const cairn *connection)
{
    return connection->step;
}

uint32_t cairn_microbatches(const cairn *connection)
{
    return connection->is_attached ? connection->job->microbatches : 0;
}

cairn_table *cairn_table_at(cairn *connection, uint32_t index)
{
    return connection->is_attached && index < connection->table_count ? connection->tables[index] : NULL;
}

cairn_table *cairn_find_table(cairn *connection, const char *name)
{
    for (uint32_t i = 0; connection->is_attached && i < connection->table_count; i++) {
        if (strcmp(connection->tables[i]->spec.name, name) == 0)
            return connection->tables[i];
    }
    return NULL;
}

const char *cairn_table_name(const cairn_table *table)
{
    return table->spec.name;
}

uint64_t cairn_table_size(const cairn_table *table)
{
    return table->spec.size;
}

uint32_t cairn_table_dimension(const cairn_table *table)
{
    return table->spec.dimension;
}
