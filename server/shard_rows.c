/* The data messages of clients for sparse tables: keys, and rows of gradients or weights. */
#include "shard.h"

#include "shard_state.h"

#include <inttypes.h>

/* A push's payloads; a pull has the first only. */
enum { PAYLOAD_KEYS, PAYLOAD_ROWS, PAYLOAD_COUNT };

static size_t row_bytes(const struct sparse_table *sparse)
{
    return sparse->spec->dimension * sizeof(float);
}

/* In which type, and how many bytes a row, gradients travel, and values. */
static enum data_type gradient_type(const struct sparse_table *sparse)
{
    return sparse->codec ? DATA_CODED : DATA_FLOAT32;
}

static size_t gradient_bytes(const struct sparse_table *sparse)
{
    return codec_size_max(&sparse->spec->codec, sparse->spec->dimension);
}

static bool values_are_coded(const struct sparse_table *sparse)
{
    return sparse->codec && codec_carries_values(sparse->codec->type);
}

static enum data_type value_type(const struct sparse_table *sparse)
{
    return values_are_coded(sparse) ? DATA_CODED : DATA_FLOAT32;
}

static size_t key_count(const struct buffer *keys)
{
    return keys->length_bytes / sizeof(uint64_t);
}

/* ---- answers */

/* Rows as they travel. Takes rows. Owns: the caller. NULL: out of memory. */
static struct buffer *rows_encoded(const struct sparse_table *sparse, struct buffer *rows)
{
    size_t floats = rows->length_bytes / sizeof(float);
    struct buffer *coded;

    if (!values_are_coded(sparse))
        return rows;
    coded = buffer_new(codec_size_max(sparse->codec, floats));
    if (coded)
        codec_encode(sparse->codec, rows->data, floats, coded->data); /* elementwise: as row by row */
    buffer_unref(rows);
    return coded;
}

static bool answer_rows(struct shard *shard, const struct reply_subject *subject, struct sparse_table *sparse,
                        struct client *client, const struct buffer *keys, struct error *error)
{
    struct buffer *rows = buffer_new(key_count(keys) * row_bytes(sparse));
    enum status status =
        rows ? sparse_read(sparse, subject->version, keys->data, key_count(keys), rows->data, error)
             : error_set(error, CAIRN_NO_MEMORY, "out of memory for rows");

    if (status == CAIRN_OK) {
        rows = rows_encoded(sparse, rows);
        status = error_set(error, rows ? CAIRN_OK : CAIRN_NO_MEMORY, "out of memory for rows");
    }
    if (status == CAIRN_OK) {
        shard_reply_check(
            subject, replies_values(shard->replies, subject, client, PAYLOAD_KEYS, value_type(sparse), rows));
        client->open_reply = 0; /* rows gather with nothing else */
    }
    buffer_unref(rows);
    return status == CAIRN_OK;
}

/* Answers with rows, with the version's existence when keys is NULL, or with why not. */
static void answer(struct shard *shard, struct shard_job *job, const struct reply_subject *subject,
                   struct client *client, const struct buffer *keys)
{
    struct sparse_table *sparse = job->tables->items[subject->table].sparse;
    struct error error;

    if (!keys) {
        shard_reply_check(
            subject, replies_values(shard->replies, subject, client, PAYLOAD_KEYS, value_type(sparse), NULL));
    } else if (!answer_rows(shard, subject, sparse, client, keys, &error)) {
        shard_reply_check(
            subject, replies_refuse(shard->replies, subject, client, DATA_REFUSED_UNKNOWN, error.message));
        if (error.status != CAIRN_NO_MEMORY)
            shard_fail(shard, job, &error); /* rows on disk cannot be read */
    }
}

void shard_answer_rows(struct shard *shard, struct shard_job *job, uint32_t number, const struct wait *wait)
{
    struct reply_subject subject = shard_subject(job, number, wait);
    const struct sparse_table *sparse = job->tables->items[number].sparse;

    if (wait->answer != ANSWER_EXISTENCE && !sparse_keeps(sparse, wait->version))
        shard_reply_check(&subject, replies_refuse(shard->replies, &subject, wait->client,
                                                   DATA_REFUSED_PASSED, "the version is no longer kept"));
    else
        answer(shard, job, &subject, wait->client, wait->answer != ANSWER_EXISTENCE ? wait->keys : NULL);
}

static void answer_now(const struct request *request, uint64_t version, const struct buffer *keys)
{
    struct reply_subject subject = request_subject(request, version);

    answer(request->shard, request->job, &subject, request->client, keys);
}

bool shard_rows_go_on(const struct shard_job *job, const struct sparse_table *sparse)
{
    return !job->failed && sparse->chain && sparse_chain_ends(sparse->chain, sparse->version);
}

static void answer_newest(const struct request *request)
{
    struct sparse_table *sparse = request->table->sparse;
    bool has_asked = shard_rows_await_norms(sparse);

    if (!shard_rows_go_on(request->job, sparse)) {
        answer_now(request, sparse->version, NULL);
        return;
    }
    request_wait(request, &sparse->asking, ++sparse->question, ANSWER_EXISTENCE, NULL);
    if (!has_asked && shard_rows_await_norms(sparse))
        shard_ask_norms(request->shard, request->job, request->header->table);
}

/* ---- checks */

/* Whether all keys have their place on this shard, and the answer for so many is within what a message may
 * carry. */
static bool check_keys(const struct request *request, const struct data_payload *payload,
                       const struct buffer *keys)
{
    uint64_t most = WIRE_PAYLOAD_BYTES_MAX / row_bytes(request->table->sparse);

    if (payload->type != DATA_UINT64 || payload->length_bytes == 0)
        return request_refuse(request, DATA_REFUSED_MALFORMED, "table %u needs keys", request->header->table);
    if (payload->length_bytes / sizeof(uint64_t) > most)
        return request_refuse(request, DATA_REFUSED_MALFORMED,
                              "%" PRIu64 " rows of table %u in a message, allowed: %" PRIu64,
                              payload->length_bytes / sizeof(uint64_t), request->header->table, most);
    if (!slot_map_heads_keys(request->job->map, request->shard->owner.shard, keys->data, key_count(keys)))
        return request_refuse(request, DATA_REFUSED_UNKNOWN, "a key of table %u is not on this shard",
                              request->header->table);
    return true;
}

static bool check_push_payloads(const struct request *request, struct buffer *const payloads[])
{
    const struct data_header *header = request->header;
    const struct data_payload *keys = &header->payloads[PAYLOAD_KEYS],
                              *rows = &header->payloads[PAYLOAD_ROWS];

    if (header->payload_count == 0)
        return !header->subscribe ||
               request_refuse(request, DATA_REFUSED_MALFORMED, "a push of no rows asks for rows of table %u",
                              header->table);
    if (header->payload_count != PAYLOAD_COUNT)
        return request_refuse(request, DATA_REFUSED_MALFORMED, "a push of rows has keys and rows");
    if (!check_keys(request, keys, payloads[PAYLOAD_KEYS]))
        return false;
    if (rows->type == gradient_type(request->table->sparse) &&
        rows->length_bytes == keys->length_bytes / sizeof(uint64_t) * gradient_bytes(request->table->sparse))
        return true;
    return request_refuse(request, DATA_REFUSED_MALFORMED,
                          "%" PRIu64 " bytes of rows for %" PRIu64 " keys, or of another type",
                          rows->length_bytes, keys->length_bytes / sizeof(uint64_t));
}

/* Whether the client knows which slots are served here: what it pushes is all that it has for these. */
static bool check_heads(const struct request *request)
{
    uint64_t map = request->header->map;

    if (map >= request->table->sparse->heads_since && map <= request->job->map->number)
        return true;
    return request_refuse(request, DATA_REFUSED_UNKNOWN,
                          "rows of table %u have moved, or are to move, between shards",
                          request->header->table);
}

static bool check_push(const struct request *request, struct buffer *const payloads[])
{
    uint64_t now = request->table->sparse->version, step = request->header->step;

    if (!check_heads(request) || !check_push_payloads(request, payloads))
        return false;
    if (step > now)
        return request_refuse(request, DATA_REFUSED_MALFORMED,
                              "a push for step %" PRIu64 " of table %u, which is at step %" PRIu64, step,
                              request->header->table, now);
    if (request->header->subscribe && step < now && !sparse_keeps(request->table->sparse, step + 1))
        return request_refuse(request, DATA_REFUSED_PASSED,
                              "version %" PRIu64 " of table %u is not kept, the newest is %" PRIu64, step + 1,
                              request->header->table, now);
    return true;
}

/* ---- push and pull */

/* Says what the push wants to hear of version step + 1, now or when it is there. */
static void push_answer(const struct request *request, struct buffer *keys)
{
    struct sparse_table *sparse = request->table->sparse;
    uint64_t version = request->header->step + 1;
    bool is_there = version <= sparse->version;

    if (request->header->subscribe && keys && is_there)
        answer_now(request, version, keys);
    else if (request->header->subscribe && keys)
        request_wait(request, &sparse->waiting, version, ANSWER_VALUES, keys);
    if (request->header->acknowledge && is_there)
        answer_now(request, version, NULL);
    else if (request->header->acknowledge)
        request_wait(request, &sparse->waiting, version, ANSWER_EXISTENCE, NULL);
}

/* Takes rows. */
static void push(const struct request *request, struct buffer *keys, struct buffer *rows)
{
    const struct data_header *header = request->header;
    struct sparse_table *sparse = request->table->sparse;
    bool is_whole;
    struct error error;

    if (header->step < sparse->version) {
        buffer_unref(rows);
        return;
    }
    if (sparse_push(sparse, header->node, keys, rows, header->samples, &is_whole) != CAIRN_OK) {
        error_set(&error, CAIRN_NO_MEMORY, "out of memory for the gradients of table %s", sparse->spec->name);
        shard_fail(request->shard, request->job, &error);
    } else if (is_whole) {
        shard_advance_sparse(request->shard, request->job, header->table);
    }
}

/* Rows from their coded bytes, which are many enough for the keys. */
static enum status rows_decode(const struct sparse_table *sparse, size_t count, const struct buffer *bytes,
                               struct buffer **out, struct error *error)
{
    size_t dimension = sparse->spec->dimension, coded_bytes = gradient_bytes(sparse);
    struct buffer *rows = buffer_new(count * row_bytes(sparse));
    enum status status = CAIRN_OK;

    if (!rows)
        return error_set(error, CAIRN_NO_MEMORY, "out of memory for rows");
    for (size_t i = 0; i < count && status == CAIRN_OK; i++)
        status = codec_decode(sparse->codec, (const unsigned char *)bytes->data + i * coded_bytes,
                              coded_bytes, (float *)rows->data + i * dimension, dimension, error);
    if (status != CAIRN_OK) {
        buffer_unref(rows);
        return status;
    }
    *out = rows;
    return CAIRN_OK;
}

/* The rows of a push that is otherwise in order, decoded where they are coded: its payload is taken. False:
 * refused, and nothing is taken. */
static bool rows_take(const struct request *request, struct buffer *const payloads[], struct buffer **rows)
{
    const struct sparse_table *sparse = request->table->sparse;
    struct error error;

    *rows = NULL;
    if (request->header->payload_count == 0)
        return true;
    if (!sparse->codec) {
        *rows = payloads[PAYLOAD_ROWS];
        return true;
    }
    if (rows_decode(sparse, key_count(payloads[PAYLOAD_KEYS]), payloads[PAYLOAD_ROWS], rows, &error) !=
        CAIRN_OK)
        return request_refuse(request,
                              error.status == CAIRN_PROTOCOL ? DATA_REFUSED_MALFORMED : DATA_REFUSED_UNKNOWN,
                              "table %u: %s", request->header->table, error.message);
    buffer_unref(payloads[PAYLOAD_ROWS]);
    return true;
}

void request_push_rows(const struct request *request, struct buffer *const payloads[])
{
    struct buffer *keys = request->header->payload_count > 0 ? payloads[PAYLOAD_KEYS] : NULL, *rows;

    if (check_push(request, payloads) && rows_take(request, payloads, &rows)) {
        push_answer(request, keys);
        push(request, keys, rows);
        buffer_unref(keys);
        return;
    }
    request_drop(request->header, payloads);
}

static bool check_pull(const struct request *request, uint64_t version, const struct buffer *keys)
{
    const struct sparse_table *sparse = request->table->sparse;

    if (request->header->payload_count != 1)
        return request_refuse(request, DATA_REFUSED_MALFORMED, "a pull of rows has keys");
    if (!check_keys(request, &request->header->payloads[PAYLOAD_KEYS], keys))
        return false;
    if (sparse_keeps(sparse, version) || version == sparse->version + 1)
        return true;
    return request_refuse(request, version < sparse->version ? DATA_REFUSED_PASSED : DATA_REFUSED_MALFORMED,
                          "version %" PRIu64 " of table %u is not there, the newest is %" PRIu64, version,
                          request->header->table, sparse->version);
}

void request_pull_rows(const struct request *request, struct buffer *const payloads[])
{
    struct sparse_table *sparse = request->table->sparse;
    uint64_t version = request->header->newest ? sparse->version : request->header->step;

    if (request->header->newest && request->header->acknowledge) {
        if (check_heads(request))
            answer_newest(request);
    } else if (check_pull(request, version, payloads[PAYLOAD_KEYS])) {
        if (version <= sparse->version)
            answer_now(request, version, payloads[PAYLOAD_KEYS]);
        else
            request_wait(request, &sparse->waiting, version, ANSWER_VALUES, payloads[PAYLOAD_KEYS]);
    }
    request_drop(request->header, payloads);
}
