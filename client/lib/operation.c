/* Operations: sending them, holding them back, and when they are done.
 *
 * A push for step s goes once all tables that have begun have version s everywhere. Its own must, or a shard
 * would refuse it; and the others, so that no table is more than a version ahead of another, whatever the
 * program waits for: who is lost attaches at the oldest table's step, and shards keep two versions. It cannot
 * wait in vain, since a program pushes its part of step s - 1 to every table before it comes to step s. A
 * pull of version s goes once its table has version s - 1, since a shard lets the next version be waited for.
 * Operations of a table are sent in the order of their calls. */
#include "cairn_state.h"

#include <stdlib.h>
#include <string.h>

/* ---- life */

struct cairn_handle *operation_new(struct cairn *connection, enum operation_kind kind)
{
    struct cairn_handle *operation = connection->free_operations;

    if (operation) {
        connection->free_operations = operation->next;
    } else {
        operation = calloc(1, sizeof(*operation));
        if (!operation)
            return NULL;
        operation->next_made = connection->made_operations;
        connection->made_operations = operation;
    }
    operation->connection = connection;
    operation->table = NULL;
    operation->kind = kind;
    operation->samples = 0;
    operation->gradients = operation->values = NULL;
    operation->keys = NULL;
    operation->count = operation->chunks_left = 0;
    operation->acknowledge = operation->is_answered = operation->has_memory = false;
    operation->is_wanted = operation->is_done = false;
    operation->next = NULL;
    atomic_init(&operation->lent, 0);
    return operation;
}

void operation_drop(struct cairn_handle *operation)
{
    struct cairn *connection = operation->connection;

    operation->next = connection->free_operations;
    connection->free_operations = operation;
}

void operations_fini(struct cairn *connection)
{
    struct cairn_handle *operation = connection->made_operations;

    while (operation) {
        struct cairn_handle *next = operation->next_made;

        free(operation->missing);
        free(operation);
        operation = next;
    }
}

void operation_check(struct cairn_handle *operation)
{
    if (!operation->is_answered || operation->has_memory)
        return;
    operation->is_done = true;
    if (!operation->is_wanted)
        operation_drop(operation);
}

static void list_append(struct operation_list *list, struct cairn_handle *operation)
{
    operation->next = NULL;
    if (list->last)
        list->last->next = operation;
    else
        list->first = operation;
    list->last = operation;
}

static struct cairn_handle *list_shift(struct operation_list *list)
{
    struct cairn_handle *operation = list->first;

    list->first = operation->next;
    if (!list->first)
        list->last = NULL;
    return operation;
}

/* ---- memory on loan */

/* The last reference to one of the buffers is gone; runs on any thread. */
static void buffer_returned(struct buffer *buffer)
{
    struct cairn_handle *operation = buffer->owner;

    if (atomic_fetch_sub_explicit(&operation->lent, 1, memory_order_acq_rel) == 1)
        mailbox_post(&operation->connection->mailbox, &operation->mail);
}

static struct buffer *lend(struct cairn_handle *operation, struct buffer *buffer, const void *data,
                           size_t length_bytes)
{
    if (!data || length_bytes == 0)
        return NULL;
    atomic_fetch_add_explicit(&operation->lent, 1, memory_order_relaxed);
    buffer_wrap(buffer, (void *)data, length_bytes, buffer_returned, operation);
    return buffer;
}

static void lent_insert(struct cairn_handle *operation)
{
    struct cairn *connection = operation->connection;

    operation->has_memory = true;
    operation->lent_before = connection->lent_last;
    operation->lent_after = NULL;
    if (connection->lent_last)
        connection->lent_last->lent_after = operation;
    else
        connection->lent_first = operation;
    connection->lent_last = operation;
}

static void lent_remove(struct cairn_handle *operation)
{
    struct cairn *connection = operation->connection;

    operation->has_memory = false;
    if (operation->lent_before)
        operation->lent_before->lent_after = operation->lent_after;
    else
        connection->lent_first = operation->lent_after;
    if (operation->lent_after)
        operation->lent_after->lent_before = operation->lent_before;
    else
        connection->lent_last = operation->lent_before;
}

void operation_returned(struct cairn_handle *operation)
{
    lent_remove(operation);
    operation_check(operation);
}

/* ---- sending */

static bool reads_chunks(const struct cairn_handle *operation)
{
    return operation->values && operation->table->spec.kind == TABLE_KIND_DENSE;
}

/* Makes a note that all chunks are to come. */
static enum status expect_chunks(struct cairn_handle *operation)
{
    uint32_t chunks = operation->table->chunk_count, words = (chunks + 63) / 64;

    if (words > operation->missing_words) {
        uint64_t *missing = realloc(operation->missing, words * sizeof(*missing));

        if (!missing)
            return CAIRN_NO_MEMORY;
        operation->missing = missing;
        operation->missing_words = words;
    }
    memset(operation->missing, 0xff, words * sizeof(operation->missing[0]));
    operation->chunks_left = chunks;
    return CAIRN_OK;
}

static enum status push_dense(struct cairn_handle *operation, struct buffer *gradients, struct error *error)
{
    const struct session_push push = {.table = operation->table->number,
                                      .step = operation->step,
                                      .node = operation->node,
                                      .samples = operation->samples,
                                      .chunk_count = operation->table->chunk_count,
                                      .buffer = gradients,
                                      .subscribe = operation->values != NULL,
                                      .acknowledge = operation->acknowledge};

    return session_push(operation->connection->session, &push, error);
}

static void rows_done(struct session_operation *rows)
{
    struct cairn_handle *operation = rows->context;

    operation->is_answered = true;
    if (operation->kind == OPERATION_PUSH)
        table_applied(operation->table, operation->step + 1);
    operation_check(operation);
}

static void applied_done(struct session_operation *applied)
{
    struct cairn_table *table = applied->context;

    table_applied(table, table->known + 1);
}

static enum status push_sparse(struct cairn_handle *operation, struct buffer *keys, struct buffer *gradients,
                               struct error *error)
{
    struct cairn_table *table = operation->table;
    struct session_rows_push push = {.table = table->number,
                                     .step = operation->step,
                                     .node = operation->node,
                                     .samples = operation->samples,
                                     .count = operation->count,
                                     .keys = keys,
                                     .gradients = gradients,
                                     .values = operation->values};

    if (operation->values) {
        operation->rows = (struct session_operation){.done = rows_done, .context = operation};
        push.operation = &operation->rows;
    } else if (operation->acknowledge) {
        table->applied = (struct session_operation){.done = applied_done, .context = table};
        push.operation = &table->applied;
    }
    return session_push_rows(operation->connection->session, &push, error);
}

static enum status pull_dense(struct cairn_handle *operation, struct error *error)
{
    struct session_pull pull = {.table = operation->table->number,
                                .version = operation->step,
                                .chunk_count = operation->table->chunk_count};

    if (operation->step == SESSION_NEWEST)
        pull.request = operation->request = ++operation->connection->newest_pulls;
    return session_pull(operation->connection->session, &pull, error);
}

static enum status pull_sparse(struct cairn_handle *operation, struct buffer *keys, struct error *error)
{
    operation->rows = (struct session_operation){.done = rows_done, .context = operation};
    return session_pull_rows(operation->connection->session, operation->table->number, operation->step, keys,
                             operation->count, operation->values, &operation->rows, error);
}

static enum status hand_over(struct cairn_handle *operation, struct buffer *keys, struct buffer *gradients,
                             struct error *error)
{
    bool is_dense = operation->table->spec.kind == TABLE_KIND_DENSE;

    if (operation->kind == OPERATION_PUSH)
        return is_dense ? push_dense(operation, gradients, error)
                        : push_sparse(operation, keys, gradients, error);
    return is_dense ? pull_dense(operation, error) : pull_sparse(operation, keys, error);
}

static size_t gradient_bytes(const struct cairn_handle *operation)
{
    const struct table_spec *spec = &operation->table->spec;

    return sizeof(float) *
           (spec->kind == TABLE_KIND_DENSE ? spec->size : (size_t)operation->count * spec->dimension);
}

static enum status operation_send(struct cairn_handle *operation, struct error *error)
{
    struct buffer *gradients, *keys;
    enum status status;

    if (reads_chunks(operation) && expect_chunks(operation) != CAIRN_OK)
        return error_set(error, CAIRN_NO_MEMORY, "out of memory");
    gradients = lend(operation, &operation->gradient_buffer, operation->gradients, gradient_bytes(operation));
    keys = lend(operation, &operation->key_buffer, operation->keys, operation->count * sizeof(uint64_t));
    if (gradients || keys)
        lent_insert(operation);
    operation->is_answered = operation->values == NULL;
    if (reads_chunks(operation))
        list_append(&operation->table->reading, operation);
    status = hand_over(operation, keys, gradients, error);
    buffer_unref(gradients);
    buffer_unref(keys);
    return status;
}

/* Whether all tables have come to a step, or begin after it. One that the program is yet to learn of may have
 * begun before. */
static bool all_have(const struct cairn *connection, uint64_t step)
{
    if (learning_is_due(connection))
        return false;
    for (uint32_t i = 0; i < connection->table_count; i++) {
        const struct cairn_table *table = connection->tables[i];

        if (table->known < step && table->spec.first_version <= step)
            return false;
    }
    return true;
}

static bool may_go(const struct cairn_handle *operation)
{
    if (operation->step == SESSION_NEWEST)
        return true;
    return operation->kind == OPERATION_PUSH ? all_have(operation->connection, operation->step)
                                             : operation->step <= operation->table->known + 1;
}

/* What is sent has failed: with it the connection, as parts of it may be on their way. */
static enum status send_or_fail(struct cairn_handle *operation, struct error *error)
{
    struct error inner = {.status = CAIRN_OK};
    enum status status = operation_send(operation, &inner);

    if (status != CAIRN_OK) {
        if (error)
            *error = inner;
        return events_fail(operation->connection, &inner);
    }
    operation_check(operation);
    return CAIRN_OK;
}

enum status operation_begin(struct cairn_handle *operation, struct error *error)
{
    enum status status = CAIRN_OK;

    if (!may_go(operation) || operation->table->held.first)
        status = events_take(operation->connection, error);
    if (status != CAIRN_OK)
        return status;
    if (may_go(operation) && !operation->table->held.first)
        return send_or_fail(operation, error);
    list_append(&operation->table->held, operation);
    return CAIRN_OK;
}

void operation_hold(struct cairn_handle *operation)
{
    list_append(&operation->table->held, operation);
}

enum status operations_send_held(struct cairn_table *table, struct error *error)
{
    enum status status = CAIRN_OK;

    while (status == CAIRN_OK && table->held.first && may_go(table->held.first))
        status = send_or_fail(list_shift(&table->held), error);
    return status;
}

/* ---- steps */

static bool step_is_complete(const struct cairn *connection, uint64_t step)
{
    if (learning_is_due(connection)) /* a table that has begun may wait for this program's part */
        return false;
    for (uint32_t i = 0; i < connection->table_count; i++) {
        if (connection->tables[i]->known <= step)
            return false;
    }
    for (const struct cairn_handle *lent = connection->lent_first; lent; lent = lent->lent_after) {
        if (lent->kind == OPERATION_PUSH && lent->step <= step)
            return false;
    }
    return true;
}

void operations_check_steps(struct cairn *connection)
{
    while (connection->steps.first && step_is_complete(connection, connection->steps.first->step)) {
        struct cairn_handle *operation = list_shift(&connection->steps);

        operation->is_answered = true;
        operation_check(operation);
    }
}

void operations_add_step(struct cairn *connection, struct cairn_handle *operation)
{
    list_append(&connection->steps, operation);
}
