/* Tables of a store: named maps from 64-bit numbers to small byte strings, in the order of the numbers,
 * beside the store's own records and in the same transactions.
 *
 * Reading and writing go through cursors: keys that come in order are found on the page of the one before.
 * Threads: as the transaction's. */
#ifndef CAIRN_STORE_TABLE_H
#define CAIRN_STORE_TABLE_H

#include "base/status.h"
#include "store/store.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STORE_TABLES_MAX 1100 /* of one store */

struct store_table {
    struct store *store;
    unsigned database;
};

struct store_cursor;

/* Opens the table `name`, or makes it, in a write transaction of its own: the writer thread, or any before
 * there is one. Errors: CAIRN_FULL (too many tables, or the disk), CAIRN_CORRUPT, CAIRN_IO. */
enum status store_table_open(struct store *store, const char *name, struct store_table *out,
                             struct error *error) MUST_CHECK;

/* How many records it has. */
enum status store_table_count(struct store_transaction *transaction, const struct store_table *table,
                              uint64_t *count, struct error *error) MUST_CHECK;

/* Removes all records. No cursor may be open on the table. */
enum status store_table_clear(struct store_transaction *transaction, const struct store_table *table,
                              struct error *error) MUST_CHECK;

/* A cursor; must be closed before the transaction ends. Owns: the caller. Errors: CAIRN_NO_MEMORY, CAIRN_IO.
 */
enum status store_cursor_open(struct store_transaction *transaction, const struct store_table *table,
                              struct store_cursor **out, struct error *error) MUST_CHECK;

/* NULL is allowed. */
void store_cursor_close(struct store_cursor *cursor);

/* The value of key; borrowed until the transaction ends or the next write in it; 2-byte aligned only.
 * Errors: CAIRN_NOT_FOUND, for which *error is not filled. */
enum status store_cursor_get(struct store_cursor *cursor, uint64_t key, const void **value,
                             size_t *value_bytes, struct error *error) MUST_CHECK;

/* Goes to the first key >= from and gives it with its value, borrowed as with store_cursor_get.
 * Errors: CAIRN_NOT_FOUND, for which *error is not filled. */
enum status store_cursor_seek(struct store_cursor *cursor, uint64_t from, uint64_t *key, const void **value,
                              size_t *value_bytes, struct error *error) MUST_CHECK;

/* The next key and value; CAIRN_NOT_FOUND behind the last, for which *error is not filled. */
enum status store_cursor_next(struct store_cursor *cursor, uint64_t *key, const void **value,
                              size_t *value_bytes, struct error *error) MUST_CHECK;

/* Sets key to a value that is to be filled in *place before the next call on the transaction.
 * is_last: key is beyond all others (then it is not searched for). Errors: CAIRN_FULL and others. */
enum status store_cursor_reserve(struct store_cursor *cursor, uint64_t key, size_t value_bytes, bool is_last,
                                 void **place, struct error *error) MUST_CHECK;

/* Removes key; CAIRN_OK also when it is not there. */
enum status store_cursor_remove(struct store_cursor *cursor, uint64_t key, struct error *error) MUST_CHECK;

#endif
