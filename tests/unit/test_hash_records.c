/* The records of a run: found, put together and compared. */
#include "hash_records.h"

#include "check_main.h"
#include "files.h"

#include <sys/stat.h>

#define DIGEST "5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6e"
#define HEAD(digest_end, worker)                                                                             \
    "cairn hashes 1\njob digits-1\nworker " worker "\nseed 7\ndigest " DIGEST digest_end                     \
    "\ntensors 2\ntensor dense/kernel\ntensor dense/bias\n"
#define SUMS(a, b) "000000000000000" a " 000000000000000" b "\n"

static struct hash_records first, second;
static struct hash_comparison comparison;
static struct error error = {.message = ""};

static void set_up(void)
{
    files_init();
    ck_assert_int_eq(mkdir(files_path("a.h5.hashes"), 0777), 0);
    ck_assert_int_eq(mkdir(files_path("b.h5.hashes"), 0777), 0);
}

static void tear_down(void)
{
    hash_records_fini(&first);
    hash_records_fini(&second);
    files_fini();
}

static void write_text(const char *name, const char *text)
{
    files_write(name, text, strlen(text));
}

static void load(struct hash_records *records, const char *name)
{
    hash_records_fini(records);
    ck_assert_msg(hash_records_load(records, files_path(name), &error) == CAIRN_OK, "%s", error.message);
}

/* Loads a.h5 and b.h5, and compares. */
static void compare(void)
{
    load(&first, "a.h5");
    load(&second, "b.h5");
    ck_assert(hash_records_are_alike(&first, &second));
    hash_records_compare(&first, &second, &comparison);
}

START_TEST(workers_together_are_a_run)
{
    struct hash_difference difference;

    write_text("a.h5.hashes/w1.txt", HEAD("f", "w1") "0 exact 5 " SUMS("1", "1") "2 exact 6 " SUMS("3", "1"));
    write_text("a.h5.hashes/w2.txt", HEAD("f", "w2") "1 exact 5 " SUMS("2", "1") "2 exact 6 " SUMS("3", "1"));
    write_text("a.h5.hashes/w3.txt", "");
    write_text("a.h5.hashes/notes", "not a record\n");
    write_text("b.h5.hashes/w.txt", HEAD("f", "w") "1 exact 9 " SUMS("2", "1") "2 exact 9 " SUMS(
                                        "3", "1") "3 exact 9 " SUMS("4", "1") "4 exact 9 " SUMS("5", "1"));
    compare();
    ck_assert_uint_eq(first.file_count, 2);
    ck_assert(hash_records_agree(&first, &difference) && hash_records_agree(&second, &difference));
    ck_assert_uint_eq(comparison.common, 2);
    ck_assert_uint_eq(comparison.different, 0);
    ck_assert_uint_eq(comparison.only_first, 1);
    ck_assert_uint_eq(comparison.only_first_begin, 0);
    ck_assert_uint_eq(comparison.only_first_last, 0);
    ck_assert_uint_eq(comparison.only_second, 2);
    ck_assert_uint_eq(comparison.only_second_begin, 3);
    ck_assert_uint_eq(comparison.only_second_last, 4);
}
END_TEST

START_TEST(the_first_difference_is_named)
{
    write_text("a.h5.hashes/w1.txt",
               HEAD("f", "w1") "9 exact 5 " SUMS("1", "1") "10 exact 6 " SUMS("3", "1"));
    write_text("b.h5.hashes/w1.txt",
               HEAD("f", "w1") "10 exact 5 " SUMS("4", "4") "9 exact 6 " SUMS("1", "2"));
    compare();
    ck_assert_uint_eq(comparison.common, 2);
    ck_assert_uint_eq(comparison.different, 2);
    ck_assert_uint_eq(comparison.difference.first.line->step, 9);
    ck_assert_str_eq(comparison.difference.tensor, "dense/bias");
    ck_assert_uint_eq(comparison.difference.first_sum, 1);
    ck_assert_uint_eq(comparison.difference.second_sum, 2);
    ck_assert_str_eq(comparison.difference.second.file->path, files_path("b.h5.hashes/w1.txt"));
}
END_TEST

START_TEST(workers_that_disagree)
{
    struct hash_difference difference;

    write_text("a.h5.hashes/w1.txt", HEAD("f", "w1") "0 exact 5 " SUMS("1", "1") "1 exact 6 " SUMS("3", "1"));
    write_text("a.h5.hashes/w2.txt", HEAD("f", "w2") "1 exact 5 " SUMS("3", "2"));
    load(&first, "a.h5.hashes");
    ck_assert(!hash_records_agree(&first, &difference));
    ck_assert_uint_eq(difference.first.line->step, 1);
    ck_assert_str_eq(difference.tensor, "dense/bias");
    ck_assert_str_eq(difference.first.file->hashes.origin.worker, "w1");
    ck_assert_str_eq(difference.second.file->hashes.origin.worker, "w2");
}
END_TEST

/* A worker that came back recorded a version once more; a copy is another value than the version itself. */
START_TEST(versions_that_come_again)
{
    struct hash_difference difference;

    write_text("a.h5.hashes/w1.txt", HEAD("f", "w1") "1 copy 5 " SUMS("1", "1") "1 exact 6 " SUMS(
                                         "3", "1") "1 copy 7 " SUMS("1", "1"));
    load(&first, "a.h5.hashes/w1.txt");
    ck_assert(hash_records_agree(&first, &difference));
    write_text("a.h5.hashes/w1.txt", HEAD("f", "w1") "1 copy 5 " SUMS("1", "1") "1 exact 6 " SUMS(
                                         "3", "1") "1 copy 7 " SUMS("2", "1"));
    load(&first, "a.h5");
    ck_assert(!hash_records_agree(&first, &difference));
    ck_assert(difference.first.line->is_copy && difference.second.line->is_copy);
}
END_TEST

START_TEST(what_cannot_be_compared)
{
    write_text("a.h5.hashes/w1.txt", HEAD("f", "w1"));
    write_text("a.h5.hashes/w2.txt", HEAD("0", "w2"));
    ck_assert_int_eq(hash_records_load(&first, files_path("a.h5"), &error), CAIRN_INVALID);
    ck_assert_ptr_nonnull(strstr(error.message, "w2.txt are of different jobs"));
    hash_records_fini(&first);
    ck_assert_int_eq(hash_records_load(&first, files_path("b.h5"), &error), CAIRN_INVALID);
    ck_assert_ptr_nonnull(strstr(error.message, "b.h5.hashes holds no record of hashes"));
    hash_records_fini(&first);
    ck_assert_int_eq(hash_records_load(&first, files_path("c.h5"), &error), CAIRN_NOT_FOUND);
    hash_records_fini(&first);
    write_text("c.h5", "\x89HDF");
    ck_assert_int_eq(hash_records_load(&first, files_path("c.h5"), &error), CAIRN_CORRUPT);
    ck_assert_ptr_nonnull(strstr(error.message, "c.h5:1: not a record of hashes"));
    hash_records_fini(&first);
    write_text("m.h5", "\x89HDF\r\n\x1a\n and more");
    ck_assert_int_eq(hash_records_load(&first, files_path("m.h5"), &error), CAIRN_INVALID);
    ck_assert_ptr_nonnull(strstr(error.message, "m.h5 is a model file, and no records of hashes lie in "));
    ck_assert_ptr_nonnull(
        strstr(error.message, "m.h5.hashes: workers write them there with train.record_hashes"));
    load(&first, "a.h5.hashes/w1.txt");
    write_text("other.txt", "cairn hashes 1\njob a\nworker b\nseed 7\ndigest " DIGEST
                            "f\ntensors 1\ntensor dense/kernel\n");
    load(&second, "other.txt");
    ck_assert(!hash_records_are_alike(&first, &second));
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("hash_records");
    TCase *cases = tcase_create("hash_records");

    tcase_add_checked_fixture(cases, set_up, tear_down);
    tcase_add_test(cases, workers_together_are_a_run);
    tcase_add_test(cases, the_first_difference_is_named);
    tcase_add_test(cases, workers_that_disagree);
    tcase_add_test(cases, versions_that_come_again);
    tcase_add_test(cases, what_cannot_be_compared);
    suite_add_tcase(suite, cases);
    return suite;
}

CHECK_MAIN(make_suite)
