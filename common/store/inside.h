/* What the files of common/store share of a store and its transactions. Nobody else includes it. */
#ifndef CAIRN_STORE_INSIDE_H
#define CAIRN_STORE_INSIDE_H

#include "store/store.h"

#include <lmdb.h>

MDB_txn *store_inside_handle(const struct store_transaction *transaction);

/* Fills *error for a code of LMDB and returns its status. */
enum status store_inside_error(const struct store_transaction *transaction, int code, const char *what,
                               struct error *error);

/* Counts the pages of one more tree that the transaction writes to: they may all be copied. */
void store_inside_count(struct store_transaction *transaction, const MDB_stat *facts);

/* Gives the file the blocks for one more write of the transaction.
 * pages: that it frees beside its own. Errors: CAIRN_FULL, CAIRN_IO. */
enum status store_inside_allocate(struct store_transaction *transaction, size_t key_bytes, size_t value_bytes,
                                  uint64_t pages, struct error *error) MUST_CHECK;

#endif
