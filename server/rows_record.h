/* A row on disk, in the swap and in the durable store alike: a checksum, the step of its last use, its
 * floats. The record of a removed row is empty; it hides older ones. Records lie in a map at odd places: they
 * are read and written by bytes. Any thread. */
#ifndef CAIRN_SERVER_ROWS_RECORD_H
#define CAIRN_SERVER_ROWS_RECORD_H

#include "base/status.h"
#include "rows.h"

#include <stddef.h>
#include <stdint.h>

#define RECORD_HEAD_BYTES 8u         /* u32 checksum, u32 used_step */
#define ROW_REMOVED       UINT32_MAX /* the used_step of a removed row in memory */

static inline size_t row_record_bytes(uint32_t floats)
{
    return RECORD_HEAD_BYTES + floats * sizeof(float);
}

/* The record of a row: used_step and floats behind it. record: row_record_bytes of room. */
void row_record_write(uint64_t hash, const struct row *row, void *record, size_t record_bytes);

/* The checksum that a record says it has. */
uint32_t row_record_checksum(const void *record);

/* Checks a record of the row with this hash. Errors: CAIRN_CORRUPT, naming the key. */
enum status row_record_check(uint64_t hash, const void *record, size_t bytes, size_t record_bytes,
                             struct error *error) MUST_CHECK;

/* Fills a row, key included, from a checked record. */
void row_record_read(uint64_t hash, const void *record, size_t record_bytes, struct row *row);

/* A checksum of bytes that belong to `seed`. */
uint32_t row_record_sum(uint64_t seed, const void *bytes, size_t length);

#endif
