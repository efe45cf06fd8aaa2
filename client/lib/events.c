/* What comes: values and versions from the servers, memory that ZeroMQ gives back; and what breaks. */
#include "cairn_state.h"

#include "base/clock.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>
#include <zmq.h>

/* ---- failure */

enum status events_fail(struct cairn *connection, const struct error *error)
{
    if (connection->failed == CAIRN_OK) {
        connection->failed = error->status;
        connection->failure = *error;
    }
    return connection->failed;
}

enum status events_check(const struct cairn *connection, struct error *error)
{
    if (connection->failed != CAIRN_OK)
        return error_set(error, connection->failed, "%s", connection->failure.message);
    if (!connection->is_attached)
        return error_set(error, CAIRN_INVALID, "this connection is not attached to a job");
    return CAIRN_OK;
}

/* ---- versions */

static void chunks_forget(struct cairn_table *table)
{
    memset(table->fresh, 0, (table->chunk_count + 63) / 64 * sizeof(table->fresh[0]));
    table->stale_left = table->chunk_count;
}

/* Notes a chunk's bit; false: it had it. */
static bool chunk_mark(struct cairn_table *table, uint32_t chunk)
{
    uint64_t bit = UINT64_C(1) << chunk % 64;

    if (table->fresh[chunk / 64] & bit)
        return false;
    table->fresh[chunk / 64] |= bit;
    table->stale_left--;
    return true;
}

/* While attaching: the table stands where its oldest chunk does. */
static void chunk_told(struct cairn_table *table, uint32_t chunk, uint64_t version)
{
    if (!chunk_mark(table, chunk))
        return;
    if (version < table->known)
        table->known = version;
    if (table->stale_left > 0)
        return;
    table->is_known = true;
    chunks_forget(table);
}

static void chunk_applied(struct cairn_table *table, uint32_t chunk, uint64_t version)
{
    if (version != table->known + 1 || !chunk_mark(table, chunk) || table->stale_left > 0)
        return;
    table->known++;
    chunks_forget(table);
}

void table_applied(struct cairn_table *table, uint64_t version)
{
    if (version == table->known + 1)
        table->known = version;
}

static struct cairn_table *table_of(struct cairn *connection, uint32_t number)
{
    BUG_IF(number < TABLE_FIRST_USER || number - TABLE_FIRST_USER >= connection->table_count);
    return connection->tables[number - TABLE_FIRST_USER];
}

static void on_applied(void *context, uint32_t number, uint32_t chunk, uint64_t version)
{
    struct cairn_table *table = table_of(context, number);

    if (table->is_known)
        chunk_applied(table, chunk, version);
    else
        chunk_told(table, chunk, version);
}

/* ---- values of dense tables */

/* Of a version all answers are the same. What was the newest when another pull was answered need not be it
 * any more. */
static bool wants(const struct cairn_handle *operation, uint64_t request, uint64_t version)
{
    if (operation->step == SESSION_NEWEST)
        return request == operation->request;
    return version == (operation->kind == OPERATION_PUSH ? operation->step + 1 : operation->step);
}

/* Copies a chunk that is still to come; true: it was the last. */
static bool chunk_store(struct cairn_handle *operation, uint32_t chunk, const float *values, size_t elements)
{
    uint64_t bit = UINT64_C(1) << chunk % 64;

    if (!(operation->missing[chunk / 64] & bit))
        return false;
    operation->missing[chunk / 64] &= ~bit;
    memcpy(operation->values + (uint64_t)chunk * operation->table->chunk_floats, values,
           elements * sizeof(float));
    return --operation->chunks_left == 0;
}

static void on_values(void *context, uint32_t number, uint32_t chunk, uint64_t version, const void *values,
                      size_t elements)
{
    struct cairn *connection = context;
    struct cairn_table *table = table_of(connection, number);
    uint64_t request = session_request(connection->session);
    struct cairn_handle **link = &table->reading.first, *before = NULL;

    while (*link) {
        struct cairn_handle *operation = *link;

        if (!wants(operation, request, version) || !chunk_store(operation, chunk, values, elements)) {
            before = operation;
            link = &operation->next;
            continue;
        }
        *link = operation->next;
        if (table->reading.last == operation)
            table->reading.last = before;
        operation->is_answered = true;
        operation_check(operation);
    }
    chunk_applied(table, chunk, version);
}

const struct session_events events_of_session = {.values = on_values, .applied = on_applied};

/* ---- the sockets */

enum status events_watch_descriptor(struct cairn *connection, int descriptor, struct error *error)
{
    struct epoll_event event = {.events = EPOLLIN};

    if (epoll_ctl(connection->descriptor, EPOLL_CTL_ADD, descriptor, &event) != 0)
        return error_system(error, errno, "cannot watch a descriptor");
    return CAIRN_OK;
}

enum status events_watch(struct cairn *connection, void *socket, struct error *error)
{
    int descriptor;
    size_t size = sizeof(descriptor);

    if (zmq_getsockopt(socket, ZMQ_FD, &descriptor, &size) != 0)
        return error_set(error, CAIRN_IO, "cannot watch a socket: %s", zmq_strerror(zmq_errno()));
    return events_watch_descriptor(connection, descriptor, error);
}

enum status events_open(struct cairn *connection, struct error *error)
{
    size_t count;
    void *const *sockets = session_sockets(connection->session, &count);
    enum status status;

    connection->descriptor = epoll_create1(EPOLL_CLOEXEC);
    if (connection->descriptor < 0)
        return error_system(error, errno, "epoll_create1");
    status = events_watch_descriptor(connection, mailbox_descriptor(&connection->mailbox), error);
    for (size_t i = 0; i < count && status == CAIRN_OK; i++)
        status = events_watch(connection, sockets[i], error);
    return status;
}

void events_close(struct cairn *connection)
{
    if (connection->descriptor >= 0)
        close(connection->descriptor);
    connection->descriptor = -1;
}

/* ---- taking */

static struct cairn_handle *operation_of(struct mail *mail)
{
    return (struct cairn_handle *)(void *)((char *)mail - offsetof(struct cairn_handle, mail));
}

static void letters_take(struct cairn *connection)
{
    struct mail *mail;

    mailbox_acknowledge(&connection->mailbox);
    mail = mailbox_take(&connection->mailbox);
    while (mail) {
        struct mail *next = mail->next;

        operation_returned(operation_of(mail));
        mail = next;
    }
}

/* Not while attaching: a table that came meanwhile is attached to with all others, whose steps its own may be
 * ahead of. */
static bool is_learning(const struct cairn *connection)
{
    return connection->is_attached && (learning_is_due(connection) || connection->learning.requester);
}

/* Hears the servers until they are quiet, and sends what may go then. */
static void session_take(struct cairn *connection)
{
    struct error error = {.status = CAIRN_OK};

    do {
        if (session_poll(connection->session, &error) != CAIRN_OK)
            events_fail(connection, &error);
        if (connection->failed == CAIRN_OK && is_learning(connection) &&
            learning_poll(connection, &error) != CAIRN_OK)
            break; /* the connection has failed */
        for (uint32_t i = 0; i < connection->table_count && connection->failed == CAIRN_OK; i++) {
            if (operations_send_held(connection->tables[i], &error) != CAIRN_OK)
                break; /* the connection has failed */
        }
    } while (connection->failed == CAIRN_OK && !session_is_quiet(connection->session));
}

enum status events_take(struct cairn *connection, struct error *error)
{
    letters_take(connection);
    if (connection->failed == CAIRN_OK)
        session_take(connection);
    operations_check_steps(connection);
    if (connection->failed != CAIRN_OK)
        return error_set(error, connection->failed, "%s", connection->failure.message);
    return CAIRN_OK;
}

int64_t events_deadline(int timeout_ms)
{
    return timeout_ms < 0 ? EVENTS_FOREVER : clock_ms() + timeout_ms;
}

int events_left_ms(int64_t deadline_ms)
{
    int64_t left_ms = deadline_ms - clock_ms();

    if (deadline_ms == EVENTS_FOREVER)
        return -1;
    return left_ms < 0 ? 0 : (int)(left_ms < INT_MAX ? left_ms : INT_MAX);
}

enum status events_sleep(struct cairn *connection, int64_t deadline_ms, struct error *error)
{
    struct pollfd item = {connection->descriptor, POLLIN, 0};
    int left_ms = events_left_ms(deadline_ms);

    if (left_ms == 0)
        return error_set(error, CAIRN_TIMEOUT, "not within the time that was given");
    if (poll(&item, 1, left_ms) >= 0)
        return CAIRN_OK;
    if (errno == EINTR)
        return error_set(error, CAIRN_AGAIN, "a signal interrupted the wait");
    return error_system(error, errno, "poll");
}
