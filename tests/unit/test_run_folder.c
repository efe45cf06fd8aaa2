/* The folder of a run: its mark, its lock, what is removed and what is not. */
#include "run_folder.h"

#include "check_main.h"
#include "folder.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char base[FOLDER_BYTES];
static char state[128];
static struct run_folder folder;
static struct error error;

static void setup(void)
{
    folder_make(base);
    snprintf(state, sizeof(state), "%s/a/b/state", base);
}

static void teardown(void)
{
    run_folder_close(&folder);
    folder_remove(base);
}

static void write_file(const char *name)
{
    char path[256];
    int file;

    snprintf(path, sizeof(path), "%s/%s", state, name);
    file = open(path, O_WRONLY | O_CREAT, 0666);
    ck_assert_int_ge(file, 0);
    ck_assert_int_eq(write(file, "x", 1), 1);
    close(file);
}

static bool exists(const char *name)
{
    char path[RUN_FOLDER_PATH_MAX];

    run_folder_path(&folder, name, path);
    return access(path, F_OK) == 0;
}

START_TEST(a_new_folder)
{
    struct stat about;

    ck_assert_int_eq(run_folder_open(&folder, state, &error), CAIRN_OK);
    ck_assert(exists("cairn.lock"));
    ck_assert(!run_folder_has_run(&folder));
    ck_assert_uint_eq(run_folder_server_count(&folder), 0);
    ck_assert_int_eq(stat(folder.sockets, &about), 0);
    ck_assert_uint_eq(about.st_mode & 0777, 0700);
    run_folder_close(&folder);
    ck_assert_int_ne(stat(folder.sockets, &about), 0);
    ck_assert_int_eq(run_folder_open(&folder, state, &error), CAIRN_OK); /* and again */
}
END_TEST

START_TEST(wiping_removes_only_a_runs_own)
{
    ck_assert_int_eq(run_folder_open(&folder, state, &error), CAIRN_OK);
    ck_assert_int_eq(run_folder_make(&folder, "coordinator", &error), CAIRN_OK);
    ck_assert_int_eq(run_folder_make(&folder, "coordinator/deep", &error), CAIRN_OK);
    ck_assert_int_eq(run_folder_make(&folder, "server-0", &error), CAIRN_OK);
    ck_assert_int_eq(run_folder_make(&folder, "server-12", &error), CAIRN_OK);
    ck_assert_int_eq(run_folder_make(&folder, "server-mine", &error), CAIRN_OK);
    ck_assert_int_eq(run_folder_make(&folder, "server-", &error), CAIRN_OK);
    ck_assert_int_eq(run_folder_make(&folder, "logs", &error), CAIRN_OK);
    write_file("coordinator/deep/data");
    write_file("notes");
    ck_assert(run_folder_has_run(&folder));
    ck_assert_uint_eq(run_folder_server_count(&folder), 2);
    ck_assert_int_eq(run_folder_wipe(&folder, false, &error), CAIRN_OK);
    ck_assert(!exists("coordinator") && !exists("server-0") && !exists("server-12"));
    ck_assert(exists("server-mine") && exists("server-") && exists("notes") && exists("logs"));
    ck_assert(!run_folder_has_run(&folder));
    ck_assert_int_eq(run_folder_wipe(&folder, true, &error), CAIRN_OK);
    ck_assert(!exists("logs") && exists("cairn.lock"));
}
END_TEST

START_TEST(a_run_has_all_of_its_servers_from_the_begin)
{
    ck_assert_int_eq(run_folder_open(&folder, state, &error), CAIRN_OK);
    ck_assert_int_eq(run_folder_make(&folder, "server-7", &error), CAIRN_OK); /* a wipe that was killed */
    ck_assert_int_eq(run_folder_begin(&folder, 3, false, &error), CAIRN_OK);
    ck_assert(!run_folder_has_run(&folder));
    ck_assert_uint_eq(run_folder_server_count(&folder), 3);
    ck_assert(exists("server-0") && exists("server-2") && !exists("server-7"));
}
END_TEST

START_TEST(a_folder_of_other_things_is_refused)
{
    ck_assert_int_eq(run_folder_open(&folder, state, &error), CAIRN_OK);
    run_folder_close(&folder);
    write_file("notes");
    ck_assert_int_eq(run_folder_open(&folder, state, &error), CAIRN_OK); /* it is marked */
    ck_assert_int_eq(unlinkat(AT_FDCWD, strcat(strcpy((char[200]){0}, state), "/cairn.lock"), 0), 0);
    run_folder_close(&folder);
    ck_assert_int_eq(run_folder_open(&folder, state, &error), CAIRN_INVALID);
    ck_assert_ptr_nonnull(strstr(error.message, "--state"));
    ck_assert(!exists("cairn.lock"));
}
END_TEST

START_TEST(paths_that_cannot_be)
{
    char longer[5000];

    memset(longer, 'a', sizeof(longer));
    longer[sizeof(longer) - 1] = '\0';
    ck_assert_int_eq(run_folder_open(&folder, "", &error), CAIRN_INVALID);
    ck_assert_int_eq(run_folder_open(&folder, longer, &error), CAIRN_INVALID);
    ck_assert_int_ne(run_folder_open(&folder, "/proc/nowhere/state", &error), CAIRN_OK);
    ck_assert_ptr_nonnull(strstr(error.message, "/proc/nowhere"));
}
END_TEST

START_TEST(two_runs_do_not_share)
{
    struct run_folder second;

    ck_assert_int_eq(run_folder_open(&folder, state, &error), CAIRN_OK);
    ck_assert_int_eq(run_folder_open(&second, state, &error), CAIRN_EXISTS);
    ck_assert_ptr_nonnull(strstr(error.message, "another run (process "));
    run_folder_close(&second);
}
END_TEST

/* A child that inherited the lock from a run that was killed: the next run waits for its end. It ends when
 * the next run reads who has the lock, which it does once it was refused. */
START_TEST(a_killed_runs_children_are_waited_for)
{
    struct run_folder second;
    struct inotify_event news;
    char path[256], text[160];
    int reads = inotify_init1(IN_CLOEXEC), lock, result;
    pid_t orphan;

    ck_assert_int_eq(run_folder_open(&folder, state, &error), CAIRN_OK);
    snprintf(path, sizeof(path), "%s/cairn.lock", state);
    ck_assert_int_ge(inotify_add_watch(reads, path, IN_ACCESS), 0);
    orphan = fork();
    ck_assert_int_ge(orphan, 0);
    if (orphan == 0)
        _exit(read(reads, &news, sizeof(news)) == sizeof(news) ? 0 : 1);
    close(reads);
    close(folder.lock); /* as if the run had been killed: only the orphan holds the lock now */
    folder.lock = -1;
    lock = open(path, O_RDWR);
    snprintf(text, sizeof(text), "%d %s\n", 2147483646, folder.sockets); /* of a process that is gone */
    ck_assert_int_eq(ftruncate(lock, 0), 0);
    ck_assert_int_gt(pwrite(lock, text, strlen(text), 0), 0);
    ck_assert_int_ne(flock(lock, LOCK_EX | LOCK_NB), 0);
    close(lock);
    ck_assert_int_eq(run_folder_open(&second, state, &error), CAIRN_OK);
    ck_assert_int_ne(access(folder.sockets, F_OK), 0); /* the killed run's sockets are gone */
    ck_assert_int_eq(waitpid(orphan, &result, 0), orphan);
    ck_assert(WIFEXITED(result) && WEXITSTATUS(result) == 0);
    run_folder_close(&second);
}
END_TEST

static Suite *run_folder_suite(void)
{
    Suite *suite = suite_create("run_folder");
    TCase *cases = tcase_create("run_folder");

    tcase_add_checked_fixture(cases, setup, teardown);
    tcase_set_timeout(cases, 20);
    tcase_add_test(cases, a_new_folder);
    tcase_add_test(cases, wiping_removes_only_a_runs_own);
    tcase_add_test(cases, a_run_has_all_of_its_servers_from_the_begin);
    tcase_add_test(cases, a_folder_of_other_things_is_refused);
    tcase_add_test(cases, paths_that_cannot_be);
    tcase_add_test(cases, two_runs_do_not_share);
    tcase_add_test(cases, a_killed_runs_children_are_waited_for);
    suite_add_tcase(suite, cases);
    return suite;
}

CHECK_MAIN(run_folder_suite)
