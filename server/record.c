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

/* ---- reading */

/* A place that holds a record. */
struct place {
    Cairn__ChunkRecord *header;
    struct store_value value;
};

static void place_fini(struct place *place)
{
    cairn__chunk_record__free_unpacked(place->header, NULL);
    place->header = NULL;
}

static const unsigned char *place_values(const struct place *place)
{
    return place->value.place + RECORD_OVERHEAD;
}

/* The header of a place. Owns: the caller, place_fini after CAIRN_OK.
 * Errors: CAIRN_NOT_FOUND: the place is empty; CAIRN_CORRUPT: its header cannot be read. */
static enum status place_read(struct store_transaction *transaction, uint32_t table, uint32_t chunk,
                              uint32_t number, struct place *place, struct error *error)
{
    unsigned char key[RECORD_KEY_BYTES];
    uint32_t header_bytes;
    enum status status;

    record_key(table, chunk, number, key);
    status = store_value_find(transaction, key, sizeof(key), &place->value, error);
    if (status != CAIRN_OK)
        return status;
    if (place->value.bytes < RECORD_OVERHEAD)
        return error_set(error, CAIRN_CORRUPT, "the record of chunk %u is short (%zu bytes)", chunk,
                         place->value.bytes);
    memcpy(&header_bytes, place->value.place, sizeof(header_bytes));
    if (header_bytes > HEADER_BYTES)
        return error_set(error, CAIRN_CORRUPT, "the record of chunk %u has no header", chunk);
    place->header =
        cairn__chunk_record__unpack(NULL, header_bytes, place->value.place + sizeof(header_bytes));
    return place->header ? CAIRN_OK
                         : error_set(error, CAIRN_CORRUPT, "the record of chunk %u has no header", chunk);
}

bool record_tag(struct store_transaction *transaction, uint32_t table, uint32_t chunk, uint32_t place,
                uint64_t *step)
{
    struct place found;

    if (place_read(transaction, table, chunk, place, &found, NULL) != CAIRN_OK)
        return false;
    *step = found.header->step;
    place_fini(&found);
    return true;
}

/* Checks the header with the wanted step against the value's size. */
static enum status place_check(const struct place *place, uint32_t table, uint32_t chunk, struct error *error)
{
    const Cairn__ChunkRecord *header = place->header;
    size_t bytes = place->value.bytes - RECORD_OVERHEAD;

    if (header->format != RECORD_FORMAT)
        return error_set(error, CAIRN_CORRUPT,
                         "the record of chunk %u is of format %u, this program reads %d", chunk,
                         header->format, RECORD_FORMAT);
    if (header->table != table || header->chunk != chunk)
        return error_set(error, CAIRN_CORRUPT, "the record of chunk %u says that it is chunk %u of table %u",
                         chunk, header->chunk, header->table);
    if (header->arrays == 0 || header->arrays > RECORD_ARRAYS_MAX || header->value_bytes > bytes ||
        header->value_bytes == 0 || header->value_bytes % sizeof(float) != 0 ||
        header->arrays * header->value_bytes != bytes)
        return error_set(error, CAIRN_CORRUPT,
                         "the record of chunk %u has %zu bytes of values, not %u x %llu", chunk, bytes,
                         header->arrays, (unsigned long long)header->value_bytes);
    return CAIRN_OK;
}

/* Finds the place with that step and checks its header. Owns: as place_read. */
static enum status place_find(struct store_transaction *transaction, uint32_t table, uint32_t chunk,
                              uint64_t step, struct place *place, struct error *error)
{
    enum status status, worst = CAIRN_NOT_FOUND;

    error_set(error, CAIRN_NOT_FOUND, "there is no record of chunk %u at step %llu", chunk,
              (unsigned long long)step);
    for (uint32_t number = 0; number < RECORD_PLACES; number++) {
        struct error problem;

        status = place_read(transaction, table, chunk, number, place, &problem);
        if (status == CAIRN_OK && place->header->step == step) {
            status = place_check(place, table, chunk, error);
            if (status != CAIRN_OK)
                place_fini(place);
            return status;
        }
        if (status == CAIRN_OK) {
            place_fini(place);
        } else if (status != CAIRN_NOT_FOUND) {
            worst = status;
            if (error)
                *error = problem;
        }
    }
    return worst;
}

static enum status sum_check(const struct place *place, uint64_t sum, struct error *error)
{
    if (place->header->checksum == sum)
        return CAIRN_OK;
    return error_set(error, CAIRN_CORRUPT, "the record of chunk %u at step %llu has a wrong checksum",
                     place->header->chunk, (unsigned long long)place->header->step);
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

enum status record_find(struct store_transaction *transaction, uint32_t table, uint32_t chunk, uint64_t step,
                        struct record *record, struct error *error)
{
    struct place place;
    enum status status = place_find(transaction, table, chunk, step, &place, error);

    if (status != CAIRN_OK)
        return status;
    store_value_expect(&place.value);
    status = sum_check(&place, checksum_all(place.header, place_values(&place)), error);
    *record = (struct record){step, table, chunk, place.header->arrays, place.header->value_bytes, {NULL}};
    for (uint32_t i = 0; i < record->arrays; i++)
        record->values[i] = place_values(&place) + i * record->array_bytes;
    place_fini(&place);
    return status;
}

/* Reads array i and adds it to the checksum. */
static enum status array_read(const struct place *place, uint32_t i, unsigned char *bytes, uint64_t *sum,
                              struct error *error)
{
    size_t array_bytes = place->header->value_bytes, begin = RECORD_OVERHEAD + i * array_bytes;
    enum status status = CAIRN_OK;

    for (size_t at = 0; at < array_bytes && status == CAIRN_OK; at += SLICE_BYTES) {
        size_t length = slice_bytes(at, array_bytes);

        status = store_value_read(&place->value, begin + at, bytes + at, length, error);
        if (status == CAIRN_OK)
            *sum = checksum_add(*sum, bytes + at, length);
    }
    return status;
}

static enum status arrays_read(const struct place *place, const struct record *wanted, void *const arrays[],
                               struct error *error)
{
    uint64_t sum = checksum_begin(wanted->step, wanted->table, wanted->chunk);
    enum status status = CAIRN_OK;

    if (place->header->arrays != wanted->arrays || place->header->value_bytes != wanted->array_bytes)
        return error_set(error, CAIRN_CORRUPT,
                         "the record of chunk %u holds %u arrays of %llu bytes, the job needs %u of %zu",
                         wanted->chunk, place->header->arrays, (unsigned long long)place->header->value_bytes,
                         wanted->arrays, wanted->array_bytes);
    for (uint32_t i = 0; i < wanted->arrays && status == CAIRN_OK; i++)
        status = array_read(place, i, arrays[i], &sum, error);
    return status == CAIRN_OK ? sum_check(place, sum, error) : status;
}

enum status record_load(struct store_transaction *transaction, const struct record *wanted,
                        void *const arrays[], struct error *error)
{
    struct place place;
    enum status status = place_find(transaction, wanted->table, wanted->chunk, wanted->step, &place, error);

    if (status != CAIRN_OK)
        return status;
    status = arrays_read(&place, wanted, arrays, error);
    place_fini(&place);
    return status;
}
