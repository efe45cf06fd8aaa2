/* Chunk records. Layout: u32 length of the packed header, the header (proto/store.proto), zeros up to
 * RECORD_OVERHEAD, the arrays one after the other. The checksum begins with what the record is, so one
 * chunk's bytes are not taken for another's, and goes on over slices of the arrays: each is summed and
 * written while it is in the cache. */
#include "record.h"

#include "base/checksum.h"
#include "store.pb-c.h"

#include <string.h>

#define RECORD_FORMAT    2 /* 1: summed by SipHash */
#define RECORD_KEY_BYTES 7
#define HEADER_BYTES     (RECORD_OVERHEAD - sizeof(uint32_t))
#define SLICE_BYTES      ((size_t)256 << 10) /* part of the format */

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "records hold little-endian numbers as they lie in memory");

static void record_key(uint32_t table, uint32_t chunk, uint32_t place, unsigned char key[RECORD_KEY_BYTES])
{
    const unsigned char bytes[RECORD_KEY_BYTES] = {'c',
                                                   (unsigned char)table,
                                                   (unsigned char)(chunk >> 24),
                                                   (unsigned char)(chunk >> 16),
                                                   (unsigned char)(chunk >> 8),
                                                   (unsigned char)chunk,
                                                   (unsigned char)place};

    memcpy(key, bytes, sizeof(bytes));
}

static size_t slice_bytes(size_t at, size_t array_bytes)
{
    return array_bytes - at < SLICE_BYTES ? array_bytes - at : SLICE_BYTES;
}

/* The checksum of a record without its arrays. */
static uint64_t checksum_begin(uint64_t step, uint32_t table, uint32_t chunk)
{
    uint64_t identity[2] = {step, ((uint64_t)table << 32) | chunk};

    return checksum_add(0, identity, sizeof(identity));
}

/* The checksum of a record as it lies in the map. */
static uint64_t checksum_all(const Cairn__ChunkRecord *header, const unsigned char *values)
{
    uint64_t sum = checksum_begin(header->step, header->table, header->chunk);

    for (uint32_t i = 0; i < header->arrays; i++) {
        for (size_t at = 0; at < header->value_bytes; at += SLICE_BYTES)
            sum = checksum_add(sum, values + i * header->value_bytes + at,
                               slice_bytes(at, header->value_bytes));
    }
    return sum;
}

/* Writes array i into the record's value and adds it to its checksum. */
static enum status array_write(const struct record *record, uint32_t i, const struct store_value *value,
                               uint64_t *sum, struct error *error)
{
    const unsigned char *bytes = record->values[i];
    size_t begin = RECORD_OVERHEAD + i * record->array_bytes;
    enum status status = CAIRN_OK;

    for (size_t at = 0; at < record->array_bytes && status == CAIRN_OK; at += SLICE_BYTES) {
        size_t length = slice_bytes(at, record->array_bytes);

        *sum = checksum_add(*sum, bytes + at, length);
        status = store_value_write(value, begin + at, bytes + at, length, error);
    }
    return status;
}

static enum status header_write(const struct record *record, uint64_t sum, const struct store_value *value,
                                struct error *error)
{
    Cairn__ChunkRecord header = CAIRN__CHUNK_RECORD__INIT;
    unsigned char bytes[RECORD_OVERHEAD] = {0};
    uint32_t header_bytes;

    header.format = RECORD_FORMAT;
    header.step = record->step;
    header.table = record->table;
    header.chunk = record->chunk;
    header.value_bytes = record->array_bytes;
    header.arrays = record->arrays;
    header.checksum = sum;
    header_bytes = (uint32_t)cairn__chunk_record__get_packed_size(&header);
    BUG_IF(header_bytes > HEADER_BYTES);
    memcpy(bytes, &header_bytes, sizeof(header_bytes));
    cairn__chunk_record__pack(&header, bytes + sizeof(header_bytes));
    return store_value_write(value, 0, bytes, sizeof(bytes), error);
}

enum status record_write(struct store_transaction *transaction, uint32_t place, const struct record *record,
                         struct error *error)
{
    unsigned char key[RECORD_KEY_BYTES];
    uint64_t sum = checksum_begin(record->step, record->table, record->chunk);
    struct store_value value;
    enum status status;

    BUG_IF(record->arrays > RECORD_ARRAYS_MAX);
    record_key(record->table, record->chunk, place, key);
    status = store_value_begin(transaction, key, sizeof(key),
                               RECORD_OVERHEAD + record->arrays * record->array_bytes, &value, error);
    for (uint32_t i = 0; i < record->arrays && status == CAIRN_OK; i++)
        status = array_write(record, i, &value, &sum, error);
    if (status == CAIRN_OK)
        status = header_write(record, sum, &value, error);
    if (status == CAIRN_OK)
        store_value_end(&value);
    return status;
}

/* The header of a place. Owns: the caller frees *out.
 * Errors: CAIRN_NOT_FOUND: the place is empty; CAIRN_CORRUPT: its header cannot be read. */
static enum status header_read(struct store_transaction *transaction, uint32_t table, uint32_t chunk,
                               uint32_t place, Cairn__ChunkRecord **out, const unsigned char **values,
                               size_t *values_bytes, struct error *error)
{
    unsigned char key[RECORD_KEY_BYTES];
    const void *value;
    size_t length;
    uint32_t header_bytes;
    enum status status;

    record_key(table, chunk, place, key);
    status = store_get(transaction, key, sizeof(key), &value, &length, error);
    if (status != CAIRN_OK)
        return status;
    if (length < RECORD_OVERHEAD)
        return error_set(error, CAIRN_CORRUPT, "the record of chunk %u is short (%zu bytes)", chunk, length);
    memcpy(&header_bytes, value, sizeof(header_bytes));
    if (header_bytes > HEADER_BYTES)
        return error_set(error, CAIRN_CORRUPT, "the record of chunk %u has no header", chunk);
    *out = cairn__chunk_record__unpack(NULL, header_bytes, (const uint8_t *)value + sizeof(header_bytes));
    if (!*out)
        return error_set(error, CAIRN_CORRUPT, "the record of chunk %u has no header", chunk);
    *values = (const unsigned char *)value + RECORD_OVERHEAD;
    *values_bytes = length - RECORD_OVERHEAD;
    return CAIRN_OK;
}

bool record_tag(struct store_transaction *transaction, uint32_t table, uint32_t chunk, uint32_t place,
                uint64_t *step)
{
    Cairn__ChunkRecord *header;
    const unsigned char *values;
    size_t values_bytes;

    if (header_read(transaction, table, chunk, place, &header, &values, &values_bytes, NULL) != CAIRN_OK)
        return false;
    *step = header->step;
    cairn__chunk_record__free_unpacked(header, NULL);
    return true;
}

/* Checks a header with the wanted step against its own bytes. */
static enum status record_check(const Cairn__ChunkRecord *header, uint32_t table, uint32_t chunk,
                                const unsigned char *values, size_t values_bytes, struct error *error)
{
    if (header->format != RECORD_FORMAT)
        return error_set(error, CAIRN_CORRUPT,
                         "the record of chunk %u is of format %u, this program reads %d", chunk,
                         header->format, RECORD_FORMAT);
    if (header->table != table || header->chunk != chunk)
        return error_set(error, CAIRN_CORRUPT, "the record of chunk %u says that it is chunk %u of table %u",
                         chunk, header->chunk, header->table);
    if (header->arrays == 0 || header->arrays > RECORD_ARRAYS_MAX || header->value_bytes > values_bytes ||
        header->value_bytes == 0 || header->value_bytes % sizeof(float) != 0 ||
        header->arrays * header->value_bytes != values_bytes)
        return error_set(error, CAIRN_CORRUPT,
                         "the record of chunk %u has %zu bytes of values, not %u x %llu", chunk, values_bytes,
                         header->arrays, (unsigned long long)header->value_bytes);
    if (header->checksum != checksum_all(header, values))
        return error_set(error, CAIRN_CORRUPT, "the record of chunk %u at step %llu has a wrong checksum",
                         chunk, (unsigned long long)header->step);
    return CAIRN_OK;
}

enum status record_find(struct store_transaction *transaction, uint32_t table, uint32_t chunk, uint64_t step,
                        struct record *record, struct error *error)
{
    enum status status, worst = CAIRN_NOT_FOUND;

    error_set(error, CAIRN_NOT_FOUND, "there is no record of chunk %u at step %llu", chunk,
              (unsigned long long)step);
    for (uint32_t place = 0; place < RECORD_PLACES; place++) {
        Cairn__ChunkRecord *header;
        const unsigned char *values;
        size_t values_bytes;
        struct error problem;

        status = header_read(transaction, table, chunk, place, &header, &values, &values_bytes, &problem);
        if (status == CAIRN_OK && header->step == step) {
            status = record_check(header, table, chunk, values, values_bytes, error);
            *record = (struct record){step, table, chunk, header->arrays, header->value_bytes, {NULL}};
            for (uint32_t i = 0; status == CAIRN_OK && i < header->arrays; i++)
                record->values[i] = values + i * header->value_bytes;
            cairn__chunk_record__free_unpacked(header, NULL);
            return status;
        }
        if (status == CAIRN_OK) {
            cairn__chunk_record__free_unpacked(header, NULL);
        } else if (status != CAIRN_NOT_FOUND) {
            worst = status;
            if (error)
                *error = problem;
        }
    }
    return worst;
}
