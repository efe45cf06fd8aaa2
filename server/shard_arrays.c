/* The data messages of clients for dense tables and sums: arrays by chunk, as they are or in a table's codec.
 */
#include "shard.h"

#include "shard_state.h"

#include <inttypes.h>

/* ---- answers */

/* Answers with a version of sums; values NULL: with its existence. */
static void answer_sums(const struct request *request, uint64_t version, struct buffer *values)
{
    struct reply_subject subject = request_subject(request, version);

    shard_reply_check(&subject, replies_values(request->shard->replies, &subject, request->client, 0,
                                               DATA_FLOAT64, values));
}

/* In which type a dense table's values travel. */
static enum data_type value_type(const struct dense_table *dense)
{
    return dense->coded_pool ? DATA_CODED : DATA_FLOAT32;
}

/* In which type the gradients of a step do. */
static enum data_type gradient_type(const struct dense_table *dense, uint64_t step)
{
    return dense->params.codec && !codec_sends_all(dense->params.codec, step) ? DATA_CODED : DATA_FLOAT32;
}

void shard_answer_chunk(struct shard *shard, const struct reply_subject *subject, struct client *client,
                        struct dense_chunk *chunk, enum answer answer)
{
    enum data_type type = answer == ANSWER_EXACT ? DATA_FLOAT32 : value_type(chunk->table);
    struct buffer *buffer = answer != ANSWER_EXISTENCE ? dense_version(chunk, subject->version) : NULL;
    enum status status = CAIRN_OK;

    if (buffer && type == DATA_CODED)
        status = dense_version_coded(chunk, subject->version, &buffer, NULL);
    if (status == CAIRN_OK)
        status = replies_values(shard->replies, subject, client, chunk->number, type, buffer);
    shard_reply_check(subject, status);
}

/* The same to the one who asks. */
static void answer_chunk(const struct request *request, uint64_t version, struct dense_chunk *chunk,
                         enum answer answer)
{
    struct reply_subject subject = request_subject(request, version);

    shard_answer_chunk(request->shard, &subject, request->client, chunk, answer);
}

/* ---- checks that pushes and pulls share */

/* Whether this shard answers for a payload's chunk, and of what type and size it is, coded: at most. */
static bool find_layout(const struct request *request, uint32_t chunk, enum data_type *type, uint64_t *bytes)
{
    const struct dense_chunk *found;

    if (request->table->sums) {
        *type = DATA_FLOAT64;
        *bytes = request->table->sums->elements * sizeof(double);
        return (chunk == 0 && chain_serves(&request->table->sums->link)) ||
               request_refuse(request, DATA_REFUSED_UNKNOWN, "chunk %u of table %u is not on this shard",
                              chunk, request->header->table);
    }
    found = dense_find(request->table->dense, chunk);
    if (!found || !chain_serves(&found->link))
        return request_refuse(request, DATA_REFUSED_UNKNOWN, "chunk %u of table %u is not on this shard",
                              chunk, request->header->table);
    *type = request->header->kind == DATA_PUSH ? gradient_type(found->table, request->header->step)
                                               : value_type(found->table);
    *bytes = *type == DATA_CODED ? codec_size_max(found->table->params.codec, found->floats)
                                 : found->floats * sizeof(float);
    return true;
}

static const char *type_name(enum data_type type)
{
    return type == DATA_FLOAT32 ? "float32" : type == DATA_FLOAT64 ? "float64" : "its codec";
}

static bool check_payload(const struct request *request, const struct data_payload *payload)
{
    enum data_type type = DATA_FLOAT32;
    uint64_t bytes = 0;

    if (!find_layout(request, payload->chunk, &type, &bytes))
        return false;
    if (payload->type == type && (payload->length_bytes == 0 || payload->length_bytes == bytes ||
                                  (type == DATA_CODED && payload->length_bytes < bytes)))
        return true;
    return request_refuse(request, DATA_REFUSED_MALFORMED,
                          "chunk %u of table %u has %" PRIu64
                          " bytes of %s, the message another number or type",
                          payload->chunk, request->header->table, bytes, type_name(type));
}

/* Whether version `version` of a chunk is there, or is the next; else refuses. */
static bool check_version(const struct request *request, uint32_t chunk, uint64_t version)
{
    uint64_t newest;
    bool kept, waits;

    if (request->table->dense) {
        const struct dense_chunk *found = dense_find(request->table->dense, chunk);

        newest = found->version;
        kept = dense_version(found, version) != NULL;
        waits = version == newest + 1;
    } else {
        const struct sum_table *sums = request->table->sums;

        newest = sum_table_version(sums);
        kept = sum_version(sums, version) != NULL;
        waits = version > newest && (version <= sums->step + 1 || sums->may_skip);
    }
    if (kept || waits)
        return true;
    if (version <= newest)
        return request_refuse(request, DATA_REFUSED_PASSED,
                              "version %" PRIu64 " of chunk %u is not kept, the newest is %" PRIu64, version,
                              chunk, newest);
    return request_refuse(request, DATA_REFUSED_MALFORMED,
                          "version %" PRIu64 " of chunk %u is too far ahead of %" PRIu64, version, chunk,
                          newest);
}

/* ---- push */

/* The step that a chunk takes pushes for now, and whether it takes those of `step` as well. */
static bool takes_step(const struct request *request, uint32_t chunk, uint64_t step, uint64_t *now)
{
    if (request->table->dense) {
        *now = dense_find(request->table->dense, chunk)->version;
        return step == *now;
    }
    *now = request->table->sums->step;
    return sum_table_takes(request->table->sums, step);
}

/* In a training no push has more samples than a batch; what the pushes of a tables job sum is theirs. */
static bool check_samples(const struct request *request)
{
    const struct job *job = request->job->assignment->job;

    if (request->header->table != TABLE_WEIGHTS || request->header->samples <= job->batch_size)
        return true;
    return request_refuse(request, DATA_REFUSED_MALFORMED, "%" PRIu64 " samples in a batch of %u",
                          request->header->samples, job->batch_size);
}

/* In the throughput modes a push is no part of a step's tree, so what it may be is another question. */
static bool has_clocks(const struct request *request)
{
    return request->table->dense && request->table->dense->params.has_clocks;
}

static bool check_push(const struct request *request)
{
    const struct data_header *header = request->header;

    if (!check_samples(request))
        return false;
    for (uint32_t i = 0; i < header->payload_count; i++) {
        const struct data_payload *payload = &header->payloads[i];
        uint64_t now;

        if (!check_payload(request, payload))
            return false;
        if (has_clocks(request))
            continue;
        if (payload->length_bytes == 0 && request->table->sums)
            return request_refuse(request, DATA_REFUSED_MALFORMED, "a push of no sums");
        if (request->table->sums && request->table->sums->whole_count == SUMS_WHOLE_MAX &&
            header->step >= request->table->sums->step)
            return request_refuse(request, DATA_REFUSED_LOST,
                                  "the sums of steps before %" PRIu64 " are not at all replicas yet",
                                  header->step);
        if (!takes_step(request, payload->chunk, header->step, &now) && header->step > now)
            return request_refuse(request, DATA_REFUSED_MALFORMED,
                                  "a push for step %" PRIu64 " of chunk %u, which is at step %" PRIu64,
                                  header->step, payload->chunk, now);
        if ((header->subscribe || header->acknowledge) &&
            !check_version(request, payload->chunk, header->step + 1))
            return false;
    }
    return !has_clocks(request) || request_check_updates(request);
}

/* How a push that subscribes, or a pull, is answered. */
static enum answer wanted(const struct request *request)
{
    return request->header->exact ? ANSWER_EXACT : ANSWER_VALUES;
}

/* Asks for what the push wants to hear of version step + 1. */
static void push_wait(const struct request *request, struct waiting_list *list)
{
    if (request->header->subscribe)
        request_wait(request, list, request->header->step + 1, wanted(request), NULL);
    if (request->header->acknowledge)
        request_wait(request, list, request->header->step + 1, ANSWER_EXISTENCE, NULL);
}

/* Answer a push that comes late. */
static void push_answer_dense(const struct request *request, struct dense_chunk *chunk)
{
    uint64_t version = request->header->step + 1;

    if (request->header->subscribe && dense_version(chunk, version))
        answer_chunk(request, version, chunk, wanted(request));
    if (request->header->acknowledge)
        answer_chunk(request, version, chunk, ANSWER_EXISTENCE);
}

static void push_answer_sums(const struct request *request)
{
    uint64_t version = request->header->step + 1;
    struct buffer *values = sum_version(request->table->sums, version);

    if (request->header->subscribe && values)
        answer_sums(request, version, values);
    if (request->header->acknowledge)
        answer_sums(request, version, NULL);
}

static void push_dense(const struct request *request, uint32_t number, struct buffer *gradients)
{
    const struct data_header *header = request->header;
    struct dense_chunk *chunk = dense_find(request->table->dense, number);

    if (header->step < chunk->version) {
        buffer_unref(gradients);
        push_answer_dense(request, chunk);
        return;
    }
    push_wait(request, &chunk->waiting);
    if (dense_push(chunk, header->node, gradients, header->samples))
        shard_summed_dense(request->shard, request->job, header->table, chunk);
}

static void push_sums(const struct request *request, struct buffer *values)
{
    const struct data_header *header = request->header;
    struct sum_table *sums = request->table->sums;

    if (header->step < sum_table_version(sums)) {
        buffer_unref(values);
        push_answer_sums(request);
        return;
    }
    push_wait(request, &sums->waiting);
    if (!sum_table_takes(sums, header->step)) /* its sum is whole, and no version yet */
        buffer_unref(values);
    else if (sum_push(sums, header->step, header->node, values))
        shard_advance_sums(request->shard, request->job, header->table);
}

static bool refuse_bytes(const struct request *request, const struct error *error)
{
    return request_refuse(request,
                          error->status == CAIRN_PROTOCOL ? DATA_REFUSED_MALFORMED : DATA_REFUSED_UNKNOWN,
                          "table %u: %s", request->header->table, error->message);
}

/* The arrays of a push that is otherwise in order, coded ones decoded: so all bytes are known to be good
 * before any is taken. False: refused, and nothing is taken. */
static bool arrays_take(const struct request *request, struct buffer *const payloads[],
                        struct buffer *arrays[])
{
    const struct data_header *header = request->header;
    struct error error;

    for (uint32_t i = 0; i < header->payload_count; i++) {
        arrays[i] = payloads[i];
        if (!payloads[i] || header->payloads[i].type != DATA_CODED ||
            dense_decode(dense_find(request->table->dense, header->payloads[i].chunk), payloads[i],
                         &arrays[i], &error) == CAIRN_OK)
            continue;
        while (i-- > 0) {
            if (arrays[i] != payloads[i])
                buffer_unref(arrays[i]);
        }
        return refuse_bytes(request, &error);
    }
    for (uint32_t i = 0; i < header->payload_count; i++) {
        if (arrays[i] != payloads[i])
            buffer_unref(payloads[i]);
    }
    return true;
}

void request_push_arrays(const struct request *request, struct buffer *const payloads[])
{
    struct buffer *arrays[WIRE_PAYLOADS_MAX];

    if (!check_push(request) || !arrays_take(request, payloads, arrays)) {
        request_drop(request->header, payloads);
        return;
    }
    if (has_clocks(request)) {
        request_push_updates(request, arrays);
        return;
    }
    for (uint32_t i = 0; i < request->header->payload_count; i++) {
        shard_duplicates_check(request, request->header->payloads[i].chunk, arrays[i]);
        if (request->table->dense)
            push_dense(request, request->header->payloads[i].chunk, arrays[i]);
        else
            push_sums(request, arrays[i]);
    }
}

/* ---- pull */

static bool check_pull(const struct request *request)
{
    const struct data_header *header = request->header;

    if (header->newest && !header->acknowledge && !request->table->dense)
        return request_refuse(request, DATA_REFUSED_MALFORMED, "of sums the newest version is only told");
    for (uint32_t i = 0; i < header->payload_count; i++) {
        if (!check_payload(request, &header->payloads[i]) ||
            (!header->newest && !has_clocks(request) &&
             !check_version(request, header->payloads[i].chunk, header->step)))
            return false;
    }
    return true;
}

static void pull_newest(const struct request *request, uint32_t number)
{
    struct dense_chunk *chunk;

    if (request->table->sums) {
        answer_sums(request, sum_table_version(request->table->sums), NULL);
        return;
    }
    chunk = dense_find(request->table->dense, number);
    answer_chunk(request, chunk->version, chunk,
                 request->header->acknowledge ? ANSWER_EXISTENCE : wanted(request));
}

static void pull_chunk(const struct request *request, struct dense_chunk *chunk)
{
    uint64_t version = request->header->step;

    if (dense_version(chunk, version))
        answer_chunk(request, version, chunk, wanted(request));
    else
        request_wait(request, &chunk->waiting, version, wanted(request), NULL);
}

static void pull_sums(const struct request *request, struct sum_table *sums)
{
    uint64_t version = request->header->step;
    struct buffer *values = sum_version(sums, version);

    if (values)
        answer_sums(request, version, values);
    else
        request_wait(request, &sums->waiting, version, ANSWER_VALUES, NULL);
}

static void pull_array(const struct request *request, uint32_t number)
{
    if (request->table->dense)
        pull_chunk(request, dense_find(request->table->dense, number));
    else
        pull_sums(request, request->table->sums);
}

static void pull_arrays(const struct request *request)
{
    if (has_clocks(request)) {
        request_pull_updates(request);
        return;
    }
    for (uint32_t i = 0; i < request->header->payload_count; i++) {
        if (request->header->newest)
            pull_newest(request, request->header->payloads[i].chunk);
        else
            pull_array(request, request->header->payloads[i].chunk);
    }
}

void request_pull_arrays(const struct request *request, struct buffer *const payloads[])
{
    if (wire_data_frames(request->header) > 0)
        request_refuse(request, DATA_REFUSED_MALFORMED, "table %u has no keys", request->header->table);
    else if (check_pull(request))
        pull_arrays(request);
    request_drop(request->header, payloads);
}
