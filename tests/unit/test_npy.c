/* Array files: there when they are whole, and what was there before stays until then. */
#include "npy.h"

#include "check_main.h"
#include "files.h"

#include <dirent.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define NOBODY 65534 /* a user's number that is not root's */

static const float numbers[] = {1, 2, 3};
static struct npy npy;
static struct error error;

static enum status open_array(const char *path)
{
    return npy_open(&npy, path, NPY_FLOAT32, 0, &error);
}

static void write_array(const char *path)
{
    ck_assert_msg(open_array(path) == CAIRN_OK, "%s", error.message);
    ck_assert_int_eq(npy_write(&npy, numbers, 3, &error), CAIRN_OK);
}

/* How many bytes a file has; its first ones are text. */
static size_t expect_file(const char *path, const char *text)
{
    char bytes[512] = "";
    FILE *file = fopen(path, "rb");
    size_t length;

    ck_assert_ptr_nonnull(file);
    length = fread(bytes, 1, sizeof(bytes), file);
    fclose(file);
    ck_assert_uint_ge(length, strlen(text));
    ck_assert_int_eq(memcmp(bytes, text, strlen(text)), 0);
    return length;
}

static void expect_array(const char *path)
{
    ck_assert_uint_eq(expect_file(path, "\x93NUMPY\x01"), 128 + sizeof(numbers));
}

static void expect_entries(int count)
{
    DIR *folder = opendir(files_folder);

    ck_assert_ptr_nonnull(folder);
    for (const struct dirent *entry = readdir(folder); entry; entry = readdir(folder))
        count -= entry->d_name[0] != '.';
    closedir(folder);
    ck_assert_int_eq(count, 0);
}

START_TEST(an_array_takes_its_place_when_it_is_whole)
{
    const char *path = files_write("a.npy", "former", 6);

    write_array(path);
    ck_assert_uint_eq(expect_file(path, "former"), 6);
    ck_assert_int_eq(npy_close(&npy, &error), CAIRN_OK);
    expect_array(path);
    expect_entries(1);
    npy_discard(&npy); /* of several that belong together another one failed */
    expect_entries(0);
}
END_TEST

START_TEST(one_that_is_discarded_leaves_what_was_there)
{
    const char *path = files_write("a.npy", "former", 6);
    struct npy none = {0};

    write_array(path);
    npy_discard(&npy);
    npy_discard(&npy);
    npy_discard(&none);
    ck_assert_uint_eq(expect_file(path, "former"), 6);
    expect_entries(1);
    write_array(files_path("b.npy"));
    npy_discard(&npy);
    expect_entries(1);
}
END_TEST

START_TEST(a_file_that_may_not_be_written_stays)
{
    const char *path = files_write("a.npy", "former", 6);
    enum status status;

    ck_assert_int_eq(chmod(path, 0444), 0);
    ck_assert_int_eq(chmod(files_folder, 0777), 0);
    if (geteuid() == 0)
        ck_assert_int_eq(seteuid(NOBODY), 0);
    status = open_array(path);
    npy_discard(&npy);
    if (getuid() == 0)
        ck_assert_int_eq(seteuid(0), 0);
    ck_assert_int_eq(status, CAIRN_IO);
    ck_assert_ptr_nonnull(strstr(error.message, "a.npy: Permission denied"));
    ck_assert_uint_eq(expect_file(path, "former"), 6);
    expect_entries(1);
}
END_TEST

/* As /dev/stdout is where somebody reads from a pipe. */
START_TEST(what_is_no_file_stays)
{
    const char *path = files_path("out");
    struct stat facts;

    ck_assert_int_eq(symlink("/dev/full", path), 0);
    ck_assert_int_eq(open_array(path), CAIRN_INVALID);
    ck_assert_ptr_nonnull(strstr(error.message, "out is no regular file"));
    npy_discard(&npy);
    ck_assert_int_eq(lstat(path, &facts), 0);
    ck_assert(S_ISLNK(facts.st_mode));
    ck_assert_int_eq(open_array(files_folder), CAIRN_INVALID);
    npy_discard(&npy);
    ck_assert_int_eq(unlink(path), 0);
    ck_assert_int_eq(symlink("nowhere", path), 0);
    ck_assert_int_eq(open_array(path), CAIRN_NOT_FOUND);
    npy_discard(&npy);
    expect_entries(1);
}
END_TEST

START_TEST(a_link_leads_to_the_file)
{
    const char *path = files_path("out"), *target = files_write("a.npy", "former", 6);
    struct stat facts;

    ck_assert_int_eq(symlink("a.npy", path), 0);
    write_array(path);
    ck_assert_int_eq(npy_close(&npy, &error), CAIRN_OK);
    ck_assert_int_eq(lstat(path, &facts), 0);
    ck_assert(S_ISLNK(facts.st_mode));
    expect_array(target);
    expect_entries(2);
}
END_TEST

START_TEST(what_cannot_be_opened_is_told_in_one_line)
{
    char path[5000];

    memset(path, 'x', sizeof(path));
    path[sizeof(path) - 1] = '\0';
    ck_assert_int_eq(open_array(path), CAIRN_INVALID);
    npy_discard(&npy);
    ck_assert_int_eq(open_array(files_path("nowhere/a.npy")), CAIRN_NOT_FOUND);
    ck_assert_ptr_nonnull(strstr(error.message, "nowhere/a.npy"));
    npy_discard(&npy);
    expect_entries(0);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("npy");
    TCase *tests = tcase_create("npy");

    tcase_add_checked_fixture(tests, files_init, files_fini);
    tcase_add_test(tests, an_array_takes_its_place_when_it_is_whole);
    tcase_add_test(tests, one_that_is_discarded_leaves_what_was_there);
    tcase_add_test(tests, a_file_that_may_not_be_written_stays);
    tcase_add_test(tests, what_is_no_file_stays);
    tcase_add_test(tests, a_link_leads_to_the_file);
    tcase_add_test(tests, what_cannot_be_opened_is_told_in_one_line);
    suite_add_tcase(suite, tests);
    return suite;
}

CHECK_MAIN(make_suite)
