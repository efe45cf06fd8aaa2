/* The data messages of clients: whose they are, committed pulls, and the ways to say no. What tables make of
 * them is in shard_arrays.c (dense tables and sums) and shard_rows.c (sparse tables). */
#include "shard.h"

#include "base/log.h"
#include "record.h"
#include "shard_state.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct reply_subject request_subject(const struct request *request, uint64_t version)
{
    const struct data_header *header = request->header;

    return (struct reply_subject){header->job, header->incarnation, header->table, version, header->request};
}

bool request_refuse(const struct request *request, enum data_refused reason, const char *format, ...)
{
    const struct data_header *header = request->header;
    struct reply_subject subject = request_subject(request, header->step);
    char message[WIRE_MESSAGE_MAX];
    va_list args;

    va_start(args, format);
    vsnprintf(message, sizeof(message), format, args);
    va_end(args);
    log_debug("refused", "job=%" PRIu64 " table=%u step=%" PRIu64 " reason=\"%s\"", header->job,
              header->table, header->step, message);
    shard_reply_check(&subject,
                      replies_refuse(request->shard->replies, &subject, request->client, reason, message));
    return false;
}

void request_drop(const struct data_header *header, struct buffer *const payloads[])
{
    for (uint32_t i = 0; i < header->payload_count; i++)
        buffer_unref(payloads[i]);
}

void request_wait(const struct request *request, struct waiting_list *list, uint64_t version,
                  enum answer answer, struct buffer *keys)
{
    struct wait wait = {request->client, version, request->header->request, answer, keys, 0};
    enum status status = subscribe(request->shard->subscribers, list, &wait);

    if (status != CAIRN_OK)
        request_refuse(request, DATA_REFUSED_LOST, "this shard cannot keep more subscriptions: %s",
                       status_text(status));
}

static bool check_job(struct request *request)
{
    const struct data_header *header = request->header;

    request->job = shard_find(request->shard, header->job);
    if (!request->job)
        return request_refuse(request, DATA_REFUSED_UNKNOWN, "job %" PRIu64 " is not live on this shard",
                              header->job);
    if (request->job->incarnation != header->incarnation)
        return request_refuse(request, DATA_REFUSED_STALE,
                              "incarnation %" PRIu64 ", this shard is at %" PRIu64, header->incarnation,
                              request->job->incarnation);
    request->table = tables_find(request->job->tables, header->table);
    if (!request->table)
        return request_refuse(request, DATA_REFUSED_UNKNOWN, "nothing of table %u is on this shard",
                              header->table);
    if (header->kind == DATA_PUSH &&
        !tree_has_node(request->job->assignment->job->microbatches, header->node))
        return request_refuse(request, DATA_REFUSED_MALFORMED,
                              "[%u, %u) is no node of the tree over %u microbatches", header->node.begin,
                              header->node.end, request->job->assignment->job->microbatches);
    return true;
}

/* ---- committed pull: from disk, copied out of the map, since a send may outlive the transaction */

static bool refuse_record(const struct request *request, enum status status, const struct error *error)
{
    if (status == CAIRN_NOT_FOUND)
        return request_refuse(request, DATA_REFUSED_PASSED, "%s", error->message);
    log_error("record_bad", "job=%" PRIu64 " shard=%u reason=\"%s\"", request->header->job,
              request->shard->owner.shard, error->message);
    return request_refuse(request, DATA_REFUSED_UNKNOWN, "%s", error->message);
}

static bool committed_answer(const struct request *request, struct store_transaction *transaction,
                             uint32_t chunk)
{
    struct reply_subject subject = request_subject(request, request->header->step);
    struct record record;
    struct error error;
    struct buffer *values;
    enum status status =
        record_find(transaction, request->header->table, chunk, request->header->step, &record, &error);

    if (status != CAIRN_OK)
        return refuse_record(request, status, &error);
    values = buffer_new(record.array_bytes);
    if (!values)
        return request_refuse(request, DATA_REFUSED_UNKNOWN, "this shard is out of memory");
    memcpy(values->data, record.values[0], record.array_bytes);
    shard_reply_check(&subject, replies_values(request->shard->replies, &subject, request->client, chunk,
                                               DATA_FLOAT32, values));
    buffer_unref(values);
    return true;
}

static void handle_committed_pull(const struct request *request)
{
    const struct data_header *header = request->header;
    struct store_transaction *transaction;
    struct store *store;
    struct error error;
    enum status status;

    if (header->table == TABLE_METRICS || header->table == TABLE_VALIDATION) {
        request_refuse(request, DATA_REFUSED_UNKNOWN, "table %u is not made durable", header->table);
        return;
    }
    status = shard_store(request->shard, header->job, &store, &error);
    if (status == CAIRN_OK)
        status = store_begin_read(store, &transaction, &error);
    if (status != CAIRN_OK) {
        request_refuse(request, DATA_REFUSED_UNKNOWN, "job %" PRIu64 ": %s", header->job, error.message);
        return;
    }
    for (uint32_t i = 0; i < header->payload_count; i++) {
        if (!committed_answer(request, transaction, header->payloads[i].chunk))
            break;
    }
    store_abort(transaction);
}

/* ---- entry points */

static void handle_question(struct request *request, struct buffer *const payloads[])
{
    if (!check_job(request))
        return;
    if (request->header->kind == DATA_STATISTICS)
        request_statistics(request);
    else if (request->header->kind == DATA_MISSING)
        request_missing(request);
    else
        request_export(request, payloads);
}

/* Takes the payloads. */
static void handle(struct request *request, struct buffer *const payloads[])
{
    const struct data_header *header = request->header;
    bool is_push = header->kind == DATA_PUSH;

    if (header->kind == DATA_STATISTICS || header->kind == DATA_EXPORT || header->kind == DATA_MISSING)
        handle_question(request, payloads);
    else if (!is_push && header->kind != DATA_PULL)
        request_refuse(request, DATA_REFUSED_MALFORMED, "a shard takes pushes, pulls and questions only");
    else if (!is_push && header->committed)
        handle_committed_pull(request);
    else if (check_job(request)) {
        if (request->table->sparse && is_push)
            request_push_rows(request, payloads);
        else if (request->table->sparse)
            request_pull_rows(request, payloads);
        else if (is_push)
            request_push_arrays(request, payloads);
        else
            request_pull_arrays(request, payloads);
        return;
    }
    request_drop(header, payloads);
}

static void handle_client(struct shard *shard, const void *client, size_t client_bytes,
                          const struct data_header *header, struct buffer *const payloads[])
{
    struct request request = {shard, client_get(shard->subscribers, client, client_bytes), header, NULL,
                              NULL};

    if (!request.client) {
        log_error("message_lost", "job=%" PRIu64 " reason=\"too many clients\"", header->job);
        request_drop(header, payloads);
        return;
    }
    handle(&request, payloads);
    client_release(shard->subscribers, request.client);
}

void shard_handle(struct shard *shard, const void *client, size_t client_bytes,
                  const struct data_header *header, struct buffer *const payloads[])
{
    if (header->kind == DATA_UPDATE || header->kind == DATA_SNAPSHOT || header->kind == DATA_TAKEN ||
        header->kind == DATA_ASK) {
        shard_take_chain(shard, header, payloads);
    } else if (header->kind != DATA_PART) {
        handle_client(shard, client, client_bytes, header, payloads);
    } else {
        shard_take_part(shard, header, header->payload_count > 0 ? payloads[0] : NULL);
        request_drop(header, payloads);
    }
    shard_flush(shard);
}

void shard_refuse(struct shard *shard, const void *client, size_t client_bytes, const char *message)
{
    struct data_header nothing = {.kind = DATA_REFUSED};
    struct request request = {shard, client_get(shard->subscribers, client, client_bytes), &nothing, NULL,
                              NULL};

    if (!request.client)
        return;
    request_refuse(&request, DATA_REFUSED_MALFORMED, "%s", message);
    client_release(shard->subscribers, request.client);
    shard_flush(shard);
}

/* ---- what clients have not read */

bool shard_keeps(struct shard *shard, const struct reply_subject *subject, uint32_t chunk)
{
    const struct shard_job *job = shard_find(shard, subject->job);
    const struct table *table = job ? tables_find(job->tables, subject->table) : NULL;
    const struct dense_chunk *found;

    if (!table || job->incarnation != subject->incarnation)
        return false;
    if (table->sums)
        return sum_version(table->sums, subject->version) != NULL;
    found = table->dense ? dense_find(table->dense, chunk) : NULL;
    return found && dense_version(found, subject->version) != NULL;
}

void shard_tell_loss(struct shard *shard, const void *client, size_t client_bytes,
                     const struct reply_subject *lost)
{
    const struct data_header about = {.kind = DATA_REFUSED,
                                      .job = lost->job,
                                      .incarnation = lost->incarnation,
                                      .table = lost->table,
                                      .step = lost->version,
                                      .request = lost->request};
    struct request request = {
        .shard = shard, .client = client_get(shard->subscribers, client, client_bytes), .header = &about};

    if (!request.client)
        return;
    request_refuse(&request, DATA_REFUSED_LOST, "answers were dropped because they were not read: ask again");
    client_release(shard->subscribers, request.client);
    shard_flush(shard);
}
