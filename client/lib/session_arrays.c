/* Dense tables and sums: which chunk goes to which shard, in how many messages, and what of the answers fits.
 *
 * Chunks of one push or pull are gathered by shard into messages of up to WIRE_PAYLOADS_MAX payloads or some
 * WIRE_GATHER_BYTES; the headers stand ready in the session, so that a message costs no allocation here.
 * Knows nothing of training or of when a version is needed. */
#include "session_state.h"

#include <inttypes.h>
#include <string.h>

/* ---- where chunks are */

static uint64_t chunk_offset_bytes(const struct layout *layout, uint32_t chunk)
{
    return chunk * layout->chunk_elements * layout->element_bytes;
}

static uint64_t chunk_length_bytes(const struct layout *layout, uint32_t chunk)
{
    uint64_t left = layout->elements - chunk * layout->chunk_elements;

    return (left < layout->chunk_elements ? left : layout->chunk_elements) * layout->element_bytes;
}

uint32_t session_chunk_shard(const struct session *session, uint32_t table, uint32_t chunk)
{
    return session->slot_shards[placement_slot(table, chunk, session->slot_count)];
}

static enum status range_check(const struct session *session, uint32_t table, uint32_t first_chunk,
                               uint32_t chunk_count, struct error *error)
{
    const struct layout *layout;
    enum status status = session_layout(session, table, &layout, error);

    if (status != CAIRN_OK)
        return status;
    if (layout->kind == SESSION_TABLE_SPARSE)
        return error_set(error, CAIRN_INVALID, "session: table %u has no chunks", table);
    if (first_chunk > layout->chunk_count || chunk_count > layout->chunk_count - first_chunk)
        return error_set(error, CAIRN_INVALID, "session: chunks %u to %u of table %u, which has %u",
                         first_chunk, first_chunk + chunk_count, table, layout->chunk_count);
    return CAIRN_OK;
}

/* ---- sending */

/* What a call sends of each of its chunks. */
struct call {
    const struct data_header *common; /* the members that its messages share */
    struct buffer *buffer;            /* NULL: nothing */
    bool is_rounded;                  /* as in session_push */
};

static void batch_clear(struct batch *batch)
{
    for (uint32_t i = 0; i < batch->header.payload_count; i++) {
        buffer_unref(batch->coded[i]);
        batch->coded[i] = NULL;
    }
    batch->header.payload_count = 0;
    batch->payload_bytes = 0;
}

/* Appends the bytes of a payload, if it has any: what was encoded, or a part of the table's buffer. */
static enum status payload_append(struct session *session, const struct batch *batch, uint32_t index,
                                  struct buffer *buffer)
{
    const struct data_payload *payload = &batch->header.payloads[index];
    const struct layout *layout = &session->layouts[batch->header.table];

    if (payload->length_bytes == 0)
        return CAIRN_OK;
    if (batch->coded[index])
        return frames_append_buffer(&session->frames, batch->coded[index], 0, payload->length_bytes);
    return frames_append_buffer(&session->frames, buffer, chunk_offset_bytes(layout, payload->chunk),
                                payload->length_bytes);
}

/* Sends what has been gathered for a shard; buffer holds the payloads (NULL in a pull). */
static enum status batch_send(struct session *session, uint32_t shard, struct buffer *buffer,
                              struct error *error)
{
    struct data_header *header = &session->batches[shard].header;
    unsigned char packed[WIRE_HEADER_MAX];
    size_t length = wire_data_pack(header, packed);
    enum status status = frames_append_copy(&session->frames, packed, length);

    for (uint32_t i = 0; i < header->payload_count && status == CAIRN_OK; i++)
        status = payload_append(session, &session->batches[shard], i, buffer);
    batch_clear(&session->batches[shard]);
    if (status != CAIRN_OK) {
        frames_clear(&session->frames);
        return error_set(error, status, "session: out of memory for a message");
    }
    return session_send(session, shard, error);
}

/* The batch of a shard, begun with the members of `common` when it is empty. */
static struct data_header *batch_of(struct session *session, uint32_t shard, const struct data_header *common)
{
    struct data_header *header = &session->batches[shard].header;

    if (header->payload_count > 0)
        return header;
    header->kind = common->kind;
    header->job = session->job;
    header->incarnation = session->incarnation;
    header->table = common->table;
    header->step = common->step;
    header->request = common->request;
    header->node = common->node;
    header->samples = common->samples;
    header->worker = session->worker;
    header->subscribe = common->subscribe;
    header->exact = common->exact;
    header->acknowledge = common->acknowledge;
    header->committed = common->committed;
    header->newest = common->newest;
    return header;
}

/* Forgets what was gathered: a call that fails leaves nothing for the next. */
static void batches_clear(struct session *session)
{
    for (uint32_t i = 0; i < session->touched_count; i++) {
        batch_clear(&session->batches[session->touched[i]]);
        session->batches[session->touched[i]].is_touched = false;
    }
    session->touched_count = 0;
}

static bool is_full(const struct batch *batch)
{
    return batch->header.payload_count == WIRE_PAYLOADS_MAX || batch->payload_bytes >= WIRE_GATHER_BYTES;
}

/* What a call wants of a chunk, in its shard's batch. */
static enum status payload_make(struct session *session, const struct call *call, uint32_t chunk,
                                struct data_payload *payload, struct buffer **coded)
{
    const struct data_header *common = call->common;
    const struct buffer *buffer = call->buffer;
    struct layout *layout = &session->layouts[common->table];
    const struct session_codec_push push = {common->step,     common->node, buffer != NULL,
                                            call->is_rounded, chunk,        1};
    const float *values = NULL;
    enum status status;

    *coded = NULL;
    *payload = (struct data_payload){chunk, layout->type, buffer ? chunk_length_bytes(layout, chunk) : 0};
    if (!session_codec_is_lossy(&layout->codec))
        return CAIRN_OK;
    payload->type = session_codec_value_type(&layout->codec);
    if (common->kind != DATA_PUSH)
        return CAIRN_OK;
    if (buffer)
        values = (float *)buffer->data + chunk_offset_bytes(layout, chunk) / sizeof(float);
    status = session_codec_encode(&layout->codec, &push, chunk, values, coded);
    payload->type = session_codec_gradient_type(&layout->codec, common->step);
    payload->length_bytes = *coded ? (*coded)->length_bytes : 0;
    return status;
}

/* Adds a chunk to its shard's batch, which is sent when it is full. */
static enum status gather(struct session *session, const struct call *call, uint32_t chunk,
                          struct error *error)
{
    uint32_t shard = session_chunk_shard(session, call->common->table, chunk);
    struct data_header *header = batch_of(session, shard, call->common);
    struct batch *batch = &session->batches[shard];
    uint32_t index = header->payload_count;

    if (payload_make(session, call, chunk, &header->payloads[index], &batch->coded[index]) != CAIRN_OK)
        return error_set(error, CAIRN_NO_MEMORY, "session: out of memory for a message");
    if (!session->batches[shard].is_touched) {
        session->batches[shard].is_touched = true;
        session->touched[session->touched_count++] = shard;
    }
    header->payload_count++;
    batch->payload_bytes += header->payloads[index].length_bytes;
    return is_full(batch) ? batch_send(session, shard, call->buffer, error) : CAIRN_OK;
}

/* Sends the chunks of a range by shard. */
static enum status scatter(struct session *session, const struct call *call, uint32_t first_chunk,
                           uint32_t chunk_count, struct error *error)
{
    enum status status = CAIRN_OK;

    for (uint32_t i = 0; i < chunk_count && status == CAIRN_OK; i++)
        status = gather(session, call, first_chunk + i, error);
    for (uint32_t i = 0; i < session->touched_count && status == CAIRN_OK; i++) {
        if (session->batches[session->touched[i]].header.payload_count > 0)
            status = batch_send(session, session->touched[i], call->buffer, error);
    }
    batches_clear(session);
    return status;
}

enum status session_push(struct session *session, const struct session_push *push, struct error *error)
{
    struct data_header common = {.kind = DATA_PUSH,
                                 .table = push->table,
                                 .step = push->step,
                                 .node = push->node,
                                 .samples = push->samples,
                                 .subscribe = push->subscribe,
                                 .exact = push->exact,
                                 .acknowledge = push->acknowledge};
    const struct call call = {&common, push->buffer, push->is_rounded};
    enum status status = range_check(session, push->table, push->first_chunk, push->chunk_count, error);

    if (status == CAIRN_OK)
        status = session_check_push(push->step, push->node, push->samples, error);
    if (status != CAIRN_OK)
        return status;
    if (push->buffer && push->buffer->length_bytes < session->layouts[push->table].elements *
                                                         session->layouts[push->table].element_bytes)
        return error_set(error, CAIRN_INVALID, "session: %zu bytes are not the whole of table %u",
                         push->buffer->length_bytes, push->table);
    status = session_codec_check(&session->layouts[push->table].codec,
                                 &(struct session_codec_push){push->step, push->node, push->buffer != NULL,
                                                              push->is_rounded, push->first_chunk,
                                                              push->chunk_count},
                                 error);
    if (status != CAIRN_OK)
        return status;
    return scatter(session, &call, push->first_chunk, push->chunk_count, error);
}

enum status session_pull(struct session *session, const struct session_pull *pull, struct error *error)
{
    const bool newest = pull->version == SESSION_NEWEST;
    struct data_header common = {.kind = DATA_PULL,
                                 .table = pull->table,
                                 .step = newest ? 0 : pull->version,
                                 .request = pull->request,
                                 .committed = pull->committed,
                                 .newest = newest,
                                 .exact = pull->exact};
    const struct call call = {&common, NULL, false};
    enum status status = range_check(session, pull->table, pull->first_chunk, pull->chunk_count, error);

    if (status != CAIRN_OK)
        return status;
    if (pull->version > WIRE_STEP_MAX && !newest)
        return error_set(error, CAIRN_INVALID, "session: there is no version %" PRIu64, pull->version);
    return scatter(session, &call, pull->first_chunk, pull->chunk_count, error);
}

enum status session_arrays_ask(struct session *session, uint32_t table, struct error *error)
{
    struct data_header common = {.kind = DATA_PULL, .table = table, .newest = true, .acknowledge = true};
    const struct call call = {&common, NULL, false};

    return scatter(session, &call, 0, session->layouts[table].chunk_count, error);
}

/* ---- receiving */

/* Bytes of a chunk's values as they come. What comes from disk is not coded. */
static uint64_t value_bytes(const struct layout *layout, const struct data_payload *payload)
{
    uint64_t bytes = chunk_length_bytes(layout, payload->chunk);

    return payload->type == DATA_CODED ? codec_size_max(&layout->codec.spec, bytes / sizeof(float)) : bytes;
}

/* What is wrong with payload `index` of the answer in hand, which came from `shard`; NULL: nothing. */
static const char *payload_problem(struct session *session, uint32_t shard, uint32_t index)
{
    const struct data_payload *payload = &session->received.payloads[index];
    const struct layout *layout = &session->layouts[session->received.table];
    bool carries = session->received.kind == DATA_VALUES;

    if (payload->chunk >= layout->chunk_count)
        return "of a chunk that does not exist";
    if (session_chunk_shard(session, session->received.table, payload->chunk) != shard)
        return "of a chunk that is not on this shard";
    if (payload->type != layout->type &&
        !(payload->type == DATA_CODED && session_codec_value_type(&layout->codec) == DATA_CODED))
        return "of another type than the table's";
    if (carries && (payload->length_bytes != value_bytes(layout, payload) ||
                    frames_length(&session->frames, 1 + index) != payload->length_bytes))
        return "of another length than the chunk's";
    return NULL;
}

/* All payloads are checked before the first is handed over. */
const char *session_arrays_problem(struct session *session, uint32_t shard)
{
    const char *problem = NULL;

    for (uint32_t i = 0; i < session->received.payload_count && !problem; i++)
        problem = payload_problem(session, shard, i);
    return problem;
}

static void values_deliver(struct session *session, uint32_t index)
{
    const struct data_header *header = &session->received;
    const struct layout *layout = &session->layouts[header->table];
    const struct data_payload *payload = &header->payloads[index];
    const void *values = frames_data(&session->frames, 1 + index);
    size_t elements = chunk_length_bytes(layout, payload->chunk) / layout->element_bytes;

    if (payload->type == DATA_CODED) {
        session_codec_decode(&layout->codec, values, session->scratch, elements);
        values = session->scratch;
    } else if ((uintptr_t)values % layout->element_bytes != 0) {
        /* ZeroMQ cuts short frames out of larger reads */
        values = memcpy(session->scratch, values, payload->length_bytes);
    }
    session->events.values(session->events.context, header->table, payload->chunk, header->step, values,
                           elements);
}

uint64_t session_request(const struct session *session)
{
    return session->received.request;
}

void session_arrays_deliver(struct session *session)
{
    const struct data_header *header = &session->received;

    for (uint32_t i = 0; i < header->payload_count; i++) {
        if (header->kind == DATA_VALUES)
            values_deliver(session, i);
        else if (session->events.applied)
            session->events.applied(session->events.context, header->table, header->payloads[i].chunk,
                                    header->step);
    }
}
