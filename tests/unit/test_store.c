/* The durable map: transactions, bounds, refusals, and a writer that is killed in the middle. */
#include "check_main.h"
#include "folder.h"
#include "store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <lmdb.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

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

static struct store *open_store(const char *path, size_t map_bytes)
{
    struct store *store = NULL;
    struct error error;

    ck_assert_msg(store_open(path, map_bytes, &store, &error) == CAIRN_OK, "%s", error.message);
    return store;
}

static void put(struct store *store, const char *key, const char *value)
{
    struct store_transaction *transaction;

    ck_assert_int_eq(store_begin_write(store, &transaction, NULL), CAIRN_OK);
    ck_assert_int_eq(store_put(transaction, key, strlen(key), value, strlen(value), NULL), CAIRN_OK);
    ck_assert_int_eq(store_commit(transaction, NULL), CAIRN_OK);
}

/* value NULL: the key must not be there. */
static void expect(struct store *store, const char *key, const char *value)
{
    struct store_transaction *transaction;
    const void *found;
    size_t bytes;
    enum status status;

    ck_assert_int_eq(store_begin_read(store, &transaction, NULL), CAIRN_OK);
    status = store_get(transaction, key, strlen(key), &found, &bytes, NULL);
    if (value) {
        ck_assert_int_eq(status, CAIRN_OK);
        ck_assert_uint_eq(bytes, strlen(value));
        ck_assert_mem_eq(found, value, bytes);
    } else {
        ck_assert_int_eq(status, CAIRN_NOT_FOUND);
    }
    store_abort(transaction);
}

START_TEST(values_survive_a_reopen)
{
    char nested[300];
    struct store *store;

    snprintf(nested, sizeof(nested), "%s/a/b/c", directory);
    store = open_store(nested, MIB);
    put(store, "one", "1");
    put(store, "two", "2");
    put(store, "one", "again");
    store_close(store);
    store = open_store(nested, MIB);
    expect(store, "one", "again");
    expect(store, "two", "2");
    expect(store, "three", NULL);
    store_close(store);
    store_close(NULL);
    store_abort(NULL);
}
END_TEST

START_TEST(an_aborted_transaction_changes_nothing)
{
    struct store *store = open_store(directory, MIB);
    struct store_transaction *transaction;

    put(store, "kept", "yes");
    ck_assert_int_eq(store_begin_write(store, &transaction, NULL), CAIRN_OK);
    ck_assert_int_eq(store_put(transaction, "kept", 4, "no", 2, NULL), CAIRN_OK);
    ck_assert_int_eq(store_put(transaction, "more", 4, "no", 2, NULL), CAIRN_OK);
    store_abort(transaction);
    expect(store, "kept", "yes");
    expect(store, "more", NULL);
    store_close(store);
}
END_TEST

START_TEST(records_are_deleted)
{
    struct store *store = open_store(directory, MIB);
    struct store_transaction *transaction;

    put(store, "gone", "soon");
    ck_assert_int_eq(store_begin_write(store, &transaction, NULL), CAIRN_OK);
    ck_assert_int_eq(store_delete(transaction, "gone", 4, NULL), CAIRN_OK);
    ck_assert_int_eq(store_delete(transaction, "never", 5, NULL), CAIRN_NOT_FOUND);
    ck_assert_int_eq(store_commit(transaction, NULL), CAIRN_OK);
    expect(store, "gone", NULL);
    store_close(store);
}
END_TEST

START_TEST(keys_have_bounds)
{
    struct store *store = open_store(directory, MIB);
    struct store_transaction *transaction;
    char key[512] = {1};
    struct error error;

    ck_assert_int_eq(store_begin_write(store, &transaction, NULL), CAIRN_OK);
    ck_assert_int_eq(store_put(transaction, key, 0, "", 0, &error), CAIRN_INVALID);
    store_abort(transaction);
    ck_assert_int_eq(store_begin_write(store, &transaction, NULL), CAIRN_OK);
    ck_assert_int_eq(store_put(transaction, key, 512, "", 0, &error), CAIRN_INVALID);
    store_abort(transaction);
    ck_assert_int_eq(store_begin_write(store, &transaction, NULL), CAIRN_OK);
    ck_assert_int_eq(store_put(transaction, key, 511, "", 0, &error), CAIRN_OK);
    ck_assert_int_eq(store_commit(transaction, NULL), CAIRN_OK);
    store_close(store);
}
END_TEST

START_TEST(a_reserved_place_is_the_value)
{
    struct store *store = open_store(directory, 64 * MIB);
    struct store_transaction *transaction;
    const void *found;
    size_t bytes;
    void *place;

    ck_assert_int_eq(store_begin_write(store, &transaction, NULL), CAIRN_OK);
    ck_assert_int_eq(store_reserve(transaction, "large", 5, 3 * MIB, &place, NULL), CAIRN_OK);
    memset(place, 7, 3 * MIB);
    ck_assert_int_eq(store_commit(transaction, NULL), CAIRN_OK);
    ck_assert_int_eq(store_begin_read(store, &transaction, NULL), CAIRN_OK);
    ck_assert_int_eq(store_get(transaction, "large", 5, &found, &bytes, NULL), CAIRN_OK);
    ck_assert_uint_eq(bytes, 3 * MIB);
    ck_assert_int_eq(((const char *)found)[3 * MIB - 1], 7);
    store_abort(transaction);
    store_close(store);
}
END_TEST

/* Large enough to be written past the map, and too small for it. */
START_TEST(a_value_is_filled_piece_by_piece)
{
    const size_t length = _i ? 300 : 700001;
    struct store *store = open_store(directory, MIB);
    struct store_transaction *transaction;
    struct store_value value;
    unsigned char piece[1000];
    const unsigned char *found;
    const void *start;
    size_t bytes, wrong = 0;

    for (int round = 0; round < 4; round++) {
        ck_assert_int_eq(store_begin_write(store, &transaction, NULL), CAIRN_OK);
        ck_assert_int_eq(store_value_begin(transaction, "v", 1, length, &value, NULL), CAIRN_OK);
        for (size_t at = length; at > 0;) { /* in any order */
            size_t count = at < sizeof(piece) ? at : sizeof(piece);

            at -= count;
            for (size_t i = 0; i < count; i++)
                piece[i] = (unsigned char)((at + i) * 7 + (size_t)round);
            ck_assert_int_eq(store_value_write(&value, at, piece, count, NULL), CAIRN_OK);
        }
        store_value_end(&value);
        ck_assert_int_eq(store_commit(transaction, NULL), CAIRN_OK);
        store_close(store);
        store = open_store(directory, MIB);
        ck_assert_int_eq(store_begin_read(store, &transaction, NULL), CAIRN_OK);
        ck_assert_int_eq(store_get(transaction, "v", 1, &start, &bytes, NULL), CAIRN_OK);
        ck_assert_uint_eq(bytes, length);
        found = start;
        ck_assert_int_eq(store_value_find(transaction, "v", 1, &value, NULL), CAIRN_OK);
        store_value_expect(&value);
        ck_assert_int_eq(store_value_read(&value, length - 100, piece, 100, NULL), CAIRN_OK);
        ck_assert_mem_eq(piece, found + length - 100, 100);
        for (size_t i = 0; i < length; i++)
            wrong += found[i] != (unsigned char)(i * 7 + (size_t)round);
        ck_assert_uint_eq(wrong, 0);
        store_abort(transaction);
    }
    store_close(store);
}
END_TEST

struct visited {
    char keys[64];
    int stop_after;
};

static enum status visit_key(void *context, const void *key, size_t key_bytes, const void *value,
                             size_t value_bytes, struct error *error)
{
    struct visited *visited = context;

    (void)value, (void)value_bytes;
    strncat(visited->keys, key, key_bytes);
    strcat(visited->keys, ",");
    return --visited->stop_after == 0 ? error_set(error, CAIRN_CLOSED, "enough") : CAIRN_OK;
}

START_TEST(a_scan_goes_over_a_prefix_in_order)
{
    struct store *store = open_store(directory, MIB);
    struct store_transaction *transaction;
    struct visited visited = {"", 100};

    put(store, "b/2", "");
    put(store, "c", "");
    put(store, "b/1", "");
    put(store, "a", "");
    ck_assert_int_eq(store_begin_read(store, &transaction, NULL), CAIRN_OK);
    ck_assert_int_eq(store_scan(transaction, "b/", 2, visit_key, &visited, NULL), CAIRN_OK);
    ck_assert_str_eq(visited.keys, "b/1,b/2,");
    visited = (struct visited){"", 100};
    ck_assert_int_eq(store_scan(transaction, NULL, 0, visit_key, &visited, NULL), CAIRN_OK);
    ck_assert_str_eq(visited.keys, "a,b/1,b/2,c,");
    visited = (struct visited){"", 2};
    ck_assert_int_eq(store_scan(transaction, NULL, 0, visit_key, &visited, NULL), CAIRN_CLOSED);
    ck_assert_str_eq(visited.keys, "a,b/1,");
    visited = (struct visited){"", 100};
    ck_assert_int_eq(store_scan(transaction, "d", 1, visit_key, &visited, NULL), CAIRN_OK);
    ck_assert_str_eq(visited.keys, "");
    store_abort(transaction);
    store_close(store);
}
END_TEST

/* Puts values until the map is full; returns how many went in before. */
static int fill(struct store *store, struct error *error)
{
    struct store_transaction *transaction;
    void *place;
    int count = 0;
    enum status status;

    ck_assert_int_eq(store_begin_write(store, &transaction, NULL), CAIRN_OK);
    while ((status = store_reserve(transaction, &count, sizeof(count), MIB / 4, &place, error)) == CAIRN_OK) {
        memset(place, 1, MIB / 4);
        count++;
    }
    ck_assert_int_eq(status, CAIRN_FULL);
    store_abort(transaction);
    return count;
}

/* With any limit of address space, maps are as large as was asked for. */
static void limit_address_space(void)
{
    struct rlimit limit = {RLIM_INFINITY - 1, RLIM_INFINITY};

    ck_assert_int_eq(setrlimit(RLIMIT_AS, &limit), 0);
}

static void file_facts(struct stat *facts)
{
    char path[300];

    snprintf(path, sizeof(path), "%s/data.mdb", directory);
    ck_assert_int_eq(stat(path, facts), 0);
}

START_TEST(a_store_outgrows_what_was_asked_for)
{
    struct store *store = open_store(directory, MIB);
    struct store_transaction *transaction;
    struct stat facts;
    void *place;

    for (int round = 0; round < 3; round++) {
        ck_assert_int_eq(store_begin_write(store, &transaction, NULL), CAIRN_OK);
        for (int key = 0; key < 40; key++) {
            ck_assert_int_eq(store_reserve(transaction, &key, sizeof(key), MIB, &place, NULL), CAIRN_OK);
            memset(place, round, MIB);
        }
        ck_assert_int_eq(store_commit(transaction, NULL), CAIRN_OK);
        file_facts(&facts);
        ck_assert_int_ge(facts.st_size, 40 * (off_t)MIB);
        ck_assert_int_le(facts.st_size, 300 * (off_t)MIB); /* as long as what it holds, not as the map */
    }
    store_close(store);
    store = open_store(directory, 0);
    file_facts(&facts);
    ck_assert_int_le(facts.st_blocks * 512, 140 * (off_t)MIB);
    put(store, "more", "value");
    store_close(store);
}
END_TEST

START_TEST(many_stores_are_open_at_once)
{
    struct store *stores[24];
    char path[300];

    for (int i = 0; i < 24; i++) {
        snprintf(path, sizeof(path), "%s/%d", directory, i);
        stores[i] = open_store(path, MIB);
    }
    for (int i = 0; i < 24; i++)
        store_close(stores[i]);
}
END_TEST

START_TEST(a_full_map_is_an_error_and_no_end)
{
    struct store *store;
    struct error error;
    int count;

    limit_address_space();
    store = open_store(directory, 4 * MIB);
    put(store, "first", "value");
    count = fill(store, &error);
    ck_assert_int_ge(count, 12);
    ck_assert_ptr_nonnull(strstr(error.message, directory));
    ck_assert_ptr_nonnull(strstr(error.message, "map of 4 MiB is full"));
    expect(store, "first", "value");
    put(store, "second", "value");
    ck_assert_int_eq(fill(store, &error), count);
    store_close(store);
    store = open_store(directory, 8 * MIB); /* a larger map may be given later */
    ck_assert_int_gt(fill(store, &error), count);
    expect(store, "second", "value");
    store_close(store);
}
END_TEST

/* A disk of 2 MiB of our own; false where we may not mount one. */
static bool mount_small_disk(char path[300])
{
    snprintf(path, 300, "%s/disk", directory);
    return mkdir(path, 0777) == 0 &&
           (unshare(CLONE_NEWNS) == 0 || unshare(CLONE_NEWUSER | CLONE_NEWNS) == 0) &&
           mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
           mount("tmpfs", path, "tmpfs", 0, "size=2m") == 0;
}

START_TEST(a_full_disk_is_an_error_and_no_signal)
{
    char path[300];
    struct store *store;
    struct error error;

    if (!mount_small_disk(path))
        return;
    store = open_store(path, 64 * MIB);
    put(store, "first", "value");
    ck_assert_int_ge(fill(store, &error), 4);
    ck_assert_int_eq(error.system, ENOSPC);
    ck_assert_ptr_nonnull(strstr(error.message, "the disk is full"));
    expect(store, "first", "value");
    put(store, "second", "value");
    store_close(store);
    store = open_store(path, 64 * MIB);
    expect(store, "second", "value");
    store_close(store);
    ck_assert_int_eq(umount(path), 0);
}
END_TEST

START_TEST(a_small_map_has_room_for_what_is_there)
{
    struct store *store;
    struct store_transaction *transaction;
    struct error error;
    void *place;

    limit_address_space();
    store = open_store(directory, 32 * MIB);
    ck_assert_int_eq(store_begin_write(store, &transaction, NULL), CAIRN_OK);
    ck_assert_int_eq(store_reserve(transaction, "large", 5, 16 * MIB, &place, NULL), CAIRN_OK);
    memset(place, 1, 16 * MIB);
    ck_assert_int_eq(store_commit(transaction, NULL), CAIRN_OK);
    store_close(store);
    store = open_store(directory, 0); /* what it holds, and room to go on */
    ck_assert_int_ge(fill(store, &error), 16);
    store_close(store);
}
END_TEST

/* Space is reused: overwriting for ever does not fill a map of a few times the data. */
START_TEST(overwriting_reuses_space)
{
    struct store *store = open_store(directory, 8 * MIB);
    struct store_transaction *transaction;
    void *place;

    for (int round = 0; round < 30; round++) {
        for (int key = 0; key < 4; key++) {
            ck_assert_int_eq(store_begin_write(store, &transaction, NULL), CAIRN_OK);
            ck_assert_int_eq(store_reserve(transaction, &key, sizeof(key), MIB / 2, &place, NULL), CAIRN_OK);
            memset(place, round, MIB / 2);
            ck_assert_int_eq(store_commit(transaction, NULL), CAIRN_OK);
        }
    }
    store_close(store);
}
END_TEST

START_TEST(a_second_opener_is_refused)
{
    struct store *store = open_store(directory, MIB), *other = NULL;
    struct error error;
    int result;

    ck_assert_int_eq(store_open(directory, MIB, &other, &error), CAIRN_EXISTS);
    if (fork() == 0)
        _exit(store_open(directory, MIB, &other, NULL) == CAIRN_EXISTS ? 0 : 1);
    wait(&result);
    ck_assert_int_eq(result, 0);
    store_close(store);
    store_close(open_store(directory, MIB));
}
END_TEST

static void write_file(const char *name, const void *bytes, size_t length)
{
    char path[300];
    int file;

    snprintf(path, sizeof(path), "%s/%s", directory, name);
    file = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0666);
    ck_assert_int_ge(file, 0);
    ck_assert_int_eq(write(file, bytes, length), (ssize_t)length);
    close(file);
}

static void expect_refusal(enum status expected)
{
    struct store *store = NULL;
    struct error error;

    ck_assert_int_eq(store_open(directory, MIB, &store, &error), expected);
    ck_assert_ptr_nonnull(strstr(error.message, directory));
    ck_assert_ptr_null(store);
}

START_TEST(foreign_files_are_refused)
{
    char zeros[8192] = {0};

    write_file("data.mdb", "this is a poem, not a database\n", 31);
    expect_refusal(CAIRN_CORRUPT);
    write_file("data.mdb", zeros, sizeof(zeros));
    expect_refusal(CAIRN_CORRUPT);
}
END_TEST

START_TEST(a_foreign_lmdb_environment_is_refused)
{
    MDB_env *environment;
    MDB_txn *transaction;
    MDB_dbi database;
    MDB_val key = {3, "cat"}, value = {4, "meow"};

    ck_assert_int_eq(mdb_env_create(&environment), 0);
    ck_assert_int_eq(mdb_env_open(environment, directory, 0, 0666), 0);
    ck_assert_int_eq(mdb_txn_begin(environment, NULL, 0, &transaction), 0);
    ck_assert_int_eq(mdb_dbi_open(transaction, NULL, 0, &database), 0);
    ck_assert_int_eq(mdb_put(transaction, database, &key, &value, 0), 0);
    ck_assert_int_eq(mdb_txn_commit(transaction), 0);
    mdb_env_close(environment);
    expect_refusal(CAIRN_CORRUPT);
}
END_TEST

START_TEST(a_shortened_file_is_refused_each_time)
{
    struct store *store = open_store(directory, 4 * MIB);
    char path[300], value[200000];

    memset(value, 1, sizeof(value) - 1);
    value[sizeof(value) - 1] = '\0';
    put(store, "value", value);
    store_close(store);
    snprintf(path, sizeof(path), "%s/data.mdb", directory);
    ck_assert_int_eq(truncate(path, 100000), 0);
    expect_refusal(CAIRN_CORRUPT);
    expect_refusal(CAIRN_CORRUPT);
}
END_TEST

START_TEST(paths_that_cannot_be_are_refused)
{
    struct store *store = NULL;
    char path[5000], file[300];
    struct error error;

    memset(path, 'x', sizeof(path));
    path[sizeof(path) - 1] = '\0';
    ck_assert_int_eq(store_open(path, MIB, &store, &error), CAIRN_INVALID);
    ck_assert_int_eq(store_open("", MIB, &store, &error), CAIRN_INVALID);
    write_file("file", "", 0);
    snprintf(file, sizeof(file), "%s/file/sub", directory);
    ck_assert_int_eq(store_open(file, MIB, &store, &error), CAIRN_IO);
    ck_assert_int_eq(mkdir(strcat(strcpy(file, directory), "/data.mdb"), 0777), 0);
    expect_refusal(CAIRN_CORRUPT);
}
END_TEST

/* A writer that is killed while its transaction is open, after it has filled pages of the map. */
static void write_and_hang(int ready)
{
    struct store *store;
    struct store_transaction *transaction;
    void *place;

    if (store_open(directory, 16 * MIB, &store, NULL) != CAIRN_OK ||
        store_begin_write(store, &transaction, NULL) != CAIRN_OK ||
        store_put(transaction, "kept", 4, "lost", 4, NULL) != CAIRN_OK ||
        store_reserve(transaction, "large", 5, MIB, &place, NULL) != CAIRN_OK)
        _exit(1);
    memset(place, 9, MIB);
    if (write(ready, "!", 1) != 1)
        _exit(1);
    for (;;)
        pause();
}

START_TEST(a_killed_writer_leaves_the_old_state)
{
    struct store *store = open_store(directory, 16 * MIB);
    int pipes[2], result;
    char sign;
    pid_t writer;

    put(store, "kept", "yes");
    store_close(store);
    for (int round = 0; round < 3; round++) {
        ck_assert_int_eq(pipe(pipes), 0);
        writer = fork();
        if (writer == 0)
            write_and_hang(pipes[1]);
        close(pipes[1]);
        ck_assert_int_eq(read(pipes[0], &sign, 1), 1);
        close(pipes[0]);
        kill(writer, SIGKILL);
        ck_assert_int_eq(waitpid(writer, &result, 0), writer);
        ck_assert(WIFSIGNALED(result));
        store = open_store(directory, 16 * MIB);
        expect(store, "kept", "yes");
        expect(store, "large", NULL);
        put(store, "after", "works");
        expect(store, "after", "works");
        store_close(store);
    }
}
END_TEST

static Suite *store_suite(void)
{
    Suite *suite = suite_create("store");
    TCase *tests = tcase_create("store");

    tcase_set_timeout(tests, 60);
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, values_survive_a_reopen);
    tcase_add_test(tests, an_aborted_transaction_changes_nothing);
    tcase_add_test(tests, records_are_deleted);
    tcase_add_test(tests, keys_have_bounds);
    tcase_add_test(tests, a_reserved_place_is_the_value);
    tcase_add_loop_test(tests, a_value_is_filled_piece_by_piece, 0, 2);
    tcase_add_test(tests, a_scan_goes_over_a_prefix_in_order);
    tcase_add_test(tests, a_store_outgrows_what_was_asked_for);
    tcase_add_test(tests, many_stores_are_open_at_once);
    tcase_add_test(tests, a_full_map_is_an_error_and_no_end);
    tcase_add_test(tests, a_full_disk_is_an_error_and_no_signal);
    tcase_add_test(tests, a_small_map_has_room_for_what_is_there);
    tcase_add_test(tests, overwriting_reuses_space);
    tcase_add_test(tests, a_second_opener_is_refused);
    tcase_add_test(tests, foreign_files_are_refused);
    tcase_add_test(tests, a_foreign_lmdb_environment_is_refused);
    tcase_add_test(tests, a_shortened_file_is_refused_each_time);
    tcase_add_test(tests, paths_that_cannot_be_are_refused);
    tcase_add_test(tests, a_killed_writer_leaves_the_old_state);
    suite_add_tcase(suite, tests);
    return suite;
}

CHECK_MAIN(store_suite)
