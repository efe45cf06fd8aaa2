/* Sparse tables: which key goes to which shard, and where the rows that come back belong.
 *
 * Where all keys lie on one shard they are sent from the caller's buffers; else keys, gradients and the
 * positions that they came from are gathered by shard, in order. An answer is found by its request's number,
 * which is the index of its part and a serial number, so that no foreign number leads anywhere. */
#include "session_state.h"

#include "base/floats.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define INDEX_BITS 20
#define PARTS_MAX  (1u << INDEX_BITS)

/* ---- parts: answers that are waited for */

static enum status parts_grow(struct parts *parts)
{
    uint32_t count = parts->count ? 2 * parts->count : 64;
    struct part *items = count <= PARTS_MAX ? realloc(parts->items, count * sizeof(*items)) : NULL;

    if (!items)
        return CAIRN_NO_MEMORY;
    parts->items = items;
    for (uint32_t i = parts->count; i < count; i++) {
        items[i] = (struct part){.next_free = parts->first_free};
        parts->first_free = i + 1;
    }
    parts->count = count;
    return CAIRN_OK;
}

uint64_t session_part_new(struct parts *parts, const struct part *model)
{
    uint32_t index;

    if (parts->first_free == 0 && parts_grow(parts) != CAIRN_OK)
        return 0;
    index = parts->first_free - 1;
    parts->first_free = parts->items[index].next_free;
    parts->items[index] = *model;
    parts->items[index].request = ++parts->newest << INDEX_BITS | index;
    if (model->positions)
        buffer_ref(model->positions);
    return parts->items[index].request;
}

struct part *session_part_find(const struct parts *parts, uint64_t request)
{
    uint32_t index = (uint32_t)(request & (PARTS_MAX - 1));

    return index < parts->count && request != 0 && parts->items[index].request == request
               ? &parts->items[index]
               : NULL;
}

void session_part_free(struct parts *parts, struct part *part)
{
    buffer_unref(part->positions);
    part->request = 0;
    part->positions = NULL;
    part->next_free = parts->first_free;
    parts->first_free = (uint32_t)(part - parts->items) + 1;
}

/* ---- scattering keys over shards */

static void shares_clear(struct session *session)
{
    for (uint32_t i = 0; session->rows.shares && i < session->shard_count; i++) {
        struct rows_share *share = &session->rows.shares[i];

        buffer_unref(share->keys);
        buffer_unref(share->gradients);
        buffer_unref(share->positions);
        *share = (struct rows_share){NULL, NULL, NULL};
    }
}

void session_rows_fini(struct session *session)
{
    shares_clear(session);
    for (uint32_t i = 0; i < session->parts.count; i++) {
        if (session->parts.items[i].request != 0)
            session_part_free(&session->parts, &session->parts.items[i]);
    }
    free(session->parts.items);
    free(session->rows.shards);
    free(session->rows.counts);
    free(session->rows.filled);
    free(session->rows.shares);
}

/* Which shard each key lies on, and how many each has; the former is not asked for where one has them all.
 * Errors: CAIRN_NO_MEMORY. */
static enum status keys_locate(struct session *session, const uint64_t *keys, uint32_t count)
{
    struct rows_scratch *rows = &session->rows;

    if (count > rows->capacity) {
        uint32_t *shards = realloc(rows->shards, count * sizeof(*shards));

        if (!shards)
            return CAIRN_NO_MEMORY;
        rows->shards = shards;
        rows->capacity = count;
    }
    memset(rows->counts, 0, session->shard_count * sizeof(rows->counts[0]));
    if (session->slot_holders == 1) {
        rows->counts[session->slot_shards[0]] = count;
        return CAIRN_OK;
    }
    for (uint32_t i = 0; i < count; i++) {
        rows->shards[i] = session->slot_shards[placement_key_slot(keys[i], session->slot_count)];
        rows->counts[rows->shards[i]]++;
    }
    return CAIRN_OK;
}

/* The only shard that has keys, -1: there are several. */
static int64_t only_shard(const struct session *session, uint32_t count)
{
    for (uint32_t shard = 0; shard < session->shard_count; shard++) {
        if (session->rows.counts[shard] > 0)
            return session->rows.counts[shard] == count ? (int64_t)shard : -1;
    }
    return -1;
}

/* What of a push goes into the shares beside its keys. */
struct gradients {
    struct buffer *buffer; /* float32 [keys, dimension]; NULL: nothing, as in a pull */
    uint32_t dimension;
    const struct session_codec *codec; /* NULL: they travel as they are */
    struct session_codec_push push;    /* for the codec */
};

/* Bytes of a row as it travels. */
static size_t gradient_bytes(const struct gradients *gradients)
{
    if (!gradients->buffer)
        return 0;
    return gradients->codec ? codec_size_max(&gradients->codec->spec, gradients->dimension)
                            : gradients->dimension * sizeof(float);
}

/* Writes the gradients of `count` keys from `first` on as they travel. */
static void gradients_write(const struct gradients *gradients, const uint64_t *keys, uint32_t first,
                            uint32_t count, unsigned char *bytes)
{
    const float *rows = (float *)gradients->buffer->data + (size_t)first * gradients->dimension;

    if (gradients->codec)
        session_codec_encode_rows(gradients->codec, &gradients->push, keys + first, count, rows,
                                  gradients->dimension, bytes);
    else
        floats_copy((float *)bytes, rows, count * gradients->dimension);
}

static enum status shares_allocate(struct session *session, size_t row_bytes)
{
    for (uint32_t shard = 0; shard < session->shard_count; shard++) {
        struct rows_share *share = &session->rows.shares[shard];
        size_t count = session->rows.counts[shard];

        if (count == 0)
            continue;
        share->keys = buffer_new(count * sizeof(uint64_t));
        share->positions = buffer_new(count * sizeof(uint32_t));
        share->gradients = row_bytes ? buffer_new(count * row_bytes) : NULL;
        if (!share->keys || !share->positions || (row_bytes && !share->gradients))
            return CAIRN_NO_MEMORY;
    }
    return CAIRN_OK;
}

/* Gathers keys, where they came from and, unless NULL, gradients by shard. Errors: CAIRN_NO_MEMORY. */
static enum status keys_scatter(struct session *session, const uint64_t *keys, uint32_t count,
                                const struct gradients *gradients)
{
    struct rows_scratch *rows = &session->rows;
    size_t row_bytes = gradient_bytes(gradients);

    if (shares_allocate(session, row_bytes) != CAIRN_OK)
        return CAIRN_NO_MEMORY;
    memset(rows->filled, 0, session->shard_count * sizeof(rows->filled[0]));
    for (uint32_t i = 0; i < count; i++) {
        struct rows_share *share = &rows->shares[rows->shards[i]];
        uint32_t at = rows->filled[rows->shards[i]]++;

        ((uint64_t *)share->keys->data)[at] = keys[i];
        ((uint32_t *)share->positions->data)[at] = i;
        if (gradients->buffer)
            gradients_write(gradients, keys, i, 1, (unsigned char *)share->gradients->data + at * row_bytes);
    }
    return CAIRN_OK;
}

/* All gradients as they travel: the caller's own buffer unless a codec encodes them. Owns: the caller. NULL:
 * out of memory. */
static struct buffer *gradients_whole(const struct gradients *gradients, const uint64_t *keys, uint32_t count)
{
    struct buffer *bytes;

    if (!gradients->codec)
        return buffer_ref(gradients->buffer);
    bytes = buffer_new(count * gradient_bytes(gradients));
    if (bytes)
        gradients_write(gradients, keys, 0, count, bytes->data);
    return bytes;
}

/* Makes the shares of a call: the caller's own buffers when one shard has all keys. */
static enum status shares_make(struct session *session, struct buffer *keys, uint32_t count,
                               const struct gradients *gradients)
{
    struct rows_share *share;
    enum status status = keys_locate(session, keys ? keys->data : NULL, count);
    int64_t only;

    if (status != CAIRN_OK || count == 0)
        return status;
    only = only_shard(session, count);
    if (only < 0)
        return keys_scatter(session, keys->data, count, gradients);
    share = &session->rows.shares[only];
    share->keys = buffer_ref(keys);
    share->gradients = gradients->buffer ? gradients_whole(gradients, keys->data, count) : NULL;
    return gradients->buffer && !share->gradients ? CAIRN_NO_MEMORY : CAIRN_OK;
}

/* ---- sending */

static size_t row_bytes(const struct layout *layout)
{
    return layout->dimension * sizeof(float);
}

/* Of a row's values as they come. */
static size_t value_bytes(const struct layout *layout)
{
    return session_codec_value_type(&layout->codec) == DATA_CODED
               ? codec_size_max(&layout->codec.spec, layout->dimension)
               : row_bytes(layout);
}

uint32_t session_rows_max(const struct session *session, uint32_t table)
{
    return (uint32_t)(WIRE_PAYLOAD_BYTES_MAX / row_bytes(&session->layouts[table]));
}

/* Appends `count` of a buffer's elements from `first` as a payload. */
static enum status append(struct session *session, struct data_header *header, struct buffer *buffer,
                          enum data_type type, size_t element_bytes, uint32_t first, uint32_t count)
{
    uint32_t index = header->payload_count++;

    header->payloads[index] = (struct data_payload){index, type, count * element_bytes};
    return frames_append_buffer(&session->frames, buffer, first * element_bytes, count * element_bytes);
}

/* Sends a message about `count` of a shard's share of keys from `first`, and expects an answer for `part`
 * when that has an operation. */
static enum status rows_send(struct session *session, struct data_header *header, uint32_t shard,
                             uint32_t first, uint32_t count, const struct part *part, struct error *error)
{
    const struct rows_share *share = &session->rows.shares[shard];
    const struct layout *layout = &session->layouts[header->table];
    unsigned char packed[WIRE_HEADER_MAX];
    enum status status = CAIRN_OK;

    header->payload_count = 0;
    header->request = 0;
    if (part->operation) {
        header->request = session_part_new(&session->parts, part);
        if (header->request == 0)
            return error_set(error, CAIRN_NO_MEMORY, "session: out of memory for an answer");
        part->operation->parts_left++;
    }
    /* The header goes first and is known last: its place is kept. */
    status = frames_append_copy(&session->frames, NULL, 0);
    if (status == CAIRN_OK && count > 0)
        status = append(session, header, share->keys, DATA_UINT64, sizeof(uint64_t), first, count);
    if (status == CAIRN_OK && count > 0 && share->gradients)
        status = append(session, header, share->gradients,
                        session_codec_gradient_type(&layout->codec, header->step),
                        codec_size_max(&layout->codec.spec, layout->dimension), first, count);
    if (status == CAIRN_OK)
        status = frames_set_copy(&session->frames, 0, packed, wire_data_pack(header, packed));
    if (status != CAIRN_OK) {
        frames_clear(&session->frames);
        return error_set(error, status, "session: out of memory for a message");
    }
    return session_send(session, shard, error);
}

static struct data_header header_of(const struct session *session, enum data_kind kind, uint32_t table,
                                    uint64_t step)
{
    return (struct data_header){.kind = kind,
                                .job = session->job,
                                .incarnation = session->incarnation,
                                .table = table,
                                .step = step,
                                .map = session->map};
}

static void operation_begin(struct session_operation *operation, float *rows, uint32_t dimension)
{
    if (!operation)
        return;
    operation->version = UINT64_MAX;
    operation->rows = rows;
    operation->dimension = dimension;
    operation->parts_left = 0;
}

static enum status rows_check(const struct session *session, uint32_t table, const struct buffer *keys,
                              uint32_t count, const struct layout **layout, struct error *error)
{
    enum status status = session_layout(session, table, layout, error);

    if (status != CAIRN_OK)
        return status;
    if ((*layout)->kind != SESSION_TABLE_SPARSE)
        return error_set(error, CAIRN_INVALID, "session: table %u has no rows", table);
    if (count > 0 && (!keys || keys->length_bytes < count * sizeof(uint64_t)))
        return error_set(error, CAIRN_INVALID, "session: there are fewer than %u keys", count);
    return CAIRN_OK;
}

/* ---- push */

/* Whether the push, whose keys are located, is one that may be sent. */
static enum status push_check(const struct session *session, const struct session_rows_push *push,
                              struct error *error)
{
    for (uint32_t shard = 0; shard < session->shard_count; shard++) {
        if (session->rows.counts[shard] > session_rows_max(session, push->table))
            return error_set(
                error, CAIRN_INVALID, "session: %u rows of table %u in a push to one shard, allowed: %u",
                session->rows.counts[shard], push->table, session_rows_max(session, push->table));
    }
    return session_check_push(push->step, push->node, push->samples, error);
}

static enum status push_send(struct session *session, const struct session_rows_push *push, uint32_t shard,
                             struct error *error)
{
    uint32_t count = session->rows.counts[shard];
    struct data_header header = header_of(session, DATA_PUSH, push->table, push->step);
    const struct part part = {.operation = push->operation,
                              .shard = shard,
                              .table = push->table,
                              .count = push->values ? count : 0,
                              .positions = session->rows.shares[shard].positions};

    header.node = push->node;
    header.samples = push->samples;
    header.worker = session->worker;
    header.subscribe = push->operation && push->values && count > 0;
    header.acknowledge = push->operation && !header.subscribe;
    return rows_send(session, &header, shard, 0, count, &part, error);
}

enum status session_push_rows(struct session *session, const struct session_rows_push *push,
                              struct error *error)
{
    struct gradients gradients = {
        .buffer = push->count > 0 ? push->gradients : NULL,
        .push = {.step = push->step, .node = push->node, .has_values = push->count > 0}};
    const struct layout *layout;
    enum status status = rows_check(session, push->table, push->keys, push->count, &layout, error);

    if (status != CAIRN_OK)
        return status;
    if (push->count > 0 &&
        (!push->gradients || push->gradients->length_bytes < push->count * row_bytes(layout)))
        return error_set(error, CAIRN_INVALID, "session: there are fewer than %u rows", push->count);
    status = session_codec_check(&layout->codec, &gradients.push, error);
    if (status != CAIRN_OK)
        return status;
    gradients.dimension = layout->dimension;
    gradients.codec = session_codec_is_lossy(&layout->codec) ? &layout->codec : NULL;
    if (shares_make(session, push->keys, push->count, &gradients) != CAIRN_OK)
        status = error_set(error, CAIRN_NO_MEMORY, "session: out of memory for a push");
    if (status == CAIRN_OK)
        status = push_check(session, push, error);
    operation_begin(push->operation, push->values, layout->dimension);
    for (uint32_t shard = 0; shard < session->shard_count && status == CAIRN_OK; shard++) {
        if (session->holds_slots[shard])
            status = push_send(session, push, shard, error);
    }
    shares_clear(session);
    return status;
}

/* ---- pull */

/* Asks one shard for its share of keys, in messages whose answers have some WIRE_ROWS_BYTES. */
static enum status pull_send(struct session *session, struct data_header *header, uint32_t shard,
                             struct session_operation *operation, struct error *error)
{
    uint32_t count = session->rows.counts[shard], most;
    enum status status = CAIRN_OK;

    most = (uint32_t)(WIRE_ROWS_BYTES / value_bytes(&session->layouts[header->table]));
    most = most > 0 ? most : 1;
    for (uint32_t first = 0; first < count && status == CAIRN_OK; first += most) {
        const struct part part = {.operation = operation,
                                  .shard = shard,
                                  .table = header->table,
                                  .count = count - first < most ? count - first : most,
                                  .first = first,
                                  .positions = session->rows.shares[shard].positions};

        status = rows_send(session, header, shard, first, part.count, &part, error);
    }
    return status;
}

enum status session_pull_rows(struct session *session, uint32_t table, uint64_t version, struct buffer *keys,
                              uint32_t count, float *values, struct session_operation *operation,
                              struct error *error)
{
    struct data_header header = header_of(session, DATA_PULL, table, version == SESSION_NEWEST ? 0 : version);
    const struct layout *layout;
    enum status status = rows_check(session, table, keys, count, &layout, error);

    if (status != CAIRN_OK)
        return status;
    if (count == 0 || !operation || !values)
        return error_set(error, CAIRN_INVALID, "session: a pull of no rows");
    if (version > WIRE_STEP_MAX && version != SESSION_NEWEST)
        return error_set(error, CAIRN_INVALID, "session: there is no version %" PRIu64, version);
    header.newest = version == SESSION_NEWEST;
    if (shares_make(session, keys, count, &(struct gradients){.buffer = NULL}) != CAIRN_OK)
        status = error_set(error, CAIRN_NO_MEMORY, "session: out of memory for a pull");
    operation_begin(operation, values, layout->dimension);
    for (uint32_t shard = 0; shard < session->shard_count && status == CAIRN_OK; shard++)
        status = pull_send(session, &header, shard, operation, error);
    shares_clear(session);
    return status;
}

enum status session_rows_ask(struct session *session, uint32_t table, struct session_operation *operation,
                             struct error *error)
{
    struct data_header header = header_of(session, DATA_PULL, table, 0);
    enum status status = CAIRN_OK;

    header.newest = header.acknowledge = true;
    operation_begin(operation, NULL, session->layouts[table].dimension);
    for (uint32_t shard = 0; shard < session->shard_count && status == CAIRN_OK; shard++) {
        const struct part part = {.operation = operation, .shard = shard, .table = table};

        if (session->holds_slots[shard])
            status = rows_send(session, &header, shard, 0, 0, &part, error);
    }
    return status;
}

/* ---- receiving */

const char *session_rows_problem(struct session *session, uint32_t shard)
{
    const struct data_header *header = &session->received;
    const struct part *part = session_part_find(&session->parts, header->request);
    const struct layout *layout = &session->layouts[header->table];

    if (!part || part->is_question || part->shard != shard || part->table != header->table)
        return "that nobody waits for";
    if (header->kind == DATA_APPLIED)
        return part->count == 0 ? NULL : "without the rows that were asked for";
    if (part->count == 0 || header->payload_count != 1)
        return "that were not asked for";
    if (header->payloads[0].type != session_codec_value_type(&layout->codec) ||
        header->payloads[0].length_bytes != part->count * value_bytes(layout) ||
        frames_length(&session->frames, 1) != header->payloads[0].length_bytes)
        return "of another number than was asked for";
    return NULL;
}

/* Puts `count` rows side by side from how they came. */
static void rows_read(const struct layout *layout, const char *bytes, float *rows, uint32_t count)
{
    if (session_codec_value_type(&layout->codec) == DATA_CODED)
        session_codec_decode(&layout->codec, bytes, rows, (size_t)count * layout->dimension);
    else
        memcpy(rows, bytes, count * row_bytes(layout));
}

/* Puts the rows in hand where they belong: the one copy of a pull. */
static void rows_place(struct session *session, const struct part *part)
{
    const struct layout *layout = &session->layouts[part->table];
    const struct session_operation *operation = part->operation;
    size_t bytes = value_bytes(layout);
    const char *values = frames_data(&session->frames, 1);
    const uint32_t *positions =
        part->positions ? (const uint32_t *)part->positions->data + part->first : NULL;

    if (!positions) {
        rows_read(layout, values, operation->rows + (size_t)part->first * operation->dimension, part->count);
        return;
    }
    for (uint32_t i = 0; i < part->count; i++)
        rows_read(layout, values + i * bytes, operation->rows + (size_t)positions[i] * operation->dimension,
                  1);
}

void session_rows_deliver(struct session *session)
{
    struct part *part = session_part_find(&session->parts, session->received.request);
    struct session_operation *operation = part->operation;

    if (session->received.step < operation->version)
        operation->version = session->received.step;
    if (part->count > 0)
        rows_place(session, part);
    session_part_free(&session->parts, part);
    if (--operation->parts_left == 0 && operation->done)
        operation->done(operation);
}
