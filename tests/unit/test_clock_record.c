/* A chunk's clocks on disk: what was written comes back from the place of its step, and nothing else is
 * believed. */
#include "clock_record.h"

#include "check_main.h"
#include "folder.h"

#include <check.h>
#include <string.h>

static char directory[FOLDER_BYTES];
static struct store *store;

static void set_up(void)
{
    folder_make(directory);
    ck_assert_int_eq(store_open(directory, 1 << 20, &store, NULL), CAIRN_OK);
}

static void tear_down(void)
{
    store_close(store);
    folder_remove(directory);
}

static const struct clock some[] = {{1, 0, 5}, {3, 2, 4}};

static void write_record(uint32_t place, uint64_t step, uint64_t version, uint32_t count)
{
    const struct clock_record record = {
        .step = step, .table = 0, .chunk = 7, .version = version, .count = count, .clocks = some};
    struct store_transaction *transaction;

    ck_assert_int_eq(store_begin_write(store, &transaction, NULL), CAIRN_OK);
    ck_assert_int_eq(clock_record_write(transaction, place, &record, NULL), CAIRN_OK);
    ck_assert_int_eq(store_commit(transaction, NULL), CAIRN_OK);
}

/* Loads chunk 7's of a step; *clocks is zero before and to be finished. */
static enum status load(uint64_t step, uint64_t *version, struct clocks *clocks, struct error *error)
{
    struct store_transaction *transaction;
    enum status status;

    ck_assert_int_eq(store_begin_read(store, &transaction, NULL), CAIRN_OK);
    status = clock_record_load(transaction, 0, 7, step, version, clocks, error);
    store_abort(transaction);
    return status;
}

static void expect(uint64_t step, uint64_t version, uint32_t count)
{
    struct clocks clocks = {0};
    struct error error = {.message = ""};
    uint64_t found;

    ck_assert_msg(load(step, &found, &clocks, &error) == CAIRN_OK, "%s", error.message);
    ck_assert_uint_eq(found, version);
    ck_assert_uint_eq(clocks.count, count);
    for (uint32_t i = 0; i < count; i++)
        ck_assert_int_eq(memcmp(&clocks.items[i], &some[i], sizeof(some[i])), 0);
    clocks_fini(&clocks);
}

START_TEST(each_step_has_its_own)
{
    struct clocks clocks = {0};
    uint64_t version;

    write_record(0, 10, 5, 1);
    write_record(1, 20, 7, 2);
    expect(10, 5, 1);
    expect(20, 7, 2);
    write_record(0, 30, 0, 0);
    expect(30, 0, 0);
    ck_assert_int_eq(load(10, &version, &clocks, NULL), CAIRN_NOT_FOUND);
    clocks_fini(&clocks);
}
END_TEST

START_TEST(clocks_that_do_not_add_up_are_refused)
{
    struct clocks clocks = {0};
    struct error error;
    uint64_t version;

    write_record(0, 10, 8, 2);
    ck_assert_int_eq(load(10, &version, &clocks, &error), CAIRN_CORRUPT);
    ck_assert_str_eq(error.message, "the clocks of chunk 7 do not add up to its version");
    clocks_fini(&clocks);
}
END_TEST

/* Every byte of a record changed, and every length of it. */
START_TEST(damage_is_seen)
{
    static const unsigned char key[] = {'k', 0, 0, 0, 0, 7, 0};
    unsigned char whole[256], damaged[256];
    struct store_transaction *transaction;
    struct clocks clocks = {0};
    const void *bytes;
    uint64_t version;
    size_t length;

    write_record(0, 10, 7, 2);
    ck_assert_int_eq(store_begin_read(store, &transaction, NULL), CAIRN_OK);
    ck_assert_int_eq(store_get(transaction, key, sizeof(key), &bytes, &length, NULL), CAIRN_OK);
    ck_assert_uint_le(length, sizeof(whole));
    memcpy(whole, bytes, length);
    store_abort(transaction);
    for (size_t i = 0; i < 2 * length; i++) {
        size_t kept = i < length ? length : i - length;

        memcpy(damaged, whole, length);
        if (i < length)
            damaged[i] ^= 0x10;
        ck_assert_int_eq(store_begin_write(store, &transaction, NULL), CAIRN_OK);
        ck_assert_int_eq(store_put(transaction, key, sizeof(key), damaged, kept, NULL), CAIRN_OK);
        ck_assert_int_eq(store_commit(transaction, NULL), CAIRN_OK);
        ck_assert_int_ne(load(10, &version, &clocks, NULL), CAIRN_OK);
        ck_assert_uint_eq(clocks.count, 0);
    }
    clocks_fini(&clocks);
}
END_TEST

/* Between shards they are bytes like any other. */
START_TEST(bytes_of_another_step_or_chunk_are_refused)
{
    const struct clock_record record = {
        .step = 7, .table = 0, .chunk = 3, .version = 7, .count = 2, .clocks = some};
    struct clock_record wanted = record;
    unsigned char bytes[256];
    struct clocks clocks = {0};
    uint64_t version;
    size_t length = clock_record_bytes(2);

    ck_assert_uint_le(length, sizeof(bytes) - 1);
    clock_record_pack(&record, bytes + 1);
    ck_assert_int_eq(clock_record_unpack(bytes + 1, length, &wanted, &version, &clocks, NULL), CAIRN_OK);
    ck_assert_uint_eq(version, 7);
    ck_assert_uint_eq(clocks.count, 2);
    ck_assert_int_eq(clock_record_unpack(bytes + 1, 8, &wanted, &version, &clocks, NULL), CAIRN_CORRUPT);
    wanted.step = 8;
    ck_assert_int_eq(clock_record_unpack(bytes + 1, length, &wanted, &version, &clocks, NULL), CAIRN_CORRUPT);
    wanted.step = 7;
    wanted.chunk = 4;
    ck_assert_int_eq(clock_record_unpack(bytes + 1, length, &wanted, &version, &clocks, NULL), CAIRN_CORRUPT);
    clocks_fini(&clocks);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("clock_record");
    TCase *tests = tcase_create("clock_record");

    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, each_step_has_its_own);
    tcase_add_test(tests, clocks_that_do_not_add_up_are_refused);
    tcase_add_test(tests, damage_is_seen);
    tcase_add_test(tests, bytes_of_another_step_or_chunk_are_refused);
    suite_add_tcase(suite, tests);
    return suite;
}

CHECK_MAIN(make_suite)
