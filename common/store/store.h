/* A small durable map from byte strings to byte strings in one LMDB environment: what the coordinator and each
 * shard keep their truth in.
 *
 * One writer thread a store (LMDB allows one write transaction); readers may be other threads, each with a
 * transaction of its own. A write transaction's commit is synchronous: after CAIRN_OK the data survives a
 * power cut; on any error the store is as before the transaction.
 *
 * The map grows by itself: it is opened as large as its file system (address space, not disk), and the file grows
 * as it is written, so no transaction has to wait for another to make room (map_file.h says why).
 * Refused, never guessed at: a file that is cut or damaged (pages.h), an environment that is not ours or of
 * another format, a full disk. A full disk leaves what was committed as it was; go on when there is room. */
#ifndef CAIRN_STORE_STORE_H
#define CAIRN_STORE_STORE_H

#include "base/status.h"

#include <stddef.h>
#include <stdint.h>

struct store;
struct store_transaction;

/* Opens or makes the environment in `directory` (made when missing, parents too).
 * map_bytes: the least that it must be able to hold. It can hold as much as the disk, unless the process has a
 * limit of address space (ulimit -v): then this, or twice the file when that is more.
 * Errors: CAIRN_IO, CAIRN_FULL, CAIRN_CORRUPT (not an LMDB file, or damaged), CAIRN_EXISTS (another process
 * has it open: an flock beside the map tells), each naming the directory. */
enum status store_open(const char *directory, size_t map_bytes, struct store **out, struct error *error) MUST_CHECK;

/* As store_open, for what need not survive: what is there is removed, and nothing is synchronous. */
enum status store_open_scratch(const char *directory, size_t map_bytes, struct store **out,
                               struct error *error) MUST_CHECK;

/* Closes; all transactions must have ended. NULL is allowed. */
void store_close(struct store *store);

/* Begins a transaction. Thread: store_begin_write by the writer thread only. */
enum status store_begin_write(struct store *store, struct store_transaction **out, struct error *error) MUST_CHECK;
enum status store_begin_read(struct store *store, struct store_transaction **out, struct error *error) MUST_CHECK;

/* Makes the writes durable and ends the transaction, also on failure. */
enum status store_commit(struct store_transaction *transaction, struct error *error) MUST_CHECK;

/* Ends a transaction without effect. NULL is allowed. */
void store_abort(struct store_transaction *transaction);

/* The value of key; borrowed from the map until the transaction ends (or the next write in it).
 * Errors: CAIRN_NOT_FOUND. */
enum status store_get(struct store_transaction *transaction, const void *key, size_t key_bytes,
                      const void **value, size_t *value_bytes, struct error *error) MUST_CHECK;

/* Sets key to a copy of value. Errors: CAIRN_FULL when the disk (or a map of limited size) is. Keys: 1 to 511 bytes. */
enum status store_put(struct store_transaction *transaction, const void *key, size_t key_bytes,
                      const void *value, size_t value_bytes, struct error *error) MUST_CHECK;

/* Makes room for value_bytes under key and gives the place in the map, to be filled before the next call on
 * the transaction. The place is 2-byte aligned only. */
enum status store_reserve(struct store_transaction *transaction, const void *key, size_t key_bytes,
                          size_t value_bytes, void **place, struct error *error) MUST_CHECK;

/* A value that is filled, or read, piece by piece. */
struct store_value {
    struct store_transaction *transaction;
    unsigned char *place; /* in the map */
    size_t bytes;
    uint64_t offset; /* in the file, of a large one: read and written past the map; 0: through the map */
};

/* Makes room as store_reserve does, to be filled by store_value_write before the next call of another kind on the
 * transaction: the way for large values, which are then written past the map. */
enum status store_value_begin(struct store_transaction *transaction, const void *key, size_t key_bytes,
                              size_t value_bytes, struct store_value *value, struct error *error) MUST_CHECK;

/* Sets the bytes [at, at + bytes) of the value. Errors: CAIRN_IO, CAIRN_FULL. */
enum status store_value_write(const struct store_value *value, size_t at, const void *data, size_t bytes,
                              struct error *error) MUST_CHECK;

/* The value is whole: lets the disk begin with it. */
void store_value_end(const struct store_value *value);

/* The value of key, to be read until the transaction ends (or the next write in it). Errors: CAIRN_NOT_FOUND. */
enum status store_value_find(struct store_transaction *transaction, const void *key, size_t key_bytes,
                             struct store_value *value, struct error *error) MUST_CHECK;

/* The value is going to be read in its place in the map: lets the disk begin with it. */
void store_value_expect(const struct store_value *value);

/* Copies the bytes [at, at + bytes) of the value out, a large one's past the map. Errors: CAIRN_IO. */
enum status store_value_read(const struct store_value *value, size_t at, void *data, size_t bytes,
                             struct error *error) MUST_CHECK;

/* Removes key; CAIRN_NOT_FOUND when it is not there. */
enum status store_delete(struct store_transaction *transaction, const void *key, size_t key_bytes,
                         struct error *error) MUST_CHECK;

/* Calls visit for every key that starts with prefix, in byte order, until it returns other than CAIRN_OK,
 * which is then returned. */
typedef enum status store_visit(void *context, const void *key, size_t key_bytes, const void *value,
                                size_t value_bytes, struct error *error);
enum status store_scan(struct store_transaction *transaction, const void *prefix, size_t prefix_bytes,
                       store_visit *visit, void *context, struct error *error) MUST_CHECK;

#endif
