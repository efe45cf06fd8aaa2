/* Stores that are not what they should be, and disks that are full: refused with one line, nothing lost. */
#include "check_main.h"
#include "rows_model.h"
#include "store/table.h"

#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>

#define TINY_BUDGET ((uint64_t)64 << 10)
#define HEAD_BYTES  8 /* of a record: checksum and step */

static struct world world; /* large */

/* A table with two generations, closed again. */
static void generations_make(uint64_t budget_bytes)
{
    world_open(&world, true, budget_bytes, 21);
    for (uint32_t i = 0; i < 10; i++)
        world_make(&world);
    world_generation(&world);
    world_make(&world);
    world_generation(&world);
    rows_free(world.rows);
    world.rows = NULL;
}

static struct rows_options options_now(void)
{
    return (struct rows_options){.floats = MODEL_FLOATS,
                                 .swap_directory = world.swap,
                                 .store = world.store,
                                 .table = 3,
                                 .step = world.committed.step};
}

static void expect_refused(struct rows_options options, const char *reason)
{
    struct rows *rows = NULL;

    ck_assert_int_eq(rows_new(&options, &rows, &world.error), CAIRN_CORRUPT);
    ck_assert_msg(strstr(world.error.message, reason) != NULL, "%s", world.error.message);
    ck_assert_ptr_null(rows);
}

/* Sets (record NULL: removes) a record of one of the table's two parts behind its back. */
static void record_set(const char *part, uint64_t hash, const void *record, size_t bytes)
{
    struct store_transaction *transaction;
    struct store_cursor *cursor;
    struct store_table table;
    void *place;

    ck_assert_int_eq(store_table_open(world.store, part, &table, NULL), CAIRN_OK);
    ck_assert_int_eq(store_begin_write(world.store, &transaction, NULL), CAIRN_OK);
    ck_assert_int_eq(store_cursor_open(transaction, &table, &cursor, NULL), CAIRN_OK);
    if (record) {
        ck_assert_int_eq(store_cursor_reserve(cursor, hash, bytes, false, &place, NULL), CAIRN_OK);
        memcpy(place, record, bytes);
    } else {
        ck_assert_int_eq(store_cursor_remove(cursor, hash, NULL), CAIRN_OK);
    }
    store_cursor_close(cursor);
    ck_assert_int_eq(store_commit(transaction, NULL), CAIRN_OK);
}

/* Copies the first record of a part that is not empty; its hash. */
static uint64_t record_first(const char *part, unsigned char *record, size_t *bytes)
{
    struct store_transaction *transaction;
    struct store_cursor *cursor;
    struct store_table table;
    const void *value;
    uint64_t hash = 0;
    enum status status;

    ck_assert_int_eq(store_table_open(world.store, part, &table, NULL), CAIRN_OK);
    ck_assert_int_eq(store_begin_read(world.store, &transaction, NULL), CAIRN_OK);
    ck_assert_int_eq(store_cursor_open(transaction, &table, &cursor, NULL), CAIRN_OK);
    status = store_cursor_seek(cursor, 0, &hash, &value, bytes, NULL);
    while (status == CAIRN_OK && *bytes == 0)
        status = store_cursor_next(cursor, &hash, &value, bytes, NULL);
    ck_assert_int_eq(status, CAIRN_OK);
    memcpy(record, value, *bytes);
    store_cursor_close(cursor);
    store_abort(transaction);
    return hash;
}

START_TEST(another_kind_of_rows_or_step_is_refused)
{
    struct rows_options options;

    generations_make(0);
    options = options_now();
    options.floats++;
    expect_refused(options, "bytes");
    options = options_now();
    options.step = world.now.step + 1;
    expect_refused(options, "the job needs step");
    options = options_now();
    options.step = 0; /* two generations ago */
    expect_refused(options, "the job needs step");
    options = options_now();
    options.table = 4; /* has never been written */
    expect_refused(options, "has no rows of table 4");
    world_close(&world);
}
END_TEST

START_TEST(a_table_without_a_place_to_swap_is_refused)
{
    struct rows *rows = NULL;

    ck_assert_int_eq(
        rows_new(&(struct rows_options){.floats = 1, .budget_bytes = 1 << 20}, &rows, &world.error),
        CAIRN_INVALID);
    ck_assert_ptr_null(rows);
}
END_TEST

START_TEST(a_damaged_row_is_refused)
{
    unsigned char record[64];
    struct rows_options options;
    struct row *found[1];
    uint64_t hash, bytes_read, key;
    size_t bytes;

    generations_make(0);
    options = options_now();
    hash = record_first("rows.3", record, &bytes);
    ck_assert_uint_eq(bytes, HEAD_BYTES + MODEL_FLOATS * sizeof(float));
    record[HEAD_BYTES + 5] ^= 1;
    record_set("rows.3", hash, record, bytes);
    ck_assert_int_eq(rows_new(&options, &world.rows, &world.error), CAIRN_OK);
    key = rows_unhash(hash);
    ck_assert_int_eq(rows_find(world.rows, &key, 1, found, &world.error), CAIRN_CORRUPT);
    ck_assert_msg(strstr(world.error.message, "checksum") != NULL, "%s", world.error.message);
    rows_free(world.rows);
    ck_assert_int_eq(rows_new(&options, &world.rows, &world.error), CAIRN_OK);
    ck_assert_int_eq(rows_warm(world.rows, &bytes_read, &world.error), CAIRN_CORRUPT);
    rows_free(world.rows);
    record_set("rows.3", hash, record, bytes - 4);
    ck_assert_int_eq(rows_new(&options, &world.rows, &world.error), CAIRN_OK);
    ck_assert_int_eq(rows_find(world.rows, &key, 1, found, &world.error), CAIRN_CORRUPT);
    rows_free(world.rows);
    world.rows = NULL;
    world_close(&world);
}
END_TEST

START_TEST(a_row_in_anothers_place_is_refused)
{
    unsigned char record[64];
    struct rows_options options;
    struct row *found[1];
    uint64_t hash, key;
    size_t bytes;

    generations_make(0);
    options = options_now();
    hash = record_first("rows.3", record, &bytes);
    record_set("rows.3", hash, NULL, 0);
    expect_refused(options, "not"); /* one is missing */
    record_set("rows.3", hash + 1, record, bytes);
    ck_assert_int_eq(rows_new(&options, &world.rows, &world.error), CAIRN_OK);
    key = rows_unhash(hash + 1);
    ck_assert_int_eq(rows_find(world.rows, &key, 1, found, &world.error), CAIRN_CORRUPT);
    rows_free(world.rows);
    world.rows = NULL;
    world_close(&world);
}
END_TEST

/* An older record is as good by itself: the sum of all tells. */
START_TEST(an_older_row_is_found_by_warming)
{
    unsigned char record[64];
    struct rows_options options;
    uint64_t bytes_read, hash;
    size_t bytes;

    generations_make(0);
    options = options_now();
    hash = record_first("rows.3.before", record, &bytes);
    record_set("rows.3", hash, record, bytes);
    ck_assert_int_eq(rows_new(&options, &world.rows, &world.error), CAIRN_OK);
    ck_assert_int_eq(rows_warm(world.rows, &bytes_read, &world.error), CAIRN_CORRUPT);
    rows_free(world.rows);
    world.rows = NULL;
    world_close(&world);
}
END_TEST

START_TEST(a_damaged_tag_is_refused)
{
    static const unsigned char key[5] = {'r', 3, 0, 0, 0};
    struct store_transaction *transaction;
    unsigned char tag[256];
    const void *value;
    size_t bytes;

    generations_make(0);
    ck_assert_int_eq(store_begin_read(world.store, &transaction, NULL), CAIRN_OK);
    ck_assert_int_eq(store_get(transaction, key, sizeof(key), &value, &bytes, NULL), CAIRN_OK);
    ck_assert_uint_le(bytes, sizeof(tag));
    memcpy(tag, value, bytes);
    store_abort(transaction);
    for (size_t i = 0; i <= bytes; i++) { /* each byte changed, then one missing */
        size_t length = i == bytes ? bytes - 1 : bytes;

        if (i < bytes)
            tag[i] ^= 0x40;
        ck_assert_int_eq(store_begin_write(world.store, &transaction, NULL), CAIRN_OK);
        ck_assert_int_eq(store_put(transaction, key, sizeof(key), tag, length, NULL), CAIRN_OK);
        ck_assert_int_eq(store_commit(transaction, NULL), CAIRN_OK);
        expect_refused(options_now(), "the tag of table 3");
        if (i < bytes)
            tag[i] ^= 0x40;
    }
    world_close(&world);
}
END_TEST

START_TEST(a_damaged_image_leaves_the_generation)
{
    unsigned char record[64];
    struct rows_options options;
    uint64_t hash;
    size_t bytes;

    generations_make(0);
    hash = record_first("rows.3.before", record, &bytes);
    record[HEAD_BYTES] ^= 1;
    record_set("rows.3.before", hash, record, bytes);
    options = options_now();
    options.step = world.before.step;
    expect_refused(options, "checksum");
    world_open_rows(&world, world.committed.step);
    world_scan(&world);
    world_close(&world);
}
END_TEST

START_TEST(a_generation_over_another_is_refused)
{
    struct store_transaction *transaction;

    generations_make(0);
    world_open_rows(&world, world.committed.step);
    world_make(&world);
    world_capture(&world);
    world_capture_more(&world, UINT32_MAX);
    ck_assert_int_eq(store_begin_write(world.store, &transaction, NULL), CAIRN_OK);
    ck_assert_int_eq(rows_capture_write(world.capture, transaction, world.before.step + 1000, &world.error),
                     CAIRN_STALE);
    store_abort(transaction);
    rows_captured(world.rows, world.capture, false);
    world.capture = NULL;
    world_generation(&world);
    world_restart(&world, false);
    world_scan(&world);
    world_close(&world);
}
END_TEST

/* --- full disks --- */

/* A disk of our own; false where we may not mount one. */
static bool mount_small_disk(const char *path, const char *size)
{
    return mkdir(path, 0777) == 0 &&
           (unshare(CLONE_NEWNS) == 0 || unshare(CLONE_NEWUSER | CLONE_NEWNS) == 0) &&
           mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
           mount("tmpfs", path, "tmpfs", 0, size) == 0;
}

/* Makes rows of random keys, far more than the model's, until that fails; how many there are then. */
static uint64_t make_until_it_fails(struct rows *rows, enum status *status)
{
    uint64_t keys[ROWS_BLOCK_MAX], next = 0;
    struct row *made[ROWS_BLOCK_MAX];
    bool is_new[ROWS_BLOCK_MAX];
    struct rows_facts facts;

    do {
        for (uint32_t i = 0; i < ROWS_BLOCK_MAX; i++)
            keys[i] = next++;
        *status = rows_make(rows, keys, ROWS_BLOCK_MAX, made, is_new, &world.error);
        for (uint32_t i = 0; i < ROWS_BLOCK_MAX && *status == CAIRN_OK; i++)
            memset(made[i]->floats, 0, MODEL_FLOATS * sizeof(float));
    } while (*status == CAIRN_OK && next < 10000000);
    rows_facts(rows, &facts);
    ck_assert_uint_eq(facts.rows, next - ROWS_BLOCK_MAX);
    return facts.rows;
}

static enum status count_row(void *context, const struct row *row, struct error *error)
{
    (void)row, (void)error;
    ++*(uint64_t *)context;
    return CAIRN_OK;
}

START_TEST(a_full_swap_is_an_error_and_loses_nothing)
{
    char path[FOLDER_BYTES + 16];
    struct rows_options options = {
        .floats = MODEL_FLOATS, .budget_bytes = TINY_BUDGET, .swap_directory = path};
    struct rows *rows = NULL;
    struct rows_scan scan = {0, false};
    uint64_t count, seen = 0;
    enum status status;

    world_open(&world, false, 0, 1);
    snprintf(path, sizeof(path), "%s/disk", world.directory);
    if (mount_small_disk(path, "size=3m")) {
        ck_assert_int_eq(rows_new(&options, &rows, NULL), CAIRN_OK);
        count = make_until_it_fails(rows, &status);
        ck_assert_int_eq(status, CAIRN_FULL);
        ck_assert_msg(strstr(world.error.message, path) != NULL, "%s", world.error.message);
        ck_assert_uint_gt(count, 10000);
        while (!scan.is_done)
            ck_assert_int_eq(rows_scan(rows, &scan, 0, 5000, count_row, &seen, NULL), CAIRN_OK);
        ck_assert_uint_eq(seen, count);
        rows_free(rows);
        ck_assert_int_eq(umount(path), 0);
    }
    world_close(&world);
}
END_TEST

START_TEST(a_full_store_is_an_error_and_loses_nothing)
{
    char path[FOLDER_BYTES + 16];
    struct store *store = NULL;
    bool is_mounted;

    world_open(&world, false, 0, 1);
    rows_free(world.rows);
    world.rows = NULL;
    snprintf(path, sizeof(path), "%s/disk", world.directory);
    is_mounted = mount_small_disk(path, "size=2m");
    if (is_mounted) {
        ck_assert_int_eq(store_open(path, 1 << 28, &store, NULL), CAIRN_OK);
        world.store = store;
        world_open_rows(&world, 0);
        world_make(&world);
        world_generation(&world);
        for (uint32_t i = 0; i < 100; i++)
            world_make(&world);
        world_capture(&world);
        world_capture_more(&world, UINT32_MAX);
        world_write(&world);
        ck_assert_int_eq(world.written, CAIRN_FULL);
        ck_assert_msg(strstr(world.error.message, path) != NULL, "%s", world.error.message);
        rows_captured(world.rows, world.capture, false);
        world.capture = NULL;
        world_scan(&world);
        world_restart(&world, false); /* what was committed is there */
        world_scan(&world);
        rows_free(world.rows);
        world.rows = NULL;
        store_close(store);
        world.store = NULL;
        ck_assert_int_eq(umount(path), 0);
    }
    world_close(&world);
}
END_TEST

static Suite *rows_damage_suite(void)
{
    Suite *suite = suite_create("rows_damage");
    TCase *tests = tcase_create("rows_damage");

    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, another_kind_of_rows_or_step_is_refused);
    tcase_add_test(tests, a_table_without_a_place_to_swap_is_refused);
    tcase_add_test(tests, a_damaged_row_is_refused);
    tcase_add_test(tests, a_row_in_anothers_place_is_refused);
    tcase_add_test(tests, an_older_row_is_found_by_warming);
    tcase_add_test(tests, a_damaged_tag_is_refused);
    tcase_add_test(tests, a_damaged_image_leaves_the_generation);
    tcase_add_test(tests, a_generation_over_another_is_refused);
    tcase_add_test(tests, a_full_swap_is_an_error_and_loses_nothing);
    tcase_add_test(tests, a_full_store_is_an_error_and_loses_nothing);
    suite_add_tcase(suite, tests);
    return suite;
}

CHECK_MAIN(rows_damage_suite)
