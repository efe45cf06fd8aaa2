/* Array files: there when they are whole, and what was there before stays until then. */
#include "npy.h"

#include "check_main.h"
#include "files.h"

#include <dirent.h>
#include <string.h>
#include <unistd.h>

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

/* As /dev/stdout is where somebody reads from a pipe. */
START_TEST(what_is_no_file_stays)
{
    ck_assert_int_eq(symlink("/dev/full", files_path("out")), 0);
    ck_assert_int_eq(open_array(files_path("out")), CAIRN_INVALID);
    ck_assert_ptr_nonnull(strstr(error.message, "out, which is no regular file"));
    npy_discard(&npy);
    expect_entries(1);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("npy");
    TCase *tests = tcase_create("npy");

    tcase_add_checked_fixture(tests, files_init, files_fini);
    tcase_add_test(tests, an_array_takes_its_place_when_it_is_whole);
    tcase_add_test(tests, one_that_is_discarded_leaves_what_was_there);
    tcase_add_test(tests, what_is_no_file_stays);
    suite_add_tcase(suite, tests);
    return suite;
}

CHECK_MAIN(make_suite)
