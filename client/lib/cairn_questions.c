/* libcairn's questions about tables: what they hold, and which rows have changed. */
#include "cairn_state.h"

#include <string.h>

/* Takes what has come, after a sleep when there was nothing. */
static enum status take_more(struct cairn *connection, int64_t deadline_ms, struct error *error)
{
    enum status status = events_sleep(connection, deadline_ms, error);

    return status == CAIRN_OK ? events_take(connection, error) : status;
}

enum cairn_status cairn_statistics(cairn_table *table, struct cairn_statistics *out, int timeout_ms)
{
    struct cairn *connection = table->connection;
    struct session_statistics statistics = {.done = NULL};
    const uint64_t *numbers = statistics.numbers;
    int64_t deadline_ms = events_deadline(timeout_ms);
    struct error *error = &connection->error;
    enum status status = events_check(connection, error);

    if (status != CAIRN_OK)
        return public_status(status);
    status = session_ask_statistics(connection->session, table->number, &statistics, error);
    if (status == CAIRN_OK)
        status = events_take(connection, error);
    while (status == CAIRN_OK && statistics.shards_left > 0)
        status = take_more(connection, deadline_ms, error);
    if (connection->session)
        session_forget(connection->session, &statistics);
    if (status != CAIRN_OK)
        return public_status(status);
    *out = (struct cairn_statistics){.version = statistics.version,
                                     .rows = numbers[STATISTIC_ROWS],
                                     .resident_rows = numbers[STATISTIC_RESIDENT_ROWS],
                                     .candidates = numbers[STATISTIC_CANDIDATES],
                                     .hits = numbers[STATISTIC_HITS],
                                     .misses = numbers[STATISTIC_MISSES],
                                     .evictions = numbers[STATISTIC_EVICTIONS],
                                     .memory_bytes = numbers[STATISTIC_MEMORY_BYTES],
                                     .swap_bytes = numbers[STATISTIC_SWAP_BYTES]};
    return CAIRN_STATUS_OK;
}

/* ---- export */

struct export
{
    struct session_export session;
    cairn_visit visit;
    void *context;
    bool is_ended; /* by visit */
};

static void slice_came(struct session_export *session, const struct session_slice *slice)
{
    struct export *export = session->context;
    const struct cairn_rows rows = {slice->count, slice->keys, slice->steps, slice->rows};

    if (!export->is_ended)
        export->is_ended = export->visit(export->context, &rows) != 0;
}

enum cairn_status cairn_export(cairn_table *table, uint64_t since, cairn_visit visit, void *context,
                               uint64_t *next, int timeout_ms)
{
    struct cairn *connection = table->connection;
    struct export export = {
        .session = {.slice = slice_came, .since = since}, .visit = visit, .context = context};
    struct error *error = &connection->error;
    enum status status = events_check(connection, error);

    if (status == CAIRN_OK && table->spec.kind == TABLE_KIND_DENSE)
        status = error_set(error, CAIRN_INVALID, "table %s is dense: it is pulled, not exported",
                           table->spec.name);
    if (status != CAIRN_OK)
        return public_status(status);
    export.session.context = &export;
    status = session_export_rows(connection->session, table->number, &export.session, error);
    if (status == CAIRN_OK)
        status = events_take(connection, error);
    while (status == CAIRN_OK && export.session.shards_left > 0 && !export.is_ended)
        status = take_more(connection, events_deadline(timeout_ms), error);
    if (connection->session)
        session_forget(connection->session, &export.session);
    if (status == CAIRN_OK && export.is_ended)
        status = error_set(error, CAIRN_CLOSED, "the export of table %s was ended by its caller",
                           table->spec.name);
    if (status == CAIRN_OK && next)
        *next = export.session.first_version;
    return public_status(status);
}
