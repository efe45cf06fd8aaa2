/* New files: there when they are whole, and what was there before stays until then. */
#include "base/new_file.h"

#include "check_main.h"
#include "files.h"

#include <dirent.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define NOBODY 65534 /* a user's number that is not root's */

static struct new_file file;
static struct error error;

static void open_file(const char *path)
{
    ck_assert_msg(new_file_open(&file, path, &error) == CAIRN_OK, "%s", error.message);
}

static void write_file(const char *path, const char *text)
{
    open_file(path);
    ck_assert_int_eq(new_file_write(&file, text, strlen(text), &error), CAIRN_OK);
}

static void finish(void)
{
    ck_assert_msg(new_file_finish(&file, &error) == CAIRN_OK, "%s", error.message);
    new_file_fini(&file);
}

static void expect_refused(const char *path, enum status status, const char *words)
{
    ck_assert_int_eq(new_file_open(&file, path, &error), status);
    ck_assert_msg(strstr(error.message, words) != NULL, "%s", error.message);
    new_file_fini(&file);
}

static void expect_text(const char *path, const char *text)
{
    char bytes[64] = "";
    FILE *stream = fopen(path, "rb");

    ck_assert_ptr_nonnull(stream);
    ck_assert_uint_eq(fread(bytes, 1, sizeof(bytes), stream), strlen(text));
    fclose(stream);
    ck_assert_str_eq(bytes, text);
}

static void expect_permissions(const char *path, mode_t permissions)
{
    struct stat facts;

    ck_assert_int_eq(stat(path, &facts), 0);
    ck_assert_uint_eq(facts.st_mode & 07777, permissions);
}

static void expect_link(const char *path)
{
    struct stat facts;

    ck_assert_int_eq(lstat(path, &facts), 0);
    ck_assert(S_ISLNK(facts.st_mode));
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

START_TEST(a_file_takes_its_place_when_it_is_whole)
{
    const char *path = files_write("a", "former", 6);

    write_file(path, "a new");
    ck_assert_int_eq(new_file_write(&file, " one", 4, &error), CAIRN_OK);
    expect_text(path, "former");
    expect_entries(2);
    finish();
    expect_text(path, "a new one");
    expect_entries(1);
}
END_TEST

START_TEST(one_that_is_given_up_leaves_what_was_there)
{
    const char *path = files_write("a", "former", 6);

    write_file(path, "new");
    new_file_fini(&file);
    new_file_fini(&file);
    expect_text(path, "former");
    expect_entries(1);
    write_file(files_path("b"), "new");
    new_file_fini(&file);
    expect_entries(1);
}
END_TEST

START_TEST(two_at_once_are_not_mixed)
{
    struct new_file other;
    const char *path = files_path("a");

    write_file(path, "one");
    ck_assert_int_eq(new_file_open(&other, path, &error), CAIRN_OK);
    ck_assert_int_eq(new_file_write(&other, "another", 7, &error), CAIRN_OK);
    finish();
    expect_text(path, "one");
    ck_assert_int_eq(new_file_finish(&other, &error), CAIRN_OK);
    expect_text(path, "another");
    expect_entries(1);
}
END_TEST

START_TEST(permissions_are_those_of_what_was_there)
{
    const char *fresh = files_path("fresh"), *former = files_write("former", "x", 1);

    umask(027);
    ck_assert_int_eq(chmod(former, 0600), 0);
    write_file(fresh, "new");
    finish();
    expect_permissions(fresh, 0640);
    write_file(former, "new");
    finish();
    expect_permissions(former, 0600);
}
END_TEST

START_TEST(a_file_that_may_not_be_written_stays)
{
    const char *path = files_write("a", "former", 6);
    enum status status;

    ck_assert_int_eq(chmod(path, 0444), 0);
    ck_assert_int_eq(chmod(files_folder, 0777), 0);
    if (geteuid() == 0)
        ck_assert_int_eq(seteuid(NOBODY), 0);
    status = new_file_open(&file, path, &error);
    new_file_fini(&file);
    if (getuid() == 0)
        ck_assert_int_eq(seteuid(0), 0);
    ck_assert_int_eq(status, CAIRN_IO);
    ck_assert_ptr_nonnull(strstr(error.message, "/a: Permission denied"));
    expect_text(path, "former");
    expect_entries(1);
}
END_TEST

/* As /dev/stdout is where somebody reads from a pipe. */
START_TEST(what_is_no_file_stays)
{
    const char *pipe = files_path("pipe"), *link = files_path("link");
    struct stat facts;

    ck_assert_int_eq(mkfifo(pipe, 0666), 0);
    expect_refused(pipe, CAIRN_INVALID, "/pipe, which is no regular file");
    ck_assert_int_eq(lstat(pipe, &facts), 0);
    ck_assert(S_ISFIFO(facts.st_mode));
    expect_refused(files_folder, CAIRN_INVALID, "is no regular file");
    ck_assert_int_eq(symlink("/dev/full", link), 0);
    expect_refused(link, CAIRN_INVALID, "/link, which is no regular file");
    expect_link(link);
    expect_entries(2);
}
END_TEST

START_TEST(a_link_leads_to_the_file)
{
    const char *path = files_path("out"), *target = files_path("folder/a");

    ck_assert_int_eq(mkdir(files_path("folder"), 0777), 0);
    files_write("folder/a", "former", 6);
    ck_assert_int_eq(symlink("folder/a", path), 0);
    write_file(path, "new");
    finish();
    expect_link(path);
    expect_text(target, "new");
    expect_entries(2);
    ck_assert_int_eq(unlink(target), 0);
    expect_refused(path, CAIRN_NOT_FOUND, "/out: No such file");
    expect_link(path);
}
END_TEST

START_TEST(what_cannot_be_opened_is_told_in_one_line)
{
    char path[5000];

    memset(path, 'x', sizeof(path));
    path[sizeof(path) - 1] = '\0';
    expect_refused(path, CAIRN_INVALID, "too long");
    expect_refused(files_path("nowhere/a"), CAIRN_NOT_FOUND, "nowhere/a: No such file");
    expect_entries(0);
}
END_TEST

/* Another process may have put a folder there meanwhile. */
START_TEST(one_that_finds_no_place_is_gone)
{
    const char *path = files_path("a");

    write_file(path, "new");
    ck_assert_int_eq(mkdir(path, 0777), 0);
    ck_assert_int_eq(new_file_finish(&file, &error), CAIRN_IO);
    ck_assert_ptr_nonnull(strstr(error.message, "/a: Is a directory"));
    new_file_fini(&file);
    expect_entries(1);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("new_file");
    TCase *tests = tcase_create("new_file");

    tcase_add_checked_fixture(tests, files_init, files_fini);
    tcase_add_test(tests, a_file_takes_its_place_when_it_is_whole);
    tcase_add_test(tests, one_that_is_given_up_leaves_what_was_there);
    tcase_add_test(tests, two_at_once_are_not_mixed);
    tcase_add_test(tests, permissions_are_those_of_what_was_there);
    tcase_add_test(tests, a_file_that_may_not_be_written_stays);
    tcase_add_test(tests, what_is_no_file_stays);
    tcase_add_test(tests, a_link_leads_to_the_file);
    tcase_add_test(tests, what_cannot_be_opened_is_told_in_one_line);
    tcase_add_test(tests, one_that_finds_no_place_is_gone);
    suite_add_tcase(suite, tests);
    return suite;
}

CHECK_MAIN(make_suite)
