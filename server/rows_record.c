/* Records of rows. */
#include "rows_record.h"

#include "rows_hash.h"

#include <string.h>

/* Two lanes of multiplications, folded at the end. Against damage, not against malice. */
uint32_t row_record_sum(uint64_t seed, const void *bytes, size_t length)
{
    const uint64_t factor = 0x9fb21c651e98df25u;
    const unsigned char *at = bytes;
    uint64_t lanes[2] = {seed ^ length, ~seed}, word;
    size_t i;

    for (i = 0; i + 16 <= length; i += 16) {
        for (size_t j = 0; j < 2; j++) {
            memcpy(&word, at + i + 8 * j, sizeof(word));
            lanes[j] = (lanes[j] ^ word) * factor;
            lanes[j] ^= lanes[j] >> 29;
        }
    }
    for (; i < length; i++)
        lanes[0] = (lanes[0] ^ at[i]) * factor;
    word = rows_hash(lanes[0] ^ rows_hash(lanes[1]));
    return (uint32_t)(word >> 32);
}

void row_record_write(uint64_t hash, const struct row *row, void *record, size_t record_bytes)
{
    unsigned char *at = record;
    uint32_t sum;

    memcpy(at + sizeof(sum), &row->used_step, sizeof(row->used_step));
    memcpy(at + RECORD_HEAD_BYTES, row->floats, record_bytes - RECORD_HEAD_BYTES);
    sum = row_record_sum(hash, at + sizeof(sum), record_bytes - sizeof(sum));
    memcpy(at, &sum, sizeof(sum));
}

uint32_t row_record_checksum(const void *record)
{
    uint32_t sum;

    memcpy(&sum, record, sizeof(sum));
    return sum;
}

enum status row_record_check(uint64_t hash, const void *record, size_t bytes, size_t record_bytes,
                             struct error *error)
{
    const unsigned char *at = record;

    if (bytes != record_bytes)
        return error_set(error, CAIRN_CORRUPT, "the record of the row of key %llu has %zu bytes, not %zu",
                         (unsigned long long)rows_unhash(hash), bytes, record_bytes);
    if (row_record_checksum(record) !=
        row_record_sum(hash, at + sizeof(uint32_t), record_bytes - sizeof(uint32_t)))
        return error_set(error, CAIRN_CORRUPT, "the record of the row of key %llu has a wrong checksum",
                         (unsigned long long)rows_unhash(hash));
    return CAIRN_OK;
}

void row_record_read(uint64_t hash, const void *record, size_t record_bytes, struct row *row)
{
    const unsigned char *at = record;

    row->key = rows_unhash(hash);
    memcpy(&row->used_step, at + sizeof(uint32_t), sizeof(row->used_step));
    memcpy(row->floats, at + RECORD_HEAD_BYTES, record_bytes - RECORD_HEAD_BYTES);
}
