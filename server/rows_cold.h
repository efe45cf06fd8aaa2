/* Reading the rows of a table that are not in memory, wherever they are. Thread: the shard's. */
#ifndef CAIRN_SERVER_ROWS_COLD_H
#define CAIRN_SERVER_ROWS_COLD_H

#include "rows_state.h"

enum cold_place { COLD_ACTIVE, COLD_OLD, COLD_DURABLE, COLD_PLACES };

/* Open on all cold places as they are at the time. All zero: closed. */
struct cold_reader {
    struct rows *rows;
    struct store_transaction *swap, *durable;
    struct cold_head {
        struct store_cursor *cursor; /* NULL: the place has nothing */
        bool is_there;               /* for cold_next */
        uint64_t hash;
        const void *record;
        size_t bytes;
    } heads[COLD_PLACES];
};

/* Opens; nothing may be written to the swap before it is closed. Owns: the caller, also after a failure. */
enum status cold_open(struct rows *rows, struct cold_reader *reader, struct error *error) MUST_CHECK;
void cold_close(struct cold_reader *reader);

/* The checked record of a hash, borrowed until the reader is closed; *record NULL: there is no such row.
 * Ascending hashes are fastest. Errors: CAIRN_CORRUPT, CAIRN_IO. */
enum status cold_get(struct cold_reader *reader, uint64_t hash, const void **record,
                     struct error *error) MUST_CHECK;

/* Goes to the first row with a hash >= from, for cold_next. */
enum status cold_seek(struct cold_reader *reader, uint64_t from, struct error *error) MUST_CHECK;

/* The next row that the cold places have, in order of hash, as the first of them has it: its checked record.
 * Removed rows are passed over. Errors: CAIRN_NOT_FOUND behind the last, or behind `last`. */
enum status cold_next(struct cold_reader *reader, uint64_t last, uint64_t *hash, const void **record,
                      struct error *error) MUST_CHECK;

#endif
