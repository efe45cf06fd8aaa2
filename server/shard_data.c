/* The data messages of clients: pushes, pulls, and the ways to say no. */
#include "shard.h"

#include "base/log.h"
#include "record.h"
#include "shard_state.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* One message while it is handled. */
struct request {
    struct shard *shard;
    struct client *client;
    const struct data_header *header;
    struct shard_job *job;
};

/* Answers with a refusal; returns false, so that checks can return it. */
static bool refuse(const struct request *request, enum data_refused reason, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static bool refuse(const struct request *request, enum data_refused reason, const char *format, ...)
{
    const struct data_header *header = request->header;
    struct reply_subject subject = {header->job, header->incarnation, header->table, header->step};
    char message[WIRE_MESSAGE_MAX];
    va_list args;

    va_start(args, format);
    vsnprintf(message, sizeof(message), format, args);
    va_end(args);
    log_debug("refused", "job=%" PRIu64 " table=%u step=%" PRIu64 " reason=\"%s\"", header->job,
              header->table, header->step, message);
    if (replies_refuse(request->shard->replies, &subject, request->client, reason, message) != CAIRN_OK)
        log_error("reply_lost", "job=%" PRIu64 " reason=\"out of memory\"", header->job);
    return false;
}

/* Answers with a chunk of a version. */
static void answer(const struct request *request, uint64_t version, uint32_t chunk, enum data_type type,
                   struct buffer *values)
{
    const struct data_header *header = request->header;
    struct reply_subject subject = {header->job, header->incarnation, header->table, version};

    if (replies_values(request->shard->replies, &subject, request->client, chunk, type, values) != CAIRN_OK)
        log_error("reply_lost", "job=%" PRIu64 " reason=\"out of memory\"", header->job);
}

/* Lets the client wait in a list. */
static void wait_for(const struct request *request, struct waiting_list *list, uint64_t version)
{
    enum status status = subscribe(request->shard->subscribers, list, request->client, version);

    if (status != CAIRN_OK)
        refuse(request, DATA_REFUSED_STALE, "this shard cannot keep more subscriptions: %s",
               status_text(status));
}

/* ---- checks that pushes and pulls share */

static bool check_job(struct request *request)
{
    const struct data_header *header = request->header;

    request->job = shard_find(request->shard, header->job);
    if (!request->job)
        return refuse(request, DATA_REFUSED_UNKNOWN, "job %" PRIu64 " is not live on this shard",
                      header->job);
    if (request->job->incarnation != header->incarnation)
        return refuse(request, DATA_REFUSED_STALE, "incarnation %" PRIu64 ", this shard is at %" PRIu64,
                      header->incarnation, request->job->incarnation);
    return true;
}

/* Whether a payload's chunk is on this shard, and of what type and size it is. */
static bool find_layout(const struct request *request, uint32_t chunk, enum data_type *type, uint64_t *bytes)
{
    uint32_t table = request->header->table;

    if (table == TABLE_WEIGHTS) {
        const struct dense_chunk *found = dense_find(request->job->weights, chunk);

        if (!found)
            return refuse(request, DATA_REFUSED_UNKNOWN, "chunk %u is not on this shard", chunk);
        *type = DATA_FLOAT32;
        *bytes = found->floats * sizeof(float);
        return true;
    }
    if (table >= TABLE_COUNT || !request->job->sums[table] || chunk != 0)
        return refuse(request, DATA_REFUSED_UNKNOWN, "chunk %u of table %u is not on this shard", chunk,
                      table);
    *type = DATA_FLOAT64;
    *bytes = request->job->sums[table]->elements * sizeof(double);
    return true;
}

static bool check_payload(const struct request *request, const struct data_payload *payload, bool carried)
{
    enum data_type type = DATA_FLOAT32;
    uint64_t bytes = 0;

    if (!find_layout(request, payload->chunk, &type, &bytes))
        return false;
    if (payload->type != type || (carried && payload->length_bytes != bytes))
        return refuse(request, DATA_REFUSED_MALFORMED,
                      "chunk %u of table %u has %" PRIu64 " bytes of %s, the message another number or type",
                      payload->chunk, request->header->table, bytes,
                      type == DATA_FLOAT32 ? "float32" : "float64");
    return true;
}

/* Whether version `version` of a chunk is there, or is the next; else refuses. */
static bool check_version(const struct request *request, uint32_t chunk, uint64_t version)
{
    uint32_t table = request->header->table;
    uint64_t newest;
    bool kept, waits;

    if (table == TABLE_WEIGHTS) {
        const struct dense_chunk *found = dense_find(request->job->weights, chunk);

        newest = found->version;
        kept = dense_version(found, version) != NULL;
        waits = version == newest + 1;
    } else {
        const struct sum_table *sums = request->job->sums[table];

        newest = sums->step;
        kept = sum_version(sums, version) != NULL;
        waits = version == newest + 1 || (version > newest && sums->may_skip);
    }
    if (kept || waits)
        return true;
    if (version <= newest)
        return refuse(request, DATA_REFUSED_STALE,
                      "version %" PRIu64 " of chunk %u is not kept, the newest is %" PRIu64, version, chunk,
                      newest);
    return refuse(request, DATA_REFUSED_MALFORMED,
                  "version %" PRIu64 " of chunk %u is too far ahead of %" PRIu64, version, chunk, newest);
}

/* ---- push */

/* The step that a chunk takes pushes for now, and whether it takes those of `step` as well. */
static bool takes_step(const struct request *request, uint32_t chunk, uint64_t step, uint64_t *now)
{
    uint32_t table = request->header->table;

    if (table == TABLE_WEIGHTS) {
        *now = dense_find(request->job->weights, chunk)->version;
        return step == *now;
    }
    *now = request->job->sums[table]->step;
    return sum_table_takes(request->job->sums[table], step);
}

static bool check_push(const struct request *request)
{
    const struct data_header *header = request->header;
    const struct job *job = request->job->assignment->job;

    if (!tree_has_node(job->microbatches, header->node))
        return refuse(request, DATA_REFUSED_MALFORMED, "[%u, %u) is no node of the tree over %u microbatches",
                      header->node.begin, header->node.end, job->microbatches);
    if (header->table == TABLE_WEIGHTS && header->samples > job->batch_size)
        return refuse(request, DATA_REFUSED_MALFORMED, "%" PRIu64 " samples in a batch of %u",
                      header->samples, job->batch_size);
    for (uint32_t i = 0; i < header->payload_count; i++) {
        const struct data_payload *payload = &header->payloads[i];
        uint64_t now;

        if (!check_payload(request, payload, true))
            return false;
        if (!takes_step(request, payload->chunk, header->step, &now) && header->step > now)
            return refuse(request, DATA_REFUSED_MALFORMED,
                          "a push for step %" PRIu64 " of chunk %u, which is at step %" PRIu64, header->step,
                          payload->chunk, now);
        if (header->subscribe && !check_version(request, payload->chunk, header->step + 1))
            return false;
    }
    return true;
}

static void push_weights(const struct request *request, uint32_t number, struct buffer *gradients)
{
    const struct data_header *header = request->header;
    struct dense_chunk *chunk = dense_find(request->job->weights, number);

    if (header->step < chunk->version) {
        buffer_unref(gradients);
        if (header->subscribe && dense_version(chunk, header->step + 1))
            answer(request, header->step + 1, number, DATA_FLOAT32, dense_version(chunk, header->step + 1));
        return;
    }
    if (header->subscribe)
        wait_for(request, &chunk->waiting, header->step + 1);
    if (dense_push(chunk, header->node, gradients, header->samples))
        shard_advance(request->shard, request->job, chunk);
}

/* Answers those who wait for the newest version of a sum table; older waits are over. */
static void sums_answer(const struct request *request, struct sum_table *sums)
{
    uint32_t table = request->header->table;
    struct shard *shard = request->shard;
    struct client *client;
    uint64_t version;

    while (
        (client = subscriber_take(shard->subscribers, &sums->waiting, sum_table_version(sums), &version))) {
        struct reply_subject subject = shard_subject(request->job, table, version);
        struct buffer *values = sum_version(sums, version);
        enum status status = values
                                 ? replies_values(shard->replies, &subject, client, 0, DATA_FLOAT64, values)
                                 : replies_refuse(shard->replies, &subject, client, DATA_REFUSED_STALE,
                                                  "the step was skipped");

        if (status != CAIRN_OK)
            log_error("reply_lost", "job=%" PRIu64 " reason=\"out of memory\"", subject.job);
        client_release(shard->subscribers, client);
    }
}

static void push_sums(const struct request *request, struct buffer *values)
{
    const struct data_header *header = request->header;
    struct sum_table *sums = request->job->sums[header->table];

    if (!sum_table_takes(sums, header->step)) {
        buffer_unref(values);
        if (header->subscribe && sum_version(sums, header->step + 1))
            answer(request, header->step + 1, 0, DATA_FLOAT64, sum_version(sums, header->step + 1));
        return;
    }
    if (header->subscribe)
        wait_for(request, &sums->waiting, header->step + 1);
    if (sum_push(sums, header->step, header->node, values))
        sums_answer(request, sums);
}

static void handle_push(struct request *request, struct buffer *const payloads[])
{
    const struct data_header *header = request->header;
    bool good = check_job(request) && check_push(request);

    for (uint32_t i = 0; i < header->payload_count; i++) {
        if (!good)
            buffer_unref(payloads[i]);
        else if (header->table == TABLE_WEIGHTS)
            push_weights(request, header->payloads[i].chunk, payloads[i]);
        else
            push_sums(request, payloads[i]);
    }
}

/* ---- pull */

static bool check_pull(const struct request *request)
{
    const struct data_header *header = request->header;

    for (uint32_t i = 0; i < header->payload_count; i++) {
        if (!check_payload(request, &header->payloads[i], false) ||
            !check_version(request, header->payloads[i].chunk, header->step))
            return false;
    }
    return true;
}

static void pull_weights(const struct request *request, uint32_t number)
{
    struct dense_chunk *chunk = dense_find(request->job->weights, number);
    struct buffer *values = dense_version(chunk, request->header->step);

    if (values)
        answer(request, request->header->step, number, DATA_FLOAT32, values);
    else
        wait_for(request, &chunk->waiting, request->header->step);
}

static void pull_sums(const struct request *request)
{
    struct sum_table *sums = request->job->sums[request->header->table];
    struct buffer *values = sum_version(sums, request->header->step);

    if (values)
        answer(request, request->header->step, 0, DATA_FLOAT64, values);
    else
        wait_for(request, &sums->waiting, request->header->step);
}

static void handle_pull(struct request *request)
{
    const struct data_header *header = request->header;

    if (!check_job(request) || !check_pull(request))
        return;
    for (uint32_t i = 0; i < header->payload_count; i++) {
        if (header->table == TABLE_WEIGHTS)
            pull_weights(request, header->payloads[i].chunk);
        else
            pull_sums(request);
    }
}

/* ---- committed pull: from disk, copied out of the map, since a send may outlive the transaction */

static bool refuse_record(const struct request *request, enum status status, const struct error *error)
{
    if (status == CAIRN_NOT_FOUND)
        return refuse(request, DATA_REFUSED_STALE, "%s", error->message);
    log_error("record_bad", "job=%" PRIu64 " shard=%u reason=\"%s\"", request->header->job,
              request->shard->owner.shard, error->message);
    return refuse(request, DATA_REFUSED_UNKNOWN, "%s", error->message);
}

static bool committed_answer(const struct request *request, struct store_transaction *transaction,
                             uint32_t chunk)
{
    struct record record;
    struct error error;
    struct buffer *values;
    enum status status =
        record_find(transaction, TABLE_WEIGHTS, chunk, request->header->step, &record, &error);

    if (status != CAIRN_OK)
        return refuse_record(request, status, &error);
    values = buffer_new(record.array_bytes);
    if (!values)
        return refuse(request, DATA_REFUSED_UNKNOWN, "this shard is out of memory");
    memcpy(values->data, record.values[0], record.array_bytes);
    answer(request, request->header->step, chunk, DATA_FLOAT32, values);
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

    if (header->table != TABLE_WEIGHTS) {
        refuse(request, DATA_REFUSED_UNKNOWN, "table %u is not made durable", header->table);
        return;
    }
    status = shard_store(request->shard, header->job, &store, &error);
    if (status == CAIRN_OK)
        status = store_begin_read(store, &transaction, &error);
    if (status != CAIRN_OK) {
        refuse(request, DATA_REFUSED_UNKNOWN, "job %" PRIu64 ": %s", header->job, error.message);
        return;
    }
    for (uint32_t i = 0; i < header->payload_count; i++) {
        if (!committed_answer(request, transaction, header->payloads[i].chunk))
            break;
    }
    store_abort(transaction);
}

/* ---- entry points */

static void payloads_drop(const struct data_header *header, struct buffer *const payloads[])
{
    for (uint32_t i = 0; header->kind == DATA_PUSH && i < header->payload_count; i++)
        buffer_unref(payloads[i]);
}

void shard_handle(struct shard *shard, const void *client, size_t client_bytes,
                  const struct data_header *header, struct buffer *const payloads[])
{
    struct request request = {shard, client_get(shard->subscribers, client, client_bytes), header, NULL};

    if (!request.client) {
        log_error("message_lost", "job=%" PRIu64 " reason=\"too many clients\"", header->job);
        payloads_drop(header, payloads);
        return;
    }
    if (header->kind == DATA_PUSH)
        handle_push(&request, payloads);
    else if (header->kind == DATA_PULL && header->committed)
        handle_committed_pull(&request);
    else if (header->kind == DATA_PULL)
        handle_pull(&request);
    else
        refuse(&request, DATA_REFUSED_MALFORMED, "a shard takes pushes and pulls only");
    client_release(shard->subscribers, request.client);
    shard_flush(shard);
}

void shard_refuse(struct shard *shard, const void *client, size_t client_bytes, const char *message)
{
    struct data_header nothing = {.kind = DATA_REFUSED};
    struct request request = {shard, client_get(shard->subscribers, client, client_bytes), &nothing, NULL};

    if (!request.client)
        return;
    refuse(&request, DATA_REFUSED_MALFORMED, "%s", message);
    client_release(shard->subscribers, request.client);
    shard_flush(shard);
}
