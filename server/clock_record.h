/* A chunk's clocks as bytes, with the version that the chunk had. On disk: beside its record (record.h), in
 * the same transaction and in the same of the two places, so tagged with the same step, which in the
 * throughput modes is not the version. Between shards: in a snapshot, with the version as the tag. Whatever
 * is read is checked. Runs on the thread of its transaction. */
#ifndef CAIRN_SERVER_CLOCK_RECORD_H
#define CAIRN_SERVER_CLOCK_RECORD_H

#include "clocks.h"
#include "store/store.h"

struct clock_record {
    uint64_t step; /* the tag */
    uint32_t table, chunk;
    uint64_t version;
    uint32_t count;
    const struct clock *clocks; /* [count] */
};

/* The bytes of a record of so many clocks, a multiple of eight; puts it there. */
size_t clock_record_bytes(uint64_t count);
void clock_record_pack(const struct clock_record *record, void *bytes);

/* Reads the clocks of a chunk out of bytes from outside, which need not be aligned, and the version that they
 * add up to. Errors: CAIRN_CORRUPT, with the chunk (also when they are of another step); CAIRN_NO_MEMORY. */
enum status clock_record_unpack(const void *bytes, size_t length, const struct clock_record *wanted,
                                uint64_t *version, struct clocks *clocks, struct error *error) MUST_CHECK;

/* Writes a record over whatever is in the place. Errors: CAIRN_FULL and others of store_reserve. */
enum status clock_record_write(struct store_transaction *transaction, uint32_t place,
                               const struct clock_record *record, struct error *error) MUST_CHECK;

/* Loads the clocks of the record of a chunk that is tagged with `step`, and the version that they add up to.
 * Errors: CAIRN_NOT_FOUND, CAIRN_CORRUPT, each with the chunk; CAIRN_NO_MEMORY. */
enum status clock_record_load(struct store_transaction *transaction, uint32_t table, uint32_t chunk,
                              uint64_t step, uint64_t *version, struct clocks *clocks,
                              struct error *error) MUST_CHECK;

#endif
