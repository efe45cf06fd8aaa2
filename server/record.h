/* One chunk's durable record: a header that says what it is, then the raw arrays, in one of two places.
 *
 * A place is overwritten as a whole and in one transaction, so a reader finds either the old record or the
 * new; the header's tag says of which step it is. Whatever is read is checked: format, tag, lengths,
 * checksum. A key has the lowest byte of a table's number: tables of one store must differ in it. Knows nothing
 * of jobs or of which place to use. Runs on the thread of its transaction. */
#ifndef CAIRN_SERVER_RECORD_H
#define CAIRN_SERVER_RECORD_H

#include "base/status.h"
#include "store/store.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RECORD_PLACES     2
#define RECORD_ARRAYS_MAX 8
/* Bytes before the arrays: with the 16 of LMDB's page head they fill a page, so that arrays lie on whole pages of
 * the file, which the kernel copies in large pieces. */
#define RECORD_OVERHEAD (4096 - 16)

struct record {
    uint64_t step;
    uint32_t table, chunk;
    uint32_t arrays;
    size_t array_bytes; /* of each */
    const void *values[RECORD_ARRAYS_MAX];
};

/* Writes a record over whatever is in the place. The arrays are copied once, into the file.
 * Errors: CAIRN_FULL and others of store_reserve. */
enum status record_write(struct store_transaction *transaction, uint32_t place, const struct record *record,
                         struct error *error) MUST_CHECK;

/* The step that a place is tagged with; false when it is empty or cannot be read. */
bool record_tag(struct store_transaction *transaction, uint32_t table, uint32_t chunk, uint32_t place,
                uint64_t *step);

/* Finds the record of a chunk that is tagged with `step` and checks all of it; the values are borrowed from
 * the map until the transaction ends. Errors: CAIRN_NOT_FOUND (no place has that step), CAIRN_CORRUPT; each
 * with the chunk and step. */
enum status record_find(struct store_transaction *transaction, uint32_t table, uint32_t chunk, uint64_t step,
                        struct record *record, struct error *error) MUST_CHECK;

/* Copies the values of a chunk's record of a step into `arrays`, past the map: faster than to copy what record_find
 * gives. wanted: which record, and how many arrays of how many bytes; its values are not used.
 * Errors: as record_find, and CAIRN_CORRUPT for a record of other arrays; what is in the arrays is unspecified
 * then. */
enum status record_load(struct store_transaction *transaction, const struct record *wanted,
                        void *const arrays[], struct error *error) MUST_CHECK;

#endif
