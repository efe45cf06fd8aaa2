/* Children: started, started again when they die, ended in order or by force, and described when they are
 * given up. */
#include "supervisor.h"

#include "base/clock.h"
#include "check_main.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
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
static char notes[1024]; /* what was said of children, a line each */

static void take_note(void *context, const char *line)
{
    size_t used = strlen(notes);

    (void)context;
    snprintf(notes + used, sizeof(notes) - used, "%s\n", line);
}

static void setup(void)
{
    const struct supervisor_viewer viewer = {take_note, NULL};
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
    sigaddset(&ours, SIGHUP);
    sigprocmask(SIG_BLOCK, &ours, NULL);
    supervisor_init(&supervisor, &none, -1, &viewer);
}

static void teardown(void)
{
    supervisor_fini(&supervisor);
    unlink(log_path);
}

static enum status start_program(const char *program, char **arguments, bool may_leave)
{
    const struct child_params params = {.program = program,
                                        .name = "one",
                                        .log_path = log_path,
                                        .arguments = arguments,
                                        .may_leave = may_leave};

    return supervisor_start(&supervisor, &params, &error);
}

static enum status start_script(const char *script)
{
    char *arguments[] = {(char *)"-c", (char *)script, NULL};

    return start_program("sh", arguments, false);
}

/* Waits for a child's end, or until a child is to be started again. */
static void wait_for_news(void)
{
    int64_t deadline_ms = supervisor_deadline_ms(&supervisor);
    int64_t left_ms = deadline_ms < 0 ? 10000 : deadline_ms - clock_ms();
    struct timespec limit = {left_ms / 1000, left_ms % 1000 * 1000000};
    sigset_t news;

    if (left_ms <= 0)
        return;
    sigemptyset(&news);
    sigaddset(&news, SIGCHLD);
    ck_assert(sigtimedwait(&news, NULL, &limit) == SIGCHLD || deadline_ms >= 0);
}

/* Tends the children until one is given up; the line is in `error`. */
static void wait_until_given_up(void)
{
    enum status status;

    while ((status = supervisor_tend(&supervisor, &error)) == CAIRN_OK)
        wait_for_news();
    ck_assert_int_eq(status, CAIRN_CLOSED);
}

/* Tends the children until so many lines were said of them. */
static void wait_for_notes(int count)
{
    for (;;) {
        int lines = 0;

        ck_assert_int_eq(supervisor_tend(&supervisor, &error), CAIRN_OK);
        for (const char *byte = notes; *byte; byte++)
            lines += *byte == '\n';
        if (lines >= count)
            return;
        wait_for_news();
    }
}

START_TEST(an_end_is_described_by_the_logs_last_error)
{
    ck_assert_int_eq(start_script("echo time=now level=error program=sh event=disk-full path=/x >&2;"
                                  "echo level=info event=bye; exit 3"),
                     CAIRN_OK);
    wait_until_given_up();
    ck_assert_ptr_nonnull(strstr(error.message, "sh one ended by itself with exit code 3"));
    ck_assert_ptr_nonnull(
        strstr(error.message, "its last words: event=disk-full path=/x (started 5 times; its log: /tmp/"));
    ck_assert_ptr_null(strchr(error.message, '\n'));
}
END_TEST

START_TEST(a_log_without_errors_gives_its_last_other_line)
{
    ck_assert_int_eq(start_script("echo one; echo two; echo level=info event=x; kill -9 $$"), CAIRN_OK);
    wait_until_given_up();
    ck_assert_ptr_nonnull(strstr(error.message, "was killed by signal 9 (Killed); its last words: two"));
}
END_TEST

START_TEST(older_lines_are_not_its_words)
{
    ck_assert_int_eq(start_script("exit 1"), CAIRN_OK);
    wait_until_given_up();
    ck_assert_ptr_null(strstr(error.message, "older"));
}
END_TEST

START_TEST(a_child_that_dies_is_started_again)
{
    pid_t first;

    ck_assert_int_eq(start_script("exec sleep 1000"), CAIRN_OK);
    first = supervisor_child(&supervisor, "one")->process;
    ck_assert_int_eq(supervisor_deadline_ms(&supervisor), -1);
    kill(first, SIGKILL);
    wait_for_notes(1);
    ck_assert_str_eq(notes, "one was killed by signal 9 (Killed): started again\n");
    ck_assert(supervisor.children[0].is_running);
    ck_assert_uint_eq(supervisor.children[0].start_count, 2);
    ck_assert_int_ne(supervisor.children[0].process, first);
    ck_assert_int_eq(kill(supervisor.children[0].process, 0), 0);
    ck_assert_ptr_null(supervisor_child(&supervisor, "two"));
}
END_TEST

/* The first start again is at once, the next ones after 100, 200 and 400 ms. */
START_TEST(one_that_dies_again_and_again_is_given_up)
{
    int64_t began_ms = clock_ms();

    ck_assert_int_eq(start_script("echo no such folder; exit 3"), CAIRN_OK);
    wait_until_given_up();
    ck_assert_int_ge(clock_ms() - began_ms, 700);
    ck_assert_uint_eq(supervisor.children[0].start_count, 5);
    ck_assert_ptr_nonnull(strstr(error.message, "exit code 3; its last words: no such folder"));
    ck_assert_ptr_nonnull(strstr(notes,
                                 "one ended by itself with exit code 3; its last words: no such folder: "
                                 "started again\n"));
}
END_TEST

START_TEST(one_that_refuses_its_options_is_given_up_at_once)
{
    ck_assert_int_eq(start_script("echo no such option; exit 2"), CAIRN_OK);
    wait_until_given_up();
    ck_assert_ptr_nonnull(
        strstr(error.message, "exit code 2; its last words: no such option (started 1 time; "));
    ck_assert_str_eq(notes, "");
}
END_TEST

START_TEST(one_that_has_lived_is_not_on_its_last_life)
{
    ck_assert_int_eq(start_script("exec sleep 1000"), CAIRN_OK);
    for (int i = 0; i < 8; i++) {
        supervisor.children[0].started_ms -= 60000;
        kill(supervisor.children[0].process, SIGKILL);
        wait_for_notes(i + 1);
    }
    ck_assert_uint_eq(supervisor.children[0].start_count, 9);
}
END_TEST

START_TEST(one_that_was_told_to_go_stays_away)
{
    char *arguments[] = {(char *)"-c", (char *)"exit 0", NULL};

    ck_assert_int_eq(start_program("sh", arguments, true), CAIRN_OK);
    wait_for_notes(1);
    ck_assert_str_eq(notes, "one ended as it was told to: not started again\n");
    ck_assert(!supervisor.children[0].is_running);
    ck_assert_int_eq(supervisor_deadline_ms(&supervisor), -1);
    ck_assert_int_eq(supervisor_tend(&supervisor, &error), CAIRN_OK);
    ck_assert_uint_eq(supervisor.children[0].start_count, 1);
}
END_TEST

START_TEST(an_option_may_change_for_the_next_start)
{
    char *arguments[] = {(char *)"-c", (char *)"exit 1", NULL};

    ck_assert_int_eq(start_program("sh", arguments, false), CAIRN_OK);
    ck_assert_int_eq(child_set_option(supervisor_child(&supervisor, "one"), "-c", "exec sleep 1000", &error),
                     CAIRN_OK);
    wait_for_notes(1);
    ck_assert_int_eq(kill(supervisor.children[0].process, 0), 0);
    ck_assert(!child_reap(&supervisor.children[0]));
}
END_TEST

START_TEST(a_program_that_is_not_there)
{
    char *arguments[] = {NULL};

    ck_assert_int_eq(start_program("no-such-program", arguments, false), CAIRN_NOT_FOUND);
    ck_assert_ptr_nonnull(strstr(error.message, "no-such-program"));
    ck_assert_uint_eq(supervisor.count, 0);
    ck_assert_int_eq(supervisor_tend(&supervisor, &error), CAIRN_OK);
}
END_TEST

START_TEST(stop_ends_the_willing_and_the_unwilling)
{
    pid_t willing, unwilling;

    ck_assert_int_eq(start_script("exec sleep 1000"), CAIRN_OK);
    ck_assert_int_eq(start_script("trap '' TERM; while :; do sleep 1000; done"), CAIRN_OK);
    willing = supervisor.children[0].process;
    unwilling = supervisor.children[1].process;
    ck_assert(!supervisor_stop(&supervisor, 300));
    ck_assert_int_ne(kill(willing, 0), 0);
    ck_assert_int_ne(kill(unwilling, 0), 0);
    ck_assert_uint_eq(supervisor.count, 0);
    ck_assert_int_eq(start_script("exit 0"), CAIRN_OK); /* it can go on */
    wait_for_notes(1);
}
END_TEST

/* Whatever the patience: one child would never end, the other one is not even asked to. */
START_TEST(a_user_who_does_not_wait_is_heard)
{
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
    sigset_t pending;

    ck_assert_int_eq(start_script("exec sleep 1000"), CAIRN_OK);
    ck_assert_int_eq(start_script("trap '' TERM; while :; do sleep 1000; done"), CAIRN_OK);
    kill(getpid(), signals[_i]);
    ck_assert(supervisor_stop(&supervisor, INT_MAX));
    ck_assert_uint_eq(supervisor.count, 0);
    ck_assert_int_eq(sigpending(&pending), 0);
    ck_assert(!sigismember(&pending, signals[_i]));
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

        sigemptyset(&news);
        sigaddset(&news, SIGCHLD);
        ck_assert_int_eq(sigtimedwait(&news, NULL, &limit), SIGCHLD);
        child_reap(&supervisor.children[0]);
        child_reap(&supervisor.children[1]);
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
    tcase_add_test(cases, a_child_that_dies_is_started_again);
    tcase_add_test(cases, one_that_dies_again_and_again_is_given_up);
    tcase_add_test(cases, one_that_refuses_its_options_is_given_up_at_once);
    tcase_add_test(cases, one_that_has_lived_is_not_on_its_last_life);
    tcase_add_test(cases, one_that_was_told_to_go_stays_away);
    tcase_add_test(cases, an_option_may_change_for_the_next_start);
    tcase_add_test(cases, a_program_that_is_not_there);
    tcase_add_test(cases, stop_ends_the_willing_and_the_unwilling);
    tcase_add_loop_test(cases, a_user_who_does_not_wait_is_heard, 0, 3);
    tcase_add_test(cases, children_have_a_clean_world);
    tcase_add_test(cases, no_orphans);
    suite_add_tcase(suite, cases);
    return suite;
}

CHECK_MAIN(supervisor_suite)
