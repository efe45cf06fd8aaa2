/* Tables of a store: order, bounds of a scan, transactions, and the scratch store. */
#include "check_main.h"
#include "folder.h"
#include "store/store.h"
#include "store/table.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define MIB ((size_t)1 << 20)

static char directory[FOLDER_BYTES];

static void setup(void)
{
    folder_make(directory);
}

static void teardown(void)
{
    folder_remove(directory);
}

static struct store *open_store(bool is_scratch)
{
    struct store *store = NULL;
    struct error error;
    enum status status = is_scratch ? store_open_scratch(directory, 64 * MIB, &store, &error)
                                    : store_open(directory, 64 * MIB, &store, &error);

    ck_assert_msg(status == CAIRN_OK, "%s", error.message);
    return store;
}

/* Puts the keys first, first + step, ...; each value is its key. */
static void put_some(struct store_transaction *transaction, struct store_table *table, uint64_t first,
                     uint64_t step, uint32_t count)
{
    struct store_cursor *cursor;
    void *place;

    ck_assert_int_eq(store_cursor_open(transaction, table, &cursor, NULL), CAIRN_OK);
    for (uint32_t i = 0; i < count; i++) {
        uint64_t key = first + i * step;

        ck_assert_int_eq(store_cursor_reserve(cursor, key, sizeof(key), false, &place, NULL), CAIRN_OK);
        memcpy(place, &key, sizeof(key));
    }
    store_cursor_close(cursor);
}

static uint64_t count_of(struct store *store, struct store_table *table)
{
    struct store_transaction *transaction;
    uint64_t count;

    ck_assert_int_eq(store_begin_read(store, &transaction, NULL), CAIRN_OK);
    ck_assert_int_eq(store_table_count(transaction, table, &count, NULL), CAIRN_OK);
    store_abort(transaction);
    return count;
}

START_TEST(keys_are_numbers_in_order)
{
    static const uint64_t keys[] = {UINT64_MAX, 0, 256, 1, (uint64_t)1 << 40};
    static const uint64_t sorted[] = {0, 1, 256, (uint64_t)1 << 40, UINT64_MAX};
    struct store *store = open_store(false);
    struct store_transaction *transaction;
    struct store_cursor *cursor;
    struct store_table table;
    const void *value;
    uint64_t key = 0;
    size_t bytes;

    ck_assert_int_eq(store_table_open(store, "numbers", &table, NULL), CAIRN_OK);
    ck_assert_int_eq(store_begin_write(store, &transaction, NULL), CAIRN_OK);
    for (int i = 0; i < 5; i++)
        put_some(transaction, &table, keys[i], 0, 1);
    ck_assert_int_eq(store_commit(transaction, NULL), CAIRN_OK);
    ck_assert_int_eq(store_begin_read(store, &transaction, NULL), CAIRN_OK);
    ck_assert_int_eq(store_cursor_open(transaction, &table, &cursor, NULL), CAIRN_OK);
    for (int i = 0; i < 5; i++) {
        ck_assert_int_eq(i == 0 ? store_cursor_seek(cursor, 0, &key, &value, &bytes, NULL)
                                : store_cursor_next(cursor, &key, &value, &bytes, NULL),
                         CAIRN_OK);
        ck_assert_uint_eq(key, sorted[i]);
        ck_assert_uint_eq(bytes, sizeof(key));
        ck_assert_mem_eq(value, &key, sizeof(key));
    }
    ck_assert_int_eq(store_cursor_next(cursor, &key, &value, &bytes, NULL), CAIRN_NOT_FOUND);
    ck_assert_int_eq(store_cursor_seek(cursor, 257, &key, &value, &bytes, NULL), CAIRN_OK);
    ck_assert_uint_eq(key, (uint64_t)1 << 40);
    ck_assert_int_eq(store_cursor_get(cursor, 256, &value, &bytes, NULL), CAIRN_OK);
    ck_assert_int_eq(store_cursor_get(cursor, 255, &value, &bytes, NULL), CAIRN_NOT_FOUND);
    store_cursor_close(cursor);
    store_cursor_close(NULL);
    store_abort(transaction);
    store_close(store);
}
END_TEST

START_TEST(tables_share_the_stores_transactions)
{
    struct store *store = open_store(false);
    struct store_transaction *transaction;
    struct store_table one, two;

    ck_assert_int_eq(store_table_open(store, "one", &one, NULL), CAIRN_OK);
    ck_assert_int_eq(store_table_open(store, "two", &two, NULL), CAIRN_OK);
    ck_assert_int_eq(store_begin_write(store, &transaction, NULL), CAIRN_OK);
    put_some(transaction, &one, 0, 7, 50000);
    ck_assert_int_eq(store_put(transaction, "key", 3, "value", 5, NULL), CAIRN_OK);
    ck_assert_int_eq(store_commit(transaction, NULL), CAIRN_OK);
    ck_assert_int_eq(store_begin_write(store, &transaction, NULL), CAIRN_OK);
    ck_assert_int_eq(store_table_clear(transaction, &one, NULL), CAIRN_OK);
    put_some(transaction, &two, 0, 7, 10);
    store_abort(transaction);
    ck_assert_uint_eq(count_of(store, &one), 50000);
    ck_assert_uint_eq(count_of(store, &two), 0);
    ck_assert_int_eq(store_begin_write(store, &transaction, NULL), CAIRN_OK);
    ck_assert_int_eq(store_table_clear(transaction, &one, NULL), CAIRN_OK);
    put_some(transaction, &one, 3, 7, 10);
    ck_assert_int_eq(store_commit(transaction, NULL), CAIRN_OK);
    store_close(store);
    store = open_store(false);
    ck_assert_int_eq(store_table_open(store, "one", &one, NULL), CAIRN_OK);
    ck_assert_uint_eq(count_of(store, &one), 10);
    store_close(store);
}
END_TEST

START_TEST(records_are_removed)
{
    struct store *store = open_store(false);
    struct store_transaction *transaction;
    struct store_cursor *cursor;
    struct store_table table;

    ck_assert_int_eq(store_table_open(store, "numbers", &table, NULL), CAIRN_OK);
    ck_assert_int_eq(store_begin_write(store, &transaction, NULL), CAIRN_OK);
    put_some(transaction, &table, 0, 1, 1000);
    ck_assert_int_eq(store_cursor_open(transaction, &table, &cursor, NULL), CAIRN_OK);
    for (uint64_t key = 0; key < 2000; key += 2)
        ck_assert_int_eq(store_cursor_remove(cursor, key, NULL), CAIRN_OK);
    store_cursor_close(cursor);
    ck_assert_int_eq(store_commit(transaction, NULL), CAIRN_OK);
    ck_assert_uint_eq(count_of(store, &table), 500);
    store_close(store);
}
END_TEST

START_TEST(a_scratch_store_begins_empty)
{
    struct store *store = open_store(true);
    struct store_transaction *transaction;
    struct store_table table;

    ck_assert_int_eq(store_table_open(store, "numbers", &table, NULL), CAIRN_OK);
    ck_assert_int_eq(store_begin_write(store, &transaction, NULL), CAIRN_OK);
    put_some(transaction, &table, 0, 1, 1000);
    ck_assert_int_eq(store_commit(transaction, NULL), CAIRN_OK);
    ck_assert_uint_eq(count_of(store, &table), 1000);
    store_close(store);
    store = open_store(true);
    ck_assert_int_eq(store_table_open(store, "numbers", &table, NULL), CAIRN_OK);
    ck_assert_uint_eq(count_of(store, &table), 0);
    store_close(store);
}
END_TEST

static Suite *store_table_suite(void)
{
    Suite *suite = suite_create("store_table");
    TCase *tests = tcase_create("store_table");

    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, keys_are_numbers_in_order);
    tcase_add_test(tests, tables_share_the_stores_transactions);
    tcase_add_test(tests, records_are_removed);
    tcase_add_test(tests, a_scratch_store_begins_empty);
    suite_add_tcase(suite, tests);
    return suite;
}

CHECK_MAIN(store_table_suite)
