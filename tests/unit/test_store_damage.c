/* Stores whose files are not as they were left: cut, damaged at random, of another's making, on a disk that
 * cannot be written. Each is refused with a line or works; nothing ends the process. */
#include "check_main.h"
#include "folder.h"
#include "store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#define KIB        ((size_t)1024)
#define RECORDS    3000
#define LARGE      (20 * KIB)
#define SMALL      90
#define PAGE_BYTES 4096

static char directory[FOLDER_BYTES];

/* Mounts of our own; false where we may not. */
static bool mounts_may_be_made(void)
{
    return (unshare(CLONE_NEWNS) == 0 || unshare(CLONE_NEWUSER | CLONE_NEWNS) == 0) &&
           mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;
}

static void setup(void)
{
    folder_make(directory);
}

static void teardown(void)
{
    folder_remove(directory);
}

/* Hundreds of commits: in memory where that may be. The test's end takes it away. */
static void setup_in_memory(void)
{
    folder_make(directory);
    if (mounts_may_be_made())
        ck_assert_int_eq(mount("tmpfs", directory, "tmpfs", 0, "size=512m"), 0);
}

static void teardown_in_memory(void)
{
    umount(directory);
    folder_remove(directory);
}

static void path_of(const char *name, char path[300])
{
    snprintf(path, 300, "%s/%s", directory, name);
}

static struct store *open_store(void)
{
    struct store *store = NULL;
    struct error error;

    ck_assert_msg(store_open(directory, KIB, &store, &error) == CAIRN_OK, "%s", error.message);
    return store;
}

static size_t record_bytes(uint32_t key)
{
    return key % 100 == 0 ? LARGE : SMALL;
}

/* Writes the records [begin, end), all bytes as `fill`. */
static enum status write_records(struct store *store, uint32_t begin, uint32_t end, int fill,
                                 struct error *error)
{
    struct store_transaction *transaction;
    void *place;
    enum status status = store_begin_write(store, &transaction, error);

    if (status != CAIRN_OK)
        return status;
    for (uint32_t key = begin; key < end && status == CAIRN_OK; key++) {
        status = store_reserve(transaction, &key, sizeof(key), record_bytes(key), &place, error);
        if (status == CAIRN_OK)
            memset(place, fill, record_bytes(key));
    }
    if (status == CAIRN_OK)
        return store_commit(transaction, error);
    store_abort(transaction);
    return status;
}

/* A store with several levels, large values and a list of free pages. */
static void make_store(void)
{
    struct store *store = open_store();
    struct store_transaction *transaction;
    struct error error;

    for (int round = 1; round <= 2; round++)
        ck_assert_msg(write_records(store, 0, RECORDS, round, &error) == CAIRN_OK, "%s", error.message);
    ck_assert_int_eq(store_begin_write(store, &transaction, &error), CAIRN_OK);
    for (uint32_t key = 0; key < RECORDS; key += 7)
        ck_assert_int_eq(store_delete(transaction, &key, sizeof(key), &error), CAIRN_OK);
    ck_assert_int_eq(store_commit(transaction, &error), CAIRN_OK);
    store_close(store);
}

/* ---- the file's bytes */

struct image {
    unsigned char *bytes;
    size_t length; /* up to the last page that the store uses */
};

/* The last page that a head of LMDB's names. */
static uint64_t last_page(int file, int head)
{
    uint64_t page;

    ck_assert_int_eq(pread(file, &page, sizeof(page), head * PAGE_BYTES + 136), sizeof(page));
    return page;
}

static struct image image_read(void)
{
    struct image image = {NULL, 0};
    uint64_t last;
    char path[300];
    int file;

    path_of("data.mdb", path);
    file = open(path, O_RDONLY);
    ck_assert_int_ge(file, 0);
    last = last_page(file, 0) > last_page(file, 1) ? last_page(file, 0) : last_page(file, 1);
    image.length = (last + 1) * PAGE_BYTES;
    image.bytes = malloc(image.length);
    ck_assert_ptr_nonnull(image.bytes);
    ck_assert_int_eq(pread(file, image.bytes, image.length, 0), (ssize_t)image.length);
    close(file);
    return image;
}

static void file_write(const char *name, const void *bytes, size_t length)
{
    char path[300];
    int file;

    path_of(name, path);
    file = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0666);
    ck_assert_int_ge(file, 0);
    ck_assert_int_eq(write(file, bytes, length), (ssize_t)length);
    close(file);
}

struct sum {
    uint64_t bytes, records;
};

/* A store_visit that reads every byte. */
static enum status visit_all(void *context, const void *key, size_t key_bytes, const void *value,
                             size_t value_bytes, struct error *error)
{
    struct sum *sum = context;

    (void)error;
    for (size_t i = 0; i < key_bytes; i++)
        sum->bytes += ((const unsigned char *)key)[i];
    for (size_t i = 0; i < value_bytes; i++)
        sum->bytes += ((const unsigned char *)value)[i];
    sum->records++;
    return CAIRN_OK;
}

/* Reads all of a store, then changes all of it; an error anywhere is as good. */
static void use(struct store *store)
{
    struct store_transaction *transaction;
    struct sum sum = {0, 0};
    struct error error = {.message = ""};
    enum status status = store_begin_read(store, &transaction, &error);

    if (status == CAIRN_OK) {
        status = store_scan(transaction, NULL, 0, visit_all, &sum, &error);
        store_abort(transaction);
    }
    for (uint32_t at = 0; at < RECORDS && status == CAIRN_OK; at += 1000)
        status = write_records(store, at, at + 1000, 9, &error);
    if (status != CAIRN_OK)
        ck_assert_ptr_nonnull(strstr(error.message, directory));
}

/* Opens what is there; whether it was refused. */
static bool open_and_use(void)
{
    struct store *store = NULL;
    struct error error = {.message = ""};
    enum status status = store_open(directory, KIB, &store, &error);

    if (status == CAIRN_OK) {
        use(store);
        store_close(store);
        return false;
    }
    ck_assert_msg(status == CAIRN_CORRUPT, "%s", error.message);
    ck_assert_msg(strstr(error.message, directory) != NULL, "%s", error.message);
    return true;
}

static uint64_t random_next(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    return *state ^= *state << 17;
}

/* A page at random; is_of_tree: one with the head of a branch, a leaf or a large value. */
static size_t random_page(const struct image *image, uint64_t *state, bool is_of_tree)
{
    for (;;) {
        size_t page = random_next(state) % (image->length / PAGE_BYTES) * PAGE_BYTES;
        unsigned flags = image->bytes[page + 10];

        if (!is_of_tree || flags == 1 || flags == 2 || flags == 4)
            return page;
    }
}

/* ---- tests */

START_TEST(a_cut_file_is_refused_wherever_it_is_cut)
{
    struct image image;

    make_store();
    image = image_read();
    for (size_t length = 1; length < image.length; length += length < 3 * PAGE_BYTES ? 97 : 50021) {
        file_write("data.mdb", image.bytes, length);
        ck_assert_msg(open_and_use(), "cut to %zu of %zu bytes", length, image.length);
    }
    free(image.bytes);
}
END_TEST

/* Damage to any bytes of the trees: a byte, a page of zeros, a page in another's place. */
START_TEST(damaged_pages_end_no_process)
{
    uint64_t state = UINT64_C(88172645463325252) + (uint64_t)_i;
    struct image image;
    int refused = 0;

    make_store();
    image = image_read();
    for (int round = 0; round < 100; round++) {
        unsigned char kept[PAGE_BYTES];
        size_t page = random_page(&image, &state, round % 3 != 0);
        size_t other = random_page(&image, &state, true);

        memcpy(kept, image.bytes + page, PAGE_BYTES);
        if (round % 10 == 0)
            memset(image.bytes + page, 0, PAGE_BYTES);
        else if (round % 10 == 1)
            memcpy(image.bytes + page, image.bytes + other, PAGE_BYTES);
        else /* most of what matters is at a page's head */
            image.bytes[page + random_next(&state) % (round % 2 ? 48 : PAGE_BYTES)] ^=
                (unsigned char)(1u << random_next(&state) % 8);
        file_write("data.mdb", image.bytes, image.length);
        refused += open_and_use();
        memcpy(image.bytes + page, kept, PAGE_BYTES);
    }
    ck_assert_int_ge(refused, 5);
    file_write("data.mdb", image.bytes, image.length);
    ck_assert(!open_and_use()); /* it was the damage that was refused */
    free(image.bytes);
}
END_TEST

/* Each number of the two heads, set to what it should never be. */
START_TEST(damaged_heads_end_no_process)
{
    static const unsigned char fills[] = {0x00, 0xff, 0x01, 0x80};
    struct image image;
    int refused = 0;

    make_store();
    image = image_read();
    for (size_t at = 0; at < 152; at += 4) {
        for (int head = 0; head < 3; head++) {
            unsigned char kept[2 * PAGE_BYTES];

            memcpy(kept, image.bytes, sizeof(kept));
            for (int i = 0; i < 2; i++) {
                if (head != 1 - i)
                    memset(image.bytes + i * PAGE_BYTES + at, fills[(at / 4 + (size_t)head) % 4], 4);
            }
            file_write("data.mdb", image.bytes, image.length);
            refused += open_and_use();
            memcpy(image.bytes, kept, sizeof(kept));
        }
    }
    ck_assert_int_ge(refused, 20);
    free(image.bytes);
}
END_TEST

START_TEST(an_old_lock_file_does_no_harm)
{
    static const char *const contents[] = {"", "another program's lock file, of another version"};

    make_store();
    for (int i = 0; i < 2; i++) {
        file_write("lock.mdb", contents[i], strlen(contents[i]));
        file_write("lock", contents[i], strlen(contents[i]));
        ck_assert(!open_and_use());
    }
}
END_TEST

START_TEST(a_file_of_no_bytes_is_a_new_store)
{
    struct store *store;
    struct store_transaction *transaction;
    const void *value;
    uint32_t key = 1;
    size_t bytes;

    make_store();
    file_write("data.mdb", "", 0);
    store = open_store();
    ck_assert_int_eq(store_begin_read(store, &transaction, NULL), CAIRN_OK);
    ck_assert_int_eq(store_get(transaction, &key, sizeof(key), &value, &bytes, NULL), CAIRN_NOT_FOUND);
    store_abort(transaction);
    store_close(store);
}
END_TEST

static void expect_refusal(int code)
{
    struct store *store = NULL;
    struct error error = {.message = ""};

    ck_assert_int_ne(store_open(directory, KIB, &store, &error), CAIRN_OK);
    ck_assert_msg(error.system == code, "%s", error.message);
    ck_assert_ptr_nonnull(strstr(error.message, directory));
}

/* Writes and deletes at random in one transaction. */
static void change_at_random(struct store *store, uint64_t *state)
{
    static const size_t sizes[] = {0, 8, 90, 700, 1400, 2020, 2100, 5000, 100000};
    uint64_t count = random_next(state) % 400;
    struct store_transaction *transaction;
    struct error error = {.message = ""};

    ck_assert_int_eq(store_begin_write(store, &transaction, &error), CAIRN_OK);
    for (uint64_t i = 0; i < count; i++) {
        uint32_t key = (uint32_t)(random_next(state) % RECORDS);
        size_t bytes = sizes[random_next(state) % 9];
        enum status status;
        void *place;

        if (random_next(state) % 4 == 0) {
            status = store_delete(transaction, &key, sizeof(key), &error);
            ck_assert(status == CAIRN_OK || status == CAIRN_NOT_FOUND);
            continue;
        }
        status = store_reserve(transaction, &key, sizeof(key), bytes, &place, &error);
        ck_assert_msg(status == CAIRN_OK, "%s", error.message);
        memset(place, 1, bytes);
    }
    ck_assert_int_eq(store_commit(transaction, &error), CAIRN_OK);
}

/* The file is always longer than its blocks by 32 MiB and more: were pages used that were not counted, its
 * last used page would lie in that hole. */
START_TEST(no_page_is_used_before_it_has_a_block)
{
    uint64_t state = UINT64_C(77172645463325252), last;
    struct store *store = open_store();
    struct stat facts;
    char path[300];
    int file;

    path_of("data.mdb", path);
    for (int round = 0; round < 40; round++) {
        change_at_random(store, &state);
        file = open(path, O_RDONLY);
        ck_assert_int_ge(file, 0);
        ck_assert_int_eq(fstat(file, &facts), 0);
        last = last_page(file, 0) > last_page(file, 1) ? last_page(file, 0) : last_page(file, 1);
        ck_assert_uint_le((last + 1) * PAGE_BYTES + 32 * KIB * KIB, (uint64_t)facts.st_size);
        close(file);
    }
    store_close(store);
    ck_assert(!open_and_use());
}
END_TEST

START_TEST(a_disk_that_cannot_be_written_is_refused)
{
    make_store();
    if (!mounts_may_be_made() || mount(directory, directory, NULL, MS_BIND, NULL) != 0)
        return;
    ck_assert_int_eq(mount(NULL, directory, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL), 0);
    expect_refusal(EROFS);
    ck_assert_int_eq(umount(directory), 0);
    ck_assert(!open_and_use());
}
END_TEST

START_TEST(a_store_on_a_full_disk_is_refused_until_there_is_room)
{
    static char filler[64 * 1024];
    char path[300];
    int file;
    ssize_t written;

    if (!mounts_may_be_made() || mount("tmpfs", directory, "tmpfs", 0, "size=16m") != 0)
        return;
    path_of("filler", path);
    file = open(path, O_WRONLY | O_CREAT, 0666);
    ck_assert_int_ge(file, 0);
    do
        written = write(file, filler, sizeof(filler));
    while (written > 0);
    ck_assert_int_eq(errno, ENOSPC);
    expect_refusal(ENOSPC);
    ck_assert_int_eq(ftruncate(file, 0), 0);
    close(file);
    make_store();
    ck_assert_int_eq(umount(directory), 0);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("store_damage");
    TCase *tests = tcase_create("store_damage"), *many = tcase_create("many");

    tcase_set_timeout(many, 60);
    tcase_add_checked_fixture(many, setup_in_memory, teardown_in_memory);
    tcase_add_test(many, a_cut_file_is_refused_wherever_it_is_cut);
    tcase_add_loop_test(many, damaged_pages_end_no_process, 0, 2);
    tcase_add_test(many, damaged_heads_end_no_process);
    tcase_add_test(many, no_page_is_used_before_it_has_a_block);
    suite_add_tcase(suite, many);
    tcase_set_timeout(tests, 20);
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, an_old_lock_file_does_no_harm);
    tcase_add_test(tests, a_file_of_no_bytes_is_a_new_store);
    tcase_add_test(tests, a_disk_that_cannot_be_written_is_refused);
    tcase_add_test(tests, a_store_on_a_full_disk_is_refused_until_there_is_room);
    suite_add_tcase(suite, tests);
    return suite;
}

CHECK_MAIN(make_suite)
