/* Children: started, ended in order or by force, and described when they end by themselves. */
#include "supervisor.h"

#include "check_main.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static char log_path[] = "/tmp/cairn-test-log-XXXXXX";
static struct supervisor supervisor;
static struct error error;
static sigset_t ours;

static void setup(void)
{
    sigset_t none;
    int file = mkstemp(log_path);

    ck_assert_int_ge(file, 0);
    ck_assert_int_gt(write(file, "level=error event=older\n", 24), 0);
    close(file);
    sigemptyset(&none);
    sigemptyset(&ours);
    sigaddset(&ours, SIGCHLD);
    sigaddset(&ours, SIGINT);
    sigaddset(&ours, SIGTERM);
    sigprocmask(SIG_BLOCK, &ours, NULL);
    supervisor_init(&supervisor, &none, -1);
}

static void teardown(void)
{
    supervisor_fini(&supervisor);
    unlink(log_path);
}

static enum status start_script(const char *script)
{
    char *arguments[] = {(char *)"-c", (char *)script, NULL};

    return supervisor_start(&supervisor, "sh", "one", log_path, arguments, &error);
}

/* Waits for the signal of a child's end. */
static const struct child *wait_for_end(void)
{
    const struct child *ended;

    while ((ended = supervisor_reap(&supervisor)) == NULL) {
        const struct timespec limit = {10, 0};
        sigset_t news;

        sigemptyset(&news);
        sigaddset(&news, SIGCHLD);
        ck_assert_int_eq(sigtimedwait(&news, NULL, &limit), SIGCHLD);
    }
    return ended;
}

START_TEST(an_end_is_described_by_the_logs_last_error)
{
    ck_assert_int_eq(start_script("echo time=now level=error program=sh event=disk-full path=/x >&2;"
                                  "echo level=info event=bye; exit 3"),
                     CAIRN_OK);
    ck_assert_int_eq(supervisor_describe(wait_for_end(), &error), CAIRN_CLOSED);
    ck_assert_ptr_nonnull(strstr(error.message, "sh one ended by itself with exit code 3"));
    ck_assert_ptr_nonnull(strstr(error.message, "its last words: event=disk-full path=/x (its log: /tmp/"));
    ck_assert_ptr_null(strchr(error.message, '\n'));
}
END_TEST

START_TEST(a_log_without_errors_gives_its_last_other_line)
{
    ck_assert_int_eq(start_script("echo one; echo two; echo level=info event=x; kill -9 $$"), CAIRN_OK);
    ck_assert_int_eq(supervisor_describe(wait_for_end(), &error), CAIRN_CLOSED);
    ck_assert_ptr_nonnull(strstr(error.message, "was killed by signal 9 (Killed); its last words: two"));
}
END_TEST

START_TEST(older_lines_are_not_its_words)
{
    ck_assert_int_eq(start_script("exit 1"), CAIRN_OK);
    ck_assert_int_eq(supervisor_describe(wait_for_end(), &error), CAIRN_CLOSED);
    ck_assert_ptr_null(strstr(error.message, "older"));
}
END_TEST

START_TEST(a_program_that_is_not_there)
{
    char *arguments[] = {NULL};

    ck_assert_int_eq(supervisor_start(&supervisor, "no-such-program", "one", log_path, arguments, &error),
                     CAIRN_NOT_FOUND);
    ck_assert_ptr_nonnull(strstr(error.message, "no-such-program"));
    ck_assert_uint_eq(supervisor.count, 0);
    ck_assert_ptr_null(supervisor_reap(&supervisor));
}
END_TEST

START_TEST(stop_ends_the_willing_and_the_unwilling)
{
    pid_t willing, unwilling;

    ck_assert_int_eq(start_script("exec sleep 1000"), CAIRN_OK);
    ck_assert_int_eq(start_script("trap '' TERM; while :; do sleep 1000; done"), CAIRN_OK);
    willing = supervisor.children[0].process;
    unwilling = supervisor.children[1].process;
    supervisor_stop(&supervisor, 300);
    ck_assert_int_ne(kill(willing, 0), 0);
    ck_assert_int_ne(kill(unwilling, 0), 0);
    ck_assert_uint_eq(supervisor.count, 0);
    ck_assert_int_eq(start_script("exit 0"), CAIRN_OK); /* it can go on */
    ck_assert_ptr_eq(wait_for_end(), &supervisor.children[0]);
}
END_TEST

START_TEST(children_have_a_clean_world)
{
    char text[512] = "";
    int file, extra = open("/dev/null", O_RDONLY); /* not close-on-exec: must not reach the child */

    ck_assert_int_eq(start_script("ls -l /proc/self/fd/0; test -e /proc/self/fd/9 && echo leak;"
                                  "kill -INT $$; echo blocked"),
                     CAIRN_OK);
    ck_assert_int_eq(dup2(extra, 9), 9);
    ck_assert_int_eq(start_script("test -e /proc/self/fd/9 && echo leak; kill -INT $$; echo blocked"),
                     CAIRN_OK);
    while (supervisor.children[0].is_running || supervisor.children[1].is_running) {
        const struct timespec limit = {10, 0};
        sigset_t news;

        supervisor_reap(&supervisor);
        if (!supervisor.children[0].is_running && !supervisor.children[1].is_running)
            break;
        sigemptyset(&news);
        sigaddset(&news, SIGCHLD);
        ck_assert_int_eq(sigtimedwait(&news, NULL, &limit), SIGCHLD);
    }
    file = open(log_path, O_RDONLY);
    ck_assert_int_gt(read(file, text, sizeof(text) - 1), 0);
    close(file);
    ck_assert_ptr_nonnull(strstr(text, "/dev/null"));
    ck_assert_ptr_null(strstr(text, "leak"));
    ck_assert_ptr_null(strstr(text, "blocked")); /* SIGINT is not blocked in children: it ended the shell */
}
END_TEST

/* A parent that is killed takes its children along. */
START_TEST(no_orphans)
{
    int ends[2];
    char byte;
    pid_t parent;
    struct pollfd item;

    ck_assert_int_eq(pipe(ends), 0);
    parent = fork();
    ck_assert_int_ge(parent, 0);
    if (parent == 0) {
        supervisor.kept_descriptor = ends[1]; /* closed by the kernel when the child is gone */
        if (start_script("exec sleep 1000") != CAIRN_OK || write(ends[1], "x", 1) != 1)
            _exit(1);
        pause();
    }
    close(ends[1]);
    ck_assert_int_eq(read(ends[0], &byte, 1), 1);
    ck_assert_int_eq(kill(parent, SIGKILL), 0);
    ck_assert_int_eq(waitpid(parent, NULL, 0), parent);
    item = (struct pollfd){.fd = ends[0], .events = POLLIN};
    ck_assert_int_eq(poll(&item, 1, 10000), 1);
    ck_assert_int_eq(read(ends[0], &byte, 1), 0); /* end of file: nobody holds the other end */
}
END_TEST

static Suite *supervisor_suite(void)
{
    Suite *suite = suite_create("supervisor");
    TCase *cases = tcase_create("supervisor");

    tcase_add_checked_fixture(cases, setup, teardown);
    tcase_set_timeout(cases, 20);
    tcase_add_test(cases, an_end_is_described_by_the_logs_last_error);
    tcase_add_test(cases, a_log_without_errors_gives_its_last_other_line);
    tcase_add_test(cases, older_lines_are_not_its_words);
    tcase_add_test(cases, a_program_that_is_not_there);
    tcase_add_test(cases, stop_ends_the_willing_and_the_unwilling);
    tcase_add_test(cases, children_have_a_clean_world);
    tcase_add_test(cases, no_orphans);
    suite_add_tcase(suite, cases);
    return suite;
}

CHECK_MAIN(supervisor_suite)
