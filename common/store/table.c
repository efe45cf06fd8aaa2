/* Tables of a store: LMDB's named databases with integer keys. */
#include "store/table.h"

#include "store/inside.h"

#include <stdlib.h>
#include <string.h>

struct store_cursor {
    struct store_transaction *transaction;
    MDB_cursor *handle;
};

enum status store_table_open(struct store *store, const char *name, struct store_table *out,
                             struct error *error)
{
    struct store_transaction *transaction;
    MDB_dbi database;
    int code;
    enum status status = store_begin_write(store, &transaction, error);

    if (status != CAIRN_OK)
        return status;
    status = store_inside_allocate(transaction, 64, 64, 0, error);
    if (status != CAIRN_OK) {
        store_abort(transaction);
        return status;
    }
    code = mdb_dbi_open(store_inside_handle(transaction), name, MDB_CREATE | MDB_INTEGERKEY, &database);
    if (code != 0) {
        status = code == MDB_DBS_FULL
                     ? error_set(error, CAIRN_FULL, "a store has at most %d tables", STORE_TABLES_MAX)
                     : store_inside_error(transaction, code, "cannot open a table", error);
        store_abort(transaction);
        return status;
    }
    status = store_commit(transaction, error);
    if (status == CAIRN_OK)
        *out = (struct store_table){store, database};
    return status;
}

static enum status table_facts(struct store_transaction *transaction, const struct store_table *table,
                               MDB_stat *facts, struct error *error)
{
    int code = mdb_stat(store_inside_handle(transaction), table->database, facts);

    return code == 0 ? CAIRN_OK : store_inside_error(transaction, code, "cannot read a table", error);
}

enum status store_table_count(struct store_transaction *transaction, const struct store_table *table,
                              uint64_t *count, struct error *error)
{
    MDB_stat facts;
    enum status status = table_facts(transaction, table, &facts, error);

    if (status == CAIRN_OK)
        *count = facts.ms_entries;
    return status;
}

enum status store_table_clear(struct store_transaction *transaction, const struct store_table *table,
                              struct error *error)
{
    MDB_stat facts;
    int code;
    enum status status = table_facts(transaction, table, &facts, error);

    if (status == CAIRN_OK)
        status = store_inside_allocate(
            transaction, 0, 0, facts.ms_branch_pages + facts.ms_leaf_pages + facts.ms_overflow_pages, error);
    if (status != CAIRN_OK)
        return status;
    code = mdb_drop(store_inside_handle(transaction), table->database, 0);
    return code == 0 ? CAIRN_OK : store_inside_error(transaction, code, "cannot clear a table", error);
}

enum status store_cursor_open(struct store_transaction *transaction, const struct store_table *table,
                              struct store_cursor **out, struct error *error)
{
    struct store_cursor *cursor = calloc(1, sizeof(*cursor));
    MDB_stat facts;
    int code;
    enum status status = table_facts(transaction, table, &facts, error);

    if (!cursor)
        return error_set(error, CAIRN_NO_MEMORY, "no memory for a cursor");
    if (status != CAIRN_OK) {
        free(cursor);
        return status;
    }
    cursor->transaction = transaction;
    code = mdb_cursor_open(store_inside_handle(transaction), table->database, &cursor->handle);
    if (code != 0) {
        free(cursor);
        return store_inside_error(transaction, code, "cannot read a table", error);
    }
    store_inside_count(transaction, &facts);
    *out = cursor;
    return CAIRN_OK;
}

void store_cursor_close(struct store_cursor *cursor)
{
    if (!cursor)
        return;
    mdb_cursor_close(cursor->handle);
    free(cursor);
}

/* Moves the cursor and gives what is there. */
static enum status cursor_move(struct store_cursor *cursor, MDB_cursor_op how, uint64_t *key,
                               const void **value, size_t *value_bytes, struct error *error)
{
    MDB_val name = {sizeof(*key), key}, found;
    uint64_t number;
    int code = mdb_cursor_get(cursor->handle, &name, &found, how);

    if (code == MDB_NOTFOUND)
        return CAIRN_NOT_FOUND;
    if (code != 0)
        return store_inside_error(cursor->transaction, code, "cannot read a table", error);
    if (name.mv_size != sizeof(number))
        return error_set(error, CAIRN_CORRUPT, "a table has a key of %zu bytes", name.mv_size);
    memcpy(&number, name.mv_data, sizeof(number));
    *key = number;
    *value = found.mv_data;
    *value_bytes = found.mv_size;
    return CAIRN_OK;
}

enum status store_cursor_get(struct store_cursor *cursor, uint64_t key, const void **value,
                             size_t *value_bytes, struct error *error)
{
    return cursor_move(cursor, MDB_SET_KEY, &key, value, value_bytes, error);
}

enum status store_cursor_seek(struct store_cursor *cursor, uint64_t from, uint64_t *key, const void **value,
                              size_t *value_bytes, struct error *error)
{
    *key = from;
    return cursor_move(cursor, MDB_SET_RANGE, key, value, value_bytes, error);
}

enum status store_cursor_next(struct store_cursor *cursor, uint64_t *key, const void **value,
                              size_t *value_bytes, struct error *error)
{
    return cursor_move(cursor, MDB_NEXT, key, value, value_bytes, error);
}

enum status store_cursor_reserve(struct store_cursor *cursor, uint64_t key, size_t value_bytes, bool is_last,
                                 void **place, struct error *error)
{
    MDB_val name = {sizeof(key), &key}, room = {value_bytes, NULL};
    enum status status = store_inside_allocate(cursor->transaction, sizeof(key), value_bytes, 0, error);
    int code;

    if (status != CAIRN_OK)
        return status;
    code = mdb_cursor_put(cursor->handle, &name, &room, is_last ? MDB_RESERVE | MDB_APPEND : MDB_RESERVE);
    if (code != 0)
        return store_inside_error(cursor->transaction, code, "cannot write to a table", error);
    *place = room.mv_data;
    return CAIRN_OK;
}

enum status store_cursor_remove(struct store_cursor *cursor, uint64_t key, struct error *error)
{
    MDB_val name = {sizeof(key), &key}, found;
    enum status status = store_inside_allocate(cursor->transaction, sizeof(key), 0, 0, error);
    int code;

    if (status != CAIRN_OK)
        return status;
    code = mdb_cursor_get(cursor->handle, &name, &found, MDB_SET_KEY);
    if (code == 0)
        code = mdb_cursor_del(cursor->handle, 0);
    return code == 0 || code == MDB_NOTFOUND
               ? CAIRN_OK
               : store_inside_error(cursor->transaction, code, "cannot remove from a table", error);
}
